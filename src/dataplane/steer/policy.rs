//! What of a client says which slot its connections belong to.

use crate::model::{ClientMask, Slot};
use crate::wire::address::Address;
use crate::wire::toeplitz::Toeplitz;

/// What is hashed, from the finest to the coarsest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Policy {
    /// The client's address and port: every connection for itself.
    #[default]
    Connection,
    /// The client's network: what depends on its other connections (persistence, FTP).
    Network(ClientMask),
    /// Nothing of the client: all connections of the service belong together (SIP's Call-ID may come from anybody).
    Service(Slot),
}

impl Policy {
    /// The finest that keeps together what either keeps together.
    pub fn join(self, other: Self) -> Self {
        match (self, other) {
            (Self::Service(slot), Self::Service(other)) => Self::Service(slot.min(other)),
            (Self::Service(slot), _) | (_, Self::Service(slot)) => Self::Service(slot),
            (Self::Network(mask), Self::Network(other)) => Self::Network(mask.wider(other)),
            (Self::Network(mask), Self::Connection) | (Self::Connection, Self::Network(mask)) => Self::Network(mask),
            (Self::Connection, Self::Connection) => Self::Connection,
        }
    }

    /// The slot of a client's connection.
    #[inline]
    pub fn slot<A: Address>(self, hash: &Toeplitz, client: A, port: [u8; 2]) -> Slot {
        match self {
            Self::Connection => Slot::of_hash(hash_with_port(hash, client, port)),
            Self::Network(mask) => Slot::of_hash(hash_network(hash, mask.apply(client))),
            Self::Service(slot) => slot,
        }
    }
}

/// As a port to clients hashes under the same key: the packet's source, and its port behind both addresses. The key ignores
/// the rest (`wire/rss_key.rs`).
#[inline(always)]
fn hash_with_port<A: Address>(hash: &Toeplitz, client: A, port: [u8; 2]) -> u32 {
    hash_address(hash, client) ^ hash.part(2 * A::LEN, &port)
}

#[inline(always)]
fn hash_address<A: Address>(hash: &Toeplitz, client: A) -> u32 {
    let mut input = [0; 16];
    client.write(&mut input);
    hash.part(0, &input[..A::LEN])
}

/// A NIC, which hashes ports as well, does not agree with this anyway: of IPv6 all four words count, also those that the key
/// ignores, as networks differ there.
#[inline(always)]
fn hash_network<A: Address>(hash: &Toeplitz, network: A) -> u32 {
    let mut input = [0; 16];
    network.write(&mut input);
    input[..A::LEN].chunks_exact(4).fold(0, |sum: u32, word| sum.rotate_left(3) ^ hash.part(0, word))
}

/// The slot of what has no connection to tell, as fragments: by its source and some number.
pub fn slot_of_other<A: Address>(hash: &Toeplitz, source: A, number: u32) -> Slot {
    let folded = (number ^ number >> 16) as u16;
    Slot::of_hash(hash_with_port(hash, source, folded.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::address::Ip4;
    use crate::wire::rss_key::RssKeys;
    use crate::wire::toeplitz::RssKey;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    fn any_policy() -> impl Strategy<Value = Policy> {
        prop_oneof![
            Just(Policy::Connection),
            (0..=32_u32).prop_map(|len| {
                let mask = u32::MAX.checked_shl(32 - len).unwrap_or(0);
                Policy::Network(ClientMask::V4(Ipv4Addr::from_bits(mask)))
            }),
            any::<u32>().prop_map(|mask| Policy::Network(ClientMask::V4(Ipv4Addr::from_bits(mask)))),
            (0..128_usize).prop_map(|slot| Policy::Service(Slot::new(slot).unwrap())),
        ]
    }

    proptest! {
        #[test]
        fn a_port_to_clients_finds_the_same_slot(client: u32, server: [u8; 4], ports: [[u8; 2]; 2]) {
            let hash = Toeplitz::new(&RssKey(RssKeys::default().source));
            let client = Ip4::from(Ipv4Addr::from_bits(client));
            let packet = [&client.octets()[..], &server, &ports[0], &ports[1]].concat();
            let of_nic = Slot::of_hash(hash.hash::<12>(packet.as_slice().try_into().unwrap()));
            prop_assert_eq!(Policy::Connection.slot(&hash, client, ports[0]), of_nic);
        }

        #[test]
        fn a_join_keeps_together_what_either_keeps_together(
            (a, b) in (any_policy(), any_policy()), clients in any::<[(u32, [u8; 2]); 2]>(),
        ) {
            let hash = Toeplitz::new(&RssKey::MICROSOFT);
            let joined = a.join(b);
            prop_assert_eq!(joined, b.join(a));
            prop_assert_eq!(joined.join(a), joined);
            // two clients that differ little, so that masks matter
            let near = |(bits, port): (u32, [u8; 2])| (Ip4::from(Ipv4Addr::from_bits(bits & 0x0101_0101)), port);
            let [one, other] = clients.map(near);
            let alike = |policy: Policy| match policy {
                Policy::Connection => one == other,
                Policy::Network(mask) => mask.apply(one.0) == mask.apply(other.0),
                Policy::Service(_) => true,
            };
            if alike(a) || alike(b) {
                prop_assert!(alike(joined));
                prop_assert_eq!(joined.slot(&hash, one.0, one.1), joined.slot(&hash, other.0, other.1));
            }
        }
    }
}

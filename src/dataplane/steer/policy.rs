//! What of a client says which slot its connections belong to.

use super::client_hash::ClientHash;
use crate::model::{ClientMask, Slot};
use crate::wire::address::Address;

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
    pub fn slot<A: Address>(self, hash: &ClientHash, client: A, port: [u8; 2]) -> Slot {
        match self {
            Self::Connection => Slot::of_hash(hash.of_connection(client, port)),
            Self::Network(mask) => Slot::of_hash(hash.of_network(mask.apply(client))),
            Self::Service(slot) => slot,
        }
    }
}

/// The slot of what has no connection to tell, as fragments: by its source and some number.
pub fn slot_of_other<A: Address>(hash: &ClientHash, source: A, number: u32) -> Slot {
    let folded = (number ^ number >> 16) as u16;
    Slot::of_hash(hash.of_connection(source, folded.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataplane::steer::client_hash::Input;
    use crate::wire::address::Ip4;
    use crate::wire::rss_key::RssKeys;
    use crate::wire::toeplitz::{RssKey, Toeplitz};
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
            let client = Ip4::from(Ipv4Addr::from_bits(client));
            let tuple = [&client.octets()[..], &server, &ports[0], &ports[1]].concat();
            let source = [&client.octets()[..], &ports[0]].concat();
            let ours = RssKey(RssKeys::default().source);
            let of_nic = Slot::of_hash(Toeplitz::new(&ours).hash::<12>(tuple.as_slice().try_into().unwrap()));
            let hash = ClientHash::new(&RssKey::MICROSOFT, Input::Tuple);
            prop_assert_eq!(Policy::Connection.slot(&hash, client, ports[0]), of_nic);
            let microsoft = Toeplitz::new(&RssKey::MICROSOFT);
            let of_nic = Slot::of_hash(microsoft.hash::<6>(source.as_slice().try_into().unwrap()));
            let hash = ClientHash::new(&RssKey::MICROSOFT, Input::Source);
            prop_assert_eq!(Policy::Connection.slot(&hash, client, ports[0]), of_nic);
        }

        #[test]
        fn a_join_keeps_together_what_either_keeps_together(
            (a, b) in (any_policy(), any_policy()), clients in any::<[(u32, [u8; 2]); 2]>(),
        ) {
            let hash = ClientHash::new(&RssKey::MICROSOFT, Input::Tuple);
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

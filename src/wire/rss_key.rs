//! RSS keys with which a NIC's plain Toeplitz hash looks at one end of a packet only: its source where clients are, its
//! destination where servers are. So both directions of a connection are hashed alike, and no NIC needs to know of
//! source-only hashing, which few do and no two of them in the same way.
//!
//! A Toeplitz hash is the XOR of one window of the key for every bit that is set: bit `i` of the input contributes the key's
//! bits `i` to `i + 31`. What chooses a queue are the last seven bits of the hash, and those come from the key's bits
//! `i + 25` to `i + 31`. A key that is zero wherever the windows of the unwanted fields end ignores these fields. The input
//! is as in [Microsoft's specification](https://learn.microsoft.com/windows-hardware/drivers/network/rss-hashing-types):
//! source, destination, source port, destination port; ports are left out where there are none or packets are fragments.
//!
//! ```text
//!  input bits   IPv4: source 0–31, destination 32–63, ports 64–79 and 80–95
//!               IPv6: source 0–127, destination 128–255, ports 256–271 and 272–287
//!  key bits     31–56     both: the address's first 32 bits, of IPv4 all it has
//!  of the       95–104    IPv4: the port          IPv6: bits 64–79 of the address
//!  client's     127–152                           IPv6: the last 32 bits
//!  side         287–296                           IPv6: the port
//! ```
//!
//! Bits 32–63 and 80–95 of an IPv6 address are what is left out for it.

use std::ops::RangeInclusive;

/// Bytes of a key: as many as the longest input (36) and a window take. NICs with longer keys get zeros behind it.
pub const KEY_SIZE: usize = 40;

pub type Key = [u8; KEY_SIZE];

/// The key of Microsoft's verification suite, which most drivers come with.
pub const MICROSOFT: Key = [
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b,
    0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac,
    0x01, 0xfa,
];

/// Bits of the client's key that may be set: in the table above.
const SOURCE_BITS: [RangeInclusive<usize>; 4] = [31..=56, 95..=104, 127..=152, 287..=296];
/// How far IPv4's destination and its port are behind the source and its port.
const BEHIND4: [(RangeInclusive<usize>, usize); 2] = [(31..=56, 32), (95..=104, 16)];
const BEHIND6: [(RangeInclusive<usize>, usize); 4] =
    [(31..=56, 128), (95..=104, 128), (127..=152, 128), (287..=296, 16)];

/// The keys that belong together: what arrives from clients under one is hashed as what arrives from servers under another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RssKeys {
    /// Hashes the source: for ports to clients. The software's own hash is this, with the client as the source.
    pub source: Key,
    /// Hashes the destination: for ports to servers. Exact for IPv4; of IPv6, what the text above says is left out of an
    /// address is what the *server's* must have in common.
    pub destination: Key,
    /// The same, exact for IPv6 and useless for IPv4.
    pub destination6: Key,
}

impl RssKeys {
    /// Takes from `base` the bits that are free to choose.
    pub fn new(base: &Key) -> Self {
        let mut source = [0; KEY_SIZE];
        for range in SOURCE_BITS {
            range.clone().filter(|&at| bit(base, at)).for_each(|at| set(&mut source, at));
            // neighbouring addresses, and neighbouring ports, then fall to different slots: the hash of the last seven
            // bits is a triangular matrix with ones on its diagonal
            set(&mut source, *range.end());
        }
        let destination6 = moved(&source, &BEHIND6);
        let mut destination = moved(&source, &BEHIND4);
        destination.iter_mut().zip(destination6).for_each(|(byte, other)| *byte |= other);
        Self { source, destination, destination6 }
    }
}

impl Default for RssKeys {
    fn default() -> Self {
        Self::new(&MICROSOFT)
    }
}

fn moved(from: &Key, ranges: &[(RangeInclusive<usize>, usize)]) -> Key {
    let mut key = [0; KEY_SIZE];
    for (range, by) in ranges {
        range.clone().filter(|&at| bit(from, at)).for_each(|at| set(&mut key, at + by));
    }
    key
}

/// Bit 0 is the first on the wire.
fn bit(key: &Key, at: usize) -> bool {
    key[at / 8] & 0x80 >> (at % 8) != 0
}

fn set(key: &mut Key, at: usize) {
    key[at / 8] |= 0x80 >> (at % 8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    /// The specification's own loop.
    fn toeplitz(key: &Key, input: &[u8]) -> u32 {
        let shifted = |window: u32, at: usize| window << 1 | u32::from(bit(key, at));
        let mut window = (0..32).fold(0, shifted);
        let mut hash = 0;
        for i in 0..input.len() * 8 {
            hash ^= if input[i / 8] & 0x80 >> (i % 8) != 0 { window } else { 0 };
            window = shifted(window, i + 32);
        }
        hash
    }

    fn octets(address: IpAddr) -> Vec<u8> {
        match address {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        }
    }

    /// What a NIC makes of a packet, as far as it chooses a queue.
    fn nic(key: &Key, source: (IpAddr, u16), destination: (IpAddr, u16)) -> u32 {
        let ports = [source.1.to_be_bytes(), destination.1.to_be_bytes()].concat();
        toeplitz(key, &[octets(source.0), octets(destination.0), ports].concat()) % 128
    }

    fn nic_without_ports(key: &Key, source: IpAddr, destination: IpAddr) -> u32 {
        toeplitz(key, &[octets(source), octets(destination)].concat()) % 128
    }

    fn slot(client: (IpAddr, u16)) -> u32 {
        let nobody = if client.0.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        nic(&RssKeys::default().source, client, (nobody, 0))
    }

    #[test]
    fn the_hash_is_microsofts() {
        // from the verification suite: 66.9.149.187:2794 → 161.142.100.80:1766, with and without ports
        let input = [[66, 9, 149, 187], [161, 142, 100, 80]].concat();
        assert_eq!(toeplitz(&MICROSOFT, &input), 0x323e_8fc2);
        let ports = [2794_u16.to_be_bytes(), 1766_u16.to_be_bytes()].concat();
        assert_eq!(toeplitz(&MICROSOFT, &[input, ports].concat()), 0x51cc_c178);
    }

    #[test]
    fn the_keys_are_these_as_other_directors_may_have_to_agree() {
        let hex = |key: &Key| key.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let keys = RssKeys::default();
        let expected = [
            "00000000255b0e800000000143800000d0ca2b8000000000000000000000000000000001be800000",
            "0000000000000000255b0e800001438000000000255b0e800000000143800000d0ca2b800001be80",
            "0000000000000000000000000000000000000000255b0e800000000143800000d0ca2b800001be80",
        ];
        assert_eq!([hex(&keys.source), hex(&keys.destination), hex(&keys.destination6)], expected);
    }

    fn end4() -> impl Strategy<Value = (IpAddr, u16)> {
        any::<(u32, u16)>().prop_map(|(address, port)| (Ipv4Addr::from(address).into(), port))
    }

    fn end6() -> impl Strategy<Value = (IpAddr, u16)> {
        any::<(u128, u16)>().prop_map(|(address, port)| (Ipv6Addr::from(address).into(), port))
    }

    proptest! {
        #[test]
        fn both_directions_of_an_ipv4_connection_fall_to_the_clients_slot(c in end4(), v in end4(), r in end4(), base: [u8; 32]) {
            let mut random = MICROSOFT;
            random[..32].copy_from_slice(&base);
            for keys in [RssKeys::default(), RssKeys::new(&random)] {
                let request = nic(&keys.source, c, v);
                prop_assert_eq!(request, nic(&keys.destination, r, c));
                // pings and fragments: all of a client go one way
                let ping = nic_without_ports(&keys.source, c.0, v.0);
                prop_assert_eq!(ping, nic_without_ports(&keys.destination, r.0, c.0));
            }
            prop_assert_eq!(slot(c), nic(&RssKeys::default().source, c, v));
        }

        #[test]
        fn both_directions_of_an_ipv6_connection_fall_to_the_clients_slot(c in end6(), v in end6(), r in end6()) {
            let keys = RssKeys::default();
            prop_assert_eq!(slot(c), nic(&keys.source, c, v));
            prop_assert_eq!(slot(c), nic(&keys.destination6, r, c));
        }

        #[test]
        fn with_a_key_for_both_families_servers_of_one_ipv6_network_differ_by_a_constant(
            c in end6(), d in end6(), network: u64, host: u16, other: u16
        ) {
            let server = |host: u16| (IpAddr::from(Ipv6Addr::from(u128::from(network) << 64 | u128::from(host))), 80);
            let key = RssKeys::default().destination;
            let constant = slot(c) ^ nic(&key, server(host), c);
            prop_assert_eq!(slot(d) ^ nic(&key, server(other), d), constant);
        }
    }

    #[test]
    fn neighbours_fall_to_all_slots_evenly() {
        let clients4 = (0..128 * 128).map(|i| (IpAddr::from(Ipv4Addr::from(0x0a01_0000 + i)), 40_000));
        let ports = (0..128 * 128).map(|i| (IpAddr::from([192, 0, 2, 1]), 1024 + i as u16));
        let prefix = 0x2001_0db8_u128 << 96;
        let clients6 = (0..128 * 128).map(|i| (IpAddr::from(Ipv6Addr::from(prefix + i)), 40_000));
        let ports6 = (0..128 * 128).map(|i| (IpAddr::from(Ipv6Addr::from(prefix)), 1024 + i as u16));
        let all: [Box<dyn Iterator<Item = (IpAddr, u16)>>; 4] =
            [Box::new(clients4), Box::new(ports), Box::new(clients6), Box::new(ports6)];
        for clients in all {
            let mut slots = [0; 128];
            clients.for_each(|client| slots[slot(client) as usize] += 1);
            assert_eq!(slots, [128; 128]);
        }
    }

    #[test]
    fn clients_that_differ_in_any_part_of_their_address_are_spread() {
        let spread = |at: u32, start: u128| {
            let clients = (0..1024_u128).map(|i| (IpAddr::from(Ipv6Addr::from(start ^ i << at)), 40_000));
            let mut slots: Vec<u32> = clients.map(slot).collect();
            slots.sort_unstable();
            slots.dedup();
            slots.len()
        };
        let prefix = 0x2001_0db8_u128 << 96;
        // its last bits, bits 64 to 79, a provider's
        assert_eq!(
            (spread(0, prefix), spread(20, prefix), spread(50, prefix), spread(96, prefix)),
            (128, 128, 128, 128)
        );
        let mut slots: Vec<u32> = (0..256).map(|i| slot((IpAddr::from([10, 0, i as u8, 1]), 40_000))).collect();
        slots.sort_unstable();
        slots.dedup();
        assert_eq!(slots.len(), 128);
    }
}

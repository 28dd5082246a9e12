//! The Toeplitz hash by which NICs spread packets over queues, and its key (Microsoft, "RSS hashing functions").
//!
//! The hash is the exclusive or, over all bits of the input that are set, of the 32 bits of the key that begin at that
//! bit's place. Each byte's share depends on its place and value alone, so a hash is one look-up a byte.

use std::str::FromStr;

/// Bytes of a key: every NIC takes this length, and it is what an IPv6 packet's addresses and ports need.
pub const KEY_LEN: usize = 40;
/// The longest input: two IPv6 addresses and two ports. The key has 32 bits more.
pub const INPUT_MAX: usize = KEY_LEN - 4;

/// A key, shared by the software and the ports that can hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RssKey(pub [u8; KEY_LEN]);

impl RssKey {
    /// The one Microsoft publishes to verify implementations with, and the default of many drivers.
    pub const MICROSOFT: Self = Self([
        0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca,
        0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b,
        0xbe, 0xac, 0x01, 0xfa,
    ]);

    /// The 32 bits that begin at bit `at`, which is among the first [`INPUT_MAX`] bytes.
    const fn window(&self, at: usize) -> u32 {
        let (byte, bit) = (at / 8, at % 8);
        let key = &self.0;
        let high = u32::from_be_bytes([key[byte], key[byte + 1], key[byte + 2], key[byte + 3]]);
        match bit {
            0 => high,
            _ => high << bit | key[byte + 4] as u32 >> (8 - bit),
        }
    }
}

impl Default for RssKey {
    fn default() -> Self {
        Self::MICROSOFT
    }
}

/// Pairs of hexadecimal digits, as `ethtool -x` prints them.
impl std::fmt::Display for RssKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().enumerate().try_for_each(|(at, byte)| {
            let colon = if at == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02x}")
        })
    }
}

/// Why a text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAKey {
    #[error("it has {0} hexadecimal digits; write 80 of them, 40 bytes")]
    Length(usize),
    #[error("`{0}` is no hexadecimal digit; write 80 of them, with colons between the bytes or without")]
    Digit(char),
    #[error("all of its bits are the same, so that every packet would have the same hash")]
    Flat,
}

/// With colons between the bytes, or without.
impl FromStr for RssKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let digit = |c: char| c.to_digit(16).map(|d| d as u8).ok_or(NotAKey::Digit(c));
        let digits = text.chars().filter(|c| *c != ':').map(digit).collect::<Result<Vec<u8>, _>>()?;
        if digits.len() != 2 * KEY_LEN {
            return Err(NotAKey::Length(digits.len()));
        }
        let mut key = [0; KEY_LEN];
        for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = pair[0] << 4 | pair[1];
        }
        if key == [0; KEY_LEN] || key == [0xff; KEY_LEN] {
            return Err(NotAKey::Flat);
        }
        Ok(Self(key))
    }
}

/// The hash under one key.
pub struct Toeplitz {
    /// By place and value of a byte: its share.
    shares: Box<[[u32; 256]; INPUT_MAX]>,
}

impl Toeplitz {
    pub fn new(key: &RssKey) -> Self {
        let mut shares = Box::new([[0; 256]; INPUT_MAX]);
        for (at, of_byte) in shares.iter_mut().enumerate() {
            for bit in 0..8 {
                let window = key.window(8 * at + bit);
                let has_bit = |value: &usize| value & (0x80 >> bit) != 0;
                (0..256).filter(has_bit).for_each(|value| of_byte[value] ^= window);
            }
        }
        Self { shares }
    }

    /// Of the fields of a packet in the order of the wire: source address, destination address, source port, destination
    /// port, those that count.
    #[inline(always)]
    pub fn hash<const N: usize>(&self, input: &[u8; N]) -> u32 {
        const { assert!(N <= INPUT_MAX) };
        let mut hash = 0;
        for (at, byte) in input.iter().enumerate() {
            hash ^= self.shares[at][usize::from(*byte)];
        }
        hash
    }
}

impl Toeplitz {
    /// The part of a hash that comes from these bytes of the input, of which the first is at `at`. A hash is the exclusive or
    /// of its parts.
    #[inline(always)]
    pub fn part(&self, at: usize, input: &[u8]) -> u32 {
        input.iter().zip(&self.shares[at..]).fold(0, |hash, (byte, shares)| hash ^ shares[usize::from(*byte)])
    }
}

impl std::fmt::Debug for Toeplitz {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Toeplitz")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

    /// Destination, source, the hash of the addresses, the hash of addresses and ports: Microsoft, "Verifying the RSS
    /// hash calculation".
    const VERIFICATION_V4: [(&str, &str, u32, u32); 5] = [
        ("161.142.100.80:1766", "66.9.149.187:2794", 0x323e8fc2, 0x51ccc178),
        ("65.69.140.83:4739", "199.92.111.2:14230", 0xd718262a, 0xc626b0ea),
        ("12.22.207.184:38024", "24.19.198.95:12898", 0xd2d0a5de, 0x5c2b394a),
        ("209.142.163.6:2217", "38.27.205.30:48228", 0x82989176, 0xafc7327f),
        ("202.188.127.2:1303", "153.39.163.191:44251", 0x5d1809c5, 0x10e828a2),
    ];
    const VERIFICATION_V6: [(&str, &str, u32, u32); 3] = [
        ("[3ffe:2501:200:3::1]:1766", "[3ffe:2501:200:1fff::7]:2794", 0x2cc18cd5, 0x40207d3d),
        ("[ff02::1]:4739", "[3ffe:501:8::260:97ff:fe40:efab]:14230", 0x0f0c461c, 0xdde51bbf),
        ("[fe80::200:f8ff:fe21:67cf]:38024", "[3ffe:1900:4545:3:200:f8ff:fe21:67cf]:44251", 0x4b61e985, 0x02d1feef),
    ];

    fn joined<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
        parts.concat().try_into().unwrap()
    }

    /// As Microsoft writes it down.
    fn bit_by_bit(key: &RssKey, input: &[u8]) -> u32 {
        let bit_of = |bytes: &[u8], at: usize| bytes[at / 8] >> (7 - at % 8) & 1 == 1;
        let window = |at: usize| (at..at + 32).fold(0, |bits, at| bits << 1 | u32::from(bit_of(&key.0, at)));
        (0..8 * input.len()).filter(|at| bit_of(input, *at)).fold(0, |hash, at| hash ^ window(at))
    }

    #[test]
    fn microsofts_ipv4_verification_suite_passes() {
        let toeplitz = Toeplitz::new(&RssKey::MICROSOFT);
        for (to, from, addresses, with_ports) in VERIFICATION_V4 {
            let (to, from): (SocketAddrV4, SocketAddrV4) = (to.parse().unwrap(), from.parse().unwrap());
            let octets = |at: &SocketAddrV4| -> [u8; 4] { Ipv4Addr::octets(at.ip()) };
            let input: [u8; 8] = joined(&[&octets(&from), &octets(&to)]);
            assert_eq!(toeplitz.hash(&input), addresses, "{from} {to}");
            let ports = [from.port().to_be_bytes(), to.port().to_be_bytes()].concat();
            assert_eq!(toeplitz.hash(&joined::<12>(&[&input, &ports])), with_ports, "{from} {to}");
        }
    }

    #[test]
    fn microsofts_ipv6_verification_suite_passes() {
        let toeplitz = Toeplitz::new(&RssKey::MICROSOFT);
        for (to, from, addresses, with_ports) in VERIFICATION_V6 {
            let (to, from): (SocketAddrV6, SocketAddrV6) = (to.parse().unwrap(), from.parse().unwrap());
            let octets = |at: &SocketAddrV6| -> [u8; 16] { Ipv6Addr::octets(at.ip()) };
            let input: [u8; 32] = joined(&[&octets(&from), &octets(&to)]);
            assert_eq!(toeplitz.hash(&input), addresses, "{from} {to}");
            let ports = [from.port().to_be_bytes(), to.port().to_be_bytes()].concat();
            assert_eq!(toeplitz.hash(&joined::<36>(&[&input, &ports])), with_ports, "{from} {to}");
        }
    }

    #[test]
    fn a_key_is_read_with_colons_and_without_and_written_with() {
        let text = RssKey::MICROSOFT.to_string();
        assert!(text.starts_with("6d:5a:56:da:") && text.ends_with(":01:fa"), "{text}");
        assert_eq!(text.parse(), Ok(RssKey::MICROSOFT));
        assert_eq!(text.replace(':', "").to_uppercase().parse(), Ok(RssKey::MICROSOFT));
    }

    #[test]
    fn what_is_no_key_is_refused_with_what_is_wrong() {
        assert_eq!("6d:5a".parse::<RssKey>(), Err(NotAKey::Length(4)));
        assert_eq!("6d ".parse::<RssKey>(), Err(NotAKey::Digit(' ')));
        assert_eq!("00".repeat(KEY_LEN).parse::<RssKey>(), Err(NotAKey::Flat));
        assert_eq!("ff".repeat(KEY_LEN).parse::<RssKey>(), Err(NotAKey::Flat));
    }

    proptest! {
        #[test]
        fn look_ups_add_up_to_the_definition(
            key in any::<[[u8; 8]; 5]>(), ours4 in any::<[u8; 6]>(), ours6 in any::<[[u8; 9]; 2]>(), all in any::<[[u8; 12]; 3]>(),
        ) {
            let key = RssKey(joined(&[&key.concat()]));
            let toeplitz = Toeplitz::new(&key);
            prop_assert_eq!(toeplitz.hash(&ours4), bit_by_bit(&key, &ours4));
            prop_assert_eq!(toeplitz.hash(&joined::<18>(&[&ours6.concat()])), bit_by_bit(&key, &ours6.concat()));
            prop_assert_eq!(toeplitz.hash(&joined::<36>(&[&all.concat()])), bit_by_bit(&key, &all.concat()));
        }
    }
}

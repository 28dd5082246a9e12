//! What of a client's address persistence looks at.

use super::protocol::Family;
use crate::wire::address::Address;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// The kernel takes any mask for IPv4, gaps included, and a prefix length for IPv6 (`ipvsadm -M`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientMask {
    V4(Ipv4Addr),
    /// Prefix length.
    V6(u8),
}

impl ClientMask {
    /// Every client for itself.
    pub const fn whole(family: Family) -> Self {
        match family {
            Family::V4 => Self::V4(Ipv4Addr::BROADCAST),
            Family::V6 => Self::V6(128),
        }
    }

    pub const fn family(self) -> Family {
        match self {
            Self::V4(_) => Family::V4,
            Self::V6(_) => Family::V6,
        }
    }

    pub fn is_whole(self) -> bool {
        self == Self::whole(self.family())
    }

    /// Keeps together what either keeps together.
    pub fn wider(self, other: Self) -> Self {
        match (self, other) {
            (Self::V4(mask), Self::V4(other)) => Self::V4(mask & other),
            (Self::V6(length), Self::V6(other)) => Self::V6(length.min(other)),
            // one of them is of no client of ours: everything together is right in any case
            (Self::V4(_), Self::V6(_)) | (Self::V6(_), Self::V4(_)) => Self::V6(0),
        }
    }

    /// The network of `client`.
    pub fn apply<A: Address>(self, client: A) -> A {
        let mut octets = [0; 16];
        client.write(&mut octets);
        let masked = u128::from_be_bytes(octets) & self.bits();
        A::read(&masked.to_be_bytes())
    }

    /// As it lies over an address, which begins at the highest bit.
    const fn bits(self) -> u128 {
        match self {
            Self::V4(mask) => (mask.to_bits() as u128) << 96,
            Self::V6(0) => 0,
            Self::V6(length) => u128::MAX << (128 - if length > 128 { 128 } else { length }),
        }
    }
}

/// `255.255.255.0`, `64`: as in the listings of ipvsadm.
impl std::fmt::Display for ClientMask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::V4(mask) => mask.fmt(f),
            Self::V6(length) => length.fmt(f),
        }
    }
}

/// Neither an IPv4 mask nor a prefix length from 1 to 128.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAMask;

impl FromStr for ClientMask {
    type Err = NotAMask;

    fn from_str(text: &str) -> Result<Self, NotAMask> {
        if let Ok(mask) = text.parse() {
            return Ok(Self::V4(mask));
        }
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        let length = text.parse().ok().filter(|length| is_number && (1..=128).contains(length));
        length.map(Self::V6).ok_or(NotAMask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::address::{Ip4, Ip6};
    use std::net::IpAddr;

    fn masked(mask: &str, client: &str) -> IpAddr {
        let mask: ClientMask = mask.parse().unwrap();
        match client.parse().unwrap() {
            IpAddr::V4(client) => mask.apply(Ip4::from(client)).to_ip(),
            IpAddr::V6(client) => mask.apply(Ip6::from(client)).to_ip(),
        }
    }

    #[test]
    fn a_mask_keeps_the_bits_that_it_has() {
        for (mask, client, network) in [
            ("255.255.255.255", "203.0.113.77", "203.0.113.77"),
            ("255.255.255.0", "203.0.113.77", "203.0.113.0"),
            ("255.0.255.0", "203.1.113.77", "203.0.113.0"),
            ("0.0.0.0", "203.1.113.77", "0.0.0.0"),
            ("128", "2001:db8:1:2:3::4", "2001:db8:1:2:3::4"),
            ("64", "2001:db8:1:2:3::4", "2001:db8:1:2::"),
            ("1", "ffff::1", "8000::"),
        ] {
            assert_eq!(masked(mask, client), network.parse::<IpAddr>().unwrap(), "{mask}");
        }
    }

    #[test]
    fn a_mask_is_written_as_it_is_read() {
        for text in ["255.255.255.0", "255.0.255.0", "64", "1"] {
            assert_eq!(text.parse::<ClientMask>().unwrap().to_string(), text);
        }
        for text in ["", "0", "129", "+64", "255.255.255", "ffff::"] {
            assert_eq!(text.parse::<ClientMask>(), Err(NotAMask), "{text}");
        }
        assert!(ClientMask::whole(Family::V6).is_whole() && !ClientMask::V6(64).is_whole());
    }
}

//! Ethernet II frames and 802.1Q tags.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// EtherTypes (IANA "IEEE 802 Numbers").
pub mod ethertype {
    pub const IPV4: u16 = 0x0800;
    pub const ARP: u16 = 0x0806;
    /// 802.1Q: a [`super::VlanTag`] follows.
    pub const VLAN: u16 = 0x8100;
    pub const IPV6: u16 = 0x86dd;
    /// 802.1ad, the outer tag of two.
    pub const VLAN_SERVICE: u16 = 0x88a8;
    /// 802.3 section 3.2.6: less is a length (LLC, spanning tree), not a type.
    pub const MIN: u16 = 0x0600;
}

/// A station's address (48 bits).
#[derive(
    Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(transparent)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    pub const ZERO: Self = Self([0; 6]);
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// A group address; broadcast is one.
    #[inline]
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }

    #[inline]
    pub fn is_broadcast(self) -> bool {
        self == Self::BROADCAST
    }

    #[inline]
    pub fn is_zero(self) -> bool {
        self == Self::ZERO
    }

    /// Whether one station can have it.
    #[inline]
    pub fn is_unicast(self) -> bool {
        !self.is_multicast() && !self.is_zero()
    }

    /// RFC 1112 section 6.4: 01:00:5e and the low 23 bits of the group.
    pub const fn multicast_v4(group: Ipv4Addr) -> Self {
        let [_, b, c, d] = group.octets();
        Self([0x01, 0x00, 0x5e, b & 0x7f, c, d])
    }

    /// RFC 2464 section 7: 33:33 and the low 32 bits of the group.
    pub const fn multicast_v6(group: Ipv6Addr) -> Self {
        let [.., a, b, c, d] = group.octets();
        Self([0x33, 0x33, a, b, c, d])
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // through pad, so that a table can align it
        f.pad(std::str::from_utf8(&text(self.0)).unwrap_or_default())
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn text(octets: [u8; 6]) -> [u8; 17] {
    let mut out = [b':'; 17];
    for (digits, octet) in out.chunks_mut(3).zip(octets) {
        digits[0] = b"0123456789abcdef"[usize::from(octet >> 4)];
        digits[1] = b"0123456789abcdef"[usize::from(octet & 15)];
    }
    out
}

/// Why a text is no MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a MAC address is six pairs of hexadecimal digits, like 02:00:00:00:00:01")]
pub struct MacAddrError;

impl FromStr for MacAddr {
    type Err = MacAddrError;

    /// Six pairs of digits with `:` or `-` between them.
    fn from_str(text: &str) -> Result<Self, MacAddrError> {
        let separator = if text.contains('-') { '-' } else { ':' };
        let mut pairs = text.split(separator);
        let mut octets = [0; 6];
        for octet in &mut octets {
            let pair = pairs.next().filter(|p| p.len() == 2 && p.bytes().all(|c| c.is_ascii_hexdigit()));
            *octet = pair.and_then(|p| u8::from_str_radix(p, 16).ok()).ok_or(MacAddrError)?;
        }
        pairs.next().is_none().then_some(Self(octets)).ok_or(MacAddrError)
    }
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct EthernetHeader {
    pub destination: MacAddr,
    pub source: MacAddr,
    pub ethertype: U16,
}

impl EthernetHeader {
    #[inline]
    pub fn new(destination: MacAddr, source: MacAddr, ethertype: u16) -> Self {
        Self { destination, source, ethertype: U16::new(ethertype) }
    }
}

/// What follows a header with [`ethertype::VLAN`] (802.1Q section 9.6).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct VlanTag {
    /// Priority (3 bits), drop eligible (1), VLAN id (12).
    pub control: U16,
    /// Of what is tagged.
    pub ethertype: U16,
}

impl VlanTag {
    /// A tag of priority 0.
    #[inline]
    pub fn new(id: u16, ethertype: u16) -> Self {
        Self { control: U16::new(id & 0x0fff), ethertype: U16::new(ethertype) }
    }

    /// 0: the tag only carries a priority.
    #[inline]
    pub fn id(&self) -> u16 {
        self.control.get() & 0x0fff
    }

    #[inline]
    pub fn priority(&self) -> u8 {
        (self.control.get() >> 13) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Header, hex};
    use proptest::prelude::*;

    #[test]
    fn a_recorded_frame_shows_its_stations_and_type() {
        let frame = hex("0200000000e1020000000efe08004500");
        let (header, rest) = EthernetHeader::split(&frame).unwrap();
        assert_eq!(header.destination.to_string(), "02:00:00:00:00:e1");
        assert_eq!(header.source.to_string(), "02:00:00:00:0e:fe");
        assert_eq!(header.ethertype.get(), ethertype::IPV4);
        assert_eq!(rest, [0x45, 0]);
    }

    #[test]
    fn a_tag_splits_into_priority_and_id() {
        let tag = VlanTag::of(&[0xa0, 0x64, 0x08, 0x06]).unwrap();
        assert_eq!((tag.priority(), tag.id(), tag.ethertype.get()), (5, 100, ethertype::ARP));
        assert_eq!(VlanTag::new(0xf064, ethertype::ARP).as_bytes(), [0, 0x64, 8, 6]);
    }

    #[test]
    fn groups_have_their_group_macs() {
        assert_eq!(MacAddr::multicast_v4(Ipv4Addr::new(224, 129, 2, 3)).to_string(), "01:00:5e:01:02:03");
        assert_eq!(MacAddr::multicast_v6("ff02::1:ff00:100".parse().unwrap()).to_string(), "33:33:ff:00:01:00");
    }

    #[test]
    fn only_one_stations_address_is_unicast() {
        assert!(MacAddr([2, 0, 0, 0, 0, 1]).is_unicast());
        assert!(!MacAddr::ZERO.is_unicast());
        assert!(!MacAddr::BROADCAST.is_unicast() && MacAddr::BROADCAST.is_multicast());
        assert!(!MacAddr([1, 0, 0x5e, 0, 0, 1]).is_unicast());
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in
            ["", "02:00:00:00:00", "02:00:00:00:00:01:", "02:00:00:00:00:001", "02:00-00:00:00:01", "+2:0:0:0:0:0"]
        {
            assert_eq!(text.parse::<MacAddr>(), Err(MacAddrError), "{text}");
        }
        assert_eq!("02-00-00-00-0E-fe".parse(), Ok(MacAddr([2, 0, 0, 0, 0xe, 0xfe])));
    }

    proptest! {
        #[test]
        fn an_address_survives_its_text(octets: [u8; 6]) {
            prop_assert_eq!(MacAddr(octets).to_string().parse(), Ok(MacAddr(octets)));
        }
    }
}

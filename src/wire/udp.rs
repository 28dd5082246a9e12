//! UDP (RFC 768).

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::ports::Ports;

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct UdpHeader {
    pub ports: Ports,
    /// Header and data.
    pub length: U16,
    /// 0: none. See [`super::checksum::Sum::finish_udp`] and [`super::checksum::Delta::apply_udp`].
    pub checksum: U16,
}

impl UdpHeader {
    /// A header without checksum in front of `data_len` bytes, which fit an IP packet.
    #[inline]
    pub fn new(source: u16, destination: u16, data_len: u16) -> Self {
        let length = U16::new(data_len.saturating_add(size_of::<Self>() as u16));
        Self { ports: Ports::new(source, destination), length, checksum: U16::ZERO }
    }

    #[inline]
    pub fn has_checksum(&self) -> bool {
        self.checksum != U16::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::checksum::Sum;
    use crate::wire::{Header, hex};
    use std::net::Ipv4Addr;

    #[test]
    fn a_recorded_datagram_has_its_fields_and_its_checksum() {
        let mut datagram = hex("61a90035000940637100");
        datagram.truncate(9);
        let udp = UdpHeader::of_mut(&mut datagram).unwrap();
        assert_eq!((udp.ports, udp.length.get()), (Ports::new(25001, 53), 9));
        let recorded = std::mem::take(&mut udp.checksum);
        assert!(!udp.has_checksum());
        let pseudo = Sum::pseudo_v4(Ipv4Addr::new(198, 51, 100, 2), Ipv4Addr::new(192, 0, 2, 100), 17, 9);
        assert_eq!(pseudo.and(Sum::of(&datagram)).finish_udp(), recorded);
    }

    #[test]
    fn the_length_counts_the_header() {
        assert_eq!(UdpHeader::new(1, 2, 64).length.get(), 72);
        assert_eq!(UdpHeader::new(1, 2, u16::MAX).length.get(), u16::MAX);
    }
}

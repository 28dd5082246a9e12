//! TCP (RFC 9293): what a director reads of it, ports and flags, and the checksum it updates.

use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::ports::Ports;

/// The control bits (RFC 9293 section 3.1).
#[derive(Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(transparent)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    pub const FIN: Self = Self(0x01);
    pub const SYN: Self = Self(0x02);
    pub const RST: Self = Self(0x04);
    pub const PSH: Self = Self(0x08);
    pub const ACK: Self = Self(0x10);
    pub const URG: Self = Self(0x20);

    #[inline]
    pub const fn fin(self) -> bool {
        self.0 & Self::FIN.0 != 0
    }

    #[inline]
    pub const fn syn(self) -> bool {
        self.0 & Self::SYN.0 != 0
    }

    #[inline]
    pub const fn rst(self) -> bool {
        self.0 & Self::RST.0 != 0
    }

    #[inline]
    pub const fn ack(self) -> bool {
        self.0 & Self::ACK.0 != 0
    }
}

impl std::ops::BitOr for TcpFlags {
    type Output = Self;

    #[inline]
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl std::fmt::Debug for TcpFlags {
    /// As tcpdump writes them: `S`, `SA`, `FPA`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let letters = ['F', 'S', 'R', 'P', 'A', 'U', 'E', 'W'];
        letters.iter().enumerate().filter(|(bit, _)| self.0 >> bit & 1 != 0).try_for_each(|(_, c)| write!(f, "{c}"))
    }
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct TcpHeader {
    pub ports: Ports,
    pub sequence: U32,
    pub acknowledgement: U32,
    data_offset: u8,
    pub flags: TcpFlags,
    pub window: U16,
    pub checksum: U16,
    pub urgent: U16,
}

impl TcpHeader {
    /// A segment without options, data or acknowledgement; the checksum is still to be filled in.
    pub fn new(source: U16, destination: U16, sequence: u32, flags: TcpFlags) -> Self {
        Self {
            ports: Ports { source, destination },
            sequence: U32::new(sequence),
            acknowledgement: U32::ZERO,
            data_offset: 5 << 4,
            flags,
            window: U16::ZERO,
            checksum: U16::ZERO,
            urgent: U16::ZERO,
        }
    }

    /// Header and options, as the packet says: not checked against anything (below 20 it makes no sense).
    #[inline]
    pub fn header_len(&self) -> usize {
        usize::from(self.data_offset >> 4) * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Header, hex};

    #[test]
    fn a_recorded_syn_shows_its_fields() {
        let bytes = hex("61a90050180299f500000000a002faf04c830000020405b4");
        let (tcp, options) = TcpHeader::split(&bytes).unwrap();
        assert_eq!(tcp.ports, Ports::new(25001, 80));
        assert_eq!((tcp.sequence.get(), tcp.acknowledgement.get()), (0x1802_99f5, 0));
        assert_eq!((tcp.header_len(), tcp.window.get(), tcp.checksum.get()), (40, 0xfaf0, 0x4c83));
        assert_eq!(tcp.flags, TcpFlags::SYN);
        assert!(tcp.flags.syn() && !tcp.flags.ack() && !tcp.flags.rst() && !tcp.flags.fin());
        assert_eq!(options, [2, 4, 5, 0xb4]);
    }

    #[test]
    fn flags_are_written_as_letters() {
        assert_eq!(format!("{:?}", TcpFlags::SYN | TcpFlags::ACK), "SA");
        assert_eq!(format!("{:?}", TcpFlags(0xff)), "FSRPAUEW");
    }
}

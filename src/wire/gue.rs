//! Generic UDP Encapsulation, variant 0 (draft-ietf-intarea-gue), as Linux's fou module and IPVS tunnel in it.
//! UDP's own header in front of it is the caller's.

use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Header;

/// The port IPVS sends to unless told otherwise (IANA "gue").
pub const PORT: u16 = 6080;
/// UDP ports that Linux takes for what it sends, by default (ip_local_port_range); the last is not used.
const SOURCE_PORTS: std::ops::Range<u16> = 32_768..60_999;
/// In [`GueHeader::flags`]: 32 bits of private flags follow.
const FLAG_PRIVATE: u16 = 0x0001;
/// In the private flags, Linux: a remote checksum offload field follows.
const PRIVATE_REMOTE_CHECKSUM: u32 = 0x8000_0000;
const VERSION_MASK: u8 = 0xc0;
const CONTROL: u8 = 0x20;
const OPTION_WORDS_MASK: u8 = 0x1f;

/// The UDP source port of a flow's packets, so that routers and network cards that spread by ports keep flows together
/// (udp_flow_src_port). `hash` is the flow's, of all its bits worth.
#[inline]
pub fn source_port(hash: u64) -> u16 {
    let hash = (hash ^ hash >> 32) as u32;
    let ports = u64::from(SOURCE_PORTS.end - SOURCE_PORTS.start);
    SOURCE_PORTS.start + ((u64::from(hash) * ports) >> 32) as u16
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct GueHeader {
    /// Version (2 bits), control (1), words of options (5).
    version_control_len: u8,
    /// The inner IP protocol number: 4 for IPv4, 41 for IPv6.
    pub protocol: u8,
    pub flags: U16,
}

impl GueHeader {
    /// A header without options; all that IPVS sends for packets it forwards.
    #[inline]
    pub fn new(protocol: u8) -> Self {
        Self { version_control_len: 0, protocol, flags: U16::ZERO }
    }
}

/// Remote checksum offload: where the receiver finds the inner packet's checksum, and where what it covers starts.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct GueRemoteChecksum {
    header: GueHeader,
    private_flags: U32,
    /// From the inner packet's start, in bytes.
    pub start: U16,
    /// Of the checksum field, from the inner packet's start.
    pub offset: U16,
}

impl GueRemoteChecksum {
    /// The whole header, options included.
    pub fn new(protocol: u8, start: u16, offset: u16) -> Self {
        Self {
            header: GueHeader { version_control_len: 2, protocol, flags: U16::new(FLAG_PRIVATE) },
            private_flags: U32::new(PRIVATE_REMOTE_CHECKSUM),
            start: U16::new(start),
            offset: U16::new(offset),
        }
    }
}

/// What a GUE header carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gue<'a> {
    /// An IP protocol number.
    pub protocol: u8,
    pub payload: &'a [u8],
}

impl<'a> Gue<'a> {
    /// `None` for another variant, a control message, and a header that is cut off. Options are stepped over.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let header = GueHeader::of(bytes)?;
        if header.version_control_len & (VERSION_MASK | CONTROL) != 0 {
            return None;
        }
        let options = usize::from(header.version_control_len & OPTION_WORDS_MASK) * 4;
        Some(Self { protocol: header.protocol, payload: bytes.get(GueHeader::LEN + options..)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ports::Ports;
    use crate::wire::udp::UdpHeader;
    use crate::wire::{hex, ip_protocol};
    use proptest::prelude::*;

    #[test]
    fn a_recorded_tunnel_packet_shows_its_inner_one() {
        let outer = hex("e2a017c000480000 00040000 4500003c5f3c40003f06efe3c6336404c0000264");
        let (udp, gue) = UdpHeader::split(&outer).unwrap();
        assert_eq!(udp.ports, Ports::new(0xe2a0, PORT));
        let gue = Gue::parse(gue).unwrap();
        assert_eq!((gue.protocol, gue.payload.len()), (ip_protocol::IPIP, 20));
    }

    #[test]
    fn made_headers_are_the_recorded_ones() {
        assert_eq!(GueHeader::new(ip_protocol::IPIP).as_bytes(), hex("00040000"));
        assert_eq!(GueHeader::new(ip_protocol::IPV6).as_bytes(), hex("00290000"));
    }

    #[test]
    fn remote_checksum_offload_is_two_words_of_options() {
        let header = GueRemoteChecksum::new(ip_protocol::IPIP, 20, 36);
        let packet = [header.as_bytes(), &[0x45]].concat();
        assert_eq!(packet, hex("02040001 80000000 00140024 45"));
        assert_eq!(Gue::parse(&packet), Some(Gue { protocol: ip_protocol::IPIP, payload: &[0x45] }));
        assert_eq!(Gue::parse(&packet[..11]), None);
    }

    #[test]
    fn source_ports_fill_their_range_and_no_more() {
        assert_eq!((source_port(0), source_port(0xffff_ffff)), (SOURCE_PORTS.start, SOURCE_PORTS.end - 1));
        assert_eq!(source_port(0xffff_ffff_0000_0000), SOURCE_PORTS.end - 1, "all bits count");
        let ports = (0..1000_u64).map(|n| source_port(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let distinct: std::collections::HashSet<u16> = ports.collect();
        assert!(distinct.len() > 950, "{}", distinct.len());
    }

    #[test]
    fn other_variants_and_control_messages_are_refused() {
        assert_eq!(Gue::parse(&hex("45000054")), None);
        assert_eq!(Gue::parse(&hex("20010000")), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..150)) {
            let _ = Gue::parse(&bytes);
        }
    }
}

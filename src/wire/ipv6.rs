//! IPv6 (RFC 8200) and the way through its extension headers.

use std::net::Ipv6Addr;

use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::checksum::Sum;
use super::{Header, ip_protocol};

pub const HEADER_LEN: usize = size_of::<Ipv6Header>();
/// The least MTU of a link (RFC 8200 section 5); no longer ICMPv6 errors are sent (RFC 4443 section 2.4 (c)).
pub const MTU_MIN: u16 = 1280;
/// RFC 8200 section 4.1 has at most seven, each once but Destination Options twice; one more for the odd sender.
const EXTENSIONS_MAX: usize = 8;

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Ipv6Header {
    /// Version (4 bits), traffic class (8), flow label (20).
    pub version_class_flow: U32,
    pub payload_length: U16,
    pub next_header: u8,
    pub hop_limit: u8,
    pub source: [u8; 16],
    pub destination: [u8; 16],
}

impl Ipv6Header {
    /// A header in front of `payload_len` bytes; traffic class and flow label 0, hop limit 64 (Linux's default).
    /// `None` when the packet would be too long.
    #[inline]
    pub fn new(source: Ipv6Addr, destination: Ipv6Addr, next_header: u8, payload_len: usize) -> Option<Self> {
        Some(Self {
            version_class_flow: U32::new(6 << 28),
            payload_length: U16::new(u16::try_from(payload_len).ok()?),
            next_header,
            hop_limit: 64,
            source: source.octets(),
            destination: destination.octets(),
        })
    }

    #[inline]
    pub fn version(&self) -> u8 {
        (self.version_class_flow.get() >> 28) as u8
    }

    /// DSCP and ECN, like IPv4's TOS.
    #[inline]
    pub fn traffic_class(&self) -> u8 {
        (self.version_class_flow.get() >> 20) as u8
    }

    #[inline]
    pub fn set_traffic_class(&mut self, class: u8) {
        let others = self.version_class_flow.get() & !(0xff << 20);
        self.version_class_flow = U32::new(others | u32::from(class) << 20);
    }

    #[inline]
    pub fn flow_label(&self) -> u32 {
        self.version_class_flow.get() & 0xf_ffff
    }

    #[inline]
    pub fn source(&self) -> Ipv6Addr {
        self.source.into()
    }

    #[inline]
    pub fn destination(&self) -> Ipv6Addr {
        self.destination.into()
    }

    /// Header and payload.
    #[inline]
    pub fn total_len(&self) -> usize {
        HEADER_LEN + usize::from(self.payload_length.get())
    }
}

/// A packet whose lengths agree, in bytes that may go on behind it (Ethernet padding).
#[derive(Clone, Copy, Debug)]
pub struct Ipv6Packet<'a> {
    pub header: &'a Ipv6Header,
    /// Extension headers included.
    pub payload: &'a [u8],
}

impl<'a> Ipv6Packet<'a> {
    /// `None` for another version, and when the bytes end before the packet does.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (header, rest) = Ipv6Header::split(bytes)?;
        let payload = rest.get(..header.payload_length.get().into())?;
        (header.version() == 6).then_some(Self { header, payload })
    }
}

/// The fragment header (RFC 8200 section 4.5).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct FragmentHeader {
    pub next_header: u8,
    reserved: u8,
    offset_flags: U16,
    pub id: U32,
}

impl FragmentHeader {
    /// `offset` in bytes, a multiple of 8.
    #[inline]
    pub fn new(next_header: u8, offset: usize, more_fragments: bool, id: u32) -> Self {
        let offset_flags = U16::new(offset as u16 & !7 | u16::from(more_fragments));
        Self { next_header, reserved: 0, offset_flags, id: U32::new(id) }
    }

    /// In bytes.
    #[inline]
    pub fn offset(&self) -> usize {
        usize::from(self.offset_flags.get() & !7)
    }

    #[inline]
    pub fn more_fragments(&self) -> bool {
        self.offset_flags.get() & 1 != 0
    }
}

/// A fragment header on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Where the fragment header stands, from the IPv6 header on.
    pub at: usize,
    /// Where the byte stands that announces it: reassembly overwrites it.
    pub announced_at: usize,
    /// Of this piece, in bytes.
    pub offset: usize,
    pub more_fragments: bool,
    pub id: u32,
}

impl Fragment {
    fn read(packet: &[u8], at: usize, announced_at: usize) -> Option<Self> {
        let header = FragmentHeader::at(packet, at)?;
        let (offset, more_fragments, id) = (header.offset(), header.more_fragments(), header.id.get());
        Some(Self { at, announced_at, offset, more_fragments, id })
    }
}

/// What the extension headers lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpperLayer {
    pub protocol: u8,
    /// Where it starts, from the IPv6 header on; at most the packet's length. In a later fragment this is the middle
    /// of something, and `protocol` the first header of the part that was fragmented.
    pub offset: usize,
    /// Where the byte stands that announces it.
    pub announced_at: usize,
    pub fragment: Option<Fragment>,
}

/// Goes from the IPv6 header at the start of `packet` to the first header that is no extension header, as Linux's
/// `ipv6_find_hdr` does: over AH as well, but not into a later fragment. `None` when the packet ends before, or
/// after more extension headers than make sense.
pub fn upper_layer(packet: &[u8]) -> Option<UpperLayer> {
    // Next Header is the seventh byte of the fixed header
    let (protocol, announced_at) = (Ipv6Header::of(packet)?.next_header, 6);
    let mut upper = UpperLayer { protocol, offset: HEADER_LEN, announced_at, fragment: None };
    for _ in 0..=EXTENSIONS_MAX {
        let Some(len) = extension_len(upper.protocol, packet, upper.offset)? else { return Some(upper) };
        if upper.protocol == ip_protocol::FRAGMENT {
            upper.fragment = Some(Fragment::read(packet, upper.offset, upper.announced_at)?);
        }
        upper.announced_at = upper.offset;
        upper.protocol = *packet.get(upper.offset)?;
        upper.offset += len;
        if upper.fragment.is_some_and(|fragment| fragment.offset != 0) {
            return Some(upper);
        }
    }
    None
}

/// The fragment header of the IPv6 packet at the start of `packet`, of which no more than the headers up to it need be
/// there. `None` when there is none.
pub fn fragment_of(packet: &[u8]) -> Option<Fragment> {
    let mut protocol = Ipv6Header::of(packet)?.next_header;
    let (mut at, mut announced_at) = (HEADER_LEN, 6);
    for _ in 0..=EXTENSIONS_MAX {
        if protocol == ip_protocol::FRAGMENT {
            return Fragment::read(packet, at, announced_at);
        }
        let len = extension_len(protocol, packet, at)??;
        (protocol, announced_at) = (*packet.get(at)?, at);
        at += len;
    }
    None
}

/// The part of the packet at the start of `packet` that every fragment of it has (RFC 8200 §4.5, as Linux's
/// `ip6_find_1stfragopt` finds it): its length, and where the byte stands that announces what follows.
pub fn unfragmentable(packet: &[u8]) -> Option<(usize, usize)> {
    let mut protocol = Ipv6Header::of(packet)?.next_header;
    let (mut at, mut announced_at) = (HEADER_LEN, 6);
    let mut is_routed = false;
    for _ in 0..=EXTENSIONS_MAX {
        match protocol {
            ip_protocol::HOP_BY_HOP => {}
            ip_protocol::ROUTING => is_routed = true,
            ip_protocol::DESTINATION_OPTIONS if !is_routed => {}
            _ => return Some((at, announced_at)),
        }
        let len = extension_len(protocol, packet, at)??;
        (protocol, announced_at) = (*packet.get(at)?, at);
        at += len;
    }
    None
}

/// The length of the extension header at `offset`; inner `None` when `protocol` is not one, outer when it is cut off.
fn extension_len(protocol: u8, packet: &[u8], offset: usize) -> Option<Option<usize>> {
    let stated = packet.get(offset + 1).copied().map(usize::from);
    let len = match protocol {
        ip_protocol::HOP_BY_HOP | ip_protocol::ROUTING | ip_protocol::DESTINATION_OPTIONS => (stated? + 1) * 8,
        ip_protocol::FRAGMENT => size_of::<FragmentHeader>(),
        // RFC 4302 section 2.2: in words of 32 bits, minus 2
        ip_protocol::AH => (stated? + 2) * 4,
        _ => return Some(None),
    };
    (offset + len <= packet.len()).then_some(Some(len))
}

/// The sum over the pseudo header (RFC 8200 section 8.1) for `length` bytes of `protocol` between these addresses.
#[inline]
pub fn pseudo_sum(header: &Ipv6Header, protocol: u8, length: usize) -> Sum {
    Sum::pseudo_v6(header.source(), header.destination(), protocol, length as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::hex;
    use proptest::prelude::*;

    const ADDRESSES: &str = "20010db8000c0000000000000000010120010db8000100000000000000000100";

    fn packet(next_header: u8, payload: &str) -> Vec<u8> {
        let payload = hex(payload);
        let mut bytes = hex("60000000 0000 00 40");
        bytes[5] = payload.len() as u8;
        bytes[6] = next_header;
        [bytes, hex(ADDRESSES), payload].concat()
    }

    fn whole(protocol: u8, offset: usize) -> Option<(u8, usize, Option<Fragment>)> {
        Some((protocol, offset, None))
    }

    fn found(packet: &[u8]) -> Option<(u8, usize, Option<Fragment>)> {
        upper_layer(packet).map(|upper| (upper.protocol, upper.offset, upper.fragment))
    }

    #[test]
    fn a_recorded_packet_shows_its_fields() {
        let bytes = packet(17, "0035 0035 000a a933 6869");
        let Ipv6Packet { header, payload } = Ipv6Packet::parse(&bytes).unwrap();
        assert_eq!((header.version(), header.traffic_class(), header.flow_label()), (6, 0, 0));
        assert_eq!(header.source(), "2001:db8:c::101".parse::<Ipv6Addr>().unwrap());
        assert_eq!(header.destination(), "2001:db8:1::100".parse::<Ipv6Addr>().unwrap());
        assert_eq!((header.hop_limit, header.total_len(), payload.len()), (64, 50, 10));
        assert!(Ipv6Packet::parse(&bytes[..49]).is_none());
    }

    #[test]
    fn a_recorded_tcp_segment_behind_hop_by_hop_options_is_intact() {
        let bytes = packet(0, "0600010400000000 9088005000000001000000005002ffffc1890000");
        assert_eq!(found(&bytes), whole(ip_protocol::TCP, 48));
        let header = Ipv6Header::of(&bytes).unwrap();
        assert!(pseudo_sum(header, 6, 20).and(Sum::of(&bytes[48..])).is_valid());
    }

    #[test]
    fn every_kind_of_extension_is_stepped_over() {
        let udp = "0035 0035 0008 0000";
        assert_eq!(found(&packet(17, udp)), whole(17, 40));
        assert_eq!(found(&packet(60, &format!("1100010400000000{udp}"))), whole(17, 48));
        assert_eq!(found(&packet(43, &format!("11010104{:024}{udp}", 0))), whole(17, 56));
        assert_eq!(found(&packet(51, &format!("1104{:044}{udp}", 0))), whole(17, 64));
        assert_eq!(
            upper_layer(&packet(0, &format!("3c000104000000002c00010400000000 1100000000000000{udp}")))
                .map(|upper| (upper.protocol, upper.offset)),
            Some((17, 64))
        );
        assert_eq!(found(&packet(59, "")), whole(59, 40));
    }

    #[test]
    fn a_recorded_first_fragment_leads_to_its_udp_header_and_a_later_one_to_its_middle() {
        let first = packet(0x2c, "1100000100001001 80e80050 03f06a2b");
        let fragment = Fragment { at: 40, announced_at: 6, offset: 0, more_fragments: true, id: 0x1001 };
        assert_eq!(found(&first), Some((17, 48, Some(fragment))));
        // next header "destination options", which must not be read in a later piece
        let later = packet(0, "2c00010400000000 3c000200 00001001 ffffffff");
        let fragment = Fragment { at: 48, announced_at: 40, offset: 512, more_fragments: false, id: 0x1001 };
        assert_eq!(found(&later), Some((60, 56, Some(fragment))));
        assert_eq!(FragmentHeader::new(60, 512, false, 0x1001).as_bytes(), &later[48..56]);
    }

    #[test]
    fn a_fragment_header_is_found_even_where_what_follows_it_is_cut_off() {
        let bytes = packet(0, "2c00010400000000 3c000001 00001001 1100");
        let fragment = Fragment { at: 48, announced_at: 40, offset: 0, more_fragments: true, id: 0x1001 };
        assert_eq!((fragment_of(&bytes), upper_layer(&bytes)), (Some(fragment), None));
        assert_eq!(fragment_of(&bytes[..55]), None);
        assert_eq!(fragment_of(&packet(60, "1100010400000000")), None);
    }

    #[test]
    fn what_every_fragment_has_ends_in_front_of_the_upper_layer_or_what_follows_a_route() {
        let udp = "0035 0035 0008 0000";
        assert_eq!(unfragmentable(&packet(17, udp)), Some((40, 6)));
        assert_eq!(unfragmentable(&packet(0, &format!("1100010400000000{udp}"))), Some((48, 40)));
        assert_eq!(unfragmentable(&packet(0, &format!("3c000104000000001100010400000000{udp}"))), Some((56, 48)));
        assert_eq!(unfragmentable(&packet(43, &format!("3c000401000000001100010400000000{udp}"))), Some((48, 40)));
        assert_eq!(unfragmentable(&packet(51, &format!("1104{:044}{udp}", 0))), Some((40, 6)));
        assert_eq!(unfragmentable(&packet(0, "1101010400000000")), None);
    }

    #[test]
    fn a_chain_that_is_cut_off_or_too_long_leads_nowhere() {
        let options = packet(0, "1101010400000000 0000000000000000");
        assert_eq!(found(&options), whole(17, 56));
        for len in 0..options.len() {
            assert_eq!(found(&options[..len]), None, "{len} bytes");
        }
        let chain = |n: usize| packet(60, &format!("{}1100010400000000", "3c00010400000000".repeat(n - 1)));
        assert_eq!(found(&chain(EXTENSIONS_MAX)), whole(17, 40 + 8 * EXTENSIONS_MAX));
        assert_eq!(found(&chain(EXTENSIONS_MAX + 1)), None);
    }

    #[test]
    fn the_traffic_class_is_set_alone() {
        let mut header = *Ipv6Header::of(&packet(17, "")).unwrap();
        header.version_class_flow = U32::new(0x600c_af47);
        header.set_traffic_class(0xba);
        assert_eq!(header.version_class_flow.get(), 0x6bac_af47);
        assert_eq!((header.version(), header.traffic_class(), header.flow_label()), (6, 0xba, 0xc_af47));
    }

    proptest! {
        #[test]
        fn any_bytes_lead_at_most_to_their_end(
            mut bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0..4_u8, Just(44), Just(51), Just(60)], 0..120),
        ) {
            if let Some(next_header) = bytes.get_mut(6) {
                *next_header = [0, 43, 44, 51, 60][usize::from(*next_header) % 5];
            }
            if let Some(upper) = upper_layer(&bytes) {
                prop_assert!((HEADER_LEN..=bytes.len()).contains(&upper.offset));
            }
            let _ = Ipv6Packet::parse(&bytes);
        }
    }
}

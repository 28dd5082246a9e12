//! IPv4 (RFC 791).

use std::net::Ipv4Addr;

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Header;
use super::checksum::Sum;

/// Without options.
pub const HEADER_LEN: usize = size_of::<Ipv4Header>();
/// With all the options the length field allows (15 words).
pub const HEADER_LEN_MAX: usize = 60;
/// What every host takes (RFC 791 section 3.1, "Total Length"); Linux sends no longer ICMP errors.
pub const HOST_LEN_MIN: usize = 576;
/// The least MTU of a link (RFC 791 section 3.2).
pub const MTU_MIN: u16 = 68;

const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET_MASK: u16 = 0x1fff;

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Ipv4Header {
    version_ihl: u8,
    /// DSCP (6 bits, RFC 2474) and ECN (2 bits, RFC 3168).
    pub tos: u8,
    pub total_length: U16,
    pub id: U16,
    pub flags_fragment: U16,
    pub ttl: u8,
    pub protocol: u8,
    pub checksum: U16,
    pub source: [u8; 4],
    pub destination: [u8; 4],
}

/// What differs between the headers of packets from one place to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Varying {
    pub tos: u8,
    pub total_length: u16,
    pub id: u16,
    pub dont_fragment: bool,
    pub ttl: u8,
}

impl Ipv4Header {
    const VERSION_IHL: u8 = 0x45;

    /// A header without options that is to be copied and [completed](Self::complete): what differs between packets is 0.
    pub fn template(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8) -> Self {
        let zero = U16::ZERO;
        let (source, destination) = (source.octets(), destination.octets());
        let (tos, ttl, version_ihl) = (0, 0, Self::VERSION_IHL);
        Self {
            version_ihl,
            tos,
            total_length: zero,
            id: zero,
            flags_fragment: zero,
            ttl,
            protocol,
            checksum: zero,
            source,
            destination,
        }
    }

    /// What a template's words sum to, as they stand in memory, for [`complete`](Self::complete).
    pub fn template_sum(&self) -> u32 {
        u16::from_le_bytes((!Sum::of(self.as_bytes()).finish().get()).to_be_bytes()).into()
    }

    /// Makes a copy of a [template](Self::template) the header of one packet. Its checksum comes from the template's sum
    /// and the values: reading words back just after storing them would wait for the stores.
    #[inline(always)]
    pub fn complete(&mut self, template_sum: u32, varying: Varying) {
        let Varying { tos, total_length, id, dont_fragment, ttl } = varying;
        let flags = if dont_fragment { DONT_FRAGMENT } else { 0 };
        let word = |value: u16, at: u32| u64::from(value.swap_bytes()) << (8 * at);
        let start = u64::from(tos) << 8 | word(total_length, 2) | word(id, 4) | word(flags, 6);
        // words as they stand in memory sum to a checksum as it stands there (RFC 1071 §2(B))
        let sum = (start >> 32) + (start & 0xffff_ffff) + u64::from(ttl) + u64::from(template_sum);
        // below 2^34, which three carries take to 16 bits
        let sum = (0..3).fold(sum, |sum, _| (sum >> 16) + (sum & 0xffff));
        if let Some(bytes) = self.as_mut_bytes().first_chunk_mut() {
            *bytes = (start | Self::VERSION_IHL as u64).to_le_bytes();
        }
        (self.ttl, self.checksum) = (ttl, U16::from_bytes((!(sum as u16)).to_le_bytes()));
    }

    /// A header without options in front of `payload_len` bytes; id 0, no flags, TOS 0, TTL 64 (Linux's default).
    /// The checksum is still to be filled in. `None` when the packet would be too long.
    #[inline]
    pub fn new(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, payload_len: usize) -> Option<Self> {
        Some(Self {
            version_ihl: Self::VERSION_IHL,
            tos: 0,
            total_length: U16::new(u16::try_from(payload_len.checked_add(HEADER_LEN)?).ok()?),
            id: U16::ZERO,
            flags_fragment: U16::ZERO,
            ttl: 64,
            protocol,
            checksum: U16::ZERO,
            source: source.octets(),
            destination: destination.octets(),
        })
    }

    #[inline]
    pub fn version(&self) -> u8 {
        self.version_ihl >> 4
    }

    /// Header and options, as the packet says.
    #[inline]
    pub fn header_len(&self) -> usize {
        usize::from(self.version_ihl & 15) * 4
    }

    #[inline]
    pub fn has_options(&self) -> bool {
        self.version_ihl != 0x45
    }

    #[inline]
    pub fn source(&self) -> Ipv4Addr {
        self.source.into()
    }

    #[inline]
    pub fn destination(&self) -> Ipv4Addr {
        self.destination.into()
    }

    #[inline]
    pub fn dscp(&self) -> u8 {
        self.tos >> 2
    }

    #[inline]
    pub fn ecn(&self) -> u8 {
        self.tos & 3
    }

    #[inline]
    pub fn dont_fragment(&self) -> bool {
        self.flags_fragment.get() & DONT_FRAGMENT != 0
    }

    #[inline]
    pub fn more_fragments(&self) -> bool {
        self.flags_fragment.get() & MORE_FRAGMENTS != 0
    }

    /// In bytes.
    #[inline]
    pub fn fragment_offset(&self) -> usize {
        usize::from(self.flags_fragment.get() & OFFSET_MASK) * 8
    }

    /// A piece of a longer packet, also the first.
    #[inline]
    pub fn is_fragment(&self) -> bool {
        self.flags_fragment.get() & (MORE_FRAGMENTS | OFFSET_MASK) != 0
    }

    /// `offset` in bytes, a multiple of 8.
    #[inline]
    pub fn set_fragment(&mut self, dont_fragment: bool, more_fragments: bool, offset: usize) {
        let flags = if dont_fragment { DONT_FRAGMENT } else { 0 } | if more_fragments { MORE_FRAGMENTS } else { 0 };
        self.flags_fragment = U16::new(flags | ((offset / 8) as u16 & OFFSET_MASK));
    }

    /// One hop: the TTL, which is not 0, and the checksum with it (RFC 1624 and RFC 1141; a wrong one stays wrong). Both
    /// are in one word, in which they change at once.
    #[inline]
    pub fn decrement_ttl(&mut self) {
        let Some(bytes) = self.as_mut_bytes().get_mut(8..).and_then(|bytes| bytes.first_chunk_mut::<4>()) else {
            return;
        };
        let word = u32::from_le_bytes(*bytes);
        // one less below, one more above: what adding `Delta::TTL_DECREMENT` to the complement comes to
        let changed = match word.checked_add((2 << 16) - 1) {
            Some(_) => word + (1 << 16) - 1,
            None => {
                // and another one more where that carries, or would leave a checksum of all ones: once in 32 768 packets
                std::hint::cold_path();
                word.wrapping_add((2 << 16) - 1)
            }
        };
        *bytes = changed.to_le_bytes();
    }

    /// For a header without options; see [`fill_checksum`] for one with.
    #[inline]
    pub fn fill_checksum(&mut self) {
        self.checksum = U16::ZERO;
        self.checksum = Sum::of(self.as_bytes()).finish();
    }

    /// The sum over the pseudo header of what this header, being no fragment's, carries.
    #[inline]
    pub fn pseudo_sum(&self) -> Sum {
        let length = self.total_length.get().wrapping_sub(self.header_len() as u16);
        Sum::pseudo_v4(self.source(), self.destination(), self.protocol, length)
    }
}

/// A packet whose lengths agree, in bytes that may go on behind it (Ethernet padding).
#[derive(Clone, Copy, Debug)]
pub struct Ipv4Packet<'a> {
    pub header: &'a Ipv4Header,
    pub options: &'a [u8],
    pub payload: &'a [u8],
}

impl<'a> Ipv4Packet<'a> {
    /// `None` for another version and for lengths that contradict each other. The checksum is not looked at.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let header = Ipv4Header::of(bytes)?;
        let (header_len, total_len) = (header.header_len(), usize::from(header.total_length.get()));
        if header.version() != 4 || header_len < HEADER_LEN {
            return None;
        }
        let (head, payload) = bytes.get(..total_len)?.split_at_checked(header_len)?;
        Some(Self { header, options: head.get(HEADER_LEN..)?, payload })
    }
}

/// Whether the header at the start of `bytes`, options included, is intact (RFC 1122 section 3.2.1.2).
#[inline]
pub fn checksum_ok(bytes: &[u8]) -> bool {
    Ipv4Header::of(bytes).and_then(|ip| bytes.get(..ip.header_len())).is_some_and(|head| Sum::of(head).is_valid())
}

/// Fills in the checksum of the header at the start of `bytes`, options included; nothing when they end before it does.
#[inline]
pub fn fill_checksum(bytes: &mut [u8]) {
    let Some(ip) = Ipv4Header::of_mut(bytes) else { return };
    ip.checksum = U16::ZERO;
    let header_len = ip.header_len();
    let Some(sum) = bytes.get(..header_len).map(Sum::of) else { return };
    if let Some(ip) = Ipv4Header::of_mut(bytes) {
        ip.checksum = sum.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::checksum::Delta;
    use crate::wire::{hex, ip_protocol};
    use proptest::prelude::*;

    const RECORDED: &str = "4500003c6d7240004006e0b0c6336401c0000264";

    #[test]
    fn a_hop_changes_every_checksum_as_a_change_of_its_word_does() {
        for checksum in 0..=u16::MAX {
            let mut bytes = hex(RECORDED);
            bytes[10..12].copy_from_slice(&checksum.to_be_bytes());
            let ip = Ipv4Header::of_mut(&mut bytes).unwrap();
            let mut expected = ip.checksum;
            Delta::TTL_DECREMENT.apply(&mut expected);
            ip.decrement_ttl();
            assert_eq!((ip.checksum, ip.ttl), (expected, 63));
        }
    }

    #[test]
    fn a_completed_template_says_what_it_was_told_with_a_right_checksum() {
        let template = Ipv4Header::template([255; 4].into(), [198, 51, 100, 2].into(), ip_protocol::IPIP);
        let (sum, mut header) = (template.template_sum(), template);
        // of the longest ones some sums carry three times
        let shapes = [(21, false), (1500, true), (u16::MAX, false), (u16::MAX, true)];
        for (id, (total_length, dont_fragment)) in (0..=u16::MAX).flat_map(|id| shapes.map(|shape| (id, shape))) {
            let (tos, ttl) = (id as u8, (id >> 8) as u8);
            header.complete(sum, Varying { tos, total_length, id, dont_fragment, ttl });
            assert!(checksum_ok(header.as_bytes()), "{header:?}");
            let said = (header.tos, header.total_length.get(), header.id.get(), header.ttl, header.dont_fragment());
            assert_eq!(said, (tos, total_length, id, ttl, dont_fragment));
            assert_eq!((header.version(), header.header_len(), header.protocol), (4, HEADER_LEN, ip_protocol::IPIP));
        }
    }

    #[test]
    fn a_recorded_header_shows_its_fields() {
        let bytes = hex("4500001d3603400001115733c6336402c0000264 61a900350009406371 0000");
        let packet = Ipv4Packet::parse(&bytes).unwrap();
        let ip = packet.header;
        assert_eq!((ip.source(), ip.destination()), (Ipv4Addr::new(198, 51, 100, 2), Ipv4Addr::new(192, 0, 2, 100)));
        assert_eq!((ip.ttl, ip.protocol, ip.id.get()), (1, ip_protocol::UDP, 0x3603));
        assert!(ip.dont_fragment() && !ip.is_fragment() && !ip.has_options());
        assert_eq!((packet.payload.len(), packet.options.len()), (9, 0));
        assert!(checksum_ok(&bytes));
        assert!(ip.pseudo_sum().and(Sum::of(packet.payload)).is_valid());
    }

    #[test]
    fn options_belong_to_the_header_and_its_checksum() {
        let mut bytes = hex("4600004021e040004006293ec6336401c000026401010100 6590005072d621df");
        bytes.resize(64, 0);
        let packet = Ipv4Packet::parse(&bytes).unwrap();
        assert!(packet.header.has_options());
        assert_eq!((packet.options, packet.payload.len()), (&[1, 1, 1, 0][..], 40));
        assert!(checksum_ok(&bytes));
        let recorded = bytes.clone();
        bytes[10..12].fill(0xa5);
        assert!(!checksum_ok(&bytes));
        fill_checksum(&mut bytes);
        assert_eq!(bytes, recorded);
    }

    #[test]
    fn one_hop_gives_the_recorded_checksum() {
        let mut bytes = hex("4500003c6d7240004006e0b0c6336401c0000264");
        Ipv4Header::of_mut(&mut bytes).unwrap().decrement_ttl();
        assert_eq!(bytes[8], 63);
        assert_eq!(bytes[10..12], [0xe1, 0xb0]);
        assert!(checksum_ok(&bytes));
    }

    #[test]
    fn a_made_header_is_the_recorded_outer_one() {
        let mut ip = Ipv4Header::new(Ipv4Addr::new(10, 10, 0, 1), Ipv4Addr::new(10, 20, 0, 12), 47, 64).unwrap();
        ip.set_fragment(true, false, 0);
        ip.ttl = 63;
        ip.fill_checksum();
        assert_eq!(ip.as_bytes(), hex("45000054000040003f2f27510a0a00010a14000c"));
        assert!(Ipv4Header::new(Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST, 47, 65516).is_none());
    }

    #[test]
    fn lengths_that_contradict_each_other_are_refused() {
        let good = hex(RECORDED);
        let with = |at: usize, value: u8| {
            let mut bytes = good.clone();
            bytes.resize(60, 0);
            bytes[at] = value;
            Ipv4Packet::parse(&bytes).is_some()
        };
        assert!(with(0, 0x45) && with(0, 0x4f));
        assert!(!with(0, 0x65) && !with(0, 0x44) && !with(3, 61) && !with(3, 19));
        assert!(Ipv4Packet::parse(&good).is_none());
    }

    #[test]
    fn fragments_know_their_place() {
        let mut ip = *Ipv4Header::of(&hex(RECORDED)).unwrap();
        ip.set_fragment(false, true, 1480);
        assert!(ip.is_fragment() && ip.more_fragments() && !ip.dont_fragment());
        assert_eq!(ip.fragment_offset(), 1480);
        ip.set_fragment(true, false, 0);
        assert!(!ip.is_fragment() && ip.dont_fragment());
    }

    #[test]
    fn tos_splits_into_dscp_and_ecn() {
        let mut ip = *Ipv4Header::of(&hex(RECORDED)).unwrap();
        ip.tos = 0xba;
        assert_eq!((ip.dscp(), ip.ecn()), (46, 2));
    }

    proptest! {
        #[test]
        fn a_completed_template_is_the_header_made_at_once(
            from: u32, to: u32, protocol: u8, tos: u8, total_length: u16, id: u16, dont_fragment: bool, ttl: u8,
        ) {
            let template = Ipv4Header::template(from.into(), to.into(), protocol);
            let mut completed = template;
            let varying = Varying { tos, total_length, id, dont_fragment, ttl };
            completed.complete(template.template_sum(), varying);
            let mut whole = Ipv4Header::new(from.into(), to.into(), protocol, 0).unwrap();
            (whole.tos, whole.ttl, whole.id) = (tos, ttl, U16::new(id));
            whole.total_length = U16::new(total_length);
            whole.set_fragment(dont_fragment, false, 0);
            whole.fill_checksum();
            prop_assert_eq!(completed.as_bytes(), whole.as_bytes());
        }

        #[test]
        fn every_hop_keeps_the_checksum_right(mut header: [u8; 20]) {
            header[0] = 0x45;
            header[8] = header[8].max(1);
            fill_checksum(&mut header);
            Ipv4Header::of_mut(&mut header).unwrap().decrement_ttl();
            let incremental = header;
            fill_checksum(&mut header);
            prop_assert_eq!(incremental, header);
        }

        #[test]
        fn any_bytes_are_survived(mut bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Some(packet) = Ipv4Packet::parse(&bytes) {
                let parsed = HEADER_LEN + packet.options.len() + packet.payload.len();
                prop_assert_eq!(parsed, usize::from(packet.header.total_length.get()));
            }
            fill_checksum(&mut bytes);
            let _ = checksum_ok(&bytes);
        }
    }
}

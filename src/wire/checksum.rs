//! The Internet checksum: whole (RFC 1071) and incremental (RFC 1624, equation 3).
//!
//! Sums are kept in the byte order of memory, not of the network: RFC 1071 section 2(B) shows that it makes no
//! difference, and so neither loading nor storing swaps bytes. A sum of anything but zeros never folds to 0, so
//! that a checksum field is never written as 0xffff ("minus zero"); the kernel's arithmetic has this property too.

use std::net::{Ipv4Addr, Ipv6Addr};

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A one's complement sum of 16-bit words, unfinished.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    pub const ZERO: Self = Self(0);

    /// The words of `bytes`; a last odd byte counts as if a zero followed it.
    #[inline]
    pub fn of(bytes: &[u8]) -> Self {
        // 32 bits at a time into 64: no carry to look after in any slice below 16 GiB, and the compiler vectorises it
        let mut words = bytes.chunks_exact(4);
        let sum: u64 = words.by_ref().map(|w| u64::from(u32::from_ne_bytes([w[0], w[1], w[2], w[3]]))).sum();
        // spelled out, because a copy of unknown length becomes a call of memcpy
        let last = match *words.remainder() {
            [a] => [a, 0, 0, 0],
            [a, b] => [a, b, 0, 0],
            [a, b, c] => [a, b, c, 0],
            _ => [0; 4],
        };
        Self(sum + u64::from(u32::from_ne_bytes(last)))
    }

    /// The words of consecutive segments, any of which can be odd in length.
    #[inline]
    pub fn of_segments<'a>(segments: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let (mut sum, mut odd) = (Self::ZERO, false);
        for segment in segments {
            let part = Self::of(segment);
            // RFC 1071 section 2(B): a sum that started in the middle of a word is the true one with its bytes swapped
            sum = sum.and(if odd { Self(part.fold().swap_bytes().into()) } else { part });
            odd ^= segment.len() % 2 == 1;
        }
        sum
    }

    /// RFC 793 section 3.1 and RFC 768: what TCP, UDP and ICMP sum besides their own bytes, over IPv4.
    #[inline]
    pub fn pseudo_v4(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, length: u16) -> Self {
        Self::of_v4(source).and(Self::of_v4(destination)).and_u16(protocol.into()).and_u16(length)
    }

    /// RFC 8200 section 8.1: the same over IPv6. `length` is that of the upper-layer header and data.
    #[inline]
    pub fn pseudo_v6(source: Ipv6Addr, destination: Ipv6Addr, protocol: u8, length: u32) -> Self {
        Self::of_v6(source).and(Self::of_v6(destination)).and_u16(protocol.into()).and_u32(length)
    }

    #[inline]
    pub fn of_v4(address: Ipv4Addr) -> Self {
        Self(u32::from_ne_bytes(address.octets()).into())
    }

    #[inline]
    pub fn of_v6(address: Ipv6Addr) -> Self {
        Self::of(&address.octets())
    }

    /// Both sums together.
    #[inline]
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let (sum, carry) = self.0.overflowing_add(other.0);
        Self(sum + u64::from(carry))
    }

    #[inline]
    #[must_use]
    pub fn and_u16(self, word: u16) -> Self {
        self.and(Self(word.to_be().into()))
    }

    #[inline]
    #[must_use]
    pub fn and_u32(self, words: u32) -> Self {
        self.and(Self(words.to_be().into()))
    }

    #[inline]
    fn fold(self) -> u16 {
        // 64 bits to 33 to 32, then to 17 and 16
        let sum = (self.0 >> 32) + (self.0 & 0xffff_ffff);
        let sum = (sum >> 32) + (sum & 0xffff_ffff);
        let sum = (sum >> 16) + (sum & 0xffff);
        ((sum >> 16) + (sum & 0xffff)) as u16
    }

    /// The checksum field's value: the complement.
    #[inline]
    pub fn finish(self) -> U16 {
        U16::from_bytes((!self.fold()).to_ne_bytes())
    }

    /// RFC 768: UDP sends a computed 0 as 0xffff, since 0 means that there is none.
    #[inline]
    pub fn finish_udp(self) -> U16 {
        zero_as_ones(self.finish())
    }

    /// Whether what was summed, its checksum field included, is intact.
    #[inline]
    pub fn is_valid(self) -> bool {
        self.fold() == 0xffff
    }
}

/// What a change of summed fields does to a checksum, computed once and applied in a few instructions.
/// Plain data: two bytes in memory order.
#[derive(Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(transparent)]
pub struct Delta(u16);

impl Delta {
    /// No change: minus zero.
    pub const NONE: Self = Self(0xffff);
    /// What an IPv4 header's checksum sees of a TTL one lower: the word of TTL and protocol loses 0x0100.
    pub const TTL_DECREMENT: Self = Self((!0x0100_u16).to_be());

    #[inline]
    pub fn of_u16(old: u16, new: u16) -> Self {
        Self::between(Sum::ZERO.and_u16(old), Sum::ZERO.and_u16(new))
    }

    #[inline]
    pub fn of_u32(old: u32, new: u32) -> Self {
        Self::between(Sum::ZERO.and_u32(old), Sum::ZERO.and_u32(new))
    }

    #[inline]
    pub fn of_v4(old: Ipv4Addr, new: Ipv4Addr) -> Self {
        Self::between(Sum::of_v4(old), Sum::of_v4(new))
    }

    #[inline]
    pub fn of_v6(old: Ipv6Addr, new: Ipv6Addr) -> Self {
        Self::between(Sum::of_v6(old), Sum::of_v6(new))
    }

    /// Words that were summed as `old` and now are `new`: `~m + m'` of RFC 1624.
    #[inline]
    pub fn between(old: Sum, new: Sum) -> Self {
        Self(!old.fold()).and(Self(new.fold()))
    }

    /// Both changes together.
    #[inline]
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        let sum = end_around_add(self.0, other.0);
        Self(if sum == 0 { 0xffff } else { sum })
    }

    /// The change back, for the packets of the other direction.
    #[inline]
    #[must_use]
    pub const fn inverse(self) -> Self {
        Self(!self.0).and(Self::NONE)
    }

    /// Updates a checksum field of IPv4, TCP or ICMP: `HC' = ~(~HC + ~m + m')`. A wrong checksum stays wrong.
    #[inline]
    pub fn apply(self, checksum: &mut U16) {
        let old = u16::from_ne_bytes(checksum.to_bytes());
        *checksum = U16::from_bytes((!end_around_add(!old, self.0)).to_ne_bytes());
    }

    /// The same for UDP: no checksum (0) stays none, and a computed 0 is sent as 0xffff (RFC 768).
    #[inline]
    pub fn apply_udp(self, checksum: &mut U16) {
        if *checksum != U16::ZERO {
            self.apply(checksum);
            *checksum = zero_as_ones(*checksum);
        }
    }
}

impl std::fmt::Debug for Delta {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Delta({:#06x})", u16::from_be(self.0))
    }
}

#[inline]
const fn end_around_add(a: u16, b: u16) -> u16 {
    let (sum, carry) = a.overflowing_add(b);
    // a sum that carried is at most 0xfffe
    sum + carry as u16
}

#[inline]
fn zero_as_ones(checksum: U16) -> U16 {
    if checksum == U16::ZERO { U16::MAX_VALUE } else { checksum }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::hex;
    use proptest::prelude::*;

    /// RFC 1071 section 4.1 word for word, big-endian, 16 bits at a time.
    fn naive(bytes: &[u8]) -> u16 {
        let mut sum = 0_u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
            sum = (sum >> 16) + (sum & 0xffff);
        }
        !(sum as u16)
    }

    fn word(bytes: &[u8], at: usize) -> u16 {
        u16::from_be_bytes([bytes[at], bytes[at + 1]])
    }

    #[test]
    fn the_example_of_rfc_1071_section_3_sums_to_ddf2() {
        assert_eq!(Sum::of(&hex("0001 f203 f4f5 f6f7")).finish().get(), !0xddf2);
    }

    #[test]
    fn nothing_and_zeros_give_ffff_or_0_as_the_protocol_wants() {
        assert_eq!(Sum::of(&[]).finish().get(), 0xffff);
        assert_eq!(Sum::of(&[0; 9]).finish().get(), 0xffff);
        assert_eq!(Sum::of(&[0xff; 8]).finish().get(), 0);
        assert_eq!(Sum::of(&[0xff; 8]).finish_udp().get(), 0xffff);
        assert!(!Sum::of(&[0; 4]).is_valid());
    }

    #[test]
    fn a_recorded_ipv4_header_and_its_tcp_segment_are_intact() {
        let packet = hex(
            "4500003c19f640000106732cc6336402c0000264 61a90050180299f500000000a002faf04c830000020405b40402080a00000001\
             0000000001030307",
        );
        assert!(Sum::of(&packet[..20]).is_valid());
        let (source, destination) = (Ipv4Addr::new(198, 51, 100, 2), Ipv4Addr::new(192, 0, 2, 100));
        let sum = Sum::pseudo_v4(source, destination, 6, 40).and(Sum::of(&packet[20..]));
        assert!(sum.is_valid());
        assert!(!sum.and_u16(1).is_valid());
    }

    #[test]
    fn a_recorded_tcp_segment_over_ipv6_is_intact() {
        let packet = hex(
            "600000000028064020010db8000c0000000000000000010320010db8000100000000000000000100 271000506bcf7ee700000000\
             a002faf0dd750000020405b40402080a000000010000000001030307",
        );
        let (source, destination) = ("2001:db8:c::103".parse().unwrap(), "2001:db8:1::100".parse().unwrap());
        assert!(Sum::pseudo_v6(source, destination, 6, 40).and(Sum::of(&packet[40..])).is_valid());
    }

    #[test]
    fn the_example_of_rfc_1624_section_4_gives_0_and_not_ffff() {
        let mut checksum = U16::new(0xdd2f);
        Delta::of_u16(0x5555, 0x3285).apply(&mut checksum);
        assert_eq!(checksum.get(), 0);
    }

    #[test]
    fn no_change_changes_nothing_but_the_spelling_of_minus_zero() {
        for value in [0, 1, 0x1234, 0xfffe] {
            let mut checksum = U16::new(value);
            Delta::NONE.apply(&mut checksum);
            assert_eq!(checksum.get(), value);
        }
        let mut minus_zero = U16::new(0xffff);
        Delta::NONE.apply(&mut minus_zero);
        assert_eq!(minus_zero.get(), 0);
        assert_eq!(Delta::NONE.inverse(), Delta::NONE);
        assert_eq!(Delta::of_u32(7, 7), Delta::NONE);
    }

    #[test]
    fn udp_keeps_none_and_writes_a_computed_zero_as_ones() {
        let mut none = U16::ZERO;
        Delta::of_u16(1, 2).apply_udp(&mut none);
        assert_eq!(none.get(), 0);
        let mut becomes_zero = U16::new(1);
        Delta::of_u16(0, 1).apply_udp(&mut becomes_zero);
        assert_eq!(becomes_zero.get(), 0xffff);
    }

    #[test]
    fn a_ttl_decrement_is_the_change_of_its_word() {
        for ttl_protocol in [0x0106_u16, 0x4006, 0xff11, 0x0100] {
            assert_eq!(Delta::TTL_DECREMENT, Delta::of_u16(ttl_protocol, ttl_protocol - 0x0100));
        }
    }

    /// Bytes in which the corners of one's complement arithmetic are common.
    fn cornered(length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            prop::collection::vec(any::<u8>(), length.clone()),
            prop::collection::vec(prop_oneof![Just(0), Just(0xff)], length.clone()),
            prop::collection::vec(prop_oneof![9 => Just(0xff), 1 => Just(0)], length),
        ]
    }

    proptest! {
        #[test]
        fn the_sum_is_the_naive_one(bytes in cornered(0..200)) {
            prop_assert_eq!(Sum::of(&bytes).finish().get(), naive(&bytes));
        }

        #[test]
        fn segments_sum_like_the_whole(
            bytes in cornered(0..200), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let segments = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]);
            prop_assert_eq!(Sum::of_segments(segments).finish(), Sum::of(&bytes).finish());
        }

        /// Word 0 is the checksum field; a word, a pair of words, and both change.
        #[test]
        fn an_incremental_update_equals_the_sum_made_anew(
            mut packet in cornered(24..25), word_new in cornered(2..3), pair_new in cornered(4..5), udp: bool,
        ) {
            packet[23] |= 1; // no checksum covers only zeros: a pseudo header has a length
            packet[..2].fill(0);
            let whole = |packet: &[u8]| if udp { Sum::of(packet).finish_udp() } else { Sum::of(packet).finish() };
            let mut field = whole(&packet);
            let delta = Delta::of_u16(word(&packet, 4), word(&word_new, 0)).and(Delta::of_u32(
                u32::from_be_bytes(packet[8..12].try_into().unwrap()),
                u32::from_be_bytes(pair_new[..].try_into().unwrap()),
            ));
            let before = field;
            packet[4..6].copy_from_slice(&word_new);
            packet[8..12].copy_from_slice(&pair_new);
            let update = |delta: Delta, field: &mut U16| if udp { delta.apply_udp(field) } else { delta.apply(field) };
            update(delta, &mut field);
            prop_assert_eq!(field, whole(&packet));
            update(delta.inverse(), &mut field);
            prop_assert_eq!(field, before);
        }

        #[test]
        fn addresses_change_like_their_words(old in cornered(16..17), new in cornered(16..17)) {
            let (old, new): ([u8; 16], [u8; 16]) = (old.try_into().unwrap(), new.try_into().unwrap());
            let of_words = (0..16).step_by(2).map(|at| Delta::of_u16(word(&old, at), word(&new, at)));
            prop_assert_eq!(Delta::of_v6(old.into(), new.into()), of_words.reduce(Delta::and).unwrap());
            let v4 = |bytes: [u8; 16]| Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]);
            let of_pair = Delta::of_u32(v4(old).into(), v4(new).into());
            prop_assert_eq!(Delta::of_v4(v4(old), v4(new)), of_pair);
        }

        #[test]
        fn a_wrong_checksum_stays_wrong_by_as_much(checksum: u16, error in 1..0xffff_u16, old: u16, new: u16) {
            let (mut right, mut wrong) = (U16::new(checksum), U16::new(checksum));
            Delta::of_u16(0, error).apply(&mut wrong);
            let delta = Delta::of_u16(old, new);
            delta.apply(&mut right);
            delta.apply(&mut wrong);
            prop_assert_ne!(right, wrong);
            Delta::of_u16(error, 0).apply(&mut wrong);
            prop_assert_eq!(right, wrong);
        }
    }
}

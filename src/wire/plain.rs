//! Plain packets, which nearly all are: a TCP or UDP header right behind a fixed IP header, both whole. In untagged frames they are
//! looked at without detours; what [`super::parse`] would say of them follows from little.

use super::Header;
use super::address::{Address, Ip4, Ip6};
use super::ethernet::ethertype;
use super::ip::Ip;
use super::ip_protocol::{TCP, UDP};
use super::ipv4;
use super::ipv6::HEADER_LEN;
use super::parse::{ETHERNET_LEN, FRAGMENT_MASK, Parsed, TCP_FLAGS_AT, TCP_LEN, UDP_LEN, u16_at};

/// What there is to know of a plain packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plain<A> {
    pub from: A,
    pub to: A,
    /// As in [`Parsed`].
    pub ports: u32,
    pub protocol: u8,
    pub facts: Facts,
}

/// Of a plain packet what its connection's key does not say, as one word: bytes of the IP packet, where it begins in the frame (0 of
/// a packet that is not plain), TCP flags. The default is of one that is not plain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Facts(u32);

impl Facts {
    #[inline(always)]
    const fn new(ip_len: u16, l3: u8, tcp_flags: u8) -> Self {
        Self(ip_len as u32 | (l3 as u32) << 16 | (tcp_flags as u32) << 24)
    }

    /// Of a packet about which everything is known.
    pub fn of(parsed: &Parsed) -> Self {
        Self::new(parsed.ip_len, parsed.l3, parsed.tcp_flags)
    }

    /// As [`Parsed::ip_len`].
    #[inline(always)]
    pub fn ip_len(self) -> u16 {
        self.0 as u16
    }

    /// As [`Parsed::l3`].
    #[inline(always)]
    pub fn l3(self) -> u8 {
        (self.0 >> 16) as u8
    }

    /// As [`Parsed::tcp_flags`].
    #[inline(always)]
    pub fn tcp_flags(self) -> u8 {
        (self.0 >> 24) as u8
    }

    #[inline(always)]
    pub fn is_plain(self) -> bool {
        self.l3() != 0
    }

    /// Whether the frame has no VLAN tag, and of the TCP flags in `mask` the packet has `flags`.
    #[inline(always)]
    pub fn is_untagged_with(self, mask: u8, flags: u8) -> bool {
        self.0 & Self::new(0, 0xff, mask).0 == Self::new(0, ETHERNET_LEN as u8, flags).0
    }

    /// Whether the frame has no VLAN tag.
    #[inline(always)]
    pub fn is_untagged(self) -> bool {
        usize::from(self.l3()) == ETHERNET_LEN
    }

    /// As [`Parsed::frame_len`].
    #[inline(always)]
    pub fn frame_len(self) -> usize {
        usize::from(self.l3()) + usize::from(self.ip_len())
    }

    /// The same as [`parse_into`](super::parse::parse_into) says of the packet, which is in an untagged frame.
    #[inline(always)]
    pub fn to_parsed<A: Ip>(self, protocol: u8, ports: u32) -> Parsed {
        let (ip_len, l3, tcp_flags) = (self.ip_len(), self.l3(), self.tcp_flags());
        let l4 = u16::from(l3) + A::Header::LEN as u16;
        let state_flags = if A::IS_V6 { tcp_flags } else { 0 };
        Parsed { kind: A::KIND, vlan: 0, l3, protocol, l4, ip_len, tcp_flags, state_flags, fragment: false, ports }
    }
}

/// [`Plain`] of an IPv4 packet in an untagged frame, if that is [as long](Facts::frame_len) as the packet says; `None` for all
/// others.
#[inline(always)]
pub fn plain_v4(head: &[u8]) -> Option<Plain<Ip4>> {
    const L3: usize = ETHERNET_LEN;
    const L4: usize = L3 + ipv4::HEADER_LEN;
    // of the header's first word, what is the same in all plain packets: version and length, and that they are whole
    const HEADER: u64 = bytes_of(&[(0, 0x45)]);
    const HEADER_MASK: u64 = bytes_of(&[(0, 0xff), (6, (FRAGMENT_MASK >> 8) as u8), (7, FRAGMENT_MASK as u8)]);
    let start = head.first_chunk::<{ L4 + TCP_LEN }>()?;
    let first = word_at(start, L3);
    if first & HEADER_MASK != HEADER || u16_at(start, 12) != ethertype::IPV4 {
        std::hint::cold_path();
        return None;
    }
    let ip_len = ((first >> 16) as u16).swap_bytes();
    let has_room =
        |protocol: u8, len: usize| start[L3 + 9] == protocol && usize::from(ip_len) >= ipv4::HEADER_LEN + len;
    let (protocol, tcp_flags) = if has_room(TCP, TCP_LEN) {
        (TCP, start[L4 + TCP_FLAGS_AT])
    } else {
        // the compiler is told which way to make short
        std::hint::cold_path();
        if !has_room(UDP, UDP_LEN) {
            return None;
        }
        (UDP, 0)
    };
    // as in `checksum_is_right`, with carries that come back
    let addresses = word_at(start, L3 + 12);
    let (sum, carry) = first.overflowing_add(addresses);
    let (sum, carry) = sum.overflowing_add(u64::from(half_at(start, L3 + 8)) + u64::from(carry));
    if !(sum + u64::from(carry)).is_multiple_of(0xffff) {
        std::hint::cold_path();
        return None;
    }
    let [from, to] = Ip4::pair_of(addresses);
    let facts = Facts::new(ip_len, L3 as u8, tcp_flags);
    Some(Plain { from, to, ports: half_at(start, L4).to_le(), protocol, facts })
}

/// The same of an IPv6 packet without extension headers.
#[inline(always)]
pub fn plain_v6(head: &[u8]) -> Option<Plain<Ip6>> {
    const L4: usize = ETHERNET_LEN + HEADER_LEN;
    let start = head.first_chunk::<{ L4 + TCP_LEN }>()?;
    if start[12..14] != [0x86, 0xdd] || start[14] >> 4 != 6 {
        return None;
    }
    let ip_len = u16_at(start, 18).checked_add(HEADER_LEN as u16)?;
    let is_tcp = start[20] == TCP;
    let least = HEADER_LEN + if is_tcp { TCP_LEN } else { UDP_LEN };
    if !(is_tcp || start[20] == UDP) || usize::from(ip_len) < least {
        return None;
    }
    let tcp_flags = if is_tcp { start[L4 + TCP_FLAGS_AT] } else { 0 };
    Some(Plain {
        from: Ip6::read(&start[22..38]),
        to: Ip6::read(&start[38..54]),
        ports: half_at(start, L4).to_le(),
        protocol: start[20],
        facts: Facts::new(ip_len, ETHERNET_LEN as u8, tcp_flags),
    })
}

/// Eight bytes, the first one lowest.
#[inline(always)]
fn word_at<const N: usize>(bytes: &[u8; N], at: usize) -> u64 {
    // as an array: one load
    u64::from_le_bytes(bytes[at..].first_chunk().copied().unwrap_or_default())
}

/// Four bytes, the first one lowest.
#[inline(always)]
fn half_at<const N: usize>(bytes: &[u8; N], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..].first_chunk().copied().unwrap_or_default())
}

/// A word with these bytes, each with its place, and zeros.
const fn bytes_of(bytes: &[(usize, u8)]) -> u64 {
    let (mut word, mut i) = (0, 0);
    while i < bytes.len() {
        word |= (bytes[i].1 as u64) << (8 * bytes[i].0);
        i += 1;
    }
    word
}

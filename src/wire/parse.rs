//! Frame → [`Parsed`]: where the headers begin and what the packet path decides by, found out once a packet.
//!
//! Checked as IPVS checks (ip_rcv, ip6_rcv, ip_vs_fill_iph): Ethernet, one 802.1Q tag, IP version, lengths and IPv4's
//! header checksum, IPv6's extension headers up to the transport header, room for the ports. Not checked: anything in the transport header, which passes unchanged.

use super::Header;
use super::ethernet::ethertype;
use super::ip_protocol::{ICMP, ICMPV6, SCTP, TCP, UDP};
use super::ipv6::{HEADER_LEN, Ipv6Header, upper_layer};

/// What kind of packet a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Kind {
    #[default]
    Ipv4,
    Ipv6,
    Arp,
}

/// Why a frame could not be parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    Truncated,
    UnknownEthertype,
    IpHeaderBad,
    IpChecksumBad,
    IpLengthBad,
    L4Truncated,
}

/// What the later stages know of a frame. Offsets count from the frame's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Parsed {
    pub kind: Kind,
    /// VLAN id, 0 for an untagged frame (and for a priority tag).
    pub vlan: u16,
    /// Offset of the network header: 14, or 18 with a tag.
    pub l3: u8,
    pub protocol: u8,
    /// Offset of the transport header.
    pub l4: u16,
    /// Bytes of the IP packet, its header included.
    pub ip_len: u16,
    /// TCP flags; 0 for other protocols and for a packet that ends within its TCP header.
    pub tcp_flags: u8,
    /// IPv6 only: the flags that IPVS's state machine sees. It takes the TCP header to follow the fixed header at once,
    /// whatever extension headers there are (tcp_state_transition).
    pub state_flags: u8,
    /// Any fragment of a larger packet, the first one included: its transport header may not be there.
    pub fragment: bool,
    /// Source and destination port as they stand in the packet, in memory order; 0 without ports.
    pub ports: u32,
}

impl Parsed {
    /// Bytes of the frame up to the end of the IP packet: what follows is Ethernet padding.
    pub fn frame_len(&self) -> usize {
        self.l3 as usize + self.ip_len as usize
    }

    /// An IPv4 packet with options.
    #[inline(always)]
    pub fn has_options(&self) -> bool {
        self.kind == Kind::Ipv4 && usize::from(self.l4) != usize::from(self.l3) + super::ipv4::HEADER_LEN
    }
}

pub(super) const ETHERNET_LEN: usize = 14;
/// Of an IPv4 header's flags and offset: more fragments, or an offset (RFC 791 §3.1).
pub(super) const FRAGMENT_MASK: u16 = 0x3fff;
/// RFC 768.
pub(super) const UDP_LEN: usize = 8;
/// Without options (RFC 9293 §3.1).
pub(super) const TCP_LEN: usize = 20;
/// Its common header (RFC 9260 §3.1).
const SCTP_LEN: usize = 12;
pub(super) const TCP_FLAGS_AT: usize = 13;

#[inline(always)]
pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// Parses the headers in `head`, the contiguous first bytes of a frame of `frame_len` bytes.
/// [`Malformed::Truncated`] also says that `head` is too short: make more of it contiguous if the frame is longer.
pub fn parse(head: &[u8], frame_len: usize) -> Result<Parsed, Malformed> {
    let mut parsed = Parsed::default();
    parse_into(head, frame_len, &mut parsed).map(|()| parsed)
}

/// As [`parse`], with the answer where the caller keeps it: later stages read each field as it was written, which a
/// copy of the whole would make them wait for.
#[inline(always)]
pub fn parse_into(head: &[u8], frame_len: usize, parsed: &mut Parsed) -> Result<(), Malformed> {
    if head.len() < ETHERNET_LEN {
        return Err(Malformed::Truncated);
    }
    match u16_at(head, 12) {
        ethertype::VLAN if head.len() < 18 => Err(Malformed::Truncated),
        ethertype::VLAN => parse_network(head, frame_len, 18, u16_at(head, 14) & 0xfff, parsed),
        _ => parse_network(head, frame_len, ETHERNET_LEN, 0, parsed),
    }
}

fn parse_network(head: &[u8], frame_len: usize, l3: usize, vlan: u16, parsed: &mut Parsed) -> Result<(), Malformed> {
    match u16_at(head, l3 - 2) {
        ethertype::IPV4 => {
            let first = *head.get(l3).ok_or(Malformed::Truncated)?;
            let header = usize::from(first & 15) * 4;
            if first >> 4 != 4 || header < 20 {
                return Err(Malformed::IpHeaderBad);
            }
            if head.len() < l3 + header {
                // a header that its own packet cuts off is malformed, one that the head cuts off is not contiguous
                return Err(if frame_len < l3 + 20 { Malformed::Truncated } else { too_short(head, frame_len, l3) });
            }
            parse_ipv4(head, frame_len, l3, vlan, header, parsed)?;
        }
        ethertype::ARP => *parsed = bare(Kind::Arp, l3, vlan, frame_len),
        ethertype::IPV6 => parse_ipv6(head, frame_len, l3, vlan, parsed)?,
        _ => return Err(Malformed::UnknownEthertype),
    }
    Ok(())
}

fn too_short(head: &[u8], frame_len: usize, _l3: usize) -> Malformed {
    if head.len() < frame_len { Malformed::Truncated } else { Malformed::IpLengthBad }
}

fn bare(kind: Kind, l3: usize, vlan: u16, frame_len: usize) -> Parsed {
    let ip_len = (frame_len - l3).min(usize::from(u16::MAX)) as u16;
    let l3 = l3 as u8;
    Parsed {
        kind,
        vlan,
        l3,
        protocol: 0,
        l4: l3.into(),
        ip_len,
        tcp_flags: 0,
        state_flags: 0,
        fragment: false,
        ports: 0,
    }
}

/// `header` bytes of IPv4 header at `l3` are in `head`.
#[inline(always)]
fn parse_ipv4(
    head: &[u8],
    frame_len: usize,
    l3: usize,
    vlan: u16,
    header: usize,
    parsed: &mut Parsed,
) -> Result<(), Malformed> {
    let ip = &head[l3..l3 + header];
    let ip_len = u16_at(ip, 2);
    if usize::from(ip_len) < header || l3 + usize::from(ip_len) > frame_len {
        return Err(Malformed::IpLengthBad);
    }
    if !checksum_is_right(ip) {
        return Err(Malformed::IpChecksumBad);
    }
    let fragment = u16_at(ip, 6) & FRAGMENT_MASK != 0;
    parsed.kind = Kind::Ipv4;
    parsed.vlan = vlan;
    parsed.l3 = l3 as u8;
    parsed.protocol = ip[9];
    parsed.l4 = (l3 + header) as u16;
    parsed.ip_len = ip_len;
    parsed.fragment = fragment;
    if fragment {
        (parsed.tcp_flags, parsed.ports) = (0, 0);
        return Ok(());
    }
    parse_transport(head, frame_len, l3 + header, l3 + usize::from(ip_len), ip[9], parsed)
}

/// RFC 8200. A head that ends before the upper layer does asks for more of the frame.
fn parse_ipv6(head: &[u8], frame_len: usize, l3: usize, vlan: u16, parsed: &mut Parsed) -> Result<(), Malformed> {
    let ip = Ipv6Header::at(head, l3).ok_or(Malformed::Truncated)?;
    if ip.version() != 6 {
        return Err(Malformed::IpHeaderBad);
    }
    let ip_len = u16::try_from(ip.total_len()).map_err(|_| Malformed::IpLengthBad)?;
    let end = l3 + usize::from(ip_len);
    if end > frame_len {
        return Err(Malformed::IpLengthBad);
    }
    (parsed.kind, parsed.vlan, parsed.l3, parsed.ip_len) = (Kind::Ipv6, vlan, l3 as u8, ip_len);
    if matches!(ip.next_header, TCP | UDP) {
        (parsed.protocol, parsed.l4, parsed.fragment) = (ip.next_header, (l3 + HEADER_LEN) as u16, false);
        parse_transport(head, frame_len, l3 + HEADER_LEN, end, ip.next_header, parsed)?;
        parsed.state_flags = parsed.tcp_flags;
        return Ok(());
    }
    parse_extensions(head, frame_len, end, parsed)
}

#[cold]
fn parse_extensions(head: &[u8], frame_len: usize, end: usize, parsed: &mut Parsed) -> Result<(), Malformed> {
    let l3 = usize::from(parsed.l3);
    let is_cut_off = head.len() < end;
    let upper = match upper_layer(&head[l3..end.min(head.len())]) {
        Some(upper) => upper,
        None if is_cut_off => return Err(Malformed::Truncated),
        None => return Err(Malformed::IpHeaderBad),
    };
    (parsed.protocol, parsed.l4) = (upper.protocol, (l3 + upper.offset) as u16);
    parsed.fragment = upper.fragment.is_some();
    let flags_at = l3 + HEADER_LEN + TCP_FLAGS_AT;
    parsed.state_flags = match upper.protocol {
        TCP if flags_at < end => *head.get(flags_at).ok_or(Malformed::Truncated)?,
        _ => 0,
    };
    if parsed.fragment {
        (parsed.tcp_flags, parsed.ports) = (0, 0);
        return Ok(());
    }
    parse_transport(head, frame_len, l3 + upper.offset, end, upper.protocol, parsed)
}

/// `l4` is where the transport header begins, `end` where the IP packet ends.
#[inline(always)]
fn parse_transport(
    head: &[u8],
    frame_len: usize,
    l4: usize,
    end: usize,
    protocol: u8,
    parsed: &mut Parsed,
) -> Result<(), Malformed> {
    (parsed.tcp_flags, parsed.ports) = (0, 0);
    let wanted = match protocol {
        // whole headers, although only ports and flags are read here: rewriting wants the checksums in the head too
        TCP => TCP_LEN,
        UDP | ICMP | ICMPV6 => UDP_LEN,
        SCTP => SCTP_LEN,
        _ => return Ok(()),
    };
    if let Some(transport) = head.get(l4..l4 + wanted)
        && l4 + wanted <= end
    {
        if !is_icmp(protocol) {
            parsed.ports = u32::from_ne_bytes([transport[0], transport[1], transport[2], transport[3]]);
        }
        if protocol == TCP {
            // RFC 9293 §3.1
            parsed.tcp_flags = transport[TCP_FLAGS_AT];
        }
        return Ok(());
    }
    parse_short_transport(head, frame_len, end, parsed)
}

/// The packet, or the head, ends early: ports are enough, as they are for IPVS. Flags it has none then.
#[cold]
fn parse_short_transport(head: &[u8], frame_len: usize, end: usize, parsed: &mut Parsed) -> Result<(), Malformed> {
    let l4 = usize::from(parsed.l4);
    if head.len() < end.min(l4 + TCP_LEN) && head.len() < frame_len {
        return Err(Malformed::Truncated);
    }
    match head.get(l4..l4 + 4) {
        Some(ports) if l4 + 4 <= end && !is_icmp(parsed.protocol) => {
            parsed.ports = u32::from_ne_bytes([ports[0], ports[1], ports[2], ports[3]]);
            Ok(())
        }
        _ => Err(Malformed::L4Truncated),
    }
}

fn is_icmp(protocol: u8) -> bool {
    matches!(protocol, ICMP | ICMPV6)
}

/// RFC 1071 over a header of 20 to 60 bytes: its words, the checksum among them, add up to minus zero, which is 0 modulo
/// 65535. (A sum of all zeros would be, too; the version is not zero.)
#[inline(always)]
fn checksum_is_right(header: &[u8]) -> bool {
    let word = |word: &[u8]| u64::from(u32::from_ne_bytes([word[0], word[1], word[2], word[3]]));
    header.chunks_exact(4).map(word).sum::<u64>().is_multiple_of(0xffff)
}

#[cfg(test)]
mod tests {
    use super::super::address::{Ip4, Ip6};
    use super::super::plain::{Plain, plain_v4, plain_v6};
    use super::*;

    fn frame(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
    }

    /// A SYN of 198.51.100.1:34000 to 192.0.2.100:80.
    fn syn() -> Vec<u8> {
        frame(
            "0200000000e1020000000efe080045000028303f400040061df8c6336401c000026484d00050279ab03e000000005002faf06b510000",
        )
    }

    fn fix_checksum(frame: &mut [u8]) {
        frame[24..26].fill(0);
        let sum: u32 = (14..34).step_by(2).map(|i| u32::from(u16_at(frame, i))).sum();
        let sum = (sum & 0xffff) + (sum >> 16);
        frame[24..26].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    }

    #[test]
    fn a_plain_tcp_packet_is_found_with_its_ports_and_flags() {
        let bytes = syn();
        let parsed = parse(&bytes, bytes.len()).unwrap();
        assert_eq!((parsed.kind, parsed.l3, parsed.l4, parsed.ip_len), (Kind::Ipv4, 14, 34, 40));
        assert_eq!((parsed.protocol, parsed.tcp_flags, parsed.vlan), (6, 2, 0));
        assert_eq!(parsed.ports.to_ne_bytes(), [0x84, 0xd0, 0, 80]);
        assert!(!parsed.fragment);
    }

    /// [`Plain`] says what parsing in full says, or nothing.
    fn assert_plain_agrees(bytes: &[u8]) -> bool {
        let parsed = |plain: Plain<Ip4>| plain.facts.to_parsed::<Ip4>(plain.protocol, plain.ports);
        let parsed_v6 = |plain: Plain<Ip6>| plain.facts.to_parsed::<Ip6>(plain.protocol, plain.ports);
        let plain = plain_v4(bytes).map(parsed).or_else(|| plain_v6(bytes).map(parsed_v6));
        let plain = plain.filter(|plain| plain.frame_len() <= bytes.len());
        assert!(plain.is_none() || plain == parse(bytes, bytes.len()).ok(), "{plain:?}: {bytes:02x?}");
        plain.is_some()
    }

    #[test]
    fn plain_packets_are_recognised_and_others_never_taken_for_one() {
        let mut v6 = vec![0xa5; 14 + 40 + 20];
        v6[12..15].copy_from_slice(&[0x86, 0xdd, 0x60]);
        v6[18..21].copy_from_slice(&[0, 20, TCP]);
        for bytes in [syn(), v6] {
            assert!(assert_plain_agrees(&bytes));
            for (at, value) in
                (0..bytes.len()).flat_map(|at| [0, 1, 6, 17, 0x45, 0x46, 0x60, 0x86, 0xff].map(|value| (at, value)))
            {
                let mut changed = bytes.clone();
                changed[at] = value;
                assert_plain_agrees(&changed);
                if (14..34).contains(&at) && bytes.len() == 54 {
                    fix_checksum(&mut changed);
                    assert_plain_agrees(&changed);
                }
            }
            for end in 0..bytes.len() {
                assert!(!assert_plain_agrees(&bytes[..end]));
            }
            assert!(assert_plain_agrees(&[&bytes[..], &[0; 6]].concat()), "padding is no matter");
        }
    }

    #[test]
    fn a_vlan_tag_moves_everything_by_four() {
        let mut bytes = syn();
        bytes.splice(12..12, [0x81, 0, 0x20, 100]);
        let parsed = parse(&bytes, bytes.len()).unwrap();
        assert_eq!((parsed.vlan, parsed.l3, parsed.l4, parsed.tcp_flags), (100, 18, 38, 2));
    }

    #[test]
    fn each_malformation_has_its_own_name() {
        type Spoil = fn(&mut Vec<u8>);
        let cases: [(Malformed, Spoil); 8] = [
            (Malformed::Truncated, |b| b.truncate(13)),
            (Malformed::UnknownEthertype, |b| b[12] = 0x99),
            (Malformed::IpHeaderBad, |b| b[14] = 0x55),
            (Malformed::IpHeaderBad, |b| b[14] = 0x44),
            (Malformed::IpChecksumBad, |b| b[24] ^= 1),
            (Malformed::IpLengthBad, |b| b[17] = 200),
            (Malformed::IpLengthBad, |b| b[17] = 19),
            (Malformed::L4Truncated, |b| {
                b[17] = 23;
                fix_checksum(b);
            }),
        ];
        for (expected, spoil) in cases {
            let mut bytes = syn();
            spoil(&mut bytes);
            assert_eq!(parse(&bytes, bytes.len()), Err(expected));
        }
    }

    #[test]
    fn ports_alone_are_enough_and_a_fragment_needs_not_even_them() {
        let mut bytes = syn();
        bytes[17] = 28; // eight bytes of TCP
        fix_checksum(&mut bytes);
        let parsed = parse(&bytes, bytes.len()).unwrap();
        assert_eq!((parsed.ports.to_ne_bytes(), parsed.tcp_flags), ([0x84, 0xd0, 0, 80], 0));
        bytes[17] = 20;
        bytes[20..22].copy_from_slice(&[0, 5]);
        fix_checksum(&mut bytes);
        assert!(parse(&bytes, bytes.len()).unwrap().fragment);
    }

    #[test]
    fn a_head_that_ends_early_asks_for_more_of_the_frame() {
        let bytes = syn();
        for n in 0..54 {
            let kind = parse(&bytes[..n], bytes.len());
            assert_eq!(kind, Err(Malformed::Truncated), "{n}");
        }
        let long = [&bytes[..], b"data"].concat();
        assert!(parse(&long[..54], long.len()).is_ok());
    }

    #[test]
    fn only_tcp_has_flags_for_the_state_machine_and_only_from_within_its_packet() {
        let mut frame = [0xa5; 100];
        frame[12..15].copy_from_slice(&[0x86, 0xdd, 0x60]);
        for (next_header, len, flags) in [(99, 46, 0), (99, 0, 0), (44, 8, 0), (44, 46, 0xa5)] {
            frame[18..21].copy_from_slice(&[0, len, next_header]);
            // the fragment header, of a first fragment of TCP
            frame[54..62].copy_from_slice(&[TCP, 0, 0, 1, 0, 0, 0, 1]);
            let whole = parse(&frame, frame.len());
            assert_eq!(whole.map(|parsed| parsed.state_flags), Ok(flags));
            for end in 0..frame.len() {
                let short = parse(&frame[..end], frame.len());
                assert!(short == whole || short == Err(Malformed::Truncated), "{end}: {short:?}, not {whole:?}");
            }
        }
    }

    #[test]
    fn every_prefix_and_every_changed_byte_parses_without_panic() {
        let bytes = syn();
        for n in 0..=bytes.len() {
            let _ = parse(&bytes[..n], n);
            for value in [0, 0xff, 0x45, 0x4f] {
                for i in 0..n {
                    let mut spoiled = bytes[..n].to_vec();
                    spoiled[i] = value;
                    let _ = parse(&spoiled, n);
                }
            }
        }
    }
}

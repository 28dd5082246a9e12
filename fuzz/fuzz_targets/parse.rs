//! Any bytes, seen as every header there is, and parsed as a frame with every length of head.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pollux::wire::checksum::Sum;
use pollux::wire::parse::{Malformed, parse};
use pollux::wire::*;

fuzz_target!(|bytes: &[u8]| {
    frames(bytes);
    views(bytes);
    made_in_place(bytes);
    sums(bytes);
});

/// A shorter head either asks for more or says the same.
fn frames(bytes: &[u8]) {
    let whole = parse(bytes, bytes.len());
    for head in 0..bytes.len().min(100) {
        let short = parse(&bytes[..head], bytes.len());
        assert!(short == Err(Malformed::Truncated) || short == whole, "{short:?} from {head} bytes, not {whole:?}");
    }
    let Ok(parsed) = whole else { return };
    assert!(parsed.frame_len() <= bytes.len() || bytes.len() > usize::from(u16::MAX));
    assert!(usize::from(parsed.l3) <= usize::from(parsed.l4) && usize::from(parsed.l4) <= bytes.len());
}

fn views(bytes: &[u8]) {
    let _ = arp::ArpPacket::parse(bytes).map(|arp| (arp.is_probe(), arp.is_gratuitous(), arp.target_ip()));
    let _ = ethernet::VlanTag::of(bytes).map(|tag| (tag.id(), tag.priority()));
    let _ = gre::Gre::parse(bytes);
    let _ = gue::Gue::parse(bytes);
    let _ = sctp::state_chunk(|at| sctp::ChunkHeader::at(bytes, at).copied());
    let _ = nd::NeighbourMessage::parse(bytes);
    let _ = ipv6::Ipv6Packet::parse(bytes);
    quotes::<address::Ip4>(bytes);
    quotes::<address::Ip6>(bytes);
    if let Some(upper) = ipv6::upper_layer(bytes) {
        assert!(upper.offset <= bytes.len());
    }
    if let Some(packet) = ipv4::Ipv4Packet::parse(bytes) {
        assert_eq!(packet.options.len() + packet.payload.len() + 20, usize::from(packet.header.total_length.get()));
        let _ = (packet.header.fragment_offset(), packet.header.pseudo_sum());
    }
    let _ =
        (tcp::TcpHeader::of(bytes).map(|tcp| tcp.header_len()), udp::UdpHeader::of(bytes).map(|u| u.has_checksum()));
    let _ = icmpv6::Icmpv6Error::PORT_UNREACHABLE.may_answer(bytes);
    let mut out = [0; 1500];
    if icmp::may_be_answered(bytes)
        && let Some(len) = icmp::IcmpError::PORT_UNREACHABLE.write(&mut out, bytes, [192, 0, 2, 1].into(), 1, false)
    {
        assert!(len <= 576 && ipv4::checksum_ok(&out) && Sum::of(&out[20..len]).is_valid());
    }
    let _ = icmpv6::Icmpv6Error::PORT_UNREACHABLE.write(&mut out, bytes, std::net::Ipv6Addr::LOCALHOST);
}

/// What an error quotes lies within the error.
fn quotes<A: ip::Ip>(bytes: &[u8]) {
    if let Some(quoted) = quoted::Quoted::<A>::parse(bytes) {
        assert!(quoted.l4 + if quoted.has_ports() { 4 } else { 0 } <= bytes.len());
    }
    if let Some(tunnelled) = quoted::Tunnelled::<A>::parse(bytes) {
        assert!(tunnelled.inner <= bytes.len());
        let _ = quoted::Quoted::<A>::parse(&bytes[tunnelled.inner..]);
    }
}

fn made_in_place(bytes: &[u8]) {
    let mut packet = bytes.to_vec();
    let was_intact = ipv4::Ipv4Packet::parse(bytes).is_some_and(|ip| Sum::of(ip.payload).is_valid());
    if icmp::echo_reply_in_place(&mut packet, 7) {
        assert!(ipv4::checksum_ok(&packet));
        if was_intact && let Some(reply) = ipv4::Ipv4Packet::parse(&packet) {
            assert!(Sum::of(reply.payload).is_valid());
        }
    } else {
        assert_eq!(packet, bytes, "nothing changed");
    }
    let mut packet = bytes.to_vec();
    if !icmpv6::echo_reply_in_place(&mut packet) {
        assert_eq!(packet, bytes, "nothing changed");
    }
    ipv4::fill_checksum(&mut packet);
}

/// Sums do not depend on where the bytes are cut.
fn sums(bytes: &[u8]) {
    let whole = Sum::of(bytes).finish();
    let cut = usize::from(bytes.first().copied().unwrap_or(0)).min(bytes.len());
    assert_eq!(Sum::of_segments([&bytes[..cut], &bytes[cut..]]).finish(), whole);
}

//! Neighbour discovery (RFC 4861): solicitations and advertisements, what ARP is to IPv4.

use std::net::Ipv6Addr;

use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::checksum::Sum;
use super::ethernet::{EthernetHeader, MacAddr, ethertype};
use super::icmpv6::{NEIGHBOUR_ADVERTISEMENT, NEIGHBOUR_SOLICITATION};
use super::ipv6::{self, Ipv6Header, Ipv6Packet};
use super::{Header, ip_protocol};

/// Section 4.4: the sender forwards. A host that sees it go forgets its default router, so Pollux, which real servers
/// have as their gateway, always says so, as Linux does on ports that forward.
const ROUTER_FLAG: u32 = 0x8000_0000;
/// Section 4.4: the answer to a solicitation.
const SOLICITED: u32 = 0x4000_0000;
/// Section 4.4: replaces what the receiver knows.
const OVERRIDE: u32 = 0x2000_0000;
const OPTION_SOURCE_MAC: u8 = 1;
const OPTION_TARGET_MAC: u8 = 2;
/// Section 6.1: what is lower has come through a router, from off the link.
const HOP_LIMIT: u8 = 255;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// Solicitation and advertisement alike (sections 4.3 and 4.4).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct NeighbourHeader {
    kind: u8,
    code: u8,
    checksum: U16,
    flags: U32,
    target: [u8; 16],
}

/// Source or target link-layer address on Ethernet (section 4.6.1, RFC 2464 section 6).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct MacOption {
    kind: u8,
    /// In words of 8 bytes.
    length: u8,
    mac: MacAddr,
}

/// The group in which a solicitation for `target` is heard (RFC 4291 section 2.7.1).
pub const fn solicited_node(target: Ipv6Addr) -> Ipv6Addr {
    let [.., high, low] = target.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | high & 0xff, low)
}

/// What a valid solicitation or advertisement says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighbourMessage {
    pub is_solicitation: bool,
    pub source: Ipv6Addr,
    pub target: Ipv6Addr,
    /// Advertisements: it answers a solicitation.
    pub solicited: bool,
    /// Advertisements: it replaces what is known of the target.
    pub overrides: bool,
    /// Of the sender in a solicitation, of the target in an advertisement.
    pub mac: Option<MacAddr>,
}

impl NeighbourMessage {
    /// Reads a packet from its IPv6 header on. `None` unless it passes every check of RFC 4861 section 7.1; one with
    /// extension headers, which nobody sends, counts as invalid.
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let Ipv6Packet { header: ip, payload } = Ipv6Packet::parse(packet)?;
        let (nd, options) = NeighbourHeader::split(payload)?;
        let is_solicitation = nd.kind == NEIGHBOUR_SOLICITATION;
        let of_the_link = (ip.next_header, ip.hop_limit, nd.code) == (ip_protocol::ICMPV6, HOP_LIMIT, 0);
        let pseudo = ipv6::pseudo_sum(ip, ip_protocol::ICMPV6, payload.len());
        if !(is_solicitation || nd.kind == NEIGHBOUR_ADVERTISEMENT)
            || !of_the_link
            || !pseudo.and(Sum::of(payload)).is_valid()
        {
            return None;
        }
        let wanted = if is_solicitation { OPTION_SOURCE_MAC } else { OPTION_TARGET_MAC };
        let message = Self {
            is_solicitation,
            source: ip.source(),
            target: nd.target.into(),
            solicited: nd.flags.get() & SOLICITED != 0,
            overrides: nd.flags.get() & OVERRIDE != 0,
            mac: mac_option(options, wanted)?,
        };
        message.agrees_with(ip.destination()).then_some(message)
    }

    /// The checks between addresses, flags and options.
    fn agrees_with(&self, destination: Ipv6Addr) -> bool {
        let is_probe = self.is_solicitation && self.source.is_unspecified();
        let probe_ok = !is_probe || destination == solicited_node(self.target) && self.mac.is_none();
        let flags_ok = self.is_solicitation || !self.solicited || !destination.is_multicast();
        probe_ok && flags_ok && !self.target.is_multicast() && !self.source.is_multicast()
    }

    /// A solicitation of somebody who asks whether he may take the address (RFC 4862 section 5.4).
    pub fn is_probe(&self) -> bool {
        self.is_solicitation && self.source.is_unspecified()
    }
}

/// The MAC address in the option of this kind; outer `None` when an option is empty or cut off, which makes the
/// message invalid.
fn mac_option(mut options: &[u8], wanted: u8) -> Option<Option<MacAddr>> {
    let mut found = None;
    // every round takes at least 8 bytes
    while !options.is_empty() {
        let option = MacOption::of(options)?;
        if option.kind == wanted && option.length == 1 && option.mac.is_unicast() {
            found = Some(option.mac);
        }
        if option.length == 0 {
            return None;
        }
        options = options.get(usize::from(option.length) * 8..)?;
    }
    Some(found)
}

/// A solicitation or advertisement to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighbourFrame {
    pub destination_mac: MacAddr,
    /// Of the sender; what the message tells.
    pub mac: MacAddr,
    pub source: Ipv6Addr,
    pub destination: Ipv6Addr,
    pub target: Ipv6Addr,
    kind: u8,
    flags: u32,
}

impl NeighbourFrame {
    /// Ethernet, IPv6, message and option.
    pub const LEN: usize = EthernetHeader::LEN + ipv6::HEADER_LEN + NeighbourHeader::LEN + MacOption::LEN;

    /// Who has `target`? To its solicited-node group; set the two destinations to ask one station.
    pub fn solicitation(mac: MacAddr, source: Ipv6Addr, target: Ipv6Addr) -> Self {
        let destination = solicited_node(target);
        let destination_mac = MacAddr::multicast_v6(destination);
        Self { destination_mac, mac, source, destination, target, kind: NEIGHBOUR_SOLICITATION, flags: 0 }
    }

    /// The answer to `solicitation`, which came in a frame from `from`: its target is at `mac`.
    pub fn answer(solicitation: &NeighbourMessage, from: MacAddr, mac: MacAddr) -> Self {
        if solicitation.is_probe() {
            return Self::unsolicited(mac, solicitation.target);
        }
        Self {
            destination_mac: solicitation.mac.unwrap_or(from),
            destination: solicitation.source,
            flags: ROUTER_FLAG | SOLICITED | OVERRIDE,
            ..Self::unsolicited(mac, solicitation.target)
        }
    }

    /// Tells everybody where `target` is now (section 7.2.6), as gratuitous ARP does.
    pub fn unsolicited(mac: MacAddr, target: Ipv6Addr) -> Self {
        let destination_mac = MacAddr::multicast_v6(ALL_NODES);
        let (source, destination) = (target, ALL_NODES);
        Self {
            destination_mac,
            mac,
            source,
            destination,
            target,
            kind: NEIGHBOUR_ADVERTISEMENT,
            flags: ROUTER_FLAG | OVERRIDE,
        }
    }

    /// Writes the frame to `out`. Its length, or `None` when it does not fit.
    pub fn write(&self, out: &mut [u8]) -> Option<usize> {
        let len = NeighbourHeader::LEN + MacOption::LEN;
        let mut ip = Ipv6Header::new(self.source, self.destination, ip_protocol::ICMPV6, len)?;
        ip.hop_limit = HOP_LIMIT;
        let option_kind = if self.kind == NEIGHBOUR_SOLICITATION { OPTION_SOURCE_MAC } else { OPTION_TARGET_MAC };
        let option = MacOption { kind: option_kind, length: 1, mac: self.mac };
        let mut nd = NeighbourHeader {
            kind: self.kind,
            code: 0,
            checksum: U16::ZERO,
            flags: U32::new(self.flags),
            target: self.target.octets(),
        };
        let pseudo = ipv6::pseudo_sum(&ip, ip_protocol::ICMPV6, len);
        nd.checksum = pseudo.and(Sum::of(nd.as_bytes())).and(Sum::of(option.as_bytes())).finish();
        let ethernet = EthernetHeader::new(self.destination_mac, self.mac, ethertype::IPV6);
        option.put(nd.put(ip.put(ethernet.put(out)?)?)?)?;
        Some(Self::LEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::hex;
    use proptest::prelude::*;

    const VIP: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x100);
    const ROUTER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0xfe);
    const ROUTER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0x0e, 0xfe]);
    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xe1]);
    const SOLICITATION: &str = "6000000000203aff20010db80001000000000000000000feff0200000000000000000001ff000100\
                                87000a2f0000000020010db80001000000000000000001000101020000000efe";

    fn frame(message: NeighbourFrame) -> Vec<u8> {
        let mut out = vec![0xa5; NeighbourFrame::LEN + 1];
        assert_eq!(message.write(&mut out), Some(86));
        assert_eq!(out.pop(), Some(0xa5));
        out
    }

    /// The recorded solicitation with some bytes changed and its checksum made right again.
    fn changed(changes: &[(usize, u8)]) -> Vec<u8> {
        let mut packet = hex(SOLICITATION);
        changes.iter().for_each(|&(at, value)| packet[at] = value);
        packet[42..44].fill(0);
        let pseudo = ipv6::pseudo_sum(Ipv6Header::of(&packet).unwrap(), ip_protocol::ICMPV6, 32);
        let checksum = pseudo.and(Sum::of(&packet[40..])).finish();
        packet[42..44].copy_from_slice(checksum.as_bytes());
        packet
    }

    #[test]
    fn the_answer_to_the_recorded_solicitation_is_the_recorded_advertisement() {
        let message = NeighbourMessage::parse(&hex(SOLICITATION)).unwrap();
        assert!(message.is_solicitation && !message.is_probe());
        assert_eq!((message.source, message.target, message.mac), (ROUTER, VIP, Some(ROUTER_MAC)));
        let recorded = hex("020000000efe0200000000e186dd6000000000203aff20010db800010000000000000000010020010db80001\
                            000000000000000000fe88000696e000000020010db800010000000000000000010002010200000000e1");
        let answer = NeighbourFrame::answer(&message, ROUTER_MAC, MAC);
        assert_eq!(frame(answer), recorded);
        let advertised = NeighbourMessage::parse(&frame(answer)[14..]).unwrap();
        assert!(advertised.solicited && advertised.overrides && !advertised.is_solicitation);
        assert_eq!((advertised.target, advertised.mac), (VIP, Some(MAC)));
    }

    #[test]
    fn a_made_solicitation_is_the_recorded_one() {
        let made = frame(NeighbourFrame::solicitation(ROUTER_MAC, ROUTER, VIP));
        let recorded = [hex("3333ff000100020000000efe86dd"), hex(SOLICITATION)].concat();
        assert_eq!(made, recorded);
    }

    #[test]
    fn an_unsolicited_advertisement_goes_to_all_nodes() {
        let out = frame(NeighbourFrame::unsolicited(MAC, VIP));
        assert_eq!(out[..6], hex("333300000001"));
        let message = NeighbourMessage::parse(&out[14..]).unwrap();
        assert!(message.overrides && !message.solicited);
    }

    #[test]
    fn a_probe_is_answered_to_everybody() {
        let mut packet = hex(SOLICITATION);
        packet.truncate(64);
        packet[5] = 24;
        packet[8..24].fill(0);
        packet[42..44].fill(0);
        let sum = ipv6::pseudo_sum(Ipv6Header::of(&packet).unwrap(), 58, 24).and(Sum::of(&packet[40..]));
        packet[42..44].copy_from_slice(sum.finish().as_bytes());
        let probe = NeighbourMessage::parse(&packet).unwrap();
        assert!(probe.is_probe() && probe.mac.is_none());
        assert_eq!(NeighbourFrame::answer(&probe, ROUTER_MAC, MAC), NeighbourFrame::unsolicited(MAC, VIP));
    }

    #[test]
    fn every_check_of_the_rfc_refuses_something() {
        assert!(NeighbourMessage::parse(&changed(&[])).is_some());
        let mut wrong_checksum = hex(SOLICITATION);
        wrong_checksum[42] ^= 1;
        assert_eq!(NeighbourMessage::parse(&wrong_checksum), None);
        let probe_with_mac: Vec<(usize, u8)> = (8..24).map(|at| (at, 0)).collect();
        for changes in [
            &[(7, 254)][..], // came through a router
            &[(41, 1)],      // code
            &[(40, 134)],    // router advertisement
            &[(48, 0xff)],   // target is a group
            &[(65, 0)],      // option of length 0
            &[(65, 2)],      // option longer than the packet
            &probe_with_mac,
            &[(40, 136), (44, 0x40)], // solicited, but to a group
        ] {
            assert_eq!(NeighbourMessage::parse(&changed(changes)), None, "{changes:?}");
        }
        for len in 0..72 {
            assert_eq!(NeighbourMessage::parse(&hex(SOLICITATION)[..len]), None);
        }
    }

    #[test]
    fn options_of_other_kinds_are_stepped_over() {
        let message = NeighbourMessage::parse(&changed(&[(64, 14)])).unwrap();
        assert_eq!(message.mac, None);
    }

    proptest! {
        #[test]
        fn any_change_of_bytes_is_survived(changes in prop::collection::vec((0..72_usize, any::<u8>()), 0..6)) {
            let _ = NeighbourMessage::parse(&changed(&changes));
        }
    }
}

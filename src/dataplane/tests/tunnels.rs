//! Tunnels of every kind, from and over both IP versions: what a receiver takes out is what was sent, one hop on. The
//! receiver here goes by the RFCs and by bytes, and shares no code with the director.

use super::lab::*;
use super::packets::{Seen, fix_ip_checksum, long_sum};
use crate::dataplane::snapshot::StaticNeighbour;
use crate::dataplane::vec_frame::VecFrame;
use crate::model::{DropReason, Forward, InterfaceId, PortId, Protocol, Tunnel, TunnelChecksum, TunnelKind};
use proptest::prelude::*;
use std::collections::HashSet;
use std::net::IpAddr;

const PORT: u16 = 6081;
const VIPS: [&str; 2] = ["192.0.2.10", "2001:db8:1::10"];
const CLIENTS: [&str; 2] = ["198.51.100.7", "2001:db8:c::7"];
const SERVERS: [&str; 2] = ["10.0.0.1", "fd00::1"];
const OWN: [&str; 2] = ["10.0.0.254", "fd00::fe"];

/// A kind of tunnel, and the IP versions in it and around it.
#[derive(Clone, Copy, Debug)]
struct Case {
    tunnel: Tunnel,
    inner_v6: bool,
    outer_v6: bool,
}

fn cases() -> Vec<Case> {
    let mut all = vec![];
    for kind in [TunnelKind::Ipip, TunnelKind::Gre, TunnelKind::Gue] {
        for checksum in [TunnelChecksum::None, TunnelChecksum::Full, TunnelChecksum::Remote] {
            let tunnel = Tunnel { kind, port: if kind == TunnelKind::Gue { PORT } else { 0 }, checksum };
            for (inner_v6, outer_v6) in [(false, false), (false, true), (true, false), (true, true)] {
                all.push(Case { tunnel, inner_v6, outer_v6 });
            }
        }
    }
    all
}

impl Case {
    /// Bytes in front of the inner packet.
    fn overhead(self) -> usize {
        let own = match (self.tunnel.kind, self.tunnel.checksum) {
            (TunnelKind::Ipip, _) => 0,
            (TunnelKind::Gre, TunnelChecksum::Full) => 8,
            (TunnelKind::Gre, _) => 4,
            (TunnelKind::Gue, _) => 12,
        };
        own + if self.outer_v6 { 40 } else { 20 }
    }

    fn lab(self) -> Lab {
        let mut lab = Lab::new();
        lab.network(|n| {
            n.interfaces[0].addresses.push("2001:db8:1::fe/64".parse().unwrap());
            n.interfaces[1].addresses.push("fd00::fe/64".parse().unwrap());
            n.neighbours.extend([(0, "2001:db8:c::7", GATEWAY_MAC), (1, "fd00::1", server_mac(1))].map(
                |(interface, address, mac)| StaticNeighbour {
                    interface: InterfaceId(interface),
                    address: address.parse().unwrap(),
                    mac,
                },
            ));
            let to_client = crate::dataplane::snapshot::Route {
                prefix: "2001:db8:c::/64".parse().unwrap(),
                via: None,
                interface: InterfaceId(0),
            };
            n.routes.push(to_client);
        });
        let with_port = |host: &str| if host.contains(':') { format!("[{host}]:53") } else { format!("{host}:53") };
        let service = lab.service(Protocol::Udp, &with_port(VIPS[usize::from(self.inner_v6)]), "rr");
        lab.add(service, &with_port(SERVERS[usize::from(self.outer_v6)]), Forward::Tun(self.tunnel), 1);
        lab.publish();
        lab.quiet();
        lab
    }

    /// The packet in its tunnel, as the server gets it.
    fn relay(self, lab: &mut Lab, sent: &Sent) -> Opened {
        let seen = only(lab.feed(CLIENT_SIDE, &sent.frame()));
        assert_eq!((seen.port, seen.to_mac, seen.from_mac), (1, server_mac(1), SERVER_SIDE_MAC));
        assert_eq!(seen.kind, if self.outer_v6 { 0x86dd } else { 0x0800 });
        self.open(&seen.packet)
    }

    /// Takes a tunnel packet apart, and checks everything that can be.
    fn open(self, packet: &[u8]) -> Opened {
        let (mut opened, protocol, own) = if self.outer_v6 { open_v6(packet) } else { open_v4(packet) };
        let pseudo_addresses = if self.outer_v6 { &packet[8..40] } else { &packet[12..20] };
        let (in_ip, ethertype): (u8, [u8; 2]) = if self.inner_v6 { (41, [0x86, 0xdd]) } else { (4, [8, 0]) };
        opened.inner = match protocol {
            4 | 41 => {
                assert_eq!((self.tunnel.kind, protocol), (TunnelKind::Ipip, in_ip));
                own.to_vec()
            }
            47 => {
                let with_checksum = self.tunnel.checksum == TunnelChecksum::Full;
                assert_eq!((own[0], own[1], &own[2..4]), (if with_checksum { 0x80 } else { 0 }, 0, &ethertype[..]));
                assert!(!with_checksum || long_sum(own) == 0 && own[6..8] == [0, 0], "GRE's sum");
                own[if with_checksum { 8 } else { 4 }..].to_vec()
            }
            17 => {
                let word = |at: usize| u16::from_be_bytes([own[at], own[at + 1]]);
                opened.source_port = word(0);
                assert_eq!((word(2), usize::from(word(4)), &own[8..12]), (PORT, own.len(), &[0, in_ip, 0, 0][..]));
                let length = (own.len() as u32).to_be_bytes();
                let summed = [pseudo_addresses, &length, &[0, 0, 0, 17], own].concat();
                match self.tunnel.checksum {
                    TunnelChecksum::None => assert_eq!(word(6), 0),
                    _ => assert!(word(6) != 0 && long_sum(&summed) == 0, "UDP's sum"),
                }
                own[12..].to_vec()
            }
            other => panic!("protocol {other}"),
        };
        assert_eq!(packet.len() - opened.inner.len(), self.overhead());
        opened
    }
}

/// A tunnel packet taken apart.
#[derive(Debug, PartialEq)]
struct Opened {
    class: u8,
    hops: u8,
    dont_fragment: bool,
    id: u16,
    /// GUE's.
    source_port: u16,
    inner: Vec<u8>,
}

fn open_v4(packet: &[u8]) -> (Opened, u8, &[u8]) {
    assert_eq!((packet[0], usize::from(u16::from_be_bytes([packet[2], packet[3]]))), (0x45, packet.len()));
    assert_eq!(long_sum(&packet[..20]), 0, "the IP header's sum");
    assert_eq!(host(&packet[12..16]), OWN[0].parse::<IpAddr>().unwrap());
    assert_eq!(host(&packet[16..20]), SERVERS[0].parse::<IpAddr>().unwrap());
    assert_eq!((packet[6] & 0xbf, packet[7]), (0, 0), "not a fragment");
    let (dont_fragment, id) = (packet[6] == 0x40, u16::from_be_bytes([packet[4], packet[5]]));
    let opened = Opened { class: packet[1], hops: packet[8], dont_fragment, id, source_port: 0, inner: vec![] };
    (opened, packet[9], &packet[20..])
}

fn open_v6(packet: &[u8]) -> (Opened, u8, &[u8]) {
    assert_eq!((packet[0] >> 4, usize::from(u16::from_be_bytes([packet[4], packet[5]]))), (6, packet.len() - 40));
    assert_eq!((packet[1] & 15, packet[2], packet[3]), (0, 0, 0), "no flow label");
    assert_eq!(host(&packet[8..24]), OWN[1].parse::<IpAddr>().unwrap());
    assert_eq!(host(&packet[24..40]), SERVERS[1].parse::<IpAddr>().unwrap());
    let (class, hops) = (packet[0] << 4 | packet[1] >> 4, packet[7]);
    let opened = Opened { class, hops, dont_fragment: false, id: 0, source_port: 0, inner: vec![] };
    (opened, packet[6], &packet[40..])
}

fn host(octets: &[u8]) -> IpAddr {
    match <[u8; 4]>::try_from(octets) {
        Ok(v4) => v4.into(),
        Err(_) => <[u8; 16]>::try_from(octets).unwrap().into(),
    }
}

fn octets(host: &str) -> Vec<u8> {
    match host.parse::<IpAddr>().unwrap() {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// A client's UDP datagram.
#[derive(Clone, Debug)]
struct Sent {
    v6: bool,
    class: u8,
    hops: u8,
    dont_fragment: bool,
    flow: u16,
    data: Vec<u8>,
}

impl Sent {
    fn new(v6: bool) -> Self {
        Self { v6, class: 0, hops: 64, dont_fragment: true, flow: 1, data: vec![1, 2, 3] }
    }

    /// So that the IP packet is this long.
    fn of_len(self, len: usize) -> Self {
        let data = (0..len - 8 - if self.v6 { 40 } else { 20 }).map(|n| n as u8).collect();
        Self { data, ..self }
    }

    fn packet(&self) -> Vec<u8> {
        let (from, to) = (octets(CLIENTS[usize::from(self.v6)]), octets(VIPS[usize::from(self.v6)]));
        let length = 8 + self.data.len() as u16;
        let ports = [(1000 + self.flow).to_be_bytes(), 53_u16.to_be_bytes()].concat();
        let mut udp = [&ports[..], &length.to_be_bytes(), &[0, 0], &self.data].concat();
        let pseudo = [&from[..], &to, &[0, 17], &length.to_be_bytes()].concat();
        let sum = long_sum(&[&pseudo[..], &udp].concat());
        udp[6..8].copy_from_slice(&if sum == 0 { 0xffff } else { sum }.to_be_bytes());
        let header = if self.v6 {
            let [high, low] = length.to_be_bytes();
            vec![0x60 | self.class >> 4, self.class << 4, 0, 0, high, low, 17, self.hops]
        } else {
            let [high, low] = (length + 20).to_be_bytes();
            let fragment = if self.dont_fragment { 0x40 } else { 0 };
            vec![0x45, self.class, high, low, 0xab, 0xcd, fragment, 0, self.hops, 17, 0, 0]
        };
        let mut packet = [header, from, to, udp].concat();
        if !self.v6 {
            fix_ip_checksum(&mut packet);
        }
        packet
    }

    fn frame(&self) -> Vec<u8> {
        let ethertype: [u8; 2] = if self.v6 { [0x86, 0xdd] } else { [8, 0] };
        [&CLIENT_SIDE_MAC[..], &GATEWAY_MAC, &ethertype, &self.packet()].concat()
    }

    /// As it is to arrive.
    fn one_hop_on(&self) -> Vec<u8> {
        Self { hops: self.hops - 1, ..self.clone() }.packet()
    }
}

/// RFC 3168 §9.1.1, full functionality.
fn outer_class(inner: u8) -> u8 {
    if inner % 4 == 3 { inner - 1 } else { inner }
}

#[test]
fn gues_source_port_tells_flows_apart_and_keeps_each_together() {
    for case in cases().into_iter().filter(|case| case.tunnel.kind == TunnelKind::Gue) {
        let mut lab = case.lab();
        let mut port_of = |flow, data: &[u8]| {
            let sent = Sent { flow, data: data.to_vec(), ..Sent::new(case.inner_v6) };
            case.relay(&mut lab, &sent).source_port
        };
        let ports: Vec<u16> = (0..100).map(|flow| port_of(flow, b"first")).collect();
        assert!(ports.iter().all(|port| (32_768..60_999).contains(port)));
        assert!(ports.iter().collect::<HashSet<_>>().len() > 90, "{ports:?}");
        assert_eq!(ports, (0..100).map(|flow| port_of(flow, b"second")).collect::<Vec<_>>());
    }
}

#[test]
fn every_length_around_the_mtu_goes_whole_or_not_at_all_where_nothing_may_be_fragmented() {
    for case in cases() {
        let mut lab = case.lab();
        let fits = 1500 - case.overhead();
        case.relay(&mut lab, &Sent::new(case.inner_v6));
        for len in fits - 9..=fits {
            let sent = Sent::new(case.inner_v6).of_len(len);
            assert_eq!(case.relay(&mut lab, &sent).inner, sent.one_hop_on(), "{len}");
        }
        for len in fits + 1..fits + 10 {
            let before = lab.dropped(DropReason::MtuExceeded);
            let told = only(lab.feed(CLIENT_SIDE, &Sent::new(case.inner_v6).of_len(len).frame()));
            assert_eq!((told.port, lab.dropped(DropReason::MtuExceeded)), (0, before + 1));
            let message = &told.packet[if case.inner_v6 { 40 } else { 20 }..];
            let kind: [u8; 2] = if case.inner_v6 { [2, 0] } else { [3, 4] };
            assert_eq!((&message[..2], &message[4..8]), (&kind[..], &(fits as u32).to_be_bytes()[..]));
        }
    }
}

/// The packet that fragments make up, in order.
fn put_together(fragments: &[Seen], v6: bool) -> Vec<u8> {
    let (header, unit) = if v6 { (48, 1) } else { (20, 8) };
    let field = |packet: &[u8]| if v6 { packet[44..48].to_vec() } else { packet[4..6].to_vec() };
    let first = &fragments[0].packet;
    let mut data = vec![];
    for (n, Seen { packet, .. }) in fragments.iter().enumerate() {
        assert!(packet.len() <= 1500 && field(packet) == field(first) && (v6 || long_sum(&packet[..20]) == 0));
        let place = if v6 { [packet[42], packet[43]] } else { [packet[6], packet[7]] };
        let (place, more_bit) = (u16::from_be_bytes(place), if v6 { 1 } else { 0x2000 });
        let mask = if v6 { 0xfff8 } else { 0x1fff };
        assert_eq!(usize::from(place & mask) * unit, data.len());
        assert_eq!(place & more_bit != 0, n + 1 < fragments.len(), "more to come");
        data.extend(&packet[header..]);
    }
    if v6 {
        let length = (data.len() as u16).to_be_bytes();
        return [&first[..4], &length, &[first[40], first[7]], &first[8..40], &data].concat();
    }
    let length = (20 + data.len() as u16).to_be_bytes();
    let mut whole = [&first[..2], &length, &first[4..6], &[0, 0], &first[8..20], &data].concat();
    fix_ip_checksum(&mut whole);
    whole
}

#[test]
fn what_may_be_fragmented_is_so_around_the_inner_packet() {
    for case in cases().into_iter().filter(|case| !case.inner_v6) {
        for (pmtu_disc, dont_fragment) in [(true, false), (false, false), (false, true)] {
            let mut lab = case.lab();
            lab.settings(|s| s.pmtu_disc = pmtu_disc);
            lab.publish();
            for len in 1500 - case.overhead() + 1..=1500 {
                let sent = Sent { dont_fragment, ..Sent::new(false) }.of_len(len);
                let fragments = lab.feed(CLIENT_SIDE, &sent.frame());
                assert_eq!(fragments.len(), 2, "{case:?} {len}");
                assert_eq!(case.open(&put_together(&fragments, case.outer_v6)).inner, sent.one_hop_on());
            }
        }
    }
}

#[test]
fn an_ipv6_packet_is_never_fragmented_whatever_pmtu_disc_says() {
    for case in cases().into_iter().filter(|case| case.inner_v6) {
        let mut lab = case.lab();
        lab.settings(|s| s.pmtu_disc = false);
        lab.publish();
        let told = only(lab.feed(CLIENT_SIDE, &Sent::new(true).of_len(1500 - case.overhead() + 1).frame()));
        assert_eq!((told.port, told.packet[40]), (0, 2), "packet too big");
    }
}

#[test]
fn a_link_too_small_for_a_tunnel_takes_nothing() {
    for case in cases() {
        let least = if case.outer_v6 { 1280 } else { 68 } + case.overhead();
        for (mtu, sent) in [(least - 1, 0), (least, 1)] {
            let mut lab = case.lab();
            lab.network(|n| n.interfaces[1].mtu = mtu as u16);
            lab.publish();
            assert_eq!(lab.feed(CLIENT_SIDE, &Sent::new(case.inner_v6).frame()).len(), sent, "{case:?} {mtu}");
            assert_eq!(lab.dropped(DropReason::MtuExceeded), 1 - sent as u64);
        }
    }
}

#[test]
fn a_buffer_without_room_for_the_headers_is_dropped_by_name() {
    for case in cases() {
        let mut lab = case.lab();
        let frame = Sent::new(case.inner_v6).frame();
        let mut feed = |headroom| lab.process(CLIENT_SIDE, [VecFrame::with_headroom(&frame, headroom)]).len();
        assert_eq!((feed(case.overhead() - 1), feed(case.overhead())), (0, 1));
        assert_eq!(lab.drops(), [(DropReason::NoHeadroom, 1)]);
    }
}

#[test]
fn a_tag_and_a_changed_neighbour_are_in_the_next_packet() {
    for case in cases() {
        let mut lab = case.lab();
        case.relay(&mut lab, &Sent::new(case.inner_v6));
        lab.network(|n| {
            n.interfaces[1].vlan = Some(7);
            n.neighbours.iter_mut().filter(|n| n.interface == InterfaceId(1)).for_each(|n| n.mac = [2; 6]);
        });
        lab.publish();
        lab.quiet();
        let sent = Sent::new(case.inner_v6);
        let seen = only(lab.feed(CLIENT_SIDE, &sent.frame()));
        assert_eq!((seen.vlan, seen.to_mac, seen.from_mac), (Some(7), [2; 6], SERVER_SIDE_MAC));
        assert_eq!(case.open(&seen.packet).inner, sent.one_hop_on());
    }
}

#[test]
fn a_port_without_an_address_of_the_outer_version_lends_one_of_another() {
    let case = Case { tunnel: Tunnel::default(), inner_v6: false, outer_v6: true };
    let mut lab = case.lab();
    lab.network(|n| n.interfaces[1].addresses.retain(|net| net.addr().is_ipv4()));
    lab.network(|n| {
        let prefix = "fd00::/64".parse().unwrap();
        n.routes.push(crate::dataplane::snapshot::Route { prefix, via: None, interface: InterfaceId(1) });
    });
    lab.publish();
    let seen = only(lab.feed(CLIENT_SIDE, &Sent::new(false).frame()));
    assert_eq!(host(&seen.packet[8..24]), "2001:db8:1::fe".parse::<IpAddr>().unwrap());
    lab.network(|n| n.interfaces.iter_mut().for_each(|i| i.addresses.retain(|net| net.addr().is_ipv4())));
    lab.publish();
    lab.quiet();
    let sent = lab.feed(CLIENT_SIDE, &Sent::new(false).frame());
    assert!(sent.is_empty(), "nobody would know whose it is: {sent:x?}");
    assert_eq!(lab.drops(), [(DropReason::NoRoute, 1)]);
}

#[test]
fn a_packet_that_waited_for_its_next_hop_is_as_one_that_did_not() {
    let case = Case { tunnel: Tunnel::default(), inner_v6: true, outer_v6: false };
    let mut lab = case.lab();
    lab.network(|n| n.neighbours.retain(|n| n.interface != InterfaceId(1)));
    lab.network(|n| n.interfaces[1].mac[5] ^= 1);
    lab.publish();
    lab.quiet();
    let sent = Sent::new(true);
    let question = only(lab.feed(CLIENT_SIDE, &sent.frame()));
    assert!(question.is_arp());
    let mac = question.from_mac;
    let answer = super::packets::arp_reply(mac, None, server_mac(1), SERVERS[0], OWN[0]);
    let seen = only(lab.feed(PortId(1), &answer));
    assert_eq!((seen.to_mac, seen.from_mac), (server_mac(1), mac));
    assert_eq!(case.open(&seen.packet).inner, sent.one_hop_on());
}

proptest! {
    #[test]
    fn encapsulation_and_decapsulation_are_the_identity_but_for_a_hop(
        n in 0..cases().len(), class: u8, hops in 2_u8.., dont_fragment: bool, flow in 0_u16..1000,
        data in prop::collection::vec(any::<u8>(), 0..1200), cuts in prop::collection::vec(54_usize..1300, 0..4),
    ) {
        let case = cases()[n];
        let mut lab = case.lab();
        let sent = Sent { v6: case.inner_v6, class, hops, dont_fragment, flow, data };
        let frame = sent.frame();
        // the headers stand in the first segment
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| (cut + 8).min(frame.len())).collect();
        cuts.extend([0, frame.len()]);
        cuts.sort_unstable();
        let segments = cuts.windows(2).map(|cut| &frame[cut[0]..cut[1]]);
        let seen = only(lab.process(CLIENT_SIDE, [VecFrame::in_segments(segments)]));
        let opened = case.open(&seen.packet);
        prop_assert_eq!(&opened.inner, &sent.one_hop_on());
        prop_assert_eq!((opened.class, opened.hops), (outer_class(class), hops - 1));
        prop_assert_eq!(opened.dont_fragment, dont_fragment && !case.inner_v6 && !case.outer_v6);
        prop_assert!(!opened.dont_fragment || opened.id == 0);
    }
}

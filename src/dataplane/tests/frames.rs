//! Frames of every shape: tags, segments, nonsense.

use super::lab::*;
use super::packets::*;
use crate::dataplane::vec_frame::VecFrame;
use crate::model::limits::BURST;
use crate::model::{DropReason, Forward, Protocol, Tunnel};
use crate::wire::ip_protocol::IPIP;
use proptest::prelude::*;

/// A service with one server behind the tagged interface.
fn tagged(forward: Forward) -> Lab {
    let (mut lab, _) = Lab::with_servers(forward, &["10.1.0.7:80"]);
    lab.connect_to_nobody();
    let reply = arp_reply(TAGGED_MAC, Some(TAG), server_mac(7), "10.1.0.7", "10.1.0.254");
    let seen = only(lab.feed(SERVER_SIDE, &reply));
    assert_eq!(seen.vlan, Some(TAG), "what waited has its tag");
    lab
}

impl Lab {
    /// A SYN to a server whose MAC address is not known: a question goes out, the SYN waits.
    fn connect_to_nobody(&mut self) {
        let question = self.relay_in(&tcp(client(0), vip(), SYN));
        assert_eq!((question.vlan, question.arp().target_ip()), (Some(TAG), ip("10.1.0.7")));
    }
}

#[test]
fn a_tag_is_put_on_towards_a_tagged_interface_and_taken_off_on_the_way_back() {
    for method in [Forward::Nat, Forward::Dr, Forward::Tun(Tunnel::default())] {
        let mut lab = tagged(method);
        let seen = lab.relay_in(&tcp(client(1), vip(), SYN).data(b"there"));
        assert_eq!((seen.port, seen.vlan, seen.to_mac, seen.from_mac), (1, Some(TAG), server_mac(7), TAGGED_MAC));
        seen.assert_checksums();
        assert!(seen.packet.ends_with(b"there"));
    }
    let mut lab = tagged(Forward::Nat);
    lab.relay_in(&tcp(client(1), vip(), SYN));
    let mut answer = tcp(at("10.1.0.7:80"), client(1), SYN | ACK).data(b"back");
    (answer.to_mac, answer.vlan) = (TAGGED_MAC, Some(TAG));
    let seen = only(lab.feed(SERVER_SIDE, &answer.bytes()));
    assert_eq!((seen.port, seen.vlan, seen.source()), (0, None, vip()));
    seen.assert_checksums();
    assert!(seen.packet.ends_with(b"back"));
}

#[test]
fn a_packet_that_comes_tagged_goes_into_a_tunnel_untagged() {
    let (mut lab, _) = Lab::with_servers(Forward::Tun(Tunnel::default()), &["10.0.0.1:80"]);
    let mut sent = tcp(client(1), vip(), SYN);
    (sent.to_mac, sent.vlan) = (TAGGED_MAC, Some(TAG));
    let seen = only(lab.feed(SERVER_SIDE, &sent.bytes()));
    assert_eq!((seen.vlan, seen.ip().protocol, seen.packet.len()), (None, IPIP, 60));
}

#[test]
fn a_tag_of_nobody_and_another_stations_mac_are_refused() {
    let (mut lab, _) = Lab::nat();
    let sent = tcp(client(1), vip(), SYN);
    lab.refuse(DropReason::UnknownVlan, &Datagram { vlan: Some(7), ..sent.clone() });
    lab.refuse(DropReason::NotOurMac, &Datagram { to_mac: [2; 6], ..sent.clone() });
    lab.refuse(DropReason::NotOurMac, &Datagram { to_mac: SERVER_SIDE_MAC, ..sent.clone() });
    // tag 0 carries a priority only (802.1Q)
    assert_eq!(lab.relay_in(&Datagram { vlan: Some(0), ..sent }).vlan, None);
}

#[test]
fn a_packet_to_the_whole_link_is_no_services_even_in_a_connection() {
    // ip_vs_in_hook looks at PACKET_HOST only
    let (mut lab, _) = Lab::nat();
    let shouted = Datagram { to_mac: [0xff; 6], ..tcp(client(1), vip(), SYN) };
    lab.refuse(DropReason::Multicast, &shouted);
    lab.connect(1);
    lab.refuse(DropReason::Multicast, &shouted);
}

#[test]
fn a_head_may_end_anywhere_in_the_headers() {
    for method in [Forward::Nat, Forward::Dr, Forward::Tun(Tunnel::default())] {
        for options in [0, 4, 40] {
            for vlan in [None, Some(TAG)] {
                let mut sent = tcp(client(1), vip(), SYN).data(b"some data to carry");
                (sent.options, sent.vlan) = (vec![1; options], vlan);
                let port = if vlan.is_some() { SERVER_SIDE } else { CLIENT_SIDE };
                sent.to_mac = if vlan.is_some() { TAGGED_MAC } else { CLIENT_SIDE_MAC };
                every_split(method, port, &sent);
            }
        }
    }
}

fn every_split(method: Forward, port: crate::model::PortId, sent: &Datagram) {
    let (mut lab, _) = Lab::with_servers(method, &["10.0.0.1:80"]);
    let bytes = sent.bytes();
    let expected = only(lab.feed(port, &bytes));
    for at in 1..bytes.len() {
        let (head, tail) = bytes.split_at(at);
        let seen = only(lab.process(port, [VecFrame::in_segments([head, tail])]));
        assert_eq!(seen.packet, expected.packet, "{method:?} split at {at}");
        let thirds = VecFrame::in_segments([&head[..at / 2], &head[at / 2..], tail]);
        assert_eq!(only(lab.process(port, [thirds])).packet, expected.packet);
    }
    assert_eq!(lab.drops(), []);
}

#[test]
fn udp_and_ping_and_arp_may_be_split_too() {
    let mut lab = Lab::new();
    let service = lab.service(Protocol::Udp, "192.0.2.10:53", "rr");
    lab.add(service, "10.0.0.1:5353", Forward::Nat, 1);
    lab.publish();
    lab.quiet();
    let query = udp(client(1), at("192.0.2.10:53"), b"a question").bytes();
    let ping = icmp("198.51.100.7", "192.0.2.254", 8, 0, b"\0\0\0\0data").bytes();
    let arp = arp_request([2; 6], "192.0.2.77", "192.0.2.254");
    for bytes in [query, ping, arp] {
        let mut expected = only(lab.feed(CLIENT_SIDE, &bytes)).packet;
        for split in 1..bytes.len() {
            let frame = VecFrame::in_segments([&bytes[..split], &bytes[split..]]);
            let mut seen = only(lab.process(CLIENT_SIDE, [frame])).packet;
            // the identification of a ping's answer is drawn
            for packet in [&mut seen, &mut expected] {
                packet[4..6].fill(0);
                packet[10..12].fill(0);
            }
            assert_eq!(seen, expected, "split at {split}");
        }
    }
    assert_eq!(lab.drops(), []);
}

#[test]
fn every_truncation_of_a_frame_is_dropped_with_a_reason() {
    let (mut lab, _) = Lab::nat();
    let mut tagged = tcp(client(1), vip(), SYN);
    (tagged.vlan, tagged.options) = (Some(0), vec![1; 12]);
    let frames = [
        tcp(client(1), vip(), SYN).bytes(),
        udp(client(1), vip(), b"12345").bytes(),
        icmp("198.51.100.7", "192.0.2.254", 8, 0, &[0; 12]).bytes(),
        arp_request([2; 6], "192.0.2.77", "192.0.2.254"),
        tagged.bytes(),
    ];
    let mut total = 0;
    for frame in frames {
        for len in 0..frame.len() {
            assert!(lab.feed(CLIENT_SIDE, &frame[..len]).is_empty(), "{len}");
            total += 1;
        }
    }
    let drops: u64 = lab.drops().iter().map(|(_, n)| n).sum();
    assert_eq!(drops, total);
    assert!(lab.director.connections().is_empty());
}

#[test]
fn a_packet_whose_transport_is_cut_short_by_its_own_length_is_handled() {
    for method in [Forward::Nat, Forward::Dr, Forward::Tun(Tunnel::default())] {
        for protocol in [6, 17, 1, 132, 50, 255] {
            let (mut lab, _) = Lab::with_servers(method, &["10.0.0.1:80"]);
            for len in 0..24 {
                let mut short = tcp(client(1), vip(), SYN);
                let transport = short.packet()[20..].to_vec();
                short.load = Load::Raw(protocol, transport.iter().copied().cycle().take(len).collect());
                lab.client_sends(&short);
                lab.client_sends(&Datagram { padding: 20, ..short });
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn damaged_frames_are_accounted_for_and_cost_nothing(
        damages in prop::collection::vec((0_usize..90, any::<u8>(), 0_usize..100, 0_u8..4), 100)
    ) {
        let mut lab = tagged(Forward::Nat);
        lab.connect(1);
        let seeds = [
            tcp(client(1), vip(), ACK).data(b"0123456789").bytes(),
            tcp(at("10.1.0.7:80"), client(1), ACK).bytes(),
            icmp("198.51.100.7", "192.0.2.10", 8, 0, &[3; 20]).bytes(),
            Datagram { vlan: Some(TAG), to_mac: TAGGED_MAC, ..udp(client(1), vip(), b"x") }.bytes(),
        ];
        for (at, value, cut, which) in damages {
            let mut bytes = seeds[usize::from(which)].clone();
            let len = bytes.len();
            bytes[at % len] = value;
            if bytes.get(12..15) == Some(&[8, 0, 0x45]) && value & 1 == 0 {
                fix_ip_checksum(&mut bytes[14..34]);
            }
            let cut = cut.min(len);
            lab.process(CLIENT_SIDE, [VecFrame::in_segments([&bytes[..cut], &bytes[cut..]])]);
            lab.now = lab.now.plus_ms(u64::from(value));
            lab.housekeep();
        }
    }
}

/// Any mixture of what a port receives, some of it damaged.
fn mixture() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let kinds = (0_u16..6, 0_u8..7, prop::option::of((0_usize..80, any::<u8>())));
    let frame = kinds.prop_map(|(n, kind, damage)| {
        let mut bytes = match kind {
            0 => tcp(client(n), vip(), SYN).bytes(),
            1 => tcp(client(n), vip(), ACK).data(b"abc").bytes(),
            2 => tcp(client(n), vip(), RST).bytes(),
            3 => udp(client(n), vip(), b"abc").bytes(),
            4 => icmp("198.51.100.7", "192.0.2.10", 8, 0, &[3; 20]).bytes(),
            5 => Datagram { vlan: Some(0), options: vec![1; 8], ..tcp(client(n), vip(), SYN) }.bytes(),
            _ => tcp(client(n), at("203.0.113.1:80"), SYN).bytes(),
        };
        if let Some((at, value)) = damage {
            let len = bytes.len();
            bytes[at % len] = value;
        }
        bytes
    });
    prop::collection::vec(frame, 1..=BURST)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn a_burst_is_treated_as_its_frames_one_after_the_other(bursts in prop::collection::vec(mixture(), 1..4)) {
        let new = || Lab::with_servers(Forward::Nat, &["10.0.0.1:80", "10.0.0.2:80"]).0;
        let (mut together, mut apart) = (new(), new());
        for burst in &bursts {
            // a damaged frame may have become ARP, which the account wants by itself
            let is_arp = |bytes: &Vec<u8>| matches!(bytes.get(12..18), Some([8, 6, ..] | [0x81, 0, _, _, 8, 6]));
            let burst: Vec<_> = burst.iter().filter(|bytes| !is_arp(bytes)).collect();
            let sent = together.process(CLIENT_SIDE, burst.iter().map(|bytes| VecFrame::new(bytes)));
            let expected: Vec<_> = burst.iter().flat_map(|bytes| apart.feed(CLIENT_SIDE, bytes)).collect();
            let packets = |sent: Vec<Seen>| sent.into_iter().map(|seen| (seen.port, seen.packet)).collect::<Vec<_>>();
            prop_assert_eq!(packets(sent), packets(expected));
        }
        prop_assert_eq!(together.drops(), apart.drops());
        prop_assert_eq!(together.director.connections().len(), apart.director.connections().len());
    }
}

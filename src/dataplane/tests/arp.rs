//! Layer 2: answering, asking, waiting, announcing.

use super::lab::*;
use super::packets::*;
use crate::dataplane::vec_frame::VecFrame;
use crate::model::limits::{BURST, HELD_MAX, HELD_PER_NEIGHBOUR_MAX};
use crate::model::{DropReason, Forward, InterfaceId, PortId, Protocol};
use crate::tables::neighbours::{Neighbour, State};
use crate::wire::arp::ArpPacket;
use crate::wire::ethernet::MacAddr;
use std::net::{Ipv4Addr, SocketAddrV4};

const STATION: [u8; 6] = [2, 0, 0, 0, 9, 9];

fn neighbour(lab: &Lab, interface: u16, address: &str) -> Option<Neighbour> {
    let table = &lab.director.network().neighbours;
    table.find(InterfaceId(interface), ip(address).into()).and_then(|id| table.get(id).copied())
}

fn mac(lab: &Lab, interface: u16, address: &str) -> Option<[u8; 6]> {
    neighbour(lab, interface, address).map(|n| n.mac)
}

/// A service whose only server has to be asked for.
fn unresolved() -> Lab {
    Lab::with_servers(Forward::Nat, &["10.0.0.9:80"]).0
}

fn answer(lab: &mut Lab) -> Vec<Seen> {
    lab.feed(SERVER_SIDE, &arp_reply(SERVER_SIDE_MAC, None, server_mac(9), "10.0.0.9", "10.0.0.254"))
}

#[test]
fn own_and_virtual_addresses_are_answered_for_on_their_interface_alone() {
    let (mut lab, _) = Lab::nat();
    for (port, target, answers) in [
        (CLIENT_SIDE, "192.0.2.254", Some(CLIENT_SIDE_MAC)),
        (CLIENT_SIDE, "192.0.2.10", Some(CLIENT_SIDE_MAC)),
        (SERVER_SIDE, "10.0.0.254", Some(SERVER_SIDE_MAC)),
        (SERVER_SIDE, "192.0.2.10", None),
        (CLIENT_SIDE, "10.0.0.254", None),
        (CLIENT_SIDE, "192.0.2.77", None),
        (SERVER_SIDE, "10.1.0.254", None),
    ] {
        let before = lab.dropped(DropReason::ArpNotOurs);
        let sent = lab.feed(port, &arp_request(STATION, "192.0.2.50", target));
        let Some(mac) = answers else {
            assert!(sent.is_empty(), "{target}");
            assert_eq!(lab.dropped(DropReason::ArpNotOurs), before + 1);
            continue;
        };
        let seen = only(sent);
        let arp = seen.arp();
        assert_eq!((PortId(seen.port), seen.to_mac, seen.from_mac), (port, STATION, mac));
        assert!(!arp.is_request());
        assert_eq!((arp.sender_mac.0, arp.sender_ip()), (mac, ip(target)));
        assert_eq!((arp.target_mac.0, arp.target_ip()), (STATION, ip("192.0.2.50")));
    }
}

#[test]
fn a_tagged_interface_answers_with_its_tag() {
    let (mut lab, _) = Lab::nat();
    let question = ArpPacket::request(MacAddr(STATION), ip("10.1.0.50"), ip("10.1.0.254"));
    let seen = only(lab.feed(SERVER_SIDE, &arp_frame([0xff; 6], Some(TAG), &question)));
    assert_eq!((seen.vlan, seen.arp().sender_mac.0), (Some(TAG), TAGGED_MAC));
    assert_eq!(mac(&lab, 2, "10.1.0.50"), Some(STATION));
}

#[test]
fn who_asks_us_is_learnt_and_who_asks_others_is_only_updated() {
    let (mut lab, _) = Lab::nat();
    lab.feed(CLIENT_SIDE, &arp_request(STATION, "192.0.2.50", "192.0.2.99"));
    assert_eq!(mac(&lab, 0, "192.0.2.50"), None);
    lab.feed(CLIENT_SIDE, &arp_request(STATION, "192.0.2.50", "192.0.2.254"));
    assert_eq!(mac(&lab, 0, "192.0.2.50"), Some(STATION));
    lab.feed(CLIENT_SIDE, &arp_request([2; 6], "192.0.2.50", "192.0.2.99"));
    assert_eq!(mac(&lab, 0, "192.0.2.50"), Some([2; 6]));
    // neither one who is not of the subnet, nor a probe
    lab.feed(CLIENT_SIDE, &arp_request(STATION, "10.0.0.50", "192.0.2.254"));
    lab.feed(CLIENT_SIDE, &arp_request(STATION, "0.0.0.0", "192.0.2.254"));
    assert_eq!((mac(&lab, 0, "10.0.0.50"), mac(&lab, 0, "0.0.0.0")), (None, None));
    assert_eq!(lab.counters().consumed.get(), 3, "all questions about us were answered");
    // an answer nobody asked for
    lab.feed(CLIENT_SIDE, &arp_reply(CLIENT_SIDE_MAC, None, STATION, "192.0.2.51", "192.0.2.254"));
    assert!(mac(&lab, 0, "192.0.2.51").is_some(), "it was addressed to us");
}

#[test]
fn another_station_with_an_address_of_ours_is_a_conflict_and_changes_nothing() {
    let (mut lab, _) = Lab::nat();
    for address in ["192.0.2.10", "192.0.2.254"] {
        let announced = ArpPacket::gratuitous(MacAddr(STATION), ip(address));
        assert!(lab.feed(CLIENT_SIDE, &arp_frame([0xff; 6], None, &announced)).is_empty());
        assert_eq!(mac(&lab, 0, address), None);
    }
    assert_eq!(lab.drops(), [(DropReason::AddressConflict, 2)]);
}

#[test]
fn packets_to_a_server_not_yet_known_wait_and_leave_in_order() {
    let mut lab = unresolved();
    let question = lab.relay_in(&tcp(client(1), vip(), SYN));
    let arp = question.arp();
    assert_eq!((question.port, question.to_mac, question.from_mac), (1, [0xff; 6], SERVER_SIDE_MAC));
    assert_eq!((arp.sender_ip(), arp.target_ip()), (ip("10.0.0.254"), ip("10.0.0.9")));
    for n in 2..6 {
        assert!(lab.client_sends(&tcp(client(n), vip(), SYN)).is_empty(), "one question is enough");
    }
    let released = answer(&mut lab);
    let clients: Vec<_> = released.iter().map(|seen| seen.source()).collect();
    assert_eq!(clients, [1, 2, 3, 4, 5].map(client));
    for seen in released {
        assert_eq!((seen.port, seen.to_mac, seen.destination()), (1, server_mac(9), at("10.0.0.9:80")));
        seen.assert_checksums();
    }
    assert_eq!(lab.drops(), []);
    assert_eq!(lab.connect(6), at("10.0.0.9:80"));
}

#[test]
fn the_queue_for_one_neighbour_has_a_bound() {
    let mut lab = unresolved();
    for n in 0..HELD_PER_NEIGHBOUR_MAX {
        lab.client_sends(&tcp(client(n), vip(), SYN));
    }
    lab.refuse(DropReason::NeighbourQueueFull, &tcp(client(500), vip(), SYN));
    let released = answer(&mut lab);
    assert_eq!(released.len(), usize::from(HELD_PER_NEIGHBOUR_MAX));
    assert_eq!(released[63].source(), client(63));
}

#[test]
fn all_queues_together_have_a_bound_and_their_room_comes_back() {
    let (mut lab, _) = Lab::nat();
    lab.settings(|s| s.forward = true);
    lab.publish();
    let send = |lab: &mut Lab, host: u8, n: u16| {
        let mut to = at("10.0.0.1:80");
        to.set_ip([10, 0, 0, host].into());
        lab.client_sends(&tcp(client(n), to, SYN));
    };
    for _ in 0..3 {
        for n in 0..1100 {
            send(&mut lab, 20 + (n / 60) as u8, n);
        }
        let full = lab.dropped(DropReason::NeighbourQueueFull);
        assert_eq!(full as usize % (1100 - (HELD_MAX - 1)), 0, "slot 0 is none");
        // nobody answers, and after a while they are asked anew
        lab.wait_s(8);
    }
    assert_eq!(lab.dropped(DropReason::NeighbourFailed) as usize, 3 * (HELD_MAX - 1));
}

#[test]
fn who_does_not_answer_three_questions_has_failed_for_a_while() {
    let mut lab = unresolved();
    let mut questions = usize::from(lab.relay_in(&tcp(client(1), vip(), SYN)).is_arp());
    for _ in 0..70 {
        lab.wait_ms(50);
        questions += lab.sent().iter().filter(|seen| seen.is_arp() && seen.to_mac == [0xff; 6]).count();
    }
    assert_eq!(questions, 3);
    assert_eq!(neighbour(&lab, 1, "10.0.0.9").map(|n| n.state), Some(State::Failed));
    assert_eq!(lab.drops(), [(DropReason::NeighbourFailed, 1)]);
    lab.refuse(DropReason::NeighbourFailed, &tcp(client(1), vip(), SYN));
    lab.wait_s(4);
    lab.sent();
    assert!(neighbour(&lab, 1, "10.0.0.9").is_none());
    let question = lab.relay_in(&tcp(client(1), vip(), SYN));
    assert!(question.is_arp(), "asked anew");
    assert_eq!(answer(&mut lab).len(), 1);
}

#[test]
fn a_used_neighbour_is_asked_again_directly_and_packets_go_on() {
    let mut lab = unresolved();
    lab.client_sends(&tcp(client(1), vip(), SYN));
    answer(&mut lab);
    let mut directly = 0;
    for _ in 0..40 {
        lab.wait_s(1);
        directly += lab.sent().iter().filter(|seen| seen.is_arp() && seen.to_mac == server_mac(9)).count();
        if directly == 1 {
            answer(&mut lab);
        }
        assert_eq!(lab.connect(1), at("10.0.0.9:80"));
    }
    assert_eq!(directly, 1);
}

#[test]
fn a_server_that_moves_to_another_card_is_followed() {
    let mut lab = unresolved();
    lab.client_sends(&tcp(client(1), vip(), SYN));
    answer(&mut lab);
    let announced = ArpPacket::gratuitous(MacAddr([2; 6]), ip("10.0.0.9"));
    lab.feed(SERVER_SIDE, &arp_frame([0xff; 6], None, &announced));
    assert_eq!(lab.relay_in(&tcp(client(1), vip(), ACK)).to_mac, [2; 6]);
}

#[test]
fn a_static_neighbour_is_never_asked_nor_believed() {
    let (mut lab, _) = Lab::nat();
    let announced = ArpPacket::gratuitous(MacAddr(STATION), ip("10.0.0.1"));
    lab.feed(SERVER_SIDE, &arp_frame([0xff; 6], None, &announced));
    let seen = lab.relay_in(&tcp(client(1), vip(), SYN));
    assert_eq!(seen.to_mac, server_mac(1));
    for _ in 0..10 {
        lab.wait_s(40);
        assert!(lab.sent().is_empty());
        lab.connect(1);
    }
}

#[test]
fn what_waits_for_a_neighbour_that_becomes_static_goes_to_the_configured_mac() {
    for told_otherwise in [false, true] {
        let mut lab = unresolved();
        lab.client_sends(&tcp(client(1), vip(), SYN));
        lab.network(|n| {
            n.neighbours.push(crate::dataplane::snapshot::StaticNeighbour {
                interface: InterfaceId(1),
                address: ip("10.0.0.9").into(),
                mac: STATION,
            });
        });
        lab.publish();
        let mut sent = if told_otherwise { answer(&mut lab) } else { vec![] };
        lab.wait_s(1);
        sent.extend(lab.sent());
        assert_eq!(only(sent).to_mac, STATION);
    }
}

#[test]
fn what_waits_behind_an_interface_that_changes_is_dropped_with_a_reason() {
    let mut lab = unresolved();
    lab.client_sends(&tcp(client(1), vip(), SYN));
    lab.network(|n| n.interfaces[1].mac = [2; 6]);
    lab.publish();
    assert_eq!(lab.drops(), [(DropReason::NeighbourFailed, 1)]);
    assert!(lab.relay_in(&tcp(client(1), vip(), SYN)).is_arp(), "asked anew");
}

#[test]
fn a_new_virtual_address_is_announced_once_and_an_old_one_is_not() {
    let mut lab = Lab::new();
    for n in 1..=6 {
        lab.service(Protocol::Tcp, &format!("192.0.2.1{n}:80"), "rr");
        lab.service(Protocol::Tcp, &format!("192.0.2.1{n}:443"), "rr");
    }
    lab.publish();
    let mut announced = vec![];
    for _ in 0..4 {
        lab.housekeep();
        let sent = lab.sent();
        assert!(sent.len() <= 4, "a few at a time");
        announced.extend(sent);
    }
    for seen in &announced {
        let arp = seen.arp();
        assert!(arp.is_request() && arp.is_gratuitous());
        assert_eq!((seen.port, seen.to_mac, arp.sender_mac.0), (0, [0xff; 6], CLIENT_SIDE_MAC));
    }
    let mut addresses: Vec<_> = announced.iter().map(|seen| seen.arp().sender_ip()).collect();
    addresses.sort();
    assert_eq!(addresses, [11, 12, 13, 14, 15, 16].map(|n| std::net::Ipv4Addr::new(192, 0, 2, n)));
    lab.service(Protocol::Tcp, "192.0.2.20:80", "rr");
    lab.publish();
    lab.housekeep();
    assert_eq!(only(lab.sent()).arp().sender_ip(), ip("192.0.2.20"));
}

#[test]
fn without_a_buffer_the_question_is_asked_again_later() {
    let mut lab = unresolved();
    lab.out.is_exhausted = true;
    assert!(lab.client_sends(&tcp(client(1), vip(), SYN)).is_empty());
    lab.out.is_exhausted = false;
    lab.wait_ms(1100);
    assert!(only(lab.sent()).is_arp());
    assert_eq!(answer(&mut lab).len(), 1);
}

#[test]
fn a_scan_of_a_subnet_does_not_slow_down_questions_for_good() {
    let (mut lab, _) = Lab::with_servers(Forward::Nat, &["10.0.0.9:80"]);
    lab.settings(|s| s.forward = true);
    lab.network(|n| n.interfaces[1].addresses = vec!["10.0.0.254/16".parse().unwrap()]);
    lab.publish();
    let hosts = (0..100).flat_map(|net| (0..200).map(move |host| Ipv4Addr::from([10, 0, 100 + net, host])));
    let probes: Vec<_> = hosts.map(|host| tcp(client(1), SocketAddrV4::new(host, 80), SYN)).collect();
    for burst in probes.chunks(BURST) {
        // by the burst: with each, the account looks at all neighbours
        lab.process(CLIENT_SIDE, burst.iter().map(|probe| VecFrame::new(&probe.bytes())));
    }
    lab.wait_s(200);
    assert!(lab.director.network().neighbours.len() < 10, "all of them failed and went");
    lab.sent();
    lab.client_sends(&tcp(client(1), vip(), SYN));
    let mut questions = 0;
    for _ in 0..2500 {
        // a worker polls more often than that
        lab.now = lab.now.plus_ms(1);
        lab.housekeep();
        questions += lab.sent().iter().filter(|seen| seen.is_arp()).count();
    }
    assert_eq!(questions, 2, "a second apart");
}

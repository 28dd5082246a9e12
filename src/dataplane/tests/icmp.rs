//! What the director says by ICMP, and when it does not.

use super::lab::*;
use super::packets::*;
use crate::model::limits::ICMP_ERRORS_BURST;
use crate::model::{DropReason, Forward, Tunnel};
use crate::wire::ip_protocol::{ICMP, TCP};

/// An error that quotes `cause`: its type and code, its second word.
fn assert_tells(told: &Seen, cause: &Datagram, kind_and_code: [u8; 2], rest: u32) {
    told.assert_checksums();
    assert_eq!(told.ip().protocol, ICMP);
    assert_eq!(told.transport()[..2], kind_and_code);
    assert_eq!(told.transport()[4..8], rest.to_be_bytes());
    let cause = cause.packet();
    assert_eq!(told.transport()[8..], cause[..cause.len().min(548)]);
}

#[test]
fn a_ttl_that_ends_here_is_told_to_the_sender_from_the_virtual_address() {
    for method in [Forward::Nat, Forward::Dr, Forward::Tun(Tunnel::default())] {
        for ttl in [0, 1] {
            let (mut lab, _) = Lab::with_servers(method, &["10.0.0.1:80"]);
            let sent = Datagram { ttl, ..tcp(client(1), vip(), SYN) };
            let told = only(lab.refuse(DropReason::TtlExceeded, &sent));
            assert_tells(&told, &sent, [11, 0], 0);
            assert_eq!((told.ip().source(), told.ip().destination()), (*vip().ip(), *client(1).ip()));
            assert_eq!((told.port, told.to_mac, told.from_mac), (0, GATEWAY_MAC, CLIENT_SIDE_MAC));
            assert_eq!(lab.counters().icmp_sent.get(), 1);
        }
    }
}

#[test]
fn a_servers_ttl_that_ends_here_is_told_to_the_server_from_our_address() {
    let (mut lab, _) = Lab::nat();
    lab.connect(1);
    let answer = Datagram { ttl: 1, ..tcp(at("10.0.0.1:8080"), client(1), SYN | ACK) };
    let told = only(lab.server_sends(&answer));
    assert_tells(&told, &answer, [11, 0], 0);
    assert_eq!((told.port, told.to_mac), (1, server_mac(1)));
    assert_eq!((told.ip().source(), told.ip().destination()), (ip("10.0.0.254"), ip("10.0.0.1")));
    assert_eq!(lab.drops(), [(DropReason::TtlExceeded, 1)]);
}

#[test]
fn a_packet_too_long_for_its_way_is_refused_with_the_mtu_that_fits() {
    for method in [Forward::Nat, Forward::Dr] {
        let (mut lab, _) = Lab::with_servers(method, &["10.0.0.1:80"]);
        lab.network(|n| n.interfaces[1].mtu = 1400);
        lab.publish();
        lab.connect(1);
        lab.relay_in(&tcp(client(1), vip(), ACK).data(&[1; 1360]));
        let long = tcp(client(1), vip(), ACK).data(&[1; 1361]);
        let told = only(lab.refuse(DropReason::MtuExceeded, &long));
        // on the way in the hop is taken off first (__ip_vs_get_out_rt), on the way out later (ip_forward)
        assert_tells(&told, &Datagram { ttl: 63, ..long }, [3, 4], 1400);
    }
    let (mut lab, _) = Lab::nat();
    lab.network(|n| n.interfaces[0].mtu = 1300);
    lab.publish();
    lab.connect(1);
    let long = tcp(at("10.0.0.1:8080"), client(1), ACK).data(&[1; 1400]);
    let told = only(lab.server_sends(&long));
    assert_tells(&told, &long, [3, 4], 1300);
    assert_eq!(told.port, 1);
}

#[test]
fn a_service_without_a_destination_says_port_unreachable() {
    let (mut lab, _) = Lab::with_servers(Forward::Nat, &[]);
    let sent = tcp(client(1), vip(), SYN);
    let told = only(lab.refuse(DropReason::NoDestination, &sent));
    assert_tells(&told, &sent, [3, 3], 0);
    assert_eq!(told.ip().source(), *vip().ip());
    assert!(lab.director.connections().is_empty());
}

#[test]
fn errors_are_rationed_and_what_is_not_said_is_counted() {
    let (mut lab, _) = Lab::with_servers(Forward::Nat, &[]);
    let mut told = 0;
    for n in 0..200 {
        told += lab.client_sends(&tcp(client(n), vip(), SYN)).len() as u64;
    }
    assert_eq!(told, ICMP_ERRORS_BURST);
    let counters = lab.counters();
    assert_eq!((counters.icmp_sent.get(), counters.icmp_suppressed.get()), (told, 200 - told));
    assert_eq!(lab.dropped(DropReason::NoDestination), 200);
    lab.now = lab.now.plus_ms(10);
    told = (0..200).map(|n| lab.client_sends(&tcp(client(n), vip(), SYN)).len() as u64).sum();
    assert_eq!(told, 10, "one a millisecond");
}

#[test]
fn the_ration_is_the_promised_one_also_in_odd_steps_and_after_a_long_silence() {
    let (mut lab, _) = Lab::with_servers(Forward::Nat, &[]);
    (0..100).for_each(|n| drop(lab.client_sends(&tcp(client(n), vip(), SYN))));
    let mut told = 0;
    for _ in 0..1000 {
        lab.now.0 += 1_700_000;
        told += (0..3).map(|n| lab.client_sends(&tcp(client(n), vip(), SYN)).len()).sum::<usize>();
    }
    assert_eq!(told, 1700, "a thousand a second");
    // a year
    lab.now.0 += 365 * 86_400 * 1_000_000_000;
    assert_eq!(lab.client_sends(&tcp(client(1), vip(), SYN)).len(), 1);
}

#[test]
fn nothing_is_said_without_a_buffer() {
    let (mut lab, _) = Lab::with_servers(Forward::Nat, &[]);
    lab.out.is_exhausted = true;
    assert!(lab.refuse(DropReason::NoDestination, &tcp(client(1), vip(), SYN)).is_empty());
    assert_eq!(lab.counters().icmp_suppressed.get(), 1);
}

#[test]
fn an_error_is_never_answered_by_an_error() {
    let (mut lab, _) = Lab::nat();
    lab.settings(|s| s.forward = true);
    lab.publish();
    let about = icmp("198.51.100.7", "203.0.113.1", 3, 1, &[0; 32]);
    assert!(lab.refuse(DropReason::TtlExceeded, &Datagram { ttl: 1, ..about }).is_empty());
    let ping = icmp("198.51.100.7", "203.0.113.1", 8, 0, &[0; 32]);
    assert_eq!(lab.refuse(DropReason::TtlExceeded, &Datagram { ttl: 1, ..ping }).len(), 1);
}

#[test]
fn a_ping_to_an_own_or_virtual_address_is_answered() {
    let (mut lab, _) = Lab::nat();
    for address in ["192.0.2.254", "192.0.2.10", "10.0.0.254"] {
        let mut ping = icmp("198.51.100.7", address, 8, 0, b"\x12\x34\x00\x01some data of a ping");
        ping.ttl = 3;
        let seen = lab.relay_in(&ping);
        seen.assert_checksums();
        assert_eq!((seen.ip().source(), seen.ip().destination()), (ip(address), ip("198.51.100.7")));
        assert_eq!((seen.ip().ttl, seen.transport()[0]), (64, 0));
        assert_eq!(seen.transport()[4..], ping.packet()[24..]);
    }
    assert_eq!(lab.counters().consumed.get(), 3);
}

#[test]
fn a_ping_that_cannot_be_answered_is_counted_once() {
    let (mut lab, _) = Lab::nat();
    lab.network(|n| n.routes.clear());
    lab.publish();
    // the account in the lab would not come out otherwise
    lab.refuse(DropReason::NoRoute, &icmp("198.51.100.7", "192.0.2.254", 8, 0, &[0; 8]));
    assert_eq!(lab.counters().consumed.get(), 0);
}

#[test]
fn a_ping_whose_answer_has_no_next_hop_is_dropped_and_not_answered() {
    let (mut lab, _) = Lab::nat();
    let ping = icmp("192.0.2.77", "192.0.2.254", 8, 0, &[0; 8]);
    assert!(only(lab.client_sends(&ping)).is_arp());
    lab.wait_s(4);
    lab.sent();
    lab.refuse(DropReason::NeighbourFailed, &ping);
    assert_eq!(lab.counters().consumed.get(), 1, "the first was answered, although the answer got nowhere");
}

#[test]
fn routing_takes_a_hop_off_and_says_what_it_cannot_do() {
    let (mut lab, _) = Lab::nat();
    lab.settings(|s| s.forward = true);
    lab.publish();
    let sent = tcp(at("10.0.0.1:999"), at("203.0.113.1:25"), SYN);
    let seen = lab.relay_out(&sent);
    assert_eq!(seen.packet, Datagram { ttl: 63, ..sent.clone() }.packet());
    assert_eq!((seen.port, seen.to_mac, lab.counters().transit.get()), (0, GATEWAY_MAC, 1));
    lab.network(|n| n.routes.clear());
    lab.publish();
    let told = only(lab.server_sends(&sent));
    assert_tells(&told, &sent, [3, 0], 0);
    assert_eq!((lab.dropped(DropReason::NoRoute), lab.counters().transit.get()), (1, 1));
    assert_eq!(seen.ip().protocol, TCP);
}

#[test]
fn what_waits_in_vain_for_a_next_hop_was_not_routed() {
    let (mut lab, _) = Lab::nat();
    lab.settings(|s| s.forward = true);
    lab.publish();
    let to_nobody = tcp(client(1), at("10.0.0.77:80"), SYN);
    lab.client_sends(&to_nobody);
    lab.wait_s(3);
    lab.wait_ms(500);
    assert_eq!(lab.dropped(DropReason::NeighbourFailed), 1);
    lab.refuse(DropReason::NeighbourFailed, &to_nobody);
    assert_eq!(lab.counters().transit.get(), 1, "one was accepted to wait, the other refused");
}

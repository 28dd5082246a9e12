//! ICMP errors about packets of connections, IPv4.

use super::lab::*;
use super::packets::*;
use crate::model::{DestId, DropReason, Forward, Protocol, Tunnel};
use crate::wire::ip_protocol::{ICMP, IPIP};
use proptest::prelude::*;

const SERVER: &str = "10.0.0.1:8080";
const ROUTER: &str = "203.0.113.7";

/// An ICMP error that quotes `quoted`, a packet from its IP header on or the start of one.
fn about(from: &str, to: &str, kind: u8, code: u8, quoted: &[u8]) -> Datagram {
    Datagram { dont_fragment: false, ..icmp(from, to, kind, code, &[&[0, 0, 5, 20], quoted].concat()) }
}

/// The quoted packet with everything that another hop changes made the same.
fn without_hops(packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    packet[8] = 0;
    packet[10..12].fill(0);
    packet
}

/// (in, out) packets of a destination.
fn counts(lab: &Lab, id: DestId) -> (u64, u64) {
    let counters = &lab.director.counters().1[id.index()];
    (counters.in_packets.get(), counters.out_packets.get())
}

/// A NAT connection, what the server answered, and that as the client saw it.
fn answered() -> (Lab, DestId, Datagram, Seen) {
    let (mut lab, id) = Lab::nat();
    lab.connect(1);
    let answer = tcp(at(SERVER), client(1), SYN | ACK).data(&[7; 100]);
    let seen = lab.relay_out(&answer);
    (lab, id, answer, seen)
}

#[test]
fn with_nat_an_error_about_a_servers_packet_reaches_the_server_as_if_about_its_own() {
    for (kind, code) in [(3, 3), (3, 4), (11, 0), (4, 0)] {
        let (mut lab, id, answer, seen) = answered();
        let told = lab.relay_in(&about(ROUTER, "192.0.2.10", kind, code, &seen.packet));
        told.assert_checksums();
        assert_eq!((told.port, told.to_mac), (1, server_mac(1)));
        assert_eq!((told.ip().source(), told.ip().destination()), (ip(ROUTER), ip("10.0.0.1")));
        assert_eq!((told.ip().protocol, told.ip().ttl, &told.transport()[..2]), (ICMP, 63, &[kind, code][..]));
        let quoted = &told.transport()[8..];
        assert_eq!(long_sum(&quoted[..20]), 0, "the quoted header's sum is made anew");
        // IPVS leaves the quoted checksum of TCP as it is
        let (mut expected, mut quoted) = (without_hops(&answer.packet()), without_hops(quoted));
        expected[36..38].fill(0);
        quoted[36..38].fill(0);
        assert_eq!(quoted, expected);
        assert_eq!(counts(&lab, id), (2, 1));
    }
}

#[test]
fn with_nat_an_error_about_a_clients_packet_seems_to_come_from_the_virtual_address() {
    let (mut lab, id) = Lab::nat();
    let sent = tcp(client(1), vip(), SYN);
    let forwarded = lab.relay_in(&sent);
    for quoted in [&forwarded.packet[..], &forwarded.packet[..28], &forwarded.packet[..24]] {
        let told = lab.relay_out(&about("10.0.0.99", "198.51.100.2", 11, 0, quoted));
        told.assert_checksums();
        assert_eq!((told.ip().source(), told.ip().destination()), (*vip().ip(), *client(1).ip()));
        assert_eq!((told.port, told.to_mac, told.ip().ttl), (0, GATEWAY_MAC, 63));
        assert_eq!(without_hops(&told.transport()[8..])[..24], without_hops(&sent.packet())[..24]);
    }
    assert_eq!((counts(&lab, id), lab.counters().transit.get()), ((1, 3), 0));
}

#[test]
fn without_nat_an_error_goes_to_the_server_as_it_came() {
    for method in [Forward::Dr, Forward::Tun(Tunnel::default())] {
        let (mut lab, ids) = Lab::with_servers(method, &["10.0.0.1:80"]);
        lab.connect(1);
        let answer = tcp(vip(), client(1), ACK).packet();
        let error = about(ROUTER, "192.0.2.10", 3, 4, &answer);
        let told = lab.relay_in(&error);
        let expected = Datagram { ttl: 63, ..error }.packet();
        let inner = if method == Forward::Dr { &told.packet } else { &told.packet[20..].to_vec() };
        assert_eq!(inner, &expected);
        assert_eq!((told.port, told.to_mac, counts(&lab, ids[0])), (1, server_mac(1), (2, 0)));
        assert_eq!(told.ip().protocol == IPIP, method != Forward::Dr);
    }
}

#[test]
fn without_nat_an_error_about_a_clients_packet_is_routed_and_counted() {
    let (mut lab, ids) = Lab::with_servers(Forward::Dr, &["10.0.0.1:80"]);
    let forwarded = lab.relay_in(&tcp(client(1), vip(), SYN));
    let error = about("10.0.0.99", "198.51.100.2", 3, 4, &forwarded.packet);
    assert!(lab.server_sends(&error).is_empty());
    assert_eq!((lab.dropped(DropReason::ForwardOff), counts(&lab, ids[0])), (1, (1, 0)));
    lab.settings(|s| s.forward = true);
    lab.publish();
    let told = lab.relay_out(&error);
    assert_eq!(told.packet, Datagram { ttl: 63, ..error }.packet());
    assert_eq!((counts(&lab, ids[0]), lab.counters().transit.get()), ((1, 1), 1));
}

#[test]
fn other_types_and_other_flows_are_not_followed() {
    let (mut lab, _, _, seen) = answered();
    for kind in [5, 12] {
        lab.refuse(DropReason::IcmpUnrelated, &about(ROUTER, "192.0.2.10", kind, 0, &seen.packet));
    }
    let mut other = seen.packet.clone();
    other[23] ^= 1;
    lab.refuse(DropReason::IcmpUnrelated, &about(ROUTER, "192.0.2.10", 3, 1, &other));
    let mut later_fragment = seen.packet.clone();
    later_fragment[7] = 1;
    lab.refuse(DropReason::IcmpUnrelated, &about(ROUTER, "192.0.2.10", 3, 1, &later_fragment));
    for len in 0..24 {
        lab.refuse(DropReason::IcmpUnrelated, &about(ROUTER, "192.0.2.10", 3, 1, &seen.packet[..len]));
    }
}

#[test]
fn an_error_with_a_wrong_checksum_is_dropped() {
    let (mut lab, id, _, seen) = answered();
    let before = counts(&lab, id);
    let mut bytes = about(ROUTER, "192.0.2.10", 3, 1, &seen.packet).bytes();
    *bytes.last_mut().unwrap() ^= 1;
    assert!(lab.feed(CLIENT_SIDE, &bytes).is_empty());
    let quoted = tcp(client(1), at(SERVER), SYN).packet();
    let mut bytes = about("10.0.0.1", "198.51.100.2", 3, 1, &quoted).at_server_side().bytes();
    *bytes.last_mut().unwrap() ^= 1;
    assert!(lab.feed(SERVER_SIDE, &bytes).is_empty());
    assert_eq!((lab.dropped(DropReason::IcmpChecksumBad), counts(&lab, id)), (2, before));
}

#[test]
fn an_error_whose_ttl_ends_here_is_not_answered() {
    let (mut lab, _, _, seen) = answered();
    let error = Datagram { ttl: 1, ..about(ROUTER, "192.0.2.10", 3, 1, &seen.packet) };
    assert!(lab.refuse(DropReason::TtlExceeded, &error).is_empty());
}

#[test]
fn an_error_too_long_for_its_way_is_fragmented_even_if_it_says_not_to() {
    let (mut lab, _, _, seen) = answered();
    lab.network(|n| n.interfaces[1].mtu = 100);
    lab.publish();
    let error = Datagram { dont_fragment: true, ..about(ROUTER, "192.0.2.10", 3, 1, &seen.packet) };
    let pieces = lab.client_sends(&error);
    assert_eq!(pieces.len(), 2);
    let message: Vec<u8> = pieces.iter().flat_map(|piece| piece.transport().to_vec()).collect();
    assert_eq!((long_sum(&message), message.len()), (0, 8 + seen.packet.len()));
}

#[test]
fn an_error_about_a_connection_whose_time_is_up_is_not_followed() {
    let (mut lab, _, _, seen) = answered();
    // no housekeeping in between
    lab.now = lab.now.plus_ms(3_600_000);
    lab.refuse(DropReason::IcmpUnrelated, &about(ROUTER, "192.0.2.10", 3, 1, &seen.packet));
}

#[test]
fn a_removed_server_still_gets_errors_and_they_are_not_counted() {
    let (mut lab, id, _, seen) = answered();
    lab.remove(id);
    lab.publish();
    let before = counts(&lab, id);
    lab.relay_in(&about(ROUTER, "192.0.2.10", 3, 1, &seen.packet));
    assert_eq!(counts(&lab, id), before);
}

#[test]
fn errors_about_unknown_flows_of_services_are_scheduled_when_asked_for() {
    let (mut lab, id) = Lab::nat();
    let answer = tcp(vip(), client(1), ACK).packet();
    let error = about(ROUTER, "192.0.2.10", 3, 4, &answer);
    lab.refuse(DropReason::IcmpUnrelated, &error);
    lab.settings(|s| s.schedule_icmp = true);
    lab.publish();
    let told = lab.relay_in(&error);
    assert_eq!(told.ip().destination(), ip("10.0.0.1"));
    assert_eq!((lab.state(1), lab.load(id), counts(&lab, id)), (Some(("NONE", 3)), (0, 1), (1, 0)));
    // another one finds the connection
    lab.relay_in(&error);
    assert_eq!(lab.director.connections().len(), 1);
    let of_no_service = tcp(at("192.0.2.10:81"), client(1), ACK).packet();
    lab.refuse(DropReason::IcmpUnrelated, &about(ROUTER, "192.0.2.10", 3, 4, &of_no_service));
    lab.edit(id, |d| d.weight = 0);
    lab.publish();
    let other = about(ROUTER, "192.0.2.10", 3, 4, &tcp(vip(), client(2), ACK).packet());
    assert!(lab.refuse(DropReason::NoDestination, &other).is_empty(), "nobody is told");
}

#[test]
fn without_any_service_errors_are_the_hosts() {
    let (mut lab, _, _, seen) = answered();
    lab.remove_service(crate::model::ServiceId(0));
    lab.publish();
    lab.refuse(DropReason::IcmpUnrelated, &about(ROUTER, "192.0.2.10", 3, 1, &seen.packet));
}

#[test]
fn udp_is_followed_like_tcp() {
    let mut lab = Lab::new();
    let service = lab.service(Protocol::Udp, "192.0.2.10:53", "rr");
    lab.add(service, "10.0.0.1:5353", Forward::Nat, 1);
    lab.publish();
    lab.quiet();
    lab.relay_in(&udp(client(1), at("192.0.2.10:53"), b"a question"));
    let quoted = udp(client(1), at("10.0.0.1:5353"), b"a question").packet();
    let told = lab.relay_out(&about("10.0.0.1", "198.51.100.2", 3, 3, &quoted[..28]));
    assert_eq!(told.transport()[8..][16..24], [192, 0, 2, 10, 0x27, 0x11, 0, 53]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// There and back is the identity but for hops and the quoted checksum of TCP.
    #[test]
    fn what_a_server_sent_is_what_an_error_about_it_quotes_to_it(
        data in prop::collection::vec(any::<u8>(), 0..300), words in 0..10_usize, tos: u8, cut in 24..400_usize,
    ) {
        let (mut lab, _) = Lab::nat();
        lab.connect(1);
        let answer = Datagram { tos, options: vec![1; words * 4], ..tcp(at(SERVER), client(1), ACK).data(&data) };
        let seen = lab.relay_out(&answer);
        let cut = (cut + words * 4).min(seen.packet.len());
        let told = lab.relay_in(&about(ROUTER, "192.0.2.10", 3, 1, &seen.packet[..cut]));
        told.assert_checksums();
        let (mut expected, mut quoted) = (without_hops(&answer.packet()[..cut]), without_hops(&told.transport()[8..]));
        for bytes in [&mut expected, &mut quoted] {
            let sum = 20 + words * 4 + 16;
            bytes.iter_mut().skip(sum).take(2).for_each(|byte| *byte = 0);
        }
        prop_assert_eq!(quoted, expected);
    }
}

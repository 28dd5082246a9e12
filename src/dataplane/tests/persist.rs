//! Persistence, marks, bypass and `drop_entry`, by what comes out and what stands in the tables. The recordings of the kernel
//! say more; here are the corners they have not.

use super::lab::*;
use super::packets::*;
use crate::dataplane::listing::ConnectionRow;
use crate::model::*;

const SIP: &str = "192.0.2.10:5060";

/// A service over these servers, persistent for 100 seconds.
fn persistent(protocol: Protocol, virt: &str, servers: &[&str], mask: &str) -> (Lab, ServiceId, Vec<DestId>) {
    let mut lab = Lab::new();
    let service = lab.service(protocol, virt, "rr");
    let ids = servers.iter().map(|server| lab.add(service, server, Forward::Nat, 1)).collect();
    persist(&mut lab, service, mask, None);
    lab.publish();
    lab.quiet();
    (lab, service, ids)
}

fn persist(lab: &mut Lab, service: ServiceId, mask: &str, engine: Option<PersistenceEngine>) {
    let mask = mask.parse().unwrap();
    lab.edit_service(service, |s| s.persistence = Some(Persistence { timeout_s: 100, mask, engine }));
}

/// Told apart by Call-IDs, over two servers.
pub fn sip_service(lab: &mut Lab) {
    let service = lab.service(Protocol::Udp, SIP, "rr");
    lab.add(service, "10.0.0.1:5060", Forward::Nat, 1);
    lab.add(service, "10.0.0.2:5060", Forward::Nat, 1);
    persist(lab, service, "0.0.0.0", Some(PersistenceEngine::Sip));
    lab.publish();
    lab.quiet();
}

fn rows(lab: &Lab) -> Vec<ConnectionRow> {
    let mut rows = Vec::new();
    let next = lab.director.list(0, 1000, |row| rows.push(row));
    lab.director.list(next, 1000, |row| rows.push(row));
    rows
}

/// `client virtual server state` of each template.
fn templates(lab: &Lab) -> Vec<String> {
    let shown = |row: &ConnectionRow| format!("{} {} {} {}", row.client, row.virt, row.server, row.state);
    rows(lab).iter().filter(|row| row.is_template).map(shown).collect()
}

fn persistent_connections(lab: &Lab, id: DestId) -> u32 {
    lab.director.counters().1[id.index()].persistent.get()
}

const SERVERS: [&str; 3] = ["10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080"];

#[test]
fn clients_of_one_network_go_to_one_server_until_their_template_ends() {
    let (mut lab, _, ids) = persistent(Protocol::Tcp, VIP, &SERVERS, "255.255.255.0");
    let connect = |lab: &mut Lab, source: &str| lab.relay_in(&tcp(at(source), vip(), SYN)).destination();
    let first = connect(&mut lab, "198.51.100.1:1000");
    assert_eq!(connect(&mut lab, "198.51.100.200:1000"), first);
    assert_ne!(connect(&mut lab, "198.51.101.1:1000"), first);
    assert_eq!(templates(&lab)[0], format!("198.51.100.0:0 {VIP} 10.0.0.3:8080 NONE"));
    assert_eq!(persistent_connections(&lab, ids[2]), 1);
    lab.wait_s(59);
    assert_eq!(connect(&mut lab, "198.51.100.2:1000"), first, "the template's time begins anew with each connection");
    lab.wait_s(99);
    assert_eq!(connect(&mut lab, "198.51.100.3:1000"), first);
    lab.wait_s(300);
    assert!(rows(&lab).is_empty(), "a template ends once nothing depends on it");
    assert_eq!(persistent_connections(&lab, ids[2]), 0);
}

#[test]
fn a_template_becomes_assured_with_an_established_connection_and_an_answer_over_udp() {
    let (mut lab, ..) = persistent(Protocol::Tcp, VIP, &SERVERS[..1], "255.255.255.255");
    lab.connect(1);
    lab.server_sends(&tcp(at(SERVERS[0]), client(1), SYN | ACK));
    assert!(templates(&lab)[0].ends_with("NONE"));
    lab.client_sends(&tcp(client(1), vip(), ACK));
    assert!(templates(&lab)[0].ends_with("ASSURED"));
    let (mut lab, ..) = persistent(Protocol::Udp, VIP, &SERVERS[..1], "255.255.255.255");
    lab.client_sends(&udp(client(1), vip(), b"?"));
    assert!(templates(&lab)[0].ends_with("NONE"));
    lab.server_sends(&udp(at(SERVERS[0]), client(1), b"!"));
    assert!(templates(&lab)[0].ends_with("ASSURED"));
}

#[test]
fn a_removed_servers_template_is_put_out_of_the_way_and_a_quiesced_ones_if_asked() {
    let (mut lab, _, ids) = persistent(Protocol::Tcp, VIP, &SERVERS, "0.0.0.0");
    assert_eq!(lab.connect(1), at(SERVERS[2]));
    lab.edit(ids[2], |d| d.weight = 0);
    lab.publish();
    assert_eq!(lab.connect(2), at(SERVERS[2]), "a quiesced server keeps its clients");
    lab.settings(|s| s.expire_quiescent_template = true);
    lab.publish();
    let next = lab.connect(3);
    assert_ne!(next, at(SERVERS[2]));
    assert_eq!(templates(&lab)[0], "0.0.0.0:0 192.0.2.10:65535 10.0.0.3:65535 NONE");
    let id = if next == at(SERVERS[0]) { ids[0] } else { ids[1] };
    lab.remove(id);
    lab.publish();
    assert_ne!(lab.connect(4), next);
    assert_eq!(templates(&lab).len(), 3);
    lab.wait_s(300);
    assert!(rows(&lab).is_empty());
}

#[test]
fn all_ports_of_a_client_go_together_on_port_0() {
    let (mut lab, ..) = persistent(Protocol::Tcp, "192.0.2.10:0", &["10.0.0.1:0", "10.0.0.2:0"], "255.255.255.255");
    let ports = [80, 443, 8080].map(|port| {
        let virt = std::net::SocketAddrV4::new(*vip().ip(), port);
        lab.relay_in(&tcp(client(1), virt, SYN)).destination()
    });
    assert_eq!(ports.map(|server| server.to_string()), ["10.0.0.2:80", "10.0.0.2:443", "10.0.0.2:8080"]);
    assert_eq!(templates(&lab), ["198.51.100.2:0 192.0.2.10:0 10.0.0.2:0 NONE"]);
}

#[test]
fn calls_go_to_one_server_each_and_the_listing_shows_them() {
    let mut lab = Lab::new();
    sip_service(&mut lab);
    let invite = |n, call: &str| udp(client(n), at(SIP), format!("INVITE x\r\nCall-ID: {call}\r\n\r\n").as_bytes());
    let a = lab.relay_in(&invite(1, "a@x")).destination();
    assert_ne!(lab.relay_in(&invite(2, "b@x")).destination(), a);
    assert_eq!(lab.relay_in(&invite(3, "a@x")).destination(), a);
    let mut calls: Vec<_> = rows(&lab).into_iter().filter_map(|row| row.engine_data).collect();
    calls.sort();
    assert_eq!(calls.iter().map(|call| &call[..]).collect::<Vec<_>>(), [b"a@x", b"b@x"]);
    lab.wait_s(600);
    assert!(rows(&lab).is_empty());
    assert_eq!(lab.relay_in(&invite(4, "c@x")).destination(), a, "the next in turn");
}

#[test]
fn a_call_that_a_server_begins_is_its_services() {
    let mut lab = Lab::new();
    sip_service(&mut lab);
    let invite = |from, to, call: &str| udp(from, to, format!("INVITE x\r\nCall-ID: {call}\r\n\r\n").as_bytes());
    let (server, phone) = (at("10.0.0.2:5060"), at("198.51.100.9:5060"));
    for call in ["z@x", "y@x"] {
        let seen = lab.relay_out(&invite(server, phone, call));
        assert_eq!((seen.source(), seen.destination(), seen.ip().ttl), (at(SIP), phone, 63));
        seen.assert_checksums();
    }
    assert!(templates(&lab).iter().all(|t| t.starts_with("0.0.0.0:0") && t.ends_with("10.0.0.2:5060 ASSURED")));
    let calls: Vec<_> = rows(&lab).into_iter().filter_map(|row| row.engine_data).collect();
    assert_eq!(calls.len(), 1, "the second packet belongs to the first one's connection");
    assert_eq!(lab.relay_in(&invite(phone, at(SIP), "z@x")).destination(), server);
    assert_eq!(
        lab.relay_in(&invite(client(3), at(SIP), "z@x")).destination(),
        server,
        "whoever takes part in the call"
    );
    lab.wait_s(600);
    assert!(rows(&lab).is_empty());
}

#[test]
fn a_server_that_begins_what_another_one_had_takes_it_over() {
    let mut lab = Lab::new();
    sip_service(&mut lab);
    let invite = |from, to| udp(from, to, b"INVITE x\r\nCall-ID: z@x\r\n\r\n");
    let first = lab.relay_in(&invite(client(1), at(SIP))).destination();
    let other = if first == at("10.0.0.1:5060") { at("10.0.0.2:5060") } else { at("10.0.0.1:5060") };
    assert_eq!(lab.relay_out(&invite(other, client(2))).source(), at(SIP));
    assert_eq!(lab.relay_in(&invite(client(3), at(SIP))).destination(), other);
    assert_eq!(lab.relay_in(&invite(client(1), at(SIP))).destination(), first, "its connection is the old one");
}

#[test]
fn what_names_no_call_or_comes_from_elsewhere_is_only_routed() {
    let mut lab = Lab::new();
    sip_service(&mut lab);
    let without_call = udp(at("10.0.0.2:5060"), client(1), b"INVITE x\r\n\r\n");
    let from_elsewhere = udp(at("10.0.0.2:5061"), client(1), b"INVITE x\r\nCall-ID: z@x\r\n\r\n");
    for datagram in [&without_call, &from_elsewhere] {
        assert!(lab.server_sends(datagram).is_empty());
    }
    assert_eq!(lab.dropped(DropReason::ForwardOff), 2);
    lab.settings(|s| s.forward = true);
    lab.publish();
    for datagram in [&without_call, &from_elsewhere] {
        assert_eq!(lab.relay_out(datagram).source(), datagram.source);
    }
    assert!(rows(&lab).is_empty());
}

#[test]
fn a_marks_service_comes_before_all_others_and_takes_packets_to_anybody() {
    let (mut lab, _) = Lab::nat();
    let service = lab.service_on_mark(7);
    lab.add(service, "10.0.0.4:0", Forward::Dr, 1);
    let rule = |destination: &str, mark| MarkRule {
        mark,
        destination: Some(destination.parse().unwrap()),
        interface: Some(InterfaceId(0)),
        ..MarkRule::default()
    };
    lab.marks(&[rule("192.0.2.10/32", 7), rule("203.0.113.0/24", 7), rule("203.0.112.0/24", 8)]);
    lab.publish();
    for destination in [VIP, "203.0.113.1:80"] {
        let seen = lab.relay_in(&tcp(client(1), at(destination), SYN));
        assert_eq!((seen.destination(), seen.to_mac), (at(destination), server_mac(4)));
    }
    lab.refuse(DropReason::ForwardOff, &tcp(client(1), at("203.0.112.1:80"), SYN));
}

#[test]
fn without_a_server_a_marked_packet_goes_where_it_is_addressed_if_asked() {
    let mut lab = Lab::new();
    lab.service_on_mark(7);
    lab.marks(&[MarkRule { mark: 7, ..MarkRule::default() }]);
    lab.publish();
    let syn = tcp(client(1), at("203.0.113.1:80"), SYN);
    assert!(lab.refuse(DropReason::NoDestination, &syn).is_empty(), "nobody answers for another's address");
    assert_eq!(lab.refuse(DropReason::NoDestination, &tcp(client(1), at("192.0.2.254:80"), SYN)).len(), 1);
    lab.settings(|s| s.cache_bypass = true);
    lab.publish();
    let seen = lab.relay_in(&syn);
    assert_eq!((seen.destination(), seen.to_mac), (at("203.0.113.1:80"), GATEWAY_MAC));
    let row = &rows(&lab)[0];
    assert_eq!((row.server.to_string(), row.state), ("0.0.0.0:0".to_owned(), "SYN_RECV"));
    lab.wait_s(61);
    assert!(rows(&lab).is_empty());
}

#[test]
fn under_attack_connections_that_are_being_opened_go_within_half_a_minute() {
    let (mut lab, ids) = Lab::with_servers(Forward::Nat, &SERVERS);
    for n in 0..100 {
        lab.connect(n);
    }
    lab.client_sends(&tcp(client(1), vip(), ACK));
    lab.settings(|s| s.drop_entry = 3);
    lab.publish();
    lab.wait_s(2);
    let left = rows(&lab).len();
    assert!((90..100).contains(&left), "a 32nd a second: {left}");
    lab.wait_s(33);
    assert_eq!(rows(&lab).iter().map(|row| row.state).collect::<Vec<_>>(), ["ESTABLISHED"]);
    assert_eq!(ids.iter().map(|id| lab.load(*id).0).sum::<u32>(), 1);
    lab.wait_s(130);
    assert!(rows(&lab).is_empty(), "hardly used and long quiet");
}

#[test]
fn with_its_last_connection_under_attack_a_template_goes_unless_it_was_of_use() {
    let (mut lab, ..) = persistent(Protocol::Tcp, VIP, &SERVERS, "255.255.255.255");
    lab.connect(1);
    lab.connect(2);
    lab.client_sends(&tcp(client(2), vip(), ACK));
    lab.settings(|s| s.drop_entry = 3);
    lab.publish();
    lab.wait_s(34);
    let left: Vec<_> = rows(&lab).iter().map(|row| row.state).collect();
    assert_eq!(left, ["ASSURED", "ESTABLISHED"]);
}

#[test]
fn a_lifted_threshold_lets_connections_in_and_a_lowered_one_waits_for_the_next() {
    let (mut lab, ids) = Lab::with_servers(Forward::Nat, &SERVERS[..1]);
    lab.edit(ids[0], |d| d.threshold_upper = 2);
    lab.publish();
    lab.connect(1);
    lab.connect(2);
    lab.refuse(DropReason::NoDestination, &tcp(client(3), vip(), SYN));
    lab.edit(ids[0], |d| d.threshold_upper = 3);
    lab.publish();
    lab.connect(3);
    lab.refuse(DropReason::NoDestination, &tcp(client(4), vip(), SYN));
    lab.edit(ids[0], |d| d.threshold_upper = 0);
    lab.publish();
    lab.connect(4);
    lab.edit(ids[0], |d| d.threshold_upper = 1);
    lab.publish();
    lab.connect(5);
    lab.refuse(DropReason::NoDestination, &tcp(client(6), vip(), SYN));
}

//! NAT there and back: bytes, states, counts, timers.

use super::lab::*;
use super::packets::*;
use crate::dataplane::vec_frame::VecFrame;
use crate::model::{DropReason, Forward, Protocol};
use crate::wire::tcp::TcpHeader;
use crate::wire::{Header, ip_protocol::TCP};

#[test]
fn a_packet_goes_to_the_servers_port_and_its_answer_comes_from_the_virtual_one() {
    let (mut lab, _) = Lab::nat();
    let asked = tcp(client(1), vip(), SYN);
    let seen = lab.relay_in(&asked);
    seen.assert_checksums();
    assert_eq!((seen.port, seen.to_mac, seen.from_mac, seen.vlan), (1, server_mac(1), SERVER_SIDE_MAC, None));
    assert_eq!((seen.source(), seen.destination()), (client(1), at("10.0.0.1:8080")));
    assert_eq!((seen.ip().ttl, seen.ip().id.get(), seen.ip().dont_fragment()), (63, 0x1234, true));

    let answer = tcp(at("10.0.0.1:8080"), client(1), SYN | ACK).data(b"hello");
    let seen = lab.relay_out(&answer);
    seen.assert_checksums();
    assert_eq!((seen.port, seen.to_mac, seen.from_mac), (0, GATEWAY_MAC, CLIENT_SIDE_MAC));
    assert_eq!((seen.source(), seen.destination()), (vip(), client(1)));
    assert_eq!((seen.ip().ttl, &seen.transport()[20..]), (63, &b"hello"[..]));
}

#[test]
fn nothing_but_addresses_ports_ttl_and_sums_changes() {
    let (mut lab, _) = Lab::nat();
    let mut sent = tcp(client(1), vip(), SYN).data(&[7; 333]);
    (sent.tos, sent.options, sent.id) = (0x2e, vec![1, 1, 1, 0], 9);
    let before = sent.packet();
    let mut after = lab.relay_in(&sent);
    after.assert_checksums();
    // undone by hand, byte by byte
    after.packet[8] += 1;
    after.packet[16..20].copy_from_slice(&vip().ip().octets());
    after.packet[26..28].copy_from_slice(&80_u16.to_be_bytes());
    for sums in [10..12, 40..42] {
        after.packet[sums.clone()].copy_from_slice(&before[sums]);
    }
    assert_eq!(after.packet, before);
}

#[test]
fn a_wrong_transport_checksum_stays_wrong() {
    let (mut lab, _) = Lab::nat();
    let mut frame = tcp(client(1), vip(), SYN).data(b"payload").bytes();
    *frame.last_mut().unwrap() ^= 1;
    let seen = only(lab.feed(CLIENT_SIDE, &frame));
    let mut repaired = seen.clone();
    *repaired.packet.last_mut().unwrap() ^= 1;
    repaired.assert_checksums();
    assert!(std::panic::catch_unwind(|| seen.assert_checksums()).is_err(), "the damage is still seen");
}

fn udp_lab() -> Lab {
    let mut lab = Lab::new();
    let service = lab.service(Protocol::Udp, "192.0.2.10:53", "rr");
    lab.add(service, "10.0.0.1:5353", Forward::Nat, 1);
    lab.publish();
    lab.quiet();
    lab
}

#[test]
fn udp_goes_there_and_back_and_never_counts_as_active() {
    let mut lab = udp_lab();
    let (from, to) = (client(3), at("192.0.2.10:53"));
    let seen = lab.relay_in(&udp(from, to, b"who is it"));
    seen.assert_checksums();
    assert_eq!(seen.destination(), at("10.0.0.1:5353"));
    let seen = lab.relay_out(&udp(at("10.0.0.1:5353"), from, b"it is me"));
    seen.assert_checksums();
    assert_eq!((seen.source(), seen.destination()), (to, from));
    let conn = lab.udp_connection(from, to).unwrap();
    assert_eq!((conn.state, lab.expires_s(&conn)), (0, 300));
    assert_eq!(lab.load(conn.dest), (0, 1));
    lab.wait_s(300);
    assert_eq!((lab.udp_connection(from, to).map(|c| c.dest), lab.load(conn.dest)), (None, (0, 0)));
}

#[test]
fn udp_without_a_checksum_leaves_with_a_full_one_however_it_is_segmented() {
    for split in [None, Some(42), Some(43), Some(47), Some(60)] {
        for len in [0, 1, 18, 19, 300] {
            let mut lab = udp_lab();
            let mut datagram = udp(client(3), at("192.0.2.10:53"), &vec![0xe7; len]);
            datagram.load = match datagram.load {
                Load::Udp { data, .. } => Load::Udp { with_checksum: false, data },
                other => other,
            };
            let bytes = datagram.bytes();
            let (head, tail) = bytes.split_at(split.unwrap_or(bytes.len()).min(bytes.len()));
            let seen = only(lab.process(CLIENT_SIDE, [VecFrame::in_segments([head, tail])]));
            assert_ne!(seen.udp_checksum(), 0);
            seen.assert_checksums();
        }
    }
}

#[test]
fn a_computed_udp_checksum_of_zero_is_sent_as_all_ones() {
    let mut lab = udp_lab();
    // the data are chosen so that the sum of what leaves is 0xffff, whose complement is 0
    let mut seen_ones = 0;
    for with_checksum in [true, false] {
        let probe = udp(client(3), at("192.0.2.10:53"), &[0, 0]);
        let sum = lab.relay_in(&probe).udp_checksum();
        let mut datagram = udp(client(3), at("192.0.2.10:53"), &sum.to_be_bytes());
        datagram.load = Load::Udp { with_checksum, data: sum.to_be_bytes().to_vec() };
        let seen = lab.relay_in(&datagram);
        seen.assert_checksums();
        seen_ones += u32::from(seen.udp_checksum() == 0xffff);
    }
    assert_eq!(seen_ones, 2);
}

/// One packet of a session: from the client (`true`) or the server.
fn step(lab: &mut Lab, from_client: bool, flags: u8) -> (&'static str, u32) {
    if from_client {
        lab.relay_in(&tcp(client(1), vip(), flags));
    } else {
        lab.relay_out(&tcp(at("10.0.0.1:8080"), client(1), flags));
    }
    lab.state(1).unwrap()
}

#[test]
fn a_session_goes_through_ipvss_states_timeouts_and_counts() {
    let (mut lab, server) = Lab::nat();
    let session = [
        (true, SYN, "SYN_RECV", 60, (1, 0)),
        (false, SYN | ACK, "SYN_RECV", 60, (1, 0)),
        (true, ACK, "ESTABLISHED", 900, (1, 0)),
        (false, ACK, "ESTABLISHED", 900, (1, 0)),
        (true, FIN | ACK, "CLOSE_WAIT", 60, (0, 1)),
        (false, FIN | ACK, "TIME_WAIT", 120, (0, 1)),
        (true, ACK, "TIME_WAIT", 120, (0, 1)),
    ];
    for (from_client, flags, state, timeout, load) in session {
        assert_eq!((step(&mut lab, from_client, flags), lab.load(server)), ((state, timeout), load), "{flags:#x}");
    }
    let counters = lab.director.counters().1;
    let counters = &counters[server.index()];
    assert_eq!((counters.connections.get(), counters.in_packets.get(), counters.out_packets.get()), (1, 4, 3));
    assert_eq!((counters.in_bytes.get(), counters.out_bytes.get()), (4 * 40, 3 * 40));
    assert_eq!(counters.references.get(), 1);
    lab.wait_s(119);
    assert!(lab.state(1).is_some());
    lab.wait_s(2);
    assert_eq!((lab.state(1), lab.load(server)), (None, (0, 0)));
    assert_eq!((lab.counters().connections_created.get(), lab.counters().connections_expired.get()), (1, 1));
    assert_eq!((counters.references.get(), lab.director.connections().len()), (0, 0));
}

#[test]
fn a_reset_closes_and_a_server_that_closes_first_waits() {
    for (from_client, flags, state, timeout) in [
        (true, RST, "CLOSE", 10),
        (false, RST | ACK, "CLOSE", 10),
        (false, FIN | ACK, "FIN_WAIT", 120),
        (true, 0, "CLOSE", 10),
    ] {
        let (mut lab, server) = Lab::nat();
        for (from_client, flags) in [(true, SYN), (false, SYN | ACK), (true, ACK)] {
            step(&mut lab, from_client, flags);
        }
        assert_eq!(step(&mut lab, from_client, flags), (state, timeout));
        assert_eq!(lab.load(server), (0, 1));
        lab.wait_s(u64::from(timeout) + 1);
        assert_eq!((lab.state(1), lab.load(server)), (None, (0, 0)));
    }
}

#[test]
fn timeouts_are_the_configured_ones() {
    let (mut lab, _) = Lab::nat();
    lab.timeouts(|t| (t.tcp[3], t.udp) = (700, 1100));
    lab.publish();
    lab.connect(1);
    assert_eq!(lab.state(1), Some(("SYN_RECV", 7)));
    lab.wait_s(8);
    assert_eq!(lab.state(1), None);
}

#[test]
fn a_packet_restarts_the_timer() {
    let (mut lab, _) = Lab::nat();
    lab.connect(1);
    for _ in 0..5 {
        lab.wait_s(50);
        lab.connect(1);
    }
    assert_eq!((lab.state(1), lab.counters().connections_created.get()), (Some(("SYN_RECV", 60)), 1));
}

#[test]
fn a_connection_past_its_time_is_over_even_when_its_timer_has_not_come_up() {
    let (mut lab, server) = Lab::nat();
    lab.connect(1);
    lab.now = lab.now.plus_ms(60_000);
    lab.refuse(DropReason::NotSyn, &tcp(client(1), vip(), ACK));
    assert_eq!((lab.state(1), lab.load(server)), (None, (0, 0)));
    lab.connect(1);
    lab.now = lab.now.plus_ms(60_000);
    lab.connect(1);
    assert_eq!((lab.counters().connections_created.get(), lab.load(server)), (3, (1, 0)));
}

#[test]
fn a_syn_on_a_finished_connection_starts_a_new_one_at_once() {
    let (mut lab, servers) = Lab::with_servers(Forward::Nat, &["10.0.0.1:80", "10.0.0.2:80"]);
    assert_eq!(lab.connect(1), at("10.0.0.2:80"));
    lab.relay_in(&tcp(client(1), vip(), ACK));
    lab.relay_in(&tcp(client(1), vip(), RST));
    assert_eq!(lab.connect(1), at("10.0.0.1:80"), "scheduled anew");
    assert_eq!((lab.load(servers[1]), lab.load(servers[0])), ((0, 0), (1, 0)));
    // one that goes on is not disturbed
    lab.relay_in(&tcp(client(1), vip(), ACK));
    assert_eq!(lab.connect(1), at("10.0.0.1:80"));
    assert_eq!(lab.state(1), Some(("ESTABLISHED", 900)));
}

#[test]
fn whether_a_syn_starts_anew_is_conn_reuse_modes_to_say() {
    let finished = |mode: u8| {
        let (mut lab, _) = Lab::with_servers(Forward::Nat, &["10.0.0.1:80", "10.0.0.2:80"]);
        lab.settings(|s| s.conn_reuse_mode = mode);
        lab.publish();
        let first = lab.connect(1);
        lab.relay_in(&tcp(client(1), vip(), RST));
        lab.relay_in(&tcp(client(1), vip(), ACK));
        lab.relay_in(&tcp(client(1), vip(), RST));
        assert_eq!(lab.state(1).map(|s| s.0), Some("CLOSE"));
        lab.connect(1) != first
    };
    assert_eq!([finished(0), finished(1)], [false, true]);
}

#[test]
fn a_packet_too_short_for_its_flags_changes_no_state() {
    let (mut lab, _) = Lab::nat();
    lab.connect(1);
    lab.relay_in(&tcp(client(1), vip(), ACK));
    let mut short = tcp(client(1), vip(), 0);
    let whole = short.packet();
    short.load = Load::Raw(TCP, whole[20..32].to_vec());
    lab.refuse(DropReason::L4Truncated, &short);
    assert_eq!(lab.state(1).map(|s| s.0), Some("ESTABLISHED"));
}

#[test]
fn active_ftp_data_is_never_scheduled() {
    let (mut lab, _) = Lab::nat();
    let mut from = client(1);
    from.set_port(20);
    lab.refuse(DropReason::NoService, &tcp(from, vip(), SYN));
    assert!(lab.director.connections().is_empty());
}

#[test]
fn sloppy_tcp_takes_a_connection_in_its_middle_but_no_reset() {
    let (mut lab, _) = Lab::nat();
    lab.settings(|s| s.sloppy_tcp = true);
    lab.publish();
    lab.relay_in(&tcp(client(1), vip(), ACK));
    assert_eq!(lab.state(1), Some(("ESTABLISHED", 900)));
    lab.refuse(DropReason::NotSyn, &tcp(client(2), vip(), RST));
}

#[test]
fn both_virtual_ports_of_a_server_answer_as_themselves() {
    let mut lab = Lab::new();
    for (virt, server) in [("192.0.2.10:80", "10.0.0.1:8080"), ("192.0.2.10:443", "10.0.0.1:8443")] {
        let service = lab.service(Protocol::Tcp, virt, "wlc");
        lab.add(service, server, Forward::Nat, 1);
    }
    lab.publish();
    lab.quiet();
    for (virt, server) in [("192.0.2.10:80", "10.0.0.1:8080"), ("192.0.2.10:443", "10.0.0.1:8443")] {
        assert_eq!(lab.relay_in(&tcp(client(1), at(virt), SYN)).destination(), at(server));
        let seen = lab.relay_out(&tcp(at(server), client(1), SYN | ACK));
        assert_eq!(seen.source(), at(virt));
    }
}

#[test]
fn a_wlc_service_follows_the_counts() {
    let mut lab = Lab::new();
    let service = lab.service(Protocol::Tcp, VIP, "wlc");
    let heavy = lab.add(service, "10.0.0.1:80", Forward::Nat, 3);
    let light = lab.add(service, "10.0.0.2:80", Forward::Nat, 1);
    lab.publish();
    lab.quiet();
    for n in 0..40 {
        lab.connect(n);
    }
    assert_eq!((lab.load(heavy), lab.load(light)), ((30, 0), (10, 0)));
}

#[test]
fn a_destination_at_its_threshold_takes_no_more_until_well_below() {
    let (mut lab, ids) = Lab::with_servers(Forward::Nat, &["10.0.0.1:80"]);
    lab.edit(ids[0], |d| d.threshold_upper = 4);
    lab.publish();
    for n in 0..4 {
        lab.connect(n);
    }
    let told = only(lab.refuse(DropReason::NoDestination, &tcp(client(9), vip(), SYN)));
    assert_eq!(told.transport()[..2], [3, 3], "port unreachable");
    // three quarters of the threshold are three: one less is needed
    lab.relay_in(&tcp(client(0), vip(), ACK));
    lab.relay_in(&tcp(client(0), vip(), RST));
    lab.relay_in(&tcp(client(1), vip(), ACK));
    lab.relay_in(&tcp(client(1), vip(), RST));
    lab.wait_s(11);
    assert_eq!(lab.load(ids[0]), (2, 0));
    lab.connect(9);
}

#[test]
fn a_segment_keeps_its_tcp_header_when_the_head_ends_inside_it() {
    let (mut lab, _) = Lab::nat();
    lab.connect(1);
    let bytes = tcp(client(1), vip(), ACK).data(b"data").bytes();
    let split = VecFrame::in_segments([&bytes[..50], &bytes[50..]]);
    let seen = only(lab.process(CLIENT_SIDE, [split]));
    seen.assert_checksums();
    assert_eq!(TcpHeader::of(seen.transport()).unwrap().flags.0, ACK);
}

/// The kernel takes its IPVS out of the way of a family's packets with the family's last service.
#[test]
fn without_a_service_of_its_family_a_connections_packets_are_anybodys() {
    let mut lab = Lab::new();
    lab.settings(|s| s.forward = true);
    let service = lab.service(Protocol::Tcp, VIP, "rr");
    lab.add(service, "10.0.0.1:8080", Forward::Nat, 1);
    lab.service(Protocol::Tcp, "[2001:db8:1::100]:80", "rr");
    lab.publish();
    lab.quiet();
    let server = lab.connect(1);
    let answer = tcp(server, client(1), SYN | ACK);
    assert_eq!(lab.relay_out(&answer).source(), vip());
    lab.remove_service(service);
    lab.publish();
    let seen = lab.relay_out(&answer);
    assert_eq!((seen.source(), seen.ip().ttl), (server, 63));
    lab.refuse(DropReason::NoService, &tcp(client(1), vip(), ACK));
    lab.service(Protocol::Udp, "192.0.2.10:53", "rr");
    lab.publish();
    assert_eq!(lab.relay_out(&answer).source(), vip(), "any other service will do");
    lab.refuse(DropReason::DestinationGone, &tcp(client(1), vip(), ACK));
}

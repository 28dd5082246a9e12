//! Direct routing and tunnels.

use super::lab::*;
use super::packets::*;
use crate::model::{DropReason, Forward, Tunnel};
use crate::wire::Header;
use crate::wire::ip_protocol::IPIP;
use crate::wire::ipv4::Ipv4Header;
use crate::wire::tcp::{TcpFlags, TcpHeader};
use std::net::SocketAddrV4;

const TUN: Forward = Forward::Tun(Tunnel {
    kind: crate::model::TunnelKind::Ipip,
    port: 0,
    checksum: crate::model::TunnelChecksum::None,
});

#[test]
fn direct_routing_changes_macs_and_ttl_alone() {
    let (mut lab, ids) = Lab::with_servers(Forward::Dr, &["10.0.0.1:80"]);
    let mut sent = tcp(client(1), vip(), SYN).data(b"some data");
    (sent.options, sent.tos) = (vec![1; 8], 0x13);
    let seen = lab.relay_in(&sent);
    assert_eq!((seen.port, seen.to_mac, seen.from_mac), (1, server_mac(1), SERVER_SIDE_MAC));
    assert_eq!(seen.packet, Datagram { ttl: 63, ..sent }.packet());
    assert_eq!((lab.load(ids[0]), lab.state(1)), ((1, 0), Some(("SYN_RECV", 60))));
}

#[test]
fn direct_routing_sees_the_clients_half_of_a_session() {
    for method in [Forward::Dr, TUN] {
        let (mut lab, ids) = Lab::with_servers(method, &["10.0.0.1:80"]);
        let session = [
            (SYN, ("SYN_RECV", 60), (1, 0)),
            (ACK, ("ESTABLISHED", 900), (1, 0)),
            (FIN | ACK, ("FIN_WAIT", 120), (0, 1)),
            (ACK, ("FIN_WAIT", 120), (0, 1)),
        ];
        for (flags, state, load) in session {
            lab.relay_in(&tcp(client(1), vip(), flags));
            assert_eq!((lab.state(1), lab.load(ids[0])), (Some(state), load));
        }
        lab.wait_s(121);
        assert_eq!((lab.state(1), lab.load(ids[0])), (None, (0, 0)));
    }
}

#[test]
fn a_direct_routing_servers_answer_is_not_taken_for_a_nat_one() {
    let (mut lab, _) = Lab::with_servers(Forward::Dr, &["10.0.0.1:80"]);
    lab.connect(1);
    assert!(lab.server_sends(&tcp(at("10.0.0.1:80"), client(1), SYN | ACK)).is_empty());
    assert_eq!(lab.drops(), [(DropReason::ForwardOff, 1)]);
}

#[test]
fn conn_reuse_mode_two_reuses_a_half_closed_connection_whose_replies_are_not_seen() {
    for (mode, expected) in [(1, false), (2, true), (3, true)] {
        let (mut lab, _) = Lab::with_servers(Forward::Dr, &["10.0.0.1:80", "10.0.0.2:80"]);
        lab.settings(|s| s.conn_reuse_mode = mode);
        lab.publish();
        let first = lab.relay_in(&tcp(client(1), vip(), SYN)).to_mac;
        lab.relay_in(&tcp(client(1), vip(), ACK));
        lab.relay_in(&tcp(client(1), vip(), FIN | ACK));
        let second = lab.relay_in(&tcp(client(1), vip(), SYN)).to_mac;
        assert_eq!(first != second, expected, "mode {mode}");
    }
}

#[test]
fn a_tunnel_wraps_the_packet_in_a_header_like_the_kernels() {
    let (mut lab, _) = Lab::with_servers(TUN, &["10.0.0.1:80"]);
    let sent = tcp(client(1), vip(), SYN).data(b"inside");
    let seen = lab.relay_in(&sent);
    seen.assert_checksums();
    let outer = seen.ip();
    assert_eq!((outer.source(), outer.destination(), outer.protocol), (ip("10.0.0.254"), ip("10.0.0.1"), IPIP));
    assert_eq!((outer.ttl, outer.tos, outer.dont_fragment(), outer.id.get()), (63, 0, true, 0));
    assert_eq!((seen.port, seen.to_mac, seen.from_mac), (1, server_mac(1), SERVER_SIDE_MAC));
    assert_eq!(seen.packet[20..], Datagram { ttl: 63, ..sent }.packet(), "the packet, one hop on");
}

#[test]
fn a_tunnels_outer_tos_is_the_inner_one_but_for_congestion_met_before() {
    for (inner, outer) in [(0x00, 0x00), (0x01, 0x01), (0x02, 0x02), (0xb8, 0xb8), (0xbb, 0xba), (0x03, 0x02)] {
        let (mut lab, _) = Lab::with_servers(TUN, &["10.0.0.1:80"]);
        let seen = lab.relay_in(&Datagram { tos: inner, ..tcp(client(1), vip(), SYN) });
        seen.assert_checksums();
        let inside = Ipv4Header::at(&seen.packet, 20).unwrap();
        assert_eq!((seen.ip().tos, inside.tos), (outer, inner), "{inner:#x}");
    }
}

#[test]
fn a_tunnel_copies_dont_fragment_if_told_to() {
    for (pmtu_disc, inner, outer) in
        [(true, true, true), (true, false, false), (false, true, false), (false, false, false)]
    {
        let (mut lab, _) = Lab::with_servers(TUN, &["10.0.0.1:80"]);
        lab.settings(|s| s.pmtu_disc = pmtu_disc);
        lab.publish();
        let seen = lab.relay_in(&Datagram { dont_fragment: inner, ..tcp(client(1), vip(), SYN) });
        assert_eq!(seen.ip().dont_fragment(), outer);
        let again = lab.relay_in(&Datagram { dont_fragment: inner, ..tcp(client(1), vip(), SYN) });
        // what may be fragmented on its way needs an identification of its own
        assert_eq!(seen.ip().id == again.ip().id, outer);
    }
}

#[test]
fn a_tunnel_takes_what_fits_with_its_header_and_says_so() {
    let (mut lab, _) = Lab::with_servers(TUN, &["10.0.0.1:80"]);
    lab.relay_in(&tcp(client(1), vip(), SYN));
    let fits = lab.relay_in(&tcp(client(1), vip(), ACK).data(&[1; 1440]));
    assert_eq!(fits.ip().total_length.get(), 1500);
    fits.assert_checksums();
    let told = only(lab.refuse(DropReason::MtuExceeded, &tcp(client(1), vip(), ACK).data(&[1; 1441])));
    assert_eq!(told.transport()[..8], [3, 4, told.transport()[2], told.transport()[3], 0, 0, 0x05, 0xc8], "1480");
    told.assert_checksums();
}

#[test]
fn a_tunnel_over_a_link_too_small_for_it_takes_nothing() {
    let (mut lab, _) = Lab::with_servers(TUN, &["10.0.0.1:80"]);
    lab.network(|n| n.interfaces[1].mtu = 87);
    lab.publish();
    assert!(lab.refuse(DropReason::MtuExceeded, &tcp(client(1), vip(), SYN)).is_empty());
    lab.network(|n| n.interfaces[1].mtu = 88);
    lab.publish();
    lab.relay_in(&tcp(client(1), vip(), SYN));
}

#[test]
fn a_tunnel_reaches_over_a_router_and_an_unknown_one_has_no_route() {
    let (mut lab, _) = Lab::with_servers(TUN, &["203.0.113.9:80"]);
    let seen = lab.relay_in(&tcp(client(1), vip(), SYN));
    assert_eq!((seen.port, seen.to_mac, seen.ip().source()), (0, GATEWAY_MAC, ip("192.0.2.254")));
    lab.network(|n| n.routes.clear());
    lab.publish();
    lab.refuse(DropReason::NoRoute, &tcp(client(1), vip(), SYN));
}

#[test]
fn a_method_edited_later_is_for_new_connections() {
    // ip_vs_edit_dest changes the destination; a connection keeps what ip_vs_bind_xmit gave it
    let (mut lab, ids) = Lab::with_servers(Forward::Nat, &["10.0.0.1:80"]);
    lab.connect(1);
    for (n, method) in [(2, Forward::Dr), (3, TUN)] {
        lab.edit(ids[0], |d| d.forward = method);
        lab.publish();
        lab.relay_in(&tcp(client(n), vip(), SYN));
    }
    lab.edit(ids[0], |d| d.forward = Forward::Nat);
    lab.publish();
    assert_eq!(lab.relay_in(&tcp(client(1), vip(), ACK)).destination(), at("10.0.0.1:80"));
    assert_eq!(lab.relay_out(&tcp(at("10.0.0.1:80"), client(1), ACK)).source(), vip());
    assert_eq!(lab.relay_in(&tcp(client(2), vip(), ACK)).destination(), vip());
    assert_eq!(lab.relay_in(&tcp(client(3), vip(), ACK)).ip().protocol, IPIP);
}

#[test]
fn bytes_behind_the_packet_do_not_go_on() {
    for method in [Forward::Nat, Forward::Dr, TUN] {
        let (mut lab, _) = Lab::with_servers(method, &["10.0.0.1:80"]);
        let seen = lab.relay_in(&Datagram { padding: 6, ..tcp(client(1), vip(), SYN) });
        assert_eq!(seen.packet.len(), usize::from(seen.ip().total_length.get()));
        let l4 = seen.packet.len() - 20;
        assert_eq!(TcpHeader::at(&seen.packet, l4).unwrap().flags.0, SYN);
    }
}

/// A RST of 40 bytes from `from` to `to` with this sequence number.
fn assert_reset(seen: &Seen, from: SocketAddrV4, to: SocketAddrV4, sequence: u32) {
    let tcp = TcpHeader::of(seen.transport()).unwrap();
    assert_eq!((seen.source(), seen.destination()), (from, to));
    assert_eq!((tcp.flags, tcp.sequence.get(), seen.packet.len()), (TcpFlags::RST, sequence, 40));
    seen.assert_checksums();
}

#[test]
fn an_idle_connection_is_reset_at_both_ends_where_its_service_says_so() {
    for (forward, resets) in [(Forward::Nat, 2), (Forward::Dr, 1), (TUN, 1)] {
        let (mut lab, ids) = Lab::with_servers(forward, &["10.0.0.1:80"]);
        lab.edit(ids[0], |d| d.departures.reset_on_idle_expiry = true);
        lab.publish();
        let (client, server) = (client(1), at("10.0.0.1:80"));
        lab.relay_in(&tcp(client, vip(), SYN));
        if forward == Forward::Nat {
            lab.relay_out(&tcp(server, client, SYN | ACK).at_server_side());
        }
        lab.relay_in(&tcp(client, vip(), ACK));
        lab.wait_s(899);
        assert!(lab.sent().is_empty());
        lab.wait_s(3);
        let sent = lab.sent();
        assert_eq!(sent.len(), resets);
        // every segment here acknowledges what comes before 2
        assert_reset(&sent[0], vip(), client, 2);
        if let Some(other) = sent.get(1) {
            assert_reset(other, client, server, 2);
        }
        assert_eq!((lab.counters().resets_sent.get(), lab.director.connections().len()), (resets as u64, 0));
    }
}

//! Packets longer than the MTU of their way that may be fragmented.

use super::lab::*;
use super::packets::*;
use crate::dataplane::vec_frame::VecFrame;
use crate::model::{DropReason, Forward, Tunnel};

/// The packet that fragments make together, checked piece by piece; all must have come through `mtu`.
pub fn reassemble(pieces: &[Seen], mtu: usize) -> Vec<u8> {
    let first = pieces[0].ip();
    let (header, id) = (first.header_len(), first.id);
    let mut whole = pieces[0].packet[..header].to_vec();
    for (i, piece) in pieces.iter().enumerate() {
        let ip = piece.ip();
        assert!(piece.packet.len() <= mtu && piece.packet.len() > 20, "{}", piece.packet.len());
        assert_eq!(usize::from(ip.total_length.get()), piece.packet.len());
        assert_eq!(long_sum(&piece.packet[..ip.header_len()]), 0, "each has its own header checksum");
        assert_eq!((ip.id, ip.fragment_offset(), ip.dont_fragment()), (id, whole.len() - header, false));
        let is_last = i + 1 == pieces.len();
        assert_eq!(ip.more_fragments(), !is_last);
        assert!(is_last || (piece.packet.len() - ip.header_len()).is_multiple_of(8));
        whole.extend(&piece.packet[ip.header_len()..]);
    }
    let total = (whole.len() as u16).to_be_bytes();
    whole[2..4].copy_from_slice(&total);
    whole[6..8].fill(0);
    fix_ip_checksum(&mut whole);
    whole
}

fn long(from: std::net::SocketAddrV4, to: std::net::SocketAddrV4, len: usize) -> Datagram {
    let data: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
    Datagram { dont_fragment: false, ..tcp(from, to, ACK).data(&data) }
}

#[test]
fn fragments_make_the_packet_again_whatever_the_method() {
    for mtu in [68, 100, 576, 1499] {
        for len in [1460, 1461, 3000] {
            let (mut lab, _) = Lab::with_servers(Forward::Nat, &["10.0.0.1:8080"]);
            lab.network(|n| n.interfaces[1].mtu = mtu);
            lab.publish();
            lab.connect(1);
            let pieces = lab.client_sends(&long(client(1), vip(), len));
            let direct = Datagram { ttl: 63, ..long(client(1), at("10.0.0.1:8080"), len) };
            assert_eq!(reassemble(&pieces, mtu.into()), direct.packet(), "NAT, {len} bytes through {mtu}");
            assert!(pieces.iter().all(|piece| (piece.port, piece.to_mac) == (1, server_mac(1))));
            let counters = lab.counters();
            assert_eq!((counters.packets_fragmented.get(), counters.fragments_created.get()), (1, pieces.len() as u64));
        }
    }
}

#[test]
fn answers_and_routed_packets_are_fragmented_too() {
    let (mut lab, _) = Lab::nat();
    lab.settings(|s| s.forward = true);
    lab.network(|n| n.interfaces[0].mtu = 600);
    lab.publish();
    lab.connect(1);
    let pieces = lab.server_sends(&long(at("10.0.0.1:8080"), client(1), 1400));
    let direct = Datagram { ttl: 63, ..long(vip(), client(1), 1400) };
    assert_eq!(reassemble(&pieces, 600), direct.packet());
    let routed = long(at("10.0.0.1:99"), at("203.0.113.1:99"), 1400);
    let pieces = lab.server_sends(&routed);
    assert_eq!(reassemble(&pieces, 600), Datagram { ttl: 63, ..routed }.packet());
}

#[test]
fn a_tunnels_packet_is_fragmented_outside() {
    let (mut lab, _) = Lab::with_servers(Forward::Tun(Tunnel::default()), &["10.0.0.1:80"]);
    lab.relay_in(&tcp(client(1), vip(), SYN));
    let sent = long(client(1), vip(), 1450);
    let pieces = lab.client_sends(&sent);
    let whole = reassemble(&pieces, 1500);
    assert_eq!(pieces.len(), 2);
    assert_eq!(whole[20..], Datagram { ttl: 63, ..sent }.packet());
}

#[test]
fn options_that_are_not_to_be_copied_are_in_the_first_fragment_alone() {
    let (mut lab, _) = Lab::with_servers(Forward::Dr, &["10.0.0.1:80"]);
    lab.network(|n| n.interfaces[1].mtu = 576);
    lab.publish();
    lab.relay_in(&tcp(client(1), vip(), SYN));
    // record route (not copied), router alert (copied)
    let options = vec![7, 3, 4, 1, 0x94, 4, 0, 0];
    let sent = Datagram { options: options.clone(), ..long(client(1), vip(), 1400) };
    let pieces = lab.client_sends(&sent);
    assert_eq!(pieces[0].packet[20..28], options);
    assert!(pieces[1..].iter().all(|piece| piece.packet[20..28] == [1, 1, 1, 1, 0x94, 4, 0, 0]));
    assert_eq!(reassemble(&pieces, 576), Datagram { ttl: 63, ..sent }.packet());
}

#[test]
fn a_segmented_jumbo_frame_is_fragmented_across_its_segments() {
    let (mut lab, _) = Lab::with_servers(Forward::Dr, &["10.0.0.1:80"]);
    lab.relay_in(&tcp(client(1), vip(), SYN));
    let sent = long(client(1), vip(), 8000);
    let bytes = sent.bytes();
    let pieces = lab.process(CLIENT_SIDE, [VecFrame::in_segments(bytes.chunks(1501))]);
    assert_eq!(reassemble(&pieces, 1500), Datagram { ttl: 63, ..sent }.packet());
}

#[test]
fn fragments_wait_together_for_a_next_hop() {
    let (mut lab, _) = Lab::with_servers(Forward::Dr, &["10.1.0.7:80"]);
    lab.settings(|s| s.sloppy_tcp = true);
    lab.publish();
    let sent = long(client(1), vip(), 3000);
    assert!(only(lab.client_sends(&sent)).is_arp());
    let reply = arp_reply(TAGGED_MAC, Some(TAG), server_mac(7), "10.1.0.7", "10.1.0.254");
    let pieces = lab.feed(SERVER_SIDE, &reply);
    assert!(pieces.iter().all(|piece| piece.vlan == Some(TAG)));
    assert_eq!(reassemble(&pieces, 1500), Datagram { ttl: 63, ..sent }.packet());
}

#[test]
fn what_must_not_be_fragmented_is_not_and_what_does_not_fit_at_all_is_dropped() {
    let (mut lab, _) = Lab::with_servers(Forward::Dr, &["10.0.0.1:80"]);
    lab.network(|n| n.interfaces[1].mtu = 68);
    lab.publish();
    lab.relay_in(&tcp(client(1), vip(), SYN));
    let told = lab.refuse(DropReason::MtuExceeded, &Datagram { dont_fragment: true, ..long(client(1), vip(), 100) });
    assert_eq!(told.len(), 1);
    // the longest header leaves eight bytes of 68
    let sent = Datagram { options: vec![1; 40], ..long(client(1), vip(), 100) };
    let pieces = lab.client_sends(&sent);
    assert_eq!((pieces.len(), pieces[0].packet.len()), (15, 68));
    assert_eq!(reassemble(&pieces, 68), Datagram { ttl: 63, ..sent }.packet());
}

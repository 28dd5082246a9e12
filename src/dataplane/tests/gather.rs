//! Packets that come in fragments: they go through as one, and leave as they came.

use super::fragments::reassemble;
use super::lab::*;
use super::packets::*;
use crate::dataplane::vec_frame::VecFrame;
use crate::model::{DropReason, Forward, Tunnel};
use crate::wire::Header;
use crate::wire::ipv4::Ipv4Header;

/// Frames with the packet's data in pieces of these lengths, the rest in one more.
fn pieces(datagram: &Datagram, lens: &[usize]) -> Vec<Vec<u8>> {
    let whole = datagram.bytes();
    let packet = &whole[14..];
    let header = 20 + datagram.options.len();
    let mut at = 0;
    let mut cut = |len: usize| {
        let len = len.min(packet.len() - header - at);
        let mut piece = [&packet[..header], &packet[header + at..][..len]].concat();
        let total = (piece.len() as u16).to_be_bytes();
        piece[2..4].copy_from_slice(&total);
        let more = at + len < packet.len() - header;
        Ipv4Header::of_mut(&mut piece).unwrap().set_fragment(datagram.dont_fragment, more, at);
        fix_ip_checksum(&mut piece);
        at += len;
        [&whole[..14], &piece].concat()
    };
    let mut all: Vec<_> = lens.iter().map(|&len| cut(len)).collect();
    all.push(cut(usize::MAX));
    all
}

fn feed(lab: &mut Lab, side: crate::model::PortId, frames: &[Vec<u8>]) -> Vec<Seen> {
    lab.process(side, frames.iter().map(|bytes| VecFrame::new(bytes)))
}

fn lens(seen: &[Seen]) -> Vec<usize> {
    seen.iter().map(|seen| seen.packet.len() - seen.ip().header_len()).collect()
}

fn data(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7) as u8).collect()
}

fn long(len: usize) -> Datagram {
    Datagram { dont_fragment: false, ..tcp(client(1), vip(), ACK) }.data(&data(len))
}

#[test]
fn fragments_of_any_lengths_leave_with_the_same_lengths_both_ways_through_nat() {
    let (mut lab, id) = Lab::nat();
    let server = lab.connect(1);
    for lens_sent in [&[8, 1000, 496][..], &[1480], &[16; 90]] {
        let sent = long(1600);
        let mut frames = pieces(&sent, lens_sent);
        frames.reverse();
        let seen = frames.chunks(64).flat_map(|frames| feed(&mut lab, CLIENT_SIDE, frames)).collect::<Vec<_>>();
        assert_eq!(lens(&seen)[..lens_sent.len()], *lens_sent);
        let arrived = Datagram { ttl: 63, destination: server, ..sent };
        assert_eq!(reassemble(&seen, 1500), arrived.packet());
        let answer = Datagram { source: server, destination: client(1), ..long(1600) }.at_server_side();
        let frames = pieces(&answer, lens_sent);
        let seen = frames.chunks(64).flat_map(|frames| feed(&mut lab, SERVER_SIDE, frames)).collect::<Vec<_>>();
        assert_eq!(lens(&seen)[..lens_sent.len()], *lens_sent);
        assert_eq!(reassemble(&seen, 1500), Datagram { ttl: 63, source: vip(), ..answer }.packet());
    }
    let counters = lab.director.counters().1;
    let counts = &counters[id.index()];
    assert_eq!((counts.in_packets.get(), counts.out_packets.get()), (1 + 3, 3), "each counts as one packet");
    let counters = lab.counters();
    assert_eq!((counters.packets_reassembled.get(), counters.fragments_reassembled.get()), (6, 2 * (4 + 2 + 91)));
    assert!(lab.drops().is_empty());
}

#[test]
fn a_connection_begins_with_the_whole_packet_however_it_was_cut() {
    let (mut lab, _) = Lab::nat();
    let sent = Datagram { dont_fragment: false, ..tcp(client(1), vip(), SYN) };
    let frames = pieces(&sent, &[8, 8]);
    assert!(feed(&mut lab, CLIENT_SIDE, &frames[..2]).is_empty());
    assert!(lab.state(1).is_none() && lab.director.fragments_waiting() == 2);
    let seen = feed(&mut lab, CLIENT_SIDE, &frames[2..]);
    assert_eq!(lens(&seen), [8, 8, 4]);
    assert_eq!(lab.state(1), Some(("SYN_RECV", 60)));
}

#[test]
fn what_does_not_fit_the_way_out_is_cut_evenly() {
    let (mut lab, _) = Lab::with_servers(Forward::Dr, &["10.0.0.1:80"]);
    lab.network(|n| n.interfaces[1].mtu = 600);
    lab.publish();
    lab.connect(1);
    let seen = feed(&mut lab, CLIENT_SIDE, &pieces(&long(1484), &[1000]));
    // 580 bytes fit, and the last of them whatever their number
    assert_eq!(lens(&seen), [576, 576, 352]);
    let seen = feed(&mut lab, CLIENT_SIDE, &pieces(&long(1136), &[1000]));
    assert_eq!(lens(&seen), [576, 580]);
}

#[test]
fn a_servers_fragment_that_must_not_be_cut_and_is_too_long_is_refused_by_itself() {
    let (mut lab, _) = Lab::nat();
    lab.network(|n| n.interfaces[0].mtu = 600);
    lab.publish();
    let server = lab.connect(1);
    let answer = |dont_fragment| {
        let answer = Datagram { source: server, destination: client(1), dont_fragment, ..long(1600) };
        pieces(&answer.at_server_side(), &[1000, 104])
    };
    let seen = feed(&mut lab, SERVER_SIDE, &answer(true));
    assert_eq!(
        seen.iter().map(|seen| (seen.port, seen.transport()[..2].to_vec())).collect::<Vec<_>>(),
        [(1, vec![3, 4])]
    );
    assert_eq!((lab.dropped(DropReason::MtuExceeded), lab.director.fragments_waiting()), (1, 2));
    lab.wait_s(31);
    let seen = feed(&mut lab, SERVER_SIDE, &answer(false));
    assert_eq!(lens(&seen), [576, 576, 468]);
}

#[test]
fn a_tunnels_packet_is_cut_no_longer_than_the_longest_fragment() {
    let (mut lab, _) = Lab::with_servers(Forward::Tun(Tunnel::default()), &["10.0.0.1:80"]);
    lab.connect(1);
    let seen = feed(&mut lab, CLIENT_SIDE, &pieces(&long(988), &[504]));
    assert_eq!(lens(&seen), [504, 504, 40 - 20]);
    let inner = &reassemble(&seen, 524)[20..];
    assert_eq!(inner, Datagram { ttl: 63, ..long(988) }.packet());
    // 20 bytes more are no multiple of eight: the first one cannot stay what it was
    let seen = feed(&mut lab, CLIENT_SIDE, &pieces(&long(580), &[56, 504]));
    assert_eq!(lens(&seen), [504, 116]);
}

#[test]
fn df_of_the_longest_fragment_is_kept_where_fragments_are_cut_anew() {
    let (mut lab, _) = Lab::with_servers(Forward::Tun(Tunnel::default()), &["10.0.0.1:80"]);
    lab.connect(1);
    let sent = Datagram { dont_fragment: true, ..long(988) };
    let seen = feed(&mut lab, CLIENT_SIDE, &pieces(&sent, &[504]));
    assert!(seen.len() == 3 && seen.iter().all(|seen| seen.ip().dont_fragment()));
    let (mut lab, _) = Lab::with_servers(Forward::Dr, &["10.0.0.1:80"]);
    lab.connect(1);
    let seen = feed(&mut lab, CLIENT_SIDE, &pieces(&sent, &[504]));
    assert!(seen.len() == 2 && seen.iter().all(|seen| !seen.ip().dont_fragment()));
    // whole it must not be longer than the way allows
    let too_long = Datagram { dont_fragment: true, ..long(1500) };
    let told = only(feed(&mut lab, CLIENT_SIDE, &pieces(&too_long, &[1000])));
    assert_eq!((told.packet[20], told.packet[21]), (3, 4));
    assert_eq!(lab.drops(), [(DropReason::MtuExceeded, 1)]);
}

#[test]
fn a_sender_hears_of_fragments_that_were_not_completed_if_the_first_came() {
    let (mut lab, _) = Lab::nat();
    let frames = pieces(&long(1000), &[504, 8]);
    feed(&mut lab, CLIENT_SIDE, &frames[..2]);
    lab.wait_s(29);
    assert!(lab.sent().is_empty());
    lab.wait_s(2);
    let told = only(lab.sent());
    assert_eq!((told.ip().source(), told.ip().destination()), (*vip().ip(), *client(1).ip()));
    assert_eq!((told.packet[20], told.packet[21]), (11, 1));
    assert_eq!(told.packet[28..48], frames[0][14..34]);
    assert_eq!(lab.drops(), [(DropReason::FragmentTimeout, 2)]);
    feed(&mut lab, CLIENT_SIDE, &frames[1..]);
    lab.wait_s(31);
    assert!(lab.sent().is_empty());
    assert_eq!((lab.dropped(DropReason::FragmentTimeout), lab.director.fragments_waiting()), (4, 0));
}

#[test]
fn a_packet_whose_ttl_ends_here_is_answered_once() {
    let (mut lab, _) = Lab::nat();
    lab.connect(1);
    let told = only(feed(&mut lab, CLIENT_SIDE, &pieces(&Datagram { ttl: 1, ..long(1000) }, &[504])));
    assert_eq!((told.packet[20], told.packet[21]), (11, 0));
    assert_eq!(lab.drops(), [(DropReason::TtlExceeded, 1)]);
    // a server's fragment is routed before it waits
    let answer = Datagram { ttl: 1, source: at("10.0.0.1:80"), destination: client(1), ..long(1000) };
    let told = feed(&mut lab, SERVER_SIDE, &pieces(&answer.at_server_side(), &[504]));
    assert_eq!((told.len(), lab.dropped(DropReason::TtlExceeded)), (1, 3));
}

#[test]
fn what_is_only_routed_is_put_together_as_long_as_there_are_services_and_ports() {
    let (mut lab, _) = Lab::nat();
    lab.settings(|s| s.forward = true);
    lab.publish();
    let routed = |load| Datagram { destination: at("10.0.0.3:9"), load, ..long(0) };
    let with_ports = routed(Load::Udp { with_checksum: true, data: data(1000) });
    let frames = pieces(&with_ports, &[504]);
    assert!(feed(&mut lab, CLIENT_SIDE, &frames[..1]).is_empty());
    assert_eq!(lens(&feed(&mut lab, CLIENT_SIDE, &frames[1..])), [504, 504]);
    let without = pieces(&routed(Load::Raw(47, data(1000))), &[504]);
    assert_eq!(lens(&feed(&mut lab, CLIENT_SIDE, &without[1..])), [496]);
    let mut lab = Lab::new();
    lab.settings(|s| s.forward = true);
    lab.publish();
    let seen = feed(&mut lab, CLIENT_SIDE, &frames[1..]);
    assert_eq!((lens(&seen), seen[0].ip().fragment_offset()), (vec![504], 504));
}

#[test]
fn options_leave_with_the_first_fragment_and_a_long_ping_is_answered() {
    let (mut lab, _) = Lab::with_servers(Forward::Dr, &["10.0.0.1:80"]);
    lab.connect(1);
    let sent = Datagram { options: vec![7, 3, 4, 1, 0x94, 4, 0, 0], ..long(1000) };
    let seen = feed(&mut lab, CLIENT_SIDE, &pieces(&sent, &[504]));
    assert_eq!(seen[0].packet[20..28], sent.options);
    assert_eq!(seen[1].packet[20..28], [1, 1, 1, 1, 0x94, 4, 0, 0]);
    assert_eq!(lens(&seen), [504, 516]);
    let ping = icmp("198.51.100.7", "192.0.2.254", 8, 0, &data(1600));
    let seen = feed(&mut lab, CLIENT_SIDE, &pieces(&Datagram { dont_fragment: false, ..ping }, &[1000]));
    assert_eq!(lens(&seen), [1480, 124]);
}

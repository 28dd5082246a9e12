//! ICMP errors about the director's own tunnel packets.

use super::lab::*;
use super::packets::*;
use crate::model::{DestId, DropReason, Forward, Tunnel};

/// A connection through a tunnel, and the tunnel's packet that carried its first one.
fn tunnelled() -> (Lab, DestId, Seen) {
    let (mut lab, ids) = Lab::with_servers(Forward::Tun(Tunnel::default()), &["10.0.0.1:80"]);
    let outer = lab.relay_in(&tcp(client(1), vip(), SYN));
    (lab, ids[0], outer)
}

fn error(kind: u8, code: u8, mtu: u16, quoted: &[u8]) -> Datagram {
    let rest = [&[0, 0], &mtu.to_be_bytes()[..], quoted].concat();
    icmp("10.0.0.99", "10.0.0.254", kind, code, &rest)
}

fn told_mtu(seen: &Seen) -> u16 {
    assert_eq!(seen.transport()[..2], [3, 4]);
    u16::from_be_bytes([seen.transport()[6], seen.transport()[7]])
}

/// What the client is told when it sends a packet of 1500 bytes.
fn refused(lab: &mut Lab) -> u16 {
    told_mtu(&only(lab.refuse(DropReason::MtuExceeded, &tcp(client(1), vip(), ACK).data(&[0; 1460]))))
}

#[test]
fn the_client_is_told_in_the_routers_place_from_the_virtual_address() {
    for (kind, code) in [(3, 1), (11, 0), (3, 2)] {
        let (mut lab, id, outer) = tunnelled();
        for quoted in [&outer.packet[..], &outer.packet[..44], &outer.packet[..51]] {
            let told = lab.relay_out(&error(kind, code, 0, quoted));
            told.assert_checksums();
            assert_eq!((told.ip().source(), told.ip().destination()), (*vip().ip(), *client(1).ip()));
            assert_eq!((told.port, told.ip().tos, &told.transport()[..2]), (0, 0xc0, &[kind, code][..]));
            assert_eq!(told.transport()[8..], quoted[20..]);
        }
        // as it leaves, and as it came
        assert_eq!(lab.director.counters().1[id.index()].out_packets.get(), 6);
        assert_eq!((lab.dropped(DropReason::TunnelError), lab.counters().icmp_sent.get()), (3, 3));
    }
}

#[test]
fn an_mtu_shows_first_with_the_next_packet_and_then_at_once() {
    let (mut lab, _, outer) = tunnelled();
    let say = |lab: &mut Lab, mtu| told_mtu(&lab.relay_out(&error(3, 4, mtu, &outer.packet)));
    // the way was found before anything was told
    assert_eq!(say(&mut lab, 1300), 1480);
    assert_eq!(say(&mut lab, 1300), 1480);
    assert_eq!(refused(&mut lab), 1280);
    assert_eq!(say(&mut lab, 1200), 1180);
    assert_eq!(refused(&mut lab), 1180);
    // it only falls
    assert_eq!(say(&mut lab, 1400), 1180);
    assert_eq!(say(&mut lab, 0), 532, "the least there is");
    assert_eq!(refused(&mut lab), 532);
}

#[test]
fn an_mtu_is_forgotten_after_ten_minutes() {
    let (mut lab, _, outer) = tunnelled();
    lab.relay_out(&error(3, 4, 1300, &outer.packet));
    assert_eq!(refused(&mut lab), 1280);
    lab.wait_s(598);
    assert_eq!(refused(&mut lab), 1280);
    lab.wait_s(4);
    assert_eq!(refused(&mut lab), 1480);
}

#[test]
fn other_tunnels_keep_their_mtu() {
    let (mut lab, ids) = Lab::with_servers(Forward::Tun(Tunnel::default()), &["10.0.0.1:80", "10.0.0.2:80"]);
    let outer = lab.relay_in(&tcp(client(1), vip(), SYN));
    lab.relay_in(&tcp(client(2), vip(), SYN));
    lab.relay_out(&error(3, 4, 1300, &outer.packet));
    assert_eq!(refused(&mut lab), 1280);
    let long = tcp(client(2), vip(), ACK).data(&[0; 1460]);
    assert_eq!(told_mtu(&only(lab.refuse(DropReason::MtuExceeded, &long))), 1480);
    assert_eq!(ids.len(), 2);
}

#[test]
fn a_client_that_lets_its_packets_be_fragmented_is_not_told() {
    let (mut lab, ids) = Lab::with_servers(Forward::Tun(Tunnel::default()), &["10.0.0.1:80"]);
    let outer = lab.relay_in(&Datagram { dont_fragment: false, ..tcp(client(1), vip(), SYN) });
    assert!(lab.server_sends(&error(3, 4, 1300, &outer.packet)).is_empty());
    assert_eq!((lab.dropped(DropReason::TunnelError), refused(&mut lab)), (1, 1280));
    assert_eq!(lab.director.counters().1[ids[0].index()].out_packets.get(), 1, "what refused() was told");
}

#[test]
fn what_is_no_packet_of_a_tunnel_of_ours_is_not_believed() {
    let (mut lab, id, outer) = tunnelled();
    let edited = |at: usize, value: u8| {
        let mut packet = outer.packet.clone();
        packet[at] = value;
        packet
    };
    // another server, no IPIP, another inner flow, a later fragment, cut off within the inner ports
    let cases = [edited(19, 2), edited(9, 47), edited(33, 200), edited(7, 1), outer.packet[..43].to_vec()];
    for quoted in cases {
        assert!(lab.server_sends(&error(3, 4, 1300, &quoted)).is_empty());
    }
    assert_eq!((lab.dropped(DropReason::IcmpUnrelated), refused(&mut lab)), (5, 1480));
    lab.remove(id);
    lab.publish();
    assert!(lab.server_sends(&error(3, 4, 1300, &outer.packet)).is_empty());
    assert_eq!(lab.dropped(DropReason::IcmpUnrelated), 6);
}

#[test]
fn a_wrong_checksum_is_not_believed() {
    let (mut lab, _, outer) = tunnelled();
    let mut bytes = error(3, 4, 1300, &outer.packet).at_server_side().bytes();
    bytes[36] ^= 1;
    assert!(lab.feed(SERVER_SIDE, &bytes).is_empty());
    assert_eq!((lab.dropped(DropReason::IcmpChecksumBad), refused(&mut lab)), (1, 1480));
}

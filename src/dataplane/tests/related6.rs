//! ICMPv6 errors about packets of connections. The kernel's oddities are in it: what comes from the clients' side is
//! not checked, and with NAT nothing from the servers' side is right.

use super::lab::*;
use super::packets::{ACK, SYN, Seen, long_sum};
use crate::dataplane::snapshot::StaticNeighbour;
use crate::model::{DestId, DropReason, Forward, InterfaceId, PortId, Protocol};
use crate::wire::ip_protocol::{ICMPV6, TCP};
use crate::wire::ipv6::Ipv6Header;
use std::net::Ipv6Addr;
use zerocopy::IntoBytes;

const VIP6: &str = "2001:db8:1::100";
const SERVER6: &str = "fd00:10::11";
const CLIENT6: &str = "2001:db8:1::77";
const ROUTER6: &str = "2001:db8:1::50";

pub fn v6(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

/// RFC 8200 section 8.1, the long way.
pub fn sum(packet: &[u8]) -> u16 {
    let mut bytes = packet[8..40].to_vec();
    bytes.extend(((packet.len() - 40) as u32).to_be_bytes());
    bytes.extend([0, 0, 0, packet[6]]);
    bytes.extend(&packet[40..]);
    long_sum(&bytes)
}

/// With the checksum filled in at `at` behind the IP header.
pub fn packet(from: &str, to: &str, protocol: u8, mut body: Vec<u8>, at: usize) -> Vec<u8> {
    body[at..at + 2].fill(0);
    let ip = Ipv6Header::new(v6(from), v6(to), protocol, body.len()).unwrap();
    let mut packet = [ip.as_bytes(), &body].concat();
    let sum = sum(&packet);
    packet[40 + at..42 + at].copy_from_slice(&sum.to_be_bytes());
    packet
}

fn segment((from, from_port): (&str, u16), (to, to_port): (&str, u16), flags: u8) -> Vec<u8> {
    let ports = [from_port.to_be_bytes(), to_port.to_be_bytes()].concat();
    let fixed = [0, 0, 0, 1, 0, 0, 0, 2, 0x50, flags, 0x20, 0, 0, 0, 0, 0];
    packet(from, to, TCP, [&ports[..], &fixed].concat(), 16)
}

fn about(from: &str, to: &str, kind: u8, quoted: &[u8]) -> Vec<u8> {
    packet(from, to, ICMPV6, [&[kind, 0, 0, 0, 0, 0, 5, 20], quoted].concat(), 2)
}

pub fn feed(lab: &mut Lab, port: PortId, packet: &[u8]) -> Vec<Seen> {
    let to = if port == CLIENT_SIDE { CLIENT_SIDE_MAC } else { SERVER_SIDE_MAC };
    lab.feed(port, &[&to[..], &GATEWAY_MAC, &[0x86, 0xdd], packet].concat())
}

/// A connection to one server, and how its first packet went on.
fn connected(forward: Forward) -> (Lab, DestId, Vec<u8>) {
    let mut lab = Lab::new();
    let service = lab.service(Protocol::Tcp, &format!("[{VIP6}]:80"), "rr");
    let id = lab.add(service, &format!("[{SERVER6}]:8080"), forward, 1);
    lab.network(|n| {
        let neighbour = |interface, address, mac| StaticNeighbour {
            interface: InterfaceId(interface),
            address: v6(address).into(),
            mac,
        };
        n.neighbours.extend([neighbour(1, SERVER6, server_mac(0x11)), neighbour(0, CLIENT6, GATEWAY_MAC)]);
    });
    lab.publish();
    lab.quiet();
    let forwarded = only(feed(&mut lab, CLIENT_SIDE, &segment((CLIENT6, 31000), (VIP6, 80), SYN)));
    (lab, id, forwarded.packet)
}

#[test]
fn with_nat_an_error_about_a_servers_packet_reaches_the_server_even_with_a_wrong_checksum() {
    let (mut lab, id, _) = connected(Forward::Nat);
    let answer = segment((VIP6, 80), (CLIENT6, 31000), SYN | ACK);
    for kind in [1, 2, 3, 4] {
        let mut error = about(ROUTER6, VIP6, kind, &answer);
        error[42] ^= kind & 1;
        let told = only(feed(&mut lab, CLIENT_SIDE, &error));
        assert_eq!((told.port, told.to_mac, sum(&told.packet)), (1, server_mac(0x11), 0));
        assert_eq!((&told.packet[24..40], told.packet[7]), (&v6(SERVER6).octets()[..], 63));
        let quoted = &told.packet[48..];
        assert_eq!((&quoted[8..24], &quoted[40..44]), (&v6(SERVER6).octets()[..], &[0x1f, 0x90, 0x79, 0x18][..]));
    }
    assert_eq!(lab.director.counters().1[id.index()].in_packets.get(), 5);
}

#[test]
fn with_nat_no_error_from_the_servers_side_gets_through() {
    let (mut lab, id, forwarded) = connected(Forward::Nat);
    let error = about(SERVER6, CLIENT6, 1, &forwarded);
    assert!(feed(&mut lab, SERVER_SIDE, &error).is_empty());
    assert_eq!(lab.dropped(DropReason::IcmpChecksumBad), 1);
    assert_eq!(lab.director.counters().1[id.index()].out_packets.get(), 0);
}

#[test]
fn without_nat_errors_go_as_they_came_both_ways() {
    let (mut lab, id, forwarded) = connected(Forward::Dr);
    lab.settings(|s| s.forward = true);
    lab.publish();
    let hop = |packet: &[u8]| [&packet[..7], &[63], &packet[8..]].concat();
    let error = about(ROUTER6, VIP6, 2, &segment((VIP6, 80), (CLIENT6, 31000), ACK));
    assert_eq!(only(feed(&mut lab, CLIENT_SIDE, &error)).packet, hop(&error));
    let error = about(SERVER6, CLIENT6, 3, &forwarded);
    assert_eq!(only(feed(&mut lab, SERVER_SIDE, &error)).packet, hop(&error));
    let counters = &lab.director.counters().1[id.index()];
    assert_eq!((counters.in_packets.get(), counters.out_packets.get()), (2, 1));
}

#[test]
fn extension_headers_in_the_quote_are_stepped_over() {
    let (mut lab, _, _) = connected(Forward::Nat);
    let mut answer = segment((VIP6, 80), (CLIENT6, 31000), ACK);
    answer[6] = 60;
    answer.splice(40..40, [TCP, 0, 1, 4, 0, 0, 0, 0]);
    let told = only(feed(&mut lab, CLIENT_SIDE, &about(ROUTER6, VIP6, 1, &answer)));
    assert_eq!((&told.packet[48..][48..52], sum(&told.packet)), (&[0x1f, 0x90, 0x79, 0x18][..], 0));
}

#[test]
fn an_error_too_long_for_its_way_is_dropped_without_a_word() {
    let (mut lab, _, _) = connected(Forward::Dr);
    lab.network(|n| n.interfaces[1].mtu = 1280);
    lab.publish();
    let mut long = segment((VIP6, 80), (CLIENT6, 31000), ACK);
    long.resize(1300, 0xa5);
    assert!(feed(&mut lab, CLIENT_SIDE, &about(ROUTER6, VIP6, 2, &long)).is_empty());
    assert_eq!(lab.dropped(DropReason::MtuExceeded), 1);
}

/// The kernel looks for TCP's header right behind the IPv6 header, whatever is there, and is satisfied when the packet goes
/// on long enough.
#[test]
fn a_packet_cut_off_behind_an_extension_header_may_still_move_the_state() {
    for (data_len, state) in [(11, "SYN_RECV"), (12, "CLOSE")] {
        let (mut lab, id, _) = connected(Forward::Nat);
        assert_eq!(lab.load(id), (1, 0));
        let mut cut_off = segment((CLIENT6, 31000), (VIP6, 80), ACK);
        cut_off.truncate(40 + data_len);
        cut_off[6] = 60;
        cut_off[4..6].copy_from_slice(&(data_len as u16 + 8).to_be_bytes());
        cut_off.splice(40..40, [TCP, 0, 1, 4, 0, 0, 0, 0]);
        // where the flags would be without the extension header: the second byte of the sequence number, a zero
        assert_eq!(cut_off[53], 0);
        feed(&mut lab, CLIENT_SIDE, &cut_off);
        let mut states = Vec::new();
        let next = lab.director.list(0, 1000, |row| states.push(row.state));
        lab.director.list(next, 1000, |row| states.push(row.state));
        assert_eq!(states, [state], "with {data_len} bytes");
    }
}

//! Neighbour discovery: answering, asking, waiting, announcing.

use super::lab::*;
use super::packets::*;
use crate::model::{DropReason, Forward, InterfaceId, PortId, Protocol};
use crate::tables::neighbours::Neighbour;
use crate::wire::Header;
use crate::wire::ethernet::MacAddr;
use crate::wire::ipv6::Ipv6Header;
use crate::wire::nd::{NeighbourFrame, NeighbourMessage, solicited_node};
use std::net::Ipv6Addr;

const STATION: MacAddr = MacAddr([2, 0, 0, 0, 9, 9]);
const SERVER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 2, 0x11]);
const VIP6: &str = "2001:db8:1::100";

fn v6(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

fn neighbour(lab: &Lab, interface: u16, address: &str) -> Option<Neighbour> {
    let table = &lab.director.network().neighbours;
    table.find(InterfaceId(interface), v6(address).into()).and_then(|id| table.get(id).copied())
}

/// From the station at 2001:db8:1::50.
fn solicitation(target: &str) -> Vec<u8> {
    bytes(&NeighbourFrame::solicitation(STATION, v6("2001:db8:1::50"), v6(target)))
}

fn bytes(message: &NeighbourFrame) -> Vec<u8> {
    let mut out = vec![0xa5; NeighbourFrame::LEN];
    message.write(&mut out).unwrap();
    out
}

/// From the server: its address is at `mac`.
fn advertisement(mac: MacAddr) -> NeighbourFrame {
    NeighbourFrame::unsolicited(mac, v6("fd00:10::11"))
}

fn syn6() -> Vec<u8> {
    let ip = Ipv6Header::new(v6("2001:db8:c::1"), v6(VIP6), 6, 20).unwrap();
    let tcp = [0x75, 0x30, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0];
    let link = [&CLIENT_SIDE_MAC[..], &GATEWAY_MAC, &[0x86, 0xdd]].concat();
    [&link[..], zerocopy::IntoBytes::as_bytes(&ip), &tcp].concat()
}

fn message(seen: &Seen) -> NeighbourMessage {
    NeighbourMessage::parse(&seen.packet).expect("a valid message")
}

/// A service whose only server has to be asked for.
fn unresolved() -> Lab {
    let mut lab = Lab::new();
    let service = lab.service(Protocol::Tcp, &format!("[{VIP6}]:80"), "rr");
    lab.add(service, "[fd00:10::11]:80", Forward::Dr, 1);
    lab.publish();
    lab.quiet();
    lab
}

#[test]
fn own_and_virtual_addresses_are_answered_for_on_their_interface_alone() {
    let mut lab = unresolved();
    for (port, target, answers) in [
        (CLIENT_SIDE, "2001:db8:1::fe", Some(CLIENT_SIDE_MAC)),
        (CLIENT_SIDE, VIP6, Some(CLIENT_SIDE_MAC)),
        (SERVER_SIDE, VIP6, None),
        (CLIENT_SIDE, "2001:db8:1::77", None),
        (CLIENT_SIDE, "fd00:10::fe", None),
    ] {
        let before = lab.dropped(DropReason::NdNotOurs);
        let sent = lab.feed(port, &solicitation(target));
        let Some(mac) = answers else {
            assert!(sent.is_empty(), "{target}");
            assert_eq!(lab.dropped(DropReason::NdNotOurs), before + 1);
            continue;
        };
        let seen = only(sent);
        assert_eq!((PortId(seen.port), seen.to_mac, seen.from_mac), (port, STATION.0, mac));
        let answer = message(&seen);
        assert_eq!((answer.target, answer.mac, answer.solicited), (v6(target), Some(MacAddr(mac)), true));
    }
    assert_eq!(neighbour(&lab, 0, "2001:db8:1::50").map(|n| n.mac), Some(STATION.0), "who asks us is learnt");
}

#[test]
fn a_tagged_interface_answers_with_its_tag() {
    let mut lab = unresolved();
    let mut question = bytes(&NeighbourFrame::solicitation(STATION, v6("fd00:11::50"), v6("fd00:11::fe")));
    question.splice(12..12, [0x81, 0, 0, TAG as u8]);
    let seen = only(lab.feed(SERVER_SIDE, &question));
    assert_eq!((seen.vlan, message(&seen).mac), (Some(TAG), Some(MacAddr(TAGGED_MAC))));
}

#[test]
fn a_syn_waits_until_its_server_has_told_where_it_is() {
    let mut lab = unresolved();
    let seen = only(lab.feed(CLIENT_SIDE, &syn6()));
    assert_eq!(
        (PortId(seen.port), seen.to_mac),
        (SERVER_SIDE, MacAddr::multicast_v6(solicited_node(v6("fd00:10::11"))).0)
    );
    let question = message(&seen);
    assert_eq!((question.source, question.target), (v6("fd00:10::fe"), v6("fd00:10::11")));
    let answer = NeighbourFrame::answer(&question, MacAddr(SERVER_SIDE_MAC), SERVER_MAC);
    let seen = only(lab.feed(SERVER_SIDE, &bytes(&answer)));
    assert_eq!((seen.to_mac, seen.kind), (SERVER_MAC.0, 0x86dd));
    let ip = Ipv6Header::of(&seen.packet).unwrap();
    assert_eq!((ip.destination(), ip.hop_limit), (v6(VIP6), 63));
    assert_eq!(lab.drops(), []);
}

#[test]
fn an_advertisement_replaces_what_is_known_only_if_it_says_so() {
    let mut lab = unresolved();
    lab.feed(CLIENT_SIDE, &syn6());
    lab.feed(SERVER_SIDE, &bytes(&advertisement(SERVER_MAC)));
    assert_eq!(neighbour(&lab, 1, "fd00:10::11").map(|n| n.mac), Some(SERVER_MAC.0));
    let mut mild = bytes(&advertisement(STATION));
    // flags: router alone; the checksum with it
    mild[58] = 0x80;
    let sum = u16::from_be_bytes([mild[56], mild[57]]).wrapping_add(0x2000);
    mild[56..58].copy_from_slice(&sum.to_be_bytes());
    lab.feed(SERVER_SIDE, &mild);
    assert_eq!(lab.drops(), [], "its checksum was right");
    assert_eq!(neighbour(&lab, 1, "fd00:10::11").map(|n| n.mac), Some(SERVER_MAC.0));
    lab.feed(SERVER_SIDE, &bytes(&advertisement(STATION)));
    assert_eq!(neighbour(&lab, 1, "fd00:10::11").map(|n| n.mac), Some(STATION.0));
    // nobody who was not asked about is remembered
    lab.feed(SERVER_SIDE, &bytes(&NeighbourFrame::unsolicited(STATION, v6("fd00:10::99"))));
    assert!(neighbour(&lab, 1, "fd00:10::99").is_none());
}

#[test]
fn invalid_messages_and_claims_of_our_addresses_have_their_reasons() {
    let mut lab = unresolved();
    let mut routed = solicitation(VIP6);
    routed[21] = 64;
    lab.feed(CLIENT_SIDE, &routed);
    assert_eq!(lab.drops(), [(DropReason::NdBad, 1)]);
    lab.feed(CLIENT_SIDE, &bytes(&NeighbourFrame::unsolicited(STATION, v6(VIP6))));
    assert_eq!(lab.dropped(DropReason::AddressConflict), 1);
}

#[test]
fn a_virtual_address_that_appears_is_announced() {
    let mut lab = Lab::new();
    lab.service(Protocol::Tcp, &format!("[{VIP6}]:80"), "rr");
    lab.publish();
    lab.housekeep();
    let seen = only(lab.sent());
    assert_eq!(PortId(seen.port), CLIENT_SIDE);
    let told = message(&seen);
    assert_eq!((told.is_solicitation, told.target, told.mac), (false, v6(VIP6), Some(MacAddr(CLIENT_SIDE_MAC))));
}

//! Every reason for which a packet is dropped, produced.

use super::lab::*;
use super::packets::*;
use crate::dataplane::steer::Arrival;
use crate::dataplane::vec_frame::VecFrame;
use crate::model::limits::{DATAGRAMS_MAX, FRAGMENTS_PER_DATAGRAM_MAX, HELD_PER_NEIGHBOUR_MAX};
use crate::model::{DestId, DropReason, Forward, Tunnel};
use crate::tables::connections::ConnId;
use crate::wire::arp::ArpPacket;
use crate::wire::ethernet::MacAddr;
use crate::wire::ip_protocol::TCP;
use crate::wire::nd::NeighbourFrame;

/// Where a reason comes from.
enum Origin {
    /// Makes the director drop one packet for it.
    Here(fn(&mut Lab)),
    /// Makes it drop so many at once.
    Together(u64, fn(&mut Lab)),
    /// Not the director's: `io` counts what it cannot take or send.
    Io,
}

fn syn() -> Datagram {
    tcp(client(1), vip(), SYN)
}

/// A frame whose IP packet was edited and its checksum mended.
fn edited(edit: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut bytes = syn().bytes();
    edit(&mut bytes[14..]);
    fix_ip_checksum(&mut bytes[14..]);
    bytes
}

fn with_options(options: [u8; 4]) -> Datagram {
    Datagram { options: options.to_vec(), ..syn() }
}

/// Bytes of the SYN, with more to follow.
fn fragment(id: u16, offset: u16, len: u8) -> Vec<u8> {
    edited(|ip| {
        ip[3] = 20 + len;
        ip[4..6].copy_from_slice(&id.to_be_bytes());
        ip[6..8].copy_from_slice(&(0x2000 | (offset / 8)).to_be_bytes());
    })
}

fn origin(reason: DropReason) -> Origin {
    use DropReason as R;
    use Origin::{Here, Io, Together};
    match reason {
        R::Truncated => Here(|lab| drop(lab.feed(CLIENT_SIDE, &syn().bytes()[..33]))),
        R::NotOurMac => Here(|lab| drop(lab.client_sends(&Datagram { to_mac: [2; 6], ..syn() }))),
        R::UnknownVlan => Here(|lab| drop(lab.client_sends(&Datagram { vlan: Some(4), ..syn() }))),
        R::UnknownEthertype => Here(|lab| {
            let mut bytes = syn().bytes();
            bytes[12..14].copy_from_slice(&[0x88, 0xcc]);
            lab.feed(CLIENT_SIDE, &bytes);
        }),
        R::IpHeaderBad => Here(|lab| {
            let mut bytes = syn().bytes();
            bytes[14] = 0x55;
            lab.feed(CLIENT_SIDE, &bytes);
        }),
        R::IpChecksumBad => Here(|lab| {
            let mut bytes = syn().bytes();
            bytes[24] ^= 1;
            lab.feed(CLIENT_SIDE, &bytes);
        }),
        R::IpLengthBad => Here(|lab| drop(lab.feed(CLIENT_SIDE, &edited(|ip| ip[3] += 1)))),
        R::IpOptionsBad => Here(|lab| drop(lab.client_sends(&with_options([7, 40, 4, 0])))),
        R::SourceRoute => Here(|lab| drop(lab.client_sends(&with_options([131, 3, 4, 0])))),
        R::L4Truncated => Here(|lab| drop(lab.client_sends(&Datagram { load: Load::Raw(TCP, vec![0; 3]), ..syn() }))),
        R::FragmentBad => Here(|lab| drop(lab.feed(CLIENT_SIDE, &fragment(1, 0, 0)))),
        R::FragmentOverlap => Together(2, |lab| {
            lab.feed(CLIENT_SIDE, &fragment(1, 0, 16));
            lab.feed(CLIENT_SIDE, &fragment(1, 8, 16));
        }),
        R::FragmentDuplicate => Here(|lab| {
            lab.feed(CLIENT_SIDE, &fragment(1, 8, 8));
            lab.feed(CLIENT_SIDE, &fragment(1, 8, 8));
        }),
        R::FragmentTimeout => Here(|lab| {
            lab.feed(CLIENT_SIDE, &fragment(1, 8, 8));
            lab.wait_s(31);
        }),
        R::FragmentsTooMany => Together(FRAGMENTS_PER_DATAGRAM_MAX as u64 + 1, |lab| {
            for n in 0..=FRAGMENTS_PER_DATAGRAM_MAX as u16 {
                lab.feed(CLIENT_SIDE, &fragment(1, n * 8, 8));
            }
        }),
        R::ReassemblyFull => Here(|lab| {
            for id in 0..=DATAGRAMS_MAX as u16 {
                lab.feed(CLIENT_SIDE, &fragment(id, 8, 8));
            }
        }),
        R::SourceBad => Here(|lab| drop(lab.client_sends(&tcp(at("127.0.0.1:9"), vip(), SYN)))),
        R::Multicast => Here(|lab| drop(lab.client_sends(&tcp(client(1), at("224.0.0.18:80"), SYN)))),
        R::ArpBad => Here(|lab| {
            let mut bytes = arp_request([2; 6], "192.0.2.7", "192.0.2.254");
            bytes[14] = 9;
            lab.feed(CLIENT_SIDE, &bytes);
        }),
        R::ArpNotOurs => Here(|lab| drop(lab.feed(CLIENT_SIDE, &arp_request([2; 6], "192.0.2.7", "192.0.2.8")))),
        R::NdBad => Here(|lab| drop(lab.feed(CLIENT_SIDE, &solicitation(254)))),
        R::NdNotOurs => Here(|lab| drop(lab.feed(CLIENT_SIDE, &solicitation(255)))),
        R::AddressConflict => Here(|lab| {
            let claim = ArpPacket::gratuitous(MacAddr([2; 6]), *vip().ip());
            lab.feed(CLIENT_SIDE, &arp_frame([0xff; 6], None, &claim));
        }),
        R::NoService => Here(|lab| drop(lab.client_sends(&tcp(client(1), at("192.0.2.10:81"), SYN)))),
        R::FtpChecksumBad => Here(|lab| {
            let service = lab.service(crate::model::Protocol::Tcp, "192.0.2.10:21", "rr");
            lab.add(service, "10.0.0.1:21", Forward::Nat, 1);
            lab.publish();
            let mut bytes = tcp(client(1), at("192.0.2.10:21"), SYN).bytes();
            bytes[50] ^= 1;
            lab.feed(CLIENT_SIDE, &bytes);
        }),
        R::NotSyn => Here(|lab| drop(lab.client_sends(&tcp(client(1), vip(), ACK)))),
        R::NoDestination => Here(|lab| {
            lab.edit(DestId(0), |d| d.weight = 0);
            lab.publish();
            lab.client_sends(&syn());
        }),
        R::NoCallId => Here(|lab| {
            super::persist::sip_service(lab);
            lab.client_sends(&udp(client(1), at("192.0.2.10:5060"), b"OPTIONS x\r\nVia: y\r\n\r\n"));
        }),
        R::TableFull => Here(|lab| {
            *lab = Lab::with_capacity(0);
            let service = lab.service(crate::model::Protocol::Tcp, VIP, "rr");
            lab.add(service, "10.0.0.1:80", Forward::Nat, 1);
            lab.publish();
            lab.quiet();
            lab.client_sends(&syn());
        }),
        R::DropPacket => Here(|lab| {
            lab.settings(|s| s.drop_packet = 3);
            lab.publish();
            lab.client_sends(&syn());
        }),
        R::DestinationGone => Here(|lab| {
            lab.client_sends(&syn());
            lab.remove(DestId(0));
            lab.publish();
            lab.client_sends(&syn());
        }),
        R::TtlExceeded => Here(|lab| drop(lab.client_sends(&Datagram { ttl: 1, ..syn() }))),
        R::MtuExceeded => Here(|lab| drop(lab.client_sends(&syn().data(&[0; 1461])))),
        R::NoRoute => Here(|lab| {
            lab.settings(|s| s.forward = true);
            lab.network(|n| n.routes.clear());
            lab.publish();
            lab.client_sends(&tcp(client(1), at("203.0.113.1:80"), SYN));
        }),
        R::ForwardOff => Here(|lab| drop(lab.client_sends(&tcp(client(1), at("203.0.113.1:80"), SYN)))),
        R::NeighbourQueueFull => Here(|lab| {
            lab.settings(|s| s.forward = true);
            lab.publish();
            for n in 0..=HELD_PER_NEIGHBOUR_MAX {
                lab.client_sends(&tcp(client(n), at("10.0.0.99:80"), SYN));
            }
        }),
        R::NeighbourFailed => Here(|lab| {
            lab.settings(|s| s.forward = true);
            lab.publish();
            lab.client_sends(&tcp(client(1), at("10.0.0.99:80"), SYN));
            lab.wait_s(4);
            lab.sent();
        }),
        R::IcmpUnrelated => Here(|lab| drop(lab.client_sends(&icmp("198.51.100.7", "192.0.2.10", 3, 1, &[0; 32])))),
        R::IcmpChecksumBad => Here(|lab| {
            lab.client_sends(&syn());
            let answer = tcp(vip(), client(1), SYN | ACK).packet();
            let mut bytes = icmp("203.0.113.7", "192.0.2.10", 3, 1, &[&[0; 4], &answer[..]].concat()).bytes();
            bytes[36] ^= 1;
            lab.feed(CLIENT_SIDE, &bytes);
        }),
        R::TunnelError => Here(|lab| {
            *lab = Lab::with_servers(Forward::Tun(Tunnel::default()), &["10.0.0.1:80"]).0;
            let outer = lab.relay_in(&syn()).packet;
            lab.server_sends(&icmp("10.0.0.99", "10.0.0.254", 3, 1, &[&[0; 4], &outer[..]].concat()));
        }),
        R::Unasked => Here(|lab| {
            lab.settings(|s| (s.nat_icmp_send, s.forward) = (true, true));
            lab.publish();
            lab.server_sends(&tcp(at("10.0.0.1:8080"), client(1), SYN | ACK));
        }),
        R::NoHeadroom => Here(|lab| {
            *lab = Lab::with_servers(Forward::Tun(Tunnel::default()), &["10.0.0.1:80"]).0;
            lab.process(CLIENT_SIDE, [VecFrame::with_headroom(&syn().bytes(), 19)]);
        }),
        R::Internal => Here(|lab| {
            // no packet gets it here: a connection is made to point at no destination
            lab.client_sends(&syn());
            lab.director.connections.v4.get_mut(ConnId(1)).dest = DestId(1_000_000);
            lab.client_sends(&syn());
        }),
        R::NoBuffer => Here(|lab| {
            lab.out.is_exhausted = true;
            lab.client_sends(&Datagram { dont_fragment: false, ..syn().data(&[0; 1461]) });
        }),
        R::RingFull => Here(|lab| {
            lab.give_all_away(1);
            lab.client_sends(&syn());
            lab.client_sends(&syn());
        }),
        R::Stray => Here(|lab| {
            lab.give_all_away(1);
            lab.director.arrival = Arrival::Handed;
            lab.client_sends(&syn());
        }),
        R::TxFull => Io,
    }
}

#[test]
fn every_reason_to_drop_a_packet_can_be_met_and_is_counted_once() {
    let mut elsewhere = vec![];
    for &reason in DropReason::ALL {
        let (count, produce) = match origin(reason) {
            Origin::Here(produce) => (1, produce),
            Origin::Together(count, produce) => (count, produce),
            Origin::Io => {
                elsewhere.push(reason);
                continue;
            }
        };
        let (mut lab, _) = Lab::nat();
        produce(&mut lab);
        assert_eq!(lab.drops(), [(reason, count)], "for {}", reason.name());
    }
    assert_eq!(elsewhere, [DropReason::TxFull]);
}

#[test]
fn a_source_that_cannot_be_is_refused_wherever_the_packet_wants_to_go() {
    let (mut lab, _) = Lab::nat();
    lab.settings(|s| s.forward = true);
    lab.publish();
    for source in ["0.0.0.0:1", "127.1.2.3:1", "224.0.0.1:1", "255.255.255.255:1", "192.0.2.10:1", "10.0.0.254:1"] {
        for destination in [VIP, "192.0.2.254:9", "203.0.113.1:80"] {
            assert!(lab.refuse(DropReason::SourceBad, &tcp(at(source), at(destination), SYN)).is_empty(), "{source}");
        }
        let host = source.split(':').next().unwrap();
        lab.refuse(DropReason::SourceBad, &icmp(host, "192.0.2.254", 8, 0, &[0; 8]));
    }
    assert!(lab.director.connections().is_empty());
}

#[test]
fn groups_and_broadcasts_are_told_apart_from_hosts() {
    let (mut lab, _) = Lab::nat();
    lab.settings(|s| s.forward = true);
    lab.publish();
    for destination in ["224.0.0.1:1", "239.1.2.3:1", "255.255.255.255:1", "192.0.2.255:1", "10.0.0.255:1"] {
        lab.refuse(DropReason::Multicast, &udp(client(1), at(destination), b"hello"));
    }
}

#[test]
fn a_held_packet_without_room_for_its_tag_is_dropped_when_it_comes_not_when_it_leaves() {
    let (mut lab, _) = Lab::with_servers(Forward::Dr, &["10.1.0.7:80"]);
    lab.process(CLIENT_SIDE, [VecFrame::with_headroom(&syn().bytes(), 3)]);
    assert_eq!(lab.drops(), [(DropReason::NoHeadroom, 1)]);
    let sent = lab.process(CLIENT_SIDE, [VecFrame::with_headroom(&syn().bytes(), 4)]);
    assert!(only(sent).is_arp());
    let reply = arp_reply(TAGGED_MAC, Some(TAG), server_mac(7), "10.1.0.7", "10.1.0.254");
    assert_eq!(only(lab.feed(SERVER_SIDE, &reply)).vlan, Some(TAG));
}

/// For an address that is not ours, with this hop limit.
fn solicitation(hop_limit: u8) -> Vec<u8> {
    let (from, to) = ("2001:db8:1::50".parse().unwrap(), "2001:db8:1::99".parse().unwrap());
    let mut bytes = vec![0; NeighbourFrame::LEN];
    NeighbourFrame::solicitation(MacAddr([2; 6]), from, to).write(&mut bytes).unwrap();
    bytes[21] = hop_limit;
    bytes
}

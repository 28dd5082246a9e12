//! FTP over IPv6 by NAT: EPRT and EPSV, checksums recomputed the long way, sequence numbers moved by what is said shorter.

use super::lab::*;
use super::packets::{ACK, SYN, Seen};
use super::related6::{feed, packet, sum, v6};
use crate::dataplane::snapshot::StaticNeighbour;
use crate::model::{Forward, InterfaceId, PortId, Protocol};
use crate::wire::Header;
use crate::wire::ip_protocol::TCP;
use crate::wire::tcp::TcpHeader;

type At = (&'static str, u16);

const VIRT: At = ("2001:db8:1::100", 21);
const SERVER: At = ("fd00:10::11", 2121);
const CLIENT: At = ("2001:db8:1::77", 31000);

fn segment((from, from_port): At, (to, to_port): At, flags: u8, (seq, ack): (u32, u32), text: &[u8]) -> Vec<u8> {
    let ports = [from_port.to_be_bytes(), to_port.to_be_bytes()].concat();
    let numbers = [seq.to_be_bytes(), ack.to_be_bytes()].concat();
    packet(from, to, TCP, [&ports[..], &numbers, &[0x50, flags, 0x20, 0, 0, 0, 0, 0], text].concat(), 16)
}

/// What comes out on the other side, its checksum right.
fn relay(lab: &mut Lab, port: PortId, packet: &[u8]) -> Seen {
    let seen = only(feed(lab, port, packet));
    assert_eq!(sum(&seen.packet), 0, "TCP's sum");
    assert_eq!(usize::from(u16::from_be_bytes([seen.packet[4], seen.packet[5]])), seen.packet.len() - 40);
    seen
}

fn ends(seen: &Seen) -> [Vec<u8>; 2] {
    let end =
        |address: std::ops::Range<usize>, port: usize| [&seen.packet[address], &seen.packet[port..port + 2]].concat();
    [end(8..24, 40), end(24..40, 42)]
}

fn end((address, port): At) -> Vec<u8> {
    [&v6(address).octets()[..], &port.to_be_bytes()].concat()
}

fn numbers(seen: &Seen) -> (u32, u32) {
    let tcp = TcpHeader::of(&seen.packet[40..]).expect("a TCP header");
    (tcp.sequence.get(), tcp.acknowledgement.get())
}

/// A session as far as its handshake.
fn session() -> Lab {
    let mut lab = Lab::new();
    let service = lab.service(Protocol::Tcp, &format!("[{}]:21", VIRT.0), "rr");
    lab.add(service, &format!("[{}]:{}", SERVER.0, SERVER.1), Forward::Nat, 1);
    lab.network(|n| {
        let neighbour = |interface, address, mac| StaticNeighbour {
            interface: InterfaceId(interface),
            address: v6(address).into(),
            mac,
        };
        n.neighbours.extend([neighbour(1, SERVER.0, server_mac(0x11)), neighbour(0, CLIENT.0, GATEWAY_MAC)]);
    });
    lab.publish();
    lab.quiet();
    let seen = relay(&mut lab, CLIENT_SIDE, &segment(CLIENT, VIRT, SYN, (100, 0), b""));
    assert_eq!(ends(&seen), [end(CLIENT), end(SERVER)]);
    relay(&mut lab, SERVER_SIDE, &segment(SERVER, CLIENT, SYN | ACK, (500, 101), b""));
    relay(&mut lab, CLIENT_SIDE, &segment(CLIENT, VIRT, ACK, (101, 501), b""));
    lab
}

#[test]
fn an_active_data_connection_comes_from_the_port_below() {
    let mut lab = session();
    let said = b"EPRT |2|2001:db8:1::77|6001|\r\n";
    let seen = relay(&mut lab, CLIENT_SIDE, &segment(CLIENT, VIRT, ACK, (101, 501), said));
    assert_eq!((&seen.packet[60..], numbers(&seen)), (&said[..], (101, 501)));
    let (data, listens) = ((SERVER.0, 2120), (CLIENT.0, 6001));
    let seen = relay(&mut lab, SERVER_SIDE, &segment(data, listens, SYN, (900, 0), b""));
    assert_eq!(ends(&seen), [end((VIRT.0, 20)), end(listens)]);
    let seen = relay(&mut lab, CLIENT_SIDE, &segment(listens, (VIRT.0, 20), SYN | ACK, (700, 901), b""));
    assert_eq!((ends(&seen), numbers(&seen)), ([end(listens), end(data)], (700, 901)));
}

#[test]
fn a_passive_answer_with_an_address_loses_it_and_moves_the_numbers_behind() {
    let mut lab = session();
    relay(&mut lab, CLIENT_SIDE, &segment(CLIENT, VIRT, ACK, (101, 501), b"EPSV 2\r\n"));
    let said = b"229 ok (|2|fd00:10::11|51210|)\r\n";
    let seen = relay(&mut lab, SERVER_SIDE, &segment(SERVER, CLIENT, ACK, (501, 109), said));
    let told = b"229 ok (|||51210|)\r\n";
    assert_eq!((&seen.packet[60..], numbers(&seen)), (&told[..], (501, 109)));
    let (server_next, client_next) = (501 + said.len() as u32, 501 + told.len() as u32);
    let seen = relay(&mut lab, CLIENT_SIDE, &segment(CLIENT, VIRT, ACK, (109, client_next), b""));
    assert_eq!(numbers(&seen), (109, server_next), "the server hears that all of it came");
    let seen = relay(&mut lab, SERVER_SIDE, &segment(SERVER, CLIENT, ACK, (server_next, 109), b"226 done\r\n"));
    assert_eq!(numbers(&seen), (client_next, 109));
    let (from, listens) = ((CLIENT.0, 5555), (SERVER.0, 51210));
    let seen = relay(&mut lab, CLIENT_SIDE, &segment(from, (VIRT.0, 51210), SYN, (1, 0), b""));
    assert_eq!(ends(&seen), [end(from), end(listens)]);
    let seen = relay(&mut lab, SERVER_SIDE, &segment(listens, from, SYN | ACK, (8, 2), b""));
    assert_eq!((ends(&seen), numbers(&seen)), ([end((VIRT.0, 51210)), end(from)], (8, 2)));
}

#[test]
fn the_usual_passive_answer_passes_as_it_is() {
    let mut lab = session();
    relay(&mut lab, CLIENT_SIDE, &segment(CLIENT, VIRT, ACK, (101, 501), b"EPSV\r\n"));
    let said = b"229 Entering Extended Passive Mode (|||51210|)\r\n";
    let seen = relay(&mut lab, SERVER_SIDE, &segment(SERVER, CLIENT, ACK, (501, 107), said));
    assert_eq!((&seen.packet[60..], numbers(&seen)), (&said[..], (501, 107)));
    let seen = relay(&mut lab, CLIENT_SIDE, &segment((CLIENT.0, 5555), (VIRT.0, 51210), SYN, (1, 0), b""));
    assert_eq!(ends(&seen)[1], end((SERVER.0, 51210)));
}

//! What is neither plain TCP nor plain UDP: SCTP's checksum, AH and ESP, FTP's data connections.

use super::lab::*;
use super::packets::*;
use crate::model::{DropReason, Forward, Protocol};
use crate::tables::connections::flags;
use crate::wire::Header;
use crate::wire::ip_protocol::{ESP, ICMP, SCTP, TCP};
use crate::wire::sctp::{SctpHeader, checksum};
use std::net::SocketAddrV4;

fn lab_of(protocol: Protocol, virt: &str, servers: &[&str]) -> Lab {
    let mut lab = Lab::new();
    let service = lab.service(protocol, virt, "rr");
    for server in servers {
        lab.add(service, server, Forward::Nat, 1);
    }
    lab.publish();
    lab.quiet();
    lab
}

/// Of an association from the client's port 10000 to port 80, with a checksum of zero.
fn sctp(chunk: u8) -> Datagram {
    let mut bytes = vec![0x27, 0x10, 0, 80, 1, 2, 3, 4, 0, 0, 0, 0, chunk, 0, 0, 8, 5, 6, 7, 8];
    bytes.extend([9; 40]);
    Datagram { load: Load::Raw(SCTP, bytes), ..tcp(client(1), at("192.0.2.10:80"), 0) }
}

#[test]
fn sctp_gets_a_new_checksum_only_with_a_new_port() {
    for (server, port) in [("10.0.0.1:80", 80), ("10.0.0.1:8080", 8080)] {
        let mut lab = lab_of(Protocol::Sctp, "192.0.2.10:80", &[server]);
        let seen = lab.relay_in(&sctp(1));
        let (header, rest) = SctpHeader::split(seen.transport()).unwrap();
        assert_eq!(header.ports.destination.get(), port);
        assert_eq!(header.checksum == checksum(header, [rest]), port == 8080);
    }
}

#[test]
fn sctp_is_begun_by_an_init_alone() {
    let mut lab = lab_of(Protocol::Sctp, "192.0.2.10:80", &["10.0.0.1:80"]);
    lab.refuse(DropReason::NotSyn, &sctp(0));
    lab.relay_in(&sctp(1));
    lab.relay_in(&sctp(0));
}

#[test]
fn esp_follows_the_key_exchange_and_is_not_looked_into() {
    let mut lab = lab_of(Protocol::Udp, "192.0.2.10:500", &["10.0.0.1:500"]);
    let (from, to) = (SocketAddrV4::new(*client(1).ip(), 500), at("192.0.2.10:500"));
    let esp = |from, to| Datagram { load: Load::Raw(ESP, vec![7; 40]), ..tcp(from, to, 0) };
    let refused = lab.refuse(DropReason::NoService, &esp(from, to));
    assert_eq!(only(refused).ip().protocol, ICMP, "protocol unreachable");
    lab.relay_in(&udp(from, to, b"exchange"));
    let seen = lab.relay_in(&esp(from, to));
    assert_eq!((seen.ip().destination(), seen.transport()), (ip("10.0.0.1"), &[7; 40][..]));
    let seen = lab.relay_out(&esp(at("10.0.0.1:500"), from));
    assert_eq!((seen.ip().source(), seen.transport()), (ip("192.0.2.10"), &[7; 40][..]));
}

const CONTROL: &str = "192.0.2.10:21";

/// An FTP session up to the client's command, the server's answer as the client sees it.
fn say(lab: &mut Lab, command: &[u8], answer: &[u8]) -> Vec<u8> {
    lab.relay_in(&tcp(client(1), at(CONTROL), SYN));
    lab.relay_out(&tcp(at("10.0.0.1:21"), client(1), SYN | ACK));
    lab.relay_in(&tcp(client(1), at(CONTROL), ACK).data(command)).assert_checksums();
    let seen = lab.relay_out(&tcp(at("10.0.0.1:21"), client(1), ACK).data(answer));
    seen.assert_checksums();
    seen.transport()[20..].to_vec()
}

#[test]
fn a_passive_data_connection_is_found_from_any_port_and_keeps_its_control_connection() {
    let mut lab = lab_of(Protocol::Tcp, CONTROL, &["10.0.0.1:21"]);
    let told = say(&mut lab, b"PASV\r\n", b"227 ok (10,0,0,1,200,10).\r\n");
    assert_eq!(told, b"227 ok (192,0,2,10,200,10).\r\n");
    let (from, to) = (at("198.51.100.9:5555"), at("192.0.2.10:51210"));
    assert_eq!(lab.dropped(DropReason::NoService), 0);
    lab.refuse(DropReason::NoService, &tcp(from, to, SYN));
    let from = SocketAddrV4::new(*client(1).ip(), 5555);
    let seen = lab.relay_in(&tcp(from, to, SYN));
    assert_eq!((seen.source(), seen.destination()), (from, at("10.0.0.1:51210")));
    let seen = lab.relay_out(&tcp(at("10.0.0.1:51210"), from, SYN | ACK));
    assert_eq!((seen.source(), seen.destination()), (to, from));
    lab.relay_in(&tcp(from, to, ACK));
    assert!(!lab.connection(TCP, from, to).unwrap().has(flags::HELPED), "its packets are plain from now on");

    lab.relay_in(&tcp(client(1), at(CONTROL), RST));
    lab.wait_s(800);
    assert!(lab.connection(TCP, client(1), at(CONTROL)).is_some(), "it still controls one");
    lab.wait_s(300);
    assert!(lab.director.connections().is_empty());
}

#[test]
fn an_active_data_connection_comes_from_the_virtual_address() {
    let mut lab = lab_of(Protocol::Tcp, CONTROL, &["10.0.0.1:21"]);
    say(&mut lab, b"EPRT |1|198.51.100.7|6001|\r\n", b"200 ok\r\n");
    let seen = lab.relay_out(&tcp(at("10.0.0.1:20"), at("198.51.100.7:6001"), SYN));
    assert_eq!((seen.source(), seen.destination()), (at("192.0.2.10:20"), at("198.51.100.7:6001")));
}

#[test]
fn a_control_connection_reused_leaves_the_old_one_to_its_data() {
    let mut lab = lab_of(Protocol::Tcp, CONTROL, &["10.0.0.1:21"]);
    say(&mut lab, b"EPRT |1|198.51.100.7|6001|\r\n", b"200 ok\r\n");
    lab.relay_in(&tcp(client(1), at(CONTROL), RST));
    lab.relay_in(&tcp(client(1), at(CONTROL), SYN));
    assert_eq!(lab.director.connections().len(), 3);
    lab.wait_s(200);
    assert!(lab.director.connections().is_empty());
}

//! Packets of NAT servers that belong to no connection (`nat_icmp_send`).

use super::lab::*;
use super::packets::*;
use crate::model::{DropReason, Forward};

fn lab() -> Lab {
    let (mut lab, _) = Lab::nat();
    lab.settings(|s| (s.nat_icmp_send, s.forward) = (true, true));
    lab.publish();
    lab
}

#[test]
fn a_server_that_sends_on_no_connection_is_told_after_the_packet_was_routed() {
    let mut lab = lab();
    let sent = tcp(at("10.0.0.1:8080"), client(1), ACK);
    let told = only(lab.server_sends(&sent));
    told.assert_checksums();
    assert_eq!((told.port, told.to_mac, &told.transport()[..2]), (1, server_mac(1), &[3, 3][..]));
    assert_eq!(told.transport()[8..], Datagram { ttl: 63, ..sent }.packet());
    assert_eq!(lab.dropped(DropReason::Unasked), 1);
}

#[test]
fn what_ends_a_connection_or_comes_from_elsewhere_is_routed() {
    let mut lab = lab();
    let others = [
        tcp(at("10.0.0.1:8080"), client(1), RST | ACK),
        tcp(at("10.0.0.1:8081"), client(1), ACK),
        tcp(at("10.0.0.2:8080"), client(1), ACK),
        udp(at("10.0.0.1:8080"), client(1), b"of another protocol"),
    ];
    for sent in others {
        assert_eq!(lab.relay_out(&sent).packet, Datagram { ttl: 63, ..sent }.packet());
    }
}

#[test]
fn only_nat_servers_in_use_are_told_and_only_when_asked_for() {
    let mut lab = lab();
    let sent = tcp(at("10.0.0.1:8080"), client(1), ACK);
    lab.settings(|s| s.nat_icmp_send = false);
    lab.publish();
    lab.relay_out(&sent);
    lab.settings(|s| s.nat_icmp_send = true);
    lab.remove(crate::model::DestId(0));
    lab.publish();
    assert_eq!(lab.relay_out(&sent).packet[9], 6, "its server was removed");
    lab.revive(crate::model::DestId(0));
    lab.publish();
    only(lab.server_sends(&sent));
    assert_eq!(lab.dropped(DropReason::Unasked), 1);
    lab.edit(crate::model::DestId(0), |d| d.forward = Forward::Dr);
    lab.publish();
    lab.relay_out(&sent);
}

#[test]
fn a_server_that_opens_a_connection_to_a_service_from_its_own_port_is_told_too() {
    let mut lab = lab();
    let sent = tcp(at("10.0.0.1:8080"), vip(), SYN);
    let told = only(lab.server_sends(&sent));
    assert_eq!((&told.transport()[..2], &told.transport()[8..]), (&[3, 3][..], &sent.packet()[..]));
}

//! A connection table with no room left.

use super::lab::*;
use super::packets::*;
use crate::model::{DropReason, Forward};

fn full(forward: Forward) -> Lab {
    let mut lab = Lab::with_capacity(10);
    let service = lab.service(crate::model::Protocol::Tcp, VIP, "rr");
    lab.add(service, "10.0.0.1:80", forward, 1);
    lab.publish();
    lab.quiet();
    for n in 0..10 {
        lab.relay_in(&tcp(client(n), vip(), SYN));
    }
    lab
}

#[test]
fn new_connections_are_refused_while_the_existing_ones_go_on_and_come_in_after_expiry() {
    for method in [Forward::Nat, Forward::Dr] {
        let mut lab = full(method);
        for n in 10..15 {
            assert!(lab.refuse(DropReason::TableFull, &tcp(client(n), vip(), SYN)).is_empty());
        }
        assert_eq!(lab.director.connections().len(), 10);
        for n in 0..5 {
            lab.relay_in(&tcp(client(n), vip(), ACK));
        }
        lab.wait_s(61);
        assert_eq!(lab.director.connections().len(), 5, "the others never got further than their SYN");
        for n in 10..15 {
            lab.relay_in(&tcp(client(n), vip(), SYN));
        }
        lab.refuse(DropReason::TableFull, &tcp(client(15), vip(), SYN));
        assert_eq!(lab.counters().connections_created.get(), 15);
    }
}

#[test]
fn a_finished_connection_makes_room_for_its_own_successor() {
    let mut lab = full(Forward::Nat);
    lab.relay_in(&tcp(client(3), vip(), ACK));
    lab.relay_in(&tcp(client(3), vip(), RST));
    lab.relay_in(&tcp(client(3), vip(), SYN));
    assert_eq!((lab.state(3).map(|s| s.0), lab.director.connections().len()), (Some("SYN_RECV"), 10));
}

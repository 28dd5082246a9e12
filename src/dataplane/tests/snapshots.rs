//! New snapshots while connections go on.

use super::lab::*;
use super::packets::*;
use crate::model::limits::PICK_UP_PER_POLL;
use crate::model::{DropReason, Forward, Protocol, ServiceId};
use std::sync::Arc;

const SERVICE: ServiceId = ServiceId(0);

fn two() -> (Lab, [crate::model::DestId; 2]) {
    let (lab, ids) = Lab::with_servers(Forward::Nat, &["10.0.0.1:80", "10.0.0.2:80"]);
    (lab, [ids[0], ids[1]])
}

#[test]
fn a_weight_of_zero_keeps_connections_and_takes_no_new_ones() {
    let (mut lab, [first, second]) = two();
    assert_eq!(lab.connect(1), at("10.0.0.2:80"));
    lab.edit(second, |d| d.weight = 0);
    lab.publish();
    for n in 2..6 {
        assert_eq!(lab.connect(n), at("10.0.0.1:80"));
    }
    assert_eq!(lab.relay_in(&tcp(client(1), vip(), ACK)).destination(), at("10.0.0.2:80"));
    assert_eq!((lab.load(first), lab.load(second)), ((4, 0), (1, 0)));
    lab.edit(second, |d| d.weight = 1);
    lab.publish();
    lab.connect(6);
    lab.connect(7);
    assert_eq!((lab.load(first), lab.load(second)), ((5, 0), (2, 0)));
}

#[test]
fn a_removed_servers_connections_are_dropped_silently_but_its_answers_still_pass() {
    let (mut lab, [_, second]) = two();
    lab.connect(1);
    lab.relay_in(&tcp(client(1), vip(), ACK));
    lab.remove(second);
    lab.publish();
    assert!(lab.refuse(DropReason::DestinationGone, &tcp(client(1), vip(), ACK)).is_empty());
    let seen = lab.relay_out(&tcp(at("10.0.0.2:80"), client(1), ACK));
    assert_eq!((seen.source(), seen.destination()), (vip(), client(1)));
    assert_eq!(lab.state(1), Some(("ESTABLISHED", 900)));
    assert_eq!(lab.load(second), (1, 0), "it still counts");
    for n in 2..5 {
        assert_eq!(lab.connect(n), at("10.0.0.1:80"));
    }
}

#[test]
fn a_server_added_again_has_its_connections_back() {
    let (mut lab, [_, second]) = two();
    lab.connect(1);
    lab.remove(second);
    lab.publish();
    lab.refuse(DropReason::DestinationGone, &tcp(client(1), vip(), ACK));
    lab.revive(second);
    lab.publish();
    assert_eq!(lab.relay_in(&tcp(client(1), vip(), ACK)).destination(), at("10.0.0.2:80"));
    assert_eq!(lab.load(second), (1, 0));
}

#[test]
fn a_client_that_comes_back_from_the_same_port_is_not_kept_waiting_for_a_removed_server() {
    // ip_vs_in_hook asks whether a SYN starts anew before it asks whether the server is there
    let (mut lab, [_, second]) = two();
    lab.connect(1);
    lab.relay_in(&tcp(client(1), vip(), ACK));
    lab.relay_in(&tcp(client(1), vip(), RST));
    lab.remove(second);
    lab.publish();
    assert_eq!(lab.connect(1), at("10.0.0.1:80"));
}

#[test]
fn expire_nodest_conn_schedules_again_at_once() {
    let (mut lab, [_, second]) = two();
    lab.settings(|s| s.expire_nodest_conn = true);
    lab.connect(1);
    lab.connect(2);
    lab.remove(second);
    lab.publish();
    assert_eq!(lab.connect(1), at("10.0.0.1:80"), "a SYN begins anew elsewhere");
    assert_eq!((lab.load(second), lab.state(1).map(|s| s.0)), ((0, 0), Some("SYN_RECV")));
    // any other packet ends what there was
    lab.connect(1);
    let (mut lab, [_, second]) = two();
    lab.settings(|s| s.expire_nodest_conn = true);
    lab.connect(1);
    lab.remove(second);
    lab.publish();
    lab.refuse(DropReason::NotSyn, &tcp(client(1), vip(), ACK));
    assert_eq!((lab.state(1), lab.load(second)), (None, (0, 0)));
}

#[test]
fn expire_nodest_conn_moves_the_syn_of_a_quiesced_servers_client() {
    let (mut lab, [_, second]) = two();
    lab.settings(|s| s.expire_nodest_conn = true);
    lab.connect(1);
    lab.edit(second, |d| d.weight = 0);
    lab.publish();
    assert_eq!(lab.relay_in(&tcp(client(1), vip(), ACK)).destination(), at("10.0.0.2:80"));
    assert_eq!(lab.connect(1), at("10.0.0.1:80"));
}

#[test]
fn a_removed_service_leaves_no_way_in() {
    let (mut lab, _) = two();
    lab.connect(1);
    lab.relay_in(&tcp(client(1), vip(), ACK));
    lab.remove_service(SERVICE);
    lab.publish();
    // it was the last one: nothing is left that would know the connection
    lab.refuse(DropReason::NoService, &tcp(client(1), vip(), ACK));
    lab.refuse(DropReason::NoService, &tcp(client(2), vip(), SYN));
    lab.network(|n| n.virtual_addresses.clear());
    lab.publish();
    lab.refuse(DropReason::ForwardOff, &tcp(client(2), vip(), SYN));
    // nor are a server's answers translated any longer: the kernel's IPVS is out of the way
    let answer = tcp(at("10.0.0.2:80"), client(1), ACK);
    assert!(lab.server_sends(&answer).is_empty() && lab.dropped(DropReason::ForwardOff) == 2);
    lab.settings(|s| s.forward = true);
    lab.publish();
    assert_eq!(lab.relay_out(&answer).source(), answer.source);
}

#[test]
fn another_scheduler_begins_at_once() {
    let (mut lab, _) = two();
    lab.connect(1);
    let replaced = lab.draft.services.get(0).unwrap();
    assert_eq!(replaced.scheduler.name(), "rr");
    lab.set_scheduler(SERVICE, "fo");
    lab.publish();
    let chosen: Vec<_> = (2..6).map(|n| lab.connect(n)).collect();
    assert_eq!(chosen, [at("10.0.0.2:80"); 4], "fo stays with the first of equals");
}

#[test]
fn a_large_change_is_picked_up_a_little_at_a_time_with_traffic_in_between() {
    let (mut lab, [first, _]) = two();
    lab.connect(1);
    for n in 0..50 {
        let service = lab.service(Protocol::Tcp, &format!("192.0.2.{}:80", 100 + n), "wlc");
        lab.add(service, "10.0.0.3:80", Forward::Nat, 1);
        lab.add(service, "10.0.0.4:80", Forward::Nat, 1);
    }
    lab.remove(first);
    let next = lab.next_snapshot();
    lab.director.begin_pick_up(next);
    let mut rounds = 0;
    loop {
        rounds += 1;
        let is_in = lab.director.continue_pick_up().is_some();
        assert!(!is_in || !lab.director.is_picking_up());
        lab.relay_in(&tcp(client(1), vip(), ACK));
        lab.connect(100 + rounds);
        let early = lab.client_sends(&tcp(client(rounds), at("192.0.2.149:80"), SYN));
        assert_eq!(early.len(), usize::from(is_in), "a new service is there with the whole snapshot");
        if is_in {
            break;
        }
    }
    // destinations are passed twice, and each of a list's takes steps of its own
    let steps = 2 * 3 * (100 + 1) + 51 * 3 + 100;
    assert!(usize::from(rounds) >= steps / PICK_UP_PER_POLL, "{rounds}");
    assert!(usize::from(rounds) <= 2 * steps / PICK_UP_PER_POLL, "{rounds}");
}

#[test]
fn a_server_on_its_way_out_gets_no_connection_it_could_not_keep() {
    let (mut lab, [first, _]) = two();
    for n in 0..100 {
        let service = lab.service(Protocol::Tcp, &format!("192.0.2.{}:80", 100 + n), "wlc");
        lab.add(service, "10.0.0.3:80", Forward::Nat, 1);
    }
    lab.remove(first);
    let next = lab.next_snapshot();
    lab.director.begin_pick_up(next);
    let mut n = 100;
    loop {
        let is_in = lab.director.continue_pick_up().is_some();
        // as a worker does between two bursts: the new addresses are announced
        lab.housekeep();
        lab.sent();
        for _ in 0..2 {
            n += 1;
            let server = lab.connect(n);
            let again = lab.client_sends(&tcp(client(n), vip(), ACK));
            assert_eq!(again.len(), 1, "{server} was given and taken away in the middle of one change");
        }
        if is_in {
            break;
        }
    }
    assert!(n > 110, "the change took several rounds");
}

#[test]
fn the_old_snapshot_is_the_callers_alone() {
    let (mut lab, [first, _]) = two();
    lab.connect(1);
    let next = lab.next_snapshot();
    let kept = Arc::clone(&next);
    lab.director.begin_pick_up(next);
    while lab.director.continue_pick_up().is_none() {}
    lab.edit(first, |d| d.weight = 7);
    lab.timeouts(|t| t.udp = 1);
    lab.network(|n| n.routes.clear());
    let next = lab.next_snapshot();
    lab.director.begin_pick_up(next);
    let old = std::iter::repeat_with(|| lab.director.continue_pick_up()).find_map(|old| old).unwrap();
    assert!(Arc::ptr_eq(&old.snapshot, &kept));
    drop(old);
    let kept = Arc::into_inner(kept).expect("nothing else holds it");
    let service = kept.services.get(SERVICE.index()).unwrap();
    // what the worker held of it came from the snapshot, which is the last to know it
    assert_eq!((Arc::strong_count(service), Arc::strong_count(&service.pool)), (1, 1));
    assert_eq!((Arc::strong_count(&kept.timeouts), Arc::strong_count(&kept.network)), (1, 1));
}

#[test]
fn a_route_that_changes_is_followed_at_once_by_existing_connections() {
    let (mut lab, _) = Lab::with_servers(Forward::Dr, &["203.0.113.9:80"]);
    assert_eq!(lab.relay_in(&tcp(client(1), vip(), SYN)).to_mac, GATEWAY_MAC);
    lab.network(|n| {
        n.routes.push(crate::dataplane::snapshot::Route {
            prefix: "203.0.113.0/24".parse().unwrap(),
            via: Some([10, 0, 0, 2].into()),
            interface: crate::model::InterfaceId(1),
        });
    });
    lab.publish();
    let seen = lab.relay_in(&tcp(client(1), vip(), ACK));
    assert_eq!((seen.port, seen.to_mac), (1, server_mac(2)));
}

#[test]
fn with_a_drain_deadline_a_quiesced_servers_connections_end_with_it() {
    let (mut lab, ids) = Lab::with_servers(Forward::Nat, &["10.0.0.1:80", "10.0.0.2:80"]);
    for n in 0..10 {
        lab.connect(n);
    }
    lab.edit(ids[0], |d| (d.weight, d.departures.drain_deadline_s) = (0, 30));
    lab.publish();
    lab.wait_s(29);
    assert_eq!((lab.load(ids[0]).0, lab.load(ids[1]).0), (5, 5), "its time is not up");
    lab.wait_s(3);
    assert_eq!((lab.load(ids[0]), lab.load(ids[1]).0), ((0, 0), 5));
    // the deadline of one that serves again is forgotten
    lab.edit(ids[0], |d| d.weight = 1);
    lab.publish();
    for n in 10..14 {
        lab.connect(n);
    }
    lab.wait_s(40);
    assert_eq!(lab.load(ids[0]).0, 2);
}

#[test]
fn without_a_drain_deadline_they_end_by_themselves() {
    let (mut lab, ids) = Lab::with_servers(Forward::Nat, &["10.0.0.1:80"]);
    lab.connect(1);
    lab.edit(ids[0], |d| d.weight = 0);
    lab.publish();
    lab.wait_s(50);
    assert_eq!(lab.load(ids[0]).0, 1);
}

#[test]
fn udp_looks_for_another_server_at_once_where_its_service_says_so() {
    for (reschedules, weight, available, expected) in
        [(true, 1, false, "10.0.0.2"), (true, 0, true, "10.0.0.2"), (false, 0, true, "10.0.0.1")]
    {
        let mut lab = Lab::new();
        let service = lab.service(Protocol::Udp, VIP, "rr");
        lab.add(service, "10.0.0.2:80", Forward::Nat, 1);
        let first = lab.add(service, "10.0.0.1:80", Forward::Nat, 1);
        lab.edit(first, |d| d.departures.reschedule_udp = reschedules);
        lab.publish();
        lab.quiet();
        let datagram = udp(client(1), vip(), b"one");
        assert_eq!(lab.relay_in(&datagram).destination(), at("10.0.0.1:80"));
        lab.edit(first, |d| d.weight = weight);
        lab.publish();
        if !available {
            lab.remove(first);
            lab.publish();
        }
        assert_eq!(lab.relay_in(&datagram).destination().ip(), &ip(expected), "{reschedules} {weight} {available}");
    }
}

//! Packets of connections that come in anywhere, also while owners change.

use super::lab::*;
use crate::control::api::Rebalance;
use crate::dataplane::tests::packets::*;
use crate::model::PortCounters;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddrV4;

/// Every client's server, by what is on its way to them.
fn servers(sent: &[Seen]) -> HashMap<SocketAddrV4, SocketAddrV4> {
    let to_servers = sent.iter().filter(|seen| seen.port == 1);
    to_servers.map(|seen| (seen.source(), seen.destination())).collect()
}

fn connect(workers: &mut Workers, clients: std::ops::Range<usize>) -> HashMap<SocketAddrV4, SocketAddrV4> {
    for n in clients.clone() {
        workers.client_sends(tcp(client(n), at(VIP), SYN));
        workers.turn();
    }
    workers.settle();
    let sent = workers.sent();
    assert_eq!(sent.len(), clients.len(), "{:?}", workers.drops());
    servers(&sent)
}

/// Sends packets of connections both ways while `workers` take turns; each goes where its connection leads.
fn exchange(workers: &mut Workers, servers: &HashMap<SocketAddrV4, SocketAddrV4>, turns: usize) {
    for (client, server) in servers {
        workers.client_sends(tcp(*client, at(VIP), ACK));
        workers.server_sends(tcp(*server, *client, ACK));
        (0..turns).for_each(|_| workers.turn());
    }
}

fn check_exchanged(sent: &[Seen], servers: &HashMap<SocketAddrV4, SocketAddrV4>, times: usize) {
    let mut counts = HashMap::<_, usize>::new();
    for seen in sent {
        *counts.entry((seen.source(), seen.destination())).or_default() += 1;
    }
    for (client, server) in servers {
        assert_eq!(counts.remove(&(*client, *server)), Some(times), "from {client} to {server}");
        assert_eq!(counts.remove(&(at(VIP), *client)), Some(times), "to {client}");
    }
    assert!(counts.is_empty(), "{counts:?}");
}

#[test]
fn packets_that_come_in_anywhere_go_where_their_connections_lead() {
    for forward in ["nat", "dr"] {
        let mut workers = Workers::new(4, &web(forward), 7);
        let servers = connect(&mut workers, 0..200);
        assert_eq!(workers.sum(|c| c.connections_created.get()), 200);
        let known = workers.connections();
        assert_eq!(known.len(), 200);
        let used: HashSet<_> = known.values().collect();
        assert_eq!(used.len(), 4, "every worker has some");
        if forward == "nat" {
            exchange(&mut workers, &servers, 1);
            workers.settle();
            check_exchanged(&workers.sent(), &servers, 1);
        }
        assert!(workers.sum(|c| c.handed_over.get()) > 100);
        assert_eq!(workers.sum(|c| c.handed_over.get()), workers.sum(|c| c.taken_over.get()));
        assert_eq!((workers.drops(), workers.connections()), (vec![], known), "none was touched by another");
    }
}

#[test]
fn fragments_that_come_in_anywhere_make_their_packet_at_its_owner() {
    let mut workers = Workers::new(4, &web("nat"), 3);
    let servers = connect(&mut workers, 0..40);
    for (n, client) in servers.keys().enumerate() {
        let data = vec![n as u8; 1200];
        let whole = Datagram { dont_fragment: false, id: n as u16, ..tcp(*client, at(VIP), ACK).data(&data) };
        let packet = whole.packet();
        for (from, to, more) in [(0, 400, true), (400, 800, true), (800, packet.len() - 20, false)] {
            let mut piece = [&packet[..20], &packet[20 + from..20 + to]].concat();
            piece[2..4].copy_from_slice(&((to - from + 20) as u16).to_be_bytes());
            piece[6..8].copy_from_slice(&((from / 8) as u16 | if more { 0x2000 } else { 0 }).to_be_bytes());
            fix_ip_checksum(&mut piece);
            let link = [&[2, 0, 0, 0, 0, 0xc0, 2, 0, 0, 0, 1, 1, 8, 0][..], &piece].concat();
            workers.receive_bytes(CLIENT_SIDE, &link);
            workers.turn();
        }
    }
    workers.settle();
    let sent = workers.sent();
    assert_eq!(sent.len(), 3 * servers.len(), "cut again as they came: {:?}", workers.drops());
    assert_eq!(workers.sum(|c| c.packets_reassembled.get()), servers.len() as u64);
    assert_eq!(workers.drops(), []);
    for seen in sent.iter().filter(|seen| seen.ip().fragment_offset() == 0) {
        let (source, destination) = (seen.source(), seen.destination());
        assert_eq!(servers.get(&source), Some(&destination));
    }
}

#[test]
fn icmp_errors_that_come_in_anywhere_reach_the_server_of_their_connection() {
    let mut workers = Workers::new(4, &web("nat"), 5);
    let servers = connect(&mut workers, 0..60);
    for client in servers.keys() {
        let quoted = tcp(at(VIP), *client, ACK).packet();
        let error = icmp("203.0.113.7", "192.0.2.10", 3, 4, &[&[0, 0, 5, 20], &quoted[..]].concat());
        workers.client_sends(Datagram { dont_fragment: false, ..error });
        workers.turn();
    }
    workers.settle();
    let sent = workers.sent();
    assert_eq!(workers.drops(), []);
    let mut told: Vec<_> = sent.iter().map(|seen| seen.ip().destination()).collect();
    let mut expected: Vec<_> = servers.values().map(|server| *server.ip()).collect();
    expected.sort();
    told.sort();
    assert_eq!(told, expected);
}

#[test]
fn every_slot_is_taken_off_a_worker_and_given_back_under_traffic() {
    for seed in [1, 2, 3] {
        let mut workers = Workers::new(4, &web("nat"), seed);
        let servers = connect(&mut workers, 0..500);
        workers.rebalance(&Rebalance { from: Some(1), ..Rebalance::default() });
        exchange(&mut workers, &servers, 2);
        workers.settle();
        check_exchanged(&workers.sent(), &servers, 1);
        assert!(workers.connections().values().all(|worker| *worker != 1));
        workers.rebalance(&Rebalance::default());
        exchange(&mut workers, &servers, 2);
        exchange(&mut workers, &servers, 2);
        workers.settle();
        check_exchanged(&workers.sent(), &servers, 2);
        let back = workers.connections().values().filter(|worker| **worker == 1).count();
        assert!(back > 40, "worker 1 has {back} again");
        assert_eq!(workers.sum(|c| c.connections_created.get()), 500, "none is scheduled twice");
        assert_eq!(workers.sum(|c| c.connections()), 500);
        assert!(workers.sum(|c| c.connections_moved_in.get()) > 100);
        assert_eq!((workers.drops(), workers.sum(|c| c.connections_lost.get())), (vec![], 0));
    }
}

#[test]
fn connections_past_a_service_without_servers_move_with_their_slots() {
    let text = "[ipvs]\ncache_bypass = true\n[[service]]\nmark = 7\n[[mark]]\nmark = 7\nprotocol = \"tcp\"\nport = \"client\"\n";
    let cache = |n: usize| SocketAddrV4::new([203, 0, 113, (n % 40) as u8 + 1].into(), 80);
    let mut workers = Workers::new(3, text, 1);
    let send = |workers: &mut Workers, flags| {
        for n in 0..200 {
            workers.client_sends(tcp(client(n), cache(n), flags));
            workers.turn();
        }
        workers.settle();
        let sent: HashSet<_> = workers.sent().iter().map(|seen| (seen.source(), seen.destination())).collect();
        assert_eq!(sent, (0..200).map(|n| (client(n), cache(n))).collect(), "{:?}", workers.drops());
    };
    send(&mut workers, SYN);
    assert_eq!(workers.connections().len(), 200);
    for wish in [Rebalance { from: Some(1), ..Rebalance::default() }, Rebalance::default()] {
        workers.rebalance(&wish);
        send(&mut workers, ACK);
        assert_eq!(workers.connections().values().any(|worker| *worker == 1), wish.from.is_none());
    }
    assert_eq!(workers.connections().len(), 200);
    assert_eq!(workers.sum(|c| c.connections_created.get()), 200, "none begins twice");
    assert!(workers.sum(|c| c.connections_moved_in.get()) > 100);
    assert_eq!((workers.drops(), workers.sum(|c| c.connections_lost.get())), (vec![], 0));
}

#[test]
fn connections_that_begin_while_slots_move_begin_once() {
    for seed in 1..=8 {
        let mut workers = Workers::new(3, &web("nat"), seed);
        let mut servers = HashMap::new();
        for round in 0..6 {
            let to = Some(round % 3);
            workers.rebalance(&Rebalance { slots: (0..64).collect(), to, ..Rebalance::default() });
            for n in 0..100 {
                let n = usize::from(round) * 100 + n;
                workers.client_sends(tcp(client(n), at(VIP), SYN));
                (0..3).for_each(|_| workers.turn());
                // its SYN comes again, perhaps somewhere else
                workers.client_sends(tcp(client(n), at(VIP), SYN));
                (0..2).for_each(|_| workers.turn());
            }
            workers.settle();
            let sent = workers.sent();
            assert_eq!(sent.len(), 200, "{:?}", workers.drops());
            servers.extend(super::changes::servers(&sent));
        }
        assert_eq!(workers.connections().len(), 600);
        assert_eq!(workers.sum(|c| c.connections_created.get()), 600, "none is scheduled twice");
        exchange(&mut workers, &servers, 1);
        workers.settle();
        check_exchanged(&workers.sent(), &servers, 1);
        assert_eq!(workers.drops(), []);
    }
}

#[test]
fn persistence_is_switched_on_and_off_while_connections_go_on() {
    for seed in [1, 2, 3] {
        let mut workers = Workers::new(4, &web("nat"), seed);
        let servers = connect(&mut workers, 0..500);
        workers.persist(key(), Some(300));
        exchange(&mut workers, &servers, 2);
        workers.settle();
        check_exchanged(&workers.sent(), &servers, 1);
        let owners = workers.connections();
        for n in 50..500 {
            let (one, other) = ((client(n), at(VIP)), (client(n - 50), at(VIP)));
            assert_eq!(owners[&one], owners[&other], "connections of one client are at one worker");
        }
        // new connections of a client go together
        let new = connect(&mut workers, 500..700);
        for n in 550..700 {
            assert_eq!(new[&client(n)], new[&client(n - 50)], "{}", client(n));
        }
        let created = workers.sum(|c| c.connections_created.get());
        assert_eq!(created, 500 + 200 + 50, "and a template for each client");
        let all: HashMap<_, _> = servers.into_iter().chain(new).collect();
        workers.persist(key(), None);
        exchange(&mut workers, &all, 1);
        workers.settle();
        check_exchanged(&workers.sent(), &all, 1);
        assert_eq!(workers.sum(|c| c.connections_created.get()), created);
        assert_eq!((workers.drops(), workers.sum(|c| c.connections_lost.get())), (vec![], 0));
    }
}

#[test]
fn templates_move_with_their_connections_and_before_new_ones() {
    for seed in 1..=5 {
        let mut workers = Workers::new(4, &web("nat"), seed);
        workers.persist(key(), Some(300));
        workers.settle();
        let mut servers = connect(&mut workers, 0..100);
        for round in 1..=4 {
            let (from, to) = (Some(round % 4), Some((round + 1) % 4));
            workers.rebalance(&Rebalance { slots: vec![], from, to });
            for n in 0..100 {
                let n = usize::from(round) * 100 + n;
                workers.client_sends(tcp(client(n), at(VIP), SYN));
                (0..4).for_each(|_| workers.turn());
            }
            workers.settle();
            let new = super::changes::servers(&workers.sent());
            assert_eq!(new.len(), 100, "{:?}", workers.drops());
            new.iter().for_each(|(client, server)| {
                let first = servers.iter().find(|(other, _)| other.ip() == client.ip()).map(|(_, server)| *server);
                assert_eq!(first, Some(*server), "a client keeps its server");
            });
            servers.extend(new);
        }
        assert_eq!(workers.sum(|c| c.connections_created.get()), 500 + 50, "each client has had one template");
        exchange(&mut workers, &servers, 0);
        workers.settle();
        check_exchanged(&workers.sent(), &servers, 1);
        assert_eq!((workers.drops(), workers.sum(|c| c.connections_lost.get())), (vec![], 0));
    }
}

#[test]
fn where_ports_hash_sources_alone_owners_come_to_follow_from_that_and_nothing_is_handed_over() {
    let mut workers = Workers::new(4, &web("dr"), 11);
    let clients = 0..3000;
    let of_port = |workers: &Workers, of: fn(&PortCounters) -> u64| workers.sum(|c| of(c.of_port(CLIENT_SIDE)));
    let play = |workers: &mut Workers, flags| {
        for n in clients.clone() {
            workers.client_sends_by_source(client(n), tcp(client(n), at(VIP), flags));
            workers.turn();
        }
        workers.settle();
        assert_eq!(workers.sent().len(), clients.len(), "{:?}", workers.drops());
    };
    play(&mut workers, SYN);
    let elsewhere = of_port(&workers, |port| port.elsewhere.get());
    assert!(elsewhere > 2000, "three of four");
    let compared = of_port(&workers, |port| port.compared.get());
    assert!(compared > 100, "one in sixteen");
    assert_eq!(of_port(&workers, |port| port.as_other_hash.get()), compared);
    workers.change_hash();
    workers.settle();
    play(&mut workers, ACK);
    assert_eq!(of_port(&workers, |port| port.elsewhere.get()), elsewhere, "they are where they come in");
    assert_eq!(workers.sum(|c| c.connections_created.get()), clients.len() as u64);
}

#[test]
fn what_comes_elsewhere_of_a_persistent_service_says_nothing_of_how_ports_hash() {
    let mut workers = Workers::new(4, &web("dr"), 12);
    workers.persist(key(), Some(300));
    workers.settle();
    for n in 0..600 {
        workers.client_sends(tcp(client(n), at(VIP), SYN));
        workers.turn();
    }
    workers.settle();
    assert!(workers.sum(|c| c.of_port(CLIENT_SIDE).elsewhere.get()) > 100);
    assert_eq!(workers.sum(|c| c.of_port(CLIENT_SIDE).compared.get()), 0);
}

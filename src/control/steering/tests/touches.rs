//! No connection is touched by two workers: whoever sends a packet of it on has touched it, and is counted, connection by
//! connection and epoch by epoch, while packets come in anywhere and owners change.
//!
//! Whose it is follows from the slots and policies that the control thread published, not from what the workers ask.

use super::lab::*;
use crate::control::api::Rebalance;
use crate::control::state::ServiceEdit;
use crate::dataplane::steer::client_hash::ClientHash;
use crate::dataplane::steer::owner::{Stage, Steering};
use crate::dataplane::steer::policy::Policy;
use crate::dataplane::tests::packets::*;
use crate::wire::address::Ip4;
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddrV4;
use std::sync::Arc;

const WORKERS: usize = 4;

#[derive(Clone, Debug)]
enum Event {
    /// Packets of some clients; those that are new connect.
    Clients(std::ops::Range<usize>),
    /// Answers to as many.
    Answers(std::ops::Range<usize>),
    Turns(usize),
    TakenOff(u16),
    GivenBack,
    Moved {
        slots: std::ops::Range<u16>,
        to: u16,
    },
    /// Ports turned out to hash otherwise.
    Hash,
    Persistent(bool),
    Strict(bool),
}

fn event() -> impl Strategy<Value = Event> {
    let clients = || (0..120_usize, 1..30_usize).prop_map(|(from, count)| from..from + count);
    let worker = || 0..WORKERS as u16;
    prop_oneof![
        6 => clients().prop_map(Event::Clients),
        6 => clients().prop_map(Event::Answers),
        4 => (1..300_usize).prop_map(Event::Turns),
        1 => worker().prop_map(Event::TakenOff),
        1 => Just(Event::GivenBack),
        1 => (0..64_u16, 1..64_u16, worker()).prop_map(|(from, n, to)| Event::Moved { slots: from..from + n, to }),
        1 => Just(Event::Hash),
        1 => any::<bool>().prop_map(Event::Persistent),
        1 => any::<bool>().prop_map(Event::Strict),
    ]
}

/// The workers that a client's connection belongs to, by what was and by what is.
fn owners(steering: &Steering, client: SocketAddrV4) -> (usize, usize) {
    let rules = &steering.rules;
    let rule = rules.services[rules.directory.services[&key()].index()];
    let slot_by =
        |policy: Policy, hash: &ClientHash| policy.slot(hash, Ip4::from(*client.ip()), client.port().to_be_bytes());
    let before = steering.before.worker_of(slot_by(rule.before, &steering.hash_before));
    let now = steering.now.worker_of(slot_by(rule.now, &steering.hash));
    (before.index(), now.index())
}

/// What is known of a connection.
#[derive(Default)]
struct Account {
    sent: usize,
    server: Option<SocketAddrV4>,
    /// By epoch, how often each worker touched it.
    touches: BTreeMap<u64, [usize; WORKERS]>,
    /// How far it has come: every change of owners is one step, by its epoch.
    step: u64,
}

struct Play {
    workers: Workers,
    accounts: HashMap<SocketAddrV4, Account>,
    epochs: BTreeMap<u64, Arc<Steering>>,
    /// Packets that each worker sent.
    counts: [u64; WORKERS],
}

impl Play {
    fn new(seed: u64) -> Self {
        let workers = Workers::new(WORKERS as u16, &web("nat"), seed);
        Self { workers, accounts: HashMap::new(), epochs: BTreeMap::new(), counts: [0; WORKERS] }
    }

    fn turns(&mut self, count: usize) {
        for _ in 0..count {
            self.workers.turn();
            self.look();
        }
    }

    /// Notes who touched what in the last turn.
    fn look(&mut self) {
        for (worker, seen) in self.workers.sent_by_workers() {
            let to_server = seen.port == SERVER_SIDE.0;
            let client = if to_server { seen.source() } else { seen.destination() };
            let account = self.accounts.get_mut(&client).expect("of a client of ours");
            if to_server {
                let server = *account.server.get_or_insert(seen.destination());
                assert_eq!(server, seen.destination(), "{client} has a second server");
            }
            let steering = &self.workers.steering[worker];
            account.touch(worker, steering, client);
            self.epochs.insert(steering.epoch, steering.clone());
            self.counts[worker] += 1;
        }
    }

    fn play(&mut self, event: Event) {
        match event {
            Event::Clients(clients) => clients.for_each(|n| self.client_sends(client(n))),
            Event::Answers(clients) => clients.for_each(|n| self.server_answers(client(n))),
            Event::Turns(count) => self.turns(count),
            Event::TakenOff(from) => self.workers.rebalance(&Rebalance { from: Some(from), ..Rebalance::default() }),
            Event::GivenBack => self.workers.rebalance(&Rebalance::default()),
            Event::Moved { slots, to } => {
                self.workers.rebalance(&Rebalance { slots: slots.collect(), to: Some(to), from: None });
            }
            Event::Hash => self.workers.change_hash(),
            Event::Persistent(on) => self.workers.persist(key(), on.then_some(300)),
            Event::Strict(on) => {
                let edit = ServiceEdit { strict: Some(on), ..ServiceEdit::default() };
                self.workers.edit_service(key(), &edit);
            }
        }
    }

    fn client_sends(&mut self, client: SocketAddrV4) {
        let account = self.accounts.entry(client).or_default();
        account.sent += 1;
        // until it has an answer, its SYN comes again
        let flags = if account.server.is_some() { ACK } else { SYN };
        self.workers.client_sends(tcp(client, at(VIP), flags));
        self.look();
        self.turns(1);
    }

    fn server_answers(&mut self, client: SocketAddrV4) {
        let Some(Account { server: Some(server), sent, .. }) = self.accounts.get_mut(&client) else { return };
        *sent += 1;
        self.workers.server_sends(tcp(*server, client, ACK));
        self.look();
        self.turns(1);
    }

    fn settle(&mut self) {
        while self.workers.is_changing() {
            self.turns(50);
        }
        self.turns(500);
        self.check();
    }

    fn check(&self) {
        for (client, account) in &self.accounts {
            let touches: usize = account.touches.values().flatten().sum();
            assert_eq!(touches, account.sent, "{client}: every packet is seen to once; {:?}", self.workers.drops());
            for (epoch, of_workers) in &account.touches {
                let steering = &self.epochs[epoch];
                let (before, now) = owners(steering, *client);
                let may = |worker| match steering.stage {
                    Stage::Settled => worker == now,
                    Stage::Announced => worker == before,
                    Stage::Moving => worker == before || worker == now,
                };
                let others = (0..WORKERS).filter(|worker| of_workers[*worker] > 0 && !may(*worker)).count();
                assert_eq!(others, 0, "{client}, {:?} of {before} and {now}: {of_workers:?}", steering.stage);
            }
        }
        self.check_tables();
        self.check_counters();
    }

    /// Each is in one table, its owner's.
    fn check_tables(&self) {
        let known = self.workers.connections();
        assert_eq!(known.len(), self.accounts.len());
        for ((client, _), worker) in known {
            assert_eq!(owners(&self.workers.steering[0], client).1, worker, "{client}");
        }
    }

    /// The workers count the same, and every connection as scheduled once.
    fn check_counters(&self) {
        let mut scheduled = 0;
        for (director, count) in self.workers.directors.iter().zip(self.counts) {
            let of_dests = director.counters().1;
            let packets = |of: &crate::model::DestCounters| of.in_packets.get() + of.out_packets.get();
            assert_eq!((0..4).map(|dest| packets(&of_dests[dest])).sum::<u64>(), count);
            scheduled += (0..4).map(|dest| of_dests[dest].connections.get()).sum::<u64>();
        }
        assert_eq!(scheduled, self.accounts.len() as u64, "each is scheduled once");
        assert_eq!((self.workers.drops(), self.workers.sum(|c| c.connections_lost.get())), (vec![], 0));
    }
}

impl Account {
    /// Once the new owner has touched a connection, the former one no longer does.
    fn touch(&mut self, worker: usize, steering: &Steering, client: SocketAddrV4) {
        self.touches.entry(steering.epoch).or_default()[worker] += 1;
        let step = match steering.stage {
            Stage::Announced => steering.epoch,
            Stage::Moving if worker != owners(steering, client).1 => steering.epoch - 1,
            Stage::Moving => steering.epoch,
            Stage::Settled => steering.epoch.saturating_sub(1),
        };
        assert!(step >= self.step, "{client} goes back to worker {worker}, {:?}", steering.stage);
        self.step = step;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn nobody_but_its_owner_touches_a_connection(
        seed: u64, events in prop::collection::vec((event(), any::<prop::sample::Index>()), 1..60),
    ) {
        let mut play = Play::new(seed);
        for (event, settle) in events {
            play.play(event);
            if settle.index(8) == 0 {
                play.settle();
            }
        }
        play.settle();
    }
}

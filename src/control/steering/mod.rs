//! What the workers are told of whose packets are whose, and the steps in which that changes without breaking anything.
//!
//! What follows from a configuration is a [`Plan`] ([`components`]). A snapshot with a coarser plan (persistence was
//! switched on) is published when everything lives by that plan already; a finer one applies when the snapshot that asks
//! for it is in. So a change of the plan, or of the slots, is always one of the steering alone, in three stages
//! ([`crate::dataplane::steer`]), before or behind the snapshot.

mod components;
mod rebalance;
#[cfg(test)]
mod tests;

use self::components::{Plan, Wanted};
pub use self::rebalance::rebalanced;
use crate::dataplane::snapshot::{Changes, Directory, Snapshot};
use crate::dataplane::steer::client_hash::{ClientHash, Input};
use crate::dataplane::steer::owner::{Rule, Rules, Server, Stage, Steering};
use crate::dataplane::steer::policy::Policy;
use crate::model::{DestId, Destination, Forward, Protocol, ServiceId, ServiceKey, SlotTable};
use crate::wire::toeplitz::RssKey;
use hashbrown::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// A snapshot on its way to the workers.
pub struct Step {
    pub snapshot: Arc<Snapshot>,
    /// Connections move by it: the next one waits until all have.
    pub moves: bool,
}

/// What owners follow from.
#[derive(Clone)]
struct Order {
    plan: Plan,
    slots: Arc<SlotTable>,
    hash: Arc<ClientHash>,
}

/// What the control thread keeps of the steering.
pub struct Steerer {
    workers: u16,
    epoch: u64,
    /// What everything lives by once what was handed out is in.
    order: Order,
    /// The hash that is not in use.
    other_hash: Arc<ClientHash>,
    /// What the last snapshot asks for.
    wanted: Wanted,
    /// Destinations, those in the trash included, with the service they were or are of.
    destinations: HashMap<DestId, (ServiceKey, Destination)>,
    settled: Arc<Steering>,
}

impl Steerer {
    /// For what `first` asks for. `key` is what the ports' keys are made of, too.
    pub fn new(workers: u16, key: &RssKey, first: &Snapshot) -> Self {
        let hash = |input| Arc::new(ClientHash::new(key, input));
        let slots = Arc::new(SlotTable::even(workers));
        let mut steerer = Self {
            workers,
            epoch: 0,
            order: Order { plan: Plan::default(), slots, hash: hash(Input::default()) },
            other_hash: hash(Input::default().other()),
            wanted: Wanted::default(),
            destinations: HashMap::new(),
            settled: Arc::default(),
        };
        if workers > 1 {
            steerer.follow(&Snapshot::default(), first);
            let order = Order { plan: steerer.wanted.plan(), ..steerer.order.clone() };
            steerer.settled = steerer.steering(Stage::Settled, &order);
            steerer.order = order;
        }
        steerer
    }

    /// What everything lives by once what was handed out is in.
    pub fn settled(&self) -> Arc<Steering> {
        self.settled.clone()
    }

    pub fn slots(&self) -> &SlotTable {
        &self.order.slots
    }

    /// The steps to `next`, which follows `latest`.
    pub fn publish(&mut self, latest: &Snapshot, next: &Snapshot) -> Vec<Step> {
        if self.workers <= 1 {
            return vec![self.step(next.clone(), false)];
        }
        let before = self.wanted.clone();
        if !self.follow(latest, next) {
            return vec![self.step(next.clone(), false)];
        }
        let mut steps = vec![];
        let with = |plan, order: &Order| Order { plan, ..order.clone() };
        self.change(latest, with(before.join(&self.wanted).plan(), &self.order), &mut steps);
        steps.push(self.step(next.clone(), false));
        self.change(next, with(self.wanted.plan(), &self.order), &mut steps);
        steps
    }

    /// The steps to other owners of the slots.
    pub fn rebalance(&mut self, latest: &Snapshot, slots: SlotTable) -> Vec<Step> {
        let mut steps = vec![];
        if self.workers > 1 {
            self.change(latest, Order { slots: Arc::new(slots), ..self.order.clone() }, &mut steps);
        }
        steps
    }

    /// The steps to the other hash, by which ports turned out to spread packets.
    pub fn change_hash(&mut self, latest: &Snapshot) -> Vec<Step> {
        let mut steps = vec![];
        if self.workers > 1 {
            let hash = std::mem::replace(&mut self.other_hash, self.order.hash.clone());
            self.change(latest, Order { hash, ..self.order.clone() }, &mut steps);
        }
        steps
    }

    /// What is hashed of a client.
    pub fn input(&self) -> Input {
        self.order.hash.input()
    }

    /// Changes the steering under a snapshot whose content stays. Where no connection gets another owner, one step is
    /// enough, or none.
    fn change(&mut self, content: &Snapshot, order: Order, steps: &mut Vec<Step>) {
        let is_hash_new = !Arc::ptr_eq(&order.hash, &self.order.hash);
        let moves = is_hash_new || order.slots != self.order.slots || order.plan.differs(&self.order.plan);
        if !moves && order.plan == self.order.plan {
            return;
        }
        let stages: &[Stage] =
            if moves { &[Stage::Announced, Stage::Moving, Stage::Settled] } else { &[Stage::Settled] };
        for stage in stages {
            let steering = self.steering(*stage, &order);
            if *stage == Stage::Settled {
                self.settled = steering.clone();
            }
            let snapshot = Snapshot { changes: Arc::new(Changes::default()), steering, ..content.clone() };
            steps.push(Step { snapshot: Arc::new(snapshot), moves: *stage == Stage::Moving });
        }
        self.order = order;
    }

    fn step(&self, snapshot: Snapshot, moves: bool) -> Step {
        Step { snapshot: Arc::new(Snapshot { steering: self.settled.clone(), ..snapshot }), moves }
    }

    /// A stage of the change from what is to `now`.
    fn steering(&mut self, stage: Stage, now: &Order) -> Arc<Steering> {
        self.epoch += 1;
        let before = if stage == Stage::Settled { now } else { &self.order };
        Arc::new(Steering {
            epoch: self.epoch,
            stage,
            before: before.slots.clone(),
            now: now.slots.clone(),
            hash_before: before.hash.clone(),
            hash: now.hash.clone(),
            other_hash: self.other_hash.clone(),
            rules: Arc::new(rules(&before.plan, &now.plan)),
        })
    }

    /// Notes what is wanted by `next`. False: nothing that the steering depends on has changed.
    fn follow(&mut self, latest: &Snapshot, next: &Snapshot) -> bool {
        let mut changed = false;
        for id in &next.changes.destinations {
            changed |= self.follow_destination(next, *id);
        }
        let of = |snapshot: &Snapshot, id: &ServiceId| {
            snapshot.services.get(id.index()).map(|service| (service.key, service.persistence, service.strict))
        };
        changed |= next.changes.services.iter().any(|id| of(latest, id) != of(next, id));
        if changed {
            self.wanted = Wanted::new(next, self.destinations.values());
        }
        changed
    }

    fn follow_destination(&mut self, next: &Snapshot, id: DestId) -> bool {
        let Some(destination) = next.destinations.get(id.index()) else {
            return self.destinations.remove(&id).is_some();
        };
        let known = self.destinations.get(&id).map(|(key, _)| *key);
        let named = next.services.get(destination.service.index()).map(|service| service.key);
        let Some(key) = named.or(known) else { return false };
        let before = self.destinations.insert(id, (key, **destination));
        let place = |d: &Destination| (d.address, d.port, d.forward == Forward::Nat);
        before.is_none_or(|(was, before)| was != key || place(&before) != place(destination))
    }
}

/// The rules by which what lives by one plan comes to live by another.
fn rules(before: &Plan, now: &Plan) -> Rules {
    let mut rules = Rules::default();
    for key in before.services.keys().chain(now.services.keys()) {
        if rules.directory.services.contains_key(key) {
            continue;
        }
        let rule = rule(before.services.get(key), now.services.get(key));
        rules.directory.services.insert(*key, ServiceId(rules.services.len() as u32));
        rules.services.push(rule);
    }
    mark_kinds(&mut rules.directory);
    for server in before.servers.keys().chain(now.servers.keys()) {
        rules.servers.insert(*server, rule(before.server(server).as_ref(), now.server(server).as_ref()));
    }
    for address in before.addresses.keys().chain(now.addresses.keys()) {
        rules.addresses.insert(*address, rule(before.addresses.get(address), now.addresses.get(address)));
    }
    rules
}

/// What only one plan knows has no connections to move.
fn rule(before: Option<&Policy>, now: Option<&Policy>) -> Rule {
    let (before, now) = (before.or(now).copied(), now.or(before).copied());
    Rule { before: before.unwrap_or_default(), now: now.unwrap_or_default() }
}

fn mark_kinds(directory: &mut Directory) {
    let keys = || directory.services.keys();
    let has_marks = keys().any(|key| matches!(key, ServiceKey::Mark { .. }));
    let has_ftp = keys().any(|key| matches!(key, ServiceKey::Virtual { protocol: Protocol::Tcp, port: 21, .. }));
    let has_wildcard = keys().any(|key| matches!(key, ServiceKey::Virtual { port: 0, .. }));
    (directory.has_marks, directory.has_ftp, directory.has_wildcard) = (has_marks, has_ftp, has_wildcard);
}

/// Where packets of a service's NAT destination come from; with no port, from any.
fn server(key: &ServiceKey, destination: &Destination) -> Option<(IpAddr, Option<Server>)> {
    if destination.forward != Forward::Nat {
        return None;
    }
    let address = destination.address;
    Some(match key {
        // FTP's data connections have ports of their own
        ServiceKey::Virtual { port: 0, .. } | ServiceKey::Virtual { protocol: Protocol::Tcp, port: 21, .. } => {
            (address, None)
        }
        ServiceKey::Virtual { protocol, .. } => (address, Some((protocol.number(), address, destination.port))),
        ServiceKey::Mark { .. } => (address, None),
    })
}

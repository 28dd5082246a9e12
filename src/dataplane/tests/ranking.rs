//! Rankings that follow connections, edits and other lists decide as rankings made from nothing: those are held against
//! scans of the list beside each scheduler.

use crate::dataplane::destinations::Destinations;
use crate::dataplane::services::Services;
use crate::dataplane::snapshot::Service;
use crate::model::{DestId, Destination, Forward, Protocol, ServiceId, ServiceKey, Time};
use crate::sched::{Candidate, Flow, Options, Plan, Pool, REGISTRY, Ranking, SchedulerKind, State};
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

const SERVICE: ServiceId = ServiceId(3);

/// A service, and the scheduler of another one that is its double.
struct Pair {
    kind: SchedulerKind,
    destinations: Destinations,
    services: Services,
    pool: Arc<Pool>,
    double: Option<State>,
    connections: Vec<(DestId, bool)>,
    next_id: u32,
    now: Time,
}

#[derive(Clone, Debug)]
enum Event {
    /// New connections, some of them active.
    Connect(u8, u32),
    /// The nth connection ends.
    End(prop::sample::Index),
    /// It becomes active or inactive.
    Turn(prop::sample::Index),
    Add(u32, u32),
    Edit(prop::sample::Index, u32, u32),
    Delete(prop::sample::Index),
    Scheduler(prop::sample::Index),
    /// The service goes and comes again.
    Replace,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let weight = || prop_oneof![1 => Just(0_u32), 6 => 1..5_u32, 1 => 0..=i32::MAX as u32];
    let threshold = || prop_oneof![2 => Just(0_u32), 1 => 1..6_u32];
    let nth = any::<prop::sample::Index>;
    let event = prop_oneof![
        12 => (1..9_u8, any::<u32>()).prop_map(|(count, client)| Event::Connect(count, client)),
        12 => nth().prop_map(Event::End),
        6 => nth().prop_map(Event::Turn),
        4 => (weight(), threshold()).prop_map(|(weight, upper)| Event::Add(weight, upper)),
        3 => (nth(), weight(), threshold()).prop_map(|(n, weight, upper)| Event::Edit(n, weight, upper)),
        2 => nth().prop_map(Event::Delete),
        1 => nth().prop_map(Event::Scheduler),
        1 => Just(Event::Replace),
    ];
    prop::collection::vec(event, 0..150)
}

fn flow(client: u32, now: Time) -> Flow {
    let (client, destination) = (Ipv4Addr::from(client).into(), Ipv4Addr::new(192, 0, 2, client as u8 % 4).into());
    Flow { client, client_port: 1, destination, destination_port: 80, now }
}

impl Pair {
    fn new(kind: SchedulerKind) -> Self {
        let (destinations, services) = (Destinations::new().unwrap(), Services::default());
        let (pool, connections) = (Arc::default(), Vec::new());
        let mut pair =
            Self { kind, destinations, services, pool, double: None, connections, next_id: 0, now: Time::from_s(1) };
        pair.publish(Vec::new(), &[]);
        pair
    }

    fn apply(&mut self, event: &Event) -> Result<(), TestCaseError> {
        let mut list = self.pool.candidates().to_vec();
        match *event {
            Event::Connect(count, client) => {
                return (0..count).try_for_each(|i| self.connect(client.wrapping_add(i.into())));
            }
            Event::End(n) if !self.connections.is_empty() => {
                let (dest, is_active) = self.connections.swap_remove(n.index(self.connections.len()));
                self.destinations.unbind(dest, !is_active);
            }
            Event::Turn(n) if !self.connections.is_empty() => {
                let n = n.index(self.connections.len());
                let (dest, is_active) = &mut self.connections[n];
                *is_active = !*is_active;
                self.destinations.set_active(*dest, *is_active);
            }
            Event::Add(weight, upper) => {
                let (id, address) = (DestId(self.next_id), IpAddr::from(Ipv4Addr::from(0x0a00_0000 + self.next_id)));
                self.next_id += 1;
                list.insert(0, Candidate { id, weight, last_weight: weight, address, port: 80 });
                self.publish(list, &[(id, weight, upper, true)]);
            }
            Event::Edit(n, weight, upper) if !list.is_empty() => {
                let candidate = &mut list[n.index(self.pool.len())];
                candidate.weight = weight;
                let id = candidate.id;
                self.publish(list, &[(id, weight, upper, true)]);
            }
            Event::Delete(n) if !list.is_empty() => {
                let gone = list.remove(n.index(self.pool.len()));
                self.publish(list, &[(gone.id, gone.weight, 0, false)]);
            }
            Event::Scheduler(n) => {
                self.kind = kinds().nth(n.index(kinds().count())).unwrap();
                self.publish(list, &[]);
            }
            Event::Replace => {
                self.services.set(SERVICE, None, &mut self.destinations);
                self.double = None;
                self.publish(list, &[]);
            }
            _ => {}
        }
        Ok(())
    }

    /// In the order in which a worker takes a snapshot over.
    fn publish(&mut self, list: Vec<Candidate>, changes: &[(DestId, u32, u32, bool)]) {
        let pool = Arc::new(self.pool.changed(list));
        let is_available = |change: &&(DestId, u32, u32, bool)| change.3;
        changes.iter().filter(is_available).for_each(|change| self.describe(change));
        let service = self.service(&pool);
        let old = std::mem::replace(&mut self.pool, pool);
        match &mut self.double {
            Some(double) if !Arc::ptr_eq(&old, &self.pool) || double.kind() != self.kind => {
                double.update(&old, &self.pool, &service.plan);
            }
            double => *double = Some(State::new(&self.pool, &service.plan)),
        }
        self.services.set(SERVICE, Some(&service), &mut self.destinations);
        changes.iter().filter(|change| !is_available(change)).for_each(|change| self.describe(change));
    }

    fn service(&self, pool: &Arc<Pool>) -> Arc<Service> {
        Arc::new(Service {
            id: SERVICE,
            key: ServiceKey::Virtual { protocol: Protocol::Tcp, address: [192, 0, 2, 1].into(), port: 80 },
            scheduler: self.kind,
            options: Options::default(),
            persistence: None,
            one_packet: false,
            strict: false,
            departures: Default::default(),
            pool: Arc::clone(pool),
            plan: Arc::new(Plan::make(self.kind, pool, Options::default()).unwrap()),
        })
    }

    fn describe(&mut self, &(id, weight, threshold_upper, available): &(DestId, u32, u32, bool)) {
        self.destinations.set(id, Some(&destination(id, weight, threshold_upper, available)));
    }

    fn connect(&mut self, client: u32) -> Result<(), TestCaseError> {
        self.now = Time(self.now.0 + 1_000_000);
        let flow = flow(client, self.now);
        let service = self.service(&self.pool);
        let fresh = Ranking::new(self.kind, self.pool.loads(&self.destinations));
        let double = self.double.as_mut().expect("it was published");
        let expected = double.schedule(&self.pool, &service.plan, &fresh, &self.destinations, &flow);
        let chosen = self.services.schedule(SERVICE, &mut self.destinations, &flow);
        prop_assert_eq!(chosen, expected.map(|i| self.pool.candidates()[i].id), "{}", self.kind);
        if let Some(dest) = chosen {
            self.destinations.bind(dest, true);
            let is_active = !client.is_multiple_of(3);
            if is_active {
                self.destinations.set_active(dest, true);
            }
            self.connections.push((dest, is_active));
        }
        Ok(())
    }
}

fn destination(id: DestId, weight: u32, threshold_upper: u32, available: bool) -> Destination {
    Destination {
        id,
        service: SERVICE,
        address: Ipv4Addr::from(0x0a00_0000 + id.0).into(),
        port: 80,
        forward: Forward::Dr,
        weight,
        threshold_upper,
        threshold_lower: 0,
        departures: Default::default(),
        timeouts: Default::default(),
        available,
    }
}

/// All that do not throw dice.
fn kinds() -> impl Iterator<Item = SchedulerKind> {
    REGISTRY.iter().map(|entry| entry.kind).filter(|kind| *kind != SchedulerKind::Twos)
}

proptest! {
    #[test]
    fn decisions_do_not_depend_on_how_the_ranking_came_about(first in 0..13_usize, events in events()) {
        let mut pair = Pair::new(kinds().nth(first).expect("13 kinds"));
        for event in &events {
            pair.apply(event)?;
        }
    }
}

/// The destination whose count changed last in one service goes, and its id comes again in the list of another one.
#[test]
fn a_change_that_waits_is_not_filed_under_the_position_in_another_services_list() {
    const OTHER: ServiceId = ServiceId(7);
    let mut pair = Pair::new(SchedulerKind::Wlc);
    for _ in 0..3 {
        pair.apply(&Event::Add(1, 0)).unwrap();
    }
    [2, 2, 2, 1, 0].into_iter().for_each(|id| pair.destinations.bind(DestId(id), true));
    pair.destinations.catch_up(SERVICE);
    pair.destinations.bind(DestId(2), true);
    pair.destinations.set(DestId(2), None);
    pair.destinations.set(DestId(2), Some(&Destination { service: OTHER, ..destination(DestId(2), 1, 0, true) }));
    let list = pair.pool.candidates();
    let others = Pool::new(vec![Candidate { id: DestId(9), ..list[0] }, list[0]]);
    pair.destinations.set_list(OTHER, None, Some((SchedulerKind::Wlc, &others)));
    let chosen = pair.services.schedule(SERVICE, &mut pair.destinations, &flow(1, Time::from_s(2)));
    assert_eq!(chosen, Some(DestId(1)), "the first of the two with one connection");
}

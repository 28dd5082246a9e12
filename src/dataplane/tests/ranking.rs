//! Rankings that follow connections, edits and other lists decide as rankings made from nothing: those are held against
//! scans of the list beside each scheduler.

use crate::dataplane::destinations::Destinations;
use crate::dataplane::service_change::{Material, ServiceChange};
use crate::dataplane::services::Services;
use crate::dataplane::snapshot::Service;
use crate::model::{DestId, Destination, Forward, Protocol, ServiceId, ServiceKey, Time};
use crate::sched::{Candidate, Flow, Options, Plan, Pool, REGISTRY, Ranking, SchedulerKind, State, Succession};
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

const SERVICE: ServiceId = ServiceId(3);

/// A service, and the scheduler of another one that is its double.
struct Pair {
    kind: SchedulerKind,
    next_kind: SchedulerKind,
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
        let (double, now) = (None, Time::from_s(1));
        let mut pair =
            Self { kind, next_kind: kind, destinations, services, pool, double, connections, next_id: 0, now };
        pair.publish(Vec::new(), &[]).unwrap();
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
                self.publish(list, &[(id, weight, upper, true)])?;
            }
            Event::Edit(n, weight, upper) if !list.is_empty() => {
                let candidate = &mut list[n.index(self.pool.len())];
                candidate.weight = weight;
                let id = candidate.id;
                self.publish(list, &[(id, weight, upper, true)])?;
            }
            Event::Delete(n) if !list.is_empty() => {
                let gone = list.remove(n.index(self.pool.len()));
                self.publish(list, &[(gone.id, gone.weight, 0, false)])?;
            }
            Event::Scheduler(n) => {
                self.next_kind = kinds().nth(n.index(kinds().count())).unwrap();
                self.publish(list, &[])?;
            }
            Event::Replace => {
                ServiceChange::at_once(SERVICE, None, &mut self.services, &mut self.destinations);
                self.double = None;
                self.publish(list, &[])?;
            }
            _ => {}
        }
        Ok(())
    }

    /// In the order in which a worker takes a snapshot over, with connections that come and go between any two steps.
    fn publish(&mut self, list: Vec<Candidate>, changes: &[(DestId, u32, u32, bool)]) -> Result<(), TestCaseError> {
        let is_available = |change: &&(DestId, u32, u32, bool)| change.3;
        changes.iter().filter(is_available).for_each(|change| self.describe(change));
        let pool = Arc::new(self.pool.changed(list));
        let service = self.service(self.next_kind, &pool);
        let mut change = self.begin_change(SERVICE, Some(&service));
        let mut n = 0;
        while change.go_on(&mut self.services, &mut self.destinations).is_none() {
            let is_in = self.services.get(SERVICE).is_some_and(|state| Arc::ptr_eq(&state.service, &service));
            if is_in && !Arc::ptr_eq(&self.pool, &pool) {
                self.change_double(&pool, &service.plan);
            }
            n += 1;
            self.meanwhile(n)?;
        }
        changes.iter().filter(|change| !is_available(change)).for_each(|change| self.describe(change));
        Ok(())
    }

    fn begin_change(&mut self, id: ServiceId, new: Option<&Arc<Service>>) -> ServiceChange {
        let old = self.services.get(id).map(|state| state.service.clone());
        let material = Material::of(old.as_deref(), new.map(|new| &**new));
        ServiceChange::begin(id, new, material, &self.services, &mut self.destinations).expect("few services")
    }

    /// The double goes by the new list from now on.
    fn change_double(&mut self, pool: &Arc<Pool>, plan: &Plan) {
        let old = std::mem::replace(&mut self.pool, pool.clone());
        self.kind = self.next_kind;
        match &mut self.double {
            Some(double) => {
                let succession = Succession::between(&old, pool, |gone| double.depart(gone));
                double.update(Some(&succession), pool, plan);
            }
            double => *double = Some(State::new(pool, plan)),
        }
    }

    fn meanwhile(&mut self, n: u32) -> Result<(), TestCaseError> {
        let last = self.connections.len().wrapping_sub(1);
        match (n % 4, self.connections.get_mut(last)) {
            (0, _) if self.double.is_some() => self.connect(n)?,
            (1, Some((dest, is_active))) => {
                *is_active = !*is_active;
                self.destinations.set_active(*dest, *is_active);
            }
            (2, Some(_)) => {
                let (dest, is_active) = self.connections.swap_remove(n as usize % self.connections.len());
                self.destinations.unbind(dest, !is_active);
            }
            _ => {}
        }
        Ok(())
    }

    fn service(&self, kind: SchedulerKind, pool: &Arc<Pool>) -> Arc<Service> {
        Arc::new(Service {
            id: SERVICE,
            key: ServiceKey::Virtual { protocol: Protocol::Tcp, address: [192, 0, 2, 1].into(), port: 80 },
            scheduler: kind,
            options: Options::default(),
            persistence: None,
            one_packet: false,
            strict: false,
            departures: Default::default(),
            pool: Arc::clone(pool),
            plan: Arc::new(Plan::make(kind, pool, Options::default()).unwrap()),
        })
    }

    fn describe(&mut self, &(id, weight, threshold_upper, available): &(DestId, u32, u32, bool)) {
        self.destinations.set(id, Some(&destination(id, weight, threshold_upper, available)));
    }

    fn connect(&mut self, client: u32) -> Result<(), TestCaseError> {
        self.now = Time(self.now.0 + 1_000_000);
        let flow = flow(client, self.now);
        let service = self.service(self.kind, &self.pool);
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
    let others = Arc::new(Pool::new(vec![Candidate { id: DestId(9), ..list[0] }, list[0]]));
    let other = pair.service(SchedulerKind::Wlc, &others);
    ServiceChange::at_once(OTHER, Some(&other), &mut pair.services, &mut pair.destinations);
    let chosen = pair.services.schedule(SERVICE, &mut pair.destinations, &flow(1, Time::from_s(2)));
    assert_eq!(chosen, Some(DestId(1)), "the first of the two with one connection");
}

//! What the tests of schedulers share: loads to play with, a bench for one scheduler, and churn that is replayed
//! against a naive oracle.

use super::ranking::Ranking;
use super::{Candidate, Flow, Loads, Options, Pool, Scheduler, Succession};
use crate::model::{DestId, Time};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use std::collections::HashMap;
use std::fmt::Debug;
use std::net::Ipv4Addr;

#[derive(Clone, Debug, Default)]
pub struct TestLoads(HashMap<DestId, (u32, u32, bool)>);

impl Loads for TestLoads {
    fn active(&self, dest: DestId) -> u32 {
        self.0.get(&dest).map_or(0, |l| l.0)
    }
    fn inactive(&self, dest: DestId) -> u32 {
        self.0.get(&dest).map_or(0, |l| l.1)
    }
    fn is_overloaded(&self, dest: DestId) -> bool {
        self.0.get(&dest).is_some_and(|l| l.2)
    }
}

impl TestLoads {
    pub fn set(&mut self, dest: u32, active: u32, inactive: u32) {
        let load = self.0.entry(DestId(dest)).or_default();
        (load.0, load.1) = (active, inactive);
    }
    pub fn add_active(&mut self, dest: u32) {
        self.0.entry(DestId(dest)).or_default().0 += 1;
    }
    pub fn overload(&mut self, dest: u32) {
        self.0.entry(DestId(dest)).or_default().2 = true;
    }
}

pub fn candidate(id: u32, weight: u32) -> Candidate {
    let address = Ipv4Addr::from(0x0a0a_0000 + id).into();
    Candidate { id: DestId(id), weight, last_weight: weight, address, port: 80 }
}

pub fn flow_from(client: u32) -> Flow {
    Flow {
        client: Ipv4Addr::from(0xc633_6400 + client * 7).into(),
        client_port: (1024 + client * 13) as u16,
        destination: Ipv4Addr::new(192, 0, 2, 100).into(),
        destination_port: 80,
        now: Time(0),
    }
}

pub fn flow_to(destination: u32) -> Flow {
    Flow { destination: Ipv4Addr::from(0xcb00_7100 + destination).into(), ..flow_from(1) }
}

pub fn at(s: u64, flow: Flow) -> Flow {
    Flow { now: Time::from_s(s), ..flow }
}

/// A ranking made from nothing.
pub fn ranked<S: Scheduler>(pool: &Pool, loads: &TestLoads) -> S::Ranking {
    let mut ranking = S::Ranking::blank(pool.len());
    pool.loads(loads).enumerate().for_each(|(position, load)| ranking.set(position, load));
    ranking
}

/// One scheduler with its pool.
pub struct Bench<S: Scheduler> {
    pub pool: Pool,
    pub plan: S::Plan,
    pub state: S,
    pub loads: TestLoads,
    options: Options,
}

impl<S: Scheduler> Bench<S> {
    /// A pool in list order; ids are indices.
    pub fn new(weights: &[u32]) -> Self {
        Self::with(weights, Options::default())
    }

    pub fn with(weights: &[u32], options: Options) -> Self {
        let pool = Pool::new(weights.iter().zip(0..).map(|(&weight, id)| candidate(id, weight)).collect());
        let plan = S::plan(&pool, options).expect("a plan");
        let state = S::new(&pool, &plan);
        Self { pool, plan, state, loads: TestLoads::default(), options }
    }

    /// Destinations (id, weight) added one after the other, as by `ipvsadm -a`.
    pub fn of_added(destinations: &[(u32, u32)]) -> Self {
        let mut bench = Self::new(&[]);
        destinations.iter().for_each(|&(id, weight)| bench.add(id, weight));
        bench
    }

    pub fn add(&mut self, id: u32, weight: u32) {
        let mut list = self.pool.candidates().to_vec();
        list.insert(0, candidate(id, weight));
        self.change(list);
    }

    pub fn delete(&mut self, id: u32) {
        let mut list = self.pool.candidates().to_vec();
        list.retain(|c| c.id != DestId(id));
        self.change(list);
    }

    pub fn change(&mut self, list: Vec<Candidate>) {
        let pool = Pool::new(list);
        self.plan = S::plan(&pool, self.options).expect("a plan");
        let succession = Succession::between(&self.pool, &pool, |gone| self.state.depart(gone));
        self.state.update(Some(&succession), &self.plan);
        self.pool = pool;
    }

    pub fn pick(&mut self) -> Option<usize> {
        self.pick_for(&flow_from(1))
    }

    pub fn pick_for(&mut self, flow: &Flow) -> Option<usize> {
        let ranking = ranked::<S>(&self.pool, &self.loads);
        self.state.schedule(&self.pool, &self.plan, &ranking, &self.loads, flow)
    }

    /// Ids of the next destinations.
    pub fn picks(&mut self, count: usize) -> Vec<u32> {
        (0..count).map(|_| self.pick().map(|i| self.pool.candidates()[i].id.0).expect("a destination")).collect()
    }
}

/// A pool and its loads, for schedulers that decide by the moment.
#[derive(Clone, Debug)]
pub struct Scene {
    pub pool: Pool,
    pub loads: TestLoads,
}

impl Scene {
    pub fn pick<S: Scheduler>(&self) -> Option<usize> {
        let plan = S::plan(&self.pool, Options::default()).expect("a plan");
        let ranking = ranked::<S>(&self.pool, &self.loads);
        S::new(&self.pool, &plan).schedule(&self.pool, &plan, &ranking, &self.loads, &flow_from(1))
    }
}

pub fn scenes() -> impl Strategy<Value = Scene> {
    // mostly small numbers, so that ties are common
    let weight = prop_oneof![4 => 0..4u32, 1 => 0..=i32::MAX as u32];
    let count = prop_oneof![4 => 0..4u32, 1 => any::<u32>()];
    let server = (weight, count.clone(), count, prop::bool::weighted(0.2));
    prop::collection::vec(server, 0..12).prop_map(|servers| {
        let pool = Pool::new(servers.iter().zip(0..).map(|(s, id)| candidate(id, s.0)).collect());
        let loads = servers.iter().zip(0..).map(|(s, id)| (DestId(id), (s.1, s.2, s.3))).collect();
        Scene { pool, loads: TestLoads(loads) }
    })
}

pub fn naive_usable(c: &Candidate, loads: &TestLoads) -> bool {
    c.weight != 0 && !loads.is_overloaded(c.id)
}

pub fn naive_overhead(active: u128, inactive: u128) -> u128 {
    active * 256 + inactive
}

pub fn naive_load(pool: &Pool, loads: &TestLoads, i: usize, load: impl Fn(u128, u128) -> u128) -> u128 {
    let id = pool.candidates()[i].id;
    load(loads.active(id).into(), loads.inactive(id).into())
}

/// The first usable one that no other usable one beats.
pub fn naive_least(pool: &Pool, loads: &TestLoads, load: impl Fn(u128, u128) -> u128) -> Option<usize> {
    let usable: Vec<usize> = (0..pool.len()).filter(|&i| naive_usable(&pool.candidates()[i], loads)).collect();
    let weight = |i: usize| u128::from(pool.candidates()[i].weight);
    let load = |i: usize| naive_load(pool, loads, i, &load);
    usable.iter().copied().find(|&i| usable.iter().all(|&j| load(i) * weight(j) <= load(j) * weight(i)))
}

/// The first that no other one outweighs.
pub fn naive_heaviest(pool: &Pool, loads: &TestLoads, fits: impl Fn(&Candidate) -> bool) -> Option<usize> {
    let list = pool.candidates();
    let good: Vec<usize> = (0..list.len()).filter(|&i| naive_usable(&list[i], loads) && fits(&list[i])).collect();
    good.iter().copied().find(|&i| good.iter().all(|&j| list[i].weight >= list[j].weight))
}

/// A destination as oracles see it: all that is known of it at once.
#[derive(Clone, Debug)]
pub struct Server {
    pub id: DestId,
    pub weight: u32,
    pub last_weight: u32,
    pub active: u32,
    pub inactive: u32,
    pub overloaded: bool,
}

impl Server {
    pub fn overhead(&self) -> u128 {
        naive_overhead(self.active.into(), self.inactive.into())
    }
    pub fn scale(&self) -> u128 {
        self.weight.into()
    }
}

/// wlc by its definition.
pub fn least_of(list: &[Server]) -> Option<DestId> {
    let usable: Vec<&Server> = list.iter().filter(|s| s.weight > 0 && !s.overloaded).collect();
    let is_least = |s: &Server| usable.iter().all(|o| s.overhead() * o.scale() <= o.overhead() * s.scale());
    usable.iter().find(|s| is_least(s)).map(|s| s.id)
}

/// Overloaded in the sense of lblc and lblcr.
pub fn is_hot(server: &Server, list: &[Server]) -> bool {
    server.active > server.weight && list.iter().any(|s| s.active * 2 < s.weight)
}

/// A scheduler written as naively as possible.
pub trait Oracle {
    fn start(&mut self, _list: &[Server]) {}
    fn changed(&mut self, _old: &[Server], _new: &[Server]) {}
    fn pick(&mut self, list: &[Server], flow: &Flow) -> Option<DestId>;
}

/// What happens to a service. Numbers that name a destination are taken modulo what there is.
#[derive(Clone, Debug)]
pub enum Event {
    Pick { client: u32, port: u16, destination: u8, after_s: u8 },
    Add { weight: u32, revive: bool },
    Edit { nth: usize, weight: u32 },
    Delete { nth: usize },
    Load { nth: usize, active: u32, inactive: u32, overloaded: bool },
}

pub fn churn() -> impl Strategy<Value = Vec<Event>> {
    let weight = || prop_oneof![1 => Just(0u32), 4 => 1..7u32, 1 => (1..5u32).prop_map(|w| w * 10), 1 => 0..900u32];
    let event = prop_oneof![
        12 => (any::<u32>(), any::<u16>(), 0..4u8, 0..4u8)
            .prop_map(|(client, port, destination, after_s)| Event::Pick { client, port, destination, after_s }),
        2 => (weight(), any::<bool>()).prop_map(|(weight, revive)| Event::Add { weight, revive }),
        2 => (any::<usize>(), weight()).prop_map(|(nth, weight)| Event::Edit { nth, weight }),
        1 => any::<usize>().prop_map(|nth| Event::Delete { nth }),
        2 => (any::<usize>(), 0..9u32, 0..300u32, prop::bool::weighted(0.3))
            .prop_map(|(nth, active, inactive, overloaded)| Event::Load { nth, active, inactive, overloaded }),
    ];
    prop::collection::vec(event, 0..120)
}

/// One service under churn.
struct Service {
    list: Vec<Server>,
    trash: Vec<Server>,
    next_id: u32,
}

impl Service {
    /// Does to the list what `ipvsadm` would; true when it was a change of a destination.
    fn apply(&mut self, event: &Event) -> bool {
        let count = self.list.len().max(1);
        match *event {
            Event::Add { weight, revive } => self.add(weight, revive),
            Event::Edit { nth, weight } if !self.list.is_empty() => {
                let server = &mut self.list[nth % count];
                server.weight = weight;
                server.last_weight = if weight > 0 { weight } else { server.last_weight };
            }
            Event::Delete { nth } if !self.list.is_empty() => self.trash.push(self.list.remove(nth % count)),
            Event::Load { nth, active, inactive, overloaded } if !self.list.is_empty() => {
                let server = &mut self.list[nth % count];
                (server.active, server.inactive, server.overloaded) = (active, inactive, overloaded);
                return false;
            }
            _ => return false,
        }
        true
    }

    fn add(&mut self, weight: u32, revive: bool) {
        let fresh =
            Server { id: DestId(self.next_id), weight, last_weight: weight, active: 0, inactive: 0, overloaded: false };
        self.next_id += 1;
        let revived = if revive { self.trash.pop() } else { None };
        let server = revived.map_or(fresh, |old| Server { weight, last_weight: weight, ..old });
        self.list.insert(0, server);
    }

    fn candidates(&self) -> Vec<Candidate> {
        let to_candidate = |s: &Server| Candidate { last_weight: s.last_weight, ..candidate(s.id.0, s.weight) };
        self.list.iter().map(to_candidate).collect()
    }

    fn loads(&self) -> TestLoads {
        let all = self.list.iter().chain(&self.trash);
        TestLoads(all.map(|s| (s.id, (s.active, s.inactive, s.overloaded))).collect())
    }
}

/// Plays `events` to a scheduler and an oracle that begin with an empty service; they must agree on every pick.
pub fn replay<S: Scheduler, O: Oracle>(mut oracle: O, options: Options, events: &[Event]) -> TestCaseResult {
    let mut service = Service { list: Vec::new(), trash: Vec::new(), next_id: 0 };
    let mut bench = Bench::<S>::with(&[], options);
    oracle.start(&service.list);
    let mut now = Time(0);
    for (n, event) in events.iter().enumerate() {
        let old = service.list.clone();
        if service.apply(event) {
            bench.change(service.candidates());
            oracle.changed(&old, &service.list);
        }
        let Event::Pick { client, port, destination, after_s } = *event else { continue };
        now = Time(now.0 + Time::from_s(after_s.into()).0);
        let flow =
            Flow { client: Ipv4Addr::from(client).into(), client_port: port, now, ..flow_to(destination.into()) };
        bench.loads = service.loads();
        let picked = bench.pick_for(&flow).map(|i| bench.pool.candidates()[i].id);
        prop_assert_eq!(picked, oracle.pick(&service.list, &flow), "event {}: {:?}", n, service.list);
        if let Some(server) = service.list.iter_mut().find(|s| Some(s.id) == picked) {
            server.active += 1;
        }
    }
    Ok(())
}

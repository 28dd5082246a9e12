//! Several workers schedule as one director: their schedulers side by side in virtual time, each with its share of the
//! connections, against a single one that gets them all.

use pollux::dataplane::destinations::Destinations;
use pollux::dataplane::peers::Board;
use pollux::dataplane::service_change::ServiceChange;
use pollux::dataplane::services::Services;
use pollux::dataplane::snapshot::Service;
use pollux::model::{DestId, Destination, Forward, Protocol, ServiceId, ServiceKey, Time, WorkerId};
use pollux::sched::{Candidate, Flow, Options, Plan, Pool, SchedulerKind};
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

const SERVICE: ServiceId = ServiceId(0);
const CONNECTIONS: usize = 100_000;
/// Workers poll at least so often, and oftener where many connections come.
const POLL_NS: u64 = 250_000;
const BUSY_POLL_NS: u64 = 20_000;

struct Worker {
    destinations: Destinations,
    services: Services,
}

/// Workers in virtual time.
struct Director {
    workers: Vec<Worker>,
    now: Time,
    polled: Time,
    pool: Arc<Pool>,
    /// To whom connections come.
    random: Random,
}

/// What a destination is: weight, upper threshold.
type Server = (u32, u32);

impl Director {
    fn new(workers: usize) -> Self {
        let board = Board::new(workers);
        let worker = |number| {
            let (mut destinations, mut services) = (Destinations::new().unwrap(), Services::default());
            if workers > 1 {
                destinations.join(&board, WorkerId(number));
                services.join();
            }
            Worker { destinations, services }
        };
        let now = Time::from_s(1);
        Self {
            workers: (0..workers as u16).map(worker).collect(),
            now,
            polled: now,
            pool: Arc::default(),
            random: Random(1),
        }
    }

    fn with(workers: usize, scheduler: &str, servers: &[Server]) -> Self {
        let mut director = Self::new(workers);
        director.publish(scheduler, servers, false);
        director
    }

    /// Destination 0 stands first.
    fn publish(&mut self, scheduler: &str, servers: &[Server], strict: bool) {
        let ids = || (0..).map(DestId);
        let candidate = |(id, &(weight, _)): (DestId, &Server)| Candidate {
            id,
            weight,
            last_weight: weight,
            address: address(id),
            port: 80,
        };
        self.pool = Arc::new(self.pool.changed(ids().zip(servers).map(candidate).collect()));
        let scheduler = SchedulerKind::from_name(scheduler).unwrap();
        let service = Arc::new(Service {
            id: SERVICE,
            key: ServiceKey::Virtual { protocol: Protocol::Tcp, address: [192, 0, 2, 1].into(), port: 80 },
            scheduler,
            options: Options::default(),
            persistence: None,
            one_packet: false,
            strict,
            departures: Default::default(),
            pool: Arc::clone(&self.pool),
            plan: Arc::new(Plan::make(scheduler, &self.pool, Options::default()).unwrap()),
        });
        for worker in &mut self.workers {
            for (id, &(weight, threshold_upper)) in ids().zip(servers) {
                worker.destinations.set(id, Some(&destination(id, weight, threshold_upper)));
            }
            ServiceChange::at_once(SERVICE, Some(&service), &mut worker.services, &mut worker.destinations);
        }
    }

    /// Time passes; workers poll, one a little later than the other.
    fn until(&mut self, now: Time) {
        let interval = if now.0 - self.now.0 < 10_000 { BUSY_POLL_NS } else { POLL_NS };
        while self.polled.0 + interval <= now.0 {
            self.polled.0 += interval;
            for (worker, late) in self.workers.iter_mut().zip(0..) {
                worker.destinations.exchange(Time(self.polled.0 + late * 3_000));
            }
        }
        self.now = now;
    }

    fn connect_to(&mut self, worker: usize, destination: IpAddr) -> Option<DestId> {
        let Worker { destinations, services } = &mut self.workers[worker];
        let client = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));
        let flow = Flow { client, client_port: 1, destination, destination_port: 80, now: self.now };
        let dest = services.schedule(SERVICE, destinations, &flow)?;
        destinations.bind(dest, true);
        destinations.set_active(dest, true);
        Some(dest)
    }

    fn connect(&mut self, worker: usize) -> Option<DestId> {
        self.connect_to(worker, [192, 0, 2, 1].into())
    }

    fn end(&mut self, worker: usize, dest: DestId) {
        self.workers[worker].destinations.unbind(dest, false);
    }

    /// A destination's connections with all workers.
    fn count(&self, dest: DestId) -> u32 {
        self.workers.iter().map(|worker| worker.destinations.counters(dest).active.get()).sum()
    }

    fn counts(&self) -> Vec<u32> {
        self.pool.candidates().iter().map(|c| self.count(c.id)).collect()
    }
}

fn address(id: DestId) -> IpAddr {
    Ipv4Addr::from(0x0a00_0000 + id.0).into()
}

fn destination(id: DestId, weight: u32, threshold_upper: u32) -> Destination {
    Destination {
        id,
        service: SERVICE,
        address: address(id),
        port: 80,
        forward: Forward::Dr,
        weight,
        threshold_upper,
        threshold_lower: 0,
        departures: Default::default(),
        timeouts: Default::default(),
        available: true,
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// Of a hundred clients, those of each worker.
type Spread = &'static [u64];
const EVEN: Spread = &[25, 25, 25, 25];
const UNEVEN: Spread = &[85, 9, 5, 1];

fn worker_of(spread: Spread, random: &mut Random) -> usize {
    let mut draw = random.below(100);
    spread
        .iter()
        .position(|share| {
            let is_here = draw < *share;
            draw = draw.wrapping_sub(*share);
            is_here
        })
        .unwrap()
}

/// Connections at a steady rate, each of which ends when `life` others have come after it; the destinations that they
/// went to.
fn run(director: &mut Director, spread: Spread, rate: u64, count: usize, life: Option<u64>) -> Vec<DestId> {
    let mut ends: BinaryHeap<Reverse<(u64, usize, DestId)>> = BinaryHeap::new();
    let mut chosen = Vec::with_capacity(count);
    for number in 0..count as u64 {
        director.until(Time(director.now.0 + 1_000_000_000 / rate));
        while ends.peek().is_some_and(|Reverse((at, ..))| *at <= number) {
            let Reverse((_, worker, dest)) = ends.pop().unwrap();
            director.end(worker, dest);
        }
        let worker = if director.workers.len() == 1 { 0 } else { worker_of(spread, &mut director.random) };
        let dest = director.connect(worker).expect("somebody takes it");
        if let Some(life) = life {
            ends.push(Reverse((number + life, worker, dest)));
        }
        chosen.push(dest);
    }
    chosen
}

fn split(chosen: &[DestId], servers: usize) -> Vec<usize> {
    (0..servers as u32).map(|id| chosen.iter().filter(|dest| dest.0 == id).count()).collect()
}

const SERVERS: [Server; 10] = [(10, 0), (7, 0), (5, 0), (5, 0), (4, 0), (3, 0), (3, 0), (2, 0), (2, 0), (1, 0)];

/// From 1000 connections a second to five million.
const RATES: [u64; 3] = [1_000, 100_000, 5_000_000];

fn is_within_a_percent(scheduler: &str, servers: &[Server], spread: Spread, rate: u64, life: Option<u64>) {
    let splits = [1, 4].map(|workers| {
        let mut director = Director::with(workers, scheduler, servers);
        split(&run(&mut director, spread, rate, CONNECTIONS, life), servers.len())
    });
    let [exact, shared] = splits;
    let is_near = |(exact, shared): (&usize, &usize)| exact.abs_diff(*shared) * 100 <= *exact;
    assert!(
        exact.iter().zip(&shared).all(is_near),
        "{scheduler}, {rate}/s, {spread:?}, {life:?}:\n exact {exact:?}\n four  {shared:?}"
    );
}

#[test]
fn round_robin_is_split_within_a_percent() {
    for (rate, spread) in RATES.into_iter().flat_map(|rate| [(rate, EVEN), (rate, UNEVEN)]) {
        is_within_a_percent("rr", &SERVERS, spread, rate, None);
    }
}

#[test]
fn weighted_round_robin_is_split_within_a_percent() {
    for (rate, spread) in RATES.into_iter().flat_map(|rate| [(rate, EVEN), (rate, UNEVEN)]) {
        is_within_a_percent("wrr", &SERVERS, spread, rate, None);
    }
}

#[test]
fn weighted_least_connection_is_split_within_a_percent_of_connections_that_stay() {
    for (rate, spread) in RATES.into_iter().flat_map(|rate| [(rate, EVEN), (rate, UNEVEN)]) {
        is_within_a_percent("wlc", &SERVERS, spread, rate, None);
    }
}

#[test]
fn weighted_least_connection_is_split_within_a_percent_of_connections_that_come_and_go() {
    // they last for a fifth of a second at least: for much longer than it takes a worker to hear of them
    for (rate, spread) in RATES[..2].iter().flat_map(|&rate| [(rate, EVEN), (rate, UNEVEN)]) {
        is_within_a_percent("wlc", &SERVERS, spread, rate, Some(20_000));
    }
}

#[test]
fn where_few_connections_come_turns_are_taken_in_the_kernels_order() {
    for (scheduler, spread) in [("rr", EVEN), ("rr", UNEVEN), ("wrr", EVEN), ("wrr", UNEVEN)] {
        let orders = [1, 4].map(|workers| {
            let mut director = Director::with(workers, scheduler, &SERVERS);
            let mut order = run(&mut director, spread, 500, 500, None);
            // a server in the middle is quiesced, others are added
            let mut servers = SERVERS.to_vec();
            servers[3].0 = 0;
            servers.extend([(8, 0), (1, 0)]);
            director.publish(scheduler, &servers, false);
            order.extend(run(&mut director, spread, 500, 500, None));
            director.publish(scheduler, &SERVERS[..5], false);
            order.extend(run(&mut director, spread, 500, 500, None));
            order
        });
        assert!(orders[0] == orders[1], "{scheduler}, {spread:?}");
    }
}

#[test]
fn a_new_server_is_filled_and_not_flooded() {
    for (spread, rate) in [(EVEN, 1_000_000), (UNEVEN, 1_000_000), (EVEN, 50_000), (UNEVEN, 50_000)] {
        let mut director = Director::with(4, "wlc", &[(1, 0); 4]);
        run(&mut director, spread, rate, 20_000, None);
        director.publish("wlc", &[(1, 0); 5], false);
        let (mut above, mut filled) = (0, None);
        for number in 1..=20_000_u32 {
            run(&mut director, spread, rate, 1, None);
            let (new, others) = (director.count(DestId(4)), (0..4).map(|id| director.count(DestId(id))));
            let least = others.min().expect("four");
            above = above.max(new.saturating_sub(least));
            if new >= least {
                filled.get_or_insert(number);
            }
        }
        println!(
            "{rate}/s, {spread:?}: at most {above} above the others, filled after {filled:?}, {:?}",
            director.counts()
        );
        assert!(above <= 50, "{spread:?}, {rate}/s: {above} above the others");
        assert!(
            filled.is_some_and(|number| number < 15_000),
            "{spread:?}, {rate}/s: {filled:?}, {:?}",
            director.counts()
        );
    }
}

#[test]
fn all_workers_together_keep_to_a_threshold() {
    for (scheduler, spread) in [("rr", EVEN), ("rr", UNEVEN), ("wlc", EVEN), ("wlc", UNEVEN)] {
        for rate in [10_000, 1_000_000, 5_000_000] {
            let mut director = Director::with(4, scheduler, &[(1, 1000), (3, 2000), (2, 500)]);
            let mut random = Random(3);
            let mut refused = 0;
            while refused < 100_000 && director.counts().iter().sum::<u32>() < 3500 {
                director.until(Time(director.now.0 + 1_000_000_000 / rate));
                refused += u32::from(director.connect(worker_of(spread, &mut random)).is_none());
            }
            let counts = director.counts();
            println!("{scheduler}, {rate}/s, {spread:?}: {counts:?}, {refused} refused");
            assert!(counts.iter().zip([1000, 2000, 500]).all(|(count, upper)| *count <= upper + 3), "{counts:?}");
            assert!(counts.iter().zip([1000, 2000, 500]).all(|(count, upper)| count + 6 >= upper), "{counts:?}");
        }
    }
}

#[test]
fn a_strict_service_of_one_of_the_workers_is_scheduled_as_if_there_were_no_others() {
    let servers = [(3, 40), (2, 0), (0, 0), (4, 100), (1, 0)];
    for scheduler in ["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sed", "nq", "fo", "ovf", "sh", "dh", "mh"] {
        let orders = [1, 4].map(|workers| {
            let mut director = Director::new(workers);
            director.publish(scheduler, &servers, true);
            let mut random = Random(4);
            let mut order = vec![];
            let mut open = vec![];
            for _ in 0..5_000 {
                director.until(Time(director.now.0 + 1_000));
                let to = Ipv4Addr::new(192, 0, 2, random.below(9) as u8);
                let dest = director.connect_to(workers - 1, to.into());
                order.push(dest);
                open.extend(dest);
                if random.below(3) == 0 && !open.is_empty() {
                    let ends = open.swap_remove(random.below(open.len() as u64) as usize);
                    director.end(workers - 1, ends);
                }
            }
            order
        });
        assert!(orders[0] == orders[1], "{scheduler}");
    }
}

/// How many servers each of 200 addresses' connections go to, when they come to workers at random.
fn servers_an_address(workers: usize, scheduler: &str, weight: u32, connections: usize) -> Vec<usize> {
    let mut director = Director::with(workers, scheduler, &[(weight, 0); 10]);
    let mut random = Random(5);
    let mut went = vec![BTreeSet::new(); 200];
    for number in 0..connections {
        director.until(Time(director.now.0 + 10_000));
        if number == connections / 2 {
            // the map is another one, and workers go on by what they remember
            director.publish(scheduler, &[(weight, 0); 11], false);
        }
        let (to, worker) = (random.below(200) as u8, random.below(4) as usize % workers);
        let dest = director.connect_to(worker, Ipv4Addr::new(203, 0, 113, to).into()).unwrap();
        went[usize::from(to)].insert(dest);
    }
    went.iter().map(BTreeSet::len).collect()
}

#[test]
fn a_cache_sees_all_requests_for_an_address_whichever_worker_they_come_to() {
    for scheduler in ["lblc", "lblcr"] {
        assert_eq!(servers_an_address(4, scheduler, 10_000, 20_000), [1; 200], "{scheduler}");
    }
}

#[test]
fn workers_that_replicate_an_address_share_its_set() {
    // servers have more connections than their weight, while a new one is idle
    let sum = |workers| servers_an_address(workers, "lblcr", 200, 8_000).iter().sum::<usize>();
    let (exact, shared) = (sum(1), sum(4));
    assert!(exact > 250 && shared.abs_diff(exact) * 10 <= exact, "{exact} members of sets, {shared} with four workers");
}

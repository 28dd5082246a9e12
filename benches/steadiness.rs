//! How long a worker's polls take at worst: bursts of established connections all the time, while a million others expire,
//! while ten thousand services are swapped in, while a service of ten thousand destinations changes. Without DPDK or root:
//! `cargo bench --no-default-features --bench steadiness`.
//!
//! What a machine does to a program by chance (interrupts, other programs, a hypervisor) takes longer than any poll should. So
//! every scenario is played several times, exactly alike, and of each of its polls the shortest time counts: what the
//! poll itself does, such as a table that grows or a page that is touched for the first time, happens every time.

mod support;

use pollux::control::config::Config;
use pollux::control::state::State;
use pollux::dataplane::mailbox::{Desk, Mailbox, Reply, Request, mailbox};
use pollux::dataplane::pick_up::Delivery;
use pollux::model::limits::BURST;
use pollux::model::{Tick, Time};
use std::sync::Arc;
use std::time::Instant;
use support::bench::Bench;
use support::packets::{ACK, SYN};
use support::setup::Setup;

const REPEATS: usize = 5;
/// Established connections, and those that come once and expire.
const FLOWS: u32 = 1_000_000;
const EXPIRING: u32 = 1_000_000;
/// Full bursts at 6.4 million packets a second.
const BETWEEN_POLLS_NS: u64 = 10_000;

/// A worker in the middle of its work.
struct Play {
    bench: Bench,
    state: State,
    mailbox: Mailbox,
    desk: Desk,
    /// Nanoseconds of each poll.
    polls: Vec<u64>,
}

impl Play {
    fn new() -> Self {
        let setup = Setup { capacity: FLOWS + EXPIRING + 1000, ..Setup::default() };
        let state = setup.state();
        let mut bench = Bench::over(setup, &state);
        let mut areas = bench.director.areas();
        assert!(areas.prepare(state.snapshot(), |_| true).is_empty());
        for flags in [SYN, ACK] {
            (0..FLOWS)
                .step_by(BURST)
                .for_each(|first| bench.play((first..first + BURST as u32).map(|flow| (flow, flags))));
        }
        let (mailbox, desk) = mailbox();
        Self { bench, state, mailbox, desk, polls: vec![] }
    }

    /// One poll with these frames.
    fn poll(&mut self, mut frames: support::bench::Frames) {
        self.bench.advance(BETWEEN_POLLS_NS);
        let began = Instant::now();
        self.bench.process(&mut frames);
        self.desk.serve(&mut self.bench.director);
        self.polls.push(began.elapsed().as_nanos() as u64);
    }

    fn poll_established(&mut self) {
        let frames = self.bench.random_frames(BURST, FLOWS);
        self.poll(frames);
    }

    /// The file says this now: how long until the worker goes by it, in polls.
    fn reload(&mut self, more: &str) {
        let (state, now, mut areas) = (&mut self.state, self.bench.now, self.bench.director.areas());
        let delivery = on_the_control_thread(move || {
            let before = state.snapshot().clone();
            let config = Config::parse(&(Setup::default().text() + more), "bench.toml").expect("a valid configuration");
            state.apply_config(config, now).expect("a valid change");
            assert!(areas.prepare(state.snapshot(), |_| true).is_empty());
            Delivery::prepared(Arc::new(state.snapshot().clone()), &before)
        });
        assert!(self.mailbox.ask(Request::Snapshot(delivery)).is_ok());
        let left = loop {
            self.poll_established();
            if let Some(Reply::PickedUp(left)) = self.mailbox.answer() {
                break left;
            }
        };
        on_the_control_thread(|| drop(left));
    }
}

/// A thread of its own, as in the director: what it leaves in malloc's lists is nothing that the worker has to do with.
fn on_the_control_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(work).join().expect("no panic"))
}

fn nothing_else(play: &mut Play) {
    (0..20_000).for_each(|_| play.poll_established());
}

/// Those who come within a fifth of a second go within a fifth of a second.
fn a_million_expire(play: &mut Play) {
    for first in (FLOWS..FLOWS + EXPIRING).step_by(BURST) {
        let frames = play.bench.frames((first..first + BURST as u32).map(|flow| (flow, SYN)));
        play.poll(frames);
    }
    play.polls.clear();
    let (before, syn_recv_s) = (play.bench.director.connections().len(), 60);
    while play.bench.director.connections().len() == before {
        // a worker looks at its timers at least as often
        play.bench.advance(Tick::NS);
        play.bench.process(&mut support::bench::Frames::new());
        assert!(play.bench.now < Time::from_s(2 * syn_recv_s), "they expire");
    }
    while play.bench.director.connections().len() > FLOWS {
        play.poll_established();
    }
}

fn services(generation: u32) -> String {
    let service = |n: u32| {
        let servers = (0..10).map(|i| {
            format!(
                "[[service.destination]]\naddress = \"10.{}.{}.{}\"\n",
                2 + 4 * generation + n / 2500,
                n / 10 % 250,
                n % 10 * 10 + i
            )
        });
        format!(
            "[[service]]\nprotocol = \"tcp\"\naddress = \"198.{}.{}.{}:80\"\n",
            18 + generation,
            n / 250,
            n % 250 + 1
        ) + &servers.collect::<String>()
    };
    (0..10_000).map(service).collect()
}

fn ten_thousand_services_come(play: &mut Play) {
    play.reload(&services(0));
}

fn ten_thousand_services_are_swapped(play: &mut Play) {
    play.reload(&services(0));
    play.polls.clear();
    play.reload(&services(1));
}

fn pool(scheduler: &str, destinations: std::ops::Range<u32>, weight: u32) -> String {
    let server =
        |n| format!("[[service.destination]]\naddress = \"10.2.{}.{}\"\nweight = {weight}\n", n / 250, n % 250);
    format!("[[service]]\nprotocol = \"tcp\"\naddress = \"198.18.0.1:80\"\nscheduler = \"{scheduler}\"\n")
        + &destinations.map(server).collect::<String>()
}

fn a_pool_of_ten_thousand_changes(play: &mut Play) {
    for scheduler in ["wlc", "rr", "wrr", "lblcr", "twos"] {
        play.reload(&pool(scheduler, 0..10_000, 1));
        play.reload(&pool(scheduler, 0..10_001, 1));
        play.reload(&pool(scheduler, 1..10_001, 1));
        play.reload(&pool(scheduler, 1..10_001, 2));
    }
    play.reload("");
}

/// What is played.
type Scenario = fn(&mut Play);

fn main() {
    let scenarios: [(&str, Scenario); 5] = [
        ("established alone", nothing_else),
        ("a million expire", a_million_expire),
        ("10 000 services come", ten_thousand_services_come),
        ("10 000 services swapped", ten_thousand_services_are_swapped),
        ("10 000 destinations change", a_pool_of_ten_thousand_changes),
    ];
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    println!("{:<28}{:>9}{:>9}{:>9}{:>9}{:>9}  us", "", "polls", "p50", "p99", "p99.99", "max");
    for (name, scenario) in scenarios {
        if wanted.is_empty() || wanted.iter().any(|word| name.contains(word)) {
            report(name, &shortest(scenario));
        }
    }
}

/// Of each poll.
fn shortest(scenario: Scenario) -> Vec<u64> {
    let mut shortest: Vec<u64> = vec![];
    for _ in 0..REPEATS {
        let mut play = Play::new();
        scenario(&mut play);
        if shortest.is_empty() {
            shortest = play.polls;
            continue;
        }
        assert_eq!(shortest.len(), play.polls.len(), "the same every time");
        shortest.iter_mut().zip(play.polls).for_each(|(least, ns)| *least = ns.min(*least));
    }
    shortest
}

fn report(name: &str, polls: &[u64]) {
    let mut sorted = polls.to_vec();
    sorted.sort_unstable();
    let quantile = |per_10_000: usize| sorted[(sorted.len() * per_10_000).div_ceil(10_000).max(1) - 1] as f64 / 1000.0;
    let [p50, p99, p9999, max] = [5000, 9900, 9999, 10_000].map(quantile);
    println!("{name:<28}{:>9}{p50:>9.1}{p99:>9.1}{p9999:>9.1}{max:>9.1}", sorted.len());
    let slow: Vec<_> = polls.iter().enumerate().filter(|(_, ns)| **ns > 20_000).take(10).collect();
    if !slow.is_empty() {
        println!("  beyond 20 us, with their times in ns: {slow:?}");
    }
}

//! The stages of a packet's life, one by one, and what is done between bursts: parsing, looking a connection up, timers,
//! the pick-up of a snapshot.

mod support;

use arrayvec::ArrayVec;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pollux::control::state::{DestinationEdit, State};
use pollux::dataplane::frame::Frame;
use pollux::model::limits::BURST;
use pollux::model::{Protocol, ServiceKey};
use pollux::tables::connections::Connections;
use pollux::wire::address::{Address, Ip4, Ip6};
use pollux::wire::parse::{Parsed, parse_into};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;
use support::bench::{BETWEEN_BURSTS_NS, Bench, Frames};
use support::lookup;
use support::setup::{Setup, Version};
use support::timing::{self, bursts, case, timed};

fn parse(c: &mut Criterion) {
    let mut group = bursts(c, "parse");
    for (version, name) in [(Version::V4, "v4"), (Version::V6, "v6")] {
        let mut bench = Bench::new(Setup { version, ..Setup::default() });
        let frames = bench.random_frames(BURST, 4096);
        let mut parsed = [Parsed::default(); BURST];
        group.bench_function(name, |bencher| bencher.iter(|| parse_all(&frames, black_box(&mut parsed))));
    }
    group.finish();
}

fn parse_all(frames: &Frames, parsed: &mut [Parsed; BURST]) {
    for (frame, parsed) in frames.iter().zip(parsed) {
        parse_into(frame.head(), frame.len(), parsed).expect("a good packet");
    }
}

fn look_up(c: &mut Criterion) {
    let mut group = bursts(c, "look-up");
    for flows in [4096, 1_000_000, 10_000_000].into_iter().filter(|flows| timing::is_asked_for(*flows)) {
        let make = || (lookup::table::<Ip4>(flows), 1);
        case(&mut group, format!("hit/{flows}"), make, |(table, random)| find(table, random, 0, flows));
        case(&mut group, format!("miss/{flows}"), make, |(table, random)| find(table, random, flows, flows));
    }
    let make = || (lookup::table::<Ip6>(1_000_000), 1);
    case(&mut group, "hit v6/1000000".to_owned(), make, |(table, random)| find(table, random, 0, 1_000_000));
    group.finish();
}

/// A burst of clients from `first` on, picked at random.
fn find<A: Address>(table: &Connections<A>, random: &mut u64, first: u32, flows: u32) -> Duration {
    let mut pick = || {
        *random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        first + (((*random >> 32) * u64::from(flows)) >> 32) as u32
    };
    let keys: ArrayVec<_, BURST> = (0..BURST).map(|_| lookup::key(pick())).collect();
    timed(|| lookup::find_all(table, &keys))
}

/// Polls without packets: with nothing to do, and with as many connections to end as a poll may look at.
fn timers(c: &mut Criterion) {
    const FLOWS: u32 = 65_536;
    let mut group = c.benchmark_group("timers");
    let make = || Bench::with_flows(Setup::default(), FLOWS);
    case(&mut group, "idle poll".to_owned(), make, |bench| poll(bench, BETWEEN_BURSTS_NS));
    case(&mut group, "a tick a poll".to_owned(), make, |bench| {
        // else they would all be gone some day
        let frames = bench.random_frames(BURST, FLOWS);
        timing::process(bench, frames, 0);
        poll(bench, 10_000_000)
    });
    let make_due = || {
        let mut bench = make();
        bench.advance(3600 * 1_000_000_000);
        bench
    };
    case(&mut group, "a full poll of expiry".to_owned(), make_due, |bench| {
        if bench.director.connections().len() < FLOWS / 2 {
            *bench = make_due();
        }
        poll(bench, BETWEEN_BURSTS_NS)
    });
    group.finish();
}

fn poll(bench: &mut Bench, ns: u64) -> Duration {
    timing::process(bench, ArrayVec::new(), ns)
}

/// A destination's weight changes among so many services: what the control thread does, and what the worker.
fn snapshots(c: &mut Criterion) {
    let mut group = c.benchmark_group("snapshot");
    group.throughput(Throughput::Elements(1));
    for services in [1, 1000, 10_000] {
        let setup = Setup { services, ..Setup::default() };
        let make = || {
            let state = setup.state();
            (Bench::over(setup, &state), state, 1)
        };
        case(&mut group, format!("weight edited, control thread/{services}"), make, |(bench, state, weight)| {
            let time = timed(|| edit(state, weight));
            bench.director.pick_up_at_once(Arc::new(state.snapshot().clone()));
            time
        });
        case(&mut group, format!("weight edited, worker/{services}"), make, |(bench, state, weight)| {
            edit(state, weight);
            let snapshot = Arc::new(state.snapshot().clone());
            timed(|| bench.director.pick_up_at_once(snapshot))
        });
    }
    group.finish();
}

fn edit(state: &mut State, weight: &mut u32) {
    *weight = *weight % 100 + 1;
    let key = ServiceKey::Virtual { protocol: Protocol::Tcp, address: [192, 0, 2, 1].into(), port: 80 };
    let edit = DestinationEdit { weight: Some(*weight), ..DestinationEdit::default() };
    state.edit_destination(&key, ([10, 1, 0, 1], 80).into(), &edit).expect("the destination is there");
}

criterion_group! { name = benches; config = timing::criterion(); targets = parse, look_up, timers, snapshots }
criterion_main!(benches);

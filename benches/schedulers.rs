//! Connections that come while as many go, all of one service: what a scheduler's decision costs, and keeping count for
//! the next one, by number of destinations.

mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use pollux::model::limits::BURST;
use pollux::sched::{REGISTRY, SchedulerKind};
use std::time::Duration;
use support::bench::Bench;
use support::packets::SYN;
use support::setup::Setup;
use support::timing::{self, bursts, case};

/// Connections at a time.
const LIVE: u32 = 1 << 16;
/// They end 60 s after their only packet.
const BETWEEN_BURSTS_NS: u64 = 60_000_000_000 / (LIVE / BURST as u32) as u64;

fn scheduled(c: &mut Criterion) {
    let mut group = bursts(c, "scheduled");
    // the largest pool that mh takes is 4093
    let fits = |kind, destinations| kind != SchedulerKind::Mh || destinations < 4093;
    let cases = REGISTRY.iter().flat_map(|entry| [10, 1000, 10_000].map(|destinations| (entry, destinations)));
    for (entry, destinations) in cases.filter(|(entry, destinations)| fits(entry.kind, *destinations)) {
        let name = format!("{}/{destinations}", entry.name);
        let make = || steady(Setup { scheduler: entry.name, destinations, capacity: 4 * LIVE, ..Setup::default() });
        case(&mut group, name, make, |(bench, next)| come_and_go(bench, next));
    }
    group.finish();
}

/// A director whose connections end as fast as they come.
fn steady(setup: Setup<'_>) -> (Bench, u32) {
    let (mut bench, mut next) = (Bench::new(setup), 0);
    for _ in 0..2 * LIVE / BURST as u32 {
        come_and_go(&mut bench, &mut next);
    }
    (bench, next)
}

fn come_and_go(bench: &mut Bench, next: &mut u32) -> Duration {
    let first = *next;
    *next = first.wrapping_add(BURST as u32);
    let client = |i: u32| first.wrapping_add(i).wrapping_mul(0x9e37_79b1) >> 5;
    let frames = bench.frames((0..BURST as u32).map(|i| (client(i), SYN)));
    timing::process(bench, frames, BETWEEN_BURSTS_NS)
}

criterion_group! { name = benches; config = timing::criterion(); targets = scheduled }
criterion_main!(benches);

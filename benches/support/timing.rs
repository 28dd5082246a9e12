//! How criterion's benches take times: that of the thread, as the machine may have other work, and only of what matters.

use super::bench::{BETWEEN_BURSTS_NS, Bench, Frames};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput};
use pollux::model::limits::BURST;
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Short: there are many cases, and medians are what is looked at.
pub fn criterion() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .nresamples(2000)
        .without_plots()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(700))
}

/// A group whose iterations are bursts, and whose throughput is packets a second.
pub fn bursts<'a>(c: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Elements(BURST as u64));
    group
}

/// One case. What it works on is made when it is run, not when it is filtered out; `one` says how long an iteration
/// took.
pub fn case<T>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: String,
    make: impl Fn() -> T,
    mut one: impl FnMut(&mut T) -> Duration,
) {
    let mut made = None;
    group.bench_function(name, |bencher| {
        let made = made.get_or_insert_with(&make);
        bencher.iter_custom(|iterations| (0..iterations).map(|_| one(made)).sum());
    });
}

/// A burst of established connections' packets, picked at random among `flows`.
pub fn established(bench: &mut Bench, flows: u32) -> Duration {
    let frames = bench.random_frames(BURST, flows);
    process(bench, frames, BETWEEN_BURSTS_NS)
}

/// The director's work on a burst that comes `ns` after the one before.
pub fn process(bench: &mut Bench, mut frames: Frames, ns: u64) -> Duration {
    bench.advance(ns);
    timed(|| bench.process(&mut frames))
}

pub fn timed<R>(work: impl FnOnce() -> R) -> Duration {
    let start = cpu_time();
    std::hint::black_box(work());
    cpu_time() - start
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Cases that take a gigabyte and most of a minute to set up are run when they are named:
/// `cargo bench --no-default-features -- 10000000`.
pub fn is_asked_for(flows: u32) -> bool {
    flows < 10_000_000 || std::env::args().any(|argument| argument.contains(&flows.to_string()))
}

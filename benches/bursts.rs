//! Nanoseconds a packet of an established connection, frames in memory: quartiles of very many bursts, each timed for
//! itself. On a machine with neighbours the first quartile holds still when means do not, so two versions are compared by
//! it, in turn. The stages are as far ahead of each other as they turn out best, which is printed too.
//!
//! `cargo bench --no-default-features --bench bursts [-- METHOD CONNECTIONS ...]`

mod support;

use pollux::dataplane::lead::{DEFAULT, Lead};
use pollux::model::limits::BURST;
use std::time::Instant;
use support::bench::{BETWEEN_BURSTS_NS, Bench};
use support::setup::Setup;

const BURSTS: usize = 100_000;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let (method, flows) = words.split_first().map_or((None, &[][..]), |(method, flows)| (Some(method.as_str()), flows));
    let flows: Vec<u32> = flows.iter().filter_map(|flows| flows.parse().ok()).collect();
    let flows = if flows.is_empty() { vec![4096, 1_000_000] } else { flows };
    println!("{:<8}{:>12}{:>8}{:>8}{:>8}{:>8}  ns a packet", "method", "connections", "ahead", "25 %", "50 %", "75 %");
    for method in ["dr", "tun", "nat"].into_iter().filter(|one| method.is_none_or(|method| method == *one)) {
        for flows in &flows {
            let (mut times, ahead) = times(method, *flows);
            times.sort_unstable();
            let [low, middle, high] = [1, 2, 3].map(|quarter| times[BURSTS * quarter / 4] as f64 / BURST as f64);
            println!("{method:<8}{flows:>12}{ahead:>8}{low:>8.1}{middle:>8.1}{high:>8.1}");
        }
    }
}

/// Nanoseconds of each burst, and how many packets the stages were ahead in the end.
fn times(method: &'static str, flows: u32) -> (Vec<u64>, usize) {
    let mut bench = Bench::with_flows(Setup { method, ..Setup::default() }, flows);
    let (mut lead, mut ahead) = (Lead::default(), DEFAULT);
    let mut one = || {
        let mut frames = bench.random_frames(BURST, flows);
        bench.advance(BETWEEN_BURSTS_NS);
        let start = Instant::now();
        bench.process(&mut frames);
        let ns = start.elapsed().as_nanos() as u64;
        if let Some(packets) = lead.polled(ns, BURST) {
            ahead = packets;
            bench.director.ask_ahead(packets);
        }
        ns
    };
    let times = std::iter::repeat_with(&mut one).take(BURSTS).collect();
    (times, ahead)
}

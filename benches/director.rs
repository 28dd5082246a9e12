//! A director's own work a packet: bursts of established connections, by method, family and number of connections, of
//! servers' answers, and of new connections.

mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use pollux::model::limits::BURST;
use support::bench::{BETWEEN_BURSTS_NS, Bench};
use support::packets::SYN;
use support::setup::{Setup, Version};
use support::timing::{self, bursts, case};

fn established(c: &mut Criterion) {
    let mut group = bursts(c, "established");
    let methods = ["dr", "nat", "tun"];
    let cases = [1, 4096, 1_000_000, 10_000_000].into_iter().flat_map(|flows| methods.map(|method| (method, flows)));
    for (method, flows) in cases.filter(|(_, flows)| timing::is_asked_for(*flows)) {
        let make = || Bench::with_flows(Setup { method, ..Setup::default() }, flows);
        case(&mut group, format!("{method}/{flows}"), make, |bench| timing::established(bench, flows));
    }
    for method in methods {
        let setup = Setup { version: Version::V6, method, ..Setup::default() };
        let make = || Bench::with_flows(setup, 4096);
        case(&mut group, format!("{method} v6/4096"), make, |bench| timing::established(bench, 4096));
    }
    group.finish();
}

fn replies(c: &mut Criterion) {
    let mut group = bursts(c, "replies");
    for flows in [4096, 1_000_000] {
        let make = || Bench::with_flows(Setup { method: "nat", ..Setup::default() }, flows);
        case(&mut group, format!("nat/{flows}"), make, |bench| {
            timing::established(bench, flows);
            let replies = bench.replies(BURST);
            timing::process(bench, replies, BETWEEN_BURSTS_NS)
        });
    }
    group.finish();
}

/// None ends: that is `schedulers.rs`.
fn new_connections(c: &mut Criterion) {
    let mut group = bursts(c, "new");
    for method in ["dr", "nat"] {
        let make = || Bench::with_flows(Setup { method, ..Setup::default() }, 500_000);
        // beyond the flows the table begins with
        let mut clients = 1_u32 << 24..;
        case(&mut group, method.to_owned(), make, |bench| {
            if bench.director.connections().len() + BURST as u32 > 1_000_000 {
                *bench = make();
            }
            let frames = bench.frames(clients.by_ref().take(BURST).map(|client| (client, SYN)));
            timing::process(bench, frames, BETWEEN_BURSTS_NS)
        });
    }
    group.finish();
}

criterion_group! { name = benches; config = timing::criterion(); targets = established, replies, new_connections }
criterion_main!(benches);

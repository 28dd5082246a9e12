//! What an established packet costs must not depend on how much else there is: services, destinations, neighbours.

mod support;

use criterion::{Criterion, criterion_group, criterion_main};
use support::bench::Bench;
use support::setup::Setup;
use support::timing::{self, bursts, case};

const FLOWS: u32 = 4096;

fn growth(c: &mut Criterion) {
    let mut group = bursts(c, "growth");
    let services =
        [1, 1000, 100_000].map(|services| (format!("services/{services}"), Setup { services, ..Setup::default() }));
    let destinations = [10, 10_000]
        .map(|destinations| (format!("destinations/{destinations}"), Setup { destinations, ..Setup::default() }));
    let neighbours =
        [10, 30_000].map(|neighbours| (format!("neighbours/{neighbours}"), Setup { neighbours, ..Setup::default() }));
    for (name, setup) in services.into_iter().chain(destinations).chain(neighbours) {
        case(&mut group, name, || Bench::with_flows(setup, FLOWS), |bench| timing::established(bench, FLOWS));
    }
    group.finish();
}

criterion_group! { name = benches; config = timing::criterion(); targets = growth }
criterion_main!(benches);

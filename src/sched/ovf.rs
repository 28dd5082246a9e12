//! Weighted overflow (`ip_vs_ovf.c`): the greatest weight, until it has more active connections than its weight; so weight
//! + 1 of them, then the next greatest.

use super::load;
use super::{Flow, Loads, Options, PlanError, Pool, Scheduler};

/// Decides by the moment alone and remembers nothing.
#[derive(Debug)]
pub struct Ovf;

impl Scheduler for Ovf {
    const NAME: &'static str = "ovf";
    type Plan = ();

    fn plan(_: &Pool, _: Options) -> Result<(), PlanError> {
        Ok(())
    }

    fn new(_: &Pool, _: &()) -> Self {
        Self
    }

    fn update(&mut self, _: &Pool, _: &Pool, _: &()) {}

    #[inline]
    fn schedule<L: Loads>(&mut self, pool: &Pool, _: &(), loads: &L, _: &Flow) -> Option<usize> {
        load::heaviest(pool, loads, |c| loads.active(c.id) <= c.weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sched::Candidate;
    use crate::sched::testing::*;
    use proptest::prelude::*;

    #[test]
    fn a_destination_takes_one_more_than_its_weight_then_the_next_does() {
        let mut bench = Bench::<Ovf>::new(&[2, 5, 3]);
        let mut counts = [0; 3];
        while let Some(pick) = bench.pick() {
            bench.loads.add_active(pick as u32);
            counts[pick] += 1;
        }
        assert_eq!(counts, [3, 6, 4]);
    }

    proptest! {
        #[test]
        fn every_decision_is_the_naive_oracles(scene in scenes()) {
            let fits = |c: &Candidate| scene.loads.active(c.id) <= c.weight;
            prop_assert_eq!(scene.pick::<Ovf>(), naive_heaviest(&scene.pool, &scene.loads, fits));
        }
    }
}

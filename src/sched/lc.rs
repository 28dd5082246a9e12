//! Least-connection (`ip_vs_lc.c`): the smallest overhead; weights matter only as zero or not.

use super::load::{self, Share, overhead};
use super::{Flow, Loads, Options, PlanError, Pool, Scheduler};

/// Decides by the moment alone and remembers nothing.
#[derive(Debug)]
pub struct Lc;

impl Scheduler for Lc {
    const NAME: &'static str = "lc";
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
        load::least(pool, loads, |c| Share { load: overhead(loads, c.id), weight: 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sched::Candidate;
    use crate::sched::testing::*;
    use proptest::prelude::*;

    #[test]
    fn weights_matter_only_as_zero_or_not() {
        let mut bench = Bench::<Lc>::new(&[9, 1, 0]);
        bench.loads.set(0, 2, 0);
        bench.loads.set(1, 1, 255);
        assert_eq!(bench.pick(), Some(1));
        bench.loads.set(1, 2, 1);
        assert_eq!(bench.pick(), Some(0));
    }

    proptest! {
        #[test]
        fn every_decision_is_the_naive_oracles(scene in scenes()) {
            // lc is wlc among equal weights
            let flat = scene.pool.candidates().iter().map(|c| Candidate { weight: c.weight.min(1), ..*c }).collect();
            prop_assert_eq!(scene.pick::<Lc>(), naive_least(&Pool::new(flat), &scene.loads, naive_overhead));
        }
    }
}

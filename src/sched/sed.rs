//! Shortest expected delay (`ip_vs_sed.c`): the smallest (active + 1) / weight.

use super::load;
use super::{Flow, Loads, Options, PlanError, Pool, Scheduler};

/// Decides by the moment alone and remembers nothing.
#[derive(Debug)]
pub struct Sed;

impl Scheduler for Sed {
    const NAME: &'static str = "sed";
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
        load::least_delay(pool, loads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sched::testing::*;
    use proptest::prelude::*;

    #[test]
    fn inactive_connections_are_not_looked_at() {
        let mut bench = Bench::<Sed>::new(&[1, 2]);
        assert_eq!(bench.pick(), Some(1));
        bench.loads.set(1, 0, 1000);
        assert_eq!(bench.pick(), Some(1));
        bench.loads.set(1, 1, 0);
        assert_eq!(bench.pick(), Some(0));
    }

    proptest! {
        #[test]
        fn every_decision_is_the_naive_oracles(scene in scenes()) {
            prop_assert_eq!(scene.pick::<Sed>(), naive_least(&scene.pool, &scene.loads, |a, _| a + 1));
        }
    }
}

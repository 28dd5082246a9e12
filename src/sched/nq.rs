//! Never queue (`ip_vs_nq.c`): the first idle destination in list order, whatever its weight; when nobody is idle, the
//! shortest expected delay.

use super::{Candidate, load};
use super::{Flow, Loads, Options, PlanError, Pool, Scheduler};

/// Decides by the moment alone and remembers nothing.
#[derive(Debug)]
pub struct Nq;

impl Scheduler for Nq {
    const NAME: &'static str = "nq";
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
        let idle = |c: &Candidate| c.is_usable(loads) && loads.active(c.id) == 0;
        pool.candidates().iter().position(idle).or_else(|| load::least_delay(pool, loads))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sched::testing::*;
    use proptest::prelude::*;

    #[test]
    fn an_idle_destination_goes_before_a_quicker_one() {
        let mut bench = Bench::<Nq>::new(&[100, 1]);
        bench.loads.set(0, 1, 0);
        assert_eq!(bench.pick(), Some(1));
        bench.loads.set(1, 1, 0);
        assert_eq!(bench.pick(), Some(0));
    }

    proptest! {
        #[test]
        fn every_decision_is_the_naive_oracles(scene in scenes()) {
            let mut expected = naive_least(&scene.pool, &scene.loads, |a, _| a + 1);
            for (i, c) in scene.pool.candidates().iter().enumerate().rev() {
                if naive_usable(c, &scene.loads) && scene.loads.active(c.id) == 0 {
                    expected = Some(i);
                }
            }
            prop_assert_eq!(scene.pick::<Nq>(), expected);
        }
    }
}

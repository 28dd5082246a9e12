//! Weighted fail-over (`ip_vs_fo.c`): everything to the usable destination with the greatest weight.

use super::load;
use super::{Flow, Loads, Options, PlanError, Pool, Scheduler};

/// Decides by the moment alone and remembers nothing.
#[derive(Debug)]
pub struct Fo;

impl Scheduler for Fo {
    const NAME: &'static str = "fo";
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
        load::heaviest(pool, loads, |_| true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sched::testing::*;
    use proptest::prelude::*;

    #[test]
    fn the_greatest_weight_takes_all_and_the_first_of_equals() {
        let mut bench = Bench::<Fo>::new(&[10, 30, 30, 20]);
        assert_eq!([bench.pick(), bench.pick()], [Some(1), Some(1)]);
        bench.loads.overload(1);
        assert_eq!(bench.pick(), Some(2));
        bench.loads.overload(2);
        assert_eq!(bench.pick(), Some(3));
    }

    proptest! {
        #[test]
        fn every_decision_is_the_naive_oracles(scene in scenes()) {
            prop_assert_eq!(scene.pick::<Fo>(), naive_heaviest(&scene.pool, &scene.loads, |_| true));
        }
    }
}

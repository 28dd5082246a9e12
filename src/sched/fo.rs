//! Weighted fail-over (`ip_vs_fo.c`): everything to the usable destination with the greatest weight.

use super::least::Rule;
use super::load::{Load, Share};
use super::ranking::{Measure, Weight};

/// What it goes by.
#[derive(Debug)]
pub struct Fo;

impl Rule for Fo {
    const NAME: &'static str = "fo";
}

impl Measure for Fo {
    const FOLLOWS_COUNTS: bool = Weight::FOLLOWS_COUNTS;

    #[inline(always)]
    fn share(load: Load) -> Option<Share> {
        Weight::share(load)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sched::least::Least;
    use crate::sched::testing::*;
    use proptest::prelude::*;

    #[test]
    fn the_greatest_weight_takes_all_and_the_first_of_equals() {
        let mut bench = Bench::<Least<Fo>>::new(&[10, 30, 30, 20]);
        assert_eq!([bench.pick(), bench.pick()], [Some(1), Some(1)]);
        bench.loads.overload(1);
        assert_eq!(bench.pick(), Some(2));
        bench.loads.overload(2);
        assert_eq!(bench.pick(), Some(3));
    }

    proptest! {
        #[test]
        fn every_decision_is_the_naive_oracles(scene in scenes()) {
            prop_assert_eq!(scene.pick::<Least<Fo>>(), naive_heaviest(&scene.pool, &scene.loads, |_| true));
        }
    }
}

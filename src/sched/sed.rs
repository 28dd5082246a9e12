//! Shortest expected delay (`ip_vs_sed.c`): the smallest (active + 1) / weight.

use super::least::Rule;
use super::load::{Load, Share};
use super::ranking::Measure;

/// What it goes by.
#[derive(Debug)]
pub struct Sed;

impl Rule for Sed {
    const NAME: &'static str = "sed";
}

impl Measure for Sed {
    #[inline(always)]
    fn share(load: Load) -> Option<Share> {
        load.is_usable().then_some(Share { load: load.expected(), weight: load.weight })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sched::least::Least;
    use crate::sched::testing::*;
    use proptest::prelude::*;

    #[test]
    fn inactive_connections_are_not_looked_at() {
        let mut bench = Bench::<Least<Sed>>::new(&[1, 2]);
        assert_eq!(bench.pick(), Some(1));
        bench.loads.set(1, 0, 1000);
        assert_eq!(bench.pick(), Some(1));
        bench.loads.set(1, 1, 0);
        assert_eq!(bench.pick(), Some(0));
    }

    proptest! {
        #[test]
        fn every_decision_is_the_naive_oracles(scene in scenes()) {
            prop_assert_eq!(scene.pick::<Least<Sed>>(), naive_least(&scene.pool, &scene.loads, |a, _| a + 1));
        }
    }
}

//! Never queue (`ip_vs_nq.c`): the first idle destination in list order, whatever its weight; when nobody is idle, the
//! shortest expected delay.

use super::least::Rule;
use super::load::{Load, Share};
use super::ranking::Measure;

/// What it goes by.
#[derive(Debug)]
pub struct Nq;

impl Rule for Nq {
    const NAME: &'static str = "nq";
}

impl Measure for Nq {
    #[inline(always)]
    fn share(load: Load) -> Option<Share> {
        // nothing, over whatever weight: all idle ones are equal, and less than the others
        let delay = if load.active == 0 { 0 } else { load.expected() };
        load.is_usable().then_some(Share { load: delay, weight: load.weight })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sched::Loads;
    use crate::sched::least::Least;
    use crate::sched::testing::*;
    use proptest::prelude::*;

    #[test]
    fn an_idle_destination_goes_before_a_quicker_one() {
        let mut bench = Bench::<Least<Nq>>::new(&[100, 1]);
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
            prop_assert_eq!(scene.pick::<Least<Nq>>(), expected);
        }
    }
}

//! Weighted overflow (`ip_vs_ovf.c`): the greatest weight, until it has more active connections than its weight; so weight
//! + 1 of them, then the next greatest.

use super::least::Rule;
use super::load::{Load, Share};
use super::ranking::{Measure, Weight};

/// What it goes by.
#[derive(Debug)]
pub struct Ovf;

impl Rule for Ovf {
    const NAME: &'static str = "ovf";
}

impl Measure for Ovf {
    #[inline(always)]
    fn share(load: Load) -> Option<Share> {
        Weight::share(load).filter(|_| load.active <= load.weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sched::Candidate;
    use crate::sched::Loads;
    use crate::sched::least::Least;
    use crate::sched::testing::*;
    use proptest::prelude::*;

    #[test]
    fn a_destination_takes_one_more_than_its_weight_then_the_next_does() {
        let mut bench = Bench::<Least<Ovf>>::new(&[2, 5, 3]);
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
            prop_assert_eq!(scene.pick::<Least<Ovf>>(), naive_heaviest(&scene.pool, &scene.loads, fits));
        }
    }
}

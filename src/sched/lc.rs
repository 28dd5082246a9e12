//! Least-connection (`ip_vs_lc.c`): the smallest overhead; weights matter only as zero or not.

use super::least::Rule;
use super::load::{Load, Share};
use super::ranking::Measure;

/// What it goes by.
#[derive(Debug)]
pub struct Lc;

impl Rule for Lc {
    const NAME: &'static str = "lc";
}

impl Measure for Lc {
    #[inline(always)]
    fn share(load: Load) -> Option<Share> {
        load.is_usable().then_some(Share { load: load.overhead(), weight: 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sched::least::Least;
    use crate::sched::testing::*;
    use crate::sched::{Candidate, Pool};
    use proptest::prelude::*;

    #[test]
    fn weights_matter_only_as_zero_or_not() {
        let mut bench = Bench::<Least<Lc>>::new(&[9, 1, 0]);
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
            prop_assert_eq!(scene.pick::<Least<Lc>>(), naive_least(&Pool::new(flat), &scene.loads, naive_overhead));
        }
    }
}

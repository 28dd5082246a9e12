//! Weighted least-connection (`ip_vs_wlc.c`), IPVS's default: the smallest overhead / weight.

use super::least::Rule;
use super::load::{Load, Share};
use super::ranking::Measure;

/// What it goes by.
#[derive(Debug)]
pub struct Wlc;

impl Rule for Wlc {
    const NAME: &'static str = "wlc";
}

impl Measure for Wlc {
    #[inline(always)]
    fn share(load: Load) -> Option<Share> {
        load.is_usable().then_some(load.overhead_share())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sched::least::Least;
    use crate::sched::testing::*;
    use proptest::prelude::*;

    #[test]
    fn of_equals_the_first_in_the_list_is_taken() {
        let mut bench = Bench::<Least<Wlc>>::new(&[1, 1, 1]);
        let mut picks = Vec::new();
        for _ in 0..4 {
            let pick = bench.pick().expect("a destination");
            bench.loads.add_active(pick as u32);
            picks.push(pick);
        }
        assert_eq!(picks, [0, 1, 2, 0]);
    }

    #[test]
    fn the_greatest_loads_and_weights_do_not_overflow() {
        let mut bench = Bench::<Least<Wlc>>::new(&[i32::MAX as u32, i32::MAX as u32]);
        bench.loads.set(0, u32::MAX, u32::MAX);
        bench.loads.set(1, u32::MAX, u32::MAX - 1);
        assert_eq!(bench.pick(), Some(1));
    }

    proptest! {
        #[test]
        fn every_decision_is_the_naive_oracles(scene in scenes()) {
            prop_assert_eq!(scene.pick::<Least<Wlc>>(), naive_least(&scene.pool, &scene.loads, naive_overhead));
        }
    }
}

//! Power of two choices (`ip_vs_twos.c`): two destinations drawn at random by weight, of which the less loaded is
//! taken. Mitzenmacher, Richa, Sitaraman, "The Power of Two Random Choices".

use super::ranking::WeightSums;
use super::{Flow, Loads, Options, PlanError, Pool, Scheduler, Succession};
use std::cmp::Ordering;
use std::hash::{BuildHasher, Hasher, RandomState};

/// A stream of random numbers, each worker's own.
#[derive(Debug)]
pub struct Twos {
    random: u64,
}

impl Scheduler for Twos {
    const NAME: &'static str = "twos";
    const ASKS_COUNTS: bool = true;
    type Plan = ();
    type Ranking = WeightSums;

    fn plan(_: &Pool, _: Options) -> Result<(), PlanError> {
        Ok(())
    }

    /// Seeded from the operating system's randomness, so that clients cannot foretell the draws.
    fn new(_: &Pool, _: &()) -> Self {
        Self { random: RandomState::new().build_hasher().finish() }
    }

    fn update(&mut self, _: Option<&Succession>, _: &()) {}

    #[inline]
    fn schedule<L: Loads>(&mut self, pool: &Pool, _: &(), sums: &WeightSums, loads: &L, _: &Flow) -> Option<usize> {
        let total = sums.total();
        let draws = [self.draw(total), self.draw(total)];
        choose(pool, sums, loads, draws)
    }
}

impl Twos {
    /// 0..=total, the end included as in IPVS.
    fn draw(&mut self, total: u64) -> u64 {
        // SplitMix64 (Steele, Lea, Flood 2014): one add and one mix a number
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        ((u128::from(z) * u128::from(total + 1)) >> 64) as u64
    }
}

/// A draw is the first destination up to which the weights add up to it; so the first one has also draw 0. The
/// second choice must be strictly less loaded to be taken.
fn choose<L: Loads>(pool: &Pool, sums: &WeightSums, loads: &L, draws: [u64; 2]) -> Option<usize> {
    let [first, second] = draws.map(|draw| sums.reaching(draw));
    let (first, second) = (first?, second?);
    let share = |i: usize| Some(pool.candidates().get(i)?.load(loads).overhead_share());
    Some(if share(first)?.compare(share(second)?) == Ordering::Greater { second } else { first })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sched::testing::*;
    use proptest::prelude::*;

    #[test]
    fn without_load_the_first_draw_decides_by_weight() {
        let mut bench = Bench::<Twos>::new(&[1, 0, 3]);
        let mut counts = [0; 3];
        for _ in 0..10_000 {
            counts[bench.pick().expect("a destination")] += 1;
        }
        // 2/5 and 3/5, as the draw of 0 is the first destination's too; 5 standard deviations are 250
        assert!(counts[1] == 0 && (3750..4250).contains(&counts[0]), "{counts:?}");
    }

    #[test]
    fn load_evens_out() {
        let mut bench = Bench::<Twos>::new(&[1; 10]);
        for _ in 0..1000 {
            let pick = bench.pick().expect("a destination");
            bench.loads.add_active(pick as u32);
        }
        let loads: Vec<u32> = (0..10).map(|i| bench.loads.active(crate::model::DestId(i))).collect();
        // one random choice would spread by about 40
        assert!(loads.iter().max().zip(loads.iter().min()).is_some_and(|(max, min)| max - min <= 12), "{loads:?}");
    }

    /// The kernel's two countdowns over the list.
    fn countdown(scene: &Scene, draws: [u64; 2]) -> Option<usize> {
        let mut left = draws.map(|d| d as i64);
        let mut choices = [None; 2];
        for (i, c) in scene.pool.candidates().iter().enumerate() {
            if !naive_usable(c, &scene.loads) {
                continue;
            }
            for k in 0..2 {
                left[k] -= i64::from(c.weight);
                if left[k] <= 0 && choices[k].is_none() {
                    choices[k] = Some(i);
                }
            }
        }
        let (a, b) = (choices[0]?, choices[1]?);
        let at = |i: usize| (&scene.pool.candidates()[i], naive_load(&scene.pool, &scene.loads, i, naive_overhead));
        let ((ca, la), (cb, lb)) = (at(a), at(b));
        Some(if u128::from(cb.weight) * la > u128::from(ca.weight) * lb { b } else { a })
    }

    proptest! {
        #[test]
        fn every_choice_is_the_naive_oracles(scene in scenes(), a: u64, b: u64) {
            let usable = scene.pool.candidates().iter().filter(|c| naive_usable(c, &scene.loads));
            let total: u64 = usable.map(|c| u64::from(c.weight)).sum();
            let draws = [a % (total + 1), b % (total + 1)];
            let sums = ranked::<Twos>(&scene.pool, &scene.loads);
            prop_assert_eq!(choose(&scene.pool, &sums, &scene.loads, draws), countdown(&scene, draws));
        }

        #[test]
        fn a_draw_is_within_the_total(seed: u64, total in 0..=u64::from(u32::MAX) * 4096) {
            let drawn = Twos { random: seed }.draw(total);
            prop_assert!(drawn <= total);
        }
    }
}

//! A histogram of times, of fixed size: written by one thread with plain adds, read by any other at any time.
//!
//! Log-linear, as HdrHistogram's (G. Tene): 32 buckets for each power of two, so that a time is known to 3 %, be it of
//! nanoseconds or of seconds.

use crate::model::Counter;

/// Buckets a power of two, as a power of two.
const BITS: u32 = 5;
/// Times from here on count as this one: a minute.
const TIME_MAX_NS: u64 = (1 << 36) - 1;
const BUCKETS: usize = bucket(TIME_MAX_NS) + 1;
const _: () = assert!(BUCKETS == 1024);

/// See the module.
#[derive(Debug)]
pub struct Histogram {
    counts: [Counter; BUCKETS],
    max_ns: Counter,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: std::array::from_fn(|_| Counter::default()), max_ns: Counter::default() }
    }
}

/// Times below 64 ns have a bucket each; then a bucket is twice as wide with each power of two.
#[inline(always)]
const fn bucket(ns: u64) -> usize {
    let shift = (ns | 1 << BITS).ilog2() - BITS;
    ((shift as u64) << BITS) as usize + (ns >> shift) as usize
}

/// The greatest time that belongs to a bucket.
const fn upper_ns(bucket: usize) -> u64 {
    let shift = (bucket >> BITS).saturating_sub(1);
    (((bucket - (shift << BITS)) as u64 + 1) << shift) - 1
}

impl Histogram {
    #[inline(always)]
    pub fn record(&self, ns: u64) {
        self.counts[bucket(ns.min(TIME_MAX_NS))].add(1);
        if ns > self.max_ns.get() {
            self.max_ns.set(ns);
        }
    }

    /// The longest time.
    pub fn max_ns(&self) -> u64 {
        self.max_ns.get()
    }

    /// What has been recorded up to now: each bucket that is not empty by its greatest time, in order, with its count.
    pub fn filled(&self) -> Vec<(u64, u64)> {
        let counts = self.counts.iter().map(Counter::get).enumerate();
        counts.filter(|(_, count)| *count > 0).map(|(bucket, count)| (upper_ns(bucket), count)).collect()
    }
}

/// The least time of `filled` that so many of ten thousand do not exceed; 0 when there are none.
pub fn quantile_ns(filled: &[(u64, u64)], per_10_000: u64) -> u64 {
    let total: u64 = filled.iter().map(|(_, count)| count).sum();
    let wanted = (u128::from(total) * u128::from(per_10_000)).div_ceil(10_000);
    let mut seen = 0;
    let reaches = |(_, count): &&(u64, u64)| {
        seen += u128::from(*count);
        seen >= wanted
    };
    filled.iter().find(reaches).map_or(0, |(ns, _)| *ns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_recorded_has_no_times() {
        let histogram = Histogram::default();
        assert_eq!((histogram.filled(), histogram.max_ns(), quantile_ns(&[], 5000)), (vec![], 0, 0));
    }

    #[test]
    fn buckets_follow_one_another_without_gaps() {
        for at in 1..BUCKETS {
            assert_eq!((bucket(upper_ns(at)), bucket(upper_ns(at - 1) + 1)), (at, at));
        }
        assert_eq!((bucket(0), upper_ns(0), upper_ns(BUCKETS - 1)), (0, 0, TIME_MAX_NS));
    }

    proptest! {
        #[test]
        fn quantiles_are_those_of_the_sorted_times_to_three_percent(
            times in prop::collection::vec(prop_oneof![0..100u64, 1000..50_000u64, any::<u64>()], 1..300),
            per_10_000 in 0..=10_000_u64,
        ) {
            let histogram = Histogram::default();
            times.iter().for_each(|ns| histogram.record(*ns));
            let mut sorted = times;
            sorted.sort_unstable();
            let rank = (sorted.len() as u64 * per_10_000).div_ceil(10_000).max(1);
            let exact = sorted[rank as usize - 1].min(TIME_MAX_NS);
            let quantile = quantile_ns(&histogram.filled(), per_10_000);
            prop_assert!(exact <= quantile && quantile <= exact + exact / 32, "{quantile} for {exact}");
            prop_assert_eq!(Some(&histogram.max_ns()), sorted.last());
        }
    }
}

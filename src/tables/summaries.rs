//! A row of entries with a summary over every stretch of it: who is the least, what is the sum.
//!
//! A binary tree (a tournament when the summary is the better of two): changing an entry renews the summaries above it, and
//! stops at the first that stays as it was; searching descends from summaries that promise something. Both take the
//! logarithm of the number of entries.

use super::memory::prefetch;

/// What is known of a stretch of entries, an entry alone included.
pub trait Summary: Copy + PartialEq {
    /// Of no entries.
    const NONE: Self;

    /// Of two stretches together, whichever is named first.
    #[must_use]
    fn join(self, other: Self) -> Self;
}

/// Nodes before this one are in use all the time: some cache lines.
const UPPERMOST: usize = 64;

/// Entries and their summaries.
#[derive(Clone, Debug)]
pub struct Summaries<T> {
    /// Nodes in pairs. The summary of all is node 1, the halves of what `i` sums up are `2i` and `2i + 1`; the entries are
    /// the last ones, and beyond them there is nothing.
    pairs: Vec<[T; 2]>,
    /// The node of the first entry, a power of two.
    first: usize,
    /// The node behind the last one.
    end: usize,
}

impl<T: Summary> Default for Summaries<T> {
    fn default() -> Self {
        Self { pairs: vec![[T::NONE; 2]], first: 1, end: 1 }
    }
}

impl<T: Summary> Summaries<T> {
    /// Other entries, in the memory there is when it is enough.
    pub fn refill(&mut self, entries: impl ExactSizeIterator<Item = T>) {
        self.first = entries.len().next_power_of_two();
        self.end = self.first + entries.len();
        self.pairs.clear();
        self.pairs.resize(self.end.div_ceil(2), [T::NONE; 2]);
        for (at, entry) in (self.first..).zip(entries) {
            self.pairs[at / 2][at % 2] = entry;
        }
        for at in (1..self.first).rev() {
            self.pairs[at / 2][at % 2] = self.node(2 * at).join(self.node(2 * at + 1));
        }
    }

    #[inline(always)]
    fn node(&self, at: usize) -> T {
        self.pairs.get(at / 2).map_or(T::NONE, |pair| pair[at % 2])
    }

    /// The summary of all entries.
    #[inline(always)]
    pub fn all(&self) -> T {
        self.node(1)
    }

    /// Asks for the memory of an entry that is going to change, and of the summaries above it but for the uppermost, which
    /// every change needs and are there.
    #[inline]
    pub fn prefetch(&self, index: usize) {
        let mut at = self.first.saturating_add(index);
        while at >= UPPERMOST
            && let Some(pair) = self.pairs.get(at / 2)
        {
            prefetch(pair);
            at /= 2;
        }
    }

    /// Changes an entry. Nothing happens when there is none at `index`.
    #[inline]
    pub fn set(&mut self, index: usize, entry: T) {
        let (mut at, mut summary) = (self.first.saturating_add(index), entry);
        if at >= self.end {
            return;
        }
        while let Some(pair) = self.pairs.get_mut(at / 2) {
            if at == 0 || pair[at % 2] == summary {
                return;
            }
            pair[at % 2] = summary;
            summary = summary.join(pair[(at + 1) % 2]);
            at /= 2;
        }
    }

    /// The first entry at or behind `from` of which `fits` is true. `fits` must be true of a summary exactly when it is
    /// of one of its entries.
    #[inline]
    pub fn first_from(&self, from: usize, fits: impl Fn(T) -> bool) -> Option<usize> {
        if from >= self.first {
            return None;
        }
        let mut at = self.first + from;
        while !fits(self.node(at)) {
            // on with the stretch behind this one: the right half next to the nearest left one, this or above
            while at % 2 == 1 {
                at /= 2;
            }
            if at == 0 {
                return None;
            }
            at += 1;
        }
        Some(self.descend(at, fits))
    }

    /// The entry below `at` that is found by going to the left half whenever `is_left` says so of its summary.
    #[inline]
    fn descend(&self, mut at: usize, mut is_left: impl FnMut(T) -> bool) -> usize {
        while at < self.first {
            at *= 2;
            at += usize::from(!is_left(self.node(at)));
        }
        at - self.first
    }

    /// The entry that is found from the whole downwards, by halves: `is_left` says of the left one whether it is there.
    #[inline]
    pub fn search(&self, is_left: impl FnMut(T) -> bool) -> usize {
        self.descend(1, is_left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The greatest.
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Most(u32);

    impl Summary for Most {
        const NONE: Self = Self(0);
        fn join(self, other: Self) -> Self {
            Self(self.0.max(other.0))
        }
    }

    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Sum(u64);

    impl Summary for Sum {
        const NONE: Self = Self(0);
        fn join(self, other: Self) -> Self {
            Self(self.0 + other.0)
        }
    }

    #[test]
    fn no_entries_have_no_summary_and_take_no_change() {
        let mut most = Summaries::<Most>::default();
        for _ in 0..2 {
            most.set(0, Most(7));
            most.set(usize::MAX, Most(7));
            assert_eq!((most.all(), most.first_from(0, |m| m.0 > 0)), (Most(0), None));
            most.refill([].into_iter());
        }
    }

    proptest! {
        #[test]
        fn summaries_and_searches_are_the_scans(
            mut row in prop::collection::vec(0..20u32, 0..70),
            changes in prop::collection::vec((any::<prop::sample::Index>(), 0..20u32), 0..100),
        ) {
            let (mut most, mut sum) = (Summaries::default(), Summaries::default());
            most.refill([Most(3); 9].into_iter());
            most.refill(row.iter().map(|&v| Most(v)));
            sum.refill(row.iter().map(|&v| Sum(v.into())));
            for (index, value) in changes {
                if row.is_empty() {
                    break;
                }
                let i = index.index(row.len());
                row[i] = value;
                most.set(i, Most(value));
                sum.set(i, Sum(value.into()));
                let total: u64 = row.iter().map(|&v| u64::from(v)).sum();
                prop_assert_eq!((most.all().0, sum.all().0), (row.iter().copied().max().unwrap(), total));
                let scan = (i..row.len()).find(|&j| row[j] >= 15);
                prop_assert_eq!(most.first_from(i, |m| m.0 >= 15), scan);
                prop_assert_eq!(most.first_from(row.len() + i, |m| m.0 >= 15), None);
            }
        }

        #[test]
        fn a_search_by_sums_finds_where_they_reach_it(row in prop::collection::vec(0..20u32, 1..70), wanted in 1..200u64) {
            let mut sum = Summaries::default();
            sum.refill(row.iter().map(|&v| Sum(v.into())));
            let mut left = wanted;
            let found = sum.search(|half: Sum| {
                let is_left = half.0 >= left;
                left -= if is_left { 0 } else { half.0 };
                is_left
            });
            let mut so_far = 0;
            let scan = row.iter().position(|&v| { so_far += u64::from(v); so_far >= wanted });
            prop_assert_eq!((sum.all().0 >= wanted).then_some(found), scan);
        }
    }
}

//! A row of entries with a summary over every stretch of it: who is the least, what is the sum.
//!
//! A tree (a tournament when the summary is the better of several) with as many branches as fit into a cache line: changing an
//! entry renews the summaries above it, and stops at the first that stays as it was; searching descends from summaries
//! that promise something. Both look at one line for each level, and levels are the logarithm of the number of entries.

use super::memory::prefetch;

/// What is known of a stretch of entries, an entry alone included.
pub trait Summary: Copy + PartialEq {
    /// Of no entries.
    const NONE: Self;

    /// Of two stretches together, whichever is named first.
    #[must_use]
    fn join(self, other: Self) -> Self;
}

/// Groups before this one are in use all the time: some cache lines.
const UPPERMOST: usize = 32;

/// Neighbours whose summary is one entry of the level above.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Group<T, const BRANCHES: usize>([T; BRANCHES]);

/// Entries and their summaries; `BRANCHES`, a power of two, of them are a cache line.
#[derive(Clone, Debug)]
pub struct Summaries<T, const BRANCHES: usize> {
    /// The summary of all is node 1, the parts of what `i` sums up are the `BRANCHES` nodes from `BRANCHES * i` on, and they
    /// are group `i`; the entries are the last nodes, and beyond them there is nothing.
    groups: Vec<Group<T, BRANCHES>>,
    /// The node of the first entry, a power of `BRANCHES`.
    first: usize,
    /// The node behind the last one.
    end: usize,
}

impl<T: Summary, const BRANCHES: usize> Summaries<T, BRANCHES> {
    const ONE_LINE: () = assert!(BRANCHES.is_power_of_two() && BRANCHES > 1 && size_of::<Group<T, BRANCHES>>() == 64);

    /// Of so many entries, each [`Summary::NONE`] as long as it is not set.
    pub fn new(len: usize) -> Self {
        const { Self::ONE_LINE };
        let mut first = 1;
        while first < len {
            first *= BRANCHES;
        }
        let end = first + len;
        // between two levels there are nodes that are none's
        Self { groups: vec![Group([T::NONE; BRANCHES]); end.div_ceil(BRANCHES)], first, end }
    }

    #[inline(always)]
    fn node(&self, at: usize) -> T {
        self.groups.get(at / BRANCHES).map_or(T::NONE, |group| group.0[at % BRANCHES])
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
        let mut at = self.first.saturating_add(index) / BRANCHES;
        while at >= UPPERMOST
            && let Some(group) = self.groups.get(at)
        {
            prefetch(group);
            at /= BRANCHES;
        }
    }

    /// Changes an entry. Nothing happens when there is none at `index`.
    #[inline]
    pub fn set(&mut self, index: usize, entry: T) {
        let (mut at, mut summary) = (self.first.saturating_add(index), entry);
        if at >= self.end {
            return;
        }
        while let Some(Group(nodes)) = self.groups.get_mut(at / BRANCHES) {
            let here = at % BRANCHES;
            if at == 0 || nodes[here] == summary {
                return;
            }
            nodes[here] = summary;
            // the others for themselves: they need not wait for what comes from below
            let others = (1..BRANCHES).fold(T::NONE, |others, i| others.join(nodes[here ^ i]));
            summary = summary.join(others);
            at /= BRANCHES;
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
            // on with the stretch behind this one: the next in its group, or in the nearest one above that has one
            while at % BRANCHES == BRANCHES - 1 {
                at /= BRANCHES;
            }
            if at <= 1 {
                return None;
            }
            at += 1;
        }
        Some(self.descend(at, fits))
    }

    /// The entry below `at` that is found by taking, of each group, the first part of which `is_there` is true, or the last.
    #[inline]
    fn descend(&self, mut at: usize, mut is_there: impl FnMut(T) -> bool) -> usize {
        while at < self.first {
            at *= BRANCHES;
            let last = at + BRANCHES - 1;
            while at < last && !is_there(self.node(at)) {
                at += 1;
            }
        }
        at - self.first
    }

    /// The entry that is found from the whole downwards: `is_there` says of one part after the other whether it is there.
    #[inline]
    pub fn search(&self, is_there: impl FnMut(T) -> bool) -> usize {
        self.descend(1, is_there)
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
        let mut most = Summaries::<Most, 16>::new(0);
        most.set(0, Most(7));
        most.set(usize::MAX, Most(7));
        assert_eq!((most.all(), most.first_from(0, |m| m.0 > 0)), (Most(0), None));
    }

    fn sums(row: &[u32]) -> Summaries<Sum, 8> {
        let mut sums = Summaries::new(row.len());
        row.iter().enumerate().for_each(|(i, &v)| sums.set(i, Sum(v.into())));
        sums
    }

    proptest! {
        #[test]
        fn summaries_and_searches_are_the_scans(
            mut row in prop::collection::vec(0..20u32, 0..300),
            changes in prop::collection::vec((any::<prop::sample::Index>(), 0..20u32), 0..100),
        ) {
            let (mut most, mut sum) = (Summaries::<_, 16>::new(row.len()), sums(&row));
            row.iter().enumerate().for_each(|(i, &v)| most.set(i, Most(v)));
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
        fn a_search_by_sums_finds_where_they_reach_it(row in prop::collection::vec(0..20u32, 1..300), wanted in 1..900u64) {
            let sum = sums(&row);
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

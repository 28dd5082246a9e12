//! A service's destinations in the order in which its scheduler prefers them, kept while loads change, so that a decision
//! does not look at all of them.
//!
//! Whoever counts connections owns the ranking and tells it of every change; the scheduler only asks. It answers as a
//! scan of the list does that keeps the better of two and the earlier of equals: that is a total order, as quotients are
//! compared exactly and no two destinations stand at the same position.

use super::load::{Load, Share};
use crate::model::limits::DESTINATIONS_MAX;
use crate::tables::summaries::{Summaries, Summary};
use std::hint::select_unpredictable;
use std::marker::PhantomData;

/// What schedulers want to have ready of their destinations' loads.
pub trait Ranking: Sized + Send {
    /// Connections that come and go change it, not only weights and thresholds.
    const FOLLOWS_COUNTS: bool;

    /// Of so many destinations, of which nobody is to be taken before its load is set.
    fn blank(len: usize) -> Self;

    /// The load of a destination changed. Positions that there are not are ignored.
    fn set(&mut self, position: usize, load: Load);

    /// [`Ranking::set`] is going to be called for this position.
    #[inline(always)]
    fn prefetch(&self, position: usize) {
        let _ = position;
    }
}

/// For schedulers that decide without.
impl Ranking for () {
    const FOLLOWS_COUNTS: bool = false;
    fn blank(_: usize) -> Self {}
    fn set(&mut self, _: usize, _: Load) {}
}

/// For schedulers that go by two things.
impl<A: Ranking, B: Ranking> Ranking for (A, B) {
    const FOLLOWS_COUNTS: bool = A::FOLLOWS_COUNTS || B::FOLLOWS_COUNTS;

    fn blank(len: usize) -> Self {
        (A::blank(len), B::blank(len))
    }

    fn set(&mut self, position: usize, load: Load) {
        self.0.set(position, load);
        self.1.set(position, load);
    }

    fn prefetch(&self, position: usize) {
        self.0.prefetch(position);
        self.1.prefetch(position);
    }
}

/// What destinations are compared by.
pub trait Measure: Send {
    /// As [`Ranking::FOLLOWS_COUNTS`].
    const FOLLOWS_COUNTS: bool = true;

    /// Less is better; `None` for a destination that is not to be taken.
    fn share(load: Load) -> Option<Share>;
}

/// The greatest weight first; connections do not matter.
#[derive(Debug)]
pub struct Weight;

impl Measure for Weight {
    const FOLLOWS_COUNTS: bool = false;

    #[inline(always)]
    fn share(load: Load) -> Option<Share> {
        load.is_usable().then_some(Share { load: 1, weight: load.weight })
    }
}

/// How one destination stands by some measure, or the best of several: the quotient of its share and, below it, its
/// position, so that the least is the best and, of equals, the first in the list. Four to a cache line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Standing(u128);
const _: () = assert!(size_of::<Standing>() == 16);

const POSITION_BITS: u32 = 25;
const _: () = assert!(DESTINATIONS_MAX <= 1 << POSITION_BITS && Share::QUOTIENT_BITS + POSITION_BITS <= u128::BITS);

impl Summary for Standing {
    const NONE: Self = Self(u128::MAX);

    #[inline(always)]
    fn join(self, other: Self) -> Self {
        // nobody can foretell who wins, so no branches
        Self(select_unpredictable(self.0 < other.0, self.0, other.0))
    }
}

impl Standing {
    #[inline(always)]
    fn of<M: Measure>(position: usize, load: Load) -> Self {
        let standing = |share: Share| Self(share.quotient() << POSITION_BITS | position as u128);
        M::share(load).map_or(Self::NONE, standing)
    }

    fn position(self) -> usize {
        (self.0 & ((1 << POSITION_BITS) - 1)) as usize
    }

    fn quotient(self) -> u128 {
        self.0 >> POSITION_BITS
    }
}

/// Destinations by their share, the least first, and of equals the first in the list.
#[derive(Debug)]
pub struct Standings<M> {
    standings: Summaries<Standing, 4>,
    measure: PhantomData<M>,
}

impl<M: Measure> Ranking for Standings<M> {
    const FOLLOWS_COUNTS: bool = M::FOLLOWS_COUNTS;

    fn blank(len: usize) -> Self {
        Self { standings: Summaries::new(len), measure: PhantomData }
    }

    #[inline]
    fn set(&mut self, position: usize, load: Load) {
        self.standings.set(position, Standing::of::<M>(position, load));
    }

    #[inline(always)]
    fn prefetch(&self, position: usize) {
        self.standings.prefetch(position);
    }
}

impl<M: Measure> Standings<M> {
    /// Position of the destination with the least share.
    #[inline]
    pub fn first(&self) -> Option<usize> {
        let best = self.standings.all();
        (best != Standing::NONE).then(|| best.position())
    }

    /// Whether the least share is one of less load than half its weight.
    #[inline]
    pub fn is_least_below_half(&self) -> bool {
        self.standings.all().quotient() < Share::HALF
    }
}

/// Something that is kept of a weight, 0 standing for a destination that is not to be taken.
pub trait OfWeight: Summary + Send {
    fn of(weight: u32) -> Self;
}

/// The weights of usable destinations along the list; `BRANCHES` of what is kept of them to a cache line.
#[derive(Debug)]
pub struct ByWeight<T, const BRANCHES: usize> {
    summaries: Summaries<T, BRANCHES>,
}

impl<T: OfWeight, const BRANCHES: usize> Ranking for ByWeight<T, BRANCHES> {
    const FOLLOWS_COUNTS: bool = false;

    fn blank(len: usize) -> Self {
        Self { summaries: Summaries::new(len) }
    }

    fn set(&mut self, position: usize, load: Load) {
        self.summaries.set(position, T::of(if load.is_usable() { load.weight } else { 0 }));
    }
}

/// The greatest of them.
pub type Weights = ByWeight<Greatest, 16>;

/// The greatest weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Greatest(u32);

impl Summary for Greatest {
    const NONE: Self = Self(0);

    #[inline(always)]
    fn join(self, other: Self) -> Self {
        Self(self.0.max(other.0))
    }
}

impl OfWeight for Greatest {
    fn of(weight: u32) -> Self {
        Self(weight)
    }
}

impl Weights {
    /// The greatest; `None` when no destination is usable.
    #[inline]
    pub fn greatest(&self) -> Option<u32> {
        Some(self.summaries.all().0).filter(|weight| *weight > 0)
    }

    /// Position of the first usable destination at or behind `from` that has at least this weight, which is positive.
    #[inline]
    pub fn first_of_weight(&self, from: usize, weight: u32) -> Option<usize> {
        self.summaries.first_from(from, |best| best.0 >= weight)
    }
}

/// All of them added up.
pub type WeightSums = ByWeight<Sum, 8>;

/// A sum of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum(u64);

impl Summary for Sum {
    const NONE: Self = Self(0);

    #[inline(always)]
    fn join(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }
}

impl OfWeight for Sum {
    fn of(weight: u32) -> Self {
        Self(weight.into())
    }
}

impl WeightSums {
    pub fn total(&self) -> u64 {
        self.summaries.all().0
    }

    /// Position of the first usable destination up to which the weights add up to `sum`, at most the total.
    pub fn reaching(&self, sum: u64) -> Option<usize> {
        // 0 is reached by the first one, and only by a usable one
        let mut left = sum.max(1);
        if self.total() < left {
            return None;
        }
        Some(self.summaries.search(|half| {
            let is_left = half.0 >= left;
            left -= if is_left { 0 } else { half.0 };
            is_left
        }))
    }
}

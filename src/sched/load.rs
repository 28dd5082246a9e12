//! How loaded destinations are, compared without division.
//!
//! One scan of the pool a decision. An index ordered by (load / weight, list order) gives the same answer and may take
//! the scan's place here.

use super::{Candidate, Loads, Pool};
use crate::model::DestId;
use std::cmp::Ordering;

/// IPVS's "overhead": an active connection costs as much as 256 inactive ones.
#[inline]
pub fn overhead<L: Loads>(loads: &L, dest: DestId) -> u64 {
    (u64::from(loads.active(dest)) << 8) + u64::from(loads.inactive(dest))
}

/// Connections on the expected path: the active ones and the one to come. Inactive ones do not count.
#[inline]
pub fn expected<L: Loads>(loads: &L, dest: DestId) -> u64 {
    u64::from(loads.active(dest)) + 1
}

/// A load and the (positive) weight that carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    pub load: u64,
    pub weight: u32,
}

impl Share {
    /// By load / weight. The products need 40 + 32 bits.
    #[inline]
    pub fn compare(self, other: Self) -> Ordering {
        let ours = u128::from(self.load) * u128::from(other.weight);
        ours.cmp(&(u128::from(other.load) * u128::from(self.weight)))
    }
}

/// The usable candidate with the least load / weight; of equals, the first in the list.
#[inline]
pub fn least<L: Loads>(pool: &Pool, loads: &L, share: impl Fn(&Candidate) -> Share) -> Option<usize> {
    let usable = pool.candidates().iter().enumerate().filter(|(_, c)| c.is_usable(loads));
    usable.map(|(i, c)| (i, share(c))).min_by(|(_, a), (_, b)| a.compare(*b)).map(|(i, _)| i)
}

/// [`least`] by overhead / weight: wlc, and what lblc and lblcr fall back on.
#[inline]
pub fn least_overhead<L: Loads>(pool: &Pool, loads: &L) -> Option<usize> {
    least(pool, loads, |c| Share { load: overhead(loads, c.id), weight: c.weight })
}

/// [`least`] by the expected delay: sed, and nq when nobody is idle.
#[inline]
pub fn least_delay<L: Loads>(pool: &Pool, loads: &L) -> Option<usize> {
    least(pool, loads, |c| Share { load: expected(loads, c.id), weight: c.weight })
}

/// The usable candidate with the greatest weight among those `fits` admits; of equals, the first in the list.
#[inline]
pub fn heaviest<L: Loads>(pool: &Pool, loads: &L, fits: impl Fn(&Candidate) -> bool) -> Option<usize> {
    let usable = pool.candidates().iter().enumerate().filter(|(_, c)| c.is_usable(loads) && fits(c));
    // max_by_key takes the last of equals, so the list is read from its end
    usable.rev().max_by_key(|(_, c)| c.weight).map(|(i, _)| i)
}

/// Locality gives way when this destination has more active connections than its weight says, while some other one
/// has less than half of its own.
#[inline]
pub fn should_spill<L: Loads>(pool: &Pool, loads: &L, candidate: &Candidate) -> bool {
    let active = |c: &Candidate| u64::from(loads.active(c.id));
    active(candidate) > u64::from(candidate.weight)
        && pool.candidates().iter().any(|c| active(c) * 2 < u64::from(c.weight))
}

/// Of weights; 0 divides nothing and counts as absent.
pub fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

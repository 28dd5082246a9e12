//! How loaded destinations are, compared without division.

use super::Loads;
use crate::model::DestId;
use std::cmp::Ordering;

/// What schedulers look at of a destination at some moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    pub weight: u32,
    pub active: u32,
    pub inactive: u32,
    /// As [`Loads::is_overloaded`].
    pub overloaded: bool,
}

impl Load {
    #[inline]
    pub fn of<L: Loads>(dest: DestId, weight: u32, loads: &L) -> Self {
        let [active, inactive] = [loads.active(dest), loads.inactive(dest)];
        Self { weight, active, inactive, overloaded: loads.is_overloaded(dest) }
    }

    /// May take new connections: neither quiesced nor above its threshold.
    #[inline(always)]
    pub fn is_usable(self) -> bool {
        self.weight > 0 && !self.overloaded
    }

    /// IPVS's "overhead": an active connection costs as much as 256 inactive ones.
    #[inline(always)]
    pub fn overhead(self) -> u64 {
        (u64::from(self.active) << 8) + u64::from(self.inactive)
    }

    /// Connections on the expected path: the active ones and the one to come. Inactive ones do not count.
    #[inline(always)]
    pub fn expected(self) -> u64 {
        u64::from(self.active) + 1
    }

    /// The overhead with the weight that carries it.
    #[inline(always)]
    pub fn overhead_share(self) -> Share {
        Share { load: self.overhead(), weight: self.weight }
    }
}

/// A load and the (positive) weight that carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    pub load: u64,
    pub weight: u32,
}

impl Share {
    /// Both over their common denominator. The products need 41 + 32 bits.
    #[inline(always)]
    pub fn cross(self, other: Self) -> [u128; 2] {
        [u128::from(self.load) * u128::from(other.weight), u128::from(other.load) * u128::from(self.weight)]
    }

    /// By load / weight.
    #[inline]
    pub fn compare(self, other: Self) -> Ordering {
        let [ours, theirs] = self.cross(other);
        ours.cmp(&theirs)
    }
}

/// Of weights; 0 divides nothing and counts as absent.
pub fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

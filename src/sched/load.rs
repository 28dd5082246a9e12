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
    /// Behind the point of a [quotient](Self::quotient).
    const FRACTION_BITS: u32 = 62;
    /// Of a quotient: a load has 41 bits, 256 and one of 32-bit counts.
    pub const QUOTIENT_BITS: u32 = 41 + Self::FRACTION_BITS;
    /// The quotient 1/2.
    pub const HALF: u128 = 1 << (Self::FRACTION_BITS - 1);

    /// load / weight as a fixed-point number, rounded down. Shares compare as their quotients do: two that differ are at least
    /// one over the product of their weights apart, which has 62 bits at most, as no weight is above `i32::MAX`.
    #[inline]
    pub fn quotient(self) -> u128 {
        if self.weight == 1 {
            return u128::from(self.load) << Self::FRACTION_BITS;
        }
        let weight = u64::from(self.weight);
        // the rest of one division, half the fraction's bits further, is the next one's
        let step = |rest: u64| (rest << (Self::FRACTION_BITS / 2)).checked_div(weight).unwrap_or(0);
        let whole = self.load.checked_div(weight).unwrap_or(0);
        let rest = self.load - whole * weight;
        let upper = step(rest);
        let lower = step((rest << (Self::FRACTION_BITS / 2)) - upper * weight);
        u128::from(whole) << Self::FRACTION_BITS | u128::from(upper << (Self::FRACTION_BITS / 2) | lower)
    }

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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn weights() -> impl Strategy<Value = u32> {
        prop_oneof![1..5_u32, 1..=u32::from(u16::MAX), 1..=i32::MAX as u32, i32::MAX as u32 - 3..=i32::MAX as u32]
    }

    fn shares() -> impl Strategy<Value = Share> {
        let loads = prop_oneof![0..5_u64, 0..1_u64 << 20, (1 << 41) - 5..1_u64 << 41, 0..1_u64 << 41];
        (loads, weights()).prop_map(|(load, weight)| Share { load, weight })
    }

    proptest! {
        #[test]
        fn quotients_compare_as_their_shares_do(a in shares(), b in shares(), near in -1..=1_i64) {
            prop_assert_eq!(a.quotient().cmp(&b.quotient()), a.compare(b));
            prop_assert!(a.quotient() < 1 << Share::QUOTIENT_BITS);
            // as near to each other as shares of these weights can be
            let load = u128::from(a.load) * u128::from(b.weight) / u128::from(a.weight);
            let load = (load as u64).saturating_add_signed(near).min((1 << 41) - 1);
            let close = Share { load, ..b };
            prop_assert_eq!(a.quotient().cmp(&close.quotient()), a.compare(close));
        }

        #[test]
        fn half_is_in_between(weight in weights(), off in -2..=2_i64) {
            let load = u64::from(weight / 2).saturating_add_signed(off);
            prop_assert_eq!(Share { load, weight }.quotient() < Share::HALF, load * 2 < weight.into());
        }
    }
}

//! Whether packets come in at their owners, by what the workers counted: what a driver promises is not believed.

use crate::model::{PortCounters, Time};

/// What came in by a port, or by several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrivals {
    received: u64,
    /// At another worker than theirs, and those of them for which it was asked whether the hash that is not in use would
    /// have it otherwise, and would.
    elsewhere: u64,
    compared: u64,
    as_other_hash: u64,
}

/// Comparisons before anything follows from them.
const COMPARED_MIN: u64 = 64;

impl Arrivals {
    pub fn of<'a>(counters: impl Iterator<Item = &'a PortCounters>) -> Self {
        counters.fold(Self::default(), |sum, port| {
            sum.plus(Self {
                received: port.received.get(),
                elsewhere: port.elsewhere.get(),
                compared: port.compared.get(),
                as_other_hash: port.as_other_hash.get(),
            })
        })
    }

    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.with(other, u64::wrapping_add)
    }

    /// What came after `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        self.with(before, u64::wrapping_sub)
    }

    fn with(self, other: Self, operation: fn(u64, u64) -> u64) -> Self {
        Self {
            received: operation(self.received, other.received),
            elsewhere: operation(self.elsewhere, other.elsewhere),
            compared: operation(self.compared, other.compared),
            as_other_hash: operation(self.as_other_hash, other.as_other_hash),
        }
    }

    /// One packet in a hundred may belong elsewhere: fragments, services whose clients are told apart otherwise.
    pub fn steering(self, workers: usize) -> &'static str {
        match (workers, self.received) {
            (..=1, _) => "one worker",
            (_, 0) => "nothing yet",
            _ if self.elsewhere.saturating_mul(100) <= self.received => "aligned",
            _ => "software hand-off",
        }
    }

    /// A good part comes to others than its owners, and as good as all of that would not if the other hash were the one.
    pub fn fit_other_hash(self) -> bool {
        let is_much = self.elsewhere.saturating_mul(4) >= self.received;
        is_much && self.compared >= COMPARED_MIN && self.as_other_hash.saturating_mul(50) >= self.compared * 49
    }
}

/// Owners follow from the other hash at most so often, whatever comes in: all connections move.
const REHASH_EVERY: Time = Time::from_s(60);

/// Watches whether owners are to follow from the other hash.
#[derive(Debug, Default)]
pub struct HashWatch {
    /// When they last came to.
    changed: Option<Time>,
    /// What had come in when it was last looked at.
    seen: Arrivals,
}

impl HashWatch {
    /// Whether the other hash is to be taken now. `all`: what has come in by ports that spread packets since this one was;
    /// `may`: nothing else is under way.
    pub fn look(&mut self, all: Arrivals, now: Time, may: bool) -> bool {
        let recent = all.since(std::mem::replace(&mut self.seen, all));
        let is_too_soon = self.changed.is_some_and(|changed| now.since(changed) < REHASH_EVERY.0);
        let is_due = recent.fit_other_hash() && !is_too_soon && may;
        if is_due {
            *self = Self { changed: Some(now), seen: Arrivals::default() };
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_hash_is_taken_for_what_came_lately_and_once_a_minute_at_most() {
        let fits =
            |n: u64| Arrivals { received: 4000 * n, elsewhere: 2000 * n, compared: 125 * n, as_other_hash: 125 * n };
        let mut watch = HashWatch::default();
        assert!(!watch.look(fits(1), Time::from_s(100), false), "something is under way");
        assert!(!watch.look(fits(1), Time::from_s(101), true), "nothing has come since");
        assert!(watch.look(fits(2), Time::from_s(102), true));
        // counted anew from there
        for (n, s) in (1..).zip(103..162) {
            assert!(!watch.look(fits(n), Time::from_s(s), true), "{s}: a minute has not gone by");
        }
        assert!(!watch.look(fits(59), Time::from_s(162), true), "nothing has come since");
        assert!(watch.look(fits(60), Time::from_s(163), true));
    }

    #[test]
    fn a_port_is_aligned_when_hardly_a_packet_comes_to_the_wrong_worker() {
        let of = [(1, 9, 0), (2, 0, 0), (2, 1000, 10), (2, 1000, 11), (2, 1000, 500)];
        let names = of.map(|(workers, received, elsewhere)| {
            Arrivals { received, elsewhere, ..Arrivals::default() }.steering(workers)
        });
        assert_eq!(names, ["one worker", "nothing yet", "aligned", "software hand-off", "software hand-off"]);
    }

    #[test]
    fn the_other_hash_fits_when_as_good_as_all_that_is_handed_over_agrees_with_it() {
        let fits = |received, elsewhere, compared, as_other_hash| {
            Arrivals { received, elsewhere, compared, as_other_hash }.fit_other_hash()
        };
        assert!(fits(4000, 2000, 125, 125) && fits(4000, 2000, 125, 123));
        assert!(!fits(4000, 2000, 125, 122), "some do not");
        assert!(!fits(4000, 2000, 63, 63), "too few to tell");
        assert!(!fits(40_000, 2000, 125, 125), "most come to their owners as it is");
    }
}

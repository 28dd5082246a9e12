//! The place of a sequence that several workers take turns of: one word, moved by whoever takes turns.

use super::sync::{AtomicU64, Ordering};
use crossbeam_utils::CachePadded;

/// Where a sequence stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// One more than the index of the last destination; 0 is the list's head.
    pub after: u32,
    /// wrr's.
    pub bar: u32,
}

impl Place {
    fn word(self) -> u64 {
        u64::from(self.bar) << 32 | u64::from(self.after)
    }

    fn of(word: u64) -> Self {
        Self { after: word as u32, bar: (word >> 32) as u32 }
    }
}

/// The place that workers share. It is part of the plan, so that another list of destinations comes with another one.
#[derive(Debug)]
pub struct Turns(CachePadded<AtomicU64>);

/// Nobody has said yet where the sequence begins. No place is like that: weights end below.
const UNKNOWN: u64 = u64::MAX;

impl Default for Turns {
    fn default() -> Self {
        Self(CachePadded::new(AtomicU64::new(UNKNOWN)))
    }
}

impl Turns {
    /// `None` when nobody has begun.
    pub fn place(&self) -> Option<Place> {
        let word = self.0.load(Ordering::Acquire);
        (word != UNKNOWN).then_some(Place::of(word))
    }

    /// Begins at `place`, if nobody has begun yet.
    pub fn begin(&self, place: Place) {
        if self.place().is_none() {
            let _ = self.0.compare_exchange(UNKNOWN, place.word(), Ordering::AcqRel, Ordering::Acquire);
        }
    }

    /// Takes the turns from one place to another; false when they are no longer there. (Who comes back to the same place
    /// after a whole round finds the same turns behind it, so it does not matter how often others went round.)
    pub fn take(&self, from: Place, to: Place) -> bool {
        self.0.compare_exchange(from.word(), to.word(), Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_first_to_begin_says_where_and_turns_are_taken_once() {
        let turns = Turns::default();
        let place = |after, bar| Place { after, bar };
        assert_eq!(turns.place(), None);
        turns.begin(place(3, i32::MAX as u32));
        turns.begin(place(9, 9));
        assert_eq!(turns.place(), Some(place(3, i32::MAX as u32)));
        assert!(turns.take(place(3, i32::MAX as u32), place(5, 1)));
        assert!(!turns.take(place(3, i32::MAX as u32), place(4, 1)), "others have them");
        assert_eq!(turns.place(), Some(place(5, 1)));
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::thread;
    use std::sync::Arc;

    /// Begins where the worker thinks, and takes some turns one by one.
    fn take(turns: &Turns, count: u32) -> Vec<u32> {
        turns.begin(Place { after: 7, bar: 0 });
        let next = || {
            let from = turns.place().expect("somebody began");
            turns.take(from, Place { after: from.after + 1, bar: 0 }).then_some(from.after)
        };
        let mut taken = vec![];
        while taken.len() < count as usize {
            taken.extend(next());
            thread::yield_now();
        }
        taken
    }

    #[test]
    fn every_turn_is_taken_once_whatever_the_order_of_events() {
        loom::model(|| {
            let turns = Arc::new(Turns::default());
            let other = thread::spawn({
                let turns = turns.clone();
                move || take(&turns, 2)
            });
            let mut all = take(&turns, 1);
            all.extend(other.join().unwrap());
            all.sort_unstable();
            assert_eq!(all, [7, 8, 9]);
        });
    }
}

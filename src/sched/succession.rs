//! How one list of destinations became another: for schedulers that remember a place in it.

use super::{Candidate, Pool};

/// Of each destination of the old list, in its order: one more than the new position of the nearest that is left, the
/// destination itself or one before it; 0 for none.
#[derive(Debug, Default)]
pub struct Succession {
    places: Vec<u32>,
}

impl Succession {
    /// For an old list of so many destinations, none of which is told of yet.
    pub fn with_room(len: usize) -> Self {
        Self { places: Vec::with_capacity(len) }
    }

    /// From one list to another at once. `depart` hears of those that are gone.
    pub fn between(old: &Pool, new: &Pool, mut depart: impl FnMut(&Candidate)) -> Self {
        let mut succession = Self::with_room(old.len());
        for candidate in old.candidates() {
            let position = new.position(candidate.id);
            succession.push(position.map(|position| position as u32));
            if position.is_none() {
                depart(candidate);
            }
        }
        succession
    }

    /// The next destination of the old list stands here in the new one, or nowhere.
    #[inline]
    pub fn push(&mut self, position: Option<u32>) {
        let before = self.places.last().copied().unwrap_or(0);
        self.places.push(position.map_or(before, |position| position + 1));
    }

    /// A place behind so many destinations of the old list, as one behind so many of the new one: it stays behind the same
    /// destination, and when that is gone, behind the nearest before it.
    pub fn place(&self, after: usize) -> usize {
        let passed = after.min(self.places.len());
        passed.checked_sub(1).map_or(0, |last| self.places[last] as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_place_stays_behind_its_destination_or_the_nearest_before_it(
            positions in prop::collection::vec(prop::option::of(0..50u32), 0..20),
            after in 0..25usize,
        ) {
            let mut succession = Succession::with_room(positions.len());
            positions.iter().for_each(|position| succession.push(*position));
            let passed = positions.iter().take(after);
            let expected = passed.rev().find_map(|position| *position).map_or(0, |position| position as usize + 1);
            prop_assert_eq!(succession.place(after), expected);
        }
    }
}

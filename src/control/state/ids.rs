//! Small integers that name services and destinations: the lowest free one, so that tables indexed by them stay dense.

use std::collections::BTreeSet;
use std::sync::Arc;

#[derive(Clone, Default)]
pub(super) struct Ids {
    next: u32,
    /// Shared between copies of the state until one of them changes it.
    free: Arc<BTreeSet<u32>>,
}

impl Ids {
    pub fn take(&mut self) -> u32 {
        if !self.free.is_empty()
            && let Some(id) = Arc::make_mut(&mut self.free).pop_first()
        {
            return id;
        }
        let id = self.next;
        self.next += 1;
        id
    }

    pub fn give_back(&mut self, id: u32) {
        let new = Arc::make_mut(&mut self.free).insert(id);
        assert!(new && id < self.next, "id {id} was given back twice, or never taken");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_id_is_taken_first_and_a_copy_is_not_affected() {
        let mut ids = Ids::default();
        assert_eq!([ids.take(), ids.take(), ids.take()], [0, 1, 2]);
        let mut copy = ids.clone();
        ids.give_back(1);
        ids.give_back(0);
        assert_eq!([ids.take(), ids.take(), ids.take()], [0, 1, 3]);
        assert_eq!(copy.take(), 3);
    }
}

//! Slots: every connection belongs to one of them, every slot to one worker. They are what moves between workers.

use super::ids::WorkerId;

/// Slots there are: the entries of most NICs' indirection tables, or a divisor of their number, and enough that an even
/// share for each of some dozens of workers differs by little.
pub const SLOTS: usize = 128;

/// One of [`SLOTS`] parts of all connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(transparent)]
pub struct Slot(u8);

impl Slot {
    /// `None`: there are not so many.
    pub fn new(number: usize) -> Option<Self> {
        (number < SLOTS).then_some(Self(number as u8))
    }

    /// Of what has this hash. A NIC whose indirection table has a multiple of [`SLOTS`] entries chooses the same one.
    #[inline(always)]
    pub const fn of_hash(hash: u32) -> Self {
        Self((hash % SLOTS as u32) as u8)
    }

    #[inline(always)]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Which worker each slot belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotTable([WorkerId; SLOTS]);

impl Default for SlotTable {
    /// All are the first worker's.
    fn default() -> Self {
        Self([WorkerId(0); SLOTS])
    }
}

impl SlotTable {
    /// As evenly as may be, in turns: what drivers fill an indirection table with that nobody has set.
    pub fn even(workers: u16) -> Self {
        let workers = usize::from(workers.max(1));
        Self(std::array::from_fn(|slot| WorkerId((slot % workers) as u16)))
    }

    #[inline(always)]
    pub fn worker_of(&self, slot: Slot) -> WorkerId {
        self.0[slot.index()]
    }

    pub fn assign(&mut self, slot: Slot, worker: WorkerId) {
        self.0[slot.index()] = worker;
    }

    /// By slot number.
    pub fn workers(&self) -> &[WorkerId; SLOTS] {
        &self.0
    }

    /// Slots of a worker.
    pub fn count_of(&self, worker: WorkerId) -> usize {
        self.0.iter().filter(|of| **of == worker).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_table_gives_each_worker_its_share() {
        for workers in 1..=SLOTS as u16 {
            let table = SlotTable::even(workers);
            let counts: Vec<_> = (0..workers).map(|worker| table.count_of(WorkerId(worker))).collect();
            assert_eq!(counts.iter().sum::<usize>(), SLOTS);
            assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{counts:?}");
        }
        assert_eq!(SlotTable::even(0), SlotTable::default(), "there is always a worker");
    }

    #[test]
    fn a_hash_leads_to_the_slot_that_a_longer_indirection_table_leads_to() {
        for hash in [0, 1, 127, 128, 511, 0x51ccc178, u32::MAX] {
            let entry_of_512 = hash as usize % 512;
            assert_eq!(Slot::of_hash(hash).index(), entry_of_512 % SLOTS);
        }
        assert_eq!(Slot::new(SLOTS), None);
        assert_eq!(Slot::new(5).map(Slot::index), Some(5));
    }
}

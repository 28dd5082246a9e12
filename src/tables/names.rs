//! Byte strings that connections are told apart by (Call-IDs), each kept once and known by a number: so a key holds the
//! number, and to compare keys is to compare whole strings. Fixed capacity; memory is taken as names come.

use super::index::Index;
use super::memory::{Mapping, NoMemory, Zeroed};
use crate::wire::address::fold;

/// Bytes of a name.
pub const NAME_LEN_MAX: usize = 255;
/// Names a worker knows at once, one a call: as many calls under way on one core.
pub const NAMES_MAX: u32 = 1 << 18;

/// One name, or a free entry.
#[repr(C)]
struct Entry {
    bytes: [u8; NAME_LEN_MAX],
    len: u8,
    references: u32,
    /// Next of the free ones.
    next: u32,
}

#[allow(unsafe_code)]
// SAFETY: made of integers; an entry of zero bytes is a free one.
unsafe impl Zeroed for Entry {}

impl Entry {
    fn name(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// Names by number; 0 is none.
pub struct Names {
    slab: Mapping<Entry>,
    index: Index,
    seed: u64,
    free: u32,
    /// Entries from here on have never been used.
    fresh: u32,
}

impl Names {
    /// `seed` should be random, as for connections.
    pub fn new(capacity: u32, seed: u64) -> Result<Self, NoMemory> {
        let slab = Mapping::new_sparse(capacity as usize + 1)?;
        Ok(Self { slab, index: Index::new_sparse(capacity as usize)?, seed, free: 0, fresh: 1 })
    }

    fn hash(&self, name: &[u8]) -> u64 {
        let word = |chunk: &[u8]| {
            let mut bytes = [0; 8];
            bytes[..chunk.len()].copy_from_slice(chunk);
            u64::from_ne_bytes(bytes)
        };
        let start = self.seed ^ name.len() as u64;
        name.chunks(8).fold(start, |hash, chunk| fold(hash ^ word(chunk), self.seed | 1))
    }

    /// The number of a name that is known.
    pub fn find(&self, name: &[u8]) -> Option<u32> {
        self.index.find(self.hash(name), |id| self.slab[id as usize].name() == name)
    }

    /// What a number stands for.
    pub fn get(&self, id: u32) -> &[u8] {
        self.slab.get(id as usize).map_or(&[], Entry::name)
    }

    /// The name's number, kept until it is released as often as it was held. `None` when there is no room, or it is too
    /// long.
    pub fn hold(&mut self, name: &[u8]) -> Option<u32> {
        let id = match self.find(name) {
            Some(id) => id,
            None => self.add(name)?,
        };
        self.slab[id as usize].references += 1;
        Some(id)
    }

    fn add(&mut self, name: &[u8]) -> Option<u32> {
        let len = u8::try_from(name.len()).ok()?;
        let id = self.take_entry()?;
        let entry = &mut self.slab[id as usize];
        entry.bytes[..name.len()].copy_from_slice(name);
        entry.len = len;
        if self.index.insert(self.hash(name), id) {
            return Some(id);
        }
        self.give_back(id);
        None
    }

    fn take_entry(&mut self) -> Option<u32> {
        if self.free != 0 {
            let next = self.slab[self.free as usize].next;
            return Some(std::mem::replace(&mut self.free, next));
        }
        let is_left = (self.fresh as usize) < self.slab.len();
        self.fresh += u32::from(is_left);
        is_left.then(|| self.fresh - 1)
    }

    fn give_back(&mut self, id: u32) {
        self.slab[id as usize].next = self.free;
        self.free = id;
    }

    /// Whoever held the name does not need it any more; 0 is none.
    pub fn release(&mut self, id: u32) {
        let Some(entry) = self.slab.get_mut(id as usize).filter(|entry| entry.references > 0) else { return };
        entry.references -= 1;
        if entry.references == 0 {
            self.index.remove(self.hash(self.get(id)), id);
            self.give_back(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn it_agrees_with_a_hash_map_of_counts_also_when_it_is_full() {
        let mut names = Names::new(20, 7).unwrap();
        let mut oracle: HashMap<String, (u32, u32)> = HashMap::new();
        let mut state = 1_u64;
        let mut refused = 0;
        for _ in 0..20_000 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let name = format!("{}@{}", "x".repeat((state >> 40) as usize % 9), (state >> 33) % 5);
            assert_eq!(names.find(name.as_bytes()), oracle.get(&name).map(|(id, _)| *id));
            if state >> 63 == 0 {
                match names.hold(name.as_bytes()) {
                    Some(id) => {
                        let known = oracle.entry(name.clone()).or_insert((id, 0));
                        assert_eq!((known.0, names.get(id)), (id, name.as_bytes()));
                        known.1 += 1;
                    }
                    None => refused += usize::from(oracle.len() == 20),
                }
            } else if let Some((id, count)) = oracle.get_mut(&name) {
                names.release(*id);
                *count -= 1;
                if *count == 0 {
                    oracle.remove(&name);
                }
            }
        }
        assert!(refused > 0, "the test has filled it");
        assert_eq!(names.hold(&[b'a'; NAME_LEN_MAX + 1]), None);
        names.release(0);
    }
}

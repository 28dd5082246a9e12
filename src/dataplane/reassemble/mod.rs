//! Reassembly: fragments in, whole packets out (RFC 791 §3.2, RFC 8200 §4.5), as the kernel does it (ip_frag_queue,
//! nf_ct_frag6_queue, inet_frag_queue_insert).
//!
//! A reassembler belongs to one worker and knows nothing of connections: which worker a fragment goes to follows from
//! its source, destination and identification alone. Datagrams, fragments of one, and the buffers they hold are
//! bounded; a slot keeps its memory for the next datagram, so nothing is allocated for a fragment once the tables have
//! grown to what is needed.
//!
//! Left out: `ipfrag_max_dist`, by which the kernel begins an IPv4 packet anew when more than 64 others of its source have
//! come in between. It wants a count for each source, and guards against identifications that come round within 30
//! seconds, which the checksums of the whole packets do as well.

mod datagram;
mod family;
#[cfg(test)]
mod tests;

use super::frame::Frame;
use crate::model::limits::{DATAGRAMS_MAX, FRAGMENT_BUFFERS_MAX, FRAGMENTS_PER_DATAGRAM_MAX};
use crate::model::{DropReason, Time};
use crate::wire::address::fold;
use arrayvec::ArrayVec;
use datagram::Datagram;
pub use family::{Fragment, Reassembled};
use hashbrown::HashTable;

/// What fragments of one packet have in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatagramKey<A> {
    pub source: A,
    pub destination: A,
    pub id: u32,
    /// IPv4 only; RFC 8200 §4.5 has it not.
    pub protocol: u8,
}

/// How a packet came: what is sent on is cut the same way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Geometry {
    /// Data bytes of each fragment, in the packet's order.
    pub lens: ArrayVec<u16, FRAGMENTS_PER_DATAGRAM_MAX>,
    /// Bytes of the longest fragment, its IP header included (the kernel's frag_max_size).
    pub largest: u16,
    /// The longest one had DF: so have the fragments that leave, if they are cut anew (the kernel's IPSKB_FRAG_PMTU).
    pub dont_fragment: bool,
    pub is_v6: bool,
}

/// A packet made from its fragments, as if it had come in one.
#[derive(Debug)]
pub struct Whole<F> {
    pub frame: F,
    pub geometry: Geometry,
}

/// Why a fragment leads to nothing, and how many frames go with it: itself, and all of its datagram's if that is given
/// up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    pub reason: DropReason,
    pub frames: u32,
}

/// A datagram that was not completed in time.
#[derive(Debug)]
pub struct Expired<F> {
    /// Its first fragment, as it came, if there was one: its sender is told (RFC 792, RFC 4443 §3.3).
    pub first: Option<F>,
    /// Frames dropped, the first one among them.
    pub frames: u32,
}

/// No slot.
const NONE: u32 = u32::MAX;

/// All datagrams of one family that are not complete.
pub struct Reassembler<A, F> {
    slots: Vec<Datagram<A, F>>,
    free: Vec<u32>,
    by_key: HashTable<u32>,
    /// The datagrams by age, which is the order in which their time is up.
    oldest: u32,
    newest: u32,
    /// Buffers that all fragments hold together.
    buffers: u32,
    seeds: [u64; 4],
}

impl<A: Reassembled, F: Frame> Reassembler<A, F> {
    pub fn new(seeds: [u64; 4]) -> Self {
        Self { slots: vec![], free: vec![], by_key: HashTable::new(), oldest: NONE, newest: NONE, buffers: 0, seeds }
    }

    /// Datagrams that wait for fragments.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// Fragments held.
    pub fn fragments(&self) -> u32 {
        self.slots.iter().map(Datagram::len).sum()
    }

    /// Buffers held.
    pub fn buffers(&self) -> u32 {
        self.buffers
    }

    /// Takes a fragment, which ends where its IP packet ends. `Some` when it was the last that was missing.
    pub fn insert(&mut self, fragment: &Fragment<A>, frame: F, now: Time) -> Result<Option<Whole<F>>, Refused> {
        let buffers = frame.segments().count() as u32;
        if self.buffers + buffers > FRAGMENT_BUFFERS_MAX {
            return Err(Refused { reason: DropReason::ReassemblyFull, frames: 1 });
        }
        let slot = self.find_or_add(&fragment.key, now)?;
        match self.slots[slot as usize].insert(fragment, frame, buffers) {
            Ok(()) => self.buffers += buffers,
            Err(fault) if fault.spares_datagram => {
                self.remove_if_empty(slot);
                return Err(Refused { reason: fault.reason, frames: 1 });
            }
            Err(fault) => return Err(Refused { reason: fault.reason, frames: 1 + self.give_up(slot) }),
        }
        if !self.slots[slot as usize].is_complete() {
            return Ok(None);
        }
        self.remove(slot);
        let frames = self.slots[slot as usize].len();
        let whole = self.slots[slot as usize].join();
        self.slots[slot as usize].clear();
        whole.map(Some).map_err(|reason| Refused { reason, frames })
    }

    /// One datagram whose time is up, if there is one.
    pub fn expire(&mut self, now: Time) -> Option<Expired<F>> {
        let slot = self.oldest;
        if self.slots.get(slot as usize)?.deadline > now {
            return None;
        }
        let first = self.slots[slot as usize].take_first();
        let frames = u32::from(first.is_some()) + self.give_up(slot);
        Some(Expired { first, frames })
    }

    fn hash(&self, key: &DatagramKey<A>) -> u64 {
        hash(&self.seeds, key)
    }

    fn find_or_add(&mut self, key: &DatagramKey<A>, now: Time) -> Result<u32, Refused> {
        let hash = self.hash(key);
        if let Some(&slot) = self.by_key.find(hash, |&slot| self.slots[slot as usize].key == *key) {
            return Ok(slot);
        }
        if self.by_key.len() >= DATAGRAMS_MAX {
            return Err(Refused { reason: DropReason::ReassemblyFull, frames: 1 });
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Datagram::default());
            self.slots.len() as u32 - 1
        });
        self.slots[slot as usize].begin(*key, now.plus_ms(A::TIMEOUT_MS), self.newest);
        match self.slots.get_mut(self.newest as usize) {
            Some(newest) => newest.newer = slot,
            None => self.oldest = slot,
        }
        self.newest = slot;
        let (slots, seeds) = (&self.slots, &self.seeds);
        self.by_key.insert_unique(hash, slot, |&slot| self::hash(seeds, &slots[slot as usize].key));
        Ok(slot)
    }

    /// Takes a datagram out of all lists; what it holds is still in its slot, and no longer counted.
    fn remove(&mut self, slot: u32) {
        let datagram = &self.slots[slot as usize];
        let (older, newer, hash) = (datagram.older, datagram.newer, self.hash(&datagram.key));
        self.buffers -= datagram.buffers;
        if let Ok(entry) = self.by_key.find_entry(hash, |&other| other == slot) {
            entry.remove();
        }
        match self.slots.get_mut(older as usize) {
            Some(older) => older.newer = newer,
            None => self.oldest = newer,
        }
        match self.slots.get_mut(newer as usize) {
            Some(newer) => newer.older = older,
            None => self.newest = older,
        }
        self.free.push(slot);
    }

    /// Drops a datagram; how many frames went.
    fn give_up(&mut self, slot: u32) -> u32 {
        self.remove(slot);
        let frames = self.slots[slot as usize].len();
        self.slots[slot as usize].clear();
        frames
    }

    fn remove_if_empty(&mut self, slot: u32) {
        if self.slots[slot as usize].len() == 0 {
            self.give_up(slot);
        }
    }
}

fn hash<A: Reassembled>(seeds: &[u64; 4], key: &DatagramKey<A>) -> u64 {
    let addresses = A::mix(key.source, key.destination, *seeds);
    fold(addresses, (u64::from(key.id) << 8 | u64::from(key.protocol)) ^ seeds[3])
}

//! A hierarchical timer wheel of intrusive lists: four levels of 256 slots, 10 ms to 497 days.
//!
//! A packet only stores its connection's new deadline; where the connection is filed is corrected when its old place
//! comes up, or at once when the new deadline is earlier. Each slot has several lists ("lanes") that are drained in
//! turn, so that the cache misses of their next entries overlap. Work is handed out one entry at a time: the caller
//! bounds it, and a wheel that falls behind catches up later, in order.
//!
//! After G. Varghese, T. Lauck, "Hashed and Hierarchical Timing Wheels" (SOSP 1987), scheme 7.

use crate::model::Tick;

const LEVELS: u32 = 4;
const BITS: u32 = 8;
const SLOTS: u32 = 1 << BITS;
/// Lists a slot: as many misses as a core can usefully have in flight beside its packets.
const LANES: u32 = 8;
/// In `prev`: this entry is the first of the list whose number follows.
const FIRST: u32 = 1 << 31;

/// What the wheel keeps in an entry. Entry number 0 means none.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Timer {
    /// When the entry is due.
    pub deadline: Tick,
    /// When the wheel will look at it; never after the deadline.
    filed: Tick,
    pub(super) next: u32,
    prev: u32,
}

impl Timer {
    /// A timer that is in no list yet.
    pub fn at(deadline: Tick) -> Self {
        Self { deadline, ..Self::default() }
    }

    /// Moves the deadline. True when the wheel has to be told (see [`Wheel::deadline_changed`]).
    #[inline(always)]
    #[must_use]
    pub fn set(&mut self, deadline: Tick) -> bool {
        self.deadline = deadline;
        deadline.is_before(self.filed)
    }
}

/// Entries with a timer, by number.
pub trait Timed {
    fn timer(&mut self, id: u32) -> &mut Timer;
    fn prefetch(&self, id: u32);
}

/// The wheel; entries are numbered from 1.
pub struct Wheel {
    heads: Box<[u32]>,
    /// The tick whose slots are being drained.
    now: Tick,
    /// The level being drained; lower ones follow.
    level: u32,
    lane: u32,
}

impl Wheel {
    pub fn new(now: Tick) -> Self {
        let heads = vec![0; (LEVELS * SLOTS * LANES) as usize].into_boxed_slice();
        Self { heads, now, level: top_level(now), lane: 0 }
    }

    /// Files an entry that is in no list.
    #[inline]
    pub fn file(&mut self, entries: &mut (impl Timed + ?Sized), id: u32) {
        let deadline = entries.timer(id).deadline;
        let list = self.list_for(deadline, id);
        let head = std::mem::replace(&mut self.heads[list as usize], id);
        let timer = entries.timer(id);
        (timer.filed, timer.next, timer.prev) = (deadline, head, FIRST | list);
        if head != 0 {
            entries.timer(head).prev = id;
        }
    }

    /// The list an entry due at `deadline` belongs to: the level by how far away it is. What is due, or overdue, goes
    /// to the next tick, as the current one is being drained.
    #[inline]
    fn list_for(&self, deadline: Tick, id: u32) -> u32 {
        let away = deadline.since(self.now).max(1) as u32;
        let at = self.now.plus(away).0;
        let level = (31 - away.leading_zeros()) / BITS;
        (level * SLOTS + (at >> (level * BITS) & (SLOTS - 1))) * LANES + id % LANES
    }

    /// Takes an entry out of its list.
    pub fn unlink(&mut self, entries: &mut (impl Timed + ?Sized), id: u32) {
        let Timer { next, prev, .. } = *entries.timer(id);
        if prev & FIRST != 0 {
            self.heads[(prev & !FIRST) as usize] = next;
        } else {
            entries.timer(prev).next = next;
        }
        if next != 0 {
            entries.timer(next).prev = prev;
        }
    }

    /// To be called when an entry's deadline has changed: only an earlier one needs work now.
    #[inline(always)]
    pub fn deadline_changed(&mut self, entries: &mut (impl Timed + ?Sized), id: u32) {
        let timer = *entries.timer(id);
        if timer.deadline.is_before(timer.filed) {
            self.refile(entries, id);
        }
    }

    #[cold]
    fn refile(&mut self, entries: &mut (impl Timed + ?Sized), id: u32) {
        self.unlink(entries, id);
        self.file(entries, id);
    }

    /// The next entry the wheel has to look at, taken out of its list; `None` when it has caught up with `now`.
    /// The caller files it again if its deadline is still to come.
    #[inline]
    pub fn next_due(&mut self, entries: &mut (impl Timed + ?Sized), now: Tick) -> Option<u32> {
        while !now.is_before(self.now) {
            if let Some(id) = self.take_first(entries) {
                return Some(id);
            }
            if self.level > 0 {
                self.level -= 1;
            } else {
                self.now = self.now.plus(1);
                self.level = top_level(self.now);
                self.prefetch_slot(entries);
            }
        }
        None
    }

    fn slot(&self) -> u32 {
        (self.level * SLOTS + (self.now.0 >> (self.level * BITS) & (SLOTS - 1))) * LANES
    }

    fn take_first(&mut self, entries: &mut (impl Timed + ?Sized)) -> Option<u32> {
        let slot = self.slot();
        for _ in 0..LANES {
            let list = (slot + self.lane) as usize;
            self.lane = (self.lane + 1) % LANES;
            let id = self.heads[list];
            if id != 0 {
                let next = entries.timer(id).next;
                self.heads[list] = next;
                if next != 0 {
                    entries.prefetch(next);
                    self.head_changed(entries, next, list as u32);
                }
                return Some(id);
            }
        }
        None
    }

    fn head_changed(&mut self, entries: &mut (impl Timed + ?Sized), id: u32, list: u32) {
        entries.timer(id).prev = FIRST | list;
    }

    fn prefetch_slot(&self, entries: &(impl Timed + ?Sized)) {
        let slot = self.slot() as usize;
        for &id in &self.heads[slot..slot + LANES as usize] {
            if id != 0 {
                entries.prefetch(id);
            }
        }
    }
}

/// The highest level whose slot begins at this tick.
fn top_level(now: Tick) -> u32 {
    (now.0.trailing_zeros() / BITS).min(LEVELS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Default)]
    struct Entries(Vec<Timer>);
    impl Timed for Entries {
        fn timer(&mut self, id: u32) -> &mut Timer {
            &mut self.0[id as usize]
        }
        fn prefetch(&self, _: u32) {}
    }

    fn drain(wheel: &mut Wheel, entries: &mut Entries, now: Tick) -> Vec<u32> {
        let mut due = vec![];
        while let Some(id) = wheel.next_due(entries, now) {
            if now.is_before(entries.timer(id).deadline) {
                wheel.file(entries, id);
            } else {
                due.push(id);
            }
        }
        due.sort_unstable();
        due
    }

    #[test]
    fn every_entry_comes_up_at_its_deadline_or_a_tick_later_and_never_before() {
        let start = Tick(u32::MAX - 70_000); // the clock wraps on the way
        let mut wheel = Wheel::new(start);
        let n = 3000;
        let mut entries = Entries(vec![Timer::default(); n + 1]);
        let mut oracle = BTreeMap::new();
        let mut state = 7_u64;
        let mut random = move |below: u32| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as u32 % below
        };
        for id in 1..=n as u32 {
            let at = [300, 70_000, 200_000][id as usize % 3];
            let offset = random(at);
            entries.0[id as usize].deadline = start.plus(offset);
            wheel.file(&mut entries, id);
            oracle.insert(id, offset);
        }
        for step in (0..=200_001).step_by(7) {
            // now and then a deadline moves, to either side
            let id = random(n as u32) + 1;
            if let Some(offset) = oracle.get_mut(&id) {
                *offset = step + random(150_000);
                entries.0[id as usize].deadline = start.plus(*offset);
                wheel.deadline_changed(&mut entries, id);
            }
            let due = drain(&mut wheel, &mut entries, start.plus(step));
            for id in due {
                let offset = oracle.remove(&id).unwrap();
                assert!(offset <= step, "{id} came up early");
                assert!(offset + 16 >= step, "{id} came up late: {offset} at {step}");
            }
        }
        drain(&mut wheel, &mut entries, start.plus(500_000)).iter().for_each(|id| {
            oracle.remove(id).unwrap();
        });
        assert!(oracle.is_empty());
    }

    #[test]
    fn work_can_stop_at_any_entry_and_go_on_later() {
        let mut wheel = Wheel::new(Tick(0));
        let mut entries = Entries(vec![Timer::default(); 1001]);
        for id in 1..=1000 {
            entries.0[id as usize].deadline = Tick(1 + id % 600);
            wheel.file(&mut entries, id);
        }
        let mut seen = 0;
        for _ in 0..5000 {
            if let Some(id) = wheel.next_due(&mut entries, Tick(700)) {
                if Tick(700).is_before(entries.timer(id).deadline) {
                    wheel.file(&mut entries, id);
                } else {
                    seen += 1;
                }
            }
            // an unrelated entry may be unlinked and filed again in between
        }
        assert_eq!(seen, 1000);
    }
}

//! One sequence for several workers: rr and wrr go through their destinations in turns, and where they stand is all that
//! they remember. Workers take blocks of turns off one place that they share.
//!
//! A worker works out what the next turns are, just as if it were alone, and takes them by moving the place behind them;
//! if another worker was quicker, it works them out again from where that one has left the place. So every turn is one
//! worker's, and what they decide together is the sequence, in about its order: a block is short (see [`Lease`]), and of
//! a single turn where few connections come.

use super::{Flow, Loads, Plan, Pool, Ranking, State};
use crate::model::Time;
use crate::tables::sync::{AtomicU64, Ordering};
use arrayvec::ArrayVec;
use crossbeam::utils::CachePadded;

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

/// Turns of one block at most: the sharing costs a thirty-second then, and four workers that hold a block each hold up
/// a tenth of a percent of 100 000 turns.
const BLOCK_MAX: usize = 32;

/// How long a block is to last. Longer ones only save what is little by then.
const BLOCK_NS: u64 = 500_000;

/// How often a worker tries before it goes on without: then a turn is taken twice, which is rare, and nobody waits.
const ATTEMPTS: usize = 8;

/// A worker's block of turns.
#[derive(Debug, Default)]
pub struct Lease {
    /// The last one comes first.
    turns: ArrayVec<u32, BLOCK_MAX>,
    /// Of the block that is next: a single turn at first, twice as many when they are used up soon.
    len: usize,
    since: Time,
    /// Always a single turn.
    strict: bool,
}

impl Lease {
    pub fn new(strict: bool) -> Self {
        Self { strict, ..Self::default() }
    }

    /// As [`State::schedule`], by turns of the sequence.
    pub fn schedule<L: Loads>(
        &mut self,
        state: &mut State,
        pool: &Pool,
        plan: &Plan,
        ranking: &Ranking,
        loads: &L,
        flow: &Flow,
    ) -> Option<usize> {
        let Some(turns) = plan.turns() else { return state.schedule(pool, plan, ranking, loads, flow) };
        while let Some(turn) = self.turns.pop() {
            // it was when the block was taken; passed over like others that cannot take a connection
            if pool.is_usable(turn as usize, loads) {
                return Some(turn as usize);
            }
        }
        self.set_len(flow.now);
        for _ in 0..ATTEMPTS {
            turns.begin(state.place());
            let Some(from) = turns.place() else { break };
            state.go_to(from);
            let next = || state.schedule(pool, plan, ranking, loads, flow).map(|turn| turn as u32);
            self.turns = std::iter::from_fn(next).take(self.len).collect();
            if turns.take(from, state.place()) {
                self.turns.reverse();
                return self.turns.pop().map(|turn| turn as usize);
            }
        }
        let turn = self.turns.first().map(|turn| *turn as usize);
        self.turns.clear();
        turn
    }

    /// How long the next block is, by how soon the last one was used up.
    fn set_len(&mut self, now: Time) {
        let lasted = now.since(self.since);
        self.since = now;
        self.len = match lasted {
            _ if self.strict => 1,
            0..BLOCK_NS => (self.len * 2).clamp(1, BLOCK_MAX),
            _ if lasted < 2 * BLOCK_NS => self.len.max(1),
            _ => (self.len as u64 * BLOCK_NS / lasted).max(1) as usize,
        };
    }
}

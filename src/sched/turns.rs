//! One sequence for several workers: rr and wrr go through their destinations in turns, and where they stand is all that
//! they remember. Workers take blocks of turns off one place that they share.
//!
//! A worker works out what the next turns are, just as if it were alone, and takes them by moving the place behind them;
//! if another worker was quicker, it works them out again from where that one has left the place. So every turn is one
//! worker's, and what they decide together is the sequence, in about its order: a block is short (see [`Lease`]), and of
//! a single turn where few connections come.

use super::{Flow, Loads, Plan, Pool, Ranking, State};
use crate::model::Time;
use arrayvec::ArrayVec;

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

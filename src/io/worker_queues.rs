//! The queues of one worker, as the poll loop uses them: what it receives from, what it sends to, where it takes new
//! frames from.

use super::mbuf::{Burst, Mbuf, free_bulk};
use super::mempool::Allocator;
use super::queue::{RxQueue, TxQueue};
use crate::dataplane::frame::FramePool;
use crate::dataplane::outlet::Outlet;
use crate::dataplane::worker::Queues;
use crate::model::limits::BURST;
use crate::model::{DropReason, PortId, WorkerCounters};
use crate::tables::ring::{Consumer, Producer};
use arrayvec::ArrayVec;

/// How often a full transmit queue is tried again before its frames are dropped: a NIC takes a burst in less than a
/// microsecond, a queue that stays full is slower than what is sent to it.
const SEND_RETRIES: usize = 4;

/// Frames from which on a burst is moved as a whole, which costs the same however few they are.
const WORTH_MOVING: usize = 16;

/// How a worker's frames get to a port.
pub enum Exit {
    /// By a queue of its own; also those of the workers at the other ends, which have none.
    Own(TxQueue, Vec<Consumer<Mbuf>>),
    /// Through a worker that has a queue.
    Through(Producer<Mbuf>),
}

/// One worker's queues.
pub struct WorkerQueues {
    receive: Vec<(RxQueue, PortId)>,
    /// By port. They go before the pool that their frames are of.
    transmit: Vec<Transmit>,
    pool: Allocator,
}

struct Transmit {
    exit: Exit,
    waiting: Burst,
    sent: u64,
    refused: u64,
}

impl WorkerQueues {
    /// `exits` has one a port, in the order of port ids.
    pub fn new(receive: Vec<(RxQueue, PortId)>, exits: Vec<Exit>, pool: Allocator) -> Self {
        let transmit = exits.into_iter().map(|exit| Transmit { exit, waiting: Burst::new(), sent: 0, refused: 0 });
        Self { receive, transmit: transmit.collect(), pool }
    }
}

impl Transmit {
    fn flush(&mut self) {
        match &mut self.exit {
            Exit::Own(queue, _) => {
                for _ in 0..=SEND_RETRIES {
                    self.sent += queue.send(&mut self.waiting) as u64;
                    if self.waiting.is_empty() {
                        return;
                    }
                }
            }
            Exit::Through(ring) => ring.push_burst(&mut self.waiting),
        }
        if !self.waiting.is_empty() {
            self.refused += self.waiting.len() as u64;
            free_bulk(&mut self.waiting);
        }
    }

    /// Sends what has come from workers without a queue of this port, up to a burst of each.
    fn send_for_others(&mut self) {
        let others = if let Exit::Own(_, others) = &self.exit { others.len() } else { 0 };
        for other in 0..others {
            let Exit::Own(_, rings) = &mut self.exit else { return };
            rings[other].pop_burst(&mut self.waiting);
            if !self.waiting.is_empty() {
                self.flush();
            }
        }
    }

    fn take_unsendable(&mut self) -> u64 {
        if let Exit::Own(queue, _) = &mut self.exit { queue.take_unsendable() } else { 0 }
    }
}

impl Outlet<Mbuf> for WorkerQueues {
    #[inline(always)]
    fn transmit(&mut self, port: PortId, frame: Mbuf) {
        let transmit = &mut self.transmit[port.index()];
        transmit.waiting.push(frame);
        if transmit.waiting.is_full() {
            transmit.flush();
        }
    }

    #[inline(always)]
    fn transmit_burst(&mut self, port: PortId, frames: &mut Burst) {
        let transmit = &mut self.transmit[port.index()];
        if !transmit.waiting.is_empty() || frames.len() < WORTH_MOVING {
            return frames.drain(..).for_each(|frame| self.transmit(port, frame));
        }
        transmit.waiting = std::mem::take(frames);
        if transmit.waiting.is_full() {
            transmit.flush();
        }
    }

    fn alloc(&mut self) -> Option<Mbuf> {
        self.pool.alloc()
    }
}

impl Queues<Mbuf> for WorkerQueues {
    #[inline(always)]
    fn count(&self) -> usize {
        self.receive.len()
    }

    #[inline(always)]
    fn receive(&mut self, queue: usize, into: &mut ArrayVec<Mbuf, BURST>) -> PortId {
        let (queue, port) = &mut self.receive[queue];
        queue.receive(into);
        *port
    }

    #[inline(always)]
    fn flush(&mut self, counters: &WorkerCounters) {
        for transmit in &mut self.transmit {
            if !transmit.waiting.is_empty() {
                transmit.flush();
            }
            transmit.send_for_others();
            if transmit.sent > 0 || transmit.refused > 0 {
                counters.transmitted.add(std::mem::take(&mut transmit.sent));
                let refused = std::mem::take(&mut transmit.refused) + transmit.take_unsendable();
                counters.drops[DropReason::TxFull as usize].add(refused);
            }
        }
    }
}

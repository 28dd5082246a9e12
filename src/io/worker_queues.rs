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
use arrayvec::ArrayVec;

/// How often a full transmit queue is tried again before its frames are dropped: a NIC takes a burst in less than a
/// microsecond, a queue that stays full is slower than what is sent to it.
const SEND_RETRIES: usize = 4;

/// One worker's queues.
pub struct WorkerQueues {
    receive: Vec<(RxQueue, PortId)>,
    /// By port.
    transmit: Vec<Transmit>,
    pool: Allocator,
}

struct Transmit {
    queue: TxQueue,
    waiting: Burst,
    sent: u64,
    refused: u64,
}

impl WorkerQueues {
    /// `transmit` has one queue a port, in the order of port ids.
    pub fn new(receive: Vec<(RxQueue, PortId)>, transmit: Vec<TxQueue>, pool: Allocator) -> Self {
        let transmit = transmit.into_iter().map(|queue| Transmit { queue, waiting: Burst::new(), sent: 0, refused: 0 });
        Self { receive, transmit: transmit.collect(), pool }
    }
}

impl Transmit {
    fn flush(&mut self) {
        for _ in 0..=SEND_RETRIES {
            self.sent += self.queue.send(&mut self.waiting) as u64;
            if self.waiting.is_empty() {
                return;
            }
        }
        self.refused += self.waiting.len() as u64;
        free_bulk(&mut self.waiting);
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
            if transmit.sent > 0 || transmit.refused > 0 {
                counters.transmitted.add(std::mem::take(&mut transmit.sent));
                let refused = std::mem::take(&mut transmit.refused) + transmit.queue.take_unsendable();
                counters.drops[DropReason::TxFull as usize].add(refused);
            }
        }
    }
}

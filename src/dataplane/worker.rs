//! The poll loop of one worker. What a packet goes through begins here.

use super::director::Director;
use super::frame::Frame;
use super::lead::Lead;
use super::mailbox::Desk;
use super::meter::{BurstTimes, Meter, Watch};
use super::outlet::Outlet;
use crate::model::limits::BURST;
use crate::model::{PortId, Time, WorkerCounters};
use arrayvec::ArrayVec;
use std::sync::Arc;
use std::time::Duration;

/// The queues of one worker: DPDK's, or a test's.
pub trait Queues<F: Frame>: Outlet<F> {
    /// Receive queues this worker polls.
    fn count(&self) -> usize;
    /// Takes what is there from a queue, up to a burst, and says which port it came in on.
    fn receive(&mut self, queue: usize, into: &mut ArrayVec<F, BURST>) -> PortId;
    /// Hands what was transmitted to the ports; what they refuse is counted and freed.
    fn flush(&mut self, counters: &WorkerCounters);
}

/// What a worker does when there is nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Idle {
    /// Poll again: lowest latency, a whole core.
    #[default]
    Spin,
    /// Let others have the core first.
    Yield,
    /// Sleep a little, after a while without packets.
    Sleep,
}

/// Empty polls before a sleeping worker sleeps, and for how long: a pause within a transfer should not be one.
const POLLS_BEFORE_SLEEP: u32 = 64;
const SLEEP: Duration = Duration::from_micros(100);

/// A worker: its director, its queues, its side of the mailbox.
// on lines of its own, as what lies beside it in memory may be another worker
#[repr(align(128))]
pub struct Worker<F: Frame, Q> {
    director: Director<F>,
    queues: Q,
    desk: Desk,
    counters: Arc<WorkerCounters>,
    burst: ArrayVec<F, BURST>,
    idle: Idle,
    /// Packets of the last poll.
    polled: usize,
    empty_polls: u32,
    meter: Meter,
    lead: Lead,
}

impl<F: Frame, Q: Queues<F>> Worker<F, Q> {
    pub fn new(director: Director<F>, queues: Q, desk: Desk, idle: Idle) -> Self {
        let (counters, _) = director.counters();
        let (burst, meter, lead) = (ArrayVec::new(), Meter::default(), Lead::default());
        Self { director, queues, desk, counters, burst, idle, polled: 0, empty_polls: 0, meter, lead }
    }

    /// How long its bursts take, for the control thread to read.
    pub fn burst_times(&self) -> Arc<BurstTimes> {
        self.meter.times()
    }

    /// How many packets its stages are ahead of each other.
    #[cfg(test)]
    pub fn lead(&self) -> usize {
        self.director.step
    }

    /// Polls until told to stop.
    pub fn run(&mut self, watch: impl Watch) {
        let mut now = watch.now();
        while !self.poll(now) {
            let began = std::mem::replace(&mut now, watch.now());
            let ns = now.since(began);
            self.meter.polled(ns, self.polled > 0, &watch);
            if let Some(packets) = self.lead.polled(ns, self.polled) {
                self.director.ask_ahead(packets);
            }
        }
    }

    /// One round over all queues. True: stop.
    #[inline]
    fn poll(&mut self, now: Time) -> bool {
        let mut processed = 0;
        self.director.fetch_parcels();
        for queue in 0..self.queues.count() {
            let port = self.queues.receive(queue, &mut self.burst);
            if !self.burst.is_empty() {
                processed += self.burst.len();
                self.director.process(port, &mut self.burst, now, &mut self.queues);
                self.director.send_parcels();
                self.queues.flush(&self.counters);
            }
        }
        processed += self.director.take_parcels(now, &mut self.queues);
        self.director.housekeeping(processed, now, &mut self.queues);
        self.director.send_parcels();
        self.queues.flush(&self.counters);
        let stop = self.desk.serve(&mut self.director);
        self.polled = processed;
        if processed > 0 {
            self.empty_polls = 0;
        } else {
            self.rest();
        }
        stop
    }

    fn rest(&mut self) {
        self.empty_polls = self.empty_polls.saturating_add(1);
        match self.idle {
            Idle::Spin => std::hint::spin_loop(),
            Idle::Yield => std::thread::yield_now(),
            Idle::Sleep if self.empty_polls > POLLS_BEFORE_SLEEP => std::thread::sleep(SLEEP),
            Idle::Sleep => std::hint::spin_loop(),
        }
    }
}

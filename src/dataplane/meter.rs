//! How long a worker's bursts take: from one poll that brought packets to the next, housekeeping and ports included. An
//! empty poll is no burst. It costs a burst a subtraction and an addition, as the clock is read once a poll anyway.

use crate::model::{Counter, Time};
use crate::tables::histogram::Histogram;
use std::sync::Arc;

/// A poll that took longer may have been interrupted: worth a system call to find out.
const LONG_NS: u64 = 20_000;

/// What a worker needs to know of the world besides its queues.
pub trait Watch {
    fn now(&self) -> Time;

    /// How often the kernel has taken the thread off its core for others. Only asked after a long poll.
    fn preemptions(&self) -> u64;
}

/// A test's, or a simulation's: nobody interrupts it.
impl<C: Fn() -> Time> Watch for C {
    fn now(&self) -> Time {
        self()
    }
    fn preemptions(&self) -> u64 {
        0
    }
}

/// Written by one worker.
#[derive(Debug, Default)]
pub struct BurstTimes {
    /// Bursts that had the core for themselves.
    pub undisturbed: Histogram,
    /// Long bursts during which the kernel gave the core to another thread: their time says nothing of the worker.
    pub preempted: Counter,
}

/// The worker's side.
#[derive(Debug, Default)]
pub(super) struct Meter {
    times: Arc<BurstTimes>,
    preemptions: u64,
}

impl Meter {
    pub fn times(&self) -> Arc<BurstTimes> {
        self.times.clone()
    }

    /// A poll is over.
    #[inline(always)]
    pub fn polled(&mut self, ns: u64, is_burst: bool, watch: &impl Watch) {
        if ns >= LONG_NS {
            self.polled_long(ns, is_burst, watch);
        } else if is_burst {
            self.times.undisturbed.record(ns);
        }
    }

    /// Empty polls, too, bring the number of preemptions up to date, so that the next burst is not excused by theirs.
    #[cold]
    fn polled_long(&mut self, ns: u64, is_burst: bool, watch: &impl Watch) {
        let before = std::mem::replace(&mut self.preemptions, watch.preemptions());
        if is_burst && self.preemptions != before {
            self.times.preempted.add(1);
        } else if is_burst {
            self.times.undisturbed.record(ns);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[derive(Default)]
    struct TestWatch {
        preemptions: Cell<u64>,
        asked: Cell<u64>,
    }

    impl Watch for TestWatch {
        fn now(&self) -> Time {
            Time(0)
        }
        fn preemptions(&self) -> u64 {
            self.asked.set(self.asked.get() + 1);
            self.preemptions.get()
        }
    }

    #[test]
    fn a_long_burst_counts_apart_when_it_was_preempted_and_only_then() {
        let (mut meter, watch) = (Meter::default(), TestWatch::default());
        meter.polled(500, true, &watch);
        assert_eq!(watch.asked.get(), 0, "no system call after a short burst");
        meter.polled(LONG_NS, true, &watch);
        watch.preemptions.set(3);
        meter.polled(90_000, true, &watch);
        meter.polled(70_000, true, &watch);
        let times = meter.times();
        assert_eq!((times.preempted.get(), times.undisturbed.max_ns()), (1, 70_000));
        assert_eq!(times.undisturbed.filled().iter().map(|(_, count)| count).sum::<u64>(), 3);
    }

    #[test]
    fn empty_polls_are_no_bursts_and_excuse_none() {
        let (mut meter, watch) = (Meter::default(), TestWatch::default());
        meter.polled(100, false, &watch);
        watch.preemptions.set(1);
        meter.polled(90_000, false, &watch);
        meter.polled(90_000, true, &watch);
        let times = meter.times();
        assert_eq!((times.preempted.get(), times.undisturbed.filled().len()), (0, 1));
    }
}

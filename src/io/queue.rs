//! Receive and transmit queues: a burst is one call into DPDK, whatever the number of frames.
//!
//! A queue is used by one thread at a time, which its methods' `&mut self` and the lack of `Clone` see to.
#![allow(unsafe_code)]

use std::ptr;
use std::sync::Arc;

use super::mbuf::Burst;
use super::port::OpenPort;

/// One receive queue of a port.
#[derive(Debug)]
pub struct RxQueue {
    port: u16,
    queue: u16,
    /// Keeps the port from being stopped.
    _open: Arc<OpenPort>,
}

impl RxQueue {
    pub(super) fn new(open: Arc<OpenPort>, queue: u16) -> Self {
        Self { port: open.id(), queue, _open: open }
    }

    /// Adds what has arrived to `frames`, at most until it is full, and returns how many.
    #[inline]
    pub fn receive(&mut self, frames: &mut Burst) -> usize {
        let length = frames.len();
        // SAFETY: the port is open and has this queue, and only we use it. DPDK writes at most as many mbufs as there
        // is room for, each of them valid and ours; `Mbuf` is a transparent pointer.
        unsafe {
            let end = frames.as_mut_ptr().add(length).cast();
            let room = frames.remaining_capacity() as u16;
            let received = usize::from(dpdk_sys::px_rx_burst(self.port, self.queue, end, room));
            frames.set_len(length + received);
            received
        }
    }
}

/// One transmit queue of a port.
#[derive(Debug)]
pub struct TxQueue {
    port: u16,
    queue: u16,
    /// The driver takes chains.
    chains: bool,
    unsendable: u64,
    _open: Arc<OpenPort>,
}

impl TxQueue {
    pub(super) fn new(open: Arc<OpenPort>, queue: u16, chains: bool) -> Self {
        Self { port: open.id(), queue, chains, unsendable: 0, _open: open }
    }

    /// Sends as many frames as the queue takes, from the first on, and returns how many. The others stay in `frames`,
    /// in order: the caller tries again a bounded number of times, then counts and frees them.
    #[inline]
    pub fn send(&mut self, frames: &mut Burst) -> usize {
        if !self.chains {
            self.linearise(frames);
        }
        let count = frames.len();
        // SAFETY: the port is open and has this queue, and only we use it. `Mbuf` is a transparent pointer. The first
        // `sent` mbufs now belong to DPDK: they leave the burst without being dropped, the others move up.
        unsafe {
            let start = frames.as_mut_ptr();
            let sent = usize::from(dpdk_sys::px_tx_burst(self.port, self.queue, start.cast(), count as u16));
            let left = count - sent;
            if left > 0 {
                ptr::copy(start.add(sent), start, left);
            }
            frames.set_len(left);
            sent
        }
    }

    /// Frames dropped since the last call because the driver takes no chains and their first buffer could not hold
    /// them.
    pub fn take_unsendable(&mut self) -> u64 {
        std::mem::take(&mut self.unsendable)
    }

    /// For a driver that sends only what is contiguous.
    #[cold]
    fn linearise(&mut self, frames: &mut Burst) {
        let before = frames.len();
        frames.retain(|frame| frame.segment_count() == 1 || frame.linearise());
        self.unsendable += (before - frames.len()) as u64;
    }
}

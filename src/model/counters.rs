//! Counters: written by one worker, read by the control thread at any time.

use super::drop_reason::DropReason;
use super::ids::PortId;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// A counter with a single writer: a plain add for it, a consistent value for every reader.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Counter(AtomicU64);

impl Counter {
    #[inline(always)]
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }
    #[inline(always)]
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }
    #[inline(always)]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A gauge with a single writer.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Gauge(AtomicU32);

impl Gauge {
    #[inline(always)]
    pub fn increment(&self) {
        self.0.store(self.0.load(Relaxed).wrapping_add(1), Relaxed);
    }
    #[inline(always)]
    pub fn decrement(&self) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(1), Relaxed);
    }
    #[inline(always)]
    pub fn set(&self, value: u32) {
        self.0.store(value, Relaxed);
    }
    #[inline(always)]
    pub fn get(&self) -> u32 {
        self.0.load(Relaxed)
    }
}

/// What one worker counts for one destination.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct DestCounters {
    pub connections: Counter,
    pub in_packets: Counter,
    pub out_packets: Counter,
    pub in_bytes: Counter,
    pub out_bytes: Counter,
    pub active: Gauge,
    pub inactive: Gauge,
    pub persistent: Gauge,
    /// Everything that still refers to the destination here: its entry may only go when all workers say 0.
    pub references: Gauge,
}
const _: () = assert!(size_of::<DestCounters>() == 64);

impl DestCounters {
    #[inline(always)]
    pub fn connections_that_are(&self, inactive: bool) -> &Gauge {
        if inactive { &self.inactive } else { &self.active }
    }
}

/// What one worker counts of its ring to another one.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct PairCounters {
    /// Frames and messages that went over it.
    pub sent: Counter,
    /// Those it had no room for.
    pub full: Counter,
}

/// Ports that are counted one by one: DPDK's own bound on them in usual builds. Those beyond count as the last.
pub const PORTS_COUNTED: usize = 32;

/// What one worker counts of a port.
#[derive(Debug, Default)]
pub struct PortCounters {
    /// Packets that came in here.
    pub received: Counter,
    /// Those of them that were another worker's.
    pub elsewhere: Counter,
    /// Of the latter, those that were compared, and those for which the other hash says that they came to the right one.
    pub compared: Counter,
    pub as_other_hash: Counter,
}

/// What one worker counts for itself.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct WorkerCounters {
    pub received: Counter,
    pub transmitted: Counter,
    /// Packets the director answered or absorbed itself: ARP, ping.
    pub consumed: Counter,
    /// Of the transmitted: those that were no service's.
    pub transit: Counter,
    /// Packets that went to the workers whose they are, and those that came from others.
    pub handed_over: Counter,
    pub taken_over: Counter,
    pub connections_created: Counter,
    pub connections_expired: Counter,
    /// Connections that went to other workers and came from them, and those of the latter that there was no room for, or
    /// that were there already.
    pub connections_moved_out: Counter,
    pub connections_moved_in: Counter,
    pub connections_lost: Counter,
    pub icmp_sent: Counter,
    /// ICMP errors not sent: rate limit, no route, no buffer, or an answer the RFCs forbid.
    pub icmp_suppressed: Counter,
    /// RSTs sent for connections that expired idle.
    pub resets_sent: Counter,
    /// Packets longer than the MTU that were sent in fragments, and the fragments made for them and for those of which
    /// not all could be sent.
    pub packets_fragmented: Counter,
    pub fragments_created: Counter,
    /// Packets put together from fragments, and the fragments they came in.
    pub packets_reassembled: Counter,
    pub fragments_reassembled: Counter,
    pub bursts: Counter,
    /// Times a port's link came up.
    pub link_ups: Counter,
    /// By port: see [`WorkerCounters::of_port`].
    pub ports: [PortCounters; PORTS_COUNTED],
    pub drops: [Counter; DropReason::COUNT],
}

impl WorkerCounters {
    #[inline(always)]
    pub fn of_port(&self, port: PortId) -> &PortCounters {
        &self.ports[port.index().min(PORTS_COUNTED - 1)]
    }
}

impl Default for WorkerCounters {
    fn default() -> Self {
        Self {
            received: Counter::default(),
            transmitted: Counter::default(),
            consumed: Counter::default(),
            transit: Counter::default(),
            handed_over: Counter::default(),
            taken_over: Counter::default(),
            connections_created: Counter::default(),
            connections_expired: Counter::default(),
            connections_moved_out: Counter::default(),
            connections_moved_in: Counter::default(),
            connections_lost: Counter::default(),
            icmp_sent: Counter::default(),
            icmp_suppressed: Counter::default(),
            resets_sent: Counter::default(),
            packets_fragmented: Counter::default(),
            fragments_created: Counter::default(),
            packets_reassembled: Counter::default(),
            fragments_reassembled: Counter::default(),
            bursts: Counter::default(),
            link_ups: Counter::default(),
            ports: std::array::from_fn(|_| PortCounters::default()),
            drops: std::array::from_fn(|_| Counter::default()),
        }
    }
}

impl WorkerCounters {
    /// Connections in its tables.
    pub fn connections(&self) -> u64 {
        let came = self.connections_created.get().wrapping_add(self.connections_moved_in.get());
        let went = self.connections_expired.get().wrapping_add(self.connections_moved_out.get());
        came.wrapping_sub(went)
    }

    #[inline(always)]
    pub fn dropped(&self, reason: DropReason) {
        self.drops[reason as usize].add(1);
    }
}

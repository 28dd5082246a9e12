//! How much memory is needed, and whether it is there, before anything is started.

use super::RunError;
use crate::control::config::Config;
use crate::dataplane::steer::peers::depth;
use crate::model::Family;
use crate::model::limits::{BURST, FRAGMENT_BUFFERS_MAX, HELD_MAX};
use std::fs;

/// Descriptors of a queue: what a port is asked for, and so the frames it may hold.
pub const DESCRIPTORS: usize = 1024;
/// A packet buffer with its headroom, mbuf header and pool overhead, rounded up.
pub const BUFFER_BYTES: usize = 2560;
/// The same without huge pages, where no buffer lies across two pages.
const PAGED_BUFFER_BYTES: usize = 4096;
/// What DPDK needs for itself: rings, driver structures, fragmentation of its heap.
const DPDK_OWN_MB: usize = 96;
/// A connection with its share of the index, as `tables::connections` tests it.
const CONNECTION_BYTES_V4: u64 = 80;
const CONNECTION_BYTES_V6: u64 = 144;

/// Frames that can be somewhere at once: in the descriptors of every queue, in bursts under way, waiting for next hops
/// or for the rest of their packet, in the workers' caches.
pub fn frames(config: &Config, workers: usize) -> u32 {
    let mut devices: Vec<&str> = config.ports.iter().map(|p| p.device.as_str()).collect();
    devices.sort_unstable();
    devices.dedup();
    let queues = 2 * DESCRIPTORS * devices.len() * workers;
    let own = workers * (HELD_MAX + 2 * FRAGMENT_BUFFERS_MAX as usize + 4 * BURST * (devices.len() + 1) + 512);
    // between every two workers, and to the queues of ports that have few
    let rings = workers * (workers - 1) * depth(workers) * (1 + devices.len());
    // DPDK's pools waste least at one less than a power of two
    ((queues + own + rings + 1024).next_power_of_two() - 1) as u32
}

/// Memory for DPDK without huge pages.
pub fn dpdk_mb(config: &Config, workers: usize) -> usize {
    ((frames(config, workers) as usize * PAGED_BUFFER_BYTES) >> 20) + DPDK_OWN_MB
}

/// Bytes a connection of each family that has services; without any, as if there were IPv4's.
fn connection_bytes(config: &Config) -> u64 {
    let has = |family| config.services.iter().any(|service| service.key.family() == family);
    match (has(Family::V4), has(Family::V6)) {
        (_, false) => CONNECTION_BYTES_V4,
        (false, true) => CONNECTION_BYTES_V6,
        (true, true) => CONNECTION_BYTES_V4 + CONNECTION_BYTES_V6,
    }
}

/// Of the connection tables.
pub fn table_bytes(config: &Config, workers: usize) -> u64 {
    u64::from(config.connections.capacity_per_worker) * connection_bytes(config) * workers as u64
}

/// Whether the connection tables can fit.
pub fn check_room(config: &Config, workers: usize) -> Result<(), RunError> {
    let capacity = u64::from(config.connections.capacity_per_worker);
    let needed = table_bytes(config, workers);
    match available_bytes() {
        Some(available) if needed > available => Err(RunError::Memory(format!(
            "[connections] capacity_per_worker = {capacity}: the tables of {workers} worker(s) take {} MiB, and {} MiB are \
             available; write at most {}",
            needed >> 20,
            available >> 20,
            available / connection_bytes(config) / workers as u64,
        ))),
        _ => Ok(()),
    }
}

/// Whether a table can get all of its memory.
pub fn is_available(bytes: usize) -> bool {
    available_bytes().is_none_or(|available| bytes as u64 <= available)
}

/// What the kernel can give away, free huge pages included.
fn available_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let kib = |key: &str| {
        let line = text.lines().find(|line| line.starts_with(key))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    let huge = kib("HugePages_Free:").zip(kib("Hugepagesize:")).map_or(0, |(pages, size)| pages * size);
    Some((kib("MemAvailable:")? + huge) * 1024)
}

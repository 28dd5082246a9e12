//! What happens to a burst of frames. Never calls DPDK, reads a clock, blocks, or allocates for a packet.
pub mod frame;
pub mod snapshot;

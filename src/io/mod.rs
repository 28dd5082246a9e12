//! DPDK: EAL, memory pools, mbufs, ports and queues. The only caller of `dpdk-sys`.
//!
//! Who owns what, and in which order it goes: an [`mbuf::Mbuf`] belongs to a [`mempool::Mempool`], a queue keeps its
//! port open and its pool alive, and a port or pool keeps EAL up. So whatever order they are dropped in, DPDK is asked
//! to stop a port only when no queue of it is left, and cleaned up last.

pub mod arguments;
pub mod clock;
pub mod device;
mod drivers;
pub mod eal;
pub mod failure;
mod log;
pub mod mbuf;
pub mod mempool;
pub mod port;
pub mod queue;
pub mod rss;
pub mod worker_queues;

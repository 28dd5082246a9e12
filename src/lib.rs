//! Pollux, a userspace Linux Virtual Server director on DPDK.
//!
//! The folders form a spine; each imports only from what stands left of it:
//! `wire → model → tables → sched → dataplane → io → control → cli`. Everything left of `io` is sans I/O: it is
//! given a burst of frames, a time and a snapshot, and says what leaves where. `docs/architecture.md` has the
//! diagrams.
#![deny(unsafe_code)]

pub mod control;
pub mod dataplane;
#[cfg(feature = "dpdk")]
pub mod io;
pub mod model;
pub mod sched;
pub mod tables;
pub mod wire;

pub mod cli;

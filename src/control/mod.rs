//! One thread: configuration, snapshots, API, statistics. Nothing of it is on the packet path.
pub mod api;
pub mod commands;
pub mod config;
#[cfg(feature = "dpdk")]
pub mod run;
pub mod source;
pub mod state;

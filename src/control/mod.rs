//! One thread: configuration, snapshots, API, statistics. Nothing of it is on the packet path.
pub mod config;
pub mod state;

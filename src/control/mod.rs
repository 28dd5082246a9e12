//! One thread: configuration, snapshots, API, statistics. Nothing of it is on the packet path.
mod admit;
pub mod api;
pub mod commands;
pub mod config;
pub mod counts;
#[cfg(feature = "dpdk")]
pub mod doctor;
pub mod facing;
#[cfg(test)]
pub(crate) mod fake;
pub mod ipvsadm;
#[cfg(feature = "dpdk")]
pub mod run;
pub mod source;
pub mod state;
pub mod steering;

//! ipvsadm 1.31, its command line and its listings, over Pollux's state.
//!
//! [`parse`] makes a [`Command`] of words; [`apply`] carries one out on the state as the kernel does; [`listing`] and
//! [`save`] print. Messages and exit codes are ipvsadm's own. Hosts and services can have [`names`].

mod apply;
mod failure;
pub mod listing;
pub mod names;
mod option;
mod parse;
mod permitted;
pub mod save;
#[cfg(test)]
mod tests;
pub mod views;

pub use apply::{apply, destination_config, service_config};
pub use failure::Failure;
pub use parse::parse;

use crate::control::state::TimeoutsEdit;
use crate::model::{ClientMask, Forward, ServiceKey};
use std::net::SocketAddr;

/// What `--version` prints.
pub const VERSION: &str = "ipvsadm v1.31 2019/12/24 (compiled with popt and IPVS v1.2.1)\n";
/// What `--help` prints below it.
pub const HELP: &str = include_str!("help.txt");

/// What a command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    AddService(ServiceSpec),
    EditService(ServiceSpec),
    DeleteService(ServiceKey),
    /// `-C`
    Clear,
    AddServer(ServiceKey, ServerSpec),
    EditServer(ServiceKey, ServerSpec),
    DeleteServer(ServiceKey, SocketAddr),
    Zero(Option<ServiceKey>),
    SetTimeouts(TimeoutsEdit),
    List(List),
    /// `-S`
    Save {
        numeric: bool,
    },
    /// `-R`: command lines from the standard input.
    Restore,
    /// On this interface.
    StartDaemon(String),
    StopDaemon,
    Help,
    Version,
}

/// A service as `-A` and `-E` name it: what is not named has its default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceSpec {
    pub key: ServiceKey,
    /// Whether there is one of this name is the state's to say, as are all that follow.
    pub scheduler: String,
    pub scheduler_flags: Vec<String>,
    pub persistence_timeout_s: Option<u32>,
    pub persistence_mask: Option<ClientMask>,
    pub persistence_engine: Option<String>,
    pub one_packet: bool,
}

/// A real server as `-a` and `-e` name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerSpec {
    pub at: SocketAddr,
    pub forward: Forward,
    pub weight: u32,
    pub threshold_upper: u32,
    pub threshold_lower: u32,
}

/// What `-L` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    Services { only: Option<ServiceKey>, style: listing::Style, numeric: bool },
    Connections { numeric: bool },
    Timeouts,
    Daemons,
}

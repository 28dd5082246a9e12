//! A configuration that has been validated: what the TOML file, or commands at run time, ask for.
//!
//! Text goes through three stages: [`file`] is what was typed, checked key by key against the registry of [`keys`];
//! [`validate`] makes a [`Config`] of it; [`diff`] says what a reload changes and what it cannot.

pub mod diff;
mod error;
mod file;
pub mod keys;
mod not_yet;
mod pieces;
mod plain;
pub mod rules;
mod shape;
#[cfg(test)]
mod tests;
mod validate;
pub mod values;

pub use diff::{Change, changes, restart_needed};
pub use error::{ConfigError, Problem};

pub use crate::dataplane::worker::Idle;
use crate::model::settings::Settings;
use crate::model::timeouts::Timeouts;
use crate::model::{Departures, Forward, MarkRule, Persistence, ServiceKey};
use crate::sched::Options;
use crate::sched::registry::SchedulerKind;
use crate::wire::toeplitz::RssKey;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// The whole file.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub dpdk: DpdkConfig,
    pub workers: WorkersConfig,
    pub connections: ConnectionsConfig,
    pub timeouts: Timeouts,
    pub settings: Settings,
    pub ports: Vec<PortConfig>,
    pub routes: Vec<RouteConfig>,
    pub neighbours: Vec<NeighbourConfig>,
    /// `[[mark]]`, with the index of a `[[port]]` as interface.
    pub marks: Vec<MarkRule>,
    pub services: Vec<ServiceConfig>,
}

impl Config {
    /// Reads and validates a file.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let name = path.display().to_string();
        match String::from_utf8(bytes) {
            Ok(text) => Self::parse(&text, &name),
            Err(error) => Err(not_utf8(&error, &name)),
        }
    }

    /// Validates the text of a file; `file_name` is for messages.
    pub fn parse(text: &str, file_name: &str) -> Result<Self, ConfigError> {
        /// Below, nobody waits for the difference.
        const WORTH_PIECES: usize = 1 << 16;
        let quick = if text.len() >= WORTH_PIECES { Self::parse_in_pieces(text) } else { None };
        quick.map_or_else(|| Self::parse_whole(text, file_name), Ok)
    }

    /// `None`: something is wrong with it, or it cannot be told apart into services; what, the whole has to tell.
    fn parse_in_pieces(text: &str) -> Option<Self> {
        let mut problems = error::Problems::new("", "");
        let file = pieces::read(text, &mut problems)?;
        let config = validate::validate(&file, &mut problems);
        problems.is_empty().then_some(config)
    }

    fn parse_whole(text: &str, file_name: &str) -> Result<Self, ConfigError> {
        let mut problems = error::Problems::new(file_name, text);
        let config = file::read(text, &mut problems).map(|file| validate::validate(&file, &mut problems));
        match config {
            Some(config) if problems.is_empty() => Ok(config),
            _ => Err(problems.into_error()),
        }
    }
}

fn not_utf8(error: &std::string::FromUtf8Error, file_name: &str) -> ConfigError {
    let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
    let line = 1 + valid.iter().filter(|b| **b == b'\n').count();
    let message = "not valid TOML: a byte that is not UTF-8".to_owned();
    ConfigError::Invalid(vec![Problem { file: file_name.to_owned(), line, place: String::new(), message }])
}

/// `[dpdk]`; changes need a restart.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct DpdkConfig {
    pub eal_args: Vec<String>,
    pub secondary: bool,
}

/// `[workers]`; changes need a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkersConfig {
    /// One worker an entry; `None`: every core but the control thread's.
    pub cores: Option<Vec<usize>>,
    pub idle: Idle,
    pub rss_key: RssKey,
}

/// `[connections]`; changes need a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionsConfig {
    pub capacity_per_worker: u32,
}

/// `[[port]]`: an interface on a device. `device`, `vlan`, `mac` and `mtu` need a restart, addresses do not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortConfig {
    pub name: String,
    pub device: String,
    pub vlan: Option<u16>,
    pub mac: Option<[u8; 6]>,
    pub mtu: u16,
    pub addresses: Vec<IpNet>,
}

/// `[[route]]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteConfig {
    pub prefix: IpNet,
    pub via: Option<IpAddr>,
    /// Index into [`Config::ports`].
    pub port: usize,
}

/// `[[neighbour]]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeighbourConfig {
    /// Index into [`Config::ports`].
    pub port: usize,
    pub address: IpAddr,
    pub mac: [u8; 6],
}

/// `[[service]]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceConfig {
    pub key: ServiceKey,
    pub scheduler: SchedulerKind,
    pub options: Options,
    pub persistence: Option<Persistence>,
    pub one_packet: bool,
    /// Its scheduler decides as with one worker.
    pub strict: bool,
    pub departures: Departures,
    /// The port that answers ARP and ND for the address, as an index into [`Config::ports`]; `None`: the one whose
    /// subnet the address lies in.
    pub port: Option<usize>,
    /// In the order in which they are added.
    pub destinations: Vec<DestinationConfig>,
}

impl ServiceConfig {
    /// Whether only the destinations may differ.
    pub fn is_same_service(&self, other: &Self) -> bool {
        let Self { key, scheduler, options, persistence, one_packet, strict, departures, port, destinations: _ } =
            other;
        (self.key, self.scheduler, self.options, self.persistence) == (*key, *scheduler, *options, *persistence)
            && (self.one_packet, self.strict, self.departures, self.port) == (*one_packet, *strict, *departures, *port)
    }
}

/// `[[service.destination]]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DestinationConfig {
    pub address: IpAddr,
    pub port: u16,
    pub forward: Forward,
    pub weight: u32,
    pub threshold_upper: u32,
    pub threshold_lower: u32,
}

impl DestinationConfig {
    /// Address and port, which tell it from the other destinations of its service.
    pub const fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.port)
    }
}

/// Where the running process is reached.
pub fn default_socket() -> PathBuf {
    PathBuf::from("/run/pollux/pollux.sock")
}

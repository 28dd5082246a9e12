//! A configuration that has been validated: what the TOML file, or commands at run time, ask for.

use crate::model::settings::Settings;
use crate::model::timeouts::Timeouts;
use crate::model::{Forward, Persistence, ServiceKey};
use crate::sched::Options;
use crate::sched::registry::SchedulerKind;
use ipnet::IpNet;
use std::net::IpAddr;
use std::path::PathBuf;

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
    pub services: Vec<ServiceConfig>,
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
}

/// What a worker does when its ports have nothing for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Idle {
    #[default]
    Spin,
    Yield,
    Sleep,
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
    /// The port that answers ARP and ND for the address, as an index into [`Config::ports`]; `None`: the one whose
    /// subnet the address lies in.
    pub port: Option<usize>,
    /// In the order in which they are added.
    pub destinations: Vec<DestinationConfig>,
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

/// Where the running process is reached.
pub fn default_socket() -> PathBuf {
    PathBuf::from("/run/pollux/pollux.sock")
}

//! The director in the vector's surroundings: its ports, addresses, routes and neighbours, and a clock.

use super::sysctl;
use super::vector::{self, Vector};
use arrayvec::ArrayVec;
use ipnet::IpNet;
use pollux::control::api::views::{DestCounts, ServiceView};
use pollux::control::config::{
    Config, ConnectionsConfig, DpdkConfig, Idle, NeighbourConfig, PortConfig, RouteConfig, WorkersConfig,
};
use pollux::control::counts::Counts;
use pollux::control::ipvsadm::{self, Command};
use pollux::control::state::{Opened, State};
use pollux::dataplane::director::{Director, Parameters};
use pollux::dataplane::listing::ConnectionRow;
use pollux::dataplane::vec_frame::{VecFrame, VecOutlet};
use pollux::model::settings::Settings;
use pollux::model::{DestId, DropReason, InterfaceId, MarkRule, PortId, Time, WorkerId};
use pollux::wire::ip_protocol;
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// Any time but 0, so that nothing takes the beginning for "never".
const START_S: u64 = 1000;
/// How often the director does its housekeeping while nothing happens.
const IDLE_STEP_NS: u64 = 50_000_000;
/// As if so many packets had been processed: all that is due is done at once.
const CATCH_UP: usize = 100_000;
/// Buckets of the recorded kernel's connection table, as listings show it.
pub const TABLE_SIZE: u64 = 4096;

/// The port on whose input packets are marked.
const OUTSIDE: &str = "ext";

/// What one port sent.
pub type Sent = Vec<(PortId, Vec<u8>)>;

pub struct World {
    /// Names by number.
    pub ports: Vec<String>,
    state: State,
    director: Director<VecFrame>,
    counts: Counts,
    now: Time,
    notes: Vec<String>,
    drops: Vec<u64>,
}

/// A connection as the director has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Connection {
    pub protocol: &'static str,
    pub client: SocketAddr,
    pub virt: SocketAddr,
    pub server: SocketAddr,
    pub state: &'static str,
    pub engine_data: Option<String>,
    pub expires_s: f64,
}

impl World {
    pub fn new(vector: &Vector) -> Result<Self, String> {
        let now = Time::from_s(START_S);
        let (config, opened) = config(vector)?;
        let ports = config.ports.iter().map(|port| port.name.clone()).collect();
        let state = State::new(config, &opened).map_err(|error| error.to_string())?;
        let seeds = [0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb, 0x2545_f491_4f6c_dd1d];
        let parameters = Parameters { worker: WorkerId(0), workers: 1, capacity: 1 << 16, seeds, now };
        let director = Director::new(parameters).map_err(|error| error.to_string())?;
        let (counts, notes, drops) = (Counts::default(), Vec::new(), Vec::new());
        let mut world = Self { ports, state, director, counts, now, notes, drops };
        world.publish(0);
        for (key, value) in &vector.sysctl {
            world.sysctl(key, value)?;
        }
        Ok(world)
    }

    /// Things that could not be said to the director since the last call.
    pub fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// Hands the director the newest snapshot if it is a new one.
    fn publish(&mut self, before: u64) {
        if self.state.snapshot().version != before {
            self.director.pick_up_at_once(Arc::new(self.state.snapshot().clone()));
            let (_, counters) = self.director.counters();
            self.counts.follow(self.state.snapshot(), &|id| dest_counts(&counters[id.index()]));
        }
    }

    /// Lets time pass, to so many seconds after the start; the frames that came of it.
    pub fn advance(&mut self, seconds: f64) -> Sent {
        let target = Time(START_S * 1_000_000_000 + (seconds * 1e9) as u64);
        let mut out = VecOutlet::default();
        while self.now < target {
            self.now = Time((self.now.0 + IDLE_STEP_NS).min(target.0));
            self.director.housekeeping(CATCH_UP, self.now, &mut out);
        }
        self.collect();
        sent(out)
    }

    fn collect(&mut self) {
        let (_, counters) = self.director.counters();
        let references = |id: DestId| counters.get(id.index()).map_or(0, |c| u64::from(c.references.get()));
        let before = self.state.snapshot().version;
        self.state.collect(self.now, &references);
        self.publish(before);
    }

    /// A frame comes in; the frames that go out.
    pub fn receive(&mut self, port: &str, bytes: &[u8]) -> Result<Sent, String> {
        let port = self.ports.iter().position(|name| name == port).ok_or_else(|| format!("no port {port}"))?;
        self.drops = self.drop_counts();
        let mut frames = ArrayVec::new();
        frames.push(VecFrame::new(bytes));
        let mut out = VecOutlet::default();
        self.director.process(PortId(port as u16), &mut frames, self.now, &mut out);
        self.director.housekeeping(CATCH_UP, self.now, &mut out);
        Ok(sent(out))
    }

    fn drop_counts(&self) -> Vec<u64> {
        self.director.counters().0.drops.iter().map(|counter| counter.get()).collect()
    }

    /// Why the director dropped the last frame, if it did, for a person.
    pub fn reason(&self) -> String {
        let counts = self.drop_counts();
        let differ = |reason: &&DropReason| counts.get(**reason as usize) != self.drops.get(**reason as usize);
        let reasons: Vec<_> = DropReason::ALL.iter().filter(differ).map(|reason| reason.name()).collect();
        if reasons.is_empty() { String::new() } else { format!("\nthe director's reason: {}", reasons.join(", ")) }
    }

    /// Exit code, standard output and standard error of an ipvsadm command line.
    pub fn ipvsadm(&mut self, line: &str) -> (u8, String, String) {
        match self.try_ipvsadm(line) {
            Ok(()) => (0, String::new(), String::new()),
            Err(failure) => (failure.code, String::new(), format!("{}\n", failure.message)),
        }
    }

    fn try_ipvsadm(&mut self, line: &str) -> Result<(), ipvsadm::Failure> {
        let command = ipvsadm::parse(line.split_whitespace().skip(1))?;
        let before = self.state.snapshot().version;
        ipvsadm::apply(&mut self.state, &command, self.now)?;
        self.publish(before);
        if let Command::Zero(only) = command {
            let ids = ipvsadm::views::destination_ids(self.state.snapshot(), only.as_ref());
            let (_, counters) = self.director.counters();
            let raw: Vec<_> = ids.iter().map(|id| (*id, dest_counts(&counters[id.index()]))).collect();
            let counts = |id: DestId| raw.iter().find(|(known, _)| *known == id).map(|(_, c)| *c).unwrap_or_default();
            self.counts.zero(ids.into_iter(), &counts);
        }
        Ok(())
    }

    pub fn sysctl(&mut self, key: &str, value: &Value) -> Result<(), String> {
        let mut config = self.state.config();
        if !sysctl::set(&mut config.settings, key, value)? {
            self.notes.push(format!("not a setting: {key} = {value}"));
        }
        let before = self.state.snapshot().version;
        self.state.apply_config(config, self.now).map_err(|error| error.to_string())?;
        self.publish(before);
        Ok(())
    }

    /// Every service with its destinations and their counts.
    pub fn services(&self) -> Vec<ServiceView> {
        let (_, counters) = self.director.counters();
        let counts = |id: DestId| self.counts.shown(id, dest_counts(&counters[id.index()]));
        let snapshot = self.state.snapshot();
        let view = |s: &pollux::dataplane::snapshot::Service| {
            ipvsadm::views::service(snapshot, s, self.counts.former(s.id), &counts)
        };
        snapshot.services.iter().map(|(_, s)| view(s)).collect()
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    /// Every connection.
    pub fn connections(&self) -> Vec<Connection> {
        let mut all = Vec::new();
        let mut cursor = self.director.list(0, 1 << 16, |row| all.push(connection(&row)));
        while cursor != 0 {
            cursor = self.director.list(cursor, 1 << 16, |row| all.push(connection(&row)));
        }
        all
    }
}

fn connection(row: &ConnectionRow) -> Connection {
    Connection {
        protocol: row.protocol.name(),
        client: row.client,
        virt: row.virt,
        server: row.server,
        state: row.state,
        engine_data: row.engine_data.as_ref().map(|data| String::from_utf8_lossy(data).into_owned()),
        expires_s: f64::from(row.expires_ticks) / 100.0,
    }
}

fn dest_counts(c: &pollux::model::DestCounters) -> DestCounts {
    DestCounts {
        active: c.active.get().into(),
        inactive: c.inactive.get().into(),
        persistent: c.persistent.get().into(),
        connections: c.connections.get(),
        in_packets: c.in_packets.get(),
        out_packets: c.out_packets.get(),
        in_bytes: c.in_bytes.get(),
        out_bytes: c.out_bytes.get(),
        ..DestCounts::default()
    }
}

fn sent(out: VecOutlet) -> Sent {
    out.sent.into_iter().map(|(port, frame)| (port, frame.bytes())).collect()
}

fn config(vector: &Vector) -> Result<(Config, Vec<Opened>), String> {
    let topology = &vector.topology;
    let names: Vec<&String> = topology.ports.keys().collect();
    let index = |name: &String| names.iter().position(|n| *n == name).ok_or_else(|| format!("no port {name}"));
    let mut ports = Vec::new();
    let mut opened = Vec::new();
    for (number, (name, port)) in topology.ports.iter().enumerate() {
        let mac = vector::mac(&port.mac)?;
        opened.push(Opened { port: PortId(number as u16), mac, udp_checksum_offload: false });
        let virtual_addresses =
            topology.local.iter().filter(|(_, on)| *on == name).map(|(address, _)| (*address).into());
        let addresses = port.addrs.iter().map(|text| net(text)).chain(virtual_addresses.map(Ok));
        let mut addresses = addresses.collect::<Result<Vec<_>, String>>()?;
        if name == OUTSIDE {
            addresses.extend(local_addresses(vector)?);
        }
        let (name, device) = (name.clone(), format!("vector{number}"));
        ports.push(PortConfig { name, device, vlan: None, mac: Some(mac), mtu: port.mtu, addresses });
    }
    let route = |r: &vector::Route| Ok(RouteConfig { prefix: net(&r.dst)?, via: r.via, port: index(&r.port)? });
    let neighbour =
        |n: &vector::Neighbour| Ok(NeighbourConfig { port: index(&n.port)?, address: n.ip, mac: vector::mac(&n.mac)? });
    let config = Config {
        dpdk: DpdkConfig::default(),
        workers: WorkersConfig { cores: None, idle: Idle::Spin, rss_key: Default::default() },
        connections: ConnectionsConfig { capacity_per_worker: 1 << 16 },
        timeouts: Default::default(),
        settings: Settings { forward: true, icmp_errors_per_s: 0, ..Settings::default() },
        ports,
        routes: topology.routes.iter().map(route).collect::<Result<_, String>>()?,
        neighbours: topology.neigh.iter().map(neighbour).collect::<Result<_, String>>()?,
        marks: marks(vector, index)?,
        services: Vec::new(),
    };
    Ok((config, opened))
}

/// `ip route add local PREFIX`: every address of it is the host's own. The director has no such routes, but addresses.
fn local_addresses(vector: &Vector) -> Result<Vec<IpNet>, String> {
    let nets = vector.local_nets.iter().map(|text| net(text)).collect::<Result<Vec<_>, String>>()?;
    match nets.iter().find(|net| net.max_prefix_len() - net.prefix_len() > 10) {
        Some(net) => Err(format!("{net} has too many addresses to give each to a port")),
        None => Ok(nets.iter().flat_map(all_of).map(IpNet::from).collect()),
    }
}

/// Network and broadcast address included.
fn all_of(net: &IpNet) -> Vec<IpAddr> {
    match net {
        IpNet::V4(net) => {
            (net.network().to_bits()..=net.broadcast().to_bits()).map(|b| Ipv4Addr::from(b).into()).collect()
        }
        IpNet::V6(net) => {
            (net.network().to_bits()..=net.broadcast().to_bits()).map(|b| Ipv6Addr::from(b).into()).collect()
        }
    }
}

/// The classification of what comes in from the clients. Marked packets that policy routing hands to the host
/// (`marked_local`) need nothing more: the service on their mark takes them whatever their address.
fn marks(vector: &Vector, port: impl Fn(&String) -> Result<usize, String>) -> Result<Vec<MarkRule>, String> {
    let mut rules = Vec::new();
    for rule in &vector.fwmark_rules {
        let interface = Some(InterfaceId(port(&OUTSIDE.to_owned())? as u16));
        let protocol = Some(match rule.l4.as_str() {
            "tcp" => ip_protocol::TCP,
            "udp" => ip_protocol::UDP,
            "sctp" => ip_protocol::SCTP,
            other => return Err(format!("no protocol {other} for marks")),
        });
        let (mark, destination) = (rule.mark, Some(net(&rule.dst)?));
        let any = [None];
        let ports: Vec<_> = rule.dport.iter().map(|port| Some(*port..=*port)).collect();
        for destination_ports in if ports.is_empty() { &any[..] } else { &ports[..] } {
            let destination_ports = destination_ports.clone();
            rules.push(MarkRule { mark, protocol, destination, destination_ports, interface, ..MarkRule::default() });
        }
    }
    Ok(rules)
}

fn net(text: &str) -> Result<IpNet, String> {
    text.parse().map_err(|_| format!("{text} is not a network"))
}

//! What differs between two configurations: what a reload changes, and what only a start can.
//!
//! Things are told apart by what they are (a name, an address), not by their place in the file. Every struct is taken
//! apart field by field, so that a new field cannot be forgotten here.

use super::{
    Config, ConnectionsConfig, DestinationConfig, DpdkConfig, Idle, NeighbourConfig, PortConfig, RouteConfig,
    ServiceConfig, WorkersConfig,
};
use crate::model::settings::Settings;
use crate::model::state::TcpState;
use crate::model::timeouts::Timeouts;
use crate::model::{Persistence, ServiceKey, Tick};
use crate::sched::Options;
use hashbrown::HashMap;
use ipnet::IpNet;
use std::fmt;
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};

/// One difference that a reload applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub subject: Subject,
    pub edit: Edit,
}

/// What differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    Service(ServiceKey),
    Destination {
        service: ServiceKey,
        address: SocketAddr,
    },
    /// A port's own address.
    Address {
        port: String,
        address: IpNet,
    },
    Route(IpNet),
    Neighbour {
        port: String,
        address: IpAddr,
    },
    /// By its key.
    Timeout(&'static str),
    /// A key of `[ipvs]` or `[ip]`.
    Setting(&'static str),
}

/// How it differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    Added,
    Removed,
    Changed { field: &'static str, old: String, new: String },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subject {
            Subject::Service(key) => write!(f, "service {key}"),
            Subject::Destination { service, address } => return self.fmt_part(f, "destination", address, service),
            Subject::Address { port, address } => return self.fmt_part(f, "address", address, &format!("port {port}")),
            Subject::Route(prefix) => write!(f, "route {prefix}"),
            Subject::Neighbour { port, address } => {
                return self.fmt_part(f, "neighbour", address, &format!("port {port}"));
            }
            Subject::Timeout(key) => write!(f, "timeout {key}"),
            Subject::Setting(key) => write!(f, "setting {key}"),
        }?;
        match &self.edit {
            Edit::Added => f.write_str(" added"),
            Edit::Removed => f.write_str(" removed"),
            Edit::Changed { .. } => write!(f, ": {}", self.edit),
        }
    }
}

impl Change {
    fn fmt_part(
        &self,
        f: &mut fmt::Formatter<'_>,
        what: &str,
        part: &dyn fmt::Display,
        whole: &dyn fmt::Display,
    ) -> fmt::Result {
        match &self.edit {
            Edit::Added => write!(f, "{what} {part} added to {whole}"),
            Edit::Removed => write!(f, "{what} {part} removed from {whole}"),
            Edit::Changed { .. } => write!(f, "{what} {part} of {whole}: {}", self.edit),
        }
    }
}

impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added => f.write_str("added"),
            Self::Removed => f.write_str("removed"),
            Self::Changed { field: "", old, new } => write!(f, "{old} -> {new}"),
            Self::Changed { field, old, new } => write!(f, "{field} {old} -> {new}"),
        }
    }
}

/// What differs and only a start can change, each with "restart needed"; empty when a reload will do.
pub fn restart_needed(old: &Config, new: &Config) -> Vec<String> {
    let mut keys = Vec::new();
    for (table, edits) in [
        ("[dpdk]", fields_changed(&dpdk_fields(&old.dpdk), &dpdk_fields(&new.dpdk))),
        ("[workers]", fields_changed(&workers_fields(&old.workers), &workers_fields(&new.workers))),
        ("[connections]", fields_changed(&connections_fields(&old.connections), &connections_fields(&new.connections))),
    ] {
        keys.extend(edits.iter().map(|edit| format!("{table} {edit}")));
    }
    keys.extend(ports_restart(&old.ports, &new.ports));
    keys.into_iter().map(|key| format!("{key}: restart needed")).collect()
}

fn ports_restart(old: &[PortConfig], new: &[PortConfig]) -> Vec<String> {
    let mut keys = Vec::new();
    compare(
        old,
        new,
        |port| port.name.clone(),
        |name, pair| match pair {
            Pair::Added(_) => keys.push(format!("[[port]] {name} added")),
            Pair::Removed => keys.push(format!("[[port]] {name} removed")),
            Pair::Both(old, new) => {
                let edits = fields_changed(&port_fields(old), &port_fields(new));
                keys.extend(edits.iter().map(|edit| format!("[[port]] {name} {edit}")));
            }
        },
    );
    // ports are known to the workers by their place in the file
    if keys.is_empty() && old.iter().map(|p| &p.name).ne(new.iter().map(|p| &p.name)) {
        keys.push("[[port]] order of ports".to_owned());
    }
    keys
}

/// What a reload from `old` to `new` changes.
pub fn changes(old: &Config, new: &Config) -> Vec<Change> {
    let mut changes = Vec::new();
    diff_services(old, new, &mut changes);
    diff_addresses(old, new, &mut changes);
    diff_routes(old, new, &mut changes);
    diff_neighbours(old, new, &mut changes);
    diff_values(&timeout_values(&old.timeouts), &timeout_values(&new.timeouts), Subject::Timeout, &mut changes);
    diff_values(&setting_values(&old.settings), &setting_values(&new.settings), Subject::Setting, &mut changes);
    changes
}

fn diff_services(old: &Config, new: &Config, changes: &mut Vec<Change>) {
    compare(
        &old.services,
        &new.services,
        |service| service.key,
        |key, pair| {
            let subject = || Subject::Service(key);
            let (before, after): (&[DestinationConfig], &[DestinationConfig]) = match pair {
                Pair::Added(service) => {
                    changes.push(Change { subject: subject(), edit: Edit::Added });
                    (&[], &service.destinations)
                }
                // its destinations go with it
                Pair::Removed => return changes.push(Change { subject: subject(), edit: Edit::Removed }),
                Pair::Both(a, b) => {
                    push_edits(subject, &service_fields(a, old), &service_fields(b, new), changes);
                    (&a.destinations, &b.destinations)
                }
            };
            diff_destinations(key, before, after, changes);
        },
    );
}

fn diff_destinations(
    service: ServiceKey,
    old: &[DestinationConfig],
    new: &[DestinationConfig],
    changes: &mut Vec<Change>,
) {
    let key = DestinationConfig::socket;
    compare(old, new, key, |address, pair| {
        pair.push(|| Subject::Destination { service, address }, destination_fields, changes);
    });
}

fn diff_addresses(old: &Config, new: &Config, changes: &mut Vec<Change>) {
    let all = |config: &Config| -> Vec<(String, IpNet)> {
        let of_port =
            |port: &PortConfig| port.addresses.iter().map(|net| (port.name.clone(), *net)).collect::<Vec<_>>();
        config.ports.iter().flat_map(of_port).collect()
    };
    compare(&all(old), &all(new), Clone::clone, |(port, address), pair| {
        pair.push(|| Subject::Address { port: port.clone(), address }, |_| Vec::new(), changes);
    });
}

fn diff_routes(old: &Config, new: &Config, changes: &mut Vec<Change>) {
    let typed = |config: &Config| -> Vec<(IpNet, Fields)> {
        config.routes.iter().map(|route| (route.prefix, route_fields(route, config))).collect()
    };
    compare(
        &typed(old),
        &typed(new),
        |(prefix, _)| *prefix,
        |prefix, pair| {
            pair.push(|| Subject::Route(prefix), |(_, fields)| fields.clone(), changes);
        },
    );
}

fn diff_neighbours(old: &Config, new: &Config, changes: &mut Vec<Change>) {
    let typed = |config: &Config| -> Vec<((String, IpAddr), Fields)> {
        let of_neighbour = |neighbour: &NeighbourConfig| {
            let NeighbourConfig { port, address, mac } = neighbour;
            ((port_name(config, Some(*port)), *address), vec![("mac", mac_text(mac))])
        };
        config.neighbours.iter().map(of_neighbour).collect()
    };
    compare(
        &typed(old),
        &typed(new),
        |(key, _)| key.clone(),
        |(port, address), pair| {
            pair.push(|| Subject::Neighbour { port: port.clone(), address }, |(_, fields)| fields.clone(), changes);
        },
    );
}

fn diff_values(
    old: &[(&'static str, String)],
    new: &[(&'static str, String)],
    subject: fn(&'static str) -> Subject,
    changes: &mut Vec<Change>,
) {
    for ((key, old), (_, new)) in old.iter().zip(new).filter(|(old, new)| old != new) {
        let edit = Edit::Changed { field: "", old: old.clone(), new: new.clone() };
        changes.push(Change { subject: subject(key), edit });
    }
}

/// Something in the old list, the new one, or both.
enum Pair<'a, T> {
    Added(&'a T),
    Removed,
    Both(&'a T, &'a T),
}

impl<T> Pair<'_, T> {
    fn push(self, subject: impl Fn() -> Subject, fields: impl Fn(&T) -> Fields, changes: &mut Vec<Change>) {
        match self {
            Pair::Added(_) => changes.push(Change { subject: subject(), edit: Edit::Added }),
            Pair::Removed => changes.push(Change { subject: subject(), edit: Edit::Removed }),
            Pair::Both(old, new) => push_edits(subject, &fields(old), &fields(new), changes),
        }
    }
}

fn push_edits(subject: impl Fn() -> Subject, old: &Fields, new: &Fields, changes: &mut Vec<Change>) {
    changes.extend(fields_changed(old, new).into_iter().map(|edit| Change { subject: subject(), edit }));
}

/// Pairs both lists by key: what was removed first, then the new list in its order.
fn compare<'a, T, K: Eq + Hash + Clone>(
    old: &'a [T],
    new: &'a [T],
    key: impl Fn(&T) -> K,
    mut each: impl FnMut(K, Pair<'a, T>),
) {
    let before: HashMap<K, &T> = old.iter().map(|item| (key(item), item)).collect();
    let after: HashMap<K, &T> = new.iter().map(|item| (key(item), item)).collect();
    for item in old.iter().filter(|item| !after.contains_key(&key(item))) {
        each(key(item), Pair::Removed);
    }
    for item in new {
        match before.get(&key(item)) {
            Some(old) => each(key(item), Pair::Both(old, item)),
            None => each(key(item), Pair::Added(item)),
        }
    }
}

/// Names and values of what can change, as in the file.
type Fields = Vec<(&'static str, String)>;

fn fields_changed(old: &Fields, new: &Fields) -> Vec<Edit> {
    let differing = old.iter().zip(new).filter(|(old, new)| old != new);
    differing.map(|((field, old), (_, new))| Edit::Changed { field, old: old.clone(), new: new.clone() }).collect()
}

fn dpdk_fields(dpdk: &DpdkConfig) -> Fields {
    let DpdkConfig { eal_args, secondary } = dpdk;
    vec![("eal_args", format!("{eal_args:?}")), ("secondary", secondary.to_string())]
}

fn workers_fields(workers: &WorkersConfig) -> Fields {
    let WorkersConfig { cores, idle } = workers;
    let cores = cores.as_ref().map_or_else(|| "default".to_owned(), |cores| format!("{cores:?}"));
    let idle = match idle {
        Idle::Spin => "spin",
        Idle::Yield => "yield",
        Idle::Sleep => "sleep",
    };
    vec![("cores", cores), ("idle", idle.to_owned())]
}

fn connections_fields(connections: &ConnectionsConfig) -> Fields {
    let ConnectionsConfig { capacity_per_worker } = connections;
    vec![("capacity_per_worker", capacity_per_worker.to_string())]
}

fn port_fields(port: &PortConfig) -> Fields {
    let PortConfig { name: _, device, vlan, mac, mtu, addresses: _ } = port;
    vec![
        ("device", device.clone()),
        ("vlan", vlan.map_or_else(|| "none".to_owned(), |vlan| vlan.to_string())),
        ("mac", mac.as_ref().map_or_else(|| "the device's".to_owned(), mac_text)),
        ("mtu", mtu.to_string()),
    ]
}

fn service_fields(service: &ServiceConfig, config: &Config) -> Fields {
    let ServiceConfig { key: _, scheduler, options, persistence, one_packet, port, destinations: _ } = service;
    vec![
        ("scheduler", scheduler.name().to_owned()),
        ("scheduler_flags", options_text(*options)),
        ("persistence", persistence.map_or_else(|| "none".to_owned(), persistence_text)),
        ("one_packet", one_packet.to_string()),
        ("port", port_name(config, *port)),
    ]
}

fn options_text(options: Options) -> String {
    let Options { fallback, port, flag_3 } = options;
    let set: Vec<_> =
        [(fallback, "flag-1"), (port, "flag-2"), (flag_3, "flag-3")].iter().filter(|f| f.0).map(|f| f.1).collect();
    if set.is_empty() { "none".to_owned() } else { set.join(",") }
}

fn persistence_text(persistence: Persistence) -> String {
    let Persistence { timeout_s, prefix_len } = persistence;
    format!("{timeout_s} s /{prefix_len}")
}

fn destination_fields(destination: &DestinationConfig) -> Fields {
    let DestinationConfig { address: _, port: _, forward, weight, threshold_upper, threshold_lower } = destination;
    vec![
        ("forward", forward_text(*forward)),
        ("weight", weight.to_string()),
        ("threshold_upper", threshold_upper.to_string()),
        ("threshold_lower", threshold_lower.to_string()),
    ]
}

fn forward_text(forward: crate::model::Forward) -> String {
    match forward {
        crate::model::Forward::Tun(tunnel) if tunnel != Default::default() => format!("tun {tunnel:?}"),
        _ => forward.word().to_owned(),
    }
}

fn route_fields(route: &RouteConfig, config: &Config) -> Fields {
    let RouteConfig { prefix: _, via, port } = route;
    let via = via.map_or_else(|| "none".to_owned(), |via| via.to_string());
    vec![("via", via), ("port", port_name(config, Some(*port)))]
}

fn port_name(config: &Config, port: Option<usize>) -> String {
    port.and_then(|index| config.ports.get(index)).map_or_else(|| "none".to_owned(), |port| port.name.clone())
}

fn mac_text(mac: &[u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// Keys and values of `[timeouts]`, seconds.
pub fn timeout_values(timeouts: &Timeouts) -> Vec<(&'static str, String)> {
    const TCP_KEYS: [&str; TcpState::COUNT] = [
        "tcp_none_s",
        "tcp_established_s",
        "tcp_syn_sent_s",
        "tcp_syn_recv_s",
        "tcp_fin_wait_s",
        "tcp_time_wait_s",
        "tcp_close_s",
        "tcp_close_wait_s",
        "tcp_last_ack_s",
        "tcp_listen_s",
        "tcp_synack_s",
    ];
    let Timeouts { tcp, udp } = timeouts;
    let all = TCP_KEYS.into_iter().zip(tcp).chain([("udp_s", udp)]);
    all.map(|(key, ticks)| (key, (ticks / Tick::PER_S).to_string())).collect()
}

/// Keys and values of `[ipvs]` and `[ip]`.
pub fn setting_values(settings: &Settings) -> Vec<(&'static str, String)> {
    let Settings {
        sloppy_tcp,
        expire_nodest_conn,
        conn_reuse_mode,
        pmtu_disc,
        lblc_expiration_s,
        lblcr_expiration_s,
        forward,
    } = settings;
    vec![
        ("sloppy_tcp", sloppy_tcp.to_string()),
        ("expire_nodest_conn", expire_nodest_conn.to_string()),
        ("conn_reuse_mode", conn_reuse_mode.to_string()),
        ("pmtu_disc", pmtu_disc.to_string()),
        ("lblc_expiration_s", lblc_expiration_s.to_string()),
        ("lblcr_expiration_s", lblcr_expiration_s.to_string()),
        ("forward", forward.to_string()),
    ]
}

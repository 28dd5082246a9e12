//! What differs between two configurations: what a reload changes, and what only a start can.
//!
//! Things are told apart by what they are (a name, an address), not by their place in the file. [`fields`]
//! takes every struct apart field by field, so that a new field cannot be forgotten.

mod fields;

pub use fields::{setting_values, timeout_values};

use super::{Config, DestinationConfig, NeighbourConfig, PortConfig};
use crate::model::ServiceKey;
use fields::*;
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
    /// All of `[[mark]]`: rules have no names.
    Marks,
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
            Subject::Marks => f.write_str("marks"),
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
    diff_marks(old, new, &mut changes);
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
                Pair::Both(a, b) if a == b => return,
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

/// The order of rules matters, so they are compared as a whole.
fn diff_marks(old: &Config, new: &Config, changes: &mut Vec<Change>) {
    if old.marks == new.marks {
        return;
    }
    let text = |rules: usize, which| format!("{rules} {which}rules");
    let (before, after) = (text(old.marks.len(), ""), text(new.marks.len(), "other "));
    changes.push(Change { subject: Subject::Marks, edit: Edit::Changed { field: "", old: before, new: after } });
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

impl<T: PartialEq> Pair<'_, T> {
    fn push(self, subject: impl Fn() -> Subject, fields: impl Fn(&T) -> Fields, changes: &mut Vec<Change>) {
        match self {
            Pair::Added(_) => changes.push(Change { subject: subject(), edit: Edit::Added }),
            Pair::Removed => changes.push(Change { subject: subject(), edit: Edit::Removed }),
            Pair::Both(old, new) if old == new => {}
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

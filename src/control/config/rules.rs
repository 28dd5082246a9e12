//! What a service and a destination must be, whoever asks for them: the file, or a command at run time.

use super::{DestinationConfig, PortConfig, ServiceConfig, not_yet};
use crate::model::{Family, Forward, Protocol, ServiceKey, Tunnel, TunnelChecksum, TunnelKind};
use hashbrown::{HashMap, HashSet};
use std::net::IpAddr;

/// A rule that a key breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{key}`: {message}")]
pub struct Refusal {
    /// As in the file.
    pub key: &'static str,
    pub message: String,
}

fn refusal(key: &'static str, message: impl Into<String>) -> Refusal {
    Refusal { key, message: message.into() }
}

/// The director's own addresses: those of its ports and those of its services.
#[derive(Clone, Debug, Default)]
pub struct OwnAddresses {
    /// With the port's name.
    ports: HashMap<IpAddr, String>,
    virtual_addresses: HashSet<IpAddr>,
}

impl OwnAddresses {
    pub fn new<'a>(ports: &[PortConfig], services: impl Iterator<Item = &'a ServiceKey>) -> Self {
        let of_port =
            |port: &PortConfig| port.addresses.iter().map(|net| (net.addr(), port.name.clone())).collect::<Vec<_>>();
        let virtual_address = |key: &ServiceKey| match key {
            ServiceKey::Virtual { address, .. } => Some(*address),
            ServiceKey::Mark { .. } => None,
        };
        Self {
            ports: ports.iter().flat_map(of_port).collect(),
            virtual_addresses: services.filter_map(virtual_address).collect(),
        }
    }

    /// Whose address it is, when it is one of the director's.
    pub fn owner(&self, address: IpAddr) -> Option<String> {
        if self.virtual_addresses.contains(&address) {
            return Some("a virtual address".to_owned());
        }
        self.ports.get(&address).map(|name| format!("the address of port {name:?}"))
    }
}

/// What is wrong with a service by itself, without its destinations.
pub fn check_service(service: &ServiceConfig) -> Vec<Refusal> {
    let mut refused = Vec::new();
    let other = |protocol| protocol != Protocol::Udp;
    if service.one_packet && matches!(service.key, ServiceKey::Virtual { protocol, .. } if other(protocol)) {
        refused.push(refusal(
            "one_packet",
            "only UDP has one-packet scheduling; leave the key out, or use protocol = \"udp\"",
        ));
    }
    if service.persistence.is_none() && matches!(service.key, ServiceKey::Virtual { port: 0, .. }) {
        refused.push(refusal(
            "address",
            "port 0 (every port) needs persistence; add `persistence_timeout_s`, or give a port",
        ));
    }
    refused
}

/// What is wrong with a destination of the service `key`.
pub fn check_destination(key: &ServiceKey, destination: &DestinationConfig, own: &OwnAddresses) -> Vec<Refusal> {
    let mut refused = Vec::new();
    if let Some(owner) = own.owner(destination.address) {
        refused.push(refusal("address", not_yet::local_destination(destination.address, &owner)));
    }
    refused.extend(check_family(key, destination));
    refused.extend(check_port(key, destination));
    refused.extend(check_tunnel(destination.forward));
    let (upper, lower) = (destination.threshold_upper, destination.threshold_lower);
    if lower > upper {
        let unlimited = if upper == 0 { " (unlimited)" } else { "" };
        let message = format!("{lower} is above `threshold_upper`, which is {upper}{unlimited}");
        refused.push(refusal("threshold_lower", message));
    }
    refused
}

/// Only a tunnel carries packets of one family to an address of the other.
fn check_family(key: &ServiceKey, destination: &DestinationConfig) -> Option<Refusal> {
    let is_tunnel = matches!(destination.forward, Forward::Tun(_));
    let differ = Family::of(destination.address) != key.family();
    let word = destination.forward.word();
    (differ && !is_tunnel).then(|| {
        let message = "is of another address family than the service; only forward = \"tun\" takes it";
        refusal("address", format!("{} with {word:?} {message}", destination.address))
    })
}

fn check_tunnel(forward: Forward) -> Option<Refusal> {
    let Forward::Tun(Tunnel { kind: TunnelKind::Gue, port: 0, .. }) = forward else { return None };
    Some(refusal("tunnel_port", "missing; tunnel = \"gue\" needs the port it goes to"))
}

/// What is said of a tunnel and has no meaning there. The kernel takes it and does nothing with it.
pub fn check_tunnel_meaning(forward: Forward) -> Option<Refusal> {
    let Forward::Tun(Tunnel { kind, port, checksum }) = forward else { return None };
    match (kind, port, checksum) {
        (TunnelKind::Ipip | TunnelKind::Gre, 1.., _) => {
            Some(refusal("tunnel_port", format!("only tunnel = \"gue\" has a port, not {:?}", kind.name())))
        }
        (TunnelKind::Ipip, _, TunnelChecksum::Full | TunnelChecksum::Remote)
        | (TunnelKind::Gre, _, TunnelChecksum::Remote) => {
            let (word, kind) = (checksum.word(), kind.name());
            Some(refusal("tunnel_checksum", format!("tunnel = {kind:?} has no checksum {word:?}; leave the key out")))
        }
        _ => None,
    }
}

fn check_port(key: &ServiceKey, destination: &DestinationConfig) -> Option<Refusal> {
    let ServiceKey::Virtual { port: service_port, .. } = *key else { return None };
    let (port, word) = (destination.port, destination.forward.word());
    match destination.forward {
        Forward::Dr | Forward::Tun(_) if port != service_port => Some(refusal(
            "address",
            format!(
                "port {port} differs from the service's {service_port}, but {word:?} leaves the packet as it is, so the \
                 real server sees port {service_port}; leave `:{port}` out, or use forward = \"nat\""
            ),
        )),
        _ if port == 0 && service_port != 0 => {
            Some(refusal("address", "port 0 is no port; give another, or leave it out"))
        }
        _ => None,
    }
}

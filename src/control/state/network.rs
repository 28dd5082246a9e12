//! Interfaces, routes and neighbours of a configuration; virtual addresses of its services.

use super::error::Error;
use super::{Opened, check};
use crate::control::config::Config;
use crate::dataplane::snapshot::{Directory, Interface, Network, Route, StaticNeighbour, VirtualAddress};
use crate::model::{InterfaceId, ServiceId, ServiceKey};
use hashbrown::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// The network as the configuration and the services of `directory` ask for it, not yet prepared. `arp_ports`: the ports
/// that services name.
pub(super) fn network(
    config: &Config,
    opened: &[Opened],
    directory: &Directory,
    arp_ports: &HashMap<ServiceId, usize>,
) -> Result<Network, Error> {
    let interfaces = interfaces(config, opened);
    let virtual_addresses = virtual_addresses(&interfaces, directory, arp_ports)?;
    let routes = config.routes.iter().map(|r| Route { prefix: r.prefix, via: r.via, interface: interface_id(r.port) });
    let neighbours = config.neighbours.iter().map(|n| StaticNeighbour {
        interface: interface_id(n.port),
        address: n.address,
        mac: n.mac,
    });
    Ok(Network {
        routes: routes.collect(),
        neighbours: neighbours.collect(),
        interfaces,
        virtual_addresses,
        reach: Arc::default(),
    })
}

pub(super) fn is_same(a: &Network, b: &Network) -> bool {
    a.interfaces == b.interfaces
        && a.routes == b.routes
        && a.neighbours == b.neighbours
        && a.virtual_addresses == b.virtual_addresses
}

fn interfaces(config: &Config, opened: &[Opened]) -> Vec<Interface> {
    let interface = |(index, (port, opened)): (usize, (&crate::control::config::PortConfig, &Opened))| Interface {
        id: interface_id(index),
        name: port.name.clone(),
        port: opened.port,
        vlan: port.vlan,
        mac: opened.mac,
        mtu: port.mtu,
        udp_checksum_offload: opened.udp_checksum_offload,
        addresses: port.addresses.clone(),
    };
    config.ports.iter().zip(opened).enumerate().map(interface).collect()
}

/// Interfaces are numbered as `[[port]]` tables are.
fn interface_id(port: usize) -> InterfaceId {
    InterfaceId(u16::try_from(port).expect("far fewer ports than 65536"))
}

/// Every address of a service once, in ascending order.
fn virtual_addresses(
    interfaces: &[Interface],
    directory: &Directory,
    arp_ports: &HashMap<ServiceId, usize>,
) -> Result<Vec<VirtualAddress>, Error> {
    let named = |id| arp_ports.get(id).map(|&port| interface_id(port));
    let mut wishes: Vec<(IpAddr, Option<InterfaceId>)> =
        directory.services.iter().filter_map(|(key, id)| Some((address(key)?, named(id)))).collect();
    // the kernel takes services on any address; only these are a host's
    wishes.retain(|(address, _)| check::is_unicast(*address));
    // `None` sorts first, so the last of an address's wishes is a named port if there is one
    wishes.sort_unstable();
    wishes.dedup();
    wishes.chunk_by(|a, b| a.0 == b.0).map(|same| virtual_address(interfaces, same)).collect()
}

/// `wishes`: of one address, distinct and ascending.
fn virtual_address(
    interfaces: &[Interface],
    wishes: &[(IpAddr, Option<InterfaceId>)],
) -> Result<VirtualAddress, Error> {
    let (address, _) = wishes[0];
    let mut named = wishes.iter().filter_map(|(_, interface)| *interface);
    let interface = named.next();
    match named.next() {
        Some(_) => Err(Error::PortConflict(address)),
        None => Ok(VirtualAddress { address, interface: interface.or_else(|| connected(interfaces, address)) }),
    }
}

/// The interface whose subnet the address lies in: of several, the longest prefix's, then the first.
fn connected(interfaces: &[Interface], address: IpAddr) -> Option<InterfaceId> {
    let subnets = interfaces.iter().flat_map(|i| i.addresses.iter().map(move |subnet| (subnet, i.id)));
    let containing = subnets.filter(|(subnet, _)| subnet.contains(&address));
    containing.max_by_key(|(subnet, id)| (subnet.prefix_len(), std::cmp::Reverse(*id))).map(|(_, id)| id)
}

fn address(key: &ServiceKey) -> Option<IpAddr> {
    match key {
        ServiceKey::Virtual { address, .. } => Some(*address),
        ServiceKey::Mark { .. } => None,
    }
}

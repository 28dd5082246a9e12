//! `[[route]]` and `[[neighbour]]`: next hops that some port can reach.

use super::super::error::Problems;
use super::super::file::{File, NeighbourTable, RouteTable};
use super::super::keys::Table;
use super::super::{NeighbourConfig, PortConfig, RouteConfig, values};
use super::ports::PortNames;
use super::{accept, line_of, place, port_index};
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use ipnet::IpNet;
use std::net::IpAddr;
use std::ops::Range;
use toml::Spanned;

/// All routes. Gateways are only looked for among the ports' networks when these are all known.
pub fn routes(
    file: &File,
    ports: &[PortConfig],
    names: &PortNames<'_>,
    networks_known: bool,
    problems: &mut Problems<'_>,
) -> Vec<RouteConfig> {
    let mut seen: HashMap<IpNet, Range<usize>> = HashMap::new();
    let mut routes = Vec::new();
    for table in &file.route {
        let text = &table.get_ref().prefix;
        let Some(prefix) = accept(Table::Route, "prefix", text, values::network, problems) else { continue };
        match seen.entry(prefix) {
            Entry::Vacant(entry) => _ = entry.insert(text.span()),
            Entry::Occupied(entry) => {
                let message = format!("{prefix} already has the route of line {}", line_of(entry.get(), problems));
                problems.add(text.span(), place(Table::Route, "prefix"), message);
            }
        }
        let ports = networks_known.then_some(ports);
        routes.extend(way(table, ports, names, problems).map(|(via, port)| RouteConfig { prefix, via, port }));
    }
    routes
}

/// Next hop and port of a route.
fn way(
    table: &Spanned<RouteTable>,
    ports: Option<&[PortConfig]>,
    names: &PortNames<'_>,
    problems: &mut Problems<'_>,
) -> Option<(Option<IpAddr>, usize)> {
    let (via, port) = (&table.get_ref().via, &table.get_ref().port);
    let named = port.as_ref().map(|name| port_index(Table::Route, name, names, problems));
    let Some(text) = via else {
        if named.is_none() {
            let message = "missing; a route needs a next hop, or a `port` when its network is on the link there";
            problems.add(table.span(), place(Table::Route, "via"), message);
        }
        return named.flatten().map(|port| (None, port));
    };
    let gateway = accept(Table::Route, "via", text, values::address, problems)?;
    match gateway_port(gateway, ports?, named) {
        Ok(port) => port.map(|port| (Some(gateway), port)),
        Err(message) => {
            problems.add(text.span(), place(Table::Route, "via"), message);
            None
        }
    }
}

/// The port a gateway is connected to; `named` is the port the file gives, `Some(None)` when there is none such.
fn gateway_port(gateway: IpAddr, ports: &[PortConfig], named: Option<Option<usize>>) -> Result<Option<usize>, String> {
    if let Some(port) = ports.iter().find(|port| port.addresses.iter().any(|net| net.addr() == gateway)) {
        return Err(format!("{gateway} is the address of port {:?} itself; give the router's", port.name));
    }
    match named {
        Some(None) => Ok(None),
        Some(Some(index)) if connected_length(&ports[index], gateway).is_some() => Ok(Some(index)),
        Some(Some(index)) => Err(format!(
            "{gateway} is in no network of port {:?}{}",
            ports[index].name,
            networks(&ports[index..=index])
        )),
        None => {
            let connected = |index: &usize| connected_length(&ports[*index], gateway);
            // of ports that fit equally the first one: max_by_key alone would take the last
            let nearest = (0..ports.len()).rev().filter(|i| connected(i).is_some()).max_by_key(connected);
            nearest.map(Some).ok_or_else(|| format!("{gateway} is in no port's network{}", networks(ports)))
        }
    }
}

/// Prefix length of the port's longest network that holds the address.
fn connected_length(port: &PortConfig, address: IpAddr) -> Option<u8> {
    port.addresses.iter().filter(|net| net.contains(&address)).map(IpNet::prefix_len).max()
}

fn networks(ports: &[PortConfig]) -> String {
    let all: Vec<_> = ports.iter().flat_map(|p| p.addresses.iter().map(|net| net.trunc().to_string())).collect();
    if all.is_empty() { "; there are none".to_owned() } else { format!("; there are: {}", all.join(", ")) }
}

/// All static neighbours.
pub fn neighbours(
    file: &File,
    ports: &[PortConfig],
    names: &PortNames<'_>,
    problems: &mut Problems<'_>,
) -> Vec<NeighbourConfig> {
    let mut seen: HashMap<(usize, IpAddr), Range<usize>> = HashMap::new();
    let mut neighbours = Vec::new();
    for table in file.neighbour.iter().map(Spanned::get_ref) {
        let Some(neighbour) = neighbour(table, ports, names, problems) else { continue };
        match seen.entry((neighbour.port, neighbour.address)) {
            Entry::Vacant(entry) => _ = entry.insert(table.address.span()),
            Entry::Occupied(entry) => {
                let line = line_of(entry.get(), problems);
                let message = format!("{} already has the MAC address of line {line}", neighbour.address);
                problems.add(table.address.span(), place(Table::Neighbour, "address"), message);
            }
        }
        neighbours.push(neighbour);
    }
    neighbours
}

fn neighbour(
    table: &NeighbourTable,
    ports: &[PortConfig],
    names: &PortNames<'_>,
    problems: &mut Problems<'_>,
) -> Option<NeighbourConfig> {
    let port = port_index(Table::Neighbour, &table.port, names, problems);
    let mac = accept(Table::Neighbour, "mac", &table.mac, values::mac, problems);
    let address = accept(Table::Neighbour, "address", &table.address, values::address, problems);
    if let Some(owner) = ports.iter().find(|p| p.addresses.iter().any(|net| Some(net.addr()) == address)) {
        let message = format!("this is the address of port {:?} itself", owner.name);
        problems.add(table.address.span(), place(Table::Neighbour, "address"), message);
    }
    Some(NeighbourConfig { port: port?, address: address?, mac: mac? })
}

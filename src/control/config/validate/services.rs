//! `[[service]]` and `[[service.destination]]`.

use super::super::error::Problems;
use super::super::file::{DestinationTable, File, ServiceTable};
use super::super::keys::Table;
use super::super::rules::{OwnAddresses, check_destination, check_service};
use super::super::{DestinationConfig, PortConfig, ServiceConfig, not_yet, values};
use super::ports::PortNames;
use super::{accept, line_of, place, port_index};
use crate::model::{Departures, Forward, ServiceKey};
use crate::sched::Options;
use crate::sched::registry::SchedulerKind;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use toml::Spanned;

/// The kernel's and `ipvsadm`'s.
const SCHEDULER: &str = "wlc";

/// All services with their destinations.
pub fn services(
    file: &File,
    ports: &[PortConfig],
    names: &PortNames<'_>,
    problems: &mut Problems<'_>,
) -> Vec<ServiceConfig> {
    // destinations last: what they may not be depends on all services
    let mut typed: Vec<(&ServiceTable, ServiceConfig)> = Vec::new();
    for table in &file.service {
        typed.extend(service(table, names, problems).map(|service| (table.get_ref(), service)));
    }
    check_unique(&typed, problems);
    check_answering_ports(&typed, ports, problems);
    let own = OwnAddresses::new(ports, typed.iter().map(|(_, service)| &service.key));
    for (table, service) in &mut typed {
        service.destinations = destinations(table, &service.key, &own, problems);
    }
    typed.into_iter().map(|(_, service)| service).collect()
}

fn service(table: &Spanned<ServiceTable>, names: &PortNames<'_>, problems: &mut Problems<'_>) -> Option<ServiceConfig> {
    let typed = table.get_ref();
    for (span, key, message) in not_yet::service_keys(typed) {
        problems.add(span, place(Table::Service, key), message);
    }
    let key = service_key(table, problems);
    let (scheduler, options) = scheduling(typed, problems);
    let port = typed.port.as_ref().and_then(|name| port_index(Table::Service, name, names, problems));
    let service = ServiceConfig {
        key: key?,
        scheduler: scheduler?,
        options,
        persistence: None,
        one_packet: typed.one_packet.as_ref().is_some_and(|on| *on.get_ref()),
        departures: Departures::default(),
        port,
        destinations: Vec::new(),
    };
    for refusal in check_service(&service) {
        let span = typed.one_packet.as_ref().map_or_else(|| table.span(), Spanned::span);
        problems.add(span, place(Table::Service, refusal.key), refusal.message);
    }
    Some(service)
}

fn service_key(table: &Spanned<ServiceTable>, problems: &mut Problems<'_>) -> Option<ServiceKey> {
    let typed = table.get_ref();
    let protocol = typed.protocol.as_ref().map(|p| accept(Table::Service, "protocol", p, values::protocol, problems));
    let address =
        typed.address.as_ref().map(|a| accept(Table::Service, "address", a, values::service_address, problems));
    if typed.mark.is_none() {
        for (key, is_missing) in [("protocol", protocol.is_none()), ("address", address.is_none())] {
            let example = Table::Service.key(key).map_or("", |key| key.example);
            if is_missing {
                problems.add(
                    table.span(),
                    place(Table::Service, key),
                    format!("missing; for example `{key} = {example}`"),
                );
            }
        }
    }
    let address = address.flatten()?;
    Some(ServiceKey::Virtual { protocol: protocol.flatten()?, address: address.ip(), port: address.port() })
}

fn scheduling(table: &ServiceTable, problems: &mut Problems<'_>) -> (Option<SchedulerKind>, Options) {
    let mut options = Options::default();
    let scheduler = match &table.scheduler {
        Some(name) => accept(Table::Service, "scheduler", name, values::scheduler, problems),
        None => SchedulerKind::from_name(SCHEDULER),
    };
    if let Some(scheduler) = scheduler {
        for flag in &table.scheduler_flags {
            let parse = |text: &str| values::scheduler_flag(scheduler, text, &mut options);
            accept(Table::Service, "scheduler_flags", flag, parse, problems);
        }
    }
    (scheduler, options)
}

fn check_unique(services: &[(&ServiceTable, ServiceConfig)], problems: &mut Problems<'_>) {
    let mut seen: HashMap<ServiceKey, Range<usize>> = HashMap::new();
    for (table, service) in services {
        let Some(address) = &table.address else { continue };
        match seen.entry(service.key) {
            Entry::Vacant(entry) => _ = entry.insert(address.span()),
            Entry::Occupied(entry) => {
                let message =
                    format!("{} is already the service of line {}", service.key, line_of(entry.get(), problems));
                problems.add(address.span(), place(Table::Service, "address"), message);
            }
        }
    }
}

/// ARP for one address is answered on one port, so its services cannot name two.
fn check_answering_ports(
    services: &[(&ServiceTable, ServiceConfig)],
    ports: &[PortConfig],
    problems: &mut Problems<'_>,
) {
    let mut seen: HashMap<IpAddr, (usize, Range<usize>)> = HashMap::new();
    for (table, service) in services {
        let ServiceKey::Virtual { address, .. } = service.key else { continue };
        let (Some(port), Some(text)) = (service.port, &table.port) else { continue };
        let (first, span) = seen.entry(address).or_insert_with(|| (port, text.span()));
        if *first != port {
            let (name, line) = (&ports[*first].name, line_of(span, problems));
            let message = format!(
                "{address} is answered for on port {name:?} (line {line}); all services of an address name one"
            );
            problems.add(text.span(), place(Table::Service, "port"), message);
        }
    }
}

fn destinations(
    table: &ServiceTable,
    key: &ServiceKey,
    own: &OwnAddresses,
    problems: &mut Problems<'_>,
) -> Vec<DestinationConfig> {
    let mut seen: HashMap<SocketAddr, Range<usize>> = HashMap::new();
    let mut destinations = Vec::new();
    for table in table.destination.iter().map(Spanned::get_ref) {
        let Some(destination) = destination(table, key, problems) else { continue };
        for refusal in check_destination(key, &destination, own) {
            let span = span_of(table, refusal.key);
            problems.add(span, place(Table::Destination, refusal.key), refusal.message);
        }
        match seen.entry(destination.socket()) {
            Entry::Vacant(entry) => _ = entry.insert(table.address.span()),
            Entry::Occupied(entry) => {
                let (line, socket) = (line_of(entry.get(), problems), entry.key());
                let message =
                    format!("{socket} is already the destination of line {line}; one destination, one weight");
                problems.add(table.address.span(), place(Table::Destination, "address"), message);
            }
        }
        destinations.push(destination);
    }
    destinations
}

fn span_of(table: &DestinationTable, key: &str) -> Range<usize> {
    let number = match key {
        "threshold_lower" => table.threshold_lower.as_ref(),
        _ => None,
    };
    number.map_or_else(|| table.address.span(), Spanned::span)
}

fn destination(table: &DestinationTable, key: &ServiceKey, problems: &mut Problems<'_>) -> Option<DestinationConfig> {
    let service_port = match *key {
        ServiceKey::Virtual { port, .. } => port,
        ServiceKey::Mark { .. } => 0,
    };
    let address = accept(Table::Destination, "address", &table.address, values::destination_address, problems);
    let forward = match &table.forward {
        Some(word) => accept(Table::Destination, "forward", word, values::forward, problems)?,
        None => Forward::Dr,
    };
    let (address, port) = address?;
    let number = |value: &Option<Spanned<u32>>, default| value.as_ref().map_or(default, |v| *v.get_ref());
    Some(DestinationConfig {
        address,
        port: port.unwrap_or(service_port),
        forward,
        weight: number(&table.weight, 1),
        threshold_upper: number(&table.threshold_upper, 0),
        threshold_lower: number(&table.threshold_lower, 0),
    })
}

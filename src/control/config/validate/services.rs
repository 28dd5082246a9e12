//! `[[service]]` and `[[service.destination]]`.

use super::super::error::Problems;
use super::super::file::{DestinationTable, File, ServiceTable};
use super::super::keys::Table;
use super::super::rules::{OwnAddresses, check_destination, check_service, check_tunnel_meaning};
use super::super::{DestinationConfig, PortConfig, ServiceConfig, values};
use super::ports::PortNames;
use super::{accept, line_of, place, port_index};
use crate::model::{
    ClientMask, Departures, Family, Forward, OwnTimeouts, Persistence, PersistenceEngine, ServiceKey, Tunnel,
    TunnelChecksum, TunnelKind,
};
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
    let key = service_key(table, problems);
    let (scheduler, options) = scheduling(typed, problems);
    let persistence = key.as_ref().and_then(|key| persistence(typed, key, problems));
    let port = typed.port.as_ref().and_then(|name| port_index(Table::Service, name, names, problems));
    let service = ServiceConfig {
        key: key?,
        scheduler: scheduler?,
        options,
        persistence,
        one_packet: typed.one_packet.as_ref().is_some_and(|on| *on.get_ref()),
        strict: typed.strict,
        departures: departures(typed),
        port,
        destinations: Vec::new(),
    };
    for refusal in check_service(&service) {
        let one_packet = typed.one_packet.as_ref().filter(|_| refusal.key == "one_packet").map(Spanned::span);
        let span = one_packet.or(typed.address.as_ref().map(Spanned::span)).unwrap_or_else(|| table.span());
        problems.add(span, place(Table::Service, refusal.key), refusal.message);
    }
    Some(service)
}

fn service_key(table: &Spanned<ServiceTable>, problems: &mut Problems<'_>) -> Option<ServiceKey> {
    let typed = table.get_ref();
    if let Some(mark) = &typed.mark {
        return mark_key(typed, *mark.get_ref(), problems);
    }
    if let Some(family) = &typed.family {
        let message = "only services on a `mark` need it; others have the family of their address";
        problems.add(family.span(), place(Table::Service, "family"), message);
    }
    let protocol = typed.protocol.as_ref().map(|p| accept(Table::Service, "protocol", p, values::protocol, problems));
    let address =
        typed.address.as_ref().map(|a| accept(Table::Service, "address", a, values::service_address, problems));
    for (key, is_missing) in [("protocol", protocol.is_none()), ("address", address.is_none())] {
        let example = Table::Service.key(key).map_or("", |key| key.example);
        if is_missing {
            let message = format!("missing; for example `{key} = {example}`");
            problems.add(table.span(), place(Table::Service, key), message);
        }
    }
    let address = address.flatten()?;
    Some(ServiceKey::Virtual { protocol: protocol.flatten()?, address: address.ip(), port: address.port() })
}

/// A service on a mark has no address, and none that ARP could be answered for.
fn mark_key(table: &ServiceTable, mark: u32, problems: &mut Problems<'_>) -> Option<ServiceKey> {
    for (key, text) in [("protocol", &table.protocol), ("address", &table.address), ("port", &table.port)] {
        if let Some(text) = text {
            let message = "the service is on a `mark`, whatever the packet's address; leave one of them out";
            problems.add(text.span(), place(Table::Service, key), message);
        }
    }
    let is_v6 = table.family.as_ref().is_some_and(|family| family.get_ref() == "ipv6");
    Some(ServiceKey::Mark { mark, family: if is_v6 { Family::V6 } else { Family::V4 } })
}

fn persistence(table: &ServiceTable, key: &ServiceKey, problems: &mut Problems<'_>) -> Option<Persistence> {
    let mask = table.persistence_mask.as_ref().and_then(|text| {
        accept(Table::Service, "persistence_mask", text, |text| values::client_mask(text, key.family()), problems)
    });
    let engine = table.persistence_engine.as_ref().and_then(|name| PersistenceEngine::from_name(name.get_ref()));
    let Some(timeout) = &table.persistence_timeout_s else {
        for (key, text) in
            [("persistence_mask", &table.persistence_mask), ("persistence_engine", &table.persistence_engine)]
        {
            if let Some(text) = text {
                let message = "there is no persistence; add `persistence_timeout_s`, or leave the key out";
                problems.add(text.span(), place(Table::Service, key), message);
            }
        }
        return None;
    };
    Some(Persistence { timeout_s: *timeout.get_ref(), mask: mask.unwrap_or(ClientMask::whole(key.family())), engine })
}

fn departures(table: &ServiceTable) -> Departures {
    let own = |seconds: Option<u32>| seconds.unwrap_or(0);
    Departures {
        timeouts: OwnTimeouts {
            tcp_established_s: own(table.tcp_established_s),
            tcp_fin_wait_s: own(table.tcp_fin_wait_s),
            udp_s: own(table.udp_s),
        },
        drain_deadline_s: own(table.drain_deadline_s),
        reset_on_idle_expiry: table.reset_on_idle_expiry,
        reschedule_udp: table.reschedule_udp,
    }
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
        let of_mark = table.mark.as_ref().map(|mark| ("mark", mark.span()));
        let Some((key, span)) = of_mark.or(table.address.as_ref().map(|text| ("address", text.span()))) else {
            continue;
        };
        match seen.entry(service.key) {
            Entry::Vacant(entry) => _ = entry.insert(span),
            Entry::Occupied(entry) => {
                let message =
                    format!("{} is already the service of line {}", service.key, line_of(entry.get(), problems));
                problems.add(span, place(Table::Service, key), message);
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
        let meaning = check_tunnel_meaning(destination.forward);
        for refusal in check_destination(key, &destination, own).into_iter().chain(meaning) {
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
        "threshold_lower" => table.threshold_lower.as_ref().map(Spanned::span),
        "tunnel_port" => table.tunnel_port.as_ref().map(Spanned::span).or(table.tunnel.as_ref().map(Spanned::span)),
        "tunnel_checksum" => table.tunnel_checksum.as_ref().map(Spanned::span),
        _ => None,
    };
    number.unwrap_or_else(|| table.address.span())
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
    let forward = tunnelled(table, forward, problems);
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

/// The forwarding method with what the file says of its tunnel.
fn tunnelled(table: &DestinationTable, forward: Forward, problems: &mut Problems<'_>) -> Forward {
    let word = |text: &Option<Spanned<String>>| text.as_ref().map_or("", |text| text.get_ref()).to_owned();
    let kind = TunnelKind::from_name(&word(&table.tunnel)).unwrap_or_default();
    let checksum = TunnelChecksum::from_word(&word(&table.tunnel_checksum)).unwrap_or_default();
    let port = table.tunnel_port.as_ref().map_or(0, |port| *port.get_ref());
    if let Forward::Tun(_) = forward {
        return Forward::Tun(Tunnel { kind, port, checksum });
    }
    let given = [
        ("tunnel", table.tunnel.as_ref().map(Spanned::span)),
        ("tunnel_port", table.tunnel_port.as_ref().map(Spanned::span)),
        ("tunnel_checksum", table.tunnel_checksum.as_ref().map(Spanned::span)),
    ];
    for (key, span) in given.into_iter().filter_map(|(key, span)| Some((key, span?))) {
        let message = format!("{:?} has no tunnel; leave the key out, or use forward = \"tun\"", forward.word());
        problems.add(span, place(Table::Destination, key), message);
    }
    forward
}

//! `[[mark]]`: rules whose parts can fit a packet together.

use super::super::error::Problems;
use super::super::file::{File, MarkTable, PortsText};
use super::super::keys::Table;
use super::super::values;
use super::ports::PortNames;
use super::{accept, place, port_index};
use crate::model::limits::MARK_RULES_MAX;
use crate::model::{Family, InterfaceId, MarkRule};
use crate::wire::ip_protocol;
use ipnet::IpNet;
use std::ops::RangeInclusive;
use toml::Spanned;

/// All rules, in the order of the file.
pub fn marks(file: &File, names: &PortNames<'_>, problems: &mut Problems<'_>) -> Vec<MarkRule> {
    if let Some(excess) = file.mark.get(MARK_RULES_MAX) {
        let message = format!("{} rules; at most {MARK_RULES_MAX}", file.mark.len());
        problems.add(excess.span(), Table::Mark.heading(), message);
    }
    file.mark.iter().map(|table| rule(table.get_ref(), names, problems)).collect()
}

fn rule(table: &MarkTable, names: &PortNames<'_>, problems: &mut Problems<'_>) -> MarkRule {
    let mut network = |key, text: &Option<Spanned<String>>| {
        text.as_ref().and_then(|text| accept(Table::Mark, key, text, values::network_or_address, problems))
    };
    let (source, destination) = (network("source", &table.source), network("destination", &table.destination));
    check_families(table, source, destination, problems);
    let protocol = table.protocol.as_ref().and_then(|word| protocol_number(word.get_ref()));
    let port = table.port.as_ref().and_then(|name| port_index(Table::Mark, name, names, problems));
    MarkRule {
        mark: table.mark,
        protocol,
        source,
        destination,
        source_ports: ports("source_port", &table.source_port, protocol, problems),
        destination_ports: ports("destination_port", &table.destination_port, protocol, problems),
        interface: port.and_then(|index| u16::try_from(index).ok()).map(InterfaceId),
    }
}

fn check_families(table: &MarkTable, source: Option<IpNet>, destination: Option<IpNet>, problems: &mut Problems<'_>) {
    let (Some(source), Some(destination), Some(text)) = (source, destination, &table.destination) else { return };
    if Family::of(source.addr()) != Family::of(destination.addr()) {
        let message = format!("{destination} and `source` {source} are of different address families: no packet fits");
        problems.add(text.span(), place(Table::Mark, "destination"), message);
    }
}

/// IANA "Protocol Numbers"; the words are the registry's.
fn protocol_number(word: &str) -> Option<u8> {
    const NUMBERS: [(&str, u8); 7] = [
        ("tcp", ip_protocol::TCP),
        ("udp", ip_protocol::UDP),
        ("sctp", ip_protocol::SCTP),
        ("icmp", ip_protocol::ICMP),
        ("icmpv6", ip_protocol::ICMPV6),
        ("ah", ip_protocol::AH),
        ("esp", ip_protocol::ESP),
    ];
    NUMBERS.iter().find(|(name, _)| *name == word).map(|(_, number)| *number)
}

fn ports(
    key: &str,
    typed: &Option<Spanned<PortsText>>,
    protocol: Option<u8>,
    problems: &mut Problems<'_>,
) -> Option<RangeInclusive<u16>> {
    let typed = typed.as_ref()?;
    if !matches!(protocol, Some(ip_protocol::TCP | ip_protocol::UDP | ip_protocol::SCTP)) {
        let message = "ports are of tcp, udp and sctp; add `protocol`, or leave the key out";
        problems.add(typed.span(), place(Table::Mark, key), message);
    }
    match typed.get_ref() {
        PortsText::One(port) => Some(*port..=*port),
        // wrong ones are told with the file's shape
        PortsText::Range(text) => values::ports(text).ok(),
    }
}

//! `[[port]]`: names and devices that are unique, addresses that can be a host's.

use super::super::error::{Problems, quoted};
use super::super::file::{File, PortTable};
use super::super::keys::Table;
use super::super::{PortConfig, values};
use super::{accept, line_of, place};
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use std::net::IpAddr;
use std::ops::Range;
use toml::Spanned;

/// Index of each port by its name.
pub type PortNames<'a> = HashMap<&'a str, usize>;

/// Ethernet's (RFC 894); jumbo frames are asked for.
const MTU: u16 = 1500;

/// Interfaces are numbered in 16 bits.
const PORTS_MAX: usize = 1 << 16;

const NAME_LENGTH_MAX: usize = 32;

/// All ports, in the order of the file, with their names.
pub fn ports<'a>(file: &'a File, problems: &mut Problems<'_>) -> (Vec<PortConfig>, PortNames<'a>) {
    match file.port.len() {
        0 => problems.add(0..0, Table::Port.heading(), "there is none; the director needs at least one port"),
        n if n > PORTS_MAX => problems.add(0..0, Table::Port.heading(), format!("{n} ports; at most {PORTS_MAX}")),
        _ => {}
    }
    let ports: Vec<_> = file.port.iter().map(|table| port(table.get_ref(), problems)).collect();
    check_devices(file, problems);
    check_addresses(file, &ports, problems);
    let names = names(file, problems);
    (ports, names)
}

fn port(table: &PortTable, problems: &mut Problems<'_>) -> PortConfig {
    accept(Table::Port, "name", &table.name, name, problems);
    accept(Table::Port, "device", &table.device, device, problems);
    let mut parse = |text| accept(Table::Port, "addresses", text, values::port_address, problems);
    let addresses = table.addresses.iter().filter_map(&mut parse).collect();
    let mac = table.mac.as_ref().and_then(|mac| accept(Table::Port, "mac", mac, values::mac, problems));
    PortConfig {
        name: table.name.get_ref().clone(),
        device: table.device.get_ref().clone(),
        vlan: table.vlan,
        mac,
        mtu: table.mtu.unwrap_or(MTU),
        addresses,
    }
}

fn name(text: &str) -> Result<(), String> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if (1..=NAME_LENGTH_MAX).contains(&text.len()) && text.bytes().all(is_plain) {
        return Ok(());
    }
    Err(format!("{} cannot be a name; allowed: 1 to {NAME_LENGTH_MAX} letters, digits, `.`, `_`, `-`", quoted(text)))
}

fn device(text: &str) -> Result<(), String> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(());
    }
    let examples = "a PCI address like \"0000:03:00.0\", or a vdev's name like \"net_af_packet0\"";
    Err(format!("{} cannot be a device; expected {examples}", quoted(text)))
}

fn names<'a>(file: &'a File, problems: &mut Problems<'_>) -> PortNames<'a> {
    let mut names = PortNames::new();
    for (index, table) in file.port.iter().enumerate() {
        let name = &table.get_ref().name;
        match names.entry(name.get_ref().as_str()) {
            Entry::Vacant(entry) => _ = entry.insert(index),
            Entry::Occupied(entry) => {
                let line = line_of(&file.port[*entry.get()].get_ref().name.span(), problems);
                let message =
                    format!("{} is already the port of line {line}; names are unique", quoted(name.get_ref()));
                problems.add(name.span(), place(Table::Port, "name"), message);
            }
        }
    }
    names
}

fn check_devices(file: &File, problems: &mut Problems<'_>) {
    let mut seen: HashMap<(&str, Option<u16>), Range<usize>> = HashMap::new();
    for table in file.port.iter().map(Spanned::get_ref) {
        match seen.entry((table.device.get_ref().as_str(), table.vlan)) {
            Entry::Vacant(entry) => _ = entry.insert(table.device.span()),
            Entry::Occupied(entry) => {
                let line = line_of(entry.get(), problems);
                let vlan = table.vlan.map_or_else(|| "without `vlan`".to_owned(), |vlan| format!("with `vlan` {vlan}"));
                let device = quoted(table.device.get_ref());
                let message =
                    format!("{device} {vlan} is already the port of line {line}; ports of one device differ in `vlan`");
                problems.add(table.device.span(), place(Table::Port, "device"), message);
            }
        }
    }
}

fn check_addresses(file: &File, ports: &[PortConfig], problems: &mut Problems<'_>) {
    let mut seen: HashMap<IpAddr, Range<usize>> = HashMap::new();
    for (table, port) in file.port.iter().zip(ports) {
        let texts = &table.get_ref().addresses;
        // an address that was refused already leaves texts and addresses unlike; then there is enough to mend first
        if texts.len() != port.addresses.len() {
            continue;
        }
        for (text, net) in texts.iter().zip(&port.addresses) {
            if let Some(first) = seen.get(&net.addr()) {
                let message = format!("{} is already given in line {}", net.addr(), line_of(first, problems));
                problems.add(text.span(), place(Table::Port, "addresses"), message);
            } else {
                seen.insert(net.addr(), text.span());
            }
        }
    }
}

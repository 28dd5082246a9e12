//! Listings in ipvsadm's own layout and order (`ipvsadm -Ln`, `ipvsadm -Lnc`), so that what reads those reads ours.

use crate::control::api::views::{ConnectionView, DestinationView, ServiceView};
use std::cmp::Ordering;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};

/// The kernel's version of IPVS whose behaviour this is.
const VERSION: &str = "1.2.1";

/// `ipvsadm -Ln`.
pub fn services(out: &mut dyn Write, table_size: u64, mut services: Vec<ServiceView>) -> io::Result<()> {
    sort(&mut services);
    writeln!(out, "IP Virtual Server version {VERSION} (size={table_size})")?;
    writeln!(out, "Prot LocalAddress:Port Scheduler Flags")?;
    writeln!(out, "  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn")?;
    for service in &services {
        writeln!(out, "{} {}", service_name(service), service_options(service))?;
        service.destinations.iter().try_for_each(|d| destination(out, d))?;
    }
    Ok(())
}

fn destination(out: &mut dyn Write, view: &DestinationView) -> io::Result<()> {
    let address = SocketAddr::new(view.address, view.port).to_string();
    let DestinationView { weight, counts, .. } = view;
    let forward = forward_name(&view.forward);
    writeln!(out, "  -> {address:<28} {forward:<7} {weight:<6} {:<10} {:<10}", counts.active, counts.inactive)
}

fn forward_name(word: &str) -> &str {
    match word {
        "nat" => "Masq",
        "dr" => "Route",
        "tun" => "Tunnel",
        "local" => "Local",
        other => other,
    }
}

/// `TCP  192.0.2.10:80`, `FWM  7 IPv6`.
pub fn service_name(service: &ServiceView) -> String {
    match (service.address, service.port, service.mark) {
        (Some(address), Some(port), _) => {
            format!("{:<4} {}", service.protocol.to_uppercase(), SocketAddr::new(address, port))
        }
        (.., mark) => format!("FWM  {}{}", mark.unwrap_or(0), if service.ipv6 { " IPv6" } else { "" }),
    }
}

/// `sh (sh-port) persistent 60 mask 255.255.255.0 ops`.
fn service_options(service: &ServiceView) -> String {
    let mut text = service.scheduler.clone();
    if !service.scheduler_flags.is_empty() {
        text += &format!(" ({})", service.scheduler_flags.join(","));
    }
    if let Some(timeout_s) = service.persistence_timeout_s {
        text += &format!(" persistent {timeout_s}");
        text += &mask(service.persistence_prefix_len, service.ipv6);
    }
    if service.one_packet {
        text += " ops";
    }
    text
}

/// A mask of single addresses goes without saying.
fn mask(prefix_len: Option<u8>, ipv6: bool) -> String {
    match prefix_len {
        Some(length) if ipv6 && length < 128 => format!(" mask {length}"),
        Some(length) if !ipv6 && length < 32 => {
            let bits = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            format!(" mask {}", std::net::Ipv4Addr::from(bits))
        }
        _ => String::new(),
    }
}

/// The heading of `ipvsadm -Lnc`.
pub fn connections_heading(out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "IPVS connection entries")?;
    writeln!(out, "pro expire state       source             virtual            destination")
}

pub fn connection(out: &mut dyn Write, view: &ConnectionView) -> io::Result<()> {
    let ConnectionView { protocol, client, virtual_address, destination, state, expires_s } = view;
    let expire = expire(*expires_s);
    let (client, virtual_address) = (client.to_string(), virtual_address.to_string());
    writeln!(out, "{protocol:<3} {expire:<6} {state:<11} {client:<18} {virtual_address:<18} {destination}")
}

fn expire(seconds: u32) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours == 0 { format!("{minutes:02}:{seconds:02}") } else { format!("{hours:02}:{minutes:02}:{seconds:02}") }
}

/// Marks last, then by family, protocol, address and port; destinations by address and port.
pub fn sort(services: &mut Vec<ServiceView>) {
    merge_sort(services, &compare_services);
    for service in services {
        merge_sort(&mut service.destinations, &|a, b| {
            compare_addresses(a.address, b.address).then(a.port.cmp(&b.port))
        });
    }
}

fn compare_services(a: &ServiceView, b: &ServiceView) -> Ordering {
    let kind = |s: &ServiceView| (s.mark.unwrap_or(0), s.ipv6, protocol_number(&s.protocol));
    let address = match (a.address, b.address) {
        (Some(a), Some(b)) => compare_addresses(a, b),
        _ => Ordering::Equal,
    };
    kind(a).cmp(&kind(b)).then(address).then(a.port.cmp(&b.port))
}

fn protocol_number(name: &str) -> u8 {
    match name {
        "tcp" => 6,
        "udp" => 17,
        "sctp" => 132,
        _ => 0,
    }
}

/// ipvsadm subtracts 32-bit words and looks at the sign, whatever the family: addresses more than half of the range
/// apart stand the other way round, 192.0.2.1 before 10.0.0.1.
fn compare_addresses(a: IpAddr, b: IpAddr) -> Ordering {
    let differences = words(a).into_iter().zip(words(b)).map(|(a, b)| a.wrapping_sub(b).cast_signed());
    differences.map(|difference| difference.cmp(&0)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

fn words(address: IpAddr) -> [u32; 4] {
    match address {
        IpAddr::V4(v4) => [v4.to_bits(), 0, 0, 0],
        IpAddr::V6(v6) => [96, 64, 32, 0].map(|shift| (v6.to_bits() >> shift) as u32),
    }
}

/// Sorts by an order that need not be transitive, as ipvsadm's is not: the standard library's sort may refuse that.
fn merge_sort<T>(items: &mut Vec<T>, compare: &impl Fn(&T, &T) -> Ordering) {
    if items.len() < 2 {
        return;
    }
    let mut right = items.split_off(items.len() / 2);
    let mut left = std::mem::take(items);
    merge_sort(&mut left, compare);
    merge_sort(&mut right, compare);
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let next = if compare(a, b).is_gt() { right.next() } else { left.next() };
        items.extend(next);
    }
    items.extend(left.chain(right));
}

#[cfg(test)]
#[path = "listing_tests.rs"]
mod tests;

//! Listings in ipvsadm's own layout and order (`ipvsadm -L -n` with its options), so that what reads those reads ours.

use super::names::{Names, Numbers, written};
use crate::control::api::views::{ConnectionView, DestCounts, DestinationView, Rates, ServiceView, TimeoutsView};
use std::cmp::Ordering;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};

/// The kernel's version of IPVS whose behaviour this is.
const VERSION: &str = "1.2.1";

/// What is said of each service and destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Columns {
    #[default]
    Plain,
    /// `--tun-info`
    Tunnels,
    /// `--stats`
    Stats,
    /// `--rate`
    Rates,
    /// `--thresholds`
    Thresholds,
    /// `--persistent-conn`
    Persistence,
}

/// How services are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    pub columns: Columns,
    /// Not `--nosort`.
    pub sorted: bool,
    /// Large numbers with all their digits.
    pub exact: bool,
}

impl Default for Style {
    fn default() -> Self {
        Self { columns: Columns::Plain, sorted: true, exact: false }
    }
}

/// `ipvsadm -Ln`.
pub fn services(out: &mut dyn Write, table_size: u64, services: Vec<ServiceView>) -> io::Result<()> {
    version(out, table_size)?;
    list(out, services, Style::default(), &Numbers)
}

/// The first line of a listing of all services.
pub fn version(out: &mut dyn Write, table_size: u64) -> io::Result<()> {
    writeln!(out, "IP Virtual Server version {VERSION} (size={table_size})")
}

/// Services below their headings.
pub fn list(out: &mut dyn Write, mut services: Vec<ServiceView>, style: Style, names: &dyn Names) -> io::Result<()> {
    if style.sorted {
        sort(&mut services);
    }
    headings(out, style.columns)?;
    for service in &services {
        let name = cut(named_service(service, names), service.address, SERVICE_WIDTH);
        match style.columns {
            Columns::Stats => {
                let sum = sum(service);
                writeln!(out, "{name:<33}{}", numbers(&stats(&sum), style.exact))?
            }
            Columns::Rates => {
                let mut rates = Rates::default();
                service.destinations.iter().for_each(|d| rates.add(&d.counts.rates));
                writeln!(out, "{name:<33}{}", numbers(&rates.columns(), style.exact))?
            }
            _ => writeln!(out, "{name} {}", service_options(service))?,
        }
        for d in &service.destinations {
            let name = written(names, d.address, d.port, &service.protocol);
            destination(out, d, &cut(name, Some(d.address), SERVER_WIDTH), style)?;
        }
    }
    Ok(())
}

fn headings(out: &mut dyn Write, columns: Columns) -> io::Result<()> {
    const SERVICE: &str = "Prot LocalAddress:Port";
    let of_numbers = |out: &mut dyn Write, [a, b, c, d, e]: [&str; 5]| {
        writeln!(out, "{SERVICE:<33} {a:>8} {b:>8} {c:>8} {d:>8} {e:>8}")
    };
    match columns {
        Columns::Plain => {
            writeln!(out, "{SERVICE} Scheduler Flags")?;
            return writeln!(out, "  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn");
        }
        Columns::Tunnels => {
            writeln!(out, "{SERVICE} Scheduler Flags")?;
            return writeln!(
                out,
                "  -> RemoteAddress:Port           Forward TunnelInfo    Weight ActiveConn InActConn"
            );
        }
        Columns::Stats => of_numbers(out, ["Conns", "InPkts", "OutPkts", "InBytes", "OutBytes"])?,
        Columns::Rates => of_numbers(out, ["CPS", "InPPS", "OutPPS", "InBPS", "OutBPS"])?,
        Columns::Thresholds => {
            writeln!(out, "{SERVICE:<33} {:<10} {:<10} {:<10} {:<10}", "Uthreshold", "Lthreshold", ACTIVE, INACTIVE)?
        }
        Columns::Persistence => {
            writeln!(out, "{SERVICE:<33} {:<9} {:<11} {:<10} {:<10}", "Weight", "PersistConn", ACTIVE, INACTIVE)?
        }
    }
    writeln!(out, "  -> RemoteAddress:Port")
}

/// Names of IPv4 hosts that are longer than their column are cut off.
const SERVICE_WIDTH: usize = 33;
const SERVER_WIDTH: usize = 28;

fn cut(name: String, address: Option<IpAddr>, width: usize) -> String {
    if address.is_some_and(|address| address.is_ipv4()) { name.chars().take(width).collect() } else { name }
}

const ACTIVE: &str = "ActiveConn";
const INACTIVE: &str = "InActConn";

fn destination(out: &mut dyn Write, view: &DestinationView, address: &str, style: Style) -> io::Result<()> {
    let DestinationView { weight, counts, threshold_upper, threshold_lower, .. } = view;
    let DestCounts { active, inactive, persistent, .. } = counts;
    let forward = forward_name(&view.forward);
    match style.columns {
        Columns::Plain => writeln!(out, "  -> {address:<28} {forward:<7} {weight:<6} {active:<10} {inactive:<10}"),
        Columns::Tunnels => {
            let tunnel = tunnel(view);
            writeln!(out, "  -> {address:<28} {forward:<7} {tunnel:<13} {weight:<6} {active:<10} {inactive:<10}")
        }
        Columns::Stats => writeln!(out, "  -> {address:<28}{}", numbers(&stats(counts), style.exact)),
        Columns::Rates => writeln!(out, "  -> {address:<28}{}", numbers(&counts.rates.columns(), style.exact)),
        Columns::Thresholds => {
            writeln!(out, "  -> {address:<28} {threshold_upper:<10} {threshold_lower:<10} {active:<10} {inactive:<10}")
        }
        Columns::Persistence => {
            writeln!(out, "  -> {address:<28} {weight:<9} {persistent:<11} {active:<10} {inactive:<10}")
        }
    }
}

/// `gue:6080:+c`
fn tunnel(view: &DestinationView) -> String {
    let Some(tunnel) = &view.tunnel else { return "n/a".to_owned() };
    let checksum = match tunnel.checksum.as_str() {
        "full" => "+c",
        "remote" => "r+c",
        _ => "-c",
    };
    match tunnel.kind.as_str() {
        "gue" => format!("gue:{}:{checksum}", tunnel.port),
        "gre" => format!("gre:{checksum}"),
        kind => kind.to_owned(),
    }
}

fn stats(counts: &DestCounts) -> [u64; 5] {
    [counts.connections, counts.in_packets, counts.out_packets, counts.in_bytes, counts.out_bytes]
}

fn sum(service: &ServiceView) -> DestCounts {
    let mut sum = service.former;
    for DestinationView { counts, .. } in &service.destinations {
        sum.connections += counts.connections;
        sum.in_packets += counts.in_packets;
        sum.out_packets += counts.out_packets;
        sum.in_bytes += counts.in_bytes;
        sum.out_bytes += counts.out_bytes;
    }
    sum
}

fn numbers(columns: &[u64], exact: bool) -> String {
    columns.iter().map(|n| if exact { format!(" {n:>8}") } else { large_number(*n) }).collect()
}

/// In nine columns whatever it is.
fn large_number(n: u64) -> String {
    match n {
        0..100_000_000 => format!("{n:>9}"),
        100_000_000..1_000_000_000 => format!("{:>8}K", n / 1000),
        1_000_000_000..100_000_000_000 => format!("{:>8}M", n / 1_000_000),
        100_000_000_000..100_000_000_000_000 => format!("{:>8}G", n / 1_000_000_000),
        _ => format!("{:>8}T", n / 1_000_000_000_000),
    }
}

/// `192.0.2.10:80`, `[2001:db8::10]:80`.
pub fn place(address: IpAddr, port: u16) -> String {
    SocketAddr::new(address, port).to_string()
}

/// `ipvsadm -L --timeout`.
pub fn timeouts(out: &mut dyn Write, timeouts: &TimeoutsView) -> io::Result<()> {
    let TimeoutsView { tcp_established_s, tcp_fin_wait_s, udp_s } = timeouts;
    writeln!(out, "Timeout (tcp tcpfin udp): {tcp_established_s} {tcp_fin_wait_s} {udp_s}")
}

/// As the kernel calls a forwarding method.
pub fn forward_name(word: &str) -> &str {
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
    named_service(service, &Numbers)
}

fn named_service(service: &ServiceView, names: &dyn Names) -> String {
    match (service.address, service.port, service.mark) {
        (Some(address), Some(port), _) => {
            format!("{:<4} {}", service.protocol.to_uppercase(), written(names, address, port, &service.protocol))
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
        text += &service.persistence_mask.as_ref().map_or_else(String::new, |mask| format!(" mask {mask}"));
    }
    if let Some(engine) = &service.persistence_engine {
        text += &format!(" pe {engine}");
    }
    if service.one_packet {
        text += " ops";
    }
    text
}

/// The heading of `ipvsadm -Lnc`.
pub fn connections_heading(out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "IPVS connection entries")?;
    writeln!(out, "pro expire state       source             virtual            destination")
}

pub fn connection(out: &mut dyn Write, view: &ConnectionView, names: &dyn Names) -> io::Result<()> {
    let ConnectionView { protocol, client, virtual_address, destination, state, expires_s, engine: _ } = view;
    let expire = expire(*expires_s);
    let text = |at: &SocketAddr| written(names, at.ip(), at.port(), &protocol.to_lowercase());
    let (client, virtual_address, destination) = (text(client), text(virtual_address), text(destination));
    writeln!(out, "{protocol:<3} {expire:<6} {state:<11} {client:<18} {virtual_address:<18} {destination}")
}

/// Minutes and seconds, however many minutes: persistence of three hours begins at `180:00`.
fn expire(seconds: u32) -> String {
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
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

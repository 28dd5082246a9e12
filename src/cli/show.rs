//! `pollux show`: what the running director knows.

use super::Failure;
use super::print::{Align, Array, table};
use crate::control::api::client::Client;
use crate::control::api::views::{
    DestinationView, DropView, NeighbourView, PortView, RouteView, ServiceView, TableView, WorkerView,
};
use crate::control::api::{Request, Response, Topic};
use crate::control::ipvsadm::listing;
use crate::control::ipvsadm::names::{Names, Numbers};
use clap::ValueEnum;
use serde::Serialize;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;

/// Show services, connections, counters and more of the running director
#[derive(Debug, clap::Args)]
pub struct Show {
    what: What,
    /// A JSON array, for programs
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// As `ipvsadm -Ln` does
    Services,
    /// Destinations with their counters
    Destinations,
    /// As `ipvsadm -Lnc` does
    Connections,
    /// Ports: devices, links, counters
    Ports,
    /// Workers and what they have done
    Workers,
    /// Why packets were dropped, and how many
    Drops,
    /// Next hops and their MAC addresses
    Neighbours,
    /// Routes
    Routes,
}

impl Show {
    pub fn execute(&self, socket: &Path, out: &mut dyn Write) -> Result<(), Failure> {
        let mut client = Client::connect(socket)?;
        client.send(&Request::Show(self.topic()))?;
        match self.what {
            What::Services | What::Destinations => self.services(&mut client, out),
            What::Connections if self.json => connections_json(&mut client, out),
            What::Connections => connections(&mut client, &Numbers, out),
            _ => self.rows(client.receive()?, out),
        }
    }

    fn topic(&self) -> Topic {
        match self.what {
            What::Services | What::Destinations => Topic::Services,
            What::Connections => Topic::Connections,
            What::Ports => Topic::Ports,
            What::Workers => Topic::Workers,
            What::Drops => Topic::Drops,
            What::Neighbours => Topic::Neighbours,
            What::Routes => Topic::Routes,
        }
    }

    fn services(&self, client: &mut Client, out: &mut dyn Write) -> Result<(), Failure> {
        let (table_size, services) = all_services(client)?;
        Ok(match (self.what, self.json) {
            (What::Services, false) => listing::services(out, table_size, services),
            (What::Services, true) => json(out, &services),
            (_, false) => destinations(out, services),
            (_, true) => json(out, &services.iter().flat_map(destination_rows).collect::<Vec<_>>()),
        }?)
    }

    fn rows(&self, response: Response, out: &mut dyn Write) -> Result<(), Failure> {
        match response {
            Response::Ports { rows } => self.print(out, &PORTS, &rows, port),
            Response::Workers { rows } => self.print(out, &WORKERS, &rows, worker),
            Response::Drops { rows } => self.print(out, &DROPS, &rows, drop_reason),
            Response::Neighbours { rows } => self.print(out, &NEIGHBOURS, &rows, neighbour),
            Response::Routes { rows } => self.print(out, &ROUTES, &rows, route),
            _ => Err(Failure::Answer),
        }
    }

    fn print<T: Serialize>(
        &self,
        out: &mut dyn Write,
        columns: &[(&str, Align)],
        rows: &[T],
        cells: fn(&T) -> Vec<String>,
    ) -> Result<(), Failure> {
        let printed = match self.json {
            true => json(out, rows),
            false => table(out, columns, &rows.iter().map(cells).collect::<Vec<_>>()),
        };
        Ok(printed?)
    }
}

/// All pages of them, and how many connections the tables have room for.
pub fn all_services(client: &mut Client) -> Result<(u64, Vec<ServiceView>), Failure> {
    let mut services = Vec::new();
    loop {
        let Response::Services { table_size, rows, more } = client.receive()? else { return Err(Failure::Answer) };
        services.extend(rows);
        if !more {
            return Ok((table_size, services));
        }
    }
}

fn json<T: Serialize>(out: &mut dyn Write, rows: &[T]) -> io::Result<()> {
    let mut array = Array::begin(out)?;
    rows.iter().try_for_each(|row| array.push(row))?;
    array.end()
}

/// Printed as they come: there may be millions.
pub fn connections(client: &mut Client, names: &dyn Names, out: &mut dyn Write) -> Result<(), Failure> {
    listing::connections_heading(out)?;
    loop {
        let Response::Connections { rows, more } = client.receive()? else { return Err(Failure::Answer) };
        rows.iter().try_for_each(|row| listing::connection(out, row, names))?;
        if !more {
            return Ok(());
        }
    }
}

fn connections_json(client: &mut Client, out: &mut dyn Write) -> Result<(), Failure> {
    let mut array = Array::begin(out)?;
    loop {
        let Response::Connections { rows, more } = client.receive()? else { return Err(Failure::Answer) };
        rows.iter().try_for_each(|row| array.push(row))?;
        if !more {
            return Ok(array.end()?);
        }
    }
}

/// A destination as a row of its own.
#[derive(Serialize)]
struct DestinationRow<'a> {
    service: String,
    #[serde(flatten)]
    destination: &'a DestinationView,
}

fn destination_rows(service: &ServiceView) -> impl Iterator<Item = DestinationRow<'_>> {
    let name = listing::service_name(service).split_whitespace().collect::<Vec<_>>().join(" ");
    service.destinations.iter().map(move |destination| DestinationRow { service: name.clone(), destination })
}

const DESTINATIONS: [(&str, Align); 13] = [
    ("SERVICE", Align::Left),
    ("DESTINATION", Align::Left),
    ("FORWARD", Align::Left),
    ("WEIGHT", Align::Right),
    ("ACTIVE", Align::Right),
    ("INACTIVE", Align::Right),
    ("PERSISTENT", Align::Right),
    ("THRESHOLDS", Align::Right),
    ("CONNS", Align::Right),
    ("IN PKTS", Align::Right),
    ("OUT PKTS", Align::Right),
    ("IN BYTES", Align::Right),
    ("OUT BYTES", Align::Right),
];

fn destinations(out: &mut dyn Write, mut services: Vec<ServiceView>) -> io::Result<()> {
    listing::sort(&mut services);
    let rows: Vec<_> = services.iter().flat_map(destination_rows).map(|row| destination(&row)).collect();
    table(out, &DESTINATIONS, &rows)
}

fn destination(row: &DestinationRow<'_>) -> Vec<String> {
    let d = row.destination;
    let c = &d.counts;
    let thresholds = match (d.threshold_upper, d.threshold_lower) {
        (0, 0) => "-".to_owned(),
        (upper, lower) => format!("{upper}/{lower}"),
    };
    let names = [row.service.clone(), SocketAddr::new(d.address, d.port).to_string(), d.forward.clone()];
    let now = [u64::from(d.weight), c.active, c.inactive, c.persistent].map(|n| n.to_string());
    let ever = [c.connections, c.in_packets, c.out_packets, c.in_bytes, c.out_bytes].map(|n| n.to_string());
    names.into_iter().chain(now).chain([thresholds]).chain(ever).collect()
}

const PORTS: [(&str, Align); 18] = [
    ("PORT", Align::Left),
    ("DEVICE", Align::Left),
    ("DRIVER", Align::Left),
    ("VLAN", Align::Right),
    ("MAC", Align::Left),
    ("MTU", Align::Right),
    ("LINK", Align::Left),
    ("NODE", Align::Right),
    ("QUEUES", Align::Right),
    ("FACING", Align::Left),
    ("STEERING", Align::Left),
    ("RSS", Align::Left),
    ("RX PKTS", Align::Right),
    ("RX MISSED", Align::Right),
    ("RX NO BUFFER", Align::Right),
    ("RX ERRORS", Align::Right),
    ("TX PKTS", Align::Right),
    ("TX ERRORS", Align::Right),
];

fn port(p: &PortView) -> Vec<String> {
    let speed = p.speed_mbps.map_or(String::new(), |speed| format!(" {speed} Mbit/s"));
    let link = if p.link_up { format!("up{speed}") } else { "down".to_owned() };
    let vlan = p.vlan.map_or("-".to_owned(), |vlan| vlan.to_string());
    let queues = format!("{}/{}", p.rx_queues, p.tx_queues);
    let names = [p.name.clone(), p.device.clone(), p.driver.clone(), vlan, p.mac.clone(), p.mtu.to_string()];
    let node = p.numa_node.map_or("-".to_owned(), |node| node.to_string());
    let steering = match p.steering == "software hand-off" {
        true => format!("{} ({})", p.steering, p.spread),
        false => p.steering.clone(),
    };
    let counters = [p.rx_packets, p.rx_missed, p.rx_no_buffer, p.rx_errors, p.tx_packets, p.tx_errors];
    let place = [link, node, queues, p.facing.clone(), steering, rss(&p.rss_fields)];
    names.into_iter().chain(place).chain(counters.map(|n| n.to_string())).collect()
}

/// `ipv4: tcp udp; ipv6: tcp`, where `-` stands for none.
fn rss(fields: &[String]) -> String {
    let of = |family: &str| {
        let names = fields.iter().filter_map(|field| field.strip_prefix(family));
        let names: Vec<&str> = names.map(|name| if name.is_empty() { "ip" } else { &name[1..] }).collect();
        (!names.is_empty()).then(|| format!("{family}: {}", names.join(" ")))
    };
    let families: Vec<String> = ["ipv4", "ipv6"].into_iter().filter_map(of).collect();
    if families.is_empty() { "-".to_owned() } else { families.join("; ") }
}

const WORKERS: [(&str, Align); 35] = [
    ("WORKER", Align::Right),
    ("CORE", Align::Right),
    ("CONNECTIONS", Align::Right),
    ("CAPACITY", Align::Right),
    ("CREATED", Align::Right),
    ("EXPIRED", Align::Right),
    ("SLOTS", Align::Right),
    ("MOVED OUT", Align::Right),
    ("MOVED IN", Align::Right),
    ("LOST", Align::Right),
    ("RECEIVED", Align::Right),
    ("TRANSMITTED", Align::Right),
    ("CONSUMED", Align::Right),
    ("TRANSIT", Align::Right),
    ("HANDED OVER", Align::Right),
    ("TAKEN OVER", Align::Right),
    ("RINGS FULL", Align::Left),
    ("DROPPED", Align::Right),
    ("ICMP SENT", Align::Right),
    ("ICMP SUPPRESSED", Align::Right),
    ("RESETS SENT", Align::Right),
    ("REASSEMBLED", Align::Right),
    ("OF FRAGMENTS", Align::Right),
    ("FRAGMENTED", Align::Right),
    ("INTO FRAGMENTS", Align::Right),
    ("LINK UPS", Align::Right),
    ("BURSTS", Align::Right),
    ("P50", Align::Right),
    ("P99", Align::Right),
    ("P99.99", Align::Right),
    ("MAX", Align::Right),
    ("PREEMPTED", Align::Right),
    ("IPV4 TABLE", Align::Right),
    ("IPV6 TABLE", Align::Right),
    ("PAGES", Align::Left),
];

fn worker(w: &WorkerView) -> Vec<String> {
    let place = [u64::from(w.worker), u64::from(w.core)];
    let connections = [w.connections, w.capacity, w.connections_created, w.connections_expired];
    let packets = [w.received, w.transmitted, w.consumed, w.transit];
    let between = [w.handed_over, w.taken_over];
    let moved = [u64::from(w.slots), w.connections_moved_out, w.connections_moved_in, w.connections_lost];
    let icmp = [w.icmp_sent, w.icmp_suppressed, w.resets_sent];
    let fragments = [w.packets_reassembled, w.fragments_reassembled, w.packets_fragmented, w.fragments_created];
    let rest = [w.link_ups, w.bursts];
    let t = &w.burst_times;
    let times = [t.p50_ns, t.p99_ns, t.p9999_ns, t.max_ns].map(microseconds);
    let texts = |numbers: &[u64]| numbers.iter().map(u64::to_string).collect::<Vec<_>>();
    let first = [&place[..], &connections, &moved, &packets, &between].map(texts).concat();
    let last = [&[w.dropped][..], &icmp, &fragments, &rest].map(texts).concat();
    let memory = [0, 1].map(|family| w.tables.get(family).map_or("-".to_owned(), memory));
    let pages = w.tables.first().map_or("-".to_owned(), |table| table.pages.clone());
    let after = times.into_iter().chain([t.preempted.to_string()]).chain(memory).chain([pages]).collect();
    [first, vec![full_rings(w)], last, after].concat()
}

/// `2:17`: 17 did not get to worker 2.
fn full_rings(w: &WorkerView) -> String {
    let full: Vec<_> = w.rings.iter().filter(|r| r.full > 0).map(|r| format!("{}:{}", r.to, r.full)).collect();
    if full.is_empty() { "-".to_owned() } else { full.join(" ") }
}

/// Used of reserved.
fn memory(table: &TableView) -> String {
    let mib = |bytes: u64| format!("{}.{}", bytes >> 20, ((bytes & 0xf_ffff) * 10) >> 20);
    format!("{}/{} MiB", mib(table.bytes_used), mib(table.bytes_reserved))
}

fn microseconds(ns: u64) -> String {
    match ns {
        0 => "-".to_owned(),
        _ => format!("{}.{}us", ns / 1000, ns % 1000 / 100),
    }
}

const DROPS: [(&str, Align); 3] = [("REASON", Align::Left), ("COUNT", Align::Right), ("EXPLANATION", Align::Left)];

fn drop_reason(d: &DropView) -> Vec<String> {
    vec![d.reason.clone(), d.count.to_string(), d.explanation.clone()]
}

const NEIGHBOURS: [(&str, Align); 4] =
    [("ADDRESS", Align::Left), ("PORT", Align::Left), ("MAC", Align::Left), ("STATE", Align::Left)];

fn neighbour(n: &NeighbourView) -> Vec<String> {
    let mac = n.mac.clone().unwrap_or_else(|| "-".to_owned());
    vec![n.address.to_string(), n.port.clone(), mac, n.state.clone()]
}

const ROUTES: [(&str, Align); 4] =
    [("PREFIX", Align::Left), ("VIA", Align::Left), ("PORT", Align::Left), ("ORIGIN", Align::Left)];

fn route(r: &RouteView) -> Vec<String> {
    let via = r.via.map_or("-".to_owned(), |via| via.to_string());
    vec![r.prefix.clone(), via, r.port.clone(), r.origin.clone()]
}

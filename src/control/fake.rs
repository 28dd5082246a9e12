//! A director for tests: numbers that can be told apart, and a record of what it was told.

use super::api::Rebalance;
use super::api::views::{BurstTimesView, ConnectionView, DestCounts, NeighbourView, PortView, TableView, WorkerView};
use super::commands::Commands;
use super::config::Config;
use super::source::{ConnectionCursor, ConnectionPage, Runtime, Source};
use super::state::{Opened, State};
use crate::dataplane::snapshot::Snapshot;
use crate::model::{DestId, DropReason, PortId, Time};
use std::cell::Cell;
use std::task::Poll;

pub const CONFIG: &str = r#"
[[port]]
name = "client"
device = "net_null0"
addresses = ["192.0.2.254/24"]

[[port]]
name = "server"
device = "net_null1"
addresses = ["10.0.0.254/8"]

[[route]]
prefix = "0.0.0.0/0"
via = "192.0.2.1"

[[service]]
protocol = "tcp"
address = "192.0.2.10:80"
scheduler = "rr"
[[service.destination]]
address = "10.1.0.1:8080"
forward = "nat"
weight = 3
[[service.destination]]
address = "10.1.0.2"
threshold_upper = 40
threshold_lower = 30
"#;

pub struct Fake {
    /// What the file says.
    pub file: String,
    /// Numbers of the snapshots it was given.
    pub published: Vec<u64>,
    pub now: Time,
    /// How many there are, of worker 1; worker 0 has none.
    pub connections: u64,
    /// Of each destination; with every snapshot more have come in.
    in_packets: u64,
    asked: bool,
    /// How often the workers are asked until they have a snapshot.
    pub late: Cell<u32>,
}

/// Runs by [`CONFIG`].
pub fn commands() -> Commands<Fake> {
    let file = CONFIG.to_owned();
    let opened = [0, 1].map(|i| Opened { port: PortId(i), mac: [2, 0, 0, 0, 0, i as u8], udp_checksum_offload: false });
    let state = State::new(Config::parse(&file, "pollux.toml").unwrap(), &opened).unwrap();
    let (now, published, late) = (Time::default(), Vec::new(), Cell::new(0));
    let fake = Fake { file, published, now, connections: 2500, in_packets: 7, asked: false, late };
    Commands::new(state, fake)
}

impl Source for Fake {
    fn dest_counts(&self, dest: DestId) -> DestCounts {
        let id = u64::from(dest.0);
        let (connections, in_packets) = (id + 100, self.in_packets);
        DestCounts { active: id + 1, inactive: id + 10, connections, in_packets, ..DestCounts::default() }
    }

    fn drop_count(&self, reason: DropReason) -> u64 {
        if reason == DropReason::NoService { 42 } else { 0 }
    }

    fn table_size(&self) -> u64 {
        4096
    }

    fn ports(&self) -> Vec<PortView> {
        let name = "client".to_owned();
        vec![PortView { name, link_up: true, speed_mbps: Some(10_000), rx_packets: 12, ..PortView::default() }]
    }

    fn workers(&self) -> Vec<WorkerView> {
        let times = BurstTimesView { p50_ns: 1_999, p9999_ns: 12_345, max_ns: 1_234_567, ..BurstTimesView::default() };
        let table = |family: &str, bytes_used| TableView {
            family: family.to_owned(),
            bytes_used,
            bytes_reserved: 160 << 20,
            pages: "huge".to_owned(),
        };
        let tables = vec![table("ipv4", 160 << 20), table("ipv6", 3 << 19)];
        vec![WorkerView { worker: 0, core: 3, received: 99, burst_times: times, tables, ..WorkerView::default() }]
    }

    fn neighbours(&self) -> Vec<NeighbourView> {
        let address = "192.0.2.1".parse().unwrap();
        vec![NeighbourView { address, port: "client".to_owned(), mac: None, state: "incomplete".to_owned() }]
    }

    fn connections(&mut self, cursor: ConnectionCursor, rows: usize) -> Poll<ConnectionPage> {
        self.asked = !self.asked;
        if self.asked {
            return Poll::Pending;
        }
        let next = |worker, position| Some(ConnectionCursor { worker, position });
        if cursor.worker == 0 {
            return Poll::Ready(ConnectionPage { rows: vec![], next: next(1, 0) });
        }
        let end = self.connections.min(cursor.position + rows as u64);
        let rows = (cursor.position..end).map(connection).collect();
        Poll::Ready(ConnectionPage { rows, next: if end < self.connections { next(1, end) } else { None } })
    }
}

fn connection(number: u64) -> ConnectionView {
    let client = ([198, 51, 100, 1], 1024 + number as u16).into();
    let virtual_address = ([192, 0, 2, 10], 80).into();
    let destination = ([10, 1, 0, 1], 8080).into();
    let (protocol, state) = ("TCP".to_owned(), "ESTABLISHED".to_owned());
    ConnectionView { protocol, client, virtual_address, destination, state, expires_s: 896, engine: None }
}

impl Runtime for Fake {
    fn now(&self) -> Time {
        self.now
    }

    fn load(&mut self) -> Result<Config, String> {
        Config::parse(&self.file, "pollux.toml").map_err(|error| error.to_string())
    }

    fn rebalance(&mut self, wish: &Rebalance) -> Result<Vec<String>, String> {
        Err(format!("asked for {wish:?}"))
    }

    fn publish(&mut self, snapshot: &Snapshot) {
        self.published.push(snapshot.version);
        self.in_packets += 10;
    }

    fn is_in_force(&self, _: u64) -> bool {
        let late = self.late.get();
        self.late.set(late.saturating_sub(1));
        late == 0
    }
}

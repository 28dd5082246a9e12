//! What a director is configured to be: one service that packets are for, and others that are only there.

use super::packets::MAC;
use pollux::control::config::Config;
use pollux::control::state::{Opened, State};
use pollux::model::PortId;
use std::fmt::Write;

/// Of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    V4,
    V6,
}

impl Version {
    fn virtual_address(self) -> &'static str {
        match self {
            Self::V4 => "192.0.2.1",
            Self::V6 => "[2001:db8:1::1]",
        }
    }

    fn server(self, n: u32) -> String {
        match self {
            Self::V4 => format!("10.1.{}.{}", n / 250, n % 250 + 1),
            Self::V6 => format!("fd00:1::{:x}", n + 1),
        }
    }

    fn server_at_80(self, n: u32) -> String {
        match self {
            Self::V4 => self.server(n) + ":80",
            Self::V6 => format!("[{}]:80", self.server(n)),
        }
    }
}

/// A director with one service that has clients.
#[derive(Clone, Copy, Debug)]
pub struct Setup<'a> {
    pub version: Version,
    pub method: &'a str,
    pub scheduler: &'a str,
    pub destinations: u32,
    /// With the others, that have no clients.
    pub services: u32,
    /// With those that are destinations.
    pub neighbours: u32,
    /// More keys of the service's table, and of each destination's.
    pub service_keys: &'a str,
    pub destination_keys: &'a str,
    /// Connections there is room for.
    pub capacity: u32,
    /// Packets by which a stage is ahead of the next; `None`: as a director begins.
    pub ahead: Option<usize>,
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Self {
            version: Version::V4,
            method: "dr",
            scheduler: "wlc",
            destinations: 4,
            services: 1,
            neighbours: 0,
            service_keys: "",
            destination_keys: "",
            capacity: 10_000,
            ahead: None,
        }
    }
}

const NETWORK: &str = r#"
[[port]]
name = "p"
device = "d"
addresses = ["192.0.2.254/24", "10.1.255.254/16", "2001:db8:1::fe/64", "fd00:1::ffff:fffe/64"]

[[route]]
prefix = "0.0.0.0/0"
via = "192.0.2.253"

[[route]]
prefix = "::/0"
via = "2001:db8:1::fd"
"#;

impl Setup<'_> {
    pub fn state(self) -> State {
        let config = Config::parse(&self.text(), "bench.toml").expect("a valid configuration");
        let port = Opened { port: PortId(0), mac: MAC, udp_checksum_offload: false };
        State::new(config, &[port]).expect("a valid state")
    }

    /// The file that says so.
    pub fn text(self) -> String {
        let mut text = NETWORK.to_owned();
        for router in ["192.0.2.253", "2001:db8:1::fd"] {
            neighbour(&mut text, router, 0xffff);
        }
        for n in 0..self.destinations.max(self.neighbours) {
            neighbour(&mut text, &self.version.server(n), n);
        }
        for n in 1..self.services {
            // 192.18.0.0/15 is for benchmarks, too (RFC 2544)
            service(&mut text, &format!("198.{}.{}.{}", 18 + (n >> 16), n >> 8 & 255, n & 255), "rr", "");
            destination(&mut text, "10.1.0.1:80", "dr", 1, "");
        }
        service(&mut text, self.version.virtual_address(), self.scheduler, self.service_keys);
        // ovf stops when destinations have more connections than weight
        let scale = if self.scheduler == "ovf" { 1 << 16 } else { 1 };
        for n in 0..self.destinations {
            let (address, weight) = (self.version.server_at_80(n), (1 + n % 3) * scale);
            destination(&mut text, &address, self.method, weight, self.destination_keys);
        }
        text
    }
}

fn neighbour(text: &mut String, address: &str, n: u32) {
    let mac = format!("02:00:00:00:{:02x}:{:02x}", n >> 8, n & 255);
    put(text, format_args!("[[neighbour]]\nport = \"p\"\naddress = \"{address}\"\nmac = \"{mac}\"\n"));
}

fn service(text: &mut String, address: &str, scheduler: &str, keys: &str) {
    put(
        text,
        format_args!(
            "[[service]]\nprotocol = \"tcp\"\naddress = \"{address}:80\"\nscheduler = \"{scheduler}\"\n{keys}\n"
        ),
    );
}

fn destination(text: &mut String, address: &str, method: &str, weight: u32, keys: &str) {
    put(
        text,
        format_args!(
            "[[service.destination]]\naddress = \"{address}\"\nforward = \"{method}\"\nweight = {weight}\n{keys}\n"
        ),
    );
}

fn put(text: &mut String, table: std::fmt::Arguments<'_>) {
    text.write_fmt(table).expect("a string takes anything");
}

//! The format of a vector (`ipvs-ref/1`).

use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::IpAddr;

#[derive(Debug, Deserialize)]
pub struct Vector {
    pub topology: Topology,
    #[serde(default)]
    pub sysctl: BTreeMap<String, Value>,
    #[serde(default)]
    pub setup: Vec<Record>,
    #[serde(default)]
    pub fwmark_rules: Vec<MarkRule>,
    /// Prefixes all of whose addresses are the host's.
    #[serde(default)]
    pub local_nets: Vec<String>,
    #[serde(default)]
    pub initial: TableChanges,
    pub steps: Vec<Step>,
    #[serde(default, rename = "final")]
    pub last: BTreeMap<String, String>,
}

/// What gets a mark; no ports: all.
#[derive(Debug, Deserialize)]
pub struct MarkRule {
    pub l4: String,
    pub dst: String,
    #[serde(default)]
    pub dport: Vec<u16>,
    pub mark: u32,
}

#[derive(Debug, Deserialize)]
pub struct Topology {
    pub ports: BTreeMap<String, Port>,
    #[serde(default)]
    pub local: BTreeMap<IpAddr, String>,
    #[serde(default)]
    pub neigh: Vec<Neighbour>,
    #[serde(default)]
    pub routes: Vec<Route>,
}

#[derive(Debug, Deserialize)]
pub struct Port {
    pub mac: String,
    pub mtu: u16,
    pub addrs: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub struct Neighbour {
    pub port: String,
    pub ip: IpAddr,
    pub mac: String,
}

#[derive(Debug, Deserialize)]
pub struct Route {
    pub dst: String,
    pub via: Option<IpAddr>,
    pub port: String,
}

/// A command and what came of it.
#[derive(Clone, Debug, Deserialize)]
pub struct Record {
    pub cmd: String,
    pub rc: Option<i32>,
    #[serde(default)]
    pub stdout: String,
    #[serde(default)]
    pub stderr: String,
}

#[derive(Debug, Deserialize)]
pub struct Step {
    pub n: u32,
    /// Seconds since the start, intended.
    pub t: f64,
    /// And when it was, where that is much later.
    pub ta: Option<f64>,
    pub op: String,
    pub port: Option<String>,
    pub hex: Option<String>,
    /// `rs`: a server's reply; `icmperr`: an error about a forwarded packet.
    pub by: Option<String>,
    pub note: Option<String>,
    #[serde(default)]
    pub out: Vec<Output>,
    #[serde(default)]
    pub late: Vec<Output>,
    /// The chosen server.
    pub rs: Option<String>,
    pub cmd: Option<String>,
    pub rc: Option<i32>,
    #[serde(default)]
    pub stdout: String,
    #[serde(default)]
    pub stderr: String,
    pub key: Option<String>,
    #[serde(default)]
    pub value: Value,
    pub snap: Option<BTreeMap<String, String>>,
    pub jitter: Option<Value>,
    #[serde(flatten)]
    pub tables: TableChanges,
}

impl Step {
    pub fn actual_time(&self) -> f64 {
        self.ta.unwrap_or(self.t)
    }

    pub fn record(&self) -> Record {
        Record {
            cmd: self.cmd.clone().unwrap_or_default(),
            rc: self.rc,
            stdout: self.stdout.clone(),
            stderr: self.stderr.clone(),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
pub struct TableChanges {
    #[serde(default, rename = "conn+")]
    pub connections: Vec<Vec<Value>>,
    #[serde(default, rename = "conn-")]
    pub connections_gone: Vec<Vec<Value>>,
    #[serde(default, rename = "svc+")]
    pub servers: Vec<Vec<Value>>,
    #[serde(default, rename = "svc-")]
    pub servers_gone: Vec<Vec<Value>>,
}

impl TableChanges {
    pub fn says_something(&self) -> bool {
        !(self.connections.is_empty() && self.servers.is_empty())
    }
}

/// A frame that came out.
#[derive(Debug, Deserialize)]
pub struct Output {
    pub port: String,
    pub kind: String,
    pub hex: String,
    /// Offset, length, reason.
    #[serde(default)]
    pub mask: Vec<(usize, usize, String)>,
}

pub fn bytes(hex: &str) -> Result<Vec<u8>, String> {
    let digits = |at: usize| hex.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    (0..hex.len()).step_by(2).map(|at| digits(at).ok_or_else(|| format!("{hex} is not hexadecimal"))).collect()
}

pub fn mac(text: &str) -> Result<[u8; 6], String> {
    let bytes = bytes(&text.replace(':', ""))?;
    bytes.try_into().map_err(|_| format!("{text} is not a MAC address"))
}

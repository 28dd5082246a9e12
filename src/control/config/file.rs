//! The file as it was typed: TOML text to structs, keys and types and ranges checked against the registry of
//! [`keys`](super::keys). What values mean together is [`validate`](super::validate)'s.

use super::error::{Problems, quoted};
use super::shape;
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, Deserializer};

type Text = Spanned<String>;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub dpdk: DpdkTable,
    pub workers: WorkersTable,
    pub connections: ConnectionsTable,
    pub timeouts: TimeoutsTable,
    pub ipvs: IpvsTable,
    pub ip: IpTable,
    pub port: Vec<Spanned<PortTable>>,
    pub route: Vec<Spanned<RouteTable>>,
    pub neighbour: Vec<Spanned<NeighbourTable>>,
    pub mark: Vec<Spanned<MarkTable>>,
    pub service: Vec<Spanned<ServiceTable>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DpdkTable {
    pub eal_args: Vec<Text>,
    pub secondary: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WorkersTable {
    pub cores: Option<Spanned<Vec<usize>>>,
    pub idle: Option<String>,
    pub rss_key: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ConnectionsTable {
    pub capacity_per_worker: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TimeoutsTable {
    pub tcp_none_s: Option<u32>,
    pub tcp_established_s: Option<u32>,
    pub tcp_syn_sent_s: Option<u32>,
    pub tcp_syn_recv_s: Option<u32>,
    pub tcp_fin_wait_s: Option<u32>,
    pub tcp_time_wait_s: Option<u32>,
    pub tcp_close_s: Option<u32>,
    pub tcp_close_wait_s: Option<u32>,
    pub tcp_last_ack_s: Option<u32>,
    pub tcp_listen_s: Option<u32>,
    pub tcp_synack_s: Option<u32>,
    pub udp_s: Option<u32>,
}

/// A sysctl that is on or off: the kernel writes 0 and 1, TOML false and true.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Switch {
    Word(bool),
    Number(u8),
}

impl Switch {
    pub const fn is_on(self) -> bool {
        match self {
            Self::Word(on) => on,
            Self::Number(number) => number != 0,
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct IpvsTable {
    pub sloppy_tcp: Option<Switch>,
    pub sloppy_sctp: Option<Switch>,
    pub expire_nodest_conn: Option<Switch>,
    pub expire_quiescent_template: Option<Switch>,
    pub conn_reuse_mode: Option<u8>,
    pub pmtu_disc: Option<Switch>,
    pub drop_packet: Option<u8>,
    pub am_droprate: Option<u32>,
    pub drop_entry: Option<u8>,
    pub secure_tcp: Option<u8>,
    pub cache_bypass: Option<Switch>,
    pub nat_icmp_send: Option<Switch>,
    pub schedule_icmp: Option<Switch>,
    pub lblc_expiration_s: Option<u32>,
    pub lblcr_expiration_s: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct IpTable {
    pub forward: Option<bool>,
    pub icmp_errors_per_s: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PortTable {
    pub name: Text,
    pub device: Text,
    #[serde(default)]
    pub addresses: Vec<Text>,
    pub mac: Option<Text>,
    pub vlan: Option<u16>,
    pub mtu: Option<u16>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteTable {
    pub prefix: Text,
    pub via: Option<Text>,
    pub port: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NeighbourTable {
    pub port: Text,
    pub address: Text,
    pub mac: Text,
}

/// A port, or a range of them.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum PortsText {
    One(u16),
    Range(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MarkTable {
    pub mark: u32,
    pub protocol: Option<Text>,
    pub source: Option<Text>,
    pub destination: Option<Text>,
    pub source_port: Option<Spanned<PortsText>>,
    pub destination_port: Option<Spanned<PortsText>>,
    pub port: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ServiceTable {
    pub protocol: Option<Text>,
    pub address: Option<Text>,
    pub mark: Option<Spanned<u32>>,
    pub family: Option<Text>,
    pub scheduler: Option<Text>,
    pub scheduler_flags: Vec<Text>,
    pub persistence_timeout_s: Option<Spanned<u32>>,
    pub persistence_mask: Option<Text>,
    pub persistence_engine: Option<Text>,
    pub one_packet: Option<Spanned<bool>>,
    pub strict: bool,
    pub port: Option<Text>,
    pub tcp_established_s: Option<u32>,
    pub tcp_fin_wait_s: Option<u32>,
    pub udp_s: Option<u32>,
    pub drain_deadline_s: Option<u32>,
    pub reset_on_idle_expiry: bool,
    pub reschedule_udp: bool,
    pub destination: Vec<Spanned<DestinationTable>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DestinationTable {
    pub address: Text,
    pub forward: Option<Text>,
    pub tunnel: Option<Text>,
    pub tunnel_port: Option<Spanned<u16>>,
    pub tunnel_checksum: Option<Text>,
    pub weight: Option<Spanned<u32>>,
    pub threshold_upper: Option<Spanned<u32>>,
    pub threshold_lower: Option<Spanned<u32>>,
}

/// Reads the text; `None` when something is wrong with it, which `problems` then knows.
pub(super) fn read(text: &str, problems: &mut Problems<'_>) -> Option<File> {
    let root = match DeTable::parse(text) {
        Ok(root) => root,
        Err(error) => {
            add_toml_error(&error, "not valid TOML", problems);
            return None;
        }
    };
    understand(root, problems)
}

/// What the parsed text says.
pub(super) fn understand(root: Spanned<DeTable<'_>>, problems: &mut Problems<'_>) -> Option<File> {
    shape::check(root.get_ref(), problems);
    if !problems.is_empty() {
        return None;
    }
    // what the shape check lets through deserializes; if the two should ever differ, this still says where
    File::deserialize(Deserializer::from(root)).map_err(|error| add_toml_error(&error, "not understood", problems)).ok()
}

fn add_toml_error(error: &toml::de::Error, what: &str, problems: &mut Problems<'_>) {
    let span = error.span().unwrap_or(0..0);
    let column = problems.position(span.start).1;
    let message = quoted(&error.message().replace('\n', ", ")).trim_matches('"').replace("\\\"", "\"");
    problems.add(span, "", format!("{what}, column {column}: {message}"));
}

//! How a running director is asked and told: lines of JSON over a unix socket. One request line, then response lines
//! until one that says no `more` follows. Long listings come in pages, so that neither side needs to hold them.

pub mod client;
pub mod server;
pub mod views;

use crate::model::{Family, Protocol, ServiceKey};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use views::*;

/// Of the protocol. Both sides are one binary, so another version means another binary: nothing is negotiated.
pub const VERSION: u32 = 1;

/// Longest request line: far more than any command needs, little enough for every client to have one.
pub const REQUEST_BYTES_MAX: usize = 1 << 20;

/// Rows of a page.
pub const PAGE_ROWS: usize = 1000;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    pub version: u32,
    pub request: Request,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Read the configuration file again and become what it says.
    Reload,
    Show(Topic),
    ServiceAdd(ServiceSpec),
    ServiceEdit(ServiceSpec),
    ServiceDelete(ServiceRef),
    DestinationAdd(DestinationSpec),
    DestinationEdit(DestinationSpec),
    DestinationDelete(DestinationRef),
    /// A command line of ipvsadm's that changes something.
    Ipvsadm {
        arguments: Vec<String>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    Services,
    Connections,
    Ports,
    Workers,
    Drops,
    Neighbours,
    Routes,
    Timeouts,
}

/// Which service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceRef {
    Tcp(SocketAddr),
    Udp(SocketAddr),
    Sctp(SocketAddr),
    /// A firewall mark of IPv4 packets.
    Mark(u32),
    Mark6(u32),
}

impl From<ServiceRef> for ServiceKey {
    fn from(service: ServiceRef) -> Self {
        let of = |protocol, at: SocketAddr| Self::Virtual { protocol, address: at.ip(), port: at.port() };
        match service {
            ServiceRef::Tcp(at) => of(Protocol::Tcp, at),
            ServiceRef::Udp(at) => of(Protocol::Udp, at),
            ServiceRef::Sctp(at) => of(Protocol::Sctp, at),
            ServiceRef::Mark(mark) => Self::Mark { mark, family: Family::V4 },
            ServiceRef::Mark6(mark) => Self::Mark { mark, family: Family::V6 },
        }
    }
}

/// A service, or an edit of one: what is absent has its default, or stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceSpec {
    pub service: ServiceRef,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<String>,
    /// As `ipvsadm -b` takes them: `sh-port`, `mh-fallback`, `flag-3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduler_flags: Option<Vec<String>>,
    /// 0: no persistence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistence_timeout_s: Option<u32>,
    /// `255.255.255.0`, or a prefix length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistence_mask: Option<String>,
    /// What clients are told apart by besides their address; empty: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistence_engine: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub one_packet: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
    /// Name of the `[[port]]` that answers ARP for the address; empty: the one whose subnet it lies in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
    /// Timeouts of its own; 0: as everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp_established_s: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp_fin_wait_s: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub udp_s: Option<u32>,
    /// 0: connections of what is quiesced or removed end by themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_deadline_s: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset_on_idle_expiry: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reschedule_udp: Option<bool>,
}

/// Which destination. Without a port it is the service's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DestinationRef {
    pub service: ServiceRef,
    pub address: IpAddr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// A destination, or an edit of one: what is absent has its default, or stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DestinationSpec {
    pub destination: DestinationRef,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward: Option<ForwardWord>,
    /// Of a tunnel: its type, GUE's port, and the checksum in its header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<TunnelWord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnel_port: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnel_checksum: Option<ChecksumWord>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold_upper: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold_lower: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForwardWord {
    Nat,
    Dr,
    Tun,
}

/// As `ipvsadm --tun-type` takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TunnelWord {
    Ipip,
    Gue,
    Gre,
}

/// As `tunnel_checksum` in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChecksumWord {
    None,
    Full,
    Remote,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// The command was executed; one line a change.
    Done {
        changes: Vec<String>,
    },
    /// It was refused and changed nothing.
    Error {
        message: String,
    },
    /// What ipvsadm would exit with and say.
    Ipvsadm {
        code: u8,
        message: String,
    },
    Timeouts(TimeoutsView),
    Services {
        /// Connections all workers' tables have room for.
        table_size: u64,
        rows: Vec<ServiceView>,
        more: bool,
    },
    Connections {
        rows: Vec<ConnectionView>,
        more: bool,
    },
    Ports {
        rows: Vec<PortView>,
    },
    Workers {
        rows: Vec<WorkerView>,
    },
    Drops {
        rows: Vec<DropView>,
    },
    Neighbours {
        rows: Vec<NeighbourView>,
    },
    Routes {
        rows: Vec<RouteView>,
    },
}

impl Response {
    pub fn error(message: impl std::fmt::Display) -> Self {
        Self::Error { message: message.to_string() }
    }

    /// Whether further lines belong to the same answer.
    pub fn has_more(&self) -> bool {
        matches!(self, Self::Services { more: true, .. } | Self::Connections { more: true, .. })
    }
}

/// The request in a line, or what to answer to something else.
pub fn parse(line: &[u8]) -> Result<Request, String> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let Versioned { version } =
        serde_json::from_slice(line).map_err(|e| format!("not a request, which is a line like {}: {e}", example()))?;
    if version != VERSION {
        return Err(format!(
            "the running pollux speaks version {VERSION} of this protocol, not {version}: \
             use the same pollux for both, or restart the running one"
        ));
    }
    let line: Line = serde_json::from_slice(line).map_err(|e| format!("not a request: {e}"))?;
    Ok(line.request)
}

fn example() -> String {
    serde_json::to_string(&Line { version: VERSION, request: Request::Show(Topic::Services) }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_what_its_documentation_would_say() {
        let line = br#"{"version":1,"request":{"destination_edit":{"destination":{"service":{"tcp":"192.0.2.10:80"},
            "address":"10.0.0.1"},"weight":0}}}"#;
        let service = ServiceRef::Tcp("192.0.2.10:80".parse().unwrap());
        let destination = DestinationRef { service, address: "10.0.0.1".parse().unwrap(), port: None };
        let expected = DestinationSpec {
            destination,
            forward: None,
            tunnel: None,
            tunnel_port: None,
            tunnel_checksum: None,
            weight: Some(0),
            threshold_upper: None,
            threshold_lower: None,
        };
        assert_eq!(parse(line), Ok(Request::DestinationEdit(expected)));
        assert_eq!(example(), r#"{"version":1,"request":{"show":"services"}}"#);
    }

    #[test]
    fn what_is_not_a_request_is_told_so() {
        let refused = |line: &str| parse(line.as_bytes()).unwrap_err();
        assert!(refused("GET / HTTP/1.1").starts_with("not a request, which is a line like {\"version\":1"));
        assert!(refused(r#"{"version":2,"request":"fly"}"#).contains("use the same pollux for both"));
        assert!(refused(r#"{"version":1,"request":"fly"}"#).contains("unknown variant `fly`"));
        let typo = r#"{"version":1,"request":{"service_add":{"service":{"tcp":"192.0.2.1:80"},"shceduler":"rr"}}}"#;
        assert!(refused(typo).contains("unknown field `shceduler`"), "{}", refused(typo));
    }
}

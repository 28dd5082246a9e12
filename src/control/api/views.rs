//! What `show` answers with: plain rows, the same for people and programs. Units are in the names.

use crate::model::state::TcpState;
use crate::model::timeouts::Timeouts;
use crate::model::{Family, ServiceKey, Tick};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceView {
    /// `tcp`, `udp`, `sctp`, or `mark`.
    pub protocol: String,
    /// Absent for services on marks, as `port` is.
    pub address: Option<IpAddr>,
    pub port: Option<u16>,
    /// Only for services on marks.
    pub mark: Option<u32>,
    pub ipv6: bool,
    pub scheduler: String,
    /// As `ipvsadm -b` takes them: `sh-port`, `mh-fallback`, `flag-3`.
    pub scheduler_flags: Vec<String>,
    pub persistence_timeout_s: Option<u32>,
    /// Absent when every client counts for itself; an IPv4 mask, or a prefix length for IPv6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistence_mask: Option<String>,
    /// `sip`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistence_engine: Option<String>,
    pub one_packet: bool,
    #[serde(default)]
    pub strict: bool,
    /// What it has counted with destinations that it no longer has.
    #[serde(default)]
    pub former: DestCounts,
    /// In the order in which schedulers see them.
    pub destinations: Vec<DestinationView>,
}

impl ServiceView {
    pub fn is(&self, key: &ServiceKey) -> bool {
        match key {
            ServiceKey::Virtual { protocol, address, port } => {
                let same_protocol = self.protocol.eq_ignore_ascii_case(protocol.name());
                same_protocol && (self.address, self.port) == (Some(*address), Some(*port))
            }
            ServiceKey::Mark { mark, family } => self.mark == Some(*mark) && self.ipv6 == (*family == Family::V6),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DestinationView {
    pub address: IpAddr,
    pub port: u16,
    /// `nat`, `dr`, `tun` or `local`.
    pub forward: String,
    /// Of those with `tun`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<TunnelView>,
    pub weight: u32,
    pub threshold_upper: u32,
    pub threshold_lower: u32,
    #[serde(flatten)]
    pub counts: DestCounts,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TunnelView {
    /// `ipip`, `gue` or `gre`.
    pub kind: String,
    /// Of GUE.
    pub port: u16,
    /// `none`, `full` or `remote`.
    pub checksum: String,
}

/// Sums over all workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestCounts {
    pub active: u64,
    pub inactive: u64,
    pub persistent: u64,
    /// All connections there ever were.
    pub connections: u64,
    pub in_packets: u64,
    pub out_packets: u64,
    pub in_bytes: u64,
    pub out_bytes: u64,
    #[serde(default)]
    pub rates: Rates,
}

/// What came a second lately, as `ipvsadm --rate` has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rates {
    pub connections: u64,
    pub in_packets: u64,
    pub out_packets: u64,
    pub in_bytes: u64,
    pub out_bytes: u64,
}

impl Rates {
    pub fn add(&mut self, other: &Self) {
        self.connections += other.connections;
        self.in_packets += other.in_packets;
        self.out_packets += other.out_packets;
        self.in_bytes += other.in_bytes;
        self.out_bytes += other.out_bytes;
    }

    pub fn columns(&self) -> [u64; 5] {
        [self.connections, self.in_packets, self.out_packets, self.in_bytes, self.out_bytes]
    }
}

/// The three timeouts `ipvsadm --set` changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeoutsView {
    pub tcp_established_s: u32,
    pub tcp_fin_wait_s: u32,
    pub udp_s: u32,
}

impl From<&Timeouts> for TimeoutsView {
    fn from(timeouts: &Timeouts) -> Self {
        let tcp = |state: TcpState| timeouts.tcp[state as usize] / Tick::PER_S;
        Self {
            tcp_established_s: tcp(TcpState::Established),
            tcp_fin_wait_s: tcp(TcpState::FinWait),
            udp_s: timeouts.udp / Tick::PER_S,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConnectionView {
    /// As the kernel writes it: `TCP`.
    pub protocol: String,
    pub client: SocketAddr,
    #[serde(rename = "virtual")]
    pub virtual_address: SocketAddr,
    pub destination: SocketAddr,
    pub state: String,
    pub expires_s: u32,
    /// Of a template, what tells its clients apart besides their network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<EngineView>,
}

/// As the kernel writes it at the end of a line of `/proc/net/ip_vs_conn`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineView {
    pub name: String,
    pub data: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PortView {
    pub name: String,
    pub device: String,
    pub driver: String,
    pub vlan: Option<u16>,
    pub mac: String,
    pub mtu: u16,
    pub link_up: bool,
    /// Absent when the driver does not say.
    pub speed_mbps: Option<u32>,
    pub rx_queues: u16,
    pub tx_queues: u16,
    /// How packets come to the worker that owns their connection: `one worker`, `nothing yet`, `aligned` or
    /// `software hand-off`, by what has arrived.
    pub steering: String,
    /// Of the packets received, those that came to another worker than theirs.
    #[serde(default)]
    pub elsewhere: u64,
    /// Why: what the device does with several queues.
    #[serde(default)]
    pub spread: String,
    /// What its RSS hashes; empty: it has none, or one queue.
    #[serde(default)]
    pub rss_fields: Vec<String>,
    /// What is behind it, as far as the configuration says: `clients`, `servers` or `both`.
    #[serde(default)]
    pub facing: String,
    /// Absent on machines without NUMA, and for devices that are on no node.
    #[serde(default)]
    pub numa_node: Option<u32>,
    pub rx_packets: u64,
    pub rx_bytes: u64,
    /// Packets the device dropped because no worker took them in time.
    pub rx_missed: u64,
    /// Times the device had no buffer to receive into.
    #[serde(default)]
    pub rx_no_buffer: u64,
    pub rx_errors: u64,
    pub tx_packets: u64,
    pub tx_bytes: u64,
    pub tx_errors: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingView {
    /// A worker.
    pub to: u16,
    /// Frames and messages.
    pub sent: u64,
    /// Those the ring had no room for.
    pub full: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkerView {
    pub worker: u16,
    pub core: u32,
    /// Entries of its connection table.
    pub connections: u64,
    pub capacity: u64,
    pub connections_created: u64,
    pub connections_expired: u64,
    /// Those that went to other workers and came from them, and those of the latter that found no room.
    #[serde(default)]
    pub connections_moved_out: u64,
    #[serde(default)]
    pub connections_moved_in: u64,
    #[serde(default)]
    pub connections_lost: u64,
    /// Of the 128 parts of all connections, how many are its.
    #[serde(default)]
    pub slots: u16,
    pub received: u64,
    pub transmitted: u64,
    pub consumed: u64,
    /// Of the transmitted: those that were no service's.
    pub transit: u64,
    /// Packets that went to the workers whose they are, and those that came from others.
    #[serde(default)]
    pub handed_over: u64,
    #[serde(default)]
    pub taken_over: u64,
    /// What went to each of the other workers.
    #[serde(default)]
    pub rings: Vec<RingView>,
    pub icmp_sent: u64,
    /// ICMP errors not sent: rate limit, no route, no buffer, or forbidden.
    pub icmp_suppressed: u64,
    /// RSTs for connections that expired idle (`reset_on_idle_expiry`).
    #[serde(default)]
    pub resets_sent: u64,
    /// Packets put together from fragments, and the fragments they came in.
    pub packets_reassembled: u64,
    pub fragments_reassembled: u64,
    /// Packets sent in fragments, and the fragments made.
    pub packets_fragmented: u64,
    pub fragments_created: u64,
    pub dropped: u64,
    pub bursts: u64,
    /// Times a port's link came up.
    #[serde(default)]
    pub link_ups: u64,
    #[serde(default)]
    pub burst_times: BurstTimesView,
    /// The connection tables of both families.
    #[serde(default)]
    pub tables: Vec<TableView>,
}

/// Memory of a connection table, its index and timers included.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TableView {
    /// `ipv4` or `ipv6`.
    pub family: String,
    /// Memory taken: all of it with the family's first service.
    pub bytes_used: u64,
    /// Address space.
    pub bytes_reserved: u64,
    /// `huge`: from the huge page pool; `transparent`: the kernel was asked for huge pages; `small`.
    pub pages: String,
}

/// How long bursts took, from one poll that brought packets to the next.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BurstTimesView {
    pub p50_ns: u64,
    pub p99_ns: u64,
    pub p9999_ns: u64,
    pub max_ns: u64,
    /// Long bursts in which the kernel gave the core to another thread: in none of the figures.
    pub preempted: u64,
    /// Pairs: nanoseconds, and the bursts that took at most so many, and more than the pair before says.
    pub histogram: Vec<(u64, u64)>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DropView {
    pub reason: String,
    pub count: u64,
    pub explanation: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NeighbourView {
    pub address: IpAddr,
    /// The `[[port]]`'s name.
    pub port: String,
    /// Absent while it is not known.
    pub mac: Option<String>,
    pub state: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteView {
    pub prefix: String,
    pub via: Option<IpAddr>,
    pub port: String,
    /// `connected` or `static`.
    pub origin: String,
}

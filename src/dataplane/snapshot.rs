//! What the control thread tells the workers: immutable, numbered, replaced as a whole.
//!
//! A worker picks a snapshot up between two bursts and acknowledges its number; the control thread publishes the next
//! one only when all have, so `changes` always says what differs from the one a worker has. Only the control thread
//! drops a snapshot. Parts that did not change are shared with the previous snapshot.

use super::marks::Marks;
use crate::model::settings::Settings;
use crate::model::{
    Departures, DestId, Destination, Family, InterfaceId, Persistence, PortId, Protocol, ServiceId, ServiceKey,
    TimeoutSets,
};
use crate::sched::registry::{Plan, SchedulerKind};
use crate::sched::{Options, Pool};
use crate::tables::chunked::Chunked;
use hashbrown::HashMap;
use ipnet::IpNet;
use std::net::IpAddr;
use std::sync::Arc;

/// Everything a worker knows of the configuration.
#[derive(Clone, Default)]
pub struct Snapshot {
    /// Consecutive, from 1.
    pub version: u64,
    pub network: Arc<Network>,
    pub settings: Arc<Settings>,
    pub timeouts: Arc<TimeoutSets>,
    pub directory: Arc<Directory>,
    pub marks: Arc<Marks>,
    pub services: Chunked<Service>,
    /// Of all services, the trash included.
    pub destinations: Chunked<Destination>,
    pub changes: Arc<Changes>,
}

/// What differs from the previous snapshot.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Added, edited or removed.
    pub services: Vec<ServiceId>,
    /// Added, edited, moved to or from the trash, or gone for good.
    pub destinations: Vec<DestId>,
    /// Interfaces, addresses, routes or static neighbours.
    pub network: bool,
}

/// A virtual service.
pub struct Service {
    pub id: ServiceId,
    pub key: ServiceKey,
    pub scheduler: SchedulerKind,
    pub options: Options,
    pub persistence: Option<Persistence>,
    /// One-packet scheduling (`ipvsadm -o`), UDP only.
    pub one_packet: bool,
    /// All of its packets belong to one worker, so that its scheduler decides as with one worker.
    pub strict: bool,
    pub departures: Departures,
    pub pool: Arc<Pool>,
    pub plan: Arc<Plan>,
}

/// Which service a packet belongs to, and what kinds of services there are at all.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    pub services: HashMap<ServiceKey, ServiceId>,
    /// There is a service on a mark, so the marks of packets matter.
    pub has_marks: bool,
    /// There is a TCP service on port 21, so packets to high ports may belong to its data connections.
    pub has_ftp: bool,
    /// There is a service on port 0.
    pub has_wildcard: bool,
}

/// FTP's control and active data port (RFC 959 §3.2, §5.2).
const FTP: u16 = 21;
const FTP_DATA: u16 = 20;
/// Where ports begin that servers need no privilege for, and passive FTP's may lie (ip_unprivileged_port_start).
const UNPRIVILEGED: u16 = 1024;

impl Directory {
    /// The service a packet belongs to (ip_vs_service_find): its mark's, the one on its port, the FTP service whose data
    /// it may be, the one on every port. `mark`: 0 for none.
    pub fn find_marked(&self, mark: u32, protocol: Protocol, address: IpAddr, port: u16) -> Option<ServiceId> {
        let of_mark = || self.find_mark(mark, Family::of(address));
        if self.has_marks
            && let Some(id) = of_mark()
        {
            Some(id)
        } else {
            self.find(protocol, address, port)
        }
    }

    /// The service on a mark, for packets of this family.
    pub fn find_mark(&self, mark: u32, family: Family) -> Option<ServiceId> {
        if mark == 0 {
            return None;
        }
        self.services.get(&ServiceKey::Mark { mark, family }).copied()
    }

    /// The same for packets without a mark.
    pub fn find(&self, protocol: Protocol, address: IpAddr, port: u16) -> Option<ServiceId> {
        let on = |port| self.services.get(&ServiceKey::Virtual { protocol, address, port }).copied();
        let is_ftp_data = || self.has_ftp && protocol == Protocol::Tcp && (port == FTP_DATA || port >= UNPRIVILEGED);
        let ftp = || if is_ftp_data() { on(FTP) } else { None };
        let wildcard = || if self.has_wildcard { on(0) } else { None };
        on(port).or_else(ftp).or_else(wildcard)
    }
}

/// Interfaces, addresses, routes: what layers 2 and 3 need.
#[derive(Clone, Debug, Default)]
pub struct Network {
    pub interfaces: Vec<Interface>,
    /// Configured routes; connected ones follow from the interfaces' addresses.
    pub routes: Vec<Route>,
    pub neighbours: Vec<StaticNeighbour>,
    /// Virtual addresses: every address of a service, and where ARP and ND answer for it.
    pub virtual_addresses: Vec<VirtualAddress>,
}

/// A (device, VLAN) pair: a `[[port]]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    pub id: InterfaceId,
    pub name: String,
    pub port: PortId,
    /// 802.1Q tag of its frames, `None` for untagged ones.
    pub vlan: Option<u16>,
    pub mac: [u8; 6],
    /// IP packet bytes.
    pub mtu: u16,
    /// The device fills in UDP checksums when asked to.
    pub udp_checksum_offload: bool,
    /// Own addresses, each with the prefix it is connected to.
    pub addresses: Vec<IpNet>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub prefix: IpNet,
    pub via: Option<IpAddr>,
    pub interface: InterfaceId,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticNeighbour {
    pub interface: InterfaceId,
    pub address: IpAddr,
    pub mac: [u8; 6],
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualAddress {
    pub address: IpAddr,
    /// The only interface on which it is answered for; `None` when it lies in no interface's subnet and none is named:
    /// a router sends its packets here by a route, nobody asks by ARP.
    pub interface: Option<InterfaceId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 10));

    /// A service a port, numbered in their order; then one on mark 7.
    fn directory(ports: &[u16]) -> Directory {
        let key = |port| ServiceKey::Virtual { protocol: Protocol::Tcp, address: VIP, port };
        let keys = ports.iter().map(|port| key(*port)).chain([ServiceKey::Mark { mark: 7, family: Family::V4 }]);
        Directory {
            services: keys.enumerate().map(|(id, key)| (key, ServiceId(id as u32))).collect(),
            has_marks: true,
            has_ftp: ports.contains(&21),
            has_wildcard: ports.contains(&0),
        }
    }

    #[test]
    fn a_service_is_found_by_mark_port_ftp_data_and_every_port_in_this_order() {
        let all = directory(&[80, 21, 0]);
        let find = |mark, port| all.find_marked(mark, Protocol::Tcp, VIP, port).map(|id| id.0);
        assert_eq!([find(0, 80), find(0, 21), find(0, 20), find(0, 1024)], [Some(0), Some(1), Some(1), Some(1)]);
        assert_eq!([find(0, 1023), find(7, 80), find(8, 80)], [Some(2), Some(3), Some(0)]);
        assert_eq!(all.find(Protocol::Udp, VIP, 80), None, "a service is of one protocol");
        let plain = directory(&[80]);
        assert_eq!([plain.find(Protocol::Tcp, VIP, 81), plain.find(Protocol::Tcp, VIP, 2000)], [None, None]);
        assert_eq!(plain.find_marked(7, Protocol::Tcp, "2001:db8::1".parse().unwrap(), 81), None, "per family");
    }
}

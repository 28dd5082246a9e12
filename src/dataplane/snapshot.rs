//! What the control thread tells the workers: immutable, numbered, replaced as a whole.
//!
//! A worker picks a snapshot up between two bursts and acknowledges its number; the control thread publishes the next
//! one only when all have, so `changes` always says what differs from the one a worker has. Only the control thread
//! drops a snapshot. Parts that did not change are shared with the previous snapshot.

use super::marks::Marks;
use super::reach::{LocalAddress, Reach};
use super::steer::owner::Steering;
use crate::model::settings::Settings;
use crate::model::{
    Departures, DestId, Destination, Family, InterfaceId, Persistence, PortId, Protocol, ServiceId, ServiceKey,
    ServiceNumber, TimeoutSets,
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
    /// From 1, each one more than the one before; workers skip those that were still waiting when the next one came.
    pub version: u64,
    pub network: Arc<Network>,
    pub settings: Arc<Settings>,
    pub timeouts: Arc<TimeoutSets>,
    pub directory: Arc<Directory>,
    pub marks: Arc<Marks>,
    /// Which worker's each packet is; everything is the first one's where there is no other.
    pub steering: Arc<Steering>,
    pub services: Chunked<Service>,
    /// Of all services, the trash included.
    pub destinations: Chunked<Destination>,
    pub changes: Arc<Changes>,
}

impl Snapshot {
    /// The one `before` this is not sent: this one's changes are those of both.
    pub fn follow(&mut self, before: &Self) {
        let mut changes = Changes::clone(&self.changes);
        changes.precede(&before.changes);
        let locals = &self.network.reach.locals;
        changes.appeared.retain(|(_, address)| locals.contains_key(&LocalAddress::from(*address)));
        self.changes = Arc::new(changes);
    }
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
    /// Static neighbours.
    pub neighbours: Vec<NeighbourChange>,
    /// Virtual addresses that were not there before, where somebody asks for them.
    pub appeared: Vec<(InterfaceId, IpAddr)>,
}

impl Changes {
    /// `before` were made first.
    fn precede(&mut self, before: &Self) {
        join(&mut self.services, &before.services);
        join(&mut self.destinations, &before.destinations);
        self.network |= before.network;
        // each of them says what is, so the last one counts
        self.neighbours.splice(0..0, before.neighbours.iter().copied());
        self.appeared.splice(0..0, before.appeared.iter().copied());
    }

    /// Notes what differs between two networks.
    pub fn compare(&mut self, old: &Network, new: &Network) {
        self.network = true;
        self.neighbours = neighbour_changes(old, new);
        let is_new = |v: &&VirtualAddress| !old.reach.locals.contains_key(&LocalAddress::from(v.address));
        let appeared = new.virtual_addresses.iter().filter(is_new);
        self.appeared = appeared.filter_map(|v| Some((v.interface?, v.address))).collect();
    }
}

fn join<T: Copy + Ord>(ids: &mut Vec<T>, more: &[T]) {
    ids.extend_from_slice(more);
    ids.sort_unstable();
    ids.dedup();
}

/// A static neighbour that has another MAC address now, or none: it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighbourChange {
    pub interface: InterfaceId,
    pub address: IpAddr,
    pub mac: Option<[u8; 6]>,
}

fn neighbour_changes(old: &Network, new: &Network) -> Vec<NeighbourChange> {
    let is_same_link = |id: InterfaceId| match (old.interfaces.get(id.index()), new.interfaces.get(id.index())) {
        (Some(old), Some(new)) => old.is_same_link(new),
        _ => false,
    };
    let by_place = |network: &Network| -> HashMap<_, _> {
        network.neighbours.iter().map(|n| ((n.interface, n.address), n.mac)).collect()
    };
    let (before, after) = (by_place(old), by_place(new));
    let gone = before.keys().filter(|place| !after.contains_key(*place)).map(|place| (*place, None));
    // what is known behind a link that changed is forgotten, so there all are new
    let is_new =
        |(place, mac): &(&(InterfaceId, IpAddr), &[u8; 6])| before.get(*place) != Some(*mac) || !is_same_link(place.0);
    let come = after.iter().filter(is_new).map(|(place, mac)| (*place, Some(*mac)));
    gone.chain(come).map(|((interface, address), mac)| NeighbourChange { interface, address, mac }).collect()
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
    /// There is a service of this family: without, the kernel's IPVS is out of the way of its packets
    /// (ip_vs_unregister_hooks).
    pub has_v4: bool,
    pub has_v6: bool,
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

    /// Whether there is any service for packets of this family.
    pub fn has_family(&self, family: Family) -> bool {
        match family {
            Family::V4 => self.has_v4,
            Family::V6 => self.has_v6,
        }
    }

    /// What there is, found anew from all services.
    #[must_use]
    pub fn sorted_out(self) -> Self {
        let any = |is: fn(&ServiceKey) -> bool| self.services.keys().any(is);
        Self {
            has_marks: any(|key| matches!(key, ServiceKey::Mark { .. })),
            has_ftp: any(|key| matches!(key, ServiceKey::Virtual { protocol: Protocol::Tcp, port: FTP, .. })),
            has_wildcard: any(|key| matches!(key, ServiceKey::Virtual { port: 0, .. })),
            has_v4: any(|key| key.family() == Family::V4),
            has_v6: any(|key| key.family() == Family::V6),
            services: self.services,
        }
    }

    /// The service on a mark, for packets of this family.
    pub fn find_mark(&self, mark: u32, family: Family) -> Option<ServiceId> {
        if mark == 0 {
            return None;
        }
        self.get(ServiceKey::Mark { mark, family })
    }

    /// The same for packets without a mark.
    // inlined, so that the address stays in registers
    #[inline(always)]
    pub fn find(&self, protocol: Protocol, address: IpAddr, port: u16) -> Option<ServiceId> {
        let on_port = self.get(ServiceKey::Virtual { protocol, address, port });
        if on_port.is_some() || !(self.has_ftp | self.has_wildcard) {
            return on_port;
        }
        self.find_on_other_port(protocol, address, port)
    }

    fn find_on_other_port(&self, protocol: Protocol, address: IpAddr, port: u16) -> Option<ServiceId> {
        let on = |port| self.get(ServiceKey::Virtual { protocol, address, port });
        let is_ftp_data = self.has_ftp && protocol == Protocol::Tcp && (port == FTP_DATA || port >= UNPRIVILEGED);
        let ftp = if is_ftp_data { on(FTP) } else { None };
        ftp.or_else(|| if self.has_wildcard { on(0) } else { None })
    }

    #[inline(always)]
    fn get(&self, key: ServiceKey) -> Option<ServiceId> {
        self.services.get(&ServiceNumber::from(key)).copied()
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
    /// What follows from all this; to be made by [`Network::prepare`] when it has changed.
    pub reach: Arc<Reach>,
}

impl Network {
    pub fn prepare(&mut self) {
        self.reach = Arc::new(Reach::of(self));
    }
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

impl Interface {
    /// Neighbours behind one are neighbours behind the other.
    pub fn is_same_link(&self, other: &Self) -> bool {
        (self.id, self.port, self.vlan, self.mac) == (other.id, other.port, other.vlan, other.mac)
    }
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
        let services = keys.enumerate().map(|(id, key)| (key, ServiceId(id as u32))).collect();
        Directory { services, ..Directory::default() }.sorted_out()
    }

    #[test]
    fn each_key_is_found_under_its_own_number_alone() {
        let mapped = IpAddr::V6("::192.0.2.10".parse().unwrap());
        let virt = |protocol, address, port| ServiceKey::Virtual { protocol, address, port };
        let keys = [
            virt(Protocol::Tcp, VIP, 80),
            virt(Protocol::Udp, VIP, 80),
            virt(Protocol::Tcp, mapped, 80),
            virt(Protocol::Tcp, IpAddr::from([0; 4]), 0),
            virt(Protocol::Tcp, IpAddr::from([0; 16]), 0),
            ServiceKey::Mark { mark: 80 << 8 | 6, family: Family::V4 },
            ServiceKey::Mark { mark: 80 << 8 | 6, family: Family::V6 },
        ];
        for (id, key) in keys.iter().enumerate() {
            let services = [(*key, ServiceId(id as u32))].into_iter().collect();
            let directory = Directory { services, ..Directory::default() };
            let found: Vec<_> = keys.iter().filter(|key| directory.get(**key).is_some()).collect();
            assert_eq!(found, [key]);
        }
    }

    #[test]
    fn what_there_is_follows_from_the_services() {
        let all = directory(&[80, 21, 0]);
        assert!(all.has_marks && all.has_ftp && all.has_wildcard);
        assert!(all.has_family(Family::V4) && !all.has_family(Family::V6));
        let none = Directory { services: HashMap::new(), ..all }.sorted_out();
        assert!(!(none.has_marks || none.has_ftp || none.has_wildcard || none.has_family(Family::V4)));
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

    #[test]
    fn changes_that_wait_for_each_other_become_one() {
        let ids = |ids: &[u32]| ids.iter().map(|id| ServiceId(*id)).collect::<Vec<_>>();
        let address = |last: u8| IpAddr::from([192, 0, 2, last]);
        let (first, second) = ((InterfaceId(0), address(1)), (InterfaceId(0), address(2)));
        let neighbour = |mac| NeighbourChange { interface: InterfaceId(0), address: address(9), mac };
        let before = Changes {
            services: ids(&[1, 4]),
            network: true,
            neighbours: vec![neighbour(Some([2; 6]))],
            appeared: vec![first, second],
            ..Changes::default()
        };
        let mut network = Network {
            virtual_addresses: vec![VirtualAddress { address: address(2), interface: Some(InterfaceId(0)) }],
            ..Network::default()
        };
        network.prepare();
        let changes = Changes { services: ids(&[0, 4]), neighbours: vec![neighbour(None)], ..Changes::default() };
        let mut next = Snapshot { network: Arc::new(network), changes: Arc::new(changes), ..Snapshot::default() };
        next.follow(&Snapshot { changes: Arc::new(before), ..Snapshot::default() });
        assert_eq!((&next.changes.services, next.changes.network), (&ids(&[0, 1, 4]), true));
        assert_eq!(next.changes.neighbours, [neighbour(Some([2; 6])), neighbour(None)], "in their order");
        assert_eq!(next.changes.appeared, [second], "the other one has gone again");
    }

    #[test]
    fn static_neighbours_and_new_addresses_are_told_apart_from_what_stays() {
        let interface = |mac| Interface {
            id: InterfaceId(0),
            name: "p".to_owned(),
            port: PortId(0),
            vlan: None,
            mac,
            mtu: 1500,
            udp_checksum_offload: false,
            addresses: vec![],
        };
        let address = |last: u8| IpAddr::from([192, 0, 2, last]);
        let neighbours = |all: &[(u8, u8)]| -> Vec<_> {
            let one =
                |&(last, mac)| StaticNeighbour { interface: InterfaceId(0), address: address(last), mac: [mac; 6] };
            all.iter().map(one).collect()
        };
        let network = |mac, all: &[(u8, u8)], vips: &[u8]| {
            let vip = |last: &u8| VirtualAddress { address: address(*last), interface: Some(InterfaceId(0)) };
            let virtual_addresses = vips.iter().map(vip).collect();
            let interfaces = vec![interface(mac)];
            let mut network =
                Network { interfaces, neighbours: neighbours(all), virtual_addresses, ..Network::default() };
            network.prepare();
            network
        };
        let compare = |old: &Network, new: &Network| {
            let mut changes = Changes::default();
            changes.compare(old, new);
            changes.neighbours.sort_by_key(|change| change.address);
            let neighbours: Vec<_> = changes.neighbours.iter().map(|n| (n.address, n.mac.map(|mac| mac[0]))).collect();
            (neighbours, changes.appeared)
        };
        let old = network([2; 6], &[(1, 2), (2, 2), (3, 2)], &[10]);
        let (changed, appeared) = compare(&old, &network([2; 6], &[(1, 2), (2, 4), (4, 2)], &[10, 11]));
        assert_eq!(changed, [(address(2), Some(4)), (address(3), None), (address(4), Some(2))]);
        assert_eq!(appeared, [(InterfaceId(0), address(11))]);
        let (changed, _) = compare(&old, &network([4; 6], &[(1, 2)], &[]));
        assert_eq!(changed, [(address(1), Some(2)), (address(2), None), (address(3), None)], "behind another link");
    }
}

//! A director between clients and servers, with a snapshot to edit, virtual time, and an account of every packet.

use super::packets::{Datagram, SYN, Seen, at, tcp};
use crate::dataplane::director::{Director, Parameters};
use crate::dataplane::snapshot::*;
use crate::dataplane::steer::owner::{Rule, Rules, Steering};
use crate::dataplane::steer::peers::mesh;
use crate::dataplane::vec_frame::{VecFrame, VecOutlet};
use crate::model::limits::BURST;
use crate::model::settings::Settings;
use crate::model::timeouts::Timeouts;
use crate::model::*;
use crate::sched::registry::{Plan, SchedulerKind};
use crate::sched::{Candidate, Options, Pool};
use crate::tables::connections::{Conn, Key, ports};
use crate::wire::address::Ip4;
use crate::wire::ip_protocol::{TCP, UDP};
use arrayvec::ArrayVec;
use std::net::{SocketAddr, SocketAddrV4};
use std::sync::Arc;

/// Port 0, 192.0.2.254/24, where the clients' router is.
pub const CLIENT_SIDE: PortId = PortId(0);
pub const CLIENT_SIDE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0xc0];
/// Port 1, 10.0.0.254/24, where the servers are.
pub const SERVER_SIDE: PortId = PortId(1);
pub const SERVER_SIDE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x50];
/// Port 1, VLAN 100, 10.1.0.254/24.
pub const TAGGED_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x51];
pub const TAG: u16 = 100;
/// 192.0.2.1, the way to everybody.
pub const GATEWAY_MAC: [u8; 6] = [2, 0, 0, 0, 1, 1];
pub const VIP: &str = "192.0.2.10:80";

/// Of 10.0.0.`n`.
pub fn server_mac(n: u8) -> [u8; 6] {
    [2, 0, 0, 0, 2, n]
}

pub fn client(n: u16) -> SocketAddrV4 {
    SocketAddrV4::new([198, 51, 100, (n % 200) as u8 + 1].into(), 10_000 + n)
}

pub fn vip() -> SocketAddrV4 {
    at(VIP)
}

pub struct Lab {
    pub director: Director<VecFrame>,
    pub out: VecOutlet,
    pub now: Time,
    pub draft: Snapshot,
    pub changes: Changes,
    /// Of the last snapshot.
    network: Arc<Network>,
    next_service: u32,
    next_dest: u32,
    sent_ip: u64,
    echoes: u64,
}

fn network() -> Network {
    let interface = |id, port, vlan, mac, addresses: &[&str]| Interface {
        id: InterfaceId(id),
        name: format!("i{id}"),
        port,
        vlan,
        mac,
        mtu: 1500,
        udp_checksum_offload: false,
        addresses: addresses.iter().map(|net| net.parse().unwrap()).collect(),
    };
    let neighbour = |interface, address: [u8; 4], mac| StaticNeighbour {
        interface: InterfaceId(interface),
        address: address.into(),
        mac,
    };
    let servers = (1..=4).map(|n| neighbour(1, [10, 0, 0, n], server_mac(n)));
    Network {
        interfaces: vec![
            interface(0, CLIENT_SIDE, None, CLIENT_SIDE_MAC, &["192.0.2.254/24", "2001:db8:1::fe/64"]),
            interface(1, SERVER_SIDE, None, SERVER_SIDE_MAC, &["10.0.0.254/24", "fd00:10::fe/64"]),
            interface(2, SERVER_SIDE, Some(TAG), TAGGED_MAC, &["10.1.0.254/24", "fd00:11::fe/64"]),
        ],
        routes: vec![Route {
            prefix: "0.0.0.0/0".parse().unwrap(),
            via: Some([192, 0, 2, 1].into()),
            interface: InterfaceId(0),
        }],
        neighbours: servers.chain([neighbour(0, [192, 0, 2, 1], GATEWAY_MAC)]).collect(),
        virtual_addresses: vec![],
        reach: Arc::default(),
    }
}

impl Lab {
    pub fn new() -> Self {
        Self::with_capacity(1000)
    }

    /// The network above, and nothing to serve.
    pub fn with_capacity(capacity: u32) -> Self {
        let now = Time::from_s(1000);
        let parameters = Parameters { worker: WorkerId(0), workers: 1, capacity, seeds: [1, 2, 3, 4], now };
        let mut lab = Self {
            director: Director::new(parameters).unwrap(),
            out: VecOutlet::default(),
            now,
            draft: Snapshot { network: Arc::new(network()), ..Snapshot::default() },
            changes: Changes { network: true, ..Changes::default() },
            network: Arc::default(),
            next_service: 0,
            next_dest: 0,
            sent_ip: 0,
            echoes: 0,
        };
        lab.publish();
        lab
    }

    /// A TCP service on [`VIP`], round robin over these servers of one forwarding method.
    pub fn with_servers(forward: Forward, servers: &[&str]) -> (Self, Vec<DestId>) {
        let mut lab = Self::new();
        let service = lab.service(Protocol::Tcp, VIP, "rr");
        let ids = servers.iter().map(|server| lab.add(service, server, forward, 1)).collect();
        lab.publish();
        lab.quiet();
        (lab, ids)
    }

    /// One NAT server, 10.0.0.1:8080.
    pub fn nat() -> (Self, DestId) {
        let (lab, ids) = Self::with_servers(Forward::Nat, &["10.0.0.1:8080"]);
        (lab, ids[0])
    }

    // the snapshot

    pub fn service(&mut self, protocol: Protocol, virt: &str, scheduler: &str) -> ServiceId {
        let id = ServiceId(self.next_service);
        self.next_service += 1;
        let virt: SocketAddr = virt.parse().unwrap();
        let address = virt.ip();
        let key = ServiceKey::Virtual { protocol, address, port: virt.port() };
        let kind = SchedulerKind::from_name(scheduler).unwrap();
        Arc::make_mut(&mut self.draft.directory).services.insert(key, id);
        self.put(id, key, kind, vec![]);
        if !self.draft.network.virtual_addresses.iter().any(|v| v.address == address) {
            self.network(|n| n.virtual_addresses.push(VirtualAddress { address, interface: Some(InterfaceId(0)) }));
        }
        id
    }

    fn put(&mut self, id: ServiceId, key: ServiceKey, scheduler: SchedulerKind, candidates: Vec<Candidate>) {
        let (options, pool) = (Options::default(), Pool::new(candidates));
        let plan = Arc::new(Plan::make(scheduler, &pool, options).unwrap());
        let pool = Arc::new(pool);
        let service = Service {
            id,
            key,
            scheduler,
            options,
            persistence: None,
            one_packet: false,
            strict: false,
            departures: Default::default(),
            pool,
            plan,
        };
        self.draft.services.set(id.index(), Some(Arc::new(service)));
        self.changes.services.push(id);
    }

    fn edit_pool(&mut self, id: ServiceId, edit: impl FnOnce(&mut Vec<Candidate>)) {
        let service = self.draft.services.get(id.index()).unwrap().clone();
        let (key, kind, mut candidates) = (service.key, service.scheduler, service.pool.candidates().to_vec());
        edit(&mut candidates);
        self.put(id, key, kind, candidates);
        self.edit_service(id, |new| {
            (new.persistence, new.one_packet, new.strict) = (service.persistence, service.one_packet, service.strict);
        });
    }

    /// What a service is besides its pool.
    pub fn edit_service(&mut self, id: ServiceId, edit: impl FnOnce(&mut Service)) {
        let Service { id, key, scheduler, options, persistence, one_packet, strict, departures, ref pool, ref plan } =
            **self.draft.services.get(id.index()).unwrap();
        let (pool, plan) = (pool.clone(), plan.clone());
        let mut service =
            Service { id, key, scheduler, options, persistence, one_packet, strict, departures, pool, plan };
        edit(&mut service);
        self.draft.services.set(id.index(), Some(Arc::new(service)));
        self.changes.services.push(id);
    }

    /// A service on a mark for IPv4, round robin.
    pub fn service_on_mark(&mut self, mark: u32) -> ServiceId {
        let id = ServiceId(self.next_service);
        self.next_service += 1;
        let key = ServiceKey::Mark { mark, family: Family::V4 };
        Arc::make_mut(&mut self.draft.directory).services.insert(key, id);
        self.put(id, key, SchedulerKind::Rr, vec![]);
        id
    }

    /// There is another worker, and everything is its; the ring to it is for so many packets.
    pub fn give_all_away(&mut self, depth: usize) {
        let mut table = SlotTable::default();
        (0..SLOTS).filter_map(Slot::new).for_each(|slot| table.assign(slot, WorkerId(1)));
        let rules = Rules {
            directory: (*self.draft.directory).clone(),
            services: vec![Rule::default(); self.next_service as usize],
            ..Rules::default()
        };
        let (now, rules) = (Arc::new(table), Arc::new(rules));
        self.draft.steering = Arc::new(Steering { now, rules, ..Steering::default() });
        self.director.connect(mesh(2, depth).swap_remove(0));
        self.publish();
    }

    pub fn marks(&mut self, rules: &[MarkRule]) {
        self.draft.marks = Arc::new(crate::dataplane::marks::Marks::new(rules));
    }

    fn set(&mut self, destination: Destination) {
        self.draft.destinations.set(destination.id.index(), Some(Arc::new(destination)));
        self.changes.destinations.push(destination.id);
    }

    pub fn add(&mut self, service: ServiceId, server: &str, forward: Forward, weight: u32) -> DestId {
        let id = DestId(self.next_dest);
        self.next_dest += 1;
        let server: SocketAddr = server.parse().unwrap();
        self.set(Destination {
            id,
            service,
            address: server.ip(),
            port: server.port(),
            forward,
            weight,
            threshold_upper: 0,
            threshold_lower: 0,
            departures: Default::default(),
            timeouts: Default::default(),
            available: true,
        });
        self.enlist(id);
        id
    }

    fn enlist(&mut self, id: DestId) {
        let d = **self.draft.destinations.get(id.index()).unwrap();
        let candidate = Candidate { id, weight: d.weight, last_weight: d.weight, address: d.address, port: d.port };
        self.edit_pool(d.service, |pool| pool.insert(0, candidate));
    }

    pub fn edit(&mut self, id: DestId, edit: impl FnOnce(&mut Destination)) {
        let mut destination = **self.draft.destinations.get(id.index()).unwrap();
        edit(&mut destination);
        self.set(destination);
        self.edit_pool(destination.service, |pool| {
            pool.iter_mut().filter(|c| c.id == id).for_each(|c| c.weight = destination.weight)
        });
    }

    /// To the trash.
    pub fn remove(&mut self, id: DestId) {
        let mut destination = **self.draft.destinations.get(id.index()).unwrap();
        destination.available = false;
        self.set(destination);
        if self.draft.services.get(destination.service.index()).is_some() {
            self.edit_pool(destination.service, |pool| pool.retain(|c| c.id != id));
        }
    }

    /// From the trash.
    pub fn revive(&mut self, id: DestId) {
        let mut destination = **self.draft.destinations.get(id.index()).unwrap();
        destination.available = true;
        self.set(destination);
        self.enlist(id);
    }

    /// With its destinations going to the trash.
    pub fn remove_service(&mut self, id: ServiceId) {
        let service = self.draft.services.get(id.index()).unwrap().clone();
        for candidate in service.pool.candidates() {
            self.remove(candidate.id);
        }
        Arc::make_mut(&mut self.draft.directory).services.remove(&service.key);
        self.draft.services.set(id.index(), None);
        self.changes.services.push(id);
    }

    pub fn network(&mut self, edit: impl FnOnce(&mut Network)) {
        edit(Arc::make_mut(&mut self.draft.network));
        self.changes.network = true;
    }

    pub fn settings(&mut self, edit: impl FnOnce(&mut Settings)) {
        edit(Arc::make_mut(&mut self.draft.settings));
    }

    pub fn timeouts(&mut self, edit: impl FnOnce(&mut Timeouts)) {
        let mut timeouts = self.draft.timeouts.global().clone();
        edit(&mut timeouts);
        self.draft.timeouts = Arc::new(crate::model::TimeoutSets::new(timeouts, &[]));
    }

    /// The next snapshot, as the control thread would publish it.
    pub fn next_snapshot(&mut self) -> Arc<Snapshot> {
        self.draft.version += 1;
        let directory = Arc::make_mut(&mut self.draft.directory);
        *directory = std::mem::take(directory).sorted_out();
        let mut changes = std::mem::take(&mut self.changes);
        changes.services.sort();
        changes.services.dedup();
        changes.destinations.sort();
        changes.destinations.dedup();
        if changes.network {
            Arc::make_mut(&mut self.draft.network).prepare();
            changes.compare(&self.network, &self.draft.network);
            self.network = self.draft.network.clone();
        }
        self.draft.changes = Arc::new(changes);
        Arc::new(self.draft.clone())
    }

    /// Makes the director pick up what was edited; after how many rounds it had.
    pub fn publish(&mut self) -> usize {
        let next = self.next_snapshot();
        self.director.begin_pick_up(next);
        (1..).find(|_| self.director.continue_pick_up().is_some()).unwrap()
    }

    // time and frames

    pub fn wait_ms(&mut self, ms: u64) {
        // in steps, as a worker polls
        for _ in 0..ms.div_ceil(50) {
            self.now = self.now.plus_ms(ms.min(50));
            self.housekeep();
        }
    }

    pub fn wait_s(&mut self, s: u64) {
        self.wait_ms(s * 1000);
    }

    pub fn housekeep(&mut self) {
        self.director.housekeeping(0, self.now, &mut self.out);
    }

    /// Forgets what was sent so far (announcements).
    pub fn quiet(&mut self) {
        self.housekeep();
        self.sent();
    }

    /// What was sent since the last look.
    pub fn sent(&mut self) -> Vec<Seen> {
        let frames: Vec<_> = self.out.sent.drain(..).map(|(port, frame)| Seen::of(port.0, &frame.bytes())).collect();
        self.sent_ip += frames.iter().filter(|seen| !seen.is_about_neighbours()).count() as u64;
        self.check();
        frames
    }

    /// Received, and made here, is dropped, consumed, sent or waiting.
    fn check(&mut self) {
        let counters = self.counters();
        let mut held = 0;
        self.director.network().neighbours.page(0, usize::MAX, |n| held += u64::from(n.held));
        let drops: u64 = counters.drops.iter().map(|c| c.get()).sum();
        let put_together = (counters.packets_reassembled.get(), counters.fragments_reassembled.get());
        let cut = (counters.packets_fragmented.get(), counters.fragments_created.get());
        let made = counters.icmp_sent.get() + counters.resets_sent.get() + self.echoes + cut.1 + put_together.0;
        let gone = drops + counters.consumed.get() + cut.0 + put_together.1 + counters.handed_over.get();
        let waiting = held + u64::from(self.director.fragments_waiting());
        let came = counters.received.get() + counters.taken_over.get();
        assert_eq!(came + made, gone + self.sent_ip + waiting, "{:?}", self.drops());
    }

    pub fn process(&mut self, port: PortId, frames: impl IntoIterator<Item = VecFrame>) -> Vec<Seen> {
        let mut frames: ArrayVec<VecFrame, BURST> = frames.into_iter().collect();
        let is_arp = |frame: &VecFrame| Seen::of(0, &frame.bytes()).is_about_neighbours();
        let is_arp = |frame: &VecFrame| frame.bytes().len() >= 18 && is_arp(frame);
        let all_arp = !frames.is_empty() && frames.iter().all(is_arp);
        assert!(all_arp || !frames.iter().any(is_arp), "the account wants ARP and ND in bursts of their own");
        let count = frames.len() as u64 + u64::from(self.director.fragments_waiting());
        let (drops, consumed) = self.ended();
        self.director.process(port, &mut frames, self.now, &mut self.out);
        self.director.send_parcels();
        assert!(frames.is_empty());
        let (dropped, consumed) = (self.ended().0 - drops, self.ended().1 - consumed);
        let waiting = u64::from(self.director.fragments_waiting());
        assert!(dropped + consumed + waiting <= count, "no frame ends twice");
        self.echoes += if all_arp { 0 } else { consumed };
        self.sent()
    }

    /// Packets dropped and consumed so far.
    fn ended(&self) -> (u64, u64) {
        let counters = self.counters();
        (counters.drops.iter().map(|c| c.get()).sum(), counters.consumed.get())
    }

    pub fn feed(&mut self, port: PortId, bytes: &[u8]) -> Vec<Seen> {
        self.process(port, [VecFrame::new(bytes)])
    }

    /// What the director does with a packet from the clients' side.
    pub fn client_sends(&mut self, datagram: &Datagram) -> Vec<Seen> {
        self.feed(CLIENT_SIDE, &datagram.bytes())
    }

    pub fn server_sends(&mut self, datagram: &Datagram) -> Vec<Seen> {
        self.feed(SERVER_SIDE, &datagram.clone().at_server_side().bytes())
    }

    /// The only frame that comes out when a client sends this.
    pub fn relay_in(&mut self, datagram: &Datagram) -> Seen {
        only(self.client_sends(datagram))
    }

    pub fn relay_out(&mut self, datagram: &Datagram) -> Seen {
        only(self.server_sends(datagram))
    }

    /// A connection of client `n` to the service, as far as its SYN; the server's address it was given.
    pub fn connect(&mut self, n: u16) -> SocketAddrV4 {
        self.relay_in(&tcp(client(n), vip(), SYN)).destination()
    }

    /// Checks that a packet is dropped for this reason, with nothing sent but what is given back.
    pub fn refuse(&mut self, reason: DropReason, datagram: &Datagram) -> Vec<Seen> {
        let before = self.dropped(reason);
        let sent = self.client_sends(datagram);
        assert_eq!(self.dropped(reason), before + 1, "{:?}", self.drops());
        sent
    }

    // counters and tables

    pub fn counters(&self) -> Arc<WorkerCounters> {
        self.director.counters().0
    }

    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.counters().drops[reason as usize].get()
    }

    pub fn drops(&self) -> Vec<(DropReason, u64)> {
        DropReason::ALL.iter().map(|&r| (r, self.dropped(r))).filter(|(_, n)| *n > 0).collect()
    }

    /// (active, inactive) connections of a destination.
    pub fn load(&self, id: DestId) -> (u32, u32) {
        let counters = self.director.counters().1;
        (counters[id.index()].active.get(), counters[id.index()].inactive.get())
    }

    pub fn connection(&self, protocol: u8, source: SocketAddrV4, destination: SocketAddrV4) -> Option<Conn<Ip4>> {
        let key = Key {
            source: Ip4::from(*source.ip()),
            destination: Ip4::from(*destination.ip()),
            ports: ports(source.port().to_be_bytes(), destination.port().to_be_bytes()),
            kind: protocol.into(),
        };
        let connections = &self.director.connections().v4;
        connections.find(&key).map(|(id, _)| *connections.get(id))
    }

    /// The state of client `n`'s connection, and seconds until it expires.
    pub fn state(&self, n: u16) -> Option<(&'static str, u32)> {
        let conn = self.connection(TCP, client(n), vip())?;
        Some((state::state_name(Protocol::Tcp, conn.state), self.expires_s(&conn)))
    }

    pub fn udp_connection(&self, source: SocketAddrV4, destination: SocketAddrV4) -> Option<Conn<Ip4>> {
        self.connection(UDP, source, destination)
    }

    pub fn expires_s(&self, conn: &Conn<Ip4>) -> u32 {
        conn.timer.deadline.since(self.now.tick()).max(0) as u32 / Tick::PER_S
    }
}

#[track_caller]
pub fn only(mut sent: Vec<Seen>) -> Seen {
    assert_eq!(sent.len(), 1, "{sent:?}");
    sent.remove(0)
}

impl Lab {
    pub fn set_scheduler(&mut self, id: ServiceId, name: &str) {
        let service = self.draft.services.get(id.index()).unwrap();
        let (key, candidates) = (service.key, service.pool.candidates().to_vec());
        self.put(id, key, SchedulerKind::from_name(name).unwrap(), candidates);
    }
}

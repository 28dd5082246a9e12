//! Several workers and a control thread in one, with virtual time: everybody takes turns in random order.

use super::super::{Steerer, Step, rebalanced};
use crate::control::api::Rebalance;
use crate::control::config::Config;
use crate::control::state::{Opened, ServiceEdit, State};
use crate::dataplane::director::{Director, Parameters};
use crate::dataplane::snapshot::Snapshot;
use crate::dataplane::steer::client_hash::{ClientHash, Input};
use crate::dataplane::steer::owner::Steering;
use crate::dataplane::steer::peers::mesh;
use crate::dataplane::tests::packets::{Datagram, Seen};
use crate::dataplane::vec_frame::{VecFrame, VecOutlet};
use crate::model::*;
use crate::wire::address::Ip4;
use crate::wire::toeplitz::RssKey;
use arrayvec::ArrayVec;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddrV4;
use std::sync::Arc;

pub const CLIENT_SIDE: PortId = PortId(0);
pub const SERVER_SIDE: PortId = PortId(1);
const CLIENT_SIDE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0xc0];
const SERVER_SIDE_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x50];

const NETWORK: &str = r#"
[[port]]
name = "client"
device = "a"
addresses = ["192.0.2.254/24"]
[[port]]
name = "server"
device = "b"
addresses = ["10.0.0.254/24"]
[[route]]
prefix = "0.0.0.0/0"
via = "192.0.2.1"
[[neighbour]]
port = "client"
address = "192.0.2.1"
mac = "02:00:00:00:01:01"
"#;

/// A TCP service on 192.0.2.10:80 over four servers.
pub fn web(forward: &str) -> String {
    let mut text = "[[service]]\nprotocol = \"tcp\"\naddress = \"192.0.2.10:80\"\nscheduler = \"rr\"\n".to_owned();
    for n in 1..=4 {
        text += &format!("[[service.destination]]\naddress = \"10.0.0.{n}\"\nforward = \"{forward}\"\n");
    }
    text
}

pub const VIP: &str = "192.0.2.10:80";

pub fn key() -> ServiceKey {
    ServiceKey::Virtual { protocol: Protocol::Tcp, address: [192, 0, 2, 10].into(), port: 80 }
}

/// Fifty addresses have several connections each.
pub fn client(n: usize) -> SocketAddrV4 {
    SocketAddrV4::new([198, 51, 100, (n % 50) as u8 + 1].into(), 10_000 + n as u16)
}

pub struct Workers {
    pub state: State,
    steerer: Steerer,
    latest: Snapshot,
    pub directors: Vec<Director<VecFrame>>,
    /// What each of them goes by, and what it was last sent.
    pub steering: Vec<Arc<Steering>>,
    sent_steering: Arc<Steering>,
    outs: Vec<VecOutlet>,
    queue: VecDeque<Step>,
    unacknowledged: usize,
    moving: usize,
    now: Time,
    random: u64,
}

impl Workers {
    pub fn new(workers: u16, services: &str, seed: u64) -> Self {
        let servers = (1..=4).map(|n| {
            format!("[[neighbour]]\nport = \"server\"\naddress = \"10.0.0.{n}\"\nmac = \"02:00:00:00:02:0{n}\"\n")
        });
        let text = [NETWORK.to_owned(), servers.collect(), services.to_owned()].concat();
        let opened = [CLIENT_SIDE_MAC, SERVER_SIDE_MAC].into_iter().zip(0..);
        let opened = opened.map(|(mac, port)| Opened { port: PortId(port), mac, udp_checksum_offload: false });
        let config = Config::parse(&text, "lab").unwrap();
        let state = State::new(config, &opened.collect::<Vec<_>>()).unwrap();
        let steerer = Steerer::new(workers, &RssKey::MICROSOFT, state.snapshot());
        let first = Arc::new(Snapshot { steering: steerer.settled(), ..state.snapshot().clone() });
        let now = Time::from_s(1000);
        let director = |(worker, peers)| {
            let parameters = Parameters { worker: WorkerId(worker), workers, capacity: 4000, seeds: [1, 2, 3, 4], now };
            let mut director = Director::new(parameters).unwrap();
            director.connect(peers);
            director.pick_up_at_once(first.clone());
            director
        };
        Self {
            latest: (*first).clone(),
            directors: (0..).zip(mesh(workers.into(), 1024)).map(director).collect(),
            steering: vec![first.steering.clone(); workers.into()],
            sent_steering: first.steering.clone(),
            outs: (0..workers).map(|_| VecOutlet::default()).collect(),
            state,
            steerer,
            queue: VecDeque::new(),
            unacknowledged: 0,
            moving: 0,
            now,
            random: seed | 1,
        }
    }

    /// Below `end`.
    pub fn random(&mut self, end: usize) -> usize {
        self.random = self.random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.random >> 33) as usize % end
    }

    /// A frame comes in at some worker.
    pub fn receive(&mut self, port: PortId, datagram: &Datagram) {
        self.receive_bytes(port, &datagram.bytes());
    }

    /// A client's frame comes in where a port has it that hashes sources alone.
    pub fn client_sends_by_source(&mut self, client: SocketAddrV4, datagram: Datagram) {
        let hash = ClientHash::new(&RssKey::MICROSOFT, Input::Source);
        let hash = hash.of_connection(Ip4::from(*client.ip()), client.port().to_be_bytes());
        let worker = self.steerer.slots().worker_of(Slot::of_hash(hash)).index();
        self.receive_at(worker, CLIENT_SIDE, &Datagram { to_mac: CLIENT_SIDE_MAC, ..datagram }.bytes());
    }

    pub fn receive_bytes(&mut self, port: PortId, bytes: &[u8]) {
        let worker = self.random(self.directors.len());
        self.receive_at(worker, port, bytes);
    }

    fn receive_at(&mut self, worker: usize, port: PortId, bytes: &[u8]) {
        let mut frames: ArrayVec<_, 64> = [VecFrame::new(bytes)].into_iter().collect();
        self.directors[worker].process(port, &mut frames, self.now, &mut self.outs[worker]);
        self.directors[worker].send_parcels();
    }

    pub fn client_sends(&mut self, datagram: Datagram) {
        self.receive(CLIENT_SIDE, &Datagram { to_mac: CLIENT_SIDE_MAC, ..datagram });
    }

    pub fn server_sends(&mut self, datagram: Datagram) {
        self.receive(SERVER_SIDE, &Datagram { to_mac: SERVER_SIDE_MAC, ..datagram });
    }

    /// Some worker has a turn, or the control thread.
    pub fn turn(&mut self) {
        let worker = self.random(self.directors.len() + 1);
        match self.directors.get_mut(worker) {
            None => self.control(),
            Some(director) => {
                director.fetch_parcels();
                director.take_parcels(self.now, &mut self.outs[worker]);
                director.housekeeping(0, self.now, &mut self.outs[worker]);
                director.send_parcels();
                if director.is_picking_up() && director.continue_pick_up().is_some() {
                    self.steering[worker] = self.sent_steering.clone();
                    self.unacknowledged -= 1;
                } else if director.has_moved_all() {
                    self.moving -= 1;
                }
            }
        }
    }

    fn control(&mut self) {
        if self.unacknowledged > 0 || self.moving > 0 {
            return;
        }
        let Some(step) = self.queue.pop_front() else { return };
        self.unacknowledged = self.directors.len();
        self.moving = if step.moves { self.directors.len() } else { 0 };
        self.sent_steering = step.snapshot.steering.clone();
        self.directors.iter_mut().for_each(|director| director.begin_pick_up(step.snapshot.clone()));
    }

    pub fn is_changing(&self) -> bool {
        self.unacknowledged > 0 || self.moving > 0 || !self.queue.is_empty()
    }

    /// Turns until nothing is on its way.
    pub fn settle(&mut self) {
        for _ in 0..100_000 {
            (0..50).for_each(|_| self.turn());
            if !self.is_changing() {
                return (0..200).for_each(|_| self.turn());
            }
        }
        panic!("a change does not come to its end");
    }

    /// What has left since the last look, from all workers.
    pub fn sent(&mut self) -> Vec<Seen> {
        self.sent_by_workers().into_iter().map(|(_, seen)| seen).collect()
    }

    /// The same, each with the worker that sent it.
    pub fn sent_by_workers(&mut self) -> Vec<(usize, Seen)> {
        let sent =
            self.outs.iter_mut().enumerate().flat_map(|(worker, out)| out.sent.drain(..).map(move |s| (worker, s)));
        let seen = sent.map(|(worker, (port, frame))| (worker, Seen::of(port.0, &frame.bytes())));
        seen.filter(|(_, seen)| !seen.is_about_neighbours()).collect()
    }

    pub fn edit(&mut self, edit: impl FnOnce(&mut State)) {
        edit(&mut self.state);
        self.queue.extend(self.steerer.publish(&self.latest, self.state.snapshot()));
        self.latest = self.state.snapshot().clone();
    }

    pub fn persist(&mut self, key: ServiceKey, timeout_s: Option<u32>) {
        let mask = ClientMask::whole(Family::V4);
        let persistence = timeout_s.map(|timeout_s| Persistence { timeout_s, mask, engine: None });
        self.edit_service(key, &ServiceEdit { persistence: Some(persistence), ..ServiceEdit::default() });
    }

    pub fn edit_service(&mut self, key: ServiceKey, edit: &ServiceEdit) {
        self.edit(|state| state.edit_service(&key, edit).unwrap());
    }

    pub fn rebalance(&mut self, wish: &Rebalance) {
        let workers = self.directors.len() as u16;
        let slots = rebalanced(self.steerer.slots(), workers, wish).unwrap();
        self.queue.extend(self.steerer.rebalance(&self.latest, slots));
    }

    pub fn change_hash(&mut self) {
        self.queue.extend(self.steerer.change_hash(&self.latest));
    }

    pub fn sum(&self, of: impl Fn(&WorkerCounters) -> u64) -> u64 {
        self.directors.iter().map(|director| of(&director.counters().0)).sum()
    }

    pub fn drops(&self) -> Vec<(DropReason, u64)> {
        let count = |reason: DropReason| self.sum(|counters| counters.drops[reason as usize].get());
        DropReason::ALL.iter().map(|reason| (*reason, count(*reason))).filter(|(_, count)| *count > 0).collect()
    }

    /// Connections of each worker by what identifies them, without templates. No two have the same.
    pub fn connections(&self) -> HashMap<(SocketAddrV4, SocketAddrV4), usize> {
        let mut known = HashMap::new();
        for (worker, director) in self.directors.iter().enumerate() {
            director.connections().v4.page(1, u32::MAX, |_, conn| {
                use crate::tables::connections::flags::{GONE, TEMPLATE};
                if conn.has(GONE) || conn.has(TEMPLATE) {
                    return;
                }
                let at = |address: crate::wire::address::Ip4, port: [u8; 2]| {
                    SocketAddrV4::new(address.into(), u16::from_be_bytes(port))
                };
                let key = (at(conn.client, conn.client_port), at(conn.virt, conn.virtual_port));
                let other = known.insert(key, worker);
                assert_eq!(other, None, "{key:?} is in two tables");
            });
        }
        known
    }
}

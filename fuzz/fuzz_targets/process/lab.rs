//! The director, the control thread's state beside it, and the account of all packets.

use super::account;
use super::frames::{PORT_MACS, Sent, TAG, TAGGED_MAC, transport_is_right};
use super::{Command, Round, Wait};
use arrayvec::ArrayVec;
use pollux::control::config::{Config, DestinationConfig, ServiceConfig};
use pollux::control::state::{DestinationEdit, Opened, State};
use pollux::dataplane::director::{Director, Parameters};
use pollux::dataplane::snapshot::Snapshot;
use pollux::dataplane::vec_frame::{VecFrame, VecOutlet};
use pollux::model::limits::BURST;
use pollux::model::{DestId, Forward, PortId, Tick, Time, Tunnel, WorkerId};
use pollux::wire::Header;
use pollux::wire::ipv4::{self, Ipv4Header};
use std::collections::{HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};

/// Two ports, one with a tagged interface besides; eight services of two servers and different kinds.
const PORTS: &str = r#"
[[port]]
name = "client"
device = "net_null0"
addresses = ["192.0.2.254/24"]
[[port]]
name = "server"
device = "net_null1"
addresses = ["10.0.0.254/24"]
[[port]]
name = "tagged"
device = "net_null1"
vlan = 100
mtu = 1400
addresses = ["10.1.0.254/24"]
[[route]]
prefix = "0.0.0.0/0"
via = "192.0.2.1"
[[neighbour]]
port = "client"
address = "192.0.2.1"
mac = "02:00:00:00:01:01"
[[neighbour]]
port = "server"
address = "10.0.0.1"
mac = "02:00:00:00:02:01"
"#;

const METHODS: [&str; 3] = ["nat", "dr", "tun"];
const SCHEDULERS: [&str; 8] = ["rr", "wlc", "lc", "sh", "nq", "wrr", "mh", "lblcr"];

pub fn station(n: u8) -> [u8; 6] {
    [2, 0, 0, 0, 2, n % 4]
}

/// Services 4 and up have their servers behind the tagged interface; only the first of a pair is a static neighbour.
pub fn server_address(service: u8, server: u8) -> [u8; 4] {
    [10, service / 4, 0, 1 + server % 2]
}

pub fn virtual_port(service: u8) -> u16 {
    80 + u16::from(service)
}

/// NAT services map ports.
pub fn server_port(service: u8) -> u16 {
    virtual_port(service) + if method(service) == "nat" { 8000 } else { 0 }
}

fn method(service: u8) -> &'static str {
    METHODS[usize::from(service) % 3]
}

fn config() -> &'static Config {
    static CONFIG: OnceLock<Config> = OnceLock::new();
    CONFIG.get_or_init(|| {
        let mut text = PORTS.to_owned();
        for service in 0..8_u8 {
            let (protocol, port) = (["tcp", "udp"][usize::from(service % 2)], virtual_port(service));
            let scheduler = SCHEDULERS[usize::from(service)];
            text += &format!(
                "[[service]]\nprotocol = \"{protocol}\"\naddress = \"192.0.2.{}:{port}\"\nscheduler = \"{scheduler}\"\n",
                10 + service
            );
            for server in 0..2 {
                let [a, b, c, d] = server_address(service, server);
                let (port, forward) = (server_port(service), method(service));
                text += &format!("[[service.destination]]\naddress = \"{a}.{b}.{c}.{d}:{port}\"\nforward = \"{forward}\"\n");
            }
        }
        let mut config = Config::parse(&text, "fuzz.toml").expect("a valid configuration");
        // short, so that all of them come up in one input
        config.timeouts.tcp = config.timeouts.tcp.map(|ticks| ticks.min(TIMEOUT_MAX));
        config.timeouts.udp = TIMEOUT_MAX;
        config
    })
}

/// In ticks.
const TIMEOUT_MAX: u32 = 10 * Tick::PER_S;

/// Made once: what it plans for its schedulers takes longer than an input.
fn first_state() -> State {
    thread_local!(static STATE: State = {
        let macs = [(0, PORT_MACS[0]), (1, PORT_MACS[1]), (1, TAGGED_MAC)];
        let opened = macs.map(|(port, mac)| Opened { port: PortId(port), mac, udp_checksum_offload: false });
        State::new(config().clone(), &opened).expect("a state")
    });
    STATE.with(State::clone)
}

pub struct Lab {
    director: Director<VecFrame>,
    state: State,
    /// Published, not yet begun.
    snapshots: VecDeque<Snapshot>,
    out: VecOutlet,
    now: Time,
    next_id: u16,
    /// By IP identification: the transport checksum was right.
    right: HashMap<u16, bool>,
    /// Fragments so far, by what they have in common.
    pieces: HashMap<(u16, Ipv4Addr, Ipv4Addr, u8), Vec<u8>>,
    echoes: u64,
    sent_ip: u64,
}

impl Lab {
    pub fn new() -> Self {
        let state = first_state();
        let now = Time::from_s(1_000_000);
        let parameters = Parameters { worker: WorkerId(0), workers: 1, capacity: 24, seeds: [1, 2, 3, 4], now };
        let mut director = Director::new(parameters).expect("memory");
        director.pick_up_at_once(Arc::new(state.snapshot().clone()));
        Self {
            director,
            state,
            snapshots: VecDeque::new(),
            out: VecOutlet::default(),
            now,
            next_id: 0,
            right: HashMap::new(),
            pieces: HashMap::new(),
            echoes: 0,
            sent_ip: 0,
        }
    }

    pub fn play(&mut self, round: &Round) {
        match &round.command {
            Some(Command::NoBuffers(none)) => self.out.is_exhausted = *none,
            Some(Command::LinkUp { port }) => self.director.link_up(PortId(u16::from(port % 2))),
            Some(Command::PickUp) => self.pick_up(),
            Some(Command::Collect) => self.collect(),
            Some(command) => self.command(command),
            None => {}
        }
        match round.wait {
            Wait::Not => {}
            Wait::Ms(ms) => self.wait_ms(u64::from(ms)),
            // some seconds, in which neighbours are asked, fail and go, and connections end
            Wait::S(s) => (0..u64::from(s % 16) * 4).for_each(|_| self.wait_ms(250)),
        }
        self.burst(&round.burst);
        self.burst(&round.more);
        self.check();
    }

    // the control thread

    fn command(&mut self, command: &Command) {
        let version = self.state.snapshot().version;
        // what is refused changes nothing
        let _ = match *command {
            Command::Weight { server, weight } => {
                self.edit(server, DestinationEdit { weight: Some(weight.into()), ..Default::default() })
            }
            Command::Threshold { server, upper, lower } => {
                let (threshold_upper, threshold_lower) = (Some(upper.into()), Some(lower.into()));
                self.edit(server, DestinationEdit { threshold_upper, threshold_lower, ..Default::default() })
            }
            Command::Forward { server, method } => {
                let forward = [Forward::Nat, Forward::Dr, Forward::Tun(Tunnel::default())][usize::from(method % 3)];
                self.edit(server, DestinationEdit { forward: Some(forward), ..Default::default() })
            }
            Command::Remove { server } => {
                let (service, at) = named(server);
                self.state.delete_destination(&service.key, at.socket(), self.now).is_ok()
            }
            Command::Add { server } => {
                let (service, at) = named(server);
                self.state.add_destination(&service.key, at).is_ok()
            }
            Command::RemoveService { service } => {
                self.state.delete_service(&config().services[usize::from(service % 8)].key, self.now).is_ok()
            }
            Command::AddService { service } => {
                self.state.add_service(&config().services[usize::from(service % 8)]).is_ok()
            }
            Command::Settings { sloppy, expire_nodest, reuse, pmtu_disc, forward } => {
                let mut new = self.state.config();
                new.settings.sloppy_tcp = sloppy;
                new.settings.expire_nodest_conn = expire_nodest;
                new.settings.conn_reuse_mode = reuse % 4;
                new.settings.pmtu_disc = pmtu_disc;
                new.settings.forward = forward;
                self.state.apply_config(new, self.now).is_ok()
            }
            Command::Addresses { more } => {
                let mut new = self.state.config();
                new.ports[1].addresses.truncate(1);
                if more {
                    new.ports[1].addresses.push("10.9.0.1/16".parse().expect("a subnet"));
                }
                self.state.apply_config(new, self.now).is_ok()
            }
            _ => false,
        };
        if self.state.snapshot().version != version {
            self.snapshots.push_back(self.state.snapshot().clone());
        }
    }

    fn edit(&mut self, server: u8, edit: DestinationEdit) -> bool {
        let (service, at) = named(server);
        self.state.edit_destination(&service.key, SocketAddr::new(at.address, at.port), &edit).is_ok()
    }

    /// As the control thread: nothing is collected before all workers have the last snapshot.
    fn collect(&mut self) {
        while self.director.is_picking_up() || !self.snapshots.is_empty() {
            self.pick_up();
        }
        let (_, counters) = self.director.counters();
        let references = |id: DestId| u64::from(counters[id.index()].references.get());
        if let Some(snapshot) = self.state.collect(self.now, &references) {
            self.snapshots.push_back(snapshot);
        }
    }

    /// Some more of the snapshot on its way in, or a new one.
    fn pick_up(&mut self) {
        if self.director.is_picking_up() {
            self.director.continue_pick_up();
        } else if let Some(next) = self.snapshots.pop_front() {
            self.director.begin_pick_up(Arc::new(next));
        }
    }

    // the worker

    fn wait_ms(&mut self, ms: u64) {
        self.now = self.now.plus_ms(ms);
        self.director.housekeeping(0, self.now, &mut self.out);
        self.pick_up();
        self.check();
    }

    fn burst(&mut self, frames: &[Sent]) {
        for side in [false, true] {
            let mut burst: Vec<_> = frames.iter().take(16).filter(|sent| sent.is_from_servers() == side).collect();
            // the account wants ARP apart
            let (arp, other): (Vec<_>, Vec<_>) =
                burst.drain(..).flat_map(|sent| self.make(sent)).partition(|f| is_arp(f));
            self.process(u16::from(side), arp, true);
            self.process(u16::from(side), other, false);
        }
    }

    fn make(&mut self, sent: &Sent) -> Vec<VecFrame> {
        self.next_id = self.next_id.wrapping_add(1);
        let bytes = sent.frame(self.next_id);
        let l3 = if sent.tagged { 18 } else { 14 };
        if let Some(packet) = bytes.get(l3..)
            && let Some(id) = packet.get(4..6)
        {
            let id = u16::from_be_bytes([id[0], id[1]]);
            let is_right = transport_is_right(packet) == Some(true);
            // of two with the same identification, both have to be right
            self.right.entry(id).and_modify(|known| *known &= is_right).or_insert(is_right);
        }
        sent.in_fragments(bytes).iter().map(|bytes| in_segments(sent, bytes)).collect()
    }

    fn process(&mut self, port: u16, frames: Vec<VecFrame>, are_arp: bool) {
        let mut burst: ArrayVec<VecFrame, BURST> = frames.into_iter().collect();
        let count = burst.len() as u64 + u64::from(self.director.fragments_waiting());
        let (drops, consumed) = account::ended(&self.director);
        self.director.process(PortId(port), &mut burst, self.now, &mut self.out);
        let (dropped, consumed) =
            (account::ended(&self.director).0 - drops, account::ended(&self.director).1 - consumed);
        let waiting = u64::from(self.director.fragments_waiting());
        assert!(dropped + consumed + waiting <= count, "no frame ends twice");
        self.echoes += if are_arp { 0 } else { consumed };
        self.check();
    }

    /// Received, and made here, is dropped, consumed, sent or waiting; and what was sent is in order.
    fn check(&mut self) {
        for (port, frame) in std::mem::take(&mut self.out.sent) {
            let bytes = frame.bytes();
            assert!(port.0 < 2);
            let l3 = if bytes[12..14] == [0x81, 0] { 18 } else { 14 };
            assert_eq!(l3 == 18, l3 == 18 && u16::from_be_bytes([bytes[14], bytes[15]]) & 0xfff == TAG);
            if bytes[l3 - 2..l3] == [8, 0] {
                self.sent_ip += 1;
                self.check_packet(&bytes[l3..]);
            }
        }
        account::check(&self.director, self.echoes, self.sent_ip);
    }

    fn check_packet(&mut self, packet: &[u8]) {
        assert!(ipv4::checksum_ok(packet), "the header checksum of what leaves is right");
        assert_eq!(usize::from(u16::from_be_bytes([packet[2], packet[3]])), packet.len());
        let header = usize::from(packet[0] & 15) * 4;
        if Ipv4Header::of(packet).is_some_and(|ip| ip.is_fragment()) {
            return self.gather(packet, header);
        }
        match packet[9] {
            4 => self.check_packet(&packet[header..]),
            6 | 17 => {
                let id = u16::from_be_bytes([packet[4], packet[5]]);
                if self.right.get(&id) == Some(&true) {
                    assert_eq!(transport_is_right(packet), Some(true), "what came right leaves right");
                }
            }
            _ => {}
        }
    }

    /// Puts fragments, which leave in order, together; a packet that is whole again is checked as one.
    fn gather(&mut self, packet: &[u8], header: usize) {
        let ip = Ipv4Header::of(packet).expect("a header");
        let key = (ip.id.get(), ip.source(), ip.destination(), ip.protocol);
        assert!(!ip.more_fragments() || (packet.len() - header) % 8 == 0);
        if ip.fragment_offset() == 0 {
            self.pieces.insert(key, packet.to_vec());
            return;
        }
        // one whose beginning found no buffer, or room to wait
        let Some(whole) = self.pieces.get_mut(&key).filter(|whole| whole.len() == header + ip.fragment_offset()) else {
            return;
        };
        whole.extend(&packet[header..]);
        if ip.more_fragments() {
            return;
        }
        let mut whole = self.pieces.remove(&key).expect("it is there");
        let total = u16::try_from(whole.len()).expect("no longer than a packet can be").to_be_bytes();
        whole[2..4].copy_from_slice(&total);
        whole[6..8].fill(0);
        ipv4::fill_checksum(&mut whole);
        self.check_packet(&whole);
    }

    /// All time passes: nothing of any connection is left.
    pub fn finish(&mut self) {
        while self.director.is_picking_up() || !self.snapshots.is_empty() {
            self.pick_up();
        }
        (0..20).for_each(|_| self.wait_ms(1000));
        assert!(self.director.connections().is_empty());
        let (_, counters) = self.director.counters();
        for counters in counters.iter().take(64) {
            assert_eq!((counters.active.get(), counters.inactive.get(), counters.references.get()), (0, 0, 0));
        }
    }
}

/// A server as the configuration has it.
fn named(server: u8) -> (&'static ServiceConfig, &'static DestinationConfig) {
    let service = &config().services[usize::from(server / 2 % 8)];
    (service, &service.destinations[usize::from(server % 2)])
}

fn in_segments(sent: &Sent, bytes: &[u8]) -> VecFrame {
    let [a, b] = sent.segments.map(|end| usize::from(end).min(bytes.len()));
    let (a, b) = if a == 0 { (bytes.len(), bytes.len()) } else { (a.min(b.max(a)), b.max(a)) };
    VecFrame::in_segments([&bytes[..a], &bytes[a..b], &bytes[b..]])
}

fn is_arp(frame: &VecFrame) -> bool {
    matches!(frame.bytes().get(12..18), Some([8, 6, ..] | [0x81, 0, _, _, 8, 6]))
}

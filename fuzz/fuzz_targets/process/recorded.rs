//! Frames as they stand in the input, which begins with those of the recordings: of both families and every protocol,
//! between time and commands. The input is a number of [`topology`], then records: what, a length, bytes.

use super::account;
use super::topology;
use super::transport;
use arrayvec::ArrayVec;
use pollux::control::state::{DestinationEdit, Opened, State};
use pollux::dataplane::director::{Director, Parameters};
use pollux::dataplane::vec_frame::{VecFrame, VecOutlet};
use pollux::model::{DestId, PortId, Time, WorkerId};
use pollux::wire::ip_protocol::ICMPV6;
use pollux::wire::ipv4;
use pollux::wire::parse::{Kind, Parsed, parse_into};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

/// So many records, so that an input takes no longer than others.
const RECORDS_MAX: usize = 200;

struct World {
    director: Director<VecFrame>,
    state: State,
    out: VecOutlet,
    now: Time,
    echoes: u64,
    sent: u64,
}

pub fn play(number: u8, mut input: &[u8]) {
    let mut world = World::new(usize::from(number) % topology::COUNT);
    for _ in 0..RECORDS_MAX {
        let [what, high, low, rest @ ..] = input else { break };
        let len = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (bytes, rest) = rest.split_at(len);
        world.record(*what, bytes);
        input = rest;
    }
    world.finish();
}

/// Made once a number: what schedulers plan takes longer than an input.
fn first_state(number: usize) -> State {
    thread_local!(static STATES: RefCell<HashMap<usize, State>> = RefCell::default());
    STATES.with_borrow_mut(|states| states.entry(number).or_insert_with(|| new_state(number)).clone())
}

fn new_state(number: usize) -> State {
    let opened = [0, 1].map(|port| Opened {
        port: PortId(port),
        mac: topology::MACS[usize::from(port)],
        udp_checksum_offload: false,
    });
    State::new(topology::config(number), &opened).expect("a state")
}

impl World {
    fn new(number: usize) -> Self {
        let state = first_state(number);
        let now = Time::from_s(1_000_000);
        let parameters = Parameters { worker: WorkerId(0), capacity: 24, seeds: [1, 2, 3, 4], now };
        let mut director = Director::new(parameters).expect("memory");
        director.pick_up_at_once(Arc::new(state.snapshot().clone()));
        Self { director, state, out: VecOutlet::default(), now, echoes: 0, sent: 0 }
    }

    /// Bit 7: not a frame. Of a frame, bit 0: its port; 1: with the IP checksum that it should have; 2: in segments.
    fn record(&mut self, what: u8, bytes: &[u8]) {
        match what {
            0x80..=0x8f => self.wait_ms(u64::from(what & 15) * 50),
            0x90..=0x9f => (0..u64::from(what & 15) * 4).for_each(|_| self.wait_ms(250)),
            0xa0..=0xff => self.command(what, bytes.first().copied().unwrap_or_default()),
            _ => self.frame(what, bytes),
        }
    }

    fn frame(&mut self, what: u8, bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        if what & 2 != 0 {
            repair(&mut bytes);
        }
        let cut = if what & 4 != 0 { usize::from(what >> 3) * 8 } else { bytes.len() }.min(bytes.len());
        let mut burst = ArrayVec::new();
        burst.push(VecFrame::in_segments([&bytes[..cut], &bytes[cut..]]));
        let before = account::ended(&self.director).1;
        self.director.process(PortId(u16::from(what & 1)), &mut burst, self.now, &mut self.out);
        let consumed = account::ended(&self.director).1 - before;
        assert!(burst.is_empty() && consumed <= 1);
        // what resolves an address lets go of packets that came before it
        let is_resolution = is_resolution(&bytes);
        if !is_resolution && packet_in(&bytes).and_then(transport::is_right) == Some(true) {
            self.check_transport();
        }
        self.echoes += if is_resolution { 0 } else { consumed };
        self.check();
    }

    /// A packet that came with the right checksum leaves with it, also in a tunnel, and what is said of it has it, too.
    fn check_transport(&self) {
        for (_, frame) in &self.out.sent {
            let bytes = frame.bytes();
            let outer = packet_in(&bytes);
            let inner = outer.and_then(transport::inner);
            for packet in outer.into_iter().chain(inner) {
                assert_ne!(transport::is_right(packet), Some(false), "what came right leaves right");
            }
        }
    }

    fn command(&mut self, what: u8, which: u8) {
        let before = self.state.snapshot().version;
        let config = self.state.config();
        let Some(service) = config.services.get(usize::from(which >> 2) % config.services.len().max(1)) else { return };
        let found = service.destinations.get(usize::from(which & 1) % service.destinations.len().max(1));
        // what is refused changes nothing
        let _ = match (what % 8, found) {
            (0, Some(at)) => {
                let edit = DestinationEdit { weight: Some(u32::from(which & 2)), ..Default::default() };
                self.state.edit_destination(&service.key, at.socket(), &edit).is_ok()
            }
            (1, Some(at)) => self.state.delete_destination(&service.key, at.socket(), self.now).is_ok(),
            (2, _) => first_state(usize::from(which) % topology::COUNT).service(&service.key).is_ok_and(|other| {
                other.destinations.iter().all(|d| self.state.add_destination(&service.key, d).is_ok())
            }),
            (3, Some(at)) => {
                let (threshold_upper, threshold_lower) = (Some(u32::from(which & 3)), Some(0));
                let edit = DestinationEdit { threshold_upper, threshold_lower, ..Default::default() };
                self.state.edit_destination(&service.key, at.socket(), &edit).is_ok()
            }
            (4, _) => {
                let mut new = config.clone();
                new.settings = topology::config(usize::from(which) % topology::COUNT).settings;
                self.state.apply_config(new, self.now).is_ok()
            }
            (5, _) => self.state.delete_service(&service.key, self.now).is_ok(),
            (6, _) => self.director_event(which),
            _ => self.collect(),
        };
        self.publish(before);
    }

    fn director_event(&mut self, which: u8) -> bool {
        match which % 4 {
            0 => self.director.link_up(PortId(u16::from(which >> 7))),
            n => self.out.is_exhausted = n == 1,
        }
        false
    }

    fn collect(&mut self) -> bool {
        let (_, counters) = self.director.counters();
        let references = |id: DestId| u64::from(counters[id.index()].references.get());
        self.state.collect(self.now, &references).is_some()
    }

    fn publish(&mut self, before: u64) {
        if self.state.snapshot().version != before {
            self.director.pick_up_at_once(Arc::new(self.state.snapshot().clone()));
        }
        self.check();
    }

    fn wait_ms(&mut self, ms: u64) {
        self.now = self.now.plus_ms(ms);
        self.director.housekeeping(64, self.now, &mut self.out);
        self.check();
    }

    fn check(&mut self) {
        for (port, frame) in std::mem::take(&mut self.out.sent) {
            let bytes = frame.bytes();
            assert!(port.0 < 2 && bytes.len() >= 14);
            match bytes[12..14] {
                [8, 0] => {
                    let total = usize::from(u16::from_be_bytes([bytes[16], bytes[17]]));
                    assert!(ipv4::checksum_ok(&bytes[14..]), "the header checksum of what leaves is right");
                    assert_eq!(total, bytes.len() - 14);
                    self.sent += 1;
                }
                [0x86, 0xdd] => {
                    assert_eq!(usize::from(u16::from_be_bytes([bytes[18], bytes[19]])), bytes.len() - 54);
                    self.sent += u64::from(!is_resolution(&bytes));
                }
                _ => assert_eq!(bytes[12..14], [8, 6]),
            }
        }
        account::check(&self.director, self.echoes, self.sent);
    }

    /// All time passes: nothing of any connection is left, templates and those they wait for included.
    fn finish(&mut self) {
        // persistence templates of connections that live are put off by a minute at a time
        for _ in 0..300 {
            if self.director.connections().is_empty() {
                break;
            }
            self.wait_ms(1000);
        }
        assert!(self.director.connections().is_empty());
        let (_, counters) = self.director.counters();
        for counters in counters.iter().take(256) {
            assert_eq!((counters.active.get(), counters.inactive.get(), counters.references.get()), (0, 0, 0));
        }
    }
}

/// The IP packet of an untagged frame.
fn packet_in(frame: &[u8]) -> Option<&[u8]> {
    let mut parsed = Parsed::default();
    parse_into(frame, frame.len(), &mut parsed).ok()?;
    let is_ip = matches!(parsed.kind, Kind::Ipv4 | Kind::Ipv6) && parsed.vlan == 0;
    is_ip.then(|| frame.get(14..parsed.frame_len())).flatten()
}

/// ARP and neighbour discovery, which say nothing of packets.
fn is_resolution(bytes: &[u8]) -> bool {
    let mut parsed = Parsed::default();
    match parse_into(bytes, bytes.len(), &mut parsed) {
        Ok(()) if parsed.kind == Kind::Arp => true,
        Ok(()) if parsed.kind == Kind::Ipv6 && parsed.protocol == ICMPV6 && !parsed.fragment => {
            matches!(bytes.get(usize::from(parsed.l4)), Some(135 | 136))
        }
        _ => false,
    }
}

fn repair(bytes: &mut [u8]) {
    if bytes.get(12..14) == Some(&[8, 0]) && bytes.len() >= 34 && usize::from(bytes[14] & 15) * 4 + 14 <= bytes.len() {
        ipv4::fill_checksum(&mut bytes[14..]);
    }
}

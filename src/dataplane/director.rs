//! One worker's director: a burst of frames, a time and a snapshot in; frames, counters and connections out.
//!
//! What becomes of the burst is in [`super::burst`]; here is what a director is made of, and which way a packet takes that may be
//! anything: state, timers, counters, rewriting, sending.

use super::areas::Areas;
use super::defence::Defence;
use super::destinations::{Destinations, SharedCounters};
use super::drain::Drain;
use super::family::{Family, Packets, PerFamily, Reassemblers, Tables};
use super::forward::Inbound;
use super::frame::Frame;
use super::ftp::Sessions;
use super::icmp::RateLimit;
use super::idle_reset::Watches;
use super::lead;
use super::nd;
use super::network::NetworkState;
use super::outlet::Outlet;
pub use super::packet::Packet;
use super::peers::Board;
use super::pick_up::{ALWAYS, PickUp};
use super::reassemble::{Geometry, Reassembler};
use super::services::Services;
use super::snapshot::Snapshot;
use super::steer::Arrival;
use super::steer::moving::Moving;
use super::steer::peers::Peers;
use crate::model::limits::{BURST, EXPIRE_PER_POLL};
use crate::model::timeouts::REARM_S;
use crate::model::{DropReason, PortId, Tick, Time, TimeoutSets, WorkerCounters, WorkerId};
use crate::tables::connections::{ConnId, Direction, Guess, Key, flags};
use crate::tables::memory::NoMemory;
use crate::tables::names::{NAMES_MAX, Names};
use crate::wire::Header;
use crate::wire::address::{Ip4, Ip6};
use crate::wire::ip::{Ip, IpHeader};
use crate::wire::ip_protocol::{AH, ESP, SCTP, TCP, UDP};
use crate::wire::parse::{Kind, Malformed, Parsed, parse_into};
use std::sync::Arc;

/// What a director is made with.
#[derive(Clone, Copy, Debug)]
pub struct Parameters {
    pub worker: WorkerId,
    /// How many there are in all.
    pub workers: u16,
    /// Connections of each address family.
    pub capacity: u32,
    /// Random numbers for the connection table.
    pub seeds: [u64; 4],
    pub now: Time,
}

/// A director on one worker. Nothing in it is shared but counters, which it alone writes.
pub struct Director<F: Frame> {
    pub(super) worker: WorkerId,
    pub(super) workers: u16,
    /// There are others.
    pub(super) is_shared: bool,
    pub(super) peers: Peers<F>,
    /// Of the packets under way.
    pub(super) arrival: Arrival,
    pub(super) moving: Moving,
    pub(super) connections: Tables,
    pub(super) destinations: Destinations,
    pub(super) services: Services,
    pub(super) ftp: Sessions,
    pub(super) watches: Watches,
    pub(super) network: NetworkState<F>,
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) timeouts: Arc<TimeoutSets>,
    pub(super) pick_up: Option<PickUp>,
    pub(super) counters: Arc<WorkerCounters>,
    pub(super) icmp_limit: RateLimit,
    /// Packets until the next that `drop_packet` drops.
    pub(super) drop_counter: u32,
    /// TCP's other state table applies (`secure_tcp`).
    pub(super) secure_tcp: bool,
    /// Tunnels copy DF and tell senders their MTU (`pmtu_disc`).
    pub(super) pmtu_disc: bool,
    /// Connections from this entry on are to be looked through for those whose destination was removed.
    pub(super) orphans_from: PerFamily<Option<u32>>,
    /// What templates are told apart by besides their clients.
    pub(super) names: Names,
    pub(super) defence: Defence,
    pub(super) drain: Drain,
    pub(super) ip_id: u64,
    /// Of several workers only one announces addresses.
    pub(super) announces: bool,
    pub(super) now: Time,
    /// The same in timers' units.
    pub(super) tick: Tick,
    /// Packets by which a stage is ahead of the next, at least one.
    pub(super) step: usize,
    pub(super) packets: PerFamily<Packets<Ip4>, Packets<Ip6>>,
    pub(super) reassemblers: Reassemblers<F>,
    /// How the packet came that is being finished, if it was put together from fragments.
    pub(super) geometry: Option<Geometry>,
    /// When drain deadlines were last looked at.
    ticked: Time,
    /// For tests that hold the common path against the others: no packet takes it.
    #[cfg(test)]
    pub(super) without_common_path: bool,
}

impl<F: Frame> Director<F> {
    pub fn new(parameters: Parameters) -> Result<Self, NoMemory> {
        let Parameters { worker, workers, capacity, seeds, now } = parameters;
        Ok(Self {
            worker,
            workers,
            is_shared: false,
            peers: Peers::default(),
            arrival: Arrival::Fresh,
            moving: Moving::default(),
            connections: Tables::new(capacity, seeds, now.tick())?,
            destinations: Destinations::new()?,
            services: Services::default(),
            ftp: Sessions::default(),
            watches: Watches::new(capacity)?,
            network: NetworkState::new(seeds[2])?,
            snapshot: Arc::default(),
            timeouts: Arc::default(),
            pick_up: None,
            counters: Arc::default(),
            icmp_limit: RateLimit::default(),
            drop_counter: 0,
            secure_tcp: false,
            pmtu_disc: true,
            orphans_from: PerFamily::default(),
            names: Names::new(NAMES_MAX, seeds[1])?,
            defence: Defence::default(),
            drain: Drain::default(),
            ip_id: seeds[0] ^ seeds[3],
            announces: worker == WorkerId(0),
            now,
            tick: now.tick(),
            step: lead::DEFAULT,
            packets: PerFamily { v4: new_packets(), v6: new_packets() },
            reassemblers: PerFamily { v4: Reassembler::new(seeds), v6: Reassembler::new(seeds) },
            geometry: None,
            ticked: now,
            #[cfg(test)]
            without_common_path: false,
        })
    }

    /// One of several workers that schedule as one; before the first snapshot.
    pub fn join(&mut self, board: &Board, worker: WorkerId) {
        self.destinations.join(board, worker);
        self.services.join();
    }

    /// Has each stage so many packets ahead of the next from the next burst on ([`super::lead`]).
    pub fn ask_ahead(&mut self, packets: usize) {
        self.step = packets.max(1);
    }

    /// This worker's counters, for the control thread to read.
    pub fn counters(&self) -> (Arc<WorkerCounters>, SharedCounters) {
        (self.counters.clone(), self.destinations.shared())
    }

    /// Which of how many workers it is.
    pub fn place(&self) -> (WorkerId, u16) {
        (self.worker, self.workers)
    }

    /// The time of the last burst.
    pub fn now(&self) -> Time {
        self.now
    }

    /// A port has a link again.
    pub fn link_up(&mut self, port: PortId) {
        self.counters.link_ups.add(1);
        self.network.link_up(port, self.now);
    }

    /// Where its tables lie.
    pub fn areas(&self) -> Areas {
        let (of_destinations, ranked) = self.destinations.areas();
        Areas::new(self.connections.areas(), of_destinations, [self.services.area(), ranked])
    }

    pub fn connections(&self) -> &Tables {
        &self.connections
    }

    pub fn network(&self) -> &NetworkState<F> {
        &self.network
    }

    /// Fragments that wait for the rest of their packets.
    pub fn fragments_waiting(&self) -> u32 {
        self.reassemblers.v4.fragments() + self.reassemblers.v6.fragments()
    }

    pub(super) fn set_time(&mut self, now: Time) {
        self.now = now;
        self.tick = now.tick();
    }

    /// Work between bursts, bounded by the packets just `processed`.
    pub fn housekeeping(&mut self, processed: usize, now: Time, out: &mut impl Outlet<F>) {
        self.set_time(now);
        self.expire(processed + EXPIRE_PER_POLL, out);
        if self.orphans_from.v4.is_some() || self.orphans_from.v6.is_some() {
            self.end_orphans();
        }
        if self.snapshot.settings.drop_entry == ALWAYS {
            self.drop_entries();
        }
        self.give_up_fragments(out);
        self.network.maintain(now, &self.counters, out);
        self.destinations.exchange(now);
        if now.since(self.ticked) >= 1_000_000 {
            self.ticked = now;
            self.end_drained();
        }
        self.services.tick(now);
        if self.network.has_announcements() {
            self.announce(out);
        }
    }

    #[cold]
    fn announce(&mut self, out: &mut impl Outlet<F>) {
        if self.announces {
            self.network.announce(out);
        } else {
            self.network.forget_announcements();
        }
    }

    /// A packet that no burst brought is looked up like one.
    pub(super) fn prepare<A: Family>(&self, frame: &F, packet: &mut Packet<A>) {
        packet.key = key_of(frame.head(), &packet.parsed);
        packet.hash = self.connections.table::<A>().hash(&packet.key);
        packet.guess = Guess::default();
    }

    /// The rest of a packet's life, its cache lines being there.
    #[inline(always)]
    pub(super) fn finish<A: Family>(
        &mut self,
        frame: F,
        packet: &Packet<A>,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        let is_flow = packet.parsed.kind == A::KIND && matches!(packet.parsed.protocol, TCP | UDP);
        if !is_flow || packet.parsed.fragment || packet.to_group | packet.parsed.has_options() {
            return self.finish_other(frame, packet, out);
        }
        self.follow(frame, packet, out)
    }

    /// A packet with ports goes the way of its connection, if there is one.
    #[inline(always)]
    pub(super) fn follow<A: Family>(
        &mut self,
        frame: F,
        packet: &Packet<A>,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        match self.connections.table::<A>().confirm(packet.guess, &packet.key, packet.hash) {
            Some((id, direction)) => {
                if !self.tick.is_before(self.connections.table::<A>().get(id).timer.deadline) {
                    return self.finish_expired(frame, packet, id, out);
                }
                match direction {
                    Direction::In => self.forward_in(frame, packet, id, Inbound::Established, out),
                    Direction::Out => self.forward_out(frame, packet, id, out),
                }
            }
            None => self.no_connection(frame, packet, out),
        }
    }

    /// The connection's time is up; its timer has just not been looked at yet. One that others depend on lives on.
    #[cold]
    fn finish_expired<A: Family>(
        &mut self,
        frame: F,
        packet: &Packet<A>,
        id: ConnId,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        let connections = self.connections.table_mut::<A>();
        if connections.get(id).controlled > 0 {
            connections.set_deadline(id, self.tick.plus(REARM_S * Tick::PER_S));
            return self.follow(frame, packet, out);
        }
        let conn = *connections.get(id);
        if conn.has(flags::WATCHED) {
            self.reset_idle(&conn, out);
        }
        self.end::<A>(id);
        self.no_connection(frame, packet, out)
    }

    #[cold]
    fn finish_other<A: Family>(
        &mut self,
        frame: F,
        packet: &Packet<A>,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        match packet.parsed.kind {
            Kind::Arp => self.arp(frame, packet, out),
            _ if packet.parsed.fragment => self.gather(frame, packet, out),
            Kind::Ipv6 if nd::is_discovery(frame.head(), &packet.parsed) => {
                self.neighbour_discovery(frame, packet, out)
            }
            // what a whole link can hear belongs to no connection (ip_vs_in_hook: PACKET_HOST only)
            _ if packet.to_group && has_connections(packet.parsed.protocol) => Err(DropReason::Multicast),
            _ if packet.parsed.has_options() => self.with_options(frame, packet, out),
            _ => self.finish_rare(frame, packet, out),
        }
    }

    /// What is not TCP or UDP, or has options that have been seen to.
    #[cold]
    pub(super) fn finish_rare<A: Family>(
        &mut self,
        frame: F,
        packet: &Packet<A>,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        match packet.parsed.protocol {
            TCP | UDP => self.follow(frame, packet, out),
            SCTP => self.sctp(frame, packet, out),
            AH | ESP => self.ipsec(frame, packet, out),
            _ => self.no_connection(frame, packet, out),
        }
    }
}

fn has_connections(protocol: u8) -> bool {
    matches!(protocol, TCP | UDP | SCTP | AH | ESP)
}

/// The head ended inside the headers: with more of the frame in it, parsing may get further.
#[cold]
pub(super) fn parse_again<F: Frame>(frame: &mut F, parsed: &mut Parsed) -> Result<(), DropReason> {
    // Ethernet with a tag, IPv4 with all options or IPv6 with some extension headers, TCP's fixed part
    const HEADERS_MAX: usize = 18 + 128 + 20;
    let wanted = frame.len().min(HEADERS_MAX);
    if frame.head().len() >= wanted || !frame.pull(wanted) {
        return Err(DropReason::Truncated);
    }
    Ok(parse_into(frame.head(), frame.len(), parsed)?)
}

/// The header is there: parsing has been over it.
#[inline(always)]
fn key_of<A: Ip>(head: &[u8], parsed: &Parsed) -> Key<A> {
    match A::Header::at(head, parsed.l3.into()) {
        Some(ip) => Key { source: ip.from(), destination: ip.to(), ports: parsed.ports, kind: parsed.protocol.into() },
        None => Key::default(),
    }
}

fn new_packets<A: Ip>() -> Packets<A> {
    Some(Box::new([Packet::default(); BURST]))
}

impl From<Malformed> for DropReason {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::Truncated => Self::Truncated,
            Malformed::UnknownEthertype => Self::UnknownEthertype,
            Malformed::IpHeaderBad => Self::IpHeaderBad,
            Malformed::IpChecksumBad => Self::IpChecksumBad,
            Malformed::IpLengthBad => Self::IpLengthBad,
            Malformed::L4Truncated => Self::L4Truncated,
        }
    }
}

//! Steering: any port may hand any packet to any worker, and each goes to the worker that its connection belongs to.
//!
//! A connection is in one worker's table, so a packet whose connection is found here is ours: that costs nothing. Only
//! one that no connection here knows is asked about ([`owner`]), and goes over a ring to its owner ([`peers`]) if that is
//! somebody else. There it is looked at afresh ([`take_over`]), and never handed on for the same reason again.
//!
//! While a change is under way ([`owner::Stage`]) a packet may have a former owner besides its new one. The new one asks
//! it, by sending the packet itself there, before it takes the packet for a new connection's.

pub mod client_hash;
pub mod home;
pub mod moving;
pub mod owner;
pub mod peers;
pub mod policy;
mod take_over;

use self::owner::{Claim, Owners, Stage};
use self::peers::{Mark, Note, Parcel, Peers};
use self::policy::Policy;
use super::director::{Director, Packet};
use super::family::Family;
use super::frame::Frame;
use super::marks::Headers;
use super::reassemble::{Fragment, Whole};
use super::related::{key_of, mirrored};
use crate::model::{DropReason, InterfaceId, PortCounters, PortId, Protocol, ServiceId, WorkerId};
use crate::tables::connections::Key;
use crate::wire::quoted::{Quoted, Tunnelled};
use std::net::IpAddr;

/// One in so many packets that are handed over is looked at more closely.
const COMPARE_EVERY: u64 = 16;

/// How the packets came here that are being processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Arrival {
    /// From a port.
    #[default]
    Fresh,
    /// From a worker that takes them for ours.
    Handed,
    /// From a worker that asks whether they are of connections we still have.
    Question(WorkerId),
    /// They were ours to ask about, and are not known.
    Answered,
}

/// What becomes of a packet that no connection here knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Ours,
    Goes(WorkerId, Mark),
    /// Its sender follows another steering than we do.
    Stray,
}

/// The rules by which a packet gets to its owner, and by which a change of owner loses and doubles nothing: of an
/// announced change the former owner decides; of one that moves, the new one, for packets that the former has sent back.
pub fn verdict(me: WorkerId, stage: Stage, owners: Owners, arrival: Arrival) -> Verdict {
    let Owners { before, now } = owners;
    match (arrival, stage) {
        (Arrival::Answered, _) => Verdict::Ours,
        (Arrival::Question(_), Stage::Announced) if before == me => Verdict::Ours,
        (Arrival::Question(asker), _) => Verdict::Goes(asker, Mark::Answered),
        (_, Stage::Settled) if now == me => Verdict::Ours,
        (_, Stage::Announced) if before == me => Verdict::Ours,
        (_, Stage::Moving) if now == me && before == me => Verdict::Ours,
        (_, Stage::Moving) if now == me => Verdict::Goes(before, Mark::Question),
        // who asks is asked in turn: that no connection here knows it has just been seen
        (_, Stage::Moving) if before == me => Verdict::Goes(now, Mark::Answered),
        (Arrival::Handed, Stage::Announced) if now == me => Verdict::Goes(before, Mark::Question),
        (Arrival::Handed, _) => Verdict::Stray,
        (Arrival::Fresh, Stage::Announced) => Verdict::Goes(before, Mark::Handed),
        (Arrival::Fresh, _) => Verdict::Goes(now, Mark::Handed),
    }
}

impl<F: Frame> Director<F> {
    /// Joins this worker to the others.
    pub fn connect(&mut self, peers: Peers<F>) {
        self.is_shared = peers.is_shared();
        self.peers = peers;
    }

    /// Sends off what is for other workers.
    #[inline]
    pub fn send_parcels(&mut self) {
        if self.is_shared {
            self.peers.flush(&self.counters);
        }
    }

    /// A packet that no connection here knows: given back if it is ours, or anybody's.
    #[inline(never)]
    pub(super) fn steer<A: Family>(&mut self, mut frame: F, packet: &Packet<A>) -> Result<Option<F>, DropReason> {
        if packet.parsed.protocol == A::ICMP && self.is_about_ours(&mut frame, packet) {
            return Ok(Some(frame));
        }
        if packet.home == Some(self.worker) {
            return Ok(Some(frame));
        }
        let Some(claim) = self.claim(&mut frame, packet) else { return Ok(Some(frame)) };
        let steering = &self.snapshot.steering;
        let verdict = verdict(self.worker, steering.stage, steering.owners(&claim), self.arrival);
        if let (Verdict::Goes(_, Mark::Handed), Arrival::Fresh) = (verdict, self.arrival) {
            self.compare_hashes(packet.port, &claim);
        }
        match verdict {
            Verdict::Ours => Ok(Some(frame)),
            Verdict::Goes(to, Mark::Answered) => {
                self.send_template_ahead(&frame, packet, to)?;
                self.hand_over(to, frame, packet, Mark::Answered).map(|()| None)
            }
            Verdict::Goes(to, mark) => self.hand_over(to, frame, packet, mark).map(|()| None),
            Verdict::Stray => Err(DropReason::Stray),
        }
    }

    /// Of some packets that came to another worker than theirs: whether the other hash would have it that they are ours.
    /// Where clients are told apart otherwise than by ports, nothing follows: a stranger could choose what comes elsewhere.
    #[inline(always)]
    fn compare_hashes<A: Family>(&self, port: PortId, claim: &Claim<'_, A>) {
        let counters = self.counters.of_port(port);
        if claim.rule.now == Policy::Connection && counters.elsewhere.get().is_multiple_of(COMPARE_EVERY) {
            self.compare_hashes_of(counters, claim);
        }
    }

    #[cold]
    fn compare_hashes_of<A: Family>(&self, counters: &PortCounters, claim: &Claim<'_, A>) {
        counters.compared.add(1);
        let is_ours = self.snapshot.steering.owner_by_other_hash(claim) == self.worker;
        counters.as_other_hash.add(is_ours.into());
    }

    /// Options are seen to by the packet's owner: what they record is recorded once.
    #[cold]
    pub(super) fn steer_before_options<A: Family>(
        &mut self,
        frame: F,
        packet: &Packet<A>,
    ) -> Result<Option<F>, DropReason> {
        let connections = self.connections.table::<A>();
        if connections.find(&packet.key).is_some() || connections.find_without_port(&packet.key).is_some() {
            return Ok(Some(frame));
        }
        self.steer(frame, packet)
    }

    /// A fragment goes where the others of its packet go.
    pub(super) fn steer_fragment<A: Family>(
        &mut self,
        frame: F,
        packet: &Packet<A>,
        fragment: &Fragment<A>,
    ) -> Result<Option<F>, DropReason> {
        let to = self.snapshot.steering.reassembler(&fragment.key);
        if to == self.worker || self.arrival != Arrival::Fresh {
            return Ok(Some(frame));
        }
        self.hand_over(to, frame, packet, Mark::Handed).map(|()| None)
    }

    fn hand_over<A>(&mut self, to: WorkerId, frame: F, packet: &Packet<A>, mark: Mark) -> Result<(), DropReason> {
        let is_sent = match self.geometry.take() {
            Some(geometry) => {
                let parcel = Parcel::Whole(Box::new(Whole { frame, geometry }), packet.port, mark);
                self.peers.send(to, parcel, &self.counters)
            }
            None => self.peers.send(to, Parcel::Frame(frame, packet.port, mark), &self.counters),
        };
        if !is_sent {
            return Err(DropReason::Internal);
        }
        if self.arrival == Arrival::Fresh {
            self.counters.of_port(packet.port).elsewhere.add(1);
        }
        Ok(())
    }

    #[inline(always)]
    fn claim<A: Family>(&self, frame: &mut F, packet: &Packet<A>) -> Option<Claim<'_, A>> {
        if packet.parsed.fragment {
            return None;
        }
        if packet.parsed.protocol == A::ICMP {
            return self.claim_of_quoted(frame, packet);
        }
        self.claim_of(&packet.key, packet)
    }

    #[inline(always)]
    fn claim_of<A: Family>(&self, key: &Key<A>, packet: &Packet<A>) -> Option<Claim<'_, A>> {
        let steering = &self.snapshot.steering;
        let is_asked = steering.has_marks(&self.snapshot.marks);
        let interface = || self.network.interface_of(packet.port, packet.parsed.vlan).map(|i| i.id);
        steering.claim(key, if is_asked { interface().and_then(|id| self.marked(key, id)) } else { None })
    }

    /// The service on the mark of a packet with this key that comes in by this interface.
    #[cold]
    fn marked<A: Family>(&self, key: &Key<A>, interface: InterfaceId) -> Option<ServiceId> {
        let protocol = Protocol::from_number(key.kind as u8)?;
        if key.destination.is_group() {
            return None;
        }
        let [a, b, c, d] = key.ports.to_ne_bytes();
        let ports = protocol.has_ports().then(|| (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])));
        let (source, destination) = (key.source, key.destination);
        let headers = Headers { interface, protocol: protocol.number(), source, destination, ports };
        self.snapshot.steering.service_of_mark::<A>(self.snapshot.marks.find(&headers))
    }

    /// An ICMP error is whose the packet is that it is about: sent by the director, to it, or in a tunnel of its.
    #[cold]
    fn claim_of_quoted<A: Family>(&self, frame: &mut F, packet: &Packet<A>) -> Option<Claim<'_, A>> {
        let at = self.quote_in(frame, packet).ok()??;
        let quote = frame.head().get(at..)?;
        let key = key_of(&Quoted::<A>::parse(quote)?);
        let in_tunnel = || {
            let inner = quote.get(Tunnelled::<A>::parse(quote)?.inner..)?;
            self.claim_of(&key_of(&Quoted::<A>::parse(inner)?), packet)
        };
        self.claim_of(&mirrored(&key), packet).or_else(|| self.claim_of(&key, packet)).or_else(in_tunnel)
    }

    /// Whether the connection is here that an ICMP error is about.
    #[cold]
    fn is_about_ours<A: Family>(&self, frame: &mut F, packet: &Packet<A>) -> bool {
        let Ok(Some(at)) = self.quote_in(frame, packet) else { return false };
        let Some(quote) = frame.head().get(at..) else { return false };
        let inner = Tunnelled::<A>::parse(quote).and_then(|tunnel| quote.get(tunnel.inner..));
        let quoted = [Some(quote), inner].into_iter().flatten().filter_map(Quoted::<A>::parse);
        quoted.map(|quoted| key_of(&quoted)).any(|key| self.find_quoted(&key).is_some())
    }

    /// What is heard of a neighbour is for every worker: each has a list of its own.
    pub(super) fn tell_of_neighbour(&mut self, interface: InterfaceId, address: IpAddr, mac: [u8; 6], learn: bool) {
        self.tell(|| Note::Neighbour { interface, address, mac, learn });
    }

    pub(super) fn tell_of_path_mtu(&mut self, server: IpAddr, mtu: u16) {
        self.tell(|| Note::PathMtu { server, mtu });
    }

    fn tell(&mut self, note: impl Fn() -> Note) {
        if self.is_shared {
            for to in (0..self.peers.count()).map(|to| WorkerId(to as u16)).filter(|to| *to != self.worker) {
                self.peers.send(to, Parcel::Note(Box::new(note())), &self.counters);
            }
        }
    }
}

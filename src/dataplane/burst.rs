//! A burst's way through the stages of a packet's life, one line a stage ([`Director::advance`]): parse, with the index bucket on
//! its way; guess, with the connection on its way; pass, which is the [common path](super::established). Each stage is some
//! packets ahead of the next one, so that memory is fetched all the while that packets are worked on. What does not pass is
//! finished one by one, in order, where it may be anything.

use super::director::{Director, Packet, parse_again};
use super::family::Family;
use super::frame::Frame;
use super::outlet::Outlet;
use super::packet::{Exit, Way};
use super::steer::Arrival;
use crate::model::limits::BURST;
use crate::model::{DropReason, PortId, Time};
use crate::tables::connections::Key;
use crate::wire::Header;
use crate::wire::address::{Ip4, Ip6};
use crate::wire::ethernet::ethertype;
use crate::wire::ip::Ip;
use crate::wire::ip_protocol::{TCP, UDP};
use crate::wire::parse::{Malformed, Parsed, parse_into};
use crate::wire::plain::{Facts, Plain};
use crate::wire::tcp::TcpHeader;
use crate::wire::udp::UdpHeader;
use arrayvec::ArrayVec;

/// How far the packets of a burst are: so many of them have been through each stage.
#[derive(Clone, Copy, Debug, Default)]
struct Stages {
    parsed: usize,
    guessed: usize,
    finished: usize,
    /// To be finished before more are parsed.
    due: usize,
}

impl<F: Frame> Director<F> {
    /// What happens to a burst of frames received on `port`. `frames` is empty afterwards.
    pub fn process(&mut self, port: PortId, frames: &mut ArrayVec<F, BURST>, now: Time, out: &mut impl Outlet<F>) {
        self.set_time(now);
        let arrived = if self.arrival == Arrival::Fresh { &self.counters.received } else { &self.counters.taken_over };
        arrived.add(frames.len() as u64);
        if self.arrival == Arrival::Fresh {
            self.counters.of_port(port).received.add(frames.len() as u64);
        }
        self.counters.bursts.add(1);
        for frame in frames.iter() {
            frame.prefetch();
        }
        let mut others = ArrayVec::new();
        self.process_family::<Ip4>(port, frames, &mut others, out);
        if !others.is_empty() {
            self.process_family::<Ip6>(port, &mut others, frames, out);
            debug_assert!(frames.is_empty(), "what is not IPv6 was done");
        }
    }

    /// The packets of one family go through all stages; frames with IPv6 are left to `others` by IPv4's turn, which
    /// comes first and does everything else.
    #[inline(always)]
    fn process_family<A: Family>(
        &mut self,
        port: PortId,
        frames: &mut ArrayVec<F, BURST>,
        others: &mut ArrayVec<F, BURST>,
        out: &mut impl Outlet<F>,
    ) {
        let Some(mut all_packets) = A::packets(&mut self.packets).take() else { return };
        let packets = &mut all_packets[..frames.len()];
        let stages = self.advance(port, frames, packets, Stages::default());
        match common_port(&packets[..stages.finished]) {
            Some(port) if stages.finished == frames.len() => out.transmit_burst(port, frames),
            _ => self.finish_mixed(port, frames, (packets, stages), others, out),
        }
        *A::packets(&mut self.packets) = Some(all_packets);
    }

    /// The rest of a burst whose packets go several ways, or need more work.
    #[inline(never)]
    fn finish_mixed<A: Family>(
        &mut self,
        port: PortId,
        frames: &mut ArrayVec<F, BURST>,
        (packets, mut stages): (&mut [Packet<A>], Stages),
        others: &mut ArrayVec<F, BURST>,
        out: &mut impl Outlet<F>,
    ) {
        let mut frames = std::mem::take(frames).into_iter();
        let mut sent = 0;
        loop {
            self.send_on(port, &mut frames, &packets[sent..stages.finished], others, out);
            while let (Some(packet), Some(frame)) = (packets.get_mut(stages.finished), frames.next()) {
                self.finish_uncommon(port, frame, packet, out);
                stages.finished += 1;
                let is_known = |packet: &Packet<A>| packet.exit != Exit::OPEN || packet.guess.is_some();
                if stages.finished == stages.due || packets.get(stages.finished).is_none_or(is_known) {
                    break;
                }
            }
            if stages.finished == packets.len() {
                return;
            }
            sent = stages.finished;
            stages = self.advance(port, frames.as_mut_slice(), packets, stages);
        }
    }

    /// Advances packets through the stages up to the first that is not finished by the [common path](super::established).
    /// `frames` are those of the packets that are not finished yet.
    // a function of its own: what its loops hold in registers the rest of a packet's life would push out
    #[inline(never)]
    fn advance<A: Family>(
        &mut self,
        port: PortId,
        frames: &mut [F],
        packets: &mut [Packet<A>],
        mut stages: Stages,
    ) -> Stages {
        let (ours, epoch, first) = (self.network.start_of_ours(port), self.network.path_epoch(), stages.finished);
        loop {
            if stages.finished == stages.due {
                let steps = |n: usize| (stages.finished + n * self.step).min(packets.len());
                let (to_parse, to_guess, to_finish) = (steps(3), steps(2), steps(1));
                let waiting = &mut frames[stages.parsed - first..to_parse - first];
                self.parse_step(port, ours, waiting, &mut packets[stages.parsed..to_parse]);
                self.guess_step(port, &mut packets[stages.guessed..to_guess]);
                (stages.parsed, stages.guessed, stages.due) = (to_parse, to_guess, to_finish);
            }
            let waiting = &mut frames[stages.finished - first..stages.due - first];
            stages.finished += self.pass_step(epoch, waiting, &mut packets[stages.finished..stages.due]);
            if stages.finished < stages.due || stages.finished == packets.len() {
                return stages;
            }
        }
    }

    /// First stage: what each packet is; the index's buckets are on their way.
    #[inline(always)]
    fn parse_step<A: Family>(&self, port: PortId, ours: u64, frames: &mut [F], packets: &mut [Packet<A>]) {
        for (frame, packet) in frames.iter_mut().zip(packets) {
            packet.exit = Exit::OPEN;
            if !self.look::<A>(ours, frame, packet) {
                std::hint::cold_path();
                (packet.plain, packet.port) = (Facts::default(), port);
                packet.refused = self.parse(frame, packet).err();
            }
        }
    }

    /// Whether the frame [is ours](super::network::NetworkState::start_of_ours) and has a plain packet of this family, and
    /// what there is to know of it; its bucket is on its way.
    #[inline(always)]
    fn look<A: Family>(&self, ours: u64, frame: &mut F, packet: &mut Packet<A>) -> bool {
        let head = frame.head();
        let Some(plain) = A::plain(head) else { return false };
        if head.first_chunk().is_none_or(|&start| u64::from_le_bytes(start) << 16 != ours) {
            return false;
        }
        let Plain { from: source, to: destination, ports, protocol, facts } = plain;
        let (len, frame_len) = (frame.len(), facts.frame_len());
        if len != frame_len {
            std::hint::cold_path();
            if len < frame_len {
                return false;
            }
            frame.truncate(frame_len);
        }
        let key = Key { source, destination, ports, kind: protocol.into() };
        let connections = self.connections.table::<A>();
        let hash = connections.hash(&key);
        connections.prefetch(hash);
        (packet.key, packet.hash, packet.plain) = (key, hash, facts);
        true
    }

    #[cold]
    fn parse<A: Family>(&self, frame: &mut F, packet: &mut Packet<A>) -> Result<(), DropReason> {
        if !A::IS_V6 && frame.head().get(12..14) == Some(&ethertype::IPV6.to_be_bytes()) {
            // its own turn comes
            packet.exit = Exit::FAMILY;
            return Ok(());
        }
        match parse_into(frame.head(), frame.len(), &mut packet.parsed) {
            Ok(()) => {}
            Err(Malformed::Truncated) => parse_again(frame, &mut packet.parsed)?,
            Err(malformed) => return Err(malformed.into()),
        }
        let interface = self.network.interface_of(packet.port, packet.parsed.vlan);
        let mac = interface.ok_or(DropReason::UnknownVlan)?.mac;
        let to = &frame.head()[..6];
        packet.to_group = to[0] & 1 != 0;
        if to != mac && !packet.to_group {
            return Err(DropReason::NotOurMac);
        }
        if packet.parsed.kind != A::KIND {
            // looked up like all others, whatever was here before
            return Ok(());
        }
        if frame.len() > packet.parsed.frame_len() {
            frame.truncate(packet.parsed.frame_len());
        }
        self.prepare(frame, packet);
        self.connections.table::<A>().prefetch(packet.hash);
        if is_plain::<A>(frame.head(), &packet.parsed) && !packet.to_group {
            packet.plain = Facts::of(&packet.parsed);
        }
        Ok(())
    }

    /// Second stage: the connections that they most likely belong to are on their way; and, with several workers, whose those
    /// are that belong to none here.
    #[inline(always)]
    fn guess_step<A: Family>(&self, port: PortId, packets: &mut [Packet<A>]) {
        let connections = self.connections.table::<A>();
        for packet in packets.iter_mut() {
            packet.guess = connections.guess(packet.hash);
        }
        if self.is_shared {
            self.home_step(port, packets);
        }
    }

    /// Frames go the way that their packets say.
    #[inline(always)]
    fn send_on<A>(
        &mut self,
        from: PortId,
        frames: &mut impl Iterator<Item = F>,
        packets: &[Packet<A>],
        others: &mut ArrayVec<F, BURST>,
        out: &mut impl Outlet<F>,
    ) {
        // packets first: zip would take a frame too many otherwise
        for (packet, frame) in packets.iter().zip(frames) {
            match packet.exit.way() {
                Way::Port(port) => out.transmit(port, frame),
                Way::Worker(home) => self.peers.send_frame(home, frame, from, &self.counters),
                Way::Family => others.push(frame),
                Way::Open => self.counters.dropped(DropReason::Internal),
            }
        }
    }

    /// The rest of a packet's life, in which it may be anything.
    #[inline(always)]
    fn finish_uncommon<A: Family>(&mut self, port: PortId, frame: F, packet: &mut Packet<A>, out: &mut impl Outlet<F>) {
        packet.port = port;
        if packet.guess.is_some() {
            // with a guess nobody has asked
            packet.home = None;
            if packet.plain.is_plain() {
                self.renew_paths(packet);
            }
        }
        packet.know();
        let verdict = match packet.refused {
            None => self.finish(frame, packet, out),
            Some(reason) => Err(reason),
        };
        if let Err(reason) = verdict {
            self.counters.dropped(reason);
        }
    }
}

/// Whether the transport header, which the head has whole, follows a fixed IP header at once.
#[inline(always)]
fn is_plain<A: Ip>(head: &[u8], parsed: &Parsed) -> bool {
    let l4 = usize::from(parsed.l4);
    let len = match parsed.protocol {
        TCP => TcpHeader::LEN,
        UDP => UdpHeader::LEN,
        _ => return false,
    };
    let end = (l4 + len).min(parsed.frame_len());
    !parsed.fragment & (l4 == usize::from(parsed.l3) + A::Header::LEN) & (l4 + len <= end) & (end <= head.len())
}

/// The port that all of these packets leave by, if it is one.
#[inline(always)]
fn common_port<A>(packets: &[Packet<A>]) -> Option<PortId> {
    let exit = packets.first()?.exit;
    // all are looked at: that is quicker than to ask after each
    let are_same = packets.iter().fold(true, |are_same, packet| are_same & (packet.exit == exit));
    match exit.way() {
        Way::Port(port) if are_same => Some(port),
        _ => None,
    }
}

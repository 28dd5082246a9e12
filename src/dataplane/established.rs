//! The common path: packets of connections that are known, which neither begin nor end anything.
//!
//! [`Common`] is what they need of the director, taken apart once for a run of them. It decides before it changes
//! anything whether a packet is one of them; every other stays as it is, for the stages that know all cases
//! ([`super::forward`]), and what both do to a packet is the same.

use super::destinations::{DestState, Hop};
use super::director::{Director, Packet};
use super::family::Family;
use super::forward::{End, Tunnels, rewrite_plain};
use super::frame::Frame;
use super::network::NetworkState;
use super::outlet::Outlet;
use super::packet::Exit;
use super::path::{Path, TAGGED_LEN, UNTAGGED_LEN};
use super::tcp::{self, Side};
use crate::model::limits::BURST;
use crate::model::state::TcpState;
use crate::model::{DestCounters, DestId, Protocol, Tick, TimeoutSets, TimeoutsId};
use crate::tables::connections::{Conn, ConnId, Direction, Entries, flags};
use crate::wire::Header;
use crate::wire::ip::IpHeader;
use std::sync::Arc;

/// Other workers' packets are among these everywhere when they are more than one in so many.
const SCATTERED: usize = 8;

/// What makes a connection's packets go another way.
const UNCOMMON: u16 = flags::PARTICULAR | flags::LOCAL | flags::TEMPLATE | flags::ONE_PACKET | flags::UNBOUND;

/// The bits that say how its packets are forwarded; none of them is direct routing.
const METHODS: u16 = flags::NAT | flags::TUN;

const TCP: u8 = Protocol::Tcp.number();

/// The states that a mere acknowledgement keeps, one bit each, by `secure_tcp` and [`Side`].
static KEPT: [[u16; 3]; 2] = {
    const fn of(secure: bool) -> [u16; 3] {
        let [input, output, input_only] = [Side::Input, Side::Output, Side::InputOnly];
        assert!(input as usize == 0 && output as usize == 1 && input_only as usize == 2);
        [tcp::kept_by_ack(secure, input), tcp::kept_by_ack(secure, output), tcp::kept_by_ack(secure, input_only)]
    }
    [of(false), of(true)]
};

/// The state of nearly all connections: a mere acknowledgement keeps it, whoever sends it and whichever table applies.
const ESTABLISHED: u8 = TcpState::Established as u8;
const _: () = {
    let [[a, b, c], [d, e, f]] = KEPT;
    assert!(a & b & c & d & e & f & 1 << ESTABLISHED != 0);
};

/// The parts of a director that packets of known connections meet.
struct Common<'a, A: Family, F> {
    entries: Entries<'a, A>,
    onward: Onward<'a, F>,
}

/// Those that a packet meets once its connection is found.
struct Onward<'a, F> {
    timers: Timers<'a>,
    now: Tick,
    ways: Ways<'a, F>,
}

/// What the forwarding methods need.
struct Ways<'a, F> {
    paths: &'a [Path],
    counters: &'a [DestCounters],
    epoch: u32,
    states: &'a [DestState],
    network: &'a NetworkState<F>,
    tunnels: Tunnels<'a>,
}

/// Where a connection leads to.
#[derive(Clone, Copy)]
struct ToDest<'a> {
    path: &'a Path,
    counters: &'a DestCounters,
}

/// How long connections last.
struct Timers<'a> {
    timeouts: &'a Arc<TimeoutSets>,
    secure_tcp: bool,
}

impl<F: Frame> Director<F> {
    /// Makes packets of known connections, one after the other, ready to be sent on, and says which way each goes, up to the first
    /// that is another and that nobody has [said](Exit) a way of. How many there are before it.
    #[inline(always)]
    pub(super) fn pass_step<A: Family>(&mut self, epoch: u32, frames: &mut [F], packets: &mut [Packet<A>]) -> usize {
        #[cfg(test)]
        if self.without_common_path {
            return packets.iter().take_while(|packet| packet.exit != Exit::OPEN).count();
        }
        if self.is_shared {
            let elsewhere = packets.iter().filter(|packet| packet.exit != Exit::OPEN).count();
            if elsewhere > packets.len() / SCATTERED {
                return self.pass_scattered(epoch, frames, packets);
            }
        }
        let mut passed = 0;
        while let (Some(frames), Some(rest)) = (frames.get_mut(passed..), packets.get_mut(passed..)) {
            // packets like the first have a loop to themselves, which is as short as it can be
            let Some(first) = rest.first() else { break };
            let alike = match self.connections.table::<A>().flags_of(first.guess) & METHODS {
                0 => self.pass_alike::<A, 0>(epoch, frames, rest),
                flags::NAT => self.pass_nat(epoch, frames, rest),
                flags::TUN => self.pass_tun(epoch, frames, rest),
                _ => 0,
            };
            passed += alike;
            if alike == rest.len() {
                break;
            }
            let (mixed, again) = self.pass_mixed(epoch, &mut frames[alike..], &mut rest[alike..]);
            passed += mixed;
            if !again {
                break;
            }
        }
        passed
    }

    /// The same where other workers' packets are among them everywhere: which ones are left is written down first, without branches,
    /// as nobody foresees which.
    #[inline(never)]
    fn pass_scattered<A: Family>(&mut self, epoch: u32, frames: &mut [F], packets: &mut [Packet<A>]) -> usize {
        let mut common = self.common(epoch);
        let (mut ours, mut count) = ([0_u8; BURST], 0_usize);
        for (i, packet) in packets.iter().enumerate() {
            ours[count % BURST] = i as u8;
            count += usize::from(packet.exit == Exit::OPEN);
        }
        for &i in ours.iter().take(count) {
            let i = usize::from(i);
            let (Some(frame), Some(packet)) = (frames.get_mut(i), packets.get_mut(i)) else { return i };
            match common.pass(frame, packet) {
                Some(exit) => packet.exit = exit,
                None => return i,
            }
        }
        packets.len()
    }

    /// The same from a packet on that is not like those before it; and whether it is worth going on behind them.
    #[cold]
    fn pass_mixed<A: Family>(&mut self, epoch: u32, frames: &mut [F], packets: &mut [Packet<A>]) -> (usize, bool) {
        let Some(first) = packets.first_mut() else { return (0, false) };
        // what begins or ends something does not pass, nor what no connection here may have
        let is_event = first.key.kind == u32::from(TCP) && !tcp::is_mere_ack(first.plain.tcp_flags());
        if !first.plain.is_plain() || !first.guess.is_some() || is_event {
            return (0, false);
        }
        if self.improve_guess(first) {
            return (0, true);
        }
        let passed = self.pass_any(epoch, frames, packets);
        (passed, passed > 0)
    }

    /// Whether a packet's connection was guessed wrong, as a few in a hundred are in a full table, and now is not.
    fn improve_guess<A: Family>(&self, packet: &mut Packet<A>) -> bool {
        let Some(better) = self.connections.table::<A>().better_guess(packet.guess, &packet.key, packet.hash) else {
            return false;
        };
        packet.guess = better;
        true
    }

    #[inline(never)]
    fn pass_nat<A: Family>(&mut self, epoch: u32, frames: &mut [F], packets: &mut [Packet<A>]) -> usize {
        self.pass_alike::<A, { flags::NAT }>(epoch, frames, packets)
    }

    #[inline(never)]
    fn pass_tun<A: Family>(&mut self, epoch: u32, frames: &mut [F], packets: &mut [Packet<A>]) -> usize {
        self.pass_alike::<A, { flags::TUN }>(epoch, frames, packets)
    }

    /// Mere acknowledgements, without VLAN tags, to established TCP connections of one method.
    #[inline(always)]
    fn pass_alike<A: Family, const METHOD: u16>(
        &mut self,
        epoch: u32,
        frames: &mut [F],
        packets: &mut [Packet<A>],
    ) -> usize {
        let mut common = self.common(epoch);
        pass_run(frames, packets, |frame, packet| common.pass_alike::<METHOD>(frame, packet))
    }

    #[inline(never)]
    fn pass_any<A: Family>(&mut self, epoch: u32, frames: &mut [F], packets: &mut [Packet<A>]) -> usize {
        let mut common = self.common(epoch);
        pass_run(frames, packets, |frame, packet| common.pass(frame, packet))
    }

    #[inline(always)]
    fn common<A: Family>(&mut self, epoch: u32) -> Common<'_, A, F> {
        let (states, paths, counters) = self.destinations.parts();
        let onward = Onward {
            timers: Timers { timeouts: &self.timeouts, secure_tcp: self.secure_tcp },
            now: self.tick,
            ways: Ways {
                paths,
                counters,
                epoch,
                states,
                network: &self.network,
                tunnels: Tunnels { pmtu_disc: self.pmtu_disc, ip_id: &mut self.ip_id },
            },
        };
        Common { entries: self.connections.table_mut::<A>().entries(), onward }
    }

    /// Sends on the packet that has just begun a connection, in the state that it begins with, as those that will follow
    /// it; or gives it back as it was.
    #[inline(always)]
    pub(super) fn pass_first<A: Family>(
        &mut self,
        mut frame: F,
        packet: &Packet<A>,
        id: ConnId,
        out: &mut impl Outlet<F>,
    ) -> Result<(), F> {
        let conn = self.connections.table_mut::<A>().get_mut(id);
        if !packet.plain.is_plain() || conn.has(UNCOMMON) {
            return Err(frame);
        }
        #[cfg(test)]
        if self.without_common_path {
            return Err(frame);
        }
        let (dest, epoch) = (conn.dest, self.network.path_epoch());
        if !self.destinations.has_path(dest, epoch) {
            self.renew_path_of::<A>(dest);
        }
        let conn = self.connections.table_mut::<A>().get_mut(id);
        let (states, paths, counters) = self.destinations.parts();
        let tunnels = Tunnels { pmtu_disc: self.pmtu_disc, ip_id: &mut self.ip_id };
        let mut ways = Ways { paths, counters, epoch, states, network: &self.network, tunnels };
        let Some(way) = ways.to(dest, |path| path.is_of(epoch)) else { return Err(frame) };
        // paths lead to ports
        match ways.go(conn.flags & METHODS, &mut frame, packet, (conn, Direction::In), way).and_then(Exit::port) {
            Some(port) => out.transmit(port, frame),
            None => return Err(frame),
        }
        Ok(())
    }

    /// Where the packet's connection leads to is not known, or no longer: it will be for the packets behind it.
    #[cold]
    pub(super) fn renew_paths<A: Family>(&mut self, packet: &Packet<A>) {
        let mut entries = self.connections.table_mut::<A>().entries();
        let Some((conn, direction)) = entries.guessed(packet.guess, &packet.key) else { return };
        if !conn.is_of(&packet.key, UNCOMMON) {
            return;
        }
        let (dest, epoch) = (conn.dest, self.network.path_epoch());
        if !self.destinations.has_path(dest, epoch) {
            self.renew_path_of::<A>(dest);
        }
        if direction == Direction::Out && self.network.path_by_route(packet.key.destination, epoch).is_none() {
            self.renew_path_by_route(packet.key.destination);
        }
    }

    fn renew_path_of<A: Family>(&mut self, id: DestId) {
        if self.destinations.get(id).is_some_and(|dest| dest.keeps)
            && let Ok(hop) = self.way_of::<A>(id)
            && let Some(path) = self.network.path_to(hop)
        {
            self.destinations.set_path(id, path, &self.timeouts);
        }
    }

    fn renew_path_by_route<A: Family>(&mut self, destination: A) {
        if let Ok(neighbour) = self.network.next_hop(destination, self.now) {
            let hop = Hop { neighbour, mtu: self.network.mtu_of(neighbour) };
            self.network.renew_path_by_route(destination, hop);
        }
    }
}

impl<A: Family, F: Frame> Common<'_, A, F> {
    /// One packet, and the way that it leaves by; `None`, and nothing changed, when there is more to it.
    #[inline(always)]
    fn pass(&mut self, frame: &mut F, packet: &Packet<A>) -> Option<Exit> {
        // what is not plain may have a key by which it finds the entry that is none
        if !packet.plain.is_plain() {
            return uncommon();
        }
        let (conn, direction) = self.entries.guessed(packet.guess, &packet.key)?;
        if !conn.is_of(&packet.key, UNCOMMON) {
            return uncommon();
        }
        let Onward { timers, ways, now, .. } = &mut self.onward;
        let way = ways.way(conn, *now)?;
        let timeout = timers.timeout(packet, conn, way.path, direction)?;
        let exit = ways.go(conn.flags & METHODS, frame, packet, (conn, direction), way)?;
        if conn.restart(timeout, *now) {
            self.entries.refile(packet.guess);
        }
        Some(exit)
    }

    /// The same for packets that are [all alike](Director::pass_alike).
    #[inline(always)]
    fn pass_alike<const METHOD: u16>(&mut self, frame: &mut F, packet: &Packet<A>) -> Option<Exit> {
        let (conn, direction) = if METHOD == flags::NAT {
            self.entries.guessed(packet.guess, &packet.key)?
        } else {
            (self.entries.guessed_in(packet.guess, &packet.key)?, Direction::In)
        };
        // only a TCP packet has flags
        let is_alike = packet.plain.is_untagged_with(tcp::DECISIVE, tcp::ACK)
            && conn.is_as([TCP, ESTABLISHED], UNCOMMON | METHODS, METHOD);
        if !is_alike {
            return uncommon();
        }
        let Onward { ways, now, .. } = &mut self.onward;
        let way = ways.way_untagged(conn, *now)?;
        let exit = ways.go(METHOD, frame, packet, (conn, direction), way)?;
        if conn.restart(way.path.established, *now) {
            self.entries.refile(packet.guess);
        }
        Some(exit)
    }
}

/// Packets up to the first that `pass` does not, and that nobody has said a way of.
#[inline(always)]
fn pass_run<A: Family, F: Frame>(
    frames: &mut [F],
    packets: &mut [Packet<A>],
    mut pass: impl FnMut(&mut F, &Packet<A>) -> Option<Exit>,
) -> usize {
    let mut passed = 0;
    for (frame, packet) in frames.iter_mut().zip(packets) {
        if let Some(exit) = pass(frame, packet) {
            packet.exit = exit;
        } else if packet.exit == Exit::OPEN {
            break;
        }
        passed += 1;
    }
    passed
}

/// A client's packet.
#[inline(always)]
fn count_in<A: Family>(packet: &Packet<A>, conn: &mut Conn<A>, counters: &DestCounters) {
    conn.in_packets = conn.in_packets.wrapping_add(1);
    counters.in_packets.add(1);
    counters.in_bytes.add(packet.plain.ip_len().into());
}

impl<'a, F: Frame> Ways<'a, F> {
    /// To a destination, if its path is as wanted.
    #[inline(always)]
    fn to(&self, dest: DestId, is_wanted: impl FnOnce(&Path) -> bool) -> Option<ToDest<'a>> {
        let path = self.paths.get(dest.index())?;
        let counters = self.counters.get(dest.index())?;
        if is_wanted(path) { Some(ToDest { path, counters }) } else { uncommon() }
    }

    /// Where a connection leads to whose time is not up, if its path holds.
    #[inline(always)]
    fn way<A: Family>(&self, conn: &Conn<A>, now: Tick) -> Option<ToDest<'a>> {
        if now.is_before(conn.timer.deadline) { self.to(conn.dest, |path| path.is_of(self.epoch)) } else { uncommon() }
    }

    /// The same, if frames leave without a VLAN tag.
    #[inline(always)]
    fn way_untagged<A: Family>(&self, conn: &Conn<A>, now: Tick) -> Option<ToDest<'a>> {
        if !now.is_before(conn.timer.deadline) {
            return uncommon();
        }
        self.to(conn.dest, |path| path.is_untagged_of(self.epoch))
    }

    /// Sends a packet of the connection on by its `method`, and says which way it leaves. `None`, and nothing changed,
    /// when there is more to it.
    #[inline(always)]
    fn go<A: Family>(
        &mut self,
        method: u16,
        frame: &mut F,
        packet: &Packet<A>,
        (conn, direction): (&mut Conn<A>, Direction),
        way: ToDest<'a>,
    ) -> Option<Exit> {
        match direction {
            Direction::In => {
                if !self.go_in(method, frame, packet, conn, way.path) {
                    return None;
                }
                count_in(packet, conn, way.counters);
                Some(way.path.exit)
            }
            Direction::Out => {
                let path = self.network.path_by_route(packet.key.destination, self.epoch)?;
                if !nat_out(frame, packet, conn, path) {
                    return None;
                }
                way.counters.out_packets.add(1);
                way.counters.out_bytes.add(packet.plain.ip_len().into());
                Some(path.exit)
            }
        }
    }

    /// A client's packet. False, and nothing changed, when there is more to it.
    #[inline(always)]
    fn go_in<A: Family>(
        &mut self,
        method: u16,
        frame: &mut F,
        packet: &Packet<A>,
        conn: &Conn<A>,
        path: &Path,
    ) -> bool {
        match method {
            0 => dr(frame, packet, path),
            flags::NAT => nat_in(frame, packet, conn, path),
            _ => {
                let Some(DestState { outer, .. }) = self.states.get(conn.dest.index()) else { return false };
                packet.plain.ip_len() <= outer.mtu && self.tunnels.wrap_plain(frame, packet, outer, path)
            }
        }
    }
}

/// Most packets are not: the compiler is told which way to make short.
#[inline(always)]
fn uncommon<T>() -> Option<T> {
    std::hint::cold_path();
    None
}

impl Timers<'_> {
    /// How long the connection lasts from this packet on; `None` when there is more to do about it than to go on.
    #[inline(always)]
    fn timeout<A: Family>(&self, packet: &Packet<A>, conn: &Conn<A>, path: &Path, direction: Direction) -> Option<u32> {
        if conn.protocol != TCP {
            // what a server says makes its client's template last, if there is one
            let is_all = direction == Direction::In || conn.control == 0;
            return is_all.then(|| self.timeouts.get(path.timeouts).udp);
        }
        if !tcp::is_mere_ack(packet.plain.tcp_flags()) {
            std::hint::cold_path();
            return None;
        }
        if conn.state == ESTABLISHED {
            return Some(path.established);
        }
        std::hint::cold_path();
        let side = match direction {
            Direction::Out => Side::Output,
            Direction::In if conn.has(flags::NO_OUTPUT) => Side::InputOnly,
            Direction::In => Side::Input,
        };
        timeout_of_other(self.timeouts, path.timeouts, KEPT[usize::from(self.secure_tcp)][side as usize], conn.state)
    }
}

/// Of a TCP connection that is not established; `kept` are the states that the packet keeps.
#[inline(never)]
fn timeout_of_other(sets: &TimeoutSets, id: TimeoutsId, kept: u16, state: u8) -> Option<u32> {
    let is_kept = kept.checked_shr(state.into()).unwrap_or(0) & 1 != 0;
    if is_kept { sets.get(id).tcp.get(usize::from(state)).copied() } else { None }
}

/// Rewrites the IP packet with `rewrite`, and the link header in front of it by the path, if the packet has hops left and
/// goes by the path as it is. False, and nothing changed, otherwise, or when `rewrite` says so.
#[inline(always)]
fn send_by<F: Frame, A: Family>(
    frame: &mut F,
    packet: &Packet<A>,
    path: &Path,
    rewrite: impl FnOnce(&mut [u8]) -> bool,
) -> bool {
    let (ip_len, l3) = (packet.plain.ip_len(), packet.plain.l3());
    if ip_len > path.mtu {
        std::hint::cold_path();
        return false;
    }
    if !path.has_link_len(l3) {
        std::hint::cold_path();
        return false;
    }
    if usize::from(l3) == UNTAGGED_LEN {
        write_behind::<A, UNTAGGED_LEN>(frame.head_mut(), path, rewrite)
    } else {
        std::hint::cold_path();
        write_behind::<A, TAGGED_LEN>(frame.head_mut(), path, rewrite)
    }
}

/// With a link header of this length, which the compiler knows.
#[inline(always)]
fn write_behind<A: Family, const L3: usize>(
    head: &mut [u8],
    path: &Path,
    rewrite: impl FnOnce(&mut [u8]) -> bool,
) -> bool {
    if head.len() < L3 + A::Header::LEN {
        std::hint::cold_path();
        return false;
    }
    let Some((link, ip)) = head.split_first_chunk_mut::<L3>() else { return false };
    let is_done = A::Header::of(ip).is_some_and(|ip| ip.hops() > 1) && rewrite(ip);
    if is_done {
        path.write(link);
    }
    is_done
}

#[inline(always)]
fn take_hop<A: Family>(ip: &mut [u8]) -> bool {
    let Some(ip) = A::Header::of_mut(ip) else { return false };
    ip.take_hop();
    true
}

/// Each of these does what its method does to a packet. False, and nothing changed, when there is more to it.
#[inline(always)]
fn dr<F: Frame, A: Family>(frame: &mut F, packet: &Packet<A>, path: &Path) -> bool {
    send_by(frame, packet, path, take_hop::<A>)
}

#[inline(always)]
fn nat_in<F: Frame, A: Family>(frame: &mut F, packet: &Packet<A>, conn: &Conn<A>, path: &Path) -> bool {
    let (protocol, server) = (packet.key.kind as u8, conn.server);
    send_by(frame, packet, path, |ip| rewrite_plain(ip, protocol, End::Destination, server, conn.server_port))
}

#[inline(always)]
fn nat_out<F: Frame, A: Family>(frame: &mut F, packet: &Packet<A>, conn: &Conn<A>, path: &Path) -> bool {
    let (protocol, virt) = (packet.key.kind as u8, conn.virt);
    send_by(frame, packet, path, |ip| rewrite_plain(ip, protocol, End::Source, virt, conn.virtual_port))
}

//! The common path: packets of connections that are known, which neither begin nor end anything.
//!
//! [`Common`] is what they need of the director, taken apart once for a run of them. It decides before it changes
//! anything whether a packet is one of them; every other is given back untouched, for the stages that know all cases
//! ([`super::forward`]), and what both do to a packet is the same.

use super::destinations::{DestState, Hop};
use super::director::{Director, Packet};
use super::family::Family;
use super::forward::{End, rewrite_plain, wrap_plain};
use super::frame::Frame;
use super::network::NetworkState;
use super::outlet::Outlet;
use super::path::{Path, TAGGED_LEN, UNTAGGED_LEN};
use super::steer::home::Others;
use super::tcp::{self, Side};
use crate::model::state::TcpState;
use crate::model::{DestCounters, DestId, Protocol, Tick, TimeoutSets, TimeoutsId};
use crate::tables::connections::{Conn, ConnId, Direction, Entries, flags};
use crate::wire::Header;
use crate::wire::ip::IpHeader;
use crate::wire::parse::Facts;

/// What makes a connection's packets go another way.
const UNCOMMON: u16 = flags::PARTICULAR | flags::LOCAL | flags::TEMPLATE | flags::ONE_PACKET | flags::UNBOUND;

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
    paths: &'a [Path],
    counters: &'a [DestCounters],
    timers: Timers<'a>,
    epoch: u32,
    now: Tick,
    ways: Ways<'a, F>,
}

/// What the forwarding methods need besides.
struct Ways<'a, F> {
    states: &'a [DestState],
    network: &'a NetworkState<F>,
    tunnels: Tunnels<'a>,
}

/// How long connections last.
struct Timers<'a> {
    timeouts: &'a TimeoutSets,
    secure_tcp: bool,
}

/// What tunnels need besides their destination.
struct Tunnels<'a> {
    pmtu_disc: bool,
    ip_id: &'a mut u64,
}

impl<F: Frame> Director<F> {
    /// Sends on packets of known connections, and those that are other workers', one after the other, up to the first that
    /// is another: that is given back.
    #[inline(always)]
    pub(super) fn pass<'p, A: Family>(
        &mut self,
        rest: &mut impl Iterator<Item = (F, &'p mut Packet<A>)>,
        out: &mut impl Outlet<F>,
    ) -> Option<(F, &'p mut Packet<A>)> {
        let epoch = self.network.path_epoch();
        let (states, paths, counters) = self.destinations.parts();
        let mut common = Common {
            entries: self.connections.table_mut::<A>().entries(),
            paths,
            counters,
            timers: Timers { timeouts: &self.timeouts, secure_tcp: self.secure_tcp },
            epoch,
            now: self.tick,
            ways: Ways {
                states,
                network: &self.network,
                tunnels: Tunnels { pmtu_disc: self.pmtu_disc, ip_id: &mut self.ip_id },
            },
        };
        #[cfg(test)]
        if self.without_common_path {
            return rest.next();
        }
        let mut others = Others { me: self.worker, peers: &mut self.peers, counters: &self.counters };
        for (frame, packet) in rest {
            let Err(frame) = common.pass(frame, packet, out) else { continue };
            let Err(frame) = others.send(frame, packet) else { continue };
            return Some((frame, packet));
        }
        None
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
        let (Some(path), Some(counters)) = (paths.get(dest.index()), counters.get(dest.index())) else {
            return Err(frame);
        };
        let tunnels = Tunnels { pmtu_disc: self.pmtu_disc, ip_id: &mut self.ip_id };
        let mut ways = Ways { states, network: &self.network, tunnels };
        if !path.is_of(epoch) || !ways.go_in(&mut frame, packet, conn, (path, counters)) {
            return Err(frame);
        }
        out.transmit(path.port, frame);
        Ok(())
    }

    /// Where the packet's connection leads to is not known, or no longer: it will be for the packets behind it.
    #[cold]
    pub(super) fn renew_paths<A: Family>(&mut self, packet: &Packet<A>) {
        let mut entries = self.connections.table_mut::<A>().entries();
        let Some((conn, direction)) = entries.confirm(packet.guess, &packet.key, UNCOMMON) else { return };
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
    /// One packet: sent on, or given back as it was.
    #[inline(always)]
    fn pass(&mut self, mut frame: F, packet: &Packet<A>, out: &mut impl Outlet<F>) -> Result<(), F> {
        // whose connection is elsewhere is known at once: every other packet's may be
        if !packet.plain.is_plain() || !packet.guess.is_some() {
            return uncommon(frame);
        }
        let found = self.entries.confirm(packet.guess, &packet.key, UNCOMMON);
        let Some((conn, direction)) = found else { return uncommon(frame) };
        let dest = conn.dest.index();
        let (Some(path), Some(counters)) = (self.paths.get(dest), self.counters.get(dest)) else {
            return uncommon(frame);
        };
        if !path.is_of(self.epoch) || !self.now.is_before(conn.timer.deadline) {
            return uncommon(frame);
        }
        let Some(timeout) = self.timers.timeout(packet, conn, path, direction) else { return uncommon(frame) };
        let way = match direction {
            Direction::In => self.ways.go_in(&mut frame, packet, conn, (path, counters)).then_some(path),
            Direction::Out => self.ways.go_out(&mut frame, packet, conn, (path, counters)),
        };
        let Some(port) = way.map(|way| way.port) else { return uncommon(frame) };
        conn.timeout = timeout;
        if conn.timer.set(self.now.plus(timeout)) {
            self.entries.refile(packet.guess);
        }
        out.transmit(port, frame);
        Ok(())
    }
}

impl<F: Frame> Ways<'_, F> {
    /// A client's packet as its connection's method sends it on. False, and nothing changed, when there is more to it.
    #[inline(always)]
    fn go_in<A: Family>(
        &mut self,
        frame: &mut F,
        packet: &Packet<A>,
        conn: &mut Conn<A>,
        (path, counters): (&Path, &DestCounters),
    ) -> bool {
        let is_done = if !conn.has(flags::NAT | flags::TUN) {
            dr(frame, packet, path)
        } else if conn.has(flags::NAT) {
            nat_in(frame, packet, conn, path)
        } else {
            self.tunnels.tun(frame, packet, path, self.states.get(conn.dest.index()))
        };
        if is_done {
            conn.in_packets = conn.in_packets.wrapping_add(1);
            counters.in_packets.add(1);
            counters.in_bytes.add(packet.plain.ip_len.into());
        }
        is_done
    }

    /// A server's packet, and the path that it goes by; `path` is its destination's. `None`, and nothing changed, when there is
    /// more to it.
    #[inline(always)]
    fn go_out<A: Family>(
        &self,
        frame: &mut F,
        packet: &Packet<A>,
        conn: &Conn<A>,
        (path, counters): (&Path, &DestCounters),
    ) -> Option<&Path> {
        let way = self.network.path_by_route(packet.key.destination, path.epoch())?;
        if !nat_out(frame, packet, conn, way) {
            return None;
        }
        counters.out_packets.add(1);
        counters.out_bytes.add(packet.plain.ip_len.into());
        Some(way)
    }
}

/// Most packets are not: the compiler is told which way to make short.
#[inline(always)]
fn uncommon<T, F>(frame: F) -> Result<T, F> {
    std::hint::cold_path();
    Err(frame)
}

impl Timers<'_> {
    /// How long the connection lasts from this packet on; `None` when there is more to do about it than to go on.
    #[inline(always)]
    fn timeout<A: Family>(&self, packet: &Packet<A>, conn: &Conn<A>, path: &Path, direction: Direction) -> Option<u32> {
        if packet.key.kind != u32::from(Protocol::Tcp.number()) {
            // what a server says makes its client's template last, if there is one
            let is_all = direction == Direction::In || conn.control == 0;
            return is_all.then(|| self.timeouts.get(path.timeouts).udp);
        }
        if !tcp::is_mere_ack(packet.plain.tcp_flags) {
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
    let Facts { ip_len, l3, .. } = packet.plain;
    if ip_len > path.mtu || !path.has_link_len(l3) {
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

/// Each of these does what its method does to a packet. False, and nothing changed, when there is more to it.
#[inline(always)]
fn dr<F: Frame, A: Family>(frame: &mut F, packet: &Packet<A>, path: &Path) -> bool {
    send_by(frame, packet, path, |ip| {
        let Some(ip) = A::Header::of_mut(ip) else { return false };
        ip.take_hop();
        true
    })
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

impl Tunnels<'_> {
    #[inline(always)]
    fn tun<F: Frame, A: Family>(
        &mut self,
        frame: &mut F,
        packet: &Packet<A>,
        path: &Path,
        dest: Option<&DestState>,
    ) -> bool {
        let Some(dest) = dest else { return false };
        if packet.plain.ip_len > dest.outer.mtu || !wrap_plain(frame, packet, &dest.outer, self.pmtu_disc, self.ip_id) {
            return false;
        }
        if let Some(mac) = frame.head_mut().first_chunk_mut() {
            *mac = path.mac();
        }
        true
    }
}

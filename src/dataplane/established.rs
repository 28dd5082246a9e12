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
use super::path::Path;
use super::steer::home::Others;
use super::tcp::{self, Side};
use crate::model::{DestCounters, DestId, Protocol, Tick, TimeoutSets};
use crate::tables::connections::{Conn, ConnId, Connections, Direction, flags};
use crate::wire::Header;
use crate::wire::ip::IpHeader;

/// What makes a connection's packets go another way.
const UNCOMMON: u16 = flags::PARTICULAR | flags::LOCAL | flags::TEMPLATE | flags::ONE_PACKET | flags::UNBOUND;

/// The states that an acknowledgement keeps, 16 bits a [`Side`], by `secure_tcp`.
static KEPT: [u64; 2] = {
    const fn of(secure: bool) -> u64 {
        let [input, output, input_only] = [Side::Input, Side::Output, Side::InputOnly];
        (tcp::kept_by_ack(secure, input) as u64) << (16 * input as u64)
            | (tcp::kept_by_ack(secure, output) as u64) << (16 * output as u64)
            | (tcp::kept_by_ack(secure, input_only) as u64) << (16 * input_only as u64)
    }
    [of(false), of(true)]
};

/// The parts of a director that packets of known connections meet.
struct Common<'a, A: Family, F> {
    connections: &'a mut Connections<A>,
    states: &'a [DestState],
    paths: &'a [Path],
    counters: &'a [DestCounters],
    network: &'a NetworkState<F>,
    timers: Timers<'a>,
    tunnels: Tunnels<'a>,
    epoch: u64,
    now: Tick,
}

/// How long connections last.
struct Timers<'a> {
    timeouts: &'a TimeoutSets,
    kept: u64,
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
        rest: &mut impl Iterator<Item = (F, &'p Packet<A>)>,
        out: &mut impl Outlet<F>,
    ) -> Option<(F, &'p Packet<A>)> {
        let epoch = self.network.path_epoch();
        let (states, paths, counters) = self.destinations.parts();
        let kept = KEPT[usize::from(self.secure_tcp)];
        let mut common = Common {
            connections: self.connections.table_mut::<A>(),
            states,
            paths,
            counters,
            network: &self.network,
            timers: Timers { timeouts: &self.timeouts, kept },
            tunnels: Tunnels { pmtu_disc: self.pmtu_disc, ip_id: &mut self.ip_id },
            epoch,
            now: self.tick,
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
        if !packet.plain || conn.has(UNCOMMON) {
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
        let parts = (paths.get(dest.index()), states.get(dest.index()), counters.get(dest.index()));
        let (Some(path), state, Some(counters)) = parts else { return Err(frame) };
        let mut tunnels = Tunnels { pmtu_disc: self.pmtu_disc, ip_id: &mut self.ip_id };
        if !path.is_of(epoch) || !go_in(&mut frame, packet, conn, (path, state, counters), &mut tunnels) {
            return Err(frame);
        }
        out.transmit(path.port, frame);
        Ok(())
    }

    /// Where the packet's connection leads to is not known, or no longer: it will be for the packets behind it.
    #[cold]
    pub(super) fn renew_paths<A: Family>(&mut self, packet: &Packet<A>) {
        let connections = self.connections.table_mut::<A>();
        let Some((conn, direction)) = connections.confirm_guess(packet.guess, &packet.key, UNCOMMON) else { return };
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
            self.destinations.set_path(id, path);
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
        if !packet.plain {
            return Err(frame);
        }
        let found = self.connections.confirm_guess(packet.guess, &packet.key, UNCOMMON);
        let Some((conn, direction)) = found else { return Err(frame) };
        let dest = conn.dest.index();
        let (Some(path), Some(counters)) = (self.paths.get(dest), self.counters.get(dest)) else { return Err(frame) };
        if !path.is_of(self.epoch) || !self.now.is_before(conn.timer.deadline) {
            return Err(frame);
        }
        let (timeout, port) = match direction {
            Direction::Out => {
                let timeout = self.timers.timeout(packet, conn, path, Side::Output);
                let Some(timeout) = timeout else { return Err(frame) };
                let way = self.network.path_by_route(packet.key.destination, self.epoch);
                let Some(way) = way.filter(|way| nat_out(&mut frame, packet, conn, way)) else { return Err(frame) };
                counters.out_packets.add(1);
                counters.out_bytes.add(packet.parsed.ip_len.into());
                (timeout, way.port)
            }
            Direction::In => {
                let side = if conn.has(flags::NO_OUTPUT) { Side::InputOnly } else { Side::Input };
                let Some(timeout) = self.timers.timeout(packet, conn, path, side) else { return Err(frame) };
                let dest = self.states.get(dest);
                if !go_in(&mut frame, packet, conn, (path, dest, counters), &mut self.tunnels) {
                    return Err(frame);
                }
                (timeout, path.port)
            }
        };
        conn.timeout = timeout;
        if conn.timer.set(self.now.plus(timeout)) {
            self.connections.refile_guess(packet.guess);
        }
        out.transmit(port, frame);
        Ok(())
    }
}

impl Timers<'_> {
    /// How long the connection lasts from this packet on; `None` when there is more to do about it than to go on.
    #[inline(always)]
    fn timeout<A: Family>(&self, packet: &Packet<A>, conn: &Conn<A>, path: &Path, side: Side) -> Option<u32> {
        let timeouts = self.timeouts.get(path.timeouts);
        if packet.parsed.protocol == Protocol::Tcp.number() {
            let timeout = *timeouts.tcp.get(usize::from(conn.state))?;
            let is_kept = self.kept >> (16 * side as u32 + u32::from(conn.state & 15)) & 1 != 0;
            (is_kept && tcp::is_mere_ack(packet.parsed.tcp_flags)).then_some(timeout)
        } else {
            // what a server says makes its client's template last, if there is one
            (side != Side::Output || conn.control == 0).then_some(timeouts.udp)
        }
    }
}

/// The IP header of a packet that has hops left and goes by the path as it is.
#[inline(always)]
fn header_to_send<'a, F: Frame, A: Family>(
    frame: &'a mut F,
    packet: &Packet<A>,
    path: &Path,
) -> Option<(&'a mut [u8], &'a mut [u8])> {
    let l3 = usize::from(packet.parsed.l3);
    if packet.parsed.ip_len > path.mtu || !path.has_link_len(l3) {
        return None;
    }
    let (link, ip) = frame.head_mut().split_at_mut_checked(l3)?;
    if A::Header::of(ip)?.hops() > 1 { Some((link, ip)) } else { None }
}

/// A client's packet as its connection's method sends it on. False, and nothing changed, when there is more to it.
#[inline(always)]
fn go_in<F: Frame, A: Family>(
    frame: &mut F,
    packet: &Packet<A>,
    conn: &mut Conn<A>,
    (path, dest, counters): (&Path, Option<&DestState>, &DestCounters),
    tunnels: &mut Tunnels<'_>,
) -> bool {
    let is_done = match conn.flags & (flags::NAT | flags::TUN) {
        0 => dr(frame, packet, path),
        flags::NAT => nat_in(frame, packet, conn, path),
        _ => tunnels.tun(frame, packet, path, dest),
    };
    if is_done {
        conn.in_packets = conn.in_packets.wrapping_add(1);
        counters.in_packets.add(1);
        counters.in_bytes.add(packet.parsed.ip_len.into());
    }
    is_done
}

/// Each of these does what its method does to a packet. False, and nothing changed, when there is more to it.
#[inline(always)]
fn dr<F: Frame, A: Family>(frame: &mut F, packet: &Packet<A>, path: &Path) -> bool {
    let Some((link, ip)) = header_to_send(frame, packet, path) else { return false };
    let Some(ip) = A::Header::of_mut(ip) else { return false };
    ip.take_hop();
    path.write(link);
    true
}

#[inline(always)]
fn nat_in<F: Frame, A: Family>(frame: &mut F, packet: &Packet<A>, conn: &Conn<A>, path: &Path) -> bool {
    let Some((link, ip)) = header_to_send(frame, packet, path) else { return false };
    let is_done = rewrite_plain(ip, packet.parsed.protocol, End::Destination, conn.server, conn.server_port);
    if is_done {
        path.write(link);
    }
    is_done
}

#[inline(always)]
fn nat_out<F: Frame, A: Family>(frame: &mut F, packet: &Packet<A>, conn: &Conn<A>, path: &Path) -> bool {
    let Some((link, ip)) = header_to_send(frame, packet, path) else { return false };
    let is_done = rewrite_plain(ip, packet.parsed.protocol, End::Source, conn.virt, conn.virtual_port);
    if is_done {
        path.write(link);
    }
    is_done
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
        if packet.parsed.ip_len > dest.outer.mtu || !wrap_plain(frame, packet, &dest.outer, self.pmtu_disc, self.ip_id)
        {
            return false;
        }
        if let Some(mac) = frame.head_mut().first_chunk_mut() {
            *mac = path.mac();
        }
        true
    }
}

//! Packets of connections: state, timers, counters, and what each forwarding method does to the packet.
//!
//! The order is the kernel's: from the client, state first and TTL and MTU when the packet leaves (ip_vs_in,
//! ip_vs_xmit.c); from the server, TTL and MTU first, as the packet is being routed (ip_forward), then state.

mod error;
mod nat;
mod tun;

pub(super) use error::is_intact;
pub(super) use nat::{End, rewrite_plain};
pub(super) use tun::Tunnels;

use super::destinations::{Hop, tunnel_of};
use super::director::{Director, Packet};
use super::family::Family;
use super::frame::Frame;
use super::outer::Outer;
use super::outlet::Outlet;
use super::rare;
use super::tcp::{self, Side};
use crate::model::state::TcpState;
use crate::model::{DestId, DropReason, Family as AddressFamily, Protocol, TimeoutsId};
use crate::tables::connections::{ConnId, flags};
use crate::tables::neighbours::NeighbourId;
use crate::wire::Header;
use crate::wire::ip::{IpError, IpHeader};
use crate::wire::ipv6;
use crate::wire::tcp::TcpHeader;

/// Whether a packet found its connection or has just made it, in the state that it begins with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Inbound {
    First,
    Established,
}

/// Where the state machines look for the transport header: right behind the IPv6 header, extension headers or not
/// (tcp_state_transition, set_sctp_state).
pub(super) fn state_header_at<A: Family>(packet: &Packet<A>) -> usize {
    if A::IS_V6 { usize::from(packet.parsed.l3) + ipv6::HEADER_LEN } else { packet.parsed.l4.into() }
}

/// A packet that ends within its TCP header shows no flags and changes no state.
#[cold]
fn is_cut_off<A: Family>(packet: &Packet<A>) -> bool {
    packet.parsed.frame_len() < state_header_at(packet) + TcpHeader::LEN
}

impl<F: Frame> Director<F> {
    /// A packet from a client, of connection `id`.
    #[inline(always)]
    pub(super) fn forward_in<A: Family>(
        &mut self,
        frame: F,
        packet: &Packet<A>,
        id: ConnId,
        kind: Inbound,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        let conn = self.connections.table::<A>().get(id);
        // a method edited later is for new connections (ip_vs_bind_xmit)
        let (dest_id, method) = (conn.dest, conn.flags & flags::METHOD);
        let Some(dest) = self.destinations.get(dest_id) else {
            return self.forward_bypass(frame, packet, id, kind, out);
        };
        let (keeps, weight) = (dest.keeps, dest.weight);
        if kind == Inbound::Established {
            if tcp::is_new_connection(packet.parsed.tcp_flags) && self.is_reusable::<A>(id, weight) {
                return self.start_anew(frame, packet, id, out);
            }
            if !keeps && self.is_lost(packet, dest_id) {
                return self.destination_gone(frame, packet, id, out);
            }
        }
        let conn = self.connections.table_mut::<A>().get_mut(id);
        conn.in_packets = conn.in_packets.wrapping_add(1);
        let counters = self.destinations.counters(dest_id);
        counters.in_packets.add(1);
        counters.in_bytes.add(packet.parsed.ip_len.into());
        if kind == Inbound::Established {
            self.advance_state(packet, id, Side::Input);
        }
        let way = self.way_of::<A>(dest_id)?;
        match method {
            flags::NAT => self.send_nat_in(frame, packet, id, way, out),
            flags::TUN => self.send_tun(frame, packet, dest_id, way, out),
            flags::LOCAL => self.local(frame, packet, out),
            0 => self.send_dr(frame, packet, way, out),
            _ if method & flags::HELPED != 0 => self.helped_in(frame, packet, id, way, out),
            _ => self.watched_in(frame, packet, id, way, out),
        }
    }

    /// A packet from a NAT server, of connection `id`.
    #[inline(always)]
    pub(super) fn forward_out<A: Family>(
        &mut self,
        frame: F,
        packet: &Packet<A>,
        id: ConnId,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        self.check_hops(&frame, packet, out)?;
        let next_hop = self.network.next_hop(packet.key.destination, self.now)?;
        let mtu = self.network.mtu_of(next_hop);
        self.check_mtu(&frame, packet, mtu, out)?;
        if self.is_orphan(self.connections.table::<A>().get(id).dest) && !self.is_hooked::<A>() {
            return self.transit(frame, packet, out);
        }
        if self.connections.table::<A>().get(id).has(flags::PARTICULAR) {
            return self.particular_out(frame, packet, id, (next_hop, mtu), out);
        }
        self.count_out(self.connections.table::<A>().get(id).dest, packet.parsed.ip_len.into());
        self.send_nat_out(frame, packet, id, (next_hop, mtu), out)
    }

    /// Its server was removed.
    #[inline(always)]
    fn is_orphan(&self, dest: DestId) -> bool {
        !self.destinations.get(dest).is_some_and(|dest| dest.available)
    }

    /// Whether the kernel's IPVS looks at packets of this family: with its last service it is out of their way.
    #[cold]
    pub(super) fn is_hooked<A: Family>(&self) -> bool {
        self.snapshot.directory.has_family(if A::IS_V6 { AddressFamily::V6 } else { AddressFamily::V4 })
    }

    #[cold]
    fn particular_out<A: Family>(
        &mut self,
        frame: F,
        packet: &Packet<A>,
        id: ConnId,
        next_hop: (NeighbourId, u16),
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        if self.connections.table::<A>().get(id).has(flags::HELPED) {
            self.helped_out(frame, packet, id, next_hop, out)
        } else {
            self.watched_out(frame, packet, id, next_hop, out)
        }
    }

    /// What a removed server still says is not counted (ip_vs_out_stats).
    #[inline(always)]
    pub(super) fn count_out(&self, id: DestId, len: usize) {
        if self.destinations.get(id).is_some_and(|dest| dest.available) {
            let counters = self.destinations.counters(id);
            counters.out_packets.add(1);
            counters.out_bytes.add(len as u64);
        }
    }

    /// The connection's state after this packet, its counts, its timer.
    #[inline(always)]
    pub(super) fn advance_state<A: Family>(&mut self, packet: &Packet<A>, id: ConnId, side: Side) {
        let now = self.tick;
        let dest = self.destinations.get(self.connections.table::<A>().get(id).dest);
        let timeouts = dest.map_or(TimeoutsId::default(), |dest| dest.timeouts);
        let timeout = if packet.parsed.protocol == Protocol::Tcp.number() {
            let flags = if A::IS_V6 { packet.parsed.state_flags } else { packet.parsed.tcp_flags };
            if flags == 0 && is_cut_off(packet) {
                return;
            }
            let conn = self.connections.table_mut::<A>().get_mut(id);
            let side = match side {
                Side::Input if conn.has(flags::NO_OUTPUT) => Side::InputOnly,
                side => side,
            };
            let next = tcp::next_state(self.secure_tcp, side, conn.state, flags);
            if next as u8 != conn.state {
                self.change_state::<A>(id, next as u8, next.is_active());
                if next == TcpState::Established {
                    self.assure::<A>(id);
                }
            }
            self.timeouts.get(timeouts).tcp[next as usize]
        } else if packet.parsed.protocol == Protocol::Udp.number() {
            if side == Side::Output {
                self.assure::<A>(id);
            }
            self.timeouts.get(timeouts).udp
        } else {
            self.rare_timeout(packet, id, side)
        };
        self.connections.table_mut::<A>().touch(id, timeout, now);
    }

    pub(super) fn change_state<A: Family>(&mut self, id: ConnId, next: u8, is_active: bool) {
        let conn = self.connections.table_mut::<A>().get_mut(id);
        conn.state = next;
        if conn.has(flags::INACTIVE) == is_active && conn.dest != DestId::NONE {
            conn.flags ^= flags::INACTIVE;
            self.destinations.set_active(conn.dest, is_active);
        }
    }

    /// Whether a SYN on this connection's tuple starts a new one (`conn_reuse_mode`, ip_vs_in_hook).
    #[cold]
    pub(in crate::dataplane) fn is_reusable<A: Family>(&self, id: ConnId, weight: u32) -> bool {
        let conn = self.connections.table::<A>().get(id);
        let finished = conn.state == TcpState::TimeWait as u8 || conn.state == TcpState::Close as u8;
        let half_finished = conn.state == TcpState::FinWait as u8 && conn.has(flags::NO_OUTPUT);
        let reuse = finished || self.snapshot.settings.conn_reuse_mode & 2 != 0 && half_finished;
        self.is_replaceable::<A>(id, weight, reuse)
    }

    /// The same for an INIT on an association's tuple.
    pub(super) fn is_over<A: Family>(&self, id: ConnId) -> bool {
        let conn = self.connections.table::<A>().get(id);
        let weight = self.destinations.get(conn.dest).map_or(1, |dest| dest.weight);
        self.is_replaceable::<A>(id, weight, rare::is_over(conn.state))
    }

    /// Whether a new connection may take the place of this one, which `is_over`.
    fn is_replaceable<A: Family>(&self, id: ConnId, weight: u32, is_over: bool) -> bool {
        let settings = &self.snapshot.settings;
        if settings.expire_nodest_conn && weight == 0 {
            return true;
        }
        settings.conn_reuse_mode != 0 && self.connections.table::<A>().get(id).control == 0 && is_over
    }

    #[cold]
    pub(in crate::dataplane) fn start_anew<A: Family>(
        &mut self,
        frame: F,
        packet: &Packet<A>,
        id: ConnId,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        self.end::<A>(id);
        self.no_connection(frame, packet, out)
    }

    /// Whether the connection can go on with its destination no longer, having been removed or, where UDP is to look for
    /// another one at once, quiesced.
    #[cold]
    fn is_lost<A: Family>(&self, packet: &Packet<A>, dest: DestId) -> bool {
        let Some(dest) = self.destinations.get(dest) else { return true };
        !dest.available || dest.departures.reschedule_udp && packet.parsed.protocol == Protocol::Udp.number()
    }

    /// Its server was removed: the packet waits for nobody, unless the connection may be scheduled again.
    #[cold]
    fn destination_gone<A: Family>(
        &mut self,
        frame: F,
        packet: &Packet<A>,
        id: ConnId,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        if !self.is_hooked::<A>() {
            return self.local(frame, packet, out);
        }
        if !self.may_start_anew(packet, id) {
            return Err(DropReason::DestinationGone);
        }
        self.start_anew(frame, packet, id, out)
    }

    fn may_start_anew<A: Family>(&self, packet: &Packet<A>, id: ConnId) -> bool {
        let dest = self.destinations.get(self.connections.table::<A>().get(id).dest);
        let reschedules = dest.is_some_and(|dest| dest.departures.reschedule_udp);
        self.snapshot.settings.expire_nodest_conn || reschedules && packet.parsed.protocol == Protocol::Udp.number()
    }

    /// The way to a destination of packets of this family, looked up again when the network has changed.
    #[inline(always)]
    pub(super) fn way_of<A: Family>(&mut self, id: DestId) -> Result<Hop, DropReason> {
        let epoch = self.network.epoch();
        match self.destinations.get(id) {
            Some(dest) if dest.way_epoch == epoch => Ok(dest.hop),
            _ => self.find_way::<A>(id),
        }
    }

    #[cold]
    fn find_way<A: Family>(&mut self, id: DestId) -> Result<Hop, DropReason> {
        let dest = self.destinations.get_mut(id).ok_or(DropReason::Internal)?;
        if self.network.local(dest.address).is_some() {
            // a real server on the director itself, where nobody listens
            return Err(DropReason::NoService);
        }
        let way = self.network.way_to_ip(dest.address, self.now)?;
        let interface = self.network.interface_towards(way.neighbour).ok_or(DropReason::Internal)?;
        dest.hop = way.hop();
        // connections made before another method was chosen may still need it
        dest.outer = Outer::new::<A>(tunnel_of(dest.forward).unwrap_or_default(), interface, &way, dest.address);
        // after the look-up, which may have added a neighbour
        dest.way_epoch = self.network.epoch();
        Ok(dest.hop)
    }

    /// Only the MAC addresses change (and the TTL).
    #[inline(always)]
    pub(in crate::dataplane) fn send_dr<A: Family>(
        &mut self,
        mut frame: F,
        packet: &Packet<A>,
        way: Hop,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        self.take_hop(&mut frame, packet, out)?;
        self.check_mtu(&frame, packet, way.mtu, out)?;
        self.send::<A>(frame, packet.parsed.l3.into(), (way.neighbour, way.mtu), packet.wire_len(), out)
    }

    /// A packet whose TTL ends here is answered, not sent on.
    #[inline(always)]
    pub(super) fn take_hop<A: Family>(
        &mut self,
        frame: &mut F,
        packet: &Packet<A>,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        self.check_hops(frame, packet, out)?;
        let ip = A::Header::at_mut(frame.head_mut(), packet.parsed.l3.into()).ok_or(DropReason::Internal)?;
        ip.take_hop();
        Ok(())
    }

    #[inline(always)]
    pub(super) fn check_hops<A: Family>(
        &mut self,
        frame: &F,
        packet: &Packet<A>,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        match A::Header::at(frame.head(), packet.parsed.l3.into()) {
            Some(ip) if ip.hops() > 1 => Ok(()),
            _ => {
                self.send_icmp_error(frame, packet, IpError::HopsExceeded, out);
                Err(DropReason::TtlExceeded)
            }
        }
    }

    /// A packet longer than `mtu` that must not be fragmented is refused, with word to its sender about what fits.
    #[inline(always)]
    pub(super) fn check_mtu<A: Family>(
        &mut self,
        frame: &F,
        packet: &Packet<A>,
        mtu: u16,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        if packet.wire_len() <= mtu { Ok(()) } else { self.too_long(frame, packet, mtu, out) }
    }

    #[cold]
    fn too_long<A: Family>(
        &mut self,
        frame: &F,
        packet: &Packet<A>,
        mtu: u16,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        // an ICMP error that no error may answer is fragmented whatever it says (ensure_mtu_is_adequate, ignore_df)
        if packet.parsed.protocol == A::ICMP && !A::IS_V6 {
            return Ok(());
        }
        self.refuse_too_long(frame, packet, mtu, out)
    }

    /// As routers do with what is nobody's connection's (ip_forward).
    #[cold]
    pub(super) fn refuse_too_long<A: Family>(
        &mut self,
        frame: &F,
        packet: &Packet<A>,
        mtu: u16,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        let ip = A::Header::at(frame.head(), packet.parsed.l3.into()).ok_or(DropReason::Internal)?;
        // of an IPv6 packet that came in fragments, each has to fit (__mtu_check_toobig_v6)
        let len = match &self.geometry {
            Some(geometry) if A::IS_V6 => geometry.largest,
            _ => packet.parsed.ip_len,
        };
        if len <= mtu || !ip.is_whole() {
            return Ok(());
        }
        self.send_icmp_error(frame, packet, IpError::TooLong { mtu }, out);
        Err(DropReason::MtuExceeded)
    }
}

//! Tunnels: a packet goes to its destination inside another (ip_vs_tunnel_xmit, ip_vs_tunnel_xmit_v6). Both may be of
//! either IP version; what stands in front is [`Outer`]'s.

use super::super::destinations::Hop;
use super::super::director::{Director, Packet};
use super::super::family::Family;
use super::super::frame::Frame;
use super::super::icmp::next_ip_id;
use super::super::outer::{Carrier, Carry, Inner, Outer};
use super::super::outlet::Outlet;
use super::super::path::{Path, UNTAGGED_LEN};
use crate::model::{DestId, DropReason};
use crate::wire::Header;
use crate::wire::address::{Ip4, Ip6};
use crate::wire::checksum::Sum;
use crate::wire::ip::IpHeader;
use crate::wire::{ipv4, ipv6};

impl<F: Frame> Director<F> {
    #[inline(always)]
    pub(in crate::dataplane) fn send_tun<A: Family>(
        &mut self,
        mut frame: F,
        packet: &Packet<A>,
        dest: DestId,
        way: Hop,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        let ip = A::Header::at(frame.head(), packet.parsed.l3.into()).ok_or(DropReason::Internal)?;
        let inner = self.inner_of::<A>(packet.parsed.ip_len, ip, ip.hops().wrapping_sub(1));
        self.take_hop(&mut frame, packet, out)?;
        let outer = &self.destinations.get(dest).ok_or(DropReason::Internal)?.outer;
        if packet.wire_len() > outer.mtu {
            return self.send_long_tun(frame, packet, dest, way, out);
        }
        let (l3, next) = (outer.link_len(), (way.neighbour, outer.port));
        match outer.carrier {
            Carrier::V4 => {
                wrap::<F, A, Ip4>(&mut frame, packet, outer, &inner)?;
                self.network.emit_framed::<Ip4>(frame, l3, next, self.now, out)
            }
            Carrier::V6 => {
                wrap::<F, A, Ip6>(&mut frame, packet, outer, &inner)?;
                self.network.emit_framed::<Ip6>(frame, l3, next, self.now, out)
            }
        }
    }

    #[inline(always)]
    fn inner_of<A: Family>(&mut self, len: u16, ip: &A::Header, hops: u8) -> Inner {
        inner_of::<A>(len, ip, hops, self.pmtu_disc, &mut self.ip_id)
    }

    /// A packet that does not fit with the headers in front, or came in fragments. The outer packet goes in fragments if the inner one is an
    /// IPv4 packet that may, or any without `pmtu_disc` (ensure_mtu_is_adequate).
    #[cold]
    fn send_long_tun<A: Family>(
        &mut self,
        frame: F,
        packet: &Packet<A>,
        dest: DestId,
        way: Hop,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        let outer = &self.destinations.get(dest).ok_or(DropReason::Internal)?.outer;
        let (mtu, carrier) = (outer.mtu, outer.carrier);
        if mtu == 0 {
            return Err(if outer.is_possible() { DropReason::MtuExceeded } else { DropReason::NoRoute });
        }
        if A::IS_V6 || self.pmtu_disc {
            self.check_mtu(&frame, packet, mtu, out)?;
        }
        match carrier {
            Carrier::V4 => self.send_cut::<A, Ip4>(frame, packet, dest, way, out),
            Carrier::V6 => self.send_cut::<A, Ip6>(frame, packet, dest, way, out),
        }
    }

    fn send_cut<A: Family, O: Family + Carry>(
        &mut self,
        mut frame: F,
        packet: &Packet<A>,
        dest: DestId,
        way: Hop,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        let ip = A::Header::at(frame.head(), packet.parsed.l3.into()).ok_or(DropReason::Internal)?;
        let inner = self.inner_of::<A>(packet.parsed.ip_len, ip, ip.hops());
        let outer = &self.destinations.get(dest).ok_or(DropReason::Internal)?.outer;
        packet.parsed.ip_len.checked_add(outer.overhead).ok_or(DropReason::MtuExceeded)?;
        let (l3, len) = (outer.link_len(), packet.wire_len().saturating_add(outer.overhead));
        wrap::<F, A, O>(&mut frame, packet, outer, &inner)?;
        self.send::<O>(frame, l3, (way.neighbour, way.mtu), len, out)
    }
}

/// What the outer header says of a packet that will have so many hops left.
// read before anything is written: a load over what has just been stored in pieces would have to wait for it
#[inline(always)]
fn inner_of<A: Family>(len: u16, ip: &A::Header, hops: u8, pmtu_disc: bool, ip_id: &mut u64) -> Inner {
    let class = ip.class();
    let dont_fragment = !A::IS_V6 && pmtu_disc && ip.is_whole();
    // what must not be fragmented needs no identification (RFC 6864 §4.1)
    let id = if dont_fragment { 0 } else { next_ip_id(ip_id) };
    Inner { len, class, hops, dont_fragment, id }
}

/// What tunnels need besides their destination.
pub(in crate::dataplane) struct Tunnels<'a> {
    pub pmtu_disc: bool,
    pub ip_id: &'a mut u64,
}

impl Tunnels<'_> {
    /// Takes a hop off a packet that fits, and puts the headers in front of it, to go by `path`. False, and
    /// nothing changed, when it has no hops left, no room for them, or they take more to fill in.
    #[inline(always)]
    pub fn wrap_plain<F: Frame, A: Family>(
        &mut self,
        frame: &mut F,
        packet: &Packet<A>,
        outer: &Outer,
        path: &Path,
    ) -> bool {
        const OVER_V4: usize = UNTAGGED_LEN + ipv4::HEADER_LEN;
        const OVER_V6: usize = UNTAGGED_LEN + ipv6::HEADER_LEN;
        let is_short = || outer.is_short && packet.plain.is_untagged();
        match outer.carrier {
            Carrier::V4 if is_short() => self.wrap_short::<F, A, Ip4, OVER_V4>(frame, packet, outer, path),
            Carrier::V6 if is_short() => self.wrap_short::<F, A, Ip6, OVER_V6>(frame, packet, outer, path),
            Carrier::V4 => self.wrap_any::<F, A, Ip4>(frame, packet, outer, path),
            Carrier::V6 => self.wrap_any::<F, A, Ip6>(frame, packet, outer, path),
        }
    }

    /// In an untagged frame, with headers whose length the compiler knows.
    #[inline(always)]
    fn wrap_short<F: Frame, A: Family, O: Carry, const LEN: usize>(
        &mut self,
        frame: &mut F,
        packet: &Packet<A>,
        outer: &Outer,
        path: &Path,
    ) -> bool {
        // one after the other: the compiler would make one condition of both, and hold them in memory
        if A::Header::at(frame.head(), UNTAGGED_LEN).is_none_or(|ip| ip.hops() <= 1) {
            std::hint::cold_path();
            return false;
        }
        if !frame.prepend(LEN - UNTAGGED_LEN) {
            std::hint::cold_path();
            return false;
        }
        let Some((front, behind)) = frame.head_mut().split_first_chunk_mut::<LEN>() else { return false };
        let Some(ip) = A::Header::of_mut(behind) else { return false };
        let inner = inner_of::<A>(packet.plain.ip_len(), ip, ip.hops().wrapping_sub(1), self.pmtu_disc, self.ip_id);
        ip.take_hop();
        outer.write_short::<O, LEN>(front, path, &inner).is_some()
    }

    #[inline(never)]
    fn wrap_any<F: Frame, A: Family, O: Carry>(
        &mut self,
        frame: &mut F,
        packet: &Packet<A>,
        outer: &Outer,
        path: &Path,
    ) -> bool {
        let (l3, len) = (usize::from(packet.plain.l3()), outer.total_len());
        let Some(room) = len.checked_sub(l3) else { return false };
        if A::Header::at(frame.head(), l3).is_none_or(|ip| ip.hops() <= 1) {
            return false;
        }
        if outer.has_checksum() || !frame.prepend(room) {
            return false;
        }
        let Some((front, behind)) = frame.head_mut().split_at_mut_checked(len) else { return false };
        let Some(ip) = A::Header::of_mut(behind) else { return false };
        let inner = inner_of::<A>(packet.plain.ip_len(), ip, ip.hops().wrapping_sub(1), self.pmtu_disc, self.ip_id);
        ip.take_hop();
        let is_written = outer.write::<O>(front, &inner).is_some();
        if let Some(mac) = front.first_chunk_mut() {
            *mac = path.mac();
        }
        if outer.has_to_fill() {
            return outer.fill::<A, O>(front, packet.plain.ip_len(), packet.flow_hash(), Sum::ZERO).is_some();
        }
        is_written
    }
}

/// Puts the headers in front of the packet, in the place of its link's.
#[inline(always)]
fn wrap<F: Frame, A: Family, O: Carry>(
    frame: &mut F,
    packet: &Packet<A>,
    outer: &Outer,
    inner: &Inner,
) -> Result<(), DropReason> {
    let room = outer.total_len().checked_sub(packet.parsed.l3.into()).ok_or(DropReason::Internal)?;
    if !frame.prepend(room) {
        return Err(DropReason::NoHeadroom);
    }
    let head = frame.head_mut().get_mut(..outer.total_len()).ok_or(DropReason::Internal)?;
    outer.write::<O>(head, inner).ok_or(DropReason::Internal)?;
    if outer.has_to_fill() { fill::<F, A, O>(frame, packet, outer) } else { Ok(()) }
}

#[inline(never)]
fn fill<F: Frame, A: Family, O: Carry>(frame: &mut F, packet: &Packet<A>, outer: &Outer) -> Result<(), DropReason> {
    let sum = if outer.has_checksum() { sum_behind(frame, outer.total_len()) } else { Sum::ZERO };
    let head = frame.head_mut().get_mut(..outer.total_len()).ok_or(DropReason::Internal)?;
    outer.fill::<A, O>(head, packet.parsed.ip_len, packet.flow_hash(), sum).ok_or(DropReason::Internal)
}

/// The sum of a frame's bytes from `start` on.
fn sum_behind<F: Frame>(frame: &F, start: usize) -> Sum {
    let mut at = 0;
    Sum::of_segments(frame.segments().map(|segment| {
        let part = segment.get(start.saturating_sub(at)..).unwrap_or_default();
        at += segment.len();
        part
    }))
}

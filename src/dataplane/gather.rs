//! Fragments on their way in: gathered until their packet is whole, which then goes on as one (ip_vs_gather_frags,
//! ip_local_deliver, ipv6_defrag).

use super::director::{Director, Packet, parse_again};
use super::family::Family;
use super::frame::Frame;
use super::nd;
use super::outlet::Outlet;
use super::reassemble::{Expired, Refused, Whole};
use crate::model::limits::GIVEN_UP_PER_POLL;
use crate::model::{DropReason, PortId};
use crate::wire::address::{Ip4, Ip6};
use crate::wire::ip::IpError;
use crate::wire::ip_protocol::{ICMP, SCTP, TCP, UDP};
use crate::wire::parse::{Malformed, parse_into};

impl<F: Frame> Director<F> {
    /// A fragment, the first one of its packet or another.
    #[cold]
    pub(super) fn gather<A: Family>(
        &mut self,
        frame: F,
        packet: &Packet<A>,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        if packet.to_group {
            return Err(DropReason::Multicast);
        }
        let is_ours = self.network.local(packet.key.destination.to_ip()).is_some();
        if !is_ours && !self.gathers_in_transit(packet) {
            return self.no_connection(frame, packet, out);
        }
        if !is_ours && !A::IS_V6 {
            // each is routed before it is gathered (ip_forward)
            self.check_hops(&frame, packet, out)?;
            self.check_mtu_alone(&frame, packet, out)?;
        }
        let fragment = A::fragment_at(frame.head(), packet.parsed.l3.into()).ok_or(DropReason::FragmentBad)?;
        if A::is_left_alone(&fragment, packet.parsed.l4.into(), packet.parsed.protocol) {
            return self.finish_alone(frame, packet, out);
        }
        let frame = match self.is_shared {
            true => match self.steer_fragment(frame, packet, &fragment)? {
                Some(frame) => frame,
                None => return Ok(()),
            },
            false => frame,
        };
        self.give_up_fragments_of::<A>(out);
        match A::reassembler(&mut self.reassemblers).insert(&fragment, frame, self.now) {
            Ok(None) => Ok(()),
            Ok(Some(whole)) => self.finish_whole::<A>(whole, packet.port, out),
            Err(Refused { reason, frames }) => {
                // this one is counted like any other packet
                self.counters.drops[reason as usize].add(u64::from(frames) - 1);
                Err(reason)
            }
        }
    }

    /// A fragment that must not be cut and is itself longer than its way out takes.
    fn check_mtu_alone<A: Family>(
        &mut self,
        frame: &F,
        packet: &Packet<A>,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        // where there is no way is said of the whole packet
        let Ok(next_hop) = self.network.next_hop(packet.key.destination, self.now) else { return Ok(()) };
        let mtu = self.network.mtu_of(next_hop);
        if packet.wire_len() > mtu { self.refuse_too_long(frame, packet, mtu, out) } else { Ok(()) }
    }

    /// Whether fragments that are not for the director are put together on their way: all of IPv6, as netfilter does it
    /// before routing; of IPv4 what IPVS may have to look at, as long as it has anything to do.
    fn gathers_in_transit<A: Family>(&self, packet: &Packet<A>) -> bool {
        let is_looked_at = A::IS_V6 || matches!(packet.parsed.protocol, TCP | UDP | SCTP | ICMP);
        is_looked_at && self.is_hooked::<A>()
    }

    /// The packet is there: it goes through the stages as if it had come so.
    fn finish_whole<A: Family>(
        &mut self,
        whole: Whole<F>,
        port: PortId,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        self.counters.packets_reassembled.add(1);
        self.counters.fragments_reassembled.add(whole.geometry.lens.len() as u64);
        // whoever handed over the fragments did not know whose the packet is
        let arrival = std::mem::take(&mut self.arrival);
        let verdict = self.finish_gathered::<A>(whole, port, out);
        self.arrival = arrival;
        verdict
    }

    /// A packet put together here, or by the worker it comes from.
    pub(super) fn finish_gathered<A: Family>(
        &mut self,
        whole: Whole<F>,
        port: PortId,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        let Whole { mut frame, geometry } = whole;
        let mut packet = Packet::<A>::reassembled(port);
        match parse_into(frame.head(), frame.len(), &mut packet.parsed) {
            Ok(()) => {}
            Err(Malformed::Truncated) => parse_again(&mut frame, &mut packet.parsed)?,
            Err(malformed) => return Err(malformed.into()),
        }
        if packet.parsed.fragment {
            // fragments of fragments: nobody sends them
            return Err(DropReason::FragmentBad);
        }
        if A::IS_V6 && nd::is_discovery(frame.head(), &packet.parsed) {
            // RFC 6980 §5
            return Err(DropReason::NdBad);
        }
        self.prepare(&frame, &mut packet);
        self.geometry = Some(geometry);
        let verdict = self.finish(frame, &packet, out);
        self.geometry = None;
        verdict
    }

    /// A fragment that is handled as a packet of its own.
    fn finish_alone<A: Family>(
        &mut self,
        frame: F,
        packet: &Packet<A>,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        let mut alone = *packet;
        alone.parsed.fragment = false;
        alone.parsed.ports = ports_of(&frame, packet).ok_or(DropReason::L4Truncated)?;
        self.prepare(&frame, &mut alone);
        self.finish(frame, &alone, out)
    }

    /// Datagrams that were not completed in time, a bounded number of them.
    pub(super) fn give_up_fragments(&mut self, out: &mut impl Outlet<F>) {
        self.give_up_fragments_of::<Ip4>(out);
        self.give_up_fragments_of::<Ip6>(out);
    }

    fn give_up_fragments_of<A: Family>(&mut self, out: &mut impl Outlet<F>) {
        for _ in 0..GIVEN_UP_PER_POLL {
            let Some(expired) = A::reassembler(&mut self.reassemblers).expire(self.now) else { return };
            self.give_up::<A>(expired, out);
        }
    }

    /// Its sender is told, if it can be known what it was about: only when the first fragment came (ip_expire).
    #[cold]
    fn give_up<A: Family>(&mut self, expired: Expired<F>, out: &mut impl Outlet<F>) {
        self.counters.drops[DropReason::FragmentTimeout as usize].add(expired.frames.into());
        let Some(frame) = expired.first else { return };
        let mut packet = Packet::<A>::default();
        if parse_into(frame.head(), frame.len(), &mut packet.parsed).is_ok() {
            packet.parsed.ports = ports_of(&frame, &packet).unwrap_or_default();
            self.prepare(&frame, &mut packet);
            self.send_icmp_error(&frame, &packet, IpError::ReassemblyTimeExceeded, out);
        }
    }
}

/// A first fragment's ports, in memory order.
fn ports_of<A, F: Frame>(frame: &F, packet: &Packet<A>) -> Option<u32> {
    let mut ports = [0; 4];
    frame.copy_out(packet.parsed.l4.into(), &mut ports).then(|| u32::from_ne_bytes(ports))
}

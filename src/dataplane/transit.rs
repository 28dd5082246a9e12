//! Routing what is no service's: NAT real servers use the director as their router. Stateless.

use super::director::{Director, Packet};
use super::family::Family;
use super::frame::Frame;
use super::outlet::Outlet;
use crate::model::DropReason;
use crate::tables::connections::Direction;
use crate::wire::Header;
use crate::wire::ip::{IpError, IpHeader};

impl<F: Frame> Director<F> {
    /// A packet that is not addressed to the director and belongs to no connection.
    pub(super) fn transit<A: Family>(
        &mut self,
        mut frame: F,
        packet: &Packet<A>,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        let related = if packet.parsed.protocol == A::ICMP { self.related(&mut frame, packet)? } else { None };
        let caller = self.caller(packet);
        let is_of_nat = caller.is_some() || related.is_some_and(|related| self.is_of_nat(&related));
        if !self.snapshot.settings.forward && !is_of_nat {
            return Err(DropReason::ForwardOff);
        }
        let l3 = usize::from(packet.parsed.l3);
        let source = packet.key.source;
        if !source.is_host() || self.network.local(source.to_ip()).is_some() {
            return Err(DropReason::SourceBad);
        }
        self.check_hops(&frame, packet, out)?;
        let next_hop = match self.network.next_hop(packet.key.destination, self.now) {
            Err(DropReason::NoRoute) => {
                self.send_icmp_error(&frame, packet, IpError::NoRoute, out);
                return Err(DropReason::NoRoute);
            }
            found => found?,
        };
        let mtu = self.network.mtu_of(next_hop);
        if packet.wire_len() > mtu {
            self.refuse_too_long(&frame, packet, mtu, out)?;
        }
        if let Some(caller) = caller {
            match self.begin_outbound(&frame, packet, caller)? {
                Some(id) => return self.forward_begun(frame, packet, (id, caller), out),
                None if !self.snapshot.settings.forward => return Err(DropReason::ForwardOff),
                None => {}
            }
        }
        let ip = A::Header::at_mut(frame.head_mut(), l3).ok_or(DropReason::Internal)?;
        ip.take_hop();
        match related {
            Some(related) if related.direction == Direction::In => {
                return self.forward_error_in(frame, packet, &related, out);
            }
            Some(related) => self.turn_error_out(&mut frame, packet, &related)?,
            None if self.snapshot.settings.nat_icmp_send => self.refuse_unasked(&frame, packet, out)?,
            None => {}
        }
        self.send::<A>(frame, l3, (next_hop, mtu), packet.wire_len(), out)?;
        self.counters.transit.add(u64::from(!is_of_nat));
        Ok(())
    }
}

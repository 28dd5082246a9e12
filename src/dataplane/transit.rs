//! Routing what is no service's: NAT real servers use the director as their router. Stateless.

use super::director::{Director, Packet};
use super::family::Family;
use super::frame::Frame;
use super::outlet::Outlet;
use crate::model::DropReason;
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
        if !self.snapshot.settings.forward {
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
        self.check_mtu(&frame, packet, mtu, out)?;
        let ip = A::Header::at_mut(frame.head_mut(), l3).ok_or(DropReason::Internal)?;
        ip.take_hop();
        self.send::<A>(frame, l3, (next_hop, mtu), packet.wire_len(), out)?;
        self.counters.transit.add(1);
        Ok(())
    }
}

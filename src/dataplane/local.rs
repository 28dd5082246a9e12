//! Packets for the director itself: ping. Everything else that is addressed to it and is no service's is dropped.

use super::director::{Director, Packet};
use super::family::Family;
use super::frame::Frame;
use super::outlet::Outlet;
use crate::model::DropReason;
use crate::wire::Header;
use crate::wire::ip::{IpError, IpHeader};
use crate::wire::ip_protocol::{NO_NEXT_HEADER, SCTP, TCP, UDP};

impl<F: Frame> Director<F> {
    /// A packet to an address of ours that belongs to no connection and no service.
    #[cold]
    pub(super) fn local<A: Family>(
        &mut self,
        frame: F,
        packet: &Packet<A>,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        match packet.parsed.protocol {
            protocol if protocol == A::ICMP => {}
            // a host answers these with a RST or an ABORT of its own
            TCP | SCTP => return Err(DropReason::NoService),
            UDP => return self.nobody_there(&frame, packet, IpError::PortUnreachable, out),
            // nothing is in it, by its own word (RFC 8200 §4.7)
            NO_NEXT_HEADER if A::IS_V6 => return Err(DropReason::NoService),
            _ => return self.nobody_there(&frame, packet, IpError::ProtocolUnreachable, out),
        }
        self.echo_reply(frame, packet, out)
    }

    /// As a host says it (RFC 1122 §3.2.2.1).
    fn nobody_there<A: Family>(
        &mut self,
        frame: &F,
        packet: &Packet<A>,
        error: IpError,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        self.send_icmp_error(frame, packet, error, out);
        Err(DropReason::NoService)
    }

    fn echo_reply<A: Family>(
        &mut self,
        mut frame: F,
        packet: &Packet<A>,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        let l3 = usize::from(packet.parsed.l3);
        let ip = A::Header::at(frame.head(), l3).ok_or(DropReason::Internal)?;
        let client = ip.from();
        let id = self.next_ip_id();
        let next_hop = self.network.next_hop(client, self.now)?;
        let bytes = frame.head_mut().get_mut(l3..).ok_or(DropReason::Internal)?;
        if !A::echo_reply_in_place(bytes, id) {
            return Err(DropReason::IcmpUnrelated);
        }
        // the answer is a packet of our own, in whatever fragments the question came
        self.geometry = None;
        let mtu = self.network.mtu_of(next_hop);
        self.send::<A>(frame, l3, (next_hop, mtu), packet.parsed.ip_len, out)?;
        self.counters.consumed.add(1);
        Ok(())
    }
}

//! Packets for the director itself: ping. Everything else that is addressed to it and is no service's is dropped.

use super::director::{Director, Packet};
use super::frame::Frame;
use super::outlet::Outlet;
use crate::model::DropReason;
use crate::wire::Header;
use crate::wire::address::Ip4;
use crate::wire::icmp::{ECHO_REQUEST, IcmpError, IcmpHeader, echo_reply_in_place};
use crate::wire::ip_protocol::{ICMP, SCTP, TCP, UDP};
use crate::wire::ipv4::Ipv4Header;

impl<F: Frame> Director<F> {
    /// A packet to an address of ours that belongs to no connection and no service.
    #[cold]
    pub(super) fn local(&mut self, frame: F, packet: &Packet, out: &mut impl Outlet<F>) -> Result<(), DropReason> {
        match packet.parsed.protocol {
            ICMP => {}
            // a host answers these with a RST or an ABORT of its own
            TCP | SCTP => return Err(DropReason::NoService),
            UDP => return self.nobody_there(&frame, packet, IcmpError::PORT_UNREACHABLE, out),
            _ => return self.nobody_there(&frame, packet, IcmpError::PROTOCOL_UNREACHABLE, out),
        }
        let icmp = IcmpHeader::at(frame.head(), packet.parsed.l4.into()).ok_or(DropReason::L4Truncated)?;
        if icmp.kind != ECHO_REQUEST {
            return Err(DropReason::IcmpUnrelated);
        }
        self.echo_reply(frame, packet, out)
    }

    /// As a host says it (RFC 1122 §3.2.2.1).
    fn nobody_there(
        &mut self,
        frame: &F,
        packet: &Packet,
        error: IcmpError,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        self.send_icmp_error(frame, packet, error, out);
        Err(DropReason::NoService)
    }

    fn echo_reply(&mut self, mut frame: F, packet: &Packet, out: &mut impl Outlet<F>) -> Result<(), DropReason> {
        let l3 = usize::from(packet.parsed.l3);
        let ip = Ipv4Header::at(frame.head(), l3).ok_or(DropReason::Internal)?;
        let client = Ip4::from(ip.source());
        let id = self.next_ip_id();
        let next_hop = self.network.next_hop(client, self.now)?;
        let bytes = frame.head_mut().get_mut(l3..).ok_or(DropReason::Internal)?;
        if !echo_reply_in_place(bytes, id) {
            return Err(DropReason::IcmpUnrelated);
        }
        self.network.emit(frame, l3, next_hop, self.now, out)?;
        self.counters.consumed.add(1);
        Ok(())
    }
}

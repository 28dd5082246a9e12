//! ICMP errors about packets of connections, on their way: to where those packets came from, or would have gone.
//!
//! With NAT, outside and inside are rewritten as the packet that caused the error was, and the checksum is made anew
//! (ip_vs_nat_icmp); with the other methods the error goes as it is.

use super::super::director::{Director, Packet};
use super::super::family::Family;
use super::super::frame::Frame;
use super::super::outlet::Outlet;
use super::super::related::Related;
use super::nat::End;
use crate::model::DropReason;
use crate::tables::connections::flags;
use crate::wire::Header;
use crate::wire::icmp::IcmpHeader;
use crate::wire::ip::IpHeader;
use crate::wire::ports::Ports;
use zerocopy::network_endian::U16;

impl<F: Frame> Director<F> {
    /// Somebody on the clients' side about a packet to a client: goes to the server, the way the client's packets go
    /// (ip_vs_icmp_xmit). IPv6's checksum is not looked at, as in the kernel.
    #[cold]
    pub(in super::super) fn forward_error_in<A: Family>(
        &mut self,
        frame: F,
        packet: &Packet<A>,
        related: &Related<A>,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        let forwarded = if A::IS_V6 || is_intact(&frame, packet) {
            self.send_error_in(frame, packet, related, out)
        } else {
            Err(DropReason::IcmpChecksumBad)
        };
        if related.is_one_packet {
            self.end_one_packet::<A>(related.id);
        }
        forwarded
    }

    fn send_error_in<A: Family>(
        &mut self,
        frame: F,
        packet: &Packet<A>,
        related: &Related<A>,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        let conn = self.connections.table_mut::<A>().get_mut(related.id);
        let (dest_id, method) = (conn.dest, conn.flags & flags::METHOD);
        if method != flags::NAT {
            conn.in_packets = conn.in_packets.wrapping_add(1);
        }
        if self.destinations.get(dest_id).is_some_and(|dest| dest.available) {
            let counters = self.destinations.counters(dest_id);
            counters.in_packets.add(1);
            counters.in_bytes.add(packet.parsed.ip_len.into());
        }
        let way = self.way_of::<A>(dest_id)?;
        match method {
            flags::NAT => self.send_nat_error_in(frame, packet, related, out),
            flags::TUN => self.send_tun(frame, packet, dest_id, way, out),
            flags::LOCAL => self.local(frame, packet, out),
            _ => self.send_dr(frame, packet, way, out),
        }
    }

    fn send_nat_error_in<A: Family>(
        &mut self,
        mut frame: F,
        packet: &Packet<A>,
        related: &Related<A>,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        let conn = self.connections.table::<A>().get(related.id);
        let (address, port, dest) = (conn.server, conn.server_port, conn.dest);
        let way = self.way_of::<A>(dest)?;
        self.take_hop(&mut frame, packet, out)?;
        self.check_mtu(&frame, packet, way.mtu, out)?;
        rewrite(&mut frame, packet, related, End::Destination, address, port)?;
        self.send::<A>(frame, packet.parsed.l3.into(), (way.neighbour, way.mtu), packet.wire_len(), out)
    }

    /// Somebody on the servers' side about a client's packet: is made to speak of the virtual address before it is
    /// routed on (handle_response_icmp). The kernel looks at the checksum without the pseudo header in IPv6, too,
    /// so that none is right and all are dropped there.
    #[cold]
    pub(in super::super) fn turn_error_out<A: Family>(
        &mut self,
        frame: &mut F,
        packet: &Packet<A>,
        related: &Related<A>,
    ) -> Result<(), DropReason> {
        let conn = self.connections.table::<A>().get(related.id);
        let (address, port, dest) = (conn.virt, conn.virtual_port, conn.dest);
        if conn.has(flags::NAT) {
            if !is_intact(frame, packet) {
                return Err(DropReason::IcmpChecksumBad);
            }
            rewrite(frame, packet, related, End::Source, address, port)?;
        }
        self.count_out(dest, packet.parsed.ip_len.into());
        Ok(())
    }
}

/// Whether an ICMP message sums up to nothing, with no pseudo header.
pub(in super::super) fn is_intact<F: Frame, A>(frame: &F, packet: &Packet<A>) -> bool {
    frame.sum(packet.parsed.l4.into()..packet.parsed.frame_len()).is_valid()
}

/// Replaces one end of the error, and the other end of what it quotes.
fn rewrite<F: Frame, A: Family>(
    frame: &mut F,
    packet: &Packet<A>,
    related: &Related<A>,
    end: End,
    address: A,
    port: [u8; 2],
) -> Result<(), DropReason> {
    let (head, at) = (frame.head_mut(), related.at);
    let outer = A::Header::at_mut(head, packet.parsed.l3.into()).ok_or(DropReason::Internal)?;
    if end == End::Source {
        outer.set_from(address)
    } else {
        outer.set_to(address)
    };
    let quoted = A::Header::at_mut(head, at).ok_or(DropReason::Internal)?;
    if end == End::Source {
        quoted.set_to(address)
    } else {
        quoted.set_from(address)
    };
    A::fill_header_checksum(&mut head[at..]);
    if related.quoted.has_ports() {
        let ports = Ports::at_mut(head, at + related.quoted.l4).ok_or(DropReason::Internal)?;
        let field = if end == End::Source { &mut ports.destination } else { &mut ports.source };
        *field = U16::from_bytes(port);
    }
    fill_checksum(frame, packet)
}

fn fill_checksum<F: Frame, A: Family>(frame: &mut F, packet: &Packet<A>) -> Result<(), DropReason> {
    let (l4, end) = (usize::from(packet.parsed.l4), packet.parsed.frame_len());
    let ip = *A::Header::at(frame.head(), packet.parsed.l3.into()).ok_or(DropReason::Internal)?;
    IcmpHeader::at_mut(frame.head_mut(), l4).ok_or(DropReason::Internal)?.checksum = U16::ZERO;
    let checksum = A::icmp_checksum(&ip, frame.sum(l4..end), end - l4);
    IcmpHeader::at_mut(frame.head_mut(), l4).ok_or(DropReason::Internal)?.checksum = checksum;
    Ok(())
}

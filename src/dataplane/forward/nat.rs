//! NAT: the destination's address and port instead of the virtual ones, and back. Checksums are updated incrementally
//! (RFC 1624), so a wrong one stays wrong; a UDP packet without checksum gets a full one (ip_vs_proto_udp.c).

use super::super::destinations::Hop;
use super::super::director::{Director, Packet};
use super::super::family::Family;
use super::super::frame::Frame;
use super::super::outlet::Outlet;
use super::super::rare::fill_sctp_checksum;
use super::super::tcp::Side;
use crate::model::DropReason;
use crate::tables::connections::ConnId;
use crate::tables::neighbours::NeighbourId;
use crate::wire::Header;
use crate::wire::checksum::Delta;
use crate::wire::ip::IpHeader;
use crate::wire::ip_protocol::{SCTP, TCP, UDP};
use crate::wire::ports::Ports;
use crate::wire::sctp::SctpHeader;
use crate::wire::tcp::TcpHeader;
use crate::wire::udp::UdpHeader;
use zerocopy::network_endian::U16;

/// Which end of the packet is rewritten.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::dataplane) enum End {
    Source,
    Destination,
}

impl<F: Frame> Director<F> {
    #[inline(always)]
    pub(in crate::dataplane) fn send_nat_in<A: Family>(
        &mut self,
        mut frame: F,
        packet: &Packet<A>,
        id: ConnId,
        way: Hop,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        self.take_hop(&mut frame, packet, out)?;
        self.check_mtu(&frame, packet, way.mtu, out)?;
        let conn = self.connections.table::<A>().get(id);
        let (address, port) = (conn.server, conn.server_port);
        if rewrite(&mut frame, packet, End::Destination, address, port)? == Udp::WithoutChecksum {
            self.give_udp_checksum(&mut frame, packet, (way.neighbour, way.mtu));
        }
        self.send::<A>(frame, packet.parsed.l3.into(), (way.neighbour, way.mtu), packet.wire_len(), out)
    }

    #[inline(always)]
    pub(in crate::dataplane) fn send_nat_out<A: Family>(
        &mut self,
        mut frame: F,
        packet: &Packet<A>,
        id: ConnId,
        next_hop: (NeighbourId, u16),
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        self.take_hop(&mut frame, packet, out)?;
        let conn = self.connections.table::<A>().get(id);
        let (address, port) = (conn.virt, conn.virtual_port);
        if rewrite(&mut frame, packet, End::Source, address, port)? == Udp::WithoutChecksum {
            self.give_udp_checksum(&mut frame, packet, next_hop);
        }
        self.advance_state(packet, id, Side::Output);
        self.send::<A>(frame, packet.parsed.l3.into(), next_hop, packet.wire_len(), out)
    }

    /// A datagram that came without a checksum leaves with a full one, which the port makes where it can.
    #[cold]
    fn give_udp_checksum<A: Family>(&mut self, frame: &mut F, packet: &Packet<A>, (next_hop, mtu): (NeighbourId, u16)) {
        let offload = !A::IS_V6 && packet.wire_len() <= mtu && self.network.offloads_udp_checksum(next_hop);
        match offload.then(|| self.network.link_header_len(next_hop)).flatten() {
            Some(l3) if leave_udp_checksum(frame, packet, l3) => {}
            _ => fill_udp_checksum(frame, packet),
        }
    }
}

/// What is left to do after rewriting.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Udp {
    /// Nothing: it has the right checksum, or is not UDP.
    Finished,
    WithoutChecksum,
}

/// Replaces one end's address and port.
#[inline(always)]
fn rewrite<F: Frame, A: Family>(
    frame: &mut F,
    packet: &Packet<A>,
    end: End,
    address: A,
    port: [u8; 2],
) -> Result<Udp, DropReason> {
    let (l3, l4) = (usize::from(packet.parsed.l3), usize::from(packet.parsed.l4));
    let head = frame.head_mut();
    let ip = A::Header::at_mut(head, l3).ok_or(DropReason::Internal)?;
    let addresses = if end == End::Source { ip.set_from(address) } else { ip.set_to(address) };
    match packet.parsed.protocol {
        TCP => {
            let delta = addresses.and(rewrite_port(head, l4, end, port)?);
            delta.apply(&mut TcpHeader::at_mut(head, l4).ok_or(DropReason::L4Truncated)?.checksum);
        }
        UDP => {
            let delta = addresses.and(rewrite_port(head, l4, end, port)?);
            let udp = UdpHeader::at_mut(head, l4).ok_or(DropReason::L4Truncated)?;
            if !udp.has_checksum() {
                return Ok(Udp::WithoutChecksum);
            }
            delta.apply_udp(&mut udp.checksum);
        }
        SCTP => rewrite_sctp(frame, packet, end, port)?,
        // AH and ESP: nobody without the keys can change more than the addresses
        _ => {}
    }
    Ok(Udp::Finished)
}

/// Replaces one end's address and port of a plain packet, from its IP header on, and takes a hop off it. False, and
/// nothing changed, for a datagram without a checksum, which has to get one.
#[inline(always)]
pub(in crate::dataplane) fn rewrite_plain<A: Family>(
    ip: &mut [u8],
    protocol: u8,
    end: End,
    address: A,
    port: [u8; 2],
) -> bool {
    let Some((ip, transport)) = A::Header::split_mut(ip) else { return false };
    // the hop first: it reads more at once than the checksum, which is just being written otherwise
    if protocol == TCP {
        let Some(tcp) = TcpHeader::of_mut(transport) else { return false };
        ip.take_hop();
        let delta = swap_end::<A>(ip, &mut tcp.ports, end, address, port);
        delta.apply(&mut tcp.checksum);
    } else {
        let Some(udp) = UdpHeader::of_mut(transport).filter(|udp| udp.has_checksum()) else { return false };
        ip.take_hop();
        let delta = swap_end::<A>(ip, &mut udp.ports, end, address, port);
        delta.apply_udp(&mut udp.checksum);
    }
    true
}

/// What that does to the transport's checksum.
#[inline(always)]
fn swap_end<A: Family>(ip: &mut A::Header, ports: &mut Ports, end: End, address: A, port: [u8; 2]) -> Delta {
    let (addresses, field) = match end {
        End::Source => (ip.set_from(address), &mut ports.source),
        End::Destination => (ip.set_to(address), &mut ports.destination),
    };
    let old = std::mem::replace(field, U16::from_bytes(port));
    addresses.and(Delta::of_u16(old.get(), field.get()))
}

/// Replaces one end's port; what that does to a checksum over it.
#[inline(always)]
fn rewrite_port(head: &mut [u8], l4: usize, end: End, port: [u8; 2]) -> Result<Delta, DropReason> {
    let ports = Ports::at_mut(head, l4).ok_or(DropReason::L4Truncated)?;
    let field = if end == End::Source { &mut ports.source } else { &mut ports.destination };
    let old = std::mem::replace(field, U16::from_bytes(port));
    Ok(Delta::of_u16(old.get(), field.get()))
}

/// The checksum does not cover the addresses: only another port changes it, and then it is made from scratch (sctp_nat_csum).
#[cold]
fn rewrite_sctp<F: Frame, A: Family>(
    frame: &mut F,
    packet: &Packet<A>,
    end: End,
    port: [u8; 2],
) -> Result<(), DropReason> {
    let l4 = usize::from(packet.parsed.l4);
    let header = SctpHeader::at(frame.head(), l4).ok_or(DropReason::L4Truncated)?;
    let old = if end == End::Source { header.ports.source } else { header.ports.destination };
    if old.to_bytes() != port {
        rewrite_port(frame.head_mut(), l4, end, port)?;
        fill_sctp_checksum(frame, packet);
    }
    Ok(())
}

/// `l3`: where the IP header will be when the frame leaves.
fn leave_udp_checksum<F: Frame, A: Family>(frame: &mut F, packet: &Packet<A>, l3: usize) -> bool {
    let (from, l4) = (usize::from(packet.parsed.l3), usize::from(packet.parsed.l4));
    let length = packet.parsed.frame_len() - l4;
    let Some(ip) = A::Header::at(frame.head(), from) else { return false };
    // not complemented: the port adds the datagram to it
    let pseudo = !ip.pseudo(UDP, length).finish().get();
    if !frame.leave_udp_checksum(l3, l4 - from) {
        return false;
    }
    if let Some(udp) = UdpHeader::at_mut(frame.head_mut(), l4) {
        udp.checksum = U16::new(pseudo);
    }
    true
}

/// A full checksum over the datagram, to the end of the IP packet.
fn fill_udp_checksum<F: Frame, A: Family>(frame: &mut F, packet: &Packet<A>) {
    let (l3, l4) = (usize::from(packet.parsed.l3), usize::from(packet.parsed.l4));
    let Some(ip) = A::Header::at(frame.head(), l3) else { return };
    let end = packet.parsed.frame_len();
    let pseudo = ip.pseudo(UDP, end - l4);
    let checksum = pseudo.and(frame.sum(l4..end)).finish_udp();
    if let Some(udp) = UdpHeader::at_mut(frame.head_mut(), l4) {
        udp.checksum = checksum;
    }
}

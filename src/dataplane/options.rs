//! IPv4 options of packets that pass: routes and times are recorded, source routes refused, as the kernel does with its
//! defaults (ip_rcv_options, ip_forward_options).

use super::director::{Director, Packet};
use super::family::Family;
use super::frame::Frame;
use super::outlet::Outlet;
use crate::model::DropReason;
use crate::tables::connections::Direction;
use crate::wire::ip::IpError;
use crate::wire::ipv4::{self, HEADER_LEN};
use crate::wire::ipv4_options::{Filling, Problem, may_record, receive};
use std::net::IpAddr;

impl<F: Frame> Director<F> {
    /// Sees to the options; then the packet goes the way of one without.
    #[cold]
    pub(super) fn with_options<A: Family>(
        &mut self,
        mut frame: F,
        packet: &Packet<A>,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        if self.is_shared {
            match self.steer_before_options(frame, packet)? {
                Some(ours) => frame = ours,
                None => return Ok(()),
            }
        }
        let source = packet.key.source;
        if !source.is_host() || self.network.local(source.to_ip()).is_some() {
            return Err(DropReason::SourceBad);
        }
        let (l3, l4) = (usize::from(packet.parsed.l3), usize::from(packet.parsed.l4));
        let recorded = frame.head().get(l3 + HEADER_LEN..l4).is_some_and(may_record);
        let filling = if recorded { self.filling(packet) } else { Filling::default() };
        let options = frame.head_mut().get_mut(l3 + HEADER_LEN..l4).ok_or(DropReason::Internal)?;
        match receive(options, &filling, |address| self.network.local(address.into()).is_some()) {
            Err(Problem(pointer)) => {
                self.send_icmp_error(&frame, packet, IpError::ParameterProblem { pointer }, out);
                return Err(DropReason::IpOptionsBad);
            }
            Ok(seen) if seen.source_route => return Err(DropReason::SourceRoute),
            Ok(seen) if seen.changed => ipv4::fill_checksum(&mut frame.head_mut()[l3..]),
            Ok(_) => {}
        }
        self.finish_rare(frame, packet, out)
    }

    /// What is recorded in this packet. A route shows the source it leaves with from a connection's server, and else
    /// where it was addressed to, or this router's own address if that is further on.
    fn filling<A: Family>(&mut self, packet: &Packet<A>) -> Filling {
        let octets = |address: IpAddr| if let IpAddr::V4(v4) = address { v4.octets() } else { [0; 4] };
        let (source, destination) = (packet.key.source, packet.key.destination);
        let is_local = self.network.local(destination.to_ip()).is_some();
        let mut own_towards = |other: A| self.network.way_to(other, self.now).map_or([0; 4], |way| octets(way.source));
        let (address, route) = if is_local {
            (octets(destination.to_ip()), octets(destination.to_ip()))
        } else {
            (own_towards(source), own_towards(destination))
        };
        let connections = self.connections.table::<A>();
        let route = match connections.find(&packet.key) {
            Some((id, Direction::Out)) => octets(connections.get(id).virt.to_ip()),
            _ => route,
        };
        // no wall clock here: the highest bit says that the time is of another kind (RFC 791 §3.1)
        let time = (self.now.0 / 1_000_000) as u32 | 1 << 31;
        Filling { route, address, time: time.to_be_bytes() }
    }
}

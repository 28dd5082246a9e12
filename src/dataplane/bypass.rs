//! Connections around a service: with `cache_bypass`, packets that a transparent cache's service has no server for go to
//! where they are addressed (ip_vs_leave, ip_vs_bypass_xmit).

use super::director::{Director, Packet};
use super::family::Family;
use super::forward::Inbound;
use super::frame::Frame;
use super::outlet::Outlet;
use super::tcp::{self, Side};
use crate::model::timeouts::FIRST_S;
use crate::model::{DestId, DropReason, InterfaceId, Tick};
use crate::tables::connections::{Conn, ConnId};

impl<F: Frame> Director<F> {
    /// Only to somebody else, and to one alone. For IPv6 the kernel asks whether the address is unicast, not whose it is.
    pub(super) fn may_bypass<A: Family>(&self, packet: &Packet<A>) -> bool {
        let destination = packet.key.destination;
        let address = destination.to_ip();
        let is_ours = || self.network.local(address).is_some() || self.network.is_subnet_broadcast(address);
        !destination.is_group() && !address.is_unspecified() && (A::IS_V6 || !is_ours())
    }

    /// The first packet of a connection without a destination.
    #[cold]
    pub(super) fn bypass<A: Family>(
        &mut self,
        frame: F,
        packet: &Packet<A>,
        one_packet: bool,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        let [a, b, c, d] = packet.key.ports.to_ne_bytes();
        let input = self.network.interface_of(packet.port, packet.parsed.vlan).map_or(InterfaceId(0), |i| i.id);
        let conn = Conn::<A> {
            client: packet.key.source,
            virt: packet.key.destination,
            client_port: [a, b],
            virtual_port: [c, d],
            protocol: packet.parsed.protocol,
            dest: DestId::NONE,
            input: input.0,
            timeout: FIRST_S * Tick::PER_S,
            ..Conn::default()
        };
        let id = self.connections.table_mut::<A>().insert(conn, self.tick).map_err(|_| DropReason::TableFull)?;
        self.counters.connections_created.add(1);
        let forwarded = self.forward_bypass(frame, packet, id, Inbound::First, out);
        if one_packet {
            self.end_one_packet::<A>(id);
        }
        forwarded
    }

    /// A packet of a connection that has no destination.
    #[cold]
    pub(super) fn forward_bypass<A: Family>(
        &mut self,
        frame: F,
        packet: &Packet<A>,
        id: ConnId,
        kind: Inbound,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        // no destination: none with weight 0
        const WEIGHT: u32 = 1;
        let is_new = kind == Inbound::Established && tcp::is_new_connection(packet.parsed.tcp_flags);
        if is_new && self.is_reusable::<A>(id, WEIGHT) {
            return self.start_anew(frame, packet, id, out);
        }
        let conn = self.connections.table_mut::<A>().get_mut(id);
        if conn.dest != DestId::NONE {
            return Err(DropReason::Internal);
        }
        conn.in_packets = conn.in_packets.wrapping_add(1);
        self.advance_state(packet, id, Side::Input);
        if self.network.local(packet.key.destination.to_ip()).is_some() {
            return Err(DropReason::NoDestination);
        }
        let hop = self.network.way_to(packet.key.destination, self.now)?.hop();
        self.send_dr(frame, packet, hop, out)
    }
}

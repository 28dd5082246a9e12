//! Packets without a connection: whose they are, and the new connections that begin with them.

use super::director::{Director, Packet};
use super::family::Family;
use super::forward::Inbound;
use super::frame::Frame;
use super::ftp::CONTROL_PORT;
use super::outlet::Outlet;
use super::tcp;
use crate::model::timeouts::FIRST_S;
use crate::model::{DestId, DropReason, Forward, Protocol, ServiceId, ServiceKey, Tick};
use crate::sched::Flow;
use crate::tables::connections::{Conn, ConnId, flags};
use crate::wire::ip::IpError;
use crate::wire::ip_protocol::{SCTP, TCP};

/// A server of active FTP connects from here to the client; never scheduled (ip_vs_schedule).
const FTP_DATA: u16 = 20;

impl<F: Frame> Director<F> {
    /// No connection knows this packet.
    #[cold]
    pub(super) fn no_connection<A: Family>(
        &mut self,
        frame: F,
        packet: &Packet<A>,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        if let Some(id) = self.connections.table::<A>().find_without_port(&packet.key) {
            return self.follow_awaited(frame, packet, id, out);
        }
        let destination = packet.key.destination;
        let Some(local) = self.network.local(destination.to_ip()) else {
            return self.not_ours(frame, packet, out);
        };
        // a source of our own is what the kernel calls a martian: nobody else may send it
        if !packet.key.source.is_host() || self.network.local(packet.key.source.to_ip()).is_some() {
            return Err(DropReason::SourceBad);
        }
        if let Some(service) = self.service_of(packet) {
            return self.admit(frame, packet, service, out);
        }
        debug_assert!(local.is_virtual || local.interface.is_some());
        self.local(frame, packet, out)
    }

    fn not_ours<A: Family>(
        &mut self,
        frame: F,
        packet: &Packet<A>,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        let destination = packet.key.destination;
        if destination.is_group() || packet.to_group || self.network.is_subnet_broadcast(destination.to_ip()) {
            return Err(DropReason::Multicast);
        }
        self.transit(frame, packet, out)
    }

    fn service_of<A: Family>(&self, packet: &Packet<A>) -> Option<ServiceId> {
        let protocol = Protocol::from_number(packet.parsed.protocol)?;
        let [_, _, high, low] = packet.key.ports.to_ne_bytes();
        self.snapshot.directory.find(protocol, packet.key.destination.to_ip(), u16::from_be_bytes([high, low]))
    }

    /// A packet to a service: schedules a new connection if the packet may start one.
    fn admit<A: Family>(
        &mut self,
        frame: F,
        packet: &Packet<A>,
        service: ServiceId,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        if !self.may_start(&frame, packet)? {
            return Err(DropReason::NotSyn);
        }
        if self.snapshot.settings.drop_packet == 3 && self.is_to_drop() {
            return Err(DropReason::DropPacket);
        }
        let flow = self.flow_of(packet);
        if flow.client_port == FTP_DATA {
            return self.local(frame, packet, out);
        }
        if self.is_beside(service, flow.destination_port) {
            return self.local(frame, packet, out);
        }
        let Some(dest) = self.services.schedule(service, &self.destinations, &flow) else {
            self.send_icmp_error(&frame, packet, IpError::PortUnreachable, out);
            return Err(DropReason::NoDestination);
        };
        let id = self.new_connection(packet, dest)?;
        let forwarded = self.forward_in(frame, packet, id, Inbound::First, out);
        if self.is_one_packet(service, packet) {
            self.end::<A>(id);
        }
        forwarded
    }

    /// What goes to other ports belongs to an FTP service only if it is persistent; else it is the host's (ip_vs_leave).
    fn is_beside(&self, service: ServiceId, port: u16) -> bool {
        let Some(state) = self.services.get(service) else { return false };
        let is_other = matches!(state.service.key, ServiceKey::Virtual { port: own, .. } if own != 0 && own != port);
        is_other && state.service.persistence.is_none()
    }

    /// Whether a packet of its kind may begin a connection.
    fn may_start<A: Family>(&self, frame: &F, packet: &Packet<A>) -> Result<bool, DropReason> {
        match packet.parsed.protocol {
            TCP => Ok(tcp::may_start(packet.parsed.tcp_flags, self.snapshot.settings.sloppy_tcp)),
            SCTP => self.may_start_sctp(frame, packet),
            _ => Ok(true),
        }
    }

    /// One-packet scheduling: the connection ends with the packet that began it.
    fn is_one_packet<A: Family>(&self, service: ServiceId, packet: &Packet<A>) -> bool {
        let is_set = self.services.get(service).is_some_and(|state| state.service.one_packet);
        is_set && packet.parsed.protocol == Protocol::Udp.number()
    }

    /// The first of every `am_droprate` packets (ip_vs_todrop).
    fn is_to_drop(&mut self) -> bool {
        let is_last = self.drop_counter <= 1;
        self.drop_counter = if is_last { self.snapshot.settings.am_droprate } else { self.drop_counter - 1 };
        is_last
    }

    fn flow_of<A: Family>(&self, packet: &Packet<A>) -> Flow {
        let [a, b, c, d] = packet.key.ports.to_ne_bytes();
        Flow {
            client: packet.key.source.to_ip(),
            client_port: u16::from_be_bytes([a, b]),
            destination: packet.key.destination.to_ip(),
            destination_port: u16::from_be_bytes([c, d]),
            now: self.now,
        }
    }

    fn new_connection<A: Family>(&mut self, packet: &Packet<A>, dest: DestId) -> Result<ConnId, DropReason> {
        let state = self.destinations.get(dest).ok_or(DropReason::Internal)?;
        let [a, b, c, d] = packet.key.ports.to_ne_bytes();
        let is_nat = state.forward == Forward::Nat;
        let is_ftp = is_nat && packet.parsed.protocol == TCP && [c, d] == CONTROL_PORT;
        let method = match state.forward {
            Forward::Nat if is_ftp => flags::NAT | flags::HELPED,
            Forward::Nat => flags::NAT,
            Forward::Dr => flags::NO_OUTPUT,
            Forward::Tun(_) => flags::NO_OUTPUT | flags::TUN,
            Forward::Local => flags::NO_OUTPUT | flags::LOCAL,
        };
        let conn = Conn::<A> {
            client: packet.key.source,
            virt: packet.key.destination,
            // only a tunnel leads to another family; its outer header is made from the destination
            server: A::from_ip(state.address).unwrap_or_default(),
            client_port: [a, b],
            virtual_port: [c, d],
            server_port: if state.port == [0, 0] || !is_nat { [c, d] } else { state.port },
            protocol: packet.parsed.protocol,
            flags: flags::INACTIVE | method,
            dest,
            timeout: FIRST_S * Tick::PER_S,
            ..Conn::default()
        };
        let id = self.connections.table_mut::<A>().insert(conn, self.tick).map_err(|_| DropReason::TableFull)?;
        self.destinations.bind(dest);
        self.destinations.count_connection(dest);
        self.counters.connections_created.add(1);
        Ok(id)
    }
}

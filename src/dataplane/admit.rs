//! Packets without a connection: whose they are, and the new connections that begin with them.

use super::director::{Director, Packet};
use super::forward::Inbound;
use super::frame::Frame;
use super::icmp::is_host;
use super::outlet::Outlet;
use super::tcp;
use crate::model::timeouts::FIRST_S;
use crate::model::{DestId, DropReason, Forward, Protocol, ServiceId, Tick};
use crate::sched::Flow;
use crate::tables::connections::{Conn, ConnId, flags};
use crate::wire::address::{Address, Ip4};
use crate::wire::icmp::IcmpError;

/// A server of active FTP connects from here to the client; never scheduled (ip_vs_schedule).
const FTP_DATA: u16 = 20;

impl<F: Frame> Director<F> {
    /// No connection knows this packet.
    #[cold]
    pub(super) fn no_connection(
        &mut self,
        frame: F,
        packet: &Packet,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        let destination = packet.key.destination;
        let Some(local) = self.network.local(destination.to_ip()) else {
            return self.not_ours(frame, packet, out);
        };
        // a source of our own is what the kernel calls a martian: nobody else may send it
        if !is_host(packet.key.source) || self.network.local(packet.key.source.to_ip()).is_some() {
            return Err(DropReason::SourceBad);
        }
        if let Some(service) = self.service_of(packet) {
            return self.admit(frame, packet, service, out);
        }
        debug_assert!(local.is_virtual || local.interface.is_some());
        self.local(frame, packet, out)
    }

    fn not_ours(&mut self, frame: F, packet: &Packet, out: &mut impl Outlet<F>) -> Result<(), DropReason> {
        let destination = packet.key.destination;
        let [first, ..] = destination.octets();
        if first >= 224 || packet.to_group || self.network.is_subnet_broadcast(destination.to_ip()) {
            return Err(DropReason::Multicast);
        }
        self.transit(frame, packet, out)
    }

    fn service_of(&self, packet: &Packet) -> Option<ServiceId> {
        let protocol = Protocol::from_number(packet.parsed.protocol)?;
        let [_, _, high, low] = packet.key.ports.to_ne_bytes();
        self.snapshot.directory.find(protocol, packet.key.destination.to_ip(), u16::from_be_bytes([high, low]))
    }

    /// A packet to a service: schedules a new connection if the packet may start one.
    fn admit(
        &mut self,
        frame: F,
        packet: &Packet,
        service: ServiceId,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        let is_tcp = packet.parsed.protocol == Protocol::Tcp.number();
        if is_tcp && !tcp::may_start(packet.parsed.tcp_flags, self.snapshot.settings.sloppy_tcp) {
            return Err(DropReason::NotSyn);
        }
        if self.snapshot.settings.drop_packet == 3 && self.is_to_drop() {
            return Err(DropReason::DropPacket);
        }
        let flow = self.flow_of(packet);
        if flow.client_port == FTP_DATA {
            return self.local(frame, packet, out);
        }
        let Some(dest) = self.services.schedule(service, &mut self.destinations, &flow) else {
            self.send_icmp_error(&frame, packet, IcmpError::PORT_UNREACHABLE, out);
            return Err(DropReason::NoDestination);
        };
        let id = self.new_connection(packet, dest)?;
        let forwarded = self.forward_in(frame, packet, id, Inbound::First, out);
        if self.is_one_packet(service, packet) {
            self.end(id);
        }
        forwarded
    }

    /// One-packet scheduling: the connection ends with the packet that began it.
    fn is_one_packet(&self, service: ServiceId, packet: &Packet) -> bool {
        let is_set = self.services.get(service).is_some_and(|state| state.service.one_packet);
        is_set && packet.parsed.protocol == Protocol::Udp.number()
    }

    /// The first of every `am_droprate` packets (ip_vs_todrop).
    fn is_to_drop(&mut self) -> bool {
        let is_last = self.drop_counter <= 1;
        self.drop_counter = if is_last { self.snapshot.settings.am_droprate } else { self.drop_counter - 1 };
        is_last
    }

    fn flow_of(&self, packet: &Packet) -> Flow {
        let [a, b, c, d] = packet.key.ports.to_ne_bytes();
        Flow {
            client: packet.key.source.to_ip(),
            client_port: u16::from_be_bytes([a, b]),
            destination: packet.key.destination.to_ip(),
            destination_port: u16::from_be_bytes([c, d]),
            now: self.now,
        }
    }

    fn new_connection(&mut self, packet: &Packet, dest: DestId) -> Result<ConnId, DropReason> {
        let state = self.destinations.get(dest).ok_or(DropReason::Internal)?;
        let [a, b, c, d] = packet.key.ports.to_ne_bytes();
        let is_nat = state.forward == Forward::Nat;
        let method = match state.forward {
            Forward::Nat => flags::NAT,
            Forward::Dr => flags::NO_OUTPUT,
            Forward::Tun(_) => flags::NO_OUTPUT | flags::TUN,
            Forward::Local => flags::NO_OUTPUT | flags::LOCAL,
        };
        let conn = Conn::<Ip4> {
            client: packet.key.source,
            virt: packet.key.destination,
            server: state.address,
            client_port: [a, b],
            virtual_port: [c, d],
            server_port: if state.port == [0, 0] || !is_nat { [c, d] } else { state.port },
            protocol: packet.parsed.protocol,
            flags: flags::INACTIVE | method,
            dest,
            timeout: FIRST_S * Tick::PER_S,
            ..Conn::default()
        };
        let id = self.connections.insert(conn, self.tick).map_err(|_| DropReason::TableFull)?;
        self.destinations.bind(dest);
        self.counters.connections_created.add(1);
        Ok(id)
    }
}

//! Packets without a connection: whose they are, and the new connections that begin with them.

use super::director::{Director, Packet};
use super::family::Family;
use super::forward::Inbound;
use super::frame::Frame;
use super::ftp::CONTROL_PORT;
use super::marks::Headers;
use super::outlet::Outlet;
use super::tcp::{self, Side};
use crate::model::Family as AddressFamily;
use crate::model::state::TcpState;
use crate::model::timeouts::FIRST_S;
use crate::model::{DestId, DropReason, Forward, Protocol, ServiceId, ServiceKey, Tick};
use crate::sched::Flow;
use crate::tables::connections::{Conn, ConnId, flags};
use crate::wire::ip::IpError;
use crate::wire::ip_protocol::{SCTP, TCP, UDP};

/// A server of active FTP connects from here to the client; never scheduled (ip_vs_schedule).
pub(super) const FTP_DATA: u16 = 20;
/// FTP's control port (RFC 959 §5.2).
pub(super) const FTP: u16 = 21;

/// What a connection begins as.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beginning {
    state: u8,
    is_active: bool,
    /// Ticks that it lasts; known beforehand, so that it is filed once.
    timeout: u32,
}

impl Beginning {
    /// Before its state says more.
    pub const UNKNOWN: Self = Self { state: 0, is_active: false, timeout: FIRST_S * Tick::PER_S };
}

/// Where a new connection goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    pub dest: DestId,
    /// The template it depends on; 0 for none.
    pub control: u32,
    /// The destination's own port, if it has one, takes the place of the packet's.
    pub maps_port: bool,
}

impl<F: Frame> Director<F> {
    /// No connection knows this packet. Rare beside packets of connections, but what many new ones a second wait for.
    #[inline(never)]
    pub(super) fn no_connection<A: Family>(
        &mut self,
        frame: F,
        packet: &Packet<A>,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        if let Some(id) = self.connections.table::<A>().find_without_port(&packet.key) {
            return self.follow_awaited(frame, packet, id, out);
        }
        let frame = match self.is_shared {
            true => match self.steer(frame, packet)? {
                Some(frame) => frame,
                None => return Ok(()),
            },
            false => frame,
        };
        // the address of a service is one of ours, so that only what is for none has to be asked where it goes
        let service = self.service_of_mark(packet).or_else(|| self.service_of(packet));
        if service.is_none() && self.network.local(packet.key.destination.to_ip()).is_none() {
            return self.not_ours(frame, packet, out);
        }
        // a source of our own is what the kernel calls a martian: nobody else may send it
        if !packet.key.source.is_host() || self.network.local(packet.key.source.to_ip()).is_some() {
            return Err(DropReason::SourceBad);
        }
        if packet.parsed.protocol == A::ICMP {
            return self.icmp_to_us(frame, packet, out);
        }
        if self.snapshot.settings.nat_icmp_send {
            self.refuse_unasked(&frame, packet, out)?;
        }
        match service {
            Some(service) => self.admit(frame, packet, service, out),
            None => self.local(frame, packet, out),
        }
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

    pub(super) fn service_of<A: Family>(&self, packet: &Packet<A>) -> Option<ServiceId> {
        let protocol = Protocol::from_number(packet.parsed.protocol)?;
        let [_, _, high, low] = packet.key.ports.to_ne_bytes();
        self.snapshot.directory.find(protocol, packet.key.destination.to_ip(), u16::from_be_bytes([high, low]))
    }

    /// The service on the packet's mark. It is looked for before all others, and takes packets to any address.
    pub(super) fn service_of_mark<A: Family>(&self, packet: &Packet<A>) -> Option<ServiceId> {
        if self.snapshot.directory.has_marks { self.find_mark(packet) } else { None }
    }

    #[cold]
    fn find_mark<A: Family>(&self, packet: &Packet<A>) -> Option<ServiceId> {
        let protocol = Protocol::from_number(packet.parsed.protocol)?;
        if packet.key.destination.is_group() {
            return None;
        }
        let interface = self.network.interface_of(packet.port, packet.parsed.vlan)?.id;
        let [a, b, c, d] = packet.key.ports.to_ne_bytes();
        let mark = self.snapshot.marks.find(&Headers {
            interface,
            protocol: packet.parsed.protocol,
            source: packet.key.source,
            destination: packet.key.destination,
            ports: protocol.has_ports().then(|| (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))),
        });
        self.snapshot.directory.find_mark(mark, if A::IS_V6 { AddressFamily::V6 } else { AddressFamily::V4 })
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
        let one_packet = self.is_one_packet(service, packet);
        let choice = self.choose(&frame, packet, service, &flow)?;
        let Some(choice) = choice else { return self.leave(frame, packet, service, out) };
        let beginning = self.beginning(packet, choice.dest);
        let id = self.new_connection(packet, choice, beginning.unwrap_or(Beginning::UNKNOWN))?;
        match beginning {
            Some(Beginning { state, .. }) if state == TcpState::Established as u8 => self.assure::<A>(id),
            Some(_) => {}
            None => self.advance_state(packet, id, Side::Input),
        }
        let forwarded = match self.pass_first(frame, packet, id, out) {
            Ok(()) => Ok(()),
            Err(frame) => self.forward_in(frame, packet, id, Inbound::First, out),
        };
        if one_packet {
            self.end_one_packet::<A>(id);
        }
        forwarded
    }

    /// Whether a packet of its kind may begin a connection.
    #[inline(always)]
    fn may_start<A: Family>(&self, frame: &F, packet: &Packet<A>) -> Result<bool, DropReason> {
        match packet.parsed.protocol {
            TCP => Ok(tcp::may_start(packet.parsed.tcp_flags, self.snapshot.settings.sloppy_tcp)),
            SCTP => self.may_start_sctp(frame, packet),
            _ => Ok(true),
        }
    }

    /// One-packet scheduling: the connection ends with the packet that began it.
    pub(super) fn is_one_packet<A: Family>(&self, service: ServiceId, packet: &Packet<A>) -> bool {
        let is_set = self.services.get(service).is_some_and(|state| state.service.one_packet);
        is_set && packet.parsed.protocol == Protocol::Udp.number()
    }

    /// One-packet scheduling: the connection ends with the packet that began it, and leaves word with its template.
    #[cold]
    pub(super) fn end_one_packet<A: Family>(&mut self, id: ConnId) {
        let control = self.connections.table::<A>().get(id).control;
        if control != 0 {
            let template = self.connections.table_mut::<A>().get_mut(ConnId(control));
            template.in_packets = template.in_packets.wrapping_add(1);
        }
        self.end::<A>(id);
    }

    /// The destination for a new connection.
    #[inline(always)]
    pub(super) fn choose<A: Family>(
        &mut self,
        frame: &F,
        packet: &Packet<A>,
        service: ServiceId,
        flow: &Flow,
    ) -> Result<Option<Choice>, DropReason> {
        match self.services.get(service) {
            Some(state) if state.service.persistence.is_some() => {
                self.schedule_persistent(frame, packet, service, flow)
            }
            _ => Ok(self.schedule(service, flow)),
        }
    }

    /// The destination for a connection of a service without persistence. A port that is not the service's own came here
    /// as FTP's data might.
    #[inline(always)]
    fn schedule(&mut self, service: ServiceId, flow: &Flow) -> Option<Choice> {
        match self.services.get(service)?.service.key {
            ServiceKey::Virtual { port, .. } if port != flow.destination_port => return None,
            _ => {}
        }
        let dest = self.services.schedule(service, &mut self.destinations, flow)?;
        Some(Choice { dest, control: 0, maps_port: true })
    }

    /// Nobody takes it (ip_vs_leave).
    #[cold]
    fn leave<A: Family>(
        &mut self,
        frame: F,
        packet: &Packet<A>,
        service: ServiceId,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        let Some(state) = self.services.get(service) else { return Err(DropReason::Internal) };
        let one_packet = self.is_one_packet(service, packet);
        match state.service.key {
            ServiceKey::Mark { .. } if self.snapshot.settings.cache_bypass && self.may_bypass(packet) => {
                return self.bypass(frame, packet, one_packet, out);
            }
            ServiceKey::Virtual { port: FTP, .. } if self.flow_of(packet).destination_port != FTP => {
                return self.local(frame, packet, out);
            }
            _ => {}
        }
        self.send_icmp_error(&frame, packet, IpError::PortUnreachable, out);
        Err(DropReason::NoDestination)
    }

    /// The first of every `am_droprate` packets (ip_vs_todrop).
    pub(super) fn is_to_drop(&mut self) -> bool {
        let is_last = self.drop_counter <= 1;
        self.drop_counter = if is_last { self.snapshot.settings.am_droprate } else { self.drop_counter - 1 };
        is_last
    }

    pub(super) fn flow_of<A: Family>(&self, packet: &Packet<A>) -> Flow {
        let [a, b, c, d] = packet.key.ports.to_ne_bytes();
        Flow {
            client: packet.key.source.to_ip(),
            client_port: u16::from_be_bytes([a, b]),
            destination: packet.key.destination.to_ip(),
            destination_port: u16::from_be_bytes([c, d]),
            now: self.now,
        }
    }

    /// What the packet that begins it makes of a connection; `None` when that takes more than a look at its flags.
    #[inline(always)]
    fn beginning<A: Family>(&self, packet: &Packet<A>, dest: DestId) -> Option<Beginning> {
        let dest = self.destinations.get(dest)?;
        let flags = if A::IS_V6 { packet.parsed.state_flags } else { packet.parsed.tcp_flags };
        let timeouts = self.timeouts.get(dest.timeouts);
        match packet.parsed.protocol {
            TCP if flags != 0 => {
                let side = if matches!(dest.forward, Forward::Nat) { Side::Input } else { Side::InputOnly };
                let state = tcp::next_state(self.secure_tcp, side, TcpState::None as u8, flags);
                let timeout = timeouts.tcp[state as usize];
                Some(Beginning { state: state as u8, is_active: state.is_active(), timeout })
            }
            UDP => Some(Beginning { timeout: timeouts.udp, ..Beginning::UNKNOWN }),
            _ => None,
        }
    }

    #[inline(always)]
    pub(super) fn new_connection<A: Family>(
        &mut self,
        packet: &Packet<A>,
        choice: Choice,
        beginning: Beginning,
    ) -> Result<ConnId, DropReason> {
        let Choice { dest, control, maps_port } = choice;
        let Beginning { state: first, is_active, timeout } = beginning;
        let activity = if is_active { 0 } else { flags::INACTIVE };
        let state = self.destinations.get(dest).ok_or(DropReason::Internal)?;
        let [a, b, c, d] = packet.key.ports.to_ne_bytes();
        let is_nat = matches!(state.forward, Forward::Nat);
        let is_ftp = is_nat && packet.parsed.protocol == TCP && [c, d] == CONTROL_PORT;
        let is_watched = state.departures.reset_on_idle_expiry && packet.parsed.protocol == TCP && !is_ftp;
        let extra = if is_watched { self.watches.add() } else { None };
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
            server_port: if state.port == [0, 0] || !(is_nat && maps_port) { [c, d] } else { state.port },
            protocol: packet.parsed.protocol,
            state: first,
            flags: activity | method | if extra.is_some() { flags::WATCHED } else { 0 },
            extra: extra.unwrap_or(0),
            dest,
            control,
            timeout,
            ..Conn::default()
        };
        let Ok(id) = self.connections.table_mut::<A>().insert(conn, self.tick) else {
            self.watches.remove(conn.extra);
            return Err(DropReason::TableFull);
        };
        self.destinations.bind(dest, !is_active);
        self.destinations.count_connection(dest);
        self.counters.connections_created.add(1);
        Ok(id)
    }
}

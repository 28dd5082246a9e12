//! Persistence: connections of one client go to one destination, as long as the template lives that remembers it
//! (ip_vs_sched_persist). A template stands in the connection table under a key of its own kind.
//!
//! | service | key of its templates |
//! |---|---|
//! | on a port | protocol, client's network, virtual address and port |
//! | on port 21 or 0 | the same with port 0: all ports of a client go together |
//! | on a mark | protocol 0, client's network, the mark in the address's place |
//! | with an engine | the same, and the number of what the engine found (`tables/names.rs`) |

use super::admit::{Choice, FTP};
use super::director::{Director, Packet};
use super::family::Family;
use super::frame::Frame;
use crate::model::state::TEMPLATE_ASSURED;
use crate::model::{
    ClientMask, DestId, DropReason, Forward, Persistence, PersistenceEngine, ServiceId, ServiceKey, Tick,
};
use crate::sched::Flow;
use crate::tables::connections::{Conn, ConnId, Key, flags, ports, template_kind};
use crate::tables::names::NAME_LEN_MAX;
use crate::wire::Header;
use crate::wire::ip_protocol::UDP;
use crate::wire::sip::call_id;
use crate::wire::udp::UdpHeader;
use arrayvec::ArrayVec;

/// The ports of a template that no longer holds.
const INVALID: [u8; 2] = [0xff; 2];

/// What an engine found in a packet.
type Name = ArrayVec<u8, NAME_LEN_MAX>;

/// A template, found or to be made.
struct Wanted<A> {
    /// Without the name's number, which there may not be yet.
    key: Key<A>,
    name: Option<Name>,
    /// Its connections leave the port to the destination.
    maps_port: bool,
    persistence: Persistence,
}

impl<F: Frame> Director<F> {
    /// The destination of the client's template, which is made if there is none. `None`: nobody takes the connection.
    #[cold]
    pub(super) fn schedule_persistent<A: Family>(
        &mut self,
        frame: &F,
        packet: &Packet<A>,
        service: ServiceId,
        flow: &Flow,
    ) -> Result<Option<Choice>, DropReason> {
        let wanted = self.wanted(frame, packet, service, flow)?;
        let template = match self.valid_template(&wanted, None) {
            Some(template) => template,
            None => match self.services.schedule(service, &mut self.destinations, flow) {
                Some(dest) => self.new_template(&wanted, dest)?,
                None => return Ok(None),
            },
        };
        Ok(Some(self.choice_of(&wanted, template)))
    }

    /// The template of what a server itself begins: it leads to this server and no other (ip_vs_new_conn_out). `None`:
    /// the packet does not say what its service tells clients apart by.
    #[cold]
    pub(super) fn persist_outbound<A: Family>(
        &mut self,
        frame: &F,
        packet: &Packet<A>,
        (service, dest): (ServiceId, DestId),
        flow: &Flow,
    ) -> Result<Option<Choice>, DropReason> {
        let Ok(wanted) = self.wanted(frame, packet, service, flow) else { return Ok(None) };
        let template = match self.valid_template(&wanted, Some(dest)) {
            Some(template) => template,
            None => self.new_template(&wanted, dest)?,
        };
        Ok(Some(self.choice_of(&wanted, template)))
    }

    /// The template's destination; its time begins anew.
    fn choice_of<A: Family>(&mut self, wanted: &Wanted<A>, template: ConnId) -> Choice {
        let now = self.tick;
        let connections = self.connections.table_mut::<A>();
        let Conn { dest, timeout, .. } = *connections.get(template);
        connections.touch(template, timeout, now);
        Choice { dest, control: template.0, maps_port: wanted.maps_port }
    }

    /// The template that a packet's connection would depend on, if there is one.
    pub(super) fn template_of<A: Family>(&self, frame: &F, packet: &Packet<A>, service: ServiceId) -> Option<ConnId> {
        self.services.get(service)?.service.persistence?;
        let Wanted { key, name, .. } = self.wanted(frame, packet, service, &self.flow_of(packet)).ok()?;
        let name = name.map_or(Some(0), |name| self.names.find(&name))?;
        let found = self.connections.table::<A>().find(&Key { kind: key.kind | template_kind(name), ..key });
        found.map(|(id, _)| id)
    }

    fn wanted<A: Family>(
        &self,
        frame: &F,
        packet: &Packet<A>,
        service: ServiceId,
        flow: &Flow,
    ) -> Result<Wanted<A>, DropReason> {
        let service = &self.services.get(service).ok_or(DropReason::Internal)?.service;
        let persistence = service.persistence.ok_or(DropReason::Internal)?;
        let name = match persistence.engine {
            Some(PersistenceEngine::Sip) => Some(sip_name(frame, packet).ok_or(DropReason::NoCallId)?),
            None => None,
        };
        let maps_port = flow.destination_port == port_of(&service.key);
        Ok(Wanted { key: key_of(&service.key, persistence.mask, packet, flow), name, maps_port, persistence })
    }

    /// The template, if it still leads somewhere, and nowhere but to `only`; otherwise it is put out of the way
    /// (ip_vs_check_template).
    fn valid_template<A: Family>(&mut self, wanted: &Wanted<A>, only: Option<DestId>) -> Option<ConnId> {
        let name = match &wanted.name {
            Some(name) => self.names.find(name)?,
            None => 0,
        };
        let kind = wanted.key.kind | template_kind(name);
        let (id, _) = self.connections.table::<A>().find(&Key { kind, ..wanted.key })?;
        let dest = self.connections.table::<A>().get(id).dest;
        let ends_when_quiesced = self.snapshot.settings.expire_quiescent_template;
        let is_valid = |weight| !(ends_when_quiesced && weight == 0);
        let leads_there = only.is_none_or(|only| only == dest);
        if leads_there && self.destinations.get(dest).is_some_and(|dest| dest.available && is_valid(dest.weight)) {
            return Some(id);
        }
        let connections = self.connections.table_mut::<A>();
        connections.hide(id);
        let template = connections.get_mut(id);
        (template.virtual_port, template.server_port) = (INVALID, INVALID);
        None
    }

    fn new_template<A: Family>(&mut self, wanted: &Wanted<A>, dest: DestId) -> Result<ConnId, DropReason> {
        let state = self.destinations.get(dest).ok_or(DropReason::Internal)?;
        let [_, _, c, d] = wanted.key.ports.to_ne_bytes();
        let has_port = wanted.maps_port && [c, d] != [0, 0];
        let tunnel = if matches!(state.forward, Forward::Tun(_)) { flags::TUN } else { 0 };
        let template = Conn::<A> {
            client: wanted.key.source,
            virt: wanted.key.destination,
            server: A::from_ip(state.address).unwrap_or_default(),
            virtual_port: [c, d],
            server_port: if has_port { state.port } else { [0, 0] },
            protocol: wanted.key.kind as u8,
            flags: flags::TEMPLATE | tunnel,
            dest,
            timeout: wanted.persistence.timeout_s.saturating_mul(Tick::PER_S),
            ..Conn::default()
        };
        let id = self.insert_template(template, wanted.name.as_deref()).ok_or(DropReason::TableFull)?;
        self.destinations.bind_template(dest);
        self.counters.connections_created.add(1);
        Ok(id)
    }

    fn insert_template<A: Family>(&mut self, template: Conn<A>, name: Option<&[u8]>) -> Option<ConnId> {
        let extra = match name {
            Some(name) => self.names.hold(name)?,
            None => 0,
        };
        let inserted = self.connections.table_mut::<A>().insert(Conn { extra, ..template }, self.tick);
        if inserted.is_err() {
            self.names.release(extra);
        }
        inserted.ok()
    }

    pub(super) fn template_ended<A: Family>(&mut self, template: &Conn<A>) {
        self.destinations.unbind_template(template.dest);
        self.names.release(template.extra);
    }

    /// A connection has been of use: its template, if it has one, outlives it (ip_vs_control_assure_ct).
    #[inline(always)]
    pub(super) fn assure<A: Family>(&mut self, id: ConnId) {
        let control = self.connections.table::<A>().get(id).control;
        if control != 0 {
            self.assure_template::<A>(ConnId(control));
        }
    }

    #[cold]
    fn assure_template<A: Family>(&mut self, control: ConnId) {
        let controller = self.connections.table_mut::<A>().get_mut(control);
        if controller.has(flags::TEMPLATE) {
            controller.state |= TEMPLATE_ASSURED;
        }
    }
}

fn port_of(key: &ServiceKey) -> u16 {
    match key {
        ServiceKey::Virtual { port, .. } => *port,
        ServiceKey::Mark { .. } => 0,
    }
}

/// The key of the template that a packet would belong to.
fn key_of<A: Family>(service: &ServiceKey, mask: ClientMask, packet: &Packet<A>, flow: &Flow) -> Key<A> {
    let port = flow.destination_port;
    let kept = if port == port_of(service) && port != FTP { port } else { 0 };
    let (destination, protocol) = match service {
        ServiceKey::Mark { mark, .. } if port != 0 => (address_of_mark(*mark), 0),
        _ => (packet.key.destination, packet.parsed.protocol),
    };
    let source = mask.apply(packet.key.source);
    Key { source, destination, ports: ports([0, 0], kept.to_be_bytes()), kind: protocol.into() }
}

/// As the kernel lists it: in the address's first four bytes.
fn address_of_mark<A: Family>(mark: u32) -> A {
    let mut octets = [0; 16];
    octets[..4].copy_from_slice(&mark.to_be_bytes());
    A::read(&octets)
}

/// The Call-ID of a SIP message over UDP (ip_vs_sip_fill_param).
fn sip_name<F: Frame, A: Family>(frame: &F, packet: &Packet<A>) -> Option<Name> {
    if packet.parsed.protocol != UDP {
        return None;
    }
    let (from, end) = (usize::from(packet.parsed.l4) + UdpHeader::LEN, packet.parsed.frame_len());
    let found = |message: &[u8]| call_id(message).and_then(|id| Name::try_from(id).ok());
    match frame.head().get(from..end) {
        Some(message) => found(message),
        None => sip_name_in_pieces(frame, from, end, found),
    }
}

/// The message does not lie in one piece.
#[cold]
fn sip_name_in_pieces<F: Frame>(
    frame: &F,
    from: usize,
    end: usize,
    found: impl Fn(&[u8]) -> Option<Name>,
) -> Option<Name> {
    let mut bytes = [0; u16::MAX as usize];
    let message = bytes.get_mut(..end.checked_sub(from)?)?;
    if frame.copy_out(from, message) { found(message) } else { None }
}

//! Connections that real servers begin: what a NAT server of a service with a persistence engine says to somebody whom no
//! connection is known with comes from the service's address, and the answers go to that server (ip_vs_new_conn_out).
//! As in the kernel only over UDP, and not for services on marks or on all ports, whose addresses nobody knows.

use super::admit::{Beginning, Choice};
use super::director::{Director, Packet};
use super::family::Family;
use super::frame::Frame;
use super::outlet::Outlet;
use crate::model::{DestId, DropReason, Protocol, ServiceId, ServiceKey};
use crate::tables::connections::{ConnId, Key, ports};
use crate::wire::ip_protocol::UDP;

/// A server that may begin a connection, its service, and where that is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller<A> {
    service: ServiceId,
    dest: DestId,
    virt: A,
    port: [u8; 2],
}

impl<F: Frame> Director<F> {
    /// Who sends the packet, which no connection is known for, if that may begin one. Of several services with this
    /// server one counts, whichever is found first (ip_vs_find_real_service takes the one it was added to last).
    pub(super) fn caller<A: Family>(&self, packet: &Packet<A>) -> Option<Caller<A>> {
        if packet.parsed.protocol != UDP {
            return None;
        }
        let [high, low, ..] = packet.key.ports.to_ne_bytes();
        let ids = self.destinations.real_servers((packet.key.source.to_ip(), [high, low]));
        let of_service = |id: DestId| Some((id, self.services.get(self.destinations.get(id)?.service)?));
        let is_of_udp = |key: &ServiceKey| match key {
            ServiceKey::Virtual { protocol, .. } => *protocol == Protocol::Udp,
            ServiceKey::Mark { .. } => true,
        };
        let mut services = ids.filter_map(of_service);
        let (dest, state) = services.find(|(_, state)| is_of_udp(&state.service.key))?;
        state.service.persistence?.engine?;
        match state.service.key {
            ServiceKey::Virtual { address, port, .. } if port != 0 && [high, low] != [0, 0] => {
                let virt = A::from_ip(address)?;
                Some(Caller { service: state.service.id, dest, virt, port: port.to_be_bytes() })
            }
            _ => None,
        }
    }

    /// The connection that begins with the packet. `None`: it says nothing to know it again by, and is routed.
    #[cold]
    pub(super) fn begin_outbound<A: Family>(
        &mut self,
        frame: &F,
        packet: &Packet<A>,
        caller: Caller<A>,
    ) -> Result<Option<ConnId>, DropReason> {
        let [_, _, high, low] = packet.key.ports.to_ne_bytes();
        // as the answer will be
        let mut answer = *packet;
        let ports = ports([high, low], caller.port);
        answer.key = Key { source: packet.key.destination, destination: caller.virt, ports, kind: packet.key.kind };
        answer.parsed.ports = ports;
        let flow = self.flow_of(&answer);
        let Caller { service, dest, .. } = caller;
        let Some(choice) = self.persist_outbound(frame, &answer, (service, dest), &flow)? else { return Ok(None) };
        self.new_connection(&answer, Choice { dest, ..choice }, Beginning::UNKNOWN).map(Some)
    }

    #[cold]
    pub(super) fn forward_begun<A: Family>(
        &mut self,
        frame: F,
        packet: &Packet<A>,
        (id, caller): (ConnId, Caller<A>),
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        let forwarded = self.forward_out(frame, packet, id, out);
        if self.is_one_packet(caller.service, packet) {
            self.end::<A>(id);
        }
        forwarded
    }
}

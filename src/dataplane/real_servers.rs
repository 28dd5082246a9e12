//! NAT destinations by address and port, and what is done with packets from there that belong to no connection
//! (`nat_icmp_send`, ip_vs_out_hook).

use super::director::{Director, Packet};
use super::family::Family;
use super::frame::Frame;
use super::outlet::Outlet;
use super::tcp;
use crate::model::{DestId, DropReason, Protocol, ServiceKey};
use crate::wire::Header;
use crate::wire::ip::IpError;
use crate::wire::sctp::{ChunkHeader, SctpHeader, chunk};
use hashbrown::HashMap;
use std::net::IpAddr;

/// All destinations that may be found by where their packets come from.
#[derive(Debug, Default)]
pub struct RealServers {
    by_address: HashMap<(IpAddr, [u8; 2]), Vec<DestId>>,
}

impl RealServers {
    pub fn add(&mut self, address: IpAddr, port: [u8; 2], id: DestId) {
        self.by_address.entry((address, port)).or_default().push(id);
    }

    pub fn remove(&mut self, address: IpAddr, port: [u8; 2], id: DestId) {
        if let Some(ids) = self.by_address.get_mut(&(address, port)) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_address.remove(&(address, port));
            }
        }
    }

    pub fn at(&self, address: IpAddr, port: [u8; 2]) -> &[DestId] {
        self.by_address.get(&(address, port)).map_or(&[], |ids| ids)
    }
}

impl<F: Frame> Director<F> {
    /// A NAT server that sends on a connection nobody knows is told so, unless it ends it anyway.
    #[cold]
    pub(super) fn refuse_unasked<A: Family>(
        &mut self,
        frame: &F,
        packet: &Packet<A>,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        let protocol = Protocol::from_number(packet.parsed.protocol);
        let has_ports = |protocol: &Protocol| matches!(protocol, Protocol::Tcp | Protocol::Udp | Protocol::Sctp);
        let Some(protocol) = protocol.filter(has_ports) else { return Ok(()) };
        let [high, low, ..] = packet.key.ports.to_ne_bytes();
        let is_real = self.is_real_server(protocol, packet.key.source.to_ip(), [high, low]);
        if !is_real || is_end(frame, packet, protocol) {
            return Ok(());
        }
        self.send_icmp_error(frame, packet, IpError::PortUnreachable, out);
        Err(DropReason::Unasked)
    }

    /// Whether a NAT destination has this address and port (ip_vs_has_real_service).
    fn is_real_server(&self, protocol: Protocol, address: IpAddr, port: [u8; 2]) -> bool {
        self.destinations.real_servers().at(address, port).iter().any(|id| {
            let service = self.destinations.get(*id).and_then(|dest| self.services.get(dest.service));
            service.is_some_and(|state| match state.service.key {
                ServiceKey::Virtual { protocol: its, .. } => its == protocol,
                ServiceKey::Mark { .. } => true,
            })
        })
    }
}

/// A RST, or an ABORT in the first chunk.
fn is_end<F: Frame, A>(frame: &F, packet: &Packet<A>, protocol: Protocol) -> bool {
    match protocol {
        Protocol::Tcp => tcp::is_reset(packet.parsed.tcp_flags),
        Protocol::Sctp => {
            let mut first = [0; ChunkHeader::LEN];
            let is_there = frame.copy_out(usize::from(packet.parsed.l4) + SctpHeader::LEN, &mut first);
            is_there && first[0] == chunk::ABORT
        }
        _ => false,
    }
}

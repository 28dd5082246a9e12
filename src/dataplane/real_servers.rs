//! NAT destinations by address and port, and what is done with packets from there that belong to no connection
//! (`nat_icmp_send`, ip_vs_out_hook).

use super::director::{Director, Packet};
use super::family::Family;
use super::frame::Frame;
use super::outlet::Outlet;
use super::tcp;
use crate::model::limits::DESTINATIONS_MAX;
use crate::model::{DestId, DropReason, Protocol, ServiceKey};
use crate::tables::index::Index;
use crate::tables::memory::{Mapping, NoMemory};
use crate::wire::Header;
use crate::wire::address::fold;
use crate::wire::ip::IpError;
use crate::wire::sctp::{ChunkHeader, SctpHeader, chunk};
use std::net::IpAddr;

/// Where packets come from: an address and a port.
pub type Place = (IpAddr, [u8; 2]);

/// All destinations that may be found by where their packets come from. One of each place is in the index, the others of
/// the same place follow in a list, so that each comes and goes in one step however many there are.
pub struct RealServers {
    first: Index,
    /// Of each destination, one more than the number of the next and of the previous one of its place; 0 for none.
    links: Mapping<u32>,
}

fn hash((address, port): Place) -> u64 {
    /// Any odd words: who can choose the addresses is the operator.
    const SEEDS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03];
    let bits = match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    let high = fold((bits >> 64) as u64 ^ SEEDS[0], u64::from(u16::from_be_bytes(port)) ^ SEEDS[1]);
    fold(bits as u64 ^ high, SEEDS[0])
}

impl RealServers {
    pub fn new() -> Result<Self, NoMemory> {
        let first = Index::new_sparse(DESTINATIONS_MAX)?;
        Ok(Self { first, links: Mapping::new_sparse(2 * DESTINATIONS_MAX)? })
    }

    fn next(&mut self, id: u32) -> &mut u32 {
        &mut self.links[2 * id as usize]
    }

    fn previous(&mut self, id: u32) -> &mut u32 {
        &mut self.links[2 * id as usize + 1]
    }

    /// `is_there` says of another destination whether it is of this place.
    pub fn add(&mut self, place: Place, id: DestId, is_there: impl Fn(DestId) -> bool) {
        let DestId(id) = id;
        let Some(first) = self.first.find(hash(place), |other| is_there(DestId(other))) else {
            (*self.next(id), *self.previous(id)) = (0, 0);
            // there is room for all destinations
            let _ = self.first.insert(hash(place), id);
            return;
        };
        let next = std::mem::replace(self.next(first), id + 1);
        (*self.next(id), *self.previous(id)) = (next, first + 1);
        if next != 0 {
            *self.previous(next - 1) = id + 1;
        }
    }

    pub fn remove(&mut self, place: Place, id: DestId) {
        let DestId(id) = id;
        let (next, previous) = (*self.next(id), *self.previous(id));
        if next != 0 {
            *self.previous(next - 1) = previous;
        }
        if previous != 0 {
            *self.next(previous - 1) = next;
        } else if self.first.remove(hash(place), id) && next != 0 {
            let _ = self.first.insert(hash(place), next - 1);
        }
    }

    /// The destinations of a place; `is_there` as for [`RealServers::add`].
    pub fn at(&self, place: Place, is_there: impl Fn(DestId) -> bool) -> impl Iterator<Item = DestId> {
        let first = self.first.find(hash(place), |id| is_there(DestId(id)));
        let following = |id: &u32| self.links[2 * *id as usize].checked_sub(1);
        std::iter::successors(first, following).map(DestId)
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
        self.destinations.real_servers((address, port)).any(|id| {
            let service = self.destinations.get(id).and_then(|dest| self.services.get(dest.service));
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn destinations_are_found_by_place_whatever_comes_and_goes(steps in prop::collection::vec(0..60_u32, 1..200)) {
            // a third of the destinations have a place together
            let place = |id: u32| (IpAddr::from([10, 0, 0, (id % 3 * (id % 5)) as u8]), [0, 80]);
            let mut servers = RealServers::new().unwrap();
            let mut known = BTreeSet::new();
            for id in steps {
                let is_there = |other: DestId| place(other.0) == place(id);
                if known.remove(&id) {
                    servers.remove(place(id), DestId(id));
                } else {
                    servers.add(place(id), DestId(id), is_there);
                    known.insert(id);
                }
                let found: BTreeSet<u32> = servers.at(place(id), is_there).map(|id| id.0).collect();
                let wanted: BTreeSet<u32> = known.iter().copied().filter(|other| place(*other) == place(id)).collect();
                prop_assert_eq!(found, wanted);
            }
        }
    }
}

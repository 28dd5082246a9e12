//! ICMP errors about the director's own tunnel packets: what a router on the way to a server says of the outer packet is
//! said to the client of the inner one, and an MTU is remembered (ip_vs_in_icmp). As in the kernel only of IPv4 in
//! IPv4; errors about other tunnels end here.

use super::director::{Director, Packet};
use super::family::Family;
use super::forward::is_intact;
use super::frame::Frame;
use super::outlet::Outlet;
use super::related::key_of;
use crate::model::{DestId, DropReason, Forward, TunnelKind};
use crate::tables::connections::{Direction, Key};
use crate::wire::Header;
use crate::wire::icmp::IcmpHeader;
use crate::wire::ip::{IpError, IpHeader, QUOTE_LEN_MAX};
use crate::wire::quoted::{Carrier, Quoted, Tunnelled};
use std::net::IpAddr;

/// Outer header that the kernel takes off what it tells, whatever the tunnel's kind, unless less than the least MTU
/// would be left.
const OUTER_LEN: u16 = 20;
const TOLD_LEAST: u16 = 68;

/// An error about a packet of a tunnel.
#[derive(Clone, Copy, Debug)]
pub(super) struct TunnelError<A> {
    dest: DestId,
    /// Of the inner packet.
    key: Key<A>,
    /// Where the inner packet begins in the frame.
    at: usize,
    server: IpAddr,
}

impl<F: Frame> Director<F> {
    /// Whether an ICMP message to us is about a packet of a connection in a tunnel.
    pub(super) fn error_of_tunnel<A: Family>(
        &self,
        frame: &mut F,
        packet: &Packet<A>,
    ) -> Result<Option<TunnelError<A>>, DropReason> {
        if A::IS_V6 {
            return Ok(None);
        }
        let at = self.quote_in(frame, packet)?;
        Ok(at.and_then(|at| self.tunnel_quoted(frame.head(), at)))
    }

    fn tunnel_quoted<A: Family>(&self, head: &[u8], at: usize) -> Option<TunnelError<A>> {
        let outer = Tunnelled::<A>::parse(head.get(at..)?)?;
        let at = at + outer.inner;
        let key = key_of(&Quoted::<A>::parse(head.get(at..)?)?);
        let (id, _) = self.find_living(&key).filter(|(_, direction)| *direction == Direction::In)?;
        let dest = self.connections.table::<A>().get(id).dest;
        let server = outer.destination.to_ip();
        self.is_tunnel(dest, server, outer.carrier).then_some(TunnelError { dest, key, at, server })
    }

    /// Whether a destination is behind this tunnel.
    fn is_tunnel(&self, id: DestId, server: IpAddr, carrier: Carrier) -> bool {
        let Some(dest) = self.destinations.get(id) else { return false };
        let Forward::Tun(tunnel) = dest.forward else { return false };
        let is_same = match (tunnel.kind, carrier) {
            (TunnelKind::Ipip, Carrier::Ip) | (TunnelKind::Gre, Carrier::Gre) => true,
            (TunnelKind::Gue, Carrier::Gue(port)) => tunnel.port == port,
            _ => false,
        };
        is_same && dest.available && dest.address == server
    }

    /// Tells the client in the router's place; the error itself ends here.
    #[cold]
    pub(super) fn tell_client<A: Family>(
        &mut self,
        frame: F,
        packet: &Packet<A>,
        error: &TunnelError<A>,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        if !is_intact(&frame, packet) {
            return Err(DropReason::IcmpChecksumBad);
        }
        let IcmpHeader { kind, code, rest, .. } =
            *IcmpHeader::at(frame.head(), packet.parsed.l4.into()).ok_or(DropReason::Internal)?;
        let inner = *A::Header::at(frame.head(), error.at).ok_or(DropReason::Internal)?;
        let mut rest = rest.get();
        if let Some(mtu) = A::told_mtu(kind, code, rest) {
            self.network.learn_path_mtu(error.server, mtu, self.now);
            self.tell_of_path_mtu(error.server, mtu);
            if !inner.is_whole() {
                return Err(DropReason::TunnelError);
            }
            rest = self.inner_mtu(error, mtu).into();
        }
        let mut quote = [0; QUOTE_LEN_MAX];
        let len = packet.parsed.frame_len().saturating_sub(error.at);
        let quote = &mut quote[..len.min(QUOTE_LEN_MAX)];
        if frame.copy_out(error.at, quote) {
            self.answer(quote, &error.key, IpError::Relayed { kind, code, rest }, out);
        }
        self.count_out(error.dest, len);
        Err(DropReason::TunnelError)
    }

    /// What the client is told when a router says `mtu`: the MTU of the way as the last packet there found it.
    fn inner_mtu<A: Family>(&self, error: &TunnelError<A>, mtu: u16) -> u16 {
        let dest = self.destinations.get(error.dest);
        let known = dest.filter(|dest| dest.has_way());
        let mtu = known.map_or(mtu, |dest| self.network.mtu_seen(error.server, dest.hop, dest.way_epoch.0));
        if mtu > TOLD_LEAST + OUTER_LEN { mtu - OUTER_LEN } else { mtu }
    }
}

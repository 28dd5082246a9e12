//! Neighbour discovery (RFC 4861): answering for the director's own IPv6 addresses, asking for next hops, announcing
//! virtual addresses. What [`super::arp`] is to IPv4.

use super::director::{Director, Packet};
use super::family::Family;
use super::frame::Frame;
use super::network::send_own;
use super::outlet::Outlet;
use super::snapshot::Interface;
use crate::model::DropReason;
use crate::wire::Header;
use crate::wire::ethernet::{EthernetHeader, MacAddr};
use crate::wire::icmpv6::{NEIGHBOUR_ADVERTISEMENT, NEIGHBOUR_SOLICITATION};
use crate::wire::ip_protocol::ICMPV6;
use crate::wire::nd::{NeighbourFrame, NeighbourMessage};
use crate::wire::parse::Parsed;
use std::net::Ipv6Addr;

/// No solicitation or advertisement is longer, whatever options it has: RFC 4861 defines none that would be.
const MESSAGE_MAX: usize = 256;

impl<F: Frame> Director<F> {
    /// A solicitation or advertisement came in: learn from it, answer it.
    #[cold]
    pub(super) fn neighbour_discovery<A: Family>(
        &mut self,
        frame: F,
        packet: &Packet<A>,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        let (message, from) = read(&frame, packet).ok_or(DropReason::NdBad)?;
        let interface = self.network.interface_of(packet.port, packet.parsed.vlan).ok_or(DropReason::UnknownVlan)?;
        let interface = interface.clone();
        let speaker = if message.is_solicitation { message.source } else { message.target };
        if self.network.local(speaker.into()).is_some() {
            // somebody else claims an address of ours
            return Err(DropReason::AddressConflict);
        }
        let answers = message.is_solicitation && self.is_answered_on(message.target, &interface);
        if let Some(mac) = message.mac
            && self.network.is_connected(interface.id, speaker.into())
            && (message.is_solicitation || self.believes(&message, mac, &interface))
        {
            self.network.confirm(interface.id, speaker.into(), mac.0, answers, self.now, out);
            self.tell_of_neighbour(interface.id, speaker.into(), mac.0, answers);
        }
        if message.is_solicitation && !answers {
            return Err(DropReason::NdNotOurs);
        }
        self.counters.consumed.add(1);
        if answers {
            send(&NeighbourFrame::answer(&message, from, MacAddr(interface.mac)), &interface, out);
        }
        Ok(())
    }

    fn is_answered_on(&self, target: Ipv6Addr, interface: &Interface) -> bool {
        self.network.local(target.into()).is_some_and(|local| local.interface == Some(interface.id))
    }

    /// Without the override flag an advertisement confirms what is known, and does not replace it (RFC 4861 §7.2.5).
    fn believes(&self, message: &NeighbourMessage, mac: MacAddr, interface: &Interface) -> bool {
        let neighbours = &self.network.neighbours;
        let known = neighbours.find(interface.id, message.target.into()).and_then(|id| neighbours.get(id));
        message.overrides || known.is_none_or(|known| !known.is_usable() || known.mac == mac.0)
    }
}

/// Whether the packet, an IPv6 one, asks or tells who has an address.
pub fn is_discovery(head: &[u8], parsed: &Parsed) -> bool {
    let kind = head.get(usize::from(parsed.l4));
    parsed.protocol == ICMPV6
        && !parsed.fragment
        && matches!(kind, Some(&(NEIGHBOUR_SOLICITATION | NEIGHBOUR_ADVERTISEMENT)))
}

/// The message, and the station its frame came from.
fn read<F: Frame, A>(frame: &F, packet: &Packet<A>) -> Option<(NeighbourMessage, MacAddr)> {
    let mut bytes = [0; MESSAGE_MAX];
    let bytes = bytes.get_mut(..packet.parsed.ip_len.into())?;
    if !frame.copy_out(packet.parsed.l3.into(), bytes) {
        return None;
    }
    let mut ethernet = [0; EthernetHeader::LEN];
    let from = frame.copy_out(0, &mut ethernet).then(|| EthernetHeader::of(&ethernet)).flatten()?.source;
    Some((NeighbourMessage::parse(bytes)?, from))
}

/// Asks who has `target`; directly `mac` if given, else its solicited-node group.
pub fn send_solicitation<F: Frame>(
    interface: &Interface,
    source: Ipv6Addr,
    target: Ipv6Addr,
    mac: Option<[u8; 6]>,
    out: &mut impl Outlet<F>,
) {
    let mut solicitation = NeighbourFrame::solicitation(MacAddr(interface.mac), source, target);
    if let Some(mac) = mac {
        (solicitation.destination_mac, solicitation.destination) = (MacAddr(mac), target);
    }
    send(&solicitation, interface, out);
}

/// Tells everybody on the link where `address` is now.
pub fn announce<F: Frame>(interface: &Interface, address: Ipv6Addr, out: &mut impl Outlet<F>) {
    send(&NeighbourFrame::unsolicited(MacAddr(interface.mac), address), interface, out);
}

fn send<F: Frame>(message: &NeighbourFrame, interface: &Interface, out: &mut impl Outlet<F>) {
    let mut bytes = [0; NeighbourFrame::LEN];
    let written = message.write(&mut bytes);
    debug_assert_eq!(written, Some(bytes.len()));
    send_own(&bytes, interface, out);
}

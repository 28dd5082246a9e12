//! ARP (RFC 826): answering for the director's own IPv4 addresses, asking for next hops, announcing virtual addresses.

use super::director::{Director, Packet};
use super::frame::Frame;
use super::network::send_own;
use super::outlet::Outlet;
use super::snapshot::Interface;
use crate::model::DropReason;
use crate::wire::Header;
use crate::wire::arp::{ArpPacket, FRAME_LEN};
use crate::wire::ethernet::{EthernetHeader, MacAddr, ethertype};
use std::net::Ipv4Addr;

impl<F: Frame> Director<F> {
    /// An ARP frame came in: learn its sender, answer its question in place.
    #[cold]
    pub(super) fn arp<A>(
        &mut self,
        mut frame: F,
        packet: &Packet<A>,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        let l3 = usize::from(packet.parsed.l3);
        let wanted = l3 + ArpPacket::LEN;
        if frame.head().len() < wanted && !frame.pull(wanted) {
            return Err(DropReason::ArpBad);
        }
        let arp = frame.head().get(l3..).and_then(ArpPacket::parse).ok_or(DropReason::ArpBad)?;
        let (sender, sender_mac, target) = (arp.sender_ip(), arp.sender_mac, arp.target_ip());
        let (is_request, reply_from) = (arp.is_request(), *arp);
        let interface = self.network.interface_of(packet.port, packet.parsed.vlan).ok_or(DropReason::UnknownVlan)?;
        let (id, mac) = (interface.id, interface.mac);
        if self.network.local(sender.into()).is_some() {
            // somebody else claims an address of ours
            return Err(DropReason::AddressConflict);
        }
        let answers = self.network.local(target.into()).is_some_and(|local| local.interface == Some(id));
        if !sender.is_unspecified() && self.network.is_connected(id, sender.into()) {
            self.network.confirm(id, sender.into(), sender_mac.0, answers, self.now, out);
            self.tell_of_neighbour(id, sender.into(), sender_mac.0, answers);
        }
        if !is_request {
            self.counters.consumed.add(1);
            return Ok(());
        }
        if !answers {
            return Err(DropReason::ArpNotOurs);
        }
        let reply = reply_from.reply(MacAddr(mac));
        let bytes = frame.head_mut().get_mut(l3..).ok_or(DropReason::Internal)?;
        reply.put(bytes).ok_or(DropReason::ArpBad)?;
        let header = EthernetHeader::of_mut(frame.head_mut()).ok_or(DropReason::Internal)?;
        (header.destination, header.source) = (sender_mac, MacAddr(mac));
        self.counters.consumed.add(1);
        out.transmit(packet.port, frame);
        Ok(())
    }
}

/// Tells everybody on the link where `address` is now.
pub fn announce<F: Frame>(interface: &Interface, address: Ipv4Addr, out: &mut impl Outlet<F>) {
    send(&ArpPacket::gratuitous(MacAddr(interface.mac), address), MacAddr::BROADCAST, interface, out);
}

/// Asks who has `target`; directly `mac` if given, else everybody.
pub fn send_request<F: Frame>(
    interface: &Interface,
    source: Ipv4Addr,
    target: Ipv4Addr,
    mac: Option<[u8; 6]>,
    out: &mut impl Outlet<F>,
) {
    let request = ArpPacket::request(MacAddr(interface.mac), source, target);
    send(&request, mac.map_or(MacAddr::BROADCAST, MacAddr), interface, out);
}

fn send<F: Frame>(arp: &ArpPacket, to: MacAddr, interface: &Interface, out: &mut impl Outlet<F>) {
    let mut bytes = [0; FRAME_LEN];
    let header = EthernetHeader::new(to, MacAddr(interface.mac), ethertype::ARP);
    let whole = header.put(&mut bytes).and_then(|rest| arp.put(rest));
    debug_assert!(whole.is_some(), "FRAME_LEN is the sum of both");
    send_own(&bytes, interface, out);
}

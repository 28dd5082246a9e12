//! Tunnels: IP in IP (RFC 2003), with the outer header as the kernel makes it (ip_vs_tunnel_xmit).

use super::super::destinations::Way;
use super::super::director::{Director, Packet};
use super::super::family::Family;
use super::super::frame::Frame;
use super::super::outlet::Outlet;
use crate::model::{DestId, DropReason};
use crate::wire::Header;
use crate::wire::address::Ip4;
use crate::wire::ip::IpHeader;
use crate::wire::ipv4::{self, Ipv4Header, MTU_MIN};
use std::net::IpAddr;
use zerocopy::network_endian::U16;

/// ECN field (RFC 3168): congestion experienced, and ECN-capable.
const ECN_MASK: u8 = 3;
const ECN_CE: u8 = 3;
const ECN_ECT_0: u8 = 2;

impl<F: Frame> Director<F> {
    #[inline(always)]
    pub(super) fn send_tun<A: Family>(
        &mut self,
        mut frame: F,
        packet: &Packet<A>,
        dest: DestId,
        way: Way,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        self.take_hop(&mut frame, packet, out)?;
        let mtu = way.mtu.saturating_sub(ipv4::HEADER_LEN as u16);
        if mtu < MTU_MIN {
            return Err(DropReason::MtuExceeded);
        }
        if self.snapshot.settings.pmtu_disc {
            self.check_mtu(&frame, packet, mtu, out)?;
        }
        let l3 = usize::from(packet.parsed.l3);
        let to = self.destinations.get(dest).ok_or(DropReason::Internal)?.address;
        let inner = *A::Header::at(frame.head(), l3).ok_or(DropReason::Internal)?;
        let (IpAddr::V4(from), IpAddr::V4(to)) = (way.source, to) else { return Err(DropReason::Internal) };
        let mut outer =
            Ipv4Header::new(from, to, A::IN_IP, packet.parsed.ip_len.into()).ok_or(DropReason::MtuExceeded)?;
        (outer.tos, outer.ttl) = (outer_tos(inner.class()), inner.hops());
        if !A::IS_V6 && inner.is_whole() && self.snapshot.settings.pmtu_disc {
            outer.set_fragment(true, false, 0);
        } else {
            outer.id = U16::new(self.next_ip_id());
        }
        outer.fill_checksum();
        if !frame.prepend(ipv4::HEADER_LEN) {
            return Err(DropReason::NoHeadroom);
        }
        let room = frame.head_mut().get_mut(l3..).ok_or(DropReason::Internal)?;
        outer.put(room).ok_or(DropReason::Internal)?;
        // too long is only what may be fragmented, or without `pmtu_disc` anything; then the tunnel's packet is
        let outer_len = packet.wire_len().saturating_add(ipv4::HEADER_LEN as u16);
        self.send::<Ip4>(frame, l3, (way.neighbour, way.mtu), outer_len, out)
    }
}

/// The inner DSCP; ECN as an encapsulator of full functionality sets it (RFC 3168 §9.1.1), which shows congestion met
/// before the tunnel inside only.
#[inline(always)]
fn outer_tos(inner: u8) -> u8 {
    if inner & ECN_MASK == ECN_CE { inner & !ECN_MASK | ECN_ECT_0 } else { inner }
}

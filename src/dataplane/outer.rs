//! What stands in front of a tunnelled packet: the link's header, the outer IP header, and the tunnel's own (RFC 2003,
//! RFC 2473, RFC 2784, GUE), as the kernel makes them (ip_vs_tunnel_xmit, ip_vs_tunnel_xmit_v6).
//!
//! It is made once for a destination and copied in front of each packet, which then fills in the few fields that are its
//! own. It is as valid as the way to the destination it was made from.

use super::destinations::Way;
use super::network::{LINK_HEADER_LEN_MAX, link_header};
use super::path::{Path, UNTAGGED_LEN};
use super::snapshot::Interface;
use crate::model::{PortId, Tunnel, TunnelChecksum, TunnelKind};
use crate::wire::address::{Ip4, Ip6};
use crate::wire::checksum::Sum;
use crate::wire::gue::GueHeader;
use crate::wire::ip::{Ip, IpHeader};
use crate::wire::ip_protocol::{GRE, UDP};
use crate::wire::ipv4::{Ipv4Header, Varying};
use crate::wire::ipv6::Ipv6Header;
use crate::wire::udp::UdpHeader;
use crate::wire::{Header, gre, gue, ipv6};
use arrayvec::ArrayVec;
use std::net::IpAddr;
use zerocopy::IntoBytes;
use zerocopy::network_endian::{U16, U32};

/// With a VLAN tag, IPv6, UDP and GUE.
const LEN_MAX: usize = LINK_HEADER_LEN_MAX + ipv6::HEADER_LEN + UdpHeader::LEN + GueHeader::LEN;
/// Bytes copied at a time; the shortest, Ethernet and IPv4, is longer.
const PIECE: usize = 32;

/// ECN field (RFC 3168): congestion experienced, and ECN-capable.
const ECN_MASK: u8 = 3;
const ECN_CE: u8 = 3;
const ECN_ECT_0: u8 = 2;

/// The headers in front of the packets to one destination. What an IP packet in IPv4 needs is in the first cache line.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub struct Outer {
    /// Inner packet bytes that fit; 0 when the link is too small for the tunnel.
    pub mtu: u16,
    /// Bytes between link header and inner packet.
    pub overhead: u16,
    /// Where frames leave.
    pub port: PortId,
    /// Of all headers.
    len: u8,
    link_len: u8,
    pub carrier: Carrier,
    /// The headers are a fixed number of bytes, and nothing is to be filled in.
    pub is_short: bool,
    to_fill: ToFill,
    /// Of an outer IPv4 header's words as they stand in `bytes`.
    sum: u32,
    bytes: Bytes,
}

const _: () = assert!(std::mem::offset_of!(Outer, bytes) + 14 + 20 <= 64);

#[derive(Clone, Copy, Debug)]
struct Bytes([u8; LEN_MAX]);

impl Default for Bytes {
    fn default() -> Self {
        Self([0; LEN_MAX])
    }
}

/// The outer IP version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Carrier {
    #[default]
    V4,
    V6,
}

/// What of the tunnel's own header differs between packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ToFill {
    #[default]
    Nothing,
    GreChecksum,
    Gue,
    GueChecksum,
}

/// What of an inner packet its outer header depends on.
#[derive(Clone, Copy, Debug)]
pub struct Inner {
    /// Bytes; with [`Outer::overhead`] no more than an IP packet can have.
    pub len: u16,
    /// DSCP and ECN.
    pub class: u8,
    pub hops: u8,
    pub dont_fragment: bool,
    /// For an outer header that has one.
    pub id: u16,
}

/// An IP version as the outer one.
pub trait Carry: Ip {
    const HEADER_LEN: usize = size_of::<Self::Header>();
    /// The header without what differs between packets, and the sum of its words for versions that sum them.
    fn template(from: Self, to: Self, protocol: u8) -> (Self::Header, u32);
    /// `payload`: what stands behind the header, in bytes.
    fn complete(header: &mut Self::Header, template_sum: u32, payload: u16, inner: &Inner);
}

impl Carry for Ip4 {
    fn template(from: Self, to: Self, protocol: u8) -> (Ipv4Header, u32) {
        let header = Ipv4Header::template(from.octets().into(), to.octets().into(), protocol);
        (header, header.template_sum())
    }

    #[inline(always)]
    fn complete(header: &mut Ipv4Header, template_sum: u32, payload: u16, inner: &Inner) {
        let &Inner { class, hops: ttl, dont_fragment, id, .. } = inner;
        let total_length = payload.wrapping_add(Self::HEADER_LEN as u16);
        header.complete(template_sum, Varying { tos: outer_class(class), total_length, id, dont_fragment, ttl });
    }
}

impl Carry for Ip6 {
    fn template(from: Self, to: Self, protocol: u8) -> (Ipv6Header, u32) {
        let (source, destination) = (octets(from), octets(to));
        let (version_class_flow, payload_length) = (U32::new(6 << 28), U16::ZERO);
        let (next_header, hop_limit) = (protocol, 0);
        (Ipv6Header { version_class_flow, payload_length, next_header, hop_limit, source, destination }, 0)
    }

    #[inline(always)]
    fn complete(header: &mut Ipv6Header, _: u32, payload: u16, inner: &Inner) {
        header.version_class_flow = U32::new(6 << 28 | u32::from(outer_class(inner.class)) << 20);
        (header.payload_length, header.hop_limit) = (U16::new(payload), inner.hops);
    }
}

fn octets(address: Ip6) -> [u8; 16] {
    std::net::Ipv6Addr::from(address).octets()
}

/// The inner DSCP; ECN as an encapsulator of full functionality sets it (RFC 3168 §9.1.1), which shows congestion met
/// before the tunnel inside only.
#[inline(always)]
fn outer_class(inner: u8) -> u8 {
    if inner & ECN_MASK == ECN_CE { inner & !ECN_MASK | ECN_ECT_0 } else { inner }
}

/// The tunnel's own header in front of packets of family `A`, and the protocol number that announces it.
fn own_header<A: Ip>(tunnel: Tunnel) -> (u8, ToFill, ArrayVec<u8, 16>) {
    let mut bytes = [0; 16];
    let (protocol, to_fill, len) = match (tunnel.kind, tunnel.checksum) {
        (TunnelKind::Ipip, _) => (A::IN_IP, ToFill::Nothing, 0),
        (TunnelKind::Gre, TunnelChecksum::Full) => (GRE, ToFill::GreChecksum, gre::header_len(true)),
        (TunnelKind::Gre, _) => {
            let len = gre::write(&mut bytes, A::ETHERTYPE, None);
            (GRE, ToFill::Nothing, len.unwrap_or_default())
        }
        (TunnelKind::Gue, checksum) => {
            let udp = UdpHeader::new(0, tunnel.port, 0);
            bytes[..UdpHeader::LEN].copy_from_slice(udp.as_bytes());
            bytes[UdpHeader::LEN..][..GueHeader::LEN].copy_from_slice(GueHeader::new(A::IN_IP).as_bytes());
            // the offload is for sums still to be made; what is forwarded has its own, and then the kernel makes UDP's
            let to_fill = if checksum == TunnelChecksum::None { ToFill::Gue } else { ToFill::GueChecksum };
            (UDP, to_fill, UdpHeader::LEN + GueHeader::LEN)
        }
    };
    (protocol, to_fill, bytes[..len].iter().copied().collect())
}

impl Outer {
    /// For packets of family `A` that leave by `interface`. Where there is no address of its own to send from, nothing
    /// fits.
    pub fn new<A: Ip>(tunnel: Tunnel, interface: &Interface, way: &Way, to: IpAddr) -> Self {
        match (way.source, to) {
            _ if way.source.is_unspecified() => Self::default(),
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                Self::over::<A, Ip4>(tunnel, interface, way.mtu, from.into(), to.into())
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                Self::over::<A, Ip6>(tunnel, interface, way.mtu, from.into(), to.into())
            }
            _ => Self::default(),
        }
    }

    fn over<A: Ip, O: Carry>(tunnel: Tunnel, interface: &Interface, mtu: u16, from: O, to: O) -> Self {
        let link = link_header(interface, O::ETHERTYPE);
        let (protocol, to_fill, own) = own_header::<A>(tunnel);
        let (ip, sum) = O::template(from, to, protocol);
        let overhead = (O::HEADER_LEN + own.len()) as u16;
        let fits = mtu.saturating_sub(overhead);
        let mut outer = Self {
            mtu: if fits < O::MTU_MIN { 0 } else { fits },
            overhead,
            port: interface.port,
            len: (link.len() + O::HEADER_LEN + own.len()) as u8,
            link_len: link.len() as u8,
            carrier: if O::IS_V6 { Carrier::V6 } else { Carrier::V4 },
            is_short: link.len() == UNTAGGED_LEN && own.is_empty() && to_fill == ToFill::Nothing,
            to_fill,
            sum,
            bytes: Bytes::default(),
        };
        let parts = link.iter().chain(ip.as_bytes()).chain(&own);
        outer.bytes.0.iter_mut().zip(parts).for_each(|(byte, part)| *byte = *part);
        outer
    }

    /// Link header, outer IP header and the tunnel's own, in bytes.
    #[inline(always)]
    pub fn total_len(&self) -> usize {
        self.len.into()
    }

    /// There is an address to send from.
    pub fn is_possible(&self) -> bool {
        self.len > 0
    }

    /// The link header alone.
    #[inline(always)]
    pub fn link_len(&self) -> usize {
        self.link_len.into()
    }

    /// Whether the tunnel's own header has to be [filled in](Self::fill) for each packet.
    #[inline(always)]
    pub fn has_to_fill(&self) -> bool {
        self.to_fill != ToFill::Nothing
    }

    /// Whether it has a checksum over the inner packet.
    pub fn has_checksum(&self) -> bool {
        matches!(self.to_fill, ToFill::GreChecksum | ToFill::GueChecksum)
    }

    /// Writes the headers for an inner packet to `room`, which is as long as they are. `None` when it is not.
    #[inline(always)]
    pub fn write<O: Carry>(&self, room: &mut [u8], inner: &Inner) -> Option<()> {
        let bytes = self.bytes.0.get(..room.len())?;
        // in pieces that may overlap: a copy of unknown length would be a call
        *room.first_chunk_mut::<PIECE>()? = *bytes.first_chunk()?;
        if room.len() > 2 * PIECE {
            room[PIECE..2 * PIECE].copy_from_slice(&bytes[PIECE..2 * PIECE]);
        }
        *room.last_chunk_mut::<PIECE>()? = *bytes.last_chunk()?;
        let payload = inner.len.wrapping_add(self.overhead - O::HEADER_LEN as u16);
        O::complete(O::Header::at_mut(room, self.link_len())?, self.sum, payload, inner);
        Some(())
    }

    /// The same where they [are short](Self::is_short), and by `path`: a link header without tag, and an IP header.
    #[inline(always)]
    pub fn write_short<O: Carry, const LEN: usize>(
        &self,
        room: &mut [u8; LEN],
        path: &Path,
        inner: &Inner,
    ) -> Option<()> {
        *room = *self.bytes.0.first_chunk()?;
        path.write::<UNTAGGED_LEN>(room.first_chunk_mut()?);
        O::complete(O::Header::at_mut(room, UNTAGGED_LEN)?, self.sum, inner.len, inner);
        Some(())
    }

    /// Fills in the tunnel's own header, whose outer IP header has been written. `flow`: the flow's hash. `sum`: the inner
    /// packet's, where it [is wanted](Self::has_checksum).
    pub fn fill<A: Ip, O: Carry>(&self, room: &mut [u8], inner_len: u16, flow: u64, sum: Sum) -> Option<()> {
        let (link_and_ip, own) = room.split_at_mut_checked(self.link_len() + O::HEADER_LEN)?;
        if self.to_fill == ToFill::GreChecksum {
            gre::write(own, A::ETHERTYPE, Some(sum))?;
            return Some(());
        }
        let length = inner_len.wrapping_add(own.len() as u16);
        let udp = UdpHeader::of_mut(own)?;
        udp.ports.source = U16::new(gue::source_port(flow));
        udp.length = U16::new(length);
        if self.to_fill == ToFill::GueChecksum {
            let pseudo = O::Header::at(link_and_ip, self.link_len())?.pseudo(UDP, length.into());
            let checksum = pseudo.and(Sum::of(own)).and(sum).finish_udp();
            UdpHeader::of_mut(own)?.checksum = checksum;
        }
        Some(())
    }
}

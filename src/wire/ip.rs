//! What the packet path asks of the network layer, whichever IP version it is: the header as a view over bytes, and the
//! errors a node answers with (RFC 792 and RFC 4443), each in its version's words.

use super::address::{Address, Ip4, Ip6};
use super::checksum::{Delta, Sum};
use super::icmp::{self, IcmpError};
use super::icmpv6::{self, Icmpv6Error};
use super::ipv4::{self, Ipv4Header};
use super::ipv6::{self, Ipv6Header};
use super::parse::Kind;
use super::plain::{Plain, plain_v4, plain_v6};
use super::{Header, ethernet::ethertype, ip_protocol};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use zerocopy::network_endian::U16;

/// An IP version, by its addresses.
pub trait Ip: Address {
    type Header: IpHeader<Self>;
    const KIND: Kind;
    const ETHERTYPE: u16;
    /// The protocol number of its ICMP.
    const ICMP: u8;
    /// The protocol number of its packets inside others (RFC 2003, RFC 2473).
    const IN_IP: u8;
    /// The least MTU a link may have.
    const MTU_MIN: u16;

    /// What there is to know of a plain packet of this version, if the frame has one and is as long as it says.
    fn plain(head: &[u8]) -> Option<Plain<Self>>;
    /// Whether it can be the source of a packet that came over a wire.
    fn is_host(self) -> bool;
    /// Multicast, or everybody.
    fn is_group(self) -> bool;

    /// Whether a packet, from its IP header on, may be answered with this error.
    fn may_answer(error: IpError, packet: &[u8]) -> bool;
    /// Writes the whole error from `source` to the sender of `offending` (a packet from its IP header on, or the first
    /// [`QUOTE_LEN_MAX`] bytes of one) into `out`; `id` is for versions whose packets have one. Its length, or `None`
    /// when `out` has no room for it or `offending` no IP header.
    fn write_error(error: IpError, out: &mut [u8], offending: &[u8], source: Self, id: u16) -> Option<usize>;
    /// Turns an echo request, from its IP header on, into its reply in place. False, and nothing changed, when it is none.
    fn echo_reply_in_place(packet: &mut [u8], id: u16) -> bool;

    /// Protocol and offset of the first header behind the IP header at the start of `packet` and its extensions, which
    /// may be where `packet` ends. `None` for another version, a header that is cut off, and all but the first piece of
    /// a fragmented packet.
    fn transport(packet: &[u8]) -> Option<(u8, usize)>;
    /// Fills in the checksum of the IP header at the start of `packet`, if its version has one.
    fn fill_header_checksum(packet: &mut [u8]);
    /// Whether IPVS looks into ICMP messages of this type for a connection (ip_vs_in_icmp, ip_vs_in_icmp_v6).
    fn is_about_packet(kind: u8) -> bool;
    /// What an ICMP error of this type, code and second word says of the MTU, if it does.
    fn told_mtu(kind: u8, code: u8, rest: u32) -> Option<u16>;
    /// The checksum of an ICMP message of `len` bytes that sums to `message`.
    fn icmp_checksum(ip: &Self::Header, message: Sum, len: usize) -> U16;
}

/// The fixed part of an IP header.
pub trait IpHeader<A>: Header + Copy {
    /// A header of a packet of our own with `len` bytes of `protocol`, that is not to be fragmented.
    fn to_carry(from: A, to: A, protocol: u8, len: usize) -> Option<Self>;
    fn from(&self) -> A;
    fn to(&self) -> A;
    /// DSCP and ECN.
    fn class(&self) -> u8;
    /// TTL, or hop limit.
    fn hops(&self) -> u8;
    /// One hop less; there must be one.
    fn take_hop(&mut self);
    /// Whether routers must not fragment the packet; of IPv6 they never may.
    fn is_whole(&self) -> bool;
    /// The packet has another length now, its header included.
    fn set_total_len(&mut self, len: u16);
    /// Replaces the source; what that does to a checksum over the address.
    fn set_from(&mut self, address: A) -> Delta;
    /// Replaces the destination; what that does to a checksum over the address.
    fn set_to(&mut self, address: A) -> Delta;
    /// The sum over the pseudo header for `len` bytes of `protocol`.
    fn pseudo(&self, protocol: u8, len: usize) -> Sum;
}

/// What is wrong with a packet, to be said to its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpError {
    HopsExceeded,
    ReassemblyTimeExceeded,
    NoRoute,
    HostUnreachable,
    PortUnreachable,
    /// Nothing here understands what it carries.
    ProtocolUnreachable,
    /// Longer than the MTU of its way.
    TooLong {
        mtu: u16,
    },
    /// Its header makes no sense at this offset.
    ParameterProblem {
        pointer: u8,
    },
    /// What somebody else found, in the version's own numbers.
    Relayed {
        kind: u8,
        code: u8,
        rest: u32,
    },
}

/// The most an error of either version quotes.
pub const QUOTE_LEN_MAX: usize = icmpv6::QUOTE_LEN_MAX;
/// The longest error of either version.
pub const ERROR_LEN_MAX: usize = ipv6::MTU_MIN as usize;

impl Ip for Ip4 {
    type Header = Ipv4Header;
    const KIND: Kind = Kind::Ipv4;
    const ETHERTYPE: u16 = ethertype::IPV4;
    const ICMP: u8 = ip_protocol::ICMP;
    const IN_IP: u8 = ip_protocol::IPIP;
    const MTU_MIN: u16 = ipv4::MTU_MIN;

    #[inline(always)]
    fn plain(head: &[u8]) -> Option<Plain<Self>> {
        plain_v4(head)
    }

    fn is_host(self) -> bool {
        let [first, ..] = self.octets();
        first != 0 && first != 127 && first < 224
    }
    fn is_group(self) -> bool {
        self.octets()[0] >= 224
    }
    fn may_answer(_: IpError, packet: &[u8]) -> bool {
        icmp::may_be_answered(packet)
    }
    fn write_error(error: IpError, out: &mut [u8], offending: &[u8], source: Self, id: u16) -> Option<usize> {
        let error = match error {
            IpError::HopsExceeded => IcmpError::TTL_EXCEEDED,
            IpError::ReassemblyTimeExceeded => IcmpError::REASSEMBLY_TIME_EXCEEDED,
            IpError::NoRoute => IcmpError::NETWORK_UNREACHABLE,
            IpError::HostUnreachable => IcmpError::HOST_UNREACHABLE,
            IpError::PortUnreachable => IcmpError::PORT_UNREACHABLE,
            IpError::ProtocolUnreachable => IcmpError::PROTOCOL_UNREACHABLE,
            IpError::TooLong { mtu } => IcmpError::fragmentation_needed(mtu),
            IpError::ParameterProblem { pointer } => IcmpError::parameter_problem(pointer),
            IpError::Relayed { kind, code, rest } => IcmpError { kind, code, rest },
        };
        error.write(out, offending, Ipv4Addr::from(source), id, false)
    }
    fn echo_reply_in_place(packet: &mut [u8], id: u16) -> bool {
        icmp::echo_reply_in_place(packet, id)
    }
    fn transport(packet: &[u8]) -> Option<(u8, usize)> {
        let ip = Ipv4Header::of(packet)?;
        let is_readable = ip.version() == 4 && (ipv4::HEADER_LEN..=packet.len()).contains(&ip.header_len());
        (is_readable && ip.fragment_offset() == 0).then_some((ip.protocol, ip.header_len()))
    }
    fn fill_header_checksum(packet: &mut [u8]) {
        ipv4::fill_checksum(packet);
    }
    fn is_about_packet(kind: u8) -> bool {
        matches!(kind, icmp::DESTINATION_UNREACHABLE | icmp::SOURCE_QUENCH | icmp::TIME_EXCEEDED)
    }
    fn told_mtu(kind: u8, code: u8, rest: u32) -> Option<u16> {
        let is_told = (kind, code) == (icmp::DESTINATION_UNREACHABLE, icmp::unreachable::FRAGMENTATION_NEEDED);
        is_told.then_some(rest as u16)
    }
    fn icmp_checksum(_: &Self::Header, message: Sum, _len: usize) -> U16 {
        message.finish()
    }
}

impl Ip for Ip6 {
    type Header = Ipv6Header;
    const KIND: Kind = Kind::Ipv6;
    const ETHERTYPE: u16 = ethertype::IPV6;
    const ICMP: u8 = ip_protocol::ICMPV6;
    const IN_IP: u8 = ip_protocol::IPV6;
    const MTU_MIN: u16 = ipv6::MTU_MIN;

    #[inline(always)]
    fn plain(head: &[u8]) -> Option<Plain<Self>> {
        plain_v6(head)
    }

    fn is_host(self) -> bool {
        let address = Ipv6Addr::from(self);
        !(address.is_unspecified() || address.is_loopback() || address.is_multicast())
    }
    fn is_group(self) -> bool {
        Ipv6Addr::from(self).is_multicast()
    }
    fn may_answer(error: IpError, packet: &[u8]) -> bool {
        icmpv6_error(error, packet).is_some_and(|error| error.may_answer(packet))
    }
    fn write_error(error: IpError, out: &mut [u8], offending: &[u8], source: Self, _id: u16) -> Option<usize> {
        icmpv6_error(error, offending)?.write(out, offending, source.into())
    }
    fn echo_reply_in_place(packet: &mut [u8], _id: u16) -> bool {
        icmpv6::echo_reply_in_place(packet)
    }
    fn transport(packet: &[u8]) -> Option<(u8, usize)> {
        let ip = Ipv6Header::of(packet).filter(|ip| ip.version() == 6);
        let upper = ip.and_then(|_| ipv6::upper_layer(packet))?;
        let is_first = upper.fragment.is_none_or(|fragment| fragment.offset == 0);
        (is_first && upper.offset <= packet.len()).then_some((upper.protocol, upper.offset))
    }
    fn fill_header_checksum(_: &mut [u8]) {}
    fn is_about_packet(kind: u8) -> bool {
        icmpv6::is_error(kind)
    }
    fn told_mtu(kind: u8, _code: u8, rest: u32) -> Option<u16> {
        (kind == icmpv6::PACKET_TOO_BIG).then_some(rest.min(u16::MAX.into()) as u16)
    }
    fn icmp_checksum(ip: &Self::Header, message: Sum, len: usize) -> U16 {
        // left to the device by the kernel, which sends a computed 0 as 0xffff, as for UDP
        ip.pseudo(Self::ICMP, len).and(message).finish_udp()
    }
}

fn icmpv6_error(error: IpError, packet: &[u8]) -> Option<Icmpv6Error> {
    Some(match error {
        IpError::HopsExceeded => Icmpv6Error::HOP_LIMIT_EXCEEDED,
        IpError::ReassemblyTimeExceeded => Icmpv6Error::REASSEMBLY_TIME_EXCEEDED,
        IpError::NoRoute => Icmpv6Error::NO_ROUTE,
        IpError::HostUnreachable => Icmpv6Error::ADDRESS_UNREACHABLE,
        IpError::PortUnreachable => Icmpv6Error::PORT_UNREACHABLE,
        // RFC 4443 §3.4: the pointer is where the unknown header is announced
        IpError::ProtocolUnreachable => {
            let at = ipv6::upper_layer(packet)?.announced_at;
            Icmpv6Error::parameter_problem(icmpv6::UNKNOWN_NEXT_HEADER, at as u32)
        }
        IpError::TooLong { mtu } => Icmpv6Error::packet_too_big(mtu.into()),
        IpError::ParameterProblem { pointer } => {
            Icmpv6Error::parameter_problem(icmpv6::ERRONEOUS_HEADER_FIELD, pointer.into())
        }
        IpError::Relayed { kind, code, rest } => Icmpv6Error { kind, code, rest },
    })
}

impl IpHeader<Ip4> for Ipv4Header {
    fn to_carry(from: Ip4, to: Ip4, protocol: u8, len: usize) -> Option<Self> {
        let mut header = Self::new(from.into(), to.into(), protocol, len)?;
        header.set_fragment(true, false, 0);
        header.fill_checksum();
        Some(header)
    }
    #[inline(always)]
    fn from(&self) -> Ip4 {
        Ip4::read(&self.source)
    }
    #[inline(always)]
    fn to(&self) -> Ip4 {
        Ip4::read(&self.destination)
    }
    #[inline(always)]
    fn class(&self) -> u8 {
        self.tos
    }
    #[inline(always)]
    fn hops(&self) -> u8 {
        self.ttl
    }
    #[inline(always)]
    fn take_hop(&mut self) {
        self.decrement_ttl();
    }
    #[inline(always)]
    fn is_whole(&self) -> bool {
        self.dont_fragment()
    }
    fn set_total_len(&mut self, len: u16) {
        let old = std::mem::replace(&mut self.total_length, len.into());
        Delta::of_u16(old.get(), len).apply(&mut self.checksum);
    }
    #[inline(always)]
    fn set_from(&mut self, address: Ip4) -> Delta {
        let old = std::mem::replace(&mut self.source, address.octets());
        let delta = Delta::of_v4(old.into(), address.octets().into());
        delta.apply(&mut self.checksum);
        delta
    }
    #[inline(always)]
    fn set_to(&mut self, address: Ip4) -> Delta {
        let old = std::mem::replace(&mut self.destination, address.octets());
        let delta = Delta::of_v4(old.into(), address.octets().into());
        delta.apply(&mut self.checksum);
        delta
    }
    fn pseudo(&self, protocol: u8, len: usize) -> Sum {
        Sum::pseudo_v4(self.source(), self.destination(), protocol, len as u16)
    }
}

impl IpHeader<Ip6> for Ipv6Header {
    fn to_carry(from: Ip6, to: Ip6, protocol: u8, len: usize) -> Option<Self> {
        Self::new(from.into(), to.into(), protocol, len)
    }
    #[inline(always)]
    fn from(&self) -> Ip6 {
        Ip6::read(&self.source)
    }
    #[inline(always)]
    fn to(&self) -> Ip6 {
        Ip6::read(&self.destination)
    }
    #[inline(always)]
    fn class(&self) -> u8 {
        self.traffic_class()
    }
    #[inline(always)]
    fn hops(&self) -> u8 {
        self.hop_limit
    }
    #[inline(always)]
    fn take_hop(&mut self) {
        self.hop_limit = self.hop_limit.wrapping_sub(1);
    }
    #[inline(always)]
    fn is_whole(&self) -> bool {
        true
    }
    fn set_total_len(&mut self, len: u16) {
        self.payload_length = len.saturating_sub(ipv6::HEADER_LEN as u16).into();
    }
    #[inline(always)]
    fn set_from(&mut self, address: Ip6) -> Delta {
        let new = Ipv6Addr::from(address);
        let old = std::mem::replace(&mut self.source, new.octets());
        Delta::of_v6(old.into(), new)
    }
    #[inline(always)]
    fn set_to(&mut self, address: Ip6) -> Delta {
        let new = Ipv6Addr::from(address);
        let old = std::mem::replace(&mut self.destination, new.octets());
        Delta::of_v6(old.into(), new)
    }
    fn pseudo(&self, protocol: u8, len: usize) -> Sum {
        ipv6::pseudo_sum(self, protocol, len)
    }
}

/// The address in its own family.
pub enum Either {
    V4(Ip4),
    V6(Ip6),
}

impl From<IpAddr> for Either {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::V4(v4.into()),
            IpAddr::V6(v6) => Self::V6(v6.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::hex;

    #[test]
    fn hosts_are_told_from_groups_and_from_nobody() {
        let v4 = |text: &str| Ip4::from(text.parse::<Ipv4Addr>().unwrap());
        let v6 = |text: &str| Ip6::from(text.parse::<Ipv6Addr>().unwrap());
        assert!(v4("192.0.2.1").is_host() && v6("2001:db8::1").is_host() && v6("fe80::1").is_host());
        assert!(!["0.0.0.1", "127.0.0.1", "224.0.0.1", "255.255.255.255"].iter().any(|text| v4(text).is_host()));
        assert!(!["::", "::1", "ff02::1"].iter().any(|text| v6(text).is_host()));
        assert!(v4("239.1.2.3").is_group() && v6("ff05::2").is_group());
        assert!(!v4("192.0.2.1").is_group() && !v6("::1").is_group());
    }

    #[test]
    fn an_unknown_protocol_is_pointed_at_where_it_is_announced() {
        // a hop-by-hop header in front of protocol 200
        let packet = hex("60000000 000c 00 40 20010db8000c0000000000000000010120010db8000100000000000000000100
                          c8 00 0104 00000000 a5a5a5a5");
        assert!(Ip6::may_answer(IpError::ProtocolUnreachable, &packet));
        let mut out = [0; ERROR_LEN_MAX];
        let source = Ip6::read(&packet[24..40]);
        let len = Ip6::write_error(IpError::ProtocolUnreachable, &mut out, &packet, source, 0).unwrap();
        assert_eq!((len, out[40], out[41], &out[44..48]), (40 + 8 + packet.len(), 4, 1, &[0, 0, 0, 40][..]));
    }
}

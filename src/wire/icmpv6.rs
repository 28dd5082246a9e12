//! ICMPv6 (RFC 4443): the messages a director answers, makes and translates. What it makes is byte for byte what
//! Linux makes (`net/ipv6/icmp.c`) but for the flow label, which is 0 here. Neighbour discovery is [`super::nd`]'s.

use std::net::Ipv6Addr;

use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::checksum::{Delta, Sum};
use super::ipv6::{self, Ipv6Header};
use super::{Header, ip_protocol};

pub const DESTINATION_UNREACHABLE: u8 = 1;
pub const PACKET_TOO_BIG: u8 = 2;
pub const TIME_EXCEEDED: u8 = 3;
pub const PARAMETER_PROBLEM: u8 = 4;
pub const ECHO_REQUEST: u8 = 128;
pub const ECHO_REPLY: u8 = 129;
pub const NEIGHBOUR_SOLICITATION: u8 = 135;
pub const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
pub const REDIRECT: u8 = 137;

/// Codes of [`DESTINATION_UNREACHABLE`].
pub mod unreachable {
    pub const NO_ROUTE: u8 = 0;
    pub const ADMINISTRATIVELY_PROHIBITED: u8 = 1;
    pub const ADDRESS: u8 = 3;
    pub const PORT: u8 = 4;
}

/// [`PARAMETER_PROBLEM`]: a field with a value that makes no sense.
pub const ERRONEOUS_HEADER_FIELD: u8 = 0;
/// [`PARAMETER_PROBLEM`]: a next header nothing here understands.
pub const UNKNOWN_NEXT_HEADER: u8 = 1;
/// [`PARAMETER_PROBLEM`]: an option that asks for this error, even of a group.
pub const UNKNOWN_OPTION: u8 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Icmpv6Header {
    pub kind: u8,
    pub code: u8,
    pub checksum: U16,
    /// Depends on the type: id and sequence of an echo, MTU, pointer, flags.
    pub rest: U32,
}

impl Icmpv6Header {
    /// Whether it quotes a packet that caused it.
    #[inline]
    pub fn is_error(&self) -> bool {
        is_error(self.kind)
    }

    /// The identifier of an echo.
    #[inline]
    pub fn echo_id(&self) -> u16 {
        (self.rest.get() >> 16) as u16
    }
}

/// RFC 4443 section 2.1: the high bit is for informational messages.
#[inline]
pub const fn is_error(kind: u8) -> bool {
    kind & 0x80 == 0
}

/// The most an error quotes: 1280 bytes less its own headers.
pub const QUOTE_LEN_MAX: usize = ipv6::MTU_MIN as usize - ipv6::HEADER_LEN - size_of::<Icmpv6Header>();

/// What an error says: type, code, and the second word of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Icmpv6Error {
    pub kind: u8,
    pub code: u8,
    pub rest: u32,
}

impl Icmpv6Error {
    pub const HOP_LIMIT_EXCEEDED: Self = Self { kind: TIME_EXCEEDED, code: 0, rest: 0 };
    pub const REASSEMBLY_TIME_EXCEEDED: Self = Self { kind: TIME_EXCEEDED, code: 1, rest: 0 };
    pub const NO_ROUTE: Self = Self::unreachable(unreachable::NO_ROUTE);
    pub const ADDRESS_UNREACHABLE: Self = Self::unreachable(unreachable::ADDRESS);
    pub const PORT_UNREACHABLE: Self = Self::unreachable(unreachable::PORT);

    pub const fn unreachable(code: u8) -> Self {
        Self { kind: DESTINATION_UNREACHABLE, code, rest: 0 }
    }

    pub const fn packet_too_big(mtu: u32) -> Self {
        Self { kind: PACKET_TOO_BIG, code: 0, rest: mtu }
    }

    /// `pointer`: the offset of the octet that makes no sense.
    pub const fn parameter_problem(code: u8, pointer: u32) -> Self {
        Self { kind: PARAMETER_PROBLEM, code, rest: pointer }
    }

    /// RFC 4443 section 2.4 (e.3): the two that a packet to a group may cause.
    const fn answers_groups(self) -> bool {
        matches!((self.kind, self.code), (PACKET_TOO_BIG, _) | (PARAMETER_PROBLEM, UNKNOWN_OPTION))
    }

    /// Whether `packet`, from its IPv6 header on, may be answered with this error (RFC 4443 section 2.4 (e)): no error
    /// or redirect, not from a group or nobody, to a group only with the errors made for that. No also when the
    /// packet ends before it can be told, and for later fragments of ICMPv6.
    pub fn may_answer(self, packet: &[u8]) -> bool {
        let Some((ip, upper)) = Ipv6Header::of(packet).zip(ipv6::upper_layer(packet)) else { return false };
        let source_is_one_host = !(ip.source().is_unspecified() || ip.source().is_multicast());
        if !source_is_one_host || ip.destination().is_multicast() && !self.answers_groups() {
            return false;
        }
        let is_later_fragment = upper.fragment.is_some_and(|fragment| fragment.offset != 0);
        upper.protocol != ip_protocol::ICMPV6
            || !is_later_fragment && packet.get(upper.offset).is_some_and(|&kind| !is_error(kind) && kind != REDIRECT)
    }

    /// Writes the whole IPv6 packet from `source` to the sender of `offending` into `out`, quoting as much of
    /// `offending` (a packet from its IPv6 header on, or the first [`QUOTE_LEN_MAX`] bytes of one) as fits.
    /// Its length, or `None` when `out` has no room for it or `offending` no IPv6 header.
    pub fn write(self, out: &mut [u8], offending: &[u8], source: Ipv6Addr) -> Option<usize> {
        let cause = Ipv6Header::of(offending).filter(|ip| ip.version() == 6)?;
        let quote = offending.get(..offending.len().min(cause.total_len()).min(QUOTE_LEN_MAX))?;
        let len = Icmpv6Header::LEN + quote.len();
        let ip = Ipv6Header::new(source, cause.source(), ip_protocol::ICMPV6, len)?;

        let mut icmp =
            Icmpv6Header { kind: self.kind, code: self.code, checksum: U16::ZERO, rest: U32::new(self.rest) };
        let pseudo = ipv6::pseudo_sum(&ip, ip_protocol::ICMPV6, len);
        icmp.checksum = pseudo.and(Sum::of(icmp.as_bytes())).and(Sum::of(quote)).finish();

        let room = icmp.put(ip.put(out)?)?;
        room.get_mut(..quote.len())?.copy_from_slice(quote);
        Some(ip.total_len())
    }
}

/// Turns an echo request, from its IPv6 header on, into its reply in place: addresses, type and checksum, hop limit
/// 64, flow label 0. The traffic class stays as it came. Only headers are touched, so that the data can be in other
/// segments; a wrong checksum stays wrong. False, and nothing changed, when it is no echo request, has extension
/// headers, or came to a group.
pub fn echo_reply_in_place(packet: &mut [u8]) -> bool {
    let Some((ip, rest)) = Ipv6Header::split_mut(packet) else { return false };
    let is_for_one_host = ip.next_header == ip_protocol::ICMPV6 && !ip.destination().is_multicast();
    let Some(icmp) = Icmpv6Header::of_mut(rest).filter(|icmp| is_for_one_host && icmp.kind == ECHO_REQUEST) else {
        return false;
    };
    icmp.kind = ECHO_REPLY;
    Delta::of_u16(u16::from(ECHO_REQUEST) << 8, u16::from(ECHO_REPLY) << 8).apply(&mut icmp.checksum);
    // their sum, part of the checksum, stays the same
    std::mem::swap(&mut ip.source, &mut ip.destination);
    ip.hop_limit = 64;
    ip.version_class_flow = U32::new(ip.version_class_flow.get() & 0xfff0_0000);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::hex;
    use proptest::prelude::*;

    const VIP: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x100);
    const SYN_HOP_LIMIT_1: &str = "600000000028060120010db8000c0000000000000000010120010db800010000000000000000010061a9\
                                   005034c37a0c00000000a002faf0dec50000020405b40402080a000000010000000001030307";

    fn written(error: Icmpv6Error, offending: &[u8]) -> Vec<u8> {
        let mut out = vec![0xa5; ipv6::MTU_MIN.into()];
        let len = error.write(&mut out, offending, VIP).unwrap();
        out.truncate(len);
        out
    }

    #[test]
    fn hop_limit_exceeded_is_the_recorded_error() {
        let expected = hex("6000000000583a4020010db800010000000000000000010020010db8000c00000000000000000101\
                            030038f200000000");
        let mut padded = hex(SYN_HOP_LIMIT_1);
        padded.extend([0xa5; 5]);
        assert_eq!(written(Icmpv6Error::HOP_LIMIT_EXCEEDED, &padded), [expected, hex(SYN_HOP_LIMIT_1)].concat());
    }

    #[test]
    fn packet_too_big_quotes_up_to_1280_bytes_as_recorded() {
        let mut offending = hex("600000000551063f20010db8000c0000000000000000010320010db80001000000000000000001005dc1\
                                 005006c807541908b8e15018faf0ad3f0000");
        offending.extend((0..1341).map(|n: u32| n as u8));
        let error = written(Icmpv6Error::packet_too_big(1400), &offending);
        let expected = hex("6000000004d83a4020010db800010000000000000000010020010db8000c00000000000000000103\
                            0200660800000578");
        assert_eq!(error[..48], expected);
        assert_eq!(error[48..], offending[..1232]);
    }

    #[test]
    fn a_recorded_echo_gets_the_recorded_reply() {
        let mut packet = hex("600abcde00143a3f20010db8000c0000000000000000010520010db8000100000000000000000100\
                              800085b20007000170696e6770696e6770696e67");
        let reply = hex("6000000000143a4020010db800010000000000000000010020010db8000c00000000000000000105\
                         810084b20007000170696e6770696e6770696e67");
        assert!(echo_reply_in_place(&mut packet));
        assert_eq!(packet, reply);
        assert!(!echo_reply_in_place(&mut packet), "a reply is not answered");
        assert_eq!(packet, reply);
    }

    #[test]
    fn errors_redirects_and_groups_are_not_answered() {
        let answered = |error: Icmpv6Error, packet: &[u8]| error.may_answer(packet);
        let with = |error: Icmpv6Error, at: usize, value: u8| {
            let mut packet = hex(SYN_HOP_LIMIT_1);
            packet[at] = value;
            error.may_answer(&packet)
        };
        let (too_big, port) = (Icmpv6Error::packet_too_big(1280), Icmpv6Error::PORT_UNREACHABLE);
        assert!(with(port, 7, 1));
        assert!(!with(port, 8, 0xff) && !with(port, 24, 0xff), "groups");
        assert!(with(too_big, 24, 0xff) && with(Icmpv6Error::parameter_problem(UNKNOWN_OPTION, 40), 24, 0xff));
        assert!(!answered(port, &written(port, &hex(SYN_HOP_LIMIT_1))), "an error");
        let icmp = |kind: u8| {
            let mut packet = hex(SYN_HOP_LIMIT_1);
            (packet[6], packet[40]) = (ip_protocol::ICMPV6, kind);
            packet
        };
        assert!(answered(port, &icmp(ECHO_REQUEST)));
        assert!(!answered(port, &icmp(REDIRECT)) && !answered(port, &icmp(100)));
        assert!(!answered(port, &icmp(ECHO_REQUEST)[..40]), "cut off");
    }

    #[test]
    fn an_error_that_does_not_fit_is_not_written() {
        for room in 0..128 {
            let out = &mut vec![0; room];
            assert_eq!(Icmpv6Error::HOP_LIMIT_EXCEEDED.write(out, &hex(SYN_HOP_LIMIT_1), VIP), None);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(
            mut bytes in prop::collection::vec(any::<u8>(), 0..1400), is_v6: bool, room in 0..1400_usize,
        ) {
            if let (true, Some(first)) = (is_v6, bytes.first_mut()) {
                *first = 0x60;
            }
            let _ = Icmpv6Error::PORT_UNREACHABLE.may_answer(&bytes);
            let mut out = vec![0xa5; room];
            if let Some(len) = Icmpv6Error::PORT_UNREACHABLE.write(&mut out, &bytes, VIP) {
                let ip = Ipv6Header::of(&out).unwrap();
                prop_assert!(len <= 1280 && len == ip.total_len());
                let pseudo = ipv6::pseudo_sum(ip, ip_protocol::ICMPV6, len - 40);
                prop_assert!(pseudo.and(Sum::of(&out[40..len])).is_valid());
            }
            let _ = echo_reply_in_place(&mut bytes);
        }
    }
}

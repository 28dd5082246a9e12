//! ICMP (RFC 792): the messages a director answers, makes and translates. What it makes is byte for byte what
//! Linux makes (`net/ipv4/icmp.c`): up to 576 bytes (RFC 1812 section 4.3.2.3), precedence "internetwork control".

use std::net::Ipv4Addr;

use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::checksum::{Delta, Sum};
use super::ipv4::{self, Ipv4Header};
use super::{Header, ip_protocol};

pub const ECHO_REPLY: u8 = 0;
pub const DESTINATION_UNREACHABLE: u8 = 3;
pub const SOURCE_QUENCH: u8 = 4;
pub const REDIRECT: u8 = 5;
pub const ECHO_REQUEST: u8 = 8;
pub const TIME_EXCEEDED: u8 = 11;
pub const PARAMETER_PROBLEM: u8 = 12;
pub const TIMESTAMP_REQUEST: u8 = 13;
pub const TIMESTAMP_REPLY: u8 = 14;
/// Address mask reply, the last type Linux knows.
const TYPE_MAX: u8 = 18;

/// Codes of [`DESTINATION_UNREACHABLE`].
pub mod unreachable {
    pub const NETWORK: u8 = 0;
    pub const HOST: u8 = 1;
    pub const PROTOCOL: u8 = 2;
    pub const PORT: u8 = 3;
    pub const FRAGMENTATION_NEEDED: u8 = 4;
    /// Communication administratively prohibited (RFC 1812 section 5.2.7.1).
    pub const FILTERED: u8 = 13;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct IcmpHeader {
    pub kind: u8,
    pub code: u8,
    pub checksum: U16,
    /// Depends on the type: id and sequence of an echo, MTU, gateway, pointer.
    pub rest: U32,
}

impl IcmpHeader {
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

    /// The next hop's MTU in "fragmentation needed" (RFC 1191 section 4); 0 from routers older than that.
    #[inline]
    pub fn next_hop_mtu(&self) -> u16 {
        self.rest.get() as u16
    }
}

#[inline]
pub const fn is_error(kind: u8) -> bool {
    matches!(kind, DESTINATION_UNREACHABLE | SOURCE_QUENCH | REDIRECT | TIME_EXCEEDED | PARAMETER_PROBLEM)
}

/// What an error says: type, code, and the second word of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpError {
    pub kind: u8,
    pub code: u8,
    pub rest: u32,
}

impl IcmpError {
    pub const TTL_EXCEEDED: Self = Self { kind: TIME_EXCEEDED, code: 0, rest: 0 };
    pub const REASSEMBLY_TIME_EXCEEDED: Self = Self { kind: TIME_EXCEEDED, code: 1, rest: 0 };
    pub const NETWORK_UNREACHABLE: Self = Self::unreachable(unreachable::NETWORK);
    pub const HOST_UNREACHABLE: Self = Self::unreachable(unreachable::HOST);
    pub const PROTOCOL_UNREACHABLE: Self = Self::unreachable(unreachable::PROTOCOL);
    pub const PORT_UNREACHABLE: Self = Self::unreachable(unreachable::PORT);

    pub const fn unreachable(code: u8) -> Self {
        Self { kind: DESTINATION_UNREACHABLE, code, rest: 0 }
    }

    /// RFC 1191 section 4.
    pub const fn fragmentation_needed(mtu: u16) -> Self {
        Self { kind: DESTINATION_UNREACHABLE, code: unreachable::FRAGMENTATION_NEEDED, rest: mtu as u32 }
    }

    /// `pointer`: the offset of the octet that makes no sense.
    pub const fn parameter_problem(pointer: u8) -> Self {
        Self { kind: PARAMETER_PROBLEM, code: 0, rest: (pointer as u32) << 24 }
    }

    /// Writes the whole IPv4 packet from `source` to the sender of `offending` into `out`, quoting as much of
    /// `offending` (a packet from its IPv4 header on, or the first [`QUOTE_LEN_MAX`] bytes of one) as fits.
    /// Its length, or `None` when `out` has no room for it or `offending` no IPv4 header.
    ///
    /// TTL 64, TOS precedence 6 with the offending packet's TOS bits, no options, as Linux. Whether an error may be
    /// sent at all is for [`may_be_answered`] to say.
    pub fn write(self, out: &mut [u8], offending: &[u8], source: Ipv4Addr, id: u16, df: bool) -> Option<usize> {
        let cause = Ipv4Header::of(offending).filter(|ip| ip.version() == 4)?;
        let quote_len = offending.len().min(cause.total_length.get().into()).min(QUOTE_LEN_MAX);
        let quote = offending.get(..quote_len)?;

        let mut ip = Ipv4Header::new(source, cause.source(), ip_protocol::ICMP, IcmpHeader::LEN + quote_len)?;
        ip.tos = cause.tos & TOS_BITS | TOS_INTERNETWORK_CONTROL;
        ip.id = U16::new(id);
        ip.set_fragment(df, false, 0);
        ip.fill_checksum();

        let mut icmp = IcmpHeader { kind: self.kind, code: self.code, checksum: U16::ZERO, rest: U32::new(self.rest) };
        icmp.checksum = Sum::of(icmp.as_bytes()).and(Sum::of(quote)).finish();

        let room = icmp.put(ip.put(out)?)?;
        room.get_mut(..quote_len)?.copy_from_slice(quote);
        Some(ip.total_length.get().into())
    }
}

/// The most an error quotes: 576 bytes less its own headers.
pub const QUOTE_LEN_MAX: usize = ipv4::HOST_LEN_MIN - ipv4::HEADER_LEN - size_of::<IcmpHeader>();
/// RFC 1812 section 4.3.2.5: errors go with precedence 6.
const TOS_INTERNETWORK_CONTROL: u8 = 0xc0;
/// RFC 1349's TOS field, which an error takes over (RFC 1812 section 4.3.2.5; Linux `RT_TOS`).
const TOS_BITS: u8 = 0x1e;

/// Whether `packet`, from its IPv4 header on, may be answered with an error (RFC 1122 section 3.2.2): not an ICMP
/// error or unknown ICMP message, not a later fragment, not from or to a group or everybody.
pub fn may_be_answered(packet: &[u8]) -> bool {
    let Some(ip) = Ipv4Header::of(packet) else { return false };
    let source = ip.source();
    let source_is_one_host = !(source.is_unspecified() || source.is_multicast() || source.is_broadcast());
    let destination = ip.destination();
    if !source_is_one_host || destination.is_multicast() || destination.is_broadcast() || ip.fragment_offset() != 0 {
        return false;
    }
    // one whose type is not even there may be anything
    ip.protocol != ip_protocol::ICMP
        || packet.get(ip.header_len()).is_some_and(|&kind| kind <= TYPE_MAX && !is_error(kind))
}

/// Turns an echo request, from its IPv4 header on, into its reply in place: addresses, type and checksums, TTL 64,
/// the given id, no DF, as Linux answers. TOS and options stay as they came. Only headers are touched, so that the
/// data can be in other segments; a wrong ICMP checksum stays wrong. False, and nothing changed, when it is no echo
/// request or a fragment.
pub fn echo_reply_in_place(packet: &mut [u8], id: u16) -> bool {
    let Some(ip) = Ipv4Header::of(packet).copied() else { return false };
    let header_len = ip.header_len();
    let is_whole_icmp = ip.protocol == ip_protocol::ICMP && !ip.is_fragment() && header_len >= ipv4::HEADER_LEN;
    let Some(icmp) = IcmpHeader::at_mut(packet, header_len).filter(|icmp| is_whole_icmp && icmp.kind == ECHO_REQUEST)
    else {
        return false;
    };
    icmp.kind = ECHO_REPLY;
    Delta::of_u16(u16::from(ECHO_REQUEST) << 8, u16::from(ECHO_REPLY) << 8).apply(&mut icmp.checksum);
    let mut reply = ip;
    (reply.ttl, reply.id) = (64, U16::new(id));
    (reply.source, reply.destination) = (ip.destination, ip.source);
    reply.set_fragment(false, false, 0);
    reply.put(packet);
    ipv4::fill_checksum(packet);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::hex;
    use proptest::prelude::*;

    const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);
    const SYN_TTL_1: &str = "4500003c19f640000106732cc6336402c000026461a90050180299f500000000a002faf04c830000020405b404\
                             02080a000000010000000001030307";

    fn written(error: IcmpError, offending: &[u8], id: u16) -> Vec<u8> {
        let mut out = vec![0xa5; ipv4::HOST_LEN_MIN];
        let len = error.write(&mut out, offending, VIP, id, false).unwrap();
        out.truncate(len);
        out
    }

    #[test]
    fn ttl_exceeded_is_the_recorded_error() {
        let expected = hex("45c00058924b00004001faffc0000264c63364020b00e1c800000000");
        assert_eq!(written(IcmpError::TTL_EXCEEDED, &hex(SYN_TTL_1), 0x924b), [expected, hex(SYN_TTL_1)].concat());
    }

    #[test]
    fn ethernet_padding_is_not_quoted() {
        let datagram = hex("4500001d3603400001115733c6336402c000026461a900350009406371");
        let mut padded = datagram.clone();
        padded.resize(46, 0xa5);
        let expected = hex("45c00039924d00004001fb1cc0000264c63364020b00e1b400000000");
        assert_eq!(written(IcmpError::TTL_EXCEEDED, &padded, 0x924d), [expected, datagram].concat());
    }

    #[test]
    fn no_destination_is_the_recorded_port_unreachable() {
        let syn =
            hex("4500003c032a400040064a2fc63364cbc0000264040d00502364832900000000a002faf0b4c00000020405b40402080a\
                       000000010000000001030307");
        let expected = hex("45c0005843e9000040014899c0000264c63364cb0303ea8e00000000");
        assert_eq!(written(IcmpError::PORT_UNREACHABLE, &syn, 0x43e9), [expected, syn].concat());
    }

    #[test]
    fn fragmentation_needed_quotes_up_to_576_bytes_as_recorded() {
        let mut offending = hex("450005c91abc40003f062ed7c6336404c00002645dc100505d21b065393e84265018faf06f490000");
        offending.extend((0..1441).map(|n: u32| n as u8));
        let error = written(IcmpError::fragmentation_needed(1480), &offending, 0xa32d);
        assert_eq!(error[..28], hex("45c00240a32d00004001e833c0000264c633640403048f62000005c8"));
        assert_eq!(error[28..], offending[..548]);
        let header = IcmpHeader::at(&error, 20).unwrap();
        assert!(header.is_error());
        assert_eq!(header.next_hop_mtu(), 1480);
    }

    #[test]
    fn a_parameter_problem_points_where_the_recorded_one_does() {
        let offending =
            hex("46000040519b40004006f052c633640ac00002640728040065990050585cd19a00000000a002faf0d08b000002\
                             0405b40402080a000000010000000001030307");
        let expected = hex("45c0005cdc1800004001b126c0000264c633640a0c00ccd014000000");
        assert_eq!(written(IcmpError::parameter_problem(20), &offending, 0xdc18), [expected, offending].concat());
    }

    #[test]
    fn an_error_keeps_the_tos_bits_and_takes_df_from_its_caller() {
        let mut offending = hex(SYN_TTL_1);
        offending[1] = 0xff;
        let mut out = [0xa5; 100];
        IcmpError::HOST_UNREACHABLE.write(&mut out, &offending, VIP, 0, true).unwrap();
        let ip = Ipv4Header::of(&out).unwrap();
        assert!(ip.dont_fragment() && ipv4::checksum_ok(&out));
        assert_eq!(ip.tos, 0xde);
    }

    #[test]
    fn an_error_that_does_not_fit_is_not_written() {
        for room in 0..88 {
            assert_eq!(IcmpError::TTL_EXCEEDED.write(&mut vec![0; room], &hex(SYN_TTL_1), VIP, 0, false), None);
        }
    }

    #[test]
    fn a_recorded_echo_gets_the_recorded_reply() {
        let mut packet = hex("450000284242400040010bf5c6336406c000026408005b850007000170696e6770696e6770696e67");
        assert!(echo_reply_in_place(&mut packet, 0xeee8));
        assert_eq!(packet, hex("45000028eee8000040019f4ec0000264c6336406000063850007000170696e6770696e6770696e67"));
        assert!(!echo_reply_in_place(&mut packet, 1), "a reply is not answered");
    }

    #[test]
    fn errors_fragments_and_groups_are_not_answered() {
        let with = |at: usize, value: u8| {
            let mut packet = hex(SYN_TTL_1);
            packet[at] = value;
            may_be_answered(&packet)
        };
        assert!(with(8, 1) && with(6, 0x20));
        assert!(!with(7, 1), "a later fragment");
        assert!(!with(12, 0xe0) && !with(16, 0xe0), "groups");
        // as ICMP, its first byte 0x61 is an unknown type
        assert!(!with(9, ip_protocol::ICMP));
        let error = written(IcmpError::TTL_EXCEEDED, &hex(SYN_TTL_1), 0);
        assert!(!may_be_answered(&error));
        let echo = hex("450000284242400040010bf5c6336406c000026408005b8500070001");
        assert!(may_be_answered(&echo) && !may_be_answered(&echo[..20]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(
            mut bytes in prop::collection::vec(any::<u8>(), 0..700), is_v4: bool, room in 0..700_usize,
        ) {
            if let (true, Some(first)) = (is_v4, bytes.first_mut()) {
                *first = 0x45;
            }
            let _ = may_be_answered(&bytes);
            let mut out = vec![0xa5; room];
            if let Some(len) = IcmpError::TTL_EXCEEDED.write(&mut out, &bytes, VIP, 7, false) {
                prop_assert!(len <= ipv4::HOST_LEN_MIN);
                prop_assert!(ipv4::checksum_ok(&out));
                prop_assert!(Sum::of(&out[20..len]).is_valid());
            }
            let _ = echo_reply_in_place(&mut bytes, 1);
        }
    }
}

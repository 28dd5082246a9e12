//! What ICMP errors quote: the start of the packet that caused them (RFC 792, RFC 4443 section 3), often cut off, and
//! within it the packet in a tunnel of ours. Offsets count from the quoted IP header.
//!
//! Looked at as IPVS does (ip_vs_in_icmp and its helpers): the IP header whole, then the four bytes of the ports.
//! Nothing further has to be there, and no checksum is looked at.

use super::Header;
use super::gre::{self, Gre};
use super::gue::Gue;
use super::ip::{Ip, IpHeader};
use super::ip_protocol::{GRE, SCTP, TCP, UDP};
use super::ports::Ports;
use super::udp::UdpHeader;
use zerocopy::IntoBytes;

/// A packet of which the error shows enough to tell its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted<A> {
    pub source: A,
    pub destination: A,
    pub protocol: u8,
    /// Where the transport header begins.
    pub l4: usize,
    /// Source and destination port as they stand in the packet, in memory order; 0 for protocols without.
    pub ports: u32,
}

impl<A: Ip> Quoted<A> {
    /// `None` when the quote ends before its ports do, and for all but the first of a packet's fragments.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let ip = A::Header::of(bytes)?;
        let (protocol, l4) = A::transport(bytes)?;
        let mut ports = 0;
        if has_ports(protocol) {
            ports.as_mut_bytes().copy_from_slice(Ports::at(bytes, l4)?.as_bytes());
        }
        Some(Self { source: ip.from(), destination: ip.to(), protocol, l4, ports })
    }

    pub fn has_ports(&self) -> bool {
        has_ports(self.protocol)
    }
}

fn has_ports(protocol: u8) -> bool {
    matches!(protocol, TCP | UDP | SCTP)
}

/// What a tunnel's packet carries the inner one in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    Ip,
    Gre,
    /// To this UDP port.
    Gue(u16),
}

/// A packet of a tunnel, with one of the same IP version in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunnelled<A> {
    /// The tunnel's other end.
    pub destination: A,
    pub carrier: Carrier,
    /// Where the inner packet begins; at most where the quote ends.
    pub inner: usize,
}

impl<A: Ip> Tunnelled<A> {
    /// `None` for what no tunnel of ours sends (ipvs_udp_decap, ipvs_gre_decap).
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let destination = A::Header::of(bytes)?.to();
        let (protocol, l4) = A::transport(bytes)?;
        let rest = bytes.get(l4..)?;
        let (carrier, payload) = match protocol {
            protocol if protocol == A::IN_IP => (Carrier::Ip, rest),
            GRE => (Carrier::Gre, in_gre::<A>(rest)?),
            UDP => in_gue::<A>(rest)?,
            _ => return None,
        };
        Some(Self { destination, carrier, inner: bytes.len() - payload.len() })
    }
}

/// With nothing more in its header than a checksum.
fn in_gre<A: Ip>(bytes: &[u8]) -> Option<&[u8]> {
    let gre = Gre::parse(bytes)?;
    let is_plain = bytes.len() - gre.payload.len() == gre::header_len(gre.has_checksum);
    (is_plain && gre.protocol == A::ETHERTYPE).then_some(gre.payload)
}

fn in_gue<A: Ip>(bytes: &[u8]) -> Option<(Carrier, &[u8])> {
    let (udp, rest) = UdpHeader::split(bytes)?;
    let gue = Gue::parse(rest).filter(|gue| gue.protocol == A::IN_IP)?;
    Some((Carrier::Gue(udp.ports.destination.get()), gue.payload))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::address::{Address, Ip4, Ip6};
    use crate::wire::hex;
    use crate::wire::ip_protocol::{AH, ESP, ICMP};
    use proptest::prelude::*;
    use std::net::IpAddr;

    /// 192.0.2.100:80 to 198.51.100.4:31500, quoted with eight bytes behind its header.
    const V4: &str = "450003ac07774000400605e7c0000264c6336404 00507b0c00000001";
    const V6: &str = "600000000026063f 20010db8000c00000000000000000103 fd001000000000000000000000000012 79180050";
    const GRE_V4: &str = "4500004000004000 3f2f00000a0a00010a14000c 00000800 4500";
    const GUE_V4: &str = "4500004800004000 3f1100000a0a00010a14000c ca2b17c000340000 00040000 4500";

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_recorded_quote_of_eight_bytes_shows_the_ports() {
        let quoted = Quoted::<Ip4>::parse(&hex(V4)).unwrap();
        assert_eq!((quoted.source.to_ip(), quoted.destination.to_ip()), (ip("192.0.2.100"), ip("198.51.100.4")));
        assert_eq!((quoted.protocol, quoted.l4, quoted.ports.to_ne_bytes()), (TCP, 20, [0, 80, 0x7b, 0x0c]));
        let quoted = Quoted::<Ip6>::parse(&hex(V6)).unwrap();
        assert_eq!((quoted.source.to_ip(), quoted.destination.to_ip()), (ip("2001:db8:c::103"), ip("fd00:1000::12")));
        assert_eq!((quoted.protocol, quoted.l4, quoted.ports.to_ne_bytes()), (TCP, 40, [0x79, 0x18, 0, 80]));
    }

    #[test]
    fn a_quote_that_ends_within_its_ports_says_nothing() {
        let (v4, v6) = (hex(V4), hex(V6));
        for len in 0..24 {
            assert_eq!(Quoted::<Ip4>::parse(&v4[..len]), None, "{len} bytes");
        }
        assert!(Quoted::<Ip4>::parse(&v4[..24]).is_some());
        for len in 0..44 {
            assert_eq!(Quoted::<Ip6>::parse(&v6[..len]), None, "{len} bytes");
        }
    }

    #[test]
    fn options_and_extension_headers_are_stepped_over() {
        let mut bytes = hex(V4);
        bytes[0] = 0x47;
        assert_eq!(Quoted::<Ip4>::parse(&bytes), None, "its options end where the quote does");
        bytes.extend([0, 80, 0x7b, 0x0c]);
        assert_eq!(
            Quoted::<Ip4>::parse(&bytes).map(|q| (q.l4, q.ports.to_ne_bytes())),
            Some((28, [0, 80, 0x7b, 0x0c]))
        );
        let mut bytes = hex(V6);
        bytes[6] = 60;
        bytes.splice(40..40, [6, 0, 1, 4, 0, 0, 0, 0]);
        assert_eq!(Quoted::<Ip6>::parse(&bytes).map(|q| (q.protocol, q.l4)), Some((TCP, 48)));
    }

    #[test]
    fn of_fragments_only_the_first_shows_its_ports() {
        let mut bytes = hex(V4);
        bytes[6..8].copy_from_slice(&[0x20, 0]);
        assert!(Quoted::<Ip4>::parse(&bytes).is_some());
        bytes[6..8].copy_from_slice(&[0x20, 1]);
        assert_eq!(Quoted::<Ip4>::parse(&bytes), None);
        let mut bytes = hex(V6);
        bytes[6] = 44;
        bytes.splice(40..40, [6, 0, 0, 1, 0, 0, 0, 7]);
        assert!(Quoted::<Ip6>::parse(&bytes).is_some());
        bytes[43] = 9;
        assert_eq!(Quoted::<Ip6>::parse(&bytes), None);
    }

    #[test]
    fn other_versions_and_senseless_headers_are_no_packets() {
        for first in [0x65, 0x44, 0x40] {
            let mut bytes = hex(V4);
            bytes[0] = first;
            assert_eq!(Quoted::<Ip4>::parse(&bytes), None, "{first:#x}");
        }
        assert_eq!(Quoted::<Ip6>::parse(&[hex(V4), vec![0; 40]].concat()), None);
    }

    #[test]
    fn protocols_without_ports_are_told_by_their_header_alone() {
        for protocol in [ICMP, AH, ESP] {
            let mut bytes = hex(V4);
            bytes[9] = protocol;
            let quoted = Quoted::<Ip4>::parse(&bytes[..20]).unwrap();
            assert_eq!((quoted.protocol, quoted.ports, quoted.has_ports()), (protocol, 0, false));
        }
    }

    #[test]
    fn the_packet_in_each_kind_of_tunnel_is_found() {
        let found = |bytes: &str| Tunnelled::<Ip4>::parse(&hex(bytes)).map(|t| (t.carrier, t.inner));
        assert_eq!(found("4500003c00004000 3f0400000a0a00010a14000c 4500"), Some((Carrier::Ip, 20)));
        assert_eq!(found(GRE_V4), Some((Carrier::Gre, 24)));
        assert_eq!(found(&GRE_V4.replace("00000800", "80000800a5a50000")), Some((Carrier::Gre, 28)));
        assert_eq!(found(GUE_V4), Some((Carrier::Gue(6080), 32)));
        assert_eq!(found(&GUE_V4.replace("00040000", "02040001 80000000 00140024")), Some((Carrier::Gue(6080), 40)));
        let destination = Tunnelled::<Ip4>::parse(&hex(GUE_V4)).unwrap().destination;
        assert_eq!(destination.to_ip(), ip("10.20.0.12"));
    }

    #[test]
    fn what_no_tunnel_of_ours_sends_is_none() {
        let found = |bytes: &str| Tunnelled::<Ip4>::parse(&hex(bytes));
        assert_eq!(found(&GRE_V4.replace("00000800", "20000800 00000007")), None, "a key");
        assert_eq!(found(&GRE_V4.replace("0800", "86dd")), None, "the other version");
        assert_eq!(found(&GUE_V4.replace("00040000", "00290000")), None, "the other version");
        assert_eq!(found(&GUE_V4.replace("00040000", "20040000")), None, "a control message");
        assert_eq!(found(V4), None, "no tunnel");
        assert_eq!(found(&GRE_V4.replace("4000 3f2f", "0001 3f2f")), None, "a later fragment");
    }

    proptest! {
        #[test]
        fn what_is_quoted_is_what_was_sent(
            source: [u8; 4], destination: [u8; 4], ports: [u8; 4], words in 0..11_u8, behind in 0..50_usize,
        ) {
            let mut bytes = vec![0xa5; 20 + usize::from(words) * 4];
            bytes[0] = 0x45 + words;
            bytes[6..8].fill(0);
            bytes[9] = UDP;
            bytes[12..16].copy_from_slice(&source);
            bytes[16..20].copy_from_slice(&destination);
            let l4 = bytes.len();
            bytes.extend(ports);
            bytes.extend(vec![0xa5; behind]);
            let expected = Quoted {
                source: Ip4::read(&source),
                destination: Ip4::read(&destination),
                protocol: UDP,
                l4,
                ports: u32::from_ne_bytes(ports),
            };
            prop_assert_eq!(Quoted::<Ip4>::parse(&bytes), Some(expected));
        }

        #[test]
        fn any_bytes_lead_at_most_to_their_end(
            mut bytes in prop::collection::vec(any::<u8>(), 0..140),
            version in prop_oneof![Just(0x45), Just(0x46), Just(0x60)],
            protocol in prop_oneof![Just(4), Just(6), Just(17), Just(41), Just(44), Just(47), Just(51), Just(60)],
        ) {
            for (at, value) in [(0, version), (9, protocol), (6, if version == 0x60 { protocol } else { 0 })] {
                bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = value);
            }
            let quoted = [
                Quoted::<Ip4>::parse(&bytes).map(|q| (q.l4, q.has_ports())),
                Quoted::<Ip6>::parse(&bytes).map(|q| (q.l4, q.has_ports())),
            ];
            for (l4, has_ports) in quoted.into_iter().flatten() {
                let ports_len = if has_ports { Ports::LEN } else { 0 };
                prop_assert!(l4 + ports_len <= bytes.len());
            }
            let inner = [
                Tunnelled::<Ip4>::parse(&bytes).map(|t| t.inner),
                Tunnelled::<Ip6>::parse(&bytes).map(|t| t.inner),
            ];
            prop_assert!(inner.into_iter().flatten().all(|inner| inner <= bytes.len()));
        }
    }
}

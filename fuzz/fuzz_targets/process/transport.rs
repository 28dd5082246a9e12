//! Transport checksums of whole packets of both families, computed as nothing in the director does it, and within tunnels.

use pollux::wire::Header;
use pollux::wire::ip_protocol::{GRE, ICMP, ICMPV6, IPIP, IPV6, SCTP, TCP, UDP};
use pollux::wire::ipv4::Ipv4Packet;
use pollux::wire::sctp::{self, SctpHeader};
use pollux::wire::{gre, gue, ipv6};

/// Where GUE goes to, as in the topology.
const GUE_PORT: [u8; 2] = 6080_u16.to_be_bytes();

/// What stands behind the IP headers of a packet that is no fragment.
struct Upper<'a> {
    protocol: u8,
    /// Both addresses, one after the other.
    addresses: &'a [u8],
    payload: &'a [u8],
}

fn upper(packet: &[u8]) -> Option<Upper<'_>> {
    match packet.first()? >> 4 {
        4 => {
            let parsed = Ipv4Packet::parse(packet)?;
            let is_fragment = parsed.header.is_fragment();
            let (protocol, payload) = (parsed.header.protocol, parsed.payload);
            (!is_fragment).then_some(Upper { protocol, addresses: &packet[12..20], payload })
        }
        _ => {
            let (upper, len) = (ipv6::upper_layer(packet)?, ipv6::Ipv6Header::of(packet)?.total_len());
            let payload = packet.get(upper.offset..len)?;
            let addresses = packet.get(8..40)?;
            upper.fragment.is_none().then_some(Upper { protocol: upper.protocol, addresses, payload })
        }
    }
}

/// `None`: there is none to be right or wrong.
pub fn is_right(packet: &[u8]) -> Option<bool> {
    let Upper { protocol, addresses, payload } = upper(packet)?;
    let pseudo = || [addresses, &(payload.len() as u32).to_be_bytes(), &[0, protocol]].concat();
    match protocol {
        UDP if payload.len() >= 8 && payload[6..8] == [0, 0] => Some(true),
        UDP if payload.len() >= 8 => Some(adds_up(&pseudo(), payload)),
        TCP if payload.len() >= 20 => Some(adds_up(&pseudo(), payload)),
        ICMPV6 if payload.len() >= 8 => Some(adds_up(&pseudo(), payload)),
        ICMP if payload.len() >= 8 => Some(adds_up(&[], payload)),
        SCTP => {
            let (header, rest) = SctpHeader::split(payload)?;
            Some(sctp::checksum(header, [rest]) == header.checksum)
        }
        _ => None,
    }
}

/// The packet that a tunnel of the topology carries.
pub fn inner(packet: &[u8]) -> Option<&[u8]> {
    let Upper { protocol, payload, .. } = upper(packet)?;
    match protocol {
        IPIP | IPV6 => Some(payload),
        GRE => gre::Gre::parse(payload).map(|gre| gre.payload),
        UDP if payload.get(2..4) == Some(&GUE_PORT) => gue::Gue::parse(payload.get(8..)?).map(|gue| gue.payload),
        _ => None,
    }
}

/// Word by word.
fn adds_up(pseudo: &[u8], payload: &[u8]) -> bool {
    let word = |pair: &[u8]| u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0));
    let mut sum: u64 = pseudo.chunks(2).chain(payload.chunks(2)).map(word).sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum == 0xffff
}

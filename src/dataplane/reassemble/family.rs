//! What differs between the families: where a fragment says what it is, and the header of the whole packet.

use super::DatagramKey;
use crate::dataplane::frame::Frame;
use crate::wire::Header;
use crate::wire::address::{Address, Ip4, Ip6};
use crate::wire::ip::Ip;
use crate::wire::ip_protocol::{ICMPV6, TCP, UDP};
use crate::wire::ipv4::{self, Ipv4Header};
use crate::wire::ipv6::{self, FragmentHeader, Ipv6Header};
use crate::wire::tcp::TcpHeader;
use crate::wire::udp::UdpHeader;
use zerocopy::network_endian::U16;

/// A fragment as its headers describe it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment<A> {
    pub key: DatagramKey<A>,
    /// Where its IP header and its data begin in the frame, and how much data there is.
    pub l3: u8,
    pub data: u16,
    pub len: u16,
    /// Where its data belongs in the packet's.
    pub offset: u16,
    pub more: bool,
    pub dont_fragment: bool,
    pub ecn: u8,
    /// Bytes of the IP packet it is.
    pub size: u16,
}

/// A family whose packets come in fragments.
pub trait Reassembled: Ip {
    /// How long a datagram waits for its fragments.
    const TIMEOUT_MS: u64;
    /// A fragment that contradicts itself or others is dropped alone (nf_ct_frag6_queue), not with its datagram
    /// (ip_frag_queue).
    const SPARES_DATAGRAM: bool;
    /// Where a fragment's data must end; IPv4 only looks when the packet is whole.
    const END_MAX: u32;

    /// The fragment whose IP header is `l3` bytes into the frame that begins with `head`. `None` when it is none, or
    /// its headers are not all in `head`.
    fn fragment_at(head: &[u8], l3: usize) -> Option<Fragment<Self>>;

    /// Whether the packet at `l3`, which says it is `protocol`'s, is a fragment that is handled as if it were a whole
    /// packet.
    fn is_left_alone(_fragment: &Fragment<Self>, _l4: usize, _protocol: u8) -> bool {
        false
    }

    /// Makes the first fragment's headers, `l3` to `data`, those of the whole packet with `len` bytes of data. `None`
    /// when it would be longer than a packet can be.
    fn make_whole<F: Frame>(
        frame: &mut F,
        l3_and_data: (usize, usize),
        len: u32,
        dont_fragment: bool,
        ecn: u8,
    ) -> Option<()>;
}

impl Reassembled for Ip4 {
    /// Linux: IP_FRAG_TIME.
    const TIMEOUT_MS: u64 = 30_000;
    const SPARES_DATAGRAM: bool = false;
    const END_MAX: u32 = u32::MAX;

    fn fragment_at(head: &[u8], l3: usize) -> Option<Fragment<Self>> {
        let ip = Ipv4Header::at(head, l3)?;
        let (size, header) = (ip.total_length.get(), ip.header_len());
        if !ip.is_fragment() || header < ipv4::HEADER_LEN || head.len() < l3 + header {
            return None;
        }
        Some(Fragment {
            key: DatagramKey {
                source: Self::read(&ip.source),
                destination: Self::read(&ip.destination),
                id: ip.id.get().into(),
                protocol: ip.protocol,
            },
            l3: l3 as u8,
            data: (l3 + header) as u16,
            len: size.checked_sub(header as u16)?,
            offset: ip.fragment_offset() as u16,
            more: ip.more_fragments(),
            dont_fragment: ip.dont_fragment(),
            ecn: ip.ecn(),
            size,
        })
    }

    fn make_whole<F: Frame>(
        frame: &mut F,
        (l3, data): (usize, usize),
        len: u32,
        dont_fragment: bool,
        ecn: u8,
    ) -> Option<()> {
        let packet = frame.head_mut().get_mut(l3..)?;
        let ip = Ipv4Header::of_mut(packet)?;
        ip.total_length = U16::new(u16::try_from((data - l3) as u32 + len).ok()?);
        ip.set_fragment(dont_fragment, false, 0);
        ip.tos |= ecn;
        ipv4::fill_checksum(packet);
        Some(())
    }
}

impl Reassembled for Ip6 {
    /// RFC 8200 §4.5; Linux: IPV6_FRAG_TIMEOUT.
    const TIMEOUT_MS: u64 = 60_000;
    const SPARES_DATAGRAM: bool = true;
    const END_MAX: u32 = 65_535;

    fn fragment_at(head: &[u8], l3: usize) -> Option<Fragment<Self>> {
        let packet = head.get(l3..)?;
        let ip = Ipv6Header::of(packet)?;
        let fragment = ipv6::fragment_of(packet)?;
        let data = fragment.at + FragmentHeader::LEN;
        Some(Fragment {
            key: DatagramKey {
                source: Self::read(&ip.source),
                destination: Self::read(&ip.destination),
                id: fragment.id,
                protocol: 0,
            },
            l3: l3 as u8,
            data: (l3 + data) as u16,
            len: ip.total_len().checked_sub(data)? as u16,
            offset: fragment.offset as u16,
            more: fragment.more_fragments,
            dont_fragment: false,
            ecn: ip.traffic_class() & 3,
            size: ip.total_len().min(u16::MAX.into()) as u16,
        })
    }

    /// A first fragment that ends within its transport header waits for no others (RFC 8200 §4.5; nf_ct_frag6_gather),
    /// and what its ports say goes.
    fn is_left_alone(fragment: &Fragment<Self>, l4: usize, protocol: u8) -> bool {
        let wanted = match protocol {
            TCP => TcpHeader::LEN,
            UDP => UdpHeader::LEN,
            ICMPV6 => 8,
            _ => 1,
        };
        fragment.offset == 0 && l4 + wanted > usize::from(fragment.data) + usize::from(fragment.len)
    }

    /// The fragment header goes; what is in front of it moves up.
    fn make_whole<F: Frame>(
        frame: &mut F,
        (l3, data): (usize, usize),
        len: u32,
        _dont_fragment: bool,
        ecn: u8,
    ) -> Option<()> {
        let head = frame.head_mut();
        let packet = head.get_mut(l3..)?;
        let fragment = ipv6::fragment_of(packet)?;
        let next_header = FragmentHeader::at(packet, fragment.at)?.next_header;
        *packet.get_mut(fragment.announced_at)? = next_header;
        let extensions = data - l3 - FragmentHeader::LEN - ipv6::HEADER_LEN;
        let ip = Ipv6Header::of_mut(packet)?;
        ip.payload_length = U16::new(u16::try_from(extensions as u32 + len).ok()?);
        ip.set_traffic_class(ip.traffic_class() | ecn);
        head.copy_within(..l3 + fragment.at, FragmentHeader::LEN);
        frame.trim_front(FragmentHeader::LEN);
        Some(())
    }
}

//! Frames to feed and frames to look at. Checksums are computed the long way, by nothing the director uses.

use crate::wire::Header;
use crate::wire::arp::ArpPacket;
use crate::wire::ethernet::{EthernetHeader, MacAddr, VlanTag, ethertype};
use crate::wire::ip_protocol::{ICMP, TCP, UDP};
use crate::wire::ipv4::Ipv4Header;
use crate::wire::nd::NeighbourMessage;
use crate::wire::udp::UdpHeader;
use std::net::{Ipv4Addr, SocketAddrV4};

pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const ACK: u8 = 0x10;

pub fn at(text: &str) -> SocketAddrV4 {
    text.parse().unwrap()
}

pub fn ip(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

/// RFC 1071, word by word.
pub fn long_sum(bytes: &[u8]) -> u16 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    let mut sum: u32 = bytes.chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}

/// Of a whole IPv4 packet's transport part, with its pseudo header.
fn transport_sum(packet: &[u8], l4: usize) -> u16 {
    let mut bytes = packet[12..20].to_vec();
    bytes.extend([0, packet[9]]);
    bytes.extend(((packet.len() - l4) as u16).to_be_bytes());
    bytes.extend(&packet[l4..]);
    long_sum(&bytes)
}

/// What an IPv4 packet carries.
#[derive(Clone, Debug)]
pub enum Load {
    Tcp {
        flags: u8,
        data: Vec<u8>,
    },
    Udp {
        with_checksum: bool,
        data: Vec<u8>,
    },
    /// An ICMP message without its checksum, which is filled in.
    Icmp(Vec<u8>),
    /// As it is.
    Raw(u8, Vec<u8>),
}

/// An IPv4 packet in an Ethernet frame.
#[derive(Clone, Debug)]
pub struct Datagram {
    pub to_mac: [u8; 6],
    pub from_mac: [u8; 6],
    pub vlan: Option<u16>,
    pub source: SocketAddrV4,
    pub destination: SocketAddrV4,
    pub ttl: u8,
    pub tos: u8,
    pub id: u16,
    pub dont_fragment: bool,
    /// Of the IP header; a multiple of 4.
    pub options: Vec<u8>,
    pub load: Load,
    pub padding: usize,
}

pub fn tcp(source: SocketAddrV4, destination: SocketAddrV4, flags: u8) -> Datagram {
    Datagram {
        to_mac: super::lab::CLIENT_SIDE_MAC,
        from_mac: super::lab::GATEWAY_MAC,
        vlan: None,
        source,
        destination,
        ttl: 64,
        tos: 0,
        id: 0x1234,
        dont_fragment: true,
        options: vec![],
        load: Load::Tcp { flags, data: vec![] },
        padding: 0,
    }
}

pub fn udp(source: SocketAddrV4, destination: SocketAddrV4, data: &[u8]) -> Datagram {
    let load = Load::Udp { with_checksum: true, data: data.to_vec() };
    Datagram { load, ..tcp(source, destination, 0) }
}

pub fn icmp(source: &str, destination: &str, kind: u8, code: u8, rest: &[u8]) -> Datagram {
    let load = Load::Icmp([&[kind, code, 0, 0], rest].concat());
    let host = |text| SocketAddrV4::new(ip(text), 0);
    Datagram { load, ..tcp(host(source), host(destination), 0) }
}

impl Datagram {
    pub fn data(mut self, bytes: &[u8]) -> Self {
        match &mut self.load {
            Load::Tcp { data, .. } | Load::Udp { data, .. } => *data = bytes.to_vec(),
            Load::Icmp(_) | Load::Raw(..) => panic!("no data in it"),
        }
        self
    }

    /// Sent by a server towards the director.
    pub fn at_server_side(self) -> Self {
        Self { to_mac: super::lab::SERVER_SIDE_MAC, from_mac: super::lab::server_mac(1), ..self }
    }

    fn transport(&self) -> (u8, Vec<u8>) {
        let ports = [self.source.port().to_be_bytes(), self.destination.port().to_be_bytes()].concat();
        match &self.load {
            Load::Tcp { flags, data } => {
                let fixed = [0, 0, 0, 1, 0, 0, 0, 2, 0x50, *flags, 0x20, 0, 0, 0, 0, 0];
                (TCP, [&ports[..], &fixed, data].concat())
            }
            Load::Udp { data, .. } => {
                let length = ((8 + data.len()) as u16).to_be_bytes();
                (UDP, [&ports[..], &length, &[0, 0], data].concat())
            }
            Load::Icmp(message) => (ICMP, message.clone()),
            Load::Raw(protocol, bytes) => (*protocol, bytes.clone()),
        }
    }

    /// From the IP header on.
    pub fn packet(&self) -> Vec<u8> {
        let (protocol, transport) = self.transport();
        let l4 = 20 + self.options.len();
        let total = ((l4 + transport.len()) as u16).to_be_bytes();
        let fragment = if self.dont_fragment { 0x40 } else { 0 };
        let [id_high, id_low] = self.id.to_be_bytes();
        let fixed = [0x40 | (l4 / 4) as u8, self.tos, total[0], total[1], id_high, id_low, fragment, 0];
        let mut packet = [&fixed[..], &[self.ttl, protocol, 0, 0]].concat();
        packet.extend(self.source.ip().octets());
        packet.extend(self.destination.ip().octets());
        packet.extend(&self.options);
        packet.extend(transport);
        let sum = match self.load {
            Load::Tcp { .. } => Some((16, transport_sum(&packet, l4))),
            Load::Udp { with_checksum: true, .. } => Some((6, sent_udp_sum(transport_sum(&packet, l4)))),
            Load::Icmp(_) => Some((2, long_sum(&packet[l4..]))),
            _ => None,
        };
        if let Some((offset, sum)) = sum {
            packet[l4 + offset..][..2].copy_from_slice(&sum.to_be_bytes());
        }
        fix_ip_checksum(&mut packet);
        packet
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = link_header(self.to_mac, self.from_mac, self.vlan, ethertype::IPV4);
        bytes.extend(self.packet());
        bytes.extend(vec![0; self.padding]);
        bytes
    }
}

/// RFC 768: a computed 0 is sent as all ones.
fn sent_udp_sum(sum: u16) -> u16 {
    if sum == 0 { 0xffff } else { sum }
}

/// Fills in the header checksum of the IPv4 packet at the start of `packet`.
pub fn fix_ip_checksum(packet: &mut [u8]) {
    let header = usize::from(packet[0] & 15) * 4;
    packet[10..12].fill(0);
    let sum = long_sum(&packet[..header]);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
}

fn link_header(to: [u8; 6], from: [u8; 6], vlan: Option<u16>, kind: u16) -> Vec<u8> {
    let mut bytes = [to, from].concat();
    if let Some(vlan) = vlan {
        bytes.extend([0x81, 0, (vlan >> 8) as u8, vlan as u8]);
    }
    bytes.extend(kind.to_be_bytes());
    bytes
}

pub fn arp_frame(to: [u8; 6], vlan: Option<u16>, arp: &ArpPacket) -> Vec<u8> {
    let mut bytes = link_header(to, arp.sender_mac.0, vlan, ethertype::ARP);
    let mut body = [0; ArpPacket::LEN];
    arp.put(&mut body).unwrap();
    bytes.extend(body);
    bytes
}

/// Who has `target`? Asked by a station.
pub fn arp_request(mac: [u8; 6], address: &str, target: &str) -> Vec<u8> {
    arp_frame([0xff; 6], None, &ArpPacket::request(MacAddr(mac), ip(address), ip(target)))
}

/// The answer of a station at `address` to the director's question.
pub fn arp_reply(to: [u8; 6], vlan: Option<u16>, mac: [u8; 6], address: &str, asker: &str) -> Vec<u8> {
    let question = ArpPacket::request(MacAddr(to), ip(asker), ip(address));
    arp_frame(to, vlan, &question.reply(MacAddr(mac)))
}

/// A frame as it left.
#[derive(Clone, Debug)]
pub struct Seen {
    pub port: u16,
    pub to_mac: [u8; 6],
    pub from_mac: [u8; 6],
    pub vlan: Option<u16>,
    /// From the network header on.
    pub packet: Vec<u8>,
    pub kind: u16,
}

impl Seen {
    pub fn of(port: u16, bytes: &[u8]) -> Self {
        let (link, mut rest) = EthernetHeader::split(bytes).expect("an Ethernet header");
        let (mut kind, mut vlan) = (link.ethertype.get(), None);
        if kind == ethertype::VLAN {
            let (tag, behind) = VlanTag::split(rest).expect("a tag");
            (kind, vlan, rest) = (tag.ethertype.get(), Some(tag.id()), behind);
        }
        Self { port, to_mac: link.destination.0, from_mac: link.source.0, vlan, packet: rest.to_vec(), kind }
    }

    pub fn ip(&self) -> &Ipv4Header {
        assert_eq!(self.kind, ethertype::IPV4, "an IPv4 packet");
        Ipv4Header::of(&self.packet).expect("an IPv4 header")
    }

    pub fn arp(&self) -> &ArpPacket {
        assert_eq!(self.kind, ethertype::ARP, "an ARP packet");
        ArpPacket::parse(&self.packet).expect("a sane ARP packet")
    }

    pub fn is_arp(&self) -> bool {
        self.kind == ethertype::ARP
    }

    /// ARP, or neighbour discovery.
    pub fn is_about_neighbours(&self) -> bool {
        self.is_arp() || self.kind == ethertype::IPV6 && NeighbourMessage::parse(&self.packet).is_some()
    }

    pub fn transport(&self) -> &[u8] {
        &self.packet[self.ip().header_len()..]
    }

    fn port_at(&self, offset: usize) -> u16 {
        u16::from_be_bytes([self.transport()[offset], self.transport()[offset + 1]])
    }

    pub fn source(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.ip().source(), self.port_at(0))
    }

    pub fn destination(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.ip().destination(), self.port_at(2))
    }

    pub fn udp_checksum(&self) -> u16 {
        UdpHeader::of(self.transport()).expect("a UDP header").checksum.get()
    }

    /// Every checksum of the packet, recomputed.
    pub fn assert_checksums(&self) {
        let (ip, l4) = (self.ip(), self.ip().header_len());
        assert_eq!(usize::from(ip.total_length.get()), self.packet.len(), "the length is the packet's");
        assert_eq!(long_sum(&self.packet[..l4]), 0, "the IP header's sum");
        match ip.protocol {
            TCP => assert_eq!(transport_sum(&self.packet, l4), 0, "TCP's sum"),
            UDP if self.udp_checksum() == 0 => {}
            UDP => assert_eq!(transport_sum(&self.packet, l4), 0, "UDP's sum"),
            ICMP => assert_eq!(long_sum(&self.packet[l4..]), 0, "ICMP's sum"),
            _ => {}
        }
    }
}

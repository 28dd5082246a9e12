//! ARP for IPv4 over Ethernet (RFC 826), and its announcements (RFC 5227).

use std::net::Ipv4Addr;

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Header;
use super::ethernet::{EthernetHeader, MacAddr, ethertype};

pub const REQUEST: u16 = 1;
pub const REPLY: u16 = 2;
/// Ethernet (IANA "ARP Parameters").
const HARDWARE_ETHERNET: u16 = 1;
/// Of a frame with an ARP packet, without tag and padding.
pub const FRAME_LEN: usize = size_of::<EthernetHeader>() + size_of::<ArpPacket>();

#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct ArpPacket {
    hardware_type: U16,
    protocol_type: U16,
    hardware_len: u8,
    protocol_len: u8,
    pub operation: U16,
    pub sender_mac: MacAddr,
    pub sender_ip: [u8; 4],
    pub target_mac: MacAddr,
    pub target_ip: [u8; 4],
}

impl ArpPacket {
    /// `None` unless it is a request or a reply for IPv4 over Ethernet, from something that can be one station.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Option<&Self> {
        Self::of(bytes).filter(|arp| arp.is_sane())
    }

    fn is_sane(&self) -> bool {
        self.hardware_type.get() == HARDWARE_ETHERNET
            && self.protocol_type.get() == ethertype::IPV4
            && (self.hardware_len, self.protocol_len) == (6, 4)
            && matches!(self.operation.get(), REQUEST | REPLY)
            && self.sender_mac.is_unicast()
            && !self.sender_ip().is_multicast()
            && !self.sender_ip().is_broadcast()
    }

    fn new(operation: u16, sender: (MacAddr, Ipv4Addr), target: (MacAddr, Ipv4Addr)) -> Self {
        Self {
            hardware_type: U16::new(HARDWARE_ETHERNET),
            protocol_type: U16::new(ethertype::IPV4),
            hardware_len: 6,
            protocol_len: 4,
            operation: U16::new(operation),
            sender_mac: sender.0,
            sender_ip: sender.1.octets(),
            target_mac: target.0,
            target_ip: target.1.octets(),
        }
    }

    /// Who has `target_ip`?
    pub fn request(mac: MacAddr, ip: Ipv4Addr, target_ip: Ipv4Addr) -> Self {
        Self::new(REQUEST, (mac, ip), (MacAddr::ZERO, target_ip))
    }

    /// The answer to this request: its target is at `mac`.
    pub fn reply(&self, mac: MacAddr) -> Self {
        Self::new(REPLY, (mac, self.target_ip()), (self.sender_mac, self.sender_ip()))
    }

    /// Gratuitous ARP: a request for the sender's own address (RFC 5227 section 3), as Linux sends it with
    /// `arp_notify`.
    pub fn gratuitous(mac: MacAddr, ip: Ipv4Addr) -> Self {
        Self::request(mac, ip, ip)
    }

    #[inline]
    pub fn is_request(&self) -> bool {
        self.operation.get() == REQUEST
    }

    /// The sender tells of its own address; nobody is to answer.
    #[inline]
    pub fn is_gratuitous(&self) -> bool {
        self.sender_ip == self.target_ip
    }

    /// A probe for a duplicate (RFC 5227 section 2.1.1): to be answered, but not learned from.
    #[inline]
    pub fn is_probe(&self) -> bool {
        self.is_request() && self.sender_ip == [0; 4]
    }

    #[inline]
    pub fn sender_ip(&self) -> Ipv4Addr {
        self.sender_ip.into()
    }

    #[inline]
    pub fn target_ip(&self) -> Ipv4Addr {
        self.target_ip.into()
    }

    /// Writes the frame from [`Self::sender_mac`] to `out`: requests go to everybody, replies to their target.
    /// Its length, or `None` when it does not fit.
    pub fn write_frame(&self, out: &mut [u8]) -> Option<usize> {
        let destination = if self.is_request() { MacAddr::BROADCAST } else { self.target_mac };
        let out = EthernetHeader::new(destination, self.sender_mac, ethertype::ARP).put(out)?;
        self.put(out)?;
        Some(FRAME_LEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::hex;

    const RECORDED: &str = "0001080006040001020000000efec00002fe000000000000c0000264";

    fn frame(packet: &ArpPacket) -> Vec<u8> {
        let mut out = vec![0xa5; 60];
        let len = packet.write_frame(&mut out).unwrap();
        assert!(out[len..].iter().all(|&byte| byte == 0xa5));
        out.truncate(len);
        out
    }

    #[test]
    fn the_answer_to_a_recorded_request_is_the_recorded_reply() {
        let bytes = hex(RECORDED);
        let request = ArpPacket::parse(&bytes).unwrap();
        assert!(request.is_request() && !request.is_gratuitous() && !request.is_probe());
        assert_eq!(request.target_ip(), Ipv4Addr::new(192, 0, 2, 100));
        let reply = request.reply(MacAddr([2, 0, 0, 0, 0, 0xe1]));
        assert_eq!(
            frame(&reply),
            hex("020000000efe0200000000e1080600010800060400020200000000e1c0000264020000000efec00002fe")
        );
        assert!(reply.is_sane());
    }

    #[test]
    fn a_made_request_is_the_recorded_one() {
        let mac = MacAddr([2, 0, 0, 0, 0, 0xa1]);
        let request = ArpPacket::request(mac, Ipv4Addr::new(10, 10, 0, 1), Ipv4Addr::new(10, 10, 0, 50));
        assert_eq!(
            frame(&request),
            hex("ffffffffffff0200000000a1080600010800060400010200000000a10a0a00010000000000000a0a0032")
        );
    }

    #[test]
    fn gratuitous_arp_asks_everybody_for_its_own_address() {
        let arp = ArpPacket::gratuitous(MacAddr([2, 0, 0, 0, 0, 1]), Ipv4Addr::new(192, 0, 2, 100));
        assert!(arp.is_gratuitous() && arp.is_request() && arp.target_mac.is_zero());
        assert_eq!(frame(&arp)[..6], [0xff; 6]);
    }

    #[test]
    fn what_is_not_ipv4_over_ethernet_is_refused() {
        for (at, value) in [(1, 6), (3, 1), (4, 8), (5, 16), (7, 3), (7, 0), (8, 1), (14, 224), (8, 0x03)] {
            let mut bytes = hex(RECORDED);
            bytes[at] = value;
            assert!(ArpPacket::parse(&bytes).is_none(), "byte {at} = {value}");
        }
        assert!(ArpPacket::parse(&hex(RECORDED)[..27]).is_none());
    }

    #[test]
    fn a_frame_that_does_not_fit_is_not_written() {
        let arp = ArpPacket::gratuitous(MacAddr([2, 0, 0, 0, 0, 1]), Ipv4Addr::LOCALHOST);
        for room in 0..FRAME_LEN {
            assert!(arp.write_frame(&mut vec![0; room]).is_none());
        }
    }
}

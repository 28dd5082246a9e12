//! Frames made from valid ones, so that they get deep, and then damaged.

use arbitrary::Arbitrary;
use pollux::wire::checksum::Sum;
use pollux::wire::ipv4::{self, Ipv4Packet};

#[derive(Debug, Arbitrary)]
pub struct Sent {
    pub kind: Kind,
    pub tagged: bool,
    pub client: u8,
    /// Of eight.
    pub service: u8,
    pub server: u8,
    pub flags: u8,
    pub ttl: u8,
    pub dont_fragment: bool,
    pub options: u8,
    pub data: u8,
    pub without_checksum: bool,
    /// Most frames are whole, or nothing would get deep: only one in four is damaged as follows.
    pub damage: u8,
    /// Bytes overwritten before the IP checksum is made, and after.
    pub before: Vec<(u8, u8)>,
    pub after: Vec<(u8, u8)>,
    pub cut: Option<u8>,
    pub padding: u8,
    /// Where segments end.
    pub segments: [u8; 2],
}

#[derive(Clone, Copy, Debug, Arbitrary)]
pub enum Kind {
    TcpFromClient,
    TcpFromServer,
    UdpFromClient,
    UdpFromServer,
    Ping,
    IcmpError,
    ArpRequest,
    ArpReply,
    Transit,
    Raw,
}

pub const PORT_MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 0xc0], [2, 0, 0, 0, 0, 0x50]];
pub const TAGGED_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x51];
pub const TAG: u16 = 100;

impl Sent {
    pub fn is_from_servers(&self) -> bool {
        matches!(self.kind, Kind::TcpFromServer | Kind::UdpFromServer) || self.tagged
    }

    fn client(&self) -> [u8; 4] {
        // half of them behind the router, half on the link, where their MAC addresses have to be asked for
        if self.client < 128 { [198, 51, 100, self.client % 16 + 1] } else { [192, 0, 2, 100 + self.client % 4] }
    }

    fn virt(&self) -> [u8; 4] {
        [192, 0, 2, 10 + self.service % 8]
    }

    fn real(&self) -> [u8; 4] {
        super::lab::server_address(self.service % 8, self.server)
    }

    fn ports(&self) -> ([u8; 2], [u8; 2]) {
        let client = (40_000 + u16::from(self.client)).to_be_bytes();
        let service = super::lab::virtual_port(self.service % 8).to_be_bytes();
        let server = super::lab::server_port(self.service % 8).to_be_bytes();
        match self.kind {
            Kind::TcpFromServer | Kind::UdpFromServer => (server, client),
            _ => (client, service),
        }
    }

    /// The whole frame; `id` goes into its IP header.
    pub fn frame(&self, id: u16) -> Vec<u8> {
        let mut frame = self.link();
        let l3 = frame.len();
        frame.extend(self.network(id));
        let damages = if self.damage.is_multiple_of(4) { 3 } else { 0 };
        for (at, value) in self.before.iter().take(damages) {
            overwrite(&mut frame, usize::from(*at), *value);
        }
        if matches!(frame.get(l3 - 2..l3), Some([8, 0])) {
            if let Some(field) = frame.get_mut(l3 + 4..l3 + 6) {
                field.copy_from_slice(&id.to_be_bytes());
            }
            ipv4::fill_checksum(&mut frame[l3..]);
        }
        for (at, value) in self.after.iter().take(damages) {
            overwrite(&mut frame, usize::from(*at), *value);
        }
        frame.extend(vec![0; usize::from(self.padding % 32)]);
        if let Some(cut) = self.cut.filter(|_| damages > 0) {
            frame.truncate(usize::from(cut));
        }
        frame
    }

    /// The frame in up to three fragments, of some that are whole.
    pub fn in_fragments(&self, frame: Vec<u8>) -> Vec<Vec<u8>> {
        let l3 = if self.tagged { 18 } else { 14 };
        let is_ip = frame.get(l3 - 2..l3) == Some(&[8, 0]);
        let header = frame.get(l3).map_or(0, |first| usize::from(first & 15) * 4);
        let Some(total) = frame.get(l3 + 2..l3 + 4).map(|len| usize::from(u16::from_be_bytes([len[0], len[1]]))) else {
            return vec![frame];
        };
        if !is_ip || self.damage % 4 != 1 || header < 20 || total > frame.len() - l3 || total < header + 16 {
            return vec![frame];
        }
        let data = total - header;
        let size = ((data / 3 + 7) & !7).max(8);
        let cut = |at: usize| {
            let len = size.min(data - at);
            let start = l3 + header + at;
            let mut piece = [&frame[..l3 + header], &frame[start..start + len]].concat();
            piece[l3 + 2..l3 + 4].copy_from_slice(&((header + len) as u16).to_be_bytes());
            let flags = u16::from(at + len < data) << 13 | u16::from(self.dont_fragment) << 14 | (at / 8) as u16;
            piece[l3 + 6..l3 + 8].copy_from_slice(&flags.to_be_bytes());
            ipv4::fill_checksum(&mut piece[l3..]);
            piece
        };
        let mut pieces: Vec<_> = (0..data).step_by(size).map(cut).collect();
        if self.flags % 2 == 1 {
            pieces.reverse();
        }
        pieces
    }

    fn link(&self) -> Vec<u8> {
        let port = usize::from(self.is_from_servers());
        let mac = if self.tagged { TAGGED_MAC } else { PORT_MACS[port] };
        let mut bytes = [mac, super::lab::station(self.client)].concat();
        if self.tagged {
            bytes.extend([0x81, 0, (TAG >> 8) as u8, TAG as u8]);
        }
        let is_arp = matches!(self.kind, Kind::ArpRequest | Kind::ArpReply);
        bytes.extend(if is_arp { [8, 6] } else { [8, 0] });
        bytes
    }

    fn network(&self, id: u16) -> Vec<u8> {
        match self.kind {
            Kind::ArpRequest => self.arp(1),
            Kind::ArpReply => self.arp(2),
            Kind::Raw => vec![self.flags; usize::from(self.data)],
            Kind::TcpFromClient => self.ip(id, self.client(), self.virt(), 6, &self.tcp()),
            Kind::UdpFromClient => self.ip(id, self.client(), self.virt(), 17, &self.udp()),
            Kind::TcpFromServer => self.ip(id, self.real(), self.client(), 6, &self.tcp()),
            Kind::UdpFromServer => self.ip(id, self.real(), self.client(), 17, &self.udp()),
            Kind::Transit => self.ip(id, self.client(), [10, 0, self.server % 2, self.service], 6, &self.tcp()),
            Kind::Ping => self.ip(id, self.client(), self.virt(), 1, &self.icmp(8)),
            Kind::IcmpError => self.ip(id, self.client(), self.virt(), 1, &self.icmp(3)),
        }
    }

    fn data(&self) -> Vec<u8> {
        // a quarter is about what a link takes, or more
        let len = usize::from(self.data);
        let len = if len < 192 { len } else { 1200 + (len - 192) * 8 };
        (0..len).map(|i| i as u8 ^ self.flags).collect()
    }

    /// Those that move a connection on, more often than others.
    fn tcp_flags(&self) -> u8 {
        [0x02, 0x02, 0x10, 0x18, 0x11, 0x04, 0x12, self.flags >> 2][usize::from(self.flags % 8)]
    }

    fn tcp(&self) -> Vec<u8> {
        let (source, destination) = self.ports();
        let mut bytes = [source, destination].concat();
        bytes.extend([0, 0, 0, 1, 0, 0, 0, 2, 0x50, self.tcp_flags(), 32, 0, 0, 0, 0, 0]);
        bytes.extend(self.data());
        bytes
    }

    fn udp(&self) -> Vec<u8> {
        let (source, destination) = self.ports();
        let data = self.data();
        let mut bytes = [source, destination, ((8 + data.len()) as u16).to_be_bytes(), [0, 0]].concat();
        bytes.extend(data);
        bytes
    }

    fn icmp(&self, kind: u8) -> Vec<u8> {
        [&[kind, 0, 0, 0, 0, 1, 0, 2], &self.data()[..]].concat()
    }

    fn ip(&self, id: u16, source: [u8; 4], destination: [u8; 4], protocol: u8, transport: &[u8]) -> Vec<u8> {
        let options = usize::from(self.options % 4) * 4 * usize::from(self.options > 200);
        let total = (20 + options + transport.len()) as u16;
        let mut packet = vec![0x45 + (options / 4) as u8, self.flags];
        packet.extend(total.to_be_bytes());
        packet.extend(id.to_be_bytes());
        packet.extend([if self.dont_fragment { 0x40 } else { 0 }, 0]);
        packet.extend([if self.ttl < 8 { self.ttl % 4 } else { self.ttl }, protocol, 0, 0]);
        packet.extend(source);
        packet.extend(destination);
        packet.extend(vec![1; options]);
        packet.extend(transport);
        ipv4::fill_checksum(&mut packet);
        fill_transport(&mut packet, self.without_checksum);
        packet
    }

    fn arp(&self, operation: u8) -> Vec<u8> {
        let own = if self.tagged { [10, 1, 0, 254] } else { [192, 0, 2, 254] };
        let (sender, target) = match (self.flags % 4, self.tagged) {
            (0, _) => (self.real(), own),
            (1, _) => ([192, 0, 2, if self.server < 128 { 1 } else { 100 + self.server % 4 }], self.virt()),
            (2, true) => ([10, 1, 0, self.server % 8], own),
            (2, false) => ([10, 0, 0, self.server], own),
            _ => (self.virt(), own),
        };
        let mut bytes = vec![0, 1, 8, 0, 6, 4, 0, operation];
        bytes.extend(super::lab::station(self.server));
        bytes.extend(sender);
        bytes.extend([0; 6]);
        bytes.extend(target);
        bytes
    }
}

fn overwrite(bytes: &mut [u8], at: usize, value: u8) {
    let len = bytes.len();
    if let Some(byte) = bytes.get_mut(at % len.max(1)) {
        *byte = value;
    }
}

fn fill_transport(packet: &mut [u8], without_checksum: bool) {
    let header = usize::from(packet[0] & 15) * 4;
    let field = match packet[9] {
        6 => header + 16,
        17 if !without_checksum => header + 6,
        1 => header + 2,
        _ => return,
    };
    let parsed = Ipv4Packet::parse(packet).expect("made here");
    let pseudo = if packet[9] == 1 { Sum::ZERO } else { parsed.header.pseudo_sum() };
    let sum = pseudo.and(Sum::of(parsed.payload)).finish_udp();
    packet[field..field + 2].copy_from_slice(&sum.get().to_be_bytes());
}

/// The transport checksum of a TCP or UDP packet, word by word, as nothing in the director does it. `None`: it has none,
/// or is too short for one.
pub fn transport_is_right(packet: &[u8]) -> Option<bool> {
    let parsed = Ipv4Packet::parse(packet)?;
    let (protocol, payload) = (parsed.header.protocol, parsed.payload);
    let wanted = if protocol == 6 { 20 } else { 8 };
    if !matches!(protocol, 6 | 17) || payload.len() < wanted || parsed.header.is_fragment() {
        return None;
    }
    if protocol == 17 && payload[6..8] == [0, 0] {
        return Some(true);
    }
    let mut bytes = packet[12..20].to_vec();
    bytes.extend([0, protocol]);
    bytes.extend((payload.len() as u16).to_be_bytes());
    bytes.extend(payload);
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    let sum: u32 = bytes.chunks(2).map(word).sum();
    let folded = (sum >> 16) + (sum & 0xffff);
    Some((folded >> 16) + (folded & 0xffff) == 0xffff)
}

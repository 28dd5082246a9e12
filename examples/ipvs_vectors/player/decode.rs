//! Frames in words, for people.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// One line.
pub fn frame(bytes: &[u8]) -> String {
    let Some(head) = bytes.get(..14) else { return format!("{} bytes: {}", bytes.len(), hex(bytes)) };
    let mac = |at: usize| head[at..at + 6].iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(":");
    let inner = match (head[12], head[13]) {
        (8, 0) | (0x86, 0xdd) => ip(&bytes[14..]),
        (8, 6) => "ARP".to_owned(),
        (a, b) => format!("type {a:02x}{b:02x}"),
    };
    format!("{} > {} {inner} ({} bytes)", mac(6), mac(0), bytes.len())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

fn ip(bytes: &[u8]) -> String {
    let shown = match bytes.first().map(|b| b >> 4) {
        Some(4) => ipv4(bytes),
        Some(6) => ipv6(bytes),
        _ => None,
    };
    shown.unwrap_or_else(|| format!("IP? {}", hex(bytes)))
}

fn ipv4(bytes: &[u8]) -> Option<String> {
    let (source, destination) = addresses(bytes)?;
    let (length, fragment) = (u16_at(bytes, 2)?, u16_at(bytes, 6)?);
    let header = usize::from(bytes[0] & 15) * 4;
    let flags = [(0x4000, "DF"), (0x2000, "MF")].iter().filter(|(bit, _)| fragment & bit != 0).map(|(_, name)| *name);
    let flags: Vec<_> = flags.collect();
    let offset = (fragment & 0x1fff) * 8;
    let inner = if offset == 0 { l4(bytes[9], bytes.get(header..)?) } else { "...".to_owned() };
    Some(format!(
        "IP {source} > {destination} ttl {} tos {:#04x} id {} len {length} {}{} [{inner}]",
        bytes[8],
        bytes[1],
        u16_at(bytes, 4)?,
        flags.join(","),
        if offset > 0 { format!(" offset {offset}") } else { String::new() }
    ))
}

fn ipv6(bytes: &[u8]) -> Option<String> {
    let (source, destination) = addresses(bytes)?;
    let class = (bytes[0] & 15) << 4 | bytes[1] >> 4;
    Some(format!(
        "IP6 {source} > {destination} hops {} class {class:#04x} len {} [{}]",
        bytes[7],
        u16_at(bytes, 4)?,
        l4(bytes[6], bytes.get(40..)?)
    ))
}

fn addresses(ip: &[u8]) -> Option<(IpAddr, IpAddr)> {
    let v4 = |at: usize| <[u8; 4]>::try_from(ip.get(at..at + 4)?).ok().map(|o| IpAddr::V4(Ipv4Addr::from(o)));
    let v6 = |at: usize| <[u8; 16]>::try_from(ip.get(at..at + 16)?).ok().map(|o| IpAddr::V6(Ipv6Addr::from(o)));
    match ip.first()? >> 4 {
        4 => Some((v4(12)?, v4(16)?)),
        6 => Some((v6(8)?, v6(24)?)),
        _ => None,
    }
}

fn l4(protocol: u8, bytes: &[u8]) -> String {
    let shown = match protocol {
        1 => icmp("ICMP", bytes),
        58 => icmp("ICMP6", bytes),
        4 | 41 => Some(ip(bytes)),
        6 => tcp(bytes),
        17 => udp(bytes),
        47 => Some(format!("GRE {} {}", hex(bytes.get(..4).unwrap_or(bytes)), gre_inner(bytes))),
        132 => ports(bytes).map(|(s, d)| format!("SCTP {s} > {d} chunk {}", bytes.get(12).unwrap_or(&0))),
        _ => None,
    };
    shown.unwrap_or_else(|| format!("protocol {protocol} {} bytes", bytes.len()))
}

fn gre_inner(bytes: &[u8]) -> String {
    let header = if bytes.first().is_some_and(|flags| flags & 0x80 != 0) { 8 } else { 4 };
    bytes.get(header..).map_or(String::new(), ip)
}

fn ports(bytes: &[u8]) -> Option<(u16, u16)> {
    Some((u16_at(bytes, 0)?, u16_at(bytes, 2)?))
}

fn tcp(bytes: &[u8]) -> Option<String> {
    const FLAGS: [&str; 8] = ["F", "S", "R", "P", "A", "U", "E", "C"];
    let (source, destination) = ports(bytes)?;
    let flags = *bytes.get(13)?;
    let names: String = (0..8).filter(|bit| flags & 1 << bit != 0).map(|bit| FLAGS[bit]).collect();
    Some(format!("TCP {source} > {destination} {names} sum {:04x}", u16_at(bytes, 16)?))
}

fn udp(bytes: &[u8]) -> Option<String> {
    let (source, destination) = ports(bytes)?;
    Some(format!("UDP {source} > {destination} len {} sum {:04x}", u16_at(bytes, 4)?, u16_at(bytes, 6)?))
}

fn icmp(name: &str, bytes: &[u8]) -> Option<String> {
    let (kind, code) = (*bytes.first()?, *bytes.get(1)?);
    let is_error = if name == "ICMP" { matches!(kind, 3 | 4 | 5 | 11 | 12) } else { kind < 128 };
    let rest = hex(bytes.get(4..8)?);
    let quoted = if is_error { ip(bytes.get(8..)?) } else { String::new() };
    Some(format!("{name} {kind}/{code} {rest} {quoted}"))
}

/// Source and destination with their ports.
pub fn endpoints(bytes: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let packet = bytes.get(14..)?;
    let (source, destination) = addresses(packet)?;
    let (protocol, header) = match packet.first()? >> 4 {
        4 => (*packet.get(9)?, usize::from(packet[0] & 15) * 4),
        _ => (*packet.get(6)?, 40),
    };
    if !matches!(protocol, 6 | 17 | 132) {
        return None;
    }
    let (from, to) = ports(packet.get(header..)?)?;
    Some((SocketAddr::new(source, from), SocketAddr::new(destination, to)))
}

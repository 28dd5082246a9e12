//! TCP packets of clients by number, and the servers' answers to what has been forwarded to them.

use super::setup::Version;
use arrayvec::ArrayVec;
use pollux::wire::checksum::Sum;

/// The director's.
pub const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub const SYN: u8 = 0x02;
pub const ACK: u8 = 0x10;
/// IPv6 and TCP.
pub const LEN_MAX: usize = 74;

pub const VIRTUAL_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const CLIENTS_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0xc, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// A frame of client number `flow`: 60 bytes of IPv4, 74 of IPv6.
pub fn packet(version: Version, flow: u32, flags: u8) -> ArrayVec<u8, LEN_MAX> {
    match version {
        Version::V4 => v4(flow, flags),
        Version::V6 => v6(flow, flags),
    }
}

fn v4(flow: u32, flags: u8) -> ArrayVec<u8, LEN_MAX> {
    let mut frame = [0; 60];
    frame[..6].copy_from_slice(&MAC);
    frame[12..24].copy_from_slice(&[8, 0, 0x45, 0, 0, 46, 0, 0, 0, 0, 64, 6]);
    frame[26..30].copy_from_slice(&(0x6440_0001 + flow / 32).to_be_bytes());
    frame[30..34].copy_from_slice(&[192, 0, 2, 1]);
    let sum = Sum::of(&frame[14..34]).finish().to_bytes();
    frame[24..26].copy_from_slice(&sum);
    tcp(&mut frame[34..], flow, flags);
    frame.into_iter().collect()
}

fn v6(flow: u32, flags: u8) -> ArrayVec<u8, LEN_MAX> {
    let mut frame = [0; 74];
    frame[..6].copy_from_slice(&MAC);
    frame[12..22].copy_from_slice(&[0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, 6, 64]);
    frame[22..38].copy_from_slice(&CLIENTS_V6);
    frame[34..38].copy_from_slice(&(flow / 32).to_be_bytes());
    frame[38..54].copy_from_slice(&VIRTUAL_V6);
    tcp(&mut frame[54..], flow, flags);
    frame.into_iter().collect()
}

fn tcp(header: &mut [u8], flow: u32, flags: u8) {
    header[..2].copy_from_slice(&(1024 + (flow % 32) as u16 * 2000).to_be_bytes());
    header[2..4].copy_from_slice(&[0, 80]);
    header[12..14].copy_from_slice(&[0x50, flags]);
}

/// What the server answers to a frame that was forwarded to it by NAT: sent to the director, addresses and ports the
/// other way about.
pub fn reply(version: Version, forwarded: &[u8]) -> ArrayVec<u8, LEN_MAX> {
    let mut frame: ArrayVec<u8, LEN_MAX> = forwarded.iter().copied().collect();
    let (addresses, len) = match version {
        Version::V4 => (26, 4),
        Version::V6 => (22, 16),
    };
    let ports = addresses + 2 * len;
    frame[..6].copy_from_slice(&MAC);
    frame[addresses..ports].rotate_left(len);
    frame[ports..ports + 4].rotate_left(2);
    frame
}

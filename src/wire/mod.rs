//! What packets look like: one protocol a file, each a view over bytes, its constants and its tests.
//!
//! Headers are `#[repr(C)]` structs of big-endian newtypes without alignment, laid over the packet's own bytes
//! by [`Header`]: the length is checked once, there; every accessor after that is infallible. Nothing here knows
//! time or configuration, allocates, or panics on any input.

pub mod address;
pub mod arp;
pub mod checksum;
pub mod ethernet;
pub mod ftp;
pub mod gre;
pub mod gue;
pub mod icmp;
pub mod icmpv6;
pub mod ip;
pub mod ip_protocol;
pub mod ipv4;
pub mod ipv4_options;
pub mod ipv6;
pub mod nd;
pub mod parse;
pub mod plain;
pub mod ports;
pub mod quoted;
pub mod rss_key;
pub mod sctp;
pub mod sip;
pub mod tcp;
pub mod toeplitz;
pub mod udp;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A fixed-size header, seen in the bytes of a packet without copying.
pub trait Header: FromBytes + IntoBytes + KnownLayout + Immutable + Unaligned + Sized {
    const LEN: usize = size_of::<Self>();

    /// The header at the start of `bytes`; `None` when they are too short for it.
    #[inline]
    fn of(bytes: &[u8]) -> Option<&Self> {
        Some(Self::split(bytes)?.0)
    }

    #[inline]
    fn of_mut(bytes: &mut [u8]) -> Option<&mut Self> {
        Some(Self::split_mut(bytes)?.0)
    }

    /// The header `offset` bytes into `bytes`.
    #[inline]
    fn at(bytes: &[u8], offset: usize) -> Option<&Self> {
        Self::of(bytes.get(offset..)?)
    }

    #[inline]
    fn at_mut(bytes: &mut [u8], offset: usize) -> Option<&mut Self> {
        Self::of_mut(bytes.get_mut(offset..)?)
    }

    /// The header, and the bytes behind it.
    #[inline]
    fn split(bytes: &[u8]) -> Option<(&Self, &[u8])> {
        Self::ref_from_prefix(bytes).ok()
    }

    #[inline]
    fn split_mut(bytes: &mut [u8]) -> Option<(&mut Self, &mut [u8])> {
        Self::mut_from_prefix(bytes).ok()
    }

    /// Copies the header to the start of `out`; gives back the bytes behind it, `None` when it does not fit.
    #[inline]
    fn put<'a>(&self, out: &'a mut [u8]) -> Option<&'a mut [u8]> {
        let (room, rest) = out.split_at_mut_checked(Self::LEN)?;
        room.copy_from_slice(self.as_bytes());
        Some(rest)
    }
}

impl<T: FromBytes + IntoBytes + KnownLayout + Immutable + Unaligned> Header for T {}

/// The bytes that hexadecimal digits (and blanks between them) spell, for known-answer tests.
#[cfg(test)]
pub(crate) fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

#[cfg(test)]
mod tests {
    use super::udp::UdpHeader;
    use super::*;

    #[test]
    fn a_header_is_seen_only_in_bytes_long_enough_for_it() {
        let mut bytes = [0xa5; 10];
        assert!(UdpHeader::of(&bytes[..7]).is_none());
        assert!(UdpHeader::at(&bytes, 3).is_none());
        assert!(UdpHeader::at(&bytes, 11).is_none());
        assert!(UdpHeader::at_mut(&mut bytes, usize::MAX).is_none());
        assert_eq!(UdpHeader::split(&bytes).map(|(_, rest)| rest.len()), Some(2));
        assert_eq!(UdpHeader::at(&bytes, 2).map(|udp| udp.length.get()), Some(0xa5a5));
    }

    #[test]
    fn a_header_is_put_only_where_it_fits() {
        let header = UdpHeader::new(1, 2, 3);
        let mut out = [0xa5; 10];
        assert!(header.put(&mut out[..7]).is_none());
        assert_eq!(header.put(&mut out).map(|rest| rest.len()), Some(2));
        assert_eq!(out, [0, 1, 0, 2, 0, 11, 0, 0, 0xa5, 0xa5]);
    }
}

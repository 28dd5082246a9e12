//! SCTP (RFC 9260): the common header, the chunk that moves a connection's state, and the CRC32c checksum.

use zerocopy::byteorder::{little_endian, network_endian};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Header;
use super::ports::Ports;

/// Chunk types (RFC 9260 section 3.2).
pub mod chunk {
    pub const DATA: u8 = 0;
    pub const INIT: u8 = 1;
    pub const INIT_ACK: u8 = 2;
    pub const SACK: u8 = 3;
    pub const HEARTBEAT: u8 = 4;
    pub const HEARTBEAT_ACK: u8 = 5;
    pub const ABORT: u8 = 6;
    pub const SHUTDOWN: u8 = 7;
    pub const SHUTDOWN_ACK: u8 = 8;
    pub const ERROR: u8 = 9;
    pub const COOKIE_ECHO: u8 = 10;
    pub const COOKIE_ACK: u8 = 11;
    pub const SHUTDOWN_COMPLETE: u8 = 14;
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct SctpHeader {
    pub ports: Ports,
    pub verification_tag: network_endian::U32,
    /// RFC 9260 appendix A: transmitted with its least significant byte first.
    pub checksum: little_endian::U32,
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct ChunkHeader {
    pub kind: u8,
    pub flags: u8,
    /// Header and value, without padding.
    pub length: network_endian::U16,
}

/// The chunk type that moves the connection's state, as IPVS looks for it: the first chunk's, but an ABORT bundled
/// directly behind COOKIE ECHO or COOKIE ACK wins. `chunk_at` reads the packet at an offset from the common header on;
/// `None` when there is no chunk.
#[inline]
pub fn state_chunk(chunk_at: impl Fn(usize) -> Option<ChunkHeader>) -> Option<u8> {
    let first = chunk_at(SctpHeader::LEN)?;
    if matches!(first.kind, chunk::COOKIE_ECHO | chunk::COOKIE_ACK) && bundled_abort(chunk_at, first) {
        return Some(chunk::ABORT);
    }
    Some(first.kind)
}

#[cold]
fn bundled_abort(chunk_at: impl Fn(usize) -> Option<ChunkHeader>, first: ChunkHeader) -> bool {
    let length = usize::from(first.length.get());
    let second = chunk_at(SctpHeader::LEN + length.next_multiple_of(4));
    length >= ChunkHeader::LEN && second.is_some_and(|second| second.kind == chunk::ABORT)
}

/// The checksum of a packet with this header (whatever its checksum field holds) and the bytes behind it, in segments
/// of any length.
#[inline]
pub fn checksum<'a>(header: &SctpHeader, rest: impl IntoIterator<Item = &'a [u8]>) -> little_endian::U32 {
    let header = SctpHeader { checksum: little_endian::U32::ZERO, ..*header };
    let crc = rest.into_iter().fold(crc32c::crc32c(header.as_bytes()), crc32c::crc32c_append);
    little_endian::U32::new(crc)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::hex;
    use proptest::prelude::*;

    fn state_chunk(bytes: &[u8]) -> Option<u8> {
        super::state_chunk(|at| ChunkHeader::at(bytes, at).copied())
    }

    const INIT: &str = "271000500000000068ec55b301000014111111110000ffff000a000a00000001";

    #[test]
    fn a_recorded_init_shows_its_header_and_its_checksum_is_right() {
        let bytes = hex(INIT);
        let (header, rest) = SctpHeader::split(&bytes).unwrap();
        assert_eq!((header.ports, header.verification_tag.get()), (Ports::new(10000, 80), 0));
        assert_eq!(state_chunk(&bytes), Some(chunk::INIT));
        assert_eq!(checksum(header, [rest]), header.checksum);
        assert_eq!(checksum(header, [&rest[..7], &[], &rest[7..]]), header.checksum);
        assert_ne!(checksum(header, [&rest[1..]]), header.checksum);
    }

    #[test]
    fn a_recorded_init_ack_of_odd_cookie_is_right_too() {
        let bytes = hex("0050271011111111b53144b202000020111111110000ffff000a000a000000010007000c434f4f4b49452121");
        let (header, rest) = SctpHeader::split(&bytes).unwrap();
        assert_eq!(checksum(header, [rest]), header.checksum);
        assert_eq!(state_chunk(&bytes), Some(chunk::INIT_ACK));
    }

    #[test]
    fn an_abort_bundled_behind_a_cookie_counts() {
        let header = "271000501111111100000000";
        let with = |chunks: &str| state_chunk(&hex(&format!("{header}{chunks}")));
        assert_eq!(with("0b000004 06000004"), Some(chunk::ABORT));
        assert_eq!(with("0a000006 aabb0000 06000004"), Some(chunk::ABORT));
        assert_eq!(with("0a000004 00000010"), Some(chunk::COOKIE_ECHO));
        assert_eq!(with("0b000000 06000004"), Some(chunk::COOKIE_ACK), "a length below the header's own");
        assert_eq!(with("0bffffff"), Some(chunk::COOKIE_ACK));
        assert_eq!(with("00000010 06000004"), Some(chunk::DATA));
        assert_eq!(with("000000"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(mut bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Some(kind) = bytes.get_mut(12) {
                *kind %= 15;
            }
            let _ = state_chunk(&bytes);
        }
    }
}

//! GRE (RFC 2784, with key and sequence number of RFC 2890) as IPVS tunnels in it.

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Header;
use super::checksum::Sum;

const CHECKSUM_PRESENT: u16 = 0x8000;
/// RFC 1701's routing, which RFC 2784 section 2.3 tells to refuse.
const ROUTING_PRESENT: u16 = 0x4000;
const KEY_PRESENT: u16 = 0x2000;
const SEQUENCE_PRESENT: u16 = 0x1000;
/// 1 is PPTP's (RFC 2637).
const VERSION_MASK: u16 = 0x0007;

/// Of the header Pollux makes, with and without checksum.
pub const fn header_len(with_checksum: bool) -> usize {
    if with_checksum { 8 } else { 4 }
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct GreHeader {
    flags_version: U16,
    /// An EtherType.
    pub protocol: U16,
}

/// The word that follows with [`CHECKSUM_PRESENT`].
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct GreChecksum {
    checksum: U16,
    reserved: U16,
}

/// What a GRE header carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gre<'a> {
    /// An EtherType.
    pub protocol: u16,
    pub has_checksum: bool,
    pub payload: &'a [u8],
}

impl<'a> Gre<'a> {
    /// `None` for another version, routing, and a header that is cut off. The checksum is not looked at.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let header = GreHeader::of(bytes)?;
        let flags = header.flags_version.get();
        if flags & (ROUTING_PRESENT | VERSION_MASK) != 0 {
            return None;
        }
        let words = (flags & (CHECKSUM_PRESENT | KEY_PRESENT | SEQUENCE_PRESENT)).count_ones() as usize;
        let payload = bytes.get(GreHeader::LEN + words * 4..)?;
        Some(Self { protocol: header.protocol.get(), has_checksum: flags & CHECKSUM_PRESENT != 0, payload })
    }
}

/// Writes the header for an inner packet of this EtherType to the start of `out`; with `payload`, the inner packet's
/// sum, also the checksum over both (RFC 2784 section 2.5). The header's length, or `None` when it does not fit.
pub fn write(out: &mut [u8], protocol: u16, payload: Option<Sum>) -> Option<usize> {
    let flags = if payload.is_some() { CHECKSUM_PRESENT } else { 0 };
    let header = GreHeader { flags_version: U16::new(flags), protocol: U16::new(protocol) };
    let rest = header.put(out)?;
    if let Some(payload) = payload {
        let checksum = Sum::of(header.as_bytes()).and(payload).finish();
        GreChecksum { checksum, reserved: U16::ZERO }.put(rest)?;
    }
    Some(header_len(payload.is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ethernet::ethertype;
    use crate::wire::hex;
    use proptest::prelude::*;

    const INNER: &str = "4500003c458640003f06099ac6336404c0000264271000506a3dc58500000000a002faf0094f0000020405b40402\
                         080a000000010000000001030307";

    #[test]
    fn a_made_header_with_checksum_is_the_recorded_one() {
        let inner = hex(INNER);
        let mut out = [0xa5; 9];
        assert_eq!(write(&mut out, ethertype::IPV4, Some(Sum::of(&inner))), Some(8));
        assert_eq!(out[..], hex("8000 0800 64ca 0000 a5"));
        let packet = [&out[..8], &inner].concat();
        assert!(Sum::of(&packet).is_valid());
        let parsed = Gre { protocol: ethertype::IPV4, has_checksum: true, payload: &inner };
        assert_eq!(Gre::parse(&packet), Some(parsed));
    }

    #[test]
    fn a_made_header_without_checksum_is_the_recorded_one() {
        let mut out = [0xa5; 5];
        assert_eq!(write(&mut out, ethertype::IPV6, None), Some(4));
        assert_eq!(out[..], hex("0000 86dd a5"));
        let parsed = Gre { protocol: ethertype::IPV6, has_checksum: false, payload: &[0xa5] };
        assert_eq!(Gre::parse(&out), Some(parsed));
    }

    #[test]
    fn key_and_sequence_number_are_stepped_over() {
        let bytes = hex("b000 0800 00000000 00000001 00000002 45");
        assert_eq!(Gre::parse(&bytes).map(|gre| gre.payload), Some(&[0x45][..]));
        assert_eq!(Gre::parse(&bytes[..15]), None);
    }

    #[test]
    fn routing_and_pptp_are_refused() {
        assert_eq!(Gre::parse(&hex("4000 0800 00000000 00000000")), None);
        assert_eq!(Gre::parse(&hex("3001 880b 00000000 00000000 00000000")), None);
    }

    #[test]
    fn a_header_that_does_not_fit_is_not_written() {
        assert_eq!(write(&mut [0; 3], ethertype::IPV4, None), None);
        assert_eq!(write(&mut [0; 7], ethertype::IPV4, Some(Sum::ZERO)), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
            let _ = Gre::parse(&bytes);
        }
    }
}

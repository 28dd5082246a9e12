//! The two port numbers that TCP, UDP and SCTP start with, and all that an ICMP error needs to quote of them.

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Ports {
    pub source: U16,
    pub destination: U16,
}

impl Ports {
    #[inline]
    pub fn new(source: u16, destination: u16) -> Self {
        Self { source: U16::new(source), destination: U16::new(destination) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Header;

    #[test]
    fn ports_stand_in_network_order() {
        assert_eq!(Ports::of(&[0x61, 0xa9, 0, 0x50, 0xa5]), Some(&Ports::new(25001, 80)));
        assert_eq!(Ports::of(&[0; 3]), None);
    }
}

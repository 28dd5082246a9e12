//! IP addresses as a type parameter: one word for IPv4, two for IPv6, both as they stand in the packet.

use std::fmt::Debug;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use zerocopy::FromZeros;

/// An address of one family, in network byte order in memory. All zero bytes are a valid one.
pub trait Address: FromZeros + Copy + Eq + Hash + Debug + Default + Send + Sync + 'static {
    /// Bytes on the wire.
    const LEN: usize;
    /// Whether this is IPv6.
    const IS_V6: bool;

    /// From the first [`Address::LEN`] bytes.
    fn read(bytes: &[u8]) -> Self;
    fn write(self, bytes: &mut [u8]);
    fn to_ip(self) -> IpAddr;
    /// `None` for an address of the other family.
    fn from_ip(ip: IpAddr) -> Option<Self>;
    /// Whether both are the same, with as few comparisons as may be.
    fn are_same(a: [Self; 2], b: [Self; 2]) -> bool;
    /// Both addresses of a flow mixed with two seeds into one word.
    fn mix(source: Self, destination: Self, seeds: [u64; 4]) -> u64;
}

/// High and low half of the 128-bit product, folded: the mixing step of wyhash and its kin.
#[inline(always)]
pub const fn fold(a: u64, b: u64) -> u64 {
    let product = (a as u128) * (b as u128);
    (product as u64) ^ ((product >> 64) as u64)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, FromZeros)]
#[repr(transparent)]
pub struct Ip4(u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, FromZeros)]
#[repr(C)]
pub struct Ip6([u32; 4]);

impl Ip4 {
    #[inline(always)]
    pub fn octets(self) -> [u8; 4] {
        self.0.to_ne_bytes()
    }
}

impl Ip4 {
    /// Two addresses that follow each other in a packet, read as one word whose first byte is the lowest.
    #[inline(always)]
    pub fn pair_of(word: u64) -> [Self; 2] {
        [Self((word as u32).to_le()), Self(((word >> 32) as u32).to_le())]
    }
}

impl From<Ipv4Addr> for Ip4 {
    fn from(address: Ipv4Addr) -> Self {
        Self(u32::from_ne_bytes(address.octets()))
    }
}

impl Address for Ip4 {
    const LEN: usize = 4;
    const IS_V6: bool = false;

    #[inline(always)]
    fn read(bytes: &[u8]) -> Self {
        Self(u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }
    #[inline(always)]
    fn write(self, bytes: &mut [u8]) {
        bytes[..4].copy_from_slice(&self.0.to_ne_bytes());
    }
    #[inline(always)]
    fn to_ip(self) -> IpAddr {
        Ipv4Addr::from(self.0.to_ne_bytes()).into()
    }
    fn from_ip(ip: IpAddr) -> Option<Self> {
        match ip {
            IpAddr::V4(v4) => Some(v4.into()),
            IpAddr::V6(_) => None,
        }
    }
    #[inline(always)]
    fn are_same(a: [Self; 2], b: [Self; 2]) -> bool {
        let word = |[low, high]: [Self; 2]| u64::from(high.0) << 32 | u64::from(low.0);
        word(a) == word(b)
    }
    #[inline(always)]
    fn mix(source: Self, destination: Self, seeds: [u64; 4]) -> u64 {
        (u64::from(destination.0) << 32 | u64::from(source.0)) ^ seeds[0]
    }
}

impl Ip6 {
    #[inline(always)]
    fn halves(self) -> (u64, u64) {
        let [a, b, c, d] = self.0;
        (u64::from(a) << 32 | u64::from(b), u64::from(c) << 32 | u64::from(d))
    }
}

impl From<Ip4> for Ipv4Addr {
    fn from(address: Ip4) -> Self {
        address.octets().into()
    }
}

impl From<Ip6> for Ipv6Addr {
    #[inline(always)]
    fn from(address: Ip6) -> Self {
        let mut octets = [0; 16];
        address.write(&mut octets);
        octets.into()
    }
}

impl From<Ipv6Addr> for Ip6 {
    fn from(address: Ipv6Addr) -> Self {
        Self::read(&address.octets())
    }
}

impl Address for Ip6 {
    const LEN: usize = 16;
    const IS_V6: bool = true;

    #[inline(always)]
    fn read(bytes: &[u8]) -> Self {
        let word = |i: usize| u32::from_ne_bytes([bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]]);
        Self([word(0), word(4), word(8), word(12)])
    }
    #[inline(always)]
    fn write(self, bytes: &mut [u8]) {
        for (chunk, word) in bytes[..16].chunks_exact_mut(4).zip(self.0) {
            chunk.copy_from_slice(&word.to_ne_bytes());
        }
    }
    #[inline(always)]
    fn to_ip(self) -> IpAddr {
        Ipv6Addr::from(self).into()
    }
    fn from_ip(ip: IpAddr) -> Option<Self> {
        match ip {
            IpAddr::V4(_) => None,
            IpAddr::V6(v6) => Some(v6.into()),
        }
    }
    #[inline(always)]
    fn are_same(a: [Self; 2], b: [Self; 2]) -> bool {
        a[0].0 == b[0].0 && a[1].0 == b[1].0
    }
    #[inline(always)]
    fn mix(source: Self, destination: Self, seeds: [u64; 4]) -> u64 {
        let ((a, b), (c, d)) = (source.halves(), destination.halves());
        fold(a ^ seeds[0], b ^ seeds[1]).rotate_left(17) ^ fold(c ^ seeds[2], d ^ seeds[3])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_keep_their_bytes() {
        let v4: IpAddr = "192.0.2.1".parse().unwrap();
        let v6: IpAddr = "2001:db8::1:2".parse().unwrap();
        assert_eq!(Ip4::from_ip(v4).unwrap().to_ip(), v4);
        assert_eq!(Ip6::from_ip(v6).unwrap().to_ip(), v6);
        assert_eq!(Ip4::from_ip(v6), None);
        assert_eq!(Ip6::from_ip(v4), None);
        let mut bytes = [0xa5; 16];
        Ip4::from_ip(v4).unwrap().write(&mut bytes);
        assert_eq!(bytes[..5], [192, 0, 2, 1, 0xa5]);
    }
}

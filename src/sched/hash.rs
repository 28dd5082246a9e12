//! The hashes of IPVS's hashing schedulers. Where a client goes depends on every bit of them.

use crate::model::Family;
use std::net::IpAddr;

/// An address as 32 bits in host order: an IPv6 address is the XOR of its four words.
#[inline]
pub fn fold(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(v4) => u32::from(v4),
        IpAddr::V6(v6) => {
            let all = u128::from(v6);
            ((all >> 96) ^ (all >> 64) ^ (all >> 32) ^ all) as u32
        }
    }
}

/// [`fold`], but an address of the other family is read the way the kernel's union is: an IPv4 one is followed by
/// zeros, of an IPv6 one only the first word counts.
pub fn fold_as(address: IpAddr, family: Family) -> u32 {
    match (address, family) {
        (IpAddr::V6(v6), Family::V4) => (u128::from(v6) >> 96) as u32,
        _ => fold(address),
    }
}

/// Linux's `hash_32`: multiplication by 2^32 (1 - 1/golden ratio), of which the top bits are the best mixed.
#[inline]
pub const fn hash_32(value: u32, bits: u32) -> u32 {
    value.wrapping_mul(0x61C8_8647) >> (32 - bits)
}

/// SipHash-1-3 of one 32-bit word (little endian), both halves of the key the same, cut to 32 bits: what Linux's
/// `hsiphash` is on 64-bit machines. Aumasson and Bernstein, "SipHash: a fast short-input PRF".
#[inline]
pub const fn sip_hash_1_3(word: u32, key: u64) -> u32 {
    let mut v = [
        key ^ 0x736f_6d65_7073_6575,
        key ^ 0x646f_7261_6e64_6f6d,
        key ^ 0x6c79_6765_6e65_7261,
        key ^ 0x7465_6462_7974_6573,
    ];
    // the last block carries the input's length, 4 bytes, on top
    let block = (4 << 56) | word as u64;
    v[3] ^= block;
    v = sip_round(v);
    v[0] ^= block;
    v[2] ^= 0xff;
    v = sip_round(sip_round(sip_round(v)));
    (v[0] ^ v[1] ^ v[2] ^ v[3]) as u32
}

const fn sip_round([mut a, mut b, mut c, mut d]: [u64; 4]) -> [u64; 4] {
    a = a.wrapping_add(b);
    c = c.wrapping_add(d);
    b = b.rotate_left(13) ^ a;
    d = d.rotate_left(16) ^ c;
    a = a.rotate_left(32).wrapping_add(d);
    c = c.wrapping_add(b);
    b = b.rotate_left(17) ^ c;
    d = d.rotate_left(21) ^ a;
    [a, b, c.rotate_left(32), d]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::Hasher;

    #[test]
    fn sip_hash_with_a_zero_key_is_the_standard_librarys() {
        for word in [0, 1, 0xffff_ffff, 0x0a01_0203u32] {
            // SipHash-1-3 with a zero key, as its implementation says and rustc 1.13 and later have it
            #[allow(deprecated)]
            let mut reference = std::collections::hash_map::DefaultHasher::new();
            reference.write(&word.to_le_bytes());
            assert_eq!(sip_hash_1_3(word, 0), reference.finish() as u32);
        }
    }

    #[test]
    fn an_ipv6_address_folds_to_the_xor_of_its_words() {
        let address: IpAddr = "2001:db8:1:2:3:4:5:6".parse().expect("an address");
        assert_eq!(fold(address), 0x2001_0db8 ^ 0x0001_0002 ^ 0x0003_0004 ^ 0x0005_0006);
        assert_eq!(fold_as(address, Family::V6), fold(address));
        assert_eq!(fold_as(address, Family::V4), 0x2001_0db8);
    }

    #[test]
    fn hash_32_keeps_the_top_bits_of_the_product() {
        assert_eq!(hash_32(1, 32), 0x61C8_8647);
        assert_eq!(hash_32(1, 8), 0x61);
        assert_eq!(hash_32(2, 8), 0xC3);
    }
}

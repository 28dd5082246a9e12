//! Longest-prefix match: a trie of one byte a step, for addresses of either family.
//!
//! Built once a change of the network; a look-up is at most four dependent loads for IPv4, usually one to three.

const FAN: usize = 256;
/// In a cell: the rest is a node, not a value.
const NODE: u32 = 1 << 31;

/// Prefix → number below 2³¹.
#[derive(Clone, Debug)]
pub struct Lpm {
    /// Nodes of 256 cells: 0 for nothing, a value plus one, or [`NODE`] and a node.
    cells: Vec<u32>,
    /// Length of the prefix each value cell came from, so that a longer one wins whatever the order.
    lengths: Vec<u8>,
    /// The value of the zero-length prefix.
    default: Option<u32>,
}

impl Default for Lpm {
    fn default() -> Self {
        Self { cells: vec![0; FAN], lengths: vec![0; FAN], default: None }
    }
}

impl Lpm {
    /// Adds `value` for the first `prefix_len` bits of `address`; of equal prefixes the first one stays.
    pub fn insert(&mut self, address: &[u8], prefix_len: u8, value: u32) {
        assert!(value < NODE - 1 && usize::from(prefix_len) <= address.len() * 8, "checked by the configuration");
        if prefix_len == 0 {
            self.default.get_or_insert(value);
            return;
        }
        let mut node = 0;
        let whole = usize::from(prefix_len - 1) / 8;
        for &byte in &address[..whole] {
            node = self.child(node * FAN + usize::from(byte));
        }
        let bits = u32::from(prefix_len) - 8 * whole as u32;
        let first = usize::from(address[whole] & (0xff_u16 << (8 - bits)) as u8);
        for cell in first..first + (1 << (8 - bits)) {
            self.set(node * FAN + cell, prefix_len, value);
        }
    }

    fn set(&mut self, cell: usize, prefix_len: u8, value: u32) {
        if self.cells[cell] & NODE != 0 {
            let node = (self.cells[cell] & !NODE) as usize;
            for below in node * FAN..(node + 1) * FAN {
                self.set(below, prefix_len, value);
            }
        } else if self.cells[cell] == 0 || self.lengths[cell] < prefix_len {
            self.cells[cell] = value + 1;
            self.lengths[cell] = prefix_len;
        }
    }

    /// The node below `cell`, made with what the cell said so far.
    fn child(&mut self, cell: usize) -> usize {
        let content = self.cells[cell];
        if content & NODE != 0 {
            return (content & !NODE) as usize;
        }
        let node = self.cells.len() / FAN;
        self.cells.extend([content; FAN]);
        self.lengths.extend([self.lengths[cell]; FAN]);
        self.cells[cell] = NODE | node as u32;
        node
    }

    /// The value of the longest prefix of `address`.
    #[inline]
    pub fn find(&self, address: &[u8]) -> Option<u32> {
        let mut node = 0;
        for &byte in address {
            match self.cells[node * FAN + usize::from(byte)] {
                0 => return self.default,
                content if content & NODE == 0 => return Some(content - 1),
                content => node = (content & !NODE) as usize,
            }
        }
        self.default
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(prefixes: &[([u8; 4], u8)], address: [u8; 4]) -> Option<u32> {
        let covers = |(prefix, len): ([u8; 4], u8)| {
            let mask = if len == 0 { 0 } else { u32::MAX << (32 - len) };
            u32::from_be_bytes(prefix) & mask == u32::from_be_bytes(address) & mask
        };
        let mut best: Option<usize> = None;
        for (i, &p) in prefixes.iter().enumerate() {
            if covers(p) && best.is_none_or(|b| prefixes[b].1 < p.1) {
                best = Some(i);
            }
        }
        best.map(|i| i as u32)
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_linear_search(
            prefixes in prop::collection::vec(((0_u8..3, 0_u8..4, 0_u8..4, 0_u8..=255), 0_u8..=32), 0..60),
            looked_up in prop::collection::vec((0_u8..3, 0_u8..4, 0_u8..4, 0_u8..=255), 50),
        ) {
            let mut lpm = Lpm::default();
            let array = |(a, b, c, d): (u8, u8, u8, u8)| [a, b, c, d];
            let prefixes: Vec<_> = prefixes.into_iter().map(|(p, len)| (array(p), len)).collect();
            for (i, (address, len)) in prefixes.iter().enumerate() {
                lpm.insert(address, *len, i as u32);
            }
            for address in looked_up {
                let address = array(address);
                let (found, expected) = (lpm.find(&address), naive(&prefixes, address));
                let len = |v: Option<u32>| v.map(|i| prefixes[i as usize].1);
                prop_assert_eq!(len(found), len(expected));
            }
        }
    }

    #[test]
    fn sixteen_bytes_work_like_four() {
        let mut lpm = Lpm::default();
        lpm.insert(&[0; 16], 0, 1);
        lpm.insert(&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0], 64, 2);
        lpm.insert(&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7], 128, 3);
        let mut address = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7];
        assert_eq!(lpm.find(&address), Some(3));
        address[15] = 8;
        assert_eq!(lpm.find(&address), Some(2));
        address[0] = 0xfd;
        assert_eq!(lpm.find(&address), Some(1));
    }
}

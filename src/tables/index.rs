//! The index of the connection table: hash → handle, in cache-line buckets of short tags.
//!
//! A bucket is one cache line: twelve 8-bit tags that one vector instruction compares, and twelve 32-bit handles. A key
//! that finds its bucket full goes to the next one of its probe sequence, and every bucket it had to pass counts it, so
//! that a look-up stops at the first bucket nothing passed (as in Facebook's F14). No key ever moves, so a handle
//! found in one stage of a burst is still right in the next.

use super::memory::{Area, Mapping, NoMemory, Zeroed};

/// Keys a bucket holds.
pub const SLOTS: usize = 12;

/// Share of slots that may be in use when the table is full: beyond it the probe sequences grow.
const LOAD_MAX_PERCENT: usize = 80;

/// Sixteen words. The first one counts the keys that went past this bucket: 0, or [`NOBODYS`] and how many; at the maximum it
/// stays there. The bytes of the next three are tags, 0 where the slot is free; the other twelve are the tags' handles. So byte
/// and word have the same number, their *lane*, and what is in no lane at all leads to the count of those that went past.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Bucket([u32; LANES]);
const _: () = assert!(size_of::<Bucket>() == 64);

/// Handles are smaller, but for their uppermost bit.
pub const NOBODYS: u32 = 1 << 30;

const LANES: usize = 16;
const PASSED_MAX: u32 = NOBODYS | (NOBODYS - 1);
/// The lanes that are slots.
const OF_SLOTS: u32 = (1 << LANES) - (1 << (LANES - SLOTS));

#[allow(unsafe_code)]
// SAFETY: a bucket of zero bytes is an empty one.
unsafe impl Zeroed for Bucket {}

impl Bucket {
    /// Whether keys went past it.
    #[inline(always)]
    fn is_passed(&self) -> bool {
        self.0[0] != 0
    }

    fn pass(&mut self) {
        self.0[0] = self.0[0].max(NOBODYS).saturating_add(1).min(PASSED_MAX);
    }

    fn unpass(&mut self) {
        if self.0[0] != PASSED_MAX {
            let fewer = self.0[0].saturating_sub(1);
            self.0[0] = if fewer > NOBODYS { fewer } else { 0 };
        }
    }

    #[inline(always)]
    fn handle(&self, lane: u32) -> u32 {
        self.0[lane as usize % LANES]
    }

    fn set(&mut self, lane: u32, tag: u8, handle: u32) {
        self.set_tag(lane, tag);
        self.0[lane as usize % LANES] = handle;
    }

    fn set_tag(&mut self, lane: u32, tag: u8) {
        let word = &mut self.0[lane as usize / 4 % 4];
        let mut bytes = word.to_ne_bytes();
        bytes[lane as usize % 4] = tag;
        *word = u32::from_ne_bytes(bytes);
    }

    /// A bit for each lane whose tag is `tag`.
    #[inline(always)]
    fn matches(&self, tag: u8) -> u32 {
        self.vector_matches(tag) & OF_SLOTS
    }

    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn vector_matches(&self, tag: u8) -> u32 {
        let [a, b, c, d, ..] = self.0;
        compare([a, b, c, d], tag)
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn vector_matches(&self, tag: u8) -> u32 {
        let tags = self.0.iter().take(4).flat_map(|word| word.to_ne_bytes());
        tags.enumerate().fold(0, |bits, (lane, t)| bits | u32::from(t == tag) << lane)
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
#[allow(unsafe_code)]
fn compare([a, b, c, d]: [u32; 4], tag: u8) -> u32 {
    use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_movemask_epi8, _mm_set_epi32, _mm_set1_epi8};
    let tags = [d as i32, c as i32, b as i32, a as i32];
    // SAFETY: SSE2 is part of x86-64.
    unsafe {
        let tags = _mm_set_epi32(tags[0], tags[1], tags[2], tags[3]);
        _mm_movemask_epi8(_mm_cmpeq_epi8(tags, _mm_set1_epi8(tag as i8))) as u32
    }
}

/// The index; a handle is a number below [`NOBODYS`], with or without the uppermost bit.
pub struct Index {
    buckets: Mapping<Bucket>,
}

/// Where a hash begins to look.
#[derive(Clone, Copy, Default)]
struct Place {
    bucket: usize,
    tag: u8,
    step: usize,
}

fn buckets_for(keys: usize) -> usize {
    let buckets = (keys * 100).div_ceil(SLOTS * LOAD_MAX_PERCENT).max(2);
    assert!(u32::try_from(buckets).is_ok(), "bucket numbers are 32 bits");
    buckets
}

impl Index {
    /// An index for at most `keys` keys.
    pub fn new(keys: usize) -> Result<Self, NoMemory> {
        Ok(Self { buckets: Mapping::new(buckets_for(keys))? })
    }

    /// As [`Index::new`], with memory taken only as keys come.
    pub fn new_sparse(keys: usize) -> Result<Self, NoMemory> {
        Ok(Self { buckets: Mapping::new_sparse(buckets_for(keys))? })
    }

    pub fn area(&self) -> Area {
        self.buckets.area()
    }

    /// The upper half of the hash, scaled to the number of buckets.
    #[inline(always)]
    fn bucket(&self, hash: u64) -> usize {
        self.buckets.index_at((hash >> 32) as u32)
    }

    #[inline(always)]
    fn place(&self, hash: u64) -> Place {
        // odd steps below 64 keep the probe sequence of neighbouring buckets apart
        Place { bucket: self.bucket(hash), tag: tag(hash), step: (hash as usize >> 8 & 63) | 1 }
    }

    #[inline(always)]
    fn next(&self, place: &mut Place) {
        place.bucket += place.step;
        if place.bucket >= self.buckets.len() {
            place.bucket %= self.buckets.len();
        }
    }

    #[inline(always)]
    pub fn prefetch(&self, hash: u64) {
        self.buckets.prefetch(self.bucket(hash));
    }

    /// The handle that is most likely the key's; 0 when no key with this hash is here: its first bucket says so; or a number
    /// from [`NOBODYS`] on, which says nothing.
    ///
    /// It takes no branch: where several workers share the packets, every other key is another's, nobody foresees which.
    #[inline(always)]
    pub fn guess(&self, hash: u64) -> u32 {
        let Some(bucket) = self.buckets.at((hash >> 32) as u32) else { return 0 };
        bucket.handle((bucket.matches(tag(hash)) | 1 << LANES).trailing_zeros())
    }

    /// The handle under this hash that `is_it` accepts.
    #[inline]
    pub fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut place = self.place(hash);
        for _ in 0..self.buckets.len() {
            let bucket = &self.buckets[place.bucket];
            let mut bits = bucket.matches(place.tag);
            while bits != 0 {
                let handle = bucket.handle(bits.trailing_zeros());
                if is_it(handle) {
                    return Some(handle);
                }
                bits &= bits - 1;
            }
            if !bucket.is_passed() {
                return None;
            }
            self.next(&mut place);
        }
        None
    }

    /// Files `handle`. False when every bucket of its probe sequence is full, which a caller who keeps to the number
    /// of keys given to `new` does not see.
    #[must_use]
    pub fn insert(&mut self, hash: u64, handle: u32) -> bool {
        let mut place = self.place(hash);
        for passed in 0..self.buckets.len() {
            let bucket = &mut self.buckets[place.bucket];
            let free = bucket.matches(0);
            if free != 0 {
                bucket.set(free.trailing_zeros(), place.tag, handle);
                return true;
            }
            bucket.pass();
            if passed + 1 == self.buckets.len() {
                break;
            }
            self.next(&mut place);
        }
        self.unpass(hash, self.buckets.len());
        false
    }

    /// Removes `handle`. False when it was not there.
    pub fn remove(&mut self, hash: u64, handle: u32) -> bool {
        let mut place = self.place(hash);
        for passed in 0..self.buckets.len() {
            let bucket = &mut self.buckets[place.bucket];
            let mut bits = bucket.matches(place.tag);
            while bits != 0 {
                let lane = bits.trailing_zeros();
                if bucket.handle(lane) == handle {
                    bucket.set_tag(lane, 0);
                    self.unpass(hash, passed);
                    return true;
                }
                bits &= bits - 1;
            }
            if !bucket.is_passed() {
                return false;
            }
            self.next(&mut place);
        }
        false
    }

    /// Takes a key's mark off the first `count` buckets of its probe sequence.
    fn unpass(&mut self, hash: u64, count: usize) {
        let mut place = self.place(hash);
        for _ in 0..count {
            self.buckets[place.bucket].unpass();
            self.next(&mut place);
        }
    }
}

#[cfg(test)]
impl Index {
    /// Buckets that a search for this handle looks at.
    pub fn visited(&self, hash: u64, handle: u32) -> usize {
        let mut place = self.place(hash);
        for visited in 1..=self.buckets.len() {
            let bucket = &self.buckets[place.bucket];
            let lanes = bucket.matches(place.tag);
            if (0..LANES as u32).any(|lane| lanes >> lane & 1 == 1 && bucket.handle(lane) == handle) {
                return visited;
            }
            self.next(&mut place);
        }
        panic!("{handle} is not there");
    }
}

/// Never 0, which marks a free slot.
#[inline(always)]
fn tag(hash: u64) -> u8 {
    (hash as u8).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn hash(key: u32) -> u64 {
        crate::wire::address::fold(u64::from(key) ^ 0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03)
    }

    #[test]
    fn what_is_there_is_never_absent_and_what_is_not_mostly_is() {
        let keys = 50_000_u32;
        let mut index = Index::new(keys as usize).unwrap();
        // no count of keys that went past is as large
        let handle = |key: u32| key + 1_000_000;
        (0..keys).for_each(|key| assert!(index.insert(hash(key), handle(key))));
        assert!((0..keys).all(|key| index.guess(hash(key)) != 0));
        let right = (0..keys).filter(|key| index.guess(hash(*key)) == handle(*key)).count();
        assert!(right > keys as usize * 9 / 10, "{right}");
        let absent = (keys..2 * keys).filter(|key| index.guess(hash(*key)) == 0).count();
        assert!(absent > keys as usize / 2, "{absent}");
        let (mut of_keys, mut of_nobody) = (0, 0);
        for guess in (0..2 * keys).map(|key| index.guess(hash(key))).filter(|guess| *guess != 0) {
            let is_handle = (handle(0)..handle(keys)).contains(&guess);
            assert!(is_handle || guess >= NOBODYS, "{guess}");
            if is_handle { of_keys += 1 } else { of_nobody += 1 }
        }
        assert!(of_keys > right && of_nobody > 0, "{of_keys} {of_nobody}");
    }

    #[test]
    fn it_agrees_with_a_hash_map_up_to_its_last_key() {
        let keys = 50_000_u32;
        let mut index = Index::new(keys as usize).unwrap();
        let mut oracle = HashMap::new();
        let mut state = 1_u64;
        let mut random = move || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as u32
        };
        for _ in 0..400_000 {
            let key = random() % keys;
            if oracle.remove(&key).is_some() {
                assert!(index.remove(hash(key), key));
            } else {
                assert!(index.insert(hash(key), key));
                oracle.insert(key, ());
            }
        }
        for key in 0..keys {
            assert_eq!(index.find(hash(key), |h| h == key).is_some(), oracle.contains_key(&key));
        }
        for key in oracle.into_keys() {
            assert!(index.remove(hash(key), key));
        }
        assert!(index.buckets.iter().all(|b| !b.is_passed() && b.matches(0) == OF_SLOTS), "nothing is left behind");
    }

    #[test]
    fn equal_hashes_fill_their_probe_sequence_and_then_are_refused_without_a_trace() {
        let mut index = Index::new(20).unwrap();
        let room = index.buckets.len() * SLOTS;
        let accepted = (0..1000).take_while(|&h| index.insert(7 << 40 | 5, h)).count();
        assert!(accepted <= room && accepted >= SLOTS);
        for h in 0..accepted as u32 {
            assert!(index.remove(7 << 40 | 5, h));
        }
        assert!(index.buckets.iter().all(|b| !b.is_passed() && b.matches(0) == OF_SLOTS));
    }
}

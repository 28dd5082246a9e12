//! Where lblc and lblcr remember what they decided for a destination address, and how they forget it.
//!
//! A pass over the cache starts every minute, as IPVS's timer does: it removes entries that were idle for six
//! minutes when there are too many, and every 30th one whatever was idle for the expiration time. IPVS does a pass at
//! once; here it is done a few buckets a call, always with the time at which it was due. The only difference is
//! that of the entries idle for six minutes some may be used again before their bucket's turn, and stay.
//!
//! Memory: nothing until the first entry, then 1024 empty buckets (24 KiB), which grow one by one by doubling: an
//! insertion allocates and moves at most one bucket, never the whole cache, so that thousands of services cost what
//! they use and none stalls its worker.

use super::hash::{fold, hash_32};
use crate::model::Time;
use std::net::IpAddr;

/// IPVS's CONFIG_IP_VS_LBLC_TAB_BITS (and LBLCR); sixteen entries a bucket are its idea of full.
const BITS: u32 = 10;
const BUCKETS: usize = 1 << BITS;

/// More entries than this make a pass look for idle ones.
const ENTRIES_MAX: usize = BUCKETS * 16;

/// Beyond this nothing is remembered until a pass made room.
const ENTRIES_HARD_MAX: usize = ENTRIES_MAX / 2 * 3;

/// Nor in a bucket with so many: ten times what all buckets hold on average when the cache is full, so only addresses
/// chosen to collide get there. Keeps lookups short, and IPVS has no such limit.
const BUCKET_ENTRIES_MAX: usize = 256;

const PASS_INTERVAL_NS: u64 = Time::from_s(60).0;
const IDLE_NS: u64 = Time::from_s(6 * 60).0;
const PASSES_TO_FULL_CHECK: u32 = 30;

/// A call's share of a pass: 32 × 24 entries when the cache is full, each bucket a miss of the processor's cache, some
/// microseconds. With a tick a second a pass is over before the next, even when no connection comes.
const BUCKETS_A_CALL: usize = 32;
const _: () = assert!(BUCKETS / BUCKETS_A_CALL < (PASS_INTERVAL_NS / 1_000_000_000) as usize);

#[derive(Debug)]
pub struct Cache<V> {
    buckets: Vec<Vec<Entry<V>>>,
    len: usize,
    /// The bucket that the last pass ended with; the next goes on behind it.
    rover: usize,
    /// Counts passes to the next full check.
    counter: u32,
    /// When the next pass starts; unknown until the first call that says what time it is.
    due: Option<Time>,
    pass: Option<Pass>,
}

#[derive(Debug)]
struct Entry<V> {
    address: IpAddr,
    used: Time,
    value: V,
}

/// A pass that is going on.
#[derive(Clone, Copy, Debug)]
struct Pass {
    /// When it was due.
    at: Time,
    idle_ns: u64,
    buckets_left: usize,
    /// How many entries it wants to remove; it ends with the bucket in which it has. `None` for all that are idle.
    goal: Option<usize>,
}

impl Pass {
    fn removes<V>(&self, entry: &Entry<V>) -> bool {
        entry.used.0.saturating_add(self.idle_ns) <= self.at.0
    }
}

impl<V> Default for Cache<V> {
    fn default() -> Self {
        Self { buckets: Vec::new(), len: 0, rover: 0, counter: 1, due: None, pass: None }
    }
}

impl<V> Cache<V> {
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// What is remembered for `address`, which is thereby in use. `forget` sees what had to go first.
    #[inline]
    pub fn get(&mut self, address: IpAddr, now: Time, forget: impl FnMut(V)) -> Option<&mut V> {
        let bucket = bucket_of(address);
        if let Some(pass) = self.pass.filter(|pass| pass.goal.is_none()) {
            // what this full check is about to remove must not be found in the meantime
            self.sweep(bucket, pass, forget);
        }
        let entry = self.buckets.get_mut(bucket)?.iter_mut().find(|entry| entry.address == address)?;
        entry.used = now;
        Some(&mut entry.value)
    }

    /// Remembers `value` for `address`. False when there is no room.
    pub fn put(&mut self, address: IpAddr, now: Time, value: V) -> bool {
        if self.buckets.is_empty() {
            self.buckets.resize_with(BUCKETS, Vec::new);
        }
        let bucket = &mut self.buckets[bucket_of(address)];
        if let Some(entry) = bucket.iter_mut().find(|entry| entry.address == address) {
            *entry = Entry { address, used: now, value };
            return true;
        }
        let has_room = self.len < ENTRIES_HARD_MAX && bucket.len() < BUCKET_ENTRIES_MAX;
        if has_room {
            bucket.push(Entry { address, used: now, value });
            self.len += 1;
        }
        has_room
    }

    /// Starts the pass that is due, or does a share of the one that is going on. `forget` sees what is removed.
    #[inline]
    pub fn collect(&mut self, now: Time, expiration_ns: u64, forget: impl FnMut(V)) {
        let due = *self.due.get_or_insert(Time(now.0.saturating_add(PASS_INTERVAL_NS)));
        if self.pass.is_some() || now >= due {
            self.collect_due(now, due, expiration_ns, forget);
        }
    }

    #[cold]
    fn collect_due(&mut self, now: Time, due: Time, expiration_ns: u64, forget: impl FnMut(V)) {
        if self.pass.is_none() {
            self.start_pass(now, due, expiration_ns);
        }
        if let Some(pass) = self.pass.take() {
            self.pass = self.share_of(pass, forget);
        }
    }

    fn start_pass(&mut self, now: Time, mut due: Time, expiration_ns: u64) {
        if self.len <= ENTRIES_MAX {
            // passes without anything to do only count; all of those that are due at once
            let passes_due = 1 + now.since(due) / PASS_INTERVAL_NS;
            let idle_passes = passes_due.min(u64::from(PASSES_TO_FULL_CHECK - self.counter));
            self.counter += idle_passes as u32;
            due = Time(due.0 + idle_passes * PASS_INTERVAL_NS);
            self.due = Some(due);
            if idle_passes == passes_due {
                return;
            }
        }
        let is_full_check = self.counter == PASSES_TO_FULL_CHECK;
        if is_full_check {
            self.counter = 1;
        }
        self.pass = Some(Pass {
            at: due,
            idle_ns: if is_full_check { expiration_ns } else { IDLE_NS },
            buckets_left: self.buckets.len(),
            goal: (!is_full_check).then(|| goal(self.len)),
        });
        self.due = Some(Time(due.0 + PASS_INTERVAL_NS));
    }

    /// What is left of the pass after a call's share of it.
    fn share_of(&mut self, mut pass: Pass, mut forget: impl FnMut(V)) -> Option<Pass> {
        for _ in 0..BUCKETS_A_CALL.min(pass.buckets_left) {
            self.rover = (self.rover + 1) % BUCKETS;
            pass.buckets_left -= 1;
            let removed = self.sweep(self.rover, pass, &mut forget);
            pass.goal = pass.goal.map(|goal| goal.saturating_sub(removed));
            if pass.goal == Some(0) {
                return None;
            }
        }
        (pass.buckets_left > 0).then_some(pass)
    }

    fn sweep(&mut self, bucket: usize, pass: Pass, mut forget: impl FnMut(V)) -> usize {
        let Some(entries) = self.buckets.get_mut(bucket) else { return 0 };
        let mut removed = 0;
        for entry in entries.extract_if(.., |entry| pass.removes(entry)) {
            forget(entry.value);
            removed += 1;
        }
        self.len -= removed;
        removed
    }
}

/// How many entries to remove when there are `len`, more than [`ENTRIES_MAX`].
fn goal(len: usize) -> usize {
    ((len - ENTRIES_MAX) * 4 / 3).min(ENTRIES_MAX / 2)
}

#[inline]
fn bucket_of(address: IpAddr) -> usize {
    hash_32(fold(address), BITS) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::net::Ipv4Addr;

    const DAY_NS: u64 = Time::from_s(86_400).0;

    fn address(i: u32) -> IpAddr {
        Ipv4Addr::from(0x0a00_0000 + i).into()
    }

    fn filled(count: u32, now: Time) -> Cache<u32> {
        let mut cache = Cache::default();
        cache.collect(now, DAY_NS, drop);
        assert!((0..count).all(|i| cache.put(address(i), now, i)));
        cache
    }

    /// Calls often enough that passes are on time and whole.
    fn run(cache: &mut Cache<u32>, from_s: u64, to_s: u64, expiration_ns: u64) {
        for s in from_s..=to_s {
            let calls = if s % 60 == 0 { BUCKETS / BUCKETS_A_CALL } else { 1 };
            (0..calls).for_each(|_| cache.collect(Time::from_s(s), expiration_ns, drop));
        }
    }

    fn is_there(cache: &mut Cache<u32>, i: u32) -> bool {
        let bucket = bucket_of(address(i));
        cache.buckets[bucket].iter().any(|entry| entry.address == address(i))
    }

    #[test]
    fn what_was_put_is_found_and_replaced() {
        let mut cache = filled(100, Time(0));
        assert_eq!(cache.get(address(7), Time(1), drop), Some(&mut 7));
        assert!(cache.put(address(7), Time(2), 70));
        assert_eq!(cache.get(address(7), Time(3), drop), Some(&mut 70));
        assert_eq!(cache.len(), 100);
        assert_eq!(cache.get(address(100), Time(3), drop), None);
    }

    #[test]
    fn nothing_is_remembered_beyond_the_hard_limit_and_old_entries_stay_usable() {
        let mut cache = filled(24_576, Time(0));
        assert!(!cache.put(address(24_576), Time(0), 0));
        assert!(cache.put(address(5), Time(0), 50));
        assert_eq!(cache.len(), 24_576);
    }

    #[test]
    fn addresses_that_collide_fill_one_bucket_only() {
        let mut cache = Cache::default();
        let bucket = bucket_of(address(0));
        let colliding = (0..).map(address).filter(|&a| bucket_of(a) == bucket);
        let taken = colliding.take(300).filter(|&a| cache.put(a, Time(0), 0)).count();
        assert_eq!(taken, 256);
    }

    #[test]
    fn the_thirtieth_pass_removes_what_was_idle_for_the_expiration_time() {
        let mut cache = filled(100, Time(0));
        run(&mut cache, 1, 1500, Time::from_s(300).0);
        for i in 0..50 {
            cache.get(address(i), Time::from_s(1501), drop);
        }
        run(&mut cache, 1501, 1799, Time::from_s(300).0);
        assert_eq!(cache.len(), 100, "29 passes with nothing to do");
        run(&mut cache, 1800, 1800, Time::from_s(300).0);
        assert_eq!(cache.len(), 50);
        assert!((0..50).all(|i| is_there(&mut cache, i)));
    }

    #[test]
    fn an_entry_that_a_full_check_is_about_to_remove_is_not_found() {
        let mut cache = filled(1000, Time(0));
        run(&mut cache, 1, 1799, 1);
        cache.collect(Time::from_s(1800), 1, drop);
        assert!(cache.len() > 900, "the check has just begun");
        let found = (0..1000).filter(|&i| cache.get(address(i), Time::from_s(1800), drop).is_some()).count();
        assert_eq!((found, cache.len()), (0, 0));
    }

    #[test]
    fn a_late_call_catches_up_with_the_passes_it_missed() {
        let mut cache = filled(100, Time(0));
        // 31 minutes: 29 passes that count, the full check, one more
        (0..100).for_each(|_| cache.collect(Time::from_s(31 * 60), Time::from_s(1000).0, drop));
        assert_eq!((cache.len(), cache.counter, cache.due), (0, 2, Some(Time::from_s(32 * 60))));
    }

    /// IPVS's timer over plain maps, one a bucket, a pass at once.
    struct Timer {
        used: Vec<HashMap<IpAddr, u64>>,
        rover: usize,
        counter: u32,
    }

    impl Timer {
        fn new() -> Self {
            Self { used: vec![HashMap::new(); BUCKETS], rover: 0, counter: 1 }
        }

        fn is_used(&mut self, address: IpAddr, now_s: u64) {
            self.used[bucket_of(address)].insert(address, now_s);
        }

        fn len(&self) -> usize {
            self.used.iter().map(HashMap::len).sum()
        }

        fn fire(&mut self, now_s: u64, expiration_s: u64) {
            if self.counter == 30 {
                self.used.iter_mut().for_each(|bucket| bucket.retain(|_, used| now_s < *used + expiration_s));
                self.counter = 1;
            } else if self.len() <= 16_384 {
                self.counter += 1;
            } else {
                let mut goal = (((self.len() - 16_384) * 4 / 3) as i64).min(8192);
                for _ in 0..1024 {
                    self.rover = (self.rover + 1) & 1023;
                    let bucket = &mut self.used[self.rover];
                    let before = bucket.len();
                    bucket.retain(|_, used| now_s < *used + 360);
                    goal -= (before - bucket.len()) as i64;
                    if goal <= 0 {
                        break;
                    }
                }
            }
        }
    }

    #[test]
    fn a_crowded_cache_is_thinned_like_ipvs_does_pass_by_pass() {
        let mut cache = filled(20_000, Time(0));
        let mut timer = Timer::new();
        (0..20_000).for_each(|i| timer.is_used(address(i), 0));
        for minute in 1..=40 {
            // every fifth address is in use all the time, and new ones come
            for i in (0..20_000).step_by(5).chain(20_000 + minute * 100..20_100 + minute * 100) {
                let (a, now) = (address(i), Time::from_s(u64::from(minute) * 60 - 1));
                if cache.get(a, now, drop).is_some() || cache.put(a, now, i) {
                    timer.is_used(a, u64::from(minute) * 60 - 1);
                }
            }
            let due = u64::from(minute) * 60;
            run(&mut cache, due, due, Time::from_s(900).0);
            timer.fire(due, 900);
            assert_eq!(cache.len(), timer.len(), "after {minute} minutes");
            let knows = |(bucket, a): (&Vec<Entry<u32>>, &IpAddr)| bucket.iter().any(|e| e.address == *a);
            let each = cache.buckets.iter().zip(&timer.used).flat_map(|(b, used)| used.keys().map(move |a| (b, a)));
            assert!(each.into_iter().all(knows));
        }
        assert!(cache.len() < 20_000);
    }
}

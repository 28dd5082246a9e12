//! Where lblc and lblcr tell the other workers which destinations an address went to: a map that all workers share.
//!
//! The point of these schedulers is that a cache sees all requests for an address, whichever worker they come to. So what
//! one worker decides the others follow; each has its own memory besides, for what has no room here, and to begin
//! with when the list of destinations has changed, and the map with it. Entries are words (a part of the address's hash,
//! and the destination), so nobody waits: a word is there or not. Two addresses of the same hash, of which there is one
//! pair among a million, share their destinations, which is a decision like any other.

use crate::model::DestId;
use crate::tables::sync::{AtomicU64, Ordering};
use arrayvec::ArrayVec;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::OnceLock;

/// Destinations of one address at most: a cache line of words. It holds those of other addresses, too.
const WORDS: usize = 8;

/// Room for twice the 16384 addresses that IPVS takes for many: 256 KiB, from the first decision of several workers on.
const BUCKETS: usize = if cfg!(loom) { 1 } else { 4096 };

/// No word at all; the part of the hash in a word is never 0.
const FREE: u64 = 0;

pub type Members = ArrayVec<DestId, WORDS>;

#[derive(Debug, Default)]
#[repr(align(64))]
struct Bucket([AtomicU64; WORDS]);

/// Destinations by address. Part of the plan.
#[derive(Debug, Default)]
pub struct Homes {
    /// Seeded at random, so that nobody can choose addresses that collide.
    hasher: RandomState,
    buckets: OnceLock<Box<[Bucket]>>,
}

impl Homes {
    /// Which destinations workers have sent the address to, in no order.
    pub fn of(&self, address: IpAddr) -> Members {
        let (hash, tag) = self.hash(address);
        let bucket = self.buckets.get().and_then(|buckets| buckets.get(hash));
        let words = bucket.into_iter().flat_map(|bucket| &bucket.0).map(|word| word.load(Ordering::Relaxed));
        words.filter(|word| word >> 32 == tag).map(|word| DestId(word as u32)).collect()
    }

    /// Makes `wanted` the address's destinations, which were `published` a moment ago.
    pub fn publish(&self, address: IpAddr, published: &[DestId], wanted: &[DestId]) {
        let gone = published.iter().filter(|dest| !wanted.contains(dest));
        let new = wanted.iter().filter(|dest| !published.contains(dest));
        gone.for_each(|dest| self.remove(address, *dest));
        new.for_each(|dest| self.add(address, *dest));
    }

    fn hash(&self, address: IpAddr) -> (usize, u64) {
        let hash = self.hasher.hash_one(address);
        (hash as usize % BUCKETS, (hash >> 32).max(1))
    }

    /// The last one to be added takes another address's place when there is no room, or none when all are its own.
    fn add(&self, address: IpAddr, dest: DestId) {
        if self.buckets.get().is_none() {
            // whoever is second has made it for nothing, and need not wait
            let _ = self.buckets.set(std::iter::repeat_with(Bucket::default).take(BUCKETS).collect());
        }
        let (hash, tag) = self.hash(address);
        let Some(Bucket(words)) = self.buckets.get().and_then(|buckets| buckets.get(hash)) else { return };
        let new = tag << 32 | u64::from(dest.0);
        if words.iter().any(|place| place.load(Ordering::Relaxed) == new) {
            return;
        }
        let put = |is_room: &dyn Fn(u64) -> bool| {
            words.iter().any(|place| {
                let word = place.load(Ordering::Relaxed);
                let swap = || place.compare_exchange(word, new, Ordering::Relaxed, Ordering::Relaxed);
                word == new || is_room(word) && swap().is_ok()
            })
        };
        let _ = put(&|word| word == FREE) || put(&|word| word >> 32 != tag);
    }

    fn remove(&self, address: IpAddr, dest: DestId) {
        let (hash, tag) = self.hash(address);
        let Some(Bucket(words)) = self.buckets.get().and_then(|buckets| buckets.get(hash)) else { return };
        let old = tag << 32 | u64::from(dest.0);
        for place in words {
            let _ = place.compare_exchange(old, FREE, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn address(n: u32) -> IpAddr {
        Ipv4Addr::from(0x0a00_0000 + n).into()
    }

    #[test]
    fn what_is_published_is_found_until_it_is_something_else() {
        let homes = Homes::default();
        let (a, b) = (DestId(0), DestId(7));
        assert!(homes.of(address(1)).is_empty());
        homes.publish(address(1), &[], &[a, b]);
        homes.publish(address(2), &[], &[b]);
        assert_eq!((&homes.of(address(1))[..], &homes.of(address(2))[..]), (&[a, b][..], &[b][..]));
        homes.publish(address(1), &[a, b], &[b]);
        assert_eq!((&homes.of(address(1))[..], &homes.of(address(2))[..]), (&[b][..], &[b][..]));
        homes.publish(address(1), &[], &[b]);
        assert_eq!(homes.of(address(1)).len(), 1, "a destination is there once");
    }

    #[test]
    fn an_address_has_eight_destinations_at_most_and_many_addresses_have_one() {
        let homes = Homes::default();
        let all: Vec<DestId> = (0..20).map(DestId).collect();
        homes.publish(address(0), &[], &all);
        assert_eq!(&homes.of(address(0))[..], &all[..8]);
        (1..=10_000).for_each(|n| homes.publish(address(n), &[], &[DestId(n)]));
        let kept = (1..=10_000).filter(|n| homes.of(address(*n)).contains(&DestId(*n))).count();
        assert!(kept > 9_900, "{kept}");
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::thread;
    use std::sync::Arc;

    /// What two workers decide at once: each the destination of an address.
    fn at_once(decisions: [(IpAddr, DestId); 2]) -> Arc<Homes> {
        let homes = Arc::new(Homes::default());
        // made before: loom does not see that the lock of the map orders what others see of it
        homes.publish(IpAddr::from([192, 0, 2, 9]), &[], &[DestId(9)]);
        let workers = decisions.map(|(address, dest)| {
            let homes = homes.clone();
            thread::spawn(move || homes.publish(address, &homes.of(address), &[dest]))
        });
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        homes
    }

    #[test]
    fn workers_that_decide_at_once_end_with_the_same_destinations() {
        loom::model(|| {
            let address = IpAddr::from([192, 0, 2, 1]);
            let homes = at_once([(address, DestId(1)), (address, DestId(2))]);
            // both may be there; the next to look goes by the first, and makes it the only one
            let of = homes.of(address);
            homes.publish(address, &of, &of[..1]);
            assert_eq!(homes.of(address).len(), 1, "{of:?}");
        });
    }

    #[test]
    fn no_decision_about_an_address_undoes_one_about_another() {
        loom::model(|| {
            let addresses = [[192, 0, 2, 1], [192, 0, 2, 2]].map(IpAddr::from);
            let homes = at_once([(addresses[0], DestId(1)), (addresses[1], DestId(2))]);
            let of = addresses.map(|address| homes.of(address));
            assert_eq!([&of[0][..], &of[1][..]], [&[DestId(1)][..], &[DestId(2)][..]]);
        });
    }
}

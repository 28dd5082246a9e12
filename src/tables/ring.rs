//! Bounded rings between two threads: one pushes, the other pops, both in bursts and without waiting.
//!
//! Each end writes one index and remembers what it last saw of the other's, so that a burst costs a look at the other
//! end's cache line only when the ring seemed full, or empty. Tested with loom (`cfg(loom)`).
#![allow(unsafe_code)]

use self::sync::{Arc, AtomicUsize, Cell, Ordering};
use arrayvec::ArrayVec;
use std::mem::MaybeUninit;

/// loom's in its tests, the standard library's otherwise.
#[cfg(loom)]
mod sync {
    pub use loom::cell::UnsafeCell as Cell;
    pub use loom::sync::Arc;
    pub use loom::sync::atomic::{AtomicUsize, Ordering};
}

#[cfg(not(loom))]
mod sync {
    pub use std::sync::Arc;
    pub use std::sync::atomic::{AtomicUsize, Ordering};

    /// As loom's: the address is only given to a closure.
    #[derive(Default)]
    pub struct Cell<T>(std::cell::UnsafeCell<T>);

    impl<T> Cell<T> {
        pub fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }
        #[inline(always)]
        pub fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
            read(self.0.get())
        }
        #[inline(always)]
        pub fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
            write(self.0.get())
        }
    }
}

/// Two lines: processors fetch them in pairs.
#[repr(align(128))]
struct Padded<T>(T);

struct Shared<T> {
    /// Items pushed so far; the producer's. Counts wrap around.
    tail: Padded<AtomicUsize>,
    /// Items popped so far; the consumer's.
    head: Padded<AtomicUsize>,
    slots: Box<[Cell<MaybeUninit<T>>]>,
}

// SAFETY: a slot is used by one end at a time: by the producer from when the consumer's count has passed it until its own
// has, by the consumer the other way round; the counts are stored with Release and loaded with Acquire.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    #[inline(always)]
    fn slot(&self, count: usize) -> &Cell<MaybeUninit<T>> {
        &self.slots[count & (self.slots.len() - 1)]
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        let (mut head, tail) = (self.head.0.load(Ordering::Acquire), self.tail.0.load(Ordering::Acquire));
        while head != tail {
            // SAFETY: both ends are gone, so nobody else uses the slot; what lies between the counts was pushed and not
            // popped.
            self.slot(head).with_mut(|slot| unsafe { (*slot).assume_init_drop() });
            head = head.wrapping_add(1);
        }
    }
}

/// The end that pushes.
pub struct Producer<T> {
    shared: Arc<Shared<T>>,
    tail: usize,
    head_seen: usize,
}

/// The end that pops.
pub struct Consumer<T> {
    shared: Arc<Shared<T>>,
    head: usize,
    tail_seen: usize,
}

/// A ring for `depth` items, a power of two.
pub fn ring<T: Send>(depth: usize) -> (Producer<T>, Consumer<T>) {
    assert!(depth.is_power_of_two(), "depths are constants of ours");
    let slots = (0..depth).map(|_| Cell::new(MaybeUninit::uninit())).collect();
    let (tail, head) = (Padded(AtomicUsize::new(0)), Padded(AtomicUsize::new(0)));
    let shared = Arc::new(Shared { tail, head, slots });
    (Producer { shared: shared.clone(), tail: 0, head_seen: 0 }, Consumer { shared, head: 0, tail_seen: 0 })
}

impl<T> Producer<T> {
    /// How many items there is room for, up to `wanted`.
    #[inline]
    pub fn room(&mut self, wanted: usize) -> usize {
        let depth = self.shared.slots.len();
        let mut room = depth - self.tail.wrapping_sub(self.head_seen);
        if room < wanted {
            self.head_seen = self.shared.head.0.load(Ordering::Acquire);
            room = depth - self.tail.wrapping_sub(self.head_seen);
        }
        room.min(wanted)
    }

    /// Pushes as many as there is room for, from the first on; the others stay in `items`.
    #[inline]
    pub fn push_burst<const N: usize>(&mut self, items: &mut ArrayVec<T, N>) {
        let room = self.room(items.len());
        for item in items.drain(..room) {
            // SAFETY: the consumer's count has passed this slot, and our own has not: it is ours, and empty.
            self.shared.slot(self.tail).with_mut(|slot| unsafe { (*slot).write(item) });
            self.tail = self.tail.wrapping_add(1);
        }
        self.shared.tail.0.store(self.tail, Ordering::Release);
    }

    /// Gives the item back when the ring is full.
    #[inline]
    pub fn push(&mut self, item: T) -> Result<(), T> {
        let mut items = ArrayVec::<T, 1>::new();
        items.push(item);
        self.push_burst(&mut items);
        items.pop().map_or(Ok(()), Err)
    }
}

impl<T> Consumer<T> {
    /// Adds what is there to `items`, until it is full.
    #[inline]
    pub fn pop_burst<const N: usize>(&mut self, items: &mut ArrayVec<T, N>) {
        if self.tail_seen == self.head {
            self.tail_seen = self.shared.tail.0.load(Ordering::Acquire);
        }
        let count = self.tail_seen.wrapping_sub(self.head).min(items.remaining_capacity());
        if count == 0 {
            return;
        }
        for _ in 0..count {
            // SAFETY: the producer's count has passed this slot, and our own has not: it holds an item, which is ours.
            items.push(self.shared.slot(self.head).with(|slot| unsafe { (*slot).assume_init_read() }));
            self.head = self.head.wrapping_add(1);
        }
        self.shared.head.0.store(self.head, Ordering::Release);
    }

    pub fn pop(&mut self) -> Option<T> {
        let mut items = ArrayVec::<T, 1>::new();
        self.pop_burst(&mut items);
        items.pop()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    #[test]
    fn what_lies_in_a_ring_when_its_ends_go_is_dropped() {
        let item = std::sync::Arc::new(());
        let (mut producer, mut consumer) = ring(4);
        for _ in 0..3 {
            producer.push(item.clone()).unwrap();
        }
        drop(consumer.pop());
        drop(producer);
        assert_eq!(std::sync::Arc::strong_count(&item), 3);
        drop(consumer);
        assert_eq!(std::sync::Arc::strong_count(&item), 1);
    }

    #[test]
    fn items_cross_between_threads_whole_and_in_order() {
        const ITEMS: u64 = 100_000;
        let (mut producer, mut consumer) = ring::<Box<u64>>(64);
        let pushing = std::thread::spawn(move || {
            let mut waiting = ArrayVec::<_, 16>::new();
            let mut next = 0;
            while next < ITEMS || !waiting.is_empty() {
                while next < ITEMS && !waiting.is_full() {
                    waiting.push(Box::new(next));
                    next += 1;
                }
                producer.push_burst(&mut waiting);
                std::thread::yield_now();
            }
        });
        let mut expected = 0;
        while expected < ITEMS {
            let mut popped = ArrayVec::<_, 32>::new();
            consumer.pop_burst(&mut popped);
            if popped.is_empty() {
                std::thread::yield_now();
            }
            for item in popped {
                assert_eq!(*item, expected);
                expected += 1;
            }
        }
        pushing.join().unwrap();
        assert_eq!(consumer.pop(), None);
    }

    proptest! {
        #[test]
        fn a_ring_is_a_bounded_queue(bursts in prop::collection::vec((0..9_usize, 0..9_usize), 0..40)) {
            let (mut producer, mut consumer) = ring(8);
            let mut queue = VecDeque::new();
            let mut next = 0_u32;
            for (push, pop) in bursts {
                let mut items: ArrayVec<_, 8> = (next..).take(push).collect();
                let fits = push.min(8 - queue.len());
                prop_assert_eq!(producer.room(push), fits);
                producer.push_burst(&mut items);
                prop_assert_eq!(items.len(), push - fits);
                queue.extend(next..next + fits as u32);
                next += fits as u32;
                for _ in 0..pop {
                    prop_assert_eq!(consumer.pop(), queue.pop_front());
                }
            }
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;

    #[test]
    fn bursts_cross_whole_and_in_order_in_every_interleaving() {
        loom::model(|| {
            let (mut producer, mut consumer) = ring::<Box<u32>>(2);
            let pushing = loom::thread::spawn(move || {
                let mut items: ArrayVec<_, 3> = (1..=3).map(Box::new).collect();
                producer.push_burst(&mut items);
                loom::thread::yield_now();
                producer.push_burst(&mut items);
                items.len() as u32
            });
            let mut seen = 0;
            for _ in 0..2 {
                let mut popped = ArrayVec::<_, 2>::new();
                consumer.pop_burst(&mut popped);
                for item in popped {
                    seen += 1;
                    assert_eq!(*item, seen);
                }
                loom::thread::yield_now();
            }
            let left = pushing.join().unwrap();
            while let Some(item) = consumer.pop() {
                seen += 1;
                assert_eq!(*item, seen);
            }
            assert_eq!(seen + left, 3, "each is popped, or was refused");
        });
    }
}

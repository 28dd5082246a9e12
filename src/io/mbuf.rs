//! A frame in DPDK's memory: an mbuf, or a chain of them.
//!
//! An [`Mbuf`] is its owner's to write. DPDK says so of what a port receives, and a pool hands out nothing shared. The
//! reference count is therefore not looked at: another holder may exist for a moment (a driver that has sent the frame
//! and has yet to let it go), but it only ever lets go. Whoever gives an mbuf to a queue and goes on *writing* it
//! breaks this; DPDK's own tools (dumpcap, pdump) copy.
//!
//! Hot fields are read through the mirror `rte_mbuf`, always by raw pointer: a reference would claim that no other
//! thread changes any field, and the reference count can change.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::mem::{self, size_of};
use std::ptr::{self, NonNull};
use std::slice;

use arrayvec::ArrayVec;
use dpdk_sys::rte_mbuf;

use crate::dataplane::frame::Frame;
use crate::model::limits::{BURST, HEADROOM, SEGMENTS_MAX};

const _: () = assert!(size_of::<Option<Mbuf>>() == size_of::<*mut rte_mbuf>());
const _: () = assert!(dpdk_sys::PX_HEADROOM as usize >= HEADROOM);
const _: () = assert!(SEGMENTS_MAX <= u16::MAX as usize);

/// A burst, as queues take and give it.
pub type Burst = ArrayVec<Mbuf, BURST>;

/// One frame, owned; dropping it frees the chain. A whole burst is freed faster by [`free_bulk`].
//
// The invariants every `unsafe` block below relies on, upheld by DPDK for what it hands out and by each method here:
// the pointer is to a live mbuf that nobody else reads or writes but for the reference count; `nb_segs` segments hang
// together by `next`, the last one's `next` is null; in each segment `data_off + data_len <= buf_len`, and `buf_addr`
// points to `buf_len` bytes; `pkt_len` of the first is the sum of all `data_len`.
#[repr(transparent)]
#[derive(Debug)]
pub struct Mbuf(NonNull<rte_mbuf>);

// SAFETY: an mbuf belongs to whoever holds it, not to a thread; pools take mbufs back from any thread.
unsafe impl Send for Mbuf {}

/// A field of the mbuf behind a pointer, as a place: no reference to the whole is made.
macro_rules! field {
    ($mbuf:expr, $field:ident) => {
        (*$mbuf.as_ptr()).$field
    };
}

impl Mbuf {
    /// Takes over an mbuf that DPDK handed out.
    ///
    /// # Safety
    /// The mbuf and its chain must be valid as said above, and the caller gives up its claim on them.
    pub(super) unsafe fn from_raw(mbuf: NonNull<rte_mbuf>) -> Self {
        Self(mbuf)
    }

    /// What the NIC's RSS made of the frame, when the port was told to say so.
    #[inline]
    pub fn rss_hash(&self) -> u32 {
        // SAFETY: the invariants above.
        unsafe { field!(self.0, hash_rss) }
    }

    #[inline]
    pub fn segment_count(&self) -> usize {
        // SAFETY: the invariants above.
        unsafe { usize::from(field!(self.0, nb_segs)) }
    }

    /// The last segment. Reads `next`, in the second cache line, only when there is a chain.
    #[inline]
    fn last(&self) -> NonNull<rte_mbuf> {
        let mut last = self.0;
        for _ in 1..self.segment_count() {
            // SAFETY: the invariants above.
            match NonNull::new(unsafe { field!(last, next) }) {
                Some(next) => last = next,
                None => break,
            }
        }
        last
    }

    /// Moves the head's bytes so that `n` fit from its start to the end of its buffer; `n` is at most the buffer.
    fn make_tailroom(&mut self, n: usize) {
        // SAFETY: the invariants above; both the old and the new place of the bytes are within the buffer, since
        // `offset <= buf_len - n` and `data_len <= n`.
        unsafe {
            let (old, length) = (field!(self.0, data_off), usize::from(field!(self.0, data_len)));
            let offset = old.min(field!(self.0, buf_len) - n as u16);
            if offset != old {
                let buffer = field!(self.0, buf_addr);
                ptr::copy(buffer.add(usize::from(old)), buffer.add(usize::from(offset)), length);
                field!(self.0, data_off) = offset;
            }
        }
    }

    /// Moves up to `wanted` bytes of the second segment to the end of the head, which has room for them; a segment
    /// left empty is freed. Returns how many.
    fn take_from_second(&mut self, wanted: usize) -> usize {
        // SAFETY: the invariants above; the caller made the room and saw that the chain is long enough. The two
        // buffers are different ones. The freed segment is out of the chain.
        unsafe {
            let Some(second) = NonNull::new(field!(self.0, next)) else { return wanted };
            let n = wanted.min(usize::from(field!(second, data_len)));
            let length = field!(self.0, data_len);
            let end = field!(self.0, buf_addr).add(usize::from(field!(self.0, data_off)) + usize::from(length));
            ptr::copy_nonoverlapping(field!(second, buf_addr).add(usize::from(field!(second, data_off))), end, n);
            field!(self.0, data_len) = length + n as u16;
            field!(second, data_off) += n as u16;
            field!(second, data_len) -= n as u16;
            if field!(second, data_len) == 0 {
                field!(self.0, next) = field!(second, next);
                field!(self.0, nb_segs) -= 1;
                field!(second, next) = ptr::null_mut();
                dpdk_sys::px_mbuf_free_segment(second.as_ptr());
            }
            n
        }
    }

    #[cold]
    fn pull_from_chain(&mut self, n: usize) -> bool {
        // SAFETY: the invariants above.
        let (length, room) = unsafe { (usize::from(field!(self.0, data_len)), usize::from(field!(self.0, buf_len))) };
        if n > self.len() || n > room {
            return false;
        }
        self.make_tailroom(n);
        let mut wanted = n - length;
        while wanted > 0 {
            wanted -= self.take_from_second(wanted);
        }
        true
    }

    /// Makes the whole frame one segment. False, and the frame is as it was, when its buffer cannot hold it.
    pub(super) fn linearise(&mut self) -> bool {
        let length = self.len();
        self.pull(length) && {
            // Segments without a byte may be left over.
            self.truncate_chain(length);
            true
        }
    }

    /// Cuts the chain behind the segment that holds byte `len - 1`; `len` is at most the frame.
    #[cold]
    fn truncate_chain(&mut self, len: usize) {
        let mut left = len;
        let mut segment = self.0;
        let mut count = 1;
        // SAFETY: the invariants above; what is freed is out of the chain.
        unsafe {
            while left > usize::from(field!(segment, data_len)) {
                let Some(next) = NonNull::new(field!(segment, next)) else { break };
                left -= usize::from(field!(segment, data_len));
                segment = next;
                count += 1;
            }
            field!(segment, data_len) = left as u16;
            let rest = if count < field!(self.0, nb_segs) { field!(segment, next) } else { ptr::null_mut() };
            if !rest.is_null() {
                field!(segment, next) = ptr::null_mut();
                dpdk_sys::px_mbuf_free(rest);
            }
            field!(self.0, nb_segs) = count;
            field!(self.0, pkt_len) = len as u32;
        }
    }
}

impl Drop for Mbuf {
    fn drop(&mut self) {
        // SAFETY: we own the chain, and nobody looks at it after this.
        unsafe { dpdk_sys::px_mbuf_free(self.0.as_ptr()) };
    }
}

impl Frame for Mbuf {
    #[inline]
    fn head(&self) -> &[u8] {
        // SAFETY: the invariants above; the slice borrows the owner.
        unsafe { segment_bytes(self.0) }
    }

    #[inline]
    fn head_mut(&mut self) -> &mut [u8] {
        // SAFETY: the invariants above; the slice borrows the only owner mutably.
        unsafe {
            let start = field!(self.0, buf_addr).add(usize::from(field!(self.0, data_off)));
            slice::from_raw_parts_mut(start, usize::from(field!(self.0, data_len)))
        }
    }

    #[inline]
    fn len(&self) -> usize {
        // SAFETY: the invariants above.
        unsafe { field!(self.0, pkt_len) as usize }
    }

    #[inline]
    fn segments(&self) -> impl Iterator<Item = &[u8]> {
        Segments { next: Some(self.0), left: self.segment_count(), frame: PhantomData }
    }

    fn leave_udp_checksum(&mut self, l3: usize, l3_len: usize) -> bool {
        // SAFETY: the invariants above; neither field describes memory.
        unsafe {
            field!(self.0, ol_flags) |= dpdk_sys::PX_MBUF_TX_IPV4_UDP_CKSUM;
            field!(self.0, tx_offload) = l3 as u64 | (l3_len as u64) << dpdk_sys::PX_MBUF_L3_LEN_SHIFT;
        }
        true
    }

    #[inline]
    fn prepend(&mut self, n: usize) -> bool {
        // SAFETY: the invariants above, kept: `data_off` goes down by what `data_len` goes up. `n` fits in 16 bits
        // because it is at most `data_off`.
        unsafe {
            if n > usize::from(field!(self.0, data_off)) {
                return false;
            }
            field!(self.0, data_off) -= n as u16;
            field!(self.0, data_len) += n as u16;
            field!(self.0, pkt_len) += n as u32;
        }
        true
    }

    #[inline]
    fn trim_front(&mut self, n: usize) {
        // SAFETY: the invariants above, kept: no more than the head's bytes are taken, whatever the caller says.
        unsafe {
            debug_assert!(n <= usize::from(field!(self.0, data_len)), "trimming more than the head");
            let n = n.min(usize::from(field!(self.0, data_len)));
            field!(self.0, data_off) += n as u16;
            field!(self.0, data_len) -= n as u16;
            field!(self.0, pkt_len) -= n as u32;
        }
    }

    #[inline]
    fn truncate(&mut self, len: usize) {
        if len >= self.len() {
            return;
        }
        if self.segment_count() > 1 {
            return self.truncate_chain(len);
        }
        // each acknowledgement that its link has padded comes by here
        // SAFETY: the invariants above, kept: the one segment is as long as the frame.
        unsafe {
            field!(self.0, data_len) = len as u16;
            field!(self.0, pkt_len) = len as u32;
        }
    }

    #[inline]
    fn extend(&mut self, bytes: &[u8]) -> bool {
        let last = self.last();
        // SAFETY: the invariants above, kept: the bytes fit behind the last segment's. `bytes` cannot overlap the
        // room, which no reference can reach.
        unsafe {
            let end = usize::from(field!(last, data_off)) + usize::from(field!(last, data_len));
            if bytes.len() > usize::from(field!(last, buf_len)) - end {
                return false;
            }
            ptr::copy_nonoverlapping(bytes.as_ptr(), field!(last, buf_addr).add(end), bytes.len());
            field!(last, data_len) += bytes.len() as u16;
            field!(self.0, pkt_len) += bytes.len() as u32;
        }
        true
    }

    #[inline]
    fn pull(&mut self, n: usize) -> bool {
        // SAFETY: the invariants above.
        n <= unsafe { usize::from(field!(self.0, data_len)) } || self.pull_from_chain(n)
    }

    fn chain(&mut self, tail: Self) -> Result<(), Self> {
        if tail.is_empty() {
            return Ok(());
        }
        if self.segment_count() + tail.segment_count() > SEGMENTS_MAX {
            return Err(tail);
        }
        let last = self.last();
        // SAFETY: the invariants above for both chains, kept for the joined one; `tail` is forgotten, so its segments
        // have one owner. Segments behind the first carry counts of one, as a driver's would.
        unsafe {
            field!(last, next) = tail.0.as_ptr();
            field!(self.0, nb_segs) += field!(tail.0, nb_segs);
            field!(self.0, pkt_len) += field!(tail.0, pkt_len);
            field!(tail.0, nb_segs) = 1;
        }
        mem::forget(tail);
        Ok(())
    }

    #[inline]
    fn prefetch(&self) {
        // SAFETY: the invariants above.
        fetch_to_write(unsafe { field!(self.0, buf_addr).add(usize::from(field!(self.0, data_off))) }.cast());
    }

    #[inline]
    fn prefetch_descriptor(&self) {
        let lines = self.0.as_ptr().cast::<i8>();
        fetch_to_write(lines);
        fetch_to_write(lines.wrapping_add(64));
    }
}

/// Asks for a cache line that is going to be written, so that another core gives it up at once. `_mm_prefetch` has no such
/// hint unless the compiler is told that the processor knows it.
#[inline(always)]
fn fetch_to_write(line: *const i8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch has no effect but on the cache, wherever it points; x86-64 processors without PRFCHW take it for a
    // NOP.
    unsafe {
        std::arch::asm!("prefetchw [{}]", in(reg) line, options(nostack, preserves_flags, readonly));
    }
}

/// # Safety
/// `segment` must be part of a frame that outlives `'a` and is not written meanwhile.
#[inline]
unsafe fn segment_bytes<'a>(segment: NonNull<rte_mbuf>) -> &'a [u8] {
    // SAFETY: the invariants of `Mbuf`, and the caller's promise.
    unsafe {
        let start = field!(segment, buf_addr).add(usize::from(field!(segment, data_off)));
        slice::from_raw_parts(start, usize::from(field!(segment, data_len)))
    }
}

struct Segments<'a> {
    next: Option<NonNull<rte_mbuf>>,
    /// Segments still to come: `next` is in an mbuf's second cache line and is read only when there is one.
    left: usize,
    frame: PhantomData<&'a Mbuf>,
}

impl<'a> Iterator for Segments<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let segment = self.next?;
        self.left -= 1;
        // SAFETY: the invariants of `Mbuf`; `frame` keeps it borrowed.
        unsafe {
            self.next = if self.left == 0 { None } else { NonNull::new(field!(segment, next)) };
            Some(segment_bytes(segment))
        }
    }
}

/// Frees a burst at once, which costs a fraction of freeing frame by frame.
#[inline]
pub fn free_bulk(frames: &mut Burst) {
    let count = frames.len();
    if count == 0 {
        return;
    }
    // SAFETY: `Mbuf` is a transparent pointer, so the burst is an array of `count` mbufs; setting the length first
    // leaves none to be dropped again.
    unsafe {
        frames.set_len(0);
        dpdk_sys::px_mbuf_free_bulk(frames.as_mut_ptr().cast(), count as u32);
    }
}

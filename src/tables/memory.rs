//! Table memory: a zeroed, cache-line aligned mapping of its own, on huge pages where the machine has them.
//!
//! A table of millions of entries is read at random; with 4 KiB pages nearly every read would miss the TLB as well as
//! the cache. Explicit huge pages are tried first, then transparent ones.
#![allow(unsafe_code)]

use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// Types for which all bytes zero is a valid value, and whose drop does nothing.
///
/// # Safety
/// The implementor vouches for exactly that.
pub unsafe trait Zeroed: Sized {}

// SAFETY: an integer of zero bytes is 0.
unsafe impl Zeroed for u32 {}
// SAFETY: an integer of zero bytes is 0.
unsafe impl Zeroed for u64 {}

/// A fixed number of `T`, all zero at first.
pub struct Mapping<T: Zeroed> {
    start: NonNull<T>,
    len: usize,
    bytes: usize,
    pages: Pages,
}

/// What a table's memory is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pages {
    /// From the huge page pool.
    Huge,
    /// The kernel was asked for huge pages, and gives them when it has some.
    Transparent,
    /// The table is smaller than a huge page.
    Small,
}

/// Address space of a table, for another thread to ask about and to fill. It may outlive the table: then nothing is
/// known of it.
#[derive(Clone, Copy, Debug)]
pub struct Area {
    start: usize,
    bytes: usize,
    pub pages: Pages,
}

/// The kernel's unit of address space; fewer bytes do not matter here.
const PAGE: usize = 4096;

impl Area {
    /// The memory that some vector keeps for its entries, those to come included.
    pub fn of_vec<T>(entries: &Vec<T>) -> Self {
        let start = (entries.as_ptr() as usize).next_multiple_of(PAGE);
        let end = entries.as_ptr() as usize + entries.capacity() * size_of::<T>();
        Self { start, bytes: end.saturating_sub(start) / PAGE * PAGE, pages: Pages::Small }
    }

    /// Bytes of address space.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes that memory has been taken for.
    pub fn bytes_used(&self) -> usize {
        const STEP: usize = 1 << 16;
        let mut pages = [0_u8; STEP];
        let used = |from: usize| {
            let count = STEP.min(self.bytes / PAGE - from);
            let start = (self.start + from * PAGE) as *mut libc::c_void;
            // SAFETY: the kernel writes a byte for each of at most as many pages as there are bytes, whatever lies there.
            let failed = unsafe { libc::mincore(start, count * PAGE, pages.as_mut_ptr()) };
            if failed == 0 { pages[..count].iter().filter(|page| **page & 1 != 0).count() } else { 0 }
        };
        (0..self.bytes / PAGE).step_by(STEP).map(used).sum::<usize>() * PAGE
    }

    /// Has memory taken for the first `bytes`, so that whoever first writes there need not wait for the kernel. What is
    /// in them stays. Nothing happens where the kernel cannot do it (before Linux 5.14) or has no memory.
    pub fn fill(&self, bytes: usize) {
        let bytes = bytes.min(self.bytes).next_multiple_of(PAGE).min(self.bytes);
        if bytes > 0 {
            // SAFETY: this changes no content; where no memory of ours lies any more, the kernel says so.
            unsafe { libc::madvise(self.start as *mut _, bytes, libc::MADV_POPULATE_WRITE) };
        }
    }
}

// SAFETY: a Mapping owns its memory like a Box<[T]>.
unsafe impl<T: Zeroed + Send> Send for Mapping<T> {}
// SAFETY: as above; shared references only read.
unsafe impl<T: Zeroed + Sync> Sync for Mapping<T> {}

/// The size of a huge page everywhere DPDK is used on x86-64 and arm64 by default.
const HUGE_PAGE: usize = 2 << 20;
/// Tables from this size on are given huge pages. Where each packet meets another entry, even the few hundred small pages of such
/// a table are more than the first level of address translation remembers.
const HUGE_FROM: usize = HUGE_PAGE / 4;

/// There was not enough memory for a table.
#[derive(Debug, thiserror::Error)]
#[error(
    "no memory for a table of {mib} MiB: lower capacity_per_worker in [connections], or free some memory ({source})"
)]
pub struct NoMemory {
    mib: usize,
    source: std::io::Error,
}

impl<T: Zeroed> Mapping<T> {
    /// Memory for `len` entries. Address space is taken at once, physical memory as it is touched (from the huge page
    /// pool: reserved at once, so that a later touch cannot fail).
    pub fn new(len: usize) -> Result<Self, NoMemory> {
        Self::over(len, |bytes, pages| {
            let huge = if pages == Pages::Transparent { map(bytes, libc::MAP_HUGETLB).ok() } else { None };
            huge.map_or_else(|| Ok((map(bytes, 0)?, pages)), |start| Ok((start, Pages::Huge)))
        })
    }

    /// Memory for `len` entries of which perhaps none is ever used: nothing is reserved, also of the huge page pool.
    pub fn new_sparse(len: usize) -> Result<Self, NoMemory> {
        Self::over(len, |bytes, pages| Ok((map(bytes, libc::MAP_NORESERVE)?, pages)))
    }

    fn over(
        len: usize,
        map: impl Fn(usize, Pages) -> Result<(NonNull<libc::c_void>, Pages), std::io::Error>,
    ) -> Result<Self, NoMemory> {
        const { assert!(align_of::<T>() <= 4096 && size_of::<T>() > 0) };
        let wanted = len.saturating_mul(size_of::<T>()).max(1);
        let (pages, page) = if wanted >= HUGE_FROM { (Pages::Transparent, HUGE_PAGE) } else { (Pages::Small, PAGE) };
        let bytes = wanted.checked_next_multiple_of(page).unwrap_or(usize::MAX);
        let (start, pages) = map(bytes, pages).map_err(|source| NoMemory { mib: bytes >> 20, source })?;
        if pages == Pages::Transparent {
            // SAFETY: start..start+bytes is the mapping just made; the advice changes no content.
            unsafe { libc::madvise(start.as_ptr(), bytes, libc::MADV_HUGEPAGE) };
        }
        Ok(Self { start: start.cast(), len, bytes, pages })
    }

    /// Where it lies.
    pub fn area(&self) -> Area {
        Area { start: self.start.as_ptr() as usize, bytes: self.bytes, pages: self.pages }
    }

    /// The number of the entry as far into the mapping as `share` is into all 32-bit numbers; of an empty mapping, 0.
    #[inline(always)]
    pub fn index_at(&self, share: u32) -> usize {
        ((u64::from(share) * self.len as u64) >> 32) as usize
    }

    /// The entry at [`Mapping::index_at`]; `None` of an empty mapping.
    #[inline(always)]
    pub fn at(&self, share: u32) -> Option<&T> {
        if self.len == 0 || self.len > u32::MAX as usize {
            return None;
        }
        // SAFETY: `share` is less than 2^32, so that share * len / 2^32 is less than len, which is not 0; the product does not
        // overflow, as both are below 2^32.
        Some(unsafe { self.get_unchecked(self.index_at(share)) })
    }

    /// Asks the processor to fetch the first cache line of an entry, to be written soon. An entry that is not there is no
    /// matter.
    #[inline(always)]
    pub fn prefetch(&self, index: usize) {
        prefetch_address(self.start.as_ptr().wrapping_add(index));
    }

    /// Bytes of address space taken.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

fn map(bytes: usize, flags: libc::c_int) -> Result<NonNull<libc::c_void>, std::io::Error> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | flags;
    // SAFETY: an anonymous mapping at an address of the kernel's choice touches nothing that exists.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0) };
    match NonNull::new(start) {
        Some(start) if start.as_ptr() != libc::MAP_FAILED => Ok(start),
        _ => Err(std::io::Error::last_os_error()),
    }
}

impl<T: Zeroed> Deref for Mapping<T> {
    type Target = [T];
    #[inline(always)]
    fn deref(&self) -> &[T] {
        // SAFETY: `start` is a mapping of at least `len` T, zeroed by the kernel (valid by `Zeroed`), owned by self.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T: Zeroed> DerefMut for Mapping<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as for deref, and `&mut self` makes it the only reference.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl<T: Zeroed> Drop for Mapping<T> {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping made in `new`; nothing borrows from self any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

/// Asks the processor to fetch the cache line of `entry`, to be written soon.
#[inline(always)]
pub fn prefetch<T>(entry: &T) {
    prefetch_address(entry);
}

#[inline(always)]
fn prefetch_address<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: a prefetch of any address is harmless.
        unsafe { std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_lead_to_all_entries_in_order_and_to_none_behind() {
        for len in [1, 7, 1000] {
            let mut mapping = Mapping::<u64>::new(len).unwrap();
            (0..len).for_each(|i| mapping[i] = i as u64);
            let met: Vec<u64> = (0..=u32::MAX).step_by(1 << 18).map(|share| *mapping.at(share).unwrap()).collect();
            assert!(met.is_sorted() && (0..len as u64).all(|i| met.contains(&i)));
            assert_eq!(mapping.at(u32::MAX), Some(&(len as u64 - 1)));
            assert_eq!(mapping.index_at(u32::MAX), len - 1);
        }
        assert_eq!(Mapping::<u64>::new(0).unwrap().at(u32::MAX), None);
    }

    #[test]
    fn a_mapping_is_zero_aligned_and_writable() {
        for len in [1, 100, 1 << 20] {
            let mut mapping = Mapping::<u64>::new(len).unwrap();
            assert_eq!(mapping.len(), len);
            assert!(mapping.iter().all(|&v| v == 0));
            assert_eq!(mapping.as_ptr() as usize % 64, 0);
            mapping[len - 1] = 7;
            assert_eq!(mapping[len - 1], 7);
        }
    }

    #[test]
    fn memory_is_used_where_it_was_written_or_filled_and_its_content_stays() {
        let mut mapping = Mapping::<u64>::new_sparse(1000 * PAGE / 8).unwrap();
        let area = mapping.area();
        assert_eq!((area.bytes(), area.bytes_used()), (mapping.bytes(), 0));
        mapping[5] = 7;
        let written = area.bytes_used();
        assert!(written == PAGE || written == HUGE_PAGE, "{written}");
        area.fill(area.bytes() / 2 + 1);
        assert!(area.bytes_used() > area.bytes() / 2, "needs Linux 5.14");
        assert_eq!((mapping[5], mapping[6]), (7, 0));
        area.fill(usize::MAX);
        assert_eq!(area.bytes_used(), area.bytes());
        drop(mapping);
        area.fill(1);
    }

    #[test]
    fn a_vectors_whole_pages_are_its_area() {
        let entries = Vec::<u64>::with_capacity(1 << 20);
        let bytes = Area::of_vec(&entries).bytes();
        assert!(((8 << 20) - 2 * PAGE..=8 << 20).contains(&bytes), "{bytes}");
        assert_eq!(Area::of_vec(&Vec::<u64>::new()).bytes(), 0);
    }

    #[test]
    fn too_large_a_mapping_says_what_to_do() {
        let message = Mapping::<u64>::new(usize::MAX / 16).err().unwrap().to_string();
        assert!(message.contains("capacity_per_worker"), "{message}");
    }
}

//! Pools of mbufs. DPDK keeps a cache of free mbufs a lcore, so allocation takes no lock on a worker.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::mem;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use dpdk_sys::rte_mempool;
use thiserror::Error;

use super::eal::{Eal, Running};
use super::log;
use super::mbuf::{Burst, Mbuf};
use crate::dataplane::frame::FramePool;
use crate::model::limits::{FRAME_ROOM_MIN, HEADROOM};

/// What most NICs want at least of a buffer behind the headroom, and a whole frame of the usual MTU.
pub const ROOM_DEFAULT: usize = 2048;
/// DPDK's bound on what an lcore keeps for itself (`RTE_MEMPOOL_CACHE_MAX_SIZE`).
const CACHE_MAX: u32 = 512;

const _: () = assert!(ROOM_DEFAULT >= FRAME_ROOM_MIN);

#[derive(Debug, Error)]
pub enum PoolError {
    #[error("mbufs of {room} bytes are not possible: between {ROOM_DEFAULT} and {max} bytes are", max = u16::MAX as usize - HEADROOM)]
    Room { room: usize },
    #[error(
        "no memory for {count} packet buffers of {room} bytes ({reason}): give DPDK more with scripts/hugepages.sh, or \
         without huge pages with \"-m\", \"MB\" in [dpdk] eal_args"
    )]
    Memory { count: u32, room: usize, reason: String },
}

#[derive(Debug, Clone, Copy)]
pub struct PoolConfig {
    /// mbufs in the pool.
    pub count: u32,
    /// mbufs an lcore keeps for itself; brought down to what DPDK allows for `count`.
    pub cache: u32,
    /// Bytes of a buffer behind the headroom.
    pub room: usize,
    /// NUMA socket, or any.
    pub socket: Option<u32>,
}

impl PoolConfig {
    /// `count` mbufs of the usual size.
    pub fn new(count: u32) -> Self {
        // A few bursts: an lcore that only receives, or only frees, must not go to the shared ring for each.
        Self { count, cache: 256, room: ROOM_DEFAULT, socket: None }
    }
}

/// The pool itself; ports, queues and allocators keep it alive.
#[derive(Debug)]
pub(super) struct Pool {
    raw: NonNull<rte_mempool>,
    count: u32,
    room: usize,
    running: Arc<Running>,
}

// SAFETY: DPDK's pools are made to be used by many threads at once (`ring_mp_mc`).
unsafe impl Send for Pool {}
// SAFETY: as above.
unsafe impl Sync for Pool {}

impl Pool {
    pub(super) fn raw(&self) -> *mut rte_mempool {
        self.raw.as_ptr()
    }

    pub(super) fn room(&self) -> usize {
        self.room
    }

    fn available(&self) -> u32 {
        // SAFETY: the pool lives as long as `self`.
        unsafe { dpdk_sys::px_pool_available(self.raw()) }
    }

    fn alloc(&self) -> Option<Mbuf> {
        // SAFETY: the pool lives; what it returns is an empty mbuf of one segment that is ours.
        unsafe { NonNull::new(dpdk_sys::px_mbuf_alloc(self.raw())).map(|mbuf| Mbuf::from_raw(mbuf)) }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if self.available() == self.count {
            // SAFETY: every mbuf is back and no owner of the pool is left that could take one.
            unsafe { dpdk_sys::px_pool_free(self.raw()) };
            return;
        }
        // A frame that someone still holds must stay valid: its memory, and so EAL, are left until the process ends.
        mem::forget(Arc::clone(&self.running));
    }
}

/// A pool of mbufs.
#[derive(Debug)]
pub struct Mempool(Arc<Pool>);

impl Mempool {
    pub fn new(eal: &Eal, config: &PoolConfig) -> Result<Self, PoolError> {
        /// Pools need different names.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let data_room = config.room + HEADROOM;
        let Ok(data_room) = u16::try_from(data_room) else { return Err(PoolError::Room { room: config.room }) };
        if config.room < ROOM_DEFAULT {
            return Err(PoolError::Room { room: config.room });
        }
        let name = CString::new(format!("pollux_{}", NEXT.fetch_add(1, Ordering::Relaxed))).unwrap_or_default();
        let raw_config = dpdk_sys::px_pool_config {
            name: name.as_ptr(),
            count: config.count,
            // DPDK refuses a cache of which one and a half do not fit in the pool.
            cache: config.cache.min(CACHE_MAX).min(config.count / 3 * 2),
            data_room,
            socket: config.socket.map_or(-1, |socket| socket as i32),
        };
        let mut error = 0;
        // SAFETY: EAL is up; `name` outlives the call.
        let (raw, _) = log::kept(|| unsafe { dpdk_sys::px_pool_create(&raw_config, &mut error) });
        let Some(raw) = NonNull::new(raw) else {
            let reason = log::error_text(error);
            return Err(PoolError::Memory { count: config.count, room: config.room, reason });
        };
        Ok(Self(Arc::new(Pool { raw, count: config.count, room: config.room, running: eal.running() })))
    }

    /// Free mbufs. Costs a walk over the lcores' caches: not for the packet path.
    pub fn available(&self) -> u32 {
        self.0.available()
    }

    /// mbufs that frames and the ports' queues hold.
    pub fn in_use(&self) -> u32 {
        self.0.count.saturating_sub(self.0.available())
    }

    /// Where one worker takes new frames from.
    pub fn allocator(&self) -> Allocator {
        Allocator(Arc::clone(&self.0))
    }

    pub(super) fn pool(&self) -> Arc<Pool> {
        Arc::clone(&self.0)
    }
}

/// One worker's way to new frames. On an lcore it takes them from that lcore's cache; any other thread may use it, too,
/// at the price of the shared ring.
#[derive(Debug)]
pub struct Allocator(Arc<Pool>);

impl Allocator {
    /// Fills `frames` up with `count` empty frames. False, and none are added, when the pool or `frames` cannot hold
    /// them.
    #[must_use]
    pub fn alloc_bulk(&mut self, frames: &mut Burst, count: usize) -> bool {
        if count > frames.remaining_capacity() {
            return false;
        }
        let length = frames.len();
        // SAFETY: there is room for `count` pointers behind the first `length`; on success DPDK wrote all of them, and
        // `Mbuf` is a transparent pointer.
        unsafe {
            let end = frames.as_mut_ptr().add(length).cast();
            if dpdk_sys::px_mbuf_alloc_bulk(self.0.raw(), end, count as u32) != 0 {
                return false;
            }
            frames.set_len(length + count);
        }
        true
    }
}

impl FramePool for Allocator {
    type Frame = Mbuf;

    fn alloc(&mut self) -> Option<Mbuf> {
        self.0.alloc()
    }
}

//! Frames in memory that is used again and again, as a pool's are: nothing is allocated for a packet.

use arrayvec::ArrayVec;
use pollux::dataplane::frame::Frame;
use pollux::dataplane::outlet::Outlet;
use pollux::model::PortId;
use pollux::model::limits::{BURST, HEADROOM};

/// As of an mbuf with the usual 2 KiB.
const ROOM: usize = 2048;

/// As `io`'s queues have it.
const WORTH_MOVING: usize = 16;

/// A frame of one segment, moved by its address as an mbuf is; what is chained to it is copied behind it.
pub struct Bytes(Box<Buffer>);

struct Buffer {
    start: usize,
    end: usize,
    memory: [u8; HEADROOM + ROOM],
}

impl Bytes {
    pub fn empty() -> Self {
        // what a buffer held before is not zero
        Self(Box::new(Buffer { start: HEADROOM, end: HEADROOM, memory: [0xa5; HEADROOM + ROOM] }))
    }
}

impl Frame for Bytes {
    #[inline(always)]
    fn head(&self) -> &[u8] {
        &self.0.memory[self.0.start..self.0.end]
    }
    #[inline(always)]
    fn head_mut(&mut self) -> &mut [u8] {
        &mut self.0.memory[self.0.start..self.0.end]
    }
    #[inline(always)]
    fn len(&self) -> usize {
        self.0.end - self.0.start
    }
    fn segments(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(self.head())
    }
    #[inline(always)]
    fn prepend(&mut self, n: usize) -> bool {
        let fits = n <= self.0.start;
        self.0.start -= if fits { n } else { 0 };
        fits
    }
    #[inline(always)]
    fn trim_front(&mut self, n: usize) {
        self.0.start += n;
    }
    fn truncate(&mut self, len: usize) {
        self.0.end = self.0.end.min(self.0.start + len);
    }
    fn extend(&mut self, bytes: &[u8]) -> bool {
        let buffer = &mut *self.0;
        let Some(room) = buffer.memory.get_mut(buffer.end..buffer.end + bytes.len()) else { return false };
        room.copy_from_slice(bytes);
        buffer.end += bytes.len();
        true
    }
    fn pull(&mut self, n: usize) -> bool {
        n <= self.len()
    }
    fn chain(&mut self, tail: Self) -> Result<(), Self> {
        if self.extend(tail.head()) { Ok(()) } else { Err(tail) }
    }
}

/// Takes what is sent, to be filled again; as a port's queue does, a burst at a time.
pub struct Pool {
    waiting: ArrayVec<Bytes, BURST>,
    frames: Vec<Bytes>,
    /// Frames sent since the start.
    pub sent: usize,
}

impl Pool {
    pub fn of(frames: usize) -> Self {
        Self { waiting: ArrayVec::new(), frames: (0..frames).map(|_| Bytes::empty()).collect(), sent: 0 }
    }

    fn flush(&mut self) {
        self.frames.extend(self.waiting.drain(..));
    }

    /// The last `n` frames that were sent, in their order.
    pub fn last(&mut self, n: usize) -> &[Bytes] {
        self.flush();
        &self.frames[self.frames.len() - n..]
    }

    /// A new one for each that was dropped.
    pub fn refill(&mut self, frames: usize) {
        self.flush();
        self.frames.resize_with(frames.max(self.frames.len()), Bytes::empty);
    }
}

impl Outlet<Bytes> for Pool {
    fn transmit(&mut self, _: PortId, frame: Bytes) {
        self.sent += 1;
        self.waiting.push(frame);
        if self.waiting.is_full() {
            self.flush();
        }
    }
    fn transmit_burst(&mut self, port: PortId, frames: &mut ArrayVec<Bytes, BURST>) {
        if !self.waiting.is_empty() || frames.len() < WORTH_MOVING {
            return frames.drain(..).for_each(|frame| self.transmit(port, frame));
        }
        self.sent += frames.len();
        self.waiting = std::mem::take(frames);
    }
    fn alloc(&mut self) -> Option<Bytes> {
        self.flush();
        let mut frame = self.frames.pop()?;
        (frame.0.start, frame.0.end) = (HEADROOM, HEADROOM);
        Some(frame)
    }
}

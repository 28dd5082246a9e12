//! Frames in memory that is used again and again, as a pool's are: nothing is allocated for a packet.

use pollux::dataplane::frame::Frame;
use pollux::dataplane::outlet::Outlet;
use pollux::model::PortId;
use pollux::model::limits::HEADROOM;

/// As of an mbuf with the usual 2 KiB.
const ROOM: usize = 2048;

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
    fn head(&self) -> &[u8] {
        &self.0.memory[self.0.start..self.0.end]
    }
    fn head_mut(&mut self) -> &mut [u8] {
        &mut self.0.memory[self.0.start..self.0.end]
    }
    fn len(&self) -> usize {
        self.0.end - self.0.start
    }
    fn segments(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(self.head())
    }
    fn prepend(&mut self, n: usize) -> bool {
        let fits = n <= self.0.start;
        self.0.start -= if fits { n } else { 0 };
        fits
    }
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

/// Takes what is sent, to be filled again.
pub struct Pool {
    frames: Vec<Bytes>,
    /// Frames sent since the start.
    pub sent: usize,
}

impl Pool {
    pub fn of(frames: usize) -> Self {
        Self { frames: (0..frames).map(|_| Bytes::empty()).collect(), sent: 0 }
    }

    /// The last `n` frames that were sent, in their order.
    pub fn last(&self, n: usize) -> &[Bytes] {
        &self.frames[self.frames.len() - n..]
    }

    /// A new one for each that was dropped.
    pub fn refill(&mut self, frames: usize) {
        self.frames.resize_with(frames.max(self.frames.len()), Bytes::empty);
    }
}

impl Outlet<Bytes> for Pool {
    fn transmit(&mut self, _: PortId, frame: Bytes) {
        self.sent += 1;
        self.frames.push(frame);
    }
    fn alloc(&mut self) -> Option<Bytes> {
        let mut frame = self.frames.pop()?;
        (frame.0.start, frame.0.end) = (HEADROOM, HEADROOM);
        Some(frame)
    }
}

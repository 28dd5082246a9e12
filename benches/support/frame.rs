//! Frames in memory that is used again and again, as a pool's are: nothing is allocated for a packet.

use pollux::dataplane::frame::Frame;
use pollux::dataplane::outlet::Outlet;
use pollux::model::PortId;
use pollux::model::limits::HEADROOM;

/// As of an mbuf with the usual 2 KiB.
const ROOM: usize = 2048;

/// A frame of one segment; what is chained to it is copied behind it.
pub struct Bytes {
    memory: Box<[u8; HEADROOM + ROOM]>,
    start: usize,
    end: usize,
}

impl Bytes {
    pub fn empty() -> Self {
        // what a buffer held before is not zero
        Self { memory: Box::new([0xa5; HEADROOM + ROOM]), start: HEADROOM, end: HEADROOM }
    }
}

impl Frame for Bytes {
    fn head(&self) -> &[u8] {
        &self.memory[self.start..self.end]
    }
    fn head_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.end]
    }
    fn len(&self) -> usize {
        self.end - self.start
    }
    fn segments(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(self.head())
    }
    fn prepend(&mut self, n: usize) -> bool {
        let fits = n <= self.start;
        self.start -= if fits { n } else { 0 };
        fits
    }
    fn trim_front(&mut self, n: usize) {
        self.start += n;
    }
    fn truncate(&mut self, len: usize) {
        self.end = self.end.min(self.start + len);
    }
    fn extend(&mut self, bytes: &[u8]) -> bool {
        let Some(room) = self.memory.get_mut(self.end..self.end + bytes.len()) else { return false };
        room.copy_from_slice(bytes);
        self.end += bytes.len();
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
        (frame.start, frame.end) = (HEADROOM, HEADROOM);
        Some(frame)
    }
}

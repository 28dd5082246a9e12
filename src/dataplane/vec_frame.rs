//! Frames in ordinary memory, for tests, fuzzers and the conformance runner.

use super::frame::{Frame, FramePool};
use super::outlet::Outlet;
use crate::model::PortId;
use crate::model::limits::{HEADROOM, SEGMENTS_MAX};

/// A frame of byte vectors, with the limits of a real buffer: headroom in front, a bounded first segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VecFrame {
    /// Unused bytes at the start of the first segment.
    headroom: usize,
    segments: Vec<Vec<u8>>,
}

/// Data room of a segment, as of an mbuf with the usual 2 KiB.
const ROOM: usize = 2048;

impl VecFrame {
    pub fn new(bytes: &[u8]) -> Self {
        Self::in_segments([bytes])
    }

    pub fn in_segments<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut segments: Vec<Vec<u8>> = parts.into_iter().map(<[u8]>::to_vec).collect();
        if segments.is_empty() {
            segments.push(vec![]);
        }
        // what a buffer held before is not zero
        segments[0].splice(0..0, [0xa5; HEADROOM]);
        Self { headroom: HEADROOM, segments }
    }

    /// As from a driver that leaves less room in front.
    pub fn with_headroom(bytes: &[u8], headroom: usize) -> Self {
        assert!(headroom <= HEADROOM);
        let segment = [&[0xa5; HEADROOM][..headroom], bytes].concat();
        Self { headroom, segments: vec![segment] }
    }

    /// All bytes of the frame.
    pub fn bytes(&self) -> Vec<u8> {
        self.segments().flatten().copied().collect()
    }
}

impl Frame for VecFrame {
    fn head(&self) -> &[u8] {
        &self.segments[0][self.headroom..]
    }
    fn head_mut(&mut self) -> &mut [u8] {
        &mut self.segments[0][self.headroom..]
    }
    fn len(&self) -> usize {
        self.segments.iter().map(Vec::len).sum::<usize>() - self.headroom
    }
    fn segments(&self) -> impl Iterator<Item = &[u8]> {
        let rest = self.segments[1..].iter().map(Vec::as_slice);
        std::iter::once(self.head()).chain(rest)
    }
    fn prepend(&mut self, n: usize) -> bool {
        let has_room = n <= self.headroom;
        self.headroom -= if has_room { n } else { 0 };
        has_room
    }
    fn trim_front(&mut self, n: usize) {
        assert!(n <= self.head().len());
        self.headroom += n;
    }
    fn truncate(&mut self, len: usize) {
        let mut keep = len + self.headroom;
        for segment in &mut self.segments {
            segment.truncate(keep);
            keep -= segment.len();
        }
        let mut first = true;
        self.segments.retain(|segment| std::mem::take(&mut first) || !segment.is_empty());
    }
    fn extend(&mut self, bytes: &[u8]) -> bool {
        let last = self.segments.last_mut().expect("a frame has a segment");
        let fits = last.len() + bytes.len() <= HEADROOM + ROOM;
        if fits {
            last.extend_from_slice(bytes);
        }
        fits
    }
    fn pull(&mut self, n: usize) -> bool {
        if n > self.len() || self.headroom + n > HEADROOM + ROOM {
            return false;
        }
        while self.head().len() < n {
            let missing = n - self.head().len();
            let next = &mut self.segments[1];
            let moved: Vec<u8> = next.drain(..missing.min(next.len())).collect();
            if next.is_empty() {
                self.segments.remove(1);
            }
            self.segments[0].extend(moved);
        }
        true
    }
    fn chain(&mut self, tail: Self) -> Result<(), Self> {
        if self.segments.len() + tail.segments.len() > SEGMENTS_MAX {
            return Err(tail);
        }
        self.segments.extend(tail.segments().map(<[u8]>::to_vec));
        Ok(())
    }
}

/// An unbounded pool, and an outlet that remembers what was sent where.
#[derive(Debug, Default)]
pub struct VecOutlet {
    pub sent: Vec<(PortId, VecFrame)>,
    /// Makes `alloc` fail, as an exhausted pool does.
    pub is_exhausted: bool,
}

impl Outlet<VecFrame> for VecOutlet {
    fn transmit(&mut self, port: PortId, frame: VecFrame) {
        self.sent.push((port, frame));
    }
    fn alloc(&mut self) -> Option<VecFrame> {
        (!self.is_exhausted).then(|| VecFrame::new(&[]))
    }
}

impl FramePool for VecOutlet {
    type Frame = VecFrame;
    fn alloc(&mut self) -> Option<VecFrame> {
        Outlet::alloc(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_behaves_like_its_bytes() {
        let mut frame = VecFrame::in_segments([&b"abc"[..], b"def", b"ghi"]);
        assert_eq!(frame.len(), 9);
        assert!(frame.pull(5));
        assert_eq!((frame.head(), frame.bytes().as_slice()), (&b"abcde"[..], &b"abcdefghi"[..]));
        assert!(!frame.pull(10));
        frame.trim_front(2);
        assert!(frame.prepend(1));
        frame.head_mut()[0] = b'x';
        assert!(frame.chain(VecFrame::new(b"jk")).is_ok());
        frame.truncate(9);
        assert_eq!(frame.bytes(), b"xcdefghij");
        let mut out = [0; 3];
        assert!(frame.copy_out(4, &mut out));
        assert_eq!(&out, b"fgh");
        assert!(!frame.copy_out(7, &mut out));
        assert!(!frame.prepend(HEADROOM + 2));
    }
}

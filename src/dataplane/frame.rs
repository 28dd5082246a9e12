//! The packet-buffer trait: an mbuf on a NIC, a byte vector in a test, the same director code over both.
//!
//! A frame is contiguous headers (the *head*, its first segment) plus a chain of further segments, from the
//! destination MAC address to the last payload byte, without FCS. Dropping a frame gives its memory back.

use crate::wire::checksum::Sum;
use std::ops::Range;

/// One Ethernet frame, owned.
pub trait Frame: Sized {
    /// The bytes of the first segment.
    fn head(&self) -> &[u8];
    fn head_mut(&mut self) -> &mut [u8];

    /// Bytes in all segments.
    fn len(&self) -> usize;
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every segment in order, the head first.
    fn segments(&self) -> impl Iterator<Item = &[u8]>;

    /// Makes room for `n` more bytes in front of the head, of unspecified content.
    /// False, and nothing changed, when the buffer has no room for them.
    #[must_use]
    fn prepend(&mut self, n: usize) -> bool;

    /// Removes the first `n` bytes; `n` is at most the head's length.
    fn trim_front(&mut self, n: usize);

    /// Keeps the first `len` bytes; does nothing when the frame is no longer than that.
    fn truncate(&mut self, len: usize);

    /// Appends bytes at the end, in the last segment. False, and nothing changed, when it has no room for them.
    #[must_use]
    fn extend(&mut self, bytes: &[u8]) -> bool;

    /// Makes the first `n` bytes contiguous in the head. False when the frame is shorter than `n` or the head's
    /// buffer cannot hold them.
    #[must_use]
    fn pull(&mut self, n: usize) -> bool;

    /// Appends `tail` as further segments. Gives it back when the chain would grow beyond what a port can send.
    fn chain(&mut self, tail: Self) -> Result<(), Self>;

    /// Leaves the UDP checksum to the port that sends the frame: its IPv4 header will begin `l3` bytes into the frame and
    /// be `l3_len` long, and the checksum field holds the pseudo header's sum. False where frames cannot say so.
    #[must_use]
    fn leave_udp_checksum(&mut self, _l3: usize, _l3_len: usize) -> bool {
        false
    }

    /// The sum over the bytes in `range`, as far as there are any.
    fn sum(&self, range: Range<usize>) -> Sum {
        let mut at = 0;
        Sum::of_segments(self.segments().map(|segment| {
            let within = |offset: usize| offset.saturating_sub(at).min(segment.len());
            let part = &segment[within(range.start)..within(range.end).max(within(range.start))];
            at += segment.len();
            part
        }))
    }

    /// Asks the processor to fetch the bytes that parsing will look at first.
    fn prefetch(&self) {}

    /// The same for what says where those bytes are, and for what giving the frame back looks at: both are in another
    /// core's cache when another core received the frame.
    fn prefetch_descriptor(&self) {}

    /// Copies `out.len()` bytes starting at `offset` out of the chain. False when the frame is shorter.
    #[must_use]
    fn copy_out(&self, mut offset: usize, out: &mut [u8]) -> bool {
        let mut done = 0;
        for segment in self.segments() {
            if offset >= segment.len() {
                offset -= segment.len();
                continue;
            }
            let n = (segment.len() - offset).min(out.len() - done);
            out[done..done + n].copy_from_slice(&segment[offset..offset + n]);
            done += n;
            offset = 0;
            if done == out.len() {
                break;
            }
        }
        done == out.len()
    }
}

/// Where new frames come from (ICMP errors, ARP requests, fragments): bounded, and failure is a drop reason.
pub trait FramePool {
    type Frame: Frame;

    /// An empty frame with headroom for tunnel headers and room for at least
    /// [`crate::model::limits::FRAME_ROOM_MIN`] bytes; `None` when the pool is exhausted.
    fn alloc(&mut self) -> Option<Self::Frame>;
}

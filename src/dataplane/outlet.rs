//! Where the director's frames go, and where new ones come from.

use super::frame::Frame;
use crate::model::PortId;
use crate::model::limits::BURST;
use arrayvec::ArrayVec;

/// What drives the director implements this: over DPDK's queues, or over vectors in tests.
pub trait Outlet<F: Frame> {
    /// Takes a complete Ethernet frame to send on `port`. What the port refuses in the end is counted there.
    fn transmit(&mut self, port: PortId, frame: F);

    /// The same for a whole burst, which is empty afterwards.
    #[inline(always)]
    fn transmit_burst(&mut self, port: PortId, frames: &mut ArrayVec<F, BURST>) {
        frames.drain(..).for_each(|frame| self.transmit(port, frame));
    }

    /// A new frame, empty; `None` when there is no buffer left.
    fn alloc(&mut self) -> Option<F>;
}

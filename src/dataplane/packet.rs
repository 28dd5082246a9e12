//! One packet of a burst, as the stages of a packet's life know it.

use crate::model::{DropReason, PortId, WorkerId};
use crate::tables::connections::{Guess, Key};
use crate::wire::ip::Ip;
use crate::wire::parse::Parsed;
use crate::wire::plain::Facts;

/// Which way a frame goes whose packet needs no more work here; one word, as those of a burst are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Exit(u32);

/// The same, to be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Not known.
    Open,
    Port(PortId),
    /// To a worker, whose it is.
    Worker(WorkerId),
    /// It waits for the packets of its address family.
    Family,
}

impl Exit {
    const PORT: u32 = 1 << 16;
    const WORKER: u32 = 2 << 16;
    pub const OPEN: Self = Self(0);
    pub const FAMILY: Self = Self(3 << 16);

    #[inline(always)]
    pub fn by(port: PortId) -> Self {
        Self(Self::PORT | u32::from(port.0))
    }

    #[inline(always)]
    pub fn to(worker: WorkerId) -> Self {
        Self(Self::WORKER | u32::from(worker.0))
    }

    /// The port, if it is one.
    #[inline(always)]
    pub fn port(self) -> Option<PortId> {
        if let Way::Port(port) = self.way() { Some(port) } else { None }
    }

    #[inline(always)]
    pub fn way(self) -> Way {
        let number = self.0 as u16;
        match self.0 & !0xffff {
            Self::PORT => Way::Port(PortId(number)),
            Self::WORKER => Way::Worker(WorkerId(number)),
            _ if self == Self::FAMILY => Way::Family,
            _ => Way::Open,
        }
    }
}

/// What the stages know of one frame of the burst. It stays where it is from the first stage to the last: a copy would
/// read as wide words what has just been written as narrow ones, and wait for it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Packet<A> {
    pub key: Key<A>,
    pub(super) hash: u64,
    pub(super) guess: Guess,
    /// TCP or UDP with its whole header at hand, of a packet that is whole and ours and has no options.
    pub plain: Facts,
    /// Of a plain packet in an untagged frame only once [`known`](Self::know) to be uncommon.
    pub parsed: Parsed,
    /// Where it came in; of a plain packet in an untagged frame likewise.
    pub port: PortId,
    /// All ones when the packet came in fragments, else 0.
    pub(super) came_in_fragments: u16,
    /// The frame came to a group address of its link.
    pub to_group: bool,
    /// SCTP: the chunk that moves the connection's state, where there is one.
    pub chunk: Option<u8>,
    /// Why it goes no further than parsing.
    pub(super) refused: Option<DropReason>,
    /// Where that is known.
    pub(super) exit: Exit,
    /// Whose it is, where that has been found out already (`steer/home.rs`); of a packet with a guess it says nothing.
    pub(super) home: Option<WorkerId>,
}

impl<A> Packet<A> {
    /// What the common path did not need to know of a plain packet, for the paths that know all cases.
    #[inline(always)]
    pub(super) fn know(&mut self)
    where
        A: Ip,
    {
        if self.plain.is_untagged() {
            self.parsed = self.plain.to_parsed::<A>(self.key.kind as u8, self.key.ports);
            (self.to_group, self.refused) = (false, None);
        }
    }

    /// The same for all packets of a flow, and another after every start.
    #[inline(always)]
    pub fn flow_hash(&self) -> u64 {
        self.hash
    }

    /// A packet that was put together from fragments.
    pub(super) fn reassembled(port: PortId) -> Self
    where
        A: Default,
    {
        Self { port, came_in_fragments: u16::MAX, ..Self::default() }
    }

    /// Bytes of the IP packet, to be compared with an MTU: more than any for what came in fragments, and has to leave in
    /// some.
    #[inline(always)]
    pub fn wire_len(&self) -> u16 {
        self.parsed.ip_len | self.came_in_fragments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_is_the_way_that_it_was_made_from() {
        for number in [0, 1, u16::MAX] {
            assert_eq!(Exit::by(PortId(number)).way(), Way::Port(PortId(number)));
            assert_eq!(Exit::to(WorkerId(number)).way(), Way::Worker(WorkerId(number)));
            assert_ne!(Exit::by(PortId(number)), Exit::to(WorkerId(number)));
        }
        assert_eq!((Exit::OPEN.way(), Exit::FAMILY.way()), (Way::Open, Way::Family));
        assert_eq!(Exit::default(), Exit::OPEN);
    }
}

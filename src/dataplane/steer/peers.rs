//! The rings between one worker and each of the others, and what goes over them.

use super::Arrival;
use super::moving::Moved;
use crate::dataplane::frame::Frame;
use crate::dataplane::reassemble::Whole;
use crate::model::limits::{BURST, RING_DEPTH_MAX, RING_DEPTH_MIN, RINGS_FRAMES_MAX};
use crate::model::{DropReason, InterfaceId, PairCounters, PortId, WorkerCounters, WorkerId};
use crate::tables::ring::{Consumer, Producer, ring};
use arrayvec::ArrayVec;
use std::net::IpAddr;
use std::sync::Arc;

/// Why a frame comes from another worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It is yours.
    Handed,
    /// Do you know its connection? Else send it back.
    Question,
    /// It is yours, and nobody else's: its former owner does not know it.
    Answered,
}

impl Mark {
    pub fn arrival(self, from: WorkerId) -> Arrival {
        match self {
            Self::Handed => Arrival::Handed,
            Self::Question => Arrival::Question(from),
            Self::Answered => Arrival::Answered,
        }
    }
}

/// What one worker sends another. A frame carries its input port alone: it is looked at afresh.
// two words: each line of a ring costs both cores a wait
pub enum Parcel<F> {
    Frame(F, PortId, Mark),
    /// A packet put together from fragments: it is cut again as it came.
    Whole(Box<Whole<F>>, PortId, Mark),
    Note(Box<Note>),
}
const _: () = assert!(size_of::<Parcel<Box<()>>>() == 16);

impl<F> Parcel<F> {
    fn is_frame(&self) -> bool {
        matches!(self, Self::Frame(..) | Self::Whole(..))
    }

    #[inline(always)]
    fn frame(&self) -> Option<&F> {
        if let Self::Frame(frame, ..) = self { Some(frame) } else { None }
    }
}

/// What workers tell each other that is no frame.
// boxed as a whole
#[allow(clippy::large_enum_variant)]
pub enum Note {
    /// A neighbour has been heard of.
    Neighbour { interface: InterfaceId, address: IpAddr, mac: [u8; 6], learn: bool },
    /// A router has told the MTU of its way to a server.
    PathMtu { server: IpAddr, mtu: u16 },
    /// A connection that is yours now.
    Moved(Moved),
    /// There will be no more of them in this epoch of the steering.
    AllMoved { epoch: u64 },
}

/// A burst of parcels.
pub type Parcels<F> = ArrayVec<Parcel<F>, BURST>;

// lines of its own, and the one that the processor fetches with each: the next one in memory is another worker's
#[repr(align(128))]
struct Peer<F> {
    to: Producer<Parcel<F>>,
    waiting: Parcels<F>,
    /// How many of those waiting are no notes.
    frames: u64,
    from: Consumer<Parcel<F>>,
    /// Taken from the ring; `None` while they are looked at.
    fetched: Option<Box<Parcels<F>>>,
}

/// One worker's ends of the rings.
pub struct Peers<F> {
    /// By worker; `None` for itself.
    peers: Vec<Option<Peer<F>>>,
    /// By worker, what went to it.
    counters: Arc<[PairCounters]>,
}

impl<F> Default for Peers<F> {
    fn default() -> Self {
        Self { peers: vec![], counters: Arc::new([]) }
    }
}

/// Parcels a ring holds, with so many workers.
pub fn depth(workers: usize) -> usize {
    let share = RINGS_FRAMES_MAX / workers.saturating_sub(1).max(1);
    let power = (share + 1).next_power_of_two() / 2;
    power.clamp(RING_DEPTH_MIN, RING_DEPTH_MAX)
}

/// A ring between every two of the workers, one way and the other, each for `depth` parcels.
pub fn mesh<F: Send>(workers: usize, depth: usize) -> Vec<Peers<F>> {
    let mut ends: Vec<Vec<_>> = (0..workers).map(|_| (0..workers).map(|_| (None, None)).collect()).collect();
    let pairs = (0..workers).flat_map(|from| (0..workers).map(move |to| (from, to)));
    for (from, to) in pairs.filter(|(from, to)| from != to) {
        let (producer, consumer) = ring(depth);
        ends[from][to].0 = Some(producer);
        ends[to][from].1 = Some(consumer);
    }
    let peer = |(to, from): (Option<_>, Option<_>)| {
        let (waiting, fetched) = (ArrayVec::new(), Some(Box::default()));
        Some(Peer { to: to?, waiting, frames: 0, from: from?, fetched })
    };
    let peers = |ends: Vec<_>| Peers {
        peers: ends.into_iter().map(peer).collect(),
        counters: (0..workers).map(|_| PairCounters::default()).collect(),
    };
    ends.into_iter().map(peers).collect()
}

impl<F> Peers<F> {
    /// There are other workers.
    pub fn is_shared(&self) -> bool {
        self.peers.iter().any(Option::is_some)
    }

    pub fn counters(&self) -> Arc<[PairCounters]> {
        self.counters.clone()
    }

    /// The others.
    pub fn ids(&self) -> impl Iterator<Item = WorkerId> {
        self.peers.iter().enumerate().filter(|(_, peer)| peer.is_some()).map(|(id, _)| WorkerId(id as u16))
    }

    /// Workers, this one included.
    pub fn count(&self) -> usize {
        self.peers.len()
    }

    /// Takes a parcel for another worker, to go with the next burst. False: there is no such worker.
    // inlined, so that a parcel is put together where it waits
    #[inline(always)]
    pub fn send(&mut self, to: WorkerId, parcel: Parcel<F>, counters: &WorkerCounters) -> bool {
        let Some(Some(peer)) = self.peers.get_mut(to.index()) else { return false };
        if peer.waiting.is_full() {
            peer.flush(&self.counters[to.index()], counters);
        }
        peer.frames += u64::from(parcel.is_frame());
        peer.waiting.push(parcel);
        true
    }

    /// As [`Peers::send`] for a frame that has just come by a port.
    #[inline(always)]
    pub fn send_frame(&mut self, to: WorkerId, frame: F, port: PortId, counters: &WorkerCounters) {
        if self.send(to, Parcel::Frame(frame, port, Mark::Handed), counters) {
            counters.of_port(port).elsewhere.add(1);
        } else {
            counters.dropped(DropReason::Internal);
        }
    }

    /// What was taken is on its way; what the rings have no room for is dropped.
    #[inline]
    pub fn flush(&mut self, counters: &WorkerCounters) {
        for (peer, pair) in self.peers.iter_mut().zip(self.counters.iter()) {
            if let Some(peer) = peer
                && !peer.waiting.is_empty()
            {
                peer.flush(pair, counters);
            }
        }
    }

    /// Whether so many more parcels surely find room.
    pub fn has_room(&mut self, to: WorkerId, parcels: usize) -> bool {
        match self.peers.get_mut(to.index()) {
            Some(Some(peer)) => {
                let wanted = peer.waiting.len() + parcels;
                peer.to.room(wanted) == wanted
            }
            _ => false,
        }
    }

    /// What was fetched from another worker, to be given [back](Self::put_back) empty.
    #[inline]
    pub fn take(&mut self, from: WorkerId) -> Option<Box<Parcels<F>>> {
        let Some(Some(peer)) = self.peers.get_mut(from.index()) else { return None };
        if peer.fetched.as_ref()?.is_empty() { None } else { peer.fetched.take() }
    }

    #[inline]
    pub fn put_back(&mut self, from: WorkerId, parcels: Box<Parcels<F>>) {
        if let Some(Some(peer)) = self.peers.get_mut(from.index()) {
            peer.fetched = Some(parcels);
        }
    }
}

impl<F: Frame> Peers<F> {
    /// Takes up to a burst from each ring; what will be read first is on its way.
    #[inline]
    pub fn fetch(&mut self) {
        for fetched in self.peers.iter_mut().flatten().filter_map(Peer::fetch) {
            let frames = || fetched.iter().filter_map(Parcel::frame);
            frames().for_each(Frame::prefetch_descriptor);
            frames().for_each(Frame::prefetch);
        }
    }
}

impl<F> Peer<F> {
    #[inline(always)]
    fn fetch(&mut self) -> Option<&Parcels<F>> {
        let fetched = self.fetched.as_deref_mut()?;
        self.from.pop_burst(fetched);
        Some(fetched)
    }

    fn flush(&mut self, pair: &PairCounters, counters: &WorkerCounters) {
        let (parcels, frames) = (self.waiting.len(), std::mem::take(&mut self.frames));
        self.to.push_burst(&mut self.waiting);
        pair.sent.add((parcels - self.waiting.len()) as u64);
        let dropped = if self.waiting.is_empty() { 0 } else { self.drop_waiting(pair, counters) };
        counters.handed_over.add(frames - dropped);
    }

    /// How many frames were among them.
    #[cold]
    fn drop_waiting(&mut self, pair: &PairCounters, counters: &WorkerCounters) -> u64 {
        let frames = self.waiting.iter().filter(|parcel| parcel.is_frame()).count() as u64;
        pair.full.add(self.waiting.len() as u64);
        counters.drops[DropReason::RingFull as usize].add(frames);
        self.waiting.clear();
        frames
    }
}

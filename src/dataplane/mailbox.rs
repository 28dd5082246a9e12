//! What passes between the control thread and one worker: snapshots and requests one way, acknowledgements and
//! answers the other. Two bounded rings; neither side ever waits for the other.

use super::director::Director;
use super::frame::Frame;
use super::listing::ConnectionRow;
use super::pick_up::Delivery;
use crate::model::{InterfaceId, PortId};
use crate::tables::neighbours::State;
use crate::tables::ring::{Consumer, Producer, ring};
use std::net::IpAddr;

/// Messages under way at once: one snapshot, one listing, a stop, and room.
const DEPTH: usize = if cfg!(loom) { 1 } else { 8 };
/// Table entries a worker looks at between two bursts for a listing.
const LOOK_AT_PER_POLL: u32 = 64;

/// From the control thread.
pub enum Request {
    Snapshot(Delivery),
    /// Fills `rows` up to its capacity, going on at `cursor` (0 at first).
    Connections {
        cursor: u32,
        rows: Vec<ConnectionRow>,
    },
    /// Fills `rows` up to its capacity.
    Neighbours {
        rows: Vec<NeighbourRow>,
    },
    /// The port has a link again: neighbours may have changed, and must learn where virtual addresses are.
    LinkUp(PortId),
    Stop,
}

/// From the worker.
pub enum Reply {
    /// The snapshot is in; this is the previous one, to be dropped.
    PickedUp(Delivery),
    /// `next` is 0 at the end of the table.
    Connections {
        rows: Vec<ConnectionRow>,
        next: u32,
    },
    Neighbours {
        rows: Vec<NeighbourRow>,
    },
    /// Of the change of owners under way there is nothing left to do: all connections are where they belong.
    Moved,
}

/// A neighbour as a listing shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NeighbourRow {
    pub interface: InterfaceId,
    pub address: IpAddr,
    pub mac: Option<[u8; 6]>,
    pub state: &'static str,
}

/// The control thread's side.
pub struct Mailbox {
    requests: Producer<Request>,
    replies: Consumer<Reply>,
}

/// The worker's side.
pub struct Desk {
    requests: Consumer<Request>,
    replies: Producer<Reply>,
    listing: Option<(u32, Vec<ConnectionRow>)>,
    neighbour_listing: Option<(usize, Vec<NeighbourRow>)>,
    /// An answer that found its ring full.
    waiting: Option<Reply>,
}

/// Both sides of one.
pub fn mailbox() -> (Mailbox, Desk) {
    let (to_worker, requests) = ring(DEPTH);
    let (replies, from_worker) = ring(DEPTH);
    let desk = Desk { requests, replies, listing: None, neighbour_listing: None, waiting: None };
    (Mailbox { requests: to_worker, replies: from_worker }, desk)
}

impl Mailbox {
    /// Gives the request back when the ring is full.
    pub fn ask(&mut self, request: Request) -> Result<(), Request> {
        self.requests.push(request)
    }

    /// Whether a request would be taken.
    pub fn has_room(&mut self) -> bool {
        self.requests.room(1) > 0
    }

    pub fn answer(&mut self) -> Option<Reply> {
        self.replies.pop()
    }
}

impl Desk {
    /// Does some of what the control thread has asked for. True: stop.
    #[inline]
    pub fn serve<F: Frame>(&mut self, director: &mut Director<F>) -> bool {
        // each step can end in an answer; while one waits for room, nothing goes on
        if self.waiting.is_none()
            && director.is_picking_up()
            && let Some(old) = director.continue_pick_up()
        {
            self.reply(Reply::PickedUp(old));
        }
        if self.waiting.is_none() && director.has_moved_all() {
            self.reply(Reply::Moved);
        }
        if self.waiting.is_none() && self.listing.is_some() {
            self.continue_listing(director);
        }
        if self.waiting.is_none() && self.neighbour_listing.is_some() {
            self.continue_neighbours(director);
        }
        match self.waiting.take() {
            Some(reply) => self.reply(reply),
            None => {
                if let Some(request) = self.requests.pop() {
                    return self.take(request, director);
                }
            }
        }
        false
    }

    /// True: stop.
    #[cold]
    fn take<F: Frame>(&mut self, request: Request, director: &mut Director<F>) -> bool {
        match request {
            Request::Snapshot(delivery) => director.begin_pick_up(delivery),
            Request::Connections { cursor, mut rows } => {
                rows.clear();
                self.listing = Some((cursor, rows));
            }
            Request::Neighbours { mut rows } => {
                rows.clear();
                self.neighbour_listing = Some((0, rows));
            }
            Request::LinkUp(port) => director.link_up(port),
            Request::Stop => return true,
        }
        false
    }

    fn reply(&mut self, reply: Reply) {
        if let Err(reply) = self.replies.push(reply) {
            self.waiting = Some(reply);
        }
    }

    fn continue_listing<F: Frame>(&mut self, director: &Director<F>) {
        let Some((cursor, mut rows)) = self.listing.take() else { return };
        let look_at = LOOK_AT_PER_POLL.min((rows.capacity() - rows.len()) as u32);
        let next = director.list(cursor, look_at, |row| rows.push(row));
        if next == 0 || rows.len() == rows.capacity() {
            self.reply(Reply::Connections { rows, next });
        } else {
            self.listing = Some((next, rows));
        }
    }

    fn continue_neighbours<F: Frame>(&mut self, director: &Director<F>) {
        let Some((cursor, mut rows)) = self.neighbour_listing.take() else { return };
        let look_at = (LOOK_AT_PER_POLL as usize).min(rows.capacity() - rows.len());
        let next = director.network().neighbours.page(cursor, look_at, |n| {
            rows.push(NeighbourRow {
                interface: n.interface,
                address: n.address,
                mac: (!matches!(n.state, State::Incomplete | State::Failed)).then_some(n.mac),
                state: n.state.name(),
            });
        });
        match next {
            Some(next) if rows.len() < rows.capacity() => self.neighbour_listing = Some((next, rows)),
            _ => self.reply(Reply::Neighbours { rows }),
        }
    }
}

//! Taking over a new snapshot between bursts, a bounded number of changes at a time.

use super::director::Director;
use super::frame::Frame;
use super::snapshot::Snapshot;
use crate::model::limits::PICK_UP_PER_POLL;
use std::sync::Arc;

/// A snapshot on its way in.
pub struct PickUp {
    snapshot: Arc<Snapshot>,
    /// Of `changes`: destinations first, then services, which schedule among them.
    done: usize,
}

impl<F: Frame> Director<F> {
    /// Begins to take over `snapshot`. The previous one must be in.
    pub fn begin_pick_up(&mut self, snapshot: Arc<Snapshot>) {
        debug_assert!(self.pick_up.is_none(), "the control thread waits for the acknowledgement");
        if snapshot.changes.network {
            self.network.set(&snapshot.network, self.now, &self.counters);
        }
        self.pick_up = Some(PickUp { snapshot, done: 0 });
    }

    /// Takes over a whole snapshot at once: the first one, before there are packets to hold up.
    pub fn pick_up_at_once(&mut self, snapshot: Arc<Snapshot>) {
        self.begin_pick_up(snapshot);
        while self.continue_pick_up().is_none() {}
    }

    /// Whether a snapshot is on its way in.
    pub fn is_picking_up(&self) -> bool {
        self.pick_up.is_some()
    }

    /// Takes over some more of a new snapshot. When it is in, gives the old one back, for the control thread to drop.
    pub fn continue_pick_up(&mut self) -> Option<Arc<Snapshot>> {
        let PickUp { snapshot, mut done } = self.pick_up.take()?;
        let changes = snapshot.changes.clone();
        let all = changes.destinations.len() + changes.services.len();
        for _ in 0..PICK_UP_PER_POLL.min(all - done) {
            match changes.destinations.get(done) {
                Some(&id) => {
                    let destination = snapshot.destinations.get(id.index());
                    self.destinations.set(id, destination.map(|d| &**d));
                }
                None => {
                    let id = changes.services[done - changes.destinations.len()];
                    self.services.set(id, snapshot.services.get(id.index()));
                }
            }
            done += 1;
        }
        if done < all {
            self.pick_up = Some(PickUp { snapshot, done });
            return None;
        }
        Some(std::mem::replace(&mut self.snapshot, snapshot))
    }
}

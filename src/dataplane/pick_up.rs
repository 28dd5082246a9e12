//! Taking over a new snapshot between bursts, a bounded number of changes at a time.

use super::director::Director;
use super::family::PerFamily;
use super::frame::Frame;
use super::snapshot::{Changes, Snapshot};
use crate::model::limits::PICK_UP_PER_POLL;
use crate::model::{DestId, ServiceId};
use std::sync::Arc;

/// Of the kernel's modes of defence.
pub(super) const ALWAYS: u8 = 3;

/// A snapshot on its way in.
pub struct PickUp {
    snapshot: Arc<Snapshot>,
    /// Steps done, see [`PickUp::step`].
    done: usize,
}

/// One step of taking over a snapshot.
enum Step {
    Destination(DestId),
    Service(ServiceId),
}

impl PickUp {
    /// Destinations that can be scheduled come in before the services that schedule among them, and those that no
    /// longer can go after: at no moment does a service choose one that is not there. So all are passed twice.
    fn step(&self) -> Option<Step> {
        let Changes { destinations, services, .. } = &*self.snapshot.changes;
        let after = |before: usize| self.done.checked_sub(before);
        let goes = || destinations.get(after(destinations.len() + services.len())?).copied();
        let service = || services.get(after(destinations.len())?).copied();
        let comes = destinations.get(self.done).copied();
        comes.or_else(goes).map(Step::Destination).or_else(|| service().map(Step::Service))
    }

    fn is_coming_round(&self) -> bool {
        self.done < self.snapshot.changes.destinations.len()
    }
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
        let mut pick_up = self.pick_up.take()?;
        for _ in 0..PICK_UP_PER_POLL {
            let Some(step) = pick_up.step() else { break };
            self.take_over(&pick_up, step);
            pick_up.done += 1;
        }
        if pick_up.step().is_some() {
            self.pick_up = Some(pick_up);
            return None;
        }
        let snapshot = pick_up.snapshot;
        self.timeouts = snapshot.timeouts.clone();
        self.pmtu_disc = snapshot.settings.pmtu_disc;
        self.secure_tcp = snapshot.settings.secure_tcp == ALWAYS;
        Some(std::mem::replace(&mut self.snapshot, snapshot))
    }

    fn take_over(&mut self, pick_up: &PickUp, step: Step) {
        let snapshot = &pick_up.snapshot;
        match step {
            Step::Service(id) => self.services.set(id, snapshot.services.get(id.index()), &mut self.destinations),
            Step::Destination(id) => {
                let destination = snapshot.destinations.get(id.index()).map(|d| &**d);
                let is_available = destination.is_some_and(|d| d.available);
                if is_available == pick_up.is_coming_round() {
                    self.destinations.set(id, destination);
                    self.drain.changed(self.destinations.get_mut(id), self.now);
                }
                if !is_available && snapshot.settings.expire_nodest_conn {
                    self.orphans_from = PerFamily { v4: Some(1), v6: Some(1) };
                }
            }
        }
    }
}

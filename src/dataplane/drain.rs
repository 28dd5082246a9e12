//! Draining with a deadline: the connections of a destination that was quiesced or removed end when its service's
//! `drain_deadline_s` is over, instead of whenever they do. The kernel has nothing like it; without the key nothing here
//! happens.

use super::destinations::{DestState, Destinations};
use super::director::Director;
use super::frame::Frame;
use crate::model::limits::DRAIN_CHECKS_PER_MS;
use crate::model::{DestId, Time};

/// Where the look through the destinations stands.
#[derive(Debug, Default)]
pub struct Drain {
    cursor: usize,
    /// Some destination has had a deadline since the start.
    is_used: bool,
}

impl DestState {
    /// Whether it takes no new connections and has a deadline for the others.
    fn is_draining(&self) -> bool {
        self.departures.drain_deadline_s > 0 && (!self.available || self.weight == 0)
    }

    /// Whether its connections are to end.
    pub fn is_drained(&self, now: Time) -> bool {
        self.drain_deadline.is_some_and(|deadline| now >= deadline)
    }
}

impl Drain {
    /// A destination has changed.
    pub fn changed(&mut self, dest: Option<&mut DestState>, now: Time) {
        let Some(dest) = dest else { return };
        let deadline = Time(now.0 + u64::from(dest.departures.drain_deadline_s) * 1_000_000_000);
        dest.drain_deadline = dest.is_draining().then(|| dest.drain_deadline.unwrap_or(deadline));
        self.is_used |= dest.drain_deadline.is_some();
    }

    /// Whether one of the next few destinations has connections after its deadline.
    fn is_due(&mut self, destinations: &Destinations, now: Time) -> bool {
        if !self.is_used {
            return false;
        }
        let first = if self.cursor < destinations.len() { self.cursor } else { 0 };
        self.cursor = first + DRAIN_CHECKS_PER_MS;
        let is_busy = |id: DestId| destinations.counters(id).references.get() > 0;
        let ids = (first..self.cursor.min(destinations.len())).map(|id| DestId(id as u32));
        ids.into_iter().any(|id| destinations.get(id).is_some_and(|dest| dest.is_drained(now)) && is_busy(id))
    }
}

impl<F: Frame> Director<F> {
    /// Once a millisecond: has the connections of what has passed its deadline sought. A persistent client may come back to a
    /// quiesced destination, so this is repeated for as long as it has connections.
    pub(super) fn end_drained(&mut self) {
        if self.drain.is_due(&self.destinations, self.now) {
            // a search that is on its way is not begun again: it might never end
            self.orphans_from.v4.get_or_insert(1);
            self.orphans_from.v6.get_or_insert(1);
        }
    }
}

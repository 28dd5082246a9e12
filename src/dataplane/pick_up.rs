//! Taking over a new snapshot between bursts, a bounded number of changes at a time.

use super::director::Director;
use super::family::PerFamily;
use super::frame::Frame;
use super::snapshot::{Changes, NeighbourChange, Snapshot};
use crate::model::limits::PICK_UP_PER_POLL;
use crate::model::{DestId, InterfaceId, ServiceId};
use std::net::IpAddr;
use std::sync::Arc;

/// Of the kernel's modes of defence.
pub(super) const ALWAYS: u8 = 3;

/// A snapshot on its way in.
pub struct PickUp {
    snapshot: Arc<Snapshot>,
    /// Steps done, see [`PickUp::step`].
    done: usize,
    /// Nothing can be waited for.
    at_once: bool,
}

/// One step of taking over a snapshot.
enum Step {
    Neighbour(NeighbourChange),
    Destination(DestId),
    Service(ServiceId),
    /// A virtual address is new here.
    Appeared(InterfaceId, IpAddr),
}

impl PickUp {
    /// Destinations that can be scheduled come in before the services that schedule among them, and those that no
    /// longer can go after: at no moment does a service choose one that is not there. So all are passed twice.
    fn step(&self) -> Option<Step> {
        let Changes { neighbours, destinations, services, appeared, .. } = &*self.snapshot.changes;
        let mut at = self.done;
        if let Some(neighbour) = neighbours.get(at) {
            return Some(Step::Neighbour(*neighbour));
        }
        at -= neighbours.len();
        if let Some(comes) = destinations.get(at) {
            return Some(Step::Destination(*comes));
        }
        at -= destinations.len();
        if let Some(service) = services.get(at) {
            return Some(Step::Service(*service));
        }
        at -= services.len();
        if let Some(goes) = destinations.get(at) {
            return Some(Step::Destination(*goes));
        }
        let (interface, address) = *appeared.get(at - destinations.len())?;
        Some(Step::Appeared(interface, address))
    }

    /// Of a step, in the time that one destination takes: a service's scheduler and ranking are made anew.
    fn cost(&self, step: &Step) -> usize {
        match step {
            Step::Service(id) => self.snapshot.services.get(id.index()).map_or(1, |service| 3 + service.pool.len() / 3),
            _ => 1,
        }
    }

    fn is_coming_round(&self) -> bool {
        self.done < self.snapshot.changes.neighbours.len() + self.snapshot.changes.destinations.len()
    }
}

impl<F: Frame> Director<F> {
    /// Begins to take over `snapshot`. The previous one must be in.
    pub fn begin_pick_up(&mut self, snapshot: Arc<Snapshot>) {
        debug_assert!(self.pick_up.is_none(), "the control thread waits for the acknowledgement");
        if snapshot.changes.network {
            self.network.set(&snapshot.network, &self.counters);
        }
        self.pick_up = Some(PickUp { snapshot, done: 0, at_once: false });
    }

    /// Takes over a whole snapshot at once: the first one, before there are packets to hold up. Virtual addresses beyond
    /// the first few are announced only when their port's link comes up.
    pub fn pick_up_at_once(&mut self, snapshot: Arc<Snapshot>) {
        self.begin_pick_up(snapshot);
        self.pick_up.as_mut().into_iter().for_each(|pick_up| pick_up.at_once = true);
        while self.continue_pick_up().is_none() {}
    }

    /// Whether a snapshot is on its way in.
    pub fn is_picking_up(&self) -> bool {
        self.pick_up.is_some()
    }

    /// Takes over some more of a new snapshot. When it is in, gives the old one back, for the control thread to drop.
    pub fn continue_pick_up(&mut self) -> Option<Arc<Snapshot>> {
        let mut pick_up = self.pick_up.take()?;
        let mut budget = PICK_UP_PER_POLL;
        while budget > 0 {
            let Some(step) = pick_up.step() else { break };
            budget = budget.saturating_sub(pick_up.cost(&step));
            if !self.take_over(&pick_up, step) {
                break;
            }
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
        let old = std::mem::replace(&mut self.snapshot, snapshot);
        self.follow_steering();
        Some(old)
    }

    /// False: there is no room for it before other work is done.
    fn take_over(&mut self, pick_up: &PickUp, step: Step) -> bool {
        let snapshot = &pick_up.snapshot;
        match step {
            Step::Neighbour(NeighbourChange { interface, address, mac }) => {
                self.network.neighbours.set_static(interface, address, mac, self.now);
            }
            Step::Appeared(interface, address) if self.announces => {
                return self.network.announce_soon(interface, address) || pick_up.at_once;
            }
            Step::Appeared(..) => {}
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
        true
    }
}

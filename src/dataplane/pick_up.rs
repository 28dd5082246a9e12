//! Taking over a new snapshot between bursts, a bounded number of changes at a time.

use super::director::Director;
use super::family::PerFamily;
use super::frame::Frame;
use super::service_change::{Material, ServiceChange};
use super::snapshot::{Changes, NeighbourChange, Snapshot};
use crate::model::limits::PICK_UP_PER_POLL;
use crate::model::{DestId, InterfaceId, ServiceId};
use std::net::IpAddr;
use std::sync::Arc;

/// Of the kernel's modes of defence.
pub(super) const ALWAYS: u8 = 3;

/// A snapshot, and what a worker needs to take it over; on the way back, the snapshot that it had, and what is left.
pub struct Delivery {
    pub snapshot: Arc<Snapshot>,
    /// Of each service that changes, in their order. Where there is none, the worker takes memory itself.
    materials: Vec<Material>,
}

impl Delivery {
    /// For workers that have the snapshot `before`.
    pub fn prepared(snapshot: Arc<Snapshot>, before: &Snapshot) -> Self {
        let material = |id: &ServiceId| {
            let [old, new] = [before, &*snapshot].map(|snapshot| snapshot.services.get(id.index()).map(|s| &**s));
            Material::of(old, new)
        };
        let materials = snapshot.changes.services.iter().map(material).collect();
        Self { snapshot, materials }
    }
}

impl From<Arc<Snapshot>> for Delivery {
    fn from(snapshot: Arc<Snapshot>) -> Self {
        Self { snapshot, materials: Vec::new() }
    }
}

/// A snapshot on its way in.
pub struct PickUp {
    snapshot: Arc<Snapshot>,
    materials: Vec<Material>,
    /// Steps done, see [`PickUp::step`].
    done: usize,
    /// The service that is changing.
    service: Option<ServiceChange>,
    /// Nothing can be waited for.
    at_once: bool,
}

/// In steps of a list, see [`PICK_UP_PER_POLL`].
const STEP_COST: usize = 3;

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

    fn is_coming_round(&self) -> bool {
        self.done < self.before_services()
    }

    /// So many steps come before those of services.
    fn before_services(&self) -> usize {
        self.snapshot.changes.neighbours.len() + self.snapshot.changes.destinations.len()
    }

    /// Of the service whose step this is.
    fn material(&mut self) -> Option<&mut Material> {
        let service = self.done.checked_sub(self.before_services())?;
        self.materials.get_mut(service)
    }
}

impl<F: Frame> Director<F> {
    /// Begins to take over a snapshot. The previous one must be in.
    pub fn begin_pick_up(&mut self, delivery: impl Into<Delivery>) {
        let Delivery { snapshot, materials } = delivery.into();
        debug_assert!(self.pick_up.is_none(), "the control thread waits for the acknowledgement");
        if snapshot.changes.network {
            self.network.set(&snapshot.network, &self.counters);
        }
        self.pick_up = Some(PickUp { snapshot, materials, done: 0, service: None, at_once: false });
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
    pub fn continue_pick_up(&mut self) -> Option<Delivery> {
        let mut pick_up = self.pick_up.take()?;
        let mut budget = PICK_UP_PER_POLL;
        while budget > 0 {
            if pick_up.service.is_some() {
                budget -= 1;
                self.continue_service(&mut pick_up);
                continue;
            }
            let Some(step) = pick_up.step() else { break };
            budget = budget.saturating_sub(STEP_COST);
            if !self.take_over(&mut pick_up, step) {
                break;
            }
        }
        if pick_up.step().is_some() {
            self.pick_up = Some(pick_up);
            return None;
        }
        let PickUp { snapshot, materials, .. } = pick_up;
        if self.timeouts != snapshot.timeouts {
            self.timeouts = snapshot.timeouts.clone();
            // paths say how long established connections last
            self.network.end_path_epoch();
        }
        self.pmtu_disc = snapshot.settings.pmtu_disc;
        self.secure_tcp = snapshot.settings.secure_tcp == ALWAYS;
        let old = std::mem::replace(&mut self.snapshot, snapshot);
        self.follow_steering();
        Some(Delivery { snapshot: old, materials })
    }

    fn continue_service(&mut self, pick_up: &mut PickUp) {
        let Some(change) = &mut pick_up.service else { return };
        let Some(left) = change.go_on(&mut self.services, &mut self.destinations) else { return };
        if let Some(material) = pick_up.material() {
            *material = left;
        }
        pick_up.service = None;
        pick_up.done += 1;
    }

    /// False: there is no room for it before other work is done.
    fn take_over(&mut self, pick_up: &mut PickUp, step: Step) -> bool {
        if let Step::Service(id) = step {
            return self.begin_service(pick_up, id);
        }
        let is_in = self.take_over_at_once(pick_up, step);
        pick_up.done += usize::from(is_in);
        is_in
    }

    fn begin_service(&mut self, pick_up: &mut PickUp, id: ServiceId) -> bool {
        let material = pick_up.material().map(std::mem::take).unwrap_or_default();
        let new = pick_up.snapshot.services.get(id.index());
        pick_up.service = ServiceChange::begin(id, new, material, &self.services, &mut self.destinations);
        pick_up.done += usize::from(pick_up.service.is_none());
        true
    }

    fn take_over_at_once(&mut self, pick_up: &PickUp, step: Step) -> bool {
        let snapshot = &pick_up.snapshot;
        match step {
            // takes several steps
            Step::Service(_) => {}
            Step::Neighbour(NeighbourChange { interface, address, mac }) => {
                self.network.neighbours.set_static(interface, address, mac, self.now);
            }
            Step::Appeared(interface, address) if self.announces => {
                return self.network.announce_soon(interface, address) || pick_up.at_once;
            }
            Step::Appeared(..) => {}
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

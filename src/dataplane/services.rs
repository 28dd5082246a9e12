//! One worker's schedulers: the state each service's algorithm keeps here.

use super::destinations::Destinations;
use super::snapshot::Service;
use crate::model::limits::SERVICES_MAX;
use crate::model::{DestId, ServiceId, Time};
use crate::sched::{Flow, Lease, State, Turns};
use crate::tables::memory::Area;
use std::sync::Arc;

/// A service as this worker runs it.
pub struct ServiceState {
    pub service: Arc<Service>,
    scheduler: State,
    /// Its turns of a sequence that several workers share.
    lease: Option<Box<Lease>>,
}

impl ServiceState {
    fn new(service: &Arc<Service>, mut scheduler: State, has_peers: bool) -> Self {
        scheduler.set_shared(has_peers && !service.strict);
        let turns = service.plan.turns().filter(|_| has_peers);
        if let Some(turns) = turns {
            turns.begin(scheduler.place());
        }
        let lease = turns.map(|_| Box::new(Lease::new(service.strict)));
        Self { service: service.clone(), scheduler, lease }
    }

    /// Goes to where the workers' sequence stands.
    fn rejoin(&mut self) {
        let place = self.service.plan.turns().and_then(Turns::place);
        if let (Some(_), Some(place)) = (&self.lease, place) {
            self.scheduler.go_to(place);
        }
    }
}

/// All services by id.
pub struct Services {
    states: Vec<Option<ServiceState>>,
    /// The service whose scheduler is looked after next, and when the last one was.
    cursor: usize,
    ticked: Time,
    /// Time between two, so that each comes up once a second.
    tick_every_ns: u64,
    /// Other workers schedule, too.
    has_peers: bool,
}

impl Default for Services {
    fn default() -> Self {
        // address space for all, so that growing never copies
        let states = Vec::with_capacity(SERVICES_MAX);
        Self { states, cursor: 0, ticked: Time(0), tick_every_ns: TICK_NS, has_peers: false }
    }
}

/// How often each scheduler does its housekeeping.
const TICK_NS: u64 = Time::from_s(1).0;

impl Services {
    /// Where they lie, and the size of one.
    pub fn area(&self) -> (Area, usize) {
        (Area::of_vec(&self.states), size_of::<Option<ServiceState>>())
    }

    #[inline]
    pub fn get(&self, id: ServiceId) -> Option<&ServiceState> {
        self.states.get(id.index())?.as_ref()
    }

    /// This is one of several workers from now on; before it has services.
    pub fn join(&mut self) {
        debug_assert!(self.states.is_empty());
        self.has_peers = true;
    }

    /// Takes over a service as the control thread describes it now; `None`: it is gone.
    pub fn set(&mut self, id: ServiceId, service: Option<&Arc<Service>>, destinations: &mut Destinations) {
        if id.index() >= SERVICES_MAX {
            return;
        }
        if self.states.len() <= id.index() {
            self.states.resize_with(id.index() + 1, || None);
            self.tick_every_ns = TICK_NS / self.states.len() as u64;
        }
        let slot = &mut self.states[id.index()];
        let old = slot.as_ref().map(|state| &*state.service);
        if !service.is_some_and(|new| old.is_some_and(|old| has_list_of(new, old))) {
            destinations.set_list(id, old.map(|old| &*old.pool), service.map(|new| (new.scheduler, &*new.pool)));
        }
        if let Some(new) = service.filter(|_| self.has_peers) {
            destinations.share(&new.pool, new.scheduler, new.strict);
        }
        match (service, slot.take()) {
            (None, _) => {}
            (Some(new), Some(mut state)) if state.service.key == new.key => {
                state.rejoin();
                // other options alone are another plan; a pool is replaced once a destination was added, edited or deleted
                if !Arc::ptr_eq(&state.service.pool, &new.pool) || state.scheduler.kind() != new.scheduler {
                    state.scheduler.update(&state.service.pool, &new.pool, &new.plan);
                }
                *slot = Some(ServiceState::new(new, state.scheduler, self.has_peers));
            }
            (Some(new), _) => *slot = Some(ServiceState::new(new, State::new(&new.pool, &new.plan), self.has_peers)),
        }
    }

    /// Lets the next scheduler do its housekeeping when it is its turn: each about once a second, and one at a time.
    #[inline]
    pub fn tick(&mut self, now: Time) {
        if now.since(self.ticked) >= self.tick_every_ns {
            self.ticked = now;
            self.tick_next(now);
        }
    }

    #[cold]
    fn tick_next(&mut self, now: Time) {
        self.cursor = if self.cursor + 1 < self.states.len() { self.cursor + 1 } else { 0 };
        if let Some(Some(state)) = self.states.get_mut(self.cursor) {
            state.scheduler.tick(&state.service.plan, now);
        }
    }

    /// The destination for a new connection.
    pub fn schedule(&mut self, id: ServiceId, destinations: &mut Destinations, flow: &Flow) -> Option<DestId> {
        let state = self.states.get_mut(id.index())?.as_mut()?;
        let Service { pool, plan, .. } = &*state.service;
        destinations.catch_up(id);
        let (scheduler, ranking) = (&mut state.scheduler, destinations.ranking(id)?);
        let position = match &mut state.lease {
            None => scheduler.schedule(pool, plan, ranking, destinations, flow),
            Some(lease) => lease.schedule(scheduler, pool, plan, ranking, destinations, flow),
        }?;
        pool.candidates().get(position).map(|c| c.id)
    }
}

/// The same scheduler, of the same destinations in the same order: what was edited of them has been ranked again.
fn has_list_of(new: &Service, old: &Service) -> bool {
    new.key == old.key && new.scheduler == old.scheduler && new.pool.is_edit_of(&old.pool)
}

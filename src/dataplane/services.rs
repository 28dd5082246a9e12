//! One worker's schedulers: the state each service's algorithm keeps here.

use super::destinations::Destinations;
use super::snapshot::Service;
use crate::model::limits::SERVICES_MAX;
use crate::model::{DestId, ServiceId, Time};
use crate::sched::{Candidate, Flow, Lease, State, Succession, Turns};
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

    /// The service as the control thread describes it now takes the place of the one that was, if any; `None`: it is gone.
    /// `succession` from the list that was, as [`Scheduler::update`](crate::sched::Scheduler::update) wants it. What was.
    pub fn change(
        &mut self,
        id: ServiceId,
        service: Option<&Arc<Service>>,
        succession: Option<&Succession>,
    ) -> Option<ServiceState> {
        if self.states.len() <= id.index() {
            self.states.resize_with(id.index() + 1, || None);
            self.tick_every_ns = TICK_NS / self.states.len() as u64;
        }
        let slot = &mut self.states[id.index()];
        match (service, slot.take()) {
            (None, old) => old,
            (Some(new), Some(mut state)) if state.service.key == new.key => {
                state.rejoin();
                // other options alone are another plan; a pool is replaced once a destination was added, edited or deleted
                if !Arc::ptr_eq(&state.service.pool, &new.pool) || state.scheduler.kind() != new.scheduler {
                    state.scheduler.update(succession, &new.pool, &new.plan);
                }
                *slot = Some(ServiceState::new(new, state.scheduler, self.has_peers));
                None
            }
            (Some(new), old) => {
                *slot = Some(ServiceState::new(new, State::new(&new.pool, &new.plan), self.has_peers));
                old
            }
        }
    }

    /// A destination is going to be gone with the service's next change.
    pub fn depart(&mut self, id: ServiceId, candidate: &Candidate) {
        if let Some(Some(state)) = self.states.get_mut(id.index()) {
            state.scheduler.depart(candidate);
        }
    }

    /// Whether other workers schedule, too.
    pub fn has_peers(&self) -> bool {
        self.has_peers
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

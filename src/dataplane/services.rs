//! One worker's schedulers: the state each service's algorithm keeps here.

use super::destinations::Destinations;
use super::snapshot::Service;
use crate::model::{DestId, ServiceId, Time};
use crate::sched::Flow;
use crate::sched::registry::State;
use std::sync::Arc;

/// A service as this worker runs it.
pub struct ServiceState {
    pub service: Arc<Service>,
    scheduler: State,
}

/// All services by id.
#[derive(Default)]
pub struct Services {
    states: Vec<Option<ServiceState>>,
    /// The service whose scheduler is looked after next.
    cursor: usize,
}

impl Services {
    #[inline]
    pub fn get(&self, id: ServiceId) -> Option<&ServiceState> {
        self.states.get(id.index())?.as_ref()
    }

    /// Takes over a service as the control thread describes it now; `None`: it is gone.
    pub fn set(&mut self, id: ServiceId, service: Option<&Arc<Service>>, destinations: &mut Destinations) {
        if self.states.len() <= id.index() {
            self.states.resize_with(id.index() + 1, || None);
        }
        let slot = &mut self.states[id.index()];
        let old = slot.as_ref().map(|state| &*state.service);
        // always anew: a list that only looks like an edit of the one before must not keep positions that are no longer right
        destinations.set_list(id, old.map(|old| &*old.pool), service.map(|new| (new.scheduler, &*new.pool)));
        match (service, &mut *slot) {
            (None, _) => *slot = None,
            (Some(new), Some(state)) if state.service.key == new.key => {
                // other options alone are another plan; a pool is replaced once a destination was added, edited or deleted
                if !Arc::ptr_eq(&state.service.pool, &new.pool) || state.scheduler.kind() != new.scheduler {
                    state.scheduler.update(&state.service.pool, &new.pool, &new.plan);
                }
                state.service = new.clone();
            }
            (Some(new), _) => {
                let scheduler = State::new(&new.pool, &new.plan);
                *slot = Some(ServiceState { service: new.clone(), scheduler });
            }
        }
    }

    /// Lets the next few schedulers do their housekeeping, one call a second each.
    pub fn tick(&mut self, now: Time) {
        for _ in 0..self.states.len() / 1000 + 1 {
            self.cursor += 1;
            if self.cursor >= self.states.len() {
                self.cursor = 0;
            }
            if let Some(Some(state)) = self.states.get_mut(self.cursor) {
                state.scheduler.tick(&state.service.plan, now);
            }
        }
    }

    /// The destination for a new connection.
    pub fn schedule(&mut self, id: ServiceId, destinations: &mut Destinations, flow: &Flow) -> Option<DestId> {
        let state = self.states.get_mut(id.index())?.as_mut()?;
        let Service { pool, plan, .. } = &*state.service;
        destinations.catch_up(id);
        let position = state.scheduler.schedule(pool, plan, destinations.ranking(id)?, destinations, flow)?;
        pool.candidates().get(position).map(|c| c.id)
    }
}

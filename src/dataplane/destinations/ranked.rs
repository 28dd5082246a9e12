//! Rankings: what schedulers go by follows every change of a count, a threshold's state or a weight.

use super::{DestState, Destinations, NOWHERE};
use crate::model::{DestId, ServiceId};
use crate::sched::{Load, Pool, Ranking, SchedulerKind};
use arrayvec::ArrayVec;

/// A service's destinations as its scheduler ranks them.
pub(super) struct Ranked {
    ranking: Ranking,
    /// Whose load has changed since, each once: between two decisions connections of a few destinations come and go.
    changed: ArrayVec<DestId, CHANGED_MAX>,
}

/// Changes that wait for a decision, which does not look at all of them one after the other while packets wait.
const CHANGED_MAX: usize = 16;

impl Destinations {
    /// The service's list and scheduler are these from now on; `None`: it is gone. `old` is the list up to now.
    pub fn set_list(&mut self, service: ServiceId, old: Option<&Pool>, new: Option<(SchedulerKind, &Pool)>) {
        for candidate in old.into_iter().flat_map(Pool::candidates) {
            self.place(candidate.id, NOWHERE, false);
        }
        if self.ranked.len() <= service.index() {
            self.ranked.resize_with(service.index() + 1, || None);
        }
        let mut before = self.ranked[service.index()].take();
        before.iter_mut().flat_map(|ranked| ranked.changed.take()).for_each(|id| self.wait_no_more(id));
        self.ranked[service.index()] = new.map(|(kind, pool)| self.rank_all(before, kind, pool));
    }

    fn place(&mut self, id: DestId, position: u32, is_counted: bool) {
        if let Some(state) = self.states.get_mut(id.index()) {
            (state.position, state.is_counted, state.is_changed) = (position, is_counted, false);
        }
    }

    /// In the memory that the ranking `before` leaves, when it is of the same kind.
    fn rank_all(&mut self, before: Option<Box<Ranked>>, kind: SchedulerKind, pool: &Pool) -> Box<Ranked> {
        let loads = pool.candidates().iter().map(|c| self.load(c.id));
        let ranked = match before {
            Some(mut ranked) if ranked.ranking.kind() == kind => {
                ranked.ranking.refill(loads);
                ranked
            }
            _ => Box::new(Ranked { ranking: Ranking::new(kind, loads), changed: ArrayVec::new() }),
        };
        let is_counted = ranked.ranking.follows_counts();
        for (candidate, position) in pool.candidates().iter().zip(0..) {
            self.place(candidate.id, position, is_counted);
        }
        ranked
    }

    /// The ranking of a service's destinations, for its scheduler; see [`Destinations::catch_up`].
    #[inline]
    pub fn ranking(&self, service: ServiceId) -> Option<&Ranking> {
        self.ranked.get(service.index())?.as_ref().map(|ranked| &ranked.ranking)
    }

    /// The load of `id` has changed.
    #[inline]
    pub(super) fn rank_again(&mut self, id: DestId) {
        let Some(state) = self.states.get_mut(id.index()) else { return };
        if !std::mem::replace(&mut state.is_changed, true) {
            let (service, position) = (state.service, state.position);
            self.note_changed(service, position, id);
        }
    }

    fn note_changed(&mut self, service: ServiceId, position: u32, id: DestId) {
        let Some(Some(ranked)) = self.ranked.get_mut(service.index()) else { return self.wait_no_more(id) };
        ranked.ranking.prefetch(position as usize);
        ranked.changed.push(id);
        if ranked.changed.is_full() {
            self.catch_up(service);
        }
    }

    fn wait_no_more(&mut self, id: DestId) {
        if let Some(state) = self.states.get_mut(id.index()) {
            state.is_changed = false;
        }
    }

    /// Makes the service's ranking what the loads are now.
    #[inline]
    pub fn catch_up(&mut self, service: ServiceId) {
        let Some(of_service) = self.ranked.get_mut(service.index()) else { return };
        let Some(mut ranked) = of_service.take() else { return };
        for id in ranked.changed.take() {
            // it may have left the service since, even for another one's list
            let state = self.states.get_mut(id.index()).filter(|state| state.service == service);
            let Some(DestState { position, is_changed, .. }) = state else { continue };
            *is_changed = false;
            let position = *position as usize;
            ranked.ranking.set(position, self.load(id));
        }
        if let Some(of_service) = self.ranked.get_mut(service.index()) {
            *of_service = Some(ranked);
        }
    }

    fn load(&self, id: DestId) -> Load {
        let Some(&DestState { weight, overloaded, .. }) = self.get(id) else { return Load::default() };
        if self.peers.is_some() {
            return Load::of(id, weight, self);
        }
        let counters = self.counters(id);
        Load { weight, active: counters.active.get(), inactive: counters.inactive.get(), overloaded }
    }
}

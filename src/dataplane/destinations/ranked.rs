//! Rankings: what schedulers go by follows every change of a count, a threshold's state or a weight.

use super::{DestState, Destinations, NOWHERE};
use crate::model::{DestId, ServiceId};
use crate::sched::{Load, Pool, Ranking, SchedulerKind};

/// A service's destinations as its scheduler ranks them.
pub(super) struct Ranked {
    ranking: Ranking,
    /// Whose load has changed since; at most one. A new connection changes its destination's several times in a row.
    changed: DestId,
}

impl Destinations {
    /// The service's list and scheduler are these from now on; `None`: it is gone. `old` is the list up to now.
    pub fn set_list(&mut self, service: ServiceId, old: Option<&Pool>, new: Option<(SchedulerKind, &Pool)>) {
        for candidate in old.into_iter().flat_map(Pool::candidates) {
            self.place(candidate.id, NOWHERE, false);
        }
        if self.ranked.len() <= service.index() {
            self.ranked.resize_with(service.index() + 1, || None);
        }
        let before = self.ranked[service.index()].take();
        self.ranked[service.index()] = new.map(|(kind, pool)| self.rank_all(before, kind, pool));
    }

    fn place(&mut self, id: DestId, position: u32, is_counted: bool) {
        if let Some(state) = self.states.get_mut(id.index()) {
            (state.position, state.is_counted) = (position, is_counted);
        }
    }

    /// In the memory that the ranking `before` leaves, when it is of the same kind.
    fn rank_all(&mut self, before: Option<Box<Ranked>>, kind: SchedulerKind, pool: &Pool) -> Box<Ranked> {
        let loads = pool.candidates().iter().map(|c| self.load(c.id));
        let mut ranked = match before {
            Some(mut ranked) if ranked.ranking.kind() == kind => {
                ranked.ranking.refill(loads);
                ranked
            }
            _ => Box::new(Ranked { ranking: Ranking::new(kind, loads), changed: DestId::NONE }),
        };
        ranked.changed = DestId::NONE;
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

    /// The load of `id` has changed. That of the one before it has settled by now and goes into the ranking.
    #[inline]
    pub(super) fn rank_again(&mut self, id: DestId) {
        let Some(&DestState { service, position, .. }) = self.states.get(id.index()) else { return };
        let Some(Some(ranked)) = self.ranked.get_mut(service.index()) else { return };
        if ranked.changed != id {
            let before = std::mem::replace(&mut ranked.changed, id);
            ranked.ranking.prefetch(position as usize);
            self.settle(service, before);
        }
    }

    /// Makes the service's ranking what the loads are now.
    #[inline]
    pub fn catch_up(&mut self, service: ServiceId) {
        if let Some(Some(ranked)) = self.ranked.get_mut(service.index()) {
            let changed = std::mem::replace(&mut ranked.changed, DestId::NONE);
            self.settle(service, changed);
        }
    }

    #[inline]
    fn settle(&mut self, service: ServiceId, id: DestId) {
        // it may have left the service since, even for another one's list
        let Some(&DestState { position, service: of, .. }) = self.get(id) else { return };
        if of != service {
            return;
        }
        let load = self.load(id);
        if let Some(Some(ranked)) = self.ranked.get_mut(service.index()) {
            ranked.ranking.set(position as usize, load);
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

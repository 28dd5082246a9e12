//! Rankings: what schedulers go by follows every change of a count, a threshold's state or a weight.
//!
//! A list that takes the place of another one is ranked beside it, one destination after the other, while the service goes on
//! with the old one; then both change places at once, and the old list's destinations leave it one after the other.

use super::{DestState, Destinations, NOWHERE};
use crate::model::{DestId, ServiceId};
use crate::sched::{Load, Ranking, SchedulerKind};
use arrayvec::ArrayVec;

/// A service's destinations as its scheduler ranks them.
pub struct Ranked {
    ranking: Ranking,
    /// Which of their two positions are those in this list.
    side: bool,
    /// Whose load has changed since, each once: between two decisions connections of a few destinations come and go.
    changed: ArrayVec<DestId, CHANGED_MAX>,
}

/// The ranking of a list that is not the service's yet.
pub(super) struct Coming {
    service: ServiceId,
    ranked: Box<Ranked>,
}

/// Changes that wait for a decision, which does not look at all of them one after the other while packets wait.
const CHANGED_MAX: usize = 16;

impl Ranked {
    /// For a list of so many destinations.
    pub fn blank(kind: SchedulerKind, len: usize) -> Box<Self> {
        Box::new(Self { ranking: Ranking::blank(kind, len), side: false, changed: ArrayVec::new() })
    }
}

impl Coming {
    fn rank(&mut self, state: &DestState, load: Load) {
        self.ranked.ranking.set(state.positions[usize::from(self.ranked.side)] as usize, load);
    }
}

impl Destinations {
    /// The service is about to have another list, which is ranked in `ranked`.
    pub fn begin_list(&mut self, service: ServiceId, mut ranked: Box<Ranked>) {
        debug_assert!(self.coming.is_none(), "one at a time");
        ranked.side = self.side(service).is_some_and(|side| !side);
        self.coming = Some(Coming { service, ranked });
    }

    /// A destination of the list that is about to be.
    pub fn enter_list(&mut self, id: DestId, position: u32) {
        let load = self.load(id);
        let Self { coming: Some(coming), states, .. } = self else { return };
        if let Some(state) = states.get_mut(id.index()) {
            state.positions[usize::from(coming.ranked.side)] = position;
            state.is_counted |= coming.ranked.ranking.follows_counts();
            coming.rank(state, load);
        }
    }

    /// Where the destination stands in the list that is about to be.
    pub fn coming_position(&self, id: DestId) -> Option<u32> {
        let (coming, state) = (self.coming.as_ref()?, self.get(id)?);
        let position = state.positions[usize::from(coming.ranked.side)];
        (position != NOWHERE && state.service == coming.service).then_some(position)
    }

    /// The list that was about to be is the service's, or, if none was, it has none any longer. What the old one leaves.
    pub fn change_list(&mut self, service: ServiceId) -> Option<Box<Ranked>> {
        if self.ranked.len() <= service.index() {
            self.ranked.resize_with(service.index() + 1, || None);
        }
        let mut new = self.coming.take().map(|coming| coming.ranked);
        let mut old = self.ranked[service.index()].take();
        match (&mut old, &mut new) {
            // what waits there is ranked with the next look, by its position in this list
            (Some(old), Some(new)) => std::mem::swap(&mut old.changed, &mut new.changed),
            (Some(old), None) => old.changed.take().into_iter().for_each(|id| self.wait_no_more(id)),
            _ => {}
        }
        self.ranked[service.index()] = new;
        old
    }

    /// A destination of the list that was the service's up to now.
    pub fn leave_list(&mut self, service: ServiceId, id: DestId) {
        let now = self.ranked.get(service.index()).and_then(Option::as_ref);
        let now = now.map(|ranked| (ranked.side, ranked.ranking.follows_counts()));
        // it may be another service's by now
        let state = self.states.get_mut(id.index()).filter(|state| state.service == service);
        let Some(state) = state else { return };
        match now {
            Some((side, follows_counts)) => {
                state.positions[usize::from(!side)] = NOWHERE;
                state.is_counted = follows_counts && state.positions[usize::from(side)] != NOWHERE;
            }
            None => (state.positions, state.is_counted) = ([NOWHERE; 2], false),
        }
    }

    fn side(&self, service: ServiceId) -> Option<bool> {
        self.ranked.get(service.index())?.as_ref().map(|ranked| ranked.side)
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
            let (service, positions) = (state.service, state.positions);
            self.note_changed(service, positions, id);
        }
    }

    fn note_changed(&mut self, service: ServiceId, positions: [u32; 2], id: DestId) {
        let Some(Some(ranked)) = self.ranked.get_mut(service.index()) else {
            self.wait_no_more(id);
            return self.rank_coming(service, id);
        };
        ranked.ranking.prefetch(positions[usize::from(ranked.side)] as usize);
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
            let Some(DestState { positions, is_changed, .. }) = state else { continue };
            *is_changed = false;
            let position = positions[usize::from(ranked.side)] as usize;
            ranked.ranking.set(position, self.load(id));
            self.rank_coming(service, id);
        }
        if let Some(of_service) = self.ranked.get_mut(service.index()) {
            *of_service = Some(ranked);
        }
    }

    /// The load of `id` has changed, which may be in the list that the service is about to have, too.
    #[inline]
    fn rank_coming(&mut self, service: ServiceId, id: DestId) {
        if self.coming.as_ref().is_some_and(|coming| coming.service == service) {
            let load = self.load(id);
            let Self { coming: Some(coming), states, .. } = self else { return };
            if let Some(state) = states.get(id.index()) {
                coming.rank(state, load);
            }
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

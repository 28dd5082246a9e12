//! Several workers: each goes by what all have.

use super::{DestState, Destinations};
use crate::dataplane::peers::{Board, Count, News, Peers};
use crate::model::{DestCounters, DestId, Time, WorkerId};
use crate::sched::{Loads, SchedulerKind};

impl Destinations {
    /// This is one of several workers from now on; before it has destinations.
    pub fn join(&mut self, board: &Board, worker: WorkerId) {
        debug_assert!(self.states.is_empty());
        self.peers = Some(Box::new(Peers::new(board, worker)));
    }

    /// This destination's service has this scheduler, and is strict or not.
    pub fn share(&mut self, id: DestId, kind: SchedulerKind, strict: bool) {
        let Self { states, peers: Some(peers), counters, .. } = self else { return };
        let Some(state) = states.get_mut(id.index()) else { return };
        state.is_asked = kind.asks_counts();
        if state.has_shared_counts() {
            peers.begin(id, count(&counters[id.index()], state), strict);
        }
    }

    /// The destination's count changes, which others go by, too.
    #[inline]
    pub(super) fn note(&mut self, id: DestId) {
        if let (Some(state), Some(peers)) = (self.states.get(id.index()), &mut self.peers)
            && state.has_shared_counts()
        {
            peers.touch(id);
        }
    }

    /// The same with other workers, who hear of it. What they are expected to get counts for a threshold.
    #[inline(never)]
    pub(super) fn counted_among_peers(&mut self, id: DestId, has_flipped: bool) {
        self.note(id);
        let Some(state) = self.states.get_mut(id.index()) else { return };
        if has_flipped {
            state.flagged_here = state.overloaded;
        }
        if state.has_shared_counts() {
            self.rank_again(id);
        }
    }

    /// Active and inactive connections with all workers.
    #[inline]
    fn everywhere(&self, id: DestId) -> [u32; 2] {
        let counters = self.counters(id);
        let own = [counters.active.get(), counters.inactive.get()];
        let others = self.peers.as_ref().map_or([0; 2], |peers| peers.expected(id, own));
        [0, 1].map(|kind| own[kind].saturating_add(others[kind]))
    }

    /// With the connections that others are expected to have got, which is no reason to set the flag.
    fn will_be_overloaded(&self, id: DestId) -> bool {
        let upper = self.get(id).map_or(0, |state| state.threshold_upper);
        upper != 0 && self.everywhere(id).into_iter().map(u64::from).sum::<u64>() >= upper.into()
    }

    /// Tells the other workers what has changed here, and hears what has there: some of it, between two bursts.
    #[inline]
    pub fn exchange(&mut self, now: Time) {
        if let Some(peers) = &mut self.peers
            && peers.is_due(now)
        {
            self.tell_and_hear();
        }
    }

    fn tell_and_hear(&mut self) {
        let Some(peers) = &mut self.peers else { return };
        let changed = peers.tell(|id| count(&self.counters[id.index()], &self.states[id.index()]));
        let heard = peers.hear();
        changed.into_iter().for_each(|id| self.rank_again(id));
        heard.into_iter().for_each(|news| self.heed(news));
    }

    /// A flag that another worker set or cleared is so here, too, unless the counts say otherwise.
    fn heed(&mut self, News { dest, flip }: News) {
        let Some(state) = self.states.get_mut(dest.index()) else { return };
        if state.threshold_upper != 0 {
            state.overloaded = flip.unwrap_or(state.overloaded);
            self.judge_more(dest);
            self.judge_less(dest);
        }
        self.rank_again(dest);
    }
}

fn count(counters: &DestCounters, state: &DestState) -> Count {
    Count { active: counters.active.get(), inactive: counters.inactive.get(), overloaded: state.flagged_here }
}

impl Loads for Destinations {
    #[inline]
    fn active(&self, dest: DestId) -> u32 {
        let own = self.counters(dest).active.get();
        if self.peers.is_some() { self.everywhere(dest)[0] } else { own }
    }
    #[inline]
    fn inactive(&self, dest: DestId) -> u32 {
        let own = self.counters(dest).inactive.get();
        if self.peers.is_some() { self.everywhere(dest)[1] } else { own }
    }
    #[inline]
    fn is_overloaded(&self, dest: DestId) -> bool {
        self.get(dest).is_some_and(|d| d.overloaded) || self.peers.is_some() && self.will_be_overloaded(dest)
    }
}

//! Locality-based least-connection with replication (`ip_vs_lblcr.c`): what goes to one destination address goes to
//! a set of destinations, which grows when its least loaded one is overloaded while another is half idle, and loses
//! its most loaded one when it has not changed for a while.

use super::cache::Cache;
use super::homes::Homes;
use super::lblc::{Ranking, should_spill};
use super::load::Load;
use super::{Candidate, Flow, Loads, Options, PlanError, Pool, Scheduler, Succession};
use crate::model::{DestId, Time};
use hashbrown::HashMap;

/// All sets of a service together; beyond that they do not grow, as in IPVS when memory is short. Far above what a
/// service needs (64 for each of the 16384 entries of a full cache), it bounds a worker's memory to 4 MiB of them.
const MEMBERS_MAX: usize = 1 << 20;

/// Destinations that left, of which the last weight is known. A bound for services whose pool changes for ever.
const DEPARTED_MAX: usize = 4096;

/// How long an entry may be idle, and a set unchanged.
#[derive(Debug)]
pub struct Plan {
    expiration_ns: u64,
    homes: Homes,
}

/// Which destinations an address went to.
#[derive(Debug, Default)]
pub struct Lblcr {
    cache: Cache<Set>,
    /// Of all sets.
    members: usize,
    /// Last weights of destinations that left the pool: IPVS still sees them when it shrinks a set. Who came back since is
    /// looked for in the pool first.
    departed: HashMap<DestId, u32>,
    shared: bool,
}

#[derive(Debug)]
struct Set {
    changed: Time,
    /// The kernel's list backwards: the one added last stands last, and is looked at first.
    members: Vec<DestId>,
}

impl Scheduler for Lblcr {
    const NAME: &'static str = "lblcr";
    type Plan = Plan;
    type Ranking = Ranking;

    fn plan(_: &Pool, options: Options) -> Result<Plan, PlanError> {
        Ok(Plan { expiration_ns: Time::from_s(options.lblcr_expiration_s.into()).0, homes: Homes::default() })
    }

    fn new(_: &Pool, _: &Plan) -> Self {
        Self::default()
    }

    fn update(&mut self, _: Option<&Succession>, _: &Plan) {}

    fn depart(&mut self, candidate: &Candidate) {
        if self.departed.len() == DEPARTED_MAX {
            self.departed.clear();
        }
        self.departed.insert(candidate.id, candidate.weight);
    }

    #[inline]
    fn schedule<L: Loads>(
        &mut self,
        pool: &Pool,
        plan: &Plan,
        ranking: &Ranking,
        loads: &L,
        flow: &Flow,
    ) -> Option<usize> {
        if self.shared {
            return self.schedule_as_one(pool, plan, ranking, loads, flow);
        }
        self.schedule_alone(pool, plan, ranking, loads, flow)
    }

    fn set_shared(&mut self, shared: bool) {
        self.shared = shared;
    }

    #[inline]
    fn tick(&mut self, plan: &Plan, now: Time) {
        let members = &mut self.members;
        self.cache.collect(now, plan.expiration_ns, |set| *members -= set.members.len());
    }
}

impl Lblcr {
    #[inline]
    fn schedule_alone<L: Loads>(
        &mut self,
        pool: &Pool,
        plan: &Plan,
        ranking: &Ranking,
        loads: &L,
        flow: &Flow,
    ) -> Option<usize> {
        self.tick(plan, flow.now);
        let Self { cache, members, departed, .. } = self;
        let Some(set) = cache.get(flow.destination, flow.now, |set| *members -= set.members.len()) else {
            return self.schedule_first(pool, ranking, flow);
        };
        let least = set.least(pool, loads);
        if set.members.len() > 1 && flow.now.since(set.changed) > plan.expiration_ns {
            *members -= usize::from(set.drop_most(pool, departed, loads, flow.now));
        }
        // the chosen one serves even when it was just dropped
        let is_good = |&i: &usize| !should_spill(ranking, loads, &pool.candidates()[i]);
        least.filter(is_good).or_else(|| {
            let chosen = ranking.0.first()?;
            if *members < MEMBERS_MAX {
                *members += usize::from(set.add(pool.candidates().get(chosen)?.id, flow.now));
            }
            Some(chosen)
        })
    }

    /// What other workers have made of the address's set counts as made here, and the other way round.
    #[inline(never)]
    fn schedule_as_one<L: Loads>(
        &mut self,
        pool: &Pool,
        plan: &Plan,
        ranking: &Ranking,
        loads: &L,
        flow: &Flow,
    ) -> Option<usize> {
        let published = plan.homes.of(flow.destination);
        if !published.is_empty() {
            self.follow(&published, flow);
        }
        let chosen = self.schedule_alone(pool, plan, ranking, loads, flow);
        let Self { cache, members, .. } = self;
        if let Some(set) = cache.get(flow.destination, flow.now, |set| *members -= set.members.len()) {
            plan.homes.publish(flow.destination, &published, &set.members);
        }
        chosen
    }

    /// Makes the set what it is with the other workers.
    fn follow(&mut self, published: &[DestId], flow: &Flow) {
        let Self { cache, members, .. } = self;
        let new = || Set { changed: flow.now, members: published.to_vec() };
        if let Some(set) = cache.get(flow.destination, flow.now, |set| *members -= set.members.len()) {
            if !set.is(published) {
                *members = *members - set.members.len() + published.len();
                *set = new();
            }
        } else if cache.put(flow.destination, flow.now, new()) {
            *members += published.len();
        }
    }

    /// Nothing is known of the address.
    fn schedule_first(&mut self, pool: &Pool, ranking: &Ranking, flow: &Flow) -> Option<usize> {
        let chosen = ranking.0.first()?;
        let set = Set { changed: flow.now, members: vec![pool.candidates().get(chosen)?.id] };
        if self.members < MEMBERS_MAX && self.cache.put(flow.destination, flow.now, set) {
            self.members += 1;
        }
        Some(chosen)
    }
}

impl Set {
    fn is(&self, members: &[DestId]) -> bool {
        self.members.len() == members.len() && members.iter().all(|dest| self.members.contains(dest))
    }

    /// The usable member with the least overhead / weight, as an index into the pool.
    fn least<L: Loads>(&self, pool: &Pool, loads: &L) -> Option<usize> {
        let present = self.members.iter().rev().filter_map(|&id| pool.position(id));
        let shares = present.map(|i| (i, pool.candidates()[i].load(loads)));
        let usable = shares.filter(|(_, load)| load.is_usable()).map(|(i, load)| (i, load.overhead_share()));
        usable.min_by(|(_, a), (_, b)| a.compare(*b)).map(|(i, _)| i)
    }

    /// Drops the member with the greatest overhead / weight; quiesced ones stay. True when there was one.
    fn drop_most<L: Loads>(&mut self, pool: &Pool, departed: &HashMap<DestId, u32>, loads: &L, now: Time) -> bool {
        let weight_of = |id| pool.get(id).map(|c| c.weight).or_else(|| departed.get(&id).copied()).unwrap_or(0);
        let shares = self.members.iter().enumerate().map(|(i, &id)| (i, id, weight_of(id)));
        let weighted = shares.filter(|&(_, _, weight)| weight > 0);
        let shares = weighted.map(|(i, id, weight)| (i, Load::of(id, weight, loads).overhead_share()));
        // max_by takes the last of equals: the one that IPVS looks at first
        let most = shares.max_by(|(_, a), (_, b)| a.compare(*b));
        if let Some((i, _)) = most {
            self.members.remove(i);
            self.changed = now;
        }
        most.is_some()
    }

    /// False when it is a member already.
    fn add(&mut self, dest: DestId, now: Time) -> bool {
        let is_new = !self.members.contains(&dest);
        if is_new {
            self.members.push(dest);
            self.changed = now;
        }
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sched::testing::*;
    use proptest::prelude::*;
    use std::net::IpAddr;

    #[test]
    fn a_set_grows_when_its_members_are_overloaded_and_another_is_half_idle() {
        let mut bench = Bench::<Lblcr>::new(&[2, 2]);
        assert_eq!(bench.pick_for(&flow_to(1)), Some(0));
        bench.loads.set(0, 3, 0);
        assert_eq!(bench.pick_for(&flow_to(1)), Some(1));
        bench.loads.set(0, 0, 0);
        bench.loads.set(1, 1, 0);
        assert_eq!(bench.pick_for(&flow_to(1)), Some(0), "both are members, the less loaded one serves");
    }

    #[test]
    fn a_set_that_did_not_change_loses_its_most_loaded_member() {
        let options = Options { lblcr_expiration_s: 10, ..Options::default() };
        let mut bench = Bench::<Lblcr>::with(&[2, 2], options);
        bench.pick_for(&flow_to(1));
        bench.loads.set(0, 3, 0);
        bench.pick_for(&flow_to(1));
        assert_eq!(bench.state.members, 2);
        bench.loads.set(1, 1, 0);
        bench.pick_for(&at(10, flow_to(1)));
        assert_eq!(bench.state.members, 2, "not before more than the expiration time has passed");
        bench.pick_for(&at(11, flow_to(1)));
        assert_eq!(bench.state.members, 1);
        bench.loads.set(0, 0, 0);
        assert_eq!(bench.pick_for(&at(12, flow_to(1))), Some(1), "the idle one is not a member any more");
    }

    #[test]
    fn members_are_counted_down_when_entries_are_forgotten() {
        let options = Options { lblcr_expiration_s: 1, ..Options::default() };
        let mut bench = Bench::<Lblcr>::with(&[1], options);
        (0..500).for_each(|i| assert_eq!(bench.pick_for(&flow_to(i)), Some(0)));
        assert_eq!((bench.state.members, bench.state.cache.len()), (500, 500));
        (0..100).for_each(|_| bench.state.tick(&bench.plan, Time::from_s(31 * 60)));
        assert_eq!((bench.state.members, bench.state.cache.len()), (0, 0));
    }

    /// A map of sets, and the rules of the kernel's documentation. The list's head stands first.
    struct Sets {
        cache: std::collections::HashMap<IpAddr, (u64, Vec<DestId>)>,
        departed: Vec<Server>,
        expiration_ns: u64,
    }

    impl Oracle for Sets {
        fn changed(&mut self, old: &[Server], new: &[Server]) {
            self.departed.extend(old.iter().filter(|s| !new.iter().any(|n| n.id == s.id)).cloned());
            self.departed.retain(|s| !new.iter().any(|n| n.id == s.id));
        }

        fn pick(&mut self, list: &[Server], flow: &Flow) -> Option<DestId> {
            let now = flow.now.0;
            let Some((changed, set)) = self.cache.get_mut(&flow.destination) else {
                let chosen = least_of(list)?;
                self.cache.insert(flow.destination, (now, vec![chosen]));
                return Some(chosen);
            };
            let find = |id: &DestId| list.iter().find(|s| s.id == *id);
            let present: Vec<Server> = set.iter().filter_map(find).cloned().collect();
            let least = least_of(&present);
            if set.len() > 1 && now > *changed + self.expiration_ns {
                let all = set.iter().filter_map(|id| list.iter().chain(&self.departed).find(|s| s.id == *id));
                let weighted: Vec<&Server> = all.filter(|s| s.weight > 0).collect();
                let is_most =
                    |s: &Server| weighted.iter().all(|o| s.overhead() * o.scale() >= o.overhead() * s.scale());
                if let Some(most) = weighted.iter().find(|s| is_most(s)).map(|s| s.id) {
                    set.retain(|id| *id != most);
                    *changed = now;
                }
            }
            if let Some(id) = least.filter(|id| !is_hot(find(id).expect("present"), list)) {
                return Some(id);
            }
            let chosen = least_of(list)?;
            if !set.contains(&chosen) {
                set.insert(0, chosen);
                *changed = now;
            }
            Some(chosen)
        }
    }

    proptest! {
        #[test]
        fn every_decision_is_the_naive_oracles_through_churn(events in churn(), expiration_s in 0..20u32) {
            let expiration_ns = Time::from_s(expiration_s.into()).0;
            let oracle = Sets { cache: Default::default(), departed: Vec::new(), expiration_ns };
            let options = Options { lblcr_expiration_s: expiration_s, ..Options::default() };
            replay::<Lblcr, _>(oracle, options, &events)?;
        }
    }
}

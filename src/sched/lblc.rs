//! Locality-based least-connection (`ip_vs_lblc.c`): what goes to one destination address goes to one destination,
//! until that is overloaded while another one is half idle. For caches behind a transparent proxy.

use super::cache::Cache;
use super::homes::Homes;
use super::load::{Load, Share};
use super::ranking::{Measure, Standings};
use super::wlc::Wlc;
use super::{Candidate, Flow, Loads, Options, PlanError, Pool, Scheduler, Succession};
use crate::model::{DestId, Time};

/// How long an entry may be idle.
#[derive(Debug)]
pub struct Plan {
    expiration_ns: u64,
    homes: Homes,
}

/// For whom nothing is known: wlc. And how idle the idlest is; thresholds do not matter for that.
pub type Ranking = (Standings<Wlc>, Standings<Idleness>);

/// Active connections for the weight.
#[derive(Debug)]
pub struct Idleness;

impl Measure for Idleness {
    #[inline(always)]
    fn share(load: Load) -> Option<Share> {
        (load.weight > 0).then_some(Share { load: load.active.into(), weight: load.weight })
    }
}

/// Locality gives way when this destination has more active connections than its weight says, while some other one
/// has less than half of its own.
#[inline]
pub fn should_spill<L: Loads>(ranking: &Ranking, loads: &L, candidate: &Candidate) -> bool {
    loads.active(candidate.id) > candidate.weight && ranking.1.is_least_below_half()
}

/// Which destination an address went to.
#[derive(Debug, Default)]
pub struct Lblc {
    cache: Cache<DestId>,
    shared: bool,
}

impl Scheduler for Lblc {
    const NAME: &'static str = "lblc";
    type Plan = Plan;
    type Ranking = Ranking;

    fn plan(_: &Pool, options: Options) -> Result<Plan, PlanError> {
        Ok(Plan { expiration_ns: Time::from_s(options.lblc_expiration_s.into()).0, homes: Homes::default() })
    }

    fn new(_: &Pool, _: &Plan) -> Self {
        Self::default()
    }

    /// Entries of destinations that left stay: they are valid again when the destination comes back.
    fn update(&mut self, _: Option<&Succession>, _: &Plan) {}

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
        self.cache.collect(now, plan.expiration_ns, drop);
    }
}

impl Lblc {
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
        let cached = self.cache.get(flow.destination, flow.now, drop).and_then(|dest| pool.position(*dest));
        // a hit ignores thresholds
        let is_valid = |&i: &usize| {
            let candidate = &pool.candidates()[i];
            candidate.weight > 0 && !should_spill(ranking, loads, candidate)
        };
        cached.filter(is_valid).or_else(|| {
            let chosen = ranking.0.first()?;
            // when there is no room the decision stands, unremembered
            self.cache.put(flow.destination, flow.now, pool.candidates().get(chosen)?.id);
            Some(chosen)
        })
    }

    /// What another worker has decided counts as decided here.
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
        if let Some(dest) = published.first() {
            self.cache.put(flow.destination, flow.now, *dest);
        }
        let chosen = self.schedule_alone(pool, plan, ranking, loads, flow)?;
        plan.homes.publish(flow.destination, &published, &[pool.candidates().get(chosen)?.id]);
        Some(chosen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sched::testing::*;
    use proptest::prelude::*;
    use std::collections::HashMap;
    use std::net::IpAddr;

    #[test]
    fn an_address_stays_with_its_destination_though_others_are_less_loaded() {
        let mut bench = Bench::<Lblc>::new(&[4, 4]);
        assert_eq!(bench.pick_for(&flow_to(1)), Some(0));
        bench.loads.set(0, 4, 9);
        assert_eq!(bench.pick_for(&flow_to(1)), Some(0));
        assert_eq!(bench.pick_for(&flow_to(2)), Some(1));
        bench.loads.set(0, 5, 9);
        assert_eq!(bench.pick_for(&flow_to(1)), Some(1), "more active ones than its weight, and the other idle");
    }

    #[test]
    fn a_hit_ignores_the_threshold_and_a_miss_does_not() {
        let mut bench = Bench::<Lblc>::new(&[1, 1]);
        assert_eq!(bench.pick_for(&flow_to(1)), Some(0));
        bench.loads.overload(0);
        assert_eq!(bench.pick_for(&flow_to(1)), Some(0));
        assert_eq!(bench.pick_for(&flow_to(2)), Some(1));
    }

    #[test]
    fn an_idle_entry_is_forgotten_after_the_expiration_time() {
        let options = Options { lblc_expiration_s: 60, ..Options::default() };
        let mut bench = Bench::<Lblc>::with(&[1, 1], options);
        assert_eq!(bench.pick_for(&flow_to(1)), Some(0));
        bench.loads.set(0, 0, 1);
        // full checks are those of minutes 30 and 60
        assert_eq!(bench.pick_for(&at(30 * 60 - 1, flow_to(1))), Some(0), "idle for long, but not checked yet");
        assert_eq!(bench.pick_for(&at(59 * 60 + 1, flow_to(1))), Some(0), "idle for a second when it was checked");
        assert_eq!(bench.pick_for(&at(60 * 60 + 30, flow_to(1))), Some(0), "for 59 seconds");
        // the checks of minutes 30 and 60 were still waiting for calls to do their shares
        (0..64).for_each(|_| bench.state.tick(&bench.plan, Time::from_s(89 * 60)));
        assert_eq!(bench.pick_for(&at(90 * 60, flow_to(1))), Some(1));
    }

    /// A map, and the rule of the kernel's documentation.
    #[derive(Default)]
    pub struct Map {
        cache: HashMap<IpAddr, DestId>,
    }

    impl Oracle for Map {
        fn pick(&mut self, list: &[Server], flow: &Flow) -> Option<DestId> {
            let hit = self.cache.get(&flow.destination).and_then(|id| list.iter().find(|s| s.id == *id));
            if let Some(s) = hit.filter(|s| s.weight > 0 && !is_hot(s, list)) {
                return Some(s.id);
            }
            let chosen = least_of(list)?;
            self.cache.insert(flow.destination, chosen);
            Some(chosen)
        }
    }

    proptest! {
        #[test]
        fn every_decision_is_the_naive_oracles_through_churn(events in churn()) {
            replay::<Lblc, _>(Map::default(), Options::default(), &events)?;
        }
    }
}

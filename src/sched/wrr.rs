//! Weighted round robin (`ip_vs_wrr.c`): rounds over the list with a bar that starts at the greatest weight and is
//! lowered by the weights' greatest common divisor after each; a destination is taken when its weight reaches the bar.
//!
//! IPVS lowers the bar step by step. Here it falls at once to where somebody reaches it, so that a decision's cost
//! does not depend on the weights: with weights 1 and 2^31 - 1, the latter overloaded, the steps would be 2^31.

use super::load::greatest_common_divisor;
use super::ranking::Weights;
use super::{Flow, Loads, Options, Place, PlanError, Pool, Scheduler, Succession, Turns};

/// How the bar moves.
#[derive(Debug)]
pub struct Plan {
    /// Greatest common divisor of the positive weights, at least 1.
    step: u32,
    /// Where the bar starts: the greatest weight, less `step - 1`, so that the last round's bar is 1. It is always a
    /// multiple of `step` and 1. 0 when no weight is positive.
    top: u32,
    /// Where adding the destinations one after the other leaves the bar, which is mostly not the top.
    first: u32,
    turns: Turns,
}

impl Plan {
    fn of(pool: &Pool) -> Self {
        let (mut plan, mut divisor, mut greatest) = (Self { step: 1, top: 0, first: 0, turns: Turns::default() }, 0, 0);
        for candidate in pool.candidates().iter().rev() {
            divisor = greatest_common_divisor(divisor, candidate.weight);
            greatest = greatest.max(candidate.weight);
            plan.step = divisor.max(1);
            plan.top = greatest.saturating_sub(plan.step - 1);
            plan.first = plan.after_change(plan.first);
        }
        plan
    }

    /// Where a change of a destination leaves the bar: about where it was.
    fn after_change(&self, bar: u32) -> u32 {
        if bar > self.top || bar == 0 {
            self.top
        } else if self.step > 1 {
            bar / self.step * self.step + 1
        } else {
            bar
        }
    }
}

/// The pointer to the last destination used, and the bar.
#[derive(Debug)]
pub struct Wrr {
    /// One more than its index. 0 is the list's head, which stands before the first destination.
    after: usize,
    bar: u32,
}

impl Scheduler for Wrr {
    const NAME: &'static str = "wrr";
    type Plan = Plan;
    type Ranking = Weights;

    fn plan(pool: &Pool, _: Options) -> Result<Plan, PlanError> {
        Ok(Plan::of(pool))
    }

    fn new(_: &Pool, plan: &Plan) -> Self {
        Self { after: 0, bar: plan.first }
    }

    fn take_over(_: &Pool, plan: &Plan) -> Self {
        Self { after: 0, bar: plan.top }
    }

    /// Any change of a destination sends the pointer to the head of the list.
    fn update(&mut self, _: Option<&Succession>, plan: &Plan) {
        *self = Self { after: 0, bar: plan.after_change(self.bar) };
    }

    #[inline]
    fn schedule<L: Loads>(&mut self, _: &Pool, plan: &Plan, ranking: &Weights, _: &L, _: &Flow) -> Option<usize> {
        if plan.top == 0 {
            return None;
        }
        let ahead = ranking.first_of_weight(self.after, self.bar);
        let chosen = ahead.or_else(|| self.next_round(plan, ranking));
        if let Some(i) = chosen {
            self.after = i + 1;
        }
        chosen
    }

    fn turns(plan: &Plan) -> Option<&Turns> {
        Some(&plan.turns)
    }

    fn place(&self) -> Place {
        Place { after: self.after as u32, bar: self.bar }
    }

    fn go_to(&mut self, place: Place) {
        (self.after, self.bar) = (place.after as usize, place.bar);
    }
}

impl Wrr {
    /// The list's end: lowers the bar, from the bottom back to the top, until somebody reaches it.
    fn next_round(&mut self, plan: &Plan, ranking: &Weights) -> Option<usize> {
        let Some(greatest) = ranking.greatest() else {
            self.give_up(plan);
            return None;
        };
        let lowered = if self.bar > plan.step { self.bar - plan.step } else { plan.top };
        // bars are multiples of the step and 1, weights are multiples of the step; but the weight of an edit that is
        // just coming in may be here before its plan
        self.bar = lowered.min(greatest.saturating_sub(plan.step - 1)).max(1);
        ranking.first_of_weight(0, self.bar)
    }

    /// What IPVS leaves behind when it has gone through all bars and found nobody: after a first round at the lowest
    /// bar it went on up to where it had begun; otherwise to the list's end.
    fn give_up(&mut self, plan: &Plan) {
        if self.after == 0 || self.bar > plan.step {
            *self = Self { after: 0, bar: plan.top };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::DestId;
    use crate::sched::testing::*;
    use proptest::prelude::*;

    #[test]
    fn weights_4_3_2_give_the_recorded_cycle() {
        let mut bench = Bench::<Wrr>::of_added(&[(11, 4), (12, 3), (13, 2)]);
        // adding the first left the bar at 1, where it stayed: everybody, then bars 4, 3 and 2
        let cycle = [13, 12, 11, 11, 12, 11, 13, 12, 11];
        assert_eq!([bench.picks(9), bench.picks(9)], [cycle, cycle]);
    }

    #[test]
    fn a_scheduler_that_takes_over_begins_at_the_top() {
        let mut bench = Bench::<Wrr>::new(&[2, 3, 4]);
        assert_eq!(bench.state.bar, 1);
        bench.state = Wrr::take_over(&bench.pool, &bench.plan);
        assert_eq!(bench.picks(9), [2, 1, 2, 0, 1, 2, 0, 1, 2]);
    }

    proptest! {
        #[test]
        fn a_new_service_is_as_if_its_destinations_had_been_added_one_by_one(weights in prop::collection::vec(0..50u32, 0..9)) {
            let ids: Vec<u32> = (0..).take(weights.len()).collect();
            let added = Bench::<Wrr>::of_added(&ids.iter().copied().zip(weights.iter().copied()).collect::<Vec<_>>());
            let at_once = Bench::<Wrr>::new(&weights.iter().rev().copied().collect::<Vec<_>>());
            prop_assert_eq!(added.state.bar, at_once.state.bar);
        }
    }

    #[test]
    fn weights_4_and_2_give_a_a_b() {
        let mut bench = Bench::<Wrr>::new(&[4, 2]);
        bench.state = Wrr::take_over(&bench.pool, &bench.plan);
        assert_eq!(bench.picks(6), [0, 0, 1, 0, 0, 1]);
    }

    #[test]
    fn an_overloaded_giant_does_not_make_a_decision_long() {
        let mut bench = Bench::<Wrr>::new(&[1, i32::MAX as u32, 1]);
        bench.loads.overload(1);
        assert_eq!((0..4).map(|_| bench.pick()).collect::<Vec<_>>(), [Some(0), Some(2), Some(0), Some(2)]);
    }

    /// All places that a decision may look at, written out: (bar, index) pairs, bar after bar.
    #[derive(Default)]
    struct AllPlaces {
        after: usize,
        bar: u32,
        top: u32,
        step: u32,
    }

    impl AllPlaces {
        fn measure(&mut self, list: &[Server]) {
            let weights: Vec<u32> = list.iter().map(|s| s.weight).filter(|&w| w > 0).collect();
            let greatest = weights.iter().copied().max().unwrap_or(0);
            self.step = (1..=greatest).rev().find(|d| weights.iter().all(|w| w % d == 0)).unwrap_or(1);
            self.top = greatest - (self.step - 1);
        }

        fn bars_from(&self, bar: u32) -> impl Iterator<Item = u32> {
            (1..=bar).rev().step_by(self.step as usize)
        }

        /// The places, and the pointer and bar that are left when nobody is found.
        fn places(&self, count: usize) -> (Vec<(u32, usize)>, (usize, u32)) {
            let rest = (self.after..count).map(|i| (self.bar, i));
            let began_at_the_bottom = self.after > 0 && self.bar == 1;
            if began_at_the_bottom {
                let is_ahead = |&(bar, i): &(u32, usize)| bar > 1 || i < self.after;
                let again = self.bars_from(self.top).flat_map(|bar| (0..count).map(move |i| (bar, i)));
                (rest.chain(again.filter(is_ahead)).collect(), (self.after, 1))
            } else {
                let lower = self.bars_from(self.bar).skip(1).flat_map(|bar| (0..count).map(move |i| (bar, i)));
                (rest.chain(lower).collect(), (0, self.top))
            }
        }
    }

    impl Oracle for AllPlaces {
        fn start(&mut self, list: &[Server]) {
            self.measure(list);
            self.bar = self.top;
        }

        fn changed(&mut self, _: &[Server], new: &[Server]) {
            self.after = 0;
            self.measure(new);
            let is_outside = self.bar == 0 || self.bar > self.top;
            let nearest = if self.step > 1 { self.bar - self.bar % self.step + 1 } else { self.bar };
            self.bar = if is_outside { self.top } else { nearest };
        }

        fn pick(&mut self, list: &[Server], _: &Flow) -> Option<DestId> {
            if self.top == 0 {
                return None;
            }
            let (places, left_behind) = self.places(list.len());
            let takes = |&(bar, i): &(u32, usize)| list[i].weight >= bar && !list[i].overloaded;
            let found = places.into_iter().find(takes);
            (self.after, self.bar) = found.map_or(left_behind, |(bar, i)| (i + 1, bar));
            found.map(|(_, i)| list[i].id)
        }
    }

    proptest! {
        #[test]
        fn every_decision_is_the_naive_oracles_through_churn(events in churn()) {
            replay::<Wrr, _>(AllPlaces::default(), Options::default(), &events)?;
        }
    }
}

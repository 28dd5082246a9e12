//! Weighted round robin (`ip_vs_wrr.c`): rounds over the list with a bar that starts at the greatest weight and is
//! lowered by the weights' greatest common divisor after each; a destination is taken when its weight reaches the bar.
//!
//! IPVS lowers the bar step by step. Here it falls at once to where somebody reaches it, so that a decision's cost
//! does not depend on the weights: with weights 1 and 2^31 - 1, the latter overloaded, the steps would be 2^31.

use super::{Flow, Loads, Options, PlanError, Pool, Scheduler};

/// How the bar moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Greatest common divisor of the positive weights, at least 1.
    step: u32,
    /// Where the bar starts: the greatest weight, less `step - 1`, so that the last round's bar is 1. It is always a
    /// multiple of `step` and 1. 0 when no weight is positive.
    top: u32,
}

impl Plan {
    fn of(divisor: u32, greatest: u32) -> Self {
        let step = divisor.max(1);
        Self { step, top: greatest.saturating_sub(step - 1) }
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

    fn plan(pool: &Pool, _: Options) -> Result<Plan, PlanError> {
        let weights = || pool.candidates().iter().map(|c| c.weight);
        Ok(Plan::of(weights().fold(0, greatest_common_divisor), weights().max().unwrap_or(0)))
    }

    /// The bar is where adding the destinations left it, which is mostly not the top.
    fn new(pool: &Pool, _: &Plan) -> Self {
        let (mut wrr, mut divisor, mut greatest) = (Self { after: 0, bar: 0 }, 0, 0);
        for candidate in pool.candidates().iter().rev() {
            divisor = greatest_common_divisor(divisor, candidate.weight);
            greatest = greatest.max(candidate.weight);
            wrr.restart(&Plan::of(divisor, greatest));
        }
        wrr
    }

    fn take_over(_: &Pool, plan: &Plan) -> Self {
        Self { after: 0, bar: plan.top }
    }

    fn update(&mut self, _: &Pool, _: &Pool, plan: &Plan) {
        self.restart(plan);
    }

    #[inline]
    fn schedule<L: Loads>(&mut self, pool: &Pool, plan: &Plan, loads: &L, _: &Flow) -> Option<usize> {
        if plan.top == 0 {
            return None;
        }
        let chosen = self.find(pool, loads, self.after).or_else(|| self.next_round(pool, plan, loads));
        if let Some(i) = chosen {
            self.after = i + 1;
        }
        chosen
    }
}

impl Wrr {
    /// Any change of a destination sends the pointer to the head of the list; the bar stays about where it was.
    fn restart(&mut self, plan: &Plan) {
        self.after = 0;
        if self.bar > plan.top || self.bar == 0 {
            self.bar = plan.top;
        } else if plan.step > 1 {
            self.bar = self.bar / plan.step * plan.step + 1;
        }
    }

    /// The first at or behind `from` that reaches the bar.
    fn find<L: Loads>(&self, pool: &Pool, loads: &L, from: usize) -> Option<usize> {
        (from..pool.len()).find(|&i| pool.candidates()[i].weight >= self.bar && pool.is_usable(i, loads))
    }

    /// The list's end: lowers the bar, from the bottom back to the top, until somebody reaches it.
    fn next_round<L: Loads>(&mut self, pool: &Pool, plan: &Plan, loads: &L) -> Option<usize> {
        let usable = pool.candidates().iter().filter(|c| c.is_usable(loads));
        let Some(greatest) = usable.map(|c| c.weight).max() else {
            self.give_up(plan);
            return None;
        };
        let lowered = if self.bar > plan.step { self.bar - plan.step } else { plan.top };
        // bars are multiples of the step and 1, weights are multiples of the step
        self.bar = lowered.min(greatest - (plan.step - 1));
        self.find(pool, loads, 0)
    }

    /// What IPVS leaves behind when it has gone through all bars and found nobody: after a first round at the lowest
    /// bar it went on up to where it had begun; otherwise to the list's end.
    fn give_up(&mut self, plan: &Plan) {
        if self.after == 0 || self.bar > plan.step {
            *self = Self { after: 0, bar: plan.top };
        }
    }
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
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

    /// The bar lowered step by step, as IPVS does, with its rules of when to stop.
    #[derive(Default)]
    struct StepByStep {
        /// Pointer, as an index; `None` is the list's head.
        current: Option<usize>,
        bar: i64,
        top: i64,
        step: i64,
    }

    impl StepByStep {
        fn measure(&mut self, list: &[Server]) {
            let weights: Vec<i64> = list.iter().map(|s| i64::from(s.weight)).filter(|&w| w > 0).collect();
            let greatest = weights.iter().copied().max().unwrap_or(0);
            let divides = |d: &i64| weights.iter().all(|w| w % d == 0);
            self.step = (1..=greatest).rev().find(divides).unwrap_or(1);
            self.top = greatest - (self.step - 1);
        }
    }

    impl Oracle for StepByStep {
        fn start(&mut self, list: &[Server]) {
            self.measure(list);
            self.bar = self.top;
        }

        fn changed(&mut self, _: &[Server], new: &[Server]) {
            self.current = None;
            self.measure(new);
            if self.bar > self.top || self.bar == 0 {
                self.bar = self.top;
            } else if self.step > 1 {
                self.bar = (self.bar / self.step) * self.step + 1;
            }
        }

        fn pick(&mut self, list: &[Server], _: &Flow) -> Option<DestId> {
            if self.top == 0 {
                return None;
            }
            let begun_at = self.current;
            let (mut at, mut stop_at) = (begun_at, None);
            let (mut is_last_pass, mut has_restarted) = (false, false);
            loop {
                let first = at.map_or(0, |i| i + 1);
                for (i, server) in list.iter().enumerate().skip(first) {
                    if !server.overloaded && i64::from(server.weight) >= self.bar {
                        self.current = Some(i);
                        return Some(server.id);
                    }
                    if stop_at == Some(i) {
                        self.current = Some(i);
                        return None;
                    }
                }
                at = None;
                self.bar -= self.step;
                if self.bar <= 0 {
                    self.bar = self.top;
                    if is_last_pass || begun_at.is_none() {
                        self.current = None;
                        return None;
                    }
                    has_restarted = true;
                }
                is_last_pass = self.bar <= self.step;
                if is_last_pass && has_restarted && begun_at.is_some() {
                    stop_at = begun_at;
                }
            }
        }
    }

    proptest! {
        #[test]
        fn every_decision_is_the_naive_oracles_through_churn(events in churn()) {
            replay::<Wrr, _>(StepByStep::default(), Options::default(), &events)?;
        }
    }
}

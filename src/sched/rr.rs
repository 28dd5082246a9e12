//! Round robin (`ip_vs_rr.c`): the destination after the last one, in list order; weights matter only as zero or not.

use super::ranking::Weights;
use super::{Flow, Loads, Options, Place, PlanError, Pool, Scheduler, Succession, Turns};

/// The pointer to the last destination used.
#[derive(Debug, Default)]
pub struct Rr {
    /// One more than its index. 0 is the list's head, which stands before the first destination.
    after: usize,
}

impl Scheduler for Rr {
    const NAME: &'static str = "rr";
    type Plan = Turns;
    type Ranking = Weights;

    fn plan(_: &Pool, _: Options) -> Result<Turns, PlanError> {
        Ok(Turns::default())
    }

    fn new(_: &Pool, _: &Turns) -> Self {
        Self::default()
    }

    /// The pointer stays with its destination; when that is gone it steps back to the nearest one that is not.
    fn update(&mut self, succession: Option<&Succession>, _: &Turns) {
        self.after = succession.map_or(self.after, |succession| succession.place(self.after));
    }

    #[inline]
    fn schedule<L: Loads>(&mut self, _: &Pool, _: &Turns, ranking: &Weights, _: &L, _: &Flow) -> Option<usize> {
        let first_from = |position| ranking.first_of_weight(position, 1);
        let chosen = first_from(self.after).or_else(|| first_from(0))?;
        self.after = chosen + 1;
        Some(chosen)
    }

    fn turns(plan: &Turns) -> Option<&Turns> {
        Some(plan)
    }

    fn place(&self) -> Place {
        Place { after: self.after as u32, bar: 0 }
    }

    fn go_to(&mut self, place: Place) {
        self.after = place.after as usize;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::DestId;
    use crate::sched::testing::*;
    use proptest::prelude::*;

    #[test]
    fn starts_with_the_destination_added_last_and_goes_backwards() {
        let mut bench = Bench::<Rr>::of_added(&[(11, 1), (12, 1), (13, 1)]);
        assert_eq!(bench.picks(5), [13, 12, 11, 13, 12]);
    }

    #[test]
    fn the_pointer_steps_back_when_its_destination_is_deleted() {
        let mut bench = Bench::<Rr>::of_added(&[(11, 1), (12, 1), (13, 1), (14, 1)]);
        assert_eq!(bench.picks(2), [14, 13]);
        bench.delete(13);
        assert_eq!(bench.picks(3), [12, 11, 14]);
        bench.delete(14);
        assert_eq!(bench.picks(1), [12], "from the head of the list");
    }

    #[test]
    fn a_destination_added_at_the_head_waits_for_the_next_round() {
        let mut bench = Bench::<Rr>::of_added(&[(11, 1), (12, 1)]);
        assert_eq!(bench.picks(1), [12]);
        bench.add(13, 1);
        assert_eq!(bench.picks(3), [11, 13, 12]);
    }

    /// The list and the pointer as a person would keep them on paper.
    #[derive(Default)]
    struct Paper {
        last: Option<DestId>,
    }

    impl Oracle for Paper {
        fn changed(&mut self, old: &[Server], new: &[Server]) {
            let is_gone = |id| !new.iter().any(|s| s.id == id);
            if let Some(id) = self.last.filter(|&id| is_gone(id)) {
                let was = old.iter().position(|s| s.id == id).expect("it was in the list");
                self.last = was.checked_sub(1).map(|before| old[before].id);
            }
        }

        fn pick(&mut self, list: &[Server], _: &Flow) -> Option<DestId> {
            let start = self.last.map_or(0, |id| list.iter().position(|s| s.id == id).expect("it is in the list") + 1);
            let round = list[start..].iter().chain(&list[..start]);
            let chosen = round.into_iter().find(|s| s.weight > 0 && !s.overloaded)?.id;
            self.last = Some(chosen);
            Some(chosen)
        }
    }

    proptest! {
        #[test]
        fn every_decision_is_the_naive_oracles_through_churn(events in churn()) {
            replay::<Rr, _>(Paper::default(), Options::default(), &events)?;
        }
    }
}

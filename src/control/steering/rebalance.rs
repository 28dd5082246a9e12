//! What `pollux workers rebalance` asks for, as a table of slots.

use crate::control::api::Rebalance;
use crate::model::{SLOTS, Slot, SlotTable, WorkerId};

/// The table that is wished for, by what holds now.
pub fn rebalanced(table: &SlotTable, workers: u16, wish: &Rebalance) -> Result<SlotTable, String> {
    let exists = |worker: &u16| match *worker < workers {
        true => Ok(WorkerId(*worker)),
        false => Err(format!("there is no worker {worker}; name one from 0 to {}", workers - 1)),
    };
    let from = wish.from.as_ref().map(exists).transpose()?;
    let to = wish.to.as_ref().map(exists).transpose()?;
    let slots = wish.slots.iter().map(|number| slot(*number)).collect::<Result<Vec<_>, _>>()?;
    let mut next = table.clone();
    match (from, to) {
        (None, None) if slots.is_empty() => return Ok(SlotTable::even(workers)),
        (None, None) => return Err("say which worker they go to: --to WORKER".to_owned()),
        (None, Some(_)) if slots.is_empty() => {
            return Err("say what goes there: --slots 0-31, or --from WORKER".to_owned());
        }
        (Some(from), Some(to)) if from == to => return Err(format!("worker {to} has them already")),
        _ => {}
    }
    for slot in chosen(table, &slots, from) {
        let to = to.or_else(|| least_loaded(&next, workers, from)).ok_or("there is no other worker to take them")?;
        next.assign(slot, to);
    }
    Ok(next)
}

fn slot(number: u16) -> Result<Slot, String> {
    Slot::new(number.into()).ok_or_else(|| format!("there is no slot {number}; name some from 0 to {}", SLOTS - 1))
}

/// Of those that were named, or of all, the ones that are `from`'s.
fn chosen(table: &SlotTable, named: &[Slot], from: Option<WorkerId>) -> Vec<Slot> {
    let all = || (0..SLOTS).filter_map(Slot::new).collect();
    let among: Vec<Slot> = if named.is_empty() { all() } else { named.to_vec() };
    among.into_iter().filter(|slot| from.is_none_or(|from| table.worker_of(*slot) == from)).collect()
}

fn least_loaded(table: &SlotTable, workers: u16, but: Option<WorkerId>) -> Option<WorkerId> {
    let others = (0..workers).map(WorkerId).filter(|worker| Some(*worker) != but);
    others.min_by_key(|worker| table.count_of(*worker))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(table: &SlotTable, workers: u16) -> Vec<usize> {
        (0..workers).map(|worker| table.count_of(WorkerId(worker))).collect()
    }

    #[test]
    fn every_slot_can_be_taken_off_a_worker_and_given_back() {
        let even = SlotTable::even(4);
        let off = rebalanced(&even, 4, &Rebalance { from: Some(1), ..Rebalance::default() }).unwrap();
        assert_eq!(counts(&off, 4), [43, 0, 43, 42]);
        let kept = (0..SLOTS).filter(|slot| even.workers()[*slot] != WorkerId(1));
        assert!(kept.into_iter().all(|slot| off.workers()[slot] == even.workers()[slot]), "others stay");
        let back = rebalanced(&off, 4, &Rebalance::default()).unwrap();
        assert_eq!(back, even);
    }

    #[test]
    fn named_slots_go_where_they_are_told_to() {
        let wish = Rebalance { slots: vec![0, 5, 127], to: Some(1), ..Rebalance::default() };
        let table = rebalanced(&SlotTable::even(2), 2, &wish).unwrap();
        assert_eq!([0, 5, 127, 2].map(|slot| table.workers()[slot].0), [1, 1, 1, 0]);
        assert_eq!(counts(&table, 2), [63, 65]);
    }

    #[test]
    fn wishes_that_make_no_sense_are_refused_with_what_would() {
        let refused = |wish: Rebalance| rebalanced(&SlotTable::even(2), 2, &wish).unwrap_err();
        assert!(refused(Rebalance { to: Some(2), ..Rebalance::default() }).contains("from 0 to 1"));
        assert!(refused(Rebalance { to: Some(1), ..Rebalance::default() }).contains("--from WORKER"));
        assert!(refused(Rebalance { slots: vec![1], ..Rebalance::default() }).contains("--to WORKER"));
        let slots = Rebalance { slots: vec![128], to: Some(1), ..Rebalance::default() };
        assert!(refused(slots).contains("from 0 to 127"));
        let same = Rebalance { from: Some(1), to: Some(1), ..Rebalance::default() };
        assert!(refused(same).contains("already"));
        let alone = rebalanced(&SlotTable::even(1), 1, &Rebalance { from: Some(0), ..Rebalance::default() });
        assert!(alone.unwrap_err().contains("no other worker"));
    }
}

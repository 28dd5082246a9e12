//! How a packet finds its owner, stage by stage.

use crate::dataplane::steer::owner::{Owners, Stage};
use crate::dataplane::steer::peers::Mark;
use crate::dataplane::steer::{Arrival, Verdict, verdict};
use crate::model::WorkerId;
use proptest::prelude::*;

fn stage() -> impl Strategy<Value = Stage> {
    prop_oneof![Just(Stage::Settled), Just(Stage::Announced), Just(Stage::Moving)]
}

/// Where a packet that no table knows ends, and over how many rings it went; `stages` are the workers'.
fn follow(stages: &[Stage], before: usize, now: usize, first: usize) -> (Option<usize>, usize) {
    let (mut at, mut arrival) = (first, Arrival::Fresh);
    for hops in 0.. {
        assert!(hops <= 4, "it goes round and round");
        let now_of = |stage| if stage == Stage::Settled { before } else { now };
        let owners = Owners { before: WorkerId(before as u16), now: WorkerId(now_of(stages[at]) as u16) };
        match verdict(WorkerId(at as u16), stages[at], owners, arrival) {
            Verdict::Ours => return (Some(at), hops),
            Verdict::Stray => return (None, hops),
            Verdict::Goes(to, mark) => {
                assert_ne!(usize::from(to.0), at, "nobody hands over to itself");
                arrival = mark.arrival(WorkerId(at as u16));
                at = to.index();
            }
        }
    }
    unreachable!()
}

#[test]
fn a_packet_from_a_port_goes_to_its_owner_in_one_hop_or_none() {
    for first in 0..3 {
        assert_eq!(follow(&[Stage::Settled; 3], 1, 2, first), (Some(1), usize::from(first != 1)));
        assert_eq!(follow(&[Stage::Announced; 3], 1, 2, first), (Some(1), usize::from(first != 1)));
    }
}

#[test]
fn while_connections_move_the_former_owner_is_asked_first() {
    let mark = |me, arrival| {
        let owners = Owners { before: WorkerId(1), now: WorkerId(2) };
        verdict(WorkerId(me), Stage::Moving, owners, arrival)
    };
    assert_eq!(mark(0, Arrival::Fresh), Verdict::Goes(WorkerId(2), Mark::Handed));
    assert_eq!(mark(2, Arrival::Handed), Verdict::Goes(WorkerId(1), Mark::Question));
    assert_eq!(mark(1, Arrival::Question(WorkerId(2))), Verdict::Goes(WorkerId(2), Mark::Answered));
    assert_eq!(mark(2, Arrival::Answered), Verdict::Ours);
    assert_eq!(mark(1, Arrival::Fresh), Verdict::Goes(WorkerId(2), Mark::Answered), "it has just looked itself");
    assert_eq!(mark(0, Arrival::Handed), Verdict::Stray);
}

proptest! {
    /// All have the announcement before one moves, and nobody is done before all move.
    #[test]
    fn a_packet_of_no_connection_ends_at_one_of_its_owners_whatever_the_stages(
        is_late in any::<bool>(), mixed in any::<[bool; 4]>(), owners in (0..4_usize, 0..4_usize), first in 0..4_usize,
    ) {
        let (early, late) = if is_late { (Stage::Announced, Stage::Moving) } else { (Stage::Settled, Stage::Announced) };
        let stages = mixed.map(|is_later| if is_later { late } else { early });
        let (before, now) = owners;
        let (end, _) = follow(&stages, before, now, first);
        let former_decides = stages[before] != Stage::Moving;
        prop_assert_eq!(end, Some(if former_decides { before } else { now }), "{:?}", stages);
    }

    #[test]
    fn verdicts_never_hand_over_to_oneself(
        me in 0..3_u16, before in 0..3_u16, now in 0..3_u16, stage in stage(), asker in 0..3_u16, kind in 0..4,
    ) {
        prop_assume!(asker != me);
        let before = if stage == Stage::Settled { now } else { before };
        let arrival = match kind {
            0 => Arrival::Fresh,
            1 => Arrival::Handed,
            2 => Arrival::Question(WorkerId(asker)),
            _ => Arrival::Answered,
        };
        let owners = Owners { before: WorkerId(before), now: WorkerId(now) };
        if let Verdict::Goes(to, _) = verdict(WorkerId(me), stage, owners, arrival) {
            prop_assert_ne!(to, WorkerId(me));
        }
    }
}

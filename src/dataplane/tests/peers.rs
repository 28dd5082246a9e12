//! Directors of several workers schedule as one.

use super::lab::*;
use super::packets::*;
use crate::dataplane::peers::Board;
use crate::model::{DestId, Forward, Protocol, WorkerId};

/// Two workers with one service, and its servers.
fn two(scheduler: &str) -> ([Lab; 2], Vec<DestId>) {
    let board = Board::new(2);
    let mut ids = vec![];
    let labs = [0, 1].map(|number| {
        let mut lab = Lab::new();
        lab.director.join(&board, WorkerId(number));
        let service = lab.service(Protocol::Tcp, VIP, scheduler);
        ids = ["10.0.0.1:80", "10.0.0.2:80"].map(|server| lab.add(service, server, Forward::Nat, 1)).to_vec();
        lab.publish();
        lab.quiet();
        lab
    });
    let [a, b] = labs;
    // with one plan, as the control thread publishes it
    let mut labs = [a, b];
    let shared = labs[0].draft.services.clone();
    for lab in &mut labs {
        lab.draft.services = shared.clone();
        lab.changes.services.push(crate::model::ServiceId(0));
        lab.publish();
    }
    (labs, ids)
}

fn a_millisecond_passes(labs: &mut [Lab]) {
    for _ in 0..2 {
        labs.iter_mut().for_each(|lab| lab.wait_ms(1));
    }
}

#[test]
fn a_worker_goes_by_the_connections_of_the_other_within_a_millisecond() {
    let (mut labs, ids) = two("wlc");
    assert_eq!(labs[0].connect(1), at("10.0.0.2:80"));
    a_millisecond_passes(&mut labs);
    assert_eq!(labs[1].connect(2), at("10.0.0.1:80"), "and not to the head of the list, where its own count is 0");
    a_millisecond_passes(&mut labs);
    assert_eq!([labs[0].connect(3), labs[0].connect(4)], [at("10.0.0.2:80"), at("10.0.0.1:80")]);
    let counts = |lab: &Lab| [lab.load(ids[0]).0, lab.load(ids[1]).0];
    assert_eq!(
        (counts(&labs[0]), counts(&labs[1])),
        ([1, 2], [1, 0]),
        "each counts its own, for the control thread to add up"
    );
}

#[test]
fn turns_of_round_robin_go_on_from_worker_to_worker() {
    let (mut labs, _) = two("rr");
    let mut servers = vec![];
    for (worker, client) in [(0, 1), (1, 2), (1, 3), (0, 4), (0, 5), (1, 6)] {
        servers.push(labs[worker].connect(client));
        a_millisecond_passes(&mut labs);
    }
    let (first, second) = (at("10.0.0.2:80"), at("10.0.0.1:80"));
    assert_eq!(servers, [first, second, first, second, first, second]);
}

#[test]
fn a_threshold_counts_the_connections_of_all_workers() {
    let (mut labs, ids) = two("rr");
    for lab in &mut labs {
        lab.edit(ids[1], |d| d.threshold_upper = 2);
    }
    let shared = labs[0].draft.services.clone();
    for lab in &mut labs {
        lab.draft.services = shared.clone();
        lab.publish();
    }
    for (worker, client) in [(0, 1), (0, 2), (1, 3), (1, 4)] {
        labs[worker].connect(client);
        a_millisecond_passes(&mut labs);
    }
    let full = [labs[0].load(ids[1]).0, labs[1].load(ids[1]).0];
    assert_eq!(full, [1, 1]);
    let more: Vec<_> = (5..9).map(|client| labs[usize::from(client % 2)].connect(client)).collect();
    assert!(more.iter().all(|server| *server == at("10.0.0.1:80")), "{more:?}");
}

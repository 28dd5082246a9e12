//! What is shown of destinations' counters: without what `ipvsadm -Z` has set aside, and with the rates that the
//! kernel's estimator would have (ip_vs_est.c); and what services have counted with destinations they no longer have. The
//! counters themselves are the workers' and only grow, also when a destination's number goes to another one.

use super::api::views::{DestCounts, Rates};
use crate::dataplane::snapshot::Snapshot;
use crate::model::{DestId, Destination, ServiceId, Time};
use hashbrown::HashMap;

/// The kernel's estimator looks every 2 seconds.
const ESTIMATION_NS: u64 = 2_000_000_000;
/// Parts of the destinations that are looked at one after the other: of a hundred thousand each takes half a millisecond,
/// in which a command waits.
const PARTS: usize = 16;
/// Of as many destinations in a row each part has every 16th group: memory is gone through in order.
const GROUP: usize = 64;

#[derive(Clone, Debug)]
pub struct Counts {
    /// By their number.
    destinations: Vec<Known>,
    /// What services have counted with destinations they no longer have.
    former: HashMap<ServiceId, Totals>,
    /// When each part of the destinations was looked at last.
    estimated: [Time; PARTS],
}

impl Default for Counts {
    fn default() -> Self {
        // one after the other from the beginning
        let estimated = std::array::from_fn(|part| Time(part as u64 * ESTIMATION_NS / PARTS as u64));
        Self { destinations: Vec::new(), former: HashMap::new(), estimated }
    }
}

/// What only grows of a destination's counts, in the order of [`totals`].
type Totals = [u64; 5];

/// A destination; one that nobody knows is all zeros.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// Whose it is, while it is known: whether it serves or is in the trash.
    service: Option<ServiceId>,
    /// In the trash: what of its counts is among the service's former ones.
    left: Option<Totals>,
    /// What is set aside.
    zeroed: Totals,
    estimate: Option<Estimate>,
}

/// Averages in fixed point: 10 bits of fraction for connections and packets, 5 for bytes.
#[derive(Clone, Copy, Debug)]
struct Estimate {
    last: Totals,
    averages: [i64; 5],
}

/// By how much a difference in 2 seconds is shifted to be a rate in fixed point.
const SHIFTS: [u32; 5] = [9, 9, 9, 4, 4];
/// An average takes a quarter of each difference.
const DECAY: u32 = 2;

impl Counts {
    /// `counts` as they are shown.
    pub fn shown(&self, id: DestId, counts: DestCounts) -> DestCounts {
        let known = self.destinations.get(id.index()).copied().unwrap_or_default();
        let rates = known.estimate.as_ref().map(Estimate::rates).unwrap_or_default();
        DestCounts { rates, ..with_totals(counts, known.counted(&counts)) }
    }

    /// What a service has counted with destinations it no longer has.
    pub fn former(&self, service: ServiceId) -> DestCounts {
        with_totals(DestCounts::default(), self.former.get(&service).copied().unwrap_or_default())
    }

    /// A new snapshot is about to go out: what its destinations have counted goes with them, and comes back with them from the trash.
    pub fn follow(&mut self, snapshot: &Snapshot, counts: &dyn Fn(DestId) -> DestCounts) {
        for id in &snapshot.changes.destinations {
            self.follow_destination(*id, snapshot.destinations.get(id.index()).map(|d| &**d), counts);
        }
        let is_gone = |id: &ServiceId| snapshot.services.get(id.index()).is_none();
        if snapshot.changes.services.iter().any(is_gone) {
            self.former.retain(|service, _| !is_gone(service));
            // those that come back from the trash to another service begin anew (__ip_vs_update_dest)
            let orphans = self.destinations.iter_mut().filter(|known| known.service.as_ref().is_some_and(is_gone));
            orphans.for_each(|known| *known = Known::default());
        }
    }

    fn follow_destination(&mut self, id: DestId, is: Option<&Destination>, counts: &dyn Fn(DestId) -> DestCounts) {
        if self.destinations.len() <= id.index() {
            self.destinations.resize(id.index() + 1, Known::default());
        }
        let known = &mut self.destinations[id.index()];
        let is_same = is.is_some_and(|is| known.service == Some(is.service));
        if let Some(service) = known.service {
            let available = is_same && is.is_some_and(|is| is.available);
            if known.left.is_some() == available {
                let former = self.former.entry(service).or_default();
                known.moves(former, available, &counts(id));
            }
        }
        if !is_same {
            let fresh =
                |is: &Destination| Known { service: Some(is.service), zeroed: totals(&counts(id)), ..Known::default() };
            *known = is.map(fresh).unwrap_or_default();
        }
    }

    /// Sets what a service has counted with former destinations aside.
    pub fn zero_former(&mut self, service: ServiceId) {
        self.former.remove(&service);
        for known in self.destinations.iter_mut().filter(|known| known.service == Some(service)) {
            known.left = known.left.map(|_| Totals::default());
        }
    }

    /// Sets what has been counted aside.
    pub fn zero(&mut self, ids: impl Iterator<Item = DestId>, counts: &dyn Fn(DestId) -> DestCounts) {
        for id in ids {
            let Some(known) = self.destinations.get_mut(id.index()) else { continue };
            known.zeroed = totals(&counts(id));
            if let Some(estimate) = &mut known.estimate {
                estimate.averages = [0; 5];
            }
        }
    }

    /// Brings rates up to date, at most of one part of the destinations; to be called ten times a second.
    pub fn tick(&mut self, now: Time, counts: &dyn Fn(DestId) -> DestCounts) {
        let is_due = |part: &usize| now.since(self.estimated[*part]) >= ESTIMATION_NS;
        let Some(due) = (0..PARTS).find(is_due) else { return };
        self.estimated[due] = now;
        for (group, destinations) in self.destinations.chunks_mut(GROUP).enumerate().skip(due).step_by(PARTS) {
            let ids = (group * GROUP) as u32..;
            for (known, id) in destinations.iter_mut().zip(ids).filter(|(known, _)| known.service.is_some()) {
                let counted = totals(&counts(DestId(id)));
                known.estimate.get_or_insert(Estimate { last: counted, averages: [0; 5] }).update(counted);
            }
        }
    }
}

impl Known {
    /// Of `counts`, what was not set aside.
    fn counted(&self, counts: &DestCounts) -> Totals {
        let (all, zeroed) = (totals(counts), self.zeroed);
        std::array::from_fn(|index| all[index].wrapping_sub(zeroed[index]))
    }

    /// To the trash, or back from it.
    fn moves(&mut self, former: &mut Totals, available: bool, counts: &DestCounts) {
        match self.left.take().filter(|_| available) {
            Some(left) => add(former, &left, u64::wrapping_sub),
            None => {
                let left = self.counted(counts);
                add(former, &left, u64::wrapping_add);
                self.left = Some(left);
            }
        }
    }
}

impl Estimate {
    fn update(&mut self, new: Totals) {
        for index in 0..self.averages.len() {
            let rate = (new[index].wrapping_sub(self.last[index]) << SHIFTS[index]).cast_signed();
            self.averages[index] += (rate - self.averages[index]) >> DECAY;
        }
        self.last = new;
    }

    fn rates(&self) -> Rates {
        let shown = |index: usize| {
            let bits = SHIFTS[index] + 1;
            ((self.averages[index] + (1 << (bits - 1)) - 1) >> bits).max(0).cast_unsigned()
        };
        Rates {
            connections: shown(0),
            in_packets: shown(1),
            out_packets: shown(2),
            in_bytes: shown(3),
            out_bytes: shown(4),
        }
    }
}

fn add(sum: &mut Totals, more: &Totals, plus: impl Fn(u64, u64) -> u64) {
    sum.iter_mut().zip(more).for_each(|(sum, more)| *sum = plus(*sum, *more));
}

fn totals(counts: &DestCounts) -> Totals {
    [counts.connections, counts.in_packets, counts.out_packets, counts.in_bytes, counts.out_bytes]
}

fn with_totals(counts: DestCounts, totals: Totals) -> DestCounts {
    let [connections, in_packets, out_packets, in_bytes, out_bytes] = totals;
    DestCounts { connections, in_packets, out_packets, in_bytes, out_bytes, ..counts }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataplane::snapshot::Changes;
    use crate::model::Forward;
    use std::sync::Arc;

    const ID: DestId = DestId(8);

    fn counted(connections: u64) -> DestCounts {
        DestCounts { active: 5, connections, in_bytes: connections * 100, ..DestCounts::default() }
    }

    #[test]
    fn what_was_set_aside_is_not_shown_and_what_is_there_now_still_is() {
        let mut counts = Counts::default();
        counts.follow(&snapshot(Some(true)), &|_| counted(0));
        counts.zero([ID].into_iter(), &|_| counted(7));
        let shown = counts.shown(ID, counted(10));
        assert_eq!((shown.connections, shown.in_bytes, shown.active), (3, 300, 5));
        assert_eq!(counts.shown(DestId(9), counted(10)).connections, 10);
    }

    /// One service, one destination of number 3 or none.
    fn snapshot(available: Option<bool>) -> Snapshot {
        let service = ServiceId(0);
        let (threshold_upper, threshold_lower, weight, port) = (0, 0, 1, 80);
        let destination = |available| Destination {
            id: ID,
            service,
            address: [10, 0, 0, 1].into(),
            port,
            forward: Forward::Dr,
            weight,
            threshold_upper,
            threshold_lower,
            available,
            timeouts: Default::default(),
            departures: Default::default(),
        };
        let mut snapshot = Snapshot::default();
        snapshot.destinations.set(ID.index(), available.map(destination).map(Arc::new));
        snapshot.changes = Arc::new(Changes { destinations: vec![ID], ..Changes::default() });
        snapshot
    }

    #[test]
    fn what_a_removed_destination_counted_stays_its_services_and_comes_back_with_it() {
        let mut counts = Counts::default();
        let seen = |counts: &Counts, raw| {
            (counts.shown(ID, counted(raw)).connections, counts.former(ServiceId(0)).connections)
        };
        counts.follow(&snapshot(Some(true)), &|_| counted(7));
        assert_eq!(seen(&counts, 10), (3, 0), "its number was another's before");
        counts.follow(&snapshot(Some(false)), &|_| counted(10));
        assert_eq!(seen(&counts, 10).1, 3);
        counts.follow(&snapshot(Some(true)), &|_| counted(10));
        assert_eq!(seen(&counts, 11), (4, 0));
        counts.follow(&snapshot(None), &|_| counted(11));
        assert_eq!(counts.former(ServiceId(0)).connections, 4);
        counts.follow(&snapshot(Some(true)), &|_| counted(11));
        assert_eq!(seen(&counts, 12), (1, 4));
        counts.zero_former(ServiceId(0));
        assert_eq!(seen(&counts, 12), (1, 0));
    }

    #[test]
    fn a_service_that_was_removed_and_comes_again_begins_with_nothing_and_so_do_its_destinations() {
        let mut counts = Counts::default();
        let mut removed = snapshot(Some(false));
        let changes = Changes { services: vec![ServiceId(0)], ..(*removed.changes).clone() };
        removed.changes = Arc::new(changes);
        for (from, to) in [(0, 10), (15, 20)] {
            counts.follow(&snapshot(Some(true)), &|_| counted(from));
            assert_eq!(counts.shown(ID, counted(to)).connections, to - from);
            counts.follow(&removed, &|_| counted(to));
            assert_eq!(counts.former(ServiceId(0)).connections, 0);
        }
    }

    #[test]
    fn a_steady_rate_is_approached_and_then_kept() {
        let mut counts = Counts::default();
        counts.follow(&snapshot(Some(true)), &|_| counted(0));
        let rate_after = |seconds: std::ops::Range<u64>, counts: &mut Counts| {
            seconds.for_each(|s| counts.tick(Time::from_s(s), &|_| counted(s * 1000)));
            counts.shown(ID, counted(0)).rates
        };
        assert_eq!(rate_after(2..6, &mut counts).connections, 250, "a quarter of the way after one difference");
        let steady = rate_after(6..100, &mut counts);
        assert_eq!((steady.connections, steady.in_bytes), (1000, 100_000));
        counts.zero([ID].into_iter(), &|_| counted(0));
        assert_eq!(counts.shown(ID, counted(0)).rates, Rates::default());
    }
}

//! What is shown of destinations' counters: without what `ipvsadm -Z` has set aside, and with the rates that the
//! kernel's estimator would have (ip_vs_est.c); and what services have counted with destinations they no longer have. The
//! counters themselves are the workers' and only grow, also when a destination's number goes to another one.

use super::api::views::{DestCounts, Rates};
use crate::dataplane::snapshot::Snapshot;
use crate::model::{DestId, ServiceId, Time};
use hashbrown::HashMap;

/// The kernel's estimator looks every 2 seconds.
const ESTIMATION_NS: u64 = 2_000_000_000;
/// Parts of the destinations that are looked at one after the other: of a hundred thousand each takes a millisecond, in
/// which a command waits.
const PARTS: usize = 8;

#[derive(Clone, Debug)]
pub struct Counts {
    zeroed: HashMap<DestId, DestCounts>,
    /// Of each destination: whose it is, and whether it serves or is in the trash.
    places: HashMap<DestId, Place>,
    /// What services have counted with destinations they no longer have.
    former: HashMap<ServiceId, DestCounts>,
    estimates: HashMap<DestId, Estimate>,
    /// When each part of them was looked at last.
    estimated: [Time; PARTS],
}

impl Default for Counts {
    fn default() -> Self {
        // one after the other from the beginning
        let estimated = std::array::from_fn(|part| Time(part as u64 * ESTIMATION_NS / PARTS as u64));
        let (zeroed, places, former, estimates) = Default::default();
        Self { zeroed, places, former, estimates, estimated }
    }
}

#[derive(Clone, Copy, Debug)]
struct Place {
    service: ServiceId,
    /// In the trash: what of its counts is among the service's former ones.
    left: Option<DestCounts>,
}

/// Averages in fixed point: 10 bits of fraction for connections and packets, 5 for bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Estimate {
    last: DestCounts,
    averages: [i64; 5],
}

/// By how much a difference in 2 seconds is shifted to be a rate in fixed point.
const SHIFTS: [u32; 5] = [9, 9, 9, 4, 4];
/// An average takes a quarter of each difference.
const DECAY: u32 = 2;

impl Counts {
    /// `counts` as they are shown.
    pub fn shown(&self, id: DestId, counts: DestCounts) -> DestCounts {
        let zero = self.zeroed.get(&id).copied().unwrap_or_default();
        let rates = self.estimates.get(&id).map(Estimate::rates).unwrap_or_default();
        DestCounts {
            connections: counts.connections.wrapping_sub(zero.connections),
            in_packets: counts.in_packets.wrapping_sub(zero.in_packets),
            out_packets: counts.out_packets.wrapping_sub(zero.out_packets),
            in_bytes: counts.in_bytes.wrapping_sub(zero.in_bytes),
            out_bytes: counts.out_bytes.wrapping_sub(zero.out_bytes),
            rates,
            ..counts
        }
    }

    /// What a service has counted with destinations it no longer has.
    pub fn former(&self, service: ServiceId) -> DestCounts {
        self.former.get(&service).copied().unwrap_or_default()
    }

    /// A new snapshot is about to go out: what its destinations have counted goes with them, and comes back with them from the trash.
    pub fn follow(&mut self, snapshot: &Snapshot, counts: &dyn Fn(DestId) -> DestCounts) {
        for id in &snapshot.changes.services {
            if snapshot.services.get(id.index()).is_none() {
                self.former.remove(id);
            }
        }
        for id in &snapshot.changes.destinations {
            let is = snapshot.destinations.get(id.index()).map(|d| (d.service, d.available));
            let was = self.places.get(id).copied();
            match (was, is) {
                (Some(place), Some((service, available))) if place.service == service => {
                    self.moved(*id, place, available, counts);
                }
                (Some(place), _) => self.left(*id, place, counts),
                (None, _) => {}
            }
            if let (None, Some((service, _))) = (self.places.get(id), is) {
                self.places.insert(*id, Place { service, left: None });
                self.zeroed.insert(*id, counts(*id));
            }
        }
    }

    fn moved(&mut self, id: DestId, place: Place, available: bool, counts: &dyn Fn(DestId) -> DestCounts) {
        let service = place.service;
        match (place.left, available) {
            (None, false) => {
                let left = self.shown(id, counts(id));
                add(self.former.entry(service).or_default(), &left, u64::wrapping_add);
                self.places.insert(id, Place { service, left: Some(left) });
            }
            (Some(left), true) => {
                add(self.former.entry(service).or_default(), &left, u64::wrapping_sub);
                self.places.insert(id, Place { service, left: None });
            }
            _ => {}
        }
    }

    /// For good.
    fn left(&mut self, id: DestId, place: Place, counts: &dyn Fn(DestId) -> DestCounts) {
        self.moved(id, place, false, counts);
        self.places.remove(&id);
        self.zeroed.remove(&id);
        self.estimates.remove(&id);
    }

    /// Sets what a service has counted with former destinations aside.
    pub fn zero_former(&mut self, service: ServiceId) {
        self.former.remove(&service);
        for place in self.places.values_mut().filter(|place| place.service == service) {
            place.left = place.left.map(|_| DestCounts::default());
        }
    }

    /// Sets what has been counted aside.
    pub fn zero(&mut self, ids: impl Iterator<Item = DestId>, counts: &dyn Fn(DestId) -> DestCounts) {
        for id in ids {
            self.zeroed.insert(id, counts(id));
            if let Some(estimate) = self.estimates.get_mut(&id) {
                estimate.averages = [0; 5];
            }
        }
    }

    /// Brings rates up to date, at most of one part of the destinations; to be called several times a second.
    pub fn tick(&mut self, now: Time, ids: impl Iterator<Item = DestId>, counts: &dyn Fn(DestId) -> DestCounts) {
        let is_due = |part: &usize| now.since(self.estimated[*part]) >= ESTIMATION_NS;
        let Some(due) = (0..PARTS).find(is_due) else { return };
        self.estimated[due] = now;
        for id in ids.filter(|id| id.index() % PARTS == due) {
            let counts = counts(id);
            self.estimates.entry(id).or_insert(Estimate { last: counts, averages: [0; 5] }).update(counts);
        }
    }
}

impl Estimate {
    fn update(&mut self, counts: DestCounts) {
        let (new, old) = (totals(&counts), totals(&self.last));
        for index in 0..self.averages.len() {
            let rate = (new[index].wrapping_sub(old[index]) << SHIFTS[index]).cast_signed();
            self.averages[index] += (rate - self.averages[index]) >> DECAY;
        }
        self.last = counts;
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

/// What only grows, of `more` to `sum`, or from it.
fn add(sum: &mut DestCounts, more: &DestCounts, plus: impl Fn(u64, u64) -> u64) {
    sum.connections = plus(sum.connections, more.connections);
    sum.in_packets = plus(sum.in_packets, more.in_packets);
    sum.out_packets = plus(sum.out_packets, more.out_packets);
    sum.in_bytes = plus(sum.in_bytes, more.in_bytes);
    sum.out_bytes = plus(sum.out_bytes, more.out_bytes);
}

fn totals(counts: &DestCounts) -> [u64; 5] {
    [counts.connections, counts.in_packets, counts.out_packets, counts.in_bytes, counts.out_bytes]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataplane::snapshot::Changes;
    use crate::model::{Destination, Forward};
    use std::sync::Arc;

    const ID: DestId = DestId(8);

    fn counted(connections: u64) -> DestCounts {
        DestCounts { active: 5, connections, in_bytes: connections * 100, ..DestCounts::default() }
    }

    #[test]
    fn what_was_set_aside_is_not_shown_and_what_is_there_now_still_is() {
        let mut counts = Counts::default();
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
    fn a_steady_rate_is_approached_and_then_kept() {
        let mut counts = Counts::default();
        let rate_after = |seconds: std::ops::Range<u64>, counts: &mut Counts| {
            seconds.for_each(|s| counts.tick(Time::from_s(s), [ID].into_iter(), &|_| counted(s * 1000)));
            counts.shown(ID, counted(0)).rates
        };
        assert_eq!(rate_after(2..6, &mut counts).connections, 250, "a quarter of the way after one difference");
        let steady = rate_after(6..100, &mut counts);
        assert_eq!((steady.connections, steady.in_bytes), (1000, 100_000));
        counts.zero([ID].into_iter(), &|_| counted(0));
        assert_eq!(counts.shown(ID, counted(0)).rates, Rates::default());
    }
}

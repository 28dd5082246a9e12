//! What is shown of destinations' counters: without what `ipvsadm -Z` has set aside, and with the rates that the
//! kernel's estimator would have (ip_vs_est.c). The counters themselves are the workers' and only grow.

use super::api::views::{DestCounts, Rates};
use crate::model::{DestId, Time};
use hashbrown::HashMap;

/// The kernel's estimator looks every 2 seconds.
const ESTIMATION_NS: u64 = 2_000_000_000;

#[derive(Clone, Debug, Default)]
pub struct Counts {
    zeroed: HashMap<DestId, DestCounts>,
    estimates: HashMap<DestId, Estimate>,
    estimated: Time,
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

    /// Sets what has been counted aside.
    pub fn zero(&mut self, ids: impl Iterator<Item = DestId>, counts: &dyn Fn(DestId) -> DestCounts) {
        for id in ids {
            self.zeroed.insert(id, counts(id));
            if let Some(estimate) = self.estimates.get_mut(&id) {
                estimate.averages = [0; 5];
            }
        }
    }

    /// Forgets destinations that are gone, and brings rates up to date; to be called every second or so.
    pub fn tick(&mut self, now: Time, ids: impl Iterator<Item = DestId>, counts: &dyn Fn(DestId) -> DestCounts) {
        if now.since(self.estimated) < ESTIMATION_NS {
            return;
        }
        self.estimated = now;
        let before = std::mem::take(&mut self.estimates);
        let zeroed = std::mem::take(&mut self.zeroed);
        for id in ids {
            let counts = counts(id);
            let mut estimate = before.get(&id).copied().unwrap_or(Estimate { last: counts, averages: [0; 5] });
            estimate.update(counts);
            self.estimates.insert(id, estimate);
            if let Some(zero) = zeroed.get(&id) {
                self.zeroed.insert(id, *zero);
            }
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

fn totals(counts: &DestCounts) -> [u64; 5] {
    [counts.connections, counts.in_packets, counts.out_packets, counts.in_bytes, counts.out_bytes]
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: DestId = DestId(3);

    fn counted(connections: u64) -> DestCounts {
        DestCounts { active: 5, connections, in_bytes: connections * 100, ..DestCounts::default() }
    }

    #[test]
    fn what_was_set_aside_is_not_shown_and_what_is_there_now_still_is() {
        let mut counts = Counts::default();
        counts.zero([ID].into_iter(), &|_| counted(7));
        let shown = counts.shown(ID, counted(10));
        assert_eq!((shown.connections, shown.in_bytes, shown.active), (3, 300, 5));
        assert_eq!(counts.shown(DestId(4), counted(10)).connections, 10);
        counts.tick(Time::from_s(10), std::iter::empty(), &counted_never);
        assert_eq!(counts.shown(ID, counted(10)).connections, 10, "a destination that is gone is forgotten");
    }

    fn counted_never(_: DestId) -> DestCounts {
        panic!("nothing was asked for")
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

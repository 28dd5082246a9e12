//! Source hashing (`ip_vs_sh.c`): 256 buckets, filled from the list in turns of a destination's weight; the client's
//! address (and port, with sh-port) says which.

use super::hash::{fold, hash_32};
use super::{Flow, Loads, Options, PlanError, Pool, Scheduler, Succession};

/// IPVS's CONFIG_IP_VS_SH_TAB_BITS. Of a larger pool the destinations behind the 256th get no client.
const BITS: u32 = 8;
const BUCKETS: usize = 1 << BITS;
const _: () = assert!(BUCKETS - 1 <= u8::MAX as usize, "a bucket holds an index below BUCKETS in a byte");

/// The buckets. Made anew at every change of a destination.
#[derive(Debug)]
pub struct Plan {
    /// Indices into the pool; nothing when it is empty.
    buckets: Option<Box<[u8; BUCKETS]>>,
    port: bool,
    fallback: bool,
}

/// Decides by the buckets alone and remembers nothing.
#[derive(Debug)]
pub struct Sh;

impl Scheduler for Sh {
    const NAME: &'static str = "sh";
    type Plan = Plan;
    type Ranking = ();

    fn plan(pool: &Pool, options: Options) -> Result<Plan, PlanError> {
        Ok(Plan { buckets: fill(pool), port: options.port, fallback: options.fallback })
    }

    fn new(_: &Pool, _: &Plan) -> Self {
        Self
    }

    fn update(&mut self, _: Option<&Succession>, _: &Plan) {}

    #[inline]
    fn schedule<L: Loads>(&mut self, pool: &Pool, plan: &Plan, _: &(), loads: &L, flow: &Flow) -> Option<usize> {
        let buckets = plan.buckets.as_deref()?;
        let port = if plan.port { u32::from(flow.client_port) } else { 0 };
        let home = hash_32(fold(flow.client).wrapping_add(port), BITS) as usize;
        let is_usable = |&i: &usize| pool.is_usable(i, loads);
        Some(usize::from(buckets[home])).filter(is_usable).or_else(|| match plan.fallback {
            // IPVS adds the home bucket twice, so the walk begins at its double
            true => (0..BUCKETS).map(|offset| usize::from(buckets[(2 * home + offset) % BUCKETS])).find(is_usable),
            false => None,
        })
    }
}

/// Round after round over the list; a quiesced destination still owns one bucket a round.
fn fill(pool: &Pool) -> Option<Box<[u8; BUCKETS]>> {
    let turns = pool.candidates().iter().enumerate().cycle();
    let slots = turns.flat_map(|(i, c)| std::iter::repeat_n(i as u8, c.weight.clamp(1, BUCKETS as u32) as usize));
    let slots: Vec<u8> = slots.take(BUCKETS).collect();
    slots.into_boxed_slice().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::DestId;
    use crate::sched::testing::*;
    use proptest::prelude::*;
    use std::net::IpAddr;

    #[test]
    fn an_empty_pool_serves_nobody() {
        assert_eq!(Bench::<Sh>::new(&[]).pick(), None);
    }

    #[test]
    fn more_destinations_than_buckets_leave_the_last_ones_without_clients() {
        let mut bench = Bench::<Sh>::new(&[1; 300]);
        let picks: Vec<_> = (0..5000).filter_map(|client| bench.pick_for(&flow_from(client))).collect();
        assert_eq!((picks.len(), picks.iter().max()), (5000, Some(&255)));
    }

    /// Buckets by the book: one list pointer, one count.
    struct ByTheBook {
        buckets: Vec<DestId>,
        options: Options,
    }

    impl ByTheBook {
        fn bucket_of(&self, flow: &Flow) -> usize {
            let folded = match flow.client {
                IpAddr::V4(a) => u32::from_be_bytes(a.octets()),
                IpAddr::V6(a) => {
                    let words = a.octets();
                    words.chunks(4).fold(0, |x, w| x ^ u32::from_be_bytes([w[0], w[1], w[2], w[3]]))
                }
            };
            let port = if self.options.port { flow.client_port } else { 0 };
            let product = u64::from(folded.wrapping_add(u32::from(port))) * 0x61C8_8647;
            ((product & 0xffff_ffff) >> 24) as usize
        }
    }

    impl Oracle for ByTheBook {
        fn start(&mut self, list: &[Server]) {
            self.buckets.clear();
            let (mut at, mut count) = (0, 0);
            while !list.is_empty() && self.buckets.len() < 256 {
                self.buckets.push(list[at].id);
                count += 1;
                if count >= list[at].weight {
                    (at, count) = ((at + 1) % list.len(), 0);
                }
            }
        }

        fn changed(&mut self, _: &[Server], new: &[Server]) {
            self.start(new);
        }

        fn pick(&mut self, list: &[Server], flow: &Flow) -> Option<DestId> {
            let take = |bucket: usize| {
                let id = *self.buckets.get(bucket)?;
                list.iter().find(|s| s.id == id && s.weight > 0 && !s.overloaded).map(|s| s.id)
            };
            let home = self.bucket_of(flow);
            let walk = (0..256).map(|offset| ((offset + home) % 256 + home) % 256);
            take(home).or_else(|| walk.filter(|_| self.options.fallback).find_map(take))
        }
    }

    proptest! {
        #[test]
        fn every_decision_is_the_naive_oracles_through_churn(events in churn(), port: bool, fallback: bool) {
            let options = Options { port, fallback, ..Options::default() };
            replay::<Sh, _>(ByTheBook { buckets: Vec::new(), options }, options, &events)?;
        }
    }
}

//! Destination hashing (`ip_vs_dh.c`): 256 buckets filled from the list, one a destination whatever its weight; the
//! packet's destination address says which. For caches behind a transparent proxy.

use super::hash::{fold, hash_32};
use super::{Flow, Loads, Options, PlanError, Pool, Scheduler, Succession};

/// IPVS's CONFIG_IP_VS_DH_TAB_BITS. Of a larger pool the destinations behind the 256th get no client.
const BITS: u32 = 8;
const BUCKETS: usize = 1 << BITS;

/// Decides by the list alone: bucket `i` is the destination `i` modulo their number.
#[derive(Debug)]
pub struct Dh;

impl Scheduler for Dh {
    const NAME: &'static str = "dh";
    type Plan = ();
    type Ranking = ();

    fn plan(_: &Pool, _: Options) -> Result<(), PlanError> {
        Ok(())
    }

    fn new(_: &Pool, _: &()) -> Self {
        Self
    }

    fn update(&mut self, _: Option<&Succession>, _: &()) {}

    #[inline]
    fn schedule<L: Loads>(&mut self, pool: &Pool, _: &(), _: &(), loads: &L, flow: &Flow) -> Option<usize> {
        let bucket = hash_32(fold(flow.destination), BITS) as usize;
        debug_assert!(bucket < BUCKETS);
        let index = bucket.checked_rem(pool.len())?;
        pool.is_usable(index, loads).then_some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::DestId;
    use crate::sched::testing::*;
    use proptest::prelude::*;
    use std::net::IpAddr;

    #[test]
    fn a_quiesced_bucket_is_served_by_nobody() {
        let mut bench = Bench::<Dh>::new(&[1, 0]);
        let flows = (0..64).map(flow_to);
        let picks: Vec<_> = flows.map(|flow| bench.pick_for(&flow)).collect();
        assert!(picks.contains(&None) && picks.contains(&Some(0)) && !picks.contains(&Some(1)));
    }

    /// Buckets by the book, filled only when destinations come and go.
    #[derive(Default)]
    struct ByTheBook {
        buckets: Vec<DestId>,
    }

    impl Oracle for ByTheBook {
        fn start(&mut self, list: &[Server]) {
            self.buckets = list.iter().map(|s| s.id).cycle().take(256).collect();
        }

        fn changed(&mut self, old: &[Server], new: &[Server]) {
            if old.len() != new.len() {
                self.start(new);
            }
        }

        fn pick(&mut self, list: &[Server], flow: &Flow) -> Option<DestId> {
            let IpAddr::V4(address) = flow.destination else { unreachable!("churn speaks IPv4") };
            let product = u64::from(u32::from_be_bytes(address.octets())) * 0x61C8_8647;
            let id = *self.buckets.get(((product & 0xffff_ffff) >> 24) as usize)?;
            list.iter().find(|s| s.id == id && s.weight > 0 && !s.overloaded).map(|s| s.id)
        }
    }

    proptest! {
        #[test]
        fn every_decision_is_the_naive_oracles_through_churn(events in churn()) {
            replay::<Dh, _>(ByTheBook::default(), Options::default(), &events)?;
        }
    }
}

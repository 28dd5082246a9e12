//! Maglev hashing (`ip_vs_mh.c`): a table of 4093 slots that destinations fill in turns, each in its own order; the
//! client's address (and port, with mh-port) says which slot. When destinations come and go few slots change hands.
//! Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", section 3.4.

use super::hash::{fold, fold_as, sip_hash_1_3};
use super::load::greatest_common_divisor;
use super::{Candidate, Flow, Loads, Options, PlanError, Pool, Scheduler, Succession};

/// IPVS's CONFIG_IP_VS_MH_TAB_INDEX of 12 selects this prime (of 251, 509, 1021, 2039, 4093, ... 131071).
const SLOTS: u32 = 4093;

/// The same setting's half: weights are scaled so that the greatest has at most so many bits.
const WEIGHT_BITS: u32 = 6;

/// IPVS's fixed keys, of the two hashes that order a destination's slots; the first also hashes clients.
const KEY_1: u64 = 2_654_435_761;
const KEY_2: u64 = 2_654_446_892;

/// The table. Made anew at every change of a destination.
#[derive(Debug)]
pub struct Plan {
    /// Indices into the pool; nothing when no destination ever had a weight.
    slots: Vec<u16>,
    port: bool,
    fallback: bool,
}

/// Decides by the table alone and remembers nothing.
#[derive(Debug)]
pub struct Mh;

impl Scheduler for Mh {
    const NAME: &'static str = "mh";
    type Plan = Plan;
    type Ranking = ();

    fn plan(pool: &Pool, options: Options) -> Result<Plan, PlanError> {
        if pool.len() > SLOTS as usize {
            return Err(PlanError::TooManyDestinations { scheduler: Self::NAME, max: SLOTS as usize });
        }
        Ok(Plan { slots: populate(&mut preferences(pool)), port: options.port, fallback: options.fallback })
    }

    fn new(_: &Pool, _: &Plan) -> Self {
        Self
    }

    fn update(&mut self, _: Option<&Succession>, _: &Plan) {}

    #[inline]
    fn schedule<L: Loads>(&mut self, pool: &Pool, plan: &Plan, _: &(), loads: &L, flow: &Flow) -> Option<usize> {
        let port = if plan.port { u32::from(flow.client_port) } else { 0 };
        let client = fold(flow.client).wrapping_add(port);
        let slot = |offset: u32| sip_hash_1_3(client.wrapping_add(offset), KEY_1) % SLOTS;
        let usable =
            |slot: u32| plan.slots.get(slot as usize).map(|&i| usize::from(i)).filter(|&i| pool.is_usable(i, loads));
        let home = slot(0);
        usable(home).or_else(|| match plan.fallback && !plan.slots.is_empty() {
            true => (0..SLOTS).find_map(|offset| usable(slot((offset + home) % SLOTS))),
            false => None,
        })
    }
}

/// The order in which a destination wants slots (every `skip`th from `next` on, over and over), and how many it
/// takes in a turn.
struct Preference {
    next: u32,
    skip: u32,
    turns: u32,
}

fn preferences(pool: &Pool) -> Vec<Preference> {
    let weights = || pool.candidates().iter().map(|c| c.last_weight);
    let Some(divisor) = weights().filter(|&w| w > 0).reduce(greatest_common_divisor) else { return Vec::new() };
    let greatest = weights().max().unwrap_or(0) / divisor;
    let shift = (u32::BITS - greatest.leading_zeros()).saturating_sub(WEIGHT_BITS);
    let prefer = |c: &Candidate| {
        let key = fold_as(c.address, pool.family()).wrapping_add(u32::from(c.port));
        Preference {
            next: sip_hash_1_3(key, KEY_1) % SLOTS,
            skip: sip_hash_1_3(key, KEY_2) % (SLOTS - 1) + 1,
            turns: ((c.last_weight / divisor) >> shift).max(c.last_weight.min(1)),
        }
    };
    pool.candidates().iter().map(prefer).collect()
}

/// Turn after turn over the list, until all slots are taken.
fn populate(preferences: &mut [Preference]) -> Vec<u16> {
    const FREE: u16 = u16::MAX;
    const { assert!(SLOTS < FREE as u32) };
    if preferences.is_empty() {
        return Vec::new();
    }
    let mut slots = vec![FREE; SLOTS as usize];
    let mut left = SLOTS;
    loop {
        for (i, preference) in preferences.iter_mut().enumerate() {
            for _ in 0..preference.turns {
                // ends: SLOTS is prime, so the order visits every slot, and one is free
                while slots[preference.next as usize] != FREE {
                    preference.next = (preference.next + preference.skip) % SLOTS;
                }
                slots[preference.next as usize] = i as u16;
                left -= 1;
                if left == 0 {
                    return slots;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::DestId;
    use crate::sched::testing::*;
    use proptest::prelude::*;

    #[test]
    fn more_destinations_than_slots_are_refused() {
        let pool = Pool::new((0..=SLOTS).map(|i| candidate(i, 1)).collect());
        let refusal = PlanError::TooManyDestinations { scheduler: "mh", max: 4093 };
        assert_eq!(Mh::plan(&pool, Options::default()).err(), Some(refusal));
    }

    #[test]
    fn slots_are_shared_by_weight() {
        let pool = Pool::new(vec![candidate(1, 300), candidate(2, 100)]);
        let plan = Mh::plan(&pool, Options::default()).expect("a plan");
        let of_first = plan.slots.iter().filter(|&&i| i == 0).count();
        assert_eq!(plan.slots.len(), 4093);
        assert!((3069..=3070).contains(&of_first), "{of_first}");
    }

    #[test]
    fn a_quiesced_destination_keeps_its_slots() {
        let pool = |weight| Pool::new(vec![Candidate { weight, ..candidate(1, 5) }, candidate(2, 3)]);
        let slots = |weight| Mh::plan(&pool(weight), Options::default()).expect("a plan").slots;
        assert_eq!(slots(0), slots(5));
    }

    #[test]
    fn losing_one_of_ten_moves_few_of_the_others_clients() {
        let all: Vec<Candidate> = (0..10).map(|i| candidate(i, 1)).collect();
        let plan_of = |list: &[Candidate]| Mh::plan(&Pool::new(list.to_vec()), Options::default()).expect("a plan");
        let (before, after) = (plan_of(&all), plan_of(&all[1..]));
        let kept = before.slots.iter().zip(&after.slots).filter(|&(&b, &a)| b > 0 && a == b - 1).count();
        assert!(kept > 4093 * 85 / 100, "{kept} slots kept");
    }

    /// The paper's algorithm with whole permutations written out.
    struct Permutations {
        table: Vec<DestId>,
        options: Options,
    }

    impl Oracle for Permutations {
        fn start(&mut self, list: &[Server]) {
            let mut table = vec![None; 4093];
            let divisor = (1..=1000).rev().find(|d| list.iter().all(|s| s.last_weight % d == 0)).unwrap_or(1);
            let greatest = list.iter().map(|s| s.last_weight / divisor).max().unwrap_or(0);
            let mut scale = 1;
            while greatest / scale >= 64 {
                scale *= 2;
            }
            let mut lists: Vec<(DestId, u32, std::vec::IntoIter<usize>)> = Vec::new();
            for s in list.iter().filter(|s| s.last_weight > 0) {
                let c = candidate(s.id.0, 0);
                let key = fold(c.address) + u32::from(c.port);
                let offset = sip_hash_1_3(key, 2_654_435_761) as usize % 4093;
                let skip = sip_hash_1_3(key, 2_654_446_892) as usize % 4092 + 1;
                let order: Vec<usize> = (0..4093).map(|j| (offset + j * skip) % 4093).collect();
                lists.push((s.id, (s.last_weight / divisor / scale).max(1), order.into_iter()));
            }
            while !lists.is_empty() && table.contains(&None) {
                for (id, turns, order) in &mut lists {
                    for _ in 0..*turns {
                        if let Some(slot) = order.find(|&slot| table[slot].is_none()) {
                            table[slot] = Some(*id);
                        }
                    }
                }
            }
            self.table = table.into_iter().flatten().collect();
        }

        fn changed(&mut self, _: &[Server], new: &[Server]) {
            self.start(new);
        }

        fn pick(&mut self, list: &[Server], flow: &Flow) -> Option<DestId> {
            let port = if self.options.port { u32::from(flow.client_port) } else { 0 };
            let slot = |offset| sip_hash_1_3(fold(flow.client) + port + offset, 2_654_435_761) % 4093;
            let take = |slot: u32| {
                let id = *self.table.get(slot as usize)?;
                list.iter().find(|s| s.id == id && s.weight > 0 && !s.overloaded).map(|s| s.id)
            };
            let walk = (0..4093).map(|offset| slot((offset + slot(0)) % 4093));
            take(slot(0)).or_else(|| walk.filter(|_| self.options.fallback).find_map(take))
        }
    }

    proptest! {
        // a table a change, and two of them
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn every_decision_is_the_naive_oracles_through_churn(events in churn(), port: bool, fallback: bool) {
            let options = Options { port, fallback, ..Options::default() };
            replay::<Mh, _>(Permutations { table: Vec::new(), options }, options, &events)?;
        }
    }
}

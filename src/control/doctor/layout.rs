//! The cores of the workers when the file names none: one hyper-thread of every core but the control thread's, those next
//! to the NICs first.

use super::host::Core;

/// `machine`: the cores there are; `allowed`: those this process may run on; `nodes`: the NUMA nodes of the NICs in use.
/// Empty only when nothing is allowed.
pub fn default_cores(machine: &[Core], allowed: &[usize], nodes: &[u32], max: usize) -> Vec<usize> {
    let mut allowed = allowed.to_vec();
    allowed.sort_unstable();
    // the first is usually the busiest with everything else
    let Some((&control, others)) = allowed.split_first() else { return vec![] };
    let first_of = |id: usize| {
        let siblings = machine.iter().find(|core| core.id == id).map_or(&[][..], |core| &core.siblings);
        siblings.iter().copied().filter(|sibling| allowed.contains(sibling)).min().unwrap_or(id)
    };
    let mut cores: Vec<usize> = others.iter().copied().filter(|&id| first_of(id) == id).collect();
    if cores.is_empty() {
        // one core, one or two hyper-threads of it
        cores = others.first().copied().or(Some(control)).into_iter().collect();
    }
    let is_far = |id: &usize| {
        let node = machine.iter().find(|core| core.id == *id).and_then(|core| core.node);
        !nodes.is_empty() && node.is_none_or(|node| !nodes.contains(&node))
    };
    cores.sort_by_key(|id| (is_far(id), *id));
    cores.truncate(max);
    cores
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cores of two nodes, half each, without hyper-threads.
    fn machine(count: usize) -> Vec<Core> {
        let core = |id| Core { id, node: Some((id * 2 / count) as u32), is_isolated: false, siblings: vec![id] };
        (0..count).map(core).collect()
    }

    #[test]
    fn every_core_but_the_first_gets_a_worker_those_near_the_nic_first() {
        let all: Vec<usize> = (0..8).collect();
        assert_eq!(default_cores(&machine(8), &all, &[], 128), [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(default_cores(&machine(8), &all, &[1], 128), [4, 5, 6, 7, 1, 2, 3]);
        assert_eq!(default_cores(&machine(8), &all, &[1], 4), [4, 5, 6, 7]);
    }

    #[test]
    fn only_cores_that_are_allowed_count() {
        assert_eq!(default_cores(&machine(8), &[6, 2, 4], &[], 128), [4, 6]);
        assert_eq!(default_cores(&machine(8), &[5], &[], 128), [5]);
        assert_eq!(default_cores(&machine(8), &[], &[], 128), [0; 0]);
        assert_eq!(default_cores(&[], &[0, 1], &[], 128), [1], "a machine that says nothing of its cores");
    }

    #[test]
    fn of_a_cores_hyper_threads_one_works() {
        let mut machine = machine(8);
        machine.iter_mut().for_each(|core| core.siblings = vec![core.id % 4, core.id % 4 + 4]);
        let all: Vec<usize> = (0..8).collect();
        assert_eq!(default_cores(&machine, &all, &[], 128), [1, 2, 3]);
        assert_eq!(default_cores(&machine, &[0, 4], &[], 128), [4], "better than to share with the control thread");
        assert_eq!(default_cores(&machine, &[0, 5, 6], &[], 128), [5, 6], "the other one is not ours");
    }
}

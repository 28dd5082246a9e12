//! Cores: whom a worker shares its own with, and how far from the NIC it is.

use super::Finding;
use super::host::Host;
use super::wanted::Wanted;
use std::collections::BTreeSet;

const AREA: &str = "cores";

pub fn findings(host: &Host, wanted: &Wanted) -> Vec<Finding> {
    if wanted.cores.is_empty() {
        return vec![];
    }
    let mut findings = vec![];
    findings.extend(shared(wanted));
    findings.extend(siblings(host, wanted));
    findings.extend(far(host, wanted));
    findings.extend(not_isolated(host, wanted));
    if findings.is_empty() {
        findings.push(Finding::ok(AREA, format!("workers on {}", ranges(&wanted.cores))));
    }
    findings
}

fn ranges(cores: &[usize]) -> String {
    crate::io::arguments::ranges(cores)
}

fn distinct(cores: &[usize]) -> BTreeSet<usize> {
    cores.iter().copied().collect()
}

fn shared(wanted: &Wanted) -> Option<Finding> {
    let cores = distinct(&wanted.cores);
    if cores.len() == wanted.cores.len() || !wanted.spins {
        return None;
    }
    let message = format!("{} workers share {} core(s)", wanted.cores.len(), cores.len());
    Some(Finding::warn(AREA, message, "[workers] idle = \"yield\", or a core for each in [workers] cores"))
}

/// Two hyper-threads of one core have one set of execution units between them.
fn siblings(host: &Host, wanted: &Wanted) -> Option<Finding> {
    let workers = distinct(&wanted.cores);
    let pairs = workers.iter().filter_map(|&core| {
        let others = &host.core(core)?.siblings;
        let other = others.iter().find(|other| **other > core && workers.contains(*other))?;
        Some(format!("{core} and {other}"))
    });
    let pairs: Vec<String> = pairs.collect();
    if pairs.is_empty() {
        return None;
    }
    let firsts = workers.iter().filter(|&&core| {
        let first = host.core(core).and_then(|core| core.siblings.first().copied());
        first.is_none_or(|first| first == core || !workers.contains(&first))
    });
    let fix = format!("[workers] cores = {:?}", firsts.collect::<Vec<_>>());
    let message =
        format!("workers on hyper-threads of the same core: {}; one of two does nearly as much", pairs.join(", "));
    Some(Finding::warn(AREA, message, fix))
}

/// Each access to the memory of another NUMA node costs about twice as much.
fn far(host: &Host, wanted: &Wanted) -> Vec<Finding> {
    let nics = wanted.pci().filter_map(|address| host.nic(address)).filter_map(|nic| Some((nic, nic.node?)));
    let mut findings = vec![];
    for (nic, node) in nics {
        let of_node = |core: &&super::host::Core| core.node == Some(node);
        let far: Vec<usize> = distinct(&wanted.cores)
            .into_iter()
            .filter(|&core| host.core(core).is_some_and(|core| core.node.is_some_and(|other| other != node)))
            .collect();
        let near: Vec<usize> = host.cores.iter().filter(of_node).map(|core| core.id).collect();
        if !far.is_empty() {
            let message =
                format!("{} is on NUMA node {node}, worker(s) on core(s) {} are not", nic.address, ranges(&far));
            let fix = format!("[workers] cores: some of {}", ranges(&near));
            findings.push(Finding::warn(AREA, message, fix));
        }
    }
    findings
}

fn not_isolated(host: &Host, wanted: &Wanted) -> Option<Finding> {
    let cores: Vec<usize> = distinct(&wanted.cores)
        .into_iter()
        .filter(|&core| host.core(core).is_some_and(|core| !core.is_isolated))
        .collect();
    if cores.is_empty() || !wanted.spins {
        return None;
    }
    if host.cores.len() == 1 {
        let message = "there is one core: its worker and everything else take turns";
        return Some(Finding::warn(AREA, message, "[workers] idle = \"sleep\", or a machine with more cores"));
    }
    let ranges = ranges(&cores);
    let message = format!("the kernel runs other things on core(s) {ranges}, too: packets wait meanwhile");
    let fix = format!("on the kernel's command line: isolcpus={ranges} nohz_full={ranges} rcu_nocbs={ranges}");
    Some(Finding::warn(AREA, message, fix))
}

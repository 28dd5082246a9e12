//! Huge pages, or memory without them, and what may be locked.

use super::Finding;
use super::host::Host;
use super::wanted::Wanted;

const HUGE: &str = "huge pages";
const MEMORY: &str = "memory";

/// What `scripts/hugepages.sh` reserves.
const PAGE: u64 = 2 << 20;

pub fn findings(host: &Host, wanted: Option<&Wanted>) -> Vec<Finding> {
    let Some(wanted) = wanted else {
        return vec![Finding::ok(HUGE, format!("{}; --config FILE says how many it needs", free(host)))];
    };
    let mut findings = vec![if wanted.no_huge { without(host, wanted) } else { huge(host, wanted) }];
    findings.extend(memlock(host, wanted));
    findings
}

fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

fn free(host: &Host) -> String {
    let sizes = host
        .huge_pages
        .iter()
        .map(|pages| format!("{} of {} free of {} MiB", pages.free, pages.total, mib(pages.size)));
    match sizes.collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => "this kernel has none".to_owned(),
        some => some,
    }
}

fn huge(host: &Host, wanted: &Wanted) -> Finding {
    let pages = (wanted.dpdk_bytes + wanted.table_bytes).div_ceil(PAGE);
    let needs = format!(
        "this configuration needs {pages} of 2 MiB: {} for packet buffers and DPDK, {} for connection tables",
        wanted.dpdk_bytes.div_ceil(PAGE),
        wanted.table_bytes.div_ceil(PAGE)
    );
    let fix = format!("sudo scripts/hugepages.sh {pages} --persist");
    if host.huge_pages.is_empty() {
        return Finding::fail(HUGE, "this kernel has none", "add \"--no-huge\" to [dpdk] eal_args");
    }
    let free_bytes = host.huge_bytes_free();
    if free_bytes < wanted.pool_bytes {
        return Finding::fail(HUGE, format!("{}; {needs}", free(host)), fix);
    }
    if host.hugetlbfs.is_empty() && !wanted.in_memory {
        return Finding::fail(HUGE, format!("hugetlbfs is not mounted; {}", free(host)), fix);
    }
    if free_bytes < wanted.dpdk_bytes + wanted.table_bytes {
        let message =
            format!("{}; {needs}. What is missing comes as ordinary memory, and lookups cost more", free(host));
        return Finding::warn(HUGE, message, fix);
    }
    Finding::ok(HUGE, format!("{}; {needs}", free(host)))
}

fn without(host: &Host, wanted: &Wanted) -> Finding {
    let taken = wanted.memory_given.unwrap_or(wanted.dpdk_bytes);
    if taken < wanted.pool_bytes {
        let message = format!("-m {} is too little for {} MiB of packet buffers", mib(taken), mib(wanted.pool_bytes));
        return Finding::fail(MEMORY, message, "remove \"-m\" from [dpdk] eal_args: Pollux derives it");
    }
    if taken > host.available {
        let message = format!("DPDK takes {} MiB and {} MiB are available", mib(taken), mib(host.available));
        let fix = "free memory, or fewer [workers] cores";
        // what is not touched is never taken; packet buffers all are, and the kernel refuses what is plainly too much
        let fails = wanted.pool_bytes > host.available || taken > host.total;
        return if fails { Finding::fail(MEMORY, message, fix) } else { Finding::warn(MEMORY, message, fix) };
    }
    let message =
        format!("--no-huge: {} MiB of ordinary memory for DPDK, {} MiB available", mib(taken), mib(host.available));
    let fix = "to forward more: sudo scripts/hugepages.sh, and remove \"--no-huge\" from [dpdk] eal_args";
    match wanted.pci().next() {
        Some(_) => Finding::warn(MEMORY, message, fix),
        None => Finding::ok(MEMORY, message),
    }
}

/// vfio pins all memory that a NIC may write to; root may.
fn memlock(host: &Host, wanted: &Wanted) -> Option<Finding> {
    let limit = host.memlock.filter(|limit| !host.is_root && *limit < wanted.dpdk_bytes)?;
    wanted.pci().next()?;
    let message = format!("this user may lock {} MiB, a NIC needs {} MiB", mib(limit), mib(wanted.dpdk_bytes));
    Some(Finding::fail(MEMORY, message, "ulimit -l unlimited   # or LimitMEMLOCK=infinity in the unit"))
}

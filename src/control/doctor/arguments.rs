//! Arguments for DPDK that it would not take.

use super::Finding;
use super::wanted::Wanted;
use std::path::Path;

const AREA: &str = "eal_args";

/// EAL's long options, of all releases from 21.11 to 25.11.
const LONG: &[&str] = &[
    "allow",
    "base-virtaddr",
    "block",
    "corelist",
    "coremask",
    "create-uio-dev",
    "driver-path",
    "file-prefix",
    "force-max-simd-bitwidth",
    "huge-dir",
    "huge-unlink",
    "huge-worker-stack",
    "in-memory",
    "iova-mode",
    "lcores",
    "legacy-mem",
    "log-color",
    "log-level",
    "log-timestamp",
    "main-lcore",
    "match-allocations",
    "mbuf-pool-ops-name",
    "memory-channels",
    "memory-ranks",
    "memory-size",
    "no-hpet",
    "no-huge",
    "no-pci",
    "no-shconf",
    "no-telemetry",
    "numa-limit",
    "numa-mem",
    "proc-type",
    "remap-lcore-ids",
    "service-corelist",
    "service-coremask",
    "single-file-segments",
    "socket-limit",
    "socket-mem",
    "syslog",
    "telemetry",
    "trace",
    "trace-bufsz",
    "trace-dir",
    "trace-mode",
    "vdev",
    "version",
    "vfio-intr",
    "vfio-vf-token",
    "vmware-tsc-map",
];

pub fn findings(wanted: &Wanted, mounts: &[String]) -> Vec<Finding> {
    let unknown = wanted.arguments.iter().filter(|argument| is_unknown(argument));
    let mut findings: Vec<Finding> = unknown
        .map(|argument| {
            let message = format!("DPDK knows no {argument}");
            Finding::fail(AREA, message, "[dpdk] eal_args: correct or remove it")
        })
        .collect();
    if let Some(folder) = wanted.huge_dir.as_deref().filter(|folder| !mounts.iter().any(|mount| mount == folder)) {
        let message = format!("{folder} of --huge-dir is no hugetlbfs");
        findings.push(Finding::fail(AREA, message, "[dpdk] eal_args: remove --huge-dir, or mount one there"));
    }
    for vdev in &wanted.vdevs {
        let files = ["rx_pcap"].iter().filter_map(|key| vdev.argument(key)).filter(|path| !Path::new(path).exists());
        findings.extend(files.map(|path| {
            let message = format!("{}: there is no file {path}", vdev.name);
            Finding::fail(AREA, message, "[dpdk] eal_args: correct it")
        }));
    }
    findings
}

/// Long options may be abbreviated; what stands alone is an option's value.
fn is_unknown(argument: &str) -> bool {
    let Some(long) = argument.strip_prefix("--") else { return false };
    let name = long.split('=').next().unwrap_or(long);
    !LONG.iter().any(|known| known.starts_with(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_known_by_their_beginning() {
        for known in ["--no-huge", "--no-hu", "--vdev=net_null0", "--log-level=8", "-m", "256", "net_null0"] {
            assert!(!is_unknown(known), "{known}");
        }
        assert!(is_unknown("--no-such-option") && is_unknown("--vdevs"));
    }
}

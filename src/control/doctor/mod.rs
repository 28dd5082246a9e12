//! `pollux doctor`: what has to be put right before `run` works, and what keeps it from running well.
//!
//! Facts are gathered ([`host`], [`wanted`]), judged by pure functions, one a part of the machine, and printed by `cli`.
//! Nothing is changed, no device is opened. A finding that fails is one that makes `run` fail; the others are advice.

mod arguments;
mod cores;
pub mod host;
mod interfaces;
pub mod layout;
mod memory;
mod nics;
#[cfg(test)]
mod tests;
pub mod wanted;

use self::host::Host;
use self::wanted::Wanted;
use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Ok,
    Warn,
    /// `run` fails.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub severity: Severity,
    /// `huge pages`, `nic`: what it is about.
    pub area: &'static str,
    pub message: String,
    /// What to type, or to write where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Finding {
    fn ok(area: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Ok, area, message: message.into(), fix: None }
    }

    fn warn(area: &'static str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { severity: Severity::Warn, area, message: message.into(), fix: Some(fix.into()) }
    }

    fn fail(area: &'static str, message: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { severity: Severity::Fail, area, message: message.into(), fix: Some(fix.into()) }
    }
}

/// Everything that was found, in the order in which to put it right. `wanted` is absent without a configuration.
pub fn examine(host: &Host, wanted: Option<&Wanted>) -> Vec<Finding> {
    let mut findings = vec![];
    if let Some(wanted) = wanted {
        findings.extend(wanted.refusals.iter().map(|(message, fix)| Finding::fail("start", message, fix)));
        findings.extend(arguments::findings(wanted, &host.hugetlbfs));
        findings.extend(rights(host, wanted));
    }
    findings.extend(memory::findings(host, wanted));
    findings.extend(nics::findings(host, wanted));
    if let Some(wanted) = wanted {
        findings.extend(interfaces::findings(host, wanted));
        findings.extend(cores::findings(host, wanted));
    }
    findings.push(clock(host));
    findings
}

/// Linux's numbers (capabilities(7)).
const CAP_NET_ADMIN: u32 = 12;
const CAP_NET_RAW: u32 = 13;

/// What a process without root's rights cannot do.
fn rights(host: &Host, wanted: &Wanted) -> Option<Finding> {
    if host.is_root {
        return None;
    }
    let lacks = |capability: u32| host.capabilities & 1 << capability == 0;
    let kernel = wanted.vdevs.iter().find_map(|vdev| match vdev.driver() {
        "net_af_packet" if lacks(CAP_NET_RAW) => Some("CAP_NET_RAW for net_af_packet"),
        "net_af_xdp" if lacks(CAP_NET_RAW) => Some("CAP_NET_RAW and more for net_af_xdp"),
        "net_tap" if lacks(CAP_NET_ADMIN) => Some("CAP_NET_ADMIN for net_tap"),
        _ => None,
    });
    let missing = match (wanted.no_huge, wanted.pci().next()) {
        (false, _) => "root's rights for huge pages",
        (true, Some(_)) => "root's rights for PCI devices",
        (true, None) => kernel?,
    };
    let message = format!("this user lacks {missing}");
    Some(Finding::fail("rights", message, "sudo pollux doctor ... and sudo pollux run ..."))
}

/// Workers read the time stamp counter.
fn clock(host: &Host) -> Finding {
    const AREA: &str = "clock";
    let source = host.clock_source.as_deref().unwrap_or("unknown");
    if !host.tsc_is_steady {
        let message =
            "the processor does not say that its time stamp counter is constant and never stops: timeouts may be off";
        return Finding::warn(AREA, message, "in a virtual machine: give it the host's CPU model, with invtsc");
    }
    match source {
        "tsc" | "unknown" => Finding::ok(AREA, format!("clock source {source}")),
        other => Finding::warn(
            AREA,
            format!(
                "the kernel's clock source is {other}, so it may distrust the time stamp counter, which workers read"
            ),
            "dmesg | grep -i tsc   # says why; then: echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource",
        ),
    }
}

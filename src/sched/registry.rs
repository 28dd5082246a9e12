//! The schedulers there are.
use super::{Options, PlanError, Pool};

/// Stands in until the schedulers are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SchedulerKind {
    Rr,
    Wrr,
    Lc,
    Wlc,
    Lblc,
    Lblcr,
    Dh,
    Sh,
    Sed,
    Nq,
}

impl SchedulerKind {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("rr", Self::Rr),
        ("wrr", Self::Wrr),
        ("lc", Self::Lc),
        ("wlc", Self::Wlc),
        ("lblc", Self::Lblc),
        ("lblcr", Self::Lblcr),
        ("dh", Self::Dh),
        ("sh", Self::Sh),
        ("sed", Self::Sed),
        ("nq", Self::Nq),
    ];
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(n, _)| *n == name).map(|(_, k)| *k)
    }
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, k)| *k == self).map_or("?", |(n, _)| n)
    }
}

pub struct Plan;

impl Plan {
    pub fn make(_kind: SchedulerKind, _pool: &Pool, _options: Options) -> Result<Self, PlanError> {
        Ok(Self)
    }
}

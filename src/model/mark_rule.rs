//! Rules that give packets their mark.

use super::ids::InterfaceId;
use ipnet::IpNet;
use std::ops::RangeInclusive;

/// A packet gets `mark` when everything that is given fits it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MarkRule {
    /// 0 keeps the packet without one, whatever later rules say.
    pub mark: u32,
    /// An IP protocol number.
    pub protocol: Option<u8>,
    /// Of one family, if both are given.
    pub source: Option<IpNet>,
    pub destination: Option<IpNet>,
    /// Fit packets that have ports.
    pub source_ports: Option<RangeInclusive<u16>>,
    pub destination_ports: Option<RangeInclusive<u16>>,
    /// Where it came in.
    pub interface: Option<InterfaceId>,
}

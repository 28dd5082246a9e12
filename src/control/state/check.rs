//! What IPVS refuses, and what would silently not do what it says: the file's own rules, and what the file's syntax
//! cannot say but a command can.

use super::error::Refusal;
use crate::control::config::rules::{self, OwnAddresses};
use crate::control::config::{DestinationConfig, ServiceConfig};
use crate::model::{ClientMask, Departures, Family, OwnTimeouts, Persistence, ServiceKey};
use std::net::IpAddr;

/// ipvsadm's MAX_TIMEOUT, for persistence and for `--set`: 31 days.
pub(super) const TIMEOUT_S_MAX: u32 = 86_400 * 31;
/// The kernel keeps weights in a signed int.
const WEIGHT_MAX: u32 = i32::MAX as u32;
/// What ipvsadm takes for -x and -y: any int.
const THRESHOLD_MAX: u32 = i32::MAX as u32;

pub fn service(service: &ServiceConfig) -> Result<(), Refusal> {
    match service.key {
        ServiceKey::Virtual { protocol, port, .. } => {
            refuse(!protocol.has_ports(), Refusal::Protocol)?;
            refuse(port == 0 && service.persistence.is_none(), Refusal::ZeroPort)?;
        }
        ServiceKey::Mark { mark, .. } => refuse(mark == 0, Refusal::ZeroMark)?,
    }
    service.persistence.map_or(Ok(()), |p| persistence(p, service.key.family()))?;
    departures(&service.departures)?;
    first(rules::check_service(service))
}

fn departures(departures: &Departures) -> Result<(), Refusal> {
    let OwnTimeouts { tcp_established_s, tcp_fin_wait_s, udp_s } = departures.timeouts;
    let longest = tcp_established_s.max(tcp_fin_wait_s).max(udp_s).max(departures.drain_deadline_s);
    refuse(longest > TIMEOUT_S_MAX, Refusal::Timeout)
}

fn persistence(persistence: Persistence, family: Family) -> Result<(), Refusal> {
    refuse(!(1..=TIMEOUT_S_MAX).contains(&persistence.timeout_s), Refusal::PersistenceTimeout)?;
    let is_mask = match persistence.mask {
        ClientMask::V4(_) => family == Family::V4,
        ClientMask::V6(length) => family == Family::V6 && (1..=128).contains(&length),
    };
    refuse(!is_mask, Refusal::PersistenceMask)
}

/// `destination` of the service `key`, by itself: whose address it is, is not looked at.
pub fn destination(key: &ServiceKey, destination: &DestinationConfig) -> Result<(), Refusal> {
    let DestinationConfig { address, weight, threshold_upper, threshold_lower, .. } = *destination;
    refuse(!is_unicast(address), Refusal::NotUnicast)?;
    refuse(weight > WEIGHT_MAX, Refusal::Weight)?;
    refuse(threshold_upper.max(threshold_lower) > THRESHOLD_MAX, Refusal::Threshold)?;
    first(rules::check_destination(key, destination, &OwnAddresses::default()))
}

fn first(refused: Vec<rules::Refusal>) -> Result<(), Refusal> {
    refused.into_iter().next().map_or(Ok(()), |refusal| Err(Refusal::Rule(refusal)))
}

/// The port that stays when nothing maps it: a destination's port unless another one is given.
pub fn service_port(service: &ServiceKey) -> u16 {
    match service {
        ServiceKey::Virtual { port, .. } => *port,
        ServiceKey::Mark { .. } => 0,
    }
}

pub(super) fn is_unicast(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !(address.is_multicast() || address.is_unspecified() || broadcast)
}

fn refuse(bad: bool, refusal: Refusal) -> Result<(), Refusal> {
    if bad { Err(refusal) } else { Ok(()) }
}

//! What IPVS refuses, and what would silently not do what it says. Both the file's validation and commands at run time
//! come through here: the second line of the same defence.

use super::error::Refusal;
use crate::control::config::{DestinationConfig, ServiceConfig};
use crate::model::{Family, Forward, Persistence, Protocol, ServiceKey};
use std::net::IpAddr;

/// ipvsadm's MAX_TIMEOUT for persistence: 31 days.
const PERSISTENCE_TIMEOUT_S_MAX: u32 = 86_400 * 31;
/// The kernel keeps weights in a signed int.
const WEIGHT_MAX: u32 = i32::MAX as u32;
/// What ipvsadm takes for -x and -y.
const THRESHOLD_MAX: u32 = 65_535;

pub fn service(service: &ServiceConfig) -> Result<(), Refusal> {
    match service.key {
        ServiceKey::Virtual { protocol, address, port } => {
            refuse(!protocol.has_ports(), Refusal::Protocol)?;
            refuse(port == 0 && service.persistence.is_none(), Refusal::ZeroPort)?;
            refuse(service.one_packet && protocol != Protocol::Udp, Refusal::OnePacket)?;
            refuse(!is_unicast(address), Refusal::NotUnicast)?;
        }
        ServiceKey::Mark { mark, .. } => refuse(mark == 0, Refusal::ZeroMark)?,
    }
    service.persistence.map_or(Ok(()), |p| persistence(p, service.key.family()))
}

fn persistence(persistence: Persistence, family: Family) -> Result<(), Refusal> {
    let bits = if family == Family::V4 { 32 } else { 128 };
    refuse(!(1..=PERSISTENCE_TIMEOUT_S_MAX).contains(&persistence.timeout_s), Refusal::PersistenceTimeout)?;
    refuse(!(1..=bits).contains(&persistence.prefix_len), Refusal::PersistencePrefix)
}

pub fn destination(service: &ServiceKey, destination: &DestinationConfig) -> Result<(), Refusal> {
    let DestinationConfig { address, port, forward, weight, threshold_upper, threshold_lower } = *destination;
    refuse(!is_unicast(address), Refusal::NotUnicast)?;
    let is_tunnel = matches!(forward, Forward::Tun(_));
    refuse(Family::of(address) != service.family() && !is_tunnel, Refusal::Family)?;
    refuse((is_tunnel || forward == Forward::Dr) && port != service_port(service), Refusal::PortMapping)?;
    refuse(weight > WEIGHT_MAX, Refusal::Weight)?;
    refuse(threshold_upper.max(threshold_lower) > THRESHOLD_MAX, Refusal::Threshold)?;
    refuse(threshold_lower > threshold_upper, Refusal::ThresholdOrder)
}

/// The port that stays when nothing maps it: a destination's port unless another one is given.
pub fn service_port(service: &ServiceKey) -> u16 {
    match service {
        ServiceKey::Virtual { port, .. } => *port,
        ServiceKey::Mark { .. } => 0,
    }
}

fn is_unicast(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    !(address.is_multicast() || address.is_unspecified() || broadcast)
}

fn refuse(bad: bool, refusal: Refusal) -> Result<(), Refusal> {
    if bad { Err(refusal) } else { Ok(()) }
}

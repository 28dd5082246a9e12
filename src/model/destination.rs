//! Destinations: the real servers of one service.

use super::departures::Departures;
use super::forward::Forward;
use super::ids::{DestId, ServiceId, TimeoutsId};
use std::net::IpAddr;

/// A real server of one service, as the control thread describes it to the workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    pub id: DestId,
    pub service: ServiceId,
    pub address: IpAddr,
    /// 0 for services on every port and on marks: the packet's own port stays.
    pub port: u16,
    pub forward: Forward,
    /// 0 quiesces: connections go on, new ones go elsewhere.
    pub weight: u32,
    /// Connections at which the destination counts as overloaded; 0 for unlimited (`ipvsadm -x`).
    pub threshold_upper: u32,
    /// Connections below which it no longer does; 0 for three quarters of the upper one (`ipvsadm -y`).
    pub threshold_lower: u32,
    /// Of its service, also when that is gone.
    pub departures: Departures,
    /// The set of timeouts that follows from them.
    pub timeouts: TimeoutsId,
    /// False in the trash: removed, but its connections still know it.
    pub available: bool,
}

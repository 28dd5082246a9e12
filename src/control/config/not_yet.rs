//! What the file can say and the director cannot do yet: one function each, so that lifting one is deleting it and
//! its calls.

use std::net::IpAddr;

/// Destinations on the director itself (forwarding method Local).
pub(super) fn local_destination(address: IpAddr, owner: &str) -> String {
    format!("{address} is {owner}: real servers on the director itself are not supported yet")
}

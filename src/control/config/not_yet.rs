//! What the file can say and the director cannot do yet: one function each, so that lifting one is deleting it and
//! its calls.

use std::net::IpAddr;

/// More than one worker: connections would need an owner among them.
pub(super) fn workers(count: usize) -> Result<(), String> {
    match count {
        0 | 1 => Ok(()),
        _ => Err(format!("{count} workers are not supported yet; name one core")),
    }
}

/// Destinations on the director itself (forwarding method Local).
pub(super) fn local_destination(address: IpAddr, owner: &str) -> String {
    format!("{address} is {owner}: real servers on the director itself are not supported yet")
}

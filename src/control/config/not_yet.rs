//! What the file can say and the director cannot do yet: one function each, so that lifting one is deleting it and
//! its calls.

use super::file::ServiceTable;
use crate::model::{Forward, TunnelKind};
use std::net::IpAddr;
use std::ops::Range;

/// IPv6 addresses, wherever they stand.
pub(super) fn family(address: IpAddr) -> Result<(), String> {
    match address {
        IpAddr::V4(_) => Ok(()),
        IpAddr::V6(_) => Err("IPv6 is not supported yet; give an IPv4 address".to_owned()),
    }
}

/// Services on every port: as in IPVS they exist only with persistence.
pub(super) fn every_port(port: u16) -> Result<(), String> {
    match port {
        0 => Err("port 0 (every port) needs persistence, which is not supported yet; give a port".to_owned()),
        _ => Ok(()),
    }
}

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

/// Tunnels of other kinds than IP in IP.
pub(in crate::control) fn tunnel(forward: Forward) -> Result<(), String> {
    match forward {
        Forward::Tun(tunnel) if tunnel.kind != TunnelKind::Ipip => {
            Err(format!("tunnels of type {} are not supported yet; use ipip", tunnel.kind.name()))
        }
        _ => Ok(()),
    }
}

/// Keys of `[[service]]` that are read and refused.
pub(super) fn service_keys(table: &ServiceTable) -> Vec<(Range<usize>, &'static str, &'static str)> {
    let mut refused = Vec::new();
    if let Some(mark) = &table.mark {
        let message = "services on firewall marks are not supported yet; use `protocol` and `address`";
        refused.push((mark.span(), "mark", message));
    }
    if let Some(timeout) = &table.persistence_timeout_s {
        refused.push((timeout.span(), "persistence_timeout_s", "persistence is not supported yet; leave the key out"));
    }
    if let Some(mask) = &table.persistence_mask {
        refused.push((mask.span(), "persistence_mask", "persistence is not supported yet; leave the key out"));
    }
    if let Some(one_packet) = table.one_packet.as_ref().filter(|on| *on.get_ref()) {
        let message = "one-packet scheduling is not supported yet; leave the key out";
        refused.push((one_packet.span(), "one_packet", message));
    }
    refused
}

//! `ipvsadm -S`: the command lines that make the services again. As with ipvsadm thresholds are not among them.

use super::listing::sort;
use super::names::{Names, written};
use crate::control::api::views::{DestinationView, ServiceView};
use std::io::{self, Write};

pub fn save(out: &mut dyn Write, mut services: Vec<ServiceView>, names: &dyn Names) -> io::Result<()> {
    sort(&mut services);
    for service in &services {
        let name = selector(service, names);
        writeln!(out, "-A {name} -s {}{}", service.scheduler, options(service))?;
        for d in &service.destinations {
            let at = written(names, d.address, d.port, &service.protocol);
            writeln!(out, "-a {name} {}", server(d, &at))?;
        }
    }
    Ok(())
}

/// `-t 192.0.2.10:80`, `-f 7 -6`.
fn selector(service: &ServiceView, names: &dyn Names) -> String {
    let option = match service.protocol.as_str() {
        "tcp" => "-t",
        "udp" => "-u",
        "sctp" => "--sctp-service",
        _ => "-f",
    };
    match (service.address, service.port) {
        (Some(address), Some(port)) => format!("{option} {}", written(names, address, port, &service.protocol)),
        _ => format!("{option} {}{}", service.mark.unwrap_or(0), if service.ipv6 { " -6" } else { "" }),
    }
}

fn options(service: &ServiceView) -> String {
    let mut text = String::new();
    if let Some(timeout_s) = service.persistence_timeout_s {
        text += &format!(" -p {timeout_s}");
        text += &service.persistence_mask.as_ref().map_or_else(String::new, |mask| format!(" -M {mask}"));
    }
    if let Some(engine) = &service.persistence_engine {
        text += &format!(" --pe {engine}");
    }
    if service.one_packet {
        text += " -o";
    }
    if !service.scheduler_flags.is_empty() {
        text += &format!(" -b {}", service.scheduler_flags.join(","));
    }
    text
}

fn server(d: &DestinationView, at: &str) -> String {
    let forward = match d.forward.as_str() {
        "nat" => "-m",
        "tun" => "-i",
        _ => "-g",
    };
    format!("-r {at} {forward} -w {}{}", d.weight, tunnel(d))
}

fn tunnel(d: &DestinationView) -> String {
    let Some(tunnel) = &d.tunnel else { return String::new() };
    let checksum = match tunnel.checksum.as_str() {
        "full" => "--tun-csum",
        "remote" => "--tun-remcsum",
        _ => "--tun-nocsum",
    };
    match tunnel.kind.as_str() {
        "gue" => format!(" --tun-type gue --tun-port {} {checksum}", tunnel.port),
        "gre" => format!(" --tun-type gre {checksum}"),
        kind => format!(" --tun-type {kind}"),
    }
}

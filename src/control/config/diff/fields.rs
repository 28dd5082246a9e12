//! Structs as names and values, the way the file has them. Every struct is taken apart exhaustively: a new field does
//! not compile until it is compared here, or said to be compared elsewhere.

use super::super::{
    Config, ConnectionsConfig, DestinationConfig, DpdkConfig, Idle, PortConfig, RouteConfig, ServiceConfig,
    WorkersConfig,
};
use super::Edit;
use crate::model::settings::Settings;
use crate::model::state::TcpState;
use crate::model::timeouts::Timeouts;
use crate::model::{Departures, Forward, OwnTimeouts, Persistence, Tick, Tunnel};
use crate::sched::Options;

/// Names and values of what can change, as in the file.
pub(super) type Fields = Vec<(&'static str, String)>;

pub(super) fn fields_changed(old: &Fields, new: &Fields) -> Vec<Edit> {
    let differing = old.iter().zip(new).filter(|(old, new)| old != new);
    differing.map(|((field, old), (_, new))| Edit::Changed { field, old: old.clone(), new: new.clone() }).collect()
}

pub(super) fn dpdk_fields(dpdk: &DpdkConfig) -> Fields {
    let DpdkConfig { eal_args, secondary } = dpdk;
    vec![("eal_args", format!("{eal_args:?}")), ("secondary", secondary.to_string())]
}

pub(super) fn workers_fields(workers: &WorkersConfig) -> Fields {
    let WorkersConfig { cores, idle, rss_key } = workers;
    let cores = cores.as_ref().map_or_else(|| "default".to_owned(), |cores| format!("{cores:?}"));
    let idle = match idle {
        Idle::Spin => "spin",
        Idle::Yield => "yield",
        Idle::Sleep => "sleep",
    };
    vec![("cores", cores), ("idle", idle.to_owned()), ("rss_key", rss_key.to_string())]
}

pub(super) fn connections_fields(connections: &ConnectionsConfig) -> Fields {
    let ConnectionsConfig { capacity_per_worker } = connections;
    vec![("capacity_per_worker", capacity_per_worker.to_string())]
}

pub(super) fn port_fields(port: &PortConfig) -> Fields {
    let PortConfig { name: _, device, vlan, mac, mtu, addresses: _ } = port;
    vec![
        ("device", device.clone()),
        ("vlan", vlan.map_or_else(|| "none".to_owned(), |vlan| vlan.to_string())),
        ("mac", mac.as_ref().map_or_else(|| "the device's".to_owned(), mac_text)),
        ("mtu", mtu.to_string()),
    ]
}

pub(super) fn service_fields(service: &ServiceConfig, config: &Config) -> Fields {
    let ServiceConfig {
        key: _,
        scheduler,
        options,
        persistence,
        one_packet,
        strict,
        departures,
        port,
        destinations: _,
    } = service;
    let Departures { timeouts, drain_deadline_s, reset_on_idle_expiry, reschedule_udp } = *departures;
    let OwnTimeouts { tcp_established_s, tcp_fin_wait_s, udp_s } = timeouts;
    vec![
        ("scheduler", scheduler.name().to_owned()),
        ("scheduler_flags", options_text(*options)),
        ("persistence", persistence.map_or_else(|| "none".to_owned(), persistence_text)),
        ("one_packet", one_packet.to_string()),
        ("strict", strict.to_string()),
        ("tcp_established_s", own_text(tcp_established_s)),
        ("tcp_fin_wait_s", own_text(tcp_fin_wait_s)),
        ("udp_s", own_text(udp_s)),
        ("drain_deadline_s", own_text(drain_deadline_s)),
        ("reset_on_idle_expiry", reset_on_idle_expiry.to_string()),
        ("reschedule_udp", reschedule_udp.to_string()),
        ("port", port_name(config, *port)),
    ]
}

/// A number that is 0 when the service has none of its own.
fn own_text(value: u32) -> String {
    if value == 0 { "none".to_owned() } else { value.to_string() }
}

pub(super) fn options_text(options: Options) -> String {
    let Options { fallback, port, flag_3, .. } = options;
    let set: Vec<_> =
        [(fallback, "flag-1"), (port, "flag-2"), (flag_3, "flag-3")].iter().filter(|f| f.0).map(|f| f.1).collect();
    if set.is_empty() { "none".to_owned() } else { set.join(",") }
}

pub(super) fn persistence_text(persistence: Persistence) -> String {
    let Persistence { timeout_s, mask, engine } = persistence;
    let engine = engine.map_or_else(String::new, |engine| format!(" {}", engine.name()));
    format!("{timeout_s} s /{mask}{engine}")
}

pub(super) fn destination_fields(destination: &DestinationConfig) -> Fields {
    let DestinationConfig { address: _, port: _, forward, weight, threshold_upper, threshold_lower } = destination;
    vec![
        ("forward", forward_text(*forward)),
        ("weight", weight.to_string()),
        ("threshold_upper", threshold_upper.to_string()),
        ("threshold_lower", threshold_lower.to_string()),
    ]
}

pub(super) fn forward_text(forward: Forward) -> String {
    match forward {
        Forward::Tun(tunnel) if tunnel != Tunnel::default() => format!("tun {tunnel:?}"),
        _ => forward.word().to_owned(),
    }
}

pub(super) fn route_fields(route: &RouteConfig, config: &Config) -> Fields {
    let RouteConfig { prefix: _, via, port } = route;
    let via = via.map_or_else(|| "none".to_owned(), |via| via.to_string());
    vec![("via", via), ("port", port_name(config, Some(*port)))]
}

pub(super) fn port_name(config: &Config, port: Option<usize>) -> String {
    port.and_then(|index| config.ports.get(index)).map_or_else(|| "none".to_owned(), |port| port.name.clone())
}

pub(super) fn mac_text(mac: &[u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// Keys and values of `[timeouts]`, seconds.
pub fn timeout_values(timeouts: &Timeouts) -> Vec<(&'static str, String)> {
    const TCP_KEYS: [&str; TcpState::COUNT] = [
        "tcp_none_s",
        "tcp_established_s",
        "tcp_syn_sent_s",
        "tcp_syn_recv_s",
        "tcp_fin_wait_s",
        "tcp_time_wait_s",
        "tcp_close_s",
        "tcp_close_wait_s",
        "tcp_last_ack_s",
        "tcp_listen_s",
        "tcp_synack_s",
    ];
    // SCTP's have no keys, as in the kernel
    let Timeouts { tcp, udp, sctp: _ } = timeouts;
    let all = TCP_KEYS.into_iter().zip(tcp).chain([("udp_s", udp)]);
    all.map(|(key, ticks)| (key, (ticks / Tick::PER_S).to_string())).collect()
}

/// Keys and values of `[ipvs]` and `[ip]`.
pub fn setting_values(settings: &Settings) -> Vec<(&'static str, String)> {
    let Settings {
        sloppy_tcp,
        sloppy_sctp,
        expire_nodest_conn,
        expire_quiescent_template,
        conn_reuse_mode,
        pmtu_disc,
        drop_packet,
        am_droprate,
        drop_entry,
        secure_tcp,
        cache_bypass,
        nat_icmp_send,
        schedule_icmp,
        lblc_expiration_s,
        lblcr_expiration_s,
        forward,
        icmp_errors_per_s,
    } = settings;
    vec![
        ("sloppy_tcp", sloppy_tcp.to_string()),
        ("sloppy_sctp", sloppy_sctp.to_string()),
        ("expire_nodest_conn", expire_nodest_conn.to_string()),
        ("expire_quiescent_template", expire_quiescent_template.to_string()),
        ("conn_reuse_mode", conn_reuse_mode.to_string()),
        ("pmtu_disc", pmtu_disc.to_string()),
        ("drop_packet", drop_packet.to_string()),
        ("am_droprate", am_droprate.to_string()),
        ("drop_entry", drop_entry.to_string()),
        ("secure_tcp", secure_tcp.to_string()),
        ("cache_bypass", cache_bypass.to_string()),
        ("nat_icmp_send", nat_icmp_send.to_string()),
        ("schedule_icmp", schedule_icmp.to_string()),
        ("lblc_expiration_s", lblc_expiration_s.to_string()),
        ("lblcr_expiration_s", lblcr_expiration_s.to_string()),
        ("forward", forward.to_string()),
        ("icmp_errors_per_s", icmp_errors_per_s.to_string()),
    ]
}

//! From what was typed to what holds: names resolved, defaults filled in, contradictions refused. Goes on after a
//! mistake, so that all mistakes of a file are told at once.

mod marks;
mod ports;
mod routes;
mod services;

use super::error::{Problems, nearest, quoted};
use super::file::{File, IpTable, IpvsTable, Switch, TimeoutsTable, WorkersTable};
use super::keys::Table;
use super::{Config, ConnectionsConfig, DestinationConfig, DpdkConfig, Idle, ServiceConfig, WorkersConfig, values};
use crate::model::settings::Settings;
use crate::model::state::TcpState;
use crate::model::timeouts::Timeouts;
use crate::model::{Forward, Tick};
use crate::wire::toeplitz::RssKey;
use std::ops::Range;
use toml::Spanned;

/// Connections kept by each worker when the file does not say: 64 MB of entries.
const CAPACITY_PER_WORKER: u32 = 1_000_000;

/// Connections are spread over 128 slots, and a worker without a slot would have nothing to do.
const WORKERS_MAX: usize = 128;

/// The configuration; meaningless once `problems` has any.
pub(super) fn validate(file: &File, problems: &mut Problems<'_>) -> Config {
    let (ports, names) = ports::ports(file, problems);
    let own_problems_only = problems.is_empty();
    let routes = routes::routes(file, &ports, &names, own_problems_only, problems);
    let neighbours = routes::neighbours(file, &ports, &names, problems);
    let marks = marks::marks(file, &names, problems);
    let mut services = services::services(file, &ports, &names, problems);
    let settings = settings(&file.ipvs, &file.ip, &services);
    for service in &mut services {
        service.options = service.options.with(&settings);
    }
    Config {
        dpdk: dpdk(file, problems),
        workers: workers(&file.workers, problems),
        connections: ConnectionsConfig {
            capacity_per_worker: file.connections.capacity_per_worker.unwrap_or(CAPACITY_PER_WORKER),
        },
        timeouts: timeouts(&file.timeouts),
        settings,
        ports,
        routes,
        neighbours,
        marks,
        services,
    }
}

/// Real servers behind NAT use the director as their router.
fn any_nat(services: &[ServiceConfig]) -> bool {
    let is_nat = |destination: &DestinationConfig| destination.forward == Forward::Nat;
    services.iter().any(|service| service.destinations.iter().any(is_nat))
}

fn dpdk(file: &File, problems: &mut Problems<'_>) -> DpdkConfig {
    for arg in &file.dpdk.eal_args {
        accept(Table::Dpdk, "eal_args", arg, values::eal_arg, problems);
    }
    let eal_args = file.dpdk.eal_args.iter().map(|arg| arg.get_ref().clone()).collect();
    DpdkConfig { eal_args, secondary: file.dpdk.secondary }
}

fn workers(table: &WorkersTable, problems: &mut Problems<'_>) -> WorkersConfig {
    if let Some(cores) = &table.cores {
        let message = match cores.get_ref().len() {
            0 => "there must be a worker; name a core, or leave the key out for all".to_owned(),
            n if n > WORKERS_MAX => format!("{n} workers; allowed: 1 to {WORKERS_MAX}"),
            _ => String::new(),
        };
        if !message.is_empty() {
            problems.add(cores.span(), place(Table::Workers, "cores"), message);
        }
    }
    let idle = match table.idle.as_deref() {
        Some("yield") => Idle::Yield,
        Some("sleep") => Idle::Sleep,
        _ => Idle::Spin,
    };
    let key = |text: &str| text.parse::<RssKey>().map_err(|error| format!("{}: {error}", quoted(text)));
    let rss_key = table.rss_key.as_ref().and_then(|text| accept(Table::Workers, "rss_key", text, key, problems));
    let cores = table.cores.as_ref().map(|cores| cores.get_ref().clone());
    WorkersConfig { cores, idle, rss_key: rss_key.unwrap_or_default() }
}

fn timeouts(table: &TimeoutsTable) -> Timeouts {
    // in the order of TcpState::ALL
    let typed: [Option<u32>; TcpState::COUNT] = [
        table.tcp_none_s,
        table.tcp_established_s,
        table.tcp_syn_sent_s,
        table.tcp_syn_recv_s,
        table.tcp_fin_wait_s,
        table.tcp_time_wait_s,
        table.tcp_close_s,
        table.tcp_close_wait_s,
        table.tcp_last_ack_s,
        table.tcp_listen_s,
        table.tcp_synack_s,
    ];
    let mut timeouts = Timeouts::default();
    let all = timeouts.tcp.iter_mut().zip(typed).chain([(&mut timeouts.udp, table.udp_s)]);
    for (ticks, seconds) in all {
        *ticks = seconds.map_or(*ticks, |s| s.saturating_mul(Tick::PER_S));
    }
    timeouts
}

fn settings(table: &IpvsTable, ip: &IpTable, services: &[ServiceConfig]) -> Settings {
    let default = Settings::default();
    let is_on = |switch: Option<Switch>, default| switch.map_or(default, Switch::is_on);
    Settings {
        sloppy_tcp: is_on(table.sloppy_tcp, default.sloppy_tcp),
        sloppy_sctp: is_on(table.sloppy_sctp, default.sloppy_sctp),
        expire_nodest_conn: is_on(table.expire_nodest_conn, default.expire_nodest_conn),
        expire_quiescent_template: is_on(table.expire_quiescent_template, default.expire_quiescent_template),
        conn_reuse_mode: table.conn_reuse_mode.unwrap_or(default.conn_reuse_mode),
        pmtu_disc: is_on(table.pmtu_disc, default.pmtu_disc),
        drop_packet: table.drop_packet.unwrap_or(default.drop_packet),
        am_droprate: table.am_droprate.unwrap_or(default.am_droprate),
        drop_entry: table.drop_entry.unwrap_or(default.drop_entry),
        secure_tcp: table.secure_tcp.unwrap_or(default.secure_tcp),
        cache_bypass: is_on(table.cache_bypass, default.cache_bypass),
        nat_icmp_send: is_on(table.nat_icmp_send, default.nat_icmp_send),
        schedule_icmp: is_on(table.schedule_icmp, default.schedule_icmp),
        lblc_expiration_s: table.lblc_expiration_s.unwrap_or(default.lblc_expiration_s),
        lblcr_expiration_s: table.lblcr_expiration_s.unwrap_or(default.lblcr_expiration_s),
        forward: ip.forward.unwrap_or_else(|| any_nat(services)),
        icmp_errors_per_s: ip.icmp_errors_per_s.unwrap_or(default.icmp_errors_per_s),
    }
}

/// Table and key, as messages name them.
fn place(table: Table, key: &str) -> String {
    format!("{} `{key}`", table.heading())
}

/// The value a text stands for; a mistake is noted at its place.
fn accept<T>(
    table: Table,
    key: &str,
    text: &Spanned<String>,
    parse: impl FnOnce(&str) -> Result<T, String>,
    problems: &mut Problems<'_>,
) -> Option<T> {
    parse(text.get_ref()).map_err(|message| problems.add(text.span(), place(table, key), message)).ok()
}

/// Line of something that has been seen before, for a message.
fn line_of(span: &Range<usize>, problems: &Problems<'_>) -> usize {
    problems.position(span.start).0
}

/// The port of this name, as an index into `[[port]]`.
fn port_index(
    table: Table,
    name: &Spanned<String>,
    names: &ports::PortNames<'_>,
    problems: &mut Problems<'_>,
) -> Option<usize> {
    if let Some(index) = names.get(name.get_ref().as_str()) {
        return Some(*index);
    }
    let mut known: Vec<_> = names.iter().map(|(name, index)| (*index, *name)).collect();
    known.sort_unstable();
    let near = nearest(name.get_ref(), known.iter().map(|(_, name)| *name)).map(quoted);
    let known: Vec<_> = known.iter().map(|(_, name)| quoted(name)).collect();
    let suggestion = super::error::did_you_mean(near);
    let message =
        format!("no [[port]] has the name {}{suggestion} Known ports: {}", quoted(name.get_ref()), known.join(", "));
    problems.add(name.span(), place(table, "port"), message);
    None
}

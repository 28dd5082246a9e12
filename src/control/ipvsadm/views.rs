//! Services of a snapshot as rows to print.

use crate::control::api::views::{DestCounts, DestinationView, ServiceView, TunnelView};
use crate::dataplane::snapshot::{Service, Snapshot};
use crate::model::{DestId, Destination, Family, Forward, ServiceId, ServiceKey};
use crate::sched::Options;

/// A service with its destinations, in the order in which schedulers see them.
pub fn service(
    snapshot: &Snapshot,
    service: &Service,
    former: DestCounts,
    counts: &dyn Fn(DestId) -> DestCounts,
) -> ServiceView {
    let (protocol, address, port, mark) = match service.key {
        ServiceKey::Virtual { protocol, address, port } => {
            (protocol.name().to_lowercase(), Some(address), Some(port), None)
        }
        ServiceKey::Mark { mark, .. } => ("mark".to_owned(), None, None, Some(mark)),
    };
    let ids = service.pool.candidates().iter().map(|candidate| candidate.id);
    let found = ids.filter_map(|id| snapshot.destinations.get(id.index()));
    ServiceView {
        protocol,
        address,
        port,
        mark,
        ipv6: service.key.family() == Family::V6,
        scheduler: service.scheduler.name().to_owned(),
        scheduler_flags: flag_names(service.scheduler.name(), service.options),
        persistence_timeout_s: service.persistence.map(|p| p.timeout_s),
        persistence_mask: service.persistence.map(|p| p.mask).filter(|mask| !mask.is_whole()).map(|m| m.to_string()),
        persistence_engine: service.persistence.and_then(|p| p.engine).map(|engine| engine.name().to_owned()),
        one_packet: service.one_packet,
        strict: service.strict,
        former,
        destinations: found.map(|d| destination(d, counts(d.id))).collect(),
    }
}

fn destination(destination: &Destination, counts: DestCounts) -> DestinationView {
    DestinationView {
        address: destination.address,
        port: destination.port,
        forward: destination.forward.word().to_owned(),
        tunnel: tunnel(destination.forward),
        weight: destination.weight,
        threshold_upper: destination.threshold_upper,
        threshold_lower: destination.threshold_lower,
        counts,
    }
}

fn tunnel(forward: Forward) -> Option<TunnelView> {
    let Forward::Tun(tunnel) = forward else { return None };
    let (kind, checksum) = (tunnel.kind.name().to_owned(), tunnel.checksum.word().to_owned());
    Some(TunnelView { kind, port: tunnel.port, checksum })
}

/// The names ipvsadm gives a scheduler's flags.
pub fn flag_names(scheduler: &str, options: Options) -> Vec<String> {
    let has_names = matches!(scheduler, "sh" | "mh");
    let name = |word: &str, number: u8| {
        if has_names { format!("{scheduler}-{word}") } else { format!("flag-{number}") }
    };
    let all = [
        (options.fallback, name("fallback", 1)),
        (options.port, name("port", 2)),
        (options.flag_3, "flag-3".to_owned()),
    ];
    all.into_iter().filter(|(set, _)| *set).map(|(_, name)| name).collect()
}

/// Destinations of one service, or of all.
pub fn service_ids(snapshot: &Snapshot, only: Option<&ServiceKey>) -> Vec<ServiceId> {
    let services = snapshot.services.iter().filter(|(_, service)| only.is_none_or(|key| service.key == *key));
    services.map(|(_, service)| service.id).collect()
}

/// The destinations of one service, or of all.
pub fn destination_ids(snapshot: &Snapshot, only: Option<&ServiceKey>) -> Vec<DestId> {
    let services = snapshot.services.iter().filter(|(_, service)| only.is_none_or(|key| service.key == *key));
    services.flat_map(|(_, service)| service.pool.candidates().iter().map(|c| c.id)).collect()
}

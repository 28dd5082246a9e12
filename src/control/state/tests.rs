//! The state by example, and against a naive model of the kernel's lists.

use super::*;
use crate::control::config::WorkersConfig;
use crate::control::config::{ConnectionsConfig, DpdkConfig, Idle, NeighbourConfig, RouteConfig};
use crate::dataplane::snapshot::VirtualAddress;
use crate::model::Protocol;
use crate::model::{ClientMask, Departures, Family, Forward, InterfaceId, Persistence, Tunnel};
use crate::sched::Options;
use crate::sched::registry::SchedulerKind;
use std::net::{IpAddr, SocketAddr};

mod model;

const OPENED: [Opened; 2] = [
    Opened { port: PortId(0), mac: [2; 6], udp_checksum_offload: false },
    Opened { port: PortId(1), mac: [3; 6], udp_checksum_offload: false },
];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn tcp(text: &str) -> ServiceKey {
    let at = at(text);
    ServiceKey::Virtual { protocol: Protocol::Tcp, address: at.ip(), port: at.port() }
}

fn mark(mark: u32) -> ServiceKey {
    ServiceKey::Mark { mark, family: Family::V4 }
}

fn scheduler(name: &str) -> SchedulerKind {
    SchedulerKind::from_name(name).unwrap()
}

fn service(key: ServiceKey, destinations: &[DestinationConfig]) -> ServiceConfig {
    ServiceConfig {
        key,
        scheduler: scheduler("wlc"),
        options: Options::default(),
        persistence: None,
        one_packet: false,
        strict: false,
        departures: Departures::default(),
        port: None,
        destinations: destinations.to_vec(),
    }
}

fn nat(text: &str, weight: u32) -> DestinationConfig {
    let at = at(text);
    DestinationConfig {
        address: at.ip(),
        port: at.port(),
        forward: Forward::Nat,
        weight,
        threshold_upper: 0,
        threshold_lower: 0,
    }
}

fn weight(weight: u32) -> DestinationEdit {
    DestinationEdit { weight: Some(weight), ..DestinationEdit::default() }
}

fn port(name: &str, addresses: &[&str]) -> PortConfig {
    PortConfig {
        name: name.to_owned(),
        device: format!("net_null_{name}"),
        vlan: None,
        mac: None,
        mtu: 1500,
        addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
    }
}

fn config(services: &[ServiceConfig]) -> Config {
    Config {
        dpdk: DpdkConfig::default(),
        workers: WorkersConfig { cores: None, idle: Idle::Spin, rss_key: Default::default() },
        connections: ConnectionsConfig { capacity_per_worker: 1000 },
        timeouts: Default::default(),
        settings: Default::default(),
        ports: vec![port("client", &["192.0.2.254/24"]), port("server", &["10.0.0.254/8", "192.0.2.130/25"])],
        routes: vec![RouteConfig { prefix: "0.0.0.0/0".parse().unwrap(), via: Some(ip("192.0.2.1")), port: 0 }],
        neighbours: vec![NeighbourConfig { port: 1, address: ip("10.0.0.1"), mac: [4; 6] }],
        marks: Vec::new(),
        services: services.to_vec(),
    }
}

fn state(services: &[ServiceConfig]) -> State {
    State::new(config(services), &OPENED).unwrap()
}

/// The destinations of a service in the kernel's order.
fn listed(state: &State, key: &ServiceKey) -> Vec<(String, u32)> {
    let mut destinations = state.service(key).unwrap().destinations;
    destinations.reverse();
    destinations.iter().map(|d| (SocketAddr::new(d.address, d.port).to_string(), d.weight)).collect()
}

fn id(state: &State, key: &ServiceKey, address: &str) -> DestId {
    let service = state.find(key).unwrap();
    let at = at(address);
    service.pool.candidates().iter().find(|c| (c.address, c.port) == (at.ip(), at.port())).unwrap().id
}

fn available(state: &State, id: DestId) -> Option<bool> {
    state.snapshot().destinations.get(id.index()).map(|d| d.available)
}

#[test]
fn the_first_snapshot_is_number_1_and_lists_everything_as_changed() {
    let web = tcp("192.0.2.10:80");
    let state = state(&[service(web, &[nat("10.0.0.1:80", 1), nat("10.0.0.2:80", 1)]), service(mark(7), &[])]);
    let snapshot = state.snapshot();
    assert_eq!(snapshot.version, 1);
    assert_eq!(snapshot.changes.services, [ServiceId(0), ServiceId(1)]);
    assert_eq!(snapshot.changes.destinations, [DestId(0), DestId(1)]);
    assert!(snapshot.changes.network);
    assert_eq!(snapshot.directory.find(Protocol::Tcp, ip("192.0.2.10"), 80), Some(ServiceId(0)));
}

#[test]
fn a_director_without_services_has_a_first_snapshot_with_its_network() {
    let state = state(&[]);
    assert_eq!(state.snapshot().version, 1);
    assert_eq!(state.snapshot().network.interfaces.len(), 2);
    assert_eq!(state.snapshot().network.interfaces[1].mac, [3; 6]);
    assert_eq!(state.snapshot().network.routes[0].interface, InterfaceId(0));
    assert_eq!(state.snapshot().network.neighbours[0].interface, InterfaceId(1));
}

#[test]
fn the_destination_added_last_stands_first() {
    let web = tcp("192.0.2.10:80");
    let mut state = state(&[service(web, &[nat("10.0.0.1:80", 1), nat("10.0.0.2:80", 2)])]);
    state.add_destination(&web, &nat("10.0.0.3:80", 3)).unwrap();
    let expected = [("10.0.0.3:80", 3), ("10.0.0.2:80", 2), ("10.0.0.1:80", 1)];
    assert_eq!(listed(&state, &web), expected.map(|(a, w)| (a.to_owned(), w)));
}

#[test]
fn refusals_begin_with_the_kernels_words() {
    let web = tcp("192.0.2.10:80");
    let other = tcp("192.0.2.10:81");
    let mut state = state(&[service(web, &[nat("10.0.0.1:80", 1)])]);
    let before = state.snapshot().version;
    let now = Time::default();
    let missing = at("10.0.0.9:80");
    let errors = [
        state.add_service(&service(web, &[])),
        state.delete_service(&other, now),
        state.edit_service(&other, &ServiceEdit::default()),
        state.add_destination(&web, &nat("10.0.0.1:80", 5)),
        state.add_destination(&other, &nat("10.0.0.1:80", 5)),
        state.edit_destination(&web, missing, &weight(1)),
        state.delete_destination(&web, missing, now),
    ];
    let errors = errors.map(|e| e.unwrap_err().to_string());
    let expected = [
        "Service already exists: TCP 192.0.2.10:80",
        "No such service: TCP 192.0.2.10:81",
        "No such service: TCP 192.0.2.10:81",
        "Destination already exists: 10.0.0.1:80 of TCP 192.0.2.10:80",
        "No such service: TCP 192.0.2.10:81",
        "No such destination: 10.0.0.9:80 of TCP 192.0.2.10:80",
        "No such destination: 10.0.0.9:80 of TCP 192.0.2.10:80",
    ];
    assert_eq!(errors, expected);
    assert_eq!(state.snapshot().version, before, "what is refused makes no snapshot");
}

#[test]
fn a_port_cannot_be_mapped_without_nat() {
    let web = tcp("192.0.2.10:80");
    let mut state = state(&[service(web, &[nat("10.0.0.1:8080", 1)])]);
    let dr = DestinationConfig { forward: Forward::Dr, ..nat("10.0.0.2:8080", 1) };
    let refused = state.add_destination(&web, &dr).unwrap_err().to_string();
    let file_says = "`address`: port 8080 differs from the service's 80, but \"dr\" leaves the packet as it is";
    assert!(refused.starts_with(&format!("10.0.0.2:8080 of TCP 192.0.2.10:80: {file_says}")), "{refused}");
    let tun = DestinationEdit { forward: Some(Forward::Tun(Tunnel::default())), ..DestinationEdit::default() };
    let refused = state.edit_destination(&web, at("10.0.0.1:8080"), &tun).unwrap_err();
    assert!(refused.to_string().contains("\"tun\" leaves the packet as it is"), "{refused}");
    state.add_destination(&web, &DestinationConfig { port: 80, ..dr }).unwrap();
}

#[test]
fn what_ipvsadm_refuses_is_refused() {
    let web = tcp("192.0.2.10:80");
    let plain = service(web, &[]);
    let persistence = |timeout_s, mask| Some(Persistence { timeout_s, mask, engine: None });
    let esp = ServiceKey::Virtual { protocol: Protocol::Esp, address: ip("192.0.2.10"), port: 0 };
    let services = [
        (ServiceConfig { key: esp, ..plain.clone() }, Refusal::Protocol),
        (ServiceConfig { key: tcp("192.0.2.10:0"), ..plain.clone() }, Refusal::ZeroPort),
        (ServiceConfig { key: mark(0), ..plain.clone() }, Refusal::ZeroMark),
        (
            ServiceConfig { persistence: persistence(0, ClientMask::whole(Family::V4)), ..plain.clone() },
            Refusal::PersistenceTimeout,
        ),
        (ServiceConfig { persistence: persistence(9, ClientMask::V6(64)), ..plain.clone() }, Refusal::PersistenceMask),
    ];
    for (service, refusal) in services {
        assert_eq!(check::service(&service), Err(refusal));
    }
    let good = nat("10.0.0.1:80", 1);
    let destinations = [
        (nat("255.255.255.255:80", 1), Refusal::NotUnicast),
        (nat("10.0.0.1:80", 1 << 31), Refusal::Weight),
        (DestinationConfig { threshold_upper: 1 << 31, ..good }, Refusal::Threshold),
    ];
    for (destination, refusal) in destinations {
        assert_eq!(check::destination(&web, &destination), Err(refusal));
    }
    let other_family = check::destination(&web, &nat("[2001:db8::1]:80", 1));
    assert!(matches!(other_family, Err(Refusal::Rule(refusal)) if refusal.key == "address"));
    let one_packet = check::service(&ServiceConfig { one_packet: true, ..plain });
    assert!(matches!(one_packet, Err(Refusal::Rule(refusal)) if refusal.key == "one_packet"));
    let thresholds = DestinationConfig { threshold_upper: 3, threshold_lower: 9, ..good };
    let thresholds = check::destination(&web, &thresholds);
    assert!(matches!(thresholds, Err(Refusal::Rule(refusal)) if refusal.key == "threshold_lower"));
    let tunnel = DestinationConfig { forward: Forward::Tun(Tunnel::default()), ..nat("[2001:db8::1]:80", 1) };
    assert_eq!(check::destination(&web, &tunnel), Ok(()));
}

#[test]
fn a_removed_destination_is_revived_with_its_identity_and_a_new_weight() {
    let web = tcp("192.0.2.10:80");
    let mut state = state(&[service(web, &[nat("10.0.0.1:80", 1), nat("10.0.0.2:80", 2)])]);
    let first = id(&state, &web, "10.0.0.1:80");
    state.delete_destination(&web, at("10.0.0.1:80"), Time::from_s(1)).unwrap();
    assert_eq!(available(&state, first), Some(false));
    assert_eq!(listed(&state, &web), [("10.0.0.2:80".to_owned(), 2)]);
    assert_eq!(state.snapshot().changes.destinations, [first]);
    state.add_destination(&web, &nat("10.0.0.1:80", 9)).unwrap();
    assert_eq!(id(&state, &web, "10.0.0.1:80"), first);
    assert_eq!(available(&state, first), Some(true));
    assert_eq!(listed(&state, &web)[0], ("10.0.0.1:80".to_owned(), 9), "at the head, as any new one");
}

#[test]
fn the_trash_is_emptied_after_120_seconds_and_the_last_connection() {
    let web = tcp("192.0.2.10:80");
    let mut state = state(&[service(web, &[nat("10.0.0.1:80", 1)])]);
    let first = id(&state, &web, "10.0.0.1:80");
    state.delete_destination(&web, at("10.0.0.1:80"), Time::from_s(100)).unwrap();
    assert!(state.collect(Time::from_s(219), &|_| 0).is_none(), "too early");
    assert!(state.collect(Time::from_s(1000), &|_| 1).is_none(), "it has a connection");
    let snapshot = state.collect(Time::from_s(220), &|_| 0).unwrap();
    assert!(snapshot.destinations.get(first.index()).is_none());
    assert_eq!(snapshot.changes.destinations, [first]);
    assert!(state.collect(Time::from_s(1000), &|_| 0).is_none());
    state.add_destination(&web, &nat("10.0.0.7:80", 1)).unwrap();
    assert_eq!(id(&state, &web, "10.0.0.7:80"), first, "now the id is free");
}

#[test]
fn a_deleted_service_comes_back_with_its_destinations() {
    let (web, mail) = (tcp("192.0.2.10:80"), tcp("192.0.2.10:25"));
    let mut state = state(&[service(web, &[nat("10.0.0.1:80", 1)])]);
    let (dest, service_id) = (id(&state, &web, "10.0.0.1:80"), state.find(&web).unwrap().id);
    state.delete_service(&web, Time::default()).unwrap();
    assert_eq!(available(&state, dest), Some(false));
    assert!(state.snapshot().services.get(service_id.index()).is_none());
    state.add_service(&service(mail, &[nat("10.0.0.1:80", 1)])).unwrap();
    assert_ne!(state.find(&mail).unwrap().id, service_id, "the trash still speaks of the other one");
    assert_ne!(id(&state, &mail, "10.0.0.1:80"), dest, "another service's destination is another one");
    state.add_service(&service(web, &[])).unwrap();
    state.add_destination(&web, &nat("10.0.0.1:80", 4)).unwrap();
    assert_eq!((id(&state, &web, "10.0.0.1:80"), state.find(&web).unwrap().id), (dest, service_id));
}

#[test]
fn a_service_id_is_free_again_when_its_last_destination_left_the_trash() {
    let (web, mail) = (tcp("192.0.2.10:80"), tcp("192.0.2.10:25"));
    let mut state = state(&[service(web, &[nat("10.0.0.1:80", 1)])]);
    state.delete_service(&web, Time::default()).unwrap();
    state.collect(Time::from_s(120), &|_| 0).unwrap();
    state.add_service(&service(mail, &[])).unwrap();
    assert_eq!(state.find(&mail).unwrap().id, ServiceId(0));
}

#[test]
fn the_last_positive_weight_is_remembered_but_not_across_the_trash() {
    let web = tcp("192.0.2.10:80");
    let mut state = state(&[service(web, &[nat("10.0.0.1:80", 5)])]);
    let last = |state: &State| state.find(&web).unwrap().pool.candidates()[0].last_weight;
    state.edit_destination(&web, at("10.0.0.1:80"), &weight(0)).unwrap();
    assert_eq!(last(&state), 5);
    state.edit_destination(&web, at("10.0.0.1:80"), &weight(3)).unwrap();
    assert_eq!(last(&state), 3);
    state.delete_destination(&web, at("10.0.0.1:80"), Time::default()).unwrap();
    state.add_destination(&web, &nat("10.0.0.1:80", 0)).unwrap();
    assert_eq!(last(&state), 0);
}

#[test]
fn one_weight_edit_among_ten_thousand_services_leaves_all_other_chunks_shared() {
    let key = |i: u32| tcp(&format!("192.0.{}.{}:80", 2 + i / 250, 1 + i % 250));
    let services: Vec<_> = (0..10_000).map(|i| service(key(i), &[nat("10.0.0.1:80", 1)])).collect();
    let mut state = state(&services);
    let before = state.snapshot().clone();
    state.edit_destination(&key(5000), at("10.0.0.1:80"), &weight(2)).unwrap();
    let after = state.snapshot();
    assert_eq!(after.changes.services, [ServiceId(5000)]);
    assert_eq!(after.changes.destinations, [DestId(5000)]);
    assert!(Arc::ptr_eq(&before.directory, &after.directory) && Arc::ptr_eq(&before.network, &after.network));
    assert!(Arc::ptr_eq(&before.settings, &after.settings) && Arc::ptr_eq(&before.timeouts, &after.timeouts));
    let entries = (0..10_000).map(|i| (before.services.get(i).unwrap(), after.services.get(i).unwrap()));
    let rebuilt: Vec<_> = entries.clone().filter(|(a, b)| !Arc::ptr_eq(a, b)).collect();
    assert_eq!(rebuilt.len(), 1);
    // an entry stands at the same place in memory when its chunk is the same one
    let moved = entries.filter(|(a, b)| !std::ptr::eq::<Arc<Service>>(*a, *b)).count();
    assert!((1..=64).contains(&moved), "{moved} entries are in copied chunks");
}

#[test]
fn an_edit_of_persistence_keeps_pool_and_plan() {
    let web = tcp("192.0.2.10:80");
    let mut state = state(&[service(web, &[nat("10.0.0.1:80", 5)])]);
    let before = Arc::clone(state.find(&web).unwrap());
    let persistence =
        Some(Persistence { timeout_s: 300, mask: ClientMask::V4([255, 255, 255, 0].into()), engine: None });
    state.edit_service(&web, &ServiceEdit { persistence: Some(persistence), ..ServiceEdit::default() }).unwrap();
    let after = Arc::clone(state.find(&web).unwrap());
    assert!(Arc::ptr_eq(&before.pool, &after.pool) && Arc::ptr_eq(&before.plan, &after.plan));
    assert_eq!(after.persistence, persistence);
    state.edit_service(&web, &ServiceEdit { scheduler: Some(scheduler("rr")), ..Default::default() }).unwrap();
    assert!(!Arc::ptr_eq(&after.plan, &state.find(&web).unwrap().plan));
    assert_eq!(state.find(&web).unwrap().persistence, persistence, "what is not named stays");
}

#[test]
fn a_virtual_address_is_answered_for_where_its_subnet_is_or_where_its_service_says() {
    let named = ServiceConfig { port: Some(0), ..service(tcp("10.0.0.50:80"), &[]) };
    let services = ["192.0.2.10:80", "192.0.2.10:81", "192.0.2.200:80", "198.51.100.1:80"];
    let mut services: Vec<_> = services.iter().map(|s| service(tcp(s), &[])).collect();
    services.push(named);
    let state = state(&services);
    let virtual_address = |address, interface: Option<u16>| VirtualAddress {
        address: ip(address),
        interface: interface.map(InterfaceId),
    };
    let expected = [
        virtual_address("10.0.0.50", Some(0)),
        virtual_address("192.0.2.10", Some(0)),
        virtual_address("192.0.2.200", Some(1)),
        virtual_address("198.51.100.1", None),
    ];
    assert_eq!(state.snapshot().network.virtual_addresses, expected);
}

#[test]
fn two_services_of_one_address_cannot_name_different_ports() {
    let named = |key, port| ServiceConfig { port: Some(port), ..service(tcp(key), &[]) };
    let mut state = state(&[named("192.0.2.10:80", 0), service(tcp("192.0.2.10:82"), &[])]);
    let refused = state.add_service(&named("192.0.2.10:81", 1)).unwrap_err();
    assert_eq!(refused, Error::PortConflict(ip("192.0.2.10")));
    let moved = ServiceEdit { port: Some(Some(1)), ..ServiceEdit::default() };
    state.edit_service(&tcp("192.0.2.10:80"), &moved).unwrap();
    assert_eq!(state.snapshot().network.virtual_addresses[0].interface, Some(InterfaceId(1)));
    assert!(state.snapshot().changes.network);
}

#[test]
fn the_network_is_shared_when_a_service_comes_to_an_address_that_is_there() {
    let mut state = state(&[service(tcp("192.0.2.10:80"), &[])]);
    let before = state.snapshot().clone();
    state.add_service(&service(tcp("192.0.2.10:21"), &[])).unwrap();
    assert!(Arc::ptr_eq(&before.network, &state.snapshot().network));
    assert!(!state.snapshot().changes.network);
    assert!(state.snapshot().directory.has_ftp && !before.directory.has_ftp);
    state.delete_service(&tcp("192.0.2.10:21"), Time::default()).unwrap();
    assert!(!state.snapshot().directory.has_ftp);
}

#[test]
fn a_reload_keeps_places_and_inserts_new_destinations_at_the_head_in_file_order() {
    let web = tcp("192.0.2.10:80");
    let dest = |i, w| nat(&format!("10.0.0.{i}:80"), w);
    let mut state = state(&[service(web, &[dest(1, 1), dest(2, 1), dest(3, 1)])]);
    let kept = id(&state, &web, "10.0.0.2:80");
    let gone = id(&state, &web, "10.0.0.3:80");
    let new = config(&[service(web, &[dest(8, 1), dest(2, 7), dest(9, 1), dest(1, 1)])]);
    let changes = state.apply_config(new, Time::default()).unwrap();
    let expected = [("10.0.0.9:80", 1), ("10.0.0.8:80", 1), ("10.0.0.2:80", 7), ("10.0.0.1:80", 1)];
    assert_eq!(listed(&state, &web), expected.map(|(a, w)| (a.to_owned(), w)));
    assert_eq!(id(&state, &web, "10.0.0.2:80"), kept);
    assert_eq!(available(&state, gone), Some(false));
    let mut changes: Vec<_> = changes.iter().map(ToString::to_string).collect();
    changes.sort();
    let lines = [
        "destination 10.0.0.2:80 of TCP 192.0.2.10:80: weight 1 -> 7",
        "destination 10.0.0.3:80 removed from TCP 192.0.2.10:80",
        "destination 10.0.0.8:80 added to TCP 192.0.2.10:80",
        "destination 10.0.0.9:80 added to TCP 192.0.2.10:80",
    ];
    assert_eq!(changes, lines);
}

#[test]
fn a_reload_of_the_same_file_changes_nothing() {
    let file = config(&[service(tcp("192.0.2.10:80"), &[nat("10.0.0.1:80", 1)])]);
    let mut state = State::new(file.clone(), &OPENED).unwrap();
    assert_eq!(state.apply_config(file.clone(), Time::default()), Ok(vec![]));
    assert_eq!(state.snapshot().version, 1);
    assert_eq!(state.config(), file);
}

#[test]
fn a_reload_that_needs_a_restart_applies_nothing() {
    let mut state = state(&[]);
    let mut new = config(&[service(tcp("192.0.2.10:80"), &[])]);
    new.connections.capacity_per_worker += 1;
    new.ports[1].mtu = 9000;
    let refused = state.apply_config(new, Time::default()).unwrap_err().to_string();
    let expected = "[connections] capacity_per_worker 1000 -> 1001: restart needed; \
                    [[port]] server mtu 1500 -> 9000: restart needed; nothing was changed";
    assert_eq!(refused, expected);
    assert_eq!(state.snapshot().version, 1);
}

#[test]
fn a_reload_with_one_bad_destination_applies_nothing() {
    let web = tcp("192.0.2.10:80");
    let mut state = state(&[service(web, &[nat("10.0.0.1:80", 1)])]);
    let before = state.config();
    let bad = nat("224.0.0.1:80", 1);
    let new = config(&[service(tcp("192.0.2.1:80"), &[nat("10.0.0.1:80", 1)]), service(web, &[bad])]);
    assert!(state.apply_config(new, Time::default()).is_err());
    assert_eq!((state.config(), state.snapshot().version), (before, 1));
    let twice = config(&[service(web, &[nat("10.0.0.1:80", 1), nat("10.0.0.1:80", 2)])]);
    assert!(matches!(state.apply_config(twice, Time::default()), Err(Error::DestinationExists(..))));
}

#[test]
fn a_reload_of_settings_and_addresses_makes_one_snapshot() {
    let mut state = state(&[service(tcp("198.51.100.1:80"), &[])]);
    let mut new = state.config();
    new.settings.sloppy_tcp = true;
    new.timeouts.udp = 1;
    new.ports[0].addresses.push("198.51.100.7/24".parse().unwrap());
    let changes = state.apply_config(new, Time::default()).unwrap();
    assert_eq!(changes.len(), 3, "{changes:?}");
    let snapshot = state.snapshot();
    assert_eq!((snapshot.version, snapshot.settings.sloppy_tcp, snapshot.timeouts.global().udp), (2, true, 1));
    assert!(snapshot.changes.network && snapshot.changes.services.is_empty());
    assert_eq!(snapshot.network.virtual_addresses[0].interface, Some(InterfaceId(0)));
}

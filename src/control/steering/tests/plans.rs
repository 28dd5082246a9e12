//! What follows from a configuration: requests and answers of every connection lead to the same slot.

use super::super::{Steerer, components::Plan, rules};
use super::lab::web;
use crate::control::config::Config;
use crate::control::state::{Opened, State};
use crate::dataplane::steer::owner::Steering;
use crate::dataplane::steer::policy::Policy;
use crate::model::*;
use crate::tables::connections::{Key, ports};
use crate::wire::address::Ip4;
use crate::wire::toeplitz::RssKey;
use proptest::prelude::*;
use std::net::Ipv4Addr;

const NETWORK: &str = "[[port]]\nname = \"one\"\ndevice = \"a\"\naddresses = [\"192.0.2.254/24\", \"10.0.0.254/24\"]\n";

fn state(services: &str) -> State {
    let opened = Opened { port: PortId(0), mac: [2; 6], udp_checksum_offload: false };
    State::new(Config::parse(&format!("{NETWORK}{services}"), "lab").unwrap(), &[opened]).unwrap()
}

fn plan(services: &str) -> Plan {
    Steerer::new(4, &RssKey::MICROSOFT, state(services).snapshot()).order.plan
}

fn service(address: &str, rest: &str, servers: &[&str]) -> String {
    let mut text = format!("[[service]]\nprotocol = \"tcp\"\naddress = \"{address}\"\n{rest}\n");
    for server in servers {
        text += &format!("[[service.destination]]\naddress = \"{server}\"\nforward = \"nat\"\n");
    }
    text
}

fn policy(plan: &Plan, address: &str) -> Policy {
    let at: std::net::SocketAddr = address.parse().unwrap();
    plan.services[&ServiceKey::Virtual { protocol: Protocol::Tcp, address: at.ip(), port: at.port() }]
}

const WHOLE: Policy = Policy::Network(ClientMask::V4(Ipv4Addr::BROADCAST));
const PERSISTENT: &str = "persistence_timeout_s = 60\npersistence_mask = \"255.255.255.0\"";
const WIDE: Policy = Policy::Network(ClientMask::V4(Ipv4Addr::new(255, 255, 255, 0)));

#[test]
fn services_of_one_real_server_tell_clients_apart_as_the_coarsest_of_them_does() {
    let text = [
        service("192.0.2.10:80", "", &["10.0.0.1:8080", "10.0.0.2:8080"]),
        service("192.0.2.11:80", PERSISTENT, &["10.0.0.2:8080"]),
        service("192.0.2.12:80", "", &["10.0.0.2:8081"]),
        service("192.0.2.13:21", "", &["10.0.0.3"]),
        service("192.0.2.14:443", "", &["10.0.0.3"]),
    ];
    let plan = plan(&text.concat());
    let of = |address| policy(&plan, address);
    assert_eq!([of("192.0.2.10:80"), of("192.0.2.11:80")], [WIDE, WIDE], "they share a server and its port");
    assert_eq!(of("192.0.2.12:80"), Policy::Connection, "another port is another server");
    assert_eq!([of("192.0.2.13:21"), of("192.0.2.14:443")], [WHOLE, WHOLE], "FTP's server answers from any port");
    assert_eq!(plan.server(&(6, [10, 0, 0, 1].into(), 8080)), Some(WIDE), "also the servers they do not share");
    assert_eq!(plan.server(&(6, [10, 0, 0, 3].into(), 50_000)), Some(WHOLE));
    assert_eq!(plan.server(&(6, [10, 0, 0, 9].into(), 80)), None);
}

#[test]
fn a_strict_service_belongs_to_one_worker_from_its_edit_on() {
    let text =
        [service("192.0.2.10:80", "strict = true", &["10.0.0.1:80"]), service("192.0.2.11:80", "", &["10.0.0.2:80"])];
    let plan = plan(&text.concat());
    assert!(matches!(policy(&plan, "192.0.2.10:80"), Policy::Service(_)));
    assert_eq!(policy(&plan, "192.0.2.11:80"), Policy::Connection);
    assert_eq!(plan.server(&(6, [10, 0, 0, 1].into(), 80)), Some(policy(&plan, "192.0.2.10:80")), "its answers, too");

    let mut state = state(&web("nat"));
    let first = state.snapshot().clone();
    let mut steerer = Steerer::new(2, &RssKey::MICROSOFT, &first);
    let key = ServiceKey::Virtual { protocol: Protocol::Tcp, address: [192, 0, 2, 10].into(), port: 80 };
    let edit = crate::control::state::ServiceEdit { strict: Some(true), ..Default::default() };
    state.edit_service(&key, &edit).unwrap();
    let steps = steerer.publish(&first, state.snapshot());
    assert!(steps.iter().any(|step| step.moves), "its connections move there first");
}

#[test]
fn persistence_is_prepared_before_it_holds_and_given_up_behind() {
    let mut state = state(&web("nat"));
    let first = state.snapshot().clone();
    let mut steerer = Steerer::new(2, &RssKey::MICROSOFT, &first);
    let key = ServiceKey::Virtual { protocol: Protocol::Tcp, address: [192, 0, 2, 10].into(), port: 80 };
    let mut edit = |timeout_s: Option<u32>| {
        let mask = ClientMask::whole(Family::V4);
        let persistence = Some(timeout_s.map(|timeout_s| Persistence { timeout_s, mask, engine: None }));
        let edit = crate::control::state::ServiceEdit { persistence, ..Default::default() };
        state.edit_service(&key, &edit).unwrap();
        state.snapshot().clone()
    };
    let on = edit(Some(60));
    let steps = steerer.publish(&first, &on);
    let versions: Vec<_> = steps.iter().map(|step| (step.snapshot.version - first.version, step.moves)).collect();
    assert_eq!(versions, [(0, false), (0, true), (0, false), (1, false)]);
    let off = edit(None);
    let versions: Vec<_> =
        steerer.publish(&on, &off).iter().map(|step| (step.snapshot.version - first.version, step.moves)).collect();
    assert_eq!(versions, [(2, false), (2, false), (2, true), (2, false)]);
}

#[test]
fn what_the_steering_does_not_depend_on_is_one_step() {
    let mut state = state(&web("nat"));
    let first = state.snapshot().clone();
    let mut steerer = Steerer::new(2, &RssKey::MICROSOFT, &first);
    let key = ServiceKey::Virtual { protocol: Protocol::Tcp, address: [192, 0, 2, 10].into(), port: 80 };
    let edit = crate::control::state::DestinationEdit { weight: Some(7), ..Default::default() };
    state.edit_destination(&key, "10.0.0.1:80".parse().unwrap(), &edit).unwrap();
    let steps = steerer.publish(&first, state.snapshot());
    assert_eq!(steps.len(), 1);
    assert!(std::sync::Arc::ptr_eq(&steps[0].snapshot.steering, &steerer.settled()));
}

#[test]
fn a_service_that_is_gone_is_known_as_long_as_its_destinations_are() {
    let mut state = state(&web("nat"));
    let first = state.snapshot().clone();
    let mut steerer = Steerer::new(2, &RssKey::MICROSOFT, &first);
    let key = ServiceKey::Virtual { protocol: Protocol::Tcp, address: [192, 0, 2, 10].into(), port: 80 };
    state.delete_service(&key, Time::from_s(1)).unwrap();
    let gone = state.snapshot().clone();
    steerer.publish(&first, &gone);
    assert!(steerer.settled().rules.directory.services.contains_key(&key));
    state.collect(Time::from_s(1000), &|_| 0);
    steerer.publish(&gone, state.snapshot());
    assert!(!steerer.settled().rules.directory.services.contains_key(&key));
}

#[derive(Clone, Debug)]
struct Drawn {
    address: u8,
    port: u16,
    persistent: bool,
    servers: Vec<(u8, u16)>,
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let port = prop_oneof![Just(0), Just(21), Just(80), Just(8080)];
    let server_port = prop_oneof![Just(80), Just(8080), Just(50_000)];
    let servers = prop::collection::vec((1..5_u8, server_port), 1..4);
    (10..13_u8, port, any::<bool>(), servers).prop_map(|(address, port, persistent, servers)| {
        // a service on every port is a persistent one
        Drawn { address, port, persistent: persistent || port == 0, servers }
    })
}

proptest! {
    #[test]
    fn a_request_and_its_answer_have_the_same_owner(
        services in prop::collection::vec(drawn(), 1..6),
        clients in prop::collection::vec((any::<u32>(), any::<u16>()), 20),
    ) {
        let mut text = String::new();
        let mut taken = std::collections::HashSet::new();
        let services: Vec<_> =
            services.into_iter().filter(|service| taken.insert((service.address, service.port))).collect();
        for drawn in &services {
            let rest = if drawn.persistent { PERSISTENT } else { "" };
            let mut servers: Vec<_> = drawn.servers.iter().map(|(server, port)| match drawn.port {
                0 => format!("10.0.0.{server}"),
                _ => format!("10.0.0.{server}:{port}"),
            }).collect();
            servers.sort();
            servers.dedup();
            let servers: Vec<_> = servers.iter().map(String::as_str).collect();
            text += &service(&format!("192.0.2.{}:{}", drawn.address, drawn.port), rest, &servers);
        }
        let plan = plan(&text);
        let steering = Steering {
            now: std::sync::Arc::new(SlotTable::even(128)),
            rules: std::sync::Arc::new(rules(&plan, &plan)),
            ..Steering::default()
        };
        let v4 = |octets: [u8; 4]| Ip4::from(Ipv4Addr::from(octets));
        for drawn in &services {
            for ((client, client_port), (server, server_port)) in clients.iter().zip(drawn.servers.iter().cycle()) {
                let client = v4(client.to_be_bytes());
                let virtual_port = if drawn.port == 0 { 4711 } else { drawn.port };
                let server_port = if drawn.port == 0 { 4711 } else { *server_port };
                let request = Key {
                    source: client,
                    destination: v4([192, 0, 2, drawn.address]),
                    ports: ports(client_port.to_be_bytes(), virtual_port.to_be_bytes()),
                    kind: 6,
                };
                let answer = Key {
                    source: v4([10, 0, 0, *server]),
                    destination: client,
                    ports: ports(server_port.to_be_bytes(), client_port.to_be_bytes()),
                    kind: 6,
                };
                let owner = |key: &Key<Ip4>| steering.claim(key, None).map(|claim| steering.owners(&claim).now);
                prop_assert!(owner(&request).is_some());
                prop_assert_eq!(owner(&request), owner(&answer), "{:?} {:?}", drawn, plan);
            }
        }
    }
}

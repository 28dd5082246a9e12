//! Tests of the configuration as a whole.

mod diff;
mod keys;
mod mutations;
mod page;
mod refusals;

use super::*;
use crate::model::{Forward, Protocol, Tick};

/// A file that uses most of what there is; tests change one line of it.
const FILE: &str = r#"[dpdk]
eal_args = ["--no-pci"]
[[port]]
name = "client"
device = "net_tap0"
addresses = ["192.0.2.254/24"]
[[port]]
name = "server"
device = "net_tap1"
addresses = ["10.1.0.254/16"]
[[route]]
prefix = "0.0.0.0/0"
via = "192.0.2.1"
[[neighbour]]
port = "client"
address = "192.0.2.1"
mac = "02:00:00:00:00:02"
[[service]]
protocol = "tcp"
address = "192.0.2.10:80"
scheduler = "rr"
[[service.destination]]
address = "10.1.0.1:8080"
forward = "nat"
weight = 1
[[service]]
protocol = "udp"
address = "192.0.2.10:53"
[[service.destination]]
address = "10.1.0.2"
"#;

/// [`FILE`] with `old`, which must be there, replaced once.
fn edited(old: &str, new: &str) -> String {
    assert!(FILE.contains(old), "{old}");
    FILE.replacen(old, new, 1)
}

fn parse(text: &str) -> Config {
    Config::parse(text, "t.toml").unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[test]
fn a_file_becomes_what_it_says() {
    let config = parse(FILE);
    assert_eq!(config.dpdk, DpdkConfig { eal_args: vec!["--no-pci".to_owned()], secondary: false });
    let server = &config.ports[1];
    assert_eq!((server.name.as_str(), server.device.as_str(), server.mtu), ("server", "net_tap1", 1500));
    assert_eq!(server.addresses, ["10.1.0.254/16".parse().unwrap()]);
    let route = RouteConfig { prefix: "0.0.0.0/0".parse().unwrap(), via: Some("192.0.2.1".parse().unwrap()), port: 0 };
    assert_eq!(config.routes, [route]);
    let neighbour = NeighbourConfig { port: 0, address: "192.0.2.1".parse().unwrap(), mac: [2, 0, 0, 0, 0, 2] };
    assert_eq!(config.neighbours, [neighbour]);
    let web = &config.services[0];
    let address = "192.0.2.10".parse().unwrap();
    assert_eq!(web.key, ServiceKey::Virtual { protocol: Protocol::Tcp, address, port: 80 });
    assert_eq!(web.scheduler, SchedulerKind::Rr);
    let destination = DestinationConfig {
        address: "10.1.0.1".parse().unwrap(),
        port: 8080,
        forward: Forward::Nat,
        weight: 1,
        threshold_upper: 0,
        threshold_lower: 0,
    };
    assert_eq!(web.destinations, [destination]);
}

#[test]
fn what_is_left_out_is_as_in_ipvsadm() {
    let dns = &parse(FILE).services[1];
    assert_eq!(dns.scheduler, SchedulerKind::Wlc);
    let destination = &dns.destinations[0];
    assert_eq!((destination.port, destination.forward, destination.weight), (53, Forward::Dr, 1));
}

#[test]
fn packets_of_no_service_are_routed_by_default_only_when_there_is_nat() {
    assert!(parse(FILE).settings.forward);
    assert!(!parse(&edited(":8080\"\nforward = \"nat\"", "\"\nforward = \"tun\"")).settings.forward);
    assert!(!parse(&format!("[ip]\nforward = false\n{FILE}")).settings.forward);
}

#[test]
fn timeouts_are_seconds_in_the_file_and_ticks_inside() {
    let config = parse(&format!("[timeouts]\ntcp_synack_s = 7\nudp_s = 1\n{FILE}"));
    let mut expected = Timeouts { udp: Tick::PER_S, ..Timeouts::default() };
    expected.tcp[crate::model::state::TcpState::SynAck as usize] = 7 * Tick::PER_S;
    assert_eq!(config.timeouts, expected);
}

#[test]
fn switches_of_the_kernel_take_its_numbers_too() {
    let config = parse(&format!("[ipvs]\nsloppy_tcp = 1\npmtu_disc = 0\nexpire_nodest_conn = true\n{FILE}"));
    let settings = &config.settings;
    assert!(settings.sloppy_tcp && !settings.pmtu_disc && settings.expire_nodest_conn);
}

#[test]
fn numbers_may_be_written_as_toml_lets_one_write_them() {
    let config = parse(&format!("[connections]\ncapacity_per_worker = 0x10_0000\n{FILE}"));
    assert_eq!(config.connections.capacity_per_worker, 0x10_0000);
}

#[test]
fn a_gateway_is_on_the_port_with_the_longest_network_around_it() {
    let two = edited("\"192.0.2.254/24\"", "\"192.0.2.254/24\", \"10.1.128.1/24\"");
    let config = parse(&two.replacen("via = \"192.0.2.1\"", "via = \"10.1.128.2\"", 1));
    assert_eq!(config.routes[0].port, 0);
    let config = parse(&edited("via = \"192.0.2.1\"", "via = \"10.1.128.2\""));
    assert_eq!(config.routes[0].port, 1);
    let config = parse(&edited("via = \"192.0.2.1\"", "port = \"server\""));
    assert_eq!(config.routes[0], RouteConfig { prefix: "0.0.0.0/0".parse().unwrap(), via: None, port: 1 });
}

#[test]
fn one_device_serves_several_ports_by_vlan() {
    let text = edited("\"net_tap1\"", "\"net_tap0\"\nvlan = 100\nmtu = 9000\nmac = \"02:00:00:00:00:01\"");
    let port = &parse(&text).ports[1];
    assert_eq!((port.vlan, port.mtu, port.mac), (Some(100), 9000, Some([2, 0, 0, 0, 0, 1])));
}

#[test]
fn a_file_is_read_from_disk_and_a_missing_one_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pollux.toml");
    std::fs::write(&path, FILE).unwrap();
    assert_eq!(Config::load(&path).unwrap(), parse(FILE));
    std::fs::write(&path, b"# \n[dpdk]\neal_args = [\"\xff\"]").unwrap();
    let name = path.display();
    let error = Config::load(&path).unwrap_err().to_string();
    assert_eq!(error, format!("{name}:3: not valid TOML: a byte that is not UTF-8"));
    let error = Config::load(folder.path().join("none.toml")).unwrap_err().to_string();
    assert!(error.contains("none.toml: cannot be read: No such file or directory (os error 2); put "), "{error}");
}

//! The recordings' surroundings with services of every kind: forwarding methods times what services are asked for.

use pollux::control::config::Config;
use pollux::model::Tick;
use std::fmt::Write;

pub const MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 0xe1], [2, 0, 0, 0, 0, 0xa1]];

const PORTS: &str = r#"
[[port]]
name = "ext"
device = "net_null0"
addresses = ["192.0.2.1/24", "2001:db8:1::1/64"]
[[port]]
name = "int"
device = "net_null1"
addresses = ["10.10.0.1/24", "fd00:10::1/64"]
[[route]]
prefix = "0.0.0.0/0"
via = "192.0.2.254"
[[route]]
prefix = "10.20.0.0/24"
via = "10.10.0.254"
[[route]]
prefix = "::/0"
via = "2001:db8:1::fe"
[[route]]
prefix = "2001:db8:20::/64"
via = "fd00:10::fe"
"#;

/// The servers with numbers 12 and up are asked for.
const NEIGHBOURS: [(&str, &str, &str); 6] = [
    ("ext", "192.0.2.254", "02:00:00:00:0e:fe"),
    ("ext", "2001:db8:1::fe", "02:00:00:00:0e:fe"),
    ("int", "10.10.0.254", "02:00:00:00:0a:fe"),
    ("int", "fd00:10::fe", "02:00:00:00:0a:fe"),
    ("int", "10.10.0.11", "02:00:0a:0a:00:11"),
    ("int", "fd00:10::11", "02:00:0a:0a:00:11"),
];

/// How destinations are reached, and whether in the other family's packets.
const METHODS: [(&str, bool); 11] = [
    ("forward = \"nat\"", false),
    ("forward = \"dr\"", false),
    ("forward = \"tun\"", false),
    ("forward = \"tun\"\ntunnel = \"gre\"", false),
    ("forward = \"tun\"\ntunnel = \"gre\"\ntunnel_checksum = \"full\"", false),
    ("forward = \"tun\"\ntunnel = \"gue\"\ntunnel_port = 6080", false),
    ("forward = \"tun\"\ntunnel = \"gue\"\ntunnel_port = 6080\ntunnel_checksum = \"full\"", false),
    ("forward = \"tun\"\ntunnel = \"gue\"\ntunnel_port = 6080\ntunnel_checksum = \"remote\"", false),
    ("forward = \"tun\"", true),
    ("forward = \"tun\"\ntunnel = \"gre\"\ntunnel_checksum = \"full\"", true),
    ("forward = \"tun\"\ntunnel = \"gue\"\ntunnel_port = 6080\ntunnel_checksum = \"full\"", true),
];

/// Of a variant: `[ipvs]`; what TCP and what UDP services have besides.
const VARIANTS: [[&str; 3]; 4] = [
    ["", "", ""],
    [
        "expire_quiescent_template = true\nexpire_nodest_conn = true\nschedule_icmp = true\ncache_bypass = true",
        "persistence_timeout_s = 4",
        "persistence_timeout_s = 4",
    ],
    [
        "sloppy_tcp = true\nsloppy_sctp = true\nsecure_tcp = 3\ndrop_entry = 3\ndrop_packet = 3\nam_droprate = 5\n\
         nat_icmp_send = true\ncache_bypass = true\nconn_reuse_mode = 2\npmtu_disc = false\nlblc_expiration_s = 3",
        "",
        "one_packet = true",
    ],
    [
        "conn_reuse_mode = 3\nschedule_icmp = true\nsloppy_tcp = true\nnat_icmp_send = true",
        "tcp_established_s = 3\ntcp_fin_wait_s = 2\ndrain_deadline_s = 2\nreset_on_idle_expiry = true",
        "udp_s = 2\ndrain_deadline_s = 2\nreschedule_udp = true",
    ],
];

const SCHEDULERS: [&str; 12] = ["rr", "wrr", "lc", "wlc", "sed", "nq", "fo", "ovf", "sh", "dh", "mh", "lblcr"];

pub const COUNT: usize = METHODS.len() * VARIANTS.len();

/// One of [`COUNT`].
pub fn config(number: usize) -> Config {
    let [settings, tcp, udp] = VARIANTS[number / METHODS.len() % VARIANTS.len()];
    let mut text = format!("[ipvs]\n{settings}\n[ip]\nforward = true\n{PORTS}");
    for (port, address, mac) in NEIGHBOURS {
        let _ = write!(text, "[[neighbour]]\nport = \"{port}\"\naddress = \"{address}\"\nmac = \"{mac}\"\n");
    }
    for v6 in [false, true] {
        for mark in ["mark = 5\nprotocol = \"tcp\"", "mark = 6\nprotocol = \"udp\""] {
            let destination = if v6 { "2001:db8:1::102" } else { "192.0.2.102" };
            let _ = write!(text, "[[mark]]\n{mark}\ndestination = \"{destination}\"\n");
        }
        services(&mut text, number, v6, [tcp, udp]);
    }
    let mut config = Config::parse(&text, "fuzz.toml").unwrap_or_else(|error| panic!("{error}\n{text}"));
    let least = |ticks: u32| ticks.min(10 * Tick::PER_S);
    config.timeouts.tcp = config.timeouts.tcp.map(least);
    config.timeouts.sctp = config.timeouts.sctp.map(least);
    config.timeouts.udp = least(config.timeouts.udp);
    config
}

fn services(text: &mut String, number: usize, v6: bool, [tcp, udp]: [&str; 2]) {
    let first = if v6 { "[2001:db8:1::100]" } else { "192.0.2.100" };
    let second = if v6 { "[2001:db8:1::101]" } else { "192.0.2.101" };
    let family = if v6 { "ipv6" } else { "ipv4" };
    let addressed = |protocol, address, port| format!("protocol = \"{protocol}\"\naddress = \"{address}:{port}\"");
    let persistent = "persistence_timeout_s = 4";
    let sip = "persistence_timeout_s = 4\npersistence_engine = \"sip\"";
    let list = [
        (addressed("tcp", first, 80), 80, tcp),
        (addressed("tcp", second, 80), 80, ""),
        (addressed("udp", first, 53), 53, udp),
        (addressed("udp", first, 80), 80, udp),
        (addressed("udp", first, 500), 500, ""),
        (addressed("udp", first, 5060), 5060, sip),
        (addressed("sctp", first, 80), 80, ""),
        (addressed("tcp", first, 21), 21, persistent),
        (addressed("tcp", second, 0), 0, persistent),
        (format!("mark = 5\nfamily = \"{family}\""), 0, tcp),
        (format!("mark = 6\nfamily = \"{family}\""), 0, ""),
    ];
    for (at, (key, port, more)) in list.into_iter().enumerate() {
        let scheduler = SCHEDULERS[if at == 0 { 0 } else { (number + at) % SCHEDULERS.len() }];
        let _ = write!(text, "[[service]]\n{key}\nscheduler = \"{scheduler}\"\n{more}\n");
        destinations(text, number, v6, port);
    }
}

fn destinations(text: &mut String, number: usize, v6: bool, port: u16) {
    let (method, mixed) = METHODS[number % METHODS.len()];
    let net = match (method.contains("tun"), v6 != mixed) {
        (false, false) => "10.10.0.",
        (false, true) => "[fd00:10::",
        (true, false) => "10.20.0.",
        (true, true) => "[2001:db8:20::",
    };
    let end = if v6 != mixed { "]" } else { "" };
    for (server, weight) in [(11, 1), (12, 2)] {
        let _ = write!(
            text,
            "[[service.destination]]\naddress = \"{net}{server}{end}:{port}\"\n{method}\nweight = {weight}\n"
        );
    }
}

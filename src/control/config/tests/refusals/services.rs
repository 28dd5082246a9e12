//! Refused: services and marks.

use super::*;

#[test]
fn a_misspelt_protocol_names_the_nearest() {
    assert_eq!(
        refusal(r#"protocol = "udp""#, r#"protocol = "udpp""#),
        r#"t.toml:27: [[service]] `protocol`: unknown value "udpp", did you mean "udp"? Allowed: "tcp", "udp", "sctp""#
    );
}

#[test]
fn two_services_of_one_address_are_refused() {
    assert_eq!(
        refusal("protocol = \"udp\"\naddress = \"192.0.2.10:53\"", "protocol = \"tcp\"\naddress = \"192.0.2.10:80\""),
        "t.toml:28: [[service]] `address`: TCP 192.0.2.10:80 is already the service of line 20"
    );
}

#[test]
fn a_service_without_protocol_is_refused() {
    assert_eq!(
        refusal("protocol = \"udp\"\n", ""),
        r#"t.toml:26: [[service]] `protocol`: missing; for example `protocol = "udp"`"#
    );
}

#[test]
fn a_service_is_on_a_mark_or_on_an_address() {
    assert_eq!(
        refusal("protocol = \"udp\"\naddress", "mark = 7\naddress"),
        "t.toml:28: [[service]] `address`: the service is on a `mark`, whatever the packet's address; leave one of them out"
    );
    assert_eq!(
        refusal("protocol = \"udp\"", "family = \"ipv6\"\nprotocol = \"udp\""),
        "t.toml:27: [[service]] `family`: only services on a `mark` need it; others have the family of their address"
    );
    let twice = "mark = 7\n[[service]]\nmark = 7\n[[service.destination]]\naddress = \"10.1.0.2\"\n[[service]]\nmark = 7\nfamily = \"ipv6\"";
    assert_eq!(
        refusal(
            "protocol = \"udp\"\naddress = \"192.0.2.10:53\"\n[[service.destination]]\naddress = \"10.1.0.2\"",
            twice
        ),
        "t.toml:29: [[service]] `mark`: FWM 7 is already the service of line 27"
    );
}

#[test]
fn a_service_without_address_is_refused() {
    assert_eq!(
        refusal("address = \"192.0.2.10:53\"\n", ""),
        r#"t.toml:26: [[service]] `address`: missing; for example `address = "192.0.2.10:80"`"#
    );
}

#[test]
fn a_service_without_port_is_refused() {
    assert_eq!(
        refusal("192.0.2.10:53", "192.0.2.10"),
        r#"t.toml:28: [[service]] `address`: "192.0.2.10" needs a port, as in "192.0.2.10:80""#
    );
}

#[test]
fn a_service_on_every_port_needs_persistence() {
    assert_eq!(
        refusal("192.0.2.10:53", "192.0.2.10:0"),
        "t.toml:28: [[service]] `address`: port 0 (every port) needs persistence; add `persistence_timeout_s`, or give a port"
    );
}

#[test]
fn a_port_beyond_65535_is_refused() {
    assert_eq!(
        refusal("192.0.2.10:53", "192.0.2.10:65536"),
        r#"t.toml:28: [[service]] `address`: "192.0.2.10:65536" is not an address with port; expected one like "192.0.2.10:80", port at most 65535"#
    );
}

#[test]
fn a_loopback_address_is_no_virtual_address() {
    assert_eq!(
        refusal("192.0.2.10:53", "127.0.0.1:53"),
        "t.toml:28: [[service]] `address`: 127.0.0.1 is not a unicast address of the network"
    );
}

#[test]
fn a_misspelt_scheduler_names_the_nearest() {
    assert_eq!(
        refusal(r#"scheduler = "rr""#, r#"scheduler = "rrr""#),
        r#"t.toml:21: [[service]] `scheduler`: unknown value "rrr", did you mean "rr"? Allowed: "rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh", "twos""#
    );
}

#[test]
fn an_unknown_scheduler_lists_those_there_are() {
    assert_eq!(
        refusal(r#"scheduler = "rr""#, r#"scheduler = "roundrobin""#),
        r#"t.toml:21: [[service]] `scheduler`: unknown value "roundrobin". Allowed: "rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh", "twos""#
    );
}

#[test]
fn a_flag_of_another_scheduler_is_refused() {
    assert_eq!(
        refusal(r#"scheduler = "rr""#, r#"scheduler_flags = ["sh-port"]"#),
        r#"t.toml:21: [[service]] `scheduler_flags`: "sh-port" is a flag of scheduler sh, and this service's is wlc"#
    );
}

#[test]
fn a_mask_without_persistence_and_one_of_another_family_are_refused() {
    assert_eq!(
        refusal(r#"scheduler = "rr""#, "persistence_mask = \"255.255.255.0\""),
        "t.toml:21: [[service]] `persistence_mask`: there is no persistence; add `persistence_timeout_s`, or leave the key out"
    );
    assert_eq!(
        refusal(r#"scheduler = "rr""#, "persistence_timeout_s = 360\npersistence_mask = \"2001:db8::\""),
        r#"t.toml:22: [[service]] `persistence_mask`: "2001:db8::" is not a mask; expected one like "255.255.255.0""#
    );
}

#[test]
fn a_sysctl_that_is_no_key_is_refused_with_the_reason() {
    assert_eq!(
        refusal("[dpdk]", "[ipvs]\nconntrack = 1\n[dpdk]"),
        "t.toml:2: [ipvs] `conntrack`: a sysctl without a key here: no other connection tracking is kept: the director's own table is the only one; leave it out"
    );
}

#[test]
fn a_mark_rule_that_no_packet_fits_is_refused() {
    let rule = |keys: &str| refusal("[[service]]", &format!("[[mark]]\nmark = 1\n{keys}\n[[service]]"));
    assert_eq!(
        rule("destination_port = 80"),
        "t.toml:20: [[mark]] `destination_port`: ports are of tcp, udp and sctp; add `protocol`, or leave the key out"
    );
    assert_eq!(
        rule("protocol = \"tcp\"\nsource_port = \"81-80\""),
        r#"t.toml:21: [[mark]] `source_port`: "81-80" is neither a port nor a range of ports like "5000-5010""#
    );
    assert_eq!(
        rule("source = \"::/0\"\ndestination = \"192.0.2.1\""),
        "t.toml:21: [[mark]] `destination`: 192.0.2.1/32 and `source` ::/0 are of different address families: no packet fits"
    );
    assert_eq!(
        rule("port = \"cleint\""),
        r#"t.toml:20: [[mark]] `port`: no [[port]] has the name "cleint", did you mean "client"? Known ports: "client", "server""#
    );
    let many = "[[mark]]\nmark = 1\n".repeat(crate::model::limits::MARK_RULES_MAX);
    assert_eq!(
        refusal("[[service]]", &format!("{many}[[mark]]\nmark = 1\n[[service]]")),
        "t.toml:2066: [[mark]]: 1025 rules; at most 1024"
    );
}

#[test]
fn a_tunnel_is_told_what_it_lacks_and_what_has_no_meaning() {
    let tunnel = |keys: &str| refusal("10.1.0.1:8080\"\nforward = \"nat\"", &format!("10.1.0.1\"\n{keys}"));
    assert_eq!(
        tunnel("tunnel = \"gre\""),
        r#"t.toml:24: [[service.destination]] `tunnel`: "dr" has no tunnel; leave the key out, or use forward = "tun""#
    );
    assert_eq!(
        tunnel("forward = \"tun\"\ntunnel = \"gue\""),
        r#"t.toml:25: [[service.destination]] `tunnel_port`: missing; tunnel = "gue" needs the port it goes to"#
    );
    assert_eq!(
        tunnel("forward = \"tun\"\ntunnel = \"gre\"\ntunnel_port = 6080"),
        r#"t.toml:26: [[service.destination]] `tunnel_port`: only tunnel = "gue" has a port, not "gre""#
    );
    assert_eq!(
        tunnel("forward = \"tun\"\ntunnel_checksum = \"full\""),
        r#"t.toml:25: [[service.destination]] `tunnel_checksum`: tunnel = "ipip" has no checksum "full"; leave the key out"#
    );
}

#[test]
fn one_packet_scheduling_is_for_udp_only() {
    assert_eq!(
        refusal(r#"scheduler = "rr""#, "one_packet = true"),
        r#"t.toml:21: [[service]] `one_packet`: only UDP has one-packet scheduling; leave the key out, or use protocol = "udp""#
    );
}

#[test]
fn a_service_on_an_unknown_port_is_refused() {
    assert_eq!(
        refusal(r#"scheduler = "rr""#, r#"port = "lan""#),
        r#"t.toml:21: [[service]] `port`: no [[port]] has the name "lan". Known ports: "client", "server""#
    );
}

#[test]
fn one_address_answered_for_on_two_ports_is_refused() {
    assert_eq!(
        refusal(
            r#"192.0.2.10:53""#,
            "192.0.2.10:53\"\nport = \"server\"\n[[service]]\nprotocol = \"tcp\"\naddress = \"192.0.2.10:53\"\nport = \"client\""
        ),
        r#"t.toml:33: [[service]] `port`: 192.0.2.10 is answered for on port "server" (line 29); all services of an address name one"#
    );
}

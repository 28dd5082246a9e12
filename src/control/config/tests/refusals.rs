//! Every refusal, with its exact message.

use super::*;

/// The messages for a text that must be refused.
fn refused(text: &str) -> String {
    match Config::parse(text, "t.toml") {
        Ok(_) => panic!("taken:\n{text}"),
        Err(error) => error.to_string(),
    }
}

/// The messages for [`FILE`] with one line changed.
fn refusal(old: &str, new: &str) -> String {
    refused(&edited(old, new))
}

#[test]
fn an_unknown_key_names_the_nearest_known_one() {
    assert_eq!(
        refusal("addresses =", "adresses ="),
        "t.toml:6: [[port]] `adresses`: unknown key, did you mean `addresses`? Known keys: name, device, addresses, mac, vlan, mtu"
    );
}

#[test]
fn an_unknown_key_far_from_all_lists_those_there_are() {
    assert_eq!(
        refusal("addresses =", "wrong ="),
        "t.toml:6: [[port]] `wrong`: unknown key. Known keys: name, device, addresses, mac, vlan, mtu"
    );
}

#[test]
fn an_unknown_table_names_the_nearest_known_one() {
    assert_eq!(
        refusal("[[route]]", "[[rout]]"),
        "t.toml:11: `rout`: unknown table, did you mean [[route]]? Known tables: [dpdk], [workers], [connections], [timeouts], [ipvs], [ip], [[port]], [[route]], [[neighbour]], [[mark]], [[service]]"
    );
}

#[test]
fn a_key_outside_of_any_table_is_refused() {
    assert_eq!(
        refusal("[dpdk]", "mtu = 9000\n[dpdk]"),
        "t.toml:1: `mtu`: a key outside of any table. Known tables: [dpdk], [workers], [connections], [timeouts], [ipvs], [ip], [[port]], [[route]], [[neighbour]], [[mark]], [[service]]"
    );
}

#[test]
fn a_table_that_can_be_there_several_times_needs_double_brackets() {
    assert_eq!(refusal("[[route]]", "[route]"), "t.toml:11: `route`: write it as [[route]]; there can be several");
}

#[test]
fn a_table_that_is_there_once_needs_single_brackets() {
    assert_eq!(refusal("[dpdk]", "[[dpdk]]"), "t.toml:1: `dpdk`: write it as [dpdk]; there is one");
}

#[test]
fn a_table_is_no_number() {
    assert_eq!(
        refusal("[dpdk]", "workers = 1\n[dpdk]"),
        "t.toml:1: `workers`: found an integer, expected a table; write it as [workers]"
    );
}

#[test]
fn an_unknown_inner_table_names_the_nearest_known_one() {
    assert_eq!(
        refusal("[[service.destination]]", "[[service.destinations]]"),
        "t.toml:22: [[service]] `destinations`: unknown key, did you mean `destination`? Known keys: protocol, address, mark, family, scheduler, scheduler_flags, persistence_timeout_s, persistence_mask, persistence_engine, one_packet, strict, port, tcp_established_s, tcp_fin_wait_s, udp_s, drain_deadline_s, reset_on_idle_expiry, reschedule_udp, destination"
    );
}

#[test]
fn a_key_given_twice_is_refused() {
    assert_eq!(refusal("weight = 1", "weight = 1\nweight = 2"), "t.toml:26: not valid TOML, column 1: duplicate key");
}

#[test]
fn a_key_without_value_is_refused() {
    assert_eq!(
        refusal("weight = 1", "weight ="),
        "t.toml:25: not valid TOML, column 9: string values must be quoted, expected literal string"
    );
}

#[test]
fn a_weight_beyond_the_kernels_is_refused() {
    assert_eq!(
        refusal("weight = 1", "weight = 2147483648"),
        "t.toml:25: [[service.destination]] `weight`: 2147483648 is out of range; allowed: 0 to 2_147_483_647"
    );
}

#[test]
fn a_number_beyond_all_bounds_is_refused_in_short() {
    assert_eq!(
        refusal("weight = 1", "weight = 99999999999999999999999999999999999999999999999999999999999999999999999999999"),
        "t.toml:25: [[service.destination]] `weight`: 999999999999999999999999999999999999999999999999999999999999... is out of range; allowed: 0 to 2_147_483_647"
    );
}

#[test]
fn a_number_is_not_written_in_quotes() {
    assert_eq!(
        refusal("weight = 1", r#"weight = "1""#),
        "t.toml:25: [[service.destination]] `weight`: expected an integer, found a string; for example `weight = 3`"
    );
}

#[test]
fn an_element_of_the_wrong_type_is_told_by_its_own_line() {
    assert_eq!(
        refusal(r#"["--no-pci"]"#, "[\n\"--no-pci\",\n1]"),
        r#"t.toml:4: [dpdk] `eal_args`: expected an array of strings, found an integer; for example `eal_args = ["--no-huge", "--no-pci", "--vdev", "net_af_packet0,iface=veth0"]`"#
    );
}

#[test]
fn an_argument_that_pollux_derives_is_refused_with_the_reason() {
    assert_eq!(
        refusal(r#"["--no-pci"]"#, "[\"--no-pci\",\n\"-l\", \"0-3\"]"),
        r#"t.toml:3: [dpdk] `eal_args`: "-l" is derived from [workers] `cores`; name the cores there"#
    );
}

#[test]
fn an_empty_argument_is_refused() {
    assert_eq!(
        refusal(r#"["--no-pci"]"#, r#"[""]"#),
        "t.toml:2: [dpdk] `eal_args`: an argument is neither empty nor holds a NUL character"
    );
}

#[test]
fn no_workers_are_refused() {
    assert_eq!(
        refusal("[dpdk]", "[workers]\ncores = []\n[dpdk]"),
        "t.toml:2: [workers] `cores`: there must be a worker; name a core, or leave the key out for all"
    );
}

#[test]
fn a_core_beyond_all_machines_is_refused() {
    assert_eq!(
        refusal("[dpdk]", "[workers]\ncores = [1024]\n[dpdk]"),
        "t.toml:2: [workers] `cores`: 1024 is out of range; allowed: 0 to 1023; 1 to 128 entries"
    );
}

#[test]
fn a_misspelt_idle_policy_names_the_nearest() {
    assert_eq!(
        refusal("[dpdk]", "[workers]\nidle = \"spinn\"\n[dpdk]"),
        r#"t.toml:2: [workers] `idle`: unknown value "spinn", did you mean "spin"? Allowed: "spin", "yield", "sleep""#
    );
}

#[test]
fn an_unknown_idle_policy_lists_those_there_are() {
    assert_eq!(
        refusal("[dpdk]", "[workers]\nidle = \"busy\"\n[dpdk]"),
        r#"t.toml:2: [workers] `idle`: unknown value "busy". Allowed: "spin", "yield", "sleep""#
    );
}

#[test]
fn a_capacity_of_nothing_is_refused() {
    assert_eq!(
        refusal("[dpdk]", "[connections]\ncapacity_per_worker = 0\n[dpdk]"),
        "t.toml:2: [connections] `capacity_per_worker`: 0 is out of range; allowed: 1 to 268_435_455"
    );
}

#[test]
fn a_timeout_beyond_31_days_is_refused() {
    assert_eq!(
        refusal("[dpdk]", "[timeouts]\nudp_s = 2_678_401\n[dpdk]"),
        "t.toml:2: [timeouts] `udp_s`: 2678401 is out of range; allowed: 1 to 2_678_400"
    );
}

#[test]
fn a_misspelt_timeout_names_the_nearest() {
    assert_eq!(
        refusal("[dpdk]", "[timeouts]\ntcp_estabished_s = 1\n[dpdk]"),
        "t.toml:2: [timeouts] `tcp_estabished_s`: unknown key, did you mean `tcp_established_s`? Known keys: tcp_none_s, tcp_established_s, tcp_syn_sent_s, tcp_syn_recv_s, tcp_fin_wait_s, tcp_time_wait_s, tcp_close_s, tcp_close_wait_s, tcp_last_ack_s, tcp_listen_s, tcp_synack_s, udp_s"
    );
}

#[test]
fn the_kernels_name_without_its_unit_leads_to_the_key() {
    assert_eq!(
        refusal("[dpdk]", "[ipvs]\nlblc_expiration = 1\n[dpdk]"),
        "t.toml:2: [ipvs] `lblc_expiration`: unknown key, did you mean `lblc_expiration_s`? Known keys: sloppy_tcp, sloppy_sctp, expire_nodest_conn, expire_quiescent_template, conn_reuse_mode, pmtu_disc, drop_packet, am_droprate, drop_entry, secure_tcp, cache_bypass, nat_icmp_send, schedule_icmp, lblc_expiration_s, lblcr_expiration_s"
    );
}

#[test]
fn a_switch_is_on_or_off() {
    assert_eq!(
        refusal("[dpdk]", "[ipvs]\nsloppy_tcp = 2\n[dpdk]"),
        "t.toml:2: [ipvs] `sloppy_tcp`: 2 is out of range; allowed: true, false, 1, 0"
    );
}

#[test]
fn two_ports_of_one_name_are_refused() {
    assert_eq!(
        refusal(r#""server""#, r#""client""#),
        r#"t.toml:8: [[port]] `name`: "client" is already the port of line 4; names are unique"#
    );
}

#[test]
fn a_port_name_with_a_space_is_refused() {
    assert_eq!(
        refusal(r#""server""#, r#""ser ver""#),
        r#"t.toml:8: [[port]] `name`: "ser ver" cannot be a name; allowed: 1 to 32 letters, digits, `.`, `_`, `-`"#
    );
}

#[test]
fn two_ports_on_one_device_and_vlan_are_refused() {
    assert_eq!(
        refusal(r#""net_tap1""#, r#""net_tap0""#),
        r#"t.toml:9: [[port]] `device`: "net_tap0" without `vlan` is already the port of line 5; ports of one device differ in `vlan`"#
    );
}

#[test]
fn a_port_without_device_is_refused() {
    assert_eq!(
        refusal(r#""net_tap1""#, r#""""#),
        r#"t.toml:9: [[port]] `device`: "" cannot be a device; expected a PCI address like "0000:03:00.0", or a vdev's name like "net_af_packet0""#
    );
}

#[test]
fn a_vlan_beyond_4094_is_refused() {
    assert_eq!(
        refusal(r#""net_tap1""#, "\"x\"\nvlan = 4095"),
        "t.toml:10: [[port]] `vlan`: 4095 is out of range; allowed: 1 to 4094"
    );
}

#[test]
fn an_mtu_beyond_jumbo_frames_is_refused() {
    assert_eq!(
        refusal(r#""net_tap1""#, "\"x\"\nmtu = 9601"),
        "t.toml:10: [[port]] `mtu`: 9601 is out of range; allowed: 68 to 9600"
    );
}

#[test]
fn a_group_mac_address_is_refused() {
    assert_eq!(
        refusal(r#""net_tap1""#, "\"x\"\nmac = \"01:00:00:00:00:00\""),
        r#"t.toml:10: [[port]] `mac`: "01:00:00:00:00:00" is not a unicast MAC address; its first byte must be even, and not all are 0"#
    );
}

#[test]
fn a_mac_address_of_the_wrong_form_is_refused() {
    assert_eq!(
        refusal(r#""net_tap1""#, "\"x\"\nmac = \"1\""),
        r#"t.toml:10: [[port]] `mac`: "1" is not a MAC address; expected six pairs of hex digits like "02:00:00:00:00:01""#
    );
}

#[test]
fn a_port_address_needs_its_prefix_length() {
    assert_eq!(
        refusal(r#""10.1.0.254/16""#, r#""10.1.0.254""#),
        r#"t.toml:10: [[port]] `addresses`: "10.1.0.254" needs the length of its prefix, as in "10.1.0.254/24""#
    );
}

#[test]
fn a_prefix_length_beyond_the_address_is_refused() {
    assert_eq!(
        refusal(r#""10.1.0.254/16""#, r#""10.1.0.254/33""#),
        r#"t.toml:10: [[port]] `addresses`: "10.1.0.254/33" is not an address with prefix length; expected one like "192.0.2.254/24""#
    );
}

#[test]
fn a_multicast_address_is_no_ports() {
    assert_eq!(
        refusal(r#""10.1.0.254/16""#, r#""224.0.0.1/4""#),
        "t.toml:10: [[port]] `addresses`: 224.0.0.1 is not a unicast address of the network"
    );
}

#[test]
fn one_address_on_two_ports_is_refused() {
    assert_eq!(
        refusal(r#""10.1.0.254/16""#, r#""192.0.2.254/25""#),
        "t.toml:10: [[port]] `addresses`: 192.0.2.254 is already given in line 6"
    );
}

#[test]
fn a_route_with_host_bits_names_the_network() {
    assert_eq!(
        refusal("0.0.0.0/0", "10.0.0.1/8"),
        r#"t.toml:12: [[route]] `prefix`: "10.0.0.1/8" has bits set beyond its prefix; its network is "10.0.0.0/8""#
    );
}

#[test]
fn a_route_to_no_network_is_refused() {
    assert_eq!(
        refusal("0.0.0.0/0", "default"),
        r#"t.toml:12: [[route]] `prefix`: "default" is not a network; expected one like "10.0.0.0/8", or "0.0.0.0/0" for all"#
    );
}

#[test]
fn two_routes_to_one_network_are_refused() {
    assert_eq!(
        refusal("[[neighbour]]", "[[route]]\nprefix = \"0.0.0.0/0\"\nvia = \"192.0.2.2\"\n[[neighbour]]"),
        "t.toml:15: [[route]] `prefix`: 0.0.0.0/0 already has the route of line 12"
    );
}

#[test]
fn a_gateway_in_no_connected_network_is_refused() {
    assert_eq!(
        refusal(r#"via = "192.0.2.1""#, r#"via = "198.51.100.1""#),
        "t.toml:13: [[route]] `via`: 198.51.100.1 is in no port's network; there are: 192.0.2.0/24, 10.1.0.0/16"
    );
}

#[test]
fn a_gateway_that_its_port_does_not_reach_is_refused() {
    assert_eq!(
        refusal(r#"via = "192.0.2.1""#, "via = \"192.0.2.1\"\nport = \"server\""),
        r#"t.toml:13: [[route]] `via`: 192.0.2.1 is in no network of port "server"; there are: 10.1.0.0/16"#
    );
}

#[test]
fn a_gateway_that_is_the_director_is_refused() {
    assert_eq!(
        refusal(r#"via = "192.0.2.1""#, r#"via = "192.0.2.254""#),
        r#"t.toml:13: [[route]] `via`: 192.0.2.254 is the address of port "client" itself; give the router's"#
    );
}

#[test]
fn a_route_without_a_way_is_refused() {
    assert_eq!(
        refusal(r#"via = "192.0.2.1""#, ""),
        "t.toml:11: [[route]] `via`: missing; a route needs a next hop, or a `port` when its network is on the link there"
    );
}

#[test]
fn a_misspelt_port_name_names_the_nearest() {
    assert_eq!(
        refusal(r#"port = "client""#, r#"port = "cleint""#),
        r#"t.toml:15: [[neighbour]] `port`: no [[port]] has the name "cleint", did you mean "client"? Known ports: "client", "server""#
    );
}

#[test]
fn an_unknown_port_name_lists_those_there_are() {
    assert_eq!(
        refusal(r#"port = "client""#, r#"port = "wan""#),
        r#"t.toml:15: [[neighbour]] `port`: no [[port]] has the name "wan". Known ports: "client", "server""#
    );
}

#[test]
fn a_neighbour_that_is_the_director_is_refused() {
    assert_eq!(
        refusal(r#"address = "192.0.2.1""#, r#"address = "192.0.2.254""#),
        r#"t.toml:16: [[neighbour]] `address`: this is the address of port "client" itself"#
    );
}

#[test]
fn a_neighbour_without_whole_address_is_refused() {
    assert_eq!(
        refusal(r#"address = "192.0.2.1""#, r#"address = "192.0.2""#),
        r#"t.toml:16: [[neighbour]] `address`: "192.0.2" is not an IP address; expected one like "192.0.2.1""#
    );
}

#[test]
fn two_mac_addresses_for_one_neighbour_are_refused() {
    assert_eq!(
        refusal(
            "[[service]]",
            "[[neighbour]]\nport = \"client\"\naddress = \"192.0.2.1\"\nmac = \"02:00:00:00:00:03\"\n[[service]]"
        ),
        "t.toml:20: [[neighbour]] `address`: 192.0.2.1 already has the MAC address of line 16"
    );
}

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

#[test]
fn a_forwarding_method_by_ipvsadms_name_leads_to_ours() {
    assert_eq!(
        refusal(r#"forward = "nat""#, r#"forward = "masq""#),
        r#"t.toml:24: [[service.destination]] `forward`: unknown value "masq", did you mean "nat"? Allowed: "nat", "dr", "tun""#
    );
}

#[test]
fn a_misspelt_forwarding_method_names_the_nearest() {
    assert_eq!(
        refusal(r#"forward = "nat""#, r#"forward = "nta""#),
        r#"t.toml:24: [[service.destination]] `forward`: unknown value "nta", did you mean "nat"? Allowed: "nat", "dr", "tun""#
    );
}

#[test]
fn another_port_behind_dr_is_refused_with_the_reason() {
    assert_eq!(
        refusal(r#"forward = "nat""#, r#"forward = "dr""#),
        r#"t.toml:23: [[service.destination]] `address`: port 8080 differs from the service's 80, but "dr" leaves the packet as it is, so the real server sees port 80; leave `:8080` out, or use forward = "nat""#
    );
}

#[test]
fn another_port_behind_tun_is_refused_with_the_reason() {
    assert_eq!(
        refusal(r#"forward = "nat""#, r#"forward = "tun""#),
        r#"t.toml:23: [[service.destination]] `address`: port 8080 differs from the service's 80, but "tun" leaves the packet as it is, so the real server sees port 80; leave `:8080` out, or use forward = "nat""#
    );
}

#[test]
fn another_port_behind_the_default_method_is_refused_with_the_reason() {
    assert_eq!(
        refusal(r#""10.1.0.2""#, r#""10.1.0.2:54""#),
        r#"t.toml:30: [[service.destination]] `address`: port 54 differs from the service's 53, but "dr" leaves the packet as it is, so the real server sees port 53; leave `:54` out, or use forward = "nat""#
    );
}

#[test]
fn port_0_of_a_destination_is_refused() {
    assert_eq!(
        refusal("10.1.0.1:8080", "10.1.0.1:0"),
        "t.toml:23: [[service.destination]] `address`: port 0 is no port; give another, or leave it out"
    );
}

#[test]
fn a_destination_that_is_a_port_of_the_director_is_refused() {
    assert_eq!(
        refusal("10.1.0.1:8080", "10.1.0.254:8080"),
        r#"t.toml:23: [[service.destination]] `address`: 10.1.0.254 is the address of port "server": real servers on the director itself are not supported yet"#
    );
}

#[test]
fn a_destination_that_is_a_virtual_address_is_refused() {
    assert_eq!(
        refusal("10.1.0.1:8080", "192.0.2.10:8080"),
        "t.toml:23: [[service.destination]] `address`: 192.0.2.10 is a virtual address: real servers on the director itself are not supported yet"
    );
}

#[test]
fn a_destination_of_another_family_without_tunnel_is_refused() {
    assert_eq!(
        refusal("10.1.0.1:8080", "[2001:db8::1]:8080"),
        r#"t.toml:23: [[service.destination]] `address`: 2001:db8::1 with "nat" is of another address family than the service; only forward = "tun" takes it"#
    );
}

#[test]
fn a_destination_by_host_name_is_refused() {
    assert_eq!(
        refusal("10.1.0.1:8080", "web1"),
        r#"t.toml:23: [[service.destination]] `address`: "web1" is not an address with port; expected one like "192.0.2.10:80", port at most 65535"#
    );
}

#[test]
fn a_lower_threshold_without_upper_is_refused() {
    assert_eq!(
        refusal("weight = 1", "weight = 1\nthreshold_lower = 5"),
        "t.toml:26: [[service.destination]] `threshold_lower`: 5 is above `threshold_upper`, which is 0 (unlimited)"
    );
}

#[test]
fn a_lower_threshold_above_the_upper_is_refused() {
    assert_eq!(
        refusal("weight = 1", "weight = 1\nthreshold_upper = 4\nthreshold_lower = 5"),
        "t.toml:27: [[service.destination]] `threshold_lower`: 5 is above `threshold_upper`, which is 4"
    );
}

#[test]
fn two_destinations_of_one_address_are_refused_with_everything_else_that_is_wrong() {
    assert_eq!(
        refusal("[[service]]\nprotocol = \"udp\"", "[[service.destination]]\naddress = \"10.1.0.1:8080\"\n[[service]]\nprotocol = \"udp\""),
        [r#"t.toml:27: [[service.destination]] `address`: port 8080 differs from the service's 80, but "dr" leaves the packet as it is, so the real server sees port 80; leave `:8080` out, or use forward = "nat""#, "t.toml:27: [[service.destination]] `address`: 10.1.0.1:8080 is already the destination of line 23; one destination, one weight"].join("\n")
    );
}

#[test]
fn a_file_without_ports_is_refused() {
    assert_eq!(refused(""), "t.toml:1: [[port]]: there is none; the director needs at least one port");
}

#[test]
fn all_mistakes_of_a_file_are_told_at_once_in_its_order() {
    let text = edited("\"server\"", "\"client\"").replace("weight = 1", "forward = 1");
    assert_eq!(refused(&text), "t.toml:25: not valid TOML, column 1: duplicate key");
    let text = edited("addresses =", "adresses =").replace("weight = 1", "weight = -1").replace("mac =", "mac = 5 #");
    let lines: Vec<_> = Config::parse(&text, "t.toml").unwrap_err().problems().iter().map(|p| p.line).collect();
    assert_eq!(lines, [6, 17, 25]);
    let text = edited("\"server\"", "\"client\"").replace("\"rr\"", "\"rrr\"").replace("via = \"192", "via = \"193");
    let lines: Vec<_> = Config::parse(&text, "t.toml").unwrap_err().problems().iter().map(|p| p.line).collect();
    assert_eq!(lines, [8, 21], "whether a gateway is connected shows only once the ports are right");
}

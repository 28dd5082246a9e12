//! Refused: ports, routes and neighbours.

use super::*;

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

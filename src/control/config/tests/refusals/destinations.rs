//! Refused: destinations.

use super::*;

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

//! What a reload says it changes.

use super::*;

fn told(old: &str, new: &str) -> Vec<String> {
    changes(&parse(old), &parse(new)).iter().map(Change::to_string).collect()
}

fn told_of(old: &str, new: &str) -> Vec<String> {
    told(FILE, &edited(old, new))
}

fn restart_of(old: &str, new: &str) -> Vec<String> {
    restart_needed(&parse(FILE), &parse(&edited(old, new)))
}

const NONE: [&str; 0] = [];

#[test]
fn the_same_file_changes_nothing() {
    assert_eq!(told(FILE, FILE), NONE);
    assert_eq!(restart_needed(&parse(FILE), &parse(FILE)), NONE);
}

#[test]
fn another_scheduler_is_told_as_old_and_new() {
    assert_eq!(told_of("\"rr\"", "\"wrr\""), ["service TCP 192.0.2.10:80: scheduler rr -> wrr"]);
    let flags = "scheduler = \"sh\"\nscheduler_flags = [\"sh-port\"]";
    assert_eq!(
        told_of("scheduler = \"rr\"", flags),
        ["service TCP 192.0.2.10:80: scheduler rr -> sh", "service TCP 192.0.2.10:80: scheduler_flags none -> flag-2"]
    );
}

#[test]
fn another_weight_is_told_as_old_and_new() {
    assert_eq!(told_of("weight = 1", "weight = 3"), ["destination 10.1.0.1:8080 of TCP 192.0.2.10:80: weight 1 -> 3"]);
}

#[test]
fn every_field_of_a_destination_is_compared() {
    let new = edited(":8080\"\nforward = \"nat\"", "\"\nforward = \"tun\"\nthreshold_upper = 9\nthreshold_lower = 5");
    let old = edited(":8080", "");
    let destination = "destination 10.1.0.1:80 of TCP 192.0.2.10:80";
    assert_eq!(
        told(&old, &new),
        [
            format!("{destination}: forward nat -> tun"),
            format!("{destination}: threshold_upper 0 -> 9"),
            format!("{destination}: threshold_lower 0 -> 5"),
            "setting forward: true -> false".to_owned(),
        ]
    );
}

#[test]
fn a_destination_with_another_address_is_one_removed_and_one_added() {
    assert_eq!(
        told_of("10.1.0.1:8080", "10.1.0.4:80"),
        [
            "destination 10.1.0.1:8080 removed from TCP 192.0.2.10:80",
            "destination 10.1.0.4:80 added to TCP 192.0.2.10:80"
        ]
    );
}

#[test]
fn the_order_of_destinations_and_services_is_no_change() {
    let second = "[[service.destination]]\naddress = \"10.1.0.3\"\n";
    let first = "[[service.destination]]\naddress = \"10.1.0.2\"\n";
    assert_eq!(told(&format!("{FILE}{second}"), &edited(first, &format!("{second}{first}"))), NONE);
}

#[test]
fn a_new_service_brings_its_destinations_and_a_removed_one_takes_them_along() {
    let old = &FILE[..FILE.find("[[service]]\nprotocol = \"udp\"").unwrap()];
    let (added, destination) =
        ("service UDP 192.0.2.10:53 added", "destination 10.1.0.2:53 added to UDP 192.0.2.10:53");
    assert_eq!(told(old, FILE), [added, destination]);
    assert_eq!(told(FILE, old), ["service UDP 192.0.2.10:53 removed"]);
}

#[test]
fn the_port_that_answers_arp_is_told_by_name() {
    assert_eq!(
        told_of("scheduler = \"rr\"", "scheduler = \"rr\"\nport = \"client\""),
        ["service TCP 192.0.2.10:80: port none -> client"]
    );
}

#[test]
fn addresses_routes_and_neighbours_are_reloaded() {
    assert_eq!(
        told_of("\"10.1.0.254/16\"", "\"10.1.0.253/16\""),
        ["address 10.1.0.254/16 removed from port server", "address 10.1.0.253/16 added to port server"]
    );
    assert_eq!(
        told_of("via = \"192.0.2.1\"", "via = \"10.1.0.9\""),
        ["route 0.0.0.0/0: via 192.0.2.1 -> 10.1.0.9", "route 0.0.0.0/0: port client -> server"]
    );
    assert_eq!(told_of("0.0.0.0/0", "10.9.0.0/16"), ["route 0.0.0.0/0 removed", "route 10.9.0.0/16 added"]);
    assert_eq!(
        told_of("00:02\"", "00:03\""),
        ["neighbour 192.0.2.1 of port client: mac 02:00:00:00:00:02 -> 02:00:00:00:00:03"]
    );
    assert_eq!(
        told_of("address = \"192.0.2.1\"", "address = \"192.0.2.2\""),
        ["neighbour 192.0.2.1 removed from port client", "neighbour 192.0.2.2 added to port client"]
    );
}

#[test]
fn timeouts_and_settings_are_told_by_key() {
    let new = format!("[timeouts]\ntcp_established_s = 60\nudp_s = 9\n[ipvs]\nconn_reuse_mode = 0\n{FILE}");
    assert_eq!(
        told(FILE, &new),
        ["timeout tcp_established_s: 900 -> 60", "timeout udp_s: 300 -> 9", "setting conn_reuse_mode: 1 -> 0"]
    );
}

#[test]
fn what_only_a_start_can_change_says_restart_needed() {
    assert_eq!(
        restart_of("[\"--no-pci\"]", "[\"--no-huge\"]\nsecondary = true"),
        [
            "[dpdk] eal_args [\"--no-pci\"] -> [\"--no-huge\"]: restart needed",
            "[dpdk] secondary false -> true: restart needed"
        ]
    );
    let tables = "[workers]\ncores = [1]\nidle = \"sleep\"\n[connections]\ncapacity_per_worker = 5\n[dpdk]";
    assert_eq!(
        restart_of("[dpdk]", tables),
        [
            "[workers] cores default -> [1]: restart needed",
            "[workers] idle spin -> sleep: restart needed",
            "[connections] capacity_per_worker 1000000 -> 5: restart needed"
        ]
    );
    let port = "\"net_tap9\"\nvlan = 5\nmtu = 9000\nmac = \"02:00:00:00:00:09\"";
    assert_eq!(
        restart_of("\"net_tap1\"", port),
        [
            "[[port]] server device net_tap1 -> net_tap9: restart needed",
            "[[port]] server vlan none -> 5: restart needed",
            "[[port]] server mac the device's -> 02:00:00:00:00:09: restart needed",
            "[[port]] server mtu 1500 -> 9000: restart needed"
        ]
    );
}

#[test]
fn ports_come_and_go_and_move_only_by_restart() {
    assert_eq!(
        restart_of("\"server\"", "\"lan\""),
        ["[[port]] server removed: restart needed", "[[port]] lan added: restart needed"]
    );
    let mut moved = parse(FILE);
    moved.ports.reverse();
    assert_eq!(restart_needed(&parse(FILE), &moved), ["[[port]] order of ports: restart needed"]);
}

#[test]
fn what_a_reload_can_change_needs_no_restart() {
    for (old, new) in
        [("\"10.1.0.254/16\"", "\"10.1.0.253/16\""), ("weight = 1", "weight = 3"), ("0.0.0.0/0", "10.9.0.0/16")]
    {
        assert_eq!(restart_of(old, new), NONE);
    }
}

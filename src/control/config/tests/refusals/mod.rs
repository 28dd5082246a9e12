//! Every refusal, with its exact message: here those of a file's form, and of a file as a whole.

mod destinations;
mod ports;
mod services;
mod values;

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

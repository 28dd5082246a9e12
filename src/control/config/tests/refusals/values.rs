//! Refused: values in tables that are there once, and numbers, words and switches as such.

use super::*;

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

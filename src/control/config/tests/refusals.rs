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
fn placeholder() {
    for (old, new) in [
        ("addresses =", "adresses ="),
        ("addresses =", "wrong ="),
        ("[[route]]", "[[rout]]"),
        ("[dpdk]", "mtu = 9000\n[dpdk]"),
        ("[[route]]", "[route]"),
        ("[dpdk]", "[[dpdk]]"),
        ("[dpdk]", "workers = 1\n[dpdk]"),
        ("[[service.destination]]", "[[service.destinations]]"),
        ("weight = 1", "weight = 1\nweight = 2"),
        ("weight = 1", "weight ="),
        ("weight = 1", "weight = 2147483648"),
        ("weight = 1", "weight = 99999999999999999999999999999999999999999999999999999999999999999999999999999"),
        ("weight = 1", "weight = \"1\""),
        ("[\"--no-pci\"]", "[\n\"--no-pci\",\n1]"),
        ("[\"--no-pci\"]", "[\"--no-pci\",\n\"-l\", \"0-3\"]"),
        ("[\"--no-pci\"]", "[\"\"]"),
        ("[dpdk]", "[workers]\ncores = []\n[dpdk]"),
        ("[dpdk]", "[workers]\ncores = [1024]\n[dpdk]"),
        ("[dpdk]", "[workers]\nidle = \"spinn\"\n[dpdk]"),
        ("[dpdk]", "[workers]\nidle = \"busy\"\n[dpdk]"),
        ("[dpdk]", "[connections]\ncapacity_per_worker = 0\n[dpdk]"),
        ("[dpdk]", "[timeouts]\nudp_s = 2_678_401\n[dpdk]"),
        ("[dpdk]", "[timeouts]\ntcp_estabished_s = 1\n[dpdk]"),
        ("[dpdk]", "[ipvs]\nlblc_expiration = 1\n[dpdk]"),
        ("[dpdk]", "[ipvs]\nsloppy_tcp = 2\n[dpdk]"),
        ("\"server\"", "\"client\""),
        ("\"server\"", "\"ser ver\""),
        ("\"net_tap1\"", "\"net_tap0\""),
        ("\"net_tap1\"", "\"\""),
        ("\"net_tap1\"", "\"x\"\nvlan = 4095"),
        ("\"net_tap1\"", "\"x\"\nmtu = 9601"),
        ("\"net_tap1\"", "\"x\"\nmac = \"01:00:00:00:00:00\""),
        ("\"net_tap1\"", "\"x\"\nmac = \"1\""),
        ("\"10.1.0.254/16\"", "\"10.1.0.254\""),
        ("\"10.1.0.254/16\"", "\"10.1.0.254/33\""),
        ("\"10.1.0.254/16\"", "\"224.0.0.1/4\""),
        ("\"10.1.0.254/16\"", "\"2001:db8::1/64\""),
        ("\"10.1.0.254/16\"", "\"192.0.2.254/25\""),
        ("0.0.0.0/0", "10.0.0.1/8"),
        ("0.0.0.0/0", "default"),
        ("[[neighbour]]", "[[route]]\nprefix = \"0.0.0.0/0\"\nvia = \"192.0.2.2\"\n[[neighbour]]"),
        ("via = \"192.0.2.1\"", "via = \"198.51.100.1\""),
        ("via = \"192.0.2.1\"", "via = \"192.0.2.1\"\nport = \"server\""),
        ("via = \"192.0.2.1\"", "via = \"192.0.2.254\""),
        ("via = \"192.0.2.1\"", ""),
        ("port = \"client\"", "port = \"cleint\""),
        ("port = \"client\"", "port = \"wan\""),
        ("address = \"192.0.2.1\"", "address = \"192.0.2.254\""),
        ("address = \"192.0.2.1\"", "address = \"192.0.2\""),
        (
            "[[service]]",
            "[[neighbour]]\nport = \"client\"\naddress = \"192.0.2.1\"\nmac = \"02:00:00:00:00:03\"\n[[service]]",
        ),
        ("protocol = \"udp\"", "protocol = \"sctp\""),
        ("protocol = \"udp\"", "protocol = \"udpp\""),
        ("protocol = \"udp\"\naddress = \"192.0.2.10:53\"", "protocol = \"tcp\"\naddress = \"192.0.2.10:80\""),
        ("protocol = \"udp\"\n", ""),
        ("protocol = \"udp\"\naddress = \"192.0.2.10:53\"", "mark = 7"),
        ("address = \"192.0.2.10:53\"\n", ""),
        ("192.0.2.10:53", "192.0.2.10"),
        ("192.0.2.10:53", "192.0.2.10:0"),
        ("192.0.2.10:53", "192.0.2.10:65536"),
        ("192.0.2.10:53", "127.0.0.1:53"),
        ("192.0.2.10:53", "[2001:db8::10]:53"),
        ("scheduler = \"rr\"", "scheduler = \"rrr\""),
        ("scheduler = \"rr\"", "scheduler = \"roundrobin\""),
        ("scheduler = \"rr\"", "scheduler_flags = [\"sh-port\"]"),
        ("scheduler = \"rr\"", "persistence_timeout_s = 360\npersistence_mask = \"255.255.255.0\""),
        ("scheduler = \"rr\"", "one_packet = true"),
        ("scheduler = \"rr\"", "port = \"lan\""),
        (
            "192.0.2.10:53\"",
            "192.0.2.10:53\"\nport = \"server\"\n[[service]]\nprotocol = \"tcp\"\naddress = \"192.0.2.10:53\"\nport = \"client\"",
        ),
        ("forward = \"nat\"", "forward = \"masq\""),
        ("forward = \"nat\"", "forward = \"nta\""),
        ("forward = \"nat\"", "forward = \"dr\""),
        ("forward = \"nat\"", "forward = \"tun\""),
        ("\"10.1.0.2\"", "\"10.1.0.2:54\""),
        ("10.1.0.1:8080", "10.1.0.1:0"),
        ("10.1.0.1:8080", "10.1.0.254:8080"),
        ("10.1.0.1:8080", "192.0.2.10:8080"),
        ("10.1.0.1:8080", "[2001:db8::1]:8080"),
        ("10.1.0.1:8080", "web1"),
        ("weight = 1", "weight = 1\nthreshold_lower = 5"),
        ("weight = 1", "weight = 1\nthreshold_upper = 4\nthreshold_lower = 5"),
        (
            "[[service]]\nprotocol = \"udp\"",
            "[[service.destination]]\naddress = \"10.1.0.1:8080\"\n[[service]]\nprotocol = \"udp\"",
        ),
    ] {
        println!("\n@@ {old:?} {new:?}\n{}", refusal(old, new));
    }
    println!("{}", refused(""));
}

//! `docs/configuration.md` is made from the registry of keys.

use super::super::keys::{Absent, Change, Key, SYSCTLS_LEFT_OUT, Table};
use super::*;
use std::fmt::Write;

const HEAD: &str = r#"# Configuration

<!-- Made from src/control/config/keys.rs; `POLLUX_BLESS=1 cargo test --no-default-features configuration_page` writes it anew. -->

Pollux reads one TOML file: `pollux run --config FILE`; `pollux check FILE` only validates it. Every mistake is told with
file, line, key and what is allowed, and a file with a mistake changes nothing: a running director keeps what it has.
A key that is not on this page is a mistake.

`pollux reload` (or SIGHUP) applies the changed file. Keys marked *reload* change while traffic flows; connections to
destinations that stay are untouched. When a key marked *restart* has changed, the reload is refused with
"restart needed" and applies nothing at all.

A small director, as an example:

```toml
"#;

const EXAMPLE: &str = r#"[dpdk]
eal_args = ["--no-huge", "--no-pci", "--vdev", "net_af_packet0,iface=veth0", "--vdev", "net_af_packet1,iface=veth1"]

[workers]
cores = [1]

[[port]]
name = "client"
device = "net_af_packet0"
addresses = ["192.0.2.254/24", "2001:db8:1::fe/64"]

[[port]]
name = "server"
device = "net_af_packet1"
addresses = ["10.1.0.254/24", "fd00:10::fe/64"]

[[route]]
prefix = "0.0.0.0/0"
via = "192.0.2.1"

[[service]]
protocol = "tcp"
address = "192.0.2.10:80"
scheduler = "wlc"

[[service.destination]]
address = "10.1.0.1:8080"
forward = "nat"
weight = 1

[[service.destination]]
address = "10.1.0.2:8080"
forward = "nat"
weight = 3
"#;

/// What may be added to the example; `tests/docs.rs` does so.
const ADDITIONS: &str = r#"
What follows may be added to it, each by itself.

### Marks and persistence

HTTP and HTTPS of one address as one service: the rules give both one mark, and the clients of a network keep their server
for six minutes from their last new connection on, and as long as they have any. A service on a mark takes packets whatever their address; so nothing answers
ARP or ND for it: a router sends them here, or the address stands among the `addresses` of a `[[port]]`.

```toml
[[mark]]
mark = 1
protocol = "tcp"
destination = "198.51.100.10"
destination_port = 80

[[mark]]
mark = 1
protocol = "tcp"
destination = "198.51.100.10"
destination_port = 443

[[service]]
mark = 1
persistence_timeout_s = 360
persistence_mask = "255.255.255.0"

[[service.destination]]
address = "10.1.0.1"
forward = "dr"
```

Persistence by the call instead of the client's address, for SIP over UDP:

```toml
[[service]]
protocol = "udp"
address = "192.0.2.10:5060"
persistence_timeout_s = 600
persistence_engine = "sip"

[[service.destination]]
address = "10.1.0.1:5060"
forward = "nat"
```

### Tunnels

Real servers anywhere that IP reaches, each with a tunnel of its own kind. The address family of the tunnel may be another
than the service's.

```toml
[[service]]
protocol = "tcp"
address = "192.0.2.11:80"

[[service.destination]]
address = "10.1.0.1"
forward = "tun"

[[service.destination]]
address = "10.1.0.2"
forward = "tun"
tunnel = "gre"
tunnel_checksum = "full"

[[service.destination]]
address = "fd00:10::3"
forward = "tun"
tunnel = "gue"
tunnel_port = 6080
```

### IPv6

Addresses with a port stand in brackets. The ports' own IPv6 addresses make the connected networks, as those of IPv4 do.

```toml
[[service]]
protocol = "tcp"
address = "[2001:db8:1::10]:80"

[[service.destination]]
address = "[fd00:10::1]:8080"
forward = "nat"
```

### Departures from the kernel

Where the kernel's ways are not what one wants, a service can have others. Without these keys it does what the kernel does.

```toml
[[service]]
protocol = "tcp"
address = "192.0.2.12:5432"
tcp_established_s = 7_200   # its clients are idle for long; `[timeouts]` goes on for the others
drain_deadline_s = 600      # with weight 0, or removed, a server keeps its connections for ten minutes at most
reset_on_idle_expiry = true # and whoever was idle for longer is told, instead of waiting for ever

[[service.destination]]
address = "10.1.0.1:5432"
forward = "nat"

[[service]]
protocol = "udp"
address = "192.0.2.12:514"
reschedule_udp = true # one long flow of packets; it leaves a server with weight 0 at once

[[service.destination]]
address = "10.1.0.1:514"
forward = "nat"
```
"#;

fn page() -> String {
    let mut page = format!("{HEAD}{EXAMPLE}```\n{ADDITIONS}");
    for table in Table::ALL {
        write!(page, "\n## `{}`\n\n{}\n\n", table.heading(), table.explanation()).unwrap();
        page += "| key | type | unit | default | allowed | example | changed by | meaning |\n";
        page += "|---|---|---|---|---|---|---|---|\n";
        table.keys().for_each(|key| page += &row(key));
        if *table == Table::Ipvs {
            page += &left_out();
        }
    }
    page
}

fn left_out() -> String {
    let mut text = "\nSysctls of the kernel's that are no keys, and why:\n\n| sysctl | why |\n|---|---|\n".to_owned();
    SYSCTLS_LEFT_OUT.iter().for_each(|(name, reason)| text += &format!("| `{name}` | {reason} |\n"));
    text
}

fn row(key: &Key) -> String {
    let absent = match key.absent {
        Absent::Required => "**required**".to_owned(),
        Absent::Default(value) => format!("`{value}`"),
        Absent::Means(prose) => prose.to_owned(),
    };
    let change = match key.change {
        Change::Reload => "reload",
        Change::Restart => "restart",
    };
    let kind = key.kind.name().trim_start_matches("an ").trim_start_matches("a ");
    let allowed = key.allowed_text();
    let cells = [key.unit, &absent, &allowed, &format!("`{}`", key.example), change, key.explanation];
    let cells: Vec<_> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    format!("| `{}` | {kind} | {} |\n", key.name, cells.join(" | "))
}

#[test]
fn the_configuration_page_is_what_the_registry_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    if std::env::var_os("POLLUX_BLESS").is_some_and(|value| value == "1") {
        std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/docs")).unwrap();
        std::fs::write(path, page()).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == page(), "docs/configuration.md is not what keys.rs says; set POLLUX_BLESS=1 to write it anew");
}

#[test]
fn the_example_on_the_configuration_page_is_valid() {
    let config = parse(EXAMPLE);
    assert_eq!((config.ports.len(), config.services[0].destinations.len()), (2, 2));
}

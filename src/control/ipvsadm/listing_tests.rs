//! Against texts that ipvsadm 1.31 printed about a Linux 6.1 kernel.

use super::*;
use crate::control::api::views::DestCounts;

/// Several protocols and families, with connections.
const MULTI: &[&str] = &[
    "IP Virtual Server version 1.2.1 (size=4096)",
    "Prot LocalAddress:Port Scheduler Flags",
    "  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn",
    "TCP  192.0.2.100:80 rr",
    "  -> 10.10.0.11:8080              Masq    1      2          0         ",
    "  -> 10.10.0.12:80                Route   1      2          0         ",
    "  -> 10.20.0.13:80                Tunnel  1      3          0         ",
    "  -> 10.20.0.14:80                Tunnel  1      3          0         ",
    "TCP  192.0.2.101:80 wrr",
    "  -> 10.10.0.11:80                Masq    3      7          0         ",
    "  -> 10.10.0.12:80                Masq    1      3          0         ",
    "UDP  192.0.2.100:53 wlc",
    "  -> 10.10.0.11:53                Masq    1      0          3         ",
    "  -> 10.20.0.13:53                Tunnel  2      0          7         ",
    "SCTP 192.0.2.101:80 rr",
    "  -> 10.10.0.11:80                Masq    1      0          10        ",
    "TCP  [2001:db8:1::100]:80 rr",
    "  -> [fd00:10::11]:80             Masq    1      5          0         ",
    "  -> 10.20.0.12:80                Tunnel  1      5          0         ",
];

/// Every kind of service. Persistence engines are not ours, so that service is left out.
const KINDS: &[&str] = &[
    "IP Virtual Server version 1.2.1 (size=4096)",
    "Prot LocalAddress:Port Scheduler Flags",
    "  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn",
    "TCP  192.0.2.100:0 wlc persistent 60",
    "TCP  192.0.2.100:443 wlc persistent 360",
    "  -> 10.20.0.11:443               Tunnel  1      0          0         ",
    "  -> 10.20.0.12:443               Tunnel  1      0          0         ",
    "  -> 10.20.0.13:443               Tunnel  1      0          0         ",
    "  -> 10.20.0.14:443               Tunnel  1      0          0         ",
    "  -> 10.20.0.15:443               Tunnel  1      0          0         ",
    "  -> [2001:db8:20::11]:443        Tunnel  1      0          0         ",
    "TCP  192.0.2.100:444 wlc persistent 60 mask 255.255.255.0",
    "UDP  192.0.2.100:53 rr ops",
    "  -> 10.10.0.11:53                Masq    1      0          0         ",
    "SCTP 192.0.2.100:9000 wrr",
    "  -> 10.10.0.11:9000              Masq    1      0          0         ",
    "TCP  [2001:db8:1::100]:80 rr persistent 300 mask 64",
    "  -> [fd00:10::11]:80             Masq    1      0          0         ",
    "  -> 10.20.0.11:80                Tunnel  1      0          0         ",
    "FWM  7 sh (sh-port)",
    "  -> 10.10.0.11:0                 Route   5      0          0         ",
    "FWM  7 IPv6 sh (sh-fallback,sh-port)",
    "  -> [fd00:10::11]:0              Route   1      0          0         ",
];

/// Scheduler flags.
const FLAGS: &[&str] = &[
    "IP Virtual Server version 1.2.1 (size=4096)",
    "Prot LocalAddress:Port Scheduler Flags",
    "  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn",
    "TCP  192.0.2.100:80 mh (mh-fallback,mh-port)",
    "  -> 10.10.0.11:80                Masq    1      0          0         ",
    "  -> 10.10.0.12:80                Masq    2      2          3         ",
    "  -> 10.10.0.13:80                Masq    3      5          5         ",
    "  -> 10.10.0.14:80                Masq    4      8          3         ",
    "  -> 10.10.0.15:80                Masq    4      1          0         ",
    "  -> 10.10.0.16:80                Masq    6      2          0         ",
];

/// One-packet scheduling with a flag.
const OPS: &[&str] = &[
    "IP Virtual Server version 1.2.1 (size=4096)",
    "Prot LocalAddress:Port Scheduler Flags",
    "  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn",
    "UDP  192.0.2.100:53 mh (mh-port) ops",
    "  -> 10.20.0.11:53                Tunnel  5      0          0         ",
    "  -> 10.20.0.12:53                Tunnel  2      0          0         ",
    "  -> 10.20.0.13:53                Tunnel  3      0          0         ",
];

/// Connections of several protocols, families and states.
const CONNECTIONS: &[&str] = &[
    "IPVS connection entries",
    "pro expire state       source             virtual            destination",
    "SCTP 00:00  INIT1       198.51.100.1:44005 192.0.2.101:80     10.10.0.11:80",
    "TCP 14:56  ESTABLISHED [2001:db8:c::100]:44004 [2001:db8:1::100]:80 10.20.0.12:80",
    "TCP 14:56  ESTABLISHED [2001:db8:c::101]:44009 [2001:db8:1::100]:80 [fd00:10::11]:80",
    "TCP 14:56  ESTABLISHED 198.51.100.1:44001 192.0.2.100:80     10.20.0.14:80",
    "TCP 14:56  ESTABLISHED 198.51.100.1:44003 192.0.2.101:80     10.10.0.12:80",
    "TCP 14:56  ESTABLISHED 198.51.100.2:44006 192.0.2.100:80     10.20.0.13:80",
    "TCP 14:56  ESTABLISHED 198.51.100.2:44008 192.0.2.101:80     10.10.0.11:80",
    "UDP 04:56  UDP         198.51.100.1:44002 192.0.2.100:53     10.20.0.13:53",
    "UDP 04:56  UDP         198.51.100.2:44007 192.0.2.100:53     10.10.0.11:53",
    "TCP 00:03  ASSURED     198.51.100.130:0   192.0.2.100:80     10.10.0.13:80",
    "TCP 00:55  ASSURED     198.51.100.10:0    192.0.2.100:443    10.10.0.13:443",
    "TCP 00:55  ASSURED     198.51.100.11:0    192.0.2.100:443    10.10.0.12:443",
];

fn counts(active: &str, inactive: &str) -> DestCounts {
    DestCounts { active: active.parse().unwrap(), inactive: inactive.parse().unwrap(), ..DestCounts::default() }
}

fn parse_destination(line: &str) -> DestinationView {
    let words: Vec<_> = line.split_whitespace().collect();
    let at: SocketAddr = words[1].parse().unwrap();
    let forward = match words[2] {
        "Masq" => "nat",
        "Route" => "dr",
        "Tunnel" => "tun",
        other => panic!("{other}"),
    };
    DestinationView {
        address: at.ip(),
        port: at.port(),
        forward: forward.to_owned(),
        tunnel: None,
        weight: words[3].parse().unwrap(),
        threshold_upper: 0,
        threshold_lower: 0,
        counts: counts(words[4], words[5]),
    }
}

fn parse_service(line: &str) -> ServiceView {
    let words: Vec<_> = line.split_whitespace().collect();
    let after = |word: &str| words.iter().position(|w| *w == word).map(|i| words[i + 1]);
    let at = words[1].parse::<SocketAddr>().ok();
    let ipv6 = at.map_or(words[2] == "IPv6", |at| at.is_ipv6());
    let flags = words.iter().find_map(|w| w.strip_prefix('(')).map(|w| w.trim_end_matches(')'));
    ServiceView {
        protocol: if at.is_some() { words[0].to_lowercase() } else { "mark".to_owned() },
        address: at.map(|at| at.ip()),
        port: at.map(|at| at.port()),
        mark: if at.is_some() { None } else { words[1].parse().ok() },
        ipv6,
        scheduler: words[if at.is_none() && ipv6 { 3 } else { 2 }].to_owned(),
        scheduler_flags: flags.map_or(vec![], |flags| flags.split(',').map(str::to_owned).collect()),
        persistence_timeout_s: after("persistent").map(|timeout| timeout.parse().unwrap()),
        persistence_mask: after("mask").map(str::to_owned),
        persistence_engine: None,
        one_packet: words.contains(&"ops"),
        strict: false,
        former: DestCounts::default(),
        destinations: Vec::new(),
    }
}

/// The services of a listing, all lists turned round.
fn parse(lines: &[&str]) -> Vec<ServiceView> {
    let mut services: Vec<ServiceView> = Vec::new();
    for line in &lines[3..] {
        if line.starts_with("  ->") {
            services.last_mut().unwrap().destinations.insert(0, parse_destination(line));
        } else {
            services.push(parse_service(line));
        }
    }
    services.reverse();
    services
}

fn printed(print: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Vec<String> {
    let mut out = Vec::new();
    print(&mut out).unwrap();
    String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn services_are_listed_as_ipvsadm_lists_them() {
    for lines in [MULTI, KINDS, FLAGS, OPS] {
        assert_eq!(printed(|out| services(out, 4096, parse(lines))), lines);
    }
}

#[test]
fn connections_are_listed_as_ipvsadm_lists_them() {
    let lines = printed(|out| {
        connections_heading(out)?;
        CONNECTIONS[2..].iter().try_for_each(|line| connection(out, &parse_connection(line), &Numbers))
    });
    assert_eq!(lines, CONNECTIONS);
}

fn parse_connection(line: &str) -> ConnectionView {
    let words: Vec<_> = line.split_whitespace().collect();
    let (minutes, seconds) = words[1].split_once(':').unwrap();
    let number = |text: &str| text.parse::<u32>().unwrap();
    ConnectionView {
        protocol: words[0].to_owned(),
        client: words[3].parse().unwrap(),
        virtual_address: words[4].parse().unwrap(),
        destination: words[5].parse().unwrap(),
        state: words[2].to_owned(),
        expires_s: number(minutes) * 60 + number(seconds),
        engine: None,
    }
}

#[test]
fn hours_are_minutes() {
    assert_eq!([expire(0), expire(59), expire(899), expire(10_803)], ["00:00", "00:59", "14:59", "180:03"]);
}

#[test]
fn a_sort_by_an_intransitive_order_ends_and_loses_nothing() {
    // each stands before the next in ipvsadm's order, and the last before the first
    let ring = ["10.0.0.1", "100.0.0.1", "192.0.2.1", "10.0.0.1"].map(|text| text.parse::<IpAddr>().unwrap());
    for pair in ring.windows(2) {
        assert_eq!(compare_addresses(pair[0], pair[1]), Ordering::Less);
    }
    let mut addresses: Vec<_> =
        (0..1000_u32).map(|i| IpAddr::from(i.wrapping_mul(2_654_435_761).to_be_bytes())).collect();
    let mut expected = addresses.clone();
    merge_sort(&mut addresses, &|a, b| compare_addresses(*a, *b));
    expected.sort();
    addresses.sort();
    assert_eq!(addresses, expected);
}

#[test]
fn a_stable_order_is_kept_between_equals() {
    let mut pairs: Vec<(u32, u32)> = (0..100).map(|i| (i % 7, i)).collect();
    let mut expected = pairs.clone();
    merge_sort(&mut pairs, &|a, b| a.0.cmp(&b.0));
    expected.sort_by_key(|pair| pair.0);
    assert_eq!(pairs, expected);
}

struct LongNames;

impl Names for LongNames {
    fn host(&self, address: IpAddr) -> Option<String> {
        Some(if address.is_ipv4() { "server-with-a-very-long-name.example.org" } else { "six.example.org" }.to_owned())
    }
    fn service(&self, port: u16, protocol: &str) -> Option<String> {
        (port == 80 && protocol == "tcp").then(|| "http".to_owned())
    }
    fn address(&self, _: &str) -> Option<IpAddr> {
        None
    }
    fn port(&self, _: &str, _: &str) -> Option<u16> {
        None
    }
}

#[test]
fn names_of_ipv4_hosts_are_cut_to_their_columns_and_saved_whole() {
    let lines = printed(|out| list(out, parse(KINDS), Style::default(), &LongNames));
    let cut = |line: &&String| line.starts_with("TCP  ") && !line.contains('[');
    assert!(lines.iter().filter(cut).all(|line| line.starts_with("TCP  server-with-a-very-long-name ")), "{lines:#?}");
    let six = lines.iter().filter(|line| line.contains('['));
    assert!(six.clone().count() > 0 && six.into_iter().all(|line| line.contains("[six.example.org]:")), "{lines:#?}");
    let saved = printed(|out| super::super::save::save(out, parse(KINDS), &LongNames));
    assert!(saved.iter().any(|line| line.contains("server-with-a-very-long-name.example.org:")), "{saved:#?}");
}

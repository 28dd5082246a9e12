//! A running director as its operator meets it: signals, reloads, listings.
#![cfg(feature = "dpdk")]

mod process;

use nix::sys::signal::Signal;
use process::{CONFIG, Place, config};
use std::time::{Duration, Instant};

#[test]
fn sigterm_and_sigint_end_it_with_exit_code_0_and_without_its_socket() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let place = Place::new();
        let director = place.start(CONFIG);
        assert!(place.socket().exists());
        director.signal(signal);
        assert_eq!(director.wait().code(), Some(0), "{signal}");
        assert!(!place.socket().exists(), "{signal}");
    }
}

#[test]
fn sighup_reads_the_file_again_and_logs_what_changed() {
    let place = Place::new();
    let director = place.start(CONFIG);
    director.signal(Signal::SIGHUP);
    director.logs("reload: nothing changed");
    place.write(&config(&[(r#""rr""#, r#""wrr""#)]));
    director.signal(Signal::SIGHUP);
    let log = director.logs("reload: ");
    assert!(log.contains("service TCP 192.0.2.10:80: scheduler rr -> wrr"), "{log}");
    assert!(!log.contains('\u{1b}'), "no colours into a pipe: {log:?}");
    assert!(place.run(&["show", "services"]).out.contains("TCP  192.0.2.10:80 wrr"));
}

#[test]
fn a_socket_left_behind_by_a_killed_director_is_no_obstacle() {
    let place = Place::new();
    let director = place.start(CONFIG);
    director.signal(Signal::SIGKILL);
    assert_eq!(director.wait().code(), None);
    assert!(place.socket().exists());
    let _director = place.start(CONFIG);
    assert_eq!(place.run(&["show", "workers"]).code, Some(0));
}

#[test]
fn every_show_answers_as_a_table_and_as_json() {
    let place = Place::new();
    let _director = place.start(CONFIG);
    let topics = ["services", "destinations", "connections", "ports", "workers", "drops", "neighbours", "routes"];
    // without traffic there are no connections, and nobody's MAC address is wanted
    let rows = [1, 1, 0, 2, 1, pollux::model::DropReason::COUNT, 0, 2];
    for (topic, rows) in topics.into_iter().zip(rows) {
        let table = place.run(&["show", topic]);
        assert_eq!((table.code, table.err.as_str()), (Some(0), ""), "{topic}");
        assert!(table.out.lines().count() > rows, "{topic} has a heading: {}", table.out);
        let json = place.run(&["show", topic, "--json"]);
        assert_eq!((json.code, json.err.as_str()), (Some(0), ""), "{topic}");
        let array: Vec<serde_json::Value> = serde_json::from_str(&json.out).unwrap();
        assert_eq!(array.len(), rows, "{topic}: {}", json.out);
    }
}

/// net_null gives frames without end; what is in them is no packet for a director.
#[test]
fn what_arrives_and_is_not_forwarded_is_counted_with_a_reason() {
    let place = Place::new();
    let _director = place.start(&config(&[("net_null1,no-rx=1", "net_null1")]));
    let sum = |topic: &str, field: &str| -> u64 {
        let rows: Vec<serde_json::Value> = serde_json::from_str(&place.run(&["show", topic, "--json"]).out).unwrap();
        rows.iter().filter_map(|row| row[field].as_u64()).sum()
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    while sum("workers", "received") == 0 {
        assert!(Instant::now() < deadline, "nothing arrives");
    }
    let (received, dropped) = (sum("workers", "received"), sum("drops", "count"));
    assert!(dropped >= received, "everything that had arrived has its reason: {received}, {dropped}");
}

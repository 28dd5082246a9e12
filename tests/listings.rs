//! The commands of every recording, carried out on a state of Pollux: its listings are the recorded text, whatever the
//! packets did in between (their counts are left out).

use pollux::control::api::views::{DestCounts, ServiceView};
use pollux::control::config::{Config, ConnectionsConfig, DpdkConfig, Idle, PortConfig, WorkersConfig};
use pollux::control::ipvsadm::listing::{Columns, Style};
use pollux::control::ipvsadm::{self, listing, names::Numbers, save};
use pollux::control::state::{Opened, State};
use pollux::model::{PortId, Time};
use serde_json::Value;
use std::path::Path;

/// Buckets of the recorded kernel's connection table.
const TABLE_SIZE: u64 = 4096;

fn state() -> State {
    let port = |name: &str| PortConfig {
        name: name.to_owned(),
        device: name.to_owned(),
        vlan: None,
        mac: None,
        mtu: 1500,
        addresses: Vec::new(),
    };
    let names = ["ext", "int", "sync"];
    let config = Config {
        dpdk: DpdkConfig::default(),
        workers: WorkersConfig { cores: None, idle: Idle::Spin, rss_key: Default::default() },
        connections: ConnectionsConfig { capacity_per_worker: 1 },
        timeouts: Default::default(),
        settings: Default::default(),
        ports: names.map(port).to_vec(),
        routes: Vec::new(),
        neighbours: Vec::new(),
        marks: Vec::new(),
        services: Vec::new(),
    };
    let opened = names.map(|_| Opened { port: PortId(0), mac: [2; 6], udp_checksum_offload: false });
    State::new(config, &opened).unwrap()
}

fn services(state: &State) -> Vec<ServiceView> {
    let snapshot = state.snapshot();
    let view = |(_, service): (usize, &std::sync::Arc<_>)| {
        ipvsadm::views::service(snapshot, service, DestCounts::default(), &|_| DestCounts::default())
    };
    snapshot.services.iter().map(view).collect()
}

/// Carries out a command line; exit code and message.
fn execute(state: &mut State, line: &str, now: Time) -> (u64, String) {
    let command = ipvsadm::parse(line.split_whitespace().skip(1));
    match command.and_then(|command| ipvsadm::apply(state, &command, now)) {
        Ok(()) => (0, String::new()),
        Err(failure) => (failure.code.into(), format!("{}\n", failure.message)),
    }
}

/// Without the counts of connections at the end of a destination's line.
fn without_counts(text: &str) -> Vec<String> {
    let cut = |line: &str| match line.strip_prefix("  -> ") {
        Some(server) => server.split_whitespace().take(3).collect::<Vec<_>>().join(" "),
        None => line.to_owned(),
    };
    text.lines().map(cut).collect()
}

fn printed(print: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> String {
    let mut out = Vec::new();
    print(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// How many listings were compared.
fn compare(name: &str, state: &State, texts: &Value) -> usize {
    let mut compared = 0;
    if let Some(expected) = texts["Sn"].as_str() {
        assert_eq!(printed(|out| save::save(out, services(state), &Numbers)), expected, "{name}: -S -n");
        compared += 1;
    }
    if let Some(expected) = texts["Ln"].as_str() {
        let ours = printed(|out| listing::services(out, TABLE_SIZE, services(state)));
        assert_eq!(without_counts(&ours), without_counts(expected), "{name}: -L -n");
        compared += 1;
    }
    if let Some(expected) = texts["thr"].as_str() {
        let style = Style { columns: Columns::Thresholds, ..Style::default() };
        let ours = printed(|out| {
            listing::version(out, TABLE_SIZE)?;
            listing::list(out, services(state), style, &Numbers)
        });
        assert_eq!(without_counts(&ours), without_counts(expected), "{name}: -L -n --thresholds");
        compared += 1;
    }
    compared
}

fn play(path: &Path) -> usize {
    let name = path.file_stem().unwrap().to_string_lossy().into_owned();
    let vector: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let empty = Vec::new();
    let list = |key: &str| vector[key].as_array().unwrap_or(&empty).clone();
    let mut state = state();
    let mut compared = 0;
    for (index, step) in list("setup").into_iter().chain(list("steps")).enumerate() {
        let now = Time::from_s(1000 + index as u64);
        if let Some(line) = step["cmd"].as_str().filter(|line| line.starts_with("ipvsadm ")) {
            let recorded = (step["rc"].as_u64().unwrap_or(0), step["stderr"].as_str().unwrap_or("").to_owned());
            assert_eq!(execute(&mut state, line, now), recorded, "{name}: {line}");
        }
        compared += compare(&name, &state, &step["snap"]);
    }
    compared + compare(&name, &state, &vector["final"])
}

#[test]
fn listings_of_every_recording_are_the_recorded_text() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let mut compared = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // those are about connection synchronisation and netlink, which are not there yet
        if name.ends_with(".json") && !name.starts_with("sync-") && !name.starts_with("netlink-") {
            compared += play(&path);
        }
    }
    assert!(compared > 300, "{compared} listings only");
}

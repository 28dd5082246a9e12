//! Replays what a Linux 6.1 kernel decided, recorded in `tests/vectors/`, against the schedulers alone: pools come
//! from the recorded ipvsadm commands, loads from the recorded tables, and for every packet that starts a connection
//! the destination (or that there is none) must be the recorded one.

use pollux::model::{DestId, Time};
use pollux::sched::{Candidate, Flow, Loads, Options, Plan, Pool, Ranking, SchedulerKind, State, Succession};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

type Tuple = (IpAddr, u16, IpAddr, u16);

/// A destination's row of the recorded service table, and its thresholds.
#[derive(Clone, Copy, Debug, Default)]
struct Row {
    active: u32,
    inactive: u32,
    upper: u32,
    lower: u32,
    overloaded: bool,
}

impl Row {
    /// IPVS looks at the thresholds when a connection comes or goes.
    fn check_thresholds(&mut self) {
        let total = self.active + self.inactive;
        let clear_below = if self.lower > 0 { self.lower } else { self.upper - self.upper / 4 };
        if self.upper == 0 || total < clear_below {
            self.overloaded = false;
        } else if total >= self.upper {
            self.overloaded = true;
        }
    }
}

#[derive(Default)]
struct Table(HashMap<DestId, Row>);

impl Loads for Table {
    fn active(&self, dest: DestId) -> u32 {
        self.0[&dest].active
    }
    fn inactive(&self, dest: DestId) -> u32 {
        self.0[&dest].inactive
    }
    fn is_overloaded(&self, dest: DestId) -> bool {
        self.0[&dest].overloaded
    }
}

/// The one service of a recording.
struct Service {
    kind: SchedulerKind,
    options: Options,
    ids: BTreeMap<SocketAddr, DestId>,
    pool: Pool,
    plan: Plan,
    state: State,
    table: Table,
}

impl Service {
    fn new(words: &[&str]) -> Self {
        let kind = SchedulerKind::from_name(after(words, "-s").expect("a scheduler")).expect("a known scheduler");
        let flags: HashSet<&str> = after(words, "-b").into_iter().flat_map(|list| list.split(',')).collect();
        let has = |flag: &str| flags.contains(format!("{kind}-{flag}").as_str());
        let options = Options { fallback: has("fallback"), port: has("port"), ..Options::default() };
        let pool = Pool::default();
        let plan = Plan::make(kind, &pool, options).expect("a plan");
        let state = State::new(&pool, &plan);
        Self { kind, options, ids: BTreeMap::new(), pool, plan, state, table: Table::default() }
    }

    /// `ipvsadm -a | -e | -d`.
    fn change_destination(&mut self, words: &[&str]) {
        let address = server(after(words, "-r").expect("a server"));
        let next = DestId(self.ids.len() as u32);
        let id = *self.ids.entry(address).or_insert(next);
        let number = |flag| after(words, flag).map(|n| n.parse::<u32>().expect("a number"));
        let weight = number("-w").unwrap_or(1);
        let mut list = self.pool.candidates().to_vec();
        match words[1] {
            "-d" => list.retain(|c| c.id != id),
            "-a" => {
                let (address, port) = (address.ip(), address.port());
                list.insert(0, Candidate { id, weight, last_weight: weight, address, port });
            }
            _ => {
                let edited = list.iter_mut().find(|c| c.id == id).expect("it is in the list");
                edited.weight = weight;
                edited.last_weight = if weight > 0 { weight } else { edited.last_weight };
            }
        }
        if words[1] != "-d" {
            let row = self.table.0.entry(id).or_default();
            (row.upper, row.lower) = (number("-x").unwrap_or(0), number("-y").unwrap_or(0));
            row.overloaded &= row.upper > 0;
        }
        let pool = Pool::new(list);
        self.plan = Plan::make(self.kind, &pool, self.options).expect("a plan");
        let succession = Succession::between(&self.pool, &pool, |gone| self.state.depart(gone));
        self.state.update(Some(&succession), &pool, &self.plan);
        self.pool = pool;
    }

    fn schedule(&mut self, flow: &Flow) -> Option<IpAddr> {
        let ranking = Ranking::new(self.kind, self.pool.loads(&self.table));
        let chosen = self.state.schedule(&self.pool, &self.plan, &ranking, &self.table, flow);
        chosen.map(|i| self.pool.candidates()[i].address)
    }

    fn learn(&mut self, row: &Value) {
        let id = self.ids[&server(text(&row[1]))];
        let known = self.table.0.entry(id).or_default();
        (known.active, known.inactive) = (number(&row[4]), number(&row[5]));
        known.check_thresholds();
    }
}

/// What a recording's decisions came to.
#[derive(Default, Debug)]
struct Tally {
    decisions: usize,
    refusals: usize,
}

fn replay(path: &Path) -> Tally {
    let file = std::fs::File::open(path).expect("the vector opens");
    let vector: Value = serde_json::from_reader(std::io::BufReader::new(file)).expect("the vector is JSON");
    let mut service = None;
    for entry in array(&vector["setup"]) {
        let words: Vec<&str> = entry.as_str().or(entry["cmd"].as_str()).expect("a command").split(' ').collect();
        match words[..] {
            ["ipvsadm", "-A", ..] => service = Some(Service::new(&words)),
            ["ipvsadm", "-a", ..] => service.as_mut().expect("a service").change_destination(&words),
            _ => {}
        }
    }
    let mut service = service.expect("a service");
    let mut connections: HashMap<Tuple, String> = HashMap::new();
    let mut tally = Tally::default();
    for step in array(&vector["steps"]) {
        let name = format!("{} step {}", path.display(), step["n"]);
        match text(&step["op"]) {
            "ctl" => {
                let words: Vec<&str> = text(&step["cmd"]).split(' ').filter(|word| !word.is_empty()).collect();
                assert!(matches!(words[..], ["ipvsadm", "-a" | "-e" | "-d", ..]), "{name}: {words:?}");
                service.change_destination(&words);
            }
            "frame" => decide(&mut service, &vector, step, &connections, &mut tally, &name),
            _ => {}
        }
        for row in array(&step["conn-"]) {
            connections.remove(&tuple(row));
        }
        for row in array(&step["conn+"]) {
            connections.insert(tuple(row), text(&row[7]).to_owned());
        }
        array(&step["svc+"]).iter().for_each(|row| service.learn(row));
    }
    tally
}

/// If the frame starts a connection, compares the decision.
fn decide(
    service: &mut Service,
    vector: &Value,
    step: &Value,
    connections: &HashMap<Tuple, String>,
    tally: &mut Tally,
    name: &str,
) {
    // replies come from servers and name no flow or come in elsewhere
    if text(&step["port"]) != "ext" || !step["by"].is_null() {
        return;
    }
    let flow = &vector["flows"][text(&step["flow"])];
    let (client, client_port) = (address(&flow["c"]), port(&flow["cport"]));
    let (destination, destination_port) = (address(&flow["v"]), port(&flow["vport"]));
    let key = (client, client_port, destination, destination_port);
    let state = connections.get(&key).map(String::as_str);
    if !starts(text(&flow["l4"]), text(&step["hex"]), state) {
        return;
    }
    let now = Time::from_ms((step["t"].as_f64().expect("a time") * 1000.0) as u64);
    let decision = service.schedule(&Flow { client, client_port, destination, destination_port, now });
    let recorded = array(&step["conn+"]).iter().rfind(|row| tuple(row) == key).map(|row| address(&row[5]));
    // cache_bypass sends what nobody takes to where it was going, and has a connection for it
    let recorded = recorded.filter(|address| !address.is_unspecified());
    assert_eq!(decision, recorded, "{name}: {:?} {:?}", service.pool.candidates(), service.table.0);
    tally.decisions += 1;
    tally.refusals += usize::from(decision.is_none());
}

/// Does IPVS schedule this frame? A TCP SYN, or any packet of another protocol, unless it has a live connection.
fn starts(l4: &str, hex: &str, state: Option<&str>) -> bool {
    let byte = |at: usize| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hex");
    let is_v6 = byte(12) == 0x86;
    let header = 14 + if is_v6 { 40 } else { usize::from(byte(14) & 15) * 4 };
    let can_start = match l4 {
        "tcp" => byte(header + 13) & 0b110 == 0b010,
        // an INIT chunk
        "sctp" => byte(header + 12) == 1,
        _ => true,
    };
    // conn_reuse_mode 1: finished connections make way for a new one
    can_start && matches!(state, None | Some("TIME_WAIT" | "CLOSE" | "CLOSED"))
}

fn after<'a>(words: &[&'a str], flag: &str) -> Option<&'a str> {
    words.iter().position(|word| *word == flag).map(|at| words[at + 1])
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("a string: {value}"))
}

fn number(value: &Value) -> u32 {
    value.as_u64().expect("a number") as u32
}

fn port(value: &Value) -> u16 {
    value.as_u64().expect("a port") as u16
}

fn address(value: &Value) -> IpAddr {
    text(value).trim_matches(['[', ']']).parse().expect("an address")
}

fn server(name: &str) -> SocketAddr {
    name.parse().expect("address:port")
}

fn tuple(row: &Value) -> Tuple {
    (address(&row[1]), port(&row[2]), address(&row[3]), port(&row[4]))
}

fn vectors(prefix: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let files = std::fs::read_dir(folder).expect("tests/vectors").map(|entry| entry.expect("an entry").path());
    let is_ours = |path: &PathBuf| {
        let name = path.file_name().expect("a name").to_string_lossy();
        name.starts_with(prefix) && name.ends_with(".json")
    };
    let mut files: Vec<PathBuf> = files.filter(is_ours).collect();
    files.sort();
    files
}

fn replay_all(prefix: &str) -> (usize, Tally) {
    let files = vectors(prefix);
    let mut total = Tally::default();
    for path in &files {
        let tally = replay(path);
        assert!(tally.decisions > 5, "{} has decisions: {tally:?}", path.display());
        total.decisions += tally.decisions;
        total.refusals += tally.refusals;
    }
    println!("{prefix}: {} vectors, {total:?}", files.len());
    (files.len(), total)
}

#[test]
fn the_orders_of_selection_are_the_kernels() {
    let (files, tally) = replay_all("order-");
    assert!(files == 17 && tally.decisions > 1000, "{files} files, {tally:?}");
}

#[test]
fn decisions_under_churn_of_connections_weights_and_servers_are_the_kernels() {
    let (files, tally) = replay_all("sched-");
    assert!(files == 47 && tally.decisions > 1000 && tally.refusals > 100, "{files} files, {tally:?}");
}

#[test]
fn decisions_with_thresholds_are_the_kernels() {
    let (files, tally) = replay_all("thresholds-");
    assert!(files == 5 && tally.decisions > 50, "{files} files, {tally:?}");
}

#[test]
fn decisions_in_front_of_transparent_caches_are_the_kernels() {
    let (files, tally) = replay_all("transit-");
    assert!(files == 2 && tally.decisions > 50, "{files} files, {tally:?}");
}

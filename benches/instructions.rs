//! Instructions a packet, counted by valgrind's callgrind: unlike times, the same in every run, whatever else the machine
//! does. `scripts/bench.sh instructions` runs it.
//!
//! Each workload runs in a process of its own under callgrind, which counts only what is below [`counted`]. The result is
//! held against `benches/instructions.txt`; more than 5 % above it is a failure. Arguments are parts of workloads' names
//! (none: all), `--bless`, which writes the file anew, and `--alone WORKLOAD`, for the process under callgrind.

mod support;

use arrayvec::ArrayVec;
use pollux::dataplane::frame::Frame;
use pollux::model::limits::BURST;
use pollux::wire::address::{Address, Ip4, Ip6};
use pollux::wire::parse::{Parsed, parse_into};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::thread;
use support::bench::{BETWEEN_BURSTS_NS, Bench};
use support::lookup;
use support::packets::SYN;
use support::setup::{Setup, Version};

/// How much more than the baseline is a failure, in percent.
const GROWTH_MAX: f64 = 5.0;
/// What established packets belong to: the table fits into the cache, and each is met once on average.
const FLOWS: u32 = 4096;

/// What is counted: everything this calls. Its name is what callgrind is told.
#[inline(never)]
fn counted(work: &mut dyn FnMut()) {
    work();
    // not the last thing: a tail call would be no call
    black_box(());
}

/// Something to count: it says how many packets (or what it is about) its counted part has seen to.
struct Workload {
    name: String,
    run: Box<dyn Fn() -> u32>,
}

fn workload(name: impl Into<String>, run: impl Fn() -> u32 + 'static) -> Workload {
    Workload { name: name.into(), run: Box::new(run) }
}

/// What is counted depends on no processor.
fn same_everywhere() -> Setup<'static> {
    Setup { ahead: Some(16), ..Setup::default() }
}

fn workloads() -> Vec<Workload> {
    let mut all = vec![];
    for (version, v) in [(Version::V4, "v4"), (Version::V6, "v6")] {
        for method in ["dr", "tun", "nat"] {
            all.push(workload(format!("established/{method}/{v}"), move || established(version, method, BURST)));
        }
        all.push(workload(format!("replies/nat/{v}"), move || replies(version)));
        all.push(workload(format!("parse/{v}"), move || parse(version)));
    }
    for burst in [1, 4, 16] {
        all.push(workload(format!("burst of {burst}/dr/v4"), move || established(Version::V4, "dr", burst)));
    }
    for scheduler in ["wlc", "lc", "wrr", "rr", "sh", "mh"] {
        for destinations in [10, 10_000] {
            // the largest pool that mh takes is 4093
            if scheduler != "mh" || destinations <= 4093 {
                let name = format!("new/{scheduler}/{destinations} destinations");
                all.push(workload(name, move || new(Setup { scheduler, destinations, ..same_everywhere() })));
            }
        }
    }
    all.push(workload("new/nat/v4", || new(Setup { method: "nat", ..same_everywhere() })));
    all.push(workload("new/dr/v6", || new(Setup { version: Version::V6, ..same_everywhere() })));
    all.push(workload("look-up/hit/v4", || look_up::<Ip4>(0)));
    all.push(workload("look-up/hit/v6", || look_up::<Ip6>(0)));
    all.push(workload("look-up/miss/v4", || look_up::<Ip4>(FLOWS)));
    all.push(workload("look-up/miss/v6", || look_up::<Ip6>(FLOWS)));
    all.push(workload("expiry/dr/v4", expiry));
    all.push(workload("idle poll", idle));
    all
}

fn established(version: Version, method: &str, burst: usize) -> u32 {
    let mut bench = Bench::with_flows(Setup { version, method, ..same_everywhere() }, FLOWS);
    for _ in 0..FLOWS as usize / burst {
        let mut frames = bench.random_frames(burst, FLOWS);
        count_burst(&mut bench, &mut frames, BETWEEN_BURSTS_NS);
    }
    FLOWS
}

fn replies(version: Version) -> u32 {
    let mut bench = Bench::with_flows(Setup { version, method: "nat", ..same_everywhere() }, FLOWS);
    for _ in 0..FLOWS as usize / BURST {
        let mut requests = bench.random_frames(BURST, FLOWS);
        bench.process(&mut requests);
        let mut replies = bench.replies(BURST);
        count_burst(&mut bench, &mut replies, BETWEEN_BURSTS_NS);
    }
    FLOWS
}

/// Connections that come while as many go: they end 60 s after their only packet, when [`FLOWS`] others have come.
fn new(setup: Setup<'_>) -> u32 {
    let between = 60_000_000_000 / u64::from(FLOWS) * BURST as u64;
    let mut bench = Bench::new(Setup { capacity: 2 * FLOWS, ..setup });
    let mut clients = (0..).map(|client: u32| (client.wrapping_mul(0x9e37_79b1) >> 5, SYN));
    for _ in 0..2 * FLOWS as usize / BURST {
        bench.advance(between);
        bench.play(clients.by_ref().take(BURST));
    }
    let before = bench.director.connections().len();
    for _ in 0..FLOWS as usize / BURST {
        let mut frames = bench.frames(clients.by_ref().take(BURST));
        count_burst(&mut bench, &mut frames, between);
    }
    assert!(bench.director.connections().len().abs_diff(before) < 200, "as many come as go");
    FLOWS
}

fn count_burst(bench: &mut Bench, frames: &mut support::bench::Frames, ns: u64) {
    bench.advance(ns);
    let sent = bench.pool.sent + frames.len();
    counted(&mut || bench.process(frames));
    assert_eq!(bench.pool.sent, sent, "every packet is sent");
}

fn parse(version: Version) -> u32 {
    let mut bench = Bench::new(Setup { version, ..same_everywhere() });
    let frames = bench.random_frames(BURST, FLOWS);
    let mut parsed = [Parsed::default(); BURST];
    counted(&mut || {
        for (frame, parsed) in frames.iter().zip(&mut parsed) {
            black_box(parse_into(frame.head(), frame.len(), parsed)).expect("a good packet");
        }
    });
    black_box(parsed);
    BURST as u32
}

fn look_up<A: Address>(first: u32) -> u32 {
    let table = lookup::table::<A>(FLOWS);
    let mut found = 0;
    for burst in (first..first + FLOWS).step_by(BURST) {
        let keys: ArrayVec<_, BURST> = (burst..burst + BURST as u32).map(lookup::key).collect();
        counted(&mut || found += lookup::find_all(&table, &keys));
    }
    assert_eq!(found, if first == 0 { FLOWS } else { 0 });
    FLOWS
}

/// Instructions for each connection whose time is up.
fn expiry() -> u32 {
    let mut bench = Bench::with_flows(same_everywhere(), FLOWS);
    // the wheel is to have caught up with the time when they are due, after 900 s
    for _ in 0..899 {
        bench.advance(1_000_000_000);
        (0..100).for_each(|_| bench.process(&mut ArrayVec::new()));
    }
    bench.advance(2_000_000_000);
    assert_eq!(bench.director.connections().len(), FLOWS);
    while !bench.director.connections().is_empty() {
        counted(&mut || bench.process(&mut ArrayVec::new()));
    }
    FLOWS
}

/// Instructions for each poll that finds nothing to do.
fn idle() -> u32 {
    const POLLS: u32 = 10_000;
    let mut bench = Bench::with_flows(same_everywhere(), FLOWS);
    counted(&mut || {
        for _ in 0..POLLS {
            bench.advance(BETWEEN_BURSTS_NS);
            bench.director.housekeeping(0, bench.now, &mut bench.pool);
        }
    });
    POLLS
}

// counting, and what the counts are held against

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.as_slice() {
        [alone, name] if alone == "--alone" => run_alone(name),
        // what cargo bench says, and cargo test, for which there is nothing to count, does not
        [arguments @ .., bench] if bench == "--bench" => compare(arguments),
        _ => Ok(()),
    };
    result.map_or_else(
        |message| {
            eprintln!("{message}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

fn run_alone(name: &str) -> Result<(), String> {
    let workload = workloads().into_iter().find(|workload| workload.name == name).ok_or("no such workload")?;
    println!("{}", (workload.run)());
    Ok(())
}

fn compare(arguments: &[String]) -> Result<(), String> {
    let bless = arguments.iter().any(|argument| argument == "--bless");
    let wanted: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str()));
    let names: Vec<String> = workloads().into_iter().map(|w| w.name).filter(|name| is_wanted(name)).collect();
    let counts = count_all(&names)?;
    let mut baseline = read_baseline();
    let mut grown = vec![];
    println!("{:<32} {:>12} {:>12} {:>8}", "instructions a packet", "baseline", "now", "change");
    for (name, now) in &counts {
        let before = baseline.get(name).copied();
        let change = before.map(|before| (now / before - 1.0) * 100.0);
        let show = |value: Option<f64>, unit| value.map_or("-".to_owned(), |value| format!("{value:.1}{unit}"));
        println!("{name:<32} {:>12} {now:>12.1} {:>8}", show(before, ""), show(change, "%"));
        if change.is_none_or(|change| change > GROWTH_MAX) {
            grown.push(name.as_str());
        }
    }
    if bless {
        if wanted.is_empty() {
            baseline.clear();
        }
        baseline.extend(counts);
        return write_baseline(&baseline);
    }
    if grown.is_empty() {
        return Ok(());
    }
    Err(format!(
        "\nMore than {GROWTH_MAX} % above {}, or not in it: {}.\nMake them cheaper; or, if that is what the change is \
         worth, renew the file with `scripts/bench.sh --bless` and say why in the commit.",
        baseline_path().display(),
        grown.join(", ")
    ))
}

/// As many at a time as there are processors, in their order.
fn count_all(names: &[String]) -> Result<Vec<(String, f64)>, String> {
    let todo = Mutex::new(names.iter());
    let done = Mutex::new(BTreeMap::new());
    let next = || todo.lock().expect("no panic").next();
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(name) = next() {
                    done.lock().expect("no panic").insert(name, count(name));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no panic");
    names.iter().map(|name| Ok((name.clone(), done.remove(name).expect("all were counted")?))).collect()
}

/// Runs one workload under callgrind.
fn count(name: &str) -> Result<f64, String> {
    let program = std::env::current_exe().map_err(|error| format!("where is this program: {error}"))?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no", "--toggle-collect=instructions::counted"])
        .arg("--callgrind-out-file=/dev/null")
        .arg(program)
        .args(["--alone", name])
        .output()
        .map_err(|error| format!("valgrind: {error}. Is it installed? scripts/install-deps.sh test"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    let failed = || format!("{name}: no count from callgrind:\n{stderr}");
    let collected = stderr.lines().find_map(|line| line.split_once("Collected : ")).ok_or_else(failed)?.1;
    let instructions: f64 = collected.trim().parse().map_err(|_| failed())?;
    let packets: f64 = String::from_utf8_lossy(&output.stdout).trim().parse().map_err(|_| failed())?;
    if instructions > 0.0 { Ok(instructions / packets) } else { Err(failed()) }
}

fn baseline_path() -> PathBuf {
    Path::new("benches/instructions.txt").to_owned()
}

fn read_baseline() -> BTreeMap<String, f64> {
    let text = std::fs::read_to_string(baseline_path()).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.rsplit_once(char::is_whitespace));
    lines.filter_map(|(name, count)| Some((name.trim_end().to_owned(), count.parse().ok()?))).collect()
}

fn write_baseline(counts: &BTreeMap<String, f64>) -> Result<(), String> {
    let text: String = counts.iter().map(|(name, count)| format!("{name:<32} {count:>10.1}\n")).collect();
    std::fs::write(baseline_path(), text).map_err(|error| format!("{}: {error}", baseline_path().display()))
}

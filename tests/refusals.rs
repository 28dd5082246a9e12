//! What a start, a reload or a command that cannot be carried out is answered with: one sentence that says what to
//! type. What it says stands in docs/troubleshooting.md as well.
#![cfg(feature = "dpdk")]

mod process;

use nix::sys::signal::Signal;
use process::{Place, config, end};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// The user without rights, and its group.
const NOBODY: u32 = 65534;

fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

/// That `refusal` has every one of `parts`, the first of which is what docs/troubleshooting.md tells it by.
fn says(refusal: &str, parts: &[&str]) {
    for part in parts {
        assert!(refusal.contains(part), "{part:?} is not in: {refusal}");
    }
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/troubleshooting.md")).unwrap();
    assert!(page.contains(parts[0]), "docs/troubleshooting.md does not explain {:?}", parts[0]);
}

/// A start with changes to the configuration is refused so.
fn start_says(changes: &[(&str, &str)], parts: &[&str]) {
    let place = Place::new();
    says(place.start_refused(&config(changes)).refusal(), parts);
    let doctor = place.run(&["doctor", "--config", place.file().to_str().unwrap()]);
    assert_eq!(doctor.code, Some(1), "doctor did not see it coming: {doctor:?}");
}

const ARGS: &str = r#""--no-shconf", "#;
const CLIENT: &str = r#"device = "net_null0""#;
const SERVER: &str = r#"device = "net_null1""#;
const SERVER_VDEV: &str = r#""net_null1,no-rx=1""#;

#[test]
fn a_bad_configuration_is_told_with_file_line_key_and_what_is_allowed() {
    let place = Place::new();
    let text = config(&[(r#""sleep""#, r#""slumber""#), (r#""nat""#, r#""masq""#)]);
    let ended = place.start_refused(&text);
    let file = place.file().display().to_string();
    let lines: Vec<&str> = ended.err.lines().collect();
    assert_eq!((ended.code, lines.len()), (Some(1), 2), "{ended:?}");
    assert!(lines[0].starts_with(&format!("pollux: {file}:4: [workers] `idle`: ")), "{ended:?}");
    assert!(lines[1].starts_with(&format!("{file}:21: [[service.destination]] `forward`: ")), "{ended:?}");
    assert!(lines[0].contains("spin") && lines[1].contains("dr"), "what is allowed: {ended:?}");
    assert_eq!(place.run(&["check", &file]).err, ended.err, "check says the same");
    place.write(&config(&[("scheduler =", "schedulr =")]));
    let unknown = place.run(&["check", &file]);
    let at = format!("{file}:18: [[service]] `schedulr`: ");
    assert!(unknown.refusal().starts_with(&at) && unknown.refusal().contains("did you mean"), "{unknown:?}");
    place.write(&config(&[("[workers]", "[workers")]));
    says(place.run(&["check", &file]).refusal(), &["not valid TOML", &format!("{file}:3: ")]);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let place = Place::new();
    let file = place.file().display().to_string();
    for words in [&["run", "--config", &file][..], &["check", &file]] {
        says(place.run(words).refusal(), &["cannot be read", &file, "put the configuration there"]);
    }
}

#[test]
fn what_eal_does_not_take_is_told_with_its_own_words() {
    start_says(
        &[(ARGS, r#""--no-shconf", "--no-such-option", "#)],
        &["DPDK does not take one of them", "[dpdk] eal_args", "correct or remove"],
    );
    start_says(
        &[(ARGS, r#""--no-shconf", "-l", "0", "#)],
        &["is derived from [workers] `cores`", "`eal_args`", "name the cores there"],
    );
    start_says(&[(SERVER_VDEV, r#""net_nul1""#)], &["DPDK knows no such device or driver", "net_nul1", "--vdev"]);
}

#[test]
fn a_device_that_is_not_there_is_told_with_what_makes_one() {
    start_says(&[(SERVER, r#"device = "net_tap9""#)], &["to [dpdk] eal_args, or use one that exists", "net_tap9"]);
    start_says(&[(SERVER, r#"device = "ffff:1f.0""#)], &["no port \"", "ffff:1f.0"]);
    start_says(
        &[(SERVER, r#"device = "0000:fe:1f.7""#)],
        &["there is no PCI device", "0000:fe:1f.7", "`lspci -D` lists them"],
    );
}

#[test]
fn a_device_that_its_driver_refuses_is_told_with_the_cause() {
    start_says(
        &[(SERVER_VDEV, r#""net_pcap1,rx_pcap=/nonexistent.pcap""#), (SERVER, r#"device = "net_pcap1""#)],
        &["its driver did not take it", "net_pcap1", "/nonexistent.pcap", "correct what [dpdk] eal_args say of it"],
    );
}

/// On a machine without such a device `io::device`'s own tests have it.
#[test]
fn a_pci_device_of_the_kernels_is_told_with_the_command_that_takes_it() {
    let Ok(devices) = std::fs::read_dir("/sys/bus/pci/devices") else { return };
    let driver =
        |device: &Path| std::fs::read_link(device.join("driver")).ok()?.file_name()?.to_str().map(str::to_owned);
    let bound = devices.flatten().find_map(|device| Some((device.file_name(), driver(&device.path())?)));
    let Some((address, driver)) = bound.filter(|(_, driver)| !driver.contains("vfio") && !driver.contains("uio"))
    else {
        return;
    };
    let address = address.to_str().unwrap();
    start_says(
        &[(SERVER, &format!("device = \"{address}\""))],
        &["it is bound to the kernel's", &driver, &format!("scripts/bind-nic.sh bind {address}")],
    );
}

#[test]
fn a_wrong_core_is_told_with_the_right_ones() {
    let cores = |cores: &str| format!("[workers]\ncores = {cores}");
    start_says(
        &[("[workers]", &cores("[1023]"))],
        &["does not exist or this process may not run on it", "core 1023", "set [workers] cores to some of "],
    );
}

#[test]
fn too_little_memory_for_dpdk_is_told_with_what_gives_more() {
    start_says(
        &[(ARGS, r#""--no-shconf", "-m", "20", "#)],
        &["packet buffers of", "\"-m\", \"MB\" in [dpdk] eal_args"],
    );
    start_says(
        &[(ARGS, r#""--no-shconf", "-m", "99999999", "#)],
        &["the memory asked for without huge pages cannot be had", "\"-m\", \"MB\" in [dpdk] eal_args"],
    );
    start_says(
        &[(r#""--no-huge", "#, r#""--huge-dir=/nonexistent", "#)],
        &[if is_root() { "there are no free huge pages" } else { "DPDK needs root" }, "--no-huge"],
    );
}

/// With less address space than the table takes, so that it does not depend on the machine which start is refused;
/// a machine with less memory than that says so before it tries.
#[test]
fn too_little_memory_for_the_connections_is_told_with_the_key_to_lower() {
    let place = Place::new();
    place.write(&config(&[("capacity_per_worker = 1000", "capacity_per_worker = 100_000_000")]));
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -v 4000000 && exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_pollux")]);
    let ended = end(place.command_of(limited, &["run", "--config", place.file().to_str().unwrap()]));
    let refusal = ended.refusal();
    match refusal.contains("MiB are available") {
        true => says(refusal, &["MiB are available; write at most", "[connections] capacity_per_worker"]),
        false => says(refusal, &["no memory for a table of", "lower capacity_per_worker in [connections]"]),
    }
}

#[test]
fn without_rights_it_says_to_become_root() {
    let place = Place::new();
    let director = place.start(process::CONFIG);
    let (huge, socket) = (Place::new(), place.socket());
    huge.write(&config(&[(r#""--no-huge", "#, "")]));
    // a copy: nobody may have no way to the one that was built
    let copy = huge.path().join("pollux");
    std::fs::copy(env!("CARGO_BIN_EXE_pollux"), &copy).unwrap();
    for folder in [&huge, &place] {
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).unwrap();
    }
    let as_nobody = || {
        let mut command = Command::new(&copy);
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    };
    let run = huge.command_of(as_nobody(), &["run", "--config", huge.file().to_str().unwrap()]);
    says(end(run).refusal(), &["DPDK needs root", "sudo", "--no-huge"]);
    if is_root() {
        let show = end(place.command_of(as_nobody(), &["show", "drops"]));
        says(show.refusal(), &["no permission to use", socket.to_str().unwrap(), "become root"]);
    }
    drop(director);
}

#[test]
fn a_second_pollux_on_the_same_socket_is_refused_and_the_first_stays() {
    let place = Place::new();
    let director = place.start(process::CONFIG);
    let second = end(place.director());
    says(second.refusal(), &["another pollux is running on", place.socket().to_str().unwrap(), "--socket"]);
    assert_eq!(place.run(&["show", "services"]).code, Some(0));
    director.signal(Signal::SIGTERM);
    assert_eq!(director.wait().code(), Some(0));
}

#[test]
fn a_socket_that_cannot_be_made_is_told_with_what_gives_another() {
    let place = Place::new();
    place.write(process::CONFIG);
    std::fs::write(place.socket(), "not a socket").unwrap();
    says(end(place.director()).refusal(), &["exists and is no socket", "--socket"]);
    assert_eq!(std::fs::read_to_string(place.socket()).unwrap(), "not a socket");
    let (file, below_a_file) = (place.file(), place.file().join("pollux.sock"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_pollux"));
    command.arg("--socket").arg(below_a_file).args(["run", "--config"]).arg(file);
    says(end(command).refusal(), &["cannot listen on", "give a path that can be written with --socket"]);
}

#[test]
fn a_file_prefix_that_is_taken_is_told_with_the_ways_out() {
    let prefix = format!("pollux-test-{}", std::process::id());
    // by root DPDK keeps it here, and leaves it behind
    let _left = Removed(format!("/var/run/dpdk/{prefix}"));
    let shared = config(&[(ARGS, &format!(r#""--file-prefix={prefix}", "#))]);
    let (first, second) = (Place::new(), Place::new());
    let director = first.start(&shared);
    second.write(&shared);
    let mut command = second.director();
    // where it is kept otherwise
    command.env("XDG_RUNTIME_DIR", first.path());
    says(end(command).refusal(), &["another DPDK program uses the same file prefix", "--socket", "--file-prefix"]);
    drop(director);
}

struct Removed(String);

impl Drop for Removed {
    fn drop(&mut self) {
        // by others than root there is none
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn without_a_running_pollux_commands_say_how_to_start_one() {
    let place = Place::new();
    for words in [&["show", "drops"][..], &["reload"], &["service", "delete", "tcp", "192.0.2.10:80"]] {
        says(place.run(words).refusal(), &["is not running on", "pollux run --config FILE", "--socket"]);
    }
}

#[test]
fn a_reload_of_a_bad_file_keeps_the_running_configuration() {
    let place = Place::new();
    let director = place.start(process::CONFIG);
    let before = place.run(&["show", "services"]);
    place.write(&config(&[(r#""rr""#, r#""rrr""#), ("192.0.2.10:80", "192.0.2.10:81")]));
    let reload = place.run(&["reload"]);
    let at = format!("{}:18: [[service]] `scheduler`: ", place.file().display());
    assert!(reload.refusal().starts_with(&at), "{reload:?}");
    assert_eq!(place.run(&["show", "services"]).out, before.out);
    director.signal(Signal::SIGHUP);
    let log = director.logs("reload refused, nothing changed");
    assert!(log.contains(&at), "{log}");
    std::fs::remove_file(place.file()).unwrap();
    says(place.run(&["reload"]).refusal(), &["cannot be read"]);
    assert_eq!(place.run(&["show", "services"]).out, before.out);
    assert!(before.out.contains("TCP  192.0.2.10:80 rr"), "{before:?}");
}

#[test]
fn a_reload_of_what_only_a_start_can_change_applies_nothing() {
    let place = Place::new();
    let _director = place.start(process::CONFIG);
    let before = place.run(&["show", "services"]);
    place.write(&config(&[
        ("capacity_per_worker = 1000", "capacity_per_worker = 2000"),
        (CLIENT, "device = \"net_null0\"\nmtu = 9000"),
        ("192.0.2.10:80", "192.0.2.10:81"),
    ]));
    let reload = place.run(&["reload"]);
    says(reload.refusal(), &["restart needed", "capacity_per_worker", "mtu", "nothing was changed"]);
    assert_eq!(place.run(&["show", "services"]).out, before.out);
}

#[test]
fn doctor_finds_nothing_where_a_start_succeeds_and_the_socket_taken_thereafter() {
    let place = Place::new();
    place.write(process::CONFIG);
    let doctor = || place.run(&["doctor", "--config", place.file().to_str().unwrap()]);
    let before = doctor();
    assert_eq!((before.code, before.err.as_str()), (Some(0), ""), "{before:?}");
    assert!(before.out.contains("ok    memory: --no-huge"), "{before:?}");
    let director = place.start(process::CONFIG);
    let during = doctor();
    says(during.refusal(), &["`pollux run` would fail"]);
    assert!(during.out.contains("FAIL  start: another pollux is running on"), "{during:?}");
    drop(director);
    let json = place.run(&["doctor", "--json"]);
    let findings: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert!(findings.as_array().unwrap().iter().all(|finding| finding["severity"] != "fail"), "{json:?}");
}

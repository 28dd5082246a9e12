//! What EAL is started with: the user's arguments and what Pollux derives from its own settings.
//!
//! The control thread is lcore 0 and worker `i` is lcore `i + 1`; which cores they run on is EAL's `--lcores`. Lcore
//! ids are therefore no setting of the user's.

use std::fmt::Write as _;
use std::path::{self, Path};

use super::failure::EalError;

/// What the file and the command line say about EAL.
#[derive(Debug, Clone, Copy)]
pub struct EalConfig<'a> {
    /// `[dpdk] eal_args`, handed to EAL as they are.
    pub eal_args: &'a [String],
    /// The core of each worker; one that repeats is shared.
    pub cores: &'a [usize],
    /// The control socket: two instances have two of them, so EAL's file prefix is derived from it.
    pub socket: &'a Path,
    /// Keep the files of huge pages, so that secondary processes (dumpcap) can attach.
    pub secondary: bool,
    /// Memory for DPDK in MB when there are no huge pages; EAL's default of 64 MB is too small.
    pub memory_mb: usize,
}

/// Options that would change which thread is which lcore: the long name and the shortest abbreviation that getopt
/// (EAL's parser before DPDK 25.11) takes for it.
const LCORE_OPTIONS: [(&str, &str); 5] = [
    ("--lcores", "--lc"),
    ("--coremask", "--cor"),
    ("--corelist", "--cor"),
    ("--main-lcore", "--mai"),
    ("--remap-lcore-ids", "--rem"),
];
/// The same as letters; a value may follow at once, as in `-l0-3`.
const LCORE_LETTERS: [&str; 3] = ["-l", "-c", "-R"];

/// Where EAL stops reading; for the last two it even ends the process.
const END_OF_ARGUMENTS: [&str; 3] = ["--", "-h", "--help"];

/// The lcore id of a worker: 0 is the control thread.
pub fn lcore_of_worker(worker: usize) -> u32 {
    worker as u32 + 1
}

/// EAL's argument vector, program name first. `allowed` are the cores this process may run on, `lcores_max` is what
/// DPDK was built for.
pub fn derive(config: &EalConfig<'_>, allowed: &[usize], lcores_max: usize) -> Result<Vec<String>, EalError> {
    let user = config.eal_args;
    if let Some(argument) = user.iter().find(|argument| sets_lcores(argument)) {
        return Err(EalError::LcoreOption { argument: argument.clone() });
    }
    if let Some(argument) = user.iter().find(|argument| END_OF_ARGUMENTS.contains(&argument.as_str())) {
        return Err(EalError::EndOfArguments { argument: argument.clone() });
    }
    if config.cores.len() >= lcores_max {
        return Err(EalError::TooManyWorkers { workers: config.cores.len(), max: lcores_max - 1 });
    }
    if let Some(&core) = config.cores.iter().find(|core| !allowed.contains(core)) {
        return Err(EalError::CoreMissing { core, existing: ranges(allowed) });
    }
    let mut arguments = vec!["pollux".to_owned(), format!("--lcores={}", lcores(config.cores, allowed))];
    if !gives(user, "--file-prefix", "--fi") {
        arguments.push(format!("--file-prefix={}", file_prefix(config.socket)));
    }
    arguments.extend(memory(config));
    // Pollux has metrics of its own; EAL's would be two more threads and a socket.
    if !gives(user, "--telemetry", "--te") && !gives(user, "--no-telemetry", "--no-te") {
        arguments.push("--no-telemetry".to_owned());
    }
    arguments.extend_from_slice(user);
    Ok(arguments)
}

/// Whether the user chose what DPDK prints.
pub fn gives_log_level(eal_args: &[String]) -> bool {
    gives(eal_args, "--log-level", "--log-l")
}

pub fn gives_no_huge(eal_args: &[String]) -> bool {
    gives(eal_args, "--no-huge", "--no-hu")
}

fn memory(config: &EalConfig<'_>) -> Option<String> {
    let user = config.eal_args;
    if gives_no_huge(user) {
        let given = user.iter().any(|argument| argument.starts_with("-m")) || gives(user, "--memory-size", "--mem");
        return (!given).then(|| format!("-m{}", config.memory_mb));
    }
    let unlinks = gives(user, "--huge-unlink", "--huge-u") || gives(user, "--in-memory", "--in");
    // So that not even kill -9 leaves huge pages taken. EAL accepts the bare option in every release; the
    // `=existing` form came with 22.03 and is another thing.
    (!unlinks && !config.secondary).then(|| "--huge-unlink".to_owned())
}

/// Whether the arguments contain a long option, spelled out or abbreviated, with or without `=value`.
fn gives(arguments: &[String], long: &str, shortest: &str) -> bool {
    arguments.iter().any(|argument| is_long(argument, long, shortest))
}

fn is_long(argument: &str, long: &str, shortest: &str) -> bool {
    let name = argument.split_once('=').map_or(argument, |(name, _)| name);
    long.starts_with(name) && name.starts_with(shortest)
}

fn sets_lcores(argument: &str) -> bool {
    LCORE_LETTERS.iter().any(|letter| argument.starts_with(letter))
        || LCORE_OPTIONS.iter().any(|(long, shortest)| is_long(argument, long, shortest))
}

/// The control thread floats over the cores that no worker spins on, or over all when the workers take them all.
fn lcores(cores: &[usize], allowed: &[usize]) -> String {
    let spare: Vec<usize> = allowed.iter().copied().filter(|core| !cores.contains(core)).collect();
    let mut text = format!("0@({})", ranges(if spare.is_empty() { allowed } else { &spare }));
    for (worker, core) in cores.iter().enumerate() {
        let _ = write!(text, ",{}@{core}", lcore_of_worker(worker));
    }
    text
}

/// `[0, 1, 2, 5]` as `0-2,5`.
pub fn ranges(cores: &[usize]) -> String {
    let mut sorted = cores.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let runs = sorted.chunk_by(|a, b| a + 1 == *b);
    let texts: Vec<String> = runs
        .map(|run| match run {
            [only] => only.to_string(),
            _ => format!("{}-{}", run[0], run[run.len() - 1]),
        })
        .collect();
    texts.join(",")
}

/// A file name from the socket's path: its stem to be recognised by, a hash of the whole to tell two apart.
fn file_prefix(socket: &Path) -> String {
    let absolute = path::absolute(socket).unwrap_or_else(|_| socket.to_owned());
    // FNV-1a, 32 bits: the name must be the same in every run, which the standard hashers do not promise.
    let hash = absolute
        .as_os_str()
        .as_encoded_bytes()
        .iter()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    let stem = socket.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    // EAL makes longer names of it, within the 255 bytes of a file name, and refuses a `%`.
    let name: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).take(32).collect();
    format!("{name}-{hash:08x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(arguments: &[&str]) -> Vec<String> {
        arguments.iter().map(|&argument| argument.to_owned()).collect()
    }

    fn derived_with(
        user: &[&str],
        cores: &[usize],
        allowed: &[usize],
        secondary: bool,
    ) -> Result<Vec<String>, EalError> {
        let eal_args = strings(user);
        let socket = Path::new("/run/pollux/pollux.sock");
        derive(&EalConfig { eal_args: &eal_args, cores, socket, secondary, memory_mb: 777 }, allowed, 128)
    }

    fn derived(user: &[&str]) -> Vec<String> {
        derived_with(user, &[1], &[0, 1], false).unwrap()
    }

    #[test]
    fn workers_are_lcores_from_one_on_and_the_control_thread_floats_over_the_other_cores() {
        assert_eq!(derived_with(&[], &[2, 3], &[0, 1, 2, 3, 5], false).unwrap()[1], "--lcores=0@(0-1,5),1@2,2@3");
    }

    #[test]
    fn workers_that_take_every_core_share_with_the_control_thread_and_with_each_other() {
        assert_eq!(derived_with(&[], &[0, 1, 1], &[0, 1], false).unwrap()[1], "--lcores=0@(0-1),1@0,2@1,3@1");
    }

    #[test]
    fn the_users_arguments_come_last_and_unchanged() {
        let user = ["--vdev", "net_null0", "-a", "0000:01:00.0"];
        let arguments = derived(&user);
        assert_eq!(arguments[0], "pollux");
        assert_eq!(arguments[arguments.len() - 4..], strings(&user));
    }

    #[test]
    fn every_spelling_of_a_core_option_is_refused() {
        let spellings = [
            "-l",
            "-l0",
            "-c",
            "-c0x3",
            "-R",
            "--lcores",
            "--lcores=0@0",
            "--lc",
            "--lcore",
            "--main-lcore=1",
            "--coremask",
            "--corelist",
            "--remap-lcore-ids",
        ];
        for spelling in spellings {
            let error = derived_with(&["--no-pci", spelling], &[1], &[0, 1], false).unwrap_err();
            assert!(matches!(&error, EalError::LcoreOption { argument } if argument == spelling), "{spelling}");
            assert!(error.to_string().contains("[workers] cores"), "{error}");
        }
    }

    #[test]
    fn options_that_only_look_like_core_options_are_taken() {
        for innocent in ["--log-level=8", "--legacy-mem", "--create-uio-dev", "-m256", "--match-allocations"] {
            assert!(derived(&[innocent]).contains(&innocent.to_owned()), "{innocent}");
        }
    }

    #[test]
    fn a_core_that_does_not_exist_is_refused_with_those_that_do() {
        let error = derived_with(&[], &[1, 9], &[0, 1, 2, 4], false).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("core 9") && text.contains("0-2,4") && text.contains("[workers] cores"), "{text}");
    }

    #[test]
    fn more_workers_than_lcores_are_refused() {
        let error = derived_with(&[], &[0; 128], &[0], false).unwrap_err();
        assert!(matches!(error, EalError::TooManyWorkers { workers: 128, max: 127 }));
        assert!(derived_with(&[], &[0; 127], &[0], false).is_ok());
    }

    #[test]
    fn an_end_of_arguments_is_refused_because_eal_would_stop_there() {
        for end in ["--", "-h", "--help"] {
            let error = derived_with(&["--no-pci", end], &[1], &[0, 1], false).unwrap_err();
            assert_eq!(error, EalError::EndOfArguments { argument: end.to_owned() });
        }
    }

    #[test]
    fn the_file_prefix_tells_two_sockets_apart_and_stays_the_same() {
        let first = file_prefix(Path::new("/run/pollux/pollux.sock"));
        assert_eq!(first, file_prefix(Path::new("/run/pollux/pollux.sock")));
        assert!(first.starts_with("pollux-"), "{first}");
        for other in ["/run/pollux_pollux.sock", "/run/pollux/pollux2.sock", "/run/other/pollux.sock"] {
            assert_ne!(first, file_prefix(Path::new(other)));
        }
        let odd = file_prefix(Path::new("/run/ä b%.sock"));
        assert!(odd.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)), "{odd}");
    }

    #[test]
    fn a_given_file_prefix_is_left_alone() {
        for given in [&["--file-prefix", "mine"][..], &["--file-prefix=mine"]] {
            let count = derived(given).iter().filter(|argument| argument.starts_with("--file-prefix")).count();
            assert_eq!(count, 1);
        }
    }

    #[test]
    fn huge_pages_are_unlinked_unless_secondary_processes_need_them() {
        let unlink = "--huge-unlink".to_owned();
        assert!(derived(&[]).contains(&unlink));
        assert!(!derived_with(&[], &[1], &[0, 1], true).unwrap().contains(&unlink));
        assert!(!derived(&["--in-memory"]).contains(&unlink));
        assert!(!derived(&["--no-huge"]).contains(&unlink));
        assert!(!derived(&["--huge-unlink=never"]).contains(&unlink));
    }

    #[test]
    fn memory_is_derived_only_without_huge_pages_and_only_when_not_given() {
        let derived_memory = "-m777".to_owned();
        assert!(derived(&["--no-huge"]).contains(&derived_memory));
        assert!(!derived(&[]).contains(&derived_memory));
        for given in [&["--no-huge", "-m", "256"][..], &["--no-huge", "-m256"], &["--no-huge", "--memory-size=256"]] {
            assert!(!derived(given).contains(&derived_memory), "{given:?}");
        }
    }

    #[test]
    fn telemetry_is_off_unless_asked_for() {
        assert!(derived(&[]).contains(&"--no-telemetry".to_owned()));
        assert!(!derived(&["--telemetry"]).contains(&"--no-telemetry".to_owned()));
    }
}

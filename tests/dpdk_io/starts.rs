//! Starts that must fail, each in a process of its own.

use super::start;
use std::env;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

/// Not a test of its own: what the tests below run in another process. Holds EAL up until its input ends.
#[test]
#[ignore = "started by the other tests with its arguments in the environment"]
fn start_with_the_arguments_in_the_environment() {
    let Ok(arguments) = env::var("POLLUX_TEST_EAL_ARGS") else { return };
    let arguments: Vec<String> = arguments.split('\n').filter(|text| !text.is_empty()).map(str::to_owned).collect();
    match start(&arguments, Path::new("/run/pollux-test-starts.sock")) {
        Ok(eal) => {
            println!("STARTED");
            std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
            drop(eal);
        }
        Err(error) => println!("REFUSED {error}"),
    }
}

/// Another process that started EAL, or did not.
struct Start {
    child: Child,
    output: BufReader<ChildStdout>,
    /// All it printed until it said how it went.
    text: String,
}

impl Start {
    fn with(arguments: &[&str]) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "--nocapture", "starts::start_with_the_arguments_in_the_environment"]);
        command.env("POLLUX_TEST_EAL_ARGS", arguments.join("\n")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut text = String::new();
        while !text.contains("STARTED") && !text.contains("REFUSED") {
            assert_ne!(output.read_line(&mut text).unwrap(), 0, "it does not say how it went: {text}");
        }
        Self { child, output, text }
    }

    /// Ends the process by ending its input.
    fn end(mut self) {
        drop(self.child.stdin.take());
        self.output.read_to_string(&mut self.text).unwrap();
        assert!(self.child.wait().unwrap().success(), "{}", self.text);
    }
}

fn refusal(arguments: &[&str]) -> String {
    let start = Start::with(arguments);
    let text = start.text.clone();
    start.end();
    assert!(text.contains("REFUSED"), "{arguments:?}: {text}");
    text
}

/// EAL leaves files behind: as root here, otherwise in the user's own runtime folder, where they do no harm.
fn forget(prefix: &str) {
    let _ = std::fs::remove_dir_all(Path::new("/var/run/dpdk").join(prefix));
}

const SMALL: [&str; 4] = ["--no-huge", "--no-pci", "-m", "64"];

#[test]
fn an_unknown_device_is_refused_by_name() {
    let text = refusal(&[&SMALL[..], &["--no-shconf", "--vdev", "nosuch0"]].concat());
    assert!(text.contains("nosuch0") && text.contains("--vdev"), "{text}");
}

#[test]
fn an_argument_that_eal_does_not_know_is_refused_without_pages_of_usage() {
    let text = refusal(&[&SMALL[..], &["--no-shconf", "--nosuch"]].concat());
    assert!(text.contains("eal_args") && text.lines().count() < 10, "{text}");
}

#[test]
fn memory_that_cannot_be_had_is_explained_with_what_to_change() {
    let text = refusal(&["--no-huge", "--no-pci", "--no-shconf", "-m", "99999999"]);
    assert!(text.contains("\"-m\""), "{text}");
}

#[test]
fn huge_pages_that_are_not_there_are_explained_with_how_to_make_some() {
    let prefix = format!("pollux-test-pages-{}", std::process::id());
    let text = refusal(&["--no-pci", &format!("--file-prefix={prefix}"), "--huge-dir=/nonexistent"]);
    forget(&prefix);
    assert!(text.contains("nr_hugepages") || text.contains("sudo"), "{text}");
    assert!(text.contains("--no-huge"), "{text}");
}

#[test]
fn a_file_prefix_in_use_is_refused_with_how_to_choose_another() {
    let prefix = format!("pollux-test-{}", std::process::id());
    let given = format!("--file-prefix={prefix}");
    let arguments = [&SMALL[..], &[given.as_str()]].concat();
    let first = Start::with(&arguments);
    assert!(first.text.contains("STARTED"), "{}", first.text);
    let text = refusal(&arguments);
    assert!(text.contains("--socket") && text.contains("--file-prefix"), "{text}");
    first.end();
    forget(&prefix);
}

//! The built `pollux` as a process of its own: a temporary folder for its file and its socket, virtual devices that
//! need neither huge pages nor root, and an end by its pid whatever becomes of the test.
#![allow(dead_code)] // each test program uses its part

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Longer than anything takes that works, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Two ports that never receive anything, a NAT service, no files of DPDK's own left behind.
pub const CONFIG: &str = r#"[dpdk]
eal_args = ["--no-huge", "--no-pci", "--no-shconf", "--vdev", "net_null0,no-rx=1", "--vdev", "net_null1,no-rx=1"]
[workers]
idle = "sleep"
[connections]
capacity_per_worker = 1000
[[port]]
name = "client"
device = "net_null0"
addresses = ["192.0.2.254/24"]
[[port]]
name = "server"
device = "net_null1"
addresses = ["10.1.0.254/24"]
[[service]]
protocol = "tcp"
address = "192.0.2.10:80"
scheduler = "rr"
[[service.destination]]
address = "10.1.0.1:8080"
forward = "nat"
"#;

/// `CONFIG` with replacements, each of which must apply.
pub fn config(changes: &[(&str, &str)]) -> String {
    changes.iter().fold(CONFIG.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from} is not in {text}");
        text.replace(from, to)
    })
}

/// A folder with a configuration file and room for a socket.
pub struct Place {
    folder: tempfile::TempDir,
    /// DPDK's name for the process, which is a folder's as well.
    prefix: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        // by root DPDK makes it, empty, even without shared configuration; by others it is in our own folder
        let _ = std::fs::remove_dir_all(Path::new("/var/run/dpdk").join(&self.prefix));
    }
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ended {
    /// What Pollux said of a failure: one line, the last one. What DPDK's own parser printed may stand before it.
    pub fn refusal(&self) -> &str {
        assert_eq!(self.code, Some(1), "{self:?}");
        let said: Vec<&str> = self.err.lines().collect();
        let last = said.last().expect("something is said");
        last.strip_prefix("pollux: ").unwrap_or_else(|| panic!("not one line of Pollux's: {self:?}"))
    }
}

impl Place {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("pollux-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self { folder: tempfile::tempdir().unwrap(), prefix }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn file(&self) -> PathBuf {
        self.path().join("pollux.toml")
    }

    pub fn socket(&self) -> PathBuf {
        self.path().join("pollux.sock")
    }

    /// The configuration, with the place's own file prefix if it names none.
    pub fn write(&self, config: &str) {
        let own = format!(r#""--no-shconf", "--file-prefix={}", "#, self.prefix);
        std::fs::write(self.file(), config.replace(r#""--no-shconf", "#, &own)).unwrap();
    }

    pub fn command(&self, words: &[&str]) -> Command {
        self.command_of(Command::new(env!("CARGO_BIN_EXE_pollux")), words)
    }

    /// The same by way of another program.
    pub fn command_of(&self, mut program: Command, words: &[&str]) -> Command {
        program.arg("--socket").arg(self.socket()).args(words);
        // where DPDK keeps its files when it is not root
        program.env("XDG_RUNTIME_DIR", self.path()).env_remove("POLLUX_LOG");
        program
    }

    /// Runs a command to its end.
    pub fn run(&self, words: &[&str]) -> Ended {
        end(self.command(words))
    }

    /// A start that must not come up, with this configuration.
    pub fn start_refused(&self, config: &str) -> Ended {
        self.write(config);
        let ended = end(self.director());
        assert!(!self.socket().exists(), "the socket is gone as well: {ended:?}");
        ended
    }

    pub fn director(&self) -> Command {
        self.command(&["run", "--config", self.file().to_str().unwrap()])
    }

    /// A director that is up.
    pub fn start(&self, config: &str) -> Director {
        self.write(config);
        let director = Director::spawn(self.director());
        director.logs(&self.socket().display().to_string());
        director
    }
}

/// Runs a command to its end, which comes soon.
pub fn end(mut command: Command) -> Ended {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut child = Killed(child);
    let (out, err) = (child.0.stdout.take().unwrap(), child.0.stderr.take().unwrap());
    // both at once, as neither pipe may fill up
    let err = std::thread::spawn(move || std::io::read_to_string(err).unwrap());
    let out = std::thread::spawn(move || std::io::read_to_string(out).unwrap());
    let status = child.wait();
    Ended { code: status.code(), out: out.join().unwrap(), err: err.join().unwrap() }
}

/// A process that does not outlive its test.
struct Killed(Child);

impl Killed {
    fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.0.try_wait().unwrap() {
                Some(status) => return status,
                None => assert!(Instant::now() < deadline, "process {} does not end", self.0.id()),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        // it may have ended by itself
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running director.
pub struct Director {
    process: Killed,
    log: Receiver<String>,
}

impl Director {
    fn spawn(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (send, log) = channel();
        // ends with the process, whose end of the pipe is the only one
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        Self { process: Killed(child), log }
    }

    /// The next line of its log with `text` in it.
    pub fn logs(&self, text: &str) -> String {
        let mut seen = Vec::new();
        loop {
            match self.log.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => seen.push(line),
                Err(error) => panic!("no line with {text:?} ({error}) in {seen:#?}"),
            }
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.process.0.id().cast_signed()), signal).unwrap();
    }

    /// How it ends.
    pub fn wait(mut self) -> ExitStatus {
        self.process.wait()
    }
}

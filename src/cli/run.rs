//! `pollux run`: the director itself.

use super::Failure;
use std::path::{Path, PathBuf};

/// Run the director until a signal ends it
#[derive(Debug, clap::Args)]
pub struct Run {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

impl Run {
    pub fn execute(&self, socket: &Path) -> Result<(), Failure> {
        start(&self.config, socket)
    }
}

/// The seam to the director: everything before it is words, everything behind it is `control::run`.
#[cfg(feature = "dpdk")]
fn start(config: &Path, socket: &Path) -> Result<(), Failure> {
    use std::io::{self, IsTerminal};
    let levels = tracing_subscriber::EnvFilter::try_from_env("POLLUX_LOG").unwrap_or_else(|_| "info".into());
    // a second call, as in tests, keeps the first subscriber
    let _ = tracing_subscriber::fmt()
        .with_env_filter(levels)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .try_init();
    crate::control::run::run(config, socket).map_err(|error| match error.is_of_the_machine() {
        true => Failure::Refused(format!("{error}; see also: pollux doctor --config {}", config.display())),
        false => Failure::Refused(error.to_string()),
    })
}

#[cfg(not(feature = "dpdk"))]
fn start(_config: &Path, _socket: &Path) -> Result<(), Failure> {
    Err(Failure::Refused("this pollux was built without its packet path and cannot run".to_owned()))
}

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
fn start(_config: &Path, _socket: &Path) -> Result<(), Failure> {
    Err(Failure::Refused("this pollux was built without DPDK and cannot run; build it with `--features dpdk`".into()))
}

//! `pollux check`: whether a configuration file would be taken.

use super::{Failure, load};
use std::io::Write;
use std::path::PathBuf;

/// Check a configuration file without running anything
#[derive(Debug, clap::Args)]
pub struct Check {
    /// Configuration file
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl Check {
    pub fn execute(&self, out: &mut dyn Write) -> Result<(), Failure> {
        let config = load(&self.file)?;
        let destinations: usize = config.services.iter().map(|service| service.destinations.len()).sum();
        let ports = count(config.ports.len(), "port");
        let services = count(config.services.len(), "service");
        let destinations = count(destinations, "destination");
        Ok(writeln!(out, "{}: ok ({ports}, {services}, {destinations})", self.file.display())?)
    }
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

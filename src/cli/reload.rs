//! `pollux reload`: the running director reads its file again.

use super::{Failure, command};
use crate::control::api::Request;
use std::io::Write;
use std::path::Path;

/// Let the running director read its configuration file again, all or nothing
#[derive(Debug, clap::Args)]
pub struct Reload {}

impl Reload {
    pub fn execute(&self, socket: &Path, out: &mut dyn Write) -> Result<(), Failure> {
        command(socket, &Request::Reload, "nothing changed", out)
    }
}

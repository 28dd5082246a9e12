//! Verbs and printing. A verb is a variant of [`Verb`], an arm of [`Verb::execute`], and a file.

mod check;
mod destination;
mod doctor;
mod ipvsadm;
mod names;
mod print;
mod reload;
mod run;
mod service;
mod show;
mod workers;

use crate::control::api::Response;
use crate::control::api::client::{Client, ClientError};
use crate::control::config::{Config, default_socket};
use clap::error::ErrorKind as UsageErrorKind;
use clap::{Parser, Subcommand};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// A userspace Linux Virtual Server director on DPDK.
#[derive(Debug, Parser)]
#[command(name = "pollux", version, max_term_width = 100)]
struct Cli {
    /// Unix socket through which the running pollux is reached [default: /run/pollux/pollux.sock]
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Run(run::Run),
    Check(check::Check),
    Doctor(doctor::Doctor),
    Reload(reload::Reload),
    Show(show::Show),
    #[command(subcommand)]
    Service(service::Service),
    #[command(subcommand)]
    Destination(destination::Destination),
    #[command(subcommand)]
    Workers(workers::Workers),
    Ipvsadm(ipvsadm::Ipvsadm),
}

impl Verb {
    fn execute(&self, socket: &Path, out: &mut dyn Write) -> Result<(), Failure> {
        match self {
            Self::Run(run) => run.execute(socket),
            Self::Check(check) => check.execute(out),
            Self::Doctor(doctor) => doctor.execute(socket, out),
            Self::Reload(reload) => reload.execute(socket, out),
            Self::Show(show) => show.execute(socket, out),
            Self::Service(service) => service.execute(socket, out),
            Self::Destination(destination) => destination.execute(socket, out),
            Self::Workers(workers) => workers.execute(socket, out),
            Self::Ipvsadm(ipvsadm) => ipvsadm.execute(socket, out),
        }
    }
}

/// Why a verb did not do what was asked: exit code 1, or 2 for wrong usage.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("{0}")]
    Refused(String),
    /// In ipvsadm's words, with its exit code.
    #[error(transparent)]
    Ipvsadm(#[from] crate::control::ipvsadm::Failure),
    /// Of the kind that clap cannot know.
    #[error("{0}; see `pollux help`")]
    Usage(String),
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
    #[error("the running pollux answered something else than was asked; use the same pollux for both")]
    Answer,
}

/// Runs the command line; exit code 0 done, 1 refused or failed, 2 wrong usage.
pub fn main() -> ExitCode {
    // not locked: `run` keeps it as long as the process lives, and its threads may want to say something
    let mut out = io::BufWriter::new(io::stdout());
    ExitCode::from(main_with(std::env::args_os(), &mut out, &mut io::stderr()))
}

fn main_with<A>(args: impl IntoIterator<Item = A>, out: &mut dyn Write, err: &mut dyn Write) -> u8
where
    A: Into<std::ffi::OsString> + Clone,
{
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(usage) => return explain(&usage, out, err),
    };
    let socket = cli.socket.unwrap_or_else(default_socket);
    let done = cli.verb.execute(&socket, out).and_then(|()| Ok(out.flush()?));
    match done {
        Ok(()) => 0,
        // whoever reads has seen enough (| head)
        Err(Failure::Output(error)) if error.kind() == ErrorKind::BrokenPipe => 0,
        Err(Failure::Ipvsadm(failure)) => {
            // nobody to tell if that fails too
            let _ = writeln!(err, "{failure}");
            failure.code
        }
        Err(failure) => {
            // nobody to tell if that fails too
            let _ = writeln!(err, "pollux: {failure}");
            if matches!(failure, Failure::Usage(_)) { 2 } else { 1 }
        }
    }
}

/// Whether `words`, program name first, are a command line; what the documentation says is tested by it.
pub fn parses<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<(), String> {
    match Cli::try_parse_from(words) {
        Err(usage) if !is_asked_for(&usage) => Err(usage.to_string()),
        _ => Ok(()),
    }
}

fn is_asked_for(usage: &clap::Error) -> bool {
    matches!(usage.kind(), UsageErrorKind::DisplayHelp | UsageErrorKind::DisplayVersion)
}

/// Help and version go to `out`, mistakes to `err`.
fn explain(usage: &clap::Error, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    // nobody to tell if that fails
    let _ = if is_asked_for(usage) { write!(out, "{usage}") } else { write!(err, "{usage}") };
    let _ = out.flush();
    u8::try_from(usage.exit_code()).unwrap_or(2)
}

/// Reads and validates a configuration file.
fn load(path: &Path) -> Result<Config, Failure> {
    Config::load(path).map_err(|error| Failure::Refused(error.to_string()))
}

/// Sends a command and prints what it changed.
fn command(
    socket: &Path,
    request: &crate::control::api::Request,
    nothing: &str,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    match Client::connect(socket)?.ask(request)? {
        Response::Done { changes } if changes.is_empty() => Ok(writeln!(out, "{nothing}")?),
        Response::Done { changes } => Ok(changes.iter().try_for_each(|change| writeln!(out, "{change}"))?),
        _ => Err(Failure::Answer),
    }
}

#[cfg(test)]
mod tests;

//! `pollux ipvsadm`: ipvsadm's command line for the running director. Command lines are read here, so that wrong ones
//! are told so without it; changes are carried out over there, listings printed here.

use super::Failure;
use super::names::System;
use crate::control::api::client::Client;
use crate::control::api::views::ServiceView;
use crate::control::api::{Request, Response, Topic};
use crate::control::ipvsadm::listing;
use crate::control::ipvsadm::names::{self, Names, Numbers};
use crate::control::ipvsadm::{self, Command, HELP, List, VERSION};
use crate::model::ServiceKey;
use std::io::{BufRead, Write};
use std::path::Path;

/// Everything ipvsadm does, as ipvsadm takes it: `pollux ipvsadm -Ln`
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub struct Ipvsadm {
    /// ipvsadm's arguments
    #[arg(value_name = "ARGUMENTS", trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl Ipvsadm {
    pub fn execute(&self, socket: &Path, out: &mut dyn Write) -> Result<(), Failure> {
        let arguments = names::resolve(&self.arguments, &System);
        match ipvsadm::parse(&arguments)? {
            Command::Help => Ok(write!(out, "{VERSION}{HELP}")?),
            Command::Version => Ok(write!(out, "{VERSION}")?),
            Command::List(List::Services { only, style, numeric }) => {
                let (table_size, rows) = services(socket, only)?;
                if only.is_none() {
                    listing::version(out, table_size)?;
                }
                Ok(listing::list(out, rows, style, written_with(numeric))?)
            }
            Command::List(List::Connections { numeric }) => {
                super::show::connections(&mut ask(socket, Topic::Connections)?, written_with(numeric), out)
            }
            Command::List(List::Timeouts) => timeouts(socket, out),
            // there is none to list
            Command::List(List::Daemons) => Ok(()),
            Command::Save { numeric } => Ok(ipvsadm::save::save(out, all_services(socket)?.1, written_with(numeric))?),
            Command::Restore => restore(socket, &mut std::io::stdin().lock()),
            _ => change(socket, arguments),
        }
    }
}

fn ask(socket: &Path, topic: Topic) -> Result<Client, Failure> {
    let mut client = Client::connect(socket)?;
    client.send(&Request::Show(topic))?;
    Ok(client)
}

fn all_services(socket: &Path) -> Result<(u64, Vec<ServiceView>), Failure> {
    super::show::all_services(&mut ask(socket, Topic::Services)?)
}

fn written_with(numeric: bool) -> &'static dyn Names {
    if numeric { &Numbers } else { &System }
}

fn services(socket: &Path, only: Option<ServiceKey>) -> Result<(u64, Vec<ServiceView>), Failure> {
    let (table_size, mut services) = all_services(socket)?;
    if let Some(key) = only {
        services.retain(|service| service.is(&key));
        if services.is_empty() {
            return Err(Failure::Ipvsadm(ipvsadm::Failure::not_listed()));
        }
    }
    Ok((table_size, services))
}

fn timeouts(socket: &Path, out: &mut dyn Write) -> Result<(), Failure> {
    match ask(socket, Topic::Timeouts)?.receive()? {
        Response::Timeouts(view) => Ok(listing::timeouts(out, &view)?),
        _ => Err(Failure::Answer),
    }
}

/// One command line a line, as `-S` writes them; the first that fails ends it.
fn restore(socket: &Path, lines: &mut dyn BufRead) -> Result<(), Failure> {
    for line in lines.lines() {
        let words: Vec<String> = line?.split_whitespace().map(str::to_owned).collect();
        let words = names::resolve(&words, &System);
        if !words.is_empty() {
            ipvsadm::parse(&words)?;
            change(socket, words)?;
        }
    }
    Ok(())
}

fn change(socket: &Path, arguments: Vec<String>) -> Result<(), Failure> {
    match Client::connect(socket)?.ask(&Request::Ipvsadm { arguments })? {
        Response::Ipvsadm { code: 0, .. } => Ok(()),
        Response::Ipvsadm { code, message } => Err(Failure::Ipvsadm(ipvsadm::Failure { code, message })),
        _ => Err(Failure::Answer),
    }
}

//! Commands carried out on the state as the kernel carries them out: an edit names everything, so what it does not
//! name has its default again.

use super::failure::Failure;
use super::{Command, ServerSpec, ServiceSpec};
use crate::control::config::{DestinationConfig, ServiceConfig, values};
use crate::control::state::{DestinationEdit, Error, ServiceEdit, State};
use crate::model::{ClientMask, Departures, Persistence, PersistenceEngine, Time};
use crate::sched::Options;
use crate::sched::registry::SchedulerKind;

/// Carries out a command that changes the state; others leave it alone. What the director cannot do yet is whoever
/// calls to refuse.
pub fn apply(state: &mut State, command: &Command, now: Time) -> Result<(), Failure> {
    let of_service = |error: Error| Failure::of_service(&error);
    let of_server = |error: Error| Failure::of_server(&error);
    match command {
        Command::AddService(spec) => add_service(state, spec),
        Command::EditService(spec) => edit_service(state, spec),
        Command::DeleteService(key) => state.delete_service(key, now).map_err(of_service),
        Command::Clear => state.delete_services(now).map_err(of_service),
        Command::AddServer(key, server) => state.add_destination(key, &destination_config(server)).map_err(of_server),
        Command::EditServer(key, server) => {
            let edit = DestinationEdit {
                forward: Some(server.forward),
                weight: Some(server.weight),
                threshold_upper: Some(server.threshold_upper),
                threshold_lower: Some(server.threshold_lower),
            };
            state.edit_destination(key, server.at, &edit).map_err(of_server)
        }
        Command::DeleteServer(key, at) => state.delete_destination(key, *at, now).map_err(of_server),
        Command::SetTimeouts(edit) => state.set_timeouts(edit).map_err(of_service),
        Command::Zero(Some(key)) => state.service(key).map(|_| ()).map_err(of_service),
        Command::StartDaemon(interface) if state.port(interface).is_err() => Err(Failure::invalid()),
        Command::StartDaemon(_) => Err(Failure::not_yet("connection synchronisation")),
        Command::StopDaemon => Err(Failure::refused("No daemon is running")),
        Command::Zero(None) | Command::List(_) | Command::Save { .. } | Command::Restore => Ok(()),
        Command::Help | Command::Version => Ok(()),
    }
}

fn add_service(state: &mut State, spec: &ServiceSpec) -> Result<(), Failure> {
    if state.service(&spec.key).is_ok() {
        return Err(Failure::of_service(&Error::ServiceExists(spec.key)));
    }
    let service = service_config(state, spec)?;
    state.add_service(&service).map_err(|error| Failure::of_service(&error))
}

fn edit_service(state: &mut State, spec: &ServiceSpec) -> Result<(), Failure> {
    state.service(&spec.key).map_err(|error| Failure::of_service(&error))?;
    let service = service_config(state, spec)?;
    let edit = ServiceEdit {
        scheduler: Some(service.scheduler),
        options: Some(service.options),
        persistence: Some(service.persistence),
        one_packet: Some(service.one_packet),
        strict: None,
        // ipvsadm does not know of these, so it does not change them
        departures: None,
        port: None,
    };
    state.edit_service(&spec.key, &edit).map_err(|error| Failure::of_service(&error))
}

/// The service that `-A` asks for.
pub fn service_config(state: &State, spec: &ServiceSpec) -> Result<ServiceConfig, Failure> {
    let scheduler = SchedulerKind::from_name(&spec.scheduler).ok_or_else(Failure::no_such_engine)?;
    let mut options = Options::default().with(&state.snapshot().settings);
    for flag in &spec.scheduler_flags {
        let known = values::scheduler_flag(scheduler, flag, &mut options);
        known.map_err(|_| Failure::usage(format!("invalid scheduler flag `{flag}'")))?;
    }
    Ok(ServiceConfig {
        key: spec.key,
        scheduler,
        options,
        persistence: persistence(spec)?,
        one_packet: spec.one_packet,
        strict: false,
        departures: Departures::default(),
        port: None,
        destinations: Vec::new(),
    })
}

fn persistence(spec: &ServiceSpec) -> Result<Option<Persistence>, Failure> {
    let known = |name: &String| PersistenceEngine::from_name(name).ok_or_else(Failure::no_such_engine);
    let engine = spec.persistence_engine.as_ref().map(known).transpose()?;
    let mask = spec.persistence_mask.unwrap_or(ClientMask::whole(spec.key.family()));
    Ok(spec.persistence_timeout_s.map(|timeout_s| Persistence { timeout_s, mask, engine }))
}

/// The destination that `-a` asks for.
pub fn destination_config(server: &ServerSpec) -> DestinationConfig {
    let ServerSpec { at, forward, weight, threshold_upper, threshold_lower } = *server;
    DestinationConfig { address: at.ip(), port: at.port(), forward, weight, threshold_upper, threshold_lower }
}

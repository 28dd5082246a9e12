//! Commands get what the file would get: what the director cannot do yet is refused in the same words, and so is what
//! depends on everything else that is configured.

use super::config::rules::{OwnAddresses, check_destination};
use super::config::{DestinationConfig, ServiceConfig, values};
use super::ipvsadm::{Command, Failure, destination_config, service_config};
use super::state::State;
use crate::model::ServiceKey;
use std::net::IpAddr;

/// A service by itself.
pub fn service(service: &ServiceConfig) -> Result<(), String> {
    match service.key {
        ServiceKey::Virtual { protocol, .. } => values::protocol(&protocol.name().to_lowercase()).map(|_| ()),
        ServiceKey::Mark { .. } => Ok(()),
    }
}

/// A command of ipvsadm's that the state would carry out.
pub fn ipvsadm(state: &State, command: &Command) -> Result<(), Failure> {
    match command {
        Command::AddService(spec) => {
            let Ok(config) = service_config(state, spec) else { return Ok(()) };
            service(&config).and_then(|()| new_address(state, &spec.key)).map_err(Failure::refused)
        }
        Command::EditService(spec) => {
            let Ok(config) = service_config(state, spec) else { return Ok(()) };
            service(&config).map_err(Failure::refused)
        }
        Command::AddServer(key, server) | Command::EditServer(key, server) => {
            destination(state, key, &destination_config(server)).map_err(Failure::refused)
        }
        _ => Ok(()),
    }
}

/// An address that becomes a virtual one must not be a destination's: that one would be on the director itself.
pub fn new_address(state: &State, key: &ServiceKey) -> Result<(), String> {
    let Some(address) = address(key) else { return Ok(()) };
    let mut destinations = state.snapshot().destinations.iter().map(|(_, destination)| destination);
    match destinations.find(|destination| destination.available && destination.address == address) {
        Some(_) => {
            Err(format!("{address} is a destination: real servers on the director itself are not supported yet"))
        }
        None => Ok(()),
    }
}

/// A destination among everything else.
pub fn destination(state: &State, key: &ServiceKey, destination: &DestinationConfig) -> Result<(), String> {
    values::destination_address(&destination.socket().to_string())?;
    let services = state.snapshot().directory.services.keys();
    let services = services.filter(|service| address(service) == Some(destination.address));
    let own = OwnAddresses::new(state.ports(), services);
    match check_destination(key, destination, &own).into_iter().next() {
        Some(refusal) => Err(format!("{} of {key}: {refusal}", destination.socket())),
        None => Ok(()),
    }
}

fn address(key: &ServiceKey) -> Option<IpAddr> {
    match key {
        ServiceKey::Virtual { address, .. } => Some(*address),
        ServiceKey::Mark { .. } => None,
    }
}

//! Reload: the running state becomes what the file says, all or nothing. What stays keeps its identity, its place and
//! its connections; what is new is inserted at the heads of the lists in file order; what is gone goes to the trash.
//! Commands given at run time are part of the running state, so what the file does not have is taken back.

use super::destination::at;
use super::error::Error;
use super::{Draft, ServiceEdit, State};
use crate::control::config::{Config, DestinationConfig, PortConfig, ServiceConfig};
use crate::model::{ServiceKey, Time};
use crate::sched::Candidate;
use hashbrown::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

/// What a reload changed, one line a change, for whoever asked for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub changes: Vec<String>,
}

impl State {
    pub fn apply_config(&mut self, new: Config, now: Time) -> Result<Report, Error> {
        let restart = restart_needed(&self.config, &new);
        if !restart.is_empty() {
            return Err(Error::RestartNeeded(restart));
        }
        let mut report = Report::default();
        self.change(|draft| draft.apply(new, now, &mut report.changes))?;
        Ok(report)
    }
}

/// What only a start can change.
fn restart_needed(old: &Config, new: &Config) -> Vec<String> {
    let mut keys = Vec::new();
    let mut differs = |key: &str, differs: bool| {
        if differs {
            keys.push(format!("{key} changed"));
        }
    };
    differs("[dpdk]", old.dpdk != new.dpdk);
    differs("[workers]", old.workers != new.workers);
    differs("[connections]", old.connections != new.connections);
    differs("the number of [[port]] tables", old.ports.len() != new.ports.len());
    let device = |p: &PortConfig| (p.device.clone(), p.vlan, p.mac, p.mtu);
    for (old, new) in old.ports.iter().zip(&new.ports) {
        differs(&format!("device, vlan, mac or mtu of [[port]] {}", old.name), device(old) != device(new));
    }
    keys
}

impl Draft {
    fn apply(&mut self, mut new: Config, now: Time, report: &mut Vec<String>) -> Result<(), Error> {
        let services = std::mem::take(&mut new.services);
        self.apply_globals(new, report);
        let mut wanted = HashSet::with_capacity(services.len());
        // additions before removals, so that no id changes its meaning from one snapshot to the next
        for service in &services {
            if !wanted.insert(service.key) {
                return Err(Error::ServiceExists(service.key));
            }
            self.apply_service(service, now, report)?;
        }
        let keys = self.state.snapshot.services.iter().map(|(_, service)| service.key);
        let gone: Vec<ServiceKey> = keys.filter(|key| !wanted.contains(key)).collect();
        for key in &gone {
            self.delete_service(key, now)?;
            report.push(format!("service {key} removed"));
        }
        Ok(())
    }

    fn apply_globals(&mut self, new: Config, report: &mut Vec<String>) {
        let old = Arc::clone(&self.state.config);
        let mut note = |what: &str, changed: bool| {
            if changed {
                report.push(format!("{what} changed"));
            }
            changed
        };
        if note("[timeouts]", *self.state.snapshot.timeouts != new.timeouts) {
            self.state.snapshot.timeouts = Arc::new(new.timeouts.clone());
            self.republish = true;
        }
        if note("[ipvs] or [ip]", *self.state.snapshot.settings != new.settings) {
            self.state.snapshot.settings = Arc::new(new.settings.clone());
            self.republish = true;
        }
        self.directory_changed |= note("[[port]]", old.ports != new.ports)
            | note("[[route]]", old.routes != new.routes)
            | note("[[neighbour]]", old.neighbours != new.neighbours);
        self.state.config = Arc::new(new);
    }

    fn apply_service(&mut self, new: &ServiceConfig, now: Time, report: &mut Vec<String>) -> Result<(), Error> {
        let Ok(old) = self.state.service(&new.key) else {
            report.push(format!("service {} added", new.key));
            return self.add_service(new);
        };
        let ServiceConfig { key, scheduler, options, persistence, one_packet, port, .. } = *new;
        if (ServiceConfig { destinations: old.destinations.clone(), ..new.clone() }) != old {
            report.push(format!("service {key} edited"));
            let edit = ServiceEdit {
                scheduler: Some(scheduler),
                options: Some(options),
                persistence: Some(persistence),
                one_packet: Some(one_packet),
                port: Some(port),
            };
            self.edit_service(&key, &edit)?;
        }
        if old.destinations != new.destinations {
            self.apply_destinations(&key, &old.destinations, &new.destinations, now, report)?;
        }
        Ok(())
    }

    /// `old` and `new` in the order of addition. Their order alone is no difference.
    fn apply_destinations(
        &mut self,
        key: &ServiceKey,
        old: &[DestinationConfig],
        new: &[DestinationConfig],
        now: Time,
        report: &mut Vec<String>,
    ) -> Result<(), Error> {
        let mut wanted: HashMap<SocketAddr, &DestinationConfig> = HashMap::with_capacity(new.len());
        for config in new {
            if wanted.insert(at(config), config).is_some() {
                return Err(Error::DestinationExists(*key, at(config)));
            }
        }
        let before = report.len();
        let service = Arc::clone(self.state.find(key)?);
        let mut kept = Vec::with_capacity(new.len());
        for (candidate, old) in service.pool.candidates().iter().zip(old.iter().rev()) {
            match wanted.remove(&at(old)) {
                Some(config) => kept.push(self.keep(key, *candidate, old, config, report)?),
                None => {
                    self.discard(key, candidate.id, now);
                    report.push(format!("destination {} of {key} removed", at(old)));
                }
            }
        }
        let mut candidates = Vec::with_capacity(new.len());
        for config in new.iter().rev().filter(|config| wanted.contains_key(&at(config))) {
            candidates.push(self.enrol(key, service.id, config)?);
            report.push(format!("destination {} of {key} added", at(config)));
        }
        candidates.append(&mut kept);
        if report.len() == before { Ok(()) } else { self.set_pool(&service, candidates) }
    }

    fn keep(
        &mut self,
        key: &ServiceKey,
        mut candidate: Candidate,
        old: &DestinationConfig,
        new: &DestinationConfig,
        report: &mut Vec<String>,
    ) -> Result<Candidate, Error> {
        if old != new {
            self.revise(key, &mut candidate, new)?;
            report.push(format!("destination {} of {key} edited{}", at(new), weights(old, new)));
        }
        Ok(candidate)
    }
}

fn weights(old: &DestinationConfig, new: &DestinationConfig) -> String {
    if old.weight == new.weight { String::new() } else { format!(": weight {} to {}", old.weight, new.weight) }
}

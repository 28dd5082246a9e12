//! Reload: the running state becomes what the file says, all or nothing. What stays keeps its identity, its place and
//! its connections; what is new is inserted at the heads of the lists in file order; what is gone goes to the trash.
//! Commands given at run time are part of the running state, so what the file does not have is taken back.

use super::destination::at;
use super::error::Error;
use super::{Draft, ServiceEdit, State};
use crate::control::config::{Change, Config, DestinationConfig, ServiceConfig, changes, restart_needed};
use crate::dataplane::marks::Marks;
use crate::model::{ServiceKey, Time};
use hashbrown::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

impl State {
    /// What differs, in the words of the file, and has been applied.
    pub fn apply_config(&mut self, new: Config, now: Time) -> Result<Vec<Change>, Error> {
        let restart = restart_needed(&self.config, &new);
        if !restart.is_empty() {
            return Err(Error::RestartNeeded(restart));
        }
        let changes = changes(&self.config(), &new);
        self.change(|draft| draft.apply(new, now))?;
        Ok(changes)
    }
}

impl Draft {
    fn apply(&mut self, mut new: Config, now: Time) -> Result<(), Error> {
        let services = std::mem::take(&mut new.services);
        self.apply_globals(new);
        let mut wanted = HashSet::with_capacity(services.len());
        // additions before removals, so that no id changes its meaning from one snapshot to the next
        for service in &services {
            if !wanted.insert(service.key) {
                return Err(Error::ServiceExists(service.key));
            }
            self.apply_service(service, now)?;
        }
        let keys = self.state.snapshot.services.iter().map(|(_, service)| service.key);
        let gone: Vec<ServiceKey> = keys.filter(|key| !wanted.contains(key)).collect();
        for key in &gone {
            self.delete_service(key, now)?;
        }
        Ok(())
    }

    fn apply_globals(&mut self, new: Config) {
        let old = Arc::clone(&self.state.config);
        if old.timeouts != new.timeouts {
            Arc::make_mut(&mut self.state.config).timeouts = new.timeouts.clone();
            self.set_timeouts();
        }
        if old.marks != new.marks {
            self.state.snapshot.marks = Arc::new(Marks::new(&new.marks));
            self.republish = true;
        }
        if old.settings != new.settings {
            self.state.snapshot.settings = Arc::new(new.settings.clone());
            self.republish = true;
        }
        self.directory_changed |=
            old.ports != new.ports || old.routes != new.routes || old.neighbours != new.neighbours;
        self.state.config = Arc::new(new);
    }

    fn apply_service(&mut self, new: &ServiceConfig, now: Time) -> Result<(), Error> {
        let Ok(old) = self.state.service(&new.key) else { return self.add_service(new) };
        let ServiceConfig { key, scheduler, options, persistence, one_packet, strict, departures, port, .. } = *new;
        if !new.is_same_service(&old) {
            let edit = ServiceEdit {
                scheduler: Some(scheduler),
                options: Some(options),
                persistence: Some(persistence),
                one_packet: Some(one_packet),
                strict: Some(strict),
                departures: Some(departures),
                port: Some(port),
            };
            self.edit_service(&key, &edit)?;
        }
        if old.destinations != new.destinations {
            self.apply_destinations(&key, &old.destinations, &new.destinations, now)?;
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
    ) -> Result<(), Error> {
        let mut wanted: HashMap<SocketAddr, &DestinationConfig> = HashMap::with_capacity(new.len());
        for config in new {
            if wanted.insert(at(config), config).is_some() {
                return Err(Error::DestinationExists(*key, at(config)));
            }
        }
        let mut changed = false;
        let service = Arc::clone(self.state.find(key)?);
        let departures = service.departures;
        let mut kept = Vec::with_capacity(new.len());
        for (candidate, old) in service.pool.candidates().iter().zip(old.iter().rev()) {
            match wanted.remove(&at(old)) {
                Some(config) if config == old => kept.push(*candidate),
                Some(config) => {
                    let mut candidate = *candidate;
                    self.revise(key, &mut candidate, config)?;
                    kept.push(candidate);
                    changed = true;
                }
                None => {
                    self.discard(key, candidate.id, now);
                    changed = true;
                }
            }
        }
        let mut candidates = Vec::with_capacity(new.len());
        for config in new.iter().rev().filter(|config| wanted.contains_key(&at(config))) {
            candidates.push(self.enrol(key, service.id, departures, config)?);
        }
        changed |= !candidates.is_empty();
        candidates.append(&mut kept);
        if changed { self.set_pool(&service, candidates) } else { Ok(()) }
    }
}

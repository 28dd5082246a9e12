//! The director's state as the control thread keeps it: what is configured, which ids it has, what lies in the trash,
//! and the last snapshot made of it. No threads, no sockets, no clock.
//!
//! The services live in the snapshot itself, so there is one truth. A change works on a copy, whose unchanged parts are
//! shared, and replaces the state when it has succeeded: every command, and every reload, is all or nothing.

pub mod check;
mod destination;
mod error;
mod ids;
mod network;
mod reload;
mod service;
#[cfg(test)]
mod tests;
mod timeouts;
mod trash;

pub use destination::DestinationEdit;
pub use error::{Error, Refusal};
pub use service::ServiceEdit;
pub use timeouts::TimeoutsEdit;
pub use trash::TRASH_PERIOD_S;

use crate::control::config::{Config, DestinationConfig, PortConfig, ServiceConfig};
use crate::dataplane::marks::Marks;
use crate::dataplane::snapshot::{Changes, Service, Snapshot};
use crate::model::{DestId, OwnTimeouts, PortId, ServiceId, ServiceKey, Time, TimeoutSets};
use hashbrown::HashMap;
use ids::Ids;
use std::sync::Arc;
use trash::Trash;

/// The device of one `[[port]]`, as far as only whoever opened it knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    pub port: PortId,
    pub mac: [u8; 6],
    /// It fills in UDP checksums when asked to.
    pub udp_checksum_offload: bool,
}

/// See the module. A copy costs a few dozen pointers a thousand services.
#[derive(Clone)]
pub struct State {
    /// Without its services: they are in the snapshot.
    config: Arc<Config>,
    /// One a `[[port]]`.
    opened: Arc<[Opened]>,
    trash: Arc<Trash>,
    /// Services that name the port that answers ARP and ND for them, an index into `config.ports`.
    arp_ports: Arc<HashMap<ServiceId, usize>>,
    /// Of services, in the order of the snapshot's sets.
    own_timeouts: Arc<Vec<OwnTimeouts>>,
    service_ids: Ids,
    dest_ids: Ids,
    snapshot: Snapshot,
}

impl State {
    /// The state at start, with snapshot number 1. `opened` has one entry a `[[port]]`.
    pub fn new(mut config: Config, opened: &[Opened]) -> Result<Self, Error> {
        assert_eq!(config.ports.len(), opened.len(), "every [[port]] was opened");
        let services = std::mem::take(&mut config.services);
        let snapshot = Snapshot {
            settings: Arc::new(config.settings.clone()),
            timeouts: Arc::new(TimeoutSets::new(config.timeouts.clone(), &[])),
            marks: Arc::new(Marks::new(&config.marks)),
            ..Snapshot::default()
        };
        let mut state = Self {
            config: Arc::new(config),
            opened: opened.into(),
            trash: Arc::default(),
            arp_ports: Arc::default(),
            own_timeouts: Arc::default(),
            service_ids: Ids::default(),
            dest_ids: Ids::default(),
            snapshot,
        };
        state.change(|draft| {
            // also without services there is a first snapshot, and it has a network
            draft.directory_changed = true;
            draft.republish = true;
            services.iter().try_for_each(|service| draft.add_service(service))
        })?;
        Ok(state)
    }

    /// The last snapshot: after a change, the next one to publish.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The configuration as it stands, commands at run time included. Services in the order of their ids.
    pub fn config(&self) -> Config {
        let services = self.snapshot.services.iter().map(|(_, service)| self.service_config(service)).collect();
        Config { services, ..(*self.config).clone() }
    }

    /// The `[[port]]` tables.
    pub fn ports(&self) -> &[PortConfig] {
        &self.config.ports
    }

    /// The index of the `[[port]]` with this name.
    pub fn port(&self, name: &str) -> Result<usize, Error> {
        let names = || self.config.ports.iter().map(|port| port.name.as_str());
        let unknown = || Error::NoSuchPort(name.to_owned(), names().collect::<Vec<_>>().join(", "));
        names().position(|n| n == name).ok_or_else(unknown)
    }

    /// What the service is configured to be.
    pub fn service(&self, key: &ServiceKey) -> Result<ServiceConfig, Error> {
        self.find(key).map(|service| self.service_config(service))
    }

    fn service_config(&self, service: &Service) -> ServiceConfig {
        // the list's head was added last
        let destinations = service.pool.candidates().iter().rev().map(|c| self.destination_config(c.id)).collect();
        ServiceConfig {
            key: service.key,
            scheduler: service.scheduler,
            options: service.options,
            persistence: service.persistence,
            one_packet: service.one_packet,
            strict: service.strict,
            departures: service.departures,
            port: self.arp_ports.get(&service.id).copied(),
            destinations,
        }
    }

    fn destination_config(&self, id: DestId) -> DestinationConfig {
        let d = self.snapshot.destinations.get(id.index()).expect("a pool's destinations exist");
        DestinationConfig {
            address: d.address,
            port: d.port,
            forward: d.forward,
            weight: d.weight,
            threshold_upper: d.threshold_upper,
            threshold_lower: d.threshold_lower,
        }
    }

    fn find(&self, key: &ServiceKey) -> Result<&Arc<Service>, Error> {
        let id = self.snapshot.directory.services.get(key).ok_or(Error::NoSuchService(*key))?;
        Ok(self.snapshot.services.get(id.index()).expect("the directory's services exist"))
    }

    /// Removes from the trash, for good, what has been there for 120 seconds and has no connections. `references`:
    /// everything all workers still have of a destination. The new snapshot, if there was anything to remove.
    pub fn collect(&mut self, now: Time, references: &dyn Fn(DestId) -> u64) -> Option<Snapshot> {
        let finished = self.trash.finished(now, references);
        if finished.is_empty() {
            return None;
        }
        let collected = self.change(|draft| {
            finished.iter().for_each(|key| draft.forget(key));
            Ok(())
        });
        collected.expect("nothing can be refused about the trash");
        Some(self.snapshot.clone())
    }

    /// Applies `edit` to a copy and, when it succeeds, takes the copy.
    fn change<T>(&mut self, edit: impl FnOnce(&mut Draft) -> Result<T, Error>) -> Result<T, Error> {
        let mut draft = Draft::of(self);
        let answer = edit(&mut draft)?;
        if let Some(changed) = draft.finish()? {
            *self = changed;
        }
        Ok(answer)
    }
}

/// A state in the middle of a change.
struct Draft {
    state: State,
    /// What changed, some of it perhaps more than once.
    services: Vec<ServiceId>,
    destinations: Vec<DestId>,
    /// Services came or went, or name another port, or the configuration's own network changed.
    directory_changed: bool,
    /// Something changed that `Changes` does not list.
    republish: bool,
}

impl Draft {
    fn of(state: &State) -> Self {
        Self {
            state: state.clone(),
            services: Vec::new(),
            destinations: Vec::new(),
            directory_changed: false,
            republish: false,
        }
    }

    /// The changed state with its next snapshot; `None` when nothing changed.
    fn finish(mut self) -> Result<Option<State>, Error> {
        let mut changes = Changes::default();
        if self.directory_changed {
            self.finish_directory(&mut changes)?;
        }
        if !(changes.network || self.republish) && self.services.is_empty() && self.destinations.is_empty() {
            return Ok(None);
        }
        changes.services = sorted(self.services);
        changes.destinations = sorted(self.destinations);
        let snapshot = &mut self.state.snapshot;
        snapshot.version += 1;
        snapshot.changes = Arc::new(changes);
        Ok(Some(self.state))
    }

    /// What follows from the set of services as a whole.
    fn finish_directory(&mut self, changes: &mut Changes) -> Result<(), Error> {
        let State { config, opened, arp_ports, snapshot, .. } = &mut self.state;
        let directory = Arc::make_mut(&mut snapshot.directory);
        *directory = std::mem::take(directory).sorted_out();
        let mut network = network::network(config, opened, &snapshot.directory, arp_ports)?;
        if !network::is_same(&network, &snapshot.network) {
            network.prepare();
            changes.compare(&snapshot.network, &network);
            snapshot.network = Arc::new(network);
        }
        Ok(())
    }
}

fn sorted<T: Ord>(mut ids: Vec<T>) -> Vec<T> {
    ids.sort_unstable();
    ids.dedup();
    ids
}

//! Adding, editing and deleting virtual services.

use super::destination::at;
use super::error::Error;
use super::{Draft, State, check};
use crate::control::config::ServiceConfig;
use crate::dataplane::snapshot::Service;
use crate::model::limits::SERVICES_MAX;
use crate::model::{Departures, Persistence, ServiceId, ServiceKey, Time};
use crate::sched::registry::{Plan, SchedulerKind};
use crate::sched::{Candidate, Options, Pool};
use hashbrown::HashSet;
use std::sync::Arc;

/// What to change of a service; the rest stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServiceEdit {
    pub scheduler: Option<SchedulerKind>,
    pub options: Option<Options>,
    /// `Some(None)`: no persistence any more.
    pub persistence: Option<Option<Persistence>>,
    pub one_packet: Option<bool>,
    pub strict: Option<bool>,
    pub departures: Option<Departures>,
    /// `Some(None)`: the port whose subnet the address lies in.
    pub port: Option<Option<usize>>,
}

impl State {
    /// Adds a service with its destinations, which come to the list one after the other as if by `ipvsadm -a`.
    pub fn add_service(&mut self, service: &ServiceConfig) -> Result<(), Error> {
        self.change(|draft| draft.add_service(service))
    }

    pub fn edit_service(&mut self, key: &ServiceKey, edit: &ServiceEdit) -> Result<(), Error> {
        self.change(|draft| draft.edit_service(key, edit))
    }

    /// Removes all services (`ipvsadm -C`).
    pub fn delete_services(&mut self, now: Time) -> Result<(), Error> {
        let keys: Vec<_> = self.snapshot.services.iter().map(|(_, service)| service.key).collect();
        self.change(|draft| keys.iter().try_for_each(|key| draft.delete_service(key, now)))
    }

    /// Removes the service; its destinations go to the trash.
    pub fn delete_service(&mut self, key: &ServiceKey, now: Time) -> Result<(), Error> {
        self.change(|draft| draft.delete_service(key, now))
    }
}

impl Draft {
    pub(super) fn add_service(&mut self, config: &ServiceConfig) -> Result<(), Error> {
        let key = config.key;
        if self.state.snapshot.directory.services.contains_key(&key) {
            return Err(Error::ServiceExists(key));
        }
        check_service(config)?;
        let id = self.service_id(&key)?;
        let mut candidates = Vec::with_capacity(config.destinations.len());
        let mut seen = HashSet::with_capacity(config.destinations.len());
        for destination in &config.destinations {
            if !seen.insert(at(destination)) {
                return Err(Error::DestinationExists(key, at(destination)));
            }
            candidates.push(self.enrol(&key, id, config.departures, destination)?);
        }
        candidates.reverse();
        self.name_port(id, config.port);
        Arc::make_mut(&mut self.state.snapshot.directory).services.insert(key, id);
        self.directory_changed = true;
        self.put_service(id, config, Arc::new(Pool::new(candidates)))
    }

    pub(super) fn edit_service(&mut self, key: &ServiceKey, edit: &ServiceEdit) -> Result<(), Error> {
        let old = Arc::clone(self.state.find(key)?);
        let port = self.state.arp_ports.get(&old.id).copied();
        let new = ServiceConfig {
            key: *key,
            scheduler: edit.scheduler.unwrap_or(old.scheduler),
            options: edit.options.unwrap_or(old.options),
            persistence: edit.persistence.unwrap_or(old.persistence),
            one_packet: edit.one_packet.unwrap_or(old.one_packet),
            strict: edit.strict.unwrap_or(old.strict),
            departures: edit.departures.unwrap_or(old.departures),
            port: edit.port.unwrap_or(port),
            destinations: Vec::new(),
        };
        check_service(&new)?;
        if new.departures != old.departures {
            self.depart(&old, new.departures)?;
        }
        if new.port != port {
            self.name_port(old.id, new.port);
            self.directory_changed = true;
        }
        self.put_service(old.id, &new, Arc::clone(&old.pool))
    }

    pub(super) fn delete_service(&mut self, key: &ServiceKey, now: Time) -> Result<(), Error> {
        let service = Arc::clone(self.state.find(key)?);
        for candidate in service.pool.candidates() {
            self.discard(key, candidate.id, now);
        }
        Arc::make_mut(&mut self.state.snapshot.directory).services.remove(key);
        self.directory_changed = true;
        self.name_port(service.id, None);
        self.state.snapshot.services.set(service.id.index(), None);
        self.services.push(service.id);
        if !Arc::make_mut(&mut self.state.trash).hold(*key, service.id) {
            self.state.service_ids.give_back(service.id.0);
        }
        Ok(())
    }

    /// The id the service had, while destinations of it are in the trash; a fresh one otherwise.
    fn service_id(&mut self, key: &ServiceKey) -> Result<ServiceId, Error> {
        let held = if self.state.trash.is_empty() { None } else { Arc::make_mut(&mut self.state.trash).held(key) };
        let id = held.unwrap_or_else(|| ServiceId(self.state.service_ids.take()));
        if id.index() < SERVICES_MAX { Ok(id) } else { Err(Error::TooManyServices) }
    }

    fn name_port(&mut self, id: ServiceId, port: Option<usize>) {
        if self.state.arp_ports.get(&id).copied() == port {
            return;
        }
        let arp_ports = Arc::make_mut(&mut self.state.arp_ports);
        match port {
            Some(port) => arp_ports.insert(id, port),
            None => arp_ports.remove(&id),
        };
    }

    /// The service with other destinations.
    pub(super) fn set_pool(&mut self, service: &Service, candidates: Vec<Candidate>) -> Result<(), Error> {
        let pool = Arc::new(service.pool.changed(candidates));
        let plan = plan(service.key, service.scheduler, &pool, service.options)?;
        self.set_service(Service { pool, plan, ..copy(service) });
        Ok(())
    }

    /// Keeps the plan of an existing service when neither scheduler, options nor pool changed.
    fn put_service(&mut self, id: ServiceId, config: &ServiceConfig, pool: Arc<Pool>) -> Result<(), Error> {
        let ServiceConfig { key, scheduler, options, persistence, one_packet, strict, departures, .. } = *config;
        let same =
            |old: &&Arc<Service>| Arc::ptr_eq(&old.pool, &pool) && old.scheduler == scheduler && old.options == options;
        let kept = self.state.snapshot.services.get(id.index()).filter(same).map(|old| Arc::clone(&old.plan));
        let plan = kept.map_or_else(|| plan(key, scheduler, &pool, options), Ok)?;
        self.set_service(Service {
            id,
            key,
            scheduler,
            options,
            persistence,
            one_packet,
            strict,
            departures,
            pool,
            plan,
        });
        Ok(())
    }

    fn set_service(&mut self, service: Service) {
        let id = service.id;
        self.state.snapshot.services.set(id.index(), Some(Arc::new(service)));
        self.services.push(id);
    }
}

fn plan(key: ServiceKey, scheduler: SchedulerKind, pool: &Pool, options: Options) -> Result<Arc<Plan>, Error> {
    Plan::make(scheduler, pool, options).map(Arc::new).map_err(|e| Error::Plan(key, e))
}

pub(super) fn check_service(config: &ServiceConfig) -> Result<(), Error> {
    check::service(config).map_err(|refusal| Error::Refused(config.key.to_string(), refusal))
}

fn copy(service: &Service) -> Service {
    Service { pool: Arc::clone(&service.pool), plan: Arc::clone(&service.plan), ..*service }
}

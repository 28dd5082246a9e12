//! Adding, editing and deleting destinations. A new one goes to the head of its service's list, a removed one to the
//! trash, an edited one keeps its place: as in the kernel (ip_vs_ctl.c).

use super::error::Error;
use super::trash::TrashKey;
use super::{Draft, State, check};
use crate::control::config::DestinationConfig;
use crate::dataplane::snapshot::Service;
use crate::model::limits::DESTINATIONS_MAX;
use crate::model::{Departures, DestId, Destination, Forward, ServiceId, ServiceKey, Time};
use crate::sched::Candidate;
use std::net::SocketAddr;
use std::sync::Arc;

/// What to change of a destination; the rest stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DestinationEdit {
    pub forward: Option<Forward>,
    pub weight: Option<u32>,
    pub threshold_upper: Option<u32>,
    pub threshold_lower: Option<u32>,
}

impl State {
    /// Adds a destination; one from the trash comes back with its connections and counters.
    pub fn add_destination(&mut self, key: &ServiceKey, destination: &DestinationConfig) -> Result<(), Error> {
        self.change(|draft| draft.add_destination(key, destination))
    }

    pub fn edit_destination(&mut self, key: &ServiceKey, at: SocketAddr, edit: &DestinationEdit) -> Result<(), Error> {
        self.change(|draft| draft.edit_destination(key, at, edit))
    }

    /// Moves a destination to the trash: no new connections; the ones it has still know it.
    pub fn delete_destination(&mut self, key: &ServiceKey, at: SocketAddr, now: Time) -> Result<(), Error> {
        self.change(|draft| draft.delete_destination(key, at, now))
    }
}

impl Draft {
    fn add_destination(&mut self, key: &ServiceKey, config: &DestinationConfig) -> Result<(), Error> {
        let service = Arc::clone(self.state.find(key)?);
        let old = service.pool.candidates();
        if position(old, at(config)).is_some() {
            return Err(Error::DestinationExists(*key, at(config)));
        }
        let mut candidates = Vec::with_capacity(old.len() + 1);
        candidates.push(self.enrol(key, service.id, service.departures, config)?);
        candidates.extend_from_slice(old);
        self.set_pool(&service, candidates)
    }

    fn edit_destination(&mut self, key: &ServiceKey, at: SocketAddr, edit: &DestinationEdit) -> Result<(), Error> {
        let (service, position) = self.locate(key, at)?;
        let mut candidates = service.pool.candidates().to_vec();
        let old = self.state.destination_config(candidates[position].id);
        let new = DestinationConfig {
            forward: edit.forward.unwrap_or(old.forward),
            weight: edit.weight.unwrap_or(old.weight),
            threshold_upper: edit.threshold_upper.unwrap_or(old.threshold_upper),
            threshold_lower: edit.threshold_lower.unwrap_or(old.threshold_lower),
            ..old
        };
        self.revise(key, &mut candidates[position], &new)?;
        self.set_pool(&service, candidates)
    }

    fn delete_destination(&mut self, key: &ServiceKey, at: SocketAddr, now: Time) -> Result<(), Error> {
        let (service, position) = self.locate(key, at)?;
        let mut candidates = service.pool.candidates().to_vec();
        let removed = candidates.remove(position);
        self.discard(key, removed.id, now);
        self.set_pool(&service, candidates)
    }

    fn locate(&self, key: &ServiceKey, at: SocketAddr) -> Result<(Arc<Service>, usize), Error> {
        let service = self.state.find(key)?;
        let position = position(service.pool.candidates(), at).ok_or(Error::NoSuchDestination(*key, at))?;
        Ok((Arc::clone(service), position))
    }

    /// A destination for a service that does not have it: from the trash if it is there, a new one otherwise.
    pub(super) fn enrol(
        &mut self,
        key: &ServiceKey,
        service: ServiceId,
        departures: Departures,
        config: &DestinationConfig,
    ) -> Result<Candidate, Error> {
        check_destination(key, config)?;
        let timeouts = self.timeouts_id(departures.timeouts)?;
        let id = self.dest_id(TrashKey { service: *key, address: config.address, port: config.port })?;
        self.set_destination(Destination { departures, timeouts, ..describe(id, service, config) });
        let DestinationConfig { address, port, weight, .. } = *config;
        // the kernel takes the weight as the last positive one here, also when it is 0 (__ip_vs_update_dest)
        Ok(Candidate { id, weight, last_weight: weight, address, port })
    }

    fn dest_id(&mut self, key: TrashKey) -> Result<DestId, Error> {
        let revived =
            if self.state.trash.contains(&key) { Arc::make_mut(&mut self.state.trash).take(&key) } else { None };
        let id = revived.unwrap_or_else(|| DestId(self.state.dest_ids.take()));
        if id.index() < DESTINATIONS_MAX { Ok(id) } else { Err(Error::TooManyDestinations) }
    }

    /// The destination behind `candidate` becomes what `new` says.
    pub(super) fn revise(
        &mut self,
        key: &ServiceKey,
        candidate: &mut Candidate,
        new: &DestinationConfig,
    ) -> Result<(), Error> {
        check_destination(key, new)?;
        let Destination { service, departures, timeouts, .. } = *self.destination(candidate.id);
        self.set_destination(Destination { departures, timeouts, ..describe(candidate.id, service, new) });
        candidate.weight = new.weight;
        if new.weight != 0 {
            candidate.last_weight = new.weight;
        }
        Ok(())
    }

    /// To the trash. Whoever calls takes it out of the pool.
    pub(super) fn discard(&mut self, key: &ServiceKey, id: DestId, now: Time) {
        let old = *self.destination(id);
        let key = TrashKey { service: *key, address: old.address, port: old.port };
        Arc::make_mut(&mut self.state.trash).put(key, id, now);
        self.set_destination(Destination { available: false, ..old });
    }

    /// The destinations of a service get what it asks for now.
    pub(super) fn depart(&mut self, service: &Service, departures: Departures) -> Result<(), Error> {
        let timeouts = self.timeouts_id(departures.timeouts)?;
        for candidate in service.pool.candidates() {
            let old = *self.destination(candidate.id);
            self.set_destination(Destination { departures, timeouts, ..old });
        }
        Ok(())
    }

    fn destination(&self, id: DestId) -> &Destination {
        self.state.snapshot.destinations.get(id.index()).expect("a pool's destinations exist")
    }

    /// Out of the trash and gone for good.
    pub(super) fn forget(&mut self, key: &TrashKey) {
        let Some((id, service)) = Arc::make_mut(&mut self.state.trash).remove(key) else { return };
        self.state.snapshot.destinations.set(id.index(), None);
        self.destinations.push(id);
        self.state.dest_ids.give_back(id.0);
        if let Some(service) = service {
            self.state.service_ids.give_back(service.0);
        }
    }

    fn set_destination(&mut self, destination: Destination) {
        let id = destination.id;
        self.state.snapshot.destinations.set(id.index(), Some(Arc::new(destination)));
        self.destinations.push(id);
    }
}

fn describe(id: DestId, service: ServiceId, config: &DestinationConfig) -> Destination {
    let DestinationConfig { address, port, forward, weight, threshold_upper, threshold_lower } = *config;
    let available = true;
    let (departures, timeouts) = Default::default();
    Destination {
        id,
        service,
        address,
        port,
        forward,
        weight,
        threshold_upper,
        threshold_lower,
        departures,
        timeouts,
        available,
    }
}

/// Address and port: what tells the destinations of one service apart.
pub(super) fn at(config: &DestinationConfig) -> SocketAddr {
    SocketAddr::new(config.address, config.port)
}

fn position(candidates: &[Candidate], at: SocketAddr) -> Option<usize> {
    candidates.iter().position(|c| c.address == at.ip() && c.port == at.port())
}

fn check_destination(key: &ServiceKey, config: &DestinationConfig) -> Result<(), Error> {
    let name = || format!("{} of {key}", at(config));
    check::destination(key, config).map_err(|refusal| Error::Refused(name(), refusal))
}

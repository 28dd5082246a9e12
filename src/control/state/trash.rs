//! Destinations that were removed while connections may still use them: as in IPVS's trash, they keep their identity
//! and their counters, and adding the same destination again revives them.

use crate::model::{DestId, ServiceId, ServiceKey, Time};
use hashbrown::HashMap;
use std::net::IpAddr;

/// How long a destination stays at least (IP_VS_DEST_TRASH_PERIOD).
pub const TRASH_PERIOD_S: u64 = 120;

/// What makes a destination the same one (ip_vs_trash_get_dest).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct TrashKey {
    pub service: ServiceKey,
    pub address: IpAddr,
    pub port: u16,
}

#[derive(Clone, Copy)]
struct Entry {
    id: DestId,
    since: Time,
}

#[derive(Clone, Default)]
pub(super) struct Trash {
    entries: HashMap<TrashKey, Entry>,
    /// Entries a service, so that its id is not reused while one of them names it.
    counts: HashMap<ServiceKey, u32>,
    /// Ids of services that are gone while entries name them.
    held: HashMap<ServiceKey, ServiceId>,
}

impl Trash {
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn put(&mut self, key: TrashKey, id: DestId, now: Time) {
        let previous = self.entries.insert(key, Entry { id, since: now });
        assert!(previous.is_none(), "a destination was removed twice");
        *self.counts.entry(key.service).or_default() += 1;
    }

    /// Takes a destination out, to revive it.
    pub fn take(&mut self, key: &TrashKey) -> Option<DestId> {
        let entry = self.entries.remove(key)?;
        self.forget(&key.service);
        Some(entry.id)
    }

    pub fn contains(&self, key: &TrashKey) -> bool {
        self.entries.contains_key(key)
    }

    /// Keeps the id of a removed service for as long as its destinations are here. False: there are none.
    pub fn hold(&mut self, service: ServiceKey, id: ServiceId) -> bool {
        let needed = self.counts.contains_key(&service);
        if needed {
            self.held.insert(service, id);
        }
        needed
    }

    /// The id a service had when it was removed.
    pub fn held(&mut self, service: &ServiceKey) -> Option<ServiceId> {
        self.held.remove(service)
    }

    /// Entries that are old enough and that nothing refers to any more.
    pub fn finished(&self, now: Time, references: &dyn Fn(DestId) -> u64) -> Vec<TrashKey> {
        let old = |entry: &Entry| now.since(entry.since) >= TRASH_PERIOD_S * 1_000_000_000;
        let finished = |entry: &Entry| old(entry) && references(entry.id) == 0;
        self.entries.iter().filter(|(_, entry)| finished(entry)).map(|(key, _)| *key).collect()
    }

    /// Removes an entry for good: its id, and that of its service if it was the last that needed it.
    pub fn remove(&mut self, key: &TrashKey) -> Option<(DestId, Option<ServiceId>)> {
        let entry = self.entries.remove(key)?;
        let last = self.forget(&key.service);
        let service = if last { self.held.remove(&key.service) } else { None };
        Some((entry.id, service))
    }

    /// One entry of the service less; true when it was the last.
    fn forget(&mut self, service: &ServiceKey) -> bool {
        let count = self.counts.get_mut(service).expect("every entry is counted");
        *count -= 1;
        let last = *count == 0;
        if last {
            self.counts.remove(service);
        }
        last
    }
}

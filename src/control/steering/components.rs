//! Which services must tell their clients apart in the same way: those that the same NAT destination serves, as its
//! answers show the real server and not the service; and those whose packets can be another's.

use super::server;
use crate::dataplane::snapshot::{Service, Snapshot};
use crate::dataplane::steer::owner::Server;
use crate::dataplane::steer::policy::Policy;
use crate::model::{ClientMask, Destination, PersistenceEngine, Protocol, ServiceKey, Slot};
use hashbrown::{HashMap, HashSet};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// FTP's control and active data port, and where passive data ports begin (as the directory of services has it).
const FTP: u16 = 21;
const FTP_DATA: u16 = 20;
const UNPRIVILEGED: u16 = 1024;

/// What a configuration asks for, service by service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    services: BTreeMap<ServiceKey, Policy>,
    /// NAT destinations of each; with no port, from any port.
    servers: BTreeSet<(ServiceKey, IpAddr, Option<Server>)>,
}

/// What follows for all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub services: HashMap<ServiceKey, Policy>,
    pub servers: HashMap<Server, Policy>,
    /// Addresses of which any port may be a NAT destination's.
    pub addresses: HashMap<IpAddr, Policy>,
}

impl Plan {
    pub fn server(&self, server: &Server) -> Option<Policy> {
        self.servers.get(server).or_else(|| self.addresses.get(&server.1)).copied()
    }

    /// Whether connections of a service in both have other owners by this plan.
    pub fn differs(&self, other: &Self) -> bool {
        self.services.iter().any(|(key, policy)| other.services.get(key).is_some_and(|others| others != policy))
    }
}

impl Wanted {
    /// `destinations`: all there are, those of services gone included.
    pub fn new<'a>(snapshot: &Snapshot, destinations: impl Iterator<Item = &'a (ServiceKey, Destination)>) -> Self {
        let mut wanted = Self::default();
        for (_, service) in snapshot.services.iter() {
            wanted.services.insert(service.key, policy(service));
        }
        for (key, destination) in destinations {
            wanted.services.entry(*key).or_insert_with(|| of_key(key));
            if let Some((address, server)) = server(key, destination) {
                wanted.servers.insert((*key, address, server));
            }
        }
        wanted
    }

    /// What keeps together all that either keeps together.
    pub fn join(mut self, other: &Self) -> Self {
        for (key, policy) in &other.services {
            self.services.entry(*key).and_modify(|own| *own = own.join(*policy)).or_insert(*policy);
        }
        self.servers.extend(other.servers.iter().copied());
        self
    }

    pub fn plan(&self) -> Plan {
        let mut groups = Groups::of(self.services.len());
        let places: HashMap<&ServiceKey, usize> = self.services.keys().zip(0..).collect();
        let any_port: HashSet<IpAddr> =
            self.servers.iter().filter(|(.., server)| server.is_none()).map(|(_, address, _)| *address).collect();
        let mut by_address = HashMap::<IpAddr, usize>::new();
        let mut by_server = HashMap::<Server, usize>::new();
        for (key, address, server) in &self.servers {
            let Some(&place) = places.get(key) else { continue };
            let first = match server {
                Some(server) if !any_port.contains(address) => *by_server.entry(*server).or_insert(place),
                _ => *by_address.entry(*address).or_insert(place),
            };
            groups.unite(first, place);
        }
        for (key, other) in self.ftp_neighbours() {
            groups.unite(places[key], places[other]);
        }
        let mut policies = HashMap::<usize, Policy>::new();
        for (policy, place) in self.services.values().zip(0..) {
            let root = groups.root(place);
            policies.entry(root).and_modify(|joined| *joined = joined.join(*policy)).or_insert(*policy);
        }
        let mut of = |place: usize| policies[&groups.root(place)];
        Plan {
            services: self.services.keys().zip(0..).map(|(key, place)| (*key, of(place))).collect(),
            servers: by_server.into_iter().map(|(server, place)| (server, of(place))).collect(),
            addresses: by_address.into_iter().map(|(address, place)| (address, of(place))).collect(),
        }
    }

    /// Services on ports where an FTP service on the same address may have data connections.
    fn ftp_neighbours(&self) -> impl Iterator<Item = (&ServiceKey, &ServiceKey)> {
        self.services.keys().filter_map(|key| {
            let ServiceKey::Virtual { protocol: Protocol::Tcp, address, port } = *key else { return None };
            let ftp = ServiceKey::Virtual { protocol: Protocol::Tcp, address, port: FTP };
            let may_be_data = port == FTP_DATA || port >= UNPRIVILEGED || port == 0;
            let (ftp, _) = self.services.get_key_value(&ftp).filter(|_| may_be_data)?;
            Some((ftp, key))
        })
    }
}

/// What one service asks for.
fn policy(service: &Service) -> Policy {
    if service.strict {
        // one worker makes all of its decisions, in the order of its packets
        return Policy::Service(slot_of(&service.key));
    }
    match service.persistence {
        Some(persistence) if persistence.engine == Some(PersistenceEngine::Sip) => {
            Policy::Service(slot_of(&service.key))
        }
        Some(persistence) => of_key(&service.key).join(Policy::Network(persistence.mask)),
        None => of_key(&service.key),
    }
}

/// What a service asks for whatever it is configured to do.
fn of_key(key: &ServiceKey) -> Policy {
    match key {
        ServiceKey::Virtual { protocol: Protocol::Tcp, port: FTP, .. } => {
            Policy::Network(ClientMask::whole(key.family()))
        }
        _ => Policy::Connection,
    }
}

/// Some slot, the same after every start and reload.
fn slot_of(key: &ServiceKey) -> Slot {
    let text = key.to_string();
    let sum = text.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    Slot::of_hash(sum ^ sum >> 16)
}

/// Disjoint sets.
struct Groups(Vec<usize>);

impl Groups {
    fn of(count: usize) -> Self {
        Self((0..count).collect())
    }

    fn root(&mut self, mut place: usize) -> usize {
        while self.0[place] != place {
            self.0[place] = self.0[self.0[place]];
            place = self.0[place];
        }
        place
    }

    fn unite(&mut self, one: usize, other: usize) {
        let (one, other) = (self.root(one), self.root(other));
        self.0[one.max(other)] = one.min(other);
    }
}

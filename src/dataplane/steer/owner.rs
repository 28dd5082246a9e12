//! Who owns a packet: a pure function of its headers and what the control thread published.
//!
//! The first that holds says whose packet it is:
//! 1. its destination is a virtual service, or a mark rule fits: the client is its source;
//! 2. its source is a NAT destination (of a service on every port or on a mark: with any port): the client is its
//!    destination;
//! 3. it is an ICMP error about a packet of which one of these holds, as it is or mirrored ([`super`]);
//! 4. nobody: any worker may have it.
//!
//! Fragments show no ports: who reassembles them follows from what they have in common.

use super::client_hash::{ClientHash, Input};
use super::policy::{Policy, slot_of_other};
use crate::dataplane::marks::Marks;
use crate::dataplane::reassemble::DatagramKey;
use crate::dataplane::snapshot::Directory;
use crate::model::{Protocol, ServiceId, SlotTable, WorkerId};
use crate::tables::connections::{Key, ports};
use crate::wire::address::Address;
use crate::wire::toeplitz::RssKey;
use hashbrown::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

/// AH and ESP go with the connection of the key exchange between the same hosts (ip_vs_proto_ah_esp.c).
const ISAKMP: [u8; 2] = 500_u16.to_be_bytes();

/// A policy that may be about to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Rule {
    pub before: Policy,
    pub now: Policy,
}

/// Where the connections of a NAT destination come from: protocol, address and port.
pub type Server = (u8, IpAddr, u16);

/// Whose packets are whose.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// The services that there are, and those gone that still have connections, each with its place in `services`.
    pub directory: Directory,
    pub services: Vec<Rule>,
    /// NAT destinations.
    pub servers: HashMap<Server, Rule>,
    /// Those whose packets may come from any port.
    pub addresses: HashMap<IpAddr, Rule>,
}

/// How far a change of the steering has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Stage {
    /// None is under way: `before` and `now` are the same.
    #[default]
    Settled,
    /// Everybody knows what is to come, and still goes by what was.
    Announced,
    /// Packets go to their new owners, who ask the old ones about those they do not know; connections move.
    Moving,
}

/// Everything that owner() depends on besides the packet.
#[derive(Clone)]
pub struct Steering {
    /// Counts stages of changes.
    pub epoch: u64,
    pub stage: Stage,
    pub before: Arc<SlotTable>,
    pub now: Arc<SlotTable>,
    pub hash_before: Arc<ClientHash>,
    pub hash: Arc<ClientHash>,
    /// By which a port may spread packets that come to others than their owners; those are counted.
    pub other_hash: Arc<ClientHash>,
    pub rules: Arc<Rules>,
}

/// Under the default key.
static DEFAULT: LazyLock<Arc<ClientHash>> =
    LazyLock::new(|| Arc::new(ClientHash::new(&RssKey::MICROSOFT, Input::default())));

impl Default for Steering {
    /// Everything is the first worker's.
    fn default() -> Self {
        Self {
            epoch: 0,
            stage: Stage::Settled,
            before: Arc::default(),
            now: Arc::default(),
            hash_before: DEFAULT.clone(),
            hash: DEFAULT.clone(),
            other_hash: DEFAULT.clone(),
            rules: Arc::default(),
        }
    }
}

/// A packet that is somebody's: its client, and how clients of its service are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim<'a, A> {
    pub client: A,
    pub port: [u8; 2],
    pub rule: &'a Rule,
}

/// The service that was found last, and for packets to where.
#[derive(Default)]
pub struct Recent<A> {
    service: Option<ServiceId>,
    to: (A, [u8; 2], u32),
}

/// The workers that a packet belongs to by what was and by what is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owners {
    pub before: WorkerId,
    pub now: WorkerId,
}

impl Steering {
    /// Whose packet this is; `None`: anybody's. `marked`: the service on its mark, by [`Steering::service_of_mark`].
    // inlined, as are the owners: what is found of a packet stays in registers
    #[inline(always)]
    pub fn claim<A: Address>(&self, key: &Key<A>, marked: Option<ServiceId>) -> Option<Claim<'_, A>> {
        let protocol = Protocol::from_number(key.kind as u8)?;
        let (protocol, ports) = match protocol.has_ports() {
            true => (protocol, key.ports),
            false => (Protocol::Udp, ports(ISAKMP, ISAKMP)),
        };
        let [a, b, c, d] = ports.to_ne_bytes();
        let service = match marked {
            Some(service) => Some(service),
            None => self.rules.directory.find(protocol, key.destination.to_ip(), u16::from_be_bytes([c, d])),
        };
        if let Some(service) = service {
            return self.rules.claim_of_service(service, key.source, [a, b]);
        }
        self.rules.claim_of_server(protocol, key, ports)
    }

    /// The same of a TCP or UDP packet without a mark, with the service that was found last at hand: mostly there are few.
    #[inline(always)]
    pub fn claim_as_recent<A: Address>(&self, key: &Key<A>, recent: &mut Recent<A>) -> Option<Claim<'_, A>> {
        let [a, b, c, d] = key.ports.to_ne_bytes();
        let to = (key.destination, [c, d], key.kind);
        if let Some(service) = recent.service.filter(|_| recent.to == to) {
            return self.rules.claim_of_service(service, key.source, [a, b]);
        }
        let protocol = Protocol::from_number(key.kind as u8)?;
        match self.rules.directory.find(protocol, key.destination.to_ip(), u16::from_be_bytes([c, d])) {
            Some(service) => {
                *recent = Recent { service: Some(service), to };
                self.rules.claim_of_service(service, key.source, [a, b])
            }
            None => self.rules.claim_of_server(protocol, key, key.ports),
        }
    }

    #[inline(always)]
    pub fn owners<A: Address>(&self, claim: &Claim<'_, A>) -> Owners {
        let Claim { client, port, rule } = *claim;
        let now = self.now.worker_of(rule.now.slot(&self.hash, client, port));
        match self.stage {
            Stage::Settled => Owners { before: now, now },
            _ => Owners { before: self.before.worker_of(rule.before.slot(&self.hash_before, client, port)), now },
        }
    }

    /// The owner if the other hash were the one.
    pub fn owner_by_other_hash<A: Address>(&self, claim: &Claim<'_, A>) -> WorkerId {
        self.now.worker_of(claim.rule.now.slot(&self.other_hash, claim.client, claim.port))
    }

    /// The worker that puts the packet together which fragments with this key are of.
    pub fn reassembler<A: Address>(&self, key: &DatagramKey<A>) -> WorkerId {
        let mut destination = [0; 16];
        key.destination.write(&mut destination);
        let folded = destination
            .chunks_exact(4)
            .fold(key.id, |id, word| id ^ u32::from_ne_bytes([word[0], word[1], word[2], word[3]]));
        let (table, hash) =
            if self.stage == Stage::Announced { (&self.before, &self.hash_before) } else { (&self.now, &self.hash) };
        table.worker_of(slot_of_other(hash, key.source, folded))
    }

    /// As [`Rules::directory`] knows it; `mark`: 0 for none.
    pub fn service_of_mark<A: Address>(&self, mark: u32) -> Option<ServiceId> {
        let family = if A::IS_V6 { crate::model::Family::V6 } else { crate::model::Family::V4 };
        self.rules.directory.find_mark(mark, family)
    }

    /// Whether there is anything that mark rules could say.
    pub fn has_marks(&self, marks: &Marks) -> bool {
        self.rules.directory.has_marks && !marks.is_empty()
    }
}

impl Rules {
    #[inline(always)]
    fn claim_of_service<A>(&self, service: ServiceId, client: A, port: [u8; 2]) -> Option<Claim<'_, A>> {
        Some(Claim { client, port, rule: self.services.get(service.index())? })
    }

    /// `ports`: the key's, or those that stand for them.
    #[inline(always)]
    fn claim_of_server<A: Address>(&self, protocol: Protocol, key: &Key<A>, ports: u32) -> Option<Claim<'_, A>> {
        let [a, b, c, d] = ports.to_ne_bytes();
        let rule = self.of_server((protocol.number(), key.source.to_ip(), u16::from_be_bytes([a, b])))?;
        Some(Claim { client: key.destination, port: [c, d], rule })
    }

    fn of_server(&self, server: Server) -> Option<&Rule> {
        let of_port = self.servers.get(&server);
        let of_any_port = || if self.addresses.is_empty() { None } else { self.addresses.get(&server.1) };
        of_port.or_else(of_any_port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ServiceKey;
    use crate::wire::address::Ip4;
    use crate::wire::ip_protocol::{TCP, UDP};
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    fn steering() -> Steering {
        let services = (0..3_u16).map(|n| {
            let address = Ipv4Addr::new(192, 0, 2, n as u8).into();
            (ServiceKey::Virtual { protocol: Protocol::Tcp, address, port: 80 + n }, ServiceId(n.into()))
        });
        let directory = Directory { services: services.collect(), ..Directory::default() }.sorted_out();
        let of = |now| Rule { before: Policy::Connection, now };
        let services = (0..3).map(|slot| of(Policy::Service(crate::model::Slot::new(slot).unwrap()))).collect();
        let servers = [((TCP, Ipv4Addr::new(192, 0, 2, 1).into(), 82), of(Policy::Connection))].into();
        let rules = Rules { directory, services, servers, ..Rules::default() };
        Steering { rules: Arc::new(rules), ..Steering::default() }
    }

    proptest! {
        #[test]
        fn a_claim_is_the_same_with_the_last_service_at_hand(
            packets in prop::collection::vec((0..4_u8, 0..4_u8, 80..84_u16, 80..84_u16, any::<bool>()), 1..60),
        ) {
            let steering = steering();
            let mut recent = Recent::default();
            for (from, to, from_port, to_port, is_tcp) in packets {
                let [source, destination] = [from, to].map(|n| Ip4::from(Ipv4Addr::new(192, 0, 2, n)));
                let ports = ports(from_port.to_be_bytes(), to_port.to_be_bytes());
                let key = Key { source, destination, ports, kind: if is_tcp { TCP } else { UDP }.into() };
                prop_assert_eq!(steering.claim_as_recent(&key, &mut recent), steering.claim(&key, None));
            }
        }
    }
}

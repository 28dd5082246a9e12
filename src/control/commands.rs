//! Requests of the API carried out on the state; what `show` answers.

use super::admit;
use super::api::server::{Handler, Next};
use super::api::views::{DestCounts, DropView, RouteView, ServiceView};
use super::api::{
    ChecksumWord, DestinationRef, DestinationSpec, ForwardWord, PAGE_ROWS, Request, Response, ServiceSpec, Topic,
    TunnelWord,
};
use super::config::rules::check_tunnel_meaning;
use super::config::{DestinationConfig, ServiceConfig, values};
use super::counts::Counts;
use super::ipvsadm;
use super::source::{ConnectionCursor, Runtime};
use super::state::{DestinationEdit, Error, ServiceEdit, State, check};
use crate::dataplane::snapshot::{Service, Snapshot};
use crate::model::{
    ClientMask, Departures, DropReason, Forward, OwnTimeouts, Persistence, PersistenceEngine, ServiceKey, Tunnel,
    TunnelChecksum, TunnelKind,
};
use crate::sched::Options;
use crate::sched::registry::SchedulerKind;
use std::net::SocketAddr;
use std::task::Poll;

/// What serves the API: the state, and the director that runs by it.
pub struct Commands<R> {
    pub state: State,
    pub runtime: R,
    pub counts: Counts,
}

/// An answer on its way to a client.
#[derive(Clone, Debug)]
pub enum Listing {
    /// From the service with this id on.
    Services(usize),
    Connections(ConnectionCursor),
    /// What was done, to be said when all workers go by this snapshot: as in the kernel, the next packet sees it.
    Done(u64, Response),
}

impl<R: Runtime> Handler for Commands<R> {
    type Listing = Listing;

    fn handle(&mut self, request: Request) -> Next<Listing> {
        let done = match request {
            Request::Show(topic) => return self.show(topic),
            Request::Reload => self.reload(),
            Request::ServiceAdd(spec) => self.add_service(&spec),
            Request::ServiceEdit(spec) => self.edit_service(&spec),
            Request::ServiceDelete(service) => self.delete_service(service.into()),
            Request::DestinationAdd(spec) => self.add_destination(&spec),
            Request::DestinationEdit(spec) => self.edit_destination(&spec),
            Request::DestinationDelete(which) => self.delete_destination(&which),
            Request::Rebalance(wish) => self.runtime.rebalance(&wish),
            Request::Ipvsadm { arguments } => {
                let response = self.ipvsadm(arguments);
                return self.when_in_force(response);
            }
        };
        match done {
            Ok(changes) => self.when_in_force(Response::Done { changes }),
            Err(message) => Next::Last(Response::error(message)),
        }
    }

    fn next_page(&mut self, listing: &Listing) -> Poll<Next<Listing>> {
        match listing {
            Listing::Services(from) => Poll::Ready(self.services(*from)),
            Listing::Connections(cursor) => self.connections(*cursor),
            Listing::Done(version, _) if !self.runtime.is_in_force(*version) => Poll::Pending,
            Listing::Done(_, response) => Poll::Ready(Next::Last(response.clone())),
        }
    }
}

type Done = Result<Vec<String>, String>;

impl<R: Runtime> Commands<R> {
    pub fn new(state: State, runtime: R) -> Self {
        let mut counts = Counts::default();
        // the workers are at work already, and what they have counted so far counts
        counts.follow(state.snapshot(), &|_| DestCounts::default());
        Self { state, runtime, counts }
    }

    /// Reads the file again: also what SIGHUP asks for.
    pub fn reload(&mut self) -> Done {
        let config = self.runtime.load()?;
        let now = self.runtime.now();
        let mut changes = Vec::new();
        self.change(|state| {
            changes = state.apply_config(config, now)?;
            Ok(())
        })?;
        Ok(changes.iter().map(ToString::to_string).collect())
    }

    /// Empties the trash as far as possible; to be called every second or so.
    pub fn collect(&mut self, references: &dyn Fn(crate::model::DestId) -> u64) {
        let before = self.state.snapshot().version;
        self.state.collect(self.runtime.now(), references);
        self.publish_after(before);
        self.counts.tick(self.runtime.now(), &|id| self.runtime.dest_counts(id));
    }

    fn when_in_force(&self, response: Response) -> Next<Listing> {
        let version = self.state.snapshot().version;
        match self.runtime.is_in_force(version) {
            true => Next::Last(response),
            false => Next::Later(Listing::Done(version, response)),
        }
    }

    /// A command line of ipvsadm's.
    fn ipvsadm(&mut self, arguments: Vec<String>) -> Response {
        match self.try_ipvsadm(arguments) {
            Ok(()) => Response::Ipvsadm { code: 0, message: String::new() },
            Err(ipvsadm::Failure { code, message }) => Response::Ipvsadm { code, message },
        }
    }

    fn try_ipvsadm(&mut self, arguments: Vec<String>) -> Result<(), ipvsadm::Failure> {
        let command = ipvsadm::parse(arguments)?;
        let before = self.state.snapshot().version;
        let mut next = self.state.clone();
        // what the kernel refuses is refused in its words
        ipvsadm::apply(&mut next, &command, self.runtime.now())?;
        admit::ipvsadm(&self.state, &command)?;
        self.state = next;
        self.publish_after(before);
        if let ipvsadm::Command::Zero(only) = command {
            let services = ipvsadm::views::service_ids(self.state.snapshot(), only.as_ref());
            services.into_iter().for_each(|id| self.counts.zero_former(id));
            let ids = ipvsadm::views::destination_ids(self.state.snapshot(), only.as_ref());
            self.counts.zero(ids.into_iter(), &|id| self.runtime.dest_counts(id));
        }
        Ok(())
    }

    fn publish_after(&mut self, before: u64) {
        if self.state.snapshot().version != before {
            // before a worker can count for a new destination
            self.counts.follow(self.state.snapshot(), &|id| self.runtime.dest_counts(id));
            self.runtime.publish(self.state.snapshot());
        }
    }

    /// Carries out a change and publishes what it makes.
    fn change(&mut self, edit: impl FnOnce(&mut State) -> Result<(), Error>) -> Result<(), String> {
        let before = self.state.snapshot().version;
        edit(&mut self.state).map_err(|e| e.to_string())?;
        self.publish_after(before);
        Ok(())
    }

    fn add_service(&mut self, spec: &ServiceSpec) -> Done {
        let key = spec.service.into();
        let wlc = SchedulerKind::from_name("wlc").expect("ipvsadm's default scheduler");
        let edit = self.service_edit(spec, wlc, None, Departures::default())?;
        let service = ServiceConfig {
            key,
            scheduler: edit.scheduler.unwrap_or(wlc),
            options: edit.options.unwrap_or_else(|| Options::default().with(&self.state.snapshot().settings)),
            persistence: edit.persistence.flatten(),
            one_packet: edit.one_packet.unwrap_or(false),
            strict: edit.strict.unwrap_or(false),
            departures: edit.departures.unwrap_or_default(),
            port: edit.port.flatten(),
            destinations: Vec::new(),
        };
        admit::service(&service)?;
        admit::new_address(&self.state, &key)?;
        self.change(|state| state.add_service(&service))?;
        Ok(vec![format!("service {key} added")])
    }

    fn edit_service(&mut self, spec: &ServiceSpec) -> Done {
        let key = spec.service.into();
        let old = self.state.service(&key).map_err(|e| e.to_string())?;
        let edit = self.service_edit(spec, old.scheduler, old.persistence, old.departures)?;
        let persistence = edit.persistence.unwrap_or(old.persistence);
        let one_packet = edit.one_packet.unwrap_or(old.one_packet);
        admit::service(&ServiceConfig { persistence, one_packet, ..old })?;
        self.change(|state| state.edit_service(&key, &edit))?;
        Ok(vec![format!("service {key} edited")])
    }

    fn delete_service(&mut self, key: ServiceKey) -> Done {
        let now = self.runtime.now();
        self.change(|state| state.delete_service(&key, now))?;
        Ok(vec![format!("service {key} deleted")])
    }

    /// `scheduler`, `persistence` and `departures`: what the service has.
    fn service_edit(
        &self,
        spec: &ServiceSpec,
        scheduler: SchedulerKind,
        persistence: Option<Persistence>,
        departures: Departures,
    ) -> Result<ServiceEdit, String> {
        let kind = |name: &String| SchedulerKind::from_name(name).ok_or(Error::SchedulerNotFound(name.clone()));
        let kind = spec.scheduler.as_ref().map(kind).transpose().map_err(|e| e.to_string())?;
        let settings = &self.state.snapshot().settings;
        let flags = |flags: &Vec<String>| options(kind.unwrap_or(scheduler), flags).map(|o| o.with(settings));
        let port = |name: &String| if name.is_empty() { Ok(None) } else { self.state.port(name).map(Some) };
        Ok(ServiceEdit {
            scheduler: kind,
            options: spec.scheduler_flags.as_ref().map(flags).transpose()?,
            persistence: persistence_edit(spec, persistence)?,
            one_packet: spec.one_packet,
            strict: spec.strict,
            departures: Some(departures_edit(spec, departures)),
            port: spec.port.as_ref().map(port).transpose().map_err(|e| e.to_string())?,
        })
    }

    fn add_destination(&mut self, spec: &DestinationSpec) -> Done {
        let (key, at) = locate(&spec.destination);
        let destination = DestinationConfig {
            address: at.ip(),
            port: at.port(),
            // ipvsadm's default
            forward: forward_edit(spec, Forward::Dr)?,
            weight: spec.weight.unwrap_or(1),
            threshold_upper: spec.threshold_upper.unwrap_or(0),
            threshold_lower: spec.threshold_lower.unwrap_or(0),
        };
        admit::destination(&self.state, &key, &destination)?;
        self.change(|state| state.add_destination(&key, &destination))?;
        Ok(vec![format!("destination {at} of {key} added")])
    }

    fn edit_destination(&mut self, spec: &DestinationSpec) -> Done {
        let (key, at) = locate(&spec.destination);
        let DestinationSpec { weight, threshold_upper, threshold_lower, .. } = *spec;
        let service = self.state.service(&key).map_err(|e| e.to_string())?;
        let old = service.destinations.iter().find(|destination| destination.socket() == at);
        // one that is not there is refused below, in the words for that
        let forward = old.map(|old| forward_edit(spec, old.forward)).transpose()?;
        let edit = DestinationEdit { forward, weight, threshold_upper, threshold_lower };
        self.change(|state| state.edit_destination(&key, at, &edit))?;
        Ok(vec![format!("destination {at} of {key} edited")])
    }

    fn delete_destination(&mut self, which: &DestinationRef) -> Done {
        let (key, at) = locate(which);
        let now = self.runtime.now();
        self.change(|state| state.delete_destination(&key, at, now))?;
        Ok(vec![format!("destination {at} of {key} deleted")])
    }

    fn show(&mut self, topic: Topic) -> Next<Listing> {
        let runtime = &self.runtime;
        Next::Last(match topic {
            Topic::Services => return self.services(0),
            Topic::Connections => return Next::Later(Listing::Connections(ConnectionCursor::default())),
            Topic::Ports => Response::Ports { rows: runtime.ports() },
            Topic::Workers => Response::Workers { rows: runtime.workers() },
            Topic::Drops => {
                let row = |reason: &DropReason| DropView {
                    reason: reason.name().to_owned(),
                    count: runtime.drop_count(*reason),
                    explanation: reason.explanation().to_owned(),
                };
                Response::Drops { rows: DropReason::ALL.iter().map(row).collect() }
            }
            Topic::Neighbours => Response::Neighbours { rows: runtime.neighbours() },
            Topic::Timeouts => Response::Timeouts(self.state.snapshot().timeouts.global().into()),
            Topic::Routes => Response::Routes { rows: routes(self.state.snapshot()) },
        })
    }

    /// A page of services: whole ones, until their destinations make it long enough.
    fn services(&self, from: usize) -> Next<Listing> {
        let snapshot = self.state.snapshot();
        let mut rows = Vec::new();
        let mut length = 0;
        let mut following = None;
        for (id, service) in snapshot.services.iter().skip_while(|(id, _)| *id < from) {
            if length >= PAGE_ROWS {
                following = Some(Listing::Services(id));
                break;
            }
            length += 1 + service.pool.len();
            rows.push(self.service_view(service));
        }
        let table_size = self.runtime.table_size();
        let more = following.is_some();
        Next::page(Response::Services { table_size, rows, more }, following)
    }

    fn service_view(&self, service: &Service) -> ServiceView {
        let shown = |id| self.counts.shown(id, self.runtime.dest_counts(id));
        ipvsadm::views::service(self.state.snapshot(), service, self.counts.former(service.id), &shown)
    }

    fn connections(&mut self, cursor: ConnectionCursor) -> Poll<Next<Listing>> {
        self.runtime.connections(cursor, PAGE_ROWS).map(|page| {
            let response = Response::Connections { rows: page.rows, more: page.next.is_some() };
            Next::page(response, page.next.map(Listing::Connections))
        })
    }
}

fn locate(which: &DestinationRef) -> (ServiceKey, SocketAddr) {
    let key = which.service.into();
    (key, SocketAddr::new(which.address, which.port.unwrap_or_else(|| check::service_port(&key))))
}

/// `flags` by the names ipvsadm gives them.
fn options(scheduler: SchedulerKind, flags: &[String]) -> Result<Options, String> {
    let mut options = Options::default();
    flags.iter().try_for_each(|flag| values::scheduler_flag(scheduler, flag, &mut options))?;
    Ok(options)
}

/// `None`: the request does not speak of it. A mask alone changes the mask of the persistence there is.
fn persistence_edit(spec: &ServiceSpec, old: Option<Persistence>) -> Result<Option<Option<Persistence>>, String> {
    let family = ServiceKey::from(spec.service).family();
    let typed = spec.persistence_mask.as_ref().map(|text| values::client_mask(text, family)).transpose()?;
    let mask = typed.or(old.map(|p| p.mask)).unwrap_or(ClientMask::whole(family));
    let engine = spec.persistence_engine.as_deref().map(engine).transpose()?;
    let is_detailed = typed.is_some() || engine.is_some();
    let engine = engine.unwrap_or(old.and_then(|p| p.engine));
    match (spec.persistence_timeout_s, is_detailed, old) {
        (Some(0), false, _) => Ok(Some(None)),
        (Some(0), true, _) | (None, true, None) => {
            Err("a client network, or an engine, needs a persistence timeout".to_owned())
        }
        (Some(timeout_s), _, _) => Ok(Some(Some(Persistence { timeout_s, mask, engine }))),
        (None, true, Some(old)) => Ok(Some(Some(Persistence { mask, engine, ..old }))),
        (None, false, _) => Ok(None),
    }
}

/// The persistence engine of this name; `""`: none.
fn engine(name: &str) -> Result<Option<PersistenceEngine>, String> {
    if name.is_empty() {
        return Ok(None);
    }
    let unknown = || format!("no persistence engine {name:?}; there is: {}", PersistenceEngine::Sip.name());
    PersistenceEngine::from_name(name).map(Some).ok_or_else(unknown)
}

/// What the service has, with what the request says of it.
fn departures_edit(spec: &ServiceSpec, old: Departures) -> Departures {
    let timeouts = OwnTimeouts {
        tcp_established_s: spec.tcp_established_s.unwrap_or(old.timeouts.tcp_established_s),
        tcp_fin_wait_s: spec.tcp_fin_wait_s.unwrap_or(old.timeouts.tcp_fin_wait_s),
        udp_s: spec.udp_s.unwrap_or(old.timeouts.udp_s),
    };
    Departures {
        timeouts,
        drain_deadline_s: spec.drain_deadline_s.unwrap_or(old.drain_deadline_s),
        reset_on_idle_expiry: spec.reset_on_idle_expiry.unwrap_or(old.reset_on_idle_expiry),
        reschedule_udp: spec.reschedule_udp.unwrap_or(old.reschedule_udp),
    }
}

/// The forwarding method a destination has, or is to have, with what the request says of its tunnel.
fn forward_edit(spec: &DestinationSpec, old: Forward) -> Result<Forward, String> {
    let forward = match (spec.forward, old) {
        (None, old) => old,
        (Some(ForwardWord::Nat), _) => Forward::Nat,
        (Some(ForwardWord::Dr), _) => Forward::Dr,
        (Some(ForwardWord::Tun), Forward::Tun(tunnel)) => Forward::Tun(tunnel),
        (Some(ForwardWord::Tun), _) => Forward::Tun(Tunnel::default()),
    };
    let is_tunnel_named = spec.tunnel.is_some() || spec.tunnel_port.is_some() || spec.tunnel_checksum.is_some();
    match forward {
        Forward::Tun(tunnel) if is_tunnel_named => {
            let forward = Forward::Tun(tunnel_edit(spec, tunnel));
            check_tunnel_meaning(forward).map_or(Ok(forward), |refusal| Err(refusal.to_string()))
        }
        _ if is_tunnel_named => Err(format!("{:?} has no tunnel; use --forward tun with it", forward.word())),
        _ => Ok(forward),
    }
}

fn tunnel_edit(spec: &DestinationSpec, old: Tunnel) -> Tunnel {
    let kind = spec.tunnel.map_or(old.kind, |word| match word {
        TunnelWord::Ipip => TunnelKind::Ipip,
        TunnelWord::Gue => TunnelKind::Gue,
        TunnelWord::Gre => TunnelKind::Gre,
    });
    let checksum = spec.tunnel_checksum.map(|word| match word {
        ChecksumWord::None => TunnelChecksum::None,
        ChecksumWord::Full => TunnelChecksum::Full,
        ChecksumWord::Remote => TunnelChecksum::Remote,
    });
    // what another type of tunnel had means nothing to this one
    let old = if kind == old.kind { old } else { Tunnel::default() };
    let port = spec.tunnel_port.unwrap_or(old.port);
    Tunnel { kind, port, checksum: checksum.unwrap_or(old.checksum) }
}

/// Connected routes, then the configured ones.
fn routes(snapshot: &Snapshot) -> Vec<RouteView> {
    let network = &snapshot.network;
    let name = |id: crate::model::InterfaceId| network.interfaces[id.index()].name.clone();
    let view = |prefix: ipnet::IpNet, via, port, origin: &str| RouteView {
        prefix: prefix.trunc().to_string(),
        via,
        port,
        origin: origin.to_owned(),
    };
    let connected = network.interfaces.iter().flat_map(|i| i.addresses.iter().map(move |a| (*a, i.id)));
    let connected = connected.map(|(subnet, id)| view(subnet, None, name(id), "connected"));
    let configured = network.routes.iter().map(|r| view(r.prefix, r.via, name(r.interface), "static"));
    connected.chain(configured).collect()
}

#[cfg(test)]
#[path = "commands_tests.rs"]
mod tests;

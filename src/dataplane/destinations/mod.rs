//! One worker's view of all destinations: what forwarding needs at hand, and their counts.

mod ranked;
mod shared;

use super::outer::Outer;
use super::path::Path;
use super::peers::Peers;
use super::real_servers::{Place, RealServers};
use crate::model::limits::{DESTINATIONS_MAX, SERVICES_MAX};
use crate::model::state::TcpState;
use crate::model::{
    Departures, DestCounters, DestId, Destination, Forward, ServiceId, Time, TimeoutSets, TimeoutsId, Tunnel,
};
use crate::tables::memory::{Area, Mapping, NoMemory, Zeroed, prefetch};
use crate::tables::neighbours::NeighbourId;
use ranked::Coming;
pub use ranked::Ranked;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// Counters of every destination, shared with the control thread, which only reads.
pub type SharedCounters = Arc<Mapping<DestCounters>>;

#[allow(unsafe_code)]
// SAFETY: made of atomics, for which zero bytes are 0, and needs no drop.
unsafe impl Zeroed for DestCounters {}

/// The way to a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    pub neighbour: NeighbourId,
    /// IP packet bytes that fit.
    pub mtu: u16,
    /// The director's own address on it.
    pub source: IpAddr,
}

/// What of it every packet needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    pub neighbour: NeighbourId,
    /// IP packet bytes that fit.
    pub mtu: u16,
}

impl Way {
    pub fn hop(self) -> Hop {
        Hop { neighbour: self.neighbour, mtu: self.mtu }
    }
}

/// A destination as forwarding sees it: one cache line for packets of all methods and for connections that come and
/// go, and the one behind it for tunnels.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct DestState {
    pub service: ServiceId,
    /// In its service's list and, while that is about to become another one, in the new one; [`NOWHERE`] when it is not
    /// there. Which is which, the service's ranking knows.
    positions: [u32; 2],
    pub weight: u32,
    threshold_upper: u32,
    threshold_lower: u32,
    pub overloaded: bool,
    /// Connections that come and go change its rank.
    is_counted: bool,
    /// Its rank waits for the next look at it.
    is_changed: bool,
    /// Its service's scheduler looks at its counts, so workers tell them to each other.
    is_asked: bool,
    /// The flag as this worker's own connections last made it; what it heard from others is theirs to tell.
    flagged_here: bool,
    pub available: bool,
    /// Packets of its connections go on as ever: the one thing that each of them looks at.
    pub keeps: bool,
    /// Epochs of the network and of the neighbours in which `hop` and `outer` were found.
    pub way_epoch: (u32, u32),
    pub hop: Hop,
    pub port: [u8; 2],
    /// The set of timeouts of its connections.
    pub timeouts: TimeoutsId,
    pub forward: Forward,
    pub outer: Outer,
    pub address: IpAddr,
    /// When its connections are to end (see [`super::drain`]).
    pub drain_deadline: Option<Time>,
    /// What its service asked for beyond the kernel; looked at off the common path.
    pub departures: Departures,
}

const _: () = assert!(std::mem::offset_of!(DestState, outer) == 64 && size_of::<DestState>() == 256);

fn is_at(states: &[DestState], id: DestId, place: Place) -> bool {
    states.get(id.index()).is_some_and(|state| (state.address, state.port) == place)
}

/// Of a destination that is in no list.
const NOWHERE: u32 = u32::MAX;

/// An epoch that never is.
const NEVER: (u32, u32) = (0, 0);

impl Default for DestState {
    fn default() -> Self {
        Self {
            forward: Forward::Dr,
            available: false,
            keeps: false,
            overloaded: false,
            address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            port: [0; 2],
            weight: 0,
            service: ServiceId(u32::MAX),
            positions: [NOWHERE; 2],
            is_counted: false,
            is_changed: false,
            is_asked: false,
            flagged_here: false,
            timeouts: TimeoutsId::default(),
            drain_deadline: None,
            departures: Departures::default(),
            threshold_upper: 0,
            threshold_lower: 0,
            way_epoch: NEVER,
            hop: Hop { neighbour: NeighbourId(0), mtu: 0 },
            outer: Outer::default(),
        }
    }
}

impl DestState {
    /// Other workers go by its counts, too.
    fn has_shared_counts(&self) -> bool {
        self.is_asked || self.threshold_upper != 0
    }

    /// Whether the way to it has been looked up.
    pub fn has_way(&self) -> bool {
        self.way_epoch != NEVER
    }
}

/// All destinations by id.
pub struct Destinations {
    states: Vec<DestState>,
    /// As long as `states`.
    paths: Vec<Path>,
    /// By service.
    ranked: Vec<Option<Box<Ranked>>>,
    /// Of the list that a service is about to have.
    coming: Option<Coming>,
    real_servers: RealServers,
    counters: SharedCounters,
    /// With several workers.
    peers: Option<Box<Peers>>,
}

impl Destinations {
    pub fn new() -> Result<Self, NoMemory> {
        // the address space for all, so that growing never copies; pages come as they are touched
        let mut states = Vec::new();
        states.reserve_exact(DESTINATIONS_MAX);
        let mut paths = Vec::new();
        paths.reserve_exact(DESTINATIONS_MAX);
        let counters = Arc::new(Mapping::new(DESTINATIONS_MAX)?);
        let (ranked, real_servers) = (Vec::with_capacity(SERVICES_MAX), RealServers::new()?);
        Ok(Self { states, paths, ranked, coming: None, real_servers, counters, peers: None })
    }

    pub fn shared(&self) -> SharedCounters {
        self.counters.clone()
    }

    /// Where states, paths and counters lie, and rankings by service, each with the size of one.
    pub fn areas(&self) -> ([(Area, usize); 3], (Area, usize)) {
        let states = (Area::of_vec(&self.states), size_of::<DestState>());
        let ranked = (Area::of_vec(&self.ranked), size_of::<Option<Box<Ranked>>>());
        let paths = (Area::of_vec(&self.paths), size_of::<Path>());
        ([states, paths, (self.counters.area(), size_of::<DestCounters>())], ranked)
    }

    /// Takes over what the control thread says of a destination; `None`: it is gone.
    pub fn set(&mut self, id: DestId, destination: Option<&Destination>) {
        if id.index() >= DESTINATIONS_MAX {
            return;
        }
        if self.states.len() <= id.index() {
            self.states.resize(id.index() + 1, DestState::default());
            self.paths.resize(id.index() + 1, Path::default());
        }
        self.paths[id.index()] = Path::default();
        if let Some(place) = self.real_server(id) {
            self.real_servers.remove(place, id);
        }
        let state = &mut self.states[id.index()];
        *state = match destination {
            None => DestState::default(),
            Some(d) => DestState {
                forward: d.forward,
                available: d.available,
                keeps: d.available && (d.weight > 0 || !d.departures.reschedule_udp),
                // a threshold that was lifted is only felt with the next connection (__ip_vs_update_dest)
                overloaded: state.overloaded && d.threshold_upper != 0 && d.threshold_upper <= state.threshold_upper,
                address: d.address,
                port: d.port.to_be_bytes(),
                weight: d.weight,
                service: d.service,
                positions: if state.service == d.service { state.positions } else { [NOWHERE; 2] },
                is_counted: state.is_counted && state.service == d.service,
                is_asked: state.is_asked,
                flagged_here: state.flagged_here,
                timeouts: d.timeouts,
                drain_deadline: state.drain_deadline,
                departures: d.departures,
                threshold_upper: d.threshold_upper,
                threshold_lower: d.threshold_lower,
                ..DestState::default()
            },
        };
        if let Some(place) = self.real_server(id) {
            let states = &self.states;
            self.real_servers.add(place, id, |other| is_at(states, other, place));
        }
        self.rank_again(id);
        if let Some(peers) = &mut self.peers {
            peers.extend(self.states.len());
            self.note(id);
        }
    }

    /// Where a NAT destination in use sends from.
    fn real_server(&self, id: DestId) -> Option<Place> {
        let DestState { forward, available, address, port, .. } = self.states[id.index()];
        (available && matches!(forward, Forward::Nat)).then_some((address, port))
    }

    /// The NAT destinations in use that send from there.
    pub fn real_servers(&self, place: Place) -> impl Iterator<Item = DestId> {
        self.real_servers.at(place, move |id| is_at(&self.states, id, place))
    }

    /// One more than the greatest id there has been.
    pub fn len(&self) -> usize {
        self.states.len()
    }

    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    #[inline(always)]
    pub fn get(&self, id: DestId) -> Option<&DestState> {
        self.states.get(id.index())
    }

    #[inline(always)]
    pub fn get_mut(&mut self, id: DestId) -> Option<&mut DestState> {
        self.states.get_mut(id.index())
    }

    /// Whether packets of its connections can go the common path in this epoch of the network.
    #[inline(always)]
    pub fn has_path(&self, id: DestId, epoch: u32) -> bool {
        self.paths.get(id.index()).is_some_and(|path| path.is_of(epoch))
    }

    /// From now on they can.
    pub fn set_path(&mut self, id: DestId, path: Path, timeouts: &TimeoutSets) {
        if let (Some(state), Some(of)) = (self.states.get(id.index()), self.paths.get_mut(id.index())) {
            *of = path;
            of.timeouts = state.timeouts;
            of.established = timeouts.get(state.timeouts).tcp[TcpState::Established as usize];
        }
    }

    /// States, paths and counters by destination, for the common path.
    #[inline(always)]
    pub fn parts(&self) -> (&[DestState], &[Path], &[DestCounters]) {
        // one length, which is looked at once
        let len = self.states.len().min(self.paths.len()).min(self.counters.len());
        (&self.states[..len], &self.paths[..len], &self.counters[..len])
    }

    #[inline(always)]
    pub fn counters(&self, id: DestId) -> &DestCounters {
        // an id beyond the table would be a mistake of ours; it must not cost the process
        self.counters.get(id.index()).unwrap_or(&self.counters[0])
    }

    /// A connection was scheduled (ip_vs_conn_stats).
    pub fn count_connection(&self, id: DestId) {
        self.counters(id).connections.add(1);
    }

    /// Asks for the memory of a destination whose counts are going to change.
    #[inline(always)]
    pub fn prefetch(&self, id: DestId) {
        if let Some(state) = self.get(id) {
            prefetch(state);
            prefetch(self.counters(id));
        }
    }

    /// A connection begins.
    pub fn bind(&mut self, id: DestId, inactive: bool) {
        let counters = self.counters(id);
        counters.connections_that_are(inactive).increment();
        counters.references.increment();
        self.counted(id, Self::judge_more);
    }

    /// A persistence template begins.
    pub fn bind_template(&mut self, id: DestId) {
        let counters = self.counters(id);
        counters.persistent.increment();
        counters.references.increment();
        self.counted(id, Self::judge_more);
    }

    /// A persistence template ends.
    pub fn unbind_template(&mut self, id: DestId) {
        let counters = self.counters(id);
        counters.persistent.decrement();
        counters.references.decrement();
        self.counted(id, Self::judge_less);
    }

    /// A connection ends.
    pub fn unbind(&mut self, id: DestId, inactive: bool) {
        let counters = self.counters(id);
        counters.connections_that_are(inactive).decrement();
        counters.references.decrement();
        self.counted(id, Self::judge_less);
    }

    /// A connection becomes active or inactive.
    pub fn set_active(&mut self, id: DestId, active: bool) {
        let counters = self.counters(id);
        let (more, less) =
            if active { (&counters.active, &counters.inactive) } else { (&counters.inactive, &counters.active) };
        more.increment();
        less.decrement();
        if self.peers.is_some() {
            self.note(id);
        }
        if self.states.get(id.index()).is_some_and(|state| state.is_counted) {
            self.rank_again(id);
        }
    }

    fn counted(&mut self, id: DestId, judge: impl FnOnce(&mut Self, DestId) -> bool) {
        let has_flipped = judge(self, id);
        if self.peers.is_some() {
            return self.counted_among_peers(id, has_flipped);
        }
        if has_flipped || self.states.get(id.index()).is_some_and(|state| state.is_counted) {
            self.rank_again(id);
        }
    }

    fn total(&self, id: DestId) -> u64 {
        let counters = self.counters(id);
        let own: u64 = counters.active.get().wrapping_add(counters.inactive.get()).into();
        own + self.peers.as_ref().map_or(0, |peers| peers.told(id).into_iter().map(u64::from).sum())
    }

    /// Overloaded from the upper threshold on (ip_vs_bind_dest). True when that has changed, ...
    fn judge_more(&mut self, id: DestId) -> bool {
        if self.states.get(id.index()).is_none_or(|state| state.threshold_upper == 0) {
            return false;
        }
        let total = self.total(id);
        let Some(state) = self.states.get_mut(id.index()) else { return false };
        let before = state.overloaded;
        state.overloaded |= state.threshold_upper != 0 && total >= state.threshold_upper.into();
        state.overloaded != before
    }

    /// ... until below the lower one, or three quarters of the upper (ip_vs_unbind_dest).
    fn judge_less(&mut self, id: DestId) -> bool {
        if self.states.get(id.index()).is_none_or(|state| !state.overloaded) {
            return false;
        }
        let total = self.total(id);
        let Some(state) = self.states.get_mut(id.index()) else { return false };
        let before = state.overloaded;
        state.overloaded &= match (u64::from(state.threshold_upper), u64::from(state.threshold_lower)) {
            (0, 0) => false,
            (upper, 0) => total * 4 >= upper * 3,
            (_, lower) => total >= lower,
        };
        state.overloaded != before
    }
}

/// The tunnel of a destination that has one.
pub fn tunnel_of(forward: Forward) -> Option<Tunnel> {
    match forward {
        Forward::Tun(tunnel) => Some(tunnel),
        _ => None,
    }
}

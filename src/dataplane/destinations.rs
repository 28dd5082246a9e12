//! One worker's view of all destinations: what forwarding needs at hand, and their counts.

use crate::model::limits::DESTINATIONS_MAX;
use crate::model::{Departures, DestCounters, DestId, Destination, Forward, ServiceId, Time, TimeoutsId, Tunnel};
use crate::sched::Loads;
use crate::tables::memory::{Mapping, NoMemory, Zeroed};
use crate::tables::neighbours::NeighbourId;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// Counters of every destination, shared with the control thread, which only reads.
pub type SharedCounters = Arc<Mapping<DestCounters>>;

#[allow(unsafe_code)]
// SAFETY: made of atomics, for which zero bytes are 0, and needs no drop.
unsafe impl Zeroed for DestCounters {}

/// The way to a destination, kept until the network or the neighbours change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    pub neighbour: NeighbourId,
    /// IP packet bytes that fit.
    pub mtu: u16,
    /// The outer source address of tunnels.
    pub source: IpAddr,
}

/// A destination as forwarding sees it.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub struct DestState {
    pub forward: Forward,
    pub available: bool,
    /// Packets of its connections go on as ever: the one thing that each of them looks at.
    pub keeps: bool,
    pub overloaded: bool,
    pub address: IpAddr,
    pub port: [u8; 2],
    pub weight: u32,
    pub service: ServiceId,
    /// The set of timeouts of its connections.
    pub timeouts: TimeoutsId,
    /// When its connections are to end (see [`super::drain`]).
    pub drain_deadline: Option<Time>,
    /// What its service asked for beyond the kernel; looked at off the common path.
    pub departures: Departures,
    threshold_upper: u32,
    threshold_lower: u32,
    /// Epochs of the network and of the neighbours in which `way` was found.
    pub way_epoch: (u32, u32),
    pub way: Option<Way>,
}

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
            timeouts: TimeoutsId::default(),
            drain_deadline: None,
            departures: Departures::default(),
            threshold_upper: 0,
            threshold_lower: 0,
            way_epoch: (0, 0),
            way: None,
        }
    }
}

/// All destinations by id.
pub struct Destinations {
    states: Vec<DestState>,
    counters: SharedCounters,
}

impl Destinations {
    pub fn new() -> Result<Self, NoMemory> {
        // the address space for all, so that growing never copies; pages come as they are touched
        let mut states = Vec::new();
        states.reserve_exact(DESTINATIONS_MAX);
        Ok(Self { states, counters: Arc::new(Mapping::new(DESTINATIONS_MAX)?) })
    }

    pub fn shared(&self) -> SharedCounters {
        self.counters.clone()
    }

    /// Takes over what the control thread says of a destination; `None`: it is gone.
    pub fn set(&mut self, id: DestId, destination: Option<&Destination>) {
        if id.index() >= DESTINATIONS_MAX {
            return;
        }
        if self.states.len() <= id.index() {
            self.states.resize(id.index() + 1, DestState::default());
        }
        let state = &mut self.states[id.index()];
        *state = match destination {
            None => DestState::default(),
            Some(d) => DestState {
                forward: d.forward,
                available: d.available,
                keeps: d.available && (d.weight > 0 || !d.departures.reschedule_udp),
                overloaded: state.overloaded,
                address: d.address,
                port: d.port.to_be_bytes(),
                weight: d.weight,
                service: d.service,
                timeouts: d.timeouts,
                drain_deadline: state.drain_deadline,
                departures: d.departures,
                threshold_upper: d.threshold_upper,
                threshold_lower: d.threshold_lower,
                way_epoch: (0, 0),
                way: None,
            },
        };
        self.judge_load(id);
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

    #[inline(always)]
    pub fn counters(&self, id: DestId) -> &DestCounters {
        // an id beyond the table would be a mistake of ours; it must not cost the process
        self.counters.get(id.index()).unwrap_or(&self.counters[0])
    }

    /// A connection was scheduled (ip_vs_conn_stats).
    pub fn count_connection(&self, id: DestId) {
        self.counters(id).connections.add(1);
    }

    /// A connection begins; new ones are inactive until their first state change.
    pub fn bind(&mut self, id: DestId) {
        let counters = self.counters(id);
        counters.inactive.increment();
        counters.references.increment();
        self.judge_load(id);
    }

    /// A connection ends.
    pub fn unbind(&mut self, id: DestId, inactive: bool) {
        let counters = self.counters(id);
        if inactive {
            counters.inactive.decrement()
        } else {
            counters.active.decrement()
        }
        counters.references.decrement();
        self.judge_load(id);
    }

    /// A connection becomes active or inactive.
    pub fn set_active(&self, id: DestId, active: bool) {
        let counters = self.counters(id);
        let (more, less) =
            if active { (&counters.active, &counters.inactive) } else { (&counters.inactive, &counters.active) };
        more.increment();
        less.decrement();
    }

    /// Overloaded from the upper threshold on until below the lower one, or three quarters of the upper
    /// (ip_vs_dest_update_overload).
    fn judge_load(&mut self, id: DestId) {
        let counters = self.counters(id);
        let total = counters.active.get().wrapping_add(counters.inactive.get());
        let Some(state) = self.states.get_mut(id.index()) else { return };
        let (upper, lower) = (state.threshold_upper, state.threshold_lower);
        state.overloaded = match (upper, lower) {
            (0, _) => false,
            _ if total >= upper => true,
            (_, 0) => state.overloaded && u64::from(total) * 4 >= u64::from(upper) * 3,
            _ => state.overloaded && total >= lower,
        };
    }
}

impl Loads for Destinations {
    fn active(&self, dest: DestId) -> u32 {
        self.counters(dest).active.get()
    }
    fn inactive(&self, dest: DestId) -> u32 {
        self.counters(dest).inactive.get()
    }
    fn is_overloaded(&self, dest: DestId) -> bool {
        self.get(dest).is_some_and(|d| d.overloaded)
    }
}

/// The tunnel of a destination that has one.
pub fn tunnel_of(forward: Forward) -> Option<Tunnel> {
    match forward {
        Forward::Tun(tunnel) => Some(tunnel),
        _ => None,
    }
}

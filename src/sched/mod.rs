//! Schedulers: which destination a new connection goes to. One trait, one file an algorithm, one line in
//! [`REGISTRY`](registry::REGISTRY). Nothing here knows a packet.
//!
//! A scheduler has three parts. Its *plan* is made from the pool by the control thread, is immutable, and is shared by
//! all workers (tables, greatest common divisors). Its *state* is each worker's own (pointers, caches), and so is its
//! *ranking*: the destinations in the order in which it prefers them, which whoever counts connections keeps up to date.
//! So most decisions take no longer among thousands of destinations than among a few. Two do: twos looks a place up in
//! sums, which from ten destinations to ten thousand takes about 1.7 times as long, and lblcr goes over the set it keeps
//! for an address, which grows with the pool. Every decision equals Linux IPVS's, connection for connection, when there
//! is one worker. Several workers go by each other's counts, and take turns of one sequence ([`turns`]).

mod cache;
pub mod dh;
pub mod fo;
mod hash;
mod homes;
pub mod lblc;
pub mod lblcr;
pub mod lc;
pub mod least;
pub mod load;
pub mod mh;
pub mod nq;
pub mod ovf;
pub mod pool;
pub mod ranking;
pub mod registry;
pub mod rr;
pub mod sed;
pub mod sh;
pub mod succession;
#[cfg(test)]
mod testing;
pub mod turns;
pub mod twos;
pub mod wlc;
pub mod wrr;

pub use crate::tables::place::{Place, Turns};
pub use load::Load;
pub use pool::{Candidate, Pool};
pub use registry::{Plan, REGISTRY, Ranking, SchedulerKind, State};
pub use succession::Succession;
pub use turns::Lease;

use crate::model::settings::Settings;
use crate::model::{DestId, Time};
use std::net::IpAddr;

/// What a scheduler may know of the packet that starts a connection.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    pub client: IpAddr,
    /// 0 for protocols without ports.
    pub client_port: u16,
    /// The packet's destination address: a virtual address, or any address for services on marks.
    pub destination: IpAddr,
    pub destination_port: u16,
    pub now: Time,
}

/// Connection counts of destinations, as far as this worker knows them.
pub trait Loads {
    fn active(&self, dest: DestId) -> u32;
    fn inactive(&self, dest: DestId) -> u32;
    /// At or above its upper threshold and not yet below its lower one.
    fn is_overloaded(&self, dest: DestId) -> bool;
}

/// What an operator may switch per service (`ipvsadm -b`), and the settings schedulers look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// sh-fallback, mh-fallback: flag 1.
    pub fallback: bool,
    /// sh-port, mh-port: flag 2.
    pub port: bool,
    /// The kernel's third scheduler flag; no scheduler uses it.
    pub flag_3: bool,
    /// As in [`Settings`]: a change of the setting is a new plan for the services it concerns.
    pub lblc_expiration_s: u32,
    pub lblcr_expiration_s: u32,
}

impl Options {
    /// The same options with what schedulers take from the settings.
    #[must_use]
    pub fn with(self, settings: &Settings) -> Self {
        let Settings { lblc_expiration_s, lblcr_expiration_s, .. } = *settings;
        Self { lblc_expiration_s, lblcr_expiration_s, ..self }
    }
}

impl Default for Options {
    fn default() -> Self {
        let settings = Settings::default();
        Self {
            fallback: false,
            port: false,
            flag_3: false,
            lblc_expiration_s: settings.lblc_expiration_s,
            lblcr_expiration_s: settings.lblcr_expiration_s,
        }
    }
}

/// Why a scheduler cannot serve a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("{scheduler} takes at most {max} destinations")]
    TooManyDestinations { scheduler: &'static str, max: usize },
}

/// One scheduling algorithm.
pub trait Scheduler: Sized + Send {
    /// As in `ipvsadm -s`.
    const NAME: &'static str;

    /// It looks at connection counts.
    const ASKS_COUNTS: bool = <Self::Ranking as ranking::Ranking>::FOLLOWS_COUNTS;

    /// What the control thread prepares from a pool; shared by all workers.
    type Plan: Send + Sync;

    /// What it wants to have ready of the loads; it must be up to date with them when it is asked.
    type Ranking: ranking::Ranking;

    fn plan(pool: &Pool, options: Options) -> Result<Self::Plan, PlanError>;

    /// A worker's state for a service it has not seen yet, whose destinations count as added one after the other.
    fn new(pool: &Pool, plan: &Self::Plan) -> Self;

    /// A worker's state for a service that had another scheduler up to now.
    fn take_over(pool: &Pool, plan: &Self::Plan) -> Self {
        Self::new(pool, plan)
    }

    /// A destination was added, edited or deleted; once for each, also for an edit that no [`Candidate`] shows
    /// (thresholds, forwarding method). Not for a change of the service's options alone, which brings just another
    /// plan: IPVS sends wrr back to the head of the list for the former and not for the latter.
    ///
    /// Several changes may come as one; which order IPVS would have seen them in is then undefined. `succession`: to the
    /// new list, of those who were told to [`Scheduler::depart`]; `None` when every destination stands where it stood.
    fn update(&mut self, succession: Option<&Succession>, plan: &Self::Plan);

    /// A destination is going to be gone with the next update.
    fn depart(&mut self, candidate: &Candidate) {
        let _ = candidate;
    }

    /// Index into the pool of the destination for a new connection, `None` when none may take it.
    fn schedule<L: Loads>(
        &mut self,
        pool: &Pool,
        plan: &Self::Plan,
        ranking: &Self::Ranking,
        loads: &L,
        flow: &Flow,
    ) -> Option<usize>;

    /// Where workers take turns of one sequence, of schedulers that go through their destinations and remember nothing
    /// but their place.
    fn turns(_: &Self::Plan) -> Option<&Turns> {
        None
    }

    fn place(&self) -> Place {
        Place::default()
    }

    fn go_to(&mut self, _: Place) {}

    /// Whether other workers schedule for the service, too, and what one remembers the others have to know.
    fn set_shared(&mut self, _: bool) {}

    /// Time passes: called by the worker about once a second, for schedulers that forget. Bounded work a call.
    #[inline]
    fn tick(&mut self, plan: &Self::Plan, now: Time) {
        let _ = (plan, now);
    }
}

//! Schedulers: which destination a new connection goes to. One trait, one file an algorithm, one line in
//! [`REGISTRY`](registry::REGISTRY). Nothing here knows a packet.
//!
//! A scheduler has two parts. Its *plan* is made from the pool by the control thread, is immutable, and is shared by
//! all workers (tables, greatest common divisors). Its *state* is each worker's own (pointers, caches). Every decision
//! equals Linux IPVS's, connection for connection, when there is one worker.

pub mod pool;
pub mod registry;

pub use pool::{Candidate, Pool};

use crate::model::{DestId, Time};
use std::net::IpAddr;

/// What a scheduler may know of the packet that starts a connection.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    pub client: IpAddr,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Options {
    /// sh-fallback, mh-fallback: flag 1.
    pub fallback: bool,
    /// sh-port, mh-port: flag 2.
    pub port: bool,
    /// The kernel's third scheduler flag; no scheduler uses it.
    pub flag_3: bool,
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

    /// What the control thread prepares from a pool; shared by all workers.
    type Plan: Send + Sync;

    fn plan(pool: &Pool, options: Options) -> Result<Self::Plan, PlanError>;

    /// A worker's state for a service it has not seen yet.
    fn new(pool: &Pool, plan: &Self::Plan) -> Self;

    /// The service's pool or options changed from `old` to `new`. Called once a change.
    fn update(&mut self, old: &Pool, new: &Pool, plan: &Self::Plan);

    /// Index into the pool of the destination for a new connection, `None` when none may take it.
    fn schedule<L: Loads>(&mut self, pool: &Pool, plan: &Self::Plan, loads: &L, flow: &Flow) -> Option<usize>;
}

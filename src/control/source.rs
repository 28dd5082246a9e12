//! What commands need of the running director besides the state: numbers to show, and a few things to do. The runtime
//! implements it over what workers share with the control thread; tests have one of their own.

use super::api::Rebalance;
use super::api::views::{ConnectionView, DestCounts, NeighbourView, PortView, WorkerView};
use super::config::Config;
use crate::dataplane::snapshot::Snapshot;
use crate::model::{DestId, DropReason, Time};
use std::task::Poll;

/// Numbers to show. Nothing here may wait for a worker.
pub trait Source {
    /// Sums over all workers.
    fn dest_counts(&self, dest: DestId) -> DestCounts;
    fn drop_count(&self, reason: DropReason) -> u64;
    /// Connections all workers' tables have room for.
    fn table_size(&self) -> u64;
    fn ports(&self) -> Vec<PortView>;
    fn workers(&self) -> Vec<WorkerView>;
    fn neighbours(&self) -> Vec<NeighbourView>;
    /// Up to `rows` connections from `cursor` on. `Pending`: the worker was asked and has not answered yet; the same
    /// call is made again a moment later, unless the client has gone. Calls for several clients interleave.
    fn connections(&mut self, cursor: ConnectionCursor, rows: usize) -> Poll<ConnectionPage>;
}

/// How far a listing of connections has come. The start is the default; the rest is the source's business.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ConnectionCursor {
    pub worker: u16,
    pub position: u64,
}

#[derive(Clone, Debug, Default)]
pub struct ConnectionPage {
    /// May be empty although more follow.
    pub rows: Vec<ConnectionView>,
    pub next: Option<ConnectionCursor>,
}

/// The running director as commands see it.
pub trait Runtime: Source {
    /// Monotonic.
    fn now(&self) -> Time;
    /// Reads and validates the configuration file that `run` was given; an error says where and why.
    fn load(&mut self) -> Result<Config, String>;
    /// Gives slots to other workers. What is going to happen.
    fn rebalance(&mut self, wish: &Rebalance) -> Result<Vec<String>, String>;
    /// Hands a snapshot to the workers. Called once for every number, in order.
    fn publish(&mut self, snapshot: &Snapshot);
    /// Whether all workers go by the snapshot with this number, or a later one.
    fn is_in_force(&self, version: u64) -> bool;
}

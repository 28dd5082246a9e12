//! Workers: made with everything they need, launched on their cores, stopped through their mailboxes.

use super::ports::PortQueues;
use super::{Clock, Config, Eal, RunError, memory};
use crate::dataplane::areas::Areas;
use crate::dataplane::destinations::SharedCounters;
use crate::dataplane::director::{Director, Parameters};
use crate::dataplane::mailbox::{Mailbox, Request};
use crate::dataplane::meter::BurstTimes;
use crate::dataplane::peers::Board;
use crate::dataplane::snapshot::Snapshot;
use crate::dataplane::worker::{Idle, Worker};
use crate::io::eal::WorkerRun;
use crate::io::mbuf::Mbuf;
use crate::io::worker_queues::WorkerQueues;
use crate::model::{PortId, WorkerCounters, WorkerId};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A worker as the control thread knows it.
pub struct WorkerHandle {
    pub core: usize,
    pub capacity: u32,
    pub mailbox: Mailbox,
    pub counters: Arc<WorkerCounters>,
    pub destinations: SharedCounters,
    pub burst_times: Arc<BurstTimes>,
    pub areas: Areas,
    run: Option<WorkerRun<()>>,
    ended: Arc<AtomicBool>,
}

impl WorkerHandle {
    /// It is no longer running, though nobody told it to stop.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Tells it to stop and waits until it has.
    pub fn stop(&mut self) -> Result<(), RunError> {
        let Some(run) = self.run.take() else { return Ok(()) };
        while !self.has_ended() && self.mailbox.ask(Request::Stop).is_err() {
            // its mailbox is full: it takes a message every turn
            while self.mailbox.answer().is_some() {}
            std::thread::yield_now();
        }
        run.wait().map_err(|_| RunError::WorkerEnded)
    }
}

/// One director a core.
pub fn make(
    config: &Config,
    cores: &[usize],
    first: &Arc<Snapshot>,
    clock: Clock,
) -> Result<Vec<(Director<Mbuf>, WorkerHandle)>, RunError> {
    let capacity = config.connections.capacity_per_worker;
    let board = (cores.len() > 1).then(|| Board::new(cores.len()));
    let make = |(worker, &core): (usize, &usize)| {
        let worker = WorkerId(worker as u16);
        let mut director = Director::new(Parameters { worker, capacity, seeds: seeds()?, now: clock.now() })?;
        if let Some(board) = &board {
            director.join(board, worker);
        }
        let mut areas = director.areas();
        prepare(&mut areas, worker, first);
        director.pick_up_at_once(first.clone());
        let (counters, destinations) = director.counters();
        let handle = WorkerHandle {
            core,
            capacity,
            mailbox: Mailbox::default(),
            counters,
            destinations,
            burst_times: Arc::default(),
            areas,
            run: None,
            ended: Arc::default(),
        };
        Ok((director, handle))
    };
    cores.iter().enumerate().map(make).collect()
}

/// Has memory taken for what a snapshot is going to need of a worker's tables.
pub fn prepare(areas: &mut Areas, worker: WorkerId, snapshot: &Snapshot) {
    for family in areas.prepare(snapshot, memory::is_available) {
        tracing::warn!(
            "worker {}: too little memory to take that of the {family:?} connection table now; the first connections of an \
             entry will be slower. Lower capacity_per_worker in [connections], or free some memory",
            worker.0
        );
    }
}

/// Random numbers for a table's hash.
fn seeds() -> Result<[u64; 4], RunError> {
    let mut bytes = [0; 32];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| RunError::System { what: "asking the kernel for random numbers", source: error.into() })?;
    let mut seeds = [0; 4];
    for (seed, bytes) in seeds.iter_mut().zip(bytes.chunks_exact(8)) {
        *seed = bytes.iter().fold(0, |seed, byte| seed << 8 | u64::from(*byte));
    }
    Ok(seeds)
}

/// Starts the workers with their queues.
pub fn launch(
    eal: &Eal,
    workers: Vec<(Director<Mbuf>, WorkerHandle)>,
    queues: PortQueues,
    clock: Clock,
    idle: Idle,
) -> Result<Vec<WorkerHandle>, RunError> {
    let PortQueues { receive, transmit, pool } = queues;
    let mut receive: Vec<_> = receive.into_iter().map(Vec::into_iter).collect();
    let mut transmit: Vec<_> = transmit.into_iter().map(Vec::into_iter).collect();
    let mut handles = vec![];
    for (number, (director, mut handle)) in workers.into_iter().enumerate() {
        let ids = 0_u16..;
        let receive = receive.iter_mut().zip(ids).filter_map(|(queues, id)| queues.next().map(|q| (q, PortId(id))));
        let transmit = transmit.iter_mut().filter_map(Iterator::next);
        let queues = WorkerQueues::new(receive.collect(), transmit.collect(), pool.allocator());
        let mut worker = Worker::new(director, queues, handle.mailbox.clone(), idle);
        handle.burst_times = worker.burst_times();
        let ended = EndMark(handle.ended.clone());
        handle.run = Some(eal.launch(number, move || {
            worker.run(clock);
            drop(ended);
        })?);
        handles.push(handle);
    }
    Ok(handles)
}

/// Says that a worker has ended, also by a panic.
struct EndMark(Arc<AtomicBool>);

impl Drop for EndMark {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

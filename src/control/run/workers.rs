//! Workers: made with everything they need, launched on their cores, stopped through their mailboxes.

use super::layout;
use super::ports::PortQueues;
use super::{Clock, Config, Eal, RunError, memory};
use crate::dataplane::areas::Areas;
use crate::dataplane::destinations::SharedCounters;
use crate::dataplane::director::{Director, Parameters};
use crate::dataplane::mailbox::{Desk, Mailbox, Request, mailbox};
use crate::dataplane::meter::BurstTimes;
use crate::dataplane::peers::Board;
use crate::dataplane::snapshot::Snapshot;
use crate::dataplane::steer::peers::{Peers, depth, mesh};
use crate::dataplane::worker::{Idle, Worker};
use crate::io::eal::WorkerRun;
use crate::io::mbuf::Mbuf;
use crate::io::queue::{RxQueue, TxQueue};
use crate::io::worker_queues::{Exit, WorkerQueues};
use crate::model::{PairCounters, PortId, WorkerCounters, WorkerId};
use crate::tables::ring::ring;
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
    /// By worker, what went to it.
    pub pairs: Arc<[PairCounters]>,
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

/// What a worker is launched with, and how it is known then.
type Made = (Director<Mbuf>, Desk, WorkerHandle);

/// One director a core.
pub fn make(config: &Config, cores: &[usize], first: &Arc<Snapshot>, clock: Clock) -> Result<Vec<Made>, RunError> {
    let capacity = config.connections.capacity_per_worker;
    let board = (cores.len() > 1).then(|| Board::new(cores.len()));
    let workers = cores.len() as u16;
    // the same for all: a connection that moves keeps what follows from its hash
    let seeds = seeds()?;
    let make = |((worker, &core), peers): ((usize, &usize), Peers<Mbuf>)| {
        let worker = WorkerId(worker as u16);
        let mut director = Director::new(Parameters { worker, workers, capacity, seeds, now: clock.now() })?;
        if let Some(board) = &board {
            director.join(board, worker);
        }
        let pairs = peers.counters();
        if workers > 1 {
            director.connect(peers);
        }
        let mut areas = director.areas();
        prepare(&mut areas, worker, first);
        director.pick_up_at_once(first.clone());
        let (counters, destinations) = director.counters();
        let (mailbox, desk) = mailbox();
        let handle = WorkerHandle {
            core,
            capacity,
            mailbox,
            counters,
            destinations,
            burst_times: Arc::default(),
            areas,
            pairs,
            run: None,
            ended: Arc::default(),
        };
        Ok((director, desk, handle))
    };
    cores.iter().enumerate().zip(mesh(cores.len(), depth(cores.len()))).map(make).collect()
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
    workers: Vec<Made>,
    queues: PortQueues,
    clock: Clock,
    idle: Idle,
) -> Result<Vec<WorkerHandle>, RunError> {
    let PortQueues { receive, transmit, pool } = queues;
    let receive = receivers(receive, workers.len());
    let exits = exits(transmit, workers.len());
    let mut handles = vec![];
    for (number, ((made, receive), exits)) in workers.into_iter().zip(receive).zip(exits).enumerate() {
        let (director, desk, mut handle) = made;
        let queues = WorkerQueues::new(receive, exits, pool.allocator());
        let mut worker = Worker::new(director, queues, desk, idle);
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

/// By worker: the queues it polls.
fn receivers(ports: Vec<Vec<RxQueue>>, workers: usize) -> Vec<Vec<(RxQueue, PortId)>> {
    let mut receivers: Vec<_> = (0..workers).map(|_| vec![]).collect();
    for (device, queues) in ports.into_iter().enumerate() {
        let count = queues.len();
        for (number, queue) in queues.into_iter().enumerate() {
            receivers[layout::worker_of(device, number, count, workers)].push((queue, PortId(device as u16)));
        }
    }
    receivers
}

/// By worker: how it sends, one a port.
fn exits(ports: Vec<Vec<TxQueue>>, workers: usize) -> Vec<Vec<Exit>> {
    let mut exits: Vec<Vec<Exit>> = (0..workers).map(|_| vec![]).collect();
    for (device, queues) in ports.into_iter().enumerate() {
        let count = queues.len();
        let owners: Vec<_> = (0..count).map(|queue| layout::worker_of(device, queue, count, workers)).collect();
        let mut others: Vec<Vec<_>> = (0..count).map(|_| vec![]).collect();
        let mut of_port: Vec<Option<Exit>> = (0..workers).map(|_| None).collect();
        for worker in (0..workers).filter(|worker| !owners.contains(worker)) {
            let (producer, consumer) = ring(depth(workers));
            others[layout::queue_for(worker, count)].push(consumer);
            of_port[worker] = Some(Exit::Through(producer));
        }
        for ((queue, owner), others) in queues.into_iter().zip(owners).zip(others) {
            of_port[owner] = Some(Exit::Own(queue, others));
        }
        exits.iter_mut().zip(of_port).for_each(|(exits, exit)| exits.extend(exit));
    }
    exits
}

/// Says that a worker has ended, also by a panic.
struct EndMark(Arc<AtomicBool>);

impl Drop for EndMark {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

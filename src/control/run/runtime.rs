//! The running director as commands see it: counters to show, snapshots to publish, questions to workers.

use super::arrivals::{Arrivals, HashWatch};
use super::layout;
use super::ports::Device;
use super::workers::{WorkerHandle, prepare};
use super::{Clock, RunError};
use crate::control::api::Rebalance;
use crate::control::api::views::{
    BurstTimesView, ConnectionView, DestCounts, EngineView, NeighbourView, PortView, RingView, TableView, WorkerView,
};
use crate::control::config::Config;
use crate::control::source::{ConnectionCursor, ConnectionPage, Runtime, Source};
use crate::control::steering::{Steerer, Step, rebalanced};
use crate::dataplane::listing::ConnectionRow;
use crate::dataplane::mailbox::{NeighbourRow, Reply, Request};
use crate::dataplane::meter::BurstTimes;
use crate::dataplane::pick_up::Delivery;
use crate::dataplane::snapshot::Snapshot;
use crate::dataplane::steer::client_hash::Input;
use crate::io::rss::field_names;
use crate::model::limits::DESTINATIONS_MAX;
use crate::model::{
    DestCounters, DestId, DropReason, PairCounters, PersistenceEngine, PortId, Time, WorkerCounters, WorkerId,
};
use crate::tables::histogram::quantile_ns;
use crate::tables::memory::{Area, Pages};
use crate::tables::neighbours::NEIGHBOURS_MAX;
use crate::wire::ethernet::MacAddr;
use hashbrown::HashMap;
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::Poll;

/// How often links and neighbours are looked at.
const LOOK_EVERY_MS: u64 = 1000;

/// What the control thread holds of the running director.
pub struct Running {
    config_path: PathBuf,
    clock: Clock,
    devices: Vec<Device>,
    links: Vec<bool>,
    workers: Vec<WorkerHandle>,
    /// The snapshot that is still to be sent, when every worker has the one before; a later one takes its place.
    next: Option<Snapshot>,
    unacknowledged: usize,
    /// The one that was sent last.
    sent: Arc<Snapshot>,
    /// What is still to be done for the last one that was.
    steps: VecDeque<Step>,
    /// As it was when these steps were made.
    published: Snapshot,
    /// Workers whose connections are still moving.
    moving: usize,
    latest: Snapshot,
    steerer: Steerer,
    /// By worker.
    neighbours: Vec<Vec<NeighbourRow>>,
    asked_neighbours: Vec<bool>,
    /// Pages that have come, by the cursor they were asked with.
    pages: HashMap<ConnectionCursor, ConnectionPage>,
    /// The page each worker was last asked for.
    asked_pages: Vec<Option<ConnectionCursor>>,
    looked: Time,
    hash_watch: HashWatch,
    /// By port, what had come in when the hash last changed from which owners follow.
    rehashed: Vec<Arrivals>,
    /// Snapshots that workers have given back: dropped, which takes a while, when those who wait have their answers.
    replaced: Vec<Delivery>,
}

impl Running {
    /// `workers` have the `first` snapshot already.
    pub fn new(
        config_path: &Path,
        first: &Snapshot,
        steerer: Steerer,
        devices: Vec<Device>,
        workers: Vec<WorkerHandle>,
        clock: Clock,
    ) -> Self {
        Self {
            config_path: config_path.to_owned(),
            clock,
            links: vec![false; devices.len()],
            asked_pages: vec![None; workers.len()],
            neighbours: vec![vec![]; workers.len()],
            asked_neighbours: vec![false; workers.len()],
            workers,
            next: None,
            unacknowledged: 0,
            sent: Arc::new(first.clone()),
            latest: first.clone(),
            steps: VecDeque::new(),
            published: first.clone(),
            moving: 0,
            steerer,
            pages: HashMap::new(),
            looked: Time(0),
            hash_watch: HashWatch::default(),
            rehashed: vec![Arrivals::default(); devices.len()],
            devices,
            replaced: Vec::new(),
        }
    }

    /// Whether workers owe an answer.
    pub fn is_waiting(&self) -> bool {
        self.unacknowledged > 0
            || self.moving > 0
            || self.next.is_some()
            || !self.steps.is_empty()
            || self.asked_pages.iter().any(Option::is_some)
    }

    /// Takes answers, sends what waits, looks at links.
    pub fn turn(&mut self) -> Result<(), RunError> {
        self.replaced.clear();
        for worker in 0..self.workers.len() {
            while let Some(reply) = self.workers[worker].mailbox.answer() {
                self.take(worker, reply);
            }
            if self.workers[worker].has_ended() {
                return Err(RunError::WorkerEnded);
            }
        }
        self.send_snapshot();
        let now = self.clock.now();
        if now.since(self.looked) >= LOOK_EVERY_MS * 1_000_000 {
            self.looked = now;
            self.look_at_links();
            self.ask_neighbours();
            self.look_at_arrivals();
        }
        Ok(())
    }

    /// Stops the workers, then gives their devices back.
    pub fn stop(&mut self) -> Result<(), RunError> {
        self.workers.iter_mut().map(WorkerHandle::stop).fold(Ok(()), Result::and)
    }

    /// Connections that still know a destination, by destination.
    pub fn references(&self) -> impl Fn(DestId) -> u64 + use<> {
        let counters: Vec<_> = self.workers.iter().map(|w| w.destinations.clone()).collect();
        // what is on its way from one worker to another is nobody's reference
        let on_their_way = u64::from(self.moving > 0);
        move |id| {
            let of_each = counters.iter().filter_map(|c| c.get(id.index())).map(|c| u64::from(c.references.get()));
            on_their_way + of_each.sum::<u64>()
        }
    }

    fn take(&mut self, worker: usize, reply: Reply) {
        match reply {
            Reply::PickedUp(old) => {
                self.replaced.push(old);
                self.unacknowledged = self.unacknowledged.saturating_sub(1);
            }
            Reply::Moved => self.moving = self.moving.saturating_sub(1),
            Reply::Neighbours { rows } => {
                self.neighbours[worker] = rows;
                self.asked_neighbours[worker] = false;
            }
            Reply::Connections { rows, next } => {
                let Some(cursor) = self.asked_pages[worker].take() else { return };
                let next = match next {
                    0 if worker + 1 < self.workers.len() => {
                        Some(ConnectionCursor { worker: cursor.worker + 1, position: 0 })
                    }
                    0 => None,
                    position => Some(ConnectionCursor { position: position.into(), ..cursor }),
                };
                let rows = rows.iter().map(connection_view).collect();
                self.pages.insert(cursor, ConnectionPage { rows, next });
            }
        }
    }

    fn send_snapshot(&mut self) {
        // what all workers do not take at once would part them for good
        let have_room = self.workers.iter_mut().all(|worker| worker.mailbox.has_room());
        if self.unacknowledged > 0 || self.moving > 0 || !have_room {
            return;
        }
        if self.steps.is_empty()
            && let Some(next) = self.next.take()
        {
            self.steps.extend(self.steerer.publish(&self.published, &next));
            self.published = next;
        }
        let Some(Step { snapshot, moves }) = self.steps.pop_front() else { return };
        self.moving = if moves { self.workers.len() } else { 0 };
        for worker in &mut self.workers {
            let delivery = Delivery::prepared(snapshot.clone(), &self.sent);
            if worker.mailbox.ask(Request::Snapshot(delivery)).is_ok() {
                self.unacknowledged += 1;
            }
        }
        self.sent = snapshot;
    }

    fn look_at_links(&mut self) {
        for (number, device) in self.devices.iter().enumerate() {
            let up = device.port.link().is_ok_and(|link| link.up);
            let was_up = std::mem::replace(&mut self.links[number], up);
            if up != was_up {
                tracing::info!("{}: link {}", device.name, if up { "up" } else { "down" });
            }
            if up && !was_up {
                for worker in &mut self.workers {
                    // a full mailbox costs an announcement, not a packet
                    let _ = worker.mailbox.ask(Request::LinkUp(PortId(number as u16)));
                }
            }
        }
    }

    fn ask_neighbours(&mut self) {
        for (worker, asked) in self.workers.iter_mut().zip(&mut self.asked_neighbours) {
            if !*asked {
                let rows = Vec::with_capacity(NEIGHBOURS_MAX);
                *asked = worker.mailbox.ask(Request::Neighbours { rows }).is_ok();
            }
        }
    }

    /// Ports that can have packets come to their new owners; those that come to others meanwhile are handed over.
    fn steer_devices(&mut self) {
        let workers = self.workers.len();
        let of_slot = self.steerer.slots().workers().map(|worker| worker.0);
        for (number, device) in self.devices.iter_mut().enumerate() {
            let queues = device.rx_queues;
            device.steer(&of_slot, |queue| layout::worker_of(number, queue, queues, workers));
        }
    }

    fn of_dest(&self, dest: DestId) -> impl Iterator<Item = &DestCounters> {
        self.workers.iter().filter_map(move |w| w.destinations.get(dest.index()))
    }

    /// What has come in by a port since owners follow from this hash.
    fn arrivals(&self, port: PortId) -> Arrivals {
        let counters = self.workers.iter().map(|worker| worker.counters.of_port(port));
        Arrivals::of(counters).since(self.rehashed.get(port.index()).copied().unwrap_or_default())
    }

    /// Where ports spread packets by the other hash, owners are to follow from that.
    fn look_at_arrivals(&mut self) {
        let ports: Vec<_> = (0..self.devices.len()).map(|port| self.arrivals(PortId(port as u16))).collect();
        let have_queues = self.devices.iter().zip(&ports).filter(|(device, _)| device.rx_queues > 1);
        let all = have_queues.fold(Arrivals::default(), |sum, (_, arrivals)| sum.plus(*arrivals));
        let may = !self.is_moving();
        if !self.hash_watch.look(all, self.looked, may) {
            return;
        }
        self.steps.extend(self.steerer.change_hash(&self.published));
        let hashed = match self.steerer.input() {
            Input::Tuple => "both addresses and ports, under a key made of the configured one",
            Input::Source => "sources alone, under the configured key itself",
        };
        tracing::info!("ports hash {hashed}: connections go to workers by that from now on");
        for (before, now) in self.rehashed.iter_mut().zip(ports) {
            *before = before.plus(now);
        }
        self.send_snapshot();
    }

    /// A change of owners is under way.
    fn is_moving(&self) -> bool {
        self.moving > 0 || self.next.is_some() || !self.steps.is_empty()
    }

    /// Packets that came in by a port at another worker than theirs.
    fn elsewhere(&self, port: PortId) -> u64 {
        self.workers.iter().map(|worker| worker.counters.of_port(port).elsewhere.get()).sum()
    }

    fn interface_name(&self, id: usize) -> String {
        self.latest.network.interfaces.get(id).map_or_else(String::new, |i| i.name.clone())
    }
}

fn rings(worker: usize, pairs: &[PairCounters]) -> Vec<RingView> {
    let others = pairs.iter().enumerate().filter(|(to, _)| *to != worker);
    others.map(|(to, pair)| RingView { to: to as u16, sent: pair.sent.get(), full: pair.full.get() }).collect()
}

fn connection_view(row: &ConnectionRow) -> ConnectionView {
    ConnectionView {
        protocol: row.protocol.name().to_owned(),
        client: row.client,
        virtual_address: row.virt,
        destination: row.server,
        state: row.state.to_owned(),
        expires_s: row.expires_s(),
        engine: row.engine_data.as_ref().map(|data| EngineView {
            name: PersistenceEngine::Sip.name().to_owned(),
            data: String::from_utf8_lossy(data).into_owned(),
        }),
    }
}

fn table_view(family: &str, areas: [Area; 2]) -> TableView {
    let pages = |pages| areas.iter().any(|area| area.pages == pages);
    TableView {
        family: family.to_owned(),
        bytes_used: areas.iter().map(Area::bytes_used).sum::<usize>() as u64,
        bytes_reserved: areas.iter().map(Area::bytes).sum::<usize>() as u64,
        pages: match () {
            () if pages(Pages::Small) => "small",
            () if pages(Pages::Transparent) => "transparent",
            () => "huge",
        }
        .to_owned(),
    }
}

fn burst_times_view(times: &BurstTimes) -> BurstTimesView {
    let filled = times.undisturbed.filled();
    let max_ns = times.undisturbed.max_ns();
    // a bucket's greatest time may be more than the greatest there was
    let quantile = |per_10_000| quantile_ns(&filled, per_10_000).min(max_ns);
    BurstTimesView {
        p50_ns: quantile(5000),
        p99_ns: quantile(9900),
        p9999_ns: quantile(9999),
        max_ns,
        preempted: times.preempted.get(),
        histogram: filled,
    }
}

impl Source for Running {
    fn dest_counts(&self, dest: DestId) -> DestCounts {
        let mut sum = DestCounts::default();
        for c in self.of_dest(dest) {
            sum.active += u64::from(c.active.get());
            sum.inactive += u64::from(c.inactive.get());
            sum.persistent += u64::from(c.persistent.get());
            sum.connections += c.connections.get();
            sum.in_packets += c.in_packets.get();
            sum.out_packets += c.out_packets.get();
            sum.in_bytes += c.in_bytes.get();
            sum.out_bytes += c.out_bytes.get();
        }
        sum
    }

    fn drop_count(&self, reason: DropReason) -> u64 {
        self.workers.iter().map(|w| w.counters.drops[reason as usize].get()).sum()
    }

    fn table_size(&self) -> u64 {
        self.workers.iter().map(|w| u64::from(w.capacity)).sum()
    }

    fn ports(&self) -> Vec<PortView> {
        let view = |interface: &crate::dataplane::snapshot::Interface| {
            let device = self.devices.get(interface.port.index())?;
            let link = device.port.link().ok();
            let stats = device.port.stats().unwrap_or_default();
            Some(PortView {
                name: interface.name.clone(),
                device: device.name.clone(),
                driver: device.port.info().driver.clone(),
                vlan: interface.vlan,
                mac: MacAddr(interface.mac).to_string(),
                mtu: interface.mtu,
                link_up: link.is_some_and(|l| l.up),
                speed_mbps: link.map(|l| l.speed_mbps).filter(|&speed| speed > 0 && speed < u32::MAX),
                rx_queues: device.rx_queues as u16,
                tx_queues: device.tx_queues as u16,
                steering: self.arrivals(interface.port).steering(self.workers.len()).to_owned(),
                elsewhere: self.elsewhere(interface.port),
                spread: device.spread.explanation().to_owned(),
                rss_fields: field_names(device.rss_fields).into_iter().map(str::to_owned).collect(),
                facing: device.facing.name().to_owned(),
                numa_node: device.port.info().socket,
                rx_packets: stats.rx_packets,
                rx_bytes: stats.rx_bytes,
                rx_missed: stats.rx_missed,
                rx_no_buffer: stats.rx_no_mbuf,
                rx_errors: stats.rx_errors,
                tx_packets: stats.tx_packets,
                tx_bytes: stats.tx_bytes,
                tx_errors: stats.tx_errors,
            })
        };
        self.latest.network.interfaces.iter().filter_map(view).collect()
    }

    fn workers(&self) -> Vec<WorkerView> {
        let view = |(number, worker): (usize, &WorkerHandle)| {
            // taken apart so that a new counter does not compile until it is shown
            let WorkerCounters {
                received,
                transmitted,
                consumed,
                transit,
                handed_over,
                taken_over,
                connections_created,
                connections_expired,
                connections_moved_out,
                connections_moved_in,
                connections_lost,
                icmp_sent,
                icmp_suppressed,
                resets_sent,
                packets_reassembled,
                fragments_reassembled,
                packets_fragmented,
                fragments_created,
                bursts,
                link_ups,
                ports: _,
                drops,
            } = &*worker.counters;
            WorkerView {
                worker: number as u16,
                core: worker.core as u32,
                connections: worker.counters.connections(),
                capacity: worker.capacity.into(),
                connections_created: connections_created.get(),
                connections_expired: connections_expired.get(),
                connections_moved_out: connections_moved_out.get(),
                connections_moved_in: connections_moved_in.get(),
                connections_lost: connections_lost.get(),
                slots: self.steerer.slots().count_of(WorkerId(number as u16)) as u16,
                received: received.get(),
                transmitted: transmitted.get(),
                consumed: consumed.get(),
                transit: transit.get(),
                handed_over: handed_over.get(),
                taken_over: taken_over.get(),
                rings: rings(number, &worker.pairs),
                icmp_sent: icmp_sent.get(),
                icmp_suppressed: icmp_suppressed.get(),
                resets_sent: resets_sent.get(),
                dropped: drops.iter().map(|d| d.get()).sum(),
                packets_reassembled: packets_reassembled.get(),
                fragments_reassembled: fragments_reassembled.get(),
                packets_fragmented: packets_fragmented.get(),
                fragments_created: fragments_created.get(),
                bursts: bursts.get(),
                link_ups: link_ups.get(),
                burst_times: burst_times_view(&worker.burst_times),
                tables: vec![
                    table_view("ipv4", worker.areas.connections.v4),
                    table_view("ipv6", worker.areas.connections.v6),
                ],
            }
        };
        self.workers.iter().enumerate().map(view).collect()
    }

    fn neighbours(&self) -> Vec<NeighbourView> {
        let view = |row: &NeighbourRow| NeighbourView {
            address: row.address,
            port: self.interface_name(row.interface.index()),
            mac: row.mac.map(|mac| MacAddr(mac).to_string()),
            state: row.state.to_owned(),
        };
        // each worker has its own list; of what several know, what one of them can send to
        let mut known = BTreeMap::new();
        for row in self.neighbours.iter().flatten() {
            let best = known.entry((row.interface, row.address)).or_insert(row);
            if best.mac.is_none() {
                *best = row;
            }
        }
        known.into_values().map(view).collect()
    }

    fn connections(&mut self, cursor: ConnectionCursor, rows: usize) -> Poll<ConnectionPage> {
        if let Some(page) = self.pages.remove(&cursor) {
            return Poll::Ready(page);
        }
        let number = usize::from(cursor.worker);
        let Some(worker) = self.workers.get_mut(number) else { return Poll::Ready(ConnectionPage::default()) };
        if self.asked_pages[number].is_none() {
            let request = Request::Connections { cursor: cursor.position as u32, rows: Vec::with_capacity(rows) };
            if worker.mailbox.ask(request).is_ok() {
                // pages nobody came back for: their clients are gone
                self.pages.clear();
                self.asked_pages[number] = Some(cursor);
            }
        }
        Poll::Pending
    }
}

impl Runtime for Running {
    fn now(&self) -> Time {
        self.clock.now()
    }

    fn load(&mut self) -> Result<Config, String> {
        Config::load(&self.config_path).map_err(|error| error.to_string())
    }

    fn rebalance(&mut self, wish: &Rebalance) -> Result<Vec<String>, String> {
        if self.is_moving() {
            return Err("connections are still moving by the last change; ask again in a moment".to_owned());
        }
        let before = self.steerer.slots().clone();
        let slots = rebalanced(&before, self.workers.len() as u16, wish)?;
        let count = before.workers().iter().zip(slots.workers()).filter(|(old, new)| old != new).count();
        self.steps.extend(self.steerer.rebalance(&self.published, slots));
        self.steer_devices();
        self.send_snapshot();
        Ok(if count == 0 { vec![] } else { vec![format!("{count} slots get another worker")] })
    }

    fn publish(&mut self, snapshot: &Snapshot) {
        self.latest = snapshot.clone();
        for (worker, id) in self.workers.iter_mut().zip(0..) {
            prepare(&mut worker.areas, WorkerId(id), snapshot);
        }
        let mut next = snapshot.clone();
        if let Some(waiting) = self.next.take() {
            next.follow(&waiting);
        }
        self.next = Some(next);
        self.send_snapshot();
    }

    fn is_in_force(&self, version: u64) -> bool {
        self.sent.version >= version && self.unacknowledged == 0
    }
}

const _: () = assert!(DESTINATIONS_MAX <= u32::MAX as usize);

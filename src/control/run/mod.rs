//! `pollux run`: brings everything up in order, runs the control thread, and takes everything down again.
//!
//! The control thread owns the state and the API; a worker gets snapshots and requests through its mailbox. Whatever
//! can be refused is refused before the first packet: the file, the socket, EAL, devices, memory.

mod arrivals;
mod layout;
pub(super) mod memory;
mod ports;
mod runtime;
mod signals;
mod workers;

use self::ports::OpenPorts;
use self::runtime::Running;
use self::signals::{Signal, Signals};
use super::api::server::{Server, ServerError};
use super::commands::Commands;
use super::config::{Config, ConfigError};
use super::doctor::host::Host;
use super::source::Runtime as _;
use super::state::{Error as StateError, State};
use super::steering::Steerer;
use crate::dataplane::snapshot::Snapshot;
use crate::dataplane::worker::Idle;
use crate::io::arguments::EalConfig;
use crate::io::clock::Clock;
use crate::io::device::full_pci_address;
use crate::io::eal::{self, Eal};
use crate::io::failure::EalError;
use crate::io::mempool::PoolError;
use crate::io::port::PortError;
use crate::model::{SLOTS, SlotTable, Time};
use crate::tables::memory::NoMemory;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Why the director did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error(transparent)]
    Eal(#[from] EalError),
    #[error(transparent)]
    Port(#[from] PortError),
    #[error(transparent)]
    Pool(#[from] PoolError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Table(#[from] NoMemory),
    #[error("{0}")]
    Memory(String),
    #[error("this process may run on no core: start it without `taskset`, or name a core in [workers] cores")]
    NoCore,
    #[error("{what} failed: {source}")]
    System { what: &'static str, source: std::io::Error },
    #[error("a worker ended unexpectedly; the log above says why")]
    WorkerEnded,
}

impl RunError {
    /// It has to do with the machine, of which `pollux doctor` knows more.
    pub fn is_of_the_machine(&self) -> bool {
        matches!(self, Self::Eal(_) | Self::Port(_) | Self::Pool(_) | Self::Table(_) | Self::Memory(_) | Self::NoCore)
    }
}

/// How long the control thread sleeps when nobody wants anything: the pace of acknowledgements and the trash.
const TURN: Duration = Duration::from_millis(100);
/// While workers owe an answer: they answer between two bursts.
const TURN_WAITING: Duration = Duration::from_micros(200);

/// How often the trash, and a part of the rates, are looked at.
const COLLECT_EVERY: Time = Time::from_ms(100);

/// Runs the director until SIGTERM or SIGINT.
pub fn run(config_path: &Path, socket: &Path) -> Result<(), RunError> {
    let config = Config::load(config_path)?;
    let signals = Signals::block()?;
    let cores = cores(&config)?;
    memory::check_room(&config, cores.len())?;
    let mut server = Server::bind(socket)?;
    let eal = Eal::start(&EalConfig {
        eal_args: &config.dpdk.eal_args,
        cores: &cores,
        socket,
        secondary: config.dpdk.secondary,
        memory_mb: memory::dpdk_mb(&config, cores.len()),
    })?;
    let clock = Clock::new(&eal);
    let ports = OpenPorts::open(&eal, &config, cores.len())?;
    let state = State::new(config.clone(), &ports.opened)?;
    let steerer = Steerer::new(cores.len() as u16, &config.workers.rss_key, state.snapshot());
    let first = Arc::new(Snapshot { steering: steerer.settled(), ..state.snapshot().clone() });
    let workers = workers::make(&config, &cores, &first, clock)?;
    let (ports, queues) = ports.start(&numbers(steerer.slots()), cores.len())?;
    let workers = workers::launch(&eal, workers, queues, clock, idle(&config, &cores))?;
    let runtime = Running::new(config_path, &first, steerer, ports, workers, clock);
    let mut commands = Commands::new(state, runtime);
    tracing::info!("pollux {} on {}, socket {}", env!("CARGO_PKG_VERSION"), eal::version(), socket.display());
    let ended = serve(&mut server, &signals, &mut commands);
    let stopped = commands.runtime.stop();
    ended.and(stopped)
}

/// The cores workers run on: the configured ones, or all but the control thread's, those near the NICs first.
pub(super) fn cores(config: &Config) -> Result<Vec<usize>, RunError> {
    match &config.workers.cores {
        Some(cores) => Ok(cores.clone()),
        None => Some(default_cores(config)).filter(|cores| !cores.is_empty()).ok_or(RunError::NoCore),
    }
}

fn default_cores(config: &Config) -> Vec<usize> {
    use super::doctor::layout;
    let host = Host::gather(Path::new("/"));
    let addresses = config.ports.iter().filter_map(|port| full_pci_address(&port.device));
    let nodes: Vec<u32> = addresses.filter_map(|address| host.nic(&address)?.node).collect();
    layout::default_cores(&host.cores, &eal::allowed_cores(), &nodes, SLOTS)
}

/// By slot, the number of its worker.
fn numbers(slots: &SlotTable) -> [u16; SLOTS] {
    slots.workers().map(|worker| worker.0)
}

/// Workers that share a core would keep each other from it by spinning.
fn idle(config: &Config, cores: &[usize]) -> Idle {
    let is_shared = cores.iter().enumerate().any(|(at, core)| cores[..at].contains(core));
    match config.workers.idle {
        Idle::Spin if is_shared => {
            tracing::info!("workers share cores: they yield when idle");
            Idle::Yield
        }
        idle => idle,
    }
}

/// The control thread's loop.
fn serve(
    server: &mut Server<Commands<Running>>,
    signals: &Signals,
    commands: &mut Commands<Running>,
) -> Result<(), RunError> {
    let mut collected = Time(0);
    loop {
        let turn = if commands.runtime.is_waiting() { TURN_WAITING } else { TURN };
        let ready = server
            .poll(turn, &[signals.descriptor()], commands)
            .map_err(|source| RunError::System { what: "waiting for requests", source })?;
        if ready.first() == Some(&true) {
            match signals.take() {
                Some(Signal::Stop) => return Ok(()),
                Some(Signal::Reload) => reload(commands),
                None => {}
            }
        }
        commands.runtime.turn()?;
        let now = commands.runtime.now();
        if now.since(collected) >= COLLECT_EVERY.0 {
            collected = now;
            let references = commands.runtime.references();
            commands.collect(&references);
        }
    }
}

/// SIGHUP: there is nobody to answer, so the log gets the answer.
fn reload(commands: &mut Commands<Running>) {
    match commands.reload() {
        Ok(changes) if changes.is_empty() => tracing::info!("reload: nothing changed"),
        Ok(changes) => changes.iter().for_each(|change| tracing::info!("reload: {change}")),
        Err(error) => tracing::error!("reload refused, nothing changed: {error}"),
    }
}

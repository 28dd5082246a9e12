//! Devices: opened, configured and started, in the order of the file.

use super::layout;
use super::memory::{DESCRIPTORS, frames};
use super::{Config, Eal, RunError};
use crate::control::config::PortConfig as Interface;
use crate::control::facing::Facing;
use crate::control::state::Opened;
use crate::io::mempool::{Mempool, PoolConfig};
use crate::io::port::{PX_TX_UDP_CKSUM, Port, PortConfig, PortState};
use crate::io::queue::{RxQueue, TxQueue};
use crate::io::rss::{QueueOfSlot, SLOTS, Spread};
use crate::model::PortId;
use crate::wire::rss_key::{Key, RssKeys};

/// A device that is in use.
pub struct Device {
    pub name: String,
    pub port: Port,
    pub rx_queues: usize,
    pub tx_queues: usize,
    /// What RSS hashes, `dpdk_sys::PX_RSS_`.
    pub rss_fields: u32,
    pub facing: Facing,
    pub spread: Spread,
    key: Key,
}

impl Device {
    /// Has the packets of each slot come to its worker, as far as the device can; to be called when slots have moved.
    /// `worker_of_queue` is who polls a queue.
    pub fn steer(&mut self, worker_of_slot: &[u16; SLOTS], worker_of_queue: impl Fn(usize) -> usize) {
        let workers: Vec<usize> = (0..self.rx_queues).map(worker_of_queue).collect();
        self.spread = self.port.steer(&self.key, &queue_of_slot(worker_of_slot, &workers));
    }
}

/// The queue that a slot's worker polls; of workers that poll none of this device, the slots go round.
fn queue_of_slot(worker_of_slot: &[u16; SLOTS], worker_of_queue: &[usize]) -> QueueOfSlot {
    std::array::from_fn(|slot| {
        let worker = usize::from(worker_of_slot[slot]);
        let own = worker_of_queue.iter().position(|&of_queue| of_queue == worker);
        own.unwrap_or(worker % worker_of_queue.len().max(1)) as u16
    })
}

/// All devices, configured and not yet started.
pub struct OpenPorts {
    devices: Vec<Device>,
    states: Vec<PortState>,
    /// One a `[[port]]`.
    pub opened: Vec<Opened>,
    pool: Mempool,
}

/// What workers receive from and send to: by device, a queue each.
pub struct PortQueues {
    pub receive: Vec<Vec<RxQueue>>,
    pub transmit: Vec<Vec<TxQueue>>,
    pub pool: Mempool,
}

impl OpenPorts {
    pub fn open(eal: &Eal, config: &Config, workers: usize) -> Result<Self, RunError> {
        let pool = Mempool::new(eal, &PoolConfig::new(frames(config, workers)))?;
        let mut ports = Self { devices: vec![], states: vec![], opened: vec![], pool };
        for interface in &config.ports {
            let id = match ports.devices.iter().position(|d| d.name == interface.device) {
                Some(known) => known,
                None => ports.add(eal, config, &interface.device, workers)?,
            };
            let mac = interface.mac.unwrap_or(ports.states[id].mac);
            let udp_checksum_offload = ports.states[id].tx_offloads & PX_TX_UDP_CKSUM != 0;
            ports.opened.push(Opened { port: PortId(id as u16), mac, udp_checksum_offload });
        }
        Ok(ports)
    }

    fn add(&mut self, eal: &Eal, config: &Config, device: &str, workers: usize) -> Result<usize, RunError> {
        let mut port = Port::open(eal, device)?;
        let interfaces: Vec<&Interface> = config.ports.iter().filter(|p| p.device == device).collect();
        let macs: Vec<[u8; 6]> = interfaces.iter().filter_map(|i| i.mac).collect();
        let mac = macs.first().copied();
        let facing = Facing::of_device(config, device);
        let key = facing.key(&RssKeys::new(&config.workers.rss_key.0));
        let vlans: Vec<u16> = interfaces.iter().filter_map(|i| i.vlan).collect();
        let state = port.configure(
            &PortConfig {
                mtu: interfaces.iter().map(|i| i.mtu).max(),
                mac,
                rss_key: Some(key),
                rx_descriptors: DESCRIPTORS as u16,
                tx_descriptors: DESCRIPTORS as u16,
                // several addresses on one device: the director filters
                promiscuous: macs.len() > 1 && macs.iter().any(|m| Some(*m) != mac)
                    || !macs.is_empty() && macs.len() < interfaces.len(),
                vlans: &vlans,
                // for datagrams that come without a checksum: NAT gives them one
                tx_offloads: PX_TX_UDP_CKSUM,
                ..PortConfig::new(workers as u16)
            },
            &self.pool,
        )?;
        let (rx_queues, tx_queues) = (state.rx.len(), state.tx.len());
        let (name, rss_fields, spread) = (device.to_owned(), state.rss_fields, Spread::OneQueue);
        self.devices.push(Device { name, port, rx_queues, tx_queues, rss_fields, facing, spread, key });
        self.states.push(state);
        Ok(self.devices.len() - 1)
    }

    /// Lets frames in.
    pub fn start(
        mut self,
        worker_of_slot: &[u16; SLOTS],
        workers: usize,
    ) -> Result<(Vec<Device>, PortQueues), RunError> {
        for (number, device) in self.devices.iter_mut().enumerate() {
            device.port.start()?;
            let queues = device.rx_queues;
            device.steer(worker_of_slot, |queue| layout::worker_of(number, queue, queues, workers));
            tracing::info!("{}: {} queue(s), {}", device.name, device.rx_queues, device.spread.explanation());
        }
        let (receive, transmit) = self.states.into_iter().map(|state| (state.rx, state.tx)).unzip();
        Ok((self.devices, PortQueues { receive, transmit, pool: self.pool }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_goes_to_a_queue_of_its_worker_and_to_any_where_that_has_none() {
        let of_slot = std::array::from_fn(|slot| (slot % 3) as u16);
        assert_eq!(queue_of_slot(&of_slot, &[0, 1, 2])[..6], [0, 1, 2, 0, 1, 2]);
        assert_eq!(queue_of_slot(&of_slot, &[2, 0])[..6], [1, 1, 0, 1, 1, 0]);
        assert_eq!(queue_of_slot(&of_slot, &[1])[..3], [0, 0, 0]);
        assert_eq!(queue_of_slot(&of_slot, &[])[..3], [0, 0, 0]);
    }
}

//! Devices: opened, configured and started, in the order of the file.

use super::memory::{DESCRIPTORS, frames};
use super::{Config, Eal, RunError};
use crate::control::config::PortConfig as Interface;
use crate::control::state::Opened;
use crate::io::mempool::{Mempool, PoolConfig};
use crate::io::port::{PX_TX_UDP_CKSUM, Port, PortConfig, PortState};
use crate::io::queue::{RxQueue, TxQueue};
use crate::model::PortId;

/// A device that is in use.
pub struct Device {
    pub name: String,
    pub port: Port,
    pub rx_queues: usize,
    pub tx_queues: usize,
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
        let state = port.configure(
            &PortConfig {
                mtu: interfaces.iter().map(|i| i.mtu).max(),
                mac,
                rx_descriptors: DESCRIPTORS as u16,
                tx_descriptors: DESCRIPTORS as u16,
                // several addresses on one device: the director filters
                promiscuous: macs.len() > 1 && macs.iter().any(|m| Some(*m) != mac)
                    || !macs.is_empty() && macs.len() < interfaces.len(),
                // for datagrams that come without a checksum: NAT gives them one
                tx_offloads: PX_TX_UDP_CKSUM,
                ..PortConfig::new(workers as u16)
            },
            &self.pool,
        )?;
        let (rx_queues, tx_queues) = (state.rx.len(), state.tx.len());
        self.devices.push(Device { name: device.to_owned(), port, rx_queues, tx_queues });
        self.states.push(state);
        Ok(self.devices.len() - 1)
    }

    /// Lets frames in.
    pub fn start(self) -> Result<(Vec<Device>, PortQueues), RunError> {
        for device in &self.devices {
            device.port.start()?;
        }
        let (receive, transmit) = self.states.into_iter().map(|state| (state.rx, state.tx)).unzip();
        Ok((self.devices, PortQueues { receive, transmit, pool: self.pool }))
    }
}

//! Ports: found by device, configured once, started, watched.
//!
//! What a driver refuses but software can do (a MAC address, an MTU), software does: [`PortState`] says so, and the
//! data path then filters by itself.
#![allow(unsafe_code)]

use std::ffi::{CString, c_char};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use dpdk_sys::{px_link, px_port_config, px_port_info, px_port_stats, px_rss};
use thiserror::Error;

use super::device;
use super::drivers;
use super::eal::{Eal, Running};
use super::log;
use super::mempool::{Mempool, Pool};
use super::queue::{RxQueue, TxQueue};
use super::rss::{self, QueueOfSlot, Spread};
use crate::wire::rss_key::Key;

/// Of `tx_offloads`: the port can fill in UDP checksums.
pub use dpdk_sys::PX_TX_UDP_CKSUM;

/// A frame is this much longer than its MTU: Ethernet's header, two VLAN tags, the FCS.
const FRAME_OVERHEAD: usize = 14 + 2 * 4 + 4;

#[derive(Debug, Error)]
pub enum PortError {
    #[error("no port \"{device}\": {hint}")]
    NotFound { device: String, hint: String },
    #[error("device \"{device}\" is used twice: give each [[port]] a device of its own")]
    InUse { device: String },
    #[error("port \"{device}\" is configured already: that can be done once")]
    Configured { device: String },
    #[error("port \"{device}\" has no receive or no transmit queue: use another device")]
    NoQueues { device: String },
    #[error("port \"{device}\" carries an MTU of at most {max}, not {mtu}: set mtu = {max} or less")]
    MtuTooLarge { device: String, mtu: u16, max: u16 },
    #[error(
        "port \"{device}\" cannot {what}: {reason}{detail}; correct its [[port]], or what [dpdk] eal_args say of it"
    )]
    Refused { device: String, what: &'static str, reason: String, detail: String },
}

/// What a driver says of its device.
#[derive(Debug, Clone)]
pub struct PortInfo {
    /// The device: a PCI address or a vdev's name.
    pub name: String,
    pub driver: String,
    pub mac: [u8; 6],
    pub rx_queues_max: u16,
    pub tx_queues_max: u16,
    pub mtu: u16,
    pub mtu_min: u16,
    pub mtu_max: u16,
    /// NUMA socket, where there is one.
    pub socket: Option<u32>,
    /// Entries of the RSS redirection table; 0: none.
    pub reta_size: u16,
    /// Bytes of the RSS key; 0: none.
    pub hash_key_size: u8,
    /// What RSS can hash: `dpdk_sys::PX_RSS_`.
    pub rss_fields: u32,
    /// What the driver can do: `dpdk_sys::PX_RX_`.
    pub rx_offloads: u32,
    /// What the driver can do: `dpdk_sys::PX_TX_`.
    pub tx_offloads: u32,
    /// The driver notices a link going up or down.
    pub link_events: bool,
}

impl PortInfo {
    fn read(id: u16) -> Result<Self, i32> {
        let mut raw = px_port_info::default();
        // SAFETY: EAL is up in every caller; writes only `raw`; an id without a port is an error.
        match unsafe { dpdk_sys::px_port_info(id, &mut raw) } {
            0 => Ok(Self::from(&raw)),
            error => Err(error),
        }
    }
}

impl From<&px_port_info> for PortInfo {
    fn from(raw: &px_port_info) -> Self {
        Self {
            name: text(&raw.name),
            driver: text(&raw.driver),
            mac: raw.mac,
            rx_queues_max: raw.rx_queues_max,
            tx_queues_max: raw.tx_queues_max,
            mtu: raw.mtu,
            mtu_min: raw.mtu_min,
            mtu_max: raw.mtu_max,
            socket: u32::try_from(raw.socket).ok(),
            reta_size: raw.reta_size,
            hash_key_size: raw.hash_key_size,
            rss_fields: raw.rss_fields,
            rx_offloads: raw.rx_offloads,
            tx_offloads: raw.tx_offloads,
            link_events: raw.flags & dpdk_sys::PX_PORT_LINK_EVENTS != 0,
        }
    }
}

fn text(raw: &[c_char]) -> String {
    let bytes: Vec<u8> = raw.iter().map(|&c| c as u8).take_while(|&c| c != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What is wanted of a port.
#[derive(Debug, Clone, Copy)]
pub struct PortConfig<'a> {
    /// One a worker; a port that has fewer gets what it has.
    pub rx_queues: u16,
    pub tx_queues: u16,
    /// Absent: the driver's own.
    pub mtu: Option<u16>,
    /// Absent: the device's own.
    pub mac: Option<[u8; 6]>,
    /// Descriptors a queue, brought within the driver's limits.
    pub rx_descriptors: u16,
    pub tx_descriptors: u16,
    /// Receive what is for other MAC addresses, too.
    pub promiscuous: bool,
    /// Tags that frames may come with.
    pub vlans: &'a [u16],
    /// Receive every multicast (VRRP, neighbour discovery).
    pub allmulticast: bool,
    /// Send chains as they are, where the driver can. Without, some drivers transmit faster, and [`TxQueue::send`]
    /// makes frames contiguous first.
    pub tx_chains: bool,
    /// Spread what arrives over several queues by RSS with this key, where the driver can; absent: as the device likes.
    pub rss_key: Option<Key>,
    /// Offloads beyond what a port needs anyway, used where the driver has them: `dpdk_sys::PX_RX_`, `PX_TX_`.
    pub rx_offloads: u32,
    pub tx_offloads: u32,
}

impl PortConfig<'_> {
    /// `queues` queues each way, everything else as most ports have it.
    pub fn new(queues: u16) -> Self {
        Self {
            rx_queues: queues,
            tx_queues: queues,
            mtu: None,
            mac: None,
            // At 14.88 Mpps, 70 microseconds of arrivals: a worker looks more often than that.
            rx_descriptors: 1024,
            tx_descriptors: 1024,
            promiscuous: false,
            vlans: &[],
            allmulticast: true,
            tx_chains: true,
            rss_key: None,
            rx_offloads: 0,
            tx_offloads: 0,
        }
    }

    fn vlan_filter(&self, info: &PortInfo) -> u32 {
        if self.vlans.is_empty() || !drivers::drops_vlans(&info.driver) { 0 } else { dpdk_sys::PX_RX_VLAN_FILTER }
    }

    /// What DPDK is asked for: no more queues than there are, chains where they are needed and offered.
    fn plan(&self, info: &PortInfo, room: usize) -> Result<px_port_config, PortError> {
        let rx_queues = self.rx_queues.min(info.rx_queues_max);
        let tx_queues = self.tx_queues.min(info.tx_queues_max);
        if rx_queues == 0 || tx_queues == 0 {
            return Err(PortError::NoQueues { device: info.name.clone() });
        }
        if let Some(mtu) = self.mtu.filter(|&mtu| mtu > info.mtu_max) {
            return Err(PortError::MtuTooLarge { device: info.name.clone(), mtu, max: info.mtu_max });
        }
        let chains = if self.tx_chains { dpdk_sys::PX_TX_MULTI_SEGS } else { 0 };
        let mut rx_wanted = self.rx_offloads | self.vlan_filter(info);
        // Chains only where a frame may need more than one buffer: many drivers receive slower when told to scatter.
        if usize::from(self.mtu.unwrap_or(info.mtu)) + FRAME_OVERHEAD > room {
            rx_wanted |= dpdk_sys::PX_RX_SCATTER;
        }
        Ok(px_port_config {
            rx_queues,
            tx_queues,
            mtu: self.mtu.map_or(0, |mtu| mtu.max(info.mtu_min)),
            rx_offloads: rx_wanted & info.rx_offloads,
            tx_offloads: (self.tx_offloads & !dpdk_sys::PX_TX_MULTI_SEGS | chains) & info.tx_offloads,
            ..px_port_config::default()
        })
    }
}

/// What a port became.
#[derive(Debug)]
pub struct PortState {
    /// As many as the port has, at most as many as asked for.
    pub rx: Vec<RxQueue>,
    pub tx: Vec<TxQueue>,
    /// What the data path answers for: the wanted MAC address, or the device's own.
    pub mac: [u8; 6],
    /// The driver refused the MAC address: the port is promiscuous and the data path must filter.
    pub mac_in_software: bool,
    pub mtu: u16,
    /// The driver refused the MTU: the data path must check lengths.
    pub mtu_in_software: bool,
    /// The driver was told to receive everything. One that cannot be told has no filter.
    pub promiscuous: bool,
    pub rx_descriptors: u16,
    pub tx_descriptors: u16,
    /// Chains are sent as they are; otherwise [`TxQueue::send`] makes frames contiguous first.
    pub tx_chains: bool,
    /// What RSS hashes, `dpdk_sys::PX_RSS_`; 0: it is off.
    pub rss_fields: u32,
    /// The offloads that are on.
    pub rx_offloads: u32,
    pub tx_offloads: u32,
}

/// A port's link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    pub up: bool,
    /// 0: unknown.
    pub speed_mbps: u32,
    pub full_duplex: bool,
    pub autonegotiated: bool,
}

/// A port's own counters, since its start or the last reset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PortStats {
    pub rx_packets: u64,
    pub tx_packets: u64,
    pub rx_bytes: u64,
    pub tx_bytes: u64,
    /// Dropped by the device because its queues were full.
    pub rx_missed: u64,
    pub rx_errors: u64,
    /// Times there was no mbuf to receive into.
    pub rx_no_mbuf: u64,
    pub tx_errors: u64,
}

/// The open ports: a second owner of a port would hand out its queues a second time.
static OPEN: Mutex<Vec<u16>> = Mutex::new(Vec::new());

/// An open port: closed when the last of its owners, [`Port`] and the queues, is gone.
#[derive(Debug)]
pub(super) struct OpenPort {
    id: u16,
    /// What its queues receive into, once configured; goes after the port is closed, which gives mbufs back.
    pool: OnceLock<Arc<Pool>>,
    _running: Arc<Running>,
}

impl OpenPort {
    /// `None` when the port is open already.
    fn new(id: u16, running: Arc<Running>) -> Option<Self> {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if open.contains(&id) {
            return None;
        }
        open.push(id);
        Some(Self { id, pool: OnceLock::new(), _running: running })
    }

    pub(super) fn id(&self) -> u16 {
        self.id
    }
}

impl Drop for OpenPort {
    fn drop(&mut self) {
        // SAFETY: no queue is left, so no thread is in a burst; the control functions are ours alone.
        let _ = log::kept(|| unsafe {
            dpdk_sys::px_port_stop(self.id);
            dpdk_sys::px_port_close(self.id)
        });
        OPEN.lock().unwrap_or_else(PoisonError::into_inner).retain(|&id| id != self.id);
    }
}

/// A device that DPDK drives. Closing it gives it up for the rest of the process: DPDK does not probe it again.
#[derive(Debug)]
pub struct Port {
    open: Arc<OpenPort>,
    info: PortInfo,
    /// Receive queues, and the fields RSS hashes.
    configured: (u16, u32),
}

impl Port {
    /// Opens the port of a device: a PCI address (the domain may be left out) or a vdev's name.
    pub fn open(eal: &Eal, device: &str) -> Result<Self, PortError> {
        let not_found = || PortError::NotFound { device: device.to_owned(), hint: missing(eal, device) };
        let name = CString::new(device::full_pci_address(device).unwrap_or_else(|| device.to_owned()));
        let name = name.map_err(|_| not_found())?;
        // SAFETY: EAL is up; `name` is zero-terminated.
        let id = unsafe { dpdk_sys::px_port_find(name.as_ptr()) };
        let id = u16::try_from(id).map_err(|_| not_found())?;
        let info = PortInfo::read(id).map_err(|error| refused(device, "be asked what it can do", error, ""))?;
        let in_use = || PortError::InUse { device: device.to_owned() };
        let open = OpenPort::new(id, eal.running()).ok_or_else(in_use)?;
        Ok(Self { open: Arc::new(open), info, configured: (0, 0) })
    }

    /// What the driver said when the port was opened.
    pub fn info(&self) -> &PortInfo {
        &self.info
    }

    /// Sets the port up and gives out its queues, once; [`Port::start`] then lets frames in.
    pub fn configure(&mut self, config: &PortConfig<'_>, mempool: &Mempool) -> Result<PortState, PortError> {
        let pool = mempool.pool();
        let room = pool.room();
        if self.open.pool.set(pool).is_err() {
            return Err(PortError::Configured { device: self.info.name.clone() });
        }
        let raw = self.set_up(config.plan(&self.info, room)?, config.rss_key.as_ref())?;
        let id = self.open.id;
        self.configured = (raw.rx_queues, raw.rss.fields);
        let (rx_descriptors, tx_descriptors) = self.set_up_queues(config, &raw)?;
        let (mtu, mtu_in_software) = self.set_mtu(config.mtu)?;
        let (mac, mac_in_software) = self.set_mac(config.mac);
        let is_deaf = config.vlan_filter(&self.info) != 0 && !self.admit_vlans(config.vlans);
        let promiscuous = (config.promiscuous || mac_in_software || is_deaf) && self.promiscuous_on();
        if config.allmulticast {
            // SAFETY: EAL is up and the port open. A driver that cannot be told has no filter.
            log::kept(|| unsafe { dpdk_sys::px_port_allmulticast_on(id) });
        }
        let announced = raw.tx_offloads & dpdk_sys::PX_TX_MULTI_SEGS != 0;
        let tx_chains = config.tx_chains && (announced || drivers::sends_chains(&self.info.driver));
        Ok(PortState {
            rx: (0..raw.rx_queues).map(|queue| RxQueue::new(Arc::clone(&self.open), queue)).collect(),
            tx: (0..raw.tx_queues).map(|queue| TxQueue::new(Arc::clone(&self.open), queue, tx_chains)).collect(),
            mac,
            mac_in_software,
            mtu,
            mtu_in_software,
            promiscuous,
            rx_descriptors,
            tx_descriptors,
            tx_chains,
            rss_fields: raw.rss.fields,
            rx_offloads: raw.rx_offloads,
            tx_offloads: raw.tx_offloads,
        })
    }

    /// Lets frames in. It is stopped by dropping it and all its queues.
    pub fn start(&self) -> Result<(), PortError> {
        // SAFETY: EAL is up and the port open; DPDK refuses a port that is not configured.
        self.attempt("be started", || unsafe { dpdk_sys::px_port_start(self.open.id) })
    }

    /// Has the packets of each slot delivered to its queue, as far as the started port can; to be called again when slots
    /// have moved.
    pub fn steer(&self, key: &Key, queue_of_slot: &QueueOfSlot) -> Spread {
        match self.configured {
            (..=1, _) => Spread::OneQueue,
            (_, 0) => Spread::NoRss,
            (_, fields) if !self.has_rss_key(fields, key) => Spread::OtherKey,
            _ if !self.set_reta(queue_of_slot) => Spread::OtherTable,
            _ => Spread::BySlot,
        }
    }

    /// Whether the port hashes with this key; one that did not take it when it was configured is told again.
    fn has_rss_key(&self, fields: u32, key: &Key) -> bool {
        let wanted = rss::with_key(fields, key, self.info.hash_key_size);
        // one that cannot be asked has what it was configured with
        let has_it = || self.rss().map_or(wanted.key_size > 0, |rss| rss::has_key(&rss, key));
        // SAFETY: EAL is up and the port open; `wanted` is read during the call.
        has_it() || log::kept(|| unsafe { dpdk_sys::px_port_set_rss(self.open.id, &wanted) }).0 == 0 && has_it()
    }

    fn rss(&self) -> Option<px_rss> {
        let mut raw = px_rss::default();
        // SAFETY: EAL is up and the port open; writes only `raw`.
        (log::kept(|| unsafe { dpdk_sys::px_port_rss(self.open.id, &mut raw) }).0 == 0).then_some(raw)
    }

    fn set_reta(&self, queue_of_slot: &QueueOfSlot) -> bool {
        let (id, table) = (self.open.id, rss::table(queue_of_slot, self.info.reta_size));
        // SAFETY: EAL is up and the port open; as many entries as said are read during the call.
        let set = || unsafe { dpdk_sys::px_port_set_reta(id, table.as_ptr(), table.len() as u16) };
        !table.is_empty() && log::kept(set).0 == 0 && self.reta().is_none_or(|reta| reta == table)
    }

    /// The queue of each entry of the redirection table, where the driver tells.
    pub fn reta(&self) -> Option<Vec<u16>> {
        let size = self.info.reta_size.min(dpdk_sys::PX_RETA_SIZE as u16);
        let mut table = vec![0; usize::from(size)];
        // SAFETY: EAL is up and the port open; writes `size` entries.
        let ask = || unsafe { dpdk_sys::px_port_reta(self.open.id, table.as_mut_ptr(), size) };
        (size > 0 && log::kept(ask).0 == 0).then_some(table)
    }

    pub fn link(&self) -> Result<Link, PortError> {
        let mut raw = px_link::default();
        // SAFETY: EAL is up and the port open; writes only `raw`.
        self.attempt("tell its link", || unsafe { dpdk_sys::px_port_link(self.open.id, &mut raw) })?;
        Ok(Link {
            up: raw.up != 0,
            speed_mbps: raw.speed_mbps,
            full_duplex: raw.full_duplex != 0,
            autonegotiated: raw.autonegotiated != 0,
        })
    }

    pub fn stats(&self) -> Result<PortStats, PortError> {
        let mut raw = px_port_stats::default();
        // SAFETY: EAL is up and the port open; writes only `raw`.
        self.attempt("tell its counters", || unsafe { dpdk_sys::px_port_stats(self.open.id, &mut raw) })?;
        Ok(PortStats {
            rx_packets: raw.rx_packets,
            tx_packets: raw.tx_packets,
            rx_bytes: raw.rx_bytes,
            tx_bytes: raw.tx_bytes,
            rx_missed: raw.rx_missed,
            rx_errors: raw.rx_errors,
            rx_no_mbuf: raw.rx_no_mbuf,
            tx_errors: raw.tx_errors,
        })
    }

    pub fn reset_stats(&self) -> Result<(), PortError> {
        // SAFETY: EAL is up and the port open.
        self.attempt("reset its counters", || unsafe { dpdk_sys::px_port_stats_reset(self.open.id) })
    }

    /// Configures the port with the best RSS that its driver takes, and says what that was.
    fn set_up(&self, mut raw: px_port_config, key: Option<&Key>) -> Result<px_port_config, PortError> {
        let id = self.open.id;
        let attempts = rss::attempts(self.info.rss_fields, key, self.info.hash_key_size, raw.rx_queues);
        let mut outcome = Ok(());
        for attempt in attempts {
            raw.rss = attempt;
            if attempt.fields == 0 {
                raw.rx_offloads &= !dpdk_sys::PX_RX_RSS_HASH;
            }
            // SAFETY: EAL is up and the port open; `raw` is read during the call.
            outcome = self.attempt("be configured", || unsafe { dpdk_sys::px_port_configure(id, &raw) });
            if outcome.is_ok() {
                break;
            }
        }
        outcome.map(|()| raw)
    }

    fn set_up_queues(&self, config: &PortConfig<'_>, raw: &px_port_config) -> Result<(u16, u16), PortError> {
        let id = self.open.id;
        let (mut rx, mut tx) = (config.rx_descriptors, config.tx_descriptors);
        // SAFETY: EAL is up and the port open, here and below; writes only the two numbers.
        self.attempt("say how many descriptors it takes", || unsafe {
            dpdk_sys::px_port_adjust_descriptors(id, &mut rx, &mut tx)
        })?;
        let pool = self.open.pool.get().map_or(std::ptr::null_mut(), |pool| pool.raw());
        for queue in 0..raw.rx_queues {
            // SAFETY: as above; the pool lives as long as the open port.
            self.attempt("set up a receive queue", || unsafe { dpdk_sys::px_rx_queue_setup(id, queue, rx, pool) })?;
        }
        for queue in 0..raw.tx_queues {
            // SAFETY: as above.
            self.attempt("set up a transmit queue", || unsafe { dpdk_sys::px_tx_queue_setup(id, queue, tx) })?;
        }
        Ok((rx, tx))
    }

    /// The MTU in force and whether software must see to it.
    fn set_mtu(&self, wanted: Option<u16>) -> Result<(u16, bool), PortError> {
        let id = self.open.id;
        // SAFETY: EAL is up and the port open.
        let (result, detail) = log::kept(|| wanted.map_or(0, |mtu| unsafe { dpdk_sys::px_port_set_mtu(id, mtu) }));
        let device_mtu = PortInfo::read(id).map_or(self.info.mtu, |info| info.mtu);
        match (wanted, result) {
            (None, _) => Ok((device_mtu, false)),
            (Some(mtu), 0) => Ok((mtu, false)),
            // It has no such function: it carries what its buffers hold.
            (Some(mtu), error) if error == -libc::ENOTSUP => Ok((mtu, true)),
            // It carries more than wanted: less is a matter of checking.
            (Some(mtu), _) if mtu <= device_mtu => Ok((mtu, true)),
            (Some(_), error) => Err(refused(&self.info.name, "take the MTU", error, &detail)),
        }
    }

    /// The MAC address in force and whether software must filter for it.
    fn set_mac(&self, wanted: Option<[u8; 6]>) -> ([u8; 6], bool) {
        let Some(mac) = wanted.filter(|&mac| mac != self.info.mac) else { return (self.info.mac, false) };
        // SAFETY: EAL is up and the port open; six bytes are read during the call.
        let (result, _) = log::kept(|| unsafe { dpdk_sys::px_port_set_mac(self.open.id, mac.as_ptr()) });
        (mac, result != 0)
    }

    /// Whether frames of all these VLANs will come.
    fn admit_vlans(&self, vlans: &[u16]) -> bool {
        // SAFETY: EAL is up and the port open; DPDK refuses a port that does not filter.
        vlans.iter().all(|&vlan| log::kept(|| unsafe { dpdk_sys::px_port_admit_vlan(self.open.id, vlan) }).0 == 0)
    }

    fn promiscuous_on(&self) -> bool {
        // SAFETY: EAL is up and the port open.
        log::kept(|| unsafe { dpdk_sys::px_port_promiscuous_on(self.open.id) }).0 == 0
    }

    fn attempt(&self, what: &'static str, call: impl FnOnce() -> i32) -> Result<(), PortError> {
        match log::kept(call) {
            (0, _) => Ok(()),
            (error, detail) => Err(refused(&self.info.name, what, error, &detail)),
        }
    }
}

#[cold]
fn refused(device: &str, what: &'static str, error: i32, log: &str) -> PortError {
    let last = log.lines().map(str::trim).rfind(|line| !line.is_empty());
    let detail = last.map(|line| format!(" (DPDK says: {line})")).unwrap_or_default();
    PortError::Refused { device: device.to_owned(), what, reason: log::error_text(error), detail }
}

/// The devices that DPDK drives.
pub fn list(_eal: &Eal) -> Vec<PortInfo> {
    // More than DPDK's bound on ports in any usual build (32).
    let mut ids = [0_u16; 256];
    // SAFETY: EAL is up; writes at most `ids.len()` ids.
    let count = unsafe { dpdk_sys::px_port_list(ids.as_mut_ptr(), ids.len() as u32) } as usize;
    ids[..count].iter().filter_map(|&id| PortInfo::read(id).ok()).collect()
}

/// Why there is no such port, and what to type.
#[cold]
fn missing(eal: &Eal, device: &str) -> String {
    let found: Vec<String> = list(eal).iter().map(|info| format!("{} ({})", info.name, info.driver)).collect();
    let hint = device::missing_hint(device, eal.start_errors(), Path::new(device::PCI_DEVICES));
    match found.is_empty() {
        true => format!("{hint}; DPDK drives no device"),
        false => format!("{hint}; DPDK drives {}", found.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> PortInfo {
        PortInfo {
            name: "net_test0".into(),
            rx_queues_max: 4,
            tx_queues_max: 2,
            mtu: 1500,
            mtu_min: 68,
            mtu_max: 3000,
            rx_offloads: dpdk_sys::PX_RX_SCATTER | dpdk_sys::PX_RX_IPV4_CKSUM,
            tx_offloads: dpdk_sys::PX_TX_MULTI_SEGS,
            ..PortInfo::from(&px_port_info::default())
        }
    }

    #[test]
    fn a_port_gets_no_more_queues_than_it_has_and_at_least_one() {
        let plan = PortConfig::new(8).plan(&info(), 2048).unwrap();
        assert_eq!((plan.rx_queues, plan.tx_queues), (4, 2));
        let none = PortConfig::new(8).plan(&PortInfo { tx_queues_max: 0, ..info() }, 2048);
        assert!(matches!(none, Err(PortError::NoQueues { .. })));
    }

    #[test]
    fn an_mtu_beyond_the_devices_is_refused_with_the_largest_and_one_below_is_left_to_software() {
        let wanted = |mtu| PortConfig { mtu: Some(mtu), ..PortConfig::new(1) }.plan(&info(), 2048);
        assert!(wanted(3001).unwrap_err().to_string().contains("mtu = 3000"));
        assert_eq!(wanted(3000).unwrap().mtu, 3000);
        assert_eq!(wanted(60).unwrap().mtu, 68);
        assert_eq!(PortConfig::new(1).plan(&info(), 2048).unwrap().mtu, 0);
    }

    #[test]
    fn vlans_are_filtered_by_drivers_alone_that_let_none_in_otherwise() {
        let of = |driver: &str| PortInfo { driver: driver.into(), ..info() };
        let filters = |driver, vlans| PortConfig { vlans, ..PortConfig::new(1) }.vlan_filter(&of(driver)) != 0;
        assert!(filters("net_virtio", &[100]) && !filters("net_virtio", &[]) && !filters("net_ixgbe", &[100]));
    }

    #[test]
    fn frames_are_scattered_only_when_one_may_not_fit_its_buffer() {
        let scatters = |mtu, room| {
            let plan = PortConfig { mtu: Some(mtu), ..PortConfig::new(1) }.plan(&info(), room).unwrap();
            plan.rx_offloads & dpdk_sys::PX_RX_SCATTER != 0
        };
        assert!(!scatters(1500, 2048) && scatters(3000, 2048) && !scatters(3000, 4096));
    }

    #[test]
    fn only_offloads_that_the_driver_has_are_asked_for() {
        let wanted = PortConfig { rx_offloads: u32::MAX, tx_offloads: u32::MAX, ..PortConfig::new(1) };
        let plan = wanted.plan(&info(), 2048).unwrap();
        assert_eq!((plan.rx_offloads, plan.tx_offloads), (info().rx_offloads, info().tx_offloads));
        assert_eq!(PortConfig::new(1).plan(&info(), 2048).unwrap().tx_offloads, dpdk_sys::PX_TX_MULTI_SEGS);
    }
}

//! What a configuration needs of the machine, and what `run` would refuse before it touches a device.

use crate::control::api::server::could_bind;
use crate::control::config::Config;
use crate::control::run::{cores, memory};
use crate::io::arguments::{self, EalConfig};
use crate::io::device::full_pci_address;
use crate::io::eal;
use std::path::Path;

/// A configuration's needs.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub dpdk_version: String,
    pub no_huge: bool,
    pub no_pci: bool,
    /// DPDK keeps huge pages to itself and needs no hugetlbfs.
    pub in_memory: bool,
    /// `-d`: drivers from elsewhere.
    pub own_drivers: bool,
    /// `-m`, in bytes.
    pub memory_given: Option<u64>,
    /// Packet buffers: without them `run` fails.
    pub pool_bytes: u64,
    /// All that DPDK is best given.
    pub dpdk_bytes: u64,
    /// Connection tables, when full.
    pub table_bytes: u64,
    pub devices: Vec<Device>,
    /// `[dpdk] eal_args`, and what they say of virtual devices and `--huge-dir`.
    pub arguments: Vec<String>,
    pub vdevs: Vec<Vdev>,
    pub huge_dir: Option<String>,
    /// `-a` and `-b` with PCI addresses.
    pub allowed: Vec<String>,
    pub blocked: Vec<String>,
    /// The core of each worker.
    pub cores: Vec<usize>,
    pub spins: bool,
    /// What `run` says no to by itself, and what to do.
    pub refusals: Vec<(String, String)>,
}

/// The device of a `[[port]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    Pci(String),
    Virtual(String),
}

/// What follows `--vdev`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vdev {
    pub name: String,
    arguments: Vec<(String, String)>,
}

impl Vdev {
    fn parse(text: &str) -> Self {
        let mut parts = text.split(',');
        let name = parts.next().unwrap_or_default().to_owned();
        let pair = |part: &str| {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            (key.to_owned(), value.to_owned())
        };
        Self { name, arguments: parts.map(pair).collect() }
    }

    pub fn argument(&self, key: &str) -> Option<&str> {
        self.arguments.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// `net_af_packet` of `net_af_packet0`, and of the alias `eth_af_packet0`.
    pub fn driver(&self) -> &str {
        const ALIASES: [(&str, &str); 4] = [
            ("eth_af_packet", "net_af_packet"),
            ("virtio_user", "net_virtio_user"),
            ("eth_pcap", "net_pcap"),
            ("eth_ring", "net_ring"),
        ];
        let name = self.name.trim_end_matches(|c: char| c.is_ascii_digit());
        ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, name)| name)
    }

    /// The library that has it: `net_virtio` for virtio-user.
    pub fn library(&self) -> &str {
        match self.driver() {
            "net_virtio_user" => "net_virtio",
            "net_bonding" => "net_bond",
            other => other,
        }
    }
}

impl Wanted {
    /// Asks what `run` itself would ask, short of starting DPDK.
    pub fn of(config: &Config, socket: &Path) -> Self {
        let mut wanted = Self { dpdk_version: eal::version(), ..Self::of_arguments(config) };
        match cores(config) {
            Ok(cores) => wanted.size(config, &cores, socket),
            Err(error) => wanted.refuse(error.to_string(), "taskset -pc $$   # says which cores this shell may use"),
        }
        if let Err(error) = could_bind(socket) {
            wanted.refuse(error.to_string(), "as it says; `--socket PATH` is taken by every verb");
        }
        wanted
    }

    fn size(&mut self, config: &Config, cores: &[usize], socket: &Path) {
        let workers = cores.len();
        let frames = memory::frames(config, workers);
        self.pool_bytes = u64::from(frames) * memory::BUFFER_BYTES as u64;
        self.dpdk_bytes = (memory::dpdk_mb(config, workers) as u64) << 20;
        self.table_bytes = memory::table_bytes(config, workers);
        self.cores = cores.to_vec();
        let eal_config = EalConfig {
            eal_args: &config.dpdk.eal_args,
            cores,
            socket,
            secondary: config.dpdk.secondary,
            memory_mb: memory::dpdk_mb(config, workers),
        };
        if let Err(error) = eal::check(&eal_config) {
            self.refuse(error.to_string(), "correct the configuration");
        }
        if let Err(error) = memory::check_room(config, workers) {
            self.refuse(error.to_string(), "correct the configuration, or free memory");
        }
    }

    /// What the arguments for DPDK and the ports say.
    pub(super) fn of_arguments(config: &Config) -> Self {
        let arguments = &config.dpdk.eal_args;
        let vdevs: Vec<Vdev> = values(arguments, "--vdev", "").map(Vdev::parse).collect();
        let pci = |long, letter| values(arguments, long, letter).filter_map(pci_of).collect();
        let memory = values(arguments, "--memory-size", "-m").find_map(|mb| mb.parse::<u64>().ok());
        let mut devices: Vec<Device> = vec![];
        for port in &config.ports {
            let device = match full_pci_address(&port.device) {
                Some(address) => Device::Pci(address),
                None => Device::Virtual(port.device.clone()),
            };
            // a port a VLAN
            if !devices.contains(&device) {
                devices.push(device);
            }
        }
        Self {
            no_huge: arguments::gives_no_huge(arguments),
            no_pci: arguments.iter().any(|argument| argument == "--no-pci"),
            in_memory: arguments.iter().any(|argument| argument == "--in-memory"),
            own_drivers: values(arguments, "--driver-path", "-d").next().is_some(),
            memory_given: memory.map(|mb| mb << 20),
            devices,
            vdevs,
            huge_dir: values(arguments, "--huge-dir", "").next().map(str::to_owned),
            arguments: arguments.clone(),
            allowed: pci("--allow", "-a"),
            blocked: pci("--block", "-b"),
            spins: config.workers.idle == crate::control::config::Idle::Spin,
            ..Self::default()
        }
    }

    fn refuse(&mut self, message: String, fix: &str) {
        self.refusals.push((message, fix.to_owned()));
    }

    pub fn pci(&self) -> impl Iterator<Item = &str> {
        self.devices.iter().filter_map(|device| match device {
            Device::Pci(address) => Some(address.as_str()),
            Device::Virtual(_) => None,
        })
    }
}

fn pci_of(text: &str) -> Option<String> {
    full_pci_address(text.split(',').next()?)
}

/// What is given to an option: `--long value`, `--long=value`, `-l value`, `-lvalue`.
fn values<'a>(arguments: &'a [String], long: &'a str, letter: &'a str) -> impl Iterator<Item = &'a str> {
    arguments.iter().enumerate().filter_map(move |(at, argument)| {
        let next = || arguments.get(at + 1).map(String::as_str);
        if argument == long || !letter.is_empty() && argument == letter {
            return next();
        }
        let joined = argument.strip_prefix(long).and_then(|rest| rest.strip_prefix('='));
        let is_letter = !letter.is_empty() && !argument.starts_with("--");
        joined.or_else(|| argument.strip_prefix(letter).filter(|_| is_letter))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_options_are_found_in_each_of_their_spellings() {
        let arguments =
            ["--vdev", "net_null0", "-a01:00.0", "--vdev=net_tap0,iface=x", "-a", "02:00.0", "--allow=03:00.0"];
        let arguments = arguments.map(str::to_owned);
        assert_eq!(values(&arguments, "--vdev", "").collect::<Vec<_>>(), ["net_null0", "net_tap0,iface=x"]);
        assert_eq!(values(&arguments, "--allow", "-a").collect::<Vec<_>>(), ["01:00.0", "02:00.0", "03:00.0"]);
        assert_eq!(values(&arguments, "--memory-size", "-m").count(), 0);
    }

    #[test]
    fn a_vdev_is_taken_apart() {
        let vdev = Vdev::parse("net_af_packet12,iface=eth1,qpairs=2");
        assert_eq!(
            (vdev.driver(), vdev.library(), vdev.argument("iface")),
            ("net_af_packet", "net_af_packet", Some("eth1"))
        );
        let vdev = Vdev::parse("virtio_user0,path=/dev/vhost-net");
        assert_eq!((vdev.driver(), vdev.library(), vdev.argument("iface")), ("net_virtio_user", "net_virtio", None));
    }
}

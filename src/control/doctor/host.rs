//! Facts about the machine, read from `/proc` and `/sys` below any root, so that tests can make machines up.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The machine.
#[derive(Clone, Debug, Default)]
pub struct Host {
    pub is_root: bool,
    /// Of this process: bits as in capabilities(7).
    pub capabilities: u64,
    /// Bytes this process may lock; absent: as many as it likes.
    pub memlock: Option<u64>,
    /// What the kernel could give away, without huge pages.
    pub available: u64,
    /// All there is, with swap.
    pub total: u64,
    pub huge_pages: Vec<HugePages>,
    /// Where it is mounted.
    pub hugetlbfs: Vec<String>,
    pub has_vfio: bool,
    pub has_iommu: bool,
    /// vfio may be used without an IOMMU.
    pub has_noiommu_mode: bool,
    pub nics: Vec<Nic>,
    pub interfaces: Vec<Interface>,
    pub cores: Vec<Core>,
    pub clock_source: Option<String>,
    /// Constant, and running in every sleep state.
    pub tsc_is_steady: bool,
    /// Folders with DPDK's drivers, and what they have: `net_ixgbe`.
    pub driver_folders: Vec<PathBuf>,
    pub drivers: BTreeSet<String>,
    pub has_tun: bool,
}

/// Of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HugePages {
    pub size: u64,
    pub total: u64,
    pub free: u64,
}

/// A network card on the PCI bus.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nic {
    pub address: String,
    pub vendor: u16,
    pub device: u16,
    pub driver: Option<String>,
    pub node: Option<u32>,
    pub iommu_group: Option<String>,
    /// Others in its IOMMU group, bridges left out, with their drivers.
    pub mates: Vec<(String, Option<String>)>,
    pub interfaces: Vec<String>,
}

/// A network interface of the kernel's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    pub name: String,
    /// Absent: sysfs is another network namespace's.
    pub is_up: Option<bool>,
    pub has_carrier: bool,
    pub mtu: Option<u32>,
    pub queues: usize,
    /// The kernel has an address or a route on it.
    pub is_used: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Core {
    pub id: usize,
    pub node: Option<u32>,
    pub is_isolated: bool,
    /// Hyper-threads of the same core, itself included.
    pub siblings: Vec<usize>,
}

impl Host {
    /// Reads everything below `root`, which is `/` but in tests. What cannot be read is as if it were not there.
    pub fn gather(root: &Path) -> Self {
        let proc = Tree(root.join("proc"));
        let sys = Tree(root.join("sys"));
        let status = proc.text("self/status");
        let meminfo = proc.text("meminfo");
        let kib = |key: &str| field(&meminfo, key).and_then(first_number).unwrap_or(0);
        let cpuinfo = proc.text("cpuinfo");
        let flags = field(&cpuinfo, "flags").unwrap_or_default();
        let has_flag = |flag: &str| flags.split_whitespace().any(|word| word == flag);
        let driver_folders = driver_folders(root);
        Self {
            is_root: field(&status, "Uid").is_some_and(|ids| ids.split_whitespace().nth(1) == Some("0")),
            capabilities: field(&status, "CapEff").and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or(0),
            memlock: memlock(&proc.text("self/limits")),
            available: kib("MemAvailable") * 1024,
            total: (kib("MemTotal") + kib("SwapTotal")) * 1024,
            huge_pages: huge_pages(&sys),
            hugetlbfs: hugetlbfs(&proc.text("mounts")),
            has_vfio: sys.exists("bus/pci/drivers/vfio-pci"),
            has_iommu: !sys.names("kernel/iommu_groups").is_empty(),
            has_noiommu_mode: sys.text("module/vfio/parameters/enable_unsafe_noiommu_mode").trim() == "Y",
            nics: nics(&sys),
            interfaces: interfaces(&proc, &sys),
            cores: cores(&sys),
            clock_source: sys.line("devices/system/clocksource/clocksource0/current_clocksource"),
            // other architectures have no such flags, and counters that are steady
            tsc_is_steady: flags.is_empty() || has_flag("constant_tsc") && has_flag("nonstop_tsc"),
            drivers: driver_folders
                .iter()
                .flat_map(|folder| Tree(folder.clone()).names("."))
                .filter_map(driver)
                .collect(),
            driver_folders,
            has_tun: root.join("dev/net/tun").exists(),
        }
    }

    pub fn nic(&self, address: &str) -> Option<&Nic> {
        self.nics.iter().find(|nic| nic.address == address)
    }

    pub fn interface(&self, name: &str) -> Option<&Interface> {
        self.interfaces.iter().find(|interface| interface.name == name)
    }

    pub fn core(&self, id: usize) -> Option<&Core> {
        self.cores.iter().find(|core| core.id == id)
    }

    /// Bytes in free huge pages.
    pub fn huge_bytes_free(&self) -> u64 {
        self.huge_pages.iter().map(|pages| pages.size * pages.free).sum()
    }
}

/// A folder of small files.
struct Tree(PathBuf);

impl Tree {
    /// Empty when it cannot be read.
    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.0.join(path)).unwrap_or_default()
    }

    fn line(&self, path: &str) -> Option<String> {
        let text = self.text(path);
        Some(text.trim().to_owned()).filter(|line| !line.is_empty())
    }

    fn number(&self, path: &str) -> Option<u64> {
        self.line(path)?.parse().ok()
    }

    fn hex(&self, path: &str) -> Option<u64> {
        u64::from_str_radix(self.line(path)?.trim_start_matches("0x"), 16).ok()
    }

    fn exists(&self, path: &str) -> bool {
        self.0.join(path).exists()
    }

    /// Of what is in a folder, sorted.
    fn names(&self, path: &str) -> Vec<String> {
        let entries = fs::read_dir(self.0.join(path)).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Where a link leads: its last part.
    fn link(&self, path: &str) -> Option<String> {
        let target = fs::read_link(self.0.join(path)).ok()?;
        Some(target.file_name()?.to_string_lossy().into_owned())
    }
}

/// The value of `key: value`.
fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.find(|(name, _)| name.trim() == key).map(|(_, value)| value.trim())
}

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

/// The soft limit.
fn memlock(limits: &str) -> Option<u64> {
    let line = limits.lines().find(|line| line.starts_with("Max locked memory"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

fn hugetlbfs(mounts: &str) -> Vec<String> {
    let lines = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    lines.filter(|words| words.get(2) == Some(&"hugetlbfs")).map(|words| words[1].to_owned()).collect()
}

fn huge_pages(sys: &Tree) -> Vec<HugePages> {
    const FOLDER: &str = "kernel/mm/hugepages";
    let of_size = |name: String| {
        let kib: u64 = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
        let count = |what: &str| sys.number(&format!("{FOLDER}/{name}/{what}"));
        Some(HugePages { size: kib << 10, total: count("nr_hugepages")?, free: count("free_hugepages")? })
    };
    sys.names(FOLDER).into_iter().filter_map(of_size).collect()
}

/// PCI base class 02, as `lspci` has it.
const NETWORK: u64 = 0x02;
/// Bridges may stay in a group whatever drives them.
const BRIDGE: u64 = 0x06;

fn nics(sys: &Tree) -> Vec<Nic> {
    let addresses = sys.names("bus/pci/devices").into_iter();
    addresses.filter(|address| class(sys, address) == Some(NETWORK)).map(|address| nic(sys, address)).collect()
}

fn class(sys: &Tree, address: &str) -> Option<u64> {
    sys.hex(&format!("bus/pci/devices/{address}/class")).map(|class| class >> 16)
}

fn pci_driver(sys: &Tree, address: &str) -> Option<String> {
    sys.link(&format!("bus/pci/devices/{address}/driver"))
}

fn nic(sys: &Tree, address: String) -> Nic {
    let device = format!("bus/pci/devices/{address}");
    let id = |file: &str| sys.hex(&format!("{device}/{file}")).unwrap_or(0) as u16;
    let mates = sys.names(&format!("{device}/iommu_group/devices")).into_iter();
    let mates = mates.filter(|mate| *mate != address && class(sys, mate) != Some(BRIDGE));
    let mut interfaces = sys.names(&format!("{device}/net"));
    // a virtio card has them one level further down
    for below in sys.names(&device).iter().filter(|name| name.starts_with("virtio")) {
        interfaces.extend(sys.names(&format!("{device}/{below}/net")));
    }
    Nic {
        vendor: id("vendor"),
        device: id("device"),
        driver: pci_driver(sys, &address),
        node: node(sys, &format!("{device}/numa_node")),
        iommu_group: sys.link(&format!("{device}/iommu_group")),
        mates: mates.map(|mate| (mate.clone(), pci_driver(sys, &mate))).collect(),
        interfaces,
        address,
    }
}

/// -1 is the kernel's word for a machine without nodes.
fn node(sys: &Tree, path: &str) -> Option<u32> {
    sys.line(path)?.parse().ok()
}

/// Of this process's network namespace, by `/proc`: `/sys` may be another's.
fn interfaces(proc: &Tree, sys: &Tree) -> Vec<Interface> {
    let routes = proc.text("net/route");
    let addresses6 = proc.text("net/if_inet6");
    let routed: BTreeSet<&str> = routes.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    // fe80:: comes by itself and says nothing
    let addressed =
        addresses6.lines().filter(|line| !line.starts_with("fe80")).filter_map(|line| line.split_whitespace().last());
    let used: BTreeSet<&str> = routed.into_iter().chain(addressed).collect();
    let devices = proc.text("net/dev");
    let names = devices.lines().skip(2).filter_map(|line| line.split_once(':')).map(|(name, _)| name.trim());
    names.map(|name| interface(sys, name, used.contains(name))).collect()
}

fn interface(sys: &Tree, name: &str, is_used: bool) -> Interface {
    const UP: u64 = 1;
    let folder = format!("class/net/{name}");
    Interface {
        name: name.to_owned(),
        is_up: sys.hex(&format!("{folder}/flags")).map(|flags| flags & UP != 0),
        has_carrier: sys.number(&format!("{folder}/carrier")) == Some(1),
        mtu: sys.number(&format!("{folder}/mtu")).map(|mtu| mtu as u32),
        queues: sys.names(&format!("{folder}/queues")).iter().filter(|queue| queue.starts_with("rx-")).count(),
        is_used,
    }
}

fn cores(sys: &Tree) -> Vec<Core> {
    const FOLDER: &str = "devices/system/cpu";
    let isolated = list(&sys.text(&format!("{FOLDER}/isolated")));
    let core = |id: usize| {
        let folder = format!("{FOLDER}/cpu{id}");
        let node = sys.names(&folder).iter().find_map(|name| name.strip_prefix("node")?.parse().ok());
        let siblings = list(&sys.text(&format!("{folder}/topology/thread_siblings_list")));
        Core { id, node, is_isolated: isolated.contains(&id), siblings }
    };
    list(&sys.text(&format!("{FOLDER}/online"))).into_iter().map(core).collect()
}

/// `0-2,5` as numbers.
fn list(text: &str) -> Vec<usize> {
    let range = |part: &str| {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        Some(from.trim().parse::<usize>().ok()?..=to.trim().parse().ok()?)
    };
    text.trim().split(',').filter_map(range).flatten().collect()
}

/// Where DPDK's shared libraries look for drivers, by distribution.
fn driver_folders(root: &Path) -> Vec<PathBuf> {
    let mut folders = vec![];
    for base in ["usr/lib", "usr/lib64", "usr/local/lib", "usr/local/lib64"] {
        let base = root.join(base);
        let below = Tree(base.clone()).names(".").into_iter().filter(|name| name.contains("-linux-gnu"));
        let places = std::iter::once(base.clone()).chain(below.map(|triplet| base.join(triplet)));
        for place in places.map(|place| place.join("dpdk")) {
            let plugins = Tree(place.clone()).names(".").into_iter().filter(|name| name.starts_with("pmds-"));
            folders.extend(plugins.map(|name| place.join(name)));
        }
    }
    folders
}

/// `net_ixgbe` of `librte_net_ixgbe.so.23`.
fn driver(file: String) -> Option<String> {
    let name = file.strip_prefix("librte_")?.split(".so").next()?;
    name.starts_with("net_").then(|| name.to_owned())
}

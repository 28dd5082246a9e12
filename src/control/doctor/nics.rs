//! NICs on the PCI bus: which there are, who drives them, and what keeps DPDK from them.

use super::Finding;
use super::host::{Host, Nic};
use super::wanted::Wanted;

const NIC: &str = "nic";
const IOMMU: &str = "iommu";
const DPDK: &str = "dpdk";

/// The kernel's drivers that DPDK has at work for it: such a NIC stays with the kernel.
const SHARED: [&str; 4] = ["mlx5_core", "mlx4_core", "mana", "fsl_enetc"];
/// Drivers that do nothing but hand a device to a program.
const FOR_DPDK: [&str; 3] = ["vfio-pci", "igb_uio", "uio_pci_generic"];

/// PCI vendors and the DPDK drivers for their cards.
const VENDORS: [(u16, &str, &[&str]); 13] = [
    (0x8086, "Intel", &["net_e1000", "net_igc", "net_ixgbe", "net_i40e", "net_ice", "net_iavf", "net_idpf"]),
    (0x15b3, "NVIDIA", &["net_mlx5", "net_mlx4"]),
    (0x15ad, "VMware", &["net_vmxnet3"]),
    (0x1af4, "virtio", &["net_virtio"]),
    (0x1d0f, "Amazon", &["net_ena"]),
    (0x1414, "Microsoft", &["net_mana"]),
    (0x14e4, "Broadcom", &["net_bnxt", "net_bnx2x"]),
    (0x1077, "Marvell", &["net_qede"]),
    (0x1425, "Chelsio", &["net_cxgbe"]),
    (0x1924, "Solarflare", &["net_sfc"]),
    (0x19e5, "Huawei", &["net_hns3", "net_hinic"]),
    (0x1dd8, "Pensando", &["net_ionic"]),
    (0x177d, "Cavium", &["net_thunderx", "net_octeontx", "net_cnxk"]),
];

pub fn findings(host: &Host, wanted: Option<&Wanted>) -> Vec<Finding> {
    let mut findings = vec![];
    if let Some(wanted) = wanted {
        findings.push(drivers(host, wanted));
        findings.extend(iommu(host, wanted));
        for address in wanted.pci() {
            match host.nic(address) {
                Some(nic) => findings.push(wanted_nic(host, wanted, nic)),
                None => findings.push(Finding::fail(
                    NIC,
                    format!("there is no PCI network card {address}"),
                    "lspci -D | grep -i net",
                )),
            }
        }
    }
    let others =
        host.nics.iter().filter(|nic| wanted.is_none_or(|wanted| wanted.pci().all(|used| used != nic.address)));
    findings.extend(others.map(|nic| Finding::ok(NIC, format!("{}, not used here", describe(nic)))));
    findings
}

/// Which DPDK it is, and where its drivers are.
fn drivers(host: &Host, wanted: &Wanted) -> Finding {
    let version = &wanted.dpdk_version;
    if wanted.own_drivers {
        return Finding::ok(DPDK, format!("{version}, drivers as -d says"));
    }
    match host.driver_folders.first() {
        Some(folder) => {
            Finding::ok(DPDK, format!("{version}, {} network drivers in {}", host.drivers.len(), folder.display()))
        }
        None => {
            let message = format!("{version}, whose drivers are in no usual place");
            Finding::warn(DPDK, message, "apt-get install dpdk   # or name their folder with \"-d\" in [dpdk] eal_args")
        }
    }
}

fn describe(nic: &Nic) -> String {
    let vendor = VENDORS.iter().find(|(id, ..)| *id == nic.vendor).map_or("", |(_, name, _)| name);
    let driver = nic.driver.as_deref().unwrap_or("none");
    let node = nic.node.map_or(String::new(), |node| format!(", NUMA node {node}"));
    let interfaces = match nic.interfaces.is_empty() {
        true => String::new(),
        false => format!(", {}", nic.interfaces.join(" ")),
    };
    let id = format!("{:04x}:{:04x}", nic.vendor, nic.device);
    format!("{} {vendor} {id}, driver {driver}{interfaces}{node}", nic.address)
}

fn is_shared(nic: &Nic) -> bool {
    nic.driver.as_deref().is_some_and(|driver| SHARED.contains(&driver))
}

/// A NIC that goes to DPDK by vfio.
fn needs_vfio(nic: &Nic) -> bool {
    !is_shared(nic) && !matches!(nic.driver.as_deref(), Some("igb_uio" | "uio_pci_generic"))
}

fn iommu(host: &Host, wanted: &Wanted) -> Vec<Finding> {
    let mut findings = vec![];
    let needed = wanted.pci().filter_map(|address| host.nic(address)).any(needs_vfio);
    if !needed {
        return findings;
    }
    if !host.has_vfio {
        findings.push(Finding::fail(IOMMU, "the kernel module vfio-pci is not loaded", "sudo modprobe vfio-pci"));
    }
    match (host.has_iommu, host.has_noiommu_mode) {
        (true, _) => findings.push(Finding::ok(IOMMU, "in use")),
        (false, true) => findings.push(Finding::warn(
            IOMMU,
            "none: vfio runs without, and a NIC could write to any memory",
            "on the kernel's command line: intel_iommu=on iommu=pt (Intel) or iommu=pt (AMD), and VT-d or AMD-Vi in the firmware",
        )),
        (false, false) => findings.push(Finding::fail(
            IOMMU,
            "none, and vfio is not told to do without",
            "on the kernel's command line: intel_iommu=on iommu=pt, and VT-d or AMD-Vi in the firmware; in a virtual machine \
             without one: echo Y | sudo tee /sys/module/vfio/parameters/enable_unsafe_noiommu_mode",
        )),
    }
    findings
}

/// The first thing that is in the way of a NIC that the configuration names.
fn wanted_nic(host: &Host, wanted: &Wanted, nic: &Nic) -> Finding {
    let described = describe(nic);
    let bind = format!("sudo scripts/bind-nic.sh bind {}", nic.address);
    let is_for_dpdk = nic.driver.as_deref().is_some_and(|driver| FOR_DPDK.contains(&driver));
    if wanted.no_pci {
        return Finding::fail(
            NIC,
            format!("{described}: DPDK is told to leave PCI alone"),
            "[dpdk] eal_args: remove \"--no-pci\"",
        );
    }
    let is_allowed = wanted.allowed.is_empty() || wanted.allowed.contains(&nic.address);
    if !is_allowed || wanted.blocked.contains(&nic.address) {
        let fix = format!("[dpdk] eal_args: \"-a\", \"{}\", and no \"-b\" with it", nic.address);
        return Finding::fail(NIC, format!("{described}: DPDK is told to leave it alone"), fix);
    }
    if !is_for_dpdk && !is_shared(nic) {
        let owner = if nic.driver.is_some() { "it is the kernel's" } else { "it is nobody's" };
        return Finding::fail(NIC, format!("{described}: {owner}"), bind);
    }
    let foreign = nic.mates.iter().filter(|(_, driver)| driver.as_deref().is_some_and(|driver| driver != "vfio-pci"));
    let foreign: Vec<&str> = foreign.map(|(mate, _)| mate.as_str()).collect();
    if nic.driver.as_deref() == Some("vfio-pci") && !foreign.is_empty() {
        let message = format!("{described}: {} in its IOMMU group are still the kernel's", foreign.join(" "));
        return Finding::fail(NIC, message, format!("sudo scripts/bind-nic.sh bind {}", foreign.join(" ")));
    }
    if let Some(finding) = no_driver(host, wanted, nic) {
        return finding;
    }
    Finding::ok(NIC, described)
}

fn no_driver(host: &Host, wanted: &Wanted, nic: &Nic) -> Option<Finding> {
    let (_, vendor, drivers) = VENDORS.iter().find(|(id, ..)| *id == nic.vendor)?;
    if host.drivers.is_empty() || wanted.own_drivers || drivers.iter().any(|driver| host.drivers.contains(*driver)) {
        return None;
    }
    let message = format!("{}: none of DPDK's drivers for {vendor} is there: {}", describe(nic), drivers.join(", "));
    Some(Finding::fail(NIC, message, "apt-get install dpdk   # or the package that has your DPDK's drivers"))
}

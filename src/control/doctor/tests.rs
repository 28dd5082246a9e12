//! Each finding, on a machine made up of files for it.

use super::host::Host;
use super::wanted::{Device, Wanted};
use super::{Finding, Severity, examine};
use crate::control::config::Config;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

const MIB: u64 = 1 << 20;

/// A root folder with a machine that has nothing to complain about.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        machine
            .file("proc/self/status", "Name:\tpollux\nUid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff\n")
            .file(
                "proc/self/limits",
                "Max locked memory         8388608              8388608              bytes     \n",
            )
            .file("proc/meminfo", "MemTotal:       16000000 kB\nMemAvailable:    8000000 kB\nSwapTotal: 0 kB\n")
            .file("proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu tsc constant_tsc nonstop_tsc sse4_2\n")
            .file("proc/mounts", "proc /proc proc rw 0 0\nhugetlbfs /dev/hugepages hugetlbfs rw,pagesize=2M 0 0\n")
            .file("proc/net/route", "Iface\tDestination\tGateway\neth9\t00000000\t010200C0\n")
            .file("proc/net/if_inet6", "fe8000000000000000fc00fffe000001 04 40 20 80     eth1\n")
            .file("proc/net/dev", "Inter-|   Receive\n face |bytes\n  eth1: 1 2\n  eth9: 1 2\n")
            .file("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n")
            .file("sys/devices/system/cpu/online", "0-3\n")
            .file("sys/devices/system/cpu/isolated", "1-3\n")
            .file("dev/net/tun", "")
            .huge_pages(1024, 1024)
            .interface("eth1", "0x1003", "1")
            .interface("eth9", "0x1003", "1");
        for core in 0..4 {
            machine.core(core, core / 2, &core.to_string());
        }
        for driver in ["net_ixgbe", "net_af_packet", "net_af_xdp", "net_tap", "net_virtio"] {
            machine.file(&format!("usr/lib/x86_64-linux-gnu/dpdk/pmds-23.0/librte_{driver}.so.23"), "");
        }
        machine
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn file(&self, path: &str, text: &str) -> &Self {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn link(&self, path: &str, target: &str) -> &Self {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _ = fs::remove_file(&path);
        symlink(target, path).unwrap();
        self
    }

    fn without(&self, path: &str) -> &Self {
        let path = self.path().join(path);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap()
        } else {
            fs::remove_file(path).unwrap()
        }
        self
    }

    fn huge_pages(&self, total: u64, free: u64) -> &Self {
        let folder = "sys/kernel/mm/hugepages/hugepages-2048kB";
        self.file(&format!("{folder}/nr_hugepages"), &format!("{total}\n"));
        self.file(&format!("{folder}/free_hugepages"), &format!("{free}\n"))
    }

    fn interface(&self, name: &str, flags: &str, carrier: &str) -> &Self {
        let folder = format!("sys/class/net/{name}");
        self.file(&format!("{folder}/flags"), flags).file(&format!("{folder}/carrier"), carrier);
        self.file(&format!("{folder}/mtu"), "1500").file(&format!("{folder}/queues/rx-0/rps_cpus"), "0")
    }

    fn core(&self, id: usize, node: usize, siblings: &str) -> &Self {
        let folder = format!("sys/devices/system/cpu/cpu{id}");
        self.file(&format!("{folder}/node{node}/cpulist"), "")
            .file(&format!("{folder}/topology/thread_siblings_list"), siblings)
    }

    /// An ixgbe card on NUMA node 0, in IOMMU group 7.
    fn nic(&self, address: &str, driver: &str) -> &Self {
        let device = format!("sys/bus/pci/devices/{address}");
        self.file(&format!("{device}/class"), "0x020000\n").file(&format!("{device}/vendor"), "0x8086\n");
        self.file(&format!("{device}/device"), "0x10fb\n").file(&format!("{device}/numa_node"), "0\n");
        self.link(&format!("{device}/driver"), &format!("../../../bus/pci/drivers/{driver}"));
        self.link(&format!("{device}/iommu_group"), "../../../../kernel/iommu_groups/7");
        self.file(&format!("sys/kernel/iommu_groups/7/devices/{address}"), "");
        self.file(&format!("sys/bus/pci/drivers/{driver}/bind"), "")
    }

    fn host(&self) -> Host {
        Host::gather(self.path())
    }
}

/// With packet buffers for 40 MiB, 100 MiB in all, and tables of 100 MiB; one worker on core 1.
fn wanted(devices: Vec<Device>) -> Wanted {
    Wanted {
        pool_bytes: 40 * MIB,
        dpdk_bytes: 100 * MIB,
        table_bytes: 100 * MIB,
        cores: vec![1],
        spins: true,
        devices,
        ..Wanted::default()
    }
}

const PCI: &str = "0000:03:00.0";

fn pci() -> Wanted {
    wanted(vec![Device::Pci(PCI.to_owned())])
}

/// Ports and arguments as a file has them.
fn from_file(eal_args: &[&str], device: &str) -> Wanted {
    let text = format!("[dpdk]\neal_args = {eal_args:?}\n[[port]]\nname = \"p\"\ndevice = \"{device}\"\n");
    let parsed = Wanted::of_arguments(&Config::parse(&text, "test").unwrap());
    Wanted {
        no_huge: parsed.no_huge,
        no_pci: parsed.no_pci,
        ..Wanted {
            allowed: parsed.allowed,
            blocked: parsed.blocked,
            vdevs: parsed.vdevs,
            arguments: parsed.arguments,
            huge_dir: parsed.huge_dir,
            ..wanted(parsed.devices)
        }
    }
}

fn af_packet() -> Wanted {
    from_file(&["--vdev", "net_af_packet0,iface=eth1"], "net_af_packet0")
}

#[track_caller]
fn finds(machine: &Machine, wanted: &Wanted, severity: Severity, parts: &[&str]) {
    let findings = examine(&machine.host(), Some(wanted));
    let has = |finding: &Finding| {
        let text = format!("{}: {} {}", finding.area, finding.message, finding.fix.as_deref().unwrap_or_default());
        finding.severity == severity && parts.iter().all(|part| text.contains(part))
    };
    assert!(findings.iter().any(has), "nothing has {severity:?} {parts:?}: {findings:#?}");
}

#[track_caller]
fn worst(machine: &Machine, wanted: &Wanted) -> Severity {
    examine(&machine.host(), Some(wanted)).iter().map(|finding| finding.severity).max().unwrap()
}

/// A machine with a NIC that is bound for DPDK.
fn bound() -> Machine {
    let machine = Machine::new();
    machine.nic(PCI, "vfio-pci");
    machine
}

#[test]
fn a_machine_in_order_has_nothing_to_mend() {
    assert_eq!(worst(&bound(), &pci()), Severity::Ok);
    assert_eq!(worst(&Machine::new(), &af_packet()), Severity::Ok);
}

#[test]
fn an_empty_root_is_no_reason_to_panic() {
    let nowhere = tempfile::tempdir().unwrap();
    let findings = examine(&Host::gather(nowhere.path()), Some(&pci()));
    assert!(findings.iter().any(|finding| finding.severity == Severity::Fail), "{findings:?}");
}

#[test]
fn what_run_refuses_by_itself_comes_first() {
    let mut wanted = pci();
    wanted.refusals.push(("core 9 does not exist".to_owned(), "correct it".to_owned()));
    let first = examine(&bound().host(), Some(&wanted)).remove(0);
    assert_eq!((first.severity, first.message.as_str()), (Severity::Fail, "core 9 does not exist"));
}

#[test]
fn missing_huge_pages_are_counted_for_this_configuration() {
    let machine = bound();
    machine.huge_pages(0, 0);
    finds(&machine, &pci(), Severity::Fail, &["huge pages", "0 of 0 free", "needs 100", "hugepages.sh 100 --persist"]);
    machine.huge_pages(100, 19);
    finds(&machine, &pci(), Severity::Fail, &["19 of 100 free"]);
    machine.huge_pages(100, 20);
    finds(&machine, &pci(), Severity::Warn, &["20 of 100 free", "hugepages.sh 100"]);
    machine.huge_pages(100, 100);
    finds(&machine, &pci(), Severity::Ok, &["100 of 100 free"]);
}

#[test]
fn huge_pages_that_are_not_mounted_are_told_from_missing_ones() {
    let machine = bound();
    machine.file("proc/mounts", "proc /proc proc rw 0 0\n");
    finds(&machine, &pci(), Severity::Fail, &["hugetlbfs is not mounted", "hugepages.sh"]);
    assert_eq!(worst(&machine, &Wanted { in_memory: true, ..pci() }), Severity::Ok);
    machine.without("sys/kernel/mm/hugepages");
    finds(&machine, &pci(), Severity::Fail, &["this kernel has none", "--no-huge"]);
}

#[test]
fn without_huge_pages_memory_is_what_counts() {
    let machine = Machine::new();
    machine.huge_pages(0, 0);
    let wanted = from_file(&["--no-huge", "--vdev", "net_af_packet0,iface=eth1"], "net_af_packet0");
    finds(&machine, &wanted, Severity::Ok, &["memory: --no-huge", "100 MiB"]);
    let small = Wanted { memory_given: Some(10 * MIB), ..wanted.clone() };
    finds(&machine, &small, Severity::Fail, &["-m 10", "40 MiB", "remove"]);
    let plenty = Wanted { memory_given: Some(16_000 * MIB), ..wanted.clone() };
    finds(&machine, &plenty, Severity::Fail, &["DPDK takes 16000 MiB"]);
    machine.file("proc/meminfo", "MemTotal: 999000 kB\nMemAvailable: 90000 kB\n");
    finds(&machine, &wanted, Severity::Warn, &["DPDK takes 100 MiB and 88 MiB are available"]);
    machine.file("proc/meminfo", "MemAvailable: 9000 kB\n");
    finds(&machine, &wanted, Severity::Fail, &["9 MiB are available"]);
}

#[test]
fn rights_are_asked_for_where_they_are_needed() {
    let machine = bound();
    machine.file("proc/self/status", "Uid:\t1000\t1000\t1000\t1000\nCapEff:\t0000000000000000\n");
    finds(&machine, &pci(), Severity::Fail, &["rights", "huge pages", "sudo"]);
    finds(&machine, &Wanted { no_huge: true, ..pci() }, Severity::Fail, &["PCI devices"]);
    finds(&machine, &Wanted { no_huge: true, ..af_packet() }, Severity::Fail, &["CAP_NET_RAW"]);
    machine.file("proc/self/status", "Uid:\t1000\t1000\t1000\t1000\nCapEff:\t0000000000002000\n");
    assert_eq!(worst(&machine, &Wanted { no_huge: true, ..af_packet() }), Severity::Ok);
}

#[test]
fn a_nic_wants_more_locked_memory_than_a_user_may_have() {
    let machine = bound();
    machine.file("proc/self/status", "Uid:\t1000\t1000\t1000\t1000\nCapEff:\t0000000000000000\n");
    finds(&machine, &pci(), Severity::Fail, &["may lock 8 MiB", "ulimit -l unlimited"]);
}

#[test]
fn a_nic_of_the_kernels_is_to_be_bound() {
    let machine = bound();
    machine.nic(PCI, "ixgbe").file(&format!("sys/bus/pci/devices/{PCI}/net/eth2/mtu"), "1500");
    finds(
        &machine,
        &pci(),
        Severity::Fail,
        &["nic", "Intel 8086:10fb", "driver ixgbe, eth2, NUMA node 0", "bind-nic.sh bind 0000:03:00.0"],
    );
    machine.without(&format!("sys/bus/pci/devices/{PCI}/driver"));
    finds(&machine, &pci(), Severity::Fail, &["driver none"]);
}

#[test]
fn a_nic_that_dpdk_shares_with_the_kernel_stays_there() {
    let machine = Machine::new();
    machine.nic(PCI, "mlx5_core");
    assert_eq!(worst(&machine, &pci()), Severity::Ok);
}

#[test]
fn a_nic_that_is_not_there_and_those_that_are() {
    let machine = bound();
    machine.nic("0000:04:00.0", "ixgbe");
    let other = wanted(vec![Device::Pci("0000:05:00.0".to_owned())]);
    finds(&machine, &other, Severity::Fail, &["no PCI network card 0000:05:00.0", "lspci"]);
    finds(&machine, &pci(), Severity::Ok, &["0000:04:00.0", "not used here"]);
    let unconfigured = examine(&machine.host(), None);
    assert!(unconfigured.iter().all(|finding| finding.severity == Severity::Ok), "{unconfigured:?}");
    assert_eq!(unconfigured.iter().filter(|finding| finding.area == "nic").count(), 2);
}

#[test]
fn a_bound_nic_that_dpdk_is_told_to_leave_alone() {
    finds(&bound(), &Wanted { no_pci: true, ..pci() }, Severity::Fail, &["remove \"--no-pci\""]);
    let elsewhere = from_file(&["-a", "04:00.0"], "03:00.0");
    finds(&bound(), &elsewhere, Severity::Fail, &["told to leave it alone", "\"-a\", \"0000:03:00.0\""]);
    finds(&bound(), &from_file(&["--block=03:00.0"], "03:00.0"), Severity::Fail, &["told to leave it alone"]);
    assert_eq!(worst(&bound(), &from_file(&["--allow=03:00.0"], "03:00.0")), Severity::Ok);
}

#[test]
fn the_others_of_an_iommu_group_go_along() {
    let machine = bound();
    machine.nic("0000:03:00.1", "ixgbe");
    machine.file("sys/kernel/iommu_groups/7/devices/0000:03:00.1", "");
    machine.link(&format!("sys/bus/pci/devices/{PCI}/iommu_group"), "../../../../kernel/iommu_groups/7");
    finds(&machine, &pci(), Severity::Fail, &["0000:03:00.1 in its IOMMU group", "bind-nic.sh bind 0000:03:00.1"]);
    // a bridge does not count, nor does one that nobody drives
    machine.file("sys/bus/pci/devices/0000:03:00.1/class", "0x060400\n");
    assert_eq!(worst(&machine, &pci()), Severity::Ok);
    machine
        .file("sys/bus/pci/devices/0000:03:00.1/class", "0x020000\n")
        .without("sys/bus/pci/devices/0000:03:00.1/driver");
    assert_eq!(worst(&machine, &pci()), Severity::Ok);
}

#[test]
fn vfio_wants_its_module_and_an_iommu_or_to_be_told() {
    let machine = bound();
    machine.without("sys/bus/pci/drivers/vfio-pci");
    finds(&machine, &pci(), Severity::Fail, &["iommu", "modprobe vfio-pci"]);
    machine.file("sys/bus/pci/drivers/vfio-pci/bind", "").without("sys/kernel/iommu_groups");
    finds(&machine, &pci(), Severity::Fail, &["none", "intel_iommu=on", "enable_unsafe_noiommu_mode"]);
    machine.file("sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y\n");
    finds(&machine, &pci(), Severity::Warn, &["vfio runs without"]);
    assert_eq!(worst(&Machine::new(), &af_packet()), Severity::Ok, "no PCI device, no vfio");
}

#[test]
fn a_driver_that_is_not_installed_is_missed() {
    let machine = bound();
    machine.without("usr/lib/x86_64-linux-gnu/dpdk/pmds-23.0/librte_net_ixgbe.so.23");
    finds(&machine, &pci(), Severity::Fail, &["drivers for Intel", "apt-get install dpdk"]);
    machine.without("usr/lib/x86_64-linux-gnu/dpdk/pmds-23.0/librte_net_af_packet.so.23");
    finds(&machine, &af_packet(), Severity::Fail, &["no driver net_af_packet"]);
    assert_eq!(worst(&machine, &Wanted { own_drivers: true, ..pci() }), Severity::Ok);
    machine.without("usr");
    finds(&machine, &pci(), Severity::Warn, &["no usual place"]);
}

#[test]
fn arguments_that_dpdk_does_not_take_are_named() {
    let machine = Machine::new();
    let with = |argument: &str| from_file(&[argument, "--vdev", "net_af_packet0,iface=eth1"], "net_af_packet0");
    finds(&machine, &with("--no-such-option"), Severity::Fail, &["eal_args", "no --no-such-option"]);
    finds(&machine, &with("--huge-dir=/mnt"), Severity::Fail, &["/mnt", "no hugetlbfs"]);
    assert_eq!(worst(&machine, &with("--huge-dir=/dev/hugepages")), Severity::Ok);
    let unused = from_file(&["--vdev", "net_af_packet0,iface=eth1", "--vdev=net_nul0"], "net_af_packet0");
    finds(&machine, &unused, Severity::Fail, &["net_nul0", "no driver net_nul"]);
}

#[test]
fn a_device_that_nothing_makes() {
    let wanted = from_file(&["--vdev", "net_af_packet1,iface=eth1"], "net_af_packet0");
    finds(&Machine::new(), &wanted, Severity::Fail, &["nothing makes a device net_af_packet0", "--vdev"]);
}

#[test]
fn an_interface_under_a_device_is_there_up_connected_and_nobody_elses() {
    let machine = Machine::new();
    let on = |name: &str| from_file(&["--vdev", &format!("net_af_packet0,iface={name}")], "net_af_packet0");
    finds(&machine, &on("eth7"), Severity::Fail, &["no interface eth7; there are eth1, eth9"]);
    finds(
        &machine,
        &from_file(&["--vdev", "net_af_packet0"], "net_af_packet0"),
        Severity::Fail,
        &["names no interface"],
    );
    finds(&machine, &on("eth9"), Severity::Warn, &["address or a route on eth9", "ip address flush dev eth9"]);
    machine.interface("eth1", "0x1002", "");
    finds(&machine, &af_packet(), Severity::Warn, &["eth1 is down", "ip link set eth1 up"]);
    machine.interface("eth1", "0x1003", "0");
    finds(&machine, &af_packet(), Severity::Warn, &["eth1 has no link"]);
    machine.file("proc/net/if_inet6", "fd000000000000000000000000000002 04 40 00 82     eth1\n");
    finds(&machine, &af_packet(), Severity::Warn, &["address or a route on eth1"]);
}

#[test]
fn af_xdp_wants_as_many_queues_as_it_names() {
    let wanted = from_file(&["--vdev", "net_af_xdp0,iface=eth1,start_queue=1,queue_count=2"], "net_af_xdp0");
    finds(&Machine::new(), &wanted, Severity::Fail, &["eth1 has 1 queue(s), not 3", "ethtool -L eth1 combined 3"]);
}

#[test]
fn a_tap_wants_the_kernels_tun() {
    let machine = Machine::new();
    let tap = from_file(&["--vdev", "net_tap0,iface=tap0"], "net_tap0");
    assert_eq!(worst(&machine, &tap), Severity::Ok);
    machine.without("dev/net/tun");
    finds(&machine, &tap, Severity::Fail, &["/dev/net/tun", "modprobe tun"]);
}

#[test]
fn workers_on_hyper_threads_of_one_core_are_named() {
    let machine = bound();
    machine.core(1, 0, "1,3").core(3, 0, "1,3");
    finds(&machine, &Wanted { cores: vec![1, 3], ..pci() }, Severity::Warn, &["1 and 3", "cores = [1]"]);
}

#[test]
fn workers_far_from_a_nic_are_named_with_the_cores_that_are_near() {
    finds(
        &bound(),
        &Wanted { cores: vec![1, 2, 3], ..pci() },
        Severity::Warn,
        &["node 0", "core(s) 2-3 are not", "some of 0-1"],
    );
}

#[test]
fn workers_that_spin_want_cores_of_their_own() {
    let machine = bound();
    let shared = Wanted { cores: vec![1, 1], ..pci() };
    finds(&machine, &shared, Severity::Warn, &["2 workers share 1 core(s)", "idle = \"yield\""]);
    assert_eq!(worst(&machine, &Wanted { spins: false, ..shared }), Severity::Ok);
    machine.file("sys/devices/system/cpu/isolated", "\n");
    finds(&machine, &pci(), Severity::Warn, &["core(s) 1, too", "isolcpus=1 nohz_full=1"]);
    machine.file("sys/devices/system/cpu/online", "1\n");
    finds(&machine, &pci(), Severity::Warn, &["one core"]);
}

#[test]
fn the_clock_has_to_be_steady() {
    let machine = bound();
    machine.file("sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet\n");
    finds(&machine, &pci(), Severity::Warn, &["clock source is hpet", "dmesg"]);
    machine.file("proc/cpuinfo", "flags\t: fpu tsc constant_tsc\n");
    finds(&machine, &pci(), Severity::Warn, &["time stamp counter is constant", "invtsc"]);
}

//! The scripts that prepare a machine, on machines made up of files.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

const NIC: &str = "0000:03:00.0";
const MATE: &str = "0000:03:00.1";

/// A `/sys` and an `/etc` with two NICs of one IOMMU group.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new(driver: &str) -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        for nic in [NIC, MATE] {
            let device = format!("sys/bus/pci/devices/{nic}");
            machine.write(&format!("{device}/class"), "0x020000\n");
            machine.write(&format!("{device}/iommu_group/devices/{NIC}"), "");
            machine.write(&format!("{device}/iommu_group/devices/{MATE}"), "");
            symlink(format!("../../drivers/{driver}"), machine.path().join(device).join("driver")).unwrap();
        }
        machine.write(&format!("sys/bus/pci/drivers/{driver}/unbind"), "");
        machine.write("sys/bus/pci/drivers/vfio-pci/bind", "");
        machine.write("sys/kernel/iommu_groups/7/type", "");
        machine.write("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "0\n");
        machine.write("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "0\n");
        for node in 0..2 {
            machine
                .write(&format!("sys/devices/system/node/node{node}/hugepages/hugepages-2048kB/nr_hugepages"), "0\n");
        }
        machine.write("proc/mounts", "hugetlbfs /dev/hugepages hugetlbfs rw 0 0\n");
        machine
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Exit code, and all that it said.
    fn run(&self, script: &str, arguments: &[&str]) -> (i32, String) {
        let mut command = Command::new("bash");
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(script)).args(arguments);
        for (variable, folder) in [("SYSFS", "sys"), ("PROCFS", "proc"), ("ETC", "etc")] {
            command.env(variable, self.path().join(folder));
        }
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(said).unwrap())
    }
}

#[test]
fn a_nic_does_not_go_to_dpdk_without_the_others_of_its_iommu_group() {
    let machine = Machine::new("ixgbe");
    let (code, said) = machine.run("bind-nic.sh", &["bind", NIC]);
    assert!(code == 1 && said.contains(&format!("bind {NIC} {MATE}")), "{said}");
    assert!(!machine.path().join(format!("sys/bus/pci/devices/{NIC}/driver_override")).exists(), "nothing is changed");
}

#[test]
fn several_nics_are_taken_from_the_kernel() {
    let machine = Machine::new("ixgbe");
    let (code, said) = machine.run("bind-nic.sh", &["bind", NIC, MATE]);
    // files do not move a device to another driver, which is noticed
    assert!(code == 1 && said.contains("did not go to vfio-pci"), "{said}");
    assert_eq!(machine.read(&format!("sys/bus/pci/devices/{NIC}/driver_override")), "vfio-pci\n");
    assert_eq!(machine.read("sys/bus/pci/drivers/ixgbe/unbind"), format!("{NIC}\n"));
    assert_eq!(machine.read("sys/bus/pci/drivers_probe"), format!("{NIC}\n"));
}

#[test]
fn a_binding_lasts_over_boots_until_it_is_taken_back() {
    let machine = Machine::new("vfio-pci");
    let (code, said) = machine.run("bind-nic.sh", &["bind", NIC, MATE, "--persist"]);
    assert_eq!(code, 0, "{said}");
    let rule = machine.read("etc/udev/rules.d/10-pollux-0000-03-00.0.rules");
    assert!(rule.contains(&format!("KERNEL==\"{NIC}\"")) && rule.contains("driver_override}=\"vfio-pci\""), "{rule}");
    assert_eq!(machine.read("etc/modules-load.d/pollux-vfio.conf"), "vfio-pci\n");
    assert!(!machine.path().join("etc/modprobe.d").exists(), "there is an IOMMU");
    let (code, said) = machine.run("bind-nic.sh", &["back", NIC]);
    assert!(code == 0 && said.contains("again at the next boot"), "{said}");
    let (code, said) = machine.run("bind-nic.sh", &["back", NIC, MATE, "--persist"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(machine.read(&format!("sys/bus/pci/devices/{NIC}/driver_override")), "\n");
    assert_eq!(fs::read_dir(machine.path().join("etc/udev/rules.d")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(machine.path().join("etc/modules-load.d")).unwrap().count(), 0);
}

#[test]
fn a_nic_that_dpdk_shares_with_the_kernel_and_what_is_none_are_refused() {
    let machine = Machine::new("mlx5_core");
    let (code, said) = machine.run("bind-nic.sh", &["bind", NIC]);
    assert!(code == 1 && said.contains("stays with mlx5_core"), "{said}");
    let (code, said) = machine.run("bind-nic.sh", &["bind", "0000:04:00.0"]);
    assert!(code == 1 && said.contains("not a network card"), "{said}");
    assert_eq!(machine.run("bind-nic.sh", &["bind"]).0, 1);
    assert_eq!(machine.run("bind-nic.sh", &["bind", NIC, "--nosuch"]).0, 2);
}

#[test]
fn both_scripts_explain_themselves() {
    let machine = Machine::new("ixgbe");
    for script in ["bind-nic.sh", "hugepages.sh"] {
        let (code, said) = machine.run(script, &["--help"]);
        assert!(code == 0 && said.contains("--persist") && !said.contains("set -euo"), "{said}");
    }
    let (code, said) = machine.run("bind-nic.sh", &[]);
    assert!(code == 0 && said.contains(&format!("{NIC}  driver ixgbe")), "{said}");
}

#[test]
fn huge_pages_are_reserved_now_and_at_every_boot() {
    let machine = Machine::new("ixgbe");
    let (code, said) = machine.run("hugepages.sh", &["512", "--persist"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(machine.read("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"), "512\n");
    assert_eq!(machine.read("etc/sysctl.d/60-pollux-hugepages.conf"), "vm.nr_hugepages = 512\n");
    let (code, said) = machine.run("hugepages.sh", &[]);
    assert!(code == 0 && said.contains("512 reserved") && said.contains("NUMA node1: 0 reserved"), "{said}");
    assert_eq!(machine.run("hugepages.sh", &["0", "--persist"]).0, 0);
    assert!(!machine.path().join("etc/sysctl.d/60-pollux-hugepages.conf").exists());
}

#[test]
fn huge_pages_of_one_node_are_reserved_there() {
    let machine = Machine::new("ixgbe");
    let (code, said) = machine.run("hugepages.sh", &["64", "--node", "1"]);
    assert_eq!(code, 0, "{said}");
    let of_node =
        |node| machine.read(&format!("sys/devices/system/node/node{node}/hugepages/hugepages-2048kB/nr_hugepages"));
    assert_eq!((of_node(0).as_str(), of_node(1).as_str()), ("0\n", "64\n"));
    let (code, said) = machine.run("hugepages.sh", &["64", "--node", "7"]);
    assert!(code == 1 && said.contains("no NUMA node 7"), "{said}");
    let (code, said) = machine.run("hugepages.sh", &["64", "--node", "1", "--persist"]);
    assert!(code == 1 && said.contains("hugepages=1:64"), "{said}");
}

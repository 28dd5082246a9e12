//! Devices by name: what a PCI address is, and why there is no port for a device.

use std::path::Path;

/// Where Linux says which driver a PCI device is bound to.
pub(super) const PCI_DEVICES: &str = "/sys/bus/pci/devices";

/// By what DPDK complained about when it started and what `pci`, the kernel's list of PCI devices, says.
pub(super) fn missing_hint(device: &str, start_errors: &str, pci: &Path) -> String {
    if let Some(says) = complaint(device, start_errors) {
        return format!("its driver did not take it: correct what [dpdk] eal_args say of it (DPDK says: {says})");
    }
    let Some(address) = full_pci_address(device) else {
        return format!("add \"--vdev\", \"{device},...\" to [dpdk] eal_args, or use one that exists");
    };
    if !pci.join(&address).exists() {
        return format!("there is no PCI device {address}: `lspci -D` lists them");
    }
    let driver = std::fs::read_link(pci.join(&address).join("driver")).ok();
    let driver = driver.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    match driver.as_deref() {
        None => format!("it is bound to no driver: run `scripts/bind-nic.sh bind {address}`"),
        Some(name @ ("vfio-pci" | "igb_uio" | "uio_pci_generic")) => format!(
            "it is bound to {name} but DPDK did not take it: remove --no-pci, -a or -b from [dpdk] eal_args, or \
             install its DPDK driver"
        ),
        Some(name) => format!("it is bound to the kernel's {name}: run `scripts/bind-nic.sh bind {address}`"),
    }
}

/// What DPDK logged of a device that it did not start: the line that names it and the one before, which has the cause.
fn complaint(device: &str, start_errors: &str) -> Option<String> {
    let lines: Vec<&str> = start_errors.lines().map(str::trim).collect();
    let last = lines.iter().rposition(|line| line.split([' ', '\'', '"', ':', ',']).any(|word| word == device))?;
    Some(lines[last.saturating_sub(1)..=last].join("; "))
}

/// `0000:03:00.0` of that or of `03:00.0`; `None` for what is no PCI address.
pub fn full_pci_address(device: &str) -> Option<String> {
    let is_hex = |text: &str, digits: usize| text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit());
    let (slot, function) = device.split_once('.')?;
    let parts: Vec<&str> = slot.split(':').collect();
    let (domain, bus, slot) = match parts[..] {
        [bus, slot] => ("0000", bus, slot),
        [domain, bus, slot] => (domain, bus, slot),
        _ => return None,
    };
    let is_address = is_hex(domain, 4) && is_hex(bus, 2) && is_hex(slot, 2) && is_hex(function, 1);
    is_address.then(|| format!("{domain}:{bus}:{slot}.{function}").to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pci_address_is_told_from_a_vdevs_name_and_completed() {
        assert_eq!(full_pci_address("0000:03:00.0").as_deref(), Some("0000:03:00.0"));
        assert_eq!(full_pci_address("AF:00.1").as_deref(), Some("0000:af:00.1"));
        for name in ["net_tap0", "net_pcap0.1", "", "03:00", "0000:03:00.", "0:3:0.0", "zz:00.0", "1:0000:03:00.0"] {
            assert_eq!(full_pci_address(name), None, "{name}");
        }
    }

    /// A PCI device of the kernel's, bound to `driver`.
    fn pci_with(driver: Option<&str>) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let device = root.path().join("0000:03:00.0");
        std::fs::create_dir(&device).unwrap();
        if let Some(driver) = driver {
            std::os::unix::fs::symlink(Path::new("../../../bus/pci/drivers").join(driver), device.join("driver"))
                .unwrap();
        }
        root
    }

    #[test]
    fn a_device_the_kernel_drives_is_explained_with_the_command_that_binds_it() {
        let hint = missing_hint("03:00.0", "", pci_with(Some("ixgbe")).path());
        assert!(hint.contains("ixgbe") && hint.contains("scripts/bind-nic.sh bind 0000:03:00.0"), "{hint}");
        let hint = missing_hint("0000:03:00.0", "", pci_with(None).path());
        assert!(hint.contains("no driver") && hint.contains("scripts/bind-nic.sh bind 0000:03:00.0"), "{hint}");
    }

    #[test]
    fn a_device_that_is_bound_already_is_not_to_be_bound_again() {
        let hint = missing_hint("0000:03:00.0", "", pci_with(Some("vfio-pci")).path());
        assert!(hint.contains("vfio-pci") && hint.contains("--no-pci") && !hint.contains("bind-nic"), "{hint}");
    }

    #[test]
    fn a_device_that_its_driver_refused_is_explained_with_the_cause() {
        let log = "EAL: x\nopen(): Couldn't open /nowhere\nvdev_probe(): failed to initialize net_pcap1 device\n";
        let hint = missing_hint("net_pcap1", log, Path::new("/"));
        assert!(
            hint.contains("Couldn't open /nowhere") && hint.contains("eal_args") && !hint.contains("EAL: x"),
            "{hint}"
        );
        assert!(missing_hint("net_pcap", log, Path::new("/")).contains("--vdev"));
    }

    #[test]
    fn a_device_that_does_not_exist_is_explained_with_where_to_look() {
        assert!(missing_hint("0000:04:00.0", "", pci_with(None).path()).contains("lspci"));
        assert!(missing_hint("net_tap0", "", pci_with(None).path()).contains("\"--vdev\", \"net_tap0,...\""));
    }
}

//! Virtual devices, and the kernel's interfaces that they stand on.

use super::Finding;
use super::host::{Host, Interface};
use super::wanted::{Device, Vdev, Wanted};

const DEVICE: &str = "device";
const INTERFACE: &str = "interface";

pub fn findings(host: &Host, wanted: &Wanted) -> Vec<Finding> {
    let missing = wanted.devices.iter().filter_map(|device| match device {
        Device::Virtual(name) if wanted.vdevs.iter().all(|vdev| vdev.name != *name) => Some(nothing_makes(name)),
        _ => None,
    });
    // also of those that no port uses: DPDK does not start without them
    missing.chain(wanted.vdevs.iter().flat_map(|vdev| of_vdev(host, wanted, vdev))).collect()
}

fn nothing_makes(name: &str) -> Finding {
    let fix = format!("[dpdk] eal_args: add \"--vdev\", \"{name},...\"; or correct the [[port]]'s device");
    Finding::fail(DEVICE, format!("nothing makes a device {name}"), fix)
}

fn of_vdev(host: &Host, wanted: &Wanted, vdev: &Vdev) -> Vec<Finding> {
    let library = vdev.library();
    if !host.drivers.is_empty() && !wanted.own_drivers && !host.drivers.contains(library) {
        let folders: Vec<String> = host.driver_folders.iter().map(|folder| folder.display().to_string()).collect();
        let message = format!("{}: there is no driver {library} in {}", vdev.name, folders.join(", "));
        return vec![Finding::fail(
            DEVICE,
            message,
            "apt-get install dpdk   # or the package that has your DPDK's drivers",
        )];
    }
    match (vdev.driver(), vdev.argument("iface")) {
        ("net_af_packet" | "net_af_xdp", None) => {
            let fix = format!("[dpdk] eal_args: \"--vdev\", \"{},iface=eth1\"", vdev.name);
            vec![Finding::fail(DEVICE, format!("{} names no interface", vdev.name), fix)]
        }
        ("net_af_packet" | "net_af_xdp", Some(name)) => of_interface(host, vdev, name),
        ("net_tap", _) if !host.has_tun => {
            vec![Finding::fail(DEVICE, format!("{}: there is no /dev/net/tun", vdev.name), "modprobe tun")]
        }
        _ => vec![Finding::ok(DEVICE, format!("{} ({library})", vdev.name))],
    }
}

fn of_interface(host: &Host, vdev: &Vdev, name: &str) -> Vec<Finding> {
    let Some(interface) = host.interface(name) else {
        let known: Vec<&str> = host.interfaces.iter().map(|interface| interface.name.as_str()).collect();
        let message = format!("{}: there is no interface {name}; there are {}", vdev.name, known.join(", "));
        return vec![Finding::fail(INTERFACE, message, format!("[dpdk] eal_args: correct iface={name}"))];
    };
    let mut findings = vec![];
    if interface.is_up == Some(false) {
        findings.push(Finding::warn(INTERFACE, format!("{name} is down"), format!("ip link set {name} up")));
    } else if interface.is_up == Some(true) && !interface.has_carrier {
        let message = format!("{name} has no link");
        findings.push(Finding::warn(
            INTERFACE,
            message,
            format!("ethtool {name}   # cable, or the other end of the veth"),
        ));
    }
    if interface.is_used {
        let message =
            format!("the kernel has an address or a route on {name}, and answers there as well as Pollux does");
        let fix = format!("ip address flush dev {name}   # but not if you are logged in over it");
        findings.push(Finding::warn(INTERFACE, message, fix));
    }
    findings.extend(queues(vdev, interface));
    if findings.is_empty() {
        findings.push(Finding::ok(INTERFACE, format!("{name} for {}: up, {} queue(s)", vdev.name, interface.queues)));
    }
    findings
}

/// `queue_count` of af_xdp: each is one of the interface's.
fn queues(vdev: &Vdev, interface: &Interface) -> Option<Finding> {
    let number = |key: &str| vdev.argument(key).and_then(|count| count.parse::<usize>().ok());
    let wanted = number("queue_count").unwrap_or(1) + number("start_queue").unwrap_or(0);
    if vdev.driver() != "net_af_xdp" || interface.queues == 0 || wanted <= interface.queues {
        return None;
    }
    let name = &interface.name;
    let message = format!("{}: {name} has {} queue(s), not {wanted}", vdev.name, interface.queues);
    Some(Finding::fail(INTERFACE, message, format!("ethtool -L {name} combined {wanted}   # or a smaller queue_count")))
}

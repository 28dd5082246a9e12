//! What single drivers do and do not say: known by name, from their sources and from running them.

/// Drivers that send chains, as their sources show, but do not announce it in every release.
const CHAINING: [&str; 2] = ["net_pcap", "net_null"];

/// Drivers that let no tagged frame in before they are told its VLAN, as they tell their device that they would. Others
/// are not told: to some of them a list of VLANs would mean that untagged frames are not wanted.
const VLAN_DROPPING: [&str; 1] = ["net_virtio"];

pub(super) fn sends_chains(driver: &str) -> bool {
    CHAINING.contains(&driver)
}

/// Whether the port must be told its VLANs.
pub(super) fn drops_vlans(driver: &str) -> bool {
    VLAN_DROPPING.contains(&driver)
}

//! Text to values, one function a notation: shared by the file and by commands at run time. Errors say what is
//! allowed; where the text stood is the caller's to add.

use super::error::quoted;
use super::shape::unknown_word;
use crate::model::{ClientMask, Family, Forward, Protocol, Tunnel};
use crate::sched::Options;
use crate::sched::registry::SchedulerKind;
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;

/// A unicast IP address.
pub fn address(text: &str) -> Result<IpAddr, String> {
    let address =
        text.parse().map_err(|_| format!("{} is not an IP address; expected one like \"192.0.2.1\"", quoted(text)))?;
    unicast(address)
}

fn unicast(address: IpAddr) -> Result<IpAddr, String> {
    let is_broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    if address.is_unspecified() || address.is_loopback() || address.is_multicast() || is_broadcast {
        return Err(format!("{address} is not a unicast address of the network"));
    }
    Ok(address)
}

/// An address of a port, with the length of the prefix that is connected there.
pub fn port_address(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        let length = if address.is_ipv4() { 24 } else { 64 };
        return Err(format!("{} needs the length of its prefix, as in \"{address}/{length}\"", quoted(text)));
    }
    let net: IpNet = text.parse().map_err(|_| {
        format!("{} is not an address with prefix length; expected one like \"192.0.2.254/24\"", quoted(text))
    })?;
    unicast(net.addr())?;
    // RFC 3021: a /31 has two hosts and neither network nor broadcast address
    let has_broadcast = net.max_prefix_len() - net.prefix_len() >= 2;
    if has_broadcast && net.addr() == net.network() {
        return Err(format!("{} is its network's own address; give a host's", net.addr()));
    }
    if has_broadcast && net.addr().is_ipv4() && net.addr() == net.broadcast() {
        return Err(format!("{} is its network's broadcast address; give a host's", net.addr()));
    }
    Ok(net)
}

/// A network, host bits zero.
pub fn network(text: &str) -> Result<IpNet, String> {
    let net: IpNet = text.parse().map_err(|_| {
        format!("{} is not a network; expected one like \"10.0.0.0/8\", or \"0.0.0.0/0\" for all", quoted(text))
    })?;
    if net.trunc() != net {
        return Err(format!("{} has bits set beyond its prefix; its network is \"{}\"", quoted(text), net.trunc()));
    }
    Ok(net)
}

/// `ADDRESS:PORT`, a service's address.
pub fn service_address(text: &str) -> Result<SocketAddr, String> {
    let (ip, port) = destination_address(text)?;
    let port = port.ok_or_else(|| format!("{} needs a port, as in \"192.0.2.10:80\"", quoted(text)))?;
    Ok(SocketAddr::new(ip, port))
}

/// `ADDRESS` or `ADDRESS:PORT`, a destination's address.
pub fn destination_address(text: &str) -> Result<(IpAddr, Option<u16>), String> {
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return Ok((unicast(socket.ip())?, Some(socket.port())));
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok((unicast(ip)?, None));
    }
    Err(format!(
        "{} is not an address with port; expected one like \"192.0.2.10:80\", port at most 65535",
        quoted(text)
    ))
}

/// A unicast MAC address.
pub fn mac(text: &str) -> Result<[u8; 6], String> {
    let pairs: Vec<_> = text.split(':').map(hex_pair).collect();
    let bytes: Option<Vec<u8>> = pairs.into_iter().collect();
    let mac: [u8; 6] = bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| {
        format!("{} is not a MAC address; expected six pairs of hex digits like \"02:00:00:00:00:01\"", quoted(text))
    })?;
    // IEEE 802: the lowest bit of the first byte marks groups, broadcast among them
    if mac[0] & 1 != 0 || mac == [0; 6] {
        return Err(format!(
            "{} is not a unicast MAC address; its first byte must be even, and not all are 0",
            quoted(text)
        ));
    }
    Ok(mac)
}

fn hex_pair(text: &str) -> Option<u8> {
    let is_pair = text.len() == 2 && text.bytes().all(|b| b.is_ascii_hexdigit());
    is_pair.then(|| u8::from_str_radix(text, 16).ok()).flatten()
}

/// A service's protocol.
pub fn protocol(text: &str) -> Result<Protocol, String> {
    let protocol = match text {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => return Err(unknown_word(text, ["tcp", "udp", "sctp"].into_iter())),
    };
    Ok(protocol)
}

/// `80`, or `5000-5010`.
pub fn ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    match (from.trim().parse(), to.trim().parse()) {
        (Ok(from), Ok(to)) if from <= to => Ok(from..=to),
        _ => Err(format!("{} is neither a port nor a range of ports like \"5000-5010\"", quoted(text))),
    }
}

/// A network, or an address as one.
pub fn network_or_address(text: &str) -> Result<IpNet, String> {
    text.parse::<IpAddr>().map_or_else(|_| network(text), |address| Ok(address.into()))
}

/// A mask of client addresses: `255.255.255.0` for IPv4, a prefix length for either family.
pub fn client_mask(text: &str, family: Family) -> Result<ClientMask, String> {
    let mask = text.strip_prefix('/').unwrap_or(text).parse().ok();
    let of_length = |length: u8| Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0));
    match (family, mask) {
        (Family::V4, Some(ClientMask::V6(length @ 1..=32))) => Ok(ClientMask::V4(of_length(length))),
        (_, Some(mask)) if mask.family() == family => Ok(mask),
        (Family::V4, _) => Err(format!("{} is not a mask; expected one like \"255.255.255.0\"", quoted(text))),
        (Family::V6, _) => Err(format!("{} is not a prefix length; expected one like \"64\"", quoted(text))),
    }
}

/// A forwarding method.
pub fn forward(text: &str) -> Result<Forward, String> {
    match text {
        "nat" => Ok(Forward::Nat),
        "dr" => Ok(Forward::Dr),
        "tun" => Ok(Forward::Tun(Tunnel::default())),
        _ => Err(unknown_word(text, ["nat", "dr", "tun"].into_iter())),
    }
}

/// Names of the kernel's schedulers, in the order of `ipvsadm`'s help; those there are here are known.
const SCHEDULERS: [&str; 14] =
    ["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh", "twos"];

/// The names [`scheduler`] knows.
pub fn scheduler_names() -> impl Iterator<Item = &'static str> + Clone {
    SCHEDULERS.into_iter().filter(|name| SchedulerKind::from_name(name).is_some())
}

/// A scheduler.
pub fn scheduler(text: &str) -> Result<SchedulerKind, String> {
    SchedulerKind::from_name(text).ok_or_else(|| unknown_word(text, scheduler_names()))
}

/// What `ipvsadm -b` takes.
pub const SCHEDULER_FLAGS: [&str; 7] =
    ["sh-fallback", "sh-port", "mh-fallback", "mh-port", "flag-1", "flag-2", "flag-3"];

/// Adds a flag of a scheduler (`ipvsadm -b`) to `options`.
pub fn scheduler_flag(scheduler: SchedulerKind, flag: &str, options: &mut Options) -> Result<(), String> {
    match flag {
        "sh-fallback" | "mh-fallback" | "flag-1" => options.fallback = true,
        "sh-port" | "mh-port" | "flag-2" => options.port = true,
        "flag-3" => options.flag_3 = true,
        _ => return Err(unknown_word(flag, SCHEDULER_FLAGS.into_iter())),
    }
    match flag.split_once('-') {
        Some((owner, _)) if owner != "flag" && owner != scheduler.name() => {
            Err(format!("{} is a flag of scheduler {owner}, and this service's is {}", quoted(flag), scheduler.name()))
        }
        _ => Ok(()),
    }
}

/// Refuses what Pollux derives itself.
pub fn eal_arg(arg: &str) -> Result<(), String> {
    if arg.contains('\0') || arg.is_empty() {
        return Err("an argument is neither empty nor holds a NUL character".to_owned());
    }
    let name = arg.split('=').next().unwrap_or(arg);
    // getopt takes any unambiguous abbreviation, and short options with their value attached
    let is_long = name.len() >= "--lc".len() && "--lcores".starts_with(name);
    let is_short = !arg.starts_with("--") && (arg.starts_with("-l") || arg.starts_with("-c"));
    if is_long || is_short {
        return Err(format!("{} is derived from [workers] `cores`; name the cores there", quoted(arg)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_address_is_six_hex_pairs_of_a_station() {
        assert_eq!(mac("02:00:00:00:aB:01"), Ok([2, 0, 0, 0, 0xab, 1]));
        for bad in
            ["", "02:00:00:00:00", "02:00:00:00:00:01:02", "2:0:0:0:0:1", "02:00:00:00:00:+1", "02-00-00-00-00-01"]
        {
            assert!(mac(bad).unwrap_err().contains("is not a MAC address; expected six pairs"), "{bad}");
        }
        for bad in ["01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"] {
            assert!(mac(bad).unwrap_err().contains("is not a unicast MAC address"), "{bad}");
        }
    }

    #[test]
    fn the_arguments_of_eal_that_pollux_derives_are_refused_in_every_spelling() {
        for bad in ["-l", "-l0-3", "-c", "-c0x3", "--lcores", "--lcores=0-3", "--lc", "--lcore=1"] {
            assert!(eal_arg(bad).unwrap_err().contains("is derived from [workers] `cores`"), "{bad}");
        }
        for good in ["--log-level=8", "--legacy-mem", "--create-uio-dev", "--vdev", "net_tap0,iface=-l", "-m", "1024"] {
            assert_eq!(eal_arg(good), Ok(()), "{good}");
        }
        assert!(eal_arg("a\0b").is_err() && eal_arg("").is_err());
    }

    #[test]
    fn flags_belong_to_their_scheduler() {
        let mut options = Options::default();
        assert_eq!(scheduler_flag(SchedulerKind::Sh, "sh-port", &mut options), Ok(()));
        assert_eq!(scheduler_flag(SchedulerKind::Rr, "flag-3", &mut options), Ok(()));
        assert_eq!(options, Options { port: true, flag_3: true, ..Options::default() });
        assert_eq!(
            scheduler_flag(SchedulerKind::Rr, "sh-port", &mut options).unwrap_err(),
            "\"sh-port\" is a flag of scheduler sh, and this service's is rr"
        );
        assert!(
            scheduler_flag(SchedulerKind::Sh, "sh-prot", &mut options)
                .unwrap_err()
                .contains("did you mean \"sh-port\"?")
        );
    }

    #[test]
    fn a_host_address_on_a_point_to_point_link_is_no_network_address() {
        assert!(port_address("192.0.2.0/31").is_ok());
        assert!(port_address("192.0.2.1/32").is_ok());
        assert_eq!(port_address("192.0.2.0/24").unwrap_err(), "192.0.2.0 is its network's own address; give a host's");
        assert_eq!(
            port_address("192.0.2.255/24").unwrap_err(),
            "192.0.2.255 is its network's broadcast address; give a host's"
        );
    }
}

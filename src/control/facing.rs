//! Which ports clients are behind and which real servers, as far as a configuration says: a NIC hashes what comes from
//! clients by its source, and what comes from servers behind NAT by its destination, so that both directions of a
//! connection arrive at one worker. A wrong guess costs hand-offs between workers, nothing else.

use super::config::Config;
use crate::model::{Forward, ServiceKey};
use crate::wire::rss_key::{Key, RssKeys};
use ipnet::IpNet;
use std::net::IpAddr;

/// What is behind a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facing {
    /// Virtual services are announced here, or a default route leads through it.
    pub clients: bool,
    /// Real servers behind NAT, whose answers come in here.
    pub servers4: bool,
    pub servers6: bool,
}

impl Facing {
    /// Of each `[[port]]`.
    pub fn of(config: &Config) -> Vec<Self> {
        let mut ports = vec![Self::default(); config.ports.len()];
        let default_routes = config.routes.iter().filter(|route| route.prefix.prefix_len() == 0);
        default_routes.for_each(|route| ports[route.port].clients = true);
        for service in &config.services {
            let address = match service.key {
                ServiceKey::Virtual { address, .. } => Some(address),
                ServiceKey::Mark { .. } => None,
            };
            let port = service.port.or_else(|| port_to(config, address?));
            port.into_iter().for_each(|port| ports[port].clients = true);
            let of_nat = service.destinations.iter().filter(|destination| matches!(destination.forward, Forward::Nat));
            for address in of_nat.map(|destination| destination.address) {
                let Some(port) = port_to(config, address) else { continue };
                if address.is_ipv4() { ports[port].servers4 = true } else { ports[port].servers6 = true }
            }
        }
        ports
    }

    /// Of a device, whose `[[port]]`s, one a VLAN, share its hash.
    pub fn of_device(config: &Config, device: &str) -> Self {
        let ports = config.ports.iter().zip(Self::of(config)).filter(|(port, _)| port.device == device);
        ports.fold(Self::default(), |all, (_, port)| Self {
            clients: all.clients || port.clients,
            servers4: all.servers4 || port.servers4,
            servers6: all.servers6 || port.servers6,
        })
    }

    /// By which it is to hash. With clients and servers on one port, the clients' packets are all that arrive with DR and
    /// TUN, and half of them with NAT.
    pub fn key(self, keys: &RssKeys) -> Key {
        match self {
            Self { clients: false, servers4: true, .. } => keys.destination,
            Self { clients: false, servers4: false, servers6: true } => keys.destination6,
            _ => keys.source,
        }
    }

    /// For an operator.
    pub fn name(self) -> &'static str {
        match (self.clients, self.servers4 || self.servers6) {
            (true, true) => "both",
            (false, true) => "servers",
            _ => "clients",
        }
    }
}

/// Where packets to an address leave: by the longest of the prefixes that are connected or routed.
fn port_to(config: &Config, address: IpAddr) -> Option<usize> {
    let of_port = |(index, port): (usize, &super::config::PortConfig)| {
        port.addresses.iter().map(move |net| (*net, index)).collect::<Vec<(IpNet, usize)>>()
    };
    let connected = config.ports.iter().enumerate().flat_map(of_port);
    let routed = config.routes.iter().map(|route| (route.prefix, route.port));
    let matching = connected.chain(routed).filter(|(net, _)| net.contains(&address));
    // of equal ones the first, which is the connected one
    let longest = |best: (IpNet, usize), next: (IpNet, usize)| match next.0.prefix_len() > best.0.prefix_len() {
        true => next,
        false => best,
    };
    matching.reduce(longest).map(|(_, port)| port)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORTS: &str = r#"
        [[port]]
        name = "a"
        device = "net_null0"
        addresses = ["192.0.2.254/24", "2001:db8::254/64"]
        [[port]]
        name = "b"
        device = "net_null1"
        addresses = ["10.1.0.254/24", "fd00::254/64"]
    "#;

    fn config(rest: &str) -> Config {
        Config::parse(&format!("{PORTS}{rest}"), "test").unwrap()
    }

    fn service(address: &str, destinations: &[(&str, &str)]) -> String {
        let mut text = format!("[[service]]\nprotocol = \"tcp\"\naddress = \"{address}\"\n");
        for (address, forward) in destinations {
            text += &format!("[[service.destination]]\naddress = \"{address}\"\nforward = \"{forward}\"\n");
        }
        text
    }

    const CLIENTS: Facing = Facing { clients: true, servers4: false, servers6: false };
    const SERVERS: Facing = Facing { clients: false, servers4: true, servers6: false };
    const NOBODY: Facing = Facing { clients: false, servers4: false, servers6: false };

    #[test]
    fn clients_are_where_the_service_is_and_nat_servers_where_the_way_to_them_leads() {
        let config = config(&service("192.0.2.10:80", &[("10.1.0.1:80", "nat")]));
        assert_eq!(Facing::of(&config), [CLIENTS, SERVERS]);
        let keys = RssKeys::default();
        assert_eq!([CLIENTS, SERVERS].map(|facing| facing.key(&keys)), [keys.source, keys.destination]);
    }

    #[test]
    fn servers_that_answer_clients_themselves_do_not_count() {
        let config = config(&service("192.0.2.10:80", &[("10.1.0.1:80", "dr"), ("10.1.0.2:80", "tun")]));
        assert_eq!(Facing::of(&config), [CLIENTS, NOBODY]);
        assert_eq!(NOBODY.key(&RssKeys::default()), RssKeys::default().source);
    }

    #[test]
    fn a_route_leads_to_servers_and_a_default_route_to_clients() {
        let routes = r#"
            [[route]]
            prefix = "10.9.0.0/16"
            via = "10.1.0.1"
            [[route]]
            prefix = "0.0.0.0/0"
            via = "192.0.2.1"
        "#;
        let config = config(&format!("{routes}{}", service("198.51.100.1:80", &[("10.9.0.1:80", "nat")])));
        assert_eq!(Facing::of(&config), [CLIENTS, SERVERS]);
    }

    #[test]
    fn one_port_for_both_hashes_the_clients() {
        let config = config(&service("192.0.2.10:80", &[("192.0.2.20:80", "nat")]));
        let both = Facing { servers4: true, ..CLIENTS };
        assert_eq!((Facing::of(&config)[0], both.name()), (both, "both"));
        assert_eq!(both.key(&RssKeys::default()), RssKeys::default().source);
    }

    #[test]
    fn servers_of_ipv6_alone_get_the_key_that_is_exact_for_them() {
        let config = config(&service("[2001:db8::10]:80", &[("[fd00::1]:80", "nat")]));
        let facing = Facing::of_device(&config, "net_null1");
        assert_eq!((facing.name(), facing.key(&RssKeys::default())), ("servers", RssKeys::default().destination6));
        let both = Facing { servers4: true, ..facing };
        assert_eq!(both.key(&RssKeys::default()), RssKeys::default().destination);
    }

    #[test]
    fn vlans_of_one_device_share_its_hash() {
        let vlans = r#"
            [[port]]
            name = "c"
            device = "net_null2"
            vlan = 10
            addresses = ["203.0.113.254/24"]
            [[port]]
            name = "d"
            device = "net_null2"
            vlan = 20
            addresses = ["10.2.0.254/24"]
        "#;
        let config = config(&format!("{vlans}{}", service("203.0.113.10:80", &[("10.2.0.1:80", "nat")])));
        assert_eq!(Facing::of(&config)[2..], [CLIENTS, SERVERS]);
        assert_eq!(Facing::of_device(&config, "net_null2"), Facing { servers4: true, ..CLIENTS });
    }
}

//! What follows from the configured network as a whole: whose addresses these are, and which way leads where. Made by
//! the control thread with the snapshot, so that a worker takes over ten thousand addresses by taking over a pointer.

use super::family::PerFamily;
use super::snapshot::{Interface, Network};
use crate::model::InterfaceId;
use crate::tables::lpm::Lpm;
use hashbrown::HashMap;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address of the director's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    /// Where ARP answers for it.
    pub interface: Option<InterfaceId>,
    /// An address of services, not of an interface.
    pub is_virtual: bool,
}

/// An address as numbers, which are compared and hashed in registers: new connections wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalAddress {
    bits: u128,
    is_v6: bool,
}

impl From<IpAddr> for LocalAddress {
    #[inline(always)]
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self { bits: address.to_bits().into(), is_v6: false },
            IpAddr::V6(address) => Self { bits: address.to_bits(), is_v6: true },
        }
    }
}

impl From<LocalAddress> for IpAddr {
    fn from(LocalAddress { bits, is_v6 }: LocalAddress) -> Self {
        if is_v6 { Ipv6Addr::from_bits(bits).into() } else { Ipv4Addr::from_bits(bits as u32).into() }
    }
}

impl Hash for LocalAddress {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(self.bits);
    }
}

/// A route as packets use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteWay {
    pub interface: InterfaceId,
    /// `None`: the destination itself is the next hop.
    pub via: Option<IpAddr>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    pub locals: HashMap<LocalAddress, Local>,
    /// Of `locals` those that somebody asks for by ARP or ND, and where.
    pub answered: Vec<(InterfaceId, IpAddr)>,
    /// Prefixes to numbers of `ways`.
    pub routes: PerFamily<Lpm>,
    pub ways: Vec<RouteWay>,
}

impl Reach {
    pub fn of(network: &Network) -> Self {
        let mut reach = Self::default();
        reach.add_locals(network);
        reach.add_routes(network);
        reach
    }

    /// An interface's own addresses come last: they are its own also when services are on them.
    fn add_locals(&mut self, network: &Network) {
        self.locals.reserve(network.virtual_addresses.len());
        for virt in &network.virtual_addresses {
            self.locals.insert(virt.address.into(), Local { interface: virt.interface, is_virtual: true });
        }
        let own = |i: &Interface| i.addresses.iter().map(|net| (i.id, net.addr())).collect::<Vec<_>>();
        for (id, address) in network.interfaces.iter().flat_map(own) {
            self.locals.insert(address.into(), Local { interface: Some(id), is_virtual: false });
        }
        self.answered =
            self.locals.iter().filter_map(|(&address, local)| Some((local.interface?, address.into()))).collect();
    }

    /// Of equal prefixes the first stays: a connected one before a configured one.
    fn add_routes(&mut self, network: &Network) {
        let connected = network.interfaces.iter().flat_map(|i| i.addresses.iter().map(|a| (*a, None, i.id)));
        let configured = network.routes.iter().map(|r| (r.prefix, r.via, r.interface));
        for (prefix, via, interface) in connected.chain(configured) {
            let (len, way) = (prefix.prefix_len(), self.ways.len() as u32);
            match prefix.network() {
                IpAddr::V4(network) => self.routes.v4.insert(&network.octets(), len, way),
                IpAddr::V6(network) => self.routes.v6.insert(&network.octets(), len, way),
            }
            self.ways.push(RouteWay { interface, via });
        }
    }
}

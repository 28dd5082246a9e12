//! Virtual services.

use super::client_mask::ClientMask;
use super::protocol::{Family, Protocol};
use hashbrown::Equivalent;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;

/// What makes a packet a service's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ServiceKey {
    /// A virtual address; port 0 means every port that has no service of its own.
    Virtual { protocol: Protocol, address: IpAddr, port: u16 },
    /// A firewall mark, per address family as in IPVS.
    Mark { mark: u32, family: Family },
}

impl ServiceKey {
    pub const fn family(&self) -> Family {
        match self {
            Self::Virtual { address, .. } => Family::of(*address),
            Self::Mark { family, .. } => *family,
        }
    }
}

/// A key as numbers, another for each key. Maps find keys by it: it is made, hashed and compared in registers, and new
/// connections wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceNumber {
    address: u128,
    rest: u64,
}

impl From<ServiceKey> for ServiceNumber {
    #[inline(always)]
    fn from(key: ServiceKey) -> Self {
        match key {
            ServiceKey::Virtual { protocol, address, port } => {
                let rest = u64::from(port) << 8 | u64::from(protocol.number());
                match address {
                    IpAddr::V4(address) => Self { address: address.to_bits().into(), rest },
                    IpAddr::V6(address) => Self { address: address.to_bits(), rest: rest | 1 << 24 },
                }
            }
            ServiceKey::Mark { mark, family } => {
                Self { address: 0, rest: u64::from(mark) << 32 | 1 << 25 | (family as u64) << 24 }
            }
        }
    }
}

impl Hash for ServiceNumber {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(self.address ^ u128::from(self.rest) << 64);
    }
}

impl Equivalent<ServiceKey> for ServiceNumber {
    #[inline]
    fn equivalent(&self, key: &ServiceKey) -> bool {
        *self == Self::from(*key)
    }
}

/// As its number.
impl Hash for ServiceKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        ServiceNumber::from(*self).hash(state);
    }
}

/// `TCP 192.0.2.10:80`, as in the listings of `ipvsadm -Ln`.
impl std::fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Virtual { protocol, address, port } => {
                write!(f, "{} {}", protocol.name(), std::net::SocketAddr::new(*address, *port))
            }
            Self::Mark { mark, family: Family::V4 } => write!(f, "FWM {mark}"),
            Self::Mark { mark, family: Family::V6 } => write!(f, "FWM {mark} IPv6"),
        }
    }
}

/// Clients of one network go to one destination (`ipvsadm -p -M`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Persistence {
    pub timeout_s: u32,
    /// Of the service's family.
    pub mask: ClientMask,
    /// What else makes a client, instead of its network (`ipvsadm --pe`).
    pub engine: Option<PersistenceEngine>,
}

/// A persistence engine of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PersistenceEngine {
    /// SIP messages of one Call-ID go to one destination.
    Sip,
}

impl PersistenceEngine {
    /// As in `ipvsadm --pe`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sip => "sip",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        (name == "sip").then_some(Self::Sip)
    }
}

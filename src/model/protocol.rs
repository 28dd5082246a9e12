//! Transport protocols a service can have, and address families.

use std::net::IpAddr;

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// An IP protocol number (IANA "Protocol Numbers"), restricted to those with connections.
/// [`Protocol::Ip`] is what IPVS gives the templates of mark services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Protocol {
    Ip = 0,
    Tcp = 6,
    Udp = 17,
    Esp = 50,
    Ah = 51,
    Sctp = 132,
}

impl Protocol {
    /// The protocol with this number, `None` for those that are not balanced.
    #[inline]
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            6 => Self::Tcp,
            17 => Self::Udp,
            50 => Self::Esp,
            51 => Self::Ah,
            132 => Self::Sctp,
            _ => return None,
        })
    }

    pub const fn number(self) -> u8 {
        self as u8
    }

    /// As the kernel prints it in `/proc/net/ip_vs`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ip => "IP",
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Esp => "ESP",
            Self::Ah => "AH",
            Self::Sctp => "SCTP",
        }
    }

    pub const fn has_ports(self) -> bool {
        matches!(self, Self::Tcp | Self::Udp | Self::Sctp)
    }
}

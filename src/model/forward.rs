//! Forwarding methods.

/// How packets reach a destination (IPVS: masq, route, tunnel).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Forward {
    /// Destination address and port rewritten, replies rewritten back (masq).
    Nat,
    /// Direct routing: only the MAC addresses change (route, gatewaying).
    Dr,
    /// Encapsulated towards the destination.
    Tun(Tunnel),
    /// The destination is an address of the director itself.
    Local,
}

impl Forward {
    /// As `ipvsadm -L` prints it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nat => "Masq",
            Self::Dr => "Route",
            Self::Tun(_) => "Tunnel",
            Self::Local => "Local",
        }
    }

    /// As the configuration file says it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Nat => "nat",
            Self::Dr => "dr",
            Self::Tun(_) => "tun",
            Self::Local => "local",
        }
    }
}

/// An encapsulation and its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Tunnel {
    pub kind: TunnelKind,
    /// GUE's destination port; 0 for the others.
    pub port: u16,
    pub checksum: TunnelChecksum,
}

/// RFC 2003/2473 (IPIP), RFC 2784 (GRE), draft-ietf-intarea-gue (GUE).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum TunnelKind {
    #[default]
    Ipip,
    Gue,
    Gre,
}

impl TunnelKind {
    pub const ALL: [Self; 3] = [Self::Ipip, Self::Gue, Self::Gre];

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// As `ipvsadm --tun-type` takes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ipip => "ipip",
            Self::Gue => "gue",
            Self::Gre => "gre",
        }
    }
}

/// Checksum of the tunnel header (`--tun-nocsum`, `--tun-csum`, `--tun-remcsum`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum TunnelChecksum {
    #[default]
    None,
    Full,
    Remote,
}

impl TunnelChecksum {
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::None, Self::Full, Self::Remote].into_iter().find(|checksum| checksum.word() == word)
    }

    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Full => "full",
            Self::Remote => "remote",
        }
    }
}

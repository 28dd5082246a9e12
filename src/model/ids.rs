//! One newtype an index, so that a port number is never taken for a queue number.

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident($repr:ty);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        #[repr(transparent)]
        pub struct $name(pub $repr);

        impl $name {
            /// As an index into a table of this kind.
            #[inline(always)]
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

ids! {
    /// A DPDK port, in the order of the configuration's `[[port]]` devices.
    PortId(u16);
    /// A receive or transmit queue of one port.
    QueueId(u16);
    /// An interface: a (device, VLAN) pair, in the order of `[[port]]` tables.
    InterfaceId(u16);
    /// A poll loop, in the order of `[workers] cores`.
    WorkerId(u16);
    /// A virtual service; stable across snapshots for as long as the service exists.
    ServiceId(u32);
    /// A destination of one service; stable across snapshots, also while the destination is in the trash.
    DestId(u32);
    /// A set of timeouts; the first, which is the default, holds for services without their own.
    TimeoutsId(u16);
}

impl DestId {
    /// No destination: a connection that bypasses the pool, or whose destination is not known here.
    pub const NONE: Self = Self(u32::MAX);
}

//! What a service does otherwise than the kernel when it is asked to. The default is the kernel's behaviour.

/// Of one service; its destinations keep them when the service is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Departures {
    pub timeouts: OwnTimeouts,
    /// Seconds after which the connections of a destination end that was quiesced (weight 0) or removed; 0: they end by
    /// themselves.
    pub drain_deadline_s: u32,
    /// An established TCP connection that ends because nothing came is reset: both ends with NAT, else the client.
    pub reset_on_idle_expiry: bool,
    /// A UDP packet of a connection whose destination was removed or quiesced goes to another at once.
    pub reschedule_udp: bool,
}

/// Timeouts of one service, in seconds; 0: as everywhere (`[timeouts]`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct OwnTimeouts {
    pub tcp_established_s: u32,
    pub tcp_fin_wait_s: u32,
    pub udp_s: u32,
}

//! Timeouts of connection states; the defaults are the kernel's (ip_vs_proto_tcp.c, ip_vs_proto_udp.c).

use super::state::TcpState;
use super::time::Tick;

/// Timeouts in ticks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Indexed by [`TcpState`].
    pub tcp: [u32; TcpState::COUNT],
    pub udp: u32,
}

/// Timeout of a new connection until its first state change (ip_vs_conn.c).
pub const FIRST_S: u32 = 3;
/// Extension of a connection that expires while others still depend on it (ip_vs_conn.c).
pub const REARM_S: u32 = 60;

const fn seconds(values: [u32; TcpState::COUNT]) -> [u32; TcpState::COUNT] {
    let mut ticks = values;
    let mut i = 0;
    while i < ticks.len() {
        ticks[i] *= Tick::PER_S;
        i += 1;
    }
    ticks
}

impl Default for Timeouts {
    fn default() -> Self {
        //             NO  ES  SS   SR  FW   TW   CL  CW  LA  LI   SA
        let tcp = seconds([2, 900, 120, 60, 120, 120, 10, 60, 30, 120, 120]);
        Self { tcp, udp: 300 * Tick::PER_S }
    }
}

//! Timeouts of connection states; the defaults are the kernel's (ip_vs_proto_tcp.c, ip_vs_proto_udp.c,
//! ip_vs_proto_sctp.c).

use super::state::{SctpState, TcpState};
use super::time::Tick;

/// Timeouts in ticks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Indexed by [`TcpState`].
    pub tcp: [u32; TcpState::COUNT],
    pub udp: u32,
    /// Indexed by [`SctpState`].
    pub sctp: [u32; SctpState::COUNT],
}

/// Timeout of a new connection until its first state change (ip_vs_conn.c).
pub const FIRST_S: u32 = 3;
/// Extension of a connection that expires while others still depend on it (ip_vs_conn.c).
pub const REARM_S: u32 = 60;

const fn seconds<const N: usize>(values: [u32; N]) -> [u32; N] {
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
        // a minute is the longest retransmission timeout (RFC 9260 section 16), and a second to spare
        //              NO I1 IN  CS  CR  CW  CO  CE  ES   SS  SR  SA  RJ CL
        let sctp = seconds([2, 4, 61, 61, 61, 61, 61, 61, 900, 61, 61, 61, 4, 61]);
        Self { tcp, udp: 300 * Tick::PER_S, sctp }
    }
}

//! The kernel's IPVS sysctls, by the kernel's names and with its defaults (ip_vs_ctl.c), and `[ip]`.

/// Values a running director can be told to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Schedule TCP connections on any packet but a RST.
    pub sloppy_tcp: bool,
    /// Schedule SCTP associations on any packet, not only on INIT.
    pub sloppy_sctp: bool,
    /// A packet of a connection whose destination is gone expires the connection.
    pub expire_nodest_conn: bool,
    /// Persistence to a quiesced destination ends, and its clients are scheduled anew.
    pub expire_quiescent_template: bool,
    /// 0: an entry is always reused; 1: a SYN for a finished connection schedules anew.
    pub conn_reuse_mode: u8,
    /// Copy DF to the outer header and tell clients the tunnel's MTU.
    pub pmtu_disc: bool,
    /// 3: of the packets that would begin a connection, one in `am_droprate` is dropped. 1 and 2 would do so when memory
    /// is short, which it never is: tables are made at the start.
    pub drop_packet: u8,
    pub am_droprate: u32,
    /// 3: once a second some of the connections that are being opened, and of the least used ones, end; 1 and 2 as above.
    pub drop_entry: u8,
    /// 3: TCP connections are established by the client's answer to the server alone; 1 and 2 as above.
    pub secure_tcp: u8,
    /// Marked packets for which their service has no destination go to where they are addressed.
    pub cache_bypass: bool,
    /// A destination behind NAT is told by ICMP when no connection is its packet's.
    pub nat_icmp_send: bool,
    /// ICMP errors about unknown connections are scheduled as what they quote.
    pub schedule_icmp: bool,
    /// lblc and lblcr: seconds after which an unused cache entry goes, or a server set shrinks.
    pub lblc_expiration_s: u32,
    pub lblcr_expiration_s: u32,
    /// Route packets that are no service's.
    pub forward: bool,
    /// ICMP errors a worker sends a second at most; 0: no limit.
    pub icmp_errors_per_s: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sloppy_tcp: false,
            sloppy_sctp: false,
            expire_nodest_conn: false,
            expire_quiescent_template: false,
            conn_reuse_mode: 1,
            pmtu_disc: true,
            drop_packet: 0,
            am_droprate: 10,
            drop_entry: 0,
            secure_tcp: 0,
            cache_bypass: false,
            nat_icmp_send: false,
            schedule_icmp: false,
            lblc_expiration_s: 24 * 60 * 60,
            lblcr_expiration_s: 24 * 60 * 60,
            forward: false,
            icmp_errors_per_s: super::limits::ICMP_ERRORS_PER_S,
        }
    }
}

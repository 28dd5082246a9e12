//! Every key of the file, in one place: validation, messages and `docs/configuration.md` come from here.
//!
//! A new key is a line here, a field in [`file`](super::file), and what [`validate`](super::validate) makes of it; the
//! tests tell when one is missing.

use Absent::{Default, Means, Required};
use Change::{Reload, Restart};
use Kind::{Boolean, Number, Numbers, Ports, Switch, Text, Texts, Word};

/// A table of the file, in the order of `docs/configuration.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    Root,
    Dpdk,
    Workers,
    Connections,
    Timeouts,
    Ipvs,
    Ip,
    Port,
    Route,
    Neighbour,
    Mark,
    Service,
    Destination,
}

impl Table {
    pub const ALL: &'static [Self] = &[
        Self::Dpdk,
        Self::Workers,
        Self::Connections,
        Self::Timeouts,
        Self::Ipvs,
        Self::Ip,
        Self::Port,
        Self::Route,
        Self::Neighbour,
        Self::Mark,
        Self::Service,
        Self::Destination,
    ];

    /// As it stands in the file.
    pub const fn heading(self) -> &'static str {
        match self {
            Self::Root => "the file",
            Self::Dpdk => "[dpdk]",
            Self::Workers => "[workers]",
            Self::Connections => "[connections]",
            Self::Timeouts => "[timeouts]",
            Self::Ipvs => "[ipvs]",
            Self::Ip => "[ip]",
            Self::Port => "[[port]]",
            Self::Route => "[[route]]",
            Self::Neighbour => "[[neighbour]]",
            Self::Mark => "[[mark]]",
            Self::Service => "[[service]]",
            Self::Destination => "[[service.destination]]",
        }
    }

    /// One or two sentences for an operator.
    pub const fn explanation(self) -> &'static str {
        match self {
            Self::Root => "",
            Self::Dpdk => "How DPDK starts.",
            Self::Workers => "The poll loops that handle packets.",
            Self::Connections => "The connection tables.",
            Self::Timeouts => "How long a connection is kept in each state; the defaults are the kernel's.",
            Self::Ipvs => "The kernel's IPVS sysctls, by the kernel's names and with its defaults.",
            Self::Ip => "What happens to packets that are no service's.",
            Self::Port => "An interface of the director: a DPDK device, or one VLAN of it. At least one is needed.",
            Self::Route => "A way to networks that no port is connected to. The longest matching prefix wins.",
            Self::Neighbour => "A next hop whose MAC address is fixed; all others are asked for, by ARP or ND.",
            Self::Mark => {
                "A rule that gives packets a mark, as a firewall's: of the rules that fit a packet the first one counts, in \
                 the order of the file. All that a rule names must fit. Packets whose mark is a service's are taken \
                 whatever address they have."
            }
            Self::Service => {
                "A virtual service. Its own timeouts and what comes after them are not the kernel's; without them it \
                 behaves as the kernel does."
            }
            Self::Destination => {
                "A real server of the `[[service]]` above it. Destinations enter a service as if by `ipvsadm -a`, in \
                 the order of the file."
            }
        }
    }

    /// The key under which the parent holds it.
    pub fn name(self) -> &'static str {
        let path = self.heading().trim_matches(['[', ']']);
        path.rsplit_once('.').map_or(path, |(_, name)| name)
    }

    pub fn is_array(self) -> bool {
        self.heading().starts_with("[[")
    }

    pub const fn parent(self) -> Option<Self> {
        match self {
            Self::Root => None,
            Self::Destination => Some(Self::Service),
            _ => Some(Self::Root),
        }
    }

    pub fn children(self) -> impl Iterator<Item = Self> {
        Self::ALL.iter().copied().filter(move |table| table.parent() == Some(self))
    }

    pub fn child(self, name: &str) -> Option<Self> {
        self.children().find(|table| table.name() == name)
    }

    pub fn keys(self) -> impl Iterator<Item = &'static Key> {
        KEYS.iter().filter(move |key| key.table == self)
    }

    pub fn key(self, name: &str) -> Option<&'static Key> {
        self.keys().find(|key| key.name == name)
    }
}

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    /// One of these.
    Word(&'static [&'static str]),
    /// From, to.
    Number(i64, i64),
    Boolean,
    /// A boolean, or the kernel's 0 and 1.
    Switch,
    Texts,
    Numbers(i64, i64),
    /// A port, or a range of them as text.
    Ports,
}

impl Kind {
    pub const fn name(self) -> &'static str {
        match self {
            Text | Word(_) => "a string",
            Number(..) => "an integer",
            Boolean => "a boolean",
            Switch => "a boolean or 0 or 1",
            Texts => "an array of strings",
            Numbers(..) => "an array of integers",
            Ports => "an integer or a string",
        }
    }

    /// Of an array.
    pub const fn element(self) -> Option<Self> {
        match self {
            Texts => Some(Text),
            Numbers(min, max) => Some(Number(min, max)),
            _ => None,
        }
    }
}

/// What holds when a key is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    Required,
    /// This value.
    Default(&'static str),
    /// What no single value says.
    Means(&'static str),
}

/// When a changed key takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Reload,
    Restart,
}

/// A key of the file.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    pub table: Table,
    pub name: &'static str,
    pub kind: Kind,
    /// Empty where there is none.
    pub unit: &'static str,
    pub absent: Absent,
    /// What `kind` does not say; may be empty.
    pub allowed: &'static str,
    /// A value, as in the file.
    pub example: &'static str,
    pub change: Change,
    pub explanation: &'static str,
}

impl Key {
    /// Table and key, as messages name them.
    pub fn place(&self) -> String {
        format!("{} `{}`", self.table.heading(), self.name)
    }

    /// What the key takes, for messages and the documentation.
    pub fn allowed_text(&self) -> String {
        let of_kind = match self.kind {
            Word(words) => words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(", "),
            Number(min, max) | Numbers(min, max) => format!("{} to {}", separated(min), separated(max)),
            Boolean => "true, false".to_owned(),
            Switch => "true, false, 1, 0".to_owned(),
            Ports => "0 to 65535; a range as in `\"5000-5010\"`".to_owned(),
            Text | Texts => String::new(),
        };
        [of_kind.as_str(), self.allowed].iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join("; ")
    }
}

/// A number as TOML lets one write it: `1_000_000`.
fn separated(number: i64) -> String {
    let digits = number.to_string();
    if digits.len() < 5 {
        return digits;
    }
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join("_")
}

/// 31 days, as `ipvsadm` limits timeouts; in ticks of 10 ms that is far within 31 bits.
pub const TIMEOUT_S_MAX: i64 = 31 * 24 * 60 * 60;
/// What a worker's table can be made for; more than it would panic at the start.
pub const CAPACITY_MAX: i64 = crate::tables::connections::CAPACITY_MAX as i64;
/// `ipvsadm -w`: the kernel takes it for a signed integer.
pub const WEIGHT_MAX: i64 = i32::MAX as i64;
/// CPUs a `cpu_set_t` can name.
const CORE_MAX: i64 = 1023;

macro_rules! keys {
    ($($table:ident {$(
        $name:literal $kind:expr, $unit:literal, $absent:expr, $allowed:literal, $example:literal, $change:ident,
            $explanation:literal;
    )*})*) => {
        pub const KEYS: &[Key] = &[$($(Key {
            table: Table::$table,
            name: $name,
            kind: $kind,
            unit: $unit,
            absent: $absent,
            allowed: $allowed,
            example: $example,
            change: $change,
            explanation: $explanation,
        }),*),*];
    };
}

const TIMEOUT: Kind = Number(1, TIMEOUT_S_MAX);
const COUNT: Kind = Number(0, u32::MAX as i64);

// name kind, unit, when absent, allowed beyond the kind, example, when it takes effect, explanation
keys! {
    Dpdk {
        "eal_args" Texts, "", Default("[]"), "everything but `-l`, `-c` and `--lcores`",
            r#"["--no-huge", "--no-pci", "--vdev", "net_af_packet0,iface=veth0"]"#, Restart,
            "Arguments of DPDK's environment abstraction layer, handed over as they are. Pollux itself adds `--lcores` \
             from `[workers]`, `--file-prefix`, and `-m` with `--no-huge`.";
        "secondary" Boolean, "", Default("false"), "", "true", Restart,
            "Keep huge pages visible, so that secondary processes (`dpdk-dumpcap`) can attach. They then outlive a \
             process that is killed.";
    }
    Workers {
        "cores" Numbers(0, CORE_MAX), "CPU number", Means("all but the first this process may use"), "1 to 128 entries",
            "[1, 2, 3]", Restart, "One worker an entry. A core that repeats is shared by its workers. By default one hyper-thread of each core has \
             one, those on the NICs' NUMA nodes first.";
        "idle" Word(&["spin", "yield", "sleep"]), "", Default(r#""spin""#), "", r#""yield""#, Restart,
            "What a worker does when no packet waits: poll on, offer its core to others, or sleep for a moment. `spin` \
             for production; workers that share a core yield all the same.";
        "rss_key" Text, "hexadecimal digits", Means("Microsoft's published key"),
            "80 of them, with colons between the bytes or without",
            "\"be:ac:01:fa:6a:42:b7:3b:80:30:f2:0c:77:cb:2d:a3:ae:7b:30:b4:d0:ca:2b:cb:43:a3:8f:b0:41:67:25:3d:25:5b:0e:c2:6d:5a:56:da\"", Restart,
            "The key of the Toeplitz hash by which connections are spread over workers, by ports as well as in software.";
    }
    Connections {
        "capacity_per_worker" Number(1, CAPACITY_MAX), "connections", Default("1_000_000"), "", "4_000_000", Restart,
            "Connections of each address family that a worker can hold. A family's table gets all its memory with its \
             first service, on huge pages where there are some: 80 bytes a connection for IPv4, 144 for IPv6. New \
             connections beyond are dropped as `table_full`, existing ones go on.";
    }
    Timeouts {
        "tcp_none_s" TIMEOUT, "seconds", Default("2"), "", "5", Reload, "TCP, NONE.";
        "tcp_established_s" TIMEOUT, "seconds", Default("900"), "", "7_200", Reload, "TCP, ESTABLISHED.";
        "tcp_syn_sent_s" TIMEOUT, "seconds", Default("120"), "", "60", Reload, "TCP, SYN_SENT.";
        "tcp_syn_recv_s" TIMEOUT, "seconds", Default("60"), "", "30", Reload, "TCP, SYN_RECV.";
        "tcp_fin_wait_s" TIMEOUT, "seconds", Default("120"), "", "60", Reload, "TCP, FIN_WAIT.";
        "tcp_time_wait_s" TIMEOUT, "seconds", Default("120"), "", "60", Reload, "TCP, TIME_WAIT.";
        "tcp_close_s" TIMEOUT, "seconds", Default("10"), "", "5", Reload, "TCP, CLOSE.";
        "tcp_close_wait_s" TIMEOUT, "seconds", Default("60"), "", "30", Reload, "TCP, CLOSE_WAIT.";
        "tcp_last_ack_s" TIMEOUT, "seconds", Default("30"), "", "15", Reload, "TCP, LAST_ACK.";
        "tcp_listen_s" TIMEOUT, "seconds", Default("120"), "", "60", Reload, "TCP, LISTEN.";
        "tcp_synack_s" TIMEOUT, "seconds", Default("120"), "", "60", Reload, "TCP, SYNACK.";
        "udp_s" TIMEOUT, "seconds", Default("300"), "", "30", Reload, "UDP.";
    }
    Ipvs {
        "sloppy_tcp" Switch, "", Default("false"), "", "true", Reload,
            "Schedule a TCP connection on any packet but a RST, not only on a SYN.";
        "sloppy_sctp" Switch, "", Default("false"), "", "true", Reload,
            "Schedule an SCTP association on any packet, not only on an INIT.";
        "expire_nodest_conn" Switch, "", Default("false"), "", "true", Reload,
            "A packet of a connection whose destination was removed expires the connection.";
        "expire_quiescent_template" Switch, "", Default("false"), "", "true", Reload,
            "Persistence to a quiesced destination (weight 0) ends: its clients are scheduled anew.";
        "conn_reuse_mode" Number(0, 3), "", Default("1"), "", "0", Reload,
            "A SYN that hits a finished connection: 0 reuses it, 1 schedules anew, 2 and 3 do so in FIN_WAIT as well \
             when no reply was seen.";
        "pmtu_disc" Switch, "", Default("true"), "", "false", Reload,
            "Tunnels copy DF to the outer header and tell clients the smaller MTU.";
        "drop_packet" Number(0, 3), "", Default("0"), "", "3", Reload,
            "3: of the packets that would begin a connection one in `am_droprate` is dropped. 1 and 2 do so when memory is \
             short; tables are made at the start, so it never is.";
        "am_droprate" Number(1, 1_000_000), "packets", Default("10"), "", "100", Reload,
            "One in so many packets is dropped with `drop_packet`.";
        "drop_entry" Number(0, 3), "", Default("0"), "", "3", Reload,
            "3: once a second one part in 32 of the connection table is looked through, and connections that are only \
             half open, or hardly used, are ended. 1 and 2 as with `drop_packet`.";
        "secure_tcp" Number(0, 3), "", Default("0"), "", "3", Reload,
            "3: a TCP connection whose server has answered is in SYNACK, and established by its client alone. 1 and 2 as \
             with `drop_packet`.";
        "cache_bypass" Switch, "", Default("false"), "", "true", Reload,
            "A marked packet for which its service has no destination goes to where it is addressed, for transparent \
             caches.";
        "nat_icmp_send" Switch, "", Default("false"), "", "true", Reload,
            "A destination behind NAT is told by ICMP when its packet belongs to no connection.";
        "schedule_icmp" Switch, "", Default("false"), "", "true", Reload,
            "An ICMP error about an unknown connection is scheduled as the packet that it quotes.";
        "lblc_expiration_s" TIMEOUT, "seconds", Default("86_400"), "", "3_600", Reload,
            "Scheduler lblc: unused time after which a cache entry goes.";
        "lblcr_expiration_s" TIMEOUT, "seconds", Default("86_400"), "", "3_600", Reload,
            "Scheduler lblcr: unchanged time after which a server set loses its most loaded member.";
    }
    Ip {
        "forward" Boolean, "", Means("true when any destination is `nat`, else false"), "", "true", Reload,
            "Route packets that are no service's, as real servers behind NAT need it from their gateway.";
        "icmp_errors_per_s" Number(0, 1_000_000), "errors", Default("1_000"), "0 is unlimited", "100", Reload,
            "ICMP errors a worker sends a second at most.";
    }
    Port {
        "name" Text, "", Required, "1 to 32 letters, digits, `.`, `_`, `-`; unique", r#""client""#, Restart,
            "Yours to choose; used in the tables below and in every output.";
        "device" Text, "", Required, "a PCI address or a vdev's name; unique together with `vlan`",
            r#""net_af_packet0""#, Restart, "The DPDK device.";
        "addresses" Texts, "", Default("[]"), "addresses with prefix length", r#"["192.0.2.254/24"]"#, Reload,
            "The director's own addresses: they answer ARP and ping, and make the connected routes.";
        "mac" Text, "", Means("the device's own"), "a unicast MAC address", r#""02:00:00:00:00:01""#, Restart,
            "The port's MAC address; in software where the driver cannot set one.";
        "vlan" Number(1, 4094), "802.1Q tag", Means("untagged"), "", "100", Restart,
            "The port is this VLAN of the device.";
        "mtu" Number(68, 9600), "bytes of IP packet", Default("1500"), "", "9000", Restart,
            "The largest packet sent unfragmented; 68 is the least IPv4 allows (RFC 791).";
    }
    Route {
        "prefix" Text, "", Required, "a network with prefix length; unique", r#""0.0.0.0/0""#, Reload,
            "Where the route leads.";
        "via" Text, "", Means("the network is on the link of `port`"), "an address in a connected network",
            r#""192.0.2.1""#, Reload, "The next hop.";
        "port" Text, "", Means("the port that `via` is connected to"), "the name of a `[[port]]`", r#""client""#, Reload,
            "The port packets leave by.";
    }
    Neighbour {
        "port" Text, "", Required, "the name of a `[[port]]`", r#""client""#, Reload, "The port it is reached by.";
        "address" Text, "", Required, "a unicast address; unique on its port", r#""192.0.2.1""#, Reload,
            "Its IP address.";
        "mac" Text, "", Required, "a unicast MAC address", r#""02:00:00:00:00:02""#, Reload, "Its MAC address.";
    }
    Mark {
        "mark" Number(0, u32::MAX as i64), "", Required, "0 is none, whatever later rules say", "7", Reload, "The mark.";
        "protocol" Word(&["tcp", "udp", "sctp", "icmp", "icmpv6", "ah", "esp"]), "", Means("any"), "", r#""tcp""#, Reload,
            "The packet's protocol.";
        "source" Text, "", Means("any"), "a network with prefix length, or an address", r#""203.0.113.0/24""#, Reload,
            "Where it comes from.";
        "destination" Text, "", Means("any"), "as `source`, and of its family", r#""192.0.2.128/26""#, Reload,
            "Where it is addressed to.";
        "source_port" Ports, "", Means("any"), "only with `protocol` tcp, udp or sctp", r#""1024-65535""#, Reload,
            "Its source port.";
        "destination_port" Ports, "", Means("any"), "only with `protocol` tcp, udp or sctp", "80", Reload,
            "Its destination port.";
        "port" Text, "", Means("any"), "the name of a `[[port]]`", r#""client""#, Reload, "The port it came in by.";
    }
    Service {
        "protocol" Text, "", Means("required, unless there is `mark`"),
            r#""tcp", "udp", "sctp""#, r#""udp""#, Reload, "The service's protocol.";
        "address" Text, "", Means("required, unless there is `mark`"),
            "`ADDRESS:PORT`, `[ADDRESS]:PORT` for IPv6; unique together with `protocol`", r#""192.0.2.10:80""#, Reload,
            "The virtual address (VIP) and port. Port 0 is every port that has no service of its own; it needs \
             persistence.";
        "mark" Number(1, u32::MAX as i64), "", Means("none"), "unique together with `family`", "7", Reload,
            "The mark (see `[[mark]]`) that makes a packet the service's, instead of `protocol` and `address`.";
        "family" Word(&["ipv4", "ipv6"]), "", Default(r#""ipv4""#), "only with `mark`", r#""ipv6""#, Reload,
            "Of the packets with the mark, those of this family.";
        "scheduler" Text, "", Default(r#""wlc""#), "the name of a scheduler", r#""wrr""#, Reload,
            "How destinations are chosen for new connections.";
        "scheduler_flags" Texts, "", Default("[]"),
            r#""sh-fallback", "sh-port" with scheduler sh; "flag-1", "flag-2", "flag-3" with any"#,
            r#"["sh-port"]"#, Reload, "Flags of the scheduler (`ipvsadm -b`).";
        "persistence_timeout_s" TIMEOUT, "seconds", Means("no persistence"), "",
            "360", Reload, "Clients come back to the same destination for so long (`ipvsadm -p`).";
        "persistence_mask" Text, "", Means("every client for itself"),
            "an IPv4 mask, also one with gaps; for IPv6 a prefix length like `\"64\"`; only with `persistence_timeout_s`",
            r#""255.255.255.0""#, Reload, "Clients of one network count as one (`ipvsadm -M`).";
        "persistence_engine" Word(&["sip"]), "", Means("none"), "only with `persistence_timeout_s`", r#""sip""#, Reload,
            "What else makes a client: with `sip` a call (Call-ID) of SIP over UDP (`ipvsadm --pe`).";
        "one_packet" Boolean, "", Default("false"), "", "true", Reload,
            "UDP: every packet is scheduled by itself (`ipvsadm -o`).";
        "strict" Boolean, "", Default("false"), "", "true", Reload,
            "With several workers: one of them has all of the service's packets, so that its scheduler decides connection \
             for connection as IPVS does. Else the workers share its connections, and what they decide together is within \
             a percent of that.";
        "port" Text, "", Means("the port whose network the address lies in"), "the name of a `[[port]]`",
            r#""client""#, Reload, "The port that answers ARP or ND for the address.";
        "tcp_established_s" TIMEOUT, "seconds", Means("that of `[timeouts]`"), "", "7_200", Reload,
            "The service's own timeout of TCP, ESTABLISHED.";
        "tcp_fin_wait_s" TIMEOUT, "seconds", Means("that of `[timeouts]`"), "", "60", Reload,
            "The service's own timeout of TCP, FIN_WAIT.";
        "udp_s" TIMEOUT, "seconds", Means("that of `[timeouts]`"), "", "30", Reload, "The service's own timeout of UDP.";
        "drain_deadline_s" TIMEOUT, "seconds", Means("none: they end by themselves"), "", "600", Reload,
            "The connections of a destination that is quiesced (weight 0) or removed end after so long.";
        "reset_on_idle_expiry" Boolean, "", Default("false"), "", "true", Reload,
            "An established TCP connection that ends because nothing came is reset: at both ends with `nat`, at the \
             client's with `dr` and `tun`.";
        "reschedule_udp" Boolean, "", Default("false"), "", "true", Reload,
            "A UDP packet whose destination was removed or quiesced is scheduled anew at once, instead of when its \
             connection has ended.";
    }
    Destination {
        "address" Text, "", Required, "`ADDRESS` or `ADDRESS:PORT`; unique in its service", r#""10.1.0.1:8080""#, Reload,
            "The real server (RIP) and its port. Without a port it is the service's, which is the only one that `dr` \
             and `tun` allow.";
        "forward" Word(&["nat", "dr", "tun"]), "", Default(r#""dr""#), "", r#""nat""#, Reload,
            "How packets reach it: `nat` rewrites addresses, `dr` (direct routing) only MAC addresses, `tun` wraps \
             them in a tunnel. With `tun` the destination may be of another address family than the service.";
        "tunnel" Word(&["ipip", "gue", "gre"]), "", Default(r#""ipip""#), "only with `forward = \"tun\"`", r#""gre""#,
            Reload, "The tunnel's type (`ipvsadm --tun-type`).";
        "tunnel_port" Number(1, 65_535), "", Means("none"), "required with `tunnel = \"gue\"`, and only there", "6080",
            Reload, "The UDP port that GUE packets go to (`ipvsadm --tun-port`).";
        "tunnel_checksum" Word(&["none", "full", "remote"]), "", Default(r#""none""#),
            "only with `tunnel = \"gue\"` or, but for \"remote\", `\"gre\"`", r#""full""#, Reload,
            "The checksum in the tunnel's header (`ipvsadm --tun-csum`, `--tun-remcsum`).";
        "weight" Number(0, WEIGHT_MAX), "", Default("1"), "", "3", Reload,
            "Its share of new connections; 0 quiesces: connections go on, new ones go elsewhere.";
        "threshold_upper" COUNT, "connections", Default("0"), "0 is unlimited", "1_000", Reload,
            "From so many connections on it gets no new ones (`ipvsadm -x`).";
        "threshold_lower" COUNT, "connections", Default("0"),
            "0 is three quarters of `threshold_upper`; at most `threshold_upper`", "800", Reload,
            "Below so many it gets new ones again (`ipvsadm -y`).";
    }
}

/// Sysctls of the kernel's that are no keys here, and why: for whoever comes from there.
pub const SYSCTLS_LEFT_OUT: &[(&str, &str)] = &[
    ("amemthresh", "memory is never short: tables are made at the start"),
    ("backup_only", SYNC),
    ("conntrack", "no other connection tracking is kept: the director's own table is the only one"),
    ("debug_level", "`pollux show drops` says what becomes of packets"),
    ("est_cpulist", "rates are worked out by the control thread, which is not on the packets' way"),
    ("est_nice", "rates are worked out by the control thread, which is not on the packets' way"),
    ("ignore_tunneled", "what comes in through a tunnel is left to the host, as with 1"),
    ("run_estimation", "rates are always worked out"),
    ("snat_reroute", "replies are always routed by the address they have in the end, as with 1"),
    ("sync_persist_mode", SYNC),
    ("sync_ports", SYNC),
    ("sync_qlen_max", SYNC),
    ("sync_refresh_period", SYNC),
    ("sync_retries", SYNC),
    ("sync_sock_size", SYNC),
    ("sync_threshold", SYNC),
    ("sync_version", SYNC),
];

const SYNC: &str = "connections are not synchronised with other directors yet";

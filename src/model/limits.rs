//! Every capacity that is a constant, with its reason.

/// Frames a worker receives from a queue at once: enough lookups in flight to hide memory latency, small enough
/// that the frames stay in the first-level cache.
pub const BURST: usize = 64;

/// Frames that a ring between two workers holds: what comes in while its reader is busy with bursts of everybody else. With
/// many workers it is less, so that the frames on the way to one of them stay within [`RINGS_FRAMES_MAX`].
pub const RING_DEPTH_MAX: usize = 1024;
pub const RING_DEPTH_MIN: usize = 32;
pub const RINGS_FRAMES_MAX: usize = 4096;

/// Entries of a worker's table that are looked at between two bursts while connections move: a million in some ten
/// thousand polls.
pub const MOVED_PER_POLL: usize = 64;

/// Room for data in a new frame: an ICMP error quotes at most 576 bytes (RFC 1812 §4.3.2.3), an ICMPv6 error
/// fills the minimum MTU of 1280 (RFC 4443 §2.4).
pub const FRAME_ROOM_MIN: usize = 1500 + 18;

/// Room in front of a frame: the largest outer header is Ethernet with a VLAN tag (18), IPv6 (40), UDP (8) and
/// GUE with its option (12); a line is left over.
pub const HEADROOM: usize = 128;

/// Segments of one frame: a reassembled 64 KB packet. Fragments that fit into the buffer before them are copied there,
/// so two neighbours hold more than one buffer's 2 KB.
pub const SEGMENTS_MAX: usize = 72;

/// Destinations of all services, the trash included: ten thousand services of ten, and those of several changes of all of
/// them, which stay in the trash for two minutes.
pub const DESTINATIONS_MAX: usize = 524_288;

/// Services: ten thousand is a normal case, and a hundred thousand with a server or two each is one, too.
pub const SERVICES_MAX: usize = 131_072;

/// Frames of one worker that wait for a next hop's MAC address, in all and for one neighbour: the first packets of
/// a burst of new connections, not a buffer for traffic.
pub const HELD_MAX: usize = 1024;
pub const HELD_PER_NEIGHBOUR_MAX: u16 = 64;

/// ICMP errors a worker sends a second at most, and at once (Linux: icmp_msgs_per_sec, icmp_msgs_burst).
pub const ICMP_ERRORS_PER_S: u32 = 1000;
pub const ICMP_ERRORS_BURST: u64 = 50;

/// Entries of the timer wheel a worker looks at between two bursts, beyond one a received packet (which can have made one
/// connection): a million that expire in a second must not hold up packets, and are through in a tenth of one.
pub const EXPIRE_PER_POLL: usize = 32;

/// Different sets of timeouts that services have for themselves: each lies in the cache of a worker that uses it.
pub const TIMEOUT_SETS_MAX: usize = 1024;

/// Mark rules: each may be looked at for a packet that no connection is known for.
pub const MARK_RULES_MAX: usize = 1024;

/// Steps that a worker does of taking over a new snapshot between two bursts: some 10 µs. A destination counts as several,
/// and then as one for each time that its place in a list is looked at.
pub const PICK_UP_PER_POLL: usize = 48;

/// FTP control connections of a worker that have asked for a passive data connection: each is a logged-in user.
pub const FTP_SESSIONS_MAX: usize = 65_536;

/// Path MTUs of tunnels that a worker remembers at most, as many as there are ever narrow paths: the kernel has five for
/// each of 2048 hashes. All are looked through once a second.
pub const PATH_MTUS_MAX: usize = 4096;

/// Destinations a millisecond that are looked at for a drain deadline that has passed: each once in half a minute, of as
/// many as there may be.
pub const DRAIN_CHECKS_PER_MS: usize = 8;

/// Datagrams given up between two bursts because their time is up: each may be answered.
pub const GIVEN_UP_PER_POLL: usize = 8;

/// Buffers that fragments of one family hold in a worker while their datagrams are not complete: about what the
/// kernel's 4 MB do (ipfrag_high_thresh).
pub const FRAGMENT_BUFFERS_MAX: u32 = 2048;

/// Datagrams of one family that a worker reassembles at once: of two fragments on average.
pub const DATAGRAMS_MAX: usize = 1024;

/// Fragments of one datagram: 64 KB through an MTU of 300. A search among them costs little more than one among two.
pub const FRAGMENTS_PER_DATAGRAM_MAX: usize = 256;

//! Every capacity that is a constant, with its reason.

/// Frames a worker receives from a queue at once: enough lookups in flight to hide memory latency, small enough
/// that the frames stay in the first-level cache.
pub const BURST: usize = 64;

/// Room for data in a new frame: an ICMP error quotes at most 576 bytes (RFC 1812 §4.3.2.3), an ICMPv6 error
/// fills the minimum MTU of 1280 (RFC 4443 §2.4).
pub const FRAME_ROOM_MIN: usize = 1500 + 18;

/// Room in front of a frame: the largest outer header is Ethernet with a VLAN tag (18), IPv6 (40), UDP (8) and
/// GUE with its option (12); a line is left over.
pub const HEADROOM: usize = 128;

/// Segments of one frame: a reassembled 64 KB packet in 1500-byte fragments.
pub const SEGMENTS_MAX: usize = 48;

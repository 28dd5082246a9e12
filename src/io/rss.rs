//! Receive side scaling: how a port chooses the queue of a packet.
//!
//! A port is asked for our key and our table, and does what it can: nothing here decides whether packets are handled
//! right, only whether they arrive at the worker that owns them. What a driver promises is read back; whether it keeps
//! it is seen on live packets.

use crate::wire::rss_key::{KEY_SIZE, Key};
use dpdk_sys::{PX_RETA_SIZE, PX_RSS_KEY_SIZE, px_rss};

/// Slots of connections: a slot is what the last bits of the hash say, and has one queue.
pub const SLOTS: usize = 128;

/// The queue of each slot.
pub type QueueOfSlot = [u16; SLOTS];

/// What is hashed: addresses, and ports where there are some.
const WANTED: u32 = dpdk_sys::PX_RSS_IPV4
    | dpdk_sys::PX_RSS_IPV4_FRAGMENT
    | dpdk_sys::PX_RSS_IPV4_TCP
    | dpdk_sys::PX_RSS_IPV4_UDP
    | dpdk_sys::PX_RSS_IPV4_SCTP
    | dpdk_sys::PX_RSS_IPV4_OTHER
    | dpdk_sys::PX_RSS_IPV6
    | dpdk_sys::PX_RSS_IPV6_FRAGMENT
    | dpdk_sys::PX_RSS_IPV6_TCP
    | dpdk_sys::PX_RSS_IPV6_UDP
    | dpdk_sys::PX_RSS_IPV6_SCTP
    | dpdk_sys::PX_RSS_IPV6_OTHER;

/// Names for the fields, in the order in which they are shown.
const NAMES: [(u32, &str); 12] = [
    (dpdk_sys::PX_RSS_IPV4, "ipv4"),
    (dpdk_sys::PX_RSS_IPV4_FRAGMENT, "ipv4-frag"),
    (dpdk_sys::PX_RSS_IPV4_TCP, "ipv4-tcp"),
    (dpdk_sys::PX_RSS_IPV4_UDP, "ipv4-udp"),
    (dpdk_sys::PX_RSS_IPV4_SCTP, "ipv4-sctp"),
    (dpdk_sys::PX_RSS_IPV4_OTHER, "ipv4-other"),
    (dpdk_sys::PX_RSS_IPV6, "ipv6"),
    (dpdk_sys::PX_RSS_IPV6_FRAGMENT, "ipv6-frag"),
    (dpdk_sys::PX_RSS_IPV6_TCP, "ipv6-tcp"),
    (dpdk_sys::PX_RSS_IPV6_UDP, "ipv6-udp"),
    (dpdk_sys::PX_RSS_IPV6_SCTP, "ipv6-sctp"),
    (dpdk_sys::PX_RSS_IPV6_OTHER, "ipv6-other"),
];

/// The fields by name.
pub fn field_names(fields: u32) -> Vec<&'static str> {
    NAMES.iter().filter(|(field, _)| fields & field != 0).map(|&(_, name)| name).collect()
}

/// What a port does, as far as its driver says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// There is one receive queue.
    OneQueue,
    /// The driver has no RSS, or does not let it be switched on. Several queues are filled as the device likes.
    NoRss,
    /// By RSS with a key that is not ours: a connection always comes to the same queue, but not to its owner's.
    OtherKey,
    /// By RSS with our key, and a table that is not ours.
    OtherTable,
    /// By RSS with our key and our table: a packet comes to the queue of its slot.
    BySlot,
}

impl Spread {
    /// For an operator.
    pub const fn explanation(self) -> &'static str {
        match self {
            Self::OneQueue => "one queue",
            Self::NoRss => "no RSS",
            Self::OtherKey => "RSS with the driver's own key",
            Self::OtherTable => "RSS with the driver's own table",
            Self::BySlot => "RSS by slot",
        }
    }
}

/// What a port is asked for, the best first; the last is to do without.
pub(super) fn attempts(offered: u32, key: Option<&Key>, key_size: u8, queues: u16) -> Vec<px_rss> {
    let none = px_rss { fields: 0, has_key: 0, key_size: 0, key: [0; PX_RSS_KEY_SIZE as usize] };
    let fields = offered & WANTED;
    let Some(key) = key.filter(|_| queues > 1 && fields != 0) else { return vec![none] };
    let plain = px_rss { fields, ..none };
    // a driver that does not say how long its key is may take one after the start
    let fits = (KEY_SIZE..=PX_RSS_KEY_SIZE as usize).contains(&usize::from(key_size));
    let ours = fits.then(|| with_key(fields, key, key_size));
    ours.into_iter().chain([plain, none]).collect()
}

/// Our key in as many bytes as the driver takes; what is behind it is beyond the longest input.
pub(super) fn with_key(fields: u32, key: &Key, key_size: u8) -> px_rss {
    let mut rss = px_rss { fields, has_key: 1, key_size, key: [0; PX_RSS_KEY_SIZE as usize] };
    rss.key[..KEY_SIZE].copy_from_slice(key);
    rss
}

pub(super) fn has_key(rss: &px_rss, key: &Key) -> bool {
    rss.has_key != 0 && rss.key[..KEY_SIZE] == key[..]
}

/// The redirection table of a port: its index is the hash modulo its size, a power of two. A table of fewer entries
/// than slots leads those that share an entry to the first one's queue.
pub(super) fn table(queue_of_slot: &QueueOfSlot, size: u16) -> Vec<u16> {
    (0..usize::from(size).min(PX_RETA_SIZE as usize)).map(|entry| queue_of_slot[entry % SLOTS]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::rss_key::RssKeys;

    const OFFERED: u32 = dpdk_sys::PX_RSS_IPV4_TCP | dpdk_sys::PX_RSS_L3_SOURCE_ONLY;

    #[test]
    fn a_port_is_asked_for_our_key_then_for_its_own_then_for_nothing() {
        let key = RssKeys::default().source;
        let asked = attempts(OFFERED, Some(&key), 40, 2);
        let seen: Vec<_> = asked.iter().map(|rss| (rss.fields, rss.key_size, has_key(rss, &key))).collect();
        let tcp = dpdk_sys::PX_RSS_IPV4_TCP;
        assert_eq!(seen, [(tcp, 40, true), (tcp, 0, false), (0, 0, false)]);
        let unsaid = attempts(OFFERED, Some(&key), 0, 2);
        assert_eq!(unsaid.iter().map(|rss| (rss.fields, rss.has_key)).collect::<Vec<_>>(), [(tcp, 0), (0, 0)]);
    }

    #[test]
    fn one_queue_or_a_driver_without_rss_is_asked_for_nothing() {
        let key = RssKeys::default().source;
        for asked in
            [attempts(OFFERED, Some(&key), 40, 1), attempts(0, Some(&key), 40, 4), attempts(OFFERED, None, 40, 4)]
        {
            assert_eq!(asked.iter().map(|rss| rss.fields).collect::<Vec<_>>(), [0]);
        }
    }

    #[test]
    fn a_longer_key_is_ours_with_zeros_behind_it_and_a_shorter_one_is_left_to_the_driver() {
        let key = RssKeys::default().source;
        let long = attempts(OFFERED, Some(&key), 52, 2)[0];
        assert_eq!((long.key_size, &long.key[..40], &long.key[40..52]), (52, &key[..], &[0; 12][..]));
        assert_eq!(attempts(OFFERED, Some(&key), 16, 2)[0].has_key, 0);
    }

    #[test]
    fn every_entry_of_a_table_leads_to_the_queue_of_its_slot() {
        let queue_of_slot = std::array::from_fn(|slot| (slot % 3) as u16);
        for size in [64, 128, 512] {
            let table = table(&queue_of_slot, size);
            assert_eq!(table.len(), usize::from(size));
            assert!(table.iter().enumerate().all(|(entry, &queue)| queue == queue_of_slot[entry % SLOTS]));
        }
        assert_eq!(table(&queue_of_slot, u16::MAX).len(), 2048);
    }

    #[test]
    fn fields_have_names() {
        assert_eq!(field_names(dpdk_sys::PX_RSS_IPV6_UDP | dpdk_sys::PX_RSS_IPV4), ["ipv4", "ipv6-udp"]);
        assert_eq!(field_names(WANTED).len(), 12);
    }
}

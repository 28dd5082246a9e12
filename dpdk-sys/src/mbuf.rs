//! The mirror of DPDK's `rte_mbuf`: the fields that are read or written for every packet, where calling the shim for
//! each would cost more than the work itself.
//!
//! The offsets are asserted twice: in `shim.c` against the installed headers, and here.

use std::mem::{offset_of, size_of};

use crate::{PX_MBUF_SIZE, rte_mempool};

/// One segment of a frame. Only DPDK's pools make these; fields between those named belong to DPDK.
#[allow(non_camel_case_types)]
#[repr(C, align(64))]
pub struct rte_mbuf {
    pub buf_addr: *mut u8,
    _iova: u64,
    pub data_off: u16,
    /// Changed atomically by DPDK: only ever to be read, and only as a hint.
    pub refcnt: u16,
    pub nb_segs: u16,
    pub port: u16,
    pub ol_flags: u64,
    pub packet_type: u32,
    pub pkt_len: u32,
    pub data_len: u16,
    pub vlan_tci: u16,
    pub hash_rss: u32,
    _hash_rest: u32,
    _vlan_tci_outer: u16,
    pub buf_len: u16,
    pub pool: *mut rte_mempool,
    pub next: *mut rte_mbuf,
    pub tx_offload: u64,
    _rest: [u8; 48],
}

const _: () = {
    assert!(offset_of!(rte_mbuf, buf_addr) == 0);
    assert!(offset_of!(rte_mbuf, data_off) == 16);
    assert!(offset_of!(rte_mbuf, refcnt) == 18);
    assert!(offset_of!(rte_mbuf, nb_segs) == 20);
    assert!(offset_of!(rte_mbuf, port) == 22);
    assert!(offset_of!(rte_mbuf, ol_flags) == 24);
    assert!(offset_of!(rte_mbuf, packet_type) == 32);
    assert!(offset_of!(rte_mbuf, pkt_len) == 36);
    assert!(offset_of!(rte_mbuf, data_len) == 40);
    assert!(offset_of!(rte_mbuf, vlan_tci) == 42);
    assert!(offset_of!(rte_mbuf, hash_rss) == 44);
    assert!(offset_of!(rte_mbuf, buf_len) == 54);
    assert!(offset_of!(rte_mbuf, pool) == 56);
    assert!(offset_of!(rte_mbuf, next) == 64);
    assert!(offset_of!(rte_mbuf, tx_offload) == 72);
    assert!(size_of::<rte_mbuf>() == PX_MBUF_SIZE as usize);
};

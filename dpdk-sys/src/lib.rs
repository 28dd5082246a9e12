//! The part of DPDK that Pollux uses, behind a C shim of plain structs.
//!
//! `shim.h` is the whole interface and says what each function promises. DPDK's own structs never cross into Rust,
//! with one exception: the fields of `rte_mbuf` that are read for every packet, see [`rte_mbuf`].
#![allow(unsafe_code)]

mod mbuf;

pub use bindings::*;
pub use mbuf::rte_mbuf;

#[allow(non_camel_case_types, non_snake_case, non_upper_case_globals, dead_code)]
// Generated: its few unsafe blocks zero plain structs.
#[allow(clippy::all, clippy::undocumented_unsafe_blocks)]
mod bindings {
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}

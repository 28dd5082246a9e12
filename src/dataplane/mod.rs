//! What happens to a burst of frames. Never calls DPDK, reads a clock, blocks, or allocates for a packet.
//!
//! [`worker`] is the poll loop and the place to begin; [`director`] is a packet's life, one line a stage.
pub mod admit;
pub mod areas;
pub mod arp;
pub mod burst;
pub mod bypass;
pub mod defence;
pub mod destinations;
pub mod director;
pub mod drain;
pub mod established;
pub mod expire;
pub mod family;
pub mod forward;
pub mod fragment;
pub mod frame;
pub mod ftp;
pub mod gather;
pub mod icmp;
pub mod idle_reset;
pub mod lead;
pub mod listing;
pub mod local;
pub mod mailbox;
pub mod marks;
pub mod meter;
pub mod nd;
pub mod network;
pub mod options;
mod outbound;
pub mod outer;
pub mod outlet;
pub mod packet;
pub mod path;
pub mod path_mtu;
pub mod peers;
pub mod persist;
pub mod pick_up;
pub mod rare;
pub mod reach;
pub mod real_servers;
pub mod reassemble;
pub mod related;
pub mod sctp;
pub mod service_change;
pub mod services;
pub mod snapshot;
pub mod steer;
pub mod tcp;
pub mod transit;
pub mod tunnel_error;
pub mod vec_frame;
pub mod worker;

#[cfg(test)]
pub(crate) mod tests;

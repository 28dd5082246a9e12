//! The director, whole: frames and virtual time in, bytes, counters and tables out.

mod arp;
mod drops;
mod established;
mod fragments;
mod frames;
mod ftp6;
mod full_table;
mod gather;
mod icmp;
mod lab;
#[cfg(loom)]
mod loom_tests;
mod methods;
mod model;
mod nat;
mod nd;
pub mod packets;
mod peers;
mod persist;
mod ranking;
mod rare;
mod related;
mod related6;
mod snapshots;
mod tunnel_errors;
mod tunnels;
mod unasked;
mod worker;

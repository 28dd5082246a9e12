//! What the benches, and tests that count instead of timing, are made of: a director, frames that are used again and
//! again, packets, and time that only they move.
// each of those who share this uses a part of it
#![allow(dead_code)]

pub mod bench;
pub mod frame;
pub mod lookup;
pub mod packets;
pub mod setup;
pub mod timing;

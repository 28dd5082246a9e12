//! A director between clients and servers: frames damaged here and there, bursts, time, commands. Every packet must be
//! accounted for, every header checksum that leaves be right, and every transport checksum that came right leave right.
#![no_main]

mod account;
mod frames;
mod lab;
mod recorded;
mod topology;
mod transport;

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;

/// What happens one after the other. Frames come with everything, so that commands meet connections.
#[derive(Debug, Arbitrary)]
pub struct Round {
    command: Option<Command>,
    wait: Wait,
    burst: [frames::Sent; 3],
    more: Vec<frames::Sent>,
}

#[derive(Clone, Copy, Debug, Arbitrary)]
pub enum Wait {
    Not,
    Ms(u8),
    S(u8),
}

#[derive(Debug, Arbitrary)]
pub enum Command {
    Weight { server: u8, weight: u8 },
    Threshold { server: u8, upper: u8, lower: u8 },
    Forward { server: u8, method: u8 },
    Remove { server: u8 },
    Add { server: u8 },
    RemoveService { service: u8 },
    AddService { service: u8 },
    Settings { sloppy: bool, expire_nodest: bool, reuse: u8, pmtu_disc: bool, forward: bool },
    Addresses { more: bool },
    Collect,
    LinkUp { port: u8 },
    NoBuffers(bool),
    PickUp,
}

/// Made frames, or those of an input as they stand.
const MADE: u8 = 128;

fuzz_target!(|input: &[u8]| {
    let Some((&first, rest)) = input.split_first() else { return };
    if first < MADE {
        return recorded::play(first, rest);
    }
    let Ok(rounds) = Vec::<Round>::arbitrary_take_rest(Unstructured::new(rest)) else { return };
    let mut lab = lab::Lab::new();
    for round in rounds.iter().take(100) {
        lab.play(round);
    }
    lab.finish();
});

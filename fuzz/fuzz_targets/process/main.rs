//! A director between clients and servers: frames damaged here and there, bursts, time, commands. Every packet must be
//! accounted for, every header checksum that leaves be right, and every transport checksum that came right leave right.
#![no_main]

mod frames;
mod lab;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
pub enum Event {
    Burst(Vec<frames::Sent>),
    WaitMs(u16),
    WaitS(u8),
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

fuzz_target!(|events: Vec<Event>| {
    let mut lab = lab::Lab::new();
    for event in events.iter().take(200) {
        lab.play(event);
    }
    lab.finish();
});

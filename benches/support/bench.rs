//! A director at work: bursts of packets, one after another.

use super::frame::{Bytes, Pool};
use super::packets::{self, ACK, SYN, packet};
use super::setup::{Setup, Version};
use arrayvec::ArrayVec;
use pollux::control::state::State;
use pollux::dataplane::director::{Director, Parameters};
use pollux::dataplane::frame::Frame;
use pollux::dataplane::outlet::Outlet;
use pollux::model::limits::BURST;
use pollux::model::{PortId, Time, WorkerId};
use std::sync::Arc;

pub type Frames = ArrayVec<Bytes, BURST>;

/// Time from one burst to the next.
pub const BETWEEN_BURSTS_NS: u64 = 1000;

pub struct Bench {
    pub director: Director<Bytes>,
    pub pool: Pool,
    pub now: Time,
    version: Version,
    random: u64,
}

impl Bench {
    pub fn new(setup: Setup<'_>) -> Self {
        Self::over(setup, &setup.state())
    }

    /// On this state, which `setup` led to.
    pub fn over(setup: Setup<'_>, state: &State) -> Self {
        let now = Time::from_s(1);
        let parameters =
            Parameters { worker: WorkerId(0), workers: 1, capacity: setup.capacity, seeds: [11, 22, 33, 44], now };
        let mut director = Director::new(parameters).expect("enough memory");
        if let Some(ahead) = setup.ahead {
            director.ask_ahead(ahead);
        }
        director.pick_up_at_once(Arc::new(state.snapshot().clone()));
        Self { director, pool: Pool::of(2 * BURST), now, version: setup.version, random: 1 }
    }

    /// With connections of clients 0 to `flows`.
    pub fn with_flows(setup: Setup<'_>, flows: u32) -> Self {
        let mut bench = Self::new(Setup { capacity: flows * 2 + 1000, ..setup });
        for first in (0..flows).step_by(BURST) {
            let last = flows.min(first + BURST as u32);
            bench.play((first..last).map(|flow| (flow, SYN)));
        }
        // one more packet each: a client's ACK makes them established
        for first in (0..flows).step_by(BURST) {
            let last = flows.min(first + BURST as u32);
            bench.play((first..last).map(|flow| (flow, ACK)));
        }
        bench
    }

    /// Frames of these clients, with these flags.
    pub fn frames(&mut self, of: impl Iterator<Item = (u32, u8)>) -> Frames {
        let version = self.version;
        of.map(|(flow, flags)| self.frame(&packet(version, flow, flags))).collect()
    }

    /// A burst of clients picked at random from the first `flows`.
    pub fn random_frames(&mut self, burst: usize, flows: u32) -> Frames {
        let picked: ArrayVec<u32, BURST> = (0..burst).map(|_| self.next_random(flows)).collect();
        self.frames(picked.into_iter().map(|flow| (flow, ACK)))
    }

    /// What servers answer to the last `burst` frames that were sent, by NAT.
    pub fn replies(&mut self, burst: usize) -> Frames {
        let version = self.version;
        let replies: ArrayVec<_, BURST> =
            self.pool.last(burst).iter().map(|frame| packets::reply(version, frame.head())).collect();
        replies.iter().map(|reply| self.frame(reply)).collect()
    }

    pub fn frame(&mut self, bytes: &[u8]) -> Bytes {
        let mut frame = self.pool.alloc().expect("frames come back");
        assert!(frame.extend(bytes));
        frame
    }

    /// A burst, not measured.
    pub fn play(&mut self, of: impl Iterator<Item = (u32, u8)>) {
        let mut frames = self.frames(of);
        self.advance(BETWEEN_BURSTS_NS);
        self.process(&mut frames);
    }

    pub fn advance(&mut self, ns: u64) {
        self.now = Time(self.now.0 + ns);
    }

    /// What a worker does from one poll to the next.
    #[inline(never)]
    pub fn process(&mut self, frames: &mut Frames) {
        let burst = frames.len();
        self.director.process(PortId(0), frames, self.now, &mut self.pool);
        self.director.housekeeping(burst, self.now, &mut self.pool);
    }

    /// Below `end`; the same ones in every run.
    pub fn next_random(&mut self, end: u32) -> u32 {
        self.random = self.random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (((self.random >> 32) * u64::from(end)) >> 32) as u32
    }
}

//! The director's own work a packet, without DPDK or root: bursts of established connections, by method and number of
//! flows, and new connections, by scheduler and number of destinations. `cargo bench --no-default-features`; the
//! throughput criterion prints is packets a second.

use arrayvec::ArrayVec;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pollux::control::config::Config;
use pollux::control::state::{Opened, State};
use pollux::dataplane::director::{Director, Parameters};
use pollux::dataplane::frame::Frame;
use pollux::dataplane::outlet::Outlet;
use pollux::model::limits::BURST;
use pollux::model::{PortId, Time, WorkerId};
use pollux::sched::{REGISTRY, SchedulerKind};
use pollux::wire::checksum::Sum;
use rustix::time::{ClockId, clock_gettime};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
const HEADROOM: usize = 64;

/// A frame of one segment in memory that is used again and again, as a pool's are.
struct Bytes {
    memory: Box<[u8; 256]>,
    start: usize,
    end: usize,
}

impl Frame for Bytes {
    fn head(&self) -> &[u8] {
        &self.memory[self.start..self.end]
    }
    fn head_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.end]
    }
    fn len(&self) -> usize {
        self.end - self.start
    }
    fn segments(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(self.head())
    }
    fn prepend(&mut self, n: usize) -> bool {
        let fits = n <= self.start;
        self.start -= if fits { n } else { 0 };
        fits
    }
    fn trim_front(&mut self, n: usize) {
        self.start += n;
    }
    fn truncate(&mut self, len: usize) {
        self.end = self.end.min(self.start + len);
    }
    fn extend(&mut self, bytes: &[u8]) -> bool {
        let Some(room) = self.memory.get_mut(self.end..self.end + bytes.len()) else { return false };
        room.copy_from_slice(bytes);
        self.end += bytes.len();
        true
    }
    fn pull(&mut self, n: usize) -> bool {
        n <= self.len()
    }
    fn chain(&mut self, tail: Self) -> Result<(), Self> {
        Err(tail)
    }
}

/// Takes what is sent, to be filled again.
#[derive(Default)]
struct Pool(Vec<Bytes>);

impl Outlet<Bytes> for Pool {
    fn transmit(&mut self, _: PortId, frame: Bytes) {
        self.0.push(frame);
    }
    fn alloc(&mut self) -> Option<Bytes> {
        let mut frame = self.0.pop()?;
        (frame.start, frame.end) = (HEADROOM, HEADROOM);
        Some(frame)
    }
}

struct Bench {
    director: Director<Bytes>,
    pool: Pool,
    now: Time,
    random: u64,
}

/// One service.
#[derive(Clone, Copy)]
struct Pooled<'a> {
    method: &'a str,
    scheduler: &'a str,
    destinations: u32,
}

impl Pooled<'_> {
    fn config(self) -> String {
        let Self { method, scheduler, destinations } = self;
        let mut text = String::from(
            "[[port]]\nname = \"p\"\ndevice = \"d\"\naddresses = [\"192.0.2.254/24\", \"10.1.255.254/16\"]\n",
        );
        for i in 0..destinations {
            let (address, mac) =
                (format!("10.1.{}.{}", i / 250, i % 250 + 1), format!("{:02x}:{:02x}", i >> 8, i & 255));
            text += &format!("[[neighbour]]\nport = \"p\"\naddress = \"{address}\"\nmac = \"02:00:00:00:{mac}\"\n");
        }
        text += &format!("[[service]]\nprotocol = \"tcp\"\naddress = \"192.0.2.1:80\"\nscheduler = \"{scheduler}\"\n");
        // ovf stops when destinations have more connections than weight
        let scale = if scheduler == "ovf" { 1 << 16 } else { 1 };
        for i in 0..destinations {
            let (address, weight) = (format!("10.1.{}.{}:80", i / 250, i % 250 + 1), (1 + i % 3) * scale);
            text += &format!(
                "[[service.destination]]\naddress = \"{address}\"\nforward = \"{method}\"\nweight = {weight}\n"
            );
        }
        text
    }
}

impl Bench {
    fn new(method: &str, flows: u32) -> Self {
        Self::of(Pooled { method, scheduler: "wlc", destinations: 4 }, flows)
    }

    fn of(service: Pooled<'_>, flows: u32) -> Self {
        let config = Config::parse(&service.config(), "bench.toml").expect("a valid configuration");
        let state = State::new(config, &[Opened { port: PortId(0), mac: MAC, udp_checksum_offload: false }])
            .expect("a valid state");
        let now = Time::from_s(1);
        let parameters = Parameters { worker: WorkerId(0), capacity: flows * 2 + 1000, seeds: [11, 22, 33, 44], now };
        let mut director = Director::new(parameters).expect("enough memory");
        director.pick_up_at_once(Arc::new(state.snapshot().clone()));
        let frame = |_| Bytes { memory: Box::new([0; 256]), start: HEADROOM, end: HEADROOM };
        let mut bench = Self { director, pool: Pool((0..2 * BURST).map(frame).collect()), now, random: 1 };
        for first in (0..flows).step_by(BURST) {
            bench.burst(|i| (first + i, SYN));
        }
        bench
    }

    /// Time to process one burst of the flows and flags that `of` says.
    fn burst(&mut self, of: impl Fn(u32) -> (u32, u8)) -> Duration {
        self.burst_after(1000, of)
    }

    fn burst_after(&mut self, ns: u64, of: impl Fn(u32) -> (u32, u8)) -> Duration {
        let mut frames = ArrayVec::<Bytes, BURST>::new();
        for i in 0..BURST as u32 {
            let (flow, flags) = of(i);
            let mut frame = self.pool.alloc().expect("frames come back");
            assert!(frame.extend(&packet(flow, flags)));
            frames.push(frame);
        }
        self.now = Time(self.now.0 + ns);
        let start = cpu_time();
        self.measured(&mut frames);
        cpu_time() - start
    }

    /// A function of its own, for profilers that count by function.
    #[inline(never)]
    fn measured(&mut self, frames: &mut ArrayVec<Bytes, BURST>) {
        self.director.process(PortId(0), frames, self.now, &mut self.pool);
        self.director.housekeeping(BURST, self.now, &mut self.pool);
    }

    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.random >> 32
    }
}

/// Time that this thread has run: the machine may have other work.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// A 60-byte frame of client number `flow`.
fn packet(flow: u32, flags: u8) -> [u8; 60] {
    let mut frame = [0; 60];
    frame[..6].copy_from_slice(&MAC);
    frame[12..24].copy_from_slice(&[8, 0, 0x45, 0, 0, 46, 0, 0, 0, 0, 64, 6]);
    frame[26..30].copy_from_slice(&(0x6440_0001 + flow / 32).to_be_bytes());
    frame[30..34].copy_from_slice(&[192, 0, 2, 1]);
    let sum = Sum::of(&frame[14..34]).finish().to_bytes();
    frame[24..26].copy_from_slice(&sum);
    frame[34..36].copy_from_slice(&(1024 + (flow % 32) as u16 * 2000).to_be_bytes());
    frame[36..38].copy_from_slice(&[0, 80]);
    frame[46..48].copy_from_slice(&[0x50, flags]);
    frame
}

fn established(c: &mut Criterion) {
    let mut group = c.benchmark_group("established");
    group.throughput(Throughput::Elements(BURST as u64));
    for (method, flows) in [
        ("dr", 1),
        ("dr", 4096),
        ("nat", 4096),
        ("tun", 4096),
        ("dr", 1_000_000),
        ("nat", 1_000_000),
        ("tun", 1_000_000),
    ] {
        // made when it is run, not when it is filtered out
        let mut made = None;
        group.bench_function(format!("{method}/{flows}"), |b| {
            let bench = made.get_or_insert_with(|| Bench::new(method, flows));
            b.iter_custom(|bursts| {
                let one = |_| {
                    let flows =
                        std::array::from_fn::<_, BURST, _>(|_| ((bench.next_random() * u64::from(flows)) >> 32) as u32);
                    black_box(bench.burst(|i| (flows[i as usize], ACK)))
                };
                (0..bursts).map(one).sum()
            });
        });
    }
    group.finish();
}

fn new_connections(c: &mut Criterion) {
    let mut group = c.benchmark_group("new");
    group.throughput(Throughput::Elements(BURST as u64));
    let mut made = None;
    // beyond the flows the table begins with
    let mut next = 1_u32 << 24;
    group.bench_function("dr", |b| {
        let bench = made.get_or_insert_with(|| Bench::new("dr", 500_000));
        b.iter_custom(|bursts| {
            let one = |_| {
                next = next.wrapping_add(BURST as u32);
                if bench.director.connections().len() + BURST as u32 > bench.director.connections().capacity() {
                    *bench = Bench::new("dr", 500_000);
                }
                black_box(bench.burst(|i| (next.wrapping_add(i), SYN)))
            };
            (0..bursts).map(one).sum()
        });
    });
    group.finish();
}

/// Connections that come while as many go, all of one service: what a decision costs, and keeping count for the next.
fn scheduled(c: &mut Criterion) {
    const LIVE: u32 = 1 << 16;
    /// They end 60 s after their only packet.
    const BURST_NS: u64 = 60_000_000_000 / (LIVE / BURST as u32) as u64;
    let mut group = c.benchmark_group("scheduled");
    group.throughput(Throughput::Elements(BURST as u64));
    // the largest pool that mh takes is 4093
    let fits = |kind, destinations| kind != SchedulerKind::Mh || destinations < 4093;
    for (entry, destinations) in REGISTRY.iter().flat_map(|entry| [10, 1000, 10_000].map(|n| (entry, n))) {
        if !fits(entry.kind, destinations) {
            continue;
        }
        let (mut made, mut next) = (None, 0_u32);
        group.bench_function(format!("{}/{destinations}", entry.name), |b| {
            let mut burst = |bench: &mut Bench| {
                next = next.wrapping_add(BURST as u32);
                bench.burst_after(BURST_NS, |i| (next.wrapping_add(i).wrapping_mul(0x9e37_79b1) >> 5, SYN))
            };
            let bench = made.get_or_insert_with(|| {
                let service = Pooled { method: "dr", scheduler: entry.name, destinations };
                let mut bench = Bench::of(service, 2 * LIVE);
                (0..2 * LIVE / BURST as u32).for_each(|_| {
                    burst(&mut bench);
                });
                bench
            });
            b.iter_custom(|bursts| (0..bursts).map(|_| black_box(burst(bench))).sum());
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_secs(1));
    targets = established, new_connections, scheduled
}
criterion_main!(benches);

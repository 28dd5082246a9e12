//! A packet costs no allocation: an allocator that counts, under directors that have been at work for a while. Frames are
//! taken from a pool that exists, as DPDK's are, and go back to it.

#[path = "../benches/support/mod.rs"]
mod support;

use arrayvec::ArrayVec;
use pollux::dataplane::frame::Frame;
use pollux::model::DropReason;
use pollux::model::limits::BURST;
use pollux::sched::REGISTRY;
use pollux::wire::checksum::Sum;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use support::bench::{BETWEEN_BURSTS_NS, Bench};
use support::packets::{ACK, MAC, SYN, VIRTUAL_V6, packet};
use support::setup::{Setup, Version};

thread_local! {
    // each test is a thread of its own
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

fn count_one() {
    ALLOCATIONS.with(|count| count.set(count.get() + 1));
}

// SAFETY: the system's allocator does all that is asked for; the count needs no memory and no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count_one();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count_one();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count_one();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(memory, layout, size) }
    }
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// Fails if `work` takes memory.
#[track_caller]
fn allocates_nothing(what: &str, work: impl FnOnce()) {
    let before = ALLOCATIONS.get();
    work();
    let allocations = ALLOCATIONS.get() - before;
    assert_eq!(allocations, 0, "{what}: a packet must not allocate");
}

const FLOWS: u32 = 1024;
const BURSTS: usize = 2 * FLOWS as usize / BURST;

/// Every forwarding method, with what it needs besides.
const METHODS: [(&str, &str, &str); 6] = [
    ("dr", "dr", ""),
    ("nat", "nat", ""),
    ("ipip", "tun", ""),
    ("gre", "tun", "tunnel = \"gre\""),
    ("gre with checksum", "tun", "tunnel = \"gre\"\ntunnel_checksum = \"full\""),
    ("gue with checksum", "tun", "tunnel = \"gue\"\ntunnel_port = 6080\ntunnel_checksum = \"full\""),
];

fn setups() -> impl Iterator<Item = (String, Setup<'static>)> {
    let versions = [Version::V4, Version::V6];
    versions.into_iter().flat_map(|version| {
        METHODS.map(|(name, method, destination_keys)| {
            (format!("{name}, {version:?}"), Setup { version, method, destination_keys, ..Setup::default() })
        })
    })
}

#[test]
fn the_allocator_counts() {
    let before = ALLOCATIONS.get();
    drop(std::hint::black_box(vec![1_u8]));
    assert_eq!(ALLOCATIONS.get() - before, 1);
}

#[test]
fn an_established_packet_allocates_nothing_by_any_method_and_family() {
    for (what, setup) in setups() {
        let mut bench = Bench::with_flows(setup, FLOWS);
        let before = bench.pool.sent;
        allocates_nothing(&what, || {
            for _ in 0..BURSTS {
                let mut frames = bench.random_frames(BURST, FLOWS);
                bench.advance(BETWEEN_BURSTS_NS);
                bench.process(&mut frames);
            }
        });
        assert_eq!(bench.pool.sent - before, BURSTS * BURST, "{what}: all are sent");
    }
}

#[test]
fn a_servers_answer_by_nat_allocates_nothing() {
    for version in [Version::V4, Version::V6] {
        let mut bench = Bench::with_flows(Setup { version, method: "nat", ..Setup::default() }, FLOWS);
        let before = bench.pool.sent;
        allocates_nothing("nat's answers", || {
            for _ in 0..BURSTS {
                let mut frames = bench.random_frames(BURST, FLOWS);
                bench.process(&mut frames);
                let mut replies = bench.replies(BURST);
                bench.process(&mut replies);
            }
        });
        assert_eq!(bench.pool.sent - before, 2 * BURSTS * BURST, "{version:?}: all are sent");
    }
}

/// Connections come, and others end: each lives for 60 s after its only packet, when [`FLOWS`] others have come.
fn come_and_go(bench: &mut Bench, clients: &mut impl Iterator<Item = u32>) {
    bench.advance(60_000_000_000 / u64::from(FLOWS) * BURST as u64);
    let sent = bench.pool.sent + BURST;
    // so much time is many polls: timers are to keep up with it
    (0..4).for_each(|_| bench.process(&mut ArrayVec::new()));
    bench.play(clients.take(BURST).map(|client| (client, SYN)));
    // and now and then an announcement of the director's own
    assert!(bench.pool.sent >= sent, "all are sent; {}", dropped(bench));
}

/// Clients enough for addresses to differ as much as the ports.
fn clients() -> impl Iterator<Item = u32> {
    (0..).map(|client: u32| client.wrapping_mul(0x9e37_79b1) >> 5)
}

fn connections_come_and_go(what: &str, setup: Setup<'_>) {
    let mut bench = Bench::new(Setup { capacity: 8 * FLOWS, ..setup });
    let mut clients = clients();
    for _ in 0..2 * BURSTS {
        come_and_go(&mut bench, &mut clients);
    }
    let before = bench.director.connections().len();
    assert!(before > FLOWS / 2, "{what}: connections are made");
    allocates_nothing(what, || {
        for _ in 0..BURSTS {
            come_and_go(&mut bench, &mut clients);
        }
    });
    let after = bench.director.connections().len();
    assert!(after.abs_diff(before) < 300, "{what}: as many come as go, {before} at first and {after} then");
}

#[test]
fn connections_that_come_and_go_allocate_nothing_by_any_method_and_family() {
    for (what, setup) in setups() {
        connections_come_and_go(&what, setup);
    }
}

#[test]
fn connections_that_come_and_go_allocate_nothing_with_any_scheduler() {
    for entry in REGISTRY {
        connections_come_and_go(entry.name, Setup { scheduler: entry.name, destinations: 20, ..Setup::default() });
    }
}

#[test]
fn persistence_allocates_nothing() {
    let persistent = Setup { service_keys: "persistence_timeout_s = 30", ..Setup::default() };
    connections_come_and_go("persistence", persistent);
    let one_network = "persistence_timeout_s = 30\npersistence_mask = \"255.255.0.0\"";
    connections_come_and_go("persistence of networks", Setup { service_keys: one_network, ..Setup::default() });
}

fn dropped(bench: &Bench) -> String {
    let (counters, _) = bench.director.counters();
    let counts = DropReason::ALL.iter().map(|reason| (reason.name(), counters.drops[*reason as usize].get()));
    let dropped: Vec<_> = counts.filter(|(_, count)| *count > 0).collect();
    format!("dropped: {dropped:?}")
}

// ICMP, fragments, and what is dropped

/// An IPv4 packet in a frame to the director.
fn ipv4(protocol: u8, ttl: u8, fragment: [u8; 2], from: [u8; 4], to: [u8; 4], data: &[u8]) -> Vec<u8> {
    let len = (20 + data.len() as u16).to_be_bytes();
    let mut header = [0x45, 0, len[0], len[1], 0x12, 0x34, fragment[0], fragment[1], ttl, protocol, 0, 0].to_vec();
    header.extend([from, to].concat());
    let sum = Sum::of(&header).finish().to_bytes();
    header[10..12].copy_from_slice(&sum);
    [&MAC[..], &[2, 0, 0, 0, 1, 2, 8, 0], &header, data].concat()
}

fn icmp(kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
    let mut message = [&[kind, code, 0, 0], rest].concat();
    let sum = Sum::of(&message).finish().to_bytes();
    message[2..4].copy_from_slice(&sum);
    message
}

const ICMP: u8 = 1;
const TCP: u8 = 6;
const VIRTUAL: [u8; 4] = [192, 0, 2, 1];
/// Of client 0.
const CLIENT: [u8; 4] = [100, 64, 0, 1];

/// What these frames cost, after they have come often enough for whatever is made but once. `sent`: of each burst.
fn frames_allocate_nothing(what: &str, bench: &mut Bench, frames: &[Vec<u8>], sent: usize) {
    for round in 0..20 {
        bench.pool.refill(2 * BURST);
        let mut burst: support::bench::Frames = frames.iter().map(|bytes| bench.frame(bytes)).collect();
        let before = bench.pool.sent;
        bench.advance(100_000_000);
        let mut play = || bench.process(&mut burst);
        if round < 10 {
            play()
        } else {
            allocates_nothing(what, play)
        }
        assert_eq!(bench.pool.sent - before, sent, "{what}: as many are sent as should be; {}", dropped(bench));
    }
}

#[test]
fn icmp_allocates_nothing() {
    let mut bench = Bench::with_flows(Setup { method: "nat", ..Setup::default() }, FLOWS);
    let echo = ipv4(ICMP, 64, [0, 0], CLIENT, VIRTUAL, &icmp(8, 0, &[0, 1, 0, 1, 7, 7, 7, 7]));
    frames_allocate_nothing("an echo request", &mut bench, &[echo], 1);
    let mut answers = {
        bench.play([(0, ACK)].into_iter());
        bench.replies(1)
    };
    bench.process(&mut answers);
    let quoted = bench.pool.last(1)[0].head()[14..42].to_vec();
    let unreachable = ipv4(ICMP, 64, [0, 0], [198, 51, 100, 7], VIRTUAL, &icmp(3, 3, &[&[0; 4], &quoted[..]].concat()));
    frames_allocate_nothing("an error about a server's packet", &mut bench, &[unreachable], 1);
    let mut last_hop = packet(Version::V4, 0, ACK).to_vec();
    last_hop[22] = 1;
    last_hop[24..26].fill(0);
    let sum = Sum::of(&last_hop[14..34]).finish().to_bytes();
    last_hop[24..26].copy_from_slice(&sum);
    frames_allocate_nothing("a packet whose TTL ends", &mut bench, &[last_hop], 1);
}

#[test]
fn icmpv6_allocates_nothing() {
    let mut bench = Bench::with_flows(Setup { version: Version::V6, method: "nat", ..Setup::default() }, FLOWS);
    let mut last_hop = packet(Version::V6, 0, ACK).to_vec();
    last_hop[21] = 1;
    frames_allocate_nothing("a packet whose hop limit ends", &mut bench, &[last_hop], 1);
    let echo = echo_request_v6();
    frames_allocate_nothing("an echo request", &mut bench, &[echo], 1);
}

fn echo_request_v6() -> Vec<u8> {
    let tcp = packet(Version::V6, 0, ACK);
    let client = &tcp[22..38];
    let mut message = [128, 0, 0, 0, 0, 1, 0, 1];
    let pseudo = [client, &VIRTUAL_V6, &[0, 0, 0, message.len() as u8, 0, 0, 0, 58], &message].concat();
    message[2..4].copy_from_slice(&Sum::of(&pseudo).finish().to_bytes());
    let ip = [0x60, 0, 0, 0, 0, message.len() as u8, 58, 64];
    [&tcp[..14], &ip, client, &VIRTUAL_V6, &message].concat()
}

#[test]
fn fragments_allocate_nothing() {
    // with the outer header they are longer than the longest that came, and cut anew
    for (method, sent) in [("dr", 2), ("nat", 2), ("tun", 3)] {
        let mut bench = Bench::with_flows(Setup { method, ..Setup::default() }, FLOWS);
        let segment = [&packet(Version::V4, 0, ACK)[34..54], &[7; 100]].concat();
        let (first, second) = segment.split_at(56);
        let fragments =
            [ipv4(TCP, 64, [0x20, 0], CLIENT, VIRTUAL, first), ipv4(TCP, 64, [0, 7], CLIENT, VIRTUAL, second)];
        frames_allocate_nothing(&format!("fragments, {method}"), &mut bench, &fragments, sent);
    }
}

#[test]
fn what_is_dropped_allocates_nothing() {
    let mut bench = Bench::with_flows(Setup::default(), FLOWS);
    let good = packet(Version::V4, 0, ACK).to_vec();
    let bad_sum = [&good[..24], &[0xff, 0xff], &good[26..]].concat();
    let cut = good[..20].to_vec();
    let stray = ipv4(TCP, 64, [0, 0], CLIENT, [203, 0, 113, 9], &good[34..54]);
    let unknown = packet(Version::V4, 1 << 20, ACK).to_vec();
    let dropped = [bad_sum, cut, stray];
    frames_allocate_nothing("bad packets", &mut bench, &dropped, 0);
    let (counters, _) = bench.director.counters();
    let count = |reason: DropReason| counters.drops[reason as usize].get();
    assert_eq!((count(DropReason::IpChecksumBad), count(DropReason::Truncated)), (20, 20));
    frames_allocate_nothing("an ACK of no connection", &mut bench, &[unknown], 0);
}

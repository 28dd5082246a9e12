//! `io` against a real DPDK, on virtual devices and without huge pages: EAL starts once in a process, so one test
//! plays every scene in turn. Starts that must fail run in processes of their own.
#![cfg(feature = "dpdk")]

mod frames;
mod starts;

use std::path::Path;

use arrayvec::ArrayVec;
use frames::tail_of;
use pollux::dataplane::frame::{Frame, FramePool};
use pollux::dataplane::outlet::Outlet;
use pollux::dataplane::worker::Queues;
use pollux::io::arguments::EalConfig;
use pollux::io::eal::{self, Eal};
use pollux::io::failure::EalError;
use pollux::io::mbuf::{self, Burst, Mbuf};
use pollux::io::mempool::{Mempool, PoolConfig, PoolError};
use pollux::io::port::{self, Port, PortConfig, PortError};
use pollux::io::queue::RxQueue;
use pollux::io::rss::{self, Spread};
use pollux::io::worker_queues::{Exit, WorkerQueues};
use pollux::model::limits::{BURST, HEADROOM, SEGMENTS_MAX};
use pollux::model::{PortId, WorkerCounters};
use pollux::wire::rss_key::RssKeys;

/// Bytes of a buffer, headroom included.
const BUFFER: usize = HEADROOM + 2048;
const POOL: u32 = 2048;

fn strings(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|&argument| argument.to_owned()).collect()
}

fn start(arguments: &[String], socket: &Path) -> Result<Eal, EalError> {
    let cores = [eal::allowed_cores()[0]];
    eal::Eal::start(&EalConfig { eal_args: arguments, cores: &cores, socket, secondary: false, memory_mb: 256 })
}

fn pool(eal: &Eal) -> Mempool {
    Mempool::new(eal, &PoolConfig::new(POOL)).unwrap()
}

/// A frame whose bytes tell its number, its length and their place.
fn payload(number: usize, length: usize) -> Vec<u8> {
    (0..length).map(|at| (at ^ (number * 31) ^ (at >> 8)) as u8).collect()
}

fn bytes(frame: &Mbuf) -> Vec<u8> {
    frame.segments().flatten().copied().collect()
}

fn frame_of(allocator: &mut impl FramePool<Frame = Mbuf>, content: &[u8]) -> Mbuf {
    let mut frame = allocator.alloc().unwrap();
    assert!(frame.extend(content));
    frame
}

/// A capture file as tcpdump would write it: <https://www.tcpdump.org/manpages/pcap-savefile.5.html>.
fn write_capture(path: &Path, frames: &[Vec<u8>]) {
    let mut file = Vec::new();
    file.extend(0xa1b2_c3d4_u32.to_le_bytes());
    file.extend(2_u16.to_le_bytes());
    file.extend(4_u16.to_le_bytes());
    file.extend([0; 8]);
    file.extend(65535_u32.to_le_bytes());
    file.extend(1_u32.to_le_bytes());
    for frame in frames {
        file.extend([0; 8]);
        file.extend((frame.len() as u32).to_le_bytes());
        file.extend((frame.len() as u32).to_le_bytes());
        file.extend(frame);
    }
    std::fs::write(path, file).unwrap();
}

/// The frames of such a file; the times are whatever they are.
fn read_capture(path: &Path) -> Vec<Vec<u8>> {
    let file = std::fs::read(path).unwrap();
    let mut frames = Vec::new();
    let mut rest = &file[24..];
    while rest.len() >= 16 {
        let length = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
        frames.push(rest[16..16 + length].to_vec());
        rest = &rest[16 + length..];
    }
    frames
}

#[test]
fn io_works_on_dpdks_virtual_devices() {
    let folder = tempfile::tempdir().unwrap();
    let (capture_in, capture_out) = (folder.path().join("in.pcap"), folder.path().join("out.pcap"));
    // From the shortest frame there is, over one that fills its buffer, to a jumbo frame in several.
    let lengths = [14, 60, 61, 1514, 2048, 2049, 9014];
    let captured: Vec<Vec<u8>> = (0..100).map(|number| payload(number, lengths[number % lengths.len()])).collect();
    write_capture(&capture_in, &captured);
    let pcap = format!("net_pcap0,rx_pcap={},tx_pcap={}", capture_in.display(), capture_out.display());
    let vdevs = [
        "--vdev",
        "net_null0",
        "--vdev",
        "net_null1",
        "--vdev",
        "net_null2",
        "--vdev",
        "net_ring0",
        "--vdev",
        "net_ring1",
        "--vdev",
        "net_ring2",
        "--vdev",
        "net_ring3",
    ];
    // Without shared configuration nothing is left behind; net_pcap1 cannot start, which the others do not mind.
    let broken = "net_pcap1,rx_pcap=/nonexistent.pcap";
    let fixed = ["--no-huge", "--no-pci", "--no-shconf", "-m", "256", "--vdev", &pcap, "--vdev", broken];
    let eal = start(&strings(&[&fixed[..], &vdevs[..]].concat()), Path::new("/run/pollux-test-io.sock")).unwrap();
    assert_eq!(start(&[], Path::new("/other.sock")).unwrap_err(), EalError::AlreadyStarted);

    ports_are_listed_and_explain_themselves_when_missing(&eal);
    a_pool_is_bounded_and_takes_everything_back(&eal);
    frames::frames_behave_like_vectors_of_bytes(&eal);
    a_chain_stops_growing_at_its_limit(&eal);
    a_worker_runs_on_its_lcore_and_its_panic_is_reported(&eal);
    what_a_capture_holds_is_received_and_sent_unchanged(&eal, &captured);
    assert_eq!(read_capture(&capture_out), captured);
    a_ring_gives_back_what_it_was_given(&eal);
    a_workers_frames_leave_in_order_one_by_one_and_in_bursts(&eal);
    what_a_full_queue_refuses_stays_with_the_caller(&eal);
    a_queue_without_chains_makes_frames_contiguous_and_counts_what_it_cannot(&eal);
    what_a_driver_accepts_is_left_to_it(&eal);
    a_port_with_rss_leads_every_slot_to_its_queue_and_again_when_slots_move(&eal);
    a_frame_may_outlive_its_pool(&eal);
}

fn ports_are_listed_and_explain_themselves_when_missing(eal: &Eal) {
    let names: Vec<String> = port::list(eal).into_iter().map(|info| info.name).collect();
    assert_eq!(
        names,
        ["net_pcap0", "net_null0", "net_null1", "net_null2", "net_ring0", "net_ring1", "net_ring2", "net_ring3"]
    );
    let text = Port::open(eal, "net_tap7").unwrap_err().to_string();
    assert!(text.contains("net_tap7") && text.contains("net_ring0 (net_ring)"), "{text}");
    let text = Port::open(eal, "ffff:ff:1f.7").unwrap_err().to_string();
    assert!(text.contains("no PCI device ffff:ff:1f.7"), "{text}");
    let text = Port::open(eal, "net_pcap1").unwrap_err().to_string();
    assert!(text.contains("nonexistent.pcap") && text.contains("eal_args"), "{text}");
    let port = Port::open(eal, "net_null1").unwrap();
    assert_eq!(port.info().driver, "net_null");
    assert!(port.info().mtu_max >= 1500 && port.info().rx_queues_max >= 1, "{:?}", port.info());
    assert!(matches!(Port::open(eal, "net_null1"), Err(PortError::InUse { .. })));
}

fn a_pool_is_bounded_and_takes_everything_back(eal: &Eal) {
    let small = Mempool::new(eal, &PoolConfig { count: 100, ..PoolConfig::new(100) }).unwrap();
    let mut allocator = small.allocator();
    let mut burst = Burst::new();
    assert!(allocator.alloc_bulk(&mut burst, BURST));
    let mut others: Vec<Mbuf> = std::iter::from_fn(|| allocator.alloc()).collect();
    assert_eq!((others.len(), small.available(), small.in_use()), (100 - BURST, 0, 100));
    assert!(!allocator.alloc_bulk(&mut ArrayVec::new(), 1));
    others.truncate(10);
    mbuf::free_bulk(&mut burst);
    assert!(burst.is_empty());
    assert_eq!(small.in_use(), 10);
    // What came back is as good as new.
    let frame = frame_of(&mut allocator, b"again");
    assert_eq!((bytes(&frame), frame.segment_count()), (b"again".to_vec(), 1));
    drop((frame, others));
    assert_eq!(small.in_use(), 0);

    assert!(matches!(Mempool::new(eal, &PoolConfig { room: 100, ..PoolConfig::new(10) }), Err(PoolError::Room { .. })));
    let error = Mempool::new(eal, &PoolConfig::new(10_000_000)).unwrap_err();
    assert!(error.to_string().contains("\"-m\""), "{error}");
}

fn a_chain_stops_growing_at_its_limit(eal: &Eal) {
    let pool = pool(eal);
    let mut allocator = pool.allocator();
    let mut frame = frame_of(&mut allocator, b"x");
    for _ in 1..SEGMENTS_MAX {
        let tail = frame_of(&mut allocator, b"y");
        assert!(frame.chain(tail).is_ok());
    }
    let refused = frame.chain(frame_of(&mut allocator, b"one too many")).unwrap_err();
    assert_eq!(bytes(&refused), b"one too many");
    assert_eq!((frame.len(), frame.segment_count()), (SEGMENTS_MAX, SEGMENTS_MAX));
    drop((frame, refused));
    assert_eq!(pool.in_use(), 0);
}

fn a_worker_runs_on_its_lcore_and_its_panic_is_reported(eal: &Eal) {
    assert_eq!(eal.workers(), 1);
    let core = eal::allowed_cores();
    assert!(!core.is_empty());
    let caller = std::thread::current().id();
    let pool = pool(eal);
    let mut allocator = pool.allocator();
    // The worker's cache is its own, but what it frees is free for all.
    let run = eal.launch(0, move || {
        let freed = (0..1000).filter(|_| allocator.alloc().is_some()).count();
        (freed, std::thread::current().id())
    });
    let (freed, thread) = run.unwrap().wait().unwrap();
    assert_eq!(freed, 1000);
    assert_ne!(thread, caller);
    assert_eq!(pool.in_use(), 0);

    let panicked = eal.launch(0, || -> usize { panic!("on purpose") }).unwrap().wait().unwrap_err();
    assert_eq!(panicked.downcast_ref(), Some(&"on purpose"));
    // The lcore is none the worse for it, and one that does not exist says so.
    assert_eq!(eal.launch(0, || 42).unwrap().wait().unwrap(), 42);
    assert!(matches!(eal.launch(1, || ()), Err(EalError::Launch { worker: 1, .. })));
}

fn what_a_capture_holds_is_received_and_sent_unchanged(eal: &Eal, captured: &[Vec<u8>]) {
    let pool = pool(eal);
    let mut port = Port::open(eal, "net_pcap0").unwrap();
    // One file, one queue: three workers get what there is.
    let mac = [2, 0, 0, 0, 0, 9];
    let config = PortConfig { mtu: Some(9000), mac: Some(mac), ..PortConfig::new(3) };
    let mut state = port.configure(&config, &pool).unwrap();
    // The driver refuses both: software has them.
    assert_eq!((state.mtu, state.mtu_in_software, state.mac, state.mac_in_software), (9000, true, mac, true));
    assert_eq!((state.rx.len(), state.tx.len()), (1, 1));
    assert!(matches!(port.configure(&config, &pool), Err(PortError::Configured { .. })));
    port.start().unwrap();
    let mut received = Vec::new();
    let mut burst = Burst::new();
    for _ in 0..100 {
        state.rx[0].receive(&mut burst);
        received.extend(burst.iter().map(bytes));
        let count = burst.len();
        assert_eq!(state.tx[0].send(&mut burst), count);
    }
    assert_eq!(received.len(), captured.len());
    assert_eq!(received, captured);
    let stats = port.stats().unwrap();
    assert_eq!((stats.rx_packets, stats.tx_packets), (100, 100));
    port.reset_stats().unwrap();
    assert_eq!(port.stats().unwrap().rx_packets, 0);
    assert!(port.link().unwrap().up);
    drop((port, state));
    assert_eq!(pool.in_use(), 0);
}

fn a_ring_gives_back_what_it_was_given(eal: &Eal) {
    let pool = pool(eal);
    let mut allocator = pool.allocator();
    let mut port = Port::open(eal, "net_ring0").unwrap();
    let mut state = port.configure(&PortConfig::new(2), &pool).unwrap();
    port.start().unwrap();
    assert_eq!((state.rx.len(), state.tx.len()), (2, 2));
    let mut burst = Burst::new();
    let mut sent = Vec::new();
    for number in 0..BURST {
        // Every third one is a chain, as a reassembled packet is.
        let lengths = [60 + number, 1400, number];
        let (frame, model) = tail_of(&mut allocator, &lengths[..1 + 2 * usize::from(number % 3 == 0)]);
        sent.push(model.bytes());
        burst.push(frame);
    }
    assert_eq!(state.tx[1].send(&mut burst), BURST);
    assert!(burst.is_empty());
    assert_eq!(state.rx[0].receive(&mut burst), 0);
    // A burst that is not empty is filled up, and what it held stays in front.
    burst.push(frame_of(&mut allocator, b"first"));
    assert_eq!(state.rx[1].receive(&mut burst), BURST - 1);
    assert_eq!(bytes(&burst[0]), b"first");
    assert_eq!(burst[1..].iter().map(bytes).collect::<Vec<_>>(), sent[..BURST - 1]);
    mbuf::free_bulk(&mut burst);
    assert_eq!(state.rx[1].receive(&mut burst), 1);
    assert_eq!(bytes(&burst[0]), sent[BURST - 1]);
    assert_eq!(state.tx[1].take_unsendable(), 0);
    drop((burst, port, state));
    assert_eq!(pool.in_use(), 0);
}

fn a_workers_frames_leave_in_order_one_by_one_and_in_bursts(eal: &Eal) {
    let pool = pool(eal);
    let mut allocator = pool.allocator();
    let mut port = Port::open(eal, "net_ring3").unwrap();
    let mut state = port.configure(&PortConfig::new(1), &pool).unwrap();
    port.start().unwrap();
    let exits = vec![Exit::Own(state.tx.remove(0), vec![])];
    let mut queues = WorkerQueues::new(vec![], exits, pool.allocator());
    let counters = WorkerCounters::default();
    let mut number = 0;
    let mut burst_of = |len: usize| -> Burst {
        number += len;
        (number - len..number).map(|n| frame_of(&mut allocator, &payload(n, 60))).collect()
    };
    let mut received = Vec::new();
    let mut receive = |rx: &mut RxQueue| {
        let (mut burst, before) = (Burst::new(), received.len());
        while rx.receive(&mut burst) > 0 {
            received.extend(burst.iter().map(bytes));
            mbuf::free_bulk(&mut burst);
        }
        received.len() - before
    };
    // few; more behind those that wait; so many that some have to leave
    for len in [3, 20, BURST] {
        let mut burst = burst_of(len);
        queues.transmit_burst(PortId(0), &mut burst);
        assert!(burst.is_empty());
    }
    assert_eq!(receive(&mut state.rx[0]), BURST);
    queues.transmit(PortId(0), burst_of(1).remove(0));
    queues.flush(&counters);
    assert_eq!(receive(&mut state.rx[0]), 3 + 20 + 1);
    // nothing waits: as a whole, at once when it is a full one
    queues.transmit_burst(PortId(0), &mut burst_of(20));
    assert_eq!(receive(&mut state.rx[0]), 0);
    queues.flush(&counters);
    assert_eq!(receive(&mut state.rx[0]), 20);
    queues.transmit_burst(PortId(0), &mut burst_of(BURST));
    assert_eq!(receive(&mut state.rx[0]), BURST);
    queues.flush(&counters);
    assert_eq!(counters.transmitted.get() as usize, number);
    assert_eq!(received, (0..number).map(|n| payload(n, 60)).collect::<Vec<_>>());
    drop((queues, port, state));
    assert_eq!(pool.in_use(), 0);
}

/// The other ring device: its rings hold 1023 frames each, and nobody takes any out.
fn what_a_full_queue_refuses_stays_with_the_caller(eal: &Eal) {
    let pool = pool(eal);
    let mut allocator = pool.allocator();
    let mut port = Port::open(eal, "net_ring1").unwrap();
    let mut state = port.configure(&PortConfig::new(1), &pool).unwrap();
    port.start().unwrap();
    let mut total = 0;
    let mut burst = Burst::new();
    loop {
        for number in 0..BURST {
            burst.push(frame_of(&mut allocator, &payload(total + number, 60)));
        }
        let sent = state.tx[0].send(&mut burst);
        total += sent;
        if sent < BURST {
            break;
        }
        assert!(total < POOL as usize, "the ring never gets full");
    }
    let numbers = total..total + burst.len();
    assert_eq!(burst.iter().map(bytes).collect::<Vec<_>>(), numbers.map(|n| payload(n, 60)).collect::<Vec<_>>());
    assert_eq!(pool.in_use() as usize, total + burst.len());
    mbuf::free_bulk(&mut burst);
    while state.rx[0].receive(&mut burst) > 0 {
        mbuf::free_bulk(&mut burst);
    }
    drop((port, state));
    assert_eq!(pool.in_use(), 0);
}

fn a_queue_without_chains_makes_frames_contiguous_and_counts_what_it_cannot(eal: &Eal) {
    let pool = pool(eal);
    let mut allocator = pool.allocator();
    let mut port = Port::open(eal, "net_ring2").unwrap();
    let key = RssKeys::default().source;
    // it has queues and no RSS: what it is asked for changes nothing
    let wanted = PortConfig { tx_chains: false, rss_key: Some(key), ..PortConfig::new(2) };
    let mut state = port.configure(&wanted, &pool).unwrap();
    assert!(!state.tx_chains);
    port.start().unwrap();
    let without = if state.rx.len() > 1 { Spread::NoRss } else { Spread::OneQueue };
    assert_eq!((port.steer(&key, &[0; rss::SLOTS]), state.rss_fields), (without, 0));
    let mut burst = Burst::new();
    let mut fitting = Vec::new();
    // The headroom is room, too: the last that fits fills its whole buffer.
    for lengths in [&[60][..], &[100, 1400], &[2000, 500], &[700, 700, BUFFER - 1400], &[700, 700, BUFFER - 1399]] {
        let (frame, model) = tail_of(&mut allocator, lengths);
        if frame.len() <= BUFFER {
            fitting.push(model.bytes());
        }
        burst.push(frame);
    }
    assert_eq!(state.tx[0].send(&mut burst), 3);
    assert!(burst.is_empty());
    assert_eq!((state.tx[0].take_unsendable(), state.tx[0].take_unsendable()), (2, 0));
    state.rx[0].receive(&mut burst);
    assert_eq!(burst.iter().map(bytes).collect::<Vec<_>>(), fitting);
    assert!(burst.iter().all(|frame| frame.segment_count() == 1));
    drop((burst, port, state));
    assert_eq!(pool.in_use(), 0);
}

fn what_a_driver_accepts_is_left_to_it(eal: &Eal) {
    let pool = pool(eal);
    let mac = [2, 0, 0, 0, 0, 1];
    let mut port = Port::open(eal, "net_null0").unwrap();
    let state = port.configure(&PortConfig { mac: Some(mac), ..PortConfig::new(1) }, &pool).unwrap();
    assert_eq!((state.mac, state.mac_in_software), (mac, false));
    assert_eq!((state.mtu, state.mtu_in_software), (1500, false));
    port.start().unwrap();
    assert_eq!(port.steer(&RssKeys::default().source, &[0; rss::SLOTS]), Spread::OneQueue);
    drop((port, state));
    assert_eq!(pool.in_use(), 0);
}

fn a_port_with_rss_leads_every_slot_to_its_queue_and_again_when_slots_move(eal: &Eal) {
    let pool = pool(eal);
    let key = RssKeys::default().source;
    let mut port = Port::open(eal, "net_null2").unwrap();
    assert_eq!(port.info().reta_size, 128, "what this driver is known for");
    let state = port.configure(&PortConfig { rss_key: Some(key), ..PortConfig::new(2) }, &pool).unwrap();
    assert_eq!(state.rx.len(), 2);
    assert!(rss::field_names(state.rss_fields).contains(&"ipv4-tcp"), "{:x}", state.rss_fields);
    port.start().unwrap();
    let in_turn = std::array::from_fn(|slot| (slot % 2) as u16);
    assert_eq!(port.steer(&key, &in_turn), Spread::BySlot);
    assert_eq!(port.reta().unwrap(), in_turn);
    let all_to_one = [1; rss::SLOTS];
    assert_eq!(port.steer(&key, &all_to_one), Spread::BySlot);
    assert_eq!(port.reta().unwrap(), all_to_one);
    // a queue there is not
    assert_eq!(port.steer(&key, &[2; rss::SLOTS]), Spread::OtherTable);
    drop((port, state));
    assert_eq!(pool.in_use(), 0);
}

fn a_frame_may_outlive_its_pool(eal: &Eal) {
    let pool = pool(eal);
    let mut frame = frame_of(&mut pool.allocator(), b"survivor");
    drop(pool);
    assert!(frame.prepend(HEADROOM));
    assert_eq!(&bytes(&frame)[HEADROOM..], b"survivor");
}

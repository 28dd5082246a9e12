//! The poll loop over queues of a test's own, driven through its mailbox.

use super::lab::*;
use super::packets::*;
use crate::dataplane::lead;
use crate::dataplane::mailbox::{Mailbox, Reply, Request, mailbox};
use crate::dataplane::outlet::Outlet;
use crate::dataplane::snapshot::{Changes, Snapshot};
use crate::dataplane::vec_frame::{VecFrame, VecOutlet};
use crate::dataplane::worker::{Idle, Queues, Worker};
use crate::model::limits::{BURST, PICK_UP_PER_POLL};
use crate::model::{PortId, ServiceId, Time, WorkerCounters};
use crate::tables::neighbours::State;
use arrayvec::ArrayVec;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

type Wire = Rc<RefCell<VecDeque<VecFrame>>>;

/// One receive queue a port; frames leave for a vector.
struct TestQueues {
    received: [Wire; 2],
    sent: Rc<RefCell<VecOutlet>>,
    flushes: Rc<Cell<usize>>,
}

impl Outlet<VecFrame> for TestQueues {
    fn transmit(&mut self, port: PortId, frame: VecFrame) {
        self.sent.borrow_mut().transmit(port, frame);
    }
    fn alloc(&mut self) -> Option<VecFrame> {
        Outlet::alloc(&mut *self.sent.borrow_mut())
    }
}

impl Queues<VecFrame> for TestQueues {
    fn count(&self) -> usize {
        self.received.len()
    }
    fn receive(&mut self, queue: usize, into: &mut ArrayVec<VecFrame, BURST>) -> PortId {
        let mut wire = self.received[queue].borrow_mut();
        let n = wire.len().min(BURST);
        into.extend(wire.drain(..n));
        PortId(queue as u16)
    }
    fn flush(&mut self, _: &WorkerCounters) {
        self.flushes.set(self.flushes.get() + 1);
    }
}

struct Bench {
    worker: Worker<VecFrame, TestQueues>,
    mailbox: Mailbox,
    wires: [Wire; 2],
    sent: Rc<RefCell<VecOutlet>>,
    flushes: Rc<Cell<usize>>,
    counters: Arc<WorkerCounters>,
    now: Time,
}

impl Bench {
    fn new(lab: Lab) -> Self {
        let (wires, sent, flushes) = (<[Wire; 2]>::default(), Rc::default(), Rc::default());
        let queues = TestQueues { received: wires.clone(), sent: Rc::clone(&sent), flushes: Rc::clone(&flushes) };
        let ((mailbox, desk), counters) = (mailbox(), lab.counters());
        let worker = Worker::new(lab.director, queues, desk, Idle::Yield);
        Self { worker, mailbox, wires, sent, flushes, counters, now: lab.now }
    }

    /// Polls until told to stop; `each` is called before every poll.
    fn run(&mut self, each: impl FnMut(usize, &mut Mailbox)) {
        let (polls, now) = (Cell::new(0), self.now);
        let each = RefCell::new((each, &mut self.mailbox));
        self.worker.run(|| {
            let poll = polls.replace(polls.get() + 1);
            assert!(poll < 1000, "nobody told it to stop");
            let (each, mailbox) = &mut *each.borrow_mut();
            each(poll, mailbox);
            now
        });
    }

    /// Polls `n` times and stops.
    fn poll(&mut self, n: usize, mut each: impl FnMut(usize, &mut Mailbox)) {
        self.run(|poll, mailbox| {
            if poll < n {
                each(poll, mailbox);
            } else {
                assert!(poll == n && mailbox.ask(Request::Stop).is_ok(), "it stops at once");
            }
        });
    }

    fn ask(&mut self, request: Request) {
        assert!(self.mailbox.ask(request).is_ok());
    }

    fn answers(&mut self) -> Vec<Reply> {
        std::iter::from_fn(|| self.mailbox.answer()).collect()
    }
}

fn bench_with(connections: u16) -> Bench {
    let (mut lab, _) = Lab::nat();
    for n in 0..connections {
        lab.connect(n);
    }
    Bench::new(lab)
}

#[test]
fn a_busy_worker_goes_by_the_lead_that_it_has_tried_best() {
    let mut bench = bench_with(1);
    assert_eq!(bench.worker.lead(), lead::DEFAULT);
    let (frame, wire, start) = (tcp(client(0), vip(), ACK).bytes(), &bench.wires[0], bench.now);
    let (polls, mailbox) = (Cell::new(0), RefCell::new(&mut bench.mailbox));
    bench.worker.run(|| {
        polls.set(polls.get() + 1);
        wire.borrow_mut().extend((0..BURST).map(|_| VecFrame::new(&frame)));
        if polls.get() == 2000 {
            assert!(mailbox.borrow_mut().ask(Request::Stop).is_ok());
        }
        Time(start.0 + 1000 * polls.get())
    });
    assert_eq!(bench.worker.lead(), lead::LEADS[0], "all were as quick");
}

#[test]
fn frames_of_all_queues_are_processed_and_flushed() {
    let mut bench = bench_with(1);
    for n in 0..150 {
        bench.wires[0].borrow_mut().push_back(VecFrame::new(&tcp(client(n), vip(), SYN).bytes()));
    }
    let answer = tcp(at("10.0.0.1:8080"), client(0), SYN | ACK).at_server_side();
    bench.wires[1].borrow_mut().push_back(VecFrame::new(&answer.bytes()));
    bench.poll(3, |_, _| {});
    assert_eq!(bench.counters.received.get(), 1 + 151);
    assert_eq!(bench.counters.bursts.get(), 1 + 3 + 1, "bursts of {BURST}");
    let sent: Vec<_> = bench.sent.borrow().sent.iter().map(|(port, _)| port.0).collect();
    assert_eq!((sent.len(), sent.iter().filter(|&&port| port == 0).count()), (151, 1));
    assert!(bench.flushes.get() >= 4 + 4, "after every burst and every poll");
}

#[test]
fn a_listing_of_connections_comes_in_pages_and_is_complete() {
    let mut bench = bench_with(300);
    let (mut cursor, mut rows, mut pages) = (0, vec![], 0);
    loop {
        bench.ask(Request::Connections { cursor, rows: Vec::with_capacity(70) });
        bench.poll(20, |_, _| {});
        let answers = bench.answers();
        let [Reply::Connections { rows: page, next }] = &answers[..] else { panic!("one answer") };
        assert!(page.len() <= 70);
        rows.extend(page.clone());
        pages += 1;
        cursor = *next;
        if cursor == 0 {
            break;
        }
    }
    assert!(pages >= 5, "{pages}");
    let mut clients: Vec<_> = rows.iter().map(|row| row.client).collect();
    clients.sort();
    clients.dedup();
    assert_eq!((rows.len(), clients.len()), (300, 300));
    let row = rows.iter().find(|row| row.client == client(7).into()).unwrap();
    assert_eq!((row.virt, row.server), (vip().into(), at("10.0.0.1:8080").into()));
    assert_eq!((row.protocol.name(), row.state, row.expires_s()), ("TCP", "SYN_RECV", 60));
}

#[test]
fn a_listing_of_an_empty_table_is_an_empty_answer() {
    let mut bench = bench_with(0);
    bench.ask(Request::Connections { cursor: 0, rows: Vec::with_capacity(10) });
    bench.poll(3, |_, _| {});
    let answers = bench.answers();
    assert!(matches!(&answers[..], [Reply::Connections { rows, next: 0 }] if rows.is_empty()));
}

#[test]
fn neighbours_are_listed_with_their_states() {
    let (mut lab, _) = Lab::with_servers(crate::model::Forward::Nat, &["10.0.0.9:80"]);
    lab.client_sends(&tcp(client(1), vip(), SYN));
    let mut bench = Bench::new(lab);
    bench.ask(Request::Neighbours { rows: Vec::with_capacity(100) });
    bench.poll(2, |_, _| {});
    let answers = bench.answers();
    let [Reply::Neighbours { rows }] = &answers[..] else { panic!("one answer") };
    let of = |address: &str| rows.iter().find(|row| row.address == std::net::IpAddr::from(ip(address))).unwrap();
    assert_eq!((of("10.0.0.1").state, of("10.0.0.1").mac), (State::Static.name(), Some(server_mac(1))));
    assert_eq!((of("10.0.0.9").state, of("10.0.0.9").mac), (State::Incomplete.name(), None));
    assert_eq!(rows.len(), 6);
}

#[test]
fn a_snapshot_is_acknowledged_with_the_old_one_once_it_is_in() {
    let (mut lab, _) = Lab::nat();
    for n in 0..40 {
        lab.service(crate::model::Protocol::Tcp, &format!("192.0.2.{}:80", 100 + n), "wlc");
    }
    let next = lab.next_snapshot();
    let version = next.version;
    let mut bench = Bench::new(lab);
    bench.ask(Request::Snapshot(next.into()));
    let mut acknowledged = None;
    bench.poll(20, |poll, mailbox| match mailbox.answer() {
        Some(Reply::PickedUp(old)) => {
            let old = old.snapshot;
            assert_eq!((old.version, Arc::strong_count(&old)), (version - 1, 1));
            assert!(acknowledged.replace(poll).is_none(), "once");
        }
        Some(_) => panic!("another answer"),
        None => {}
    });
    assert!(acknowledged.is_some_and(|poll| poll >= 3), "forty services take several polls: {acknowledged:?}");
}

#[test]
fn no_answer_is_lost_when_nobody_reads_them_for_a_while() {
    // whatever finishes in the same poll when the answers' queue becomes full
    for first in 0..6 {
        nobody_reads_for_a_while(first);
    }
}

fn nobody_reads_for_a_while(first: usize) {
    let mut bench = bench_with(1);
    let snapshot = |version| {
        // several polls' work, so that it ends together with something else
        let services = (0..PICK_UP_PER_POLL as u32 / 6).map(ServiceId).collect();
        let changes = Arc::new(Changes { services, ..Changes::default() });
        Request::Snapshot(Arc::new(Snapshot { version, changes, ..Snapshot::default() }).into())
    };
    let (mut asked, mut answered) = (0, 0);
    bench.run(|poll, mailbox| {
        if poll >= 60 {
            // now somebody reads
            answered += usize::from(mailbox.answer().is_some());
            if poll == 300 {
                assert!(mailbox.ask(Request::Stop).is_ok());
            }
            return;
        }
        let request = match poll.checked_sub(first).map(|poll| poll % 3) {
            Some(0) => snapshot(100 + poll as u64),
            Some(1) => Request::Connections { cursor: 0, rows: Vec::with_capacity(10) },
            _ => Request::Neighbours { rows: Vec::with_capacity(1) },
        };
        asked += usize::from(mailbox.ask(request).is_ok());
    });
    assert!(asked >= 16, "{asked}: both queues were full");
    assert_eq!(answered, asked);
}

#[test]
fn a_mailbox_says_whether_it_has_room() {
    let (mut mailbox, _desk) = mailbox();
    while mailbox.has_room() {
        assert!(mailbox.ask(Request::LinkUp(PortId(0))).is_ok());
    }
    assert!(mailbox.ask(Request::Stop).is_err());
}

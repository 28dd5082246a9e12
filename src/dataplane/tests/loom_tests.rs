//! The mailbox between the control thread and a worker, in every order of events.

use super::lab::Lab;
use crate::dataplane::mailbox::{Desk, Mailbox, Reply, Request, mailbox};
use crate::dataplane::snapshot::Snapshot;
use loom::thread::{Builder, JoinHandle, yield_now};
use std::sync::Arc;

/// A director, unoptimized, needs more of a stack than loom's threads have. In words.
const STACK: usize = 1 << 17;

fn spawn(run: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    Builder::new().stack_size(STACK).spawn(run).unwrap()
}

/// Polls until it is told to stop.
fn work(mut desk: Desk, mut lab: Lab) {
    while !desk.serve(&mut lab.director) {
        yield_now();
    }
}

fn ask(mailbox: &mut Mailbox, mut request: Request) {
    while let Err(back) = mailbox.ask(request) {
        request = back;
        yield_now();
    }
}

fn answer(mailbox: &mut Mailbox) -> Reply {
    loop {
        match mailbox.answer() {
            Some(reply) => return reply,
            None => yield_now(),
        }
    }
}

/// `control` is the control thread of a worker. `preemptions`: how often a thread is interrupted; if not said, as often as
/// it can be.
fn model(
    preemptions: Option<usize>,
    control: impl Fn(&mut Mailbox, Vec<Arc<Snapshot>>) + Copy + Send + Sync + 'static,
) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = preemptions;
    model.check(move || {
        let control = move || {
            let mut lab = Lab::with_capacity(1);
            let snapshots = vec![lab.next_snapshot(), lab.next_snapshot()];
            let (mut mailbox, desk) = mailbox();
            let worker = spawn(move || work(desk, lab));
            control(&mut mailbox, snapshots);
            ask(&mut mailbox, Request::Stop);
            worker.join().unwrap();
        };
        spawn(control).join().unwrap();
    });
}

#[test]
fn snapshots_come_in_order_and_go_back_when_nobody_reads_them() {
    model(None, |mailbox, snapshots| {
        for snapshot in snapshots {
            let version = snapshot.version;
            ask(mailbox, Request::Snapshot(snapshot.into()));
            let Reply::PickedUp(old) = answer(mailbox) else { panic!("another answer") };
            let old = old.snapshot;
            assert_eq!((old.version, Arc::strong_count(&old)), (version - 1, 1));
        }
    });
}

#[test]
fn every_request_is_answered_though_answers_are_read_late() {
    // all orders would take an hour
    model(Some(2), |mailbox, mut snapshots| {
        ask(mailbox, Request::Snapshot(snapshots.remove(0).into()));
        ask(mailbox, Request::Neighbours { rows: Vec::with_capacity(1) });
        let answers = [answer(mailbox), answer(mailbox)];
        assert!(matches!(answers, [Reply::PickedUp(_), Reply::Neighbours { .. }]));
    });
}

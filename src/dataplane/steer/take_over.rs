//! What other workers send: frames go through the stages in bursts as those from a port do; notes are taken note of.

use super::Arrival;
use super::peers::{Mark, Note, Parcel, Parcels};
use crate::dataplane::director::Director;
use crate::dataplane::frame::Frame;
use crate::dataplane::outlet::Outlet;
use crate::dataplane::reassemble::Whole;
use crate::model::limits::BURST;
use crate::model::{DropReason, PortId, Time, WorkerId};
use crate::wire::address::{Ip4, Ip6};
use arrayvec::ArrayVec;

/// Frames that came in the same way, one after the other.
struct Run<F> {
    frames: ArrayVec<F, BURST>,
    port: PortId,
    mark: Mark,
}

impl<F: Frame> Director<F> {
    /// Fetches a burst from each of the other workers.
    #[inline]
    pub fn fetch_parcels(&mut self) {
        if self.is_shared {
            self.peers.fetch();
        }
    }

    /// What was fetched is processed; how many parcels there were.
    #[inline]
    pub fn take_parcels(&mut self, now: Time, out: &mut impl Outlet<F>) -> usize {
        if self.is_shared { self.take_from_peers(now, out) } else { 0 }
    }

    fn take_from_peers(&mut self, now: Time, out: &mut impl Outlet<F>) -> usize {
        if self.is_moving() {
            self.continue_moving();
        }
        let mut count = 0;
        for from in (0..self.peers.count()).map(|from| WorkerId(from as u16)) {
            if let Some(mut parcels) = self.peers.take(from) {
                count += parcels.len();
                self.unpack(from, &mut parcels, now, out);
                self.peers.put_back(from, parcels);
            }
        }
        count
    }

    fn unpack(&mut self, from: WorkerId, parcels: &mut Parcels<F>, now: Time, out: &mut impl Outlet<F>) {
        let mut run = Run { frames: ArrayVec::new(), port: PortId(0), mark: Mark::Handed };
        for parcel in parcels.drain(..) {
            if !matches!(&parcel, Parcel::Frame(_, port, mark) if (*port, *mark) == (run.port, run.mark)) {
                self.process_run(from, &mut run, now, out);
            }
            match parcel {
                Parcel::Frame(frame, port, mark) => {
                    (run.port, run.mark) = (port, mark);
                    run.frames.push(frame);
                }
                Parcel::Whole(whole, port, mark) => self.process_whole(from, (*whole, port, mark), now, out),
                Parcel::Note(note) => self.take_note(from, *note, now, out),
            }
        }
        self.process_run(from, &mut run, now, out);
    }

    fn process_run(&mut self, from: WorkerId, run: &mut Run<F>, now: Time, out: &mut impl Outlet<F>) {
        if run.frames.is_empty() {
            return;
        }
        self.arrival = run.mark.arrival(from);
        self.process(run.port, &mut run.frames, now, out);
        self.arrival = Arrival::Fresh;
    }

    #[cold]
    fn process_whole(
        &mut self,
        from: WorkerId,
        (whole, port, mark): (Whole<F>, PortId, Mark),
        now: Time,
        out: &mut impl Outlet<F>,
    ) {
        self.set_time(now);
        self.counters.taken_over.add(1);
        self.arrival = mark.arrival(from);
        let verdict: Result<(), DropReason> = match whole.geometry.is_v6 {
            true => self.finish_gathered::<Ip6>(whole, port, out),
            false => self.finish_gathered::<Ip4>(whole, port, out),
        };
        if let Err(reason) = verdict {
            self.counters.dropped(reason);
        }
        self.arrival = Arrival::Fresh;
    }

    #[cold]
    fn take_note(&mut self, from: WorkerId, note: Note, now: Time, out: &mut impl Outlet<F>) {
        self.set_time(now);
        match note {
            Note::Neighbour { interface, address, mac, learn } => {
                self.network.confirm(interface, address, mac, learn, now, out);
            }
            Note::PathMtu { server, mtu } => {
                self.network.learn_path_mtu(server, mtu, now);
            }
            Note::Moved(moved) => self.arrive(from, moved),
            Note::AllMoved { epoch } => self.heard_all_moved(epoch),
        }
    }
}

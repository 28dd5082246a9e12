//! Connections move to the workers whose they have become: a bounded number of entries between two bursts, each as plain
//! data over the ring that the packets take, so that no packet overtakes its connection.
//!
//! What others depend on goes before them; what stays of it here is a husk ([`flags::GONE`]) that nothing finds and that
//! ends when none of them is left.

use super::peers::{Note, Parcel};
use super::policy::Policy;
use crate::dataplane::director::{Director, Packet};
use crate::dataplane::family::{Family, PerFamily};
use crate::dataplane::frame::Frame;
use crate::dataplane::ftp::Session;
use crate::dataplane::steer::owner::{Rule, Stage};
use crate::model::limits::MOVED_PER_POLL;
use crate::model::{DestId, DropReason, InterfaceId, ServiceId, WorkerId};
use crate::tables::connections::{Conn, ConnId, flags};
use crate::wire::address::{Ip4, Ip6};
use arrayvec::ArrayVec;
use hashbrown::HashMap;

/// A data connection, its control connection and that one's template.
const CHAIN_MAX: usize = 3;

/// What goes along that lies in a side table.
pub enum Beside {
    Nothing,
    Session(Session),
    Watched([u64; 2]),
    Name(Box<[u8]>),
}

/// A connection on its way.
pub struct Entry<A> {
    /// Its controller is named by the number it had where it comes from.
    conn: Conn<A>,
    /// Its own there, if others depend on it; else 0.
    number: u32,
    beside: Beside,
}

/// Of either family.
pub enum Moved {
    V4(Entry<Ip4>),
    V6(Entry<Ip6>),
}

/// What is to be done, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
enum Phase {
    MoveV4,
    MoveV6,
    /// What stays forgets the controllers that have gone.
    ReleaseV4,
    ReleaseV6,
    Tell,
    #[default]
    Done,
}

/// How far a change of owners has come in this worker.
#[derive(Default)]
pub struct Moving {
    epoch: u64,
    phase: Phase,
    /// The next entry to be looked at.
    cursor: u32,
    /// The control thread has not been told yet.
    owes_report: bool,
    /// How many others have sent all, in which epoch.
    heard: (u64, usize),
    /// What others may depend on, by whom it came from and its number there.
    arrived: PerFamily<HashMap<(WorkerId, u32), ConnId>>,
}

impl<F: Frame> Director<F> {
    /// A snapshot is in: its steering may be another.
    pub(in crate::dataplane) fn follow_steering(&mut self) {
        let (epoch, stage) = (self.snapshot.steering.epoch, self.snapshot.steering.stage);
        if epoch == self.moving.epoch {
            return;
        }
        self.moving.epoch = epoch;
        match stage {
            Stage::Moving => {
                (self.moving.phase, self.moving.cursor, self.moving.owes_report) = (Phase::MoveV4, 1, true);
            }
            Stage::Announced => {}
            Stage::Settled => {
                self.moving.arrived.v4.clear();
                self.moving.arrived.v6.clear();
            }
        }
    }

    /// Whether everything is where it belongs, as far as this worker can know, and nobody has been told so.
    pub fn has_moved_all(&mut self) -> bool {
        if !self.moving.owes_report || self.moving.phase != Phase::Done {
            return false;
        }
        let (epoch, count) = self.moving.heard;
        let has = epoch == self.moving.epoch && count == self.peers.ids().count();
        self.moving.owes_report = !has;
        has
    }

    /// Another worker has sent all.
    pub(super) fn heard_all_moved(&mut self, epoch: u64) {
        let before = if self.moving.heard.0 == epoch { self.moving.heard.1 } else { 0 };
        self.moving.heard = (epoch, before + 1);
    }

    #[inline(always)]
    pub(super) fn is_moving(&self) -> bool {
        self.moving.phase != Phase::Done
    }

    /// Some more of what is to be done.
    #[cold]
    pub(super) fn continue_moving(&mut self) {
        match self.moving.phase {
            Phase::MoveV4 => self.move_some::<Ip4>(Phase::MoveV6),
            Phase::MoveV6 => self.move_some::<Ip6>(Phase::ReleaseV4),
            Phase::ReleaseV4 => self.release_some::<Ip4>(Phase::ReleaseV6),
            Phase::ReleaseV6 => self.release_some::<Ip6>(Phase::Tell),
            Phase::Tell => self.tell_all_moved(),
            Phase::Done => {}
        }
    }

    fn go_on(&mut self, cursor: u32, next: Phase) {
        (self.moving.phase, self.moving.cursor) = if cursor == 0 { (next, 1) } else { (self.moving.phase, cursor) };
    }

    fn some_entries<A: Family>(&self) -> (ArrayVec<ConnId, MOVED_PER_POLL>, u32) {
        let mut ids = ArrayVec::new();
        let table = self.connections.table::<A>();
        let next = table.page(self.moving.cursor, MOVED_PER_POLL as u32, |id, _| ids.push(id));
        (ids, next)
    }

    fn move_some<A: Family>(&mut self, next_phase: Phase) {
        let (ids, next) = self.some_entries::<A>();
        for id in ids {
            if !self.move_if_due::<A>(id) {
                // the ring is full: on from here when its reader has caught up
                self.moving.cursor = id.0;
                return;
            }
        }
        self.go_on(next, next_phase);
    }

    /// False: not now, there is no room.
    fn move_if_due<A: Family>(&mut self, id: ConnId) -> bool {
        let Some(conn) = self.connections.table::<A>().at(id.0) else { return true };
        match self.new_owner(conn) {
            Some(to) if to != self.worker => self.depart::<A>(id, to),
            _ => true,
        }
    }

    /// The worker a connection belongs to now; `None`: it stays where it is.
    fn new_owner<A: Family>(&self, conn: &Conn<A>) -> Option<WorkerId> {
        let steering = &self.snapshot.steering;
        let &Rule { now, .. } = self.rule_of(conn)?;
        // nobody looks for a template any more when each connection is for itself
        let is_void = conn.has(flags::GONE) || conn.has(flags::TEMPLATE) && now == Policy::Connection;
        (!is_void).then(|| steering.now.worker_of(now.slot(&steering.hash, conn.client, conn.client_port)))
    }

    fn rule_of<A: Family>(&self, conn: &Conn<A>) -> Option<&Rule> {
        let rules = &self.snapshot.steering.rules;
        let service = self.destinations.get(conn.dest).and_then(|dest| self.services.get(dest.service));
        let of_service = service.and_then(|state| rules.directory.services.get(&state.service.key));
        let of_service = of_service.and_then(|id| rules.services.get(id.index()));
        // of a service that is gone, and without a destination, there is only what packets show
        let claim = |key, marked| self.snapshot.steering.claim(&key, marked).map(|claim| claim.rule);
        let from_client = || claim(conn.key_in(), self.marked_service(conn));
        of_service.or_else(from_client).or_else(|| claim(conn.key_out(), None))
    }

    /// The service that a connection without a destination is of (`cache_bypass`).
    fn marked_service<A: Family>(&self, conn: &Conn<A>) -> Option<ServiceId> {
        let is_asked = conn.dest == DestId::NONE && self.snapshot.steering.has_marks(&self.snapshot.marks);
        if is_asked { self.marked(&conn.key_in(), InterfaceId(conn.input)) } else { None }
    }

    /// Sends a connection to another worker, with what it depends on in front. False: there is no room for them.
    fn depart<A: Family>(&mut self, id: ConnId, to: WorkerId) -> bool {
        let has_room = self.peers.has_room(to, CHAIN_MAX);
        if has_room {
            self.depart_now::<A>(id, to);
        }
        has_room
    }

    fn depart_now<A: Family>(&mut self, id: ConnId, to: WorkerId) {
        let control = self.connections.table::<A>().get(id).control;
        if control != 0 && !self.goes_along::<A>(ConnId(control), to) {
            self.connections.table_mut::<A>().set_control(id, ConnId(0));
        }
        self.send_away::<A>(id, to);
    }

    /// Whether a controller is at this worker already, or goes there now.
    fn goes_along<A: Family>(&mut self, id: ConnId, to: WorkerId) -> bool {
        let controller = *self.connections.table::<A>().get(id);
        if controller.has(flags::GONE) {
            return controller.extra == u32::from(to.0);
        }
        let goes = self.new_owner(&controller) == Some(to);
        if goes {
            self.depart_now::<A>(id, to);
        }
        goes
    }

    fn send_away<A: Family>(&mut self, id: ConnId, to: WorkerId) {
        let conn = *self.connections.table::<A>().get(id);
        let beside = self.take_beside(&conn);
        self.count_out_of_destination(&conn);
        let number = if conn.controlled > 0 { id.0 } else { 0 };
        if number == 0 {
            self.connections.table_mut::<A>().remove(id);
        } else {
            self.leave_husk::<A>(id, to);
        }
        self.counters.connections_moved_out.add(1);
        let moved = Note::Moved(A::moved(Entry { conn, number, beside }));
        let is_sent = self.peers.send(to, Parcel::Note(Box::new(moved)), &self.counters);
        debug_assert!(is_sent, "there is room for it");
    }

    /// Nothing finds it any more, and it counts nowhere; it only waits for those that depend on it.
    fn leave_husk<A: Family>(&mut self, id: ConnId, to: WorkerId) {
        let now = self.tick;
        let table = self.connections.table_mut::<A>();
        table.set_control(id, ConnId(0));
        if !table.get(id).has(flags::HIDDEN) {
            table.hide(id);
        }
        let husk = table.get_mut(id);
        husk.flags = husk.flags & flags::NO_CLIENT_PORT | flags::HIDDEN | flags::GONE;
        (husk.dest, husk.extra) = (DestId::NONE, to.0.into());
        table.set_deadline(id, now);
    }

    fn take_beside<A: Family>(&mut self, conn: &Conn<A>) -> Beside {
        if conn.has(flags::HELPED) {
            return self.ftp.take(conn.extra).map_or(Beside::Nothing, Beside::Session);
        }
        if conn.has(flags::WATCHED) {
            return self.watches.take(conn.extra).map_or(Beside::Nothing, Beside::Watched);
        }
        if !conn.has(flags::TEMPLATE) || conn.extra == 0 {
            return Beside::Nothing;
        }
        let name = self.names.get(conn.extra).into();
        self.names.release(conn.extra);
        Beside::Name(name)
    }

    fn put_beside(&mut self, beside: Beside) -> u32 {
        let number = match beside {
            Beside::Nothing => None,
            Beside::Session(session) => self.ftp.put(session),
            Beside::Watched(words) => self.watches.put(words),
            Beside::Name(name) => self.names.hold(&name),
        };
        number.unwrap_or(0)
    }

    fn count_out_of_destination<A: Family>(&mut self, conn: &Conn<A>) {
        if conn.has(flags::TEMPLATE) {
            self.destinations.unbind_template(conn.dest);
        } else if conn.dest != DestId::NONE && !conn.has(flags::UNBOUND) {
            self.destinations.unbind(conn.dest, conn.has(flags::INACTIVE));
        }
    }

    fn count_into_destination<A: Family>(&mut self, conn: &Conn<A>) {
        if conn.has(flags::TEMPLATE) {
            self.destinations.bind_template(conn.dest);
        } else if conn.dest != DestId::NONE && !conn.has(flags::UNBOUND) {
            self.destinations.bind(conn.dest, conn.has(flags::INACTIVE));
        }
    }

    /// What stays here no longer depends on what has gone elsewhere.
    fn release_some<A: Family>(&mut self, next_phase: Phase) {
        let (ids, next) = self.some_entries::<A>();
        for id in ids {
            let table = self.connections.table_mut::<A>();
            let control = table.get(id).control;
            if table.at(control).is_some_and(|controller| controller.has(flags::GONE)) {
                table.set_control(id, ConnId(0));
            }
        }
        self.go_on(next, next_phase);
    }

    fn tell_all_moved(&mut self) {
        let others: ArrayVec<WorkerId, { crate::model::SLOTS }> = self.peers.ids().collect();
        if !others.iter().all(|to| self.peers.has_room(*to, 1)) {
            return;
        }
        for to in others {
            let note = Note::AllMoved { epoch: self.moving.epoch };
            self.peers.send(to, Parcel::Note(Box::new(note)), &self.counters);
        }
        self.moving.phase = Phase::Done;
    }

    /// A connection has come.
    pub(super) fn arrive(&mut self, from: WorkerId, moved: Moved) {
        match moved {
            Moved::V4(entry) => self.arrive_in::<Ip4>(from, entry),
            Moved::V6(entry) => self.arrive_in::<Ip6>(from, entry),
        }
    }

    fn arrive_in<A: Family>(&mut self, from: WorkerId, entry: Entry<A>) {
        let Entry { mut conn, number, beside } = entry;
        conn.extra = self.put_beside(beside);
        conn.control = self.arrived_controller::<A>(from, conn.control);
        conn.controlled = 0;
        let was_hidden = conn.has(flags::HIDDEN);
        conn.flags &= !flags::HIDDEN;
        let known = self.connections.table::<A>().find(&conn.key_in()).filter(|_| !was_hidden);
        let deadline = conn.timer.deadline;
        let inserted = match known {
            Some((id, _)) => Err(Some(id)),
            None => self.connections.table_mut::<A>().insert(conn, self.tick).map_err(|_| None),
        };
        match inserted {
            Ok(id) => {
                self.connections.table_mut::<A>().set_deadline(id, deadline);
                self.count_into_destination(&conn);
                self.counters.connections_moved_in.add(1);
                if was_hidden {
                    self.connections.table_mut::<A>().hide(id);
                }
                self.note_arrival::<A>(from, number, Some(id));
            }
            Err(instead) => {
                self.forget_beside(&conn);
                self.counters.connections_lost.add(1);
                self.note_arrival::<A>(from, number, instead);
            }
        }
    }

    fn note_arrival<A: Family>(&mut self, from: WorkerId, number: u32, id: Option<ConnId>) {
        if let (Some(id), true) = (id, number != 0) {
            self.moving.arrived.of_mut::<A>().insert((from, number), id);
        }
    }

    /// Where the controller is now that had this number there; 0: it is not here, or no longer.
    fn arrived_controller<A: Family>(&self, from: WorkerId, number: u32) -> u32 {
        let arrived = self.moving.arrived.of::<A>().get(&(from, number)).filter(|_| number != 0);
        let is_controller = |conn: &Conn<A>| conn.has(flags::TEMPLATE) || conn.has(flags::HELPED);
        arrived.filter(|id| self.connections.table::<A>().at(id.0).is_some_and(is_controller)).map_or(0, |id| id.0)
    }

    fn forget_beside<A: Family>(&mut self, conn: &Conn<A>) {
        if conn.has(flags::HELPED) {
            self.ftp.remove(conn.extra);
        } else if conn.has(flags::WATCHED) {
            self.watches.remove(conn.extra);
        } else if conn.has(flags::TEMPLATE) {
            self.names.release(conn.extra);
        }
    }

    /// Before a new connection begins elsewhere, the template goes there that it will depend on.
    pub(super) fn send_template_ahead<A: Family>(
        &mut self,
        frame: &F,
        packet: &Packet<A>,
        to: WorkerId,
    ) -> Result<(), DropReason> {
        let Some(service) = self.service_of_mark(packet).or_else(|| self.service_of(packet)) else { return Ok(()) };
        let Some(template) = self.template_of(frame, packet, service) else { return Ok(()) };
        let goes = self.new_owner(self.connections.table::<A>().get(template)) == Some(to);
        if goes && !self.depart::<A>(template, to) {
            return Err(DropReason::RingFull);
        }
        Ok(())
    }
}

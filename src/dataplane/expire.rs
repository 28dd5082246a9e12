//! Connections end: their time is up, or somebody wants them gone.

use super::destinations::DestState;
use super::director::Director;
use super::family::Family;
use super::frame::Frame;
use super::outlet::Outlet;
use crate::model::state::TEMPLATE_ASSURED;
use crate::model::timeouts::REARM_S;
use crate::model::{DestId, Tick};
use crate::tables::connections::{Conn, ConnId, Due, Removal, flags};
use crate::wire::address::{Ip4, Ip6};
use arrayvec::ArrayVec;

/// Entries handled together, so that the cache misses of their removal overlap.
const BATCH: usize = 16;

/// Entries looked at between two bursts while connections of removed destinations are sought.
const ORPHANS_PER_POLL: usize = 64;

pub(super) fn is_assured<A: Family>(conn: &Conn<A>) -> bool {
    conn.has(flags::TEMPLATE) && conn.state & TEMPLATE_ASSURED != 0
}

impl<F: Frame> Director<F> {
    /// Looks at up to `budget` timers of each family that have come up.
    pub(super) fn expire(&mut self, budget: usize, out: &mut impl Outlet<F>) {
        self.expire_family::<Ip4>(budget, out);
        self.expire_family::<Ip6>(budget, out);
    }

    fn expire_family<A: Family>(&mut self, mut budget: usize, out: &mut impl Outlet<F>) {
        let now = self.tick;
        while budget > 0 {
            let mut due = ArrayVec::<ConnId, BATCH>::new();
            let more = self.collect_due::<A>(now, &mut budget, &mut due);
            if !due.is_empty() {
                self.expire_together::<A>(&due, now, out);
            }
            if !more {
                return;
            }
        }
    }

    #[inline]
    fn expire_together<A: Family>(&mut self, due: &[ConnId], now: Tick, out: &mut impl Outlet<F>) {
        let connections = self.connections.table::<A>();
        let mut removals = ArrayVec::<Removal, BATCH>::new();
        removals.extend(due.iter().take(BATCH).map(|id| connections.removal(*id)));
        removals.iter().for_each(|removal| connections.prefetch_removal(*removal));
        due.iter().for_each(|id| self.destinations.prefetch(connections.get(*id).dest));
        for removal in &removals {
            self.expire_or_keep::<A>(*removal, now, out);
        }
    }

    /// False when nothing more is due.
    fn collect_due<A: Family>(&mut self, now: Tick, budget: &mut usize, due: &mut ArrayVec<ConnId, BATCH>) -> bool {
        let connections = self.connections.table_mut::<A>();
        while *budget > 0 && !due.is_full() {
            *budget -= 1;
            match connections.next_due(now) {
                Due::Now(id) => due.push(id),
                Due::Later => {}
                Due::Nothing => return false,
            }
        }
        true
    }

    /// Others may still depend on it; then it lives on for a while (ip_vs_conn_expire).
    #[inline]
    fn expire_or_keep<A: Family>(&mut self, removal: Removal, now: Tick, out: &mut impl Outlet<F>) {
        let connections = self.connections.table_mut::<A>();
        let id = removal.id;
        if connections.get(id).controlled > 0 {
            connections.get_mut(id).timeout = REARM_S * Tick::PER_S;
            connections.file_again(id, now, REARM_S * Tick::PER_S);
            return;
        }
        let conn = connections.remove_unlinked(removal);
        if conn.has(flags::WATCHED) {
            self.reset_idle(&conn, out);
        }
        self.ended(&conn);
    }

    /// Ends connections whose destination was removed, as `expire_nodest_conn` asks for
    /// (ip_vs_expire_nodest_conn_flush), or has had its time to drain; a bounded number of entries a call.
    #[cold]
    pub(super) fn end_orphans(&mut self) {
        self.end_orphans_of::<Ip4>();
        self.end_orphans_of::<Ip6>();
    }

    fn end_orphans_of<A: Family>(&mut self) {
        let Some(from) = *self.orphans_from.of::<A>() else { return };
        let mut orphans = ArrayVec::<ConnId, ORPHANS_PER_POLL>::new();
        let destinations = &self.destinations;
        let ends_orphans = self.snapshot.settings.expire_nodest_conn;
        let is_gone = |dest: &DestState| dest.is_drained(self.now) || ends_orphans && !dest.available;
        let is_gone = |id: DestId| destinations.get(id).is_some_and(is_gone);
        let next = self.connections.table::<A>().page(from, ORPHANS_PER_POLL as u32, |id, conn| {
            if conn.controlled == 0 && conn.dest != DestId::NONE && is_gone(conn.dest) {
                orphans.push(id);
            }
        });
        orphans.into_iter().for_each(|id| self.end_orphan::<A>(id));
        *self.orphans_from.of_mut::<A>() = (next != 0).then_some(next);
    }

    /// Ends a connection now. One that others depend on only lets no more packets find it, and ends after them.
    pub(super) fn end<A: Family>(&mut self, id: ConnId) {
        let connections = self.connections.table_mut::<A>();
        if connections.get(id).controlled > 0 {
            return connections.hide(id);
        }
        let conn = connections.remove(id);
        self.ended(&conn);
    }

    /// With what controlled it alone.
    fn end_orphan<A: Family>(&mut self, id: ConnId) {
        let connections = self.connections.table::<A>();
        // an orphan's controller is most often an orphan itself, and has gone with it
        let Some(&Conn { control, controlled: 0, .. }) = connections.at(id.0) else { return };
        self.delete::<A>(id);
        if self.connections.table::<A>().at(control).is_some_and(|controller| controller.controlled == 0) {
            self.delete::<A>(ConnId(control));
        }
    }

    /// Ends a connection now that controls none, and then what controls it, unless that has others, or is a template that
    /// was of use before (ip_vs_conn_del).
    pub(super) fn delete<A: Family>(&mut self, id: ConnId) {
        let mut id = id;
        loop {
            let conn = self.connections.table_mut::<A>().remove(id);
            self.ended(&conn);
            match self.connections.table::<A>().at(conn.control) {
                Some(controller) if controller.controlled == 0 && !is_assured(controller) => id = ConnId(conn.control),
                _ => return,
            }
        }
    }

    fn ended<A: Family>(&mut self, conn: &Conn<A>) {
        if conn.has(flags::GONE) {
            return;
        }
        self.counters.connections_expired.add(1);
        if conn.has(flags::HELPED) {
            self.ftp.remove(conn.extra);
        } else if conn.has(flags::WATCHED) {
            self.watches.remove(conn.extra);
        }
        if conn.has(flags::TEMPLATE) {
            return self.template_ended(conn);
        }
        if conn.dest != DestId::NONE && !conn.has(flags::UNBOUND) {
            self.destinations.unbind(conn.dest, conn.has(flags::INACTIVE));
        }
    }
}

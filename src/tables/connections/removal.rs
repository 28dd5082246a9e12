//! Connections that go: out of the index and to the free entries.

use super::{Conn, ConnId, Connections, OUT, flags};
use crate::wire::address::Address;

/// A connection that is about to be removed, and where it is filed: see [`Connections::removal`].
#[derive(Clone, Copy, Debug)]
pub struct Removal {
    pub id: ConnId,
    hash_in: u64,
    /// For NAT; otherwise the same.
    hash_out: u64,
}

impl<A: Address> Connections<A> {
    /// Removes a connection that is in the wheel and controls none.
    pub fn remove(&mut self, id: ConnId) -> Conn<A> {
        self.wheel.unlink(&mut *self.slab, id.0);
        self.remove_unlinked(self.removal(id))
    }

    /// What removing a connection that [`Connections::next_due`] has handed out takes.
    #[inline(always)]
    pub fn removal(&self, id: ConnId) -> Removal {
        let conn = self.get(id);
        let hash_in = self.hash(&conn.key_in());
        let hash_out = if conn.has(flags::NAT) { self.hash(&conn.key_out()) } else { hash_in };
        Removal { id, hash_in, hash_out }
    }

    /// Asks for the cache lines that it will touch.
    #[inline(always)]
    pub fn prefetch_removal(&self, removal: Removal) {
        self.index.prefetch(removal.hash_in);
        self.index.prefetch(removal.hash_out);
    }

    /// Removes the connection, which is in no list of the wheel and controls none. The answer says which one controlled it.
    pub fn remove_unlinked(&mut self, removal: Removal) -> Conn<A> {
        let conn = *self.get(removal.id);
        debug_assert!(conn.controlled == 0, "its entry's number must stay its own");
        self.leave_index(removal, &conn);
        self.uncount_controlled(conn.control);
        self.without_port -= u32::from(conn.has(flags::NO_CLIENT_PORT));
        self.give_back(removal.id.0);
        conn
    }

    pub(super) fn leave_index(&mut self, removal: Removal, conn: &Conn<A>) {
        if conn.has(flags::HIDDEN) {
            return;
        }
        self.index.remove(removal.hash_in, removal.id.0);
        if conn.has(flags::NAT) {
            self.index.remove(removal.hash_out, removal.id.0 | OUT);
        }
    }

    pub(super) fn give_back(&mut self, id: u32) {
        let entry = &mut self.slab[id as usize];
        *entry = Conn::default();
        entry.timer.next = self.free;
        self.free = id;
        let [_, second] = self.behind(id);
        let [third, _] = self.behind(second);
        self.slab[id as usize].control = third;
        self.len -= 1;
    }

    /// The two free entries behind one; 0 is behind the last, and behind itself.
    fn behind(&self, id: u32) -> [u32; 2] {
        let next = |id: u32| self.slab[id as usize].timer.next;
        [next(id), next(next(id))]
    }
}

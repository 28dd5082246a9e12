//! Connections that depend on others, as FTP's data on its control connection and whatever is persistent on its template;
//! and those whose client's port is not known yet.

use super::{Conn, ConnId, Connections, Direction, Full, Key, OUT, flags, ports};
use crate::tables::memory::Zeroed;
use crate::wire::address::Address;

impl<A: Address> Connections<A>
where
    Conn<A>: Zeroed,
{
    /// From now on `id` depends on `controller`, and no longer on another (ip_vs_control_add).
    pub fn set_control(&mut self, id: ConnId, controller: ConnId) {
        self.count_controlled(controller.0);
        let before = std::mem::replace(&mut self.get_mut(id).control, controller.0);
        self.uncount_controlled(before);
    }

    pub(super) fn count_controlled(&mut self, controller: u32) {
        if controller != 0 {
            self.slab[controller as usize].controlled += 1;
        }
    }

    pub(super) fn uncount_controlled(&mut self, controller: u32) {
        if controller != 0 {
            let controlled = &mut self.slab[controller as usize].controlled;
            debug_assert!(*controlled > 0, "a controller stays in its entry as long as it controls any");
            *controlled = controlled.saturating_sub(1);
        }
    }

    /// Lets no packet find the connection any more; its timer and what it controls go on.
    pub fn hide(&mut self, id: ConnId) {
        let conn = *self.get(id);
        self.leave_index(self.removal(id), &conn);
        self.get_mut(id).flags |= flags::HIDDEN;
    }

    /// Whether some connection waits for its client's port.
    #[inline(always)]
    pub fn has_some_without_port(&self) -> bool {
        self.without_port > 0
    }

    /// The connection that waits for a packet with this key from any port of the client (ip_vs_conn_in_get).
    #[inline]
    pub fn find_without_port(&self, key: &Key<A>) -> Option<ConnId> {
        if self.without_port == 0 {
            return None;
        }
        let [_, _, high, low] = key.ports.to_ne_bytes();
        match self.find(&Key { ports: ports([0; 2], [high, low]), ..*key })? {
            (id, Direction::In) if self.get(id).has(flags::NO_CLIENT_PORT) => Some(id),
            _ => None,
        }
    }

    /// The client's port is known now (ip_vs_conn_fill_cport).
    pub fn set_client_port(&mut self, id: ConnId, port: [u8; 2]) -> Result<(), Full> {
        let conn = *self.get(id);
        if conn.has(flags::HIDDEN) || !conn.has(flags::NO_CLIENT_PORT) {
            return Ok(());
        }
        self.leave_index(self.removal(id), &conn);
        self.without_port -= 1;
        let known = self.get_mut(id);
        known.client_port = port;
        known.flags &= !flags::NO_CLIENT_PORT;
        let known = *known;
        let hash = self.hash(&known.key_in());
        if !self.index.insert(hash, id.0) {
            self.get_mut(id).flags |= flags::HIDDEN;
            return Err(Full);
        }
        if known.has(flags::NAT) && !self.index.insert(self.hash(&known.key_out()), id.0 | OUT) {
            self.index.remove(hash, id.0);
            self.get_mut(id).flags |= flags::HIDDEN;
            return Err(Full);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::conn;
    use super::*;
    use crate::model::Tick;
    use crate::wire::address::Ip4;

    #[test]
    fn a_controlled_connection_counts_with_its_controller_until_it_is_removed() {
        let mut table = Connections::<Ip4>::new(10, [1, 2, 3, 4], Tick(0)).unwrap();
        let first = table.insert(conn(1, true), Tick(0)).unwrap();
        let second = table.insert(conn(2, true), Tick(0)).unwrap();
        let data = table.insert(Conn { control: first.0, ..conn(3, true) }, Tick(0)).unwrap();
        let other = table.insert(conn(4, true), Tick(0)).unwrap();
        let counts = |table: &Connections<Ip4>| (table.get(first).controlled, table.get(second).controlled);
        assert_eq!(counts(&table), (1, 0));
        table.set_control(other, first);
        assert_eq!(counts(&table), (2, 0));
        table.set_control(other, second);
        assert_eq!(counts(&table), (1, 1));
        assert_eq!(table.remove(data).control, first.0);
        table.remove(other);
        assert_eq!(counts(&table), (0, 0));
    }

    #[test]
    fn a_connection_without_client_port_is_found_until_it_has_one() {
        let mut table = Connections::<Ip4>::new(2, [1, 2, 3, 4], Tick(0)).unwrap();
        let c = Conn { flags: flags::NAT | flags::NO_CLIENT_PORT, client_port: [0, 0], ..conn(7, true) };
        let id = table.insert(c, Tick(0)).unwrap();
        let known = Conn { client_port: [4, 0], ..c };
        assert_eq!((table.find(&known.key_in()), table.find_without_port(&known.key_in())), (None, Some(id)));
        table.set_client_port(id, [4, 0]).unwrap();
        assert_eq!(table.find(&known.key_in()), Some((id, Direction::In)));
        assert_eq!(table.find(&known.key_out()), Some((id, Direction::Out)));
        assert_eq!(table.find_without_port(&c.key_in()), None);
    }

    #[test]
    fn a_hidden_connection_leaves_its_tuple_to_another_and_keeps_its_entry() {
        let mut table = Connections::<Ip4>::new(2, [1, 2, 3, 4], Tick(0)).unwrap();
        let c = conn(7, true);
        let old = table.insert(c, Tick(0)).unwrap();
        table.hide(old);
        assert_eq!(table.find(&c.key_in()), None);
        let new = table.insert(c, Tick(0)).unwrap();
        assert_eq!((table.find(&c.key_out()), table.len()), (Some((new, Direction::Out)), 2));
        table.remove(old);
        assert_eq!((table.find(&c.key_in()), table.len()), (Some((new, Direction::In)), 1));
    }
}

//! What is kept for the FTP control connections that want more than NAT: the answer that is awaited, and by how much the
//! server's sequence numbers have moved since one of its answers got longer or shorter (nf_conntrack_seqadj.c).

use crate::model::limits::FTP_SESSIONS_MAX;

/// The answer of the server that says where it listens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Awaited {
    #[default]
    Nothing,
    Passive,
    ExtendedPassive,
}

/// By how much the server's bytes have moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shift {
    /// Where the last change was, in the server's numbers.
    position: u32,
    before: u32,
    after: u32,
}

impl Shift {
    pub fn is_none(&self) -> bool {
        self.before == 0 && self.after == 0
    }

    /// A packet that begins at `sequence` got longer by `difference`, or shorter.
    pub fn add(&mut self, sequence: u32, difference: i32) {
        let is_first = self.before == self.after;
        if difference != 0 && (is_first || is_after(sequence, self.position)) {
            self.position = sequence;
            self.before = self.after;
            self.after = self.after.wrapping_add_signed(difference);
        }
    }

    /// The client's number for a server's.
    pub fn to_client(self, sequence: u32) -> u32 {
        sequence.wrapping_add(if is_after(sequence, self.position) { self.after } else { self.before })
    }

    /// The server's number for a client's.
    pub fn to_server(self, sequence: u32) -> u32 {
        let is_behind = is_after(sequence.wrapping_sub(self.before), self.position);
        sequence.wrapping_sub(if is_behind { self.after } else { self.before })
    }
}

/// Comparison of sequence numbers (RFC 9293 §3.4).
fn is_after(a: u32, b: u32) -> bool {
    (b.wrapping_sub(a) as i32) < 0
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Session {
    pub awaited: Awaited,
    pub shift: Shift,
}

/// Sessions by number; 0 is none.
#[derive(Debug)]
pub struct Sessions {
    sessions: Vec<Session>,
    free: Vec<u32>,
}

impl Default for Sessions {
    fn default() -> Self {
        // address space for all, so that no packet has to wait for more memory
        let sessions = Vec::with_capacity(FTP_SESSIONS_MAX);
        Self { sessions, free: Vec::with_capacity(FTP_SESSIONS_MAX) }
    }
}

impl Sessions {
    /// `None`: there are as many as there may be.
    pub fn add(&mut self) -> Option<u32> {
        if let Some(number) = self.free.pop() {
            *self.get_mut(number)? = Session::default();
            return Some(number);
        }
        if self.sessions.len() >= FTP_SESSIONS_MAX {
            return None;
        }
        self.sessions.push(Session::default());
        Some(self.sessions.len() as u32)
    }

    pub fn get(&self, number: u32) -> Option<&Session> {
        self.sessions.get((number as usize).checked_sub(1)?)
    }

    pub fn get_mut(&mut self, number: u32) -> Option<&mut Session> {
        self.sessions.get_mut((number as usize).checked_sub(1)?)
    }

    /// What is kept of a connection that moves away.
    pub fn take(&mut self, number: u32) -> Option<Session> {
        let session = *self.get(number)?;
        self.remove(number);
        Some(session)
    }

    /// And where it arrives; `None`: there are as many as there may be.
    pub fn put(&mut self, session: Session) -> Option<u32> {
        let number = self.add()?;
        *self.get_mut(number)? = session;
        Some(number)
    }

    /// A connection with this session, or with none, has ended.
    pub fn remove(&mut self, number: u32) {
        if number != 0 {
            self.free.push(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_answer_itself_stays_where_it_is_and_what_follows_moves() {
        let mut shift = Shift::default();
        shift.add(100, 1);
        assert_eq!((shift.to_client(100), shift.to_client(148)), (100, 149));
        assert_eq!((shift.to_server(149), shift.to_server(100)), (148, 100));
        shift.add(200, -3);
        assert_eq!((shift.to_client(200), shift.to_client(248)), (201, 246));
        shift.add(200, -3);
        assert_eq!(shift.to_client(248), 246, "the same packet again moves nothing");
    }

    #[test]
    fn sessions_are_bounded_and_used_again() {
        let mut sessions = Sessions::default();
        assert!((0..FTP_SESSIONS_MAX).all(|_| sessions.add().is_some()));
        assert_eq!(sessions.add(), None);
        sessions.get_mut(7).unwrap().awaited = Awaited::Passive;
        sessions.remove(7);
        sessions.remove(0);
        assert_eq!(sessions.add(), Some(7));
        assert_eq!(sessions.get(7).unwrap().awaited, Awaited::Nothing);
        assert!(sessions.get(0).is_none());
    }

    proptest! {
        #[test]
        fn numbers_find_back(start: u32, changes in prop::collection::vec((30..90_u32, -20..20_i32), 1..9)) {
            let mut shift = Shift::default();
            let mut at = start;
            for (length, difference) in changes {
                shift.add(at, difference);
                let next = at.wrapping_add(length);
                prop_assert_eq!(shift.to_server(shift.to_client(next)), next);
                at = next;
            }
        }
    }
}

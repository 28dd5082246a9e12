//! Next hops and their MAC addresses: one worker's copy.
//!
//! An entry goes through the states of RFC 4861 §7.3.2 in short: incomplete → reachable → (unconfirmed for a while, and
//! used) probed → reachable again or failed. Who asks and who answers is the caller's business; this file only keeps
//! state and says what is due.

use super::index::Index;
use super::memory::NoMemory;
use crate::model::{InterfaceId, Time};
use crate::wire::address::fold;
use std::net::IpAddr;

/// A neighbour's number; valid while the table's [`Neighbours::epoch`] stays the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NeighbourId(pub u32);

/// Neighbours a worker keeps: an on-link pool of ten thousand servers and as many clients; 128 bytes each.
pub const NEIGHBOURS_MAX: usize = 32_768;
/// Questions asked before an unresolved neighbour counts as failed (Linux: mcast_solicit, ucast_solicit).
const PROBES_MAX: u8 = 3;
/// Time between two questions (RFC 4861 RETRANS_TIMER).
const RETRANSMIT_MS: u64 = 1000;
/// How long an answer is believed without being confirmed (RFC 4861 REACHABLE_TIME).
const REACHABLE_MS: u64 = 30_000;
/// How long a failed or unused entry is kept.
const FAILED_MS: u64 = 3_000;
const UNUSED_MS: u64 = 300_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Asked, no answer yet.
    Incomplete,
    Reachable,
    /// The MAC address is in use while the neighbour is asked whether it is still right.
    Probe,
    /// Did not answer; packets to it are dropped until the entry goes and the next packet asks anew.
    Failed,
    /// From the configuration.
    Static,
}

impl State {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Incomplete => "incomplete",
            Self::Reachable => "reachable",
            Self::Probe => "probe",
            Self::Failed => "failed",
            Self::Static => "static",
        }
    }
}

/// A next hop.
#[derive(Clone, Copy, Debug)]
pub struct Neighbour {
    pub interface: InterfaceId,
    pub address: IpAddr,
    /// Valid in the states with a MAC address.
    pub mac: [u8; 6],
    pub state: State,
    probes: u8,
    /// When the state was entered, confirmed or the last question asked.
    since: Time,
    pub used: bool,
    used_at: Time,
    /// First and last of the frames that wait for the MAC address, numbers in the caller's queue; 0 for none.
    pub held_first: u16,
    pub held_last: u16,
    pub held: u16,
}

impl Neighbour {
    /// Whether the first question has been sent.
    pub fn was_asked(&self) -> bool {
        self.probes > 0
    }

    /// Whether frames can be sent to it.
    #[inline(always)]
    pub fn is_usable(&self) -> bool {
        matches!(self.state, State::Reachable | State::Probe | State::Static)
    }
}

/// What the caller has to do about a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Ask for its MAC address; directly if one is known.
    Ask { unicast: bool },
    /// It got its MAC address from the configuration while frames waited for it.
    Ready,
    /// It failed: what waits for it is dropped.
    Failed,
    /// Its entry is gone.
    Removed,
}

/// The neighbour table. Its memory is there from the start, as address space, so that none has to wait for more.
pub struct Neighbours {
    entries: Vec<Option<Neighbour>>,
    /// Entries by interface and address.
    numbers: Index,
    seed: u64,
    len: usize,
    free: Vec<u32>,
    /// Where the next maintenance goes on.
    cursor: usize,
    epoch: u32,
    reach_epoch: u32,
    /// By interface: what was confirmed before is doubted. Maintenance comes round to it.
    doubted: Vec<Time>,
}

impl Neighbours {
    /// `seed` should be random, as for connections.
    pub fn new(seed: u64) -> Result<Self, NoMemory> {
        Ok(Self {
            entries: Vec::with_capacity(NEIGHBOURS_MAX),
            numbers: Index::new_sparse(NEIGHBOURS_MAX)?,
            seed,
            len: 0,
            free: Vec::with_capacity(NEIGHBOURS_MAX),
            cursor: 0,
            epoch: 0,
            reach_epoch: 0,
            doubted: vec![],
        })
    }

    fn hash(&self, interface: InterfaceId, address: IpAddr) -> u64 {
        /// Keeps a seed with few bits, as tests have, from being a poor one.
        const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
        let bits = match address {
            IpAddr::V4(v4) => v4.to_bits().into(),
            IpAddr::V6(v6) => v6.to_bits(),
        };
        let high = fold((bits >> 64) as u64 ^ self.seed, u64::from(interface.0) ^ self.seed.rotate_left(32) ^ MIX);
        fold(bits as u64 ^ high, self.seed ^ MIX)
    }

    /// Changes whenever a number may have become invalid.
    #[inline(always)]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Changes whenever frames to some neighbour have to carry another MAC address than before, or must no longer be sent.
    #[inline(always)]
    pub fn reach_epoch(&self) -> u32 {
        self.reach_epoch
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// Entries and the gaps between them: what a full round looks at.
    pub fn slots(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Entries from `cursor` on, for listings: looks at `look_at` at most, and says where to go on.
    pub fn page(&self, cursor: usize, look_at: usize, see: impl FnMut(&Neighbour)) -> Option<usize> {
        let end = (cursor + look_at).min(self.entries.len());
        self.entries.get(cursor..end).unwrap_or_default().iter().flatten().for_each(see);
        (end < self.entries.len()).then_some(end)
    }

    pub fn find(&self, interface: InterfaceId, address: IpAddr) -> Option<NeighbourId> {
        let is_it = |n| self.get(NeighbourId(n)).is_some_and(|e| (e.interface, e.address) == (interface, address));
        self.numbers.find(self.hash(interface, address), is_it).map(NeighbourId)
    }

    /// `None` for a number from another epoch.
    #[inline(always)]
    pub fn get(&self, id: NeighbourId) -> Option<&Neighbour> {
        self.entries.get(id.0 as usize)?.as_ref()
    }

    #[inline(always)]
    pub fn get_mut(&mut self, id: NeighbourId) -> Option<&mut Neighbour> {
        self.entries.get_mut(id.0 as usize)?.as_mut()
    }

    /// The neighbour's number, with a new incomplete entry if it had none; `None` when the table is full.
    pub fn find_or_add(&mut self, interface: InterfaceId, address: IpAddr, now: Time) -> Option<NeighbourId> {
        if let Some(id) = self.find(interface, address) {
            return Some(id);
        }
        self.add(interface, address, [0; 6], State::Incomplete, now)
    }

    fn add(
        &mut self,
        interface: InterfaceId,
        address: IpAddr,
        mac: [u8; 6],
        state: State,
        now: Time,
    ) -> Option<NeighbourId> {
        if self.len >= NEIGHBOURS_MAX {
            return None;
        }
        let entry = Neighbour {
            interface,
            address,
            mac,
            state,
            probes: 0,
            since: now,
            used: false,
            used_at: now,
            held_first: 0,
            held_last: 0,
            held: 0,
        };
        let number = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            self.entries.len() as u32 - 1
        });
        self.entries[number as usize] = Some(entry);
        self.len += 1;
        if !self.numbers.insert(self.hash(interface, address), number) {
            // does not happen: there is room for as many as there may be
            self.remove(number as usize);
            return None;
        }
        Some(NeighbourId(number))
    }

    /// An entry of the configuration's; one that it no longer has (`None`) becomes an ordinary one, to be confirmed.
    pub fn set_static(&mut self, interface: InterfaceId, address: IpAddr, mac: Option<[u8; 6]>, now: Time) {
        match (self.find(interface, address).and_then(|id| self.get_mut(id)), mac) {
            (Some(entry), Some(mac)) => {
                let is_new = !entry.is_usable() || entry.mac != mac;
                (entry.state, entry.mac) = (State::Static, mac);
                self.reach_epoch = self.reach_epoch.wrapping_add(is_new.into());
            }
            (Some(entry), None) if entry.state == State::Static => {
                (entry.state, entry.since, entry.probes) = (State::Probe, now, 0);
            }
            (None, Some(mac)) => _ = self.add(interface, address, mac, State::Static, now),
            (_, None) => {}
        }
    }

    /// An interface went or changed: what was known behind it is forgotten. Gives the removed entries.
    pub fn forget(&mut self, mut is_gone: impl FnMut(InterfaceId) -> bool) -> Vec<Neighbour> {
        let mut removed = vec![];
        for number in 0..self.entries.len() {
            if self.entries[number].as_ref().is_some_and(|e| is_gone(e.interface)) {
                removed.extend(self.remove(number));
            }
        }
        removed
    }

    fn remove(&mut self, number: usize) -> Option<Neighbour> {
        let entry = self.entries[number].take()?;
        self.numbers.remove(self.hash(entry.interface, entry.address), number as u32);
        self.len -= 1;
        self.free.push(number as u32);
        self.epoch = self.epoch.wrapping_add(1);
        self.reach_epoch = self.reach_epoch.wrapping_add(1);
        Some(entry)
    }

    /// The neighbour told its MAC address. `learn` adds an entry where there is none, as for a question addressed to
    /// us; a mere mention only updates (RFC 826, "Packet Reception"). Gives its number when frames may wait for it.
    pub fn confirm(
        &mut self,
        interface: InterfaceId,
        address: IpAddr,
        mac: [u8; 6],
        learn: bool,
        now: Time,
    ) -> Option<NeighbourId> {
        match self.find(interface, address) {
            Some(id) => {
                let entry = self.get_mut(id)?;
                if entry.state != State::Static {
                    let is_new = !entry.is_usable() || entry.mac != mac;
                    (entry.mac, entry.state, entry.since, entry.probes) = (mac, State::Reachable, now, 0);
                    self.reach_epoch = self.reach_epoch.wrapping_add(is_new.into());
                }
                Some(id)
            }
            None if learn => self.add(interface, address, mac, State::Reachable, now),
            None => None,
        }
    }

    /// The first question about a new entry has been asked.
    pub fn asked(&mut self, id: NeighbourId, now: Time) {
        if let Some(entry) = self.get_mut(id) {
            entry.probes += 1;
            entry.since = now;
        }
    }

    /// What is known behind this interface is to be confirmed soon: a link came up.
    pub fn doubt(&mut self, interface: InterfaceId, now: Time) {
        if self.doubted.len() <= interface.index() {
            self.doubted.resize(interface.index() + 1, Time(0));
        }
        self.doubted[interface.index()] = now;
    }

    /// Looks at up to `look_at` entries and says what is due about them.
    pub fn maintain(&mut self, now: Time, look_at: usize, mut due: impl FnMut(NeighbourId, Neighbour, Due)) {
        for _ in 0..look_at.min(self.entries.len()) {
            self.cursor = if self.cursor + 1 < self.entries.len() { self.cursor + 1 } else { 0 };
            let Some(entry) = self.entries[self.cursor].as_mut() else { continue };
            let id = NeighbourId(self.cursor as u32);
            entry.doubt(self.doubted.get(entry.interface.index()).copied().unwrap_or_default(), now);
            match entry.step(now) {
                Some(Due::Removed) => {
                    if let Some(gone) = self.remove(id.0 as usize) {
                        due(id, gone, Due::Removed);
                    }
                }
                Some(what) => {
                    self.reach_epoch = self.reach_epoch.wrapping_add((what == Due::Failed).into());
                    due(id, *entry, what);
                }
                None => {}
            }
        }
    }
}

impl Neighbour {
    fn doubt(&mut self, before: Time, now: Time) {
        if self.state == State::Reachable && self.since < before {
            (self.state, self.since, self.probes) =
                (State::Probe, Time(now.0.saturating_sub(RETRANSMIT_MS * 1_000_000)), 0);
        }
    }

    fn step(&mut self, now: Time) -> Option<Due> {
        if std::mem::take(&mut self.used) {
            self.used_at = now;
        }
        let waited_ms = now.since(self.since) / 1_000_000;
        let unused = now.since(self.used_at) / 1_000_000 >= UNUSED_MS;
        match self.state {
            State::Static => (self.held > 0).then_some(Due::Ready),
            State::Failed => (waited_ms >= FAILED_MS).then_some(Due::Removed),
            State::Reachable if waited_ms < REACHABLE_MS => None,
            State::Reachable if unused => Some(Due::Removed),
            // not confirmed for a while, but nobody needs it: ask when somebody does
            State::Reachable if now.since(self.used_at) / 1_000_000 >= REACHABLE_MS => None,
            State::Reachable => {
                (self.state, self.probes) = (State::Probe, 0);
                self.ask(now)
            }
            State::Incomplete | State::Probe if waited_ms < RETRANSMIT_MS => None,
            State::Incomplete | State::Probe if self.probes >= PROBES_MAX => {
                (self.state, self.since) = (State::Failed, now);
                Some(Due::Failed)
            }
            State::Incomplete | State::Probe => self.ask(now),
        }
    }

    fn ask(&mut self, now: Time) -> Option<Due> {
        self.probes += 1;
        self.since = now;
        // the last of the direct questions goes to everybody: another station may have the address now
        Some(Due::Ask { unicast: self.state == State::Probe && self.probes < PROBES_MAX })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ON: InterfaceId = InterfaceId(0);
    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];

    fn address(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    fn run(table: &mut Neighbours, from_ms: u64, to_ms: u64, used: bool) -> Vec<(u64, Due)> {
        let mut seen = vec![];
        for ms in from_ms..to_ms {
            if used && let Some(n) = table.get_mut(NeighbourId(0)) {
                n.used = true;
            }
            table.maintain(Time::from_ms(ms), 4, |_, _, due| seen.push((ms, due)));
        }
        seen
    }

    #[test]
    fn an_unanswered_question_is_asked_three_times_and_then_fails_and_goes() {
        let mut table = Neighbours::new(7).unwrap();
        let id = table.find_or_add(ON, address(1), Time(0)).unwrap();
        table.asked(id, Time(0));
        let broadcast = Due::Ask { unicast: false };
        let expected = [(1000, broadcast), (2000, broadcast), (3000, Due::Failed), (6000, Due::Removed)];
        assert_eq!(run(&mut table, 0, 7000, true), expected);
        assert!(table.is_empty());
    }

    #[test]
    fn a_used_neighbour_is_confirmed_directly_and_stays_usable_meanwhile() {
        let mut table = Neighbours::new(7).unwrap();
        let id = table.confirm(ON, address(1), MAC, true, Time(0)).unwrap();
        let seen = run(&mut table, 0, 30_500, true);
        assert_eq!(seen, [(30_000, Due::Ask { unicast: true })]);
        assert!(table.get(id).unwrap().is_usable());
        table.confirm(ON, address(1), MAC, false, Time::from_ms(30_500));
        assert_eq!(run(&mut table, 30_500, 60_000, true), []);
    }

    #[test]
    fn what_frames_to_neighbours_carry_has_an_epoch() {
        let mut table = Neighbours::new(7).unwrap();
        let mut last = table.reach_epoch();
        let mut has_changed =
            |table: &Neighbours| std::mem::replace(&mut last, table.reach_epoch()) != table.reach_epoch();
        let id = table.find_or_add(ON, address(1), Time(0)).unwrap();
        table.asked(id, Time(0));
        assert!(!has_changed(&table), "nothing could be sent to it, and still cannot");
        table.confirm(ON, address(1), MAC, false, Time(0));
        assert!(has_changed(&table), "it has a MAC address now");
        table.confirm(ON, address(1), MAC, false, Time(0));
        run(&mut table, 0, 30_500, true);
        assert!(!has_changed(&table), "the same again, and in doubt but in use");
        table.confirm(ON, address(1), [9; 6], false, Time::from_ms(30_500));
        assert!(has_changed(&table), "another MAC address");
        run(&mut table, 30_500, 64_000, true);
        assert_eq!(table.get(id).map(|n| n.state), Some(State::Failed));
        assert!(has_changed(&table), "it does not answer");
        table.set_static(ON, address(1), Some(MAC), Time::from_ms(64_000));
        assert!(has_changed(&table), "the configuration knows it");
        table.forget(|_| true);
        assert!(has_changed(&table), "it is gone");
    }

    #[test]
    fn an_unused_neighbour_goes_quietly_and_its_number_is_known_to_be_stale() {
        let mut table = Neighbours::new(7).unwrap();
        table.confirm(ON, address(1), MAC, true, Time(0));
        let epoch = table.epoch();
        let seen = run(&mut table, 0, 301_000, false);
        assert_eq!(seen, [(300_000, Due::Removed)]);
        assert_ne!(table.epoch(), epoch);
    }

    #[test]
    fn a_static_neighbour_never_changes_until_the_configuration_drops_it() {
        let mut table = Neighbours::new(7).unwrap();
        table.set_static(ON, address(1), Some(MAC), Time(0));
        table.confirm(ON, address(1), [9; 6], true, Time(0));
        let id = table.find(ON, address(1)).unwrap();
        assert_eq!(table.get(id).unwrap().mac, MAC);
        assert_eq!(run(&mut table, 0, 100_000, true), []);
        table.set_static(ON, address(1), None, Time::from_ms(100_000));
        assert_eq!(table.get(id).unwrap().state, State::Probe);
    }

    #[test]
    fn a_full_table_takes_no_more() {
        let mut table = Neighbours::new(7).unwrap();
        for i in 0..NEIGHBOURS_MAX as u32 {
            assert!(table.find_or_add(ON, IpAddr::from(i.to_be_bytes()), Time(0)).is_some());
        }
        assert!(table.find_or_add(ON, address(250), Time(0)).is_none());
    }
}

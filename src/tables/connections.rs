//! The connection table of one worker: a slab of fixed-size entries, an index over it that finds both directions of a
//! NAT connection, and the wheel that times them. Indices only, no pointers.
//!
//! An entry is one cache line for IPv4 and two for IPv6. Entry 0 is never used and means "none".

#[cfg(test)]
mod capacity;
mod control;
mod removal;
#[cfg(test)]
mod tests;

pub use removal::Removal;

use super::index::{Index, NOBODYS};
use super::memory::{Area, Mapping, NoMemory, Zeroed, prefetch};
use super::wheel::{Timed, Timer, Wheel};
use crate::model::{DestId, Tick};
use crate::wire::address::{Address, Ip4, Ip6, fold};

/// A connection's number in its worker's table of its family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct ConnId(pub u32);

/// Where a packet of a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client.
    In,
    /// From the server (NAT only).
    Out,
}

/// Set in the index's handle of the server's side of a NAT connection.
const OUT: u32 = 1 << 31;
/// Entries a table can number.
pub const CAPACITY_MAX: u32 = (1 << 28) - 1;
// each has two keys, and may be in a bucket that all others passed
const _: () = assert!(CAPACITY_MAX < NOBODYS / 4);

/// What is particular to a connection.
pub mod flags {
    /// The server's side is indexed too.
    pub const NAT: u16 = 1 << 0;
    /// Counted as inactive by its destination.
    pub const INACTIVE: u16 = 1 << 1;
    /// No packet of the server has been seen: the input-only state table applies.
    pub const NO_OUTPUT: u16 = 1 << 2;
    /// A persistence template.
    pub const TEMPLATE: u16 = 1 << 3;
    /// One-packet scheduling.
    pub const ONE_PACKET: u16 = 1 << 4;
    /// Not bound to its destination's counts.
    pub const UNBOUND: u16 = 1 << 5;
    /// Forwarded through a tunnel.
    pub const TUN: u16 = 1 << 6;
    /// Its destination is the director itself.
    pub const LOCAL: u16 = 1 << 7;
    /// No packet finds it any more: another has its tuple. It only waits for those it controls.
    pub const HIDDEN: u16 = 1 << 8;
    /// NAT that needs more than other addresses and ports: of FTP.
    pub const HELPED: u16 = 1 << 9;
    /// The client's port is not known before its first packet; until then it is 0.
    pub const NO_CLIENT_PORT: u16 = 1 << 10;
    /// The sequence numbers that its ends await are noted, to reset them when it expires.
    pub const WATCHED: u16 = 1 << 11;
    /// Moved to another worker, whose number is in `extra`: what is here waits for those that depended on it.
    pub const GONE: u16 = 1 << 12;
    /// The bits that say how it is forwarded; none of them is direct routing.
    pub const METHOD: u16 = NAT | TUN | LOCAL | PARTICULAR;
    /// Its packets take another way than the plain ones of its method.
    pub const PARTICULAR: u16 = HELPED | WATCHED;
}

/// What identifies a packet's connection: the packet's own source and destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Key<A> {
    pub source: A,
    pub destination: A,
    /// Source and destination port as they stand in the packet, in memory order.
    pub ports: u32,
    /// IP protocol number; templates have their own space above it.
    pub kind: u32,
}

/// Added to the protocol in a template's key.
pub const TEMPLATE_KIND: u32 = 1 << 8;
const _: () = assert!(super::names::NAMES_MAX < 1 << 23, "a name's number fits above it");

/// What is added to the protocol in the key of a template whose clients are told apart by more than their network: the
/// number of that name, which stands in the template's `extra`; 0 for none.
#[inline(always)]
pub const fn template_kind(name: u32) -> u32 {
    TEMPLATE_KIND | name << 9
}

/// Two ports as they stand in a packet.
#[inline(always)]
pub fn ports(source: [u8; 2], destination: [u8; 2]) -> u32 {
    u32::from_ne_bytes([source[0], source[1], destination[0], destination[1]])
}

/// One connection. All zero: a free entry.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub struct Conn<A> {
    pub client: A,
    pub virt: A,
    /// Ports are in network byte order.
    pub client_port: [u8; 2],
    pub virtual_port: [u8; 2],
    pub server: A,
    pub server_port: [u8; 2],
    /// Of a connection without a destination: the interface that its client's packets come in by, on which their mark may
    /// depend, and on that whose they are.
    pub input: u16,
    pub protocol: u8,
    pub state: u8,
    pub flags: u16,
    pub timer: Timer,
    pub dest: DestId,
    /// The template or control connection this one depends on.
    pub control: u32,
    /// Connections that depend on this one.
    pub controlled: u32,
    /// Packets from the client.
    pub in_packets: u32,
    /// Ticks without a packet until it expires.
    pub timeout: u32,
    /// Entry of a side table with what few connections have; of a template, the number of its name.
    pub extra: u32,
}
const _: () = assert!(size_of::<Conn<Ip4>>() == 64);
const _: () = assert!(size_of::<Conn<Ip6>>() == 128);

#[allow(unsafe_code)]
// SAFETY: made of integers and addresses, whose bytes may all be zero (FromZeros); such an entry is a free one.
unsafe impl<A: Address> Zeroed for Conn<A> {}

impl<A: Address> Conn<A> {
    #[inline(always)]
    pub fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    #[inline(always)]
    fn kind(&self) -> u32 {
        u32::from(self.protocol) | if self.has(flags::TEMPLATE) { template_kind(self.extra) } else { 0 }
    }

    /// The key of the client's packets.
    #[inline(always)]
    pub fn key_in(&self) -> Key<A> {
        Key {
            source: self.client,
            destination: self.virt,
            ports: ports(self.client_port, self.virtual_port),
            kind: self.kind(),
        }
    }

    /// The key of the server's packets.
    #[inline(always)]
    pub fn key_out(&self) -> Key<A> {
        Key {
            source: self.server,
            destination: self.client,
            ports: ports(self.server_port, self.client_port),
            kind: self.kind(),
        }
    }

    /// Whether a packet with these addresses and ports is the client's.
    #[inline(always)]
    fn is_from_client(&self, key: &Key<A>) -> bool {
        A::are_same([self.client, self.virt], [key.source, key.destination])
            && ports(self.client_port, self.virtual_port) == key.ports
    }

    /// Whether it is the server's.
    #[inline(always)]
    fn is_from_server(&self, key: &Key<A>) -> bool {
        A::are_same([self.server, self.client], [key.source, key.destination])
            && ports(self.server_port, self.client_port) == key.ports
    }

    /// Whether it is of the key's protocol, no template, and has none of the flags `uncommon`.
    #[inline(always)]
    pub fn is_of(&self, key: &Key<A>, uncommon: u16) -> bool {
        u32::from(self.protocol) == key.kind && !self.has(uncommon | flags::TEMPLATE)
    }

    /// Whether it has this protocol and state, and of the flags in `mask` these.
    #[inline(always)]
    pub fn is_as(&self, [protocol, state]: [u8; 2], mask: u16, flags: u16) -> bool {
        // as one word: it is one load and one comparison
        let is_in_state = u16::from_le_bytes([self.protocol, self.state]) == u16::from_le_bytes([protocol, state]);
        is_in_state && self.flags & mask == flags
    }

    /// Its time begins anew, with this timeout. True when the wheel has to be told ([`Entries::refile`]).
    #[inline(always)]
    #[must_use]
    pub fn restart(&mut self, timeout: u32, now: Tick) -> bool {
        self.timeout = timeout;
        self.timer.set(now.plus(timeout))
    }

    fn in_use(&self) -> bool {
        self.protocol != 0 || self.flags != 0
    }
}

/// What a bucket says of a key: the handle of the connection that most likely has it, or 0 when none had it then.
#[derive(Clone, Copy, Debug, Default)]
pub struct Guess(u32);

impl Guess {
    #[inline(always)]
    pub fn is_some(self) -> bool {
        self.0 != 0
    }
}

/// The slab, as the wheel sees it.
impl<A: Address> Timed for [Conn<A>] {
    #[inline(always)]
    fn timer(&mut self, id: u32) -> &mut Timer {
        &mut self[id as usize].timer
    }
    #[inline(always)]
    fn prefetch(&self, id: u32) {
        prefetch(&self[id as usize]);
    }
}

/// The timers have caught up with the time: nothing more is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaughtUp;

/// The table is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// What the wheel had to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// It has caught up with the time.
    Nothing,
    /// A connection whose deadline has moved away: filed again, no more work.
    Later,
    /// A connection whose time is up.
    Now(ConnId),
}

/// Connections of one family on one worker.
pub struct Connections<A: Address> {
    slab: Mapping<Conn<A>>,
    index: Index,
    wheel: Wheel,
    seeds: [u64; 4],
    /// First of the free entries, linked through `timer.next`; `control` names the third one behind each.
    free: u32,
    /// Entries from here on have never been used.
    fresh: u32,
    len: u32,
    /// Connections that wait for their client's port.
    without_port: u32,
}

impl<A: Address> Connections<A> {
    /// Room for `capacity` connections, all of which may be NAT ones. `seeds` should be random: whoever knows them
    /// can choose addresses that collide.
    pub fn new(capacity: u32, seeds: [u64; 4], now: Tick) -> Result<Self, NoMemory> {
        assert!(capacity <= CAPACITY_MAX, "validated by the configuration");
        let slab = Mapping::new(capacity as usize + 1)?;
        Ok(Self::over(slab, Index::new(2 * capacity as usize)?, seeds, now))
    }

    /// As [`Connections::new`], but memory is taken only as connections come: for a family that may have none.
    pub fn new_sparse(capacity: u32, seeds: [u64; 4], now: Tick) -> Result<Self, NoMemory> {
        assert!(capacity <= CAPACITY_MAX, "validated by the configuration");
        let slab = Mapping::new_sparse(capacity as usize + 1)?;
        Ok(Self::over(slab, Index::new_sparse(2 * capacity as usize)?, seeds, now))
    }

    fn over(slab: Mapping<Conn<A>>, index: Index, seeds: [u64; 4], now: Tick) -> Self {
        Self { slab, index, wheel: Wheel::new(now), seeds, free: 0, fresh: 1, len: 0, without_port: 0 }
    }

    pub fn len(&self) -> u32 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn capacity(&self) -> u32 {
        self.slab.len() as u32 - 1
    }

    /// Where the entries and the index lie.
    pub fn areas(&self) -> [Area; 2] {
        [self.slab.area(), self.index.area()]
    }

    #[inline(always)]
    pub fn hash(&self, key: &Key<A>) -> u64 {
        let addresses = A::mix(key.source, key.destination, self.seeds);
        fold(addresses, (u64::from(key.kind) << 32 | u64::from(key.ports)) ^ self.seeds[3])
    }

    /// First stage of a look-up: the bucket's cache line is on its way.
    #[inline(always)]
    pub fn prefetch(&self, hash: u64) {
        self.index.prefetch(hash);
    }

    /// Second stage: the entry that is most likely the right one, its cache line on its way.
    #[inline(always)]
    pub fn guess(&self, hash: u64) -> Guess {
        let handle = self.index.guess(hash);
        self.slab.prefetch((handle & !OUT) as usize);
        Guess(handle)
    }

    /// Third stage: whether the guess was right, else a full search.
    #[inline(always)]
    pub fn confirm(&self, guess: Guess, key: &Key<A>, hash: u64) -> Option<(ConnId, Direction)> {
        if guess.0 != 0 && self.is_key_of(guess.0, key) { Some(split(guess.0)) } else { self.find_hashed(key, hash) }
    }

    /// Third stage for packets that want nothing special.
    #[inline(always)]
    pub fn entries(&mut self) -> Entries<'_, A> {
        Entries { slab: &mut self.slab, wheel: &mut self.wheel }
    }

    /// A better guess for a key that the bucket has none or another for; `None` when there is none, or none better.
    pub fn better_guess(&self, guess: Guess, key: &Key<A>, hash: u64) -> Option<Guess> {
        let better = Guess(self.index.find(hash, |handle| self.is_key_of(handle, key))?);
        (better.0 != guess.0).then_some(better)
    }

    /// The flags of the connection that was guessed, right or not.
    #[inline(always)]
    pub fn flags_of(&self, guess: Guess) -> u16 {
        self.slab.get(split(guess.0).0.0 as usize).map_or(0, |conn| conn.flags)
    }

    /// A look-up at once, for packets that are not one of a burst.
    pub fn find(&self, key: &Key<A>) -> Option<(ConnId, Direction)> {
        self.find_hashed(key, self.hash(key))
    }

    fn find_hashed(&self, key: &Key<A>, hash: u64) -> Option<(ConnId, Direction)> {
        self.index.find(hash, |handle| self.is_key_of(handle, key)).map(split)
    }

    #[inline(always)]
    fn is_key_of(&self, handle: u32, key: &Key<A>) -> bool {
        let Some(conn) = self.slab.get((handle & !OUT) as usize) else { return false };
        let is_it = if handle & OUT == 0 { conn.is_from_client(key) } else { conn.is_from_server(key) };
        is_it && conn.kind() == key.kind
    }

    #[inline(always)]
    pub fn get(&self, id: ConnId) -> &Conn<A> {
        &self.slab[id.0 as usize]
    }

    #[inline(always)]
    pub fn get_mut(&mut self, id: ConnId) -> &mut Conn<A> {
        &mut self.slab[id.0 as usize]
    }

    /// Takes a connection in; its timer starts with its `timeout`. Both its keys must be new. With `control`, it counts
    /// with its controller until it is removed.
    // inlined, so that a connection is made where it is going to stay
    #[inline(always)]
    pub fn insert(&mut self, mut conn: Conn<A>, now: Tick) -> Result<ConnId, Full> {
        let id = self.take_entry().ok_or(Full)?;
        conn.timer = Timer::at(now.plus(conn.timeout));
        let hash = self.hash(&conn.key_in());
        if !self.index.insert(hash, id) {
            self.give_back(id);
            return Err(Full);
        }
        if conn.has(flags::NAT) && !self.index.insert(self.hash(&conn.key_out()), id | OUT) {
            self.index.remove(hash, id);
            self.give_back(id);
            return Err(Full);
        }
        self.slab[id as usize] = conn;
        self.wheel.file(&mut *self.slab, id);
        self.count_controlled(conn.control);
        self.without_port += u32::from(conn.has(flags::NO_CLIENT_PORT));
        Ok(ConnId(id))
    }

    #[inline(always)]
    fn take_entry(&mut self) -> Option<u32> {
        let id = if self.free != 0 {
            std::mem::replace(&mut self.free, 0)
        } else if (self.fresh as usize) < self.slab.len() {
            self.fresh += 1;
            self.fresh - 1
        } else {
            return None;
        };
        let Conn { timer: Timer { next, .. }, control: third, .. } = self.slab[id as usize];
        if next != 0 {
            self.free = next;
            prefetch(&self.slab[third as usize]);
        }
        self.len += 1;
        Some(id)
    }

    /// Restarts the timer with this timeout. A deadline that only moves away costs two stores.
    #[inline(always)]
    pub fn touch(&mut self, id: ConnId, timeout: u32, now: Tick) {
        let conn = &mut self.slab[id.0 as usize];
        conn.timeout = timeout;
        conn.timer.deadline = now.plus(timeout);
        self.wheel.deadline_changed(&mut *self.slab, id.0);
    }

    /// Sets the deadline alone.
    pub fn set_deadline(&mut self, id: ConnId, deadline: Tick) {
        self.get_mut(id).timer.deadline = deadline;
        self.wheel.deadline_changed(&mut *self.slab, id.0);
    }

    /// The next connection whose deadline has passed, out of the wheel but still in the table: the caller removes it
    /// ([`Connections::remove_unlinked`]) or files it again.
    #[inline]
    pub fn next_due(&mut self, now: Tick) -> Due {
        let Some(id) = self.wheel.next_due(&mut *self.slab, now) else { return Due::Nothing };
        if now.is_before(self.slab[id as usize].timer.deadline) {
            self.wheel.file(&mut *self.slab, id);
            return Due::Later;
        }
        Due::Now(ConnId(id))
    }

    /// Files a connection that [`Connections::next_due`] has handed out again, due after `ticks`.
    pub fn file_again(&mut self, id: ConnId, now: Tick, ticks: u32) {
        self.get_mut(id).timer.deadline = now.plus(ticks);
        self.wheel.file(&mut *self.slab, id.0);
    }

    /// Entries from here on have never been used.
    pub fn end(&self) -> u32 {
        self.fresh
    }

    /// What is in an entry, if anything is.
    pub fn at(&self, id: u32) -> Option<&Conn<A>> {
        self.slab.get(id as usize).filter(|conn| conn.in_use())
    }

    /// Connections from entry `cursor` on, for listings: looks at `look_at` entries at most, and says where to go on,
    /// 0 at the end. Begin with 1.
    pub fn page(&self, cursor: u32, look_at: u32, mut see: impl FnMut(ConnId, &Conn<A>)) -> u32 {
        let cursor = cursor.max(1);
        let end = cursor.saturating_add(look_at).min(self.fresh);
        for id in cursor..end {
            let conn = &self.slab[id as usize];
            if conn.in_use() {
                see(ConnId(id), conn);
            }
        }
        if end >= self.fresh { 0 } else { end }
    }
}

/// The entries of a table, for a run of packets whose connections were guessed: places that do not change meanwhile.
pub struct Entries<'a, A> {
    slab: &'a mut [Conn<A>],
    wheel: &'a mut Wheel,
}

impl<A: Address> Entries<'_, A> {
    /// The connection that was guessed, if it has the packet's addresses and ports. Whether it is its connection depends on their [protocol](Conn::is_of) too.
    #[inline(always)]
    pub fn guessed(&mut self, guess: Guess, key: &Key<A>) -> Option<(&mut Conn<A>, Direction)> {
        let (id, direction) = split(guess.0);
        let conn = self.slab.get_mut(id.0 as usize)?;
        let is_it = match direction {
            Direction::In => conn.is_from_client(key),
            Direction::Out => conn.is_from_server(key),
        };
        if is_it {
            Some((conn, direction))
        } else {
            std::hint::cold_path();
            None
        }
    }

    /// The same, of a connection that is found by its client's packets alone.
    #[inline(always)]
    pub fn guessed_in(&mut self, guess: Guess, key: &Key<A>) -> Option<&mut Conn<A>> {
        let conn = self.slab.get_mut((guess.0 & !OUT) as usize)?;
        if conn.is_from_client(key) {
            Some(conn)
        } else {
            std::hint::cold_path();
            None
        }
    }

    /// Files a connection that was guessed right anew: its [timer](Timer::set) asks for it.
    #[cold]
    pub fn refile(&mut self, guess: Guess) {
        self.wheel.deadline_changed(self.slab, split(guess.0).0.0);
    }
}

#[inline(always)]
fn split(handle: u32) -> (ConnId, Direction) {
    (ConnId(handle & !OUT), if handle & OUT == 0 { Direction::In } else { Direction::Out })
}

//! What a worker has once for each address family, and the trait by which generic code finds its own.

use super::director::Packet;
use super::fragment::Fragmented;
use super::reassemble::{Reassembled, Reassembler};
use super::steer::moving::{Entry, Moved};
use crate::model::Tick;
use crate::model::limits::BURST;
use crate::tables::connections::Connections;
use crate::tables::memory::{Area, NoMemory};
use crate::wire::address::{Ip4, Ip6};
use crate::wire::ip::Ip;

/// One of something for each family.
#[derive(Clone, Copy, Debug, Default)]
pub struct PerFamily<V4, V6 = V4> {
    pub v4: V4,
    pub v6: V6,
}

impl<T> PerFamily<T> {
    #[inline(always)]
    pub fn of<A: Ip>(&self) -> &T {
        if A::IS_V6 { &self.v6 } else { &self.v4 }
    }

    #[inline(always)]
    pub fn of_mut<A: Ip>(&mut self) -> &mut T {
        if A::IS_V6 { &mut self.v6 } else { &mut self.v4 }
    }
}

/// The connections of both families.
pub type Tables = PerFamily<Connections<Ip4>, Connections<Ip6>>;

impl Tables {
    /// `capacity` connections of each family; memory for IPv6 ones is taken as they come.
    pub fn new(capacity: u32, seeds: [u64; 4], now: Tick) -> Result<Self, NoMemory> {
        Ok(Self { v4: Connections::new(capacity, seeds, now)?, v6: Connections::new_sparse(capacity, seeds, now)? })
    }

    #[inline(always)]
    pub fn table<A: Family>(&self) -> &Connections<A> {
        A::table(self)
    }

    #[inline(always)]
    pub fn table_mut<A: Family>(&mut self) -> &mut Connections<A> {
        A::table_mut(self)
    }

    /// Connections of both families.
    pub fn len(&self) -> u32 {
        self.v4.len() + self.v6.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Connections of one family.
    pub fn capacity(&self) -> u32 {
        self.v4.capacity()
    }

    /// Where they lie.
    pub fn areas(&self) -> PerFamily<[Area; 2]> {
        PerFamily { v4: self.v4.areas(), v6: self.v6.areas() }
    }
}

/// The packets of a burst; kept so that they are not cleared for each.
pub type Packets<A> = Option<Box<[Packet<A>; BURST]>>;

/// The packets of both families that have come in part.
pub type Reassemblers<F> = PerFamily<Reassembler<Ip4, F>, Reassembler<Ip6, F>>;

/// An address family as the director is generic over it.
pub trait Family: Ip + Reassembled + Fragmented {
    fn table(tables: &Tables) -> &Connections<Self>;
    fn table_mut(tables: &mut Tables) -> &mut Connections<Self>;
    fn packets(both: &mut PerFamily<Packets<Ip4>, Packets<Ip6>>) -> &mut Packets<Self>;
    fn reassembler<F>(both: &mut Reassemblers<F>) -> &mut Reassembler<Self, F>;
    /// As it goes to another worker.
    fn moved(entry: Entry<Self>) -> Moved;
}

impl Family for Ip4 {
    #[inline(always)]
    fn table(tables: &Tables) -> &Connections<Self> {
        &tables.v4
    }
    #[inline(always)]
    fn table_mut(tables: &mut Tables) -> &mut Connections<Self> {
        &mut tables.v4
    }
    #[inline(always)]
    fn packets(both: &mut PerFamily<Packets<Ip4>, Packets<Ip6>>) -> &mut Packets<Self> {
        &mut both.v4
    }
    fn reassembler<F>(both: &mut Reassemblers<F>) -> &mut Reassembler<Self, F> {
        &mut both.v4
    }
    fn moved(entry: Entry<Self>) -> Moved {
        Moved::V4(entry)
    }
}

impl Family for Ip6 {
    #[inline(always)]
    fn table(tables: &Tables) -> &Connections<Self> {
        &tables.v6
    }
    #[inline(always)]
    fn table_mut(tables: &mut Tables) -> &mut Connections<Self> {
        &mut tables.v6
    }
    #[inline(always)]
    fn packets(both: &mut PerFamily<Packets<Ip4>, Packets<Ip6>>) -> &mut Packets<Self> {
        &mut both.v6
    }
    fn reassembler<F>(both: &mut Reassemblers<F>) -> &mut Reassembler<Self, F> {
        &mut both.v6
    }
    fn moved(entry: Entry<Self>) -> Moved {
        Moved::V6(entry)
    }
}

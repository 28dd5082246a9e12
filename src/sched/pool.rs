//! The destinations of a service as schedulers see them.

use super::{Load, Loads};
use crate::model::{DestId, Family};
use hashbrown::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// One destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Never given to another destination of the service, so that caches may hold on to it; a destination added again
    /// while it is in the trash has its old id.
    pub id: DestId,
    pub weight: u32,
    /// What Maglev tables go by, so that a quiesced destination keeps its slots. Adding the destination (also adding
    /// it again out of the trash) sets it to the weight given, be it 0; editing it sets it to the new weight unless
    /// that is 0.
    pub last_weight: u32,
    pub address: IpAddr,
    /// As `ipvsadm -Ln` shows it: 0 for services on marks.
    pub port: u16,
}

impl Candidate {
    /// May take new connections: neither quiesced nor above its threshold.
    #[inline]
    pub fn is_usable<L: Loads>(&self, loads: &L) -> bool {
        self.weight > 0 && !loads.is_overloaded(self.id)
    }

    #[inline]
    pub fn load<L: Loads>(&self, loads: &L) -> Load {
        Load::of(self.id, self.weight, loads)
    }
}

/// The destinations of a service in the kernel's list order: the one added last stands first.
#[derive(Clone, Debug)]
pub struct Pool {
    candidates: Vec<Candidate>,
    /// Shared with the pools that this one was edited from.
    positions: Arc<HashMap<DestId, u32>>,
    family: Family,
}

impl Default for Pool {
    fn default() -> Self {
        Self::new(Vec::new())
    }
}

impl Pool {
    /// The service is taken for an IPv6 one when a destination is; see [`Pool::with_family`].
    pub fn new(candidates: Vec<Candidate>) -> Self {
        let positions = candidates.iter().enumerate().map(|(i, c)| (c.id, i as u32)).collect();
        let family = if candidates.iter().any(|c| c.address.is_ipv6()) { Family::V6 } else { Family::V4 };
        Self { candidates, positions: Arc::new(positions), family }
    }

    /// A pool that this one became by a change of some of its destinations.
    #[must_use]
    pub fn changed(&self, candidates: Vec<Candidate>) -> Self {
        let is_edit = candidates.iter().map(|c| c.id).eq(self.candidates.iter().map(|c| c.id));
        if is_edit {
            return Self { candidates, positions: Arc::clone(&self.positions), family: self.family };
        }
        Self::new(candidates)
    }

    /// The same destinations at the same positions, one being an edit of the other. False says nothing.
    pub fn is_edit_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.positions, &other.positions)
    }

    /// Says the service's own family, which [`Pool::new`] guesses wrongly for an IPv4 service with IPv6 destinations
    /// (tunnels): mh hashes a destination's address as one of the service's family.
    pub fn with_family(self, family: Family) -> Self {
        Self { family, ..self }
    }

    pub fn family(&self) -> Family {
        self.family
    }

    #[inline]
    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    /// The destinations' loads in list order.
    pub fn loads<L: Loads>(&self, loads: &L) -> impl ExactSizeIterator<Item = Load> + Clone {
        self.candidates.iter().map(|c| c.load(loads))
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.candidates.len()
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.candidates.is_empty()
    }

    /// Where the destination stands in the list, `None` when it is not (or no longer) in the pool.
    #[inline]
    pub fn position(&self, dest: DestId) -> Option<usize> {
        self.positions.get(&dest).map(|&i| i as usize)
    }

    /// The destination as it now is, `None` when it is in the trash or gone.
    #[inline]
    pub fn get(&self, dest: DestId) -> Option<&Candidate> {
        self.position(dest).map(|i| &self.candidates[i])
    }

    /// Is the destination at `index` there and able to take a new connection?
    #[inline]
    pub fn is_usable<L: Loads>(&self, index: usize, loads: &L) -> bool {
        self.candidates.get(index).is_some_and(|c| c.is_usable(loads))
    }
}

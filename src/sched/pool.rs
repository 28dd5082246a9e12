//! The destinations of a service as schedulers see them.

use crate::model::DestId;
use hashbrown::HashMap;

/// One destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub id: DestId,
    pub weight: u32,
    /// The greatest weight it has had since it last had none... kept by the kernel for Maglev tables: a quiesced
    /// destination keeps the slots of its last positive weight.
    pub last_weight: u32,
    /// Address and port as the kernel hashes them for Maglev: family-independent.
    pub address: std::net::IpAddr,
    pub port: u16,
}

/// The destinations of a service in the kernel's list order: the one added last stands first.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    candidates: Vec<Candidate>,
    positions: HashMap<DestId, u32>,
}

impl Pool {
    pub fn new(candidates: Vec<Candidate>) -> Self {
        let positions = candidates.iter().enumerate().map(|(i, c)| (c.id, i as u32)).collect();
        Self { candidates, positions }
    }

    pub fn candidates(&self) -> &[Candidate] {
        &self.candidates
    }

    pub fn len(&self) -> usize {
        self.candidates.len()
    }

    pub fn is_empty(&self) -> bool {
        self.candidates.is_empty()
    }

    /// Where the destination stands in the list, `None` when it is not (or no longer) in the pool.
    pub fn position(&self, dest: DestId) -> Option<usize> {
        self.positions.get(&dest).map(|&i| i as usize)
    }
}

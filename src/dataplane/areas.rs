//! Where a worker's tables lie in memory: for the control thread, which has the kernel give memory for them before the
//! worker needs it. A page that a worker is the first to write to would cost it a microsecond, a huge one a hundred.

use super::family::PerFamily;
use super::snapshot::Snapshot;
use crate::model::Family;
use crate::tables::memory::Area;

/// See the module.
#[derive(Clone, Debug)]
pub struct Areas {
    /// Entries of the connection table, and their index.
    pub connections: PerFamily<[Area; 2]>,
    /// With the size of one entry.
    pub of_destinations: [(Area, usize); 3],
    pub of_services: [(Area, usize); 2],
    /// So many destinations and services have memory.
    filled: [usize; 2],
    /// The family's services had their connection table filled, or there was no room for it.
    done: PerFamily<bool>,
}

impl Areas {
    pub fn new(
        connections: PerFamily<[Area; 2]>,
        of_destinations: [(Area, usize); 3],
        of_services: [(Area, usize); 2],
    ) -> Self {
        Self { connections, of_destinations, of_services, filled: [0; 2], done: PerFamily::default() }
    }

    /// Before a worker gets a snapshot: has memory taken for what it will need of it. A family's connection table gets all
    /// its memory with the first service; `is_available` says whether there are so many bytes. The families for which
    /// there are not: their table gets memory as connections come.
    pub fn prepare(&mut self, snapshot: &Snapshot, is_available: impl Fn(usize) -> bool) -> Vec<Family> {
        let [destinations, services] = &mut self.filled;
        fill_up(destinations, snapshot.destinations.end(), &self.of_destinations);
        fill_up(services, snapshot.services.end(), &self.of_services);
        let changed = snapshot.changes.services.iter().filter_map(|id| snapshot.services.get(id.index()));
        let (mut v4, mut v6) = (false, false);
        changed.for_each(|service| match service.key.family() {
            Family::V4 => v4 = true,
            Family::V6 => v6 = true,
        });
        let PerFamily { v4: areas_v4, v6: areas_v6 } = self.connections;
        let v4 = v4 && !fill_once(&mut self.done.v4, areas_v4, &is_available);
        let v6 = v6 && !fill_once(&mut self.done.v6, areas_v6, &is_available);
        [(v4, Family::V4), (v6, Family::V6)]
            .into_iter()
            .filter(|(failed, _)| *failed)
            .map(|(_, family)| family)
            .collect()
    }
}

/// Up to `wanted` entries; again only when they are more than before.
fn fill_up(filled: &mut usize, wanted: usize, areas: &[(Area, usize)]) {
    if wanted > *filled {
        *filled = wanted;
        areas.iter().for_each(|(area, bytes)| area.fill(wanted * bytes));
    }
}

/// False when there is no room.
fn fill_once(done: &mut bool, areas: [Area; 2], is_available: impl Fn(usize) -> bool) -> bool {
    if std::mem::replace(done, true) {
        return true;
    }
    if !is_available(areas.iter().map(Area::bytes).sum()) {
        return false;
    }
    areas.iter().for_each(|area| area.fill(area.bytes()));
    true
}

//! A service on its way to what the control thread says of it now, one destination at a time: between two bursts there is
//! time for some, and a list may have thousands.
//!
//! Meanwhile the worker schedules by the old list. The new one is ranked beside it, then the scheduler is told how the old
//! one's destinations stand in it, then the new one is in force, then the old one's destinations leave it. Memory that grows
//! with lists comes with the change, and what is left of it goes back: to take or give much of it may take long.

use super::destinations::{Destinations, Ranked};
use super::services::{ServiceState, Services};
use super::snapshot::Service;
use crate::model::ServiceId;
use crate::model::limits::SERVICES_MAX;
use crate::sched::{Candidate, Succession};
use std::sync::Arc;

/// What a change needs; after it, what it left. It is the control thread that makes it and drops it.
#[derive(Default)]
pub struct Material {
    ranked: Option<Box<Ranked>>,
    succession: Succession,
    replaced: Option<ServiceState>,
}

impl Material {
    /// For a service that becomes `new`.
    pub fn of(old: Option<&Service>, new: Option<&Service>) -> Self {
        if !has_other_list(old, new) {
            return Self::default();
        }
        let ranked = new.map(|new| Ranked::blank(new.scheduler, new.pool.len()));
        Self { ranked, succession: Succession::with_room(old.map_or(0, |old| old.pool.len())), replaced: None }
    }
}

/// See the module.
pub struct ServiceChange {
    id: ServiceId,
    old: Option<Arc<Service>>,
    new: Option<Arc<Service>>,
    has_other_list: bool,
    material: Material,
    stage: Stage,
    /// The destination that is next.
    at: usize,
}

#[derive(Clone, Copy)]
enum Stage {
    /// Destinations of the new list are ranked in it, and other workers hear of them.
    Enter,
    /// The old scheduler hears where its destinations stand in the new list.
    Tell,
    /// The new list is in force.
    Change,
    /// The old list's destinations leave it.
    Leave,
    Done,
}

impl ServiceChange {
    /// `None`: there is no service with this number.
    pub fn begin(
        id: ServiceId,
        new: Option<&Arc<Service>>,
        material: Material,
        services: &Services,
        destinations: &mut Destinations,
    ) -> Option<Self> {
        if id.index() >= SERVICES_MAX {
            return None;
        }
        let (old, new) = (services.get(id).map(|state| state.service.clone()), new.cloned());
        let has_other_list = has_other_list(old.as_deref(), new.as_deref());
        let mut change = Self { id, old, new, has_other_list, material, stage: Stage::Enter, at: 0 };
        if let Some(new) = change.new.as_deref().filter(|_| has_other_list) {
            let prepared = change.material.ranked.take();
            destinations.begin_list(id, prepared.unwrap_or_else(|| Ranked::blank(new.scheduler, new.pool.len())));
        }
        Some(change)
    }

    /// All of it at once, where no packets wait.
    pub fn at_once(
        id: ServiceId,
        new: Option<&Arc<Service>>,
        services: &mut Services,
        destinations: &mut Destinations,
    ) {
        let change = Self::begin(id, new, Material::default(), services, destinations);
        change.into_iter().for_each(|mut change| while change.go_on(services, destinations).is_none() {});
    }

    /// One step more. When there is none, what is left of the change.
    pub fn go_on(&mut self, services: &mut Services, destinations: &mut Destinations) -> Option<Material> {
        let is_at_end = match self.stage {
            Stage::Enter => self.enter(services, destinations),
            Stage::Tell => self.tell(services, destinations),
            Stage::Change => self.change(services, destinations),
            Stage::Leave => self.leave(destinations),
            Stage::Done => return Some(std::mem::take(&mut self.material)),
        };
        if is_at_end {
            (self.stage, self.at) = (self.stage.next(), 0);
        } else {
            self.at += 1;
        }
        None
    }

    fn enter(&self, services: &Services, destinations: &mut Destinations) -> bool {
        let is_shared = services.has_peers();
        let Some(new) = self.new.as_deref().filter(|_| self.has_other_list || is_shared) else { return true };
        let Some(candidate) = new.pool.candidates().get(self.at) else { return true };
        if self.has_other_list {
            destinations.enter_list(candidate.id, self.at as u32);
        }
        if is_shared {
            destinations.share(candidate.id, new.scheduler, new.strict);
        }
        false
    }

    fn tell(&mut self, services: &mut Services, destinations: &Destinations) -> bool {
        let Some(candidate) = self.leaving() else { return true };
        let position = destinations.coming_position(candidate.id);
        if position.is_none() {
            services.depart(self.id, &candidate);
        }
        self.material.succession.push(position);
        false
    }

    fn change(&mut self, services: &mut Services, destinations: &mut Destinations) -> bool {
        if self.has_other_list {
            self.material.ranked = destinations.change_list(self.id);
        }
        let succession = self.has_other_list.then_some(&self.material.succession);
        self.material.replaced = services.change(self.id, self.new.as_ref(), succession);
        true
    }

    fn leave(&self, destinations: &mut Destinations) -> bool {
        let Some(candidate) = self.leaving() else { return true };
        destinations.leave_list(self.id, candidate.id);
        false
    }

    /// The destination of the old list that is next, when the list is another one.
    fn leaving(&self) -> Option<Candidate> {
        let old = self.old.as_deref().filter(|_| self.has_other_list)?;
        old.pool.candidates().get(self.at).copied()
    }
}

impl Stage {
    fn next(self) -> Self {
        match self {
            Self::Enter => Self::Tell,
            Self::Tell => Self::Change,
            Self::Change => Self::Leave,
            Self::Leave | Self::Done => Self::Done,
        }
    }
}

/// False: the same scheduler, of the same destinations in the same order; what was edited of them has been ranked again.
fn has_other_list(old: Option<&Service>, new: Option<&Service>) -> bool {
    let is_same = |new: &Service, old: &Service| {
        new.key == old.key && new.scheduler == old.scheduler && new.pool.is_edit_of(&old.pool)
    };
    match (old, new) {
        (None, None) => false,
        (Some(old), Some(new)) => !is_same(new, old),
        _ => true,
    }
}

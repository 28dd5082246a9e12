//! Timeouts set at run time (`ipvsadm --set`), and the sets of timeouts that services have for themselves.

use super::{Draft, Error, State};
use crate::model::limits::TIMEOUT_SETS_MAX;
use crate::model::state::TcpState;
use crate::model::{OwnTimeouts, Tick, TimeoutSets, TimeoutsId};
use std::sync::Arc;

/// Seconds; 0 keeps what there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeoutsEdit {
    pub tcp_established_s: u32,
    pub tcp_fin_wait_s: u32,
    pub udp_s: u32,
}

impl State {
    pub fn set_timeouts(&mut self, edit: &TimeoutsEdit) -> Result<(), Error> {
        let old = self.snapshot.timeouts.global();
        let mut timeouts = old.clone();
        set(&mut timeouts.tcp[TcpState::Established as usize], edit.tcp_established_s);
        set(&mut timeouts.tcp[TcpState::FinWait as usize], edit.tcp_fin_wait_s);
        set(&mut timeouts.udp, edit.udp_s);
        if timeouts == *old {
            return Ok(());
        }
        self.change(|draft| {
            Arc::make_mut(&mut draft.state.config).timeouts = timeouts;
            draft.set_timeouts();
            Ok(())
        })
    }
}

impl Draft {
    /// The configuration's timeouts, or services' own, have changed.
    pub(super) fn set_timeouts(&mut self) {
        let State { config, own_timeouts, snapshot, .. } = &mut self.state;
        snapshot.timeouts = Arc::new(TimeoutSets::new(config.timeouts.clone(), own_timeouts));
        self.republish = true;
    }

    /// The set for a service that asks for these; a new one takes the place of one that no destination has any more.
    pub(super) fn timeouts_id(&mut self, own: OwnTimeouts) -> Result<TimeoutsId, Error> {
        if own == OwnTimeouts::default() {
            return Ok(TimeoutsId::default());
        }
        if let Some(index) = self.state.own_timeouts.iter().position(|known| *known == own) {
            return Ok(id(index));
        }
        let mut in_use = vec![false; self.state.own_timeouts.len()];
        for (_, destination) in self.state.snapshot.destinations.iter() {
            if let Some(used) = destination.timeouts.index().checked_sub(1) {
                in_use[used] = true;
            }
        }
        let index = in_use.iter().position(|used| !used).unwrap_or(in_use.len());
        if index >= TIMEOUT_SETS_MAX {
            return Err(Error::TooManyTimeouts);
        }
        let sets = Arc::make_mut(&mut self.state.own_timeouts);
        if index == sets.len() {
            sets.push(own)
        } else {
            sets[index] = own
        }
        self.set_timeouts();
        Ok(id(index))
    }
}

/// Sets of services' own come after the one of all.
fn id(index: usize) -> TimeoutsId {
    TimeoutsId(u16::try_from(index + 1).expect("far fewer sets than 65536"))
}

fn set(ticks: &mut u32, seconds: u32) {
    if seconds != 0 {
        *ticks = seconds.saturating_mul(Tick::PER_S);
    }
}

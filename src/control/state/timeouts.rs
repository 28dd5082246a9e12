//! Timeouts set at run time (`ipvsadm --set`).

use super::{Error, State};
use crate::model::Tick;
use crate::model::state::TcpState;
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
        let mut timeouts = (*self.snapshot.timeouts).clone();
        set(&mut timeouts.tcp[TcpState::Established as usize], edit.tcp_established_s);
        set(&mut timeouts.tcp[TcpState::FinWait as usize], edit.tcp_fin_wait_s);
        set(&mut timeouts.udp, edit.udp_s);
        if timeouts == *self.snapshot.timeouts {
            return Ok(());
        }
        self.change(|draft| {
            Arc::make_mut(&mut draft.state.config).timeouts = timeouts.clone();
            draft.state.snapshot.timeouts = Arc::new(timeouts);
            draft.republish = true;
            Ok(())
        })
    }
}

fn set(ticks: &mut u32, seconds: u32) {
    if seconds != 0 {
        *ticks = seconds.saturating_mul(Tick::PER_S);
    }
}

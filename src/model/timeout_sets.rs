//! The timeouts of all services: one set for those without their own, and one for each that differs.

use super::departures::OwnTimeouts;
use super::ids::TimeoutsId;
use super::state::TcpState;
use super::time::Tick;
use super::timeouts::Timeouts;

/// By [`TimeoutsId`]; the first one, `TimeoutsId(0)`, holds for services without their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeoutSets {
    global: Timeouts,
    own: Vec<Timeouts>,
}

impl Default for TimeoutSets {
    fn default() -> Self {
        Self::new(Timeouts::default(), &[])
    }
}

impl TimeoutSets {
    /// `own[i]` becomes set `i + 1`.
    pub fn new(global: Timeouts, own: &[OwnTimeouts]) -> Self {
        let own = own.iter().map(|own| apply(&global, own)).collect();
        Self { global, own }
    }

    pub const fn global(&self) -> &Timeouts {
        &self.global
    }

    /// A set that is not here yet, because its snapshot is still coming in, is the first one.
    #[inline(always)]
    pub fn get(&self, id: TimeoutsId) -> &Timeouts {
        match id.0 {
            0 => &self.global,
            n => self.own.get(usize::from(n) - 1).unwrap_or(&self.global),
        }
    }
}

fn apply(global: &Timeouts, own: &OwnTimeouts) -> Timeouts {
    let mut timeouts = global.clone();
    let OwnTimeouts { tcp_established_s, tcp_fin_wait_s, udp_s } = *own;
    set(&mut timeouts.tcp[TcpState::Established as usize], tcp_established_s);
    set(&mut timeouts.tcp[TcpState::FinWait as usize], tcp_fin_wait_s);
    set(&mut timeouts.udp, udp_s);
    timeouts
}

fn set(ticks: &mut u32, seconds: u32) {
    if seconds != 0 {
        *ticks = seconds.saturating_mul(Tick::PER_S);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_without_a_timeout_of_its_own_has_the_one_of_all() {
        let own = OwnTimeouts { udp_s: 5, ..OwnTimeouts::default() };
        let sets = TimeoutSets::new(Timeouts::default(), &[own]);
        assert_eq!(sets.get(TimeoutsId(0)), sets.global());
        assert_eq!(sets.get(TimeoutsId(1)).udp, 5 * Tick::PER_S);
        assert_eq!(sets.get(TimeoutsId(1)).tcp, sets.global().tcp);
        assert_eq!(sets.get(TimeoutsId(2)), sets.global(), "one that is not here yet");
    }
}

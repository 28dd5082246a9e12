//! Packets of other workers' connections, found out early: with ports that spread packets anyhow they are every other one,
//! and most of them need to be asked nothing but whose they are.

use super::Arrival;
use super::owner::{Recent, Stage};
use crate::dataplane::director::{Director, Packet};
use crate::dataplane::family::Family;
use crate::dataplane::frame::Frame;
use crate::dataplane::packet::Exit;
use crate::model::PortId;
use crate::model::limits::BURST;

impl<F: Frame> Director<F> {
    /// Whose the packets are that no connection here knows, as [`Director::steer`] would find out later. Of some it remains
    /// open: while a change is under way, with marks, and where a connection may be known by less than the whole key.
    // no part of its caller, which has no registers to spare
    #[inline(never)]
    pub(in crate::dataplane) fn home_step<A: Family>(&self, port: PortId, packets: &mut [Packet<A>]) {
        if packets.iter().all(|packet| packet.guess.is_some()) {
            return;
        }
        let (steering, connections) = (&*self.snapshot.steering, self.connections.table::<A>());
        let is_simple = self.arrival == Arrival::Fresh
            && steering.stage == Stage::Settled
            && !steering.has_marks(&self.snapshot.marks)
            && !connections.has_some_without_port();
        // which ones is found out first, without branches: every other packet is one, nobody foresees which
        let (mut absent, mut count) = ([0_u8; BURST], 0_usize);
        for (i, packet) in packets.iter_mut().enumerate() {
            packet.home = None;
            absent[count % BURST] = i as u8;
            count += usize::from(is_simple & packet.plain.is_plain() & !packet.guess.is_some());
        }
        let mut recent = Recent::default();
        for &i in absent.iter().take(count) {
            let Some(packet) = packets.get_mut(usize::from(i)) else { return };
            let claim = steering.claim_as_recent(&packet.key, &mut recent);
            packet.home = claim.map(|claim| {
                let home = steering.owners(&claim).now;
                if home != self.worker {
                    packet.exit = Exit::to(home);
                    self.compare_hashes(port, &claim);
                }
                home
            });
        }
    }
}

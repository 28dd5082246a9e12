//! What every director has to answer for: where each packet went, and that headers of what leaves are right.

use pollux::dataplane::director::Director;
use pollux::dataplane::vec_frame::VecFrame;
use pollux::model::DropReason;

/// Received, and made here, is dropped, consumed, sent or waiting. `echoes`: consumed, with an answer; `sent`: IP packets
/// but neighbour discovery.
pub fn check(director: &Director<VecFrame>, echoes: u64, sent: u64) {
    let counters = director.counters().0;
    let mut held = 0;
    director.network().neighbours.page(0, usize::MAX, |n| held += u64::from(n.held));
    let drops: u64 = counters.drops.iter().map(|c| c.get()).sum();
    let put_together = (counters.packets_reassembled.get(), counters.fragments_reassembled.get());
    let cut = (counters.packets_fragmented.get(), counters.fragments_created.get());
    let made = counters.icmp_sent.get() + counters.resets_sent.get() + echoes + cut.1 + put_together.0;
    let gone = drops + counters.consumed.get() + cut.0 + put_together.1;
    let waiting = held + u64::from(director.fragments_waiting());
    assert_eq!(counters.received.get() + made, gone + sent + waiting);
    let alive = counters.connections_created.get() - counters.connections_expired.get();
    assert_eq!(alive, u64::from(director.connections().len()));
    assert_eq!(counters.drops[DropReason::Internal as usize].get(), 0);
}

/// Packets dropped and consumed so far.
pub fn ended(director: &Director<VecFrame>) -> (u64, u64) {
    let counters = director.counters().0;
    (counters.drops.iter().map(|c| c.get()).sum(), counters.consumed.get())
}

//! ICMP errors of the director's own (RFC 792, RFC 1812 §4.3), as the kernel sends them.

use super::director::{Director, Packet};
use super::family::Family;
use super::frame::Frame;
use super::outlet::Outlet;
use crate::model::Time;
use crate::model::limits::ICMP_ERRORS_BURST;
use crate::tables::connections::{Direction, Key, flags};
use crate::wire::Header;
use crate::wire::ethernet::EthernetHeader;
use crate::wire::ip::{ERROR_LEN_MAX, IpError, IpHeader, QUOTE_LEN_MAX};

/// How many errors may be sent at the moment.
#[derive(Debug)]
pub struct RateLimit {
    tokens: u64,
    /// Up to when tokens were earned.
    filled: Time,
}

impl Default for RateLimit {
    fn default() -> Self {
        Self { tokens: ICMP_ERRORS_BURST, filled: Time(0) }
    }
}

impl RateLimit {
    /// Takes a token if there is one; `per_s` are earned a second, 0: there always is one.
    pub fn take(&mut self, now: Time, per_s: u32) -> bool {
        if per_s == 0 {
            return true;
        }
        let earn_ns = (1_000_000_000 / u64::from(per_s)).max(1);
        let earned = now.since(self.filled) / earn_ns;
        self.tokens = self.tokens.saturating_add(earned).min(ICMP_ERRORS_BURST);
        // what is left of a token's time counts for the next one
        self.filled = Time(self.filled.0 + earned * earn_ns);
        let has_one = self.tokens > 0;
        self.tokens -= u64::from(has_one);
        has_one
    }
}

impl<F: Frame> Director<F> {
    /// Tells the sender of `frame` what is wrong, unless the rules or the rate limit forbid it. The packet must still be
    /// as it came. What is lost here is not a packet of anybody's, so it has a counter but no drop reason.
    #[cold]
    pub(super) fn send_icmp_error<A: Family>(
        &mut self,
        frame: &F,
        packet: &Packet<A>,
        error: IpError,
        out: &mut impl Outlet<F>,
    ) {
        let mut quote = [0; QUOTE_LEN_MAX];
        let len = usize::from(packet.parsed.ip_len).min(quote.len());
        if self.has_a_voice(packet) && frame.copy_out(packet.parsed.l3.into(), &mut quote[..len]) {
            self.answer(&quote[..len], &packet.key, error, out);
        } else {
            self.counters.icmp_suppressed.add(1);
        }
    }

    /// About a packet that is its service's by its mark the kernel answers in the name of the packet's destination; where
    /// that is no address of its own, it cannot.
    fn has_a_voice<A: Family>(&self, packet: &Packet<A>) -> bool {
        let is_ours = || self.network.local(packet.key.destination.to_ip()).is_some();
        A::IS_V6 || self.service_of_mark(packet).is_none() || is_ours()
    }

    /// As [`Director::send_icmp_error`], about a packet of which there is no more than `quote`.
    pub(super) fn answer<A: Family>(&mut self, quote: &[u8], key: &Key<A>, error: IpError, out: &mut impl Outlet<F>) {
        if let Some(len) = self.make_icmp_error::<A>(quote, error, out) {
            self.counters.icmp_sent.add(1);
            self.count_icmp_error(key, len);
        } else {
            self.counters.icmp_suppressed.add(1);
        }
    }

    /// On its way out the kernel takes an error about a DR or TUN connection's packet for its server's and counts it.
    fn count_icmp_error<A: Family>(&self, key: &Key<A>, len: usize) {
        let Some((id, Direction::In)) = self.connections.table::<A>().find(key) else { return };
        let conn = self.connections.table::<A>().get(id);
        if !conn.has(flags::NAT) {
            self.count_out(conn.dest, len);
        }
    }

    /// The length of its IP packet.
    fn make_icmp_error<A: Family>(&mut self, quote: &[u8], error: IpError, out: &mut impl Outlet<F>) -> Option<usize> {
        if !A::may_answer(error, quote) {
            return None;
        }
        if !self.icmp_limit.take(self.now, self.snapshot.settings.icmp_errors_per_s) {
            return None;
        }
        let cause = A::Header::of(quote)?;
        let (client, destination) = (cause.from(), cause.to());
        let way = self.network.way_to(client, self.now).ok()?;
        let source = match self.network.local(destination.to_ip()) {
            Some(_) => destination,
            None => A::from_ip(way.source)?,
        };
        let mut bytes = [0; ERROR_LEN_MAX];
        let id = self.next_ip_id();
        let written = A::write_error(error, &mut bytes, quote, source, id)?;
        let mut reply = out.alloc()?;
        if !reply.extend(&[0; EthernetHeader::LEN]) || !reply.extend(&bytes[..written]) {
            return None;
        }
        self.network.emit::<A>(reply, EthernetHeader::LEN, way.neighbour, self.now, out).ok()?;
        Some(written)
    }

    /// An identification for a packet of our own that may be fragmented on its way (RFC 6864 §4.2).
    pub(super) fn next_ip_id(&mut self) -> u16 {
        next_ip_id(&mut self.ip_id)
    }
}

/// The next of a sequence without pattern, whose state this is.
#[inline(always)]
pub(super) fn next_ip_id(state: &mut u64) -> u16 {
    *state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
    (*state >> 48) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_errors_is_cut_to_the_limit_and_refills() {
        let mut limit = RateLimit::default();
        let sent = |limit: &mut RateLimit, now: Time| (0..10_000).filter(|_| limit.take(now, 1000)).count() as u64;
        assert_eq!(sent(&mut limit, Time(0)), ICMP_ERRORS_BURST);
        assert_eq!(sent(&mut limit, Time::from_ms(1)), 1);
        assert_eq!(sent(&mut limit, Time::from_ms(11)), 10);
        assert_eq!(sent(&mut limit, Time::from_ms(10_000)), ICMP_ERRORS_BURST);
        assert!((0..10_000).all(|_| limit.take(Time::from_ms(10_000), 0)), "0 is no limit");
    }
}

//! `drop_entry`: under attack, connections that are being opened go, and of the others those that were hardly used
//! (ip_vs_random_dropentry). Each second a 32nd of the table is looked through; the kernel draws which by lot.

use super::director::Director;
use super::expire::is_assured;
use super::family::{Family, PerFamily};
use super::frame::Frame;
use crate::model::state::{SctpState, TcpState};
use crate::model::{Tick, Time};
use crate::tables::connections::{Conn, ConnId, flags};
use crate::wire::address::{Ip4, Ip6};
use crate::wire::ip_protocol::{SCTP, TCP};

/// Parts of the table, one a second.
const PARTS: u32 = 32;
/// Entries looked at between two bursts: each is a miss of the processor's cache, and may be a connection to end. A worker
/// that has packets for so many bursts that it does not come through its part in a second has no time for more.
const PER_POLL: u32 = 16;
/// A connection that has had more packets is in use.
const PACKETS_MAX: usize = 8;
/// One that was quiet for less has not had the time to be used.
const QUIET_S: u32 = 60;

/// How far it has come.
#[derive(Debug, Default)]
pub(super) struct Defence {
    part: u32,
    began: Time,
    next: PerFamily<u32>,
    /// Of connections with so many packets, so many are spared before the next that goes.
    spared: [u32; PACKETS_MAX + 1],
}

impl Defence {
    /// Every `packets`th of the connections with so many packets goes; none of those without any.
    fn draws(&mut self, packets: u32) -> bool {
        let Some(spared) = self.spared.get_mut(packets as usize).filter(|_| packets > 0) else { return false };
        let is_drawn = *spared <= 1;
        *spared = if is_drawn { packets } else { *spared - 1 };
        is_drawn
    }
}

impl<F: Frame> Director<F> {
    #[cold]
    pub(super) fn drop_entries(&mut self) {
        if self.now.since(self.defence.began) >= Time::from_s(1).0 {
            self.defence.began = self.now;
            self.defence.part = self.defence.part % PARTS + 1;
            self.defence.next = PerFamily { v4: self.defence.part, v6: self.defence.part };
        }
        self.drop_entries_of::<Ip4>();
        self.drop_entries_of::<Ip6>();
    }

    fn drop_entries_of<A: Family>(&mut self) {
        for _ in 0..PER_POLL {
            let id = *self.defence.next.of::<A>();
            if id == 0 || id >= self.connections.table::<A>().end() {
                return;
            }
            *self.defence.next.of_mut::<A>() = id + PARTS;
            let Some(conn) = self.connections.table::<A>().at(id).copied() else { continue };
            if self.is_to_go(&conn) {
                self.delete::<A>(ConnId(id));
            }
        }
    }

    fn is_to_go<A: Family>(&mut self, conn: &Conn<A>) -> bool {
        if conn.controlled > 0 {
            return false;
        }
        if conn.has(flags::TEMPLATE) {
            return if self.is_one_packet_services(conn) { self.is_hardly_used(conn) } else { !is_assured(conn) };
        }
        const SYN_RECV: u8 = TcpState::SynRecv as u8;
        const SYN_ACK: u8 = TcpState::SynAck as u8;
        const ESTABLISHED: u8 = TcpState::Established as u8;
        const INIT1: u8 = SctpState::Init1 as u8;
        const INIT: u8 = SctpState::Init as u8;
        const SCTP_ESTABLISHED: u8 = SctpState::Established as u8;
        match (conn.protocol, conn.state) {
            (TCP, SYN_RECV | SYN_ACK) | (SCTP, INIT1 | INIT) => true,
            (TCP, ESTABLISHED) | (SCTP, SCTP_ESTABLISHED) => self.is_hardly_used(conn),
            (TCP | SCTP, _) => false,
            _ => self.is_hardly_used(conn),
        }
    }

    fn is_one_packet_services<A: Family>(&self, conn: &Conn<A>) -> bool {
        let service = self.destinations.get(conn.dest).and_then(|dest| self.services.get(dest.service));
        service.is_some_and(|state| state.service.one_packet)
    }

    fn is_hardly_used<A: Family>(&mut self, conn: &Conn<A>) -> bool {
        let quiet = i64::from(conn.timeout) - i64::from(conn.timer.deadline.since(self.tick));
        quiet >= i64::from(QUIET_S * Tick::PER_S) && self.defence.draws(conn.in_packets)
    }
}

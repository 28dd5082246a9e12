//! Packets of connections that are neither TCP nor UDP: SCTP, whose state and checksum are particular, and AH and ESP,
//! which belong to the connection of the key exchange in front of them (ip_vs_proto_sctp.c, ip_vs_proto_ah_esp.c).

use super::director::{Director, Packet};
use super::family::Family;
use super::forward::{Inbound, state_header_at};
use super::frame::Frame;
use super::outlet::Outlet;
use super::sctp;
use super::tcp::Side;
use crate::model::DropReason;
use crate::model::state::SctpState;
use crate::tables::connections::{ConnId, Direction, Key, flags, ports};
use crate::wire::Header;
use crate::wire::ip_protocol::{SCTP, UDP};
use crate::wire::sctp::{ChunkHeader, SctpHeader, checksum, chunk, state_chunk};

/// ISAKMP's port, on both sides (RFC 2408 §2.5.1).
const ISAKMP: [u8; 2] = 500_u16.to_be_bytes();

/// The header of the chunk at this place in the frame.
fn chunk_at<F: Frame>(frame: &F, at: usize) -> Option<ChunkHeader> {
    let mut header = [0; ChunkHeader::LEN];
    let is_there = frame.copy_out(at, &mut header);
    is_there.then(|| ChunkHeader::of(&header).copied()).flatten()
}

fn first_chunk<F: Frame, A: Family>(frame: &F, packet: &Packet<A>) -> Option<ChunkHeader> {
    chunk_at(frame, usize::from(packet.parsed.l4) + SctpHeader::LEN)
}

impl<F: Frame> Director<F> {
    #[cold]
    pub(super) fn sctp<A: Family>(
        &mut self,
        frame: F,
        packet: &Packet<A>,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        let mut packet = *packet;
        let header = state_header_at(&packet);
        packet.chunk = state_chunk(|at| chunk_at(&frame, header + at));
        let found = self.connections.table::<A>().find(&packet.key);
        if let Some((id, Direction::In)) = found
            && first_chunk(&frame, &packet).is_some_and(|first| first.kind == chunk::INIT)
            && self.is_over::<A>(id)
        {
            return self.start_anew(frame, &packet, id, out);
        }
        self.follow(frame, &packet, out)
    }

    /// Whether the packet may begin a connection as far as its chunks say (sctp_conn_schedule).
    pub(super) fn may_start_sctp<A: Family>(&self, frame: &F, packet: &Packet<A>) -> Result<bool, DropReason> {
        let first = first_chunk(frame, packet).ok_or(DropReason::L4Truncated)?;
        Ok(sctp::may_start(first.kind, self.snapshot.settings.sloppy_sctp))
    }

    /// The timeout of a connection that is neither TCP nor UDP, after its state has changed with this packet.
    #[cold]
    pub(super) fn rare_timeout<A: Family>(&mut self, packet: &Packet<A>, id: ConnId, side: Side) -> u32 {
        let conn = self.connections.table::<A>().get(id);
        let (Some(chunk), SCTP) = (packet.chunk, packet.parsed.protocol) else { return conn.timeout };
        let side = if side == Side::Input && conn.has(flags::NO_OUTPUT) { Side::InputOnly } else { side };
        let next = sctp::next_state(side, conn.state, chunk);
        if next as u8 != conn.state {
            self.change_state::<A>(id, next as u8, next.is_active());
            if next == SctpState::Established {
                self.assure::<A>(id);
            }
        }
        self.timeouts.global().sctp[next as usize]
    }

    /// AH and ESP never begin a connection: they follow that of the key exchange between the same hosts.
    #[cold]
    pub(super) fn ipsec<A: Family>(
        &mut self,
        frame: F,
        packet: &Packet<A>,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        let key = Key { ports: ports(ISAKMP, ISAKMP), kind: UDP.into(), ..packet.key };
        match self.connections.table::<A>().find(&key) {
            Some((id, Direction::In)) => self.forward_in(frame, packet, id, Inbound::Established, out),
            Some((id, Direction::Out)) => self.forward_out(frame, packet, id, out),
            None => self.no_connection(frame, packet, out),
        }
    }
}

/// SCTP's checksum anew, over everything to the end of the IP packet.
pub(super) fn fill_sctp_checksum<F: Frame, A: Family>(frame: &mut F, packet: &Packet<A>) {
    let (l4, end) = (usize::from(packet.parsed.l4), packet.parsed.frame_len());
    let Some(header) = SctpHeader::at(frame.head(), l4).copied() else { return };
    let from = l4 + SctpHeader::LEN;
    let mut at = 0;
    let rest = frame.segments().map(|segment| {
        let range = from.saturating_sub(at).min(segment.len())..end.saturating_sub(at).min(segment.len());
        at += segment.len();
        segment.get(range).unwrap_or_default()
    });
    let sum = checksum(&header, rest);
    if let Some(header) = SctpHeader::at_mut(frame.head_mut(), l4) {
        header.checksum = sum;
    }
}

/// Whether an association in this state is over, so that an INIT begins another (is_new_conn_expected).
pub(super) fn is_over(state: u8) -> bool {
    state == SctpState::Closed as u8
}

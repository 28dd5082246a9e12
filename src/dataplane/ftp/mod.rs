//! FTP behind NAT (ip_vs_ftp.c): what client and server say of their data connection on the control connection is read,
//! the data connection made before it comes, and the server's address in its answer replaced by the virtual one.
//!
//! All of this is for connections with [`flags::HELPED`]; no other packet comes here.

mod sessions;

use super::destinations::Hop;
use super::director::{Director, Packet};
use super::family::Family;
use super::forward::Inbound;
use super::frame::Frame;
use super::outlet::Outlet;
use crate::model::DropReason;
use crate::model::state::TcpState;
use crate::tables::connections::{Conn, ConnId, Direction, Key, flags, ports};
use crate::tables::neighbours::NeighbourId;
use crate::wire::Header;
use crate::wire::checksum::{Delta, Sum};
use crate::wire::ftp::{self, Command, Listens, Text};
use crate::wire::ip::IpHeader;
use crate::wire::ip_protocol::TCP;
use crate::wire::tcp::TcpHeader;
use sessions::{Awaited, Shift};
pub use sessions::{Session, Sessions};
use std::net::IpAddr;
use std::ops::Range;
use zerocopy::network_endian::{U16, U32};

/// The control connection's port (RFC 959 §8).
pub const CONTROL_PORT: [u8; 2] = 21_u16.to_be_bytes();

/// The most that can follow a replaced text.
const TAIL_MAX: usize = 2048;

/// TCP options (RFC 9293 §3.2, RFC 2018 §3).
const OPTION_END: u8 = 0;
const OPTION_NOP: u8 = 1;
const OPTION_SACK: u8 = 5;

impl<F: Frame> Director<F> {
    /// A packet from the client of a helped connection; `way` leads to the connection's destination.
    #[cold]
    pub(super) fn helped_in<A: Family>(
        &mut self,
        mut frame: F,
        packet: &Packet<A>,
        id: ConnId,
        way: Hop,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        let conn = *self.connections.table::<A>().get(id);
        if conn.has(flags::NO_CLIENT_PORT) {
            self.client_port_known(packet, id)?;
        }
        // a server may name another address than its own
        let is_elsewhere = self.destinations.get(conn.dest).is_some_and(|dest| dest.address != conn.server.to_ip());
        let way = if is_elsewhere { self.network.way_to(conn.server, self.now)?.hop() } else { way };
        if conn.virtual_port == CONTROL_PORT {
            check_tcp(&frame, packet)?;
            self.read_command(&frame, packet, id)?;
            self.shift(&mut frame, packet, id, Direction::In)?;
        }
        self.send_nat_in(frame, packet, id, way, out)
    }

    /// A packet from the server of a helped connection, with its TTL and MTU checked.
    #[cold]
    pub(super) fn helped_out<A: Family>(
        &mut self,
        mut frame: F,
        packet: &Packet<A>,
        id: ConnId,
        next_hop: (NeighbourId, u16),
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        let mut packet = *packet;
        if self.connections.table::<A>().get(id).virtual_port == CONTROL_PORT {
            check_tcp(&frame, &packet)?;
            let sequence = TcpHeader::at(frame.head(), packet.parsed.l4.into()).map_or(0, |tcp| tcp.sequence.get());
            self.shift(&mut frame, &packet, id, Direction::Out)?;
            let difference = self.read_answer(&mut frame, &mut packet, id)?;
            if let Some(session) = self.ftp.get_mut(self.connections.table::<A>().get(id).extra) {
                session.shift.add(sequence, difference);
            }
        }
        self.count_out(self.connections.table::<A>().get(id).dest, packet.parsed.ip_len.into());
        self.send_nat_out(frame, &packet, id, next_hop, out)
    }

    /// A packet whose connection has been waiting for its client's port.
    pub(super) fn follow_awaited<A: Family>(
        &mut self,
        frame: F,
        packet: &Packet<A>,
        id: ConnId,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        self.forward_in(frame, packet, id, Inbound::Established, out)
    }

    fn client_port_known<A: Family>(&mut self, packet: &Packet<A>, id: ConnId) -> Result<(), DropReason> {
        let [high, low, ..] = packet.key.ports.to_ne_bytes();
        let connections = self.connections.table_mut::<A>();
        connections.set_client_port(id, [high, low]).map_err(|_| DropReason::TableFull)?;
        let conn = connections.get_mut(id);
        let is_plain = self.destinations.get(conn.dest).is_some_and(|dest| dest.address == conn.server.to_ip());
        if is_plain && conn.virtual_port != CONTROL_PORT {
            conn.flags &= !flags::HELPED;
        }
        Ok(())
    }

    /// Only what is said once the connection is established counts.
    fn is_established<A: Family>(&self, id: ConnId) -> bool {
        self.connections.table::<A>().get(id).state == TcpState::Established as u8
    }

    /// What the client says: it awaits an answer, or where the server shall connect to.
    fn read_command<A: Family>(&mut self, frame: &F, packet: &Packet<A>, id: ConnId) -> Result<(), DropReason> {
        let text = text_of(frame, packet);
        let Some(command) = ftp::command(&frame.head()[text], A::IS_V6).filter(|_| self.is_established::<A>(id)) else {
            return Ok(());
        };
        let awaited = match command {
            Command::Passive => Awaited::Passive,
            Command::ExtendedPassive => Awaited::ExtendedPassive,
            Command::Active(address, port) => {
                self.expect_from_server::<A>(id, A::from_ip(address).ok_or(DropReason::Internal)?, port)?;
                Awaited::Nothing
            }
        };
        self.set_awaited::<A>(id, awaited)
    }

    fn set_awaited<A: Family>(&mut self, id: ConnId, awaited: Awaited) -> Result<(), DropReason> {
        let conn = self.connections.table_mut::<A>().get_mut(id);
        if conn.extra == 0 && awaited != Awaited::Nothing {
            conn.extra = self.ftp.add().ok_or(DropReason::TableFull)?;
        }
        if let Some(session) = self.ftp.get_mut(conn.extra) {
            session.awaited = awaited;
        }
        Ok(())
    }

    /// The server will connect from its data port to the client's `address` and `port`.
    fn expect_from_server<A: Family>(&mut self, id: ConnId, address: A, port: u16) -> Result<(), DropReason> {
        let control = *self.connections.table::<A>().get(id);
        let below = |port: [u8; 2]| u16::from_be_bytes(port).wrapping_sub(1).to_be_bytes();
        let data = Conn {
            client: address,
            client_port: port.to_be_bytes(),
            virtual_port: below(control.virtual_port),
            server_port: below(control.server_port),
            ..expected(&control, id)
        };
        let known = self.connections.table::<A>().find(&data.key_in());
        let known = known.filter(|(_, direction)| *direction == Direction::In).map(|(id, _)| id);
        self.expect(known, data).map(drop)
    }

    /// What the server says: where it listens, if that is awaited. The client is told the virtual address instead; by how
    /// much that is longer.
    fn read_answer<A: Family>(&mut self, frame: &mut F, packet: &mut Packet<A>, id: ConnId) -> Result<i32, DropReason> {
        let control = *self.connections.table::<A>().get(id);
        let Some(session) = self.ftp.get(control.extra).filter(|_| self.is_established::<A>(id)) else { return Ok(0) };
        let awaited = session.awaited;
        let text = text_of(frame, packet);
        let said = match awaited {
            Awaited::Nothing => None,
            Awaited::Passive => ftp::passive_answer(&frame.head()[text.clone()]),
            Awaited::ExtendedPassive => ftp::extended_passive_answer(&frame.head()[text.clone()], A::IS_V6),
        };
        let Some(Listens { address, port, span }) = said else { return Ok(0) };
        let server = address.map_or(Some(control.server), A::from_ip).ok_or(DropReason::Internal)?;
        let data = self.expect_from_client(&control, id, server, port.to_be_bytes())?;
        let data = self.connections.table::<A>().get(data);
        let told = match (awaited, data.virt.to_ip(), u16::from_be_bytes(data.virtual_port)) {
            (Awaited::Passive, IpAddr::V4(virt), port) => ftp::write_passive(virt, port),
            (_, _, port) => ftp::write_extended(port),
        };
        self.set_awaited::<A>(id, Awaited::Nothing)?;
        replace(frame, packet, text.start + span.start..text.start + span.end, &told)
    }

    /// The client will connect from any port to the server's address and port, by way of the virtual address.
    fn expect_from_client<A: Family>(
        &mut self,
        control: &Conn<A>,
        id: ConnId,
        server: A,
        port: [u8; 2],
    ) -> Result<ConnId, DropReason> {
        let mut data = Conn { server, virtual_port: port, server_port: port, ..expected(control, id) };
        data.flags |= flags::NO_CLIENT_PORT | flags::HELPED;
        let key = Key { source: server, destination: control.client, ports: ports(port, [0; 2]), kind: TCP.into() };
        let known = self.connections.table::<A>().find(&key);
        let known = known.filter(|(_, direction)| *direction == Direction::Out).map(|(id, _)| id);
        self.expect(known, data)
    }

    /// Makes a data connection, unless it is `known` already, and lets it wait for its first packet.
    fn expect<A: Family>(&mut self, known: Option<ConnId>, data: Conn<A>) -> Result<ConnId, DropReason> {
        let listen = TcpState::Listen;
        let timeout = self.timeouts.global().tcp[listen as usize];
        let id = match known {
            Some(id) => id,
            None => self.insert_data(Conn { timeout, ..data })?,
        };
        let connections = self.connections.table_mut::<A>();
        connections.get_mut(id).state = listen as u8;
        connections.touch(id, timeout, self.tick);
        Ok(id)
    }

    fn insert_data<A: Family>(&mut self, data: Conn<A>) -> Result<ConnId, DropReason> {
        let connections = self.connections.table_mut::<A>();
        if let Some((older, Direction::In)) = connections.find(&data.key_in()) {
            // of two for one tuple the newer one counts
            connections.hide(older);
        }
        let id = connections.insert(data, self.tick).map_err(|_| DropReason::TableFull)?;
        self.destinations.bind(data.dest, true);
        self.counters.connections_created.add(1);
        Ok(id)
    }

    /// The numbers of a packet, moved by what was said longer or shorter before it (nf_ct_seq_adjust).
    fn shift<A: Family>(
        &mut self,
        frame: &mut F,
        packet: &Packet<A>,
        id: ConnId,
        direction: Direction,
    ) -> Result<(), DropReason> {
        let Some(session) = self.ftp.get(self.connections.table::<A>().get(id).extra) else { return Ok(()) };
        if session.shift.is_none() {
            return Ok(());
        }
        let shift = session.shift;
        let l4 = usize::from(packet.parsed.l4);
        let tcp = TcpHeader::at_mut(frame.head_mut(), l4).ok_or(DropReason::L4Truncated)?;
        let moved = |field: &mut U32, new: fn(Shift, u32) -> u32| {
            let (old, new) = (field.get(), new(shift, field.get()));
            *field = new.into();
            Delta::of_u32(old, new)
        };
        if direction == Direction::Out {
            moved(&mut tcp.sequence, Shift::to_client).apply(&mut tcp.checksum);
            return Ok(());
        }
        if !tcp.flags.ack() {
            return Ok(());
        }
        moved(&mut tcp.acknowledgement, Shift::to_server).apply(&mut tcp.checksum);
        let end = (l4 + tcp.header_len()).min(frame.head().len());
        let options = frame.head_mut().get_mut(l4 + TcpHeader::LEN..end).unwrap_or_default();
        let before = Sum::of(options);
        shift_sack(options, |number| shift.to_server(number));
        let delta = Delta::between(before, Sum::of(options));
        if let Some(tcp) = TcpHeader::at_mut(frame.head_mut(), l4) {
            delta.apply(&mut tcp.checksum);
        }
        Ok(())
    }
}

/// What data connections of a control connection have in common.
fn expected<A: Family>(control: &Conn<A>, id: ConnId) -> Conn<A> {
    Conn {
        client: control.client,
        virt: control.virt,
        server: control.server,
        protocol: TCP,
        flags: flags::NAT | flags::INACTIVE,
        dest: control.dest,
        control: id.0,
        ..Conn::default()
    }
}

/// Nothing is read or changed in a packet that came damaged (tcp_csum_check).
fn check_tcp<F: Frame, A: Family>(frame: &F, packet: &Packet<A>) -> Result<(), DropReason> {
    if tcp_sum(frame, packet).is_valid() { Ok(()) } else { Err(DropReason::FtpChecksumBad) }
}

/// The sum a TCP checksum is over.
fn tcp_sum<F: Frame, A: Family>(frame: &F, packet: &Packet<A>) -> Sum {
    let (l4, end) = (usize::from(packet.parsed.l4), packet.parsed.frame_len());
    let pseudo = A::Header::at(frame.head(), packet.parsed.l3.into()).map(|ip| ip.pseudo(TCP, end.saturating_sub(l4)));
    pseudo.unwrap_or_default().and(frame.sum(l4..end))
}

/// Where the packet's text is in the head. Control connections' lines are short: what is in further segments is not read.
fn text_of<F: Frame, A: Family>(frame: &F, packet: &Packet<A>) -> Range<usize> {
    let (l4, head) = (usize::from(packet.parsed.l4), frame.head());
    let end = packet.parsed.frame_len().min(head.len());
    match TcpHeader::at(head, l4).map(TcpHeader::header_len) {
        Some(length) if length >= TcpHeader::LEN && l4 + length <= end => l4 + length..end,
        _ => end..end,
    }
}

/// Puts `told` where the packet says something else; by how much that is longer.
fn replace<F: Frame, A: Family>(
    frame: &mut F,
    packet: &mut Packet<A>,
    place: Range<usize>,
    told: &Text,
) -> Result<i32, DropReason> {
    let difference = told.len() as i32 - place.len() as i32;
    let (l3, l4) = (usize::from(packet.parsed.l3), usize::from(packet.parsed.l4));
    let ip_len = i32::from(packet.parsed.ip_len) + difference;
    packet.parsed.ip_len = u16::try_from(ip_len).map_err(|_| DropReason::NoBuffer)?;
    if !splice(frame, place, told) {
        return Err(DropReason::NoBuffer);
    }
    let ip = A::Header::at_mut(frame.head_mut(), l3).ok_or(DropReason::Internal)?;
    ip.set_total_len(packet.parsed.ip_len);
    set_checksum(frame, l4, U16::ZERO)?;
    let checksum = tcp_sum(frame, packet).finish();
    set_checksum(frame, l4, checksum)?;
    Ok(difference)
}

fn set_checksum<F: Frame>(frame: &mut F, l4: usize, checksum: U16) -> Result<(), DropReason> {
    TcpHeader::at_mut(frame.head_mut(), l4).ok_or(DropReason::Internal)?.checksum = checksum;
    Ok(())
}

/// Replaces a part of the head by another, which may be longer or shorter. False when there is no room for it.
fn splice<F: Frame>(frame: &mut F, place: Range<usize>, new: &[u8]) -> bool {
    if place.len() == new.len() {
        return frame.head_mut().get_mut(place).map(|old| old.copy_from_slice(new)).is_some();
    }
    let mut tail = [0; TAIL_MAX];
    let Some(tail) = tail.get_mut(..frame.len().saturating_sub(place.end)) else { return false };
    if !frame.copy_out(place.end, tail) {
        return false;
    }
    frame.truncate(place.start);
    frame.extend(new) && frame.extend(tail)
}

/// Moves the numbers in SACK options (nf_ct_sack_adjust).
fn shift_sack(mut options: &mut [u8], moved: impl Fn(u32) -> u32) {
    while let [kind, ..] = *options
        && kind != OPTION_END
    {
        let length = if kind == OPTION_NOP { 1 } else { options.get(1).copied().map_or(0, usize::from) };
        if length == 0 || kind != OPTION_NOP && length < 2 || length > options.len() {
            return;
        }
        let (option, rest) = options.split_at_mut(length);
        if kind == OPTION_SACK && (length - 2).is_multiple_of(8) {
            for number in option[2..].chunks_exact_mut(4) {
                let old = u32::from_be_bytes([number[0], number[1], number[2], number[3]]);
                number.copy_from_slice(&moved(old).to_be_bytes());
            }
        }
        options = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_in_sack_options_move_and_nothing_else() {
        let mut options = vec![1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 9, 1, 1, 5, 10, 0, 0, 0, 9, 0, 0, 1, 0];
        let mut expected = options.clone();
        (expected[19], expected[23]) = (8, 0xff);
        (expected[22], expected[23]) = (0, 0xff);
        shift_sack(&mut options, |number| number - 1);
        assert_eq!(options, expected);
        for broken in [&[5][..], &[5, 0], &[5, 11, 0], &[5, 3, 0], &[0, 5, 10]] {
            let mut options = broken.to_vec();
            shift_sack(&mut options, |number| number + 1);
            assert_eq!(options, broken);
        }
    }
}

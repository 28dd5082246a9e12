//! RST on idle expiry: an established TCP connection that ends because nothing came for too long is reset, so that neither
//! end waits for the other (`reset_on_idle_expiry`; the kernel forgets it silently).
//!
//! A RST counts only with the sequence number that its receiver awaits next (RFC 5961 §3.2), and each end says with every
//! acknowledgement which that is. It is noted for connections with [`flags::WATCHED`]; no other packet comes here.

use super::destinations::Hop;
use super::director::{Director, Packet};
use super::family::Family;
use super::frame::Frame;
use super::outlet::Outlet;
use crate::model::DropReason;
use crate::model::state::TcpState;
use crate::tables::connections::{Conn, ConnId, Direction, flags};
use crate::tables::memory::{Mapping, NoMemory};
use crate::tables::neighbours::NeighbourId;
use crate::wire::Header;
use crate::wire::checksum::Sum;
use crate::wire::ethernet::EthernetHeader;
use crate::wire::ip::{Ip, IpHeader};
use crate::wire::ip_protocol::TCP;
use crate::wire::ipv6;
use crate::wire::tcp::{TcpFlags, TcpHeader};
use zerocopy::IntoBytes;
use zerocopy::network_endian::U16;

/// A sequence number that somebody has said: above it stands a bit, so that 0 is none.
const SAID: u64 = 1 << 32;

/// What each end awaits next, 0 if it has not said.
#[derive(Clone, Copy, Debug, Default)]
struct Awaited {
    by_client: u64,
    by_server: u64,
}

/// The watched connections' sequence numbers, by the number in [`Conn::extra`]; 0 is nobody's.
pub struct Watches {
    /// Two words a number, [`Awaited`]'s; of a free one the first is the next free one.
    words: Mapping<u64>,
    free: u64,
    /// Numbers from here on have never been used.
    fresh: u64,
}

impl Watches {
    /// Room for all connections of a worker, of both families: address space, of which memory is taken as it is used.
    pub fn new(capacity: u32) -> Result<Self, NoMemory> {
        let numbers = 2 * capacity as usize + 1;
        Ok(Self { words: Mapping::new_sparse(2 * numbers)?, free: 0, fresh: 1 })
    }

    /// `None`: there is no more room.
    pub fn add(&mut self) -> Option<u32> {
        let number = if self.free != 0 { self.free } else { self.fresh };
        let [first, second] = self.words.get_mut(2 * number as usize..)?.first_chunk_mut()?;
        if number == self.free {
            self.free = *first;
        } else {
            self.fresh += 1;
        }
        (*first, *second) = (0, 0);
        u32::try_from(number).ok()
    }

    fn get(&self, number: u32) -> Awaited {
        let words = self.words.get(2 * number as usize..).and_then(|words| words.first_chunk());
        words.map_or(Awaited::default(), |[by_client, by_server]| Awaited {
            by_client: *by_client,
            by_server: *by_server,
        })
    }

    fn note(&mut self, number: u32, who: Direction, next: Option<u32>) {
        let word = 2 * number as usize + usize::from(who == Direction::Out);
        if let (Some(word), Some(next)) = (self.words.get_mut(word).filter(|_| number != 0), next) {
            *word = SAID | u64::from(next);
        }
    }

    /// What is noted of a connection that moves away.
    pub fn take(&mut self, number: u32) -> Option<[u64; 2]> {
        let words = *self.words.get(2 * number as usize..)?.first_chunk().filter(|_| number != 0)?;
        self.remove(number);
        Some(words)
    }

    /// And where it arrives; `None`: there is no more room.
    pub fn put(&mut self, words: [u64; 2]) -> Option<u32> {
        let number = self.add()?;
        *self.words.get_mut(2 * number as usize..)?.first_chunk_mut()? = words;
        Some(number)
    }

    /// A connection with this number, or with none, has ended.
    pub fn remove(&mut self, number: u32) {
        if let Some(first) = self.words.get_mut(2 * number as usize).filter(|_| number != 0) {
            *first = self.free;
            self.free = number.into();
        }
    }
}

/// One end of a connection that is reset: `from` is who it believes to talk with.
struct End<A> {
    from: (A, [u8; 2]),
    to: (A, [u8; 2]),
    sequence: u32,
}

impl<F: Frame> Director<F> {
    /// A packet from the client of a watched connection; `way` leads to the connection's destination.
    #[cold]
    pub(super) fn watched_in<A: Family>(
        &mut self,
        frame: F,
        packet: &Packet<A>,
        id: ConnId,
        way: Hop,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        let Conn { dest, extra, flags, .. } = *self.connections.table::<A>().get(id);
        self.watches.note(extra, Direction::In, acknowledged(&frame, packet));
        match flags & flags::METHOD & !flags::WATCHED {
            flags::NAT => self.send_nat_in(frame, packet, id, way, out),
            flags::TUN => self.send_tun(frame, packet, dest, way, out),
            _ => self.send_dr(frame, packet, way, out),
        }
    }

    /// A packet from the server of a watched connection, with its TTL and MTU checked.
    #[cold]
    pub(super) fn watched_out<A: Family>(
        &mut self,
        frame: F,
        packet: &Packet<A>,
        id: ConnId,
        next_hop: (NeighbourId, u16),
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        let Conn { dest, extra, .. } = *self.connections.table::<A>().get(id);
        self.watches.note(extra, Direction::Out, acknowledged(&frame, packet));
        self.count_out(dest, packet.parsed.ip_len.into());
        self.send_nat_out(frame, packet, id, next_hop, out)
    }

    /// A watched connection ends by idleness: both ends are told, the server only where its packets come this way.
    #[cold]
    pub(super) fn reset_idle<A: Family>(&mut self, conn: &Conn<A>, out: &mut impl Outlet<F>) {
        if conn.state != TcpState::Established as u8 {
            return;
        }
        let Awaited { by_client, by_server } = self.watches.get(conn.extra);
        let (client, virt) = ((conn.client, conn.client_port), (conn.virt, conn.virtual_port));
        if by_client != 0 {
            self.send_reset(&End { from: virt, to: client, sequence: by_client as u32 }, out);
        }
        if by_server != 0 && conn.has(flags::NAT) {
            let server = (conn.server, conn.server_port);
            self.send_reset(&End { from: client, to: server, sequence: by_server as u32 }, out);
        }
    }

    /// What finds no route or no buffer is lost, as any RST may be.
    fn send_reset<A: Family>(&mut self, end: &End<A>, out: &mut impl Outlet<F>) {
        let mut bytes = [0; ipv6::HEADER_LEN + TcpHeader::LEN];
        let Some(len) = write(end, &mut bytes) else { return };
        let Ok(next_hop) = self.network.next_hop(end.to.0, self.now) else { return };
        let Some(mut frame) = out.alloc() else { return };
        if frame.extend(&[0; EthernetHeader::LEN]) && frame.extend(&bytes[..len]) {
            let sent = self.network.emit::<A>(frame, EthernetHeader::LEN, next_hop, self.now, out);
            self.counters.resets_sent.add(u64::from(sent.is_ok()));
        }
    }
}

/// What the sender of the packet awaits next.
fn acknowledged<F: Frame, A>(frame: &F, packet: &Packet<A>) -> Option<u32> {
    let tcp = TcpHeader::at(frame.head(), packet.parsed.l4.into())?;
    (packet.parsed.protocol == TCP && tcp.flags.ack()).then(|| tcp.acknowledgement.get())
}

/// The whole packet; its length.
fn write<A: Ip>(end: &End<A>, out: &mut [u8]) -> Option<usize> {
    let ip = A::Header::to_carry(end.from.0, end.to.0, TCP, TcpHeader::LEN)?;
    let mut tcp = TcpHeader::new(U16::from_bytes(end.from.1), U16::from_bytes(end.to.1), end.sequence, TcpFlags::RST);
    tcp.checksum = ip.pseudo(TCP, TcpHeader::LEN).and(Sum::of(tcp.as_bytes())).finish();
    tcp.put(ip.put(out)?)?;
    Some(A::Header::LEN + TcpHeader::LEN)
}

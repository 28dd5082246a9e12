//! ICMP errors: which connection they are about (ip_vs_in_icmp, ip_vs_out_icmp, ip_vs_forward_icmp).

use super::admit::{Beginning, FTP_DATA};
use super::director::{Director, Packet};
use super::family::Family;
use super::frame::Frame;
use super::outlet::Outlet;
use crate::model::DropReason;
use crate::sched::Flow;
use crate::tables::connections::{ConnId, Direction, Key, flags, ports};
use crate::wire::Header;
use crate::wire::icmp::IcmpHeader;
use crate::wire::ip::QUOTE_LEN_MAX;
use crate::wire::ip_protocol::{AH, ESP, UDP};
use crate::wire::quoted::Quoted;

/// The port of the key exchange whose connection AH and ESP go with, on both sides (ip_vs_proto_ah_esp.c).
const ISAKMP: [u8; 2] = 500_u16.to_be_bytes();

/// An ICMP error, and the connection it is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Related<A> {
    pub id: ConnId,
    /// Where the error goes: in, to the server, about a packet to the client; out, about a packet of the client.
    pub direction: Direction,
    pub quoted: Quoted<A>,
    /// Where the quoted packet begins in the frame.
    pub at: usize,
    /// The connection was made for this error alone.
    pub is_one_packet: bool,
}

/// The key of the quoted packet itself.
pub(super) fn key_of<A: Family>(quoted: &Quoted<A>) -> Key<A> {
    let (kind, ports) = match quoted.protocol {
        AH | ESP => (UDP, ports(ISAKMP, ISAKMP)),
        protocol => (protocol, quoted.ports),
    };
    Key { source: quoted.source, destination: quoted.destination, ports, kind: kind.into() }
}

/// The key of an answer to the packet of this key.
pub(super) fn mirrored<A: Copy>(key: &Key<A>) -> Key<A> {
    let [a, b, c, d] = key.ports.to_ne_bytes();
    Key { source: key.destination, destination: key.source, ports: ports([c, d], [a, b]), kind: key.kind }
}

impl<F: Frame> Director<F> {
    /// An ICMP message to an address of ours.
    pub(super) fn icmp_to_us<A: Family>(
        &mut self,
        mut frame: F,
        packet: &Packet<A>,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        if let Some(error) = self.error_of_tunnel(&mut frame, packet)? {
            return self.tell_client(frame, packet, &error, out);
        }
        match self.related(&mut frame, packet)? {
            Some(related) if related.direction == Direction::In => self.forward_error_in(frame, packet, &related, out),
            _ => self.local(frame, packet, out),
        }
    }

    /// What an ICMP message is about, if it is an error about a packet of a connection; with `schedule_icmp`, of one
    /// that might have been.
    #[cold]
    pub(super) fn related<A: Family>(
        &mut self,
        frame: &mut F,
        packet: &Packet<A>,
    ) -> Result<Option<Related<A>>, DropReason> {
        let Some(at) = self.quote_in(frame, packet)? else { return Ok(None) };
        let Some(quoted) = frame.head().get(at..).and_then(Quoted::parse) else { return Ok(None) };
        let key = key_of(&quoted);
        if let Some((id, direction)) = self.find_quoted(&key) {
            return Ok(Some(Related { id, direction, quoted, at, is_one_packet: false }));
        }
        if !self.snapshot.settings.schedule_icmp || matches!(quoted.protocol, AH | ESP) {
            return Ok(None);
        }
        let begun = self.begin_quoted(frame, packet, &quoted, &key)?;
        Ok(begun.map(|(id, is_one_packet)| Related { id, direction: Direction::In, quoted, at, is_one_packet }))
    }

    /// Where the packet begins that an ICMP error quotes, its headers in the frame's head. Without any service of the
    /// family the kernel's IPVS is out of the way, and what a whole link can hear is not for it.
    pub(super) fn quote_in<A: Family>(&self, frame: &mut F, packet: &Packet<A>) -> Result<Option<usize>, DropReason> {
        let l4 = usize::from(packet.parsed.l4);
        let header = IcmpHeader::at(frame.head(), l4).ok_or(DropReason::L4Truncated)?;
        if !A::is_about_packet(header.kind) || packet.to_group || !self.is_hooked::<A>() {
            return Ok(None);
        }
        let at = l4 + IcmpHeader::LEN;
        let wanted = frame.len().min(at + QUOTE_LEN_MAX);
        if frame.head().len() < wanted && !frame.pull(wanted) {
            return Err(DropReason::Truncated);
        }
        Ok(Some(at))
    }

    /// The connection of the packet with this key, sent by the director or, except with NAT, to a server. The answers
    /// to the former are the client's; with NAT, answers to the latter have a key of their own.
    pub(super) fn find_quoted<A: Family>(&self, key: &Key<A>) -> Option<(ConnId, Direction)> {
        self.find_living(&mirrored(key)).or_else(|| {
            let (id, _) = self.find_living(key).filter(|(_, direction)| *direction == Direction::In)?;
            let is_nat = self.connections.table::<A>().get(id).has(flags::NAT);
            (!is_nat).then_some((id, Direction::Out))
        })
    }

    /// A connection whose time is not up.
    pub(super) fn find_living<A: Family>(&self, key: &Key<A>) -> Option<(ConnId, Direction)> {
        let connections = self.connections.table::<A>();
        let is_living = |id| self.tick.is_before(connections.get(id).timer.deadline);
        connections.find(key).filter(|(id, _)| is_living(*id))
    }

    /// Whether the error goes to a client in a server's place, so that it is no routing.
    pub(super) fn is_of_nat<A: Family>(&self, related: &Related<A>) -> bool {
        related.direction == Direction::In || self.connections.table::<A>().get(related.id).has(flags::NAT)
    }

    /// A connection for an answer to the quoted packet, if that is a service's; whether for one packet only. Nobody is
    /// told when there is no destination (ip_vs_leave).
    fn begin_quoted<A: Family>(
        &mut self,
        frame: &F,
        packet: &Packet<A>,
        quoted: &Quoted<A>,
        key: &Key<A>,
    ) -> Result<Option<(ConnId, bool)>, DropReason> {
        let mut asked = *packet;
        asked.key = mirrored(key);
        (asked.parsed.protocol, asked.parsed.ports, asked.parsed.tcp_flags) = (quoted.protocol, asked.key.ports, 0);
        let Some(service) = self.service_of(&asked) else { return Ok(None) };
        if self.snapshot.settings.drop_packet == 3 && self.is_to_drop() {
            return Err(DropReason::DropPacket);
        }
        // dh, lblc and lblcr look at the quoted packet as it stands, the others at its mirror image
        let flow = Flow { destination: quoted.destination.to_ip(), ..self.flow_of(&asked) };
        if flow.client_port == FTP_DATA {
            return Ok(None);
        }
        let choice = self.choose(frame, &asked, service, &flow)?.ok_or(DropReason::NoDestination)?;
        let id = self.new_connection(&asked, choice, Beginning::UNKNOWN)?;
        Ok(Some((id, self.is_one_packet(service, &asked))))
    }
}

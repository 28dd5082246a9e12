//! Sending packets in fragments: those longer than the MTU of their way that may be fragmented, and those that came in
//! fragments, which leave as they came (RFC 791 §3.2, RFC 8200 §4.5; ip_do_fragment, ip6_fragment).

use super::director::Director;
use super::family::Family;
use super::frame::Frame;
use super::outlet::Outlet;
use super::reassemble::Geometry;
use crate::model::DropReason;
use crate::model::limits::FRAGMENTS_PER_DATAGRAM_MAX;
use crate::tables::neighbours::NeighbourId;
use crate::wire::Header;
use crate::wire::address::{Ip4, Ip6};
use crate::wire::ethernet::EthernetHeader;
use crate::wire::ip::Ip;
use crate::wire::ipv4::{self, HEADER_LEN, Ipv4Header};
use crate::wire::ipv6::{self, FragmentHeader, Ipv6Header};
use arrayvec::ArrayVec;
use zerocopy::IntoBytes;
use zerocopy::network_endian::U16;

/// Bytes copied at a time.
const CHUNK: usize = 1024;
/// The headers in front of a fragment's data; a fragment must fit into the least MTU of IPv6 with them.
type Headers = ArrayVec<u8, { ipv6::MTU_MIN as usize }>;
/// Data bytes of each fragment.
type Lens = ArrayVec<usize, FRAGMENTS_PER_DATAGRAM_MAX>;
/// RFC 791 §3.1: options with this bit go into every fragment, the others only into the first.
const OPTION_COPIED: u8 = 0x80;
const OPTION_END: u8 = 0;
const OPTION_NOP: u8 = 1;

/// Which part of a packet's data a fragment has.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    offset: usize,
    len: usize,
    more: bool,
    dont_fragment: bool,
}

/// A family whose packets can be sent in fragments.
pub trait Fragmented: Ip {
    /// The headers that all fragments of the packet at the start of `packet` have, and how many bytes of the packet they
    /// stand for: the rest is what is cut. `id` is for packets that have none yet.
    fn headers(packet: &[u8], id: u32) -> Option<(Headers, usize)>;
    /// Where in a packet, itself a fragment, this one belongs, and whether more of it follow.
    fn place(_headers: &[u8]) -> (usize, bool) {
        (0, false)
    }
    /// Makes the headers those of one part.
    fn mark(headers: &mut [u8], part: Part);
    /// Makes the first fragment's headers those of the others.
    fn leave_first(_headers: &mut [u8]) {}
    /// Data bytes that a fragment may have, its headers being `headers` long. A packet that came in fragments is not
    /// sent in longer ones.
    fn room(mtu: u16, headers: usize, geometry: Option<&Geometry>) -> usize;
    /// Whether a packet that came so and is `len` bytes long has to leave in fragments.
    fn is_to_be_cut(len: usize, mtu: u16, geometry: Option<&Geometry>) -> bool;
}

impl<F: Frame> Director<F> {
    /// Sends the IP packet at `l3` to a next hop, in fragments if it is longer than `mtu`, or came in fragments, which
    /// `wire_len` says (see [`super::director::Packet::wire_len`]).
    #[inline(always)]
    pub(super) fn send<A: Family>(
        &mut self,
        frame: F,
        l3: usize,
        (next_hop, mtu): (NeighbourId, u16),
        wire_len: u16,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        if wire_len <= mtu {
            self.network.emit::<A>(frame, l3, next_hop, self.now, out)
        } else {
            self.send_long::<A>(frame, l3, (next_hop, mtu), out)
        }
    }

    #[cold]
    fn send_long<A: Family>(
        &mut self,
        frame: F,
        l3: usize,
        (next_hop, mtu): (NeighbourId, u16),
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        let geometry = self.geometry.take();
        // another family's packet around this one is a new one, made of the same buffers
        let own = geometry.as_ref().filter(|geometry| geometry.is_v6 == A::IS_V6);
        let len = frame.len().saturating_sub(l3);
        if !A::is_to_be_cut(len, mtu, own) {
            return self.network.emit::<A>(frame, l3, next_hop, self.now, out);
        }
        let id = self.next_fragment_id();
        let packet = frame.head().get(l3..).ok_or(DropReason::Internal)?;
        let (headers, replaced) = A::headers(packet, id).ok_or(DropReason::MtuExceeded)?;
        let room = A::room(mtu, headers.len(), own);
        let data = len.checked_sub(replaced).ok_or(DropReason::Internal)?;
        let lens = geometry.as_ref().and_then(|geometry| fitting(geometry, data, room));
        let dont_fragment = lens.is_none() && own.is_some_and(|geometry| geometry.dont_fragment);
        let plan = Plan { data, room, lens, dont_fragment };
        self.send_parts::<A>(&frame, l3 + replaced, headers, &plan, next_hop, out)
    }

    fn send_parts<A: Family>(
        &mut self,
        frame: &F,
        from: usize,
        mut headers: Headers,
        plan: &Plan,
        next_hop: NeighbourId,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        let (place, is_followed) = A::place(&headers);
        let mut next = Some(plan.part(0, 0));
        let mut count = 0;
        while let Some(part) = next {
            if part.len == 0 {
                return Err(DropReason::MtuExceeded);
            }
            A::mark(&mut headers, Part { offset: place + part.offset, more: part.more || is_followed, ..part });
            let start = from + part.offset;
            let fragment = copy_fragment(frame, &headers, start, part.len, out).ok_or(DropReason::NoBuffer)?;
            self.network.emit::<A>(fragment, EthernetHeader::LEN, next_hop, self.now, out)?;
            self.counters.fragments_created.add(1);
            if count == 0 {
                A::leave_first(&mut headers);
            }
            count += 1;
            next = plan.after(part, count);
        }
        self.counters.packets_fragmented.add(1);
        Ok(())
    }

    /// An identification for fragments (RFC 7739: not to be guessed).
    fn next_fragment_id(&mut self) -> u32 {
        u32::from(self.next_ip_id()) << 16 | u32::from(self.next_ip_id())
    }
}

/// How `data` bytes are cut.
struct Plan {
    data: usize,
    /// The most a fragment has; those that are not the last have a multiple of eight.
    room: usize,
    /// The fragments as they came, the first one apart.
    lens: Option<Lens>,
    dont_fragment: bool,
}

impl Plan {
    /// The part behind `part`, number `index`.
    fn after(&self, part: Part, index: usize) -> Option<Part> {
        part.more.then(|| self.part(part.offset + part.len, index))
    }

    fn part(&self, offset: usize, index: usize) -> Part {
        let left = self.data - offset;
        let wanted = match &self.lens {
            Some(lens) => lens.get(index).copied().unwrap_or(left),
            None if left > self.room => self.room & !7,
            None => left,
        };
        let len = wanted.min(left);
        Part { offset, len, more: len < left, dont_fragment: self.dont_fragment }
    }
}

/// The fragments as they came, if they can leave so: the first one has what headers in front of it have grown by.
fn fitting(geometry: &Geometry, data: usize, room: usize) -> Option<Lens> {
    let (_, others) = geometry.lens.split_first()?;
    let others = others.iter().map(|&len| usize::from(len));
    let first = data.checked_sub(others.clone().sum())?;
    let lens: Lens = std::iter::once(first).chain(others).collect();
    let (last, inner) = lens.split_last()?;
    let fits = *last <= room && inner.iter().all(|&len| len <= room && len > 0 && len % 8 == 0);
    (fits && !inner.is_empty()).then_some(lens)
}

/// A new frame of `header` and `len` bytes of `frame` from `from` on.
fn copy_fragment<F: Frame>(
    frame: &F,
    header: &[u8],
    mut from: usize,
    mut len: usize,
    out: &mut impl Outlet<F>,
) -> Option<F> {
    let mut fragment = out.alloc()?;
    if !fragment.extend(&[0; EthernetHeader::LEN]) || !fragment.extend(header) {
        return None;
    }
    let mut buffer = [0; CHUNK];
    while len > 0 {
        let chunk = &mut buffer[..len.min(CHUNK)];
        if !frame.copy_out(from, chunk) {
            return None;
        }
        if !fragment.extend(chunk) {
            // the segment is full: the rest goes into another one
            let mut tail = out.alloc()?;
            if !tail.extend(chunk) {
                return None;
            }
            fragment.chain(tail).ok()?;
        }
        from += chunk.len();
        len -= chunk.len();
    }
    Some(fragment)
}

impl Fragmented for Ip4 {
    fn headers(packet: &[u8], _id: u32) -> Option<(Headers, usize)> {
        let len = Ipv4Header::of(packet)?.header_len();
        let bytes = packet.get(..len).filter(|_| len >= HEADER_LEN)?;
        Some((Headers::try_from(bytes).ok()?, len))
    }

    fn place(headers: &[u8]) -> (usize, bool) {
        Ipv4Header::of(headers).map_or((0, false), |ip| (ip.fragment_offset(), ip.more_fragments()))
    }

    fn mark(headers: &mut [u8], part: Part) {
        let len = headers.len() + part.len;
        let Some(ip) = Ipv4Header::of_mut(headers) else { return };
        ip.total_length = U16::new(len as u16);
        ip.set_fragment(part.dont_fragment, part.more, part.offset);
        ipv4::fill_checksum(headers);
    }

    fn leave_first(headers: &mut [u8]) {
        blank_uncopied_options(&mut headers[HEADER_LEN..]);
    }

    fn room(mtu: u16, headers: usize, geometry: Option<&Geometry>) -> usize {
        let mtu = geometry.map_or(mtu, |geometry| geometry.largest.min(mtu));
        usize::from(mtu).saturating_sub(headers)
    }

    fn is_to_be_cut(len: usize, mtu: u16, geometry: Option<&Geometry>) -> bool {
        geometry.is_some() || len > usize::from(mtu)
    }
}

impl Fragmented for Ip6 {
    fn headers(packet: &[u8], id: u32) -> Option<(Headers, usize)> {
        let (len, announced_at) = ipv6::unfragmentable(packet)?;
        let mut headers = Headers::try_from(packet.get(..len)?).ok()?;
        let next_header = std::mem::replace(headers.get_mut(announced_at)?, crate::wire::ip_protocol::FRAGMENT);
        let fragment = FragmentHeader::new(next_header, 0, false, id);
        headers.try_extend_from_slice(fragment.as_bytes()).ok()?;
        Some((headers, len))
    }

    fn mark(headers: &mut [u8], part: Part) {
        let at = headers.len() - FragmentHeader::LEN;
        if let Some(fragment) = FragmentHeader::at_mut(headers, at) {
            *fragment = FragmentHeader::new(fragment.next_header, part.offset, part.more, fragment.id.get());
        }
        let len = headers.len() - ipv6::HEADER_LEN + part.len;
        if let Some(ip) = Ipv6Header::of_mut(headers) {
            ip.payload_length = U16::new(len as u16);
        }
    }

    fn room(mtu: u16, headers: usize, geometry: Option<&Geometry>) -> usize {
        let mtu = geometry.map_or(mtu, |geometry| geometry.largest.max(ipv6::MTU_MIN).min(mtu));
        usize::from(mtu).saturating_sub(headers)
    }

    fn is_to_be_cut(len: usize, mtu: u16, geometry: Option<&Geometry>) -> bool {
        len > usize::from(mtu) || geometry.is_some_and(|geometry| len > usize::from(geometry.largest))
    }
}

/// Turns the options that only the first fragment has into no-operations, as the kernel does (ip_options_fragment).
fn blank_uncopied_options(options: &mut [u8]) {
    let mut at = 0;
    while at < options.len() {
        match options[at] {
            OPTION_END => return,
            OPTION_NOP => at += 1,
            kind => {
                let len = options.get(at + 1).map_or(0, |&len| usize::from(len));
                if len < 2 || at + len > options.len() {
                    return;
                }
                if kind & OPTION_COPIED == 0 {
                    options[at..at + len].fill(OPTION_NOP);
                }
                at += len;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_options_marked_so_are_copied() {
        // record route (not copied), no-operation, router alert (copied), end
        let mut options = [7, 3, 4, 1, 0x94, 4, 0, 0, 0, 0xa5, 0xa5, 0xa5];
        blank_uncopied_options(&mut options);
        assert_eq!(options, [1, 1, 1, 1, 0x94, 4, 0, 0, 0, 0xa5, 0xa5, 0xa5]);
        let mut cut_short = [7, 30, 4, 1];
        blank_uncopied_options(&mut cut_short);
        assert_eq!(cut_short, [7, 30, 4, 1]);
    }
}

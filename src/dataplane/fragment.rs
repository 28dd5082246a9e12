//! Sending IPv4 packets that are longer than the MTU of their way and may be fragmented (RFC 791 §3.2, ip_do_fragment).

use super::director::Director;
use super::family::Family;
use super::frame::Frame;
use super::outlet::Outlet;
use crate::model::DropReason;
use crate::tables::neighbours::NeighbourId;
use crate::wire::Header;
use crate::wire::address::Ip4;
use crate::wire::ethernet::EthernetHeader;
use crate::wire::ipv4::{HEADER_LEN, HEADER_LEN_MAX, Ipv4Header};
use zerocopy::network_endian::U16;

/// Bytes copied at a time.
const CHUNK: usize = 1024;
/// RFC 791 §3.1: options with this bit go into every fragment, the others only into the first.
const OPTION_COPIED: u8 = 0x80;
const OPTION_END: u8 = 0;
const OPTION_NOP: u8 = 1;

impl<F: Frame> Director<F> {
    /// Sends the IP packet at `l3` to a next hop, in fragments if it is longer than `mtu`.
    #[inline(always)]
    pub(super) fn send<A: Family>(
        &mut self,
        frame: F,
        l3: usize,
        (next_hop, mtu): (NeighbourId, u16),
        ip_len: u16,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        if ip_len <= mtu {
            self.network.emit::<A>(frame, l3, next_hop, self.now, out)
        } else if A::IS_V6 {
            // no router fragments IPv6 (RFC 8200 §5)
            Err(DropReason::MtuExceeded)
        } else {
            self.send_fragments(&frame, l3, next_hop, mtu, out)
        }
    }

    #[cold]
    fn send_fragments(
        &mut self,
        frame: &F,
        l3: usize,
        next_hop: NeighbourId,
        mtu: u16,
        out: &mut impl Outlet<F>,
    ) -> Result<(), DropReason> {
        let mut header = [0; HEADER_LEN_MAX];
        let len = Ipv4Header::at(frame.head(), l3).map_or(0, Ipv4Header::header_len);
        if len < HEADER_LEN || !frame.copy_out(l3, &mut header[..len]) {
            return Err(DropReason::Internal);
        }
        let whole = *Ipv4Header::of(&header).ok_or(DropReason::Internal)?;
        let end = usize::from(whole.total_length.get());
        let mut at = len;
        while at < end {
            let room = usize::from(mtu).saturating_sub(len) & !7;
            if room == 0 {
                return Err(DropReason::MtuExceeded);
            }
            let data = room.min(end - at);
            let offset = whole.fragment_offset() + at - len;
            let is_last = at + data == end;
            let ip = Ipv4Header::of_mut(&mut header).ok_or(DropReason::Internal)?;
            ip.total_length = U16::new((len + data) as u16);
            ip.set_fragment(false, !is_last || whole.more_fragments(), offset);
            crate::wire::ipv4::fill_checksum(&mut header[..len]);
            let fragment = copy_fragment(frame, &header[..len], l3 + at, data, out).ok_or(DropReason::NoBuffer)?;
            self.network.emit::<Ip4>(fragment, EthernetHeader::LEN, next_hop, self.now, out)?;
            self.counters.fragments_created.add(1);
            if at == len {
                blank_uncopied_options(&mut header[HEADER_LEN..len]);
            }
            at += data;
        }
        self.counters.packets_fragmented.add(1);
        Ok(())
    }
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

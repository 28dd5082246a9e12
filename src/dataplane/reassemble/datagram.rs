//! The fragments of one datagram: which of them fit together, and the packet they make.

use super::family::{Fragment, Reassembled};
use super::{DatagramKey, Geometry, NONE, Whole};
use crate::dataplane::frame::Frame;
use crate::model::limits::FRAGMENTS_PER_DATAGRAM_MAX;
use crate::model::{DropReason, Time};
use arrayvec::ArrayVec;

/// One fragment's data, still in the frame it came in.
#[derive(Debug)]
struct Piece<F> {
    offset: u32,
    len: u32,
    /// It does not go on from a piece that came before it: the kernel's runs, within which a repetition is harmless.
    starts_run: bool,
    /// Where its IP header and its data begin in the frame.
    l3: u8,
    data: u16,
    frame: F,
}

impl<F> Piece<F> {
    fn end(&self) -> u32 {
        self.offset + self.len
    }
}

/// Why a fragment was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    pub reason: DropReason,
    /// Only the fragment is lost.
    pub spares_datagram: bool,
}

/// Where a fragment belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    At { index: usize, starts_run: bool },
    Duplicate,
    Overlap,
}

#[derive(Debug)]
pub struct Datagram<A, F> {
    pub key: DatagramKey<A>,
    pub deadline: Time,
    /// Neighbours in the list by age.
    pub older: u32,
    pub newer: u32,
    /// Buffers that the pieces hold.
    pub buffers: u32,
    /// By offset, none overlapping another.
    pieces: Vec<Piece<F>>,
    /// Bytes the pieces have, and bytes the packet has as far as is known: exactly so with its last fragment.
    held: u32,
    end: u32,
    has_last: bool,
    /// ECN fields seen, a bit each.
    ecn: u8,
    /// The longest fragment, and the longest of those with DF.
    largest: u16,
    largest_df: u16,
}

impl<A: Default, F> Default for Datagram<A, F> {
    fn default() -> Self {
        Self {
            key: DatagramKey::default(),
            deadline: Time(0),
            older: NONE,
            newer: NONE,
            buffers: 0,
            pieces: vec![],
            held: 0,
            end: 0,
            has_last: false,
            ecn: 0,
            largest: 0,
            largest_df: 0,
        }
    }
}

impl<A: Reassembled, F: Frame> Datagram<A, F> {
    /// A new datagram in this slot, which is clear.
    pub fn begin(&mut self, key: DatagramKey<A>, deadline: Time, older: u32) {
        let pieces = std::mem::take(&mut self.pieces);
        *self = Self { key, deadline, older, pieces, ..Self::default() };
    }

    pub fn clear(&mut self) {
        self.pieces.clear();
        self.buffers = 0;
    }

    /// Fragments held.
    pub fn len(&self) -> u32 {
        self.pieces.len() as u32
    }

    pub fn is_complete(&self) -> bool {
        self.has_last && self.held == self.end
    }

    /// Takes the first fragment out, if it is there.
    pub fn take_first(&mut self) -> Option<F> {
        (self.pieces.first()?.offset == 0).then(|| self.pieces.remove(0).frame)
    }

    pub fn insert(&mut self, fragment: &Fragment<A>, frame: F, buffers: u32) -> Result<(), Fault> {
        let bad = Fault { reason: DropReason::FragmentBad, spares_datagram: A::SPARES_DATAGRAM };
        let (offset, len) = (u32::from(fragment.offset), self.len_of(fragment)?);
        let end = offset + len;
        self.check_end(end, fragment.more).ok_or(bad)?;
        if len == 0 {
            return Err(bad);
        }
        let (index, starts_run) = match self.place(offset, end) {
            Place::At { index, starts_run } => (index, starts_run),
            Place::Duplicate => return Err(Fault { reason: DropReason::FragmentDuplicate, spares_datagram: true }),
            Place::Overlap => return Err(Fault { reason: DropReason::FragmentOverlap, spares_datagram: false }),
        };
        if self.pieces.len() == FRAGMENTS_PER_DATAGRAM_MAX {
            return Err(Fault { reason: DropReason::FragmentsTooMany, spares_datagram: false });
        }
        let (l3, data) = (fragment.l3, fragment.data);
        self.pieces.insert(index, Piece { offset, len, starts_run, l3, data, frame });
        self.held += len;
        self.buffers += buffers;
        self.ecn |= 1 << fragment.ecn;
        self.largest = self.largest.max(fragment.size);
        if fragment.dont_fragment {
            self.largest_df = self.largest_df.max(fragment.size);
        }
        Ok(())
    }

    /// Data bytes to take: all but the last fragment have a multiple of eight. IPv4 cuts what is beyond that, IPv6
    /// gives the datagram up.
    fn len_of(&self, fragment: &Fragment<A>) -> Result<u32, Fault> {
        let len = u32::from(fragment.len);
        if !fragment.more || len.is_multiple_of(8) {
            let fits = u32::from(fragment.offset) + len <= A::END_MAX;
            return if fits { Ok(len) } else { Err(Fault { reason: DropReason::FragmentBad, spares_datagram: true }) };
        }
        if A::IS_V6 {
            return Err(Fault { reason: DropReason::FragmentBad, spares_datagram: false });
        }
        Ok(len & !7)
    }

    /// `None` when the end of this fragment contradicts what is known of the packet's.
    fn check_end(&mut self, end: u32, more: bool) -> Option<()> {
        if !more {
            if end < self.end || self.has_last && end != self.end {
                return None;
            }
            (self.has_last, self.end) = (true, end);
        } else if end > self.end {
            if self.has_last {
                return None;
            }
            self.end = end;
        }
        Some(())
    }

    /// The kernel's rule: a fragment within a run of pieces that came one after the other repeats what is there; any
    /// other contact is an overlap (RFC 5722 §4 and its erratum 3089).
    fn place(&self, offset: u32, end: u32) -> Place {
        let Some(last) = self.pieces.last() else { return Place::At { index: 0, starts_run: true } };
        if last.end() < end {
            if offset < last.end() {
                return Place::Overlap;
            }
            return Place::At { index: self.pieces.len(), starts_run: offset != last.end() };
        }
        let index = self.pieces.partition_point(|piece| piece.offset < end);
        match index.checked_sub(1).map(|before| (before, &self.pieces[before])) {
            Some((before, piece)) if piece.end() > offset => self.within_run(before, offset, end),
            _ => Place::At { index, starts_run: true },
        }
    }

    fn within_run(&self, index: usize, offset: u32, end: u32) -> Place {
        let (before, behind) = self.pieces.split_at(index + 1);
        let first = before.iter().rev().find(|piece| piece.starts_run);
        let last = behind.iter().take_while(|piece| !piece.starts_run).last().or(before.last());
        let starts = first.is_some_and(|first| first.offset <= offset);
        if starts && last.is_some_and(|last| end <= last.end()) { Place::Duplicate } else { Place::Overlap }
    }

    /// The whole packet, made in the first fragment's frame.
    pub fn join(&mut self) -> Result<Whole<F>, DropReason> {
        let ecn = joined_ecn(self.ecn).ok_or(DropReason::FragmentBad)?;
        let dont_fragment = self.largest_df == self.largest;
        let mut lens = ArrayVec::new();
        let mut pieces = self.pieces.drain(..);
        let first = pieces.next().ok_or(DropReason::Internal)?;
        let mut frame = first.frame;
        let (l3, data) = (usize::from(first.l3), usize::from(first.data));
        lens.push(first.len as u16);
        frame.truncate(data + first.len as usize);
        for piece in pieces {
            lens.push(piece.len as u16);
            let mut tail = piece.frame;
            tail.truncate(usize::from(piece.data) + piece.len as usize);
            tail.trim_front(piece.data.into());
            append(&mut frame, tail).ok_or(DropReason::FragmentsTooMany)?;
        }
        A::make_whole(&mut frame, (l3, data), self.end, dont_fragment, ecn).ok_or(DropReason::FragmentBad)?;
        Ok(Whole { frame, geometry: Geometry { lens, largest: self.largest, dont_fragment, is_v6: A::IS_V6 } })
    }
}

/// Puts `tail` behind: into the last buffer if it has room for it, so that many small fragments make a short chain.
fn append<F: Frame>(whole: &mut F, mut tail: F) -> Option<()> {
    if tail.head().is_empty() && !tail.pull(1) {
        return None;
    }
    if tail.head().len() == tail.len() && whole.extend(tail.head()) {
        return Some(());
    }
    whole.chain(tail).ok()
}

/// Bits of the ECN fields seen (RFC 3168 §5).
const NOT_ECT: u8 = 1 << 0;
const ECT: u8 = 1 << 1 | 1 << 2;
const CE: u8 = 1 << 3;

/// What the fragments' ECN fields add to the first one's (RFC 3168 §5.3): congestion met by one of them. `None` for
/// combinations that no sender makes.
fn joined_ecn(seen: u8) -> Option<u8> {
    match seen {
        NOT_ECT => Some(0),
        seen if seen & NOT_ECT != 0 => None,
        seen if seen & CE != 0 && seen & ECT != 0 => Some(3),
        _ => Some(0),
    }
}

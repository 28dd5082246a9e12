//! The reassembler against a map of bytes.

use super::family::{Fragment, Reassembled};
use super::*;
use crate::dataplane::vec_frame::VecFrame;
use crate::model::limits::SEGMENTS_MAX;
use crate::wire::Header;
use crate::wire::address::{Ip4, Ip6};
use crate::wire::ipv4::{self, Ipv4Header};
use crate::wire::ipv6::{FragmentHeader, Ipv6Header};
use proptest::prelude::*;
use zerocopy::IntoBytes;

/// Behind Ethernet.
const L3: usize = 14;
const SEEDS: [u64; 4] = [1, 2, 3, 4];

/// A fragment to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cut {
    id: u16,
    offset: usize,
    len: usize,
    more: bool,
    dont_fragment: bool,
    tos: u8,
}

fn cut(offset: usize, len: usize, more: bool) -> Cut {
    Cut { id: 7, offset, len, more, dont_fragment: false, tos: 0 }
}

/// The byte that every test's packet has at this offset.
fn byte(offset: usize) -> u8 {
    (offset * 7 + offset / 251) as u8
}

fn data(from: usize, len: usize) -> Vec<u8> {
    (from..from + len).map(byte).collect()
}

trait Sample: Reassembled {
    fn frame(cut: Cut) -> Vec<u8>;
    /// The frame that had been cut.
    fn whole(len: usize) -> Vec<u8>;
}

impl Sample for Ip4 {
    fn frame(cut: Cut) -> Vec<u8> {
        let (from, to) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let mut ip = Ipv4Header::new(from, to, 17, cut.len).unwrap();
        ip.id.set(cut.id);
        ip.tos = cut.tos;
        ip.set_fragment(cut.dont_fragment, cut.more, cut.offset);
        ip.fill_checksum();
        [&[0xa5; L3], ip.as_bytes(), &data(cut.offset, cut.len)].concat()
    }
    fn whole(len: usize) -> Vec<u8> {
        Self::frame(cut(0, len, false))
    }
}

impl Sample for Ip6 {
    fn frame(cut: Cut) -> Vec<u8> {
        let fragment = FragmentHeader::new(17, cut.offset, cut.more, cut.id.into());
        v6(cut.tos, 44, &[fragment.as_bytes(), &data(cut.offset, cut.len)].concat())
    }
    fn whole(len: usize) -> Vec<u8> {
        v6(0, 17, &data(0, len))
    }
}

/// Behind hop-by-hop options, as they may stand in front of a fragment header.
fn v6(class: u8, next_header: u8, rest: &[u8]) -> Vec<u8> {
    let options = [next_header, 0, 1, 4, 0, 0, 0, 0];
    let (from, to) = ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap());
    let mut ip = Ipv6Header::new(from, to, 0, options.len() + rest.len()).unwrap();
    ip.set_traffic_class(class);
    [&[0xa5; L3], ip.as_bytes(), &options, rest].concat()
}

fn reassembler<A: Sample>() -> Reassembler<A, VecFrame> {
    Reassembler::new(SEEDS)
}

fn fragment_of<A: Sample>(frame: &VecFrame) -> Fragment<A> {
    A::fragment_at(frame.head(), L3).unwrap()
}

type Answer = Result<Option<Whole<VecFrame>>, Refused>;

fn give<A: Sample>(reassembler: &mut Reassembler<A, VecFrame>, cut: Cut) -> Answer {
    give_at(reassembler, cut, Time(0))
}

fn give_at<A: Sample>(reassembler: &mut Reassembler<A, VecFrame>, cut: Cut, now: Time) -> Answer {
    let frame = VecFrame::new(&A::frame(cut));
    reassembler.insert(&fragment_of(&frame), frame, now)
}

#[track_caller]
fn waits(answer: Answer) {
    assert!(matches!(answer, Ok(None)), "{answer:?}");
}

#[track_caller]
fn refused(answer: Answer, reason: DropReason, frames: u32) {
    assert_eq!(answer.unwrap_err(), Refused { reason, frames });
}

/// Fragments of a packet of `len` bytes, `size` bytes each.
fn cuts(len: usize, size: usize) -> Vec<Cut> {
    (0..len).step_by(size).map(|at| cut(at, size.min(len - at), at + size < len)).collect()
}

fn in_any_order<A: Sample>() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut reassembler = reassembler::<A>();
        let cuts = cuts(2500, 1000);
        waits(give(&mut reassembler, cuts[order[0]]));
        waits(give(&mut reassembler, cuts[order[1]]));
        let whole = give(&mut reassembler, cuts[order[2]]).unwrap().unwrap();
        assert_eq!(whole.frame.bytes()[L3..], A::whole(2500)[L3..], "{order:?}");
        assert_eq!(whole.geometry.lens[..], [1000, 1000, 500]);
        let size = if A::IS_V6 { 40 + 8 + 8 + 1000 } else { 20 + 1000 };
        assert_eq!(whole.geometry.largest, size);
        assert!(reassembler.is_empty());
        assert_eq!(reassembler.buffers(), 0);
    }
}

#[test]
fn fragments_make_the_packet_in_any_order() {
    in_any_order::<Ip4>();
    in_any_order::<Ip6>();
}

#[test]
fn what_a_packet_ends_with_does_not_matter_and_ethernet_stays_in_front() {
    let mut reassembler = reassembler::<Ip4>();
    waits(give(&mut reassembler, cut(0, 8, true)));
    let whole = give(&mut reassembler, cut(8, 1, false)).unwrap().unwrap();
    assert_eq!(whole.frame.bytes(), Ip4::whole(9));
}

#[test]
fn a_datagram_is_told_from_others_by_all_that_names_it() {
    let mut reassembler = reassembler::<Ip4>();
    let base = Ip4::frame(cut(0, 8, true));
    // id, protocol, source, destination
    for (count, at) in [None, Some(18), Some(23), Some(26), Some(30)].into_iter().enumerate() {
        let mut bytes = base.clone();
        if let Some(at) = at {
            bytes[at] ^= 1;
        }
        let frame = VecFrame::new(&bytes);
        waits(reassembler.insert(&fragment_of(&frame), frame, Time(0)));
        assert_eq!(reassembler.len(), count + 1);
    }
    assert!(give(&mut reassembler, cut(8, 8, false)).unwrap().is_some());
    assert_eq!(reassembler.len(), 4);
}

fn repetitions<A: Sample>() {
    let mut reassembler = reassembler::<A>();
    waits(give(&mut reassembler, cut(0, 16, true)));
    waits(give(&mut reassembler, cut(16, 16, true)));
    for again in [cut(0, 16, true), cut(16, 16, true), cut(0, 32, true), cut(8, 16, true), cut(24, 8, true)] {
        refused(give(&mut reassembler, again), DropReason::FragmentDuplicate, 1);
    }
    let whole = give(&mut reassembler, cut(32, 8, false)).unwrap().unwrap();
    assert_eq!(whole.frame.bytes()[L3..], A::whole(40)[L3..]);
}

#[test]
fn what_was_there_before_is_dropped_alone() {
    repetitions::<Ip4>();
    repetitions::<Ip6>();
}

fn overlaps<A: Sample>() {
    // two runs, 16..32 and 48..64, the second from two fragments
    let begin = || {
        let mut reassembler = reassembler::<A>();
        waits(give(&mut reassembler, cut(16, 16, true)));
        waits(give(&mut reassembler, cut(48, 8, true)));
        waits(give(&mut reassembler, cut(56, 8, true)));
        reassembler
    };
    for at in [cut(8, 16, true), cut(24, 16, true), cut(8, 32, true), cut(24, 32, true), cut(40, 32, true)] {
        let mut reassembler = begin();
        refused(give(&mut reassembler, at), DropReason::FragmentOverlap, 4);
        assert!(reassembler.is_empty());
        assert_eq!(reassembler.buffers(), 0);
    }
    // next to them is not over them
    let mut reassembler = begin();
    waits(give(&mut reassembler, cut(32, 16, true)));
    waits(give(&mut reassembler, cut(0, 16, true)));
    // what two runs have together counts as an overlap: the kernel remembers in what order they came
    refused(give(&mut reassembler, cut(0, 32, true)), DropReason::FragmentOverlap, 6);
}

#[test]
fn an_overlap_ends_the_datagram() {
    overlaps::<Ip4>();
    overlaps::<Ip6>();
}

/// What contradicts the end of the packet: IPv4 gives the datagram up, IPv6 only the fragment.
fn contradictions<A: Sample>() {
    for wrong in [cut(32, 8, true), cut(32, 8, false), cut(8, 8, false)] {
        let mut reassembler = reassembler::<A>();
        waits(give(&mut reassembler, cut(0, 8, true)));
        waits(give(&mut reassembler, cut(16, 8, false)));
        refused(give(&mut reassembler, wrong), DropReason::FragmentBad, if A::IS_V6 { 1 } else { 3 });
        assert_eq!(reassembler.len(), usize::from(A::IS_V6));
    }
    let mut reassembler = reassembler::<A>();
    refused(give(&mut reassembler, cut(8, 0, false)), DropReason::FragmentBad, 1);
    assert!(reassembler.is_empty(), "a datagram of nothing is not kept");
}

#[test]
fn what_contradicts_the_packets_end_is_bad() {
    contradictions::<Ip4>();
    contradictions::<Ip6>();
}

#[test]
fn a_fragment_that_goes_on_but_not_in_eights_is_cut_by_ipv4_and_fatal_to_ipv6() {
    let mut v4 = reassembler::<Ip4>();
    waits(give(&mut v4, cut(0, 13, true)));
    let whole = give(&mut v4, cut(8, 8, false)).unwrap().unwrap();
    assert_eq!(whole.frame.bytes()[L3..], Ip4::whole(16)[L3..]);
    let mut v6 = reassembler::<Ip6>();
    waits(give(&mut v6, cut(16, 8, true)));
    refused(give(&mut v6, cut(0, 13, true)), DropReason::FragmentBad, 2);
    assert!(v6.is_empty());
}

#[test]
fn a_packet_longer_than_can_be_is_refused() {
    let mut v4 = reassembler::<Ip4>();
    waits(give(&mut v4, cut(65_000, 528, false)));
    for at in (0..65_000).step_by(1000) {
        let last = at == 64_000;
        match give(&mut v4, cut(at, 1000, true)) {
            answer if last => refused(answer, DropReason::FragmentBad, 66),
            answer => waits(answer),
        }
    }
    let mut v6 = reassembler::<Ip6>();
    waits(give(&mut v6, cut(65_000, 520, true)));
    refused(give(&mut v6, cut(65_520, 16, false)), DropReason::FragmentBad, 1);
    assert_eq!(v6.len(), 1);
}

#[test]
fn the_longest_packet_comes_in_a_chain_that_ports_can_send() {
    for size in [1480, 1024, 1000, 552, 8 * 33] {
        let mut reassembler = reassembler::<Ip4>();
        let cuts = cuts(65_515, size);
        for cut in &cuts[1..] {
            waits(give(&mut reassembler, *cut));
        }
        let whole = give(&mut reassembler, cuts[0]).unwrap().unwrap();
        assert_eq!(whole.frame.bytes(), Ip4::whole(65_515));
        assert!(whole.frame.segments().count() <= SEGMENTS_MAX);
        assert_eq!(whole.geometry.lens.len(), cuts.len());
    }
}

#[test]
fn fragments_in_segments_with_the_headers_alone_in_the_first_make_the_same_packet() {
    let mut reassembler = reassembler::<Ip4>();
    let mut last = None;
    for cut in cuts(5000, 2000) {
        let bytes = Ip4::frame(cut);
        let frame = VecFrame::in_segments([&bytes[..34], &bytes[34..100], &bytes[100..]]);
        last = reassembler.insert(&fragment_of(&frame), frame, Time(0)).unwrap();
    }
    let whole = last.unwrap();
    assert_eq!(whole.frame.bytes(), Ip4::whole(5000));
    assert!(whole.frame.segments().all(|segment| !segment.is_empty()));
}

#[test]
fn more_fragments_than_are_put_together_are_given_up() {
    let mut reassembler = reassembler::<Ip6>();
    let cuts = cuts(8 * (FRAGMENTS_PER_DATAGRAM_MAX + 2), 8);
    for cut in &cuts[..FRAGMENTS_PER_DATAGRAM_MAX] {
        waits(give(&mut reassembler, *cut));
    }
    let next = give(&mut reassembler, cuts[FRAGMENTS_PER_DATAGRAM_MAX]);
    refused(next, DropReason::FragmentsTooMany, FRAGMENTS_PER_DATAGRAM_MAX as u32 + 1);
    assert!(reassembler.is_empty());
}

#[test]
fn buffers_and_datagrams_are_bounded_and_come_back() {
    let mut by_count = reassembler::<Ip4>();
    for id in 0..DATAGRAMS_MAX as u16 {
        waits(give(&mut by_count, Cut { id, ..cut(0, 8, true) }));
    }
    let one_more = Cut { id: DATAGRAMS_MAX as u16, ..cut(0, 8, true) };
    refused(give(&mut by_count, one_more), DropReason::ReassemblyFull, 1);
    assert!(give(&mut by_count, Cut { id: 500, ..cut(8, 8, false) }).unwrap().is_some());
    waits(give(&mut by_count, one_more));

    let mut by_buffers = reassembler::<Ip4>();
    for i in 0..FRAGMENT_BUFFERS_MAX as u16 {
        waits(give(&mut by_buffers, Cut { id: i / 4, ..cut(usize::from(i % 4) * 16, 8, true) }));
    }
    refused(give(&mut by_buffers, cut(8, 8, true)), DropReason::ReassemblyFull, 1);
    while by_buffers.expire(Time::from_s(31)).is_some() {}
    assert_eq!((by_buffers.buffers(), by_buffers.len()), (0, 0));
    waits(give(&mut by_buffers, cut(8, 8, true)));
}

fn timeouts<A: Sample>(timeout_s: u64) {
    let mut reassembler = reassembler::<A>();
    let with = |id, offset| Cut { id, ..cut(offset, 8, true) };
    waits(give_at(&mut reassembler, with(1, 0), Time::from_s(0)));
    waits(give_at(&mut reassembler, with(2, 8), Time::from_s(1)));
    waits(give_at(&mut reassembler, with(3, 0), Time::from_s(2)));
    // a later fragment gives no more time
    waits(give_at(&mut reassembler, with(1, 8), Time::from_s(20)));
    assert!(give_at(&mut reassembler, Cut { more: false, ..with(3, 8) }, Time::from_s(21)).unwrap().is_some());
    assert!(reassembler.expire(Time(timeout_s * 1_000_000_000 - 1)).is_none());
    let expired = reassembler.expire(Time::from_s(timeout_s)).unwrap();
    assert_eq!((expired.first.unwrap().bytes(), expired.frames), (A::frame(with(1, 0)), 2));
    assert!(reassembler.expire(Time::from_s(timeout_s)).is_none());
    let expired = reassembler.expire(Time::from_s(timeout_s + 1)).unwrap();
    assert_eq!((expired.first.is_some(), expired.frames), (false, 1));
    assert!(reassembler.expire(Time::from_s(1000)).is_none());
    assert!(reassembler.is_empty());
}

#[test]
fn a_datagram_has_its_familys_time_from_its_first_fragment_on() {
    timeouts::<Ip4>(30);
    timeouts::<Ip6>(60);
}

fn ecn_of(fields: &[u8]) -> Option<u8> {
    let mut reassembler = reassembler::<Ip4>();
    let mut last = None;
    for (i, &tos) in fields.iter().enumerate() {
        let next = Cut { tos, ..cut(i * 8, 8, i + 1 < fields.len()) };
        last = give(&mut reassembler, next).ok()?;
    }
    let frame = last?.frame;
    assert!(ipv4::checksum_ok(&frame.head()[L3..]));
    Some(Ipv4Header::at(frame.head(), L3)?.ecn())
}

#[test]
fn congestion_met_by_one_fragment_is_the_packets() {
    assert_eq!(ecn_of(&[0, 0]), Some(0));
    assert_eq!((ecn_of(&[2, 3]), ecn_of(&[1, 3, 1]), ecn_of(&[3, 2])), (Some(3), Some(3), Some(3)));
    assert_eq!((ecn_of(&[1, 2]), ecn_of(&[2, 1]), ecn_of(&[3, 3])), (Some(1), Some(2), Some(3)));
    assert_eq!((ecn_of(&[0, 1]), ecn_of(&[3, 0]), ecn_of(&[2, 3, 0])), (None, None, None));
}

#[test]
fn df_stays_when_the_longest_fragment_had_it() {
    let with_df = |first: bool, second: bool| {
        let mut reassembler = reassembler::<Ip4>();
        waits(give(&mut reassembler, Cut { dont_fragment: first, ..cut(0, 16, true) }));
        let whole = give(&mut reassembler, Cut { dont_fragment: second, ..cut(16, 8, false) }).unwrap().unwrap();
        Ipv4Header::at(whole.frame.head(), L3).unwrap().dont_fragment()
    };
    assert_eq!([with_df(true, true), with_df(true, false), with_df(false, true)], [true, true, false]);
}

#[test]
fn options_of_the_first_fragment_are_the_packets() {
    let mut bytes = Ip4::frame(cut(0, 8, true));
    bytes.splice(34..34, [0x94, 4, 0, 0]);
    (bytes[14], bytes[17]) = (0x46, 32);
    let first = VecFrame::new(&bytes);
    let mut reassembler = reassembler::<Ip4>();
    waits(give(&mut reassembler, cut(8, 8, false)));
    let whole = reassembler.insert(&fragment_of(&first), first, Time(0)).unwrap().unwrap();
    let bytes = whole.frame.bytes();
    assert_eq!((bytes[14], bytes[17], &bytes[34..38]), (0x46, 40, &[0x94, 4, 0, 0][..]));
    assert_eq!(bytes[38..], data(0, 16));
}

/// Every second byte there is, or not; who covers what; in runs, as the kernel remembers them.
#[derive(Default)]
struct Oracle {
    bytes: std::collections::HashMap<usize, u8>,
    /// Each from where to where, and in what order they came.
    runs: Vec<(usize, usize)>,
    fragments: u32,
    end: usize,
    has_last: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Expected {
    Waits,
    Whole,
    Refused(DropReason, u32),
}

impl Oracle {
    fn give(&mut self, cut: Cut, is_v6: bool) -> Expected {
        let end = cut.offset + cut.len;
        let is_bad =
            self.has_last && end > self.end || !cut.more && (end < self.end || self.has_last && end != self.end);
        if is_bad {
            return if is_v6 {
                Expected::Refused(DropReason::FragmentBad, 1)
            } else {
                self.end_with(DropReason::FragmentBad)
            };
        }
        self.end = self.end.max(end);
        self.has_last |= !cut.more;
        if self.runs.iter().any(|&(from, to)| from <= cut.offset && end <= to) {
            return Expected::Refused(DropReason::FragmentDuplicate, 1);
        }
        if (cut.offset..end).any(|at| self.bytes.contains_key(&at)) {
            return self.end_with(DropReason::FragmentOverlap);
        }
        self.bytes.extend((cut.offset..end).map(|at| (at, byte(at))));
        self.fragments += 1;
        match self.runs.iter_mut().max() {
            Some(last) if last.1 == cut.offset => last.1 = end,
            _ => self.runs.push((cut.offset, end)),
        }
        let is_whole = self.has_last && (0..self.end).all(|at| self.bytes.contains_key(&at));
        if is_whole { Expected::Whole } else { Expected::Waits }
    }

    fn end_with(&mut self, reason: DropReason) -> Expected {
        let frames = self.fragments + 1;
        *self = Self::default();
        Expected::Refused(reason, frames)
    }
}

fn agrees<A: Sample>(cuts: &[Cut]) -> Result<(), TestCaseError> {
    let mut reassembler = reassembler::<A>();
    let mut oracles = [Oracle::default(), Oracle::default()];
    for &cut in cuts {
        let oracle = &mut oracles[usize::from(cut.id)];
        let seen = match give(&mut reassembler, cut) {
            Ok(None) => Expected::Waits,
            Ok(Some(whole)) => {
                prop_assert_eq!(
                    &whole.frame.bytes()[whole_header::<A>()..],
                    &data(0, oracle.end.max(cut.offset + cut.len))
                );
                Expected::Whole
            }
            Err(refused) => Expected::Refused(refused.reason, refused.frames),
        };
        prop_assert_eq!(&seen, &oracle.give(cut, A::IS_V6), "{:?}", cut);
        if seen == Expected::Whole {
            *oracle = Oracle::default();
        }
        let fragments = oracles.iter().map(|oracle| oracle.fragments).sum::<u32>();
        prop_assert_eq!(reassembler.buffers(), fragments);
    }
    Ok(())
}

fn whole_header<A: Sample>() -> usize {
    A::whole(0).len()
}

fn any_cuts() -> impl Strategy<Value = Vec<Cut>> {
    let any_cut = (0..2_u16, 0..12_usize, 1..5_usize, prop::bool::weighted(0.8))
        .prop_map(|(id, at, n, more)| Cut { id, ..cut(at * 8, n * 8, more || at == 0) });
    prop::collection::vec(any_cut, 1..60)
}

/// A packet, cut anywhere, in any order, some pieces twice.
fn shuffled() -> impl Strategy<Value = (usize, Vec<Cut>)> {
    let parts = prop::collection::vec(1..40_usize, 1..40);
    (parts, 1..9_usize).prop_flat_map(|(parts, rest)| {
        let mut at = 0;
        let mut cuts = vec![];
        for len in parts {
            cuts.push(cut(at, len * 8, true));
            at += len * 8;
        }
        cuts.push(cut(at, rest, false));
        (Just(at + rest), Just(cuts).prop_shuffle())
    })
}

fn come_together<A: Sample>(len: usize, cuts: &[Cut]) -> Result<(), TestCaseError> {
    let mut reassembler = reassembler::<A>();
    for (i, &cut) in cuts.iter().enumerate() {
        match give(&mut reassembler, cut) {
            Ok(None) => prop_assert!(i + 1 < cuts.len()),
            Ok(Some(whole)) => {
                prop_assert_eq!(i + 1, cuts.len());
                prop_assert_eq!(
                    &whole.frame.bytes()[L3 + usize::from(A::IS_V6)..],
                    &A::whole(len)[L3 + usize::from(A::IS_V6)..]
                );
                prop_assert_eq!(whole.geometry.lens.iter().map(|&len| usize::from(len)).sum::<usize>(), len);
                break;
            }
            Err(refused) => prop_assert!(false, "{:?}", refused),
        }
        // each once more
        if !matches!(give(&mut reassembler, cut), Err(Refused { reason: DropReason::FragmentDuplicate, frames: 1 })) {
            prop_assert!(false, "a repetition is one");
        }
    }
    prop_assert!(reassembler.is_empty());
    Ok(())
}

proptest! {
    #[test]
    fn any_fragments_are_told_apart_as_a_map_of_bytes_would(cuts in any_cuts()) {
        agrees::<Ip4>(&cuts)?;
        agrees::<Ip6>(&cuts)?;
    }

    #[test]
    fn any_packet_comes_together_from_any_cuts_in_any_order((len, cuts) in shuffled()) {
        come_together::<Ip4>(len, &cuts)?;
        come_together::<Ip6>(len, &cuts)?;
    }

    #[test]
    fn any_bytes_are_survived(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..120), 0..20)) {
        let (mut v4, mut v6) = (reassembler::<Ip4>(), reassembler::<Ip6>());
        for bytes in frames {
            let frame = VecFrame::new(&bytes);
            if let Some(fragment) = Ip4::fragment_at(frame.head(), L3) {
                let _ = v4.insert(&fragment, frame.clone(), Time(0));
            }
            if let Some(fragment) = Ip6::fragment_at(frame.head(), L3) {
                let _ = v6.insert(&fragment, frame, Time(0));
            }
        }
    }
}

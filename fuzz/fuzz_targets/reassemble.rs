//! Fragments of a few packets, in any order and of any kind, with time going by: what is put together is what the fragments
//! said, and every one of them is somewhere.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use pollux::dataplane::frame::Frame;
use pollux::dataplane::reassemble::{Reassembled, Reassembler, Whole};
use pollux::dataplane::vec_frame::VecFrame;
use pollux::model::Time;
use pollux::model::limits::{DATAGRAMS_MAX, FRAGMENT_BUFFERS_MAX};
use pollux::wire::Header;
use pollux::wire::address::{Ip4, Ip6};
use pollux::wire::ipv4::{self, Ipv4Header};
use pollux::wire::ipv6::{self, FragmentHeader, Ipv6Header};

const L3: usize = 14;

/// Of an input, or making them takes longer than they can show: some more than a reassembler holds.
const FRAGMENTS_MAX: u32 = FRAGMENT_BUFFERS_MAX + 512;

#[derive(Debug, Arbitrary)]
enum Step {
    Fragment(Sent),
    /// The rest of a packet of which fragments may be there, in pieces of this many eights.
    Rest {
        id: u8,
        pieces: u8,
        eights: u8,
    },
    Wait {
        s: u8,
    },
}

#[derive(Clone, Copy, Debug, Arbitrary)]
struct Sent {
    id: u8,
    /// In eights; further apart than most, so that fragments meet.
    offset: u8,
    far: bool,
    len: u16,
    more: bool,
    dont_fragment: bool,
    class: u8,
    /// Options, or extension headers, in fours and eights.
    options: u8,
    /// Where the frame's first segment ends behind its headers.
    split: u8,
    tagged: bool,
}

fuzz_target!(|steps: Vec<Step>| {
    play::<Ip4>(&steps);
    play::<Ip6>(&steps);
});

/// A packet's byte at this offset of its data.
fn byte(id: u8, offset: usize) -> u8 {
    (offset ^ (offset >> 8)) as u8 ^ id
}

trait Made: Reassembled {
    fn headers(sent: &Sent, offset: usize, len: usize) -> Vec<u8>;
    /// Checks the headers of a whole packet and gives their length.
    fn check(packet: &[u8]) -> usize;
}

impl Made for Ip4 {
    fn headers(sent: &Sent, offset: usize, len: usize) -> Vec<u8> {
        let options = usize::from(sent.options % 11) * 4;
        let mut bytes = vec![1; 20 + options];
        bytes[0] = 0x45 + (options / 4) as u8;
        let Some(mut ip) = Ipv4Header::new([192, 0, 2, 1].into(), [192, 0, 2, 2].into(), 17, len + options) else {
            return vec![];
        };
        ip.id.set(sent.id.into());
        ip.tos = sent.class;
        ip.set_fragment(sent.dont_fragment, sent.more, offset);
        let first = bytes[0];
        ip.put(&mut bytes);
        bytes[0] = first;
        ipv4::fill_checksum(&mut bytes);
        bytes
    }
    fn check(packet: &[u8]) -> usize {
        assert!(ipv4::checksum_ok(packet));
        let ip = Ipv4Header::of(packet).unwrap();
        assert!(!ip.is_fragment() && usize::from(ip.total_length.get()) == packet.len());
        ip.header_len()
    }
}

impl Made for Ip6 {
    fn headers(sent: &Sent, offset: usize, len: usize) -> Vec<u8> {
        let count = usize::from(sent.options % 4);
        let payload = count * 8 + 8 + len;
        let addresses = ("2001:db8::1".parse().unwrap(), "2001:db8::2".parse().unwrap());
        let next = |rest: usize| if rest == 0 { 44 } else { 60 };
        let Some(mut ip) = Ipv6Header::new(addresses.0, addresses.1, next(count), payload) else { return vec![] };
        ip.set_traffic_class(sent.class);
        let mut bytes = vec![0; 40 + count * 8 + 8];
        ip.put(&mut bytes);
        for n in 0..count {
            bytes[40 + n * 8..][..8].copy_from_slice(&[next(count - n - 1), 0, 1, 4, 0, 0, 0, 0]);
        }
        FragmentHeader::new(17, offset, sent.more, sent.id.into()).put(&mut bytes[40 + count * 8..]);
        bytes
    }
    fn check(packet: &[u8]) -> usize {
        let upper = ipv6::upper_layer(packet).unwrap();
        assert!(upper.fragment.is_none() && upper.protocol == 17);
        assert_eq!(Ipv6Header::of(packet).unwrap().total_len(), packet.len());
        upper.offset
    }
}

fn play<A: Made>(steps: &[Step]) {
    let mut world = World::<A> { reassembler: Reassembler::new([1, 2, 3, 4]), now: Time(0), given: 0, gone: 0 };
    for step in steps.iter().take(200) {
        if world.given > FRAGMENTS_MAX {
            break;
        }
        match step {
            Step::Fragment(sent) => {
                let offset = usize::from(sent.offset) * if sent.far { 256 } else { 8 };
                world.give(sent, offset, usize::from(sent.len));
            }
            Step::Rest { id, pieces, eights } => world.rest(*id, *pieces, usize::from(*eights)),
            Step::Wait { s } => world.wait(*s),
        }
        world.check();
    }
}

struct World<A, F = VecFrame> {
    reassembler: Reassembler<A, F>,
    now: Time,
    given: u32,
    gone: u32,
}

impl<A: Made> World<A> {
    fn give(&mut self, sent: &Sent, offset: usize, len: usize) {
        let headers = A::headers(sent, offset, len);
        if headers.is_empty() {
            return;
        }
        let mut bytes = [&[0xa5; 12][..], &[8, 0][..], &headers].concat();
        let mut l3 = L3;
        if sent.tagged {
            bytes.splice(12..12, [0x81, 0, 0, 5]);
            l3 += 4;
        }
        let split = bytes.len() + usize::from(sent.split);
        bytes.extend((offset..offset + len).map(|at| byte(sent.id, at)));
        let (head, tail) = bytes.split_at(split.min(bytes.len()));
        let parts = [head, tail];
        let frame = VecFrame::in_segments(parts.into_iter().filter(|part| !part.is_empty()));
        let Some(fragment) = A::fragment_at(frame.head(), l3) else { return };
        self.given += 1;
        match self.reassembler.insert(&fragment, frame, self.now) {
            Ok(None) => {}
            Ok(Some(whole)) => self.whole(sent.id, &whole),
            Err(refused) => self.gone += refused.frames,
        }
    }

    fn whole(&mut self, id: u8, whole: &Whole<VecFrame>) {
        self.gone += whole.geometry.lens.len() as u32;
        let bytes = whole.frame.bytes();
        let l3 = if bytes[12..14] == [0x81, 0] { L3 + 4 } else { L3 };
        let packet = &bytes[l3..];
        let data = &packet[A::check(packet)..];
        assert_eq!(data.len(), whole.geometry.lens.iter().map(|&len| usize::from(len)).sum::<usize>());
        assert!(data.iter().enumerate().all(|(at, &seen)| seen == byte(id, at)), "what came is what is there");
        assert!(whole.frame.segments().all(|segment| !segment.is_empty()));
    }

    fn rest(&mut self, id: u8, pieces: u8, eights: usize) {
        let sent = Sent {
            id,
            offset: 0,
            far: false,
            len: 0,
            more: true,
            dont_fragment: false,
            class: 0,
            options: 0,
            split: 255,
            tagged: false,
        };
        for n in 0..usize::from(pieces) {
            let len = eights * 8;
            if (n + 1) * len > 65_528 {
                return;
            }
            self.give(&Sent { more: n + 1 < usize::from(pieces), ..sent }, n * len, len);
        }
    }

    fn wait(&mut self, s: u8) {
        self.now = self.now.plus_ms(u64::from(s) * 1000);
        while let Some(expired) = self.reassembler.expire(self.now) {
            self.gone += expired.frames;
            if let Some(first) = expired.first {
                let l3 = if first.head()[12..14] == [0x81, 0] { L3 + 4 } else { L3 };
                assert_eq!(A::fragment_at(first.head(), l3).map(|fragment| fragment.offset), Some(0));
            }
        }
    }

    fn check(&self) {
        assert_eq!(self.given, self.gone + self.reassembler.fragments(), "every fragment is somewhere");
        assert!(self.reassembler.buffers() <= FRAGMENT_BUFFERS_MAX && self.reassembler.len() <= DATAGRAMS_MAX);
        assert!(self.reassembler.buffers() >= self.reassembler.fragments());
        assert_eq!(self.reassembler.is_empty(), self.reassembler.fragments() == 0);
    }
}

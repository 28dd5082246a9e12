//! IPv4 options as a router sees to them (RFC 791 section 3.1, RFC 1812 section 5.2.4): checked, addresses and times filled
//! in, as Linux does on receipt (`ip_options_compile`). What is wrong is said by its offset, for the parameter problem.

use super::ipv4::HEADER_LEN;

/// Option types.
mod kind {
    pub const END: u8 = 0;
    pub const NOP: u8 = 1;
    pub const RECORD_ROUTE: u8 = 7;
    pub const TIMESTAMP: u8 = 68;
    pub const LOOSE_SOURCE_ROUTE: u8 = 131;
    pub const STRICT_SOURCE_ROUTE: u8 = 137;
    pub const ROUTER_ALERT: u8 = 148;
}

/// Flags of the timestamp option.
mod stamp {
    pub const TIME: u8 = 0;
    pub const ADDRESS_AND_TIME: u8 = 1;
    pub const PRESPECIFIED: u8 = 3;
}

/// What a router writes into options.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filling {
    /// For the recorded route.
    pub route: [u8; 4],
    /// In front of a timestamp.
    pub address: [u8; 4],
    /// Milliseconds since midnight UT, or anything with the highest bit set.
    pub time: [u8; 4],
}

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub source_route: bool,
    /// The header's checksum is to be made anew.
    pub changed: bool,
}

/// What is wrong: where, counted from the first byte of the IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem(pub u8);

/// Whether there may be an option that needs a [`Filling`]; says so too often, but never too seldom.
pub fn may_record(options: &[u8]) -> bool {
    options.iter().any(|byte| matches!(*byte, kind::RECORD_ROUTE | kind::TIMESTAMP))
}

/// Checks `options`, what follows the fixed header up to the header's end, and fills in what they ask for. `is_ours`
/// tells whether an address is one of this router's.
pub fn receive(options: &mut [u8], filling: &Filling, is_ours: impl Fn([u8; 4]) -> bool) -> Result<Seen, Problem> {
    let mut walk = Walk { filling, is_ours, seen: Seen::default(), has_route: false, has_stamp: false };
    let mut at = 0;
    while let Some(&kind) = options.get(at) {
        let fail = |offset: usize| Problem((HEADER_LEN + at + offset) as u8);
        match kind {
            kind::NOP => at += 1,
            kind::END => {
                let rest = &mut options[at..];
                walk.seen.changed |= rest.iter().any(|byte| *byte != kind::END);
                rest.fill(kind::END);
                break;
            }
            _ => {
                let length = usize::from(*options.get(at + 1).ok_or(fail(0))?);
                let option = options.get_mut(at..at + length).filter(|option| option.len() >= 2).ok_or(fail(0))?;
                walk.option(option).map_err(fail)?;
                at += length;
            }
        }
    }
    Ok(walk.seen)
}

struct Walk<'a, F> {
    filling: &'a Filling,
    is_ours: F,
    seen: Seen,
    has_route: bool,
    has_stamp: bool,
}

impl<F: Fn([u8; 4]) -> bool> Walk<'_, F> {
    /// `option` from its type to its end. An error is an offset in it.
    fn option(&mut self, option: &mut [u8]) -> Result<(), usize> {
        match option[0] {
            kind::LOOSE_SOURCE_ROUTE | kind::STRICT_SOURCE_ROUTE => self.source_route(option),
            kind::RECORD_ROUTE => self.record_route(option),
            kind::TIMESTAMP => self.timestamp(option),
            kind::ROUTER_ALERT if option.len() < 4 => Err(1),
            _ => Ok(()),
        }
    }

    fn source_route(&mut self, option: &[u8]) -> Result<(), usize> {
        match *option {
            [_, _] => Err(1),
            [_, _, pointer, ..] if pointer < 4 => Err(2),
            _ if self.seen.source_route => Err(0),
            _ => {
                self.seen.source_route = true;
                Ok(())
            }
        }
    }

    fn record_route(&mut self, option: &mut [u8]) -> Result<(), usize> {
        if std::mem::replace(&mut self.has_route, true) {
            return Err(0);
        }
        let pointer = usize::from(*option.get(2).ok_or(1usize)?);
        if pointer < 4 {
            return Err(2);
        }
        if pointer <= option.len() {
            self.write(option, pointer, self.filling.route)?;
            option[2] += 4;
        }
        Ok(())
    }

    fn timestamp(&mut self, option: &mut [u8]) -> Result<(), usize> {
        if std::mem::replace(&mut self.has_stamp, true) {
            return Err(0);
        }
        let [_, _, pointer, flags, ..] = *option else { return Err(1) };
        let is_full = usize::from(pointer) > option.len();
        match flags & 15 {
            _ if pointer < 5 => Err(2),
            // a host that is asked by name and not reached is not counted
            stamp::PRESPECIFIED if is_full => Ok(()),
            _ if is_full => self.overflow(option, flags),
            _ => self.stamp(option, pointer.into(), flags & 15),
        }
    }

    /// One more router without room for its time.
    fn overflow(&mut self, option: &mut [u8], flags: u8) -> Result<(), usize> {
        option[3] = flags.checked_add(0x10).ok_or(3usize)?;
        self.seen.changed = true;
        Ok(())
    }

    fn stamp(&mut self, option: &mut [u8], pointer: usize, flag: u8) -> Result<(), usize> {
        let Filling { address, time, .. } = *self.filling;
        if pointer + 3 > option.len() {
            return Err(2);
        }
        match flag {
            stamp::TIME => {
                self.write(option, pointer, time)?;
                option[2] += 4;
            }
            stamp::ADDRESS_AND_TIME => {
                self.write(option, pointer + 4, time)?;
                self.write(option, pointer, address)?;
                option[2] += 8;
            }
            stamp::PRESPECIFIED => {
                let asked = option.get(pointer - 1..pointer + 7).and_then(|room| room.first_chunk()).ok_or(2usize)?;
                if (self.is_ours)(*asked) {
                    self.write(option, pointer + 4, time)?;
                    option[2] += 8;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Four bytes at a pointer as options count: from 1.
    fn write(&mut self, option: &mut [u8], pointer: usize, bytes: [u8; 4]) -> Result<(), usize> {
        option.get_mut(pointer - 1..pointer + 3).ok_or(2usize)?.copy_from_slice(&bytes);
        self.seen.changed = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::hex;
    use proptest::prelude::*;

    const FILLING: Filling = Filling { route: [192, 0, 2, 100], address: [10, 10, 0, 1], time: [4, 0x94, 0x14, 0xd3] };
    const UNCHANGED: Seen = Seen { source_route: false, changed: false };
    const CHANGED: Seen = Seen { source_route: false, changed: true };

    fn run(options: &str) -> (Result<Seen, Problem>, Vec<u8>) {
        let mut bytes = hex(options);
        (receive(&mut bytes, &FILLING, |address| address == [192, 0, 2, 1]), bytes)
    }

    #[test]
    fn recorded_options_become_what_was_recorded() {
        for (before, after, seen) in [
            ("01010100", "01010100", UNCHANGED),
            ("070b04000000000000000000", "070b08c00002640000000000", CHANGED),
            ("070708c000020900", "070708c000020900", UNCHANGED),
            ("440c05000000000000000000", "440c0900049414d300000000", CHANGED),
            ("94040000", "94040000", UNCHANGED),
            ("820b00000000000000000000", "820b00000000000000000000", UNCHANGED),
            ("5e040102", "5e040102", UNCHANGED),
        ] {
            assert_eq!(run(before), (Ok(seen), hex(after)), "{before}");
        }
        assert_eq!(run("07280400").0, Err(Problem(20)));
    }

    #[test]
    fn source_routes_are_seen_however_far_they_got() {
        for route in ["830708c000026300", "830704c000026300", "890704c000026300"] {
            assert!(run(route).0.unwrap().source_route);
        }
    }

    #[test]
    fn timestamps_with_addresses_and_overflows_are_filled_in() {
        assert_eq!(run("440c050100000000 00000000").1, hex("440c0d010a0a0001 049414d3"));
        assert_eq!(run("440c0503c0000201 00000000").1, hex("440c0d03c0000201 049414d3"));
        assert_eq!(run("440c0503c0000202 00000000"), (Ok(UNCHANGED), hex("440c0503c0000202 00000000")));
        assert_eq!(run("44080910 04941400"), (Ok(CHANGED), hex("44080920 04941400")));
        assert_eq!(run("440809f3 04941400").0, Ok(UNCHANGED));
        assert_eq!(run("440809f0 04941400").0, Err(Problem(23)));
    }

    #[test]
    fn behind_the_end_there_is_nothing() {
        assert_eq!(run("0100070b"), (Ok(CHANGED), hex("01000000")));
        assert_eq!(run("00000000"), (Ok(UNCHANGED), hex("00000000")));
    }

    #[test]
    fn problems_are_pointed_at() {
        for (options, at) in [
            ("01010107", 23),
            ("07010000", 20),
            ("83020100", 21),
            ("83030300", 22),
            ("8303048303040000", 23),
            ("07020000", 21),
            ("0703030000000000", 22),
            ("0705040000000000", 22),
            ("0703040703040000", 23),
            ("4403050000000000", 21),
            ("4404040000000000", 22),
            ("4406050000000000", 22),
            ("4408050100000000", 22),
            ("4408050300000000", 22),
            ("4404050044040500", 24),
            ("94030000", 21),
        ] {
            assert_eq!(run(options).0, Err(Problem(at)), "{options}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived_and_what_is_not_recording_stays(options in prop::collection::vec(any::<u8>(), 0..=40)) {
            let mut after = options.clone();
            let seen = receive(&mut after, &FILLING, |_| true);
            if !may_record(&options) && !options.contains(&kind::END) {
                prop_assert_eq!(&after, &options);
            }
            if let Ok(seen) = seen {
                prop_assert!(seen.changed || after == options);
            }
        }

        #[test]
        fn a_record_route_is_filled_address_by_address(hops in 1..10usize) {
            let mut option = vec![0; 3 + 4 * hops];
            option[..3].copy_from_slice(&[kind::RECORD_ROUTE, (3 + 4 * hops) as u8, 4]);
            for hop in 0..hops + 2 {
                let filling = Filling { route: [hop as u8 + 1; 4], ..FILLING };
                prop_assert_eq!(receive(&mut option, &filling, |_| false).map(|seen| seen.changed), Ok(hop < hops));
            }
            let expected: Vec<u8> = (1..=hops as u8).flat_map(|hop| [hop; 4]).collect();
            prop_assert_eq!(&option[3..], &expected[..]);
        }
    }
}

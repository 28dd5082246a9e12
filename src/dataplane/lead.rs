//! How many packets a burst's stages are ahead of each other: as many as suit the memory of the machine, found out by trying.
//!
//! Too few, and packets wait for their connections; too many, and what was fetched is gone before it is needed, or was not fetched
//! at all. What is right for one machine takes 1.6 times as long on another (docs/performance.md), and at another hour. So a worker
//! that is busy tries each for some polls in turn, goes by the quickest, and does so again after a while, as connections and
//! neighbours come and go.

/// What is tried. With the last, half of a full burst is through a stage before the next begins.
pub const LEADS: [usize; 3] = [8, 16, 32];

/// Where it begins.
pub const DEFAULT: usize = 16;

/// A poll with fewer packets says little: with as many as one lead, all leads are the same.
const PACKETS_MIN: usize = 32;
/// Polls that each is tried for. Their first quartile counts, which knows nothing of interruptions.
const SAMPLES: usize = 64;
/// Polls before it is tried for the first time, and from then on: trying is three polls in a thousand.
const FIRST: u32 = 1000;
const KEPT: u32 = 65_536;

/// A worker's search for the best lead.
#[derive(Debug)]
pub struct Lead {
    /// Polls until it is tried again.
    left: u32,
    /// Polls of this trial so far.
    tried: usize,
    /// What a packet took, by lead.
    times: [[u64; SAMPLES]; LEADS.len()],
}

impl Default for Lead {
    fn default() -> Self {
        Self { left: FIRST, tried: 0, times: [[0; SAMPLES]; LEADS.len()] }
    }
}

impl Lead {
    /// A poll of so many packets is over, in `ns`. The lead from now on, if it is another one.
    #[inline(always)]
    pub fn polled(&mut self, ns: u64, packets: usize) -> Option<usize> {
        if packets < PACKETS_MIN {
            return None;
        }
        if self.left > 1 {
            self.left -= 1;
            return None;
        }
        Some(self.polled_in_trial(ns, packets as u64))
    }

    #[cold]
    fn polled_in_trial(&mut self, ns: u64, packets: u64) -> usize {
        if self.left == 1 {
            (self.left, self.tried) = (0, 0);
            return LEADS[turn(0)];
        }
        // finer than a nanosecond
        self.times[turn(self.tried)][self.tried / LEADS.len() % SAMPLES] = ns.saturating_mul(1000) / packets.max(1);
        self.tried += 1;
        if self.tried < SAMPLES * LEADS.len() {
            return LEADS[turn(self.tried)];
        }
        self.left = KEPT;
        let quartiles = self.times.each_mut().map(|times| *times.select_nth_unstable(SAMPLES / 4).1);
        LEADS.into_iter().zip(quartiles).min_by_key(|(_, quartile)| *quartile).map_or(DEFAULT, |(lead, _)| lead)
    }
}

/// Which lead's turn it is: each has one in three, but what happens every third poll, or second, does not always meet the same.
fn turn(poll: usize) -> usize {
    (poll + poll / LEADS.len()) % LEADS.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Full polls, each of which takes `ns` by the lead that it is made with and its number; the lead in the end, and how many
    /// polls were made with another one.
    fn play(lead: &mut Lead, mut current: usize, polls: usize, ns: impl Fn(usize, usize) -> u64) -> (usize, usize) {
        let mut made = vec![];
        for poll in 0..polls {
            made.push(current);
            current = lead.polled(ns(current, poll), 64).unwrap_or(current);
        }
        (current, made.iter().filter(|one| **one != current).count())
    }

    #[test]
    fn the_quickest_is_found_whatever_comes_in_between_and_again_when_it_changes() {
        let mut lead = Lead::default();
        let interrupted = |poll: usize| if poll.is_multiple_of(3) { 50_000 } else { 0 };
        let long_is_good = |lead: usize, poll: usize| 2000 - 10 * lead as u64 + interrupted(poll);
        assert_eq!(play(&mut lead, DEFAULT, 2000, long_is_good).0, 32);
        let short_is_good = |lead: usize, poll: usize| 1000 + 10 * lead as u64 + interrupted(poll);
        let (found, others) = play(&mut lead, 32, 70_000, short_is_good);
        assert_eq!(found, 8);
        assert!(others > 60_000, "it is kept for long");
        let middle_is_good = |lead: usize, _| if lead == 16 { 900 } else { 1000 };
        assert_eq!(play(&mut lead, 8, 70_000, middle_is_good).0, 16);
        let (found, others) = play(&mut lead, 16, 50_000, |_, _| 1000);
        assert_eq!((found, others), (16, 0), "nothing is tried meanwhile");
    }

    #[test]
    fn small_polls_are_asked_nothing() {
        let mut lead = Lead::default();
        for _ in 0..100_000 {
            assert_eq!(lead.polled(1000, PACKETS_MIN - 1), None);
        }
        assert_eq!(lead.left, FIRST);
        play(&mut lead, DEFAULT, FIRST as usize + 10, |_, _| 1000);
        let tried = lead.tried;
        assert_eq!((lead.polled(1, 8), lead.tried), (None, tried), "nor while it is tried");
    }
}

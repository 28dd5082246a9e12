//! What workers tell each other of their connections: a sheet each, which its worker alone writes and all others read.
//!
//! A sheet has a word for every destination, and a log of which words have changed. A reader goes over the log from where
//! it was, and looks at the words; the log only says where to look, so looking twice does no harm. A reader that the log
//! has overtaken looks at all words instead. Nobody waits for anybody, and no line is written but by its owner.

use super::sync::{AtomicU32, AtomicU64, Ordering};
use arrayvec::ArrayVec;
use crossbeam_utils::CachePadded;
use std::sync::Arc;

/// Changes that are told, or looked at, at once: a few microseconds.
pub const BATCH_MAX: usize = if cfg!(loom) { 1 } else { 128 };

/// Entries of a log: many milliseconds of changes at millions of connections a second.
const LOG_LEN: usize = 65_536;

/// A destination, and its word.
pub type Change = (u32, u64);

/// What one worker tells.
#[derive(Debug)]
pub struct Sheet {
    words: Box<[AtomicU64]>,
    log: Box<[AtomicU32]>,
    /// How many entries the log has had.
    written: CachePadded<AtomicU64>,
}

impl Sheet {
    /// For `len` destinations, of all of which the word is 0.
    pub fn new(len: usize) -> Self {
        Self::with_log(len, LOG_LEN)
    }

    fn with_log(len: usize, log_len: usize) -> Self {
        let written = CachePadded::new(AtomicU64::new(0));
        let log = std::iter::repeat_with(|| AtomicU32::new(0)).take(log_len).collect();
        Self { words: std::iter::repeat_with(|| AtomicU64::new(0)).take(len).collect(), log, written }
    }

    fn entry(&self, number: u64) -> &AtomicU32 {
        &self.log[(number % self.log.len() as u64) as usize]
    }

    fn word(&self, id: u32) -> u64 {
        self.words.get(id as usize).map_or(0, |word| word.load(Ordering::Relaxed))
    }
}

/// Writes a sheet. There is one.
#[derive(Debug)]
pub struct Pen {
    sheet: Arc<Sheet>,
    written: u64,
}

impl Pen {
    /// `sheet` has no other pen.
    pub fn new(sheet: Arc<Sheet>) -> Self {
        Self { sheet, written: 0 }
    }

    /// Tells of changes. Destinations beyond the sheet are left out.
    pub fn write(&mut self, changes: &ArrayVec<Change, BATCH_MAX>) {
        for &(id, word) in changes {
            let Some(place) = self.sheet.words.get(id as usize) else { continue };
            place.store(word, Ordering::Relaxed);
            // release: whoever reads an entry of this batch in place of an older one then sees that the log has come round
            self.sheet.entry(self.written).store(id, Ordering::Release);
            self.written += 1;
        }
        self.sheet.written.store(self.written, Ordering::Release);
    }
}

/// Reads another worker's sheet.
#[derive(Debug)]
pub struct Reader {
    sheet: Arc<Sheet>,
    read: u64,
    /// Overtaken: all words are looked at, the one at this place next.
    all_from: Option<u32>,
}

impl Reader {
    pub fn new(sheet: Arc<Sheet>) -> Self {
        Self { sheet, read: 0, all_from: None }
    }

    /// Looks at up to `limit` words that may have changed. False: for now that was all.
    pub fn read(&mut self, limit: usize, mut look: impl FnMut(Change)) -> bool {
        if let Some(from) = self.all_from {
            let end = self.sheet.words.len().min(from as usize + limit) as u32;
            (from..end).for_each(|id| look((id, self.sheet.word(id))));
            self.all_from = ((end as usize) < self.sheet.words.len()).then_some(end);
            return true;
        }
        let written = self.sheet.written.load(Ordering::Acquire);
        let end = written.min(self.read + limit as u64);
        for number in self.read..end {
            let id = self.sheet.entry(number).load(Ordering::Acquire);
            look((id, self.sheet.word(id)));
        }
        // acquire: what was told up to here is seen when all words are looked at
        let written = self.sheet.written.load(Ordering::Acquire);
        // the batch after `written` may be being written, over entries that were taken for others
        let is_overtaken = written + BATCH_MAX as u64 > self.read + self.sheet.log.len() as u64;
        (self.read, self.all_from) = if is_overtaken { (written, Some(0)) } else { (end, None) };
        is_overtaken || end < written
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(pen: &mut Pen, changes: impl IntoIterator<Item = Change>) {
        pen.write(&changes.into_iter().collect());
    }

    #[test]
    fn what_is_told_is_read_once_and_by_everybody() {
        let sheet = Arc::new(Sheet::new(10));
        let mut pen = Pen::new(sheet.clone());
        let mut readers = [Reader::new(sheet.clone()), Reader::new(sheet)];
        told(&mut pen, [(3, 7), (9, 1), (10, 5)]);
        for reader in &mut readers {
            let mut seen = vec![];
            assert!(!reader.read(100, |change| seen.push(change)));
            assert_eq!(seen, [(3, 7), (9, 1)], "and nothing of what lies beyond the sheet");
            assert!(!reader.read(100, |change| panic!("{change:?} is no news")));
        }
    }

    #[test]
    fn a_reader_that_was_overtaken_looks_at_everything() {
        let sheet = Arc::new(Sheet::with_log(300, 256));
        let (mut pen, mut reader) = (Pen::new(sheet.clone()), Reader::new(sheet));
        for round in 0..4 {
            told(&mut pen, (0..100).map(|i| (round * 70 + i, u64::from(round) + 1)));
        }
        let mut seen = vec![0; 300];
        let mut turns = 0;
        while reader.read(50, |(id, word)| seen[id as usize] = word) {
            turns += 1;
        }
        assert!(turns >= 6, "in parts");
        let expected: Vec<u64> = (0..300).map(|id| (id / 70 + 1).min(4)).collect();
        assert_eq!(seen, expected);
    }

    proptest! {
        #[test]
        fn in_the_end_a_reader_knows_every_word(
            batches in prop::collection::vec((prop::collection::vec((0..40u32, any::<u64>()), 0..100), 0..60usize), 0..30),
        ) {
            let sheet = Arc::new(Sheet::with_log(40, 256));
            let (mut pen, mut reader) = (Pen::new(sheet.clone()), Reader::new(sheet));
            let (mut wrote, mut knows) = ([0; 40], [0; 40]);
            for (batch, read) in batches {
                batch.iter().for_each(|&(id, word)| wrote[id as usize] = word);
                told(&mut pen, batch);
                reader.read(read, |(id, word)| knows[id as usize] = word);
            }
            while reader.read(7, |(id, word)| knows[id as usize] = word) {}
            prop_assert_eq!(knows, wrote);
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::thread;

    #[test]
    fn a_reader_misses_no_word_whatever_the_order_of_events() {
        loom::model(|| {
            let sheet = Arc::new(Sheet::with_log(3, 3));
            let (mut pen, mut reader) = (Pen::new(sheet.clone()), Reader::new(sheet));
            let writer = thread::spawn(move || {
                for change in [(0, 1), (1, 2), (2, 3), (0, 4)] {
                    pen.write(&ArrayVec::from([change]));
                }
            });
            let mut knows = [0; 3];
            reader.read(2, |(id, word)| knows[id as usize] = word);
            writer.join().unwrap();
            while reader.read(2, |(id, word)| knows[id as usize] = word) {}
            assert_eq!(knows, [4, 2, 3]);
        });
    }
}

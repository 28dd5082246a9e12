//! What a worker knows of the connections that the other workers have, so that they schedule as one.
//!
//! Twice a millisecond a worker tells the others which of its counts have changed, and learns which of theirs have: a
//! bounded number of destinations between two bursts. In the meantime it does not decide as if the others stood still,
//! or all would send their new connections to the same destination until they hear of each other: what its own count of a
//! destination has grown by since the turn before last, it takes the others' to have grown by as well. So of the room
//! that a destination has each of so many workers fills its part, and together they never overshoot, whichever of them
//! the connections come to; what is left of the room they fill in the next turns.

use crate::model::limits::DESTINATIONS_MAX;
use crate::model::{DestId, Time, WorkerId};
use crate::tables::tally::{BATCH_MAX, Pen, Reader, Sheet};
use arrayvec::ArrayVec;
use std::sync::Arc;

/// So that what a worker goes by is never older than a millisecond: told within this time, and heard within this time.
const TURN_NS: u64 = 500_000;

/// What the workers of one director share.
#[derive(Debug)]
pub struct Board {
    sheets: Vec<Arc<Sheet>>,
}

impl Board {
    pub fn new(workers: usize) -> Arc<Self> {
        let sheet = || Arc::new(Sheet::new(DESTINATIONS_MAX));
        Arc::new(Self { sheets: std::iter::repeat_with(sheet).take(workers).collect() })
    }
}

/// A worker's counts of one destination, and whether it holds it overloaded, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    pub active: u32,
    pub inactive: u32,
    pub overloaded: bool,
}

/// The bit above both counts. (A worker has less than 2^31 connections, as an entry takes 64 bytes.)
const OVERLOADED: u64 = 1 << 63;

impl Count {
    fn word(self) -> u64 {
        let counts = u64::from(self.active) << 32 | u64::from(self.inactive);
        if self.overloaded { counts | OVERLOADED } else { counts }
    }
}

/// Words add up as their counts do, as long as these fit.
fn counts(word: u64) -> u64 {
    word & !OVERLOADED
}

fn split(counts: u64) -> [u32; 2] {
    [(counts >> 32) as u32, counts as u32]
}

/// What is known of one destination.
#[derive(Clone, Copy, Debug, Default)]
struct View {
    /// The others' counts, added up.
    others: u64,
    /// The word the others know.
    told: u64,
    /// This worker's own counts at the last turn and at the one before.
    marks: [u64; 2],
    /// How many others are expected to do as this worker does.
    others_alike: u32,
    is_hot: bool,
}

/// What another worker has told of a destination.
#[derive(Clone, Copy, Debug)]
pub struct News {
    pub dest: DestId,
    /// It holds it overloaded since, or no longer.
    pub flip: Option<bool>,
}

pub type Changed = ArrayVec<DestId, BATCH_MAX>;
pub type Heard = ArrayVec<News, BATCH_MAX>;

/// One worker's side.
#[derive(Debug)]
pub struct Peers {
    pen: Pen,
    others: Vec<Other>,
    views: Vec<View>,
    /// Destinations whose own counts have changed since the turn before last.
    hot: Vec<DestId>,
    /// How far through them this turn is, and how many are left of it.
    at: usize,
    left: usize,
    /// The one that is read next.
    reading: usize,
    is_reading: bool,
    turn: Time,
}

#[derive(Debug)]
struct Other {
    reader: Reader,
    /// What has been heard, by destination.
    heard: Vec<u64>,
}

impl Peers {
    pub fn new(board: &Board, worker: WorkerId) -> Self {
        let others = board.sheets.iter().enumerate().filter(|(number, _)| *number != worker.index());
        let other = |(_, sheet): (usize, &Arc<Sheet>)| Other { reader: Reader::new(sheet.clone()), heard: Vec::new() };
        Self {
            pen: Pen::new(board.sheets[worker.index()].clone()),
            others: others.map(other).collect(),
            views: Vec::new(),
            hot: Vec::new(),
            at: 0,
            left: 0,
            reading: 0,
            is_reading: false,
            turn: Time(0),
        }
    }

    /// There are destinations with ids up to here.
    pub fn extend(&mut self, len: usize) {
        if self.views.len() < len {
            self.views.resize(len, View::default());
        }
    }

    /// From now on others go by this destination's counts. (They expect nothing of each other in a strict service, which
    /// has one worker.)
    pub fn begin(&mut self, id: DestId, own: Count, strict: bool) {
        let others = self.others.len() as u32;
        if let Some(view) = self.views.get_mut(id.index()) {
            view.others_alike = if strict { 0 } else { others };
            view.marks = [counts(own.word()); 2];
        }
        self.touch(id);
    }

    /// This worker's count of the destination changes, or is to be told to others.
    #[inline]
    pub fn touch(&mut self, id: DestId) {
        if let Some(view) = self.views.get_mut(id.index())
            && !view.is_hot
        {
            view.is_hot = true;
            self.hot.push(id);
        }
    }

    /// Active and inactive connections of the others, as far as they have told.
    pub fn told(&self, id: DestId) -> [u32; 2] {
        self.views.get(id.index()).map_or([0; 2], |view| split(view.others))
    }

    /// The same, and what they are expected to have got since, when this worker has `own`.
    #[inline]
    pub fn expected(&self, id: DestId, own: [u32; 2]) -> [u32; 2] {
        let Some(view) = self.views.get(id.index()) else { return [0; 2] };
        let (told, before) = (split(view.others), split(view.marks[1]));
        let growth = |kind: usize| own[kind].saturating_sub(before[kind]).saturating_mul(view.others_alike);
        [0, 1].map(|kind| told[kind].saturating_add(growth(kind)))
    }

    /// Whether there is something to tell or to hear. Begins a turn when it is time.
    #[inline]
    pub fn is_due(&mut self, now: Time) -> bool {
        if self.left == 0 && !self.is_reading && now.since(self.turn) >= TURN_NS {
            self.turn = now;
            (self.at, self.left, self.is_reading) = (0, self.hot.len(), true);
        }
        self.left > 0 || self.is_reading
    }

    /// Tells some of what has changed; the destinations of which the expected counts are other ones now.
    pub fn tell(&mut self, own: impl Fn(DestId) -> Count) -> Changed {
        let (mut changes, mut changed) = (ArrayVec::<_, BATCH_MAX>::new(), Changed::new());
        for _ in 0..self.left.min(BATCH_MAX) {
            self.left -= 1;
            let Some(&id) = self.hot.get(self.at) else { break };
            let view = &mut self.views[id.index()];
            let word = own(id).word();
            if word != view.told {
                view.told = word;
                changes.push((id.0, word));
            }
            let before = view.marks[1];
            view.marks = [counts(word), view.marks[0]];
            if view.marks[1] != before {
                changed.push(id);
            }
            if view.marks == [counts(word); 2] {
                view.is_hot = false;
                self.hot.swap_remove(self.at);
            } else {
                self.at += 1;
            }
        }
        if !changes.is_empty() {
            self.pen.write(&changes);
        }
        changed
    }

    /// Hears some of what the others have told.
    pub fn hear(&mut self) -> Heard {
        let mut heard = Heard::new();
        let mut limit = BATCH_MAX;
        while limit > 0 && self.is_reading {
            limit = self.hear_one(limit, &mut heard);
        }
        heard
    }

    /// What is left of `limit`.
    fn hear_one(&mut self, limit: usize, heard: &mut Heard) -> usize {
        let Self { others, views, .. } = self;
        let Some(Other { reader, heard: words }) = others.get_mut(self.reading) else {
            (self.reading, self.is_reading) = (0, false);
            return limit;
        };
        let mut left = limit;
        let has_more = reader.read(limit, |(id, word)| {
            left = left.saturating_sub(1);
            let index = id as usize;
            if views.len() <= index {
                views.resize(index + 1, View::default());
            }
            if words.len() <= index {
                words.resize(index + 1, 0);
            }
            let before = std::mem::replace(&mut words[index], word);
            if before != word {
                views[index].others = views[index].others.wrapping_add(counts(word)).wrapping_sub(counts(before));
                let flip = ((before ^ word) & OVERLOADED != 0).then_some(word & OVERLOADED != 0);
                // room: there are no more than `limit`
                let _ = heard.try_push(News { dest: DestId(id), flip });
            }
        });
        if !has_more {
            self.reading += 1;
        } else if left == limit {
            // overtaken, and nothing looked at: it goes on with all words
            left = 0;
        }
        left
    }
}

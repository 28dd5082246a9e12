//! Frames against an oracle: whatever is done to a chain of mbufs, it holds the bytes that vectors would.

use super::*;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseResult, TestRunner};

#[derive(Debug, Clone)]
enum Operation {
    Prepend(usize),
    TrimFront(usize),
    Truncate(usize),
    Extend(usize),
    Pull(usize),
    /// A tail of segments of these lengths.
    Chain(Vec<usize>),
    Overwrite(u8),
    CopyOut(usize, usize),
}

fn operation() -> impl Strategy<Value = Operation> {
    let size = prop_oneof![0..5_usize, 0..200_usize, 0..2500_usize, Just(HEADROOM), Just(BUFFER - HEADROOM)];
    prop_oneof![
        (0..160_usize).prop_map(Operation::Prepend),
        size.clone().prop_map(Operation::TrimFront),
        (0..6000_usize).prop_map(Operation::Truncate),
        size.clone().prop_map(Operation::Extend),
        size.clone().prop_map(Operation::Pull),
        prop::collection::vec(size, 0..4).prop_map(Operation::Chain),
        any::<u8>().prop_map(Operation::Overwrite),
        (0..6000_usize, 0..3000_usize).prop_map(|(offset, length)| Operation::CopyOut(offset, length)),
    ]
}

/// The oracle: segments as (offset in the buffer, bytes), every operation in its most naive form.
#[derive(Clone)]
pub struct Model(Vec<(usize, Vec<u8>)>);

impl Model {
    pub fn bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|(_, bytes)| bytes.clone()).collect()
    }

    fn prepend(&mut self, n: usize) -> bool {
        let (offset, bytes) = &mut self.0[0];
        let fits = n <= *offset;
        if fits {
            *offset -= n;
            bytes.splice(0..0, vec![0xa5; n]);
        }
        fits
    }

    fn trim_front(&mut self, n: usize) {
        self.0[0].0 += n;
        self.0[0].1.drain(..n);
    }

    fn truncate(&mut self, mut length: usize) {
        if length >= self.bytes().len() {
            return;
        }
        let mut kept = 0;
        for (_, bytes) in &mut self.0 {
            kept += 1;
            if length <= bytes.len() {
                bytes.truncate(length);
                break;
            }
            length -= bytes.len();
        }
        self.0.truncate(kept);
    }

    fn extend(&mut self, more: &[u8]) -> bool {
        let (offset, bytes) = self.0.last_mut().unwrap();
        let fits = *offset + bytes.len() + more.len() <= BUFFER;
        if fits {
            bytes.extend(more);
        }
        fits
    }

    fn pull(&mut self, n: usize) -> bool {
        if n <= self.0[0].1.len() {
            return true;
        }
        if n > self.bytes().len() || n > BUFFER {
            return false;
        }
        self.0[0].0 = self.0[0].0.min(BUFFER - n);
        while self.0[0].1.len() < n {
            let missing = n - self.0[0].1.len();
            let (offset, second) = &mut self.0[1];
            let taken: Vec<u8> = second.drain(..missing.min(second.len())).collect();
            *offset += taken.len();
            if second.is_empty() {
                self.0.remove(1);
            }
            self.0[0].1.extend(taken);
        }
        true
    }

    fn chain(&mut self, tail: Model) -> bool {
        if tail.bytes().is_empty() {
            return true;
        }
        let fits = self.0.len() + tail.0.len() <= SEGMENTS_MAX;
        if fits {
            self.0.extend(tail.0);
        }
        fits
    }
}

/// A chain of segments of these lengths, as a mbuf and as its model; never empty of segments.
pub fn tail_of(allocator: &mut impl FramePool<Frame = Mbuf>, lengths: &[usize]) -> (Mbuf, Model) {
    let mut frame = allocator.alloc().unwrap();
    let mut model = Model(vec![(HEADROOM, Vec::new())]);
    for (number, &length) in lengths.iter().enumerate() {
        let content = payload(number, length.min(BUFFER - HEADROOM));
        let (segment, twin) = (frame_of(allocator, &content), Model(vec![(HEADROOM, content)]));
        assert_eq!(frame.chain(segment).is_ok(), model.chain(twin));
    }
    (frame, model)
}

fn apply(
    operation: &Operation,
    frame: &mut Mbuf,
    model: &mut Model,
    allocator: &mut impl FramePool<Frame = Mbuf>,
) -> TestCaseResult {
    match operation {
        Operation::Prepend(n) => {
            let done = frame.prepend(*n);
            prop_assert_eq!(done, model.prepend(*n));
            if done {
                frame.head_mut()[..*n].fill(0xa5);
            }
        }
        Operation::TrimFront(n) => {
            let n = (*n).min(frame.head().len());
            frame.trim_front(n);
            model.trim_front(n);
        }
        Operation::Truncate(length) => {
            frame.truncate(*length);
            model.truncate(*length);
        }
        Operation::Extend(length) => {
            let more = payload(7, *length);
            prop_assert_eq!(frame.extend(&more), model.extend(&more));
        }
        Operation::Pull(n) => {
            prop_assert_eq!(frame.pull(*n), model.pull(*n));
        }
        Operation::Chain(lengths) => {
            let (tail, twin) = tail_of(allocator, lengths);
            prop_assert_eq!(frame.chain(tail).is_ok(), model.chain(twin));
        }
        Operation::Overwrite(byte) => {
            frame.head_mut().fill(*byte);
            model.0[0].1.fill(*byte);
        }
        Operation::CopyOut(offset, length) => {
            let mut out = vec![0xa5; *length];
            let whole = model.bytes();
            let expected = whole.get(*offset..offset + length);
            // Nothing asked for is there wherever it is asked for.
            prop_assert_eq!(frame.copy_out(*offset, &mut out), expected.is_some() || *length == 0);
            if let Some(expected) = expected {
                prop_assert_eq!(&out[..], expected);
            }
        }
    }
    Ok(())
}

pub fn frames_behave_like_vectors_of_bytes(eal: &Eal) {
    let pool = pool(eal);
    let mut runner = TestRunner::new(Config { cases: 500, failure_persistence: None, ..Config::default() });
    let operations = prop::collection::vec(operation(), 1..40);
    let result = runner.run(&operations, |operations| {
        let mut allocator = pool.allocator();
        let mut frame = allocator.alloc().unwrap();
        let mut model = Model(vec![(HEADROOM, Vec::new())]);
        for operation in &operations {
            apply(operation, &mut frame, &mut model, &mut allocator)?;
            prop_assert_eq!(frame.head(), &model.0[0].1[..]);
            prop_assert_eq!(frame.segment_count(), model.0.len());
            prop_assert_eq!(frame.segments().count(), model.0.len());
            prop_assert_eq!(frame.len(), model.bytes().len());
            prop_assert_eq!(bytes(&frame), model.bytes());
            frame.prefetch();
        }
        drop(frame);
        prop_assert_eq!(pool.in_use(), 0);
        Ok(())
    });
    result.unwrap();
    assert_eq!(pool.in_use(), 0);
}

//! The schedulers that decide by the moment alone and remember nothing: the destination with the least share takes the
//! connection, and what makes a share is all they differ in.

use super::ranking::{Measure, Standings};
use super::{Flow, Loads, Options, PlanError, Pool, Scheduler, Succession};
use std::marker::PhantomData;

/// A measure that is a scheduler.
pub trait Rule: Measure {
    /// As [`Scheduler::NAME`].
    const NAME: &'static str;
}

/// The scheduler of a measure.
#[derive(Debug)]
pub struct Least<M>(PhantomData<M>);

impl<M: Rule> Scheduler for Least<M> {
    const NAME: &'static str = M::NAME;
    type Plan = ();
    type Ranking = Standings<M>;

    fn plan(_: &Pool, _: Options) -> Result<(), PlanError> {
        Ok(())
    }

    fn new(_: &Pool, _: &()) -> Self {
        Self(PhantomData)
    }

    fn update(&mut self, _: Option<&Succession>, _: &()) {}

    #[inline]
    fn schedule<L: Loads>(&mut self, _: &Pool, _: &(), ranking: &Standings<M>, _: &L, _: &Flow) -> Option<usize> {
        ranking.first()
    }
}

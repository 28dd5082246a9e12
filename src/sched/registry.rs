//! The list of schedulers. A new one is a file and a line here; names, help and dispatch come from the line.

use super::least::Least;
use super::ranking::Ranking as _;
use super::{Candidate, Flow, Load, Loads, Options, Place, PlanError, Pool, Scheduler, Succession, Turns};
use crate::model::Time;

/// What is said of a scheduler where people choose one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub kind: SchedulerKind,
    pub name: &'static str,
    pub summary: &'static str,
}

macro_rules! schedulers {
    ($($kind:ident = $scheduler:ty: $summary:literal;)*) => {
        /// A scheduling algorithm by name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum SchedulerKind {
            $(#[doc = $summary] $kind,)*
        }

        /// In the order of ipvsadm's help.
        pub const REGISTRY: &[Entry] = &[
            $(Entry {
                kind: SchedulerKind::$kind,
                name: <$scheduler as Scheduler>::NAME,
                summary: $summary,
            },)*
        ];

        /// What the control thread prepares from a pool; shared by all workers.
        #[derive(Debug)]
        pub enum Plan {
            $($kind(<$scheduler as Scheduler>::Plan),)*
        }

        /// A worker's state for one service.
        #[derive(Debug)]
        pub enum State {
            $($kind($scheduler),)*
        }

        /// What a worker keeps ready of the loads of one service's destinations.
        #[derive(Debug)]
        pub enum Ranking {
            $($kind(<$scheduler as Scheduler>::Ranking),)*
        }

        impl Ranking {
            /// As [`ranking::Ranking::blank`](super::ranking::Ranking::blank).
            pub fn blank(kind: SchedulerKind, len: usize) -> Self {
                match kind {
                    $(SchedulerKind::$kind => Self::$kind(<$scheduler as Scheduler>::Ranking::blank(len)),)*
                }
            }

            /// For destinations with these loads, in list order.
            pub fn new(kind: SchedulerKind, loads: impl ExactSizeIterator<Item = Load>) -> Self {
                let mut ranking = Self::blank(kind, loads.len());
                loads.enumerate().for_each(|(position, load)| ranking.set(position, load));
                ranking
            }

            pub fn kind(&self) -> SchedulerKind {
                match self {
                    $(Self::$kind(_) => SchedulerKind::$kind,)*
                }
            }

            /// As [`ranking::Ranking::FOLLOWS_COUNTS`](super::ranking::Ranking::FOLLOWS_COUNTS).
            pub fn follows_counts(&self) -> bool {
                match self {
                    $(Self::$kind(_) => <$scheduler as Scheduler>::Ranking::FOLLOWS_COUNTS,)*
                }
            }

            /// As [`ranking::Ranking::set`](super::ranking::Ranking::set).
            #[inline]
            pub fn set(&mut self, position: usize, load: Load) {
                match self {
                    $(Self::$kind(ranking) => ranking.set(position, load),)*
                }
            }

            /// As [`ranking::Ranking::prefetch`](super::ranking::Ranking::prefetch).
            #[inline]
            pub fn prefetch(&self, position: usize) {
                match self {
                    $(Self::$kind(ranking) => ranking.prefetch(position),)*
                }
            }
        }

        impl Plan {
            pub fn make(kind: SchedulerKind, pool: &Pool, options: Options) -> Result<Self, PlanError> {
                Ok(match kind {
                    $(SchedulerKind::$kind => Self::$kind(<$scheduler as Scheduler>::plan(pool, options)?),)*
                })
            }

            pub fn kind(&self) -> SchedulerKind {
                match self {
                    $(Self::$kind(_) => SchedulerKind::$kind,)*
                }
            }

            /// As [`Scheduler::turns`].
            pub fn turns(&self) -> Option<&Turns> {
                match self {
                    $(Self::$kind(plan) => <$scheduler as Scheduler>::turns(plan),)*
                }
            }
        }

        impl SchedulerKind {
            /// As [`Scheduler::ASKS_COUNTS`].
            pub fn asks_counts(self) -> bool {
                match self {
                    $(Self::$kind => <$scheduler as Scheduler>::ASKS_COUNTS,)*
                }
            }
        }

        impl State {
            /// For a service the worker has not seen yet.
            pub fn new(pool: &Pool, plan: &Plan) -> Self {
                match plan {
                    $(Plan::$kind(plan) => Self::$kind(<$scheduler as Scheduler>::new(pool, plan)),)*
                }
            }

            fn take_over(pool: &Pool, plan: &Plan) -> Self {
                match plan {
                    $(Plan::$kind(plan) => Self::$kind(<$scheduler as Scheduler>::take_over(pool, plan)),)*
                }
            }

            pub fn kind(&self) -> SchedulerKind {
                match self {
                    $(Self::$kind(_) => SchedulerKind::$kind,)*
                }
            }

            /// As [`Scheduler::update`]; another kind of scheduler begins afresh with `new`.
            pub fn update(&mut self, succession: Option<&Succession>, new: &Pool, plan: &Plan) {
                match (&mut *self, plan) {
                    $((Self::$kind(state), Plan::$kind(plan)) => state.update(succession, plan),)*
                    _ => *self = Self::take_over(new, plan),
                }
            }

            /// As [`Scheduler::depart`].
            pub fn depart(&mut self, candidate: &Candidate) {
                match self {
                    $(Self::$kind(state) => state.depart(candidate),)*
                }
            }

            /// As [`Scheduler::schedule`]. Nobody takes the connection when state, plan and ranking are of different
            /// kinds, which is a forgotten [`State::update`].
            #[inline]
            pub fn schedule<L: Loads>(
                &mut self,
                pool: &Pool,
                plan: &Plan,
                ranking: &Ranking,
                loads: &L,
                flow: &Flow,
            ) -> Option<usize> {
                match (self, plan, ranking) {
                    $((Self::$kind(state), Plan::$kind(plan), Ranking::$kind(ranking)) => {
                        state.schedule(pool, plan, ranking, loads, flow)
                    })*
                    _ => {
                        debug_assert!(false, "the state was not updated to the plan's scheduler");
                        None
                    }
                }
            }

            /// As [`Scheduler::place`].
            pub fn place(&self) -> Place {
                match self {
                    $(Self::$kind(state) => state.place(),)*
                }
            }

            /// As [`Scheduler::go_to`].
            pub fn go_to(&mut self, place: Place) {
                match self {
                    $(Self::$kind(state) => state.go_to(place),)*
                }
            }

            /// As [`Scheduler::set_shared`].
            pub fn set_shared(&mut self, shared: bool) {
                match self {
                    $(Self::$kind(state) => state.set_shared(shared),)*
                }
            }

            /// As [`Scheduler::tick`].
            #[inline]
            pub fn tick(&mut self, plan: &Plan, now: Time) {
                match (self, plan) {
                    $((Self::$kind(state), Plan::$kind(plan)) => state.tick(plan, now),)*
                    _ => debug_assert!(false, "the state was not updated to the plan's scheduler"),
                }
            }
        }
    };
}

schedulers! {
    Rr = super::rr::Rr: "round robin: one after the other";
    Wrr = super::wrr::Wrr: "weighted round robin: one after the other, as often as the weight says";
    Lc = Least<super::lc::Lc>: "least-connection: the fewest connections, active ones counting 256 times";
    Wlc = Least<super::wlc::Wlc>: "weighted least-connection: the fewest connections for its weight";
    Lblc = super::lblc::Lblc: "locality-based least-connection: one server for a destination address, for caches";
    Lblcr = super::lblcr::Lblcr: "locality-based least-connection with replication: a set of servers for an address";
    Dh = super::dh::Dh: "destination hashing: the server by the packet's destination address";
    Sh = super::sh::Sh: "source hashing: the server by the client's address (sh-port: and port)";
    Sed = Least<super::sed::Sed>: "shortest expected delay: the fewest active connections, plus this one, for its weight";
    Nq = Least<super::nq::Nq>: "never queue: an idle server if there is one, otherwise the shortest expected delay";
    Fo = Least<super::fo::Fo>: "weighted fail-over: the greatest weight takes all";
    Ovf = Least<super::ovf::Ovf>: "weighted overflow: the greatest weight, until it has more active connections than that";
    Mh = super::mh::Mh: "Maglev hashing: as source hashing, with few clients moved when servers come and go";
    Twos = super::twos::Twos: "power of two choices: the less loaded of two servers drawn by weight";
}

impl SchedulerKind {
    /// As in `ipvsadm -s`.
    pub fn name(self) -> &'static str {
        self.entry().name
    }

    /// One line for people.
    pub fn summary(self) -> &'static str {
        self.entry().summary
    }

    pub fn from_name(name: &str) -> Option<Self> {
        REGISTRY.iter().find(|entry| entry.name == name).map(|entry| entry.kind)
    }

    fn entry(self) -> &'static Entry {
        &REGISTRY[self as usize]
    }
}

/// IPVS's and ipvsadm's default.
impl Default for SchedulerKind {
    fn default() -> Self {
        Self::Wlc
    }
}

impl std::fmt::Display for SchedulerKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sched::testing::*;

    #[test]
    fn the_order_is_that_of_ipvsadms_help() {
        let names: Vec<_> = REGISTRY.iter().map(|entry| entry.name).collect();
        assert_eq!(names.join("|"), "rr|wrr|lc|wlc|lblc|lblcr|dh|sh|sed|nq|fo|ovf|mh|twos");
    }

    #[test]
    fn names_lead_to_their_kinds_and_back() {
        for entry in REGISTRY {
            assert_eq!(SchedulerKind::from_name(entry.name), Some(entry.kind));
            assert_eq!((entry.kind.name(), entry.kind.summary()), (entry.name, entry.summary));
        }
        assert_eq!((SchedulerKind::from_name("WLC"), SchedulerKind::default().name()), (None, "wlc"));
    }

    #[test]
    fn every_scheduler_serves_through_the_registry() {
        const COUNTED: [&str; 7] = ["lc", "wlc", "lblc", "lblcr", "sed", "nq", "ovf"];
        let pool = Pool::new(vec![candidate(0, 1)]);
        for entry in REGISTRY {
            let plan = Plan::make(entry.kind, &pool, Options::default()).expect("a plan");
            let mut state = State::new(&pool, &plan);
            assert_eq!((plan.kind(), state.kind()), (entry.kind, entry.kind));
            state.tick(&plan, Time::from_s(1));
            let loads = TestLoads::default();
            let ranking = Ranking::new(entry.kind, pool.loads(&loads));
            assert_eq!((ranking.kind(), ranking.follows_counts()), (entry.kind, COUNTED.contains(&entry.name)));
            assert_eq!(entry.kind.asks_counts(), ranking.follows_counts() || entry.name == "twos");
            assert_eq!(plan.turns().is_some(), ["rr", "wrr"].contains(&entry.name));
            assert_eq!(state.schedule(&pool, &plan, &ranking, &loads, &flow_from(1)), Some(0), "{}", entry.name);
        }
    }

    #[test]
    fn another_kind_of_scheduler_begins_afresh() {
        let pool = Pool::new(vec![candidate(0, 1), candidate(1, 3)]);
        let plan = |kind| Plan::make(kind, &pool, Options::default()).expect("a plan");
        let (rr, wrr) = (plan(SchedulerKind::Rr), plan(SchedulerKind::Wrr));
        let mut state = State::new(&pool, &rr);
        let loads = TestLoads::default();
        let pick = |state: &mut State, plan: &Plan| {
            let ranking = Ranking::new(plan.kind(), pool.loads(&loads));
            state.schedule(&pool, plan, &ranking, &loads, &flow_from(1))
        };
        assert_eq!(pick(&mut state, &rr), Some(0));
        state.update(None, &pool, &wrr);
        assert_eq!([pick(&mut state, &wrr), pick(&mut state, &wrr)], [Some(1), Some(1)]);
        state.update(None, &pool, &rr);
        assert_eq!(pick(&mut state, &rr), Some(0));
    }
}

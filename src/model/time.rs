//! Time as the director knows it: read once a burst by whoever drives it, passed on as an argument.

/// Nanoseconds since an arbitrary start; monotonic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Time(pub u64);

impl Time {
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms * 1_000_000)
    }
    pub const fn from_s(s: u64) -> Self {
        Self(s * 1_000_000_000)
    }
    pub const fn tick(self) -> Tick {
        Tick((self.0 / Tick::NS) as u32)
    }
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0 + ms * 1_000_000)
    }
}

/// Connection timers' unit: 10 ms, the granularity of a kernel with HZ=100. Wraps after 497 days, compared with
/// wrapping arithmetic, so that any timeout below 248 days is told from the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(transparent)]
pub struct Tick(pub u32);

impl Tick {
    pub const NS: u64 = 10_000_000;
    pub const PER_S: u32 = (1_000_000_000 / Self::NS) as u32;

    #[inline(always)]
    pub const fn plus(self, ticks: u32) -> Self {
        Self(self.0.wrapping_add(ticks))
    }
    /// Ticks from `earlier` to `self`, negative when `self` is the earlier one.
    #[inline(always)]
    pub const fn since(self, earlier: Self) -> i32 {
        self.0.wrapping_sub(earlier.0) as i32
    }
    #[inline(always)]
    pub const fn is_before(self, other: Self) -> bool {
        self.since(other) < 0
    }
}

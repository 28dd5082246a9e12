//! Time for the workers: the time stamp counter, read once a burst.
#![allow(unsafe_code)]

use super::eal::Eal;
use crate::dataplane::meter::Watch;
use crate::model::Time;

/// Counts nanoseconds since it was made. Copies agree.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: u64,
    /// Nanoseconds a tick, times 2³².
    scale: u64,
}

impl Clock {
    pub fn new(_eal: &Eal) -> Self {
        // SAFETY: EAL is up and has measured the counter.
        let hz = unsafe { dpdk_sys::px_tsc_hz() }.max(1);
        // a second in the past, so that no time is 0, which some counters take for "never"
        Self { start: ticks().wrapping_sub(hz), scale: ((1_000_000_000_u128 << 32) / u128::from(hz)) as u64 }
    }

    #[inline(always)]
    pub fn now(&self) -> Time {
        let passed = ticks().wrapping_sub(self.start);
        Time(((u128::from(passed) * u128::from(self.scale)) >> 32) as u64)
    }
}

impl Watch for Clock {
    #[inline(always)]
    fn now(&self) -> Time {
        Clock::now(self)
    }

    fn preemptions(&self) -> u64 {
        let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
        // SAFETY: the kernel fills in the structure it is given, whose bytes may also all be zero; it cannot refuse.
        let usage = unsafe {
            libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr());
            usage.assume_init()
        };
        usage.ru_nivcsw as u64
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn ticks() -> u64 {
    // SAFETY: every x86-64 processor has the instruction, and nothing forbids it to user programs.
    unsafe { std::arch::x86_64::_rdtsc() }
}

#[cfg(target_arch = "aarch64")]
#[inline(always)]
fn ticks() -> u64 {
    let ticks: u64;
    // SAFETY: reads the virtual counter, which Linux lets user programs do; it is what DPDK measures there.
    unsafe { std::arch::asm!("mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack)) };
    ticks
}

//! Atomics of the structures that several workers look at: the standard library's, or loom's when it tries out every
//! order of events (`scripts/test.sh loom`).

#[cfg(loom)]
pub use loom::sync::atomic::{AtomicU32, AtomicU64};
pub use std::sync::atomic::Ordering;
#[cfg(not(loom))]
pub use std::sync::atomic::{AtomicU32, AtomicU64};

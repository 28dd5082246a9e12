//! The nouns: ids, service, destination, forwarding method, drop reasons, limits, counters. No behaviour.
pub mod limits;

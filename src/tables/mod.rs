//! Single-writer structures: connection slab and table, timer wheel, service table, neighbours, routes, snapshot
//! publishing. No policy.
pub mod chunked;
pub mod connections;
pub mod histogram;
pub mod index;
pub mod lpm;
pub mod memory;
pub mod names;
pub mod neighbours;
pub mod place;
pub mod ring;
pub mod summaries;
pub mod sync;
pub mod tally;
pub mod wheel;

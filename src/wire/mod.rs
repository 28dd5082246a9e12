//! Protocols on the wire.
pub mod address;
pub mod parse;

//! Steering, whole: a configuration, several directors with rings between them, and what changes while packets flow.

mod changes;
mod lab;
mod owners;
mod plans;
mod touches;

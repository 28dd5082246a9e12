//! The part of DPDK that Pollux uses.

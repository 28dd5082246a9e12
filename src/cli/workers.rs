//! `pollux workers`: which worker has which part of the connections.

use super::{Failure, command};
use crate::control::api::{Rebalance, Request};
use clap::{Args, Subcommand};
use std::io::Write;
use std::path::Path;

/// Change which worker has which part of the connections.
#[derive(Debug, Subcommand)]
pub enum Workers {
    Rebalance(RebalanceArgs),
}

/// Move slots, and the connections in them, to other workers while traffic flows. Every connection belongs to one of 128
/// slots, every slot to one worker. Without options all workers get an equal share.
#[derive(Debug, Args)]
pub struct RebalanceArgs {
    /// Slots, as 0-31,64; without it all that the worker of --from has
    #[arg(long, value_name = "SLOTS", value_parser = slots)]
    slots: Option<Slots>,
    /// The worker they are taken off; without --to the others share them
    #[arg(long, value_name = "WORKER")]
    from: Option<u16>,
    /// The worker that gets them
    #[arg(long, value_name = "WORKER")]
    to: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Slots(Vec<u16>);

/// `0-31,64`.
fn slots(text: &str) -> Result<Slots, String> {
    let wrong = || format!("`{text}` is no list of slots; write it as 0-31,64");
    let number = |text: &str| text.parse::<u16>().ok().filter(|n| *n < 1000).ok_or_else(wrong);
    let mut slots = vec![];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        slots.extend(number(first)?..=number(last)?);
    }
    if slots.is_empty() { Err(wrong()) } else { Ok(Slots(slots)) }
}

impl Workers {
    pub fn execute(&self, socket: &Path, out: &mut dyn Write) -> Result<(), Failure> {
        let Self::Rebalance(RebalanceArgs { slots, from, to }) = self;
        let slots = slots.as_ref().map_or_else(Vec::new, |slots| slots.0.clone());
        let request = Request::Rebalance(Rebalance { slots, from: *from, to: *to });
        command(socket, &request, "nothing changed", out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_read_as_ranges_and_single_ones() {
        assert_eq!(slots("0-3,64"), Ok(Slots(vec![0, 1, 2, 3, 64])));
        for wrong in ["", "a", "3-1", "1-", "-1", "9999"] {
            assert!(slots(wrong).unwrap_err().contains("0-31,64"), "{wrong}");
        }
    }
}

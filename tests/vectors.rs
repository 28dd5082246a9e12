//! What Linux IPVS did, recorded in `tests/vectors/`, and what the director does: the vectors that pass must go on
//! passing. `cargo run --release --example ipvs_vectors -- tests/vectors` shows all, with what differs.

#[path = "../examples/ipvs_vectors/player/mod.rs"]
mod player;

use player::Outcome;
use std::path::Path;

/// One name a line; it only grows.
const PASSING: &str = include_str!("vectors/passing.txt");

#[test]
fn the_vectors_that_passed_go_on_passing() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let mut differences = Vec::new();
    for name in PASSING.lines() {
        match player::play_file(&folder.join(format!("{name}.json"))) {
            Outcome::Passed(notes) => notes.iter().for_each(|note| println!("{name}: {note}")),
            Outcome::Failed(difference) => differences.push(format!("{name}: {difference}")),
            Outcome::Skipped(reason) => differences.push(format!("{name} is skipped: {reason}")),
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(PASSING.lines().count() >= 80, "the list only grows");
}

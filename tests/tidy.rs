//! House rules that a machine can check. Every message says what to do about it.
//!
//! Rust sources are read with comments and strings blanked out where code is meant ([`source`]), so that a rule does not
//! trip over its own description.

#[path = "tidy/source.rs"]
mod source;

use pollux::model::DropReason;
use source::{Source, root, rust_files, text_files};
use std::collections::HashSet;

/// The folders of `src` from left to right; each imports only from its left.
const SPINE: [&str; 8] = ["wire", "model", "tables", "sched", "dataplane", "io", "control", "cli"];

/// `(file, folder it may import from although that stands to its right, why)`.
const IMPORT_EXCEPTIONS: &[(&str, &str, &str)] = &[];

/// Files that may say `unsafe`, and what for.
const UNSAFE_FILES: &[(&str, &str)] = &[
    ("src/cli/names.rs", "the C library's names of hosts and services"),
    ("src/dataplane/destinations/mod.rs", "vouches that zeroed counters are valid"),
    ("src/io/clock.rs", "reads the clock"),
    ("src/io/eal.rs", "DPDK"),
    ("src/io/log.rs", "DPDK"),
    ("src/io/mbuf.rs", "DPDK"),
    ("src/io/mempool.rs", "DPDK"),
    ("src/io/port.rs", "DPDK"),
    ("src/io/queue.rs", "DPDK"),
    ("src/tables/connections.rs", "vouches that zeroed entries are valid"),
    ("src/tables/index.rs", "vector instructions; vouches that zeroed buckets are valid"),
    ("src/tables/memory.rs", "mappings and prefetching"),
    ("src/tables/names.rs", "vouches that zeroed entries are valid"),
    ("src/tables/ring.rs", "items that cross between threads"),
    ("tests/allocations.rs", "an allocator that counts"),
];

/// Lines of a Rust file, tests and all.
const LINES_MAX: usize = 600;
/// `(file, its bound, why)`.
const LONGER_FILES: &[(&str, usize, &str)] = &[];

/// Reasons that no code gives yet: `(variant, why it is there)`.
const REASONS_TO_COME: &[(&str, &str)] = &[];

/// Fails with all of them at once.
#[track_caller]
fn none(problems: Vec<String>) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

fn folder(path: &str) -> Option<usize> {
    let folder = path.strip_prefix("src/")?.split('/').next()?;
    SPINE.iter().position(|&name| name == folder)
}

#[test]
fn folders_import_only_from_their_left() {
    let mut problems = vec![];
    let mut used = HashSet::new();
    for file in rust_files() {
        let Some(here) = folder(&file.path) else { continue };
        for (line, code) in file.product_code() {
            for name in source::after_each(&code, "crate::") {
                let Some(there) = SPINE.iter().position(|&folder| folder == name) else { continue };
                let is_listed = |&&(path, folder, _): &&(&str, &str, &str)| path == file.path && folder == name;
                match IMPORT_EXCEPTIONS.iter().find(is_listed) {
                    Some(exception) => drop(used.insert(*exception)),
                    None if there <= here => {}
                    None => problems.push(format!(
                        "{}:{line}: {} stands left of {name} and must not know it ({}). Move the type to the left, or \
                         pass it in from the right",
                        file.path,
                        SPINE[here],
                        SPINE.join(" → ")
                    )),
                }
            }
        }
    }
    let unused = IMPORT_EXCEPTIONS.iter().filter(|exception| !used.contains(*exception));
    problems
        .extend(unused.map(|(path, ..)| format!("{path} needs its exception no more: remove it from tests/tidy.rs")));
    none(problems);
}

#[test]
fn nothing_is_left_to_do_or_to_debug() {
    // in halves, for this file's own sake
    let words = [["to", "do!"], ["db", "g!"], ["unimple", "mented!"], ["XX", "X"], ["FIX", "ME"], ["TO", "DO"]]
        .map(|w| w.concat());
    let mut problems = vec![];
    for file in text_files(&["rs", "sh", "py", "toml", "md", "c", "h"]) {
        for (line, text) in file.lines() {
            for word in words.iter().filter(|word| source::has_word(text, word)) {
                problems.push(format!("{}:{line}: {word}: do it, or say in docs/ what is not there yet", file.path));
            }
        }
    }
    none(problems);
}

#[test]
fn unsafe_code_is_in_few_files_and_each_says_why_it_is_safe() {
    let mut problems = vec![];
    let mut seen = HashSet::new();
    for file in rust_files() {
        let text: Vec<&str> = file.lines().map(|(_, text)| text).collect();
        for (line, code) in file.code_lines().filter(|(_, code)| source::has_word(code, "unsafe")) {
            seen.insert(file.path.clone());
            if !UNSAFE_FILES.iter().any(|(path, _)| *path == file.path) {
                problems.push(format!(
                    "{}:{line}: unsafe code in a file that is not on UNSAFE_FILES in tests/tidy.rs. Do without, or list \
                     the file with what it needs it for",
                    file.path
                ));
            }
            // a private unsafe function is its file's own business; what it does is in blocks
            let is_private_fn = code.trim_start().starts_with("unsafe") && source::has_word(&code, "fn");
            let above = &text[line.saturating_sub(6)..line];
            if !is_private_fn && !above.iter().any(|text| text.contains("SAFETY:") || text.contains("# Safety")) {
                problems.push(format!(
                    "{}:{line}: say above it, `// SAFETY:`, what makes this safe and who sees to it",
                    file.path
                ));
            }
        }
    }
    let unused = UNSAFE_FILES.iter().filter(|(path, _)| !seen.contains(*path) && root().join(path).exists());
    problems.extend(
        unused.map(|(path, _)| format!("{path} has no unsafe code: take it off UNSAFE_FILES in tests/tidy.rs")),
    );
    none(problems);
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    let places = [["/ro", "ot/"], ["/ho", "me/"], ["/wo", "rk/"], ["/Us", "ers/"]].map(|halves| halves.concat());
    let mut problems = vec![];
    for file in text_files(&["rs", "sh", "py", "toml", "md", "json", "c", "h", "run"]) {
        for (line, text) in file.lines() {
            for place in places.iter().filter(|place| source::has_path(text, place)) {
                problems
                    .push(format!("{}:{line}: {place}… is a place on one machine: write a relative path", file.path));
            }
        }
    }
    none(problems);
}

#[test]
fn every_rust_file_says_first_what_it_is() {
    let is_documented = |file: &Source| file.text.starts_with("//!") || file.text.contains("\n//!");
    let problems = rust_files().filter(|file| !file.text.starts_with("//!"));
    // an attribute of the whole crate may stand before it
    let problems = problems.filter(|file| !(file.text.starts_with("#!") && is_documented(file)));
    none(
        problems
            .map(|file| {
                format!("{}:1: begin with `//!` and a line on what the file is for and what it never does", file.path)
            })
            .collect(),
    );
}

#[test]
fn files_stay_short_enough_to_read() {
    let mut problems = vec![];
    for file in rust_files() {
        let lines = file.lines().count();
        let exception = LONGER_FILES.iter().find(|(path, ..)| *path == file.path);
        let max = exception.map_or(LINES_MAX, |(_, max, _)| *max);
        if lines > max {
            problems.push(format!(
                "{}: {lines} lines, more than {max}. Split it by verb (admit, expire, rewrite), or list it in LONGER_FILES \
                 in tests/tidy.rs with the reason",
                file.path
            ));
        }
        if exception.is_some() && lines <= LINES_MAX {
            problems.push(format!("{} is short again: take it off LONGER_FILES in tests/tidy.rs", file.path));
        }
    }
    none(problems);
}

#[test]
fn drop_reasons_have_distinct_names_in_snake_case_and_an_explanation() {
    let mut names = HashSet::new();
    for reason in DropReason::ALL {
        let name = reason.name();
        assert!(names.insert(name), "two drop reasons are called {name}: counters must be told apart");
        let is_snake = name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_');
        assert!(
            is_snake && !name.is_empty(),
            "drop reason {name:?}: lower case and underscores only, as a metric's label"
        );
        let explanation = reason.explanation();
        assert!(
            explanation.len() > 10 && !explanation.ends_with('.'),
            "{name}: one line for an operator, without a full stop"
        );
    }
}

#[test]
fn every_drop_reason_is_given_by_some_code() {
    let mut given = HashSet::new();
    let all: Vec<String> = DropReason::ALL.iter().map(|reason| format!("{reason:?}")).collect();
    for file in rust_files().filter(|file| file.path.starts_with("src/") && !file.path.starts_with("src/model/")) {
        for (_, code) in file.product_code() {
            for way in ["DropReason::", "Self::"] {
                given.extend(source::after_each(&code, way).filter(|name| all.contains(name)));
            }
        }
    }
    let mut problems = vec![];
    for reason in &all {
        let is_to_come = REASONS_TO_COME.iter().any(|(variant, _)| variant == reason);
        if !given.contains(reason) && !is_to_come {
            problems.push(format!(
                "DropReason::{reason} is never given: remove it from src/model/drop_reason.rs, or count it"
            ));
        }
        if given.contains(reason) && is_to_come {
            problems.push(format!("DropReason::{reason} is given now: take it off REASONS_TO_COME in tests/tidy.rs"));
        }
    }
    none(problems);
}

#[test]
fn the_changelog_has_a_place_for_what_comes_next() {
    let path = root().join("CHANGELOG.md");
    let text = std::fs::read_to_string(&path).expect("CHANGELOG.md is missing: add one with a section ## [Unreleased]");
    let has_section = text.lines().any(|line| line.starts_with("## ") && line.contains("Unreleased"));
    assert!(has_section, "CHANGELOG.md: add a section `## [Unreleased]` for what has not been released yet");
}

//! What is wrong with a configuration file: where, and what is allowed instead.
//!
//! One line a problem, `FILE:LINE: [[table]] \`key\`: message`, which editors can jump to. Text of the file is quoted
//! escaped and shortened, so that a file cannot write control sequences to an operator's terminal.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{}: cannot be read: {source}; put the configuration there, or name the file that has it", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{}", lines(.0))]
    Invalid(Vec<Problem>),
}

impl ConfigError {
    /// What is wrong, in the file's order; empty when the file could not be read at all.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Read { .. } => &[],
            Self::Invalid(problems) => problems,
        }
    }
}

/// One mistake in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub file: String,
    /// From 1.
    pub line: usize,
    /// Table and key, as in ``[[port]] `mtu` ``; empty where the file is not even TOML.
    pub place: String,
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.file, self.line)?;
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        f.write_str(&self.message)
    }
}

/// Problems printed at once: a screenful, the first ones are the ones to mend.
const PRINTED_MAX: usize = 20;

fn lines(problems: &[Problem]) -> String {
    let mut lines: Vec<String> = problems.iter().take(PRINTED_MAX).map(Problem::to_string).collect();
    if problems.len() > PRINTED_MAX {
        lines.push(format!("and {} more", problems.len() - PRINTED_MAX));
    }
    lines.join("\n")
}

/// Collects the problems of one file.
pub(super) struct Problems<'a> {
    file: &'a str,
    /// Byte offsets at which lines begin.
    line_starts: Vec<usize>,
    found: Vec<Problem>,
}

impl<'a> Problems<'a> {
    pub fn new(file: &'a str, text: &str) -> Self {
        let after_newlines = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1);
        Self { file, line_starts: std::iter::once(0).chain(after_newlines).collect(), found: Vec::new() }
    }

    /// Line and column, from 1, of a byte offset.
    pub fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.line_starts.partition_point(|start| *start <= offset);
        (line, offset - self.line_starts[line - 1] + 1)
    }

    pub fn add(&mut self, span: Range<usize>, place: impl Into<String>, message: impl Into<String>) {
        let line = self.position(span.start).0;
        self.found.push(Problem { file: self.file.to_owned(), line, place: place.into(), message: message.into() });
    }

    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Everything that is wrong, in the file's order.
    pub fn into_error(mut self) -> ConfigError {
        self.found.sort_by_key(|problem| problem.line);
        ConfigError::Invalid(self.found)
    }
}

/// What stands in the file, for a message.
pub(super) fn quoted(text: &str) -> String {
    /// Enough to recognise a value, little enough to keep a message on its line.
    const SHOWN_MAX: usize = 60;
    match text.char_indices().nth(SHOWN_MAX) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}...", &text[..end]),
    }
}

/// A key of the file, for a message.
pub(super) fn ticked(key: &str) -> String {
    let quoted = quoted(key);
    format!("`{}`", quoted.trim_matches('"'))
}

/// The candidate that was probably meant.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// No name is longer; comparing costs the product of both lengths.
    const LENGTH_MAX: usize = 64;
    if word.len() > LENGTH_MAX {
        return None;
    }
    // a slip in a short word, up to three in a long one: more would suggest anything for anything
    let distance_max = (word.len() / 3).clamp(1, 3);
    let word = word.to_lowercase();
    let distances = candidates.into_iter().map(|c| (strsim::damerau_levenshtein(&word, &c.to_lowercase()), c));
    distances.filter(|(distance, _)| *distance <= distance_max).min_by_key(|(distance, _)| *distance).map(|(_, c)| c)
}

/// `, did you mean X?`, or the full stop when nothing is near.
pub(super) fn did_you_mean(nearest: Option<String>) -> String {
    nearest.map_or_else(|| ".".to_owned(), |name| format!(", did you mean {name}?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_become_lines_and_columns() {
        let problems = Problems::new("f", "a\nbc\n\nd");
        assert_eq!([0, 2, 3, 5, 6, 99].map(|o| problems.position(o).0), [1, 2, 2, 3, 4, 4]);
        assert_eq!(problems.position(3), (2, 2));
    }

    #[test]
    fn the_nearest_name_is_a_slip_away_or_not_suggested() {
        assert_eq!(nearest("adresses", ["address", "addresses"]), Some("addresses"));
        assert_eq!(nearest("WCL", ["wlc", "lblc"]), Some("wlc"));
        assert_eq!(nearest("xy", ["rr", "lc"]), None);
        assert_eq!(nearest("roundrobin", ["rr", "wrr"]), None);
        assert_eq!(nearest(&"a".repeat(1_000_000), ["rr"]), None);
    }

    #[test]
    fn quoted_text_is_escaped_and_short() {
        assert_eq!(quoted("a\u{1b}[31m"), r#""a\u{1b}[31m""#);
        assert_eq!(quoted(&"é".repeat(100)), format!("{:?}...", "é".repeat(60)));
        assert_eq!(ticked("mtu"), "`mtu`");
    }

    #[test]
    fn more_problems_than_a_screenful_are_counted() {
        let mut problems = Problems::new("f", "");
        (0..25).for_each(|i| problems.add(0..0, "[x]", format!("problem {i}")));
        let message = problems.into_error().to_string();
        assert_eq!(message.lines().count(), PRINTED_MAX + 1);
        assert!(message.ends_with("f:1: [x]: problem 19\nand 5 more"), "{message}");
    }
}

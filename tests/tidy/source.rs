//! Sources as the house rules see them: their paths, their text, and their code without comments and strings.

use std::fs;
use std::path::{Path, PathBuf};

pub struct Source {
    /// From the repository's root, with `/`.
    pub path: String,
    pub text: String,
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Nothing of ours is in there.
const SKIPPED: [&str; 6] = ["target", ".git", "vectors", "corpus", "artifacts", "__pycache__"];

/// Files of the repository with one of these extensions, or these names.
pub fn text_files(extensions: &[&str]) -> impl Iterator<Item = Source> {
    let mut paths = vec![];
    collect(root(), &mut paths);
    paths.sort();
    let is_meant = |path: &PathBuf| {
        let name = path.extension().or(path.file_name());
        name.and_then(|n| n.to_str()).is_some_and(|n| extensions.contains(&n))
    };
    let meant: Vec<_> = paths.into_iter().filter(is_meant).collect();
    meant.into_iter().filter_map(|path| {
        let relative = path.strip_prefix(root()).ok()?.to_str()?.replace('\\', "/");
        Some(Source { path: relative, text: fs::read_to_string(&path).ok()? })
    })
}

pub fn rust_files() -> impl Iterator<Item = Source> {
    text_files(&["rs"])
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the repository").flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let is_skipped = SKIPPED.iter().any(|&skipped| name == skipped);
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && !is_skipped => collect(&path, into),
            Ok(kind) if kind.is_file() => into.push(path),
            _ => {}
        }
    }
}

impl Source {
    /// Numbered from 1.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(i, line)| (i + 1, line))
    }

    /// Lines without comments and what is in strings.
    pub fn code_lines(&self) -> impl Iterator<Item = (usize, String)> {
        let code = blank(&self.text);
        let lines: Vec<_> = code.lines().map(str::to_owned).enumerate().map(|(i, line)| (i + 1, line)).collect();
        lines.into_iter()
    }

    /// The same, of what is not for tests alone.
    pub fn product_code(&self) -> impl Iterator<Item = (usize, String)> {
        let is_test_file =
            ["/tests/", "/tests.rs", "_tests.rs", "/testing.rs"].iter().any(|part| self.path.contains(part));
        let mut in_tests = is_test_file || self.path.starts_with("tests/");
        let mut after_attribute = false;
        self.code_lines().filter(move |(_, code)| {
            // tests stand last: a module of them goes to the end of its file, anything else is one item
            in_tests |= after_attribute && code.trim_start().starts_with("mod ") && code.contains('{');
            after_attribute = code.trim() == "#[cfg(test)]";
            !in_tests
        })
    }
}

/// The identifiers that follow `mark`, one for each time it stands in `code`; of a list in braces, every member.
pub fn after_each<'a>(code: &'a str, mark: &'a str) -> impl Iterator<Item = String> + 'a {
    code.match_indices(mark).flat_map(move |(at, _)| {
        let rest = &code[at + mark.len()..];
        let list = rest.strip_prefix('{').map_or(rest, |list| list.split('}').next().unwrap_or(list));
        let members = list.split(',').take(if rest.starts_with('{') { usize::MAX } else { 1 });
        let identifier = |member: &str| -> String {
            member.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
        };
        members.map(identifier).collect::<Vec<_>>()
    })
}

/// Whether `word` stands in `text` by itself.
pub fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back().is_some_and(is_part);
        let after = text[at + word.len()..].chars().next().is_some_and(is_part);
        !before && (!after || word.ends_with('!'))
    })
}

/// Whether an absolute path begins with `place`.
pub fn has_path(text: &str, place: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '}' | '$' | '~' | '*' | '/');
    text.match_indices(place).any(|(at, _)| !text[..at].chars().next_back().is_some_and(is_part))
}

/// The text with comments and the contents of strings and characters blanked out.
fn blank(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        match skipped_len(rest, &out) {
            Some(len) => {
                let (skipped, behind) = rest.split_at(len);
                out.extend(skipped.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
                rest = behind;
            }
            None => {
                out.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    out
}

/// Bytes of the comment, string or character that begins here, `None` when it is code.
fn skipped_len(rest: &str, before: &str) -> Option<usize> {
    let is_in_word = before.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_');
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(rest.find("*/").map_or(rest.len(), |end| end + 2));
    }
    if !is_in_word && let Some(len) = raw_string_len(rest) {
        return Some(len);
    }
    if let Some(inside) = rest.strip_prefix('"') {
        return Some(1 + quoted_len(inside, '"'));
    }
    let inside = rest.strip_prefix('\'')?;
    let mut chars = inside.chars();
    match (chars.next()?, chars.next()?) {
        ('\\', _) => Some(1 + quoted_len(inside, '\'')),
        (c, '\'') => Some(2 + c.len_utf8()),
        // a lifetime
        _ => None,
    }
}

fn quoted_len(inside: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, c) in inside.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    inside.len()
}

fn raw_string_len(rest: &str) -> Option<usize> {
    let inside = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let hashes = inside.bytes().take_while(|&b| b == b'#').count();
    if inside.as_bytes().get(hashes) != Some(&b'"') {
        return None;
    }
    let start = rest.len() - inside.len() + hashes + 1;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(rest[start..].find(&end).map_or(rest.len(), |at| start + at + end.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_no_code() {
        let text = "a \"b // c\" d // e\nf r#\"g \" h\"# 'i' '\\'' &'static j /* k\nl */ m b\"n\" br\"o\\\" p";
        let code: Vec<String> = blank(text).split_whitespace().map(str::to_owned).collect();
        assert_eq!(code, ["a", "d", "f", "&'static", "j", "m", "b", "p"]);
    }

    #[test]
    fn imports_are_found_alone_and_in_lists() {
        let found = |code| after_each(code, "crate::").collect::<Vec<_>>();
        assert_eq!(found("use crate::model::Time;"), ["model"]);
        assert_eq!(found("use crate::{wire::arp, io};"), ["wire", "io"]);
        assert_eq!(found("fn f(a: crate::cli::A) -> crate::wire::B {"), ["cli", "wire"]);
    }

    #[test]
    fn what_is_for_tests_is_no_product_code() {
        let text = "use a;\n#[cfg(test)]\nmod tests;\nuse b;\n#[cfg(test)]\nmod tests {\nuse c;\n}";
        let source = Source { path: "src/wire/x.rs".into(), text: text.into() };
        let code: Vec<String> = source.product_code().map(|(_, code)| code).collect();
        assert_eq!(code, ["use a;", "#[cfg(test)]", "mod tests;", "use b;", "#[cfg(test)]"]);
        let source = Source { path: "src/wire/tests/x.rs".into(), text: text.into() };
        assert_eq!(source.product_code().count(), 0);
    }

    #[test]
    fn words_and_paths_stand_by_themselves() {
        assert!(has_word("an unsafe block", "unsafe") && !has_word("unsafe_code", "unsafe"));
        assert!(has_path("see /mnt/x", "/mnt/") && !has_path("net/mnt/x", "/mnt/"));
    }
}

//! No text makes the configuration panic.

use super::*;
use proptest::prelude::*;
use proptest::sample::Index;

/// What mutations put in: pieces that mean something to TOML or to a key.
const PIECES: &[&str] = &[
    "\"",
    "[",
    "]",
    "[[",
    "]]",
    "=",
    "{",
    "}",
    "\n",
    "\0",
    ".",
    "/",
    ":",
    "-",
    "#",
    "'''",
    "\u{feff}",
    "é",
    "0",
    "-1",
    "99999999999999999999999999",
    "1e9",
    "nan",
    "true",
    "\"\"",
    "[]",
    "{}",
    "1979-05-27",
    "[[port]]\n",
    "[port]\n",
    "[[service]]\n",
    "[[service.destination]]\n",
    "[service.destination]\n",
    "port.name = 1\n",
    "mark = 7\n",
    "\"::1\"",
    "\"[::1]:80\"",
    "\"0.0.0.0/0\"",
    "\"255.255.255.255/33\"",
    "vlan = 0\n",
    "mtu = -9223372036854775808\n",
];

#[derive(Clone, Debug)]
enum Mutation {
    Insert(Index, usize),
    Delete(Index, usize),
    CopyLine(Index, Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        (any::<Index>(), 0..PIECES.len()).prop_map(|(at, piece)| Mutation::Insert(at, piece)),
        (any::<Index>(), 1usize..40).prop_map(|(at, length)| Mutation::Delete(at, length)),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Mutation::CopyLine(from, to)),
    ]
}

fn apply(text: &str, mutation: &Mutation) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    match mutation {
        Mutation::Insert(at, piece) => {
            let at = at.index(characters.len() + 1);
            characters.splice(at..at, PIECES[*piece].chars());
        }
        Mutation::Delete(at, length) => {
            let at = at.index(characters.len() + 1);
            let end = characters.len().min(at + length);
            characters.drain(at..end);
        }
        Mutation::CopyLine(from, to) => {
            let mut lines: Vec<&str> = text.split('\n').collect();
            let line = lines[from.index(lines.len())];
            lines.insert(to.index(lines.len()), line);
            return lines.join("\n");
        }
    }
    characters.into_iter().collect()
}

/// Whatever comes out is usable: a configuration that compares to others, or problems within the file.
fn check(text: &str) {
    match Config::parse(text, "t.toml") {
        Ok(config) => {
            assert_eq!(changes(&config, &config), []);
            let _ = (changes(&parse(FILE), &config), restart_needed(&parse(FILE), &config));
            assert!(config.routes.iter().all(|route| route.port < config.ports.len()));
            assert!(config.services.iter().all(|s| s.port.is_none_or(|port| port < config.ports.len())));
        }
        Err(error) => {
            let lines = text.split('\n').count();
            assert!(!error.problems().is_empty());
            assert!(error.problems().iter().all(|p| (1..=lines).contains(&p.line) && !p.message.is_empty()), "{error}");
        }
    }
}

proptest! {
    #[test]
    fn a_mutated_file_is_a_configuration_or_a_message(mutations in prop::collection::vec(mutation(), 1..8)) {
        check(&mutations.iter().fold(FILE.to_owned(), |text, mutation| apply(&text, mutation)));
    }

    #[test]
    fn any_text_is_a_configuration_or_a_message(text in any::<String>()) {
        check(&text);
    }
}

#[test]
fn a_file_without_end_of_brackets_is_refused_by_a_message() {
    check(&format!("x = {}", "[".repeat(100_000)));
    check(&format!("x = {}", "{a=".repeat(100_000)));
    check(&format!("[{}]", "a.".repeat(100_000)));
}

//! Every key is one of the registry's, of its type and in its range; every required one is there.
//!
//! Done on the parsed TOML before serde sees it, so that all such mistakes of a file are told at once, each with its
//! line and the nearest known name; serde stops at the first.

use super::error::{Problems, did_you_mean, nearest, quoted, ticked};
use super::keys::{Absent, Key, Kind, SYSCTLS_LEFT_OUT, Table};
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub(super) fn check(root: &DeTable<'_>, problems: &mut Problems<'_>) {
    for (name, value) in root {
        match Table::Root.child(name.get_ref()) {
            Some(table) => child(table, name.span(), value, problems),
            None => unknown_in_root(name, value, problems),
        }
    }
}

fn unknown_in_root(
    name: &Spanned<std::borrow::Cow<'_, str>>,
    value: &Spanned<DeValue<'_>>,
    problems: &mut Problems<'_>,
) {
    let tables = || Table::ALL.iter().filter(|t| t.parent() == Some(Table::Root));
    let near = nearest(name.get_ref(), tables().map(|t| t.name()));
    let near = near.and_then(|name| Table::Root.child(name)).map(|t| t.heading().to_owned());
    let known: Vec<_> = tables().map(|t| t.heading()).collect();
    let what = if is_table(value.get_ref()) { "unknown table" } else { "a key outside of any table" };
    let message = format!("{what}{} Known tables: {}", did_you_mean(near), known.join(", "));
    problems.add(name.span(), ticked(name.get_ref()), message);
}

fn is_table(value: &DeValue<'_>) -> bool {
    match value {
        DeValue::Table(_) => true,
        DeValue::Array(items) => items.iter().any(|item| item.get_ref().is_table()),
        _ => false,
    }
}

fn child(table: Table, name: Range<usize>, value: &Spanned<DeValue<'_>>, problems: &mut Problems<'_>) {
    match (table.is_array(), value.get_ref()) {
        (false, DeValue::Table(entries)) => check_table(table, name, entries, problems),
        (true, DeValue::Array(items)) => {
            for item in items {
                match item.get_ref() {
                    DeValue::Table(entries) => check_table(table, item.span(), entries, problems),
                    other => not_a_table(table, item.span(), other, problems),
                }
            }
        }
        (_, other) => not_a_table(table, name, other, problems),
    }
}

fn not_a_table(table: Table, span: Range<usize>, found: &DeValue<'_>, problems: &mut Problems<'_>) {
    let how_many = if table.is_array() { "there can be several" } else { "there is one" };
    let heading = table.heading();
    let message = match found {
        DeValue::Table(_) | DeValue::Array(_) => format!("write it as {heading}; {how_many}"),
        other => format!("found {}, expected a table; write it as {heading}", type_name(other)),
    };
    problems.add(span, ticked(table.name()), message);
}

fn check_table(table: Table, header: Range<usize>, entries: &DeTable<'_>, problems: &mut Problems<'_>) {
    for (name, value) in entries {
        if let Some(inner) = table.child(name.get_ref()) {
            child(inner, name.span(), value, problems);
        } else if let Some(key) = table.key(name.get_ref()) {
            check_value(key, key.kind, value, problems);
        } else {
            unknown_key(table, name, problems);
        }
    }
    for key in table.keys().filter(|key| key.absent == Absent::Required && !entries.contains_key(key.name)) {
        let message = format!("missing; for example `{} = {}`", key.name, key.example);
        problems.add(header.clone(), key.place(), message);
    }
}

fn unknown_key(table: Table, name: &Spanned<std::borrow::Cow<'_, str>>, problems: &mut Problems<'_>) {
    let names: Vec<_> = table.keys().map(|key| key.name).chain(table.children().map(|t| t.name())).collect();
    let near = nearest(name.get_ref(), names.iter().copied()).map(ticked);
    let left_out = SYSCTLS_LEFT_OUT.iter().find(|(sysctl, _)| table == Table::Ipvs && name.get_ref() == sysctl);
    if let Some((_, reason)) = left_out {
        let place = format!("{} {}", table.heading(), ticked(name.get_ref()));
        return problems.add(name.span(), place, format!("a sysctl without a key here: {reason}; leave it out"));
    }
    let message = format!("unknown key{} Known keys: {}", did_you_mean(near), names.join(", "));
    problems.add(name.span(), format!("{} {}", table.heading(), ticked(name.get_ref())), message);
}

fn check_value(key: &Key, kind: Kind, value: &Spanned<DeValue<'_>>, problems: &mut Problems<'_>) {
    match (kind.element(), value.get_ref()) {
        (Some(element), DeValue::Array(items)) => {
            items.iter().for_each(|item| check_value(key, element, item, problems));
        }
        (_, value_ref) => {
            if let Err(message) = check_scalar(key, kind, value_ref) {
                problems.add(value.span(), key.place(), message);
            }
        }
    }
}

fn check_scalar(key: &Key, kind: Kind, value: &DeValue<'_>) -> Result<(), String> {
    match (kind, value) {
        (Kind::Text, DeValue::String(_)) | (Kind::Boolean | Kind::Switch, DeValue::Boolean(_)) => Ok(()),
        (Kind::Switch, DeValue::Integer(_)) => check_number(key, value, 0, 1),
        (Kind::Number(min, max), DeValue::Integer(_)) => check_number(key, value, min, max),
        (Kind::Ports, DeValue::Integer(_)) => check_number(key, value, 0, u16::MAX.into()),
        (Kind::Ports, DeValue::String(text)) => super::values::ports(text).map(|_| ()),
        (Kind::Word(words), DeValue::String(word)) => check_word(words, word),
        (_, other) => Err(wrong_type(key, other)),
    }
}

fn check_number(key: &Key, value: &DeValue<'_>, min: i64, max: i64) -> Result<(), String> {
    let Some(number) = value.as_integer() else { return Err(wrong_type(key, value)) };
    match i64::from_str_radix(number.as_str(), number.radix()) {
        Ok(n) if (min..=max).contains(&n) => Ok(()),
        _ => Err(format!(
            "{} is out of range; allowed: {}",
            quoted(&number.to_string()).replace('"', ""),
            key.allowed_text()
        )),
    }
}

fn check_word(words: &[&str], word: &str) -> Result<(), String> {
    if words.contains(&word) {
        return Ok(());
    }
    Err(unknown_word(word, words.iter().copied()))
}

/// What `ipvsadm` and keepalived call forwarding methods.
const WORDS_OF_IPVSADM: [(&str, &str); 6] = [
    ("masq", "nat"),
    ("masquerading", "nat"),
    ("route", "dr"),
    ("gatewaying", "dr"),
    ("tunnel", "tun"),
    ("ipip", "tun"),
];

/// The message for a name that is none of `known`.
pub(super) fn unknown_word<'a>(word: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let meant = WORDS_OF_IPVSADM.iter().find(|(theirs, _)| *theirs == word).map(|(_, ours)| *ours);
    let near = known.clone().find(|name| Some(*name) == meant).or_else(|| nearest(word, known.clone())).map(quoted);
    let known: Vec<_> = known.map(quoted).collect();
    format!("unknown value {}{} Allowed: {}", quoted(word), did_you_mean(near), known.join(", "))
}

fn wrong_type(key: &Key, found: &DeValue<'_>) -> String {
    let (name, example) = (key.name, key.example);
    format!("expected {}, found {}; for example `{name} = {example}`", key.kind.name(), type_name(found))
}

fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

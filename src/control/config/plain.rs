//! The usual way of writing a service, read without the TOML parser, which would take most of the time of a reload: lines
//! with one key each, and one plain string or number. Anything else is the parser's business, so the answer to it is
//! `None`; nothing is said of mistakes.

use super::file::{DestinationTable, ServiceTable};
use super::keys::{Kind, Table};
use toml::Spanned;

/// What the registry of keys says of those that are read here.
pub(super) struct Plain {
    weight: (i64, i64),
    threshold: (i64, i64),
    persistence_timeout_s: (i64, i64),
    forward: &'static [&'static str],
}

enum Value<'a> {
    Text(&'a str),
    Number(u32),
}

/// A destination whose keys have come up to now.
#[derive(Default)]
struct Destination {
    address: Option<Spanned<String>>,
    forward: Option<Spanned<String>>,
    weight: Option<Spanned<u32>>,
    threshold_upper: Option<Spanned<u32>>,
    threshold_lower: Option<Spanned<u32>>,
}

impl Plain {
    pub fn new() -> Option<Self> {
        let range = |table: Table, key| match table.key(key)?.kind {
            Kind::Number(min, max) => Some((min, max)),
            _ => None,
        };
        let Kind::Word(forward) = Table::Destination.key("forward")?.kind else { return None };
        Some(Self {
            weight: range(Table::Destination, "weight")?,
            // both are of one range
            threshold: range(Table::Destination, "threshold_upper")
                .filter(|upper| range(Table::Destination, "threshold_lower") == Some(*upper))?,
            persistence_timeout_s: range(Table::Service, "persistence_timeout_s")?,
            forward,
        })
    }

    /// `piece`: from a service's first line to the next one's.
    pub fn service(&self, piece: &str) -> Option<Spanned<ServiceTable>> {
        // not allowed in TOML, or at the end of lines only
        if piece.bytes().any(|byte| byte < b' ' && byte != b'\n' && byte != b'\t' || byte == 0x7f) {
            return None;
        }
        let mut lines = piece.split('\n').map(trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        if lines.next()? != "[[service]]" {
            return None;
        }
        let mut service = ServiceTable::default();
        let mut destination: Option<Destination> = None;
        for line in lines {
            if line == "[[service.destination]]" {
                finish(destination.replace(Destination::default()), &mut service)?;
                continue;
            }
            let (key, value) = line.split_once('=')?;
            let (key, value) = (trim(key), value_of(trim(value))?);
            match &mut destination {
                None => self.service_key(&mut service, key, value)?,
                Some(destination) => self.destination_key(destination, key, value)?,
            }
        }
        finish(destination, &mut service)?;
        Some(somewhere(service))
    }

    fn service_key(&self, service: &mut ServiceTable, key: &str, value: Value<'_>) -> Option<()> {
        match (key, value) {
            ("protocol", Value::Text(text)) => put(&mut service.protocol, text.to_owned()),
            ("address", Value::Text(text)) => put(&mut service.address, text.to_owned()),
            ("scheduler", Value::Text(text)) => put(&mut service.scheduler, text.to_owned()),
            ("port", Value::Text(text)) => put(&mut service.port, text.to_owned()),
            ("persistence_timeout_s", Value::Number(number)) => {
                put(&mut service.persistence_timeout_s, within(number, self.persistence_timeout_s)?)
            }
            _ => None,
        }
    }

    fn destination_key(&self, destination: &mut Destination, key: &str, value: Value<'_>) -> Option<()> {
        match (key, value) {
            ("address", Value::Text(text)) => put(&mut destination.address, text.to_owned()),
            ("forward", Value::Text(word)) if self.forward.contains(&word) => {
                put(&mut destination.forward, word.to_owned())
            }
            ("weight", Value::Number(number)) => put(&mut destination.weight, within(number, self.weight)?),
            ("threshold_upper", Value::Number(number)) => {
                put(&mut destination.threshold_upper, within(number, self.threshold)?)
            }
            ("threshold_lower", Value::Number(number)) => {
                put(&mut destination.threshold_lower, within(number, self.threshold)?)
            }
            _ => None,
        }
    }
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// Places in the text mean nothing here.
fn somewhere<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

/// `None` when the key has been there.
fn put<T>(slot: &mut Option<Spanned<T>>, value: T) -> Option<()> {
    slot.is_none().then(|| *slot = Some(somewhere(value)))
}

fn within(number: u32, (min, max): (i64, i64)) -> Option<u32> {
    (min..=max).contains(&number.into()).then_some(number)
}

fn value_of(text: &str) -> Option<Value<'_>> {
    let (value, rest) = match text.strip_prefix('"') {
        Some(string) => {
            let (text, rest) = string.split_once('"')?;
            if text.contains('\\') {
                return None;
            }
            (Value::Text(text), rest)
        }
        None => {
            let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let (number, rest) = text.split_at(digits);
            if number.starts_with('0') && number != "0" {
                return None;
            }
            (Value::Number(number.parse().ok()?), rest)
        }
    };
    let rest = trim(rest);
    (rest.is_empty() || rest.starts_with('#')).then_some(value)
}

fn finish(destination: Option<Destination>, service: &mut ServiceTable) -> Option<()> {
    let Some(Destination { address, forward, weight, threshold_upper, threshold_lower }) = destination else {
        return Some(());
    };
    let (tunnel, tunnel_port, tunnel_checksum) = (None, None, None);
    let address = address?;
    service.destination.push(somewhere(DestinationTable {
        address,
        forward,
        tunnel,
        tunnel_port,
        tunnel_checksum,
        weight,
        threshold_upper,
        threshold_lower,
    }));
    Some(())
}

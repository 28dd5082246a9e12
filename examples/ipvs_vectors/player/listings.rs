//! Listings as ipvsadm printed them, and as Pollux prints them.

use super::world::{TABLE_SIZE, World};
use pollux::control::api::views::ConnectionView;
use pollux::control::ipvsadm::listing::{self, Columns, Style};
use pollux::control::ipvsadm::names::Numbers;
use pollux::control::ipvsadm::save;
use std::collections::BTreeMap;
use std::io;

/// How far a remaining time may be off: the tolerance of tables, and half a second of rounding on either side.
const TOLERANCE_S: u64 = 3;

/// `at_end`: they were taken some seconds after the last step.
pub fn compare(texts: &BTreeMap<String, String>, world: &World, at_end: bool) -> Result<(), String> {
    texts.iter().try_for_each(|(kind, expected)| compare_one(kind, expected, world, at_end))
}

/// Seconds from the last step to the listings at the end: estimators were waited for.
pub const END_S: u64 = 8;

fn compare_one(kind: &str, expected: &str, world: &World, at_end: bool) -> Result<(), String> {
    let Some(ours) = print(kind, world) else { return Ok(()) };
    let ours = String::from_utf8_lossy(&ours);
    // counters that a listing shows are up to 2 seconds old
    if kind == "stats" && !at_end {
        return Ok(());
    }
    let last = if at_end { END_S } else { 0 };
    let same = match kind {
        "Lnc" => (0..=last).any(|late_s| same_connections(expected, &ours, late_s)),
        _ => expected == ours,
    };
    if same {
        return Ok(());
    }
    Err(format!("listing {kind} differs\nexpected\n{expected}came\n{ours}"))
}

/// `None`: not something Pollux prints (`/proc` files), or that depends on when the kernel's estimator last looked.
fn print(kind: &str, world: &World) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let style = |columns| Style { columns, exact: true, ..Style::default() };
    let printed = match kind {
        "Ln" => services(&mut out, world, Style::default()),
        "stats" => services(&mut out, world, style(Columns::Stats)),
        "persist" => services(&mut out, world, style(Columns::Persistence)),
        "thr" => services(&mut out, world, style(Columns::Thresholds)),
        "Sn" => save::save(&mut out, world.services(), &Numbers),
        "timeout" => listing::timeouts(&mut out, &world.state().snapshot().timeouts.global().into()),
        "Lnc" => connections(&mut out, world),
        _ => return None,
    };
    printed.ok().map(|()| out)
}

fn services(out: &mut Vec<u8>, world: &World, style: Style) -> io::Result<()> {
    listing::version(out, TABLE_SIZE)?;
    listing::list(out, world.services(), style, &Numbers)
}

fn connections(out: &mut Vec<u8>, world: &World) -> io::Result<()> {
    listing::connections_heading(out)?;
    world.connections().into_iter().try_for_each(|conn| {
        let view = ConnectionView {
            protocol: conn.protocol.to_owned(),
            client: conn.client,
            virtual_address: conn.virt,
            destination: conn.server,
            state: conn.state.to_owned(),
            expires_s: conn.expires_s.max(0.0) as u32,
            engine: None,
        };
        listing::connection(out, &view, &Numbers)
    })
}

/// The order of rows is random, their times are a little off, and who is about to go may have gone.
/// `late_s`: how long after ours theirs were taken.
fn same_connections(expected: &str, ours: &str, late_s: u64) -> bool {
    let (theirs, mut ours) = (rows(expected), rows(ours));
    ours.iter_mut().for_each(|row| row.1 = row.1.saturating_sub(late_s));
    let about_to_go = |row: &(String, u64)| row.1 <= TOLERANCE_S;
    let has = |rows: &[(String, u64)], row: &(String, u64)| {
        rows.iter().any(|(text, seconds)| *text == row.0 && seconds.abs_diff(row.1) <= TOLERANCE_S)
    };
    theirs.iter().all(|row| about_to_go(row) || has(&ours, row))
        && ours.iter().all(|row| about_to_go(row) || has(&theirs, row))
}

/// Each row without its time, and its time in seconds.
fn rows(text: &str) -> Vec<(String, u64)> {
    let row = |line: &str| {
        let time = line.split_whitespace().nth(1)?;
        let (minutes, seconds) = time.split_once(':')?;
        let seconds = minutes.parse::<u64>().ok()? * 60 + seconds.parse::<u64>().ok()?;
        Some((line.replacen(time, "", 1), seconds))
    };
    text.lines().map(|line| row(line).unwrap_or_else(|| (line.to_owned(), u64::MAX / 2))).collect()
}

//! The documentation is true: commands parse, configurations are valid, links and files lead somewhere, the README's
//! features are shown by recordings that pass, and the table of drop reasons is what the code says.

#[path = "../examples/ipvs_vectors/player/skip.rs"]
mod skip;

use pollux::control::config::Config;
use pollux::model::DropReason;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page: its path and its text.
fn pages() -> Vec<(PathBuf, String)> {
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let top = ["README.md", "CHANGELOG.md"].map(|name| root().join(name));
    let pages: Vec<_> = docs.filter(|path| path.extension().is_some_and(|e| e == "md")).chain(top).collect();
    assert!(pages.len() >= 6, "the README, the changelog and four pages: {pages:?}");
    pages.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// Fenced blocks, with the word behind the fence.
fn blocks(text: &str) -> Vec<(&str, String)> {
    let mut blocks: Vec<(&str, String)> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        match line.trim_start().strip_prefix("```") {
            Some(_) if inside => inside = false,
            Some(language) => {
                inside = true;
                blocks.push((language, String::new()));
            }
            None if inside => writeln!(blocks.last_mut().unwrap().1, "{line}").unwrap(),
            None => {}
        }
    }
    assert!(!inside, "a fence is left open");
    blocks
}

/// What stands between single backticks, outside of blocks.
fn code_spans(text: &str) -> Vec<&str> {
    let prose = text.split("```").step_by(2);
    prose.flat_map(|text| text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))).collect()
}

fn command_words(line: &str) -> Option<Vec<&str>> {
    let line = line.trim_start_matches("$ ").trim_start_matches("sudo ");
    let command = line.split(" #").next()?;
    command.starts_with("pollux ").then(|| command.split_whitespace().collect())
}

#[test]
fn every_command_on_a_page_is_one_that_pollux_takes() {
    let mut commands = 0;
    for (path, text) in pages() {
        let blocks = blocks(&text);
        let in_blocks = blocks.iter().filter(|(language, _)| *language != "toml").flat_map(|(_, text)| text.lines());
        // in a sentence `pollux show` is the name of a verb
        let named = code_spans(&text).into_iter().filter_map(command_words).map(|mut words| {
            words.extend((words.len() == 2).then_some("--help"));
            words
        });
        for words in in_blocks.filter_map(command_words).chain(named) {
            commands += 1;
            if let Err(usage) = pollux::cli::parses(words.iter().copied()) {
                panic!("{}: `{}`: {usage}", path.display(), words.join(" "));
            }
        }
    }
    assert!(commands >= 10, "found {commands} only");
}

#[test]
fn every_configuration_on_a_page_is_valid() {
    let mut configurations = 0;
    for (path, text) in pages() {
        let blocks: Vec<_> = blocks(&text).into_iter().filter(|(language, _)| *language == "toml").collect();
        for (_, block) in &blocks {
            configurations += 1;
            // what has no ports is to be added to the page's first one
            let is_addition = !block.contains("[[port]]");
            let whole = if is_addition { format!("{}\n{block}", blocks[0].1) } else { block.clone() };
            if let Err(error) = Config::parse(&whole, "example") {
                panic!("{}: {error}\n{block}", path.display());
            }
        }
    }
    assert!(configurations >= 7, "found {configurations} only");
}

/// A heading as it stands in a link: lower case, hyphens for spaces, without punctuation.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut links = 0;
    for (path, text) in pages() {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            links += 1;
            let (file, heading) = link.split_once('#').map_or((link, None), |(file, heading)| (file, Some(heading)));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            assert!(target.exists(), "{}: there is no {file}", path.display());
            if let Some(heading) = heading {
                let page = fs::read_to_string(&target).unwrap();
                let found = page.lines().filter(|line| line.starts_with('#')).any(|line| anchor(line) == heading);
                assert!(found, "{}: {} has no heading #{heading}", path.display(), target.display());
            }
        }
    }
    assert!(links >= 5, "found {links} only");
}

#[test]
fn every_file_that_a_page_mentions_exists() {
    const FOLDERS: [&str; 8] = ["src/", "docs/", "scripts/", "tests/", "config/", "dpdk-sys/", "fuzz/", ".ci/"];
    let mut files = 0;
    for (path, text) in pages() {
        let ends = |c: char| c.is_whitespace() || "`()[]|,;:#→\"".contains(c);
        for word in text.split(ends).map(|word| word.trim_start_matches("./").trim_end_matches('.')) {
            if FOLDERS.iter().any(|folder| word.starts_with(folder)) {
                files += 1;
                let here = path.parent().unwrap().join(word);
                assert!(root().join(word).exists() || here.exists(), "{}: there is no {word}", path.display());
            }
        }
    }
    assert!(files >= 10, "found {files} only");
}

/// Whether a name fits a pattern in which `*` is anything.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, rest)) => {
            let tail = name.strip_prefix(head);
            tail.is_some_and(|tail| (0..=tail.len()).any(|at| fits(rest, &tail[at..])))
        }
    }
}

/// The rows of the README's table of this name, without its head: first and last cell.
fn rows<'a>(readme: &'a str, table: &str) -> Vec<(&'a str, &'a str)> {
    let (_, rest) = readme.split_once(&format!("<!-- {table} -->")).expect("the table's beginning is marked");
    let (table, _) = rest.split_once(&format!("<!-- /{table} -->")).expect("the table's end is marked");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | "));
    rows.skip(1).collect()
}

/// All recordings, and whether each is one of those that pass.
fn recordings() -> Vec<(String, bool)> {
    let passing: Vec<_> = include_str!("vectors/passing.txt").lines().collect();
    let files = fs::read_dir(root().join("tests/vectors")).unwrap().map(|entry| entry.unwrap().path());
    let recordings = files.filter(|path| path.extension().is_some_and(|e| e == "json"));
    let names = recordings.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned());
    names.map(|name| (name.clone(), passing.contains(&name.as_str()))).collect()
}

#[test]
fn every_feature_in_the_readme_is_shown_by_recordings_that_pass_and_every_such_recording_shows_one() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let rows = rows(&readme, "features");
    let recordings = recordings();
    let passing: Vec<_> = recordings.iter().filter(|(_, passes)| *passes).map(|(name, _)| name).collect();
    for (feature, patterns) in &rows {
        let patterns = code_spans(patterns);
        assert!(!patterns.is_empty(), "{feature}: which recordings show it?");
        for pattern in patterns {
            assert!(passing.iter().any(|name| fits(pattern, name)), "{feature}: no recording that passes is {pattern}");
        }
    }
    let patterns: Vec<_> = rows.iter().flat_map(|(_, patterns)| code_spans(patterns)).collect();
    for name in passing {
        assert!(patterns.iter().any(|pattern| fits(pattern, name)), "README.md: no feature is shown by {name}");
    }
}

#[test]
fn the_recordings_that_are_not_played_stand_in_the_readme_with_the_reason() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let rows = rows(&readme, "skipped");
    let recordings = recordings();
    for (name, _) in &recordings {
        let row = rows.iter().find(|(pattern, _)| fits(pattern.trim_matches('`'), name));
        assert_eq!(row.map(|(_, why)| *why), skip::reason(name), "README.md about {name}");
    }
    for (pattern, _) in rows {
        let is_there = recordings.iter().any(|(name, _)| fits(pattern.trim_matches('`'), name));
        assert!(is_there, "README.md: there is no recording {pattern}");
    }
}

/// What an operator does about a packet that was dropped so. A new reason needs a line here.
const fn advice(reason: DropReason) -> &'static str {
    match reason {
        DropReason::Truncated => "A broken sender, or a device that cuts frames: compare its MTU with the port's",
        DropReason::NotOurMac => "Normal on a hub or a mirror port; otherwise a stale ARP entry at the sender",
        DropReason::UnknownVlan => "Add a `[[port]]` with this `vlan`, or take the VLAN off the switch port",
        DropReason::UnknownEthertype => "Normal for LLDP, STP and the like",
        DropReason::IpHeaderBad => "A broken sender or cable",
        DropReason::IpChecksumBad => "A broken sender or cable; on a veth switch offloads off at the other end",
        DropReason::IpLengthBad => "A broken sender, or a device that cuts frames",
        DropReason::IpOptionsBad => "A broken sender, or an attack",
        DropReason::SourceRoute => "Nothing: they are refused, as the kernel does by default",
        DropReason::L4Truncated => "A broken sender, or an attack",
        DropReason::FragmentBad | DropReason::FragmentOverlap => "A broken sender, or an attack",
        DropReason::FragmentDuplicate => {
            "Normal in small numbers; otherwise a loop or a mirror between the sender and here"
        }
        DropReason::FragmentTimeout => "Fragments get lost on their way: keep the sender below the path's MTU",
        DropReason::FragmentsTooMany => "A sender with a very small MTU, or an attack",
        DropReason::ReassemblyFull => "Many fragments get lost on their way, or an attack: look at who sends them",
        DropReason::SourceBad => "Somebody forges addresses, or two machines have one",
        DropReason::Multicast => "Normal",
        DropReason::ArpBad => "A broken or forging sender",
        DropReason::ArpNotOurs => {
            "Normal for other machines' addresses; for a VIP give its service the `port`, or the port its subnet"
        }
        DropReason::NdBad => "A broken or forging sender",
        DropReason::NdNotOurs => {
            "Normal for other machines' addresses; for a VIP give its service the `port`, or the port its subnet"
        }
        DropReason::AddressConflict => {
            "Find the other station, by its MAC address in a capture: a real server's `arp_ignore`?"
        }
        DropReason::NoService => "Add the service, or look at its protocol and port: `pollux show services`",
        DropReason::FtpChecksumBad => "A device on the way damages packets; look for it where the counter grows",
        DropReason::NotSyn => {
            "A few are normal after a restart or a timeout; many: asymmetric routing, or raise `tcp_established_s`"
        }
        DropReason::NoDestination => "Give a destination a weight, or add one; look at the thresholds",
        DropReason::TableFull => "Raise `capacity_per_worker` (a restart), or lower the timeouts",
        DropReason::NoCallId => "Look at the clients' messages, or edit the service without `persistence_engine`",
        DropReason::DropPacket => "It was asked for: set `drop_packet = 0` when the attack is over",
        DropReason::DestinationGone => {
            "Set weight 0 and wait before removing; or set `expire_nodest_conn`, for UDP `reschedule_udp`"
        }
        DropReason::TtlExceeded => "Normal for traceroute; otherwise a routing loop",
        DropReason::MtuExceeded => "Let ICMP pass to the sender; raise the `mtu` towards the servers",
        DropReason::NoRoute => "Add a `[[route]]`: `pollux show routes`",
        DropReason::ForwardOff => "Set `[ip] forward = true` if the director is anyone's gateway",
        DropReason::NeighbourQueueFull => "The next hop answers ARP or ND too slowly, or not: `pollux show neighbours`",
        DropReason::NeighbourFailed => "Is the next hop up, in this subnet and VLAN? `pollux show neighbours`",
        DropReason::IcmpUnrelated => {
            "Normal in small numbers: errors that come late, and types that IPVS does not look into either"
        }
        DropReason::IcmpChecksumBad => {
            "Damage on the way; IPv6 ones from NAT servers all count here, as the kernel drops them, too"
        }
        DropReason::TunnelError => {
            "Normal in small numbers; many: look at `mtu` and the network towards the real servers"
        }
        DropReason::Unasked => {
            "Normal after a connection has timed out here, but not on its server; many: raise its timeout"
        }
        DropReason::NoHeadroom => "Please report it: buffers are made with room for every outer header",
        DropReason::NoBuffer => "Packets are stuck somewhere: `tx_full` and `neighbour_queue_full` say where",
        DropReason::RingFull => {
            "One worker has more than it can do: `pollux show workers` says which; give it fewer slots with `pollux \
             workers rebalance`, or add workers"
        }
        DropReason::Stray => "Nothing, if it stays at a few while slots or policies change; else please report it",
        DropReason::TxFull => "The port is slower than what is sent to it: its link, its queue, the device behind it",
        DropReason::Internal => "Please report it, with `pollux show drops` and the configuration",
    }
}

fn drop_table() -> String {
    let mut table = "| reason | what it means | what to do |\n|---|---|---|\n".to_owned();
    for reason in DropReason::ALL {
        let explanation = reason.explanation();
        writeln!(table, "| `{}` | {explanation} | {} |", reason.name(), advice(*reason)).unwrap();
    }
    table
}

#[test]
fn the_table_of_drop_reasons_is_what_the_code_says() {
    const BEGIN: &str = "<!-- drops -->\n";
    let path = root().join("docs/troubleshooting.md");
    let text = fs::read_to_string(&path).unwrap();
    let (head, rest) = text.split_once(BEGIN).expect("the table's beginning is marked");
    let (_, tail) = rest.split_once("<!-- /drops -->").expect("the table's end is marked");
    let wanted = format!("{head}{BEGIN}\n{}\n<!-- /drops -->{tail}", drop_table());
    if std::env::var_os("POLLUX_BLESS").is_some_and(|value| value == "1") {
        fs::write(&path, &wanted).unwrap();
    } else {
        assert!(
            text == wanted,
            "docs/troubleshooting.md is not what the code says; set POLLUX_BLESS=1 to write it anew"
        );
    }
}

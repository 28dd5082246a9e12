//! A long file read service by service. The TOML parser keeps everything it has seen of a document until its end, which for
//! a hundred thousand destinations takes most of the time; in pieces its memory stays in the cache.
//!
//! Only for files that are right: at the first doubt the answer is `None`, and the whole file is parsed, so that every
//! message, line and column is the parser's own.

use super::error::Problems;
use super::file::{self, File};
use super::plain::Plain;
use toml::de::DeTable;

/// What begins a service, at the beginning of a line.
const SERVICE: &str = "[[service]]";

/// Texts, the first of what stands before the first service, each of the others with one service. `None`: a string could
/// have such a line in it.
fn split(text: &str) -> Option<Vec<&str>> {
    if text.contains("\"\"\"") || text.contains("'''") {
        return None;
    }
    let is_line = |at: &usize| *at == 0 || text.as_bytes()[at - 1] == b'\n';
    let starts = text.match_indices(SERVICE).map(|(at, _)| at).filter(is_line);
    let ends = starts.clone().chain([text.len()]);
    Some(std::iter::once(0).chain(starts).zip(ends).map(|(start, end)| &text[start..end]).collect())
}

/// The file, with places in the text that mean nothing; `None` when something is wrong, or might be.
pub(super) fn read(text: &str, problems: &mut Problems<'_>) -> Option<File> {
    let mut whole = File::default();
    let mut tables = Tables::default();
    let plain = Plain::new()?;
    for piece in split(text)? {
        if let Some(service) = plain.service(piece) {
            whole.service.push(service);
            continue;
        }
        let root = DeTable::parse(piece).ok()?;
        tables.add(root.get_ref())?;
        let piece = file::understand(root, problems)?;
        merge(&mut whole, piece, &tables);
    }
    Some(whole)
}

/// Tables of which there can be only one, by name.
#[derive(Default)]
struct Tables {
    seen: Vec<String>,
    /// In this piece.
    new: Vec<String>,
}

impl Tables {
    /// `None` when one is there again.
    fn add(&mut self, root: &DeTable<'_>) -> Option<()> {
        self.seen.append(&mut self.new);
        for (name, value) in root {
            if value.get_ref().is_array() {
                continue;
            }
            let name = name.get_ref().as_ref().to_owned();
            if self.seen.contains(&name) {
                return None;
            }
            self.new.push(name);
        }
        Some(())
    }

    fn is_new(&self, name: &str) -> bool {
        self.new.iter().any(|new| new == name)
    }
}

fn merge(whole: &mut File, piece: File, tables: &Tables) {
    let File { dpdk, workers, connections, timeouts, ipvs, ip, port, route, neighbour, mark, service } = piece;
    fn replace<T>(old: &mut T, new: T, is_new: bool) {
        if is_new {
            *old = new;
        }
    }
    replace(&mut whole.dpdk, dpdk, tables.is_new("dpdk"));
    replace(&mut whole.workers, workers, tables.is_new("workers"));
    replace(&mut whole.connections, connections, tables.is_new("connections"));
    replace(&mut whole.timeouts, timeouts, tables.is_new("timeouts"));
    replace(&mut whole.ipvs, ipvs, tables.is_new("ipvs"));
    replace(&mut whole.ip, ip, tables.is_new("ip"));
    whole.port.extend(port);
    whole.route.extend(route);
    whole.neighbour.extend(neighbour);
    whole.mark.extend(mark);
    whole.service.extend(service);
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use proptest::prelude::*;

    const HEAD: &str = "[[port]]\nname = \"client\"\ndevice = \"net_null0\"\naddresses = [\"192.0.2.254/24\"]\n";

    fn services(count: u32) -> String {
        let service = |n: u32| {
            let address = std::net::Ipv4Addr::from(0x1400_0000 + n);
            let server =
                |n: u32| format!("  [[service.destination]]\n  address = \"10.1.{}.{}\"\n", n / 200, n % 200 + 1);
            format!("[[service]] # one\nprotocol = \"tcp\"\naddress = \"{address}:80\"\n{}{}", server(n), server(n + 1))
        };
        (0..count).map(service).collect()
    }

    fn both(text: &str) -> (Option<Config>, Option<Config>) {
        (Config::parse_in_pieces(text), Config::parse_whole(text, "f").ok())
    }

    #[test]
    fn in_pieces_a_file_says_the_same_as_whole() {
        let tables = "[timeouts]\nudp_s = 7\n[[route]]\nprefix = \"0.0.0.0/0\"\nvia = \"192.0.2.1\"\n";
        for text in [
            format!("{HEAD}{}", services(40)),
            format!("{HEAD}{}{tables}{}", services(3), services(3).replace("20.0.0", "20.1.0")),
            format!("{}{HEAD}{tables}[ip]\nforward = true\n", services(2)),
            HEAD.to_owned(),
        ] {
            let (pieces, whole) = both(&text);
            assert!(whole.is_some(), "{text}");
            assert_eq!(pieces, whole);
        }
    }

    #[test]
    fn what_is_wrong_or_doubtful_in_pieces_is_left_to_the_whole() {
        let long = "[dpdk]\neal_args = [\"\"\"\n[[service]]\n\"\"\"]\n";
        for doubtful in [
            format!("{HEAD}{}[ip]\n{}[ip]\n", services(1), services(1).replace("20.0.0", "20.1.0")),
            format!("{HEAD}{}{}", services(1), services(1)),
            format!("[service]\n{HEAD}{}", services(1)),
            format!("{HEAD}[[service.destination]]\naddress = \"10.0.0.1\"\n{}", services(1)),
            format!("{HEAD}{}wieght = 1\n", services(2)),
            format!("{HEAD}{}x = [\n{}]\n", services(1), services(1)),
        ] {
            assert_eq!(both(&doubtful), (None, None), "{doubtful}");
        }
        let (pieces, whole) = both(&format!("{HEAD}{long}{}", services(2)));
        assert!(pieces.is_none() && whole.is_some_and(|config| config.services.len() == 2));
    }

    /// Lines of a service, right and wrong, usual and unusual.
    const LINES: [&str; 40] = [
        "[[service]]",
        "[[service.destination]]",
        "  [[service.destination]]  # indented",
        "[[ service . destination ]]",
        "[service.destination]",
        "protocol = \"tcp\"",
        "protocol=\"udp\"#",
        "protocol = 'tcp'",
        "address = \"192.0.2.10:80\"",
        "address = \"192.0.2.11:80\"",
        "\taddress\t=\t\"10.1.0.1\" # text",
        "address = \"10.1.0.2:80\"",
        "address = \"10.1.0.3\\u003a80\"",
        "\"address\" = \"10.1.0.4\"",
        "scheduler = \"wrr\"",
        "scheduler = \"none such\"",
        "scheduler_flags = [\"sh-port\"]",
        "persistence_timeout_s = 360",
        "persistence_timeout_s = 0",
        "persistence_mask = \"255.255.255.0\"",
        "forward = \"dr\"",
        "forward = \"nat\"",
        "forward = \"masq\"",
        "forward = \"tun\"",
        "tunnel = \"gre\"",
        "weight = 7",
        "weight = 0",
        "weight = 007",
        "weight = 1_000",
        "weight = +1",
        "weight = 4_294_967_295",
        "weight = 3000000000",
        "weight = \"7\"",
        "weight = 7 7",
        "threshold_upper = 40",
        "threshold_lower = 70000",
        "threshold_lower = 30",
        "port = \"client\"",
        "# \u{7f}",
        "",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn whatever_stands_in_services_pieces_say_the_same_as_the_whole_or_nothing(
            lines in prop::collection::vec((0..LINES.len(), prop::bool::weighted(0.8)), 0..14),
        ) {
            // most are of a few usual lines, so that many are right
            const USUAL: [usize; 8] = [1, 5, 8, 10, 11, 21, 25, 34];
            let line = |&(index, usual): &(usize, bool)| LINES[if usual { USUAL[index % USUAL.len()] } else { index }];
            let lines: Vec<_> = lines.iter().map(line).collect();
            let text = format!("{HEAD}[[service]]\nprotocol = \"tcp\"\n{}", lines.join("\n"));
            let (pieces, whole) = both(&text);
            prop_assert_eq!(pieces, whole, "{}", text);
        }
    }

    #[test]
    fn a_mistake_in_a_long_file_is_told_with_its_line() {
        let text = format!("{HEAD}{}colour = 1\n", services(1000));
        assert!(text.len() > 1 << 16);
        let message = Config::parse(&text, "f").unwrap_err().to_string();
        assert!(message.starts_with(&format!("f:{}: ", text.lines().count())), "{message}");
    }
}

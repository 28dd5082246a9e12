//! Against what ipvsadm 1.31 said and did about a Linux 6.1 kernel.

use super::*;

fn failure(line: &str) -> (u8, String) {
    let Failure { code, message } = parse(line.split_whitespace()).expect_err(line);
    (code, message)
}

#[test]
fn bundles_attached_values_and_long_names_mean_the_same() {
    let parsed = |line: &str| parse(line.split_whitespace()).unwrap_or_else(|e| panic!("{line}: {e}"));
    for lines in [
        ["-Ln", "-l -n", "--list --numeric"],
        [
            "-a -t 192.0.2.1:80 -r 10.0.0.1 -mw5",
            "-a -t 192.0.2.1:80 -r 10.0.0.1:80 -m -w 5",
            "-at192.0.2.1:80 -r=10.0.0.1 --weight=5 -m",
        ],
        ["-A -t 192.0.2.1:80 -p -s wlc", "-A -t 192.0.2.1:80 -p 360", "-A --tcp-service=192.0.2.1:80 --persistent=360"],
        ["-A -f 7 -6", "-A -f 7 --ipv6 -s wlc", "-A6f7"],
    ] {
        if lines[2] == "-A6f7" {
            assert_eq!(failure(lines[2]), (2, "-6 used before -f".to_owned()));
            assert_eq!(parsed(lines[0]), parsed(lines[1]));
            continue;
        }
        assert_eq!((parsed(lines[0]), parsed(lines[0])), (parsed(lines[1]), parsed(lines[2])), "{lines:?}");
    }
}

#[test]
fn a_port_that_the_packet_keeps_is_the_services() {
    let Ok(Command::AddServer(_, server)) = parse("-a -t 192.0.2.1:80 -r 10.0.0.1:8080 -g".split(' ')) else {
        panic!()
    };
    assert_eq!((server.at.port(), server.weight, server.forward), (80, 1, Forward::Dr));
    let Ok(Command::AddServer(_, server)) = parse("-a -t 192.0.2.1:80 -r 10.0.0.1:8080 -m".split(' ')) else {
        panic!()
    };
    assert_eq!(server.at.port(), 8080);
}

#[test]
fn mistakes_are_told_as_ipvsadm_tells_them() {
    for (line, code, message) in [
        ("--set -1 5 5", 255, "-1: unknown option"),
        ("--set 99999999 5 5", 2, "invalid timeout value `99999999' specified"),
        ("--set 5 5", 2, "--set option requires 3 timeout values"),
        ("--start-daemon master --mcast-interface sync --syncid 300", 2, "illegal syncid specified"),
        (
            "--stop-daemon master --mcast-interface sync",
            2,
            "Illegal 'mcast-interface' option with the 'stop-daemon' command",
        ),
        ("-A -f 0 -s rr", 2, "invalid fwmark value `0' specified"),
        ("-A -t 192.0.2.100:0 -s rr", 2, "Zero port specified for non-persistent service"),
        ("-A -t 192.0.2.102:80 -s wrr -o", 2, "One-Packet Scheduling is only for UDP virtual services"),
        ("-A -t 192.0.2.104:80 -s rr -p 0", 2, "invalid timeout value `0' specified"),
        ("-A -t 192.0.2.107:80 -s sh -b nosuchflag", 2, "invalid scheduler flag `nosuchflag'"),
        ("-A -t 192.0.2.110:70000 -s rr", 2, "illegal virtual server address[:port] specified"),
        ("-A -t [2001:db8:1::100]:81 -s rr -p 10 -M 129", 2, "illegal ipv6 netmask specified"),
        ("-a -t 192.0.2.100:80 -r 10.10.0.13:80 -m -w -5", 2, "illegal weight specified"),
        ("-a -t 192.0.2.100:80 -r 10.10.0.14:80 -m -w 70000000000", 2, "illegal weight specified"),
        (
            "-a -t 192.0.2.100:80 -r [2001:db8:20::11]:80 -m",
            2,
            "Different address family is allowed only for tunneling servers",
        ),
        ("-A -s rr", 2, "You need to supply the 'service-address' option for the 'add-service' command"),
        ("-D -t 192.0.2.1:80 -w 3", 2, "Illegal 'weight' option with the 'delete-service' command"),
        ("-A -t 192.0.2.1:80 -u 192.0.2.1:80", 2, "multiple 'service-address' options specified"),
        ("-L -c --stats", 2, "options conflicts in the list command"),
        ("-L -C", 2, "multiple commands specified"),
        ("-L more", 2, "unexpected argument more"),
        ("-A --nosuch", 255, "--nosuch: unknown option"),
        ("-A -t", 255, "-t: missing argument"),
        ("more", 255, "Try `ipvsadm -h' or 'ipvsadm --help' for more information."),
    ] {
        assert_eq!(failure(line), (code, message.to_owned()), "{line}");
    }
}

mod recorded {
    //! Whole sessions of ipvsadm, played on a state.

    use super::super::views;
    use super::*;
    use crate::control::api::views::{DestCounts, ServiceView};
    use crate::control::fake;
    use crate::control::state::State;
    use crate::model::Time;
    use serde_json::Value;

    fn services(state: &State) -> Vec<ServiceView> {
        let snapshot = state.snapshot();
        let none = |_| DestCounts::default();
        snapshot
            .services
            .iter()
            .map(|(_, service)| views::service(snapshot, service, DestCounts::default(), &none))
            .collect()
    }

    /// Code, standard output, standard error.
    fn run(state: &mut State, line: &str) -> (u8, String, String) {
        let mut out = Vec::new();
        match try_run(state, line, &mut out) {
            Ok(()) => (0, String::from_utf8(out).unwrap(), String::new()),
            Err(failure) => (failure.code, String::new(), format!("{failure}\n")),
        }
    }

    fn try_run(state: &mut State, line: &str, out: &mut Vec<u8>) -> Result<(), Failure> {
        let command = parse(line.split_whitespace().skip(1))?;
        let printed = match &command {
            Command::List(List::Services { only, style, .. }) => {
                let mut rows = services(state);
                match only {
                    None => listing::version(out, 4096).unwrap(),
                    Some(key) => rows.retain(|service| service.is(key)),
                }
                if only.is_some() && rows.is_empty() {
                    return Err(Failure::not_listed());
                }
                listing::list(out, rows, *style, &names::Numbers)
            }
            Command::List(List::Timeouts) => listing::timeouts(out, &state.snapshot().timeouts.global().into()),
            Command::List(List::Connections { .. }) => listing::connections_heading(out),
            Command::Save { .. } => save::save(out, services(state), &names::Numbers),
            Command::Help => std::io::Write::write_all(out, format!("{VERSION}{HELP}").as_bytes()),
            Command::Version => std::io::Write::write_all(out, VERSION.as_bytes()),
            _ => return apply(state, &command, Time::from_s(1)),
        };
        printed.unwrap();
        Ok(())
    }

    /// What our listings say otherwise: names of hosts and services instead of numbers, and daemons.
    fn is_ours(line: &str) -> bool {
        !line.contains("daemon") && (line != "ipvsadm -L") && !line.ends_with("-R")
    }

    #[test]
    fn sessions_of_ipvsadm_go_as_they_went() {
        let mut played = 0;
        for session in [
            include_str!("../../../tests/vectors/netlink-basic.json"),
            include_str!("../../../tests/vectors/netlink-kinds.json"),
            include_str!("../../../tests/vectors/netlink-misc.json"),
        ] {
            let session: Value = serde_json::from_str(session).unwrap();
            let mut state = fake::commands().state;
            state.delete_services(Time::from_s(1)).unwrap();
            for result in session["results"].as_array().unwrap() {
                let text = |key: &str| result[key].as_str().unwrap().to_owned();
                let line = text("cmd");
                if is_ours(&line) {
                    let code = result["rc"].as_u64().unwrap() as u8;
                    assert_eq!(run(&mut state, &line), (code, text("stdout"), text("stderr")), "{line}");
                    played += 1;
                }
            }
        }
        assert!(played > 60, "{played}");
    }
}

/// Command lines of ipvsadm 1.31, what it exited with, and what it said: nothing it said was up to a kernel.
const RECORDED: &str = include_str!("recorded.tsv");

#[test]
fn command_lines_are_taken_and_refused_as_ipvsadm_did() {
    let mut differences = Vec::new();
    for line in RECORDED.lines() {
        let mut columns = line.split('\t');
        let mut column = || columns.next().expect("three columns");
        let code: u8 = column().parse().expect("an exit code");
        let message: String = serde_json::from_str(column()).expect("a message");
        let words: Vec<String> = serde_json::from_str(column()).expect("words");
        let came = parse(words.clone()).err().map(|failure| (failure.code, failure.message.trim_end().to_owned()));
        if came != (code != 0).then_some((code, message.clone())) {
            differences.push(format!("{words:?}\n  {code} {message:?}\n  {came:?}"));
        }
    }
    assert!(differences.is_empty(), "{}: expected, came:\n{}", differences.len(), differences.join("\n"));
}

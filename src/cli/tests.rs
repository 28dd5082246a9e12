//! The command line against a director behind a real socket.

use super::*;
use crate::control::api::server::Server;
use crate::control::commands::Commands;
use crate::control::fake::{self, Fake};
use clap::CommandFactory;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

/// Exit code, output, error output.
type Ran = (u8, String, String);

fn run(socket: &Path, line: &str) -> Ran {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let args = ["pollux", "--socket", socket.to_str().unwrap()].into_iter().chain(line.split_whitespace());
    let code = main_with(args, &mut out, &mut err);
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

fn done(text: &str) -> Ran {
    (0, text.to_owned(), String::new())
}

fn failed(text: &str) -> Ran {
    (1, String::new(), format!("pollux: {text}\n"))
}

/// Serves a fake director until `test` returns.
fn with_director(test: impl FnOnce(&Path) + Send) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pollux.sock");
    let mut commands = fake::commands();
    let mut server: Server<Commands<Fake>> = Server::bind(&path).unwrap();
    let (running, watched) = UnixStream::pair().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            // closed at the end, also when the test panics
            let _running = running;
            test(&path);
        });
        let minute = Duration::from_secs(60);
        while server.poll(minute, &[watched.as_fd()], &mut commands).unwrap() == [false] {}
    });
}

#[test]
fn the_verbs_are_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn without_a_director_it_says_what_to_type() {
    let expected = "pollux is not running on /nonexistent/s: start it with `pollux run --config FILE`, \
                    or give --socket";
    for line in ["reload", "show drops", "service delete tcp 192.0.2.1:80"] {
        assert_eq!(run(Path::new("/nonexistent/s"), line), failed(expected));
    }
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let lines = [
        "",
        "fly",
        "show weather",
        "service add tcp 192.0.2.1",
        "service add tcp 7",
        "service add mark 192.0.2.1:80",
        "service add tcp 192.0.2.1:80 --persistence-mask 255.0.255",
        "destination add tcp 192.0.2.10:80 server-1",
        "destination add tcp 192.0.2.10:80 10.0.0.1 --forward masq",
        "destination add tcp 192.0.2.10:80 10.0.0.1 --tunnel vxlan",
        "service edit tcp 192.0.2.10:80 --drain-deadline soon",
    ];
    for line in lines {
        let (code, out, err) = run(Path::new("/nonexistent/s"), line);
        assert_eq!((code, out.as_str()), (2, ""), "{line}: {err}");
        assert!(!err.is_empty(), "{line}");
    }
}

#[test]
fn help_and_version_are_output() {
    let (code, out, err) = run(Path::new("/nonexistent/s"), "destination add --help");
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("--weight <N>"), "{out}");
    assert_eq!(run(Path::new("s"), "--version"), done(concat!("pollux ", env!("CARGO_PKG_VERSION"), "\n")));
}

#[test]
fn services_and_destinations_change_at_run_time() {
    with_director(|socket| {
        let run = |line: &str| run(socket, line);
        assert_eq!(run("service add udp 192.0.2.10:53"), done("service UDP 192.0.2.10:53 added\n"));
        let added = "destination 10.1.0.9:5353 of UDP 192.0.2.10:53 added\n";
        assert_eq!(run("destination add udp 192.0.2.10:53 10.1.0.9:5353 --forward nat -w 4"), done(added));
        let edited = "destination 10.1.0.2:80 of TCP 192.0.2.10:80 edited\n";
        assert_eq!(run("destination edit tcp 192.0.2.10:80 10.1.0.2 --weight 0"), done(edited));
        let again = "Destination already exists: 10.1.0.2:80 of TCP 192.0.2.10:80";
        assert_eq!(run("destination add tcp 192.0.2.10:80 10.1.0.2"), failed(again));
        let services = [
            "IP Virtual Server version 1.2.1 (size=4096)",
            "Prot LocalAddress:Port Scheduler Flags",
            "  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn",
            "TCP  192.0.2.10:80 rr",
            "  -> 10.1.0.1:8080                Masq    3      1          10        ",
            "  -> 10.1.0.2:80                  Route   0      2          11        ",
            "UDP  192.0.2.10:53 wlc",
            "  -> 10.1.0.9:5353                Masq    4      3          12        ",
            "",
        ];
        let services = services.join("\n");
        assert_eq!(run("show services"), done(&services));
        let deleted = "destination 10.1.0.2:80 of TCP 192.0.2.10:80 deleted\n";
        assert_eq!(run("destination delete tcp 192.0.2.10:80 10.1.0.2"), done(deleted));
        assert_eq!(run("service edit tcp 192.0.2.10:80 -s wrr"), done("service TCP 192.0.2.10:80 edited\n"));
        let all = "service edit udp 192.0.2.10:53 --tcp-established 7200 --tcp-fin-wait 9 --udp 8 --drain-deadline 600 \
                   --reset-on-idle-expiry --reschedule-udp false --persistence-timeout 60 --persistence-engine sip";
        assert_eq!(run(all), done("service UDP 192.0.2.10:53 edited\n"));
        let tunnel = "destination add udp 192.0.2.10:53 10.1.0.10 --forward tun --tunnel gue --tunnel-port 6080 \
                      --tunnel-checksum full";
        assert_eq!(run(tunnel), done("destination 10.1.0.10:53 of UDP 192.0.2.10:53 added\n"));
        assert_eq!(run("service delete udp 192.0.2.10:53"), done("service UDP 192.0.2.10:53 deleted\n"));
        assert_eq!(run("service delete udp 192.0.2.10:53"), failed("No such service: UDP 192.0.2.10:53"));
        let (code, out, _) = run("reload");
        let mut lines: Vec<_> = out.lines().collect();
        lines.sort_unstable();
        let expected =
            ["destination 10.1.0.2:80 added to TCP 192.0.2.10:80", "service TCP 192.0.2.10:80: scheduler wrr -> rr"];
        assert_eq!((code, lines), (0, expected.to_vec()));
        assert_eq!(run("reload"), done("nothing changed\n"));
    });
}

#[test]
fn json_is_the_same_for_programs() {
    with_director(|socket| {
        let json = |what: &str| -> Vec<serde_json::Value> {
            let (code, out, err) = run(socket, &format!("show {what} --json"));
            assert_eq!((code, err.as_str()), (0, ""));
            serde_json::from_str(&out).unwrap()
        };
        let service = &json("services")[0];
        assert_eq!(service["address"], "192.0.2.10");
        assert_eq!(service["destinations"][0]["threshold_upper"], 40, "the head of the list comes first");
        assert_eq!(service["destinations"][1]["active"], 1);
        let destination = &json("destinations")[1];
        assert_eq!((&destination["service"], &destination["weight"]), (&"TCP 192.0.2.10:80".into(), &3.into()));
        let connections = json("connections");
        assert_eq!(connections.len(), 2500);
        assert_eq!(connections[2499]["client"], format!("198.51.100.1:{}", 1024 + 2499));
        assert_eq!(connections[0]["virtual"], "192.0.2.10:80");
        assert_eq!(json("drops").len(), crate::model::DropReason::COUNT);
        assert_eq!(json("workers")[0]["received"], 99);
        assert_eq!(json("workers")[0]["burst_times"]["p9999_ns"], 12_345);
        assert_eq!(json("workers")[0]["tables"][1]["bytes_used"], 3 << 19);
        assert_eq!(json("ports")[0]["rx_packets"], 12);
        assert_eq!(json("neighbours")[0]["mac"], serde_json::Value::Null);
        assert_eq!(json("routes").len(), 3);
    });
}

#[test]
fn tables_are_for_people() {
    with_director(|socket| {
        let show = |what: &str| {
            let (code, out, err) = run(socket, &format!("show {what}"));
            assert_eq!((code, err.as_str()), (0, ""));
            out
        };
        let connections = show("connections");
        assert_eq!(connections.lines().count(), 2 + 2500);
        let first = "TCP 14:56  ESTABLISHED 198.51.100.1:1024  192.0.2.10:80      10.1.0.1:8080";
        assert_eq!(connections.lines().nth(2), Some(first));
        let drops = show("drops");
        assert_eq!(drops.lines().count(), 1 + crate::model::DropReason::COUNT);
        assert!(drops.contains("\nno_service"), "{drops}");
        assert!(drops.lines().any(|line| line.starts_with("truncated  ") && line.contains("  0  ")), "{drops}");
        let routes = "\
PREFIX        VIA        PORT    ORIGIN
192.0.2.0/24  -          client  connected
10.0.0.0/8    -          server  connected
0.0.0.0/0     192.0.2.1  client  static
";
        assert_eq!(show("routes"), routes);
        let neighbours = "ADDRESS    PORT    MAC  STATE\n192.0.2.1  client  -    incomplete\n";
        assert_eq!(show("neighbours"), neighbours);
        assert!(show("ports").contains("up 10000 Mbit/s"));
        let workers = show("workers");
        let row: Vec<_> = workers.lines().nth(1).unwrap().split("  ").filter(|cell| !cell.is_empty()).collect();
        let end = ["1.9us", "-", "12.3us", "1234.5us", "0", "160.0/160.0 MiB", "1.5/160.0 MiB", "huge"];
        assert_eq!(row[row.len() - end.len()..].iter().map(|cell| cell.trim()).collect::<Vec<_>>(), end);
        let destinations = show("destinations");
        assert!(destinations.lines().nth(2).unwrap().contains("40/30"), "{destinations}");
    });
}

/// A reader that has gone.
struct Gone;

impl Write for Gone {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(ErrorKind::BrokenPipe.into())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    with_director(|socket| {
        for what in ["connections", "connections --json", "services", "services --json", "drops"] {
            let mut err = Vec::new();
            let line = format!("pollux --socket {} show {what}", socket.display());
            assert_eq!(main_with(line.split(' '), &mut Gone, &mut err), 0, "{what}");
            assert_eq!(String::from_utf8(err).unwrap(), "");
        }
    });
}

#[test]
fn check_says_what_a_file_has_or_where_it_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let good = directory.path().join("good.toml");
    std::fs::write(&good, fake::CONFIG).unwrap();
    let ok = format!("{}: ok (2 ports, 1 service, 2 destinations)\n", good.display());
    assert_eq!(run(Path::new("s"), &format!("check {}", good.display())), done(&ok));
    let bad = directory.path().join("bad.toml");
    std::fs::write(&bad, fake::CONFIG.replace("scheduler", "shceduler")).unwrap();
    let (code, out, err) = run(Path::new("s"), &format!("check {}", bad.display()));
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("bad.toml:") && err.contains("shceduler"), "{err}");
}

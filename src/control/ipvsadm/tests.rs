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

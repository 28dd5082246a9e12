//! Hosts and services by name, as ipvsadm takes them always and prints them unless told not to (`-n`).
//!
//! Names are looked up where the command is typed, never by the director: looking up can take seconds.

use super::option::{Id, Words};
use super::parse::place;
use std::net::IpAddr;

/// The system's names. A protocol is `tcp`, `udp` or `sctp`; others have no names of ports.
pub trait Names {
    fn host(&self, address: IpAddr) -> Option<String>;
    fn service(&self, port: u16, protocol: &str) -> Option<String>;
    fn address(&self, host: &str) -> Option<IpAddr>;
    fn port(&self, service: &str, protocol: &str) -> Option<u16>;
}

/// Everything is a number.
#[derive(Clone, Copy, Debug)]
pub struct Numbers;

impl Names for Numbers {
    fn host(&self, _: IpAddr) -> Option<String> {
        None
    }
    fn service(&self, _: u16, _: &str) -> Option<String> {
        None
    }
    fn address(&self, _: &str) -> Option<IpAddr> {
        None
    }
    fn port(&self, _: &str, _: &str) -> Option<u16> {
        None
    }
}

/// `192.0.2.10:80`, `[2001:db8::10]:80`, `www.example.org:http`.
pub fn written(names: &dyn Names, address: IpAddr, port: u16, protocol: &str) -> String {
    let host = names.host(address).unwrap_or_else(|| address.to_string());
    let port = names.service(port, protocol).unwrap_or_else(|| port.to_string());
    if address.is_ipv6() { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The same command line with numbers for names, every option in its long form. What makes no sense stays as it is.
pub fn resolve(words: &[String], names: &dyn Names) -> Vec<String> {
    let mut read = Words::new(words.iter().cloned());
    let mut resolved = Vec::new();
    let mut protocol = "";
    loop {
        match read.next() {
            Ok(Some((id, value))) => {
                protocol = match id {
                    Id::TcpService => "tcp",
                    Id::UdpService => "udp",
                    Id::SctpService => "sctp",
                    _ => protocol,
                };
                let is_place = matches!(id, Id::TcpService | Id::UdpService | Id::SctpService | Id::RealServer);
                let value = value.map(|text| if is_place { number(&text, protocol, names) } else { text });
                let long = id.long();
                resolved.push(value.map_or_else(|| format!("--{long}"), |value| format!("--{long}={value}")));
            }
            Ok(None) => break,
            // told where the line is parsed
            Err(_) => return words.to_vec(),
        }
    }
    resolved.extend(read.others);
    resolved
}

fn number(text: &str, protocol: &str, names: &dyn Names) -> String {
    if place(text).is_some() {
        return text.to_owned();
    }
    let (host, service) = match text.rsplit_once(':') {
        Some((host, service)) => (host, Some(service)),
        None => (text, None),
    };
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let address = bare.parse().ok().or_else(|| names.address(bare));
    let port = service.map(|service| service.parse().ok().or_else(|| names.port(service, protocol)));
    match (address, port) {
        (Some(address), None) => address.to_string(),
        (Some(address), Some(Some(port))) => std::net::SocketAddr::new(address, port).to_string(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    struct Table;

    impl Names for Table {
        fn host(&self, address: IpAddr) -> Option<String> {
            (address.to_string() == "192.0.2.10").then(|| "www.example.org".to_owned())
        }
        fn service(&self, port: u16, protocol: &str) -> Option<String> {
            (port == 80 && protocol == "tcp").then(|| "http".to_owned())
        }
        fn address(&self, host: &str) -> Option<IpAddr> {
            (host == "www.example.org").then(|| "192.0.2.10".parse().unwrap())
        }
        fn port(&self, service: &str, protocol: &str) -> Option<u16> {
            (service == "http" && protocol == "tcp").then_some(80)
        }
    }

    fn resolved(line: &str) -> String {
        resolve(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>(), &Table).join(" ")
    }

    #[test]
    fn names_on_a_command_line_become_numbers() {
        for (typed, meant) in [
            ("-A -t www.example.org:http -s rr", "--add-service --tcp-service=192.0.2.10:80 --scheduler=rr"),
            (
                "-at www.example.org:81 -r 10.0.0.1:http -w5",
                "--add-server --tcp-service=192.0.2.10:81 --real-server=10.0.0.1:80 --weight=5",
            ),
            ("-Lt [2001:db8::1]:http -n", "--list --tcp-service=[2001:db8::1]:80 --numeric"),
            ("-D -u www.example.org", "--delete-service --udp-service=192.0.2.10"),
            ("-A -u www.example.org:http -p", "--add-service --udp-service=www.example.org:http --persistent"),
            ("--set 1 2 3", "--set 1 2 3"),
        ] {
            assert_eq!(resolved(typed), meant);
        }
    }

    #[test]
    fn a_line_without_names_means_the_same_resolved() {
        for line in [
            "-A -t 192.0.2.10:80 -s sh -b sh-port -p -M 255.255.255.0",
            "-A -f 7 -6 -p 60 --pe sip",
            "-a -t 192.0.2.10:80 -r 10.0.0.1 -i --tun-type gue --tun-port 6080 --tun-csum -x 5 -y3",
            "-Ln --stats --exact",
            "--set 1 2 3",
            "-A -t 192.0.2.10:80 -q",
        ] {
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            assert_eq!(parse(resolve(&words, &Table)), parse(words), "{line}");
        }
    }

    #[test]
    fn what_has_no_name_is_written_as_a_number() {
        let text = |address: &str, port, protocol| written(&Table, address.parse().unwrap(), port, protocol);
        assert_eq!(text("192.0.2.10", 80, "tcp"), "www.example.org:http");
        assert_eq!(text("192.0.2.10", 80, "udp"), "www.example.org:80");
        assert_eq!(text("2001:db8::1", 80, "tcp"), "[2001:db8::1]:http");
    }
}

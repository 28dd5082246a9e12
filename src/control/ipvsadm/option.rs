//! ipvsadm's options, and how popt splits a command line into them.

use super::failure::Failure;
use std::collections::VecDeque;

macro_rules! options {
    ($($id:ident $long:literal $short:literal $takes:ident;)*) => {
        /// An option.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Id { $($id),* }

        const OPTIONS: &[(Id, &str, char, Takes)] = &[$((Id::$id, $long, $short, Takes::$takes)),*];
    };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    Nothing,
    Text,
    /// The next word, unless it is an option itself.
    Perhaps,
}

/// Short name of those without one.
const NONE: char = '\0';

options! {
    AddService "add-service" 'A' Nothing;
    EditService "edit-service" 'E' Nothing;
    DeleteService "delete-service" 'D' Nothing;
    Clear "clear" 'C' Nothing;
    List "list" 'L' Nothing;
    ListToo "list" 'l' Nothing;
    Zero "zero" 'Z' Nothing;
    AddServer "add-server" 'a' Nothing;
    EditServer "edit-server" 'e' Nothing;
    DeleteServer "delete-server" 'd' Nothing;
    Set "set" '\0' Nothing;
    Help "help" 'h' Nothing;
    Version "version" 'v' Nothing;
    Restore "restore" 'R' Nothing;
    Save "save" 'S' Nothing;
    StartDaemon "start-daemon" '\0' Text;
    StopDaemon "stop-daemon" '\0' Text;
    TcpService "tcp-service" 't' Text;
    UdpService "udp-service" 'u' Text;
    SctpService "sctp-service" '\0' Text;
    MarkService "fwmark-service" 'f' Text;
    Ipv6 "ipv6" '6' Nothing;
    Scheduler "scheduler" 's' Text;
    Persistent "persistent" 'p' Perhaps;
    Netmask "netmask" 'M' Text;
    Engine "pe" '\0' Text;
    OnePacket "ops" 'o' Nothing;
    SchedulerFlags "sched-flags" 'b' Text;
    RealServer "real-server" 'r' Text;
    Masquerading "masquerading" 'm' Nothing;
    Ipip "ipip" 'i' Nothing;
    Gatewaying "gatewaying" 'g' Nothing;
    TunnelType "tun-type" '\0' Text;
    TunnelPort "tun-port" '\0' Text;
    TunnelNoChecksum "tun-nocsum" '\0' Nothing;
    TunnelChecksum "tun-csum" '\0' Nothing;
    TunnelRemoteChecksum "tun-remcsum" '\0' Nothing;
    Weight "weight" 'w' Text;
    UpperThreshold "u-threshold" 'x' Text;
    LowerThreshold "l-threshold" 'y' Text;
    Numeric "numeric" 'n' Nothing;
    Connection "connection" 'c' Nothing;
    Timeout "timeout" '\0' Nothing;
    Daemon "daemon" '\0' Nothing;
    Stats "stats" '\0' Nothing;
    Rate "rate" '\0' Nothing;
    Thresholds "thresholds" '\0' Nothing;
    PersistentConn "persistent-conn" '\0' Nothing;
    TunnelInfo "tun-info" '\0' Nothing;
    NoSort "nosort" '\0' Nothing;
    Sort "sort" '\0' Nothing;
    Exact "exact" 'X' Nothing;
    McastInterface "mcast-interface" '\0' Text;
    McastAddress "mcast-group" '\0' Text;
    McastPort "mcast-port" '\0' Text;
    McastTtl "mcast-ttl" '\0' Text;
    Sync "syncid" '\0' Text;
    SyncMaxLen "sync-maxlen" '\0' Text;
}

impl Id {
    /// Its long name.
    pub fn long(self) -> &'static str {
        OPTIONS.iter().find(|(id, ..)| *id == self).map_or("", |(_, long, ..)| long)
    }
}

/// A command line on its way through popt: bundled short options (`-Ln`), values attached (`-w5`, `--syncid=5`) or as
/// the next word.
pub struct Words {
    rest: VecDeque<String>,
    /// Of a bundle of short options.
    bundle: VecDeque<char>,
    /// What is no option.
    pub others: Vec<String>,
}

impl Words {
    pub fn new<W: Into<String>>(words: impl IntoIterator<Item = W>) -> Self {
        Self { rest: words.into_iter().map(Into::into).collect(), bundle: VecDeque::new(), others: Vec::new() }
    }

    /// The next option with its value.
    pub fn next(&mut self) -> Result<Option<(Id, Option<String>)>, Failure> {
        loop {
            if let Some(short) = self.bundle.pop_front() {
                return self.short(short).map(Some);
            }
            let Some(word) = self.rest.pop_front() else { return Ok(None) };
            match (word.strip_prefix("--"), word.strip_prefix('-')) {
                (Some(""), _) => self.others.extend(std::mem::take(&mut self.rest)),
                (Some(long), _) => return self.long(long).map(Some),
                (None, Some(shorts)) if !shorts.is_empty() => self.bundle = shorts.chars().collect(),
                _ => self.others.push(word),
            }
        }
    }

    fn long(&mut self, text: &str) -> Result<(Id, Option<String>), Failure> {
        let (name, attached) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        let found = OPTIONS.iter().find(|(_, long, ..)| *long == name);
        let &(id, .., takes) = found.ok_or_else(|| complain(&format!("--{name}"), "unknown option"))?;
        if takes == Takes::Nothing && attached.is_some() {
            return Err(complain(&format!("--{name}"), "option does not take an argument"));
        }
        self.value(id, takes, attached, &format!("--{name}"))
    }

    fn short(&mut self, name: char) -> Result<(Id, Option<String>), Failure> {
        let spelling = format!("-{name}");
        let found = OPTIONS.iter().find(|(_, _, short, _)| *short == name && name != NONE);
        let &(id, .., takes) = found.ok_or_else(|| complain(&spelling, "unknown option"))?;
        if takes == Takes::Nothing || self.bundle.is_empty() {
            return self.value(id, takes, None, &spelling);
        }
        let attached: String = std::mem::take(&mut self.bundle).into_iter().collect();
        let attached = attached.strip_prefix('=').map(str::to_owned).unwrap_or(attached);
        self.value(id, takes, Some(attached), &spelling)
    }

    fn value(
        &mut self,
        id: Id,
        takes: Takes,
        attached: Option<String>,
        spelling: &str,
    ) -> Result<(Id, Option<String>), Failure> {
        let is_value = |word: &&String| !word.starts_with('-');
        let value = match takes {
            Takes::Nothing => None,
            _ if attached.is_some() => attached,
            Takes::Perhaps if self.rest.front().filter(is_value).is_none() => None,
            Takes::Perhaps => self.rest.pop_front(),
            Takes::Text => Some(self.rest.pop_front().ok_or_else(|| complain(spelling, "missing argument"))?),
        };
        Ok((id, value))
    }
}

fn complain(option: &str, what: &str) -> Failure {
    Failure::refused(format!("{option}: {what}"))
}

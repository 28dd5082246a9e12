//! A command line to a [`Command`], with ipvsadm's checks in ipvsadm's order.

use super::failure::Failure;
use super::listing::{Columns, Style};
use super::option::{Id, Words};
use super::permitted::{Group, Seen, Verb};
use super::{Command, List, ServerSpec, ServiceSpec};
use crate::control::config::values::SCHEDULER_FLAGS;
use crate::control::state::TimeoutsEdit;
use crate::model::{ClientMask, Family, Forward, Protocol, ServiceKey, Tunnel, TunnelChecksum, TunnelKind};
use crate::sched::registry::SchedulerKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// 31 days, ipvsadm's MAX_TIMEOUT.
const TIMEOUT_S_MAX: u32 = 86_400 * 31;
/// Of `-p` without a value (IPVS_SVC_PERSISTENT_TIMEOUT).
const PERSISTENCE_TIMEOUT_S: u32 = 360;
/// Of `-x` and `-y`.
const THRESHOLD_MAX: u32 = i32::MAX as u32;
/// Longest sync message: 65535 less IPv6 and UDP headers.
const SYNC_LEN_MAX: u32 = 65_535 - 40 - 8;

/// The words after `ipvsadm`.
pub fn parse<W: Into<String>>(words: impl IntoIterator<Item = W>) -> Result<Command, Failure> {
    let words: Vec<String> = words.into_iter().map(Into::into).collect();
    if words.is_empty() {
        return Ok(Command::List(List::Services { only: None, style: Style::default(), numeric: false }));
    }
    let mut words = Words::new(words);
    let verb = match words.next() {
        Ok(Some((Id::Help, _))) => return Ok(Command::Help),
        Ok(Some((Id::Version, _))) => return Ok(Command::Version),
        Ok(Some((option, value))) => verb(option, value.as_deref())?,
        _ => return Err(try_help()),
    };
    let mut line = Line::default();
    while let Some((option, value)) = words.next()? {
        line.take(option, value.unwrap_or_default())?;
    }
    let timeouts = if verb == Verb::Set { Some(timeouts(&mut words)?) } else { None };
    if let Some(word) = words.others.first() {
        return Err(Failure::usage(format!("unexpected argument {word}")));
    }
    line.check_flags()?;
    line.seen.check(verb)?;
    line.command(verb, timeouts)
}

fn try_help() -> Failure {
    Failure::refused("Try `ipvsadm -h' or 'ipvsadm --help' for more information.")
}

fn verb(option: Id, value: Option<&str>) -> Result<Verb, Failure> {
    let verb = Verb::of(option).ok_or_else(try_help)?;
    let is_side = matches!(value, Some("master" | "backup"));
    match verb {
        Verb::StartDaemon if !is_side => Err(Failure::usage("illegal start-daemon parameter specified")),
        Verb::StopDaemon if !is_side => Err(Failure::usage("illegal start_daemon specified")),
        _ => Ok(verb),
    }
}

fn timeouts(words: &mut Words) -> Result<TimeoutsEdit, Failure> {
    if words.others.len() < 3 {
        return Err(Failure::usage("--set option requires 3 timeout values"));
    }
    let values: Vec<String> = words.others.drain(..3).collect();
    let seconds = |index: usize| timeout(&values[index], 0);
    Ok(TimeoutsEdit { tcp_established_s: seconds(0)?, tcp_fin_wait_s: seconds(1)?, udp_s: seconds(2)? })
}

fn timeout(text: &str, min: u32) -> Result<u32, Failure> {
    number(text, min, TIMEOUT_S_MAX).ok_or_else(|| Failure::usage(format!("invalid timeout value `{text}' specified")))
}

/// As strtol has it: space in front is skipped.
fn number(text: &str, min: u32, max: u32) -> Option<u32> {
    text.trim_start().parse().ok().filter(|number| (min..=max).contains(number))
}

/// The options of a command line so far.
struct Line {
    seen: Seen,
    protocol: Protocol,
    address: Option<SocketAddr>,
    mark: Option<u32>,
    mark_family: Family,
    scheduler: String,
    scheduler_flags: Vec<String>,
    persistence_timeout_s: Option<u32>,
    persistence_mask: Option<ClientMask>,
    persistence_engine: Option<String>,
    one_packet: bool,
    server: Option<SocketAddr>,
    forward: Forward,
    tunnel: Tunnel,
    weight: u32,
    threshold_upper: u32,
    threshold_lower: u32,
    style: Style,
    mcast_interface: String,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            seen: Seen::default(),
            protocol: Protocol::Tcp,
            address: None,
            mark: None,
            mark_family: Family::V4,
            scheduler: String::new(),
            scheduler_flags: Vec::new(),
            persistence_timeout_s: None,
            persistence_mask: None,
            persistence_engine: None,
            one_packet: false,
            server: None,
            forward: Forward::Dr,
            tunnel: Tunnel::default(),
            weight: 1,
            threshold_upper: 0,
            threshold_lower: 0,
            style: Style::default(),
            mcast_interface: String::new(),
        }
    }
}

impl Line {
    fn take(&mut self, option: Id, value: String) -> Result<(), Failure> {
        match option {
            Id::TcpService => self.service(Protocol::Tcp, &value),
            Id::UdpService => self.service(Protocol::Udp, &value),
            Id::SctpService => self.service(Protocol::Sctp, &value),
            Id::MarkService => self.mark(&value),
            Id::Ipv6 => self.ipv6(),
            Id::Scheduler => self.scheduler(value),
            Id::Persistent => self.persistent(&value),
            Id::Netmask => self.netmask(&value),
            Id::Engine => self.engine(value),
            Id::OnePacket => self.one_packet(),
            Id::SchedulerFlags => self.flags(&value),
            Id::RealServer => self.server(&value),
            Id::Masquerading => self.forward(Forward::Nat),
            Id::Gatewaying => self.forward(Forward::Dr),
            Id::Ipip => self.forward(Forward::Tun(Tunnel::default())),
            Id::TunnelType => self.tunnel_type(&value),
            Id::TunnelPort => self.tunnel_port(&value),
            Id::TunnelNoChecksum => self.tunnel_checksum(Group::TunnelNoChecksum, TunnelChecksum::None),
            Id::TunnelChecksum => self.tunnel_checksum(Group::TunnelChecksum, TunnelChecksum::Full),
            Id::TunnelRemoteChecksum => self.tunnel_checksum(Group::TunnelRemoteChecksum, TunnelChecksum::Remote),
            Id::Weight => self.weight(&value),
            Id::UpperThreshold => self.threshold_upper(&value),
            Id::LowerThreshold => self.threshold_lower(&value),
            _ if Verb::of(option).is_some() || matches!(option, Id::Help | Id::Version) => {
                Err(Failure::usage("multiple commands specified"))
            }
            _ => self.take_of_list(option, &value),
        }
    }

    fn take_of_list(&mut self, option: Id, value: &str) -> Result<(), Failure> {
        match option {
            Id::Numeric => self.seen.add(Group::Numeric),
            Id::Connection => self.seen.add(Group::Connection),
            Id::Timeout => self.seen.add(Group::Timeout),
            Id::Daemon => self.seen.add(Group::Daemon),
            Id::Stats => self.columns(Group::Stats, Columns::Stats),
            Id::Rate => self.columns(Group::Rate, Columns::Rates),
            Id::Thresholds => self.columns(Group::Thresholds, Columns::Thresholds),
            Id::PersistentConn => self.columns(Group::PersistentConn, Columns::Persistence),
            Id::TunnelInfo => self.columns(Group::TunnelInfo, Columns::Tunnels),
            Id::NoSort => {
                self.style.sorted = false;
                self.seen.add(Group::NoSort)
            }
            Id::Exact => {
                self.style.exact = true;
                self.seen.add(Group::Exact)
            }
            // for scripts written when it was not the default
            Id::Sort => Ok(()),
            _ => self.take_of_daemon(option, value),
        }
    }

    fn take_of_daemon(&mut self, option: Id, value: &str) -> Result<(), Failure> {
        let (group, what, range) = match option {
            Id::Sync => (Group::SyncId, "syncid", 0..=255),
            Id::SyncMaxLen => (Group::SyncMaxLen, "sync-maxlen", 1..=SYNC_LEN_MAX),
            Id::McastPort => (Group::McastPort, "mcast-port", 1..=65_535),
            Id::McastTtl => (Group::McastTtl, "mcast-ttl", 1..=255),
            Id::McastAddress => {
                self.seen.add(Group::McastAddress)?;
                return mcast_group(value);
            }
            _ => {
                self.mcast_interface = value.to_owned();
                return self.seen.add(Group::McastInterface);
            }
        };
        self.seen.add(group)?;
        match number(value, *range.start(), *range.end()) {
            Some(_) => Ok(()),
            None => Err(Failure::usage(format!("illegal {what} specified"))),
        }
    }

    fn service(&mut self, protocol: Protocol, text: &str) -> Result<(), Failure> {
        self.seen.add(Group::Service)?;
        let (address, port) =
            place(text).ok_or_else(|| Failure::usage("illegal virtual server address[:port] specified"))?;
        self.protocol = protocol;
        self.address = Some(SocketAddr::new(address, port.unwrap_or(0)));
        Ok(())
    }

    fn mark(&mut self, text: &str) -> Result<(), Failure> {
        self.seen.add(Group::Service)?;
        let mark = number(text, 1, u32::MAX);
        self.mark = Some(mark.ok_or_else(|| Failure::usage(format!("invalid fwmark value `{text}' specified")))?);
        Ok(())
    }

    fn ipv6(&mut self) -> Result<(), Failure> {
        if self.mark.is_none() {
            return Err(Failure::usage("-6 used before -f"));
        }
        self.mark_family = Family::V6;
        Ok(())
    }

    fn scheduler(&mut self, name: String) -> Result<(), Failure> {
        self.scheduler = name;
        self.seen.add(Group::Scheduler)
    }

    fn persistent(&mut self, text: &str) -> Result<(), Failure> {
        self.seen.add(Group::Persistent)?;
        let seconds = if text.is_empty() { PERSISTENCE_TIMEOUT_S } else { timeout(text, 1)? };
        self.persistence_timeout_s = Some(seconds);
        Ok(())
    }

    fn netmask(&mut self, text: &str) -> Result<(), Failure> {
        self.seen.add(Group::Netmask)?;
        let illegal = |what: &str| Failure::usage(format!("illegal {what} specified"));
        let mask = match self.family() {
            Family::V6 => number(text, 1, 128).map(|length| ClientMask::V6(length as u8)),
            Family::V4 => address_of_numbers(text).map(ClientMask::V4),
        };
        let what = if self.family() == Family::V6 { "ipv6 netmask" } else { "virtual server persistent mask" };
        self.persistence_mask = Some(mask.ok_or_else(|| illegal(what))?);
        Ok(())
    }

    fn engine(&mut self, name: String) -> Result<(), Failure> {
        self.persistence_engine = Some(name);
        self.seen.add(Group::Engine)
    }

    fn one_packet(&mut self) -> Result<(), Failure> {
        self.one_packet = true;
        self.seen.add(Group::OnePacket)
    }

    fn flags(&mut self, text: &str) -> Result<(), Failure> {
        self.scheduler_flags = text.split(',').filter(|flag| !flag.is_empty()).map(str::to_owned).collect();
        self.seen.add(Group::SchedulerFlags)
    }

    /// They are looked up among those of the scheduler, when all has been read.
    fn check_flags(&self) -> Result<(), Failure> {
        let name = if self.scheduler.is_empty() { SchedulerKind::default().name() } else { &self.scheduler };
        for flag in &self.scheduler_flags {
            let is_known = SCHEDULER_FLAGS.contains(&flag.as_str());
            let owner = flag.split_once('-').map_or("", |(owner, _)| owner);
            let problem = match owner {
                _ if !is_known => "invalid",
                "flag" => continue,
                owner if owner == name => continue,
                _ => "incompatible",
            };
            return Err(Failure::usage(format!("{problem} scheduler flag `{flag}'")));
        }
        Ok(())
    }

    /// Without a port it is the service's.
    fn server(&mut self, text: &str) -> Result<(), Failure> {
        self.seen.add(Group::RealServer)?;
        let (address, port) =
            place(text).ok_or_else(|| Failure::usage("illegal real server address[:port] specified"))?;
        let port = port.or(self.address.map(|service| service.port())).unwrap_or(0);
        self.server = Some(SocketAddr::new(address, port));
        Ok(())
    }

    fn forward(&mut self, forward: Forward) -> Result<(), Failure> {
        self.forward = forward;
        self.seen.add(Group::Forward)
    }

    fn tunnel_type(&mut self, text: &str) -> Result<(), Failure> {
        self.seen.add(Group::TunnelType)?;
        self.tunnel.kind =
            TunnelKind::from_name(text).ok_or_else(|| Failure::usage("illegal tunnel type specified"))?;
        Ok(())
    }

    fn tunnel_port(&mut self, text: &str) -> Result<(), Failure> {
        self.seen.add(Group::TunnelPort)?;
        let port = number(text, 1, 65_535).ok_or_else(|| Failure::usage("illegal tunnel port specified"))?;
        self.tunnel.port = port as u16;
        Ok(())
    }

    fn tunnel_checksum(&mut self, group: Group, checksum: TunnelChecksum) -> Result<(), Failure> {
        self.tunnel.checksum = checksum;
        self.seen.add(group)
    }

    fn weight(&mut self, text: &str) -> Result<(), Failure> {
        self.seen.add(Group::Weight)?;
        self.weight = number(text, 0, i32::MAX as u32).ok_or_else(|| Failure::usage("illegal weight specified"))?;
        Ok(())
    }

    fn threshold_upper(&mut self, text: &str) -> Result<(), Failure> {
        self.seen.add(Group::UpperThreshold)?;
        let limit = number(text, 0, THRESHOLD_MAX).ok_or_else(|| Failure::usage("illegal u_threshold specified"))?;
        self.threshold_upper = limit;
        Ok(())
    }

    fn threshold_lower(&mut self, text: &str) -> Result<(), Failure> {
        self.seen.add(Group::LowerThreshold)?;
        let limit = number(text, 0, THRESHOLD_MAX).ok_or_else(|| Failure::usage("illegal l_threshold specified"))?;
        self.threshold_lower = limit;
        Ok(())
    }

    fn columns(&mut self, group: Group, columns: Columns) -> Result<(), Failure> {
        self.style.columns = columns;
        self.seen.add(group)
    }

    fn family(&self) -> Family {
        self.address.map_or(self.mark_family, |address| Family::of(address.ip()))
    }

    fn key(&self) -> Option<ServiceKey> {
        let of_mark = self.mark.map(|mark| ServiceKey::Mark { mark, family: self.mark_family });
        let virt = |at: SocketAddr| ServiceKey::Virtual { protocol: self.protocol, address: at.ip(), port: at.port() };
        of_mark.or_else(|| self.address.map(virt))
    }

    fn command(self, verb: Verb, timeouts: Option<TimeoutsEdit>) -> Result<Command, Failure> {
        let key = self.key();
        // `Seen::check` has seen to it for the verbs that need one
        let needed = || key.ok_or_else(|| Failure::usage("You need to supply the 'service-address' option"));
        Ok(match verb {
            Verb::Add => Command::AddService(self.service_spec(needed()?)?),
            Verb::Edit => Command::EditService(self.service_spec(needed()?)?),
            Verb::Delete => Command::DeleteService(needed()?),
            Verb::Clear => Command::Clear,
            Verb::AddServer => Command::AddServer(needed()?, self.server_spec(&needed()?)?),
            Verb::EditServer => Command::EditServer(needed()?, self.server_spec(&needed()?)?),
            Verb::DeleteServer => Command::DeleteServer(needed()?, self.real_server()?),
            Verb::Zero => Command::Zero(key),
            Verb::Set => Command::SetTimeouts(timeouts.unwrap_or_default()),
            Verb::List => Command::List(self.list(key)),
            Verb::Save => Command::Save { numeric: self.seen.has(Group::Numeric) },
            Verb::Restore => Command::Restore,
            Verb::StartDaemon => Command::StartDaemon(self.mcast_interface),
            Verb::StopDaemon => Command::StopDaemon,
        })
    }

    fn service_spec(self, key: ServiceKey) -> Result<ServiceSpec, Failure> {
        if let ServiceKey::Virtual { protocol, port, .. } = key {
            if port == 0 && self.persistence_timeout_s.is_none() {
                return Err(Failure::usage("Zero port specified for non-persistent service"));
            }
            if self.one_packet && protocol != Protocol::Udp {
                return Err(Failure::usage("One-Packet Scheduling is only for UDP virtual services"));
            }
        }
        let scheduler = if self.scheduler.is_empty() { SchedulerKind::default().name().into() } else { self.scheduler };
        Ok(ServiceSpec {
            key,
            scheduler,
            scheduler_flags: self.scheduler_flags,
            persistence_timeout_s: self.persistence_timeout_s,
            persistence_mask: self.persistence_mask,
            persistence_engine: self.persistence_engine,
            one_packet: self.one_packet,
        })
    }

    fn real_server(&self) -> Result<SocketAddr, Failure> {
        self.server.ok_or_else(|| Failure::usage("You need to supply the 'real-server' option"))
    }

    /// The port stays as it is in packets that are not rewritten, so it is the service's, whatever was given.
    fn server_spec(&self, key: &ServiceKey) -> Result<ServerSpec, Failure> {
        let mut at = self.real_server()?;
        if let (ServiceKey::Virtual { port, .. }, Forward::Dr | Forward::Tun(_)) = (key, self.forward) {
            at.set_port(*port);
        }
        let is_tunnel = matches!(self.forward, Forward::Tun(_));
        if Family::of(at.ip()) != key.family() && !is_tunnel {
            return Err(Failure::usage("Different address family is allowed only for tunneling servers"));
        }
        self.seen.check_tunnel(is_tunnel.then_some(self.tunnel.kind))?;
        let Self { weight, threshold_upper, threshold_lower, .. } = *self;
        let forward = if is_tunnel { Forward::Tun(self.tunnel) } else { self.forward };
        Ok(ServerSpec { at, forward, weight, threshold_upper, threshold_lower })
    }

    fn list(&self, only: Option<ServiceKey>) -> List {
        let numeric = self.seen.has(Group::Numeric);
        if self.seen.has(Group::Connection) {
            List::Connections { numeric }
        } else if self.seen.has(Group::Timeout) {
            List::Timeouts
        } else if self.seen.has(Group::Daemon) {
            List::Daemons
        } else {
            List::Services { only, style: self.style, numeric }
        }
    }
}

/// `ADDRESS`, `ADDRESS:PORT`, `[ADDRESS]:PORT`.
pub(super) fn place(text: &str) -> Option<(IpAddr, Option<u16>)> {
    let port = |text| number(text, 0, 65_535).map(|port| Some(port as u16));
    if let Some((host, behind)) = text.strip_prefix('[').and_then(|rest| rest.split_once("]:")) {
        return Some((host.parse::<Ipv6Addr>().ok()?.into(), port(behind)?));
    }
    if let Ok(address) = text.parse::<Ipv6Addr>() {
        return Some((address.into(), None));
    }
    match text.split_once(':') {
        Some((host, behind)) => Some((address_of_numbers(host)?.into(), port(behind)?)),
        None => Some((address_of_numbers(text)?.into(), None)),
    }
}

/// As inet_aton reads it: one to four numbers, decimal, octal or hexadecimal, the last one filling what is left.
fn address_of_numbers(text: &str) -> Option<Ipv4Addr> {
    let number = |text: &str| match text.strip_prefix('0') {
        Some("") => Some(0),
        Some(rest) => match rest.strip_prefix(['x', 'X']) {
            Some(digits) => u32::from_str_radix(digits, 16).ok(),
            None => u32::from_str_radix(rest, 8).ok(),
        },
        None => text.parse().ok(),
    };
    let numbers: Vec<u32> = text.split('.').map(number).collect::<Option<_>>()?;
    let (last, first) = numbers.split_last().filter(|(_, first)| first.len() < 4)?;
    let fits = first.iter().all(|number| *number < 256) && u64::from(*last) < 1 << (32 - 8 * first.len());
    let high = first.iter().zip([24, 16, 8]).fold(0, |sum, (number, shift)| sum | number << shift);
    fits.then(|| (high | last).into())
}

fn mcast_group(text: &str) -> Result<(), Failure> {
    let (family, address) = match text.contains(':') {
        true => ("IPv6", text.parse().ok().map(IpAddr::V6)),
        false => ("IPv4", address_of_numbers(text).map(IpAddr::V4)),
    };
    match address {
        Some(address) if address.is_multicast() => Ok(()),
        _ => Err(Failure::usage(format!("invalid {family} mcast-group `{text}'"))),
    }
}

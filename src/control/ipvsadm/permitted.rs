//! Which options go with which command, and what ipvsadm says about those that do not.

use super::failure::Failure;
use super::option::Id;
use crate::model::TunnelKind;

/// The first option of a command line says what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Add,
    Edit,
    Delete,
    Clear,
    List,
    AddServer,
    DeleteServer,
    EditServer,
    Set,
    StartDaemon,
    StopDaemon,
    Restore,
    Save,
    Zero,
}

impl Verb {
    pub const fn of(option: Id) -> Option<Self> {
        Some(match option {
            Id::AddService => Self::Add,
            Id::EditService => Self::Edit,
            Id::DeleteService => Self::Delete,
            Id::Clear => Self::Clear,
            Id::List | Id::ListToo => Self::List,
            Id::AddServer => Self::AddServer,
            Id::DeleteServer => Self::DeleteServer,
            Id::EditServer => Self::EditServer,
            Id::Set => Self::Set,
            Id::StartDaemon => Self::StartDaemon,
            Id::StopDaemon => Self::StopDaemon,
            Id::Restore => Self::Restore,
            Id::Save => Self::Save,
            Id::Zero => Self::Zero,
            _ => return None,
        })
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Add => "add-service",
            Self::Edit => "edit-service",
            Self::Delete => "delete-service",
            Self::Clear => "flush",
            Self::List => "list",
            Self::AddServer => "add-server",
            Self::DeleteServer => "delete-server",
            Self::EditServer => "edit-server",
            Self::Set => "set",
            Self::StartDaemon => "start-daemon",
            Self::StopDaemon => "stop-daemon",
            Self::Restore => "restore",
            Self::Save => "save",
            Self::Zero => "zero",
        }
    }

    const fn needs(self) -> &'static [Group] {
        match self {
            Self::Add | Self::Edit | Self::Delete => &[Group::Service],
            Self::AddServer | Self::DeleteServer | Self::EditServer => &[Group::Service, Group::RealServer],
            _ => &[],
        }
    }

    const fn takes(self) -> &'static [Group] {
        use Group::*;
        match self {
            Self::Add | Self::Edit => &[Scheduler, Persistent, Netmask, OnePacket, Engine, SchedulerFlags],
            Self::AddServer | Self::EditServer => &[
                Forward,
                Weight,
                UpperThreshold,
                LowerThreshold,
                TunnelType,
                TunnelPort,
                TunnelNoChecksum,
                TunnelChecksum,
                TunnelRemoteChecksum,
            ],
            Self::List => &[
                Numeric,
                Connection,
                Service,
                Timeout,
                Daemon,
                Stats,
                Rate,
                Thresholds,
                PersistentConn,
                NoSort,
                Exact,
                TunnelInfo,
            ],
            Self::StartDaemon => &[McastInterface, SyncId, SyncMaxLen, McastAddress, McastPort, McastTtl],
            Self::Save => &[Numeric],
            Self::Zero => &[Service],
            _ => &[],
        }
    }
}

/// Of those with the same name only one may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Numeric,
    Connection,
    Service,
    Scheduler,
    Persistent,
    Netmask,
    RealServer,
    Forward,
    Weight,
    UpperThreshold,
    LowerThreshold,
    McastInterface,
    Timeout,
    Daemon,
    Stats,
    Rate,
    Thresholds,
    PersistentConn,
    NoSort,
    SyncId,
    Exact,
    OnePacket,
    Engine,
    SchedulerFlags,
    McastAddress,
    McastPort,
    McastTtl,
    SyncMaxLen,
    TunnelInfo,
    TunnelType,
    TunnelPort,
    TunnelNoChecksum,
    TunnelChecksum,
    TunnelRemoteChecksum,
}

impl Group {
    /// As ipvsadm numbers them.
    const ALL: [Self; 34] = {
        use Group::*;
        [
            Numeric,
            Connection,
            Service,
            Scheduler,
            Persistent,
            Netmask,
            RealServer,
            Forward,
            Weight,
            UpperThreshold,
            LowerThreshold,
            McastInterface,
            Timeout,
            Daemon,
            Stats,
            Rate,
            Thresholds,
            PersistentConn,
            NoSort,
            SyncId,
            Exact,
            OnePacket,
            Engine,
            SchedulerFlags,
            McastAddress,
            McastPort,
            McastTtl,
            SyncMaxLen,
            TunnelInfo,
            TunnelType,
            TunnelPort,
            TunnelNoChecksum,
            TunnelChecksum,
            TunnelRemoteChecksum,
        ]
    };

    const fn name(self) -> &'static str {
        match self {
            Self::Numeric => "numeric",
            Self::Connection => "connection",
            Self::Service => "service-address",
            Self::Scheduler => "scheduler",
            Self::Persistent => "persistent",
            Self::Netmask => "netmask",
            Self::RealServer => "real-server",
            Self::Forward => "forwarding-method",
            Self::Weight => "weight",
            Self::UpperThreshold => "u-threshold",
            Self::LowerThreshold => "l-threshold",
            Self::McastInterface => "mcast-interface",
            Self::Timeout => "timeout",
            Self::Daemon => "daemon",
            Self::Stats => "stats",
            Self::Rate => "rate",
            Self::Thresholds => "thresholds",
            Self::PersistentConn => "persistent-conn",
            Self::NoSort => "nosort",
            Self::SyncId => "syncid",
            Self::Exact => "exact",
            Self::OnePacket => "ops",
            Self::Engine => "pe",
            Self::SchedulerFlags => "sched-flags",
            Self::McastAddress => "mcast-group",
            Self::McastPort => "mcast-port",
            Self::McastTtl => "mcast-ttl",
            Self::SyncMaxLen => "sync-maxlen",
            Self::TunnelInfo => "tun-info",
            Self::TunnelType => "tun-type",
            Self::TunnelPort => "tun-port",
            Self::TunnelNoChecksum => "tun-nocsum",
            Self::TunnelChecksum => "tun-csum",
            Self::TunnelRemoteChecksum => "tun-remcsum",
        }
    }
}

/// The options seen so far.
#[derive(Clone, Debug, Default)]
pub struct Seen(Vec<Group>);

impl Seen {
    pub fn add(&mut self, group: Group) -> Result<(), Failure> {
        if self.has(group) {
            return Err(Failure::usage(format!("multiple '{}' options specified", group.name())));
        }
        self.0.push(group);
        Ok(())
    }

    pub fn has(&self, group: Group) -> bool {
        self.0.contains(&group)
    }

    pub fn has_any(&self, groups: &[Group]) -> bool {
        groups.iter().any(|group| self.has(*group))
    }

    /// Whether they go with the command: the first one in ipvsadm's order that does not, or is missing, is named.
    pub fn check(&self, verb: Verb) -> Result<(), Failure> {
        let command = verb.name();
        for group in Group::ALL {
            let (option, is_needed) = (group.name(), verb.needs().contains(&group));
            if is_needed && !self.has(group) {
                let message = format!("You need to supply the '{option}' option for the '{command}' command");
                return Err(Failure::usage(message));
            }
            if self.has(group) && !is_needed && !verb.takes().contains(&group) {
                return Err(Failure::usage(format!("Illegal '{option}' option with the '{command}' command")));
            }
        }
        self.check_listing(verb)
    }

    /// Whether the tunnel's options go with its type; `None`: there is no tunnel.
    pub fn check_tunnel(&self, kind: Option<TunnelKind>) -> Result<(), Failure> {
        use Group::*;
        const OF_TUNNELS: [Group; 4] = [TunnelPort, TunnelNoChecksum, TunnelChecksum, TunnelRemoteChecksum];
        let Some(kind) = kind else {
            let conflicts = self.has(TunnelType) || self.has_any(&OF_TUNNELS);
            let conflict = Failure::usage("Tunnel options conflict with forward method");
            return if conflicts { Err(conflict) } else { Ok(()) };
        };
        let takes: &[Group] = match kind {
            TunnelKind::Ipip => &[],
            TunnelKind::Gue => &OF_TUNNELS,
            TunnelKind::Gre => &[TunnelNoChecksum, TunnelChecksum],
        };
        for group in OF_TUNNELS {
            let (option, kind_name) = (group.name(), kind.name());
            if group == TunnelPort && kind == TunnelKind::Gue && !self.has(group) {
                let message = format!("You need to supply the '{option}' option for the '{kind_name}' tunnel type");
                return Err(Failure::usage(message));
            }
            if self.has(group) && !takes.contains(&group) {
                return Err(Failure::usage(format!("Illegal '{option}' option with the '{kind_name}' tunnel type")));
            }
        }
        Ok(())
    }

    fn check_listing(&self, verb: Verb) -> Result<(), Failure> {
        const WHAT: [Group; 4] = [Group::Connection, Group::Service, Group::Timeout, Group::Daemon];
        const HOW: [Group; 4] = [Group::Stats, Group::PersistentConn, Group::Rate, Group::Thresholds];
        let several = WHAT.iter().filter(|group| self.has(**group)).count() > 1;
        let of_services = self.has_any(&HOW);
        let other = self.has_any(&[Group::Connection, Group::Timeout, Group::Daemon]);
        if verb == Verb::List && (several || of_services && other) {
            return Err(Failure::usage("options conflicts in the list command"));
        }
        Ok(())
    }
}

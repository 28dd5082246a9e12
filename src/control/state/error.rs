//! Why a command or a reload was refused. The first words are the kernel's and ipvsadm's own.

use super::check::TIMEOUT_S_MAX;
use crate::control::config::{rules, values};
use crate::model::ServiceKey;
use crate::sched::PlanError;
use std::net::SocketAddr;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("Service already exists: {0}")]
    ServiceExists(ServiceKey),
    #[error("No such service: {0}")]
    NoSuchService(ServiceKey),
    #[error("Destination already exists: {1} of {0}")]
    DestinationExists(ServiceKey, SocketAddr),
    #[error("No such destination: {1} of {0}")]
    NoSuchDestination(ServiceKey, SocketAddr),
    #[error("Scheduler not found: {0}; there are: {names}", names = scheduler_names())]
    SchedulerNotFound(String),
    #[error("no [[port]] is named \"{0}\"; there are: {1}")]
    NoSuchPort(String, String),
    #[error("{0}: {1}")]
    Plan(ServiceKey, PlanError),
    #[error("{0}: {1}")]
    Refused(String, Refusal),
    #[error("services have more than {max} different sets of timeouts of their own", max = crate::model::limits::TIMEOUT_SETS_MAX)]
    TooManyTimeouts,
    #[error("there are more than {max} services", max = crate::model::limits::SERVICES_MAX)]
    TooManyServices,
    #[error("services have more than {max} destinations in all, those removed while connections use them included", max = crate::model::limits::DESTINATIONS_MAX)]
    TooManyDestinations,
    #[error("services on {0} name different ports; one address is answered for on one port only")]
    PortConflict(std::net::IpAddr),
    /// Each says so itself.
    #[error("{}; nothing was changed", .0.join("; "))]
    RestartNeeded(Vec<String>),
}

/// What a service or a destination must not be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("a service's protocol is tcp, udp or sctp")]
    Protocol,
    #[error("zero port specified for non-persistent service; give it a persistence timeout")]
    ZeroPort,
    #[error("a mark is 1 or greater")]
    ZeroMark,
    #[error("a persistence timeout is between 1 and 2678400 seconds (31 days)")]
    PersistenceTimeout,
    #[error("the mask of client networks is one of IPv4, or for IPv6 a prefix length between 1 and 128")]
    PersistenceMask,
    #[error("address not unicast")]
    NotUnicast,
    #[error("a weight is at most 2147483647")]
    Weight,
    #[error("thresholds are at most 2147483647")]
    Threshold,
    #[error("timeouts and deadlines are at most 31 days ({TIMEOUT_S_MAX} seconds)")]
    Timeout,
    /// One the file has as well, in its words.
    #[error(transparent)]
    Rule(rules::Refusal),
}

fn scheduler_names() -> String {
    values::scheduler_names().collect::<Vec<_>>().join(", ")
}

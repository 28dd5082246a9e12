//! What ipvsadm says when it does not do what was asked, and the code it exits with.

use crate::control::state::{Error, Refusal};

/// A message for the standard error, and an exit code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub code: u8,
    pub message: String,
}

/// The command line itself makes no sense.
const WRONG_USAGE: u8 = 2;
/// The kernel refused: -1.
const REFUSED: u8 = 255;

impl Failure {
    pub fn usage(message: impl Into<String>) -> Self {
        Self { code: WRONG_USAGE, message: message.into() }
    }

    pub fn refused(message: impl Into<String>) -> Self {
        Self { code: REFUSED, message: message.into() }
    }

    /// What Pollux cannot do yet.
    pub fn not_yet(what: &str) -> Self {
        Self::refused(format!("{what} is not supported yet"))
    }

    /// EINVAL.
    pub fn invalid() -> Self {
        Self::refused("Invalid operation.  Possibly wrong module version, address not unicast, ...")
    }

    pub fn no_such_engine() -> Self {
        Self::refused("Scheduler or persistence engine not found")
    }

    /// Of a listing of one service.
    pub fn not_listed() -> Self {
        Self { code: 1, message: "No such service".to_owned() }
    }

    /// Of a command about a service.
    pub fn of_service(error: &Error) -> Self {
        match error {
            Error::NoSuchService(_) => Self::refused("No such service"),
            other => Self::of(other),
        }
    }

    /// Of a command about a destination.
    pub fn of_server(error: &Error) -> Self {
        match error {
            Error::NoSuchService(_) => Self::refused("Service not defined"),
            other => Self::of(other),
        }
    }

    fn of(error: &Error) -> Self {
        Self::refused(match error {
            Error::ServiceExists(_) => "Service already exists",
            Error::DestinationExists(..) => "Destination already exists",
            Error::NoSuchDestination(..) => "No such destination",
            Error::SchedulerNotFound(_) => return Self::no_such_engine(),
            Error::Refused(_, Refusal::Rule(rule)) if rule.key == "threshold_lower" => "Numerical result out of range",
            _ => return Self::invalid(),
        })
    }
}

//! Signals as a file descriptor: blocked before any other thread exists, read by the control thread alone.

use super::RunError;
use nix::sys::signal::{SigSet, Signal as Nix};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::os::fd::{AsFd, BorrowedFd};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Stop,
    Reload,
}

pub struct Signals(SignalFd);

impl Signals {
    /// To be called before EAL starts its threads, which inherit the mask.
    pub fn block() -> Result<Self, RunError> {
        let system = |source: nix::Error| RunError::System { what: "blocking signals", source: source.into() };
        let mut set = SigSet::empty();
        for signal in [Nix::SIGTERM, Nix::SIGINT, Nix::SIGHUP] {
            set.add(signal);
        }
        set.thread_block().map_err(system)?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Self(SignalFd::with_flags(&set, flags).map_err(system)?))
    }

    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// The next signal, if one has come.
    pub fn take(&self) -> Option<Signal> {
        let info = self.0.read_signal().ok().flatten()?;
        let is_reload = info.ssi_signo == Nix::SIGHUP as u32;
        Some(if is_reload { Signal::Reload } else { Signal::Stop })
    }
}

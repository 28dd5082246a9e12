//! `pollux doctor`: what to put right before `run`, each with what to type.

use super::Failure;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Say what on this machine keeps the director from running, or from running well
#[derive(Debug, clap::Args)]
#[cfg_attr(not(feature = "dpdk"), allow(dead_code))]
pub struct Doctor {
    /// Configuration file; without it, only the machine is looked at
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A JSON array, for programs
    #[arg(long)]
    json: bool,
}

impl Doctor {
    /// Fails when `run` would.
    pub fn execute(&self, socket: &Path, out: &mut dyn Write) -> Result<(), Failure> {
        self.examine(socket, out)
    }

    #[cfg(feature = "dpdk")]
    fn examine(&self, socket: &Path, out: &mut dyn Write) -> Result<(), Failure> {
        use super::load;
        use crate::control::doctor::{Severity, examine, host::Host, wanted::Wanted};
        let config = self.config.as_ref().map(|path| load(path)).transpose()?;
        let wanted = config.map(|config| Wanted::of(&config, socket));
        let findings = examine(&Host::gather(Path::new("/")), wanted.as_ref());
        if self.json {
            json(out, &findings)?
        } else {
            text(out, &findings)?
        }
        match findings.iter().filter(|finding| finding.severity == Severity::Fail).count() {
            0 => Ok(()),
            count => {
                out.flush()?;
                Err(Failure::Refused(format!("`pollux run` would fail: see to the {count} marked FAIL, from the top")))
            }
        }
    }

    #[cfg(not(feature = "dpdk"))]
    fn examine(&self, _: &Path, _: &mut dyn Write) -> Result<(), Failure> {
        Err(Failure::Refused("this pollux was built without its packet path and cannot run".to_owned()))
    }
}

#[cfg(feature = "dpdk")]
fn json(out: &mut dyn Write, findings: &[crate::control::doctor::Finding]) -> std::io::Result<()> {
    let mut array = super::print::Array::begin(out)?;
    findings.iter().try_for_each(|finding| array.push(finding))?;
    array.end()
}

#[cfg(feature = "dpdk")]
fn text(out: &mut dyn Write, findings: &[crate::control::doctor::Finding]) -> std::io::Result<()> {
    use crate::control::doctor::Severity;
    for finding in findings {
        let mark = match finding.severity {
            Severity::Ok => "ok",
            Severity::Warn => "warn",
            Severity::Fail => "FAIL",
        };
        writeln!(out, "{mark:<4}  {}: {}", finding.area, finding.message)?;
        finding.fix.iter().try_for_each(|fix| writeln!(out, "      → {fix}"))?;
    }
    Ok(())
}

//! Why EAL did not start, and what to type about it.

use thiserror::Error;

/// One sentence each that says what to do next.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum EalError {
    #[error(
        "[dpdk] eal_args: `{argument}` is not allowed, because Pollux derives the lcores itself: name the workers' \
         cores in [workers] cores instead"
    )]
    LcoreOption { argument: String },
    #[error("[dpdk] eal_args: leave out `{argument}`: EAL ignores what stands behind it")]
    EndOfArguments { argument: String },
    #[error("[dpdk] eal_args: `{argument}` contains a zero byte: remove it")]
    ZeroByte { argument: String },
    #[error("core {core} does not exist or this process may not run on it: set [workers] cores to some of {existing}")]
    CoreMissing { core: usize, existing: String },
    #[error("{workers} workers are more than this DPDK was built for: set [workers] cores to at most {max} entries")]
    TooManyWorkers { workers: usize, max: usize },
    #[error("DPDK can be started once in a process: start another process")]
    AlreadyStarted,
    #[error(
        "DPDK needs root for devices and huge pages: run this with sudo, or add \"--no-huge\" and \"--no-pci\" to \
         [dpdk] eal_args to try it without (DPDK says: {detail})"
    )]
    NotRoot { detail: String },
    #[error(
        "there are no free huge pages: `echo 1024 > /proc/sys/vm/nr_hugepages` or scripts/hugepages.sh makes some, or \
         add \"--no-huge\" to [dpdk] eal_args to run without (DPDK says: {detail})"
    )]
    NoHugePages { detail: String },
    #[error(
        "the memory asked for without huge pages cannot be had: give less with \"-m\", \"MB\" in [dpdk] eal_args or \
         free some memory (DPDK says: {detail})"
    )]
    NoMemory { detail: String },
    #[error(
        "another DPDK program uses the same file prefix: stop it, or give this one another --socket or \
         \"--file-prefix=NAME\" in [dpdk] eal_args (DPDK says: {detail})"
    )]
    PrefixInUse { detail: String },
    #[error("[dpdk] eal_args: DPDK knows no such device or driver: correct --vdev or -a (DPDK says: {detail})")]
    UnknownDevice { detail: String },
    #[error(
        "[dpdk] eal_args: DPDK does not take one of them: correct or remove the one that the lines above name (DPDK \
         says: {detail})"
    )]
    BadArgument { detail: String },
    #[error("DPDK did not start: {reason} (DPDK says: {detail}); \"--log-level=8\" in [dpdk] eal_args shows more")]
    Other { reason: String, detail: String },
    #[error("worker {worker} cannot be launched: {reason}")]
    Launch { worker: usize, reason: String },
}

/// What was the case when EAL gave up.
pub(super) struct Attempt<'a> {
    /// A positive errno, and its text.
    pub errno: i32,
    pub reason: &'a str,
    /// The error lines EAL logged.
    pub log: &'a str,
    pub is_root: bool,
    pub no_huge: bool,
}

impl Attempt<'_> {
    /// EAL's errno says little, so its log decides; the texts are those of 21.11 to 25.11.
    pub fn explain(&self) -> EalError {
        let detail = self.detail();
        let says = |texts: &[&str]| texts.iter().any(|text| self.log.contains(text));
        if says(&["Is another primary process running", "Cannot create lock on"]) && !says(&["Permission denied"]) {
            return EalError::PrefixInUse { detail };
        }
        if says(&["failed to parse device", "unable to parse device", "Invalid device"]) {
            return EalError::UnknownDevice { detail };
        }
        if !self.is_root && (matches!(self.errno, libc::EACCES | libc::EPERM) || says(&["Permission denied"])) {
            return EalError::NotRoot { detail };
        }
        if says(&["hugepage", "hugetlbfs", "Cannot init memory", "nable to mmap", "Cannot allocate memory"]) {
            return match (self.no_huge, self.is_root) {
                (true, _) => EalError::NoMemory { detail },
                (false, true) => EalError::NoHugePages { detail },
                (false, false) => EalError::NotRoot { detail },
            };
        }
        if says(&["command line", "invalid parameter", "nrecognized", "Unknown argument", "Error parsing"]) {
            return EalError::BadArgument { detail };
        }
        EalError::Other { reason: self.reason.to_owned(), detail }
    }

    /// The last lines, which name the cause, on one line.
    fn detail(&self) -> String {
        const LINES: usize = 3;
        let lines: Vec<&str> = self.log.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        match lines.len() {
            0 => "nothing".to_owned(),
            n => lines[n.saturating_sub(LINES)..].join("; "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(log: &str) -> Attempt<'_> {
        Attempt { errno: libc::EINVAL, reason: "Invalid argument", log, is_root: true, no_huge: false }
    }

    #[test]
    fn missing_huge_pages_are_explained_with_the_command_that_makes_some() {
        let text = attempt("EAL: FATAL: Cannot get hugepage information.\n").explain().to_string();
        assert!(text.contains("/proc/sys/vm/nr_hugepages") && text.contains("--no-huge"), "{text}");
    }

    #[test]
    fn a_user_who_is_not_root_is_told_so_before_anything_about_huge_pages() {
        for log in ["EAL: FATAL: Cannot get hugepage information.\n", "EAL: cannot open '/x': Permission denied\n"] {
            let error = Attempt { is_root: false, ..attempt(log) }.explain();
            assert!(matches!(error, EalError::NotRoot { .. }), "{error}");
            assert!(error.to_string().contains("sudo"), "{error}");
        }
    }

    #[test]
    fn a_prefix_in_use_is_told_from_one_that_may_not_be_written() {
        let in_use = "EAL: Cannot create lock on '/var/run/dpdk/p/config'. Is another primary process running?\n";
        assert!(matches!(attempt(in_use).explain(), EalError::PrefixInUse { .. }));
        let text = attempt(in_use).explain().to_string();
        assert!(text.contains("--socket") && text.contains("--file-prefix"), "{text}");
    }

    #[test]
    fn too_much_memory_without_huge_pages_is_told_from_missing_huge_pages() {
        let log = "EAL: FATAL: Cannot init memory\n";
        assert!(matches!(Attempt { no_huge: true, ..attempt(log) }.explain(), EalError::NoMemory { .. }));
        assert!(matches!(attempt(log).explain(), EalError::NoHugePages { .. }));
    }

    #[test]
    fn an_unknown_device_and_a_bad_argument_are_told_apart() {
        let device = attempt("EAL: failed to parse device \"foo0\"\nEAL: unable to parse device 'foo0'\n").explain();
        assert!(matches!(device, EalError::UnknownDevice { .. }));
        assert!(device.to_string().contains("foo0"), "{device}");
        let argument = attempt("EAL: FATAL: Invalid 'command line' arguments.\n").explain();
        assert!(matches!(argument, EalError::BadArgument { .. }));
    }

    #[test]
    fn what_is_not_known_keeps_dpdks_own_words() {
        let text = attempt("EAL: first\nEAL: second\nEAL: third\nEAL: fourth\n").explain().to_string();
        assert!(text.contains("Invalid argument") && text.contains("EAL: second; EAL: third; EAL: fourth"), "{text}");
        assert!(attempt("").explain().to_string().contains("nothing"));
    }
}

//! DPDK's log: kept for error messages while something is tried, printed as the user asked otherwise.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicU32, Ordering};

/// What is printed when nothing is being tried. The control thread alone changes it, at start.
static MODE: AtomicU32 = AtomicU32::new(dpdk_sys::PX_LOG_ERRORS);

/// Takes the log over. With a log level of the user's own everything is printed; otherwise errors are, once started.
pub(super) fn start(print_all: bool) {
    let mode = if print_all { dpdk_sys::PX_LOG_ALL } else { dpdk_sys::PX_LOG_ERRORS };
    MODE.store(mode, Ordering::Relaxed);
    // SAFETY: needs nothing of EAL; called once, by `Eal::start`, which lets only one caller pass.
    unsafe { dpdk_sys::px_log_start(mode as i32) };
}

/// Runs `attempt` and returns the error lines that DPDK logged meanwhile instead of printing them: the caller's own
/// error says it better.
pub(super) fn kept<R>(attempt: impl FnOnce() -> R) -> (R, String) {
    let mode = MODE.load(Ordering::Relaxed);
    // SAFETY: the log functions lock; they need no EAL.
    unsafe {
        dpdk_sys::px_log_clear();
        if mode != dpdk_sys::PX_LOG_ALL {
            dpdk_sys::px_log_mode(dpdk_sys::PX_LOG_KEEP as i32);
        }
    }
    let result = attempt();
    // SAFETY: as above.
    unsafe { dpdk_sys::px_log_mode(mode as i32) };
    (result, errors())
}

fn errors() -> String {
    // What the shim keeps.
    let mut buffer = [0_u8; 4096];
    // SAFETY: writes at most `buffer.len()` bytes into `buffer`.
    let length = unsafe { dpdk_sys::px_log_errors(buffer.as_mut_ptr().cast(), buffer.len()) };
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

/// The text of a negative errno.
pub(super) fn error_text(error: i32) -> String {
    // SAFETY: DPDK returns a zero-terminated text that lasts at least until the thread asks for another.
    unsafe { std::ffi::CStr::from_ptr(dpdk_sys::px_error_text(error)) }.to_string_lossy().into_owned()
}

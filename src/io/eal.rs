//! EAL: started once, its lcores run the workers.
//!
//! The caller blocks signals first: EAL's threads inherit the mask of the thread that starts it.
#![allow(unsafe_code)]

use std::any::Any;
use std::ffi::{CString, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::arguments::{self, EalConfig, lcore_of_worker};
use super::failure::{Attempt, EalError};
use super::log;

/// EAL cannot be started twice, not even after it was cleaned up.
static STARTED: AtomicBool = AtomicBool::new(false);

/// EAL is up as long as one of these is: the token itself, a port, a queue, a pool, a running worker.
#[derive(Debug)]
pub(super) struct Running(());

impl Drop for Running {
    fn drop(&mut self) {
        // SAFETY: the last owner is gone, so no lcore runs and no port or pool is left; `Eal::start` initialised EAL.
        unsafe { dpdk_sys::px_eal_cleanup() };
    }
}

/// Proof that EAL is up. The thread that started it is its main lcore: the control thread.
#[derive(Debug)]
pub struct Eal {
    running: Arc<Running>,
    workers: usize,
    start_errors: String,
}

impl Eal {
    /// Starts EAL, which pins the calling thread and starts one thread a worker.
    pub fn start(config: &EalConfig<'_>) -> Result<Self, EalError> {
        // SAFETY: a constant of the library.
        let lcores_max = unsafe { dpdk_sys::px_lcores_max() } as usize;
        let texts = arguments::derive(config, &allowed_cores(), lcores_max)?;
        let arguments = zero_terminated(texts)?;
        if STARTED.swap(true, Ordering::SeqCst) {
            return Err(EalError::AlreadyStarted);
        }
        log::start(arguments::gives_log_level(config.eal_args));
        let (result, start_errors) = log::kept(|| init(&arguments));
        if result != 0 {
            return Err(explain(config, result, &start_errors));
        }
        Ok(Self { running: Arc::new(Running(())), workers: config.cores.len(), start_errors })
    }

    pub fn workers(&self) -> usize {
        self.workers
    }

    /// The NUMA socket of a worker's core.
    pub fn socket_of_worker(&self, worker: usize) -> Option<u32> {
        // SAFETY: EAL is up; the shim checks the id.
        u32::try_from(unsafe { dpdk_sys::px_lcore_socket(lcore_of_worker(worker)) }).ok()
    }

    /// Runs `job` on a worker's lcore.
    pub fn launch<T, F>(&self, worker: usize, job: F) -> Result<WorkerRun<T>, EalError>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let result = Arc::new(Mutex::new(None));
        let boxed = Box::into_raw(Box::new(Job { run: Some(job), result: Arc::clone(&result) }));
        let lcore = lcore_of_worker(worker);
        // SAFETY: EAL is up; the shim checks the id; `run_job` takes the box over, once.
        let error = unsafe { dpdk_sys::px_lcore_launch(lcore, Some(run_job::<T, F>), boxed.cast()) };
        if error != 0 {
            // SAFETY: the lcore refused, so the box is still ours alone.
            drop(unsafe { Box::from_raw(boxed) });
            return Err(EalError::Launch { worker, reason: log::error_text(error) });
        }
        Ok(WorkerRun { lcore, result, _running: Arc::clone(&self.running) })
    }

    /// What DPDK complained about while it started, though it did.
    pub(super) fn start_errors(&self) -> &str {
        &self.start_errors
    }

    pub(super) fn running(&self) -> Arc<Running> {
        Arc::clone(&self.running)
    }
}

/// Whether EAL's arguments can be derived: what [`Eal::start`] refuses before anything is started.
pub fn check(config: &EalConfig<'_>) -> Result<(), EalError> {
    // SAFETY: a constant of the library.
    let lcores_max = unsafe { dpdk_sys::px_lcores_max() } as usize;
    arguments::derive(config, &allowed_cores(), lcores_max).map(drop)
}

/// The cores this process may run on; to be asked before EAL starts, which pins the thread.
pub fn allowed_cores() -> Vec<usize> {
    core_affinity::get_core_ids().unwrap_or_default().iter().map(|core| core.id).collect()
}

/// DPDK's version, as it is loaded.
pub fn version() -> String {
    // SAFETY: DPDK returns a zero-terminated constant.
    unsafe { std::ffi::CStr::from_ptr(dpdk_sys::px_version()) }.to_string_lossy().into_owned()
}

fn zero_terminated(arguments: Vec<String>) -> Result<Vec<CString>, EalError> {
    let convert = |argument: String| CString::new(argument.clone()).map_err(|_| EalError::ZeroByte { argument });
    arguments.into_iter().map(convert).collect()
}

fn init(arguments: &[CString]) -> i32 {
    // EAL permutes the vector and keeps pointers into it (its program name, its options), so both stay for good.
    let mut vector: Vec<*mut c_char> = arguments.iter().map(|argument| argument.clone().into_raw()).collect();
    vector.push(std::ptr::null_mut());
    let vector = vector.leak();
    // SAFETY: a zero-terminated vector of writable zero-terminated strings that are never freed; `STARTED` lets one
    // caller pass.
    unsafe { dpdk_sys::px_eal_init(arguments.len() as c_int, vector.as_mut_ptr()) }
}

#[cold]
fn explain(config: &EalConfig<'_>, result: i32, log: &str) -> EalError {
    let reason = log::error_text(result);
    // SAFETY: always succeeds.
    let is_root = unsafe { libc::geteuid() } == 0;
    let no_huge = arguments::gives_no_huge(config.eal_args);
    Attempt { errno: -result, reason: &reason, log, is_root, no_huge }.explain()
}

type Outcome<T> = Arc<Mutex<Option<Result<T, Box<dyn Any + Send>>>>>;

struct Job<T, F> {
    run: Option<F>,
    result: Outcome<T>,
}

/// What an lcore is given to run.
unsafe extern "C" fn run_job<T, F: FnOnce() -> T>(argument: *mut c_void) -> c_int {
    // SAFETY: `launch` made this pointer from a box of this very type and left it to us.
    let mut job = unsafe { Box::from_raw(argument.cast::<Job<T, F>>()) };
    let Some(run) = job.run.take() else { return -1 };
    // A panic must not unwind into EAL; who waits gets it.
    let result = catch_unwind(AssertUnwindSafe(run));
    let status = if result.is_ok() { 0 } else { -1 };
    *job.result.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(result);
    status
}

/// A job that runs on a worker's lcore. Dropping it waits, as [`WorkerRun::wait`] does.
#[derive(Debug)]
pub struct WorkerRun<T> {
    lcore: u32,
    result: Outcome<T>,
    _running: Arc<Running>,
}

impl<T> WorkerRun<T> {
    /// Waits for the job's end; a panic of the job's is the error.
    pub fn wait(self) -> Result<T, Box<dyn Any + Send>> {
        self.join();
        let taken = self.result.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        taken.unwrap_or_else(|| Err(Box::new("the worker never ran")))
    }

    fn join(&self) {
        // SAFETY: EAL is up (`_running`); the lcore is one that took a job.
        unsafe { dpdk_sys::px_lcore_wait(self.lcore) };
    }
}

impl<T> Drop for WorkerRun<T> {
    fn drop(&mut self) {
        self.join();
    }
}

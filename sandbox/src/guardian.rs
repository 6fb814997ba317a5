//! The process the user starts: holds nothing, starts the spawner and the unprivileged worker, restarts the
//! one, ends with the other.

use std::io;
use std::os::fd::OwnedFd;

use crate::SandboxError;

/// How the guardian treats the worker.
#[derive(Debug, Clone, Default)]
pub struct GuardOptions {
    /// Leave the worker `CAP_DAC_OVERRIDE`, for command-line uses that write the user's files. Everything
    /// else is dropped in any case.
    pub keep_file_access: bool,
    /// How many spawner restarts are borne before the guardian gives up; 0 means 100.
    pub restarts: u32,
}

/// Call right after [`init`](crate::init), before threads, files or sockets. In the process the user started
/// it becomes the guardian and does not return: it exits with the worker's code. In the worker (the same
/// executable with the same arguments, started by the guardian) it returns at once, and
/// [`Sandbox::connect`](crate::Sandbox::connect) finds the spawner.
///
/// # Errors
/// When the worker or the spawner cannot be started.
pub fn run(_options: &GuardOptions) -> Result<(), SandboxError> {
    Err(SandboxError::Unavailable("the guardian is not part of this build".into()))
}

/// The line to the guardian, when this process is its worker.
pub(crate) fn take_line() -> io::Result<Option<OwnedFd>> {
    Ok(None)
}

/// The next spawner's socket.
pub(crate) fn next_spawner(_line: &OwnedFd) -> io::Result<OwnedFd> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

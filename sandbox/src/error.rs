//! Failures that are ours or the caller's, never the program's: a program's own end is a
//! [`Termination`](crate::Termination).

use std::io;
use std::time::Duration;

/// The sandbox could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The request itself is wrong: the caller's fault, retrying does not help.
    #[error("{0}")]
    Invalid(String),
    /// The host lacks what the asked tier needs; the text names the wall and what would provide it.
    #[error("{0}")]
    Unavailable(String),
    /// A step of the set-up or the supervision failed: our fault, may be retried on another slot.
    #[error("sandbox step `{step}` failed: {source}")]
    Step {
        /// The named step, as in the list of walls in DESIGN.md.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The slot broke after it was told to run a program: our failure, unless the program does so again and again;
    /// see [`Sandbox::settle`](crate::Sandbox::settle).
    #[error("a slot broke {ran:?} after a program's start: {source}")]
    SlotBroke {
        /// Time since the program was started.
        ran: Duration,
        /// How that was noticed.
        source: io::Error,
    },
}

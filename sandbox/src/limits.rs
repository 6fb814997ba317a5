//! What a run may use. Every limit is a value passed in; nothing is read from the environment.

use std::time::Duration;

/// The budget of one run. Each field that is exceeded ends the run in a [`Termination`](crate::Termination)
/// of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// CPU time of the whole process tree. This decides; wall time is only the backstop for sleepers.
    pub cpu_time: Duration,
    /// Wall time the program may spend asleep or blocked: wall minus CPU minus time spent runnable in the
    /// run queue, so a busy machine cannot turn a right answer into a time limit.
    pub wall_time: Duration,
    /// Memory charged to the run, in bytes.
    pub memory: u64,
    /// Stack of the main thread, in bytes.
    pub stack: u64,
    /// Standard output and standard error, each, in bytes; one byte more ends the run.
    pub output: u64,
    /// Processes and threads alive at once.
    pub processes: u32,
    /// Open file descriptors per process.
    pub open_files: u32,
}

impl Limits {
    /// The limits of the command line when none are given: 2 s of CPU, 6 s idle, 256 MiB, 64 MiB of output.
    pub const DEFAULT: Limits = Limits {
        cpu_time: Duration::from_secs(2),
        wall_time: Duration::from_secs(6),
        memory: 256 << 20,
        stack: 64 << 20,
        output: 64 << 20,
        processes: 32,
        open_files: 64,
    };

    /// What a compiler may use: 10 s of CPU, 20 s idle, 1 GiB, 1 MiB of messages.
    pub const COMPILE: Limits = Limits {
        cpu_time: Duration::from_secs(10),
        wall_time: Duration::from_secs(20),
        memory: 1 << 30,
        stack: 64 << 20,
        output: 1 << 20,
        processes: 32,
        open_files: 256,
    };
}

//! What a run did: how it ended, what it printed, what it used. Facts only; verdicts are made elsewhere.

use std::time::Duration;

/// A finished run. `stdout` and `stderr` are bytes: programs need not print UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Why the run ended.
    pub termination: Termination,
    /// Everything written to fd 1, up to the output limit.
    pub stdout: Vec<u8>,
    /// Everything written to fd 2, up to the output limit.
    pub stderr: Vec<u8>,
    /// What the run used.
    pub usage: Usage,
    /// The compiler or interpreter refused the source, or a limit ended it before the source was compiled: nothing of
    /// the program ran, and `stderr` is the compiler's message.
    pub refused: bool,
    /// The first run passed its CPU limit by less than half while it had to wait for a core; this is the second, with no
    /// other program of this sandbox beside it.
    pub rerun: bool,
}

impl Outcome {
    /// An end of which nothing more is known.
    pub(crate) fn of(termination: Termination) -> Outcome {
        let usage = Usage::default();
        Outcome { termination, stdout: Vec::new(), stderr: Vec::new(), usage, refused: false, rerun: false }
    }
}

/// Why a run ended; exactly one reason per run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Termination {
    /// The program exited by itself with this code.
    Exited(i32),
    /// A signal the program brought on itself (SIGSEGV, SIGABRT, ...), by number.
    Signaled(i32),
    /// More CPU time than `Limits::cpu_time`, all processes and threads summed.
    CpuTimeLimit,
    /// Slept or blocked longer than `Limits::wall_time`.
    WallTimeLimit,
    /// More memory than `Limits::memory`.
    MemoryLimit,
    /// More output than `Limits::output`.
    OutputLimit,
    /// More processes or threads than `Limits::processes`, and the program ended because of it.
    ProcessLimit,
    /// A system call from the list that nobody innocent makes.
    ForbiddenSyscall,
    /// Broke three fresh slots, one after the other, while programs of ours ran well on others.
    BrokeSlots,
}

impl Termination {
    /// The name in reports and counters; code and signal stand beside it.
    pub fn name(self) -> &'static str {
        match self {
            Termination::Exited(_) => "exited",
            Termination::Signaled(_) => "signaled",
            Termination::CpuTimeLimit => "cpu_time_limit",
            Termination::WallTimeLimit => "wall_time_limit",
            Termination::MemoryLimit => "memory_limit",
            Termination::OutputLimit => "output_limit",
            Termination::ProcessLimit => "process_limit",
            Termination::ForbiddenSyscall => "forbidden_syscall",
            Termination::BrokeSlots => "broke_slots",
        }
    }
}

/// What a run used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// User and system CPU time of the whole process tree.
    pub cpu_time: Duration,
    /// Wall time from program start to its end.
    pub wall_time: Duration,
    /// The most memory charged to the run at once, in bytes.
    pub peak_memory: u64,
    /// What a WebAssembly program burnt, in units of about one instruction: the same for every run of one module
    /// with one input. 0 for native programs.
    pub fuel: u64,
}

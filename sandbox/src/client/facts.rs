//! How facts about a run's end become the one reason for it.

use crate::Termination;

/// What is known of an end.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    /// As `waitpid` gives it.
    pub(super) status: i32,
    pub(super) ended_by_us: Option<Termination>,
    pub(super) memory_kills: u64,
    pub(super) process_refusals: u64,
    pub(super) over_memory: bool,
    pub(super) over_cpu: bool,
    pub(super) over_output: bool,
}

/// The one place where facts become a termination. The order matters: what the kernel counted comes before what
/// we did about it, and both before how the program says it ended.
pub(super) fn decide(facts: &Facts) -> Termination {
    if facts.memory_kills > 0 || facts.over_memory {
        return Termination::MemoryLimit;
    }
    if let Some(reason) = facts.ended_by_us {
        return reason;
    }
    if facts.over_output {
        return Termination::OutputLimit;
    }
    let ended = if libc::WIFEXITED(facts.status) {
        Termination::Exited(libc::WEXITSTATUS(facts.status))
    } else {
        Termination::Signaled(libc::WTERMSIG(facts.status))
    };
    match ended {
        _ if facts.over_cpu => Termination::CpuTimeLimit,
        Termination::Signaled(libc::SIGXCPU) => Termination::CpuTimeLimit,
        Termination::Signaled(libc::SIGSYS) => Termination::ForbiddenSyscall,
        Termination::Exited(0) => ended,
        _ if facts.process_refusals > 0 => Termination::ProcessLimit,
        _ => ended,
    }
}

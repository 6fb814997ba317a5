//! Verdicts and judgements, and the one table that makes the first from what happened.
//!
//! Our own failure is not in [`Verdict`]: a judge that breaks returns `Err` and the wire says
//! `outcome: infra_error, reward: null`.

use std::time::Duration;

use assay_sandbox::{Termination, Usage};

/// What the judge says of a submission. The words are the field's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// Every test right, or the answer equal to the gold.
    Accepted,
    /// Some output or answer wrong, unreadable or over budget.
    WrongAnswer,
    /// CPU time or idle wall time used up.
    TimeLimitExceeded,
    /// Memory used up.
    MemoryLimitExceeded,
    /// Printed more than allowed.
    OutputLimitExceeded,
    /// Non-zero exit, a signal, the process limit, or a malformed value.
    RuntimeError,
    /// The compiler refused the program.
    CompileError,
    /// A system call nobody innocent makes, or three fresh slots broken.
    SecurityViolation,
    /// Nothing to grade: no code block, no box, or the program ended before its value came.
    NoAnswer,
}

impl Verdict {
    /// All verdicts, in report order.
    pub const ALL: [Verdict; 9] = [
        Verdict::Accepted,
        Verdict::WrongAnswer,
        Verdict::TimeLimitExceeded,
        Verdict::MemoryLimitExceeded,
        Verdict::OutputLimitExceeded,
        Verdict::RuntimeError,
        Verdict::CompileError,
        Verdict::SecurityViolation,
        Verdict::NoAnswer,
    ];

    /// The name in files and on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Accepted => "accepted",
            Verdict::WrongAnswer => "wrong_answer",
            Verdict::TimeLimitExceeded => "time_limit_exceeded",
            Verdict::MemoryLimitExceeded => "memory_limit_exceeded",
            Verdict::OutputLimitExceeded => "output_limit_exceeded",
            Verdict::RuntimeError => "runtime_error",
            Verdict::CompileError => "compile_error",
            Verdict::SecurityViolation => "security_violation",
            Verdict::NoAnswer => "no_answer",
        }
    }

    /// Reads [`Verdict::name`].
    pub fn from_name(name: &str) -> Option<Verdict> {
        Verdict::ALL.into_iter().find(|verdict| verdict.name() == name)
    }
}

/// Everything that can have happened to a submission, before it is a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened {
    /// A run ended; `output_right` is what the comparison said of its output (ignored unless it exited 0).
    Ran {
        /// Why the run ended.
        termination: Termination,
        /// Whether the output was right.
        output_right: bool,
    },
    /// The compiler ended like this without making a program.
    CompilerRefused,
    /// A value frame that does not parse, or a surplus one.
    MalformedValue,
    /// The math checker found both answers equal.
    AnswerEqual,
    /// The math checker found them different, or could not read or afford the prediction.
    AnswerNotEqual,
    /// No code block, no box, or the program exited before the value came.
    NothingToGrade,
}

/// The verdict table of the house, total and in one place.
pub fn verdict(happened: Happened) -> Verdict {
    use Happened::{AnswerEqual, AnswerNotEqual, CompilerRefused, MalformedValue, NothingToGrade, Ran};
    match happened {
        Ran { termination: Termination::Exited(0), output_right: true } | AnswerEqual => Verdict::Accepted,
        Ran { termination: Termination::Exited(0), output_right: false } | AnswerNotEqual => {
            Verdict::WrongAnswer
        }
        Ran { termination: Termination::Exited(_), .. }
        | Ran { termination: Termination::Signaled(_), .. }
        | Ran { termination: Termination::ProcessLimit, .. }
        | MalformedValue => Verdict::RuntimeError,
        Ran { termination: Termination::CpuTimeLimit, .. }
        | Ran { termination: Termination::WallTimeLimit, .. } => Verdict::TimeLimitExceeded,
        Ran { termination: Termination::MemoryLimit, .. } => Verdict::MemoryLimitExceeded,
        Ran { termination: Termination::OutputLimit, .. } => Verdict::OutputLimitExceeded,
        Ran { termination: Termination::ForbiddenSyscall, .. }
        | Ran { termination: Termination::BrokeSlots, .. } => Verdict::SecurityViolation,
        CompilerRefused => Verdict::CompileError,
        NothingToGrade => Verdict::NoAnswer,
    }
}

/// A verdict with its reasons.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// Tests passed: those before the first failure, or all that pass where every test was run.
    pub passed: usize,
    /// Tests there are.
    pub total: usize,
    /// The part of all points, from 0 to 1, where the problem has subtasks or its checker gives parts.
    pub score: Option<f64>,
    /// Index of the first failed test, from 0.
    pub failed_test: Option<usize>,
    /// CPU and wall time summed over tests; peak memory of the hungriest.
    pub usage: Usage,
    /// What each test used that ran to its end, in order; empty for math.
    pub tests: Vec<Usage>,
    /// Tests that were run a second time, alone, because a busy machine may have made the first too slow.
    pub reruns: usize,
    /// CPU time of compiling, not part of `usage`; zero for math and for a cached compilation.
    pub compile_time: Duration,
    /// One line a person understands.
    pub reason: String,
    /// Math only: how the verdict was proven (`exact`, `identity`, `numeric`).
    pub proof: Option<String>,
    /// How the answer was found in the completion (`boxed`, `last_fence`, ...).
    pub extraction: Option<String>,
    /// The tests ran in the program's own process: the verdict is only as honest as the program.
    pub in_process: bool,
    /// Code only: what the first failed test shows a person.
    pub failure: Option<Failure>,
}

impl Judgement {
    /// The judgement of a submission that never came to its tests.
    pub(crate) fn before_tests(happened: Happened, total: usize) -> Judgement {
        Judgement {
            verdict: verdict(happened),
            passed: 0,
            total,
            score: None,
            failed_test: None,
            usage: Usage::default(),
            tests: Vec::new(),
            reruns: 0,
            compile_time: Duration::ZERO,
            reason: String::new(),
            proof: None,
            extraction: None,
            in_process: false,
            failure: None,
        }
    }
}

/// What the first failed test shows a person; texts are excerpts of a few hundred bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failure {
    /// The test's input.
    pub input: String,
    /// Its expected output.
    pub expected: String,
    /// What was printed or returned instead.
    pub actual: String,
    /// What went wrong, where something did: an exception, the end of stderr, the compiler's message.
    pub error: String,
    /// How the process ended, where its end decided.
    pub termination: Option<Termination>,
}

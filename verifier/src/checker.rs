//! Checkers and interactors: programs of the problem's author that decide.
//!
//! They run behind the same walls as submissions, in slots of their own, and are shown the answer. They are the
//! problem's: one that cannot be compiled makes the problem unsupported, before a submission is looked at. One that
//! then fails over what a submission printed has not found it right: a submission may not break its way to no verdict.

use std::time::Duration;

use assay_sandbox::{
    Executable, InputFile, Interaction, Judge, Language, Limits, Prepared, Program, Sandbox, SandboxError,
    Side, Termination,
};
use assay_testsets::{Checker, JudgeProgram, Protocol, TestCase};

/// What such a program may use for one test. Idle time is more than any solution's default.
const LIMITS: Limits = Limits {
    cpu_time: Duration::from_secs(10),
    wall_time: Duration::from_secs(20),
    memory: 1 << 30,
    ..Limits::DEFAULT
};

/// A judge's program, compiled.
#[derive(Debug)]
pub(crate) struct Compiled<'a> {
    program: &'a JudgeProgram,
    executable: Executable,
}

/// What it said, and its words.
#[derive(Debug, PartialEq)]
pub(crate) struct Ruling {
    /// How right, from 0 to 1; less than 1 is wrong.
    pub(crate) share: f64,
    pub(crate) words: String,
}

impl Ruling {
    /// Right or wrong, and nothing to say about it.
    pub(crate) fn plain(right: bool) -> Ruling {
        Ruling { share: if right { 1.0 } else { 0.0 }, words: String::new() }
    }

    pub(crate) fn right(&self) -> bool {
        self.share >= 1.0
    }
}

/// The problem's own program, where it has one; the inner `Err` says why it cannot be had.
pub(crate) fn compile<'a>(
    sandbox: &Sandbox,
    checker: &'a Checker,
) -> Result<Result<Option<Compiled<'a>>, String>, SandboxError> {
    let (Checker::Program(program) | Checker::Interactive(program)) = checker else { return Ok(Ok(None)) };
    let Some(language) = Language::from_name(&program.language) else {
        return Ok(Err(format!("the checker is in {:?}, which is not known here", program.language)));
    };
    match sandbox.prepare(&Program::new(language, program.source.clone()), &Limits::COMPILE)? {
        Prepared::Ready(executable) => Ok(Ok(Some(Compiled { program, executable }))),
        Prepared::Refused(outcome) => {
            let message = String::from_utf8_lossy(&outcome.stderr).into_owned();
            let line = message.lines().find(|line| line.contains("rror")).unwrap_or("no message").trim();
            Ok(Err(format!("the checker does not compile: {line}")))
        }
    }
}

impl Compiled<'_> {
    /// Whether `output` is right for the test.
    pub(crate) fn check(
        &self,
        sandbox: &Sandbox,
        test: &TestCase,
        output: &[u8],
    ) -> Result<Ruling, SandboxError> {
        let files = [
            InputFile { name: "input", bytes: test.input.as_bytes() },
            InputFile { name: "output", bytes: output },
            InputFile { name: "answer", bytes: test.output.as_bytes() },
        ];
        let (args, stdin): (&[&str], &[u8]) = match self.program.protocol {
            Protocol::Testlib => (&["input", "output", "answer"], b""),
            Protocol::Kattis => (&["input", "answer", "./"], output),
        };
        let args = self.with_own(args);
        let judge = Judge { executable: &self.executable, args: &args, files: &files, limits: &LIMITS };
        let outcome = sandbox.check(&judge, stdin)?;
        Ok(self.ruling(outcome.termination, &outcome.stderr, &outcome.stdout))
    }

    /// Lets the two talk, and says whether the solution was right; the interaction says how it ended.
    pub(crate) fn interact(
        &self,
        sandbox: &Sandbox,
        solution: &Executable,
        limits: &Limits,
        test: &TestCase,
    ) -> Result<(Interaction, Ruling), SandboxError> {
        let files = [
            InputFile { name: "input", bytes: test.input.as_bytes() },
            InputFile { name: "answer", bytes: test.output.as_bytes() },
        ];
        let args: &[&str] = match self.program.protocol {
            Protocol::Testlib => &["input", "/dev/null", "answer"],
            Protocol::Kattis => &["input", "answer", "./"],
        };
        let own = Limits { wall_time: LIMITS.wall_time.max(limits.wall_time), ..LIMITS };
        let args = self.with_own(args);
        let judge = Judge { executable: &self.executable, args: &args, files: &files, limits: &own };
        let talk = sandbox.interact(solution, limits, &judge, 2 << 10)?;
        let ruling = self.ruling(talk.judge.termination, &talk.judge.stderr, b"");
        Ok((talk, ruling))
    }

    /// The protocol's arguments, and the problem's behind them.
    fn with_own<'a>(&'a self, protocol: &[&'a str]) -> Vec<&'a str> {
        protocol.iter().copied().chain(self.program.arguments.iter().map(String::as_str)).collect()
    }

    fn ruling(&self, termination: Termination, stderr: &[u8], stdout: &[u8]) -> Ruling {
        let said = if stderr.is_empty() { stdout } else { stderr };
        let words = String::from_utf8_lossy(&said[..said.len().min(1 << 10)]).trim().to_owned();
        let share = match (self.program.protocol, termination) {
            (Protocol::Testlib, Termination::Exited(0)) | (Protocol::Kattis, Termination::Exited(42)) => {
                Some(1.0)
            }
            (Protocol::Testlib, Termination::Exited(7)) => points(&words),
            (Protocol::Testlib, Termination::Exited(1 | 2)) | (Protocol::Kattis, Termination::Exited(43)) => {
                Some(0.0)
            }
            _ => None,
        };
        match share {
            Some(share) => Ruling { share, words },
            None => Ruling { share: 0.0, words: format!("the checker failed ({termination:?}): {words}") },
        }
    }
}

/// The share behind testlib's `points`, 0 where it says none; `None` where it is no share: what full marks are, nobody
/// knows then.
fn points(words: &str) -> Option<f64> {
    let mut words = words.split_whitespace();
    match (words.next(), words.next()) {
        (Some("points"), Some(share)) => share.parse().ok().filter(|share| (0.0..=1.0).contains(share)),
        _ => Some(0.0),
    }
}

/// How an interactive run ends for the solution: as it ended itself, unless the other side had already found it wrong.
pub(crate) fn solutions_end(talk: &Interaction, ruling: &Ruling) -> Termination {
    match talk.first {
        Side::Judge if !ruling.right() => Termination::Exited(0),
        _ => talk.solution.termination,
    }
}

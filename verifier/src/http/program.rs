//! One program, run once: what the drop-in routes that run code have in common. What came of it is told in the sandbox's
//! words; each route puts it into its client's.

use std::time::{Duration, Instant};

use assay_sandbox::{
    InputFile, Judge, Limits, Outcome, Prepared, Program, Sandbox, SandboxError, Termination, Workplace,
};

use super::MATH_ONLY;
use super::Service;
use super::error::HttpError;
use crate::judge::Profile;

/// A program that sleeps is stopped a little after one that works as long would be: idle time is measured from the
/// program's start, and starting is not the program's doing.
pub(super) const IDLE_SLACK: Duration = Duration::from_millis(500);
/// Left for starting the program and sending its output.
const ANSWERING: Duration = Duration::from_secs(1);
/// When the client asks for no limit.
const DEFAULT_MEMORY: u64 = 1 << 30;

/// What is to be run.
pub(super) struct Plan {
    pub(super) program: Program,
    pub(super) stdin: Vec<u8>,
    pub(super) compile: Limits,
    pub(super) run: Limits,
    /// Where it runs in a directory of its own.
    pub(super) place: Option<Place>,
}

/// What lies in a program's directory, and what is wanted of it.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// Paths and contents.
    pub(super) files: Vec<(String, Vec<u8>)>,
    /// Paths.
    pub(super) fetch: Vec<String>,
}

/// What came of it.
pub(super) enum Ran {
    /// The compiler said no, or was stopped.
    Refused(Outcome),
    /// It ran; compiled languages say how long making it took.
    Ended {
        compiling: Option<Duration>,
        outcome: Outcome,
        /// What it left of what was wanted of it, in that order.
        files: Vec<Option<Vec<u8>>>,
    },
}

/// Why nothing came of it.
pub(super) enum NotRun {
    /// The request's doing: repeating it would not help.
    Unsupported(String),
    /// Ours, after three slots.
    Infra(String),
}

impl Plan {
    /// With a limit on CPU time and, with a little more, on idle time.
    pub(super) fn new(program: Program, compile: Duration, run: Duration, memory: u64) -> Plan {
        Plan {
            program,
            stdin: Vec::new(),
            compile: Limits { cpu_time: compile, wall_time: compile, ..Limits::COMPILE },
            run: Limits { cpu_time: run, wall_time: run + IDLE_SLACK, memory, ..Profile::Judge.limits() },
            place: None,
        }
    }

    /// When waiting must end so that the program, given all its time, still ends before the client gives up.
    pub(super) fn deadline(&self, patience: Duration, began: Instant) -> Instant {
        let compiling =
            if self.program.language.is_compiled() { self.compile.cpu_time } else { Duration::ZERO };
        began + patience.saturating_sub(compiling + self.run.cpu_time + IDLE_SLACK + ANSWERING)
    }

    /// On a judge thread. The sandbox has tried three slots before it reports a failure.
    pub(super) fn run(&self, service: &Service) -> Result<Ran, NotRun> {
        let ran = match &service.sandbox {
            Some(sandbox) => self.attempt(sandbox).map_err(|error| self.not_run(service, error)),
            None => {
                service.infra_error(MATH_ONLY);
                Err(NotRun::Infra(MATH_ONLY.into()))
            }
        };
        service.metrics.program(end(&ran));
        ran
    }

    fn attempt(&self, sandbox: &Sandbox) -> Result<Ran, SandboxError> {
        let began = Instant::now();
        let executable = match sandbox.prepare(&self.program, &self.compile)? {
            Prepared::Ready(executable) => executable,
            Prepared::Refused(outcome) => return Ok(Ran::Refused(outcome)),
        };
        let compiling = self.program.language.is_compiled().then(|| began.elapsed());
        let (outcome, files) = match &self.place {
            None => (sandbox.run(&executable, &self.stdin, &self.run)?, Vec::new()),
            Some(place) => {
                let files: Vec<_> =
                    place.files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
                let fetch: Vec<_> = place.fetch.iter().map(String::as_str).collect();
                let place = Workplace { files: &files, fetch: &fetch };
                sandbox.run_at(&executable, &place, &self.stdin, &self.run)?
            }
        };
        Ok(Ran::Ended { compiling, outcome, files })
    }

    fn not_run(&self, service: &Service, error: SandboxError) -> NotRun {
        match error {
            // The caller's doing, such as a source over the cap.
            SandboxError::Invalid(text) => NotRun::Unsupported(text),
            // A compiler or interpreter this host need not have, or a directory that its tier does not give; nor would repeating
            // bring it here.
            SandboxError::Unavailable(text) if self.place.is_some() || !self.program.language.is_needed() => {
                NotRun::Unsupported(text)
            }
            error => {
                service.infra_error(&error.to_string());
                NotRun::Infra(error.to_string())
            }
        }
    }
}

/// How it ended, as it is counted.
fn end(ran: &Result<Ran, NotRun>) -> &'static str {
    match ran {
        Err(NotRun::Unsupported(_)) => "unsupported",
        Err(NotRun::Infra(_)) => "infra_error",
        Ok(Ran::Refused(_)) => "refused",
        Ok(Ran::Ended { outcome, .. }) => match outcome.termination {
            Termination::Exited(0) => "exited_zero",
            Termination::Exited(_) => "exited_nonzero",
            termination => termination.name(),
        },
    }
}

/// A time limit as a client states it, in seconds, within what the service allows.
pub(super) fn time_limit(service: &Service, field: &str, seconds: f64) -> Result<Duration, HttpError> {
    let most = service.config().max_time;
    let asked = crate::wire::seconds(field, seconds).map_err(HttpError::Invalid)?;
    if asked > most {
        let most = most.as_secs_f64();
        return Err(HttpError::Invalid(format!(
            "`{field}` is {seconds} s; this service allows at most {most} s"
        )));
    }
    Ok(asked)
}

/// A memory limit in units of `unit` bytes; 0 or less is no wish, and then it is 1 GiB.
pub(super) fn memory_limit(service: &Service, field: &str, asked: i64, unit: u64) -> Result<u64, HttpError> {
    let most = service.config().max_memory;
    let bytes = u64::try_from(asked).ok().filter(|asked| *asked > 0).map(|asked| asked.saturating_mul(unit));
    match bytes {
        None => Ok(DEFAULT_MEMORY.min(most)),
        Some(bytes) if bytes <= most => Ok(bytes),
        Some(_) => Err(HttpError::Invalid(format!(
            "`{field}` is {asked}; this service allows at most {}",
            most / unit
        ))),
    }
}

/// Bytes as text without a copy where they are UTF-8.
pub(super) fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// What a judge's program may use for one test.
const CHECKER: Limits = Limits {
    cpu_time: Duration::from_secs(10),
    wall_time: Duration::from_secs(20),
    memory: 1 << 30,
    ..Limits::DEFAULT
};

/// Runs a checker of the caller's over some files, in a slot that no program under test ever gets; the inner `Err` says why it
/// does not compile.
pub(super) fn check(
    service: &Service,
    program: Program,
    args: &[&str],
    files: &[InputFile<'_>],
) -> Result<Result<Outcome, String>, NotRun> {
    let plan = Plan { program, stdin: Vec::new(), compile: Limits::COMPILE, run: CHECKER, place: None };
    let Some(sandbox) = &service.sandbox else { return Err(NotRun::Infra(MATH_ONLY.into())) };
    let attempt = || -> Result<Result<Outcome, String>, SandboxError> {
        let executable = match sandbox.prepare(&plan.program, &plan.compile)? {
            Prepared::Ready(executable) => executable,
            Prepared::Refused(outcome) => return Ok(Err(text(outcome.stderr))),
        };
        sandbox.check(&Judge { executable: &executable, args, files, limits: &plan.run }, b"").map(Ok)
    };
    attempt().map_err(|error| plan.not_run(service, error))
}

/// A signal by its name.
pub(super) fn signal_name(number: i32) -> String {
    let name = match number {
        2 => "SIGINT",
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        _ => return format!("SIG{number}"),
    };
    name.into()
}

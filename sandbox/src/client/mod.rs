//! The caller's side: a handle any thread may use, blocking calls, no async.
//!
//! A call leases a slot (or waits for one), sends the program to its slot-init, feeds and drains the pipes itself,
//! watches CPU time, idle time and memory, ends the run when a limit is passed, and makes the outcome from facts:
//! the status its parent reaped, the counters of its control group, the bytes in the pipes.

mod guest;
mod knobs;
mod pool;
mod session;

use std::path::PathBuf;
use std::sync::Arc;

use crate::protocol::{Action, Class, Run};
use crate::{
    Doctor, Language, LanguageState, Limits, Outcome, Program, SandboxError, Termination, Tier, Usage, Wall,
    WallState, image, wasm,
};

use guest::Guest;
use pool::Pool;
pub use session::{Exchange, Session};

/// A run is repeated on another slot when one breaks; after this many it is reported.
const ATTEMPTS: usize = 3;
/// What address space a guest may reserve beyond its memory limit: runtimes reserve much and touch little.
const ADDRESS_SLACK: u64 = 16 << 30;

/// How a sandbox is started.
#[derive(Debug, Clone, Default)]
pub struct SandboxConfig {
    /// The executable that becomes spawner and slot-init; its `main` calls [`init`](crate::init) first.
    /// `None`: this one.
    pub helper: Option<PathBuf>,
    /// Programs running at once, each in a slot of its own; 0 means one per core.
    pub slots: usize,
    /// The least acceptable tier; below it, refuse to start. `None`: whatever the host gives.
    pub tier: Option<Tier>,
    /// The Python interpreter to use. `None`: the environment's `ASSAY_PYTHON`, then `python3` of `PATH`, then
    /// `/usr/bin/python3`. Under a guardian only the environment counts: the spawner was started by then.
    pub python: Option<PathBuf>,
    /// The C++ compiler to use. `None`: `ASSAY_CXX`, then `g++` of `PATH`. Under a guardian as above.
    pub compiler: Option<PathBuf>,
}

/// A pool of slots behind kernel walls. Cheap to clone; clones share the pool; blocking calls from any thread.
#[derive(Debug, Clone)]
pub struct Sandbox {
    pool: Arc<Pool>,
}

/// A program ready to run any number of times, on any slot.
#[derive(Debug, Clone)]
pub struct Executable {
    language: Language,
    args: Vec<String>,
    image: Image,
}

#[derive(Debug, Clone)]
enum Image {
    /// A sealed memory file with the source or the binary.
    File(Arc<std::os::fd::OwnedFd>),
    /// A WebAssembly module.
    Module(Arc<[u8]>),
}

impl Executable {
    /// What the program was written in.
    pub fn language(&self) -> Language {
        self.language
    }
}

/// What became of a program's source.
#[derive(Debug)]
pub enum Prepared {
    /// It can run.
    Ready(Executable),
    /// The compiler refused it or ran into its own limits; the outcome is the compiler's, stderr its message.
    Refused(Outcome),
}

impl Sandbox {
    /// Starts a spawner of its own and takes its socket. For tests and tools that run without a guardian.
    ///
    /// # Errors
    /// [`SandboxError::Unavailable`] when the host allows no tier, or none as good as `config.tier`.
    pub fn start(config: &SandboxConfig) -> Result<Sandbox, SandboxError> {
        Ok(Sandbox { pool: Arc::new(Pool::start(config)?) })
    }

    /// Takes the spawner that the guardian passed on; `None` when this process was not started by one.
    ///
    /// # Errors
    /// As [`Sandbox::start`], and when the inherited socket is not one.
    pub fn connect(config: &SandboxConfig) -> Result<Option<Sandbox>, SandboxError> {
        Ok(Pool::connect(config)?.map(|pool| Sandbox { pool: Arc::new(pool) }))
    }

    /// Compiles behind the walls: C++ by g++, Python by a syntax check, WebAssembly by validation. `limits`
    /// bound the *compiler*, not the program: pass [`Limits::COMPILE`] unless there is a reason.
    ///
    /// # Errors
    /// [`SandboxError::Invalid`] for a source over its cap or absurd limits; `Unavailable` when the host has no
    /// interpreter or compiler; `Step` when a wall failed.
    pub fn prepare(&self, program: &Program, limits: &Limits) -> Result<Prepared, SandboxError> {
        check_program(program)?;
        check_limits(limits)?;
        let ready = |image| {
            Prepared::Ready(Executable { language: program.language, args: program.args.clone(), image })
        };
        let action = match program.language {
            Language::Wasm => return Ok(prepare_wasm(program)),
            Language::Python3 => Action::PythonCheck,
            Language::Cpp17 => Action::Compile,
        };
        self.pool.need(action)?;
        let source = image::sealed(program.source.as_slice()).map_err(step_error("source"))?;
        let done = self.repeat(action, &[], &source, &[], limits)?;
        if done.outcome.termination != Termination::Exited(0) {
            return Ok(Prepared::Refused(done.outcome));
        }
        let image = match action {
            Action::Compile => done.binary.ok_or_else(|| SandboxError::Step {
                step: "binary",
                source: std::io::Error::other("the compiler succeeded and left nothing"),
            })?,
            _ => source,
        };
        Ok(ready(Image::File(Arc::new(image))))
    }

    /// Runs to the end: `stdin` is fed through a pipe, stdout and stderr are drained to their cap. A slot that
    /// breaks is replaced and the run repeated on another one.
    ///
    /// # Errors
    /// [`SandboxError::Invalid`] for absurd limits; `Step` when three slots broke.
    pub fn run(
        &self,
        executable: &Executable,
        stdin: &[u8],
        limits: &Limits,
    ) -> Result<Outcome, SandboxError> {
        check_limits(limits)?;
        match &executable.image {
            Image::Module(module) => wasm::run(module, &executable.args, stdin, limits),
            Image::File(image) => {
                let action = run_action(executable.language);
                Ok(self.repeat(action, &executable.args, image, stdin, limits)?.outcome)
            }
        }
    }

    /// Starts a program that is fed frames; it holds a slot until the session is closed or dropped.
    ///
    /// # Errors
    /// As [`Sandbox::run`]; [`SandboxError::Invalid`] for WebAssembly, which has no sessions.
    pub fn open(&self, executable: &Executable, limits: &Limits) -> Result<Session, SandboxError> {
        check_limits(limits)?;
        let Image::File(image) = &executable.image else {
            return Err(SandboxError::Invalid("a WebAssembly program cannot be opened as a session".into()));
        };
        let mut attempt = 0;
        loop {
            attempt += 1;
            let run = request(run_action(executable.language), &executable.args, true, limits);
            match self.pool.lease(Class::Run).and_then(|lease| Guest::start(lease, run, image, limits)) {
                Ok(guest) => return Ok(Session::new(guest)),
                Err(SandboxError::Step { .. }) if attempt < ATTEMPTS => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// What the host gives; every language is run inside the box.
    pub fn doctor(&self) -> Doctor {
        let report = self.pool.host();
        let walls = report.walls.iter().map(|(name, state, text)| Wall {
            name: name.clone(),
            state: match state.as_str() {
                "up" => WallState::Up(text.clone()),
                "weaker" => WallState::Weaker(text.clone()),
                _ => WallState::Missing(text.clone()),
            },
        });
        Doctor {
            tier: report.tier.as_deref().and_then(Tier::from_name),
            walls: walls.collect(),
            languages: Language::ALL.map(|language| self.examine(language)).to_vec(),
        }
    }

    /// One language: its version, as it says itself inside the box.
    fn examine(&self, language: Language) -> LanguageState {
        let state = |version: &str, hint: String| LanguageState {
            language,
            version: version.trim().to_string(),
            ok: hint.is_empty(),
            hint,
        };
        let (action, prefix) = match language {
            Language::Python3 => (Action::PythonVersion, ""),
            Language::Cpp17 => (Action::CompilerVersion, "g++ "),
            Language::Wasm => return examine_wasm(),
        };
        let outcome = self.pool.need(action).and_then(|()| {
            let nothing = image::sealed(&b""[..]).map_err(step_error("source"))?;
            Ok(self.repeat(action, &[], &nothing, &[], &Limits::COMPILE)?.outcome)
        });
        match outcome {
            Err(error) => state("", error.to_string()),
            Ok(outcome) if outcome.termination == Termination::Exited(0) => {
                state(&format!("{prefix}{}", String::from_utf8_lossy(&outcome.stdout)), String::new())
            }
            Ok(outcome) => {
                let said = String::from_utf8_lossy(&outcome.stderr);
                let hint = format!("inside the box it ends with {:?}: {}", outcome.termination, said.trim());
                state("", hint)
            }
        }
    }

    /// Runs on one slot after another until one does not break.
    fn repeat(
        &self,
        action: Action,
        args: &[String],
        image: &std::os::fd::OwnedFd,
        stdin: &[u8],
        limits: &Limits,
    ) -> Result<guest::Done, SandboxError> {
        let class = match action {
            Action::Compile | Action::CompilerVersion => Class::Compile,
            _ => Class::Run,
        };
        let mut attempt = 0;
        loop {
            attempt += 1;
            let run = request(action, args, false, limits);
            let result = self
                .pool
                .lease(class)
                .and_then(|lease| Guest::start(lease, run, image, limits))
                .and_then(|guest| guest.run_to_end(stdin));
            match result {
                Err(SandboxError::Step { .. }) if attempt < ATTEMPTS => {}
                other => return other,
            }
        }
    }
}

fn run_action(language: Language) -> Action {
    if language == Language::Python3 { Action::Python } else { Action::Native }
}

fn request(action: Action, args: &[String], values: bool, limits: &Limits) -> Run {
    Run {
        action,
        args: args.to_vec(),
        values,
        // The supervisor's own watch comes first; this one holds when the supervisor is starved. In a session the
        // limit holds per exchange, so there is no total to set.
        cpu_seconds: if values { u64::MAX } else { limits.cpu_time.as_secs().saturating_add(3) },
        address_space: limits.memory.saturating_add(ADDRESS_SLACK),
        stack: limits.stack,
        open_files: limits.open_files.into(),
        processes: limits.processes.into(),
    }
}

fn prepare_wasm(program: &Program) -> Prepared {
    match wasm::validate(&program.source) {
        Ok(()) => Prepared::Ready(Executable {
            language: program.language,
            args: program.args.clone(),
            image: Image::Module(program.source.clone().into()),
        }),
        Err(message) => Prepared::Refused(Outcome {
            termination: Termination::Exited(1),
            stdout: Vec::new(),
            stderr: message.into_bytes(),
            usage: Usage::default(),
        }),
    }
}

fn examine_wasm() -> LanguageState {
    let hint = wasm::examine().err().unwrap_or_default();
    LanguageState {
        language: Language::Wasm,
        version: if hint.is_empty() { "wasmtime 48".into() } else { String::new() },
        ok: hint.is_empty(),
        hint,
    }
}

fn check_program(program: &Program) -> Result<(), SandboxError> {
    let most = match program.language {
        Language::Wasm => Program::MAX_MODULE,
        Language::Cpp17 | Language::Python3 => Program::MAX_SOURCE,
    };
    if program.source.len() > most {
        return Err(SandboxError::Invalid(format!(
            "the {} source has {} bytes; at most {most} are accepted",
            program.language.name(),
            program.source.len()
        )));
    }
    if let Some(arg) = program.args.iter().find(|arg| arg.contains('\0')) {
        return Err(SandboxError::Invalid(format!("the argument {arg:?} holds a NUL byte")));
    }
    let length: usize = program.args.iter().map(|arg| arg.len() + 1).sum();
    if length > 64 << 10 {
        return Err(SandboxError::Invalid(format!(
            "the arguments have {length} bytes; at most 65536 are accepted"
        )));
    }
    Ok(())
}

/// Refuses limits under which nothing could run, and such as overflow.
fn check_limits(limits: &Limits) -> Result<(), SandboxError> {
    const DAY: u64 = 24 * 3600;
    let checks: [(&str, u64, u64, u64, &str); 7] = [
        ("cpu_time", limits.cpu_time.as_millis() as u64, 1, DAY * 1000, "milliseconds"),
        ("wall_time", limits.wall_time.as_millis() as u64, 1, DAY * 1000, "milliseconds"),
        ("memory", limits.memory, 4 << 20, 1 << 46, "bytes"),
        ("stack", if limits.stack == u64::MAX { 1 << 20 } else { limits.stack }, 64 << 10, 1 << 46, "bytes"),
        ("output", limits.output, 0, 1 << 40, "bytes"),
        ("processes", limits.processes.into(), 1, 1 << 15, "processes"),
        ("open_files", limits.open_files.into(), 8, 1 << 16, "descriptors"),
    ];
    for (name, value, least, most, unit) in checks {
        if value < least || value > most {
            return Err(SandboxError::Invalid(format!(
                "limit {name} is {value} {unit}; it must be from {least} to {most}"
            )));
        }
    }
    Ok(())
}

/// Names the step of an error of ours.
fn step_error<E: Into<std::io::Error>>(step: &'static str) -> impl Fn(E) -> SandboxError {
    move |source| SandboxError::Step { step, source: source.into() }
}

//! The caller's side: a handle any thread may use, blocking calls, no async.

use std::path::PathBuf;
use std::sync::Arc;

use crate::{Doctor, Language, Limits, Outcome, Program, SandboxError, Termination, Tier, Usage, wasm};

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
    /// The Python interpreter to use. `None`: `python3` of `PATH`, then `/usr/bin/python3`.
    pub python: Option<PathBuf>,
    /// The C++ compiler to use. `None`: `g++` of `PATH`.
    pub compiler: Option<PathBuf>,
}

/// A pool of slots behind kernel walls. Cheap to clone; clones share the pool; blocking calls from any thread.
#[derive(Debug, Clone)]
pub struct Sandbox {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {}

/// A program ready to run any number of times, on any slot.
#[derive(Debug, Clone)]
pub struct Executable {
    language: Language,
    args: Vec<String>,
    image: Arc<[u8]>,
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

/// A running program that is fed input frames and answers with value frames (u32 little-endian length, bytes):
/// input on fd 0, values on fd 3; fd 1 and fd 2 are drained as in a run.
#[derive(Debug)]
pub struct Session {}

/// What one input frame led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exchange {
    /// One value frame came back.
    Value {
        /// The frame's bytes: data, never believed to be more.
        bytes: Vec<u8>,
        /// What this exchange alone used.
        usage: Usage,
    },
    /// The bytes on fd 3 are no frame (length over `Limits::output`, or the end inside a frame).
    Malformed,
    /// The program ended, or was ended, before its value came.
    Ended(Termination),
}

impl Sandbox {
    /// Starts a spawner of its own and takes its socket. For tests and tools that run without a guardian.
    ///
    /// # Errors
    /// [`SandboxError::Unavailable`] when the host allows no tier, or none as good as `config.tier`.
    pub fn start(_config: &SandboxConfig) -> Result<Sandbox, SandboxError> {
        Err(SandboxError::Unavailable("kernel walls are not part of this build".into()))
    }

    /// Takes the spawner that the guardian passed on; `None` when this process was not started by one.
    ///
    /// # Errors
    /// As [`Sandbox::start`], and when the inherited socket is not one.
    pub fn connect(_config: &SandboxConfig) -> Result<Option<Sandbox>, SandboxError> {
        Ok(None)
    }

    /// Compiles behind the walls: C++ by g++, Python by a syntax check, WebAssembly by validation. `limits`
    /// bound the *compiler*, not the program: pass [`Limits::COMPILE`] unless there is a reason.
    ///
    /// # Errors
    /// [`SandboxError::Invalid`] for a source over its cap or absurd limits; `Step` when a wall failed.
    pub fn prepare(&self, program: &Program, _limits: &Limits) -> Result<Prepared, SandboxError> {
        let _ = &self.shared;
        match program.language {
            Language::Wasm => match wasm::validate(&program.source) {
                Ok(()) => Ok(Prepared::Ready(Executable {
                    language: program.language,
                    args: program.args.clone(),
                    image: program.source.clone().into(),
                })),
                Err(message) => Ok(Prepared::Refused(Outcome {
                    termination: Termination::Exited(1),
                    stdout: Vec::new(),
                    stderr: message.into_bytes(),
                    usage: Usage::default(),
                })),
            },
            other => Err(SandboxError::Unavailable(format!("{} is not part of this build", other.name()))),
        }
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
        match executable.language {
            Language::Wasm => wasm::run(&executable.image, &executable.args, stdin, limits),
            other => Err(SandboxError::Unavailable(format!("{} is not part of this build", other.name()))),
        }
    }

    /// Starts a program that is fed frames; it holds a slot until the session is closed or dropped.
    ///
    /// # Errors
    /// As [`Sandbox::run`]; [`SandboxError::Invalid`] for WebAssembly, which has no sessions.
    pub fn open(&self, _executable: &Executable, _limits: &Limits) -> Result<Session, SandboxError> {
        Err(SandboxError::Unavailable("sessions are not part of this build".into()))
    }

    /// What the host gives; every language is run inside the box.
    pub fn doctor(&self) -> Doctor {
        Doctor { tier: None, walls: Vec::new(), languages: Vec::new() }
    }
}

impl Session {
    /// One input frame in, one value frame out. `cpu_time` and `wall_time` of the limits hold for each exchange
    /// anew; the usage is this exchange's. After anything but a value the session only closes.
    ///
    /// # Errors
    /// When the slot broke: our failure, to be repeated in a new session.
    pub fn exchange(&mut self, _input: &[u8]) -> Result<Exchange, SandboxError> {
        Err(SandboxError::Unavailable("sessions are not part of this build".into()))
    }

    /// Ends the program. The usage is the whole run's; stdout and stderr as captured.
    ///
    /// # Errors
    /// When the slot broke.
    pub fn close(self) -> Result<Outcome, SandboxError> {
        Err(SandboxError::Unavailable("sessions are not part of this build".into()))
    }
}

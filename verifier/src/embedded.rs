//! The service inside another program: the trainer re-executes itself as a verifier on loopback and asks it
//! over HTTP, exactly as it would ask one on another machine.
//!
//! The child watches its standard input, whose other end the parent holds: when the parent ends, however it
//! ends, the pipe closes and the child drains and leaves.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use assay_sandbox::guardian::{self, GuardOptions};
use assay_sandbox::{Sandbox, SandboxConfig};

use crate::http::{self, Config, Ended, LogFormat, LogLevel};

/// `argv[1]` of a process that is to become a verifier.
const ROLE: &str = "__verifier";
const MATH_ONLY: &str = "--math-only";

/// How a verifier process is started.
#[derive(Debug, Clone, Default)]
pub struct VerifierConfig {
    /// The executable, whose `main` calls [`init`](crate::init) first. `None`: this one.
    pub program: Option<PathBuf>,
    /// Items judged at once; 0 means one per core.
    pub slots: usize,
    /// Start without a sandbox: math is graded, code is answered `infra_error`.
    pub math_only: bool,
}

/// A verifier on a port of 127.0.0.1 of its own; dropping this ends it.
#[derive(Debug)]
pub struct VerifierProcess {
    /// Where it listens, such as `http://127.0.0.1:41235`.
    pub base_url: String,
    child: Child,
    stdin: Option<ChildStdin>,
}

/// Starts this executable again as a verifier with `slots` judges (0: one per core) and waits until it is
/// ready.
///
/// # Errors
/// When it cannot be started or ends before it is ready; its own line on standard error says why.
pub fn spawn_verifier(slots: usize) -> io::Result<VerifierProcess> {
    VerifierProcess::start(&VerifierConfig { slots, ..VerifierConfig::default() })
}

impl VerifierProcess {
    /// Starts one and waits until it is ready.
    ///
    /// # Errors
    /// As [`spawn_verifier`].
    pub fn start(config: &VerifierConfig) -> io::Result<VerifierProcess> {
        let program = config.program.clone().map_or_else(std::env::current_exe, Ok)?;
        let mut command = Command::new(&program);
        command.arg(ROLE).arg(config.slots.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        if config.math_only {
            command.arg(MATH_ONLY);
        }
        let mut child = command.spawn()?;
        let stdin = child.stdin.take();
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let base_url = line.trim_end().to_owned();
        let mut process = VerifierProcess { base_url, child, stdin };
        if process.base_url.is_empty() {
            let status = process.end()?;
            let text =
                format!("the verifier process ended before it was ready ({status}); see its message above");
            return Err(io::Error::other(text));
        }
        Ok(process)
    }

    /// The process id, for reports.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to drain, waits, and ends it for good if that takes too long.
    fn end(&mut self) -> io::Result<std::process::ExitStatus> {
        drop(self.stdin.take());
        let give_up = Instant::now() + Duration::from_secs(10);
        while Instant::now() < give_up {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.child.kill()?;
        self.child.wait()
    }
}

impl Drop for VerifierProcess {
    fn drop(&mut self) {
        // Nothing can be done about a child that can't even be killed.
        let _ = self.end();
    }
}

/// The child's side: what it exits with, or `None` if this process is no such child.
pub(crate) fn play_role() -> Option<i32> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if arguments.get(1).is_none_or(|role| role != ROLE) {
        return None;
    }
    Some(match run(&arguments[2..]) {
        Ok(()) => 0,
        Err(message) => {
            let _ = writeln!(io::stderr(), "assay: error: {message}");
            3
        }
    })
}

fn run(arguments: &[OsString]) -> Result<(), String> {
    let slots = arguments.first().and_then(|text| text.to_str()).and_then(|text| text.parse::<usize>().ok());
    let Some(slots) = slots else { return Err(format!("{ROLE} needs a number of slots")) };
    let defaults = Config::default();
    let config = Config {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        slots: if slots == 0 { defaults.slots } else { slots },
        grace: Duration::from_secs(5),
        log: LogFormat::Text,
        log_level: LogLevel::Error,
        until_stdin_closes: true,
        ..defaults
    };
    let math_only = arguments.iter().any(|argument| argument == MATH_ONLY);
    let sandbox = if math_only { None } else { Some(sandbox(config.slots)?) };
    let announce = |address: SocketAddr| writeln!(io::stdout(), "http://{address}");
    let settled = || Err("its configuration is its owner's and does not change".to_owned());
    match http::serve(&config, sandbox, settled, announce).map_err(|error| error.to_string())? {
        Ended::Drained | Ended::Interrupted | Ended::Early(_) => Ok(()),
        Ended::GraceOver(lost) => Err(format!("stopped with {lost} items unfinished")),
    }
}

/// The guardian's worker goes on from here with the spawner it was given.
fn sandbox(slots: usize) -> Result<Sandbox, String> {
    guardian::run(&GuardOptions::default()).map_err(|error| error.to_string())?;
    let config = SandboxConfig { slots, ..SandboxConfig::default() };
    match Sandbox::connect(&config).map_err(|error| error.to_string())? {
        Some(sandbox) => Ok(sandbox),
        None => Err("the sandbox's spawner is missing; the guardian did not start it".into()),
    }
}

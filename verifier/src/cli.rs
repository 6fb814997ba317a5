//! The command line's frame: one file per command under `cli/`, the conventions here.
//!
//! - An option's value comes from the flag, else from `ASSAY_<OPTION>`, else from the command's table in the
//!   TOML file given with `--config`, else from its default ([`settings`]; no command does anything for it).
//! - A command returns `Ok(Status)` when it ran and `Err(CliError)` when it could not; the exit codes are
//!   theirs alone. Every error is one line: what, where, what to do.
//! - Results go to stdout through [`output`], which survives a reader that left; progress and logs go to
//!   stderr.
//!
//! To add a command: a file `cli/<command>.rs` with `Args` (clap) and `run(Args) -> Result<Status,
//! CliError>`, and a variant with one line in [`Command`] and in [`Command::run`].

mod bench;
mod census;
mod compare;
mod config;
mod doctor;
mod elo;
mod grade;
mod grader;
mod ledger;
mod math;
mod merge;
mod output;
mod problems;
mod progress;
mod results;
mod rules;
mod run;
mod serve;
mod settings;
mod shell;
mod values;
mod window;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use assay_sandbox::guardian::{self, GuardOptions};
use assay_sandbox::{Language, Sandbox, SandboxConfig, SandboxError};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

/// A completion becomes a verdict and a reward: code is run in a sandbox, math answers are compared exactly.
#[derive(Debug, Parser)]
#[command(name = "assay", version, arg_required_else_help = true, after_help = EPILOGUE)]
struct Cli {
    /// TOML file with a table per command, such as `[run]` with `cpu-time = "2s"`
    #[arg(long, global = true, value_name = "FILE", env = settings::CONFIG_VARIABLE, hide_env = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

const EPILOGUE: &str = "\
Every option can also be set by the environment (ASSAY_CPU_TIME for --cpu-time, but ASSAY_RESULTS_CACHE for --cache) or in the
file given with --config. A flag wins over the environment, the environment over the file; `assay config dump` shows what
comes of it.

Examples:
  assay doctor                      what this machine offers, and what to install
  assay run prog.py --stdin in.txt  one program in the sandbox
  assay grade problems.jsonl completions.jsonl --out results
  assay bench aime25.jsonl --suite aime25 --base-url http://127.0.0.1:8000/v1 --model NAME --out results
  assay math '\\frac{1}{2}' 0.5      are two answers the same?
  assay serve                       verdicts and rewards over HTTP

Exit codes: 0 fine, 1 ran but the check failed, 2 wrong usage or bad input, 3 failure of assay or
of the machine, 130 interrupted.";

#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one a process")]
enum Command {
    Doctor(doctor::Args),
    Run(run::Args),
    Grade(grade::Args),
    Bench(Box<bench::Args>),
    Merge(merge::Args),
    Compare(compare::Args),
    Elo(elo::Args),
    Math(math::Args),
    Serve(serve::Args),
    Config(config::Args),
    Completions(shell::CompletionsArgs),
    Man(shell::ManArgs),
}

impl Command {
    fn run(self) -> Result<Status, CliError> {
        match self {
            Command::Doctor(args) => doctor::run(&args),
            Command::Run(args) => run::run(args),
            Command::Grade(args) => grade::run(args),
            Command::Bench(args) => bench::run(*args),
            Command::Merge(args) => merge::run(&args),
            Command::Compare(args) => compare::run(&args),
            Command::Elo(args) => elo::run(&args),
            Command::Math(args) => math::run(args),
            Command::Serve(args) => serve::run(args),
            Command::Config(args) => config::run(args),
            Command::Completions(args) => shell::completions(&args),
            Command::Man(args) => shell::man(&args),
        }
    }
}

/// How a command that ran ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// Exit code 0.
    Fine,
    /// Exit code 1: it ran, and what it checked failed.
    CheckFailed,
}

/// Why a command could not run: the line people read and the exit code scripts read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CliError {
    code: u8,
    message: String,
}

impl CliError {
    /// Exit code 2: wrong usage or bad input. `message` says what, where and what to do, in one line.
    pub(crate) fn usage(message: impl Into<String>) -> CliError {
        CliError { code: 2, message: message.into() }
    }

    /// Exit code 3: our failure or the machine's (a full disk). `message` as for [`CliError::usage`].
    pub(crate) fn failure(message: impl Into<String>) -> CliError {
        CliError { code: 3, message: message.into() }
    }

    /// A command that was named and is none; `names` are those that there are.
    pub(crate) fn no_command(name: &str, names: &[impl AsRef<str>]) -> CliError {
        let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        CliError::usage(format!("there is no command {name}; they are {}", names.join(", ")))
    }

    /// Adds to the line.
    pub(crate) fn append(&mut self, advice: &str) {
        self.message.push_str(advice);
    }

    /// A file that cannot be read; `what` says which part it plays ("the program", "the problem file").
    pub(crate) fn read(what: &str, path: &Path, error: &io::Error) -> CliError {
        let message = format!("cannot read {what} {}: {}", path.display(), reason(error));
        let advice = match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => "check the path",
            io::ErrorKind::PermissionDenied => "make it readable for this user",
            io::ErrorKind::IsADirectory => "give a file",
            _ => return CliError::failure(message),
        };
        CliError::usage(format!("{message}; {advice}"))
    }

    /// A file or directory that cannot be written; `what` as for [`CliError::read`].
    pub(crate) fn write(what: &str, path: &Path, error: &io::Error) -> CliError {
        use io::ErrorKind::{
            AlreadyExists, IsADirectory, NotADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem,
        };
        let message = format!("cannot write {what} {}: {}", path.display(), reason(error));
        match error.kind() {
            NotFound | NotADirectory | IsADirectory | AlreadyExists | PermissionDenied
            | ReadOnlyFilesystem => CliError::usage(format!("{message}; choose a place this user may write")),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                CliError::failure(format!("{message}; free some space or choose another place"))
            }
            _ => CliError::failure(message),
        }
    }
}

impl From<SandboxError> for CliError {
    fn from(error: SandboxError) -> CliError {
        match error {
            SandboxError::Invalid(message) => CliError::usage(message),
            SandboxError::Unavailable(message) => {
                CliError::failure(format!("{message}; `assay doctor` shows what this machine lacks"))
            }
            error @ (SandboxError::Step { .. } | SandboxError::SlotBroke { .. }) => {
                CliError::failure(format!("{error}; `assay doctor` shows what this machine lacks"))
            }
        }
    }
}

/// The whole command line: parses, runs, reports; never panics on a reader that left.
pub(crate) fn main() -> ExitCode {
    let languages = || Language::load_configured().map_err(CliError::from);
    let parsed =
        serve::hold_signals().and_then(|()| languages()).and_then(|()| parse(std::env::args_os().collect()));
    let result = parsed.and_then(|parsed| match parsed {
        Parsed::Command(command) => command.run(),
        Parsed::Text(text) => output::print(text.as_bytes()).map(|()| Status::Fine),
    });
    match result {
        Ok(Status::Fine) => ExitCode::SUCCESS,
        Ok(Status::CheckFailed) => ExitCode::from(1),
        Err(error) => {
            let line = without_error_numbers(error.message.trim_end()).replace('\n', " ");
            output::log(&format!("error: {line}"));
            ExitCode::from(error.code)
        }
    }
}

/// Reads a whole file the user named; `what` says which part it plays.
pub(crate) fn read_file(what: &str, path: &Path) -> Result<Vec<u8>, CliError> {
    fs::read(path).map_err(|error| CliError::read(what, path, &error))
}

/// Makes this process the guardian's worker. The first thing a command does that needs a sandbox, before it
/// opens files or starts threads; what it returns is for [`sandbox`], so that bad input is reported before a
/// missing sandbox. A process whose guard failed reads its arguments and ends: it writes nothing, for a worker
/// may have done the work already.
pub(crate) fn guard() -> Result<(), SandboxError> {
    guardian::run(&GuardOptions { keep_file_access: true, ..GuardOptions::default() })
}

/// The guardian's sandbox, for `slots` programs at once.
pub(crate) fn sandbox(guarded: Result<(), SandboxError>, slots: usize) -> Result<Sandbox, CliError> {
    guarded?;
    let config = SandboxConfig { slots, ..SandboxConfig::default() };
    Sandbox::connect(&config)?.ok_or_else(|| {
        CliError::failure("the guardian started this process without a spawner; start it again")
    })
}

/// The names that `--lang` takes, for people.
pub(crate) fn language_names() -> String {
    let names: Vec<&str> = Language::all().into_iter().map(Language::name).collect();
    names.join(", ")
}

/// Reads `--lang`.
pub(crate) fn language(name: &str) -> Result<Language, String> {
    Language::from_name(name).ok_or_else(|| format!("the languages are {}", language_names()))
}

enum Parsed {
    Command(Box<Command>),
    /// `--help` and `--version`.
    Text(String),
}

fn parse(arguments: Vec<OsString>) -> Result<Parsed, CliError> {
    let file = settings::load(&arguments)?;
    let command = settings::layer(Cli::command(), file.as_ref())?;
    let parsed = command
        .try_get_matches_from(&arguments)
        .and_then(|matches| Cli::from_arg_matches(&matches))
        .map(|cli| cli.command);
    match parsed {
        Ok(command) => Ok(Parsed::Command(Box::new(command))),
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Ok(Parsed::Text(error.to_string())),
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                output::log_raw(error.to_string());
                Err(CliError::usage("no command given; choose one of those above"))
            }
            _ => Err(usage_error(&error, &arguments, file.as_ref())),
        },
    }
}

/// clap's report of several paragraphs as one line, with the place a bad value came from when it was not a
/// flag.
fn usage_error(error: &clap::Error, arguments: &[OsString], file: Option<&settings::File>) -> CliError {
    let text = error.to_string();
    let mut line = String::new();
    for paragraph in text.split("\n\n") {
        let paragraph = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some(what) = paragraph.strip_prefix("error: ") {
            line.push_str(what);
        } else if let Some(tip) = paragraph.strip_prefix("tip: ") {
            line.push_str(&format!("; {tip}"));
        }
    }
    if let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg)
        && let Some(origin) = settings::origin(argument, arguments, file)
    {
        line.push_str(&format!(" (from {origin})"));
    }
    let command = arguments
        .iter()
        .skip(1)
        .filter_map(|argument| argument.to_str())
        .find(|name| Cli::command().find_subcommand(name).is_some())
        .map_or(String::new(), |name| format!(" {name}"));
    CliError::usage(format!("{line}; see `assay{command} --help`"))
}

/// The kernel's word for an error, in the middle of a sentence.
fn reason(error: &io::Error) -> String {
    let text = without_error_numbers(&error.to_string());
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_lowercase().chain(letters).collect())
}

/// Takes out the " (os error 2)" that Rust puts behind the kernel's words: people read them, not numbers.
fn without_error_numbers(text: &str) -> String {
    let mut pieces = text.split(" (os error ");
    let mut clean = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        clean.push_str(piece.split_once(')').map_or(piece, |(_, after)| after));
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `serve --tier A` on a lesser host named the doctor in the sandbox's words and again in ours; now the words are
    /// ours alone.
    #[test]
    fn the_doctor_is_named_once() {
        let error = CliError::from(SandboxError::Unavailable("no tier".into()));
        assert_eq!(error.message.matches("assay doctor").count(), 1, "{}", error.message);
    }
}

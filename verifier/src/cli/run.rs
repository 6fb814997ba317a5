//! `assay run`: one program in the sandbox, and what became of it.

use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use assay_sandbox::{Language, Limits, Outcome, Prepared, Program, Sandbox, Termination};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::values::{duration, show_duration, show_size, size};
use super::{CliError, Status, guard, language, language_names, output, read_file, sandbox};

/// Run one program in the sandbox
#[derive(Debug, clap::Args)]
#[command(after_help = EPILOGUE)]
pub(crate) struct Args {
    /// The program: .py (Python 3), .cpp or .cc (C++17), .wasm (WebAssembly with WASI preview 1), and more: see `doctor`
    file: PathBuf,
    /// Language, when the file's extension does not say it, such as python3 or cpp17
    #[arg(long, value_name = "LANGUAGE", value_parser = language)]
    lang: Option<Language>,
    /// File the program reads as its standard input, `-` for assay's own; without it the input is empty
    #[arg(long, value_name = "FILE")]
    stdin: Option<PathBuf>,
    /// CPU time of the whole process tree
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration)]
    cpu_time: Duration,
    /// Time the program may spend asleep or waiting
    #[arg(long, value_name = "DURATION", default_value = "6s", value_parser = duration)]
    wall_time: Duration,
    /// Memory charged to the program
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = size)]
    memory: u64,
    /// Standard output and standard error, each
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = size)]
    output: u64,
    /// Print one JSON object instead of the program's output
    #[arg(long)]
    json: bool,
    /// Arguments for the program, after `--`
    #[arg(last = true, value_name = "ARGUMENT")]
    args: Vec<String>,
}

const EPILOGUE: &str = "\
Examples:
  assay run hello.py
  assay run sum.cpp --stdin numbers.txt --cpu-time 500ms --memory 64MiB
  echo 1 2 | assay run sum.py --stdin - --json

The program's output goes to stdout and stderr, then one line on stderr says how it ended. With
--json, stdout holds {termination, exit_code, signal, stdout, stderr, cpu_time, wall_time,
peak_memory, rerun, compiled} in seconds and bytes; output that is not UTF-8 is also given exactly, as
stdout_base64 or stderr_base64. compiled is false where the source was refused and no program ran:
then all else is the compiler's or interpreter's. Exit code 0 if the program exited with 0, else 1.";

pub(crate) fn run(args: Args) -> Result<Status, CliError> {
    let guarded = guard();
    let program = program(&args)?;
    let stdin = args.stdin.as_deref().map_or(Ok(Vec::new()), read_stdin)?;
    let Args { cpu_time, wall_time, memory, output, .. } = args;
    let limits = Limits { cpu_time, wall_time, memory, output, ..Limits::DEFAULT };
    let (outcome, compiled) = execute(&sandbox(guarded, 1)?, &program, &stdin, &limits)?;
    if args.json {
        output::print_json(&record(&outcome, compiled))?;
    } else {
        output::log_raw(&outcome.stderr);
        // Our line must not be read as the end of one of the program's.
        if !outcome.stderr.is_empty() && !outcome.stderr.ends_with(b"\n") {
            output::log_raw("\n");
        }
        output::print(&outcome.stdout)?;
        if !outcome.stdout.is_empty() && !outcome.stdout.ends_with(b"\n") && io::stdout().is_terminal() {
            output::log_raw("\n");
        }
        output::log(&summary(&outcome, compiled, program.language));
    }
    let fine = compiled && outcome.termination == Termination::Exited(0);
    Ok(if fine { Status::Fine } else { Status::CheckFailed })
}

/// The program's outcome and `true`, or the compiler's and `false` if it made no program.
fn execute(
    sandbox: &Sandbox,
    program: &Program,
    stdin: &[u8],
    limits: &Limits,
) -> Result<(Outcome, bool), CliError> {
    match sandbox.prepare(program, &Limits::COMPILE)? {
        Prepared::Ready(executable) => {
            let outcome = sandbox.run(&executable, stdin, limits)?;
            let compiled = !outcome.refused;
            Ok((outcome, compiled))
        }
        Prepared::Refused(outcome) => Ok((outcome, false)),
    }
}

fn program(args: &Args) -> Result<Program, CliError> {
    let language = match args.lang {
        Some(language) => language,
        None => language_of(&args.file)?,
    };
    let source = read_file("the program", &args.file)?;
    Ok(Program { args: args.args.clone(), ..Program::new(language, source) })
}

fn language_of(file: &Path) -> Result<Language, CliError> {
    let extension = file.extension().and_then(|extension| extension.to_str());
    extension.and_then(Language::from_extension).ok_or_else(|| {
        CliError::usage(format!(
            "cannot tell the language of {} from its name; give --lang {}",
            file.display(),
            language_names()
        ))
    })
}

fn read_stdin(path: &Path) -> Result<Vec<u8>, CliError> {
    if path != Path::new("-") {
        return read_file("the program's input", path);
    }
    let mut bytes = Vec::new();
    io::stdin()
        .read_to_end(&mut bytes)
        .map_err(|error| CliError::read("the program's input", Path::new("standard input"), &error))?;
    Ok(bytes)
}

/// The record of `--json`.
fn record(outcome: &Outcome, compiled: bool) -> Value {
    let (exit_code, signal) = match outcome.termination {
        Termination::Exited(code) => (Some(code), None),
        Termination::Signaled(signal) => (None, Some(signal)),
        _ => (None, None),
    };
    let mut record = Map::new();
    record.insert("termination".into(), json!(outcome.termination.name()));
    record.insert("exit_code".into(), json!(exit_code));
    record.insert("signal".into(), json!(signal));
    for (key, bytes) in [("stdout", &outcome.stdout), ("stderr", &outcome.stderr)] {
        record.insert(key.into(), json!(String::from_utf8_lossy(bytes)));
        if str::from_utf8(bytes).is_err() {
            record.insert(format!("{key}_base64"), json!(STANDARD.encode(bytes)));
        }
    }
    record.insert("cpu_time".into(), json!(outcome.usage.cpu_time.as_secs_f64()));
    record.insert("wall_time".into(), json!(outcome.usage.wall_time.as_secs_f64()));
    record.insert("peak_memory".into(), json!(outcome.usage.peak_memory));
    record.insert("rerun".into(), json!(outcome.rerun));
    record.insert("compiled".into(), json!(compiled));
    Value::Object(record)
}

fn summary(outcome: &Outcome, compiled: bool, language: Language) -> String {
    let who = match (compiled, language.is_compiled()) {
        (true, _) => "",
        (false, true) => "the source was not compiled: the compiler ",
        (false, false) => "the source was not compiled: the interpreter ",
    };
    // A compiler has limits of its own, which no option sets; an interpreter compiles under the run's.
    let own = !compiled && language.is_compiled();
    let option = |name: &str| if own { String::new() } else { format!(" ({name})") };
    let how = match outcome.termination {
        Termination::Exited(code) => format!("exited with code {code}"),
        Termination::Signaled(signal) => format!("ended by signal {signal}"),
        Termination::CpuTimeLimit => format!("stopped at the CPU time limit{}", option("--cpu-time")),
        Termination::WallTimeLimit => format!("stopped at the wall time limit{}", option("--wall-time")),
        Termination::MemoryLimit => format!("stopped at the memory limit{}", option("--memory")),
        Termination::OutputLimit => format!("stopped at the output limit{}", option("--output")),
        Termination::ProcessLimit => "ended at the process limit".into(),
        Termination::ForbiddenSyscall => "killed for a forbidden system call".into(),
        Termination::BrokeSlots => "broke three fresh slots".into(),
    };
    let how = if outcome.rerun { format!("{how}, run again alone") } else { how };
    let usage = outcome.usage;
    let (cpu, wall) = (show_duration(usage.cpu_time), show_duration(usage.wall_time));
    format!("{who}{how}; {cpu} CPU, {wall} wall, {} memory", show_size(usage.peak_memory))
}

//! The attacks of `escapes/`, each a program that tries to get out, to break its limits or to spoil the next run.
//!
//! The first line of a file says what it tries, the second how it must end (`refused`: by the compiler). A program
//! that gets anywhere prints ESCAPED. After each attack an innocent program runs on the same slot, and neither its
//! answer nor what it uses may show that an attack came before it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use assay_sandbox::{
    Executable, Language, Limits, Outcome, Prepared, Program, Sandbox, SandboxConfig, Termination,
};
use libtest_mimic::{Arguments, Failed, Trial};

/// Fewer files than this means that some were lost.
const LEAST: usize = 50;

struct Arena {
    sandbox: Sandbox,
    innocent: Executable,
    /// One attack at a time, so that the innocent run comes right after it.
    turn: Mutex<()>,
}

fn main() {
    assay_sandbox::init();
    let arguments = Arguments::from_args();
    // Started by the first test that needs it: listing tests starts nothing.
    let shared: Arc<OnceLock<Arena>> = Arc::default();
    let mut files: Vec<PathBuf> = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/escapes"))
        .expect("tests/escapes")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    assert!(files.len() >= LEAST, "only {} attacks", files.len());
    let trials = files.into_iter().map(|file| {
        let shared = Arc::clone(&shared);
        let name = file.file_name().expect("a name").to_string_lossy().into_owned();
        Trial::test(name, move || attack(shared.get_or_init(Arena::open), &file))
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    drop(shared);
    conclusion.exit();
}

impl Arena {
    /// One slot: the innocent program gets the attacked one, or the one that replaced it.
    fn open() -> Arena {
        let config = SandboxConfig { slots: 1, ..SandboxConfig::default() };
        let sandbox = Sandbox::start(&config).expect("a sandbox");
        let source = "import os; print(6 * 7, sorted(os.listdir('/box')), os.getpid())";
        let innocent = prepare(&sandbox, Language::Python3, source).expect("the innocent program");
        Arena { sandbox, innocent, turn: Mutex::new(()) }
    }
}

/// A second of CPU, two idle, and what a judge gives besides.
fn limits() -> Limits {
    Limits {
        cpu_time: Duration::from_secs(1),
        wall_time: Duration::from_secs(2),
        output: 16 << 20,
        ..Limits::DEFAULT
    }
}

fn attack(arena: &Arena, file: &Path) -> Result<(), Failed> {
    let _turn = arena.turn.lock().unwrap_or_else(PoisonError::into_inner);
    let source = fs::read_to_string(file)?;
    let expected = expected(&source)?;
    let language =
        if file.extension().is_some_and(|e| e == "py") { Language::Python3 } else { Language::Cpp17 };
    let (end, outcome) = match prepare(&arena.sandbox, language, &source) {
        Err(outcome) => ("refused".to_string(), outcome),
        Ok(executable) => {
            let outcome = arena.sandbox.run(&executable, b"", &limits())?;
            (name(outcome.termination), outcome)
        }
    };
    let stdout = String::from_utf8_lossy(&outcome.stdout);
    let stderr = String::from_utf8_lossy(&outcome.stderr);
    if stdout.contains("ESCAPED") || stderr.contains("ESCAPED:") {
        return Err(format!("got out: {stdout}{stderr}").into());
    }
    if !expected.contains(&end) {
        let stderr: String = stderr.chars().take(500).collect();
        return Err(format!("ended with {end}, expected one of {expected:?}; stderr: {stderr}").into());
    }
    check_innocent(arena)
}

/// Nothing of the attack may show in the next run.
fn check_innocent(arena: &Arena) -> Result<(), Failed> {
    let outcome = arena.sandbox.run(&arena.innocent, b"", &limits())?;
    let stdout = String::from_utf8_lossy(&outcome.stdout);
    let same = outcome.termination == Termination::Exited(0) && stdout.trim() == "42 ['main.py'] 2";
    let frugal = outcome.usage.cpu_time < Duration::from_millis(500) && outcome.usage.peak_memory < 64 << 20;
    if same && frugal {
        return Ok(());
    }
    Err(format!("the next run was not left alone: {outcome:?}").into())
}

fn prepare(sandbox: &Sandbox, language: Language, source: &str) -> Result<Executable, Outcome> {
    match sandbox.prepare(&Program::new(language, source), &Limits::COMPILE).expect("prepare") {
        Prepared::Ready(executable) => Ok(executable),
        Prepared::Refused(outcome) => Err(outcome),
    }
}

/// The ends named in the second line.
fn expected(source: &str) -> Result<Vec<String>, Failed> {
    let line = source.lines().nth(1).and_then(|line| line.split_once("expect:"));
    let (_, ends) = line.ok_or("the second line must say what to expect")?;
    Ok(ends.split('|').map(|end| end.trim().to_string()).collect())
}

fn name(termination: Termination) -> String {
    match termination {
        Termination::Exited(code) => format!("exited {code}"),
        Termination::Signaled(number) => format!("signaled {number}"),
        Termination::CpuTimeLimit => "cpu_time_limit".into(),
        Termination::WallTimeLimit => "wall_time_limit".into(),
        Termination::MemoryLimit => "memory_limit".into(),
        Termination::OutputLimit => "output_limit".into(),
        Termination::ProcessLimit => "process_limit".into(),
        Termination::ForbiddenSyscall => "forbidden_syscall".into(),
    }
}

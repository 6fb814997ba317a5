//! Forty-eight small programs that must each end the way their verdict says, under a judge's usual limits.
//! The programs are measuring data outside the repository (`ASSAY_EVAL_DATA`, by default `../shared/data` beside
//! the workspace): without the directory there is nothing to run, and that is printed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use assay_sandbox::{Language, Limits, Outcome, Prepared, Program, Sandbox, SandboxConfig, Termination};
use libtest_mimic::{Arguments, Trial};
use serde::Deserialize;

#[derive(Deserialize)]
struct Row {
    name: String,
    lang: String,
    verdict: String,
    code: String,
}

#[derive(Deserialize, Clone)]
struct Test {
    input: String,
    output: String,
}

fn main() {
    assay_sandbox::init();
    let arguments = Arguments::from_args();
    let directory = data().join("code/verdicts");
    assert!(!data().exists() || directory.exists(), "the data are there without {}", directory.display());
    if !directory.exists() {
        println!("skipped: no {} (set ASSAY_EVAL_DATA)", directory.display());
        libtest_mimic::run(&arguments, Vec::new()).exit();
    }
    let tests: Vec<Test> = serde_json::from_str(&read(&directory.join("tests.json"))).expect("tests.json");
    let rows: Vec<Row> = read(&directory.join("programs.jsonl"))
        .lines()
        .map(|line| serde_json::from_str(line).expect("programs.jsonl"))
        .collect();
    assert!(rows.len() >= 48, "programs.jsonl lost rows");
    // Started by the first test that needs it: listing tests starts nothing.
    let shared: Arc<OnceLock<Sandbox>> = Arc::default();
    let trials = rows.into_iter().map(|row| {
        let (shared, tests) = (Arc::clone(&shared), tests.clone());
        Trial::test(format!("{}_{}", row.lang, row.name), move || {
            let start = || Sandbox::start(&SandboxConfig::default()).expect("a sandbox");
            check(shared.get_or_init(start), &row, &tests)
        })
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    drop(shared);
    conclusion.exit();
}

fn check(sandbox: &Sandbox, row: &Row, tests: &[Test]) -> Result<(), libtest_mimic::Failed> {
    let (got, detail) = judge(sandbox, row, tests);
    if row.verdict.split('|').any(|wanted| wanted == got) {
        return Ok(());
    }
    Err(format!("wanted {}, got {got}: {detail}", row.verdict).into())
}

/// The verdict of the first test that is not right.
fn judge(sandbox: &Sandbox, row: &Row, tests: &[Test]) -> (&'static str, String) {
    let language = Language::from_name(&row.lang).expect("a language");
    let program = Program::new(language, row.code.as_str());
    let executable = match sandbox.prepare(&program, &Limits::COMPILE).expect("prepare") {
        Prepared::Ready(executable) => executable,
        Prepared::Refused(outcome) => return ("CE", describe(&outcome)),
    };
    for test in tests {
        let outcome = sandbox.run(&executable, test.input.as_bytes(), &Limits::DEFAULT).expect("run");
        let verdict = match outcome.termination {
            _ if outcome.refused => "CE",
            Termination::Exited(0) if outcome.stdout.trim_ascii() == test.output.trim().as_bytes() => {
                continue;
            }
            Termination::Exited(0) => "WA",
            Termination::Exited(_) | Termination::Signaled(_) | Termination::ProcessLimit => "RE",
            Termination::CpuTimeLimit | Termination::WallTimeLimit => "TLE",
            Termination::MemoryLimit => "MLE",
            Termination::OutputLimit => "OLE",
            Termination::ForbiddenSyscall | Termination::BrokeSlots => "SV",
        };
        return (verdict, describe(&outcome));
    }
    ("AC", String::new())
}

fn describe(outcome: &Outcome) -> String {
    let stderr = String::from_utf8_lossy(&outcome.stderr);
    let stderr: String = stderr.chars().take(400).collect();
    format!(
        "{:?}, {:?}, stdout {} bytes, stderr {stderr:?}",
        outcome.termination,
        outcome.usage,
        outcome.stdout.len()
    )
}

fn data() -> PathBuf {
    std::env::var_os("ASSAY_EVAL_DATA")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

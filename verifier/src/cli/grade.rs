//! `assay grade`: a file of completions becomes verdicts and a report.
//!
//! Worker threads, one per slot, take samples in file order, read what they need of both files and judge; this thread
//! alone writes. Neither file is ever in memory as a whole ([`super::problems`], [`assay_testsets::CompletionStore`]).

mod plan;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use assay_sandbox::Sandbox;
use assay_verifier::{Profile, provenance};
use serde_json::Value;

use super::grader::{Grader, Rows};
use super::ledger::Ledger;
use super::problems::bad_file;
use super::progress::Progress;
use super::results::Results;
use super::rules::Rules;
use super::window::WindowArgs;
use super::{CliError, Status, guard, sandbox};
use plan::{Plan, Shard, shard};

/// Grade a file of completions and report on it
#[derive(Debug, clap::Args)]
#[command(after_help = EPILOGUE)]
pub(crate) struct Args {
    /// The problems, in any of the forms of --format; JSON Lines or a JSON array, also packed with gzip or zstd; parquet
    /// in a build with that feature
    problems: PathBuf,
    /// The completions: [{question_id, code_list}], or JSON Lines of {question_id, completion} or {question_id, output_list}
    completions: PathBuf,
    /// Directory for the results; made if it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    rules: Rules,
    /// Grade what is there even if some problems have no completions
    #[arg(long)]
    allow_missing: bool,
    #[command(flatten)]
    window: WindowArgs,
    /// Grade only the i-th of n equal parts, such as 1/4; `assay merge` joins them
    #[arg(long, value_name = "I/N", value_parser = shard)]
    shard: Option<Shard>,
    /// Go on with a run that was stopped
    #[arg(long)]
    resume: bool,
    /// Print the report as one JSON value instead of a table
    #[arg(long)]
    json: bool,
}

const EPILOGUE: &str = "\
Examples:
  assay grade problems.jsonl completions.json --out results
  assay grade problems.jsonl completions.json --out results --profile lcb --jobs 8
  assay grade problems.jsonl completions.json --out results --resume

Writes graded.jsonl (a line per sample), details.jsonl, report.json, report.html and, for code, LiveCodeBench's
_eval.json and _eval_all.json. Default limits per test: 6s of CPU, 6s idle; 1GiB and 64MiB of output under judge,
4GiB and 256MiB under lcb; a problem's own limits go before these, the flags before all. Programs that are equal are
run once (--no-cache: each time).";

pub(crate) fn run(args: Args) -> Result<Status, CliError> {
    // First, while there is one thread and no file open: this call returns only in the unprivileged worker.
    let guarded = guard();
    let plan = Plan::load(&args)?;
    let (options, jobs) = (args.rules.options(Profile::Judge), args.rules.jobs());
    let sandbox = if plan.problems.has_code() {
        Some(sandbox(guarded, jobs)?)
    } else {
        // Math needs no sandbox, but a process whose guard failed may have had a worker that wrote to --out.
        guarded?;
        None
    };
    let mut provenance = provenance::record(
        (&args.problems, plan.problems.format()),
        Some(&args.completions),
        &options,
        sandbox.as_ref().map(Sandbox::doctor).as_ref(),
    )
    .map_err(bad_file)?;
    provenance["window"] = serde_json::json!(plan.window);
    provenance["shard"] =
        args.shard.map_or(Value::Null, |shard| format!("{}/{}", shard.part, shard.of).into());
    let mut ledger = Ledger::open(&args.out, args.resume, &provenance, plan.keys().collect())?;
    plan.problems.census.report();
    let started = Instant::now();
    let grader = Grader::new(sandbox, options, &args.rules, &provenance)?;
    judge_all(&plan, &grader, jobs, &mut ledger)?;
    let results = Results {
        out: &args.out,
        stem: args.completions.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        json: args.json,
        problems: &plan.problems,
        window: &plan.window,
        ledger: &ledger,
        options: &options,
        provenance: &provenance,
        seconds: started.elapsed().as_secs_f64(),
        notes: Vec::new(),
        more: None,
    };
    results.finish(&|place| plan.texts_of(place))
}

/// Judges every sample the ledger does not have yet.
fn judge_all(plan: &Plan, grader: &Grader, jobs: usize, ledger: &mut Ledger) -> Result<(), CliError> {
    let todo: Vec<usize> = (0..plan.samples.len()).filter(|&at| !ledger.has(&plan.key(at))).collect();
    let progress = Progress::new(plan.samples.len(), plan.samples.len() - todo.len());
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (sender, receiver) = mpsc::sync_channel(2 * jobs);
    thread::scope(|scope| {
        for _ in 0..jobs.min(todo.len()) {
            let sender = sender.clone();
            let (todo, next, stop) = (&todo, &next, &stop);
            scope.spawn(move || {
                // Held until the next sample has its own: those of one problem follow each other.
                let mut held = None;
                while !stop.load(Ordering::Relaxed)
                    && let Some(&at) = todo.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let rows = plan.rows(at, grader, &mut held);
                    if sender.send(rows).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let result = receive(&receiver, ledger, &progress);
        stop.store(true, Ordering::Relaxed);
        drop(receiver);
        progress.done();
        result
    })
}

fn receive(
    receiver: &mpsc::Receiver<Result<Rows, CliError>>,
    ledger: &mut Ledger,
    progress: &Progress,
) -> Result<(), CliError> {
    loop {
        match receiver.recv_timeout(Duration::from_millis(500)) {
            Ok(Ok((graded, detail))) => ledger.add(graded, detail)?,
            Ok(Err(error)) => {
                ledger.sync()?;
                return Err(error);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return ledger.sync(),
        }
        ledger.sync_now_and_then()?;
        progress.show(ledger, "");
    }
}

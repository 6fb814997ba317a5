//! `assay grade`: a file of completions becomes verdicts and a report.
//!
//! Worker threads, one per slot, take samples in file order and judge them; this thread alone writes. Every row goes
//! to `details.jsonl` and then to `graded.jsonl` as a whole line, synced about once a second, so whatever ends the
//! run (a kill, a full disk) both files hold rows that count, and `--resume` goes on behind them. `run.json` holds
//! the configuration, so that a run is only ever resumed as itself.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use assay_sandbox::{Language, Sandbox};
use assay_testsets::{Completions, Format, LoadError, Problem, Task, load, load_completions};
use assay_verifier::judge::JudgeError;
use assay_verifier::math::{MathRules, ToleranceRule};
use assay_verifier::report::{self, About, Conditions, Detail, Graded, LcbSample, Outcome, Run, Summary};
use assay_verifier::window::Window;
use assay_verifier::{
    Extraction, Judge, JudgeOptions, LimitOverrides, Mode, Profile, Submission, provenance,
};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::Value;

use super::ledger::{read_lines, replace, rewrite, write_json};
use super::values::{count, duration, size};
use super::window::WindowArgs;
use super::{CliError, Status, guard, language, output, read_file, sandbox};

/// Grade a file of completions and report on it
#[derive(Debug, clap::Args)]
#[command(after_help = EPILOGUE)]
pub(crate) struct Args {
    /// The problems, in any of the forms of --format; JSON Lines or a JSON array, also packed with gzip or zstd
    problems: PathBuf,
    /// The completions: [{question_id, code_list}], or JSON Lines of {question_id, completion} or {question_id, output_list}
    completions: PathBuf,
    /// Directory for the results; made if it is not there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Whose rules decide: judge (a real process, its exit code counts), lcb (LiveCodeBench's verdicts), lcb-bugs (with its
    /// runner's known bugs) or acereason (the paper's toolkit)
    #[arg(long, value_name = "PROFILE", default_value = "judge", value_parser = profile)]
    profile: Profile,
    /// Whose rules decide over math answers: strict, math_verify, prm800k, qwen or acereason; or what a data set asks for: aime,
    /// math, gsm8k, olympiadbench or minerva
    #[arg(long, value_name = "PROFILE", default_value = "strict", value_parser = math_profile)]
    math_profile: MathRules,
    /// Take an unequal real number too where this condition holds, on the numbers gold and pred, gold_is_decimal,
    /// pred_is_decimal and gold_places
    #[arg(long, value_name = "RULE", value_parser = math_tolerance)]
    math_tolerance: Option<ToleranceRule>,
    /// What the problem file holds, when its first record does not say it: livecodebench, apps, taco, verl, deepcoder,
    /// open_r1, codecontests, humaneval, mbpp, multipl_e, leetcode, sandboxfusion, math or native
    #[arg(long, value_name = "FORMAT", value_parser = format)]
    format: Option<Format>,
    /// Language of the programs, when the fences do not say it, such as python3 or cpp17
    #[arg(long, value_name = "LANGUAGE", value_parser = language)]
    lang: Option<Language>,
    /// How a program is found in a completion: last_fence, lcb, verl, rllm, open_r1, acereason or whole; the profile's way
    /// when absent
    #[arg(long, value_name = "MODE", value_parser = extraction)]
    extraction: Option<Extraction>,
    /// Samples judged at once; one per core when absent
    #[arg(long, value_name = "N", value_parser = count(1..=1024_u16))]
    jobs: Option<u16>,
    /// CPU time per test, before what problem and profile say
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    cpu_time: Option<Duration>,
    /// Time a test may spend asleep or waiting
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    wall_time: Option<Duration>,
    /// Memory per test, before what problem and profile say
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory: Option<u64>,
    /// Output per test
    #[arg(long, value_name = "SIZE", value_parser = size)]
    output: Option<u64>,
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
4GiB and 256MiB under lcb; a problem's own limits go before these, the flags before all.";

pub(crate) fn run(args: Args) -> Result<Status, CliError> {
    // First, while there is one thread and no file open: this call returns only in the unprivileged worker.
    let guarded = guard();
    let plan = Plan::load(&args)?;
    let jobs = args.jobs.map_or_else(cores, usize::from);
    let sandbox = if plan.has_code() {
        Some(sandbox(guarded, jobs)?)
    } else {
        // Math needs no sandbox, but a process whose guard failed may have had a worker that wrote to --out.
        guarded?;
        None
    };
    let mut provenance = provenance::record(
        (&args.problems, plan.format),
        &args.completions,
        &plan.options,
        sandbox.as_ref().map(Sandbox::doctor).as_ref(),
    )
    .map_err(bad_file)?;
    provenance["window"] = serde_json::json!(plan.window);
    provenance["shard"] =
        args.shard.map_or(Value::Null, |shard| format!("{}/{}", shard.part, shard.of).into());
    let mut ledger = Ledger::open(&args, &provenance, &plan)?;
    super::census::report(&plan.problems, plan.options.math);
    let started = Instant::now();
    judge_all(&plan, &Judge::new(sandbox), jobs, &mut ledger)?;
    let seconds = started.elapsed().as_secs_f64();
    finish(&args, &plan, &ledger, &provenance, seconds)
}

/// One of equal parts of the samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shard {
    /// From 1.
    part: usize,
    of: usize,
}

/// What is to be graded.
struct Plan {
    problems: Vec<Problem>,
    format: Format,
    samples: Vec<Sample>,
    options: JudgeOptions,
    window: Window,
}

/// One completion of one problem.
struct Sample {
    problem: usize,
    number: usize,
    submission: Submission,
    mode: Mode,
}

impl Plan {
    fn load(args: &Args) -> Result<Plan, CliError> {
        let read = load(&args.problems, args.format).map_err(bad_file)?;
        let format = read.format();
        let problems: Vec<Problem> = read.collect::<Result<_, LoadError>>().map_err(bad_file)?;
        let completions = load_completions(&args.completions).map_err(bad_file)?;
        let mut samples = pair(args, &problems, completions)?;
        // Whole problems go to a shard, and later ones do not move when a problem has more samples.
        if let Some(shard) = args.shard {
            samples.retain(|sample| sample.problem % shard.of == shard.part - 1);
        }
        let Args { profile, lang, extraction, cpu_time, wall_time, memory, output, .. } = *args;
        let limits = LimitOverrides { cpu_time, wall_time, memory, output };
        let options = JudgeOptions {
            profile,
            language: lang,
            extraction,
            limits,
            math: args.math_profile,
            // One rule a process, and options are copied to every judge.
            tolerance: args.math_tolerance.clone().map(|rule| &*Box::leak(Box::new(rule))),
            in_process: true,
            ..JudgeOptions::default()
        };
        Ok(Plan { problems, format, samples, options, window: args.window.window() })
    }

    fn has_code(&self) -> bool {
        self.problems.iter().any(|problem| matches!(problem.task, Task::Code(_)))
    }

    fn options_for(&self, sample: &Sample) -> JudgeOptions {
        JudgeOptions { mode: sample.mode, ..self.options }
    }

    /// The program that was graded, or the completion where there is none.
    fn code(&self, sample: &Sample) -> String {
        let text = &sample.submission.completion;
        let program = self.options_for(sample).extraction().program(text, self.options.language);
        program.map_or_else(String::new, |(code, _)| code)
    }
}

/// Each completion with its problem.
fn pair(args: &Args, problems: &[Problem], completions: Vec<Completions>) -> Result<Vec<Sample>, CliError> {
    let place: HashMap<&str, usize> =
        problems.iter().enumerate().map(|(index, problem)| (problem.question_id.as_str(), index)).collect();
    // Files without ids go by the problems sorted by id, as LiveCodeBench's do.
    let mut order: Vec<usize> = (0..problems.len()).collect();
    order.sort_by_key(|&index| &problems[index].question_id);
    let (file, problem_file) = (args.completions.display(), args.problems.display());
    if completions.iter().all(|row| row.question_id.is_none()) && completions.len() != problems.len() {
        return Err(CliError::usage(format!(
            "{file}: expected {} rows, one per problem of {problem_file}, found {}; rows without question_id go by \
             the problems sorted by question_id, so give the ids or all rows",
            problems.len(),
            completions.len()
        )));
    }
    let mut samples = Vec::new();
    let window = args.window.window();
    let inside = |problem: &Problem| window.asks(problem);
    for (row, completions) in completions.into_iter().enumerate() {
        let problem = match &completions.question_id {
            None => order[row],
            Some(id) => *place.get(id.as_str()).ok_or_else(|| {
                CliError::usage(format!(
                    "{file}: record {}: question_id `{id}` is not in {problem_file}; remove the row or give the \
                     problem file it belongs to",
                    row + 1
                ))
            })?,
        };
        if inside(&problems[problem]) {
            samples.extend(of_problem(problem, &problems[problem], completions));
        }
    }
    if samples.is_empty() {
        return Err(CliError::usage(format!(
            "{problem_file}: no problem with completions has a contest_date in the window; check the dates"
        )));
    }
    if !args.allow_missing {
        let asked: Vec<usize> = (0..problems.len()).filter(|&index| inside(&problems[index])).collect();
        refuse_missing(args, problems, &asked, &samples)?;
    }
    Ok(samples)
}

fn of_problem(index: usize, problem: &Problem, completions: Completions) -> impl Iterator<Item = Sample> {
    let mode = match (completions.extracted, &problem.task) {
        (false, _) => Mode::Completion,
        (true, Task::Code(_)) => Mode::Code,
        (true, Task::Math(_)) => Mode::Answer,
    };
    let question_id = problem.question_id.clone();
    completions.samples.into_iter().enumerate().map(move |(number, completion)| Sample {
        problem: index,
        number,
        submission: Submission { question_id: question_id.clone(), completion },
        mode,
    })
}

fn refuse_missing(
    args: &Args,
    problems: &[Problem],
    asked: &[usize],
    samples: &[Sample],
) -> Result<(), CliError> {
    let answered: HashSet<usize> = samples.iter().map(|sample| sample.problem).collect();
    let mut missing =
        asked.iter().filter(|index| !answered.contains(index)).map(|&index| &problems[index].question_id);
    match missing.next() {
        None => Ok(()),
        Some(first) => Err(CliError::usage(format!(
            "{}: {} of {} problems have no completion, the first is `{first}`; add them, or grade what is there with \
             --allow-missing",
            args.completions.display(),
            1 + missing.count(),
            asked.len()
        ))),
    }
}

/// Judges every sample the ledger does not have yet.
fn judge_all(plan: &Plan, judge: &Judge, jobs: usize, ledger: &mut Ledger) -> Result<(), CliError> {
    let todo: Vec<&Sample> = plan.samples.iter().filter(|sample| !ledger.has(sample)).collect();
    let progress = Progress::new(plan.samples.len(), plan.samples.len() - todo.len());
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (sender, receiver) = mpsc::sync_channel(2 * jobs);
    thread::scope(|scope| {
        for _ in 0..jobs.min(todo.len()) {
            let sender = sender.clone();
            let (todo, next, stop) = (&todo, &next, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed)
                    && let Some(sample) = todo.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let problem = &plan.problems[sample.problem];
                    let judged = judge.judge(problem, &sample.submission, &plan.options_for(sample));
                    if sender.send((*sample, judged)).is_err() {
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

type Judgements<'a> = mpsc::Receiver<(&'a Sample, Result<assay_verifier::Judged, JudgeError>)>;

fn receive(receiver: &Judgements<'_>, ledger: &mut Ledger, progress: &Progress) -> Result<(), CliError> {
    loop {
        match receiver.recv_timeout(Duration::from_millis(500)) {
            Ok((sample, Err(JudgeError::Caller(why)))) => {
                ledger.sync()?;
                let id = &sample.submission.question_id;
                return Err(CliError::usage(format!("problem `{id}`, sample {}: {why}", sample.number)));
            }
            Ok((sample, judged)) => {
                let (graded, detail) = report::rows(&sample.submission.question_id, sample.number, &judged);
                ledger.add(graded, detail)?;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return ledger.sync(),
        }
        ledger.sync_now_and_then()?;
        progress.show(ledger);
    }
}

/// The rows so far, in memory and on disk.
struct Ledger {
    graded: Vec<Graded>,
    details: Vec<Detail>,
    known: HashSet<(String, usize)>,
    accepted: usize,
    with_verdict: usize,
    graded_file: Lines,
    details_file: Lines,
    synced: Instant,
}

impl Ledger {
    fn open(args: &Args, provenance: &Value, plan: &Plan) -> Result<Ledger, CliError> {
        let out = &args.out;
        fs::create_dir_all(out).map_err(|error| CliError::write("the directory", out, &error))?;
        let (graded_path, details_path) = (out.join("graded.jsonl"), out.join("details.jsonl"));
        let run_path = out.join("run.json");
        for path in [&graded_path, &details_path, &run_path] {
            refuse_directory(path)?;
        }
        let (mut graded, mut details) = (Vec::new(), Vec::new());
        if args.resume && run_path.exists() {
            same_run(&run_path, provenance)?;
            (graded, details) = keep(read_lines(&graded_path)?, read_lines(&details_path)?, plan);
            rewrite(&details_path, &details)?;
            rewrite(&graded_path, &graded)?;
        } else {
            refuse_existing(&graded_path, args.resume)?;
            write_json(&run_path, provenance)?;
        }
        let mut ledger = Ledger {
            graded: Vec::new(),
            details: Vec::new(),
            known: HashSet::new(),
            accepted: 0,
            with_verdict: 0,
            graded_file: Lines::open(graded_path)?,
            details_file: Lines::open(details_path)?,
            synced: Instant::now(),
        };
        for (graded, detail) in graded.into_iter().zip(details) {
            ledger.remember(graded, detail);
        }
        Ok(ledger)
    }

    fn has(&self, sample: &Sample) -> bool {
        self.known.contains(&(sample.submission.question_id.clone(), sample.number))
    }

    fn add(&mut self, graded: Graded, detail: Detail) -> Result<(), CliError> {
        self.details_file.append(&detail)?;
        self.graded_file.append(&graded)?;
        self.remember(graded, detail);
        Ok(())
    }

    fn remember(&mut self, graded: Graded, detail: Detail) {
        self.known.insert((graded.question_id.clone(), graded.sample));
        self.with_verdict += usize::from(graded.outcome == Outcome::Graded);
        self.accepted += usize::from(graded.verdict.as_deref() == Some("accepted"));
        self.graded.push(graded);
        self.details.push(detail);
    }

    fn sync_now_and_then(&mut self) -> Result<(), CliError> {
        if self.synced.elapsed() < Duration::from_secs(1) { Ok(()) } else { self.sync() }
    }

    fn sync(&mut self) -> Result<(), CliError> {
        self.details_file.sync()?;
        self.graded_file.sync()?;
        self.synced = Instant::now();
        Ok(())
    }
}

/// A file that only ever grows by whole lines.
struct Lines {
    path: PathBuf,
    file: File,
    length: u64,
}

impl Lines {
    fn open(path: PathBuf) -> Result<Lines, CliError> {
        let opened = OpenOptions::new().create(true).append(true).open(&path);
        let opened = opened.and_then(|file| Ok((file.metadata()?.len(), file)));
        let (length, file) = opened.map_err(|error| CliError::write("the results", &path, &error))?;
        Ok(Lines { path, file, length })
    }

    fn append(&mut self, row: &impl Serialize) -> Result<(), CliError> {
        let mut line = serde_json::to_vec(row).map_err(|error| CliError::failure(error.to_string()))?;
        line.push(b'\n');
        if let Err(error) = self.file.write_all(&line) {
            // Half a line may have fitted; what stays must be whole lines. --resume would drop it too.
            let _ = self.file.set_len(self.length);
            return Err(self.failed(&error));
        }
        self.length += line.len() as u64;
        Ok(())
    }

    fn sync(&self) -> Result<(), CliError> {
        match self.file.sync_data() {
            // Pipes and devices cannot be synced, and need not be.
            Err(error) if error.kind() != io::ErrorKind::InvalidInput => Err(self.failed(&error)),
            _ => Ok(()),
        }
    }

    fn failed(&self, error: &io::Error) -> CliError {
        let mut failure = CliError::write("the results", &self.path, error);
        failure.append("; nothing graded is lost, go on with --resume");
        failure
    }
}

fn same_run(path: &Path, provenance: &Value) -> Result<(), CliError> {
    let earlier: Value = serde_json::from_slice(&read_file("the configuration of the earlier run", path)?)
        .map_err(|error| {
            CliError::usage(format!("{}: not JSON: {error}; use a new --out", path.display()))
        })?;
    let changed =
        provenance.as_object().into_iter().flatten().find(|(key, now)| earlier.get(key) != Some(now));
    match changed {
        None => Ok(()),
        Some((key, now)) => Err(CliError::usage(format!(
            "--resume: `{key}` has changed since {} was written (then {}, now {now}); use the same settings and \
             files, or a new --out",
            path.display(),
            earlier.get(key).unwrap_or(&Value::Null)
        ))),
    }
}

fn refuse_directory(path: &Path) -> Result<(), CliError> {
    if path.is_dir() {
        let path = path.display();
        return Err(CliError::usage(format!("{path} is a directory; remove it, or give a new --out")));
    }
    Ok(())
}

/// Results of a run that is not being resumed, or that cannot be.
fn refuse_existing(path: &Path, resume: bool) -> Result<(), CliError> {
    let advice = if resume {
        " and no run.json beside it says of which run; give a new --out"
    } else {
        "; go on with --resume, or give a new --out"
    };
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() > 0 => {
            Err(CliError::usage(format!("{} already holds results{advice}", path.display())))
        }
        _ => Ok(()),
    }
}

/// Rows that count: with both halves, still asked for, and not our failure.
fn keep(graded: Vec<Graded>, details: Vec<Detail>, plan: &Plan) -> (Vec<Graded>, Vec<Detail>) {
    let mut asked: HashSet<(String, usize)> =
        plan.samples.iter().map(|sample| (sample.submission.question_id.clone(), sample.number)).collect();
    let mut details: HashMap<(String, usize), Detail> =
        details.into_iter().map(|detail| ((detail.question_id.clone(), detail.sample), detail)).collect();
    let mut kept = (Vec::new(), Vec::new());
    for row in graded.into_iter().filter(|row| row.outcome != Outcome::InfraError) {
        let key = (row.question_id.clone(), row.sample);
        if asked.remove(&key)
            && let Some(detail) = details.remove(&key)
        {
            kept.0.push(row);
            kept.1.push(detail);
        }
    }
    kept
}

/// Writes the reports and prints what a person wants first.
fn finish(
    args: &Args,
    plan: &Plan,
    ledger: &Ledger,
    provenance: &Value,
    seconds: f64,
) -> Result<Status, CliError> {
    let by_id = by_question(plan);
    let about: Vec<About> = plan.problems.iter().map(About::of).collect();
    rewrite(&args.out.join("problems.jsonl"), &about)?;
    let mut summary = Summary::new(about, &plan.window);
    for (graded, detail) in ledger.graded.iter().zip(&ledger.details) {
        summary.add(graded, detail, || {
            let samples = by_id.get(graded.question_id.as_str()).map_or(&[][..], Vec::as_slice);
            let sample = samples.iter().find(|sample| sample.number == graded.sample);
            sample.map_or_else(String::new, |sample| plan.code(sample))
        });
    }
    let conditions = Conditions { provenance, window: &plan.window, wall_seconds: seconds };
    let report = report::json(&summary, &conditions);
    write_json(&args.out.join("report.json"), &report)?;
    replace(&args.out.join("report.html"), report::html(&summary, &conditions).as_bytes())?;
    if plan.has_code() {
        let run = Run { problems: &plan.problems, graded: &ledger.graded, details: &ledger.details };
        let stem = args.completions.file_stem().unwrap_or_default().to_string_lossy();
        let lcb_samples = |id: &str| {
            let samples = by_id.get(id).map_or(&[][..], Vec::as_slice).iter();
            let sample =
                |s: &&Sample| LcbSample { output: s.submission.completion.clone(), code: plan.code(s) };
            samples.map(sample).collect::<Vec<LcbSample>>()
        };
        write_json(&args.out.join(format!("{stem}_eval.json")), &report::lcb_eval(&run))?;
        write_json(
            &args.out.join(format!("{stem}_eval_all.json")),
            &report::lcb_eval_all(&run, lcb_samples),
        )?;
    }
    if args.json {
        output::print_json(&report)?;
    } else {
        print_summary(args, &summary, seconds)?;
    }
    for warning in report::warnings(&summary, &conditions) {
        output::log(&format!("warning: {warning}"));
    }
    match summary.infra_errors() {
        0 => Ok(Status::Fine),
        count => Err(CliError::failure(format!(
            "{count} of {} samples have no verdict because the sandbox failed, see {}; grade them again with --resume",
            summary.samples(),
            args.out.join("details.jsonl").display()
        ))),
    }
}

fn by_question(plan: &Plan) -> HashMap<&str, Vec<&Sample>> {
    let mut by_id: HashMap<&str, Vec<&Sample>> = HashMap::new();
    for sample in &plan.samples {
        by_id.entry(&sample.submission.question_id).or_default().push(sample);
    }
    by_id
}

fn print_summary(args: &Args, summary: &Summary, seconds: f64) -> Result<(), CliError> {
    let groups = output::table(&["", "problems", "samples", "pass@1"], &report::table(summary));
    let counts = summary.verdicts().into_iter().filter(|(_, count)| *count > 0);
    let verdicts: Vec<Vec<String>> =
        counts.map(|(verdict, count)| vec![verdict.name().replace('_', " "), count.to_string()]).collect();
    let verdicts = output::table(&["verdict", "samples"], &verdicts);
    let text = format!(
        "{}\n\n{groups}\n{verdicts}\n{} samples in {seconds:.1} s; results in {}\n",
        report::headline(summary),
        summary.samples(),
        args.out.display()
    );
    output::print(text.as_bytes())
}

/// A bar where stderr is a terminal, a line now and then where it is not.
struct Progress {
    bar: ProgressBar,
    plain: bool,
    total: usize,
    before: usize,
    started: Instant,
    logged: std::cell::Cell<Instant>,
}

impl Progress {
    fn new(total: usize, before: usize) -> Progress {
        let bar = ProgressBar::new(total as u64).with_position(before as u64);
        let template = "{bar:30} {pos}/{len}  {per_sec}  ETA {eta}  {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.reset_eta();
        let now = Instant::now();
        let plain = !io::stderr().is_terminal();
        Progress { bar, plain, total, before, started: now, logged: std::cell::Cell::new(now) }
    }

    fn show(&self, ledger: &Ledger) {
        let rate = 100.0 * ledger.accepted as f64 / ledger.with_verdict.max(1) as f64;
        self.bar.set_position(ledger.graded.len() as u64);
        self.bar.set_message(format!("accepted {rate:.1} %"));
        if self.plain && self.logged.get().elapsed() > Duration::from_secs(10) {
            self.logged.set(Instant::now());
            let done = ledger.graded.len();
            let speed = (done - self.before) as f64 / self.started.elapsed().as_secs_f64();
            let left = (self.total - done) as f64 / speed.max(1e-9);
            let total = self.total;
            output::log(&format!("{done}/{total}, {speed:.1}/s, {left:.0} s left, accepted {rate:.1} %"));
        }
    }

    fn done(&self) {
        self.bar.finish_and_clear();
    }
}

fn bad_file(error: LoadError) -> CliError {
    CliError::usage(error.to_string())
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

fn profile(name: &str) -> Result<Profile, String> {
    Profile::from_name(name).ok_or_else(|| "the profiles are judge, lcb, lcb-bugs and acereason".to_owned())
}

pub(super) fn math_profile(name: &str) -> Result<MathRules, String> {
    MathRules::from_name(name).ok_or_else(|| format!("the profiles are {}", MathRules::names()))
}

pub(super) fn math_tolerance(rule: &str) -> Result<ToleranceRule, String> {
    ToleranceRule::new(rule).map_err(|error| error.to_string())
}

fn format(name: &str) -> Result<Format, String> {
    Format::from_name(name).ok_or_else(|| {
        let names: Vec<&str> = Format::ALL.into_iter().map(Format::name).collect();
        format!("the formats are {}", names.join(", "))
    })
}

fn extraction(name: &str) -> Result<Extraction, String> {
    Extraction::from_name(name).ok_or_else(|| {
        let names: Vec<&str> = Extraction::ALL.into_iter().map(Extraction::name).collect();
        format!("the modes are {}", names.join(", "))
    })
}

fn shard(text: &str) -> Result<Shard, String> {
    let parts = text.split_once('/').and_then(|(part, of)| Some((part.parse().ok()?, of.parse().ok()?)));
    match parts {
        Some((part, of)) if 1 <= part && part <= of => Ok(Shard { part, of }),
        _ => Err("a shard is written as 1/4: which part, from 1, and of how many".to_owned()),
    }
}

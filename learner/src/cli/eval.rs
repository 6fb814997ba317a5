//! `assay-train eval`: how good the newest policy of a run is, or one that is named.
//!
//! On the recipe's held-out problems it is asked as in training, by the trainer's sampler. On a testset it is served on
//! loopback and `assay bench`, the program beside this one, asks it: so suites, avg@n, pass@k, windows, reports and going on
//! after a cut are those of any other model's figures.

use std::cell::{Cell, RefCell};
use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use assay_verifier::template::Template;
use clap::Args;
use serde_json::{Value, json};

use super::{Chosen, Common, has_problems, said, start};
use crate::chat::Choice;
use crate::eval::{Evaluation, Interval};
use crate::interrupt::{self, interrupted};
use crate::policy::Policy;
use crate::recipe::Recipe;
use crate::run::Run;
use crate::serve::{Config, serve_policy};
use crate::train::TrainError;

#[derive(Debug, Args)]
#[command(after_help = EPILOGUE)]
pub(super) struct Eval {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    chosen: Chosen,
    /// Problems in any form that `assay grade` reads, in place of the recipe's held-out ones; results go to DIR/bench-NAME,
    /// of a named checkpoint to DIR/bench-NAME-CHECKPOINT
    #[arg(long, value_name = "FILE")]
    testset: Option<PathBuf>,
    /// Flags of `assay bench`, behind --; without --suite the recipe's [eval] and seed stand for those that are not given,
    /// and problems are asked as they are in training
    #[arg(last = true, value_name = "FLAGS", requires = "testset")]
    bench: Vec<OsString>,
}

const EPILOGUE: &str = "\
Examples:
  assay-train eval --config recipe.toml --out DIR
  assay-train eval --config recipe.toml --out DIR --checkpoint rl.best
  assay-train eval --config recipe.toml --out DIR --testset aime25.jsonl -- --suite aime25
  assay-train eval --config recipe.toml --out DIR --testset problems.jsonl -- --samples 8 --max-tokens 4096
  assay-train eval --config recipe.toml --out DIR --testset problems.jsonl --resume -- --samples 8 --max-tokens 4096

Held-out accuracy of math is given twice: with the answer in its box, and where the last number of an answer counts, too.
A testset needs the program `assay` beside this one, or in the PATH; `assay bench --help` has its flags.";

pub(super) fn run(args: &Eval) -> Result<(String, u8), TrainError> {
    let run = start(&args.common)?;
    let (policy, checkpoint) = run.policy_named(args.chosen.name())?;
    match &args.testset {
        None => held_out(&args.common, &run, &policy, &checkpoint),
        Some(testset) => Ok((String::new(), bench(args, testset, &run.recipe, policy)?)),
    }
}

/// On the recipe's held-out problems.
fn held_out(
    args: &Common,
    run: &Run<'_>,
    policy: &Policy,
    checkpoint: &str,
) -> Result<(String, u8), TrainError> {
    has_problems(run)?;
    let Evaluation { strict, lenient } = run.evaluate(policy, &run.rewarder()?)?;
    let names = run.recipe.eval.problems.keys().map(|name| (name.as_str(), format!("{name}/")));
    let rows: Vec<(&str, Interval, Interval)> = names
        .chain([("all", String::new())])
        .map(|(name, prefix)| (name, strict.accuracy(&prefix), lenient.accuracy(&prefix)))
        .collect();
    let shown = |of: &Interval| format!("{:.3} ({:.3} .. {:.3}, n = {})", of.mean, of.low, of.high, of.n);
    let line = |(name, strict, lenient): &(&str, Interval, Interval)| match lenient.n {
        0 => format!("{name}: {}\n", shown(strict)),
        _ => format!("{name}: {}; the last number counting too: {}\n", shown(strict), shown(lenient)),
    };
    let text = format!("policy {checkpoint}\n{}", rows.iter().map(line).collect::<String>());
    let of = |row: fn(&(&str, Interval, Interval)) -> Interval| -> serde_json::Map<String, Value> {
        rows.iter().map(|all| (all.0.to_owned(), json!(row(all)))).collect()
    };
    let scores = json!({ "strict": strict.0, "lenient": lenient.0 });
    let value = json!({ "policy": checkpoint, "accuracy": of(|row| row.1), "lenient": of(|row| row.2), "scores": scores });
    Ok((said(args, text, value), 0))
}

/// How long a program that was interrupted with this one may take to end.
const GRACE: Duration = Duration::from_secs(20);

/// Serves the policy to an `assay bench`, which prints what comes of it; its exit code.
fn bench(args: &Eval, testset: &Path, recipe: &Recipe, policy: Policy) -> Result<u8, TrainError> {
    let program = program();
    let text = !policy.has_template();
    let child: RefCell<Option<io::Result<Child>>> = RefCell::new(None);
    let stopping: Cell<Option<Instant>> = Cell::new(None);
    let ready = |address: SocketAddr| {
        let flags = flags(args, testset, recipe, text);
        let url = format!("http://{address}/v1");
        let mut command = Command::new(&program);
        command.arg("bench").arg(testset).args(["--model", MODEL, "--base-url", &url]).args(flags);
        *child.borrow_mut() = Some(command.spawn());
    };
    let ended = || {
        let mut child = child.borrow_mut();
        let Some(Ok(child)) = &mut *child else { return child.is_some() };
        if interrupted()
            && stopping
                .replace(stopping.get().or(Some(Instant::now())))
                .is_some_and(|at| at.elapsed() > GRACE)
        {
            // What it has is in its files.
            let _ = child.kill();
        }
        !matches!(child.try_wait(), Ok(None))
    };
    let cannot = |error: io::Error| {
        TrainError::Recipe(format!(
            "cannot run {}: {error}; build it with `cargo build -p assay-verifier` or put it beside this program",
            program.display()
        ))
    };
    let listening = |source| TrainError::File { path: "127.0.0.1".into(), source };
    serve_policy(policy, &config(recipe), ready, &ended).map_err(listening)?;
    let status = match child.into_inner() {
        Some(child) => child.and_then(|mut child| child.wait()).map_err(cannot)?,
        None => return Ok(3),
    };
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.unwrap_or(if interrupted() { interrupt::EXIT_CODE } else { 3 }))
}

/// What requests call the policy.
const MODEL: &str = "policy";

/// The program beside this one, else the one in the PATH.
fn program() -> PathBuf {
    let beside = std::env::current_exe().map(|this| this.with_file_name("assay"));
    beside.ok().filter(|program| program.exists()).unwrap_or_else(|| "assay".into())
}

fn config(recipe: &Recipe) -> Config {
    let sampler = &recipe.sampler;
    Config {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        name: MODEL.to_owned(),
        tokens: Vec::new(),
        chat_template: Choice::default(),
        cache: sampler.cache(),
        max_batch: sampler.max_batch,
        batch_invariant: sampler.batch_invariant,
        queue: 1 << 16,
        grace: Duration::ZERO,
    }
}

/// The recipe's template for a testset of such problems as its first; one that cannot be read `assay bench` refuses.
fn template(testset: &Path, recipe: &Recipe) -> String {
    let first = assay_testsets::load(testset, None).ok().and_then(|mut problems| problems.next()?.ok());
    first.map_or_else(Template::default, |problem| recipe.templates.of(&problem).clone()).into()
}

/// What is given, and the recipe's for what is not. A suite says itself how it is sampled.
fn flags(args: &Eval, testset: &Path, recipe: &Recipe, text: bool) -> Vec<OsString> {
    let is = |flag: &OsString, name: &str| {
        flag.to_str().is_some_and(|flag| flag == name || flag.starts_with(&format!("{name}=")))
    };
    let given = |name: &str| args.bench.iter().any(|flag| is(flag, name));
    let mut flags = args.bench.clone();
    let eval = &recipe.eval;
    let concurrency = recipe.sampler.max_batch.min(4096);
    let mut defaults = vec![("--concurrency", concurrency.to_string()), ("--seed", recipe.seed.to_string())];
    if !given("--suite") {
        defaults.extend([
            ("--template", template(testset, recipe)),
            ("--samples", eval.samples.to_string()),
            ("--temperature", eval.temperature.to_string()),
            ("--top-p", eval.top_p.to_string()),
            ("--max-tokens", eval.max_completion_length.to_string()),
        ]);
    }
    if !given("--out") {
        let name = testset.file_stem().unwrap_or_default().to_string_lossy();
        // What one policy answered is not gone on with by another.
        let of = args.chosen.name().map_or_else(String::new, |checkpoint| format!("-{checkpoint}"));
        let out = args.common.out.join(format!("bench-{name}{of}"));
        flags.extend(["--out".into(), out.into_os_string()]);
    }
    for (name, value) in defaults.into_iter().filter(|(name, _)| !given(name)) {
        flags.extend([name.into(), value.into()]);
    }
    for (name, _) in [("--text", text), ("--resume", args.common.resume), ("--json", args.common.json)]
        .into_iter()
        .filter(|(name, wanted)| *wanted && !given(name))
    {
        flags.push(name.into());
    }
    flags
}

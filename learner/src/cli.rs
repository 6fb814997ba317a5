//! The command line of `assay-train`: what each command takes, what it prints, how it exits.
//!
//! Results go to stdout (`--json`: exactly one JSON value), progress and errors to stderr. Exit codes: 0 fine,
//! 1 it ran but did not learn, 2 wrong usage or bad input, 3 our failure, 130 interrupted.

use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use serde_json::{Value, json};

use crate::error::EngineError;
use crate::eval::Interval;
use crate::interrupt;
use crate::policy::Sampling;
use crate::progress::Progress;
use crate::quickstart;
use crate::recipe::{Recipe, Stage, TINY_CPU};
use crate::run::Run;
use crate::train::{State, TrainError, Trainer};

/// Trains a policy with verified rewards: supervised fine-tuning, then on-policy GRPO, the sampling temperature
/// calibrated to an entropy of 0.3.
#[derive(Debug, Parser)]
#[command(
    name = "assay-train",
    version,
    arg_required_else_help = true,
    after_help = "Start with `assay-train quickstart`: it trains a tiny policy on this machine in a few minutes and leaves\n\
    its recipe in DIR/recipe.toml. The same recipe, step by step:\n\n  \
    assay-train sft       --config recipe.toml --out DIR\n  \
    assay-train calibrate --config recipe.toml --out DIR\n  \
    assay-train rl        --config recipe.toml --out DIR\n  \
    assay-train eval      --config recipe.toml --out DIR\n\n\
    Exit codes: 0 fine, 1 it ran but did not learn, 2 wrong usage or bad input, 3 our failure, 130 interrupted\n\
    (a checkpoint is written; go on with --resume)."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The whole path, small: grade, SFT from scratch, calibrate, GRPO with rewards over HTTP, report
    Quickstart(Quickstart),
    /// Supervised fine-tuning: writes the checkpoint DIR/sft
    Sft(Common),
    /// Reinforcement learning from DIR/sft (or the recipe's model): writes DIR/rl and DIR/metrics.jsonl
    Rl(Common),
    /// Find the sampling temperature that gives the newest policy of DIR the recipe's entropy, stage by stage
    Calibrate(Common),
    /// Print completions of the newest policy of DIR for some held-out problems
    Sample(Sample),
    /// Held-out accuracy of the newest policy of DIR
    Eval(Common),
}

#[derive(Debug, Args)]
struct Quickstart {
    /// Where the checkpoint, metrics.jsonl and the report go
    #[arg(long, value_name = "DIR", default_value = "quickstart", env = "ASSAY_OUT")]
    out: PathBuf,
    /// Print the report as one JSON value instead of the table
    #[arg(long)]
    json: bool,
    /// Replaces the recipe's seed
    #[arg(long, env = "ASSAY_SEED")]
    seed: Option<u64>,
    /// Afterwards train once more with the rewards shuffled between rollouts: that must not help
    #[arg(long)]
    control: bool,
}

#[derive(Debug, Args)]
struct Common {
    /// The recipe, a TOML file
    #[arg(long, value_name = "RECIPE", env = "ASSAY_CONFIG")]
    config: PathBuf,
    /// The run's directory
    #[arg(long, value_name = "DIR", env = "ASSAY_OUT")]
    out: PathBuf,
    /// Go on from the checkpoint of an interrupted run (sft and rl)
    #[arg(long)]
    resume: bool,
    /// Print the result as one JSON value
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Sample {
    #[command(flatten)]
    common: Common,
    /// How many problems of each source
    #[arg(long, default_value_t = 4)]
    problems: usize,
    /// Sampling temperature; 0 is greedy
    #[arg(long, default_value_t = 1.0)]
    temperature: f64,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to stdout with exit code 0, mistakes to stderr with 2: clap's own rule.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    interrupt::listen();
    match execute(cli.command) {
        Ok((text, code)) => print(&text, code),
        Err(error) => {
            eprintln!("assay-train: {}", error.to_string().replace('\n', " "));
            ExitCode::from(exit_code(&error))
        }
    }
}

/// Prints the result; a reader that left early (`| head`) is no failure, a full disk is.
fn print(text: &str, code: u8) -> ExitCode {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("assay-train: cannot write to standard output: {error}");
            ExitCode::from(3)
        }
        _ => ExitCode::from(code),
    }
}

fn execute(command: Command) -> Result<(String, u8), TrainError> {
    match command {
        Command::Quickstart(args) => quickstart(&args),
        Command::Sft(args) => sft(&args),
        Command::Rl(args) => rl(&args),
        Command::Calibrate(args) => calibrate(&args),
        Command::Sample(args) => sample(&args),
        Command::Eval(args) => eval(&args),
    }
}

fn quickstart(args: &Quickstart) -> Result<(String, u8), TrainError> {
    let mut recipe = Recipe::parse("tiny-cpu.toml", TINY_CPU)?;
    recipe.seed = args.seed.unwrap_or(recipe.seed);
    let run = Run::start(recipe, &args.out, Progress::stderr())?;
    let report = quickstart::run(&run, args.control)?;
    let text = if args.json { line(&json!(report)) } else { report.table() };
    Ok((text, u8::from(!report.learned)))
}

fn sft(args: &Common) -> Result<(String, u8), TrainError> {
    let run = start(args)?;
    let (_, steps) = run.sft(args.resume)?;
    let checkpoint = args.out.join(crate::sft::CHECKPOINT);
    let text = format!("{steps} steps; the policy is in {}\n", checkpoint.display());
    Ok((said(args, text, json!({ "steps": steps, "checkpoint": checkpoint })), 0))
}

fn rl(args: &Common) -> Result<(String, u8), TrainError> {
    let run = start(args)?;
    let grader = run.rewarder()?;
    run.rl(&grader, &args.out, args.resume)?;
    let checkpoint = args.out.join(crate::train::CHECKPOINT);
    let text = format!("the policy is in {}, the curves in metrics.jsonl beside it\n", checkpoint.display());
    Ok((said(args, text, json!({ "checkpoint": checkpoint })), 0))
}

fn calibrate(args: &Common) -> Result<(String, u8), TrainError> {
    let run = start(args)?;
    let (policy, _) = run.latest_policy()?;
    let (recipe, sources, out, progress) = (&run.recipe, &run.sources, args.out.as_path(), &run.progress);
    let trainer =
        Trainer { recipe, sources, policy, grader: &NoGrader, out, state: State::default(), progress };
    let (mut text, mut values) = (String::new(), Vec::new());
    for stage in &recipe.rl {
        let found = trainer.calibrate(stage)?;
        let Stage { name, .. } = stage;
        text += &format!(
            "{name}: temperature {:.4}, entropy {:.4} on a fresh probe ({} probes)\n",
            found.temperature, found.entropy, found.probes
        );
        values.push(json!({ "stage": name, "temperature": found.temperature, "entropy": found.entropy, "probes": found.probes }));
    }
    Ok((said(args, text, Value::Array(values)), 0))
}

fn sample(args: &Sample) -> Result<(String, u8), TrainError> {
    let run = start(&args.common)?;
    let (policy, _) = run.latest_policy()?;
    let problems: Vec<_> = run
        .recipe
        .eval
        .problems
        .keys()
        .flat_map(|name| {
            run.sources.fixed(
                &[(name.clone(), args.problems)].into(),
                crate::tasks::Split::HeldOut,
                run.recipe.seed,
            )
        })
        .collect();
    let sampling = Sampling {
        temperature: args.temperature,
        max_completion_length: run.recipe.eval.max_completion_length,
        seed: run.recipe.seed,
        purpose: "sample",
        step: 0,
    };
    let rollouts = policy.sample(&problems, 1, &sampling)?;
    let (mut text, mut values) = (String::new(), Vec::new());
    for (problem, rollout) in problems.iter().zip(&rollouts) {
        text += &format!("{}{}\n\n", problem.prompt, rollout.completion);
        values.push(json!({ "question_id": problem.question_id, "prompt": problem.prompt, "completion": rollout.completion }));
    }
    Ok((said(&args.common, text, Value::Array(values)), 0))
}

fn eval(args: &Common) -> Result<(String, u8), TrainError> {
    let run = start(args)?;
    let (policy, checkpoint) = run.latest_policy()?;
    let evaluation = run.evaluate(&policy, &run.rewarder()?)?;
    let names = run.recipe.eval.problems.keys().map(|name| (name.as_str(), format!("{name}/")));
    let rows: Vec<(&str, Interval)> = names
        .chain([("all", String::new())])
        .map(|(name, prefix)| (name, evaluation.accuracy(&prefix)))
        .collect();
    let line = |(name, accuracy): &(&str, Interval)| {
        let Interval { n, mean, low, high } = accuracy;
        format!("{name}: {mean:.3} ({low:.3} .. {high:.3}, n = {n})\n")
    };
    let text = format!("policy {checkpoint}\n{}", rows.iter().map(line).collect::<String>());
    let values: serde_json::Map<String, Value> =
        rows.iter().map(|(name, accuracy)| ((*name).to_owned(), json!(accuracy))).collect();
    Ok((said(args, text, json!({ "policy": checkpoint, "accuracy": values })), 0))
}

fn start(args: &Common) -> Result<Run<'_>, TrainError> {
    Run::start(Recipe::load(&args.config)?, &args.out, Progress::stderr())
}

fn said(args: &Common, text: String, value: Value) -> String {
    if args.json { line(&value) } else { text }
}

fn line(value: &Value) -> String {
    format!("{value}\n")
}

/// Calibration samples and scores; it asks for no reward.
struct NoGrader;

impl crate::reward_client::Grade for NoGrader {
    fn grade(
        &self,
        _: &[crate::reward_client::Ask<'_>],
    ) -> Result<Vec<crate::reward_client::Answer>, crate::reward_client::RewardError> {
        Ok(Vec::new())
    }
}

/// Whose fault it is, as an exit code.
fn exit_code(error: &TrainError) -> u8 {
    match error {
        TrainError::Interrupted { .. } => interrupt::EXIT_CODE,
        TrainError::Unreachable { .. } | TrainError::Unconfirmed { .. } => 1,
        TrainError::Data(_) | TrainError::Recipe(_) | TrainError::RecipeFile(_) => 2,
        TrainError::File { source, .. } => io_code(source),
        TrainError::Engine(error) => engine_code(error),
        TrainError::Reward(_) | TrainError::NoRewards { .. } | TrainError::Verifier(_) => 3,
    }
}

fn engine_code(error: &EngineError) -> u8 {
    match error {
        EngineError::Io { source, .. } => io_code(source),
        EngineError::Checkpoint { .. } | EngineError::Input(_) | EngineError::Tokenizer(_) => 2,
        _ => 3,
    }
}

/// A path that is not there or not allowed is the caller's, a full disk ours.
fn io_code(error: &std::io::Error) -> u8 {
    match error.kind() {
        ErrorKind::NotFound
        | ErrorKind::PermissionDenied
        | ErrorKind::NotADirectory
        | ErrorKind::IsADirectory
        | ErrorKind::AlreadyExists
        | ErrorKind::ReadOnlyFilesystem => 2,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn errors_have_the_exit_code_of_whose_fault_they_are() {
        let file = |kind: ErrorKind| TrainError::File { path: "x".into(), source: kind.into() };
        let rows = [
            (TrainError::Interrupted { step: 3, command: "rl", out: "d".into() }, 130),
            (file(ErrorKind::StorageFull), 3),
            (file(ErrorKind::PermissionDenied), 2),
            (TrainError::Recipe("x".to_owned()), 2),
            (TrainError::NoRewards { steps: 3, reason: "x".to_owned() }, 3),
        ];
        for (error, code) in rows {
            assert_eq!(exit_code(&error), code, "{error}");
        }
    }
}

//! The command line of `assay-train`: what each command takes, what it prints, how it exits.
//!
//! Results go to stdout (`--json`: exactly one JSON value), progress and errors to stderr. Exit codes: 0 fine,
//! 1 it ran but did not learn, 2 wrong usage or bad input, 3 our failure, 130 interrupted.

mod data;
mod eval;
mod export;
mod live;
mod plan;
mod sample;
mod serve;

use std::io::{ErrorKind, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue};
use clap::{Args, CommandFactory as _, Parser, Subcommand};
use serde_json::{Value, json};

use crate::control::{self, Control};
use crate::cuda::{self, Stored};
use crate::error::{EngineError, reason};
use crate::gpu_check::{self, Plan};
use crate::interrupt;
use crate::launcher::{self, Choice};
use crate::progress::Progress;
use crate::quickstart;
use crate::recipe::{Recipe, TINY_CPU};
use crate::run::{RECIPE, Run, TRACES};
use crate::train::{State, TrainError, Trainer};

/// Trains a policy with verified rewards: supervised fine-tuning, then on-policy GRPO, the sampling temperature
/// calibrated to an entropy of 0.3.
#[derive(Debug, Parser)]
#[command(
    name = "assay-train",
    version,
    arg_required_else_help = true,
    // Paragraphs are one line each: clap wraps them.
    after_help = "Start with `assay-train quickstart`: it trains a tiny policy on this machine in a few minutes and leaves \
    its recipe in DIR/recipe.toml. The same recipe, step by step (`rl` alone does the first three):\n\n  \
    assay-train sft       --config recipe.toml --out DIR\n  \
    assay-train calibrate --config recipe.toml --out DIR\n  \
    assay-train rl        --config recipe.toml --out DIR\n  \
    assay-train eval      --config recipe.toml --out DIR\n\n\
    A directory holds one run of one recipe: a second start is refused, and --resume goes on only with the recipe \
    of before ([rewards], [cores], [checkpoints], [dump] and model.max_activation_bytes may change).\n\n\
    Exit codes: 0 fine, 1 it ran but did not learn, 2 wrong usage or bad input, 3 our failure, 130 interrupted \
    (a checkpoint is written; go on with --resume)."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Where to compute; `auto` is the first GPU if there is one, and assay-train-cuda beside this program
    #[arg(long, global = true, default_value = "auto", env = "ASSAY_DEVICE", hide_possible_values = false)]
    device: Choice,
    /// How a GPU stores parameters and activations; of bf16 parameters the optimizer keeps f32 ones
    #[arg(long, global = true, default_value = "f32", env = "ASSAY_PRECISION")]
    precision: Stored,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The whole path, small: grade, SFT from scratch, calibrate, GRPO with rewards over HTTP, report
    Quickstart(Quickstart),
    /// Supervised fine-tuning: writes the checkpoint DIR/sft
    Sft(Common),
    /// Reinforcement learning, after the recipe's SFT where that is not done yet: writes DIR/rl and DIR/metrics.jsonl
    Rl(Rl),
    /// Find the sampling temperature that gives the newest policy of DIR the recipe's entropy, stage by stage
    Calibrate(Common),
    /// Say what a recipe will take before it takes it: memory by phase and consumer, the least time of a step
    Plan(plan::PlanFor),
    /// Print what the newest policy of DIR, or a checkpoint, answers to a prompt, as it is written, or to some held-out problems
    Sample(sample::Sample),
    /// Show a run as a page in the browser while it goes on
    Live(live::Live),
    /// Held-out accuracy of the newest policy of DIR, or of a checkpoint; or how it does on a testset or suite, by `assay bench`
    Eval(eval::Eval),
    /// Answer completions of a checkpoint over HTTP as OpenAI's API does
    Serve(serve::Serve),
    /// Merge a low-rank adapter into its base: a model directory that any reader of models takes
    Export(export::Export),
    /// Say where this computes: the GPU, its memory and compute capability, or the CPU
    Device {
        /// Print one JSON value
        #[arg(long)]
        json: bool,
    },
    /// Check and measure a GPU, a stage at a time; learner/gpu-check.sh starts it. Exit code 1: something is wrong; 4: time was
    /// up before all was measured, to be started again
    #[command(hide = true)]
    GpuCheck {
        stage: gpu_check::Stage,
        /// Where the stage's JSON lines go, and where those of before are
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// No measurement begins later than this
        #[arg(long, value_name = "N", default_value_t = 7)]
        minutes: u64,
        /// Sizes for a GPU that is a CPU
        #[arg(long)]
        small: bool,
    },
    /// Prepare data: dedup, decontaminate, difficulty, filter, scaling
    #[command(subcommand)]
    Data(data::Tool),
}

#[derive(Debug, Args)]
struct Quickstart {
    /// Where the checkpoint, metrics.jsonl and the report go
    #[arg(long, value_name = "DIR", default_value = "runs/quickstart", env = "ASSAY_OUT")]
    out: PathBuf,
    /// Go on with the run that is in DIR
    #[arg(long)]
    resume: bool,
    /// Print the report as one JSON value instead of the table
    #[arg(long)]
    json: bool,
    /// Replaces the recipe's seed; a whole number from 0 to 9223372036854775807
    #[arg(long, env = "ASSAY_SEED", allow_negative_numbers = true, value_parser = seed)]
    seed: Option<u64>,
    /// Afterwards train twice more from the same SFT: with the rewards shuffled between rollouts, which must not help, and by
    /// more of the SFT, as many tokens
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
    /// Go on with what was interrupted: from its checkpoint (sft, rl), from the samples it has (eval --testset)
    #[arg(long)]
    resume: bool,
    /// Print the result as one JSON value
    #[arg(long)]
    json: bool,
}

/// Which policy of a run is looked at.
#[derive(Debug, Args)]
struct Chosen {
    /// A checkpoint of DIR: rl, rl.best, rl.step-N, sft, or model, the recipe's own [default: the furthest trained]
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    checkpoint: Option<String>,
}

impl Chosen {
    fn name(&self) -> Option<&str> {
        self.checkpoint.as_deref()
    }
}

#[derive(Debug, Args)]
struct Rl {
    #[command(flatten)]
    common: Common,
    /// Train something else instead, from the same start: in DIR/control or DIR/more-sft, to be compared with
    #[arg(long, value_name = "KIND", num_args = 0..=1, default_missing_value = "shuffled")]
    control: Option<Control>,
}

/// A recipe is kept as TOML, whose whole numbers end here.
const MOST_SEED: u64 = i64::MAX as u64;

fn seed(text: &str) -> Result<u64, String> {
    let fine = text.parse().ok().filter(|seed| *seed <= MOST_SEED);
    fine.ok_or_else(|| format!("it must be a whole number from 0 to {MOST_SEED}"))
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    let elsewhere = matches!(&cli.command, Command::Plan(plan) if plan.gpu.is_some());
    let reads = matches!(cli.command, Command::Data(_) | Command::Export(_) | Command::GpuCheck { .. });
    let computes = !elsewhere && !reads;
    if computes && let Err(why) = launcher::settle(cli.device, cli.precision, complain) {
        complain(&why);
        return ExitCode::from(2);
    }
    match cli.command {
        // Each of its measurements stands for itself.
        Command::GpuCheck { .. } => {}
        Command::Serve(_) => interrupt::listen("finishing what was asked"),
        _ => interrupt::listen("stopping after a checkpoint"),
    }
    match execute(cli.command, cli.precision) {
        Ok((text, code)) => print(&text, code),
        Err(error) => {
            complain(&error.to_string());
            ExitCode::from(exit_code(&error))
        }
    }
}

/// One line on stderr; that it cannot be written is nothing anybody could be told.
fn complain(what: &str) {
    let _ = writeln!(std::io::stderr(), "assay-train: {}", what.trim_end().replace('\n', " "));
}

/// Help and version go to stdout with exit code 0, a mistake is one line on stderr and 2.
fn refuse(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind as Kind;
    match error.kind() {
        Kind::DisplayHelp | Kind::DisplayVersion => return print(&error.to_string(), 0),
        Kind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            complain("no command given; choose one of those above");
        }
        _ => complain(&mistake(error, &std::env::args().collect::<Vec<_>>())),
    }
    ExitCode::from(2)
}

/// clap's report of several paragraphs as one line, with the variable a bad value came from when it was no flag.
fn mistake(error: &clap::Error, arguments: &[String]) -> String {
    let mut line = String::new();
    for paragraph in error.to_string().split("\n\n") {
        let paragraph = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some(what) = paragraph.strip_prefix("error: ") {
            line += what;
        } else if let Some(tip) = paragraph.strip_prefix("tip: ") {
            line += &format!("; {tip}");
        }
    }
    let mut cli = Cli::command();
    cli.build();
    let command = arguments.iter().skip(1).find_map(|name| cli.find_subcommand(name));
    if let (Some(ContextValue::String(wrong)), Some(command)) = (error.get(ContextKind::InvalidArg), command)
        && let Some(argument) = command.get_arguments().find(|argument| argument.to_string() == *wrong)
        && let (Some(flag), Some(variable)) = (argument.get_long(), argument.get_env())
        && !arguments.iter().any(|argument| argument.starts_with(&format!("--{flag}")))
    {
        line += &format!(" (from {})", variable.display());
    }
    let command = command.map_or(String::new(), |command| format!(" {}", command.get_name()));
    format!("{line}; see `assay-train{command} --help`")
}

/// Prints the result; a reader that left early (`| head`) is no failure, a full disk is.
fn print(text: &str, code: u8) -> ExitCode {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            complain(&format!("cannot write to standard output: {}", reason(&error)));
            ExitCode::from(3)
        }
        _ => ExitCode::from(code),
    }
}

fn execute(command: Command, precision: Stored) -> Result<(String, u8), TrainError> {
    match command {
        Command::Quickstart(args) => quickstart(&args),
        Command::Sft(args) => sft(&args),
        Command::Rl(args) => rl(&args),
        Command::Calibrate(args) => calibrate(&args),
        Command::Plan(args) => plan::run(&args, precision),
        Command::Sample(args) => sample::run(&args),
        Command::Live(args) => live::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Device { json } => Ok((device(json)?, 0)),
        Command::GpuCheck { stage, out, minutes, small } => {
            let plan =
                Plan { out: gpu_check::file(&out, stage), time: Duration::from_secs(60 * minutes), small };
            Ok((String::new(), gpu_check::run(stage, &plan)?.exit_code()))
        }
        Command::Data(tool) => Ok((data::run(&tool)?, 0)),
    }
}

fn device(json: bool) -> Result<String, TrainError> {
    let Some(gpu) = cuda::used()? else {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let value = json!({ "device": "cpu", "threads": threads });
        return Ok(if json { line(&value) } else { format!("the CPU, {threads} threads\n") });
    };
    let cuda::Description { name, bytes, capability } = gpu;
    let (major, minor) = (capability / 10, capability % 10);
    Ok(match json {
        true => {
            line(&json!({ "device": "cuda", "name": name, "bytes": bytes, "compute_capability": capability }))
        }
        false => {
            let gib = bytes as f64 / f64::from(1 << 30);
            format!("{name}, {gib:.1} GiB, compute capability {major}.{minor}\n")
        }
    })
}

fn quickstart(args: &Quickstart) -> Result<(String, u8), TrainError> {
    let mut recipe = Recipe::parse("tiny-cpu.toml", TINY_CPU)?;
    recipe.seed = args.seed.or(seed_before(args)?).unwrap_or(recipe.seed);
    let run = Run::start(recipe, &args.out, Progress::stderr())?;
    let command = if args.control { "quickstart --control" } else { "quickstart" };
    let report = quickstart::run(&run, args.control, args.resume)
        .map_err(|error| error.while_running(command, &args.out))?;
    let text = if args.json { line(&json!(report)) } else { report.table() };
    Ok((text, u8::from(!report.learned)))
}

/// The seed of the run to go on with: nobody has to remember it.
fn seed_before(args: &Quickstart) -> Result<Option<u64>, TrainError> {
    let recipe = args.out.join(RECIPE);
    match args.resume && recipe.exists() {
        true => Ok(Some(Recipe::load(&recipe)?.seed)),
        false => Ok(None),
    }
}

fn sft(args: &Common) -> Result<(String, u8), TrainError> {
    let run = start(args)?;
    run.sft_part()?;
    run.open(args.resume, if args.resume { &[crate::sft::CHECKPOINT] } else { &TRACES })?;
    let (_, steps) = run.sft(args.resume)?;
    let checkpoint = args.out.join(crate::sft::CHECKPOINT);
    let text = format!("{steps} steps; the policy is in {}\n", checkpoint.display());
    Ok((said(args, text, json!({ "steps": steps, "checkpoint": checkpoint })), 0))
}

fn rl(Rl { common: args, control }: &Rl) -> Result<(String, u8), TrainError> {
    let run = start(args)?;
    has_stages(&run)?;
    let (command, traces) = match (control, args.resume) {
        (None, false) => ("rl", vec![crate::train::CHECKPOINT, crate::train::METRICS]),
        (None, true) => ("rl", TRACES.to_vec()),
        (Some(Control::Shuffled), _) => ("rl --control", Control::Shuffled.traces().to_vec()),
        (Some(Control::MoreSft), _) => ("rl --control more-sft", Control::MoreSft.traces().to_vec()),
    };
    let and_start = control.filter(|_| args.resume).map(|_| crate::sft::CHECKPOINT);
    if *control == Some(Control::MoreSft) && !args.out.join(crate::train::METRICS).exists() {
        return Err(TrainError::Recipe(format!(
            "{} holds no metrics.jsonl, which says how many tokens more SFT is to have; run `assay-train rl` first",
            args.out.display()
        )));
    }
    run.open(args.resume, &[traces, Vec::from_iter(and_start)].concat())?;
    let cut = |error: TrainError| error.while_running(command, &args.out);
    run.sft_before_rl(args.resume).map_err(cut)?;
    let trained = match control {
        None => run.rl(&run.rewarder()?, &args.out, args.resume),
        Some(Control::Shuffled) => control::shuffled(&run, &run.rewarder()?, args.resume),
        Some(Control::MoreSft) => control::more_sft(&run),
    };
    trained.map_err(cut)?;
    let checkpoint = args.out.join(control.map_or(crate::train::CHECKPOINT, |control| control.traces()[0]));
    let curves =
        if *control == Some(Control::MoreSft) { "" } else { ", the curves in metrics.jsonl beside it" };
    let text = format!("the policy is in {}{curves}\n", checkpoint.display());
    Ok((said(args, text, json!({ "checkpoint": checkpoint })), 0))
}

fn has_stages(run: &Run<'_>) -> Result<(), TrainError> {
    match run.recipe.rl.is_empty() {
        true => Err(TrainError::Recipe(
            "the recipe has no [[rl]] stage; add one, or use `assay-train sft`".to_owned(),
        )),
        false => Ok(()),
    }
}

fn calibrate(args: &Common) -> Result<(String, u8), TrainError> {
    let run = start(args)?;
    has_stages(&run)?;
    let (policy, _) = run.latest_policy()?;
    let (recipe, sources, out, progress) = (&run.recipe, &run.sources, args.out.as_path(), &run.progress);
    let trainer =
        Trainer { recipe, sources, policy, grader: &NoGrader, out, state: State::default(), progress };
    let (mut text, mut values) = (String::new(), Vec::new());
    for stage in &recipe.rl {
        let found = trainer.calibrate(stage)?;
        text += &format!("{}: {found}\n", stage.name);
        let mut value = json!(found);
        value["stage"] = json!(stage.name);
        values.push(value);
    }
    Ok((said(args, text, Value::Array(values)), 0))
}

fn has_problems(run: &Run<'_>) -> Result<(), TrainError> {
    match run.recipe.eval.problems.is_empty() {
        true => Err(TrainError::Recipe(
            "the recipe has no eval.problems; add some, as { arithmetic = 64 }".to_owned(),
        )),
        false => Ok(()),
    }
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
        TrainError::Unreachable { .. } | TrainError::Unconfirmed { .. } | TrainError::NotFinite { .. } => 1,
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

/// A path that is not there or not allowed, or a file of something else, is the caller's, a full disk ours.
fn io_code(error: &std::io::Error) -> u8 {
    match error.kind() {
        ErrorKind::NotFound
        | ErrorKind::PermissionDenied
        | ErrorKind::NotADirectory
        | ErrorKind::IsADirectory
        | ErrorKind::AlreadyExists
        | ErrorKind::ReadOnlyFilesystem
        | ErrorKind::InvalidData => 2,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            (file(ErrorKind::InvalidData), 2),
            (TrainError::Recipe("x".to_owned()), 2),
            (TrainError::NoRewards { steps: 3, reason: "x".to_owned() }, 3),
        ];
        for (error, code) in rows {
            assert_eq!(exit_code(&error), code, "{error}");
        }
    }
}

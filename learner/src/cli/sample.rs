//! `assay-train sample`: completions to look at. Of one prompt as they are written, of held-out problems when they are whole.

use std::io::{Read as _, Write as _};

use clap::Args;
use serde_json::{Value, json};

use super::{Chosen, Common, has_problems, line, said, seed, start};
use crate::interrupt::interrupted;
use crate::policy::{Policy, Sampling};
use crate::recipe::Eval;
use crate::recipe::check::{temperature_mistake, too_many};
use crate::run::Run;
use crate::tasks::Split;
use crate::train::TrainError;

#[derive(Debug, Args)]
pub(super) struct Sample {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    chosen: Chosen,
    /// Answer this, and print the answer as it is written; - reads it from standard input
    #[arg(long, value_name = "TEXT", conflicts_with = "problems", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    prompt: Option<String>,
    /// How many problems of each source, at most 65536
    #[arg(long, default_value_t = 4, allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    problems: u32,
    /// Sampling temperature, from 0.05 to 20; 0 is greedy
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true, value_parser = temperature)]
    temperature: f64,
    /// Draw only from the first so many tokens, 0 being no limit [default: the recipe's eval.top_k]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    top_k: Option<u32>,
    /// Draw only from the fewest tokens whose probabilities add up to this share [default: the recipe's eval.top_p]
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true, value_parser = share)]
    top_p: Option<f64>,
    /// Draw only from tokens at least this share as probable as the best [default: the recipe's eval.min_p]
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true, value_parser = share)]
    min_p: Option<f64>,
    /// End a completion before this text; may be repeated [default: the recipe's eval.stop]
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    stop: Vec<String>,
    /// Most tokens of a completion [default: the recipe's eval.max_completion_length]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=131_072))]
    max_tokens: Option<u32>,
    /// What is drawn; the same seed draws the same [default: the recipe's]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = seed)]
    seed: Option<u64>,
}

fn temperature(text: &str) -> Result<f64, String> {
    let value = text.parse().map_err(|_| "expected a number".to_owned())?;
    temperature_mistake("it", value).map_or(Ok(value), Err)
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "it must be from 0 to 1".to_owned())
}

pub(super) fn run(args: &Sample) -> Result<(String, u8), TrainError> {
    let run = start(&args.common)?;
    let (policy, _) = run.policy_named(args.chosen.name())?;
    let seed = args.seed.unwrap_or(run.recipe.seed);
    let sampling = args.eval(&run.recipe.eval).sampling(seed, "sample");
    let (most, context) = (sampling.max_completion_length, policy.context());
    if most >= context {
        let what = format!(
            "--max-tokens is {most}; the policy's context is {context} tokens, the prompt included: choose less"
        );
        return Err(TrainError::Recipe(what));
    }
    match &args.prompt {
        Some(prompt) => answer(args, prompt, &policy, &sampling),
        None => answers(args, &run, &policy, &sampling),
    }
}

/// The answer to one prompt, as it comes.
fn answer(
    args: &Sample,
    prompt: &str,
    policy: &Policy,
    sampling: &Sampling,
) -> Result<(String, u8), TrainError> {
    let mut read = String::new();
    let prompt = match prompt {
        "-" => {
            let failed = |source| TrainError::File { path: "standard input".into(), source };
            std::io::stdin().read_to_string(&mut read).map_err(failed)?;
            read.as_str()
        }
        text => text,
    };
    let mut completion = String::new();
    policy.stream(prompt, sampling, &mut |text| {
        completion += text;
        // A reader that left early needs no more.
        let heard = args.common.json || said_at_once(text);
        heard && !interrupted()
    })?;
    Ok(match args.common.json {
        true => (line(&json!({ "prompt": prompt, "completion": completion })), 0),
        false => ("\n".to_owned(), 0),
    })
}

fn said_at_once(text: &str) -> bool {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).is_ok()
}

/// One answer to some of the recipe's held-out problems each.
fn answers(
    args: &Sample,
    run: &Run<'_>,
    policy: &Policy,
    sampling: &Sampling,
) -> Result<(String, u8), TrainError> {
    has_problems(run)?;
    let (count, sources) = (args.problems as usize, &run.recipe.eval.problems);
    if let Some(what) = sources.keys().find_map(|name| too_many("--problems", name, count)) {
        return Err(TrainError::Recipe(what));
    }
    let of =
        |name: &String| run.sources.fixed(&[(name.clone(), count)].into(), Split::HeldOut, run.recipe.seed);
    let problems: Vec<_> = sources.keys().flat_map(of).collect();
    let rollouts = policy.sample(&problems, 1, sampling)?;
    let (mut text, mut values) = (String::new(), Vec::new());
    for (problem, rollout) in problems.iter().zip(&rollouts) {
        text += &format!("{}{}\n\n", problem.prompt, rollout.completion);
        values.push(json!({ "question_id": problem.question_id, "prompt": problem.prompt, "completion": rollout.completion }));
    }
    Ok((said(&args.common, text, Value::Array(values)), 0))
}

impl Sample {
    /// The recipe's evaluation, but for what the command line says.
    fn eval(&self, eval: &Eval) -> Eval {
        let stop = if self.stop.is_empty() { &eval.stop } else { &self.stop };
        Eval {
            temperature: self.temperature,
            top_k: self.top_k.map_or(eval.top_k, |k| k as usize),
            top_p: self.top_p.unwrap_or(eval.top_p),
            min_p: self.min_p.unwrap_or(eval.min_p),
            stop: stop.clone(),
            max_completion_length: self.max_tokens.map_or(eval.max_completion_length, |most| most as usize),
            ..eval.clone()
        }
    }
}

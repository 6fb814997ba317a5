//! Supervised fine-tuning: rows of (prompt, completion), cross-entropy on the completion's tokens.

mod log;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use assay_testsets::Problem;
use serde::{Deserialize, Serialize};

use self::log::Log;
use crate::data::{self, Row, stream};
use crate::interrupt::interrupted;
use crate::metrics::SftMetrics;
use crate::policy::{Learned, Policy, Sampling};
use crate::progress::Progress;
use crate::recipe::{Recipe, Sft};
use crate::tasks::{Family, Split};
use crate::train::TrainError;
use crate::train::skips::Skips;

/// Where an SFT stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Steps done.
    pub step: u64,
    /// Whether it ended, by its steps or by its accuracy.
    pub done: bool,
    /// Families at their goal when last looked at: they are taught no more, unless they fall below it again.
    #[serde(default)]
    pub enough: Vec<Family>,
}

/// The directory of the SFT checkpoint in a run's directory.
pub const CHECKPOINT: &str = "sft";
/// The file in a run's directory with one line per step.
pub const METRICS: &str = "sft-metrics.jsonl";
/// Problems of each family that decide when to stop.
const DEV_PROBLEMS: usize = 128;
/// Steps between checkpoints.
const SAVE_EVERY: u64 = 500;
/// Gradient norm above which the gradient is scaled down.
const MAX_GRAD_NORM: f64 = 1.0;

/// An SFT.
#[derive(Debug)]
pub struct Tuner<'a> {
    /// What is done.
    pub recipe: &'a Recipe,
    /// Its SFT part.
    pub sft: &'a Sft,
    /// Who learns.
    pub policy: Policy,
    /// Where the checkpoint goes.
    pub out: &'a Path,
    /// Where it stands.
    pub state: State,
    /// Who is told.
    pub progress: &'a Progress,
}

impl Tuner<'_> {
    /// Trains until the accuracy or the number of steps is reached; returns with the checkpoint written.
    pub fn run(&mut self) -> Result<(), TrainError> {
        if self.state.done {
            return Ok(());
        }
        let rows = data::fitting_rows(self.sft, &self.policy, self.progress)?;
        let mut log = Log::open(self.out, self.state.step)?;
        let bar = self.progress.stage("sft", self.sft.steps, self.state.step);
        let (mut loss, mut accuracy) = (0.0, String::new());
        let mut skips = Skips::default();
        while !self.state.done {
            if interrupted() {
                self.save()?;
                return Err(TrainError::Interrupted {
                    step: self.state.step,
                    command: "sft",
                    out: self.out.to_owned(),
                });
            }
            let mut line = self.step(rows.as_deref())?;
            skips.step(line.skipped_updates);
            let spoiled = skips.check(self.state.step, &self.out.join(CHECKPOINT));
            if spoiled.is_ok() && self.looks() {
                line.accuracies = self.look()?;
                accuracy = shown(&line.accuracies);
            }
            log.step(&line)?;
            spoiled?;
            if line.skipped_updates == 0 {
                loss = line.loss;
            }
            self.state.done |= self.state.step >= self.sft.steps;
            bar.advance(1, &format!("loss {loss:.3}{accuracy}"));
            if self.state.step.is_multiple_of(SAVE_EVERY) && skips.may_save() {
                self.save()?;
            }
        }
        drop(bar);
        self.progress.note(&format!("sft: {} steps, loss {loss:.3}{accuracy}", self.state.step));
        self.save()
    }

    /// One update; of all tokens its line has those of this step.
    fn step(&mut self, rows: Option<&[Row]>) -> Result<SftMetrics, TrainError> {
        let started = Instant::now();
        let batch = batch(self.recipe, self.sft, rows, &self.state);
        let learning_rate = self.learning_rate();
        let Learned { loss, grad_norm, tokens, all_tokens, skipped } =
            self.policy.learn(&batch, learning_rate, MAX_GRAD_NORM)?;
        self.state.step += 1;
        let step = self.state.step;
        if let Some(skipped) = skipped {
            self.progress.warn(&format!("sft step {step}: {skipped}"));
        }
        Ok(SftMetrics {
            step,
            loss,
            learning_rate,
            grad_norm,
            tokens: tokens as u64,
            num_tokens: all_tokens as u64,
            seconds: started.elapsed().as_secs_f64(),
            skipped_updates: u64::from(skipped.is_some()),
            accuracies: BTreeMap::new(),
        })
    }

    fn learning_rate(&self) -> f64 {
        let done = (self.state.step + 1) as f64 / self.sft.warmup.max(1) as f64;
        self.sft.learning_rate * done.min(1.0)
    }

    fn looks(&self) -> bool {
        !self.sft.until.is_empty() && self.state.step.is_multiple_of(self.sft.check_every)
    }

    /// Greedy exact matches on development problems of each family; what has reached its goal is taught no more, and where
    /// all have, this is over.
    fn look(&mut self) -> Result<BTreeMap<String, f64>, TrainError> {
        let (mut accuracies, mut enough) = (BTreeMap::new(), Vec::new());
        for family in Family::ALL.into_iter().filter(|family| self.sft.rows.contains_key(family.name())) {
            let matches = self.exact_matches(family)?;
            if self.sft.until.get(family.name()).is_some_and(|goal| matches >= *goal) {
                enough.push(family);
            }
            accuracies.insert(family.name().to_owned(), matches);
        }
        self.state.done = enough.len() == self.sft.until.len();
        self.state.enough = enough;
        Ok(accuracies)
    }

    /// The share of development questions answered with the very completion a row would show: no verifier
    /// needed to know when to stop.
    fn exact_matches(&self, family: Family) -> Result<f64, TrainError> {
        let mut rng = stream(self.recipe.seed, "dev", 0);
        let questions = family.distinct(Split::Dev, DEV_PROBLEMS, &mut rng);
        let problems: Vec<Problem> = questions.iter().map(|question| question.problem.clone()).collect();
        let sampling = Sampling {
            temperature: 0.0,
            max_completion_length: self.recipe.eval.max_completion_length,
            seed: self.recipe.seed,
            purpose: "dev",
            step: self.state.step,
            ..Sampling::default()
        };
        let rollouts = self.policy.sample(&problems, 1, &sampling)?;
        let right = questions
            .iter()
            .zip(&rollouts)
            .filter(|(question, rollout)| question.completion == rollout.completion);
        Ok(right.count() as f64 / DEV_PROBLEMS as f64)
    }

    fn save(&self) -> Result<(), TrainError> {
        Ok(self.policy.save(&self.out.join(CHECKPOINT), &self.state, 1)?)
    }
}

fn shown(accuracies: &BTreeMap<String, f64>) -> String {
    accuracies.iter().map(|(family, matches)| format!(" {family} {matches:.2}")).collect()
}

/// The step by which at least `tokens` tokens of completions are taught, counted from the start of step `from` on, all
/// families in each.
pub fn step_after(
    recipe: &Recipe,
    sft: &Sft,
    policy: &Policy,
    from: u64,
    tokens: u64,
) -> Result<u64, TrainError> {
    let rows = data::fitting_rows(sft, policy, &Progress::quiet())?;
    let (mut state, mut taught) = (State { step: from, ..State::default() }, 0);
    while taught < tokens {
        taught += policy.completion_tokens(&batch(recipe, sft, rows.as_deref(), &state))?;
        state.step += 1;
    }
    Ok(state.step)
}

/// What a step teaches.
fn batch(recipe: &Recipe, sft: &Sft, rows: Option<&[Row]>, state: &State) -> Vec<Row> {
    let mut of_families = sft.rows.clone();
    of_families.retain(|name, _| state.enough.iter().all(|family| family.name() != name));
    let mut batch = data::family_rows(&of_families, &mut stream(recipe.seed, "sft rows", state.step));
    if let Some(rows) = rows {
        batch.extend(data::file_rows(rows, sft.file_rows, state.step, recipe.seed));
    }
    batch
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::TINY_CPU;

    /// Weights of 1e18 are numbers, and no logit of theirs is.
    #[test]
    fn a_policy_whose_loss_is_no_number_stops_and_leaves_the_checkpoint() {
        let dir = tempfile::tempdir().unwrap();
        let tune = |initializer_range: f32, steps: u64, state: State| {
            let text = format!(
                "seed = 1\n[model]\nhidden_size = 32\nintermediate_size = 48\nnum_hidden_layers = 1\n\
                 num_attention_heads = 2\nnum_key_value_heads = 1\n\
                 [sft]\nrows = {{ arithmetic = 4 }}\nsteps = {steps}\nlearning_rate = 1e-3\nwarmup = 1\n"
            );
            let recipe = Recipe::parse("r.toml", &text).unwrap();
            let mut start = recipe.clone();
            start.model.initializer_range = initializer_range;
            let policy = Policy::create(&start).unwrap();
            let (sft, progress) = (recipe.sft.clone().unwrap(), Progress::quiet());
            let (recipe, sft, out, progress) = (&recipe, &sft, dir.path(), &progress);
            Tuner { recipe, sft, policy, out, state, progress }.run()
        };
        let weights = || std::fs::read(dir.path().join(CHECKPOINT).join("model.safetensors")).unwrap();
        tune(0.02, 2, State::default()).unwrap();
        let before = weights();
        let said = tune(1e18, 9, State { step: 2, ..State::default() }).unwrap_err().to_string();
        assert!(said.contains("in 3 steps on end, the last step 5") && !said.contains('\n'), "{said}");
        assert!(said.contains("sft holds the policy after step 2;"), "{said}");
        assert!(weights() == before, "the checkpoint was written");
    }

    /// Programs are learned in a third of the time sums take: when the sums were middling all programs were right, and
    /// reinforcement learning had nothing to add to them.
    #[test]
    fn a_family_that_is_far_enough_is_left_out() {
        let recipe = Recipe::parse("tiny-cpu.toml", TINY_CPU).unwrap();
        let sft = recipe.sft.clone().unwrap();
        let taught = |enough: &[Family]| {
            let state = State { step: 7, done: false, enough: enough.to_vec() };
            batch(&recipe, &sft, None, &state).len()
        };
        let [sums, programs] = ["arithmetic", "programs"].map(|name| sft.rows[name]);
        assert!(sums > 0 && programs > 0 && sums != programs);
        assert_eq!(taught(&[]), sums + programs);
        assert_eq!(taught(&[Family::Programs]), sums);
        assert_eq!(taught(&[Family::Arithmetic]), programs);
    }
}

//! Supervised fine-tuning: rows of (prompt, completion), cross-entropy on the completion's tokens.

use std::path::Path;

use assay_testsets::Problem;
use serde::{Deserialize, Serialize};

use crate::data::{self, Row, stream};
use crate::interrupt::interrupted;
use crate::policy::{Policy, Sampling};
use crate::progress::Progress;
use crate::recipe::{Recipe, Sft};
use crate::tasks::{Family, Split};
use crate::train::TrainError;

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
        let rows = self.sft.file.as_deref().map(data::read_rows).transpose()?;
        let bar = self.progress.stage("sft", self.sft.steps, self.state.step);
        let (mut loss, mut accuracy) = (0.0, String::new());
        while !self.state.done {
            if interrupted() {
                self.save()?;
                return Err(TrainError::Interrupted {
                    step: self.state.step,
                    command: "sft",
                    out: self.out.to_owned(),
                });
            }
            let batch = batch(self.recipe, self.sft, rows.as_deref(), &self.state);
            loss = self.policy.learn(&batch, self.learning_rate(), MAX_GRAD_NORM)?;
            self.state.step += 1;
            if self.looks() {
                let (enough, what) = self.look()?;
                self.state.done = enough.len() == self.sft.until.len();
                self.state.enough = enough;
                accuracy = what;
            }
            self.state.done |= self.state.step >= self.sft.steps;
            bar.advance(1, &format!("loss {loss:.3} {accuracy}"));
            if self.state.step.is_multiple_of(SAVE_EVERY) {
                self.save()?;
            }
        }
        drop(bar);
        self.progress.note(&format!("sft: {} steps, loss {loss:.3} {accuracy}", self.state.step));
        self.save()
    }

    fn learning_rate(&self) -> f64 {
        let done = (self.state.step + 1) as f64 / self.sft.warmup.max(1) as f64;
        self.sft.learning_rate * done.min(1.0)
    }

    fn looks(&self) -> bool {
        !self.sft.until.is_empty() && self.state.step.is_multiple_of(self.sft.check_every)
    }

    /// Greedy exact matches on development problems of each family: which reached their goals, and the figures.
    fn look(&self) -> Result<(Vec<Family>, String), TrainError> {
        let families = Family::ALL.into_iter().filter(|family| self.sft.rows.contains_key(family.name()));
        let figures: Vec<(Family, f64)> = families
            .map(|family| Ok((family, self.exact_matches(family)?)))
            .collect::<Result<_, TrainError>>()?;
        let reached = |(family, matches): &&(Family, f64)| {
            self.sft.until.get(family.name()).is_some_and(|goal| matches >= goal)
        };
        let enough = figures.iter().filter(reached).map(|(family, _)| *family).collect();
        let what: Vec<String> =
            figures.iter().map(|(family, matches)| format!("{family} {matches:.2}")).collect();
        Ok((enough, what.join(" ")))
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

/// The step by which at least `tokens` tokens of completions are taught, counted from the start of step `from` on, all
/// families in each.
pub fn step_after(
    recipe: &Recipe,
    sft: &Sft,
    policy: &Policy,
    from: u64,
    tokens: u64,
) -> Result<u64, TrainError> {
    let rows = sft.file.as_deref().map(data::read_rows).transpose()?;
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

//! Controls: other trainings from a run's own start, which show what it gained from its rewards.

use std::collections::BTreeMap;
use std::fmt;

use assay_testsets::Problem;
use rand::seq::SliceRandom as _;

use crate::data::stream;
use crate::metrics::StepMetrics;
use crate::policy::{Policy, present};
use crate::recipe::{Recipe, Sft};
use crate::reward_client::{Answer, Answered, Ask, Grade, RewardError};
use crate::run::Run;
use crate::sft::{self, Tuner};
use crate::train::{self, TrainError};

/// What is done in place of a run's GRPO.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Control {
    /// The same with rewards shuffled between the rollouts of a step: nothing but noise can be learned from them
    Shuffled,
    /// More of the SFT, as many tokens of completions as the GRPO of DIR learned from
    MoreSft,
}

impl fmt::Display for Control {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Control::Shuffled => "shuffled rewards",
            Control::MoreSft => "more SFT instead",
        })
    }
}

impl Control {
    /// All of them.
    pub const ALL: [Control; 2] = [Control::Shuffled, Control::MoreSft];

    /// What it leaves in the run's directory, the checkpoint first.
    pub fn traces(self) -> &'static [&'static str] {
        match self {
            Control::Shuffled => &["control/rl", "control/metrics.jsonl"],
            Control::MoreSft => &["more-sft/sft"],
        }
    }
}

/// Trains with rewards shuffled, or what is left of it.
///
/// # Errors
/// As a run.
pub fn shuffled(run: &Run<'_>, grader: &impl Grade, resume: bool) -> Result<Policy, TrainError> {
    run.rl(&Shuffled { grader, seed: run.recipe.seed }, &run.out.join("control"), resume)
}

/// Tokens of completions that the steps learned from.
fn learned_from(recipe: &Recipe, steps: &[StepMetrics]) -> u64 {
    let rollouts = |line: &StepMetrics| {
        let stage = recipe.rl.iter().find(|stage| stage.name == line.stage);
        line.sampled_prompts as usize * stage.map_or(0, |stage| stage.rollouts)
    };
    steps.iter().map(|line| (rollouts(line) as f64 * line.completion_length_mean).round() as u64).sum()
}

/// The SFT that the run began from, gone on with, or as far as it got, for as many tokens as its GRPO learned from.
///
/// # Errors
/// As a run; or there is no GRPO in the directory whose tokens could be counted.
pub fn more_sft(run: &Run<'_>) -> Result<Policy, TrainError> {
    let Run { recipe, progress, .. } = run;
    let out = &run.out.join("more-sft");
    let tokens = learned_from(recipe, &train::steps(run.out)?);
    let (policy, start) = Policy::load_with::<sft::State>(&run.out.join(sft::CHECKPOINT), recipe)?;
    let steps = sft::step_after(recipe, run.sft_part()?, &policy, start.step, tokens)?;
    let part = Sft { until: BTreeMap::new(), steps, ..run.sft_part()?.clone() };
    let cut = out.join(sft::CHECKPOINT);
    let (policy, state) = match present(&cut) {
        true => Policy::load_with(&cut, recipe)?,
        false => (policy, sft::State { step: start.step, ..sft::State::default() }),
    };
    std::fs::create_dir_all(out).map_err(|source| TrainError::File { path: out.clone(), source })?;
    let mut tuner = Tuner { recipe, sft: &part, policy, out, state, progress };
    tuner.run()?;
    Ok(tuner.policy)
}

/// Rewards dealt out at random among the rollouts of a batch.
struct Shuffled<'a, G: Grade> {
    grader: &'a G,
    /// Of the recipe.
    seed: u64,
}

impl<G: Grade> Grade for Shuffled<'_, G> {
    /// Nothing is learned from these: they are as they are.
    fn grade(&self, asks: &[Ask<'_>]) -> Result<Vec<Answer>, RewardError> {
        self.grader.grade(asks)
    }

    fn grade_while<T, E: From<RewardError>>(
        &self,
        problems: &[&Problem],
        write: impl FnOnce(&mut dyn FnMut(usize, &str)) -> Result<T, E>,
    ) -> Result<(T, Answered), E> {
        let mut asked = vec![String::new(); problems.len()];
        let (written, mut answered) = self.grader.grade_while(problems, |say| {
            write(&mut |index, completion| {
                completion.clone_into(&mut asked[index]);
                say(index, completion);
            })
        })?;
        // A function of what was asked, so that a resumed control repeats itself too.
        let mut draws = stream(self.seed, &asked.concat(), problems.len() as u64);
        answered.answers.shuffle(&mut draws);
        Ok((written, answered))
    }
}

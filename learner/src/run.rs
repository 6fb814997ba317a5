//! A run: a recipe and a directory. What the commands have in common.
//!
//! The directory holds `recipe.toml`, the checkpoints `sft` and `rl` (each readable as an HF checkpoint),
//! `metrics.jsonl`, and after a quickstart the report.

use std::path::{Path, PathBuf};

use assay_testsets::Problem;
use assay_verifier::VerifierProcess;

use crate::data::Sources;
use crate::eval::{Evaluation, evaluate};
use crate::policy::Policy;
use crate::progress::Progress;
use crate::recipe::Recipe;
use crate::reward_client::{Answer, Ask, Grade, RewardClient, RewardError};
use crate::sft::{self, Tuner};
use crate::tasks::Split;
use crate::train::{self, State, TrainError, Trainer};

/// A run that is set up.
#[derive(Debug)]
pub struct Run<'a> {
    /// What is done.
    pub recipe: Recipe,
    /// Where prompts come from.
    pub sources: Sources,
    /// Where files go.
    pub out: &'a Path,
    /// Who is told.
    pub progress: Progress,
}

/// A client of the recipe's verifiers, or of one of our own, which ends with it.
#[derive(Debug)]
pub struct Rewarder {
    client: RewardClient,
    _process: Option<VerifierProcess>,
}

impl Grade for Rewarder {
    fn grade(&self, asks: &[Ask<'_>]) -> Result<Vec<Answer>, RewardError> {
        self.client.grade(asks)
    }
}

/// The copy of the recipe in a run's directory.
pub const RECIPE: &str = "recipe.toml";

impl<'a> Run<'a> {
    /// Loads the data, makes the directory and leaves a copy of the recipe in it.
    pub fn start(recipe: Recipe, out: &'a Path, progress: Progress) -> Result<Run<'a>, TrainError> {
        let sources = Sources::load(&recipe.problems)?;
        let failed = |path: PathBuf| move |source| TrainError::File { path, source };
        std::fs::create_dir_all(out).map_err(failed(out.to_owned()))?;
        let copy = out.join(RECIPE);
        let text =
            toml::to_string(&recipe).map_err(|error| failed(copy.clone())(std::io::Error::other(error)))?;
        std::fs::write(&copy, text).map_err(failed(copy))?;
        Ok(Run { recipe, sources, out, progress })
    }

    /// Who gives rewards: the recipe's verifiers, or this program started again as one, on loopback.
    pub fn rewarder(&self) -> Result<Rewarder, TrainError> {
        let mut rewards = self.recipe.rewards.clone();
        let process = match rewards.urls.is_empty() {
            true => Some(assay_verifier::spawn_verifier(0).map_err(TrainError::Verifier)?),
            false => None,
        };
        rewards.urls.extend(process.iter().map(|process| process.base_url.clone()));
        Ok(Rewarder { client: RewardClient::new(rewards)?, _process: process })
    }

    /// Supervised fine-tuning; returns the policy and its steps.
    pub fn sft(&self, resume: bool) -> Result<(Policy, u64), TrainError> {
        let Some(sft) = &self.recipe.sft else {
            return Err(TrainError::Recipe("the recipe has no [sft] part".to_owned()));
        };
        let (mut policy, state) = match resume {
            true => Policy::load_with(&self.out.join(sft::CHECKPOINT))?,
            false => (Policy::create(&self.recipe.model, self.recipe.seed)?, sft::State::default()),
        };
        policy.tune(&self.recipe.adamw);
        let (recipe, out, progress) = (&self.recipe, self.out, &self.progress);
        let mut tuner = Tuner { recipe, sft, policy, out, state, progress };
        tuner.run()?;
        Ok((tuner.policy, tuner.state.step))
    }

    /// Reinforcement learning in `out`, from this run's SFT policy (or the recipe's model) or from where it was cut.
    pub fn rl(&self, grader: &impl Grade, out: &Path, resume: bool) -> Result<Policy, TrainError> {
        let checkpoint = out.join(train::CHECKPOINT);
        let (mut policy, state) = match resume {
            true => Policy::load_with(&checkpoint)?,
            false => (self.start_policy()?, State::default()),
        };
        std::fs::create_dir_all(out).map_err(|source| TrainError::File { path: out.to_owned(), source })?;
        policy.tune(&self.recipe.adamw);
        let (recipe, sources, progress) = (&self.recipe, &self.sources, &self.progress);
        let mut trainer = Trainer { recipe, sources, policy, grader, out, state, progress };
        trainer.run()?;
        Ok(trainer.policy)
    }

    /// The policy that reinforcement learning starts from.
    pub fn start_policy(&self) -> Result<Policy, TrainError> {
        let sft = self.out.join(sft::CHECKPOINT);
        if self.recipe.sft.is_none() {
            return Ok(Policy::create(&self.recipe.model, self.recipe.seed)?);
        }
        if !sft.exists() {
            let what = format!(
                "there is no {}; run `assay-train sft` with this recipe and --out first",
                sft.display()
            );
            return Err(TrainError::Recipe(what));
        }
        Ok(Policy::load(&sft)?)
    }

    /// The policy of a checkpoint of this run.
    pub fn policy(&self, checkpoint: &str) -> Result<Policy, TrainError> {
        Ok(Policy::load(&self.out.join(checkpoint))?)
    }

    /// The furthest policy of this run: after RL, else after SFT, else the recipe's.
    pub fn latest_policy(&self) -> Result<(Policy, &'static str), TrainError> {
        for name in [train::CHECKPOINT, sft::CHECKPOINT] {
            if self.out.join(name).exists() {
                return Ok((self.policy(name)?, name));
            }
        }
        Ok((Policy::create(&self.recipe.model, self.recipe.seed)?, "model"))
    }

    /// Accuracy on the recipe's held-out problems.
    pub fn evaluate(&self, policy: &Policy, grader: &impl Grade) -> Result<Evaluation, TrainError> {
        evaluate(policy, &self.held_out(), &self.recipe.eval, self.recipe.seed, grader)
    }

    /// The recipe's held-out problems.
    pub fn held_out(&self) -> Vec<Problem> {
        self.sources.fixed(&self.recipe.eval.problems, Split::HeldOut, self.recipe.seed)
    }
}

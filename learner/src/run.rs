//! A run: a recipe and a directory. What the commands have in common.
//!
//! The directory holds `recipe.toml`, the checkpoints `sft` and `rl` (each readable as an HF checkpoint),
//! `metrics.jsonl`, and after a quickstart the report.

pub mod live;
mod named;

use std::path::Path;

use assay_testsets::Problem;
use assay_verifier::{VerifierConfig, VerifierProcess};

use crate::checkpoint::replace;
use crate::cores::Apart;
use crate::cuda;
use crate::data::Sources;
use crate::eval::{Evaluation, evaluate};
use crate::launcher;
use crate::policy::{Policy, present, state};
use crate::progress::Progress;
use crate::recipe::{Recipe, Sft};
use crate::reward_client::{Answer, Answered, Ask, Grade, RewardClient, RewardError};
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
    cores: Apart,
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

    fn grade_while<T, E: From<RewardError>>(
        &self,
        problems: &[&Problem],
        write: impl FnOnce(&mut dyn FnMut(usize, &str)) -> Result<T, E>,
    ) -> Result<(T, Answered), E> {
        self.client.grade_while(problems, write)
    }
}

/// What a run leaves in its directory, by which it is known.
pub const TRACES: [&str; 3] = [train::CHECKPOINT, sft::CHECKPOINT, train::METRICS];

/// The copy of the recipe in a run's directory.
pub const RECIPE: &str = "recipe.toml";

impl<'a> Run<'a> {
    /// Goes to the trainer's cores and loads the data. Nothing is written before [`Run::open`].
    pub fn start(recipe: Recipe, out: &'a Path, progress: Progress) -> Result<Run<'a>, TrainError> {
        let cores = recipe.cores.settle().map_err(TrainError::Recipe)?;
        let sources = Sources::load(&recipe)?;
        Ok(Run { recipe, sources, out, progress, cores })
    }

    /// Makes the directory this recipe's, before anything is spent on it: a run that starts must not replace one
    /// of which `traces` are there, a run that goes on must find one of `traces`.
    pub fn open(&self, resume: bool, traces: &[&str]) -> Result<(), TrainError> {
        // The optimizer would say it at its first update, after a whole step was sampled and graded.
        if let Some(what) = self.recipe.adamw.moments.mistake(cuda::in_use()) {
            return Err(TrainError::Recipe(what.to_owned()));
        }
        let out = self.out.display();
        match (resume, traces.iter().find(|name| present(&self.out.join(name)))) {
            (false, Some(name)) => Err(TrainError::Recipe(format!(
                "{out} holds an earlier run ({name}); add --resume to go on with it, or choose another --out"
            ))),
            (true, None) => Err(TrainError::Recipe(format!(
                "{out} holds nothing to go on from (no {}); leave out --resume to start, or check --out",
                traces.join(", no ")
            ))),
            _ => self.claim(),
        }
    }

    /// A directory holds one recipe's run; its copy of the recipe says whose.
    fn claim(&self) -> Result<(), TrainError> {
        let copy = self.out.join(RECIPE);
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| TrainError::File { path, source }
        };
        let written = |recipe: &Recipe| {
            toml::to_string(recipe).map_err(|error| failed(&copy)(std::io::Error::other(error)))
        };
        if copy.exists() {
            let there = Recipe::load(&copy)?;
            // Someone's own file may have comments: it is not written without need.
            if there == self.recipe {
                return Ok(());
            }
            // The copy of a run that left nothing else says nothing.
            let bare = !TRACES.iter().any(|name| present(&self.out.join(name)));
            let ours = std::fs::read_to_string(&copy).map_err(failed(&copy))? == written(&there)?;
            if let Some(what) = self.recipe.difference(&there).filter(|_| !(bare && ours)) {
                return Err(TrainError::Recipe(format!(
                    "the recipe is not that of {}: {what}; set it back or choose another --out",
                    copy.display()
                )));
            }
        }
        std::fs::create_dir_all(self.out).map_err(failed(self.out))?;
        Ok(replace(&copy, written(&self.recipe)?.as_bytes())?)
    }

    /// Who gives rewards: the recipe's verifiers, or this program started again as one, on loopback.
    pub fn rewarder(&self) -> Result<Rewarder, TrainError> {
        let mut rewards = self.recipe.rewards.clone();
        let process = match rewards.urls.is_empty() {
            true => {
                let slots = self.recipe.memory.judges(self.cores.judges());
                let config =
                    VerifierConfig { program: launcher::verifier(), slots, ..VerifierConfig::default() };
                let start = || VerifierProcess::start(&config).map_err(TrainError::Verifier);
                Some(self.cores.as_verifier(start).map_err(TrainError::Recipe)??)
            }
            false => None,
        };
        rewards.urls.extend(process.iter().map(|process| process.base_url.clone()));
        Ok(Rewarder { client: RewardClient::new(rewards)?, _process: process })
    }

    /// The recipe's SFT, for those who cannot do without.
    pub fn sft_part(&self) -> Result<&Sft, TrainError> {
        let none =
            || TrainError::Recipe("the recipe has no [sft]; add one, or use `assay-train rl`".to_owned());
        self.recipe.sft.as_ref().ok_or_else(none)
    }

    /// Supervised fine-tuning; returns the policy and its steps.
    pub fn sft(&self, resume: bool) -> Result<(Policy, u64), TrainError> {
        let sft = self.sft_part()?;
        let (policy, state) = match resume {
            true => Policy::load_with(&self.out.join(sft::CHECKPOINT), &self.recipe)?,
            false => (Policy::create(&self.recipe)?, sft::State::default()),
        };
        self.fits(&policy)?;
        let (recipe, out, progress) = (&self.recipe, self.out, &self.progress);
        let mut tuner = Tuner { recipe, sft, policy, out, state, progress };
        tuner.run()?;
        Ok((tuner.policy, tuner.state.step))
    }

    /// Sees to the SFT that reinforcement learning starts from: it is done, or it is gone on with, or it is run.
    pub fn sft_before_rl(&self, resume: bool) -> Result<(), TrainError> {
        let checkpoint = self.out.join(sft::CHECKPOINT);
        if self.recipe.sft.is_none() || present(&self.out.join(train::CHECKPOINT)) {
            return Ok(());
        }
        if !present(&checkpoint) {
            return self.sft(false).map(drop);
        }
        match (state::<sft::State>(&checkpoint)?.done, resume) {
            (true, _) => Ok(()),
            (false, true) => self.sft(true).map(drop),
            (false, false) => Err(TrainError::Recipe(format!(
                "{} is an SFT that was cut; add --resume to go on with it",
                checkpoint.display()
            ))),
        }
    }

    /// Reinforcement learning in `out`, from this run's SFT policy (or the recipe's model) or, to resume, from where
    /// it was cut if it got that far.
    pub fn rl(&self, grader: &impl Grade, out: &Path, resume: bool) -> Result<Policy, TrainError> {
        let checkpoint = out.join(train::CHECKPOINT);
        let (mut policy, state) = match resume && present(&checkpoint) {
            true => Policy::load_with(&checkpoint, &self.recipe)?,
            false => (self.start_policy()?, State::default()),
        };
        self.fits(&policy)?;
        std::fs::create_dir_all(out).map_err(|source| TrainError::File { path: out.to_owned(), source })?;
        if self.recipe.rl.iter().any(|stage| stage.loss.kl.coefficient > 0.0) {
            let sft = self.recipe.sft.as_ref().map(|_| self.out.join(sft::CHECKPOINT));
            policy.refer_to_start(&self.recipe, sft.as_deref())?;
        }
        let (recipe, sources, progress) = (&self.recipe, &self.sources, &self.progress);
        let mut trainer = Trainer { recipe, sources, policy, grader, out, state, progress };
        trainer.run()?;
        Ok(trainer.policy)
    }

    /// The policy that reinforcement learning starts from.
    pub fn start_policy(&self) -> Result<Policy, TrainError> {
        match self.recipe.sft {
            None => Ok(Policy::create(&self.recipe)?),
            Some(_) => self.policy(sft::CHECKPOINT),
        }
    }

    /// The policy of a checkpoint of this run.
    pub fn policy(&self, checkpoint: &str) -> Result<Policy, TrainError> {
        Ok(Policy::load(&self.out.join(checkpoint), &self.recipe)?)
    }

    /// The furthest policy of this run: after RL, else after SFT, else the one the recipe loads. Random weights are
    /// no one's policy.
    pub fn latest_policy(&self) -> Result<(Policy, &'static str), TrainError> {
        let trained =
            [train::CHECKPOINT, sft::CHECKPOINT].into_iter().find(|name| present(&self.out.join(name)));
        let (policy, name) = match trained {
            Some(name) => (self.policy(name)?, name),
            None if self.recipe.model.load.is_some() => (Policy::create(&self.recipe)?, "model"),
            None => {
                let out = self.out.display();
                let what = format!(
                    "{out} holds no checkpoint (no rl, no sft); train first with `assay-train rl`, or check --out"
                );
                return Err(TrainError::Recipe(what));
            }
        };
        self.fits(&policy)?;
        Ok((policy, name))
    }

    /// Whether what the recipe asks for, and each prompt of its files, fits into the context of a policy that was loaded.
    fn fits(&self, policy: &Policy) -> Result<(), TrainError> {
        if let Some(what) = self.recipe.too_long(policy.context()) {
            return Err(TrainError::Recipe(what));
        }
        Ok(self.sources.fit(&self.recipe, policy, &self.progress)?)
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

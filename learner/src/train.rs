//! The loop: prompts -> rollouts -> rewards -> advantages -> update -> temperature -> checkpoint.
//!
//! It is the only place where state goes round. The state is small and whole: the policy, its optimizer, and
//! [`State`]. All randomness follows from (seed, purpose, step), see `data.rs`. So a run cut between two
//! checkpoints repeats the steps it lost, bit for bit, timings aside.
//!
//! A step cut short (by a signal, or because no rewards came) leaves the state as the step before left it:
//! only the update, which comes last, changes anything.

mod collect;
pub mod dump;
mod ending;
mod log;
pub(crate) mod skips;

use std::path::{Path, PathBuf};
use std::time::Instant;

use rand::seq::SliceRandom as _;
use serde::{Deserialize, Serialize};

use self::dump::Dumped;
use self::ending::Seen;
pub use self::ending::Until;
use self::log::Log;
use self::skips::Skips;
use crate::data::{DataError, Drawn, Solved, Sources, stream};
use crate::diagnosis::Watch;
use crate::error::{EngineError, reason};
use crate::eval::evaluate;
use crate::grpo::{self, Item};
use crate::interrupt::interrupted;
use crate::metrics::{self, HeldOutAccuracy, StepMetrics};
use crate::policy::{self, Objective, Policy, Sampling};
use crate::progress::Progress;
use crate::recipe::{Recipe, RecipeError, Stage};
use crate::reward_client::{Grade, RewardError};
use crate::rollout::{Group, Rollout};
use crate::tasks::Split;
use crate::temperature::{self, Calibrated, Drift, Measured, Mode, Unreachable};

/// Where a run stands, beside the policy and its optimizer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Steps done over all stages.
    pub step: u64,
    /// Index of the stage under way.
    pub stage: usize,
    /// Steps done of it.
    pub stage_step: u64,
    /// Its sampling temperature, once calibrated.
    pub temperature: Option<f64>,
    /// How it was calibrated, until the stage's first step says so.
    #[serde(default)]
    pub calibration: Option<Calibrated>,
    /// The last step whose held-out accuracy was measured.
    #[serde(default)]
    pub evaluated: Option<u64>,
    /// The step with the best.
    #[serde(default)]
    pub best: Option<Best>,
    /// Prompts drawn of each file: the next step's follow on them.
    #[serde(default, skip_serializing_if = "Drawn::is_empty")]
    pub drawn: Drawn,
    /// Problems that the stage under way leaves out from now on.
    #[serde(default, skip_serializing_if = "Solved::is_empty")]
    pub solved: Solved,
}

/// The best policy of a run by its held-out accuracy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// The step after which it was measured.
    pub step: u64,
    /// The share of problems solved.
    pub accuracy: f64,
}

/// Why training stopped.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A signal; a checkpoint was written.
    #[error("interrupted after step {step}; go on with `{again}`", again = again(command, out))]
    Interrupted {
        /// The last step done.
        step: u64,
        /// What goes on: `sft`, `rl`, or `quickstart`, which has a recipe of its own.
        command: &'static str,
        /// The run's directory.
        out: PathBuf,
    },
    /// The policy, its optimizer or their files.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The verifier refused.
    #[error(transparent)]
    Reward(#[from] RewardError),
    /// The recipe's file.
    #[error(transparent)]
    RecipeFile(#[from] RecipeError),
    /// No temperature gives the entropy asked for.
    #[error("stage `{stage}`: {source}")]
    Unreachable {
        /// Which stage.
        stage: String,
        /// What was tried.
        source: Unreachable,
    },
    /// Probes never confirmed the temperature.
    #[error(
        "stage `{stage}`: no temperature was confirmed in {probes} probes; the last, {temperature:.3}, gave entropy \
         {entropy:.3}; raise temperature.tolerance or temperature.probe"
    )]
    Unconfirmed {
        /// Which stage.
        stage: String,
        /// How many probes were drawn.
        probes: u32,
        /// The last temperature.
        temperature: f64,
        /// Its entropy on a fresh probe.
        entropy: f64,
    },
    /// The verifier answered nothing for some steps on end.
    #[error("no rollout got a reward in {steps} steps on end; the last reason: {reason}")]
    NoRewards {
        /// How many steps.
        steps: u32,
        /// What the last answer said.
        reason: String,
    },
    /// Updates were skipped for some steps on end.
    #[error(
        "the loss or its gradient was not finite in {steps} steps on end, the last step {step}, so nothing was learned \
         from them; {kept}; begin another run, from that or from the start, with a lower learning_rate, and look for \
         rewards or rows out of all bounds"
    )]
    NotFinite {
        /// How many steps.
        steps: u32,
        /// The last of them.
        step: u64,
        /// Which checkpoint there is.
        kept: String,
    },
    /// Training data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The recipe lacks something, or the run's directory does.
    #[error("{0}")]
    Recipe(String),
    /// Our own verifier did not start.
    #[error("cannot start a verifier: {0}")]
    Verifier(std::io::Error),
    /// A file of the run could not be written or read.
    #[error("{path}: {reason}", path = path.display(), reason = reason(source))]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl TrainError {
    /// A part of `command` was cut, and it is `command` that goes on.
    #[must_use]
    pub fn while_running(self, command: &'static str, out: &Path) -> TrainError {
        match self {
            TrainError::Interrupted { step, .. } => {
                TrainError::Interrupted { step, command, out: out.to_owned() }
            }
            error => error,
        }
    }
}

/// The command line that goes on with a run.
fn again(command: &str, out: &Path) -> String {
    let recipe = match command.starts_with("quickstart") {
        true => String::new(),
        false => format!(" --config {}", out.join(crate::run::RECIPE).display()),
    };
    format!("assay-train {command}{recipe} --out {} --resume", out.display())
}

/// Steps without a single reward after which the run stops: a verifier that is gone does not come back unseen.
const PATIENCE: u32 = 3;
/// Probes drawn before calibration gives up.
const MOST_PROBES: u32 = 8;

/// A run of reinforcement learning.
#[derive(Debug)]
pub struct Trainer<'a, G: Grade> {
    /// What is done.
    pub recipe: &'a Recipe,
    /// Where prompts come from.
    pub sources: &'a Sources,
    /// Who learns.
    pub policy: Policy,
    /// Who says what is right.
    pub grader: &'a G,
    /// Where checkpoints and metrics go.
    pub out: &'a Path,
    /// Where the run stands.
    pub state: State,
    /// Who is told.
    pub progress: &'a Progress,
}

/// The directory of the RL checkpoint in a run's directory.
pub const CHECKPOINT: &str = "rl";
/// The metrics file in a run's directory.
pub const METRICS: &str = "metrics.jsonl";
/// The held-out accuracies in a run's directory, where the recipe's `eval.every` asks for them.
pub const HELD_OUT: &str = "held-out.jsonl";

/// The steps of the run in a directory.
///
/// # Errors
/// There are none, or their file is no such file.
pub fn steps(out: &Path) -> Result<Vec<StepMetrics>, TrainError> {
    let path = out.join(METRICS);
    metrics::read(&path).map_err(|source| TrainError::File { path, source })
}

impl<G: Grade> Trainer<'_, G> {
    /// Runs the stages that are left. Returns when the last step is done and saved.
    pub fn run(&mut self) -> Result<(), TrainError> {
        let mut log = Log::open(self.out, &self.state)?;
        let (mut watch, mut seen) = (Watch::default(), Seen::default());
        let mut tokens = 0;
        let mut skips = Skips::default();
        for line in log.steps()? {
            watch.see(&line);
            seen.step(&line);
            skips.step(line.skipped_updates);
            tokens = line.num_tokens;
        }
        log.looks()?.iter().for_each(|line| seen.look(line));
        self.mend_best()?;
        self.look(false, &mut log, &mut seen)?;
        let mut unrewarded = 0;
        while let Some(stage) = self.recipe.rl.get(self.state.stage) {
            let bar = self.progress.stage(&stage.name, stage.steps, self.state.stage_step);
            while !self.has_enough(stage, &seen) {
                match self.guarded_step(stage)? {
                    Done::Step(mut line, dumped) => {
                        unrewarded = 0;
                        tokens += line.num_tokens;
                        line.num_tokens = tokens;
                        line.diagnosis = watch.see(&line);
                        seen.step(&line);
                        log.step(&line)?;
                        log.rollouts(line.step, &dumped, self.recipe.dump.steps)?;
                        bar.step(&line);
                        self.warn_of(stage, &line);
                        skips.step(line.skipped_updates);
                        skips.check(line.step, &self.out.join(CHECKPOINT))?;
                    }
                    Done::NoRewards(reason) => {
                        unrewarded += 1;
                        if unrewarded == PATIENCE {
                            self.save()?;
                            return Err(TrainError::NoRewards { steps: unrewarded, reason });
                        }
                        self.progress.warn(&format!("a step without any reward is drawn again: {reason}"));
                    }
                }
                let is_best = self.look(false, &mut log, &mut seen)?;
                let due = self.state.stage_step.is_multiple_of(stage.save_every) && skips.may_save();
                if is_best || due {
                    self.save()?;
                }
            }
            drop(bar);
            let State { step, stage, evaluated, best, drawn, .. } = std::mem::take(&mut self.state);
            self.state = State { step, stage: stage + 1, evaluated, best, drawn, ..State::default() };
        }
        self.look(true, &mut log, &mut seen)?;
        self.save()
    }

    /// Whether a stage ends here, by its steps or by a rule.
    fn has_enough(&self, stage: &Stage, seen: &Seen) -> bool {
        let State { step, stage_step, .. } = self.state;
        if stage_step >= stage.steps {
            return true;
        }
        let solved = stage.drop_solved && self.sources.are_solved(&stage.prompts, &self.state.solved);
        let why = match solved {
            true => Some("every problem of its files is solved".to_owned()),
            false => seen.enough(&stage.name, step - stage_step, &stage.until),
        };
        if let Some(why) = &why {
            self.progress.note(&format!("stage {} ends after {stage_step} steps: {why}", stage.name));
        }
        why.is_some()
    }

    /// Measures held-out accuracy where that is due, as it is at the end of the run; whether it is the best so far.
    fn look(&mut self, at_end: bool, log: &mut Log, seen: &mut Seen) -> Result<bool, TrainError> {
        let (step, eval) = (self.state.step, &self.recipe.eval);
        let due = eval.every > 0 && (at_end || step.is_multiple_of(eval.every));
        if !due || self.state.evaluated == Some(step) {
            return Ok(false);
        }
        let problems = self.sources.fixed(&eval.problems, Split::HeldOut, self.recipe.seed);
        let found = evaluate(&self.policy, &problems, eval, self.recipe.seed, self.grader)?;
        if interrupted() {
            // The verifier got the signal too; the figures may be of some of the problems.
            self.save()?;
            return Err(self.stopped());
        }
        self.state.evaluated = Some(step);
        let accuracy = found.strict.accuracy("");
        if accuracy.n == 0 {
            self.progress.warn(&format!("step {step}: no held-out problem could be graded"));
            return Ok(false);
        }
        let of_source = |name: &String| (name.clone(), found.strict.accuracy(&format!("{name}/")));
        let sources = eval.problems.keys().map(of_source).collect();
        let lenient = found.lenient.accuracy("");
        let line = HeldOutAccuracy { step, accuracy, lenient: (lenient.n > 0).then_some(lenient), sources };
        seen.look(&line);
        log.held_out(&line)?;
        // The start is where the run came from, not what it made.
        let is_best = step > 0 && self.state.best.is_none_or(|best| accuracy.mean > best.accuracy);
        if is_best {
            self.state.best = Some(Best { step, accuracy: accuracy.mean });
        }
        let best = if is_best { ", the best so far" } else { "" };
        let (mean, low, high, n) = (accuracy.mean, accuracy.low, accuracy.high, accuracy.n);
        self.progress.note(&format!(
            "step {step}: held-out accuracy {mean:.3} ({low:.3} .. {high:.3}, n = {n}){best}"
        ));
        Ok(is_best)
    }

    /// A step, or the checkpoint that an interrupted one leaves.
    fn guarded_step(&mut self, stage: &Stage) -> Result<Done, TrainError> {
        let done = if interrupted() { Err(self.stopped()) } else { self.step(stage) };
        if interrupted() && !matches!(done, Ok(Done::Step(..))) {
            self.save()?;
            return Err(self.stopped());
        }
        done
    }

    fn stopped(&self) -> TrainError {
        TrainError::Interrupted { step: self.state.step, command: "rl", out: self.out.to_owned() }
    }

    /// One batch of rollouts and one update.
    fn step(&mut self, stage: &Stage) -> Result<Done, TrainError> {
        let step = self.state.step + 1;
        let temperature = match self.state.temperature {
            Some(temperature) => temperature,
            None => self.start_temperature(stage)?,
        };
        self.state.temperature = Some(temperature);

        let all = self.collect(stage, temperature, step)?;
        let started = Instant::now();
        if all.groups.iter().all(|group| group.rollouts().is_empty()) {
            return Ok(Done::NoRewards(all.reason));
        }
        let useful = all.useful(stage);
        let learning_rate = stage.learning_rate;
        let updated =
            self.policy.update(&self.items(&useful, stage, step), &objective(stage, temperature))?;
        self.state.step = step;
        self.state.stage_step += 1;
        self.state.drawn.clone_from(&all.drawn);
        if stage.drop_solved {
            let solved = all.groups.iter().filter(|group| group.is_solved());
            self.state.solved.extend(solved.map(|group| group.rollouts()[0].question_id.clone()));
        }
        match updated.skipped {
            Some(skipped) => self.progress.warn(&format!("stage {} step {step}: {skipped}", stage.name)),
            // What was measured where a loss is no number is nothing to steer by.
            None => {
                let measured = Measured { entropy: updated.entropy, variance: updated.variance };
                self.state.temperature = Some(stage.temperature.after_step(temperature, measured));
            }
        }

        let rewards: Vec<f64> = all.groups.iter().flat_map(|group| group.rewards().to_vec()).collect();
        let (reward_mean, reward_std) = grpo::mean_std(&rewards);
        let seconds_update = started.elapsed().as_secs_f64();
        let line = Box::new(StepMetrics {
            step,
            stage: stage.name.clone(),
            reward_mean,
            reward_std,
            entropy: updated.entropy,
            temperature,
            completion_length_mean: all.completion_length_mean(),
            truncated_fraction: all.truncated_fraction(),
            zero_std_fraction: all.groups.iter().filter(|group| group.is_zero_std()).count() as f64
                / all.groups.len() as f64,
            infra_error_fraction: all.infra_error_fraction(),
            grad_norm: updated.grad_norm,
            learning_rate,
            logprob_gap: updated.gap.mean(),
            seconds_rollout: all.seconds_rollout,
            seconds_reward: all.seconds_reward,
            seconds_update,
            loss: updated.figures.loss,
            clip_ratio_low: updated.figures.share(updated.figures.clipped_low),
            clip_ratio_high: updated.figures.share(updated.figures.clipped_high),
            kl: updated.figures.kl / updated.figures.tokens.max(1) as f64,
            mismatch_kl: updated.gap.kl(),
            mismatch_max: updated.gap.greatest(),
            corrected_fraction: updated.figures.share(updated.figures.corrected),
            unreadable_fraction: all.unreadable_fraction(),
            diagnosis: Vec::new(),
            sampled_prompts: all.groups.len() as u64,
            calibration: self.state.calibration.take(),
            unsupported_fraction: all.unsupported_fraction(),
            completion_length_min: all.completion_length_min(),
            completion_length_max: all.completion_length_max(),
            completion_length_terminated_mean: all.completion_length_terminated_mean(),
            // Of this step; those before are added where the run is known.
            num_tokens: all.tokens(),
            tokens_per_second: all.tokens() as f64
                / (all.seconds_rollout + all.seconds_reward + seconds_update),
            skipped_updates: updated.skipped.map_or(0, |skipped| skipped.updates),
            reward_latency_p50_seconds: all.reward_latency(0.5),
            reward_latency_p95_seconds: all.reward_latency(0.95),
            reward_latency_max_seconds: all.reward_latency(1.0),
            solved_problems: self.state.solved.len() as u64,
        });
        Ok(Done::Step(line, all.dumped))
    }

    /// The rollouts as the loss takes them. Prompts come source by source; where a step has several updates, each
    /// gets its share of all, so their order is drawn.
    fn items<'g>(&self, groups: &[&'g Group], stage: &Stage, step: u64) -> Vec<Item<'g>> {
        let items = grpo::items(groups, stage);
        if stage.loss.updates == 1 {
            return items;
        }
        let mut order: Vec<usize> = (0..groups.len()).collect();
        order.shuffle(&mut stream(self.recipe.seed, "updates", step));
        let place = |item: &Item<'_>| order.iter().position(|group| *group == item.group);
        let mut items = items;
        items.sort_by_key(place);
        items
    }

    /// The temperature a stage starts with: the recipe's, or one that a fresh probe confirms.
    fn start_temperature(&mut self, stage: &Stage) -> Result<f64, TrainError> {
        let rule = &stage.temperature;
        if rule.mode == Mode::Fixed {
            return Ok(rule.start);
        }
        let calibrated = self.calibrate(stage)?;
        self.progress.note(&format!("stage {}: {calibrated}", stage.name));
        self.state.calibration = Some(calibrated);
        Ok(calibrated.temperature)
    }

    /// Looks for the temperature of a stage: solve on one probe's logits, confirm on the next probe.
    pub fn calibrate(&self, stage: &Stage) -> Result<Calibrated, TrainError> {
        let rule = &stage.temperature;
        let mut temperature = rule.start;
        let mut entropy = 0.0;
        let mut newton_steps = 0;
        for probe in 1..=MOST_PROBES {
            let rollouts = self.probe(stage, temperature, probe)?;
            let gauge = self.policy.gauge(&rollouts)?;
            entropy = gauge.measure(temperature)?.entropy;
            if rule.confirms(entropy) {
                let entropy_at_1 = gauge.measure(1.0)?.entropy;
                return Ok(Calibrated { temperature, entropy, entropy_at_1, newton_steps, probes: probe });
            }
            let measure = |t| gauge.measure(t).map_err(Solving::Engine);
            let solved =
                temperature::solve(temperature, rule.target, measure).map_err(|error| match error {
                    Solving::Engine(error) => TrainError::Engine(error),
                    Solving::Unreachable(source) => {
                        TrainError::Unreachable { stage: stage.name.clone(), source }
                    }
                })?;
            temperature = solved.temperature;
            newton_steps += solved.steps;
        }
        Err(TrainError::Unconfirmed { stage: stage.name.clone(), probes: MOST_PROBES, temperature, entropy })
    }

    /// Fresh rollouts of the stage's own mix of prompts, one each and no prompt of a file twice; probes of different numbers are independent.
    pub fn probe(&self, stage: &Stage, temperature: f64, probe: u32) -> Result<Vec<Rollout>, EngineError> {
        let at = self.state.step * u64::from(MOST_PROBES) + u64::from(probe);
        let mut rng = stream(self.recipe.seed, "probe prompts", at);
        let (mut hand, mut problems) = (self.sources.hand(self.recipe.seed, &self.state.solved), Vec::new());
        while problems.len() < stage.temperature.probe {
            problems.extend(hand.others(stage.mix(), &mut rng));
        }
        self.policy.sample(&problems, 1, &self.sampling(stage, temperature, "probe", at))
    }

    fn sampling(&self, stage: &Stage, temperature: f64, purpose: &'static str, step: u64) -> Sampling {
        let max_completion_length = stage.max_completion_length;
        Sampling {
            temperature,
            filters: stage.filters(),
            max_completion_length,
            seed: self.recipe.seed,
            purpose,
            step,
            ..Sampling::default()
        }
    }

    /// Says what a person should look at, once per kind.
    fn warn_of(&self, stage: &Stage, line: &StepMetrics) {
        let at = format!("stage {} step {}", stage.name, line.step);
        if let Some(drift) = stage.temperature.drift(line.entropy) {
            let side = match drift {
                Drift::Low => "below",
                Drift::High => "above",
            };
            let [low, high] = stage.temperature.alarm_band;
            let what = format!("{at}: entropy {:.3} is {side} the band {low}..{high}", line.entropy);
            self.progress.warn_once("drift", &what);
        }
        for finding in &line.diagnosis {
            self.progress.warn_once(&format!("{finding:?}"), &format!("{at}: {}", finding.words(line)));
        }
    }

    fn save(&self) -> Result<(), TrainError> {
        let directory = self.out.join(CHECKPOINT);
        self.policy.save(&directory, &self.state, self.recipe.checkpoints.keep)?;
        self.mend_best()
    }

    /// The checkpoint is also kept as the best if it is; where a run was cut before that, it is done when it goes on.
    fn mend_best(&self) -> Result<(), TrainError> {
        let directory = self.out.join(CHECKPOINT);
        let best = self.state.best.map(|best| best.step);
        if best == Some(self.state.step) && best != policy::step_of(&policy::best(&directory)) {
            policy::keep_best(&directory)?;
        }
        Ok(())
    }
}

/// What a step came to.
enum Done {
    /// Its figures, and some of its rollouts.
    Step(Box<StepMetrics>, Vec<Dumped>),
    /// Nothing was graded, nothing was learned; why.
    NoRewards(String),
}

enum Solving {
    Engine(EngineError),
    Unreachable(Unreachable),
}

impl From<Unreachable> for Solving {
    fn from(error: Unreachable) -> Solving {
        Solving::Unreachable(error)
    }
}

fn objective(stage: &Stage, temperature: f64) -> Objective<'_> {
    Objective {
        loss: &stage.loss,
        max_completion_length: stage.max_completion_length,
        temperature,
        learning_rate: stage.learning_rate,
        max_grad_norm: stage.max_grad_norm,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cut quickstart said to go on with `sft`, which is a part of it.
    #[test]
    fn a_cut_run_names_the_command_that_was_given() {
        let rows = [
            ("sft", "assay-train sft --config d/recipe.toml --out d --resume"),
            ("rl", "assay-train rl --config d/recipe.toml --out d --resume"),
            ("quickstart", "assay-train quickstart --out d --resume"),
            ("quickstart --control", "assay-train quickstart --control --out d --resume"),
        ];
        for (command, line) in rows {
            let cut = TrainError::Interrupted { step: 7, command: "sft", out: "d/control".into() };
            let said = cut.while_running(command, Path::new("d")).to_string();
            assert_eq!(said, format!("interrupted after step 7; go on with `{line}`"));
        }
    }
}

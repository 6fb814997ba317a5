//! The whole path, small: grade bundled solutions, SFT a tiny policy from random weights, calibrate its
//! temperature, train it with rewards over HTTP, and measure on held-out problems what that was worth.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use assay_testsets::{Problem, Task};

use crate::data::stream;
use crate::eval::Scores;
use crate::metrics::{self, StepMetrics};
use crate::policy::{Policy, present};
use crate::recipe::Sft;
use crate::report::{ALL, BundledRow, Control, Files, HeldOut, Report};
use crate::reward_client::{Answer, Ask, Grade, RewardError};
use crate::run::{Run, TRACES};
use crate::sft::{self, Tuner};
use crate::train::{self, TrainError};

/// Bundled code problems graded at the start, all solutions of each.
const BUNDLED_CODE: usize = 6;
/// Bundled math problems graded at the start, with their own gold as the answer.
const BUNDLED_MATH: usize = 24;

/// Where the control with shuffled rewards is, in a run's directory.
pub const CONTROL: &str = "control";
/// Where more of the SFT is.
const MORE_SFT: &str = "more-sft";

const SHUFFLED: &str = "shuffled rewards";
const CONTINUED: &str = "more SFT instead";

/// Runs it all, or what is left of it. The report is written and returned; whether it learned is in it.
pub fn run(run: &Run<'_>, control: bool, resume: bool) -> Result<Report, TrainError> {
    let started = Instant::now();
    run.open(resume, &TRACES)?;
    let grader = run.rewarder()?;
    let bundled = grade_bundled(&grader)?;
    run.progress.note(&bundled_summary(&bundled));

    let (policy, sft_steps) = run.sft(present(&run.out.join(sft::CHECKPOINT)))?;
    let before = run.evaluate(&policy, &grader)?.strict;
    let policy = run.rl(&grader, run.out, resume)?;
    let held_out = compare(run, &before, &run.evaluate(&policy, &grader)?.strict);

    let steps = read_metrics(run.out)?;
    let mut controls = Vec::new();
    if control {
        let of = |policy: &Policy| -> Result<Vec<HeldOut>, TrainError> {
            Ok(compare(run, &before, &run.evaluate(policy, &grader)?.strict))
        };
        run.progress.note("control: from the same SFT policy, with rewards shuffled between rollouts");
        let shuffled = Shuffled { grader: &grader, seed: run.recipe.seed };
        let policy = run.rl(&shuffled, &run.out.join(CONTROL), resume)?;
        controls.push(Control::of(SHUFFLED, of(&policy)?));
        run.progress.note("control: more of the same SFT, as many tokens as GRPO learned from");
        controls.push(Control::of(CONTINUED, of(&more_sft(run, learned_from(run, &steps))?)?));
    }

    let gain_is_real = gain_low(&held_out) > 0.0;
    let is_flat = |control: &Control| control.what != SHUFFLED || gain_low(&control.held_out) <= 0.0;
    let report = Report {
        learned: gain_is_real && controls.iter().all(is_flat),
        seed: run.recipe.seed,
        seconds: started.elapsed().as_secs_f64(),
        sft_steps,
        bundled,
        held_out,
        controls,
        steps,
        files: Files::in_dir(run.out),
    };
    report.write().map_err(|source| TrainError::File { path: report.files.report.clone(), source })?;
    Ok(report)
}

/// Tokens of completions that the steps learned from.
fn learned_from(run: &Run<'_>, steps: &[StepMetrics]) -> u64 {
    let rollouts = |line: &StepMetrics| {
        let stage = run.recipe.rl.iter().find(|stage| stage.name == line.stage);
        line.sampled_prompts as usize * stage.map_or(0, |stage| stage.rollouts)
    };
    steps.iter().map(|line| (rollouts(line) as f64 * line.completion_length_mean).round() as u64).sum()
}

/// The SFT that GRPO began from, gone on with for so many tokens of completions, in a directory of its own.
fn more_sft(run: &Run<'_>, tokens: u64) -> Result<Policy, TrainError> {
    let Run { recipe, progress, .. } = run;
    let (policy, start) = Policy::load_with::<sft::State>(&run.out.join(sft::CHECKPOINT), recipe)?;
    let steps = sft::step_after(recipe, run.sft_part()?, &policy, start.step, tokens)?;
    let part = Sft { until: BTreeMap::new(), steps, ..run.sft_part()?.clone() };
    let out = run.out.join(MORE_SFT);
    let cut = out.join(sft::CHECKPOINT);
    let (policy, state) = match present(&cut) {
        true => Policy::load_with(&cut, recipe)?,
        false => (policy, sft::State { done: false, ..start }),
    };
    std::fs::create_dir_all(&out).map_err(|source| TrainError::File { path: out.clone(), source })?;
    let mut tuner = Tuner { recipe, sft: &part, policy, out: &out, state, progress };
    tuner.run()?;
    Ok(tuner.policy)
}

fn read_metrics(out: &Path) -> Result<Vec<StepMetrics>, TrainError> {
    let path = out.join(train::METRICS);
    metrics::read(&path).map_err(|source| TrainError::File { path, source })
}

fn gain_low(rows: &[HeldOut]) -> f64 {
    rows.iter().find(|row| row.family == ALL).map_or(0.0, |row| row.gain.low)
}

/// One row per source of held-out problems, and one over all.
fn compare(run: &Run<'_>, before: &Scores, after: &Scores) -> Vec<HeldOut> {
    let sources = run.recipe.eval.problems.keys().map(|name| (name.as_str(), format!("{name}/")));
    let rows = sources.chain([(ALL, String::new())]);
    let row = |(family, prefix): (&str, String)| HeldOut {
        family: family.to_owned(),
        before: before.accuracy(&prefix),
        after: after.accuracy(&prefix),
        gain: before.gain(after, &prefix),
    };
    rows.map(row).collect()
}

/// The bundled problems' own solutions and golds through the verifier.
fn grade_bundled(grader: &impl Grade) -> Result<Vec<BundledRow>, RewardError> {
    let bundled = assay_testsets::bundled();
    let code =
        bundled.iter().filter(|bundled| matches!(bundled.problem.task, Task::Code(_))).take(BUNDLED_CODE);
    let math = bundled.iter().filter_map(|bundled| match &bundled.problem.task {
        Task::Math(math) => Some((&bundled.problem, format!("\\boxed{{{}}}", math.ground_truth))),
        Task::Code(_) => None,
    });
    let math: Vec<(&Problem, String)> = math.take(BUNDLED_MATH).collect();
    let mut asks = Vec::new();
    let mut rows = Vec::new();
    let mut row = |problem: &Problem, solution: &str, expected: &str| {
        rows.push(BundledRow {
            question_id: problem.question_id.clone(),
            solution: solution.to_owned(),
            expected: expected.to_owned(),
            verdict: String::new(),
        });
    };
    for bundled in code {
        for solution in &bundled.solutions {
            row(&bundled.problem, solution.name, solution.verdict);
            asks.push(Ask::source(&bundled.problem, solution.source, solution.language));
        }
    }
    for (problem, answer) in &math {
        row(problem, "gold", "accepted");
        asks.push(Ask::completion(problem, answer));
    }
    for (row, answer) in rows.iter_mut().zip(grader.grade(&asks)?) {
        row.verdict = match answer {
            Answer::Graded { verdict, .. } => verdict,
            Answer::Unsupported(reason) => format!("unsupported: {reason}"),
            Answer::InfraError(reason) => format!("infra_error: {reason}"),
        };
    }
    Ok(rows)
}

fn bundled_summary(rows: &[BundledRow]) -> String {
    let right = rows.iter().filter(|row| row.verdict == row.expected).count();
    let mut text =
        format!("verifier: {right} of {} bundled solutions got the verdict they are known for", rows.len());
    for row in rows.iter().filter(|row| row.verdict != row.expected) {
        text += &format!(
            "\n  {} / {}: expected {}, got {}",
            row.question_id, row.solution, row.expected, row.verdict
        );
    }
    text
}

/// The control: the same rewards, dealt out at random among the rollouts of a batch. Nothing can be learned
/// from them but noise.
#[derive(Debug)]
pub struct Shuffled<'a, G: Grade> {
    /// Who grades.
    pub grader: &'a G,
    /// Of the recipe.
    pub seed: u64,
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
    ) -> Result<(T, Vec<Answer>), E> {
        use rand::seq::SliceRandom as _;
        let mut asked = vec![String::new(); problems.len()];
        let (written, mut answers) = self.grader.grade_while(problems, |say| {
            write(&mut |index, completion| {
                completion.clone_into(&mut asked[index]);
                say(index, completion);
            })
        })?;
        // A function of what was asked, so that a resumed control repeats itself too.
        let mut draws = stream(self.seed, &asked.concat(), problems.len() as u64);
        answers.shuffle(&mut draws);
        Ok((written, answers))
    }
}

//! The whole path, small: grade bundled solutions, SFT a tiny policy from random weights, calibrate its
//! temperature, train it with rewards over HTTP, and measure on held-out problems what that was worth.

use std::time::Instant;

use assay_testsets::{Problem, Task};

use crate::control::{self, Control};
use crate::eval::Scores;
use crate::policy::present;
use crate::report::{self, ALL, BundledRow, Files, HeldOut, Other, Report};
use crate::reward_client::{Answer, Ask, Grade, RewardError};
use crate::run::{Run, TRACES};
use crate::sft;
use crate::train::{self, TrainError};

/// Bundled code problems graded at the start, all solutions of each.
const BUNDLED_CODE: usize = 6;
/// Bundled math problems graded at the start, with their own gold as the answer.
const BUNDLED_MATH: usize = 24;

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

    let mut controls = Vec::new();
    for kind in Control::ALL.into_iter().filter(|_| control) {
        run.progress.note(&format!("control: {kind}, from the same SFT policy"));
        let policy = match kind {
            Control::Shuffled => control::shuffled(run, &grader, resume)?,
            Control::MoreSft => control::more_sft(run)?,
        };
        let held_out = compare(run, &before, &run.evaluate(&policy, &grader)?.strict);
        controls.push(Other { what: kind.to_string(), teaches: kind != Control::Shuffled, held_out });
    }

    let failed = report::failures(&held_out, &controls);
    let report = Report {
        learned: failed.is_empty(),
        failed,
        seed: run.recipe.seed,
        seconds: started.elapsed().as_secs_f64(),
        sft_steps,
        bundled,
        held_out,
        controls,
        steps: train::steps(run.out)?,
        files: Files::in_dir(run.out),
    };
    report.write().map_err(|source| TrainError::File { path: report.files.report.clone(), source })?;
    Ok(report)
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

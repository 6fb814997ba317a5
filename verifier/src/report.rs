//! From graded samples to a report: `report.json`, `report.html` and LiveCodeBench's own result files.
//!
//! A sample without a verdict (our failure, or a problem that can't be judged) is left out of every rate and
//! counted apart: it says nothing about the model. Samples are taken one by one into a [`Summary`], which holds counts
//! per problem and a few samples to show, whatever the run's length; `json.rs` and the pages under `html/` are made of
//! it. Writing files is the command's business; here are values and text.

mod compare;
mod errata;
mod histogram;
mod html;
mod json;
mod lcb;
mod summary;

use std::time::Duration;

use assay_testsets::{Problem, Task};
use serde::{Deserialize, Serialize};

use crate::judge::{JudgeError, Judged};
use crate::math::{Gold, MathProfile};
use crate::verdict::Verdict;

pub use compare::{Change, Comparison, Side, compare};
pub use errata::known_fault;
pub use html::html;
pub use json::{Conditions, headline, json, table, warnings};
pub use lcb::{LcbSample, Run, lcb_eval, lcb_eval_all};
pub use summary::Summary;

/// What a report says of a problem beside its verdicts: a line of `problems.jsonl`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The problem.
    pub question_id: String,
    /// As in [`Problem::difficulty`].
    pub difficulty: Option<String>,
    /// As in [`Problem::platform`].
    pub platform: Option<String>,
    /// As in [`Problem::contest_date`].
    pub contest_date: Option<String>,
    /// Math only: what kind of answer the gold is, as [`Gold::kind`] says, or `unreadable`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gold: Option<String>,
}

impl About {
    /// What of a problem a report needs; its tests may be dropped then.
    pub fn of(problem: &Problem) -> About {
        let gold = match &problem.task {
            Task::Code(_) => None,
            Task::Math(task) => Some(
                Gold::parse(&task.ground_truth, &MathProfile::STRICT)
                    .map_or("unreadable", |gold| gold.kind()),
            ),
        };
        About {
            question_id: problem.question_id.clone(),
            difficulty: problem.difficulty.clone(),
            platform: problem.platform.clone(),
            contest_date: problem.contest_date.clone(),
            gold: gold.map(str::to_owned),
        }
    }

    /// The month of the contest, as 2024-08.
    fn month(&self) -> Option<&str> {
        self.contest_date.as_deref()?.get(..7)
    }
}

/// One line of `graded.jsonl`: these keys in this order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Graded {
    /// The problem.
    pub question_id: String,
    /// Which of its samples, from 0.
    pub sample: usize,
    /// `graded`, `unsupported` or `infra_error`.
    pub outcome: Outcome,
    /// The verdict's name where the outcome is `graded`.
    pub verdict: Option<String>,
    /// Tests passed.
    pub passed: usize,
    /// Tests there are.
    pub total: usize,
    /// The part of all points, from 0 to 1, where the problem has subtasks or its checker gives parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
    /// The first failed test, from 0.
    pub failed_test: Option<usize>,
    /// Seconds of CPU time, over the tests that ran.
    pub cpu_time: f64,
    /// Seconds from start to end, over the tests that ran.
    pub wall_time: f64,
}

/// Whether there is a verdict, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// There is one.
    Graded,
    /// The problem cannot be judged.
    Unsupported,
    /// We failed.
    InfraError,
}

/// One line of `details.jsonl`, beside [`Graded`]: what a person looks at when a sample failed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Detail {
    /// The problem.
    pub question_id: String,
    /// Which of its samples, from 0.
    pub sample: usize,
    /// One line on what happened.
    pub reason: String,
    /// How the answer was found.
    pub extraction: Option<String>,
    /// How a math verdict was proven.
    pub proof: Option<String>,
    /// `in_process` where the tests ran in the program's own process.
    #[serde(default)]
    pub trust: Option<String>,
    /// Bytes charged at once, at most.
    pub peak_memory: u64,
    /// Microseconds of CPU time of each test that ran to its end, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub test_cpu_us: Vec<u64>,
    /// Bytes charged at once, at most, in each of these tests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub test_memory: Vec<u64>,
    /// Tests run a second time, alone, because a busy machine may have made the first too slow.
    #[serde(default)]
    pub reruns: usize,
    /// Seconds of CPU time spent compiling.
    pub compile_time: f64,
    /// The failed test's input, expected and actual output, and what went wrong; excerpts.
    pub input: String,
    /// See `input`.
    pub expected: String,
    /// See `input`.
    pub actual: String,
    /// See `input`.
    pub error: String,
    /// Whether the process was killed or ended where it should have answered.
    pub killed: bool,
}

/// Both lines for what came of judging one sample.
pub fn rows(question_id: &str, sample: usize, judged: &Result<Judged, JudgeError>) -> (Graded, Detail) {
    let mut graded = Graded {
        question_id: question_id.to_owned(),
        sample,
        outcome: Outcome::Graded,
        verdict: None,
        passed: 0,
        total: 0,
        score: None,
        failed_test: None,
        cpu_time: 0.0,
        wall_time: 0.0,
    };
    let mut detail = Detail { question_id: question_id.to_owned(), sample, ..Detail::default() };
    match judged {
        Ok(Judged::Graded(judgement)) => {
            graded.verdict = Some(judgement.verdict.name().to_owned());
            graded.passed = judgement.passed;
            graded.total = judgement.total;
            graded.score = judgement.score;
            graded.failed_test = judgement.failed_test;
            graded.cpu_time = judgement.usage.cpu_time.as_secs_f64();
            graded.wall_time = judgement.usage.wall_time.as_secs_f64();
            detail.reason = judgement.reason.clone();
            detail.extraction = judgement.extraction.clone();
            detail.proof = judgement.proof.clone();
            detail.trust = judgement.in_process.then(|| "in_process".to_owned());
            detail.peak_memory = judgement.usage.peak_memory;
            let micros = |cpu_time: Duration| u64::try_from(cpu_time.as_micros()).unwrap_or(u64::MAX);
            detail.test_cpu_us = judgement.tests.iter().map(|usage| micros(usage.cpu_time)).collect();
            detail.test_memory = judgement.tests.iter().map(|usage| usage.peak_memory).collect();
            detail.reruns = judgement.reruns;
            detail.compile_time = judgement.compile_time.as_secs_f64();
            if let Some(failure) = &judgement.failure {
                use assay_sandbox::Termination::{Exited, ForbiddenSyscall, MemoryLimit, Signaled};
                detail.input = failure.input.clone();
                detail.expected = failure.expected.clone();
                detail.actual = failure.actual.clone();
                detail.error = failure.error.clone();
                detail.killed = match failure.termination {
                    Some(Signaled(_) | MemoryLimit | ForbiddenSyscall) => true,
                    Some(Exited(_)) => judgement.verdict == Verdict::NoAnswer,
                    _ => false,
                };
            }
        }
        Ok(Judged::Unsupported { reason }) => {
            graded.outcome = Outcome::Unsupported;
            detail.reason = reason.clone();
        }
        Err(error) => {
            graded.outcome = Outcome::InfraError;
            detail.reason = error.to_string();
        }
    }
    (graded, detail)
}

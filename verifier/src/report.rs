//! From graded samples to a report: `report.json`, `report.html` and LiveCodeBench's own result files.
//!
//! A sample without a verdict (our failure, or a problem that can't be judged) is left out of every rate and
//! counted apart: it says nothing about the model. Writing files is the command's business; here are values
//! and text.

mod compare;
mod html;
mod lcb;

use std::collections::BTreeMap;

use assay_testsets::Problem;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::judge::{JudgeError, Judged};
use crate::metrics::{Estimate, REPORTED_K, Tried, estimate, mean_pass_at_k};
use crate::verdict::Verdict;

pub use compare::{Change, Comparison, compare};
pub use html::html;
pub use lcb::{LcbSample, lcb_eval, lcb_eval_all};

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
            graded.failed_test = judgement.failed_test;
            graded.cpu_time = judgement.usage.cpu_time.as_secs_f64();
            graded.wall_time = judgement.usage.wall_time.as_secs_f64();
            detail.reason = judgement.reason.clone();
            detail.extraction = judgement.extraction.clone();
            detail.proof = judgement.proof.clone();
            detail.trust = judgement.in_process.then(|| "in_process".to_owned());
            detail.peak_memory = judgement.usage.peak_memory;
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

/// Everything a report is made of.
#[derive(Debug)]
pub struct Run<'a> {
    /// The problems, in file order.
    pub problems: &'a [Problem],
    /// The samples' rows, in any order.
    pub graded: &'a [Graded],
    /// The rows beside them.
    pub details: &'a [Detail],
    /// What [`crate::provenance::record`] says.
    pub provenance: &'a Value,
}

impl Run<'_> {
    /// Samples with a verdict, by problem; problems without any are left out.
    fn tried(&self) -> BTreeMap<&str, Tried> {
        let mut tried: BTreeMap<&str, Tried> = BTreeMap::new();
        for row in self.graded.iter().filter(|row| row.outcome == Outcome::Graded) {
            let counts = tried.entry(&row.question_id).or_insert(Tried { samples: 0, accepted: 0 });
            counts.samples += 1;
            counts.accepted += usize::from(row.verdict.as_deref() == Some(Verdict::Accepted.name()));
        }
        tried
    }

    /// The problems tried, grouped by what `key` says of each, in the key's order.
    fn groups(&self, key: impl Fn(&Problem) -> Option<String>) -> BTreeMap<String, Vec<Tried>> {
        let tried = self.tried();
        let mut groups: BTreeMap<String, Vec<Tried>> = BTreeMap::new();
        for problem in self.problems {
            if let Some(&counts) = tried.get(problem.question_id.as_str()) {
                groups.entry(key(problem).unwrap_or_else(|| "unknown".to_owned())).or_default().push(counts);
            }
        }
        groups
    }

    fn count(&self, outcome: Outcome) -> usize {
        self.graded.iter().filter(|row| row.outcome == outcome).count()
    }

    /// How many samples got each verdict, in report order.
    fn verdicts(&self) -> Vec<(Verdict, usize)> {
        let count = |verdict: Verdict| {
            self.graded.iter().filter(|row| row.verdict.as_deref() == Some(verdict.name())).count()
        };
        Verdict::ALL.into_iter().map(|verdict| (verdict, count(verdict))).collect()
    }

    fn pass_at(&self) -> Vec<(usize, f64)> {
        let tried: Vec<Tried> = self.tried().into_values().collect();
        REPORTED_K.into_iter().filter_map(|k| Some((k, mean_pass_at_k(&tried, k)?))).collect()
    }

    fn estimate(&self) -> Option<Estimate> {
        estimate(&self.tried().into_values().collect::<Vec<Tried>>())
    }
}

/// Difficulties in the order people expect, others after them.
fn by_difficulty(run: &Run<'_>) -> Vec<(String, Vec<Tried>)> {
    let rank = |name: &str| ["easy", "medium", "hard"].iter().position(|known| *known == name).unwrap_or(3);
    let mut groups: Vec<_> = run.groups(|problem| problem.difficulty.clone()).into_iter().collect();
    groups.sort_by_key(|(name, _)| rank(name));
    groups
}

fn by_platform(run: &Run<'_>) -> Vec<(String, Vec<Tried>)> {
    run.groups(|problem| problem.platform.clone()).into_iter().collect()
}

/// By the month of the contest, where it is known.
fn by_month(run: &Run<'_>) -> Vec<(String, Vec<Tried>)> {
    let month = |problem: &Problem| Some(problem.contest_date.as_deref()?.get(..7)?.to_owned());
    run.groups(month).into_iter().collect()
}

/// Problems whose published tests are known to be at fault (several right answers, interaction, wrong tests), by
/// LiveCodeBench's own list of errata. Their verdicts stand; the report names them.
const ERRATA: [&str; 17] = [
    "abc311_c",
    "abc326_d",
    "abc327_b",
    "abc333_e",
    "abc343_a",
    "abc343_e",
    "abc350_c",
    "abc337_e",
    "abc355_e",
    "abc362_c",
    "apply-operations-to-make-string-empty",
    "arc185_c",
    "arc189_a",
    "find-the-peaks",
    "find-words-containing-character",
    "generate-binary-strings-without-adjacent-zeros",
    "most-frequent-ids",
];

/// The value of `report.json`.
pub fn json(run: &Run<'_>, wall_seconds: f64) -> Value {
    let tried = run.tried();
    let group = |(name, counts): (String, Vec<Tried>)| {
        let samples: usize = counts.iter().map(|tried| tried.samples).sum();
        let rate = estimate(&counts).map(|estimate| estimate.mean);
        json!({ "name": name, "problems": counts.len(), "samples": samples, "pass@1": rate })
    };
    let errata: Vec<&str> =
        run.problems.iter().map(|p| p.question_id.as_str()).filter(|id| ERRATA.contains(id)).collect();
    let estimate = run.estimate();
    let fewest = tried.values().map(|tried| tried.samples).min().unwrap_or(0);
    json!({
        "problems": run.problems.len(),
        "samples": run.graded.len(),
        "graded": run.count(Outcome::Graded),
        "unsupported": run.count(Outcome::Unsupported),
        "infra_errors": run.count(Outcome::InfraError),
        "warnings": warnings(run),
        "pass@1": estimate.map(|e| e.mean),
        "standard_error": estimate.map(|e| e.standard_error),
        "interval_95": estimate.map(|e| [e.interval.0, e.interval.1]),
        "samples_per_problem": fewest,
        "pass@k": run.pass_at().into_iter().map(|(k, p)| (k.to_string(), json!(p))).collect::<Map<_, _>>(),
        "verdicts": run.verdicts().into_iter().map(|(v, n)| (v.name().to_owned(), json!(n))).collect::<Map<_, _>>(),
        "by_difficulty": by_difficulty(run).into_iter().map(group).collect::<Vec<_>>(),
        "by_platform": by_platform(run).into_iter().map(group).collect::<Vec<_>>(),
        "by_month": by_month(run).into_iter().map(group).collect::<Vec<_>>(),
        "known_errata": errata,
        "cpu_seconds": run.graded.iter().map(|row| row.cpu_time).sum::<f64>(),
        "wall_seconds": wall_seconds,
        "provenance": run.provenance,
    })
}

/// What a reader must know before believing the rates.
pub fn warnings(run: &Run<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    let infra = run.count(Outcome::InfraError);
    if infra > 0 {
        warnings.push(format!(
            "{infra} of {} samples have no verdict because the sandbox failed; they are left out of every rate; \
             grade them again with --resume",
            run.graded.len()
        ));
    }
    let unsupported = run.count(Outcome::Unsupported);
    if unsupported > 0 {
        let rows = run.graded.iter().filter(|row| row.outcome == Outcome::Unsupported);
        let first = rows.map(|row| row.question_id.as_str()).min().unwrap_or_default();
        warnings.push(format!(
            "{unsupported} samples belong to problems that cannot be judged (first: {first}); they are left out \
             of every rate"
        ));
    }
    let trusting = run.details.iter().filter(|detail| detail.trust.is_some()).count();
    if trusting > 0 {
        warnings.push(format!(
            "{trusting} samples were tested in their own process (trust: in_process): a program that cheats can pass"
        ));
    }
    let counts: Vec<usize> = run.tried().values().map(|tried| tried.samples).collect();
    if let (Some(fewest), Some(most)) = (counts.iter().min(), counts.iter().max())
        && fewest != most
    {
        warnings.push(format!(
            "problems have between {fewest} and {most} graded samples; pass@k is given up to k = {fewest}"
        ));
    }
    warnings
}

/// The table printed at the end: label, problems, samples, pass@1.
pub fn table(run: &Run<'_>) -> Vec<Vec<String>> {
    let row = |label: &str, counts: &[Tried]| {
        let samples: usize = counts.iter().map(|tried| tried.samples).sum();
        let rate = estimate(counts).map_or("-".to_owned(), |e| format!("{:.2} %", 100.0 * e.mean));
        vec![label.to_owned(), counts.len().to_string(), samples.to_string(), rate]
    };
    let all: Vec<Tried> = run.tried().into_values().collect();
    let mut rows = vec![row("all", &all)];
    for (name, counts) in by_difficulty(run).into_iter().chain(by_platform(run)) {
        if name != "unknown" {
            rows.push(row(&name, &counts));
        }
    }
    rows
}

/// Verdicts that occurred, with their counts, in report order.
pub fn verdict_counts(run: &Run<'_>) -> Vec<(&'static str, usize)> {
    let counts = run.verdicts().into_iter().filter(|(_, count)| *count > 0);
    counts.map(|(verdict, count)| (verdict.name(), count)).collect()
}

/// One line with the headline, for people.
pub fn headline(run: &Run<'_>) -> String {
    let Some(e) = run.estimate() else { return "no sample has a verdict".to_owned() };
    let mut text = format!(
        "pass@1 {:.2} % (95 % interval {:.2} to {:.2}, standard error {:.2})",
        100.0 * e.mean,
        100.0 * e.interval.0,
        100.0 * e.interval.1,
        100.0 * e.standard_error
    );
    for (k, value) in run.pass_at().into_iter().skip(1) {
        text.push_str(&format!(", pass@{k} {:.2} %", 100.0 * value));
    }
    text
}

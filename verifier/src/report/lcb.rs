//! LiveCodeBench's result files, so that its own tools read ours: `_eval.json` and `_eval_all.json`.

use std::collections::HashMap;

use assay_testsets::{Problem, Task};
use serde_json::{Map, Value, json};

use super::{Detail, Graded};
use crate::metrics::{REPORTED_K, Tried, mean_pass_at_k, pass_at_k};
use crate::verdict::Verdict;

/// What LiveCodeBench's files are made of.
#[derive(Debug)]
pub struct Run<'a> {
    /// The problems, in file order.
    pub problems: &'a [Problem],
    /// The samples' rows, in any order.
    pub graded: &'a [Graded],
    /// The rows beside them.
    pub details: &'a [Detail],
}

/// A sample as it was submitted, for the files that repeat it.
#[derive(Debug, Clone)]
pub struct LcbSample {
    /// The completion.
    pub output: String,
    /// The program taken out of it; empty where there was none.
    pub code: String,
}

/// The value of `_eval.json`: `[metrics, results, metadata]` over the code problems, sorted by `question_id`.
pub fn lcb_eval(run: &Run<'_>) -> Value {
    let index = Index::new(run);
    let problems = code_problems(run);
    let mut results = Map::new();
    let mut metadata = Vec::new();
    for (position, problem) in problems.iter().enumerate() {
        let rows = index.samples(problem);
        results.insert(position.to_string(), rows.iter().map(|(g, d)| result_list(problem, g, d)).collect());
        metadata.push(rows.iter().map(|(g, d)| Value::String(metadata_text(g, d))).collect::<Value>());
    }
    json!([metrics(&index, &problems), results, metadata])
}

/// The elements of `_eval_all.json`, one at a time: the problems' records with their samples and verdicts. `load` gives
/// a problem with its prompt, by its place among the run's, and its samples in order.
pub fn lcb_eval_all<'a, E: 'a>(
    run: &'a Run<'a>,
    load: impl Fn(usize) -> Result<(Problem, Vec<LcbSample>), E> + 'a,
) -> impl Iterator<Item = Result<Value, E>> + 'a {
    let index = Index::new(run);
    let places: HashMap<&str, usize> = run
        .problems
        .iter()
        .enumerate()
        .map(|(place, problem)| (problem.question_id.as_str(), place))
        .collect();
    code_problems(run).into_iter().map(move |about| {
        let (problem, samples) = load(places[about.question_id.as_str()])?;
        Ok(record(&problem, &samples, &index.samples(about)))
    })
}

fn record(problem: &Problem, samples: &[LcbSample], rows: &[(&Graded, &Detail)]) -> Value {
    let starter_code = match &problem.task {
        Task::Code(task) => task.starter_code.as_str(),
        Task::Math(_) => "",
    };
    json!({
        "question_title": problem.question_id,
        "question_content": problem.prompt,
        "platform": problem.platform.as_deref().unwrap_or_default(),
        "question_id": problem.question_id,
        "contest_id": "",
        "contest_date": problem.contest_date.as_deref().unwrap_or_default(),
        "starter_code": starter_code,
        "difficulty": problem.difficulty.as_deref().unwrap_or_default(),
        "output_list": samples.iter().map(|s| s.output.as_str()).collect::<Vec<_>>(),
        "code_list": samples.iter().map(|s| s.code.as_str()).collect::<Vec<_>>(),
        "graded_list": rows.iter().map(|(g, _)| accepted(g)).collect::<Vec<_>>(),
        "pass@1": pass_at_k(counts(rows), 1),
        "metadata": rows.iter().map(|(g, d)| metadata_text(g, d)).collect::<Vec<_>>(),
    })
}

/// Rows by problem and sample.
struct Index<'a>(HashMap<&'a str, Vec<(&'a Graded, &'a Detail)>>);

impl<'a> Index<'a> {
    fn new(run: &Run<'a>) -> Index<'a> {
        let details: HashMap<(&str, usize), &Detail> =
            run.details.iter().map(|d| ((d.question_id.as_str(), d.sample), d)).collect();
        let mut index: HashMap<&str, Vec<(&Graded, &Detail)>> = HashMap::new();
        for graded in run.graded {
            if let Some(detail) = details.get(&(graded.question_id.as_str(), graded.sample)) {
                index.entry(&graded.question_id).or_default().push((graded, detail));
            }
        }
        for rows in index.values_mut() {
            rows.sort_by_key(|(graded, _)| graded.sample);
        }
        Index(index)
    }

    fn samples(&self, problem: &Problem) -> Vec<(&'a Graded, &'a Detail)> {
        self.0.get(problem.question_id.as_str()).cloned().unwrap_or_default()
    }
}

fn code_problems<'a>(run: &Run<'a>) -> Vec<&'a Problem> {
    let mut problems: Vec<&Problem> =
        run.problems.iter().filter(|problem| matches!(problem.task, Task::Code(_))).collect();
    problems.sort_by(|a, b| a.question_id.cmp(&b.question_id));
    problems
}

fn metrics(index: &Index<'_>, problems: &[&Problem]) -> Value {
    let all: Vec<Tried> = problems.iter().map(|problem| counts(&index.samples(problem))).collect();
    let mut metrics = Map::new();
    let mut detail = Map::new();
    for k in REPORTED_K {
        if let Some(mean) = mean_pass_at_k(&all, k) {
            let each = all.iter().enumerate().map(|(i, &tried)| (i.to_string(), json!(pass_at_k(tried, k))));
            metrics.insert(format!("pass@{k}"), json!(mean));
            detail.insert(format!("pass@{k}"), Value::Object(each.collect()));
        }
    }
    metrics.insert("detail".to_owned(), Value::Object(detail));
    Value::Object(metrics)
}

fn counts(rows: &[(&Graded, &Detail)]) -> Tried {
    Tried { samples: rows.len(), accepted: rows.iter().filter(|(graded, _)| accepted(graded)).count() }
}

fn accepted(graded: &Graded) -> bool {
    graded.verdict.as_deref() == Some(Verdict::Accepted.name())
}

/// `true` for each test passed, then the failed one's code.
fn result_list(problem: &Problem, graded: &Graded, detail: &Detail) -> Value {
    let code = code(graded, detail);
    if code == Some(KILLED) {
        return json!([WRONG]);
    }
    // Where nothing ran at all the list holds the code alone.
    let mut list = vec![Value::Bool(true); graded.failed_test.unwrap_or(graded.passed)];
    if let Some(code) = code {
        let functional = matches!(&problem.task, Task::Code(task) if task.func_name.is_some());
        list.push(if code == WRONG && functional { Value::Bool(false) } else { json!(code) });
    }
    Value::Array(list)
}

const WRONG: i32 = -2;
const TIME_LIMIT: i32 = -3;
const RUNTIME: i32 = -4;
const KILLED: i32 = -5;

/// lcb_runner's error code; `None` for an accepted sample.
fn code(graded: &Graded, detail: &Detail) -> Option<i32> {
    let verdict = Verdict::ALL.into_iter().find(|v| Some(v.name()) == graded.verdict.as_deref());
    match verdict {
        Some(Verdict::Accepted) => None,
        _ if detail.killed => Some(KILLED),
        Some(Verdict::WrongAnswer) => Some(WRONG),
        Some(Verdict::TimeLimitExceeded) => Some(TIME_LIMIT),
        Some(_) => Some(RUNTIME),
        None => Some(KILLED),
    }
}

fn metadata_text(graded: &Graded, detail: &Detail) -> String {
    let error = if detail.error.is_empty() { &detail.reason } else { &detail.error };
    let value = match code(graded, detail) {
        None => json!({ "execution time": graded.cpu_time }),
        Some(WRONG) => json!({
            "output": detail.actual,
            "inputs": detail.input,
            "expected": detail.expected,
            "error_code": WRONG,
            "error_message": "Wrong Answer",
        }),
        Some(KILLED) => json!({ "error": error, "error_code": KILLED, "error_message": "TestRunnerError" }),
        Some(code) => json!({
            "error": error,
            "error_code": code,
            "error_message": if code == TIME_LIMIT { "Time Limit Exceeded" } else { "Runtime Error" },
            "inputs": detail.input,
            "expected": detail.expected,
        }),
    };
    value.to_string()
}

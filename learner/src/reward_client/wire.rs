//! Requests and replies of `/v1/grade/batch`, as the client needs them.

use std::borrow::Cow;
use std::io;

use assay_testsets::{Checker, JudgeProgram, Problem, Protocol, Task, TestCase};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Ask};

#[derive(Deserialize)]
struct Reply {
    results: Vec<GradeResult>,
}

#[derive(Deserialize)]
struct GradeResult {
    /// Of a line of a reply that comes as lines.
    #[serde(default)]
    index: Option<usize>,
    outcome: String,
    #[serde(default)]
    verdict: Option<String>,
    #[serde(default)]
    reward: Option<f64>,
    #[serde(default)]
    reason: Option<String>,
}

/// Why a 200 is not an answer.
pub(super) enum Unreadable {
    /// The reply is not a reply to what was asked.
    Reply(String),
    /// The verifier says that an item is not a request it understands.
    Request(String),
}

/// What asks a verifier for answers as they come.
pub(super) const LINES: &str = "application/x-ndjson";

/// The answers of a reply in one piece.
pub(super) fn answers(text: &[u8], items: usize) -> Result<Vec<Answer>, Unreadable> {
    let reply: Reply = serde_json::from_slice(text)
        .map_err(|error| Unreadable::Reply(format!("not a batch reply: {error}")))?;
    if reply.results.len() != items {
        return Err(Unreadable::Reply(format!("{} results for {items} items", reply.results.len())));
    }
    reply.results.into_iter().map(answer).collect()
}

/// One line of a reply that comes as lines: which item's, and the answer.
pub(super) fn line(text: &[u8], items: usize) -> Result<(usize, Answer), Unreadable> {
    let result: GradeResult = serde_json::from_slice(text)
        .map_err(|error| Unreadable::Reply(format!("not a line of a batch reply: {error}")))?;
    match result.index {
        Some(index) if index < items => Ok((index, answer(result)?)),
        index => Err(Unreadable::Reply(format!("a result of item {index:?} of {items}"))),
    }
}

fn answer(result: GradeResult) -> Result<Answer, Unreadable> {
    let reason = result.reason.unwrap_or_default();
    match (result.outcome.as_str(), result.reward, result.verdict) {
        ("graded", Some(reward), Some(verdict)) if reward.is_finite() => {
            Ok(Answer::Graded { reward, verdict })
        }
        ("unsupported", ..) => Ok(Answer::Unsupported(reason)),
        ("infra_error", ..) => Ok(Answer::InfraError(reason)),
        ("invalid", ..) => Err(Unreadable::Request(reason)),
        (outcome, ..) => Err(Unreadable::Reply(format!("a result with outcome {outcome:?} and no reward"))),
    }
}

/// An item of a request, as JSON.
pub(super) fn item(ask: &Ask<'_>) -> String {
    let mut item = json!({ "problem": problem(ask.problem), "completion": ask.completion });
    if let Some(language) = ask.source_in {
        (item["mode"], item["language"]) = (json!("code"), json!(language));
    }
    item.to_string()
}

/// A request for the answers to some items.
pub(super) fn body<'i>(items: impl Iterator<Item = &'i str>) -> String {
    format!("{{\"items\":[{}]}}", items.collect::<Vec<_>>().join(","))
}

fn problem(problem: &Problem) -> Value {
    json!({ "question_id": problem.question_id, "task": task(&problem.task) })
}

fn task(task: &Task) -> Value {
    match task {
        Task::Math(math) => json!({ "type": "math", "ground_truth": math.ground_truth }),
        Task::Code(code) => {
            let test = |test: io::Result<Cow<'_, TestCase>>| {
                let test = test.expect("a file of our own, open since it was written, can be read");
                // Scripts are not on the wire: what shares the program's process earns no reward, and the server says so.
                json!({ "input": test.input, "output": test.output, "test_type": test.test_type.name() })
            };
            let mut task = json!({
                "type": "code",
                "test_cases": code.test_cases.iter().map(test).collect::<Vec<_>>(),
                "checker": checker(&code.checker),
                "limits": {
                    "cpu_time": code.limits.cpu_time.map(|limit| limit.as_secs_f64()),
                    "memory": code.limits.memory,
                },
            });
            if let Some(func_name) = &code.func_name {
                task["func_name"] = json!(func_name);
                task["starter_code"] = json!(code.starter_code);
            }
            task
        }
    }
}

fn judge_program(program: &JudgeProgram) -> Value {
    let protocol = match program.protocol {
        Protocol::Testlib => "testlib",
        Protocol::Kattis => "kattis",
    };
    let JudgeProgram { language, source, arguments, .. } = program;
    json!({ "language": language, "source": source, "protocol": protocol, "arguments": arguments })
}

fn checker(checker: &Checker) -> Value {
    match checker {
        Checker::Exact => json!("exact"),
        Checker::Lcb => json!("lcb"),
        Checker::Tokens => json!("tokens"),
        Checker::CaseInsensitive => json!("case_insensitive"),
        Checker::Unordered => json!("unordered"),
        Checker::Kattis(flags) => json!({ "kattis": {
            "case_sensitive": flags.case_sensitive,
            "space_change_sensitive": flags.space_change_sensitive,
            "absolute": flags.absolute,
            "relative": flags.relative,
        } }),
        Checker::Program(program) => json!({ "program": judge_program(program) }),
        Checker::Interactive(program) => json!({ "interactive": judge_program(program) }),
        Checker::Float { absolute, relative } => {
            json!({ "float": { "absolute": absolute, "relative": relative } })
        }
    }
}

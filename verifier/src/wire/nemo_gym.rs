//! NeMo-Gym's resource servers: `/verify`, `/seed_session` and `/aggregate_metrics`.
//!
//! `/verify` gets the run request with the data set's columns in it, and `response`, an object of the Responses API. The text is
//! what its messages' `output_text` parts say. What it is graded against is `verifier_metadata.unit_tests` (`{inputs, outputs,
//! fn_name}`, an object or its JSON text; code_gen) or `expected_answer` (math). Out: the request itself with `reward` and what
//! each kind adds. Where there is no reward, the reward is 0.0 *and* `_ng_failure_class` says so: such rows go into a file of
//! their own there, out of every average.
//!
//! The client has no deadline and repeats disconnects for ever. Source: the notes on `base_resources_server.py`, and
//! `code_gen/app.py` and `math_with_judge/app.py` of its resource servers.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{GradeResponse, ProblemForm, TaskForm, label};

/// Under which name a reply says that it has no reward.
pub(crate) const FAILURE: &str = "_ng_failure_class";

/// What kind of row it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Code,
    Math,
}

/// The problem of a row; the error says what was expected.
pub(crate) fn problem(request: &Map<String, Value>) -> Result<(Kind, ProblemForm), String> {
    let tests = request.get("verifier_metadata").and_then(|metadata| metadata.get("unit_tests"));
    if let Some(tests) = tests.filter(|tests| !tests.is_null()) {
        let problem =
            label::problem(tests).map_err(|error| format!("`verifier_metadata.unit_tests`: {error}"))?;
        return match problem.task {
            TaskForm::Code { .. } => Ok((Kind::Code, problem)),
            TaskForm::Math { .. } => Err("`verifier_metadata.unit_tests` must hold tests".into()),
        };
    }
    match request.get("expected_answer") {
        Some(answer) if !answer.is_null() => Ok((Kind::Math, label::math(answer)?)),
        _ => Err("a row needs `verifier_metadata.unit_tests` or `expected_answer`".into()),
    }
}

#[derive(Deserialize)]
struct Output {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    content: Value,
}

/// What the model's messages say.
pub(crate) fn response_text(request: &Map<String, Value>) -> Result<String, String> {
    let response = request.get("response").ok_or("missing field `response`")?;
    let output = response.get("output").cloned().ok_or("missing field `response.output`")?;
    let output: Vec<Output> =
        serde_json::from_value(output).map_err(|error| format!("`response.output`: {error}"))?;
    let mut text = String::new();
    for item in output.iter().filter(|item| item.kind == "message") {
        match &item.content {
            Value::String(content) => text.push_str(content),
            Value::Array(parts) => {
                let said = parts.iter().filter(|part| part["type"] == "output_text");
                said.filter_map(|part| part["text"].as_str()).for_each(|part| text.push_str(part));
            }
            _ => {}
        }
    }
    Ok(text)
}

/// The reply: the request, the reward and what the kind adds.
pub(crate) fn reply(
    mut request: Map<String, Value>,
    kind: Kind,
    text: String,
    code: Option<String>,
    graded: &GradeResponse,
) -> Value {
    let mut put = |name: &str, value: Value| drop(request.insert(name.into(), value));
    put("reward", json!(graded.reward.unwrap_or(0.0)));
    if graded.reward.is_none() {
        put(FAILURE, json!(graded.outcome.name()));
        put("error", json!(graded.reason));
    }
    match kind {
        Kind::Code => {
            put("extracted_model_output", json!(text));
            put("extracted_model_code", json!(code));
            put("result", json!(graded.verdict));
            put(
                "metadata",
                json!({ "passed": graded.passed, "total": graded.total, "reason": graded.reason }),
            );
            put("unit_tests_time_taken", json!(graded.wall_time.unwrap_or(0.0)));
        }
        Kind::Math => {
            put("extracted_answer", Value::Null);
            put("library_reward", json!(graded.reward.unwrap_or(0.0)));
            put("judge_evaluations", Value::Null);
        }
    }
    Value::Object(request)
}

/// The body of `/aggregate_metrics`.
#[derive(Debug, Deserialize)]
pub(crate) struct AggregateRequest {
    pub(crate) verify_responses: Vec<Map<String, Value>>,
}

/// Mean, maximum, minimum, median and deviation of every number and truth value: of all rows, and of each task's. Rows without
/// a reward do not count.
pub(crate) fn aggregate(request: &AggregateRequest) -> Value {
    let rows = || request.verify_responses.iter().filter(|row| !row.contains_key(FAILURE));
    let mut tasks: BTreeMap<u64, Vec<&Map<String, Value>>> = BTreeMap::new();
    for row in rows() {
        if let Some(task) = row.get("_ng_task_index").and_then(Value::as_u64) {
            tasks.entry(task).or_default().push(row);
        }
    }
    let groups = tasks.iter().map(|(task, rows)| {
        let mut group = Map::from_iter([("_ng_task_index".to_owned(), json!(task))]);
        group.extend(statistics(rows));
        Value::Object(group)
    });
    let all = statistics(&rows().collect::<Vec<_>>());
    let key: Map<String, Value> = all
        .iter()
        .filter(|(name, _)| name.starts_with("mean/"))
        .map(|(n, v)| (n.clone(), v.clone()))
        .collect();
    json!({ "group_level_metrics": groups.collect::<Vec<_>>(), "agent_metrics": all, "key_metrics": key })
}

fn statistics(rows: &[&Map<String, Value>]) -> Map<String, Value> {
    let number =
        |value: &Value| value.as_f64().or_else(|| value.as_bool().map(|truth| f64::from(u8::from(truth))));
    let mut columns: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (name, value) in rows.iter().flat_map(|row| row.iter()).filter(|(name, _)| !name.starts_with("_ng_"))
    {
        if let Some(value) = number(value) {
            columns.entry(name).or_default().push(value);
        }
    }
    let mut statistics = Map::new();
    for (name, mut values) in columns {
        values.sort_by(f64::total_cmp);
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            1 => values[middle],
            _ => (values[middle - 1] + values[middle]) / 2.0,
        };
        // Of a sample, as data frames have it; one value has none.
        let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        let deviation = if values.len() > 1 { (squares / (count - 1.0)).sqrt() } else { 0.0 };
        let (least, most) = (values[0], values[values.len() - 1]);
        for (statistic, value) in
            [("mean", mean), ("max", most), ("min", least), ("median", median), ("std", deviation)]
        {
            statistics.insert(format!("{statistic}/{name}"), json!(value));
        }
    }
    statistics
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn the_text_is_what_messages_say() {
        let request = row(json!({ "response": { "output": [
            { "type": "reasoning", "summary": [], "content": [{ "type": "output_text", "text": "hm" }] },
            { "type": "message", "content": [
                { "type": "output_text", "text": "a" }, { "type": "refusal", "refusal": "no" },
                { "type": "output_text", "text": "b" },
            ] },
            { "type": "message", "content": "c" },
        ] } }));
        assert_eq!(response_text(&request).unwrap(), "abc");
        assert!(response_text(&row(json!({ "response": {} }))).unwrap_err().contains("response.output"));
    }

    #[test]
    fn rows_without_a_reward_are_in_no_average() {
        let rows = json!([
            { "_ng_task_index": 0, "reward": 1.0, "finished": true, "text": "x" },
            { "_ng_task_index": 0, "reward": 0.0, "finished": true },
            { "_ng_task_index": 1, "reward": 1.0, "finished": false },
            { "_ng_task_index": 1, "reward": 0.0, "_ng_failure_class": "infra_error" },
        ]);
        let request: AggregateRequest = serde_json::from_value(json!({ "verify_responses": rows })).unwrap();
        let metrics = aggregate(&request);
        let all = &metrics["agent_metrics"];
        assert_eq!((&all["mean/reward"], &all["median/reward"]), (&json!(2.0 / 3.0), &json!(1.0)));
        assert_eq!((&all["min/finished"], &all["max/finished"]), (&json!(0.0), &json!(1.0)));
        assert_eq!(metrics["group_level_metrics"][1]["mean/reward"], 1.0);
        assert_eq!(metrics["group_level_metrics"][1]["std/reward"], 0.0);
        assert_eq!(metrics["key_metrics"].as_object().unwrap().len(), 2);
    }
}

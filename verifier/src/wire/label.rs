//! What a data set's label says of the problem, for the trainers that send one label per response and nothing
//! else (OpenRLHF, slime). None of them prescribes a form; these are read:
//!
//! - a problem as in `POST /v1/grade` (an object with `task`), or its task alone (an object with `type`);
//! - tests in columns, `{"inputs": [..], "outputs": [..], "fn_name": null}`, or in rows, `[{"input", "output"}]`;
//!   every input and output is text, with a function one JSON value per line;
//! - anything else that is text or a number: the right answer of a math problem.
//!
//! A JSON text is read like the JSON in it. A JSON object that is none of these is an error and not a math answer: a
//! misspelt key must not become a reward of 0.

use serde::Deserialize;
use serde_json::Value;

use super::{ProblemForm, TaskForm, TaskLimitsForm, TestCaseForm};

/// The problem a label stands for; the error says what was expected.
pub(crate) fn problem(label: &Value) -> Result<ProblemForm, String> {
    match label {
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            Ok(json) if json.is_object() || is_rows(&json) => structured(json),
            _ => Ok(of_task(TaskForm::Math { ground_truth: text.clone(), error: None })),
        },
        Value::Number(number) => {
            Ok(of_task(TaskForm::Math { ground_truth: number.to_string(), error: None }))
        }
        Value::Object(_) => structured(label.clone()),
        rows if is_rows(rows) => structured(label.clone()),
        _ => Err(format!("a label is a right answer, tests or a problem, not {label:.100}")),
    }
}

/// A right answer in math, whatever it looks like: text or a number.
pub(crate) fn math(answer: &Value) -> Result<ProblemForm, String> {
    match answer {
        Value::String(text) => Ok(of_task(TaskForm::Math { ground_truth: text.clone(), error: None })),
        Value::Number(number) => {
            Ok(of_task(TaskForm::Math { ground_truth: number.to_string(), error: None }))
        }
        other => Err(format!("a right answer is text or a number, not {other:.100}")),
    }
}

fn is_rows(json: &Value) -> bool {
    json.as_array().is_some_and(|rows| !rows.is_empty() && rows.iter().all(Value::is_object))
}

fn structured(json: Value) -> Result<ProblemForm, String> {
    if json.is_array() {
        return read(json).map(|rows| of_tests(None, rows));
    }
    if json.get("task").is_some() {
        read(json)
    } else if json.get("type").is_some() {
        read(json).map(of_task)
    } else if json.get("inputs").is_some() {
        columns(read(json)?)
    } else {
        Err("a label that is an object needs `task`, `type` or `inputs`".into())
    }
}

fn read<T: serde::de::DeserializeOwned>(json: Value) -> Result<T, String> {
    serde_json::from_value(json).map_err(|error| error.to_string())
}

/// Tests as most code data sets for training hold them; their other columns are passed over.
#[derive(Deserialize)]
struct Columns {
    inputs: Vec<String>,
    outputs: Vec<String>,
    fn_name: Option<String>,
}

fn columns(columns: Columns) -> Result<ProblemForm, String> {
    let (inputs, outputs) = (columns.inputs, columns.outputs);
    if inputs.len() != outputs.len() {
        return Err(format!("there are {} `inputs` and {} `outputs`", inputs.len(), outputs.len()));
    }
    let tests = inputs.into_iter().zip(outputs);
    let tests = tests.map(|(input, output)| TestCaseForm { input, output, test_type: None }).collect();
    Ok(of_tests(columns.fn_name, tests))
}

fn of_tests(func_name: Option<String>, test_cases: Vec<TestCaseForm>) -> ProblemForm {
    of_task(TaskForm::Code {
        func_name,
        starter_code: String::new(),
        test_cases,
        checker: None,
        limits: TaskLimitsForm::default(),
        groups: Vec::new(),
    })
}

fn of_task(task: TaskForm) -> ProblemForm {
    ProblemForm { question_id: String::new(), task }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_form_is_told_apart() {
        let rows = [
            (json!("42"), "math 42"),
            (json!("[1, 2]"), "math [1, 2]"),
            (json!("\\{1,2\\}"), "math \\{1,2\\}"),
            (json!(0.5), "math 0.5"),
            (json!({ "type": "math", "ground_truth": "7" }), "math 7"),
            (json!({ "task": { "type": "math", "ground_truth": "7" } }), "math 7"),
            (json!("{\"type\": \"math\", \"ground_truth\": \"7\"}"), "math 7"),
            (json!({ "inputs": ["1", "2"], "outputs": ["3", "4"], "difficulty": 5 }), "code 2 None"),
            (json!({ "inputs": ["1"], "outputs": ["3"], "fn_name": "f" }), "code 1 Some(\"f\")"),
            (json!([{ "input": "1", "output": "2" }]), "code 1 None"),
            (json!("[{\"input\": \"1\", \"output\": \"2\"}]"), "code 1 None"),
        ];
        for (label, want) in rows {
            let read = match problem(&label).unwrap().task {
                TaskForm::Math { ground_truth, .. } => format!("math {ground_truth}"),
                TaskForm::Code { func_name, test_cases, .. } => {
                    format!("code {} {func_name:?}", test_cases.len())
                }
            };
            assert_eq!(read, want, "{label}");
        }
    }

    #[test]
    fn a_label_that_is_nothing_is_no_answer() {
        let rows = [
            (json!(null), "null"),
            (json!(true), "true"),
            (json!([]), "[]"),
            (json!({ "answer": "7" }), "`task`, `type` or `inputs`"),
            (json!("{\"input\": [\"1\"]}"), "`task`, `type` or `inputs`"),
            (json!({ "inputs": ["1"], "outputs": [] }), "1 `inputs` and 0 `outputs`"),
            (json!({ "inputs": [[1]], "outputs": ["1"] }), "expected a string"),
            (json!([{ "input": "1", "outptu": "2" }]), "outptu"),
        ];
        for (label, named) in rows {
            let error = problem(&label).unwrap_err();
            assert!(error.contains(named), "{label}: {error}");
        }
    }
}

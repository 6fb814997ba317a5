//! ScaleBox's `/common_evaluate` and `/common_evaluate_batch`: one request for all tests of a completion.
//!
//! In: the body of `/submit` with `dataset` and `id` (0) optional. `config.provided_data.test_cases` is a list of `{type, input,
//! output, fn_name}` for the first route and holds columns for the second, `{type, input: [..], output: [..], fn_name,
//! json_input}`. `type` is `stdin_stdout` or `function_call`; where it is left out `fn_name` says it. A function's input is
//! the list of its arguments and its output a list of one value, or, with `json_input`, text of JSON, one argument a line.
//! `run_timeout` is 10 s here. `extra.special_judge_program` (in `special_judge_language`, python) decides by its exit code
//! over `stdin.txt`, `stdout.txt` (the expected output) and `answer.txt` (the program's). Out: an `EvalResult`.
//!
//! Left out: `type: assert` (400), since such tests run in the program's process and can be forged, and
//! `extra.total_timeout`: limits are per test here, and the client's patience bounds the wait. Source: ScaleBox's README
//! and `server/online_judge_api.py`, read and written anew.

use serde::Deserialize;
use serde_json::{Value, json};

use super::oj::{StdioInput, StdioOutput, StdioTest};

/// The tests of a request.
#[derive(Debug)]
pub(crate) enum Tests {
    /// Text in, text out.
    Stdio(Vec<StdioTest>),
    /// Calls of one function.
    Calls(Vec<Call>),
}

/// A call: the function, its arguments as JSON, one a line, what it is to return, as JSON, and how the reply tells it.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) function: String,
    pub(crate) arguments: String,
    pub(crate) output: String,
    pub(crate) info: Value,
}

/// A row of `test_cases`.
#[derive(Debug, Deserialize)]
struct Row {
    #[serde(rename = "type")]
    kind: Option<String>,
    input: Value,
    output: Value,
    fn_name: Option<String>,
    #[serde(default)]
    json_input: bool,
}

/// `test_cases` as columns.
#[derive(Debug, Deserialize)]
struct Columns {
    #[serde(rename = "type")]
    kind: Option<String>,
    input: Vec<Value>,
    output: Vec<Value>,
    fn_name: Option<String>,
    #[serde(default)]
    json_input: bool,
}

/// Why there are no tests.
#[derive(Debug)]
pub(crate) enum NoTests {
    /// A thing that the original can and we cannot.
    Unsupported(String),
    /// The caller's mistake.
    Invalid(String),
}

/// Reads rows or columns, whichever there are: the second route's client sends columns, the first's rows.
pub(crate) fn tests(provided_data: Option<Value>) -> Result<Tests, NoTests> {
    let unreadable = |error: &dyn std::fmt::Display| {
        NoTests::Invalid(format!("`config.provided_data.test_cases`: {error}"))
    };
    let cases = match provided_data {
        Some(Value::Object(mut data)) => data.remove("test_cases"),
        _ => None,
    };
    let rows = match cases {
        Some(cases @ Value::Array(_)) => serde_json::from_value(cases).map_err(|error| unreadable(&error))?,
        Some(cases) => rows(serde_json::from_value(cases).map_err(|error| unreadable(&error))?)
            .map_err(|error| unreadable(&error))?,
        None => return Err(unreadable(&"it is missing")),
    };
    let Some(first) = rows.first() else {
        return Err(unreadable(&"it is empty: without a test everything would be accepted"));
    };
    match (first.kind.as_deref(), &first.fn_name) {
        (Some("stdin_stdout"), _) | (None, None) => Ok(Tests::Stdio(
            rows.into_iter().map(stdio).collect::<Result<_, _>>().map_err(|error| unreadable(&error))?,
        )),
        (Some("function_call"), _) | (None, Some(_)) => Ok(Tests::Calls(
            rows.into_iter().map(call).collect::<Result<_, _>>().map_err(|error| unreadable(&error))?,
        )),
        (Some(other), _) => Err(NoTests::Unsupported(format!(
            "test_cases.type {other} is not supported here; stdin_stdout and function_call are"
        ))),
    }
}

fn rows(columns: Columns) -> Result<Vec<Row>, String> {
    let (inputs, outputs) = (columns.input.len(), columns.output.len());
    if inputs != outputs {
        return Err(format!("there are {inputs} of `input` and {outputs} of `output`"));
    }
    let pairs = columns.input.into_iter().zip(columns.output);
    let row = |(input, output)| Row {
        kind: columns.kind.clone(),
        input,
        output,
        fn_name: columns.fn_name.clone(),
        json_input: columns.json_input,
    };
    Ok(pairs.map(row).collect())
}

fn stdio(row: Row) -> Result<StdioTest, String> {
    let text = |name: &str, value: Value| match value {
        Value::String(text) => Ok(text),
        other => Err(format!("`{name}` must be text, not {other:.60}")),
    };
    Ok(StdioTest {
        input: StdioInput { stdin: text("input", row.input)? },
        output: StdioOutput { stdout: text("output", row.output)? },
    })
}

fn call(row: Row) -> Result<Call, String> {
    let function = row.fn_name.ok_or("a function_call needs `fn_name`")?;
    let info =
        json!({ "type": "function_call", "fn_name": function, "input": row.input, "output": row.output });
    let arguments = match row.input {
        Value::Array(arguments) => arguments.iter().map(Value::to_string).collect::<Vec<_>>().join("\n"),
        Value::String(lines) if row.json_input => lines,
        other => return Err(format!("`input` must be a list of arguments, not {other:.60}")),
    };
    let output = match row.output {
        Value::Array(values) if values.len() == 1 => {
            values.into_iter().next().unwrap_or_default().to_string()
        }
        Value::String(json) if row.json_input => json,
        other => return Err(format!("`output` must be a list of one value, not {other:.60}")),
    };
    Ok(Call { function, arguments, output, info })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_columns_say_the_same() {
        let columns = json!({ "test_cases": {
            "type": "function_call", "fn_name": "f", "input": [[1, "a"], [2, "b"]], "output": [[3], [[4]]],
        } });
        let rows = json!({ "test_cases": [
            { "fn_name": "f", "input": [1, "a"], "output": [3] },
            { "fn_name": "f", "input": "2\n\"b\"", "output": "[4]", "json_input": true },
        ] });
        for data in [columns, rows] {
            let Ok(Tests::Calls(calls)) = tests(Some(data)) else { panic!("calls") };
            let parts: Vec<_> =
                calls.iter().map(|call| (call.arguments.as_str(), call.output.as_str())).collect();
            assert_eq!(parts, [("1\n\"a\"", "3"), ("2\n\"b\"", "[4]")]);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (data, named) in [
            (json!({}), "missing"),
            (json!({ "test_cases": [] }), "empty"),
            (json!({ "test_cases": { "input": ["1"], "output": [] } }), "1 of `input` and 0 of `output`"),
            (json!({ "test_cases": { "input": [1], "output": ["1"] } }), "`input` must be text"),
            (
                json!({ "test_cases": { "type": "function_call", "input": [[1]], "output": [[1]] } }),
                "fn_name",
            ),
            (
                json!({ "test_cases": { "fn_name": "f", "input": [[1]], "output": [[1, 2]] } }),
                "a list of one value",
            ),
            (json!({ "test_cases": { "type": "assert", "input": ["x"], "output": ["y"] } }), "assert"),
        ] {
            let (NoTests::Invalid(error) | NoTests::Unsupported(error)) = tests(Some(data)).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }
}

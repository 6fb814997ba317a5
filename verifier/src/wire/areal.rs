//! AReaL's `/apis/functioncalls`, as its clients of before mid-2026 called it.
//!
//! In: `uid`, `language` (`PYTHON` or `MATH`; others by their names), `code`, `entryFunction` (empty: the program reads
//! stdin), `isFastFail` (true), `testcases: [{input, expectedOutput}]`, `timeout` in seconds (0.1 to 100), `memory` in
//! megabytes. For MATH `extraInfo: {answers, solutions}`: each answer is compared with the right answer at its place, or with
//! any of several. Out: `{uid, success, results: [{success, reason, errorType}]}`. `errorType: "SystemError"` is our failure:
//! the client tries once more and then makes it 0. Source: the notes on AReaL's `functioncall`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The body.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "ArealCallRequest")]
pub(crate) struct CallRequest {
    #[serde(default)]
    pub(crate) uid: Value,
    pub(crate) language: String,
    #[serde(default)]
    pub(crate) code: String,
    #[serde(default, rename = "entryFunction")]
    pub(crate) entry_function: Option<String>,
    #[serde(default = "yes", rename = "isFastFail")]
    pub(crate) is_fast_fail: bool,
    #[serde(default)]
    pub(crate) testcases: Vec<Testcase>,
    #[serde(default = "six")]
    pub(crate) timeout: f64,
    #[serde(default)]
    pub(crate) memory: i64,
    #[serde(default, rename = "extraInfo")]
    pub(crate) extra_info: Option<ExtraInfo>,
}

/// One test.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "ArealTestcase")]
pub(crate) struct Testcase {
    input: Value,
    #[serde(rename = "expectedOutput")]
    expected_output: Value,
}

/// What math is compared by.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "ArealExtraInfo")]
pub(crate) struct ExtraInfo {
    pub(crate) answers: Vec<Value>,
    pub(crate) solutions: Vec<Value>,
}

/// The reply.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ArealCallResponse")]
pub(crate) struct CallResponse {
    pub(crate) uid: Value,
    pub(crate) success: bool,
    pub(crate) results: Vec<CallResult>,
}

/// One test's, or one answer's.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "ArealCallResult")]
pub(crate) struct CallResult {
    pub(crate) success: bool,
    pub(crate) reason: String,
    #[serde(rename = "errorType")]
    pub(crate) error_type: &'static str,
}

/// What the client asks for again.
pub(crate) const SYSTEM_ERROR: &str = "SystemError";

/// How long the client waits beyond a test's limit. It knows no other figure; the notes give none.
pub(crate) const PATIENCE: Duration = Duration::from_secs(100);

fn yes() -> bool {
    true
}

fn six() -> f64 {
    6.0
}

impl Testcase {
    /// Input and output as text. Of a function the input is JSON, one argument a line, and a list of arguments is written
    /// so; other values are written as JSON.
    pub(crate) fn texts(self, calls: bool) -> (String, String) {
        let plain = |value: Value| match value {
            Value::String(text) => text,
            value => value.to_string(),
        };
        let input = match self.input {
            Value::Array(arguments) if calls => {
                arguments.iter().map(Value::to_string).collect::<Vec<_>>().join("\n")
            }
            input => plain(input),
        };
        (input, plain(self.expected_output))
    }
}

impl ExtraInfo {
    /// Each answer with what it may equal.
    pub(crate) fn pairs(self) -> Result<Vec<(String, Vec<String>)>, String> {
        let (answers, solutions) = (self.answers.len(), self.solutions.len());
        if answers != solutions {
            return Err(format!("extraInfo has {answers} `answers` and {solutions} `solutions`"));
        }
        let text = |value: Value| match value {
            Value::String(text) => Ok(text),
            Value::Number(number) => Ok(number.to_string()),
            other => Err(format!("extraInfo holds answers as text, not {other:.60}")),
        };
        let several = |value| match value {
            Value::Array(values) => values.into_iter().map(text).collect::<Result<Vec<_>, _>>(),
            value => Ok(vec![text(value)?]),
        };
        let pairs = self.answers.into_iter().zip(self.solutions);
        pairs.map(|(answer, solution)| Ok((text(answer)?, several(solution)?))).collect()
    }
}

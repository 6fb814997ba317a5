//! open-r1's routers, `POST /execute_batch`, in both of their forms at once.
//!
//! In: `scripts`, `languages` (python where it is left out), `timeout` in seconds for each script (300; capped at the service's
//! `max-time`) and `request_timeout`, how long the client waits for all of them (30). Out: a list with `execution` (E2B's: `results`,
//! `logs`, `error`, `execution_count`, or null where the script did not come to its end), `text` (Morph's: the value of the
//! script's last expression, as a notebook shows it) and `exception_str`.
//!
//! A script is the trainer's: it starts the model's program itself and computes the reward in the same box, so what it says
//! is as good as it is. The client makes 0 of everything that is not a number. Source: open-r1's `routed_sandbox.py` and
//! `routed_morph.py`, read and written anew.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The body.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "RouterBatchRequest")]
pub(crate) struct BatchRequest {
    pub(crate) scripts: Vec<String>,
    #[serde(default)]
    pub(crate) languages: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) timeout: Option<f64>,
    #[serde(default)]
    pub(crate) request_timeout: Option<f64>,
}

/// One script's.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct ScriptResult {
    pub(crate) execution: Option<Value>,
    pub(crate) text: Option<String>,
    pub(crate) exception_str: Option<String>,
}

impl ScriptResult {
    /// It came to its end; `text` is its last value.
    pub(crate) fn ended(text: Option<String>, stdout: String, stderr: String) -> ScriptResult {
        let value = |text: &String| json!({ "text": text, "is_main_result": true });
        let results: Vec<Value> = text.iter().map(value).collect();
        let execution = execution(results, &stdout, &stderr, Value::Null);
        ScriptResult { execution: Some(execution), text, exception_str: None }
    }

    /// It raised, or was ended by a signal.
    pub(crate) fn raised(stdout: String, stderr: String) -> ScriptResult {
        let line =
            stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no message").to_owned();
        let (name, value) = line.split_once(": ").unwrap_or((&line, ""));
        let error = json!({ "name": name, "value": value, "traceback": stderr });
        let execution = execution(Vec::new(), &stdout, &stderr, error);
        ScriptResult { execution: Some(execution), text: None, exception_str: Some(line) }
    }

    /// There is nothing to tell but why.
    pub(crate) fn nothing(why: String) -> ScriptResult {
        ScriptResult { execution: None, text: None, exception_str: Some(why) }
    }
}

fn execution(results: Vec<Value>, stdout: &str, stderr: &str, error: Value) -> Value {
    let lines = |text: &str| if text.is_empty() { Vec::new() } else { vec![text.to_owned()] };
    json!({
        "results": results,
        "logs": { "stdout": lines(stdout), "stderr": lines(stderr) },
        "error": error,
        "execution_count": 1,
    })
}

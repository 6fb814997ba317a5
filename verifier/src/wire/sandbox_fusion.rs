//! `POST /run_code` in SandboxFusion's form, so that its clients need a new address and nothing else.
//!
//! Fields unknown to us are passed over, as the original does. What the original can and we cannot (22
//! of its 29 languages) is answered `Failed` with a message: its SDK repeats a `SandboxError`, and
//! repeating would not help.

pub(crate) mod oj;
pub(crate) mod scalebox;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The body of `/run_code`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct RunCodeRequest {
    /// The program's source.
    pub code: String,
    /// One of [`LANGUAGES`]; some clients leave it out and mean Python.
    #[serde(default = "python")]
    pub language: String,
    /// Standard input; `null` is empty.
    #[serde(default)]
    pub stdin: Option<String>,
    /// Seconds for the compiler.
    #[serde(default = "ten")]
    pub compile_timeout: f64,
    /// Seconds for the program.
    #[serde(default = "ten")]
    pub run_timeout: f64,
    /// Mebibytes; 0 or less means the service's default.
    #[serde(default = "no_limit", rename = "memory_limit_MB")]
    pub memory_limit_mb: i64,
    /// Files to put into the program's directory when it runs, base64.
    #[serde(default)]
    pub files: BTreeMap<String, Option<String>>,
    /// Paths of files to send back, where the program left them.
    #[serde(default)]
    pub fetch_files: Vec<String>,
}

/// The reply, always HTTP 200 once the body is understood.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct RunCodeResponse {
    /// Worst of both parts.
    pub status: RunStatus,
    /// Why, where the parts do not say it.
    pub message: String,
    /// `null` for interpreted languages.
    pub compile_result: Option<CommandResult>,
    /// `null` when there was nothing to run.
    pub run_result: Option<CommandResult>,
    /// The pod's name from `MY_POD_NAME`, where there is one.
    pub executor_pod_name: Option<String>,
    /// Those of `fetch_files` that the program left, base64.
    pub files: BTreeMap<String, String>,
}

/// The reply in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub enum RunStatus {
    /// Every part finished and returned 0.
    Success,
    /// A part returned something else or used up its time.
    Failed,
    /// Our failure.
    SandboxError,
}

/// One part: the compiler's run or the program's.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct CommandResult {
    /// How it ended.
    pub status: CommandStatus,
    /// Seconds of wall time.
    pub execution_time: Option<f64>,
    /// Exit code, or minus the signal; `null` after a time limit.
    pub return_code: Option<i32>,
    /// Standard output; bytes that are not UTF-8 are replaced.
    pub stdout: Option<String>,
    /// Standard error, likewise.
    pub stderr: Option<String>,
}

/// How a part ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub enum CommandStatus {
    /// By itself.
    Finished,
    /// By a failure of ours.
    Error,
    /// By its time limit.
    TimeLimitExceeded,
}

/// Every language the original knows; `http/run_code.rs` says which of them we run.
pub const LANGUAGES: [&str; 29] = [
    "python",
    "cpp",
    "nodejs",
    "go",
    "go_test",
    "java",
    "php",
    "csharp",
    "bash",
    "typescript",
    "sql",
    "rust",
    "cuda",
    "lua",
    "R",
    "perl",
    "D_ut",
    "ruby",
    "scala",
    "julia",
    "pytest",
    "junit",
    "kotlin_script",
    "jest",
    "verilog",
    "python_gpu",
    "lean",
    "swift",
    "racket",
];

impl RunCodeRequest {
    /// A request with the defaults and an empty standard input.
    pub(crate) fn new(code: String, language: String) -> RunCodeRequest {
        RunCodeRequest {
            code,
            language,
            stdin: None,
            compile_timeout: ten(),
            run_timeout: ten(),
            memory_limit_mb: no_limit(),
            files: BTreeMap::new(),
            fetch_files: Vec::new(),
        }
    }
}

impl RunCodeResponse {
    /// A reply made of its parts, the status following from them as in the original.
    pub fn of(compile: Option<CommandResult>, run: Option<CommandResult>, message: String) -> Self {
        let parts = || compile.iter().chain(run.iter());
        let status = if parts().any(|p| p.status == CommandStatus::Error) {
            RunStatus::SandboxError
        } else if parts().any(|p| p.status == CommandStatus::TimeLimitExceeded || p.return_code != Some(0)) {
            RunStatus::Failed
        } else {
            RunStatus::Success
        };
        RunCodeResponse { compile_result: compile, run_result: run, ..Self::bare(status, message) }
    }

    /// A reply for a function that was called: there is no exit code of its own, so 0 stands for right and 1 for wrong,
    /// with the reason on stderr.
    pub(crate) fn of_a_call(passed: bool, time_limit: bool, seconds: f64, reason: &str) -> Self {
        let (status, return_code) = match time_limit {
            true => (CommandStatus::TimeLimitExceeded, None),
            false => (CommandStatus::Finished, Some(i32::from(!passed))),
        };
        let part = CommandResult {
            status,
            execution_time: Some(seconds),
            return_code,
            stdout: Some(String::new()),
            stderr: Some(reason.to_owned()),
        };
        Self::of(None, Some(part), String::new())
    }

    /// A reply without parts: a refusal (`Failed`) or a failure of ours (`SandboxError`).
    pub fn bare(status: RunStatus, message: String) -> Self {
        RunCodeResponse {
            status,
            message,
            compile_result: None,
            run_result: None,
            executor_pod_name: std::env::var("MY_POD_NAME").ok(),
            files: BTreeMap::new(),
        }
    }
}

/// An error body as the original's framework writes it for HTTP statuses other than 422.
pub fn detail(text: &str) -> Value {
    json!({ "detail": text })
}

/// The original's 422 body: which field, and what is wrong with it.
pub fn validation_detail(field: Option<&str>, message: &str) -> Value {
    let location: Vec<&str> = std::iter::once("body").chain(field).collect();
    json!({ "detail": [{ "loc": location, "msg": message, "type": "value_error" }] })
}

fn python() -> String {
    "python".into()
}

fn ten() -> f64 {
    10.0
}

fn no_limit() -> i64 {
    -1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(status: CommandStatus, return_code: Option<i32>) -> CommandResult {
        CommandResult { status, execution_time: Some(0.1), return_code, stdout: None, stderr: None }
    }

    #[test]
    fn the_status_follows_from_the_parts() {
        use CommandStatus::{Error, Finished, TimeLimitExceeded};
        let rows = [
            (None, Some((Finished, Some(0))), RunStatus::Success),
            (None, Some((Finished, Some(1))), RunStatus::Failed),
            (None, Some((Finished, Some(-11))), RunStatus::Failed),
            (None, Some((TimeLimitExceeded, None)), RunStatus::Failed),
            (Some((Finished, Some(1))), None, RunStatus::Failed),
            (Some((Finished, Some(0))), Some((Finished, Some(0))), RunStatus::Success),
            (Some((Finished, Some(0))), Some((Error, None)), RunStatus::SandboxError),
        ];
        for (compile, run, want) in rows {
            let made = |p: Option<(CommandStatus, Option<i32>)>| p.map(|(s, c)| part(s, c));
            assert_eq!(RunCodeResponse::of(made(compile), made(run), String::new()).status, want);
        }
    }

    #[test]
    fn a_body_with_code_alone_is_python_with_the_defaults() {
        let request: RunCodeRequest = serde_json::from_str(r#"{"code": "print(1)", "novel": 1}"#).unwrap();
        assert_eq!((request.language.as_str(), request.run_timeout), ("python", 10.0));
        assert_eq!((request.memory_limit_mb, request.stdin), (-1, None));
    }
}

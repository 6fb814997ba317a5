//! Judge0's API, as far as its Python SDK and students' judges use it.
//!
//! In: `source_code`, `language_id`, `stdin`, `expected_output`, `cpu_time_limit` (5 s), `wall_time_limit` (10 s, here the idle time),
//! `memory_limit` (128,000 KB), `command_line_arguments`. With `base64_encoded=true` in the URL texts are base64 both ways;
//! `wait=true` waits for the result. Other limits are the service's own, and a program is run once. Refused with 422:
//! `compiler_options`, `additional_files`, `callback_url`, `enable_network`, `redirect_stderr_to_stdout`.
//!
//! Out: status ids 1 in queue, 2 processing, 3 accepted, 4 wrong answer, 5 time limit, 6 compilation error, 7 to 12 runtime errors
//! (SIGSEGV, SIGXFSZ, SIGFPE, SIGABRT, NZEC, other), 13 internal error. Outputs are equal when they are but for space at the ends
//! of lines and of the text. Results are kept in memory, the last [`KEPT`] of them. Source: the notes on Judge0 1.13.1's
//! documentation and its SDK 0.0.8.

use assay_sandbox::{Outcome, Termination};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Whose API this is.
pub(crate) const VERSION: &str = "1.13.1";
/// How many submissions are kept.
pub(crate) const KEPT: usize = 4096;
/// Most submissions of one batch.
pub(crate) const MAX_BATCH: usize = 1000;

/// Judge0's ids of the languages that are here, their names there without the version, and ours.
pub(crate) const LANGUAGES: [(u32, &str, &str); 7] = [
    (54, "C++ (GCC", "cpp17"),
    (60, "Go (", "go"),
    (62, "Java (", "java"),
    (63, "JavaScript (Node.js ", "javascript"),
    (71, "Python (", "python3"),
    (73, "Rust (", "rust"),
    (74, "TypeScript (", "typescript"),
];

/// The body of `/submissions`; a batch has several.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[schemars(rename = "Judge0SubmissionRequest")]
pub(crate) struct SubmissionRequest {
    pub(crate) source_code: Option<String>,
    pub(crate) language_id: Option<u32>,
    pub(crate) stdin: Option<String>,
    pub(crate) expected_output: Option<String>,
    pub(crate) cpu_time_limit: Option<f64>,
    pub(crate) wall_time_limit: Option<f64>,
    pub(crate) memory_limit: Option<f64>,
    pub(crate) command_line_arguments: Option<String>,
    redirect_stderr_to_stdout: Option<bool>,
    compiler_options: Option<String>,
    additional_files: Option<String>,
    callback_url: Option<String>,
    enable_network: Option<bool>,
}

impl SubmissionRequest {
    /// Fields that ask for what is not here.
    pub(crate) fn unsupported(&self) -> Option<&'static str> {
        let asks = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
        let rows = [
            ("compiler_options", asks(&self.compiler_options)),
            ("additional_files", asks(&self.additional_files)),
            ("callback_url", asks(&self.callback_url)),
            ("enable_network", self.enable_network == Some(true)),
            ("redirect_stderr_to_stdout", self.redirect_stderr_to_stdout == Some(true)),
        ];
        rows.into_iter().find(|(_, asked)| *asked).map(|(name, _)| name)
    }
}

/// A submission as it stands.
#[derive(Debug, Clone)]
pub(crate) struct Submission {
    pub(crate) token: String,
    pub(crate) source_code: Vec<u8>,
    pub(crate) language_id: u32,
    pub(crate) stdin: Option<Vec<u8>>,
    pub(crate) expected_output: Option<Vec<u8>>,
    pub(crate) state: State,
}

/// How far it is.
#[derive(Debug, Clone)]
pub(crate) enum State {
    /// Waiting or running.
    Pending,
    /// Refused by the compiler.
    Refused(Outcome),
    /// Run.
    Ended(Outcome),
    /// Not run, for a reason of ours.
    Failed(String),
}

/// What is shown where nobody asked for certain fields.
const FIELDS: [&str; 8] =
    ["stdout", "time", "memory", "stderr", "token", "compile_output", "message", "status"];

impl Submission {
    /// The fields asked for (`*`: all of them). `None` where one is not UTF-8 and no base64 was asked for.
    pub(crate) fn json(&self, fields: Option<&str>, base64: bool) -> Option<Value> {
        let every = self.all(base64);
        let asked: Vec<&str> = match fields {
            Some("*") => {
                return every.values().all(|value| value.as_ref().is_some()).then(|| {
                    Value::Object(
                        every
                            .into_iter()
                            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
                            .collect(),
                    )
                });
            }
            Some(fields) => fields.split(',').map(str::trim).collect(),
            None => FIELDS.to_vec(),
        };
        let mut json = Map::new();
        for name in asked {
            if let Some(value) = every.get(name) {
                json.insert(name.into(), value.clone()?);
            }
        }
        Some(Value::Object(json))
    }

    /// Every field; the inner `None` is text that is none.
    fn all(&self, base64: bool) -> std::collections::BTreeMap<&'static str, Option<Value>> {
        let text = |bytes: &[u8]| match base64 {
            true => Some(json!(STANDARD.encode(bytes))),
            false => std::str::from_utf8(bytes).ok().map(|text| json!(text)),
        };
        let maybe = |bytes: Option<&[u8]>| bytes.map_or(Some(Value::Null), text);
        let printed = |bytes: &[u8]| if bytes.is_empty() { Some(Value::Null) } else { text(bytes) };
        let (id, message) = self.status();
        let description = STATUSES.iter().find(|(known, _)| *known == id).map_or("", |(_, name)| name);
        let message = message.map_or(Some(Value::Null), |message| text(message.as_bytes()));
        let ran = match &self.state {
            State::Ended(outcome) => Some(outcome),
            _ => None,
        };
        let compiled = match &self.state {
            State::Refused(outcome) => printed(&outcome.stderr),
            _ => Some(Value::Null),
        };
        let out =
            |take: fn(&Outcome) -> &[u8]| ran.map_or(Some(Value::Null), |outcome| printed(take(outcome)));
        let code = match ran.map(|outcome| outcome.termination) {
            Some(Termination::Exited(code)) => json!(code),
            _ => Value::Null,
        };
        let signal = match ran.map(|outcome| outcome.termination) {
            Some(Termination::Signaled(signal)) => json!(signal),
            _ => Value::Null,
        };
        let seconds = |time: std::time::Duration| json!(format!("{:.3}", time.as_secs_f64()));
        let time = ran.map_or(Value::Null, |outcome| seconds(outcome.usage.cpu_time));
        let wall = ran.map_or(Value::Null, |outcome| seconds(outcome.usage.wall_time));
        let memory = ran.map_or(Value::Null, |outcome| json!(outcome.usage.peak_memory >> 10));
        std::collections::BTreeMap::from([
            ("source_code", text(&self.source_code)),
            ("language_id", Some(json!(self.language_id))),
            ("stdin", maybe(self.stdin.as_deref())),
            ("expected_output", maybe(self.expected_output.as_deref())),
            ("stdout", out(|outcome| &outcome.stdout)),
            ("stderr", out(|outcome| &outcome.stderr)),
            ("compile_output", compiled),
            ("message", message),
            ("time", Some(time)),
            ("wall_time", Some(wall)),
            ("memory", Some(memory)),
            ("exit_code", Some(code)),
            ("exit_signal", Some(signal)),
            ("token", Some(json!(self.token))),
            ("status_id", Some(json!(id))),
            ("status", Some(json!({ "id": id, "description": description }))),
        ])
    }

    fn status(&self) -> (u32, Option<String>) {
        match &self.state {
            State::Pending => (1, None),
            State::Refused(_) => (6, None),
            State::Failed(why) => (13, Some(why.clone())),
            State::Ended(outcome) => match outcome.termination {
                Termination::Exited(0) => (self.compare(&outcome.stdout), None),
                Termination::Exited(code) => (11, Some(format!("Exited with error status {code}"))),
                Termination::CpuTimeLimit | Termination::WallTimeLimit => {
                    (5, Some("Time limit exceeded".into()))
                }
                Termination::OutputLimit => (8, Some("Output limit exceeded".into())),
                Termination::Signaled(signal) => {
                    let id = match signal {
                        11 => 7,
                        25 => 8,
                        8 => 9,
                        6 => 10,
                        _ => 12,
                    };
                    (id, Some(format!("Caught fatal signal {signal}")))
                }
                Termination::MemoryLimit => (12, Some("Memory limit exceeded".into())),
                Termination::ProcessLimit => (12, Some("Process limit exceeded".into())),
                Termination::ForbiddenSyscall => (12, Some("Forbidden system call".into())),
                Termination::BrokeSlots => (12, Some("Broke three fresh slots".into())),
            },
        }
    }

    fn compare(&self, stdout: &[u8]) -> u32 {
        let Some(expected) = &self.expected_output else { return 3 };
        let trimmed = |bytes: &[u8]| -> Vec<Vec<u8>> {
            let mut lines: Vec<Vec<u8>> =
                bytes.split(|byte| *byte == b'\n').map(|line| line.trim_ascii_end().to_owned()).collect();
            while lines.last().is_some_and(Vec::is_empty) {
                lines.pop();
            }
            lines
        };
        if trimmed(expected) == trimmed(stdout) { 3 } else { 4 }
    }
}

/// Every status.
pub(crate) const STATUSES: [(u32, &str); 14] = [
    (1, "In Queue"),
    (2, "Processing"),
    (3, "Accepted"),
    (4, "Wrong Answer"),
    (5, "Time Limit Exceeded"),
    (6, "Compilation Error"),
    (7, "Runtime Error (SIGSEGV)"),
    (8, "Runtime Error (SIGXFSZ)"),
    (9, "Runtime Error (SIGFPE)"),
    (10, "Runtime Error (SIGABRT)"),
    (11, "Runtime Error (NZEC)"),
    (12, "Runtime Error (Other)"),
    (13, "Internal Error"),
    (14, "Exec Format Error"),
];

/// `/config_info`: limits are what the service allows, and what it lacks is said to be off.
pub(crate) fn config_info(max_time: f64, max_memory: u64, queue: usize) -> Value {
    let kilobytes = max_memory >> 10;
    json!({
        "enable_wait_result": true,
        "enable_compiler_options": false,
        "allowed_languages_for_compile_options": [],
        "enable_command_line_arguments": true,
        "enable_submission_delete": false,
        "enable_callbacks": false,
        "callbacks_max_tries": 0,
        "callbacks_timeout": 0,
        "enable_additional_files": false,
        "max_queue_size": queue,
        "cpu_time_limit": 5.0,
        "cpu_extra_time": 0.0,
        "max_cpu_time_limit": max_time,
        "max_cpu_extra_time": 0.0,
        "wall_time_limit": 10.0,
        "max_wall_time_limit": max_time,
        "memory_limit": 128_000,
        "max_memory_limit": kilobytes,
        "stack_limit": 524_288,
        "max_stack_limit": 524_288,
        "max_processes_and_or_threads": 64,
        "max_max_processes_and_or_threads": 64,
        "enable_per_process_and_thread_time_limit": false,
        "allow_enable_per_process_and_thread_time_limit": false,
        "enable_per_process_and_thread_memory_limit": false,
        "allow_enable_per_process_and_thread_memory_limit": false,
        "max_file_size": 65_536,
        "max_max_file_size": 65_536,
        "number_of_runs": 1,
        "max_number_of_runs": 1,
        "redirect_stderr_to_stdout": false,
        "allow_redirect_stderr_to_stdout": false,
        "enable_batched_submissions": true,
        "max_submission_batch_size": MAX_BATCH,
        "submission_cache_duration": 0.0,
        "use_docs_as_homepage": false,
        "enable_network": false,
        "allow_enable_network": false,
        "maintenance_mode": false,
    })
}

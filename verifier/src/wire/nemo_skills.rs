//! NeMo-Skills' sandbox, `POST /execute`, without sessions.
//!
//! In: `generated_code`, `timeout` in seconds, `language` (`python`, `python3`, `pypy3` as `python`; what is left out is `ipython`),
//! `std_input`, `max_output_characters` (1,000) and `traceback_verbosity`, which is passed over. Out: `{process_status,
//! stdout, stderr}`, the status `completed`, `error` or `timeout`.
//!
//! Nothing is kept between requests: `ipython` (the client's default), `lean4` and `shell` are answered `error` with the reason on
//! stderr. The client waits `timeout + 5` s; it takes an HTTP error's body for the program's output. Source: the notes on
//! NeMo-Skills' `local_sandbox_server.py`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the client adds to the program's time before it gives up.
pub(crate) const CLIENT_SLACK: Duration = Duration::from_secs(5);

/// The body.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "NemoSkillsExecuteRequest")]
pub(crate) struct ExecuteRequest {
    pub(crate) generated_code: String,
    pub(crate) timeout: f64,
    #[serde(default = "ipython")]
    pub(crate) language: String,
    #[serde(default)]
    pub(crate) std_input: Option<String>,
    #[serde(default = "thousand")]
    pub(crate) max_output_characters: usize,
}

/// The reply.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "NemoSkillsExecuteResponse")]
pub(crate) struct ExecuteResponse {
    pub(crate) process_status: &'static str,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

fn ipython() -> String {
    "ipython".into()
}

fn thousand() -> usize {
    1000
}

/// The text up to so many characters, and a mark where there were more.
pub(crate) fn cut(text: String, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text,
        Some((end, _)) => format!("{}<output cut>", &text[..end]),
    }
}

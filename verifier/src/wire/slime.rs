//! `POST /rm` in slime's form (`--rm-type remote_rm --rm-url URL`).
//!
//! In: `{"prompt", "response", "label"}` of one sample; other fields are passed over, and `prompt` may be text or
//! messages, since it is not read. Out: the whole reply is the reward. It is a bare number; a client that runs with
//! `--reward-key NAME` puts the same name into its URL, `/rm?reward_key=NAME`, and gets an object with that key and
//! the verdict.
//!
//! The client gives up after 120 s and ten tries, and then raises. So what has no reward is an HTTP error, never a
//! number. What a label may be: `wire/label.rs`. Source: the notes on slime's `rollout/rm_hub`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::GradeResponse;

/// How long the client waits for an answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The body of `/rm`.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SlimeRewardRequest")]
pub(crate) struct RewardRequest {
    /// What the model wrote.
    pub(crate) response: String,
    /// Against what it is graded.
    pub(crate) label: Value,
}

/// The name the client wants its reward under, if it named one in its URL.
pub(crate) fn reward_key(query: Option<&str>) -> Result<Option<&str>, String> {
    let pairs = query.unwrap_or_default().split('&');
    let Some(key) = pairs.into_iter().find_map(|pair| pair.strip_prefix("reward_key=")) else {
        return Ok(None);
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if key.is_empty() || !key.bytes().all(plain) {
        return Err("`reward_key` in the URL must be letters, digits, `_`, `-` and `.`".into());
    }
    if ["verdict", "passed", "total", "reason"].contains(&key) {
        return Err(format!("`reward_key` cannot be {key:?}: the reply has something else under that name"));
    }
    Ok(Some(key))
}

/// The reply.
pub(crate) fn reply(reward: f64, graded: &GradeResponse, key: Option<&str>) -> Value {
    match key {
        None => json!(reward),
        Some(key) => json!({
            key: reward,
            "verdict": graded.verdict,
            "passed": graded.passed,
            "total": graded.total,
            "reason": graded.reason,
        }),
    }
}

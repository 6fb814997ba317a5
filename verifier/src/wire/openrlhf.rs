//! `POST /get_reward` in OpenRLHF's form (its option `reward.remote_url`, before `--remote_rm_url`).
//!
//! In: `{"query": [prompt and response as one text, special tokens kept], "prompts": [..], "labels": [..]}`, one
//! sample per request from today's client, several from older ones; servers of early 2025 got no `prompts`. Other
//! fields are passed over. Out: `{"rewards": [..], "scores": [..], "extra_logs": {name: [..]}}`.
//!
//! The client gives up after 180 s and five tries, whatever the error; then the rollout's reward stays None. So what
//! has no reward (a failure of ours, a label nobody can judge) is an HTTP error for the whole request, never a
//! number. What a label may be: `wire/label.rs`. Source: the notes on OpenRLHF 0.11.0's `utils/agent.py`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::GradeResponse;

/// How long the client waits for an answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// The body of `/get_reward`.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "OpenRlhfRewardRequest")]
pub(crate) struct RewardRequest {
    query: Vec<String>,
    #[serde(default)]
    prompts: Vec<String>,
    #[serde(default)]
    labels: Vec<Value>,
}

/// The reply; every list has an entry per query.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "OpenRlhfRewardResponse")]
pub(crate) struct RewardResponse {
    rewards: Vec<f64>,
    scores: Vec<f64>,
    extra_logs: ExtraLogs,
}

/// What the client averages and logs beside the reward.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "OpenRlhfExtraLogs")]
struct ExtraLogs {
    no_answer: Vec<f64>,
    time_limit_exceeded: Vec<f64>,
}

impl RewardRequest {
    /// Each response with its label; the error says which list does not fit.
    pub(crate) fn samples(self) -> Result<Vec<(String, Value)>, String> {
        let count = self.query.len();
        if self.labels.len() != count {
            return Err(format!(
                "there are {} `labels` for {count} queries; without a label there is nothing to grade against",
                self.labels.len()
            ));
        }
        if !self.prompts.is_empty() && self.prompts.len() != count {
            return Err(format!("there are {} `prompts` for {count} queries", self.prompts.len()));
        }
        let prompts = self.prompts.iter().map(Some).chain(std::iter::repeat(None));
        let responses = self.query.iter().zip(prompts);
        let responses =
            responses.map(|(query, prompt)| response(query, prompt.map(String::as_str)).to_owned());
        Ok(responses.zip(self.labels).collect())
    }
}

impl RewardResponse {
    /// Adds a graded sample.
    pub(crate) fn push(&mut self, reward: f64, graded: &GradeResponse) {
        let is = |verdict: &str| f64::from(u8::from(graded.verdict == Some(verdict)));
        self.rewards.push(reward);
        self.scores.push(reward);
        self.extra_logs.no_answer.push(is("no_answer"));
        self.extra_logs.time_limit_exceeded.push(is("time_limit_exceeded"));
    }
}

/// What chat templates put in front of an answer.
const ASSISTANT: [&str; 5] = [
    "<|im_start|>assistant\n",
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "<start_of_turn>model\n",
    "<\u{ff5c}Assistant\u{ff5c}>",
    "[/INST]",
];

/// What chat templates put behind an answer.
const END: [&str; 6] = [
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<end_of_turn>",
    "<\u{ff5c}end\u{2581}of\u{2581}sentence\u{ff5c}>",
    "</s>",
];

/// The response in a query: what follows the prompt, else what follows the last turn of the assistant's, else all of
/// it; without the tokens that end it.
fn response<'a>(query: &'a str, prompt: Option<&str>) -> &'a str {
    let turn = || ASSISTANT.iter().filter_map(|mark| Some(query.rfind(mark)? + mark.len())).max();
    let mut response = match prompt.and_then(|prompt| query.strip_prefix(prompt)) {
        Some(response) => response,
        None => &query[turn().unwrap_or(0)..],
    };
    while let Some(shorter) = END.iter().find_map(|end| response.trim_end().strip_suffix(end)) {
        response = shorter;
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_response_is_found_in_the_query() {
        let rows = [
            ("What? It is 4.", Some("What?"), " It is 4."),
            ("<|im_start|>user\n2+2<|im_end|>\n<|im_start|>assistant\n4<|im_end|>\n", None, "4"),
            ("<|im_start|>assistant\n3<|im_end|>\n<|im_start|>assistant\n4<|im_end|>", Some("other"), "4"),
            ("[INST] 2+2 [/INST] 4</s>", None, " 4"),
            ("<\u{ff5c}User\u{ff5c}>2+2<\u{ff5c}Assistant\u{ff5c}>4", None, "4"),
            ("4<|im_end|><|endoftext|>", Some(""), "4"),
            ("no mark", None, "no mark"),
            ("", None, ""),
            ("prompt", Some("prompt"), ""),
        ];
        for (query, prompt, want) in rows {
            assert_eq!(response(query, prompt), want, "{query:?}");
        }
    }
}

//! veRL's rows, PRIME's among them: `{data_source, prompt: messages, reward_model: {ground_truth}}`, the tests in
//! `ground_truth` as `{inputs, outputs, fn_name?}`. A `ground_truth` that is no JSON object is a math answer.

use crate::cases::{About, pairs, unquoted};
use crate::error::Misfit;
use crate::fields::Fields;
use crate::problem::{MathTask, Problem, Task};

/// Where the prompt is.
pub(crate) const PROMPTS: [&str; 1] = ["prompt"];

/// Whether a record looks like veRL's.
pub(crate) fn fits(fields: &Fields<'_>) -> bool {
    fields.has("reward_model")
}

/// Reads such a row, whose prompt is known.
pub(crate) fn problem(fields: &Fields<'_>, place: u64, prompt: &str) -> Result<Problem, Misfit> {
    let raw = fields.raw("reward_model").ok_or_else(|| fields.missing("`reward_model`"))?;
    let model = Fields::parse(raw.as_bytes(), "`reward_model`, a JSON object")?;
    let raw = model.raw("ground_truth").ok_or_else(|| model.missing("a `ground_truth`"))?;
    let text = unquoted(raw, "ground_truth")?;
    let extra = fields.raw("extra_info").unwrap_or("{}");
    let extra = Fields::parse(extra.as_bytes(), "`extra_info`, a JSON object")?;
    let index = extra.id(&["question_id", "id", "index"])?;
    let platform = fields.optional_string("data_source")?;
    let prompt = prompt.to_owned();
    if !text.trim_start().starts_with('{') {
        let question_id = index.unwrap_or_else(|| place.to_string());
        let task = Task::Math(MathTask { ground_truth: text, error: None });
        return Ok(Problem { question_id, prompt, task, difficulty: None, platform, contest_date: None });
    }
    let about = About { question_id: index, prompt, platform, ..About::default() };
    Ok(about.problem(place, pairs(&text, "ground_truth")?))
}

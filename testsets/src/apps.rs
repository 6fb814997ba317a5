//! APPS and TACO: a row with `input_output`, `{inputs, outputs, fn_name?}`, mostly as JSON in a string.

use crate::cases::{About, pairs, unquoted};
use crate::error::Misfit;
use crate::fields::Fields;
use crate::problem::Problem;

/// Whether a record looks like one of APPS or TACO.
pub(crate) fn fits(fields: &Fields<'_>) -> bool {
    fields.has("input_output")
}

/// Reads such a row.
pub(crate) fn problem(fields: &Fields<'_>, place: u64) -> Result<Problem, Misfit> {
    let raw = fields.raw("input_output").ok_or_else(|| fields.missing("`input_output`"))?;
    let mut task = pairs(&unquoted(raw, "input_output")?, "input_output")?;
    task.starter_code = fields.optional_string("starter_code")?.unwrap_or_default();
    let about = About {
        question_id: fields.id(&["question_id", "problem_id", "id"])?,
        prompt: fields.optional_string("question")?.unwrap_or_default(),
        difficulty: fields.optional_string("difficulty")?,
        platform: fields.optional_string("source")?,
        contest_date: fields.optional_string("date")?,
    };
    Ok(about.problem(place, task))
}

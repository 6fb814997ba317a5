//! BigCodeBench: `complete_prompt` (a program's beginning), `instruct_prompt`, and `test`, a class of `unittest`.

use crate::cases::{About, script};
use crate::error::Misfit;
use crate::fields::Fields;
use crate::problem::Problem;

/// Whether a record looks like BigCodeBench's.
pub(crate) fn fits(fields: &Fields<'_>) -> bool {
    fields.has("complete_prompt") && fields.has("test")
}

/// Reads such a row.
pub(crate) fn problem(fields: &Fields<'_>, place: u64) -> Result<Problem, Misfit> {
    let prompt = fields.string("complete_prompt")?;
    let test = fields.string("test")?;
    let about = About {
        question_id: fields.id(&["task_id"])?,
        prompt: fields.optional_string("instruct_prompt")?.unwrap_or_else(|| prompt.clone()),
        ..About::default()
    };
    Ok(about.problem(place, script(prompt, test)?))
}

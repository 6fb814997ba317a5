//! MultiPL-E: `prompt`, the beginning of a program in `language`, and `tests`, the end of it.

use crate::cases::{About, script};
use crate::error::Misfit;
use crate::fields::Fields;
use crate::problem::Problem;

/// Whether a record looks like MultiPL-E's.
pub(crate) fn fits(fields: &Fields<'_>) -> bool {
    ["prompt", "language", "tests", "name"].iter().all(|name| fields.has(name))
}

/// Reads such a row.
pub(crate) fn problem(fields: &Fields<'_>, place: u64) -> Result<Problem, Misfit> {
    let prompt = fields.string("prompt")?;
    let about = About {
        question_id: fields.id(&["name"])?,
        prompt: prompt.clone(),
        platform: fields.optional_string("language")?,
        ..About::default()
    };
    Ok(about.problem(place, script(prompt, fields.string("tests")?)?))
}

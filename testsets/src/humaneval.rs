//! HumanEval and HumanEval+: `prompt` (the function's head), `entry_point`, and `test`, code with a function `check`.

use crate::cases::{About, script};
use crate::error::Misfit;
use crate::fields::Fields;
use crate::problem::Problem;

/// Whether a record looks like HumanEval's.
pub(crate) fn fits(fields: &Fields<'_>) -> bool {
    ["prompt", "entry_point", "test"].iter().all(|name| fields.has(name))
}

/// Reads such a row.
pub(crate) fn problem(fields: &Fields<'_>, place: u64) -> Result<Problem, Misfit> {
    let entry_point = fields.string("entry_point")?;
    let mut test = fields.string("test")?;
    if test.contains("def check(") && !test.contains(&format!("\ncheck({entry_point})")) {
        test.push_str(&format!("\ncheck({entry_point})\n"));
    }
    let prompt = fields.string("prompt")?;
    let about = About { question_id: fields.id(&["task_id"])?, prompt: prompt.clone(), ..About::default() };
    Ok(about.problem(place, script(prompt, test)?))
}

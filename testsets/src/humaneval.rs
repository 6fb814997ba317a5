//! HumanEval and HumanEval+: `prompt` (the function's head), `entry_point`, and `test`, code with a function
//! `check`. One of nothing but assertions over literals becomes calls; any other stays a script.

use crate::cases::{About, asserted, script};
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
    let prompt = fields.string("prompt")?;
    let calls =
        body_of_check(&test, &entry_point).and_then(|body| asserted(&prompt, Some(&entry_point), body));
    if test.contains("def check(") && !test.contains(&format!("\ncheck({entry_point})")) {
        test.push_str(&format!("\ncheck({entry_point})\n"));
    }
    let about = About { question_id: fields.id(&["task_id"])?, prompt: prompt.clone(), ..About::default() };
    Ok(about.problem(place, calls.map_or_else(|| script(prompt, test), Ok)?))
}

/// What stands in `check(candidate)`, where nothing else does anything.
fn body_of_check<'a>(test: &'a str, entry_point: &str) -> Option<&'a str> {
    let (before, body) = test.split_once("def check(candidate):")?;
    let before = before.trim();
    let idle = before.is_empty() || before.starts_with("METADATA = {") && before.ends_with('}');
    let body = body.trim_end();
    idle.then(|| body.strip_suffix(&format!("\ncheck({entry_point})")).unwrap_or(body))
}

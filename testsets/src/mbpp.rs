//! MBPP and MBPP+: `test_list`, assertions, with `test_imports` or `test_setup_code` before them; MBPP+ has all of its
//! tests as code in `test`. Assertions of nothing but literals become calls; all others stay a script.

use crate::cases::{About, asserted, script};
use crate::error::Misfit;
use crate::fields::{Fields, read};
use crate::problem::Problem;

/// Whether a record looks like MBPP's.
pub(crate) fn fits(fields: &Fields<'_>) -> bool {
    fields.has("test_list")
}

/// Reads such a row.
pub(crate) fn problem(fields: &Fields<'_>, place: u64) -> Result<Problem, Misfit> {
    let list = |name: &str| -> Result<Vec<String>, Misfit> {
        fields.raw(name).map_or(Ok(Vec::new()), |raw| read(raw, name, "a list of strings"))
    };
    let setup =
        [list("test_imports")?, fields.optional_string("test_setup_code")?.into_iter().collect()].concat();
    let tests = match fields.optional_string("test")? {
        Some(test) => vec![test],
        None => [list("test_list")?, list("challenge_test_list")?].concat(),
    };
    let alone = setup.iter().all(|line| line.trim().is_empty());
    let calls = if alone { asserted("", None, &tests.join("\n")) } else { None };
    let code = if tests.is_empty() { String::new() } else { [setup, tests].concat().join("\n") };
    let about = About {
        question_id: fields.id(&["task_id"])?,
        prompt: match fields.first(&["text", "prompt"]) {
            Some((name, raw)) => read(raw, name, "a string")?,
            None => String::new(),
        },
        ..About::default()
    };
    Ok(about.problem(place, calls.map_or_else(|| script(String::new(), code), Ok)?))
}

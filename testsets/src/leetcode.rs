//! LeetCodeDataset: `input_output` is a list of `{input: "n = 7, rows = [[1]]", output: "[2]"}`, Python literals, and
//! `entry_point` is `Solution().f`.

use crate::cases::{About, task};
use crate::error::{Misfit, clip};
use crate::fields::{Fields, read};
use crate::literal;
use crate::problem::Problem;
use serde::Deserialize;

/// Whether a record looks like LeetCodeDataset's.
pub(crate) fn fits(fields: &Fields<'_>) -> bool {
    fields.has("entry_point") && fields.has("input_output")
}

#[derive(Deserialize)]
struct Test {
    input: String,
    output: String,
}

/// Reads such a row. Its tests are in the order of the function's parameters.
pub(crate) fn problem(fields: &Fields<'_>, place: u64) -> Result<Problem, Misfit> {
    let entry_point = fields.string("entry_point")?;
    let function = entry_point.rsplit('.').next().unwrap_or_default().to_owned();
    let raw = fields.raw("input_output").ok_or_else(|| fields.missing("`input_output`"))?;
    let tests: Vec<Test> = read(raw, "input_output", "a list of {input, output}, strings")?;
    // Where a reference failed, the set has what it printed instead of a value.
    let tests = tests.into_iter().filter(|test| !test.output.starts_with("Error"));
    let pairs: Result<Vec<(String, String)>, Misfit> = tests
        .map(|test| {
            Ok((
                literal::keywords(&test.input).map_err(wrong(&test.input))?,
                literal::value(&test.output).map_err(wrong(&test.output))?,
            ))
        })
        .collect();
    let mut code = task(Some(function), pairs?)?;
    code.starter_code = fields.optional_string("starter_code")?.unwrap_or_default();
    let about = About {
        question_id: fields.id(&["task_id", "question_id"])?,
        prompt: fields
            .optional_string("problem_description")?
            .or(fields.optional_string("query")?)
            .unwrap_or_default(),
        difficulty: fields.optional_string("difficulty")?.map(|difficulty| difficulty.to_lowercase()),
        platform: Some("leetcode".to_owned()),
        contest_date: fields.optional_string("estimated_date")?,
    };
    Ok(about.problem(place, code))
}

fn wrong(text: &str) -> impl FnOnce(String) -> Misfit {
    let found = clip(text);
    move |why| Misfit::new("a Python literal in a test", format!("{found} ({why})"), "leave the row out")
}

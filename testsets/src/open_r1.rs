//! open-r1's rows: `verification_info` with `{language, test_cases: [{input, output, type}]}`, or Codeforces rows with
//! `official_tests` (and limits of their own).

use crate::cases::{About, amount, task, unquoted};
use crate::error::{Misfit, clip};
use crate::fields::{Fields, read};
use crate::problem::{CodeTask, Problem};
use serde::Deserialize;
use std::time::Duration;

/// Whether a record looks like open-r1's.
pub(crate) fn fits(fields: &Fields<'_>) -> bool {
    fields.has("verification_info") || fields.has("official_tests")
}

/// Reads such a row.
pub(crate) fn problem(fields: &Fields<'_>, place: u64) -> Result<Problem, Misfit> {
    let mut code = match fields.raw("verification_info") {
        Some(raw) => {
            let text = unquoted(raw, "verification_info")?;
            let info = Fields::parse(text.as_bytes(), "`verification_info`, a JSON object")?;
            tests(info.raw("test_cases").ok_or_else(|| info.missing("`test_cases`"))?, "test_cases")?
        }
        None => {
            let raw = fields
                .raw("official_tests")
                .ok_or_else(|| fields.missing("`verification_info` or `official_tests`"))?;
            if fields.optional_string("input_mode")?.is_some_and(|mode| mode != "stdio") {
                return Err(Misfit::new(
                    "input_mode `stdio`",
                    "another one",
                    "leave the row out: it wants files",
                ));
            }
            tests(raw, "official_tests")?
        }
    };
    code.limits.cpu_time = amount(fields, "time_limit")?.map(Duration::from_secs_f64);
    // Codeforces states megabytes.
    code.limits.memory =
        amount(fields, "memory_limit")?.map(|megabytes| (megabytes * f64::from(1 << 20)) as u64);
    let about = About {
        question_id: fields.id(&["question_id", "problem_id", "id"])?,
        prompt: match fields.first(&["problem", "problem_statement", "description", "prompt"]) {
            Some((name, raw)) => read(raw, name, "a string")?,
            None => String::new(),
        },
        platform: fields.optional_string("source")?,
        ..About::default()
    };
    Ok(about.problem(place, code))
}

#[derive(Deserialize)]
struct Test {
    input: String,
    output: String,
    #[serde(rename = "type")]
    kind: Option<String>,
    fn_name: Option<String>,
}

fn tests(raw: &str, name: &str) -> Result<CodeTask, Misfit> {
    let rows: Vec<Test> = read(raw, name, "a list of {input, output}, strings")?;
    let function = rows.first().and_then(|row| row.fn_name.clone()).filter(|name| !name.is_empty());
    for row in &rows {
        let kind = row.kind.as_deref().unwrap_or("stdin_stdout");
        let expected = if function.is_some() { "function_call" } else { "stdin_stdout" };
        if kind != expected && !(kind == "stdin" && function.is_none()) {
            return Err(Misfit::new(format!("tests of type `{expected}`"), clip(kind), "correct that test"));
        }
    }
    task(function, rows.into_iter().map(|row| (row.input, row.output)).collect())
}

//! CodeContests in its JSON form: `public_tests`, `private_tests` and `generated_tests`, each `{input: [...], output:
//! [...]}`, with limits of their own.

use crate::cases::{About, amount, task};
use crate::error::Misfit;
use crate::fields::{Fields, read};
use crate::problem::{Checker, Problem};
use serde::Deserialize;
use std::time::Duration;

const TESTS: [&str; 3] = ["public_tests", "private_tests", "generated_tests"];

/// Whether a record looks like CodeContests'.
pub(crate) fn fits(fields: &Fields<'_>) -> bool {
    fields.first(&TESTS).is_some()
}

/// Reads such a row. Its tests come from Codeforces and its like, where tokens are compared.
pub(crate) fn problem(fields: &Fields<'_>, place: u64) -> Result<Problem, Misfit> {
    if let Some(file) = fields.optional_string("input_file")?.filter(|file| !file.is_empty()) {
        return Err(Misfit::new(
            "a problem that reads stdin",
            format!("`input_file` {file}"),
            "leave the row out",
        ));
    }
    let mut tests = Vec::new();
    for name in TESTS {
        tests.extend(side(fields, name)?);
    }
    let mut code = task(None, tests)?;
    code.checker = Checker::Tokens;
    code.limits.cpu_time = time_limit(fields)?;
    code.limits.memory = amount(fields, "memory_limit_bytes")?.map(|bytes| bytes as u64);
    let about = About {
        question_id: fields.id(&["name", "id"])?,
        prompt: fields.optional_string("description")?.unwrap_or_default(),
        ..About::default()
    };
    Ok(about.problem(place, code))
}

#[derive(Deserialize)]
struct Columns {
    input: Vec<String>,
    output: Vec<String>,
}

#[derive(Deserialize)]
struct Row {
    input: String,
    output: String,
}

fn side(fields: &Fields<'_>, name: &str) -> Result<Vec<(String, String)>, Misfit> {
    let Some(raw) = fields.raw(name) else { return Ok(Vec::new()) };
    if raw.starts_with('[') {
        let rows: Vec<Row> = read(raw, name, "a list of {input, output}, strings")?;
        return Ok(rows.into_iter().map(|row| (row.input, row.output)).collect());
    }
    let columns: Columns = read(raw, name, "{input: [...], output: [...]}, strings")?;
    if columns.input.len() != columns.output.len() {
        let found = format!("{} and {}", columns.input.len(), columns.output.len());
        return Err(Misfit::new(
            format!("as many outputs as inputs in `{name}`"),
            found,
            "correct the tests",
        ));
    }
    Ok(columns.input.into_iter().zip(columns.output).collect())
}

/// `{seconds, nanos}` or a number of seconds.
fn time_limit(fields: &Fields<'_>) -> Result<Option<Duration>, Misfit> {
    match fields.raw("time_limit") {
        Some(raw) if raw.starts_with('{') => {
            let limit = Fields::parse(raw.as_bytes(), "`time_limit`, a JSON object")?;
            let part = |name: &str| limit.raw(name).map_or(Ok(0.0), |raw| read::<f64>(raw, name, "a number"));
            let seconds = part("seconds")? + part("nanos")? / 1e9;
            Ok(Duration::try_from_secs_f64(seconds).ok().filter(|limit| !limit.is_zero()))
        }
        _ => Ok(amount(fields, "time_limit")?.map(Duration::from_secs_f64)),
    }
}

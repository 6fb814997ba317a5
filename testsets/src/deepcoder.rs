//! rllm's rows (DeepCoder): `tests`, as JSON in a string, is `{inputs, outputs, fn_name?}` or a list of tests, each
//! `{input, output}` with the function in `fn_name` or `metadata.func_name`.

use crate::cases::{About, arguments, one_line, pairs, task, unquoted};
use crate::error::{Misfit, clip};
use crate::fields::{Fields, read};
use crate::problem::{CodeTask, Problem};
use serde_json::value::RawValue;

/// Whether a record looks like rllm's.
pub(crate) fn fits(fields: &Fields<'_>) -> bool {
    fields.has("tests")
}

/// Reads such a row.
pub(crate) fn problem(fields: &Fields<'_>, place: u64) -> Result<Problem, Misfit> {
    let raw = fields.raw("tests").ok_or_else(|| fields.missing("`tests`"))?;
    let text = unquoted(raw, "tests")?;
    let mut code = if text.trim_start().starts_with('[') { list(&text)? } else { pairs(&text, "tests")? };
    code.starter_code = fields.optional_string("starter_code")?.unwrap_or_default();
    let about = About {
        question_id: fields.id(&["question_id", "uid", "id", "problem_id"])?,
        prompt: match fields.first(&["problem", "question", "prompt"]) {
            Some((name, raw)) => read(raw, name, "a string")?,
            None => String::new(),
        },
        platform: fields.optional_string("data_source")?,
        ..About::default()
    };
    Ok(about.problem(place, code))
}

fn list(text: &str) -> Result<CodeTask, Misfit> {
    let rows: Vec<&RawValue> = read(text, "tests", "a list of tests")?;
    let mut function: Option<Option<String>> = None;
    let mut tests = Vec::new();
    for row in rows {
        let fields = Fields::parse(row.get().as_bytes(), "a test, a JSON object")?;
        let name = name(&fields)?;
        if *function.get_or_insert_with(|| name.clone()) != name {
            let found = clip(name.as_deref().unwrap_or("stdin"));
            return Err(Misfit::new(
                "tests all of one function, or all of stdin",
                found,
                "split the problem",
            ));
        }
        tests.push((side(&fields, "input", name.is_some())?, side(&fields, "output", name.is_some())?));
    }
    task(function.flatten(), tests)
}

fn name(fields: &Fields<'_>) -> Result<Option<String>, Misfit> {
    let own = fields.optional_string("fn_name")?;
    let metadata = match fields.raw("metadata") {
        Some(raw) if own.is_none() => {
            Fields::parse(raw.as_bytes(), "`metadata`, a JSON object")?.optional_string("func_name")?
        }
        _ => None,
    };
    Ok(own.or(metadata).filter(|name| !name.is_empty()))
}

/// Text as it is; of a function's test, a list of arguments, and a list of one result.
fn side(fields: &Fields<'_>, name: &str, call: bool) -> Result<String, Misfit> {
    let raw = fields.raw(name).ok_or_else(|| fields.missing(&format!("`{name}` in a test")))?;
    match (raw.starts_with('"'), call, name) {
        (true, ..) => read(raw, name, "a string"),
        (false, true, "input") => arguments(raw),
        (false, true, _) => match read::<Vec<&RawValue>>(raw, name, "a list of one result")?[..] {
            [one] => Ok(one_line(one.get())),
            _ => Err(Misfit::new("one result in `output`", clip(raw), "write the result in a list")),
        },
        (false, false, _) => {
            Err(Misfit::new(format!("`{name}` to be a string"), clip(raw), "write text there"))
        }
    }
}

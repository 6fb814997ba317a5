//! Math rows: one object with a problem and its answer, under the names the common sets use.

use crate::error::{Misfit, clip};
use crate::fields::{Fields, read};
use crate::problem::{MathTask, Problem, Task};

const IDS: [&str; 7] = ["question_id", "problem_id", "unique_id", "id", "idx", "index", "task_id"];
const PROMPTS: [&str; 3] = ["problem", "question", "prompt"];
const GOLDS: [&str; 5] = ["ground_truth", "expected_answer", "final_answer", "gold", "answer"];

/// Whether a record looks like a math row.
pub(crate) fn fits(fields: &Fields<'_>) -> bool {
    fields.first(&GOLDS).is_some()
}

/// Reads a math row; without an id it is named by its place in the file, counted from 0.
pub(crate) fn problem(fields: &Fields<'_>, index: u64) -> Result<Problem, Misfit> {
    let (name, raw) =
        fields.first(&GOLDS).ok_or_else(|| fields.missing(&format!("one of {}", GOLDS.join(", "))))?;
    let prompt = match fields.first(&PROMPTS) {
        Some((name, raw)) => read(raw, name, "a string")?,
        None => String::new(),
    };
    let text = |name| match fields.raw(name) {
        Some(raw) if !raw.starts_with('"') => Ok(Some(raw.to_owned())),
        _ => fields.optional_string(name),
    };
    Ok(Problem {
        question_id: fields.id(&IDS)?.unwrap_or_else(|| index.to_string()),
        prompt,
        task: Task::Math(MathTask { ground_truth: gold(name, raw)? }),
        difficulty: match text("difficulty")? {
            Some(difficulty) => Some(difficulty),
            None => text("level")?,
        },
        platform: fields.optional_string("platform")?,
        contest_date: None,
    })
}

/// A gold: a string, a number taken as it is written, or a list of exactly one of these.
fn gold(name: &str, raw: &str) -> Result<String, Misfit> {
    let hint = "write one answer as a string";
    let answer = match raw.as_bytes().first() {
        Some(b'"') => worked(&read::<String>(raw, name, "a string")?).to_owned(),
        Some(b'-' | b'0'..=b'9') => raw.to_owned(),
        Some(b'[') => {
            let list: Vec<&serde_json::value::RawValue> = serde_json::from_str(raw)
                .map_err(|error| Misfit::new(format!("`{name}` to be a list"), error.to_string(), hint))?;
            match list[..] {
                [one] if !one.get().starts_with('[') => gold(name, one.get())?,
                _ => return Err(Misfit::new(format!("one answer in `{name}`"), clip(raw), hint)),
            }
        }
        _ => return Err(Misfit::new(format!("`{name}` to be a string or a number"), clip(raw), hint)),
    };
    match answer.trim().is_empty() {
        true => Err(Misfit::new(format!("an answer in `{name}`"), "an empty one", hint)),
        false => Ok(answer),
    }
}

/// GSM8K keeps the working in the answer and the gold after a last line `#### `.
fn worked(answer: &str) -> &str {
    match answer.rsplit_once("\n#### ") {
        Some((_, gold)) => gold.trim(),
        None => answer,
    }
}

//! Math rows: one object with a problem and its answer, under the names the common sets use.

use crate::error::{Misfit, clip};
use crate::fields::{Fields, read};
use crate::messages::MESSAGES;
use crate::problem::{MathTask, Problem, Task};

const IDS: [&str; 9] =
    ["question_id", "problem_id", "unique_id", "id", "ID", "idx", "problem_idx", "index", "task_id"];
pub(crate) const PROMPTS: [&str; 5] = ["problem", "question", "prompt", "Problem", MESSAGES];
/// Where veRL's rows keep the gold: `{"reward_model": {"ground_truth": ".."}}`.
const REWARD_MODEL: &str = "reward_model";
/// MATH's rows have no answer of their own: it stands in the last box of the solution.
const SOLUTIONS: [&str; 2] = ["solution", "Solution"];
const GOLDS: [&str; 6] = ["ground_truth", "expected_answer", "final_answer", "gold", "answer", "Answer"];
/// slime's gold. Elsewhere a label is often a class, so it counts where there is no other gold.
const LABEL: &str = "label";

/// Whether a record looks like a math row.
pub(crate) fn fits(fields: &Fields<'_>) -> bool {
    fields.first(&GOLDS).is_some()
        || fields.has(REWARD_MODEL)
        || fields.has(LABEL)
        || (fields.first(&PROMPTS).is_some() && boxed_solution(fields).is_ok_and(|found| found.is_some()))
}

/// Reads a math row, whose prompt is known; without an id it is named by its place in the file, counted from 0. The gold is
/// what is under `label`, or where common sets keep it.
pub(crate) fn problem(
    fields: &Fields<'_>,
    index: u64,
    prompt: &str,
    label: Option<&str>,
) -> Result<Problem, Misfit> {
    let ground_truth = match label {
        Some(name) => {
            gold(name, fields.raw(name).ok_or_else(|| fields.missing(&format!("an answer in `{name}`")))?)?
        }
        None => ground_truth(fields)?,
    };
    let text = |name| match fields.raw(name) {
        Some(raw) if !raw.starts_with('"') => Ok(Some(raw.to_owned())),
        _ => fields.optional_string(name),
    };
    Ok(Problem {
        question_id: fields.id(&IDS)?.unwrap_or_else(|| index.to_string()),
        prompt: prompt.to_owned(),
        task: Task::Math(MathTask { ground_truth, error: own_error(fields)? }),
        difficulty: match text("difficulty")? {
            Some(difficulty) => Some(difficulty),
            None => text("level")?,
        },
        platform: fields.optional_string("platform")?,
        contest_date: None,
    })
}

/// The `error` of an OlympiadBench row: `null`, a number, or numbers with commas between, one for each value of the gold, of
/// which the least is taken. Other sets mean other things by the name.
fn own_error(fields: &Fields<'_>) -> Result<Option<f64>, Misfit> {
    if !fields.has("final_answer") || !fields.has("answer_type") {
        return Ok(None);
    }
    let Some(raw) = fields.raw("error").filter(|raw| *raw != "null") else { return Ok(None) };
    let text = if raw.starts_with('"') { read::<String>(raw, "error", "a string")? } else { raw.to_owned() };
    let numbers = text.split(',').map(str::trim).filter(|number| !number.is_empty());
    let amounts: Option<Vec<f64>> = numbers
        .map(|number| number.parse().ok().filter(|error: &f64| error.is_finite() && *error >= 0.0))
        .collect();
    match amounts {
        Some(amounts) => Ok(amounts.into_iter().reduce(f64::min)),
        None => Err(Misfit::new(
            "`error` to be null, a number, or numbers with commas between",
            clip(raw),
            "write how far an answer may be from the gold, such as \"1e-2\"",
        )),
    }
}

/// The gold of a row, wherever its set keeps it.
fn ground_truth(fields: &Fields<'_>) -> Result<String, Misfit> {
    if let Some((name, raw)) = fields.first(&GOLDS) {
        return gold(name, raw);
    }
    if let Some(raw) = fields.raw(REWARD_MODEL) {
        let inner = Fields::parse(raw.as_bytes(), "a reward_model")?;
        let (name, raw) = inner.first(&GOLDS).ok_or_else(|| inner.missing("ground_truth"))?;
        return gold(name, raw);
    }
    if let Some(boxed) = boxed_solution(fields)? {
        return Ok(boxed);
    }
    let none = || fields.missing(&format!("one of {}, {LABEL}, or a boxed solution", GOLDS.join(", ")));
    gold(LABEL, fields.raw(LABEL).ok_or_else(none)?)
}

/// What stands in the last complete `\boxed{..}` of a solution.
fn boxed_solution(fields: &Fields<'_>) -> Result<Option<String>, Misfit> {
    let Some((name, raw)) = fields.first(&SOLUTIONS) else { return Ok(None) };
    let solution: String = read(raw, name, "a string")?;
    let Some((_, inside)) = solution.rsplit_once("\\boxed{") else { return Ok(None) };
    let (mut depth, mut escaped) = (0_usize, false);
    for (at, c) in inside.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '{' => depth += 1,
            '}' if depth == 0 => {
                return Ok(Some(inside[..at].trim().to_owned()).filter(|gold| !gold.is_empty()));
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    Ok(None)
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

#[cfg(test)]
mod tests {
    use super::{PROMPTS, fits};
    use crate::error::Misfit;
    use crate::fields::Fields;
    use crate::messages::asked;
    use crate::problem::{Problem, Task};

    fn problem(fields: &Fields<'_>, index: u64) -> Result<Problem, Misfit> {
        super::problem(fields, index, &asked(fields, &PROMPTS)?.question, None)
    }

    #[test]
    fn golds_are_found_where_the_common_sets_keep_them() {
        // The shapes of the published files, with made-up problems.
        for (row, prompt, gold) in [
            // AIME, in the spellings of four publishers.
            (r#"{"ID": "2024-I-1", "Problem": "p", "Solution": "s", "Answer": 33}"#, "p", "33"),
            (
                r#"{"id": 60, "problem": "p", "solution": "s", "answer": "204", "url": "u", "year": "2024"}"#,
                "p",
                "204",
            ),
            (r#"{"question": "p", "answer": "70"}"#, "p", "70"),
            (r#"{"problem_idx": 1, "problem": "p", "answer": "204"}"#, "p", "204"),
            // HMMT and BRUMO.
            (
                r#"{"problem_idx": 2, "answer": "\\frac{1}{576}", "problem": "p", "problem_type": ["Geometry"]}"#,
                "p",
                "\\frac{1}{576}",
            ),
            // AMC.
            (r#"{"id": 3, "problem": "p", "answer": 27.0, "url": "u"}"#, "p", "27.0"),
            // MATH and MATH-500.
            (
                r#"{"problem": "p", "solution": "so \\boxed{1} and \\boxed{\\frac{1}{2}}.", "level": "Level 1", "type": "Algebra"}"#,
                "p",
                "\\frac{1}{2}",
            ),
            (r#"{"problem": "p", "solution": "so \\boxed{\\{1\\}}."}"#, "p", "\\{1\\}"),
            (
                r#"{"problem": "p", "solution": "so \\boxed{3}", "answer": "3", "subject": "Algebra", "level": 2,
                    "unique_id": "test/a/1.json"}"#,
                "p",
                "3",
            ),
            // GSM8K.
            (r#"{"question": "p", "answer": "so 5\n#### 5"}"#, "p", "5"),
            (r#"{"question": "p", "answer": "<<1000+2=1002>>so\n#### 1,002"}"#, "p", "1,002"),
            // OlympiadBench.
            (
                r#"{"id": 1606, "subfield": "Algebra", "context": null, "question": "p", "images": null,
                    "final_answer": ["$\\frac{1}{2}$"], "is_multiple_answer": false, "unit": null,
                    "answer_type": "Numerical", "error": null}"#,
                "p",
                "$\\frac{1}{2}$",
            ),
            // Minerva.
            (
                r#"{"problem": "p", "type": "Astronomy", "solution": "so \\boxed{4.5e33} erg.", "idx": 0}"#,
                "p",
                "4.5e33",
            ),
            // AceReason-Math, DeepScaleR, Big-Math.
            (r#"{"problem": "p", "answer": "0.1"}"#, "p", "0.1"),
            (r#"{"problem": "p", "answer": "-\\frac{2}{3}", "solution": "s"}"#, "p", "-\\frac{2}{3}"),
            (
                r#"{"problem": "p", "answer": "12\\pi", "source": "orca_math", "domain": ["Algebra"], "llama8b_solve_rate": 0.5}"#,
                "p",
                "12\\pi",
            ),
            // NuminaMath-CoT and -1.5.
            (
                r#"{"source": "cn_k12", "problem": "p", "solution": "so \\boxed{x \\geq 2}",
                    "messages": [{"content": "p", "role": "user"}]}"#,
                "p",
                "x \\geq 2",
            ),
            (
                r#"{"problem": "p", "solution": "s", "answer": "proof", "problem_type": "Algebra", "question_type": "proof",
                    "source": "olympiads", "synthetic": false}"#,
                "p",
                "proof",
            ),
            // veRL.
            (
                r#"{"prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "p"}], "data_source": "d",
                    "reward_model": {"style": "rule", "ground_truth": "34"}, "extra_info": {"index": 0}}"#,
                "p",
                "34",
            ),
            // open-instruct.
            (
                r#"{"messages": [{"role": "user", "content": "p"}], "ground_truth": "34", "dataset": "math"}"#,
                "p",
                "34",
            ),
            // slime.
            (r#"{"prompt": [{"role": "user", "content": "p"}], "label": "34"}"#, "p", "34"),
            (r#"{"prompt": "p", "label": 34, "metadata": {}}"#, "p", "34"),
            // A class is no gold where there is one.
            (r#"{"problem": "p", "solution": "so \\boxed{3}", "label": "Algebra"}"#, "p", "3"),
        ] {
            let fields = Fields::parse(row.as_bytes(), "a row").expect("a row");
            assert!(fits(&fields), "{row}");
            let problem = problem(&fields, 0).unwrap_or_else(|misfit| panic!("{row}: {misfit:?}"));
            let Task::Math(task) = problem.task else { panic!("{row}: no math") };
            assert_eq!((problem.prompt.as_str(), task.ground_truth.as_str()), (prompt, gold), "{row}");
            assert_eq!(task.error, None, "{row}");
        }
        for row in
            [r#"{"problem": "p", "solution": "no box"}"#, r#"{"problem": "p", "solution": "\\boxed{5"}"#]
        {
            let fields = Fields::parse(row.as_bytes(), "a row").expect("a row");
            assert!(!fits(&fields) && problem(&fields, 0).is_err(), "{row}");
        }
    }

    #[test]
    fn an_olympiad_row_says_how_far_an_answer_may_be() {
        let row = |error: &str| {
            format!(
                r#"{{"question": "p", "final_answer": ["2.5"], "answer_type": "Numerical", "error": {error}}}"#
            )
        };
        let read = |row: &str| {
            let fields = Fields::parse(row.as_bytes(), "a row").unwrap();
            problem(&fields, 0).map(|problem| match problem.task {
                Task::Math(task) => task.error,
                Task::Code(_) => panic!("a math row"),
            })
        };
        for (error, want) in [
            ("null", None),
            (r#""""#, None),
            (r#""1e-1""#, Some(0.1)),
            ("0.05", Some(0.05)),
            (r#""1e-1, 1e-2""#, Some(0.01)),
        ] {
            assert_eq!(read(&row(error)).unwrap(), want, "{error}");
        }
        for error in [r#""about 1""#, r#""-1""#, r#""inf""#, "[1]"] {
            let misfit = read(&row(error)).expect_err(error);
            assert!(format!("{misfit:?}").contains("commas between"), "{error}: {misfit:?}");
        }
        // In rows of other sets it is something else.
        assert_eq!(read(r#"{"question": "p", "answer": "1", "error": "timed out"}"#).unwrap(), None);
    }
}

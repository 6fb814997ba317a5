//! `POST /submit` in SandboxFusion's form: a completion against the tests that come with the request.
//!
//! In: `dataset`, `id`, `completion` and `config`, of which these count: `dataset_type` (`CommonOJDataset` or
//! `LiveCodeBenchDataset`; no dataset is registered here), `language` (required but for LiveCodeBench), `compile_timeout`
//! (10 s), `run_timeout` (10 s for compiled languages, 20 s for others, 6 s for LiveCodeBench), `provided_data` (one row, or
//! rows of which the one with the request's `id` counts) and `extra` (`run_all_cases`, `return_full_case`). CommonOJ's `test`
//! is `[{"input": {"stdin"}, "output": {"stdout"}}]`, as JSON or as text; LiveCodeBench's is packed as its data set ships it
//! and read without running anything. Other fields are passed over. Out: an `EvalResult`, with a `/run_code` reply for each
//! test, for LiveCodeBench one for all.
//!
//! The program is the first complete fence of the language, else the first complete one, else an incomplete one. Left
//! out: the original's guess where there is no fence (the program is empty then), and `custom_extract_logic`, which is
//! the caller's Python (400). A failure of ours is 500 and not a test that failed: its client repeats that. A row
//! without tests is refused and not accepted. Source: the original's `datasets/common_oj.py`, `utils/testing.py` and
//! `utils/extraction.py`, read and written anew.

use assay_sandbox::Language;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::RunCodeResponse;

/// The body of `/submit`.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct SubmitRequest {
    pub(crate) dataset: Option<String>,
    pub(crate) id: Option<Value>,
    pub(crate) completion: String,
    pub(crate) config: TestConfig,
}

/// How to test.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct TestConfig {
    pub(crate) dataset_type: Option<String>,
    pub(crate) language: Option<String>,
    pub(crate) compile_timeout: Option<f64>,
    pub(crate) run_timeout: Option<f64>,
    pub(crate) custom_extract_logic: Option<String>,
    pub(crate) provided_data: Option<Value>,
    #[serde(default)]
    pub(crate) extra: Extra,
}

/// What of `extra` counts.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct Extra {
    /// Run the tests after a failed one too.
    #[serde(default)]
    pub(crate) run_all_cases: bool,
    /// Echo a passed test's texts in full.
    #[serde(default)]
    pub(crate) return_full_case: bool,
    /// ScaleBox: a program that decides over the output.
    pub(crate) special_judge_program: Option<String>,
    /// ScaleBox: what that is written in.
    pub(crate) special_judge_language: Option<String>,
}

/// One test.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct StdioTest {
    pub(crate) input: StdioInput,
    pub(crate) output: StdioOutput,
}

/// What a test gives.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct StdioInput {
    pub(crate) stdin: String,
}

/// What a test wants.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct StdioOutput {
    pub(crate) stdout: String,
}

/// The reply.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct EvalResult {
    pub(crate) id: Value,
    pub(crate) accepted: bool,
    pub(crate) extracted_code: String,
    pub(crate) full_code: Option<String>,
    pub(crate) test_code: Option<String>,
    pub(crate) tests: Vec<EvalTestCase>,
    pub(crate) extracted_type: Option<&'static str>,
    pub(crate) extra: Option<Value>,
}

/// What became of one test.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct EvalTestCase {
    pub(crate) passed: bool,
    pub(crate) exec_info: RunCodeResponse,
    pub(crate) test_info: Option<Value>,
}

/// The row with this `id`; the error says what was expected.
pub(crate) fn row(provided_data: Option<Value>, id: &Value) -> Result<Value, String> {
    let row = match provided_data {
        Some(Value::Array(rows)) => rows.into_iter().find(|row| row.get("id") == Some(id)),
        row => row,
    };
    row.ok_or_else(|| format!("no dataset is registered here: `config.provided_data` must have the row {id}"))
}

/// The tests of the row with this `id`; the error says what was expected.
pub(crate) fn tests(provided_data: Option<Value>, id: &Value) -> Result<Vec<StdioTest>, String> {
    let mut row = row(provided_data, id)?;
    let unreadable = |error| format!("`config.provided_data.test`: {error}");
    let tests: Vec<StdioTest> = match row.get_mut("test").map(Value::take) {
        Some(Value::String(text)) => serde_json::from_str(&text).map_err(unreadable)?,
        Some(tests) => serde_json::from_value(tests).map_err(unreadable)?,
        None => return Err("`config.provided_data` has no `test`".into()),
    };
    if tests.is_empty() {
        return Err(
            "`config.provided_data.test` is empty: without a test everything would be accepted".into()
        );
    }
    Ok(tests)
}

/// The program in a completion; empty where there is none.
pub(crate) fn program(completion: &str, language: Language) -> &str {
    let mut first = None;
    let mut rest = completion;
    while let Some((_, after)) = rest.split_once("```") {
        let Some((tag, body)) = after.split_once('\n') else { break };
        let Some((code, behind)) = body.split_once("```") else {
            return first.unwrap_or(body);
        };
        if Language::from_name(tag.trim()) == Some(language) {
            return code;
        }
        first = first.or(Some(code));
        rest = behind;
    }
    first.unwrap_or_default()
}

impl StdioTest {
    /// As the reply tells it; `whole`, or with long texts cut, as a passed test is echoed.
    pub(crate) fn info(self, whole: bool) -> Value {
        let text = |text| if whole { text } else { cut(text) };
        json!({ "input": { "stdin": text(self.input.stdin) }, "output": { "stdout": text(self.output.stdout) } })
    }
}

fn cut(text: String) -> String {
    const LONGEST: usize = 1000;
    if text.len() <= LONGEST {
        return text;
    }
    let head = text.floor_char_boundary(LONGEST / 2);
    let tail = text.ceil_char_boundary(text.len() - LONGEST / 2);
    format!("{}...{}", &text[..head], &text[tail..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_the_first_fence_of_the_language() {
        let rows = [
            ("```python\na\n```\n```python\nb\n```", "a\n"),
            ("```text\na\n```\n```py\nb\n```", "b\n"),
            ("```\na\n```\n```\nb\n```", "a\n"),
            ("x ```cpp\na\n``` y", "a\n"),
            ("```python\ncut off", "cut off"),
            ("```text\na\n```\n```python\ncut off", "a\n"),
            ("no fence", ""),
            ("``` ", ""),
        ];
        for (completion, want) in rows {
            assert_eq!(program(completion, Language::Python3), want, "{completion:?}");
        }
    }
}

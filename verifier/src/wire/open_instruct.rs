//! open-instruct's `/test_program` and `/test_program_stdio`.
//!
//! In: `program`, `tests` (a list, a JSON text of one, or base64 of zlib of a pickled JSON text, which is read without running
//! anything) and `max_execution_time` in seconds (1). A test is an assertion on the first route and `{input, output}` on the
//! second. Out: `{"results": [0 or 1], "runtimes": [seconds, -1 where it failed]}`, an entry for every test.
//!
//! `assert f(literals) == literal` is called and compared outside the program's process. Every other test runs behind the
//! program, in its process, which could forge the result: the service does that only when it was started with
//! `--in-process`, and refuses else. The original runs all tests that way.
//!
//! The client waits `10 x max_execution_time`, at least 30 s and at most 300 s, repeats nothing, and makes a reward of 0 of
//! everything but 200: a failure of ours cannot be told apart there. Errors are `{"detail"}`. Source: the notes on
//! open-instruct's `code_utils`.

use std::time::Duration;

use assay_testsets::{TestCase, TestType, call_of_assertion, unpack_text};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The body of both routes.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "OpenInstructTestRequest")]
pub(crate) struct TestRequest {
    pub(crate) program: String,
    tests: Value,
    #[serde(default = "one")]
    pub(crate) max_execution_time: f64,
}

/// The reply.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "OpenInstructTestResponse")]
pub(crate) struct TestResponse {
    pub(crate) results: Vec<u8>,
    pub(crate) runtimes: Vec<f64>,
}

/// Which route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `/test_program`.
    Assertions,
    /// `/test_program_stdio`.
    Stdio,
}

fn one() -> f64 {
    1.0
}

/// How long the client waits for tests of this limit.
pub(crate) fn patience(limit: Duration) -> Duration {
    (limit * 10).clamp(Duration::from_secs(30), Duration::from_secs(300))
}

#[derive(Deserialize)]
struct Pair {
    input: String,
    output: String,
}

impl TestRequest {
    /// The tests, each with the function it calls; `cap` bounds packed ones, in bytes.
    pub(crate) fn tests(&self, kind: Kind, cap: usize) -> Result<Vec<(Option<String>, TestCase)>, String> {
        let tests = match &self.tests {
            Value::String(text) => serde_json::from_str(text).or_else(|_| {
                let text = unpack_text(text, cap).map_err(|misfit| format!("`tests`: {misfit}"))?;
                serde_json::from_str(&text).map_err(|error| format!("unpacked `tests`: {error}"))
            })?,
            tests => tests.clone(),
        };
        let Value::Array(tests) = tests else {
            return Err("`tests` must be a list".into());
        };
        let read = |(index, test)| match kind {
            Kind::Assertions => assertion(index, test),
            Kind::Stdio => stdio(index, test),
        };
        tests.into_iter().enumerate().map(read).collect()
    }
}

fn assertion(index: usize, test: Value) -> Result<(Option<String>, TestCase), String> {
    let Value::String(text) = test else {
        return Err(format!("`tests[{index}]` must be an assertion as text, not {test:.60}"));
    };
    Ok(match call_of_assertion(&text) {
        Some((function, test)) => (Some(function), test),
        None => (None, TestCase { input: text, output: String::new(), test_type: TestType::Script }),
    })
}

fn stdio(index: usize, test: Value) -> Result<(Option<String>, TestCase), String> {
    let pair = match test {
        Value::String(text) => serde_json::from_str(&text),
        test => serde_json::from_value(test),
    };
    let Pair { input, output } = pair.map_err(|error| format!("`tests[{index}]`: {error}"))?;
    Ok((None, TestCase { input, output, test_type: TestType::Stdin }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(tests: Value, kind: Kind) -> Result<Vec<(Option<String>, TestCase)>, String> {
        TestRequest { program: String::new(), tests, max_execution_time: 1.0 }.tests(kind, 1 << 20)
    }

    #[test]
    fn every_form_of_tests_is_read() {
        let pair = json!([{ "input": "1", "output": "2" }]);
        for tests in [pair.clone(), json!(pair.to_string()), json!([pair[0].to_string()])] {
            let read = read(tests, Kind::Stdio).unwrap();
            assert_eq!((read[0].1.input.as_str(), read[0].1.output.as_str()), ("1", "2"));
        }
        let asserts = read(json!(["assert f(1) == 2", "assert f(1) in (2, 3)"]), Kind::Assertions).unwrap();
        assert_eq!((asserts[0].0.as_deref(), asserts[0].1.test_type), (Some("f"), TestType::Call));
        assert_eq!((asserts[1].0.as_deref(), asserts[1].1.test_type), (None, TestType::Script));
        for (tests, named) in [
            (json!({}), "must be a list"),
            (json!("gASVAAAAAA=="), "zlib"),
            (json!([1]), "tests[0]"),
            (json!([{ "input": 1, "output": "" }]), "tests[0]"),
        ] {
            assert!(read(tests, Kind::Stdio).unwrap_err().contains(named), "{named}");
        }
        assert_eq!(patience(Duration::from_secs(1)), Duration::from_secs(30));
        assert_eq!(patience(Duration::from_secs(60)), Duration::from_secs(300));
    }
}

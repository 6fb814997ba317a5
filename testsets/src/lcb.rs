//! LiveCodeBench's records, as its data set ships them, and SandboxFusion's wrapping of them.
//!
//! A record has public tests as a JSON string and private tests either the same way or packed: base64 -> zlib
//! -> pickle of a `str` that is again that JSON. Whether tests call a function is decided by
//! `metadata.func_name` alone, as lcb_runner does; `testtype` may say less but not contradict by asking for a
//! function nobody names.

use crate::cases::task;
use crate::elements::{Broken, each};
use crate::error::{Misfit, clip};
use crate::fields::{Fields, borrowed, read};
use crate::packed::{misfit, unpack};
use crate::pickle::{Pickle, PickleError};
use crate::problem::{Checker, CodeTask, Problem, Task, TaskLimits, TestCase, TestType};
use crate::test_cases::{Gathering, no_room};
use serde::Deserialize;
use std::borrow::Cow;
use std::io::BufRead;

const PUBLIC: &str = "public_test_cases";
const PRIVATE: &str = "private_test_cases";

/// Whether a record looks like LiveCodeBench's.
pub(crate) fn fits(fields: &Fields<'_>) -> bool {
    fields.has(PUBLIC) || fields.has(PRIVATE)
}

/// Whether a record looks like SandboxFusion's.
pub(crate) fn fits_wrapped(fields: &Fields<'_>) -> bool {
    ["id", "content", "test", "labels"].iter().all(|name| fields.has(name))
}

/// Reads a LiveCodeBench record. `cap` bounds the unpacked private tests, in bytes.
pub(crate) fn problem(fields: &Fields<'_>, cap: usize) -> Result<Problem, Misfit> {
    let question_id = fields.id(&["question_id"])?.ok_or_else(|| fields.missing("a `question_id`"))?;
    if !fits(fields) {
        return Err(fields.missing("`public_test_cases` or `private_test_cases`"));
    }
    let func_name = match fields.raw("metadata") {
        Some(raw) => func_name(raw)?,
        None => None,
    };
    let mut tests = Tests::of(func_name);
    public_tests(fields, &mut tests)?;
    private_tests(fields, cap, &mut tests)?;
    let task = tests.task(fields.optional_string("starter_code")?.unwrap_or_default())?;
    Ok(Problem {
        question_id,
        prompt: fields.optional_string("question_content")?.unwrap_or_default(),
        task,
        difficulty: fields.optional_string("difficulty")?,
        platform: fields.optional_string("platform")?,
        contest_date: fields.optional_string("contest_date")?,
    })
}

/// Reads a record of SandboxFusion's sample data: `{id, content, labels, test}`, `test` a packed dict with
/// the tests under `input_output`.
pub(crate) fn wrapped_problem(fields: &Fields<'_>, cap: usize) -> Result<Problem, Misfit> {
    let question_id = fields.id(&["id"])?.ok_or_else(|| fields.missing("an `id`"))?;
    let labels = fields.string("labels")?;
    let labels = Fields::parse(labels.as_bytes(), "`labels`, a JSON object in a string")?;
    let about = |task| -> Result<Problem, Misfit> {
        Ok(Problem {
            question_id: question_id.clone(),
            prompt: fields.string("content")?,
            task,
            difficulty: labels.optional_string("difficulty")?,
            platform: labels.optional_string("category")?,
            contest_date: None,
        })
    };
    let raw = fields.raw("test").ok_or_else(|| fields.missing("a `test`"))?;
    let text = match raw.as_bytes().first() {
        Some(b'[') => Cow::Borrowed(raw),
        _ => borrowed(raw, "test", "a string: JSON, or base64 of zlib of a pickle")?,
    };
    if text.trim_start().starts_with('[') {
        return about(Task::Code(common_oj(&text)?));
    }
    let pickle = Pickle::new(unpack(&text, "test", cap));
    let (key, text) = pickle.entry().map_err(|error| not_tests("test", error))?;
    if key != "input_output" {
        let hint = "only LiveCodeBench tests are read from this form";
        return Err(Misfit::new("the key `input_output` in `test`", clip(&key), hint));
    }
    let hint = "name another format if these are no LiveCodeBench tests";
    let pairs: InputOutput = serde_json::from_str(&text).map_err(|error| {
        Misfit::new("{inputs, outputs, fn_name} in `test`", format!("{} ({error})", clip(&text)), hint)
    })?;
    if pairs.inputs.len() != pairs.outputs.len() {
        let found = format!("{} inputs and {} outputs", pairs.inputs.len(), pairs.outputs.len());
        return Err(Misfit::new("as many outputs as inputs in `test`", found, hint));
    }
    let mut tests = Tests::of(pairs.fn_name);
    for (input, output) in pairs.inputs.into_iter().zip(pairs.outputs) {
        tests.add(RawTest { input, output, testtype: None })?;
    }
    about(tests.task(String::new())?)
}

/// common_oj's tests: `[{input: {stdin}, output: {stdout}}]`.
fn common_oj(text: &str) -> Result<CodeTask, Misfit> {
    let rows: Vec<OjTest> = read(text, "test", "a list of {input: {stdin}, output: {stdout}}")?;
    task(None, rows.into_iter().map(|row| (row.input.stdin, row.output.stdout)).collect())
}

#[derive(Deserialize)]
struct OjTest {
    input: OjInput,
    output: OjOutput,
}

#[derive(Deserialize)]
struct OjInput {
    stdin: String,
}

#[derive(Deserialize)]
struct OjOutput {
    stdout: String,
}

#[derive(Deserialize)]
struct RawTest {
    input: String,
    output: String,
    testtype: Option<String>,
}

#[derive(Deserialize)]
struct InputOutput {
    inputs: Vec<String>,
    outputs: Vec<String>,
    fn_name: Option<String>,
}

fn func_name(raw: &str) -> Result<Option<String>, Misfit> {
    let metadata = match raw.starts_with('"') {
        true => read(raw, "metadata", "a JSON object in a string")?,
        false => raw.to_owned(),
    };
    Fields::parse(metadata.as_bytes(), "`metadata`, a JSON object")?.optional_string("func_name")
}

fn public_tests(fields: &Fields<'_>, tests: &mut Tests) -> Result<(), Misfit> {
    match fields.raw(PUBLIC) {
        None => Ok(()),
        Some(raw) if raw.starts_with('[') => tests.add_all(&mut raw.as_bytes(), PUBLIC),
        Some(raw) => {
            let text = borrowed(raw, PUBLIC, "a JSON list in a string")?;
            tests.add_all(&mut text.as_bytes(), PUBLIC)
        }
    }
}

fn private_tests(fields: &Fields<'_>, cap: usize, tests: &mut Tests) -> Result<(), Misfit> {
    let text = match fields.raw(PRIVATE) {
        None => return Ok(()),
        Some(raw) if raw.starts_with('[') => return tests.add_all(&mut raw.as_bytes(), PRIVATE),
        Some(raw) => borrowed(raw, PRIVATE, "a string: JSON, or base64 of zlib of a pickle")?,
    };
    if text.trim_start().starts_with('[') {
        return tests.add_all(&mut text.as_bytes(), PRIVATE);
    }
    Pickle::new(unpack(&text, PRIVATE, cap))
        .str(|list, _| tests.add_all(list, PRIVATE).map_err(PickleError::Other))
        .map_err(|error| not_tests(PRIVATE, error))
}

fn not_tests(name: &str, error: PickleError) -> Misfit {
    if let PickleError::Other(misfit) = error {
        return misfit;
    }
    let hint = "do not load this file elsewhere either: a pickle with other opcodes can run code";
    Misfit::new(format!("`{name}` to hold pickled text and nothing else"), error.to_string(), hint)
}

/// Tests as they are read, one by one: together they may be more than memory should hold.
struct Tests {
    func_name: Option<String>,
    test_type: TestType,
    gathering: Gathering,
}

impl Tests {
    fn of(func_name: Option<String>) -> Tests {
        let test_type = if func_name.is_some() { TestType::Functional } else { TestType::Stdin };
        Tests { func_name, test_type, gathering: Gathering::default() }
    }

    /// Adds a JSON list of tests as it is read.
    fn add_all(&mut self, list: &mut impl BufRead, name: &str) -> Result<(), Misfit> {
        let wrong = |found| {
            let expected = format!("`{name}` to be a list of {{input, output, testtype}}, all strings");
            Misfit::new(expected, found, "correct that value")
        };
        let mut number = 0;
        let read = each(list, |test| {
            number += 1;
            let shown = || format!("test {number}: {}", clip(&String::from_utf8_lossy(test)));
            let read = serde_json::from_slice(test);
            self.add(read.map_err(|error| wrong(format!("{} ({error})", shown())))?)
        });
        read.map_err(|broken| match broken {
            Broken::Element(misfit) => misfit,
            Broken::Read(error) => misfit(error),
            Broken::Form(what, None) => wrong(format!("the end of the text in place of {what}")),
            Broken::Form(what, Some(byte)) => {
                wrong(format!("{} in place of {what}", clip(&char::from(byte).to_string())))
            }
        })
    }

    fn add(&mut self, test: RawTest) -> Result<(), Misfit> {
        match (test.testtype.as_deref(), self.test_type) {
            (None | Some("stdin"), _) | (Some("functional"), TestType::Functional) => {}
            (Some("functional"), _) => {
                let hint = "add `func_name` to the metadata";
                return Err(Misfit::new("`metadata.func_name` for functional tests", "none", hint));
            }
            (Some(other), _) => {
                let hint = "correct that test";
                return Err(Misfit::new("testtype `stdin` or `functional`", clip(other), hint));
            }
        }
        let test = TestCase { input: test.input, output: test.output, test_type: self.test_type };
        self.gathering.push(test).map_err(|error| no_room(&error))
    }

    fn task(self, starter_code: String) -> Result<Task, Misfit> {
        let test_cases = self.gathering.done().map_err(|error| no_room(&error))?;
        if test_cases.is_empty() {
            let hint = "remove the record: without tests every program would pass";
            return Err(Misfit::new("at least one test", "none, public or private", hint));
        }
        Ok(Task::Code(CodeTask {
            starter_code,
            func_name: self.func_name,
            test_cases,
            checker: Checker::Lcb,
            limits: TaskLimits::default(),
            groups: Vec::new(),
        }))
    }
}

//! What the loaders share: from pairs of inputs and outputs, in the forms they come in, to a task.

use crate::error::{Misfit, clip};
use crate::fields::{Fields, read};
use crate::literal;
use crate::problem::{Checker, CodeTask, Problem, Task, TaskLimits, TestCase, TestType};
use serde_json::value::RawValue;

/// What a file says of a problem beside its tests.
#[derive(Debug, Default)]
pub(crate) struct About {
    pub(crate) question_id: Option<String>,
    pub(crate) prompt: String,
    pub(crate) difficulty: Option<String>,
    pub(crate) platform: Option<String>,
    pub(crate) contest_date: Option<String>,
}

impl About {
    /// The problem; without an id it is named by its place in the file, counted from 0.
    pub(crate) fn problem(self, place: u64, task: CodeTask) -> Problem {
        Problem {
            question_id: self.question_id.unwrap_or_else(|| place.to_string()),
            prompt: self.prompt,
            task: Task::Code(task),
            difficulty: self.difficulty,
            platform: self.platform,
            contest_date: self.contest_date,
        }
    }
}

/// A task of tests that have their final texts.
pub(crate) fn task(func_name: Option<String>, tests: Vec<(String, String)>) -> Result<CodeTask, Misfit> {
    let test_type = if func_name.is_some() { TestType::Functional } else { TestType::Stdin };
    let test = |(input, output)| TestCase { input, output, test_type };
    of_cases(func_name, tests.into_iter().map(test).collect())
}

/// A task of one piece of code that is put behind the program.
pub(crate) fn script(starter_code: String, code: String) -> Result<CodeTask, Misfit> {
    if code.trim().is_empty() {
        let hint = "remove the record: without tests every program would pass";
        return Err(Misfit::new("code that tests the program", "none", hint));
    }
    let input = if code.contains("unittest.TestCase") { with_unittest(&code) } else { code };
    let test = TestCase { input, output: String::new(), test_type: TestType::Script };
    Ok(CodeTask { starter_code, ..of_cases(None, vec![test])? })
}

/// A task of the calls that assertions make, where all are of one function and nothing but that; it is called `function`,
/// where the assertions have a name of their own for it.
pub(crate) fn asserted(starter_code: &str, function: Option<&str>, code: &str) -> Option<CodeTask> {
    let calls = literal::calls(code)?;
    let called = calls.first()?.function.clone();
    if calls.iter().any(|call| call.function != called) || function.is_some() && called != "candidate" {
        return None;
    }
    let test = |call: literal::Call| TestCase {
        input: call.arguments.join("\n"),
        output: call.result,
        test_type: TestType::Call,
    };
    let tests = calls.into_iter().map(test).collect();
    let function = function.map_or(called, str::to_owned);
    Some(CodeTask { starter_code: starter_code.to_owned(), ..of_cases(Some(function), tests).ok()? })
}

/// Test classes run when the script comes to its end, and not by `unittest.main`, which would leave the process: that is
/// how a program looks that never came to its tests.
fn with_unittest(code: &str) -> String {
    format!(
        "import unittest\nunittest.main = lambda *_, **__: None\n{code}\n\
         _tests = unittest.defaultTestLoader.loadTestsFromModule(__import__('__main__'))\n\
         _result = unittest.TextTestRunner().run(_tests)\n\
         assert _result.testsRun and _result.wasSuccessful(), str(_result)\n"
    )
}

fn of_cases(func_name: Option<String>, test_cases: Vec<TestCase>) -> Result<CodeTask, Misfit> {
    if test_cases.is_empty() {
        let hint = "remove the record: without tests every program would pass";
        return Err(Misfit::new("at least one test", "none", hint));
    }
    Ok(CodeTask {
        starter_code: String::new(),
        func_name,
        test_cases: test_cases.into(),
        checker: Checker::Lcb,
        limits: TaskLimits::default(),
        groups: Vec::new(),
    })
}

/// A field that holds JSON, maybe once more inside a string.
pub(crate) fn unquoted(raw: &str, name: &str) -> Result<String, Misfit> {
    match raw.starts_with('"') {
        true => read(raw, name, "JSON in a string"),
        false => Ok(raw.to_owned()),
    }
}

/// The task of `{inputs, outputs, fn_name?}`, as APPS made it common.
pub(crate) fn pairs(text: &str, name: &str) -> Result<CodeTask, Misfit> {
    let fields = Fields::parse(text.as_bytes(), &format!("`{name}`, a JSON object"))?;
    let func_name = fields.optional_string("fn_name")?.filter(|name| !name.is_empty());
    let list = |name: &str| -> Result<Vec<&RawValue>, Misfit> {
        let raw = fields.raw(name).ok_or_else(|| fields.missing(&format!("a list `{name}`")))?;
        read(raw, name, "a list")
    };
    let (inputs, outputs) = (list("inputs")?, list("outputs")?);
    if inputs.len() != outputs.len() {
        let found = format!("{} inputs and {} outputs", inputs.len(), outputs.len());
        return Err(Misfit::new(
            format!("as many outputs as inputs in `{name}`"),
            found,
            "correct the tests",
        ));
    }
    let tests = if func_name.is_some() { calls(&inputs, &outputs)? } else { streams(&inputs, &outputs)? };
    task(func_name, tests)
}

/// Texts, or lists of their lines.
fn streams(inputs: &[&RawValue], outputs: &[&RawValue]) -> Result<Vec<(String, String)>, Misfit> {
    inputs
        .iter()
        .zip(outputs)
        .map(|(input, output)| Ok((stream(input.get())?, stream(output.get())?)))
        .collect()
}

fn stream(raw: &str) -> Result<String, Misfit> {
    if !raw.starts_with('[') {
        return line(raw);
    }
    let lines: Vec<&RawValue> = read(raw, "a test", "a list of lines")?;
    // A list in a list is no line: following them down would let a file choose the depth of our stack.
    let lines: Result<Vec<String>, Misfit> = lines.iter().map(|raw| line(raw.get())).collect();
    Ok(lines?.join("\n"))
}

fn line(raw: &str) -> Result<String, Misfit> {
    match raw.as_bytes().first() {
        Some(b'"') => read(raw, "a test", "a string"),
        Some(b'-' | b'0'..=b'9') => Ok(raw.to_owned()),
        _ => Err(Misfit::new("a test's text, or a list of its lines", clip(raw), "correct that test")),
    }
}

/// Arguments as a list of values or as one JSON value a line. Where all results are lists of one value, as in APPS, the
/// value is meant: a function that returned the list would otherwise be asked for in none of the set's solutions.
fn calls(inputs: &[&RawValue], outputs: &[&RawValue]) -> Result<Vec<(String, String)>, Misfit> {
    let inputs: Result<Vec<String>, Misfit> = inputs.iter().map(|input| arguments(input.get())).collect();
    let lists: Vec<Option<Vec<&RawValue>>> =
        outputs.iter().map(|output| serde_json::from_str(output.get()).ok()).collect();
    let wrapped = lists.iter().all(|list| list.as_ref().is_some_and(|list| list.len() == 1));
    let output = |(output, list): (&&RawValue, &Option<Vec<&RawValue>>)| match (wrapped, list) {
        (true, Some(list)) => result(list[0].get()),
        _ => result(output.get()),
    };
    let outputs: Result<Vec<String>, Misfit> = outputs.iter().zip(&lists).map(output).collect();
    Ok(inputs?.into_iter().zip(outputs?).collect())
}

/// One JSON value a line.
pub(crate) fn arguments(raw: &str) -> Result<String, Misfit> {
    match raw.as_bytes().first() {
        Some(b'[') => {
            let values: Vec<&RawValue> = read(raw, "a test's input", "a list of arguments")?;
            Ok(values.iter().map(|value| one_line(value.get())).collect::<Vec<_>>().join("\n"))
        }
        Some(b'"') => read(raw, "a test's input", "one JSON value a line, in a string"),
        _ => Err(Misfit::new("a list of arguments", clip(raw), "write a list, one element an argument")),
    }
}

/// A value; a string that holds JSON stands for what it holds only where it is a call's whole result by lines, so here
/// it is a string.
fn result(raw: &str) -> Result<String, Misfit> {
    Ok(one_line(raw))
}

/// JSON on one line: line ends between tokens are the only ones it has.
pub(crate) fn one_line(raw: &str) -> String {
    raw.replace(['\n', '\r'], " ")
}

/// An amount of seconds or bytes, above zero.
pub(crate) fn amount(fields: &Fields<'_>, name: &str) -> Result<Option<f64>, Misfit> {
    let Some(raw) = fields.raw(name) else { return Ok(None) };
    let amount: f64 = read(raw, name, "a number")?;
    match amount.is_finite() && amount > 0.0 && amount < 1e15 {
        true => Ok(Some(amount)),
        false => Err(Misfit::new(format!("`{name}` above 0"), clip(raw), "correct that value")),
    }
}

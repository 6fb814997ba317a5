//! Our own form of a problem, on the wire and in the bundled set.
//!
//! `{"question_id", "prompt", "difficulty", "platform", "contest_date", "task"}`, only `task` required. A
//! task is `{"type": "math", "ground_truth"}` or `{"type": "code", "func_name", "starter_code", "test_cases",
//! "checker", "limits"}`, where a test is `{"input", "output", "test_type": "stdin", "functional", "call" or
//! "script"}` (by
//! default what `func_name` says), the checker one of `"exact"`, `"lcb"` (the default), `"tokens"`,
//! `"case_insensitive"`, `"unordered"`, `{"type": "float", "absolute", "relative"}`, `{"type": "kattis", "case_sensitive",
//! "space_change_sensitive", "absolute", "relative"}` or `{"type": "program" or "interactive", "language", "source",
//! "protocol": "testlib" or "kattis", "arguments"}`, and the limits are `{"cpu_time": seconds, "memory": bytes}`. Subtasks
//! are `"groups"`: `[{"name", "tests": how many, "points", "scoring": "worst", "each" or "until_failure"}]`.
//! Other keys are refused: a mistyped one must not mean its default.

use crate::error::{Misfit, clip};
use crate::fields::{Fields, read};
use crate::problem::{
    Checker, CodeTask, JudgeProgram, KattisFlags, MathTask, Problem, Protocol, Scoring, Task, TaskLimits,
    TestCase, TestGroup, TestType,
};
use crate::test_cases::{Gathering, no_room};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::io;
use std::time::Duration;

impl Problem {
    /// Reads a problem in our own JSON form (see the crate's documentation). `question_id` may be absent
    /// and is then empty. No limit on the length of `text`; that is the caller's.
    ///
    /// # Errors
    /// When the text is not that form: what was expected, what came, what to do.
    pub fn from_json(text: &str) -> Result<Problem, Misfit> {
        problem(&Fields::parse(text.as_bytes(), "a problem, a JSON object")?)
    }

    /// The problem in our own form, in one line; [`Problem::from_json`] reads it back equal.
    pub fn to_json(&self) -> String {
        let mut object = Map::new();
        object.insert("question_id".into(), self.question_id.as_str().into());
        object.insert("prompt".into(), self.prompt.as_str().into());
        for (name, value) in [
            ("difficulty", &self.difficulty),
            ("platform", &self.platform),
            ("contest_date", &self.contest_date),
        ] {
            if let Some(value) = value {
                object.insert(name.into(), value.as_str().into());
            }
        }
        object.insert("task".into(), task_value(&self.task));
        Value::Object(object).to_string()
    }
}

/// Whether a record looks like ours.
pub(crate) fn fits(fields: &Fields<'_>) -> bool {
    fields.has("task")
}

/// Reads a record of ours.
pub(crate) fn problem(fields: &Fields<'_>) -> Result<Problem, Misfit> {
    fields.only(&["question_id", "prompt", "difficulty", "platform", "contest_date", "task"], "a problem")?;
    let raw = fields.raw("task").ok_or_else(|| fields.missing("a `task`"))?;
    Ok(Problem {
        question_id: fields.id(&["question_id"])?.unwrap_or_default(),
        prompt: fields.optional_string("prompt")?.unwrap_or_default(),
        task: task(&Fields::parse(raw.as_bytes(), "`task`, a JSON object")?)?,
        difficulty: fields.optional_string("difficulty")?,
        platform: fields.optional_string("platform")?,
        contest_date: fields.optional_string("contest_date")?,
    })
}

fn task(fields: &Fields<'_>) -> Result<Task, Misfit> {
    match fields.string("type")?.as_str() {
        "math" => {
            fields.only(&["type", "ground_truth", "error"], "a math task")?;
            let error = amount(fields, "error")?;
            Ok(Task::Math(MathTask { ground_truth: fields.string("ground_truth")?, error }))
        }
        "code" => code(fields).map(Task::Code),
        other => Err(Misfit::new("task type `code` or `math`", clip(other), "correct `type`")),
    }
}

fn code(fields: &Fields<'_>) -> Result<CodeTask, Misfit> {
    let known = ["type", "func_name", "starter_code", "test_cases", "checker", "limits", "groups"];
    fields.only(&known, "a code task")?;
    let func_name = fields.optional_string("func_name")?;
    let raw = fields.raw("test_cases").ok_or_else(|| fields.missing("a list `test_cases`"))?;
    let rows: Vec<&RawValue> = serde_json::from_str(raw).map_err(|error| {
        Misfit::new("`test_cases` to be a list", format!("{} ({error})", clip(raw)), "write a list of tests")
    })?;
    if rows.is_empty() {
        let hint = "add a test: without one every program would pass";
        return Err(Misfit::new("at least one test in `test_cases`", "an empty list", hint));
    }
    let mut test_cases = Gathering::default();
    for row in &rows {
        test_cases.push(test_case(row.get(), func_name.is_some())?).map_err(|error| no_room(&error))?;
    }
    let groups = fields.raw("groups").map_or(Ok(Vec::new()), |raw| groups(raw, rows.len()))?;
    Ok(CodeTask {
        starter_code: fields.optional_string("starter_code")?.unwrap_or_default(),
        func_name,
        test_cases: test_cases.done().map_err(|error| no_room(&error))?,
        checker: fields.raw("checker").map_or(Ok(Checker::Lcb), checker)?,
        limits: fields.raw("limits").map_or(Ok(TaskLimits::default()), limits)?,
        groups,
    })
}

fn groups(raw: &str, tests: usize) -> Result<Vec<TestGroup>, Misfit> {
    let rows: Vec<&RawValue> = read(raw, "groups", "a list of groups")?;
    let groups: Vec<TestGroup> = rows.iter().map(|row| group(row.get())).collect::<Result<_, _>>()?;
    let covered = groups.iter().fold(0_usize, |sum, group| sum.saturating_add(group.tests));
    match groups.is_empty() || covered == tests {
        true => Ok(groups),
        false => {
            let hint = "count the tests of the groups again: every test is in one";
            Err(Misfit::new(format!("groups of {tests} tests in all"), format!("groups of {covered}"), hint))
        }
    }
}

fn group(raw: &str) -> Result<TestGroup, Misfit> {
    let fields = Fields::parse(raw.as_bytes(), "a group, a JSON object")?;
    fields.only(&["name", "tests", "points", "scoring"], "a group")?;
    let tests = fields.raw("tests").ok_or_else(|| fields.missing("a number `tests`"))?;
    let scoring = fields.string("scoring")?;
    Ok(TestGroup {
        name: fields.optional_string("name")?.unwrap_or_default(),
        tests: read(tests, "tests", "a whole number")?,
        points: amount(&fields, "points")?.ok_or_else(|| fields.missing("a number `points`"))?,
        scoring: Scoring::ALL.into_iter().find(|way| way.name() == scoring).ok_or_else(|| {
            Misfit::new("scoring `worst`, `each` or `until_failure`", clip(&scoring), "correct `scoring`")
        })?,
    })
}

fn test_case(raw: &str, named: bool) -> Result<TestCase, Misfit> {
    let fields = Fields::parse(raw.as_bytes(), "a test, a JSON object")?;
    fields.only(&["input", "output", "test_type"], "a test")?;
    let test_type = match (fields.optional_string("test_type")?.as_deref(), named) {
        (Some("stdin"), false) | (None, false) => TestType::Stdin,
        (Some("functional"), true) | (None, true) => TestType::Functional,
        (Some("call"), true) => TestType::Call,
        (Some("script"), false) => TestType::Script,
        (Some("functional" | "call"), false) => {
            return Err(Misfit::new(
                "`func_name` for a functional test",
                "none",
                "add `func_name` to the task",
            ));
        }
        (Some("stdin" | "script"), true) => {
            let hint = "remove `func_name`, or make two problems";
            return Err(Misfit::new("functional tests in a task with `func_name`", "another test", hint));
        }
        (Some(other), _) => {
            return Err(Misfit::new(
                "test_type `stdin`, `functional`, `call` or `script`",
                clip(other),
                "correct `test_type`",
            ));
        }
    };
    let output = match test_type {
        TestType::Script => fields.optional_string("output")?.unwrap_or_default(),
        TestType::Stdin | TestType::Functional | TestType::Call => fields.string("output")?,
    };
    Ok(TestCase { input: fields.string("input")?, output, test_type })
}

fn checker(raw: &str) -> Result<Checker, Misfit> {
    if raw.starts_with('{') {
        let fields = Fields::parse(raw.as_bytes(), "`checker`, a JSON object")?;
        let kind = fields.string("type")?;
        if kind == "program" || kind == "interactive" {
            fields.only(&["type", "language", "source", "protocol", "arguments"], "a checker")?;
            let program = judge_program(&fields)?;
            let interactive = kind == "interactive";
            return Ok(if interactive { Checker::Interactive(program) } else { Checker::Program(program) });
        }
        if kind == "kattis" {
            return kattis(&fields);
        }
        fields.only(&["type", "absolute", "relative"], "a checker")?;
        return match kind.as_str() {
            "float" => Ok(Checker::Float {
                absolute: amount(&fields, "absolute")?.unwrap_or(0.0),
                relative: amount(&fields, "relative")?.unwrap_or(0.0),
            }),
            name => plain_checker(name),
        };
    }
    plain_checker(&read::<String>(raw, "checker", "a name or an object")?)
}

fn kattis(fields: &Fields<'_>) -> Result<Checker, Misfit> {
    let known = ["type", "case_sensitive", "space_change_sensitive", "absolute", "relative"];
    fields.only(&known, "a checker")?;
    let flag = |name: &str| fields.raw(name).map_or(Ok(false), |raw| read(raw, name, "true or false"));
    Ok(Checker::Kattis(KattisFlags {
        case_sensitive: flag("case_sensitive")?,
        space_change_sensitive: flag("space_change_sensitive")?,
        absolute: amount(fields, "absolute")?,
        relative: amount(fields, "relative")?,
    }))
}

fn judge_program(fields: &Fields<'_>) -> Result<JudgeProgram, Misfit> {
    let protocol = match fields.string("protocol")?.as_str() {
        "testlib" => Protocol::Testlib,
        "kattis" => Protocol::Kattis,
        other => {
            return Err(Misfit::new("protocol `testlib` or `kattis`", clip(other), "correct `protocol`"));
        }
    };
    let arguments =
        fields.raw("arguments").map_or(Ok(Vec::new()), |raw| read(raw, "arguments", "a list of strings"))?;
    Ok(JudgeProgram {
        language: fields.string("language")?,
        source: fields.string("source")?,
        protocol,
        arguments,
    })
}

fn plain_checker(name: &str) -> Result<Checker, Misfit> {
    match name {
        "exact" => Ok(Checker::Exact),
        "lcb" => Ok(Checker::Lcb),
        "tokens" => Ok(Checker::Tokens),
        "case_insensitive" => Ok(Checker::CaseInsensitive),
        "unordered" => Ok(Checker::Unordered),
        other => {
            let hint = "correct `checker`; a tolerance is {\"type\": \"float\", \"absolute\": 1e-6}";
            Err(Misfit::new(
                "checker `exact`, `lcb`, `tokens`, `case_insensitive`, `unordered` or an object",
                clip(other),
                hint,
            ))
        }
    }
}

fn limits(raw: &str) -> Result<TaskLimits, Misfit> {
    let fields = Fields::parse(raw.as_bytes(), "`limits`, a JSON object")?;
    fields.only(&["cpu_time", "memory"], "the limits")?;
    let cpu_time = match amount(&fields, "cpu_time")? {
        Some(seconds) => {
            Some(Duration::try_from_secs_f64(seconds).ok().filter(|time| !time.is_zero()).ok_or_else(
                || Misfit::new("`cpu_time` in seconds above 0", seconds.to_string(), "correct `cpu_time`"),
            )?)
        }
        None => None,
    };
    let memory =
        fields.raw("memory").map(|raw| read(raw, "memory", "a whole number of bytes")).transpose()?;
    if memory == Some(0) {
        return Err(Misfit::new("`memory` in bytes above 0", "0", "correct `memory`"));
    }
    Ok(TaskLimits { cpu_time, memory })
}

/// A number that is finite and not negative.
fn amount(fields: &Fields<'_>, name: &str) -> Result<Option<f64>, Misfit> {
    let Some(raw) = fields.raw(name) else { return Ok(None) };
    let amount: f64 = read(raw, name, "a number")?;
    match amount.is_finite() && amount >= 0.0 {
        true => Ok(Some(amount)),
        false => Err(Misfit::new(format!("`{name}` to be 0 or more"), clip(raw), "correct that value")),
    }
}

fn task_value(task: &Task) -> Value {
    match task {
        Task::Math(math) => {
            let mut object = json!({ "type": "math", "ground_truth": math.ground_truth });
            if let Some(error) = math.error {
                object["error"] = error.into();
            }
            object
        }
        Task::Code(code) => {
            let mut object = Map::new();
            object.insert("type".into(), "code".into());
            if let Some(name) = &code.func_name {
                object.insert("func_name".into(), name.as_str().into());
            }
            object.insert("starter_code".into(), code.starter_code.as_str().into());
            object.insert("test_cases".into(), code.test_cases.iter().map(test_value).collect());
            object.insert("checker".into(), checker_value(&code.checker));
            object.insert("limits".into(), limits_value(code.limits));
            if !code.groups.is_empty() {
                object.insert("groups".into(), code.groups.iter().map(group_value).collect());
            }
            Value::Object(object)
        }
    }
}

fn test_value(test: io::Result<Cow<'_, TestCase>>) -> Value {
    let test = test.expect("a file of our own, open since it was written, can be read");
    json!({ "input": test.input, "output": test.output, "test_type": test.test_type.name() })
}

fn group_value(group: &TestGroup) -> Value {
    let TestGroup { name, tests, points, scoring } = group;
    json!({ "name": name, "tests": tests, "points": points, "scoring": scoring.name() })
}

fn checker_value(checker: &Checker) -> Value {
    match checker {
        Checker::Exact => "exact".into(),
        Checker::Lcb => "lcb".into(),
        Checker::Tokens => "tokens".into(),
        Checker::CaseInsensitive => "case_insensitive".into(),
        Checker::Unordered => "unordered".into(),
        Checker::Kattis(flags) => json!({
            "type": "kattis", "case_sensitive": flags.case_sensitive,
            "space_change_sensitive": flags.space_change_sensitive, "absolute": flags.absolute,
            "relative": flags.relative,
        }),
        Checker::Program(program) => program_value("program", program),
        Checker::Interactive(program) => program_value("interactive", program),
        Checker::Float { absolute, relative } => {
            json!({ "type": "float", "absolute": absolute, "relative": relative })
        }
    }
}

fn program_value(kind: &str, program: &JudgeProgram) -> Value {
    let protocol = match program.protocol {
        Protocol::Testlib => "testlib",
        Protocol::Kattis => "kattis",
    };
    let JudgeProgram { language, source, arguments, .. } = program;
    json!({ "type": kind, "language": language, "source": source, "protocol": protocol, "arguments": arguments })
}

fn limits_value(limits: TaskLimits) -> Value {
    let mut object = Map::new();
    if let Some(time) = limits.cpu_time {
        object.insert("cpu_time".into(), time.as_secs_f64().into());
    }
    if let Some(memory) = limits.memory {
        object.insert("memory".into(), memory.into());
    }
    Value::Object(object)
}

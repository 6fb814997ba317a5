//! The JSON of the native API, and nothing else: what comes in is read here into the house's words, what
//! goes out is written here from them. Unknown fields are refused by name, so that a misspelt option is an
//! error today and not a silently different reward.

pub(crate) mod areal;
pub(crate) mod judge0;
pub(crate) mod label;
pub(crate) mod nemo_gym;
pub(crate) mod nemo_skills;
pub(crate) mod open_instruct;
pub(crate) mod openrlhf;
pub(crate) mod piston;
pub(crate) mod router;
pub mod sandbox_fusion;
pub(crate) mod slime;

use std::sync::Arc;
use std::time::Duration;

use assay_sandbox::Language;
use assay_testsets::{
    Checker, CodeTask, JudgeProgram, KattisFlags, MathTask, Problem, Protocol, Scoring, Task, TaskLimits,
    TestCase, TestGroup, TestType,
};
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::judge::{JudgeOptions, LimitOverrides, Mode, Profile, Submission};
use crate::math::{MathRules, ToleranceRule};
use crate::reward::{RewardFormula, RewardPolicy};
use crate::{Judgement, Verdict};

/// The body of `POST /v1/grade`, and one item of a batch.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GradeRequest {
    /// What was asked; this or `problem_id`.
    pub problem: Option<ProblemForm>,
    /// A problem that was stored before, by the id it got.
    pub problem_id: Option<String>,
    /// What the model answered.
    pub completion: String,
    /// Whose rules decide; `judge` when absent.
    #[serde(default)]
    pub profile: ProfileForm,
    /// Whose rules decide over a math answer, or of which data set it is; `strict` when absent.
    pub math_profile: Option<String>,
    /// Takes a real number that is not equal where this condition holds: a [`ToleranceRule`].
    pub math_tolerance: Option<String>,
    /// The language of the code; when absent the fence says it, and Python 3 where that does not.
    pub language: Option<String>,
    /// What `completion` is; `completion` when absent.
    #[serde(default)]
    pub mode: ModeForm,
    /// How a judgement becomes a number; `all` when absent.
    #[serde(default)]
    pub reward: RewardForm,
    /// Limits that replace the problem's and the profile's.
    #[serde(default)]
    pub limits: LimitsForm,
    /// Judge only so many of a program's tests: the first ones or, with `seed`, ones that it draws; in their order.
    pub first_n: Option<usize>,
    /// Draws the tests of `first_n`: the same ones for the same problem, whatever the completion.
    pub seed: Option<u64>,
    /// Stop at the first test that fails. When absent, a reward that counts tests has them all judged, another one not.
    pub early_stop: Option<bool>,
}

/// The body of `POST /v1/grade/batch`. Items are read one by one: a bad one is answered in its place.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchRequest {
    /// As [`GradeRequest`] each.
    #[schemars(with = "Vec<GradeRequest>")]
    pub items: Vec<Value>,
}

/// A problem on the wire.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProblemForm {
    /// Echoed in the answer.
    #[serde(default)]
    pub question_id: String,
    /// What is asked for, and against what it is judged.
    pub task: TaskForm,
}

/// A task on the wire, told apart by `type`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum TaskForm {
    /// A final answer.
    Math {
        /// The right answer, LaTeX or plain.
        ground_truth: String,
        /// How far a real number may be from it by the rules of the profile `olympiadbench`.
        error: Option<f64>,
    },
    /// A program.
    Code {
        /// The function called by functional tests.
        func_name: Option<String>,
        /// The skeleton shown to the model.
        #[serde(default)]
        starter_code: String,
        /// In the order they are judged.
        test_cases: Vec<TestCaseForm>,
        /// How output is compared; LiveCodeBench's rule when absent.
        checker: Option<CheckerForm>,
        /// Limits the problem itself states.
        #[serde(default)]
        limits: TaskLimitsForm,
        /// Tests in a row that earn points together; every test is in one, or there are none.
        #[serde(default)]
        groups: Vec<GroupForm>,
    },
}

/// Tests in a row that earn points together.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupForm {
    /// For people.
    #[serde(default)]
    pub name: String,
    /// How many tests there are in it.
    pub tests: usize,
    /// What all of it earns; 0 or more.
    pub points: f64,
    /// How its tests earn that.
    pub scoring: ScoringForm,
}

/// How the tests of a group earn its points.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScoringForm {
    /// As large a share as the worst test earned.
    Worst,
    /// Each test an equal part.
    Each,
    /// Each test an equal part, up to the first that fails.
    UntilFailure,
}

/// One test on the wire.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TestCaseForm {
    /// Standard input, or one JSON value per line.
    pub input: String,
    /// Expected standard output, or one JSON value.
    pub output: String,
    /// Follows `func_name` when absent: `functional` if there is one, else `stdin`.
    #[serde(alias = "testtype")]
    pub test_type: Option<TestTypeForm>,
}

/// How a test is fed.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TestTypeForm {
    /// Text in, text out.
    Stdin,
    /// Arguments in, return value out.
    Functional,
    /// The same in Python literals, from an assertion.
    Call,
}

/// How output is compared: a name, or an object for what needs more than a name.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckerForm {
    /// Byte for byte.
    Exact,
    /// LiveCodeBench's rule.
    Lcb,
    /// Whitespace-separated tokens.
    Tokens,
    /// Tokens, numbers within a tolerance: `{"float": {"absolute": 1e-6, "relative": 1e-6}}`.
    Float(ToleranceForm),
    /// Tokens, upper and lower case taken as one.
    CaseInsensitive,
    /// The same lines in any order.
    Unordered,
    /// Kattis's default output validator, with its flags.
    Kattis(KattisForm),
    /// The problem's own program decides: `{"program": {"language", "source", "protocol"}}`.
    Program(JudgeProgramForm),
    /// The problem's own program talks with the submission, in the same form.
    Interactive(JudgeProgramForm),
}

/// See [`KattisFlags`].
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KattisForm {
    /// Upper and lower case differ.
    pub case_sensitive: bool,
    /// White space must be the same, too.
    pub space_change_sensitive: bool,
    /// Numbers may differ by so much.
    pub absolute: Option<f64>,
    /// Or by so much of the expected number.
    pub relative: Option<f64>,
}

/// A checker or interactor.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JudgeProgramForm {
    /// What it is written in, such as `cpp17`.
    pub language: String,
    /// Its source.
    pub source: String,
    /// How it is called, and what its exit codes mean.
    pub protocol: ProtocolForm,
    /// What it is given behind the protocol's own arguments.
    #[serde(default)]
    pub arguments: Vec<String>,
}

/// See [`Protocol`].
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProtocolForm {
    /// testlib's arguments and exit codes.
    Testlib,
    /// Kattis's.
    Kattis,
}

/// Tolerances of the float checker; an absent one is 0.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToleranceForm {
    /// Largest absolute difference.
    #[serde(default)]
    pub absolute: f64,
    /// Largest difference relative to the expected number.
    #[serde(default)]
    pub relative: f64,
}

/// Limits a problem states for itself.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskLimitsForm {
    /// Seconds of CPU time per test.
    pub cpu_time: Option<f64>,
    /// Bytes of memory per test.
    pub memory: Option<u64>,
}

/// Limits of one request.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitsForm {
    /// Seconds of CPU time per test.
    pub cpu_time: Option<f64>,
    /// Seconds a test may sleep or block.
    pub wall_time: Option<f64>,
    /// Bytes of memory per test.
    pub memory: Option<u64>,
    /// Bytes of output per test and stream.
    pub output: Option<u64>,
}

/// Whose rules decide.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProfileForm {
    /// A real process per test.
    #[default]
    Judge,
    /// LiveCodeBench's runner.
    Lcb,
}

/// What the completion holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ModeForm {
    /// A model's whole text; the code block or the boxed answer is looked for.
    #[default]
    Completion,
    /// The bare final answer of a math problem.
    Answer,
    /// The bare source of a program.
    Code,
}

/// How a judgement becomes a number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RewardForm {
    /// 1 when accepted, else 0.
    #[default]
    All,
    /// Passed tests over all tests.
    Fraction,
    /// `{"formula": ".."}`: a [`RewardFormula`].
    Formula(String),
}

/// The answer to one item. Every field is always there; `null` where it does not apply.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct GradeResponse {
    /// As asked.
    pub question_id: String,
    /// Whether there is a verdict.
    pub outcome: OutcomeName,
    /// The verdict's name, when graded.
    #[serde(deserialize_with = "verdict_name")]
    pub verdict: Option<VerdictName>,
    /// The number to train on; never 0 for a failure of ours.
    pub reward: Option<f64>,
    /// Tests passed.
    pub passed: Option<usize>,
    /// Tests there are.
    pub total: Option<usize>,
    /// The part of all points, from 0 to 1; only where tests earn points.
    pub score: Option<f64>,
    /// Index of the first failed test, from 0.
    pub failed_test: Option<usize>,
    /// One line a person understands.
    pub reason: String,
    /// Math only: how it was proven.
    pub proof: Option<String>,
    /// How the answer was found.
    pub extraction: Option<String>,
    /// Seconds of CPU, summed over tests.
    pub cpu_time: Option<f64>,
    /// Seconds of wall time, summed over tests.
    pub wall_time: Option<f64>,
    /// Bytes, of the hungriest test.
    pub peak_memory: Option<u64>,
    /// Tests run a second time, alone, because a busy machine may have made the first too slow.
    pub reruns: Option<usize>,
    /// Where the service's own time went.
    pub timings: Timings,
    /// Whether this was judged before and only remembered.
    pub cached: bool,
    /// The caller's fault, spelt out; only with `outcome: invalid`, only inside a batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Value>,
}

/// One of [`Verdict::name`]. (Behind a name of its own, or serde would want to borrow it from what it reads.)
pub type VerdictName = &'static str;

/// One of those that there are.
fn verdict_name<'de, D: Deserializer<'de>>(from: D) -> Result<Option<VerdictName>, D::Error> {
    let Some(name) = Option::<String>::deserialize(from)? else { return Ok(None) };
    match Verdict::from_name(&name) {
        Some(verdict) => Ok(Some(verdict.name())),
        None => Err(D::Error::custom(format!("{name:?} is no verdict"))),
    }
}

/// Whether there is a verdict, and if not, whose fault that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeName {
    /// There is a verdict and a reward.
    Graded,
    /// The problem itself can't be judged: its gold or tests are unreadable.
    Unsupported,
    /// We failed. Not the submission's fault; drop the sample.
    InfraError,
    /// This item of a batch is not a request we understand.
    Invalid,
}

impl OutcomeName {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            OutcomeName::Graded => "graded",
            OutcomeName::Unsupported => "unsupported",
            OutcomeName::InfraError => "infra_error",
            OutcomeName::Invalid => "invalid",
        }
    }
}

/// Seconds, each.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
pub struct Timings {
    /// From admission to a free worker.
    pub queue: f64,
    /// Making the program.
    pub compile: f64,
    /// Everything else: extraction, tests, comparison, or the math.
    pub run: f64,
}

impl GradeResponse {
    /// A verdict and its reward.
    pub(crate) fn graded(question_id: String, judgement: Judgement, reward: f64) -> GradeResponse {
        GradeResponse {
            question_id,
            outcome: OutcomeName::Graded,
            verdict: Some(judgement.verdict.name()),
            reward: Some(reward),
            passed: Some(judgement.passed),
            total: Some(judgement.total),
            score: judgement.score,
            failed_test: judgement.failed_test,
            reason: judgement.reason,
            proof: judgement.proof,
            extraction: judgement.extraction,
            cpu_time: Some(judgement.usage.cpu_time.as_secs_f64()),
            wall_time: Some(judgement.usage.wall_time.as_secs_f64()),
            peak_memory: Some(judgement.usage.peak_memory),
            reruns: Some(judgement.reruns),
            timings: Timings::default(),
            cached: false,
            error: None,
        }
    }

    /// An answer with nothing in it but why.
    pub fn without_verdict(question_id: String, outcome: OutcomeName, reason: String) -> GradeResponse {
        GradeResponse {
            question_id,
            outcome,
            verdict: None,
            reward: None,
            passed: None,
            total: None,
            score: None,
            failed_test: None,
            reason,
            proof: None,
            extraction: None,
            cpu_time: None,
            wall_time: None,
            peak_memory: None,
            reruns: None,
            timings: Timings::default(),
            cached: false,
            error: None,
        }
    }
}

/// A request in the house's words.
pub(crate) struct Item {
    pub(crate) problem: Arc<Problem>,
    pub(crate) submission: Submission,
    pub(crate) options: JudgeOptions<'static>,
    /// Goes with the options.
    pub(crate) tolerance: Option<ToleranceRule>,
    pub(crate) reward: RewardPolicy,
    /// Of which tests of the problem as it came its tests are, where they are not all.
    pub(crate) chosen: Option<Vec<usize>>,
    /// What its result is kept under, where results are kept.
    pub(crate) key: Option<[u8; 32]>,
}

impl GradeRequest {
    /// A completion to be graded by the reward service's usual rules.
    pub(crate) fn new(problem: ProblemForm, completion: String) -> GradeRequest {
        GradeRequest {
            problem: Some(problem),
            problem_id: None,
            completion,
            profile: ProfileForm::default(),
            math_profile: None,
            math_tolerance: None,
            language: None,
            mode: ModeForm::default(),
            reward: RewardForm::default(),
            limits: LimitsForm::default(),
            first_n: None,
            seed: None,
            early_stop: None,
        }
    }

    /// Into the house's words, with the problem that was `stored` under an id; the text of an error says which field is wrong
    /// and what was expected.
    pub(crate) fn into_item(
        self,
        stored: impl FnOnce(&str) -> Result<Arc<Problem>, String>,
    ) -> Result<Item, String> {
        let problem = match (self.problem, self.problem_id) {
            (Some(problem), None) => Arc::new(problem.into_problem()?),
            (None, Some(id)) => stored(&id)?,
            (None, None) => return Err("missing field `problem`, or `problem_id`".into()),
            (Some(_), Some(_)) => return Err("give `problem` or `problem_id`, not both".into()),
        };
        let (problem, chosen) = match (self.first_n, self.seed) {
            (Some(count), seed) => drawn(&problem, count, seed)?,
            (None, None) => (problem, None),
            (None, Some(_)) => return Err("`seed` draws the tests of `first_n`, which is missing".into()),
        };
        let submission = Submission { question_id: problem.question_id.clone(), completion: self.completion };
        let reward = match self.reward {
            RewardForm::All => RewardPolicy::AllTests,
            RewardForm::Fraction => RewardPolicy::Fraction,
            RewardForm::Formula(text) => RewardPolicy::Formula(
                RewardFormula::new(&text).map_err(|wrong| format!("`reward`: {wrong}"))?,
            ),
        };
        let math = match self.math_profile {
            None => MathRules::default(),
            Some(name) => MathRules::from_name(&name).ok_or_else(|| {
                format!("`math_profile` is {name:?}; the profiles are {}", MathRules::names())
            })?,
        };
        let tolerance = self.math_tolerance.map(|rule| ToleranceRule::new(&rule)).transpose();
        let tolerance = tolerance.map_err(|wrong| format!("`math_tolerance`: {wrong}"))?;
        let options = JudgeOptions {
            profile: match self.profile {
                ProfileForm::Judge => Profile::Judge,
                ProfileForm::Lcb => Profile::Lcb,
            },
            language: self.language.map(|name| language(&name)).transpose()?,
            limits: self.limits.read()?,
            mode: match self.mode {
                ModeForm::Completion => Mode::Completion,
                ModeForm::Answer => Mode::Answer,
                ModeForm::Code => Mode::Code,
            },
            all_tests: self.early_stop.map_or(reward.needs_all_tests(), |stop| !stop),
            math,
            ..JudgeOptions::default()
        };
        Ok(Item { problem, submission, options, tolerance, reward, chosen, key: None })
    }
}

/// The problem with so many of its tests, and which they are. A seed ranks tests by a hash of both, so what it draws depends on
/// nothing else.
fn drawn(
    problem: &Arc<Problem>,
    count: usize,
    seed: Option<u64>,
) -> Result<(Arc<Problem>, Option<Vec<usize>>), String> {
    let Task::Code(task) = &problem.task else {
        return Err("`first_n` is for programs; a math problem has no tests".into());
    };
    if count == 0 {
        return Err("`first_n` must be above 0: without a test everything would be accepted".into());
    }
    let mut order: Vec<usize> = (0..task.test_cases.len()).collect();
    if let Some(seed) = seed {
        let rank = |index: &usize| Sha256::digest(format!("{seed} {index}"));
        order.sort_by_cached_key(rank);
    }
    order.truncate(count);
    order.sort_unstable();
    let test_cases = task.test_cases.chosen(&order);
    let task = Task::Code(CodeTask { test_cases, groups: of_these(&task.groups, &order), ..task.clone() });
    Ok((Arc::new(Problem { task, ..(**problem).clone() }), Some(order)))
}

/// The groups with those of their tests that were drawn. One that has none left earns nothing, and counts for nothing.
fn of_these(groups: &[TestGroup], drawn: &[usize]) -> Vec<TestGroup> {
    let mut start = 0;
    let left = groups.iter().map(|group| {
        let own = start..start + group.tests;
        start = own.end;
        TestGroup { tests: drawn.iter().filter(|index| own.contains(index)).count(), ..group.clone() }
    });
    left.filter(|group| group.tests > 0).collect()
}

impl LimitsForm {
    fn read(self) -> Result<LimitOverrides, String> {
        let above_zero = |name: &str, value: Option<u64>| match value {
            Some(0) => Err(format!("`limits.{name}` must be above 0")),
            value => Ok(value),
        };
        Ok(LimitOverrides {
            cpu_time: self.cpu_time.map(|s| seconds("limits.cpu_time", s)).transpose()?,
            wall_time: self.wall_time.map(|s| seconds("limits.wall_time", s)).transpose()?,
            memory: above_zero("memory", self.memory)?,
            output: above_zero("output", self.output)?,
        })
    }
}

impl ProblemForm {
    /// Into the house's words; the text of an error says which field is wrong and what was expected.
    pub fn into_problem(self) -> Result<Problem, String> {
        let task = match self.task {
            TaskForm::Math { ground_truth, error } => {
                not_negative("problem.task.error", error)?;
                Task::Math(MathTask { ground_truth, error })
            }
            TaskForm::Code { func_name, starter_code, test_cases, checker, limits, groups } => {
                let groups = read_groups(groups, test_cases.len())?;
                let task = code_task(func_name, starter_code, test_cases, checker, limits)?;
                Task::Code(CodeTask { groups, ..task })
            }
        };
        Ok(Problem {
            question_id: self.question_id,
            prompt: String::new(),
            task,
            difficulty: None,
            platform: None,
            contest_date: None,
        })
    }
}

/// Reads a number of seconds: finite, above zero, at most a day.
pub fn seconds(field: &str, value: f64) -> Result<Duration, String> {
    if value.is_finite() && value > 0.0 && value <= 86_400.0 {
        Ok(Duration::from_secs_f64(value))
    } else {
        Err(format!("`{field}` must be a number of seconds above 0 and at most 86400, not {value}"))
    }
}

fn language(name: &str) -> Result<Language, String> {
    Language::from_name(name).ok_or_else(|| {
        let names: Vec<&str> = Language::all().into_iter().map(Language::name).collect();
        let names = names.join(", ");
        format!("`language` is {name:?}; expected one of {names}")
    })
}

fn code_task(
    func_name: Option<String>,
    starter_code: String,
    test_cases: Vec<TestCaseForm>,
    checker: Option<CheckerForm>,
    limits: TaskLimitsForm,
) -> Result<CodeTask, String> {
    if test_cases.is_empty() {
        return Err("`problem.task.test_cases` is empty: without a test everything would be accepted".into());
    }
    let test_cases = test_cases
        .into_iter()
        .enumerate()
        .map(|(index, form)| test_case(index, form, func_name.as_deref()))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(CodeTask {
        starter_code,
        func_name,
        test_cases: test_cases.into(),
        checker: checker.map_or(Ok(Checker::Lcb), read_checker)?,
        limits: TaskLimits {
            cpu_time: limits.cpu_time.map(|s| seconds("problem.task.limits.cpu_time", s)).transpose()?,
            memory: limits.memory,
        },
        groups: Vec::new(),
    })
}

fn read_groups(groups: Vec<GroupForm>, tests: usize) -> Result<Vec<TestGroup>, String> {
    let covered = groups.iter().fold(0_usize, |sum, group| sum.saturating_add(group.tests));
    if !groups.is_empty() && covered != tests {
        return Err(format!(
            "`problem.task.groups` have {covered} tests in all, and `test_cases` {tests}: every test is in one"
        ));
    }
    let read = |(index, group): (usize, GroupForm)| {
        not_negative(&format!("problem.task.groups[{index}].points"), Some(group.points))?;
        let scoring = match group.scoring {
            ScoringForm::Worst => Scoring::Worst,
            ScoringForm::Each => Scoring::Each,
            ScoringForm::UntilFailure => Scoring::UntilFailure,
        };
        Ok(TestGroup { name: group.name, tests: group.tests, points: group.points, scoring })
    };
    groups.into_iter().enumerate().map(read).collect()
}

fn test_case(index: usize, form: TestCaseForm, func_name: Option<&str>) -> Result<TestCase, String> {
    let test_type = match (form.test_type, func_name) {
        (Some(TestTypeForm::Functional | TestTypeForm::Call), None) => {
            return Err(format!(
                "`problem.task.test_cases[{index}]` is functional, but `problem.task.func_name` is missing"
            ));
        }
        (Some(TestTypeForm::Stdin), _) | (None, None) => TestType::Stdin,
        (Some(TestTypeForm::Functional), Some(_)) | (None, Some(_)) => TestType::Functional,
        (Some(TestTypeForm::Call), Some(_)) => TestType::Call,
    };
    Ok(TestCase { input: form.input, output: form.output, test_type })
}

fn read_checker(form: CheckerForm) -> Result<Checker, String> {
    Ok(match form {
        CheckerForm::Exact => Checker::Exact,
        CheckerForm::Lcb => Checker::Lcb,
        CheckerForm::Tokens => Checker::Tokens,
        CheckerForm::Float(ToleranceForm { absolute, relative }) => {
            not_negative("problem.task.checker.float.absolute", Some(absolute))?;
            not_negative("problem.task.checker.float.relative", Some(relative))?;
            Checker::Float { absolute, relative }
        }
        CheckerForm::Kattis(KattisForm { case_sensitive, space_change_sensitive, absolute, relative }) => {
            not_negative("problem.task.checker.kattis.absolute", absolute)?;
            not_negative("problem.task.checker.kattis.relative", relative)?;
            Checker::Kattis(KattisFlags { case_sensitive, space_change_sensitive, absolute, relative })
        }
        CheckerForm::CaseInsensitive => Checker::CaseInsensitive,
        CheckerForm::Unordered => Checker::Unordered,
        CheckerForm::Program(form) => Checker::Program(judge_program(form)),
        CheckerForm::Interactive(form) => Checker::Interactive(judge_program(form)),
    })
}

fn not_negative(field: &str, value: Option<f64>) -> Result<(), String> {
    match value.filter(|value| !(value.is_finite() && *value >= 0.0)) {
        Some(value) => Err(format!("`{field}` must be 0 or more, not {value}")),
        None => Ok(()),
    }
}

fn judge_program(form: JudgeProgramForm) -> JudgeProgram {
    let protocol = match form.protocol {
        ProtocolForm::Testlib => Protocol::Testlib,
        ProtocolForm::Kattis => Protocol::Kattis,
    };
    JudgeProgram { language: form.language, source: form.source, protocol, arguments: form.arguments }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Problem, String> {
        let request: GradeRequest = serde_json::from_str(text).map_err(|e| e.to_string())?;
        request.problem.expect("a problem").into_problem()
    }

    #[test]
    fn what_is_wrong_is_named() {
        let rows = [
            (
                r#"{"problem": {"task": {"type": "math", "ground_truth": "1"}}, "completion": "1", "rewrad": "all"}"#,
                "rewrad",
            ),
            (
                r#"{"problem": {"task": {"type": "math", "ground_truth": "1", "gold": "2"}}, "completion": ""}"#,
                "gold",
            ),
            (r#"{"problem": {"task": {"type": "maths", "ground_truth": "1"}}, "completion": ""}"#, "maths"),
            (r#"{"problem": {"task": {"type": "math"}}, "completion": ""}"#, "ground_truth"),
            (r#"{"problem": {"task": {"type": "code", "test_cases": []}}, "completion": ""}"#, "test_cases"),
            (
                r#"{"problem": {"task": {"type": "code", "test_cases": [{"input": "", "output": "", "x": 1}]}}, "completion": ""}"#,
                "`x`",
            ),
            (
                r#"{"problem": {"task": {"type": "code", "test_cases": [{"input": "", "output": "", "test_type": "functional"}]}},
                    "completion": ""}"#,
                "func_name",
            ),
            (
                r#"{"problem": {"task": {"type": "code", "test_cases": [{"input": "", "output": ""}],
                    "limits": {"cpu_time": -1}}}, "completion": ""}"#,
                "limits.cpu_time",
            ),
            (
                r#"{"problem": {"task": {"type": "code", "test_cases": [{"input": "", "output": ""}],
                    "checker": {"float": {"absolute": -1}}}}, "completion": ""}"#,
                "absolute",
            ),
        ];
        for (text, named) in rows {
            let error = read(text).unwrap_err();
            assert!(error.contains(named), "{error:?} should name {named:?}");
        }
    }

    #[test]
    fn a_test_type_left_out_follows_the_function_name() {
        let text = |func: &str| {
            format!(
                r#"{{"problem": {{"task": {{"type": "code", {func} "test_cases": [{{"input": "1", "output": "2"}}]}}}},
                    "completion": ""}}"#
            )
        };
        for (func, want) in [("", TestType::Stdin), (r#""func_name": "f","#, TestType::Functional)] {
            let Task::Code(task) = read(&text(func)).unwrap().task else { panic!("a code task") };
            assert!(task.test_cases.types().eq([want]));
        }
    }
}

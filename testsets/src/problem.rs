//! The words of the house for what is asked. Each lives once, here.

use crate::test_cases::TestCases;
use std::time::Duration;

/// One problem, of whatever format it came in.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// Unique within its file.
    pub question_id: String,
    /// What the model is asked; may be empty where the file leaves statements out.
    pub prompt: String,
    /// What is asked for, and against what it is judged.
    pub task: Task,
    /// `easy`, `medium`, `hard`, where known.
    pub difficulty: Option<String>,
    /// `leetcode`, `atcoder`, `codeforces`, or the benchmark's name, where known.
    pub platform: Option<String>,
    /// ISO 8601 date, maybe with a time, as in the record, where known.
    pub contest_date: Option<String>,
}

/// What kind of answer a problem wants.
#[derive(Debug, Clone, PartialEq)]
pub enum Task {
    /// A program.
    Code(CodeTask),
    /// A final answer.
    Math(MathTask),
}

/// A programming problem.
#[derive(Debug, Clone, PartialEq)]
pub struct CodeTask {
    /// The skeleton shown to the model; empty for stdin problems.
    pub starter_code: String,
    /// The function or method called by functional tests; `None` means the tests are stdin tests.
    pub func_name: Option<String>,
    /// In the order they are judged: public first, then private.
    pub test_cases: TestCases,
    /// How output is compared.
    pub checker: Checker,
    /// Limits the problem itself states; what is `None` comes from the profile.
    pub limits: TaskLimits,
    /// Subtasks, in the order of the tests they are made of: all of them. Empty where tests earn no points.
    pub groups: Vec<TestGroup>,
}

/// Tests in a row that earn points together.
#[derive(Debug, Clone, PartialEq)]
pub struct TestGroup {
    /// For people.
    pub name: String,
    /// How many tests there are in it.
    pub tests: usize,
    /// What all of it earns; 0 or more.
    pub points: f64,
    /// How its tests earn that.
    pub scoring: Scoring,
}

/// How the tests of a group earn its points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scoring {
    /// As large a share as its worst test earned, which is mostly all or nothing.
    Worst,
    /// Each test an equal part.
    Each,
    /// Each test an equal part, up to the first that fails.
    UntilFailure,
}

impl Scoring {
    /// All ways.
    pub const ALL: [Scoring; 3] = [Scoring::Worst, Scoring::Each, Scoring::UntilFailure];

    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Scoring::Worst => "worst",
            Scoring::Each => "each",
            Scoring::UntilFailure => "until_failure",
        }
    }
}

/// A math problem.
#[derive(Debug, Clone, PartialEq)]
pub struct MathTask {
    /// The right answer as written in the data set (LaTeX or plain text).
    pub ground_truth: String,
    /// How far a real number may be from it, where the row says so (OlympiadBench's `error`).
    pub error: Option<f64>,
}

/// One test of a programming problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestCase {
    /// Stdin text; one JSON value (of a call: Python literal) per line in parameter order for functional tests; the code
    /// of a script.
    pub input: String,
    /// Expected stdout, or one JSON value (of a call: Python literal); empty for a script.
    pub output: String,
    /// What `input` and `output` mean.
    pub test_type: TestType,
}

/// How a test is fed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TestType {
    /// Text in, text out.
    Stdin,
    /// Arguments in, return value out.
    Functional,
    /// As `Functional`, from an assertion: Python literals instead of JSON, tuples are not lists, and the program may go on
    /// from the starter code.
    Call,
    /// Code that is put behind the program and must end well; it shares the program's process, so it proves less.
    Script,
}

impl TestType {
    /// The name in files and on the wire.
    pub fn name(self) -> &'static str {
        match self {
            TestType::Stdin => "stdin",
            TestType::Functional => "functional",
            TestType::Call => "call",
            TestType::Script => "script",
        }
    }
}

/// How output is compared with the expected output.
#[derive(Debug, Clone, PartialEq)]
pub enum Checker {
    /// Byte for byte.
    Exact,
    /// LiveCodeBench's rule: both sides stripped, split in lines, each line stripped and equal, or all its
    /// whitespace-separated tokens equal as exact decimals.
    Lcb,
    /// Whitespace-separated tokens equal.
    Tokens,
    /// As `Tokens`, but numbers may differ by this absolute or relative amount.
    Float {
        /// Largest absolute difference.
        absolute: f64,
        /// Largest difference relative to the expected number.
        relative: f64,
    },
    /// As `Tokens`, upper and lower case taken as one.
    CaseInsensitive,
    /// The same lines in any order, each as `Tokens`; empty lines do not count.
    Unordered,
    /// Tokens as Kattis's default output validator has them.
    Kattis(KattisFlags),
    /// The problem's own program decides, from input, output and expected output.
    Program(JudgeProgram),
    /// The problem's own program talks with the submission and decides.
    Interactive(JudgeProgram),
}

/// How Kattis's default output validator compares; by default tokens, upper and lower case taken as one.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct KattisFlags {
    /// Upper and lower case differ.
    pub case_sensitive: bool,
    /// White space must be the same, too.
    pub space_change_sensitive: bool,
    /// Numbers may differ by so much.
    pub absolute: Option<f64>,
    /// Or by so much of the expected number.
    pub relative: Option<f64>,
}

/// A program of the problem's author that decides whether a submission is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JudgeProgram {
    /// What it is written in, by the sandbox's name, such as `cpp17`.
    pub language: String,
    /// Its source.
    pub source: String,
    /// How it is called and what its exit code means.
    pub protocol: Protocol,
    /// What it is given behind the protocol's own arguments.
    pub arguments: Vec<String>,
}

/// What a judge's program and who calls it agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// `checker INPUT OUTPUT ANSWER`, or `interactor INPUT OUTPUT ANSWER`; exit code 0 is right, 1 and 2 wrong, 7 partly
    /// right, where its message begins with `points` and a share from 0 to 1; anything else the program's own failure.
    Testlib,
    /// `validator INPUT ANSWER FEEDBACK`, the output on stdin; exit code 42 is right, 43 wrong, anything else its own failure.
    Kattis,
}

/// Limits a problem states for itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TaskLimits {
    /// CPU time per test.
    pub cpu_time: Option<Duration>,
    /// Memory per test, in bytes.
    pub memory: Option<u64>,
}

//! The judge: a problem and a submission in, a judgement out. `assay grade`, the service and the learner all
//! come through [`Judge::judge`]; there is no second grader.
//!
//! The way down: find the answer in the completion, run or compare it, make a verdict of what happened
//! ([`crate::verdict()`], the one table). Three outcomes, by whose fault it is:
//!
//! - [`Judged::Graded`]: the submission's. Whatever it does ends here; nothing it does reaches the other two.
//! - [`Judged::Unsupported`]: the problem's, found before the submission is looked at.
//! - [`JudgeError`]: the caller's (a wrong request) or ours (the sandbox failed, also on other slots).
//!
//! What broke a slot is repeated on others until it is settled whose fault that was ([`Sandbox::settle`]): ours, and
//! there is no verdict; or the submission's, and that is a security violation.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use assay_sandbox::{Executable, Language, Limits, Sandbox, SandboxError, Termination, Usage};
use assay_testsets::{CodeTask, MathTask, Problem, Task, TaskLimits, TestType};

use crate::checker;
use crate::code::{self, CodeRun, lost_tests};
use crate::extract::Extraction;
use crate::math::{self, Gold, MathProfile, MathRules, MathVerdict, Prediction, ToleranceRule, Unreadable};
use crate::parallel::Spare;
use crate::prelude::Preludes;
use crate::verdict::{Happened, Judgement};

/// A model's answer to one problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// The problem it answers.
    pub question_id: String,
    /// The whole completion, or the bare answer or program where [`JudgeOptions::mode`] says so.
    pub completion: String,
}

/// Whose rules decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Profile {
    /// A real process whose exit code counts. Limits: 6 s CPU, 6 s idle, 1 GiB, 64 MiB output.
    #[default]
    Judge,
    /// LiveCodeBench's verdicts wherever lcb_runner is right: its prelude, SystemExit ends a run well whatever
    /// its code, stop at the first failure. Limits: 6 s CPU, 6 s idle, 4 GiB, 256 MiB output.
    Lcb,
    /// `Lcb` with lcb_runner's accidents: stdin programs in Python become the body of a function whose streams are no
    /// files, and threads that nobody joins do not print. To reproduce published numbers, never for rewards.
    LcbBugs,
    /// The toolkit of AceReason-Nemotron, from descriptions by others: the last block of a text that has a `</think>`,
    /// for functions the definitions of all blocks, and numbers equal within a relative 1e-5.
    AceReason,
}

impl Profile {
    /// All profiles.
    pub const ALL: [Profile; 4] = [Profile::Judge, Profile::Lcb, Profile::LcbBugs, Profile::AceReason];

    /// The name on the command line, on the wire and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Judge => "judge",
            Profile::Lcb => "lcb",
            Profile::LcbBugs => "lcb-bugs",
            Profile::AceReason => "acereason",
        }
    }

    /// Reads [`Profile::name`].
    pub fn from_name(name: &str) -> Option<Profile> {
        Profile::ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// The limits of one test where neither the caller nor the problem states its own.
    pub fn limits(self) -> Limits {
        let (memory, output) = match self {
            Profile::Judge => (1 << 30, 64 << 20),
            Profile::Lcb | Profile::LcbBugs | Profile::AceReason => (4 << 30, 256 << 20),
        };
        Limits {
            cpu_time: Duration::from_secs(6),
            wall_time: Duration::from_secs(6),
            memory,
            stack: 512 << 20,
            output,
            processes: 64,
            open_files: 64,
        }
    }
}

/// What of a submission is the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// A completion the answer must be found in.
    #[default]
    Completion,
    /// A bare final answer (math).
    Answer,
    /// A bare program (code).
    Code,
}

impl Mode {
    /// Reads `completion`, `answer` or `code`.
    pub fn from_name(name: &str) -> Option<Mode> {
        match name {
            "completion" => Some(Mode::Completion),
            "answer" => Some(Mode::Answer),
            "code" => Some(Mode::Code),
            _ => None,
        }
    }
}

/// Limits the caller states; they go before the problem's own, which go before the profile's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LimitOverrides {
    /// CPU time per test.
    pub cpu_time: Option<Duration>,
    /// Idle time per test.
    pub wall_time: Option<Duration>,
    /// Memory per test, in bytes.
    pub memory: Option<u64>,
    /// Output per test, in bytes.
    pub output: Option<u64>,
}

/// How to judge; the default is the reward service's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JudgeOptions<'a> {
    /// Whose rules decide.
    pub profile: Profile,
    /// What programs are written in; `None` takes the fence's word, and Python where there is none.
    pub language: Option<Language>,
    /// How the program is found; `None` is the profile's way (`judge`: last fence, `lcb`: lcb, `acereason`: its own).
    pub extraction: Option<Extraction>,
    /// Limits that go before all others.
    pub limits: LimitOverrides,
    /// What of the submission is the answer.
    pub mode: Mode,
    /// The forgiving prelude for stdin programs in Python; `None` is the profile's way (`judge`: no, the others: yes).
    /// Functional programs always have it: their starter code relies on it.
    pub prelude: Option<bool>,
    /// Run the tests after a failed one too, for rewards that count them. Functional tests still stop at the
    /// first failure: the next input is only sent when the answer before was right.
    pub all_tests: bool,
    /// Whose rules decide over math answers.
    pub math: MathRules,
    /// A rule that takes real numbers that are not equal, before the one of `math`.
    pub tolerance: Option<&'a ToleranceRule>,
    /// Accept tests that run in the program's own process ([`TestType::Script`]). What they say can be forged, so
    /// reports mark it and rewards do without.
    pub in_process: bool,
}

impl JudgeOptions<'_> {
    /// Whether stdin programs in Python get the prelude.
    pub fn prelude(&self) -> bool {
        self.prelude.unwrap_or(self.profile != Profile::Judge)
    }

    /// How the program is found.
    pub fn extraction(&self) -> Extraction {
        match (self.mode, self.extraction, self.profile) {
            (Mode::Code, _, _) => Extraction::Whole,
            (_, Some(extraction), _) => extraction,
            (_, None, Profile::Judge) => Extraction::LastFence,
            (_, None, Profile::Lcb | Profile::LcbBugs) => Extraction::Lcb,
            (_, None, Profile::AceReason) => Extraction::AceReason,
        }
    }

    /// The limits of one test of a problem that states `own` limits.
    pub fn limits_for(&self, own: &TaskLimits) -> Limits {
        let base = self.profile.limits();
        Limits {
            cpu_time: self.limits.cpu_time.or(own.cpu_time).unwrap_or(base.cpu_time),
            wall_time: self.limits.wall_time.unwrap_or(base.wall_time),
            memory: self.limits.memory.or(own.memory).unwrap_or(base.memory),
            output: self.limits.output.unwrap_or(base.output),
            ..base
        }
    }
}

/// What came of judging.
#[allow(clippy::large_enum_variant, reason = "the large variant is the usual one, and none is stored")]
#[derive(Debug, Clone, PartialEq)]
pub enum Judged {
    /// A verdict.
    Graded(Judgement),
    /// The problem itself cannot be judged, whatever is submitted.
    Unsupported {
        /// What about it, in one line.
        reason: String,
    },
}

/// No verdict, and not because of the submission.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// The request is wrong; asking again does not help.
    #[error("{0}")]
    Caller(String),
    /// We failed, also when tried again.
    #[error("{0}")]
    Infra(String),
}

/// Judges submissions; shared by all threads that want verdicts. Blocking.
#[derive(Debug)]
pub struct Judge {
    sandbox: Option<Sandbox>,
    /// The functional driver, compiled at its first use.
    driver: Mutex<Option<Executable>>,
    preludes: Preludes,
    golds: Golds,
    /// Slots beyond those of the threads that judge.
    spare: Spare,
}

impl Judge {
    /// A judge; without a sandbox it judges only math.
    pub fn new(sandbox: Option<Sandbox>) -> Judge {
        let spare = Spare::new(sandbox.as_ref().map_or(0, Sandbox::slots));
        Judge {
            sandbox,
            driver: Mutex::new(None),
            preludes: Preludes::default(),
            golds: Golds::default(),
            spare,
        }
    }

    /// Judges one submission.
    ///
    /// # Errors
    /// [`JudgeError::Caller`] for a request that asks the impossible, [`JudgeError::Infra`] when the sandbox
    /// fails and keeps failing.
    pub fn judge(
        &self,
        problem: &Problem,
        submission: &Submission,
        options: &JudgeOptions,
    ) -> Result<Judged, JudgeError> {
        match &problem.task {
            Task::Code(task) => self.judge_code(task, &submission.completion, options),
            Task::Math(task) => judge_math(&self.golds, task, &submission.completion, options),
        }
    }

    fn judge_code(
        &self,
        task: &CodeTask,
        completion: &str,
        options: &JudgeOptions,
    ) -> Result<Judged, JudgeError> {
        let unreadable = code::unreadable(task).map_err(|error| JudgeError::Infra(lost_tests(&error)))?;
        if let Some(reason) = unreadable {
            return Ok(Judged::Unsupported { reason });
        }
        let scripted = task.test_cases.types().any(|kind| kind == TestType::Script);
        if scripted && !options.in_process {
            return Err(JudgeError::Caller(
                "the tests run in the program's own process, which could forge their result; allow that, or give tests \
                 of inputs and outputs"
                    .to_owned(),
            ));
        }
        let wanted = wanted_language(task, options)?;
        let extraction = options.extraction();
        let Some((source, language)) = extraction.program(completion, wanted) else {
            return Ok(Judged::Graded(no_program(task, extraction)));
        };
        let Some(sandbox) = &self.sandbox else {
            return Err(JudgeError::Caller(
                "code problems need the sandbox, and none was started".to_owned(),
            ));
        };
        let compiled = match checker::compile(sandbox, &task.checker) {
            Ok(Ok(compiled)) => compiled,
            Ok(Err(reason)) => return Ok(Judged::Unsupported { reason }),
            Err(failure) => return Err(JudgeError::Infra(failure.to_string())),
        };
        // Asked for before the program has a slot: it takes one.
        let python = language.is_like(Language::Python3);
        let prelude = match python && (task.func_name.is_some() || options.prelude()) {
            true => self.preludes.of(language, sandbox),
            false => Arc::default(),
        };
        let _own = self.spare.enter();
        let run = CodeRun {
            sandbox,
            spare: &self.spare,
            checker: compiled.as_ref(),
            driver: &self.driver,
            prelude: &prelude,
            task,
            language,
            source: &source,
            blocks: &extraction.definitions(completion),
            options,
            limits: options.limits_for(&task.limits),
        };
        let mut judgement = self.settled(&run)?;
        judgement.extraction = Some(extraction.name().to_owned());
        judgement.in_process = scripted;
        judgement.score = judgement.score.or_else(|| lowest(task));
        Ok(Judged::Graded(judgement))
    }

    /// The run, until a verdict stands or none can be had; see the top of the file.
    fn settled(&self, run: &CodeRun<'_>) -> Result<Judgement, JudgeError> {
        let attempt = |sandbox: &Sandbox| {
            CodeRun { sandbox, limits: run.limits.clone(), ..*run }.judge().inspect_err(|_| {
                *self.driver.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = None;
            })
        };
        match run.sandbox.settle(run.language, attempt) {
            Ok(Some(judgement)) => Ok(judgement),
            Ok(None) => Ok(broke_three_slots(run.task.test_cases.len())),
            Err(SandboxError::Invalid(why)) => Err(JudgeError::Caller(why)),
            // Nobody but the submission asked for that language; a failure of ours would be its to choose.
            Err(SandboxError::Unavailable(why)) if run.language_is_its_own() => Ok(Judgement {
                reason: format!(
                    "the program says that it is {}, which this host does not run: {why}",
                    run.language
                ),
                ..Judgement::before_tests(Happened::NothingToGrade, run.task.test_cases.len())
            }),
            Err(failure) => Err(JudgeError::Infra(failure.to_string())),
        }
    }
}

/// The language the program must be in, if any is demanded.
fn wanted_language(task: &CodeTask, options: &JudgeOptions) -> Result<Option<Language>, JudgeError> {
    match (task.func_name.is_some(), options.language) {
        (true, Some(language)) if !language.is_like(Language::Python3) => Err(JudgeError::Caller(format!(
            "functional tests call Python functions; the request says {}",
            language.name()
        ))),
        (true, _) => Ok(Some(Language::Python3)),
        (false, language) => Ok(language),
    }
}

fn no_program(task: &CodeTask, extraction: Extraction) -> Judgement {
    Judgement {
        reason: format!("no program in the completion (extraction: {})", extraction.name()),
        extraction: Some(extraction.name().to_owned()),
        score: lowest(task),
        ..Judgement::before_tests(Happened::NothingToGrade, task.test_cases.len())
    }
}

/// The score of a program that did not come to its tests, where there are points.
fn lowest(task: &CodeTask) -> Option<f64> {
    (!task.groups.is_empty()).then_some(0.0)
}

fn broke_three_slots(total: usize) -> Judgement {
    Judgement {
        reason: "broke three fresh slots, where programs of ours ran well".to_owned(),
        ..Judgement::before_tests(
            Happened::Ran { termination: Termination::BrokeSlots, output_right: false },
            total,
        )
    }
}

/// Golds that were read lately, so that a problem's gold is parsed and brought to canonical form once and not for
/// each of its samples. Only the caller's golds and rules are keys, and what is kept never changes, so no submission
/// can put anything in or alter it.
#[derive(Debug, Default)]
struct Golds(Mutex<HashMap<GoldKey, Read>>);

/// A gold as written, and the rules and the tolerances it is read by.
type GoldKey = (String, MathRules, Option<String>, Option<u64>);

/// A gold with the rules it was read by, or why it cannot be read.
type Read = Arc<Result<(Gold, MathProfile), Unreadable>>;

/// Golds kept at once; then all are forgotten, which costs no more than reading them again.
const GOLDS: usize = 4096;

/// Longer golds are not kept.
const LONGEST_GOLD: usize = 4096;

impl Golds {
    fn read(&self, task: &MathTask, options: &JudgeOptions<'_>) -> Read {
        let gold = &task.ground_truth;
        let error = task.error.filter(|_| options.math == MathRules::OlympiadBench);
        let rule = options.tolerance.map(|rule| rule.text().to_owned());
        let key = (gold.clone(), options.math, rule, error.map(f64::to_bits));
        let kept = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(read) = kept().get(&key) {
            return read.clone();
        }
        let mut profile = options.math.profile();
        profile.tolerance = options.tolerance.cloned().or(profile.tolerance);
        profile.absolute_error = error;
        let read = Arc::new(Gold::parse(gold, &profile).map(|gold| (gold, profile)));
        if gold.len() <= LONGEST_GOLD {
            let mut kept = kept();
            if kept.len() >= GOLDS {
                kept.clear();
            }
            kept.insert(key, read.clone());
        }
        read
    }
}

fn judge_math(
    golds: &Golds,
    task: &MathTask,
    completion: &str,
    options: &JudgeOptions,
) -> Result<Judged, JudgeError> {
    let prediction = match options.mode {
        Mode::Completion => Prediction::Completion(completion),
        Mode::Answer => Prediction::Answer(completion),
        Mode::Code => {
            return Err(JudgeError::Caller(
                "mode \"code\" is for code; a math problem takes completion or answer".into(),
            ));
        }
    };
    let read = golds.read(task, options);
    let (gold, profile) = match &*read {
        Ok(read) => read,
        Err(unreadable) => return Ok(Judged::Unsupported { reason: unreadable.to_string() }),
    };
    let started = Instant::now();
    let result = math::grade(gold, prediction, profile);
    let elapsed = started.elapsed();
    // A prediction that can't be read or afforded is graded wrong, and the reason keeps the difference.
    let (happened, prefix) = match result.verdict {
        MathVerdict::Equal => (Happened::AnswerEqual, ""),
        MathVerdict::Different => (Happened::AnswerNotEqual, ""),
        MathVerdict::Unsupported => (Happened::AnswerNotEqual, "unsupported_answer: "),
        MathVerdict::Limit => (Happened::AnswerNotEqual, "limit: "),
        MathVerdict::NoAnswer => (Happened::NothingToGrade, ""),
    };
    Ok(Judged::Graded(Judgement {
        passed: usize::from(result.verdict == MathVerdict::Equal),
        reason: format!("{prefix}{}", result.reason),
        // The checker neither waits nor shares: its wall time is its CPU time.
        usage: Usage { cpu_time: elapsed, wall_time: elapsed, peak_memory: 0, fuel: 0 },
        proof: result.proof.map(|proof| proof.to_string()),
        extraction: Some(result.extraction.as_str().to_owned()),
        ..Judgement::before_tests(happened, 1)
    }))
}

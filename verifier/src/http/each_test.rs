//! Each test judged by itself, for the routes whose replies have a line for every test. A program fails or passes a test
//! whatever it did in the one before: each is a process of its own, functional tests too.

use assay_sandbox::Language;
use assay_testsets::{Checker, CodeTask, Problem, Task, TaskLimits, TestCase};

use super::Service;
use super::error::HttpError;
use crate::judge::{JudgeError, JudgeOptions, Judged, LimitOverrides, Mode, Profile, Submission};
use crate::{Judgement, Verdict};

/// A program and its tests.
pub(super) struct Suite {
    /// The bare program.
    pub(super) source: String,
    pub(super) language: Language,
    pub(super) cases: Vec<Case>,
    pub(super) profile: Profile,
    pub(super) limits: LimitOverrides,
    /// Judge the tests after a failed one too.
    pub(super) run_all: bool,
    /// Accept tests that run in the program's own process.
    pub(super) in_process: bool,
}

/// A test, and the function it calls, where it calls one.
pub(super) struct Case {
    pub(super) func_name: Option<String>,
    pub(super) test: TestCase,
}

impl Suite {
    /// On a judge thread: a judgement for every test, in order, up to the first that failed unless all are asked for.
    ///
    /// # Errors
    /// [`HttpError::Invalid`] for tests that cannot be judged, [`HttpError::Internal`] for our own failure.
    pub(super) fn judge(self, service: &Service) -> Result<Vec<Judgement>, HttpError> {
        let options = JudgeOptions {
            profile: self.profile,
            language: Some(self.language),
            limits: self.limits,
            mode: Mode::Code,
            in_process: self.in_process,
            ..JudgeOptions::default()
        };
        let submission = Submission { question_id: String::new(), completion: self.source };
        let mut judgements = Vec::new();
        for (index, case) in self.cases.into_iter().enumerate() {
            let judgement = match service.judge(&problem(case), &submission, &options) {
                Ok(Judged::Graded(judgement)) => judgement,
                Ok(Judged::Unsupported { reason }) => return Err(at(index, &reason)),
                Err(JudgeError::Caller(reason)) => return Err(at(index, &reason)),
                Err(JudgeError::Infra(reason)) => return Err(HttpError::Internal(reason)),
            };
            let failed = judgement.verdict != Verdict::Accepted;
            judgements.push(judgement);
            if failed && !self.run_all {
                break;
            }
        }
        Ok(judgements)
    }
}

/// A problem of one test. What is said of it says "test 0"; that is its place in the problem, not in the request.
fn problem(case: Case) -> Problem {
    Problem {
        question_id: String::new(),
        prompt: String::new(),
        task: Task::Code(CodeTask {
            starter_code: String::new(),
            func_name: case.func_name,
            test_cases: vec![case.test].into(),
            checker: Checker::Lcb,
            limits: TaskLimits::default(),
            groups: Vec::new(),
        }),
        difficulty: None,
        platform: None,
        contest_date: None,
    }
}

fn at(index: usize, reason: &str) -> HttpError {
    HttpError::Invalid(format!("test {index} of the request cannot be judged: {reason}"))
}

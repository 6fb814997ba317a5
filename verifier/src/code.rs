//! Judging a program: its tests in order, each answer compared outside the box.
//!
//! Stdin tests: the program is compiled once, then every test is a process of its own with a real pipe for
//! stdin and a real `__main__`; where slots are idle, several at once behind the first that passed, and the first failure by
//! order decides. Functional tests: one process for the program, which the driver (`functional.py`) feeds frame by
//! frame; input k+1 is sent only after answer k was judged right.
//!
//! Nothing here retries: an `Err` means that a slot broke, and [`crate::judge`] has it settled whose fault that was.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::sync::Mutex;
use std::time::Duration;

use assay_sandbox::{
    Exchange, Executable, Language, Limits, Outcome, Prepared, Program, Sandbox, SandboxError, Session, Side,
    Termination, Usage,
};
use assay_testsets::{Checker, CodeTask, Scoring, TestCase, TestGroup, TestType};

use crate::checker::{Compiled, Ruling, solutions_end};
use crate::compare::{acereason_right, output_right};
use crate::judge::{JudgeOptions, Profile};
use crate::parallel::{Spare, in_order};
use crate::prelude::{self, Prelude};
use crate::value::{Answer, Json, Malformed};
use crate::verdict::{Failure, Happened, Judgement, Verdict, verdict};

/// A program found in a completion, with everything that decides its verdict.
#[derive(Debug)]
pub(crate) struct CodeRun<'a> {
    pub(crate) sandbox: &'a Sandbox,
    /// Slots for tests beside each other.
    pub(crate) spare: &'a Spare,
    /// The problem's own checker or interactor.
    pub(crate) checker: Option<&'a Compiled<'a>>,
    pub(crate) driver: &'a Mutex<Option<Executable>>,
    pub(crate) prelude: &'a Prelude,
    pub(crate) task: &'a CodeTask,
    pub(crate) language: Language,
    pub(crate) source: &'a str,
    /// See [`crate::Extraction::definitions`].
    pub(crate) blocks: &'a [String],
    pub(crate) options: &'a JudgeOptions<'a>,
    pub(crate) limits: Limits,
}

impl CodeRun<'_> {
    /// Whether the submission chose its language, by its fence. Python is what a program is in that says nothing.
    pub(crate) fn language_is_its_own(&self) -> bool {
        let demanded = self.options.language.is_some() || self.task.func_name.is_some();
        !demanded && !self.language.is_like(Language::Python3)
    }

    /// Runs the tests; stops at the first failure unless all are asked for.
    pub(crate) fn judge(&self) -> Result<Judgement, SandboxError> {
        let mut tally = Tally::new(self.task);
        let longest = if self.language == Language::Wasm { Program::MAX_MODULE } else { Program::MAX_SOURCE };
        // The prelude and the drivers come on top; the sandbox would call the rest our own mistake.
        if self.source.len() > longest - (8 << 10) {
            let message = format!("the source has {} bytes; the most is {longest}", self.source.len());
            tally.fail_all(Happened::CompilerRefused, None, message);
        } else {
            match &self.task.func_name {
                Some(function) => self.run_functional(function, &mut tally)?,
                None => self.run_stdin(&mut tally)?,
            }
        }
        Ok(tally.judgement())
    }

    fn run_stdin(&self, tally: &mut Tally) -> Result<(), SandboxError> {
        let tests = &self.task.test_cases;
        // Where subtasks earn points, a failed one says nothing of the next.
        let goes_on = self.options.all_tests || !self.task.groups.is_empty();
        let scripted = tests.types().any(|kind| kind == TestType::Script);
        let executable = match scripted {
            true => None,
            false => match self.compiled(&self.whole_source(self.source))? {
                Ok(executable) => Some(executable),
                Err(refused) => {
                    tally.refuse(&refused);
                    return Ok(());
                }
            },
        };
        let run = |index: usize| match (&*tests.get(index).map_err(lost)?, &executable) {
            (test, Some(executable)) if test.test_type != TestType::Script => self.run_test(executable, test),
            (test, _) => self.run_script(test),
        };
        let ends = |seen: &Result<Seen, SandboxError>| match seen {
            Ok(Seen::Ran { failure, .. }) => failure.is_some() && !goes_on,
            Ok(Seen::Refused(_)) | Err(_) => true,
        };
        // What one test of a group says may decide which are run behind it.
        if !self.task.groups.is_empty() {
            for index in 0..tests.len() {
                if !tally.skips(index) {
                    let seen = run(index);
                    let over = ends(&seen);
                    tally.take(seen?);
                    if over {
                        break;
                    }
                }
            }
            return Ok(());
        }
        // Most wrong programs fail the first test: the others are not begun before it has passed.
        let first = run(0);
        let over = ends(&first);
        tally.take(first?);
        if !over {
            let rest = tests.len() - 1;
            let alone = matches!(self.task.checker, Checker::Interactive(_));
            let helpers = if alone { Vec::new() } else { self.spare.take(rest.saturating_sub(1)) };
            for seen in in_order(rest, helpers.len(), |index| run(index + 1), ends) {
                tally.take(seen?);
            }
        }
        Ok(())
    }

    /// What is compiled: the source with what the profile puts around it.
    fn whole_source(&self, source: &str) -> String {
        let python = self.language.is_like(Language::Python3);
        match self.options.profile {
            Profile::LcbBugs if python => with_bugs(source),
            _ if python && self.options.prelude() => self.prelude.before(source),
            _ => source.to_owned(),
        }
    }

    /// The program, ready to run, or how its compiler refused it.
    fn compiled(&self, source: &str) -> Result<Result<Executable, Outcome>, SandboxError> {
        Ok(match self.sandbox.prepare(&Program::new(self.language, source), &Limits::COMPILE)? {
            Prepared::Ready(executable) => Ok(executable),
            Prepared::Refused(outcome) => Err(outcome),
        })
    }

    fn run_test(&self, executable: &Executable, test: &TestCase) -> Result<Seen, SandboxError> {
        if let (Some(interactor), Checker::Interactive(_)) = (self.checker, &self.task.checker) {
            let (talk, ruling) = interactor.interact(self.sandbox, executable, &self.limits, test)?;
            let mut outcome = talk.solution.clone();
            outcome.termination = solutions_end(&talk, &ruling);
            for message in &talk.transcript.messages {
                outcome.stdout.extend_from_slice(if message.from == Side::Judge { b"< " } else { b"> " });
                outcome.stdout.extend_from_slice(&message.bytes);
            }
            self.seen(test, outcome, |_| Ok(ruling))
        } else {
            let outcome = self.sandbox.run(executable, test.input.as_bytes(), &self.limits)?;
            self.seen(test, outcome, |outcome| match self.checker {
                Some(checker) => checker.check(self.sandbox, test, &outcome.stdout),
                None if self.options.profile == Profile::AceReason => {
                    Ok(Ruling::plain(acereason_right(&test.output, &outcome.stdout)))
                }
                None => Ok(Ruling::plain(output_right(&self.task.checker, &test.output, &outcome.stdout))),
            })
        }
    }

    /// The program with the test behind it. In Python the last line must come that only somebody who went through the test
    /// prints, or who looked for it: see [`JudgeOptions::in_process`].
    fn run_script(&self, test: &TestCase) -> Result<Seen, SandboxError> {
        let python = self.language.is_like(Language::Python3);
        let done = format!("{:016x}", RandomState::new().build_hasher().finish());
        let end = if python { format!("\nprint('\\n{done}')\n") } else { "\n".to_owned() };
        let source = with_script(self.source, &self.task.starter_code, &test.input) + &end;
        let executable = match self.compiled(&self.whole_source(&source))? {
            Ok(executable) => executable,
            Err(refused) => return Ok(Seen::Refused(refused)),
        };
        let outcome = self.sandbox.run(&executable, b"", &self.limits)?;
        self.seen(test, outcome, |outcome| {
            let came = !python || outcome.stdout.trim_ascii_end().ends_with(done.as_bytes());
            Ok(Ruling::plain(came))
        })
    }

    /// What a run says; `right` is asked about the output only where the program ended well.
    fn seen(
        &self,
        test: &TestCase,
        outcome: Outcome,
        right: impl FnOnce(&Outcome) -> Result<Ruling, SandboxError>,
    ) -> Result<Seen, SandboxError> {
        // An interpreter compiles in the first run.
        if outcome.refused {
            return Ok(Seen::Refused(outcome));
        }
        let termination = self.forgiving(&outcome);
        let ruling = match termination {
            Termination::Exited(0) => right(&outcome)?,
            _ => Ruling::plain(false),
        };
        let (output_right, share, words) = (ruling.right(), ruling.share, ruling.words);
        let happened = Happened::Ran { termination, output_right };
        let failure = (verdict(happened) != Verdict::Accepted).then(|| Failure {
            input: excerpt(&test.input),
            expected: excerpt(&test.output),
            actual: excerpt_bytes(&outcome.stdout),
            error: if words.is_empty() { excerpt_end(&outcome.stderr) } else { excerpt(&words) },
            termination: Some(outcome.termination),
        });
        Ok(Seen::Ran { happened, share, usage: outcome.usage, rerun: outcome.rerun, failure })
    }

    /// How the run ended, by the profile. lcb_runner swallows SystemExit, whatever its code, so under all but `judge` a
    /// Python program fails by its exit only where the interpreter printed an uncaught exception.
    fn forgiving(&self, outcome: &Outcome) -> Termination {
        match outcome.termination {
            Termination::Exited(_)
                if self.options.profile != Profile::Judge
                    && self.language.is_like(Language::Python3)
                    && !printed_traceback(&outcome.stderr) =>
            {
                Termination::Exited(0)
            }
            termination => termination,
        }
    }

    fn run_functional(&self, function: &str, tally: &mut Tally) -> Result<(), SandboxError> {
        let driver = self.driver()?;
        let mut session = self.sandbox.open(&driver, &self.limits)?;
        if self.start(function, &mut session, tally)? {
            for test in self.task.test_cases.iter() {
                self.call(&*test.map_err(lost)?, &mut session, tally)?;
                if tally.failed() {
                    break;
                }
            }
        }
        session.close()?;
        Ok(())
    }

    /// Compiles and defines the submission; false if it already failed.
    fn start(&self, function: &str, session: &mut Session, tally: &mut Tally) -> Result<bool, SandboxError> {
        let calls = self.task.test_cases.types().any(|kind| kind == TestType::Call);
        // An assertion would have stood behind the program as it is, and called what is defined there.
        let source = match calls {
            true => with_script(self.source, &self.task.starter_code, ""),
            false => self.source.to_owned(),
        };
        let prelude = match calls && !self.options.prelude() {
            true => String::new(),
            false => self.prelude.of(&[std::slice::from_ref(&source), self.blocks].concat().join("\n")),
        };
        let load = serde_json::json!({
            "source": source, "blocks": self.blocks, "function": function, "prelude": prelude, "literals": calls,
        });
        // Before the first answer no line of the submission has run: how it ends is how compiling it ended.
        match ask(session, load.to_string().as_bytes())? {
            Exchange::Value { bytes, usage } => {
                tally.compile_time = usage.cpu_time;
                match Answer::read(&bytes) {
                    Ok(Answer::Done) => {}
                    Ok(Answer::Refused(message)) => {
                        tally.fail_all(Happened::CompilerRefused, None, message);
                        return Ok(false);
                    }
                    _ => {
                        tally.fail_all(Happened::MalformedValue, None, "a malformed frame".into());
                        return Ok(false);
                    }
                }
            }
            Exchange::Malformed => {
                tally.fail_all(Happened::MalformedValue, None, "a malformed frame".into());
                return Ok(false);
            }
            Exchange::Ended(termination) => {
                let message = format!("compiling ended with {}", describe_termination(termination));
                tally.fail_all(Happened::CompilerRefused, Some(termination), message);
                return Ok(false);
            }
        }
        let (happened, error, termination) = match ask(session, b"")? {
            Exchange::Value { bytes, usage } => {
                tally.add_usage(usage);
                match Answer::read(&bytes) {
                    Ok(Answer::Done) => return Ok(true),
                    Ok(Answer::Raised(class, text)) => {
                        (raised(&class), format!("{class}: {text}"), Some(Termination::Exited(1)))
                    }
                    _ => (Happened::MalformedValue, "a malformed frame".to_owned(), None),
                }
            }
            Exchange::Malformed => (Happened::MalformedValue, "a malformed frame".to_owned(), None),
            Exchange::Ended(end) => {
                (ended(end), "ended before its function was called".to_owned(), Some(end))
            }
        };
        tally.fail_all(happened, termination, error);
        Ok(false)
    }

    fn call(&self, test: &TestCase, session: &mut Session, tally: &mut Tally) -> Result<(), SandboxError> {
        let failure = |actual: String, error: String, termination| Failure {
            input: excerpt(&test.input),
            expected: excerpt(&test.output),
            actual,
            error,
            termination,
        };
        match ask(session, call_lines(&test.input).as_bytes())? {
            Exchange::Value { bytes, usage } => {
                tally.add_test(usage);
                self.take_value(test, &bytes, tally, failure);
            }
            Exchange::Malformed => {
                let error = || "sent no frame, a surplus one, or one over the output limit".to_owned();
                tally.add(Happened::MalformedValue, || failure(String::new(), error(), None));
            }
            Exchange::Ended(termination) => {
                let error = || format!("{} before its value came", describe_termination(termination));
                tally.add(ended(termination), || failure(String::new(), error(), Some(termination)));
            }
        }
        Ok(())
    }

    fn take_value(
        &self,
        test: &TestCase,
        frame: &[u8],
        tally: &mut Tally,
        failure: impl Fn(String, String, Option<Termination>) -> Failure,
    ) {
        let malformed = || failure(String::new(), "a malformed frame".to_owned(), None);
        match Answer::read(frame) {
            Ok(Answer::Returned(value)) => {
                // The expected text was read once already, by `unreadable`.
                let close = self.options.profile == Profile::AceReason;
                let exact = test.test_type == TestType::Call;
                let equal = read_value(test, &test.output)
                    .map_err(|_| Malformed)
                    .and_then(|e| value.equals(&e, close, exact));
                match equal {
                    Ok(output_right) => {
                        let happened = Happened::Ran { termination: Termination::Exited(0), output_right };
                        tally.add(happened, || {
                            failure(excerpt(&value.show(2 * EXCERPT)), String::new(), None)
                        });
                    }
                    Err(Malformed) => tally.add(Happened::MalformedValue, malformed),
                }
            }
            Ok(Answer::Raised(class, text)) => {
                let error = excerpt(&format!("{class}: {text}"));
                tally.add(raised(&class), || failure(String::new(), error, Some(Termination::Exited(1))));
            }
            Ok(Answer::Unsendable(why)) => {
                let error = excerpt(&format!("the returned value is {why}"));
                tally.add(Happened::MalformedValue, || failure(String::new(), error, None));
            }
            Ok(Answer::Done | Answer::Refused(_)) | Err(Malformed) => {
                tally.add(Happened::MalformedValue, malformed);
            }
        }
    }

    /// The driver, compiled once per judge.
    fn driver(&self) -> Result<Executable, SandboxError> {
        let mut cached = self.driver.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(driver) = &*cached {
            return Ok(driver.clone());
        }
        let program = Program::new(Language::Python3, include_str!("functional.py"));
        match self.sandbox.prepare(&program, &Limits::COMPILE)? {
            Prepared::Ready(driver) => {
                *cached = Some(driver.clone());
                Ok(driver)
            }
            Prepared::Refused(outcome) => Err(SandboxError::Unavailable(format!(
                "python3 refused the functional driver, which needs CPython 3.8 or newer: {}",
                compiler_message(&outcome)
            ))),
        }
    }
}

/// One exchange whose answer must begin as the question did, with eight bytes that nobody could know before: an answer
/// sent in advance, or one too many, is not taken for the answer to what was asked last.
fn ask(session: &mut Session, question: &[u8]) -> Result<Exchange, SandboxError> {
    let token = RandomState::new().build_hasher().finish().to_le_bytes();
    match session.exchange(&[&token, question].concat())? {
        Exchange::Value { mut bytes, usage } if bytes.starts_with(&token) => {
            bytes.drain(..token.len());
            Ok(Exchange::Value { bytes, usage })
        }
        Exchange::Value { .. } => Ok(Exchange::Malformed),
        other => Ok(other),
    }
}

/// A test that lay on disk is not to be had.
fn lost(error: io::Error) -> SandboxError {
    SandboxError::Unavailable(lost_tests(&error))
}

/// What to say then.
pub(crate) fn lost_tests(error: &io::Error) -> String {
    format!("the problem's tests, kept in the temporary directory, cannot be read: {error}")
}

/// Why the problem's tests cannot be run, whatever the submission; `None` if they can. An error where they lie on disk and
/// it fails.
pub(crate) fn unreadable(task: &CodeTask) -> io::Result<Option<String>> {
    if task.test_cases.is_empty() {
        return Ok(Some("the problem has no tests".to_owned()));
    }
    let grouped = task.groups.iter().fold(0_usize, |sum, group| sum.saturating_add(group.tests));
    if !task.groups.is_empty() && grouped != task.test_cases.len() {
        let tests = task.test_cases.len();
        return Ok(Some(format!("the groups have {grouped} tests, and the problem {tests}")));
    }
    if !task.groups.is_empty() && task.func_name.is_some() {
        return Ok(Some(
            "groups are for tests of stdin: a function's tests end at the first failure".to_owned(),
        ));
    }
    if task.func_name.is_none() {
        let functional = |kind| matches!(kind, TestType::Functional | TestType::Call);
        let index = task.test_cases.types().position(functional);
        return Ok(
            index.map(|index| format!("test {index} is functional, but the problem names no function"))
        );
    }
    for (index, test) in task.test_cases.iter().enumerate() {
        let test = &*test?;
        let lines = call_lines(&test.input).split('\n').filter(|line| !line.is_empty());
        let input = lines.map(|line| read_value(test, line)).find_map(Result::err).map(|why| ("input", why));
        let unread = input.or_else(|| read_value(test, &test.output).err().map(|why| ("output", why)));
        let form = if test.test_type == TestType::Call { "a Python literal" } else { "JSON" };
        if let Some((side, why)) = unread {
            return Ok(Some(format!("the {side} of test {index} is not {form}: {why}")));
        }
    }
    Ok(None)
}

fn read_value(test: &TestCase, text: &str) -> Result<Json, String> {
    if test.test_type == TestType::Call { Json::literal(text) } else { Json::parse(text) }
}

/// One JSON value a line, without the line ends some files close the last one with.
fn call_lines(input: &str) -> &str {
    input.trim_end_matches(['\n', '\r'])
}

/// What came of one test in a process of its own.
#[allow(clippy::large_enum_variant, reason = "the large variant is the usual one")]
enum Seen {
    /// The compiler refused the program.
    Refused(Outcome),
    /// It ran and earned a share of its points; a failure where it did not pass.
    Ran { happened: Happened, share: f64, usage: Usage, rerun: bool, failure: Option<Failure> },
}

/// What the tests have said so far.
struct Tally<'a> {
    groups: &'a [TestGroup],
    /// What each test earned, from 0 to 1; tests that were not run earned nothing.
    shares: Vec<f64>,
    passed: usize,
    total: usize,
    done: usize,
    first_failure: Option<(usize, Verdict, Failure)>,
    usage: Usage,
    tests: Vec<Usage>,
    reruns: usize,
    compile_time: Duration,
}

impl Tally<'_> {
    fn new(task: &CodeTask) -> Tally<'_> {
        Tally {
            groups: &task.groups,
            shares: vec![0.0; task.test_cases.len()],
            passed: 0,
            total: task.test_cases.len(),
            done: 0,
            first_failure: None,
            usage: Usage::default(),
            tests: Vec::new(),
            reruns: 0,
            compile_time: Duration::ZERO,
        }
    }

    fn failed(&self) -> bool {
        self.first_failure.is_some()
    }

    /// Whether this test, the next one, can no longer earn anything: its group has failed.
    fn skips(&mut self, index: usize) -> bool {
        self.done = index;
        let mut from = 0;
        for group in self.groups {
            if index < from + group.tests {
                let failed = self.shares[from..index].iter().any(|share| *share < 1.0);
                let worst = self.shares[from..index].contains(&0.0);
                return match group.scoring {
                    Scoring::Worst => worst,
                    Scoring::UntilFailure => failed,
                    Scoring::Each => false,
                };
            }
            from += group.tests;
        }
        false
    }

    /// What the test now judged earned.
    fn earns(&mut self, share: f64) {
        if let Some(earned) = self.shares.get_mut(self.done) {
            *earned = share;
        }
    }

    /// The part of all points that was earned; `None` where tests only pass or fail.
    fn score(&self) -> Option<f64> {
        if self.groups.is_empty() {
            let partial = self.shares.iter().any(|share| *share > 0.0 && *share < 1.0);
            return partial.then(|| self.shares.iter().sum::<f64>() / self.shares.len() as f64);
        }
        let (mut from, mut earned, mut all) = (0, 0.0, 0.0);
        for group in self.groups.iter().filter(|group| group.tests > 0) {
            let shares = &self.shares[from..(from + group.tests).min(self.shares.len())];
            from += shares.len();
            let share = match group.scoring {
                Scoring::Worst => shares.iter().copied().fold(1.0, f64::min),
                Scoring::Each | Scoring::UntilFailure => shares.iter().sum::<f64>() / group.tests as f64,
            };
            earned += group.points * share;
            all += group.points;
        }
        (all > 0.0).then(|| earned / all)
    }

    fn add_usage(&mut self, usage: Usage) {
        self.usage.cpu_time += usage.cpu_time;
        self.usage.wall_time += usage.wall_time;
        self.usage.peak_memory = self.usage.peak_memory.max(usage.peak_memory);
    }

    /// What one test used.
    fn add_test(&mut self, usage: Usage) {
        self.tests.push(usage);
        self.add_usage(usage);
    }

    fn take(&mut self, seen: Seen) {
        match seen {
            Seen::Refused(outcome) => self.refuse(&outcome),
            Seen::Ran { happened, share, usage, rerun, failure } => {
                self.earns(share);
                self.add_test(usage);
                self.reruns += usize::from(rerun);
                self.add(happened, || failure.unwrap_or_default());
            }
        }
    }

    /// The compiler refused the program: no test can pass.
    fn refuse(&mut self, outcome: &Outcome) {
        self.compile_time = outcome.usage.cpu_time;
        let happened = match outcome.termination {
            Termination::BrokeSlots => ended(outcome.termination),
            _ => Happened::CompilerRefused,
        };
        self.fail_all(happened, Some(outcome.termination), compiler_message(outcome));
    }

    /// Counts one test.
    fn add(&mut self, happened: Happened, failure: impl FnOnce() -> Failure) {
        match verdict(happened) {
            Verdict::Accepted => self.passed += 1,
            failed if self.first_failure.is_none() => {
                self.first_failure = Some((self.done, failed, failure()));
            }
            _ => {}
        }
        self.done += 1;
    }

    /// The submission failed before its first test.
    fn fail_all(&mut self, happened: Happened, termination: Option<Termination>, error: String) {
        let error = excerpt(&error);
        self.add(happened, || Failure { error, termination, ..Failure::default() });
    }

    fn judgement(self) -> Judgement {
        let score = self.score();
        let (verdict, failed_test, failure) = match self.first_failure {
            None => (Verdict::Accepted, None, None),
            Some((index, verdict, failure)) => (verdict, Some(index), Some(failure)),
        };
        let reason = match (&failure, failed_test) {
            (Some(failure), Some(index)) => explain(verdict, index, failure),
            _ => format!("all {} tests passed", self.total),
        };
        Judgement {
            verdict,
            passed: self.passed,
            total: self.total,
            score,
            failed_test,
            usage: self.usage,
            tests: self.tests,
            reruns: self.reruns,
            compile_time: self.compile_time,
            reason,
            proof: None,
            extraction: None,
            in_process: false,
            failure,
        }
    }
}

/// One line for a person.
fn explain(verdict: Verdict, index: usize, failure: &Failure) -> String {
    let detail = match (verdict, failure.error.lines().rev().find(|line| !line.trim().is_empty())) {
        (Verdict::WrongAnswer, Some(line)) if failure.expected.is_empty() => short(line),
        (Verdict::WrongAnswer, _) => {
            format!("expected {:?}, got {:?}", short(&failure.expected), short(&failure.actual))
        }
        (Verdict::CompileError, Some(_)) => {
            return format!("the compiler refused the program: {}", short(&first_error(&failure.error)));
        }
        (_, Some(line)) => short(line),
        (_, None) => failure.termination.map_or_else(|| "no detail".to_owned(), describe_termination),
    };
    format!("test {index}: {}: {detail}", verdict.name().replace('_', " "))
}

/// The line of a compiler's message that names the error.
fn first_error(message: &str) -> String {
    let line = message.lines().find(|line| line.contains("rror:")).or_else(|| message.lines().last());
    line.unwrap_or_default().trim().to_owned()
}

fn raised(class: &str) -> Happened {
    // An allocation the interpreter itself refused is the memory limit seen from inside.
    let termination = if class == "MemoryError" { Termination::MemoryLimit } else { Termination::Exited(1) };
    Happened::Ran { termination, output_right: false }
}

/// The process ended where a value was due.
fn ended(termination: Termination) -> Happened {
    match termination {
        Termination::Exited(_) => Happened::NothingToGrade,
        termination => Happened::Ran { termination, output_right: false },
    }
}

fn describe_termination(termination: Termination) -> String {
    match termination {
        Termination::Exited(code) => format!("exited with code {code}"),
        Termination::Signaled(signal) => format!("killed by signal {signal}"),
        Termination::CpuTimeLimit => "the CPU time limit".to_owned(),
        Termination::WallTimeLimit => "the idle time limit".to_owned(),
        Termination::MemoryLimit => "the memory limit".to_owned(),
        Termination::OutputLimit => "the output limit".to_owned(),
        Termination::ProcessLimit => "the process limit".to_owned(),
        Termination::ForbiddenSyscall => "a forbidden system call".to_owned(),
        Termination::BrokeSlots => "broke three fresh slots, where programs of ours ran well".to_owned(),
    }
}

fn compiler_message(outcome: &Outcome) -> String {
    let text = String::from_utf8_lossy(&outcome.stderr[..outcome.stderr.len().min(1 << 16)]).into_owned();
    if text.trim().is_empty() { describe_termination(outcome.termination) } else { text }
}

fn printed_traceback(stderr: &[u8]) -> bool {
    let title = b"Traceback (most recent call last):";
    stderr.split(|&b| b == b'\n').any(|line| line.starts_with(title))
}

/// Bytes kept of an input, an expected or an actual output.
const EXCERPT: usize = 300;

/// The text, or its beginning and end.
fn excerpt(text: &str) -> String {
    if text.len() <= EXCERPT {
        return text.to_owned();
    }
    let head = text.floor_char_boundary(EXCERPT / 2);
    let tail = text.ceil_char_boundary(text.len() - EXCERPT / 2);
    format!("{}...(truncated) ...{}", &text[..head], &text[tail..])
}

fn excerpt_bytes(bytes: &[u8]) -> String {
    if bytes.len() <= 2 * EXCERPT {
        return excerpt(&String::from_utf8_lossy(bytes));
    }
    let (head, tail) = (&bytes[..EXCERPT], &bytes[bytes.len() - EXCERPT..]);
    excerpt(&(String::from_utf8_lossy(head) + String::from_utf8_lossy(tail)))
}

/// The end of an error stream: the message is there.
fn excerpt_end(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(EXCERPT)..]).into_owned()
}

fn short(text: &str) -> String {
    let cut = text.floor_char_boundary(120);
    if cut < text.len() { format!("{}...", &text[..cut]) } else { text.to_owned() }
}

/// The program with the test behind it, and before it the beginning that the model was shown, where it only went on
/// from there. Tests that close the beginning's brace find it open.
fn with_script(source: &str, starter: &str, test: &str) -> String {
    let head = starter.lines().map(str::trim).rfind(|line| line.starts_with("def ") || line.ends_with('{'));
    let repeated = head.is_none_or(|head| {
        let name = head.split('(').next().unwrap_or(head);
        source.contains(name)
    });
    match repeated {
        false => format!("{starter}{source}\n{test}"),
        true if source.trim_end().ends_with('}') => {
            format!("{source}\n{}", test.trim_start().strip_prefix('}').unwrap_or(test))
        }
        true => format!("{source}\n{test}"),
    }
}

/// The source inside a program that treats it as lcb_runner does. A JSON string is a Python string here: what JSON
/// escapes, Python reads.
fn with_bugs(source: &str) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    // The source last: a program that says @PRELUDE@ must not get one.
    let frame = include_str!("lcb_bugs.py").replacen("@PRELUDE@", &quoted(&prelude::whole()), 1);
    frame.replacen("@SOURCE@", &quoted(source), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_keep_both_ends() {
        let long = "\u{e9}".repeat(1000);
        let cut = excerpt(&long);
        assert!(cut.len() < 2 * EXCERPT && cut.contains("...(truncated) ..."));
        assert_eq!(excerpt("short"), "short");
        assert!(excerpt_bytes(&vec![0xff; 10_000]).len() < 4 * EXCERPT);
    }

    #[test]
    fn tests_that_cannot_be_read_are_the_problems_fault() {
        let task = |func: Option<&str>, input: &str, output: &str| CodeTask {
            starter_code: String::new(),
            func_name: func.map(str::to_owned),
            test_cases: vec![TestCase {
                input: input.to_owned(),
                output: output.to_owned(),
                test_type: TestType::Functional,
            }]
            .into(),
            checker: Checker::Lcb,
            limits: assay_testsets::TaskLimits::default(),
            groups: Vec::new(),
        };
        assert_eq!(unreadable(&task(Some("f"), "1\n[2]\n", "3")).unwrap(), None);
        assert_eq!(unreadable(&task(Some("f"), "", "null")).unwrap(), None);
        let wrong = [
            (task(None, "1", "1"), "names no function"),
            (task(Some("f"), "1\nx", "1"), "input of test 0"),
            (task(Some("f"), "1", "1 2"), "output of test 0"),
            (CodeTask { test_cases: Vec::new().into(), ..task(Some("f"), "", "") }, "no tests"),
        ];
        for (task, why) in wrong {
            let reason = unreadable(&task).unwrap().expect("unreadable");
            assert!(reason.contains(why), "{reason}");
        }
    }
}

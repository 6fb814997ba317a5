//! What the judge's integration tests share: a sandbox whose helper is the real binary, the measuring data, and
//! many samples judged at once.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use assay_sandbox::{Sandbox, SandboxConfig};
use assay_testsets::{
    Checker, CodeTask, Problem, Task, TaskLimits, TestCase, TestType, load, load_completions,
};
use assay_verifier::{Judge, JudgeError, JudgeOptions, Judged, Judgement, LimitOverrides, Mode, Submission};

/// A judge with a sandbox of its own, a slot per core.
pub(crate) fn judge() -> Judge {
    Judge::new(Some(sandbox()))
}

/// Plain code, under limits small enough to hit quickly.
pub(crate) fn options() -> JudgeOptions<'static> {
    let limits = LimitOverrides {
        cpu_time: Some(Duration::from_secs(1)),
        wall_time: Some(Duration::from_secs(2)),
        memory: Some(128 << 20),
        output: Some(1 << 20),
    };
    JudgeOptions { limits, mode: Mode::Code, ..JudgeOptions::default() }
}

pub(crate) fn sandbox() -> Sandbox {
    let helper = Some(PathBuf::from(env!("CARGO_BIN_EXE_assay")));
    Sandbox::start(&SandboxConfig { helper, ..SandboxConfig::default() }).expect("the sandbox starts")
}

/// A folder of the measuring data; `None`, said on stderr, where the data are not there at all.
///
/// `ASSAY_EVAL_DATA` names the data; without it they lie in `../shared/data` beside the workspace. A folder that
/// is missing while the data are there is an error, not a reason to skip.
pub(crate) fn eval_data(folder: &str) -> Option<PathBuf> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let root = match std::env::var_os("ASSAY_EVAL_DATA") {
        Some(named) => PathBuf::from(named),
        None if default.exists() => default,
        None => {
            eprintln!("SKIPPED: no measuring data at {}; set ASSAY_EVAL_DATA", default.display());
            return None;
        }
    };
    let folder = root.join(folder);
    assert!(folder.is_dir(), "{} is not there; the measuring data are incomplete", folder.display());
    Some(folder)
}

pub(crate) fn read_json_lines(path: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

/// Problems and programs of one folder of the measuring data.
pub(crate) struct LcbSet {
    problems: HashMap<String, Problem>,
    programs: HashMap<String, Vec<String>>,
}

impl LcbSet {
    pub(crate) fn load(folder: &Path) -> LcbSet {
        let problems = load(&folder.join("problems.jsonl"), None).expect("problems");
        let problems = problems.map(|problem| problem.expect("every problem reads"));
        let completions = load_completions(&folder.join("completions.json")).expect("completions");
        LcbSet {
            problems: problems.map(|problem| (problem.question_id.clone(), problem)).collect(),
            programs: completions
                .into_iter()
                .map(|row| (row.question_id.expect("an id"), row.samples))
                .collect(),
        }
    }

    /// The sample `question_id number`.
    pub(crate) fn sample(&self, key: &str, options: JudgeOptions<'static>) -> Sample<'_> {
        let (id, number) = key.rsplit_once(' ').expect("an id and a number");
        let number: usize = number.parse().expect("a sample number");
        Sample { problem: &self.problems[id], completion: &self.programs[id][number], options }
    }
}

/// A stdin problem with these `(input, output)` tests.
pub(crate) fn stdin_problem(tests: &[(&str, &str)]) -> Problem {
    code_problem(None, TestType::Stdin, tests)
}

/// A functional problem with these `(input, output)` tests.
pub(crate) fn functional_problem(function: &str, tests: &[(&str, &str)]) -> Problem {
    code_problem(Some(function), TestType::Functional, tests)
}

fn code_problem(function: Option<&str>, test_type: TestType, tests: &[(&str, &str)]) -> Problem {
    let test = |(input, output): &(&str, &str)| TestCase {
        input: (*input).to_owned(),
        output: (*output).to_owned(),
        test_type,
    };
    Problem {
        question_id: "p".to_owned(),
        prompt: String::new(),
        task: Task::Code(CodeTask {
            starter_code: String::new(),
            func_name: function.map(str::to_owned),
            test_cases: tests.iter().map(test).collect::<Vec<_>>().into(),
            checker: Checker::Lcb,
            limits: TaskLimits::default(),
            groups: Vec::new(),
        }),
        difficulty: None,
        platform: None,
        contest_date: None,
    }
}

/// One sample to judge.
#[derive(Clone, Copy)]
pub(crate) struct Sample<'a> {
    pub(crate) problem: &'a Problem,
    pub(crate) completion: &'a str,
    pub(crate) options: JudgeOptions<'static>,
}

/// All samples, a thread per core; results in order.
pub(crate) fn judge_all(judge: &Judge, samples: &[Sample<'_>]) -> Vec<Result<Judged, JudgeError>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let index = next.fetch_add(1, Ordering::Relaxed)
            && let Some(sample) = samples.get(index)
        {
            let submission = Submission {
                question_id: sample.problem.question_id.clone(),
                completion: sample.completion.to_owned(),
            };
            done.push((index, judge.judge(sample.problem, &submission, &sample.options)));
        }
        done
    };
    let mut results: Vec<(usize, Result<Judged, JudgeError>)> = thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(2, usize::from);
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("no panic")).collect()
    });
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

pub(crate) fn judgement(result: &Result<Judged, JudgeError>) -> &Judgement {
    match result {
        Ok(Judged::Graded(judgement)) => judgement,
        other => panic!("expected a judgement, got {other:?}"),
    }
}

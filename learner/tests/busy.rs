//! Trainer and verifier share a machine: what a program is told while the trainer is in the middle of a step is what it is told
//! while the trainer rests.
//!
//! `ASSAY_LONG` makes it a hundred rounds; `.ci/long` sets it.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

#[path = "common/verifier.rs"]
mod verifier;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use assay_learner::model::{Batch, Config, Model};
use assay_learner::optim::AdamW;
use assay_learner::reward_client::{Answer, Ask, Grade as _, RewardClient};
use assay_testsets::{Checker, CodeTask, Problem, Task, TaskLimits, TestCase, TestCases, TestType};

const CPU_TIME: Duration = Duration::from_millis(400);

/// A program, and what it is told. `{n}` is another number each time: nothing comes out of a cache.
const PROGRAMS: [(&str, &str); 11] = [
    ("print(sum(map(int, input().split()))) # {n}", "accepted"),
    ("print(int(input().split()[0]) * 2) # {n}", "wrong_answer"),
    ("import time\nwhile time.process_time() < 0.20: pass\nprint(7) # {n}", "accepted"),
    ("import time\nwhile time.process_time() < 0.30: pass\nprint(7) # {n}", "accepted"),
    ("import time\nwhile time.process_time() < 0.60: pass\nprint(7) # {n}", "time_limit_exceeded"),
    ("while True: pass # {n}", "time_limit_exceeded"),
    ("import time\ntime.sleep(0.2)\nprint(7) # {n}", "accepted"),
    ("import time\ntime.sleep(100) # {n}", "time_limit_exceeded"),
    ("x = []\nwhile True: x.append(' ' * 1000000) # {n}", "memory_limit_exceeded"),
    ("raise SystemExit(3) # {n}", "runtime_error"),
    ("print( # {n}", "compile_error"),
];

#[test]
fn a_trainer_in_the_middle_of_a_step_changes_no_verdict() {
    let rounds = if std::env::var_os("ASSAY_LONG").is_some() { 100 } else { 2 };
    let (_verifier, client) = verifier::start(2);
    let told = PROGRAMS.map(|(_, verdict)| verdict.to_owned()).to_vec();
    for round in 0..rounds {
        assert_eq!(verdicts(&client, 2 * round), told, "the trainer rests, round {round}");
        let (busy, steps) = while_training(|| verdicts(&client, 2 * round + 1));
        assert_eq!(busy, told, "the trainer computes, round {round}");
        assert!(steps > 0);
    }
}

fn verdicts(client: &RewardClient, n: u32) -> Vec<String> {
    let problem = sum_of_two();
    let sources = PROGRAMS.map(|(source, _)| source.replace("{n}", &n.to_string()));
    let asks: Vec<Ask<'_>> = sources.iter().map(|source| Ask::source(&problem, source, "python3")).collect();
    let verdict = |answer| match answer {
        Answer::Graded { verdict, .. } => verdict,
        other => panic!("{other:?}"),
    };
    client.grade(&asks).unwrap().into_iter().map(verdict).collect()
}

fn sum_of_two() -> Problem {
    let test = TestCase { input: "3 4\n".into(), output: "7\n".into(), test_type: TestType::Stdin };
    let task = CodeTask {
        starter_code: String::new(),
        func_name: None,
        test_cases: TestCases::from(vec![test]),
        checker: Checker::Tokens,
        limits: TaskLimits { cpu_time: Some(CPU_TIME), memory: Some(128 << 20) },
        groups: Vec::new(),
    };
    Problem {
        question_id: "sum".into(),
        prompt: String::new(),
        task: Task::Code(task),
        difficulty: None,
        platform: None,
        contest_date: None,
    }
}

/// What `work` gives while every core computes steps of training, and how many those were.
fn while_training<T>(work: impl FnOnce() -> T) -> (T, u32) {
    let mut model = Model::random(&Config::tiny(2000, 256, 4, 4, 2), 1).unwrap();
    let mut optimizer = AdamW::new(&model).unwrap();
    let mut batch = Batch::new();
    for row in 0..8 {
        batch.push(&[row; 8], &[row + 1; 120]).unwrap();
    }
    let count = batch.response_tokens();
    let (done, steps) = (AtomicBool::new(false), AtomicU32::new(0));
    let train = || {
        while !done.load(Ordering::Relaxed) {
            let (_, gradients) =
                model.loss_backward(&batch, 1.0, &|_| vec![-1.0 / count as f32; count]).unwrap();
            optimizer.update(&mut model, &gradients, 1e-3).unwrap();
            steps.fetch_add(1, Ordering::Relaxed);
        }
    };
    let result = thread::scope(|scope| {
        let _rest = Rest(&done);
        scope.spawn(train);
        work()
    });
    (result, steps.into_inner())
}

/// The trainer rests from when this is dropped, and where a verdict was wrong, too.
struct Rest<'a>(&'a AtomicBool);

impl Drop for Rest<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

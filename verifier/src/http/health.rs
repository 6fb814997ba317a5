//! Whether the service works (`/readyz`), what it is (`/v1/version`), what it did (`/metrics`).
//!
//! Ready means: just now a program really ran in the sandbox and came back right, and a right and a wrong
//! math answer were told apart. The test is run again when asked and the last one is older than [`FRESH`],
//! or we failed since; it goes to the front of the queue, so that a full queue is not taken for a broken
//! judge.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use assay_sandbox::{Doctor, Sandbox};
use assay_testsets::{
    Checker, CodeTask, MathTask, Problem, Task, TaskLimits, TestCase, TestType, file_sha256,
};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::queue::{NotDone, Place};
use super::{ROUTES, Service, json_response};
use crate::Verdict;
use crate::judge::{Judge, JudgeOptions, Judged, Submission};
use crate::provenance;

/// How long a self-test's result holds.
const FRESH: Duration = Duration::from_secs(5);
/// How long a self-test may take, its wait for a judge included.
const PATIENCE: Duration = Duration::from_secs(30);

/// The last self-test, and what the host gives.
pub(super) struct Health {
    doctor: Option<Doctor>,
    // Held while a test runs: whoever asks meanwhile waits for its result.
    last: tokio::sync::Mutex<Option<(Instant, Result<(), String>)>>,
    passed: AtomicBool,
    doubted: AtomicBool,
}

impl Health {
    pub(super) fn new(sandbox: Option<&Sandbox>) -> Health {
        Health {
            doctor: sandbox.map(Sandbox::doctor),
            last: tokio::sync::Mutex::new(None),
            passed: AtomicBool::new(false),
            doubted: AtomicBool::new(false),
        }
    }

    /// Whether the last self-test passed.
    pub(super) fn last_passed(&self) -> bool {
        self.passed.load(Ordering::Relaxed)
    }

    /// After a failure of ours: the last self-test says nothing any more.
    pub(super) fn doubt(&self) {
        self.doubted.store(true, Ordering::Relaxed);
    }

    /// The sandbox's tier, or why there is none.
    pub(super) fn tier(&self) -> String {
        match &self.doctor {
            None => "math-only".into(),
            Some(doctor) => doctor.tier.map_or("none".into(), |tier| tier.to_string()),
        }
    }

    /// What a language's tool says of itself, where it works here.
    pub(super) fn version(&self, language: &str) -> Option<&str> {
        let mut states = self.doctor.iter().flat_map(|doctor| &doctor.languages);
        states.find(|state| state.ok && state.language.name() == language).map(|state| state.version.as_str())
    }

    /// What a verdict that is kept depends on beside the item: this very program, what runs the submissions, and the walls.
    pub(super) fn conditions(&self) -> Value {
        let program = std::env::current_exe().ok().and_then(|program| file_sha256(&program).ok());
        json!({
            "program": program,
            "tier": self.tier(),
            "languages": self.doctor.as_ref().map(provenance::languages),
        })
    }

    fn languages(&self) -> Value {
        let states = self.doctor.iter().flat_map(|doctor| &doctor.languages);
        let entry = |state: &assay_sandbox::LanguageState| {
            (state.language.name().to_owned(), json!({ "version": state.version, "ok": state.ok }))
        };
        Value::Object(states.map(entry).collect::<Map<_, _>>())
    }

    fn walls(&self) -> Value {
        let walls = self.doctor.iter().flat_map(|doctor| &doctor.walls);
        Value::Object(walls.map(|wall| (wall.name.clone(), wall.state.describe().into())).collect())
    }
}

impl Service {
    /// The last self-test's result if it is fresh, else a new one's.
    pub(super) async fn self_test(self: &Arc<Self>) -> Result<(), String> {
        let mut last = self.health.last.lock().await;
        let doubted = self.health.doubted.swap(false, Ordering::Relaxed);
        if !doubted
            && let Some((at, result)) = &*last
            && at.elapsed() < FRESH
        {
            return result.clone();
        }
        let worker = self.clone();
        let work = move || run_self_test(&worker.judge, worker.sandbox.is_some());
        let test = self.queue.run_at(Place::Front, None, Instant::now() + PATIENCE, work);
        let result = match tokio::time::timeout(PATIENCE, test).await {
            Ok(Ok((result, _waited))) => result,
            Ok(Err(NotDone::Panicked)) => Err("the judge panicked".into()),
            Ok(Err(NotDone::Expired)) | Err(_) => {
                Err(format!("the self-test did not finish within {} s", PATIENCE.as_secs()))
            }
        };
        self.health.passed.store(result.is_ok(), Ordering::Relaxed);
        *last = Some((Instant::now(), result.clone()));
        result
    }
}

/// `GET /readyz`.
pub(super) async fn readyz(State(service): State<Arc<Service>>) -> Response {
    let draining = Err("the service is shutting down".to_owned());
    let result = if service.is_draining() { draining } else { service.self_test().await };
    let (status, reason) = match result {
        Ok(()) => (StatusCode::OK, Value::Null),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason.into()),
    };
    let body = json!({
        "ready": reason.is_null(),
        "reason": reason,
        "math_only": service.sandbox.is_none(),
        "tier": service.health.tier(),
        "walls": service.health.walls(),
        "languages": service.health.languages(),
    });
    json_response(status, &body)
}

/// `GET /v1/version`: what would have to be equal for two runs to be comparable.
pub(super) async fn version(State(service): State<Arc<Service>>) -> Response {
    let config = service.config();
    let body = json!({
        "name": "assay",
        "version": env!("CARGO_PKG_VERSION"),
        "provenance": {
            "tier": service.health.tier(),
            "walls": service.health.walls(),
            "languages": service.health.languages(),
            "math_only": service.sandbox.is_none(),
            "slots": config.slots,
            "sleepers": config.sleepers,
            "platform": format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
        },
        "limits": {
            "queue": config.queue,
            "queue_deadline": config.queue_deadline.as_secs_f64(),
            "max_body": config.max_body,
            "max_bodies": config.max_bodies,
            "max_time": config.max_time.as_secs_f64(),
            "max_memory": config.max_memory,
            "max_output": config.max_output,
        },
        "routes": ROUTES.iter().map(|(route, _)| *route).collect::<Vec<_>>(),
        "profiles": ["judge", "lcb"],
        "rewards": ["all", "fraction", "formula"],
        "capabilities": ["batch", "ndjson", "problems", "gzip", "zstd", "deadline", "first_n"],
    });
    json_response(StatusCode::OK, &body)
}

/// `GET /metrics`.
pub(super) async fn metrics(State(service): State<Arc<Service>>) -> Response {
    let text = service.metrics.render(&service.gauges());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

/// On a judge thread: what must be right, is right, and what must be wrong, is wrong.
fn run_self_test(judge: &Judge, with_code: bool) -> Result<(), String> {
    let math = math_problem("\\frac{1}{2}");
    expect(judge, "a right math answer", &math, "\\boxed{0.5}", Verdict::Accepted)?;
    expect(judge, "a wrong math answer", &math, "\\boxed{0.4}", Verdict::WrongAnswer)?;
    if with_code {
        let program = "```python\nprint(sum(map(int, input().split())))\n```";
        expect(judge, "a right program", &sum_problem("42\n"), program, Verdict::Accepted)?;
    }
    Ok(())
}

fn expect(
    judge: &Judge,
    what: &str,
    problem: &Problem,
    completion: &str,
    want: Verdict,
) -> Result<(), String> {
    let submission = Submission { question_id: problem.question_id.clone(), completion: completion.into() };
    match judge.judge(problem, &submission, &JudgeOptions::default()) {
        Ok(Judged::Graded(judgement)) if judgement.verdict == want => Ok(()),
        Ok(Judged::Graded(judgement)) => {
            Err(format!("{what} was judged {}: {}", judgement.verdict.name(), judgement.reason))
        }
        Ok(Judged::Unsupported { reason }) => Err(format!("{what} was not understood: {reason}")),
        Err(error) => Err(format!("{what} could not be judged: {error}")),
    }
}

fn math_problem(ground_truth: &str) -> Problem {
    problem(Task::Math(MathTask { ground_truth: ground_truth.into(), error: None }))
}

fn sum_problem(output: &str) -> Problem {
    let test = TestCase { input: "19 23\n".into(), output: output.into(), test_type: TestType::Stdin };
    problem(Task::Code(CodeTask {
        starter_code: String::new(),
        func_name: None,
        test_cases: vec![test].into(),
        checker: Checker::Lcb,
        limits: TaskLimits::default(),
        groups: Vec::new(),
    }))
}

fn problem(task: Task) -> Problem {
    Problem {
        question_id: "self-test".into(),
        prompt: String::new(),
        task,
        difficulty: None,
        platform: None,
        contest_date: None,
    }
}

//! `POST /submit` and `GET /list_datasets` for SandboxFusion's clients, `/common_evaluate` and `/common_evaluate_batch` for
//! ScaleBox's: a completion against the tests that come with it, on one judge thread, one test after the other, until one
//! fails. A test of text in and text out is a `/run_code` of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use assay_sandbox::{InputFile, Language, Program, Termination};
use assay_testsets::{Format, Problem, TestCase, TestType, read_problem};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;

use super::each_test::{Case, Suite};
use super::error::{Form, HttpError};
use super::program::{NotRun, check, memory_limit, time_limit};
use super::run_code::{Job, language};
use super::{Service, body_of, client_deadline, json_response, read_json};
use crate::compare::sandbox_fusion_right;
use crate::judge::{JudgeError, JudgeOptions, Judged, LimitOverrides, Mode, Profile};
use crate::wire::sandbox_fusion::oj::{EvalResult, EvalTestCase, StdioTest, SubmitRequest, TestConfig};
use crate::wire::sandbox_fusion::{RunCodeRequest, RunCodeResponse, RunStatus, detail, oj, scalebox};
use crate::{Judgement, Verdict, judge};

/// `GET /list_datasets`: none is registered; rows come with the request.
pub(super) async fn list_datasets() -> axum::Json<[&'static str; 0]> {
    axum::Json([])
}

/// `POST /submit`.
pub(super) async fn submit(State(service): State<Arc<Service>>, request: Request) -> Response {
    reply(answer(&service, request, Submission::read).await)
}

/// `POST /common_evaluate` and `POST /common_evaluate_batch`.
pub(super) async fn common_evaluate(State(service): State<Arc<Service>>, request: Request) -> Response {
    reply(answer(&service, request, Submission::read_scalebox).await)
}

fn reply(result: Result<EvalResult, Refused>) -> Response {
    match result {
        Ok(result) => json_response(StatusCode::OK, &result),
        Err(Refused::Unsupported(text)) => json_response(StatusCode::BAD_REQUEST, &detail(&text)),
        Err(Refused::Http(error)) => Form::Detail.refuse(&error),
    }
}

/// Why there is no result.
enum Refused {
    /// A thing that the original answers 400 as well, or that it can and we cannot.
    Unsupported(String),
    Http(HttpError),
}

impl From<HttpError> for Refused {
    fn from(error: HttpError) -> Refused {
        Refused::Http(error)
    }
}

async fn answer(
    service: &Arc<Service>,
    request: Request,
    read: fn(&Service, SubmitRequest) -> Result<Submission, Refused>,
) -> Result<EvalResult, Refused> {
    // Its client waits without end; so does a request here, within the service's own patience.
    let wait = service.config().queue_deadline;
    let asked = client_deadline(request.headers())?;
    let deadline = Instant::now() + asked.map_or(wait, |asked| asked.min(wait));
    let body = body_of(service, request).await?;
    let request: SubmitRequest = read_json(&body)?;
    drop(body);
    // Unpacking and reading megabytes of tests is work.
    let submission = tokio::task::block_in_place(|| read(service, request))?;
    Ok(service.on_a_judge(deadline, move |service| submission.evaluate(service)).await??)
}

/// A request we can run.
struct Submission {
    id: Value,
    code: String,
    run_all: bool,
    work: Work,
}

/// What is done to the program.
enum Work {
    /// It is run on each.
    Stdio { job: Box<Job>, tests: Vec<StdioTest>, whole_texts: bool, special: Option<Program> },
    /// Its function is called.
    Calls { suite: Suite, infos: Vec<Value> },
    /// LiveCodeBench's tests, all in one.
    Whole { problem: Box<Problem>, options: JudgeOptions<'static> },
}

impl Submission {
    fn read(service: &Service, request: SubmitRequest) -> Result<Submission, Refused> {
        let missing = |field: &str| HttpError::Invalid(format!("missing field `{field}`"));
        request.dataset.as_ref().ok_or_else(|| missing("dataset"))?;
        let id = request.id.ok_or_else(|| missing("id"))?;
        let config = checked(request.config)?;
        match config.dataset_type.as_deref() {
            Some("CommonOJDataset") => {
                let (code, job, _) = job(service, &config, &request.completion, "CommonOJDataset", None)?;
                let tests = oj::tests(config.provided_data, &id).map_err(HttpError::Invalid)?;
                let whole_texts = config.extra.return_full_case;
                let work = Work::Stdio { job, tests, whole_texts, special: None };
                Ok(Submission { id, code, run_all: config.extra.run_all_cases, work })
            }
            Some("LiveCodeBenchDataset") => {
                Submission::live_code_bench(service, id, &request.completion, config)
            }
            Some(other) => Err(Refused::Unsupported(format!(
                "config.dataset_type {other} is not supported here; CommonOJDataset and LiveCodeBenchDataset are"
            ))),
            None => Err(Refused::Unsupported(
                "no dataset is registered here; config.dataset_type must say what the row is".into(),
            )),
        }
    }

    fn live_code_bench(
        service: &Service,
        id: Value,
        completion: &str,
        config: TestConfig,
    ) -> Result<Submission, Refused> {
        let mut row = oj::row(config.provided_data, &id).map_err(HttpError::Invalid)?;
        // The data set holds labels as text; a client that parsed them may send what it got.
        if let Some(labels) = row.get_mut("labels").filter(|labels| labels.is_object()) {
            *labels = labels.to_string().into();
        }
        let format = match row.get("question_id") {
            Some(_) => Format::LiveCodeBench,
            None => Format::SandboxFusion,
        };
        let problem = read_problem(row.to_string().as_bytes(), format, MAX_UNPACKED);
        let problem =
            problem.map_err(|misfit| HttpError::Invalid(format!("`config.provided_data`: {misfit}")))?;
        let cpu_time = time_limit(service, "run_timeout", given(config.run_timeout).unwrap_or(6.0))?;
        let options = JudgeOptions {
            profile: Profile::Lcb,
            language: Some(Language::Python3),
            limits: LimitOverrides {
                cpu_time: Some(cpu_time),
                wall_time: Some(cpu_time + IDLE_SLACK),
                ..LimitOverrides::default()
            },
            mode: Mode::Code,
            ..JudgeOptions::default()
        };
        let code = oj::program(completion, Language::Python3).to_owned();
        Ok(Submission { id, code, run_all: false, work: Work::Whole { problem: Box::new(problem), options } })
    }

    fn read_scalebox(service: &Service, request: SubmitRequest) -> Result<Submission, Refused> {
        let id = request.id.unwrap_or_else(|| 0.into());
        let config = checked(request.config)?;
        let (code, job, language) = job(service, &config, &request.completion, "this route", Some(10.0))?;
        let (run_all, whole_texts) = (config.extra.run_all_cases, config.extra.return_full_case);
        let tests = scalebox::tests(config.provided_data).map_err(|error| match error {
            scalebox::NoTests::Unsupported(text) => Refused::Unsupported(text),
            scalebox::NoTests::Invalid(text) => HttpError::Invalid(text).into(),
        })?;
        let work = match tests {
            scalebox::Tests::Stdio(tests) => {
                let special = config.extra.special_judge_program.map(|source| {
                    special_judge(source, config.extra.special_judge_language.as_deref().unwrap_or("python"))
                });
                Work::Stdio { job, tests, whole_texts, special: special.transpose()? }
            }
            scalebox::Tests::Calls(_) if !language.is_like(Language::Python3) => {
                return Err(Refused::Unsupported("function_call is supported for python alone here".into()));
            }
            scalebox::Tests::Calls(calls) => {
                let cpu_time = time_limit(service, "run_timeout", given(config.run_timeout).unwrap_or(10.0))?;
                let memory = memory_limit(service, "memory_limit_MB", -1, 1 << 20)?;
                let limits = LimitOverrides {
                    cpu_time: Some(cpu_time),
                    wall_time: Some(cpu_time + IDLE_SLACK),
                    memory: Some(memory),
                    output: None,
                };
                let (mut cases, mut infos) = (Vec::new(), Vec::new());
                for call in calls {
                    let test = TestCase {
                        input: call.arguments,
                        output: call.output,
                        test_type: TestType::Functional,
                    };
                    cases.push(Case { func_name: Some(call.function), test });
                    infos.push(call.info);
                }
                let (source, profile) = (code.clone(), Profile::Lcb);
                let suite = Suite { source, language, cases, profile, limits, run_all, in_process: false };
                Work::Calls { suite, infos }
            }
        };
        Ok(Submission { id, code, run_all, work })
    }

    /// On a judge thread.
    fn evaluate(self, service: &Service) -> Result<EvalResult, HttpError> {
        let tests = match self.work {
            Work::Stdio { mut job, tests, whole_texts, special } => {
                stdio(service, &mut job, tests, whole_texts, special.as_ref(), self.run_all)?
            }
            Work::Calls { suite, infos } => {
                let judgements = suite.judge(service)?;
                judgements.iter().zip(infos).map(|(judgement, info)| told(judgement, Some(info))).collect()
            }
            Work::Whole { problem, options } => {
                vec![told(&whole(service, &problem, &self.code, &options)?, None)]
            }
        };
        Ok(EvalResult {
            id: self.id,
            accepted: tests.iter().all(|test| test.passed),
            extracted_code: self.code,
            full_code: None,
            test_code: None,
            tests,
            extracted_type: None,
            extra: None,
        })
    }
}

/// Most bytes of packed tests once unpacked: more than any problem has.
const MAX_UNPACKED: usize = 256 << 20;
/// As for `/run_code`.
const IDLE_SLACK: Duration = super::program::IDLE_SLACK;

fn given(seconds: Option<f64>) -> Option<f64> {
    seconds.filter(|seconds| *seconds != 0.0)
}

fn checked(config: TestConfig) -> Result<TestConfig, Refused> {
    match config.custom_extract_logic {
        Some(_) => Err(Refused::Unsupported("config.custom_extract_logic is not supported here".into())),
        None => Ok(config),
    }
}

/// The program and how it is run; without a `run_timeout` it has `standard` seconds, or CommonOJ's.
fn job(
    service: &Service,
    config: &TestConfig,
    completion: &str,
    who: &str,
    standard: Option<f64>,
) -> Result<(String, Box<Job>, Language), Refused> {
    let name = match config.language.as_deref() {
        None | Some("") => {
            return Err(Refused::Unsupported(format!(
                "config.language field must exist for {who}, got None"
            )));
        }
        Some("javascript" | "js") => "nodejs",
        Some(name) => name,
    };
    let ours = language(name);
    let code = ours.map_or("", |ours| oj::program(completion, ours)).to_owned();
    let usual = if ours.is_some_and(Language::is_compiled) { 10.0 } else { 20.0 };
    let run = RunCodeRequest {
        compile_timeout: given(config.compile_timeout).unwrap_or(10.0),
        run_timeout: given(config.run_timeout).or(standard).unwrap_or(usual),
        ..RunCodeRequest::new(code.clone(), name.into())
    };
    let job = Job::read(service, run)?.map_err(Refused::Unsupported)?;
    let ours = ours.ok_or_else(|| Refused::Unsupported(format!("{name} is not supported here")))?;
    Ok((code, Box::new(job), ours))
}

fn special_judge(source: String, name: &str) -> Result<Program, Refused> {
    let ours = language(name).ok_or_else(|| {
        Refused::Unsupported(format!("extra.special_judge_language {name} is not supported here"))
    })?;
    Ok(Program::new(ours, source))
}

fn stdio(
    service: &Service,
    job: &mut Job,
    tests: Vec<StdioTest>,
    whole_texts: bool,
    special: Option<&Program>,
    run_all: bool,
) -> Result<Vec<EvalTestCase>, HttpError> {
    let mut done = Vec::new();
    for test in tests {
        job.feed(&test.input.stdin);
        let exec_info = job.run(service);
        if exec_info.status == RunStatus::SandboxError {
            return Err(HttpError::Internal(exec_info.message));
        }
        let printed = exec_info.run_result.as_ref().and_then(|run| run.stdout.as_deref());
        let passed = match printed.filter(|_| exec_info.status == RunStatus::Success) {
            None => false,
            Some(printed) => match special {
                Some(judge) => specially_right(service, judge, &test, printed)?,
                None => sandbox_fusion_right(&test.output.stdout, printed),
            },
        };
        let test_info = Some(test.info(!passed || whole_texts));
        done.push(EvalTestCase { passed, exec_info, test_info });
        if !passed && !run_all {
            break;
        }
    }
    Ok(done)
}

/// What the caller's program says, in a slot of its own.
fn specially_right(
    service: &Service,
    judge: &Program,
    test: &StdioTest,
    printed: &str,
) -> Result<bool, HttpError> {
    let files = [
        InputFile { name: "stdin.txt", bytes: test.input.stdin.as_bytes() },
        InputFile { name: "stdout.txt", bytes: test.output.stdout.as_bytes() },
        InputFile { name: "answer.txt", bytes: printed.as_bytes() },
    ];
    match check(service, judge.clone(), &[], &files) {
        Ok(Ok(outcome)) => Ok(outcome.termination == Termination::Exited(0)),
        Ok(Err(refused)) => {
            Err(HttpError::Invalid(format!("extra.special_judge_program does not compile: {refused:.500}")))
        }
        Err(NotRun::Unsupported(why)) => Err(HttpError::Invalid(why)),
        Err(NotRun::Infra(why)) => Err(HttpError::Internal(why)),
    }
}

fn whole(
    service: &Service,
    problem: &Problem,
    code: &str,
    options: &JudgeOptions,
) -> Result<Judgement, HttpError> {
    let submission = judge::Submission { question_id: String::new(), completion: code.to_owned() };
    match service.judge(problem, &submission, options) {
        Ok(Judged::Graded(judgement)) => Ok(judgement),
        Ok(Judged::Unsupported { reason }) | Err(JudgeError::Caller(reason)) => {
            Err(HttpError::Invalid(reason))
        }
        Err(JudgeError::Infra(reason)) => Err(HttpError::Internal(reason)),
    }
}

/// A judgement as the reply tells a test.
fn told(judgement: &Judgement, test_info: Option<Value>) -> EvalTestCase {
    let passed = judgement.verdict == Verdict::Accepted;
    let seconds = judgement.usage.wall_time.as_secs_f64();
    let limit = judgement.verdict == Verdict::TimeLimitExceeded;
    let reason = if passed { "" } else { judgement.reason.as_str() };
    EvalTestCase { passed, exec_info: RunCodeResponse::of_a_call(passed, limit, seconds, reason), test_info }
}

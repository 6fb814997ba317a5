//! `POST /apis/functioncalls` for AReaL's client.

use std::sync::Arc;
use std::time::Instant;

use assay_sandbox::Language;
use assay_testsets::{MathTask, Problem, Task, TestCase, TestType};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::each_test::{Case, Suite};
use super::error::{Form, HttpError};
use super::program::{IDLE_SLACK, memory_limit, time_limit};
use super::{Service, body_of, client_deadline, json_response, read_json};
use crate::Verdict;
use crate::judge::{JudgeError, JudgeOptions, Judged, LimitOverrides, Profile, Submission};
use crate::wire::areal::{CallRequest, CallResponse, CallResult, ExtraInfo, PATIENCE, SYSTEM_ERROR};

/// `POST /apis/functioncalls`.
pub(super) async fn function_calls(State(service): State<Arc<Service>>, request: Request) -> Response {
    match answer(&service, request).await {
        Ok(response) => json_response(StatusCode::OK, &response),
        Err(error) => Form::Message.refuse(&error),
    }
}

async fn answer(service: &Arc<Service>, request: Request) -> Result<CallResponse, HttpError> {
    let began = Instant::now();
    let asked = client_deadline(request.headers())?;
    let body = body_of(service, request).await?;
    let mut request: CallRequest = read_json(&body)?;
    drop(body);
    let deadline = began + asked.unwrap_or(PATIENCE) / 2;
    let uid = request.uid.take();
    let results = if request.language.eq_ignore_ascii_case("math") {
        let info = request.extra_info.take();
        let info = info.ok_or_else(|| HttpError::Invalid("language MATH needs `extraInfo`".into()))?;
        service.on_a_judge(deadline, move |service| compare(service, info)).await?
    } else {
        let suite = suite(service, request)?;
        service.on_a_judge(deadline, move |service| run(service, suite)).await?
    };
    let results = match results {
        Err(HttpError::Internal(reason)) => {
            vec![CallResult { success: false, reason, error_type: SYSTEM_ERROR }]
        }
        results => results?,
    };
    Ok(CallResponse { uid, success: results.iter().all(|result| result.success), results })
}

fn suite(service: &Service, request: CallRequest) -> Result<Suite, HttpError> {
    let limit = time_limit(service, "timeout", request.timeout)?;
    let memory = memory_limit(service, "memory", request.memory, 1 << 20)?;
    let name = match request.language.to_ascii_lowercase().as_str() {
        "python" => "python3".to_owned(),
        "cpp" | "c++" => "cpp17".to_owned(),
        "nodejs" => "javascript".to_owned(),
        name => name.to_owned(),
    };
    let language = Language::from_name(&name).ok_or_else(|| {
        HttpError::Invalid(format!("`language` is {:?}, which is not supported here", request.language))
    })?;
    if request.testcases.is_empty() {
        return Err(HttpError::Invalid(
            "`testcases` is empty: without a test everything would be accepted".into(),
        ));
    }
    let func_name = request.entry_function.filter(|name| !name.is_empty());
    let test_type = if func_name.is_some() { TestType::Functional } else { TestType::Stdin };
    let cases: Vec<Case> = request
        .testcases
        .into_iter()
        .map(|case| {
            let (input, output) = case.texts(func_name.is_some());
            Case { func_name: func_name.clone(), test: TestCase { input, output, test_type } }
        })
        .collect();
    Ok(Suite {
        source: request.code,
        language,
        cases,
        profile: Profile::Lcb,
        limits: LimitOverrides {
            cpu_time: Some(limit),
            wall_time: Some(limit + IDLE_SLACK),
            memory: Some(memory),
            output: None,
        },
        run_all: !request.is_fast_fail,
        in_process: false,
    })
}

/// On a judge thread. Tests that a failed one kept from being run are not in the reply, as with the original.
fn run(service: &Service, suite: Suite) -> Result<Vec<CallResult>, HttpError> {
    let judgements = suite.judge(service)?;
    Ok(judgements.into_iter().map(|judgement| result(judgement.verdict, judgement.reason)).collect())
}

fn result(verdict: Verdict, reason: String) -> CallResult {
    let success = verdict == Verdict::Accepted;
    CallResult {
        success,
        reason: if success { String::new() } else { reason },
        error_type: error_type(verdict),
    }
}

fn error_type(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Accepted => "",
        Verdict::TimeLimitExceeded => "TimeoutError",
        Verdict::MemoryLimitExceeded => "MemoryError",
        Verdict::CompileError => "CompileError",
        Verdict::WrongAnswer | Verdict::NoAnswer => "WrongAnswer",
        _ => "RuntimeError",
    }
}

/// On a judge thread.
fn compare(service: &Service, info: ExtraInfo) -> Result<Vec<CallResult>, HttpError> {
    let pairs = info.pairs().map_err(HttpError::Invalid)?;
    pairs.iter().map(|(answer, solutions)| any_equal(service, answer, solutions)).collect()
}

fn any_equal(service: &Service, answer: &str, solutions: &[String]) -> Result<CallResult, HttpError> {
    let mut last = result(Verdict::WrongAnswer, "there is no solution to compare with".into());
    for solution in solutions {
        let problem = Problem {
            question_id: String::new(),
            prompt: String::new(),
            task: Task::Math(MathTask { ground_truth: solution.clone(), error: None }),
            difficulty: None,
            platform: None,
            contest_date: None,
        };
        let submission = Submission { question_id: String::new(), completion: answer.to_owned() };
        last = match service.judge(&problem, &submission, &JudgeOptions::default()) {
            Ok(Judged::Graded(judgement)) => result(judgement.verdict, judgement.reason),
            Ok(Judged::Unsupported { reason }) | Err(JudgeError::Caller(reason)) => {
                return Err(HttpError::Invalid(reason));
            }
            Err(JudgeError::Infra(reason)) => return Err(HttpError::Internal(reason)),
        };
        if last.success {
            break;
        }
    }
    Ok(last)
}

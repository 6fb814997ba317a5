//! `POST /submit` and `GET /list_datasets` for SandboxFusion's clients: each test is a `/run_code` of its own, on one
//! judge thread one after the other, until one fails.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::error::HttpError;
use super::grade::failed;
use super::run_code::{Job, language, refuse};
use super::{Service, body_of, client_deadline, json_response, read_json};
use crate::compare::sandbox_fusion_right;
use crate::wire::sandbox_fusion::oj::{EvalResult, EvalTestCase, StdioTest, SubmitRequest, program, tests};
use crate::wire::sandbox_fusion::{RunCodeRequest, RunStatus, detail};

/// `GET /list_datasets`: none is registered; rows come with the request.
pub(super) async fn list_datasets() -> axum::Json<[&'static str; 0]> {
    axum::Json([])
}

/// `POST /submit`.
pub(super) async fn submit(State(service): State<Arc<Service>>, request: Request) -> Response {
    let headers = request.headers().clone();
    match answer(&service, request, &headers).await {
        Ok(result) => json_response(StatusCode::OK, &result),
        Err(Refused::Unsupported(text)) => json_response(StatusCode::BAD_REQUEST, &detail(&text)),
        Err(Refused::Http(error)) => refuse(&error),
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
    headers: &HeaderMap,
) -> Result<EvalResult, Refused> {
    // Its client waits without end; so does a request here, within the service's own patience.
    let wait = service.config.queue_deadline;
    let deadline = Instant::now() + client_deadline(headers)?.map_or(wait, |asked| asked.min(wait));
    let body = body_of(service, request).await?;
    let request: SubmitRequest = read_json(&body)?;
    drop(body);
    let submission = Submission::read(service, request)?;
    let not_done = |not_done| failed(service, not_done);
    let ticket = service.queue.admit(deadline).await.map_err(not_done)?;
    let worker = service.clone();
    let work = move || submission.evaluate(&worker);
    let (result, waited) = service.queue.run(ticket, deadline, work).await.map_err(not_done)?;
    service.metrics.queue_wait(waited);
    Ok(result?)
}

/// A request we can run.
struct Submission {
    id: serde_json::Value,
    code: String,
    job: Job,
    tests: Vec<StdioTest>,
    run_all: bool,
    whole_texts: bool,
}

impl Submission {
    fn read(service: &Service, request: SubmitRequest) -> Result<Submission, Refused> {
        let config = request.config;
        match config.dataset_type.as_deref() {
            Some("CommonOJDataset") => {}
            Some(other) => {
                return Err(Refused::Unsupported(format!(
                    "config.dataset_type {other} is not supported here; CommonOJDataset is"
                )));
            }
            None => {
                return Err(Refused::Unsupported(
                    "no dataset is registered here; config.dataset_type must say what the row is".into(),
                ));
            }
        }
        if config.custom_extract_logic.is_some() {
            return Err(Refused::Unsupported("config.custom_extract_logic is not supported here".into()));
        }
        let Some(name) = config.language else {
            return Err(Refused::Unsupported(
                "config.language field must exist for CommonOJDataset, got None".into(),
            ));
        };
        let ours = language(&name);
        let compiled = ours.is_some_and(assay_sandbox::Language::is_compiled);
        let code = ours.map_or("", |ours| program(&request.completion, ours)).to_owned();
        let given = |seconds: Option<f64>| seconds.filter(|seconds| *seconds != 0.0);
        let run = RunCodeRequest {
            compile_timeout: given(config.compile_timeout).unwrap_or(10.0),
            run_timeout: given(config.run_timeout).unwrap_or(if compiled { 10.0 } else { 20.0 }),
            ..RunCodeRequest::new(code.clone(), name)
        };
        let job = Job::read(service, run)?.map_err(Refused::Unsupported)?;
        let tests = tests(config.provided_data, &request.id).map_err(HttpError::Invalid)?;
        let (run_all, whole_texts) = (config.extra.run_all_cases, config.extra.return_full_case);
        Ok(Submission { id: request.id, code, job, tests, run_all, whole_texts })
    }

    /// On a judge thread.
    fn evaluate(mut self, service: &Service) -> Result<EvalResult, HttpError> {
        let mut tests: Vec<EvalTestCase> = Vec::new();
        for test in self.tests {
            self.job.stdin = test.input.stdin.clone().into_bytes();
            let exec_info = self.job.run(service);
            if exec_info.status == RunStatus::SandboxError {
                return Err(HttpError::Internal(exec_info.message));
            }
            let printed = exec_info.run_result.as_ref().and_then(|run| run.stdout.as_deref());
            let passed = exec_info.status == RunStatus::Success
                && printed.is_some_and(|printed| sandbox_fusion_right(&test.output.stdout, printed));
            let test_info = if passed && !self.whole_texts { test.cut() } else { test };
            tests.push(EvalTestCase { passed, exec_info, test_info });
            if !passed && !self.run_all {
                break;
            }
        }
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

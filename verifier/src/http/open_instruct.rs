//! `POST /test_program`, `POST /test_program_stdio` and `GET /health` for open-instruct's client.

use std::sync::Arc;
use std::time::Instant;

use assay_sandbox::Language;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::each_test::{Case, Suite};
use super::error::{Form, HttpError};
use super::program::{IDLE_SLACK, time_limit};
use super::{Service, body_of, client_deadline, json_response, read_json};
use crate::Verdict;
use crate::judge::{LimitOverrides, Profile};
use crate::wire::open_instruct::{Kind, TestRequest, TestResponse, patience};

/// `GET /health`.
pub(super) async fn health() -> axum::Json<serde_json::Value> {
    axum::Json(json!({ "status": "healthy" }))
}

/// `POST /test_program`.
pub(super) async fn assertions(State(service): State<Arc<Service>>, request: Request) -> Response {
    reply(answer(&service, request, Kind::Assertions).await)
}

/// `POST /test_program_stdio`.
pub(super) async fn stdio(State(service): State<Arc<Service>>, request: Request) -> Response {
    reply(answer(&service, request, Kind::Stdio).await)
}

fn reply(result: Result<TestResponse, HttpError>) -> Response {
    match result {
        Ok(response) => json_response(StatusCode::OK, &response),
        Err(error) => Form::Detail.refuse(&error),
    }
}

async fn answer(service: &Arc<Service>, request: Request, kind: Kind) -> Result<TestResponse, HttpError> {
    let began = Instant::now();
    let asked = client_deadline(request.headers())?;
    let body = body_of(service, request).await?;
    let request: TestRequest = read_json(&body)?;
    drop(body);
    let limit = time_limit(service, "max_execution_time", request.max_execution_time)?;
    // Unpacking and reading megabytes of tests is work.
    let tests =
        tokio::task::block_in_place(|| request.tests(kind, MAX_UNPACKED)).map_err(HttpError::Invalid)?;
    let suite = Suite {
        source: request.program,
        language: Language::Python3,
        cases: tests.into_iter().map(|(func_name, test)| Case { func_name, test }).collect(),
        profile: Profile::Lcb,
        limits: LimitOverrides {
            cpu_time: Some(limit),
            wall_time: Some(limit + IDLE_SLACK),
            ..LimitOverrides::default()
        },
        run_all: true,
        in_process: service.config().in_process,
    };
    // Half for waiting, half for the tests.
    let deadline = began + asked.unwrap_or(patience(limit)) / 2;
    let judgements = service.on_a_judge(deadline, move |service| suite.judge(service)).await??;
    let mut response = TestResponse::default();
    for judgement in judgements {
        let right = judgement.verdict == Verdict::Accepted;
        response.results.push(u8::from(right));
        response.runtimes.push(if right { judgement.usage.wall_time.as_secs_f64() } else { -1.0 });
    }
    Ok(response)
}

/// Most bytes of packed tests once unpacked.
const MAX_UNPACKED: usize = 256 << 20;

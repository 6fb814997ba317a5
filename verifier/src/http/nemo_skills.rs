//! `POST /execute` for NeMo-Skills' client.

use std::sync::Arc;
use std::time::Instant;

use assay_sandbox::{Language, Program, Termination};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::error::{Form, HttpError};
use super::program::{NotRun, Plan, Ran, memory_limit, text, time_limit};
use super::{Service, body_of, client_deadline, json_response, read_json};
use crate::wire::nemo_skills::{CLIENT_SLACK, ExecuteRequest, ExecuteResponse, cut};

/// `POST /execute`.
pub(super) async fn execute(State(service): State<Arc<Service>>, request: Request) -> Response {
    match answer(&service, request).await {
        Ok(response) => json_response(StatusCode::OK, &response),
        Err(error) => Form::Error.refuse(&error),
    }
}

async fn answer(service: &Arc<Service>, request: Request) -> Result<ExecuteResponse, HttpError> {
    let began = Instant::now();
    let asked = client_deadline(request.headers())?;
    let body = body_of(service, request).await?;
    let request: ExecuteRequest = read_json(&body)?;
    drop(body);
    if !["python", "python3", "pypy3"].contains(&request.language.as_str()) {
        let stderr =
            format!("{} is not supported here: send python; sessions are not kept", request.language);
        return Ok(ExecuteResponse { process_status: "error", stdout: String::new(), stderr });
    }
    let limit = time_limit(service, "timeout", request.timeout)?;
    let memory = memory_limit(service, "memory", -1, 1)?;
    let program = Program::new(Language::Python3, request.generated_code);
    let stdin = request.std_input.unwrap_or_default().into_bytes();
    let plan = Plan { stdin, ..Plan::new(program, limit, limit, memory) };
    let deadline = plan.deadline(asked.unwrap_or(limit + CLIENT_SLACK), began);
    let most = request.max_output_characters;
    service.on_a_judge(deadline, move |service| run(service, &plan, most)).await?
}

/// On a judge thread.
fn run(service: &Service, plan: &Plan, most: usize) -> Result<ExecuteResponse, HttpError> {
    match plan.run(service) {
        Ok(Ran::Ended { outcome, .. } | Ran::Refused(outcome)) => {
            let process_status = match outcome.termination {
                Termination::Exited(0) => "completed",
                Termination::CpuTimeLimit | Termination::WallTimeLimit => "timeout",
                _ => "error",
            };
            let (stdout, stderr) = (cut(text(outcome.stdout), most), cut(text(outcome.stderr), most));
            Ok(ExecuteResponse { process_status, stdout, stderr })
        }
        Err(NotRun::Unsupported(stderr)) => {
            Ok(ExecuteResponse { process_status: "error", stdout: String::new(), stderr })
        }
        Err(NotRun::Infra(why)) => Err(HttpError::Internal(why)),
    }
}

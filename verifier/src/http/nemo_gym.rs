//! `POST /verify`, `POST /seed_session` and `POST /aggregate_metrics` for NeMo-Gym.

use std::sync::Arc;
use std::time::Instant;

use assay_sandbox::Language;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::error::{Form, HttpError};
use super::grade::{grade, read_item};
use super::{Service, body_of, client_deadline, json_response, read_json};
use crate::Extraction;
use crate::wire::GradeRequest;
use crate::wire::nemo_gym::{AggregateRequest, aggregate, problem, reply, response_text};

/// `POST /verify`.
pub(super) async fn verify(State(service): State<Arc<Service>>, request: Request) -> Response {
    match answer(&service, request).await {
        Ok(reply) => json_response(StatusCode::OK, &reply),
        Err(error) => Form::Detail.refuse(&error),
    }
}

/// `POST /seed_session`: there is nothing to keep.
pub(super) async fn seed_session() -> axum::Json<Value> {
    axum::Json(json!({}))
}

/// `POST /aggregate_metrics`.
pub(super) async fn aggregate_metrics(State(service): State<Arc<Service>>, request: Request) -> Response {
    let metrics = async {
        let body = body_of(&service, request).await?;
        let request: AggregateRequest = read_json(&body)?;
        Ok::<_, HttpError>(aggregate(&request))
    };
    match metrics.await {
        Ok(metrics) => json_response(StatusCode::OK, &metrics),
        Err(error) => Form::Detail.refuse(&error),
    }
}

async fn answer(service: &Arc<Service>, request: Request) -> Result<Value, HttpError> {
    // Its client waits without end.
    let wait = service.config().queue_deadline;
    let asked = client_deadline(request.headers())?;
    let deadline = Instant::now() + asked.map_or(wait, |asked| asked.min(wait));
    let body = body_of(service, request).await?;
    let request: Map<String, Value> = read_json(&body)?;
    drop(body);
    let text = response_text(&request).map_err(HttpError::Invalid)?;
    let (kind, problem) = problem(&request).map_err(HttpError::Invalid)?;
    let item = read_item(service, GradeRequest::new(problem, text.clone()))?;
    let ticket =
        service.queue.admit(deadline).await.map_err(|not_done| super::grade::failed(service, not_done))?;
    let graded = grade(service, item, ticket, deadline).await?;
    let code = Extraction::LastFence.program(&text, Some(Language::Python3)).map(|(code, _)| code);
    Ok(reply(request, kind, text, code, &graded))
}

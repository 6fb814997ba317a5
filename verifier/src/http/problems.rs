//! `/v1/problems`: storing problems once, to be graded against by id.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::error::HttpError;
use super::store::StoreError;
use super::{Service, body_of, json_response, read_json, want_json};

impl From<StoreError> for HttpError {
    fn from(error: StoreError) -> HttpError {
        match error {
            StoreError::Invalid(text) => HttpError::Invalid(text),
            StoreError::Full { most } => HttpError::StoreFull { limit: most },
            StoreError::Failed(text) => HttpError::Internal(text),
        }
    }
}

/// `POST /v1/problems`: one problem, or a list of them; all or, where one is no problem, those before it.
pub(super) async fn store(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, HttpError> {
    want_json(request.headers())?;
    let body = body_of(&service, request).await?;
    let problems: Value = read_json(&body)?;
    drop(body);
    // Hashing and writing take their time; the async threads have other things to do.
    tokio::task::block_in_place(|| match problems {
        Value::Array(problems) => {
            let stored = problems.iter().enumerate().map(|(index, problem)| {
                service.store.put(problem).map_err(|error| match HttpError::from(error) {
                    HttpError::Invalid(text) => HttpError::Invalid(format!("problem {index}: {text}")),
                    error => error,
                })
            });
            let stored: Vec<_> = stored.collect::<Result<_, _>>()?;
            let ids: Vec<String> = stored.into_iter().map(|(id, _)| id).collect();
            Ok(json_response(StatusCode::OK, &json!({ "ids": ids })))
        }
        problem => {
            let (id, new) = service.store.put(&problem)?;
            let status = if new { StatusCode::CREATED } else { StatusCode::OK };
            Ok(json_response(status, &json!({ "id": id })))
        }
    })
}

/// `GET /v1/problems`: ids and sizes; never what is in them.
pub(super) async fn list(State(service): State<Arc<Service>>) -> Response {
    let listing = service.store.list();
    let problems: Vec<Value> =
        listing.problems.iter().map(|(id, bytes)| json!({ "id": id, "bytes": bytes })).collect();
    let body = json!({ "problems": problems, "bytes": listing.bytes, "max_bytes": listing.most });
    json_response(StatusCode::OK, &body)
}

/// `DELETE /v1/problems/{id}`.
pub(super) async fn remove(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
) -> Result<Response, HttpError> {
    match tokio::task::block_in_place(|| service.store.remove(&id))? {
        true => Ok(StatusCode::NO_CONTENT.into_response()),
        false => Err(HttpError::NotFound(format!("/v1/problems/{id}"))),
    }
}

//! The drop-in routes of trainers that send a response and a label and want a number: OpenRLHF's `/get_reward` and
//! slime's `/rm`.
//!
//! Both clients retry every error and have a way to say that there is no reward; so what has none is an error here:
//! 422 for a label that cannot be judged, 500 for a failure of ours, 504 when no judge was free in time, never 429 or
//! 503. A request waits in line for half of its client's patience; the other half is for judging.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::Value;
use tokio::task::JoinSet;

use super::error::{Form, HttpError};
use super::grade::{failed, grade, read_item, window};
use super::trace::inherited;
use super::{Service, body_of, client_deadline, json_response, read_json};
use crate::wire::{GradeRequest, GradeResponse, OutcomeName, label, openrlhf, slime};

/// `POST /get_reward`.
pub(super) async fn get_reward(State(service): State<Arc<Service>>, request: Request) -> Response {
    openrlhf_reply(&service, request).await.unwrap_or_else(|error| Form::Detail.refuse(&error))
}

/// `POST /rm`.
pub(super) async fn rm(State(service): State<Arc<Service>>, request: Request) -> Response {
    slime_reply(&service, request).await.unwrap_or_else(|error| Form::Detail.refuse(&error))
}

async fn openrlhf_reply(service: &Arc<Service>, request: Request) -> Result<Response, HttpError> {
    let deadline = deadline(request.headers(), openrlhf::PATIENCE)?;
    let body = body_of(service, request).await?;
    let request: openrlhf::RewardRequest = read_json(&body)?;
    drop(body);
    let graded = grade_all(service, request.samples().map_err(HttpError::Invalid)?, deadline).await?;
    let mut reply = openrlhf::RewardResponse::default();
    for (index, graded) in graded.iter().enumerate() {
        reply.push(reward(index, graded)?, graded);
    }
    Ok(json_response(StatusCode::OK, &reply))
}

async fn slime_reply(service: &Arc<Service>, request: Request) -> Result<Response, HttpError> {
    let deadline = deadline(request.headers(), slime::PATIENCE)?;
    let uri = request.uri().clone();
    let key = slime::reward_key(uri.query()).map_err(HttpError::Invalid)?;
    let body = body_of(service, request).await?;
    let slime::RewardRequest { response, label } = read_json(&body)?;
    drop(body);
    let graded = grade_all(service, vec![(response, label)], deadline).await?;
    let graded = graded.first().ok_or_else(|| HttpError::Internal("the sample got no answer".into()))?;
    Ok(json_response(StatusCode::OK, &slime::reply(reward(0, graded)?, graded, key)))
}

/// When waiting in line ends.
fn deadline(headers: &HeaderMap, patience: std::time::Duration) -> Result<Instant, HttpError> {
    Ok(Instant::now() + client_deadline(headers)?.unwrap_or(patience) / 2)
}

/// Grades responses against their labels, so many at a time; results in order. All labels are read before anything
/// is run.
async fn grade_all(
    service: &Arc<Service>,
    samples: Vec<(String, Value)>,
    deadline: Instant,
) -> Result<Vec<GradeResponse>, HttpError> {
    let items = samples.into_iter().enumerate().map(|(index, (completion, label))| {
        let problem = label::problem(&label).map_err(|error| misfit(index, &error))?;
        read_item(service, GradeRequest::new(problem, completion))
    });
    let items: Vec<_> = items.collect::<Result<_, _>>()?;
    let mut results: Vec<Option<GradeResponse>> = items.iter().map(|_| None).collect();
    let mut items = items.into_iter().enumerate();
    let mut in_hand = JoinSet::new();
    loop {
        while in_hand.len() < window(service)
            && let Some((index, item)) = items.next()
        {
            let service = service.clone();
            in_hand.spawn(inherited(async move {
                let ticket =
                    service.queue.admit(deadline).await.map_err(|not_done| failed(&service, not_done))?;
                Ok::<_, HttpError>((index, grade(&service, item, ticket, deadline).await?))
            }));
        }
        match in_hand.join_next().await {
            Some(Ok(done)) => {
                let (index, graded) = done?;
                results[index] = Some(graded);
            }
            Some(Err(error)) => return Err(HttpError::Internal(error.to_string())),
            None => break,
        }
    }
    let whole: Option<Vec<GradeResponse>> = results.into_iter().collect();
    whole.ok_or_else(|| HttpError::Internal("a sample got no answer".into()))
}

/// The number, where there is one.
fn reward(index: usize, graded: &GradeResponse) -> Result<f64, HttpError> {
    match (graded.reward, graded.outcome) {
        (Some(reward), _) => Ok(reward),
        (None, OutcomeName::Unsupported) => Err(misfit(index, &graded.reason)),
        (None, _) => Err(HttpError::Internal(graded.reason.clone())),
    }
}

fn misfit(index: usize, reason: &str) -> HttpError {
    HttpError::Invalid(format!("the label of sample {index} cannot be judged: {reason}"))
}

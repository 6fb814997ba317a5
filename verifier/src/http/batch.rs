//! `POST /v1/grade/batch`.
//!
//! A batch holds one place in the queue at a time for each item it has in hand, and has only so many in
//! hand ([`window`]), so that a batch of a thousand does not shut others out. Whatever becomes of one item
//! is said in its own place; the batch itself fails only where it can't be read at all.
//!
//! Math takes microseconds, less than handing it to a judge: a group of such items is one item there.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_core::Stream;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::cache::key_of;
use super::error::HttpError;
use super::grade::{admit, failed, grade, judge, note, read_item, window};
use super::queue::{NotDone, Ticket};
use super::trace::inherited;
use super::{Room, Service, body_of, json_response, read_json, want_json};
use crate::wire::{BatchRequest, GradeRequest, GradeResponse, Item, OutcomeName};

/// Math items that are judged as one.
const GROUP: usize = 32;

#[derive(Serialize)]
struct Results {
    results: Vec<GradeResponse>,
}

/// `POST /v1/grade/batch`.
pub(super) async fn batch(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, HttpError> {
    let headers = request.headers().clone();
    want_json(&headers)?;
    let deadline = service.queue_deadline(&headers)?;
    let room = request.extensions().get::<Room>().cloned();
    let body = body_of(&service, request).await?;
    let BatchRequest { items } = read_json(&body)?;
    drop(body);
    let first = admit(&service)?;
    let count = items.len();
    let (send, receive) = mpsc::channel(window(&service));
    let mut feeder = JoinSet::new();
    feeder.spawn(inherited(async move {
        feed(service, items, first, deadline, send).await;
        // The answer may have begun long before.
        drop(room);
    }));
    Ok(if wants_lines(&headers) {
        let lines = Lines { receive, _feeder: feeder };
        ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
    } else {
        json_response(StatusCode::OK, &Results { results: in_order(count, receive).await? })
    })
}

/// Grades all items; the results come out as they finish. Ends early when nobody listens: dropping the
/// feeder's JoinSet drops every waiting item.
async fn feed(
    service: Arc<Service>,
    items: Vec<Value>,
    first: Ticket,
    deadline: Instant,
    results: mpsc::Sender<(usize, GradeResponse)>,
) {
    let mut in_hand = JoinSet::new();
    let mut first = Some(first);
    // Results that are kept are found, or waited for, item by item.
    let grouped = !service.cache.is_on();
    for group in groups(items, |item| grouped && is_math(item)) {
        while in_hand.len() >= window(&service) {
            in_hand.join_next().await;
        }
        let ticket = match first.take() {
            Some(ticket) => Ok(ticket),
            None => service.queue.admit(deadline).await,
        };
        let (service, results) = (service.clone(), results.clone());
        in_hand.spawn(inherited(async move {
            for graded in grade_group(&service, group, ticket, deadline).await {
                let _ = results.send(graded).await;
            }
        }));
    }
    while in_hand.join_next().await.is_some() {}
}

/// Items with their places in the batch.
type Group = Vec<(usize, Value)>;

/// In their order; math that follows on math together, up to [`GROUP`] of it.
fn groups(items: Vec<Value>, is_math: impl Fn(&Value) -> bool) -> impl Iterator<Item = Group> {
    let mut items = items.into_iter().enumerate().peekable();
    std::iter::from_fn(move || {
        let mut group = vec![items.next()?];
        if is_math(&group[0].1) {
            while group.len() < GROUP
                && let Some(next) = items.next_if(|(_, item)| is_math(item))
            {
                group.push(next);
            }
        }
        Some(group)
    })
}

/// Whether an item says that it is math; one whose problem is stored does not.
fn is_math(item: &Value) -> bool {
    item.pointer("/problem/task/type").is_some_and(|kind| kind == "math")
}

/// An item of a batch always has an answer.
async fn grade_group(
    service: &Arc<Service>,
    mut group: Group,
    ticket: Result<Ticket, NotDone>,
    deadline: Instant,
) -> Vec<(usize, GradeResponse)> {
    if group.len() == 1
        && let Some((index, item)) = group.pop()
    {
        return vec![(index, grade_in_batch(service, item, ticket, deadline).await)];
    }
    let group = Arc::new(group);
    let (worker, items) = (service.clone(), group.clone());
    let work =
        move || items.iter().map(|(index, item)| (*index, judge_math(&worker, item))).collect::<Vec<_>>();
    let done = match ticket {
        Ok(ticket) => service.queue.run(ticket, deadline, work).await,
        Err(not_done) => Err(not_done),
    };
    match done {
        Ok((mut graded, waited)) => {
            // As for an item alone: only what was judged counts.
            let judged = graded.iter_mut().filter(|(_, response)| response.outcome != OutcomeName::Invalid);
            judged.for_each(|(_, response)| note(service, "math", response, waited));
            graded
        }
        Err(not_done) => {
            let lost = |(index, item): &(usize, Value)| {
                let id = item.pointer("/problem/question_id").and_then(Value::as_str).unwrap_or_default();
                (*index, said(id.into(), Err(failed(service, not_done))))
            };
            group.iter().map(lost).collect()
        }
    }
}

/// On a judge thread. A panic is this item's alone.
fn judge_math(service: &Service, item: &Value) -> GradeResponse {
    let item = match read_in_batch(service, item) {
        Ok(item) => item,
        Err(response) => return *response,
    };
    let question_id = item.problem.question_id.clone();
    let judged = catch_unwind(AssertUnwindSafe(|| judge(service, item)));
    said(question_id, judged.unwrap_or_else(|_panic| Err(failed(service, NotDone::Panicked))))
}

async fn grade_in_batch(
    service: &Arc<Service>,
    item: Value,
    ticket: Result<Ticket, NotDone>,
    deadline: Instant,
) -> GradeResponse {
    let key = service.cache.is_on().then(|| key_of(item.to_string().as_bytes()));
    let item = match read_in_batch(service, &item) {
        Ok(item) => Item { key, ..item },
        Err(response) => return *response,
    };
    let question_id = item.problem.question_id.clone();
    let graded = match ticket {
        Ok(ticket) => grade(service, item, ticket, deadline).await,
        Err(not_done) => Err(failed(service, not_done)),
    };
    said(question_id, graded)
}

/// The item, or what is answered in its place.
fn read_in_batch(service: &Service, item: &Value) -> Result<Item, Box<GradeResponse>> {
    let read = GradeRequest::deserialize(item).map_err(|error| HttpError::Invalid(error.to_string()));
    read.and_then(|request| read_item(service, request)).map_err(|error| {
        Box::new(match error.status().is_client_error() {
            true => invalid(&error),
            false => GradeResponse::without_verdict(String::new(), OutcomeName::InfraError, error.detail()),
        })
    })
}

/// What became of an item, as a batch says it.
fn said(question_id: String, graded: Result<GradeResponse, HttpError>) -> GradeResponse {
    graded.unwrap_or_else(|error| match error {
        HttpError::Invalid(_) => GradeResponse { question_id, ..invalid(&error) },
        _ => GradeResponse::without_verdict(question_id, OutcomeName::InfraError, error.detail()),
    })
}

fn invalid(error: &HttpError) -> GradeResponse {
    let mut response = GradeResponse::without_verdict(String::new(), OutcomeName::Invalid, error.detail());
    response.error = Some(error.to_json());
    response
}

async fn in_order(
    count: usize,
    mut receive: mpsc::Receiver<(usize, GradeResponse)>,
) -> Result<Vec<GradeResponse>, HttpError> {
    let mut results: Vec<Option<GradeResponse>> = (0..count).map(|_| None).collect();
    while let Some((index, response)) = receive.recv().await {
        results[index] = Some(response);
    }
    let whole: Option<Vec<GradeResponse>> = results.into_iter().collect();
    whole.ok_or_else(|| HttpError::Internal("an item of the batch got no answer".into()))
}

fn wants_lines(headers: &HeaderMap) -> bool {
    headers.get_all(header::ACCEPT).iter().any(|value| {
        value.to_str().is_ok_and(|text| text.to_ascii_lowercase().contains("application/x-ndjson"))
    })
}

/// A batch as JSON Lines, each with the item's `index`, as they finish.
struct Lines {
    receive: mpsc::Receiver<(usize, GradeResponse)>,
    _feeder: JoinSet<()>,
}

impl Stream for Lines {
    type Item = Result<Bytes, serde_json::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.receive.poll_recv(context).map(|next| next.map(|(index, response)| line(index, &response)))
    }
}

fn line(index: usize, response: &GradeResponse) -> Result<Bytes, serde_json::Error> {
    #[derive(serde::Serialize)]
    struct Line<'a> {
        index: usize,
        #[serde(flatten)]
        response: &'a GradeResponse,
    }
    let mut bytes = serde_json::to_vec(&Line { index, response })?;
    bytes.push(b'\n');
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn math_that_follows_on_math_is_one_group() {
        let math = json!({ "problem": { "task": { "type": "math" } } });
        let code = json!({ "problem": { "task": { "type": "code" } } });
        let of = |items: Vec<Value>| groups(items, is_math).map(|group| group.len()).collect::<Vec<_>>();
        assert_eq!(of(vec![]), [0; 0]);
        assert_eq!(of(vec![code.clone(), code.clone(), json!(1)]), [1, 1, 1]);
        let mixed = [vec![math.clone(); 40], vec![code; 2], vec![math; 2]].concat();
        assert_eq!(of(mixed.clone()), [32, 8, 1, 1, 2]);
        let places: Vec<usize> = groups(mixed, is_math).flatten().map(|(place, _)| place).collect();
        assert_eq!(places, (0..44).collect::<Vec<_>>());
    }
}

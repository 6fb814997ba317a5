//! `POST /v1/grade` and `POST /v1/grade/batch`.
//!
//! A batch holds one place in the queue at a time for each item it has in hand, and has only so many in
//! hand ([`window`]), so that a batch of a thousand does not shut others out. Whatever becomes of one item
//! is said in its own place; the batch itself fails only where it can't be read at all.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use assay_testsets::{Task, TaskLimits};
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_core::Stream;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::cache::{Look, key_of};
use super::error::HttpError;
use super::log::LogLevel;
use super::queue::{NotDone, Ticket, unwanted};
use super::trace::{self, inherited};
use super::{Room, Service, body_of, json_response, kind, read_json, want_json};
use crate::judge::{JudgeError, JudgeOptions, Judged};
use crate::reward::reward;
use crate::wire::{BatchRequest, GradeRequest, GradeResponse, Item, OutcomeName, Timings};

/// `POST /v1/grade`.
pub(super) async fn one(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Response, HttpError> {
    let headers = request.headers().clone();
    want_json(&headers)?;
    let deadline = service.queue_deadline(&headers)?;
    let body = body_of(&service, request).await?;
    let mut item = read_item(&service, read_json(&body)?)?;
    item.key = service.cache.is_on().then(|| key_of(&body));
    let ticket = admit(&service)?;
    Ok(json_response(StatusCode::OK, &grade(&service, item, ticket, deadline).await?))
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
        json_response(StatusCode::OK, &json!({ "results": in_order(count, receive).await? }))
    })
}

/// Items a batch has in hand at once.
pub(super) fn window(service: &Service) -> usize {
    service.config().slots * 2 + service.config().sleepers
}

fn admit(service: &Service) -> Result<Ticket, HttpError> {
    if service.is_draining() {
        return Err(HttpError::Draining);
    }
    service.queue.try_admit().ok_or_else(|| {
        service.metrics.rejected("queue_full");
        HttpError::QueueFull
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
    for (index, item) in items.into_iter().enumerate() {
        while in_hand.len() >= window(&service) {
            in_hand.join_next().await;
        }
        let ticket = match first.take() {
            Some(ticket) => Ok(ticket),
            None => service.queue.admit(deadline).await,
        };
        let (service, results) = (service.clone(), results.clone());
        in_hand.spawn(inherited(async move {
            let response = grade_in_batch(&service, item, ticket, deadline).await;
            let _ = results.send((index, response)).await;
        }));
    }
    while in_hand.join_next().await.is_some() {}
}

/// An item of a batch always has an answer.
async fn grade_in_batch(
    service: &Arc<Service>,
    item: Value,
    ticket: Result<Ticket, NotDone>,
    deadline: Instant,
) -> GradeResponse {
    let key = service.cache.is_on().then(|| key_of(item.to_string().as_bytes()));
    let read = serde_json::from_value(item).map_err(|error| HttpError::Invalid(error.to_string()));
    let item = match read.and_then(|request| read_item(service, request)) {
        Ok(item) => Item { key, ..item },
        Err(error) if error.status().is_client_error() => return invalid(&error),
        Err(error) => {
            return GradeResponse::without_verdict(String::new(), OutcomeName::InfraError, error.detail());
        }
    };
    let question_id = item.problem.question_id.clone();
    let graded = match ticket {
        Ok(ticket) => grade(service, item, ticket, deadline).await,
        Err(not_done) => Err(failed(service, not_done)),
    };
    graded.unwrap_or_else(|error| match error {
        HttpError::Invalid(_) => GradeResponse { question_id, ..invalid(&error) },
        _ => GradeResponse::without_verdict(question_id, OutcomeName::InfraError, error.detail()),
    })
}

/// What is known of the item, or what becomes of it now.
pub(super) async fn grade(
    service: &Arc<Service>,
    item: Item,
    ticket: Ticket,
    deadline: Instant,
) -> Result<GradeResponse, HttpError> {
    let Some(key) = item.key else { return judged(service, item, ticket, deadline).await };
    loop {
        match service.cache.look(key) {
            Look::Known(response) => return Ok(GradeResponse { timings: Timings::default(), ..*response }),
            Look::Flying(mut landing) => {
                let landed = tokio::time::timeout_at(deadline.into(), landing.changed()).await;
                let changed = landed.map_err(|_elapsed| failed(service, NotDone::Expired))?;
                if changed.is_ok() && *landing.borrow() {
                    return judged(service, item, ticket, deadline).await;
                }
            }
            Look::First(flight) => {
                let response = judged(service, item, ticket, deadline).await?;
                flight.land(&response);
                return Ok(response);
            }
        }
    }
}

/// Puts the item in line, waits, and says what became of it.
async fn judged(
    service: &Arc<Service>,
    item: Item,
    ticket: Ticket,
    deadline: Instant,
) -> Result<GradeResponse, HttpError> {
    let (worker, kind) = (service.clone(), kind(&item.problem.task));
    let work = move || judge(&worker, item);
    let done = service.queue.run(ticket, deadline, work).await;
    let (response, waited) = done.map_err(|not_done| failed(service, not_done))?;
    let mut response = response?;
    response.timings.queue = waited.as_secs_f64();
    let seconds = |s: f64| Duration::try_from_secs_f64(s).unwrap_or_default();
    service.waited(waited);
    let (compile, run) = (seconds(response.timings.compile), seconds(response.timings.run));
    service.metrics.times(compile, run);
    service.tracing.judged(&trace::Judged {
        kind,
        outcome: response.outcome.name(),
        verdict: response.verdict.unwrap_or_default(),
        queue: waited,
        compile,
        run,
    });
    Ok(response)
}

/// On a judge thread.
fn judge(service: &Service, item: Item) -> Result<GradeResponse, HttpError> {
    let began = Instant::now();
    if let Some(known) = item.key.and_then(|key| service.cache.recall(&key)) {
        return Ok(known);
    }
    let options = JudgeOptions { tolerance: item.tolerance.as_ref(), ..item.options };
    let judged = service.judge(&item.problem, &item.submission, &options);
    let question_id = item.problem.question_id.clone();
    let mut compile = Duration::ZERO;
    let mut response = match judged {
        Ok(Judged::Graded(judgement)) => {
            compile = judgement.compile_time;
            let reward =
                reward(&judgement, &item.reward).map_err(|wrong| HttpError::Invalid(wrong.to_string()))?;
            let mut response = GradeResponse::graded(question_id, judgement, reward);
            if let (Some(chosen), Some(failed)) = (&item.chosen, &mut response.failed_test) {
                *failed = chosen.get(*failed).copied().unwrap_or(*failed);
            }
            response
        }
        Ok(Judged::Unsupported { reason }) => {
            GradeResponse::without_verdict(question_id, OutcomeName::Unsupported, reason)
        }
        Err(JudgeError::Caller(reason)) => return Err(HttpError::Invalid(reason)),
        Err(JudgeError::Infra(reason)) => {
            GradeResponse::without_verdict(question_id, OutcomeName::InfraError, reason)
        }
    };
    let run = began.elapsed().saturating_sub(compile);
    response.timings = Timings { queue: 0.0, compile: compile.as_secs_f64(), run: run.as_secs_f64() };
    if unwanted() {
        // Its program was ended for that: the verdict is none.
        return Ok(response);
    }
    if let Some(Err(error)) = item.key.map(|key| service.cache.keep(&key, &response)) {
        service.log.event(LogLevel::Error, "not_kept", &[("reason", error.to_string().into())]);
    }
    Ok(response)
}

/// Into the house's words, within what only the service knows: its ceilings.
pub(super) fn read_item(service: &Service, request: GradeRequest) -> Result<Item, HttpError> {
    let mut ours = None;
    let stored = |id: &str| match service.store.get(id) {
        Ok(Some(problem)) => Ok(problem),
        Ok(None) => Err(format!("`problem_id` {id:?} is not stored here; store it with POST /v1/problems")),
        Err(error) => Err(ours.insert(HttpError::from(error)).detail()),
    };
    let item = request.into_item(stored);
    let item = item.map_err(|text| ours.take().unwrap_or(HttpError::Invalid(text)))?;
    let config = service.config();
    let asked = &item.options.limits;
    let own = match &item.problem.task {
        Task::Code(task) => task.limits,
        Task::Math(_) => TaskLimits::default(),
    };
    let times = [
        ("limits.cpu_time", asked.cpu_time),
        ("limits.wall_time", asked.wall_time),
        ("problem.task.limits.cpu_time", own.cpu_time),
    ];
    for (name, value) in times {
        let most = config.max_time.as_secs_f64();
        within(name, value.map(|time| time.as_secs_f64()), most, "seconds", "max-time")?;
    }
    let sizes = [
        ("limits.memory", asked.memory, config.max_memory, "max-memory"),
        ("problem.task.limits.memory", own.memory, config.max_memory, "max-memory"),
        ("limits.output", asked.output, config.max_output, "max-output"),
    ];
    for (name, value, most, setting) in sizes {
        within(name, value, most, "bytes", setting)?;
    }
    Ok(item)
}

fn within<T>(name: &str, value: Option<T>, most: T, unit: &str, setting: &str) -> Result<(), HttpError>
where
    T: PartialOrd + std::fmt::Display,
{
    match value {
        Some(value) if value > most => Err(HttpError::Invalid(format!(
            "`{name}` is {value}; this service allows at most {most} {unit} (its setting `{setting}`)"
        ))),
        _ => Ok(()),
    }
}

fn invalid(error: &HttpError) -> GradeResponse {
    let mut response = GradeResponse::without_verdict(String::new(), OutcomeName::Invalid, error.detail());
    response.error = Some(error.to_json());
    response
}

pub(super) fn failed(service: &Service, not_done: NotDone) -> HttpError {
    match not_done {
        NotDone::Expired => {
            service.metrics.rejected("deadline");
            HttpError::DeadlinePassed
        }
        NotDone::Panicked => {
            service.infra_error("the judge panicked");
            HttpError::Internal("the judge panicked; the log has more".into())
        }
    }
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

//! `POST /v1/grade`, and what an item's way is on every route that grades.

use std::sync::Arc;
use std::time::{Duration, Instant};

use assay_testsets::{Task, TaskLimits};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::cache::{Look, key_of};
use super::error::HttpError;
use super::log::LogLevel;
use super::queue::{NotDone, Ticket, unwanted};
use super::{Service, body_of, json_response, kind, read_json, trace, want_json};
use crate::judge::{JudgeError, JudgeOptions, Judged};
use crate::reward::reward;
use crate::wire::{GradeRequest, GradeResponse, Item, OutcomeName, Timings};

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

/// Items a batch has in hand at once.
pub(super) fn window(service: &Service) -> usize {
    service.config().slots * 2 + service.config().sleepers
}

pub(super) fn admit(service: &Service) -> Result<Ticket, HttpError> {
    if service.is_draining() {
        return Err(HttpError::Draining);
    }
    service.queue.try_admit().ok_or_else(|| {
        service.metrics.rejected("queue_full");
        HttpError::QueueFull
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
    note(service, kind, &mut response, waited);
    Ok(response)
}

/// Writes down how long an item waited, and what it took.
pub(super) fn note(service: &Service, kind: &'static str, response: &mut GradeResponse, waited: Duration) {
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
}

/// On a judge thread.
pub(super) fn judge(service: &Service, item: Item) -> Result<GradeResponse, HttpError> {
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

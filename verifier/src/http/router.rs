//! `POST /execute_batch` for open-r1's router clients: every script a run of its own, as many at once as there is room for.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use assay_sandbox::{Language, Outcome, Program, Termination};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use tokio::task::JoinSet;

use super::error::{Form, HttpError};
use super::program::{NotRun, Plan, Ran, memory_limit, text};
use super::run_code::language;
use super::trace::inherited;
use super::{Service, body_of, client_deadline, json_response, read_json};
use crate::wire::router::{BatchRequest, ScriptResult};

/// `POST /execute_batch`.
pub(super) async fn execute_batch(State(service): State<Arc<Service>>, request: Request) -> Response {
    match answer(&service, request).await {
        Ok(results) => json_response(StatusCode::OK, &results),
        Err(error) => Form::Detail.refuse(&error),
    }
}

/// When the client states none.
const REQUEST_TIMEOUT: f64 = 30.0;
const SCRIPT_TIMEOUT: f64 = 300.0;

async fn answer(service: &Arc<Service>, request: Request) -> Result<Vec<ScriptResult>, HttpError> {
    let began = Instant::now();
    let asked = client_deadline(request.headers())?;
    let body = body_of(service, request).await?;
    let request: BatchRequest = read_json(&body)?;
    drop(body);
    let seconds = |field: &str, value: Option<f64>, standard: f64| {
        crate::wire::seconds(field, value.unwrap_or(standard)).map_err(HttpError::Invalid)
    };
    let patience = asked.unwrap_or(seconds("request_timeout", request.request_timeout, REQUEST_TIMEOUT)?);
    // The client gives up on the request before a script of the usual 300 s is over; no script gets longer than that.
    let limit = seconds("timeout", request.timeout, SCRIPT_TIMEOUT)?;
    let limit = limit.min(service.config().max_time).min(patience / 2);
    let scripts = scripts(request)?;
    let mut results: Vec<Option<ScriptResult>> = scripts.iter().map(|_| None).collect();
    let mut in_hand = JoinSet::new();
    for (index, (script, name)) in scripts.into_iter().enumerate() {
        let service = service.clone();
        in_hand.spawn(inherited(async move {
            (index, one(&service, script, &name, limit, began + patience / 2).await)
        }));
    }
    while let Some(done) = in_hand.join_next().await {
        let (index, result) = done.map_err(|error| HttpError::Internal(error.to_string()))?;
        results[index] = Some(result?);
    }
    let whole: Option<Vec<ScriptResult>> = results.into_iter().collect();
    whole.ok_or_else(|| HttpError::Internal("a script got no answer".into()))
}

fn scripts(request: BatchRequest) -> Result<Vec<(String, String)>, HttpError> {
    let count = request.scripts.len();
    let languages = request.languages.unwrap_or_else(|| vec!["python".into(); count]);
    if languages.len() != count {
        return Err(HttpError::Invalid(format!(
            "there are {} `languages` for {count} scripts",
            languages.len()
        )));
    }
    Ok(request.scripts.into_iter().zip(languages).collect())
}

async fn one(
    service: &Arc<Service>,
    script: String,
    name: &str,
    limit: Duration,
    deadline: Instant,
) -> Result<ScriptResult, HttpError> {
    let Some(language) = language(name) else {
        return Ok(ScriptResult::nothing(format!("{name} is not supported here")));
    };
    let mark = format!("{:016x}", RandomState::new().build_hasher().finish());
    let source = if language.is_like(Language::Python3) { cell(&script, &mark) } else { script };
    let memory = memory_limit(service, "memory", -1, 1)?;
    let plan = Plan::new(Program::new(language, source), limit.min(Duration::from_secs(10)), limit, memory);
    service
        .on_a_judge(deadline, move |service| match plan.run(service) {
            Ok(Ran::Ended { outcome, .. } | Ran::Refused(outcome)) => Ok(told(outcome, &mark)),
            Err(NotRun::Unsupported(why)) => Ok(ScriptResult::nothing(why)),
            Err(NotRun::Infra(why)) => Err(HttpError::Internal(why)),
        })
        .await?
}

/// The script inside a program that shows its last value. A JSON string is a Python string here.
fn cell(script: &str, mark: &str) -> String {
    let frame = include_str!("router_script.py").replacen("@MARK@", mark, 1);
    frame.replacen("@SOURCE@", &serde_json::Value::from(script).to_string(), 1)
}

fn told(outcome: Outcome, mark: &str) -> ScriptResult {
    let (stdout, stderr) = (text(outcome.stdout), text(outcome.stderr));
    match outcome.termination {
        Termination::Exited(0) => match stdout.split_once(&format!("\n{mark}")) {
            Some((printed, value)) => ScriptResult::ended(Some(value.to_owned()), printed.to_owned(), stderr),
            None => ScriptResult::ended(None, stdout, stderr),
        },
        Termination::CpuTimeLimit | Termination::WallTimeLimit => {
            ScriptResult::nothing("TimeoutError: the script used up its time".into())
        }
        Termination::Exited(_) => ScriptResult::raised(stdout, stderr),
        other => ScriptResult::raised(stdout, format!("{stderr}\nthe script was ended: {other:?}")),
    }
}

//! Judge0's routes. A submission is put in line when it comes and can be asked for by its token; what became of it is kept
//! in memory, so it ends with the process, and so does what was never run.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use assay_sandbox::{Language, Program};
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::error::{Form, HttpError};
use super::program::{NotRun, Plan, Ran, memory_limit, time_limit};
use super::trace::inherited;
use super::{Service, body_of, json_response, read_json};
use crate::wire::judge0::{
    self, KEPT, LANGUAGES, MAX_BATCH, STATUSES, Submission, SubmissionRequest, VERSION, config_info,
};
use crate::wire::piston::number;

/// What the URL says.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    base64_encoded: Option<String>,
    #[serde(default)]
    wait: Option<String>,
    #[serde(default)]
    fields: Option<String>,
    #[serde(default)]
    tokens: Option<String>,
}

impl Asked {
    fn base64(&self) -> bool {
        self.base64_encoded.as_deref() == Some("true")
    }

    fn waits(&self) -> bool {
        self.wait.as_deref() == Some("true")
    }
}

/// The last submissions.
#[derive(Default)]
pub(super) struct Kept(Mutex<Shelf>);

#[derive(Default)]
struct Shelf {
    submissions: HashMap<String, Submission>,
    order: VecDeque<String>,
    bytes: usize,
}

/// Most bytes of all kept submissions together.
const KEPT_BYTES: usize = 256 << 20;

impl Kept {
    /// Puts one there, in its place if it is there already; the oldest go where there are too many.
    fn put(&self, submission: Submission) {
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.bytes += size(&submission);
        let token = submission.token.clone();
        match shelf.submissions.insert(token.clone(), submission) {
            Some(before) => shelf.bytes -= size(&before),
            None => shelf.order.push_back(token),
        }
        while (shelf.order.len() > KEPT || shelf.bytes > KEPT_BYTES) && shelf.order.len() > 1 {
            let Some(oldest) = shelf.order.pop_front() else { break };
            if let Some(gone) = shelf.submissions.remove(&oldest) {
                shelf.bytes -= size(&gone);
            }
        }
    }

    fn get(&self, token: &str) -> Option<Submission> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).submissions.get(token).cloned()
    }
}

fn size(submission: &Submission) -> usize {
    let printed = match &submission.state {
        judge0::State::Ended(outcome) | judge0::State::Refused(outcome) => {
            outcome.stdout.len() + outcome.stderr.len()
        }
        _ => 0,
    };
    let given = [&submission.stdin, &submission.expected_output];
    submission.source_code.len() + given.into_iter().flatten().map(Vec::len).sum::<usize>() + printed
}

/// `GET /languages`.
pub(super) async fn languages(State(service): State<Arc<Service>>) -> Response {
    let languages = LANGUAGES.iter().filter_map(|(id, name, ours)| {
        let version = number(service.health.version(ours)?);
        let gap = if *id == 54 { " " } else { "" };
        Some(json!({ "id": id, "name": format!("{name}{gap}{version})") }))
    });
    json_response(StatusCode::OK, &languages.collect::<Vec<_>>())
}

/// `GET /statuses`.
pub(super) async fn statuses() -> axum::Json<Value> {
    axum::Json(STATUSES.iter().map(|(id, name)| json!({ "id": id, "description": name })).collect())
}

/// `GET /about`.
pub(super) async fn about() -> axum::Json<Value> {
    axum::Json(
        json!({ "version": VERSION, "homepage": env!("CARGO_PKG_REPOSITORY"), "source_code": "", "maintainer": "" }),
    )
}

/// `GET /config_info`.
pub(super) async fn config(State(service): State<Arc<Service>>) -> axum::Json<Value> {
    let config = service.config();
    axum::Json(config_info(config.max_time.as_secs_f64(), config.max_memory, config.queue))
}

/// `POST /submissions`.
pub(super) async fn create(
    State(service): State<Arc<Service>>,
    Query(asked): Query<Asked>,
    request: Request,
) -> Response {
    let made = async {
        let body = body_of(&service, request).await?;
        let request: SubmissionRequest = read_json(&body)?;
        drop(body);
        Ok::<_, HttpError>(accept(&service, request, asked.base64()))
    };
    let (submission, plan) = match made.await {
        Ok(Ok(accepted)) => accepted,
        Ok(Err(wrong)) => return json_response(StatusCode::UNPROCESSABLE_ENTITY, &wrong),
        Err(error) => return Form::Error.refuse(&error),
    };
    let token = submission.token.clone();
    let running = tokio::spawn(inherited(run(service.clone(), submission, plan)));
    if !asked.waits() {
        return json_response(StatusCode::CREATED, &json!({ "token": token }));
    }
    match running.await {
        Ok(submission) => shown(StatusCode::CREATED, &submission, &asked),
        Err(error) => Form::Error.refuse(&HttpError::Internal(error.to_string())),
    }
}

/// `GET /submissions/{token}`.
pub(super) async fn show(
    State(service): State<Arc<Service>>,
    Path(token): Path<String>,
    Query(asked): Query<Asked>,
) -> Response {
    match service.judge0.get(&token) {
        Some(submission) => shown(StatusCode::OK, &submission, &asked),
        None => Form::Error.refuse(&HttpError::NotFound(format!("/submissions/{token}"))),
    }
}

/// `POST /submissions/batch`.
pub(super) async fn create_batch(
    State(service): State<Arc<Service>>,
    Query(asked): Query<Asked>,
    request: Request,
) -> Response {
    #[derive(Deserialize)]
    struct Batch {
        submissions: Vec<SubmissionRequest>,
    }
    let made = async {
        let body = body_of(&service, request).await?;
        let Batch { submissions } = read_json(&body)?;
        if submissions.len() > MAX_BATCH {
            let count = submissions.len();
            return Err(HttpError::Invalid(format!("{count} submissions in one batch; at most {MAX_BATCH}")));
        }
        Ok::<_, HttpError>(submissions)
    };
    let submissions = match made.await {
        Ok(submissions) => submissions,
        Err(error) => return Form::Error.refuse(&error),
    };
    let one = |request| match accept(&service, request, asked.base64()) {
        Ok((submission, plan)) => {
            let token = submission.token.clone();
            tokio::spawn(inherited(run(service.clone(), submission, plan)));
            json!({ "token": token })
        }
        Err(wrong) => wrong,
    };
    let tokens: Vec<Value> = submissions.into_iter().map(one).collect();
    json_response(StatusCode::CREATED, &tokens)
}

/// `GET /submissions/batch?tokens=`.
pub(super) async fn show_batch(State(service): State<Arc<Service>>, Query(asked): Query<Asked>) -> Response {
    let tokens = asked.tokens.as_deref().unwrap_or_default().split(',').filter(|token| !token.is_empty());
    let mut submissions = Vec::new();
    for token in tokens {
        let submission = service.judge0.get(token);
        let json = submission.map(|submission| submission.json(asked.fields.as_deref(), asked.base64()));
        match json {
            Some(Some(json)) => submissions.push(json),
            Some(None) => return not_text(),
            None => submissions.push(Value::Null),
        }
    }
    json_response(StatusCode::OK, &json!({ "submissions": submissions }))
}

fn shown(status: StatusCode, submission: &Submission, asked: &Asked) -> Response {
    match submission.json(asked.fields.as_deref(), asked.base64()) {
        Some(json) => json_response(status, &json),
        None => not_text(),
    }
}

fn not_text() -> Response {
    Form::Error.refuse(&HttpError::Malformed(
        "some attributes of this submission are not UTF-8; ask with base64_encoded=true".into(),
    ))
}

/// The submission and how it is run; or, as the original writes it, which field is wrong.
fn accept(service: &Service, request: SubmissionRequest, base64: bool) -> Result<(Submission, Plan), Value> {
    let wrong = |field: &str, why: &str| json!({ field: [why] });
    if let Some(field) = request.unsupported() {
        return Err(wrong(field, "is not supported here"));
    }
    let decoded = |field: &str, text: Option<&String>| match (text, base64) {
        (None, _) => Ok(None),
        (Some(text), false) => Ok(Some(text.clone().into_bytes())),
        (Some(text), true) => {
            let compact: String = text.split_ascii_whitespace().collect();
            STANDARD.decode(compact).map(Some).map_err(|_| wrong(field, "is not base64"))
        }
    };
    let source_code = decoded("source_code", request.source_code.as_ref())?
        .filter(|source| !source.is_empty())
        .ok_or_else(|| wrong("source_code", "can't be blank"))?;
    let language_id = request.language_id.ok_or_else(|| wrong("language_id", "can't be blank"))?;
    let language = LANGUAGES.iter().find(|(id, _, _)| *id == language_id);
    let language = language
        .and_then(|(_, _, ours)| Language::from_name(ours))
        .ok_or_else(|| wrong("language_id", &format!("language with id {language_id} doesn't exist")))?;
    let said = |field: &'static str| move |error: HttpError| wrong(field, &error.detail());
    let cpu = time_limit(service, "cpu_time_limit", request.cpu_time_limit.unwrap_or(5.0))
        .map_err(said("cpu_time_limit"))?;
    let idle = time_limit(service, "wall_time_limit", request.wall_time_limit.unwrap_or(10.0))
        .map_err(said("wall_time_limit"))?;
    let kilobytes = request.memory_limit.unwrap_or(128_000.0) as i64;
    let memory = memory_limit(service, "memory_limit", kilobytes, 1 << 10).map_err(said("memory_limit"))?;
    let args = request.command_line_arguments.as_deref().unwrap_or_default();
    let program = Program {
        args: args.split_whitespace().map(str::to_owned).collect(),
        ..Program::new(language, source_code.clone())
    };
    let stdin = decoded("stdin", request.stdin.as_ref())?;
    let expected_output = decoded("expected_output", request.expected_output.as_ref())?;
    let plan = Plan::new(program, COMPILE_TIME, cpu, memory);
    let run = assay_sandbox::Limits { wall_time: idle, ..plan.run.clone() };
    let plan = Plan { stdin: stdin.clone().unwrap_or_default(), run, ..plan };
    let token = token();
    let submission =
        Submission { token, source_code, language_id, stdin, expected_output, state: judge0::State::Pending };
    service.judge0.put(submission.clone());
    Ok((submission, plan))
}

const COMPILE_TIME: Duration = Duration::from_secs(10);

/// Hard to guess: two hashes with random keys.
fn token() -> String {
    let half = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", half(), half())
}

/// Puts it in line, waits as long as the service lets anybody wait, and keeps what became of it.
async fn run(service: Arc<Service>, submission: Submission, plan: Plan) -> Submission {
    let deadline = Instant::now() + service.config().queue_deadline;
    let ran = service.on_a_judge(deadline, move |service| plan.run(service)).await;
    let state = match ran {
        Ok(Ok(Ran::Ended { outcome, .. })) => judge0::State::Ended(outcome),
        Ok(Ok(Ran::Refused(outcome))) => judge0::State::Refused(outcome),
        Ok(Err(NotRun::Unsupported(why) | NotRun::Infra(why))) => judge0::State::Failed(why),
        Err(error) => judge0::State::Failed(error.detail()),
    };
    let submission = Submission { state, ..submission };
    service.judge0.put(submission.clone());
    submission
}

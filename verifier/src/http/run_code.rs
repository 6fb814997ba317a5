//! `POST /run_code` for SandboxFusion's clients.
//!
//! Its clients wait `compile_timeout + run_timeout + 10 s` for an answer. What is left of that after the
//! compiler and the program have had theirs is spent waiting for a place; then the answer is 504, the one
//! status its best-known client tries again after. Never 429 or 503.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use assay_sandbox::{Language, Outcome, Program, Termination};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::error::{Form, HttpError};
use super::program::{NotRun, Place, Plan, Ran, memory_limit, text, time_limit};
use super::{Service, body_of, client_deadline, json_response, read_json};
use crate::wire::sandbox_fusion::{
    CommandResult, CommandStatus, LANGUAGES, RunCodeRequest, RunCodeResponse, RunStatus,
};

/// `POST /run_code`.
pub(super) async fn run_code(State(service): State<Arc<Service>>, request: Request) -> Response {
    let began = Instant::now();
    let headers = request.headers().clone();
    match answer(&service, request, &headers, began).await {
        Ok(response) => json_response(StatusCode::OK, &response),
        Err(error) => Form::Detail.refuse(&error),
    }
}

async fn answer(
    service: &Arc<Service>,
    request: Request,
    headers: &HeaderMap,
    began: Instant,
) -> Result<RunCodeResponse, HttpError> {
    let body = body_of(service, request).await?;
    let request: RunCodeRequest = read_json(&body)?;
    drop(body);
    let job = match Job::read(service, request)? {
        Ok(job) => job,
        Err(unsupported) => return Ok(RunCodeResponse::bare(RunStatus::Failed, unsupported)),
    };
    let deadline = job.deadline(client_deadline(headers)?, began);
    service.on_a_judge(deadline, move |service| job.run(service)).await
}

/// A request we can run.
pub(super) struct Job {
    plan: Plan,
    /// The files to send back, as the client calls them.
    fetch: Vec<String>,
}

impl Job {
    /// The outer error is the caller's (422); the inner one is a thing the original can and we cannot.
    pub(super) fn read(service: &Service, request: RunCodeRequest) -> Result<Result<Job, String>, HttpError> {
        let compile_time = time_limit(service, "compile_timeout", request.compile_timeout)?;
        let run_time = time_limit(service, "run_timeout", request.run_timeout)?;
        let memory = memory_limit(service, "memory_limit_MB", request.memory_limit_mb, 1 << 20)?;
        if !LANGUAGES.contains(&request.language.as_str()) {
            let known = LANGUAGES.join(", ");
            return Err(HttpError::Invalid(format!(
                "`language` is {:?}; expected one of {known}",
                request.language
            )));
        }
        let Some(language) = language(&request.language) else {
            return Ok(Err(format!("{} is not supported here; {OURS} are", request.language)));
        };
        let place = place(request.files, &request.fetch_files)?;
        let plan = Plan::new(Program::new(language, request.code), compile_time, run_time, memory);
        let plan = Plan { stdin: request.stdin.unwrap_or_default().into_bytes(), place, ..plan };
        Ok(Ok(Job { plan, fetch: request.fetch_files }))
    }

    /// When waiting in line ends.
    fn deadline(&self, asked: Option<Duration>, began: Instant) -> Instant {
        let plan = &self.plan;
        plan.deadline(asked.unwrap_or(plan.compile.cpu_time + plan.run.cpu_time + CLIENT_SLACK), began)
    }

    /// With another standard input.
    pub(super) fn feed(&mut self, stdin: &str) {
        self.plan.stdin = stdin.as_bytes().to_owned();
    }

    /// On a judge thread.
    pub(super) fn run(&self, service: &Service) -> RunCodeResponse {
        match self.plan.run(service) {
            // The original compiles no Python, so a syntax error is the run's own, on stderr with code 1, as it is here.
            Ok(Ran::Ended { compiling, outcome, files }) => {
                let (part, message) = part(outcome);
                let named = self.fetch.iter().cloned().zip(files);
                let files = named.filter_map(|(name, bytes)| Some((name, BASE64_STANDARD.encode(bytes?))));
                let response = RunCodeResponse::of(compiling.map(silent_success), Some(part), message);
                RunCodeResponse { files: files.collect(), ..response }
            }
            Ok(Ran::Refused(outcome)) => {
                let (part, message) = part(outcome);
                RunCodeResponse::of(Some(refused(part)), None, message)
            }
            Err(NotRun::Unsupported(text)) => RunCodeResponse::bare(RunStatus::Failed, text),
            Err(NotRun::Infra(text)) => RunCodeResponse::bare(RunStatus::SandboxError, text),
        }
    }
}

/// The directory that the program gets, if anybody wants something of it. As in the original a file without content is none.
fn place(files: BTreeMap<String, Option<String>>, fetch: &[String]) -> Result<Option<Place>, HttpError> {
    let decode = |(path, content): (String, Option<String>)| {
        let content = BASE64_STANDARD.decode(content?.trim()).map_err(|error| {
            HttpError::Invalid(format!("`files`: the content of {path:?} is not base64: {error}"))
        });
        Some(content.map(|content| (inside(&path).to_owned(), content)))
    };
    let files: Vec<_> = files.into_iter().filter_map(decode).collect::<Result<_, _>>()?;
    if files.is_empty() && fetch.is_empty() {
        return Ok(None);
    }
    Ok(Some(Place { files, fetch: fetch.iter().map(|path| inside(path).to_owned()).collect() }))
}

/// A path as it is in the program's directory, which is also `/tmp` there.
fn inside(path: &str) -> &str {
    ["./", "/tmp/"].iter().find_map(|start| path.strip_prefix(start)).unwrap_or(path)
}

/// The languages of the original that the sandbox has.
pub(super) fn language(name: &str) -> Option<Language> {
    let ours = match name {
        "python" => "python3",
        "cpp" => "cpp17",
        "nodejs" => "javascript",
        "go" | "java" | "rust" | "typescript" => name,
        _ => return None,
    };
    Language::from_name(ours)
}

const OURS: &str = "python, cpp, nodejs, go, java, rust and typescript";

/// What SandboxFusion's clients add to both limits before they give up.
const CLIENT_SLACK: Duration = Duration::from_secs(10);
/// The part of the reply for a run, and a line on why it ended where the return code alone does not say.
fn part(outcome: Outcome) -> (CommandResult, String) {
    let (status, return_code, message) = ended(outcome.termination);
    let part = CommandResult {
        status,
        execution_time: Some(outcome.usage.wall_time.as_secs_f64()),
        return_code,
        stdout: Some(text(outcome.stdout)),
        stderr: Some(text(outcome.stderr)),
    };
    (part, message.into())
}

/// Return codes as the original's Python sees them: minus the signal that would have ended the program there.
fn ended(termination: Termination) -> (CommandStatus, Option<i32>, &'static str) {
    use CommandStatus::{Finished, TimeLimitExceeded};
    match termination {
        Termination::Exited(code) => (Finished, Some(code), ""),
        Termination::Signaled(signal) => (Finished, Some(-signal), ""),
        Termination::CpuTimeLimit | Termination::WallTimeLimit => (TimeLimitExceeded, None, ""),
        Termination::MemoryLimit => (Finished, Some(-9), "stopped at the memory limit"),
        Termination::OutputLimit => (Finished, Some(-25), "stopped at the output limit"),
        Termination::ProcessLimit => (Finished, Some(-9), "stopped at the process limit"),
        Termination::ForbiddenSyscall => (Finished, Some(-31), "stopped for a forbidden system call"),
        Termination::BrokeSlots => (Finished, Some(-9), "broke three fresh slots"),
    }
}

/// A compiler that was stopped, or one that says no with code 0, must not read as success.
fn refused(part: CommandResult) -> CommandResult {
    CommandResult { return_code: part.return_code.map(|code| if code == 0 { 1 } else { code }), ..part }
}

fn silent_success(took: Duration) -> CommandResult {
    CommandResult {
        status: CommandStatus::Finished,
        execution_time: Some(took.as_secs_f64()),
        return_code: Some(0),
        stdout: Some(String::new()),
        stderr: Some(String::new()),
    }
}

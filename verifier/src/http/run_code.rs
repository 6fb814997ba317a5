//! `POST /run_code` for SandboxFusion's clients.
//!
//! Its clients wait `compile_timeout + run_timeout + 10 s` for an answer. What is left of that after the
//! compiler and the program have had theirs is spent waiting for a place; then the answer is 504, the one
//! status its best-known client tries again after. Never 429 or 503.

use std::sync::Arc;
use std::time::{Duration, Instant};

use assay_sandbox::{Language, Limits, Outcome, Prepared, Program, Sandbox, SandboxError, Termination};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::error::HttpError;
use super::grade::MATH_ONLY;
use super::queue::NotDone;
use super::{Service, body_of, client_deadline, json_response, read_json};
use crate::judge::Profile;
use crate::wire::sandbox_fusion::{
    CommandResult, CommandStatus, LANGUAGES, RunCodeRequest, RunCodeResponse, RunStatus, detail,
    validation_detail,
};

/// `POST /run_code`.
pub(super) async fn run_code(State(service): State<Arc<Service>>, request: Request) -> Response {
    let began = Instant::now();
    let headers = request.headers().clone();
    let response = match answer(&service, request, &headers, began).await {
        Ok(response) => response,
        Err(error) => return refuse(&error),
    };
    service.metrics.run_code(match response.status {
        RunStatus::Success => "Success",
        RunStatus::Failed => "Failed",
        RunStatus::SandboxError => "SandboxError",
    });
    json_response(StatusCode::OK, &response)
}

/// An error in the original's form: a list of details for 422, one sentence else. Never 429 or 503.
pub(super) fn refuse(error: &HttpError) -> Response {
    match error {
        HttpError::Malformed(text) | HttpError::Invalid(text) => {
            json_response(StatusCode::UNPROCESSABLE_ENTITY, &validation_detail(None, text))
        }
        HttpError::QueueFull | HttpError::Draining | HttpError::DeadlinePassed => {
            json_response(StatusCode::GATEWAY_TIMEOUT, &detail(&error.detail()))
        }
        _ => json_response(error.status(), &detail(&error.detail())),
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
    let expired = |not_done: NotDone| match not_done {
        NotDone::Expired => {
            service.metrics.rejected("deadline");
            HttpError::DeadlinePassed
        }
        NotDone::Panicked => HttpError::Internal("the runner panicked; the log has more".into()),
    };
    let ticket = service.queue.admit(deadline).await.map_err(expired)?;
    let worker = service.clone();
    let work = move || job.run(&worker);
    let (response, waited) = service.queue.run(ticket, deadline, work).await.map_err(expired)?;
    service.metrics.queue_wait(waited);
    Ok(response)
}

/// A request we can run.
pub(super) struct Job {
    program: Program,
    pub(super) stdin: Vec<u8>,
    compile: Limits,
    run: Limits,
}

impl Job {
    /// The outer error is the caller's (422); the inner one is a thing the original can and we cannot.
    pub(super) fn read(service: &Service, request: RunCodeRequest) -> Result<Result<Job, String>, HttpError> {
        let seconds = |field: &str, value: f64| {
            let most = service.config.max_time;
            let asked = crate::wire::seconds(field, value).map_err(HttpError::Invalid)?;
            if asked > most {
                let most = most.as_secs_f64();
                return Err(HttpError::Invalid(format!(
                    "`{field}` is {value} s; this service allows at most {most} s"
                )));
            }
            Ok(asked)
        };
        let compile_time = seconds("compile_timeout", request.compile_timeout)?;
        let run_time = seconds("run_timeout", request.run_timeout)?;
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
        if !request.files.is_empty() || !request.fetch_files.is_empty() {
            return Ok(Err(
                "`files` and `fetch_files` are not supported here: programs have no file system".into()
            ));
        }
        let run = Limits {
            cpu_time: run_time,
            wall_time: run_time + IDLE_SLACK,
            memory: memory(service, request.memory_limit_mb)?,
            ..Profile::Judge.limits()
        };
        Ok(Ok(Job {
            program: Program::new(language, request.code),
            stdin: request.stdin.unwrap_or_default().into_bytes(),
            compile: Limits { cpu_time: compile_time, wall_time: compile_time, ..Limits::COMPILE },
            run,
        }))
    }

    /// When waiting must end so that the program, given all its time, still ends before the client gives up.
    fn deadline(&self, asked: Option<Duration>, began: Instant) -> Instant {
        let (compile, run) = (self.compile.cpu_time, self.run.cpu_time);
        let patience = asked.unwrap_or(compile + run + CLIENT_SLACK);
        let compiling = if self.program.language.is_compiled() { compile } else { Duration::ZERO };
        began + patience.saturating_sub(compiling + run + IDLE_SLACK + ANSWERING)
    }

    /// On a judge thread. The sandbox has tried three slots before it reports a failure.
    pub(super) fn run(&self, service: &Service) -> RunCodeResponse {
        let Some(sandbox) = &service.sandbox else {
            service.infra_error(MATH_ONLY);
            return RunCodeResponse::bare(RunStatus::SandboxError, MATH_ONLY.into());
        };
        self.attempt(sandbox).unwrap_or_else(|error| match error {
            // The caller's doing, such as a source over the cap: repeating would not help.
            SandboxError::Invalid(text) => RunCodeResponse::bare(RunStatus::Failed, text),
            // A compiler or interpreter this host need not have; nor would repeating bring it here.
            SandboxError::Unavailable(text) if !self.program.language.is_needed() => {
                RunCodeResponse::bare(RunStatus::Failed, text)
            }
            error => {
                service.infra_error(&error.to_string());
                RunCodeResponse::bare(RunStatus::SandboxError, error.to_string())
            }
        })
    }

    fn attempt(&self, sandbox: &Sandbox) -> Result<RunCodeResponse, SandboxError> {
        let compiled = self.program.language.is_compiled();
        let began = Instant::now();
        let (executable, compile) = match sandbox.prepare(&self.program, &self.compile)? {
            Prepared::Ready(executable) => (executable, compiled.then(|| silent_success(began.elapsed()))),
            Prepared::Refused(outcome) => {
                let (part, message) = part(outcome);
                return Ok(RunCodeResponse::of(Some(refused(part)), None, message));
            }
        };
        // The original compiles no Python, so a syntax error is the run's own, on stderr with code 1, as it is here.
        let (part, message) = part(sandbox.run(&executable, &self.stdin, &self.run)?);
        Ok(RunCodeResponse::of(compile, Some(part), message))
    }
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

/// A program that sleeps is stopped a little after one that works as long would be: idle time is measured from the
/// program's start, and starting is not the program's doing.
const IDLE_SLACK: Duration = Duration::from_millis(500);
/// What SandboxFusion's clients add to both limits before they give up.
const CLIENT_SLACK: Duration = Duration::from_secs(10);
/// Left for starting the program and sending its output.
const ANSWERING: Duration = Duration::from_secs(1);
/// When the client asks for no limit.
const DEFAULT_MEMORY: u64 = 1 << 30;

fn memory(service: &Service, mebibytes: i64) -> Result<u64, HttpError> {
    let most = service.config.max_memory;
    let asked =
        u64::try_from(mebibytes).ok().filter(|asked| *asked > 0).map(|asked| asked.saturating_mul(1 << 20));
    match asked {
        None => Ok(DEFAULT_MEMORY.min(most)),
        Some(asked) if asked <= most => Ok(asked),
        Some(_) => Err(HttpError::Invalid(format!(
            "`memory_limit_MB` is {mebibytes}; this service allows at most {}",
            most >> 20
        ))),
    }
}

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

/// Bytes as text without a copy where they are UTF-8.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

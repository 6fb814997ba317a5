//! `POST /api/v2/execute` and `GET /api/v2/runtimes` for Piston's clients.

use std::sync::Arc;
use std::time::{Duration, Instant};

use assay_sandbox::{InputFile, Language, Outcome, Program, Termination};
use assay_testsets::Checker;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::error::{Form, HttpError};
use super::program::{NotRun, Place, Plan, Ran, check, memory_limit, signal_name, text, time_limit};
use super::{Service, body_of, client_deadline, json_response, read_json, want_json};
use crate::compare::output_right;
use crate::wire::piston::{
    ExecuteRequest, ExecuteResponse, File, GraderConfig, PATIENCE, RUNTIMES, Row, Runtime, Stage, grades,
    number, selects,
};

/// `GET /api/v2/runtimes`: what this host has.
pub(super) async fn runtimes(State(service): State<Arc<Service>>) -> Response {
    let runtimes = RUNTIMES.iter().filter_map(|(language, aliases, runtime, ours)| {
        let version = service.health.version(ours)?;
        Some(Runtime { language, version: number(version).into(), aliases, runtime: *runtime })
    });
    json_response(StatusCode::OK, &runtimes.collect::<Vec<_>>())
}

/// `POST /api/v2/execute`.
pub(super) async fn execute(State(service): State<Arc<Service>>, request: Request) -> Response {
    match answer(&service, request).await {
        Ok(response) => json_response(StatusCode::OK, &response),
        // The original knows no 422: what it does not understand is 400.
        Err(HttpError::Invalid(text)) => Form::Message.refuse(&HttpError::Malformed(text)),
        Err(error) => Form::Message.refuse(&error),
    }
}

async fn answer(service: &Arc<Service>, request: Request) -> Result<ExecuteResponse, HttpError> {
    let began = Instant::now();
    want_json(request.headers())?;
    let patience = client_deadline(request.headers())?.unwrap_or(PATIENCE);
    let body = body_of(service, request).await?;
    let request: ExecuteRequest = read_json(&body)?;
    drop(body);
    let order = Order::read(service, request)?;
    let deadline = order.plan.deadline(patience, began);
    service.on_a_judge(deadline, move |service| order.run(service)).await?
}

/// A request we can run.
struct Order {
    language: String,
    version: String,
    plan: Plan,
    test: Option<Test>,
}

/// What a Codeforces package grades by.
struct Test {
    input: String,
    answer: String,
    checker: Option<String>,
}

impl Order {
    fn read(service: &Service, request: ExecuteRequest) -> Result<Order, HttpError> {
        let unknown =
            || HttpError::Invalid(format!("{}-{} runtime is unknown", request.language, request.version));
        let (name, ours) = runtime(&request.language).ok_or_else(unknown)?;
        // A service without a sandbox has no versions; what it lacks is said when it should run something.
        let version = match service.health.version(ours.name()) {
            Some(version) => number(version).to_owned(),
            None if service.sandbox.is_none() => String::new(),
            None => return Err(unknown()),
        };
        if !selects(&request.version, &version) && service.sandbox.is_some() {
            return Err(unknown());
        }
        let (plan, test) = if grades(name) {
            let (plan, test) = graded(service, &request, ours)?;
            (plan, Some(test))
        } else {
            (plain(service, &request, ours)?, None)
        };
        Ok(Order { language: name.into(), version, plan, test })
    }

    /// On a judge thread.
    fn run(self, service: &Service) -> Result<ExecuteResponse, HttpError> {
        let (run, compile) = match self.plan.run(service) {
            Ok(Ran::Refused(outcome)) => {
                let mut stage = stage(outcome);
                stage.code = stage.code.map(|code| if code == 0 { 1 } else { code });
                (stage.clone(), Some(stage))
            }
            Ok(Ran::Ended { compiling, outcome, .. }) => {
                let compile = compiling.map(made);
                match &self.test {
                    None => (stage(outcome), compile),
                    Some(test) => {
                        (test.grade(service, outcome)?, Some(compile.unwrap_or_else(|| made(Duration::ZERO))))
                    }
                }
            }
            Err(NotRun::Unsupported(why)) => return Err(HttpError::Invalid(why)),
            Err(NotRun::Infra(why)) => return Err(HttpError::Internal(why)),
        };
        Ok(ExecuteResponse { language: self.language, version: self.version, run, compile })
    }
}

/// The original's name of a language and ours.
fn runtime(name: &str) -> Option<(&'static str, Language)> {
    let known = |row: &&Row| row.0 == name || row.1.contains(&name);
    RUNTIMES.iter().find(known).and_then(|row| Some((row.0, Language::from_name(row.3)?)))
}

fn plain(service: &Service, request: &ExecuteRequest, language: Language) -> Result<Plan, HttpError> {
    let [file, beside @ ..] = request.files.as_slice() else {
        return Err(HttpError::Invalid("files must have an entry, the program: none came".into()));
    };
    let seconds = |field: &str, wall: Option<f64>, cpu: Option<f64>, standard: f64| {
        let wall = wall.unwrap_or(standard);
        time_limit(service, field, wall.min(cpu.unwrap_or(wall)) / 1000.0)
    };
    let compile = seconds("compile_timeout", request.compile_timeout, request.compile_cpu_time, 10_000.0)?;
    let run = seconds("run_timeout", request.run_timeout, request.run_cpu_time, 3_000.0)?;
    let memory = memory_limit(service, "run_memory_limit", request.run_memory_limit.unwrap_or(-1), 1)?;
    let source = file.bytes().map_err(HttpError::Invalid)?;
    let program = Program { args: request.args.clone(), ..Program::new(language, source) };
    let stdin = request.stdin.clone().unwrap_or_default().into_bytes();
    let place = (!beside.is_empty()).then(|| placed(beside)).transpose()?;
    Ok(Plan { stdin, place, ..Plan::new(program, compile, run, memory) })
}

/// The files beside the program, under the original's names where they have none.
fn placed(files: &[File]) -> Result<Place, HttpError> {
    let named = |(file, number): (&File, usize)| -> Result<_, HttpError> {
        let name = file.name.clone().unwrap_or_else(|| format!("file{number}.code"));
        Ok((name, file.bytes().map_err(HttpError::Invalid)?))
    };
    let files = files.iter().zip(1..).map(named).collect::<Result<_, _>>()?;
    Ok(Place { files, fetch: Vec::new() })
}

fn graded(
    service: &Service,
    request: &ExecuteRequest,
    language: Language,
) -> Result<(Plan, Test), HttpError> {
    let named = |what: &str, fits: &dyn Fn(&str) -> bool| -> Result<&File, HttpError> {
        let found = request.files.iter().find(|file| file.name.as_deref().is_some_and(fits));
        found.ok_or_else(|| HttpError::Invalid(format!("files has no {what}")))
    };
    let read = |name: &str| named(name, &|found| found == name)?.text().map_err(HttpError::Invalid);
    let config = GraderConfig::read(&read("grader_config")?).map_err(HttpError::Invalid)?;
    let run = time_limit(service, "TIME_LIMIT", config.time_limit)?;
    let memory = memory_limit(service, "MEMORY_LIMIT", config.memory_limit, 1 << 20)?;
    let compile = request.compile_timeout.unwrap_or(10_000.0) / 1000.0;
    let compile = time_limit(service, "compile_timeout", compile)?;
    let source = named("main", &|name| name.starts_with("main."))?.bytes().map_err(HttpError::Invalid)?;
    let test = Test {
        input: read("input.txt")?,
        answer: read("correct_output.txt")?,
        checker: named("checker", &|name| name == "checker.py")
            .ok()
            .map(File::text)
            .transpose()
            .map_err(HttpError::Invalid)?,
    };
    let plan = Plan::new(Program::new(language, source), compile, run, memory);
    Ok((Plan { stdin: test.input.clone().into_bytes(), ..plan }, test))
}

impl Test {
    /// `1` or `0`, as the original's script prints it; what the program printed is not shown.
    fn grade(&self, service: &Service, outcome: Outcome) -> Result<Stage, HttpError> {
        let right = outcome.termination == Termination::Exited(0) && self.right(service, &outcome.stdout)?;
        let ended = stage(outcome);
        let stdout = if right { "1\n" } else { "0\n" }.to_owned();
        Ok(Stage {
            output: stdout.clone(),
            stdout,
            stderr: ended.stderr,
            code: Some(0),
            signal: None,
            status: None,
            ..ended
        })
    }

    fn right(&self, service: &Service, output: &[u8]) -> Result<bool, HttpError> {
        let Some(checker) = &self.checker else {
            return Ok(output_right(&Checker::Tokens, &self.answer, output));
        };
        let files = [
            InputFile { name: "input.txt", bytes: self.input.as_bytes() },
            InputFile { name: "correct_output.txt", bytes: self.answer.as_bytes() },
            InputFile { name: "output.txt", bytes: output },
        ];
        let args = ["input.txt", "correct_output.txt", "output.txt"];
        match check(service, Program::new(Language::Python3, checker.as_bytes()), &args, &files) {
            // It prints a score; only the whole one is right.
            Ok(Ok(ruling)) => {
                let score = String::from_utf8_lossy(&ruling.stdout).trim().parse::<f64>();
                Ok(ruling.termination == Termination::Exited(0) && score == Ok(1.0))
            }
            Ok(Err(refused)) => Err(HttpError::Invalid(format!("checker.py cannot be run: {refused}"))),
            Err(NotRun::Unsupported(why)) => Err(HttpError::Invalid(why)),
            Err(NotRun::Infra(why)) => Err(HttpError::Internal(why)),
        }
    }
}

/// A compiler that had nothing to say.
fn made(took: Duration) -> Stage {
    let wall_time = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    Stage { code: Some(0), wall_time, ..Stage::default() }
}

fn stage(outcome: Outcome) -> Stage {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let kill = || Some("SIGKILL".to_owned());
    let (code, signal, status, message) = match outcome.termination {
        Termination::Exited(0) => (Some(0), None, None, None),
        Termination::Exited(code) => {
            (Some(code), None, Some("RE"), Some(format!("Exited with error status {code}")))
        }
        Termination::Signaled(number) => {
            let message = format!("Caught fatal signal {number}");
            (None, Some(signal_name(number)), Some("SG"), Some(message))
        }
        Termination::CpuTimeLimit | Termination::WallTimeLimit => {
            (None, kill(), Some("TO"), Some("Time limit exceeded".to_owned()))
        }
        Termination::OutputLimit => (None, kill(), Some("OL"), Some("output length exceeded".to_owned())),
        Termination::MemoryLimit => (None, kill(), Some("SG"), Some("Memory limit exceeded".to_owned())),
        Termination::ProcessLimit => (None, kill(), Some("SG"), Some("Process limit exceeded".to_owned())),
        Termination::ForbiddenSyscall => {
            (None, Some("SIGSYS".to_owned()), Some("SG"), Some("Forbidden system call".to_owned()))
        }
        Termination::BrokeSlots => (None, kill(), Some("SG"), Some("Broke three fresh slots".to_owned())),
    };
    let (stdout, stderr) = (text(outcome.stdout), text(outcome.stderr));
    Stage {
        output: format!("{stdout}{stderr}"),
        stdout,
        stderr,
        code,
        signal,
        message,
        status,
        cpu_time: millis(outcome.usage.cpu_time),
        wall_time: millis(outcome.usage.wall_time),
        memory: outcome.usage.peak_memory,
    }
}

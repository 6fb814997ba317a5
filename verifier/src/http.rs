//! The service: HTTP in, rewards out.
//!
//! A request's way: connection -> `observe` (request id, token, panic net, log line, metrics) -> a handler
//! (reads the body, reads it as `wire` types, asks for a place in the queue) -> `queue` -> a judge thread
//! (blocking; the judge knows nothing of HTTP) -> `wire` -> answer. Async code lives in this module and
//! nowhere else, and it never blocks: whatever takes time runs on a judge thread, of which there are as
//! many as sandbox slots.
//!
//! Load is shed at one place, the queue. The native API answers 503 with Retry-After when it is full; the
//! drop-in routes wait within their clients' own deadlines and then answer 504, because the best-known of those
//! clients turns every other error into a reward of 0.
//!
//! SIGHUP reads the configuration again (`reload`): tokens, certificates and limits change, connections stay.
//!
//! Shutting down: the first SIGTERM or SIGINT makes `/readyz` say 503 and closes the listener; requests
//! already sent are finished, for at most the grace period. A second signal ends the process at once.

mod areal;
mod batch;
mod body;
mod cache;
pub mod client;
mod each_test;
mod error;
mod grade;
mod health;
mod judge0;
mod listen;
mod live;
mod log;
mod metrics;
mod nemo_gym;
mod nemo_skills;
mod open_instruct;
mod openapi;
mod page;
mod piston;
mod problems;
mod program;
mod queue;
mod reload;
mod reward;
mod router;
mod run_code;
mod signals;
mod store;
mod submit;
mod tls;
mod trace;

use std::borrow::Cow;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use assay_sandbox::Sandbox;
use assay_testsets::{Problem, Task};
use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;

use crate::judge::{Judge, JudgeError, JudgeOptions, Judged, Submission};
use crate::kept::Kept;
use crate::wire::OutcomeName;
use body::{Room, Rooms, body_of};
use error::{Form, HttpError};
use health::Health;
use log::Log;
use metrics::{Gauges, Metrics};
use queue::Queue;
use signals::{Signals, Wish};

pub use listen::serve_connections;
pub use log::{LogFormat, LogLevel};
pub use page::Page;
pub use tls::{Tls, TlsFiles};

/// For [`SandboxConfig::idleness`](assay_sandbox::SandboxConfig): a program that sleeps takes no other one's place.
pub fn note_idle(idle: bool) {
    queue::note_idle(idle);
}

/// For [`SandboxConfig`](assay_sandbox::SandboxConfig), too: a program whose client has hung up is ended.
pub fn unwanted() -> bool {
    queue::unwanted()
}

/// How a service runs. Every figure has its default in [`Config::default`].
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Who may ask; empty means everyone who can reach the address.
    pub tokens: Vec<Token>,
    /// With what connections are encrypted; absent, they are not.
    pub tls: Option<Tls>,
    /// Items worked on at once, each on a thread of its own and in a sandbox slot of its own.
    pub slots: usize,
    /// Items beyond those whose programs only sleep, as [`note_idle`] is told.
    pub sleepers: usize,
    /// Items that may wait beyond those.
    pub queue: usize,
    /// Longest wait in the queue; a client may ask for less with `X-Deadline-Ms`.
    pub queue_deadline: Duration,
    /// Longest request body, in bytes, unpacked.
    pub max_body: usize,
    /// Most bytes of all requests' bodies together, from before they are read until they are answered.
    pub max_bodies: usize,
    /// How long a request's head may take, and how long a connection is kept open between requests.
    pub head_timeout: Duration,
    /// How long a request's body may take.
    pub body_timeout: Duration,
    /// Where stored problems are kept over a restart; absent, they live as long as the process.
    pub problems: Option<PathBuf>,
    /// Most bytes of all stored problems.
    pub problems_size: u64,
    /// Results kept in memory, so that the same item is judged once; 0 keeps none.
    pub cache: usize,
    /// Where results are kept as files, too, for a restart and for other services; absent, they are in memory alone.
    pub cache_dir: Option<PathBuf>,
    /// Most CPU or idle time a request may ask for per test.
    pub max_time: Duration,
    /// Most memory a request may ask for per test, in bytes.
    pub max_memory: u64,
    /// Most output a request may ask for per test and stream, in bytes; it is held in memory here.
    pub max_output: u64,
    /// How long a shutdown waits for work.
    pub grace: Duration,
    /// How log lines look.
    pub log: LogFormat,
    /// Which log lines are written.
    pub log_level: LogLevel,
    /// The collector that traces are sent to, as in `OTEL_EXPORTER_OTLP_ENDPOINT`; absent, none are made.
    pub otlp: Option<String>,
    /// Accept tests that run in the program's own process, where a route's form has such tests: what they say can be
    /// forged.
    pub in_process: bool,
    /// Stop, as if by a signal, when standard input closes: for a parent that must not leave a server behind.
    pub until_stdin_closes: bool,
}

impl Default for Config {
    fn default() -> Config {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            tokens: Vec::new(),
            tls: None,
            slots: cores,
            sleepers: 20,
            queue: 1024,
            queue_deadline: Duration::from_secs(600),
            max_body: 64 << 20,
            max_bodies: 1 << 30,
            head_timeout: Duration::from_secs(120),
            body_timeout: Duration::from_secs(60),
            problems: None,
            problems_size: 4 << 30,
            cache: 0,
            cache_dir: None,
            max_time: Duration::from_secs(300),
            max_memory: 8 << 30,
            max_output: 256 << 20,
            grace: Duration::from_secs(30),
            log: LogFormat::Json,
            log_level: LogLevel::Info,
            otlp: None,
            in_process: false,
            until_stdin_closes: false,
        }
    }
}

/// A bearer token, kept only as its SHA-256: comparing digests takes the same time wherever they differ, and
/// nothing that prints a configuration can print a token.
#[derive(Debug, Clone, Copy)]
pub struct Token([u8; 32]);

impl Token {
    /// The tokens of a file's text: one a line; empty lines and lines starting with `#` are passed over.
    /// The error says which line is wrong and never quotes it.
    pub fn read_all(text: &str) -> Result<Vec<Token>, String> {
        let mut tokens = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if !line.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(format!(
                    "line {}: a token is one word of printable ASCII; remove what else is there",
                    index + 1
                ));
            }
            tokens.push(Token::new(line));
        }
        if tokens.is_empty() {
            return Err("there is no token in it; write one a line".into());
        }
        Ok(tokens)
    }

    fn new(text: &str) -> Token {
        Token(Sha256::digest(text.as_bytes()).into())
    }

    /// Looks at every byte whatever the first ones say.
    fn same(&self, other: &Token) -> bool {
        self.0.iter().zip(&other.0).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
    }
}

/// Why there is no service.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The caller must choose differently: an address in use, an address open to others without a token.
    #[error("{0}")]
    Usage(String),
    /// We or the machine failed.
    #[error("{0}")]
    Failed(String),
}

/// How the service ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Everything that was asked was answered.
    Drained,
    /// The grace period ended first; this many items were lost.
    GraceOver(usize),
    /// A second signal.
    Interrupted,
    /// This signal came before the service was ready: nothing was served.
    Early(i32),
}

/// Runs the service until a signal ends it. `sandbox` absent means math only, and code items are answered
/// `infra_error`. `read_again` gives the configuration of now, on SIGHUP. `ready` is called once, with the bound address,
/// after the self-test has passed.
pub fn serve(
    config: &Config,
    sandbox: Option<Sandbox>,
    read_again: impl Fn() -> Result<Config, String>,
    ready: impl FnOnce(SocketAddr) -> io::Result<()>,
) -> Result<Ended, ServeError> {
    refuse_open_address(config).map_err(ServeError::Usage)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| ServeError::Failed(format!("cannot start the HTTP threads: {error}")))?;
    let ended = runtime.block_on(serve_in_runtime(config, sandbox, read_again, ready));
    // Judge threads may be inside a run; they hold nothing that must be put back.
    runtime.shutdown_background();
    ended
}

/// What every handler can reach.
struct Service {
    /// Of now: SIGHUP changes it.
    config: RwLock<Arc<Config>>,
    judge: Judge,
    sandbox: Option<Sandbox>,
    queue: Queue,
    rooms: Rooms,
    metrics: Metrics,
    health: Health,
    log: Log,
    draining: AtomicBool,
    /// Whether the configuration could be read when it was last asked for.
    reloaded: AtomicBool,
    ids: RequestIds,
    judge0: judge0::Kept,
    store: store::Store,
    cache: cache::Cache,
    live: live::Live,
    tracing: trace::Tracing,
}

async fn serve_in_runtime(
    config: &Config,
    sandbox: Option<Sandbox>,
    read_again: impl Fn() -> Result<Config, String>,
    ready: impl FnOnce(SocketAddr) -> io::Result<()>,
) -> Result<Ended, ServeError> {
    let mut signals = Signals::listen(config.until_stdin_closes)
        .map_err(|error| ServeError::Failed(format!("cannot listen for signals: {error}")))?;
    let listener = bind(config.listen).await?;
    let address = listener
        .local_addr()
        .map_err(|error| ServeError::Failed(format!("cannot read the bound address: {error}")))?;
    let service = Arc::new(Service::new(config.clone(), sandbox)?);
    let tested = tokio::select! {
        tested = service.self_test() => tested,
        signal = signals.early() => return Ok(Ended::Early(signal)),
    };
    tested.map_err(|reason| {
        ServeError::Failed(format!("the self-test failed: {reason}; `assay doctor` shows what is missing"))
    })?;
    log_panics(service.log);
    service.log.event(LogLevel::Info, "ready", &[("address", address.to_string().into())]);
    ready(address).map_err(|error| ServeError::Failed(format!("cannot print the address: {error}")))?;

    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let stopped = async {
        let _ = stopped.await;
    };
    // The certificate of now: it may have been read again.
    let (head_timeout, asked) = (service.config().head_timeout, service.clone());
    let tls = move || asked.config().tls.clone();
    let server =
        tokio::spawn(serve_connections(listener, router(service.clone()), head_timeout, tls, stopped));
    tokio::spawn(live::sample(service.clone()));
    while signals.next().await == Wish::ReadAgain {
        service.reload(read_again());
    }
    service.live.close();
    service.draining.store(true, Ordering::SeqCst);
    let left = service.queue.depth() + service.queue.running();
    service.log.event(LogLevel::Info, "draining", &[("items", left.into())]);
    let _ = stop.send(());
    let ended = tokio::select! {
        _ = server => Ended::Drained,
        () = tokio::time::sleep(service.config().grace) => match service.queue.depth() + service.queue.running() {
            0 => Ended::Drained,
            lost => Ended::GraceOver(lost),
        },
        () = signals.stop() => Ended::Interrupted,
    };
    let last = service.clone();
    let _ = tokio::task::spawn_blocking(move || last.tracing.stop()).await;
    service.log.event(LogLevel::Info, "stopped", &[("how", format!("{ended:?}").into())]);
    Ok(ended)
}

/// Anyone who reaches the port can spend this machine's time, so an address that others reach needs a token, or clients with
/// certificates. The error says so.
pub fn refuse_open_address(config: &Config) -> Result<(), String> {
    let asks_clients = config.tls.as_ref().is_some_and(|tls| tls.asks_clients);
    if config.listen.ip().is_loopback() || !config.tokens.is_empty() || asks_clients {
        return Ok(());
    }
    let port = config.listen.port();
    Err(format!(
        "refusing to listen on {} without a token: anyone who reaches it could run code here; give --token-file FILE or \
         --tls-client-ca FILE, or listen on 127.0.0.1:{port}",
        config.listen
    ))
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|error| {
        let advice = match error.kind() {
            io::ErrorKind::AddrInUse => {
                "another process listens there; choose another port, or port 0 for a free one"
            }
            io::ErrorKind::AddrNotAvailable => "this machine does not have that address",
            io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege; choose a higher one",
            _ => return ServeError::Failed(format!("cannot listen on {address}: {error}")),
        };
        ServeError::Usage(format!("cannot listen on {address}: {advice}"))
    })
}

/// The routes, also the label values of the metrics, each with the form of its errors.
const ROUTES: [(&str, Form); 38] = [
    ("/v1/grade", Form::Native),
    ("/v1/grade/batch", Form::Native),
    ("/v1/problems", Form::Native),
    ("/v1/problems/{id}", Form::Native),
    ("/v1/version", Form::Native),
    ("/v1/ping", Form::Native),
    ("/run_code", Form::Detail),
    ("/submit", Form::Detail),
    ("/list_datasets", Form::Detail),
    ("/common_evaluate", Form::Detail),
    ("/common_evaluate_batch", Form::Detail),
    ("/get_reward", Form::Detail),
    ("/rm", Form::Detail),
    ("/test_program", Form::Detail),
    ("/test_program_stdio", Form::Detail),
    ("/health", Form::Detail),
    ("/verify", Form::Detail),
    ("/seed_session", Form::Detail),
    ("/aggregate_metrics", Form::Detail),
    ("/execute", Form::Error),
    ("/execute_batch", Form::Detail),
    ("/apis/functioncalls", Form::Message),
    ("/api/v2/execute", Form::Message),
    ("/api/v2/runtimes", Form::Message),
    ("/submissions", Form::Error),
    ("/submissions/batch", Form::Error),
    ("/submissions/{token}", Form::Error),
    ("/languages", Form::Error),
    ("/statuses", Form::Error),
    ("/about", Form::Error),
    ("/config_info", Form::Error),
    ("/healthz", Form::Native),
    ("/readyz", Form::Native),
    ("/metrics", Form::Native),
    ("/live", Form::Page),
    ("/live/events", Form::Page),
    ("/docs", Form::Page),
    ("/openapi.json", Form::Page),
];

fn router(service: Arc<Service>) -> Router {
    Router::new()
        .route("/v1/grade", post(grade::one))
        .route("/v1/grade/batch", post(batch::batch))
        .route("/v1/problems", post(problems::store).get(problems::list))
        .route("/v1/problems/{id}", delete(problems::remove))
        .route("/v1/version", get(health::version))
        .route("/v1/ping", get(async || axum::Json("pong")))
        .route("/run_code", post(run_code::run_code))
        .route("/submit", post(submit::submit))
        .route("/list_datasets", get(submit::list_datasets))
        .route("/common_evaluate", post(submit::common_evaluate))
        .route("/common_evaluate_batch", post(submit::common_evaluate))
        .route("/get_reward", post(reward::get_reward))
        .route("/rm", post(reward::rm))
        .route("/test_program", post(open_instruct::assertions))
        .route("/test_program_stdio", post(open_instruct::stdio))
        .route("/health", get(open_instruct::health))
        .route("/verify", post(nemo_gym::verify))
        .route("/seed_session", post(nemo_gym::seed_session))
        .route("/aggregate_metrics", post(nemo_gym::aggregate_metrics))
        .route("/execute", post(nemo_skills::execute))
        .route("/execute_batch", post(router::execute_batch))
        .route("/apis/functioncalls", post(areal::function_calls))
        .route("/submissions", post(judge0::create))
        .route("/submissions/batch", post(judge0::create_batch).get(judge0::show_batch))
        .route("/submissions/{token}", get(judge0::show))
        .route("/languages", get(judge0::languages))
        .route("/statuses", get(judge0::statuses))
        .route("/about", get(judge0::about))
        .route("/config_info", get(judge0::config))
        .route("/api/v2/execute", post(piston::execute))
        .route("/api/v2/runtimes", get(piston::runtimes))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .route("/live", get(page::live))
        .route("/live/events", get(live::events))
        .route("/docs", get(page::docs))
        .route("/openapi.json", get(openapi::openapi))
        .fallback(async |request: Request| HttpError::NotFound(request.uri().path().to_owned()))
        .method_not_allowed_fallback(async |request: Request| {
            HttpError::MethodNotAllowed(request.method().clone())
        })
        .layer(middleware::from_fn_with_state(service.clone(), observe))
        .with_state(service)
}

/// Stands in a request that came with a certificate of a client's, which the handshake verified.
#[derive(Debug, Clone, Copy)]
struct KnownClient;

/// Around every request: its id, the token, the net under panics, one log line, the counters.
async fn observe(State(service): State<Arc<Service>>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let room = Room::default();
    request.extensions_mut().insert(room.clone());
    let id = service.ids.of(request.headers());
    let method = request.method().clone();
    let traced = request.headers().get(TRACE).and_then(|value| value.to_str().ok());
    let traced = traced.and_then(log::trace_id).map(str::to_owned);
    let matched = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let known = ROUTES.into_iter().find(|(route, _)| *route == matched);
    let (route, form) = known.unwrap_or(("other", Form::Native));
    let span = service.tracing.request(request.headers(), &method, route);
    let trace = span.trace_id().or(traced);
    let open = matches!(route, "/healthz" | "/readyz");
    let works = method == Method::POST;
    let refused = if open { None } else { service.refuses(&request, form) };
    let mut response = match refused {
        None => span.around(CatchPanic(Box::pin(next.run(request)))).await,
        Some(error) => form.refuse(&error),
    };
    response.headers_mut().insert(REQUEST_ID, id.clone());
    drop(room);
    let (status, took) = (response.status(), began.elapsed());
    service.metrics.request(route, status.as_u16(), took);
    span.end(status);
    if works {
        service.live.answered(took);
    }
    service.log.event(
        if status.is_server_error() { LogLevel::Error } else { LogLevel::Info },
        "request",
        &[
            ("request_id", id.to_str().unwrap_or_default().into()),
            ("method", method.as_str().into()),
            ("route", route.into()),
            ("status", status.as_u16().into()),
            ("seconds", took.as_secs_f64().into()),
            ("trace_id", trace.into()),
        ],
    );
    response
}

impl Service {
    fn new(config: Config, sandbox: Option<Sandbox>) -> Result<Service, ServeError> {
        let queue = Queue::start(config.slots, config.sleepers, config.queue)
            .map_err(|error| ServeError::Failed(format!("cannot start the judge threads: {error}")))?;
        let store =
            store::Store::open(config.problems.as_deref(), config.problems_size).map_err(|error| {
                let directory = config.problems.clone().unwrap_or_default();
                ServeError::Usage(format!("cannot keep problems in {}: {error}", directory.display()))
            })?;
        let health = Health::new(sandbox.as_ref());
        let kept = config.cache_dir.as_deref().map(|directory| {
            Kept::open(directory, &health.conditions()).map_err(|error| {
                ServeError::Usage(format!("cannot keep results in {}: {error}", directory.display()))
            })
        });
        Ok(Service {
            judge: Judge::new(sandbox.clone()),
            health,
            sandbox,
            queue,
            rooms: Rooms::new(config.max_bodies),
            metrics: Metrics::default(),
            log: Log::new(config.log, config.log_level),
            draining: AtomicBool::new(false),
            reloaded: AtomicBool::new(true),
            ids: RequestIds::new(),
            judge0: judge0::Kept::default(),
            store,
            cache: cache::Cache::new(config.cache, kept.transpose()?),
            live: live::Live::default(),
            tracing: trace::Tracing::start(config.otlp.as_deref()).map_err(ServeError::Usage)?,
            config: RwLock::new(Arc::new(config)),
        })
    }

    /// The configuration of now.
    fn config(&self) -> Arc<Config> {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why a request is not let in, if it is not.
    fn refuses(&self, request: &Request, form: Form) -> Option<HttpError> {
        let config = self.config();
        let known = request.extensions().get::<KnownClient>().is_some();
        if config.tls.as_ref().is_some_and(|tls| tls.asks_clients) && !known {
            return Some(HttpError::NoCertificate);
        }
        (!admits(&config.tokens, request.headers(), form)).then_some(HttpError::Unauthorized)
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// A failure of ours, counted and logged; its reason goes to the caller too.
    fn infra_error(&self, reason: &str) {
        self.metrics.infra_error();
        self.health.doubt();
        self.log.event(LogLevel::Error, "infra_error", &[("reason", reason.into())]);
    }

    /// On a judge thread: what the judge says, counted.
    fn judge(
        &self,
        problem: &Problem,
        submission: &Submission,
        options: &JudgeOptions<'_>,
    ) -> Result<Judged, JudgeError> {
        let judged = match (&problem.task, &self.sandbox) {
            (Task::Code(_), None) => Err(JudgeError::Infra(MATH_ONLY.into())),
            _ => self.judge.judge(problem, submission, options),
        };
        let (outcome, verdict) = match &judged {
            Ok(Judged::Graded(judgement)) => (OutcomeName::Graded, judgement.verdict.name()),
            Ok(Judged::Unsupported { .. }) => (OutcomeName::Unsupported, ""),
            Err(JudgeError::Caller(_)) => return judged,
            Err(JudgeError::Infra(reason)) => {
                self.infra_error(reason);
                (OutcomeName::InfraError, "")
            }
        };
        // The program of a client that hung up was ended for that: its verdict is none.
        if !queue::unwanted() {
            self.metrics.grade(kind(&problem.task), outcome.name(), verdict);
        }
        judged
    }

    /// One item's wait in line.
    fn waited(&self, waited: Duration) {
        self.metrics.queue_wait(waited);
        self.live.waited(waited);
    }

    fn gauges(&self) -> Gauges {
        Gauges {
            queue_depth: self.queue.depth(),
            in_flight: self.queue.running(),
            left: self.queue.left(),
            reloaded: self.reloaded.load(Ordering::Relaxed),
            cache: self.cache.counts(),
            ready: !self.is_draining() && self.health.last_passed(),
            tier: self.health.tier(),
        }
    }

    /// Runs `work` on a judge thread as soon as one is free.
    async fn on_a_judge<T: Send + 'static>(
        self: &Arc<Self>,
        deadline: Instant,
        work: impl FnOnce(&Service) -> T + Send + 'static,
    ) -> Result<T, HttpError> {
        let not_done = |not_done| grade::failed(self, not_done);
        let ticket = self.queue.admit(deadline).await.map_err(not_done)?;
        let worker = self.clone();
        let timed = move || {
            let began = Instant::now();
            (work(&worker), began.elapsed())
        };
        let ((result, run), waited) = self.queue.run(ticket, deadline, timed).await.map_err(not_done)?;
        self.waited(waited);
        self.tracing.judged(&trace::Judged { queue: waited, run, ..trace::Judged::default() });
        Ok(result)
    }

    /// The moment a request's wait in the queue ends: the service's own, or the client's if that is sooner.
    fn queue_deadline(&self, headers: &HeaderMap) -> Result<Instant, HttpError> {
        let wait = self.config().queue_deadline;
        Ok(Instant::now() + client_deadline(headers)?.map_or(wait, |asked| asked.min(wait)))
    }
}

/// Why a code item has no verdict where there is no sandbox.
const MATH_ONLY: &str = "this service was started with --math-only: it has no sandbox to run code in";

/// `code` or `math`, for counters.
fn kind(task: &Task) -> &'static str {
    match task {
        Task::Code(_) => "code",
        Task::Math(_) => "math",
    }
}

/// Whether a request brings one of the tokens.
fn admits(tokens: &[Token], headers: &HeaderMap, form: Form) -> bool {
    if tokens.is_empty() {
        return true;
    }
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let authorization = text(header::AUTHORIZATION).and_then(|value| {
        let (scheme, rest) = value.split_once(' ')?;
        match scheme.to_ascii_lowercase().as_str() {
            "bearer" => Some(Cow::Borrowed(rest)),
            "basic" if form == Form::Page => page::password(rest).map(Cow::Owned),
            _ => None,
        }
    });
    // Judge0's clients know this header alone.
    let given = authorization.or_else(|| text(AUTH_TOKEN).map(Cow::Borrowed));
    let Some(given) = given.map(|token| Token::new(token.trim())) else { return false };
    // No early exit: how long this takes must not depend on which token fits.
    tokens.iter().fold(false, |found, token| found | token.same(&given))
}

/// The header by which a client says how long it will wait for the whole answer.
const DEADLINE: HeaderName = HeaderName::from_static("x-deadline-ms");
const TRACE: HeaderName = HeaderName::from_static("traceparent");
const AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

fn client_deadline(headers: &HeaderMap) -> Result<Option<Duration>, HttpError> {
    let Some(value) = headers.get(DEADLINE) else { return Ok(None) };
    let millis = value.to_str().ok().and_then(|text| text.trim().parse::<u64>().ok());
    match millis {
        Some(millis) => Ok(Some(Duration::from_millis(millis))),
        None => Err(HttpError::Invalid(format!(
            "the header X-Deadline-Ms must be whole milliseconds, not {value:?}"
        ))),
    }
}

/// Refuses a body that says it is something else; one that says nothing is taken as JSON.
fn want_json(headers: &HeaderMap) -> Result<(), HttpError> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let kind =
        value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if kind == "application/json" || kind.ends_with("+json") {
        return Ok(());
    }
    Err(HttpError::NotJson(format!("expected Content-Type: application/json, got {value:?}")))
}

/// JSON as one of our types: 400 when it is not JSON, 422 when it is, but not that. Long bodies are read
/// off the async threads' duty.
fn read_json<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, HttpError> {
    let read = || {
        serde_json::from_slice(bytes).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => HttpError::Invalid(error.to_string()),
            _ => HttpError::Malformed(error.to_string()),
        })
    };
    if bytes.len() > 1 << 16 { tokio::task::block_in_place(read) } else { read() }
}

fn json_response(status: StatusCode, body: &impl serde::Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => (status, [(header::CONTENT_TYPE, "application/json")], bytes).into_response(),
        Err(error) => HttpError::Internal(format!("cannot write the answer: {error}")).into_response(),
    }
}

/// Ids for requests that bring none: a random start, so that restarts don't repeat, and a count.
struct RequestIds {
    start: u64,
    count: AtomicU64,
}

impl RequestIds {
    fn new() -> RequestIds {
        use std::hash::{BuildHasher, RandomState};
        RequestIds { start: RandomState::new().hash_one(SystemTime::now()), count: AtomicU64::new(0) }
    }

    fn of(&self, headers: &HeaderMap) -> HeaderValue {
        let given = headers.get(REQUEST_ID).filter(|value| {
            value.len() <= 128 && !value.is_empty() && value.as_bytes().iter().all(u8::is_ascii_graphic)
        });
        given.cloned().unwrap_or_else(|| {
            let id = format!("{:016x}-{:x}", self.start, self.count.fetch_add(1, Ordering::Relaxed));
            HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("none"))
        })
    }
}

/// A handler that panics is answered 500, and only that request notices.
struct CatchPanic<F>(Pin<Box<F>>);

impl<F: Future<Output = Response>> Future for CatchPanic<F> {
    type Output = Response;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Response> {
        catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(context))).unwrap_or_else(|_panic| {
            Poll::Ready(HttpError::Internal("the handler panicked; the log has more".into()).into_response())
        })
    }
}

/// Panics go to the log as one line instead of several on standard error.
fn log_panics(log: Log) {
    std::panic::set_hook(Box::new(move |info| {
        let what = info.payload_as_str().unwrap_or("a panic without text");
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        log.event(LogLevel::Error, "panic", &[("what", what.into()), ("where", place.into())]);
    }));
}

//! A checkpoint behind OpenAI's HTTP API: `/v1/completions`, `/v1/chat/completions`, `/v1/models`.
//!
//! # Theory of operation
//! One thread computes (`engine`): it owns the scheduler, to which the requests of all clients belong, so they share its
//! batches, its pages and, within a request, the prompt. HTTP is an async runtime on another thread: a handler reads and
//! checks a request (`request`), turns text to tokens, hands them over, and writes what comes back (`answer`), whole or as
//! server-sent events. What a handler hears stops being listened to when its client hangs up, and that is how the engine
//! knows: the request's rollouts are dropped before the next token.
//!
//! The first SIGTERM or SIGINT closes the listener and refuses new requests with 503; what was asked is finished, for at
//! most the grace period. A second signal ends the process.

mod answer;
mod engine;
mod request;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use assay_verifier::http::serve_connections;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_core::Stream;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;

use self::answer::{DONE, Form, Kind, Refusal, Usage, json_response};
use self::engine::{Engine, Reply, Unable};
use self::request::{Asked, Prompt, Request};
use crate::adapter;
use crate::chat::Choice;
use crate::error::Result;
use crate::interrupt::interrupted;
use crate::policy::{self, Policy, Writer};
use crate::rollout::FinishReason;
use crate::sampler::scheduler::Drawn;
use crate::sampler::{self, Cache};
use crate::tokenizer::Tokenizer;

/// Longest body of a request, in bytes.
const LONGEST_BODY: usize = 16 << 20;
/// How long a request's head may take, and how long a connection is kept open between requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// How often signals are looked for.
const LOOK: Duration = Duration::from_millis(50);

/// How a checkpoint is served.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What the model is called in requests and answers.
    pub name: String,
    /// Who may ask; empty means everyone who can reach the address.
    pub tokens: Vec<String>,
    /// Which template conversations go through.
    pub chat_template: Choice,
    /// Memory of keys and values.
    pub cache: Cache,
    /// Greatest number of rollouts that advance together.
    pub max_batch: usize,
    /// The same bits whoever shares the batch.
    pub batch_invariant: bool,
    /// Greatest number of rollouts that run or wait; beyond it the answer is 503.
    pub queue: usize,
    /// How long a shutdown waits for what was asked.
    pub grace: Duration,
}

struct Service {
    weights: Arc<Writer>,
    engine: Engine,
    name: String,
    tokens: Vec<[u8; 32]>,
    draining: AtomicBool,
    entropy: RandomState,
}

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Everything asked was answered.
    Drained,
    /// The grace period was over, and so many rollouts were not.
    Cut(usize),
    /// The thread that computes ended by itself: our failure.
    Broken,
}

/// Serves the checkpoint of a directory, or a `.gguf` file, until a signal; `ready` is told where.
///
/// # Errors
/// The checkpoint, or the adapter on it, cannot be loaded.
pub fn serve(
    model: &Path,
    adapter: Option<&Path>,
    config: &Config,
    ready: impl FnOnce(SocketAddr),
) -> Result<io::Result<Ended>> {
    let (model, base) = adapter::open(Some(model), adapter)?;
    let tokenizer = Tokenizer::load(&base)?;
    let (template, end_of_text) = policy::conventions(&base, &model, &tokenizer, &config.chat_template)?;
    let weights = Writer { model, tokenizer, template, system_prompt: None, end_of_text };
    Ok(run(weights, config, ready, &interrupted))
}

/// Serves the policy of a run, with the template and the system prompt it is trained with, until `ended`.
///
/// # Errors
/// The address cannot be listened on.
pub fn serve_policy(
    policy: Policy,
    config: &Config,
    ready: impl FnOnce(SocketAddr),
    ended: &dyn Fn() -> bool,
) -> io::Result<Ended> {
    run(policy.into_writer(), config, ready, ended)
}

fn run(
    weights: Writer,
    config: &Config,
    ready: impl FnOnce(SocketAddr),
    ended: &dyn Fn() -> bool,
) -> io::Result<Ended> {
    let weights = Arc::new(weights);
    let Config { cache, max_batch, batch_invariant, queue, .. } = *config;
    let settings = engine::Settings { cache, max_batch, batch_invariant, queue };
    let (engine, thread) = Engine::start(weights.clone(), settings)?;
    let service = Arc::new(Service {
        weights,
        engine,
        name: config.name.clone(),
        tokens: config.tokens.iter().map(|token| Sha256::digest(token).into()).collect(),
        draining: AtomicBool::new(false),
        entropy: RandomState::new(),
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let how = runtime.block_on(async {
        let listener = TcpListener::bind(config.listen).await?;
        ready(listener.local_addr()?);
        let (stop, mut stopped) = watch::channel(false);
        let stopped = async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        let server = tokio::spawn(serve_connections(
            listener,
            router(service.clone()),
            HEAD_TIMEOUT,
            || None,
            stopped,
        ));
        while !ended() && !thread.is_finished() {
            tokio::time::sleep(LOOK).await;
        }
        if thread.is_finished() {
            return Ok(Ended::Broken);
        }
        service.draining.store(true, Ordering::SeqCst);
        let _ = stop.send(true);
        Ok(match tokio::time::timeout(config.grace, server).await {
            Ok(_) => Ended::Drained,
            Err(_) => Ended::Cut(service.engine.load().rollouts.load(Ordering::SeqCst)),
        })
    });
    runtime.shutdown_background();
    how
}

fn router(service: Arc<Service>) -> Router {
    let not_found =
        || async { Refusal::whole("no such route".to_owned()).with(StatusCode::NOT_FOUND, "not_found") };
    let not_allowed = || async {
        Refusal::whole("this route has another method".to_owned())
            .with(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed")
    };
    Router::new()
        .route("/v1/completions", post(completions))
        .route("/v1/chat/completions", post(chat))
        .route("/v1/models", get(models))
        .route("/healthz", get(health))
        .fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
        .with_state(service)
}

type Asking = axum::extract::Request;

async fn completions(State(service): State<Arc<Service>>, request: Asking) -> Response {
    service.answer(Kind::Completion, request).await.unwrap_or_else(Refusal::into_response)
}

async fn chat(State(service): State<Arc<Service>>, request: Asking) -> Response {
    service.answer(Kind::Chat, request).await.unwrap_or_else(Refusal::into_response)
}

async fn models(State(service): State<Arc<Service>>, headers: HeaderMap) -> Response {
    if let Err(refusal) = service.let_in(&headers) {
        return refusal.into_response();
    }
    let context = service.weights.model.config().max_position_embeddings;
    let model = json!({ "id": service.name, "object": "model", "created": now(), "owned_by": "assay",
        "max_model_len": context });
    json_response(StatusCode::OK, &json!({ "object": "list", "data": [model] }))
}

async fn health(State(service): State<Arc<Service>>) -> Response {
    let draining = service.draining.load(Ordering::SeqCst);
    let load = service.engine.load();
    let count = |counter: &std::sync::atomic::AtomicUsize| counter.load(Ordering::Relaxed);
    let value = json!({
        "status": if draining { "draining" } else { "ok" },
        "rollouts": count(&load.rollouts),
        "running": count(&load.running),
        "pages": count(&load.pages),
        "dropped_requests": count(&load.dropped),
    });
    json_response(if draining { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }, &value)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// What a request came to: its rollouts are in the engine's queue.
struct Accepted {
    form: Form,
    heard: UnboundedReceiver<Reply>,
    choices: usize,
    usage: Usage,
    stream: bool,
    include_usage: bool,
    per_prompt: usize,
}

impl Service {
    async fn answer(&self, kind: Kind, request: Asking) -> Result<Response, Refusal> {
        let accepted = self.accept(kind, request).await?;
        if accepted.stream {
            let stream = Streaming::new(accepted, self.weights.clone());
            let mut response = Response::new(Body::from_stream(stream));
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            return Ok(response);
        }
        whole(accepted, &self.weights).await
    }

    async fn accept(&self, kind: Kind, request: Asking) -> Result<Accepted, Refusal> {
        self.let_in(request.headers())?;
        let down = |what: &str| Refusal::ours(StatusCode::SERVICE_UNAVAILABLE, what.to_owned());
        if self.draining.load(Ordering::SeqCst) {
            return Err(down("the server is shutting down"));
        }
        let body = body(request).await?;
        let request = match kind {
            Kind::Completion => Request::completion(&body),
            Kind::Chat => Request::chat(&body),
        }?;
        if let Some(model) = request.model.as_ref().filter(|model| **model != self.name) {
            let what = format!("model: there is no {model:?} here; this server has {:?}", self.name);
            return Err(Refusal::whole(what).with(StatusCode::NOT_FOUND, "model_not_found"));
        }
        // The vocabulary's search is no work for the thread that answers everyone.
        let (weights, seed) = (self.weights.clone(), request.seed.unwrap_or_else(|| self.random()));
        let work = tokio::task::spawn_blocking(move || {
            let prompts = weights.prompts(&request, seed)?;
            Ok::<_, Refusal>((request, prompts))
        });
        let broke =
            |_| Refusal::ours(StatusCode::INTERNAL_SERVER_ERROR, "we broke on this request".to_owned());
        let (request, prompts) = work.await.map_err(broke)??;
        let usage = Usage { prompt: prompts.iter().map(|prompt| prompt.prompt.len()).sum(), completion: 0 };
        let choices = prompts.len() * request.choices;
        let heard = self.engine.ask(prompts);
        let mut heard = heard.map_err(|unable| match unable {
            Unable::Full => down("too many requests wait; try again later"),
            Unable::Gone => down("the engine has ended"),
        })?;
        match heard.recv().await {
            Some(Reply::Refused(what)) => return Err(Refusal::whole(what)),
            Some(_) => {}
            None => return Err(down("the engine has ended")),
        }
        let prefix = if kind == Kind::Chat { "chatcmpl" } else { "cmpl" };
        let form = Form {
            kind,
            id: format!("{prefix}-{:016x}", self.random()),
            created: now(),
            model: self.name.clone(),
            logprobs: request.logprobs.is_some(),
        };
        let Request { stream, include_usage, choices: per_prompt, .. } = request;
        Ok(Accepted { form, heard, choices, usage, stream, include_usage, per_prompt })
    }

    fn let_in(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given: Option<[u8; 32]> = given
            .and_then(|value| value.strip_prefix("Bearer "))
            .map(|token| Sha256::digest(token.trim()).into());
        // Hashes: how long the comparison takes says nothing about the token.
        if self.tokens.is_empty() || given.is_some_and(|given| self.tokens.contains(&given)) {
            return Ok(());
        }
        let what = "expected a token: Authorization: Bearer TOKEN".to_owned();
        Err(Refusal::whole(what).with(StatusCode::UNAUTHORIZED, "invalid_api_key"))
    }

    /// A number nobody can foresee.
    fn random(&self) -> u64 {
        let mut hasher = self.entropy.build_hasher();
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        hasher.write_u128(time.as_nanos());
        hasher.write_usize(self.engine.load().asked.fetch_add(1, Ordering::Relaxed));
        hasher.finish()
    }
}

async fn body(request: Asking) -> Result<Bytes, Refusal> {
    match tokio::time::timeout(BODY_TIMEOUT, to_bytes(request.into_body(), LONGEST_BODY)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => {
            let what = format!("the body broke off or is longer than {LONGEST_BODY} bytes");
            Err(Refusal::whole(what).with(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"))
        }
        Err(_) => {
            let what = format!("the body did not arrive in {} seconds", BODY_TIMEOUT.as_secs());
            Err(Refusal::whole(what).with(StatusCode::REQUEST_TIMEOUT, "body_timeout"))
        }
    }
}

impl Writer {
    /// The prompts of a request as the engine takes them.
    fn prompts(&self, request: &Request, seed: u64) -> Result<Vec<sampler::Request>, Refusal> {
        let refused = |error: crate::error::EngineError| Refusal::whole(error.to_string());
        let encode = |text: &str| self.tokenizer.encode(text).map_err(refused);
        let tokens: Vec<Vec<u32>> = match &request.asked {
            Asked::Prompts(prompts) => {
                let one = |prompt: &Prompt| match prompt {
                    Prompt::Text(text) => encode(text),
                    Prompt::Tokens(ids) => Ok(ids.clone()),
                };
                prompts.iter().map(one).collect::<Result<_, _>>()?
            }
            Asked::Chat(messages) => {
                let none = "this model has no chat template; ask /v1/completions, or start with --chat-template chatml";
                let template = self.template.as_ref().ok_or_else(|| Refusal::whole(none.to_owned()))?;
                vec![encode(&template.ask(self.system_prompt.as_deref(), messages).map_err(refused)?)?]
            }
        };
        let context = self.model.config().max_position_embeddings;
        let prompt = |(index, tokens): (usize, Vec<u32>)| {
            let room = context.saturating_sub(tokens.len());
            let max_new_tokens = request.max_tokens.unwrap_or(room);
            if room == 0 || max_new_tokens > room {
                let what = format!(
                    "the context is {context} tokens; the prompt has {} and max_tokens is {max_new_tokens}: ask for less",
                    tokens.len()
                );
                return Err(Refusal::whole(what).with(StatusCode::BAD_REQUEST, "context_length_exceeded"));
            }
            let settings = sampler::Settings {
                temperature: if request.temperature > 0.0 { request.temperature as f32 } else { 1.0 },
                greedy: request.temperature <= 0.0,
                max_new_tokens,
                eos_token_ids: self.end_of_text.clone(),
                filters: request.filters,
                stop: request.stop.clone().into(),
                stream: true,
                best: request.logprobs.unwrap_or(0),
            };
            settings.check().map_err(refused)?;
            settings.check_prompt(index, &tokens, self.model.config()).map_err(refused)?;
            let (rollouts, index, settings) = (request.choices, index as u64, Arc::new(settings));
            Ok(sampler::Request { prompt: tokens, rollouts, seed, index, settings })
        };
        tokens.into_iter().enumerate().map(prompt).collect()
    }
}

/// The answer once all choices have ended.
async fn whole(mut accepted: Accepted, weights: &Writer) -> Result<Response, Refusal> {
    let mut tokens: Vec<Vec<Drawn>> = vec![Vec::new(); accepted.choices];
    let mut ended: Vec<Option<(String, FinishReason)>> = vec![None; accepted.choices];
    while ended.iter().any(Option::is_none) {
        match accepted.heard.recv().await {
            Some(Reply::Token { prompt, rollout, token, .. }) => {
                tokens[prompt * accepted.per_prompt + rollout].push(token);
            }
            Some(Reply::End { prompt, rollout, generated }) => {
                accepted.usage.completion += generated.completion_ids.len();
                let text = generated.text.unwrap_or_default();
                ended[prompt * accepted.per_prompt + rollout] = Some((text, generated.finish_reason));
            }
            Some(Reply::Accepted) => {}
            Some(Reply::Refused(what) | Reply::Failed(what)) => {
                return Err(Refusal::ours(StatusCode::INTERNAL_SERVER_ERROR, what));
            }
            None => return Err(gone()),
        }
    }
    let form = &accepted.form;
    let mut choices = Vec::with_capacity(ended.len());
    for (index, ((text, finish), tokens)) in ended.into_iter().flatten().zip(&tokens).enumerate() {
        choices.push(form.choice(index, &text, &form.logprobs(weights, tokens, 0), finish));
    }
    Ok(json_response(StatusCode::OK, &form.whole(&choices, accepted.usage)))
}

fn gone() -> Refusal {
    Refusal::ours(StatusCode::INTERNAL_SERVER_ERROR, "the engine has ended".to_owned())
}

/// The events of a streamed answer.
struct Streaming {
    accepted: Accepted,
    weights: Arc<Writer>,
    /// Written and not yet taken.
    events: VecDeque<String>,
    /// Characters of each choice so far.
    offsets: Vec<usize>,
    left: usize,
}

impl Streaming {
    fn new(accepted: Accepted, weights: Arc<Writer>) -> Streaming {
        let events = (0..accepted.choices).filter_map(|index| accepted.form.opening(index)).collect();
        let (offsets, left) = (vec![0; accepted.choices], accepted.choices);
        Streaming { accepted, weights, events, offsets, left }
    }

    fn take(&mut self, reply: Option<Reply>) {
        let Accepted { form, usage, per_prompt, include_usage, .. } = &mut self.accepted;
        match reply {
            Some(Reply::Token { prompt, rollout, text, token }) => {
                let index = prompt * *per_prompt + rollout;
                usage.completion += 1;
                let drawn = [token];
                let logprobs = form.logprobs(&self.weights, &drawn, self.offsets[index]);
                self.offsets[index] += logprobs["tokens"][0].as_str().map_or(0, |text| text.chars().count());
                if !(text.is_empty() && logprobs.is_null()) {
                    self.events.push_back(form.piece(index, &text, logprobs));
                }
            }
            Some(Reply::End { prompt, rollout, generated }) => {
                self.events.push_back(form.closing(prompt * *per_prompt + rollout, generated.finish_reason));
                self.left -= 1;
                if self.left == 0 {
                    self.events.extend(include_usage.then(|| form.usage(*usage)));
                    self.events.push_back(DONE.to_owned());
                }
            }
            Some(Reply::Accepted) => {}
            Some(Reply::Refused(what) | Reply::Failed(what)) => {
                self.events.push_back(Refusal::ours(StatusCode::INTERNAL_SERVER_ERROR, what).event());
                self.left = 0;
            }
            None => {
                self.events.push_back(gone().event());
                self.left = 0;
            }
        }
    }
}

impl Stream for Streaming {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(Some(Ok(Bytes::from(event))));
            }
            if self.left == 0 {
                return Poll::Ready(None);
            }
            let reply = ready!(self.accepted.heard.poll_recv(context));
            self.take(reply);
        }
    }
}

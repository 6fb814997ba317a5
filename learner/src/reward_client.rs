//! Asks verifiers for rewards: `POST /v1/grade/batch`, always over HTTP, also when the verifier is our own child on
//! loopback.
//!
//! # Theory of operation
//! Completions are asked about as they are written ([`Grade::grade_while`]): a thread of its own sends what has come by
//! the time a request may start, so grading overlaps sampling. Answers come line by line, so one that is slow holds up
//! no other. Equal (problem, completion) pairs are asked once. What a request leaves unanswered in any way that is not
//! the fault of the request (connection cut, time-out, 5xx, 429, a reply that is not what was asked for) is asked again,
//! at the next URL where there are several, with growing pauses; a URL that failed rests for a while. What has no answer
//! by its deadline, or after the last try, is [`Answer::InfraError`]: the rollout is dropped and counted, never scored 0.
//! A request that is *refused* (4xx) would be refused forever, so it stops the run with the verifier's own words.
//!
//! This is the only async code of the learner beside its server; [`RewardClient::grade`] blocks.

mod wire;

use std::collections::VecDeque;
use std::collections::hash_map::{Entry, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use assay_testsets::Problem;
use assay_verifier::http::client::{causes, http_client};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;

use self::wire::Unreadable;
use crate::error::reason;

/// Where and how rewards are asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rewards {
    /// Verifiers, `http://host:port` or `https://host:port`; with none the trainer starts one of its own on loopback.
    pub urls: Vec<String>,
    /// Completions per request.
    pub batch: usize,
    /// Requests under way at once.
    pub in_flight: usize,
    /// Tries per request before its completions count as ungraded.
    pub attempts: u32,
    /// Seconds one try may take.
    pub timeout: f64,
    /// Seconds until a completion without an answer counts as ungraded, from when it was written; tries included.
    pub deadline: f64,
    /// Seconds before the second try; doubles with each further one, up to 10.
    pub pause: f64,
    /// A file with the bearer token of the verifiers, where they want one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
}

impl Default for Rewards {
    fn default() -> Rewards {
        Rewards {
            urls: Vec::new(),
            batch: 32,
            in_flight: 4,
            attempts: 5,
            timeout: 120.0,
            deadline: 600.0,
            pause: 0.2,
            token_file: None,
        }
    }
}

/// One completion to grade.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// What was asked.
    pub problem: &'a Problem,
    /// What the policy answered.
    pub completion: &'a str,
    /// The language, where `completion` is the bare source of a program and not a model's whole text.
    pub source_in: Option<&'a str>,
}

impl<'a> Ask<'a> {
    /// A model's whole text: the box or the code block is looked for in it.
    pub fn completion(problem: &'a Problem, completion: &'a str) -> Ask<'a> {
        Ask { problem, completion, source_in: None }
    }

    /// The bare source of a program.
    pub fn source(problem: &'a Problem, source: &'a str, language: &'a str) -> Ask<'a> {
        Ask { problem, completion: source, source_in: Some(language) }
    }
}

/// Whoever turns completions into rewards; the trainer knows no more of it.
pub trait Grade {
    /// Grades all, in order.
    fn grade(&self, asks: &[Ask<'_>]) -> Result<Vec<Answer>, RewardError>;

    /// Grades one completion of each of `problems` while `write` writes them: it says each, with its index, as soon as it
    /// is whole. By default they are graded once all are.
    fn grade_while<T, E: From<RewardError>>(
        &self,
        problems: &[&Problem],
        write: impl FnOnce(&mut dyn FnMut(usize, &str)) -> Result<T, E>,
    ) -> Result<(T, Answered), E> {
        let mut completions = vec![(String::new(), Instant::now()); problems.len()];
        let written =
            write(&mut |index, completion| completions[index] = (completion.to_owned(), Instant::now()))?;
        let asks = problems.iter().zip(&completions);
        let asks: Vec<Ask<'_>> =
            asks.map(|(problem, (completion, _))| Ask::completion(problem, completion)).collect();
        let answers = self.grade(&asks)?;
        let latencies = completions.iter().map(|(_, written)| written.elapsed()).collect();
        Ok((written, Answered { answers, latencies }))
    }
}

/// The answers to completions that came by and by.
#[derive(Debug, Clone, Default)]
pub struct Answered {
    /// In the completions' order.
    pub answers: Vec<Answer>,
    /// From when a completion was written until it was answered or given up, without order; of equal completions only the
    /// first is asked about, and has one.
    pub latencies: Vec<Duration>,
}

/// What came back for one completion.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// A verdict and its reward.
    Graded {
        /// Of the all-tests policy: 1 or 0.
        reward: f64,
        /// The verdict's name.
        verdict: String,
    },
    /// The problem itself can't be graded; the text says why. Says nothing about the submission.
    Unsupported(String),
    /// The verifier, or the way to it, failed; the text says how. Says nothing about the submission.
    InfraError(String),
}

impl Answer {
    /// The reward, where there is one.
    pub fn reward(&self) -> Option<f64> {
        match self {
            Answer::Graded { reward, .. } => Some(*reward),
            Answer::Unsupported(_) | Answer::InfraError(_) => None,
        }
    }
}

/// Why no reward can come, however often one asks.
#[derive(Debug, thiserror::Error)]
pub enum RewardError {
    /// The verifier says the request itself is wrong.
    #[error("the verifier at {url} refused the request (HTTP {status}): {body}")]
    Refused {
        /// Whom we asked.
        url: String,
        /// HTTP status, 4xx.
        status: u16,
        /// The first bytes of its reply.
        body: String,
    },
    /// The client could not be set up.
    #[error("cannot set up the reward client: {0}")]
    Setup(String),
}

/// A client with its connections and the small runtime they live in.
#[derive(Debug)]
pub struct RewardClient {
    runtime: tokio::runtime::Runtime,
    verifiers: Arc<Verifiers>,
}

/// What all requests share.
#[derive(Debug)]
struct Verifiers {
    http: reqwest::Client,
    settings: Rewards,
    /// When each URL failed last, unless it has answered since.
    failed: Mutex<Vec<Option<Instant>>>,
}

/// How long a URL that failed is left alone while another may be asked.
const REST: Duration = Duration::from_secs(15);

impl RewardClient {
    /// A client of the verifiers in `settings.urls`; there must be one.
    pub fn new(settings: Rewards) -> Result<RewardClient, RewardError> {
        let setup = |error: &dyn std::fmt::Display| RewardError::Setup(error.to_string());
        if settings.urls.is_empty() {
            return Err(setup(&"no verifier URL"));
        }
        if let Some(what) = settings.mistake() {
            return Err(setup(&what));
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| setup(&error))?;
        let secure = settings.urls.iter().any(|url| url.starts_with("https://"));
        let http = http_client(secure)
            .map_err(|error| setup(&error))?
            .no_proxy()
            .default_headers(headers(&settings)?)
            .timeout(Duration::from_secs_f64(settings.timeout))
            .build()
            .map_err(|error| setup(&error))?;
        let failed = Mutex::new(vec![None; settings.urls.len()]);
        Ok(RewardClient { runtime, verifiers: Arc::new(Verifiers { http, settings, failed }) })
    }

    /// The answers to `count` completions that come by and by, by their indices.
    async fn answer(
        &self,
        count: usize,
        mut written: UnboundedReceiver<Said>,
    ) -> Result<Answered, RewardError> {
        let settings = &self.verifiers.settings;
        let mut answers: Vec<Option<Answer>> = vec![None; count];
        let mut latencies = Vec::with_capacity(count);
        let mut places: HashMap<[u8; 32], usize> = HashMap::new();
        let mut equal: Vec<(usize, usize)> = Vec::new();
        let mut waiting: VecDeque<Item> = VecDeque::new();
        let mut requests = JoinSet::new();
        let (mut more, mut started) = (true, 0);
        while more || !waiting.is_empty() || !requests.is_empty() {
            while !waiting.is_empty() && requests.len() < settings.in_flight {
                let items = waiting.drain(..settings.batch.min(waiting.len())).collect();
                requests.spawn(self.verifiers.clone().ask(started, items));
                started += 1;
            }
            let mut said = None;
            tokio::select! {
                next = written.recv(), if more => said = Some(next),
                Some(done) = requests.join_next(), if !requests.is_empty() => {
                    let done = done.map_err(|error| RewardError::Setup(error.to_string()))?;
                    for done in done? {
                        latencies.push(done.latency);
                        answers[done.index] = Some(done.answer);
                    }
                }
            }
            while let Some(next) = said {
                match next {
                    Some(Said::Item(item)) => match places.entry(Sha256::digest(&item.json).into()) {
                        Entry::Occupied(place) => equal.push((item.index, *place.get())),
                        Entry::Vacant(place) => {
                            place.insert(item.index);
                            waiting.push_back(item);
                        }
                    },
                    Some(Said::Stop) => return Ok(Answered::default()),
                    None => more = false,
                }
                said = written.try_recv().ok().map(Some);
            }
        }
        equal.into_iter().for_each(|(index, place)| answers[index] = answers[place].clone());
        let unsaid = || Answer::InfraError("it was never asked about".to_owned());
        let answers = answers.into_iter().map(|answer| answer.unwrap_or_else(unsaid)).collect();
        Ok(Answered { answers, latencies })
    }
}

/// What the writer says to the client.
enum Said {
    Item(Item),
    /// It failed: no answer is of use.
    Stop,
}

/// A completion to ask about.
struct Item {
    index: usize,
    json: String,
    written: Instant,
}

impl Item {
    fn new(index: usize, ask: &Ask<'_>) -> Item {
        Item { index, json: wire::item(ask), written: Instant::now() }
    }
}

impl Grade for RewardClient {
    /// Blocks until every request was answered or given up.
    fn grade(&self, asks: &[Ask<'_>]) -> Result<Vec<Answer>, RewardError> {
        let (say, written) = unbounded_channel();
        for (index, ask) in asks.iter().enumerate() {
            // The receiver is in hand.
            let _ = say.send(Said::Item(Item::new(index, ask)));
        }
        drop(say);
        Ok(self.runtime.block_on(self.answer(asks.len(), written))?.answers)
    }

    fn grade_while<T, E: From<RewardError>>(
        &self,
        problems: &[&Problem],
        write: impl FnOnce(&mut dyn FnMut(usize, &str)) -> Result<T, E>,
    ) -> Result<(T, Answered), E> {
        let (say, written) = unbounded_channel();
        std::thread::scope(|scope| {
            let answering = std::thread::Builder::new().name("rewards".to_owned());
            let answering = answering
                .spawn_scoped(scope, || self.runtime.block_on(self.answer(problems.len(), written)))
                .map_err(|error| RewardError::Setup(error.to_string()))?;
            // A client that gave up does not listen; its error is told at the end.
            let done = write(&mut |index, completion| {
                let ask = Ask::completion(problems[index], completion);
                let _ = say.send(Said::Item(Item::new(index, &ask)));
            });
            if done.is_err() {
                let _ = say.send(Said::Stop);
            }
            drop(say);
            let answers = answering.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            Ok((done?, answers?))
        })
    }
}

fn headers(settings: &Rewards) -> Result<HeaderMap, RewardError> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT, HeaderValue::from_static(wire::LINES));
    if let Some(path) = &settings.token_file {
        let refuse =
            |what: &str| RewardError::Setup(format!("rewards.token_file {}: {what}", path.display()));
        let token = std::fs::read_to_string(path).map_err(|error| refuse(&reason(&error)))?;
        let value = HeaderValue::from_str(&format!("Bearer {}", token.trim()));
        let mut value = value.map_err(|_| refuse("it holds what no token may"))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}

/// What came of one item.
struct Came {
    index: usize,
    answer: Answer,
    latency: Duration,
}

/// The items of a request and what has come of them, and when.
struct Asked {
    items: Vec<Item>,
    answers: Vec<Option<(Answer, Instant)>>,
    failure: String,
}

impl Verifiers {
    /// One request with all its tries.
    async fn ask(self: Arc<Verifiers>, place: usize, items: Vec<Item>) -> Result<Vec<Came>, RewardError> {
        let seconds = self.settings.deadline;
        let first = items.iter().map(|item| item.written).min().unwrap_or_else(Instant::now);
        let deadline = first + Duration::from_secs_f64(seconds);
        let mut asked = Asked { answers: vec![None; items.len()], items, failure: String::new() };
        match tokio::time::timeout_at(deadline.into(), self.tries(place, &mut asked)).await {
            Ok(tried) => tried?,
            Err(_) => {
                let before = if asked.failure.is_empty() { "" } else { "; before: " };
                asked.failure =
                    format!("no answer in {seconds} s, rewards.deadline{before}{}", asked.failure);
            }
        }
        let Asked { items, answers, failure } = asked;
        let given_up = || (Answer::InfraError(failure.clone()), Instant::now());
        let came = |(item, answer): (&Item, Option<(Answer, Instant)>)| {
            let (answer, at) = answer.unwrap_or_else(given_up);
            Came { index: item.index, answer, latency: at.saturating_duration_since(item.written) }
        };
        Ok(items.iter().zip(answers).map(came).collect())
    }

    async fn tries(&self, place: usize, asked: &mut Asked) -> Result<(), RewardError> {
        for attempt in 0..self.settings.attempts {
            if attempt > 0 {
                tokio::time::sleep(pause(&self.settings, attempt)).await;
            }
            let url = self.choose(place + attempt as usize);
            let failure = match self.try_once(url, asked).await {
                Ok(()) => None,
                Err(Failure::Refused(error)) => return Err(error),
                Err(Failure::Passing(what)) => Some(what),
            };
            self.remember(url, failure.is_some());
            if let Some(what) = failure {
                asked.failure = format!("{}: {what}", self.settings.urls[url]);
            }
            if asked.answers.iter().all(Option::is_some) {
                break;
            }
        }
        Ok(())
    }

    /// Requests start at different verifiers, a failed try moves on to the next, and one that failed lately is passed
    /// over while another is well.
    fn choose(&self, place: usize) -> usize {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failed.len();
        let well = |url: &usize| failed[*url].is_none_or(|at: Instant| at.elapsed() > REST);
        (0..count).map(|more| (place + more) % count).find(well).unwrap_or(place % count)
    }

    fn remember(&self, url: usize, failed: bool) {
        let mut all = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        all[url] = failed.then(Instant::now);
    }

    /// Asks one verifier for what has no answer yet.
    async fn try_once(&self, url: usize, asked: &mut Asked) -> Result<(), Failure> {
        let Asked { items, answers, .. } = asked;
        let open: Vec<usize> = (0..items.len()).filter(|&at| answers[at].is_none()).collect();
        let body = wire::body(open.iter().map(|&at| items[at].json.as_str()));
        let url = &self.settings.urls[url];
        let request = self.http.post(format!("{}/v1/grade/batch", url.trim_end_matches('/'))).body(body);
        let passing = |error: &reqwest::Error| Failure::Passing(causes(error));
        let mut response = request.send().await.map_err(|error| passing(&error))?;
        let status = response.status();
        let refused = |body: String| {
            Failure::Refused(RewardError::Refused { url: url.clone(), status: status.as_u16(), body })
        };
        if !status.is_success() {
            let text = response.text().await.map_err(|error| passing(&error))?;
            let body: String = text.chars().take(300).collect();
            // 408, 425 and 429 ask for patience, every other 4xx says the request is wrong.
            let patience = [408, 425, 429].contains(&status.as_u16());
            return Err(match status.is_client_error() && !patience {
                true => refused(body),
                false => Failure::Passing(format!("HTTP {status}: {body}")),
            });
        }
        let unreadable = |what: Unreadable| match what {
            Unreadable::Reply(what) => Failure::Passing(what),
            Unreadable::Request(what) => refused(what),
        };
        let alone = self.settings.urls.len() == 1;
        let mut failure = None;
        let mut take = |at: usize, answer: Answer| match answer {
            // Another verifier may do what this one could not.
            Answer::InfraError(what) if !alone => failure = Some(Failure::Passing(what)),
            answer => answers[open[at]] = Some((answer, Instant::now())),
        };
        let lines = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == wire::LINES);
        let mut text: Vec<u8> = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| passing(&error))? {
            text.extend_from_slice(&piece);
            while let Some(end) = text.iter().position(|byte| lines && *byte == b'\n') {
                let (at, answer) = wire::line(&text[..end], open.len()).map_err(unreadable)?;
                take(at, answer);
                text.drain(..=end);
            }
        }
        if !lines {
            let all = wire::answers(&text, open.len()).map_err(unreadable)?;
            all.into_iter().enumerate().for_each(|(at, answer)| take(at, answer));
        }
        failure.map_or(Ok(()), Err)?;
        match open.iter().filter(|&&at| answers[at].is_none()).count() {
            0 => Ok(()),
            missing => Err(Failure::Passing(format!("{missing} of {} items got no result", open.len()))),
        }
    }
}

/// Why a try gave nothing, or not all.
enum Failure {
    /// May be better next time.
    Passing(String),
    /// Will never be better.
    Refused(RewardError),
}

fn pause(settings: &Rewards, attempt: u32) -> Duration {
    Duration::from_secs_f64((settings.pause * f64::from(1 << (attempt - 1).min(10))).clamp(0.0, 10.0))
}

#[cfg(test)]
mod tests;

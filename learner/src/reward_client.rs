//! Asks a verifier for rewards: `POST /v1/grade/batch`, always over HTTP, also when the verifier is our own
//! child on loopback.
//!
//! Equal (problem, completion) pairs are asked once. A batch that fails in any way that is not the fault of
//! the request (connection cut, time-out, 5xx, 429, a reply that is not what was asked for) is tried again,
//! at the next URL where there are several, with growing pauses. What stays unanswered is
//! [`Answer::InfraError`]: the rollout is dropped and counted, never scored 0. A request that is *refused* (4xx)
//! would be refused forever, so it stops the run with the verifier's own words.
//!
//! This is the only async code of the learner; [`RewardClient::grade`] blocks.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use assay_testsets::{Checker, JudgeProgram, Problem, Protocol, Task, TestCase, TestType};
use assay_verifier::http::client::{causes, http_client};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

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
    /// Seconds before the second try; doubles with each further one, up to 10.
    pub pause: f64,
}

impl Default for Rewards {
    fn default() -> Rewards {
        Rewards { urls: Vec::new(), batch: 32, in_flight: 4, attempts: 5, timeout: 120.0, pause: 0.2 }
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
    http: reqwest::Client,
    settings: Arc<Rewards>,
}

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
            .timeout(Duration::from_secs_f64(settings.timeout))
            .build()
            .map_err(|error| setup(&error))?;
        Ok(RewardClient { runtime, http, settings: Arc::new(settings) })
    }

    async fn ask_all(&self, bodies: Vec<(usize, String)>) -> Result<Vec<Answer>, RewardError> {
        let permits = Arc::new(Semaphore::new(self.settings.in_flight));
        let mut replies = vec![Vec::new(); bodies.len()];
        let mut tasks = JoinSet::new();
        for (index, (items, body)) in bodies.into_iter().enumerate() {
            let (permits, http, settings) = (permits.clone(), self.http.clone(), self.settings.clone());
            tasks.spawn(async move {
                let _permit = permits.acquire_owned().await;
                (index, ask(&http, &settings, index, items, &body).await)
            });
        }
        while let Some(joined) = tasks.join_next().await {
            let (index, answers) = joined.map_err(|error| RewardError::Setup(error.to_string()))?;
            replies[index] = answers?;
        }
        Ok(replies.concat())
    }
}

impl Grade for RewardClient {
    /// Blocks until every request was answered or given up.
    fn grade(&self, asks: &[Ask<'_>]) -> Result<Vec<Answer>, RewardError> {
        let (unique, place) = deduplicate(asks);
        let bodies: Vec<(usize, String)> =
            unique.chunks(self.settings.batch).map(|chunk| (chunk.len(), body(chunk))).collect();
        let answers = self.runtime.block_on(self.ask_all(bodies))?;
        Ok(place.into_iter().map(|at| answers[at].clone()).collect())
    }
}

/// One request with all its tries.
async fn ask(
    http: &reqwest::Client,
    settings: &Rewards,
    index: usize,
    items: usize,
    body: &str,
) -> Result<Vec<Answer>, RewardError> {
    let mut failure = String::new();
    for attempt in 0..settings.attempts {
        if attempt > 0 {
            tokio::time::sleep(pause(settings, attempt)).await;
        }
        // Requests start at different verifiers, and a failed try moves on to the next.
        let url = &settings.urls[(index + attempt as usize) % settings.urls.len()];
        match try_once(http, url, items, body).await {
            Ok(answers) => return Ok(answers),
            Err(Failure::Refused(error)) => return Err(error),
            Err(Failure::Passing(what)) => failure = format!("{url}: {what}"),
        }
    }
    Ok(vec![Answer::InfraError(failure); items])
}

/// Why a try gave nothing.
enum Failure {
    /// May be better next time.
    Passing(String),
    /// Will never be better.
    Refused(RewardError),
}

async fn try_once(
    http: &reqwest::Client,
    url: &str,
    items: usize,
    body: &str,
) -> Result<Vec<Answer>, Failure> {
    let passing = |error: &reqwest::Error| Failure::Passing(causes(error));
    let request = http
        .post(format!("{}/v1/grade/batch", url.trim_end_matches('/')))
        .header("content-type", "application/json")
        .body(body.to_owned());
    let response = request.send().await.map_err(|error| passing(&error))?;
    let status = response.status();
    let text = response.text().await.map_err(|error| passing(&error))?;
    let refused = |body: String| RewardError::Refused { url: url.to_owned(), status: status.as_u16(), body };
    if status.is_success() {
        return answers(&text, items).map_err(|failure| match failure {
            Unreadable::Reply(what) => Failure::Passing(what),
            Unreadable::Request(what) => Failure::Refused(refused(what)),
        });
    }
    let body: String = text.chars().take(300).collect();
    // 408, 425 and 429 ask for patience, every other 4xx says the request is wrong.
    if status.is_client_error() && ![408, 425, 429].contains(&status.as_u16()) {
        return Err(Failure::Refused(refused(body)));
    }
    Err(Failure::Passing(format!("HTTP {status}: {body}")))
}

fn pause(settings: &Rewards, attempt: u32) -> Duration {
    Duration::from_secs_f64((settings.pause * f64::from(1 << (attempt - 1).min(10))).clamp(0.0, 10.0))
}

/// The different asks, and for each ask the place of its equal among them.
fn deduplicate<'a>(asks: &[Ask<'a>]) -> (Vec<Ask<'a>>, Vec<usize>) {
    let mut places: HashMap<(&str, &str, Option<&str>), usize> = HashMap::new();
    let mut unique = Vec::new();
    let place = |ask: &Ask<'a>| {
        *places.entry((&ask.problem.question_id, ask.completion, ask.source_in)).or_insert_with(|| {
            unique.push(*ask);
            unique.len() - 1
        })
    };
    let place = asks.iter().map(place).collect();
    (unique, place)
}

// ---- The wire -------------------------------------------------------------------------------------------

#[derive(Deserialize)]
struct Reply {
    results: Vec<GradeResult>,
}

#[derive(Deserialize)]
struct GradeResult {
    outcome: String,
    #[serde(default)]
    verdict: Option<String>,
    #[serde(default)]
    reward: Option<f64>,
    #[serde(default)]
    reason: Option<String>,
}

/// Why a 200 is not an answer.
enum Unreadable {
    /// The reply is not a reply to what was asked.
    Reply(String),
    /// The verifier says that an item is not a request it understands.
    Request(String),
}

fn answers(text: &str, items: usize) -> Result<Vec<Answer>, Unreadable> {
    let reply: Reply = serde_json::from_str(text)
        .map_err(|error| Unreadable::Reply(format!("not a batch reply: {error}")))?;
    if reply.results.len() != items {
        return Err(Unreadable::Reply(format!("{} results for {items} items", reply.results.len())));
    }
    reply.results.into_iter().map(answer).collect()
}

fn answer(result: GradeResult) -> Result<Answer, Unreadable> {
    let reason = result.reason.unwrap_or_default();
    match (result.outcome.as_str(), result.reward, result.verdict) {
        ("graded", Some(reward), Some(verdict)) if reward.is_finite() => {
            Ok(Answer::Graded { reward, verdict })
        }
        ("unsupported", ..) => Ok(Answer::Unsupported(reason)),
        ("infra_error", ..) => Ok(Answer::InfraError(reason)),
        ("invalid", ..) => Err(Unreadable::Request(reason)),
        (outcome, ..) => Err(Unreadable::Reply(format!("a result with outcome {outcome:?} and no reward"))),
    }
}

fn body(asks: &[Ask<'_>]) -> String {
    let item = |ask: &Ask<'_>| {
        let mut item = json!({ "problem": problem(ask.problem), "completion": ask.completion });
        if let Some(language) = ask.source_in {
            (item["mode"], item["language"]) = (json!("code"), json!(language));
        }
        item
    };
    json!({ "items": asks.iter().map(item).collect::<Vec<_>>() }).to_string()
}

fn problem(problem: &Problem) -> Value {
    json!({ "question_id": problem.question_id, "task": task(&problem.task) })
}

fn task(task: &Task) -> Value {
    match task {
        Task::Math(math) => json!({ "type": "math", "ground_truth": math.ground_truth }),
        Task::Code(code) => {
            let test = |test: io::Result<Cow<'_, TestCase>>| {
                let test = test.expect("a file of our own, open since it was written, can be read");
                let test_type = match test.test_type {
                    TestType::Stdin => "stdin",
                    TestType::Functional => "functional",
                    TestType::Call => "call",
                    // Not on the wire: what shares the program's process earns no reward, and the server says so.
                    TestType::Script => "script",
                };
                json!({ "input": test.input, "output": test.output, "test_type": test_type })
            };
            let mut task = json!({
                "type": "code",
                "test_cases": code.test_cases.iter().map(test).collect::<Vec<_>>(),
                "checker": checker(&code.checker),
                "limits": {
                    "cpu_time": code.limits.cpu_time.map(|limit| limit.as_secs_f64()),
                    "memory": code.limits.memory,
                },
            });
            if let Some(func_name) = &code.func_name {
                task["func_name"] = json!(func_name);
                task["starter_code"] = json!(code.starter_code);
            }
            task
        }
    }
}

fn judge_program(program: &JudgeProgram) -> Value {
    let protocol = match program.protocol {
        Protocol::Testlib => "testlib",
        Protocol::Kattis => "kattis",
    };
    let JudgeProgram { language, source, arguments, .. } = program;
    json!({ "language": language, "source": source, "protocol": protocol, "arguments": arguments })
}

fn checker(checker: &Checker) -> Value {
    match checker {
        Checker::Exact => json!("exact"),
        Checker::Lcb => json!("lcb"),
        Checker::Tokens => json!("tokens"),
        Checker::CaseInsensitive => json!("case_insensitive"),
        Checker::Unordered => json!("unordered"),
        Checker::Kattis(flags) => json!({ "kattis": {
            "case_sensitive": flags.case_sensitive,
            "space_change_sensitive": flags.space_change_sensitive,
            "absolute": flags.absolute,
            "relative": flags.relative,
        } }),
        Checker::Program(program) => json!({ "program": judge_program(program) }),
        Checker::Interactive(program) => json!({ "interactive": judge_program(program) }),
        Checker::Float { absolute, relative } => {
            json!({ "float": { "absolute": absolute, "relative": relative } })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::stream;
    use crate::tasks::{Family, Split};
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::Mutex;

    /// What the fake verifier does with one request.
    #[derive(Clone, Copy)]
    enum Play {
        /// Grades every completion: reward 1 where it contains `503`.
        Grade,
        /// Says that it failed on every item.
        InfraError,
        /// Says that every problem is unreadable.
        Unsupported,
        /// Says that the first item is no request.
        Invalid,
        /// One result too few.
        Short,
        /// A graded item without a reward.
        NoReward,
        /// This status with a body that is not JSON.
        Status(u16),
        /// Half a reply, then the connection is cut.
        Cut,
        /// Never answers.
        Hang,
    }

    /// A verifier on loopback that follows a script, request by request; its last line repeats.
    struct Fake {
        url: String,
        seen: Arc<Mutex<Vec<Value>>>,
    }

    fn fake(script: &'static [Play]) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        std::thread::spawn(move || {
            let mut hanging = Vec::new();
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                let Some(request) = read_request(&mut connection) else { continue };
                let at = log.lock().unwrap().len().min(script.len() - 1);
                log.lock().unwrap().push(request.clone());
                match script[at] {
                    Play::Hang => hanging.push(connection),
                    play => connection.write_all(reply(play, &request).as_bytes()).unwrap(),
                }
            }
        });
        Fake { url, seen }
    }

    fn read_request(connection: &mut TcpStream) -> Option<Value> {
        let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            let n = connection.read(&mut buffer).ok().filter(|n| *n > 0)?;
            bytes.extend_from_slice(&buffer[..n]);
            let text = String::from_utf8_lossy(&bytes);
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            assert!(head.starts_with("POST /v1/grade/batch "), "{head}");
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse::<usize>().ok()?;
            if body.len() >= length {
                return serde_json::from_str(body).ok();
            }
        }
    }

    fn reply(play: Play, request: &Value) -> String {
        let items = request["items"].as_array().unwrap();
        let grade = |item: &Value| {
            let right = item["completion"].as_str().unwrap().contains("503");
            let (verdict, reward) = if right { ("accepted", 1.0) } else { ("wrong_answer", 0.0) };
            json!({ "outcome": "graded", "verdict": verdict, "reward": reward, "reason": "", "passed": 1 })
        };
        let without = |outcome: &str| json!({ "outcome": outcome, "verdict": null, "reward": null, "reason": "because" });
        let mut results: Vec<Value> = match play {
            Play::InfraError => items.iter().map(|_| without("infra_error")).collect(),
            Play::Unsupported => items.iter().map(|_| without("unsupported")).collect(),
            Play::Invalid => items.iter().map(|_| without("invalid")).collect(),
            Play::NoReward => items.iter().map(|_| without("graded")).collect(),
            _ => items.iter().map(grade).collect(),
        };
        if matches!(play, Play::Short) {
            results.pop();
        }
        let body = json!({ "results": results }).to_string();
        let (status, body) = match play {
            Play::Status(status) => (status, "a proxy's page".to_owned()),
            _ => (200, body),
        };
        let text = format!(
            "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        if matches!(play, Play::Cut) { text[..text.len() / 2].to_owned() } else { text }
    }

    fn settings(urls: &[&Fake]) -> Rewards {
        let urls = urls.iter().map(|fake| fake.url.clone()).collect();
        Rewards { urls, attempts: 3, timeout: 0.5, pause: 0.01, ..Default::default() }
    }

    fn question() -> Problem {
        Family::Arithmetic.question(Split::Train, &mut stream(1, "test", 0)).problem
    }

    fn grade(settings: Rewards, completions: &[&str]) -> Result<Vec<Answer>, RewardError> {
        let problem = question();
        let asks: Vec<Ask<'_>> =
            completions.iter().map(|completion| Ask::completion(&problem, completion)).collect();
        RewardClient::new(settings).unwrap().grade(&asks)
    }

    #[test]
    fn what_the_verifier_does_and_what_the_trainer_sees() {
        use Play::*;
        // Some(reward) or None where the rollout is dropped; never 0 for a failure that is not the rollout's.
        let rows: &[(&[Play], [Option<f64>; 2])] = &[
            (&[Grade], [Some(1.0), Some(0.0)]),
            (&[Status(500), Cut, Grade], [Some(1.0), Some(0.0)]),
            (&[Status(503), Status(429), Grade], [Some(1.0), Some(0.0)]),
            (&[Hang, Short, Grade], [Some(1.0), Some(0.0)]),
            (&[NoReward, Grade], [Some(1.0), Some(0.0)]),
            (&[InfraError], [None, None]),
            (&[Unsupported], [None, None]),
            (&[Status(500)], [None, None]),
            (&[Cut], [None, None]),
            (&[Hang], [None, None]),
            (&[NoReward], [None, None]),
        ];
        for (index, (script, expected)) in rows.iter().enumerate() {
            let fake = fake(script);
            let answers = grade(settings(&[&fake]), &["\\boxed{503}", "\\boxed{7}"]).unwrap();
            let rewards: Vec<Option<f64>> = answers.iter().map(Answer::reward).collect();
            assert_eq!(rewards, expected, "row {index}: {answers:?}");
        }
    }

    #[test]
    fn a_wrong_request_stops_the_run_with_the_verifiers_words() {
        for (script, words) in [(&[Play::Status(422)] as &[Play], "422"), (&[Play::Invalid], "because")] {
            let fake = fake(script);
            let error = grade(settings(&[&fake]), &["x"]).unwrap_err().to_string();
            assert!(error.contains(words) && error.contains(&fake.url), "{error}");
            assert_eq!(fake.seen.lock().unwrap().len(), 1, "a refused request is not repeated");
        }
    }

    #[test]
    fn another_verifier_takes_over() {
        let (broken, sound) = (fake(&[Play::Status(500)]), fake(&[Play::Grade]));
        let mut settings = settings(&[&broken, &sound]);
        settings.urls.push("http://127.0.0.1:1".to_owned());
        settings.batch = 1;
        let answers = grade(settings, &["\\boxed{503}", "a", "b", "c", "d"]).unwrap();
        let rewards: Vec<Option<f64>> = answers.iter().map(Answer::reward).collect();
        assert_eq!(rewards, [Some(1.0), Some(0.0), Some(0.0), Some(0.0), Some(0.0)]);
    }

    #[test]
    fn equal_completions_are_asked_once() {
        let fake = fake(&[Play::Grade]);
        let answers = grade(settings(&[&fake]), &["a", "\\boxed{503}", "a", "a", "\\boxed{503}"]).unwrap();
        let rewards: Vec<f64> = answers.iter().filter_map(Answer::reward).collect();
        assert_eq!(rewards, [0.0, 1.0, 0.0, 0.0, 1.0]);
        let seen = fake.seen.lock().unwrap();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0]["items"].as_array().unwrap().len(), 2);
        assert_eq!(seen[0]["items"][0]["problem"]["task"]["type"], "math");
    }

    #[test]
    fn settings_that_cannot_work_are_named() {
        for (urls, words) in [(vec![], "no verifier URL"), (vec!["localhost:80".to_owned()], "localhost:80")]
        {
            let error = RewardClient::new(Rewards { urls, ..Default::default() }).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}

//! Against a verifier on loopback that follows a script.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use serde_json::{Value, json};

use super::*;
use crate::data::stream;
use crate::tasks::{Family, Split};

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
    /// As `Grade`, each answer in a line, the last first.
    Lines,
    /// Answers the first item in a line; then the connection is cut.
    LineThenCut,
    /// Answers the first item in a line, and nothing more.
    LineThenHang,
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
                Play::LineThenHang => {
                    connection.write_all(reply(script[at], &request).as_bytes()).unwrap();
                    hanging.push(connection);
                }
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
    let without =
        |outcome: &str| json!({ "outcome": outcome, "verdict": null, "reward": null, "reason": "because" });
    let mut results: Vec<Value> = match play {
        Play::InfraError => items.iter().map(|_| without("infra_error")).collect(),
        Play::Unsupported => items.iter().map(|_| without("unsupported")).collect(),
        Play::Invalid => items.iter().map(|_| without("invalid")).collect(),
        Play::NoReward => items.iter().map(|_| without("graded")).collect(),
        _ => items.iter().map(grade).collect(),
    };
    if matches!(play, Play::Lines | Play::LineThenCut | Play::LineThenHang) {
        let line = |(index, mut result): (usize, Value)| {
            result["index"] = index.into();
            format!("{result}\n")
        };
        let lines: Vec<String> = results.into_iter().enumerate().map(line).rev().collect();
        let whole = matches!(play, Play::Lines);
        let body = if whole { lines.concat() } else { lines[lines.len() - 1].clone() };
        // A length that never comes is what a cut, or a wait, looks like to the reader.
        let length = if whole { body.len() } else { body.len() + 1 };
        let kind = "content-type: application/x-ndjson\r\nconnection: close";
        return format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n{kind}\r\n\r\n{body}");
    }
    if matches!(play, Play::Short) {
        results.pop();
    }
    let body = json!({ "results": results }).to_string();
    let (status, body) = match play {
        Play::Status(status) => (status, "a proxy's page".to_owned()),
        _ => (200, body),
    };
    let text =
        format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
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
        (&[Lines], [Some(1.0), Some(0.0)]),
        // What came is kept; only the rest is asked again, or is without a reward.
        (&[LineThenCut, Lines], [Some(1.0), Some(0.0)]),
        (&[LineThenCut, InfraError], [Some(1.0), None]),
        (&[LineThenHang], [Some(1.0), Some(0.0)]),
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

/// One item in each request.
fn items(fake: &Fake) -> Vec<usize> {
    fake.seen.lock().unwrap().iter().map(|request| request["items"].as_array().unwrap().len()).collect()
}

/// A whole batch was asked again for the one item that the verifier had not answered, and one slow item kept the rewards
/// of all others for as long as all tries took.
#[test]
fn one_slow_reward_holds_nothing_beyond_its_deadline() {
    let fake = fake(&[Play::LineThenHang]);
    let settings = Rewards { timeout: 60.0, deadline: 0.3, ..settings(&[&fake]) };
    let answers = grade(settings, &["\\boxed{503}", "slow"]).unwrap();
    assert_eq!(answers[0].reward(), Some(1.0));
    let Answer::InfraError(why) = &answers[1] else { panic!("{answers:?}") };
    assert!(why.contains("no answer in 0.3 s, rewards.deadline"), "{why}");
    assert_eq!(items(&fake), [2]);
}

#[test]
fn only_what_was_not_answered_is_asked_again() {
    let fake = fake(&[Play::LineThenCut, Play::Lines]);
    grade(settings(&[&fake]), &["\\boxed{503}", "a", "b"]).unwrap();
    assert_eq!(items(&fake), [3, 2]);
}

/// The second completion is written only once the verifier has seen the first.
#[test]
fn completions_are_graded_while_others_are_written() {
    let fake = fake(&[Play::Lines]);
    let client = RewardClient::new(settings(&[&fake])).unwrap();
    let problem = question();
    let write = |say: &mut dyn FnMut(usize, &str)| -> Result<&str, RewardError> {
        say(1, "a");
        let begun = Instant::now();
        while fake.seen.lock().unwrap().is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(60), "nothing was asked while nothing was written");
            std::thread::sleep(Duration::from_millis(2));
        }
        say(0, "\\boxed{503}");
        say(2, "a");
        Ok("written")
    };
    let begun = Instant::now();
    let (written, answered) = client.grade_while(&[&problem, &problem, &problem], write).unwrap();
    assert_eq!(written, "written");
    let rewards: Vec<Option<f64>> = answered.answers.iter().map(Answer::reward).collect();
    assert_eq!(rewards, [Some(1.0), Some(0.0), Some(0.0)]);
    // The third is the second again, and was not asked about.
    assert_eq!(answered.latencies.len(), 2);
    assert!(answered.latencies.iter().all(|latency| !latency.is_zero() && *latency < begun.elapsed()));
    // A writer that fails is not waited for.
    let hanging = self::fake(&[Play::Hang]);
    let client = RewardClient::new(Rewards { timeout: 600.0, ..settings(&[&hanging]) }).unwrap();
    let failed = client.grade_while(&[&problem], |say| {
        say(0, "a");
        Err::<(), _>(RewardError::Setup("no more tokens".to_owned()))
    });
    assert!(failed.unwrap_err().to_string().contains("no more tokens"));
}

/// A verifier that failed is passed over for a while; one alone is asked all the same.
#[test]
fn a_verifier_that_failed_rests() {
    let (broken, sound) = (fake(&[Play::Status(500)]), fake(&[Play::Lines]));
    let settings = Rewards { batch: 1, in_flight: 1, ..settings(&[&broken, &sound]) };
    let answers = grade(settings, &["a", "b", "c", "d", "e"]).unwrap();
    assert!(answers.iter().all(|answer| answer.reward() == Some(0.0)), "{answers:?}");
    assert_eq!((items(&broken).len(), items(&sound).len()), (1, 5));
}

/// What one verifier could not judge, another may.
#[test]
fn an_infra_error_of_one_verifier_is_tried_at_another() {
    let (broken, sound) = (fake(&[Play::InfraError]), fake(&[Play::Grade]));
    let answers = grade(settings(&[&broken, &sound]), &["\\boxed{503}"]).unwrap();
    assert_eq!(answers[0].reward(), Some(1.0));
}

#[test]
fn verifiers_with_a_token_get_it() {
    let dir = tempfile::tempdir().unwrap();
    let token_file = Some(dir.path().join("token"));
    let rewards = || Rewards { token_file: token_file.clone(), ..settings(&[]) };
    let refused = headers(&rewards()).unwrap_err().to_string();
    assert!(refused.contains("rewards.token_file") && refused.contains("No such file"), "{refused}");
    std::fs::write(token_file.as_ref().unwrap(), "secret\n").unwrap();
    let headers = headers(&rewards()).unwrap();
    assert_eq!(headers[AUTHORIZATION], "Bearer secret");
    assert!(!format!("{headers:?}").contains("secret"));
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
    for (urls, words) in [(vec![], "no verifier URL"), (vec!["localhost:80".to_owned()], "localhost:80")] {
        let error = RewardClient::new(Rewards { urls, ..Default::default() }).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

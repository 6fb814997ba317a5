//! `assay bench` against servers that are worse than real ones: they refuse, lie, hang up and die. Whatever they do, every
//! sample is there once in the end, or counted as missing.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

/// What a server does with a request.
enum Act {
    Answer(String),
    Status(u16, &'static str),
    /// A 200 with this body.
    Body(&'static str),
    /// Half a head and the end of the connection.
    HangUp,
    /// The process behind it dies: from now on nobody listens.
    Die,
}

/// Decides from the request's number, from 0, and its body.
type Script = dyn Fn(usize, &Value) -> Act + Send + Sync;

struct Server {
    address: SocketAddr,
    /// Bodies of requests that were answered, and of all.
    answered: Mutex<Vec<Value>>,
    asked: Mutex<Vec<(String, Value)>>,
    count: AtomicUsize,
}

impl Server {
    fn start(script: impl Fn(usize, &Value) -> Act + Send + Sync + 'static) -> Arc<Server> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let server = Arc::new(Server {
            address: listener.local_addr().expect("its address"),
            answered: Mutex::default(),
            asked: Mutex::default(),
            count: AtomicUsize::new(0),
        });
        let (shared, script): (_, Arc<Script>) = (server.clone(), Arc::new(script));
        let (died, death) = std::sync::mpsc::channel::<()>();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if death.try_recv().is_ok() {
                    return;
                }
                let (server, script, died) = (shared.clone(), script.clone(), died.clone());
                thread::spawn(move || while server.serve(&stream, &*script, &died).is_some() {});
            }
        });
        server
    }

    fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// One request of a connection; `None` when it is over.
    fn serve(
        &self,
        mut stream: &TcpStream,
        script: &Script,
        died: &std::sync::mpsc::Sender<()>,
    ) -> Option<()> {
        let mut reader = BufReader::new(stream);
        let (mut line, mut path, mut length) = (String::new(), String::new(), 0);
        while reader.read_line(&mut line).ok()? > 0 && line != "\r\n" {
            if path.is_empty() {
                path = line.split(' ').nth(1)?.to_owned();
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
            line.clear();
        }
        if path.is_empty() {
            return None;
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let body: Value = serde_json::from_slice(&body).expect("a JSON body");
        self.asked.lock().expect("no panic").push((path.clone(), body.clone()));
        let mut send = |status: u16, headers: &str, text: &str| {
            let length = text.len();
            write!(stream, "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n{headers}\r\n{text}").ok()
        };
        match script(self.count.fetch_add(1, Ordering::SeqCst), &body) {
            Act::Answer(text) => {
                let choice = match path.ends_with("/chat/completions") {
                    true => {
                        json!({ "message": { "role": "assistant", "content": text }, "finish_reason": "stop" })
                    }
                    false => json!({ "text": text, "finish_reason": "length" }),
                };
                let usage = json!({ "prompt_tokens": 3, "completion_tokens": 5 });
                send(200, "", &json!({ "choices": [choice], "usage": usage }).to_string())?;
                self.answered.lock().expect("no panic").push(body);
                Some(())
            }
            Act::Status(status, headers) => send(status, headers, "{\"error\": {\"message\": \"no\"}}"),
            Act::Body(text) => send(200, "", text),
            Act::HangUp => {
                let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-");
                stream.shutdown(std::net::Shutdown::Both).ok()?;
                None
            }
            Act::Die => {
                let _ = died.send(());
                // The listener wakes for this connection and is gone with it.
                let _ = TcpStream::connect(self.address);
                stream.shutdown(std::net::Shutdown::Both).ok()?;
                None
            }
        }
    }

    /// How often each seed was answered.
    fn answers(&self) -> HashMap<u64, usize> {
        let mut answers = HashMap::new();
        for body in &*self.answered.lock().expect("no panic") {
            *answers.entry(body["seed"].as_u64().expect("a seed")).or_default() += 1;
        }
        answers
    }
}

/// One message of HTTP with a content-length, as it came; `None` when the connection is over.
fn message(stream: &mut impl Read) -> Option<Vec<u8>> {
    let (mut bytes, mut byte) = (Vec::new(), [0]);
    while !bytes.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        bytes.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some([bytes, body].concat())
}

/// TLS in front of a server, with a certificate of its own: its address, and the certificate.
fn behind_tls(server: &Server) -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|config| config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key))
        .expect("a server's settings");
    let (config, plain) = (Arc::new(config), server.address);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let config = config.clone();
            thread::spawn(move || -> Option<()> {
                let mut outside = StreamOwned::new(ServerConnection::new(config).ok()?, stream);
                let mut inside = TcpStream::connect(plain).ok()?;
                loop {
                    inside.write_all(&message(&mut outside)?).ok()?;
                    outside.write_all(&message(&mut inside)?).ok()?;
                    outside.flush().ok()?;
                }
            });
        }
    });
    (format!("https://localhost:{port}/v1"), made.cert.pem())
}

/// Right for the problems that say so; the server sees the prompt alone.
fn answer(body: &Value) -> Act {
    let text = body.to_string();
    let even = body["seed"].as_u64().is_some_and(|seed| seed.is_multiple_of(2));
    Act::Answer(match (text.contains("Echo"), even) {
        (true, true) => "```python\nprint(input())\n```".to_owned(),
        (true, false) => "```python\nprint('no')\n```".to_owned(),
        (false, true) => "It is \\boxed{2}.".to_owned(),
        (false, false) => "It is \\boxed{3}.".to_owned(),
    })
}

/// A folder with problems: math alone, or a program to write among them.
fn folder(code: bool) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let math = |id: &str| json!({"question_id": id, "prompt": format!("{id}: 1 + 1?"), "task": {"type": "math", "ground_truth": "2"}});
    let echo = json!({"question_id": "echo", "prompt": "Echo a line.", "task": {"type": "code",
        "test_cases": [{"input": "x\n", "output": "x\n"}]}});
    let rows = if code { [math("a"), echo, math("c")] } else { [math("a"), math("b"), math("c")] };
    let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
    fs::write(folder.path().join("problems.jsonl"), text).expect("write");
    folder
}

fn bench(folder: &Path, server: &Server, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_assay"));
    command.args(["bench", "problems.jsonl", "--model", "m", "--out", "out", "--samples", "4", "--json"]);
    command.args(["--pause", "10ms"]).args(more).current_dir(folder);
    if !more.contains(&"--base-url") {
        command.args(["--base-url", &server.url()]);
    }
    command
}

fn run(folder: &Path, server: &Server, more: &[&str]) -> Output {
    bench(folder, server, more).output().expect("assay starts")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn report(output: &Output, code: i32) -> Value {
    assert_eq!(output.status.code(), Some(code), "{}", stderr(output));
    serde_json::from_slice(&output.stdout).expect("one JSON value on stdout")
}

/// `question_id sample` of each line, sorted; every line is whole.
fn samples(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).expect("a file of rows");
    assert!(text.is_empty() || text.ends_with('\n'), "whole lines");
    let row = |line: &str| {
        let row: Value = serde_json::from_str(line).expect("a JSON line");
        format!("{} {}", row["question_id"].as_str().expect("an id"), row["sample"])
    };
    let mut samples: Vec<String> = text.lines().map(row).collect();
    samples.sort();
    samples
}

/// Every sample once in both files.
fn assert_whole(folder: &Path, ids: &[&str]) {
    let expected: Vec<String> = ids.iter().flat_map(|id| (0..4).map(move |n| format!("{id} {n}"))).collect();
    for file in ["completions.jsonl", "graded.jsonl", "details.jsonl"] {
        assert_eq!(samples(&folder.join("out").join(file)), expected, "{file}");
    }
}

#[test]
fn a_server_in_trouble_costs_time_and_no_sample() {
    let folder = folder(true);
    let server = Server::start(|number, body| match number {
        0 | 4 => Act::Status(429, "retry-after: 0\r\n"),
        1 | 6 => Act::Status(503, ""),
        2 => Act::HangUp,
        3 => Act::Body("<html>busy</html>"),
        5 => Act::Body("{\"choices\": []}"),
        _ => answer(body),
    });
    let output = run(folder.path(), &server, &["--concurrency", "3", "--template", "plain"]);
    let report = report(&output, 0);
    assert_whole(folder.path(), &["a", "c", "echo"]);
    assert_eq!(report["samples"], json!(12));
    let generation = json!({"asked": 12, "obtained": 12, "missing": 0, "truncated": 0, "prompt_tokens": 36,
                            "completion_tokens": 60, "uncounted": 0});
    assert_eq!(report["generation"], generation);
    let answers = server.answers();
    assert!(answers.len() == 12 && answers.values().all(|&count| count == 1), "{answers:?}");
    let asked = server.asked.lock().expect("no panic");
    let (path, body) = &asked[0];
    assert_eq!((path.as_str(), &body["model"], &body["n"]), ("/v1/chat/completions", &json!("m"), &json!(1)));
    assert_eq!(
        (&body["temperature"], &body["top_p"], &body["max_tokens"]),
        (&json!(0.6), &json!(0.95), &json!(32768))
    );
    assert_eq!(body["messages"], json!([{"role": "user", "content": "a: 1 + 1?"}]));

    // What `assay grade` says of the same completions.
    let arguments = ["grade", "problems.jsonl", "out/completions.jsonl", "--out", "graded", "--json"];
    let graded =
        Command::new(env!("CARGO_BIN_EXE_assay")).args(arguments).current_dir(folder.path()).output();
    let graded: Value = serde_json::from_slice(&graded.expect("assay starts").stdout).expect("JSON");
    for key in ["problems", "samples", "pass@1", "pass@k_unbiased", "interval_95", "verdicts", "by_platform"]
    {
        assert_eq!(report[key], graded[key], "{key}");
    }
    for file in ["report.html", "completions_eval.json", "completions_eval_all.json", "run.json"] {
        assert!(folder.path().join("out").join(file).exists(), "{file}");
    }
}

/// The server dies after five answers; what is left is missing, not wrong, and comes later from another port.
#[test]
fn what_is_missing_is_no_zero_and_comes_with_resume() {
    let folder = folder(false);
    let dying = Server::start(|number, _| match number {
        0..5 => Act::Answer("\\boxed{2}".to_owned()),
        _ => Act::Die,
    });
    let output = run(folder.path(), &dying, &["--tries", "2", "--concurrency", "1"]);
    let first = report(&output, 3);
    assert!(stderr(&output).contains("7 of 12 samples were not obtained"), "{}", stderr(&output));
    assert_eq!((&first["samples"], &first["pass@1"]), (&json!(5), &json!(1.0)));
    assert_eq!(first["generation"]["missing"], json!(7));
    assert!(first["warnings"][0].as_str().is_some_and(|text| text.contains("not obtained")), "{first}");

    // A storm: nothing comes, nothing is lost.
    let storm = Server::start(|_, _| Act::Status(429, "retry-after: 0\r\n"));
    let output = run(folder.path(), &storm, &["--resume", "--tries", "2"]);
    assert_eq!(report(&output, 3)["generation"]["missing"], json!(7));
    assert_eq!(storm.asked.lock().expect("no panic").len(), 14, "two tries each");

    let server = Server::start(|_, body| answer(body));
    let last = report(&run(folder.path(), &server, &["--resume"]), 0);
    assert_whole(folder.path(), &["a", "b", "c"]);
    assert_eq!((&last["samples"], &last["generation"]["missing"]), (&json!(12), &json!(0)));
    assert_eq!(server.answers().len(), 7, "what was there is not asked for again");
}

/// Killed again and again in the middle, each time with requests open and rows half written.
#[test]
fn a_killed_run_goes_on_where_it_was() {
    let folder = folder(false);
    let server = Server::start(|_, body| {
        thread::sleep(Duration::from_millis(60));
        answer(body)
    });
    let lines = || {
        let text = fs::read_to_string(folder.path().join("out/completions.jsonl")).unwrap_or_default();
        text.matches('\n').count()
    };
    for (round, until) in [3, 6, 9].into_iter().enumerate() {
        let resume: &[&str] = if round == 0 { &[] } else { &["--resume"] };
        let mut command = bench(folder.path(), &server, &[&["--concurrency", "2"], resume].concat());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("assay starts");
        while lines() < until && child.try_wait().expect("a child").is_none() {
            thread::sleep(Duration::from_millis(5));
        }
        child.kill().expect("SIGKILL");
        child.wait().expect("it ends");
        assert!(lines() >= until);
        // And as if the power had failed in the middle of a line.
        let mut file = fs::OpenOptions::new().append(true).open(folder.path().join("out/graded.jsonl"));
        if let Ok(file) = &mut file {
            file.write_all(b"{\"question_id\": \"a\", \"sam").expect("write");
        }
    }
    let report = report(&run(folder.path(), &server, &["--resume"]), 0);
    assert_whole(folder.path(), &["a", "b", "c"]);
    assert_eq!(report["samples"], json!(12));
}

#[test]
fn what_cannot_work_is_one_clear_line() {
    let folder = folder(false);
    let path = folder.path();
    let server = Server::start(|_, body| match body.to_string().contains("b: 1") {
        true => Act::Status(400, ""),
        false => answer(body),
    });
    // A request that is refused is that sample's loss, at once.
    let output = run(path, &server, &[]);
    assert_eq!(report(&output, 3)["generation"]["missing"], json!(4));
    assert_eq!(server.asked.lock().expect("no panic").len(), 12);
    let closed = Server::start(|_, _| Act::Status(401, ""));
    let rows: [(&[&str], &Server, &str); 9] = [
        (&[], &server, "already holds completions; go on with --resume"),
        (&["--resume", "--temperature", "1"], &server, "`generation` has changed"),
        (&["--resume", "--profile", "lcb"], &server, "`profile` has changed"),
        (&["--resume"], &closed, "the server refuses: HTTP 401"),
        (&["--suite", "aime23"], &server, "the suites are aime24, aime25"),
        (&["--template", "x"], &server, "the templates are acereason-code"),
        (&["--temperature", "hot"], &server, "--temperature"),
        (&["--api-key-env", "ASSAY_NO_SUCH_KEY"], &server, "no such variable"),
        (&["--start-date", "2024-01-01"], &server, "in the window"),
    ];
    for (arguments, server, part) in rows {
        let output = run(path, server, arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(part), "{arguments:?}: {}", stderr(&output));
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_assay"));
    command.args(["bench", "problems.jsonl", "--model", "m", "--out", "o", "--base-url", "127.0.0.1:8000"]);
    let output = command.current_dir(path).output().expect("assay starts");
    assert!(stderr(&output).contains("give it as http://127.0.0.1:8000/v1"), "{}", stderr(&output));
}

/// A certificate that the machine trusts; and one that it does not, which must not be talked to.
#[test]
fn a_server_behind_tls() {
    let folder = folder(false);
    let server = Server::start(|_, body| answer(body));
    let (url, certificate) = behind_tls(&server);
    fs::write(folder.path().join("trusted.pem"), certificate).expect("write");
    let ask = |more: &[&str]| {
        let mut command = bench(folder.path(), &server, &[more, &["--base-url", &url]].concat());
        command.env_remove("SSL_CERT_DIR");
        command
    };
    let stranger = ask(&["--tries", "1"]).env("SSL_CERT_FILE", "/dev/null").output().expect("assay starts");
    assert_eq!(stranger.status.code(), Some(3), "{}", stderr(&stranger));
    assert!(server.asked.lock().expect("no panic").is_empty(), "a stranger was told the prompts");
    let trusted = ask(&["--resume"]).env("SSL_CERT_FILE", "trusted.pem").output().expect("assay starts");
    assert_eq!(report(&trusted, 0)["samples"], json!(12));
}

/// The suite and its window know the same number of problems, and each warned in words of its own.
#[test]
fn a_suite_with_a_window_warns_once() {
    let folder = folder(false);
    let row = json!({"question_id": "a", "prompt": "1 + 1?", "contest_date": "2024-09-01",
        "task": {"type": "math", "ground_truth": "2"}});
    fs::write(folder.path().join("problems.jsonl"), row.to_string()).expect("write");
    let server = Server::start(|_, body| answer(body));
    let output = run(folder.path(), &server, &["--suite", "lcb-v5", "--format", "native"]);
    let value = report(&output, 0);
    let said = "lcb-v5 has 279 problems where it was published, and 1 here";
    assert!(
        stderr(&output).contains(said) && !stderr(&output).contains("suite lcb-v5"),
        "{}",
        stderr(&output)
    );
    assert!(value["warnings"].to_string().contains(said), "{value}");
}

/// The whole prompt as text, with the model's frame, a key, and a suite that the file does not fill.
#[test]
fn a_server_that_continues_text() {
    let folder = folder(false);
    let server = Server::start(|_, body| answer(body));
    let arguments = ["--text", "--suite", "aime25", "--api-key-env", "ASSAY_TEST_KEY", "--format", "native"];
    let output = bench(folder.path(), &server, &arguments).env("ASSAY_TEST_KEY", "secret").output();
    let output = output.expect("assay starts");
    let value = report(&output, 0);
    assert!(
        stderr(&output).contains("suite aime25 (AIME 2025, parts I and II) has 30 problems"),
        "{}",
        stderr(&output)
    );
    assert_eq!(value["generation"]["truncated"], json!(12), "finish_reason length");
    let asked = server.asked.lock().expect("no panic");
    assert!(asked.iter().all(|(path, _)| path == "/v1/completions"));
    let prompt = asked[0].1["prompt"].as_str().expect("a prompt");
    assert!(
        prompt.starts_with("<|im_start|>system\n") && prompt.ends_with("assistant\n<think>\n"),
        "{prompt}"
    );
    let everything = format!("{value}{}", stderr(&output));
    assert!(!everything.contains("secret"));
}

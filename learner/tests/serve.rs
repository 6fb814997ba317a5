//! `assay-train serve` over loopback, as its clients see it.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use assay_learner::adapter;
use assay_learner::model::{Config, Gradients, Lora, Model, Precision, Target};
use assay_learner::optim::AdamW;
use assay_learner::tokenizer::Tokenizer;
use serde_json::{Value, json};

const END: &str = "<|im_end|>";
const CONTEXT: usize = 8192;

/// A checkpoint that speaks ChatML, without sense.
fn checkpoint(directory: &Path) {
    let texts: Vec<String> = (0..40).map(|i| format!("{i} + {i} = {}\n", 2 * i)).collect();
    let tokenizer = Tokenizer::train(&texts, 300, &["<|endoftext|>", "<|im_start|>", END]).unwrap();
    let config = Config {
        initializer_range: 0.2,
        max_position_embeddings: CONTEXT,
        ..Config::tiny(tokenizer.vocab_size(), 32, 2, 4, 2)
    };
    Model::random(&config, 5).unwrap().save(directory, Precision::F32).unwrap();
    tokenizer.save(directory).unwrap();
    // Its three special tokens, the first rows of the embedding that is also the head, become nothing: their logits are
    // 0, which is never the greatest, so greedily no completion ends by itself.
    let path = directory.join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    let data = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..data]).unwrap();
    let at = data + header["model.embed_tokens.weight"]["data_offsets"][0].as_u64().unwrap() as usize;
    bytes[at..at + 3 * 32 * 4].fill(0);
    std::fs::write(path, bytes).unwrap();
}

struct Server {
    child: Child,
    address: String,
    stderr: Option<std::thread::JoinHandle<String>>,
}

impl Server {
    fn start(directory: &Path, more: &[&str]) -> Server {
        let mut child = Command::new(env!("CARGO_BIN_EXE_assay-train"))
            .args(["serve", "--listen", "127.0.0.1:0", "--name", "toy", "--model"])
            .arg(directory)
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let stderr = std::thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).unwrap();
            text
        });
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address =
            line.trim().strip_prefix("http://").unwrap_or_else(|| panic!("said {line:?}")).to_owned();
        Server { child, address, stderr: Some(stderr) }
    }

    fn send(&self, head: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let length = body.len();
        write!(
            stream,
            "{head} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        stream
    }

    /// Status and body; chunks are put together.
    fn ask(&self, head: &str, body: &str) -> (u16, String) {
        read(self.send(head, body))
    }

    fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let (status, text) = self.ask(&format!("POST {path}"), &body.to_string());
        (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}")))
    }

    /// The events of a streamed answer.
    fn events(&self, path: &str, body: &Value) -> Vec<Value> {
        let (status, text) = self.ask(&format!("POST {path}"), &body.to_string());
        assert_eq!(status, 200, "{text}");
        let mut events: Vec<&str> = text.split("\n\n").filter(|event| !event.is_empty()).collect();
        assert_eq!(events.pop(), Some("data: [DONE]"));
        events
            .iter()
            .map(|event| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap())
            .collect()
    }

    fn health(&self) -> Value {
        serde_json::from_str(&self.ask("GET /healthz", "").1).unwrap()
    }

    /// Waits until the health is so, and fails if it never is.
    fn wait(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let from = Instant::now();
        loop {
            let health = self.health();
            if holds(&health) {
                return health;
            }
            assert!(from.elapsed() < Duration::from_secs(60), "{what} never came: {health}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Exit code and what was said on stderr.
    fn ended(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        (code, self.stderr.take().unwrap().join().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(stream: TcpStream) -> (u16, String) {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).unwrap().parse().unwrap();
    let mut chunked = false;
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line).unwrap();
        chunked |= line.to_ascii_lowercase().starts_with("transfer-encoding: chunked");
    }
    let mut body = Vec::new();
    if !chunked {
        reader.read_to_end(&mut body).unwrap();
    }
    while chunked {
        line.clear();
        reader.read_line(&mut line).unwrap();
        let length = usize::from_str_radix(line.trim(), 16).unwrap();
        let at = body.len();
        body.resize(at + length + 2, 0);
        reader.read_exact(&mut body[at..]).unwrap();
        body.truncate(at + length);
        chunked = length > 0;
    }
    (status, String::from_utf8(body).unwrap())
}

#[test]
fn completions_and_conversations_are_answered_whole_and_streamed_alike() {
    let directory = tempfile::tempdir().unwrap();
    checkpoint(directory.path());
    let tokenizer = Tokenizer::load(directory.path()).unwrap();
    let server = Server::start(directory.path(), &["--batch-invariant"]);
    let ask =
        json!({"model": "toy", "prompt": "1 + 1 =", "max_tokens": 24, "n": 3, "seed": 7, "logprobs": 2});
    let (status, whole) = server.post("/v1/completions", &ask);
    assert_eq!(status, 200, "{whole}");
    assert_eq!((&whole["object"], &whole["model"]), (&json!("text_completion"), &json!("toy")));
    let choices = whole["choices"].as_array().unwrap();
    assert_eq!(choices.len(), 3);
    let mut tokens = 0;
    for (index, choice) in choices.iter().enumerate() {
        assert_eq!(choice["index"], index);
        let logprobs = &choice["logprobs"];
        let count = logprobs["tokens"].as_array().unwrap().len();
        tokens += count;
        for at in 0..count {
            assert!(logprobs["token_logprobs"][at].as_f64().unwrap() <= 0.0);
            assert!((1..=2).contains(&logprobs["top_logprobs"][at].as_object().unwrap().len()));
        }
        assert!(choice["finish_reason"] == "stop" || count == 24, "{choice}");
    }
    let prompt = tokenizer.encode("1 + 1 =").unwrap().len();
    let usage =
        json!({"prompt_tokens": prompt, "completion_tokens": tokens, "total_tokens": prompt + tokens});
    assert_eq!(whole["usage"], usage);
    assert_ne!(choices[0]["text"], choices[1]["text"]);
    // The same again; with other token ids for the same prompt, in company; and as a stream.
    assert_eq!(server.post("/v1/completions", &ask).1["choices"], whole["choices"]);
    let mut two = ask.clone();
    two["prompt"] = json!([tokenizer.encode("1 + 1 =").unwrap(), [5, 6, 7]]);
    let both = server.post("/v1/completions", &two).1;
    assert_eq!(both["choices"].as_array().unwrap().len(), 6);
    assert_eq!(both["choices"].as_array().unwrap()[..3], choices[..]);
    let mut streamed = ask.clone();
    (streamed["stream"], streamed["stream_options"]) = (json!(true), json!({"include_usage": true}));
    let mut events = server.events("/v1/completions", &streamed);
    let last = events.pop().unwrap();
    assert_eq!((&last["usage"], &last["choices"]), (&usage, &json!([])));
    let (mut texts, mut ends, mut ids) = (vec![String::new(); 3], vec![Value::Null; 3], vec![Vec::new(); 3]);
    for event in &events {
        assert_eq!((&event["id"], &event["object"]), (&last["id"], &json!("text_completion")));
        let choice = &event["choices"][0];
        let index = choice["index"].as_u64().unwrap() as usize;
        assert!(ends[index].is_null(), "nothing follows the end");
        texts[index] += choice["text"].as_str().unwrap();
        ends[index] = choice["finish_reason"].clone();
        ids[index].extend(choice["logprobs"]["tokens"].as_array().into_iter().flatten().cloned());
    }
    for (index, choice) in choices.iter().enumerate() {
        assert_eq!(
            (&texts[index], &ends[index]),
            (&choice["text"].as_str().unwrap().to_owned(), &choice["finish_reason"])
        );
        assert_eq!(Value::from(ids[index].clone()), choice["logprobs"]["tokens"]);
    }

    // A stop string of the greedy completion cuts it there, streamed or not.
    let greedy = json!({"prompt": "7 + 7 =", "max_tokens": 40, "temperature": 0});
    let free = server.post("/v1/completions", &greedy).1["choices"][0]["text"].as_str().unwrap().to_owned();
    let stop: String = free.chars().skip(free.chars().count() / 2).take(3).collect();
    let before = &free[..free.find(&stop).unwrap()];
    let mut stopping = greedy.clone();
    stopping["stop"] = json!([stop, "never in it"]);
    let stopped = server.post("/v1/completions", &stopping).1;
    assert_eq!(stopped["choices"][0]["text"], before);
    assert_eq!(stopped["choices"][0]["finish_reason"], "stop");
    assert_eq!(stopped["choices"][0]["logprobs"], Value::Null);
    stopping["stream"] = json!(true);
    let events = server.events("/v1/completions", &stopping);
    let text: String = events.iter().map(|event| event["choices"][0]["text"].as_str().unwrap()).collect();
    assert_eq!(text, before);

    // A conversation is the template's text.
    let chat = json!({"messages": [{"role": "user", "content": "2 + 2 ="}], "max_tokens": 12, "temperature": 0,
        "logprobs": true, "top_logprobs": 1});
    let (status, said) = server.post("/v1/chat/completions", &chat);
    assert_eq!(status, 200, "{said}");
    let message = &said["choices"][0]["message"];
    assert_eq!((&said["object"], &message["role"]), (&json!("chat.completion"), &json!("assistant")));
    let text = "<|im_start|>user\n2 + 2 =<|im_end|>\n<|im_start|>assistant\n";
    let plain =
        server.post("/v1/completions", &json!({"prompt": text, "max_tokens": 12, "temperature": 0})).1;
    assert_eq!(message["content"], plain["choices"][0]["text"]);
    assert_eq!(said["usage"], plain["usage"]);
    // Greedily the drawn token is the most probable one.
    for token in said["choices"][0]["logprobs"]["content"].as_array().unwrap() {
        assert_eq!(token["top_logprobs"][0]["token"], token["token"]);
        assert_eq!(token["top_logprobs"][0]["logprob"], token["logprob"]);
    }
    let mut streamed = chat.clone();
    streamed["stream"] = json!(true);
    let events = server.events("/v1/chat/completions", &streamed);
    assert_eq!(events[0]["choices"][0]["delta"], json!({"role": "assistant", "content": ""}));
    let content: String =
        events.iter().map(|event| event["choices"][0]["delta"]["content"].as_str().unwrap_or("")).collect();
    assert_eq!(message["content"], content);
    assert_eq!(events.last().unwrap()["choices"][0]["finish_reason"], said["choices"][0]["finish_reason"]);
    let models: Value = serde_json::from_str(&server.ask("GET /v1/models", "").1).unwrap();
    assert_eq!(
        (&models["data"][0]["id"], &models["data"][0]["max_model_len"]),
        (&json!("toy"), &json!(CONTEXT))
    );
}

#[test]
fn mistakes_are_answered_in_openais_form_and_the_server_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    checkpoint(directory.path());
    let server = Server::start(directory.path(), &["--cache-tokens", "64", "--chat-template", "none"]);
    let (completions, chat) = ("POST /v1/completions", "POST /v1/chat/completions");
    let rows: [(&str, Value, u16, &str); 10] = [
        (completions, json!("no object"), 400, "expected a JSON object"),
        (
            completions,
            json!({"prompt": "a", "model": "gpt"}),
            404,
            "there is no \"gpt\" here; this server has \"toy\"",
        ),
        (completions, json!({"prompt": ""}), 400, "prompt 0 has no tokens"),
        (completions, json!({"prompt": [1, 99999]}), 400, "token id 99999"),
        (completions, json!({"prompt": "a", "max_tokens": 9000}), 400, "the context is 8192 tokens"),
        (completions, json!({"prompt": "a", "max_tokens": 100}), 400, "more than the cache holds"),
        (completions, json!({"prompt": ["a", [1, 2]], "max_tokens": 63}), 400, "more than the cache holds"),
        (completions, json!({"prompt": "a", "echo": true}), 400, "echo"),
        (chat, json!({"messages": [{"role": "user", "content": "a"}]}), 400, "no chat template"),
        ("GET /v1/completions", json!({}), 405, "another method"),
    ];
    for (head, body, expected, says) in rows {
        let (status, text) = server.ask(head, &body.to_string());
        let error = &serde_json::from_str::<Value>(&text).unwrap()["error"];
        assert_eq!(status, expected, "{body}: {text}");
        assert!(error["message"].as_str().unwrap().contains(says), "{body}: {text}");
        assert!(error["type"] == "invalid_request_error" && error.get("param").is_some(), "{text}");
    }
    assert_eq!(server.ask("GET /nowhere", "").0, 404);
    assert_eq!(server.ask(completions, "{\"prompt\": ").0, 400);
    let health = server.health();
    assert_eq!((&health["rollouts"], &health["pages"]), (&json!(0), &json!(0)));
    // Eight at once where the cache holds two: they wait and make room, and all are answered.
    let eight = json!({"prompt": "a", "max_tokens": 40, "n": 8, "seed": 3});
    let answer = server.post("/v1/completions", &eight).1;
    assert_eq!(answer["choices"].as_array().unwrap().len(), 8);
}

/// A client that was gone left its completion running to the end, for nobody.
#[test]
fn a_client_that_hangs_up_takes_its_rollouts_with_it() {
    let directory = tempfile::tempdir().unwrap();
    checkpoint(directory.path());
    let server = Server::start(directory.path(), &[]);
    // Long enough to outlast the test.
    let mut body = json!({"prompt": "1 + 1 =", "max_tokens": CONTEXT - 100, "temperature": 0, "n": 4});
    for (dropped, stream) in [(1, true), (2, false)] {
        body["stream"] = json!(stream);
        let mut connection = server.send("POST /v1/completions", &body.to_string());
        if stream {
            let mut some = [0; 600];
            connection.read_exact(&mut some).unwrap();
            assert!(String::from_utf8_lossy(&some).contains("data: {"));
        }
        server.wait("the run", |health| health["running"] == 4);
        drop(connection);
        let health = server.wait("the drop", |health| health["rollouts"] == 0 && health["pages"] == 0);
        assert_eq!(health["dropped_requests"], dropped, "stream: {stream}");
    }
}

#[test]
fn a_signal_lets_what_was_asked_finish_and_takes_nothing_more() {
    let directory = tempfile::tempdir().unwrap();
    checkpoint(directory.path());
    let server = Server::start(directory.path(), &[]);
    let body = json!({"prompt": "1 + 1 =", "max_tokens": 3000, "temperature": 0});
    // Nobody waits for one that says nothing.
    let idle = TcpStream::connect(&server.address).unwrap();
    let asked = server.send("POST /v1/completions", &body.to_string());
    server.wait("the run", |health| health["running"] == 1);
    server.signal("-TERM");
    let (status, text) = read(asked);
    assert_eq!(status, 200, "{text}");
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["usage"]["completion_tokens"], 3000);
    let address = server.address.clone();
    let (code, stderr) = server.ended();
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("finishing what was asked"), "{stderr}");
    assert!(TcpStream::connect(address).is_err());
    drop(idle);

    // What does not finish in time is cut, and that is said.
    let server = Server::start(directory.path(), &["--grace", "0"]);
    let asked = server.send("POST /v1/completions", &body.to_string());
    server.wait("the run", |health| health["running"] == 1);
    server.signal("-TERM");
    let (code, stderr) = server.ended();
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("1 completions unfinished"), "{stderr}");
    drop(asked);
}

#[test]
fn tokens_keep_others_out_and_are_needed_beyond_loopback() {
    let directory = tempfile::tempdir().unwrap();
    checkpoint(directory.path());
    let file = directory.path().join("tokens");
    std::fs::write(&file, "first\n\nsecond\n").unwrap();
    let file = file.display().to_string();
    let server = Server::start(directory.path(), &["--token-file", &file]);
    let body = json!({"prompt": "a", "max_tokens": 1}).to_string();
    for (header, expected) in [("", 401), ("third", 401), ("firs", 401), ("second", 200)] {
        let mut stream = TcpStream::connect(&server.address).unwrap();
        let (head, length) = ("POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close", body.len());
        write!(stream, "{head}\r\nAuthorization: Bearer {header}\r\nContent-Length: {length}\r\n\r\n{body}")
            .unwrap();
        let (status, text) = read(stream);
        assert_eq!(status, expected, "{header}: {text}");
    }
    assert_eq!(server.ask("GET /v1/models", "").0, 401);
    assert_eq!(server.ask("GET /healthz", "").0, 200);

    let model = directory.path().display().to_string();
    let rows: [(&[&str], &str); 4] = [
        (&["--model", &model, "--listen", "0.0.0.0:0"], "reachable by others: give --token-file"),
        (&["--model", "nowhere"], "nowhere/config.json: No such file"),
        (&["--model", &model, "--listen", &server.address], "cannot serve at"),
        (&["--model", &model, "--chat-template", "chatlm"], "expected auto, none, chatml"),
    ];
    for (args, says) in rows {
        let output =
            Command::new(env!("CARGO_BIN_EXE_assay-train")).arg("serve").args(args).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(says) && stderr.lines().count() == 1, "{stderr}");
    }
}

/// An adapter beside its base, one that says where its base is, and the two merged are one model, and not the base.
#[test]
fn an_adapter_is_served_on_its_base() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let text = |name: &str| path(name).display().to_string();
    checkpoint(&path("base"));
    let mut model = Model::load(&path("base")).unwrap();
    let lora = Lora { rank: 4, alpha: 8.0, target_modules: Target::ALL.into() };
    model.adapt(&lora, 1).unwrap();
    let ones = model.trained().map(|(_, value)| value.ones_like().unwrap()).collect();
    let gradients = Gradients::from_tensors(&model, ones).unwrap();
    AdamW::new(&model).unwrap().update(&mut model, &gradients, 0.05).unwrap();
    adapter::save(&model, &path("base"), &path("adapter")).unwrap();
    let export = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_assay-train"));
        command.args(["export", "--json", "--adapter", &text("adapter")]).args(more).output().unwrap()
    };
    let merged = export(&["--out", &text("merged")]);
    let said: Value = serde_json::from_slice(&merged.stdout).unwrap_or_else(|_| panic!("{merged:?}"));
    assert_eq!((&said["dtype"], merged.status.code()), (&json!("f32"), Some(0)));
    // Nothing is replaced, and the base's numbers, or those asked for, are what is written.
    let again = export(&["--out", &text("merged")]);
    assert!(
        String::from_utf8_lossy(&again.stderr).contains("merged holds files; choose another --out"),
        "{again:?}"
    );
    Model::load(&path("base")).unwrap().save(&path("base"), Precision::Bf16).unwrap();
    let rows: [(&[&str], &str); 2] =
        [(&["--out", &text("half")], "bf16"), (&["--out", &text("full"), "--dtype", "f32"], "f32")];
    for (more, dtype) in rows {
        let done = export(more);
        let said: Value = serde_json::from_slice(&done.stdout).unwrap_or_else(|_| panic!("{done:?}"));
        assert_eq!(said["dtype"], dtype);
    }
    let bytes = |name: &str| std::fs::metadata(path(name).join("model.safetensors")).unwrap().len();
    assert!(bytes("half") < bytes("full") * 6 / 10);

    let ask = |model: &str, more: &[&str]| {
        let server = Server::start(&path(model), more);
        let body = json!({ "prompt": "7 + 7 =", "max_tokens": 24, "temperature": 0 });
        let (status, answer) = server.post("/v1/completions", &body);
        assert_eq!(status, 200, "{answer}");
        answer["choices"][0]["text"].as_str().unwrap().to_owned()
    };
    let beside = ask("base", &["--adapter", &text("adapter")]);
    assert_eq!(ask("adapter", &[]), beside);
    assert_eq!(ask("full", &[]), beside);
    assert_ne!(ask("base", &[]), beside);
}

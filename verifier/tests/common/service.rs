//! A service of a test's own, and a client that knows nothing but HTTP/1.1.

#![allow(dead_code, reason = "each test file uses its part")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

/// Longer than anything here takes on the slowest machine; only a hang reaches it.
pub(crate) const HANG: Duration = Duration::from_secs(120);

/// A server of this test's own; it ends when this is dropped, or when the test process does.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) fn start(arguments: &[&str]) -> Server {
        Server::of(serve(arguments))
    }

    /// Of a command that [`serve`] made.
    pub(crate) fn of(mut command: Command) -> Server {
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().split_once("://").and_then(|(_, address)| address.parse().ok());
        let Some(address) = address else {
            let output = child.wait_with_output().unwrap();
            panic!("no address but {line:?}; stderr: {}", String::from_utf8_lossy(&output.stderr));
        };
        let mut stderr = child.stderr.take().unwrap();
        thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
        Server { child, address }
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        request(self.address, "GET", path, &[], "")
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Reply {
        self.post_with(path, &[], body)
    }

    pub(crate) fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
        request(self.address, "POST", path, headers, &body.to_string())
    }

    /// A `/run_code` that must be answered 200.
    pub(crate) fn run_code(&self, body: &Value) -> Value {
        let reply = self.post("/run_code", body);
        assert_eq!(reply.status, 200, "{body}: {}", reply.body);
        reply.json()
    }

    /// All eight fields, as the usual client sends them.
    pub(crate) fn run_python(&self, code: &str) -> Value {
        self.run_code(&json!({
            "code": code, "language": "python", "stdin": "1 2\n", "compile_timeout": 10, "run_timeout": 1,
            "memory_limit_MB": 256, "files": {}, "fetch_files": [],
        }))
    }

    /// One metric's value; 0 while there is no such line.
    pub(crate) fn metric(&self, name_and_labels: &str) -> f64 {
        let text = self.get("/metrics").body;
        let value = text.lines().find_map(|line| line.strip_prefix(name_and_labels)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    pub(crate) fn wait_for_metric(&self, name: &str, value: f64) {
        wait_until(&format!("{name} to be {value}"), || self.metric(name) == value);
    }

    pub(crate) fn ask_and_do_not_wait(&self, path: &str, body: &Value) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let body = body.to_string();
        let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n");
        write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        stream
    }

    /// Keeps the only judge of a server with one slot busy for a few seconds.
    pub(crate) fn occupy(&self) -> Busy {
        let code = "import time\nend = time.monotonic() + 4\nwhile time.monotonic() < end: pass";
        let stream = self.ask_and_do_not_wait("/run_code", &json!({ "code": code, "run_timeout": 60 }));
        self.wait_for_metric("assay_in_flight", 1.0);
        Busy { stream }
    }

    /// Kills the process that starts the slots, the guardian's child that is not the server; false if there is
    /// none at the moment.
    pub(crate) fn kill_spawner(&self) -> bool {
        self.guarded(false).is_some_and(|pid| kill(Pid::from_raw(pid), Signal::SIGKILL).is_ok())
    }

    /// Kills one of the slots; false if there is none at the moment.
    pub(crate) fn kill_slot(&self) -> bool {
        let slots = self.guarded(false).map(children).unwrap_or_default();
        slots.last().is_some_and(|pid| kill(Pid::from_raw(*pid), Signal::SIGKILL).is_ok())
    }

    /// The server itself, or the process that starts the slots. Without a sandbox there is only the server, unguarded.
    fn guarded(&self, server: bool) -> Option<i32> {
        children(self.child.id().cast_signed()).into_iter().find(|pid| {
            let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            !line.is_empty() && line.contains("\0serve\0") == server
        })
    }

    /// Open descriptors of the server.
    pub(crate) fn descriptors(&self) -> usize {
        let server = self.guarded(true).unwrap_or(self.child.id().cast_signed());
        std::fs::read_dir(format!("/proc/{server}/fd")).unwrap().count()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait(&mut self.child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let give_up = Instant::now() + Duration::from_secs(2);
        while Instant::now() < give_up && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn children(pid: i32) -> Vec<i32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

/// A judge at work on a program that is busy.
pub(crate) struct Busy {
    pub(crate) stream: TcpStream,
}

impl Busy {
    /// Waits until the program has ended.
    pub(crate) fn release(self) {
        let mut stream = BufReader::new(self.stream);
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        assert!(line.contains(" 200 "), "{line}");
    }
}

pub(crate) fn serve(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_assay"));
    command.args(["serve", "--until-stdin-closes"]).args(arguments);
    if !arguments.contains(&"--listen") {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub(crate) fn wait(child: &mut Child) -> ExitStatus {
    let mut status = None;
    wait_until("the server to end", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap()
}

pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let give_up = Instant::now() + HANG;
    while !done() {
        assert!(Instant::now() < give_up, "waited too long for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

pub(crate) fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Reply {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(HANG)).unwrap();
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    if method == "POST" && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
        text.push_str("Content-Type: application/json\r\n");
    }
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    // A server that refuses early may close before it has read everything; its answer is there all the same.
    let _ = stream.write_all(text.as_bytes());
    read_reply(stream)
}

pub(crate) fn read_reply(mut stream: TcpStream) -> Reply {
    let mut bytes = Vec::new();
    let mut buffer = [0; 65536];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(_) if !bytes.is_empty() => break,
            Err(error) => panic!("no answer: {error}"),
        }
    }
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("an HTTP head");
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let raw = &bytes[end + 4..];
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { unchunk(raw) } else { raw.to_vec() };
    Reply { status, head, body: String::from_utf8(body).unwrap() }
}

pub(crate) fn unchunk(mut raw: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let end = raw.windows(2).position(|window| window == b"\r\n").expect("a chunk's length");
        let length = usize::from_str_radix(std::str::from_utf8(&raw[..end]).unwrap(), 16).unwrap();
        if length == 0 {
            return whole;
        }
        whole.extend_from_slice(&raw[end + 2..end + 2 + length]);
        raw = &raw[end + 2 + length + 2..];
    }
}

/// A gold no reader makes sense of.
pub(crate) const UNREADABLE: &str = "\\mystery{x}{";

pub(crate) fn math(ground_truth: &str, completion: &str) -> Value {
    json!({
        "problem": { "question_id": "m", "task": { "type": "math", "ground_truth": ground_truth } },
        "completion": completion,
    })
}

/// Reads two numbers, wants their sum; two tests.
pub(crate) fn sum(code: &str) -> Value {
    let tests = [("1 2\n", "3\n"), ("10 20\n", "30\n")];
    let tests: Vec<Value> = tests.iter().map(|(i, o)| json!({ "input": i, "output": o })).collect();
    json!({
        "problem": { "question_id": "sum", "task": { "type": "code", "test_cases": tests } },
        "completion": format!("Here it is:\n```python\n{code}\n```\n"),
    })
}

pub(crate) const RIGHT: &str = "print(sum(map(int, input().split())))";

pub(crate) fn file(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

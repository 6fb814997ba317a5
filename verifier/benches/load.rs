//! Requests per second of a service, over a few kept-alive connections, with latencies and CPU time, beside the sandbox's own runs of
//! the same programs.
//!
//! `cargo bench -p assay-verifier --bench load [-- --seconds 4 --repeats 3 --only NAME --address HOST:PORT --token TOKEN --json]`.
//! Without an address a service is started for it, without kept results. Every request has a program or an answer of its own, so
//! nothing is found in a cache, and every answer is checked: a wrong one ends the run. The last load asks four times as much as
//! can be worked on, with a deadline: each request is answered, or told 504 at its deadline.
//!
//! CPU is the whole machine's busy time per answer, without this client's own; so measure on an idle machine. The client shares the
//! cores with the service, so rates are a lower bound. All loads alternate; of each the best round counts.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use assay_sandbox::{Language, Limits, Prepared, Program, Sandbox, SandboxConfig, Termination};
use serde_json::json;

/// Items of a batch.
const BATCH: u64 = 1000;

/// Makes each request new.
static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// What the request with a number asks for.
type Body = fn(u64) -> String;
/// Whether status and text are the right answer.
type Right = fn(u16, &str) -> bool;

/// What is asked, over how many connections, and how one learns that the answer is right.
struct Load {
    name: &'static str,
    /// None where the sandbox itself is asked.
    path: Option<&'static str>,
    headers: &'static str,
    body: Body,
    right: Right,
    connections: usize,
    answers: u64,
}

const LOADS: [Load; 8] = [
    Load { connections: 8, body: |n| math(n).to_string(), ..Load::of("math", "/v1/grade") },
    Load {
        body: |_| json!({ "items": (0..BATCH).map(|_| math(number())).collect::<Vec<_>>() }).to_string(),
        right: |status, reply| status == 200 && reply.matches("\"reward\":1.0").count() as u64 == BATCH,
        answers: BATCH,
        ..Load::of("math, batches", "/v1/grade/batch")
    },
    Load { connections: 8, body: two_tests, ..Load::of("python, 2 tests", "/v1/grade") },
    Load { path: None, body: program, ..Load::of("sandbox alone, 2 in flight", "") },
    Load { body: run_code, right: ran, ..Load::of("run_code, 2 in flight", "/run_code") },
    Load { path: None, connections: 8, body: program, ..Load::of("sandbox alone, 8 in flight", "") },
    Load { connections: 8, body: run_code, right: ran, ..Load::of("run_code, 8 in flight", "/run_code") },
    Load {
        connections: 8,
        headers: "X-Deadline-Ms: 500\r\n",
        body: busy,
        right: |status, reply| status == 504 || rewarded(status, reply),
        ..Load::of("overload, deadline 0.5 s", "/v1/grade")
    },
];

impl Load {
    const fn of(name: &'static str, path: &'static str) -> Load {
        Load {
            name,
            path: Some(path),
            headers: "",
            body: program,
            right: rewarded,
            connections: 2,
            answers: 1,
        }
    }
}

fn number() -> u64 {
    NUMBERS.fetch_add(1, Relaxed)
}

fn math(number: u64) -> serde_json::Value {
    let problem = json!({ "task": { "type": "math", "ground_truth": format!("\\frac{{{number}}}{{2}}") } });
    let completion = format!("so the answer is \\boxed{{{}}}", number as f64 / 2.0);
    json!({ "problem": problem, "completion": completion })
}

fn program(number: u64) -> String {
    format!("print(sum(map(int, input().split())))  # {number}")
}

fn coded(program: &str, tests: &serde_json::Value) -> String {
    let problem = json!({ "task": { "type": "code", "test_cases": tests } });
    json!({ "problem": problem, "completion": format!("```python\n{program}\n```") }).to_string()
}

fn two_tests(number: u64) -> String {
    let tests = json!([{ "input": "1 2\n", "output": "3\n" }, { "input": "10 20\n", "output": "30\n" }]);
    coded(&program(number), &tests)
}

/// A fifth of a second of work.
fn busy(number: u64) -> String {
    let program = format!("import time  # {number}\nwhile time.process_time() < 0.2: pass\nprint(3)");
    coded(&program, &json!([{ "input": "", "output": "3\n" }]))
}

fn run_code(number: u64) -> String {
    json!({ "code": program(number), "language": "python", "stdin": "1 2\n" }).to_string()
}

fn rewarded(status: u16, reply: &str) -> bool {
    status == 200 && reply.contains("\"reward\":1.0")
}

fn ran(status: u16, reply: &str) -> bool {
    status == 200 && reply.contains("\"stdout\":\"3\\n\"")
}

/// One round of a load.
struct Round {
    per_second: f64,
    cpu_ms: f64,
    p50_ms: f64,
    p99_ms: f64,
    answers: u64,
    late: usize,
}

fn main() {
    assay_sandbox::init();
    let only = argument("--only").unwrap_or_default();
    let loads: Vec<&Load> = LOADS.iter().filter(|load| load.name.contains(&only)).collect();
    let service = Service::new(argument("--address"), argument("--token"));
    let sandbox = Sandbox::start(&SandboxConfig::default()).expect("a sandbox");
    let (seconds, repeats) = (option("--seconds").unwrap_or(4.0), option("--repeats").unwrap_or(3.0));
    // The first of each makes slots and warms interpreters.
    loads.iter().for_each(|load| _ = measure(load, &service, &sandbox, 0.5));
    let rounds: Vec<Vec<Round>> = (0..repeats as usize)
        .map(|_| loads.iter().map(|load| measure(load, &service, &sandbox, seconds)).collect())
        .collect();
    let best = |at: usize| {
        rounds.iter().map(|round| &round[at]).max_by(|a, b| a.per_second.total_cmp(&b.per_second))
    };
    let rows: Vec<(&Load, &Round)> =
        loads.iter().enumerate().filter_map(|(at, load)| Some((*load, best(at)?))).collect();
    report(&rows, std::env::args().any(|argument| argument == "--json"));
}

fn report(rows: &[(&Load, &Round)], as_json: bool) {
    if as_json {
        let row = |(load, round): &(&Load, &Round)| {
            json!({
                "load": load.name, "connections": load.connections, "answers": round.answers, "late": round.late,
                "per_second": round.per_second, "cpu_ms": round.cpu_ms, "p50_ms": round.p50_ms, "p99_ms": round.p99_ms,
            })
        };
        println!("{}", serde_json::Value::from_iter(rows.iter().map(row)));
        return;
    }
    let heads = ["answers/s", "p50 ms", "p99 ms", "CPU ms", "late"];
    println!("{:28}{}", "", heads.map(|head| format!("{head:>10}")).concat());
    for (load, round) in rows {
        let Round { per_second, cpu_ms, p50_ms, p99_ms, late, .. } = round;
        println!("{:28}{per_second:>10.1}{p50_ms:>10.2}{p99_ms:>10.2}{cpu_ms:>10.3}{late:>10}", load.name);
    }
}

fn measure(load: &Load, service: &Service, sandbox: &Sandbox, seconds: f64) -> Round {
    let (began, busy, own) = (Instant::now(), machine_seconds(), own_seconds());
    let end = began + Duration::from_secs_f64(seconds);
    let ask = || match load.path {
        Some(path) => Connection::new(service, path, load).ask_until(end),
        None => run_until(end, sandbox, load.body),
    };
    let mut times: Vec<(f64, bool)> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..load.connections).map(|_| scope.spawn(ask)).collect();
        asking.into_iter().flat_map(|each| each.join().expect("a client")).collect()
    });
    let took = began.elapsed().as_secs_f64();
    // What the sandbox costs in this process is the service's there.
    let own = if load.path.is_some() { own_seconds() - own } else { 0.0 };
    let cpu = machine_seconds() - busy - own;
    times.sort_by(|a, b| a.0.total_cmp(&b.0));
    let answers = times.len() as u64 * load.answers;
    Round {
        per_second: answers as f64 / took,
        cpu_ms: cpu * 1e3 / answers as f64,
        p50_ms: times[times.len() / 2].0 * 1e3,
        p99_ms: times[times.len() * 99 / 100].0 * 1e3,
        answers,
        late: times.iter().filter(|time| time.1).count(),
    }
}

/// The same program without HTTP: prepared, run, its output looked at.
fn run_until(end: Instant, sandbox: &Sandbox, source: fn(u64) -> String) -> Vec<(f64, bool)> {
    let mut times = Vec::new();
    while Instant::now() < end {
        let program = Program::new(Language::Python3, source(number()));
        let began = Instant::now();
        let Prepared::Ready(executable) = sandbox.prepare(&program, &Limits::COMPILE).expect("prepare")
        else {
            panic!("refused")
        };
        let outcome = sandbox.run(&executable, b"1 2\n", &Limits::DEFAULT).expect("run");
        times.push((began.elapsed().as_secs_f64(), false));
        assert_eq!((outcome.termination, outcome.stdout.as_slice()), (Termination::Exited(0), &b"3\n"[..]));
    }
    times
}

/// The service that is asked; one of this program's own ends with it.
struct Service {
    address: String,
    token: Option<String>,
    child: Option<Child>,
}

impl Service {
    fn new(address: Option<String>, token: Option<String>) -> Service {
        if let Some(address) = address {
            return Service { address, token, child: None };
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_assay"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--log-level", "error", "--until-stdin-closes"]);
        // What comes late in the overload is an error in its log.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the service");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("its output");
        BufReader::new(stdout).read_line(&mut line).expect("its address");
        let address = line.trim().trim_start_matches("http://").to_owned();
        Service { address, token, child: Some(child) }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }
}

struct Connection<'a> {
    stream: BufReader<TcpStream>,
    head: String,
    load: &'a Load,
}

impl Connection<'_> {
    fn new<'a>(service: &Service, path: &str, load: &'a Load) -> Connection<'a> {
        let stream = TcpStream::connect(&service.address).expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
        let (address, headers) = (&service.address, load.headers);
        let mut head =
            format!("POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n{headers}");
        if let Some(token) = &service.token {
            let _ = write!(head, "Authorization: Bearer {token}\r\n");
        }
        Connection { stream: BufReader::new(stream), head, load }
    }

    /// How long each answer took, in seconds, and whether it was that it came too late.
    fn ask_until(mut self, end: Instant) -> Vec<(f64, bool)> {
        let mut times = Vec::new();
        while Instant::now() < end {
            let body = (self.load.body)(number());
            let message = format!("{}Content-Length: {}\r\n\r\n{body}", self.head, body.len());
            let began = Instant::now();
            self.stream.get_mut().write_all(message.as_bytes()).expect("to send");
            let (status, reply) = self.reply();
            times.push((began.elapsed().as_secs_f64(), status == 504));
            assert!((self.load.right)(status, &reply), "{}: {status} {reply:.300}", self.load.name);
        }
        times
    }

    fn reply(&mut self) -> (u16, String) {
        let (mut status, mut length, mut line) = (None, 0, String::new());
        loop {
            line.clear();
            assert_ne!(
                self.stream.read_line(&mut line).expect("an answer"),
                0,
                "the service closed the connection"
            );
            let text = line.trim_end().to_ascii_lowercase();
            match (status, text.strip_prefix("content-length: ")) {
                (None, _) => status = text.split(' ').nth(1).and_then(|word| word.parse().ok()),
                (_, Some(bytes)) => length = bytes.parse().expect("a length"),
                _ if text.is_empty() => break,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).expect("the whole answer");
        (status.expect("a status"), String::from_utf8(body).expect("UTF-8"))
    }
}

/// Seconds that all cores together have been busy: user, nice, system, interrupts, and what the host took.
fn machine_seconds() -> f64 {
    ticks("/proc/stat", &[0, 1, 2, 5, 6, 7])
}

/// Seconds of this process alone.
fn own_seconds() -> f64 {
    ticks("/proc/self/stat", &[12, 13])
}

/// The sum of some of the numbers on a file's first line, behind its first word, in seconds.
fn ticks(path: &str, which: &[usize]) -> f64 {
    let text = std::fs::read_to_string(path).expect("proc");
    let words: Vec<&str> = text.lines().next().unwrap_or_default().split_whitespace().skip(1).collect();
    which.iter().filter_map(|at| words.get(*at)?.parse::<u64>().ok()).sum::<u64>() as f64 / 100.0
}

/// What stands behind an option of the command line.
fn argument(name: &str) -> Option<String> {
    std::env::args().skip_while(|argument| argument != name).nth(1)
}

fn option(name: &str) -> Option<f64> {
    argument(name)?.parse().ok()
}

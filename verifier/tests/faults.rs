//! What goes wrong around the service: killed processes, clients that leave, dawdle or send too much, and more load than there
//! is room for. Whatever it is, no item is lost without a word, no failure of ours is a reward of 0, and a drop-in route
//! answers neither 429 nor 503.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

#[path = "common/service.rs"]
mod service;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use service::{HANG, RIGHT, Server, math, read_reply, request, sum};

/// veRL's pattern, with shorter limits: many requests of one test each, a fifth of them sleeping past their limit. On two
/// slots the sleepers alone would take fifty seconds, and the client is gone after forty-two.
#[test]
fn sleepers_keep_nobody_waiting() {
    let server = Arc::new(Server::start(&["--slots", "2"]));
    at_once(100, move |i| {
        let sleeps = i % 5 < 2;
        let code = if sleeps { "import time; time.sleep(60)".into() } else { format!("print({i})") };
        let body = json!({
            "code": code, "language": "python", "stdin": "", "compile_timeout": 30, "run_timeout": 2,
            "memory_limit_MB": 1024, "files": {}, "fetch_files": [],
        });
        let reply = server.run_code(&body);
        let run = &reply["run_result"];
        if sleeps {
            assert_eq!(run["status"], "TimeLimitExceeded", "{i}: {reply}");
        } else {
            assert_eq!((&reply["status"], &run["stdout"]), (&json!("Success"), &json!(format!("{i}\n"))));
        }
    });
}

/// Every drop-in route at once, five hundred requests on two slots: each is answered, and rightly.
#[test]
fn five_hundred_at_once_are_all_answered() {
    let server = Arc::new(Server::start(&["--slots", "2"]));
    at_once(500, move |i| {
        let routes = routes();
        let (path, body, at, want) = &routes[i % routes.len()];
        let reply = server.post_with(path, &[("X-Deadline-Ms", "240000")], body);
        assert!([200, 201].contains(&reply.status), "{path}: {} {}", reply.status, reply.body);
        assert_eq!(reply.json().pointer(at), Some(want), "{path}: {}", reply.body);
    });
}

/// A route, a right program for it, where its reply says so, and how.
fn routes() -> Vec<(&'static str, Value, &'static str, Value)> {
    let fence = format!("```python\n{RIGHT}\n```");
    let tests = json!([{ "input": "1 2\n", "output": "3\n" }]);
    let columns = json!({ "inputs": ["1 2\n"], "outputs": ["3\n"] });
    let said = json!({ "output": [{ "type": "message", "content": fence }] });
    let scalebox = json!({ "language": "python", "provided_data": { "test_cases": {
        "type": "stdin_stdout", "input": ["1 2"], "output": ["3"], "fn_name": null,
    } } });
    vec![
        ("/run_code", json!({ "code": RIGHT, "stdin": "1 2" }), "/run_result/stdout", json!("3\n")),
        (
            "/common_evaluate_batch",
            json!({ "completion": fence, "config": scalebox }),
            "/accepted",
            json!(true),
        ),
        ("/get_reward", json!({ "query": [fence], "labels": [columns] }), "/rewards/0", json!(1.0)),
        ("/rm", json!({ "response": fence, "label": tests }), "", json!(1.0)),
        ("/test_program_stdio", json!({ "program": RIGHT, "tests": tests }), "/results/0", json!(1)),
        (
            "/verify",
            json!({ "response": said, "verifier_metadata": { "unit_tests": columns } }),
            "/reward",
            json!(1.0),
        ),
        (
            "/execute",
            json!({ "generated_code": RIGHT, "timeout": 5, "language": "python", "std_input": "1 2" }),
            "/stdout",
            json!("3\n"),
        ),
        ("/execute_batch", json!({ "scripts": ["1 + 2"] }), "/0/text", json!("3")),
        (
            "/apis/functioncalls",
            json!({ "language": "PYTHON", "code": RIGHT, "testcases": [{ "input": "1 2", "expectedOutput": "3" }] }),
            "/success",
            json!(true),
        ),
        (
            "/api/v2/execute",
            json!({ "language": "python", "version": "*", "files": [{ "content": RIGHT }], "stdin": "1 2" }),
            "/run/stdout",
            json!("3\n"),
        ),
        (
            "/submissions?wait=true",
            json!({ "source_code": RIGHT, "language_id": 71, "stdin": "1 2", "expected_output": "3" }),
            "/status/id",
            json!(3),
        ),
        ("/v1/grade", sum(RIGHT), "/reward", json!(1.0)),
    ]
}

/// The server dies in the middle of a batch. What it had said stands, what it had not said is missing, and nothing is a 0.
#[test]
fn a_server_killed_in_a_batch_says_nothing_wrong() {
    let mut server = Server::start(&["--slots", "1"]);
    let slow = "import time\ntime.sleep(0.1)\nprint(sum(map(int, input().split())))";
    let body = json!({ "items": (0..100).map(|_| sum(slow)).collect::<Vec<_>>() }).to_string();
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(HANG)).unwrap();
    write!(
        stream,
        "POST /v1/grade/batch HTTP/1.1\r\nHost: x\r\nAccept: application/x-ndjson\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut lines = BufReader::new(stream).split(b'\n');
    let graded = |line: &[u8]| serde_json::from_slice::<Value>(line).ok().filter(Value::is_object);
    let mut seen = 0;
    while seen < 3 {
        let line = lines.next().unwrap().unwrap();
        if let Some(line) = graded(&line) {
            assert_eq!(line["reward"], 1.0, "{line}");
            seen += 1;
        }
    }
    server.signal(Signal::SIGKILL);
    server.wait();
    // Whatever else came is whole or no JSON at all.
    for line in lines.map_while(Result::ok) {
        if let Some(line) = graded(&line) {
            assert_eq!(line["reward"], 1.0, "{line}");
            seen += 1;
        }
    }
    assert!(seen < 100, "the batch came to its end before the server did");
    let again = Server::start(&["--slots", "1"]);
    assert_eq!(again.post("/v1/grade", &sum(RIGHT)).json()["reward"], 1.0);
}

/// Slots die under running programs. A right program gets its reward, on another slot, or none; never a 0.
#[test]
fn a_killed_slot_is_never_a_zero() {
    let server = Arc::new(Server::start(&["--slots", "2"]));
    let stop = Arc::new(AtomicBool::new(false));
    let killer = {
        let (server, stop) = (server.clone(), stop.clone());
        thread::spawn(move || {
            let mut kills = 0;
            while !stop.load(Ordering::SeqCst) {
                kills += usize::from(server.kill_slot());
                // Seldom enough that no program loses three slots and looks as if it had broken them.
                thread::sleep(Duration::from_millis(300));
            }
            kills
        })
    };
    let slow = "import time\ntime.sleep(0.05)\nprint(sum(map(int, input().split())))";
    let asked = server.clone();
    at_once(80, move |i| {
        if i % 2 == 0 {
            let graded = asked.post("/v1/grade", &sum(slow)).json();
            let (outcome, reward) = (graded["outcome"].clone(), graded["reward"].clone());
            assert!(
                (outcome == "graded" && reward == 1.0) || (outcome == "infra_error" && reward.is_null()),
                "{graded}"
            );
        } else {
            let body = json!({ "code": slow, "stdin": "1 2", "compile_timeout": 100 });
            let run = asked.run_code(&body);
            assert!(run["status"] == "Success" || run["status"] == "SandboxError", "{run}");
        }
    });
    stop.store(true, Ordering::SeqCst);
    assert!(killer.join().unwrap() > 0, "nothing was killed");
    assert_eq!(server.post("/v1/grade", &sum(RIGHT)).json()["reward"], 1.0);
}

/// A client that sends too much is told so, though it goes on sending: a broken connection would be a reward of 0 to some.
#[test]
fn a_body_of_100_megabytes_is_413_on_every_form() {
    let server = Server::start(&["--math-only", "--max-body", "10MB"]);
    let large = "x".repeat(100_000_000);
    for (path, key) in [("/v1/grade", "/detail"), ("/run_code", "/detail"), ("/api/v2/execute", "/message")] {
        let reply = request(server.address, "POST", path, &[], &large);
        assert_eq!(reply.status, 413, "{path}");
        assert!(reply.json().pointer(key).unwrap().as_str().unwrap().contains("10000000"), "{}", reply.body);
    }
    assert_eq!(server.post("/v1/grade", &math("1", "\\boxed{1}")).json()["reward"], 1.0);
}

#[test]
fn a_client_that_dawdles_is_cut_off_and_keeps_nobody_waiting() {
    let server = Server::start(&["--math-only", "--head-timeout", "500ms", "--body-timeout", "500ms"]);
    let mut idle = TcpStream::connect(server.address).unwrap();
    let mut slow_head = TcpStream::connect(server.address).unwrap();
    slow_head.write_all(b"POST /v1/grade HTTP/1.1\r\nHost: x\r\nX-A: ").unwrap();
    let mut slow_body = TcpStream::connect(server.address).unwrap();
    slow_body.write_all(b"POST /v1/grade HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{").unwrap();
    assert_eq!(server.post("/v1/grade", &math("1", "\\boxed{1}")).json()["reward"], 1.0);
    for stream in [&mut idle, &mut slow_head, &mut slow_body] {
        stream.set_read_timeout(Some(HANG)).unwrap();
    }
    for stream in [&mut idle, &mut slow_head] {
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        assert!(said.is_empty() || said.contains(" 408 "), "{said}");
    }
    let reply = read_reply(slow_body);
    assert_eq!(reply.status, 408, "{}", reply.body);
}

/// Requests that wait hold their bodies in memory; a thousand of 64 MiB each were more than a machine has.
#[test]
fn bodies_that_have_no_room_beside_others_wait_outside() {
    let server = Server::start(&["--max-bodies", "1MB", "--body-timeout", "500ms"]);
    let filler = |bytes| "x".repeat(bytes);
    let code = format!(
        "import time\nend = time.monotonic() + 4\nwhile time.monotonic() < end: pass\n#{}",
        filler(900_000)
    );
    let stream = server.ask_and_do_not_wait("/run_code", &json!({ "code": code, "run_timeout": 60 }));
    server.wait_for_metric("assay_in_flight", 1.0);
    let right = |bytes| math("1", &format!("{}\\boxed{{1}}", filler(bytes)));
    assert_eq!(server.post("/v1/grade", &right(0)).json()["reward"], 1.0, "there is room for it");
    let refused = server.post("/v1/grade", &right(200_000));
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{}", refused.body);
    assert!(refused.json()["detail"].as_str().unwrap().contains("`max-bodies`"), "{}", refused.body);
    assert_eq!(server.post("/run_code", &json!({ "code": format!("#{}", filler(200_000)) })).status, 504);
    service::Busy { stream }.release();
    assert_eq!(server.post("/v1/grade", &right(200_000)).json()["reward"], 1.0, "the room came back");
    assert_eq!(
        server.post("/v1/grade", &right(2_000_000)).json()["reward"],
        1.0,
        "larger than all of it: alone"
    );
}

/// A client that is gone before its request is whole, many times over: descriptors come back.
#[test]
fn clients_that_break_off_leave_nothing_behind() {
    let server = Server::start(&["--math-only"]);
    let before = server.descriptors();
    for _ in 0..300 {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream
            .write_all(b"POST /run_code HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{\"code\"")
            .unwrap();
    }
    service::wait_until("the connections to be closed", || server.descriptors() <= before + 5);
}

#[test]
fn bytes_that_are_no_text_are_the_callers_mistake_or_the_programs() {
    let server = Server::start(&["--slots", "1"]);
    for path in ["/v1/grade", "/run_code", "/get_reward", "/verify", "/submissions"] {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.set_read_timeout(Some(HANG)).unwrap();
        let body = b"{\"code\": \"\xff\xfe\", \"x\": \"\xc3\x28\"}";
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .unwrap();
        stream.write_all(body).unwrap();
        let reply = read_reply(stream);
        assert!([400, 422].contains(&reply.status), "{path}: {} {}", reply.status, reply.body);
    }
    // NUL is a character like another one in a string, and none that a program may hold.
    let run = server.run_python("print('a\0b')");
    assert_eq!(run["status"], "Failed", "{run}");
    let graded = server.post("/v1/grade", &sum("print(1)\0")).json();
    assert_eq!((&graded["outcome"], &graded["reward"]), (&json!("graded"), &json!(0.0)), "{graded}");
    let fed = server.run_code(&json!({ "code": "print(len(input()))", "stdin": "a\0b" }));
    assert_eq!(fed["run_result"]["stdout"], "3\n", "{fed}");
}

/// Many threads, one request each, begun together.
fn at_once(count: usize, ask: impl Fn(usize) + Send + Sync + 'static) {
    let (start, ask) = (Arc::new(Barrier::new(count)), Arc::new(ask));
    let threads: Vec<_> = (0..count)
        .map(|i| {
            let (start, ask) = (start.clone(), ask.clone());
            thread::spawn(move || {
                start.wait();
                ask(i);
            })
        })
        .collect();
    let failed = threads.into_iter().map(thread::JoinHandle::join).filter(Result::is_err).count();
    assert_eq!(failed, 0, "of {count} requests");
}

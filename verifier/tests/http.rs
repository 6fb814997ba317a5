//! The service from outside: the real binary on a port of its own, asked over TCP by a client that knows
//! nothing but HTTP/1.1.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

#[path = "common/service.rs"]
mod service;

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use assay_verifier::{VerifierConfig, VerifierProcess};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use service::{RIGHT, Server, UNREADABLE, file, math, request, serve, sum, wait, wait_until};

#[test]
fn every_verdict_comes_back_with_its_reward() {
    let server = Server::start(&["--slots", "2"]);
    let limits = json!({ "cpu_time": 0.5, "wall_time": 0.5, "memory": 100 << 20, "output": 100_000 });
    let rows = [
        (RIGHT, "accepted", 1.0, 2),
        ("print(3)", "wrong_answer", 0.0, 1),
        ("while True: pass", "time_limit_exceeded", 0.0, 0),
        ("import time; time.sleep(60)", "time_limit_exceeded", 0.0, 0),
        ("x = bytearray(1 << 30)", "memory_limit_exceeded", 0.0, 0),
        ("while True: print('y' * 1000)", "output_limit_exceeded", 0.0, 0),
        ("raise SystemExit(3)", "runtime_error", 0.0, 0),
        ("print(", "compile_error", 0.0, 0),
    ];
    for (code, verdict, reward, passed) in rows {
        let mut body = sum(code);
        body["limits"] = limits.clone();
        let reply = server.post("/v1/grade", &body);
        let graded = reply.json();
        assert_eq!((reply.status, &graded["outcome"]), (200, &json!("graded")), "{code}: {graded}");
        assert_eq!(graded["verdict"], verdict, "{code}: {graded}");
        assert_eq!(
            (&graded["reward"], &graded["passed"]),
            (&json!(reward), &json!(passed)),
            "{code}: {graded}"
        );
        assert_eq!((&graded["total"], &graded["question_id"]), (&json!(2), &json!("sum")));
    }
    let mut nothing = sum("");
    nothing["completion"] = "I do not know.".into();
    assert_eq!(server.post("/v1/grade", &nothing).json()["verdict"], "no_answer");
}

#[test]
fn a_fraction_counts_all_tests() {
    let server = Server::start(&["--slots", "1"]);
    let mut body = sum("a = sum(map(int, input().split()))\nprint(a if a > 3 else 0)");
    body["reward"] = "fraction".into();
    let graded = server.post("/v1/grade", &body).json();
    assert_eq!((&graded["reward"], &graded["passed"]), (&json!(0.5), &json!(1)), "{graded}");
    assert_eq!((&graded["verdict"], &graded["failed_test"]), (&json!("wrong_answer"), &json!(0)), "{graded}");
}

#[test]
fn a_bare_program_is_one_in_code_mode_alone() {
    let server = Server::start(&["--slots", "1"]);
    let mut body = sum("");
    body["completion"] = RIGHT.into();
    assert_eq!(server.post("/v1/grade", &body).json()["verdict"], "no_answer");
    body["mode"] = "code".into();
    assert_eq!(server.post("/v1/grade", &body).json()["verdict"], "accepted");
}

#[test]
fn functional_tests_are_graded() {
    let server = Server::start(&["--slots", "1"]);
    let body = |code: &str| {
        json!({
            "problem": { "task": {
                "type": "code", "func_name": "add",
                "test_cases": [{ "input": "1\n2", "output": "3" }, { "input": "5\n6", "output": "11" }],
            } },
            "completion": format!("```python\n{code}\n```"),
        })
    };
    let right =
        server.post("/v1/grade", &body("class Solution:\n    def add(self, a, b): return a + b")).json();
    assert_eq!((&right["verdict"], &right["reward"]), (&json!("accepted"), &json!(1.0)), "{right}");
    let wrong = server.post("/v1/grade", &body("class Solution:\n    def add(self, a, b): return 3")).json();
    assert_eq!((&wrong["verdict"], &wrong["failed_test"]), (&json!("wrong_answer"), &json!(1)), "{wrong}");
}

#[test]
fn math_is_graded_and_an_unreadable_gold_is_nobodys_zero() {
    let server = Server::start(&["--math-only"]);
    let rows = [
        ("\\frac{1}{2}", "so \\boxed{0.5}", "accepted", 1.0),
        ("\\frac{1}{2}", "so \\boxed{0.4}", "wrong_answer", 0.0),
        ("7", "I cannot say", "no_answer", 0.0),
        ("7", "\\boxed{\\mystery{x}{}}", "wrong_answer", 0.0),
    ]
    .map(|(gold, completion, verdict, reward)| (gold, completion.to_owned(), verdict, reward));
    // No prediction talks itself into a null reward, however unreadable or costly it is.
    let hostile = [
        format!("{}5{}", "(".repeat(50_000), ")".repeat(50_000)),
        "9".repeat(100_000),
        format!("{}2", "2^".repeat(1000)),
        "((((((9!)!)!)!)!)!)!".to_owned(),
        format!("{}5{}", "\\frac{1}{".repeat(5000), "}".repeat(5000)),
        "7\u{200b}7".to_owned(),
        "\u{202e}7".repeat(1000),
        "\\left".repeat(20_000),
        "__import__('os').system('true')".to_owned(),
        "7 or 8 or all of them".to_owned(),
        "0/0".to_owned(),
        "7\u{430}".repeat(30_000),
        "(\\sqrt{2}+\\sqrt{3}+\\sqrt{5}+\\sqrt{7}+\\pi)^{200}".to_owned(),
        format!("{}x", "\\sin(x)+".repeat(250)),
        format!("{}7{}", "\\boxed{".repeat(14_000), "}".repeat(14_000)),
    ]
    .map(|answer| ("7", format!("\\boxed{{{answer}}}"), "wrong_answer", 0.0));
    // Unreadable and over the budget beside golds that are no plain numbers, too.
    let costly = [
        ("(x+1)^{10}", "(x+y+z+1)^{300}-\\sqrt{x+y}^{301}".to_owned()),
        ("\\sin x", format!("\\sin({}x)", "1+".repeat(300))),
        ("1, 2, 3", "1,".repeat(50_000)),
        ("(1, 2)", format!("({})", "9!!!,".repeat(100))),
    ]
    .map(|(gold, answer)| (gold, format!("\\boxed{{{answer}}}"), "wrong_answer", 0.0));
    let boxes = [("7", "\\boxed{".repeat(100_000), "no_answer", 0.0)];
    for (gold, completion, verdict, reward) in rows.into_iter().chain(hostile).chain(costly).chain(boxes) {
        let graded = server.post("/v1/grade", &math(gold, &completion)).json();
        assert_eq!(graded["outcome"], "graded", "{graded}");
        assert_eq!((&graded["verdict"], &graded["reward"]), (&json!(verdict), &json!(reward)), "{graded}");
    }
    let unsupported = server.post("/v1/grade", &math(UNREADABLE, "\\boxed{1}")).json();
    assert_eq!(unsupported["outcome"], "unsupported", "{unsupported}");
    assert_eq!((&unsupported["verdict"], &unsupported["reward"]), (&Value::Null, &Value::Null));
    assert!(!unsupported["reason"].as_str().unwrap().is_empty());
}

#[test]
fn a_request_chooses_the_math_rules_and_a_reward_formula() {
    let server = Server::start(&["--math-only"]);
    let body = |gold: &str, completion: &str, settings: Value| {
        let mut body = math(gold, completion);
        body.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        body
    };
    let shaped = json!({ "reward": { "formula": "if(accepted, 1.0, if(has_answer, -0.5, -1.0))" } });
    for (gold, completion, settings, outcome, reward) in [
        ("1, 2", "\\boxed{2, 1}", json!({}), "graded", json!(0.0)),
        ("1, 2", "\\boxed{2, 1}", json!({ "math_profile": "math_verify" }), "graded", json!(1.0)),
        ("2.50", "\\boxed{2.54}", json!({ "math_profile": "minerva" }), "graded", json!(1.0)),
        ("1/2", "\\boxed{1/2}", json!({ "math_profile": "aime" }), "unsupported", Value::Null),
        ("7", "\\boxed{7}", shaped.clone(), "graded", json!(1.0)),
        ("7", "\\boxed{8}", shaped.clone(), "graded", json!(-0.5)),
        ("7", "no box", shaped, "graded", json!(-1.0)),
    ] {
        let graded = server.post("/v1/grade", &body(gold, completion, settings.clone())).json();
        assert_eq!(
            (&graded["outcome"], &graded["reward"]),
            (&json!(outcome), &reward),
            "{settings}: {graded}"
        );
    }
    for (settings, part) in [
        (json!({ "math_profile": "lenient" }), "minerva"),
        (json!({ "reward": { "formula": "accepted" } }), "reward formula"),
        (json!({ "reward": { "formula": "speed" } }), "unknown variable speed"),
    ] {
        let reply = server.post("/v1/grade", &body("7", "\\boxed{7}", settings.clone()));
        assert_eq!(reply.status, 422, "{settings}");
        assert!(reply.body.contains(part), "{settings}: {}", reply.body);
    }
}

#[test]
fn without_a_sandbox_code_is_our_failure_and_the_service_says_so() {
    let server = Server::start(&["--math-only"]);
    let graded = server.post("/v1/grade", &sum(RIGHT)).json();
    assert_eq!((&graded["outcome"], &graded["reward"]), (&json!("infra_error"), &Value::Null), "{graded}");
    assert!(graded["reason"].as_str().unwrap().contains("--math-only"), "{graded}");
    let run = server.post("/run_code", &json!({ "code": "print(1)", "language": "python" })).json();
    assert_eq!(run["status"], "SandboxError", "{run}");
    assert_eq!(server.get("/readyz").json()["math_only"], true);
    assert_eq!(server.get("/v1/version").json()["provenance"]["math_only"], true);
    assert_eq!(server.metric("assay_infra_errors_total"), 2.0);
}

/// Whatever starts slots is killed again and again, as fast as it is started anew: the sandbox is as broken as it
/// can be. A right program must then get 1 or no reward at all, and never 0.
#[test]
fn a_broken_sandbox_is_null_and_not_zero() {
    let server = Arc::new(Server::start(&["--slots", "1"]));
    assert_eq!(server.post("/v1/grade", &sum(RIGHT)).json()["reward"], 1.0);
    let stop = Arc::new(AtomicBool::new(false));
    let killer = {
        let (server, stop) = (server.clone(), stop.clone());
        // Fewer than the restarts the guardian bears.
        thread::spawn(move || {
            let mut kills = 0;
            while kills < 80 && !stop.load(Ordering::SeqCst) {
                kills += usize::from(server.kill_spawner());
                thread::sleep(Duration::from_millis(5));
            }
        })
    };
    let mut graded = server.post("/v1/grade", &sum(RIGHT)).json();
    while graded["outcome"] == "graded" && !killer.is_finished() {
        assert_eq!(graded["reward"], 1.0, "a right program has no other reward: {graded}");
        graded = server.post("/v1/grade", &sum(RIGHT)).json();
    }
    assert_eq!((&graded["outcome"], &graded["reward"]), (&json!("infra_error"), &Value::Null), "{graded}");
    assert_eq!(graded["verdict"], Value::Null);
    assert_eq!(server.post("/v1/grade", &math("1", "\\boxed{1}")).json()["reward"], 1.0, "math goes on");
    assert!(server.metric("assay_infra_errors_total") >= 1.0);
    stop.store(true, Ordering::SeqCst);
    killer.join().unwrap();
    wait_until("a new spawner", || server.get("/readyz").status == 200);
    assert_eq!(server.post("/v1/grade", &sum(RIGHT)).json()["reward"], 1.0);
}

#[test]
fn a_bad_request_is_told_what_is_wrong() {
    let server = Server::start(&["--math-only", "--max-body", "10000"]);
    let with = |key: &str, value: Value| {
        let mut body = sum(RIGHT);
        body[key] = value;
        body.to_string()
    };
    let misspelt = with("rewrad", json!("all"));
    let bad_language = with("language", json!("cobol"));
    let bad_limit = with("limits", json!({ "cpu_time": 0 }));
    let greedy = with("limits", json!({ "cpu_time": 4000 }));
    let wordy = with("limits", json!({ "output": 1_u64 << 40 }));
    let mut problem = sum(RIGHT)["problem"].clone();
    problem["task"]["limits"] = json!({ "memory": 1_u64 << 40 });
    let hungry = with("problem", problem);
    let large = with("completion", json!("x".repeat(20_000)));
    let json_type = "application/json";
    let rows = [
        (json_type, "/v1/grade", "{", 400, "EOF"),
        (json_type, "/v1/grade", "", 400, "EOF"),
        (json_type, "/v1/grade", "[]", 422, "GradeRequest"),
        (json_type, "/v1/grade", &misspelt, 422, "rewrad"),
        (json_type, "/v1/grade", &bad_language, 422, "cobol"),
        (json_type, "/v1/grade", &bad_limit, 422, "limits.cpu_time"),
        (json_type, "/v1/grade", &greedy, 422, "max-time"),
        (json_type, "/v1/grade", &wordy, 422, "max-output"),
        (json_type, "/v1/grade", &hungry, 422, "problem.task.limits.memory"),
        (json_type, "/v1/grade", &large, 413, "10000"),
        ("text/plain", "/v1/grade", &with("mode", json!("code")), 415, "application/json"),
        (json_type, "/v1/nothing", "{}", 404, "/v1/nothing"),
        (json_type, "/v1/grade/batch", r#"{"itmes": []}"#, 422, "itmes"),
    ];
    for (content_type, path, body, status, named) in rows {
        let reply = request(server.address, "POST", path, &[("Content-Type", content_type)], body);
        assert_eq!(reply.status, status, "{path} {body:.80}: {}", reply.body);
        assert_eq!(reply.header("content-type"), Some("application/problem+json"));
        let problem = reply.json();
        assert!(problem["detail"].as_str().unwrap().contains(named), "{named} is not in {problem}");
        assert_eq!((&problem["status"], &problem["fault"]), (&json!(status), &json!("caller")));
    }
    assert_eq!(server.get("/v1/grade").status, 405);
    assert_eq!(
        server.post("/v1/grade", &math("1", "\\boxed{1}")).json()["reward"],
        1.0,
        "and it still serves"
    );
}

#[test]
fn a_batch_keeps_its_order_and_its_items_fail_alone() {
    let server = Server::start(&["--math-only"]);
    let answer = |i: usize| format!("\\boxed{{{}}}", i / 2 * 2);
    let mut items: Vec<Value> = (0..100).map(|i| math(&i.to_string(), &answer(i))).collect();
    let odd = [
        (7, json!({ "problem": 7 }), "invalid"),
        (8, math(UNREADABLE, "1"), "unsupported"),
        (9, sum(RIGHT), "infra_error"),
    ];
    for (index, item, _) in &odd {
        items[*index] = item.clone();
    }
    let body = json!({ "items": items });
    let reply = server.post("/v1/grade/batch", &body);
    assert_eq!(reply.status, 200);
    let results = reply.json()["results"].as_array().unwrap().clone();
    assert_eq!(results.len(), 100);
    for (index, result) in results.iter().enumerate() {
        if let Some((_, _, outcome)) = odd.iter().find(|(at, _, _)| *at == index) {
            assert_eq!((&result["outcome"], &result["reward"]), (&json!(outcome), &Value::Null), "{result}");
        } else {
            let reward = if index % 2 == 0 { 1.0 } else { 0.0 };
            assert_eq!(result["reward"], reward, "item {index}: {result}");
        }
    }
    assert_eq!(results[7]["error"]["status"], 422);

    let lines = server.post_with("/v1/grade/batch", &[("Accept", "application/x-ndjson")], &body);
    assert_eq!(lines.header("content-type"), Some("application/x-ndjson"));
    let mut lines: Vec<Value> = lines.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    lines.sort_by_key(|line| line["index"].as_u64());
    assert_eq!(lines.len(), 100);
    for (index, (line, result)) in lines.iter().zip(&results).enumerate() {
        assert_eq!(line["index"], index);
        assert_eq!((&line["reward"], &line["outcome"]), (&result["reward"], &result["outcome"]));
    }
    let empty = server.post("/v1/grade/batch", &json!({ "items": [] }));
    assert_eq!((empty.status, empty.json()), (200, json!({ "results": [] })));
}

#[test]
fn two_hundred_at_once_are_all_answered() {
    let server = Arc::new(Server::start(&["--queue", "1000"]));
    let start = Arc::new(Barrier::new(200));
    let ask = |i: usize| {
        let (server, start) = (server.clone(), start.clone());
        thread::spawn(move || {
            let right = !i.is_multiple_of(3);
            let body = match i % 4 {
                0 => sum(if right { RIGHT } else { "print(0)" }),
                _ => math("5", if right { "\\boxed{5}" } else { "\\boxed{6}" }),
            };
            start.wait();
            let graded = server.post("/v1/grade", &body).json();
            assert_eq!(graded["reward"], if right { 1.0 } else { 0.0 }, "{i}: {graded}");
        })
    };
    let threads: Vec<_> = (0..200).map(ask).collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(server.metric("assay_http_requests_total{route=\"/v1/grade\",code=\"200\"}"), 200.0);
    assert_eq!(server.metric("assay_infra_errors_total"), 0.0);
}

#[test]
fn a_full_queue_sheds_the_native_route_and_holds_the_drop_in_one() {
    let server = Server::start(&["--slots", "1", "--sleepers", "0", "--queue", "0"]);
    let busy = server.occupy();
    let reply = server.post("/v1/grade", &math("1", "\\boxed{1}"));
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")), "{}", reply.body);
    assert_eq!(reply.json()["fault"], "service");
    let quick = json!({ "code": "print(1)", "language": "python", "run_timeout": 0.1 });
    let held = server.post_with("/run_code", &[("X-Deadline-Ms", "2000")], &quick);
    assert_eq!(held.status, 504, "{}", held.body);
    assert!(held.json()["detail"].is_string());
    busy.release();
    wait_until("the judge to be free", || server.post("/v1/grade", &math("1", "\\boxed{1}")).status == 200);
    assert!(server.metric("assay_queue_rejected_total{reason=\"queue_full\"}") >= 1.0);
}

#[test]
fn a_deadline_that_passes_in_the_queue_is_504() {
    let server = Server::start(&["--slots", "1", "--queue", "8"]);
    let _busy = server.occupy();
    let reply = server.post_with("/v1/grade", &[("X-Deadline-Ms", "50")], &math("1", "\\boxed{1}"));
    assert_eq!(reply.status, 504, "{}", reply.body);
    let bad = server.post_with("/v1/grade", &[("X-Deadline-Ms", "soon")], &math("1", "1"));
    assert_eq!(bad.status, 422);
    // In a batch the same is said of each item, and the batch comes back.
    let body = json!({ "items": [math("1", "\\boxed{1}"), math("1", "\\boxed{1}")] });
    let batch = server.post_with("/v1/grade/batch", &[("X-Deadline-Ms", "50")], &body);
    assert_eq!(batch.status, 200);
    for result in batch.json()["results"].as_array().unwrap() {
        assert_eq!(
            (&result["outcome"], &result["reward"]),
            (&json!("infra_error"), &Value::Null),
            "{result}"
        );
    }
}

#[test]
fn a_client_that_hangs_up_leaves_the_queue() {
    let server = Server::start(&["--slots", "1", "--queue", "8"]);
    let busy = server.occupy();
    let leaver = server.ask_and_do_not_wait("/v1/grade", &math("1", "\\boxed{1}"));
    server.wait_for_metric("assay_queue_depth", 1.0);
    drop(leaver);
    server.wait_for_metric("assay_queue_depth", 0.0);
    assert_eq!(server.metric("assay_in_flight"), 1.0, "the judge was busy all the while");
    busy.release();
    server.wait_for_metric("assay_in_flight", 0.0);
    assert_eq!(
        server.metric("assay_grade_total{kind=\"math\",outcome=\"graded\",verdict=\"accepted\"}"),
        0.0
    );
}

#[test]
fn sigterm_finishes_what_was_asked() {
    let mut server = Server::start(&["--slots", "2"]);
    let slow = "import time\ntime.sleep(0.3)\nprint(sum(map(int, input().split())))";
    let address = server.address;
    let ask = move || request(address, "POST", "/v1/grade", &[], &sum(slow).to_string());
    let threads: Vec<_> = (0..8).map(|_| thread::spawn(ask)).collect();
    let in_line = || server.metric("assay_queue_depth") + server.metric("assay_in_flight");
    wait_until("all to be in line", || in_line() == 8.0);
    server.signal(Signal::SIGTERM);
    for thread in threads {
        let reply = thread.join().unwrap();
        assert_eq!((reply.status, &reply.json()["reward"]), (200, &json!(1.0)), "{}", reply.body);
    }
    assert_eq!(server.wait().code(), Some(0));
    assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
}

/// SIGTERM before the service was ready was mostly exit code 143 and sometimes a death by the signal, by the step that
/// it met. From when the process holds the signal back it is always 143, or 0 where it came to be ready before.
#[test]
fn sigterm_before_it_is_ready_has_one_exit_code() {
    let sandboxed: &[&str] = &["--slots", "1"];
    for arguments in [sandboxed, &["--math-only"]] {
        for delay in [0, 1, 3, 10, 30, 60, 100, 200] {
            let mut child = serve(arguments).spawn().unwrap();
            wait_until("the signal to be held or caught", || minds_sigterm(&child));
            thread::sleep(Duration::from_millis(delay));
            kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
            let code = wait(&mut child).code();
            let mut address = String::new();
            child.stdout.take().unwrap().read_to_string(&mut address).unwrap();
            let expected = if address.is_empty() { 143 } else { 0 };
            assert_eq!(code, Some(expected), "{arguments:?} after {delay} ms: {address}");
        }
    }
}

/// Whether a process blocks or handles SIGTERM.
fn minds_sigterm(child: &Child) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let mask = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0");
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    (mask("SigBlk:") | mask("SigCgt:")) >> (Signal::SIGTERM as u64 - 1) & 1 == 1
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut server = Server::start(&["--slots", "1"]);
    let _busy = server.occupy();
    server.signal(Signal::SIGINT);
    // Two signals within half a second are one Ctrl-C that came twice.
    thread::sleep(Duration::from_secs(1));
    server.signal(Signal::SIGINT);
    assert_eq!(server.wait().code(), Some(130));
}

#[test]
fn what_cannot_be_served_is_refused_in_one_line() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let directory = tempfile::tempdir().unwrap();
    let empty = file(directory.path(), "empty", "# nothing yet\n");
    let spaced = file(directory.path(), "spaced", "hello-secret world\n");
    let config = file(directory.path(), "assay.toml", "[serve]\nslots = 2\nslosts = 3\n");
    let [empty, spaced, config] = [&empty, &spaced, &config].map(|path| path.to_str().unwrap());
    let rows: [(&[&str], &[&str]); 8] = [
        (&["--listen", &taken], &[&taken, "another process"]),
        (&["--listen", "0.0.0.0:0"], &["0.0.0.0:0", "--token-file"]),
        (&["--listen", "somewhere"], &["somewhere", "127.0.0.1:8080"]),
        (&["--token-file", "/no/such/file"], &["/no/such/file"]),
        (&["--token-file", empty], &[empty, "no token"]),
        (&["--token-file", spaced], &[spaced, "line 1"]),
        (&["--config", config], &["line 3", "slosts"]),
        (&["--queue", "many"], &["--queue", "many"]),
    ];
    for (arguments, named) in rows {
        let mut child = serve(&[&["--math-only"], arguments].concat()).spawn().unwrap();
        let code = wait(&mut child).code();
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!(code, Some(2), "{arguments:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{arguments:?}: {stderr}");
        for named in named {
            assert!(stderr.contains(named), "{named} is not in {stderr}");
        }
        assert!(!stderr.contains("hello-secret"), "a token is never quoted: {stderr}");
    }
}

#[test]
fn a_token_file_closes_all_but_the_probes() {
    let directory = tempfile::tempdir().unwrap();
    let tokens = file(directory.path(), "tokens", "# the trainer's\nfirst-token\n\nsecond-token\n");
    let server = Server::start(&["--math-only", "--token-file", tokens.to_str().unwrap()]);
    let rows = [
        (None, 401),
        (Some("Bearer wrong"), 401),
        (Some("Bearer first-toke"), 401),
        (Some("Basic first-token"), 401),
        (Some("Bearer first-token"), 200),
        (Some("bearer second-token"), 200),
    ];
    for (authorization, status) in rows {
        let headers: Vec<(&str, &str)> =
            authorization.iter().map(|value| ("Authorization", *value)).collect();
        let reply = server.post_with("/v1/grade", &headers, &math("1", "\\boxed{1}"));
        assert_eq!(reply.status, status, "{authorization:?}");
    }
    assert_eq!((server.get("/healthz").status, server.get("/readyz").status), (200, 200));
    assert_eq!((server.get("/metrics").status, server.get("/v1/version").status), (401, 401));
    let run = server.post("/run_code", &json!({ "code": "" }));
    assert!(run.status == 401 && run.json()["detail"].is_string(), "in the original's form: {}", run.body);
}

#[test]
fn run_code_answers_in_its_original_form() {
    let server = Server::start(&["--slots", "2"]);
    // (code, status, run status, return code, stdout)
    let rows = [
        (RIGHT, "Success", "Finished", json!(0), "3\n"),
        ("print('a'); raise SystemExit(3)", "Failed", "Finished", json!(3), "a\n"),
        ("while True: pass", "Failed", "TimeLimitExceeded", Value::Null, ""),
        ("import time; time.sleep(60)", "Failed", "TimeLimitExceeded", Value::Null, ""),
        ("import os, signal; os.kill(os.getpid(), signal.SIGABRT)", "Failed", "Finished", json!(-6), ""),
        ("print(", "Failed", "Finished", json!(1), ""),
    ];
    for (code, status, run_status, return_code, stdout) in rows {
        let reply = server.run_python(code);
        let run = &reply["run_result"];
        assert_eq!(
            (&reply["status"], &run["status"]),
            (&json!(status), &json!(run_status)),
            "{code}: {reply}"
        );
        assert_eq!((&run["return_code"], &run["stdout"]), (&return_code, &json!(stdout)), "{code}: {reply}");
        assert_eq!(reply["compile_result"], Value::Null);
        assert!(run["execution_time"].is_number() && run["stderr"].is_string(), "{reply}");
    }
    for (code, error) in [("print(", "SyntaxError"), ("1/0", "ZeroDivisionError")] {
        let reply = server.run_python(code);
        assert!(reply["run_result"]["stderr"].as_str().unwrap().contains(error), "{reply}");
    }
    for length in [150_000, 400_000] {
        let reply = server.run_python(&format!("print('z' * {length})"));
        assert_eq!(reply["run_result"]["stdout"].as_str().unwrap().len(), length + 1);
    }
}

#[test]
fn run_code_compiles() {
    let server = Server::start(&["--slots", "1"]);
    let square = "#include <iostream>\nint main() { int x; std::cin >> x; std::cout << x * x; }";
    let fine = server.run_code(&json!({ "code": square, "language": "cpp", "stdin": "4" }));
    assert_eq!((&fine["status"], &fine["run_result"]["stdout"]), (&json!("Success"), &json!("16")), "{fine}");
    assert_eq!(fine["compile_result"]["return_code"], 0);
    let broken = server.run_code(&json!({ "code": "int main() { return x; }", "language": "cpp" }));
    assert_eq!((&broken["status"], &broken["run_result"]), (&json!("Failed"), &Value::Null), "{broken}");
    assert_eq!(broken["compile_result"]["status"], "Finished");
    assert!(broken["compile_result"]["stderr"].as_str().unwrap().contains("error"), "{broken}");
}

#[test]
fn run_code_takes_what_its_clients_send() {
    let server = Server::start(&["--slots", "1"]);
    for fine in [json!({ "code": "print(1)" }), json!({ "code": "print(1)", "stdin": null, "novel": [1] })] {
        assert_eq!(server.run_code(&fine)["status"], "Success");
    }
    for (unsupported, why) in [
        (json!({ "code": "1", "language": "php" }), "not supported"),
        (json!({ "code": "1", "files": { "../a": "YQ==" } }), "cannot be a file's path"),
        (json!({ "code": "1", "fetch_files": ["/etc/passwd"] }), "cannot be a file's path"),
    ] {
        let reply = server.run_code(&unsupported);
        assert_eq!(reply["status"], "Failed");
        assert!(reply["message"].as_str().unwrap().contains(why), "{reply}");
    }
    for wrong in [
        json!({}),
        json!({ "code": 1 }),
        json!({ "code": "", "language": "cobol" }),
        json!({ "code": "", "files": { "a": "no base64!" } }),
        json!([]),
    ] {
        let reply = server.post("/run_code", &wrong);
        assert_eq!(reply.status, 422, "{wrong}");
        assert!(reply.json()["detail"][0]["msg"].is_string(), "{}", reply.body);
    }
}

#[test]
fn the_service_says_what_it_is_and_how_it_does() {
    let server = Server::start(&["--slots", "1"]);
    assert_eq!(server.get("/healthz").status, 200);
    assert_eq!(server.get("/v1/ping").json(), "pong");
    let ready = server.get("/readyz");
    assert_eq!((ready.status, &ready.json()["ready"]), (200, &json!(true)), "{}", ready.body);
    let version = server.get("/v1/version").json();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert!(version["provenance"]["tier"].is_string(), "{version}");
    assert!(version["provenance"]["languages"]["python3"]["version"].is_string(), "{version}");
    server.post("/v1/grade", &sum(RIGHT));
    assert_eq!(
        server.metric("assay_grade_total{kind=\"code\",outcome=\"graded\",verdict=\"accepted\"}"),
        1.0
    );
    assert_eq!(server.metric("assay_run_seconds_count"), 1.0);
    assert_eq!(server.metric("assay_ready"), 1.0);
    // Drop-in routes count too: judgements of tests by their verdict, programs by their end.
    let tests = json!([{ "input": "1 2\n", "output": "3\n" }, { "input": "1 2\n", "output": "4\n" }]);
    let program = "print(sum(map(int, input().split())))";
    assert_eq!(
        server.post("/test_program_stdio", &json!({ "program": program, "tests": tests })).status,
        200
    );
    server.run_python("print(1)");
    server.run_python("raise SystemExit(3)");
    for (name, count) in [
        ("assay_grade_total{kind=\"code\",outcome=\"graded\",verdict=\"accepted\"}", 2.0),
        ("assay_grade_total{kind=\"code\",outcome=\"graded\",verdict=\"wrong_answer\"}", 1.0),
        ("assay_programs_total{end=\"exited_zero\"}", 1.0),
        ("assay_programs_total{end=\"exited_nonzero\"}", 1.0),
    ] {
        assert_eq!(server.metric(name), count, "{name}");
    }

    let reply = server.post_with("/v1/grade", &[("X-Request-Id", "abc-123")], &math("1", "1"));
    assert_eq!(reply.header("x-request-id"), Some("abc-123"));
    assert!(server.get("/healthz").header("x-request-id").is_some());
}

#[test]
fn another_program_can_own_a_verifier() {
    for math_only in [true, false] {
        let program = Some(env!("CARGO_BIN_EXE_assay").into());
        let process = VerifierProcess::start(&VerifierConfig { program, slots: 1, math_only }).unwrap();
        let address: SocketAddr = process.base_url.strip_prefix("http://").unwrap().parse().unwrap();
        let body = if math_only { math("1", "\\boxed{1}") } else { sum(RIGHT) };
        let reply = request(address, "POST", "/v1/grade", &[], &body.to_string());
        assert_eq!(reply.json()["reward"], 1.0);
        drop(process);
        assert!(TcpStream::connect(address).is_err(), "it ended with its owner");
    }
}

//! The parts of the native API that are more than grading: problems stored once, results kept, packed bodies.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

#[path = "common/service.rs"]
mod service;

use std::io::Write;
use std::net::TcpStream;
use std::sync::{Arc, Barrier};
use std::thread;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use service::{HANG, RIGHT, Server, math, read_reply, request, sum};

fn by_id(id: &str, completion: &str) -> Value {
    json!({ "problem_id": id, "completion": completion })
}

#[test]
fn a_problem_is_stored_once_and_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("problems");
    let start = || Server::start(&["--math-only", "--problems", path.to_str().unwrap()]);
    let mut server = start();
    let problem = math("1/2", "")["problem"].clone();
    let stored = server.post("/v1/problems", &problem);
    assert_eq!(stored.status, 201, "{}", stored.body);
    let id = stored.json()["id"].as_str().unwrap().to_owned();
    let again = server.post("/v1/problems", &problem);
    assert_eq!((again.status, &again.json()["id"]), (200, &json!(id)));
    let many = server.post("/v1/problems", &json!([problem, math("2", "")["problem"]])).json();
    assert_eq!(many["ids"][0], json!(id));
    let other = many["ids"][1].as_str().unwrap().to_owned();
    server.signal(Signal::SIGKILL);
    server.wait();

    let server = start();
    let listing = server.get("/v1/problems").json();
    assert_eq!(listing["problems"].as_array().unwrap().len(), 2, "{listing}");
    assert!(!listing.to_string().contains("ground_truth"), "a listing shows no answers: {listing}");
    let graded = server.post("/v1/grade", &by_id(&id, "\\boxed{0.5}")).json();
    assert_eq!((&graded["reward"], &graded["question_id"]), (&json!(1.0), &json!("m")), "{graded}");
    assert_eq!(server.post("/v1/grade", &by_id(&other, "\\boxed{3}")).json()["verdict"], "wrong_answer");
    assert_eq!(request(server.address, "DELETE", &format!("/v1/problems/{other}"), &[], "").status, 204);
    for gone in [other.as_str(), "none", "../secret"] {
        let reply = server.post("/v1/grade", &by_id(gone, ""));
        assert_eq!(reply.status, 422, "{}", reply.body);
        assert!(reply.json()["detail"].as_str().unwrap().contains("/v1/problems"), "{}", reply.body);
    }
    assert_eq!(request(server.address, "DELETE", "/v1/problems/none", &[], "").status, 404);
    // In a batch it is that item's alone.
    let batch = json!({ "items": [by_id("none", ""), by_id(&id, "\\boxed{0.5}")] });
    let results = server.post("/v1/grade/batch", &batch).json();
    assert_eq!(
        (&results["results"][0]["outcome"], &results["results"][1]["reward"]),
        (&json!("invalid"), &json!(1.0))
    );

    // A file that somebody changed is our failure and nobody's zero.
    std::fs::write(path.join(format!("{id}.json")), "{}").unwrap();
    let server = start();
    let reply = server.post("/v1/grade", &by_id(&id, "\\boxed{0.5}"));
    assert_eq!((reply.status, &reply.json()["fault"]), (500, &json!("service")), "{}", reply.body);
}

#[test]
fn what_is_no_problem_or_too_much_is_not_stored() {
    let server = Server::start(&["--math-only", "--problems-size", "200B"]);
    let bad = server.post("/v1/problems", &json!({ "task": { "type": "maths" } }));
    assert_eq!(bad.status, 422, "{}", bad.body);
    let second = server.post("/v1/problems", &json!([math("1", "")["problem"], 7]));
    assert!(
        second.status == 422 && second.json()["detail"].as_str().unwrap().contains("problem 1"),
        "{}",
        second.body
    );
    let large = math(&"9".repeat(500), "")["problem"].clone();
    let full = server.post("/v1/problems", &large);
    assert_eq!(full.status, 507, "{}", full.body);
    let mut both = math("1", "\\boxed{1}");
    both["problem_id"] = "x".into();
    assert_eq!(server.post("/v1/grade", &both).status, 422);
    assert_eq!(server.post("/v1/grade", &json!({ "completion": "" })).status, 422);
}

/// Eight samples of a group that say the same: one is run.
#[test]
fn an_item_that_comes_again_is_judged_once() {
    let server = Arc::new(Server::start(&["--slots", "1", "--cache", "100"]));
    let start = Arc::new(Barrier::new(8));
    let ask = |_| {
        let (server, start) = (server.clone(), start.clone());
        thread::spawn(move || {
            start.wait();
            let graded = server.post("/v1/grade", &sum(RIGHT)).json();
            assert_eq!(graded["reward"], 1.0, "{graded}");
        })
    };
    let threads: Vec<_> = (0..8).map(ask).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(server.metric("assay_cache_misses_total"), 1.0);
    assert_eq!(server.metric("assay_cache_hits_total"), 7.0);
    assert_eq!(server.metric("assay_run_seconds_count"), 1.0);
    let again = server.post("/v1/grade", &sum(RIGHT)).json();
    assert_eq!((&again["cached"], &again["reward"]), (&json!(true), &json!(1.0)), "{again}");
    // A time limit says more about the machine than about the program: it is judged anew.
    let mut slow = sum("while True: pass");
    slow["limits"] = json!({ "cpu_time": 0.2 });
    for _ in 0..2 {
        let graded = server.post("/v1/grade", &slow).json();
        assert_eq!((&graded["verdict"], &graded["cached"]), (&json!("time_limit_exceeded"), &json!(false)));
    }
    let batch = json!({ "items": [sum(RIGHT), sum(RIGHT)] });
    let results = server.post("/v1/grade/batch", &batch).json();
    assert_eq!(
        (&results["results"][0]["reward"], &results["results"][1]["reward"]),
        (&json!(1.0), &json!(1.0))
    );
}

/// With a directory also by the next service, and what hangs on the machine's pace is not.
#[test]
fn a_restart_knows_what_was_judged() {
    let place = tempfile::tempdir().unwrap();
    let directory = place.path().join("kept");
    let arguments = ["--slots", "1", "--cache-dir", directory.to_str().unwrap()];
    let mut slow = sum("while True: pass");
    slow["limits"] = json!({ "cpu_time": 0.2 });
    let wrong = sum("print(input())");
    let mut first = Vec::new();
    for restarted in [false, true] {
        let server = Server::start(&arguments);
        let batch = json!({ "items": [sum(RIGHT), wrong, slow] });
        let mut results = server.post("/v1/grade/batch", &batch).json()["results"].clone();
        let of =
            |name: &str| results.as_array().unwrap().iter().map(|row| row[name].clone()).collect::<Vec<_>>();
        assert_eq!(of("verdict"), ["accepted", "wrong_answer", "time_limit_exceeded"], "{results}");
        assert_eq!(of("cached"), [json!(restarted), json!(restarted), json!(false)], "{results}");
        assert_eq!(server.metric("assay_cache_misses_total"), if restarted { 1.0 } else { 3.0 });
        assert_eq!(server.metric("assay_cache_hits_total"), if restarted { 2.0 } else { 0.0 });
        let rows = results.as_array_mut().unwrap();
        rows.pop();
        for row in rows.iter_mut() {
            // What a remembered result says of this time.
            for name in ["cached", "timings"] {
                row[name] = json!(null);
            }
        }
        if restarted {
            assert_eq!(*rows, first);
        }
        first.clone_from(rows);
    }
}

#[test]
fn a_packed_body_is_read_and_a_bomb_is_not() {
    let server = Server::start(&["--math-only", "--max-body", "1MB"]);
    let post = |coding: &str, body: &[u8]| {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.set_read_timeout(Some(HANG)).unwrap();
        write!(
            stream,
            "POST /v1/grade HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Encoding: {coding}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .unwrap();
        stream.write_all(body).unwrap();
        read_reply(stream)
    };
    let text = math("1", "\\boxed{1}").to_string();
    // Stored blocks: what gzip and zstd write when they do not compress.
    assert_eq!(post("gzip", &gzip(text.as_bytes())).json()["reward"], 1.0);
    assert_eq!(post("zstd", &zstd(text.as_bytes())).json()["reward"], 1.0);
    assert_eq!(post("gzip", text.as_bytes()).status, 400);
    assert_eq!(post("br", text.as_bytes()).status, 415);
    // A zstd block of one byte repeated 128 KiB times, a hundred of them: 400 bytes for 13 MB.
    let bomb =
        zstd_of(&(0..100).map(|i| zstd_block(1, 128 << 10, b" ", i == 99)).collect::<Vec<_>>().concat());
    assert_eq!(post("zstd", &bomb).status, 413);
    assert_eq!(server.post("/v1/grade", &math("1", "\\boxed{1}")).json()["reward"], 1.0);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap();
    let mut packed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    packed.extend(length.to_le_bytes());
    packed.extend((!length).to_le_bytes());
    packed.extend(bytes);
    packed.extend(crc32(bytes).to_le_bytes());
    packed.extend(u32::from(length).to_le_bytes());
    packed
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    })
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd_of(&zstd_block(0, bytes.len() as u32, bytes, true))
}

/// A frame with a window of 128 KiB, no content size and no checksum.
fn zstd_of(blocks: &[u8]) -> Vec<u8> {
    [&[0x28, 0xb5, 0x2f, 0xfd, 0, 7 << 3], blocks].concat()
}

/// A raw (0) or run-length (1) block.
fn zstd_block(kind: u32, size: u32, content: &[u8], last: bool) -> Vec<u8> {
    let header = u32::from(last) | kind << 1 | size << 3;
    [&header.to_le_bytes()[..3], content].concat()
}

#[test]
fn fewer_tests_are_the_first_or_those_that_a_seed_draws() {
    let server = Server::start(&["--slots", "1"]);
    let tests: Vec<Value> =
        (0..10).map(|n| json!({ "input": format!("{n}\n"), "output": format!("{n}\n") })).collect();
    let problem = json!({ "task": { "type": "code", "test_cases": tests } });
    // Right but for the inputs 1, 4 and 7.
    let code = "n = int(input())\nprint(-1 if n in (1, 4, 7) else n)";
    let grade = |settings: Value| {
        let mut body = json!({ "problem": problem, "completion": code, "mode": "code" });
        body.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        server.post("/v1/grade", &body).json()
    };
    for (settings, reward, passed, total, failed) in [
        (json!({ "first_n": 1 }), 1.0, 1, 1, Value::Null),
        (json!({ "first_n": 5 }), 0.0, 1, 5, json!(1)),
        (json!({ "first_n": 5, "early_stop": false }), 0.0, 3, 5, json!(1)),
        (json!({ "first_n": 5, "reward": "fraction" }), 0.6, 3, 5, json!(1)),
        (json!({ "first_n": 99, "reward": "fraction" }), 0.7, 7, 10, json!(1)),
        (json!({ "reward": "fraction", "early_stop": true }), 0.1, 1, 10, json!(1)),
    ] {
        let graded = grade(settings.clone());
        let found = (&graded["reward"], &graded["passed"], &graded["total"], &graded["failed_test"]);
        assert_eq!(found, (&json!(reward), &json!(passed), &json!(total), &failed), "{settings}: {graded}");
    }
    // A seed draws the same every time, others draw others, and the failed test is named as it came.
    let drawn = |seed: u64| grade(json!({ "first_n": 4, "seed": seed, "reward": "fraction" }));
    let results: Vec<Value> = (0..8).map(drawn).collect();
    let seen = |graded: &Value| (graded["passed"].clone(), graded["failed_test"].clone());
    assert_eq!(seen(&drawn(3)), seen(&results[3]));
    assert!(results.iter().any(|graded| seen(graded) != seen(&results[0])), "{results:?}");
    for graded in &results {
        let failed = &graded["failed_test"];
        assert!(
            graded["total"] == 4 && (failed.is_null() || [1, 4, 7].contains(&failed.as_i64().unwrap())),
            "{graded}"
        );
    }
    for (settings, part) in [(json!({ "first_n": 0 }), "first_n"), (json!({ "seed": 1 }), "first_n")] {
        let refused = grade(settings);
        assert!(refused["status"] == 422 && refused["detail"].as_str().unwrap().contains(part), "{refused}");
    }
    let mut body = math("1", "1");
    body["first_n"] = json!(1);
    assert_eq!(server.post("/v1/grade", &body).status, 422);
}

/// A client that hung up kept its judge busy until its program's time was over, whoever waited behind it.
#[test]
fn hanging_up_frees_the_judge() {
    let server = Server::start(&["--slots", "1", "--sleepers", "0"]);
    let minute = json!({ "cpu_time": 60, "wall_time": 60 });
    let endless = |task: Value| json!({ "problem": { "task": task }, "completion": "def f(n):\n    while True: pass\nf(1)", "mode": "code", "limits": minute });
    let test = json!([{ "input": "1", "output": "1" }]);
    let stdin = json!({ "type": "code", "test_cases": test });
    let calls = json!({ "type": "code", "func_name": "f", "test_cases": test });
    let run = json!({ "code": "import time\ntime.sleep(60)", "run_timeout": 60 });
    let rows = [
        ("/v1/grade", endless(stdin.clone())),
        ("/v1/grade", endless(calls)),
        ("/v1/grade/batch", json!({ "items": [endless(stdin)] })),
        ("/run_code", run),
    ];
    for (at, (path, body)) in rows.iter().enumerate() {
        let leaver = server.ask_and_do_not_wait(path, body);
        server.wait_for_metric("assay_in_flight", 1.0);
        let left = std::time::Instant::now();
        drop(leaver);
        server.wait_for_metric("assay_in_flight", 0.0);
        assert!(left.elapsed().as_secs() < 30, "{path} went on for {:?}", left.elapsed());
        assert_eq!(server.metric("assay_abandoned_total"), at as f64 + 1.0, "{path}");
    }
    assert_eq!(server.post("/v1/grade", &sum(RIGHT)).json()["reward"], 1.0);
    let verdict = "assay_grade_total{kind=\"code\",outcome=\"graded\",verdict=\"time_limit_exceeded\"}";
    assert_eq!(server.metric(verdict), 0.0, "what nobody waited for is no verdict");
}

/// Forty equal items that slept until their limit were judged one after the other where results are kept: each waited for the one
/// before, whose result was not kept.
#[test]
fn equal_items_without_a_lasting_verdict_do_not_wait_for_each_other() {
    let server = Server::start(&["--slots", "1", "--cache", "10"]);
    let mut item = sum("import time\ntime.sleep(60)");
    item["limits"] = json!({ "wall_time": 2 });
    let began = std::time::Instant::now();
    let results = server.post("/v1/grade/batch", &json!({ "items": vec![item; 16] })).json();
    for result in results["results"].as_array().unwrap() {
        assert_eq!(result["verdict"], "time_limit_exceeded", "{result}");
    }
    // Two rounds of two seconds, or sixteen.
    assert!(began.elapsed().as_secs() < 24, "{:?}", began.elapsed());
}

//! What a collector is told: a span per request, in the trace that its client began, and below it where each item's time went.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

#[path = "common/service.rs"]
mod service;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use service::{HANG, Server, serve};

/// A collector that takes everything.
fn collector() -> (SocketAddr, Receiver<Value>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        for connection in listener.incoming() {
            let send = send.clone();
            thread::spawn(move || take(connection.unwrap(), &send));
        }
    });
    (address, receive)
}

/// Each request of a connection goes to `spans` as JSON.
fn take(stream: TcpStream, spans: &Sender<Value>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut length = 0;
        let mut first = String::new();
        reader.read_line(&mut first).ok().filter(|read| *read > 0)?;
        assert_eq!(first.trim_end(), "POST /v1/traces HTTP/1.1");
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        spans.send(serde_json::from_slice(&body).unwrap()).ok()?;
        (&stream)
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-type: application/json\r\n\r\n{}")
            .ok()?;
    }
}

fn start(collector: SocketAddr, slots: &str) -> Server {
    let mut command = serve(&["--slots", slots, "--otlp", &format!("http://{collector}/")]);
    command.env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json").env("OTEL_BSP_SCHEDULE_DELAY", "100");
    Server::of(command)
}

/// All spans of an export, each with the service's name.
fn spans(export: &Value) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for resource in export["resourceSpans"].as_array().unwrap() {
        let attributes = &resource["resource"]["attributes"];
        let name = attribute(attributes, "service.name")["stringValue"].as_str().unwrap().to_owned();
        for scope in resource["scopeSpans"].as_array().unwrap() {
            found.extend(scope["spans"].as_array().unwrap().iter().map(|span| (name.clone(), span.clone())));
        }
    }
    found
}

fn attribute<'a>(attributes: &'a Value, key: &str) -> &'a Value {
    let all = attributes.as_array().into_iter().flatten();
    all.into_iter().find(|entry| entry["key"] == key).map_or(&Value::Null, |entry| &entry["value"])
}

fn nanos(span: &Value, name: &str) -> u64 {
    span[name].as_str().unwrap().parse().unwrap()
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

#[test]
fn a_request_goes_on_with_its_clients_trace() {
    let (address, exports) = collector();
    let mut server = start(address, "2");
    let sum = |code: &str| {
        json!({
            "problem": { "question_id": "q", "task": {
                "type": "code", "test_cases": [{ "input": "1 2\n", "output": "3\n" }],
            } },
            "completion": format!("```python\n{code}\n```"),
        })
    };
    let items = [sum("print(sum(map(int, input().split())))"), sum("print('secret of the model')")];
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    let headers = [("traceparent", traceparent.as_str())];
    let reply = server.post_with("/v1/grade/batch", &headers, &json!({ "items": items }));
    assert_eq!(reply.status, 200, "{}", reply.body);
    server.signal(Signal::SIGTERM);
    assert!(server.wait().success());

    let mut all = Vec::new();
    while let Ok(export) = exports.recv_timeout(std::time::Duration::from_secs(1)) {
        let text = export.to_string();
        assert!(!text.contains("secret") && !text.contains("input"), "more than is meant for it: {text}");
        all.extend(spans(&export));
    }
    assert!(all.iter().all(|(service, _)| service == "assay"), "{all:?}");
    let ours: Vec<&Value> =
        all.iter().map(|(_, span)| span).filter(|span| span["traceId"] == TRACE).collect();
    let named = |name: &str| ours.iter().filter(|span| span["name"] == name).copied().collect::<Vec<_>>();
    let [request] = named("POST /v1/grade/batch")[..] else { panic!("{all:?}") };
    assert_eq!(request["parentSpanId"], PARENT);
    assert_eq!(attribute(&request["attributes"], "http.route")["stringValue"], "/v1/grade/batch");
    assert!(
        attribute(&request["attributes"], "http.response.status_code")["intValue"]
            .to_string()
            .contains("200")
    );

    let items = named("item");
    let mut verdicts: Vec<_> = items
        .iter()
        .map(|item| attribute(&item["attributes"], "assay.verdict")["stringValue"].as_str().unwrap())
        .collect();
    verdicts.sort_unstable();
    assert_eq!(verdicts, ["accepted", "wrong_answer"]);
    for item in items {
        assert_eq!(item["parentSpanId"], request["spanId"]);
        let parts: Vec<_> = ["queue", "compile", "run"]
            .into_iter()
            .flat_map(named)
            .filter(|part| part["parentSpanId"] == item["spanId"])
            .collect();
        assert!(parts.iter().any(|part| part["name"] == "run"), "{all:?}");
        for part in parts {
            assert!(nanos(part, "startTimeUnixNano") >= nanos(item, "startTimeUnixNano"));
            assert!(nanos(part, "endTimeUnixNano") <= nanos(item, "endTimeUnixNano"));
        }
    }
}

/// A collector that hangs up costs spans and nothing else: not a request, not a clean end.
#[test]
fn a_collector_that_is_gone_costs_spans_alone() {
    let nobody = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let mut server = start(address, "1");
    for _ in 0..20 {
        let problem = json!({ "task": { "type": "math", "ground_truth": "1/2" } });
        let reply = server.post("/v1/grade", &json!({ "problem": problem, "completion": "\\boxed{0.5}" }));
        assert_eq!(reply.json()["reward"], 1.0, "{}", reply.body);
    }
    let began = std::time::Instant::now();
    server.signal(Signal::SIGTERM);
    assert!(server.wait().success());
    assert!(began.elapsed() < HANG);
}

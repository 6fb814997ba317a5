//! The live page and its events, and how pages take a token.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::service::{self, HANG, Server, file, math};

/// A stream of events, read one by one.
struct Events(BufReader<TcpStream>);

impl Events {
    fn listen(address: SocketAddr) -> Events {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(HANG)).unwrap();
        write!(stream, "GET /live/events HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
        let mut events = Events(BufReader::new(stream));
        let head: Vec<String> =
            std::iter::from_fn(|| events.line()).take_while(|line| !line.is_empty()).collect();
        assert!(head[0].contains(" 200 "), "{head:?}");
        assert!(
            head.iter().any(|line| line.eq_ignore_ascii_case("content-type: text/event-stream")),
            "{head:?}"
        );
        events
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        (self.0.read_line(&mut line).unwrap() > 0).then(|| line.trim_end().to_owned())
    }

    /// The next sample; nothing when the stream has ended. Lengths of chunks are passed over.
    fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(data) = self.line()?.strip_prefix("data: ") {
                return Some(serde_json::from_str(data).unwrap());
            }
        }
    }

    fn wait_for(&mut self, what: impl Fn(&Value) -> bool) -> Value {
        std::iter::from_fn(|| self.next()).find(what).expect("the stream goes on")
    }
}

#[test]
fn events_say_what_is_going_on_and_end_with_the_service() {
    let mut server = Server::start(&["--math-only", "--slots", "1", "--cache", "10"]);
    let mut events = Events::listen(server.address);
    let first = events.next().unwrap();
    assert_eq!((&first["totals"]["verdicts"], &first["now"]["ready"]), (&json!({}), &json!(true)), "{first}");
    assert_eq!((&first["now"]["slots"], &first["now"]["tier"]), (&json!(1), &json!("math-only")), "{first}");
    for answer in ["1", "1", "2"] {
        server.post("/v1/grade", &math("1", &format!("\\boxed{{{answer}}}")));
    }
    // The second of the two that are equal was known, and is not judged again.
    let verdicts = json!({ "accepted": 1, "wrong_answer": 1 });
    let sample = events.wait_for(|sample| sample["totals"]["verdicts"] == verdicts);
    let totals = &sample["totals"];
    assert!(totals["requests"].as_u64().unwrap() >= 3, "{sample}");
    assert_eq!((&totals["cache_hits"], &totals["cache_misses"]), (&json!(1), &json!(2)), "{sample}");
    assert!(
        sample["answers"]["p99"].as_f64().unwrap() > 0.0 && sample["waits"]["p50"].is_number(),
        "{sample}"
    );

    // Who comes later is told all that came before, and what each second gained.
    let mut later = Events::listen(server.address);
    assert_eq!(later.next().unwrap(), first);
    let told = std::iter::from_fn(|| later.next()).take_while(|told| *told != sample);
    let gained: u64 = told.map(|told| told["gained"]["verdicts"]["accepted"].as_u64().unwrap_or(0)).sum();
    assert_eq!(gained + sample["gained"]["verdicts"]["accepted"].as_u64().unwrap(), 1);

    server.signal(Signal::SIGTERM);
    while later.next().is_some() {}
    while events.next().is_some() {}
    assert_eq!(server.wait().code(), Some(0), "listeners do not hold it up");
}

#[test]
fn pages_are_whole_and_take_a_token_as_a_password() {
    let directory = tempfile::tempdir().unwrap();
    let tokens = file(directory.path(), "tokens", "secret-token\n");
    let server = Server::start(&["--math-only", "--token-file", tokens.to_str().unwrap()]);
    let ask = |path: &str, authorization: &str| {
        service::request(server.address, "GET", path, &[("Authorization", authorization)], "")
    };
    // `me:secret-token`, `me:secret`, and no pair at all.
    let [right, wrong, broken] = ["Basic bWU6c2VjcmV0LXRva2Vu", "Basic bWU6c2VjcmV0", "Basic bWU="];
    for page in ["/live", "/docs"] {
        let reply = ask(page, right);
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("text/html; charset=utf-8")));
        let policy = reply.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        for part in ["{{", "http:", "https:", "src=", "<link", "@import"] {
            let foreign = reply.body.replace("http://www.w3.org/2000/svg", "");
            assert!(!foreign.contains(part), "{page} has {part}");
        }
        assert_eq!(ask(page, "Bearer secret-token").status, 200);
        for bad in [wrong, broken, "Basic !", "Bearer secret"] {
            let reply = ask(page, bad);
            let challenge = reply.header("www-authenticate").unwrap();
            assert!(reply.status == 401 && challenge.starts_with("Basic "), "{bad}: {challenge}");
        }
    }
    // What grades never takes what a browser sends by itself.
    let headers = [("Authorization", right)];
    let reply = server.post_with("/v1/grade", &headers, &math("1", "\\boxed{1}"));
    assert_eq!((reply.status, reply.header("www-authenticate")), (401, Some("Bearer")));
    assert_eq!(ask("/live/events", wrong).status, 401);
}

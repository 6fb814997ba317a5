//! The drop-in routes, asked what their clients send, and tolerances of our own `/v1/grade`. Each file below `tests/wire/` is
//! a case: a `request` (`path`, and `body` as JSON or `text` as it is; without either a GET) and the `reply` it must get
//! (`status`, `body`).
//!
//! A reply's body must be equal, keys included, but for these texts in the file: `<text>` and `<number>` are any such
//! value, `<has WORDS>` is any text with these words. A case with `needs` is said to be skipped where that command is
//! not installed, and one with `children`, whose program starts others, where guests may not (below tier B); one with
//! `math_only` is put to a service without a sandbox.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

#[test]
fn run_code() {
    check("run_code");
}

#[test]
fn submit() {
    check("submit");
}

#[test]
fn get_reward() {
    check("get_reward");
}

#[test]
fn rm() {
    check("rm");
}

#[test]
fn scalebox() {
    check("scalebox");
}

#[test]
fn open_instruct() {
    check("open_instruct");
}

#[test]
fn nemo_gym() {
    check("nemo_gym");
}

#[test]
fn nemo_skills() {
    check("nemo_skills");
}

#[test]
fn execute_batch() {
    check("execute_batch");
}

#[test]
fn areal() {
    check("areal");
}

#[test]
fn piston() {
    check("piston");
}

#[test]
fn grade() {
    check("grade");
}

#[test]
fn judge0() {
    check("judge0");
}

/// Puts all cases of a folder to the service and reports all that came out differently.
fn check(folder: &str) {
    let cases = cases(folder);
    assert!(!cases.is_empty(), "no cases in {folder}");
    let whole = Server::start(&[]);
    let math_only = Server::start(&["--math-only"]);
    let (_, version) = whole.ask(&serde_json::json!({ "path": "/v1/version" }));
    let tier = version["provenance"]["tier"].as_str().expect("a tier").to_owned();
    let mut wrong = Vec::new();
    for (path, case) in &cases {
        if let Some(command) = case["needs"].as_str().filter(|command| !installed(command)) {
            eprintln!("SKIPPED: {}: {command} is not installed", path.display());
            continue;
        }
        if case["children"] == true && !["A", "B"].contains(&tier.as_str()) {
            eprintln!("SKIPPED: {}: tier {tier} lets no guest start another process", path.display());
            continue;
        }
        let server = if case["math_only"] == true { &math_only } else { &whole };
        let (status, body) = server.ask(&case["request"]);
        let differs = if case["reply"]["status"] == status {
            difference(&case["reply"]["body"], &body, "body")
        } else {
            Some(format!("status {status}"))
        };
        if let Some(difference) = differs {
            wrong.push(format!("{}: {difference}; the whole reply: {body}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

fn cases(folder: &str) -> Vec<(PathBuf, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire").join(folder);
    let mut paths: Vec<PathBuf> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).unwrap();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    paths.iter().map(|path| (path.clone(), read(path))).collect()
}

fn installed(command: &str) -> bool {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .any(|folder| folder.join(command).is_file())
}

/// Where a reply is not as the case says, if anywhere.
fn difference(want: &Value, got: &Value, at: &str) -> Option<String> {
    let same = match (want, got) {
        (Value::Object(want), Value::Object(got)) if want.keys().eq(got.keys()) => {
            return want.iter().find_map(|(key, want)| difference(want, &got[key], &format!("{at}.{key}")));
        }
        (Value::Array(want), Value::Array(got)) if want.len() == got.len() => {
            let mut pairs = want.iter().zip(got).enumerate();
            return pairs.find_map(|(i, (want, got))| difference(want, got, &format!("{at}[{i}]")));
        }
        (Value::String(pattern), got) => match pattern.strip_prefix('<').and_then(|p| p.strip_suffix('>')) {
            Some("text") => got.is_string(),
            Some("number") => got.is_number(),
            Some(words) if words.starts_with("has ") => {
                got.as_str().is_some_and(|text| text.contains(&words["has ".len()..]))
            }
            _ => want == got,
        },
        _ => want == got,
    };
    (!same).then(|| format!("{at} is {got} and not {want}"))
}

#[test]
fn a_difference_is_seen() {
    let rows = [
        (r#"{"a": 1, "b": [null, "x"]}"#, r#"{"a": 1, "b": [null, "x"]}"#, None),
        (r#"{"a": 1}"#, r#"{"a": 2}"#, Some("body.a")),
        (r#"{"a": 1}"#, r#"{"a": 1, "b": 1}"#, Some("body is")),
        (r#"{"a": [1]}"#, r#"{"a": [1, 1]}"#, Some("body.a is")),
        (r#"["<text>", "<number>", "<has no>"]"#, r#"["", 0.5, "I know"]"#, None),
        (r#"["<text>"]"#, "[1]", Some("body[0]")),
        (r#"["<number>"]"#, r#"["1"]"#, Some("body[0]")),
        (r#"["<has no>"]"#, r#"["yes"]"#, Some("body[0]")),
    ];
    for (want, got, place) in rows {
        let json = |text| serde_json::from_str::<Value>(text).unwrap();
        let found = difference(&json(want), &json(got), "body");
        match place {
            None => assert_eq!(found, None),
            Some(place) => {
                assert!(found.clone().is_some_and(|text| text.contains(place)), "{want} {got}: {found:?}")
            }
        }
    }
}

struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(arguments: &[&str]) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_assay"));
        command
            .args(["serve", "--until-stdin-closes", "--listen", "127.0.0.1:0", "--slots", "2"])
            .args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("http://").and_then(|address| address.parse().ok());
        Server { child, address: address.unwrap_or_else(|| panic!("no address but {line:?}")) }
    }

    fn ask(&self, request: &Value) -> (u64, Value) {
        let path = request["path"].as_str().unwrap();
        let body = request.get("body").map(Value::to_string);
        let body = body.or_else(|| request.get("text").map(|text| text.as_str().unwrap().to_owned()));
        let method = if body.is_some() { "POST" } else { "GET" };
        let body = body.unwrap_or_default();
        let mut stream = TcpStream::connect(self.address).unwrap();
        // Longer than anything here takes on the slowest machine; only a hang reaches it.
        stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        )
        .unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").expect("an HTTP head");
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or_else(|error| panic!("{error} in {reply:?}")))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Standard input closes, and the service ends.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

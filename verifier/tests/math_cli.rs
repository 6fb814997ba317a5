//! `assay math` as scripts use it: exit codes, JSON, files of pairs, errors of one line.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn assay(arguments: &[&str], stdin: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_assay"))
        .arg("math")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("assay starts");
    let mut pipe = child.stdin.take().expect("a pipe");
    // A command that refuses its arguments does not read its input.
    let _ = pipe.write_all(stdin.as_bytes());
    drop(pipe);
    child.wait_with_output().expect("assay ends")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

#[test]
fn exit_codes_say_whether_two_answers_are_equal() {
    for (arguments, code, shown) in [
        (&["\\frac{1}{2}", "0.5"][..], 0, "equal (exact)"),
        (&["5", "6"], 1, "different"),
        (&["-5", "-5"], 0, "equal"),
        (&["5", "\\int x"], 1, "unsupported: answer"),
        (&["all of them that are prime", "5"], 1, "unsupported: gold"),
        (&["\\sqrt{8}", "2\\sqrt{2}", "--explain"], 0, "decided by: compare"),
        (&["3, 1", "1, 3"], 1, "order"),
        (&["3, 1", "1, 3", "--profile", "math_verify"], 0, "equal"),
        (&["3.14", "3.15", "--tolerance", "math::abs(pred - gold) < 0.1"], 0, "equal (tolerance)"),
        (&["3.14", "3", "--tolerance", "math::abs(pred - gold) < 0.5 && pred_is_decimal"], 1, "different"),
        (&["1.5 \\times 10^{3}", "1520", "--profile", "minerva"], 0, "equal (tolerance)"),
        (&["1.5 \\times 10^{3}", "1540", "--profile", "minerva"], 1, "different"),
        (&["1500", "1520", "--profile", "minerva"], 1, "different"),
        (&["204", "408/2", "--profile", "aime"], 1, "not written as the gold is"),
        (&["1204", "1204", "--profile", "aime"], 1, "unsupported: gold"),
        (&["2, 1", "1, 2", "--profile", "math"], 0, "equal"),
        (&["0.30000000001", "0.3", "--profile", "olympiadbench"], 0, "equal (tolerance)"),
        (&["proof", "proof"], 1, "unsupported: gold"),
    ] {
        let output = assay(arguments, "");
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output.stderr));
        assert!(text(&output.stdout).contains(shown), "{arguments:?}: {}", text(&output.stdout));
    }
}

#[test]
fn wrong_usage_is_one_line_that_helps() {
    for (arguments, parts) in [
        (&["5"][..], &["ANSWER"][..]),
        (&["5", "5", "--profile", "lenient"], &["lenient", "strict", "math_verify"]),
        (&["5", "5", "--tolerance", "pred + gold"], &["tolerance rule", "math::abs"]),
        (&["--pairs", "no/such/file.jsonl"], &["no/such/file.jsonl", "check the path"]),
        (&["--pairs", "-", "5"], &["--pairs"]),
    ] {
        let output = assay(arguments, "");
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert_eq!(error.trim_end().lines().count(), 1, "{arguments:?}: {error}");
        for part in parts {
            assert!(error.contains(part), "{arguments:?}: no {part:?} in {error}");
        }
    }
}

#[test]
fn json_is_one_value() {
    let output = assay(&["\\pi", "3.14", "--json"], "");
    let value: Value = serde_json::from_slice(&output.stdout).expect("one JSON value");
    assert_eq!(value["verdict"], "different");
    assert_eq!(value["outcome"], "graded");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn pairs_stream_as_json_lines() {
    let pairs = r#"{"id": "a", "gold": "5", "pred": "It is \\boxed{5}."}
{"id": 7, "gold": "5", "pred": "5", "mode": "answer", "suite": "mine"}

{"id": "c", "gold": "5", "pred": "5"}
{"id": "d", "gold": "1, 2, \\ldots", "pred": "\\boxed{1}"}
{"id": "e", "gold": "\\sqrt{2}", "pred": "\\boxed{1.41}"}
"#;
    let output = assay(&["--pairs", "-"], pairs);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let lines: Vec<Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let shown: Vec<String> = lines
        .iter()
        .map(|l| format!("{} {} {} {}", l["id"], l["outcome"], l["verdict"], l["extraction"]))
        .collect();
    let expected = [
        r#""a" "graded" "equal" "boxed""#,
        r#"7 "graded" "equal" "answer""#,
        r#""c" "graded" "no_answer" "none""#,
        r#""d" "unsupported" "unsupported" "none""#,
        r#""e" "graded" "different" "boxed""#,
    ];
    assert_eq!(shown, expected);
    assert!(lines[0]["proof"] == "exact" && lines[0]["micros"].is_f64() && lines[0]["steps"].is_u64());
    assert!(text(&output.stderr).contains("pairs per second"));
}

#[test]
fn a_malformed_line_is_named() {
    for (line, part) in [
        ("not json", "expected"),
        (r#"{"id": "b", "gold": "5"}"#, "pred"),
        (r#"{"id": "b", "gold": 5, "pred": "5"}"#, "string"),
        (r#"{"id": "b", "gold": "5", "pred": "5", "mode": "guess"}"#, "guess"),
    ] {
        let pairs = format!("{{\"id\": \"a\", \"gold\": \"5\", \"pred\": \"\\\\boxed{{5}}\"}}\n{line}\n");
        let output = assay(&["--pairs", "-"], &pairs);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{line}: {error}");
        assert!(error.contains("-:2:") && error.contains(part), "{line}: {error}");
        assert_eq!(text(&output.stdout).lines().count(), 1, "the good line before it was graded");
    }
}

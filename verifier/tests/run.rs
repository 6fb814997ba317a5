//! `assay run` and `assay doctor` as scripts see them: keys, numbers, exit codes.

use std::fs;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

const KEYS: [&str; 10] = [
    "termination",
    "exit_code",
    "signal",
    "stdout",
    "stderr",
    "cpu_time",
    "wall_time",
    "peak_memory",
    "rerun",
    "compiled",
];

/// Prints "hi\n" by `fd_write`; assembled by hand.
const WASM: &[u8] = b"\0asm\x01\0\0\0\
    \x01\x0c\x02\x60\x04\x7f\x7f\x7f\x7f\x01\x7f\x60\x00\x00\
    \x02\x23\x01\x16wasi_snapshot_preview1\x08fd_write\x00\x00\
    \x03\x02\x01\x01\
    \x05\x03\x01\x00\x01\
    \x07\x13\x02\x06memory\x02\x00\x06_start\x00\x01\
    \x0a\x0f\x01\x0d\x00\x41\x01\x41\x08\x41\x01\x41\x00\x10\x00\x1a\x0b\
    \x0b\x11\x01\x00\x41\x08\x0b\x0b\x10\x00\x00\x00\x03\x00\x00\x00hi\n";

/// File, its content, options; exit code; and what the record must hold.
type Row = (&'static str, &'static [u8], &'static str, i32, Value);

#[test]
fn a_program_becomes_a_record() {
    let rows: [Row; 11] = [
        (
            "a.py",
            b"print(int(input()) + 1)",
            "--stdin in.txt",
            0,
            json!({"termination": "exited", "exit_code": 0, "signal": null, "stdout": "42\n", "stderr": ""}),
        ),
        (
            "a.py",
            b"import sys; sys.exit(3)",
            "",
            1,
            json!({"termination": "exited", "exit_code": 3, "signal": null, "compiled": true}),
        ),
        (
            "a.py",
            b"import os; os.abort()",
            "",
            1,
            json!({"termination": "signaled", "exit_code": null, "signal": 6}),
        ),
        (
            "a.py",
            b"while True: pass",
            "--cpu-time 300ms",
            1,
            json!({"termination": "cpu_time_limit", "exit_code": null, "signal": null}),
        ),
        (
            "a.py",
            b"import sys; sys.stdout.buffer.write(b'\\xff\\n')",
            "",
            0,
            json!({"stdout": "\u{fffd}\n", "stdout_base64": "/wo="}),
        ),
        ("a.py", b"print('x' * 100000)", "--output 1KiB", 1, json!({"termination": "output_limit"})),
        ("a.txt", b"print(1)", "--lang py", 0, json!({"stdout": "1\n"})),
        (
            "a.cpp",
            b"#include <iostream>\nint main() { int a; std::cin >> a; std::cout << 2 * a; }",
            "--stdin in.txt",
            0,
            json!({"termination": "exited", "stdout": "82"}),
        ),
        // A refused source looked like a program that exited with 1, and a compiler without memory like a program.
        (
            "a.cc",
            b"int main() { return x; }",
            "",
            1,
            json!({"termination": "exited", "exit_code": 1, "compiled": false}),
        ),
        ("a.cc", b"int main() { return 1; }", "", 1, json!({"exit_code": 1, "compiled": true})),
        ("a.wasm", WASM, "", 0, json!({"termination": "exited", "stdout": "hi\n"})),
    ];
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("in.txt"), "41\n").unwrap();
    for (file, source, options, code, expected) in rows {
        fs::write(place.path().join(file), source).unwrap();
        let line = format!("run {file} --json {options}");
        let output = assay(place.path(), &line);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{line}: {stderr}");
        let record: Value = serde_json::from_slice(&output.stdout).unwrap();
        let keys: Vec<&str> = record.as_object().unwrap().keys().map(String::as_str).collect();
        let plain: Vec<&str> = keys.into_iter().filter(|key| !key.ends_with("_base64")).collect();
        assert_eq!(plain, KEYS, "{line}");
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(record[key], *value, "{line}: {key} of {record}");
        }
        assert!(record["cpu_time"].is_f64() && record["peak_memory"].is_u64(), "{line}: {record}");
    }
}

#[test]
fn without_json_the_output_passes_through() {
    // A program's last line without its end took ours as its own: `xassay: exited with code 0`.
    let rows = [
        (
            "a.py",
            "import sys; print('out'); print('err', file=sys.stderr)",
            "out\n",
            "err\nassay: exited with code 0; ",
        ),
        ("a.py", "import sys; sys.stderr.write('x')", "", "x\nassay: exited with code 0; "),
        ("a.py", "pass", "", "assay: exited with code 0; "),
        ("a.cpp", "int main() { return 1; }", "", "assay: exited with code 1; "),
        (
            "a.cpp",
            "int main() { return x; }",
            "",
            "\nassay: the source was not compiled: the compiler exited with code 1; ",
        ),
        ("a.py", "x = (", "", "\nassay: the source was not compiled: the interpreter exited with code 1; "),
    ];
    let place = tempfile::tempdir().unwrap();
    for (file, source, stdout, end) in rows {
        fs::write(place.path().join(file), source).unwrap();
        let output = assay(place.path(), &format!("run {file}"));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(String::from_utf8_lossy(&output.stdout), stdout, "{source}: {stderr}");
        let fits = if end.starts_with('\n') { stderr.contains(end) } else { stderr.starts_with(end) };
        assert!(fits, "{source}: {stderr}");
    }
}

/// Python is compiled under the run's own limits. A source that took too long was said to have been refused by "the
/// compiler", and no option was named, though one sets that limit.
#[test]
fn a_source_that_is_too_much_for_the_interpreter_names_the_limit() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("a.py"), format!("x = [{}]", "[1],".repeat(200_000))).unwrap();
    let output = assay(place.path(), "run a.py --cpu-time 20ms");
    let stderr = String::from_utf8_lossy(&output.stderr);
    let end =
        "assay: the source was not compiled: the interpreter stopped at the CPU time limit (--cpu-time); ";
    assert!(stderr.contains(end), "{stderr}");
}

#[test]
fn the_doctor_reports_walls_and_languages() {
    let place = tempfile::tempdir().unwrap();
    let output = assay(place.path(), "doctor --json");
    let stderr = String::from_utf8_lossy(&output.stderr);
    let record: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"));
    let keys: Vec<&str> = record.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["ok", "tier", "walls", "languages"]);
    assert_eq!(output.status.code(), Some(i32::from(record["ok"] != true)), "{record}");
    assert_eq!(record["languages"]["wasm"]["ok"], true, "{record}");
    assert!(record["walls"].as_object().is_some_and(|walls| !walls.is_empty()), "{record}");
    let table = assay(place.path(), "doctor");
    assert_eq!(table.status.code(), output.status.code());
    assert!(String::from_utf8_lossy(&table.stdout).starts_with("tier "), "{table:?}");
}

fn assay(place: &std::path::Path, line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_assay"));
    command.args(line.split_whitespace()).current_dir(place).stdin(Stdio::null());
    command.output().expect("the binary starts")
}

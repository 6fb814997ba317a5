//! What a person sees when something is wrong: one line, `assay: error: what, where, what to do`, the exit code
//! of the command line's conventions (2 wrong usage or bad input, 3 failure of assay or of the machine), and
//! nothing on stdout. One row per mistake, on the real binary.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::fs::{self, OpenOptions};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A mistake: the command line, the exit code, and what the line must say (what, where, what to do).
type Row = (&'static str, i32, &'static [&'static str]);

/// Files every row finds in its working directory.
const FILES: [(&str, &str); 17] = [
    ("a.py", "print(1)\n"),
    ("a.txt", "print(1)\n"),
    ("unknown_key.toml", "[run]\ncpu-time = \"1s\"\ncpu-tme = \"2s\"\n"),
    ("unknown_table.toml", "[rum]\ncpu-time = \"1s\"\n"),
    ("bad_value.toml", "[run]\ncpu-time = \"soon\"\n"),
    ("broken.toml", "[run]\ncpu-time =\n"),
    ("text.wasm", "(module)"),
    ("pairs.jsonl", "{\"id\": 1, \"gold\": \"1\", \"pred\": \"1\"}\n"),
    ("half.jsonl", "{\"id\": 1, \"gold\": \"1\", \"pred\": \"1\"}\n{\"id\": 2, \"gold\": \"1\"}\n"),
    ("math.jsonl", "{\"question_id\": \"m1\", \"question\": \"1+1?\", \"answer\": \"2\"}\n"),
    ("done.jsonl", "{\"question_id\": \"m1\", \"completion\": \"\\\\boxed{2}\"}\n"),
    ("empty.jsonl", ""),
    ("blank.jsonl", "\n \n"),
    ("taken/graded.jsonl/file", ""),
    ("taken_details/details.jsonl/file", ""),
    ("stray/graded.jsonl", "{}\n"),
    (
        "broken.jsonl",
        "{\"question_id\": \"m1\", \"question\": \"1+1?\", \"answer\": \"2\"}\n{\"question_id\": \n",
    ),
];

const FRAME: [Row; 16] = [
    ("", 2, &["no command given", "choose one"]),
    ("rum a.py", 2, &["'rum'", "similar subcommand exists: 'run'", "assay --help"]),
    ("run", 2, &["<FILE>", "assay run --help"]),
    ("run a.py --langg py", 2, &["'--langg'", "similar argument exists: '--lang'"]),
    ("run a.py --cpu-time soon", 2, &["'soon'", "--cpu-time", "such as 2s", "assay run --help"]),
    ("run a.py --cpu-time 0s", 2, &["'0s'", "--cpu-time", "above zero"]),
    ("run a.py --wall-time 99h", 2, &["'99h'", "--wall-time", "at most 24h"]),
    ("run a.py --memory 5M", 2, &["'5M'", "--memory", "such as 256MiB"]),
    ("run a.py --output -5", 2, &["'-5'"]),
    ("run a.py --config nowhere.toml", 2, &["settings file nowhere.toml", "no such file", "check the path"]),
    (
        "run a.py --config unknown_key.toml",
        2,
        &["unknown_key.toml, line 3", "`cpu-tme`", "it knows", "cpu-time"],
    ),
    ("run a.py --config unknown_table.toml", 2, &["unknown_table.toml, line 2", "[rum]", "the tables are"]),
    ("run a.py --config bad_value.toml", 2, &["'soon'", "bad_value.toml, line 2", "such as 2s"]),
    ("run a.py --config broken.toml", 2, &["broken.toml, line 2", "TOML"]),
    ("doctor --tier Z", 2, &["'Z'", "--tier", "A, B, C, D and W"]),
    ("doctor a.py", 2, &["'a.py'", "assay doctor --help"]),
];

const RUN: [Row; 8] = [
    ("run nowhere.py", 2, &["the program nowhere.py", "no such file", "check the path"]),
    ("run .", 2, &["the language of .", "--lang"]),
    ("run . --lang py", 2, &["the program .", "is a directory", "give a file"]),
    ("run a.txt", 2, &["the language of a.txt", "--lang python3"]),
    ("run a.py --lang python-wasi", 3, &["no usable python.wasm", "ASSAY_PYTHON_WASM", "assay doctor"]),
    ("run a.py --lang ruby", 2, &["'ruby'", "--lang", "python3, cpp17, wasm"]),
    (
        "run a.py --stdin nowhere.txt",
        2,
        &["the program's input nowhere.txt", "no such file", "check the path"],
    ),
    ("run a.py/b.py", 2, &["the program a.py/b.py", "not a directory", "check the path"]),
];

const GRADE: [Row; 12] = [
    ("grade math.jsonl done.jsonl", 2, &["--out <DIR>", "assay grade --help"]),
    ("grade nowhere.jsonl done.jsonl --out out", 2, &["nowhere.jsonl", "No such file", "check the path"]),
    ("grade math.jsonl nowhere.jsonl --out out", 2, &["nowhere.jsonl", "No such file", "check the path"]),
    ("grade broken.jsonl done.jsonl --out out", 2, &["broken.jsonl", "line 2"]),
    ("grade math.jsonl math.jsonl --out out", 2, &["math.jsonl", "line 1", "`completion`"]),
    ("grade math.jsonl done.jsonl --out a.py", 2, &["a.py", "choose"]),
    // A directory where the results belong was taken for results: the line said to go on with --resume, with it too.
    ("grade math.jsonl done.jsonl --out taken", 2, &["taken/graded.jsonl is a directory", "new --out"]),
    (
        "grade math.jsonl done.jsonl --out taken --resume",
        2,
        &["taken/graded.jsonl is a directory", "new --out"],
    ),
    ("grade math.jsonl done.jsonl --out taken_details", 2, &["taken_details/details.jsonl is a directory"]),
    ("grade math.jsonl done.jsonl --out stray", 2, &["stray/graded.jsonl", "go on with --resume"]),
    (
        "grade math.jsonl done.jsonl --out stray --resume",
        2,
        &["stray/graded.jsonl", "no run.json", "new --out"],
    ),
    ("grade math.jsonl done.jsonl --out out --profile lbc", 2, &["'lbc'", "--profile", "judge", "lcb"]),
];

const MATH: [Row; 8] = [
    ("math 1", 2, &["<ANSWER>", "assay math --help"]),
    ("math 1 2 --profile lax", 2, &["'lax'", "--profile", "strict"]),
    ("math 1 2 --tolerance a+", 2, &["'a+'", "--tolerance", "such as"]),
    ("math --pairs nowhere.jsonl", 2, &["nowhere.jsonl", "no such file", "check the path"]),
    ("math --pairs broken.jsonl", 2, &["broken.jsonl:1", "gold", "expected"]),
    // Nothing to grade was fine: exit code 0 for the wrong file.
    ("math --pairs empty.jsonl", 2, &["empty.jsonl", "no pairs", "JSON object"]),
    ("math --pairs blank.jsonl", 2, &["blank.jsonl", "no pairs", "JSON object"]),
    ("math 1 2 --pairs pairs.jsonl", 2, &["--pairs", "cannot be used with"]),
];

const SERVE: [Row; 5] = [
    ("serve --math-only --listen nowhere", 2, &["'nowhere'", "--listen", "127.0.0.1:8080"]),
    (
        "serve --math-only --listen 127.0.0.1:{port}",
        2,
        &["127.0.0.1:{port}", "another process", "another port"],
    ),
    ("serve --math-only --listen 0.0.0.0:0", 2, &["0.0.0.0", "--token-file"]),
    (
        "serve --math-only --token-file nowhere",
        2,
        &["the token file nowhere", "no such file", "check the path"],
    ),
    ("serve --math-only --queue many", 2, &["'many'", "--queue", "a whole number from 0"]),
];

#[test]
fn wrong_usage_is_one_clear_line() {
    check(&FRAME);
}

/// A negative value was taken for an option: the line said `unexpected argument '-1' found` and not which option it
/// was meant for; a word said `invalid digit found in string` and not what was expected.
const NUMBERS: [Row; 16] = [
    ("run a.py --cpu-time -1s", 2, &["'-1s'", "--cpu-time", "above zero", "such as 2s"]),
    ("run a.py --cpu-time=-1s", 2, &["'-1s'", "--cpu-time", "above zero", "such as 2s"]),
    ("run a.py --wall-time -1", 2, &["'-1'", "--wall-time", "such as 2s"]),
    ("run a.py --memory -1", 2, &["'-1'", "--memory", "such as 256MiB"]),
    ("run a.py --output -5", 2, &["'-5'", "--output", "such as 256MiB"]),
    ("run a.py --memory --json", 2, &["'--json'", "--memory", "such as 256MiB"]),
    ("run a.py --memory", 2, &["--memory", "value is required"]),
    ("grade math.jsonl done.jsonl --out out --jobs -1", 2, &["'-1'", "--jobs", "from 1 to 1024"]),
    ("grade math.jsonl done.jsonl --out out --jobs x", 2, &["'x'", "--jobs", "from 1 to 1024"]),
    ("grade math.jsonl done.jsonl --out out --cpu-time -2s", 2, &["'-2s'", "--cpu-time", "such as 2s"]),
    ("serve --slots -1", 2, &["'-1'", "--slots", "from 0 to 1024"]),
    ("serve --slots x", 2, &["'x'", "--slots", "from 0 to 1024"]),
    ("serve --queue -1", 2, &["'-1'", "--queue", "from 0 to 4294967295"]),
    ("serve --queue 1.5", 2, &["'1.5'", "--queue", "from 0 to 4294967295"]),
    ("serve --max-body -1", 2, &["'-1'", "--max-body", "such as 256MiB"]),
    ("serve --grace -1s", 2, &["'-1s'", "--grace", "such as 2s"]),
];

#[test]
fn a_number_that_cannot_be_is_named_with_its_option() {
    check(&NUMBERS);
}

#[test]
fn run_says_what_is_wrong() {
    check(&RUN);
}

#[test]
fn grade_says_what_is_wrong() {
    check(&GRADE);
}

#[test]
fn math_says_what_is_wrong() {
    check(&MATH);
}

/// The pairs before the bad one have been graded and written when it is met.
#[test]
fn math_names_the_line_after_what_it_could_grade() {
    let place = place();
    let mut output = end(assay(place.path(), "math --pairs half.jsonl"));
    assert_eq!(output.stdout.iter().filter(|&&byte| byte == b'\n').count(), 1);
    output.stdout.clear();
    complain("math --pairs half.jsonl", &output, 2, &["half.jsonl:2", "`pred`", "expected"]);
}

#[test]
fn serve_says_what_is_wrong() {
    check(&SERVE);
}

#[test]
fn a_bad_variable_is_named() {
    let place = place();
    let mut command = assay(place.path(), "run a.py");
    command.env("ASSAY_CPU_TIME", "soon");
    complain("ASSAY_CPU_TIME=soon", &end(command), 2, &["'soon'", "ASSAY_CPU_TIME", "such as 2s"]);
}

#[test]
fn a_full_disk_is_the_machines_failure() {
    let place = place();
    for line in ["--help", "run --help", "--version"] {
        let mut command = assay(place.path(), line);
        command.stdout(OpenOptions::new().write(true).open("/dev/full").unwrap());
        complain(line, &end(command), 3, &["standard output", "no space left", "free some space"]);
    }
    for line in ["math 1 1", "math --pairs pairs.jsonl"] {
        let mut command = assay(place.path(), line);
        command.stdout(OpenOptions::new().write(true).open("/dev/full").unwrap());
        complain(line, &end(command), 3, &["standard output", "no space left", "free some space"]);
    }
    let out = place.path().join("out");
    fs::create_dir(&out).unwrap();
    symlink("/dev/full", out.join("details.jsonl")).unwrap();
    let output = end(assay(place.path(), "grade math.jsonl done.jsonl --out out"));
    complain("grade", &output, 3, &["out/details.jsonl", "no space left", "free some space"]);
}

/// A guardian that failed after its worker had run went on as if it were the worker. Where only math was graded it
/// needed no sandbox, did not look at the failure, and wrote the results a second time. Too few open files make it
/// fail: it wants four, the loaders of problems and completions two.
#[test]
fn a_process_without_its_guardian_does_nothing() {
    let rows = ["grade math.jsonl done.jsonl --out out", "run a.py", "doctor", "serve --listen 127.0.0.1:0"];
    let place = place();
    for line in rows {
        let mut command = assay(place.path(), line);
        let limited = format!("ulimit -n 6; exec {} {line}", env!("CARGO_BIN_EXE_assay"));
        let environment: Vec<_> = command.get_envs().map(|(name, _)| name.to_owned()).collect();
        command = Command::new("sh");
        command.args(["-c", &limited]).current_dir(place.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for name in environment {
            command.env_remove(name);
        }
        complain(line, &end(command), 3, &["guardian", "Too many open files", "assay doctor"]);
        assert!(!place.path().join("out").exists(), "assay {line}: wrote results");
    }
}

/// `assay ... | head` closes the pipe early: no panic, no complaint.
#[test]
fn a_reader_that_left_is_no_error() {
    let place = place();
    let mut command = assay(place.path(), "--help");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    command.stdout(writer);
    let output = end(command);
    assert_eq!((output.status.code(), &*output.stderr), (Some(0), &b""[..]));
}

fn check(rows: &[Row]) {
    let place = place();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for (line, code, says) in rows {
        let line = line.replace("{port}", &port);
        let says: Vec<String> = says.iter().map(|says| says.replace("{port}", &port)).collect();
        let says: Vec<&str> = says.iter().map(String::as_str).collect();
        complain(&line, &end(assay(place.path(), &line)), *code, &says);
    }
}

fn complain(line: &str, output: &Output, code: i32, says: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let last = stderr.lines().last().unwrap_or_default();
    assert!(last.starts_with("assay: error: "), "assay {line}: {stderr}");
    // Without a command the help comes first; before any grading the golds are counted.
    let lines = stderr.lines().filter(|said| !said.contains("golds: ")).count();
    assert!(lines == 1 || line.is_empty(), "assay {line}: more than one line: {stderr}");
    assert_eq!(output.status.code(), Some(code), "assay {line}: {stderr}");
    for says in says {
        assert!(last.contains(says), "assay {line}: {says:?} is missing in: {last}");
    }
    assert!(!last.contains("os error"), "assay {line}: {last}");
    assert!(output.stdout.is_empty(), "assay {line}: {}", String::from_utf8_lossy(&output.stdout));
}

fn place() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    for (name, text) in FILES {
        let path = place.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    place
}

fn assay(place: &Path, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_assay"));
    command.args(line.split_whitespace()).current_dir(place).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ASSAY_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs to the end; a command that does not end (a server that started after all) is killed and fails its row.
fn end(mut command: Command) -> Output {
    let mut child = command.spawn().unwrap();
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > Duration::from_secs(120) {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().unwrap()
}

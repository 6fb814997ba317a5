//! `assay grade` from the outside: files in, files out, one clear line for each thing that can be wrong.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A folder with two code problems (one stdin, one functional) and two samples for each.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary directory");
    // Root's tests are run by the worker as an ordinary user too.
    let problem = |id: &str, difficulty: &str, tests: Value, metadata: &str| {
        json!({
            "question_title": id, "question_content": "", "platform": "atcoder", "question_id": id,
            "contest_id": "", "contest_date": "2024-01-01T00:00:00", "starter_code": "",
            "difficulty": difficulty, "public_test_cases": tests.to_string(), "private_test_cases": "[]",
            "metadata": metadata,
        })
    };
    let echo = json!([{"input": "1\n", "output": "1\n", "testtype": "stdin"},
                      {"input": "2\n", "output": "2\n", "testtype": "stdin"}]);
    let double = json!([{"input": "2", "output": "4", "testtype": "functional"}]);
    let problems = [
        problem("echo", "easy", echo, "{}"),
        problem("double", "hard", double, "{\"func_name\": \"double\"}"),
    ];
    write_lines(&folder.path().join("problems.jsonl"), &problems);
    let completions = json!([
        {"question_id": "echo", "code_list": ["print(input())", "print(1)"]},
        {"question_id": "double", "code_list": ["def double(x): return 2 * x", "def double(x): 1/0"]},
    ]);
    fs::write(folder.path().join("completions.json"), completions.to_string()).expect("write");
    folder
}

fn write_lines(path: &Path, rows: &[Value]) {
    let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
    fs::write(path, text).expect("write");
}

fn grade(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_assay"))
        .arg("grade")
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("assay starts")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn rows(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).expect("a file of rows");
    assert!(text.is_empty() || text.ends_with('\n'), "whole lines");
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

const USUAL: [&str; 4] = ["problems.jsonl", "completions.json", "--out", "out"];

#[test]
fn a_run_leaves_rows_reports_and_a_table() {
    let folder = folder();
    let output = grade(folder.path(), &USUAL);
    assert!(output.status.success(), "{}", stderr(&output));
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        table.contains("pass@1 50.00 %") && table.contains("pass@") && table.contains("runtime error"),
        "{table}"
    );

    let out = folder.path().join("out");
    let mut graded = rows(&out.join("graded.jsonl"));
    graded.sort_by_key(|row| format!("{} {}", row["question_id"], row["sample"]));
    let keys = [
        "question_id",
        "sample",
        "outcome",
        "verdict",
        "passed",
        "total",
        "failed_test",
        "cpu_time",
        "wall_time",
    ];
    for row in &graded {
        assert_eq!(row.as_object().expect("an object").keys().collect::<Vec<_>>(), keys);
    }
    let said: Vec<(&str, u64, &str, Option<u64>)> = graded
        .iter()
        .map(|row| {
            let verdict = row["verdict"].as_str().expect("a verdict");
            let id = row["question_id"].as_str().expect("an id");
            (id, row["sample"].as_u64().expect("a number"), verdict, row["failed_test"].as_u64())
        })
        .collect();
    let expected = [
        ("double", 0, "accepted", None),
        ("double", 1, "runtime_error", Some(0)),
        ("echo", 0, "accepted", None),
        ("echo", 1, "wrong_answer", Some(1)),
    ];
    assert_eq!(said, expected);

    let report: Value =
        serde_json::from_slice(&fs::read(out.join("report.json")).expect("a report")).expect("JSON");
    assert_eq!(report["pass@1"], json!(0.5));
    assert_eq!(report["verdicts"]["accepted"], json!(2));
    assert_eq!(report["infra_errors"], json!(0));
    assert_eq!(report["by_difficulty"][0]["name"], json!("easy"));
    assert_eq!(report["provenance"]["profile"], json!("judge"));
    assert!(
        report["provenance"]["languages"]["python3"]["version"].as_str().is_some_and(|v| v.starts_with('3'))
    );
    assert_eq!(report["provenance"]["problems"]["sha256"].as_str().map(str::len), Some(64));

    let page = fs::read_to_string(out.join("report.html")).expect("a page");
    assert!(page.contains("ZeroDivisionError") && page.contains("<svg") && !page.contains("http:"), "{page}");

    let eval: Value =
        serde_json::from_slice(&fs::read(out.join("completions_eval.json")).expect("eval")).expect("JSON");
    assert_eq!(eval[0]["pass@1"], json!(0.5));
    assert_eq!(eval[1], json!({"0": [[true], [-4]], "1": [[true, true], [true, -2]]}));
    assert!(eval[2][0][1].as_str().is_some_and(|text| text.contains("Runtime Error")));
    let all: Value =
        serde_json::from_slice(&fs::read(out.join("completions_eval_all.json")).expect("all")).expect("JSON");
    assert_eq!(all[1]["graded_list"], json!([true, false]));
    assert_eq!(all[1]["code_list"][1], json!("print(1)"));
}

/// Story: a run killed in the middle of a line was resumed, and the half line made every later row unreadable.
#[test]
fn a_resumed_run_ends_as_an_unbroken_one() {
    let folder = folder();
    let path = folder.path();
    assert!(grade(path, &USUAL).status.success());
    let graded = path.join("out/graded.jsonl");
    let whole = fs::read_to_string(&graded).expect("rows");
    let lines: Vec<&str> = whole.lines().collect();
    fs::write(&graded, format!("{}\n{}\n{}", lines[0], lines[1], &lines[2][..20])).expect("write");

    let again = grade(path, &USUAL);
    assert_eq!(again.status.code(), Some(2));
    assert!(stderr(&again).contains("already holds results; go on with --resume"), "{}", stderr(&again));

    let other =
        grade(path, &["problems.jsonl", "completions.json", "--out", "out", "--resume", "--profile", "lcb"]);
    assert_eq!(other.status.code(), Some(2));
    assert!(stderr(&other).contains("`profile` has changed"), "{}", stderr(&other));

    let resumed = grade(path, &["problems.jsonl", "completions.json", "--out", "out", "--resume", "--json"]);
    assert!(resumed.status.success(), "{}", stderr(&resumed));
    let report: Value = serde_json::from_slice(&resumed.stdout).expect("one JSON value on stdout");
    assert_eq!(report["samples"], json!(4));
    let rows = rows(&graded);
    assert_eq!(rows.len(), 4);
    // Rows that were there stay as they were, down to their times.
    assert_eq!(rows[0].to_string(), lines[0]);
    assert_eq!(rows[1].to_string(), lines[1]);
}

/// A full disk ends the run with a line that names the file, and what was graded stays resumable.
#[test]
fn a_full_disk_is_said_and_nothing_is_lost() {
    if !Path::new("/dev/full").exists() {
        eprintln!("SKIPPED: no /dev/full on this host");
        return;
    }
    let folder = folder();
    let out = folder.path().join("out");
    fs::create_dir(&out).expect("a directory");
    symlink("/dev/full", out.join("graded.jsonl")).expect("a link");
    let output = grade(folder.path(), &USUAL);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let line = stderr(&output);
    assert!(line.contains("out/graded.jsonl") && line.contains("--resume"), "{line}");
    fs::remove_file(out.join("graded.jsonl")).expect("remove the link");
    let mut arguments = USUAL.to_vec();
    arguments.push("--resume");
    let resumed = grade(folder.path(), &arguments);
    assert!(resumed.status.success(), "{}", stderr(&resumed));
    assert_eq!(rows(&out.join("graded.jsonl")).len(), 4);
}

#[test]
fn wrong_input_is_one_clear_line() {
    let folder = folder();
    let path = folder.path();
    let echo_only = json!([{"question_id": "echo", "code_list": ["print(1)"]}]);
    fs::write(path.join("missing.json"), echo_only.to_string()).expect("write");
    fs::write(path.join("unknown.json"), json!([{"question_id": "x", "code_list": [""]}]).to_string())
        .expect("write");
    fs::write(path.join("unordered.json"), json!([["print(1)"]]).to_string()).expect("write");
    fs::write(path.join("broken.jsonl"), "{\"question_id\": \"echo\"\n").expect("write");
    let rows: [(&[&str], &[&str]); 10] = [
        (&["nowhere.jsonl", "completions.json", "--out", "o"], &["nowhere.jsonl"]),
        (&["problems.jsonl", "nowhere.json", "--out", "o"], &["nowhere.json"]),
        (&["broken.jsonl", "completions.json", "--out", "o"], &["broken.jsonl"]),
        (
            &["problems.jsonl", "unknown.json", "--out", "o"],
            &["unknown.json", "record 1", "`x`", "problems.jsonl"],
        ),
        (&["problems.jsonl", "missing.json", "--out", "o"], &["missing.json", "`double`", "--allow-missing"]),
        (&["problems.jsonl", "unordered.json", "--out", "o"], &["expected 2 rows", "found 1"]),
        (&["problems.jsonl", "completions.json"], &["--out"]),
        (&["problems.jsonl", "completions.json", "--out", "o", "--profile", "strict"], &["judge, lcb"]),
        (&["problems.jsonl", "completions.json", "--out", "o", "--cpu-time", "6"], &["with its unit"]),
        (&["problems.jsonl", "completions.json", "--out", "problems.jsonl"], &["problems.jsonl"]),
    ];
    for (arguments, parts) in rows {
        let output = grade(path, arguments);
        let line = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {line}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        for part in parts {
            assert!(line.contains(part), "{arguments:?}: {line:?} does not say {part:?}");
        }
    }
    let output = grade(path, &["problems.jsonl", "missing.json", "--out", "o", "--allow-missing"]);
    assert!(output.status.success(), "{}", stderr(&output));
}

/// Math and code go through the same command.
#[test]
fn math_rows_are_graded_too() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let problems = [
        json!({"question_id": "half", "problem": "1/2?", "answer": "\\frac{1}{2}"}),
        json!({"question_id": "two", "problem": "1+1?", "answer": "2"}),
    ];
    write_lines(&folder.path().join("problems.jsonl"), &problems);
    let completion = |id: &str, text: &str| json!({"question_id": id, "completion": text});
    let completions = [
        completion("half", "\\boxed{0.5}"),
        completion("two", "\\boxed{3}"),
        completion("half", "no box"),
        completion("two", "\\boxed{2}"),
    ];
    write_lines(&folder.path().join("completions.jsonl"), &completions);
    let output = grade(folder.path(), &["problems.jsonl", "completions.jsonl", "--out", "out", "--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON value on stdout");
    assert_eq!(report["pass@k_unbiased"], json!({"1": 0.5, "2": 1.0}));
    assert_eq!(report["samples_per_problem"], json!(2));
    assert_eq!(report["verdicts"]["no_answer"], json!(1));
    assert_eq!(rows(&folder.path().join("out/graded.jsonl")).len(), 4);
    assert!(stderr(&output).contains("golds: 2 number; 0 cannot be read"), "{}", stderr(&output));
    // The rules of a data set, here one whose golds are whole numbers, and a tolerance.
    let rules = ["--math-profile", "aime", "--math-tolerance", "math::abs(pred - gold) <= 1.0"];
    let output = grade(
        folder.path(),
        &[&["problems.jsonl", "completions.jsonl", "--out", "aime", "--json"], &rules[..]].concat(),
    );
    assert!(output.status.success(), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains("golds: 1 number; 1 cannot be read") && said.contains("  half: "), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON value on stdout");
    assert_eq!(report["verdicts"]["accepted"], json!(2), "{report}");
}

fn assay(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_assay"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("assay starts")
}

fn json_of(output: &Output) -> Value {
    assert!(output.status.success(), "{}", stderr(output));
    serde_json::from_slice(&output.stdout).expect("one JSON value")
}

/// What was said of each sample, times aside.
fn said(out: &Path) -> Vec<String> {
    let mut rows: Vec<String> = rows(&out.join("graded.jsonl"))
        .iter()
        .map(|row| format!("{} {} {}", row["question_id"], row["sample"], row["verdict"]))
        .collect();
    rows.sort();
    rows
}

#[test]
fn shards_become_the_run() {
    let folder = folder();
    let path = folder.path();
    for (shard, out) in [("1/2", "one"), ("2/2", "two")] {
        let run = grade(path, &["problems.jsonl", "completions.json", "--out", out, "--shard", shard]);
        assert!(run.status.success(), "{}", stderr(&run));
        assert_eq!(rows(&path.join(out).join("graded.jsonl")).len(), 2, "whole problems");
    }
    let report = json_of(&assay(path, &["merge", "two", "one", "--out", "whole", "--json"]));
    assert_eq!((&report["samples"], &report["pass@1"]), (&json!(4), &json!(0.5)));
    assert_eq!(report["by_difficulty"].as_array().map(Vec::len), Some(2), "{report}");
    assert!(path.join("whole/report.html").exists());
    assert!(grade(path, &USUAL).status.success());
    assert_eq!(said(&path.join("whole")), said(&path.join("out")));

    // What is missing yet, LiveCodeBench's files, comes without judging anything again.
    let before = fs::read(path.join("whole/graded.jsonl")).expect("rows");
    let resumed = grade(path, &["problems.jsonl", "completions.json", "--out", "whole", "--resume"]);
    assert!(resumed.status.success(), "{}", stderr(&resumed));
    assert_eq!(fs::read(path.join("whole/graded.jsonl")).expect("rows"), before);
    assert!(path.join("whole/completions_eval_all.json").exists());

    let wrong: [(&[&str], &str); 4] = [
        (&["merge", "one", "--out", "x"], "missing 2/2"),
        (&["merge", "one", "one", "--out", "x"], "give each shard once"),
        (&["merge", "one", "two", "--out", "whole"], "already holds results"),
        (&["merge", "out", "--out", "x"], "these are not all shards"),
    ];
    for (arguments, part) in wrong {
        let output = assay(path, arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(stderr(&output).contains(part), "{arguments:?}: {}", stderr(&output));
    }
    for shard in ["0/2", "3/2", "1", "a/b"] {
        let output = grade(path, &["problems.jsonl", "completions.json", "--out", "x", "--shard", shard]);
        assert_eq!(output.status.code(), Some(2), "{shard}");
    }
}

#[test]
fn two_runs_are_compared() {
    let folder = folder();
    let path = folder.path();
    assert!(grade(path, &USUAL).status.success());
    let better = json!([
        {"question_id": "echo", "code_list": ["print(input())", "print(input())"]},
        {"question_id": "double", "code_list": ["def double(x): return 2 * x", "def double(x): return x + x"]},
    ]);
    fs::write(path.join("better.json"), better.to_string()).expect("write");
    let second = ["problems.jsonl", "better.json", "--out", "better", "--profile", "lcb"];
    assert!(grade(path, &second).status.success());

    let output = assay(path, &["compare", "out", "better", "--json", "--html", "compare.html"]);
    let result = json_of(&output);
    assert_eq!(
        (&result["difference"], &result["only_second"], &result["mcnemar_p"]),
        (&json!(0.5), &json!(2), &json!(0.5))
    );
    assert_eq!(result["changes"].as_array().map(Vec::len), Some(2));
    assert!(stderr(&output).contains("`profile` differs"), "{}", stderr(&output));
    let page = fs::read_to_string(path.join("compare.html")).expect("a page");
    assert!(
        page.starts_with("<!doctype html>") && page.contains("double") && !page.contains("http:"),
        "{page}"
    );
    let table = assay(path, &["compare", "out", "better"]);
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(table.contains("pass@1 50.00 % -> 100.00 %, +50.00 points"), "{table}");

    let output = assay(path, &["compare", "out", "."]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("has no graded.jsonl"), "{}", stderr(&output));
}

#[test]
fn a_window_of_dates_chooses_problems() {
    let folder = folder();
    let path = folder.path();
    let mut problems = rows(&path.join("problems.jsonl"));
    problems[1]["contest_date"] = json!("2025-02-01T18:30:00");
    write_lines(&path.join("problems.jsonl"), &problems);
    let window = |from: &str, to: &str| {
        let dates = ["--start-date", from, "--end-date", to, "--json"];
        grade(
            path,
            &[&["problems.jsonl", "completions.json", "--out", &format!("{from}_{to}")], &dates[..]].concat(),
        )
    };
    assert_eq!(json_of(&window("2024-01-01", "2025-02-01"))["samples"], json!(2), "ends at midnight");
    assert_eq!(json_of(&window("2024-01-01", "2025-02-02"))["samples"], json!(4));
    for (from, to, part) in
        [("2030-01-01", "2031-01-01", "in the window"), ("yesterday", "2025-01-01", "2024-08-01")]
    {
        let output = window(from, to);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(part), "{}", stderr(&output));
    }
}

#[test]
fn a_named_window_chooses_problems_and_counts_them() {
    let folder = folder();
    let path = folder.path();
    let mut problems = rows(&path.join("problems.jsonl"));
    problems[1]["contest_date"] = json!("2024-09-01T00:00:00");
    write_lines(&path.join("problems.jsonl"), &problems);
    let arguments = |out, more: [&'static str; 2]| {
        [&["problems.jsonl", "completions.json", "--json", "--out", out], &more[..]].concat()
    };
    for (out, more, samples) in [
        ("v5", ["--window", "lcb-v5"], 2),
        ("v1", ["--release", "v1"], 2),
        ("v4", ["--release", "release_v4"], 4),
        ("added", ["--release", "v4_v5"], 2),
    ] {
        let report = json_of(&grade(path, &arguments(out, more)));
        assert_eq!(report["samples"], json!(samples), "{more:?}");
        assert!(report["warnings"][0].as_str().is_some_and(|text| text.contains("here")), "{report}");
        assert_eq!(report["problems"], json!(samples / 2), "{more:?}");
    }
    for (more, part) in [(["--window", "v5"], "lcb-v5, lcb-v6"), (["--release", "v9"], "v1, v2")] {
        let output = grade(path, &arguments("x", more));
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(part), "{}", stderr(&output));
    }
}

#[test]
fn a_run_is_rated_by_contests() {
    let folder = folder();
    let path = folder.path();
    assert!(grade(path, &USUAL).status.success());
    // Half of two samples: one wrong submission expected in two, so 25 points of each problem's 500 go.
    let contest = json!({"contests": [{
        "name": "round", "scoring": "points",
        "problems": [{"question_id": "echo", "points": 500}, {"question_id": "double", "points": 500}],
        "standings": [{"rating": 1400, "points": 951}, {"rating": 1600, "points": 949}],
    }]});
    fs::write(path.join("contests.json"), contest.to_string()).expect("write");
    let rated = json_of(&assay(path, &["elo", "out", "--contests", "contests.json", "--json"]));
    assert_eq!(rated["contests"][0]["points"], json!(950.0));
    assert!((rated["rating"].as_f64().expect("a rating") - 1500.0).abs() < 1e-6, "{rated}");
    let table = assay(path, &["elo", "out", "--contests", "contests.json"]);
    let table = String::from_utf8_lossy(&table.stdout).into_owned();
    assert!(table.contains("Elo 1500") && table.contains("2.0 of 3"), "{table}");
    fs::write(path.join("wrong.json"), contest.to_string().replace("double", "other")).expect("write");
    for (file, part) in
        [("wrong.json", "--allow-missing"), ("problems.jsonl", "--help"), ("none.json", "none.json")]
    {
        let output = assay(path, &["elo", "out", "--contests", file]);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains(part), "{}", stderr(&output));
    }
}

/// Of equal programs the first is run and the others get its rows; kept on disk, that holds for later runs under the same
/// rules, and a file that is no longer whole is no verdict.
#[test]
fn equal_programs_are_run_once() {
    let folder = folder();
    let path = folder.path();
    let echo = |text: &str| format!("print(input()) # {text}");
    let completions = json!([
        {"question_id": "echo", "code_list": [echo("a"), echo("b"), echo("a"), "print(1)"]},
        {"question_id": "double", "code_list": [echo("a"), "def double(x): return 2 * x"]},
    ]);
    fs::write(path.join("completions.json"), completions.to_string()).expect("write");
    let run = |out: &str, more: &[&str]| {
        let output = grade(path, &[&["problems.jsonl", "completions.json", "--out", out], more].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        let mut rows = rows(&path.join(out).join("graded.jsonl"));
        rows.sort_by_key(|row| format!("{} {}", row["question_id"], row["sample"]));
        rows
    };
    let times = |row: &Value| row["wall_time"].to_string();
    let first = run("first", &["--cache", "cache"]);
    assert_eq!(times(&first[2]), times(&first[4]), "the same program for the same problem");
    assert_ne!(times(&first[2]), times(&first[3]), "another program");
    assert_eq!(run("again", &["--cache", "cache"]), first);
    let without = run("without", &["--no-cache"]);
    assert_eq!(said(&path.join("without")), said(&path.join("first")));
    assert_ne!(times(&without[2]), times(&without[4]));

    let kept = || {
        let folders =
            fs::read_dir(path.join("cache")).expect("a cache").map(|entry| entry.expect("entry").path());
        let mut files: Vec<_> = folders.flat_map(|f| fs::read_dir(f).expect("a folder")).collect();
        files.sort_by_key(|file| file.as_ref().expect("entry").path());
        files.into_iter().map(|file| file.expect("entry").path()).collect::<Vec<_>>()
    };
    assert_eq!(kept().len(), 5);
    run("other", &["--cache", "cache", "--cpu-time", "3s"]);
    assert_eq!(kept().len(), 10, "other rules, other verdicts");
    for file in kept() {
        let text = fs::read(&file).expect("a file");
        fs::write(&file, &text[..text.len() / 2]).expect("write");
    }
    run("damaged", &["--cache", "cache"]);
    assert_eq!(said(&path.join("damaged")), said(&path.join("first")));
}

/// Packed files are graded as plain ones, and nothing of them is left in the temporary directory.
#[test]
fn packed_problems_leave_no_spool() {
    let folder = folder();
    let path = folder.path();
    let temporary = path.join("tmp");
    fs::create_dir(&temporary).expect("a directory");
    let text = fs::read(path.join("problems.jsonl")).expect("problems");
    let packed = Command::new("gzip").arg(path.join("problems.jsonl")).status();
    if !packed.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: no gzip on this host");
        return;
    }
    assert!(!text.is_empty() && !path.join("problems.jsonl").exists());
    let output = Command::new(env!("CARGO_BIN_EXE_assay"))
        .args(["grade", "problems.jsonl.gz", "completions.json", "--out", "out", "--json"])
        .current_dir(path)
        .env("TMPDIR", &temporary)
        .output()
        .expect("assay starts");
    assert_eq!(json_of(&output)["samples"], json!(4));
    let left: Vec<_> = fs::read_dir(&temporary).expect("a directory").collect();
    assert!(left.is_empty(), "{left:?}");
}

//! Other people's collections: for each form a row of our own making, what it means, and what is said of a bad one.

use assay_testsets::{Checker, CodeTask, Format, LoadError, Problem, Task, TestType, load, load_completions};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::Duration;
use tempfile::NamedTempFile;

fn file(bytes: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes).expect("room for it");
    file
}

fn read(bytes: &[u8], format: Option<Format>) -> Result<(Format, Vec<Problem>), String> {
    let file = file(bytes);
    let loaded = load(file.path(), format).and_then(|problems| {
        let format = problems.format();
        Ok((format, problems.collect::<Result<_, LoadError>>()?))
    });
    loaded.map_err(|error| error.to_string())
}

/// The form that is found, and the one problem in it.
fn one(record: &Value) -> (Format, Problem) {
    let (format, mut problems) =
        read(record.to_string().as_bytes(), None).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(problems.len(), 1);
    (format, problems.remove(0))
}

fn code(problem: &Problem) -> &CodeTask {
    match &problem.task {
        Task::Code(code) => code,
        Task::Math(_) => panic!("a math task"),
    }
}

/// A row, its form, its id, the function, and the first test's input and output.
type Sample = (Value, Format, &'static str, Option<&'static str>, (&'static str, &'static str));

/// A row of each form.
fn samples() -> Vec<Sample> {
    let pairs = json!({"inputs": ["1\n", ["2", "3"]], "outputs": ["2\n", "5"]}).to_string();
    let calls =
        json!({"fn_name": "add", "inputs": [[1, [2, 3]], [4, []]], "outputs": [[6], [4]]}).to_string();
    let messages = json!([{"role": "system", "content": "be good"}, {"role": "user", "content": "p"}]);
    vec![
        (
            json!({"problem_id": 7, "question": "p", "input_output": pairs}),
            Format::Apps,
            "7",
            None,
            ("1\n", "2\n"),
        ),
        (
            json!({"question": "p", "input_output": calls, "source": "codewars"}),
            Format::Apps,
            "0",
            Some("add"),
            ("1\n[2,3]", "6"),
        ),
        (
            json!({"data_source": "taco", "prompt": messages, "reward_model": {"ground_truth": calls}, "extra_info": {"index": 3}}),
            Format::Verl,
            "3",
            Some("add"),
            ("1\n[2,3]", "6"),
        ),
        (json!({"problem": "p", "tests": calls}), Format::DeepCoder, "0", Some("add"), ("1\n[2,3]", "6")),
        (
            json!({"problem": "p", "tests": json!([{"input": "1\n2", "output": "3", "testtype": "functional", "metadata": {"func_name": "add"}}]).to_string()}),
            Format::DeepCoder,
            "0",
            Some("add"),
            ("1\n2", "3"),
        ),
        (
            json!({"problem": "p", "tests": [{"type": "function_call", "fn_name": "add", "input": [1, "x"], "output": ["y"]}]}),
            Format::DeepCoder,
            "0",
            Some("add"),
            ("1\n\"x\"", "\"y\""),
        ),
        (
            json!({"problem_id": "q", "prompt": "p", "verification_info": json!({"language": "python", "test_cases": [
                {"input": "1", "output": "2", "type": "stdin_stdout"}]}).to_string()}),
            Format::OpenR1,
            "q",
            None,
            ("1", "2"),
        ),
        (
            json!({"id": "1/A", "description": "p", "time_limit": 2.0, "memory_limit": 256.0, "input_mode": "stdio",
                "official_tests": [{"input": "1", "output": "2"}]}),
            Format::OpenR1,
            "1/A",
            None,
            ("1", "2"),
        ),
        (
            json!({"name": "1_A. X", "description": "p", "public_tests": {"input": ["1"], "output": ["2"]},
                "private_tests": {"input": [], "output": []}, "generated_tests": [{"input": "3", "output": "4"}],
                "time_limit": {"seconds": 1, "nanos": 500_000_000}, "memory_limit_bytes": 1024}),
            Format::CodeContests,
            "1_A. X",
            None,
            ("1", "2"),
        ),
        (
            json!({"task_id": "H/0", "prompt": "def f(x):\n", "entry_point": "f", "canonical_solution": "",
                "test": "def check(candidate):\n    assert candidate(1) == 2\n"}),
            Format::HumanEval,
            "H/0",
            Some("f"),
            ("1", "2"),
        ),
        (
            json!({"task_id": "H/1", "prompt": "def f(x):\n", "entry_point": "f",
                "test": "def check(candidate):\n    assert abs(candidate(1) - 2) < 1e-6\n"}),
            Format::HumanEval,
            "H/1",
            None,
            ("def check(candidate):\n    assert abs(candidate(1) - 2) < 1e-6\n\ncheck(f)\n", ""),
        ),
        (
            json!({"task_id": 11, "text": "p", "code": "", "test_setup_code": "import math", "test_list": ["assert f(1) == 2"],
                "challenge_test_list": []}),
            Format::Mbpp,
            "11",
            None,
            ("import math\nassert f(1) == 2", ""),
        ),
        (
            json!({"task_id": 12, "prompt": "p", "test_imports": [], "test_list": ["assert f(1) == 2"], "test": "assert f(2) == 4"}),
            Format::Mbpp,
            "12",
            Some("f"),
            ("2", "4"),
        ),
        (
            json!({"task_id": "B/0", "complete_prompt": "def task_func(x):\n", "instruct_prompt": "p", "entry_point": "task_func",
                "test": "class TestCases: pass", "code_prompt": "", "libs": "[]"}),
            Format::BigCodeBench,
            "B/0",
            None,
            ("class TestCases: pass", ""),
        ),
        (
            json!({"name": "H_0_f", "language": "cpp", "prompt": "int f(int x) {", "tests": "}\nint main() {}", "stop_tokens": []}),
            Format::MultiPlE,
            "H_0_f",
            None,
            ("}\nint main() {}", ""),
        ),
        (
            json!({"task_id": "two-sum", "entry_point": "Solution().twoSum", "difficulty": "Easy", "starter_code": "s",
                "input_output": [{"input": "nums = [3, 3], target = 6", "output": "[0, 1]"}, {"input": "x = 1", "output": "Error: 1"}]}),
            Format::LeetCode,
            "two-sum",
            Some("twoSum"),
            ("[3,3]\n6", "[0,1]"),
        ),
        (
            json!({"id": 5, "content": "p", "labels": "{}", "test": json!([{"input": {"stdin": "1"}, "output": {"stdout": "2"}}]).to_string()}),
            Format::SandboxFusion,
            "5",
            None,
            ("1", "2"),
        ),
    ]
}

#[test]
fn every_form_is_known_and_read() {
    for (row, format, id, function, test) in samples() {
        let (found, problem) = one(&row);
        assert_eq!(found, format, "{row}");
        assert_eq!(problem.question_id, id, "{row}");
        let code = code(&problem);
        assert_eq!(code.func_name.as_deref(), function, "{row}");
        assert_eq!(
            (
                code.test_cases.in_memory().expect("few")[0].input.as_str(),
                code.test_cases.in_memory().expect("few")[0].output.as_str()
            ),
            test,
            "{row}"
        );
        let scripts = [Format::BigCodeBench, Format::HumanEval, Format::Mbpp, Format::MultiPlE];
        let wanted = match (scripts.contains(&format), function) {
            (true, Some(_)) => TestType::Call,
            (true, None) => TestType::Script,
            (false, Some(_)) => TestType::Functional,
            (false, None) => TestType::Stdin,
        };
        assert_eq!(code.test_cases.in_memory().expect("few")[0].test_type, wanted, "{row}");
        // Our own form says the same.
        assert_eq!(Problem::from_json(&problem.to_json()).as_ref(), Ok(&problem));
        let named = Format::from_name(format.name()).expect("its own name");
        assert!(read(row.to_string().as_bytes(), Some(named)).is_ok(), "{row}");
    }
}

#[test]
fn what_else_rows_say() {
    let all = samples();
    let problem = |index: usize| one(&all[index].0).1;
    assert_eq!(code(&problem(0)).test_cases.in_memory().expect("few")[1].input, "2\n3", "a list of lines");
    assert_eq!(problem(2).prompt, "p", "the last message");
    let limits = code(&problem(7)).limits;
    assert_eq!((limits.cpu_time, limits.memory), (Some(Duration::from_secs(2)), Some(256 << 20)));
    let contests = problem(8);
    assert_eq!(code(&contests).limits.cpu_time, Some(Duration::from_millis(1500)));
    assert_eq!((code(&contests).test_cases.len(), &code(&contests).checker), (2, &Checker::Tokens));
    let math = json!({"data_source": "m", "prompt": "p", "reward_model": {"ground_truth": "\\frac12"}});
    assert!(matches!(one(&math).1.task, Task::Math(math) if math.ground_truth == "\\frac12"));
    let unwrapped = json!({"input_output": {"fn_name": "f", "inputs": [[1], [2]], "outputs": [[1], 5]}});
    assert_eq!(
        code(&one(&unwrapped).1).test_cases.in_memory().expect("few")[0].output,
        "[1]",
        "not all results are lists of one value"
    );
}

/// Each row of `malformed.jsonl` behind a good one: the message names file, line and record, what was expected, what
/// came, and what to do.
#[test]
fn bad_rows_are_named() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let table = std::fs::read_to_string(tests.join("malformed.jsonl")).expect("the table");
    let mut rows_of = BTreeMap::new();
    for row in table.lines() {
        let row: Value = serde_json::from_str(row).expect("a row of the table");
        let text = |name: &str| row[name].as_str().unwrap_or_else(|| panic!("{row}: no text `{name}`"));
        let format = Format::from_name(text("format")).expect("a format");
        *rows_of.entry(format.name()).or_insert(0) += 1;
        let corpus = tests.join(format!("corpus/{}.jsonl", format.name()));
        let good = std::fs::read_to_string(corpus).expect("a corpus");
        let bad = row["row"].as_str().map_or_else(|| row["row"].to_string(), str::to_owned);
        let file = file(format!("{}\n{bad}\n", good.lines().next().expect("a good row")).as_bytes());
        let loaded =
            load(file.path(), Some(format)).and_then(|rows| rows.collect::<Result<Vec<_>, LoadError>>());
        let error = loaded.expect_err(&bad).to_string();
        let place = format!("{}: line 2, record 2: expected ", file.path().display());
        assert!(error.starts_with(&place) && !error.contains('\n'), "{row}\n  said: {error}");
        assert!(error.contains(text("says")), "{row}\n  said: {error}");
        let after = error.rsplit("; ").next().unwrap_or_default();
        assert!(error.contains("; ") && after.len() > 8, "{row}: nothing to do in {error}");
    }
    // Packages have no rows; kattis.rs has theirs.
    for format in Format::ALL.into_iter().filter(|format| *format != Format::Kattis) {
        assert!(rows_of.get(format.name()).is_some_and(|rows| *rows >= 4), "{}: {rows_of:?}", format.name());
    }
}

/// One frame of zstd that holds `bytes` unpacked, and two of them.
#[test]
fn zstd_files_are_read() {
    let text = samples()[0].0.to_string()
        + "\n"
        + &json!({"problem_id": 8, "input_output": {"inputs": ["1"], "outputs": ["1"]}}).to_string();
    let frame = |part: &str| {
        ruzstd::encoding::compress_to_vec(part.as_bytes(), ruzstd::encoding::CompressionLevel::Fastest)
    };
    let (first, second) = text.split_at(30);
    for packed in [frame(&text), [frame(first), frame(second)].concat()] {
        let (_, problems) = read(&packed, None).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(problems.len(), 2);
    }
    let cut = &frame(&text.repeat(50))[..40];
    let error = read(cut, None).expect_err("cut off");
    assert!(error.contains("fetch it again"), "{error}");
}

#[test]
fn nemo_skills_generations_are_completions() {
    let rows = "{\"task_id\": \"a\", \"generation\": \"x\"}\n{\"task_id\": \"a\", \"generation\": \"y\"}\n";
    let loaded = load_completions(file(rows.as_bytes()).path()).expect("completions");
    assert_eq!((loaded.len(), loaded[0].samples.len(), loaded[0].extracted), (1, 2, false));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// A damaged byte anywhere is a problem or an error in one line, in every form, and never a panic.
    #[test]
    fn a_hit_byte_never_panics(row in 0..samples().len(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let (row, format, ..) = samples().swap_remove(row);
        let mut bytes = row.to_string().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        for format in [None, Some(format)] {
            if let Err(error) = read(&bytes, format) {
                prop_assert!(!error.contains('\n'), "{error}");
            }
        }
    }

    /// So is a row of one form read as another.
    #[test]
    fn a_row_of_another_form_never_panics(row in 0..samples().len(), format in 0..Format::ALL.len()) {
        let (row, ..) = samples().swap_remove(row);
        let _ = read(row.to_string().as_bytes(), Some(Format::ALL[format]));
    }
}

//! Every format through the front door: what it means, what is said of bad input, and that nothing panics.

use assay_testsets::{
    Checker, CodeTask, Format, MathTask, Problem, Task, TaskLimits, TestCase, TestType, load,
    load_completions,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::io::Write;
use std::time::Duration;
use tempfile::NamedTempFile;

fn file(bytes: impl AsRef<[u8]>) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a temporary file");
    file.write_all(bytes.as_ref()).expect("room for it");
    file
}

/// All problems, or the first error.
fn read(bytes: impl AsRef<[u8]>, format: Option<Format>) -> Result<Vec<Problem>, String> {
    let file = file(bytes);
    let place = file.path().display().to_string();
    let problems = load(file.path(), format).and_then(Iterator::collect);
    problems.map_err(|error: assay_testsets::LoadError| error.to_string().replace(&place, "FILE"))
}

fn one(record: Value) -> Result<Problem, String> {
    read(record.to_string(), None).map(|mut problems| problems.remove(0))
}

fn code(problem: &Problem) -> &CodeTask {
    match &problem.task {
        Task::Code(code) => code,
        Task::Math(_) => panic!("a math task"),
    }
}

fn gold(problem: &Problem) -> &str {
    match &problem.task {
        Task::Math(math) => &math.ground_truth,
        Task::Code(_) => panic!("a code task"),
    }
}

/// As LiveCodeBench packs private tests: pickle, zlib, base64.
fn pack(text: &str) -> String {
    let length = u32::try_from(text.len()).expect("a short text").to_le_bytes();
    let pickle = [b"\x80\x04X".as_slice(), &length, text.as_bytes(), b"\x94."].concat();
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&pickle).expect("memory does not fail");
    STANDARD.encode(encoder.finish().expect("memory does not fail"))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory does not fail");
    encoder.finish().expect("memory does not fail")
}

fn lcb(private: &str, metadata: &str, testtype: &str) -> Value {
    let public = json!([{"input": "1", "output": "2", "testtype": testtype}]).to_string();
    json!({
        "question_title": "t", "question_content": "c", "platform": "leetcode", "question_id": "q",
        "contest_id": "x", "contest_date": "2024-01-01T00:00:00", "starter_code": "s", "difficulty": "easy",
        "public_test_cases": public, "private_test_cases": private, "metadata": metadata,
    })
}

#[test]
fn a_livecodebench_record_whole() {
    let private = json!([{"input": "3", "output": "4", "testtype": "functional"}]).to_string();
    for private in [private.clone(), pack(&private)] {
        let problem = one(lcb(&private, r#"{"func_name": "f"}"#, "functional")).unwrap();
        assert_eq!(problem.question_id, "q");
        assert_eq!(problem.prompt, "c");
        assert_eq!(problem.contest_date.as_deref(), Some("2024-01-01T00:00:00"));
        let code = code(&problem);
        assert_eq!((code.func_name.as_deref(), code.starter_code.as_str()), (Some("f"), "s"));
        assert_eq!(code.checker, Checker::Lcb);
        let inputs: Vec<&str> =
            code.test_cases.in_memory().expect("few").iter().map(|test| test.input.as_str()).collect();
        assert_eq!(inputs, ["1", "3"], "public tests first");
        assert!(
            code.test_cases
                .in_memory()
                .expect("few")
                .iter()
                .all(|test| test.test_type == TestType::Functional)
        );
    }
}

/// lcb_runner looks at `func_name` only, whatever `testtype` says.
#[test]
fn func_name_decides_how_tests_are_fed() {
    let problem = one(lcb("[]", r#"{"func_name": "f"}"#, "stdin")).unwrap();
    assert_eq!(code(&problem).test_cases.in_memory().expect("few")[0].test_type, TestType::Functional);
    let problem = one(lcb("[]", "{}", "stdin")).unwrap();
    assert_eq!(code(&problem).test_cases.in_memory().expect("few")[0].test_type, TestType::Stdin);
}

#[test]
fn math_rows_of_the_common_sets() {
    let rows = [
        (json!({"problem": "p", "answer": "5", "unique_id": "u/1"}), "u/1", "5"),
        (json!({"question": "p", "answer": "3 + 4 = 7\n#### 7", "id": 12}), "12", "7"),
        (json!({"prompt": "p", "ground_truth": "\\frac{1}{2}"}), "0", "\\frac{1}{2}"),
        (json!({"question": "p", "final_answer": ["2\\pi"], "question_id": 7}), "7", "2\\pi"),
        (json!({"problem": "p", "expected_answer": 42, "problem_id": "x"}), "x", "42"),
        (json!({"problem": "p", "gold": [-3], "id": null}), "0", "-3"),
    ];
    for (row, id, answer) in rows {
        let problem = one(row.clone()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((problem.question_id.as_str(), gold(&problem)), (id, answer), "{row}");
    }
}

/// A gold written as a number must keep its digits: as a double, the first would end in 000.
#[test]
fn numbers_keep_the_digits_they_were_written_with() {
    for digits in ["123456789012345678901234567890", "0.50", "3.14159265358979323846", "1e400"] {
        let text = format!("{{\"problem\": \"p\", \"answer\": {digits}}}");
        assert_eq!(gold(&read(text, None).unwrap()[0]), digits);
    }
}

#[test]
fn file_shapes() {
    let row = |id| format!("{{\"id\": {id}, \"problem\": \"a, ]}} \\\" \\\\\", \"answer\": \"[1,2]\"}}");
    let (a, b) = (row(1), row(2));
    let shapes = [
        format!("{a}\n{b}\n"),
        format!("{a}\n{b}"),
        format!("\u{feff}\n{a}\r\n\r\n{b}\r\n"),
        format!("[{a},{b}]"),
        format!("[\n  {a}\n  ,\n  {b}\n]\n"),
    ];
    for shape in shapes {
        for bytes in [shape.clone().into_bytes(), gzip(shape.as_bytes())] {
            let ids: Vec<String> = read(&bytes, None).unwrap().into_iter().map(|it| it.question_id).collect();
            assert_eq!(ids, ["1", "2"], "{shape}");
        }
    }
}

/// One clear line: where, what was expected, what came, what to do.
#[test]
fn bad_files_are_named() {
    let rows = [
        (
            String::new(),
            "FILE: expected JSON Lines (`{`) or a JSON array (`[`), plain, gzipped or zstd, found an empty file",
        ),
        ("id,answer\n".into(), "a file that begins with `i`"),
        ("[]".into(), "FILE: expected at least one problem, found none"),
        (
            "{\"answer\": \"1\"}\n{\"answer\": \n".into(),
            "FILE: line 2, record 2: expected a problem, a JSON object",
        ),
        (
            "[{\"answer\": \"1\"}, 5]".into(),
            "FILE: line 1, record 2: expected a problem, a JSON object, found `5`",
        ),
        (
            "[{\"answer\": \"1\"}".into(),
            "line 1, record 1: expected `,` or `]` after the record, found the end of the file",
        ),
        ("[{\"answer\": \"1\"}] x".into(), "expected the end of the file after `]`, found `x`"),
        ("[{\"answer\": \"1\"},]".into(), "record 2: expected a problem, a JSON object"),
        (
            "{\"question\": \"q\"}".into(),
            "livecodebench, sandboxfusion, leetcode, apps, verl, open_r1, codecontests, multipl_e, deepcoder, bigcodebench, humaneval, mbpp, math, kattis, found the keys `question`",
        ),
        ("{\"answer\": \"1\", \"answer\": \"2\"}".into(), "each key once in a problem"),
        (
            "{\"id\": 1, \"answer\": \"1\"}\n\n{\"id\": 1, \"answer\": \"2\"}".into(),
            "FILE: line 3, record 2: expected each question_id once, found `1` again, first at line 1, record 1",
        ),
    ];
    for (text, part) in rows {
        let error = read(&text, None).expect_err(&text);
        assert!(error.contains(part) && !error.contains('\n'), "{text}\n  said: {error}\n  not:  {part}");
    }
    let error = load("no/such/file".as_ref(), None).unwrap_err().to_string();
    assert!(error.starts_with("no/such/file: expected a readable file, found No such file"), "{error}");
}

/// A file that was not fetched whole was said to need other permissions.
#[test]
fn a_broken_gzip_file_is_named() {
    let whole = gzip("{\"answer\": \"1\"}\n".repeat(500).as_bytes());
    let mut damaged = whole.clone();
    damaged[20..40].fill(0xff);
    for (bytes, says) in [
        (&whole[..whole.len() - 12], "cut off: fetch it again"),
        (&whole[..14], "cut off: fetch it again"),
        (&damaged, "damaged: fetch it again"),
    ] {
        let error = read(bytes, None).unwrap_err();
        assert!(error.contains(says) && !error.contains('\n'), "{error}");
    }
}

/// A pickle that imports something is never run, and its record says which opcode gave it away.
#[test]
fn a_pickle_with_a_program_in_it_is_refused() {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(b"cos\nsystem\n(S'true'\ntR.").unwrap();
    let packed = STANDARD.encode(encoder.finish().unwrap());
    let error = one(lcb(&packed, "{}", "stdin")).unwrap_err();
    assert!(error.contains("found the pickle opcode GLOBAL (0x63) at byte 0"), "{error}");
}

/// One bad record does not hide those behind it; the caller decides.
#[test]
fn iteration_goes_on_behind_a_bad_record() {
    let file = file("{\"answer\": 1}\n{\"answer\": []}\n{\"answer\": 3}\n");
    let good: Vec<bool> = load(file.path(), None).unwrap().map(|problem| problem.is_ok()).collect();
    assert_eq!(good, [true, false, true]);
}

#[test]
fn a_named_format_goes_before_the_guess() {
    let row = r#"{"question_id": "a", "answer": "1", "public_test_cases": "[{\"input\": \"\", \"output\": \"\"}]"}"#;
    assert!(matches!(read(row, None).unwrap()[0].task, Task::Code(_)));
    assert!(matches!(read(row, Some(Format::Math)).unwrap()[0].task, Task::Math(_)));
    for format in Format::ALL {
        assert_eq!(Format::from_name(format.name()), Some(format));
    }
}

#[test]
fn completions_of_every_form() {
    let rows = [
        (r#"[{"question_id": "a", "code_list": ["x", "y"]}]"#, Some("a"), 2, true),
        (r#"[["x", "y", "z"]]"#, None, 3, true),
        (r#"{"question_id": 5, "completion": "x"}"#, Some("5"), 1, false),
        (r#"{"task_id": "a", "output_list": ["x"]}"#, Some("a"), 1, false),
        (r#"{"question_id": "a", "completions": ["x", ""]}"#, Some("a"), 2, false),
        (r#"{"question_id": "a", "output_list": ["long"], "code_list": ["x", "y"]}"#, Some("a"), 2, true),
        (
            // What lcb_runner writes beside its scores.
            r#"[{"question_title": "t", "question_id": "a", "contest_date": "2024-01-01T00:00:00", "platform": "atcoder",
                "output_list": ["long"], "code_list": ["x"], "graded_list": [true], "pass@1": 1.0, "metadata": ["{}"]}]"#,
            Some("a"),
            1,
            true,
        ),
        (
            "{\"task_id\": \"a\", \"completion\": \"x\"}\n{\"task_id\": \"a\", \"completion\": \"y\"}",
            Some("a"),
            2,
            false,
        ),
    ];
    for (text, id, samples, extracted) in rows {
        let loaded = load_completions(file(text).path()).unwrap_or_else(|error| panic!("{text}: {error}"));
        let [only] = &loaded[..] else { panic!("{text}: {loaded:?}") };
        assert_eq!(
            (only.question_id.as_deref(), only.samples.len(), only.extracted),
            (id, samples, extracted)
        );
    }
}

#[test]
fn bad_completions_are_named() {
    let rows = [
        ("[]", "at least one completion"),
        (r#"{"question_id": "a"}"#, "`completion`, `output_list`, `completions` or `code_list`"),
        (r#"{"completion": "a"}"#, "a `question_id`"),
        (r#"{"question_id": "a", "code_list": [1]}"#, "`code_list` to be a list of strings"),
        (r#"[["x"], {"question_id": "a", "code_list": []}]"#, "rows all with or all without question_id"),
        (
            r#"[{"question_id": "a", "code_list": []}, {"question_id": "a", "code_list": []}]"#,
            "one list of samples per question_id, found `a` again, first at line 1, record 1",
        ),
        (r#"[[5]]"#, "a list of programs"),
    ];
    for (text, part) in rows {
        let error = load_completions(file(text).path()).expect_err(text).to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
}

/// The README's first command grades these.
#[test]
fn the_samples_fit_together() {
    let samples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("data/samples");
    let problems: Vec<Problem> =
        load(&samples.join("problems.jsonl"), None).unwrap().collect::<Result<_, _>>().unwrap();
    let completions = load_completions(&samples.join("completions.json")).unwrap();
    let asked: Vec<&str> = problems.iter().map(|problem| problem.question_id.as_str()).collect();
    let answered: Vec<&str> = completions.iter().filter_map(|one| one.question_id.as_deref()).collect();
    assert_eq!(asked, answered);
    assert!(completions.iter().all(|one| one.samples.len() == 2 && !one.extracted));
}

fn checkers() -> impl Strategy<Value = Checker> {
    let float = (0_u32..1000, 0_u32..1000).prop_map(|(absolute, relative)| Checker::Float {
        absolute: f64::from(absolute) / 1024.0,
        relative: f64::from(relative) / 1024.0,
    });
    prop_oneof![Just(Checker::Exact), Just(Checker::Lcb), Just(Checker::Tokens), float]
}

fn code_tasks() -> impl Strategy<Value = Task> {
    let texts = prop::collection::vec((any::<String>(), any::<String>()), 1..4);
    let limits = (prop::option::of(1_u64..100_000), prop::option::of(1_u64..u64::MAX));
    let named = prop::option::of("[a-z]{1,8}");
    (any::<String>(), named, texts, checkers(), limits).prop_map(
        |(starter_code, func_name, texts, checker, limits)| {
            let test_type = if func_name.is_some() { TestType::Functional } else { TestType::Stdin };
            let test_cases = texts.into_iter().map(|(input, output)| TestCase { input, output, test_type });
            let limits = TaskLimits { cpu_time: limits.0.map(Duration::from_millis), memory: limits.1 };
            let test_cases = test_cases.collect::<Vec<_>>().into();
            Task::Code(CodeTask { starter_code, func_name, test_cases, checker, limits, groups: Vec::new() })
        },
    )
}

fn problems() -> impl Strategy<Value = Problem> {
    let math = (any::<String>(), prop::option::of(0.0..1e9_f64))
        .prop_map(|(ground_truth, error)| Task::Math(MathTask { ground_truth, error }));
    let task = prop_oneof![code_tasks(), math];
    let known = || prop::option::of(any::<String>());
    (".+", any::<String>(), task, known(), known(), known()).prop_map(
        |(question_id, prompt, task, difficulty, platform, contest_date)| Problem {
            question_id,
            prompt,
            task,
            difficulty,
            platform,
            contest_date,
        },
    )
}

/// `bytes` with one byte replaced.
fn hit(mut bytes: Vec<u8>, at: prop::sample::Index, byte: u8) -> Vec<u8> {
    let at = at.index(bytes.len());
    bytes[at] = byte;
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn our_form_comes_back_equal(problem in problems()) {
        let text = problem.to_json();
        prop_assert!(!text.contains('\n'));
        let direct = Problem::from_json(&text);
        prop_assert_eq!(direct.as_ref(), Ok(&problem));
        for bytes in [text.clone().into_bytes(), format!("[{text}]").into_bytes(), gzip(text.as_bytes())] {
            let loaded = read(bytes, None);
            prop_assert_eq!(loaded, Ok(vec![problem.clone()]));
        }
    }

    #[test]
    fn packed_tests_come_back_equal(texts in prop::collection::vec((any::<String>(), any::<String>()), 0..4)) {
        let tests: Vec<Value> =
            texts.iter().map(|(input, output)| json!({"input": input, "output": output})).collect();
        let problem = one(lcb(&pack(&Value::from(tests).to_string()), "{}", "stdin")).unwrap();
        let loaded: Vec<(String, String)> =
            code(&problem).test_cases.in_memory().expect("few")[1..].iter().map(|test| (test.input.clone(), test.output.clone())).collect();
        prop_assert_eq!(loaded, texts);
    }

    #[test]
    fn random_bytes_are_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(read(&bytes, None).is_err());
        prop_assert!(load_completions(file(&bytes).path()).is_err());
    }

    #[test]
    fn a_hit_byte_never_panics(problem in problems(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let record = lcb(&pack("[{\"input\": \"1\", \"output\": \"1\"}]"), "{}", "stdin").to_string();
        for text in [problem.to_json(), record, "[{\"id\": [1], \"answer\": \"\\\"\"}, {}]".into()] {
            let bytes = hit(text.into_bytes(), at, byte);
            let _ = read(&bytes, None);
            let _ = read(gzip(&bytes), None);
            let _ = read(hit(gzip(&bytes), at, byte), None);
            let _ = load_completions(file(&bytes).path());
        }
    }
}

#[cfg(not(feature = "parquet"))]
#[test]
fn a_build_without_parquet_says_how_to_get_it() {
    let expected = "FILE: expected a readable file, found a parquet file, which this build does not read; \
                    build with `--features parquet`, or convert it to JSON Lines";
    assert_eq!(read(b"PAR1\x15\x04", None).unwrap_err(), expected);
}

use std::path::Path;

use tempfile::TempDir;

use super::difficulty::{Lengths, Ruler};
use super::passes::rates;
use super::scaling::{Mix, fit};
use super::*;

/// Two files in a directory of their own: one written, one to be.
fn files(lines: &[&str]) -> (TempDir, Files) {
    let dir = tempfile::tempdir().unwrap();
    let [input, output, dropped] =
        ["in.jsonl", "out.jsonl", "dropped.jsonl"].map(|name| dir.path().join(name));
    std::fs::write(&input, lines.join("\n")).unwrap();
    (dir, Files { input, output, dropped: Some(dropped) })
}

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

/// What a tool keeps of these lines, by their place.
#[track_caller]
fn check(input: &[&str], kept: &[usize], tool: impl Fn(&Files) -> Result<Sieved, DataError>) -> Sieved {
    let (_dir, files) = files(input);
    let sieved = tool(&files).unwrap();
    assert_eq!(lines(&files.output), kept.iter().map(|at| input[*at]).collect::<Vec<_>>());
    let gone = lines(files.dropped.as_deref().unwrap());
    assert_eq!((sieved.rows, sieved.kept, gone.len()), (input.len(), kept.len(), input.len() - kept.len()));
    assert_eq!(sieved.dropped.values().sum::<usize>(), gone.len());
    sieved
}

#[test]
fn every_shape_of_row_has_a_prompt_and_a_response() {
    let rows = [
        r#"{"category": "math", "source": "x", "input": "P", "output": "R"}"#,
        r#"{"prompt": "P", "completion": "R"}"#,
        r#"{"prompt": [{"role": "user", "content": "P"}], "response": "R"}"#,
        r#"{"messages": [{"role": "user", "content": "P"}, {"role": "assistant", "content": "R"}]}"#,
        r#"{"problem": "P", "solution": "R"}"#,
    ];
    for text in rows {
        let line = Line { number: 1, text, value: serde_json::from_str(text).unwrap() };
        assert_eq!((line.prompt().as_deref(), line.response().as_deref()), (Ok("P"), Ok("R")), "{text}");
    }
}

#[test]
fn the_first_of_equal_rows_stays() {
    let rows = [
        r#"{"input": "What is 1+2?", "output": "3"}"#,
        r#"{"input": "what  is 1+2?", "output": "three"}"#,
        r#"{"input": "What is 1-2?", "output": "-1"}"#,
        r#"{"input": "What is 1+2?", "output": "3"}"#,
    ];
    check(&rows, &[0, 2], |files| dedup(files, Same::Prompt, &Progress::quiet()));
    check(&rows, &[0, 1, 2], |files| dedup(files, Same::PromptAndResponse, &Progress::quiet()));
}

/// What is no JSON Lines comes out as such.
#[test]
fn an_array_is_written_a_row_a_line() {
    let (_dir, files) =
        files(&["[ {\"input\": \"a\",\n  \"output\": 1}, {\"input\": \"A\"},\n{\"input\": \"b\"}]"]);
    dedup(&files, Same::Prompt, &Progress::quiet()).unwrap();
    assert_eq!(lines(&files.output), [r#"{"input":"a","output":1}"#, r#"{"input": "b"}"#]);
    let gone = lines(files.dropped.as_deref().unwrap());
    assert_eq!(gone, [r#"{"line":2,"id":"line 2","reason":"seen before","detail":""}"#]);
}

#[test]
fn rows_that_share_words_with_a_test_go() {
    let dir = tempfile::tempdir().unwrap();
    let tests = dir.path().join("tests.jsonl");
    let items = [
        r#"{"question_id": "t1", "prompt": "Let a and b be positive integers with a plus b prime. Find a.", "url": "https://x.org/p/1"}"#,
        r#"{"question_id": "t2", "prompt": "Evaluate $2^{10}$."}"#,
    ];
    std::fs::write(&tests, items.join("\n")).unwrap();
    let rows = [
        // Nine words of the first, written otherwise.
        r#"{"input": "Suppose LET $a$ and $b$ be positive integers, with a large."}"#,
        // Eight of them.
        r#"{"input": "Let a and b be positive integers, with c large."}"#,
        // The second, which is shorter than nine words, whole; and not whole.
        r#"{"input": "Please evaluate 2^{10}!"}"#,
        r#"{"input": "Evaluate 2^{11}."}"#,
        r#"{"input": "Another", "url": "http://www.x.org/p/1/?lang=en"}"#,
        r#"{"input": "New", "contest_date": "2024-08-01T00:00:00"}"#,
        r#"{"input": "Old", "contest_date": "2024-07-31"}"#,
    ];
    let run = |rules: ngrams::Rules| {
        let tests = [tests.clone()];
        move |files: &Files| ngrams::decontaminate(files, &tests, &rules, &Progress::quiet())
    };
    check(&rows, &[1, 3, 4, 5, 6], run(ngrams::Rules::math()));
    // Of fourteen words the first test has but thirteen, so they must all be there.
    let sieved = check(&rows, &[0, 1, 3, 6], run(ngrams::Rules::code()));
    let reasons: Vec<&str> = sieved.dropped.keys().map(String::as_str).collect();
    assert_eq!(reasons, ["URL of a test item", "released on 2024-08-01 or later", "words of a test item"]);
}

#[test]
fn short_answers_go_and_all_rows_of_a_prompt_share_their_lot() {
    let row = |prompt: usize, tokens: usize| format!(r#"{{"prompt": "p{prompt}", "tokens": {tokens}}}"#);
    // 300 prompts with two answers each: a hundred short, middling and long ones on average.
    let rows: Vec<String> = (0..300)
        .flat_map(|prompt| {
            let mean = [1000, 3000, 5000][prompt / 100];
            [row(prompt, mean - 900), row(prompt, mean + 900)]
        })
        .collect();
    let (_dir, files) = files(&rows.iter().map(String::as_str).collect::<Vec<_>>());
    let ruler = Ruler::Field("tokens".to_owned());
    let thin = |seed| {
        difficulty::thin(&files, &ruler, &difficulty::Rules::default(), seed, &Progress::quiet()).unwrap()
    };
    let (sieved, Lengths { before, after }) = thin(1);
    assert_eq!((before, after[0], after[2]), ([100, 100, 100], 0, 100));
    assert!((35..=65).contains(&after[1]), "{after:?}");
    assert_eq!(sieved.kept, 2 * after.iter().sum::<usize>());
    let kept = lines(&files.output);
    assert_eq!((thin(1).0, lines(&files.output)), (sieved, kept.clone()), "a seed decides");
    thin(2);
    assert_ne!(lines(&files.output), kept, "another seed decides otherwise");
}

#[test]
fn problems_are_filtered_by_pass_rate() {
    let dir = tempfile::tempdir().unwrap();
    let graded = dir.path().join("graded.jsonl");
    let tries = |id: &str, solved: usize, failed: usize, infra: usize| {
        let line = |outcome: &str, verdict: &str| {
            format!("{{\"question_id\": \"{id}\", \"outcome\": \"{outcome}\", \"verdict\": {verdict}}}\n")
        };
        line("graded", "\"accepted\"").repeat(solved)
            + &line("graded", "\"wrong_answer\"").repeat(failed)
            + &line("infra_error", "null").repeat(infra)
    };
    // Six of sixteen is the paper's edge, and stays; a failure of ours is no try.
    let all =
        [tries("edge", 6, 10, 0), tries("easy", 7, 9, 0), tries("hard", 0, 16, 0), tries("ours", 6, 10, 16)];
    std::fs::write(&graded, all.concat()).unwrap();
    let rates = rates(&graded, &Progress::quiet()).unwrap();
    let rows =
        ["edge", "easy", "hard", "ours"].map(|id| format!(r#"{{"question_id": "{id}", "prompt": "{id}"}}"#));
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let rules =
        passes::Rules { most: 0.375, least: 0.0, readmit_easy: 0.0, readmit_hard: 0.0, keep_unknown: false };
    let run = |rules: passes::Rules| {
        let rates = rates.clone();
        move |files: &Files| passes::filter(files, &rates, &rules, 0, &Progress::quiet())
    };
    check(&rows, &[0, 2, 3], run(rules.clone()));
    check(&rows, &[0, 3], run(passes::Rules { least: 0.01, ..rules.clone() }));
    check(
        &rows,
        &[0, 1, 2, 3],
        run(passes::Rules { least: 0.01, readmit_easy: 1.0, readmit_hard: 1.0, ..rules.clone() }),
    );
    let unknown = [r#"{"question_id": "new", "prompt": "x"}"#];
    check(&unknown, &[0], run(passes::Rules { keep_unknown: true, ..rules.clone() }));
    let (_dir, files) = files(&unknown);
    let error = run(rules)(&files).unwrap_err().to_string();
    assert!(
        error.contains("line 1") && error.contains("\"new\"") && error.contains("--keep-unknown"),
        "{error}"
    );
    assert!(!files.output.exists(), "half a file must not look like one");
}

#[test]
fn a_plane_is_fitted_exactly() {
    let mixes: Vec<Mix> = [(16.0, 1.0), (64.0, 1.0), (64.0, 4.0), (256.0, 2.0), (1024.0, 16.0)]
        .into_iter()
        .map(|(prompts, responses): (f64, f64)| Mix {
            prompts,
            responses,
            accuracy: 40.0 + 2.0 * prompts.log2() + 0.5 * responses.log2(),
        })
        .collect();
    let found = fit(&mixes).unwrap();
    for (found, wanted) in [(found.doubling_prompts, 2.0), (found.doubling_responses, 0.5), (found.r2, 1.0)] {
        assert!((found - wanted).abs() < 1e-9, "{found} instead of {wanted}");
    }
    // log2(prompts) is 4, 6, 6, 8, 10: its standard deviation is that of 0, 1, 1, 2, 3, twice.
    assert!((found.prompts / 2.0 - 2.0 * (1.04f64).sqrt()).abs() < 1e-9, "{}", found.prompts);
}

#[test]
fn what_cannot_be_fitted_is_said() {
    let mix = |prompts, responses| Mix { prompts, responses, accuracy: prompts };
    let rows = [
        (vec![mix(1.0, 2.0); 3], "at least 4"),
        (vec![mix(1.0, 1.0), mix(2.0, 2.0), mix(4.0, 4.0), mix(8.0, 8.0)], "cannot be told apart"),
        (vec![mix(1.0, 1.0), mix(2.0, 1.0), mix(4.0, 1.0), mix(8.0, 1.0)], "responses is the same"),
        (vec![mix(1.0, 1.0), mix(0.0, 1.0), mix(4.0, 1.0), mix(8.0, 1.0)], "row 2"),
    ];
    for (mixes, wanted) in rows {
        let error = fit(&mixes).unwrap_err();
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn a_line_that_is_no_row_is_named() {
    let rows = [
        ("{\"input\": 1}", "line 1: no prompt"),
        ("{\"input\": \"a\"}\n\n[]", "line 3: it is no JSON object"),
        ("{\"input\": \"a\"}\n{", "line 2: EOF"),
        ("", "an empty file"),
        ("[{\"input\": \"a\"}, 3]", "line 2: it is no JSON object"),
    ];
    for (text, wanted) in rows {
        let (_dir, files) = files(&[text]);
        let error = dedup(&files, Same::Prompt, &Progress::quiet()).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
        assert!(!files.output.exists());
    }
}

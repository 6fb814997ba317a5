//! The 48 small programs of the measuring data, each with the verdict it must get.

mod common;

use std::time::Duration;

use assay_sandbox::Language;
use assay_verifier::{JudgeOptions, LimitOverrides, Mode, Verdict};
use common::{Sample, eval_data, judge, judge_all, judgement, read_json_lines, stdin_problem};

#[test]
fn every_program_gets_its_verdict() {
    let Some(folder) = eval_data("code/verdicts") else { return };
    let tests: Vec<serde_json::Value> =
        serde_json::from_str(&std::fs::read_to_string(folder.join("tests.json")).expect("tests.json"))
            .expect("JSON");
    let tests: Vec<(&str, &str)> =
        tests.iter().map(|test| (text(test, "input"), text(test, "output"))).collect();
    let problem = stdin_problem(&tests);
    let programs = read_json_lines(&folder.join("programs.jsonl"));
    assert_eq!(programs.len(), 48);
    let limits = LimitOverrides {
        cpu_time: Some(Duration::from_secs(2)),
        wall_time: Some(Duration::from_secs(6)),
        memory: Some(256 << 20),
        output: Some(64 << 20),
    };
    let sample = |program: &'_ serde_json::Value| JudgeOptions {
        language: Some(Language::from_name(text(program, "lang")).expect("a language")),
        limits,
        mode: Mode::Code,
        ..JudgeOptions::default()
    };
    let samples: Vec<Sample<'_>> = programs
        .iter()
        .map(|program| Sample {
            problem: &problem,
            completion: text(program, "code"),
            options: sample(program),
        })
        .collect();
    let judged = judge_all(&judge(), &samples);
    let mut wrong = Vec::new();
    for (program, result) in programs.iter().zip(&judged) {
        let judgement = judgement(result);
        let short = abbreviation(judgement.verdict);
        if !text(program, "verdict").split('|').any(|allowed| allowed == short) {
            let (name, lang, verdict) =
                (text(program, "name"), text(program, "lang"), text(program, "verdict"));
            wrong.push(format!("{lang} {name}: expected {verdict}, got {short}: {judgement:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of 48 wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn text<'a>(value: &'a serde_json::Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}"))
}

fn abbreviation(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Accepted => "AC",
        Verdict::WrongAnswer => "WA",
        Verdict::TimeLimitExceeded => "TLE",
        Verdict::MemoryLimitExceeded => "MLE",
        Verdict::OutputLimitExceeded => "OLE",
        Verdict::RuntimeError => "RE",
        Verdict::CompileError => "CE",
        Verdict::SecurityViolation => "SEC",
        Verdict::NoAnswer => "NA",
    }
}

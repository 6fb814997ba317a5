//! The 48 small programs of the measuring data, each with the verdict it must get.

mod common;

use std::time::Duration;

use assay_sandbox::{Language, Sandbox, SandboxConfig};
use assay_verifier::{Judge, JudgeError, JudgeOptions, Judged, LimitOverrides, Mode, Submission, Verdict};
use common::{Sample, eval_data, judge, judge_all, judgement, read_json_lines, stdin_problem};

/// A submission that named a language by its fence, and one whose tool the host lacks, once got no verdict at all: the
/// missing tool was a failure of ours, which a model could choose instead of a wrong answer.
#[test]
fn a_language_that_is_not_here_is_no_failure_of_ours() {
    let place = tempfile::tempdir().expect("a directory");
    let languages = place.path().join("languages.toml");
    let entry = "[[language]]\nname = \"absent\"\nlike = \"cpp17\"\ncompiler = \"/nonexistent/g++\"\n";
    std::fs::write(&languages, entry).expect("a file");
    let helper = Some(env!("CARGO_BIN_EXE_assay").into());
    let config = SandboxConfig { helper, languages: Some(languages), ..SandboxConfig::default() };
    let judge = Judge::new(Some(Sandbox::start(&config).expect("the sandbox starts")));
    let problem = stdin_problem(&[("1", "1")]);
    let completion = "```absent\nint main() {}\n```";
    let ask = |language| {
        let submission = Submission { question_id: "p".into(), completion: completion.into() };
        judge.judge(&problem, &submission, &JudgeOptions { language, ..JudgeOptions::default() })
    };
    let judged = ask(None);
    assert!(matches!(&judged, Ok(Judged::Graded(j)) if j.verdict == Verdict::NoAnswer), "{judged:?}");
    // Demanded by the caller, it is the host that is wrong.
    let judged = ask(Language::from_name("absent"));
    assert!(matches!(judged, Err(JudgeError::Infra(_))), "{judged:?}");
}

/// Tests are run beside each other where slots are idle: a later failure that is found first must not be the one reported,
/// nor count as a test that was run.
#[test]
fn idle_slots_change_no_verdict() {
    let tests: Vec<String> = (0..12).map(|n| format!("{n}\n")).collect();
    let tests: Vec<(&str, &str)> = tests.iter().map(|text| (text.as_str(), text.as_str())).collect();
    let problem = stdin_problem(&tests);
    let programs = [
        ("print(input())", Verdict::Accepted, None),
        (
            "import time\nn = int(input())\ntime.sleep(n == 3)\nprint(-1 if n in (3, 8) else n)",
            Verdict::WrongAnswer,
            Some(3),
        ),
        (
            "n = int(input())\nwhile n == 5: pass\nprint(n if n < 9 else 0)",
            Verdict::TimeLimitExceeded,
            Some(5),
        ),
        ("print(1 / 0)", Verdict::RuntimeError, Some(0)),
        ("print(", Verdict::CompileError, Some(0)),
    ];
    let mut said = Vec::new();
    for slots in [1, 4] {
        let helper = Some(env!("CARGO_BIN_EXE_assay").into());
        let config = SandboxConfig { helper, slots, ..SandboxConfig::default() };
        let judge = Judge::new(Some(Sandbox::start(&config).expect("the sandbox starts")));
        for (program, verdict, failed) in programs {
            for all_tests in [false, true] {
                let submission = Submission { question_id: "p".into(), completion: program.into() };
                let options = JudgeOptions { all_tests, ..common::options() };
                let judged = judge.judge(&problem, &submission, &options);
                let judgement = judgement(&judged);
                assert_eq!((judgement.verdict, judgement.failed_test), (verdict, failed), "{program}");
                said.push((program, all_tests, judgement.passed, judgement.reason.clone()));
            }
        }
    }
    let (one, four) = said.split_at(said.len() / 2);
    assert_eq!(one, four);
}

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

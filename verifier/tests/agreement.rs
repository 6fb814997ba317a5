//! Agreement with lcb_runner on real programs, under the `lcb` profile.
//!
//! Each disagreement is known, with its cause, in `data/disagreements.txt`: one that is not listed there fails the
//! test even while the share is high enough, so that a change of behaviour is seen the day it comes. Where ours
//! accepts, the program must be right as a plain process; where ours rejects, a line of our own must show why.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use assay_verifier::{JudgeOptions, Mode, Profile, Verdict};
use common::{LcbSet, Sample, eval_data, judge, judge_all, judgement, read_json_lines, stdin_problem};

#[test]
fn leetcode_functional() {
    let Some(folder) = eval_data("code/leetcode_functional") else { return };
    let agreement = Agreement::measure(&folder, Profile::Lcb, |_| true);
    assert_eq!(agreement.rows, 660);
    agreement.check(655, "leetcode_functional");
}

#[test]
fn lcb_public() {
    let Some(folder) = eval_data("code/lcb_public") else { return };
    let agreement = Agreement::measure(&folder, Profile::Lcb, |_| true);
    assert_eq!(agreement.rows, 882, "the stable rows");
    agreement.check((agreement.rows * 97).div_ceil(100), "lcb_public");
    let causes = causes("lcb_public");
    let near = |key: &String| causes.get(key).is_some_and(|why| is_near(why));
    let accepted = agreement.keys(Ours::Accepts).into_iter().filter(|key| !near(key)).collect();
    let plain = plain_process(&folder, &accepted);
    assert_eq!(plain, [""; 0], "accepted, but not as a plain process");
    let rejected = agreement.keys(Ours::Rejects);
    assert!(rejected.len() <= 5, "{rejected:?}");
    for key in rejected {
        reproduce(&key);
    }
}

/// The programs that somebody ran as plain processes outside of all graders and found right, whether lcb_runner was
/// sure of them or not.
#[test]
fn what_is_right_as_a_process_is_right_here() {
    let Some(folder) = eval_data("code/lcb_public") else { return };
    let rows = read_json_lines(&folder.join("passes_as_process.jsonl"));
    let right = rows.iter().filter(|row| row["as_process"] == "OK");
    let keys: BTreeSet<String> = right.map(|row| format!("{} {}", key(row).0, key(row).1)).collect();
    assert_eq!(keys.len(), 13);
    assert_eq!(plain_process(&folder, &keys), [""; 0], "as a plain process");
    let agreement = Agreement::measure(&folder, Profile::Lcb, |key| keys.contains(key));
    assert_eq!(agreement.keys(Ours::Rejects), BTreeSet::new());
}

/// Those of the samples that are not right as a plain process: the `judge` profile's, with a pipe for stdin, an exit
/// code that counts and a `__main__`, and the imports that go before every program there.
fn plain_process(folder: &Path, keys: &BTreeSet<String>) -> Vec<String> {
    let set = LcbSet::load(folder);
    let options = JudgeOptions {
        profile: Profile::Judge,
        mode: Mode::Code,
        prelude: Some(true),
        ..JudgeOptions::default()
    };
    let samples: Vec<Sample<'_>> = keys.iter().map(|key| set.sample(key, options)).collect();
    let judged = judge_all(&judge(), &samples);
    let rows = keys.iter().zip(&judged).filter(|(_, result)| judgement(result).verdict != Verdict::Accepted);
    rows.map(|(key, result)| format!("{key}: {}", judgement(result).reason)).collect()
}

/// A row that only ours rejects is one missing package, and one line that wants it fails alike.
fn reproduce(key: &str) {
    let causes = causes("lcb_public");
    let cause = &causes[key];
    let package = cause.strip_prefix("needs ").and_then(|rest| rest.split(',').next()).expect(cause);
    let (problem, program) = (stdin_problem(&[("", "")]), format!("import {package}"));
    let options = JudgeOptions { profile: Profile::Lcb, mode: Mode::Code, ..JudgeOptions::default() };
    let judged = judge_all(&judge(), &[Sample { problem: &problem, completion: &program, options }]);
    assert_eq!(judgement(&judged[0]).verdict, Verdict::RuntimeError, "{key}: {program} works here");
}

/// Every disagreement that lcb_runner's accidents explain is none with the accidents.
#[test]
fn lcb_public_with_the_bugs() {
    let Some(folder) = eval_data("code/lcb_public") else { return };
    let known = known_disagreements("lcb_public", |cause| !cause.starts_with("needs ") && !is_near(cause));
    assert!(known.len() >= 15, "{known:?}");
    let agreement = Agreement::measure(&folder, Profile::LcbBugs, |key| known.contains(&format!("{key}:")));
    assert_eq!(agreement.rows, known.len(), "all of them are stable rows");
    assert_eq!(agreement.disagreements, BTreeMap::new());
}

struct Agreement {
    rows: usize,
    /// By `question_id sample`: what lcb_runner said, and what came here.
    disagreements: BTreeMap<String, Disagreement>,
}

#[derive(Debug, PartialEq)]
struct Disagreement {
    ours: Ours,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Ours {
    Accepts,
    Rejects,
}

impl Agreement {
    /// Judges every asked for sample (`question_id sample`) that lcb_runner judged alike in all its runs.
    fn measure(folder: &Path, profile: Profile, asked: impl Fn(&str) -> bool) -> Agreement {
        let set = LcbSet::load(folder);
        let rows: Vec<serde_json::Value> = read_json_lines(&folder.join("lcb_runner.jsonl"))
            .into_iter()
            .filter(|row| row["stable"] == true)
            .filter(|row| asked(&format!("{} {}", key(row).0, key(row).1)))
            .collect();
        let options = JudgeOptions { profile, mode: Mode::Code, ..JudgeOptions::default() };
        let keys: Vec<String> = rows.iter().map(|row| format!("{} {}", key(row).0, key(row).1)).collect();
        let samples: Vec<Sample<'_>> = keys.iter().map(|key| set.sample(key, options)).collect();
        let judged = judge_all(&judge(), &samples);
        let mut disagreements = BTreeMap::new();
        for ((row, key), result) in rows.iter().zip(&keys).zip(&judged) {
            let judgement = judgement(result);
            let theirs = row["passed"].as_bool().expect("passed");
            if theirs != (judgement.verdict == Verdict::Accepted) {
                let text = format!("passed there: {theirs} {}, here: {}", row["results"], judgement.reason);
                let ours = if theirs { Ours::Rejects } else { Ours::Accepts };
                disagreements.insert(key.clone(), Disagreement { ours, text });
            }
        }
        Agreement { rows: rows.len(), disagreements }
    }

    fn keys(&self, ours: Ours) -> BTreeSet<String> {
        self.disagreements.iter().filter(|(_, row)| row.ours == ours).map(|(key, _)| key.clone()).collect()
    }

    fn check(&self, at_least: usize, set: &str) {
        let agreed = self.rows - self.disagreements.len();
        let list: Vec<String> =
            self.disagreements.iter().map(|(key, row)| format!("{key}: {}", row.text)).collect();
        println!("{set}: {agreed} of {} agree\n{}", self.rows, list.join("\n"));
        assert!(
            agreed >= at_least,
            "{agreed} of {} agree, expected {at_least}:\n{}",
            self.rows,
            list.join("\n")
        );
        let known: Vec<String> = known_disagreements(set, |_| true);
        let news: Vec<&String> =
            list.iter().filter(|line| !known.iter().any(|k| line.starts_with(k))).collect();
        assert!(news.is_empty(), "disagreements that data/disagreements.txt does not explain: {news:#?}");
    }
}

/// Whether the program's time is so close to the limit that the machine decides. On one that was fast for a moment, a program
/// that had always been over it was not, and the test failed for a verdict that was right.
fn is_near(cause: &str) -> bool {
    cause.starts_with("near the limit")
}

fn key(row: &serde_json::Value) -> (&str, usize) {
    let number = row["sample"].as_u64().expect("a sample number");
    (row["question_id"].as_str().expect("an id"), number as usize)
}

/// `question_id sample:` of the lines whose cause is asked for.
fn known_disagreements(set: &str, cause: impl Fn(&str) -> bool) -> Vec<String> {
    causes(set).into_iter().filter(|(_, why)| cause(why)).map(|(key, _)| format!("{key}:")).collect()
}

/// Why, by `question_id sample`, of the lines `set | question_id | sample | cause`.
fn causes(set: &str) -> BTreeMap<String, String> {
    include_str!("data/disagreements.txt")
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| line.split('|').map(str::trim).collect::<Vec<&str>>())
        .filter(|fields| fields[0] == set)
        .map(|fields| (format!("{} {}", fields[1], fields[2]), fields[3].to_owned()))
        .collect()
}

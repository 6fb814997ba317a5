//! Agreement with lcb_runner on real programs, under the `lcb` profile.
//!
//! Each disagreement is known, with its cause, in `data/disagreements.txt`: one that is not listed there fails the
//! test even while the share is high enough, so that a change of behaviour is seen the day it comes.

mod common;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use assay_testsets::{Completions, Problem, load, load_completions};
use assay_verifier::{JudgeOptions, Mode, Profile, Verdict};
use common::{Sample, eval_data, judge, judge_all, judgement, read_json_lines};

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
}

/// Every disagreement that lcb_runner's accidents explain is none with the accidents.
#[test]
fn lcb_public_with_the_bugs() {
    let Some(folder) = eval_data("code/lcb_public") else { return };
    let known = known_disagreements("lcb_public", |cause| !cause.starts_with("needs "));
    assert!(known.len() >= 15, "{known:?}");
    let agreement = Agreement::measure(&folder, Profile::LcbBugs, |key| known.contains(&format!("{key}:")));
    assert_eq!(agreement.rows, known.len(), "all of them are stable rows");
    assert_eq!(agreement.disagreements, BTreeMap::new());
}

struct Agreement {
    rows: usize,
    /// By `question_id sample`: what lcb_runner said, and what came here.
    disagreements: BTreeMap<String, String>,
}

impl Agreement {
    /// Judges every asked for sample (`question_id sample`) that lcb_runner judged alike in all its runs.
    fn measure(folder: &Path, profile: Profile, asked: impl Fn(&str) -> bool) -> Agreement {
        let problems: HashMap<String, Problem> = load(&folder.join("problems.jsonl"), None)
            .expect("problems")
            .map(|problem| problem.map(|problem| (problem.question_id.clone(), problem)))
            .collect::<Result<_, _>>()
            .expect("every problem reads");
        let completions = load_completions(&folder.join("completions.json")).expect("completions");
        let completions: HashMap<&str, &Completions> =
            completions.iter().map(|c| (c.question_id.as_deref().expect("an id"), c)).collect();
        let rows: Vec<serde_json::Value> = read_json_lines(&folder.join("lcb_runner.jsonl"))
            .into_iter()
            .filter(|row| row["stable"] == true)
            .filter(|row| asked(&format!("{} {}", key(row).0, key(row).1)))
            .collect();
        let options = JudgeOptions { profile, mode: Mode::Code, ..JudgeOptions::default() };
        let samples: Vec<Sample<'_>> = rows
            .iter()
            .map(|row| {
                let (id, number) = key(row);
                Sample { problem: &problems[id], completion: &completions[id].samples[number], options }
            })
            .collect();
        let judged = judge_all(&judge(), &samples);
        let mut disagreements = BTreeMap::new();
        for (row, result) in rows.iter().zip(&judged) {
            let judgement = judgement(result);
            let theirs = row["passed"].as_bool().expect("passed");
            if theirs != (judgement.verdict == Verdict::Accepted) {
                let (id, number) = key(row);
                let text = format!("passed there: {theirs} {}, here: {}", row["results"], judgement.reason);
                disagreements.insert(format!("{id} {number}"), text);
            }
        }
        Agreement { rows: rows.len(), disagreements }
    }

    fn check(&self, at_least: usize, set: &str) {
        let agreed = self.rows - self.disagreements.len();
        let list: Vec<String> =
            self.disagreements.iter().map(|(key, what)| format!("{key}: {what}")).collect();
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

fn key(row: &serde_json::Value) -> (&str, usize) {
    let number = row["sample"].as_u64().expect("a sample number");
    (row["question_id"].as_str().expect("an id"), number as usize)
}

/// `question_id sample:` of the lines `set | question_id | sample | cause` whose cause is asked for.
fn known_disagreements(set: &str, cause: impl Fn(&str) -> bool) -> Vec<String> {
    include_str!("data/disagreements.txt")
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| line.split('|').map(str::trim).collect::<Vec<&str>>())
        .filter(|fields| fields[0] == set && cause(fields[3]))
        .map(|fields| format!("{} {}:", fields[1], fields[2]))
        .collect()
}

//! Verdicts of real programs on a machine that has no time for them: the same each time.
//!
//! Sizes are (ordinary, with `ASSAY_LONG` set); `.ci/long` sets it.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use assay_verifier::{Judge, JudgeError, JudgeOptions, Judged, Mode, Profile, Verdict};
use common::{LcbSet, Sample, eval_data, judge, judge_all, judgement, read_json_lines};

/// Processes that never rest, until this one is gone. Each has a session of its own: where the kernel shares the cores
/// out by sessions, all would count as one program.
struct Neighbours(Vec<Child>);

const BUSY: &str =
    "while kill -0 $PPID 2>/dev/null; do i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done; done";

impl Neighbours {
    fn start(count: usize) -> Neighbours {
        let start = || Command::new("setsid").args(["sh", "-c", BUSY]).stdin(Stdio::null()).spawn();
        Neighbours((0..count).map(|_| start().expect("a neighbour")).collect())
    }
}

impl Drop for Neighbours {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn eight_busy_neighbours_change_no_verdict() {
    let Some(folder) = eval_data("code/lcb_public") else { return };
    let long = std::env::var_os("ASSAY_LONG").is_some();
    let repeats: usize = match std::env::var("ASSAY_REPEATS") {
        Ok(asked) => asked.parse().expect("a number of repeats"),
        Err(_) => {
            if long {
                10
            } else {
                2
            }
        }
    };
    let every = if long { 1 } else { 80 };
    let set = LcbSet::load(&folder);
    let rows = read_json_lines(&folder.join("lcb_runner.jsonl"));
    let keys: Vec<String> = rows
        .iter()
        .step_by(every)
        .map(|row| format!("{} {}", row["question_id"].as_str().expect("an id"), row["sample"]))
        .collect();
    let options = JudgeOptions { profile: Profile::Lcb, mode: Mode::Code, ..JudgeOptions::default() };
    let samples: Vec<Sample<'_>> = keys.iter().map(|key| set.sample(key, options)).collect();
    // In the long run as many programs are in flight as there are neighbours, in four sandboxes: one that is repeated alone is
    // alone in its own.
    let judges: Vec<Judge> = (0..if long { 4 } else { 1 }).map(|_| judge()).collect();
    let mut verdicts: BTreeMap<&str, BTreeSet<Verdict>> = BTreeMap::new();
    let _neighbours = Neighbours::start(8);
    for repeat in 1..=repeats {
        let started = Instant::now();
        let mut reruns = 0;
        for (key, result) in judged_by(&judges, &keys, &samples) {
            reruns += judgement(&result).reruns;
            verdicts.entry(key).or_default().insert(judgement(&result).verdict);
        }
        let flips = verdicts.values().filter(|seen| seen.len() > 1).count();
        println!(
            "repeat {repeat}: {:.0?}, {reruns} tests run again alone, {flips} flips so far",
            started.elapsed()
        );
    }
    let flips: Vec<_> = verdicts.iter().filter(|(_, seen)| seen.len() > 1).collect();
    println!("{} programs, {repeats} repeats under 8 neighbours: {} flips", keys.len(), flips.len());
    assert!(flips.is_empty(), "{flips:?}");
}

/// Every judge has its share of the samples, all at the same time.
fn judged_by<'a>(
    judges: &[Judge],
    keys: &'a [String],
    samples: &[Sample<'_>],
) -> Vec<(&'a str, Result<Judged, JudgeError>)> {
    thread::scope(|scope| {
        let shares = judges.iter().enumerate().map(|(first, judge)| {
            scope.spawn(move || {
                let share = |index: &usize| index % judges.len() == first;
                let own: Vec<usize> = (0..samples.len()).filter(share).collect();
                let mine: Vec<Sample<'_>> = own.iter().map(|&index| samples[index]).collect();
                own.iter().map(|&index| keys[index].as_str()).zip(judge_all(judge, &mine)).collect::<Vec<_>>()
            })
        });
        let shares: Vec<_> = shares.collect();
        shares.into_iter().flat_map(|share| share.join().expect("no panic")).collect()
    })
}

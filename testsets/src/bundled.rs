//! The bundled set: problems of our own making, shipped inside the crate, so that every part of the house
//! has something real to work on without a download.
//!
//! Code problems come with programs whose fate is known: the file name up to the first `_` or `.` says it.
//! Files lie in `data/`; `SOURCES.md` says how they were made. The table below names every file of
//! `data/code`, which a test keeps so.

use crate::problem::{Problem, Task};
use crate::{fields::Fields, math, messages::asked};

/// A bundled problem and, for code, programs that were written for it.
#[derive(Debug, Clone)]
pub struct BundledProblem {
    /// The problem, its `platform` being `assay`.
    pub problem: Problem,
    /// Programs with their fate; empty for math.
    pub solutions: Vec<Solution>,
}

/// A program written for a bundled problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Solution {
    /// File name without its ending, as in `accepted` or `wrong_2`.
    pub name: &'static str,
    /// `python3` or `cpp17`.
    pub language: &'static str,
    /// The verdict it must get, in the words of the reports.
    pub verdict: &'static str,
    /// The program.
    pub source: &'static str,
}

/// All bundled problems, code first, each kind in a fixed order.
pub fn bundled() -> Vec<BundledProblem> {
    CODE.iter()
        .map(Entry::read)
        .chain(MATH.lines().zip(0..).map(|(line, index)| math_problem(line, index)))
        .collect()
}

struct Entry {
    statement: &'static str,
    problem: &'static str,
    programs: &'static [(&'static str, &'static str)],
}

impl Entry {
    fn read(&self) -> BundledProblem {
        let mut problem = Problem::from_json(self.problem).expect("bundled problem.json is in our own form");
        problem.prompt = self.statement.to_owned();
        if let Task::Code(code) = &problem.task
            && !code.starter_code.is_empty()
        {
            problem.prompt.push_str("\n**Complete this:**\n\n```python\n");
            problem.prompt.push_str(code.starter_code.trim_end());
            problem.prompt.push_str("\n```\n");
        }
        let solutions = self.programs.iter().map(|(file, source)| solution(file, source)).collect();
        BundledProblem { problem, solutions }
    }
}

fn math_problem(line: &str, index: u64) -> BundledProblem {
    let fields = Fields::parse(line.as_bytes(), "a math row");
    let problem = fields
        .and_then(|fields| {
            let asked = asked(&fields, &math::PROMPTS)?;
            math::problem(&fields, index, &asked.question, None)
        })
        .expect("bundled math row");
    BundledProblem { problem, solutions: Vec::new() }
}

fn solution(file: &'static str, source: &'static str) -> Solution {
    let (name, ending) = file.split_once('.').unwrap_or((file, ""));
    let language = if ending == "cpp" { "cpp17" } else { "python3" };
    Solution { name, language, verdict: fate(name), source }
}

/// What a program's name says of it.
fn fate(name: &str) -> &'static str {
    match name.split('_').next().unwrap_or(name) {
        "accepted" => "accepted",
        "slow" => "time_limit_exceeded",
        "crash" => "runtime_error",
        "memory" => "memory_limit_exceeded",
        "loud" => "output_limit_exceeded",
        "broken" => "compile_error",
        "silent" => "no_answer",
        _ => "wrong_answer",
    }
}

const MATH: &str = include_str!("../data/math.jsonl");

macro_rules! code {
    ($($id:literal: $($file:literal)*;)*) => {
        &[$(Entry {
            statement: include_str!(concat!("../data/code/", $id, "/statement.md")),
            problem: include_str!(concat!("../data/code/", $id, "/problem.json")),
            programs: &[$(($file, include_str!(concat!("../data/code/", $id, "/", $file)))),*],
        }),*]
    };
}

const CODE: &[Entry] = code! {
    "backpack": "accepted.cpp" "accepted.py" "crash.py" "slow.py" "wrong.py";
    "best-skips": "accepted.py" "crash.py" "slow.py" "wrong.py";
    "bracket-finish": "accepted.py" "crash.py" "slow.py" "wrong.py";
    "cable-cutting": "accepted.py" "crash.py" "slow.py" "wrong.py";
    "cell-days": "accepted.py" "crash.py" "slow.py" "wrong.py";
    "chain-cost": "accepted.py" "crash.py" "slow.py" "wrong.py";
    "cheapest-route": "accepted.py" "crash.py" "slow.py" "wrong.py";
    "coin-purse": "accepted.cpp" "accepted.py" "crash.cpp" "crash.py" "slow.py" "wrong.py";
    "common-flash": "accepted.py" "crash.py" "slow.py" "wrong.py";
    "common-thread": "accepted.py" "crash.py" "slow.py" "wrong.py";
    "courier-loop": "accepted.cpp" "accepted.py" "crash.py" "slow.py" "wrong.py";
    "dice-odds": "accepted.py" "accepted_exact.py" "crash.py" "slow.py" "wrong.py";
    "digit-sum-count": "accepted.py" "crash.py" "slow.py" "wrong.py";
    "divisor-count": "accepted.cpp" "accepted.py" "crash.py" "slow.py" "wrong.py";
    "domino-strip": "accepted.py" "crash.py" "slow.py" "wrong.py";
    "equal-halves": "accepted.py" "crash.py" "slow.py" "wrong.py";
    "fair-split": "accepted.py" "crash.py" "slow.py" "wrong.py";
    "ferry-loads": "accepted.py" "crash.py" "slow.py" "wrong.py";
    "first-order": "accepted.py" "crash.py" "slow.py" "wrong.py";
    "grid-walks": "accepted.py" "crash.py" "slow.py" "wrong.py";
    "heap-duel": "accepted.py" "crash.py" "slow.py" "wrong.py";
    "island-count": "accepted.py" "crash.py" "slow.py" "wrong.py";
    "lamp-toggles": "accepted.cpp" "accepted.py" "crash.py" "slow.py" "wrong.py";
    "maze-steps": "accepted.py" "crash.py" "slow.py" "wrong.py";
    "meeting-cost": "accepted.py" "crash.py" "slow.py" "wrong.py";
    "mirror-text": "accepted.py" "crash.py" "slow.py" "wrong.py";
    "order-rank": "accepted.py" "crash.py" "slow.py" "wrong.py";
    "painted-wall": "accepted.cpp" "accepted.py" "crash.py" "loud.py" "slow.py" "wrong.py";
    "pebble-game": "accepted.py" "crash.py" "slow.py" "wrong.py";
    "power-tail":
        "accepted.cpp" "accepted.py" "broken.cpp" "crash.py" "slow.cpp" "slow.py" "wrong.cpp" "wrong.py";
    "prime-count": "accepted.py" "crash.py" "memory.py" "slow.py" "wrong.py";
    "rabbit-months": "accepted.py" "crash.py" "slow.py" "wrong.py";
    "range-multiples": "accepted.py" "crash.py" "slow.py" "wrong.py";
    "rising-run": "accepted.cpp" "accepted.py" "crash.py" "slow.py" "wrong.py";
    "roll-out": "accepted.py" "crash.py" "memory.py" "slow.py" "wrong.py";
    "stair-ways": "accepted.py" "crash.py" "slow.py" "wrong.py";
    "stamp-change": "accepted.py" "crash.py" "slow.py" "wrong.py";
    "sum-splits": "accepted.py" "crash.py" "slow.py" "wrong.py";
    "survivor-circle": "accepted.py" "crash.py" "slow.py" "wrong.py";
    "task-orders": "accepted.py" "crash.py" "slow.py" "wrong.py";
    "three-bells": "accepted.cpp" "accepted.py" "crash.py" "slow.py" "wrong.py";
    "turn-tiles": "accepted.py" "crash.py" "silent.py" "slow.py" "wrong.py";
    "typo-distance": "accepted.py" "crash.py" "slow.py" "wrong.py";
    "weekday-far": "accepted.py" "crash.py" "slow.py" "wrong.py";
    "wire-mesh": "accepted.cpp" "accepted.py" "crash.py" "slow.py" "wrong.py";
    "word-cuts": "accepted.py" "accepted_plain.py" "crash.py" "slow.py" "wrong.py";
};

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::Path;

    /// A program dropped into a folder but not into the table would never be judged.
    #[test]
    fn the_table_names_every_file() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/code");
        let listed = |path: &Path| -> BTreeSet<String> {
            let entries = std::fs::read_dir(path).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        };
        let code = bundled().into_iter().filter(|one| matches!(one.problem.task, Task::Code(_)));
        let table: BTreeMap<String, BTreeSet<String>> = code
            .map(|one| {
                let ending = |solution: &Solution| if solution.language == "cpp17" { "cpp" } else { "py" };
                let programs = one.solutions.iter().map(|it| format!("{}.{}", it.name, ending(it)));
                let files = programs.chain(["problem.json".into(), "statement.md".into()]).collect();
                (one.problem.question_id, files)
            })
            .collect();
        assert_eq!(table.keys().cloned().collect::<BTreeSet<_>>(), listed(&folder));
        for (id, files) in &table {
            assert_eq!(*files, listed(&folder.join(id)), "{id}");
        }
    }

    #[test]
    fn the_set_is_as_large_and_varied_as_promised() {
        let all = bundled();
        let ids: BTreeSet<&str> = all.iter().map(|one| one.problem.question_id.as_str()).collect();
        assert_eq!(ids.len(), all.len(), "each question_id once");
        let (mut stdin, mut functional, mut golds) = (0, 0, 0);
        for one in &all {
            assert!(one.problem.prompt.len() > 10, "{}", one.problem.question_id);
            match &one.problem.task {
                Task::Math(math) => golds += usize::from(!math.ground_truth.is_empty()),
                Task::Code(code) => {
                    assert!(code.test_cases.len() >= 6, "{}", one.problem.question_id);
                    stdin += usize::from(code.func_name.is_none());
                    functional += usize::from(code.func_name.is_some());
                    for verdict in ["accepted", "wrong_answer", "time_limit_exceeded", "runtime_error"] {
                        let has = one.solutions.iter().any(|solution| solution.verdict == verdict);
                        assert!(has, "{} has no {verdict}", one.problem.question_id);
                    }
                }
            }
        }
        assert!(stdin >= 25 && functional >= 15 && golds >= 200, "{stdin} {functional} {golds}");
    }

    #[test]
    fn every_program_name_is_a_fate() {
        let known = ["accepted", "wrong", "slow", "crash", "memory", "loud", "broken", "silent"];
        for one in bundled() {
            for solution in &one.solutions {
                let first = solution.name.split('_').next().unwrap();
                assert!(known.contains(&first), "{} of {}", solution.name, one.problem.question_id);
            }
        }
    }
}

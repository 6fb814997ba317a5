//! The real judge over the whole bundled set: every program gets the verdict its file name promises, every math
//! gold equals itself and no other gold of its kind.

mod common;

use assay_sandbox::Language;
use assay_testsets::{BundledProblem, Problem, Task, bundled};
use assay_verifier::{Judge, JudgeOptions, Judged, Mode, Submission};
use common::{Sample, judge, judge_all};

#[test]
fn every_program_meets_its_fate() {
    let all = bundled();
    let programs: Vec<_> =
        all.iter().flat_map(|one| one.solutions.iter().map(move |solution| (one, solution))).collect();
    let samples: Vec<Sample<'_>> = programs
        .iter()
        .map(|(one, solution)| Sample {
            problem: &one.problem,
            completion: solution.source,
            options: JudgeOptions {
                language: Some(Language::from_name(solution.language).expect("a language we run")),
                mode: Mode::Code,
                ..JudgeOptions::default()
            },
        })
        .collect();
    let judged = judge_all(&judge(), &samples);
    let wrong = programs.iter().zip(&judged).filter_map(|((one, solution), result)| {
        let (verdict, reason) = said(result.as_ref().expect("no failure of ours"));
        let place = format!("{}/{}", one.problem.question_id, solution.name);
        (verdict != solution.verdict)
            .then(|| format!("{place}: {verdict}, not {} ({reason})", solution.verdict))
    });
    none(wrong);
}

#[test]
fn every_gold_equals_itself() {
    let wrong = golds().into_iter().filter_map(|problem| {
        let gold = ground_truth(&problem);
        let (verdict, reason) = answer(&problem, &format!("The answer is $\\boxed{{{gold}}}$."));
        (verdict != "accepted").then(|| format!("{}: {gold} is {verdict} ({reason})", problem.question_id))
    });
    none(wrong);
}

/// Neighbours of one kind, as `\frac{5}{6}` and `\frac{29}{24}`, are different unless written alike.
#[test]
fn no_gold_equals_its_neighbour() {
    let golds = golds();
    let wrong = golds.iter().zip(golds.iter().skip(1)).filter_map(|(problem, next)| {
        let (gold, other) = (ground_truth(problem), ground_truth(next));
        if gold == other || kind(problem) != kind(next) {
            return None;
        }
        let (verdict, reason) = answer(problem, &format!("\\boxed{{{other}}}"));
        let id = &problem.question_id;
        (verdict != "wrong_answer").then(|| format!("{id}: {other} for {gold} is {verdict} ({reason})"))
    });
    none(wrong);
}

fn golds() -> Vec<Problem> {
    let problems = bundled().into_iter().map(|BundledProblem { problem, .. }| problem);
    problems.filter(|problem| matches!(problem.task, Task::Math(_))).collect()
}

fn answer(problem: &Problem, completion: &str) -> (&'static str, String) {
    let submission =
        Submission { question_id: problem.question_id.clone(), completion: completion.to_owned() };
    let judged = Judge::new(None).judge(problem, &submission, &JudgeOptions::default());
    said(&judged.expect("no failure of ours"))
}

fn said(judged: &Judged) -> (&'static str, String) {
    match judged {
        Judged::Graded(judgement) => (judgement.verdict.name(), judgement.reason.clone()),
        Judged::Unsupported { reason } => ("unsupported", reason.clone()),
    }
}

fn ground_truth(problem: &Problem) -> &str {
    match &problem.task {
        Task::Math(math) => &math.ground_truth,
        Task::Code(_) => panic!("{} is no math problem", problem.question_id),
    }
}

/// The form of the answer, which the id begins with.
fn kind(problem: &Problem) -> Option<&str> {
    problem.question_id.rsplit_once('-').map(|(kind, _)| kind)
}

fn none(wrong: impl Iterator<Item = String>) {
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

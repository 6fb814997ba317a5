//! The real judge over the whole bundled set: every program gets the verdict its file name promises.

mod common;

use assay_sandbox::Language;
use assay_testsets::bundled;
use assay_verifier::{JudgeOptions, Judged, Mode};
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

fn said(judged: &Judged) -> (&'static str, String) {
    match judged {
        Judged::Graded(judgement) => (judgement.verdict.name(), judgement.reason.clone()),
        Judged::Unsupported { reason } => ("unsupported", reason.clone()),
    }
}

fn none(wrong: impl Iterator<Item = String>) {
    let wrong: Vec<String> = wrong.collect();
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

//! Generated questions through a real verifier over HTTP: their own completions are right, changed ones wrong.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

#[path = "common/verifier.rs"]
mod verifier;

use assay_learner::data::stream;
use assay_learner::reward_client::{Answer, Ask, Grade as _};
use assay_learner::tasks::{Family, Split};

#[test]
fn generated_questions_accept_their_own_completions_only() {
    let (_verifier, client) = verifier::start(1);
    for (family, n) in [(Family::Arithmetic, 200), (Family::Programs, 12)] {
        let questions = family.distinct(Split::Dev, n, &mut stream(1, "test", 0));
        // The last digit of the completion becomes another one.
        let spoilt = |completion: &str| {
            let at = completion.rfind(|c: char| c.is_ascii_digit()).unwrap();
            let digit = completion.as_bytes()[at];
            let other = if digit == b'9' { '8' } else { '9' };
            format!("{}{other}{}", &completion[..at], &completion[at + 1..])
        };
        let wrong: Vec<String> = questions.iter().map(|question| spoilt(&question.completion)).collect();
        let asks: Vec<Ask<'_>> = questions
            .iter()
            .zip(&wrong)
            .flat_map(|(question, wrong)| {
                [&question.completion, wrong].map(|completion| Ask::completion(&question.problem, completion))
            })
            .collect();
        let answers = client.grade(&asks).unwrap();
        for (ask, (index, answer)) in asks.iter().zip(answers.iter().enumerate()) {
            let expected = if index % 2 == 0 { 1.0 } else { 0.0 };
            assert_eq!(answer.reward(), Some(expected), "{:?}: {answer:?}", ask.completion);
            assert!(matches!(answer, Answer::Graded { .. }));
        }
    }
}

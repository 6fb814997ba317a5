//! How good is a policy: accuracy on fixed problems, and the paired comparison of two policies on the same ones.
//!
//! Math problems are scored twice. Strict is what rewards are: the answer stands where it was asked for, in a box.
//! Lenient takes the last number too, wherever it stands. What a policy gains in the strict score and not in the lenient
//! one, it learned of the format and not of the problems.

use std::collections::BTreeMap;

use assay_testsets::{Problem, Task};
use serde::{Deserialize, Serialize};

use crate::policy::Policy;
use crate::recipe::Eval;
use crate::reward_client::{Answer, Ask, Grade};
use crate::train::TrainError;

/// The scores of a policy.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evaluation {
    /// As rewards are given.
    pub strict: Scores,
    /// Of math problems: where an answer is wrong or not in its place, the last number of the completion counts too.
    pub lenient: Scores,
}

/// Mean reward per problem, of the problems that could be graded, by question id.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scores(pub BTreeMap<String, f64>);

/// A mean with its 95 % interval (normal, standard error over problems).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// How many problems.
    pub n: usize,
    /// The mean.
    pub mean: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// Grades a policy's completions of `problems`.
pub fn evaluate(
    policy: &Policy,
    problems: &[Problem],
    settings: &Eval,
    seed: u64,
    grader: &impl Grade,
) -> Result<Evaluation, TrainError> {
    let sampling = settings.sampling(seed, "eval");
    let samples = settings.samples;
    let rollouts = policy.sample(problems, samples, &sampling)?;
    let by_problem = problems.iter().flat_map(|problem| std::iter::repeat_n(problem, samples));
    let asks: Vec<Ask<'_>> = by_problem
        .zip(&rollouts)
        .map(|(problem, rollout)| Ask::completion(problem, &rollout.completion))
        .collect();
    let answers = grader.grade(&asks)?;
    let strict = scores(problems.iter().zip(answers.chunks(samples)));
    let answers = lenient(&asks, answers, grader)?;
    let math = problems.iter().zip(answers.chunks(samples)).filter(|(problem, _)| is_math(problem));
    Ok(Evaluation { strict, lenient: scores(math) })
}

fn scores<'a>(graded: impl Iterator<Item = (&'a Problem, &'a [Answer])>) -> Scores {
    let score = |(problem, answers): (&Problem, &[Answer])| {
        let rewards: Option<Vec<f64>> = answers.iter().map(Answer::reward).collect();
        Some((problem.question_id.clone(), mean(&rewards?)))
    };
    Scores(graded.filter_map(score).collect())
}

fn is_math(problem: &Problem) -> bool {
    matches!(problem.task, Task::Math(_))
}

/// The answers, those of completions of math problems that earned nothing replaced by what their last number earns.
fn lenient(
    asks: &[Ask<'_>],
    mut answers: Vec<Answer>,
    grader: &impl Grade,
) -> Result<Vec<Answer>, TrainError> {
    let wrong = |at: &usize| is_math(asks[*at].problem) && answers[*at].reward() == Some(0.0);
    let boxed = |at: usize| Some((at, format!("\\boxed{{{}}}", last_number(asks[at].completion)?)));
    let again: Vec<(usize, String)> = (0..asks.len()).filter(wrong).filter_map(boxed).collect();
    let asked: Vec<Ask<'_>> =
        again.iter().map(|(at, boxed)| Ask::completion(asks[*at].problem, boxed)).collect();
    for ((at, _), answer) in again.iter().zip(grader.grade(&asked)?) {
        answers[*at] = answer;
    }
    Ok(answers)
}

/// The last number after the thinking, with its sign, thousands and decimals.
fn last_number(text: &str) -> Option<&str> {
    let text = text.rsplit("</think>").next()?;
    let end = text.rfind(|c: char| c.is_ascii_digit())? + 1;
    let inside = |c: char| c.is_ascii_digit() || matches!(c, '.' | ',');
    let number = &text[text[..end].trim_end_matches(inside).len()..end];
    let start = end - number.trim_start_matches(['.', ',']).len();
    // A minus between two terms is no sign.
    let before = text[..start].strip_suffix('-');
    let signed = before.is_some_and(|before| !before.trim_end().ends_with(|c: char| c.is_alphanumeric()));
    Some(&text[start - usize::from(signed)..end])
}

impl Scores {
    /// Mean over the problems whose id starts with `prefix`; the empty prefix means all.
    pub fn accuracy(&self, prefix: &str) -> Interval {
        interval(&self.values(prefix))
    }

    /// The gain of `after` over `self` on the problems both have, paired by problem.
    pub fn gain(&self, after: &Scores, prefix: &str) -> Interval {
        let difference = |(id, before): (&String, &f64)| Some(after.0.get(id)? - before);
        let both = self.0.iter().filter(|(id, _)| id.starts_with(prefix));
        interval(&both.filter_map(difference).collect::<Vec<_>>())
    }

    fn values(&self, prefix: &str) -> Vec<f64> {
        self.0.iter().filter(|(id, _)| id.starts_with(prefix)).map(|(_, score)| *score).collect()
    }
}

/// Two-sided 95 % point of the normal distribution.
const Z_95: f64 = 1.959_964;

fn interval(values: &[f64]) -> Interval {
    let (mean, std) = crate::grpo::mean_std(values);
    let half = Z_95 * std / (values.len().max(1) as f64).sqrt();
    Interval { n: values.len(), mean, low: mean - half, high: mean + half }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(scores: &[f64]) -> Scores {
        Scores(scores.iter().enumerate().map(|(i, score)| (format!("a/{i}"), *score)).collect())
    }

    #[test]
    fn the_gain_is_paired() {
        // 100 problems, each before and after alternate in step: the difference is 0.5 on half, exactly known.
        let before: Vec<f64> = (0..100).map(|i| f64::from(i % 2)).collect();
        let after = [1.0; 100];
        let gain = scored(&before).gain(&scored(&after), "");
        assert_eq!((gain.n, gain.mean), (100, 0.5));
        let std = (0.25 * 100.0 / 99.0f64).sqrt();
        assert!((gain.high - gain.mean - Z_95 * std / 10.0).abs() < 1e-9);
        let same = scored(&before).gain(&scored(&before), "");
        assert_eq!((same.low, same.high), (0.0, 0.0));
    }

    #[test]
    fn problems_that_one_side_lacks_are_left_out() {
        let mut after = scored(&[1.0, 1.0, 1.0]);
        after.0.remove("a/1");
        assert_eq!(scored(&[0.0, 0.0, 0.0]).gain(&after, "a/").n, 2);
        assert_eq!(scored(&[0.0, 0.0, 0.0]).accuracy("b/").n, 0);
    }

    #[test]
    fn the_last_number_is_found_wherever_it_stands() {
        let rows = [
            ("She has 3 + 4 = 7 apples.", Some("7")),
            ("so \\boxed{12} it is", Some("12")),
            ("The total is 1,250.", Some("1,250")),
            ("It is 2.5, then", Some("2.5")),
            ("x = -8", Some("-8")),
            ("10-8", Some("8")),
            ("10 - 8", Some("8")),
            ("= - 8", Some("8")),
            ("about ...5", Some("5")),
            ("<think>9</think>4 birds", Some("4")),
            ("<think>9</think>none", None),
            ("\u{e4}7\u{e4}", Some("7")),
            ("", None),
        ];
        for (text, number) in rows {
            assert_eq!(last_number(text), number, "{text}");
        }
    }

    /// Accepts a box with the gold; it counts what it was asked.
    struct Boxes(std::cell::Cell<usize>);

    impl Grade for Boxes {
        fn grade(&self, asks: &[Ask<'_>]) -> Result<Vec<Answer>, crate::reward_client::RewardError> {
            self.0.set(self.0.get() + asks.len());
            let answer = |ask: &Ask<'_>| match &ask.problem.task {
                Task::Math(math) => {
                    let right = ask.completion.contains(&format!("\\boxed{{{}}}", math.ground_truth));
                    Answer::Graded { reward: f64::from(u8::from(right)), verdict: String::new() }
                }
                Task::Code(_) => Answer::Graded { reward: 0.0, verdict: String::new() },
            };
            Ok(asks.iter().map(answer).collect())
        }
    }

    #[test]
    fn lenient_takes_the_last_number_of_math_answers_that_earned_nothing() {
        use crate::tasks::{Family, Split};
        let one =
            |family: Family| family.question(Split::Train, &mut crate::data::stream(1, "test", 0)).problem;
        let (math, code) = (one(Family::Arithmetic), one(Family::Programs));
        let Task::Math(task) = &math.task else { panic!("{math:?}") };
        let gold = &task.ground_truth;
        let rows = [
            (&math, format!("\\boxed{{{gold}}}"), [1.0, 1.0]),
            // Right in the box; that another number comes last changes nothing.
            (&math, format!("\\boxed{{{gold}}} of 1000"), [1.0, 1.0]),
            (&math, format!("It is {gold}."), [0.0, 1.0]),
            (&math, format!("{gold} is not 1000"), [0.0, 0.0]),
            (&math, "no number".to_owned(), [0.0, 0.0]),
            (&code, format!("It is {gold}."), [0.0, 0.0]),
        ];
        let asks: Vec<Ask<'_>> =
            rows.iter().map(|(problem, text, _)| Ask::completion(problem, text)).collect();
        let grader = Boxes(std::cell::Cell::new(0));
        let strict = grader.grade(&asks).unwrap();
        let lenient = lenient(&asks, strict.clone(), &grader).unwrap();
        for ((strict, lenient), (_, text, rewards)) in strict.iter().zip(&lenient).zip(&rows) {
            assert_eq!([strict, lenient].map(Answer::reward), rewards.map(Some), "{text}");
        }
        assert_eq!(grader.0.get(), rows.len() + 2, "only what may change is asked again");
    }
}

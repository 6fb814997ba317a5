//! Generated problems for a policy small enough to learn on a laptop: sums, and tiny programs.
//!
//! Each family is a finite space, and a hash of a problem's content puts it in the training, the development
//! or the held-out split. So the splits are disjoint by construction, whatever the seeds and however many are
//! drawn, and a problem and its twin (a+b and b+a) always share a split.

use std::collections::HashSet;
use std::fmt;

use assay_testsets::{Checker, CodeTask, MathTask, Problem, Task, TaskLimits, TestCase, TestType};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

/// A family of generated problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// `417+86=`, answered `\boxed{503}`; the math checker's reward.
    Arithmetic,
    /// `f(a,b)=3a-2b+14`, answered by a Python program; the reward of its tests.
    Programs,
}

/// Which part of a family a problem belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// Three quarters: SFT rows and RL prompts.
    Train,
    /// One eighth: when to stop SFT.
    Dev,
    /// One eighth: the figures that are reported, and nothing else.
    HeldOut,
}

/// A problem with a completion that solves it, as a row of SFT data.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// What is asked, and against what it is judged.
    pub problem: Problem,
    /// A right completion.
    pub completion: String,
}

/// The phrases of both families that are worth a token of their own; everything else is bytes.
pub const PHRASES: [&str; 4] =
    ["\\boxed{", "```python\na,b=map(int,input().split())\nprint(", ")\n```", "f(a,b)="];

/// The characters the two families are written in, beside [`PHRASES`].
pub const ALPHABET: &str = "0123456789+-*=}ab\n";

impl Family {
    /// All families.
    pub const ALL: [Family; 2] = [Family::Arithmetic, Family::Programs];

    /// The name in recipes and reports.
    pub fn name(self) -> &'static str {
        match self {
            Family::Arithmetic => "arithmetic",
            Family::Programs => "programs",
        }
    }

    /// The family of that name.
    pub fn named(name: &str) -> Option<Family> {
        Family::ALL.into_iter().find(|family| family.name() == name)
    }

    /// A random question of a split.
    pub fn question(self, split: Split, rng: &mut ChaCha8Rng) -> Question {
        loop {
            let (key, question) = match self {
                Family::Arithmetic => arithmetic(rng),
                Family::Programs => program(rng),
            };
            if split_of(&key) == split {
                return question;
            }
        }
    }

    /// `n` different questions of a split.
    pub fn distinct(self, split: Split, n: usize, rng: &mut ChaCha8Rng) -> Vec<Question> {
        let mut seen = HashSet::new();
        let mut questions = Vec::with_capacity(n);
        while questions.len() < n {
            let question = self.question(split, rng);
            if seen.insert(question.problem.question_id.clone()) {
                questions.push(question);
            }
        }
        questions
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Sums and differences of numbers of two and three digits; differences are never negative. The key is the
/// same for a+b and b+a.
fn arithmetic(rng: &mut ChaCha8Rng) -> (String, Question) {
    let number = |rng: &mut ChaCha8Rng| {
        if rng.random_bool(0.25) { rng.random_range(10..100) } else { rng.random_range(100..1000) }
    };
    let (a, b): (i64, i64) = (number(rng), number(rng));
    let (large, small) = (a.max(b), a.min(b));
    let (key, prompt, answer) = if rng.random_bool(0.5) {
        (format!("{large}+{small}"), format!("{a}+{b}="), a + b)
    } else {
        (format!("{large}-{small}"), format!("{large}-{small}="), large - small)
    };
    let task = Task::Math(MathTask { ground_truth: answer.to_string() });
    (
        key,
        Question {
            problem: problem(Family::Arithmetic, &prompt, task),
            completion: format!("\\boxed{{{answer}}}"),
        },
    )
}

/// Programs that read two integers and print a linear form of them.
fn program(rng: &mut ChaCha8Rng) -> (String, Question) {
    let sign = |rng: &mut ChaCha8Rng| if rng.random_bool(0.5) { 1 } else { -1 };
    let (p, q, c): (i64, i64, i64) =
        (rng.random_range(2..10), sign(rng) * rng.random_range(2..10), sign(rng) * rng.random_range(1..100));
    let prompt = format!("f(a,b)={p}a{q:+}b{c:+}\n");
    let completion = format!("{}{p}*a{q:+}*b{c:+}{}", PHRASES[1], PHRASES[2]);
    // The inputs follow from the problem, so that a question is the same wherever it is drawn.
    let bytes = hash(&prompt);
    let input = |i: usize| (i64::from(bytes[i]) - 100, i64::from(bytes[i + 1]) - 100);
    let test = |(a, b): (i64, i64)| TestCase {
        input: format!("{a} {b}\n"),
        output: format!("{}\n", p * a + q * b + c),
        test_type: TestType::Stdin,
    };
    let task = Task::Code(CodeTask {
        starter_code: String::new(),
        func_name: None,
        test_cases: vec![test(input(2)), test(input(4))],
        checker: Checker::Tokens,
        limits: TaskLimits::default(),
    });
    (prompt.clone(), Question { problem: problem(Family::Programs, &prompt, task), completion })
}

fn problem(family: Family, prompt: &str, task: Task) -> Problem {
    Problem {
        question_id: format!("{family}/{}", prompt.trim_end()),
        prompt: prompt.to_owned(),
        task,
        difficulty: None,
        platform: Some(family.name().to_owned()),
        contest_date: None,
    }
}

fn split_of(key: &str) -> Split {
    match hash(key)[0] % 8 {
        0 => Split::HeldOut,
        1 => Split::Dev,
        _ => Split::Train,
    }
}

fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::stream;

    #[test]
    fn splits_never_share_a_problem_nor_its_twin() {
        for family in Family::ALL {
            let twin = |question: &Question| {
                let prompt = question.problem.prompt.trim_end_matches(['=', '\n']).to_owned();
                match prompt.split_once('+').filter(|_| family == Family::Arithmetic) {
                    Some((a, b)) if a < b => format!("{b}+{a}"),
                    _ => prompt,
                }
            };
            let drawn = |split, seed| -> HashSet<String> {
                let mut rng = stream(seed, "test", 0);
                (0..20_000).map(|_| twin(&family.question(split, &mut rng))).collect()
            };
            let (train, dev, held_out) =
                (drawn(Split::Train, 1), drawn(Split::Dev, 2), drawn(Split::HeldOut, 3));
            assert!(
                train.is_disjoint(&dev) && train.is_disjoint(&held_out) && dev.is_disjoint(&held_out),
                "{family}"
            );
            assert!(held_out.len() > 1_000, "{family}: only {} held out", held_out.len());
        }
    }

    #[test]
    fn answers_are_right() {
        let mut rng = stream(5, "test", 0);
        for _ in 0..1_000 {
            let question = Family::Arithmetic.question(Split::Train, &mut rng);
            let prompt = question.problem.prompt.trim_end_matches('=');
            let (at, sign) = prompt.char_indices().find(|(_, c)| "+-".contains(*c)).unwrap();
            let (a, b): (i64, i64) = (prompt[..at].parse().unwrap(), prompt[at + 1..].parse().unwrap());
            let answer = if sign == '+' { a + b } else { a - b };
            assert_eq!(question.completion, format!("\\boxed{{{answer}}}"), "{prompt}");
        }
        let question = Family::Programs.question(Split::Train, &mut rng);
        let Task::Code(task) = &question.problem.task else { panic!("{question:?}") };
        assert_eq!(task.test_cases.len(), 2);
        assert!(question.completion.starts_with("```python\n") && question.completion.ends_with("\n```"));
    }

    #[test]
    fn the_vocabulary_covers_every_question() {
        let mut rng = stream(7, "test", 0);
        for family in Family::ALL {
            for _ in 0..500 {
                let question = family.question(Split::Train, &mut rng);
                let mut text = format!("{}{}", question.problem.prompt, question.completion);
                for phrase in PHRASES {
                    text = text.replace(phrase, "");
                }
                assert!(text.chars().all(|c| ALPHABET.contains(c)), "{text:?}");
            }
        }
    }
}

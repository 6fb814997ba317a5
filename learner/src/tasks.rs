//! Generated problems for a policy small enough to learn on a laptop: sums, and tiny programs.
//!
//! Each family is a finite space, and a hash of a problem's content puts it in the training, the development
//! or the held-out split. So the splits are disjoint by construction, whatever the seeds and however many are
//! drawn, and a problem and its twin (a+b and b+a) always share a split.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

use assay_testsets::{Checker, CodeTask, MathTask, Problem, Task, TaskLimits, TestCase, TestType};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::tokenizer::{NORMALIZER, PIECES};

/// A family of generated problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// `417+186=`, answered `\boxed{603}`; the math checker's reward.
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

/// The phrases of both families that are worth a token of their own; everything else is single bytes.
///
/// No phrase may begin inside another: a text has one way to be cut into them.
pub const PHRASES: [&str; 4] = ["\n```", "\\boxed{", PROGRAM_HEAD, "f(a,b)="];

const PROGRAM_HEAD: &str = "```python\na,b=map(int,input().split())\nprint(";

/// The end-of-text token of [`tokenizer_json`].
pub const END_OF_TEXT: &str = "<|endoftext|>";

/// Number of ids of [`tokenizer_json`].
pub(crate) const VOCABULARY: usize = 256 + PHRASES.len() + 1;

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

    /// The longest prompt.
    pub(crate) fn longest_prompt(self) -> String {
        match self {
            Family::Arithmetic => arithmetic_prompt(OPERANDS.end - 1, OPERANDS.end - 1),
            Family::Programs => program_prompt(FACTORS.start, -FACTORS.start, 1 - SUMMANDS.end),
        }
    }

    /// A random question of a split.
    pub fn question(self, split: Split, rng: &mut ChaCha8Rng) -> Question {
        self.draw(split, rng).1
    }

    /// How many questions a split has, twins counted once.
    pub fn size(self, split: Split) -> usize {
        let keys: Vec<String> = match self {
            Family::Arithmetic => {
                OPERANDS.flat_map(|a| (a..OPERANDS.end).map(move |b| sum_key(a, b))).collect()
            }
            Family::Programs => {
                let signed = |range: Range<i64>| range.clone().map(|n| -n).chain(range);
                let forms = FACTORS.flat_map(|p| signed(FACTORS).map(move |q| (p, q)));
                forms.flat_map(|(p, q)| signed(SUMMANDS).map(move |c| program_prompt(p, q, c))).collect()
            }
        };
        keys.iter().filter(|key| split_of(key) == split).count()
    }

    /// `n` questions of a split, no two of them the same or twins; `n` is at most its [`Self::size`].
    pub fn distinct(self, split: Split, n: usize, rng: &mut ChaCha8Rng) -> Vec<Question> {
        let mut seen = HashSet::new();
        let mut questions = Vec::with_capacity(n);
        while questions.len() < n {
            let (key, question) = self.draw(split, rng);
            if seen.insert(key) {
                questions.push(question);
            }
        }
        questions
    }

    /// A random question of a split, with the key that it shares with its twin alone.
    fn draw(self, split: Split, rng: &mut ChaCha8Rng) -> (String, Question) {
        loop {
            let (key, question) = match self {
                Family::Arithmetic => arithmetic(rng),
                Family::Programs => program(rng),
            };
            if split_of(&key) == split {
                return (key, question);
            }
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the generated questions are made of: the terms of a sum; the factors and the constant of a program.
const OPERANDS: Range<i64> = 10..100;
const FACTORS: Range<i64> = 2..10;
const SUMMANDS: Range<i64> = 1..100;

fn sum_key(smaller: i64, larger: i64) -> String {
    format!("{smaller}+{larger}")
}

fn arithmetic_prompt(a: i64, b: i64) -> String {
    format!("{a}+{b}=")
}

fn program_prompt(p: i64, q: i64, c: i64) -> String {
    format!("f(a,b)={p}a{q:+}b{c:+}\n")
}

/// Sums of two numbers of two digits. The key is the same for a+b and b+a.
fn arithmetic(rng: &mut ChaCha8Rng) -> (String, Question) {
    let (a, b) = (rng.random_range(OPERANDS), rng.random_range(OPERANDS));
    let task = Task::Math(MathTask { ground_truth: (a + b).to_string(), error: None });
    let problem = problem(Family::Arithmetic, &arithmetic_prompt(a, b), task);
    (sum_key(a.min(b), a.max(b)), Question { problem, completion: format!("\\boxed{{{}}}", a + b) })
}

/// Programs that read two integers and print a linear form of them.
fn program(rng: &mut ChaCha8Rng) -> (String, Question) {
    let sign = |rng: &mut ChaCha8Rng| if rng.random_bool(0.5) { 1 } else { -1 };
    let (p, q, c) = (
        rng.random_range(FACTORS),
        sign(rng) * rng.random_range(FACTORS),
        sign(rng) * rng.random_range(SUMMANDS),
    );
    let prompt = program_prompt(p, q, c);
    let completion = format!("{PROGRAM_HEAD}{p}*a{q:+}*b{c:+})\n```");
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
        test_cases: vec![test(input(2)), test(input(4))].into(),
        checker: Checker::Tokens,
        limits: TaskLimits::default(),
        groups: Vec::new(),
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

/// The `tokenizer.json` of the generated families: byte-level BPE without merges, and [`PHRASES`].
///
/// Phrases are added tokens and not merges, because readers cut text by Qwen2's rule before they merge
/// (`tokenizer.rs`), and merges never reach across a cut. Added tokens are found before it.
pub fn tokenizer_json() -> String {
    let bytes: serde_json::Map<String, Value> =
        (0..=255u8).map(|byte| (byte_char(byte).to_string(), json!(byte))).collect();
    let added = |(index, text): (usize, &str)| {
        json!({ "id": bytes.len() + index, "content": text, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": text == END_OF_TEXT })
    };
    let added_tokens: Vec<Value> = PHRASES.into_iter().chain([END_OF_TEXT]).enumerate().map(added).collect();
    let byte_level =
        json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false });
    let cut =
        json!({ "type": "Split", "pattern": { "Regex": PIECES }, "behavior": "Isolated", "invert": false });
    json!({
        "version": "1.0", "truncation": null, "padding": null, "post_processor": null,
        "normalizer": { "type": NORMALIZER }, "added_tokens": added_tokens,
        "pre_tokenizer": { "type": "Sequence", "pretokenizers": [cut, byte_level] }, "decoder": byte_level,
        "model": { "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": bytes, "merges": [] },
    })
    .to_string()
}

/// The character that stands for a byte in a byte-level vocabulary: itself where it is printable, else one
/// from 256 up in the order of the bytes.
fn byte_char(byte: u8) -> char {
    let printable = |byte: u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    if printable(byte) {
        return char::from(byte);
    }
    let rank = (0..byte).filter(|other| !printable(*other)).count() as u32;
    char::from_u32(256 + rank).unwrap_or(' ')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::stream;

    /// The prompt, a sum's with its larger number first.
    fn twin(question: &Question) -> String {
        let prompt = question.problem.prompt.trim_end_matches(['=', '\n']).to_owned();
        match prompt.split_once('+').filter(|_| !prompt.starts_with("f(")) {
            Some((a, b)) if a < b => format!("{b}+{a}"),
            _ => prompt,
        }
    }

    #[test]
    fn splits_never_share_a_problem_nor_its_twin() {
        for family in Family::ALL {
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
            assert!(held_out.len() <= family.size(Split::HeldOut), "{family}: {} drawn", held_out.len());
        }
    }

    #[test]
    fn what_is_measured_on_holds_no_twins() {
        for family in Family::ALL {
            let n = family.size(Split::HeldOut);
            assert!(n > 500, "{family}: only {n} held out");
            let all = family.distinct(Split::HeldOut, n, &mut stream(1, "test", 0));
            assert_eq!(all.iter().map(twin).collect::<HashSet<_>>().len(), n, "{family}");
        }
    }

    #[test]
    fn answers_are_right() {
        let mut rng = stream(5, "test", 0);
        for _ in 0..1_000 {
            let question = Family::Arithmetic.question(Split::Train, &mut rng);
            let prompt = question.problem.prompt.trim_end_matches('=');
            let (a, b) = prompt.split_once('+').unwrap();
            let answer = a.parse::<i64>().unwrap() + b.parse::<i64>().unwrap();
            assert_eq!(question.completion, format!("\\boxed{{{answer}}}"), "{prompt}");
        }
        let question = Family::Programs.question(Split::Train, &mut rng);
        let Task::Code(task) = &question.problem.task else { panic!("{question:?}") };
        assert_eq!(task.test_cases.len(), 2);
        assert!(question.completion.starts_with("```python\n") && question.completion.ends_with("\n```"));
    }

    /// transformers 5 read the quickstart's checkpoint with other token ids than it was trained on: beside a
    /// `qwen2` model it keeps a tokenizer's vocabulary, merges and added tokens, and cuts text by Qwen2's rule,
    /// which broke phrases that were merges. What such a reader puts in place must be there already.
    #[test]
    fn a_reader_that_knows_only_qwen2_finds_its_own_rule() {
        let value: Value = serde_json::from_str(&tokenizer_json()).unwrap();
        assert_eq!(value["normalizer"]["type"], "NFC");
        let [cut, bytes] = value["pre_tokenizer"]["pretokenizers"].as_array().unwrap().as_slice() else {
            panic!("{}", value["pre_tokenizer"])
        };
        let qwen2 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
        assert_eq!((cut["type"].as_str(), cut["pattern"]["Regex"].as_str()), (Some("Split"), Some(qwen2)));
        assert_eq!((bytes["type"].as_str(), bytes["use_regex"].as_bool()), (Some("ByteLevel"), Some(false)));
        assert_eq!(value["model"]["merges"], json!([]));
        let added: Vec<&str> = value["added_tokens"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|token| token["content"].as_str())
            .collect();
        assert_eq!(added, [&PHRASES[..], &[END_OF_TEXT]].concat());
    }

    #[test]
    fn the_phrases_are_single_tokens_and_every_text_comes_back() {
        let tokenizer = tokenizers::Tokenizer::from_bytes(tokenizer_json()).unwrap();
        assert_eq!(tokenizer.get_vocab_size(true), VOCABULARY);
        let ids = |text: &str| tokenizer.encode(text, false).unwrap().get_ids().to_vec();
        for phrase in PHRASES {
            assert_eq!(ids(phrase).len(), 1, "{phrase:?}");
        }
        let mut rng = stream(7, "test", 0);
        for (family, most) in [(Family::Arithmetic, 6), (Family::Programs, 16)] {
            for _ in 0..200 {
                let question = family.question(Split::Train, &mut rng);
                let completion = ids(&question.completion);
                assert!(completion.len() <= most, "{} is {} tokens", question.completion, completion.len());
                assert_eq!(tokenizer.decode(&completion, true).unwrap(), question.completion);
            }
        }
        let text = "\u{0} any \u{7f}text: \u{e4}\u{4e2d} \n";
        assert_eq!(tokenizer.decode(&ids(text), true).unwrap(), text);
    }
}

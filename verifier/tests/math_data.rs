//! The checker on the real pairs of `shared/data/math`: no wrong `equal`, and nearly everything right.
//!
//! The files are not part of the repository. Where the measuring data are missing as a whole a line says so; where
//! they are there every file must be readable.

mod common;

use std::collections::BTreeMap;
use std::time::Instant;

use assay_verifier::math::{Gold, MathProfile, MathResult, MathVerdict, Prediction, grade, reading};
use common::eval_data;
use serde_json::Value;

#[derive(Clone)]
struct Row {
    id: String,
    gold: String,
    pred: String,
    expected: Option<bool>,
    is_answer: bool,
}

fn lines(file: &str) -> Option<Vec<Value>> {
    let path = eval_data("math")?.join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let rows: Vec<Value> = text
        .lines()
        .enumerate()
        .map(|(at, line)| {
            serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("{}:{}: {error}", path.display(), at + 1))
        })
        .collect();
    assert!(!rows.is_empty(), "{} is empty", path.display());
    Some(rows)
}

fn rows(suite: &str) -> Option<Vec<Row>> {
    let text =
        |row: &Value, key: &str| row[key].as_str().unwrap_or_else(|| panic!("{suite}: no {key}")).to_owned();
    let read = |row: &Value| Row {
        id: text(row, "id"),
        gold: text(row, "gold"),
        pred: text(row, "pred"),
        expected: row["expected"].as_bool(),
        is_answer: row["mode"] == "answer",
    };
    Some(lines(&format!("{suite}.jsonl"))?.iter().map(read).collect())
}

/// The verdict, or why the gold cannot be read.
fn graded(row: &Row, profile: &MathProfile) -> Result<MathResult, String> {
    let gold = Gold::parse(&row.gold, profile).map_err(|unreadable| unreadable.reason)?;
    let prediction =
        if row.is_answer { Prediction::Answer(&row.pred) } else { Prediction::Completion(&row.pred) };
    Ok(grade(&gold, prediction, profile))
}

/// How a suite came out.
#[derive(Default)]
struct Score {
    right: u32,
    labelled: u32,
    wrong: Vec<String>,
    wrong_equal: Vec<String>,
}

impl Score {
    fn share(&self) -> f64 {
        f64::from(self.right) / f64::from(self.labelled.max(1))
    }
}

/// Grades a suite under its profile and prints its line of the table.
fn suite(name: &str, profile: &str) -> Option<Score> {
    let rows = rows(name)?;
    let profile = MathProfile::named(profile).expect("a known profile");
    let mut verdicts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut score = Score::default();
    let start = Instant::now();
    for row in &rows {
        let result = graded(row, &profile);
        let verdict = result.as_ref().map_or("unsupported_gold", |result| result.verdict.as_str());
        *verdicts.entry(verdict).or_default() += 1;
        let Some(expected) = row.expected else { continue };
        score.labelled += 1;
        if if expected { verdict == "equal" } else { matches!(verdict, "different" | "no_answer") } {
            score.right += 1;
            continue;
        }
        score.wrong.push(row.id.clone());
        if score.wrong.len() <= 20 {
            println!("  {}: expected {expected}, {verdict}: {:?} | {:?}", row.id, row.gold, tail(&row.pred));
        }
        if !expected && verdict == "equal" {
            score.wrong_equal.push(row.id.clone());
        }
    }
    println!(
        "{name:20} {:12} pairs {:5}  right {:7.3} %  wrong equal {}  {verdicts:?}  {:.0} pairs/s",
        profile.name,
        rows.len(),
        100.0 * score.share(),
        score.wrong_equal.len(),
        rows.len() as f64 / start.elapsed().as_secs_f64(),
    );
    assert!(score.wrong_equal.is_empty(), "{name}: wrongly equal: {:?}", score.wrong_equal);
    Some(score)
}

fn tail(text: &str) -> String {
    let skip = text.chars().count().saturating_sub(80);
    text.chars().skip(skip).collect()
}

/// Each file in the profile whose policies its labels follow.
#[test]
fn peer_suites_are_nearly_all_right() {
    let suites = [
        ("nemo_skills", "math_verify"),
        ("hendrycks", "prm800k"),
        ("areal", "math_verify"),
        ("rl_frameworks", "math_verify"),
        ("qwen_grader", "qwen"),
    ];
    let mut pool = Score::default();
    for (name, profile) in suites {
        let Some(score) = suite(name, profile) else { return };
        pool.right += score.right;
        pool.labelled += score.labelled;
        pool.wrong.extend(score.wrong);
    }
    suite("tolerance_policy", "strict");
    println!("pooled: {} of {}, {:.2} %", pool.right, pool.labelled, 100.0 * pool.share());
    assert!(pool.share() >= 0.97, "only {} of {} right", pool.right, pool.labelled);
    let disputed: Vec<&str> = include_str!("disputed.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split_once(" | ").expect("an id and a reason").0)
        .collect();
    assert!(disputed.len() <= 6, "{} disputed rows", disputed.len());
    assert_eq!(pool.wrong, disputed, "rows that are wrong, and rows in disputed.txt with their reasons");
}

#[test]
fn real_text_suites_are_nearly_all_right() {
    for name in ["mutations_rational", "gsm8k_solution", "math5000_solution"] {
        if let Some(score) = suite(name, "strict") {
            assert!(score.share() >= 0.995, "{name}: only {} right", score.share());
        }
    }
}

/// Golds against the golds of other problems: nothing but a spelling of the same answer may be equal.
#[test]
fn shuffled_golds_are_not_equal() {
    let (Some(mut rows), Some(more)) = (rows("math5000_solution"), rows("gsm8k_solution")) else { return };
    rows.extend(more);
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random as usize
    };
    let profiles = MathProfile::NAMES.map(|name| MathProfile::named(name).expect("a known profile"));
    let (mut graded_pairs, mut same, mut verdicts) = (0, 0, BTreeMap::<&str, usize>::new());
    let mut wrong_equal = Vec::new();
    while graded_pairs < 6000 {
        let (a, b) = (&rows[next() % rows.len()].gold, &rows[next() % rows.len()].gold);
        if plainest(a) == plainest(b) {
            same += 1;
            continue;
        }
        graded_pairs += 1;
        let completion = format!("So the answer is $\\boxed{{{b}}}$.");
        for profile in &profiles {
            let gold = Gold::parse(a, profile).unwrap_or_else(|unreadable| panic!("{unreadable}"));
            let result = grade(&gold, Prediction::Completion(&completion), profile);
            *verdicts.entry(result.verdict.as_str()).or_default() += 1;
            if result.verdict == MathVerdict::Equal {
                wrong_equal.push(format!("{}: {a:?} and {b:?}: {result:?}", profile.name));
            }
        }
    }
    println!("shuffled golds: {graded_pairs} pairs, {same} same answers taken out, {verdicts:?}");
    assert!(wrong_equal.is_empty(), "wrongly equal:\n{}", wrong_equal.join("\n"));
}

/// An answer without its spacing, units and spelling variants: a comparison of strings only, written without
/// the checker, to take out pairs that are the same answer.
fn plainest(answer: &str) -> String {
    let mut text = answer.to_owned();
    while let Some(at) = text.find("\\text{").or_else(|| text.find("\\mbox{")) {
        let end = text[at..].find('}').map_or(text.len(), |length| at + length + 1);
        let inner =
            text[at..end].trim_start_matches("\\text{").trim_start_matches("\\mbox{").trim_end_matches('}');
        // A word on its own is an answer, one after a number is a unit.
        let kept = if at == 0 { inner.to_owned() } else { String::new() };
        text.replace_range(at..end, &kept);
    }
    for (from, to) in [
        ("\\dfrac", "\\frac"),
        ("\\tfrac", "\\frac"),
        ("\\;", ""),
        ("\\%", ""),
        ("\\left", ""),
        ("\\right", ""),
        ("\\!", ""),
        ("\\,", ""),
        ("\\$", ""),
        ("^\\circ", ""),
        ("^{\\circ}", ""),
        (" ", ""),
        ("{", ""),
        ("}", ""),
        ("^2", "^2"),
    ] {
        text = text.replace(from, to);
    }
    let digits_only = text.chars().all(|c| c.is_ascii_digit() || c == ',' || c == '.');
    if digits_only && !answer.contains(", ") {
        text = text.replace(',', "");
    }
    // `x = 5` and `5` are the same answer.
    if let Some((name, value)) = text.split_once('=')
        && name.len() == 1
    {
        text = value.to_owned();
    }
    text.trim_end_matches(['.', '0']).trim_start_matches('0').to_owned()
}

/// Sentences, or words around a formula: no answer to grade by itself.
fn is_prose(gold: &str) -> bool {
    let formulas = gold.contains('$');
    let gold = &gold.replace("$$", "$");
    let outside: Vec<&str> = if formulas { gold.split('$').step_by(2).collect() } else { vec![gold] };
    let mut words = 0;
    for text in outside {
        let text = text.replace("\\text{", " ").replace("\\mathrm{", "\\mathrm");
        for word in text.split(|c: char| !(c.is_ascii_alphabetic() || c == '\\' || c == '_')) {
            let is_word = word.len() > 1 && word.bytes().all(|c| c.is_ascii_alphabetic());
            words += usize::from(is_word && !matches!(word, "or" | "and"));
        }
    }
    words >= if formulas { 1 } else { 3 }
}

/// Golds by kind: those that are no prose are read (97 %), printed and read again as the same, equal to an exact
/// rewrite of themselves, and never equal to themselves plus a little.
#[test]
fn golds_are_read_printed_rewritten_and_told_from_their_neighbours() {
    let Some(rows) = lines("gold_answers.jsonl") else { return };
    let profile = MathProfile::STRICT;
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    let (mut survive, mut printed, mut rewritten, mut rewrites) = (0_usize, 0, 0, 0);
    let (mut moved, mut moved_proven) = (0, 0);
    let start = Instant::now();
    for row in &rows {
        let answer = row["answer"].as_str().expect("an answer");
        let gold = match Gold::parse(answer, &profile) {
            Ok(gold) => gold,
            Err(_) if is_prose(answer) => {
                *kinds.entry("prose").or_default() += 1;
                continue;
            }
            Err(unreadable) => {
                *kinds.entry("(unread)").or_default() += 1;
                *reasons.entry(unreadable.reason).or_default() += 1;
                continue;
            }
        };
        *kinds.entry(gold.kind()).or_default() += 1;
        let verdict = |answer: &str| grade(&gold, Prediction::Answer(answer), &profile).verdict;
        let spaced = format!("  {}  ", gold.text().replace("\\frac", "\\dfrac"));
        assert_eq!(verdict(&spaced), MathVerdict::Equal, "{answer:?} is not itself");
        let read = reading(gold.text(), &profile).unwrap_or_else(|unreadable| panic!("{unreadable}"));
        let stays = verdict(&read.read_as) == MathVerdict::Equal;
        printed += usize::from(stays);
        survive += usize::from(stays);
        let one_value = matches!(gold.kind(), "number" | "expression") && !gold.text().contains("mathbb");
        if !one_value || gold.text().contains(['=', ',', ';']) {
            continue;
        }
        let text = gold.text();
        for rewrite in [
            format!("\\frac{{7({text})}}{{7}}"),
            format!("({text}) + 3 - \\sqrt{{9}}"),
            format!("\\left({text}\\right)(\\sin^2 1 + \\cos^2 1)"),
        ] {
            rewrites += 1;
            let found = verdict(&rewrite);
            rewritten += usize::from(found == MathVerdict::Equal);
            assert_ne!(found, MathVerdict::Different, "{answer:?} is {rewrite:?}");
        }
        for change in ["+0.001", "-\\frac{1}{1000}", "+10^{-9}", "+10^{-40}"] {
            let neighbour = format!("{text}{change}");
            let result = grade(&gold, Prediction::Answer(&neighbour), &profile);
            moved += 1;
            moved_proven += usize::from(result.verdict == MathVerdict::Different);
            assert_ne!(result.verdict, MathVerdict::Equal, "{answer:?} equals {neighbour:?}: {result:?}");
        }
    }
    let of = |kind: &str| kinds.get(kind).copied().unwrap_or_default();
    let (prose, unread) = (of("prose") + of("text"), of("(unread)"));
    let rest = rows.len() - prose;
    let share = 100.0 * (survive - of("text")) as f64 / rest as f64;
    println!("golds {}: {kinds:?}", rows.len());
    println!(
        "prose or words {prose}; of the other {rest}: unread {unread}, read and printed {:.2} % ({printed} printed and \
         read again); rewrites equal {rewritten} of {rewrites}; neighbours proven different {moved_proven} of {moved}; \
         {:.0} golds/s",
        share,
        rows.len() as f64 / start.elapsed().as_secs_f64(),
    );
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    for (reason, count) in reasons {
        println!("  {count:4} {reason}");
    }
    assert!(share >= 97.0, "only {share} % of the golds that are no prose");
    assert!(rewritten * 1000 >= rewrites * 995, "only {rewritten} of {rewrites} rewrites are equal");
}

/// Kinds by hand against kinds as read, over every 29th gold.
#[test]
fn kinds_agree_with_labels_by_hand() {
    let Some(rows) = lines("gold_answers.jsonl") else { return };
    // A fraction is a number to people and an expression to the parser.
    let class = |kind: &str| {
        if matches!(kind, "number" | "expression") { "value".to_owned() } else { kind.to_owned() }
    };
    let (mut labels, mut agree, mut wrong) = (0, 0, Vec::new());
    for label in include_str!("gold_kinds.txt").lines().filter(|line| !line.starts_with('#')) {
        let (line, kind) = label.split_once(' ').expect("a line and a kind");
        let answer = rows[line.parse::<usize>().expect("a line") - 1]["answer"].as_str().expect("an answer");
        let read = match Gold::parse(answer, &MathProfile::STRICT) {
            Ok(gold) => gold.kind(),
            Err(_) if is_prose(answer) => "prose",
            Err(_) => "(unread)",
        };
        labels += 1;
        if class(read) == class(kind) {
            agree += 1;
        } else {
            assert_ne!(read, "prose", "line {line} is no prose: {answer:?}");
            wrong.push(format!("{line}: {kind} by hand, {read}"));
        }
    }
    println!("{agree} of {labels} labels agree; {wrong:?}");
    assert!(labels >= 300 && agree * 100 >= labels * 95, "{wrong:?}");
}

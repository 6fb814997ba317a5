//! The checker on the real pairs of `shared/data/math`: no wrong `equal`, and nearly everything right.
//!
//! The files are not part of the repository. Where the measuring data are missing as a whole a line says so; where
//! they are there every file must be readable.

mod common;

use std::collections::BTreeMap;
use std::time::Instant;

use assay_verifier::math::{Gold, MathProfile, MathResult, MathVerdict, Prediction, grade};
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

/// Grades a suite, prints its line of the table, and returns the share that is right.
fn suite(name: &str, no_false_equal: bool) -> Option<f64> {
    let rows = rows(name)?;
    let profile = MathProfile::STRICT;
    let mut verdicts: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut right, mut labelled, mut wrong_equal) = (0_u32, 0_u32, Vec::new());
    let start = Instant::now();
    for row in &rows {
        let result = graded(row, &profile);
        let verdict = result.as_ref().map_or("unsupported_gold", |result| result.verdict.as_str());
        *verdicts.entry(verdict).or_default() += 1;
        let Some(expected) = row.expected else { continue };
        labelled += 1;
        let fits = if expected { verdict == "equal" } else { matches!(verdict, "different" | "no_answer") };
        right += u32::from(fits);
        if !fits && labelled - right <= 20 {
            println!("  {}: expected {expected}, {verdict}: {:?} | {:?}", row.id, row.gold, tail(&row.pred));
        }
        if !expected && verdict == "equal" {
            wrong_equal.push(row.id.clone());
        }
    }
    let share = f64::from(right) / f64::from(labelled);
    println!(
        "{name:20} pairs {:5}  right {:7.3} %  wrong equal {}  {verdicts:?}  {:.0} pairs/s",
        rows.len(),
        100.0 * share,
        wrong_equal.len(),
        rows.len() as f64 / start.elapsed().as_secs_f64(),
    );
    assert!(!no_false_equal || wrong_equal.is_empty(), "{name}: wrongly equal: {wrong_equal:?}");
    Some(share)
}

fn tail(text: &str) -> String {
    let skip = text.chars().count().saturating_sub(80);
    text.chars().skip(skip).collect()
}

#[test]
fn suites_without_a_wrong_equal() {
    for name in ["hendrycks", "areal", "mutations_rational", "qwen_grader", "rl_frameworks"] {
        suite(name, true);
    }
    // Labels of these two are other graders' policies (10 = 10 %), so they are only printed.
    suite("nemo_skills", false);
    suite("tolerance_policy", false);
}

#[test]
fn real_text_suites_are_nearly_all_right() {
    for name in ["mutations_rational", "gsm8k_solution", "math5000_solution"] {
        if let Some(share) = suite(name, true) {
            assert!(share >= 0.995, "{name}: only {share} right");
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
    let profile = MathProfile::STRICT;
    let (mut graded_pairs, mut same, mut verdicts) = (0, 0, BTreeMap::<&str, usize>::new());
    let mut wrong_equal = Vec::new();
    while graded_pairs < 6000 {
        let (a, b) = (&rows[next() % rows.len()].gold, &rows[next() % rows.len()].gold);
        if plainest(a) == plainest(b) {
            same += 1;
            continue;
        }
        graded_pairs += 1;
        let gold = Gold::parse(a, &profile).unwrap_or_else(|unreadable| panic!("{unreadable}"));
        let completion = format!("So the answer is $\\boxed{{{b}}}$.");
        let result = grade(&gold, Prediction::Completion(&completion), &profile);
        *verdicts.entry(result.verdict.as_str()).or_default() += 1;
        if result.verdict == MathVerdict::Equal {
            wrong_equal.push(format!("{a:?} and {b:?}: {result:?}"));
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

/// Every gold that can be read equals itself, however it is spaced, and never itself plus one thousandth.
#[test]
fn readable_golds_equal_themselves_and_nothing_near() {
    let Some(rows) = lines("gold_answers.jsonl") else { return };
    let profile = MathProfile::STRICT;
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    let (mut readable, mut perturbed, mut perturbed_proven) = (0, 0, 0);
    let start = Instant::now();
    for row in &rows {
        let answer = row["answer"].as_str().expect("an answer");
        let gold = match Gold::parse(answer, &profile) {
            Ok(gold) => gold,
            Err(unreadable) => {
                *reasons.entry(unreadable.reason).or_default() += 1;
                continue;
            }
        };
        readable += 1;
        *kinds.entry(gold.kind()).or_default() += 1;
        let spaced = format!("  {}  ", gold.text().replace("\\frac", "\\dfrac"));
        let same = grade(&gold, Prediction::Answer(&spaced), &profile);
        assert_eq!(same.verdict, MathVerdict::Equal, "{answer:?} is not itself: {same:?}");
        if !matches!(gold.kind(), "number" | "expression") || gold.text().contains(['=', ',', ';']) {
            continue;
        }
        for change in ["+0.001", "-\\frac{1}{1000}", "+1"] {
            let moved = format!("{}{change}", gold.text());
            let result = grade(&gold, Prediction::Answer(&moved), &profile);
            perturbed += 1;
            perturbed_proven += usize::from(result.verdict == MathVerdict::Different);
            assert_ne!(result.verdict, MathVerdict::Equal, "{answer:?} equals {moved:?}: {result:?}");
        }
    }
    let share = 100.0 * f64::from(readable) / rows.len() as f64;
    println!(
        "golds {}, readable {readable} ({share:.2} %), all equal to themselves; {kinds:?}; perturbed {perturbed}, \
         proven different {perturbed_proven}; {:.0} golds/s",
        rows.len(),
        rows.len() as f64 / start.elapsed().as_secs_f64(),
    );
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    for (reason, count) in reasons {
        println!("  {count:4} {reason}");
    }
    assert!(share > 90.0, "only {share} % of the golds can be read");
}

//! Pairs of answers with the verdict each must get: `answers.txt`, one row a pair, every row with its
//! reason.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use assay_verifier::math::{Gold, MathProfile, MathVerdict, Prediction, ToleranceRule, grade};

const ROWS: &str = include_str!("answers.txt");

/// A row may take this long on a machine that does much else; the budget bounds the work, not the clock.
const GUARD: Duration = Duration::from_secs(20);

/// How many rows are named with what they cost.
const DEAREST: usize = 60;

struct Row {
    line: usize,
    answer: String,
    truth: String,
    want: String,
    why: String,
    profile: MathProfile,
    is_completion: bool,
}

fn rows() -> Vec<Row> {
    let (mut profile, mut is_completion) = (MathProfile::STRICT, false);
    let mut rows = Vec::new();
    for (at, line) in ROWS.lines().enumerate() {
        let line_number = at + 1;
        if let Some(setting) = line.strip_prefix("= ") {
            match setting.split_once(' ') {
                Some(("profile", name)) => {
                    profile = MathProfile::named(name).expect("a known profile");
                    is_completion = is_completion || name == "math_verify";
                }
                _ => is_completion = setting == "completion",
            }
            continue;
        }
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // Bars also mean absolute values, so the last two separators are found from the end.
        let (rest, why) = line.rsplit_once(" | ").unwrap_or_else(|| panic!("line {line_number}: no reason"));
        let (pair, want) =
            rest.rsplit_once(" | ").unwrap_or_else(|| panic!("line {line_number}: no verdict"));
        let (answer, truth) =
            pair.split_once(" | ").unwrap_or_else(|| panic!("line {line_number}: no truth"));
        assert!(
            ["same", "different", "unsupported", "limit", "no_answer"].contains(&want),
            "line {line_number}: unknown verdict {want:?}"
        );
        rows.push(Row {
            line: line_number,
            answer: expand(answer),
            truth: expand(truth),
            want: want.to_owned(),
            why: why.to_owned(),
            profile: profile.clone(),
            is_completion,
        });
    }
    rows
}

/// Writes out `<<text*N>>` and `<<U+XXXX>>`.
fn expand(cell: &str) -> String {
    let mut text = String::new();
    let mut rest = cell;
    while let Some((before, after)) = rest.split_once("<<") {
        let (inner, after) = after.split_once(">>").expect("a closing >>");
        text.push_str(before);
        match (inner.strip_prefix("U+"), inner.rsplit_once('*')) {
            (Some(code), _) => {
                let code = u32::from_str_radix(code, 16).expect("a code point");
                text.push(char::from_u32(code).expect("a character"));
            }
            (None, Some((piece, count))) => text.push_str(&piece.repeat(count.parse().expect("a count"))),
            (None, None) => panic!("{cell:?}: neither a repetition nor a character"),
        }
        rest = after;
    }
    text.push_str(rest);
    text
}

fn verdict(gold: &str, prediction: Prediction<'_>, profile: &MathProfile) -> (&'static str, String) {
    let result = match Gold::parse(gold, profile) {
        Ok(gold) => grade(&gold, prediction, profile),
        Err(unreadable) => return ("unsupported", format!("gold: {}", unreadable.reason)),
    };
    let budget = &profile.budget;
    assert!(result.steps <= budget.fuel + 2 * budget.reserve, "{gold:?}: {} steps", result.steps);
    assert_eq!(result.proof.is_some(), result.verdict == MathVerdict::Equal, "a proof exactly with equal");
    let name = match result.verdict {
        MathVerdict::Equal => "same",
        other => other.as_str(),
    };
    (name, format!("{result:?}"))
}

#[test]
fn every_row_gets_its_verdict() {
    let mut wrong = Vec::new();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut dearest = Vec::new();
    let rows = rows();
    for row in &rows {
        let prediction = if row.is_completion {
            Prediction::Completion(&row.answer)
        } else {
            Prediction::Answer(&row.answer)
        };
        let start = Instant::now();
        let (got, how) = verdict(&row.truth, prediction, &row.profile);
        let took = start.elapsed();
        assert!(took < GUARD, "line {}: took {took:?}", row.line);
        dearest.push((took, row.line));
        *counts.entry(row.want.clone()).or_default() += 1;
        if got != row.want {
            let shown: String = row.answer.chars().take(80).collect();
            let truth: String = row.truth.chars().take(80).collect();
            wrong.push(format!(
                "line {}: {shown} | {truth} | want {} ({}), got {how}",
                row.line, row.want, row.why
            ));
        }
    }
    println!("{} rows: {counts:?}", rows.len());
    dearest.sort();
    dearest.reverse();
    println!("dearest (reading both sides and comparing):");
    for (_, line) in dearest.iter().take(DEAREST) {
        let row = rows.iter().find(|row| row.line == *line).expect("a row");
        println!("  line {line}: {}", cost(row));
    }
    assert!(rows.len() >= 1500, "the table has shrunk to {} rows", rows.len());
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

/// The time of reading and of comparing, the best of a few, and the steps that paid for it.
fn cost(row: &Row) -> String {
    let prediction = match row.is_completion {
        true => Prediction::Completion(&row.answer),
        false => Prediction::Answer(&row.answer),
    };
    let (mut read, mut compared, mut steps) = (Duration::MAX, Duration::MAX, 0);
    for _ in 0..7 {
        let start = Instant::now();
        let gold = Gold::parse(&row.truth, &row.profile);
        read = read.min(start.elapsed());
        let Ok(gold) = gold else { continue };
        let start = Instant::now();
        steps = grade(&gold, prediction, &row.profile).steps;
        compared = compared.min(start.elapsed());
    }
    format!("gold {read:?}, comparison {compared:?} for {steps} steps ({})", row.why)
}

/// Equality does not depend on which side is which, policies that look at the gold aside.
#[test]
fn equal_answers_are_equal_the_other_way_round() {
    let one_sided = ["percent", "the number of percent"];
    for row in rows() {
        let policy = one_sided.iter().any(|word| row.why.contains(word));
        if row.want != "same" || row.is_completion || policy || row.profile != MathProfile::STRICT {
            continue;
        }
        let (got, how) = verdict(&row.answer, Prediction::Answer(&row.truth), &row.profile);
        // A chain, an approximation or a definition may stand for a value in an answer, not always in a gold.
        let readable = Gold::parse(&row.answer, &row.profile).is_ok();
        assert!(got == "same" || !readable || got == "unsupported", "line {} reversed: {how}", row.line);
    }
}

#[test]
fn tolerance_rules_widen_real_numbers_only() {
    let rule = ToleranceRule::new("math::abs(pred - gold) <= 0.01 * math::abs(gold)").unwrap();
    let profile = MathProfile { tolerance: Some(rule), ..MathProfile::STRICT };
    for (gold, answer, want) in [
        ("3.14", "3.15", "same"),
        ("3.14", "3.2", "different"),
        ("\\pi", "3.14", "same"),
        ("100", "\\sqrt{10001}", "same"),
        ("100", "-100", "different"),
        ("(1,2)", "(1,2.001)", "different"),
        ("x", "1.001x", "different"),
        ("1, 2", "1", "different"),
        ("5", "5 \\text{ or } 6", "different"),
    ] {
        let (got, how) = verdict(gold, Prediction::Answer(answer), &profile);
        assert_eq!(got, want, "{gold} and {answer}: {how}");
    }
}

#[test]
fn tolerance_rules_that_cannot_be_used_say_why() {
    let deep = format!("{}gold{} > 0", "(".repeat(50), ")".repeat(50));
    let long = format!("gold > {}", "0".repeat(1000));
    let signs = format!("gold > {}1", "-".repeat(100));
    for (rule, part) in [
        ("gold +", "gold +"),
        ("gold + pred", "oolean"),
        ("gold < limit", "unknown variable limit"),
        (deep.as_str(), "nested deeper"),
        (long.as_str(), "longer than"),
        (signs.as_str(), "nested deeper"),
        ("", "tolerance rule"),
    ] {
        let error = ToleranceRule::new(rule).expect_err(rule).to_string();
        assert!(error.contains(part), "{rule:?}: {error}");
    }
}

/// Verdicts do not depend on what was graded before, or on who grades beside.
#[test]
fn grading_from_many_threads_agrees() {
    let profile = MathProfile::STRICT;
    let gold = Gold::parse("\\frac{1}{1+\\sqrt{2}}", &profile).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for (answer, want) in
                    [("\\sqrt{2}-1", MathVerdict::Equal), ("\\sqrt{2}", MathVerdict::Different)]
                {
                    for _ in 0..50 {
                        assert_eq!(grade(&gold, Prediction::Answer(answer), &profile).verdict, want);
                    }
                }
            });
        }
    });
}

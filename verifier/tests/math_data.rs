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

/// What can be changed in a printed answer: its numerals, else its letters. Words, indices and names of environments are
/// none.
fn atoms(text: &str) -> Vec<std::ops::Range<usize>> {
    let bytes = text.as_bytes();
    let (mut plain, mut raised, mut letters) = (Vec::new(), Vec::new(), Vec::new());
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        match bytes[at] {
            b'\\' => {
                at += 1;
                at += bytes[at..].iter().take_while(|c| c.is_ascii_alphabetic()).count();
                match &text[start..at] {
                    "\\pi" => letters.push(start..at),
                    "\\text" | "\\begin" | "\\end" | "\\operatorname" | "\\overline" | "\\mathbf"
                    | "\\vec" => {
                        at += bytes[at..].iter().take_while(|c| **c != b'}').count();
                    }
                    _ => {}
                }
            }
            b'_' => {
                at += 1;
                let group = bytes.get(at) == Some(&b'{');
                at += if group { bytes[at..].iter().take_while(|c| **c != b'}').count() } else { 1 };
            }
            b'0'..=b'9' => {
                at += bytes[at..].iter().take_while(|c| c.is_ascii_digit() || **c == b'.').count();
                let before = &text[..start];
                let special = before.ends_with("^{") || before.ends_with('[');
                // The 0 of `I(0)`: with anything but a number in the brackets it is a product.
                let applied =
                    before.strip_suffix('(').is_some_and(|head| head.ends_with(char::is_alphabetic));
                match (special, applied) {
                    (_, true) => {}
                    (true, _) => raised.push(start..at),
                    _ => plain.push(start..at),
                }
            }
            c if c.is_ascii_alphabetic() => {
                at += bytes[at..].iter().take_while(|c| c.is_ascii_alphabetic()).count();
                // `f(x)` is an application, `x_1` one name, and a word no letter.
                if at - start == 1 && !matches!(bytes.get(at), Some(b'(' | b'_' | b'\'')) {
                    letters.push(start..at);
                }
            }
            _ => at += 1,
        }
    }
    // Whatever stands below the exponent 0 is 1.
    for found in [&mut plain, &mut raised, &mut letters] {
        found.retain(|range| !text[range.end..].starts_with("^{0}"));
    }
    [plain, raised, letters].into_iter().find(|found| !found.is_empty()).unwrap_or_default()
}

/// A printed answer with one of its atoms, chosen by `seed`, written another way.
fn with_atom(text: &str, seed: usize, write: impl Fn(&str) -> String) -> Option<String> {
    let atoms = atoms(text);
    let range = atoms.get(seed % atoms.len().max(1))?.clone();
    Some(format!("{}{}{}", &text[..range.start], write(&text[range.clone()]), &text[range.end..]))
}

/// Another spelling of the same answer.
fn rewrite(kind: &str, printed: &str, seed: usize) -> Option<String> {
    if kind == "numeral" {
        // The digits are the answer: only a nought before them changes nothing.
        return Some(match printed.strip_prefix('-') {
            Some(rest) => format!("-0{rest}"),
            None => format!("0{printed}"),
        });
    }
    with_atom(printed, seed, |atom| match seed % 4 {
        0 => format!("({atom}+3-\\sqrt{{9}})"),
        1 => format!("\\frac{{14({atom})}}{{14}}"),
        2 => format!("(\\frac{{1}}{{3}}+{atom}-\\frac{{2}}{{6}})"),
        _ => format!("(({atom})(\\sin^2 1+\\cos^2 1))"),
    })
}

/// An answer near by: a millionth of a thousandth away, and a whole one away for what only takes whole numbers.
fn neighbours(kind: &str, printed: &str, seed: usize) -> Vec<String> {
    if kind == "numeral" {
        let changed = printed.replacen('1', "0", 1);
        return vec![if changed == printed {
            printed.replacen(|c: char| c.is_ascii_digit(), "1", 1)
        } else {
            changed
        }];
    }
    let change = |by: &str| with_atom(printed, seed, |atom| format!("({atom}+{by})"));
    [change("10^{-9}"), change("1")].into_iter().flatten().collect()
}

/// Golds by kind. At least 97 % of those that are no prose are read as a mathematical kind, printed and read again as the
/// same, equal to a random exact rewrite of themselves, and proven different from a neighbour; all of this for the
/// same gold. None is ever different from its rewrite or equal to its neighbour.
#[test]
fn golds_are_read_printed_rewritten_and_told_from_their_neighbours() {
    let Some(rows) = lines("gold_answers.jsonl") else { return };
    let profile = MathProfile::STRICT;
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    let mut missed: BTreeMap<(String, &str), (usize, String)> = BTreeMap::new();
    let (mut pass, mut prose, mut wrong) = (0_usize, 0_usize, Vec::new());
    let (mut rewritten, mut rewrites, mut moved, mut moved_proven) = (0_usize, 0, 0, 0);
    let start = Instant::now();
    for (seed, row) in rows.iter().enumerate() {
        let answer = row["answer"].as_str().expect("an answer");
        let mut miss = |kind: &str, step| {
            let entry = missed.entry((kind.to_owned(), step)).or_insert_with(|| (0, answer.to_owned()));
            entry.0 += 1;
        };
        let gold = match Gold::parse(answer, &profile) {
            Ok(gold) => gold,
            Err(_) if is_prose(answer) => {
                prose += 1;
                continue;
            }
            Err(unreadable) => {
                miss(&unreadable.reason, "not read");
                continue;
            }
        };
        *kinds.entry(gold.kind()).or_default() += 1;
        let verdict = |answer: &str| grade(&gold, Prediction::Answer(answer), &profile).verdict;
        let spaced = format!("  {}  ", gold.text().replace("\\frac", "\\dfrac"));
        assert_eq!(verdict(&spaced), MathVerdict::Equal, "{answer:?} is not itself");
        if gold.kind() == "text" {
            prose += 1;
            continue;
        }
        let read = reading(gold.text(), &profile).unwrap_or_else(|unreadable| panic!("{unreadable}"));
        let printed = &read.read_as;
        // `v \approx d` is v.
        let value = match printed.split_once(" \\approx ") {
            Some((value, _)) if gold.kind() == "inequality" && value.len() > 1 => value,
            _ => printed,
        };
        let stays = verdict(printed) == MathVerdict::Equal;
        // What has nothing to change in it (an empty set) has no rewrite and no neighbour.
        let same = rewrite(gold.kind(), value, seed).is_none_or(|rewrite| {
            let found = verdict(&rewrite);
            if found == MathVerdict::Different {
                wrong.push(format!("{answer:?} is {rewrite:?}, not different"));
            }
            found == MathVerdict::Equal
        });
        let near = neighbours(gold.kind(), value, seed);
        let found: Vec<MathVerdict> = near.iter().map(|neighbour| verdict(neighbour)).collect();
        // A whole period away may be the same, a millionth of a thousandth is not.
        if found.first() == Some(&MathVerdict::Equal) {
            wrong.push(format!("{answer:?}: {near:?} are {found:?}"));
        }
        let apart = near.is_empty() || found.contains(&MathVerdict::Different);
        match (stays, same, apart) {
            (true, true, true) => pass += 1,
            (false, ..) => miss(gold.kind(), "printed and read as another"),
            (_, false, _) => miss(gold.kind(), "a rewrite not shown equal"),
            _ => miss(gold.kind(), "a neighbour not shown different"),
        }
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
    let rest = rows.len() - prose;
    let share = 100.0 * pass as f64 / rest as f64;
    println!("golds {}: {kinds:?}", rows.len());
    println!(
        "prose or words {prose}; of the other {rest}: {pass} pass all four, {share:.2} %; whole values: rewrites equal \
         {rewritten} of {rewrites}, neighbours proven different {moved_proven} of {moved}; {:.0} golds/s",
        rows.len() as f64 / start.elapsed().as_secs_f64(),
    );
    let mut missed: Vec<_> = missed.into_iter().collect();
    missed.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
    for ((kind, step), (count, example)) in missed {
        println!("  {count:4} {step}: {kind}, such as {example:?}");
    }
    assert!(wrong.is_empty(), "{} wrong verdicts:\n{}", wrong.len(), wrong.join("\n"));
    assert!(share >= 97.0, "only {share} % of the golds that are no prose");
    assert!(rewritten * 1000 >= rewrites * 995, "only {rewritten} of {rewrites} rewrites are equal");
    assert!(
        moved_proven * 1000 >= moved * 995,
        "only {moved_proven} of {moved} neighbours are proven different"
    );
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

//! Two runs side by side, problem by problem.
//!
//! Both graded the same problems, so the difference is taken within problems: a bootstrap of the problems' differences,
//! and McNemar's exact test on samples with the same number. Problems that only one run has are counted and left out.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value, json};

use super::json::percent;
use super::summary::difficulty_rank;
use super::{About, Graded, Outcome};
use crate::metrics::{CurvePoint, Estimate, Tried, estimate, mcnemar, paired, pass_curve};
use crate::verdict::Verdict;

/// One of the two runs.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// What people call it.
    pub name: &'a str,
    /// Its rows, in any order.
    pub graded: &'a [Graded],
    /// What is known of its problems; may be empty.
    pub about: &'a [About],
    /// Its conditions.
    pub provenance: &'a Value,
}

/// What two runs say of each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The runs' names.
    pub names: (String, String),
    /// Problems with a verdict in both.
    pub problems: usize,
    /// Problems with a verdict in one of them only.
    pub unpaired: usize,
    /// The mean acceptance rate over the problems of both, in each run.
    pub rates: (Estimate, Estimate),
    /// pass@k over the problems of both, in each run.
    pub curves: (Vec<CurvePoint>, Vec<CurvePoint>),
    /// The second rate less the first, with the interval of the paired bootstrap.
    pub difference: Estimate,
    /// The same for the problems of each difficulty, platform and kind of gold, where they are known.
    pub groups: Vec<GroupChange>,
    /// Samples paired by number that both runs accept, and that neither does.
    pub alike: (usize, usize),
    /// Samples that only the first, and only the second run accepts, paired by number.
    pub only: (usize, usize),
    /// The chance of a split at least as uneven if neither were better (McNemar, exact, two-sided).
    pub p_value: f64,
    /// Problems whose rates differ, the largest change first.
    pub changes: Vec<Change>,
    /// Solve rates in the first and the second run, and how many problems have these.
    pub pairs: Vec<(f64, f64, usize)>,
    /// The conditions that differ, but for the completions: those are what is compared.
    pub differing: Vec<Differing>,
}

/// A problem in both runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The problem.
    pub question_id: String,
    /// Accepted and graded samples in the first and the second run.
    pub tried: (Tried, Tried),
}

/// Problems that have something in common, in both runs.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupChange {
    /// What they have in common, such as `hard`.
    pub name: String,
    /// How many there are.
    pub problems: usize,
    /// The mean acceptance rate in the first and the second run.
    pub rates: (f64, f64),
    /// The second less the first.
    pub difference: Estimate,
}

/// A condition that is not the same in both runs; values as JSON, cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Differing {
    /// Its path in the record, such as `limits.cpu_time`.
    pub key: String,
    /// Its value in the first run.
    pub first: String,
    /// Its value in the second run.
    pub second: String,
}

impl Change {
    /// The second rate less the first.
    pub fn by(&self) -> f64 {
        rate(self.tried.1) - rate(self.tried.0)
    }
}

fn rate(tried: Tried) -> f64 {
    tried.accepted as f64 / tried.samples.max(1) as f64
}

/// Compares two runs; `None` where they share no problem with verdicts.
pub fn compare(first: Side<'_>, second: Side<'_>) -> Option<Comparison> {
    let (a, b) = (by_problem(first.graded), by_problem(second.graded));
    let both: Vec<Change> = a
        .iter()
        .filter_map(|(id, rows)| {
            let tried = (count(rows), count(b.get(id)?));
            Some(Change { question_id: (*id).to_owned(), tried })
        })
        .collect();
    let counts = |side: fn(&Change) -> Tried| both.iter().map(side).collect::<Vec<Tried>>();
    let (firsts, seconds) = (counts(|change| change.tried.0), counts(|change| change.tried.1));
    let (alike, only) = samples(&a, &b);
    let mut changes: Vec<Change> = both.iter().filter(|change| change.by() != 0.0).cloned().collect();
    changes.sort_by(|x, y| y.by().abs().total_cmp(&x.by().abs()).then(x.question_id.cmp(&y.question_id)));
    Some(Comparison {
        names: (first.name.to_owned(), second.name.to_owned()),
        problems: both.len(),
        unpaired: a.len() + b.len() - 2 * both.len(),
        rates: (estimate(&firsts)?, estimate(&seconds)?),
        curves: (pass_curve(&firsts), pass_curve(&seconds)),
        difference: paired(&both.iter().map(Change::by).collect::<Vec<f64>>())?,
        groups: groups(&both, if first.about.is_empty() { second.about } else { first.about }),
        alike,
        only,
        p_value: mcnemar(only.0, only.1),
        pairs: pairs(&both),
        changes,
        differing: differing(first.provenance, second.provenance),
    })
}

type ByProblem<'a> = BTreeMap<&'a str, BTreeMap<usize, bool>>;

/// Verdicts by problem and sample.
fn by_problem(rows: &[Graded]) -> ByProblem<'_> {
    let mut problems: ByProblem<'_> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.outcome == Outcome::Graded) {
        let accepted = row.verdict.as_deref() == Some(Verdict::Accepted.name());
        problems.entry(&row.question_id).or_default().insert(row.sample, accepted);
    }
    problems
}

fn count(rows: &BTreeMap<usize, bool>) -> Tried {
    Tried { samples: rows.len(), accepted: rows.values().filter(|accepted| **accepted).count() }
}

/// Samples with the same number: accepted by both and by neither; by one only.
fn samples(a: &ByProblem<'_>, b: &ByProblem<'_>) -> ((usize, usize), (usize, usize)) {
    let (mut alike, mut only) = ((0, 0), (0, 0));
    for (id, rows) in a {
        for (number, accepted) in rows {
            match (accepted, b.get(id).and_then(|rows| rows.get(number))) {
                (true, Some(true)) => alike.0 += 1,
                (false, Some(false)) => alike.1 += 1,
                (true, Some(false)) => only.0 += 1,
                (false, Some(true)) => only.1 += 1,
                (_, None) => {}
            }
        }
    }
    (alike, only)
}

fn groups(both: &[Change], about: &[About]) -> Vec<GroupChange> {
    let known: HashMap<&str, &About> =
        about.iter().map(|about| (about.question_id.as_str(), about)).collect();
    let by = |key: fn(&About) -> Option<&str>| {
        let mut groups: BTreeMap<(usize, &str), Vec<&Change>> = BTreeMap::new();
        for change in both {
            if let Some(name) = known.get(change.question_id.as_str()).and_then(|about| key(about)) {
                groups.entry((difficulty_rank(name), name)).or_default().push(change);
            }
        }
        groups.into_iter().filter_map(|((_, name), changes)| {
            let side = |side: fn(&Change) -> Tried| {
                let tried: Vec<Tried> = changes.iter().map(|change| side(change)).collect();
                estimate(&tried).map(|e| e.mean)
            };
            Some(GroupChange {
                name: name.to_owned(),
                problems: changes.len(),
                rates: (side(|change| change.tried.0)?, side(|change| change.tried.1)?),
                difference: paired(&changes.iter().map(|change| change.by()).collect::<Vec<f64>>())?,
            })
        })
    };
    by(|about| about.difficulty.as_deref())
        .chain(by(|about| about.platform.as_deref()))
        .chain(by(|about| about.gold.as_deref()))
        .collect()
}

fn pairs(both: &[Change]) -> Vec<(f64, f64, usize)> {
    // Rates are equal as fractions of their samples; in thousandths they are close enough to stand in one place.
    let mut pairs: BTreeMap<(u32, u32), usize> = BTreeMap::new();
    let thousandths = |tried: Tried| (1000.0 * rate(tried)).round() as u32;
    for change in both {
        *pairs.entry((thousandths(change.tried.0), thousandths(change.tried.1))).or_default() += 1;
    }
    let shares = |((a, b), count): ((u32, u32), usize)| (f64::from(a) / 1e3, f64::from(b) / 1e3, count);
    pairs.into_iter().map(shares).collect()
}

fn differing(first: &Value, second: &Value) -> Vec<Differing> {
    let mut all = Vec::new();
    walk("", first, second, &mut all);
    all.retain(|d| d.key != "shard" && d.key != "completions" && !d.key.starts_with("completions."));
    all
}

fn walk(path: &str, first: &Value, second: &Value, all: &mut Vec<Differing>) {
    if first == second {
        return;
    }
    let (Value::Object(a), Value::Object(b)) = (first, second) else {
        let text = |value: &Value| {
            let mut text = value.to_string();
            text.truncate(text.floor_char_boundary(120));
            text
        };
        all.push(Differing { key: path.to_owned(), first: text(first), second: text(second) });
        return;
    };
    let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        walk(&path, a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null), all);
    }
}

impl Comparison {
    /// What of the conditions differs, in sentences: rates may differ for that reason.
    pub fn warnings(&self) -> Vec<String> {
        self.differing.iter().map(|d| format!("`{}` differs: {} and {}", d.key, d.first, d.second)).collect()
    }

    /// One line for people.
    pub fn headline(&self) -> String {
        let d = &self.difference;
        format!(
            "pass@1 {} -> {}, {:+.2} points (95 % interval {:+.2} to {:+.2}), McNemar p = {:.3}",
            percent(self.rates.0.mean),
            percent(self.rates.1.mean),
            100.0 * d.mean,
            100.0 * d.interval.0,
            100.0 * d.interval.1,
            self.p_value
        )
    }

    /// The value of `--json`.
    pub fn json(&self) -> Value {
        let tried = |tried: Tried| json!({ "samples": tried.samples, "accepted": tried.accepted });
        let change = |change: &Change| {
            json!({
                "question_id": change.question_id,
                "first": tried(change.tried.0),
                "second": tried(change.tried.1),
            })
        };
        let group = |group: &GroupChange| {
            json!({
                "name": group.name,
                "problems": group.problems,
                "first": group.rates.0,
                "second": group.rates.1,
                "difference": group.difference.mean,
                "difference_interval_95": [group.difference.interval.0, group.difference.interval.1],
            })
        };
        let side = |e: &Estimate, curve: &[CurvePoint]| {
            let unbiased: Map<_, _> = curve.iter().map(|p| (p.k.to_string(), json!(p.unbiased))).collect();
            json!({
                "pass@1": e.mean,
                "interval_95": [e.interval.0, e.interval.1],
                "pass@k_unbiased": unbiased,
            })
        };
        json!({
            "problems": self.problems,
            "unpaired_problems": self.unpaired,
            "first": side(&self.rates.0, &self.curves.0),
            "second": side(&self.rates.1, &self.curves.1),
            "difference": self.difference.mean,
            "difference_interval_95": [self.difference.interval.0, self.difference.interval.1],
            "both": self.alike.0,
            "neither": self.alike.1,
            "only_first": self.only.0,
            "only_second": self.only.1,
            "mcnemar_p": self.p_value,
            "groups": self.groups.iter().map(group).collect::<Vec<_>>(),
            "warnings": self.warnings(),
            "changes": self.changes.iter().map(change).collect::<Vec<_>>(),
        })
    }

    /// The page: one file, no network, readable without colours.
    pub fn html(&self) -> String {
        super::html::compared(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, sample: usize, accepted: bool) -> Graded {
        let verdict = if accepted { Verdict::Accepted } else { Verdict::WrongAnswer };
        Graded {
            question_id: id.to_owned(),
            sample,
            outcome: Outcome::Graded,
            verdict: Some(verdict.name().to_owned()),
            passed: 0,
            total: 1,
            score: None,
            failed_test: None,
            cpu_time: 0.0,
            wall_time: 0.0,
        }
    }

    #[test]
    fn runs_are_compared_problem_by_problem() {
        let first = [row("a", 0, true), row("a", 1, false), row("b", 0, false), row("only", 0, true)];
        let second = [row("a", 0, true), row("a", 1, true), row("b", 0, true), row("<b>", 0, false)];
        let conditions = (
            json!({"limits": {"cpu_time": 6, "memory": 1}, "tier": "A", "completions": {"file": "a"}}),
            json!({"limits": {"cpu_time": 2, "memory": 1}, "tier": "A", "completions": {"file": "b"}}),
        );
        let about = |id: &str, difficulty: &str| About {
            question_id: id.into(),
            difficulty: Some(difficulty.into()),
            ..About::default()
        };
        let about = [about("a", "hard"), about("b", "easy")];
        let side = |name, graded, provenance| Side { name, graded, about: &about, provenance };
        let result = compare(side("<x>", &first, &conditions.0), side("y", &second, &conditions.1))
            .expect("common problems");
        assert_eq!((result.problems, result.unpaired, result.only), (2, 2, (0, 2)));
        assert_eq!(result.alike, (1, 0));
        assert_eq!((result.rates.0.mean, result.rates.1.mean, result.difference.mean), (0.25, 1.0, 0.75));
        assert_eq!(result.p_value, 0.5);
        assert_eq!(result.changes.iter().map(|c| c.question_id.as_str()).collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(result.warnings(), ["`limits.cpu_time` differs: 6 and 2"]);
        assert_eq!(result.pairs, [(0.0, 1.0, 1), (0.5, 1.0, 1)]);
        let groups: Vec<(&str, f64)> =
            result.groups.iter().map(|g| (g.name.as_str(), g.difference.mean)).collect();
        assert_eq!(groups, [("easy", 1.0), ("hard", 0.5)]);
        assert!(result.html().contains("&lt;x&gt;"));
        assert_eq!(compare(side("", &first[3..], &Value::Null), side("", &second, &Value::Null)), None);
    }
}

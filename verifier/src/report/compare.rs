//! Two runs side by side, problem by problem.
//!
//! Both graded the same problems, so the difference is taken within problems: a bootstrap of the problems' differences,
//! and McNemar's exact test on samples with the same number. Problems that only one run has are counted and left out.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Value, json};

use super::html::{Page, percent};
use super::{Graded, Outcome};
use crate::metrics::{Estimate, Tried, estimate, mcnemar, paired};
use crate::verdict::Verdict;

/// What two runs say of each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Problems with a verdict in both.
    pub problems: usize,
    /// Problems with a verdict in one of them only.
    pub unpaired: usize,
    /// The mean acceptance rate over the problems of both, in each run.
    pub rates: (Estimate, Estimate),
    /// The second rate less the first, with the interval of the paired bootstrap.
    pub difference: Estimate,
    /// Samples that only the first, and only the second run accepts, paired by number.
    pub only: (usize, usize),
    /// The chance of a split at least as uneven if neither were better (McNemar, exact, two-sided).
    pub p_value: f64,
    /// Problems whose rates differ, the largest change first.
    pub changes: Vec<Change>,
    /// What of the conditions differs: rates may differ for that reason.
    pub warnings: Vec<String>,
}

/// A problem that went differently.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The problem.
    pub question_id: String,
    /// Accepted and graded samples in the first and the second run.
    pub tried: (Tried, Tried),
}

impl Change {
    fn by(&self) -> f64 {
        rate(self.tried.1) - rate(self.tried.0)
    }
}

fn rate(tried: Tried) -> f64 {
    tried.accepted as f64 / tried.samples.max(1) as f64
}

/// Compares two runs' rows and conditions; `None` where they share no problem with verdicts.
pub fn compare(first: (&[Graded], &Value), second: (&[Graded], &Value)) -> Option<Comparison> {
    let (a, b) = (by_problem(first.0), by_problem(second.0));
    let both: Vec<Change> = a
        .iter()
        .filter_map(|(id, rows)| {
            let tried = (count(rows), count(b.get(id)?));
            Some(Change { question_id: (*id).to_owned(), tried })
        })
        .collect();
    let rates = |side: fn(&Change) -> Tried| estimate(&both.iter().map(side).collect::<Vec<Tried>>());
    let differences: Vec<f64> = both.iter().map(Change::by).collect();
    let mut only = (0, 0);
    for (id, rows) in &a {
        for (number, accepted) in rows {
            match (accepted, b.get(id).and_then(|rows| rows.get(number))) {
                (true, Some(false)) => only.0 += 1,
                (false, Some(true)) => only.1 += 1,
                _ => {}
            }
        }
    }
    let mut changes: Vec<Change> = both.iter().filter(|change| change.by() != 0.0).cloned().collect();
    changes.sort_by(|x, y| y.by().abs().total_cmp(&x.by().abs()).then(x.question_id.cmp(&y.question_id)));
    Some(Comparison {
        problems: both.len(),
        unpaired: a.len() + b.len() - 2 * both.len(),
        rates: (rates(|change| change.tried.0)?, rates(|change| change.tried.1)?),
        difference: paired(&differences)?,
        only,
        p_value: mcnemar(only.0, only.1),
        changes,
        warnings: warnings(first.1, second.1),
    })
}

/// Verdicts by problem and sample.
fn by_problem(rows: &[Graded]) -> BTreeMap<&str, BTreeMap<usize, bool>> {
    let mut problems: BTreeMap<&str, BTreeMap<usize, bool>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.outcome == Outcome::Graded) {
        let accepted = row.verdict.as_deref() == Some(Verdict::Accepted.name());
        problems.entry(&row.question_id).or_default().insert(row.sample, accepted);
    }
    problems
}

fn count(rows: &BTreeMap<usize, bool>) -> Tried {
    Tried { samples: rows.len(), accepted: rows.values().filter(|accepted| **accepted).count() }
}

/// The conditions that differ, but for the completions: those are what is compared.
fn warnings(first: &Value, second: &Value) -> Vec<String> {
    let keys = |value: &Value| {
        value.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect::<Vec<_>>()
    };
    let mut all = [keys(first), keys(second)].concat();
    all.sort();
    all.dedup();
    all.retain(|key| key != "completions" && key != "shard" && first.get(key) != second.get(key));
    let text = |value: &Value, key: &str| {
        let mut text = value.get(key).unwrap_or(&Value::Null).to_string();
        text.truncate(text.floor_char_boundary(120));
        text
    };
    all.iter().map(|key| format!("`{key}` differs: {} and {}", text(first, key), text(second, key))).collect()
}

impl Comparison {
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
        json!({
            "problems": self.problems,
            "unpaired_problems": self.unpaired,
            "first": { "pass@1": self.rates.0.mean, "interval_95": [self.rates.0.interval.0, self.rates.0.interval.1] },
            "second": { "pass@1": self.rates.1.mean, "interval_95": [self.rates.1.interval.0, self.rates.1.interval.1] },
            "difference": self.difference.mean,
            "difference_interval_95": [self.difference.interval.0, self.difference.interval.1],
            "only_first": self.only.0,
            "only_second": self.only.1,
            "mcnemar_p": self.p_value,
            "warnings": self.warnings,
            "changes": self.changes.iter().map(change).collect::<Vec<_>>(),
        })
    }

    /// The page: one file, no network, readable without colours.
    pub fn html(&self, names: (&str, &str)) -> String {
        let mut page = Page::begin("assay compare", &self.headline());
        page.paragraph(&format!(
            "First: {}. Second: {}. {} problems in both, {} in one only.",
            names.0, names.1, self.problems, self.unpaired
        ));
        for warning in &self.warnings {
            page.warning(warning);
        }
        page.heading("Rates");
        page.table(&["run", "pass@1", "from", "to"]);
        for (name, e) in [("first", &self.rates.0), ("second", &self.rates.1)] {
            page.row(name, &[percent(e.mean), percent(e.interval.0), percent(e.interval.1)], e.mean);
        }
        page.add("</table>");
        page.heading("Samples that only one run accepts");
        page.table(&["", "samples"]);
        let all = (self.only.0 + self.only.1).max(1) as f64;
        page.row("only the first", &[self.only.0.to_string()], self.only.0 as f64 / all);
        page.row("only the second", &[self.only.1.to_string()], self.only.1 as f64 / all);
        page.add("</table>");
        page.heading("Problems that went differently");
        page.table(&["problem", "first", "second", "change"]);
        for change in &self.changes {
            let of = |tried: Tried| format!("{} of {}", tried.accepted, tried.samples);
            let mut by = String::new();
            let _ = write!(by, "{:+.0} %", 100.0 * change.by());
            page.row(&change.question_id, &[of(change.tried.0), of(change.tried.1), by], change.by().abs());
        }
        page.add("</table>");
        page.end()
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
            failed_test: None,
            cpu_time: 0.0,
            wall_time: 0.0,
        }
    }

    #[test]
    fn runs_are_compared_problem_by_problem() {
        let first = [row("a", 0, true), row("a", 1, false), row("b", 0, false), row("only", 0, true)];
        let second = [row("a", 0, true), row("a", 1, true), row("b", 0, true), row("<b>", 0, false)];
        let conditions = (json!({"tier": "A", "completions": 1}), json!({"tier": "B", "completions": 2}));
        let result = compare((&first, &conditions.0), (&second, &conditions.1)).expect("common problems");
        assert_eq!((result.problems, result.unpaired, result.only), (2, 2, (0, 2)));
        assert_eq!((result.rates.0.mean, result.rates.1.mean, result.difference.mean), (0.25, 1.0, 0.75));
        assert_eq!(result.p_value, 0.5);
        assert_eq!(result.changes.iter().map(|c| c.question_id.as_str()).collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(result.warnings, ["`tier` differs: \"A\" and \"B\""]);
        assert!(result.html(("<x>", "y")).contains("&lt;x&gt;"));
        assert_eq!(compare((&first[3..], &Value::Null), (&second, &Value::Null)), None);
    }
}

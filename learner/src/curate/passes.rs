//! Filters by the policy's own pass rate, from a `graded.jsonl` of `assay grade`.
//!
//! 1.0 drops prompts that the policy solves in more than 6 of 16 tries before the stages of 24K and 32K, and from the
//! second epoch of code those that it solved in every try. Samples without a verdict count as not tried. What was
//! filtered may come back in part (Nemotron-Cascade: 10 % of the hard, 1 % of the easy).

use std::collections::HashMap;
use std::path::Path;

use super::{Files, Sieved, Why, each_line, lot, prompt_hash, sieve};
use crate::data::DataError;
use crate::progress::Progress;

/// Which pass rates stay.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// Rates above it are easy.
    pub most: f64,
    /// Rates below it are hard.
    pub least: f64,
    /// The part of the easy that stays all the same.
    pub readmit_easy: f64,
    /// The part of the hard that does.
    pub readmit_hard: f64,
    /// Whether rows of which nothing was graded stay; if not, the first one is an error.
    pub keep_unknown: bool,
}

/// Tries and successes by problem.
pub type Rates = HashMap<String, (u32, u32)>;

/// Reads how often each problem was tried and solved.
pub fn rates(graded: &Path, progress: &Progress) -> Result<Rates, DataError> {
    let mut rates = Rates::new();
    each_line(graded, progress, |line| {
        let text = |name: &str| line.value.get(name).and_then(serde_json::Value::as_str);
        let (Some(id), Some(outcome)) = (text("question_id"), text("outcome")) else {
            return Err(DataError::Line {
                path: graded.to_owned(),
                line: line.number,
                what: "no \"question_id\" and \"outcome\": expected graded.jsonl of `assay grade`".to_owned(),
            });
        };
        if outcome == "graded" {
            let (tried, solved) = rates.entry(id.to_owned()).or_default();
            *tried += 1;
            *solved += u32::from(text("verdict") == Some("accepted"));
        }
        Ok(())
    })?;
    Ok(rates)
}

/// Leaves out what is too easy or too hard.
pub fn filter(
    files: &Files,
    rates: &Rates,
    rules: &Rules,
    seed: u64,
    progress: &Progress,
) -> Result<Sieved, DataError> {
    sieve(files, progress, |line| {
        let id = line.id();
        let Some((tried, solved)) = rates.get(&id).copied() else {
            return match rules.keep_unknown {
                true => Ok(None),
                false => Err(format!("nothing of problem {id:?} was graded; --keep-unknown keeps such rows")),
            };
        };
        let rate = f64::from(solved) / f64::from(tried);
        let (reason, readmit) = match rate {
            rate if rate > rules.most => ("too easy", rules.readmit_easy),
            rate if rate < rules.least => ("too hard", rules.readmit_hard),
            _ => return Ok(None),
        };
        let back = lot(seed, reason, &prompt_hash(&id)) < readmit;
        Ok((!back).then(|| Why { reason: reason.to_owned(), detail: format!("{solved} of {tried}") }))
    })
}

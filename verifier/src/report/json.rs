//! `report.json`, and the lines and tables printed at the end.

use serde_json::{Map, Value, json};

use super::histogram::Histogram;
use super::known_fault;
use super::summary::{Group, Row, Summary};
use crate::metrics::{DRAWS, Tried, estimate, sampling_error};
use crate::window::Window;

/// What a report says beside its counts.
#[derive(Debug, Clone, Copy)]
pub struct Conditions<'a> {
    /// What [`crate::provenance::record`] says, with `window` and `shard`.
    pub provenance: &'a Value,
    /// Which problems were asked.
    pub window: &'a Window,
    /// Seconds from start to end.
    pub wall_seconds: f64,
    /// What else a reader must know, a line each.
    pub notes: &'a [String],
}

/// The value of `report.json`.
pub fn json(summary: &Summary, conditions: &Conditions<'_>) -> Value {
    let estimate = summary.estimate();
    let curve = summary.curve();
    let k_of = |value: fn(&crate::metrics::CurvePoint) -> Value| {
        curve.iter().map(|point| (point.k.to_string(), value(point))).collect::<Map<_, _>>()
    };
    let faults: Vec<Value> = summary
        .problems()
        .iter()
        .filter_map(|row| {
            let id = &row.about.question_id;
            Some(json!({ "question_id": id, "fault": known_fault(id)? }))
        })
        .collect();
    json!({
        "problems": summary.problems().len(),
        "samples": summary.samples(),
        "graded": summary.graded(),
        "unsupported": summary.unsupported,
        "infra_errors": summary.infra_errors,
        "warnings": warnings(summary, conditions),
        "pass@1": estimate.map(|e| e.mean),
        "standard_error": estimate.map(|e| e.standard_error),
        "standard_error_of_sampling": sampling_error(&summary.counts()),
        "interval_95": estimate.map(|e| [e.interval.0, e.interval.1]),
        "mean_score": summary.mean_score(),
        "samples_per_problem": summary.samples_per_problem().map_or(0, |(fewest, _)| fewest),
        "pass@k_unbiased": k_of(|point| json!(point.unbiased)),
        "pass@k_unbiased_interval_95": k_of(|point| json!([point.interval.0, point.interval.1])),
        format!("pass@k_{DRAWS}_resamples"): k_of(|point| json!(point.resampled)),
        "pass@1_without_known_faults": summary.without_faults().map(|e| e.mean),
        "known_faults": faults,
        "verdicts": summary.verdicts().into_iter().map(|(v, n)| (v.name().to_owned(), json!(n))).collect::<Map<_, _>>(),
        "by_difficulty": groups(summary.by_difficulty()),
        "by_platform": groups(summary.by_platform()),
        "by_month": groups(summary.by_month()),
        "by_gold": groups(summary.by_gold()),
        "proofs": summary.proofs,
        "extractions": summary.extractions,
        "test_cpu_seconds": histogram(&summary.test_times),
        "test_memory_bytes": histogram(&summary.test_memory),
        "solve_rates": summary.tried().map(solve_rate).collect::<Vec<_>>(),
        "cpu_seconds": summary.cpu_seconds,
        "wall_seconds": conditions.wall_seconds,
        "provenance": conditions.provenance,
    })
}

fn groups(groups: Vec<Group>) -> Value {
    let value = |group: Group| {
        let estimate = group.estimate();
        json!({
            "name": group.name,
            "problems": group.tried.len(),
            "samples": group.samples(),
            "pass@1": estimate.map(|e| e.mean),
            "standard_error": estimate.map(|e| e.standard_error),
            "interval_95": estimate.map(|e| [e.interval.0, e.interval.1]),
        })
    };
    groups.into_iter().map(value).collect()
}

/// Upper edges and counts; the last count is of what is above all edges.
fn histogram(histogram: &Histogram) -> Value {
    json!({
        "edges": histogram.edges(),
        "counts": histogram.counts(),
        "median": histogram.quantile(0.5),
        "p99": histogram.quantile(0.99),
        "max": histogram.largest(),
    })
}

fn solve_rate(row: &Row) -> Value {
    json!({
        "question_id": row.about.question_id,
        "samples": row.tried.samples,
        "accepted": row.tried.accepted,
        "rate": row.rate(),
    })
}

/// What a reader must know before believing the rates.
pub fn warnings(summary: &Summary, conditions: &Conditions<'_>) -> Vec<String> {
    let mut warnings = conditions.notes.to_vec();
    warnings.extend(conditions.window.warning(summary.problems().len()));
    if summary.infra_errors > 0 {
        warnings.push(format!(
            "{} of {} samples have no verdict because the sandbox failed; they are left out of every rate; \
             grade them again with --resume",
            summary.infra_errors,
            summary.samples()
        ));
    }
    if let Some(first) = summary.first_unsupported() {
        warnings.push(format!(
            "{} samples belong to problems that cannot be judged (first: {first}); they are left out of every rate",
            summary.unsupported
        ));
    }
    if summary.in_process > 0 {
        warnings.push(format!(
            "{} samples were tested in their own process (trust: in_process): a program that cheats can pass",
            summary.in_process
        ));
    }
    if let Some((fewest, most)) = summary.samples_per_problem()
        && fewest != most
    {
        warnings.push(format!(
            "problems have between {fewest} and {most} graded samples; pass@k is given up to k = {fewest}"
        ));
    }
    warnings
}

/// The table printed at the end: label, problems, samples, pass@1.
pub fn table(summary: &Summary) -> Vec<Vec<String>> {
    let row = |label: &str, counts: &[Tried]| {
        let samples: usize = counts.iter().map(|tried| tried.samples).sum();
        let rate = estimate(counts).map_or("-".to_owned(), |e| percent(e.mean));
        vec![label.to_owned(), counts.len().to_string(), samples.to_string(), rate]
    };
    let mut rows = vec![row("all", &summary.counts())];
    let groups = [summary.by_difficulty(), summary.by_platform(), summary.by_gold()].concat();
    for group in groups.iter().filter(|group| group.name != "unknown") {
        rows.push(row(&group.name, &group.tried));
    }
    rows
}

/// One line with the headline, for people.
pub fn headline(summary: &Summary) -> String {
    let Some(e) = summary.estimate() else { return "no sample has a verdict".to_owned() };
    let mut text = format!(
        "pass@1 {} (95 % interval {:.2} to {:.2}, standard error {:.2})",
        percent(e.mean),
        100.0 * e.interval.0,
        100.0 * e.interval.1,
        100.0 * e.standard_error
    );
    for point in summary.curve().into_iter().skip(1) {
        text.push_str(&format!(", pass@{} {}", point.k, percent(point.unbiased)));
    }
    text
}

pub(super) fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

//! `report.html`: one run.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::charts::{self, Series};
use super::page::Page;
use super::samples;
use crate::metrics::{CurvePoint, DRAWS, Estimate, Tried, sampling_error};
use crate::report::histogram::Histogram;
use crate::report::json::{Conditions, headline, percent, warnings};
use crate::report::known_fault;
use crate::report::summary::{Group, Summary, difficulty_rank};

/// Problems in the table of the hardest.
const HARDEST: usize = 25;

/// The page.
pub fn html(summary: &Summary, conditions: &Conditions<'_>) -> String {
    let file = |key: &str| conditions.provenance[key]["file"].as_str().unwrap_or_default();
    let title = match file("completions") {
        "" => "assay grade".to_owned(),
        completions => format!("{completions} - assay grade"),
    };
    Page::document(&title, |page| {
        charts::patterns(page);
        head(page, summary, conditions, (file("completions"), file("problems")));
        page.inside("main", &[], |page| {
            for warning in warnings(summary, conditions) {
                page.say("p", "warning", &warning);
            }
            pass_at_k(page, &summary.curve());
            cells(page, summary);
            groups(page, summary);
            verdicts(page, summary);
            resources(page, summary, conditions.provenance);
            solve_rates(page, summary);
            hardest(page, summary);
            faults(page, summary);
            samples::failing(page, summary);
            provenance(page, conditions.provenance);
        });
    })
}

/// Who, what, and the one figure.
fn head(
    page: &mut Page,
    summary: &Summary,
    conditions: &Conditions<'_>,
    (completions, problems): (&str, &str),
) {
    page.inside("header", &[], |page| {
        page.say("p", "kind", "assay grade");
        page.say("h1", "", if completions.is_empty() { "A graded run" } else { completions });
        let name = conditions.window.name.as_deref().map_or(String::new(), |name| format!(", {name}"));
        let profile = conditions.provenance["profile"].as_str().unwrap_or("judge");
        page.say("p", "note", &format!("on {problems}{name}, profile {profile}"));
        let Some(e) = summary.estimate() else {
            page.say("p", "", &headline(summary));
            return;
        };
        page.inside("div", &[("class", "figures".into())], |page| {
            page.inside("div", &[("class", "main".into())], |page| {
                let (fewest, most) = summary.samples_per_problem().unwrap_or_default();
                let name = if most == 1 {
                    "pass@1".to_owned()
                } else if fewest == most {
                    format!("pass@1 (avg@{fewest})")
                } else {
                    format!("pass@1 (mean over {fewest} to {most} samples)")
                };
                page.say("span", "label", &name);
                page.say("strong", "", &percent(e.mean));
                charts::interval(page, e.mean, e.interval);
                let (low, high) = (percent(e.interval.0), percent(e.interval.1));
                page.say("span", "note", &format!("95 % interval {low} to {high}, bootstrap by problem"));
            });
            let mut figure = |label: &str, value: String, note: &str| {
                page.inside("div", &[], |page| {
                    page.say("span", "label", label);
                    page.say("strong", "", &value);
                    page.say("span", "note", note);
                });
            };
            figure("standard error", points(e.standard_error), "problems taken as drawn at random");
            if let Some(error) = sampling_error(&summary.counts()) {
                figure("of sampling alone", points(error), "the problems as they are");
            }
            let samples = format!("{} samples with a verdict", summary.graded());
            figure("problems", summary.tried().count().to_string(), &samples);
            figure(
                "CPU time",
                span(summary.cpu_seconds),
                &format!("{} of wall time", span(conditions.wall_seconds)),
            );
        });
    });
}

fn pass_at_k(page: &mut Page, curve: &[CurvePoint]) {
    if curve.len() < 2 {
        return;
    }
    page.section("pass-at-k", "pass@k", |page| {
        page.inside("div", &[("class", "pair".into())], |page| {
            page.inside("div", &[], |page| {
                let points = curve.iter().map(|p| (p.k, p.unbiased, p.interval.0, p.interval.1)).collect();
                charts::curve(page, &[Series { name: "pass@k", points }]);
                page.say("p", "note", "The band is the 95 % interval of a bootstrap by problem.");
            });
            let drawn = format!("mean of {DRAWS} draws");
            page.table(&["k", "unbiased", "95 % interval", &drawn], |page| {
                for point in curve {
                    let (low, high) = (percent(point.interval.0), percent(point.interval.1));
                    row(
                        page,
                        &point.k.to_string(),
                        &[percent(point.unbiased), format!("{low} to {high}"), percent(point.resampled)],
                    );
                }
            });
        });
    });
}

/// Difficulty by platform by month.
fn cells(page: &mut Page, summary: &Summary) {
    let known = |name: &Option<String>| name.is_some();
    let dated = summary.tried().any(|row| row.about.month().is_some());
    let split = summary.tried().any(|row| known(&row.about.difficulty) || known(&row.about.platform));
    if !dated || !split {
        return;
    }
    let mut cells: BTreeMap<(&str, Column<'_>), Vec<Tried>> = BTreeMap::new();
    for row in summary.tried() {
        let month = row.about.month().unwrap_or("unknown");
        let platform = row.about.platform.as_deref().unwrap_or("unknown");
        let difficulty = row.about.difficulty.as_deref().unwrap_or("unknown");
        for month in [month, ALL] {
            for column in [(platform, difficulty_rank(difficulty), difficulty), (ALL, 0, ALL)] {
                cells.entry((month, column)).or_default().push(row.tried);
            }
        }
    }
    let months: BTreeSet<&str> = cells.keys().map(|key| key.0).collect();
    let columns: BTreeSet<Column<'_>> = cells.keys().map(|key| key.1).collect();
    page.section("cells", "Difficulty, platform and month", |page| {
        page.inside("div", &[("class", "scroll".into())], |page| {
            page.inside("table", &[("class", "heat".into())], |page| {
                page.inside("thead", &[], |page| heat_head(page, &columns));
                page.inside("tbody", &[], |page| {
                    for month in &months {
                        page.inside("tr", &[], |page| {
                            page.say("th", "", if *month == ALL { "all" } else { month });
                            for column in &columns {
                                heat_cell(page, cells.get(&(*month, *column)));
                            }
                        });
                    }
                });
            });
        });
        page.say("p", "note", "pass@1 and the number of problems; the stronger the shade, the higher.");
    });
}

/// Platform, rank of the difficulty, difficulty.
type Column<'a> = (&'a str, usize, &'a str);

/// Behind every name there is.
const ALL: &str = "\u{10ffff}";

fn heat_head(page: &mut Page, columns: &BTreeSet<Column<'_>>) {
    page.inside("tr", &[], |page| {
        page.say("th", "", "");
        let mut platforms: BTreeMap<&str, usize> = BTreeMap::new();
        for (platform, _, _) in columns {
            *platforms.entry(platform).or_default() += 1;
        }
        for (platform, width) in platforms {
            page.inside("th", &[("colspan", (width as f64).into()), ("class", "c".into())], |page| {
                page.text(if platform == ALL { "" } else { platform });
            });
        }
    });
    page.inside("tr", &[], |page| {
        page.say("th", "", "month");
        for (_, _, difficulty) in columns {
            page.say("th", "c", if *difficulty == ALL { "all" } else { difficulty });
        }
    });
}

fn heat_cell(page: &mut Page, tried: Option<&Vec<Tried>>) {
    let Some(tried) = tried else {
        page.say("td", "c none", "-");
        return;
    };
    let rates = tried.iter().map(|tried| tried.accepted as f64 / tried.samples.max(1) as f64);
    let rate = rates.sum::<f64>() / tried.len() as f64;
    let class = format!("c heat{}", (10.0 * rate).round() as usize);
    page.inside("td", &[("class", (&class).into())], |page| {
        page.text(&format!("{:.0} %", 100.0 * rate));
        page.say("small", "", &tried.len().to_string());
    });
}

fn groups(page: &mut Page, summary: &Summary) {
    let all = [
        ("By difficulty", summary.by_difficulty()),
        ("By platform", summary.by_platform()),
        ("By month", summary.by_month()),
        ("By kind of the right answer", summary.by_gold()),
    ];
    let told = |groups: &Vec<Group>| groups.iter().any(|group| group.name != "unknown");
    if !all.iter().any(|(_, groups)| told(groups)) {
        return;
    }
    page.section("groups", "By group", |page| {
        page.inside("div", &[("class", "pair".into())], |page| {
            for (title, groups) in all.iter().filter(|(_, groups)| told(groups)) {
                page.table(&[title, "problems", "pass@1", "with 95 % interval"], |page| {
                    for group in groups {
                        let Some(e) = group.estimate() else { continue };
                        rated(page, &group.name, group.tried.len(), &e);
                    }
                });
            }
        });
    });
}

fn rated(page: &mut Page, name: &str, problems: usize, e: &Estimate) {
    page.inside("tr", &[], |page| {
        page.say("td", "", name);
        page.say("td", "n", &problems.to_string());
        page.say("td", "n", &percent(e.mean));
        page.inside("td", &[("class", "n".into())], |page| charts::interval(page, e.mean, e.interval));
    });
}

fn verdicts(page: &mut Page, summary: &Summary) {
    let all = summary.samples().max(1);
    let mut counts: Vec<(String, usize, usize)> = summary
        .verdicts()
        .into_iter()
        .enumerate()
        .map(|(pattern, (verdict, count))| (verdict.name().replace('_', " "), count, pattern))
        .collect();
    counts.push(("no verdict: unsupported problem".to_owned(), summary.unsupported, 9));
    counts.push(("no verdict: our failure".to_owned(), summary.infra_errors, 9));
    page.section("verdicts", "Verdicts", |page| {
        page.inside("div", &[("class", "pair".into())], |page| {
            shares(page, "verdict", &counts, all);
            let named = |counts: &BTreeMap<String, usize>, pattern| {
                counts.iter().map(|(name, n)| (name.replace('_', " "), *n, pattern)).collect::<Vec<_>>()
            };
            if !summary.proofs.is_empty() {
                shares(
                    page,
                    "accepted as equal by",
                    &named(&summary.proofs, charts::PLAIN),
                    summary.accepted().max(1),
                );
            }
            shares(page, "extraction", &named(&summary.extractions, charts::PLAIN), all);
        });
    });
}

fn shares(page: &mut Page, title: &str, counts: &[(String, usize, usize)], all: usize) {
    if counts.iter().all(|(_, count, _)| *count == 0) {
        return;
    }
    page.table(&[title, "samples", "share", ""], |page| {
        for (name, count, pattern) in counts.iter().filter(|(_, count, _)| *count > 0) {
            let share = *count as f64 / all as f64;
            page.inside("tr", &[], |page| {
                page.say("td", "", name);
                page.say("td", "n", &count.to_string());
                page.say("td", "n", &format!("{:.1} %", 100.0 * share));
                page.inside("td", &[("class", "n".into())], |page| charts::bar(page, share, *pattern));
            });
        }
    });
}

fn resources(page: &mut Page, summary: &Summary, provenance: &Value) {
    if summary.test_times.total() == 0 {
        return;
    }
    page.section("resources", "Time and memory of the tests", |page| {
        page.inside("div", &[("class", "pair".into())], |page| {
            page.inside("div", &[], |page| {
                charts::histogram(page, &summary.test_times, "tests by their CPU time", |edge| {
                    let decades = [(0.001, "1 ms"), (0.01, "10 ms"), (0.1, "100 ms"), (1.0, "1 s"), (10.0, "10 s")];
                    decades.iter().find(|(at, _)| *at == edge).map(|(_, name)| (*name).to_owned())
                });
                let limit = provenance["limits"]["cpu_time"].as_f64().map(|s| format!(" Limit {}.", span(s)));
                let text = quantiles("CPU time", &summary.test_times, span) + &limit.unwrap_or_default();
                page.say("p", "note", &text);
            });
            page.inside("div", &[], |page| {
                charts::histogram(page, &summary.test_memory, "tests by their memory", |edge| {
                    let power = (edge / 1_048_576.0).log2();
                    (power % 2.0 == 0.0).then(|| bytes(edge))
                });
                let limit = provenance["limits"]["memory"].as_f64().map(|b| format!(" Limit {}.", bytes(b)));
                let text = quantiles("Memory", &summary.test_memory, bytes) + &limit.unwrap_or_default();
                page.say("p", "note", &text);
            });
        });
        let text = format!(
            "{} tests that ran to their end, of accepted samples and others; a test stopped at a limit counts where the \
             sandbox could still measure it.",
            summary.test_times.total()
        );
        page.say("p", "note", &text);
    });
}

fn quantiles(what: &str, values: &Histogram, show: impl Fn(f64) -> String) -> String {
    let at = |share| values.quantile(share).map_or_else(String::new, &show);
    format!("{what}: half up to {}, 99 % up to {}, at most {}.", at(0.5), at(0.99), show(values.largest()))
}

/// Problems by how many of their samples are right: exactly where those are few, else in tenths.
fn solve_rates(page: &mut Page, summary: &Summary) {
    let Some((fewest, most)) = summary.samples_per_problem().filter(|(_, most)| *most > 1) else { return };
    let solved = |n: usize| summary.tried().filter(|row| row.tried.accepted == n).count() as u64;
    let rows: Vec<(String, u64)> = if fewest == most && most <= 16 {
        (0..=most).map(|n| (format!("{n} of {most} samples"), solved(n))).collect()
    } else {
        let name = |bin: usize| match bin {
            0 => "no sample".to_owned(),
            1 => "up to 10 %".to_owned(),
            10 => "90 % and more, not all".to_owned(),
            11 => "every sample".to_owned(),
            bin => format!("{} to {} %", 10 * (bin - 1), 10 * bin),
        };
        summary.solve_rates().counts().iter().enumerate().map(|(bin, count)| (name(bin), *count)).collect()
    };
    let all = rows.iter().map(|(_, count)| count).sum::<u64>().max(1);
    page.section("solve-rates", "Solve rates", |page| {
        page.table(&["solved in", "problems", "share", ""], |page| {
            for (name, count) in rows {
                let share = count as f64 / all as f64;
                page.inside("tr", &[], |page| {
                    page.say("td", "", &name);
                    page.say("td", "n", &count.to_string());
                    page.say("td", "n", &format!("{:.1} %", 100.0 * share));
                    page.inside("td", &[("class", "n".into())], |page| {
                        charts::bar(page, share, charts::PLAIN)
                    });
                });
            }
        });
    });
}

fn hardest(page: &mut Page, summary: &Summary) {
    let rows = summary.hardest();
    if rows.is_empty() {
        return;
    }
    page.section("hardest", "Hardest problems", |page| {
        page.table(&["problem", "difficulty", "accepted", "tests passed", "usual failure"], |page| {
            for problem in rows.iter().take(HARDEST) {
                let tried = problem.tried;
                row(
                    page,
                    &problem.about.question_id,
                    &[
                        problem.about.difficulty.clone().unwrap_or_default(),
                        format!("{} of {}", tried.accepted, tried.samples),
                        format!("{:.0} %", 100.0 * problem.passed()),
                        problem
                            .usual_failure()
                            .map_or(String::new(), |verdict| verdict.name().replace('_', " ")),
                    ],
                );
            }
        });
        if rows.len() > HARDEST {
            let text = format!("{HARDEST} of {} that some sample failed; report.json has all.", rows.len());
            page.say("p", "note", &text);
        }
    });
}

fn faults(page: &mut Page, summary: &Summary) {
    let Some(without) = summary.without_faults() else { return };
    page.section("faults", "Problems known to be at fault", |page| {
        let text = format!(
            "LiveCodeBench's errata name these. Their verdicts stand and count; without them pass@1 is {} (95 % interval \
             {} to {}).",
            percent(without.mean),
            percent(without.interval.0),
            percent(without.interval.1)
        );
        page.say("p", "", &text);
        page.table(&["problem", "accepted", "fault"], |page| {
            for problem in summary.tried() {
                let id = &problem.about.question_id;
                let Some(fault) = known_fault(id) else { continue };
                let tried = problem.tried;
                row(page, id, &[format!("{} of {}", tried.accepted, tried.samples), fault.to_owned()]);
            }
        });
    });
}

/// The record as a list of names and values.
pub(super) fn provenance(page: &mut Page, provenance: &Value) {
    page.section("provenance", "Provenance", |page| {
        page.inside("dl", &[], |page| {
            for (key, value) in flat(provenance) {
                page.say("dt", "", &key);
                page.say("dd", "", &value);
            }
        });
    });
}

/// Every leaf with its path.
fn flat(value: &Value) -> Vec<(String, String)> {
    match value {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(key, value)| {
                flat(value).into_iter().map(move |(path, text)| {
                    (if path.is_empty() { key.clone() } else { format!("{key}.{path}") }, text)
                })
            })
            .collect(),
        Value::Null => Vec::new(),
        Value::String(text) => vec![(String::new(), text.clone())],
        other => vec![(String::new(), other.to_string())],
    }
}

/// A row of text and numbers.
pub(super) fn row(page: &mut Page, name: &str, cells: &[String]) {
    page.inside("tr", &[], |page| {
        page.say("td", "", name);
        for cell in cells {
            page.say("td", "n", cell);
        }
    });
}

/// A share as points.
fn points(share: f64) -> String {
    format!("{:.2} points", 100.0 * share)
}

/// A time for people.
fn span(seconds: f64) -> String {
    match seconds {
        s if s < 0.9995 => format!("{} ms", super::page::short((s * 1e5).round() / 100.0)),
        s if s < 120.0 => format!("{} s", super::page::short((s * 10.0).round() / 10.0)),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

/// A size for people.
fn bytes(bytes: f64) -> String {
    match bytes / 1_048_576.0 {
        mib if mib < 1023.5 => format!("{} MiB", super::page::short((mib * 10.0).round() / 10.0)),
        mib => format!("{} GiB", super::page::short((mib / 102.4).round() / 10.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_are_for_people() {
        let spans = [(0.001, "1 ms"), (0.0123, "12.3 ms"), (6.0, "6 s"), (130.0, "2 min"), (9000.0, "2.5 h")];
        for (seconds, text) in spans {
            assert_eq!(span(seconds), text);
        }
        for (size, text) in [(1_048_576.0, "1 MiB"), (1_073_741_824.0, "1 GiB"), (1_610_612_736.0, "1.5 GiB")]
        {
            assert_eq!(bytes(size), text);
        }
    }
}

//! `compare.html`: two runs of the same problems.

use super::charts::{self, Series};
use super::graded::row;
use super::page::Page;
use crate::metrics::{CurvePoint, Tried};
use crate::report::compare::Comparison;
use crate::report::json::percent;

/// Problems listed at most of those that went differently.
const SHOWN: usize = 1000;

/// The page.
pub(in crate::report) fn html(result: &Comparison) -> String {
    Page::document("assay compare", |page| {
        charts::patterns(page);
        head(page, result);
        page.inside("main", &[], |page| {
            conditions(page, result);
            curves(page, result);
            groups(page, result);
            samples(page, result);
            solve_rates(page, result);
            changes(page, result);
        });
    })
}

fn head(page: &mut Page, result: &Comparison) {
    let d = &result.difference;
    page.inside("header", &[], |page| {
        page.say("p", "kind", "assay compare");
        page.inside("h1", &[], |page| {
            page.text(&result.names.0);
            page.text(" and ");
            page.text(&result.names.1);
        });
        let only = match result.unpaired {
            0 => String::new(),
            count => format!("; {count} that only one has are left out"),
        };
        page.say("p", "note", &format!("{} problems in both runs{only}", result.problems));
        page.inside("div", &[("class", "figures".into())], |page| {
            page.inside("div", &[("class", "main".into())], |page| {
                page.say("span", "label", "pass@1, second less first");
                page.say("strong", "", &format!("{:+.2} points", 100.0 * d.mean));
                charts::difference(page, d.mean, d.interval);
                let verdict = if d.interval.0 > 0.0 {
                    "the second is better"
                } else if d.interval.1 < 0.0 {
                    "the first is better"
                } else {
                    "no difference is shown"
                };
                let (low, high) = (100.0 * d.interval.0, 100.0 * d.interval.1);
                let text = format!(
                    "95 % interval {low:+.2} to {high:+.2}, bootstrap of the problems' differences: {verdict}"
                );
                page.say("span", "note", &text);
            });
            for (label, e) in [("first", &result.rates.0), ("second", &result.rates.1)] {
                page.inside("div", &[], |page| {
                    page.say("span", "label", label);
                    page.say("strong", "", &percent(e.mean));
                    charts::interval(page, e.mean, e.interval);
                    let text = format!("{} to {}", percent(e.interval.0), percent(e.interval.1));
                    page.say("span", "note", &text);
                });
            }
            page.inside("div", &[], |page| {
                page.say("span", "label", "McNemar");
                let p = result.p_value;
                let text = if p < 0.001 { "p < 0.001".to_owned() } else { format!("p = {p:.3}") };
                page.say("strong", "", &text);
                page.say("span", "note", "exact, two-sided");
            });
        });
    });
}

fn conditions(page: &mut Page, result: &Comparison) {
    if result.differing.is_empty() {
        return;
    }
    page.say(
        "p",
        "warning",
        "the runs were not made under the same conditions; rates may differ for that reason.",
    );
    page.table(&["condition", "first", "second"], |page| {
        for differing in &result.differing {
            row(page, &differing.key, &[differing.first.clone(), differing.second.clone()]);
        }
    });
}

fn curves(page: &mut Page, result: &Comparison) {
    let points = |curve: &[CurvePoint]| {
        curve.iter().map(|p| (p.k, p.unbiased, p.interval.0, p.interval.1)).collect::<Vec<_>>()
    };
    if result.curves.0.len() < 2 && result.curves.1.len() < 2 {
        return;
    }
    page.section("pass-at-k", "pass@k", |page| {
        page.inside("div", &[("class", "pair".into())], |page| {
            page.inside("div", &[], |page| {
                let (first, second) = (points(&result.curves.0), points(&result.curves.1));
                charts::curve(
                    page,
                    &[Series { name: "first", points: first }, Series { name: "second", points: second }],
                );
            });
            page.table(&["k", "first", "second"], |page| {
                let find = |curve: &[CurvePoint], k| {
                    let point = curve.iter().find(|point| point.k == k);
                    point.map_or_else(|| "-".to_owned(), |point| percent(point.unbiased))
                };
                let mut ks: Vec<usize> =
                    result.curves.0.iter().chain(&result.curves.1).map(|p| p.k).collect();
                ks.sort_unstable();
                ks.dedup();
                for k in ks {
                    row(page, &k.to_string(), &[find(&result.curves.0, k), find(&result.curves.1, k)]);
                }
            });
        });
    });
}

fn groups(page: &mut Page, result: &Comparison) {
    if result.groups.is_empty() {
        return;
    }
    page.section("groups", "By group", |page| {
        page.table(&["", "problems", "first", "second", "change", "95 % interval"], |page| {
            for group in &result.groups {
                let d = &group.difference;
                row(
                    page,
                    &group.name,
                    &[
                        group.problems.to_string(),
                        percent(group.rates.0),
                        percent(group.rates.1),
                        format!("{:+.2}", 100.0 * d.mean),
                        format!("{:+.2} to {:+.2}", 100.0 * d.interval.0, 100.0 * d.interval.1),
                    ],
                );
            }
        });
    });
}

fn samples(page: &mut Page, result: &Comparison) {
    page.section("samples", "Samples with the same number", |page| {
        page.table(&["", "second accepts", "second does not"], |page| {
            row(page, "first accepts", &[result.alike.0.to_string(), result.only.0.to_string()]);
            row(page, "first does not", &[result.only.1.to_string(), result.alike.1.to_string()]);
        });
        page.say(
            "p",
            "note",
            "McNemar's test asks whether the two that differ are split more unevenly than chance would. It is exact for one \
             sample a problem; samples of one problem are not independent, so for more the interval above says more.",
        );
    });
}

fn solve_rates(page: &mut Page, result: &Comparison) {
    page.section("solve-rates", "Solve rates", |page| {
        page.inside("div", &[("class", "pair".into())], |page| {
            charts::scatter(page, &result.pairs);
            page.inside("div", &[], |page| {
                let better = result.changes.iter().filter(|change| change.by() > 0.0).count();
                let worse = result.changes.len() - better;
                page.table(&["problems solved", "number"], |page| {
                    row(page, "more often by the second", &[better.to_string()]);
                    row(page, "more often by the first", &[worse.to_string()]);
                    row(page, "as often", &[(result.problems - better - worse).to_string()]);
                });
                page.say("p", "note", "A circle's area is the number of problems there; above the line the second run is better.");
            });
        });
    });
}

fn changes(page: &mut Page, result: &Comparison) {
    if result.changes.is_empty() {
        return;
    }
    page.section("changes", "Problems that went differently", |page| {
        page.table(&["problem", "first", "second", "change"], |page| {
            for change in result.changes.iter().take(SHOWN) {
                let of = |tried: Tried| format!("{} of {}", tried.accepted, tried.samples);
                let by = format!("{:+.0} %", 100.0 * change.by());
                row(page, &change.question_id, &[of(change.tried.0), of(change.tried.1), by]);
            }
        });
        if result.changes.len() > SHOWN {
            let text = format!("The first {SHOWN} of {}; --json has all.", result.changes.len());
            page.say("p", "note", &text);
        }
    });
}

//! Charts as inline SVG, sized for a phone: a wider screen shows two side by side. Every number that matters is printed
//! too, and series differ by dash and mark, bars by pattern.

use super::page::{Page, short};
use crate::report::histogram::Histogram;

/// A line of a curve: `(k, value, low, high)`.
#[derive(Debug)]
pub(super) struct Series<'a> {
    pub(super) name: &'a str,
    pub(super) points: Vec<(usize, f64, f64, f64)>,
}

const WIDTH: f64 = 440.0;
/// Where charts begin and end, inside their frame.
const LEFT: f64 = 46.0;
const RIGHT: f64 = 428.0;
const TOP: f64 = 16.0;

/// Patterns for bars, once per page: `url(#p0)` and so on; the first nine are the verdicts', in their order, the tenth is for
/// none, the last ([`PLAIN`]) for all else.
pub(super) fn patterns(page: &mut Page) {
    // What is drawn over a square of 6 by 6; the first is the plain fill.
    let drawn = [
        "",
        "M0 6L6 0",
        "M0 0L6 6",
        "M3 0V6",
        "M0 3H6",
        "M0 3H6M3 0V6",
        "M0 6L6 0M0 0L6 6",
        "M1.5 1.5h.01M4.5 4.5h.01",
        "M0 1.5H6M0 4.5H6",
        "M1.5 0V6M4.5 0V6",
        "M0 6L6 0",
    ];
    page.inside(
        "svg",
        &[
            ("class", "patterns".into()),
            ("width", 0.0.into()),
            ("height", 0.0.into()),
            ("aria-hidden", "true".into()),
        ],
        |page| {
            page.inside("defs", &[], |page| {
                for (index, path) in drawn.iter().enumerate() {
                    let (id, class) = (format!("p{index}"), format!("c{index}"));
                    page.inside(
                        "pattern",
                        &[
                            ("id", (&id).into()),
                            ("width", 6.0.into()),
                            ("height", 6.0.into()),
                            ("patternUnits", "userSpaceOnUse".into()),
                        ],
                        |page| {
                            let (w, h) = (("width", 6.0.into()), ("height", 6.0.into()));
                            page.alone("rect", &[("class", (&class).into()), w, h]);
                            if !path.is_empty() {
                                page.alone("path", &[("class", "hatch".into()), ("d", (*path).into())]);
                            }
                        },
                    );
                }
            });
        },
    );
}

/// The pattern of what is no verdict.
pub(super) const PLAIN: usize = 10;

/// A share as a bar with a pattern, for a table's cell.
pub(super) fn bar(page: &mut Page, share: f64, pattern: usize) {
    small(page, share, |page| {
        let fill = format!("url(#p{pattern})");
        let width = 158.0 * share.clamp(0.0, 1.0);
        page.alone(
            "rect",
            &[
                ("x", 1.0.into()),
                ("y", 1.0.into()),
                ("width", width.into()),
                ("height", 12.0.into()),
                ("fill", (&fill).into()),
            ],
        );
    });
}

/// A share with its interval: a bar, and a line with ends across it.
pub(super) fn interval(page: &mut Page, share: f64, interval: (f64, f64)) {
    small(page, share, |page| {
        let x = |share: f64| 1.0 + 158.0 * share.clamp(0.0, 1.0);
        let rect = |page: &mut Page, class: &str, x: f64, y: f64, width: f64, height: f64| {
            page.alone(
                "rect",
                &[
                    ("class", class.into()),
                    ("x", x.into()),
                    ("y", y.into()),
                    ("width", width.max(0.0).into()),
                    ("height", height.into()),
                ],
            );
        };
        rect(page, "fill", 1.0, 3.0, x(share) - 1.0, 8.0);
        rect(page, "mark", x(interval.0), 6.25, x(interval.1) - x(interval.0), 1.5);
        rect(page, "mark", x(interval.0) - 0.75, 3.0, 1.5, 8.0);
        rect(page, "mark", x(interval.1) - 0.75, 3.0, 1.5, 8.0);
    });
}

fn small(page: &mut Page, share: f64, content: impl FnOnce(&mut Page)) {
    let label = format!("{:.1} %", 100.0 * share);
    page.inside(
        "svg",
        &[
            ("class", "bar".into()),
            ("viewBox", "0 0 160 14".into()),
            ("role", "img".into()),
            ("aria-label", (&label).into()),
        ],
        |page| {
            let size = [("width", 159.0.into()), ("height", 13.0.into())];
            page.alone(
                "rect",
                &[&[("class", "frame".into()), ("x", 0.5.into()), ("y", 0.5.into())], &size[..]].concat(),
            );
            content(page);
        },
    );
}

/// A difference of shares and its interval on a line with zero in the middle.
pub(super) fn difference(page: &mut Page, mean: f64, interval: (f64, f64)) {
    let reach = [mean.abs(), interval.0.abs(), interval.1.abs()].into_iter().fold(0.01, f64::max) * 1.1;
    let x = |value: f64| LEFT + (RIGHT - LEFT) * (value + reach) / (2.0 * reach);
    let label = format!("a difference of {:+.2} points", 100.0 * mean);
    frame(page, 84.0, &label, |page| {
        line(page, "axis", x(-reach), 46.0, x(reach), 46.0);
        for (value, name) in [(-reach, "first better"), (0.0, "0"), (reach, "second better")] {
            line(page, "axis", x(value), 42.0, x(value), 50.0);
            let anchor = if value < 0.0 {
                "start"
            } else if value > 0.0 {
                "end"
            } else {
                "middle"
            };
            label_at(page, x(value), 74.0, anchor, name);
        }
        line(page, "zero", x(0.0), TOP, x(0.0), 58.0);
        line(page, "whisker", x(interval.0), 32.0, x(interval.1), 32.0);
        for end in [interval.0, interval.1] {
            line(page, "whisker", x(end), 27.0, x(end), 37.0);
        }
        mark(page, 0, x(mean), 32.0);
        label_at(page, x(mean), 20.0, "middle", &format!("{:+.2}", 100.0 * mean));
    });
}

/// Lines over k (each doubling as wide as the one before) with their bands.
pub(super) fn curve(page: &mut Page, series: &[Series<'_>]) {
    let points = || series.iter().flat_map(|series| &series.points);
    let tenth = |value: f64| (value * 10.0).clamp(0.0, 10.0);
    let low = points().map(|p| tenth(p.2).floor()).fold(10.0, f64::min);
    let high = points().map(|p| tenth(p.3).ceil()).fold(0.0, f64::max).max(low + 1.0);
    let last = points().map(|p| p.0).max().unwrap_or(1).max(2);
    const BOTTOM: f64 = 226.0;
    let x = |k: usize| LEFT + (RIGHT - 12.0 - LEFT) * (k as f64).log2() / (last as f64).log2();
    let y = |value: f64| BOTTOM - (BOTTOM - TOP) * (10.0 * value - low) / (high - low);
    frame(page, 264.0, "pass@k by k", |page| {
        let step = if high - low > 5.0 { 2 } else { 1 };
        for tenth in (low as usize..=high as usize).step_by(step) {
            let at = y(tenth as f64 / 10.0);
            line(page, "grid", LEFT, at, RIGHT, at);
            label_at(page, LEFT - 6.0, at + 4.0, "end", &format!("{} %", 10 * tenth));
        }
        let mut free = f64::MIN;
        let ks: std::collections::BTreeSet<usize> = points().map(|p| p.0).collect();
        for k in ks.iter().filter(|k| k.is_power_of_two()).chain([&last]) {
            if x(*k) > free {
                label_at(page, x(*k), BOTTOM + 17.0, "middle", &k.to_string());
                free = x(*k) + 26.0;
            }
        }
        label_at(page, (LEFT + RIGHT) / 2.0, BOTTOM + 34.0, "middle", "k");
        for (index, series) in series.iter().enumerate() {
            let upper = series.points.iter().map(|p| (x(p.0), y(p.3)));
            let lower = series.points.iter().rev().map(|p| (x(p.0), y(p.2)));
            let band = corners(upper.chain(lower));
            page.alone("polygon", &[("class", class("band", index)), ("points", (&band).into())]);
        }
        for (index, series) in series.iter().enumerate() {
            let points = corners(series.points.iter().map(|p| (x(p.0), y(p.1))));
            page.alone("polyline", &[("class", class("line", index)), ("points", (&points).into())]);
            for point in &series.points {
                mark(page, index, x(point.0), y(point.1));
            }
        }
    });
    if series.len() > 1 {
        page.inside("p", &[("class", "legend".into())], |page| {
            for (index, series) in series.iter().enumerate() {
                page.inside("span", &[], |page| {
                    page.inside("svg", &[("class", "key".into()), ("viewBox", "0 0 34 12".into())], |page| {
                        page.alone(
                            "polyline",
                            &[("class", class("line", index)), ("points", "1,6 33,6".into())],
                        );
                        mark(page, index, 17.0, 6.0);
                    });
                    page.text(series.name);
                });
            }
        });
    }
}

/// Counts by bin. `edge` says what stands at an edge, where something should.
pub(super) fn histogram(
    page: &mut Page,
    values: &Histogram,
    label: &str,
    edge: impl Fn(f64) -> Option<String>,
) {
    const BOTTOM: f64 = 190.0;
    let counts = values.counts();
    let first = counts.iter().position(|count| *count > 0).unwrap_or(0);
    let last = counts.iter().rposition(|count| *count > 0).unwrap_or(0);
    let (shown, most) = (&counts[first..=last], counts.iter().max().copied().unwrap_or(0).max(1));
    let width = ((RIGHT - LEFT) / shown.len() as f64).min(60.0);
    frame(page, 216.0, label, |page| {
        line(page, "axis", LEFT, BOTTOM, RIGHT, BOTTOM);
        for (index, count) in shown.iter().enumerate() {
            let (x, height) =
                (LEFT + width * index as f64, (BOTTOM - TOP - 16.0) * *count as f64 / most as f64);
            if *count > 0 {
                page.alone(
                    "rect",
                    &[
                        ("x", (x + 1.0).into()),
                        ("y", (BOTTOM - height.max(1.0)).into()),
                        ("width", (width - 2.0).into()),
                        ("height", height.max(1.0).into()),
                        ("fill", "url(#p10)".into()),
                    ],
                );
                label_at(page, x + width / 2.0, BOTTOM - height.max(1.0) - 4.0, "middle", &brief(*count));
            }
            let Some(upper) = values.edges().get(first + index) else { continue };
            if let Some(text) = edge(*upper) {
                line(page, "axis", x + width, BOTTOM, x + width, BOTTOM + 4.0);
                let anchor = if x + width > RIGHT - 20.0 { "end" } else { "middle" };
                label_at(page, x + width, BOTTOM + 18.0, anchor, &text);
            }
        }
    });
}

/// Problems by their solve rates in two runs: a circle's area is how many stand there.
pub(super) fn scatter(page: &mut Page, pairs: &[(f64, f64, usize)]) {
    const SIDE: f64 = 300.0;
    let (left, bottom) = (90.0, TOP + SIDE);
    let most = pairs.iter().map(|pair| pair.2).max().unwrap_or(1) as f64;
    frame(page, bottom + 58.0, "solve rates of the problems in both runs", |page| {
        for step in 0..=4 {
            let at = SIDE * f64::from(step) / 4.0;
            line(page, "grid", left + at, TOP, left + at, bottom);
            line(page, "grid", left, bottom - at, left + SIDE, bottom - at);
            let name = format!("{} %", 25 * step);
            label_at(page, left + at, bottom + 32.0, "middle", &name);
            label_at(page, left - 22.0, bottom - at + 4.0, "end", &name);
        }
        line(page, "zero", left, bottom, left + SIDE, TOP);
        label_at(page, left + SIDE / 2.0, bottom + 50.0, "middle", "solve rate in the first run");
        label_at(page, left + 16.0, TOP + 42.0, "start", "second better");
        label_at(page, left + SIDE - 16.0, bottom - 34.0, "end", "first better");
        for (first, second, count) in pairs {
            let (x, y) = (left + SIDE * first, bottom - SIDE * second);
            let radius = 3.0 + 15.0 * (*count as f64 / most).sqrt();
            page.alone(
                "circle",
                &[("class", "dot".into()), ("cx", x.into()), ("cy", y.into()), ("r", radius.into())],
            );
            if radius > 9.0 {
                label_at(page, x, y + 4.0, "middle", &count.to_string());
            }
        }
    });
}

/// A count that fits over a bar.
fn brief(count: u64) -> String {
    match count {
        0..10_000 => count.to_string(),
        10_000..1_000_000 => format!("{}k", count / 1000),
        _ => format!("{:.1}M", count as f64 / 1e6),
    }
}

fn frame(page: &mut Page, height: f64, label: &str, content: impl FnOnce(&mut Page)) {
    let size = format!("0 0 {} {}", short(WIDTH), short(height));
    page.inside(
        "svg",
        &[
            ("class", "chart".into()),
            ("viewBox", (&size).into()),
            ("role", "img".into()),
            ("aria-label", label.into()),
        ],
        content,
    );
}

fn line(page: &mut Page, class: &str, x1: f64, y1: f64, x2: f64, y2: f64) {
    page.alone(
        "line",
        &[
            ("class", class.into()),
            ("x1", x1.into()),
            ("y1", y1.into()),
            ("x2", x2.into()),
            ("y2", y2.into()),
        ],
    );
}

fn label_at(page: &mut Page, x: f64, y: f64, anchor: &str, text: &str) {
    page.inside("text", &[("x", x.into()), ("y", y.into()), ("text-anchor", anchor.into())], |page| {
        page.text(text)
    });
}

/// The mark of a series: a disc, then a square.
fn mark(page: &mut Page, index: usize, x: f64, y: f64) {
    if index == 0 {
        page.alone(
            "circle",
            &[("class", "m0".into()), ("cx", x.into()), ("cy", y.into()), ("r", 3.5.into())],
        );
    } else {
        let side = 7.0;
        page.alone(
            "rect",
            &[
                ("class", "m1".into()),
                ("x", (x - side / 2.0).into()),
                ("y", (y - side / 2.0).into()),
                ("width", side.into()),
                ("height", side.into()),
            ],
        );
    }
}

fn class(kind: &str, index: usize) -> super::page::Attribute<'static> {
    match (kind, index) {
        ("band", 0) => "band b0",
        ("band", _) => "band b1",
        (_, 0) => "line l0",
        _ => "line l1",
    }
    .into()
}

fn corners(points: impl Iterator<Item = (f64, f64)>) -> String {
    points.map(|(x, y)| format!("{},{}", short(x), short(y))).collect::<Vec<_>>().join(" ")
}

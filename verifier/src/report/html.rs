//! `report.html`: one file, no network, readable without colours.

use std::collections::HashMap;
use std::fmt::Write;

use serde_json::Value;

use super::{Detail, Graded, Outcome, Run, by_difficulty, by_month, by_platform, headline, warnings};
use crate::metrics::{Tried, estimate};
use crate::verdict::Verdict;

/// Failing samples shown in full; the rest are in `details.jsonl`.
const SHOWN: usize = 100;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;\
color:#222;background:#fff}h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2rem}table{border-collapse:collapse}\
td,th{padding:.2rem .8rem .2rem 0;text-align:left;border-bottom:1px solid #ddd;vertical-align:top}\
td.n,th.n{text-align:right}svg{max-width:30vw}@media(max-width:40rem){body{margin:1rem auto}table{font-size:.85rem}}td{overflow-wrap:anywhere}pre{background:#f5f5f5;padding:.5rem;overflow:auto;max-height:20rem;white-space:pre-wrap}\
.warning{border-left:4px solid #b60;padding-left:.8rem}summary{cursor:pointer}small{color:#555}";

/// The page; `code` gives the program of a sample, or the text that was graded.
pub fn html(run: &Run<'_>, code: impl Fn(&str, usize) -> String) -> String {
    let mut page = Page::begin("assay grade", &headline(run));
    for warning in warnings(run) {
        page.warning(&warning);
    }
    page.pass_at_k(run);
    page.verdicts(run);
    page.groups("By difficulty", by_difficulty(run));
    page.groups("By platform", by_platform(run));
    page.groups("By month", by_month(run));
    page.hardest(run);
    page.failures(run, code);
    page.provenance(run.provenance);
    page.end()
}

/// A page that is being written.
pub(super) struct Page(String);

impl Page {
    pub(super) fn begin(title: &str, headline: &str) -> Page {
        let mut page = Page(String::new());
        page.add("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">");
        page.add("<meta name=\"viewport\" content=\"width=device-width\"><title>");
        page.text(title);
        page.add(&format!("</title><style>{STYLE}</style><h1>"));
        page.text(headline);
        page.add("</h1>");
        page
    }

    pub(super) fn end(mut self) -> String {
        self.add("</html>\n");
        self.0
    }

    pub(super) fn warning(&mut self, warning: &str) {
        self.add("<p class=\"warning\">");
        self.text(warning);
        self.add("</p>");
    }

    pub(super) fn paragraph(&mut self, text: &str) {
        self.add("<p>");
        self.text(text);
        self.add("</p>");
    }

    pub(super) fn add(&mut self, markup: &str) {
        self.0.push_str(markup);
    }

    /// Text that is not ours, made harmless.
    fn text(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '&' => self.add("&amp;"),
                '<' => self.add("&lt;"),
                '>' => self.add("&gt;"),
                '"' => self.add("&quot;"),
                '\'' => self.add("&#39;"),
                c if c.is_control() && c != '\n' && c != '\t' => self.0.push('\u{fffd}'),
                c => self.0.push(c),
            }
        }
    }

    pub(super) fn heading(&mut self, title: &str) {
        self.add("<h2>");
        self.text(title);
        self.add("</h2>");
    }

    pub(super) fn table(&mut self, header: &[&str]) {
        self.add("<table><tr>");
        for (index, title) in header.iter().enumerate() {
            self.add(if index == 0 { "<th>" } else { "<th class=\"n\">" });
            self.text(title);
        }
        self.add("</tr>");
    }

    pub(super) fn row(&mut self, label: &str, numbers: &[String], share: f64) {
        self.add("<tr><td>");
        self.text(label);
        for number in numbers {
            self.add("<td class=\"n\">");
            self.text(number);
        }
        self.add("<td>");
        let width = 240.0 * share.clamp(0.0, 1.0);
        let _ = write!(
            self.0,
            "<svg width=\"240\" height=\"12\" role=\"img\" aria-label=\"{:.1} %\"><rect width=\"240\" height=\"12\" \
             fill=\"#eee\"/><rect width=\"{width:.1}\" height=\"12\" fill=\"#36c\"/></svg></tr>",
            100.0 * share
        );
    }

    fn pass_at_k(&mut self, run: &Run<'_>) {
        self.heading("pass@k");
        self.table(&["k", "pass@k"]);
        for (k, value) in run.pass_at() {
            self.row(&k.to_string(), &[percent(value)], value);
        }
        self.add("</table>");
    }

    fn verdicts(&mut self, run: &Run<'_>) {
        self.heading("Verdicts");
        self.table(&["verdict", "samples"]);
        let all = run.graded.len().max(1) as f64;
        for (verdict, count) in run.verdicts().into_iter().filter(|(_, count)| *count > 0) {
            self.row(&verdict.name().replace('_', " "), &[count.to_string()], count as f64 / all);
        }
        for (label, outcome) in [
            ("no verdict: unsupported", Outcome::Unsupported),
            ("no verdict: our failure", Outcome::InfraError),
        ] {
            let count = run.count(outcome);
            if count > 0 {
                self.row(label, &[count.to_string()], count as f64 / all);
            }
        }
        self.add("</table>");
    }

    fn groups(&mut self, title: &str, groups: Vec<(String, Vec<Tried>)>) {
        if groups.iter().all(|(name, _)| name == "unknown") {
            return;
        }
        self.heading(title);
        self.table(&["", "problems", "samples", "pass@1"]);
        for (name, counts) in groups {
            let samples: usize = counts.iter().map(|tried| tried.samples).sum();
            let rate = estimate(&counts).map_or(0.0, |estimate| estimate.mean);
            self.row(&name, &[counts.len().to_string(), samples.to_string(), percent(rate)], rate);
        }
        self.add("</table>");
    }

    fn hardest(&mut self, run: &Run<'_>) {
        let mut problems: Vec<(&str, Tried)> = run.tried().into_iter().collect();
        problems.sort_by(|(_, a), (_, b)| {
            let rate = |tried: &Tried| tried.accepted as f64 / tried.samples as f64;
            rate(a).total_cmp(&rate(b)).then(b.samples.cmp(&a.samples))
        });
        self.heading("Hardest problems");
        self.table(&["problem", "accepted", "of"]);
        for (id, tried) in problems.iter().filter(|(_, tried)| tried.accepted < tried.samples).take(20) {
            let rate = tried.accepted as f64 / tried.samples as f64;
            self.row(id, &[tried.accepted.to_string(), tried.samples.to_string()], rate);
        }
        self.add("</table>");
    }

    fn failures(&mut self, run: &Run<'_>, code: impl Fn(&str, usize) -> String) {
        let details: HashMap<(&str, usize), &Detail> =
            run.details.iter().map(|d| ((d.question_id.as_str(), d.sample), d)).collect();
        let failed: Vec<&Graded> = run
            .graded
            .iter()
            .filter(|row| row.verdict.as_deref() != Some(Verdict::Accepted.name()))
            .collect();
        self.heading("Samples without acceptance");
        if failed.len() > SHOWN {
            let _ = write!(self.0, "<p><small>The first {SHOWN} of {}.</small></p>", failed.len());
        }
        for row in failed.iter().take(SHOWN) {
            if let Some(detail) = details.get(&(row.question_id.as_str(), row.sample)) {
                self.failure(row, detail, &code(&row.question_id, row.sample));
            }
        }
    }

    fn failure(&mut self, row: &Graded, detail: &Detail, code: &str) {
        let verdict = row.verdict.as_deref().unwrap_or("no verdict").replace('_', " ");
        self.add("<details><summary>");
        self.text(&format!(
            "{}, sample {}: {verdict}, {} of {} tests",
            row.question_id, row.sample, row.passed, row.total
        ));
        self.add("</summary><p>");
        self.text(&detail.reason);
        self.add("</p>");
        let parts = [
            ("input", detail.input.as_str()),
            ("expected", &detail.expected),
            ("actual", &detail.actual),
            ("error", &detail.error),
            ("submission", code),
        ];
        for (title, text) in parts.into_iter().filter(|(_, text)| !text.is_empty()) {
            self.add(&format!("<small>{title}</small><pre>"));
            self.text(&text[..text.floor_char_boundary(20_000)]);
            self.add("</pre>");
        }
        self.add("</details>");
    }

    fn provenance(&mut self, provenance: &Value) {
        self.heading("Provenance");
        self.add("<pre>");
        self.text(&serde_json::to_string_pretty(provenance).unwrap_or_default());
        self.add("</pre>");
    }
}

pub(super) fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}
